/* SPDX-License-Identifier: MIT */
/*
 * Allocations that fail on demand. The unit tests are linked with --wrap for malloc,
 * calloc, realloc and aligned_alloc, so that calls in the library's objects and in the
 * tests come through test_alloc.c; those in shared libraries do not.
 *
 *     for (long n = 0;; n++) {
 *         test_alloc_fail(n);
 *         status = what_is_tested();
 *         if (test_alloc_stop() == 0)
 *             break; (it has not asked for memory so often: that was a whole run)
 *         assert_int_equal(status, BITCASK_NO_MEMORY);
 *     }
 *
 * Between fail and stop the test itself must not allocate. One thread at a time.
 */
#ifndef TEST_TEST_ALLOC_H
#define TEST_TEST_ALLOC_H

#include <stddef.h>

/* Let @skip allocations from now on succeed, and fail the one after them. */
void test_alloc_fail(long skip);

/* The same, and all that follow. */
void test_alloc_fail_from(long skip);

/* Fail none any more; how many have failed. */
long test_alloc_stop(void);

/* Bytes that were asked for since the program began, whatever became of them. */
size_t test_alloc_size(void);

/*
 * Allocations of the calling thread between the two neither count nor fail: those of
 * what takes the system's place. May be nested.
 */
void test_alloc_pause(void);
void test_alloc_resume(void);

#endif
