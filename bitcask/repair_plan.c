/* SPDX-License-Identifier: MIT */
/*
 * Repairing: whose is each file, what in it is whole, and what becomes of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "bitcask/repair.h"

static uint32_t tag_of(uint64_t salt)
{
    return (uint32_t)(salt >> 32);
}

/* The line of the MANIFEST that @identity is of; NULL: there is none. */
static const struct bitcask_manifest_segment *line_of(
    const struct bitcask_manifest *manifest, const struct bitcask_identity *identity)
{
    const struct bitcask_manifest_segment *line =
        bitcask_manifest_find(manifest, identity->id);

    return identity->known && line != NULL && line->salt == identity->salt ? line : NULL;
}

/* See what data files there are, and whose. */
static enum bitcask_status identify_files(struct bitcask_repair_plan *plan)
{
    const uint64_t *ids = plan->cask.listing.data_ids.data;
    size_t count = plan->cask.listing.data_ids.size / sizeof *ids;
    enum bitcask_status status = BITCASK_OK;

    plan->files = calloc(count > 0 ? count : 1, sizeof *plan->files);
    if (plan->files == NULL)
        return bitcask_fail_memory(count * sizeof *plan->files);
    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        struct bitcask_repair_file *file = &plan->files[plan->file_count++];
        bitcask_file data = BITCASK_NO_FILE;

        file->id = ids[i];
        status = bitcask_data_file_open_unchecked(plan->io, plan->directory, file->id,
                                                  BITCASK_IO_READ, &data, &file->size);
        if (status == BITCASK_OK)
            status = bitcask_identify(plan->io, plan->directory, file->id, data,
                                      file->size, &plan->cask.manifest, &file->identity);
        if (data != BITCASK_NO_FILE)
            plan->io->close(plan->io, data);
        if (status == BITCASK_OK && file->identity.header == BITCASK_UNSUPPORTED)
            status = bitcask_fail(BITCASK_UNSUPPORTED,
                                  "%010" PRIu64 ".data is of a newer format: use a newer "
                                  "library",
                                  file->id);
        file->at_home =
            file->identity.header == BITCASK_OK && file->identity.id == file->id;
    }
    return status;
}

/*
 * Whether the MANIFEST, though whole, is another cask's: nothing that is there knows of
 * it, and two witnesses, data files or hints, are of one accord about something else.
 * One alone may itself be the stranger.
 */
static bool is_foreign(const struct bitcask_repair_plan *plan)
{
    const struct bitcask_manifest *manifest = &plan->cask.manifest;
    uint32_t tag = bitcask_manifest_tag(manifest);
    size_t against = 0;

    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];
        uint64_t hint_salt = 0;

        if (line_of(manifest, &file->identity) != NULL)
            return false;
        if (bitcask_identify_hint(plan->io, plan->directory, file->id, &hint_salt) !=
            BITCASK_OK)
            return false;
        if (hint_salt != 0 && tag_of(hint_salt) == tag)
            return false;
        if (file->at_home && tag_of(file->identity.salt) != tag)
            against += hint_salt == file->identity.salt ? 2 : 1;
    }
    return against >= 2;
}

/* Without a MANIFEST: the tag that most bytes are of. */
static uint32_t most_common_tag(const struct bitcask_repair_plan *plan)
{
    uint32_t best_tag = 0;
    uint64_t best_size = 0;

    for (size_t i = 0; i < plan->file_count; i++) {
        uint64_t size = 0;

        if (!plan->files[i].identity.known)
            continue;
        for (size_t k = 0; k < plan->file_count; k++) {
            if (plan->files[k].identity.known && tag_of(plan->files[k].identity.salt) ==
                                                     tag_of(plan->files[i].identity.salt))
                size += plan->files[k].size;
        }
        if (size > best_size) {
            best_size = size;
            best_tag = tag_of(plan->files[i].identity.salt);
        }
    }
    return best_tag;
}

static void refuse(struct bitcask_repair_file *file, const char *reason)
{
    file->action = BITCASK_REPAIR_QUARANTINE;
    file->reason = reason;
}

/* Whether @file belongs to the cask. */
static void judge_origin(struct bitcask_repair_plan *plan,
                         struct bitcask_repair_file *file)
{
    const struct bitcask_manifest *manifest = &plan->cask.manifest;
    const struct bitcask_manifest_segment *line =
        plan->manifest_trusted ? line_of(manifest, &file->identity) : NULL;
    const struct bitcask_manifest_segment *by_name =
        plan->manifest_trusted ? bitcask_manifest_find(manifest, file->id) : NULL;

