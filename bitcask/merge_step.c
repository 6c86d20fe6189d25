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

/* Reads are short: a look every millisecond. */
static void wait_for_readers(void *context)
{
    struct bitcask_io *io = context;

    io->sleep_ms(io, 1);
}

/*
 * Nobody can find a place in @input any more. A file that cannot be removed stays listed
 * as retired.
 */
static enum bitcask_status remove_input(struct bitcask *cask,
                                        struct bitcask_segment *input)
{
    uint64_t id = input->id;
    enum bitcask_status status;

    bitcask_background_forget(&cask->background, input);
    bitcask_commit_forget(&cask->commit, input);
    status = bitcask_commit_remove_files(cask->io, cask->directory, id);
    if (status == BITCASK_OK)
        bitcask_commit_drop(&cask->commit, id);
    return status;
}

static enum bitcask_status remove_inputs(struct bitcask *cask,
                                         const struct bitcask_switch *change)
{
    enum bitcask_status first = BITCASK_OK;

    bitcask_keydir_wait_readers(cask->keydir, wait_for_readers, cask->io);
    for (size_t i = 0; i < change->input_count; i++) {
        enum bitcask_status status = remove_input(cask, change->inputs[i]);

        if (first == BITCASK_OK)
            first = status;
    }
    return first;
}

/*
 * If an output cannot be read back the keydir goes on pointing to the inputs, which then
 * stay for as long as the cask is open: they have the same records.
 */
static enum bitcask_status repoint(struct bitcask_merge_copier *copier,
                                   const struct bitcask_switch *change)
{
    for (size_t i = 0; i < change->output_count; i++) {
        enum bitcask_status status = bitcask_merge_repoint(copier, change->outputs[i]);

        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

static void count_step(struct bitcask_merge_run *run,
                       const struct bitcask_plan_file *files, size_t count)
{
    const struct bitcask_merge_counts *counts = bitcask_merge_copier_counts(run->copier);
    struct bitcask_merges *merges = &run->cask->merges;
    struct bitcask_merge_report *report = run->report;
    uint64_t input_size = 0;
    size_t output_count;

    (void)bitcask_merge_copier_outputs(run->copier, &output_count);
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
    struct bitcask_segment **inputs = calloc(count, sizeof(struct bitcask_segment *));
    struct bitcask_switch change = { .inputs = inputs, .input_count = count };
    uint64_t last, synced;
    bool unknown = false;
    enum bitcask_status status;

    *damaged = NULL;
    if (inputs == NULL)
        return bitcask_fail_memory(count * sizeof(struct bitcask_segment *));
    for (size_t i = 0; i < count; i++)
        inputs[i] = files[i].segment;

    /* Whoever has appended a record but not shown it yet holds a writer mutex. */
    bitcask_commit_sequences(&cask->commit, &last, &synced);
    bitcask_keydir_wait_writers(cask->keydir);
    bitcask_merge_copier_begin(run->copier, horizon, last);
    status = copy(run, files, count, horizon, damaged);
    if (status == BITCASK_OK) {
        change.outputs = bitcask_merge_copier_outputs(run->copier, &change.output_count);
        status = switch_to_outputs(run, &change, &unknown);
    }
    if (status != BITCASK_OK) {
        /* Files of which it is not known whether they are of the cask stay. */
        if (!unknown)
            bitcask_merge_copier_discard(run->copier);
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        files[i].done = true;
    count_step(run, files, count);
    status = repoint(run->copier, &change);
    if (status == BITCASK_OK)
        status = remove_inputs(cask, &change);

out:
    free(inputs);
    return status;
}
