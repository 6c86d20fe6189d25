/* SPDX-License-Identifier: MIT */
/*
 * Writes that the system refuses: the running store stays as it was, goes on as soon
 * as it can, and a reopen has exactly what was acknowledged. Promise 8.
 */
#include "test/test_cask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/test_alloc.h"

/* The cask holds @count writes, takes more, and has them all after a reopen. */
static void assert_goes_on(struct test_disk *disk, struct bitcask *cask, uint64_t count)
{
    assert_int_equal(test_history_check(cask), count);
    test_history_write(cask, count + 1, count + 3);
    assert_int_equal(test_history_check(cask), count + 3);
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    assert_int_equal(test_history_check(cask), count + 3);
    assert_int_equal(test_cask_stat(cask).cut_count, 0);
    test_cask_close(cask);
}

/* Also when no close comes, and the file is found as it lies. */
static void assert_image_has(struct test_disk *disk, uint64_t at_least, uint64_t at_most)
{
    struct bitcask *cask = test_cask_open(disk, NULL);
    uint64_t count = test_history_check(cask);

    assert_in_range(count, at_least, at_most);
    test_cask_close(cask);
}

static void a_write_that_fails_half_way_leaves_no_trace(void **state)
{
    struct test_disk *disk = *state;
    static const size_t partial_sizes[] = { 0, 1, 27, 28, 35, 60, SIZE_MAX };
    static const enum bitcask_status statuses[] = { BITCASK_NO_SPACE, BITCASK_IO };
    struct test_image image = { 0 };

    test_disk_skip_syncs(disk);
    disk->fault.no_allocate = true;
    for (size_t i = 0; i < LENGTH_OF(partial_sizes) * LENGTH_OF(statuses); i++) {
        struct fault_plan plan = {
            .calls = FAULT_BIT(FAULT_WRITE),
            .partial_size = partial_sizes[i / LENGTH_OF(statuses)],
            .status = statuses[i % LENGTH_OF(statuses)],
            .error = ENOSPC,
        };
        struct bitcask *cask;

        for (int again = 0; again <= 1; again++) {
            test_disk_clear(disk);
            cask = test_cask_open(disk, NULL);
            test_history_write(cask, 1, 6);
            fault_io_arm(&disk->fault, &plan);
            assert_status(test_history_try(cask, 7), plan.status);
            assert_detail(FIRST_DATA ", offset ");
            assert_detail(strerror(ENOSPC));
            fault_io_disarm(&disk->fault);
            if (again == 1)
                break;
            assert_int_equal(test_history_check(cask), 6);
            test_image_take(&image, disk->path);
            test_cask_close(cask);
            test_image_restore(&image, disk);
            assert_image_has(disk, 6, 7);
        }
        assert_goes_on(disk, cask, 6);
    }
    test_image_release(&image);
}

/* What cannot be cut off again could be taken for records later: no more writes. */
static void a_write_that_cannot_be_undone_ends_all_writing(void **state)
{
    struct test_disk *disk = *state;
    const struct fault_plan plan = {
        .calls = FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_TRUNCATE),
        .partial_size = 50,
        .count = 2,
        .status = BITCASK_NO_SPACE,
    };
    struct bitcask *cask;

    disk->fault.no_allocate = true;
    cask = test_cask_open(disk, NULL);
    test_history_write(cask, 1, 6);
    fault_io_arm(&disk->fault, &plan);
    assert_status(test_history_try(cask, 7), BITCASK_NO_SPACE);
    assert_int_equal(fault_io_failure_count(&disk->fault), 2);
    fault_io_disarm(&disk->fault);
    assert_status(test_history_try(cask, 7), BITCASK_FAILED);
    assert_int_equal(test_history_check(cask), 6);
    (void)bitcask_close(cask); /* what was acknowledged can still be synced */
    assert_image_has(disk, 6, 7);
}