    file->end = file->size;
    if (line != NULL) {
        file->listed = true;
        file->line = *line;
    }
    if (by_name != NULL && by_name->state == BITCASK_MANIFEST_QUARANTINED) {
        refuse(file, "an earlier repair has taken from it what is whole");
    } else if (line != NULL && bitcask_manifest_is_outside(line->state)) {
        if (file->id == line->id)
            file->left = true;
        else
            refuse(file, "it is a copy of what a merge has replaced");
    } else if (by_name != NULL && bitcask_manifest_is_outside(by_name->state)) {
        file->left = true; /* whatever became of it, nobody needs it */
    } else if (!file->identity.known) {
        refuse(file, file->size > BITCASK_FILE_HEADER_SIZE
                         ? "nothing in it can be read as a record"
                         : "it holds no record");
    } else if (line != NULL) {
        file->ours = true;
        if (line->state == BITCASK_MANIFEST_SEALED && file->end > line->size)
            file->end = line->size;
    } else if (plan->salt_tag != 0 && tag_of(file->identity.salt) != plan->salt_tag) {
        refuse(file, "it is a file of another cask");
    } else if (plan->manifest_trusted && file->identity.id < manifest->next_id) {
        refuse(file, "MANIFEST lists it no more: a merge has replaced it");
    } else {
        file->ours = true;
    }
}

/* Whether a flaw of @survey means that something is not as it was written. */
static const char *damage_of(const struct bitcask_survey *survey)
{
    for (size_t i = 0; i < survey->flaw_count; i++) {
        const struct bitcask_flaw *flaw = &survey->flaws[i];

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
        refuse(file, survey->double_count > 0 ? "all its records are elsewhere, too"
                     : damage != NULL         ? "no record in it is whole"
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
    plan->io->close(plan->io, data);
    judge_content(file);
    if (file->survey.highest_sequence > plan->sequence)
        plan->sequence = file->survey.highest_sequence;
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

    for (int second = 0; second < 2; second++) {
        for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
            struct bitcask_repair_file *file = &plan->files[i];

            if (file->ours && file->at_home == (second == 0))
                status = survey_file(plan, surveyor, file);
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

/* Of files that are missing, hints say which keys were there. */
static enum bitcask_status survey_missing(struct bitcask_repair_plan *plan,
                                          struct bitcask_surveyor *surveyor)
{
    const struct bitcask_manifest *manifest = &plan->cask.manifest;
    size_t count = plan->manifest_trusted ? manifest->segment_count : 0;
    enum bitcask_status status = BITCASK_OK;

    plan->missing = calloc(count > 0 ? count : 1, sizeof *plan->missing);
    if (plan->missing == NULL)
        return bitcask_fail_memory(count * sizeof *plan->missing);
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

/*
 * The records of files that are not sealed go on by one: whatever is missing there and
 * has no name is told as a number.
 */
static void count_gap(struct bitcask_repair_plan *plan)
{
    uint64_t first = plan->cask.manifest.sequence + 1;
    uint64_t last = 0;
    uint64_t known = 0;

    if (!plan->manifest_trusted)
        return;
    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];

        if (!file->ours || (file->listed && file->line.state == BITCASK_MANIFEST_SEALED))
            continue;
        if (file->survey.last_sequence > last)
            last = file->survey.last_sequence;
        known += file->survey.casualty_count;
    }
    for (size_t i = 0; i < plan->missing_count; i++)
        known += plan->missing[i].casualty_count;
    if (last < first)
        return;
    known += bitcask_sequence_set_count(&plan->kept, first, last);
    if (known > last - first)
        return;
    plan->gap_first = first;
    plan->gap_last = last;
    plan->gap_count = last - first + 1 - known;
}

static enum bitcask_status add_name(const char *name, void *context)
{
    return bitcask_buffer_append(context, name, strlen(name) + 1);
}

/* What is in quarantine from before. */
static enum bitcask_status list_quarantine(struct bitcask_repair_plan *plan)
{
    bitcask_file quarantine;
    enum bitcask_status status = plan->io->directory_open_in(
        plan->io, plan->directory, BITCASK_QUARANTINE_NAME, false, &quarantine);

    if (status == BITCASK_NOT_FOUND)
        return BITCASK_OK;
    if (status == BITCASK_OK) {
        status = plan->io->directory_list(plan->io, quarantine, add_name, &plan->taken);
        plan->io->close(plan->io, quarantine);
    }
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "list the directory " BITCASK_QUARANTINE_NAME);
    return BITCASK_OK;
}

static bool is_taken(const struct bitcask_repair_plan *plan, const char *name)
{
    const char *names = plan->taken.data;

    for (size_t i = 0; i < plan->taken.size; i += strlen(names + i) + 1) {
        if (strcmp(names + i, name) == 0)
            return true;
    }
    return false;
}

/* A free name for @from: its own, or with a number behind it. */
static enum bitcask_status find_place(struct bitcask_repair_plan *plan, const char *from,
                                      struct bitcask_repair_move *move)
{
    (void)snprintf(move->from, sizeof move->from, "%s", from);
    (void)snprintf(move->to, sizeof move->to, "%s", from);
    for (unsigned i = 2; is_taken(plan, move->to) && i < 1000000; i++)
        (void)snprintf(move->to, sizeof move->to, "%s.%u", from, i);
    return add_name(move->to, &plan->taken);
}

static enum bitcask_status add_move(struct bitcask_repair_plan *plan, const char *from)
{
    if (plan->move_count == plan->move_capacity) {
        size_t capacity = plan->move_capacity > 0 ? 2 * plan->move_capacity : 8;
        struct bitcask_repair_move *grown =
            realloc(plan->moves, capacity * sizeof *grown);

        if (grown == NULL)
            return bitcask_fail_memory(capacity * sizeof *grown);
        plan->moves = grown;
        plan->move_capacity = capacity;
    }
    return find_place(plan, from, &plan->moves[plan->move_count++]);
}

/* Whether the hint of @id has to go: its data file does, or is not there, or it is bad.
 */
static bool is_hint_to_go(const struct bitcask_repair_plan *plan, uint64_t id)
{
    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];

        if (file->id == id)
            return !file->left && (file->action != BITCASK_REPAIR_KEEP ||
                                   file->survey.hint == BITCASK_HINT_BAD);
    }
    return true;
}

