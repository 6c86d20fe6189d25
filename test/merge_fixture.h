/* SPDX-License-Identifier: MIT */
/*
 * Casks of text on a simulated disk, for tests of merges. All of these assert that all
 * goes well.
 */
#ifndef TEST_MERGE_FIXTURE_H
#define TEST_MERGE_FIXTURE_H

#include "bitcask/cask.h"
#include "test/sim_disk.h"

enum {
    MERGE_TEST_FILES_MAX = 64
};

/* Nothing is synced unless a merge does it, and nothing happens by itself. */
extern const struct bitcask_options merge_test_options;

struct bitcask *merge_test_open(struct sim_disk *disk);
/* Close and open, without a hint. */
struct bitcask *merge_test_reopen(struct sim_disk *disk, struct bitcask *cask);
/* The end of both: nothing is left open. */
void merge_test_close(struct sim_disk *disk, struct bitcask *cask);

void merge_test_put(struct bitcask *cask, const char *key, const char *value);
void merge_test_delete(struct bitcask *cask, const char *key);
/* @value NULL: there is no such key. */
void merge_test_expect(struct bitcask *cask, const char *key, const char *value);
/* What is appended from here on goes to another file, behind one with only this. */
void merge_test_begin_file(struct bitcask *cask);

/* The data files. */
struct merge_test_listing {
    struct bitcask_segment_stat of[MERGE_TEST_FILES_MAX];
    size_t count;
};
struct merge_test_listing merge_test_list(struct bitcask *cask);
bool merge_test_is_file_of(struct bitcask *cask, uint64_t id);
/* The file that may hold the record of @sequence; of those appended, only one may. */
uint64_t merge_test_file_of(struct bitcask *cask, uint64_t sequence);
uint64_t merge_test_last_sequence(struct bitcask *cask);

/* Merge those @count files, or all. */
struct bitcask_merge_report merge_test_files(struct bitcask *cask, const uint64_t *ids,
                                             size_t count);
struct bitcask_merge_report merge_test_all(struct bitcask *cask);

#endif
