/* SPDX-License-Identifier: MIT */
/*
 * Merging as others see it: what is chosen, what is told beforehand, what is reported.
 */
#include "bitcask/merge.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/check.h"
#include "bitcask/status.h"

/* A step writes so much, or one data file if that is more. */
#define STEP_SIZE ((uint64_t)16 << 20)

const char *bitcask_merge_reason_text(enum bitcask_merge_reason reason)
{
    static const char *const texts[] = {
        [BITCASK_MERGE_LEFT] = "too little of it is dead",
        [BITCASK_MERGE_LEFT_DAMAGED] = "it is damaged",
        [BITCASK_MERGE_LEFT_NEEDED] = "its tombstones are still needed",
        [BITCASK_MERGE_LEFT_UNASKED] = "it was not asked for",
        [BITCASK_MERGE_DEAD] = "enough of it is dead",
        [BITCASK_MERGE_ALL_DEAD] = "all of it is dead",
        [BITCASK_MERGE_TOMBSTONES] = "tombstones wait for it, or are in it",
        [BITCASK_MERGE_SMALL] = "it is small, and joined with others",
        [BITCASK_MERGE_ASKED] = "it was asked for",
    };

    if ((unsigned)reason >= sizeof texts / sizeof *texts)
        return "unknown reason";
    return texts[reason];
}

/* All data files of the cask as they are now. */
static enum bitcask_status collect(struct bitcask *cask, struct bitcask_plan *plan)
{
    struct bitcask_segments *segments = &cask->segments;
    uint32_t count;

    bitcask_segments_lock(segments);
    count = atomic_load(&segments->count);
    plan->files = calloc(count > 0 ? count : 1, sizeof *plan->files);
    plan->file_count = 0;
    for (uint32_t i = 0; i < count && plan->files != NULL; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(segments, i);
        struct bitcask_plan_file *file = &plan->files[plan->file_count];

        if (segment == NULL || !atomic_load(&segment->member) ||
            atomic_load(&segment->data_size) == 0)
            continue;
        file->segment = segment;
        file->id = segment->id;
        file->live_size = atomic_load(&segment->live_size); /* before data_size */
        file->live_count = atomic_load(&segment->live_count);
        file->tombstone_size = atomic_load(&segment->tombstone_size);
        file->tombstone_count = atomic_load(&segment->tombstone_count);
        file->tombstone_first = atomic_load(&segment->tombstone_first);
        file->tombstone_last = atomic_load(&segment->tombstone_last);
        file->record_count = atomic_load(&segment->record_count);
        file->first_sequence = atomic_load(&segment->first_sequence);
        file->last_sequence = atomic_load(&segment->last_sequence);
        file->purged_sequence = segment->purged_sequence;
        file->data_size = atomic_load(&segment->data_size);
        file->active = !atomic_load(&segment->sealed);
        file->damaged = segment->damaged;
        file->expires = atomic_load(&segment->expires);
        plan->file_count++;
    }
    bitcask_segments_unlock(segments);
    if (plan->files == NULL)
        return bitcask_fail_memory(count * sizeof *plan->files);
    plan->dead_percent = cask->options.merge_dead_percent;
    plan->file_size_max = cask->options.file_size_max;
    plan->step_size = plan->file_size_max > STEP_SIZE ? plan->file_size_max : STEP_SIZE;
    return BITCASK_OK;
}

static enum bitcask_status choose(struct bitcask_merge_run *run)
{
    const struct bitcask_merge_options *options = run->options;
    enum bitcask_status status = BITCASK_OK;

    switch (options->choice) {
    case BITCASK_MERGE_POLICY:
        bitcask_plan_choose(&run->plan);
        break;
    case BITCASK_MERGE_ALL:
        bitcask_plan_choose_all(&run->plan);
        break;
    case BITCASK_MERGE_FILES:
        status =
            bitcask_plan_choose_files(&run->plan, options->file_ids, options->file_count);
        break;
    }
    return status;
}

