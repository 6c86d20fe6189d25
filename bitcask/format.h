/* SPDX-License-Identifier: MIT */
/*
 * Every byte of data files and hint files: encode and decode, pure.
 *
 * All numbers are little-endian, nothing is aligned. docs/format.md shows the same
 * with a worked example. Knows no files and no memory but what it is given; leaves
 * the words for a failure to the caller, who knows file and offset.
 *
 * FILE HEADER, the first 64 bytes of a data file and of a hint
 *
 *      0  8  magic           "BITCASKD" or "BITCASKH"
 *      8  4  version         1
 *     12  4  features        bits; one that a reader does not know: unsupported
 *     16  8  segment id      the number in the file's name
 *     24  8  salt            random, the same in a data file and its hint
 *     32  8  created         ms since 1970, in a hint 0; for people only
 *     40 20  zero
 *     60  4  check           CRC-32 of the 60 bytes before
 *
 * RECORD, header and key and value
 *
 *      0  4  key check       CRC-32 of bytes 16 to the end of the key, then bytes 4 to
 *                            16, then the file's salt (8) and the record's offset (8)
 *      4  4  unsynced count  records before this one, by sequence, that were not known
 *                            to be synced when it was written (saturates)
 *      8  8  sequence        one more than that of the record before
 *     16  4  value check     CRC-32 of the value
 *     20  1  kind            1 put, 2 tombstone, 3 batch
 *     21  1  flags           1: an expiry follows (puts only)
 *     22  2  key size        1 to 65535; 0 in a batch
 *     24  4  value size      up to 1 GiB; 0 in a tombstone; size of all parts in a batch
 *     28  8  expiry          only if flagged: ms since 1970 from which it is gone
 *        ..  key
 *        ..  value
 *
 * The key check begins with what a writer knows early, so that the bytes it only
 * learns while it holds the append lock (sequence, offset) come last and cost little.
 * Salt and offset make a record worthless anywhere but in its place: neither a stale
 * disk block nor a data file stored as a value can pass for a record.
 *
 * BATCH: a record whose value is a run of whole records, puts and tombstones, each
 * with checks of its own for its own offset. The batch carries the sequence of its
 * first part, the parts continue by one. Its value check makes it all or nothing.
 *
 * HINT: a file header, one entry for each put and tombstone of the data file (parts of
 * batches included) in file order, a trailer.
 *
 *      0  1  kind            as the record          ENTRY
 *      1  1  flags           as the record
 *      2  2  key size
 *      4  4  value size
 *      8  8  offset          of the record
 *     16  8  sequence
 *     24  8  expiry          only if flagged
 *        ..  key
 *
 *      0  8  entry count                            TRAILER, the last 48 bytes
 *      8  8  tombstone count
 *     16  8  first sequence  0 if there is no entry
 *     24  8  last sequence
 *     32  8  data size       of the data file, up to which the hint speaks
 *     40  4  zero
 *     44  4  check           CRC-32 of the whole file before it
 */
#ifndef BITCASK_FORMAT_H
#define BITCASK_FORMAT_H

#include "bitcask/bitcask.h"

enum {
    BITCASK_FORMAT_VERSION = 1,
    BITCASK_FILE_HEADER_SIZE = 64,
    BITCASK_RECORD_HEADER_SIZE = 28, /* without the expiry */
    BITCASK_RECORD_PREFIX_MAX = 36,  /* with it */
    BITCASK_HINT_ENTRY_SIZE = 24,    /* without expiry and key */
    BITCASK_HINT_TRAILER_SIZE = 48,
};

/* Feature bits that this version understands: none yet. */
#define BITCASK_FEATURES_KNOWN 0u

enum bitcask_file_kind {
    BITCASK_FILE_DATA,
    BITCASK_FILE_HINT
};

struct bitcask_file_header {
    uint64_t segment_id;
    uint64_t salt;
    uint64_t created_ms;
};

void bitcask_file_header_encode(const struct bitcask_file_header *header,
                                enum bitcask_file_kind kind,
                                uint8_t bytes[BITCASK_FILE_HEADER_SIZE]);

/*
 * BITCASK_CORRUPT: other magic, or the check fails. BITCASK_UNSUPPORTED: a newer
 * version, or features unknown here. Sets no detail.
 */
enum bitcask_status bitcask_file_header_decode(
    const uint8_t bytes[BITCASK_FILE_HEADER_SIZE], enum bitcask_file_kind kind,
    struct bitcask_file_header *header);

enum bitcask_record_kind {
    BITCASK_RECORD_PUT = 1,
    BITCASK_RECORD_TOMBSTONE = 2,
    BITCASK_RECORD_BATCH = 3
};

