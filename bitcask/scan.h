/* SPDX-License-Identifier: MIT */
/*
 * A walk over a data file that tells everything and gives up on nothing: each record
 * with both its checks, batches with their parts, and damage where it is.
 *
 * What loads a cask walks by data_file.h, which stops at the first doubt. This is for
 * who looks into files, verifies and repairs. It judges bytes and not what they mean: it
 * knows no MANIFEST and no hint, nor which sequence should come next.
 */
#ifndef BITCASK_SCAN_H
#define BITCASK_SCAN_H

#include "bitcask/data_file.h"
#include "bitcask/inspect.h"

/* See struct bitcask_inspect_item. The key is valid until the next step. */
struct bitcask_scan_item {
    enum bitcask_inspect_kind kind;
    struct bitcask_record header; /* not of damage */
    struct bitcask_slice key;
    uint64_t offset;
    uint64_t size;
    uint64_t batch_offset; /* 0: of no batch */
    bool key_intact;
    bool value_intact;
    bool batch_intact;
    bool zeros; /* damage to the end of the scan, and not a byte of it is another one */
    uint32_t key_check_stored;
    uint32_t key_check_computed;
    uint32_t value_check_computed;
};

/* Whether a record of @item counts: it is a put or tombstone, and every check holds. */
bool bitcask_scan_item_is_whole(const struct bitcask_scan_item *item);

/* Zeroed is released. */
struct bitcask_scan {
    struct bitcask_walk walk;
    bool values_unread;    /* set it: believe values, but for those of batches */
    uint64_t batch_offset; /* of the batch that the scan is in, or 0 */
    uint64_t batch_end;
    bool batch_intact;
    bool searching; /* what is at walk.offset may be anything */
};

/* A scan of the first @end bytes of @file, which stays the caller's. */
enum bitcask_status bitcask_scan_init(struct bitcask_scan *scan, struct bitcask_io *io,
                                      bitcask_file file, uint64_t segment_id,
                                      uint64_t salt, uint64_t end);
void bitcask_scan_release(struct bitcask_scan *scan);

/* Go on at the first record at @offset or behind it. */
void bitcask_scan_seek(struct bitcask_scan *scan, uint64_t offset);

/*
 * Step to the next item. Items follow each other without a gap (but after a seek), parts
 * of a batch lie in it.
 *
 * BITCASK_NOT_FOUND: the end. BITCASK_IO: bytes cannot be read; the next call goes on
 * behind them, and comes to an end. BITCASK_CORRUPT: the file became shorter.
 */
enum bitcask_status bitcask_scan_next(struct bitcask_scan *scan,
                                      struct bitcask_scan_item *item);

#endif
