/* SPDX-License-Identifier: MIT */
/*
 * Repairing: what in each file is whole, and what becomes of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "bitcask/repair.h"

/* Whether a flaw of @survey means that something is not as it was written. */
static const char *damage_of(const struct bitcask_survey *survey)
{
    for (size_t i = 0; i < survey->flaw_count; i++) {
        const struct bitcask_flaw *flaw = &survey->flaws[i];

        if (flaw->torn)
            return "what was never finished at its end is left away";
        if (flaw->kind != BITCASK_FINDING_HINT && flaw->kind != BITCASK_FINDING_SEQUENCE)
            return flaw->detail;
    }
    return NULL;
}

/* Now that it is surveyed: what becomes of a file that is ours. */
static void judge_content(struct bitcask_repair_file *file)
{
    const struct bitcask_manifest_segment *line = &file->line;
    const struct bitcask_survey *survey = &file->survey;
    bool sealed = file->listed && line->state == BITCASK_MANIFEST_SEALED;
    const char *damage = damage_of(survey);

    if (survey->record_count == 0) {
        bitcask_repair_refuse(file, survey->double_count > 0
                                        ? "all its records are elsewhere, too"
                                    : damage != NULL ? "no record in it is whole"
                                                     : "it holds no record");
        return;
    }
    file->proven =
        sealed ||
        (file->listed && line->state == BITCASK_MANIFEST_OPEN &&
         line->size == file->size) ||
        (survey->hint == BITCASK_HINT_GOOD && survey->hint_covered == file->end);
    file->action = BITCASK_REPAIR_REWRITE;
    if (damage != NULL)
        file->reason = damage;
    else if (file->identity.header != BITCASK_OK)
        file->reason = "its file header is damaged";
    else if (!file->at_home)
        file->reason = "it has the name of another file";
    else if (file->end < file->size)
        file->reason = "something is behind its end";
    else if (sealed && file->size < line->size)
        file->reason = "it is cut off";
    else if (survey->double_count > 0)
        file->reason = "some of its records are elsewhere, too";
    else if (sealed && (survey->first_sequence != line->first_sequence ||
                        survey->last_sequence != line->last_sequence))
        file->reason = "its sequences are not those that MANIFEST says";
    else
        file->action = BITCASK_REPAIR_KEEP;
}

/* Whether recovery was asked, and knows where history ends in @file. */
static bool is_unsealed(const struct bitcask_repair_plan *plan,
                        const struct bitcask_repair_file *file)
{
    return plan->manifest_trusted && plan->cask.verdict.status == BITCASK_OK &&
           file->listed && file->line.id == file->id &&
           (file->line.state == BITCASK_MANIFEST_OPEN ||
            file->line.state == BITCASK_MANIFEST_PREPARED);
}

/*
 * What was set aside at the end of the file, and never used, is not missed when it goes:
 * from here on the file counts as ending before it. (Where recovery says that there had
 * been a record, that is copied which is whole.)
 */
static enum bitcask_status leave_unused(struct bitcask_repair_plan *plan,
                                        struct bitcask_repair_file *file,
                                        bitcask_file data)
{
    bool listed = plan->manifest_trusted && file->listed;
    bool sealed = listed && file->line.state == BITCASK_MANIFEST_SEALED;
    uint64_t size = file->size;
    enum bitcask_status status = BITCASK_OK;

    if (sealed && size > file->line.size) {
        bool unused;

        status = bitcask_data_file_is_unused(plan->io, data, file->id, file->line.size,
                                             size, &unused);
        if (unused)
            file->size = file->line.size;
        file->unused_size = size - file->size;
    }
    if (sealed || (plan->manifest_trusted && plan->cask.verdict.status != BITCASK_OK))
        return status;
    file->end = bitcask_survey_drop_unused(&file->survey, listed ? file->line.size : 0);
    file->size = file->end;
    file->unused_size = size - file->size;
    return BITCASK_OK;
}

static enum bitcask_status survey_file(struct bitcask_repair_plan *plan,
                                       struct bitcask_surveyor *surveyor,
                                       struct bitcask_repair_file *file)
{
    bitcask_file data = BITCASK_NO_FILE;
    uint64_t size;
    enum bitcask_status status = bitcask_data_file_open_unchecked(
        plan->io, plan->directory, file->id, BITCASK_IO_READ, &data, &size);

