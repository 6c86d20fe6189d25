/* SPDX-License-Identifier: MIT */
/*
 * The records of one key that are still on disk, in order.
 *
 * No table of keys is made: every file is gone through once, a sealed one by its hint,
 * and of all other records no more is kept than that their sequence is there.
 *
 * What the next open would cut does not belong to the history. The unsealed files are a
 * chain, in which each record has the sequence behind the one before (see chain.h). So
 * what may have to go is known by its sequence: the first that is missing, or that has a
 * bad value, and that nothing proves to have been synced.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/check.h"
#include "bitcask/identity.h"
#include "bitcask/inspect.h"
#include "bitcask/scan.h"
#include "bitcask/sequence_set.h"
#include "bitcask/status.h"
#include "hint/hint.h"

enum {
    ATTEMPTS_MAX = 50, /* beside a writer whose merges remove files */
    RETRY_MS = 2
};

/* A version, and whether it is in a file that was not sealed. */
struct found {
    struct bitcask_version version;
    bool in_chain;
};

struct search {
    struct bitcask_io *io;
    bitcask_file directory;
    struct bitcask_slice key;
    struct bitcask_inspect_cask cask;
    struct bitcask_buffer window;   /* for hints */
    struct bitcask_buffer versions; /* struct found */
    struct bitcask_sequence_set sequences;
    uint64_t newest;    /* the highest sequence of all */
    uint64_t hidden_id; /* in this segment versions may be hidden; 0: in none */

    /* Of the chain. */
    uint64_t *sizes;              /* of the files, as cask.segments */
    uint64_t expected;            /* the sequence of the next record */
    uint64_t proven;              /* so far everything is known to have been synced */
    uint64_t certain;             /* so far it must be in what was measured; see below */
    struct bitcask_buffer doubts; /* sequences of records with a bad value */
    bool broken;                  /* the record with the sequence expected is missing */
    uint64_t broken_id;           /* in this segment */
    size_t broken_size;           /* of versions, before */
};

static bool is_chain(const struct search *search,
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
           is_chain(search, segment);
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
    struct found found = { 0 };

    found.in_chain = is_chain(search, segment);
    found.version.segment_id = segment->id;
    found.version.offset = item->offset;
    found.version.sequence = item->header.sequence;
    found.version.value_size = item->header.value_size;
    found.version.expiry_ms = item->header.expiry_ms;
    found.version.deletes = item->kind == BITCASK_INSPECT_TOMBSTONE;
    found.version.readable = bitcask_scan_item_is_whole(item);
    return bitcask_buffer_append(&search->versions, &found, sizeof found);
}

static void raise_proven(struct search *search, uint64_t sequence)
{
    if (sequence > search->proven)
        search->proven = sequence;
}

/* As a hint does not, which a writer may have written after files were measured. */
static void raise_certain(struct search *search, uint64_t sequence)
{
    raise_proven(search, sequence);
    if (sequence > search->certain)
        search->certain = sequence;
}

static void break_chain(struct search *search, uint64_t id)
{
    if (search->broken)
        return;
    search->broken = true;
    search->broken_id = id;
    search->broken_size = search->versions.size;
}

/* How @item of segment @id carries the chain on. */
static enum bitcask_status follow_chain(struct search *search, uint64_t id,
                                        const struct bitcask_scan_item *item)
{
    const struct bitcask_record *header = &item->header;

    if (item->kind == BITCASK_INSPECT_DAMAGE || !item->key_intact ||
        !item->batch_intact ||
        (item->kind == BITCASK_INSPECT_BATCH && !item->value_intact)) {
        break_chain(search, id);
        return BITCASK_OK;
    }
    if (item->kind == BITCASK_INSPECT_BATCH)
        return BITCASK_OK; /* its parts carry it on */
    if (header->unsynced_count != UINT32_MAX && header->unsynced_count < header->sequence)
        raise_certain(search, header->sequence - header->unsynced_count - 1);
    if (search->broken && search->broken_id != id &&
        header->sequence == search->expected) {
        /* None is missing: what is at the end of that file was never one. */
        search->broken = false;
        search->versions.size = search->broken_size;
    }
    if (header->sequence != search->expected)
        break_chain(search, id);
    if (search->broken)
        return BITCASK_OK;
    search->expected++;
    return item->value_intact ? BITCASK_OK
                              : bitcask_buffer_append(&search->doubts, &header->sequence,
                                                      sizeof header->sequence);
}

