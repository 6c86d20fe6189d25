/* SPDX-License-Identifier: MIT */
/*
 * Carrying out a plan, in steps of a few files, each of which is whole or has not
 * happened. Between the pieces of a step it can be stopped, paused, slowed down, and
 * asked how far it is.
 */
#include "bitcask/merge.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/status.h"

enum {
    PACE_MS = 10,  /* the longest sleep, so that a stop is noticed */
    TELL_MS = 100, /* between calls of the callback while it sleeps */
    FIRST_STEP_SHARE = 4,
    BURST_MS = 100,      /* how far the pace may fall behind and be caught up */
    DRAFT_COUNT_MIN = 4, /* ids that one MANIFEST gives out */
    DRAFT_COUNT_MAX = 4096
};

bool bitcask_merge_is_fast(const struct bitcask_merge_run *run)
{
    return run->options->rate == 0 && !run->cask->options.no_background;
}

uint64_t bitcask_merge_elapsed_ms(const struct bitcask_merge_run *run)
{
    struct bitcask_io *io = run->cask->io;
    uint64_t now_ms = io->monotonic_ms(io);

    return now_ms > run->begun_ms ? now_ms - run->begun_ms : 0;
}

/*
 * Something has to come of it: else, where a file takes longer than that, one merge after
 * the other would be for nothing. So the first step may be late.
 */
static bool is_late(const struct bitcask_merge_run *run)
{
    uint64_t max_ms = run->options->max_ms;

    if (run->report->input_count == 0 && max_ms <= UINT64_MAX / FIRST_STEP_SHARE)
        max_ms *= FIRST_STEP_SHARE;
    return max_ms != 0 && bitcask_merge_elapsed_ms(run) >= max_ms;
}

/*
 * How long to sleep so that no more is read than the rate allows. Time that was not used,
 * in a pause for example, is not made up for.
 */
static uint64_t ahead_ms(struct bitcask_merge_run *run)
{
    uint64_t rate = run->options->rate;
    uint64_t elapsed_ms = bitcask_merge_elapsed_ms(run);
    uint64_t due_ms;

    if (rate == 0 || rate == UINT64_MAX || run->hurries ||
        (run->by_itself && bitcask_merge_is_wanted(&run->cask->merges)))
        return 0;
    due_ms = run->lost_ms + (uint64_t)((double)run->paced_size * 1000 / (double)rate);
    if (due_ms > elapsed_ms)
        return due_ms - elapsed_ms;
    if (elapsed_ms - due_ms > BURST_MS)
        run->lost_ms += elapsed_ms - due_ms - BURST_MS;
    return 0;
}

/* Whether it may go on, as far as others and the time are concerned. */
static bool may_go_on(struct bitcask_merge_run *run)
{
    return bitcask_merge_go_on(run) && !is_late(run);
}

/* False: the callback has ended it. */
static bool tell_progress(struct bitcask_merge_run *run)
{
    struct bitcask_merge_progress progress = { 0 };

    if (run->options->progress == NULL)
        return true;
    progress.done_size =
        run->done_size < run->total_size ? run->done_size : run->total_size;
    progress.total_size = run->total_size;
    progress.copied_size = run->copied_size;
    bitcask_merge_rest(&run->cask->merges);
    run->stop_status = run->options->progress(&progress, run->options->context);
    return bitcask_merge_go_on(run) && run->stop_status == BITCASK_OK;
}

/* Garbage is made faster than the rate lets it be given back. */
static bool is_behind(struct bitcask *cask)
{
    uint64_t percent = (100 + cask->options.merge_dead_percent) / 2;
    struct bitcask_stat stat;

    /* (No disk is so large that this overflows.) */
    return bitcask_stat(cask, &stat) == BITCASK_OK &&
           stat.dead_size * 100 > (stat.live_size + stat.dead_size) * percent;
}

/* Sleep until the pace allows more. False: end here. */
static bool keep_pace(struct bitcask_merge_run *run)
{
    struct bitcask_io *io = run->cask->io;
    uint64_t sleep_ms;
    uint64_t untold_ms = 0;

    while ((sleep_ms = ahead_ms(run)) > 0) {
        if (!may_go_on(run))
            return false;
        if (run->by_itself && untold_ms == 0 && is_behind(run->cask))
            run->hurries = true;
        if (sleep_ms > PACE_MS)
            sleep_ms = PACE_MS;
        bitcask_merge_rest(&run->cask->merges);
        io->sleep_ms(io, (uint32_t)sleep_ms);
        untold_ms += sleep_ms;
        if (untold_ms < TELL_MS)
            continue;
        untold_ms = 0;
        if (!tell_progress(run))
            return false;
    }
    return may_go_on(run);
}

