/* SPDX-License-Identifier: MIT */
/*
 * One step of a merge: a few files are replaced by what is live in them, or nothing has
 * happened.
 *
 *     copy          outputs are written and synced; the MANIFEST calls them drafts
 *     switch        everything appended so far is synced, for records were dropped on the
 *                   strength of it; a MANIFEST lists the outputs, and retires the inputs
 *     repoint       the keydir points to the outputs
 *     wait          for those who still read from the inputs
 *     remove        the inputs, in any order: nothing lists them
 *
 * A crash before the switch leaves drafts, one after it leaves retired files; the next
 * open removes either.
 */
#include <stdlib.h>

#include "bitcask/merge.h"
#include "bitcask/status.h"

static void count_step(struct bitcask_merge_run *run,
                       const struct bitcask_plan_file *files, size_t count,
                       size_t output_count)
{
    const struct bitcask_merge_counts *counts = bitcask_merge_copier_counts(run->copier);
    struct bitcask_merges *merges = &run->cask->merges;
    struct bitcask_merge_report *report = run->report;
    uint64_t input_size = 0;

    for (size_t i = 0; i < count; i++)
        input_size += files[i].data_size;
    report->input_count += count;
    report->output_count += output_count;
    report->input_size += input_size;
    report->output_size += counts->output_size;
    report->record_in_count += counts->record_in_count;
    report->record_out_count += counts->record_out_count;
    report->tombstone_dropped_count += counts->dropped_count;
    report->tombstone_kept_count += counts->kept_count;
    atomic_fetch_add(&merges->copied_size, counts->output_size);
    if (input_size > counts->output_size)
        atomic_fetch_add(&merges->freed_size, input_size - counts->output_size);
}

/* Copy what is live in the inputs. */
static enum bitcask_status copy(struct bitcask_merge_run *run,
                                struct bitcask_plan_file *files, size_t count,
                                uint64_t horizon, struct bitcask_plan_file **damaged)
{
    struct bitcask_merge_copier *copier = run->copier;

    for (size_t i = 0; i < count; i++) {
        struct bitcask_plan_file *file = &files[i];
        enum bitcask_status status;

        file->live_count = atomic_load(&file->segment->live_count);
        if (bitcask_plan_is_all_dead(file, horizon)) {
            bitcask_merge_copier_skip(copier, file->record_count, file->tombstone_count);
            status = bitcask_merge_checkpoint(run, 0);
            run->done_size += file->data_size;
        } else {
            status = bitcask_merge_copy(copier, file->segment);
        }
        if (status == BITCASK_CORRUPT ||
            (status == BITCASK_IO && bitcask_merge_copier_is_unreadable(copier)))
            *damaged = file;
        if (status != BITCASK_OK)
            return status;
    }
    return bitcask_merge_copier_finish(copier);
}

static enum bitcask_status switch_to_outputs(struct bitcask_merge_run *run,
                                             const struct bitcask_switch *change,
                                             bool *unknown)
{
    struct bitcask_commit *commit = &run->cask->commit;
    uint64_t last, synced;

    bitcask_commit_sequences(commit, &last, &synced);
    return bitcask_commit_switch(commit, change, last, unknown);
}

enum bitcask_status bitcask_merge_step(struct bitcask_merge_run *run,
                                       struct bitcask_plan_file *files, size_t count,
                                       uint64_t horizon,
                                       struct bitcask_plan_file **damaged)
{
    struct bitcask *cask = run->cask;
    struct bitcask_switch change = { .input_count = count };
    uint64_t last, synced;
    bool unknown = false;
    enum bitcask_status status;

    *damaged = NULL;
    change.inputs = calloc(count, sizeof(struct bitcask_segment *));
    if (change.inputs == NULL)
        return bitcask_fail_memory(count * sizeof(struct bitcask_segment *));
    for (size_t i = 0; i < count; i++)
        change.inputs[i] = files[i].segment;

    /* Whoever has appended a record but not shown it yet holds a writer mutex. */
    bitcask_commit_sequences(&cask->commit, &last, &synced);
    bitcask_keydir_wait_writers(cask->keydir);
    bitcask_merge_copier_begin(run->copier, horizon, last);
    status = copy(run, files, count, horizon, damaged);
    if (status == BITCASK_OK)
        status = bitcask_merge_copier_take(run->copier, &change);
    if (status == BITCASK_OK)
        status = switch_to_outputs(run, &change, &unknown);
    if (status != BITCASK_OK) {
        /* Files of which it is not known whether they are of the cask stay. */
        if (!unknown)
            bitcask_merge_copier_discard(run->copier);
        free(change.inputs);
        free(change.outputs);
        return status;
    }
    for (size_t i = 0; i < count; i++)
        files[i].done = true;
    count_step(run, files, count, change.output_count);
    return bitcask_merge_finish(run->finisher, &change);
}
