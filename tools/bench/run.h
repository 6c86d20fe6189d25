/* SPDX-License-Identifier: MIT */
/*
 * One workload on an open store: threads, clocks, and the check of everything that is
 * read. Knows a driver, and nothing of processes and reports.
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "contents.h"
#include "driver.h"
#include "histogram.h"
#include "workload.h"

/*
 * What a store must hold by now, as far as it is followed: of every stride-th key, its
 * version, or 0 if it is not there. In memory that outlives a process that is killed, the
 * versions behind it.
 */
struct bench_model {
    enum bench_key_order order;
    uint64_t key_count;
    uint64_t step;            /* runs so far */
    uint64_t uniform_version; /* of all keys; 0 when they differ, or some are missing */
    bool whole;               /* all keys are there */
    uint64_t stride;
    uint64_t sample_count;
    uint64_t versions[];
};

/* NULL: no memory. Keys beyond @sample_max are not followed one by one. */
struct bench_model *bench_model_create(enum bench_key_order order, uint64_t key_count,
                                       uint64_t sample_max);
void bench_model_release(struct bench_model *model);

/* A store that is open. */
struct bench_subject {
    const struct bench_driver *driver;
    void *store;
    size_t value_size;
    struct bench_model *model;
    const struct bench_zipf *zipf; /* of indexes of the model; NULL if not needed */
};

/* What to do, and when to end: with the operations done or the time up. */
struct bench_task {
    enum bench_operation operation;
    unsigned threads;
    uint64_t operation_count; /* of all threads */
    uint64_t ns_max;          /* 0: no limit. Not for scans. */
    uint64_t sample_interval; /* the clock is read around one of so many operations */
    bool control;             /* beside a thread that only reads the clock */
};

struct bench_outcome {
    uint64_t key_count; /* that the operations were for */
    uint64_t ns;
    uint64_t control_gap_ns; /* the longest between two readings of that thread */
    struct bench_histogram histogram;
};

/*
 * Run @task. Everything that is read is checked, in full, and what was written is read
 * back, as far as the model follows it. False: something failed or was wrong, in words
 * in @words; *outcome says nothing then.
 */
bool bench_run(struct bench_subject *subject, const struct bench_task *task,
               struct bench_outcome *outcome, char *words, size_t words_size);

/* Read back what the model follows. */
bool bench_run_check(struct bench_subject *subject, char *words, size_t words_size);

/* A monotonic clock. */
uint64_t bench_clock_ns(void);

#endif
