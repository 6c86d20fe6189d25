/* SPDX-License-Identifier: MIT */
/*
 * Between schedule.c, which knows who runs, schedule_lock.c, which knows who holds what,
 * schedule_wrap.c, which knows what the calls mean, and schedule_report.c. No other file
 * includes it.
 *
 * All of it is touched only by the thread that runs, so none of it is locked.
 */
#ifndef TEST_SCHEDULE_INSIDE_H
#define TEST_SCHEDULE_INSIDE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

enum {
    SCHEDULE_THREADS_MAX = 64 /* at a time: bits of schedule_lock.readers */
};

#define SCHEDULE_NEVER UINT64_MAX

enum schedule_step {
    STEP_START,
    STEP_YIELD,
    STEP_CREATE,
    STEP_CREATED,
    STEP_JOIN,
    STEP_MUTEX_LOCK,
    STEP_MUTEX_TRYLOCK,
    STEP_MUTEX_UNLOCK,
    STEP_MUTEX_UNLOCKED,
    STEP_MUTEX_DESTROY,
    STEP_COND_WAIT,
    STEP_COND_TIMEDWAIT,
    STEP_COND_SIGNAL,
    STEP_COND_BROADCAST,
    STEP_COND_DESTROY,
    STEP_RDLOCK,
    STEP_TRYRDLOCK,
    STEP_WRLOCK,
    STEP_TRYWRLOCK,
    STEP_RW_UNLOCK,
    STEP_RW_UNLOCKED,
    STEP_RW_DESTROY,
    STEP_SLEEP,
    STEP_CLOCK,
    STEP_END
};

enum schedule_wait {
    WAIT_NOTHING,
    WAIT_ALONE,  /* for a lock that nobody holds */
    WAIT_SHARED, /* for one that nobody writes */
    WAIT_SIGNAL, /* for the condition, then for the mutex */
    WAIT_THREAD, /* for the end of another one */
    WAIT_TIME
};

/* A mutex, read-write lock or condition. */
struct schedule_lock {
    const void *address;
    unsigned number; /* in order of first use: the same in each run */
    struct schedule_thread *owner;
    uint64_t readers; /* bits of slots */
    UT_hash_handle hh;
};

struct schedule_thread {
    bool used;
    bool ended;
    bool timed_out;
    unsigned slot;
    unsigned number; /* in order of creation, from 0 */
    unsigned held_count;
    uint64_t priority; /* the highest runs, in some seeds */
    sem_t baton;
    pthread_t handle;
    void *(*start)(void *);
    void *argument;

    /* The last step, and where it was called. */
    enum schedule_step step;
    const void *where;

    enum schedule_wait wait;
    struct schedule_lock *lock;
    struct schedule_lock *mutex;
    struct schedule_thread *other;
    uint64_t deadline_ns;
};

/* Which thread calls; NULL: none of a schedule, or one that has paused. */
struct schedule_thread *schedule_self(void);
/* It is one of a schedule that has paused. */
bool schedule_is_paused(void);

/* Count a step of @self, and perhaps let others run. */
void schedule_make_step(struct schedule_thread *self, enum schedule_step step,
                        const void *where);
/* Let others run until what @self->wait says is there. */
void schedule_block(struct schedule_thread *self);
/* End a wait for a signal or for time. */
void schedule_wake(struct schedule_thread *thread);

/* A new thread, not yet running. Its slot is free again after remove. */
struct schedule_thread *schedule_add(void *(*start)(void *), void *argument);
void schedule_remove(struct schedule_thread *thread);
/* What a new thread does; @context is its struct schedule_thread. */
void *schedule_thread_main(void *context);

/* The thread in @slot, if there is one: to walk over all, always in the same order. */
struct schedule_thread *schedule_thread_at(unsigned slot);

uint64_t schedule_random_below(uint64_t bound);
uint64_t schedule_now_ns(void);
/* Call the hook, after a wait of the calling thread has ended by time. */
void schedule_tell_time(void);

_Noreturn void schedule_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* schedule_report.c: what all threads do, to stderr. */
void schedule_print_threads(void);
/*
 * LOCKS, schedule_lock.c. None of these is a step.
 */
/* The one at @address; a new one that nobody holds if there is none. */
struct schedule_lock *schedule_lock_find(const void *address);
/* It is destroyed, or made where there was one that nobody has destroyed. */
void schedule_lock_forget(const void *address);
void schedule_locks_release(void);
/* A thread that has paused would not wait for what the schedule's threads hold. */
void schedule_lock_check_paused(const void *address);
/*
 * Hold it, as WAIT_ALONE or WAIT_SHARED says: it is free; when it is free; or EBUSY. A
 * trylock by who has it already is EBUSY, too.
 */
void schedule_lock_take(struct schedule_thread *self, struct schedule_lock *lock,
                        enum schedule_wait wait);
int schedule_lock_wait(struct schedule_thread *self, const void *address,
                       enum schedule_wait wait);
int schedule_lock_try(struct schedule_thread *self, const void *address,
                      enum schedule_wait wait);
void schedule_lock_give(struct schedule_thread *self, struct schedule_lock *lock);
bool schedule_lock_is_reading(const struct schedule_thread *self,
                              const struct schedule_lock *lock);

#endif
