/* SPDX-License-Identifier: MIT */
/*
 * What takes the place of the system's calls, see schedule.h: in a thread of a schedule
 * a lock is only what the table here says of it; in all others it is the real one.
 */
#include <errno.h>
#include <time.h>

#include "test/schedule.h"
#include "test/schedule_inside.h"

#define WHERE __builtin_return_address(0)

/* The linker lets calls of @name come to __wrap_@name. */
#define WRAP(name, ...)             \
    int __real_##name(__VA_ARGS__); \
    int __wrap_##name(__VA_ARGS__)

WRAP(pthread_create, pthread_t *out, const pthread_attr_t *attributes,
     void *(*start)(void *), void *argument);
WRAP(pthread_join, pthread_t handle, void **result);
WRAP(pthread_once, pthread_once_t *once, void (*function)(void));
WRAP(pthread_mutex_init, pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
WRAP(pthread_mutex_destroy, pthread_mutex_t *mutex);
WRAP(pthread_mutex_lock, pthread_mutex_t *mutex);
WRAP(pthread_mutex_trylock, pthread_mutex_t *mutex);
WRAP(pthread_mutex_unlock, pthread_mutex_t *mutex);
WRAP(pthread_cond_init, pthread_cond_t *cond, const pthread_condattr_t *attributes);
WRAP(pthread_cond_destroy, pthread_cond_t *cond);
WRAP(pthread_cond_wait, pthread_cond_t *cond, pthread_mutex_t *mutex);
WRAP(pthread_cond_timedwait, pthread_cond_t *cond, pthread_mutex_t *mutex,
     const struct timespec *until);
WRAP(pthread_cond_signal, pthread_cond_t *cond);
WRAP(pthread_cond_broadcast, pthread_cond_t *cond);
WRAP(pthread_rwlock_init, pthread_rwlock_t *lock, const pthread_rwlockattr_t *attributes);
WRAP(pthread_rwlock_destroy, pthread_rwlock_t *lock);
WRAP(pthread_rwlock_rdlock, pthread_rwlock_t *lock);
WRAP(pthread_rwlock_tryrdlock, pthread_rwlock_t *lock);
WRAP(pthread_rwlock_wrlock, pthread_rwlock_t *lock);
WRAP(pthread_rwlock_trywrlock, pthread_rwlock_t *lock);
WRAP(pthread_rwlock_unlock, pthread_rwlock_t *lock);
WRAP(nanosleep, const struct timespec *time, struct timespec *rest);
WRAP(clock_gettime, clockid_t clock, struct timespec *out);

/* MUTEXES. */
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attributes)
{
    if (schedule_self() != NULL)
        schedule_lock_forget(mutex);
    return __real_pthread_mutex_init(mutex, attributes);
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    struct schedule_thread *self = schedule_self();

    if (self != NULL) {
        schedule_make_step(self, STEP_MUTEX_DESTROY, WHERE);
        schedule_lock_forget(mutex);
    }
    return __real_pthread_mutex_destroy(mutex);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL) {
        schedule_lock_check_paused(mutex);
        return __real_pthread_mutex_lock(mutex);
    }
    schedule_make_step(self, STEP_MUTEX_LOCK, WHERE);
    return schedule_lock_wait(self, mutex, WAIT_ALONE);
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL) {
        schedule_lock_check_paused(mutex);
        return __real_pthread_mutex_trylock(mutex);
    }
    schedule_make_step(self, STEP_MUTEX_TRYLOCK, WHERE);
    return schedule_lock_try(self, mutex, WAIT_ALONE);
}

/* A step before, so that others meet the lock held, and one after. */
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL)
        return __real_pthread_mutex_unlock(mutex);
    schedule_make_step(self, STEP_MUTEX_UNLOCK, WHERE);
    schedule_lock_give(self, schedule_lock_find(mutex));
    schedule_make_step(self, STEP_MUTEX_UNLOCKED, WHERE);
    return 0;
}

/* CONDITIONS. */
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
    if (schedule_self() != NULL)
        schedule_lock_forget(cond);
    return __real_pthread_cond_init(cond, attributes);
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
    struct schedule_thread *self = schedule_self();

    if (self != NULL) {
        schedule_make_step(self, STEP_COND_DESTROY, WHERE);
        schedule_lock_forget(cond);
    }
    return __real_pthread_cond_destroy(cond);
}

static int wait_for_signal(struct schedule_thread *self, const void *cond,
                           const void *mutex, uint64_t deadline_ns)
{
    struct schedule_lock *held = schedule_lock_find(mutex);

    schedule_lock_give(self, held);
    self->wait = WAIT_SIGNAL;
    self->lock = schedule_lock_find(cond);
    self->mutex = held;
    self->deadline_ns = deadline_ns;
    self->timed_out = false;
    schedule_block(self);
    schedule_lock_take(self, held, WAIT_ALONE);
    if (!self->timed_out)
        return 0;
    schedule_tell_time();
    return ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL)
        return __real_pthread_cond_wait(cond, mutex);
    schedule_make_step(self, STEP_COND_WAIT, WHERE);
    return wait_for_signal(self, cond, mutex, SCHEDULE_NEVER);
}

static uint64_t to_ns(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL)
        return __real_pthread_cond_timedwait(cond, mutex, until);
    schedule_make_step(self, STEP_COND_TIMEDWAIT, WHERE);
    return wait_for_signal(self, cond, mutex, to_ns(until));
}