    if (status != BITCASK_OK)
        return status;
    file->survey.id = file->identity.id;
    file->survey.salt = file->identity.salt;
    file->survey.end = file->end;
    status = bitcask_survey_file(surveyor, data, &file->survey);
    if (status == BITCASK_OK)
        status = leave_unused(plan, file, data);
    plan->io->close(plan->io, data);
    if (status == BITCASK_OK && is_unsealed(plan, file))
        bitcask_survey_cut(&file->survey,
                           bitcask_verdict_kept_size(&plan->cask.verdict, file->id));
    judge_content(file);
    if (file->survey.highest_sequence > plan->sequence)
        plan->sequence = file->survey.highest_sequence;
    return status;
}

/* Whether @file is for round @round of the survey. */
static bool is_for_round(const struct bitcask_repair_file *file, int round)
{
    switch (round) {
    case 0:
        return file->ours && file->at_home;
    case 1:
        return file->ours && !file->at_home;
    case 2:
        return file->outside && file->line.state == BITCASK_MANIFEST_DRAFT;
    default:
        return file->outside && file->line.state == BITCASK_MANIFEST_RETIRED;
    }
}

/* The sequences of records that are lost. */
static enum bitcask_status want_casualties(struct bitcask_sequence_set *wanted,
                                           const struct bitcask_survey *survey)
{
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < survey->casualty_count && status == BITCASK_OK; i++)
        status = bitcask_sequence_set_add(wanted, survey->casualties[i].sequence, NULL);
    return status;
}

/*
 * What a merge was writing, or has replaced, may have what is lost elsewhere. A draft has
 * copies of records of the cask, and each is welcome that nobody else has. Of what is
 * retired only those are that are known to be lost: the others were deleted, and what
 * deleted them may be gone.
 */
static enum bitcask_status survey_outside(struct bitcask_repair_plan *plan,
                                          struct bitcask_surveyor *surveyor, int round)
{
    struct bitcask_sequence_set wanted = { 0 };
    enum bitcask_status status = BITCASK_OK;

    if (round == 3) {
        status = bitcask_sequence_set_init(&wanted);
        for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++)
            status = want_casualties(&wanted, &plan->files[i].survey);
        for (size_t i = 0; i < plan->missing_count && status == BITCASK_OK; i++)
            status = want_casualties(&wanted, &plan->missing[i]);
        surveyor->wanted = &wanted;
    }
    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
        struct bitcask_repair_file *file = &plan->files[i];

        if (!is_for_round(file, round))
            continue;
        status = survey_file(plan, surveyor, file);
        if (file->survey.record_count == 0) {
            if (!file->left)
                bitcask_repair_refuse(file,
                                      "all its records are elsewhere, or were deleted");
            continue;
        }
        file->left = false;
        file->ours = true;
        file->action = BITCASK_REPAIR_REWRITE;
        file->reason = "a merge has left it, and it has records that are lost elsewhere";
    }
    surveyor->wanted = NULL;
    bitcask_sequence_set_release(&wanted);
    return status;
}

/*
 * Survey what is ours: first those that are at their place, then the others, so that of
 * two records with one sequence that of a whole file is kept.
 */
static enum bitcask_status survey_files(struct bitcask_repair_plan *plan,
                                        struct bitcask_surveyor *surveyor)
{
    enum bitcask_status status = BITCASK_OK;

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
            if (is_for_round(&plan->files[i], round))
                status = survey_file(plan, surveyor, &plan->files[i]);
        }
    }
    return status;
}

static bool is_there(const struct bitcask_repair_plan *plan,
                     const struct bitcask_manifest_segment *line)
{
    for (size_t i = 0; i < plan->file_count; i++) {
        if (plan->files[i].ours && plan->files[i].listed &&
            plan->files[i].line.id == line->id)
            return true;
    }
    return false;
}

/* Without a MANIFEST, a hint of this cask is all that speaks of a file that is gone. */
static enum bitcask_status survey_hinted(struct bitcask_repair_plan *plan,
                                         struct bitcask_surveyor *surveyor)
{
    const uint64_t *ids = plan->cask.listing.hint_ids.data;
    size_t count = plan->cask.listing.hint_ids.size / sizeof *ids;
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        struct bitcask_survey *survey = &plan->missing[plan->missing_count];
        uint64_t salt;

        if (bitcask_listing_has(&plan->cask.listing.data_ids, ids[i]))
            continue;
        status = bitcask_identify_hint(plan->io, plan->directory, ids[i], &salt);
        if (status != BITCASK_OK || salt == 0 ||
            bitcask_repair_tag(salt) != plan->salt_tag)
            continue;
        plan->missing_count++;
        survey->id = ids[i];
        survey->salt = salt;
        status = bitcask_survey_file(surveyor, BITCASK_NO_FILE, survey);
        if (survey->highest_sequence > plan->sequence)
            plan->sequence = survey->highest_sequence;
    }
    return status;
}

