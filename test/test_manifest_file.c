/* SPDX-License-Identifier: MIT */
/* The MANIFEST as a file: read, and replaced atomically. test_manifest.c has its text. */
#include "test/test_support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/manifest.h"
#include "test/test_alloc.h"

/* A manifest that can be told from others by its number. */
static void numbered_init(struct bitcask_manifest *manifest, uint64_t number)
{
    struct bitcask_manifest_segment segment = {
        .state = BITCASK_MANIFEST_PREPARED,
        .id = 1,
        .salt = number,
    };

    bitcask_manifest_init(manifest);
    manifest->next_id = 2;
    manifest->key_count = number;
    assert_status(bitcask_manifest_add(manifest, &segment), BITCASK_OK);
}

static enum bitcask_status write_numbered(struct test_disk *disk, uint64_t number,
                                          bool *switched)
{
    struct bitcask_manifest manifest;
    enum bitcask_status status;

    numbered_init(&manifest, number);
    status = bitcask_manifest_write(&manifest, disk->io, disk->directory, switched);
    bitcask_manifest_release(&manifest);
    return status;
}

/* The number of the manifest on disk; it has to be whole. */
static uint64_t read_number(struct test_disk *disk)
{
    struct bitcask_manifest manifest;
    uint64_t number;

    bitcask_manifest_init(&manifest);
    assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                  BITCASK_OK);
    number = manifest.key_count;
    assert_int_equal(manifest.next_id, 2);
    assert_int_equal(manifest.segment_count, 1);
    assert_int_equal(manifest.segments[0].salt, number);
    bitcask_manifest_release(&manifest);
    return number;
}

static void what_is_written_is_read(void **state)
{
    struct test_disk *disk = *state;
    bool switched = false;

    assert_status(write_numbered(disk, 1, &switched), BITCASK_OK);
    assert_true(switched);
    assert_int_equal(read_number(disk), 1);
    assert_status(write_numbered(disk, 2, &switched), BITCASK_OK);
    assert_int_equal(read_number(disk), 2);
    assert_int_equal(test_disk_count(disk), 1); /* no temporary file is left */
}

static void the_file_is_the_text(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_manifest manifest;
    struct bitcask_buffer expected = { 0 }, bytes = { 0 };
    bool switched;

    numbered_init(&manifest, 5);
    assert_status(bitcask_manifest_format(&manifest, &expected), BITCASK_OK);
    assert_status(bitcask_manifest_write(&manifest, disk->io, disk->directory, &switched),
                  BITCASK_OK);
    test_disk_read(disk, "MANIFEST", &bytes);
    assert_int_equal(bytes.size, expected.size);
    assert_memory_equal(bytes.data, expected.data, expected.size);
    bitcask_buffer_release(&bytes);
    bitcask_buffer_release(&expected);
    bitcask_manifest_release(&manifest);
}

/* The order in which things must happen to be safe from power loss. */
struct order {
    enum fault_call calls[16];
    size_t count;
};

static void note_call(enum fault_call call, void *context)
{
    struct order *order = context;

    if (order->count < LENGTH_OF(order->calls))
        order->calls[order->count++] = call;
}

static void the_bytes_are_synced_before_the_name_and_the_name_after(void **state)
{
    static const enum fault_call expected[] = {
        FAULT_OPEN, FAULT_WRITE, FAULT_SYNC, FAULT_RENAME, FAULT_DIRECTORY_SYNC,
    };
    struct test_disk *disk = *state;
    struct order order = { .count = 0 };
    bool switched;

    disk->fault.before = note_call;
    disk->fault.before_context = &order;
    assert_status(write_numbered(disk, 1, &switched), BITCASK_OK);
    disk->fault.before = NULL;
    assert_int_equal(order.count, LENGTH_OF(expected));
    for (size_t i = 0; i < LENGTH_OF(expected); i++)
        assert_int_equal(order.calls[i], expected[i]);
}

/* At every call, with every amount of bytes written: the old list or the new one. */
static void a_failed_write_leaves_the_old_or_the_new(void **state)
{
    static const size_t partial_sizes[] = { 0, 1, 50, 1000 };
    struct test_disk *disk = *state;
    bool switched = false;
    uint64_t number = 1;

    assert_status(write_numbered(disk, number, &switched), BITCASK_OK);
    for (size_t i = 0; i < LENGTH_OF(partial_sizes); i++) {
        for (long n = 0;; n++) {
            struct fault_plan plan = {
                .calls = FAULT_ANY,
                .skip = n,
                .status = BITCASK_NO_SPACE,
                .error = ENOSPC,
                .partial_size = partial_sizes[i],
            };
            enum bitcask_status status;

            switched = n % 2 == 0; /* what it was before does not matter */
            fault_io_arm(&disk->fault, &plan);
            status = write_numbered(disk, number + 1, &switched);
            fault_io_disarm(&disk->fault);
            assert_false(test_disk_has(disk, "MANIFEST.tmp"));
            assert_int_equal(fault_io_open_count(&disk->fault), 1);
            if (fault_io_failure_count(&disk->fault) == 0) {
                assert_status(status, BITCASK_OK);
                assert_true(switched);
                assert_int_equal(read_number(disk), ++number);
                assert_true(n >= 5); /* open, write, sync, rename, directory sync */
                break;
            }
            assert_status(status, BITCASK_NO_SPACE);
            assert_detail("MANIFEST");
            assert_detail(strerror(ENOSPC));
            if (switched)
                number++;
            assert_int_equal(read_number(disk), number);
        }
    }
}