/* Each call of writes that rotate, MANIFEST and hints and all, fails in turn. */
static void a_rotation_that_fails_harms_nothing(void **state)
{
    enum {
        BEFORE_COUNT = 20,
        WRITE_COUNT = 120 /* so many need more ids than a new cask has prepared */
    };
    struct test_disk *disk = *state;
    static const enum bitcask_status statuses[] = { BITCASK_NO_SPACE, BITCASK_IO };
    struct test_image image = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);
    long failed_count = 0;

    test_history_write(cask, 1, BEFORE_COUNT);
    test_cask_close(cask);
    test_image_take(&image, disk->path);
    for (size_t i = 0; i < LENGTH_OF(statuses); i++) {
        struct fault_plan plan = { .calls = FAULT_ANY & ~FAULT_BIT(FAULT_WRITE),
                                   .status = statuses[i] };
        long failures = 1;

        for (plan.skip = 0; failures > 0; plan.skip++) {
            uint64_t count = BEFORE_COUNT;
            enum bitcask_status status = BITCASK_OK;

            test_image_restore(&image, disk);
            cask = test_cask_open(disk, NULL);
            fault_io_arm(&disk->fault, &plan);
            while (status == BITCASK_OK && count < WRITE_COUNT) {
                status = test_history_try(cask, count + 1);
                count += status == BITCASK_OK;
            }
            failures = fault_io_failure_count(&disk->fault);
            fault_io_disarm(&disk->fault);
            failed_count += status != BITCASK_OK;

            assert_int_equal(test_history_check(cask), count);
            status = test_history_try(cask, count + 1);
            if (status == BITCASK_FAILED) {
                (void)bitcask_close(cask);
                assert_image_has(disk, count, count + 1);
            } else {
                assert_status(status, BITCASK_OK);
                assert_goes_on(disk, cask, count + 1);
            }
        }
    }
    assert_true(failed_count > 10);
    test_image_release(&image);
}

static void no_memory_for_a_write_harms_nothing(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    uint64_t count = 0;
    long refused = 0;

    for (int run = 0; run < 60; run++) {
        long failures = 1;

        for (long n = 0; failures > 0; n++) {
            enum bitcask_status status;

            test_alloc_fail(n);
            status = test_history_try(cask, count + 1);
            failures = test_alloc_stop();
            if (status != BITCASK_OK) {
                assert_status(status, BITCASK_NO_MEMORY);
                refused++;
            } else {
                count++;
            }
            assert_int_equal(test_cask_stat(cask).last_sequence, count);
        }
    }
    assert_true(refused > 0);
    assert_goes_on(disk, cask, count);
}

static void no_memory_for_reading_is_an_answer(void **state)
{
    struct test_disk *disk = *state;

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        struct bitcask_options options = small_files;
        struct bitcask_buffer value = { 0 };
        struct bitcask *cask;
        enum bitcask_status status = BITCASK_NO_MEMORY;
        long refused = 0;

        options.no_mapping = no_mapping != 0;
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        test_cask_put(cask, "key", "a value");
        for (long n = 0; status != BITCASK_OK; n++) {
            test_alloc_fail(n);
            status = bitcask_get(cask, bitcask_text("key"), &value);
            refused += test_alloc_stop();
            assert_true(status == BITCASK_OK || status == BITCASK_NO_MEMORY);
            if (status != BITCASK_OK)
                assert_null(value.data);
        }
        assert_true(refused > 0);
        assert_string_equal(value.data, "a value");
        bitcask_buffer_release(&value);
        test_cask_close(cask);
    }
}

/* Fill @path until nothing more goes in. */
static void make_ballast(const char *path, size_t size)
{
    static const char zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

    child_check(fd >= 0);
    for (size_t done = 0; done < size; done += sizeof zeros) {
        if (write(fd, zeros, sizeof zeros) != (ssize_t)sizeof zeros)
            break;
    }
    (void)close(fd);
}