/* Of files that are missing, hints say which keys were there. */
static enum bitcask_status survey_missing(struct bitcask_repair_plan *plan,
                                          struct bitcask_surveyor *surveyor)
{
    const struct bitcask_manifest *manifest = &plan->cask.manifest;
    size_t count = plan->manifest_trusted ? manifest->segment_count : 0;
    size_t capacity = count + plan->cask.listing.hint_ids.size / sizeof(uint64_t) + 1;
    enum bitcask_status status = BITCASK_OK;

    plan->missing = calloc(capacity, sizeof *plan->missing);
    if (plan->missing == NULL)
        return bitcask_fail_memory(capacity * sizeof *plan->missing);
    if (!plan->manifest_trusted)
        return survey_hinted(plan, surveyor);
    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        const struct bitcask_manifest_segment *line = &manifest->segments[i];
        struct bitcask_survey *survey = &plan->missing[plan->missing_count];

        if (bitcask_manifest_is_outside(line->state) || is_there(plan, line))
            continue;
        plan->missing_count++;
        survey->id = line->id;
        survey->salt = line->salt;
        status = bitcask_survey_file(surveyor, BITCASK_NO_FILE, survey);
        if (status == BITCASK_OK && line->size > BITCASK_FILE_HEADER_SIZE &&
            survey->hint_covered < line->size) {
            struct bitcask_flaw flaw = { .kind = BITCASK_FINDING_MISSING,
                                         .size = line->size,
                                         .detail = "MANIFEST lists it" };

            status = bitcask_survey_add_flaw(survey, &flaw);
        }
        if (survey->highest_sequence > plan->sequence)
            plan->sequence = survey->highest_sequence;
    }
    return status;
}

/* A sealed or synced file that is too short has lost more than the survey can see. */
static enum bitcask_status note_cut(struct bitcask_repair_file *file)
{
    struct bitcask_flaw flaw = { .kind = BITCASK_FINDING_SHORT,
                                 .offset = file->size,
                                 .detail = "MANIFEST says that it has more bytes" };

    if (!file->ours || !file->listed || file->size >= file->line.size ||
        file->survey.hint_covered >= file->line.size)
        return BITCASK_OK;
    flaw.size = file->line.size - file->size;
    return bitcask_survey_add_flaw(&file->survey, &flaw);
}

/* How many records that are lost, and have a name, have a sequence from @first on. */
static uint64_t count_named(const struct bitcask_survey *survey, uint64_t first)
{
    uint64_t count = 0;

    for (size_t i = 0; i < survey->casualty_count; i++)
        count += survey->casualties[i].sequence >= first;
    return count;
}

/*
 * The records of files that are not sealed go on by one, so that it is known how many are
 * missing there without a name. Without a MANIFEST all files count as such.
 */
static void count_gap(struct bitcask_repair_plan *plan)
{
    uint64_t first = plan->cask.manifest.sequence + 1;
    uint64_t last = 0;
    uint64_t known = 0;

    if (!plan->manifest_trusted) { /* what merges have dropped, only it knew */
        plan->gap_first = 1;
        plan->gap_last = plan->sequence;
        plan->gap_count =
            plan->sequence - bitcask_sequence_set_count(&plan->kept, 1, plan->sequence);
        return;
    }
    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];

        if (!file->ours || (file->listed && file->line.state == BITCASK_MANIFEST_SEALED))
            continue;
        if (file->survey.last_sequence > last)
            last = file->survey.last_sequence;
        known += count_named(&file->survey, first);
    }
    for (size_t i = 0; i < plan->missing_count; i++)
        known += count_named(&plan->missing[i], first);
    if (last < first)
        return;
    known += bitcask_sequence_set_count(&plan->kept, first, last);
    if (known > last - first)
        return;
    plan->gap_first = first;
    plan->gap_last = last;
    plan->gap_count = last - first + 1 - known;
}

static void raise_next_id(struct bitcask_repair_plan *plan, uint64_t id)
{
    if (id >= plan->next_id && id <= BITCASK_REPAIR_ID_MAX)
        plan->next_id = id + 1;
}

/* New files get ids above all that were ever seen. */
static enum bitcask_status plan_outputs(struct bitcask_repair_plan *plan)
{
    const struct bitcask_manifest *manifest = &plan->cask.manifest;
    const uint64_t *hint_ids = plan->cask.listing.hint_ids.data;
    size_t hint_count = plan->cask.listing.hint_ids.size / sizeof *hint_ids;

