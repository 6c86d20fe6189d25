/* SPDX-License-Identifier: MIT */
/*
 * Measures merging; not a test, for what it says depends on the machine.
 *
 *     merge_measure speed|latency|amplification|memory DIRECTORY [--quick]
 *
 * works in a new cask in DIRECTORY, an empty or missing one, and removes its files again.
 * With --quick the numbers are of no use: it only shows that all of it works. The status
 * is 1 if something failed, or a bound that does not depend on the machine was broken.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bitcask/bitcask.h>

#include "test/merge_measure.h"
#include "test/model.h"

#define MIB 1048576.0

static const char *directory;
static bool quick;

uint64_t measure_sized(uint64_t full, uint64_t small)
{
    return quick ? small : full;
}

void measure_check(enum bitcask_status status, const char *what)
{
    if (status == BITCASK_OK)
        return;
    (void)fprintf(stderr, "merge_measure: %s: %s: %s\n", what,
                  bitcask_status_text(status), bitcask_error_detail());
    exit(1);
}

void measure_check_that(bool condition, const char *what)
{
    if (condition)
        return;
    (void)fprintf(stderr, "merge_measure: %s\n", what);
    exit(1);
}

void *measure_allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    measure_check_that(memory != NULL, "out of memory");
    return memory;
}

uint64_t measure_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void measure_sleep_ms(long ms)
{
    struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&time, NULL);
}

/* Remove the cask, and nothing that is not one. */
static void remove_cask(void)
{
    DIR *list = opendir(directory);
    struct dirent *entry;

    if (list == NULL)
        return;
    while ((entry = readdir(list)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');

        if (strcmp(entry->d_name, "MANIFEST") == 0 ||
            strcmp(entry->d_name, "RESERVE") == 0 || strcmp(entry->d_name, "LOCK") == 0 ||
            (dot != NULL && (strcmp(dot, ".data") == 0 || strcmp(dot, ".hint") == 0)))
            (void)unlinkat(dirfd(list), entry->d_name, 0);
    }
    (void)closedir(list);
    (void)rmdir(directory);
}

struct bitcask *measure_create(const struct bitcask_options *options)
{
    struct bitcask *cask = NULL;

    remove_cask();
    measure_check(bitcask_open(&cask, directory, options), "open");
    return cask;
}

void measure_destroy(struct bitcask *cask)
{
    measure_check(bitcask_close(cask), "close");
    remove_cask();
}

void measure_key(uint64_t key, char text[KEY_SIZE + 1])
{
    (void)snprintf(text, KEY_SIZE + 1, "%016" PRIx64, key * UINT64_C(0x9e3779b97f4a7c15));
}

void measure_put(struct bitcask *cask, uint64_t key, size_t value_size)
{
    static const char value[4096];
    char text[KEY_SIZE + 1];

    measure_key(key, text);
    measure_check(bitcask_put(cask, (struct bitcask_slice){ text, KEY_SIZE },
                              (struct bitcask_slice){ value, value_size }),
                  "put");
}

static enum bitcask_status drop(struct bitcask *cask, uint64_t key)
{
    char text[KEY_SIZE + 1];

    measure_key(key, text);
    return bitcask_delete(cask, (struct bitcask_slice){ text, KEY_SIZE });
}

void measure_fill_half_dead(struct bitcask *cask, uint64_t key_count)
{
    uint64_t later = key_count / 100 + 1;

    for (uint64_t i = 0; i < key_count + later; i++) {
        if (i < key_count)
            measure_put(cask, i, RECORD_SIZE - HEADER_SIZE - KEY_SIZE);
        if (i >= later)
            measure_put(cask, i - later, RECORD_SIZE - HEADER_SIZE - KEY_SIZE);
    }
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return a < b ? -1 : a > b;
}

double measure_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return values[count / 2];
}

struct bitcask_stat measure_stat_of(struct bitcask *cask)
{
    struct bitcask_stat stat;

    measure_check(bitcask_stat(cask, &stat), "stat");
    return stat;
}

/*
 * SPEED: everything is merged as fast as it goes, from the page cache.
 */
