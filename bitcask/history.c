/* SPDX-License-Identifier: MIT */
/*
 * The records of one key that are still on disk, in order.
 *
 * No table of keys is made: every file is gone through once, by its hint as far as that
 * goes, and of all other records no more is kept than that their sequence is there.
 *
 * What the next open would cut does not belong to the history. Recovery itself is asked
 * how much of each unsealed file it would keep (judge.h), and of those no more is looked
 * at. If it would refuse, all that is whole is shown.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/check.h"
#include "bitcask/identity.h"
#include "bitcask/inspect_directory.h"
#include "bitcask/judge.h"
#include "bitcask/scan.h"
#include "bitcask/sequence_set.h"
#include "bitcask/status.h"
#include "hint/hint.h"

enum {
    ATTEMPTS_MAX = 50, /* beside a writer, which changes what is looked at */
    RETRY_MS = 2
};

struct search {
    struct bitcask_io *io;
    bitcask_file directory;
    struct bitcask_slice key;
    struct bitcask_inspect_cask cask;
    struct bitcask_buffer window;   /* for hints */
    struct bitcask_buffer versions; /* struct bitcask_version */
    struct bitcask_sequence_set sequences;
    uint64_t newest;                /* the highest sequence of all */
    uint64_t hidden_id;             /* a damaged sealed segment that may hide versions */
    struct bitcask_verdict verdict; /* only if the MANIFEST is intact */
};

static bool is_unsealed(const struct search *search,
                        const struct bitcask_inspect_segment *segment)
{
    return search->cask.manifest_intact && (segment->state == BITCASK_INSPECT_OPEN ||
                                            segment->state == BITCASK_INSPECT_PREPARED);
}

/* Whether its records count; without a MANIFEST all may. */
static bool is_member(const struct search *search,
                      const struct bitcask_inspect_segment *segment)
{
    return !search->cask.manifest_intact || segment->state == BITCASK_INSPECT_SEALED ||
           is_unsealed(search, segment);
}

/* How much of @segment, which is a member, can be history. */
static uint64_t end_of(const struct search *search,
                       const struct bitcask_inspect_segment *segment)
{
    if (!search->cask.manifest_intact)
        return UINT64_MAX;
    if (segment->state == BITCASK_INSPECT_SEALED)
        return segment->size;
    return search->verdict.status == BITCASK_OK
               ? bitcask_verdict_kept_size(&search->verdict, segment->id)
               : UINT64_MAX;
}

/* Whether the file of @segment must be there. */
static bool is_missed(const struct search *search,
                      const struct bitcask_inspect_segment *segment)
{
    return is_member(search, segment) && !segment->data_exists &&
           segment->size > BITCASK_FILE_HEADER_SIZE;
}

static enum bitcask_status note_sequence(struct search *search, uint64_t sequence)
{
    if (sequence > search->newest)
        search->newest = sequence;
    return bitcask_sequence_set_add(&search->sequences, sequence, NULL);
}

static bool is_key(const struct search *search, struct bitcask_slice key)
{
    return key.size == search->key.size &&
           memcmp(key.data, search->key.data, key.size) == 0;
}

static enum bitcask_status note_version(struct search *search,
                                        const struct bitcask_inspect_segment *segment,
                                        const struct bitcask_scan_item *item)
{
    struct bitcask_version version = { 0 };

    version.segment_id = segment->id;
    version.offset = item->offset;
    version.sequence = item->header.sequence;
    version.value_size = item->header.value_size;
    version.expiry_ms = item->header.expiry_ms;
    version.deletes = item->kind == BITCASK_INSPECT_TOMBSTONE;
    version.readable = bitcask_scan_item_is_whole(item);
    return bitcask_buffer_append(&search->versions, &version, sizeof version);
}

static enum bitcask_status take_item(struct search *search,
                                     const struct bitcask_inspect_segment *segment,
                                     const struct bitcask_scan_item *item)
{
    enum bitcask_status status;

    if (!is_unsealed(search, segment) &&
        (item->kind == BITCASK_INSPECT_DAMAGE || !item->key_intact) &&
        (!item->zeros || segment->state == BITCASK_INSPECT_SEALED))
        search->hidden_id = segment->id;
    if (!item->key_intact ||
        (item->kind != BITCASK_INSPECT_PUT && item->kind != BITCASK_INSPECT_TOMBSTONE))
        return BITCASK_OK;
    status = note_sequence(search, item->header.sequence);
    if (status == BITCASK_OK && is_key(search, item->key))
        status = note_version(search, segment, item);
    return status;
}

