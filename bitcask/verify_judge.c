/* SPDX-License-Identifier: MIT */
/*
 * Verifying: what a file is against what MANIFEST says of it, and what of it still counts
 * when a writer has changed the cask meanwhile.
 */
#include <string.h>

#include "bitcask/verify.h"

static bool has_flaw(const struct bitcask_survey *survey, enum bitcask_finding_kind kind)
{
    for (size_t i = 0; i < survey->flaw_count; i++) {
        if (survey->flaws[i].kind == kind)
            return true;
    }
    return false;
}

static enum bitcask_status add_flaw(struct bitcask_checked_file *file,
                                    enum bitcask_finding_kind kind, uint64_t offset,
                                    uint64_t size, const char *detail)
{
    struct bitcask_flaw flaw = {
        .kind = kind, .offset = offset, .size = size, .detail = detail
    };

    /*
     * That a header is damaged, or too much is there, hides no record; and what the hint
     * speaks of has its names from there.
     */
    flaw.named = kind == BITCASK_FINDING_HEADER || kind == BITCASK_FINDING_LONG ||
                 (file->survey.hint == BITCASK_HINT_GOOD &&
                  file->survey.hint_covered >= offset + size);
    return bitcask_survey_add_flaw(&file->survey, &flaw);
}

/* Whether nothing but MANIFEST proves that there was ever a record in @file. */
static bool was_begun(const struct bitcask_checked_file *file)
{
    return file->line.size > BITCASK_FILE_HEADER_SIZE;
}

/* What the file as a whole is, against its line in the MANIFEST. */
static enum bitcask_status judge_file(struct bitcask_verification *verification,
                                      struct bitcask_checked_file *file)
{
    const struct bitcask_identity *identity = &file->identity;
    const struct bitcask_manifest_segment *line = &file->line;
    struct bitcask_survey *survey = &file->survey;
    bool listed = verification->manifest_status == BITCASK_OK && !file->unlisted;
    /* Recovery finds nothing wrong with a file that it would not keep. */
    bool never_begun = file->unsealed && listed &&
                       verification->verdict.status == BITCASK_OK && file->kept_size == 0;
    enum bitcask_status status = BITCASK_OK;

    if (file->unreadable)
        return add_flaw(file, BITCASK_FINDING_UNREADABLE, 0, line->size,
                        "the system does not open it");
    if (never_begun)
        return BITCASK_OK;
    if (!file->exists)
        return listed && was_begun(file) && !has_flaw(survey, BITCASK_FINDING_MISSING)
                   ? add_flaw(file, BITCASK_FINDING_MISSING, 0, line->size,
                              "MANIFEST lists it; if it can be found, put it back before "
                              "a repair")
                   : BITCASK_OK;
    if (identity->header == BITCASK_OK && !file->unlisted &&
        (identity->id != line->id || identity->salt != line->salt))
        return add_flaw(
            file, BITCASK_FINDING_FOREIGN, 0, line->size > 0 ? line->size : file->size,
            verification->manifest_status == BITCASK_OK &&
                    bitcask_manifest_find(&verification->manifest, identity->id) != NULL
                ? "its header is that of another file, maybe one of this cask: "
                  "repair finds out"
                : "its header is that of another file");
    if (identity->header != BITCASK_OK && file->size > 0)
        status =
            add_flaw(file, BITCASK_FINDING_HEADER, 0,
                     identity->known || listed ? BITCASK_FILE_HEADER_SIZE : file->size,
                     identity->known || listed
                         ? "the file header is damaged; the records are behind it"
                         : "the file header is damaged, and nothing tells how to "
                           "check the records");
    if (status == BITCASK_OK && listed && file->size < line->size &&
        !has_flaw(survey, BITCASK_FINDING_SHORT))
        status =
            add_flaw(file, BITCASK_FINDING_SHORT, file->size, line->size - file->size,
                     "MANIFEST says that it has more bytes");
    if (status == BITCASK_OK && !file->unsealed && file->size > line->size &&
        !file->zeros_behind)
        status = add_flaw(file, BITCASK_FINDING_LONG, line->size, file->size - line->size,
                          "MANIFEST says that the file ends before this");
    return status;
}

/* A sealed file without a flaw has the sequences that MANIFEST says. */
static enum bitcask_status judge_sequences(struct bitcask_verification *verification,
                                           struct bitcask_checked_file *file)
{
    const struct bitcask_manifest_segment *line = &file->line;
    const struct bitcask_survey *survey = &file->survey;

    for (size_t i = 0; i < survey->flaw_count; i++) {
        if (survey->flaws[i].size > 0)
            return BITCASK_OK;
    }
    if (file->unsealed || survey->double_count > 0)
        return BITCASK_OK;
    if (survey->first_sequence != line->first_sequence ||
        survey->last_sequence != line->last_sequence)
        return add_flaw(file, BITCASK_FINDING_SEQUENCE, 0, 0,
                        "its records have not the sequences that MANIFEST says");
    if (line->last_sequence > verification->manifest.sequence)
        return add_flaw(file, BITCASK_FINDING_SEQUENCE, 0, 0,
                        "it has a record above the last sequence that MANIFEST says");
    return BITCASK_OK;
}

