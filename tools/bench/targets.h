/* SPDX-License-Identifier: MIT */
/*
 * What we want to reach, and whether we have: ratios to the rivals in one run, and limits
 * of our own. The numbers are in targets.c and nowhere else.
 */
#ifndef BENCH_TARGETS_H
#define BENCH_TARGETS_H

#include "results.h"

/* How many times faster than @rival. */
struct bench_target {
    enum bench_workload_id workload;
    unsigned threads;
    uint64_t key_count;              /* 0: any */
    enum bench_workload_id compared; /* what the rival does meanwhile */
    const char *rival;
    double must;
    double aim;
};

/* A figure of ours that must not be exceeded. */
struct bench_limit {
    const char *text;
    enum bench_workload_id workload;
    uint64_t key_count;
    enum bench_figure figure;
    enum bench_workload_id
        divisor;  /* whose figure it is divided by; BENCH_W_COUNT: none */
    double scale; /* from the figure to the unit of the text */
    double must;
    double aim;
};

extern const struct bench_target bench_targets[];
extern const size_t bench_target_count;
extern const struct bench_limit bench_limits[];
extern const size_t bench_limit_count;

enum bench_verdict {
    BENCH_NOT_MEASURED,
    BENCH_MISSED,
    BENCH_MUST_MET,
    BENCH_AIM_MET
};

const char *bench_verdict_text(enum bench_verdict verdict);

/* The target for @row against @rival, or NULL. */
const struct bench_target *bench_target_find(const struct bench_row *row,
                                             const char *rival);

/* By the median; *ratio is what there is. */
enum bench_verdict bench_target_judge(const struct bench_results *results,
                                      const struct bench_target *target,
                                      struct bench_spread *ratio);
enum bench_verdict bench_limit_judge(const struct bench_results *results,
                                     const struct bench_limit *limit,
                                     struct bench_spread *figure);

/* The row that a rival's is compared with @row, which is another one for few. */
struct bench_row bench_row_compared(const struct bench_row *row);

#endif