/* Go through the records of @file from @offset to @end. */
static enum bitcask_status scan_file(struct search *search,
                                     const struct bitcask_inspect_segment *segment,
                                     bitcask_file file, uint64_t salt, uint64_t offset,
                                     uint64_t end)
{
    struct bitcask_scan scan;
    struct bitcask_scan_item item;
    enum bitcask_status status =
        bitcask_scan_init(&scan, search->io, file, segment->id, salt, end);

    scan.walk.offset = offset;
    while (status == BITCASK_OK) {
        status = bitcask_scan_next(&scan, &item);
        if (status == BITCASK_OK)
            status = take_item(search, segment, &item);
    }
    bitcask_scan_release(&scan);
    /* One that became shorter is being cut by somebody, or by the next open. */
    return status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT ? BITCASK_OK : status;
}

/* What the hint says of the key is looked up in the data. */
static enum bitcask_status check_entry(struct search *search,
                                       const struct bitcask_inspect_segment *segment,
                                       bitcask_file file, uint64_t size,
                                       const struct bitcask_hint_entry *entry)
{
    struct bitcask_scan scan;
    struct bitcask_scan_item item = { 0 };
    enum bitcask_status status =
        bitcask_scan_init(&scan, search->io, file, segment->id, segment->salt, size);

    scan.walk.offset = entry->offset;
    if (status == BITCASK_OK && entry->offset < size)
        status = bitcask_scan_next(&scan, &item);
    if (status == BITCASK_CORRUPT)
        status = BITCASK_OK;
    if (status == BITCASK_OK &&
        (item.offset != entry->offset || !item.key_intact ||
         item.header.sequence != entry->sequence || !is_key(search, item.key))) {
        memset(&item, 0, sizeof item); /* damaged: it is known by the hint alone */
        item.kind = (enum bitcask_inspect_kind)entry->kind;
        item.offset = entry->offset;
        item.header.sequence = entry->sequence;
        item.header.value_size = entry->value_size;
        item.header.expiry_ms = entry->expiry_ms;
    }
    if (status == BITCASK_OK)
        status = note_version(search, segment, &item);
    bitcask_scan_release(&scan);
    return status;
}

/* By its hint, as far as that goes: *covered of the first @size bytes. */
static enum bitcask_status take_hint(struct search *search,
                                     const struct bitcask_inspect_segment *segment,
                                     bitcask_file file, uint64_t size, uint64_t *covered)
{
    struct bitcask_hint hint = { 0 };
    struct bitcask_hint_entry entry;
    size_t before = search->versions.size;
    enum bitcask_status status =
        bitcask_hint_open(&hint, search->io, search->directory, segment->id,
                          segment->salt, &search->window);

    *covered = BITCASK_FILE_HEADER_SIZE;
    if (status == BITCASK_NO_MEMORY)
        return status;
    if (status != BITCASK_OK)
        return BITCASK_OK; /* the data has it all */
    if (hint.trailer.data_size <= size)
        *covered = hint.trailer.data_size;
    while (status == BITCASK_OK && *covered > BITCASK_FILE_HEADER_SIZE) {
        status = bitcask_hint_next(&hint, &entry);
        if (status != BITCASK_OK)
            break;
        status = note_sequence(search, entry.sequence);
        if (status == BITCASK_OK && is_key(search, entry.key))
            status = check_entry(search, segment, file, size, &entry);
    }
    bitcask_hint_close(&hint);
    if (status == BITCASK_CORRUPT) { /* it went bad meanwhile */
        search->versions.size = before;
        *covered = BITCASK_FILE_HEADER_SIZE;
    }
    return status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT ? BITCASK_OK : status;
}

