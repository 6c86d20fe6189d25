/* SPDX-License-Identifier: MIT */
/*
 * A little space set aside for when the disk is full: RESERVE, a file of zeros beside
 * the data. Its space goes to what makes it possible to give space back, which is
 * deletes, merges and the MANIFEST; puts wait until it could be set aside again.
 *
 * Small casks have none. Where a file system does not count zeros it is of no use, and
 * does no harm. Knows nothing of data files.
 */
#ifndef BITCASK_RESERVE_H
#define BITCASK_RESERVE_H

#include "bitcask/io.h"

enum {
    BITCASK_RESERVE_SIZE = 128 << 10
};

/* Data files of so many bytes in all are worth a reserve. */
#define BITCASK_RESERVE_FROM ((uint64_t)1 << 20)

struct bitcask_reserve {
    struct bitcask_io *io;
    bitcask_file directory;
    bool there;  /* the file is, whole */
    bool used;   /* it was, and its space went to somebody */
    bool futile; /* this file system will not have it */
};

/* See whether it is there. A zeroed one is none. */
void bitcask_reserve_init(struct bitcask_reserve *reserve, struct bitcask_io *io,
                          bitcask_file directory);

/* Set it aside, once, if a cask of @total_size bytes should have it. */
void bitcask_reserve_keep(struct bitcask_reserve *reserve, uint64_t total_size);

/* Give its space up. False: there is none. */
bool bitcask_reserve_use(struct bitcask_reserve *reserve);

/* If it was used, set it aside again. BITCASK_NO_SPACE: there still is too little. */
enum bitcask_status bitcask_reserve_restore(struct bitcask_reserve *reserve);

#endif
