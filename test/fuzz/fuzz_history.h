/* SPDX-License-Identifier: MIT */
/*
 * The small model that fuzz_operations.c holds a cask against: the list of all writes, of
 * which each prefix says what the cask would hold. A write's number in it is the sequence
 * of its record.
 */
#ifndef TEST_FUZZ_FUZZ_HISTORY_H
#define TEST_FUZZ_FUZZ_HISTORY_H

#include "bitcask/cask.h"

enum {
    FUZZ_KEY_COUNT = 8,
    FUZZ_VALUE_MAX = 5000,
    FUZZ_HISTORY_MAX = 512
};

struct fuzz_write {
    unsigned key;
    bool deletes;
    bool opens_batch; /* the next write is a part of the same batch */
    uint64_t expiry_ms;
    size_t value_size;
    uint32_t value_seed;
};

struct fuzz_history {
    struct fuzz_write writes[FUZZ_HISTORY_MAX + 1]; /* from 1 */
    uint64_t count;
    uint64_t acknowledged; /* a process that dies loses nothing up to here, */
    uint64_t synced;       /* and a power failure nothing up to here */
    uint32_t next_seed;
};

struct bitcask_slice fuzz_key(unsigned key);

/* The bytes of the value of @write, in @bytes of FUZZ_VALUE_MAX. */
struct bitcask_slice fuzz_value(const struct fuzz_write *write, uint8_t *bytes);

/* Whether writes 1 to @count end between two batches, and not in one. */
bool fuzz_history_may_end(const struct fuzz_history *history, uint64_t count);

/* What a get of @key finds at @now_ms after all writes; NULL: nothing. */
const struct fuzz_write *fuzz_history_find(const struct fuzz_history *history,
                                           unsigned key, uint64_t now_ms);

/* Check that @cask says so of @key, by get and exists; and of all keys, by all verbs. */
void fuzz_history_check_key(const struct fuzz_history *history, struct bitcask *cask,
                            unsigned key);
void fuzz_history_check(const struct fuzz_history *history, struct bitcask *cask);

#endif
