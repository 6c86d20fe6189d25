/* SPDX-License-Identifier: MIT */
/*
 * Repairing: what is whole in a file is written to a new one. Records keep their
 * sequences; salt and offset are new, so the key check is computed again, from bytes that
 * have just been verified.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "bitcask/repair.h"
#include "bitcask/scan.h"

enum {
    OUT_CAPACITY = 1 << 20
};

/* One file on its way into another. */
struct copy {
    struct bitcask_repair_plan *plan;
    struct bitcask_repair_file *file;
    struct bitcask_pace *pace;
    struct bitcask_manifest_segment *output; /* of file */
    struct bitcask_scan scan;
    bitcask_file in;
    bitcask_file out;
    uint8_t *bytes; /* not written yet */
    size_t size;
    uint64_t offset; /* where they go */
    struct bitcask_hint_writer hint;
};

static enum bitcask_status flush(struct copy *copy)
{
    struct bitcask_io *io = copy->plan->io;
    struct bitcask_slice part = { copy->bytes, copy->size };
    enum bitcask_status status;

    if (copy->size == 0)
        return BITCASK_OK;
    status = io->write(io, copy->out, copy->offset, &part, 1);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "write %010" PRIu64 ".data, offset %" PRIu64,
                                  copy->output->id, copy->offset);
    status = bitcask_pace_step(copy->pace, copy->size);
    copy->offset += copy->size;
    copy->size = 0;
    return status;
}

static enum bitcask_status put_bytes(struct copy *copy, const void *data, size_t size)
{
    const uint8_t *rest = data;

    while (size > 0) {
        size_t room = OUT_CAPACITY - copy->size;
        size_t piece = size < room ? size : room;

        memcpy(copy->bytes + copy->size, rest, piece);
        copy->size += piece;
        rest += piece;
        size -= piece;
        if (copy->size == OUT_CAPACITY) {
            enum bitcask_status status = flush(copy);

            if (status != BITCASK_OK)
                return status;
        }
    }
    return BITCASK_OK;
}

/* The value of @item, which is verified once more on its way: nothing bad may get on. */
static enum bitcask_status copy_value(struct copy *copy, uint64_t offset, uint64_t size,
                                      uint32_t expected)
{
    struct bitcask_walk *walk = &copy->scan.walk;
    uint32_t check = 0;
    enum bitcask_status status = BITCASK_OK;

    while (size > 0 && status == BITCASK_OK) {
        size_t piece = size < OUT_CAPACITY / 2 ? (size_t)size : OUT_CAPACITY / 2;
        const uint8_t *bytes = NULL;

        if (piece > walk->window_capacity)
            piece = walk->window_capacity;
        status = bitcask_walk_look(walk, offset, piece, &bytes);
        if (status != BITCASK_OK)
            break;
        check = bitcask_check(check, bytes, piece);
        status = put_bytes(copy, bytes, piece);
        offset += piece;
        size -= piece;
    }
    if (status == BITCASK_OK && check != expected)
        status = bitcask_fail(BITCASK_IO,
                              "%010" PRIu64 ".data gives other bytes each time it is "
                              "read: copy the cask to a better disk and repair it there",
                              copy->file->id);
    return status;
}

static enum bitcask_status copy_record(struct copy *copy,
                                       const struct bitcask_scan_item *item)
{
    struct bitcask_manifest_segment *output = copy->output;
    const struct bitcask_record *record = &item->header;
    size_t prefix_size = bitcask_record_prefix_size(record);
    uint64_t offset = copy->offset + copy->size;
    struct bitcask_hint_entry entry = bitcask_hint_entry_of(record, offset, item->key);
    uint8_t prefix[BITCASK_RECORD_PREFIX_MAX];
    uint32_t check = bitcask_record_begin(record, item->key.data, prefix);
    enum bitcask_status status;

    bitcask_record_finish(prefix, check, record->sequence, record->unsynced_count,
                          output->salt, offset);
    status = bitcask_hint_writer_add(&copy->hint, &entry);
    if (status == BITCASK_OK)
        status = put_bytes(copy, prefix, prefix_size);
    if (status == BITCASK_OK)
        status = put_bytes(copy, item->key.data, item->key.size);
    if (status == BITCASK_OK)
        status = copy_value(copy, item->offset + prefix_size + item->key.size,
                            record->value_size, record->value_check);
    if (output->first_sequence == 0 || record->sequence < output->first_sequence)
        output->first_sequence = record->sequence;
    if (record->sequence > output->last_sequence)
        output->last_sequence = record->sequence;
    return status;
}

/* Copy what is whole, but for what another file has, too. */
static enum bitcask_status copy_records(struct copy *copy)
{
    const struct bitcask_survey *survey = &copy->file->survey;
    struct bitcask_scan_item item;
    size_t passed = 0; /* doubles; they are in the order of the file */
    enum bitcask_status status = BITCASK_OK;

