/* SPDX-License-Identifier: MIT */
/*
 * A deterministic scheduler: threads that run one at a time, in an order that follows
 * from a seed, so that a random test with several threads can be replayed exactly.
 *
 *     static void everything(void *context) { ...opens a cask, creates threads that
 *                                             write, joins them, closes the cask... }
 *
 *     printf("seed %" PRIu64 "\n", seed);
 *     schedule_run(seed, everything, &context);
 *     (look at the context, and assert, here)
 *
 * The program is linked with wrap_threads of test/meson.build. While a schedule runs,
 * its threads are the one that called schedule_run(), which is thread 0, and those that
 * they create. At each call of pthread_*, nanosleep and clock_gettime that is named
 * there, and at schedule_yield(), chance may hand over to another thread that can go on.
 * Their mutexes, conditions and read-write locks are kept here and the real ones are not
 * taken. Some seeds switch at any call, some seldom, and some give each thread a
 * priority that changes now and then: they find different bugs.
 *
 * Time stands still but for a microsecond a call, and is moved on, by chance or when no
 * thread can go on otherwise, to when a timed wait or sleep ends. Both clocks show it.
 * By chance, in some seeds, a wait for a condition ends without a signal.
 *
 * The program ends, after a report on stderr of what each thread does, when no thread
 * can ever go on, after too many steps, and when a thread locks what it holds, unlocks
 * what it does not hold, destroys what is held or waited for, ends with a lock held, or
 * is not joined.
 *
 * For the same way twice all else must be the same: random numbers, file names and the
 * number of processors too. Addresses need not. What threads do without any call named
 * above is never interrupted: spinning needs schedule_yield().
 *
 * Not for recursive mutexes, pthread_exit(), pthread_detach(), fork(), or assertions of
 * cmocka, which would jump out of the schedule.
 */
#ifndef TEST_SCHEDULE_H
#define TEST_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef void schedule_function(void *context);

/*
 * Run @function, and come back when it has returned and all threads were joined. One
 * schedule at a time.
 */
void schedule_run(uint64_t seed, schedule_function *function, void *context);

/* A place to switch, for tests and what they simulate. Outside of a schedule: nothing. */
void schedule_yield(void);

/* The calling thread is one of a schedule, and has not paused. */
bool schedule_is_running(void);

/*
 * Between the two, all calls of this thread are the real ones, and all other threads of
 * the schedule stand still; threads created meanwhile are real, too, and run beside it.
 * What is locked meanwhile is unlocked meanwhile, and is nothing that the schedule's
 * threads hold or wait for. Nestable; nothing to a thread outside of a schedule.
 */
void schedule_pause(void);
void schedule_resume(void);

/* Of the schedule that runs, or of the last one: how many calls it has seen ... */
uint64_t schedule_step_count(void);
/* ... and a hash of which thread made which call in which order. */
uint64_t schedule_trace_hash(void);

/* End the program after so many steps; 0, as at first: 20 million. */
void schedule_limit_steps(uint64_t count);

/*
 * Hooks, NULL for none; they stay from one schedule to the next. The one is told how much
 * time has passed, to move the clock of a simulated disk, by a thread of the schedule
 * whose wait or sleep it has ended: it may lock. The other is called after a report, with
 * the schedule paused, before the program ends.
 */
void schedule_on_time(void (*hook)(uint64_t ms, void *context), void *context);
void schedule_on_stuck(schedule_function *hook, void *context);

#endif
