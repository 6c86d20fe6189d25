/* SPDX-License-Identifier: MIT */
#include "bitcask/data_file.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/bytes.h"
#include "bitcask/file_name.h"
#include "bitcask/status.h"
#include "bitcask/zeros.h"

/* Large enough that reading costs little, and more than the longest prefix and key. */
enum {
    WINDOW_SIZE = 1 << 20
};

enum bitcask_status bitcask_data_file_create(struct bitcask_io *io,
                                             bitcask_file directory,
                                             const struct bitcask_file_header *header,
                                             bitcask_file *out)
{
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];
    struct bitcask_slice part = { bytes, sizeof bytes };
    char name[BITCASK_NAME_SIZE];
    bitcask_file file = BITCASK_NO_FILE;
    enum bitcask_status status;

    bitcask_data_name(name, header->segment_id);
    bitcask_file_header_encode(header, BITCASK_FILE_DATA, bytes);

    status = io->open(io, directory, name, BITCASK_IO_CREATE, &file);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "create %s", name);
    status = io->write(io, file, 0, &part, 1);
    if (status != BITCASK_OK) {
        bitcask_fail_errno(status, "write the header of %s", name);
        io->close(io, file);
        (void)io->remove(io, directory, name);
        return status;
    }
    *out = file;
    return BITCASK_OK;
}

/* Whether the header in @bytes is that of segment @id with @salt; the words if not. */
static enum bitcask_status check_identity(const uint8_t *bytes, const char *name,
                                          uint64_t id, uint64_t salt, bool *torn)
{
    struct bitcask_file_header header;
    enum bitcask_status status =
        bitcask_file_header_decode(bytes, BITCASK_FILE_DATA, &header);

    if (status == BITCASK_UNSUPPORTED)
        return bitcask_fail(status,
                            "%s has format %" PRIu32 " with features %#" PRIx32
                            ": use a newer library",
                            name, bitcask_load32(bytes + 8), bitcask_load32(bytes + 12));
    if (status != BITCASK_OK) {
        *torn = true;
        return bitcask_fail(
            status, "%s, offset 0: the file header is damaged; " BITCASK_DAMAGE_ADVICE,
            name);
    }
    if (header.segment_id != id || header.salt != salt)
        return bitcask_fail(BITCASK_CORRUPT,
                            "%s is not the file that MANIFEST lists: it is segment "
                            "%" PRIu64 " with salt %016" PRIx64 ", not %" PRIu64
                            " with %016" PRIx64 "; " BITCASK_DAMAGE_ADVICE,
                            name, header.segment_id, header.salt, id, salt);
    return BITCASK_OK;
}

enum bitcask_status bitcask_data_file_open_unchecked(struct bitcask_io *io,
                                                     bitcask_file directory, uint64_t id,
                                                     enum bitcask_io_mode mode,
                                                     bitcask_file *out, uint64_t *size)
{
    char name[BITCASK_NAME_SIZE];
    bitcask_file file = BITCASK_NO_FILE;
    enum bitcask_status status;

    bitcask_data_name(name, id);
    status = io->open(io, directory, name, mode, &file);
    if (status == BITCASK_NOT_FOUND)
        return bitcask_fail(status, "%s is missing", name);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "open %s", name);
    status = io->size(io, file, size);
    if (status != BITCASK_OK) {
        bitcask_fail_errno(status, "size of %s", name);
        io->close(io, file);
        return status;
    }
    *out = file;
    return BITCASK_OK;
}

enum bitcask_status bitcask_data_file_open(struct bitcask_io *io, bitcask_file directory,
                                           uint64_t id, uint64_t salt,
                                           enum bitcask_io_mode mode, bitcask_file *out,
                                           uint64_t *size, bool *torn)
{
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];
    char name[BITCASK_NAME_SIZE];
    bitcask_file file = BITCASK_NO_FILE;
    size_t got;
    enum bitcask_status status;

    *torn = false;
    bitcask_data_name(name, id);
    status = bitcask_data_file_open_unchecked(io, directory, id, mode, &file, size);
    if (status != BITCASK_OK)
        return status;

    status = io->read(io, file, 0, bytes, sizeof bytes, &got);
    if (status != BITCASK_OK) {
        bitcask_fail_errno(status, "read the header of %s", name);
    } else if (got < sizeof bytes) {
        *torn = true;
        status = bitcask_fail(
            BITCASK_CORRUPT,
            "%s, offset %zu: the file ends inside its header; " BITCASK_DAMAGE_ADVICE,
            name, got);
    } else {
        status = check_identity(bytes, name, id, salt, torn);
    }
    if (status != BITCASK_OK) {
        io->close(io, file);
        return status;
    }
    *out = file;
    return BITCASK_OK;
}