    while (status == BITCASK_OK) {
        status = bitcask_scan_next(&copy->scan, &item);
        if (status == BITCASK_IO) { /* told by the survey; it goes on behind */
            status = BITCASK_OK;
            continue;
        }
        if (status != BITCASK_OK || !bitcask_scan_item_is_whole(&item))
            continue;
        if (passed < survey->double_count && survey->doubles[passed] == item.offset)
            passed++;
        else
            status = copy_record(copy, &item);
    }
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

static enum bitcask_status begin(struct copy *copy)
{
    struct bitcask_repair_plan *plan = copy->plan;
    struct bitcask_repair_file *file = copy->file;
    struct bitcask_file_header header = { .segment_id = copy->output->id,
                                          .salt = copy->output->salt,
                                          .created_ms = plan->now_ms };
    uint64_t size;
    enum bitcask_status status;

    copy->bytes = malloc(OUT_CAPACITY);
    if (copy->bytes == NULL)
        return bitcask_fail_memory(OUT_CAPACITY);
    status = bitcask_data_file_open_unchecked(plan->io, plan->directory, file->id,
                                              BITCASK_IO_READ, &copy->in, &size);
    if (status == BITCASK_OK)
        status =
            bitcask_scan_init(&copy->scan, plan->io, copy->in, file->id,
                              file->identity.salt, size < file->end ? size : file->end);
    if (status == BITCASK_OK)
        status = bitcask_data_file_create(plan->io, plan->directory, &header, &copy->out);
    if (status == BITCASK_OK)
        status =
            bitcask_hint_writer_init(&copy->hint, copy->output->id, copy->output->salt);
    if (status == BITCASK_OK)
        status = bitcask_hint_writer_stream(&copy->hint, plan->io, plan->directory);
    copy->offset = BITCASK_FILE_HEADER_SIZE;
    return status;
}

enum bitcask_status bitcask_repair_copy(struct bitcask_repair_plan *plan,
                                        struct bitcask_repair_file *file,
                                        struct bitcask_pace *pace)
{
    struct bitcask_io *io = plan->io;
    struct copy copy = { .plan = plan,
                         .file = file,
                         .pace = pace,
                         .output = &file->output,
                         .in = BITCASK_NO_FILE,
                         .out = BITCASK_NO_FILE };
    enum bitcask_status status = begin(&copy);

    if (status == BITCASK_OK)
        status = copy_records(&copy);
    if (status == BITCASK_OK)
        status = flush(&copy);
    if (status == BITCASK_OK) {
        status = io->sync(io, copy.out);
        if (status != BITCASK_OK)
            bitcask_fail_errno(status, "sync %010" PRIu64 ".data", file->output.id);
    }
    file->output.size = copy.offset;
    if (status == BITCASK_OK)
        status = bitcask_hint_writer_commit(&copy.hint, io, plan->directory,
                                            file->output.id, file->output.size);
    bitcask_hint_writer_release(&copy.hint);
    bitcask_scan_release(&copy.scan);
    if (copy.in != BITCASK_NO_FILE)
        io->close(io, copy.in);
    if (copy.out != BITCASK_NO_FILE)
        io->close(io, copy.out);
    free(copy.bytes);
    return status;
}

enum bitcask_status bitcask_repair_write_hint(struct bitcask_repair_plan *plan,
                                              const struct bitcask_repair_file *file)
{
    struct bitcask_io *io = plan->io;
    struct bitcask_hint_writer writer = { 0 };
    struct bitcask_walk walk = { 0 };
    struct bitcask_walk_record record;
    bitcask_file data = BITCASK_NO_FILE;
    uint64_t size;
    enum bitcask_status status = bitcask_data_file_open_unchecked(
        io, plan->directory, file->id, BITCASK_IO_READ, &data, &size);

    if (status == BITCASK_OK)
        status =
            bitcask_walk_init(&walk, io, data, file->id, file->identity.salt, file->size);
    if (status == BITCASK_OK)
        status = bitcask_hint_writer_init(&writer, file->id, file->identity.salt);
    if (status == BITCASK_OK)
        status = bitcask_hint_writer_stream(&writer, io, plan->directory);
    while (status == BITCASK_OK) {
        status = bitcask_walk_next(&walk, &record);
        if (status == BITCASK_OK) {
            struct bitcask_hint_entry entry =
                bitcask_hint_entry_of(&record.header, record.offset, record.key);

            status = bitcask_hint_writer_add(&writer, &entry);
        }
    }
    if (status == BITCASK_NOT_FOUND)
        status = bitcask_hint_writer_commit(&writer, io, plan->directory, file->id,
                                            file->size);
    bitcask_hint_writer_release(&writer);
    bitcask_walk_release(&walk);
    if (data != BITCASK_NO_FILE)
        io->close(io, data);
    return status;
}
