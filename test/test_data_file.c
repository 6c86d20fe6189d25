/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/bytes.h"
#include "bitcask/data_file.h"

#define SALT UINT64_C(0x0123456789abcdef)

static const struct bitcask_file_header header = {
    .segment_id = 7,
    .salt = SALT,
    .created_ms = 1700000000000,
};
static const char name[] = "0000000007.data";

/* The header as it lies at the beginning of the file. */
static void encode(uint8_t bytes[BITCASK_FILE_HEADER_SIZE])
{
    bitcask_file_header_encode(&header, BITCASK_FILE_DATA, bytes);
}

static enum bitcask_status open_seven(struct test_disk *disk, bitcask_file *file,
                                      uint64_t *size, bool *torn)
{
    return bitcask_data_file_open(disk->io, disk->directory, 7, SALT, BITCASK_IO_READ,
                                  file, size, torn);
}

static void a_created_file_is_its_header(void **state)
{
    struct test_disk *disk = *state;
    uint8_t expected[BITCASK_FILE_HEADER_SIZE];
    struct bitcask_buffer bytes = { 0 };
    bitcask_file file = BITCASK_NO_FILE;

    assert_status(bitcask_data_file_create(disk->io, disk->directory, &header, &file),
                  BITCASK_OK);
    disk->io->close(disk->io, file);

    encode(expected);
    test_disk_read(disk, name, &bytes);
    assert_int_equal(bytes.size, sizeof expected);
    assert_memory_equal(bytes.data, expected, sizeof expected);
    assert_int_equal(test_disk_count(disk), 1);
    bitcask_buffer_release(&bytes);
}

static void creating_syncs_nothing_and_empties_what_was_there(void **state)
{
    struct test_disk *disk = *state;
    bitcask_file file = BITCASK_NO_FILE;

    test_disk_write(disk, name,
                    "left by a creation that was interrupted, and longer "
                    "than a header is: it does not belong to us any more",
                    100);
    assert_status(bitcask_data_file_create(disk->io, disk->directory, &header, &file),
                  BITCASK_OK);
    disk->io->close(disk->io, file);
    assert_int_equal(test_disk_size(disk, name), BITCASK_FILE_HEADER_SIZE);
    assert_int_equal(fault_io_count(&disk->fault, FAULT_SYNC), 0);
    assert_int_equal(fault_io_count(&disk->fault, FAULT_DIRECTORY_SYNC), 0);
}

static void a_created_file_can_be_written_and_opened_again(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_slice part = { "x", 1 };
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t size = 0;
    bool torn = true;

    assert_status(bitcask_data_file_create(disk->io, disk->directory, &header, &file),
                  BITCASK_OK);
    assert_status(disk->io->write(disk->io, file, 64, &part, 1), BITCASK_OK);
    disk->io->close(disk->io, file);

    assert_status(bitcask_data_file_open(disk->io, disk->directory, 7, SALT,
                                         BITCASK_IO_WRITE, &file, &size, &torn),
                  BITCASK_OK);
    assert_int_equal(size, 65);
    assert_false(torn);
    assert_status(disk->io->write(disk->io, file, 65, &part, 1), BITCASK_OK);
    disk->io->close(disk->io, file);
    assert_int_equal(test_disk_size(disk, name), 66);
}

static void a_failed_creation_leaves_no_file(void **state)
{
    static const size_t partial_sizes[] = { 0, 1, 8, 63, 64 };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(partial_sizes); i++) {
        for (long n = 0;; n++) {
            struct fault_plan plan = {
                .calls = FAULT_ANY,
                .skip = n,
                .status = BITCASK_NO_SPACE,
                .error = ENOSPC,
                .partial_size = partial_sizes[i],
            };
            bitcask_file file = BITCASK_NO_FILE;
            enum bitcask_status status;

            fault_io_arm(&disk->fault, &plan);
            status = bitcask_data_file_create(disk->io, disk->directory, &header, &file);
            fault_io_disarm(&disk->fault);
            if (fault_io_failure_count(&disk->fault) == 0) {
                assert_status(status, BITCASK_OK);
                assert_true(n >= 2); /* open, write */
                disk->io->close(disk->io, file);
                test_disk_clear(disk);
                break;
            }
            assert_status(status, BITCASK_NO_SPACE);
            assert_detail(name);
            assert_int_equal(fault_io_open_count(&disk->fault), 1); /* the directory */
            assert_int_equal(test_disk_count(disk), 0);
        }
    }
}

static void a_missing_file_is_not_found(void **state)
{
    struct test_disk *disk = *state;
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t size;
    bool torn = true;

    assert_status(open_seven(disk, &file, &size, &torn), BITCASK_NOT_FOUND);
    assert_detail(name);
    assert_false(torn);
}

