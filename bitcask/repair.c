/* SPDX-License-Identifier: MIT */
/*
 * Repairing, in steps of which each leaves a cask that opens, or that can be repaired:
 *
 *     the new files are listed as drafts, if there is a MANIFEST that can list them
 *     the new files and their hints are written and synced
 *     what stays, but may be in the page cache alone, is written again and synced
 *     MANIFEST is replaced: it lists what is whole, and calls the rest quarantined
 *     the rest is moved to quarantine
 *     MANIFEST is replaced again, without the rest
 */
#include "bitcask/repair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/chain.h"
#include "bitcask/check.h"
#include "bitcask/commit.h"
#include "bitcask/file_name.h"

/* One call. */
struct repair {
    const struct bitcask_repair_options *options;
    struct bitcask_repair_report *report;
    struct bitcask_io *io;
    bitcask_file directory;
    struct bitcask_pace pace;
    unsigned phase;
    uint64_t verify_size; /* read by the verification that came first */
    bool reserve_is_bad;
    struct bitcask_repair_plan plan;
};

static enum bitcask_status tell_finding(const struct repair *repair,
                                        const struct bitcask_finding *finding)
{
    if (repair->options->finding == NULL)
        return BITCASK_OK;
    return bitcask_pace_stop(repair->options->finding(finding, repair->options->context));
}

static enum bitcask_status tell_step(const struct repair *repair,
                                     const struct bitcask_repair_step *step)
{
    if (repair->options->step == NULL)
        return BITCASK_OK;
    return bitcask_pace_stop(repair->options->step(step, repair->options->context));
}

/* What verifying finds is told; what it means for keys is not the same after a repair. */
static enum bitcask_status on_finding(const struct bitcask_finding *finding,
                                      void *context)
{
    struct repair *repair = context;

    if (finding->kind == BITCASK_FINDING_KEY)
        return BITCASK_OK;
    if (finding->kind == BITCASK_FINDING_RESERVE)
        repair->reserve_is_bad = true;
    return tell_finding(repair, finding);
}

/*
 * The cask is read to be verified, read to plan, and what is whole is copied: each counts
 * for a third, of the size that there is to verify.
 */
enum {
    PHASE_COUNT = 3
};

static enum bitcask_status on_progress(const struct bitcask_inspect_progress *progress,
                                       void *context)
{
    struct repair *repair = context;
    uint64_t unit = repair->phase == 0 ? progress->total_size : repair->verify_size;
    struct bitcask_inspect_progress told = { .done_size = repair->phase * unit,
                                             .total_size = PHASE_COUNT * unit };

    if (repair->options->progress == NULL)
        return BITCASK_OK;
    if (progress->total_size > 0)
        told.done_size += (uint64_t)((double)unit * (double)progress->done_size /
                                     (double)progress->total_size);
    return bitcask_pace_stop(repair->options->progress(&told, repair->options->context));
}

/* Whether an earlier repair has left something to move. */
static enum bitcask_status is_unfinished(struct repair *repair, bool *unfinished)
{
    struct bitcask_manifest manifest;
    enum bitcask_status status;

    *unfinished = false;
    bitcask_manifest_init(&manifest);
    status = bitcask_manifest_read(&manifest, repair->io, repair->directory);
    for (size_t i = 0; i < manifest.segment_count && status == BITCASK_OK; i++) {
        if (manifest.segments[i].state == BITCASK_MANIFEST_QUARANTINED)
            *unfinished = true;
    }
    bitcask_manifest_release(&manifest);
    return status;
}

/* Whether there is anything to do. */
static enum bitcask_status look(struct repair *repair, bool *needed)
{
    /* One thread, so that of two records with one sequence it always tells of the same.
     */
    struct bitcask_verify_options options = {
        .threads = 1, .finding = on_finding, .progress = on_progress, .context = repair
    };
    struct bitcask_verify_report found;
    enum bitcask_status status =
        bitcask_verify_open(repair->io, repair->directory, &options, &found);

