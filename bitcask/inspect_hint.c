/* SPDX-License-Identifier: MIT */
/*
 * Hints, looked at and made again without opening the cask.
 */
#include "bitcask/inspect_hint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/directory.h"
#include "bitcask/hint_compare.h"
#include "bitcask/status.h"
#include "hint/hint.h"

#define MAY_BE_CUT                                                                       \
    "the cask was not closed, and recovery may still cut this file: open and close the " \
    "cask first"

struct doctor {
    struct bitcask_io *io;
    bitcask_file directory;
    bool rebuilds;
    uint64_t id; /* the only one that is asked for, or 0 */
    bitcask_hint_visit *visit;
    void *context;

    struct bitcask_listing listing;
    struct bitcask_manifest manifest; /* empty if it cannot be read: only to verify */
    bool manifest_known;
    bool unclean;                /* recovery will look at the files that are not sealed */
    bool written;                /* a hint was */
    bool visited;                /* one, or more */
    enum bitcask_status failure; /* the first */
    char detail[BITCASK_DETAIL_SIZE];
};

/* One hint. */
struct patient {
    const struct bitcask_manifest_segment *line; /* NULL: MANIFEST does not say */
    struct bitcask_hint_report report;
    char detail[BITCASK_DETAIL_SIZE];
};

/* Only a rebuild must know what is sealed; to verify, the data files will do. */
static enum bitcask_status read_manifest(struct doctor *doctor)
{
    enum bitcask_status status;

    bitcask_manifest_release(&doctor->manifest);
    bitcask_manifest_init(&doctor->manifest);
    status = bitcask_manifest_read(&doctor->manifest, doctor->io, doctor->directory);
    doctor->manifest_known = status == BITCASK_OK;
    if (status == BITCASK_NOT_FOUND)
        status = bitcask_fail(BITCASK_CORRUPT, BITCASK_MANIFEST_NAME
                              " is missing, though there are data files; run bitcask "
                              "repair");
    if (status == BITCASK_CORRUPT && !doctor->rebuilds) {
        bitcask_manifest_release(&doctor->manifest);
        bitcask_manifest_init(&doctor->manifest);
        status = BITCASK_OK;
    }
    return status;
}

static enum bitcask_status size_of_data(struct doctor *doctor, uint64_t id,
                                        uint64_t *size)
{
    bitcask_file file;
    enum bitcask_status status = bitcask_data_file_open_unchecked(
        doctor->io, doctor->directory, id, BITCASK_IO_READ, &file, size);

    if (status == BITCASK_OK)
        doctor->io->close(doctor->io, file);
    return status;
}

/* After a clean close one file is not sealed, and it has the size that is listed. */
static enum bitcask_status look_at_end(struct doctor *doctor)
{
    size_t count = 0;

    for (size_t i = 0; i < doctor->manifest.segment_count; i++) {
        const struct bitcask_manifest_segment *line = &doctor->manifest.segments[i];
        uint64_t size;
        enum bitcask_status status;

        if (bitcask_manifest_is_outside(line->state) ||
            line->state == BITCASK_MANIFEST_SEALED ||
            !bitcask_listing_has(&doctor->listing.data_ids, line->id))
            continue;
        status = size_of_data(doctor, line->id, &size);
        if (status != BITCASK_OK)
            return status;
        count++;
        if (line->state != BITCASK_MANIFEST_OPEN || size > line->size || count > 1)
            doctor->unclean = true;
    }
    return BITCASK_OK;
}

/* What there is. BITCASK_NOT_FOUND: no cask, or not that file. */
static enum bitcask_status look(struct doctor *doctor)
{
    struct bitcask_buffer *ids = &doctor->listing.data_ids;
    enum bitcask_status status;

    bitcask_listing_release(&doctor->listing);
    status = bitcask_directory_list(doctor->io, doctor->directory, &doctor->listing);
    if (status != BITCASK_OK)
        return status;
    if (!doctor->listing.manifest && ids->size == 0)
        return bitcask_fail_constant(BITCASK_NOT_FOUND,
                                     "there is no cask in the directory");
    bitcask_listing_sort(&doctor->listing);
    status = read_manifest(doctor);
    if (status == BITCASK_OK && doctor->id != 0 && !bitcask_listing_has(ids, doctor->id))
        status = bitcask_fail(BITCASK_NOT_FOUND, "there is no %010" PRIu64 ".data",
                              doctor->id);
    return status;
}

/* The failure of one hint becomes that of all, if it is the first. */
static void note_failure(struct doctor *doctor, struct patient *patient,
                         enum bitcask_status status)
{
    (void)snprintf(patient->detail, sizeof patient->detail, "%s", bitcask_error_detail());
    patient->report.intact = false;
    if (doctor->failure != BITCASK_OK)
        return;
    doctor->failure = status;
    (void)snprintf(doctor->detail, sizeof doctor->detail, "%s", patient->detail);
}