/* Headers that are whole, but wrong. */
static void a_file_of_something_else_is_told_by_its_header(void **state)
{
    static const struct {
        const char *why;
        size_t offset;
        uint32_t value;
        enum bitcask_status status;
    } cases[] = {
        { "another id", 16, 8, BITCASK_CORRUPT },
        { "another id, far away", 20, 1, BITCASK_CORRUPT },
        { "another salt", 24, 1, BITCASK_CORRUPT },
        { "another half of a salt", 28, 1, BITCASK_CORRUPT },
        { "a newer version", 8, 2, BITCASK_UNSUPPORTED },
        { "an unknown feature", 12, 4, BITCASK_UNSUPPORTED },
    };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        uint8_t bytes[BITCASK_FILE_HEADER_SIZE + 36] = { 0 };
        bitcask_file file = BITCASK_NO_FILE;
        uint64_t size = 0;
        bool torn = true;

        encode(bytes);
        bitcask_store32(bytes + cases[i].offset, cases[i].value);
        bitcask_store32(bytes + 60, bitcask_check(0, bytes, 60));
        test_disk_write(disk, name, bytes, sizeof bytes);

        printf("  %s\n", cases[i].why);
        assert_status(open_seven(disk, &file, &size, &torn), cases[i].status);
        assert_false(torn); /* a power failure does not make such a header */
        assert_detail(name);
        if (cases[i].status == BITCASK_CORRUPT)
            assert_int_equal(size, sizeof bytes);
        assert_int_equal(fault_io_open_count(&disk->fault), 1);
    }
}

static void a_header_cut_off_anywhere_is_torn(void **state)
{
    struct test_disk *disk = *state;
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];

    encode(bytes);
    for (size_t cut = 0; cut < sizeof bytes; cut++) {
        bitcask_file file = BITCASK_NO_FILE;
        uint64_t size = UINT64_MAX;
        bool torn = false;

        test_disk_write(disk, name, bytes, cut);
        assert_status(open_seven(disk, &file, &size, &torn), BITCASK_CORRUPT);
        assert_true(torn);
        assert_int_equal(size, cut);
        assert_detail(name);
        assert_int_equal(fault_io_open_count(&disk->fault), 1);
    }
}

/* The size is there, the bytes are not: an ordinary outcome of power loss. */
static void a_header_that_ends_in_zeros_is_torn(void **state)
{
    struct test_disk *disk = *state;

    for (size_t whole = 0; whole < BITCASK_FILE_HEADER_SIZE; whole++) {
        uint8_t bytes[BITCASK_FILE_HEADER_SIZE + 50] = { 0 };
        bitcask_file file = BITCASK_NO_FILE;
        uint64_t size = 0;
        bool torn = false;

        encode(bytes);
        memset(bytes + whole, 0, sizeof bytes - whole);
        test_disk_write(disk, name, bytes, sizeof bytes);
        assert_status(open_seven(disk, &file, &size, &torn), BITCASK_CORRUPT);
        assert_true(torn);
        assert_int_equal(size, sizeof bytes);
    }
}

static void an_error_while_opening_is_no_answer_about_the_file(void **state)
{
    struct test_disk *disk = *state;
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];
    long n;

    encode(bytes);
    test_disk_write(disk, name, bytes, sizeof bytes);
    for (n = 0;; n++) {
        struct fault_plan plan = { .calls = FAULT_ANY, .skip = n };
        bitcask_file file = BITCASK_NO_FILE;
        uint64_t size = 0;
        bool torn = true;
        enum bitcask_status status;

        fault_io_arm(&disk->fault, &plan);
        status = open_seven(disk, &file, &size, &torn);
        fault_io_disarm(&disk->fault);
        if (fault_io_failure_count(&disk->fault) == 0) {
            assert_status(status, BITCASK_OK);
            assert_int_equal(size, sizeof bytes);
            disk->io->close(disk->io, file);
            break;
        }
        assert_status(status, BITCASK_IO);
        assert_detail(name);
        assert_detail(strerror(EIO));
        assert_false(torn);
        assert_int_equal(fault_io_open_count(&disk->fault), 1);
    }
    assert_int_equal(n, 3); /* open, size, read */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_created_file_is_its_header),
        disk_test(creating_syncs_nothing_and_empties_what_was_there),
        disk_test(a_created_file_can_be_written_and_opened_again),
        disk_test(a_failed_creation_leaves_no_file),
        disk_test(a_missing_file_is_not_found),
        disk_test(a_file_of_something_else_is_told_by_its_header),
        disk_test(a_header_cut_off_anywhere_is_torn),
        disk_test(a_header_that_ends_in_zeros_is_torn),
        disk_test(an_error_while_opening_is_no_answer_about_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