enum bitcask_status bitcask_merge_checkpoint(struct bitcask_merge_run *run, uint64_t size)
{
    run->paced_size += size;
    run->done_size += size;
    run->stopped = !keep_pace(run) || !tell_progress(run);
    return run->stopped ? BITCASK_NOT_FOUND : BITCASK_OK;
}

enum bitcask_status bitcask_merge_take_draft(struct bitcask_merge_run *run,
                                             struct bitcask_manifest_segment *draft)
{
    if (run->draft_next == run->draft_count) {
        uint64_t file_size = run->cask->options.file_size_max;
        uint64_t wanted = DRAFT_COUNT_MIN + run->total_size / file_size / 2;
        size_t count = wanted < DRAFT_COUNT_MAX ? (size_t)wanted : DRAFT_COUNT_MAX;
        struct bitcask_manifest_segment *drafts = calloc(count, sizeof *drafts);
        enum bitcask_status status;

        if (drafts == NULL)
            return bitcask_fail_memory(count * sizeof *drafts);
        status = bitcask_commit_draft(&run->cask->commit, count, drafts);
        if (status != BITCASK_OK) {
            free(drafts);
            return status;
        }
        free(run->drafts);
        run->drafts = drafts;
        run->draft_count = count;
        run->draft_next = 0;
    }
    *draft = run->drafts[run->draft_next++];
    return BITCASK_OK;
}

/* The active file takes part only when it is sealed; its numbers may have grown. */
static enum bitcask_status seal_active(struct bitcask_merge_run *run)
{
    for (size_t i = 0; i < run->plan.file_count; i++) {
        struct bitcask_plan_file *file = &run->plan.files[i];
        enum bitcask_status status;

        if (!file->taken || !file->active)
            continue;
        status = bitcask_commit_seal(&run->cask->commit, file->id);
        if (status != BITCASK_OK)
            return status;
        file->data_size = atomic_load(&file->segment->data_size);
        file->live_size = atomic_load(&file->segment->live_size);
        file->live_count = atomic_load(&file->segment->live_count);
        file->record_count = atomic_load(&file->segment->record_count);
        file->tombstone_size = atomic_load(&file->segment->tombstone_size);
        file->tombstone_count = atomic_load(&file->segment->tombstone_count);
        file->tombstone_first = atomic_load(&file->segment->tombstone_first);
        file->tombstone_last = atomic_load(&file->segment->tombstone_last);
        file->last_sequence = atomic_load(&file->segment->last_sequence);
        file->expires = atomic_load(&file->segment->expires);
    }
    return BITCASK_OK;
}

/* Leave @file as it is: from now on it stays behind. */
static void leave(struct bitcask_merge_run *run, struct bitcask_plan_file *file)
{
    file->taken = false;
    run->report->left_count++;
}

void bitcask_merge_remember(struct bitcask_merge_run *run, enum bitcask_status status)
{
    if (run->status != BITCASK_OK || status == BITCASK_OK)
        return;
    run->status = status;
    (void)strncpy(run->detail, bitcask_error_detail(), sizeof run->detail - 1);
}

/*
 * There was not enough room for a step of @count files from @files on: make it smaller,
 * or leave its only file for later, when others have given room.
 */
static void shrink_step(struct bitcask_merge_run *run, struct bitcask_plan_file *files,
                        size_t count)
{
    const struct bitcask_plan_file *end = run->plan.files + run->plan.file_count;

    if (count > 1) {
        for (struct bitcask_plan_file *file = files + count / 2; file < end; file++) {
            if (file->taken && !file->done)
                file->step++;
        }
        return;
    }
    files->taken = false;
    files->crowded = true;
}

/* Carry out one step of @count files from @files on. False: go no further. */
static bool run_step(struct bitcask_merge_run *run, struct bitcask_plan_file *files,
                     size_t count)
{
    uint64_t horizon = bitcask_plan_horizon(&run->plan, files->step);
    struct bitcask_plan_file *damaged = NULL;
    uint64_t done_size = run->done_size;
    enum bitcask_status status;

    run->in_step = true;
    status = bitcask_merge_step(run, files, count, horizon, &damaged);
    run->in_step = false;
    if (!files->done)
        run->done_size = done_size;
    if (status == BITCASK_OK)
        return true;
    if (damaged != NULL) {
        damaged->segment->damaged = true;
        bitcask_merge_remember(run, status);
        leave(run, damaged);
        return true;
    }
    if (status == BITCASK_NO_SPACE && !files->done &&
        bitcask_merge_finisher_drain(run->finisher))
        return true; /* there may be room now: again */
    if (status == BITCASK_NO_SPACE && !files->done) {
        (void)strncpy(run->crowded_detail, bitcask_error_detail(),
                      sizeof run->crowded_detail - 1);
        shrink_step(run, files, count);
        return true;
    }
    if (status == BITCASK_IO && files->done) { /* only a removal has failed */
        bitcask_merge_remember(run, status);
        return true;
    }
    if (run->stopped)
        status = run->stop_status;
    else if (status == BITCASK_NOT_FOUND) /* the directory, perhaps; not an end */
        status = BITCASK_IO;
    bitcask_merge_remember(run, status);
    return false;
}