enum bitcask_status bitcask_data_file_header(struct bitcask_io *io,
                                             bitcask_file directory, uint64_t id,
                                             struct bitcask_file_header *header)
{
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t size;
    size_t got;
    enum bitcask_status status = bitcask_data_file_open_unchecked(
        io, directory, id, BITCASK_IO_READ, &file, &size);

    if (status != BITCASK_OK)
        return status;
    status = io->read(io, file, 0, bytes, sizeof bytes, &got);
    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "read the header of %010" PRIu64 ".data", id);
    io->close(io, file);
    if (status != BITCASK_OK)
        return status;
    return got == sizeof bytes
               ? bitcask_file_header_decode(bytes, BITCASK_FILE_DATA, header)
               : BITCASK_CORRUPT;
}

enum bitcask_status bitcask_data_file_is_unused(struct bitcask_io *io, bitcask_file file,
                                                uint64_t id, uint64_t offset,
                                                uint64_t end, bool *unused)
{
    bool found;
    enum bitcask_status status = bitcask_zeros_skip(io, file, &offset, end, &found);

    *unused = status == BITCASK_OK && !found;
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "read %010" PRIu64 ".data, offset %" PRIu64, id,
                                  offset);
    return BITCASK_OK;
}

enum bitcask_status bitcask_walk_init(struct bitcask_walk *walk, struct bitcask_io *io,
                                      bitcask_file file, uint64_t segment_id,
                                      uint64_t salt, uint64_t end)
{
    memset(walk, 0, sizeof *walk);
    walk->io = io;
    walk->file = file;
    walk->segment_id = segment_id;
    walk->salt = salt;
    walk->offset = BITCASK_FILE_HEADER_SIZE;
    walk->end = end;
    /* A small file does not need the whole window. */
    walk->window_capacity = end > WINDOW_SIZE ? WINDOW_SIZE : (size_t)(end > 0 ? end : 1);
    walk->window = malloc(walk->window_capacity);
    if (walk->window == NULL)
        return bitcask_fail_memory(walk->window_capacity);
    return BITCASK_OK;
}

void bitcask_walk_release(struct bitcask_walk *walk)
{
    free(walk->window);
    memset(walk, 0, sizeof *walk);
}

void bitcask_walk_forget(struct bitcask_walk *walk, uint64_t offset)
{
    walk->offset = offset;
    walk->batch_end = 0;
    walk->window_size = 0;
}

/* Read a stretch of @wanted bytes from @offset on into the window. */
static enum bitcask_status fill_window(struct bitcask_walk *walk, uint64_t offset,
                                       size_t wanted)
{
    enum bitcask_status status;

    walk->window_size = 0;
    walk->window_offset = offset;
    status = walk->io->read(walk->io, walk->file, offset, walk->window, wanted,
                            &walk->window_size);
    if (status != BITCASK_OK)
        walk->window_size = 0;
    return status;
}

enum bitcask_status bitcask_walk_look(struct bitcask_walk *walk, uint64_t offset,
                                      size_t size, const uint8_t **out)
{
    enum bitcask_status status;
    size_t wanted;

    assert(size <= walk->window_capacity && offset + size <= walk->end);
    if (offset < walk->window_offset ||
        offset + size > walk->window_offset + walk->window_size) {
        wanted = walk->window_capacity;
        if (wanted > walk->end - offset)
            wanted = (size_t)(walk->end - offset);
        status = fill_window(walk, offset, wanted);
        if (status == BITCASK_IO && walk->patient && size < wanted)
            status = fill_window(walk, offset, size);
        if (status != BITCASK_OK)
            return bitcask_fail_errno(status, "read %010" PRIu64 ".data, offset %" PRIu64,
                                      walk->segment_id, offset);
        if (walk->on_read != NULL) {
            status = walk->on_read(walk->context);
            if (status != BITCASK_OK)
                return status;
        }
        if (walk->window_size < size)
            return bitcask_fail(BITCASK_CORRUPT,
                                "%010" PRIu64 ".data, offset %" PRIu64
                                ": the file became shorter while it was read",
                                walk->segment_id, offset);
    }
    *out = walk->window + (size_t)(offset - walk->window_offset);
    return BITCASK_OK;
}