    plan->next_id = plan->manifest_trusted ? manifest->next_id : 1;
    for (size_t i = 0; i < plan->file_count; i++) {
        raise_next_id(plan, plan->files[i].id);
        if (plan->files[i].ours)
            raise_next_id(plan, plan->files[i].identity.id);
    }
    for (size_t i = 0; i < hint_count; i++)
        raise_next_id(plan, hint_ids[i]);
    for (size_t i = 0; i < plan->file_count; i++) {
        struct bitcask_repair_file *file = &plan->files[i];
        uint64_t salt;
        enum bitcask_status status;

        if (file->action != BITCASK_REPAIR_REWRITE)
            continue;
        status = plan->io->random(plan->io, &salt, sizeof salt);
        if (status != BITCASK_OK)
            return bitcask_fail_errno(status, "get random bytes for a salt");
        if (plan->salt_tag == 0)
            plan->salt_tag = bitcask_repair_tag(salt) | 1;
        file->output.state = BITCASK_MANIFEST_SEALED;
        file->output.id = plan->next_id++;
        file->output.salt = (uint64_t)plan->salt_tag << 32 | (uint32_t)salt;
        file->output.purged_sequence = file->line.purged_sequence;
        file->output.size = BITCASK_FILE_HEADER_SIZE + file->survey.record_size;
        plan->output_count++;
    }
    return BITCASK_OK;
}

static void add_up(struct bitcask_repair_plan *plan, struct bitcask_pace *pace)
{
    pace->progress.total_size = pace->progress.done_size;
    for (size_t i = 0; i < plan->file_count; i++) {
        if (plan->files[i].ours)
            pace->progress.total_size += plan->files[i].end;
    }
}

static void note_sequences(struct bitcask_repair_plan *plan)
{
    const struct bitcask_manifest *manifest = &plan->cask.manifest;

    plan->sequence = plan->manifest_trusted ? manifest->sequence : 0;
    for (size_t i = 0; plan->manifest_trusted && i < manifest->segment_count; i++) {
        if (manifest->segments[i].last_sequence > plan->sequence)
            plan->sequence = manifest->segments[i].last_sequence;
    }
}

enum bitcask_status bitcask_repair_plan(struct bitcask_repair_plan *plan,
                                        struct bitcask_io *io, bitcask_file directory,
                                        struct bitcask_pace *pace, bool reserve_is_bad)
{
    struct bitcask_surveyor surveyor = { .io = io,
                                         .directory = directory,
                                         .now_ms = io->wall_ms(io),
                                         .sequences = &plan->kept,
                                         .pace = bitcask_pace_step,
                                         .pace_context = pace };
    enum bitcask_status status;

    plan->io = io;
    plan->directory = directory;
    plan->now_ms = surveyor.now_ms;
    plan->reserve_is_bad = reserve_is_bad;
    plan->cask.io = io;
    plan->cask.directory = directory;
    status = bitcask_verification_begin(&plan->cask);
    if (status == BITCASK_OK)
        status = bitcask_sequence_set_init(&plan->kept);
    if (status == BITCASK_OK)
        status = bitcask_repair_identify(plan);
    if (status != BITCASK_OK)
        return status;

    bitcask_repair_judge_origins(plan);
    note_sequences(plan);
    add_up(plan, pace);
    status = survey_files(plan, &surveyor);
    if (status == BITCASK_OK)
        status = survey_missing(plan, &surveyor);
    for (int round = 2; round < 4 && status == BITCASK_OK; round++)
        status = survey_outside(plan, &surveyor, round);
    bitcask_buffer_release(&surveyor.window);
    count_gap(plan);
    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++)
        status = note_cut(&plan->files[i]);
    if (status == BITCASK_OK)
        status = plan_outputs(plan);
    if (status == BITCASK_OK)
        status = bitcask_repair_plan_moves(plan);
    return status;
}

void bitcask_repair_plan_release(struct bitcask_repair_plan *plan)
{
    for (size_t i = 0; i < plan->file_count; i++)
        bitcask_survey_release(&plan->files[i].survey);
    for (size_t i = 0; i < plan->missing_count; i++)
        bitcask_survey_release(&plan->missing[i]);
    free(plan->files);
    free(plan->missing);
    free(plan->moves);
    bitcask_buffer_release(&plan->taken);
    bitcask_sequence_set_release(&plan->kept);
    bitcask_verification_release(&plan->cask);
    memset(plan, 0, sizeof *plan);
}
