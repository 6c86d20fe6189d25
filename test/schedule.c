/* SPDX-License-Identifier: MIT */
#include "test/schedule.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/schedule_inside.h"

enum {
    STEP_COUNT_MAX = 20000000,
    STEP_NS = 1000
};

#define START_NS (UINT64_C(1600000000) * 1000000000)
/* Above those that a priority is lowered to, which count down from here. */
#define PRIORITY_MIN (UINT64_C(1) << 62)

/* What chance may do at a step, as masks: one time in mask + 1. */
struct style {
    bool priorities;
    uint32_t switch_mask; /* with priorities: to lower that of who runs */
    uint32_t time_mask;
    bool spurious;
};

enum {
    SPURIOUS_MASK = 127
};

static struct {
    bool running;
    uint64_t seed;
    uint64_t random;
    struct style style;
    struct schedule_thread threads[SCHEDULE_THREADS_MAX];
    unsigned slot_limit; /* no slot from here on is used */
    unsigned thread_count;
    uint64_t priority_lowest;
    uint64_t now_ns;
    uint64_t told_ms;
    uint64_t earliest_ns; /* no deadline is before it */
    uint64_t step_count;
    uint64_t trace_hash;
} schedule;

static uint64_t step_count_max = STEP_COUNT_MAX;
static void (*time_hook)(uint64_t ms, void *context);
static void *time_context;
static schedule_function *stuck_hook;
static void *stuck_context;

static _Thread_local struct schedule_thread *this_thread;
static _Thread_local unsigned pause_depth;

/* CHANCE: splitmix64. */
static uint64_t random_next(void)
{
    uint64_t mixed = schedule.random += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

uint64_t schedule_random_below(uint64_t bound)
{
    return random_next() % bound;
}

static uint32_t random_mask(unsigned min_bits, unsigned max_bits)
{
    uint64_t bits = min_bits + schedule_random_below(max_bits - min_bits + 1);

    return (uint32_t)((UINT64_C(1) << bits) - 1);
}

static struct style choose_style(void)
{
    struct style style = { .priorities = schedule_random_below(2) == 0 };

    if (style.priorities)
        style.switch_mask = random_mask(1, 12);
    else
        style.switch_mask = schedule_random_below(2) == 0 ? 0 : random_mask(1, 6);
    style.time_mask = random_mask(4, 10);
    style.spurious = schedule_random_below(2) == 0;
    return style;
}

/* REPORTS. */
_Noreturn void schedule_fail(const char *format, ...)
{
    va_list arguments;

    (void)fprintf(stderr, "schedule: seed %" PRIu64 ", step %" PRIu64 ": ", schedule.seed,
                  schedule.step_count);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, " (addr2line -fie PROGRAM ADDRESS says where that is)\n");
    schedule_print_threads();
    schedule_pause();
    if (stuck_hook != NULL)
        stuck_hook(stuck_context);
    abort();
}

/* TIME. */
uint64_t schedule_now_ns(void)
{
    return schedule.now_ns;
}

void schedule_wake(struct schedule_thread *thread)
{
    if (thread->wait == WAIT_SIGNAL) {
        thread->wait = WAIT_ALONE;
        thread->lock = thread->mutex;
    } else {
        assert(thread->wait == WAIT_TIME);
        thread->wait = WAIT_NOTHING;
    }
    thread->deadline_ns = SCHEDULE_NEVER;
}

void schedule_tell_time(void)
{
    uint64_t now_ms = (schedule.now_ns - START_NS) / 1000000;
    uint64_t passed_ms = now_ms - schedule.told_ms;

    schedule.told_ms = now_ms; /* the hook may let others run */
    if (time_hook != NULL && passed_ms > 0)
        time_hook(passed_ms, time_context);
}

static void wake_due(void)
{
    uint64_t earliest_ns = SCHEDULE_NEVER;

    for (unsigned i = 0; i < schedule.slot_limit; i++) {
        struct schedule_thread *thread = &schedule.threads[i];

        if (!thread->used || thread->deadline_ns == SCHEDULE_NEVER)
            continue;
        if (thread->deadline_ns <= schedule.now_ns) {
            schedule_wake(thread);
            thread->timed_out = true;
        } else if (thread->deadline_ns < earliest_ns) {
            earliest_ns = thread->deadline_ns;
        }
    }
    schedule.earliest_ns = earliest_ns;
}

