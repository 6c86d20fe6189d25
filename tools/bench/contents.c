/* SPDX-License-Identifier: MIT */
#include "contents.h"

#include "random.h"

#include <endian.h>
#include <string.h>

enum {
    WORD = sizeof(uint64_t)
};

static uint64_t load(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, WORD);
    return le64toh(word);
}

static void store(uint8_t *bytes, uint64_t word)
{
    word = htole64(word);
    memcpy(bytes, &word, WORD);
}

static uint64_t load_ascending(const uint8_t *bytes)
{
    uint64_t word = 0;

    for (unsigned i = 0; i < WORD; i++)
        word = word << 8 | bytes[i];
    return word;
}

static void store_ascending(uint8_t *bytes, uint64_t word)
{
    for (unsigned i = WORD; i-- > 0; word >>= 8)
        bytes[i] = (uint8_t)word;
}

/* Every index has a first half of its own, so the second only makes the key as long as
   it should be. */
void bench_key_make(enum bench_key_order order, uint64_t index,
                    uint8_t key[BENCH_KEY_SIZE])
{
    uint64_t first = order == BENCH_KEYS_ASCENDING ? index : bench_random(1, index);

    store_ascending(key, first);
    store(key + WORD, bench_mix(first ^ BENCH_GOLDEN));
}

bool bench_key_index(enum bench_key_order order, const void *key, size_t size,
                     uint64_t *index)
{
    /* The inverse of the constant that bench_random() multiplies a place with. */
    const uint64_t golden_inverse = UINT64_C(0xf1de83e19937733d);
    uint64_t first;

    if (size != BENCH_KEY_SIZE)
        return false;
    first = load_ascending(key);
    if (load((const uint8_t *)key + WORD) != bench_mix(first ^ BENCH_GOLDEN))
        return false;
    *index =
        order == BENCH_KEYS_ASCENDING ? first : (bench_unmix(first) - 1) * golden_inverse;
    return true;
}

/*
 * A value is its version and then words that begin with a seed of both numbers and grow
 * by a constant: cheap enough for 64 KiB, and any byte of another value is off.
 */
static uint64_t seed_of(uint64_t index, uint64_t version)
{
    return bench_mix(index * BENCH_GOLDEN + bench_mix(version));
}

/* The last word ends where the value does, and the one before it lies over its begin. */
void bench_value_make(uint64_t index, uint64_t version, void *value, size_t size)
{
    uint8_t *bytes = value;
    uint64_t word = seed_of(index, version);
    size_t at = WORD;

    store(bytes + size - WORD, ~word);
    store(bytes, version);
    for (; at + WORD <= size; at += WORD) {
        store(bytes + at, word);
        word += BENCH_GOLDEN;
    }
}

bool bench_value_check(uint64_t index, const void *value, size_t size, uint64_t *version)
{
    const uint8_t *bytes = value;
    uint64_t seed, word, difference = 0;
    size_t at = WORD;

    if (size < BENCH_VALUE_SIZE_MIN)
        return false;
    *version = load(bytes);
    seed = word = seed_of(index, *version);
    for (; at + WORD <= size; at += WORD) {
        difference |= load(bytes + at) ^ word;
        word += BENCH_GOLDEN;
    }
    if (at < size)
        difference |= (load(bytes + size - WORD) ^ ~seed) >> (8 * (at + WORD - size));
    return difference == 0;
}
