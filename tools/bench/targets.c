/* SPDX-License-Identifier: MIT */
#include "targets.h"

#include <string.h>

enum {
    MILLION = 1000000,
    TEN_MILLION = 10000000
};

/* The same for a workload that is compared with itself. */
#define SAME(id, threads, keys, rival, must, aim) \
    {                                             \
        id, threads, keys, id, rival, must, aim   \
    }

const struct bench_target bench_targets[] = {
    SAME(BENCH_W_GET, 1, TEN_MILLION, "lmdb", 1.7, 2.2),
    SAME(BENCH_W_GET, 2, TEN_MILLION, "lmdb", 1.7, 2.2),
    SAME(BENCH_W_GET, 1, TEN_MILLION, "tkrzw", 1.0, 1.3),
    SAME(BENCH_W_GET, 2, TEN_MILLION, "tkrzw", 1.0, 1.3),
    SAME(BENCH_W_GET, 1, TEN_MILLION, "kyoto", 0.8, 1.0),
    SAME(BENCH_W_GET, 2, TEN_MILLION, "kyoto", 0.8, 1.0),
    SAME(BENCH_W_GET, 1, MILLION, "leveldb", 3, 5),
    SAME(BENCH_W_GET, 2, MILLION, "leveldb", 3, 5),
    SAME(BENCH_W_GET, 1, MILLION, "rocksdb", 5, 8),
    SAME(BENCH_W_GET, 2, MILLION, "rocksdb", 5, 8),

    SAME(BENCH_W_GET_MISS, 1, TEN_MILLION, "lmdb", 5, 6),
    SAME(BENCH_W_GET_MISS, 1, TEN_MILLION, "tkrzw", 1.7, 2),
    SAME(BENCH_W_GET_MISS, 1, TEN_MILLION, "kyoto", 1.2, 1.5),

    { BENCH_W_MULTI_GET, 1, TEN_MILLION, BENCH_W_GET, "lmdb", 3, 4 },
    { BENCH_W_MULTI_GET, 1, TEN_MILLION, BENCH_W_GET, "tkrzw", 2, 3 },
    { BENCH_W_MULTI_GET, 1, TEN_MILLION, BENCH_W_GET, "kyoto", 1.5, 2 },

    SAME(BENCH_W_FILL_RANDOM, 1, MILLION, "lmdb", 2.8, 5),
    SAME(BENCH_W_FILL_RANDOM, 1, MILLION, "tkrzw", 1.1, 1.5),
    SAME(BENCH_W_FILL_RANDOM, 1, MILLION, "kyoto", 0.9, 1.2),
    SAME(BENCH_W_FILL_RANDOM, 1, MILLION, "leveldb", 6, 10),
    SAME(BENCH_W_FILL_RANDOM, 1, MILLION, "rocksdb", 12, 18),
    SAME(BENCH_W_FILL_RANDOM, 1, TEN_MILLION, "lmdb", 2.8, 5),
    SAME(BENCH_W_FILL_RANDOM, 1, TEN_MILLION, "tkrzw", 1.1, 1.5),
    SAME(BENCH_W_FILL_RANDOM, 1, TEN_MILLION, "kyoto", 0.9, 1.2),

    SAME(BENCH_W_OVERWRITE, 1, MILLION, "lmdb", 6, 9),
    SAME(BENCH_W_OVERWRITE, 1, MILLION, "tkrzw", 1.3, 2),
    SAME(BENCH_W_OVERWRITE, 1, MILLION, "kyoto", 1.1, 1.6),
    SAME(BENCH_W_OVERWRITE, 1, MILLION, "leveldb", 5, 8),
    SAME(BENCH_W_OVERWRITE, 1, MILLION, "rocksdb", 10, 15),

    SAME(BENCH_W_DELETE, 1, MILLION, "lmdb", 8, 12),
    SAME(BENCH_W_DELETE, 1, MILLION, "tkrzw", 1.6, 2),
    SAME(BENCH_W_DELETE, 1, MILLION, "kyoto", 3, 4),

    SAME(BENCH_W_HALF_AND_HALF, 1, TEN_MILLION, "lmdb", 8, 8),
    SAME(BENCH_W_HALF_AND_HALF, 2, TEN_MILLION, "lmdb", 8, 8),
    SAME(BENCH_W_HALF_AND_HALF, 1, TEN_MILLION, "tkrzw", 2, 2),
    SAME(BENCH_W_HALF_AND_HALF, 2, TEN_MILLION, "tkrzw", 1.0, 1.3),
    SAME(BENCH_W_HALF_AND_HALF, 1, TEN_MILLION, "kyoto", 1.2, 1.5),
    SAME(BENCH_W_HALF_AND_HALF, 2, TEN_MILLION, "kyoto", 0.9, 1.2),

    SAME(BENCH_W_READS_95, 1, TEN_MILLION, "lmdb", 2.5, 2.5),
    SAME(BENCH_W_READS_95, 2, TEN_MILLION, "lmdb", 3.5, 3.5),
    SAME(BENCH_W_READS_95, 1, TEN_MILLION, "tkrzw", 1.6, 1.6),
    SAME(BENCH_W_READS_95, 2, TEN_MILLION, "tkrzw", 2, 2),
    SAME(BENCH_W_READS_95, 1, TEN_MILLION, "kyoto", 1.3, 1.5),
    SAME(BENCH_W_READS_95, 2, TEN_MILLION, "kyoto", 1.1, 1.3),

    SAME(BENCH_W_DURABLE_FILL, 1, 0, "lmdb", 2, 2),
    SAME(BENCH_W_DURABLE_FILL, 16, 0, "lmdb", 10, 10),
    SAME(BENCH_W_DURABLE_FILL, 1, 0, "leveldb", 1.0, 1.2),
    SAME(BENCH_W_DURABLE_FILL, 16, 0, "leveldb", 0.8, 1.0),
    SAME(BENCH_W_DURABLE_FILL, 1, 0, "rocksdb", 1.0, 1.0),
    SAME(BENCH_W_DURABLE_FILL, 16, 0, "rocksdb", 1.2, 1.2),

    SAME(BENCH_W_SCAN, 1, TEN_MILLION, "tkrzw", 0.8, 1.2),
    SAME(BENCH_W_SCAN, 1, MILLION, "leveldb", 0.8, 1.2),
};

