/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "test/test_alloc.h"

static void text_is_a_slice_without_its_terminator(void **state)
{
    const char *text = "1815";

    (void)state;
    assert_ptr_equal(bitcask_text(text).data, text);
    assert_int_equal(bitcask_text(text).size, 4);
    assert_int_equal(bitcask_text("").size, 0);
    assert_null(bitcask_text(NULL).data);
    assert_int_equal(bitcask_text(NULL).size, 0);
}

static void releasing_zeroes_and_can_be_repeated(void **state)
{
    struct bitcask_buffer buffer = { 0 };

    (void)state;
    bitcask_buffer_release(NULL);
    bitcask_buffer_release(&buffer);
    assert_status(bitcask_buffer_append(&buffer, "x", 1), BITCASK_OK);
    for (int i = 0; i < 2; i++) {
        bitcask_buffer_release(&buffer);
        assert_null(buffer.data);
        assert_int_equal(buffer.size, 0);
        assert_int_equal(buffer.capacity, 0);
    }
}

/* The byte behind the capacity is there as well: a sanitizer sees if not. */
static void what_is_reserved_can_be_written_and_a_byte_behind(void **state)
{
    static const size_t capacities[] = { 0, 1, 2, 63, 64, 65, 4096, 1000000 };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(capacities); i++) {
        struct bitcask_buffer buffer = { 0 };

        assert_status(bitcask_buffer_reserve(&buffer, capacities[i]), BITCASK_OK);
        assert_non_null(buffer.data);
        assert_true(buffer.capacity >= capacities[i]);
        assert_int_equal(buffer.size, 0);
        memset(buffer.data, 0xff, buffer.capacity + 1);
        bitcask_buffer_release(&buffer);
    }
}

static void reserving_keeps_the_content_and_never_shrinks(void **state)
{
    struct bitcask_buffer buffer = { 0 };
    const void *data;

    (void)state;
    assert_status(bitcask_buffer_append(&buffer, "1815", 4), BITCASK_OK);
    assert_status(bitcask_buffer_reserve(&buffer, 100000), BITCASK_OK);
    assert_int_equal(buffer.size, 4);
    assert_memory_equal(buffer.data, "1815", 4);
    data = buffer.data;
    for (size_t capacity = 0; capacity <= 100000; capacity += 25000) {
        assert_status(bitcask_buffer_reserve(&buffer, capacity), BITCASK_OK);
        assert_ptr_equal(buffer.data, data);
        assert_true(buffer.capacity >= 100000);
    }
    bitcask_buffer_release(&buffer);
}

static void appending_adds_behind(void **state)
{
    struct bitcask_buffer buffer = { 0 };
    uint8_t *bytes = test_noise(3000, 1);
    size_t size = 0;

    (void)state;
    assert_status(bitcask_buffer_append(&buffer, NULL, 0), BITCASK_OK);
    assert_non_null(buffer.data);
    for (size_t step = 0; size + step <= 3000; step++) {
        assert_status(bitcask_buffer_append(&buffer, bytes + size, step), BITCASK_OK);
        size += step;
        assert_int_equal(buffer.size, size);
        assert_true(buffer.capacity >= size);
        assert_memory_equal(buffer.data, bytes, size);
    }
    bitcask_buffer_release(&buffer);
    free(bytes);
}

static void growth_is_geometric(void **state)
{
    struct bitcask_buffer buffer = { 0 };
    size_t capacity = 0;
    int moves = 0;

    (void)state;
    for (size_t i = 0; i < 1000000; i++) {
        assert_status(bitcask_buffer_append(&buffer, "x", 1), BITCASK_OK);
        moves += buffer.capacity != capacity;
        capacity = buffer.capacity;
    }
    assert_true(moves < 40);
    assert_true(capacity < 4000000);
    bitcask_buffer_release(&buffer);
}

static void what_cannot_be_had_changes_nothing(void **state)
{
    struct bitcask_buffer buffer = { 0 };
    struct bitcask_buffer before;
    enum bitcask_status status;

    (void)state;
    for (int round = 0; round < 2; round++) {
        before = buffer;
        assert_status(bitcask_buffer_reserve(&buffer, SIZE_MAX), BITCASK_NO_MEMORY);
        assert_memory_equal(&buffer, &before, sizeof buffer);
        if (buffer.size > 0) {
            /* Sizes that overflow: nothing may be read from here. */
            assert_status(bitcask_buffer_append(&buffer, "x", SIZE_MAX),
                          BITCASK_NO_MEMORY);
            assert_status(bitcask_buffer_append(&buffer, "x", SIZE_MAX - buffer.size),
                          BITCASK_NO_MEMORY);
            assert_memory_equal(&buffer, &before, sizeof buffer);
        }

        test_alloc_fail(0);
        status = bitcask_buffer_reserve(&buffer, 1000);
        assert_int_equal(test_alloc_stop(), 1);
        assert_status(status, BITCASK_NO_MEMORY);
        assert_memory_equal(&buffer, &before, sizeof buffer);

        test_alloc_fail(0);
        status = bitcask_buffer_append(&buffer,
                                       "0123456789012345678901234567890123456789"
                                       "0123456789012345678901234567890123456789",
                                       80);
        assert_int_equal(test_alloc_stop(), 1);
        assert_status(status, BITCASK_NO_MEMORY);
        assert_memory_equal(&buffer, &before, sizeof buffer);
        assert_status(bitcask_buffer_append(&buffer, "kept", 4), BITCASK_OK);
    }
    assert_memory_equal(buffer.data, "keptkept", 8);
    bitcask_buffer_release(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_a_slice_without_its_terminator),
        cmocka_unit_test(releasing_zeroes_and_can_be_repeated),
        cmocka_unit_test(what_is_reserved_can_be_written_and_a_byte_behind),
        cmocka_unit_test(reserving_keeps_the_content_and_never_shrinks),
        cmocka_unit_test(appending_adds_behind),
        cmocka_unit_test(growth_is_geometric),
        cmocka_unit_test(what_cannot_be_had_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
