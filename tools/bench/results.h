/* SPDX-License-Identifier: MIT */
/*
 * The figures of a whole run, and what several of the same come to.
 */
#ifndef BENCH_RESULTS_H
#define BENCH_RESULTS_H

#include "driver.h"
#include "workload.h"

enum bench_figure {
    BENCH_F_RATE, /* keys a second */
    BENCH_F_MS,
    BENCH_F_P50_NS,
    BENCH_F_P99_NS,
    BENCH_F_P999_NS,
    BENCH_F_P9999_NS,
    BENCH_F_MAX_NS,
    BENCH_F_CONTROL_NS, /* the longest gap of the thread that only reads the clock */
    BENCH_F_MEMORY,     /* bytes a key that no file backs */
    BENCH_F_DISK,       /* bytes on disk for each byte of keys and values */
    BENCH_F_COUNT
};

/* What is measured in one row of a table. */
struct bench_row {
    enum bench_workload_id workload;
    unsigned threads;
    uint64_t key_count;
};

/* What one run of it by one engine has given; NAN is none. */
struct bench_cell {
    struct bench_row row;
    const struct bench_driver *driver;
    unsigned repeat;
    double figures[BENCH_F_COUNT];
};

/* Zeroed is empty. */
struct bench_results {
    struct bench_cell *items;
    size_t count;
    size_t capacity;
};

/* A new one, with no figures yet, valid until the next is added; NULL: no memory. */
struct bench_cell *bench_results_add(struct bench_results *results, struct bench_row row,
                                     const struct bench_driver *driver, unsigned repeat);
void bench_results_release(struct bench_results *results);

/* The names of the figures, as in JSON. */
extern const char *const bench_figure_names[BENCH_F_COUNT];

/* What several repeats come to. With a count of 0 the rest says nothing. */
struct bench_spread {
    unsigned count;
    double median;
    double min;
    double max;
};

struct bench_spread bench_results_spread(const struct bench_results *results,
                                         const struct bench_row *row,
                                         const struct bench_driver *driver,
                                         enum bench_figure figure);

/*
 * How many times faster @ours did @our_row than @theirs did @their_row, of each repeat
 * that has both: by the rate, or where there is none by the time.
 */
struct bench_spread bench_results_ratio(const struct bench_results *results,
                                        const struct bench_row *our_row,
                                        const struct bench_driver *ours,
                                        const struct bench_row *their_row,
                                        const struct bench_driver *theirs);

/* The rows that there are, in the order of reports, in an array that the caller frees;
   NULL: none, or no memory. */
struct bench_row *bench_results_rows(const struct bench_results *results, size_t *count);

/* Whether @driver has any figures, and whether it has some in @row. */
bool bench_results_has_any(const struct bench_results *results,
                           const struct bench_driver *driver);
bool bench_results_has(const struct bench_results *results, const struct bench_row *row,
                       const struct bench_driver *driver);

#endif