static void measure_speed_of(bool expected)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    uint64_t key_count = measure_sized(1000000, 20000);
    const struct bitcask_options options = {
        .merge_auto_off = true,
        .expected_keys = expected ? key_count : 0,
    };
    size_t round_count = (size_t)measure_sized(7, 3);
    double speeds[ROUNDS_MAX];

    printf("speed: %" PRIu64 " keys, records of %d bytes, half of them dead; files of 64 "
           "MiB; merge all, no rate limit; synced before anything is removed; "
           "expected_keys %s\n",
           key_count, RECORD_SIZE, expected ? "given" : "not given");
    for (size_t i = 0; i < round_count; i++) {
        struct bitcask *cask = measure_create(&options);
        struct bitcask_merge_report report;
        uint64_t begun_ns, spent_ns;
        struct bitcask_stat before, after;

        measure_fill_half_dead(cask, key_count);
        before = measure_stat_of(cask);
        begun_ns = measure_now_ns();
        measure_check(bitcask_merge(cask, &all, &report), "merge");
        spent_ns = measure_now_ns() - begun_ns;
        after = measure_stat_of(cask);
        measure_check_that(after.dead_size == 0 && after.live_size == before.live_size &&
                               report.record_out_count == key_count,
                           "the merge has not done what it should");
        speeds[i] = (double)before.live_size * 1e3 / (double)spent_ns;
        printf(
            "  round %zu: %.0f MB of data, %.0f MB of it live, in %.3f s: %.0f MB/s of "
            "live bytes\n",
            i + 1, (double)before.data_size / 1e6, (double)before.live_size / 1e6,
            (double)spent_ns / 1e9, speeds[i]);
        measure_destroy(cask);
    }
    printf("speed: median %.0f MB/s of live bytes", measure_median(speeds, round_count));
    printf(", %.0f to %.0f\n", speeds[0], speeds[round_count - 1]);
}

static void measure_speed(void)
{
    measure_speed_of(false);
    measure_speed_of(true);
}

/*
 * AMPLIFICATION: a long workload with merges that begin by themselves. The writer waits
 * for them, so that none is spared because another was late.
 */
static void wait_until_done(struct bitcask *cask)
{
    const struct bitcask_merge_options nothing = { .choice = BITCASK_MERGE_FILES };
    bool due = true;

    measure_check(bitcask_merge_due(cask, &due), "due");
    for (int i = 0; i < 10000 && due; i++) {
        measure_sleep_ms(5);
        measure_check(bitcask_merge_due(cask, &due), "due");
    }
    measure_check_that(!due, "a merge is due, and nobody makes it");
    /* One that runs still has to remove files, and to be counted: wait for our turn. */
    measure_check(bitcask_merge(cask, &nothing, NULL), "merge");
}

static void churn(struct bitcask *cask, struct model_random *random, bool zipfian)
{
    uint64_t key_count = measure_sized(150000, 25000);
    uint64_t size = measure_sized(600000000, 11000000);
    uint64_t next_key = key_count;
    uint64_t written = 0;
    uint64_t looked = 0;

    while (written < size) {
        double chance = (double)(model_random_next(random) >> 11) / 9007199254740992.0;
        uint64_t key =
            (uint64_t)((zipfian ? chance * chance * chance : chance) * (double)key_count);
        size_t value_size = 20 + (size_t)model_random_below(random, 200);

        switch (model_random_below(random, 10)) {
        case 0:
            if (drop(cask, key) == BITCASK_NOT_FOUND)
                continue;
            value_size = 0;
            break;
        case 1: /* a new key, and an old one goes */
            measure_put(cask, next_key, value_size);
            (void)drop(cask, next_key++ - key_count / 10);
            break;
        default:
            measure_put(cask, key, value_size);
            break;
        }
        written += HEADER_SIZE + KEY_SIZE + value_size;
        if (written - looked > 256 << 10) {
            looked = written;
            wait_until_done(cask);
        }
    }
}

