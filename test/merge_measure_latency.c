/* SPDX-License-Identifier: MIT */
/* What a client of a cask waits for while a merge runs, or none does. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/merge_measure.h"
#include "test/model.h"

static void get(struct bitcask *cask, uint64_t key, struct bitcask_buffer *value)
{
    char text[KEY_SIZE + 1];

    measure_key(key, text);
    measure_check(bitcask_get(cask, (struct bitcask_slice){ text, KEY_SIZE }, value),
                  "get");
}

#define RATE_DEFAULT ((uint64_t)32 << 20)

enum latency_mode {
    LATENCY_NONE,
    LATENCY_RATE, /* the default of merges that begin by themselves */
    LATENCY_FLAT_OUT,
    LATENCY_MODE_COUNT
};

static const char *const mode_names[] = { "no merge", "merge, 32 MiB/s",
                                          "merge, flat out" };

/* p50, p99, p99.9 and max, in microseconds. */
enum {
    POINT_COUNT = 4
};
static const char *const point_names[POINT_COUNT] = { "p50", "p99", "p99.9", "max" };

struct samples {
    uint32_t *ns;
    size_t count;
    size_t capacity;
};

struct merger {
    struct bitcask *cask;
    uint64_t rate;
    atomic_bool stop;
    atomic_ulong begun_count;
    atomic_ulong progress_count;
};

static enum bitcask_status on_progress(const struct bitcask_merge_progress *progress,
                                       void *context)
{
    struct merger *merger = context;

    (void)progress;
    atomic_fetch_add(&merger->progress_count, 1);
    return atomic_load(&merger->stop) ? BITCASK_NOT_FOUND : BITCASK_OK;
}

/* One merge of everything after the other, until it is to stop. */
static void *run_merger(void *context)
{
    struct merger *merger = context;
    struct bitcask_merge_options options = {
        .choice = BITCASK_MERGE_ALL,
        .rate = merger->rate,
        .progress = on_progress,
        .context = merger,
    };

    while (!atomic_load(&merger->stop)) {
        enum bitcask_status status;

        atomic_fetch_add(&merger->begun_count, 1);
        status = bitcask_merge(merger->cask, &options, NULL);
        if (status != BITCASK_NOT_FOUND)
            measure_check(status, "merge");
    }
    return NULL;
}

