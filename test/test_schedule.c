/* SPDX-License-Identifier: MIT */
#include "test/schedule.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "test/test_cask.h"

enum {
    SEED_COUNT = 300,
    MEMBER_MAX = 4
};

/* Some threads that share a few things, and count what goes wrong. */
struct group {
    pthread_mutex_t lock, second;
    pthread_cond_t wake;
    pthread_rwlock_t pages;
    void *(*body)(void *group);
    int member_count;
    int counter;
    int inside;
    int most_inside;
    int wrong_count;
    bool ready;
    pthread_mutex_t outer;
};

#define GROUP_LOCKS                                                         \
    .lock = PTHREAD_MUTEX_INITIALIZER, .second = PTHREAD_MUTEX_INITIALIZER, \
    .outer = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER,   \
    .pages = PTHREAD_RWLOCK_INITIALIZER

static void run_members(void *context)
{
    struct group *group = context;
    pthread_t threads[MEMBER_MAX];

    for (int i = 0; i < group->member_count; i++) {
        if (pthread_create(&threads[i], NULL, group->body, group) != 0)
            abort();
    }
    for (int i = 0; i < group->member_count; i++)
        (void)pthread_join(threads[i], NULL);
}

/* What @member_count threads that all run @body leave. */
static struct group run_group(uint64_t seed, void *(*body)(void *), int member_count)
{
    struct group group = { GROUP_LOCKS, .body = body, .member_count = member_count };

    schedule_run(seed, run_members, &group);
    return group;
}

/* In a child: 42 when it got stuck, whatever the schedule's report says; else 0. */
struct attempt {
    uint64_t seed;
    schedule_function *function;
    void *(*body)(void *);
    int member_count;
};

enum {
    STUCK = 42
};

static void leave_stuck(void *context)
{
    (void)context;
    _exit(STUCK);
}

static int attempt(void *context)
{
    const struct attempt *attempt = context;
    struct group group = { GROUP_LOCKS, .body = attempt->body,
                           .member_count = attempt->member_count };

    if (freopen("/dev/null", "w", stderr) == NULL)
        return 1;
    schedule_on_stuck(leave_stuck, NULL);
    schedule_limit_steps(100000);
    schedule_run(attempt->seed,
                 attempt->function != NULL ? attempt->function : run_members, &group);
    return 0;
}

/* How many of the first hundred seeds get stuck. */
static int count_stuck(schedule_function *function, void *(*body)(void *),
                       int member_count)
{
    int count = 0;

    for (uint64_t seed = 0; seed < 100; seed++) {
        struct attempt one = { seed, function, body, member_count };
        int status = test_in_child(attempt, &one);

        assert_true(status == 0 || status == STUCK);
        count += status == STUCK;
    }
    printf("  stuck with %d of 100 seeds\n", count);
    return count;
}

/* MUTEXES. */
static void *count_with_lock(void *context)
{
    struct group *group = context;

    for (int i = 0; i < 20; i++) {
        int before;

        (void)pthread_mutex_lock(&group->lock);
        group->wrong_count += group->inside++ != 0;
        before = group->counter;
        schedule_yield();
        group->counter = before + 1;
        group->inside--;
        (void)pthread_mutex_unlock(&group->lock);
    }
    return NULL;
}

static void a_mutex_lets_one_in_at_a_time(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct group group = run_group(seed, count_with_lock, MEMBER_MAX);

        assert_int_equal(group.wrong_count, 0);
        assert_int_equal(group.counter, 20 * MEMBER_MAX);
    }
}

static void the_same_seed_goes_the_same_way(void **state)
{
    uint64_t last_hash = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        uint64_t hash, step_count;

        (void)run_group(seed, count_with_lock, MEMBER_MAX);
        hash = schedule_trace_hash();
        step_count = schedule_step_count();
        (void)run_group(seed, count_with_lock, MEMBER_MAX);
        assert_true(hash == schedule_trace_hash());
        assert_true(step_count == schedule_step_count());
        assert_true(hash != last_hash);
        last_hash = hash;
    }
}

static void *count_without_lock(void *context)
{
    struct group *group = context;
    int before = group->counter;

    schedule_yield();
    group->counter = before + 1;
    return NULL;
}

static void a_lost_update_is_found(void **state)
{
    int lost_count = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++)
        lost_count += run_group(seed, count_without_lock, 2).counter != 2;
    printf("  found with %d of %d seeds\n", lost_count, SEED_COUNT);
    assert_in_range(lost_count, 1, SEED_COUNT - 1);
}

static void *try_lock(void *context)
{
    struct group *group = context;

    if (pthread_mutex_trylock(&group->lock) != 0) {
        group->counter++;
        return NULL;
    }
    group->wrong_count += group->inside++ != 0;
    schedule_yield();
    group->inside--;
    (void)pthread_mutex_unlock(&group->lock);
    return NULL;
}