const size_t bench_target_count = sizeof bench_targets / sizeof *bench_targets;

const struct bench_limit bench_limits[] = {
    { "open after a clean close, s", BENCH_W_OPEN_AFTER_CLOSE, TEN_MILLION, BENCH_F_MS,
      BENCH_W_COUNT, 1e-3, 2, 1 },
    { "open after kill -9, times that after a clean close", BENCH_W_OPEN_AFTER_KILL,
      TEN_MILLION, BENCH_F_MS, BENCH_W_OPEN_AFTER_CLOSE, 1, 1.3, 1.3 },
    { "memory that no file backs, bytes a key", BENCH_W_FILL_RANDOM, TEN_MILLION,
      BENCH_F_MEMORY, BENCH_W_COUNT, 1, 125, 110 },
    { "p99.99 of a put in a fill, us", BENCH_W_STALLS, TEN_MILLION, BENCH_F_P9999_NS,
      BENCH_W_COUNT, 1e-3, 100, 100 },
    { "longest put of a fill, median of the runs, ms", BENCH_W_STALLS, TEN_MILLION,
      BENCH_F_MAX_NS, BENCH_W_COUNT, 1e-6, 20, 5 },
};

const size_t bench_limit_count = sizeof bench_limits / sizeof *bench_limits;

const char *bench_verdict_text(enum bench_verdict verdict)
{
    switch (verdict) {
    case BENCH_MISSED:
        return "missed";
    case BENCH_MUST_MET:
        return "met";
    case BENCH_AIM_MET:
        return "aim met";
    default:
        return "not measured";
    }
}

const struct bench_target *bench_target_find(const struct bench_row *row,
                                             const char *rival)
{
    for (size_t i = 0; i < bench_target_count; i++) {
        const struct bench_target *target = &bench_targets[i];

        if (target->workload == row->workload && target->threads == row->threads &&
            (target->key_count == 0 || target->key_count == row->key_count) &&
            strcmp(target->rival, rival) == 0)
            return target;
    }
    return NULL;
}

struct bench_row bench_row_compared(const struct bench_row *row)
{
    struct bench_row compared = *row;

    if (row->workload == BENCH_W_MULTI_GET)
        compared.workload = BENCH_W_GET;
    return compared;
}

static enum bench_verdict judge(double number, double must, double aim, bool more)
{
    if (more ? number >= aim : number <= aim)
        return BENCH_AIM_MET;
    if (more ? number >= must : number <= must)
        return BENCH_MUST_MET;
    return BENCH_MISSED;
}

static const struct bench_driver *driver_of(const char *name)
{
    for (unsigned i = 0; bench_drivers[i] != NULL; i++)
        if (strcmp(bench_drivers[i]->name, name) == 0)
            return bench_drivers[i];
    return NULL;
}

enum bench_verdict bench_target_judge(const struct bench_results *results,
                                      const struct bench_target *target,
                                      struct bench_spread *ratio)
{
    const struct bench_driver *rival = driver_of(target->rival);

    *ratio = (struct bench_spread){ 0 };
    for (size_t i = 0; rival != NULL && i < results->count && ratio->count == 0; i++) {
        struct bench_row ours = results->items[i].row, theirs = ours;

        if (ours.workload != target->workload || ours.threads != target->threads ||
            (target->key_count != 0 && ours.key_count != target->key_count))
            continue;
        theirs.workload = target->compared;
        *ratio =
            bench_results_ratio(results, &ours, &bench_driver_bitcask, &theirs, rival);
    }
    return ratio->count == 0 ? BENCH_NOT_MEASURED
                             : judge(ratio->median, target->must, target->aim, true);
}

enum bench_verdict bench_limit_judge(const struct bench_results *results,
                                     const struct bench_limit *limit,
                                     struct bench_spread *figure)
{
    struct bench_row row = { limit->workload, 1, limit->key_count };
    double scale = limit->scale;

    *figure = bench_results_spread(results, &row, &bench_driver_bitcask, limit->figure);
    if (limit->divisor != BENCH_W_COUNT) {
        struct bench_spread divisor;

        row.workload = limit->divisor;
        divisor =
            bench_results_spread(results, &row, &bench_driver_bitcask, limit->figure);
        if (divisor.count == 0)
            figure->count = 0;
        else
            scale /= divisor.median;
    }
    if (figure->count == 0)
        return BENCH_NOT_MEASURED;
    figure->median *= scale;
    figure->min *= scale;
    figure->max *= scale;
    return judge(figure->median, limit->must, limit->aim, false);
}