static void only_the_directory_sync_fails_after_the_switch(void **state)
{
    struct test_disk *disk = *state;
    struct fault_plan plan = { .calls = FAULT_BIT(FAULT_DIRECTORY_SYNC) };
    bool switched = false;

    fault_io_arm(&disk->fault, &plan);
    assert_status(write_numbered(disk, 1, &switched), BITCASK_IO);
    assert_true(switched);

    plan.calls = FAULT_BIT(FAULT_RENAME);
    fault_io_arm(&disk->fault, &plan);
    assert_status(write_numbered(disk, 2, &switched), BITCASK_IO);
    assert_false(switched);
    fault_io_disarm(&disk->fault);
    assert_int_equal(read_number(disk), 1);
}

static void a_failed_sync_is_not_tried_again(void **state)
{
    struct test_disk *disk = *state;
    struct fault_plan plan = { .calls = FAULT_BIT(FAULT_SYNC) };
    bool switched = true;

    fault_io_arm(&disk->fault, &plan);
    assert_status(write_numbered(disk, 1, &switched), BITCASK_IO);
    assert_int_equal(fault_io_count(&disk->fault, FAULT_SYNC), 1);
    assert_false(switched);
    assert_int_equal(test_disk_count(disk), 0);
}

static void a_temporary_file_of_a_dead_process_is_no_obstacle(void **state)
{
    struct test_disk *disk = *state;
    bool switched;

    test_disk_write(disk, "MANIFEST.tmp", "bitcask manifest 1\nfeatures 0\nhalf", 34);
    assert_status(write_numbered(disk, 3, &switched), BITCASK_OK);
    assert_int_equal(read_number(disk), 3);
    assert_int_equal(test_disk_count(disk), 1);
}

static void a_missing_file_is_not_found_and_an_empty_one_corrupt(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_manifest manifest;

    bitcask_manifest_init(&manifest);
    assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                  BITCASK_NOT_FOUND);
    assert_detail("MANIFEST");
    bitcask_manifest_release(&manifest);

    test_disk_write(disk, "MANIFEST", "", 0);
    bitcask_manifest_init(&manifest);
    assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                  BITCASK_CORRUPT);
    assert_detail("MANIFEST");
    bitcask_manifest_release(&manifest);
}

static void every_read_error_is_reported(void **state)
{
    struct test_disk *disk = *state;
    bool switched;
    long n;

    assert_status(write_numbered(disk, 3, &switched), BITCASK_OK);
    for (n = 0;; n++) {
        struct fault_plan plan = { .calls = FAULT_ANY, .skip = n };
        struct bitcask_manifest manifest;
        enum bitcask_status status;

        bitcask_manifest_init(&manifest);
        fault_io_arm(&disk->fault, &plan);
        status = bitcask_manifest_read(&manifest, disk->io, disk->directory);
        fault_io_disarm(&disk->fault);
        bitcask_manifest_release(&manifest);
        assert_int_equal(fault_io_open_count(&disk->fault), 1);
        if (fault_io_failure_count(&disk->fault) == 0) {
            assert_status(status, BITCASK_OK);
            break;
        }
        assert_status(status, BITCASK_IO);
        assert_detail("MANIFEST");
    }
    assert_int_equal(n, 3); /* open, size, read */
}

static void running_out_of_memory_leaves_the_old_file(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_manifest manifest;
    bool switched;

    assert_status(write_numbered(disk, 1, &switched), BITCASK_OK);
    numbered_init(&manifest, 2);
    for (long n = 0;; n++) {
        enum bitcask_status status;

        test_alloc_fail(n);
        status = bitcask_manifest_write(&manifest, disk->io, disk->directory, &switched);
        if (test_alloc_stop() == 0) {
            assert_status(status, BITCASK_OK);
            break;
        }
        assert_status(status, BITCASK_NO_MEMORY);
        assert_false(switched);
        assert_int_equal(read_number(disk), 1);
        assert_int_equal(test_disk_count(disk), 1);
    }
    bitcask_manifest_release(&manifest);

    for (long n = 0;; n++) {
        enum bitcask_status status;

        bitcask_manifest_init(&manifest);
        test_alloc_fail(n);
        status = bitcask_manifest_read(&manifest, disk->io, disk->directory);
        bitcask_manifest_release(&manifest);
        if (test_alloc_stop() == 0) {
            assert_status(status, BITCASK_OK);
            break;
        }
        assert_status(status, BITCASK_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(what_is_written_is_read),
        disk_test(the_file_is_the_text),
        disk_test(the_bytes_are_synced_before_the_name_and_the_name_after),
        disk_test(a_failed_write_leaves_the_old_or_the_new),
        disk_test(only_the_directory_sync_fails_after_the_switch),
        disk_test(a_failed_sync_is_not_tried_again),
        disk_test(a_temporary_file_of_a_dead_process_is_no_obstacle),
        disk_test(a_missing_file_is_not_found_and_an_empty_one_corrupt),
        disk_test(every_read_error_is_reported),
        disk_test(running_out_of_memory_leaves_the_old_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