static void measure_amplification(void)
{
    static const unsigned percents[] = { 25, 50, 75 };

    printf(
        "amplification: overwrites, inserts and deletes of records of 64 to 263 bytes; "
        "default options, but merge_rate UINT64_MAX\n");
    for (size_t i = 0; i < 2 * sizeof percents / sizeof *percents; i++) {
        bool zipfian = i % 2 == 1;
        unsigned percent = percents[i / 2];
        const struct bitcask_options options = { .merge_rate = UINT64_MAX,
                                                 .merge_dead_percent = percent };
        struct model_random random = { 20261121 + i };
        struct bitcask *cask = measure_create(&options);
        struct bitcask_stat stat;
        double ratio, bound = 100.0 / percent;

        churn(cask, &random, zipfian);
        wait_until_done(cask);
        stat = measure_stat_of(cask);
        ratio = (double)(stat.appended_size + stat.merge_copied_size) /
                (double)stat.appended_size;
        printf("amplification: dead_percent %u, %s: appended %.1f MB, copied %.1f MB in "
               "%" PRIu64
               " merges, written/appended %.3f, bound %.3f; at the end %.1f MB "
               "for %.1f MB live: %.3f\n",
               percent, zipfian ? "skewed" : "uniform", (double)stat.appended_size / 1e6,
               (double)stat.merge_copied_size / 1e6, stat.merge_count, ratio, bound,
               (double)stat.data_size / 1e6, (double)stat.live_size / 1e6,
               (double)stat.data_size / (double)stat.live_size);
        measure_check_that(quick || stat.merge_count > 0, "there was no merge");
        measure_check_that(ratio <= bound, "the bound is broken");
        measure_destroy(cask);
    }
}

/*
 * MEMORY: that a merge needs, beside what the cask has anyway.
 */
static uint64_t anonymous_size(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    uint64_t kib = 0;
    char line[256];

    measure_check_that(status != NULL, "there is no /proc");
    while (fgets(line, sizeof line, status) != NULL)
        (void)sscanf(line, "RssAnon: %" SCNu64, &kib);
    (void)fclose(status);
    return kib * 1024;
}

static enum bitcask_status note_memory(const struct bitcask_merge_progress *progress,
                                       void *context)
{
    uint64_t *highest = context;
    uint64_t size = anonymous_size();

    (void)progress;
    if (size > *highest)
        *highest = size;
    return BITCASK_OK;
}

static void measure_memory(void)
{
    const struct bitcask_options options = { .merge_auto_off = true };

    printf("memory: RssAnon while everything is merged, no rate limit, over what it was "
           "before; records of %d bytes, half of them dead\n",
           RECORD_SIZE);
    for (unsigned times = 1; times <= 8; times *= 8) {
        struct bitcask *cask = measure_create(&options);
        struct bitcask_stat stat;
        uint64_t before, highest = 0;
        struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL,
                                             .progress = note_memory,
                                             .context = &highest };

        measure_fill_half_dead(cask, times * measure_sized(500000, 20000));
        stat = measure_stat_of(cask);
        before = anonymous_size();
        measure_check(bitcask_merge(cask, &all, NULL), "merge");
        measure_check_that(highest > 0, "nothing was merged");
        printf("memory: %ux, %" PRIu64 " keys, %.0f MiB of data: %.2f MiB more\n", times,
               stat.key_count, (double)stat.data_size / MIB,
               highest > before ? (double)(highest - before) / MIB : 0.0);
        measure_destroy(cask);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*measure)(void);
    } modes[] = {
        { "speed", measure_speed },
        { "latency", measure_latency },
        { "amplification", measure_amplification },
        { "memory", measure_memory },
    };

    quick = argc == 4 && strcmp(argv[3], "--quick") == 0;
    if (argc == 3 || quick) {
        directory = argv[2];
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
            if (strcmp(argv[1], modes[i].name) != 0)
                continue;
            setvbuf(stdout, NULL, _IOLBF, 0);
            printf("merge_measure, library %s, in %s%s\n", bitcask_version(), directory,
                   quick ? ", QUICK: not a measurement" : "");
            modes[i].measure();
            return 0;
        }
    }
    (void)fprintf(stderr, "usage: merge_measure speed|latency|amplification|memory "
                          "DIRECTORY [--quick]\n");
    return 2;
}
