/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/number.h"

static void numbers_are_digits_and_nothing_else(void **state)
{
    static const char *const bad[] = { "",    " ",   "-1",  "+1",
                                       " 1",  "1 ",  "1k",  "x",
                                       "0x1", "1.0", "1e3", "18446744073709551616" };
    static const struct {
        const char *text;
        uint64_t number;
    } good[] = {
        { "0", 0 },
        { "0000000042", 42 },
        { "18446744073709551615", UINT64_MAX },
    };
    uint64_t number = 7;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(tool_number_parse(bad[i], &number));
        assert_int_equal(number, 7);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(tool_number_parse(good[i].text, &number));
        assert_int_equal(number, good[i].number);
    }
}

static void sizes_may_have_a_unit(void **state)
{
    static const char *const bad[] = { "",    "k",   "1 k",         "1kk",         "1x",
                                       "1kB", "-1k", "16777216T",   "1.5M",        "1P",
                                       "k1",  "1,0", "99999999G99", "17179869184G" };
    static const struct {
        const char *text;
        uint64_t size;
    } good[] = {
        { "0", 0 },
        { "4096", 4096 },
        { "1k", 1024 },
        { "2K", 2048 },
        { "3m", UINT64_C(3) << 20 },
        { "32M", UINT64_C(32) << 20 },
        { "5g", UINT64_C(5) << 30 },
        { "5G", UINT64_C(5) << 30 },
        { "16777215T", UINT64_C(16777215) << 40 },
        { "1t", UINT64_C(1) << 40 },
    };
    uint64_t size = 7;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(tool_size_parse(bad[i], &size));
        assert_int_equal(size, 7);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(tool_size_parse(good[i].text, &size));
        assert_int_equal(size, good[i].size);
    }
}

static void thousands_are_parted_by_commas(void **state)
{
    char text[TOOL_NUMBER_SIZE];

    (void)state;
    assert_string_equal(tool_number_print(0, text), "0");
    assert_string_equal(tool_number_print(999, text), "999");
    assert_string_equal(tool_number_print(1000, text), "1,000");
    assert_string_equal(tool_number_print(1234567, text), "1,234,567");
    assert_string_equal(tool_number_print(UINT64_MAX, text),
                        "18,446,744,073,709,551,615");
}

static void sizes_are_printed_in_the_unit_that_suits(void **state)
{
    char text[TOOL_NUMBER_SIZE];

    (void)state;
    assert_string_equal(tool_size_print(0, text), "0 bytes");
    assert_string_equal(tool_size_print(1023, text), "1023 bytes");
    assert_string_equal(tool_size_print(1024, text), "1.0 KiB");
    assert_string_equal(tool_size_print(1536 * 1024, text), "1.5 MiB");
    assert_string_equal(tool_size_print(UINT64_MAX, text), "16.0 EiB");
}

static void a_part_of_nothing_is_no_percent(void **state)
{
    (void)state;
    assert_int_equal((int)tool_percent(0, 0), 0);
    assert_int_equal((int)tool_percent(1, 4), 25);
    assert_int_equal((int)tool_percent(UINT64_MAX, UINT64_MAX), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_digits_and_nothing_else),
        cmocka_unit_test(sizes_may_have_a_unit),
        cmocka_unit_test(thousands_are_parted_by_commas),
        cmocka_unit_test(sizes_are_printed_in_the_unit_that_suits),
        cmocka_unit_test(a_part_of_nothing_is_no_percent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