static enum bitcask_status plan_moves(struct bitcask_repair_plan *plan)
{
    const uint64_t *hint_ids = plan->cask.listing.hint_ids.data;
    size_t hint_count = plan->cask.listing.hint_ids.size / sizeof *hint_ids;
    char name[BITCASK_NAME_SIZE];
    enum bitcask_status status = list_quarantine(plan);

    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
        if (plan->files[i].left || plan->files[i].action == BITCASK_REPAIR_KEEP)
            continue;
        bitcask_data_name(name, plan->files[i].id);
        status = add_move(plan, name);
    }
    for (size_t i = 0; i < hint_count && status == BITCASK_OK; i++) {
        bitcask_hint_name(name, hint_ids[i]);
        if (is_hint_to_go(plan, hint_ids[i]))
            status = add_move(plan, name);
    }
    if (status == BITCASK_OK && plan->reserve_is_bad)
        status = add_move(plan, BITCASK_RESERVE_NAME);
    plan->manifest_is_copied =
        !plan->manifest_trusted && plan->cask.manifest_status != BITCASK_NOT_FOUND;
    if (status == BITCASK_OK && plan->manifest_is_copied)
        status = find_place(plan, BITCASK_MANIFEST_NAME, &plan->manifest_copy);
    return status;
}

static void raise_next_id(struct bitcask_repair_plan *plan, uint64_t id)
{
    if (id >= plan->next_id && id < UINT64_MAX)
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
            plan->salt_tag = tag_of(salt) | 1;
        file->output.state = BITCASK_MANIFEST_SEALED;
        file->output.id = plan->next_id++;
        file->output.salt = (uint64_t)plan->salt_tag << 32 | (uint32_t)salt;
        file->output.purged_sequence = file->line.purged_sequence;
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
        status = identify_files(plan);
    if (status != BITCASK_OK)
        return status;

    plan->manifest_trusted =
        plan->cask.manifest_status == BITCASK_OK && !is_foreign(plan);
    plan->salt_tag = plan->manifest_trusted ? bitcask_manifest_tag(&plan->cask.manifest)
                                            : most_common_tag(plan);
    note_sequences(plan);
    for (size_t i = 0; i < plan->file_count; i++)
        judge_origin(plan, &plan->files[i]);
    add_up(plan, pace);
    status = survey_files(plan, &surveyor);
    if (status == BITCASK_OK)
        status = survey_missing(plan, &surveyor);
    bitcask_buffer_release(&surveyor.window);
    count_gap(plan);
    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++)
        status = note_cut(&plan->files[i]);
    if (status == BITCASK_OK)
        status = plan_outputs(plan);
    if (status == BITCASK_OK)
        status = plan_moves(plan);
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
