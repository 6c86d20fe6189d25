/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <string.h>

#include "bitcask/window.h"

static void a_window_has_what_lies_in_it_as_a_whole(void **state)
{
    const struct bitcask_window window = { .offset = 4096, .size = 8192 };
    static const struct {
        uint64_t offset;
        uint64_t size;
        bool has;
    } rows[] = {
        { 4096, 1, true },     { 4096, 8192, true },  { 4096, 8193, false },
        { 4095, 1, false },    { 4095, 2, false },    { 12287, 1, true },
        { 12287, 2, false },   { 12288, 1, false },   { 8192, 4096, true },
        { 8192, 4097, false }, { 0, 1 << 20, false },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(rows); i++)
        assert_int_equal(bitcask_window_has(&window, rows[i].offset, rows[i].size),
                         rows[i].has);
}

static void none_has_nothing(void **state)
{
    struct bitcask_window none = { 0 };

    (void)state;
    assert_false(bitcask_window_has(&none, 0, 1));
    assert_false(bitcask_window_has(&none, 4096, 1));
    bitcask_window_close(&none, bitcask_io_posix());
}

static void what_is_stored_lies_at_its_offset_in_the_file(void **state)
{
    const struct bitcask_slice parts[] = { { "abc", 3 }, { NULL, 0 }, { "de", 2 } };
    struct test_disk *disk = *state;
    struct bitcask_window window;
    bitcask_file file;
    char bytes[5];
    size_t got;
    enum bitcask_status status;

    assert_status(
        disk->io->open(disk->io, disk->directory, "file", BITCASK_IO_CREATE, &file),
        BITCASK_OK);
    status = bitcask_window_open(&window, disk->io, file, 4096, 4096, false);
    if (status == BITCASK_UNSUPPORTED) { /* not on this file system */
        disk->io->close(disk->io, file);
        skip();
    }
    assert_status(status, BITCASK_OK);
    assert_int_equal(fault_io_count(&disk->fault, FAULT_ALLOCATE), 1);
    bitcask_window_store(&window, disk->io, 8187, parts, LENGTH_OF(parts));
    bitcask_window_close(&window, disk->io);
    assert_int_equal(window.size, 0);
    assert_int_equal(test_disk_size(disk, "file"), 8192);
    assert_status(disk->io->read(disk->io, file, 8187, bytes, sizeof bytes, &got),
                  BITCASK_OK);
    assert_int_equal(got, sizeof bytes);
    assert_memory_equal(bytes, "abcde", sizeof bytes);
    disk->io->close(disk->io, file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_has_what_lies_in_it_as_a_whole),
        cmocka_unit_test(none_has_nothing),
        disk_test(what_is_stored_lies_at_its_offset_in_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
