/* SPDX-License-Identifier: MIT */
/*
 * The store of which golden/v1 has the files: what was done to it, and what it holds.
 *
 * The files were written once, by golden_make.c, and are never written again: each
 * version of the format has to read them as they are. What is done is written down
 * here, so that tests can do it again and compare.
 */
#ifndef TEST_GOLDEN_STORE_H
#define TEST_GOLDEN_STORE_H

#include "test/fault_io.h"

enum golden_verb {
    GOLDEN_PUT,
    GOLDEN_DELETE,
    GOLDEN_BATCH, /* the next @part_count puts and deletes are its parts */
    GOLDEN_SYNC
};

struct golden_operation {
    enum golden_verb verb;
    struct bitcask_slice key;
    struct bitcask_slice value;
    uint64_t expiry_ms; /* 0: none */
    size_t part_count;
};

extern const struct golden_operation golden_operations[];
extern const size_t golden_operation_count;

/* What is to be found in the store in the end, in no order. */
struct golden_pair {
    struct bitcask_slice key;
    struct bitcask_slice value;
};

extern const struct golden_pair golden_pairs[];
extern const size_t golden_pair_count;

/* Keys that were there, and are not in the end: deleted, or expired. */
extern const struct bitcask_slice golden_absent_keys[];
extern const size_t golden_absent_key_count;

enum {
    GOLDEN_FILE_SIZE_MAX = 4096
};

/*
 * Make a new cask in the directory at @path, which is empty, and do all of it. Clock and
 * chance of @fault are set, so that nothing depends on when and where it is done.
 */
enum bitcask_status golden_store_write(struct fault_io *fault, const char *path);

#endif