/* The next step that is to be done: its files lie together. */
static size_t find_step(const struct bitcask_plan *plan, struct bitcask_plan_file **files)
{
    size_t first = 0;
    size_t count = 0;

    while (first < plan->file_count &&
           (!plan->files[first].taken || plan->files[first].done))
        first++;
    *files = plan->files + first;
    while (first + count < plan->file_count && (*files)[count].taken &&
           !(*files)[count].done && (*files)[count].step == (*files)->step)
        count++;
    return count;
}

static bool run_steps(struct bitcask_merge_run *run)
{
    struct bitcask_plan_file *files;
    size_t count;

    while ((count = find_step(&run->plan, &files)) > 0) {
        if (run->by_itself && bitcask_merge_is_wanted(&run->cask->merges)) {
            run->made_way = true;
            return false;
        }
        if (bitcask_merge_checkpoint(run, 0) != BITCASK_OK) {
            bitcask_merge_remember(run, run->stop_status);
            return false;
        }
        if (!run_step(run, files, count))
            return false;
    }
    return true;
}

/*
 * Files for which there was no room, the one with the least to copy first: what others
 * have given back may do. False: no more can be done.
 */
static bool take_crowded(struct bitcask_merge_run *run)
{
    struct bitcask_plan_file *least = NULL;

    for (size_t i = 0; i < run->plan.file_count; i++) {
        struct bitcask_plan_file *file = &run->plan.files[i];

        if (file->crowded && (least == NULL || file->live_size < least->live_size))
            least = file;
    }
    if (least == NULL)
        return false;
    least->crowded = false;
    least->taken = true;
    least->step = UINT32_MAX;
    return true;
}

static uint64_t count_crowded(const struct bitcask_plan *plan)
{
    uint64_t count = 0;

    for (size_t i = 0; i < plan->file_count; i++)
        count += plan->files[i].crowded;
    return count;
}

static void run_plan(struct bitcask_merge_run *run)
{
    bool goes_on = run_steps(run);
    uint64_t input_count = UINT64_MAX;

    /* As long as one more could be merged since the last time. */
    while (goes_on && run->report->input_count != input_count &&
           count_crowded(&run->plan) > 0) {
        uint64_t tries = count_crowded(&run->plan);

        input_count = run->report->input_count;
        while (goes_on && tries-- > 0 && take_crowded(run))
            goes_on = run_steps(run);
    }
    if (count_crowded(&run->plan) > 0 && run->status == BITCASK_OK) {
        run->status = BITCASK_NO_SPACE;
        memcpy(run->detail, run->crowded_detail, sizeof run->detail);
    }
    for (size_t i = 0; i < run->plan.file_count; i++) {
        const struct bitcask_plan_file *file = &run->plan.files[i];

        run->report->left_count += file->crowded || (file->taken && !file->done);
    }
}

static void give_back_drafts(struct bitcask_merge_run *run)
{
    while (run->draft_next < run->draft_count)
        bitcask_commit_drop(&run->cask->commit, run->drafts[run->draft_next++].id);
    free(run->drafts);
}

enum bitcask_status bitcask_merge_carry_out(struct bitcask_merge_run *run)
{
    enum bitcask_status status = bitcask_commit_check(&run->cask->commit);

    if (status == BITCASK_OK)
        status = seal_active(run);
    if (status == BITCASK_OK)
        status = bitcask_merge_copier_create(&run->copier, run);
    if (status == BITCASK_OK)
        status = bitcask_merge_finisher_start(&run->finisher, run);
    if (status == BITCASK_OK) {
        (void)bitcask_plan_divide(&run->plan);
        run_plan(run);
        bitcask_merge_remember(run, bitcask_merge_finisher_end(run->finisher));
    } else {
        bitcask_merge_remember(run, status);
        run->report->left_count = run->report->taken_count;
    }
    bitcask_merge_copier_free(run->copier);
    give_back_drafts(run);
    if (run->report->input_count > 0)
        atomic_fetch_add(&run->cask->merges.count, 1);
    return run->status;
}
