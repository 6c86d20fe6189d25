/* SPDX-License-Identifier: MIT */
/*
 * Verifying: what was found is put into words, and what it means for keys is worked out.
 */
#include "bitcask/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/check.h"
#include "bitcask/file_name.h"
#include "bitcask/hint_compare.h"
#include "bitcask/zeros.h"

enum {
    /* Beside a busy writer there is always something new; so often it is gone after. */
    ROUNDS_MAX = 6
};

/* One call. */
struct check {
    const struct bitcask_verify_options *options;
    struct bitcask_verify_report *report;
    struct bitcask_pace pace;
    uint64_t begin_ms;
    struct bitcask_verification now;
};

static enum bitcask_status tell(struct check *check,
                                const struct bitcask_finding *finding)
{
    if (bitcask_finding_is_damage(finding->kind))
        check->report->damage_count++;
    else if (finding->kind != BITCASK_FINDING_KEY)
        check->report->note_count++;
    if (check->options->finding == NULL)
        return BITCASK_OK;
    return bitcask_pace_stop(check->options->finding(finding, check->options->context));
}

/* Tell of @flaw in the data file of @id, or in its hint. */
static enum bitcask_status tell_flaw(struct check *check, uint64_t id,
                                     const struct bitcask_flaw *flaw)
{
    struct bitcask_finding finding = {
        .kind = flaw->kind,
        .detail = flaw->detail,
        .offset = flaw->offset,
        .size = flaw->size,
        .sequence = flaw->sequence,
    };
    char name[BITCASK_NAME_SIZE];

    if (flaw->kind == BITCASK_FINDING_NO_HINT)
        bitcask_hint_name(name, id);
    else
        bitcask_data_name(name, id);
    finding.file = name;
    if (bitcask_finding_is_damage(flaw->kind) && flaw->size > 0 && !flaw->named)
        check->report->unnamed_count++;
    return tell(check, &finding);
}

/* Where the hint of @file first differs from what it should be, if that can be said. */
static enum bitcask_status tell_hint(struct check *check,
                                     const struct bitcask_checked_file *file,
                                     const struct bitcask_flaw *flaw)
{
    struct bitcask_hint_subject subject = { .segment_id = file->line.id,
                                            .salt = file->survey.salt,
                                            .size_max =
                                                file->unsealed ? 0 : file->line.size };
    struct bitcask_hint_comparison result;
    char name[BITCASK_NAME_SIZE];
    struct bitcask_finding finding = { .kind = BITCASK_FINDING_HINT,
                                       .file = name,
                                       .detail = flaw->detail };
    enum bitcask_status status =
        bitcask_hint_compare(check->now.io, check->now.directory, &subject, &result);

    if (status == BITCASK_NO_MEMORY)
        return status;
    bitcask_hint_name(name, file->line.id);
    if (result.differs) {
        finding.offset = result.hint_offset;
        finding.detail = result.detail;
    }
    return tell(check, &finding);
}

static enum bitcask_status tell_note(struct check *check, uint64_t id,
                                     enum bitcask_finding_kind kind, uint64_t offset,
                                     uint64_t size, const char *detail)
{
    struct bitcask_flaw flaw = {
        .kind = kind, .offset = offset, .size = size, .detail = detail
    };

    return tell_flaw(check, id, &flaw);
}

/* A data file that nobody lists; NULL for one that the MANIFEST knows. */
static const char *why_unlisted(const struct bitcask_verification *verification,
                                uint64_t id)
{
    const struct bitcask_manifest *manifest = &verification->manifest;

    if (bitcask_manifest_find(manifest, id) != NULL)
        return NULL;
    return id >= manifest->next_id ? "MANIFEST does not list it, and is older than it"
                                   : "MANIFEST does not list it: a merge has replaced "
                                     "it, a repair has missed "
                                     "it, or it is not of this cask";
}

static bool is_unlisted(const struct bitcask_verification *verification)
{
    const uint64_t *ids = verification->listing.data_ids.data;
    size_t count = verification->listing.data_ids.size / sizeof *ids;

    for (size_t i = 0; i < count && verification->manifest_status == BITCASK_OK; i++) {
        if (why_unlisted(verification, ids[i]) != NULL)
            return true;
    }
    return false;
}

static enum bitcask_status tell_unlisted(struct check *check)
{
    const uint64_t *ids = check->now.listing.data_ids.data;
    size_t count = check->now.listing.data_ids.size / sizeof *ids;
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        const char *why = why_unlisted(&check->now, ids[i]);
        struct bitcask_flaw flaw = { .kind = BITCASK_FINDING_UNLISTED, .detail = why };

        if (why != NULL)
            status = tell_flaw(check, ids[i], &flaw);
    }
    return status;
}

