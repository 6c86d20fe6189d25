/* SPDX-License-Identifier: MIT */
#include "histogram.h"

#include <math.h>

enum {
    POWER_BITS = 5 /* 2^5 is BENCH_BUCKETS_OF_POWER */
};

static unsigned bucket_of(uint64_t ns)
{
    unsigned power;

    if (ns < BENCH_BUCKETS_OF_POWER)
        return (unsigned)ns;
    power = 63 - (unsigned)__builtin_clzll(ns);
    return (power - POWER_BITS) * BENCH_BUCKETS_OF_POWER +
           (unsigned)(ns >> (power - POWER_BITS));
}

/* The largest number that falls into @bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    unsigned shift;

    if (bucket < 2 * BENCH_BUCKETS_OF_POWER)
        return bucket;
    shift = bucket / BENCH_BUCKETS_OF_POWER - 1;
    return (((uint64_t)(bucket % BENCH_BUCKETS_OF_POWER) + BENCH_BUCKETS_OF_POWER + 1)
            << shift) -
           1;
}

void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns)
{
    histogram->count++;
    histogram->buckets[bucket_of(ns)]++;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

void bench_histogram_join(struct bench_histogram *histogram,
                          const struct bench_histogram *more)
{
    histogram->count += more->count;
    if (more->max_ns > histogram->max_ns)
        histogram->max_ns = more->max_ns;
    for (unsigned i = 0; i < BENCH_BUCKETS; i++)
        histogram->buckets[i] += more->buckets[i];
}

uint64_t bench_histogram_part(const struct bench_histogram *histogram, double part)
{
    uint64_t wanted = (uint64_t)ceil(part * (double)histogram->count);
    uint64_t seen = 0;

    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted) {
            uint64_t end = bucket_end(i);

            return end < histogram->max_ns ? end : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}
