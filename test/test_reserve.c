/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/reserve.h"
#include "test/sim_disk.h"

static void begin(struct bitcask_reserve *reserve, struct test_disk *disk)
{
    bitcask_reserve_init(reserve, disk->io, disk->directory);
}

static void fail_with(struct test_disk *disk, enum fault_call call,
                      enum bitcask_status status, size_t partial_size)
{
    const struct fault_plan plan = { .calls = FAULT_BIT(call),
                                     .count = FAULT_FOREVER,
                                     .status = status,
                                     .error = status == BITCASK_NO_SPACE ? ENOSPC : EIO,
                                     .partial_size = partial_size };

    fault_io_arm(&disk->fault, &plan);
}

static void expect_file(const struct test_disk *disk, uint64_t size)
{
    assert_true(test_disk_has(disk, BITCASK_RESERVE_NAME));
    assert_int_equal(test_disk_size(disk, BITCASK_RESERVE_NAME), size);
}

static void small_casks_have_none(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_reserve reserve;

    begin(&reserve, disk);
    bitcask_reserve_keep(&reserve, 0);
    bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM - 1);
    assert_int_equal(test_disk_count(disk), 0);
    assert_false(bitcask_reserve_use(&reserve));
    assert_status(bitcask_reserve_restore(&reserve), BITCASK_OK);
    assert_int_equal(test_disk_count(disk), 0);
    assert_int_equal(fault_io_open_count(&disk->fault), 1); /* the directory */
}

static void larger_ones_have_zeros_set_aside_once(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_reserve reserve;
    struct bitcask_buffer bytes = { 0 };
    long writes;

    begin(&reserve, disk);
    bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM);
    expect_file(disk, BITCASK_RESERVE_SIZE);
    test_disk_read(disk, BITCASK_RESERVE_NAME, &bytes);
    for (size_t i = 0; i < bytes.size; i++)
        assert_int_equal(((const uint8_t *)bytes.data)[i], 0);
    bitcask_buffer_release(&bytes);

    writes = fault_io_count(&disk->fault, FAULT_WRITE);
    bitcask_reserve_keep(&reserve, 10 * BITCASK_RESERVE_FROM);
    begin(&reserve, disk); /* as the next process does */
    bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM);
    assert_int_equal(fault_io_count(&disk->fault, FAULT_WRITE), writes);
    assert_int_equal(fault_io_open_count(&disk->fault), 1);
}

static void its_space_is_given_up_once_and_restored(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_reserve reserve;

    begin(&reserve, disk);
    bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM);
    for (int round = 0; round < 3; round++) {
        assert_true(bitcask_reserve_use(&reserve));
        expect_file(disk, 0);
        assert_false(bitcask_reserve_use(&reserve));
        /* Not by keeping, which would take what is needed right now. */
        bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM);
        expect_file(disk, 0);
        assert_status(bitcask_reserve_restore(&reserve), BITCASK_OK);
        expect_file(disk, BITCASK_RESERVE_SIZE);
    }
    assert_int_equal(fault_io_open_count(&disk->fault), 1);
}

static void the_next_process_knows_that_it_was_used(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_reserve reserve;

    begin(&reserve, disk);
    bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM);
    assert_true(bitcask_reserve_use(&reserve));

    begin(&reserve, disk);
    assert_false(bitcask_reserve_use(&reserve));
    fail_with(disk, FAULT_WRITE, BITCASK_NO_SPACE, 0);
    assert_status(bitcask_reserve_restore(&reserve), BITCASK_NO_SPACE);
    fault_io_disarm(&disk->fault);
    assert_status(bitcask_reserve_restore(&reserve), BITCASK_OK);
    expect_file(disk, BITCASK_RESERVE_SIZE);
}

static void one_that_was_cut_off_is_none(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_reserve reserve;

    test_disk_write(disk, BITCASK_RESERVE_NAME, "zeros", 5);
    begin(&reserve, disk);
    assert_false(bitcask_reserve_use(&reserve));
    assert_status(bitcask_reserve_restore(&reserve), BITCASK_OK);
    expect_file(disk, BITCASK_RESERVE_SIZE);
}

static void while_the_disk_is_full_it_is_not_restored(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_reserve reserve;

    begin(&reserve, disk);
    bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM);
    assert_true(bitcask_reserve_use(&reserve));
    fail_with(disk, FAULT_WRITE, BITCASK_NO_SPACE, 4096);
    for (int i = 0; i < 3; i++) {
        assert_status(bitcask_reserve_restore(&reserve), BITCASK_NO_SPACE);
        assert_detail("the disk is full");
        expect_file(disk, 0); /* and takes nothing from others meanwhile */
        assert_false(bitcask_reserve_use(&reserve));
    }
    fault_io_disarm(&disk->fault);
    assert_status(bitcask_reserve_restore(&reserve), BITCASK_OK);
    expect_file(disk, BITCASK_RESERVE_SIZE);
    assert_true(bitcask_reserve_use(&reserve));
}

