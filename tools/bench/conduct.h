/* SPDX-License-Identifier: MIT */
/*
 * The order of things: which engine does what when, so that each step is done by one
 * engine right after the other, on the same keys in the same order.
 */
#ifndef BENCH_CONDUCT_H
#define BENCH_CONDUCT_H

#include "results.h"

enum {
    BENCH_ENGINES_MAX = 16,
    BENCH_THREADS_MAX = 64
};

/* All that is done with one number of keys. */
struct bench_round {
    uint64_t key_count;
    bool engines[BENCH_ENGINES_MAX]; /* by their place in bench_drivers */
    bool workloads[BENCH_W_COUNT];
    uint64_t operations_max; /* of one step that reads or changes what is there */
    uint64_t ns_max;         /* of the same */
    unsigned repeats;
    bool common_only; /* nothing that needs a store of its own */
};

struct bench_conduct {
    const char *directory; /* exists, and is ours */
    const struct bench_round *rounds;
    size_t round_count;
    bool threads[BENCH_THREADS_MAX + 1]; /* how many are wanted */
    size_t value_size;
    bool progress;
    struct bench_results *results;
    bool failed; /* an engine has; it has been said */
};

/* Do it all. False: the system said no, or somebody wants us to end; it has been said. */
bool bench_conduct(struct bench_conduct *conduct);

/* End soon; for a signal handler. */
void bench_conduct_interrupt(void);

#endif