/* To the next deadline. False: there is none. */
static bool pass_time(void)
{
    uint64_t earliest_ns = SCHEDULE_NEVER;

    for (unsigned i = 0; i < schedule.slot_limit; i++) {
        const struct schedule_thread *thread = &schedule.threads[i];

        if (thread->used && thread->deadline_ns < earliest_ns)
            earliest_ns = thread->deadline_ns;
    }
    if (earliest_ns == SCHEDULE_NEVER)
        return false;
    if (earliest_ns > schedule.now_ns)
        schedule.now_ns = earliest_ns;
    wake_due();
    return true;
}

/* WHO RUNS. */
struct schedule_thread *schedule_self(void)
{
    return pause_depth > 0 ? NULL : this_thread;
}

bool schedule_is_paused(void)
{
    return this_thread != NULL && pause_depth > 0;
}

struct schedule_thread *schedule_thread_at(unsigned slot)
{
    return schedule.threads[slot].used ? &schedule.threads[slot] : NULL;
}

static bool is_ready(const struct schedule_thread *thread)
{
    if (!thread->used || thread->ended)
        return false;
    switch (thread->wait) {
    case WAIT_NOTHING:
        return true;
    case WAIT_ALONE:
        return thread->lock->owner == NULL && thread->lock->readers == 0;
    case WAIT_SHARED:
        return thread->lock->owner == NULL;
    case WAIT_THREAD:
        return thread->other->ended;
    case WAIT_SIGNAL:
    case WAIT_TIME:
        break;
    }
    return false;
}

/* NULL: no thread can go on now. */
static struct schedule_thread *choose(void)
{
    struct schedule_thread *ready[SCHEDULE_THREADS_MAX];
    struct schedule_thread *first = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < schedule.slot_limit; i++) {
        struct schedule_thread *thread = &schedule.threads[i];

        if (!is_ready(thread))
            continue;
        ready[count++] = thread;
        if (first == NULL || thread->priority > first->priority)
            first = thread;
    }
    if (schedule.style.priorities || count <= 1)
        return first;
    return ready[schedule_random_below(count)];
}

static struct schedule_thread *choose_in_time(void)
{
    struct schedule_thread *next = choose();

    while (next == NULL) {
        if (!pass_time())
            schedule_fail("deadlock: no thread can go on");
        next = choose();
    }
    return next;
}

static void await_baton(struct schedule_thread *self)
{
    while (sem_wait(&self->baton) != 0) {
        /* interrupted by a signal */
    }
}

static void hand_over(struct schedule_thread *self, struct schedule_thread *next)
{
    if (next == self)
        return;
    (void)sem_post(&next->baton);
    await_baton(self);
}

/* Wake one of those that wait for a signal, though there was none. */
static void wake_spuriously(void)
{
    struct schedule_thread *waiting[SCHEDULE_THREADS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < schedule.slot_limit; i++) {
        if (schedule.threads[i].used && schedule.threads[i].wait == WAIT_SIGNAL)
            waiting[count++] = &schedule.threads[i];
    }
    if (count > 0)
        schedule_wake(waiting[schedule_random_below(count)]);
}

static void count_step(struct schedule_thread *self, enum schedule_step step)
{
    uint64_t event = (uint64_t)self->number << 8 | (uint64_t)step;

    schedule.trace_hash = (schedule.trace_hash ^ event) * UINT64_C(0x9e3779b97f4a7c15);
    schedule.trace_hash ^= schedule.trace_hash >> 29;
    schedule.now_ns += STEP_NS;
    if (++schedule.step_count > step_count_max)
        schedule_fail("too many steps: it goes round in a circle");
}

void schedule_make_step(struct schedule_thread *self, enum schedule_step step,
                        const void *where)
{
    const struct style *style = &schedule.style;
    uint64_t chance = random_next();
    bool changes = (chance & style->switch_mask) == 0;

    self->step = step;
    self->where = where;
    count_step(self, step);
    if (schedule.now_ns >= schedule.earliest_ns)
        wake_due();
    else if ((chance >> 20 & style->time_mask) == 0)
        (void)pass_time();
    if (style->spurious && (chance >> 40 & SPURIOUS_MASK) == 0)
        wake_spuriously();

    if (style->priorities && changes)
        self->priority = --schedule.priority_lowest;
    if (style->priorities || changes)
        hand_over(self, choose());
}

