/* SPDX-License-Identifier: MIT */
/* The hint of a segment, made of its data. */
#include "bitcask/segment.h"

#include "bitcask/buffer.h"
#include "bitcask/data_file.h"
#include "hint/hint.h"

/* Add every record before the end of @walk to @writer. */
static enum bitcask_status collect_entries(struct bitcask_walk *walk,
                                           struct bitcask_hint_writer *writer)
{
    struct bitcask_walk_record record;
    enum bitcask_status status;

    while ((status = bitcask_walk_next(walk, &record)) == BITCASK_OK) {
        struct bitcask_hint_entry entry =
            bitcask_hint_entry_of(&record.header, record.offset, record.key);

        status = bitcask_hint_writer_add(writer, &entry);
        if (status != BITCASK_OK)
            return status;
    }
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

/*
 * Begin with what the hint on disk already says: *covered is how far that goes. Besides
 * being quicker it keeps what the data file may no longer tell, if a header in it has
 * gone bad.
 */
static enum bitcask_status copy_old_hint(struct bitcask_segments *segments,
                                         const struct bitcask_segment *segment,
                                         struct bitcask_hint_writer *writer,
                                         uint64_t *covered)
{
    struct bitcask_buffer window = { 0 };
    struct bitcask_hint_entry entry;
    struct bitcask_hint hint;
    enum bitcask_status status = bitcask_hint_open(
        &hint, segments->io, segments->directory, segment->id, segment->salt, &window);

    if (status == BITCASK_OK) {
        while ((status = bitcask_hint_next(&hint, &entry)) == BITCASK_OK) {
            status = bitcask_hint_writer_add(writer, &entry);
            if (status != BITCASK_OK)
                break;
        }
        if (status == BITCASK_NOT_FOUND && hint.trailer.data_size == segment->hint_size)
            *covered = segment->hint_size;
        bitcask_hint_close(&hint);
    }
    bitcask_buffer_release(&window);
    if (*covered == 0 && status != BITCASK_NO_MEMORY) { /* then all of it from the data */
        bitcask_hint_writer_release(writer);
        return bitcask_hint_writer_init(writer, segment->id, segment->salt);
    }
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

enum bitcask_status bitcask_segment_write_hint(struct bitcask_segments *segments,
                                               struct bitcask_segment *segment,
                                               uint64_t data_size)
{
    struct bitcask_io *io = segments->io;
    struct bitcask_hint_writer writer = { 0 };
    struct bitcask_walk walk = { 0 };
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t covered = 0;
    uint64_t file_size;
    bool torn;
    enum bitcask_status status;

    status = bitcask_data_file_open(io, segments->directory, segment->id, segment->salt,
                                    BITCASK_IO_READ, &file, &file_size, &torn);
    if (status == BITCASK_OK)
        status =
            bitcask_walk_init(&walk, io, file, segment->id, segment->salt, data_size);
    if (status == BITCASK_OK)
        status = bitcask_hint_writer_init(&writer, segment->id, segment->salt);
    if (status == BITCASK_OK && segment->hint_size > 0 && segment->hint_size <= data_size)
        status = copy_old_hint(segments, segment, &writer, &covered);
    if (covered > 0)
        walk.offset = covered;
    if (status == BITCASK_OK)
        status = bitcask_hint_writer_stream(&writer, io, segments->directory);
    if (status == BITCASK_OK)
        status = collect_entries(&walk, &writer);
    if (status == BITCASK_OK)
        status = bitcask_hint_writer_commit(&writer, io, segments->directory, segment->id,
                                            data_size);
    if (status == BITCASK_OK) {
        segment->hint_size = data_size;
        atomic_store(&segment->hint_spare, covered == 0);
    }

    bitcask_hint_writer_release(&writer);
    bitcask_walk_release(&walk);
    if (file != BITCASK_NO_FILE)
        io->close(io, file);
    return status;
}
