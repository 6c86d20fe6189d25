/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/status.h"

static const enum bitcask_status statuses[] = {
    BITCASK_OK,      BITCASK_NOT_FOUND, BITCASK_IO,        BITCASK_CORRUPT,
    BITCASK_LOCKED,  BITCASK_READ_ONLY, BITCASK_NO_MEMORY, BITCASK_NO_SPACE,
    BITCASK_TOO_BIG, BITCASK_MISUSE,    BITCASK_FAILED,    BITCASK_UNSUPPORTED,
};

static void every_status_has_a_phrase_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_OF(statuses); i++) {
        const char *text = bitcask_status_text(statuses[i]);

        assert_non_null(text);
        assert_true(strlen(text) > 2 && strlen(text) < 60);
        assert_int_equal(statuses[i], -(int)i); /* the numbers are for ever */
        for (size_t other = 0; other < i; other++)
            assert_string_not_equal(text, bitcask_status_text(statuses[other]));
    }
}

static void an_unknown_status_has_a_phrase_too(void **state)
{
    static const int unknown[] = { 1, -12, 1000, -1000 };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(unknown); i++) {
        const char *text = bitcask_status_text((enum bitcask_status)unknown[i]);

        assert_non_null(text);
        assert_true(strlen(text) > 2);
        for (size_t known = 0; known < LENGTH_OF(statuses); known++)
            assert_string_not_equal(text, bitcask_status_text(statuses[known]));
    }
}

static void there_is_no_detail_before_the_first_failure(void **state)
{
    (void)state;
    assert_string_equal(bitcask_error_detail(), "");
}

static void the_detail_is_that_of_the_last_failure(void **state)
{
    static const char constant[] = "said without formatting";

    (void)state;
    assert_int_equal(bitcask_fail(BITCASK_CORRUPT, "%d.data, offset %d", 7, 64),
                     BITCASK_CORRUPT);
    assert_string_equal(bitcask_error_detail(), "7.data, offset 64");
    assert_int_equal(bitcask_fail_constant(BITCASK_MISUSE, constant), BITCASK_MISUSE);
    assert_ptr_equal(bitcask_error_detail(), constant);
    assert_int_equal(bitcask_fail_memory(4711), BITCASK_NO_MEMORY);
    assert_detail("4711");
    assert_int_equal(bitcask_fail(BITCASK_IO, "%s", ""), BITCASK_IO);
    assert_string_equal(bitcask_error_detail(), "");
}

static void the_words_for_errno_come_behind_and_errno_stays(void **state)
{
    static const int errors[] = { ENOSPC, EACCES, EIO };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(errors); i++) {
        char expected[200];

        (void)snprintf(expected, sizeof expected, "write 7.data: %s",
                       strerror(errors[i]));
        errno = errors[i];
        assert_int_equal(bitcask_fail_errno(BITCASK_IO, "write %d.data", 7), BITCASK_IO);
        assert_int_equal(errno, errors[i]);
        assert_string_equal(bitcask_error_detail(), expected);
    }
    errno = 999999; /* which has no words */
    assert_int_equal(bitcask_fail_errno(BITCASK_IO, "write"), BITCASK_IO);
    assert_detail("999999");
}

static void a_detail_may_quote_the_one_before(void **state)
{
    (void)state;
    (void)bitcask_fail(BITCASK_IO, "first");
    (void)bitcask_fail(BITCASK_IO, "second, after: %s", bitcask_error_detail());
    (void)bitcask_fail(BITCASK_IO, "third, after: %s", bitcask_error_detail());
    assert_string_equal(bitcask_error_detail(), "third, after: second, after: first");
}

static void a_detail_that_is_too_long_is_cut(void **state)
{
    char words[2 * BITCASK_DETAIL_SIZE];

    (void)state;
    for (size_t size = BITCASK_DETAIL_SIZE - 60; size < sizeof words; size++) {
        size_t kept = size < BITCASK_DETAIL_SIZE ? size : BITCASK_DETAIL_SIZE - 1;

        memset(words, 'x', size);
        words[size] = '\0';
        (void)bitcask_fail(BITCASK_IO, "%s", words);
        assert_int_equal(strlen(bitcask_error_detail()), kept);
        assert_memory_equal(bitcask_error_detail(), words, kept);

        errno = EIO;
        (void)bitcask_fail_errno(BITCASK_IO, "%s", words);
        assert_true(strlen(bitcask_error_detail()) < BITCASK_DETAIL_SIZE);
        assert_memory_equal(bitcask_error_detail(), words, kept);
        if (size + 1 >= sizeof words)
            break;
    }
}

static void *fail_elsewhere(void *context)
{
    char *detail_before = context;

    (void)snprintf(detail_before, 64, "%s", bitcask_error_detail());
    (void)bitcask_fail(BITCASK_IO, "another thread's");
    return NULL;
}

static void each_thread_has_a_detail_of_its_own(void **state)
{
    char detail_before[64] = "not set";
    pthread_t thread;

    (void)state;
    (void)bitcask_fail(BITCASK_IO, "this thread's");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, detail_before), 0);
    (void)pthread_join(thread, NULL);
    assert_string_equal(detail_before, "");
    assert_string_equal(bitcask_error_detail(), "this thread's");
}

static void the_version_is_three_numbers(void **state)
{
    int major, minor, patch;
    char behind;

    (void)state;
    assert_int_equal(
        sscanf(bitcask_version(), "%d.%d.%d%c", &major, &minor, &patch, &behind), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_no_detail_before_the_first_failure), /* the first */
        cmocka_unit_test(every_status_has_a_phrase_of_its_own),
        cmocka_unit_test(an_unknown_status_has_a_phrase_too),
        cmocka_unit_test(the_detail_is_that_of_the_last_failure),
        cmocka_unit_test(the_words_for_errno_come_behind_and_errno_stays),
        cmocka_unit_test(a_detail_may_quote_the_one_before),
        cmocka_unit_test(a_detail_that_is_too_long_is_cut),
        cmocka_unit_test(each_thread_has_a_detail_of_its_own),
        cmocka_unit_test(the_version_is_three_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