static int fill_a_real_disk(void *context)
{
    struct test_disk *disk = context;
    struct bitcask_options options = small_files;
    struct bitcask *cask = NULL;
    char directory[512], ballast[512];
    uint64_t count = 0;

    if (!test_mount_tmpfs(disk->path, "size=256k"))
        return CHILD_SKIPPED;
    (void)snprintf(directory, sizeof directory, "%s/cask", disk->path);
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", disk->path);
    child_check(bitcask_open(&cask, directory, &options) == BITCASK_OK);

    for (int round = 0; round < 3; round++) {
        enum bitcask_status status = BITCASK_OK;
        uint64_t resumed;

        make_ballast(ballast, 64 * 1024);
        while (status == BITCASK_OK) {
            status = test_history_try(cask, count + 1);
            count += status == BITCASK_OK;
            child_check(count < 5000);
        }
        child_check(status == BITCASK_NO_SPACE);
        child_check(strstr(bitcask_error_detail(), strerror(ENOSPC)) != NULL);
        for (int i = 0; i < 20;
             i++) { /* a MANIFEST that needs room takes that of hints */
            status = test_history_try(cask, count + 1);
            count += status == BITCASK_OK;
            child_check(status == BITCASK_OK || status == BITCASK_NO_SPACE);
        }
        child_check(test_history_check(cask) == count);

        child_check(unlink(ballast) == 0);
        resumed = count + 20;
        while (count < resumed) { /* without reopening */
            child_check(test_history_try(cask, count + 1) == BITCASK_OK);
            count++;
        }
        child_check(test_history_check(cask) == count);
        if (round == 1) {
            child_check(bitcask_close(cask) == BITCASK_OK);
            child_check(bitcask_open(&cask, directory, &options) == BITCASK_OK);
            child_check(test_history_check(cask) == count);
        }
    }
    child_check(bitcask_close(cask) == BITCASK_OK);

    /* Full again, and no room even to close it properly. */
    child_check(bitcask_open(&cask, directory, &options) == BITCASK_OK);
    make_ballast(ballast, SIZE_MAX);
    while (test_history_try(cask, count + 1) == BITCASK_OK)
        count++;
    (void)bitcask_close(cask);
    child_check(unlink(ballast) == 0);
    child_check(bitcask_open(&cask, directory, &options) == BITCASK_OK);
    child_check(test_history_check(cask) == count);
    child_check(bitcask_close(cask) == BITCASK_OK);
    return 0;
}

static void puts_resume_when_a_full_disk_has_room_again(void **state)
{
    int result = test_in_child(fill_a_real_disk, *state);

    assert_true(result == 0 || result == CHILD_SKIPPED);
}

static int open_on_a_full_disk(void *context)
{
    struct test_disk *disk = context;
    struct bitcask_options options = small_files;
    const struct bitcask_options read_only = { .read_only = true };
    struct bitcask *cask = (struct bitcask *)disk;
    char directory[512], ballast[512];

    if (!test_mount_tmpfs(disk->path, "size=256k"))
        return CHILD_SKIPPED;
    (void)snprintf(directory, sizeof directory, "%s/cask", disk->path);
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", disk->path);
    make_ballast(ballast, SIZE_MAX);
    child_check(bitcask_open(&cask, directory, &options) == BITCASK_NO_SPACE);
    child_check(cask == NULL);
    child_check(unlink(ballast) == 0);
    child_check(bitcask_open(&cask, directory, &options) == BITCASK_OK);
    for (uint64_t number = 1; number <= 100; number++)
        child_check(test_history_try(cask, number) == BITCASK_OK);
    child_check(bitcask_close(cask) == BITCASK_OK);

    make_ballast(ballast, SIZE_MAX); /* a clean cask needs no room to be opened */
    child_check(bitcask_open(&cask, directory, &options) == BITCASK_OK);
    child_check(test_history_check(cask) == 100);
    child_check(bitcask_close(cask) == BITCASK_OK);
    child_check(bitcask_open(&cask, directory, &read_only) == BITCASK_OK);
    child_check(test_history_check(cask) == 100);
    child_check(bitcask_close(cask) == BITCASK_OK);
    return 0;
}

static void a_full_disk_is_reported_and_a_clean_cask_opens_on_it(void **state)
{
    int result = test_in_child(open_on_a_full_disk, *state);

    assert_true(result == 0 || result == CHILD_SKIPPED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_write_that_fails_half_way_leaves_no_trace),
        disk_test(a_write_that_cannot_be_undone_ends_all_writing),
        disk_test(a_rotation_that_fails_harms_nothing),
        disk_test(no_memory_for_a_write_harms_nothing),
        disk_test(no_memory_for_reading_is_an_answer),
        disk_test(puts_resume_when_a_full_disk_has_room_again),
        disk_test(a_full_disk_is_reported_and_a_clean_cask_opens_on_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