static void add_sample(struct samples *samples, uint64_t ns)
{
    if (samples->count < samples->capacity)
        samples->ns[samples->count++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static void run_client(struct bitcask *cask, uint64_t key_count, uint64_t duration_ns,
                       struct model_random *random, struct samples *gets,
                       struct samples *puts)
{
    struct bitcask_buffer value = { 0 };
    uint64_t end_ns = measure_now_ns() + duration_ns;
    uint64_t begun_ns, ended_ns = 0;

    gets->count = 0;
    puts->count = 0;
    while (ended_ns < end_ns && gets->count < gets->capacity &&
           puts->count < puts->capacity) {
        uint64_t number = model_random_next(random);
        uint64_t key = (number >> 1) % key_count;

        begun_ns = measure_now_ns();
        if ((number & 1) != 0)
            get(cask, key, &value);
        else
            measure_put(cask, key, RECORD_SIZE - HEADER_SIZE - KEY_SIZE);
        ended_ns = measure_now_ns();
        add_sample((number & 1) != 0 ? gets : puts, ended_ns - begun_ns);
    }
    bitcask_buffer_release(&value);
}

static int compare_samples(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

static void summarize(struct samples *samples, double points[POINT_COUNT])
{
    static const double shares[POINT_COUNT] = { 0.5, 0.99, 0.999, 1 };

    measure_check_that(samples->count > 0, "nothing was measured");
    qsort(samples->ns, samples->count, sizeof *samples->ns, compare_samples);
    for (size_t i = 0; i < POINT_COUNT; i++) {
        size_t at = (size_t)((double)samples->count * shares[i]);

        if (at >= samples->count)
            at = samples->count - 1;
        points[i] = samples->ns[at] / 1e3;
    }
}

struct latencies {
    double points[LATENCY_MODE_COUNT][2][POINT_COUNT][ROUNDS_MAX]; /* gets, puts */
};

/* One phase: bring a merge on its way, measure while it runs, and end it. */
static void run_phase(struct bitcask *cask, uint64_t key_count, enum latency_mode mode,
                      struct model_random *random, struct samples samples[2])
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    struct merger merger = { .cask = cask,
                             .rate = mode == LATENCY_RATE ? RATE_DEFAULT : 0 };
    uint64_t merge_count = measure_stat_of(cask).merge_count;
    unsigned long progress_count;
    pthread_t thread;

    if (mode != LATENCY_NONE) {
        measure_check_that(pthread_create(&thread, NULL, run_merger, &merger) == 0,
                           "no thread");
        while (atomic_load(&merger.progress_count) < 2)
            measure_sleep_ms(1);
    }
    progress_count = atomic_load(&merger.progress_count);
    run_client(cask, key_count, (uint64_t)measure_sized(3000, 200) * 1000000, random,
               &samples[0], &samples[1]);
    if (mode != LATENCY_NONE) {
        measure_check_that(atomic_load(&merger.progress_count) > progress_count,
                           "no merge was running");
        atomic_store(&merger.stop, true);
        (void)pthread_join(thread, NULL);
    } else {
        measure_check_that(measure_stat_of(cask).merge_count == merge_count,
                           "a merge was running");
    }
    measure_check(bitcask_merge(cask, &all, NULL), "merge"); /* what has become dead */
}

static void print_latencies(struct latencies *found, size_t round_count)
{
    static const char *const what[2] = { "get", "put" };

    for (size_t op = 0; op < 2; op++) {
        double without[POINT_COUNT] = { 0 };

        for (size_t mode = 0; mode < LATENCY_MODE_COUNT; mode++) {
            printf("latency: %s, %-16s", what[op], mode_names[mode]);
            for (size_t i = 0; i < POINT_COUNT; i++) {
                double us = measure_median(found->points[mode][op][i], round_count);

                if (mode == LATENCY_NONE)
                    without[i] = us;
                printf("  %s %.1f us", point_names[i], us);
                if (mode != LATENCY_NONE)
                    printf(" (%.2fx)", us / without[i]);
            }
            printf("\n");
        }
    }
}

void measure_latency(void)
{
    const struct bitcask_options options = { .merge_auto_off = true };
    struct latencies *found = measure_allocate(1, sizeof *found);
    struct samples samples[2] = { 0 };
    struct model_random random = { 20261121 };
    uint64_t key_count = measure_sized(1000000, 20000);
    size_t round_count = (size_t)measure_sized(7, 1);
    struct bitcask *cask = measure_create(&options);

    for (size_t op = 0; op < 2; op++) {
        samples[op].capacity = (size_t)measure_sized(8000000, 1000000);
        samples[op].ns = measure_allocate(samples[op].capacity, sizeof *samples[op].ns);
    }
    printf("latency: one client, half gets, half puts, on %" PRIu64
           " keys, records of %d "
           "bytes; files of 64 MiB; synced every second (the default); medians of %zu "
           "interleaved rounds\n",
           key_count, RECORD_SIZE, round_count);
    measure_fill_half_dead(cask, key_count);
    run_phase(cask, key_count, LATENCY_NONE, &random, samples); /* to warm up */
    for (size_t round = 0; round < round_count; round++) {
        for (size_t mode = 0; mode < LATENCY_MODE_COUNT; mode++) {
            run_phase(cask, key_count, (enum latency_mode)mode, &random, samples);
            printf("  round %zu, %s: %zu gets, %zu puts\n", round + 1, mode_names[mode],
                   samples[0].count, samples[1].count);
            for (size_t op = 0; op < 2; op++) {
                double points[POINT_COUNT];

                summarize(&samples[op], points);
                for (size_t i = 0; i < POINT_COUNT; i++)
                    found->points[mode][op][i][round] = points[i];
            }
        }
    }
    print_latencies(found, round_count);
    measure_destroy(cask);
    free(samples[0].ns);
    free(samples[1].ns);
    free(found);
}