/* BITCASK_NOT_FOUND: the file is gone. */
static enum bitcask_status take_segment(struct search *search,
                                        const struct bitcask_inspect_segment *segment)
{
    uint64_t end = end_of(search, segment);
    uint64_t offset = BITCASK_FILE_HEADER_SIZE;
    uint64_t salt = segment->salt;
    bitcask_file file;
    uint64_t size;
    enum bitcask_status status = bitcask_data_file_open_unchecked(
        search->io, search->directory, segment->id, BITCASK_IO_READ, &file, &size);

    if (status != BITCASK_OK)
        return status;
    if (size < segment->size && segment->state == BITCASK_INSPECT_SEALED)
        search->hidden_id = segment->id;
    if (size > end)
        size = end;
    if (segment->state == BITCASK_INSPECT_UNLISTED) {
        struct bitcask_identity identity = { 0 };

        status = bitcask_identify(search->io, search->directory, segment->id, file, size,
                                  NULL, &identity);
        salt = identity.salt;
    } else {
        status = take_hint(search, segment, file, size, &offset);
    }
    if (status == BITCASK_OK && offset < size)
        status = scan_file(search, segment, file, salt, offset, size);
    search->io->close(search->io, file);
    return status;
}

static int compare_newest_first(const void *left, const void *right)
{
    const struct bitcask_version *a = left;
    const struct bitcask_version *b = right;

    if (a->sequence != b->sequence)
        return a->sequence > b->sequence ? -1 : 1;
    return a->segment_id > b->segment_id ? -1 : a->segment_id < b->segment_id;
}

/* Bring the versions in order, and see what is missing between them. */
static void arrange(struct search *search)
{
    struct bitcask_version *all = search->versions.data;
    size_t count = search->versions.size / sizeof *all;
    uint64_t last = search->newest;

    if (count > 1)
        qsort(all, count, sizeof *all, compare_newest_first);
    for (size_t i = 0; i < count; i++) {
        uint64_t sequence = all[i].sequence;

        all[i].gap = !bitcask_sequence_set_covers(&search->sequences, sequence + 1, last);
        last = sequence - 1;
    }
}

static void search_release(struct search *search)
{
    bitcask_inspect_cask_release(&search->cask);
    bitcask_buffer_release(&search->window);
    bitcask_buffer_release(&search->versions);
    bitcask_sequence_set_release(&search->sequences);
    bitcask_verdict_release(&search->verdict);
    if (search->directory != BITCASK_NO_FILE)
        search->io->close(search->io, search->directory);
}

static enum bitcask_status search_init(struct search *search, const char *directory,
                                       struct bitcask_slice key)
{
    struct bitcask_manifest manifest;
    enum bitcask_status status;

    bitcask_manifest_init(&manifest);
    *search = (struct search){ .io = bitcask_io_posix(),
                               .directory = BITCASK_NO_FILE,
                               .key = key };
    status = bitcask_sequence_set_init(&search->sequences);
    if (status == BITCASK_OK)
        status = bitcask_inspect_manifest(directory, &search->cask, &manifest);
    if (status != BITCASK_OK)
        goto out;
    status = search->io->directory_open(search->io, directory, &search->directory);
    if (status != BITCASK_OK) {
        bitcask_fail_errno(status, "open the directory %s", directory);
        goto out;
    }
    if (search->cask.manifest_intact)
        status =
            bitcask_judge(search->io, search->directory, &manifest, &search->verdict);
    if (status == BITCASK_UNSUPPORTED) { /* what is ours in it is shown */
        search->verdict.status = BITCASK_CORRUPT;
        (void)snprintf(search->verdict.detail, sizeof search->verdict.detail, "%s",
                       bitcask_error_detail());
        status = BITCASK_OK;
    }
    search->newest = search->cask.sequence;
    if (search->verdict.last_sequence > search->newest)
        search->newest = search->verdict.last_sequence;

out:
    bitcask_manifest_release(&manifest);
    return status;
}

static bool is_taken(const struct search *search,
                     const struct bitcask_inspect_segment *segment)
{
    if (!is_member(search, segment))
        return false;
    /* A prepared one may have come since the directory was listed. */
    if (is_unsealed(search, segment) && search->verdict.status == BITCASK_OK)
        return end_of(search, segment) > 0;
    return segment->data_exists;
}

/* Go through the cask once. *changed: a file has gone meanwhile. */
static enum bitcask_status run(struct search *search, bool *changed)
{
    for (size_t i = 0; i < search->cask.segment_count; i++) {
        const struct bitcask_inspect_segment *segment = &search->cask.segments[i];
        enum bitcask_status status = BITCASK_OK;

        if (is_taken(search, segment))
            status = take_segment(search, segment);
        if (status == BITCASK_NOT_FOUND) {
            *changed = true;
            return BITCASK_OK;
        }
        if (status != BITCASK_OK)
            return status;
    }
    arrange(search);
    return BITCASK_OK;
}