/* One failure does not keep the others from being looked at, unless it is everybody's. */
static bool is_of_one_file(enum bitcask_status status)
{
    return status == BITCASK_CORRUPT || status == BITCASK_UNSUPPORTED ||
           status == BITCASK_IO;
}

/* A sealed file has the sequences that MANIFEST says; an open one has no gap. */
static enum bitcask_status check_sequences(const struct bitcask_manifest_segment *line,
                                           uint64_t entry_count, uint64_t first,
                                           uint64_t last)
{
    bool right = last == line->last_sequence;

    if (line->state == BITCASK_MANIFEST_SEALED)
        right = right && first == line->first_sequence;
    else
        right = right && last - first + 1 == entry_count;
    if (right)
        return BITCASK_OK;
    return bitcask_fail(BITCASK_CORRUPT,
                        "%010" PRIu64 ".data has %" PRIu64
                        " records of the sequences %" PRIu64 " to %" PRIu64
                        ", which is not what MANIFEST says; " BITCASK_DAMAGE_ADVICE,
                        line->id, entry_count, first, last);
}

/* The salt of the data file: MANIFEST says it, or else its header. */
static enum bitcask_status find_salt(struct doctor *doctor, const struct patient *patient,
                                     uint64_t *salt)
{
    uint64_t id = patient->report.segment_id;
    struct bitcask_file_header header;
    enum bitcask_status status;

    if (patient->line != NULL) {
        *salt = patient->line->salt;
        return BITCASK_OK;
    }
    status = bitcask_data_file_header(doctor->io, doctor->directory, id, &header);
    if (status == BITCASK_CORRUPT || (status == BITCASK_OK && header.segment_id != id))
        return bitcask_fail(BITCASK_CORRUPT,
                            "%010" PRIu64 ".data, offset 0: the file header is damaged, "
                            "or of another file; run bitcask repair",
                            id);
    if (status == BITCASK_UNSUPPORTED)
        return bitcask_fail(status, "%010" PRIu64 ".data is of a newer version", id);
    *salt = header.salt;
    return status;
}

static enum bitcask_status check_header(struct doctor *doctor, uint64_t id, uint64_t salt)
{
    bitcask_file file;
    uint64_t size;
    bool torn;
    enum bitcask_status status = bitcask_data_file_open(
        doctor->io, doctor->directory, id, salt, BITCASK_IO_READ, &file, &size, &torn);

    if (status == BITCASK_OK)
        doctor->io->close(doctor->io, file);
    return status;
}

static enum bitcask_status verify(struct doctor *doctor, struct patient *patient)
{
    const struct bitcask_manifest_segment *line = patient->line;
    struct bitcask_hint_report *report = &patient->report;
    struct bitcask_hint_subject subject = { .segment_id = report->segment_id,
                                            .check_values = true };
    struct bitcask_hint_comparison comparison;
    enum bitcask_status status;

    /* Without a hint there is nothing to compare. */
    if (!bitcask_listing_has(&doctor->listing.hint_ids, report->segment_id))
        return BITCASK_OK;
    report->exists = true;
    status = find_salt(doctor, patient, &subject.salt);
    if (status == BITCASK_OK)
        status = check_header(doctor, report->segment_id, subject.salt);
    if (status != BITCASK_OK)
        return status;
    if (line != NULL && line->state == BITCASK_MANIFEST_SEALED)
        subject.size_max = line->size;
    status = bitcask_hint_compare(doctor->io, doctor->directory, &subject, &comparison);
    report->exists = status != BITCASK_NOT_FOUND;
    report->hint_size = comparison.hint_size;
    report->data_size = comparison.data_size;
    report->entry_count = comparison.entry_count;
    report->tombstone_count = comparison.tombstone_count;
    if (status == BITCASK_OK && subject.size_max != 0 &&
        comparison.data_size == line->size && comparison.entry_count > 0)
        status = check_sequences(line, comparison.entry_count, comparison.first_sequence,
                                 comparison.last_sequence);
    report->intact = status == BITCASK_OK;
    return status;
}

/* Add the entries of all records of @walk to @writer. */
static enum bitcask_status collect_entries(struct bitcask_walk *walk,
                                           struct bitcask_hint_writer *writer)
{
    struct bitcask_walk_record record;
    enum bitcask_status status = BITCASK_OK;

