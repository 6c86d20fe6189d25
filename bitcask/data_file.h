/* SPDX-License-Identifier: MIT */
/*
 * One data file: create, check, and walk from record to record.
 *
 * A walk reads with pread and never through a mapping, so that a bad sector is an
 * error and not a signal. Appending is done by append.c, which knows the end.
 *
 * Knows no hint, no manifest and no other data file.
 */
#ifndef BITCASK_DATA_FILE_H
#define BITCASK_DATA_FILE_H

#include "bitcask/format.h"
#include "bitcask/io.h"

/*
 * Create the file named for header->segment_id, header written but nothing synced.
 * After a failure no file of that name is left, as far as the system lets us.
 */
enum bitcask_status bitcask_data_file_create(struct bitcask_io *io,
                                             bitcask_file directory,
                                             const struct bitcask_file_header *header,
                                             bitcask_file *out);

/*
 * Open the file of segment @id and check that its header belongs to @id and @salt.
 *
 * BITCASK_NOT_FOUND: no such file. BITCASK_CORRUPT: another magic, id or salt, or no
 * whole header; the detail says which. BITCASK_UNSUPPORTED: newer. After a failure
 * nothing is open; *size is the file's size after OK and CORRUPT. *torn says whether
 * CORRUPT is no header of a data file at all, and not that of another one.
 */
enum bitcask_status bitcask_data_file_open(struct bitcask_io *io, bitcask_file directory,
                                           uint64_t id, uint64_t salt,
                                           enum bitcask_io_mode mode, bitcask_file *out,
                                           uint64_t *size, bool *torn);

/*
 * The same without a look at the header: for those who know the salt, and search what
 * a damaged header hides.
 */
enum bitcask_status bitcask_data_file_open_unchecked(struct bitcask_io *io,
                                                     bitcask_file directory, uint64_t id,
                                                     enum bitcask_io_mode mode,
                                                     bitcask_file *out, uint64_t *size);

/*
 * Whatever header the file of segment @id has. BITCASK_CORRUPT, BITCASK_UNSUPPORTED: no
 * data file's, without words.
 */
enum bitcask_status bitcask_data_file_header(struct bitcask_io *io,
                                             bitcask_file directory, uint64_t id,
                                             struct bitcask_file_header *header);

/*
 * Whether from @offset to @end in @file, the data file of segment @id, there are nothing
 * but zeros: space that was set aside for records that never came. (What lies behind the
 * end of the file counts as such.)
 */
enum bitcask_status bitcask_data_file_is_unused(struct bitcask_io *io, bitcask_file file,
                                                uint64_t id, uint64_t offset,
                                                uint64_t end, bool *unused);

/* A record met on a walk. The key is valid until the next step. */
struct bitcask_walk_record {
    struct bitcask_record header;
    uint64_t offset; /* of the record */
    struct bitcask_slice key;
    bool value_intact; /* false only if the walk checks values and this one is bad */
};

/* Zeroed is released. Set up with init, then change the members of the first group. */
struct bitcask_walk {
    bool check_values; /* also read values; those of batches are always read */
    bool headers_only; /* bitcask_walk_resync() takes a record cut off behind its key */
    bool patient;      /* what cannot be read at once is read in the smallest pieces */
    /* Called after each stretch of the file that was read; stops unless OK. May be NULL.
     */
    enum bitcask_status (*on_read)(void *context);
    void *context;
    uint64_t offset; /* where the next record is expected */
    uint64_t end;    /* the walk ends here; never behind the end of the file */

    struct bitcask_io *io;
    bitcask_file file;
    uint64_t segment_id;
    uint64_t salt;
    uint64_t batch_end;           /* inside a batch: where it ends, else 0 */
    uint64_t batch_next_sequence; /* what its next part must carry */
    uint64_t batch_offset;
    uint8_t *window; /* a stretch of the file, read at once */
    size_t window_capacity;
    size_t window_size;
    uint64_t window_offset;
};

/* A walk over @file from its first record to @end. */
enum bitcask_status bitcask_walk_init(struct bitcask_walk *walk, struct bitcask_io *io,
                                      bitcask_file file, uint64_t segment_id,
                                      uint64_t salt, uint64_t end);
void bitcask_walk_release(struct bitcask_walk *walk);

/*
 * Step to the next put or tombstone, walking through batches part by part.
 *
 * BITCASK_NOT_FOUND: the end, exactly. BITCASK_CORRUPT: at walk->offset there is no
 * record whose key check holds, or a batch with a damaged part; the walk stays there.
 * A record whose value alone is bad is BITCASK_OK with value_intact false.
 */
enum bitcask_status bitcask_walk_next(struct bitcask_walk *walk,
                                      struct bitcask_walk_record *record);

/* Go on at @offset, where a record begins, and read it afresh. */
void bitcask_walk_forget(struct bitcask_walk *walk, uint64_t offset);

/*
 * In or behind a bad region: move walk->offset on to where a record with a matching
 * key check and a sequence from @lowest to @highest begins, and give
 * its header. BITCASK_NOT_FOUND: there is none before walk->end.
 */
enum bitcask_status bitcask_walk_resync(struct bitcask_walk *walk, uint64_t lowest,
                                        uint64_t highest, struct bitcask_record *record);

/*
 * THE STEPS OF A WALK, for who walks by rules of his own (scan.h). Give @size bytes at
 * @offset, which lie before walk->end, contiguous: no more than prefix and key of a
 * record. Valid until the next call.
 */
enum bitcask_status bitcask_walk_look(struct bitcask_walk *walk, uint64_t offset,
                                      size_t size, const uint8_t **out);

/*
 * Decode and check prefix and key of the record at walk->offset, which must end before
 * @end. BITCASK_CORRUPT: there is none.
 */
enum bitcask_status bitcask_walk_header(struct bitcask_walk *walk, uint64_t end,
                                        struct bitcask_record *record,
                                        const uint8_t **bytes);

/* The check of the @size bytes at @offset, read piece by piece. */
enum bitcask_status bitcask_walk_check(struct bitcask_walk *walk, uint64_t offset,
                                       uint64_t size, uint32_t *check);

#endif