/* Whether recovery says that in @file, from where its zeros begin, a record is gone. */
static bool is_refused(const struct bitcask_verification *verification,
                       const struct bitcask_checked_file *file)
{
    char refused[BITCASK_NAME_SIZE], name[BITCASK_NAME_SIZE];
    uint64_t offset;

    bitcask_verdict_place(&verification->verdict, refused, &offset);
    bitcask_data_name(name, file->line.id);
    if (strcmp(name, refused) != 0)
        return false;
    for (size_t i = 0; i < file->survey.flaw_count; i++) {
        if (file->survey.flaws[i].zeros && file->survey.flaws[i].offset == offset)
            return true;
    }
    return false;
}

/* Space that was set aside and not used is nothing to tell of. */
static void drop_unused(const struct bitcask_verification *verification,
                        struct bitcask_checked_file *file)
{
    bool listed = verification->manifest_status == BITCASK_OK && !file->unlisted;

    if (!is_refused(verification, file))
        (void)bitcask_survey_drop_unused(&file->survey, listed ? file->line.size : 0);
}

bool bitcask_checked_file_is_damaged(const struct bitcask_verification *verification,
                                     const struct bitcask_checked_file *file)
{
    for (size_t i = 0; i < file->survey.flaw_count; i++) {
        if (!bitcask_checked_file_is_torn(verification, file, &file->survey.flaws[i]))
            return true;
    }
    return false;
}

enum bitcask_status bitcask_verification_judge(struct bitcask_verification *verification,
                                               bool *well)
{
    enum bitcask_status status = BITCASK_OK;

    *well = verification->manifest_status == BITCASK_OK &&
            verification->verdict.status == BITCASK_OK;
    for (size_t i = 0; i < verification->file_count && status == BITCASK_OK; i++) {
        struct bitcask_checked_file *file = &verification->files[i];

        if (file->surveyed)
            continue;
        drop_unused(verification, file);
        status = judge_file(verification, file);
        if (status == BITCASK_OK)
            status = judge_sequences(verification, file);
        file->surveyed = !bitcask_checked_file_is_damaged(verification, file);
        *well = *well && file->surveyed;
    }
    return status;
}

void bitcask_verification_adopt(struct bitcask_verification *now,
                                struct bitcask_verification *before)
{
    size_t k = 0;

    for (size_t i = 0; i < now->file_count; i++) {
        struct bitcask_checked_file *file = &now->files[i];

        while (k < before->file_count && before->files[k].line.id < file->line.id)
            k++;
        if (k == before->file_count)
            break;
        if (before->files[k].surveyed && !file->unsealed && !before->files[k].unsealed &&
            before->files[k].line.id == file->line.id &&
            before->files[k].line.salt == file->line.salt &&
            before->files[k].line.size == file->line.size) {
            *file = before->files[k];
            memset(&before->files[k].survey, 0, sizeof before->files[k].survey);
        }
    }
}

static bool is_same_line(const struct bitcask_manifest_segment *line,
                         const struct bitcask_manifest_segment *other)
{
    return other != NULL && line->state == other->state && line->salt == other->salt &&
           line->size == other->size;
}

/* Keep the data ids that MANIFEST lists by now: they are new, and not unlisted. */
static void drop_new_ids(struct bitcask_verification *verification,
                         const struct bitcask_manifest *newest)
{
    uint64_t *ids = verification->listing.data_ids.data;
    size_t count = verification->listing.data_ids.size / sizeof *ids;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        bool old = ids[i] < verification->manifest.next_id;

        if (old || (ids[i] >= newest->next_id && newest->next_id > 0))
            ids[kept++] = ids[i];
    }
    verification->listing.data_ids.size = kept * sizeof *ids;
}

enum bitcask_status bitcask_verification_forget_changed(
    struct bitcask_verification *verification)
{
    struct bitcask_manifest newest;
    enum bitcask_status status;

    bitcask_manifest_init(&newest);
    status = bitcask_manifest_read(&newest, verification->io, verification->directory);
    if (status == BITCASK_OK) {
        for (size_t i = 0; i < verification->file_count; i++) {
            struct bitcask_checked_file *file = &verification->files[i];

            if (file->unsealed ||
                !is_same_line(&file->line, bitcask_manifest_find(&newest, file->line.id)))
                bitcask_survey_forget(&file->survey);
        }
        drop_new_ids(verification, &newest);
        verification->verdict.status = BITCASK_OK;
    }
    bitcask_manifest_release(&newest);
    return status == BITCASK_NO_MEMORY ? status : BITCASK_OK;
}