static void trylock_says_when_a_mutex_is_held(void **state)
{
    int busy_count = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct group group = run_group(seed, try_lock, 2);

        assert_int_equal(group.wrong_count, 0);
        busy_count += group.counter;
    }
    assert_in_range(busy_count, 1, SEED_COUNT - 1);
}

/* The first locks one after the other, the second the other after the one. */
static void *lock_crosswise(void *context)
{
    struct group *group = context;
    bool first = group->counter++ == 0;

    (void)pthread_mutex_lock(first ? &group->lock : &group->second);
    (void)pthread_mutex_lock(first ? &group->second : &group->lock);
    (void)pthread_mutex_unlock(&group->second);
    (void)pthread_mutex_unlock(&group->lock);
    return NULL;
}

static void a_deadlock_is_found(void **state)
{
    (void)state;
    assert_in_range(count_stuck(NULL, lock_crosswise, 2), 1, 99);
}

static void lock_twice(void *context)
{
    struct group *group = context;

    (void)pthread_mutex_lock(&group->lock);
    (void)pthread_mutex_lock(&group->lock);
}

static void unlock_what_is_free(void *context)
{
    struct group *group = context;

    (void)pthread_mutex_unlock(&group->lock);
}

static void destroy_what_is_held(void *context)
{
    struct group *group = context;

    (void)pthread_mutex_lock(&group->lock);
    (void)pthread_mutex_destroy(&group->lock);
}

static void end_with_a_lock(void *context)
{
    struct group *group = context;

    (void)pthread_mutex_lock(&group->lock);
}

static void leave_a_thread(void *context)
{
    struct group *group = context;
    pthread_t thread;

    group->body = count_with_lock;
    (void)pthread_create(&thread, NULL, group->body, group);
}

static void spin(void *context)
{
    (void)context;
    for (;;)
        schedule_yield();
}

static void lock_what_is_held_while_paused(void *context)
{
    struct group *group = context;

    (void)pthread_mutex_lock(&group->lock);
    schedule_pause();
    (void)pthread_mutex_lock(&group->lock);
}

static void misuse_ends_the_program(void **state)
{
    static const struct {
        const char *what;
        schedule_function *function;
    } cases[] = {
        { "a mutex is locked twice", lock_twice },
        { "one is unlocked that is free", unlock_what_is_free },
        { "one is destroyed that is held", destroy_what_is_held },
        { "one is held at the end", end_with_a_lock },
        { "one is held, and locked by a paused thread", lock_what_is_held_while_paused },
        { "a thread is not joined", leave_a_thread },
        { "a thread goes round in a circle", spin },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct attempt one = { .seed = i, .function = cases[i].function };

        printf("  %s\n", cases[i].what);
        assert_int_equal(test_in_child(attempt, &one), STUCK);
    }
}

/* CONDITIONS. One of two waits until the other is ready. */
static void *pass_on(void *context)
{
    struct group *group = context;

    (void)pthread_mutex_lock(&group->lock);
    if (group->counter++ == 0) {
        while (!group->ready)
            (void)pthread_cond_wait(&group->wake, &group->lock);
    } else {
        group->ready = true;
        (void)pthread_cond_signal(&group->wake);
    }
    (void)pthread_mutex_unlock(&group->lock);
    return NULL;
}

static void a_signal_wakes_who_waits(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++)
        assert_true(run_group(seed, pass_on, 2).ready);
}

/* The same, but what is waited for changes without the lock. */
static void *pass_on_without_lock(void *context)
{
    struct group *group = context;

    if (group->counter++ == 0) {
        (void)pthread_mutex_lock(&group->lock);
        while (!group->ready)
            (void)pthread_cond_wait(&group->wake, &group->lock);
        (void)pthread_mutex_unlock(&group->lock);
    } else {
        group->ready = true;
        (void)pthread_cond_signal(&group->wake);
    }
    return NULL;
}

static void a_lost_wakeup_is_found(void **state)
{
    (void)state;
    assert_int_equal(count_stuck(NULL, pass_on, 2), 0);
    assert_in_range(count_stuck(NULL, pass_on_without_lock, 2), 1, 99);
}

static void *meet(void *context)
{
    struct group *group = context;

    (void)pthread_mutex_lock(&group->lock);
    if (++group->counter == group->member_count)
        (void)pthread_cond_broadcast(&group->wake);
    while (group->counter < group->member_count)
        (void)pthread_cond_wait(&group->wake, &group->lock);
    (void)pthread_mutex_unlock(&group->lock);
    return NULL;
}

static void a_broadcast_wakes_all(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++)
        assert_int_equal(run_group(seed, meet, MEMBER_MAX).counter, MEMBER_MAX);
}

