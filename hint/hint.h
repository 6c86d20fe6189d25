/* SPDX-License-Identifier: MIT */
/*
 * Hint files: the keys of one data file, without the values, up to a size.
 *
 * A hint only makes startup faster; losing one loses nothing. So a reader that meets
 * any doubt says BITCASK_CORRUPT, and the caller scans the data file. A hint is a
 * pure function of the part of the data file that it covers, and is written only when
 * that part has been synced: a valid hint proves that it had been.
 *
 * Stands on ground and paper alone. Knows no data file and no keydir.
 */
#ifndef HINT_HINT_H
#define HINT_HINT_H

#include "bitcask/buffer.h"
#include "bitcask/file_name.h"
#include "bitcask/format.h"
#include "bitcask/io.h"

/*
 * Collects entries and writes them: in one go, or with stream as they come, so that
 * memory stays bounded. Pairs: init with release; commit, or just release to leave no
 * file. Zeroed is released.
 */
struct bitcask_hint_writer {
    struct bitcask_buffer bytes; /* not written yet */
    struct bitcask_hint_trailer trailer;
    uint64_t segment_id;

    struct bitcask_io *io; /* NULL: there is no temporary file */
    bitcask_file directory;
    bitcask_file file;
    uint64_t written_size;
    uint32_t check; /* of the bytes written */
};

/* @segment_id and @salt are those of the data file that the hint will speak for. */
enum bitcask_status bitcask_hint_writer_init(struct bitcask_hint_writer *writer,
                                             uint64_t segment_id, uint64_t salt);
void bitcask_hint_writer_release(struct bitcask_hint_writer *writer);

/* From now on write entries to a temporary file in @directory whenever there are many. */
enum bitcask_status bitcask_hint_writer_stream(struct bitcask_hint_writer *writer,
                                               struct bitcask_io *io,
                                               bitcask_file directory);

/*
 * Entries come in the order of their offsets. The key is copied. After BITCASK_NO_MEMORY
 * the entry may be added again; after another failure the hint cannot be finished.
 */
enum bitcask_status bitcask_hint_writer_add(struct bitcask_hint_writer *writer,
                                            const struct bitcask_hint_entry *entry);

/*
 * Write the hint of @segment_id under its name, in one step for anybody who looks.
 * @data_size bytes of the data file are covered, and have been synced. The hint
 * itself is not synced: one that the power takes is found damaged or missing. On
 * failure no hint, or the former one, is left.
 */
enum bitcask_status bitcask_hint_writer_commit(struct bitcask_hint_writer *writer,
                                               struct bitcask_io *io,
                                               bitcask_file directory,
                                               uint64_t segment_id, uint64_t data_size);

/* An open hint, verified. Zeroed by a failed open, and by close. */
struct bitcask_hint {
    struct bitcask_hint_trailer trailer;

    struct bitcask_io *io;
    bitcask_file file;
    char name[BITCASK_NAME_SIZE];
    struct bitcask_buffer *window; /* the caller's; a stretch of the entries */
    size_t window_offset;          /* of the next entry in it */
    uint64_t file_offset;          /* where the window ends in the file */
    uint64_t entries_end;          /* where the trailer begins */
    uint32_t check;
    bool checking;
};

/*
 * Open the hint of @segment_id and verify it from the first byte to the last, before
 * an entry is given out. @window is memory to read through, a quarter of a MiB; it
 * stays the caller's, who may use it for one hint after the other.
 *
 * BITCASK_NOT_FOUND: there is none. BITCASK_CORRUPT: it is damaged, or speaks for
 * another file than the one with @salt. BITCASK_UNSUPPORTED, IO, NO_MEMORY: as named.
 * After a failure nothing is open.
 */
enum bitcask_status bitcask_hint_open(struct bitcask_hint *hint, struct bitcask_io *io,
                                      bitcask_file directory, uint64_t segment_id,
                                      uint64_t salt, struct bitcask_buffer *window);
void bitcask_hint_close(struct bitcask_hint *hint);

/*
 * The same for one that another has just verified, and nobody has replaced since: it is
 * only looked at whose it is. What cannot be decoded is BITCASK_CORRUPT when it is taken.
 */
enum bitcask_status bitcask_hint_open_verified(struct bitcask_hint *hint,
                                               struct bitcask_io *io,
                                               bitcask_file directory,
                                               uint64_t segment_id, uint64_t salt,
                                               struct bitcask_buffer *window);

/*
 * Whether @status of an open only means that there is no hint to go by, and not that
 * the system failed: an error must not be read as "there is none" by who looks for
 * proof that data was synced.
 */
bool bitcask_hint_is_absent(enum bitcask_status status);

/*
 * The next entries, one or more, valid until the next call. BITCASK_NOT_FOUND: there
 * are no more. BITCASK_IO or BITCASK_CORRUPT: the file went bad since it was verified.
 */
enum bitcask_status bitcask_hint_take(struct bitcask_hint *hint,
                                      struct bitcask_hint_entry *entries, size_t capacity,
                                      size_t *count);

/* The same for one entry. */
enum bitcask_status bitcask_hint_next(struct bitcask_hint *hint,
                                      struct bitcask_hint_entry *entry);

/*
 * Give out the entries of @writer, which has been committed nowhere, as if they were read
 * from a hint. @writer must outlive *hint, which is not closed. Several may read one.
 */
void bitcask_hint_of_writer(struct bitcask_hint *hint,
                            const struct bitcask_hint_writer *writer,
                            struct bitcask_buffer *window);

/* Remove the hint of @segment_id if there is one; nothing is synced. */
enum bitcask_status bitcask_hint_remove(struct bitcask_io *io, bitcask_file directory,
                                        uint64_t segment_id);

#endif
