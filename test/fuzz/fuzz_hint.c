/* SPDX-License-Identifier: MIT */
/*
 * Hints. Each input is read as it is, and with right counts and checks in it.
 *
 * - A hint opens if, and only if, each byte of it is as docs/format.md says.
 * - Entries come out in the order of their offsets, within what the hint speaks for, the
 *   same one by one and several at a time.
 * - The same entries are written as the same bytes again.
 * - An inspector believes its entries if, and only if, the hint opens, and steps through
 *   any bytes to their end.
 */
#include "test/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "bitcask/inspector.h"
#include "hint/hint.h"
#include "test/fuzz/fuzz_format.h"
#include "test/sim_disk.h"

#define DIRECTORY "/cask"

/* The input on a disk. */
struct subject {
    struct sim_disk *disk;
    struct bitcask_io *io;
    bitcask_file directory;
    char name[BITCASK_NAME_SIZE];
    const uint8_t *bytes;
    size_t size;
    uint64_t id;
    uint64_t salt;
};

/* Take all entries several at a time, and write them again. */
static void write_again(const struct subject *subject, struct bitcask_hint *hint)
{
    struct bitcask_hint_entry entries[3];
    struct bitcask_hint_writer writer;
    const uint8_t *written;
    size_t count, size = 0;
    uint64_t end = 0;
    enum bitcask_status status;

    fuzz_check(bitcask_hint_writer_init(&writer, subject->id, subject->salt) ==
               BITCASK_OK);
    while ((status = bitcask_hint_take(hint, entries, 3, &count)) == BITCASK_OK) {
        fuzz_check(count >= 1 && count <= 3);
        for (size_t i = 0; i < count; i++) {
            fuzz_check(entries[i].offset >= end);
            fuzz_check(entries[i].offset < hint->trailer.data_size);
            end = entries[i].offset + 1;
            fuzz_check(bitcask_hint_writer_add(&writer, &entries[i]) == BITCASK_OK);
        }
    }
    fuzz_check(status == BITCASK_NOT_FOUND);
    fuzz_check(bitcask_hint_writer_commit(&writer, subject->io, subject->directory,
                                          subject->id,
                                          hint->trailer.data_size) == BITCASK_OK);
    bitcask_hint_writer_release(&writer);
    written = sim_disk_file(subject->disk, DIRECTORY, subject->name, &size);
    fuzz_check(fuzz_same(written, size, subject->bytes, subject->size));
}

/* Take them one by one; how many. */
static uint64_t count_entries(struct bitcask_hint *hint)
{
    struct bitcask_hint_entry entry;
    uint64_t count = 0;
    enum bitcask_status status;

    while ((status = bitcask_hint_next(hint, &entry)) == BITCASK_OK)
        count++;
    fuzz_check(status == BITCASK_NOT_FOUND);
    return count;
}

static void inspect(const struct subject *subject, bool whole, uint64_t entry_count)
{
    struct bitcask_inspector *inspector = NULL;
    struct bitcask_inspect_item item;
    const struct bitcask_inspect_header *header;
    char path[64];
    uint64_t end = 0, found_count = 0;
    enum bitcask_status status;

    (void)snprintf(path, sizeof path, DIRECTORY "/%s", subject->name);
    fuzz_check(bitcask_inspector_open_with(subject->io, &inspector, path, 0) ==
               BITCASK_OK);
    header = bitcask_inspector_header(inspector);
    fuzz_check(header->file_size == subject->size);
    if (header->file == BITCASK_INSPECT_HINT)
        fuzz_check(header->intact ==
                   fuzz_header_is_whole(subject->bytes, subject->size, fuzz_hint_magic));
    while ((status = bitcask_inspector_next(inspector, &item)) == BITCASK_OK) {
        /* By its magic it may be a data file, where parts lie in their batch. */
        fuzz_check(item.size > 0 && (item.offset >= end || item.in_batch));
        end = item.offset + item.size;
        fuzz_check(end <= subject->size);
        if (item.kind == BITCASK_INSPECT_DAMAGE)
            continue;
        found_count++;
        fuzz_check(!whole || item.key_intact);
    }
    fuzz_check(status == BITCASK_NOT_FOUND);
    fuzz_check(!whole || (header->trailer_intact && found_count == entry_count));
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
    };
    struct bitcask_buffer window = { 0 };
    struct bitcask_hint hint;
    uint64_t entry_count = 0;
    bool whole = fuzz_hint_is_whole(bytes, size);
    enum bitcask_status status;

    bitcask_hint_name(subject.name, subject.id);
    sim_disk_put_file(subject.disk, DIRECTORY, subject.name, bytes, size);
    subject.io = sim_disk_io(subject.disk);
    fuzz_check(subject.io->directory_open(subject.io, DIRECTORY, &subject.directory) ==
               BITCASK_OK);
    status = bitcask_hint_open(&hint, subject.io, subject.directory, subject.id,
                               subject.salt, &window);
    fuzz_check(status == BITCASK_OK || status == BITCASK_CORRUPT ||
               status == BITCASK_UNSUPPORTED);
    fuzz_check((status == BITCASK_OK) == whole);
    if (whole) {
        entry_count = count_entries(&hint);
        fuzz_check(entry_count == hint.trailer.entry_count);
        bitcask_hint_close(&hint);
    }
    inspect(&subject, whole, entry_count);
    if (whole) {
        fuzz_check(bitcask_hint_open_verified(&hint, subject.io, subject.directory,
                                              subject.id, subject.salt,
                                              &window) == BITCASK_OK);
        write_again(&subject, &hint);
        bitcask_hint_close(&hint);
    }
    /* Of another data file it is nothing. */
    fuzz_check(bitcask_hint_open(&hint, subject.io, subject.directory, subject.id,
                                 subject.salt + 1, &window) != BITCASK_OK);
    bitcask_buffer_release(&window);
    subject.io->close(subject.io, subject.directory);
    fuzz_check(sim_disk_open_count(subject.disk) == 0);
    sim_disk_free(subject.disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *mended = fuzz_copy(bytes, size);

    check_bytes(bytes, size);
    fuzz_hint_mend(mended, size);
    check_bytes(mended, size);
    free(mended);
    return 0;
}
