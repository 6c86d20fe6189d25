/* SPDX-License-Identifier: MIT */
/*
 * A window: a stretch of a data file that has its space, is mapped, and whose pages have
 * been brought in, so that appending to it is storing to memory. It takes 70 ns instead
 * of the 1,200 of a system call.
 *
 * A window is small beside its file, so that a stray pointer of the program around us can
 * reach few bytes, and a store of a few records does not occupy megabytes. Knows no
 * segment and no append queue.
 */
#ifndef BITCASK_WINDOW_H
#define BITCASK_WINDOW_H

#include "bitcask/io.h"

enum {
    /* Records up to this are stored; writing a larger one costs less. */
    BITCASK_WINDOW_STORE_MAX = 16 << 10,
    /* Windows begin and end here: on a page, for most systems, */
    BITCASK_WINDOW_STEP = 4096,
    /* and large ones end where large pages do. */
    BITCASK_WINDOW_STEP_LARGE = 2 << 20
};

/* Zeroed is none. */
struct bitcask_window {
    const uint8_t *address;
    uint64_t offset; /* of its first byte in the file */
    uint64_t size;
};

/*
 * Give @file space for the @size bytes from @offset, and map them, in large pages if that
 * is @large. BITCASK_UNSUPPORTED:
 * not on this file system. Without words: who wants a window can do without.
 */
enum bitcask_status bitcask_window_open(struct bitcask_window *window,
                                        struct bitcask_io *io, bitcask_file file,
                                        uint64_t offset, uint64_t size, bool large);
void bitcask_window_close(struct bitcask_window *window, struct bitcask_io *io);

/* Whether @size bytes at @offset of the file lie in it. */
static inline bool bitcask_window_has(const struct bitcask_window *window,
                                      uint64_t offset, uint64_t size)
{
    return offset >= window->offset && offset + size <= window->offset + window->size;
}

/* Store @parts one behind the other at @offset of the file, which lies in it. */
void bitcask_window_store(const struct bitcask_window *window, struct bitcask_io *io,
                          uint64_t offset, const struct bitcask_slice *parts,
                          size_t part_count);

#endif