static enum bitcask_status take_item(struct search *search,
                                     const struct bitcask_inspect_segment *segment,
                                     const struct bitcask_scan_item *item)
{
    enum bitcask_status status = BITCASK_OK;

    if (is_chain(search, segment))
        status = follow_chain(search, segment->id, item);
    else if (item->kind == BITCASK_INSPECT_DAMAGE || !item->key_intact)
        search->hidden_id = segment->id;
    if (status != BITCASK_OK || !item->key_intact ||
        (item->kind != BITCASK_INSPECT_PUT && item->kind != BITCASK_INSPECT_TOMBSTONE))
        return status;
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

/* A whole hint proves that what it speaks for was synced. */
static enum bitcask_status take_hint_proof(struct search *search,
                                           const struct bitcask_inspect_segment *segment)
{
    struct bitcask_hint hint = { 0 };
    enum bitcask_status status =
        bitcask_hint_open(&hint, search->io, search->directory, segment->id,
                          segment->salt, &search->window);

    raise_certain(search, segment->last_sequence);
    if (status == BITCASK_OK)
        raise_proven(search, hint.trailer.last_sequence);
    bitcask_hint_close(&hint);
    return status == BITCASK_OK || bitcask_hint_is_absent(status) ? BITCASK_OK : status;
}

/* BITCASK_NOT_FOUND: the file is gone. */
static enum bitcask_status take_segment(struct search *search, size_t index)
{
    const struct bitcask_inspect_segment *segment = &search->cask.segments[index];
    uint64_t offset = BITCASK_FILE_HEADER_SIZE;
    uint64_t salt = segment->salt;
    bitcask_file file;
    uint64_t size;
    enum bitcask_status status = bitcask_data_file_open_unchecked(
        search->io, search->directory, segment->id, BITCASK_IO_READ, &file, &size);

    if (status != BITCASK_OK)
        return status;
    if (segment->state == BITCASK_INSPECT_UNLISTED) {
        struct bitcask_identity identity = { 0 };

        status = bitcask_identify(search->io, search->directory, segment->id, file, size,
                                  NULL, &identity);
        salt = identity.salt;
    } else if (is_chain(search, segment)) {
        if (size > search->sizes[index])
            size = search->sizes[index];
        if (size < segment->size)
            search->hidden_id = segment->id;
        status = take_hint_proof(search, segment);
    } else {
        if (size > segment->size)
            size = segment->size;
        else if (size < segment->size)
            search->hidden_id = segment->id;
        status = take_hint(search, segment, file, size, &offset);
    }
    if (status == BITCASK_OK && offset < size)
        status = scan_file(search, segment, file, salt, offset, size);
    search->io->close(search->io, file);
    return status;
}

/*
 * How large the files of the chain are, newest first: beside a writer, what is there when
 * the newest has a record is all of what came before.
 */
static enum bitcask_status measure_chain(struct search *search)
{
    size_t count = search->cask.segment_count;
    size_t size = (count > 0 ? count : 1) * sizeof *search->sizes;

    search->sizes = calloc(1, size);
    if (search->sizes == NULL)
        return bitcask_fail_memory(size);
    for (size_t i = count; i-- > 0;) {
        const struct bitcask_inspect_segment *segment = &search->cask.segments[i];
        bitcask_file file;
        enum bitcask_status status;

        if (!is_chain(search, segment))
            continue;
        status =
            bitcask_data_file_open_unchecked(search->io, search->directory, segment->id,
                                             BITCASK_IO_READ, &file, &search->sizes[i]);
        if (status == BITCASK_OK)
            search->io->close(search->io, file);
        else if (status != BITCASK_NOT_FOUND)
            return status;
    }
    return BITCASK_OK;
}

/* Take back what the next open would cut. */
static void drop_torn(struct search *search)
{
    const uint64_t *doubts = search->doubts.data;
    struct found *all = search->versions.data;
    size_t count = search->versions.size / sizeof *all;
    size_t kept = 0;
    uint64_t end = search->broken ? search->expected : UINT64_MAX;

    if (search->broken && !bitcask_sequence_set_covers(&search->sequences,
                                                       search->expected, search->certain))
        search->hidden_id = search->broken_id;
    for (size_t i = search->doubts.size / sizeof *doubts; i-- > 0;) {
        if (doubts[i] > search->proven)
            end = doubts[i];
    }
    if (end <= search->proven || end == UINT64_MAX)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!all[i].in_chain || all[i].version.sequence < end)
            all[kept++] = all[i];
    }
    search->versions.size = kept * sizeof *all;
    search->newest = end - 1;
}