    *needed = status == BITCASK_CORRUPT;
    repair->verify_size = found.read_size;
    repair->report->damage_count = found.damage_count;
    repair->report->needed = *needed;
    if (status == BITCASK_OK)
        status = is_unfinished(repair, needed);
    return status == BITCASK_CORRUPT ? BITCASK_OK : status;
}

static enum bitcask_status tell_steps(struct repair *repair)
{
    const struct bitcask_repair_plan *plan = &repair->plan;
    struct bitcask_repair_report *report = repair->report;
    size_t next_move = 0; /* data files come first, in order */
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];
        char name[BITCASK_NAME_SIZE];
        struct bitcask_repair_step step = {
            .action = file->action,
            .file = name,
            .moved_to = "",
            .reason = file->reason != NULL ? file->reason : "",
            .size = file->size + file->unused_size,
            .record_count = file->survey.record_count,
        };

        if (file->left)
            continue;
        bitcask_data_name(name, file->id);
        if (file->action != BITCASK_REPAIR_KEEP)
            step.moved_to = plan->moves[next_move++].to;
        report->kept_count += file->action == BITCASK_REPAIR_KEEP;
        report->rewritten_count += file->action == BITCASK_REPAIR_REWRITE;
        report->record_count += file->survey.record_count;
        report->output_size += file->output.size;
        status = tell_step(repair, &step);
    }
    for (size_t i = next_move; i < plan->move_count && status == BITCASK_OK; i++) {
        const struct bitcask_repair_move *move = &plan->moves[i];
        struct bitcask_repair_step step = {
            .action = BITCASK_REPAIR_QUARANTINE,
            .file = move->from,
            .moved_to = move->to,
            .size = move->size,
            .reason = strcmp(move->from, BITCASK_RESERVE_NAME) == 0
                          ? "it is made again when it is needed"
                          : "hints are made again from the data",
        };

        status = tell_step(repair, &step);
    }
    report->quarantined_count = plan->move_count;
    report->output_count = plan->output_count;
    return status;
}

static void count_unnamed(struct bitcask_repair_report *report,
                          const struct bitcask_survey *survey)
{
    for (size_t i = 0; i < survey->flaw_count; i++) {
        if (survey->flaws[i].size == 0 || survey->flaws[i].named || survey->flaws[i].torn)
            continue;
        report->unnamed_count++;
        report->unnamed_size += survey->flaws[i].size;
    }
}

static enum bitcask_status add_casualties(struct repair *repair,
                                          const struct bitcask_survey *survey,
                                          struct bitcask_fates *fates)
{
    enum bitcask_status status = BITCASK_OK;

    count_unnamed(repair->report, survey);
    for (size_t i = 0; i < survey->casualty_count && status == BITCASK_OK; i++)
        status = bitcask_fates_add(fates, &survey->casualties[i]);
    return status;
}

static enum bitcask_status on_fate(const struct bitcask_fate_told *told, void *context)
{
    struct repair *repair = context;
    struct bitcask_repair_report *report = repair->report;
    struct bitcask_fate_counts counts = { 0 };
    char name[BITCASK_NAME_SIZE];
    struct bitcask_finding finding = bitcask_fate_finding(told, name, &counts);

    report->lost_count += counts.lost;
    report->stale_count += counts.stale;
    report->undeleted_count += counts.undeleted;
    return tell_finding(repair, &finding);
}

/* Records are not there, and nothing says which keys they were of. */
static enum bitcask_status tell_gap(struct repair *repair)
{
    const struct bitcask_repair_plan *plan = &repair->plan;
    struct bitcask_finding finding = { .kind = BITCASK_FINDING_SEQUENCE,
                                       .file = "",
                                       .sequence = plan->gap_first };
    char detail[256];

