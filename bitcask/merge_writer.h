/* SPDX-License-Identifier: MIT */
/*
 * Writes what a merge copies, one large piece after the other, in a thread of its own:
 * the system's work on a piece (finding pages, copying, bringing them to the disk) then
 * costs the copying nothing. Without a thread the caller does it.
 *
 * Knows files and pieces; no records.
 */
#ifndef BITCASK_MERGE_WRITER_H
#define BITCASK_MERGE_WRITER_H

#include <pthread.h>

#include "bitcask/io.h"

enum {
    BITCASK_MERGE_PIECE_SIZE = 1 << 20,
    BITCASK_MERGE_PIECE_COUNT = 3
};

/* A piece on its way: for the thread while it is full. */
struct bitcask_merge_piece {
    uint8_t *bytes;
    size_t size;
    uint64_t offset;
    bitcask_file file;
    bool full;
};

/* Zeroed is released. */
struct bitcask_merge_writer {
    struct bitcask_io *io;
    struct bitcask_merge_piece pieces[BITCASK_MERGE_PIECE_COUNT];
    unsigned next; /* the piece that the caller fills */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool has_thread;
    bool end;
    enum bitcask_status status; /* of the first write that has failed */
    int error;                  /* and its errno */
};

/* BITCASK_NO_MEMORY. Where no thread can be had, there is none. */
enum bitcask_status bitcask_merge_writer_start(struct bitcask_merge_writer *writer,
                                               struct bitcask_io *io, bool use_thread);
void bitcask_merge_writer_end(struct bitcask_merge_writer *writer);

/* Where the next piece is to be put together: room for BITCASK_MERGE_PIECE_SIZE. */
uint8_t *bitcask_merge_writer_room(struct bitcask_merge_writer *writer);

/*
 * Write the first @size bytes of the room at @offset of @file; then there is another
 * room. The status may be that of an earlier piece; errno is set.
 */
enum bitcask_status bitcask_merge_writer_put(struct bitcask_merge_writer *writer,
                                             bitcask_file file, uint64_t offset,
                                             size_t size);

/* Come back when all pieces are written, or one could not be. Forgets a failure. */
enum bitcask_status bitcask_merge_writer_drain(struct bitcask_merge_writer *writer);

#endif