static int compare_newest_first(const void *left, const void *right)
{
    const struct bitcask_version *a = &((const struct found *)left)->version;
    const struct bitcask_version *b = &((const struct found *)right)->version;

    if (a->sequence != b->sequence)
        return a->sequence > b->sequence ? -1 : 1;
    return a->segment_id > b->segment_id ? -1 : a->segment_id < b->segment_id;
}

/* Bring the versions in order, and see what is missing between them. */
static void arrange(struct search *search)
{
    struct found *all = search->versions.data;
    size_t count = search->versions.size / sizeof *all;
    uint64_t last = search->newest;

    if (count > 1)
        qsort(all, count, sizeof *all, compare_newest_first);
    for (size_t i = 0; i < count; i++) {
        uint64_t sequence = all[i].version.sequence;

        all[i].version.gap =
            !bitcask_sequence_set_covers(&search->sequences, sequence + 1, last);
        last = sequence - 1;
    }
}

static void search_release(struct search *search)
{
    bitcask_inspect_cask_release(&search->cask);
    bitcask_buffer_release(&search->window);
    bitcask_buffer_release(&search->versions);
    bitcask_buffer_release(&search->doubts);
    bitcask_sequence_set_release(&search->sequences);
    free(search->sizes);
    if (search->directory != BITCASK_NO_FILE)
        search->io->close(search->io, search->directory);
}

static enum bitcask_status search_init(struct search *search, const char *directory,
                                       struct bitcask_slice key)
{
    enum bitcask_status status;

    *search = (struct search){ .io = bitcask_io_posix(),
                               .directory = BITCASK_NO_FILE,
                               .key = key };
    status = bitcask_sequence_set_init(&search->sequences);
    if (status == BITCASK_OK)
        status = bitcask_inspect_directory(directory, &search->cask);
    if (status != BITCASK_OK)
        return status;
    status = search->io->directory_open(search->io, directory, &search->directory);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "open the directory %s", directory);
    search->newest = search->cask.sequence;
    search->proven = search->cask.sequence;
    search->certain = search->cask.sequence;
    search->expected = search->cask.sequence + 1;
    return measure_chain(search);
}

/* Go through the cask once. *changed: a file has gone meanwhile. */
static enum bitcask_status run(struct search *search, bool *changed)
{
    for (size_t i = 0; i < search->cask.segment_count; i++) {
        const struct bitcask_inspect_segment *segment = &search->cask.segments[i];
        enum bitcask_status status = BITCASK_OK;

        /* A prepared one may have come since. */
        if (is_member(search, segment) &&
            (segment->data_exists || (search->sizes != NULL && search->sizes[i] > 0)))
            status = take_segment(search, i);
        if (status == BITCASK_NOT_FOUND) {
            *changed = true;
            return BITCASK_OK;
        }
        if (status != BITCASK_OK)
            return status;
    }
    drop_torn(search);
    arrange(search);
    return BITCASK_OK;
}

/* What is wrong with the cask itself, after all that there is has been found. */
static enum bitcask_status judge(const struct search *search, const char *directory)
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
    struct search search;
    enum bitcask_status status = bitcask_check_key(key);

    if (status != BITCASK_OK)
        return status;
    if (visit == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the visit is NULL");
    for (int attempt = 1;; attempt++) {
        bool changed = false;

        status = search_init(&search, directory, key);
        if (status == BITCASK_OK)
            status = run(&search, &changed);
        if (!changed || attempt == ATTEMPTS_MAX)
            break;
        search.io->sleep_ms(search.io, RETRY_MS);
        search_release(&search);
    }
    if (status == BITCASK_OK) {
        const struct found *all = search.versions.data;
        size_t count = search.versions.size / sizeof *all;

        for (size_t i = 0; i < count && status == BITCASK_OK; i++)
            status = visit(&all[i].version, context);
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