    if (plan->manifest_trusted && repair->report->unnamed_count > 0)
        return BITCASK_OK; /* those are in what was told */
    repair->report->unnamed_count++;
    repair->report->damage_count++;
    if (plan->manifest_trusted)
        (void)snprintf(detail, sizeof detail,
                       "%" PRIu64 " records of the sequences %" PRIu64 " to %" PRIu64
                       " are gone, and nothing says of which keys",
                       plan->gap_count, plan->gap_first, plan->gap_last);
    else
        (void)snprintf(detail, sizeof detail,
                       "%" PRIu64 " records of the sequences %" PRIu64 " to %" PRIu64
                       " are not there: whether merges had dropped them, only MANIFEST "
                       "knew, so keys may be lost, or back that had been deleted",
                       plan->gap_count, plan->gap_first, plan->gap_last);
    finding.detail = detail;
    return tell_finding(repair, &finding);
}

/* What becomes of the keys that damage has hit. */
static enum bitcask_status tell_keys(struct repair *repair)
{
    const struct bitcask_repair_plan *plan = &repair->plan;
    struct bitcask_repair_report *report = repair->report;
    struct bitcask_fates fates = { 0 };
    enum bitcask_status status =
        repair->io->random(repair->io, &fates.seed, sizeof fates.seed);

    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "get random bytes for a seed");
    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];

        if (file->ours)
            status = add_casualties(repair, &file->survey, &fates);
        else if (!file->left && file->size > BITCASK_FILE_HEADER_SIZE &&
                 (!file->identity.known || !plan->manifest_trusted)) {
            report->unnamed_count++;
            report->unnamed_size += file->size;
        }
    }
    for (size_t i = 0; i < plan->missing_count && status == BITCASK_OK; i++)
        status = add_casualties(repair, &plan->missing[i], &fates);
    if (status == BITCASK_OK && plan->gap_count > 0)
        status = tell_gap(repair);
    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];

        if (file->ours && fates.count > 0)
            status = bitcask_fates_read(&fates, repair->io, repair->directory, file->id,
                                        file->end, &file->survey, plan->now_ms);
    }
    if (status == BITCASK_OK)
        status = bitcask_fates_tell(&fates, true, on_fate, repair);
    bitcask_fates_release(&fates);
    return status;
}

static int compare_lines(const void *left, const void *right)
{
    uint64_t a = ((const struct bitcask_manifest_segment *)left)->id;
    uint64_t b = ((const struct bitcask_manifest_segment *)right)->id;

    return a < b ? -1 : a > b;
}

/* Write @manifest, whose lines are in any order. */
static enum bitcask_status write_manifest(struct repair *repair,
                                          struct bitcask_manifest *manifest)
{
    bool switched;

    qsort(manifest->segments, manifest->segment_count, sizeof *manifest->segments,
          compare_lines);
    return bitcask_manifest_write(manifest, repair->io, repair->directory, &switched);
}

/* Room for every line that there may be. */
static enum bitcask_status begin_manifest(const struct bitcask_repair_plan *plan,
                                          struct bitcask_manifest *manifest)
{
    const struct bitcask_manifest *old = &plan->cask.manifest;
    size_t capacity = old->segment_count + 2 * plan->file_count + 1;

    bitcask_manifest_init(manifest);
    manifest->segments = calloc(capacity, sizeof *manifest->segments);
    if (manifest->segments == NULL)
        return bitcask_fail_memory(capacity * sizeof *manifest->segments);
    manifest->segment_capacity = capacity;
    manifest->next_id = plan->next_id;
    manifest->sequence = plan->sequence;
    manifest->key_count = plan->manifest_trusted ? old->key_count : 0;
    return BITCASK_OK;
}

static void add_line(struct bitcask_manifest *manifest,
                     const struct bitcask_manifest_segment *line)
{
    manifest->segments[manifest->segment_count++] = *line;
}

/* The MANIFEST that there is, and the new files as drafts. */
static enum bitcask_status list_drafts(struct repair *repair)
{
    const struct bitcask_repair_plan *plan = &repair->plan;
    struct bitcask_manifest manifest;
    enum bitcask_status status;

