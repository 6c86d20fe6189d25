/* SPDX-License-Identifier: MIT */
/*
 * Whose turn it is to merge, and when it has to rest.
 */
#include "bitcask/merge.h"

#include "bitcask/status.h"

enum bitcask_status bitcask_merges_init(struct bitcask_merges *merges)
{
    if (pthread_mutex_init(&merges->lock, NULL) != 0)
        return bitcask_fail_memory(sizeof merges->lock);
    if (pthread_cond_init(&merges->changed, NULL) != 0) {
        (void)pthread_mutex_destroy(&merges->lock);
        return bitcask_fail_memory(sizeof merges->changed);
    }
    merges->ready = true;
    return BITCASK_OK;
}

void bitcask_merges_release(struct bitcask_merges *merges)
{
    if (!merges->ready)
        return;
    (void)pthread_cond_destroy(&merges->changed);
    (void)pthread_mutex_destroy(&merges->lock);
    merges->ready = false;
}

void bitcask_merges_stop(struct bitcask_merges *merges, uint64_t until_ms)
{
    if (!merges->ready)
        return;
    (void)pthread_mutex_lock(&merges->lock);
    merges->stop = true;
    merges->stop_ms = until_ms;
    (void)pthread_cond_broadcast(&merges->changed);
    (void)pthread_mutex_unlock(&merges->lock);
}

void bitcask_merge_end_run(struct bitcask_merges *merges)
{
    (void)pthread_mutex_lock(&merges->lock);
    merges->running = false;
    (void)pthread_cond_broadcast(&merges->changed);
    (void)pthread_mutex_unlock(&merges->lock);
}

void bitcask_merge_rest(struct bitcask_merges *merges)
{
    (void)pthread_mutex_lock(&merges->lock);
    merges->resting = true;
    (void)pthread_cond_broadcast(&merges->changed);
    (void)pthread_mutex_unlock(&merges->lock);
}

bool bitcask_merge_go_on(const struct bitcask_merge_run *run)
{
    struct bitcask_merges *merges = &run->cask->merges;
    struct bitcask_io *io = run->cask->io;
    bool ends;

    (void)pthread_mutex_lock(&merges->lock);
    for (;;) {
        ends = merges->stop && !(run->in_step && io->monotonic_ms(io) < merges->stop_ms);
        if (ends || merges->stop || merges->pause_count == 0)
            break;
        merges->resting = true; /* that is what a pause waits for */
        (void)pthread_cond_broadcast(&merges->changed);
        (void)pthread_cond_wait(&merges->changed, &merges->lock);
    }
    merges->resting = false;
    (void)pthread_mutex_unlock(&merges->lock);
    return !ends;
}

bool bitcask_merge_is_wanted(struct bitcask_merges *merges)
{
    bool wanted;

    (void)pthread_mutex_lock(&merges->lock);
    wanted = merges->caller_count > 0 || merges->stop;
    (void)pthread_mutex_unlock(&merges->lock);
    return wanted;
}

static enum bitcask_status fail_in_callback(void)
{
    return bitcask_fail_constant(BITCASK_MISUSE,
                                 "a callback of a merge has called bitcask_merge()");
}

static bool is_runner(const struct bitcask_merges *merges)
{
    return merges->running && pthread_equal(merges->runner, pthread_self());
}

enum bitcask_status bitcask_merge_begin_run(struct bitcask_merges *merges, bool by_itself)
{
    enum bitcask_status status = BITCASK_OK;

    (void)pthread_mutex_lock(&merges->lock);
    if (is_runner(merges)) {
        status = fail_in_callback();
    } else if (by_itself && (merges->running || merges->caller_count > 0)) {
        status = BITCASK_NOT_FOUND;
    } else {
        merges->caller_count += !by_itself;
        while (merges->running && !merges->stop)
            (void)pthread_cond_wait(&merges->changed, &merges->lock);
        merges->caller_count -= !by_itself;
        if (merges->stop)
            status = BITCASK_NOT_FOUND;
    }
    if (status == BITCASK_OK) {
        merges->running = true;
        merges->runner = pthread_self();
        merges->by_itself = by_itself;
        merges->resting = true;
    }
    (void)pthread_mutex_unlock(&merges->lock);
    return status;
}

/* With the lock held: let nothing be done from now on. */
static void hold(struct bitcask_merges *merges)
{
    merges->pause_count++;
    while ((merges->running && !merges->resting) || merges->finishing)
        (void)pthread_cond_wait(&merges->changed, &merges->lock);
}

enum bitcask_status bitcask_merge_begin_look(struct bitcask_merges *merges)
{
    enum bitcask_status status = BITCASK_OK;

    (void)pthread_mutex_lock(&merges->lock);
    if (is_runner(merges))
        status = fail_in_callback();
    else
        hold(merges);
    (void)pthread_mutex_unlock(&merges->lock);
    return status;
}

void bitcask_merge_end_look(struct bitcask_merges *merges)
{
    (void)pthread_mutex_lock(&merges->lock);
    merges->pause_count--;
    (void)pthread_cond_broadcast(&merges->changed);
    (void)pthread_mutex_unlock(&merges->lock);
}

enum bitcask_status bitcask_merge_pause(struct bitcask *cask)
{
    enum bitcask_status status = bitcask_cask_check(cask);
    struct bitcask_merges *merges;

    if (status != BITCASK_OK)
        return status;
    if (cask->options.read_only)
        return bitcask_fail_constant(BITCASK_READ_ONLY, "the cask was opened read-only");
    merges = &cask->merges;
    (void)pthread_mutex_lock(&merges->lock);
    hold(merges);
    (void)pthread_mutex_unlock(&merges->lock);
    return BITCASK_OK;
}

enum bitcask_status bitcask_merge_resume(struct bitcask *cask)
{
    enum bitcask_status status = bitcask_cask_check(cask);
    struct bitcask_merges *merges;

    if (status != BITCASK_OK)
        return status;
    if (cask->options.read_only)
        return bitcask_fail_constant(BITCASK_READ_ONLY, "the cask was opened read-only");
    merges = &cask->merges;
    (void)pthread_mutex_lock(&merges->lock);
    if (merges->pause_count > 0)
        merges->pause_count--;
    else
        status = bitcask_fail_constant(BITCASK_MISUSE, "merging is not paused");
    (void)pthread_cond_broadcast(&merges->changed);
    (void)pthread_mutex_unlock(&merges->lock);
    return status;
}