/* TIME. */
struct pastime {
    struct group group;
    uint64_t told_ms;
    int result;
};

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void add_time(uint64_t ms, void *context)
{
    struct pastime *pastime = context;

    (void)pthread_mutex_lock(&pastime->group.outer);
    pastime->told_ms += ms;
    (void)pthread_mutex_unlock(&pastime->group.outer);
}

/* An hour for a signal that never comes, and another one asleep. */
static void wait_for_hours(void *context)
{
    struct pastime *pastime = context;
    struct group *group = &pastime->group;
    struct timespec until = { .tv_sec = 3600 };
    uint64_t begun_ms = now_ms();

    (void)nanosleep(&until, NULL);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 3600;
    (void)pthread_mutex_lock(&group->lock);
    do
        pastime->result = pthread_cond_timedwait(&group->wake, &group->lock, &until);
    while (pastime->result == 0);
    group->wrong_count += pthread_mutex_trylock(&group->lock) == 0;
    (void)pthread_mutex_unlock(&group->lock);
    group->wrong_count += now_ms() - begun_ms < 7200000;
}

static void who_waits_for_a_time_need_not(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct pastime pastime = { .group = { GROUP_LOCKS } };

        schedule_on_time(add_time, &pastime);
        schedule_run(seed, wait_for_hours, &pastime);
        schedule_on_time(NULL, NULL);
        assert_int_equal(pastime.result, ETIMEDOUT);
        assert_int_equal(pastime.group.wrong_count, 0);
        assert_in_range(pastime.told_ms, 7200000, 7200001);
    }
}

/* READ-WRITE LOCKS. */
static void *read_and_write(void *context)
{
    struct group *group = context;

    for (int i = 0; i < 5; i++) {
        (void)pthread_rwlock_rdlock(&group->pages);
        group->wrong_count += group->inside < 0;
        group->inside++;
        if (group->inside > group->most_inside)
            group->most_inside = group->inside;
        schedule_yield();
        group->inside--;
        (void)pthread_rwlock_unlock(&group->pages);

        (void)pthread_rwlock_wrlock(&group->pages);
        group->wrong_count += group->inside != 0;
        group->inside = -1;
        group->counter++;
        schedule_yield();
        group->inside = 0;
        (void)pthread_rwlock_unlock(&group->pages);
    }
    return NULL;
}

static void readers_come_together_and_writers_alone(void **state)
{
    int most_inside = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct group group = run_group(seed, read_and_write, MEMBER_MAX);

        assert_int_equal(group.wrong_count, 0);
        assert_int_equal(group.counter, 5 * MEMBER_MAX);
        if (group.most_inside > most_inside)
            most_inside = group.most_inside;
    }
    assert_int_equal(most_inside, MEMBER_MAX);
}

/* PAUSES. */
static void *count_for_real(void *context)
{
    struct group *group = context;

    (void)pthread_mutex_lock(&group->second);
    group->most_inside++;
    (void)pthread_mutex_unlock(&group->second);
    return NULL;
}

/* Meanwhile real threads come and go, and none of the others moves. */
static void *pause_while_others_count(void *context)
{
    struct group *group = context;
    pthread_t threads[2];
    int before;

    (void)count_with_lock(group);
    schedule_pause();
    schedule_pause();
    before = group->counter;
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, count_for_real, group) != 0)
            abort();
    }
    schedule_resume();
    for (int i = 0; i < 2; i++)
        (void)pthread_join(threads[i], NULL);
    schedule_yield();
    group->wrong_count += group->counter != before || schedule_is_running();
    schedule_resume();
    group->wrong_count += !schedule_is_running();
    (void)count_with_lock(group);
    return NULL;
}

static void a_pause_keeps_the_others_still(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT / 3; seed++) {
        struct group group = run_group(seed, pause_while_others_count, MEMBER_MAX);

        assert_int_equal(group.wrong_count, 0);
        assert_int_equal(group.counter, 40 * MEMBER_MAX);
        assert_int_equal(group.most_inside, 2 * MEMBER_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutex_lets_one_in_at_a_time),
        cmocka_unit_test(the_same_seed_goes_the_same_way),
        cmocka_unit_test(a_lost_update_is_found),
        cmocka_unit_test(trylock_says_when_a_mutex_is_held),
        cmocka_unit_test(a_deadlock_is_found),
        cmocka_unit_test(misuse_ends_the_program),
        cmocka_unit_test(a_signal_wakes_who_waits),
        cmocka_unit_test(a_lost_wakeup_is_found),
        cmocka_unit_test(a_broadcast_wakes_all),
        cmocka_unit_test(who_waits_for_a_time_need_not),
        cmocka_unit_test(readers_come_together_and_writers_alone),
        cmocka_unit_test(a_pause_keeps_the_others_still),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
