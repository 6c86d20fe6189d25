/* SPDX-License-Identifier: MIT */
/* The mutexes, conditions and read-write locks of a schedule, and who holds them. */
#include <errno.h>
#include <stdlib.h>

#include "test/schedule_inside.h"
#include "test/test_alloc.h"

/* By address. Nothing walks it, for its order follows addresses. */
static struct schedule_lock *locks;
static unsigned lock_count;

struct schedule_lock *schedule_lock_find(const void *address)
{
    struct schedule_lock *lock;

    HASH_FIND_PTR(locks, &address, lock);
    if (lock != NULL)
        return lock;
    test_alloc_pause();
    lock = calloc(1, sizeof *lock);
    if (lock == NULL)
        schedule_fail("no memory");
    lock->address = address;
    lock->number = lock_count++;
    HASH_ADD_PTR(locks, address, lock);
    test_alloc_resume();
    return lock;
}

static bool is_waited_for(const struct schedule_lock *lock)
{
    for (unsigned i = 0; i < SCHEDULE_THREADS_MAX; i++) {
        const struct schedule_thread *thread = schedule_thread_at(i);

        if (thread != NULL && (thread->lock == lock || thread->mutex == lock))
            return true;
    }
    return false;
}

void schedule_lock_forget(const void *address)
{
    struct schedule_lock *lock;

    HASH_FIND_PTR(locks, &address, lock);
    if (lock == NULL)
        return;
    if (lock->owner != NULL || lock->readers != 0 || is_waited_for(lock))
        schedule_fail("lock %u is destroyed, but held or waited for", lock->number);
    HASH_DEL(locks, lock);
    free(lock);
}

void schedule_locks_release(void)
{
    struct schedule_lock *lock, *next;

    HASH_ITER(hh, locks, lock, next)
    {
        HASH_DEL(locks, lock);
        free(lock);
    }
    lock_count = 0;
}

void schedule_lock_check_paused(const void *address)
{
    struct schedule_lock *lock;

    if (!schedule_is_paused())
        return;
    HASH_FIND_PTR(locks, &address, lock);
    if (lock != NULL && (lock->owner != NULL || lock->readers != 0))
        schedule_fail("a paused thread takes lock %u, which is held", lock->number);
}

bool schedule_lock_is_reading(const struct schedule_thread *self,
                              const struct schedule_lock *lock)
{
    return (lock->readers >> self->slot & 1) != 0;
}

static void wait_for(struct schedule_thread *self, struct schedule_lock *lock,
                     enum schedule_wait wait)
{
    if (lock->owner == self || schedule_lock_is_reading(self, lock))
        schedule_fail("thread %u locks lock %u again", self->number, lock->number);
    if (lock->owner == NULL && (wait == WAIT_SHARED || lock->readers == 0))
        return;
    self->wait = wait;
    self->lock = lock;
    schedule_block(self);
}

void schedule_lock_take(struct schedule_thread *self, struct schedule_lock *lock,
                        enum schedule_wait wait)
{
    if (wait == WAIT_SHARED)
        lock->readers |= UINT64_C(1) << self->slot;
    else
        lock->owner = self;
    self->held_count++;
}

int schedule_lock_wait(struct schedule_thread *self, const void *address,
                       enum schedule_wait wait)
{
    struct schedule_lock *lock = schedule_lock_find(address);

    wait_for(self, lock, wait);
    schedule_lock_take(self, lock, wait);
    return 0;
}

int schedule_lock_try(struct schedule_thread *self, const void *address,
                      enum schedule_wait wait)
{
    struct schedule_lock *lock = schedule_lock_find(address);

    if (lock->owner != NULL || (wait == WAIT_ALONE && lock->readers != 0))
        return EBUSY;
    schedule_lock_take(self, lock, wait);
    return 0;
}

void schedule_lock_give(struct schedule_thread *self, struct schedule_lock *lock)
{
    if (lock->owner == self)
        lock->owner = NULL;
    else if (schedule_lock_is_reading(self, lock))
        lock->readers &= ~(UINT64_C(1) << self->slot);
    else
        schedule_fail("thread %u unlocks lock %u, which it does not hold", self->number,
                      lock->number);
    self->held_count--;
}
