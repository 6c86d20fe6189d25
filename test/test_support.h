/* SPDX-License-Identifier: MIT */
/*
 * What most tests need: cmocka with the headers that it wants, an assertion that says
 * why, a directory that goes away again, and files in it to look at and to damage.
 *
 * Include it first.
 */
#ifndef TEST_TEST_SUPPORT_H
#define TEST_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bitcask/bitcask.h"
#include "bitcask/io.h"
#include "test/fault_io.h"

#define LENGTH_OF(array) (sizeof(array) / sizeof *(array))

/* As assert_int_equal(), but a failure shows words: both statuses, and the detail. */
#define assert_status(actual, expected) \
    test_assert_status(actual, expected, #actual, __FILE__, __LINE__)
void test_assert_status(enum bitcask_status actual, enum bitcask_status expected,
                        const char *expression, const char *file, int line);

/* The detail of the last failure has @words in it. */
#define assert_detail(words) test_assert_detail(words, __FILE__, __LINE__)
void test_assert_detail(const char *words, const char *file, int line);

/*
 * An empty directory under TMPDIR or /tmp, open through a fault_io that fails nothing
 * so far. As setup and teardown of a cmocka test: *state is the struct test_disk.
 * Teardown asserts that nothing is left open or mapped, and removes the directory.
 */
struct test_disk {
    struct fault_io fault;
    struct bitcask_io *io; /* of fault */
    bitcask_file directory;
    char path[256];
};

int test_disk_setup(void **state);
int test_disk_teardown(void **state);

#define disk_test(function) \
    cmocka_unit_test_setup_teardown(function, test_disk_setup, test_disk_teardown)

/*
 * Files of the directory, behind the back of the fault_io: these count as no call and
 * never fail, but stop the test.
 */
bool test_disk_has(const struct test_disk *disk, const char *name);
uint64_t test_disk_size(const struct test_disk *disk, const char *name);
/* How many names there are. */
size_t test_disk_count(const struct test_disk *disk);
void test_disk_write(const struct test_disk *disk, const char *name, const void *data,
                     size_t size);
/* Replaces what @out holds; it is the caller's to release. */
void test_disk_read(const struct test_disk *disk, const char *name,
                    struct bitcask_buffer *out);
void test_disk_truncate(const struct test_disk *disk, const char *name, uint64_t size);
/* Turn the bits of @mask in the byte at @offset. */
void test_disk_flip(const struct test_disk *disk, const char *name, uint64_t offset,
                    unsigned mask);
void test_disk_remove(const struct test_disk *disk, const char *name);
/* Remove everything in it. */
void test_disk_clear(const struct test_disk *disk);
/* Copy every file of the directory at @path into it. */
void test_disk_copy_from(const struct test_disk *disk, const char *path);

/* @size bytes that depend on @seed and look like nothing; allocated, goes to free(). */
uint8_t *test_noise(size_t size, uint64_t seed);

#endif
