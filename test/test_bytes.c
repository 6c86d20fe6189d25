/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include "bitcask/bytes.h"

static void numbers_are_stored_with_their_low_byte_first(void **state)
{
    static const uint8_t expected[8] = { 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01 };
    uint8_t bytes[8];

    (void)state;
    bitcask_store64(bytes, UINT64_C(0x0102030405060708));
    assert_memory_equal(bytes, expected, 8);
    bitcask_store32(bytes, 0x05060708);
    assert_memory_equal(bytes, expected, 4);
    bitcask_store16(bytes, 0x0708);
    assert_memory_equal(bytes, expected, 2);

    assert_int_equal(bitcask_load64(expected), UINT64_C(0x0102030405060708));
    assert_int_equal(bitcask_load32(expected), 0x05060708);
    assert_int_equal(bitcask_load16(expected), 0x0708);
}

static void the_highest_bits_survive_at_any_alignment(void **state)
{
    static const uint64_t numbers[] = {
        0,          1,      0x7f,       0x80,       0xff,
        0x8000,     0xffff, 0x80000000, UINT32_MAX, UINT64_C(1) << 63,
        UINT64_MAX,
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(numbers); i++) {
        for (size_t at = 0; at < 8; at++) {
            uint8_t bytes[16];

            bitcask_store64(bytes + at, numbers[i]);
            assert_int_equal(bitcask_load64(bytes + at), numbers[i]);
            bitcask_store32(bytes + at, (uint32_t)numbers[i]);
            assert_int_equal(bitcask_load32(bytes + at), (uint32_t)numbers[i]);
            bitcask_store16(bytes + at, (uint16_t)numbers[i]);
            assert_int_equal(bitcask_load16(bytes + at), (uint16_t)numbers[i]);
        }
    }
}

static void a_store_touches_only_its_own_bytes(void **state)
{
    uint8_t bytes[10] = { 0 };

    (void)state;
    bitcask_store64(bytes + 1, UINT64_MAX);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[9], 0);
    bitcask_store32(bytes + 5, 0);
    assert_int_equal(bytes[4], 0xff);
    assert_int_equal(bytes[5] | bytes[6] | bytes[7] | bytes[8], 0);
    bitcask_store16(bytes + 1, 0);
    assert_int_equal(bytes[1] | bytes[2], 0);
    assert_int_equal(bytes[3], 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_stored_with_their_low_byte_first),
        cmocka_unit_test(the_highest_bits_survive_at_any_alignment),
        cmocka_unit_test(a_store_touches_only_its_own_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