/* Wake those that wait for @cond: all, or one by chance. */
static int signal_waiting(const void *cond, bool all)
{
    const struct schedule_lock *lock = schedule_lock_find(cond);
    struct schedule_thread *waiting[SCHEDULE_THREADS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < SCHEDULE_THREADS_MAX; i++) {
        struct schedule_thread *thread = schedule_thread_at(i);

        if (thread != NULL && thread->wait == WAIT_SIGNAL && thread->lock == lock)
            waiting[count++] = thread;
    }
    if (count > 0 && !all)
        schedule_wake(waiting[schedule_random_below(count)]);
    for (unsigned i = 0; i < count && all; i++)
        schedule_wake(waiting[i]);
    return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL)
        return __real_pthread_cond_signal(cond);
    schedule_make_step(self, STEP_COND_SIGNAL, WHERE);
    return signal_waiting(cond, false);
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL)
        return __real_pthread_cond_broadcast(cond);
    schedule_make_step(self, STEP_COND_BROADCAST, WHERE);
    return signal_waiting(cond, true);
}

/* READ-WRITE LOCKS. */
int __wrap_pthread_rwlock_init(pthread_rwlock_t *lock,
                               const pthread_rwlockattr_t *attributes)
{
    if (schedule_self() != NULL)
        schedule_lock_forget(lock);
    return __real_pthread_rwlock_init(lock, attributes);
}

int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *lock)
{
    struct schedule_thread *self = schedule_self();

    if (self != NULL) {
        schedule_make_step(self, STEP_RW_DESTROY, WHERE);
        schedule_lock_forget(lock);
    }
    return __real_pthread_rwlock_destroy(lock);
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL) {
        schedule_lock_check_paused(lock);
        return __real_pthread_rwlock_rdlock(lock);
    }
    schedule_make_step(self, STEP_RDLOCK, WHERE);
    return schedule_lock_wait(self, lock, WAIT_SHARED);
}

int __wrap_pthread_rwlock_tryrdlock(pthread_rwlock_t *lock)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL) {
        schedule_lock_check_paused(lock);
        return __real_pthread_rwlock_tryrdlock(lock);
    }
    schedule_make_step(self, STEP_TRYRDLOCK, WHERE);
    return schedule_lock_is_reading(self, schedule_lock_find(lock))
               ? EBUSY
               : schedule_lock_try(self, lock, WAIT_SHARED);
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL) {
        schedule_lock_check_paused(lock);
        return __real_pthread_rwlock_wrlock(lock);
    }
    schedule_make_step(self, STEP_WRLOCK, WHERE);
    return schedule_lock_wait(self, lock, WAIT_ALONE);
}

int __wrap_pthread_rwlock_trywrlock(pthread_rwlock_t *lock)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL) {
        schedule_lock_check_paused(lock);
        return __real_pthread_rwlock_trywrlock(lock);
    }
    schedule_make_step(self, STEP_TRYWRLOCK, WHERE);
    return schedule_lock_try(self, lock, WAIT_ALONE);
}

int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL)
        return __real_pthread_rwlock_unlock(lock);
    schedule_make_step(self, STEP_RW_UNLOCK, WHERE);
    schedule_lock_give(self, schedule_lock_find(lock));
    schedule_make_step(self, STEP_RW_UNLOCKED, WHERE);
    return 0;
}

/* THREADS. */
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument)
{
    struct schedule_thread *self = schedule_self();
    struct schedule_thread *thread;
    int error;

    if (self == NULL)
        return __real_pthread_create(out, attributes, start, argument);
    schedule_make_step(self, STEP_CREATE, WHERE);
    thread = schedule_add(start, argument);
    error =
        __real_pthread_create(&thread->handle, attributes, schedule_thread_main, thread);
    if (error != 0) {
        schedule_remove(thread);
        return error;
    }
    *out = thread->handle;
    schedule_make_step(self, STEP_CREATED, WHERE);
    return 0;
}

static struct schedule_thread *find_thread(pthread_t handle)
{
    for (unsigned i = 0; i < SCHEDULE_THREADS_MAX; i++) {
        struct schedule_thread *thread = schedule_thread_at(i);

        if (thread != NULL && pthread_equal(thread->handle, handle))
            return thread;
    }
    return NULL; /* made before the schedule, or while it was paused */
}

int __wrap_pthread_join(pthread_t handle, void **result)
{
    struct schedule_thread *self = schedule_self();
    struct schedule_thread *thread;
    int error;

    if (self == NULL)
        return __real_pthread_join(handle, result);
    schedule_make_step(self, STEP_JOIN, WHERE);
    thread = find_thread(handle);
    if (thread == NULL)
        return __real_pthread_join(handle, result);
    if (!thread->ended) {
        self->wait = WAIT_THREAD;
        self->other = thread;
        schedule_block(self);
    }
    error = __real_pthread_join(handle, result);
    schedule_remove(thread);
    return error;
}

/* Nobody may switch inside: others would really wait for the end of it. */
int __wrap_pthread_once(pthread_once_t *once, void (*function)(void))
{
    int error;

    schedule_pause();
    error = __real_pthread_once(once, function);
    schedule_resume();
    return error;
}

/* TIME. */
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL)
        return __real_nanosleep(time, rest);
    schedule_make_step(self, STEP_SLEEP, WHERE);
    self->wait = WAIT_TIME;
    self->deadline_ns = schedule_now_ns() + to_ns(time);
    schedule_block(self);
    schedule_tell_time();
    return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    struct schedule_thread *self = schedule_self();

    if (self == NULL || (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME))
        return __real_clock_gettime(clock, out);
    schedule_make_step(self, STEP_CLOCK, WHERE);
    out->tv_sec = (time_t)(schedule_now_ns() / 1000000000);
    out->tv_nsec = (long)(schedule_now_ns() % 1000000000);
    return 0;
}