static int compare_ids(const void *left, const void *right)
{
    uint64_t a = (*(const struct bitcask_plan_file *const *)left)->id;
    uint64_t b = (*(const struct bitcask_plan_file *const *)right)->id;

    return a < b ? -1 : a > b;
}

static enum bitcask_status explain(struct bitcask_merge_run *run)
{
    struct bitcask_plan *plan = &run->plan;
    const struct bitcask_plan_file **files;
    enum bitcask_status status = BITCASK_OK;

    if (run->options->explain == NULL)
        return BITCASK_OK;
    files = calloc(plan->file_count + 1, sizeof(const struct bitcask_plan_file *));
    if (files == NULL)
        return bitcask_fail_memory(plan->file_count * sizeof *files);
    for (size_t i = 0; i < plan->file_count; i++)
        files[i] = &plan->files[i];
    qsort(files, plan->file_count, sizeof(const struct bitcask_plan_file *), compare_ids);
    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
        struct bitcask_merge_file file = {
            .id = files[i]->id,
            .data_size = files[i]->data_size,
            .live_size = files[i]->live_size,
            .tombstone_size = files[i]->tombstone_size,
            .freed_size = files[i]->taken ? bitcask_plan_freed_size(files[i]) : 0,
            .reason = files[i]->reason,
            .taken = files[i]->taken,
            .active = files[i]->active,
        };

        if (!run->options->dry_run)
            bitcask_merge_rest(&run->cask->merges);
        status = run->options->explain(&file, run->options->context);
        if (!run->options->dry_run && !bitcask_merge_go_on(run) && status == BITCASK_OK) {
            run->stopped = true;
            break;
        }
    }
    free(files);
    return status;
}

/*
 * Where it is not certain which tombstones can go, find out by reading. Only for who
 * wants to know beforehand.
 */
static enum bitcask_status look_at_tombstones(struct bitcask_merge_run *run)
{
    enum bitcask_status status = BITCASK_OK;

    if (run->options->dry_run ? run->options->estimate : run->options->explain == NULL)
        return BITCASK_OK;
    for (size_t i = 0; i < run->plan.file_count && status == BITCASK_OK; i++) {
        struct bitcask_plan_file *file = &run->plan.files[i];
        uint64_t horizon;

        if (!file->taken || file->tombstone_count == 0)
            continue;
        horizon = bitcask_plan_horizon(&run->plan, file->step);
        if (file->tombstone_last > horizon)
            status = bitcask_merge_count_kept(run, file, horizon);
        if (status == BITCASK_CORRUPT) /* the merge will say so */
            status = BITCASK_OK;
    }
    return status;
}

/* What the merge would report, for a dry run. */
static void foretell(struct bitcask_merge_run *run)
{
    struct bitcask_merge_report *report = run->report;
    const uint64_t room = run->plan.file_size_max - BITCASK_FILE_HEADER_SIZE;
    uint64_t copied = 0;
    uint32_t step = UINT32_MAX;

    for (size_t i = 0; i < run->plan.file_count && run->plan.files[i].taken; i++) {
        const struct bitcask_plan_file *file = &run->plan.files[i];
        uint64_t file_copied = bitcask_plan_copied_size(file);

        if (file->step != step)
            copied = 0;
        step = file->step;
        if (file_copied > 0 && copied == 0)
            report->output_count++;
        copied += file_copied;
        while (copied > room) {
            report->output_count++;
            copied -= room;
        }
        report->input_count++;
        report->input_size += file->data_size;
        report->output_size += file_copied;
        report->record_in_count += file->record_count;
        report->record_out_count += file->live_count + file->kept_count;
        report->tombstone_kept_count += file->kept_count;
        if (file->tombstone_count > file->kept_count)
            report->tombstone_dropped_count += file->tombstone_count - file->kept_count;
    }
    report->output_size += report->output_count * BITCASK_FILE_HEADER_SIZE;
}