    if (!plan->manifest_trusted || plan->output_count == 0)
        return BITCASK_OK;
    status = begin_manifest(plan, &manifest);
    if (status != BITCASK_OK)
        return status;
    manifest.sequence = plan->cask.manifest.sequence;
    for (size_t i = 0; i < plan->cask.manifest.segment_count; i++)
        add_line(&manifest, &plan->cask.manifest.segments[i]);
    for (size_t i = 0; i < plan->file_count; i++) {
        struct bitcask_manifest_segment line = { .state = BITCASK_MANIFEST_DRAFT,
                                                 .id = plan->files[i].output.id,
                                                 .salt = plan->files[i].output.salt };

        if (plan->files[i].action == BITCASK_REPAIR_REWRITE)
            add_line(&manifest, &line);
    }
    status = write_manifest(repair, &manifest);
    bitcask_manifest_release(&manifest);
    return status;
}

/* What is whole; and, if @moving, what is about to be moved. */
static enum bitcask_status list_what_is_whole(struct repair *repair, bool moving)
{
    const struct bitcask_repair_plan *plan = &repair->plan;
    struct bitcask_manifest manifest;
    enum bitcask_status status = begin_manifest(plan, &manifest);

    if (status != BITCASK_OK)
        return status;
    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];
        struct bitcask_manifest_segment line = {
            .state = BITCASK_MANIFEST_SEALED,
            .id = file->id,
            .salt = file->identity.salt,
            .size = file->size,
            .first_sequence = file->survey.first_sequence,
            .last_sequence = file->survey.last_sequence,
            .purged_sequence = file->line.purged_sequence,
        };

        if (file->left) {
            line = *bitcask_manifest_find(&plan->cask.manifest, file->id);
            add_line(&manifest, &line);
            continue;
        }
        if (file->action == BITCASK_REPAIR_REWRITE)
            add_line(&manifest, &file->output);
        if (file->action != BITCASK_REPAIR_KEEP) {
            memset(&line, 0, sizeof line);
            line.state = BITCASK_MANIFEST_QUARANTINED;
            line.id = file->id;
            line.salt = file->identity.salt;
        }
        /* (A number that was never given out cannot be listed either.) */
        if (file->action == BITCASK_REPAIR_KEEP || (moving && file->id < plan->next_id))
            add_line(&manifest, &line);
    }
    status = write_manifest(repair, &manifest);
    bitcask_manifest_release(&manifest);
    return status;
}

static enum bitcask_status sync_directory(struct repair *repair, bitcask_file directory)
{
    enum bitcask_status status = repair->io->directory_sync(repair->io, directory);

    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "sync the directory");
    return BITCASK_OK;
}

/* Write the new files. After a failure none of them is left, as far as may be. */
static enum bitcask_status write_outputs(struct repair *repair)
{
    struct bitcask_repair_plan *plan = &repair->plan;
    char detail[BITCASK_DETAIL_SIZE];
    enum bitcask_status status = BITCASK_OK;

    repair->phase++;
    repair->pace.progress.done_size = 0;
    repair->pace.progress.total_size = repair->report->output_size;
    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
        if (plan->files[i].action != BITCASK_REPAIR_REWRITE)
            continue;
        status = bitcask_repair_copy(plan, &plan->files[i], &repair->pace);
    }
    if (status == BITCASK_OK || plan->output_count == 0)
        return status;
    (void)snprintf(detail, sizeof detail, "%s", bitcask_error_detail());
    for (size_t i = 0; i < plan->file_count; i++) {
        if (plan->files[i].action == BITCASK_REPAIR_REWRITE)
            (void)bitcask_commit_remove_files(repair->io, repair->directory,
                                              plan->files[i].output.id);
    }
    return bitcask_fail(status, "%s", detail);
}

/* What stays, and is not known to have been synced, is written again; and is cut. */
static enum bitcask_status settle_kept(struct repair *repair)
{
    struct bitcask_repair_plan *plan = &repair->plan;
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];

        if (file->ours && file->action == BITCASK_REPAIR_KEEP &&
            (!file->proven || file->unused_size > 0))
            status = bitcask_chain_settle_file(repair->io, repair->directory, file->id,
                                               file->identity.salt, 0, file->size);
    }
    return status;
}

/* The MANIFEST that is replaced is kept, too: it alone knows of files that are missing.
 */
