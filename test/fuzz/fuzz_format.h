/* SPDX-License-Identifier: MIT */
/*
 * The format once more, written from docs/format.md: what the targets hold against what
 * the library says. It uses none of the library's code, and no more than bytes in memory.
 *
 * The second half makes damaged bytes plausible: it puts the right checks over whatever
 * there is, so that what comes behind a check is tried as well. A check of which all bits
 * are set is left as it is, so that there may be damage among what is whole.
 */
#ifndef TEST_FUZZ_FUZZ_FORMAT_H
#define TEST_FUZZ_FUZZ_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FUZZ_HEADER_SIZE = 64,
    FUZZ_RECORD_SIZE = 28, /* of a record's header, without the expiry */
    FUZZ_TRAILER_SIZE = 48
};

/* CRC-32, to be continued: begin with 0. */
uint32_t fuzz_crc(uint32_t crc, const void *bytes, size_t size);

/* @count bytes as a little-endian number. */
uint64_t fuzz_number(const uint8_t *bytes, size_t count);

/* The magic of a file header. */
extern const char fuzz_data_magic[8];
extern const char fuzz_hint_magic[8];

/* Whether @bytes begin with a whole header of version 1 and @magic. */
bool fuzz_header_is_whole(const uint8_t *bytes, size_t size, const char magic[8]);

/* Of any bytes, as they stand; 0 where there are too few. */
uint64_t fuzz_header_id(const uint8_t *bytes, size_t size);
uint64_t fuzz_header_salt(const uint8_t *bytes, size_t size);

struct fuzz_record {
    size_t offset;
    unsigned kind;
    unsigned flags;
    size_t key_size;
    uint64_t value_size;
    uint64_t sequence;
    uint64_t unsynced_count;
    uint64_t expiry_ms;
    size_t prefix_size;
    uint64_t size;
    const uint8_t *key;
    const uint8_t *value;
    bool cut;          /* the value reaches behind the end */
    bool value_intact; /* of a batch: its check, not its parts */
};

/*
 * The record at @offset of @file, which ends at @end. False: there is none of which
 * header and key are whole, and their check holds.
 */
bool fuzz_record_read(const uint8_t *file, size_t end, size_t offset, uint64_t salt,
                      struct fuzz_record *record);

/* Whether the parts of @batch are whole puts and tombstones, in sequence. */
bool fuzz_batch_is_whole(const uint8_t *file, const struct fuzz_record *batch,
                         uint64_t salt);

/* Whether the bytes are a whole hint: each byte of it as docs/format.md says. */
bool fuzz_hint_is_whole(const uint8_t *bytes, size_t size);

/* Put right checks over a data file, a hint, a MANIFEST; the last may grow by a line. */
void fuzz_data_mend(uint8_t *file, size_t size);
void fuzz_hint_mend(uint8_t *file, size_t size);
enum {
    FUZZ_CHECK_LINE_SIZE = 15
};
size_t fuzz_manifest_mend(char *text, size_t size); /* has room for one line more */

#endif