/*
 * Beside a writer, what looks like damage is damage if it still does, at the same place,
 * when looked at afresh. @before is what the last look has said, and is replaced.
 */
static bool is_doubtful(const struct search *search, char before[BITCASK_DETAIL_SIZE])
{
    if (search->verdict.status != BITCASK_CORRUPT ||
        strcmp(before, search->verdict.detail) == 0)
        return false;
    (void)snprintf(before, BITCASK_DETAIL_SIZE, "%s", search->verdict.detail);
    return true;
}

/*
 * Whether the damage that recovery sees hides records. If the sequences of all are known,
 * it does not. What a hint proves is not asked for: a writer may have written it since.
 */
static bool is_chain_hiding(struct search *search)
{
    uint64_t last = search->newest;

    if (search->verdict.status == BITCASK_OK)
        return false;
    for (size_t i = 0; i < search->cask.segment_count; i++) {
        const struct bitcask_inspect_segment *segment = &search->cask.segments[i];

        if (is_unsealed(search, segment) && segment->last_sequence > last)
            last = segment->last_sequence;
    }
    return !bitcask_sequence_set_covers(&search->sequences, search->cask.sequence + 1,
                                        last);
}

/* What is wrong with the cask itself, after all that there is has been found. */
static enum bitcask_status judge(struct search *search, const char *directory)
{
    bool has_data = false;

    for (size_t i = 0; i < search->cask.segment_count; i++) {
        const struct bitcask_inspect_segment *segment = &search->cask.segments[i];

        has_data = has_data || segment->data_exists;
        if (is_missed(search, segment))
            return bitcask_fail(BITCASK_CORRUPT,
                                "%s: %010" PRIu64
                                ".data is missing, though MANIFEST lists it",
                                directory, segment->id);
    }
    if (search->cask.manifest_exists && !search->cask.manifest_intact)
        return bitcask_fail(BITCASK_CORRUPT, "%s: MANIFEST cannot be read", directory);
    if (!search->cask.manifest_exists && has_data)
        return bitcask_fail(BITCASK_CORRUPT, "%s: MANIFEST is missing", directory);
    if (search->hidden_id != 0)
        return bitcask_fail(BITCASK_CORRUPT,
                            "%s: %010" PRIu64
                            ".data is damaged, and what was there may have been versions "
                            "of the key",
                            directory, search->hidden_id);
    if (is_chain_hiding(search))
        return bitcask_fail(BITCASK_CORRUPT, "%s: %s", directory, search->verdict.detail);
    if (!search->cask.manifest_exists)
        return bitcask_fail(BITCASK_NOT_FOUND, "%s: there is no cask in the directory",
                            directory);
    if (search->versions.size == 0)
        return bitcask_fail_constant(BITCASK_NOT_FOUND, "no record of the key is left");
    return BITCASK_OK;
}