static enum bitcask_status copy_manifest(struct repair *repair, bitcask_file quarantine)
{
    struct bitcask_io *io = repair->io;
    struct bitcask_slice part = { repair->plan.cask.manifest_text.data,
                                  repair->plan.cask.manifest_text.size };
    bitcask_file file;
    enum bitcask_status status;

    if (!repair->plan.manifest_is_copied)
        return BITCASK_OK;
    status =
        io->open(io, quarantine, repair->plan.manifest_copy.to, BITCASK_IO_CREATE, &file);
    if (status == BITCASK_OK) {
        status = io->write(io, file, 0, &part, 1);
        if (status == BITCASK_OK)
            status = io->sync(io, file);
        io->close(io, file);
    }
    if (status == BITCASK_OK)
        status = io->directory_sync(io, quarantine);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "copy MANIFEST to " BITCASK_QUARANTINE_NAME);
    return BITCASK_OK;
}

static enum bitcask_status move_files(struct repair *repair, bitcask_file quarantine)
{
    const struct bitcask_repair_plan *plan = &repair->plan;
    struct bitcask_io *io = repair->io;

    for (size_t i = 0; i < plan->move_count; i++) {
        const struct bitcask_repair_move *move = &plan->moves[i];
        enum bitcask_status status =
            io->move(io, repair->directory, move->from, quarantine, move->to);

        if (status != BITCASK_OK && status != BITCASK_NOT_FOUND)
            return bitcask_fail_errno(status, "move %s to " BITCASK_QUARANTINE_NAME,
                                      move->from);
    }
    return BITCASK_OK;
}

static enum bitcask_status write_hints(struct repair *repair)
{
    struct bitcask_repair_plan *plan = &repair->plan;
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];

        if (file->ours && file->action == BITCASK_REPAIR_KEEP &&
            (file->survey.hint != BITCASK_HINT_GOOD ||
             file->survey.hint_covered < file->size))
            status = bitcask_repair_write_hint(plan, file);
    }
    return status;
}

/* All that changes something. */
static enum bitcask_status carry_out(struct repair *repair)
{
    struct bitcask_io *io = repair->io;
    bitcask_file quarantine = BITCASK_NO_FILE;
    enum bitcask_status status = list_drafts(repair);

    if (status == BITCASK_OK)
        status = write_outputs(repair);
    if (status == BITCASK_OK)
        status = settle_kept(repair);
    if (status == BITCASK_OK &&
        (repair->plan.move_count > 0 || repair->plan.manifest_is_copied)) {
        status = io->directory_open_in(io, repair->directory, BITCASK_QUARANTINE_NAME,
                                       true, &quarantine);
        if (status != BITCASK_OK)
            bitcask_fail_errno(status, "make the directory " BITCASK_QUARANTINE_NAME);
    }
    if (status == BITCASK_OK && quarantine != BITCASK_NO_FILE)
        status = copy_manifest(repair, quarantine);
    if (status == BITCASK_OK)
        status = sync_directory(repair, repair->directory);
    if (status == BITCASK_OK)
        status = list_what_is_whole(repair, true);
    if (status == BITCASK_OK)
        repair->report->changed = true;
    if (status == BITCASK_OK && quarantine != BITCASK_NO_FILE) {
        status = move_files(repair, quarantine);
        if (status == BITCASK_OK)
            status = sync_directory(repair, quarantine);
        if (status == BITCASK_OK)
            status = sync_directory(repair, repair->directory);
    }
    if (status == BITCASK_OK)
        status = write_hints(repair);
    if (status == BITCASK_OK)
        status = list_what_is_whole(repair, false);
    if (quarantine != BITCASK_NO_FILE)
        io->close(io, quarantine);
    return status;
}

/* Plan, tell, and do it. */
static enum bitcask_status mend(struct repair *repair)
{
    enum bitcask_status status;

    repair->phase++;
    status = bitcask_pace_init(&repair->pace, repair->io, 0, on_progress, repair);

