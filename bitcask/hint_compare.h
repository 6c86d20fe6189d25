/* SPDX-License-Identifier: MIT */
/*
 * A hint beside its data file: does it say, byte for byte, what the data has?
 *
 * Reads both files with pread, a window at a time. Knows no MANIFEST: the caller says
 * what the data file is.
 */
#ifndef BITCASK_HINT_COMPARE_H
#define BITCASK_HINT_COMPARE_H

#include "bitcask/io.h"
#include "bitcask/status.h"

/* What to compare. */
struct bitcask_hint_subject {
    uint64_t segment_id;
    uint64_t salt;
    uint64_t size_max; /* of the data, that a hint may speak for; 0: all of the file */
    bool check_values; /* those of batches are always checked */
};

/* What came of it. Filled whatever the status is, as far as it went. */
struct bitcask_hint_comparison {
    uint64_t hint_size;
    uint64_t data_size; /* that its trailer speaks for; 0: it has none */
    uint64_t data_file_size;
    uint64_t entry_count; /* that are what they should be, and what they say */
    uint64_t tombstone_count;
    uint64_t first_sequence;
    uint64_t last_sequence;
    bool differs; /* the hint is not what it should be, first at hint_offset */
    uint64_t hint_offset;
    bool data_damaged; /* what it speaks for is, first at data_offset */
    uint64_t data_offset;
    uint64_t skipped_count;           /* entries of records that cannot be read */
    char detail[BITCASK_DETAIL_SIZE]; /* both, for people; "" if all is well */
};

/*
 * Compare the hint of @subject with its data file, of which the header is not looked at.
 *
 * BITCASK_NOT_FOUND: there is no hint, or no data file. BITCASK_CORRUPT: one of them is
 * not what it should be, see *result; its detail is that of the failure, too.
 * BITCASK_IO, BITCASK_NO_MEMORY.
 */
enum bitcask_status bitcask_hint_compare(struct bitcask_io *io, bitcask_file directory,
                                         const struct bitcask_hint_subject *subject,
                                         struct bitcask_hint_comparison *result);

#endif