static enum bitcask_status fail_at(const struct bitcask_walk *walk, const char *what)
{
    return bitcask_fail(BITCASK_CORRUPT,
                        "%010" PRIu64 ".data, offset %" PRIu64
                        ": %s; " BITCASK_DAMAGE_ADVICE,
                        walk->segment_id, walk->offset, what);
}

enum bitcask_status bitcask_walk_check(struct bitcask_walk *walk, uint64_t offset,
                                       uint64_t size, uint32_t *check)
{
    *check = 0;
    while (size > 0) {
        size_t piece =
            size < walk->window_capacity ? (size_t)size : walk->window_capacity;
        const uint8_t *bytes = NULL;
        enum bitcask_status status = bitcask_walk_look(walk, offset, piece, &bytes);

        if (status != BITCASK_OK)
            return status;
        *check = bitcask_check(*check, bytes, piece);
        offset += piece;
        size -= piece;
    }
    return BITCASK_OK;
}

/* Whether the @size bytes at @offset have the check @expected. */
static enum bitcask_status check_value(struct bitcask_walk *walk, uint64_t offset,
                                       uint64_t size, uint32_t expected, bool *intact)
{
    uint32_t check = 0;
    enum bitcask_status status = bitcask_walk_check(walk, offset, size, &check);

    *intact = check == expected;
    return status;
}

enum bitcask_status bitcask_walk_header(struct bitcask_walk *walk, uint64_t end,
                                        struct bitcask_record *record,
                                        const uint8_t **bytes)
{
    uint64_t room = end - walk->offset;
    size_t prefix_size =
        room < BITCASK_RECORD_PREFIX_MAX ? (size_t)room : BITCASK_RECORD_PREFIX_MAX;
    uint64_t needed;
    enum bitcask_status status;

    status = bitcask_walk_look(walk, walk->offset, prefix_size, bytes);
    if (status != BITCASK_OK)
        return status;
    status = bitcask_record_decode(*bytes, prefix_size, record);
    if (status != BITCASK_OK)
        return fail_at(walk, "this is not a record");
    needed = walk->headers_only ? bitcask_record_prefix_size(record) + record->key_size
                                : bitcask_record_size(record);
    if (needed > room)
        return fail_at(walk, "the record reaches past the end of the file");

    status = bitcask_walk_look(
        walk, walk->offset, bitcask_record_prefix_size(record) + record->key_size, bytes);
    if (status != BITCASK_OK)
        return status;
    if (!bitcask_record_key_intact(*bytes, record, walk->salt, walk->offset))
        return fail_at(walk, "the record's header or key fails its check");
    return BITCASK_OK;
}

/* Back to where the batch begins. */
static void leave_batch(struct bitcask_walk *walk)
{
    walk->offset = walk->batch_offset;
    walk->batch_end = 0;
}

/* A part that is not as it must be makes the whole batch damaged. */
static enum bitcask_status leave_bad_batch(struct bitcask_walk *walk)
{
    leave_batch(walk);
    return fail_at(walk, "a part of the batch is not a whole record in sequence");
}

/* The next part of the batch that the walk is in; BITCASK_CORRUPT leaves the batch. */
static enum bitcask_status read_part(struct bitcask_walk *walk,
                                     struct bitcask_record *part, const uint8_t **bytes)
{
    enum bitcask_status status = bitcask_walk_header(walk, walk->batch_end, part, bytes);

    if (status != BITCASK_OK && status != BITCASK_CORRUPT)
        return status;
    if (status == BITCASK_CORRUPT || part->kind == BITCASK_RECORD_BATCH ||
        part->sequence != walk->batch_next_sequence)
        return leave_bad_batch(walk);
    return BITCASK_OK;
}

/*
 * Look at all parts before the first is given out: nobody may have used one when
 * another turns out bad.
 */
static enum bitcask_status check_parts(struct bitcask_walk *walk)
{
    uint64_t payload_offset = walk->offset;
    uint64_t first_sequence = walk->batch_next_sequence;

    while (walk->offset < walk->batch_end) {
        struct bitcask_record part;
        const uint8_t *bytes = NULL;
        enum bitcask_status status = read_part(walk, &part, &bytes);

        if (status != BITCASK_OK) {
            leave_batch(walk);
            return status;
        }
        walk->offset += bitcask_record_size(&part);
        walk->batch_next_sequence++;
    }
    walk->offset = payload_offset;
    walk->batch_next_sequence = first_sequence;
    return BITCASK_OK;
}

