/* SPDX-License-Identifier: MIT */
/*
 * How long things took, to within 3 percent, in a few kilobytes whatever the range:
 * buckets that are 1 ns wide below 32 ns, and a 32nd of a power of two above.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    BENCH_BUCKETS_OF_POWER = 32,
    BENCH_BUCKETS = BENCH_BUCKETS_OF_POWER * 60
};

/* Zeroed is empty. */
struct bench_histogram {
    uint64_t count;
    uint64_t max_ns; /* exact */
    uint64_t buckets[BENCH_BUCKETS];
};

void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns);
void bench_histogram_join(struct bench_histogram *histogram,
                          const struct bench_histogram *more);

/* What @part of them, 0.99 for example, did not exceed; 0 when there are none. */
uint64_t bench_histogram_part(const struct bench_histogram *histogram, double part);

#endif
