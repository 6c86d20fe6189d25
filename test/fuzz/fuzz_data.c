/* SPDX-License-Identifier: MIT */
/*
 * Data files. Each input is read as it is, and with right checks over what looks like a
 * record.
 *
 * - A header is taken if, and only if, it is whole, and is written as the same bytes.
 * - The items of a scan follow each other without a gap to the end of the file. Nothing
 *   is shown as intact of which a check of ours does not hold, and nothing is shown as
 *   damage in which a record begins whose header and key are whole.
 * - A whole record is encoded as the same bytes again.
 * - What a walk gives is what the scan shows as whole, and a walk stops before anything
 *   else. From any place on it finds the same next record as we do.
 * - An inspector shows what the scan shows.
 */
#include "test/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/inspector.h"
#include "bitcask/scan.h"
#include "test/fuzz/fuzz_format.h"
#include "test/sim_disk.h"

#define DIRECTORY "/cask"

/* The input on a disk, and what the scan has shown of it. */
struct subject {
    struct sim_disk *disk;
    struct bitcask_io *io;
    bitcask_file directory;
    bitcask_file file;
    char name[BITCASK_NAME_SIZE];
    const uint8_t *bytes;
    size_t size;
    uint64_t id;
    uint64_t salt;
    struct bitcask_scan_item *items; /* without their keys */
    size_t item_count;
};

static void check_header(const struct subject *subject)
{
    uint8_t again[BITCASK_FILE_HEADER_SIZE];
    struct bitcask_file_header header;
    enum bitcask_status status;

    if (subject->size < sizeof again)
        return;
    status = bitcask_file_header_decode(subject->bytes, BITCASK_FILE_DATA, &header);
    fuzz_check((status == BITCASK_OK) ==
               fuzz_header_is_whole(subject->bytes, subject->size, fuzz_data_magic));
    if (status != BITCASK_OK)
        return;
    bitcask_file_header_encode(&header, BITCASK_FILE_DATA, again);
    fuzz_check(memcmp(again, subject->bytes, sizeof again) == 0);
}

/* Encode the record of @item once more. */
static void check_encoding(const struct subject *subject,
                           const struct bitcask_scan_item *item)
{
    uint8_t prefix[BITCASK_RECORD_PREFIX_MAX];
    const uint8_t *bytes = subject->bytes + item->offset;
    const struct bitcask_record *header = &item->header;
    uint32_t check = bitcask_record_begin(header, item->key.data, prefix);

    bitcask_record_finish(prefix, check, header->sequence, header->unsynced_count,
                          subject->salt, item->offset);
    fuzz_check(memcmp(prefix, bytes, bitcask_record_prefix_size(header)) == 0);
    fuzz_check(bitcask_record_size(header) == item->size);
}

/* Where what @item is in ends: its batch, or the file. */
static size_t end_around(const struct subject *subject,
                         const struct bitcask_scan_item *item)
{
    if (item->batch_offset == 0)
        return subject->size;
    for (size_t i = subject->item_count; i-- > 0;) {
        const struct bitcask_scan_item *batch = &subject->items[i];

        if (batch->kind == BITCASK_INSPECT_BATCH) {
            fuzz_check(batch->offset == item->batch_offset);
            return (size_t)(batch->offset + batch->size);
        }
    }
    fuzz_fail("a part is in a batch", __FILE__, __LINE__);
}

static void check_damage(const struct subject *subject,
                         const struct bitcask_scan_item *item, size_t end)
{
    struct fuzz_record record;

    for (size_t i = 0; i < item->size; i++) {
        size_t offset = (size_t)item->offset + i;

        if (fuzz_record_read(subject->bytes, end, offset, subject->salt, &record))
            fuzz_check(item->batch_offset != 0 && record.kind == BITCASK_INSPECT_BATCH);
    }
    for (size_t i = 0; i < item->size && item->zeros; i++)
        fuzz_check(subject->bytes[item->offset + i] == 0);
    fuzz_check(!item->zeros || item->offset + item->size == subject->size);
}

