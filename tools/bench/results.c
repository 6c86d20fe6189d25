/* SPDX-License-Identifier: MIT */
#include "results.h"

#include <math.h>
#include <stdlib.h>

enum {
    REPEATS_MAX = 64
};

/* What takes less was not there to be done: no ratio. */
#define MS_MIN 0.5

const char *const bench_figure_names[BENCH_F_COUNT] = {
    [BENCH_F_RATE] = "keys_per_second",  [BENCH_F_MS] = "ms",
    [BENCH_F_P50_NS] = "p50_ns",         [BENCH_F_P99_NS] = "p99_ns",
    [BENCH_F_P999_NS] = "p999_ns",       [BENCH_F_P9999_NS] = "p9999_ns",
    [BENCH_F_MAX_NS] = "max_ns",         [BENCH_F_CONTROL_NS] = "control_max_ns",
    [BENCH_F_MEMORY] = "memory_per_key", [BENCH_F_DISK] = "disk_per_byte",
};

struct bench_cell *bench_results_add(struct bench_results *results, struct bench_row row,
                                     const struct bench_driver *driver, unsigned repeat)
{
    struct bench_cell *result;

    if (results->count == results->capacity) {
        size_t capacity = results->capacity * 2 + 64;
        struct bench_cell *items =
            realloc(results->items, capacity * sizeof *results->items);

        if (items == NULL)
            return NULL;
        results->items = items;
        results->capacity = capacity;
    }
    result = &results->items[results->count++];
    *result = (struct bench_cell){ .row = row, .driver = driver, .repeat = repeat };
    for (unsigned i = 0; i < BENCH_F_COUNT; i++)
        result->figures[i] = NAN;
    return result;
}

void bench_results_release(struct bench_results *results)
{
    free(results->items);
    *results = (struct bench_results){ 0 };
}

static bool same_row(const struct bench_row *one, const struct bench_row *other)
{
    return one->workload == other->workload && one->threads == other->threads &&
           one->key_count == other->key_count;
}

static int compare_numbers(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

static struct bench_spread spread_of(double *numbers, unsigned count)
{
    struct bench_spread spread = { .count = count };

    if (count == 0)
        return spread;
    qsort(numbers, count, sizeof *numbers, compare_numbers);
    spread.min = numbers[0];
    spread.max = numbers[count - 1];
    spread.median = count % 2 == 1 ? numbers[count / 2]
                                   : (numbers[count / 2 - 1] + numbers[count / 2]) / 2;
    return spread;
}

struct bench_spread bench_results_spread(const struct bench_results *results,
                                         const struct bench_row *row,
                                         const struct bench_driver *driver,
                                         enum bench_figure figure)
{
    double numbers[REPEATS_MAX];
    unsigned count = 0;

    for (size_t i = 0; i < results->count && count < REPEATS_MAX; i++) {
        const struct bench_cell *result = &results->items[i];

        if (result->driver == driver && same_row(&result->row, row) &&
            !isnan(result->figures[figure]))
            numbers[count++] = result->figures[figure];
    }
    return spread_of(numbers, count);
}

static const struct bench_cell *find(const struct bench_results *results,
                                     const struct bench_row *row,
                                     const struct bench_driver *driver, unsigned repeat)
{
    for (size_t i = 0; i < results->count; i++) {
        const struct bench_cell *result = &results->items[i];

        if (result->driver == driver && result->repeat == repeat &&
            same_row(&result->row, row))
            return result;
    }
    return NULL;
}

struct bench_spread bench_results_ratio(const struct bench_results *results,
                                        const struct bench_row *our_row,
                                        const struct bench_driver *ours,
                                        const struct bench_row *their_row,
                                        const struct bench_driver *theirs)
{
    double numbers[REPEATS_MAX];
    unsigned count = 0;

    for (size_t i = 0; i < results->count && count < REPEATS_MAX; i++) {
        const struct bench_cell *one = &results->items[i], *other;
        double ratio;

        if (one->driver != ours || !same_row(&one->row, our_row))
            continue;
        other = find(results, their_row, theirs, one->repeat);
        if (other == NULL)
            continue;
        ratio = !isnan(one->figures[BENCH_F_RATE])
                    ? one->figures[BENCH_F_RATE] / other->figures[BENCH_F_RATE]
                    : other->figures[BENCH_F_MS] / one->figures[BENCH_F_MS];
        if (!isnan(one->figures[BENCH_F_MS]) && one->figures[BENCH_F_MS] < MS_MIN)
            continue; /* there was nothing to do, and nothing to compare */
        if (!isnan(ratio))
            numbers[count++] = ratio;
    }
    return spread_of(numbers, count);
}

static int compare_rows(const void *one, const void *other)
{
    const struct bench_row *a = one, *b = other;

    if (a->workload != b->workload)
        return a->workload < b->workload ? -1 : 1;
    if (a->key_count != b->key_count)
        return a->key_count < b->key_count ? -1 : 1;
    return (a->threads > b->threads) - (a->threads < b->threads);
}

struct bench_row *bench_results_rows(const struct bench_results *results, size_t *count)
{
    struct bench_row *rows = malloc((results->count + 1) * sizeof *rows);
    size_t kept = 0;

    *count = 0;
    if (rows == NULL)
        return NULL;
    for (size_t i = 0; i < results->count; i++)
        rows[i] = results->items[i].row;
    qsort(rows, results->count, sizeof *rows, compare_rows);
    for (size_t i = 0; i < results->count; i++)
        if (i == 0 || !same_row(&rows[i], &rows[kept - 1]))
            rows[kept++] = rows[i];
    *count = kept;
    return rows;
}

bool bench_results_has_any(const struct bench_results *results,
                           const struct bench_driver *driver)
{
    for (size_t i = 0; i < results->count; i++) {
        if (results->items[i].driver == driver)
            return true;
    }
    return false;
}

bool bench_results_has(const struct bench_results *results, const struct bench_row *row,
                       const struct bench_driver *driver)
{
    for (size_t i = 0; i < results->count; i++)
        if (results->items[i].driver == driver && same_row(&results->items[i].row, row))
            return true;
    return false;
}