/* The hints of what is taken are not worth writing any more. */
static void skip_hints(struct bitcask_merge_run *run)
{
    for (size_t i = 0; i < run->plan.file_count; i++) {
        const struct bitcask_plan_file *file = &run->plan.files[i];

        if (file->taken)
            bitcask_background_skip(&run->cask->background, file->segment);
    }
}

/* But those of what was not merged after all are. */
static void hint_what_was_left(struct bitcask_merge_run *run)
{
    for (size_t i = 0; i < run->plan.file_count; i++) {
        const struct bitcask_plan_file *file = &run->plan.files[i];

        if (!file->done && file->wanted && atomic_load(&file->segment->sealed) &&
            atomic_load(&file->segment->hint_size) <
                atomic_load(&file->segment->data_size))
            bitcask_background_hint(&run->cask->background, file->segment);
    }
}

/* With the right to run, and all of @run set up. */
static enum bitcask_status merge(struct bitcask_merge_run *run)
{
    enum bitcask_status status = collect(run->cask, &run->plan);

    if (status == BITCASK_OK)
        status = choose(run);
    if (status != BITCASK_OK)
        return status;
    if (run->options->max_ms != 0 || run->hurries)
        run->plan.step_size = 0; /* what is done in time is a file, at least */
    (void)bitcask_plan_divide(&run->plan);
    for (size_t i = 0; i < run->plan.file_count && run->plan.files[i].taken; i++) {
        run->plan.files[i].wanted = true;
        run->report->taken_count++;
        run->total_size += run->plan.files[i].data_size;
    }
    status = look_at_tombstones(run);
    if (status == BITCASK_OK)
        status = explain(run);
    if (status != BITCASK_OK || run->stopped)
        return status;
    if (run->options->dry_run) {
        foretell(run);
        return BITCASK_OK;
    }
    /* What an earlier merge could not remove, perhaps can be now. */
    status = bitcask_commit_tidy(&run->cask->commit);
    if (status != BITCASK_OK)
        bitcask_merge_remember(run, status);
    if (run->report->taken_count == 0)
        return run->status;
    skip_hints(run);
    status = bitcask_merge_carry_out(run);
    hint_what_was_left(run);
    return status;
}

static enum bitcask_status run_merge(struct bitcask *cask,
                                     const struct bitcask_merge_options *options,
                                     struct bitcask_merge_report *report, bool by_itself)
{
    struct bitcask_merge_run run = {
        .cask = cask,
        .options = options,
        .report = report,
        .by_itself = by_itself,
        .hurries = by_itself && cask->merges.overdue,
        .begun_ms = cask->io->monotonic_ms(cask->io),
    };
    enum bitcask_status status = options->dry_run
                                     ? bitcask_merge_begin_look(&cask->merges)
                                     : bitcask_merge_begin_run(&cask->merges, by_itself);

    if (status != BITCASK_OK)
        return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
    if (options->dry_run) {
        status = merge(&run);
        bitcask_merge_end_look(&cask->merges);
    } else {
        if (bitcask_merge_go_on(&run))
            status = merge(&run);
        bitcask_merge_end_run(&cask->merges);
    }
    free(run.plan.files);
    if (run.made_way) /* and comes again */
        bitcask_background_grown(&cask->background);
    report->elapsed_ms = bitcask_merge_elapsed_ms(&run);
    if (status != BITCASK_OK && run.detail[0] != '\0')
        bitcask_fail(status, "%s", run.detail);
    return status;
}

static enum bitcask_status check_options(const struct bitcask_merge_options *options)
{
    if (bitcask_check_reserved(options->reserved_flags, sizeof options->reserved_flags) !=
            BITCASK_OK ||
        bitcask_check_reserved(options->reserved, sizeof options->reserved) != BITCASK_OK)
        return BITCASK_MISUSE;
    if ((unsigned)options->choice > BITCASK_MERGE_FILES)
        return bitcask_fail(BITCASK_MISUSE, "options.choice is %d, which is no choice",
                            (int)options->choice);
    if (options->choice == BITCASK_MERGE_FILES && options->file_count > 0 &&
        options->file_ids == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "options.file_ids is NULL");
    return BITCASK_OK;
}

