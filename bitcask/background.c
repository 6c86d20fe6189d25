/* SPDX-License-Identifier: MIT */
#include "bitcask/background.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/*
 * A sync is begun a little before it is due, since a thread that sleeps is never
 * woken in time to the millisecond.
 */
static uint64_t early_ms(uint64_t interval_ms)
{
    return interval_ms - interval_ms / 8;
}

/*
 * A merge is considered a little after something was written, and not for each record;
 * after one that could not do what is due, later and later.
 */
enum {
    MERGE_DELAY_MS = 100,
    MERGE_RETRY_MS_MIN = 1000,
    MERGE_RETRY_MS_MAX = 64000
};

/* Of a thread that has time: a tenth of the weight of others. */
enum {
    NICE_LEVEL = 10
};

/*
 * What the thread does nobody waits for, so it takes no processor from those who put and
 * get if there are not enough. Linux only, where a priority is a thread's own.
 */
static void be_nice(void)
{
#ifdef __linux__
    (void)setpriority(PRIO_PROCESS, 0, NICE_LEVEL);
#endif
}

/* Wait to be woken by @wake, or for @due_ms. */
static void wait_for(struct bitcask_background *background, pthread_cond_t *wake,
                     uint64_t due_ms)
{
    struct timespec until;

    if (due_ms == UINT64_MAX) {
        (void)pthread_cond_wait(wake, &background->lock);
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(due_ms / 1000);
    until.tv_nsec += (long)(due_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(wake, &background->lock, &until);
}

/*
 * The append lock is never taken with ours held: those who hold it wake us. A failed
 * sync is remembered by the append queue and told to the next writer.
 */
static void *run_syncs(void *context)
{
    struct bitcask_background *background = context;

    (void)pthread_mutex_lock(&background->lock);
    while (!background->stop) {
        uint64_t due_ms;

        background->unsynced = false;
        (void)pthread_mutex_unlock(&background->lock);
        due_ms = bitcask_commit_sync_due_ms(background->work.commit,
                                            early_ms(background->work.interval_ms));
        if (due_ms == 0)
            (void)bitcask_commit_sync(background->work.commit);
        (void)pthread_mutex_lock(&background->lock);
        if (due_ms > 0 && !background->stop &&
            !(due_ms == UINT64_MAX && background->unsynced))
            wait_for(background, &background->sync_wake, due_ms);
    }
    (void)pthread_mutex_unlock(&background->lock);
    return NULL;
}

/*
 * A hint that cannot be written is no reason to say anything: the next open scans, and
 * whoever then writes the cask tries again.
 */
static void write_next_hint(struct bitcask_background *background)
{
    struct bitcask_segment *segment = background->hint_queue[0];

    background->hint_writing = segment;
    background->hint_count--;
    memmove(background->hint_queue, background->hint_queue + 1,
            background->hint_count * sizeof(struct bitcask_segment *));
    (void)pthread_mutex_unlock(&background->lock);
    if (!bitcask_commit_is_tight(background->work.commit))
        (void)bitcask_segment_write_hint(background->work.segments, segment,
                                         atomic_load(&segment->data_size));
    (void)pthread_mutex_lock(&background->lock);
    background->hint_writing = NULL;
    (void)pthread_cond_broadcast(&background->hint_wake);
}

static void *run_aheads(void *context)
{
    struct bitcask_background *background = context;

    (void)pthread_mutex_lock(&background->lock);
    while (!background->stop) {
        if (!background->ahead_wanted) {
            (void)pthread_cond_wait(&background->ahead_wake, &background->lock);
            continue;
        }
        background->ahead_wanted = false;
        (void)pthread_mutex_unlock(&background->lock);
        while (bitcask_commit_work_ahead(background->work.commit) ||
               background->work.prepare(background->work.context))
            continue;
        (void)pthread_mutex_lock(&background->lock);
    }
    (void)pthread_mutex_unlock(&background->lock);
    return NULL;
}

/* A failed sync is remembered by the append queue here, too. */
static void seal_all(struct bitcask_background *background)
{
    background->seal_wanted = false;
    (void)pthread_mutex_unlock(&background->lock);
    while (bitcask_commit_seal_ended(background->work.commit) == BITCASK_OK)
        continue;
    (void)pthread_mutex_lock(&background->lock);
}

static void *run_hints(void *context)
{
    struct bitcask_background *background = context;

    be_nice();
    (void)pthread_mutex_lock(&background->lock);
    while (!background->stop) {
        if (background->seal_wanted)
            seal_all(background);
        else if (background->hint_count > 0)
            write_next_hint(background);
        else
            (void)pthread_cond_wait(&background->hint_wake, &background->lock);
    }
    (void)pthread_mutex_unlock(&background->lock);
    return NULL;
}

/* Wait for @ms, but not beyond the end. */
static void pause_merges(struct bitcask_background *background, uint64_t ms)
{
    uint64_t step_ms = MERGE_DELAY_MS;

    /* In steps, since a wait may end early. */
    for (; ms > 0 && !background->stop; ms -= step_ms) {
        step_ms = ms < MERGE_DELAY_MS ? ms : MERGE_DELAY_MS;
        wait_for(background, &background->merge_wake, step_ms);
    }
}

static void *run_merges(void *context)
{
    struct bitcask_background *background = context;
    bool at_once = background->work.merge_at_once;
    uint64_t retry_ms = 0;

    (void)pthread_mutex_lock(&background->lock);
    while (!background->stop) {
        enum bitcask_status status;

        if (!atomic_load(&background->grown)) {
            (void)pthread_cond_wait(&background->merge_wake, &background->lock);
            continue;
        }
        if (!at_once)
            pause_merges(background, retry_ms > 0 ? retry_ms : MERGE_DELAY_MS);
        at_once = false;
        if (background->stop)
            break;
        atomic_store(&background->grown, false);
        (void)pthread_mutex_unlock(&background->lock);
        status = background->work.merge(background->work.context);
        (void)pthread_mutex_lock(&background->lock);
        if (status == BITCASK_OK) {
            retry_ms = 0;
            continue;
        }
        retry_ms = retry_ms == 0 ? MERGE_RETRY_MS_MIN : 2 * retry_ms;
        if (retry_ms > MERGE_RETRY_MS_MAX)
            retry_ms = MERGE_RETRY_MS_MAX;
        atomic_store(&background->grown, true); /* it is still due */
    }
    (void)pthread_mutex_unlock(&background->lock);
    return NULL;
}

static bool init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    bool ready;

    if (pthread_condattr_init(&attributes) != 0)
        return false;
    ready = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
            pthread_cond_init(condition, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return ready;
}

static bool init_locks(struct bitcask_background *background)
{
    if (pthread_mutex_init(&background->lock, NULL) != 0)
        return false;
    if (init_condition(&background->sync_wake)) {
        if (init_condition(&background->hint_wake)) {
            if (init_condition(&background->merge_wake)) {
                if (init_condition(&background->ahead_wake))
                    return true;
                (void)pthread_cond_destroy(&background->merge_wake);
            }
            (void)pthread_cond_destroy(&background->hint_wake);
        }
        (void)pthread_cond_destroy(&background->sync_wake);
    }
    (void)pthread_mutex_destroy(&background->lock);
    return false;
}

void bitcask_background_start(struct bitcask_background *background,
                              const struct bitcask_background_work *work,
                              bool use_threads)
{
    sigset_t all, before;

    background->work = *work;
    background->ready = use_threads && init_locks(background);
    if (!background->ready)
        return;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    background->syncs =
        work->interval_ms > 0 &&
        pthread_create(&background->sync_thread, NULL, run_syncs, background) == 0;
    background->hints =
        pthread_create(&background->hint_thread, NULL, run_hints, background) == 0;
    background->aheads =
        background->hints &&
        pthread_create(&background->ahead_thread, NULL, run_aheads, background) == 0;
    background->merges =
        work->merge != NULL &&
        pthread_create(&background->merge_thread, NULL, run_merges, background) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (background->aheads)
        bitcask_commit_set_helped(work->commit, true);
}

void bitcask_background_stop(struct bitcask_background *background)
{
    if (!background->ready)
        return;
    (void)pthread_mutex_lock(&background->lock);
    background->stop = true;
    (void)pthread_cond_signal(&background->sync_wake);
    (void)pthread_cond_signal(&background->ahead_wake);
    (void)pthread_cond_broadcast(&background->hint_wake);
    (void)pthread_cond_signal(&background->merge_wake);
    (void)pthread_mutex_unlock(&background->lock);
    if (background->merges) /* it may still wait for a hint that is being written */
        (void)pthread_join(background->merge_thread, NULL);
    if (background->syncs)
        (void)pthread_join(background->sync_thread, NULL);
    if (background->aheads)
        (void)pthread_join(background->ahead_thread, NULL);
    if (background->hints)
        (void)pthread_join(background->hint_thread, NULL);
    if (background->aheads)
        bitcask_commit_set_helped(background->work.commit, false);
    background->merges = false;
    background->syncs = false;
    background->aheads = false;
    background->hints = false;

    (void)pthread_mutex_lock(&background->lock);
    while (background->hint_count > 0)
        write_next_hint(background);
    (void)pthread_mutex_unlock(&background->lock);
}

void bitcask_background_release(struct bitcask_background *background)
{
    if (background->ready) {
        (void)pthread_cond_destroy(&background->sync_wake);
        (void)pthread_cond_destroy(&background->ahead_wake);
        (void)pthread_cond_destroy(&background->hint_wake);
        (void)pthread_cond_destroy(&background->merge_wake);
        (void)pthread_mutex_destroy(&background->lock);
    }
    free(background->hint_queue);
    memset(background, 0, sizeof *background);
}

void bitcask_background_abandon(struct bitcask_background *background)
{
    if (background->ready && pthread_mutex_trylock(&background->lock) == 0)
        free(background->hint_queue);
}

void bitcask_background_ahead(struct bitcask_background *background)
{
    (void)pthread_mutex_lock(&background->lock);
    background->ahead_wanted = true;
    (void)pthread_cond_signal(&background->ahead_wake);
    (void)pthread_mutex_unlock(&background->lock);
}

void bitcask_background_ended(struct bitcask_background *background)
{
    (void)pthread_mutex_lock(&background->lock);
    background->seal_wanted = true;
    (void)pthread_cond_broadcast(&background->hint_wake);
    (void)pthread_mutex_unlock(&background->lock);
}

void bitcask_background_unsynced(struct bitcask_background *background)
{
    if (!background->syncs)
        return;
    (void)pthread_mutex_lock(&background->lock);
    background->unsynced = true;
    (void)pthread_cond_signal(&background->sync_wake);
    (void)pthread_mutex_unlock(&background->lock);
}

void bitcask_background_grown(struct bitcask_background *background)
{
    if (!background->merges || atomic_load(&background->grown))
        return;
    (void)pthread_mutex_lock(&background->lock);
    atomic_store(&background->grown, true);
    (void)pthread_cond_signal(&background->merge_wake);
    (void)pthread_mutex_unlock(&background->lock);
}

bool bitcask_background_is_grown(struct bitcask_background *background)
{
    return atomic_load(&background->grown);
}

/* With the lock held. */
static void dequeue(struct bitcask_background *background,
                    const struct bitcask_segment *segment)
{
    size_t kept = 0;

    for (size_t i = 0; i < background->hint_count; i++) {
        if (background->hint_queue[i] != segment)
            background->hint_queue[kept++] = background->hint_queue[i];
    }
    background->hint_count = kept;
}

void bitcask_background_skip(struct bitcask_background *background,
                             struct bitcask_segment *segment)
{
    if (!background->ready)
        return;
    (void)pthread_mutex_lock(&background->lock);
    dequeue(background, segment);
    (void)pthread_mutex_unlock(&background->lock);
}

void bitcask_background_forget(struct bitcask_background *background,
                               struct bitcask_segment *segment)
{
    if (!background->ready)
        return;
    (void)pthread_mutex_lock(&background->lock);
    dequeue(background, segment);
    while (background->hint_writing == segment)
        (void)pthread_cond_wait(&background->hint_wake, &background->lock);
    (void)pthread_mutex_unlock(&background->lock);
}

/* Without memory for the queue a segment goes without its hint. */
static void enqueue(struct bitcask_background *background,
                    struct bitcask_segment *segment)
{
    if (background->hint_count == background->hint_capacity) {
        size_t capacity =
            background->hint_capacity > 0 ? 2 * background->hint_capacity : 16;
        struct bitcask_segment **grown =
            realloc(background->hint_queue, capacity * sizeof(struct bitcask_segment *));

        if (grown == NULL)
            return;
        background->hint_queue = grown;
        background->hint_capacity = capacity;
    }
    background->hint_queue[background->hint_count++] = segment;
}

void bitcask_background_hint(struct bitcask_background *background,
                             struct bitcask_segment *segment)
{
    if (!background->hints) {
        (void)bitcask_segment_write_hint(background->work.segments, segment,
                                         atomic_load(&segment->data_size));
        return;
    }
    (void)pthread_mutex_lock(&background->lock);
    enqueue(background, segment);
    (void)pthread_cond_broadcast(&background->hint_wake);
    (void)pthread_mutex_unlock(&background->lock);
}