static enum bitcask_status tell_manifest(struct check *check)
{
    struct bitcask_finding finding = {
        .kind = BITCASK_FINDING_MANIFEST,
        .file = BITCASK_MANIFEST_NAME,
        .detail = check->now.manifest_status == BITCASK_NOT_FOUND
                      ? "it is missing, though there are records: nothing else knows "
                        "whether data files are missing, or which keys were deleted"
                      : check->now.manifest_detail,
    };

    return tell(check, &finding);
}

/*
 * How many records of the files that are not sealed are gone without a name: their
 * sequences go on by one from what is sealed.
 */
static uint64_t missing_count(struct check *check)
{
    struct bitcask_verification *now = &check->now;
    uint64_t first = now->manifest.sequence + 1;
    uint64_t last = now->manifest.sequence;
    uint64_t known = 0;

    for (size_t i = 0; i < now->file_count; i++) {
        const struct bitcask_survey *survey = &now->files[i].survey;

        if (!now->files[i].unsealed || now->files[i].unlisted)
            continue;
        if (survey->highest_sequence > last)
            last = survey->highest_sequence;
        known += survey->casualty_count;
    }
    known += bitcask_sequence_set_count(&now->sequences, first, last);
    return known > last - first + 1 ? 0 : last - first + 1 - known;
}

/* Whether damage that was told says why recovery refuses the end of the cask. */
static bool is_explained(struct check *check)
{
    for (size_t i = 0; i < check->now.file_count; i++) {
        const struct bitcask_checked_file *file = &check->now.files[i];

        for (size_t k = 0;
             k < file->survey.flaw_count && file->unsealed && !file->unlisted; k++) {
            if (file->survey.flaws[k].size > 0)
                return !check->now.sequences_checked || missing_count(check) == 0 ||
                       check->report->unnamed_count > 0;
        }
    }
    return false;
}

static enum bitcask_status tell_verdict(struct check *check)
{
    const struct bitcask_verdict *verdict = &check->now.verdict;
    struct bitcask_finding finding = { .kind = BITCASK_FINDING_SEQUENCE,
                                       .file = "",
                                       .detail = verdict->detail };
    char name[BITCASK_NAME_SIZE];

    if (verdict->status == BITCASK_OK || is_explained(check))
        return BITCASK_OK;
    bitcask_verdict_place(verdict, name, &finding.offset);
    finding.file = name;
    check->report->unnamed_count++;
    return tell(check, &finding);
}

/* Whether something is in @file that recovery would cut. */
static bool has_tail(const struct bitcask_verification *verification,
                     const struct bitcask_checked_file *file)
{
    uint64_t kept_size = file->kept_size > BITCASK_FILE_HEADER_SIZE
                             ? file->kept_size
                             : BITCASK_FILE_HEADER_SIZE;

    if (!file->exists || !file->unsealed || file->unlisted ||
        verification->verdict.status != BITCASK_OK ||
        verification->manifest_status != BITCASK_OK || file->size <= kept_size)
        return false;
    if (file->judged_size > kept_size)
        return true;
    for (size_t i = 0; i < file->survey.flaw_count; i++) {
        if (bitcask_checked_file_is_torn(verification, file, &file->survey.flaws[i]))
            return true;
    }
    return false;
}

static enum bitcask_status tell_tail(struct check *check,
                                     const struct bitcask_checked_file *file)
{
    uint64_t kept = file->kept_size;

    if (!has_tail(&check->now, file))
        return BITCASK_OK;
    return tell_note(check, file->line.id, BITCASK_FINDING_TORN_TAIL, kept,
                     file->size - kept,
                     "nothing proves that it was ever synced; the next open cuts it, "
                     "unless a writer is at it now");
}

static enum bitcask_status tell_file(struct check *check,
                                     const struct bitcask_checked_file *file)
{
    const struct bitcask_survey *survey = &file->survey;
    struct bitcask_verify_report *report = check->report;
    enum bitcask_status status = BITCASK_OK;

    report->file_count += (uint64_t)file->exists + (survey->hint != BITCASK_HINT_ABSENT);
    report->record_count += survey->record_count;
    report->entry_count += survey->entry_count;
    for (size_t i = 0; i < survey->flaw_count && status == BITCASK_OK; i++) {
        const struct bitcask_flaw *flaw = &survey->flaws[i];

        if (bitcask_checked_file_is_torn(&check->now, file, flaw))
            continue;
        status = flaw->kind == BITCASK_FINDING_HINT
                     ? tell_hint(check, file, flaw)
                     : tell_flaw(check, file->line.id, flaw);
    }
    if (status == BITCASK_OK)
        status = tell_tail(check, file);
    if (status == BITCASK_OK && !file->unsealed && file->exists &&
        survey->hint == BITCASK_HINT_ABSENT)
        status = tell_note(check, file->line.id, BITCASK_FINDING_NO_HINT, 0, 0,
                           "the next open reads the data instead, and writes one");
    return status;
}