static void check_record(const struct subject *subject,
                         const struct bitcask_scan_item *item, size_t end)
{
    struct fuzz_record record;
    bool intact = fuzz_record_read(subject->bytes, end, (size_t)item->offset,
                                   subject->salt, &record);

    fuzz_check(item->key_intact == intact);
    if (!intact)
        return;
    fuzz_check(record.kind == item->header.kind && record.flags == item->header.flags);
    fuzz_check(record.sequence == item->header.sequence);
    fuzz_check(record.unsynced_count == item->header.unsynced_count);
    fuzz_check(record.value_size == item->header.value_size);
    fuzz_check(record.expiry_ms == item->header.expiry_ms);
    fuzz_check(fuzz_same(record.key, record.key_size, item->key.data, item->key.size));
    fuzz_check(item->value_intact ==
               (record.kind == BITCASK_INSPECT_BATCH
                    ? fuzz_batch_is_whole(subject->bytes, &record, subject->salt)
                    : record.value_intact));
    if (!record.cut)
        check_encoding(subject, item);
}

/* Look at all items, and keep them. */
static void scan_all(struct subject *subject)
{
    struct bitcask_scan scan;
    struct bitcask_scan_item item;
    uint64_t next = BITCASK_FILE_HEADER_SIZE;
    enum bitcask_status status;

    fuzz_check(bitcask_scan_init(&scan, subject->io, subject->file, subject->id,
                                 subject->salt, subject->size) == BITCASK_OK);
    while ((status = bitcask_scan_next(&scan, &item)) == BITCASK_OK) {
        size_t end = end_around(subject, &item);

        fuzz_check(item.offset == next && item.size > 0 &&
                   item.size <= end - item.offset);
        if (item.kind == BITCASK_INSPECT_DAMAGE)
            check_damage(subject, &item, end);
        else
            check_record(subject, &item, end);
        next = item.kind == BITCASK_INSPECT_BATCH
                   ? item.offset + BITCASK_RECORD_HEADER_SIZE
                   : item.offset + item.size;
        item.key.data = NULL;
        subject->items[subject->item_count++] = item;
    }
    fuzz_check(status == BITCASK_NOT_FOUND);
    fuzz_check(next == subject->size || subject->size <= BITCASK_FILE_HEADER_SIZE ||
               next > subject->size);
    bitcask_scan_release(&scan);
}

/* A walk gives the whole ones, up to the first item that is none. */
static void walk_all(const struct subject *subject)
{
    struct bitcask_walk walk;
    struct bitcask_walk_record record;
    size_t next = 0;
    enum bitcask_status status;

    fuzz_check(bitcask_walk_init(&walk, subject->io, subject->file, subject->id,
                                 subject->salt, subject->size) == BITCASK_OK);
    walk.check_values = true;
    while ((status = bitcask_walk_next(&walk, &record)) == BITCASK_OK) {
        const struct bitcask_scan_item *item;

        if (subject->items[next].kind == BITCASK_INSPECT_BATCH) {
            fuzz_check(subject->items[next].value_intact);
            next++;
        }
        fuzz_check(next < subject->item_count);
        item = &subject->items[next++];
        fuzz_check(item->offset == record.offset && item->key_intact &&
                   item->batch_intact);
        fuzz_check(item->value_intact == record.value_intact);
        fuzz_check(memcmp(&item->header, &record.header, sizeof record.header) == 0);
    }
    if (status == BITCASK_CORRUPT) {
        const struct bitcask_scan_item *item = &subject->items[next];

        fuzz_check(next < subject->item_count && walk.offset == item->offset);
        fuzz_check(!item->key_intact || !item->value_intact);
    } else {
        fuzz_check(status == BITCASK_NOT_FOUND && next == subject->item_count);
    }
    bitcask_walk_release(&walk);
}