enum {
    BITCASK_RECORD_EXPIRES = 1
}; /* flags */

struct bitcask_record {
    uint8_t kind;  /* enum bitcask_record_kind */
    uint8_t flags; /* BITCASK_RECORD_EXPIRES */
    uint16_t key_size;
    uint32_t value_size;
    uint32_t value_check;
    uint32_t unsynced_count;
    uint64_t sequence;
    uint64_t expiry_ms; /* 0 unless flagged */
};

/* Bytes before the key. */
size_t bitcask_record_prefix_size(const struct bitcask_record *record);

/* Bytes of the whole record. */
uint64_t bitcask_record_size(const struct bitcask_record *record);

/* The check of a value, and of a batch's parts. */
uint32_t bitcask_value_check(const void *value, size_t size);

/*
 * Write the prefix of @record to @bytes, all but sequence, unsynced count and key
 * check. Returns the part of the key check that is known by now, for
 * bitcask_record_finish().
 */
uint32_t bitcask_record_begin(const struct bitcask_record *record, const void *key,
                              uint8_t bytes[BITCASK_RECORD_PREFIX_MAX]);

/* Fill in the rest: @check is what bitcask_record_begin() returned. */
void bitcask_record_finish(uint8_t *bytes, uint32_t check, uint64_t sequence,
                           uint32_t unsynced_count, uint64_t salt, uint64_t offset);

/*
 * Decode the prefix at @bytes, of which @size are there, and check it for bounds
 * only. BITCASK_CORRUPT: no record can look like this, or it has more bytes than
 * @size in its prefix. Sets no detail.
 */
enum bitcask_status bitcask_record_decode(const uint8_t *bytes, size_t size,
                                          struct bitcask_record *record);

/* Whether prefix and key at @bytes, contiguous, carry the right key check. */
bool bitcask_record_key_intact(const uint8_t *bytes, const struct bitcask_record *record,
                               uint64_t salt, uint64_t offset);

/* The two that it compares: what the check should be, and what is there. */
uint32_t bitcask_record_key_check(const uint8_t *bytes,
                                  const struct bitcask_record *record, uint64_t salt,
                                  uint64_t offset);
uint32_t bitcask_record_stored_check(const uint8_t *bytes);

/* Whether @now_ms is behind the expiry of @record. */
bool bitcask_record_expired(const struct bitcask_record *record, uint64_t now_ms);

struct bitcask_hint_entry {
    uint8_t kind;
    uint8_t flags;
    uint32_t value_size;
    uint64_t offset;
    uint64_t sequence;
    uint64_t expiry_ms;
    struct bitcask_slice key;
};

/* The entry of the put or tombstone @record, of @key, at @offset. Borrows the key. */
struct bitcask_hint_entry bitcask_hint_entry_of(const struct bitcask_record *record,
                                                uint64_t offset,
                                                struct bitcask_slice key);

/* Bytes of the entry in the file. */
size_t bitcask_hint_entry_size(const struct bitcask_hint_entry *entry);

/* @bytes has room for all but the key, at most 32 bytes; returns how many it used. */
size_t bitcask_hint_entry_encode(const struct bitcask_hint_entry *entry, uint8_t *bytes);

/*
 * Decode the entry at @bytes, of which @size are there; the key points into them.
 * BITCASK_CORRUPT: cannot be an entry. Sets no detail.
 */
enum bitcask_status bitcask_hint_entry_decode(const uint8_t *bytes, size_t size,
                                              struct bitcask_hint_entry *entry);

struct bitcask_hint_trailer {
    uint64_t entry_count;
    uint64_t tombstone_count;
    uint64_t first_sequence;
    uint64_t last_sequence;
    uint64_t data_size;
};

/* @check is bitcask_check() of all bytes of the file before the trailer. */
void bitcask_hint_trailer_encode(const struct bitcask_hint_trailer *trailer,
                                 uint32_t check,
                                 uint8_t bytes[BITCASK_HINT_TRAILER_SIZE]);

/* The numbers of a trailer of which the check is not known yet. */
void bitcask_hint_trailer_read(const uint8_t bytes[BITCASK_HINT_TRAILER_SIZE],
                               struct bitcask_hint_trailer *trailer);

/* BITCASK_CORRUPT if the check does not match. Sets no detail. */
enum bitcask_status bitcask_hint_trailer_decode(
    const uint8_t bytes[BITCASK_HINT_TRAILER_SIZE], uint32_t check,
    struct bitcask_hint_trailer *trailer);

/* CRC-32 (the zlib polynomial), to be continued: begin with @check 0. */
uint32_t bitcask_check(uint32_t check, const void *data, size_t size);

#endif