    if (status == BITCASK_OK)
        status = bitcask_repair_plan(&repair->plan, repair->io, repair->directory,
                                     &repair->pace, repair->reserve_is_bad);
    if (status == BITCASK_OK)
        status = tell_keys(repair);
    if (status == BITCASK_OK)
        status = tell_steps(repair);
    if (status == BITCASK_OK && !repair->options->dry_run)
        status = carry_out(repair);
    return status;
}

/* The proof of it: the cask opens, for reading, and says how many keys it has. */
static enum bitcask_status count_keys(struct repair *repair, const char *directory)
{
    struct bitcask_options options = { .read_only = true, .no_mapping = true };
    struct bitcask_stat stat;
    struct bitcask *cask;
    enum bitcask_status status =
        bitcask_open_with(repair->io, &cask, directory, &options);

    if (status != BITCASK_OK)
        return status;
    status = bitcask_stat(cask, &stat);
    if (status == BITCASK_OK)
        repair->report->key_count = stat.key_count;
    (void)bitcask_close(cask);
    return status;
}

/* Before a lock is left in a directory that has nothing to do with us. */
static enum bitcask_status check_used(struct repair *repair)
{
    struct bitcask_listing listing;
    enum bitcask_status status =
        bitcask_directory_list(repair->io, repair->directory, &listing);

    if (status == BITCASK_OK && !listing.manifest && listing.data_ids.size == 0 &&
        listing.hint_ids.size == 0)
        status =
            bitcask_fail_constant(BITCASK_NOT_FOUND, "there is no cask in the directory");
    bitcask_listing_release(&listing);
    return status;
}

static enum bitcask_status run(struct repair *repair, const char *directory)
{
    bitcask_file lock = BITCASK_NO_FILE;
    bool needed = false;
    enum bitcask_status status = check_used(repair);

    if (status == BITCASK_OK && !repair->options->dry_run)
        status = bitcask_directory_lock(repair->io, repair->directory, &lock);
    if (status == BITCASK_OK)
        status = look(repair, &needed);
    if (status == BITCASK_OK && needed)
        status = mend(repair);
    if (status == BITCASK_OK && !repair->options->dry_run)
        status = count_keys(repair, directory);
    bitcask_directory_unlock(repair->io, lock);
    return status;
}

enum bitcask_status bitcask_repair_with(struct bitcask_io *io, const char *directory,
                                        const struct bitcask_repair_options *options,
                                        struct bitcask_repair_report *report)
{
    static const struct bitcask_repair_options defaults;
    struct bitcask_repair_report ignored;
    struct repair repair = { .options = options != NULL ? options : &defaults,
                             .report = report != NULL ? report : &ignored,
                             .io = io };
    uint64_t begin_ms = io->monotonic_ms(io);
    enum bitcask_status status;

    memset(repair.report, 0, sizeof *repair.report);
    if (directory == NULL || directory[0] == '\0')
        return bitcask_fail_constant(BITCASK_MISUSE, "the directory is NULL or empty");
    if (bitcask_check_reserved(repair.options->reserved_flags,
                               sizeof repair.options->reserved_flags) != BITCASK_OK ||
        bitcask_check_reserved(repair.options->reserved,
                               sizeof repair.options->reserved) != BITCASK_OK)
        return BITCASK_MISUSE;
    status = io->directory_open(io, directory, &repair.directory);
    if (status == BITCASK_NOT_FOUND)
        return bitcask_fail(status, "%s: there is no such directory", directory);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "%s: open the directory", directory);
    status = run(&repair, directory);
    repair.report->elapsed_ms = io->monotonic_ms(io) - begin_ms;
    bitcask_repair_plan_release(&repair.plan);
    bitcask_pace_release(&repair.pace);
    io->close(io, repair.directory);
    if (status != BITCASK_OK)
        return bitcask_fail(status, "%s: %s", directory, bitcask_error_detail());
    return status;
}

enum bitcask_status bitcask_repair(const char *directory,
                                   const struct bitcask_repair_options *options,
                                   struct bitcask_repair_report *report)
{
    return bitcask_repair_with(bitcask_io_posix(), directory, options, report);
}
