/* SPDX-License-Identifier: MIT */
/* What each thread of a schedule does and waits for, for a person to read. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "test/schedule_inside.h"

static const char *const step_names[] = {
    [STEP_START] = "its start",
    [STEP_YIELD] = "schedule_yield",
    [STEP_CREATE] = "pthread_create",
    [STEP_CREATED] = "pthread_create",
    [STEP_JOIN] = "pthread_join",
    [STEP_MUTEX_LOCK] = "pthread_mutex_lock",
    [STEP_MUTEX_TRYLOCK] = "pthread_mutex_trylock",
    [STEP_MUTEX_UNLOCK] = "pthread_mutex_unlock",
    [STEP_MUTEX_UNLOCKED] = "pthread_mutex_unlock",
    [STEP_MUTEX_DESTROY] = "pthread_mutex_destroy",
    [STEP_COND_WAIT] = "pthread_cond_wait",
    [STEP_COND_TIMEDWAIT] = "pthread_cond_timedwait",
    [STEP_COND_SIGNAL] = "pthread_cond_signal",
    [STEP_COND_BROADCAST] = "pthread_cond_broadcast",
    [STEP_COND_DESTROY] = "pthread_cond_destroy",
    [STEP_RDLOCK] = "pthread_rwlock_rdlock",
    [STEP_TRYRDLOCK] = "pthread_rwlock_tryrdlock",
    [STEP_WRLOCK] = "pthread_rwlock_wrlock",
    [STEP_TRYWRLOCK] = "pthread_rwlock_trywrlock",
    [STEP_RW_UNLOCK] = "pthread_rwlock_unlock",
    [STEP_RW_UNLOCKED] = "pthread_rwlock_unlock",
    [STEP_RW_DESTROY] = "pthread_rwlock_destroy",
    [STEP_SLEEP] = "nanosleep",
    [STEP_CLOCK] = "clock_gettime",
    [STEP_END] = "its end",
};

/* The linker's: where the program, and its ELF header, is in memory. */
extern const char __executable_start[];

/*
 * Of the call that returns to @where, as addr2line wants it, whether the program can be
 * anywhere in memory or not.
 */
static uintptr_t program_address(const void *where)
{
    enum {
        TYPE_OFFSET = 16, /* e_type */
        TYPE_DYNAMIC = 3  /* ET_DYN */
    };
    uint16_t type;

    memcpy(&type, __executable_start + TYPE_OFFSET, sizeof type);
    return (uintptr_t)where - 1 -
           (type == TYPE_DYNAMIC ? (uintptr_t)__executable_start : (uintptr_t)0);
}

static void print_lock(const struct schedule_lock *lock)
{
    (void)fprintf(stderr, " for lock %u (%p)", lock->number, lock->address);
    if (lock->owner != NULL)
        (void)fprintf(stderr, ", held by thread %u", lock->owner->number);
    for (unsigned i = 0; i < SCHEDULE_THREADS_MAX; i++) {
        if (lock->readers >> i & 1)
            (void)fprintf(stderr, ", read by thread %u", schedule_thread_at(i)->number);
    }
}

static void print_thread(const struct schedule_thread *thread)
{
    (void)fprintf(stderr, "  thread %u", thread->number);
    if (thread->ended) {
        (void)fprintf(stderr, " has ended\n");
        return;
    }
    (void)fprintf(stderr, " %s in %s", thread->wait == WAIT_NOTHING ? "is" : "waits",
                  step_names[thread->step]);
    if (thread->wait == WAIT_THREAD)
        (void)fprintf(stderr, " for thread %u", thread->other->number);
    else if (thread->wait != WAIT_NOTHING && thread->wait != WAIT_TIME)
        print_lock(thread->lock);
    if (thread->where != NULL)
        (void)fprintf(stderr, ", called at 0x%" PRIxPTR, program_address(thread->where));
    (void)fprintf(stderr, "\n");
}

void schedule_print_threads(void)
{
    for (unsigned i = 0; i < SCHEDULE_THREADS_MAX; i++) {
        if (schedule_thread_at(i) != NULL)
            print_thread(schedule_thread_at(i));
    }
}