/* Files that are no part of the cask any more, and will be gone. */
static enum bitcask_status tell_outside(struct check *check)
{
    const struct bitcask_manifest *manifest = &check->now.manifest;
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < manifest->segment_count && status == BITCASK_OK; i++) {
        const struct bitcask_manifest_segment *line = &manifest->segments[i];
        const char *detail = line->state == BITCASK_MANIFEST_QUARANTINED
                                 ? "repair has not moved it to quarantine yet"
                                 : "a merge has left it; the next writer removes it";

        if (bitcask_manifest_is_outside(line->state) &&
            bitcask_listing_has(&check->now.listing.data_ids, line->id))
            status = tell_note(check, line->id, BITCASK_FINDING_LEFT_OVER, 0, 0, detail);
    }
    return status;
}

/* RESERVE has nothing but zeros; a bit that turned says that the disk is not well. */
static enum bitcask_status tell_reserve(struct check *check)
{
    struct bitcask_io *io = check->now.io;
    struct bitcask_finding finding = { .kind = BITCASK_FINDING_RESERVE,
                                       .file = BITCASK_RESERVE_NAME,
                                       .detail = "it has other bytes than zeros; no data "
                                                 "is in it" };
    bitcask_file file;
    bool found = false;
    enum bitcask_status status =
        io->open(io, check->now.directory, BITCASK_RESERVE_NAME, BITCASK_IO_READ, &file);

    if (status == BITCASK_NOT_FOUND)
        return BITCASK_OK;
    if (status == BITCASK_OK) {
        check->report->file_count++;
        status = bitcask_zeros_skip(io, file, &finding.offset, UINT64_MAX, &found);
        io->close(io, file);
    }
    if (status == BITCASK_IO) {
        finding.detail = "the system cannot read it; no data is in it";
        found = true;
        status = BITCASK_OK;
    }
    return status == BITCASK_OK && found ? tell(check, &finding) : status;
}

static enum bitcask_status tell_fate(const struct bitcask_fate_told *told, void *context)
{
    struct check *check = context;
    struct bitcask_verify_report *report = check->report;
    struct bitcask_fate_counts counts = { 0 };
    char name[BITCASK_NAME_SIZE];
    struct bitcask_finding finding = bitcask_fate_finding(told, name, &counts);

    report->lost_count += counts.lost;
    report->stale_count += counts.stale;
    report->undeleted_count += counts.undeleted;
    report->unreadable_count += counts.unreadable;
    return tell(check, &finding);
}

/* Whether the keys in @file are not those of the cask. */
static bool is_strange(const struct check *check, const struct bitcask_checked_file *file)
{
    return file->unlisted &&
           file->survey.salt >> 32 != bitcask_manifest_tag(&check->now.manifest);
}

/* What the damage means for keys. */
static enum bitcask_status tell_keys(struct check *check)
{
    struct bitcask_fates fates = { 0 };
    enum bitcask_status status =
        check->now.io->random(check->now.io, &fates.seed, sizeof fates.seed);

    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "get random bytes for a seed");
    for (size_t i = 0; i < check->now.file_count && status == BITCASK_OK; i++) {
        const struct bitcask_checked_file *file = &check->now.files[i];

        if (!bitcask_checked_file_is_damaged(&check->now, file) ||
            is_strange(check, file))
            continue;
        for (size_t k = 0; k < file->survey.casualty_count && status == BITCASK_OK; k++)
            status = bitcask_fates_add(&fates, &file->survey.casualties[k]);
    }
    if (status == BITCASK_OK && fates.count > 0)
        status = bitcask_verification_meet(&check->now, &fates);
    if (status == BITCASK_OK)
        status = bitcask_fates_tell(&fates, false, tell_fate, check);
    bitcask_fates_release(&fates);
    return status;
}

static enum bitcask_status tell_all(struct check *check, bool changed)
{
    struct bitcask_finding finding = { .kind = BITCASK_FINDING_CHANGED,
                                       .file = "",
                                       .detail = "a writer went on changing the cask; "
                                                 "its newest files were not all read" };
    enum bitcask_status status = BITCASK_OK;

    check->report->file_count += check->now.manifest_status != BITCASK_NOT_FOUND;
    if (check->now.manifest_status != BITCASK_OK)
        status = tell_manifest(check);
    else
        status = tell_unlisted(check);
    for (size_t i = 0; i < check->now.file_count && status == BITCASK_OK; i++)
        status = tell_file(check, &check->now.files[i]);
    if (status == BITCASK_OK)
        status = tell_verdict(check);
    if (status == BITCASK_OK)
        status = tell_reserve(check);
    if (status == BITCASK_OK && check->report->damage_count > 0)
        status = tell_keys(check);
    if (status == BITCASK_OK)
        status = tell_outside(check);
    if (status == BITCASK_OK && changed)
        status = tell(check, &finding);
    return status;
}

