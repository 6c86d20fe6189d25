/* SPDX-License-Identifier: MIT */
/*
 * Keys and values, and whether what came back is what was written. A key is a function of
 * its index, a value one of the index and a version: nothing needs to be kept.
 */
#ifndef BENCH_CONTENTS_H
#define BENCH_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BENCH_KEY_SIZE = 16,
    BENCH_VALUE_SIZE_MIN = 16
};

/* The order of the keys 0, 1, 2, ... as bytes. */
enum bench_key_order {
    BENCH_KEYS_SCATTERED, /* none */
    BENCH_KEYS_ASCENDING
};

/* Make the key of @index. */
void bench_key_make(enum bench_key_order order, uint64_t index,
                    uint8_t key[BENCH_KEY_SIZE]);

/* The index whose key this is. False: of none. */
bool bench_key_index(enum bench_key_order order, const void *key, size_t size,
                     uint64_t *index);

/* Make a value of @size bytes, at least BENCH_VALUE_SIZE_MIN. */
void bench_value_make(uint64_t index, uint64_t version, void *value, size_t size);

/* Whether this is a value of @index, every byte of it, and then of which version. */
bool bench_value_check(uint64_t index, const void *value, size_t size, uint64_t *version);

#endif