enum bitcask_status bitcask_merge(struct bitcask *cask,
                                  const struct bitcask_merge_options *options,
                                  struct bitcask_merge_report *report)
{
    const struct bitcask_merge_options defaults = { 0 };
    struct bitcask_merge_report unwanted;
    enum bitcask_status status = bitcask_cask_check(cask);

    if (report == NULL)
        report = &unwanted;
    memset(report, 0, sizeof *report);
    if (options == NULL)
        options = &defaults;
    if (status == BITCASK_OK)
        status = check_options(options);
    if (status != BITCASK_OK)
        return status;
    if (cask->options.read_only && !options->dry_run)
        return bitcask_fail_constant(BITCASK_READ_ONLY, "the cask was opened read-only");
    return run_merge(cask, options, report, false);
}

enum bitcask_status bitcask_merge_due(struct bitcask *cask, bool *due)
{
    struct bitcask_plan plan = { 0 };
    enum bitcask_status status = bitcask_cask_check(cask);

    if (status == BITCASK_OK && due == NULL)
        status =
            bitcask_fail_constant(BITCASK_MISUSE, "the place for the answer is NULL");
    if (status == BITCASK_OK)
        status = collect(cask, &plan);
    if (status == BITCASK_OK)
        *due = bitcask_plan_due(&plan, cask->options.merge_trigger_size);
    free(plan.files);
    return status;
}

/*
 * Which tombstones have to be kept is only an estimate beforehand. After a merge that has
 * given back less than it should have, as much has to be written as it has copied before
 * the next one: so write amplification stays bounded, and no merge runs for ever.
 */
static void note_worth(struct bitcask *cask, const struct bitcask_merge_report *report)
{
    uint64_t percent = cask->options.merge_dead_percent;
    uint64_t freed = report->input_size > report->output_size
                         ? report->input_size - report->output_size
                         : 0;
    struct bitcask_stat stat;

    if ((double)freed * (double)(100 - percent) >=
            (double)report->output_size * (double)percent ||
        bitcask_stat(cask, &stat) != BITCASK_OK)
        return;
    cask->merges.idle_size = stat.appended_size + report->output_size;
}

/* Whether a merge is due, and the last one was worth it. */
static enum bitcask_status is_time(struct bitcask *cask, bool *due)
{
    struct bitcask_stat stat;
    enum bitcask_status status = bitcask_merge_due(cask, due);

    if (status == BITCASK_OK && *due && cask->merges.idle_size > 0) {
        status = bitcask_stat(cask, &stat);
        *due = status == BITCASK_OK && stat.appended_size >= cask->merges.idle_size;
    }
    return status;
}

enum bitcask_status bitcask_merge_by_itself(struct bitcask *cask)
{
    struct bitcask_merge_options options = { .rate = cask->options.merge_rate };
    struct bitcask_merge_report report = { .input_count = 1 };
    bool due = false;
    enum bitcask_status status = is_time(cask, &due);

    while (status == BITCASK_OK && due && report.input_count > 0) {
        memset(&report, 0, sizeof report);
        status = run_merge(cask, &options, &report, true);
        note_worth(cask, &report);
        if (report.input_count > 0 && report.left_count == 0)
            cask->merges.overdue = false;
        if (status == BITCASK_OK)
            status = is_time(cask, &due);
    }
    atomic_store(&cask->merges.failure, -(int)status);
    if (status == BITCASK_OK && due && !bitcask_background_is_grown(&cask->background))
        return BITCASK_NO_SPACE; /* nothing could be done: not soon again */
    return status;
}
