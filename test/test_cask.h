/* SPDX-License-Identifier: MIT */
/*
 * What tests of the verbs need on top of test_support.h: casks of text on a test_disk,
 * images of a whole directory, a history of which every prefix can be recognised, and
 * children to fork.
 */
#ifndef TEST_TEST_CASK_H
#define TEST_TEST_CASK_H

#include "bitcask/cask.h"
#include "test/test_support.h"

/* Files of 4 KiB, no threads. */
extern const struct bitcask_options small_files;

/* The first segments that a new cask has. */
#define FIRST_DATA "0000000001.data"
#define FIRST_HINT "0000000001.hint"

/* These assert that all goes well. @options NULL: small_files. */
struct bitcask *test_cask_open(struct test_disk *disk,
                               const struct bitcask_options *options);
struct bitcask *test_cask_open_read_only(struct test_disk *disk);
void test_cask_close(struct bitcask *cask);
void test_cask_put(struct bitcask *cask, const char *key, const char *value);
void test_cask_delete(struct bitcask *cask, const char *key);
/* Get and exists say that @key has @value; NULL: that there is no such key. */
void test_cask_expect(struct bitcask *cask, const char *key, const char *value);
struct bitcask_stat test_cask_stat(struct bitcask *cask);

/* Open what must not open: says how, and that nothing came of it. */
enum bitcask_status test_cask_refused(struct test_disk *disk,
                                      const struct bitcask_options *options);

/*
 * From now on the syncs of @disk do nothing, take no time, and are not counted: for
 * tests that open a cask thousands of times.
 */
void test_disk_skip_syncs(struct test_disk *disk);

/*
 * A HISTORY: write number 1, 2, ... is always the same put or delete, and succeeds, so
 * that its number is the sequence of its record. The keys are HISTORY_KEY_COUNT.
 */
enum {
    HISTORY_KEY_COUNT = 23
};
/* Make the writes @from to @to, both included. */
void test_history_write(struct bitcask *cask, uint64_t from, uint64_t to);
/* One of them, with whatever status it has. */
enum bitcask_status test_history_try(struct bitcask *cask, uint64_t number);
/* Assert that @cask holds exactly the first writes of the history; how many. */
uint64_t test_history_check(struct bitcask *cask);

/*
 * A directory in memory, with the files of its sub-directories, as "quarantine/1.data".
 * Zeroed is released.
 */
struct test_image_file {
    char name[64];
    uint8_t *bytes;
    size_t size;
    struct timespec modified;
};
struct test_image {
    struct test_image_file *files;
    size_t count;
};
/* Replaces what @image holds. */
void test_image_take(struct test_image *image, const char *path);
void test_image_release(struct test_image *image);
/* Make the directory of @disk the same, apart from times. */
void test_image_restore(const struct test_image *image, const struct test_disk *disk);
/* Assert that nothing has changed since: no name, size, byte or time of a change. */
void test_image_unchanged(const struct test_image *image, const char *path);
/* NULL: there is none. */
struct test_image_file *test_image_find(const struct test_image *image, const char *name);
/* The data file of the highest id; there is one. */
struct test_image_file *test_image_newest(const struct test_image *image);
/* How many names end in @suffix. */
size_t test_image_count(const struct test_image *image, const char *suffix);

/*
 * Run @function in a forked child, whose checks are made with child_check(); what it
 * returns is the child's exit status, and the result. CHILD_SKIPPED: it could not try,
 * and has said why. A child that hangs is ended by a signal, which is a failure.
 */
enum {
    CHILD_SKIPPED = 77,
    CHILD_SECONDS_MAX = 60
};
int test_in_child(int (*function)(void *context), void *context);
#define child_check(condition) test_child_check(condition, #condition, __FILE__, __LINE__)
void test_child_check(bool condition, const char *words, const char *file, int line);

/* In the child, a user without rights. False: it cannot be had. */
bool test_drop_root(void);
/* In the child: mount an empty tmpfs of @options at @path, for it alone. */
bool test_mount_tmpfs(const char *path, const char *options);

#endif
