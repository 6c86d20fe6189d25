/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <stdio.h>
#include <string.h>

#include "bitcask/file_name.h"

static void names_are_built_with_ten_digits_or_more(void **state)
{
    static const struct {
        uint64_t id;
        const char *data, *hint, *temporary;
    } cases[] = {
        { 1, "0000000001.data", "0000000001.hint", "0000000001.hint.tmp" },
        { 7654321, "0007654321.data", "0007654321.hint", "0007654321.hint.tmp" },
        { 9999999999, "9999999999.data", "9999999999.hint", "9999999999.hint.tmp" },
        { 10000000000, "10000000000.data", "10000000000.hint", "10000000000.hint.tmp" },
        { UINT64_MAX, "18446744073709551615.data", "18446744073709551615.hint",
          "18446744073709551615.hint.tmp" },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        char name[BITCASK_NAME_SIZE];
        uint64_t id = 0;

        bitcask_data_name(name, cases[i].id);
        assert_string_equal(name, cases[i].data);
        assert_int_equal(bitcask_name_parse(name, &id), BITCASK_NAME_DATA);
        assert_int_equal(id, cases[i].id);

        id = 0;
        bitcask_hint_name(name, cases[i].id);
        assert_string_equal(name, cases[i].hint);
        assert_int_equal(bitcask_name_parse(name, &id), BITCASK_NAME_HINT);
        assert_int_equal(id, cases[i].id);

        bitcask_hint_temporary_name(name, cases[i].id);
        assert_string_equal(name, cases[i].temporary);
        assert_int_equal(bitcask_name_parse(name, &id), BITCASK_NAME_TEMPORARY);
    }
}

static void names_without_a_number_are_known(void **state)
{
    uint64_t id = 4711;

    (void)state;
    assert_int_equal(bitcask_name_parse("MANIFEST", &id), BITCASK_NAME_MANIFEST);
    assert_int_equal(bitcask_name_parse("MANIFEST.tmp", &id), BITCASK_NAME_TEMPORARY);
    assert_int_equal(bitcask_name_parse("LOCK", &id), BITCASK_NAME_LOCK);
    assert_int_equal(bitcask_name_parse("RESERVE", &id), BITCASK_NAME_RESERVE);
    assert_int_equal(bitcask_name_parse("quarantine", &id), BITCASK_NAME_QUARANTINE);
    assert_string_equal(BITCASK_MANIFEST_NAME, "MANIFEST");
    assert_string_equal(BITCASK_MANIFEST_TEMPORARY_NAME, "MANIFEST.tmp");
    assert_string_equal(BITCASK_LOCK_NAME, "LOCK");
    assert_int_equal(id, 4711);
}

static void everything_else_is_foreign(void **state)
{
    static const char *const names[] = {
        "",
        ".",
        "..",
        "7",
        "7.data",
        "007.data",
        "000000007.data",
        "00000000007.data",
        "0000000000.data",
        "0000000000.hint",
        "0000000000.hint.tmp",
        "0000000007",
        "0000000007.",
        "0000000007.dat",
        "0000000007.datA",
        "0000000007.data ",
        "0000000007.data.tmp",
        "0000000007.data.gz",
        "0000000007.hint.",
        "0000000007.hint.tm",
        "0000000007.hint.tmp.tmp",
        "0000000007data",
        " 0000000007.data",
        "+0000000007.data",
        "-0000000007.data",
        "0x00000007.data",
        "000000000a.data",
        "010000000000.data",
        "18446744073709551616.data",
        "18446744073709551617.data",
        "99999999999999999999.data",
        "184467440737095516150.data",
        "100000000000000000000000000000000000000000000000000000000000.data",
        "manifest",
        "MANIFEST ",
        "MANIFEST.",
        "MANIFEST.TMP",
        "MANIFEST.tmp.tmp",
        "lock",
        "QUARANTINE",
        "quarantine/",
        "quarantine.tmp",
        "LOCK.tmp",
        ".data",
        ".hint",
        "data",
        "lost+found",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(names); i++) {
        uint64_t id;

        if (bitcask_name_parse(names[i], &id) != BITCASK_NAME_FOREIGN)
            print_error("\"%s\" is taken for one of ours\n", names[i]);
        assert_int_equal(bitcask_name_parse(names[i], &id), BITCASK_NAME_FOREIGN);
    }
}

/* Names sort by age, up to the ids that nobody will live to see. */
static void a_listing_is_in_order_of_age(void **state)
{
    (void)state;
    for (uint64_t id = 1; id < 9999999999 / 7; id = id * 7 + 3) {
        char older[BITCASK_NAME_SIZE], newer[BITCASK_NAME_SIZE];

        bitcask_data_name(older, id);
        bitcask_data_name(newer, id + 1);
        assert_true(strcmp(older, newer) < 0);
        bitcask_data_name(newer, id * 7);
        assert_true(strcmp(older, newer) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_built_with_ten_digits_or_more),
        cmocka_unit_test(names_without_a_number_are_known),
        cmocka_unit_test(everything_else_is_foreign),
        cmocka_unit_test(a_listing_is_in_order_of_age),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
