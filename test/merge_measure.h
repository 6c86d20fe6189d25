/* SPDX-License-Identifier: MIT */
/* Between the files of merge_measure.c, which ends the program when something fails. */
#ifndef TEST_MERGE_MEASURE_H
#define TEST_MERGE_MEASURE_H

#include <bitcask/bitcask.h>

enum {
    KEY_SIZE = 16,
    RECORD_SIZE = 128,
    HEADER_SIZE = 28, /* of a record */
    ROUNDS_MAX = 9
};

void measure_latency(void);

/* The full size of something, or with --quick a small one. */
uint64_t measure_sized(uint64_t full, uint64_t small);

void measure_check(enum bitcask_status status, const char *what);
void measure_check_that(bool condition, const char *what);
/* Zeroed; goes to free(). */
void *measure_allocate(size_t count, size_t size);

uint64_t measure_now_ns(void);
void measure_sleep_ms(long ms);
/* Sorts @values. */
double measure_median(double *values, size_t count);

/* A new cask in the directory, and its end. */
struct bitcask *measure_create(const struct bitcask_options *options);
void measure_destroy(struct bitcask *cask);

void measure_key(uint64_t key, char text[KEY_SIZE + 1]);
void measure_put(struct bitcask *cask, uint64_t key, size_t value_size);
/* Each key twice, the second time a little later: half of every file is dead. */
void measure_fill_half_dead(struct bitcask *cask, uint64_t key_count);
struct bitcask_stat measure_stat_of(struct bitcask *cask);

#endif
