/* SPDX-License-Identifier: MIT */
/*
 * Data files that were not sealed and have no hint, read ahead of their turn: after a
 * crash there are some, and recovery has to take one after the other, since each has to
 * go on where the one before ends. But what is in one can be read, checked and collected
 * as a hint would have it while other files are loaded; and what was read can be written
 * again and synced meanwhile, as recovery wants it before anything is built upon it: the
 * same bytes, whatever recovery will say of them.
 *
 * Knows no chain: whether it is of use that the records of a file go on by one is for
 * recovery to say.
 */
#ifndef BITCASK_AHEAD_H
#define BITCASK_AHEAD_H

#include <pthread.h>

#include "bitcask/io.h"
#include "bitcask/manifest.h"
#include "bitcask/status.h"
#include "hint/hint.h"

/* One file. */
struct bitcask_ahead_file {
    struct bitcask_manifest_segment line;
    bool done;           /* it was looked at */
    uint64_t covered;    /* its records up to here are whole, and go on by one; 0: none */
    uint64_t proven;     /* the highest sequence that one of them proves to be synced */
    uint64_t synced_end; /* what is before this, and not known to be synced, is now */
    struct bitcask_hint_writer entries; /* of these records */
};

/* Zeroed is released. */
struct bitcask_ahead {
    struct bitcask_io *io;
    bitcask_file directory;
    struct bitcask_ahead_file *files; /* in order of id */
    size_t count;
    bool writes; /* it also writes them again */

    pthread_t thread;
    bool started;
    _Atomic bool stop;
    enum bitcask_status status; /* of the writing; ends the open */
    char detail[BITCASK_DETAIL_SIZE];
};

/*
 * Begin to read the open and prepared segments of @manifest, with @threaded by a thread
 * of its own that writes them again as well. Without, or if none can be had, each is read
 * when it is asked for.
 */
enum bitcask_status bitcask_ahead_begin(struct bitcask_ahead *ahead,
                                        struct bitcask_io *io, bitcask_file directory,
                                        const struct bitcask_manifest *manifest,
                                        bool threaded);

/*
 * Wait for the thread. Not OK: what was to be written could not be, or synced.
 */
enum bitcask_status bitcask_ahead_join(struct bitcask_ahead *ahead);

/* What is known of segment @id after that; NULL: nothing. Valid until release. */
struct bitcask_ahead_file *bitcask_ahead_find(struct bitcask_ahead *ahead, uint64_t id);

void bitcask_ahead_release(struct bitcask_ahead *ahead);

#endif
