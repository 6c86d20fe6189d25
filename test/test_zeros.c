/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/zeros.h"
#include "test/test_alloc.h"

static const char name[] = "zeros";

static bitcask_file write_and_open(struct test_disk *disk, const void *bytes, size_t size)
{
    bitcask_file file = BITCASK_NO_FILE;

    test_disk_write(disk, name, bytes, size);
    assert_status(disk->io->open(disk->io, disk->directory, name, BITCASK_IO_READ, &file),
                  BITCASK_OK);
    return file;
}

static void zeros_are_counted_up_to_the_first_other_byte(void **state)
{
    uint8_t bytes[200];

    (void)state;
    for (size_t begin = 0; begin < 9; begin++) {
        for (size_t place = begin; place <= sizeof bytes; place++) {
            memset(bytes, 0, sizeof bytes);
            if (place < sizeof bytes)
                bytes[place] = 0x80;
            assert_int_equal(bitcask_zeros_count(bytes + begin, sizeof bytes - begin),
                             place - begin);
        }
    }
}

/* Where there is nothing else, in both directions, around every size of a read. */
static void a_byte_that_is_no_zero_is_found_from_both_sides(void **state)
{
    static const size_t places[] = { 0,   1,   63,     64,     511,    512,     513,
                                     700, 999, 262655, 262656, 262657, 1000000, 1048575 };
    const size_t size = 1 << 20;
    struct test_disk *disk = *state;
    uint8_t *bytes = calloc(1, size);

    for (size_t i = 0; i < LENGTH_OF(places); i++) {
        uint64_t offset = 0;
        uint64_t end = size;
        bitcask_file file;
        bool found;

        bytes[places[i]] = 1;
        file = write_and_open(disk, bytes, size);
        assert_status(bitcask_zeros_skip(disk->io, file, &offset, UINT64_MAX, &found),
                      BITCASK_OK);
        assert_true(found);
        assert_int_equal(offset, places[i]);
        offset = 0; /* what is asked for ends just before it */
        assert_status(bitcask_zeros_skip(disk->io, file, &offset, places[i], &found),
                      BITCASK_OK);
        assert_false(found);
        assert_int_equal(offset, places[i]);
        offset = places[i] + 1; /* or begins just behind it */
        assert_status(bitcask_zeros_skip(disk->io, file, &offset, size, &found),
                      BITCASK_OK);
        assert_false(found);
        assert_int_equal(offset, size);

        assert_status(bitcask_zeros_trim(disk->io, file, &end), BITCASK_OK);
        assert_int_equal(end, places[i] + 1);
        end = places[i];
        assert_status(bitcask_zeros_trim(disk->io, file, &end), BITCASK_OK);
        assert_int_equal(end, 0);
        disk->io->close(disk->io, file);
        bytes[places[i]] = 0;
    }
    free(bytes);
}

static void a_file_without_a_byte_has_none_that_is_no_zero(void **state)
{
    struct test_disk *disk = *state;
    bitcask_file file = write_and_open(disk, "", 0);
    uint64_t offset = 7;
    uint64_t end = 0;
    bool found = true;

    assert_status(bitcask_zeros_skip(disk->io, file, &offset, 100, &found), BITCASK_OK);
    assert_false(found);
    assert_int_equal(offset, 7);
    assert_status(bitcask_zeros_trim(disk->io, file, &end), BITCASK_OK);
    assert_int_equal(end, 0);
    disk->io->close(disk->io, file);
}

static void a_failure_is_no_answer(void **state)
{
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_READ), .skip = 1 };
    struct test_disk *disk = *state;
    uint8_t bytes[2048] = { 0 };
    bitcask_file file = write_and_open(disk, bytes, sizeof bytes);
    uint64_t offset = 0;
    uint64_t end = sizeof bytes;
    bool found = false;

    fault_io_arm(&disk->fault, &plan);
    assert_status(bitcask_zeros_skip(disk->io, file, &offset, sizeof bytes, &found),
                  BITCASK_IO);
    fault_io_arm(&disk->fault, &plan);
    assert_status(bitcask_zeros_trim(disk->io, file, &end), BITCASK_IO);
    fault_io_disarm(&disk->fault);

    test_alloc_fail(0);
    offset = 0;
    assert_status(bitcask_zeros_skip(disk->io, file, &offset, sizeof bytes, &found),
                  BITCASK_NO_MEMORY);
    assert_int_equal(test_alloc_stop(), 1);
    test_alloc_fail(0);
    end = sizeof bytes;
    assert_status(bitcask_zeros_trim(disk->io, file, &end), BITCASK_NO_MEMORY);
    assert_int_equal(test_alloc_stop(), 1);
    disk->io->close(disk->io, file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeros_are_counted_up_to_the_first_other_byte),
        disk_test(a_byte_that_is_no_zero_is_found_from_both_sides),
        disk_test(a_file_without_a_byte_has_none_that_is_no_zero),
        disk_test(a_failure_is_no_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