    while (status == BITCASK_OK) {
        struct bitcask_hint_entry entry;

        status = bitcask_walk_next(walk, &record);
        if (status != BITCASK_OK)
            break;
        if (!record.value_intact)
            return bitcask_fail(BITCASK_CORRUPT,
                                "%010" PRIu64 ".data, offset %" PRIu64
                                ": the value fails its check; " BITCASK_DAMAGE_ADVICE,
                                walk->segment_id, record.offset);
        entry = bitcask_hint_entry_of(&record.header, record.offset, record.key);
        status = bitcask_hint_writer_add(writer, &entry);
    }
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

/* The data file of @line: whole as far as it is listed, and then synced. */
static enum bitcask_status open_data(struct doctor *doctor,
                                     const struct bitcask_manifest_segment *line,
                                     bitcask_file *file)
{
    uint64_t size;
    bool torn;
    enum bitcask_status status =
        bitcask_data_file_open(doctor->io, doctor->directory, line->id, line->salt,
                               BITCASK_IO_READ, file, &size, &torn);

    if (status != BITCASK_OK)
        return status;
    if (size < line->size)
        return bitcask_fail(BITCASK_CORRUPT,
                            "%010" PRIu64 ".data, offset %" PRIu64
                            ": the file is cut off here, MANIFEST says it has %" PRIu64
                            " bytes; " BITCASK_DAMAGE_ADVICE,
                            line->id, size, line->size);
    status = doctor->io->sync(doctor->io, *file);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "sync %010" PRIu64 ".data", line->id);
    return BITCASK_OK;
}

/* Write the hint for what MANIFEST lists, which is known to have been synced. */
static enum bitcask_status write_hint(struct doctor *doctor, struct patient *patient)
{
    const struct bitcask_manifest_segment *line = patient->line;
    struct bitcask_hint_report *report = &patient->report;
    struct bitcask_hint_writer writer = { 0 };
    struct bitcask_walk walk = { 0 };
    bitcask_file file = BITCASK_NO_FILE;
    enum bitcask_status status = open_data(doctor, line, &file);

    if (status == BITCASK_OK)
        status =
            bitcask_walk_init(&walk, doctor->io, file, line->id, line->salt, line->size);
    walk.check_values = true;
    if (status == BITCASK_OK)
        status = bitcask_hint_writer_init(&writer, line->id, line->salt);
    if (status == BITCASK_OK)
        status = bitcask_hint_writer_stream(&writer, doctor->io, doctor->directory);
    if (status == BITCASK_OK)
        status = collect_entries(&walk, &writer);
    if (status == BITCASK_OK)
        status =
            check_sequences(line, writer.trailer.entry_count,
                            writer.trailer.first_sequence, writer.trailer.last_sequence);
    if (status == BITCASK_OK)
        status = bitcask_hint_writer_commit(&writer, doctor->io, doctor->directory,
                                            line->id, line->size);
    if (status == BITCASK_OK) {
        report->exists = true;
        report->intact = true;
        report->written = true;
        report->entry_count = writer.trailer.entry_count;
        report->tombstone_count = writer.trailer.tombstone_count;
        report->data_size = line->size;
        report->hint_size = writer.written_size + BITCASK_HINT_TRAILER_SIZE;
        doctor->written = true;
    }
    bitcask_hint_writer_release(&writer);
    bitcask_walk_release(&walk);
    if (file != BITCASK_NO_FILE)
        doctor->io->close(doctor->io, file);
    return status;
}

/* Make the hint again, if it is certain what it must say. */
static enum bitcask_status rebuild(struct doctor *doctor, struct patient *patient)
{
    const struct bitcask_manifest_segment *line = patient->line;
    const char *why = NULL;

    patient->report.exists =
        bitcask_listing_has(&doctor->listing.hint_ids, patient->report.segment_id);
    if (line == NULL)
        return bitcask_fail(BITCASK_CORRUPT,
                            "%010" PRIu64
                            ".data is not listed in MANIFEST; run bitcask repair",
                            patient->report.segment_id);
    if (line->state != BITCASK_MANIFEST_SEALED && doctor->unclean)
        why = MAY_BE_CUT;
    else if (line->size <= BITCASK_FILE_HEADER_SIZE)
        why = "there is no record in the data file";
    if (why == NULL)
        return write_hint(doctor, patient);
    (void)snprintf(patient->detail, sizeof patient->detail, "%s", why);
    return BITCASK_OK;
}

/*
 * What looks like damage of the file of @id is none if a merge has replaced the file
 * since MANIFEST was read.
 */
static enum bitcask_status judge_again(struct doctor *doctor, uint64_t id,
                                       enum bitcask_status status, bool *replaced)
{
    const struct bitcask_manifest_segment *line;
    char detail[BITCASK_DETAIL_SIZE];

    (void)snprintf(detail, sizeof detail, "%s", bitcask_error_detail());
    if (!doctor->rebuilds && bitcask_manifest_find(&doctor->manifest, id) != NULL) {
        enum bitcask_status read = read_manifest(doctor);

        if (read != BITCASK_OK)
            return read;
        line = bitcask_manifest_find(&doctor->manifest, id);
        *replaced = doctor->manifest_known &&
                    (line == NULL || bitcask_manifest_is_outside(line->state));
    }
    return bitcask_fail(status, "%s", detail);
}