/*
 * Look at everything. Beside a writer, what looks like damage may be a file that a merge
 * has replaced meanwhile, so it is only believed if the MANIFEST is still the same.
 */
static enum bitcask_status look(struct check *check, struct bitcask_io *io,
                                bitcask_file directory, unsigned threads, bool *changed)
{
    struct bitcask_verification before = { 0 };
    enum bitcask_status status = BITCASK_OK;

    for (int round = 0; round < ROUNDS_MAX; round++) {
        bool well = false;

        memset(&check->now, 0, sizeof check->now);
        check->now.io = io;
        check->now.directory = directory;
        check->now.threads = threads;
        check->now.now_ms = io->wall_ms(io);
        check->now.pace = &check->pace;
        check->now.sequences_checked = round == 0;
        status = bitcask_verification_begin(&check->now);
        bitcask_verification_adopt(&check->now, &before);
        bitcask_verification_release(&before);
        if (status == BITCASK_OK)
            status = bitcask_verification_survey(&check->now);
        if (status == BITCASK_OK)
            status = bitcask_verification_judge(&check->now, &well);
        *changed = status == BITCASK_OK && bitcask_verification_is_stale(&check->now);
        if (*changed && round == ROUNDS_MAX - 1)
            status = bitcask_verification_forget_changed(&check->now);
        if (!*changed || round == ROUNDS_MAX - 1)
            break;
        if (well && !is_unlisted(&check->now) && round > 0)
            break; /* all that was there a moment ago is well */
        before = check->now;
        memset(&check->now, 0, sizeof check->now);
    }
    return status;
}

enum bitcask_status bitcask_verify_open(struct bitcask_io *io, bitcask_file directory,
                                        const struct bitcask_verify_options *options,
                                        struct bitcask_verify_report *report)
{
    static const struct bitcask_verify_options defaults;
    struct bitcask_verify_report ignored;
    struct check check = { .options = options != NULL ? options : &defaults,
                           .report = report != NULL ? report : &ignored };
    unsigned threads = check.options->threads;
    uint64_t begin_ms = io->monotonic_ms(io);
    bool changed = false;
    enum bitcask_status status;

    memset(check.report, 0, sizeof *check.report);
    if (threads == 0)
        threads = bitcask_load_threads();
    status = bitcask_pace_init(&check.pace, io, check.options->rate,
                               check.options->progress, check.options->context);
    if (status == BITCASK_OK)
        status = look(&check, io, directory, threads, &changed);
    if (status == BITCASK_OK)
        status = tell_all(&check, changed);
    check.report->read_size = check.pace.progress.done_size;
    check.report->elapsed_ms = io->monotonic_ms(io) - begin_ms;
    bitcask_verification_release(&check.now);
    bitcask_pace_release(&check.pace);
    if (status == BITCASK_OK && check.report->damage_count > 0)
        status =
            bitcask_fail(BITCASK_CORRUPT,
                         "%" PRIu64 " damages were found; run bitcask repair, or put "
                         "the files back from a backup",
                         check.report->damage_count);
    return status;
}

enum bitcask_status bitcask_verify_with(struct bitcask_io *io, const char *directory,
                                        const struct bitcask_verify_options *options,
                                        struct bitcask_verify_report *report)
{
    bitcask_file opened;
    enum bitcask_status status;

    if (report != NULL)
        memset(report, 0, sizeof *report);
    if (directory == NULL || directory[0] == '\0')
        return bitcask_fail_constant(BITCASK_MISUSE, "the directory is NULL or empty");
    if (options != NULL &&
        (bitcask_check_reserved(&options->reserved_number,
                                sizeof options->reserved_number) != BITCASK_OK ||
         bitcask_check_reserved(options->reserved, sizeof options->reserved) !=
             BITCASK_OK))
        return BITCASK_MISUSE;
    status = io->directory_open(io, directory, &opened);
    if (status == BITCASK_NOT_FOUND)
        return bitcask_fail(status, "%s: there is no such directory", directory);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "%s: open the directory", directory);
    status = bitcask_verify_open(io, opened, options, report);
    io->close(io, opened);
    if (status != BITCASK_OK)
        return bitcask_fail(status, "%s: %s", directory, bitcask_error_detail());
    return status;
}

enum bitcask_status bitcask_verify(const char *directory,
                                   const struct bitcask_verify_options *options,
                                   struct bitcask_verify_report *report)
{
    return bitcask_verify_with(bitcask_io_posix(), directory, options, report);
}