/* The next record behind @from, of any sequence, as the walk and as we find it. */
static void resync(const struct subject *subject, size_t from)
{
    struct bitcask_walk walk;
    struct bitcask_record found;
    struct fuzz_record record;
    size_t offset = from;

    while (offset < subject->size && (!fuzz_record_read(subject->bytes, subject->size,
                                                        offset, subject->salt, &record) ||
                                      record.cut))
        offset++;
    fuzz_check(bitcask_walk_init(&walk, subject->io, subject->file, subject->id,
                                 subject->salt, subject->size) == BITCASK_OK);
    bitcask_walk_forget(&walk, from);
    fuzz_check((bitcask_walk_resync(&walk, 1, UINT64_MAX, &found) == BITCASK_OK) ==
               (offset < subject->size));
    fuzz_check(walk.offset == offset);
    bitcask_walk_release(&walk);
}

static void inspect(const struct subject *subject)
{
    struct bitcask_inspector *inspector = NULL;
    struct bitcask_inspect_item item;
    char path[64];
    size_t next = 0;
    enum bitcask_status status;

    (void)snprintf(path, sizeof path, DIRECTORY "/%s", subject->name);
    fuzz_check(bitcask_inspector_open_with(subject->io, &inspector, path,
                                           subject->salt) == BITCASK_OK);
    fuzz_check(bitcask_inspector_header(inspector)->file_size == subject->size);
    if (bitcask_inspector_header(inspector)->file != BITCASK_INSPECT_DATA ||
        subject->salt == 0) {
        bitcask_inspector_close(inspector);
        return;
    }
    while ((status = bitcask_inspector_next(inspector, &item)) == BITCASK_OK) {
        const struct bitcask_scan_item *shown = &subject->items[next++];

        fuzz_check(next <= subject->item_count);
        fuzz_check(item.kind == shown->kind && item.offset == shown->offset &&
                   item.size == shown->size);
        fuzz_check(item.key_intact == shown->key_intact &&
                   item.value_intact == shown->value_intact &&
                   item.batch_intact == shown->batch_intact);
    }
    fuzz_check(status == BITCASK_NOT_FOUND && next == subject->item_count);
    bitcask_inspector_close(inspector);
}

static void check_bytes(const uint8_t *bytes, size_t size)
{
    struct subject subject = {
        .disk = sim_disk_new(1),
        .bytes = bytes,
        .size = size,
        .id = fuzz_header_id(bytes, size),
        .salt = fuzz_header_salt(bytes, size),
        .items = fuzz_allocate((size + 1) * sizeof *subject.items),
    };

    subject.io = sim_disk_io(subject.disk);
    bitcask_data_name(subject.name, subject.id);
    sim_disk_put_file(subject.disk, DIRECTORY, subject.name, bytes, size);
    fuzz_check(subject.io->directory_open(subject.io, DIRECTORY, &subject.directory) ==
               BITCASK_OK);
    fuzz_check(subject.io->open(subject.io, subject.directory, subject.name,
                                BITCASK_IO_READ, &subject.file) == BITCASK_OK);
    check_header(&subject);
    scan_all(&subject);
    walk_all(&subject);
    if (size > BITCASK_FILE_HEADER_SIZE)
        resync(&subject, BITCASK_FILE_HEADER_SIZE +
                             (size - BITCASK_FILE_HEADER_SIZE) * (bytes[32] % 8u) / 8);
    inspect(&subject);
    subject.io->close(subject.io, subject.file);
    subject.io->close(subject.io, subject.directory);
    fuzz_check(sim_disk_open_count(subject.disk) == 0);
    sim_disk_free(subject.disk);
    free(subject.items);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *mended = fuzz_copy(bytes, size);

    check_bytes(bytes, size);
    fuzz_data_mend(mended, size);
    check_bytes(mended, size);
    free(mended);
    return 0;
}
