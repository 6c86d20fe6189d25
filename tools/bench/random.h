/* SPDX-License-Identifier: MIT */
/*
 * Numbers that look like chance and can be had again: by a place in a sequence, not by a
 * state, so that what a run has done can be gone through once more behind its back.
 */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_GOLDEN UINT64_C(0x9e3779b97f4a7c15)

/* A bijection of 64-bit numbers that leaves no pattern (the end of splitmix64). */
static inline uint64_t bench_mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* The number that bench_mix() makes @x of. */
static inline uint64_t bench_unmix(uint64_t x)
{
    x = (x ^ x >> 31 ^ x >> 62) * UINT64_C(0x319642b2d24d8ec3);
    x = (x ^ x >> 27 ^ x >> 54) * UINT64_C(0x96de1b173f119089);
    return x ^ x >> 30 ^ x >> 60;
}

/* The number at place @i of the sequence @seed. */
static inline uint64_t bench_random(uint64_t seed, uint64_t i)
{
    return bench_mix(seed + i * BENCH_GOLDEN);
}

/* A number below @limit, which is at most UINT32_MAX, of a @random one. */
static inline uint64_t bench_below(uint64_t random, uint64_t limit)
{
    return (random >> 32) * limit >> 32;
}

/* A bijection of the numbers below a limit, in no order. */
struct bench_permutation {
    uint64_t limit;
    uint64_t mask; /* of the smallest power of two that is not below the limit */
    unsigned shift;
};

struct bench_permutation bench_permutation_of(uint64_t limit);

static inline uint64_t bench_permute(const struct bench_permutation *permutation,
                                     uint64_t x)
{
    /* What falls beyond the limit is permuted again: that ends, as it came from below. */
    do {
        for (unsigned round = 0; round < 3; round++) {
            x = (x * UINT64_C(0xd1342543de82ef95) + BENCH_GOLDEN) & permutation->mask;
            x ^= x >> permutation->shift;
        }
    } while (x >= permutation->limit);
    return x;
}

/*
 * Numbers below a limit, some far more often than others: the k-th most frequent comes
 * k^-0.99 times as often as the first, as in YCSB, and which those are is permuted. They
 * are made once: making one takes longer than some engines take for a get.
 */
struct bench_zipf {
    uint32_t *indexes;
    uint64_t mask; /* of the place in them; they go round */
};

/* 2^@bits of them. False: no memory. Freed by bench_zipf_release(), zeroed too. */
bool bench_zipf_init(struct bench_zipf *zipf, uint64_t limit, unsigned bits);
void bench_zipf_release(struct bench_zipf *zipf);

#endif