enum bitcask_status bitcask_history(const char *directory, struct bitcask_slice key,
                                    bitcask_version_visit *visit, void *context)
{
    char before[BITCASK_DETAIL_SIZE] = "";
    struct search search;
    enum bitcask_status status = bitcask_check_key(key);

    if (status != BITCASK_OK)
        return status;
    if (visit == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the visit is NULL");
    for (int attempt = 1;; attempt++) {
        bool changed = false;

        status = search_init(&search, directory, key);
        if (status == BITCASK_OK && attempt < ATTEMPTS_MAX)
            changed = is_doubtful(&search, before);
        if (status == BITCASK_OK && !changed)
            status = run(&search, &changed);
        if (!changed || attempt == ATTEMPTS_MAX)
            break;
        search.io->sleep_ms(search.io, RETRY_MS);
        search_release(&search);
    }
    if (status == BITCASK_OK) {
        const struct bitcask_version *all = search.versions.data;
        size_t count = search.versions.size / sizeof *all;

        for (size_t i = 0; i < count && status == BITCASK_OK; i++)
            status = visit(&all[i], context);
        if (status == BITCASK_OK)
            status = judge(&search, directory);
    }
    search_release(&search);
    return status;
}

/* The salt of the data file @file of segment @id, from wherever it is known. */
static enum bitcask_status find_salt(struct bitcask_io *io, bitcask_file directory,
                                     uint64_t id, bitcask_file file, uint64_t size,
                                     uint64_t *salt)
{
    struct bitcask_identity identity = { 0 };
    struct bitcask_manifest manifest;
    bool listed;
    enum bitcask_status status;

    bitcask_manifest_init(&manifest);
    listed = bitcask_manifest_read(&manifest, io, directory) == BITCASK_OK;
    status = bitcask_identify(io, directory, id, file, size, listed ? &manifest : NULL,
                              &identity);
    bitcask_manifest_release(&manifest);
    *salt = identity.salt;
    return status;
}

/* Read the value behind the record at walk->offset. */
static enum bitcask_status read_value(struct bitcask_walk *walk, struct bitcask_slice key,
                                      const struct bitcask_version *version,
                                      struct bitcask_buffer *value)
{
    struct bitcask_record record;
    struct bitcask_buffer bytes = { 0 };
    const uint8_t *start;
    uint64_t offset;
    enum bitcask_status status = bitcask_walk_header(walk, walk->end, &record, &start);

    if (status != BITCASK_OK)
        return status;
    start += bitcask_record_prefix_size(&record);
    if (record.kind != BITCASK_RECORD_PUT || record.sequence != version->sequence ||
        record.key_size != key.size || memcmp(start, key.data, key.size) != 0)
        return bitcask_fail_constant(BITCASK_NOT_FOUND, "another record is there");
    offset = walk->offset + bitcask_record_prefix_size(&record) + record.key_size;
    status = bitcask_buffer_reserve(&bytes, record.value_size);
    if (status == BITCASK_OK) {
        status = walk->io->read(walk->io, walk->file, offset, bytes.data,
                                record.value_size, &bytes.size);
        if (status != BITCASK_OK)
            bitcask_fail_errno(status, "read %010" PRIu64 ".data, offset %" PRIu64,
                               version->segment_id, offset);
    }
    if (status == BITCASK_OK &&
        (bytes.size != record.value_size ||
         bitcask_value_check(bytes.data, bytes.size) != record.value_check))
        status = bitcask_fail(BITCASK_CORRUPT,
                              "%010" PRIu64 ".data, offset %" PRIu64
                              ": the value fails its check",
                              version->segment_id, walk->offset);
    if (status != BITCASK_OK) {
        bitcask_buffer_release(&bytes);
        return status;
    }
    ((char *)bytes.data)[bytes.size] = '\0';
    bitcask_buffer_release(value);
    *value = bytes;
    return BITCASK_OK;
}

static enum bitcask_status read_version(struct bitcask_io *io, bitcask_file directory,
                                        struct bitcask_slice key,
                                        const struct bitcask_version *version,
                                        struct bitcask_buffer *value)
{
    struct bitcask_walk walk = { 0 };
    bitcask_file file;
    uint64_t size, salt;
    enum bitcask_status status = bitcask_data_file_open_unchecked(
        io, directory, version->segment_id, BITCASK_IO_READ, &file, &size);

    if (status != BITCASK_OK)
        return status;
    status = find_salt(io, directory, version->segment_id, file, size, &salt);
    if (status == BITCASK_OK && version->offset >= size)
        status = bitcask_fail_constant(BITCASK_NOT_FOUND, "the file is shorter now");
    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, io, file, version->segment_id, salt, size);
    if (status == BITCASK_OK) {
        walk.offset = version->offset;
        status = read_value(&walk, key, version, value);
    }
    bitcask_walk_release(&walk);
    io->close(io, file);
    return status;
}

enum bitcask_status bitcask_version_read(const char *directory, struct bitcask_slice key,
                                         const struct bitcask_version *version,
                                         struct bitcask_buffer *value)
{
    struct bitcask_io *io = bitcask_io_posix();
    bitcask_file opened;
    enum bitcask_status status = bitcask_check_key(key);

    if (status != BITCASK_OK)
        return status;
    if (directory == NULL || directory[0] == '\0' || version == NULL || value == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE,
                                     "directory, version or the buffer is NULL or empty");
    if (version->deletes)
        return bitcask_fail_constant(BITCASK_NOT_FOUND, "a tombstone has no value");
    status = io->directory_open(io, directory, &opened);
    if (status == BITCASK_NOT_FOUND)
        return bitcask_fail(status, "%s: there is no such directory", directory);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "open the directory %s", directory);
    status = read_version(io, opened, key, version, value);
    io->close(io, opened);
    return status;
}