/* Look at, or make, the hint of @id, and tell. */
static enum bitcask_status treat(struct doctor *doctor, uint64_t id)
{
    struct patient patient = { .line = bitcask_manifest_find(&doctor->manifest, id),
                               .report = { .segment_id = id } };
    bool replaced = false;
    enum bitcask_status status;

    if (patient.line != NULL && bitcask_manifest_is_outside(patient.line->state))
        return BITCASK_OK;
    status = doctor->rebuilds ? rebuild(doctor, &patient) : verify(doctor, &patient);
    if (status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT)
        status = judge_again(doctor, id, status, &replaced);
    if (replaced)
        return BITCASK_OK;
    if (status != BITCASK_OK && status != BITCASK_NOT_FOUND) {
        if (!is_of_one_file(status))
            return status;
        note_failure(doctor, &patient, status);
    }
    doctor->visited = true;
    patient.report.detail = patient.detail;
    return doctor->visit != NULL ? doctor->visit(&patient.report, doctor->context)
                                 : BITCASK_OK;
}

static enum bitcask_status treat_all(struct doctor *doctor)
{
    const uint64_t *ids = doctor->listing.data_ids.data;
    size_t count = doctor->listing.data_ids.size / sizeof *ids;
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        if (doctor->id == 0 || doctor->id == ids[i])
            status = treat(doctor, ids[i]);
    }
    if (doctor->written) {
        enum bitcask_status synced =
            doctor->io->directory_sync(doctor->io, doctor->directory);

        if (synced != BITCASK_OK && status == BITCASK_OK)
            return bitcask_fail_errno(synced, "sync the directory");
    }
    if (status != BITCASK_OK)
        return status;
    if (doctor->failure != BITCASK_OK)
        return bitcask_fail(doctor->failure, "%s", doctor->detail);
    if (doctor->id != 0 && !doctor->visited)
        return bitcask_fail(BITCASK_NOT_FOUND,
                            "%010" PRIu64
                            ".data is no part of the cask: a merge has left it",
                            doctor->id);
    return BITCASK_OK;
}

static enum bitcask_status run(struct doctor *doctor, const char *path)
{
    struct bitcask_io *io = doctor->io;
    bitcask_file lock = BITCASK_NO_FILE;
    enum bitcask_status status;

    if (path == NULL || path[0] == '\0')
        return bitcask_fail_constant(BITCASK_MISUSE, "the directory is NULL or empty");
    status = io->directory_open(io, path, &doctor->directory);
    if (status == BITCASK_NOT_FOUND)
        return bitcask_fail(status, "%s: there is no such directory", path);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "%s: open the directory", path);

    /* Nothing is made in a directory that is no cask, not even the file of the lock. */
    status = look(doctor);
    if (status == BITCASK_OK && doctor->rebuilds) {
        status = bitcask_directory_lock(io, doctor->directory, &lock);
        if (status == BITCASK_OK)
            status = look(doctor);
        if (status == BITCASK_OK)
            status = look_at_end(doctor);
    }
    if (status != BITCASK_OK)
        status = bitcask_fail(status, "%s: %s", path, bitcask_error_detail());
    else
        status = treat_all(doctor);
    bitcask_directory_unlock(io, lock);
    bitcask_manifest_release(&doctor->manifest);
    bitcask_listing_release(&doctor->listing);
    io->close(io, doctor->directory);
    return status;
}

enum bitcask_status bitcask_hint_verify_with(struct bitcask_io *io, const char *directory,
                                             uint64_t id, bitcask_hint_visit *visit,
                                             void *context)
{
    struct doctor doctor = { .io = io, .id = id, .visit = visit, .context = context };

    return run(&doctor, directory);
}

enum bitcask_status bitcask_hint_rebuild_with(struct bitcask_io *io,
                                              const char *directory, uint64_t id,
                                              bitcask_hint_visit *visit, void *context)
{
    struct doctor doctor = {
        .io = io, .rebuilds = true, .id = id, .visit = visit, .context = context
    };

    return run(&doctor, directory);
}

enum bitcask_status bitcask_hint_verify(const char *directory, uint64_t id,
                                        bitcask_hint_visit *visit, void *context)
{
    return bitcask_hint_verify_with(bitcask_io_posix(), directory, id, visit, context);
}

enum bitcask_status bitcask_hint_rebuild(const char *directory, uint64_t id,
                                         bitcask_hint_visit *visit, void *context)
{
    return bitcask_hint_rebuild_with(bitcask_io_posix(), directory, id, visit, context);
}
