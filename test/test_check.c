/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <stdio.h>

#include "bitcask/check.h"

/* Only the sizes are looked at, so that no byte has to be there. */
static const char byte;

static void keys_have_one_to_65535_bytes(void **state)
{
    static const struct {
        const void *data;
        size_t size;
        enum bitcask_status status;
    } cases[] = {
        { &byte, 1, BITCASK_OK },
        { &byte, 65535, BITCASK_OK },
        { &byte, 0, BITCASK_MISUSE },
        { NULL, 0, BITCASK_MISUSE },
        { NULL, 1, BITCASK_MISUSE },
        { &byte, 65536, BITCASK_TOO_BIG },
        { &byte, 65537, BITCASK_TOO_BIG },
        { &byte, 131072, BITCASK_TOO_BIG },
        { &byte, SIZE_MAX, BITCASK_TOO_BIG },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct bitcask_slice key = { cases[i].data, cases[i].size };

        assert_status(bitcask_check_key(key), cases[i].status);
    }
}

static void values_have_up_to_a_gigabyte(void **state)
{
    static const struct {
        const void *data;
        size_t size;
        enum bitcask_status status;
    } cases[] = {
        { &byte, 0, BITCASK_OK },
        { NULL, 0, BITCASK_OK },
        { &byte, (size_t)1 << 30, BITCASK_OK },
        { NULL, 1, BITCASK_MISUSE },
        { &byte, ((size_t)1 << 30) + 1, BITCASK_TOO_BIG },
        { &byte, SIZE_MAX, BITCASK_TOO_BIG },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct bitcask_slice value = { cases[i].data, cases[i].size };

        assert_status(bitcask_check_value(value), cases[i].status);
    }
}

static void the_detail_says_how_much_is_too_much(void **state)
{
    struct bitcask_slice key = { &byte, 65536 };
    struct bitcask_slice value = { &byte, ((size_t)1 << 30) + 1 };

    (void)state;
    assert_status(bitcask_check_key(key), BITCASK_TOO_BIG);
    assert_detail("65536");
    assert_detail("65535");
    assert_status(bitcask_check_value(value), BITCASK_TOO_BIG);
    assert_detail("1073741825");
    assert_detail("1073741824");
}

static void every_reserved_byte_must_be_zero(void **state)
{
    unsigned char bytes[16] = { 0 };

    (void)state;
    assert_status(bitcask_check_reserved(bytes, sizeof bytes), BITCASK_OK);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = 1;
        assert_status(bitcask_check_reserved(bytes, sizeof bytes), BITCASK_MISUSE);
        bytes[i] = 0;
    }
}

static void an_absent_key_has_words(void **state)
{
    (void)state;
    assert_status(bitcask_fail_no_such_key(), BITCASK_NOT_FOUND);
    assert_detail("key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_have_one_to_65535_bytes),
        cmocka_unit_test(values_have_up_to_a_gigabyte),
        cmocka_unit_test(the_detail_says_how_much_is_too_much),
        cmocka_unit_test(every_reserved_byte_must_be_zero),
        cmocka_unit_test(an_absent_key_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
