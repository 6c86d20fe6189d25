/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/status.h"
#include "hint/hint.h"

/* Bytes that a stream collects before it writes them. */
enum {
    STREAM_SIZE = 256 << 10
};

enum bitcask_status bitcask_hint_writer_init(struct bitcask_hint_writer *writer,
                                             uint64_t segment_id, uint64_t salt)
{
    /* Without the time: the same data file gives the same hint, byte for byte. */
    struct bitcask_file_header header = { .segment_id = segment_id, .salt = salt };
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];

    memset(writer, 0, sizeof *writer);
    writer->segment_id = segment_id;
    bitcask_file_header_encode(&header, BITCASK_FILE_HINT, bytes);
    return bitcask_buffer_append(&writer->bytes, bytes, sizeof bytes);
}

/* Close the temporary file, if there is one. */
static void end_stream(struct bitcask_hint_writer *writer)
{
    if (writer->io != NULL)
        writer->io->close(writer->io, writer->file);
}

static void remove_temporary(const struct bitcask_hint_writer *writer)
{
    char name[BITCASK_NAME_SIZE];

    bitcask_hint_temporary_name(name, writer->segment_id);
    (void)writer->io->remove(writer->io, writer->directory, name);
}

void bitcask_hint_writer_release(struct bitcask_hint_writer *writer)
{
    end_stream(writer);
    if (writer->io != NULL)
        remove_temporary(writer);
    bitcask_buffer_release(&writer->bytes);
    memset(writer, 0, sizeof *writer);
}

enum bitcask_status bitcask_hint_writer_stream(struct bitcask_hint_writer *writer,
                                               struct bitcask_io *io,
                                               bitcask_file directory)
{
    char name[BITCASK_NAME_SIZE];
    enum bitcask_status status;

    bitcask_hint_temporary_name(name, writer->segment_id);
    status = io->open(io, directory, name, BITCASK_IO_CREATE, &writer->file);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "create %s", name);
    writer->io = io;
    writer->directory = directory;
    return BITCASK_OK;
}

/* Write what has been collected, and @trailer behind it if it is not NULL. */
static enum bitcask_status flush(struct bitcask_hint_writer *writer,
                                 const uint8_t *trailer)
{
    struct bitcask_slice parts[2] = {
        { writer->bytes.data, writer->bytes.size },
        { trailer, BITCASK_HINT_TRAILER_SIZE },
    };
    enum bitcask_status status = writer->io->write(
        writer->io, writer->file, writer->written_size, parts, trailer != NULL ? 2 : 1);

    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "write %010" PRIu64 ".hint.tmp",
                                  writer->segment_id);
    writer->check = bitcask_check(writer->check, writer->bytes.data, writer->bytes.size);
    writer->written_size += writer->bytes.size;
    writer->bytes.size = 0;
    return BITCASK_OK;
}

enum bitcask_status bitcask_hint_writer_add(struct bitcask_hint_writer *writer,
                                            const struct bitcask_hint_entry *entry)
{
    struct bitcask_hint_trailer *trailer = &writer->trailer;
    uint8_t bytes[BITCASK_HINT_ENTRY_SIZE + 8];
    size_t size = bitcask_hint_entry_encode(entry, bytes);
    size_t before = writer->bytes.size;
    enum bitcask_status status;

    status = bitcask_buffer_append(&writer->bytes, bytes, size);
    if (status == BITCASK_OK)
        status = bitcask_buffer_append(&writer->bytes, entry->key.data, entry->key.size);
    if (status != BITCASK_OK) {
        writer->bytes.size = before;
        return status;
    }

    if (trailer->entry_count == 0 || entry->sequence < trailer->first_sequence)
        trailer->first_sequence = entry->sequence;
    if (entry->sequence > trailer->last_sequence)
        trailer->last_sequence = entry->sequence;
    trailer->entry_count++;
    if (entry->kind == BITCASK_RECORD_TOMBSTONE)
        trailer->tombstone_count++;
    if (writer->io != NULL && writer->bytes.size >= STREAM_SIZE)
        return flush(writer, NULL);
    return BITCASK_OK;
}

enum bitcask_status bitcask_hint_writer_commit(struct bitcask_hint_writer *writer,
                                               struct bitcask_io *io,
                                               bitcask_file directory,
                                               uint64_t segment_id, uint64_t data_size)
{
    uint8_t trailer[BITCASK_HINT_TRAILER_SIZE];
    char temporary_name[BITCASK_NAME_SIZE];
    char name[BITCASK_NAME_SIZE];
    enum bitcask_status status = BITCASK_OK;

    bitcask_hint_temporary_name(temporary_name, segment_id);
    bitcask_hint_name(name, segment_id);
    if (writer->io == NULL)
        status = bitcask_hint_writer_stream(writer, io, directory);
    if (status != BITCASK_OK)
        return status;
    writer->trailer.data_size = data_size;
    bitcask_hint_trailer_encode(
        &writer->trailer,
        bitcask_check(writer->check, writer->bytes.data, writer->bytes.size), trailer);
    status = flush(writer, trailer);
    end_stream(writer);

    if (status == BITCASK_OK) {
        status = io->rename(io, directory, temporary_name, name);
        if (status != BITCASK_OK)
            bitcask_fail_errno(status, "rename %s to %s", temporary_name, name);
    }
    if (status != BITCASK_OK)
        remove_temporary(writer);
    writer->io = NULL;
    return status;
}

enum bitcask_status bitcask_hint_remove(struct bitcask_io *io, bitcask_file directory,
                                        uint64_t segment_id)
{
    char name[BITCASK_NAME_SIZE];
    enum bitcask_status status;

    bitcask_hint_name(name, segment_id);
    status = io->remove(io, directory, name);
    if (status == BITCASK_NOT_FOUND)
        return BITCASK_OK;
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "remove %s", name);
    return BITCASK_OK;
}