/* The cask had none yet; puts wait all the same until there is one. */
static void a_full_disk_is_noticed_when_it_is_first_set_aside(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_reserve reserve;

    begin(&reserve, disk);
    fail_with(disk, FAULT_WRITE, BITCASK_NO_SPACE, 100);
    bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM);
    assert_false(bitcask_reserve_use(&reserve));
    assert_status(bitcask_reserve_restore(&reserve), BITCASK_NO_SPACE);
    fault_io_disarm(&disk->fault);
    assert_status(bitcask_reserve_restore(&reserve), BITCASK_OK);
    assert_true(bitcask_reserve_use(&reserve));
}

/* A reserve is an extra: whatever else fails, nobody has to wait for it. */
static void other_failures_do_no_harm(void **state)
{
    static const enum fault_call calls[] = { FAULT_OPEN, FAULT_WRITE, FAULT_TRUNCATE,
                                             FAULT_SIZE };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(calls); i++) {
        struct bitcask_reserve reserve;

        printf("  call %d\n", (int)calls[i]);
        test_disk_clear(disk);
        fail_with(disk, calls[i], BITCASK_IO, 100);
        begin(&reserve, disk);
        bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM);
        assert_int_equal(bitcask_reserve_use(&reserve), calls[i] == FAULT_SIZE);
        assert_status(bitcask_reserve_restore(&reserve), BITCASK_OK);
        fault_io_disarm(&disk->fault);
        assert_int_equal(fault_io_open_count(&disk->fault), 1);
    }
}

static void giving_it_up_may_fail(void **state)
{
    static const enum fault_call calls[] = { FAULT_OPEN, FAULT_TRUNCATE };
    struct test_disk *disk = *state;
    struct bitcask_reserve reserve;

    begin(&reserve, disk);
    bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM);
    for (size_t i = 0; i < LENGTH_OF(calls); i++) {
        fail_with(disk, calls[i], BITCASK_IO, 0);
        assert_false(bitcask_reserve_use(&reserve));
        expect_file(disk, BITCASK_RESERVE_SIZE);
        fault_io_disarm(&disk->fault);
    }
    assert_true(bitcask_reserve_use(&reserve)); /* the next may be luckier */
    expect_file(disk, 0);
    assert_int_equal(fault_io_open_count(&disk->fault), 1);
}

/* For what it is there: the last bytes of a disk. */
static void there_is_room_for_what_gives_room(void **state)
{
    struct sim_disk *sim = sim_disk_new(1);
    struct bitcask_io *io = sim_disk_io(sim);
    static const uint8_t bytes[BITCASK_RESERVE_SIZE];
    struct bitcask_slice part = { bytes, sizeof bytes };
    struct bitcask_reserve reserve;
    bitcask_file directory, file;

    (void)state;
    assert_status(io->directory_create(io, "/cask"), BITCASK_OK);
    assert_status(io->directory_open(io, "/cask", &directory), BITCASK_OK);
    bitcask_reserve_init(&reserve, io, directory);
    bitcask_reserve_keep(&reserve, BITCASK_RESERVE_FROM);
    sim_disk_set_capacity(sim, BITCASK_RESERVE_SIZE);
    assert_status(io->open(io, directory, "other", BITCASK_IO_CREATE, &file), BITCASK_OK);
    assert_status(io->write(io, file, 0, &part, 1), BITCASK_NO_SPACE);
    assert_true(bitcask_reserve_use(&reserve));
    assert_status(io->write(io, file, 0, &part, 1), BITCASK_OK);
    assert_status(bitcask_reserve_restore(&reserve), BITCASK_NO_SPACE);
    assert_status(io->truncate(io, file, 0), BITCASK_OK);
    assert_status(bitcask_reserve_restore(&reserve), BITCASK_OK);
    io->close(io, file);
    io->close(io, directory);
    assert_int_equal(sim_disk_open_count(sim), 0);
    sim_disk_free(sim);
}

/* As in a cask that was opened read-only. */
static void a_zeroed_one_is_none(void **state)
{
    struct bitcask_reserve reserve = { .io = NULL };

    (void)state;
    bitcask_reserve_keep(&reserve, UINT64_MAX);
    assert_false(bitcask_reserve_use(&reserve));
    assert_status(bitcask_reserve_restore(&reserve), BITCASK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(small_casks_have_none),
        disk_test(larger_ones_have_zeros_set_aside_once),
        disk_test(its_space_is_given_up_once_and_restored),
        disk_test(the_next_process_knows_that_it_was_used),
        disk_test(one_that_was_cut_off_is_none),
        disk_test(while_the_disk_is_full_it_is_not_restored),
        disk_test(a_full_disk_is_noticed_when_it_is_first_set_aside),
        disk_test(other_failures_do_no_harm),
        disk_test(giving_it_up_may_fail),
        cmocka_unit_test(there_is_room_for_what_gives_room),
        cmocka_unit_test(a_zeroed_one_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