/* Verify the payload of the batch at walk->offset and step inside. */
static enum bitcask_status enter_batch(struct bitcask_walk *walk,
                                       const struct bitcask_record *batch)
{
    uint64_t payload_offset = walk->offset + BITCASK_RECORD_HEADER_SIZE;
    bool intact = false;
    enum bitcask_status status =
        check_value(walk, payload_offset, batch->value_size, batch->value_check, &intact);

    if (status != BITCASK_OK)
        return status;
    if (!intact)
        return fail_at(walk, "the batch fails its check");
    walk->batch_offset = walk->offset;
    walk->batch_end = payload_offset + batch->value_size;
    walk->batch_next_sequence = batch->sequence;
    walk->offset = payload_offset;
    return check_parts(walk);
}

enum bitcask_status bitcask_walk_next(struct bitcask_walk *walk,
                                      struct bitcask_walk_record *out)
{
    const uint8_t *bytes = NULL;
    struct bitcask_record *header = &out->header;
    size_t prefix_size;
    enum bitcask_status status;

    if (walk->batch_end != 0 && walk->offset == walk->batch_end)
        walk->batch_end = 0;
    if (walk->batch_end == 0) {
        if (walk->offset >= walk->end)
            return BITCASK_NOT_FOUND;
        status = bitcask_walk_header(walk, walk->end, header, &bytes);
        if (status != BITCASK_OK)
            return status;
        if (header->kind == BITCASK_RECORD_BATCH) {
            status = enter_batch(walk, header);
            if (status != BITCASK_OK)
                return status;
        }
    }
    if (walk->batch_end != 0) {
        status = read_part(walk, header, &bytes);
        if (status != BITCASK_OK)
            return status;
    }

    prefix_size = bitcask_record_prefix_size(header);
    out->offset = walk->offset;
    out->value_intact = true;
    if (walk->check_values) {
        status = check_value(walk, walk->offset + prefix_size + header->key_size,
                             header->value_size, header->value_check, &out->value_intact);
        if (status == BITCASK_OK) /* the window may have moved: fetch the key again */
            status = bitcask_walk_look(walk, walk->offset, prefix_size + header->key_size,
                                       &bytes);
        if (status != BITCASK_OK)
            return status;
    }
    out->key.data = bytes + prefix_size;
    out->key.size = header->key_size;
    walk->offset += bitcask_record_size(header);
    if (walk->batch_end != 0)
        walk->batch_next_sequence++;
    return BITCASK_OK;
}

/*
 * How far it is from @bytes, of which @size are there, to where a record may begin:
 * nearly every place has no kind of record where the kind would be.
 */
static size_t skip_impossible(const uint8_t *bytes, size_t size)
{
    const size_t kind = 20; /* in a record; see format.h */
    size_t skipped = 0;

    while (skipped + kind < size &&
           (bytes[skipped + kind] == 0 || bytes[skipped + kind] > BITCASK_RECORD_BATCH)) {
        const uint8_t *place = bytes + skipped + kind;
        size_t rest = size - kind - skipped;

        /* Zeros come in megabytes where space was set aside. */
        skipped += rest >= 8 && bitcask_load64(place) == 0
                       ? bitcask_zeros_count(place, rest)
                       : 1;
    }
    return skipped;
}

enum bitcask_status bitcask_walk_resync(struct bitcask_walk *walk, uint64_t lowest,
                                        uint64_t highest, struct bitcask_record *record)
{
    walk->batch_end = 0;
    while (walk->end - walk->offset >= BITCASK_RECORD_HEADER_SIZE &&
           walk->offset < walk->end) {
        const uint8_t *bytes = NULL;
        size_t skipped;
        enum bitcask_status status =
            bitcask_walk_look(walk, walk->offset, BITCASK_RECORD_HEADER_SIZE, &bytes);

        if (status != BITCASK_OK)
            return status;
        skipped = skip_impossible(
            bytes, (size_t)(walk->window_offset + walk->window_size - walk->offset));
        walk->offset += skipped;
        if (skipped > 0)
            continue;
        if (bitcask_load64(bytes + 8) >= lowest && bitcask_load64(bytes + 8) <= highest) {
            status = bitcask_walk_header(walk, walk->end, record, &bytes);
            if (status != BITCASK_CORRUPT)
                return status;
        }
        walk->offset++;
    }
    walk->offset = walk->end;
    return BITCASK_NOT_FOUND;
}