void schedule_block(struct schedule_thread *self)
{
    if (self->deadline_ns < schedule.earliest_ns)
        schedule.earliest_ns = self->deadline_ns;
    hand_over(self, choose_in_time());
    self->wait = WAIT_NOTHING;
    self->lock = NULL;
    self->mutex = NULL;
    self->other = NULL;
}

/* THREADS. */
struct schedule_thread *schedule_add(void *(*start)(void *), void *argument)
{
    struct schedule_thread *thread = schedule.threads;
    unsigned slot = 0;

    while (slot < SCHEDULE_THREADS_MAX && schedule.threads[slot].used)
        slot++;
    if (slot == SCHEDULE_THREADS_MAX)
        schedule_fail("too many threads at a time");
    thread += slot;
    memset(thread, 0, sizeof *thread);
    thread->used = true;
    thread->slot = slot;
    thread->number = schedule.thread_count++;
    thread->priority = PRIORITY_MIN + schedule_random_below(PRIORITY_MIN);
    thread->start = start;
    thread->argument = argument;
    thread->deadline_ns = SCHEDULE_NEVER;
    if (sem_init(&thread->baton, 0, 0) != 0)
        schedule_fail("no semaphore");
    if (slot >= schedule.slot_limit)
        schedule.slot_limit = slot + 1;
    return thread;
}

void schedule_remove(struct schedule_thread *thread)
{
    (void)sem_destroy(&thread->baton);
    thread->used = false;
    while (schedule.slot_limit > 0 && !schedule.threads[schedule.slot_limit - 1].used)
        schedule.slot_limit--;
}

static void finish(struct schedule_thread *self)
{
    self->step = STEP_END;
    self->where = NULL;
    if (self->held_count > 0)
        schedule_fail("thread %u ends and holds %u locks", self->number,
                      self->held_count);
    count_step(self, STEP_END);
    self->ended = true;
}

/* What this thread does after it has handed over for the last time is real. */
void *schedule_thread_main(void *context)
{
    struct schedule_thread *self = context;
    void *result;

    await_baton(self);
    this_thread = self;
    result = self->start(self->argument);
    finish(self);
    this_thread = NULL;
    (void)sem_post(&choose_in_time()->baton);
    return result;
}

static void begin(uint64_t seed)
{
    if (schedule.running)
        schedule_fail("it was left without an end, and now another begins");
    memset(&schedule, 0, sizeof schedule);
    schedule.running = true;
    schedule.seed = seed;
    schedule.random = seed;
    schedule.style = choose_style();
    schedule.priority_lowest = PRIORITY_MIN;
    schedule.now_ns = START_NS;
    schedule.earliest_ns = SCHEDULE_NEVER;
}

void schedule_run(uint64_t seed, schedule_function *function, void *context)
{
    unsigned outer_depth = pause_depth;
    struct schedule_thread *self;

    begin(seed);
    self = schedule_add(NULL, NULL);
    self->handle = pthread_self();
    pause_depth = 0;
    this_thread = self;
    function(context);
    finish(self);
    for (unsigned i = 0; i < schedule.slot_limit; i++) {
        if (schedule.threads[i].used && &schedule.threads[i] != self)
            schedule_fail("thread %u was never joined", schedule.threads[i].number);
    }
    this_thread = NULL;
    pause_depth = outer_depth;
    schedule_remove(self);
    schedule_locks_release();
    schedule.running = false;
}

void schedule_yield(void)
{
    struct schedule_thread *self = schedule_self();

    if (self != NULL)
        schedule_make_step(self, STEP_YIELD, __builtin_return_address(0));
}

bool schedule_is_running(void)
{
    return schedule_self() != NULL;
}

void schedule_pause(void)
{
    pause_depth++;
}

void schedule_resume(void)
{
    assert(pause_depth > 0);
    pause_depth--;
}

uint64_t schedule_step_count(void)
{
    return schedule.step_count;
}

uint64_t schedule_trace_hash(void)
{
    return schedule.trace_hash;
}

void schedule_limit_steps(uint64_t count)
{
    step_count_max = count > 0 ? count : STEP_COUNT_MAX;
}

void schedule_on_time(void (*hook)(uint64_t ms, void *context), void *context)
{
    time_hook = hook;
    time_context = context;
}

void schedule_on_stuck(schedule_function *hook, void *context)
{
    stuck_hook = hook;
    stuck_context = context;
}
