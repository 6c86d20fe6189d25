/* SPDX-License-Identifier: MIT */
/*
 * Recovery from outside: whatever a process leaves that dies at any moment opens by
 * itself, holds a prefix of the history with all that was acknowledged, takes writes,
 * and reopens to the same. Promises 2, 4 and 6. test_recover_chain.c asks what counts
 * as a proof; that the power fails is simulated elsewhere.
 */
#include "test/test_cask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/format.h"

/* So many make three files, the newest with two records. */
enum {
    WRITE_COUNT = 47
};

/* Files of 4 KiB, synced only when they are full. */
static const struct bitcask_options unsynced = {
    .file_size_max = 4096,
    .no_background = true,
    .sync = BITCASK_SYNC_NONE,
    .threads = 1,
};

/* What is on @disk is a cask with so many writes; how many. */
static uint64_t check_opens(struct test_disk *disk, uint64_t at_least, uint64_t at_most)
{
    struct bitcask *cask = test_cask_open_read_only(disk);
    uint64_t count = test_history_check(cask);

    assert_in_range(count, at_least, at_most);
    test_cask_close(cask);
    cask = test_cask_open(disk, &unsynced);
    assert_int_equal(test_history_check(cask), count);
    test_history_write(cask, count + 1, count + 3);
    test_cask_close(cask);
    cask = test_cask_open(disk, &unsynced);
    assert_int_equal(test_history_check(cask), count + 3);
    assert_int_equal(test_cask_stat(cask).cut_count, 0);
    assert_int_equal(test_cask_stat(cask).recovered_size, 0);
    test_cask_close(cask);
    return count;
}

/* The process that is watched, and the disk on which its moments are tried out. */
struct watched {
    struct test_disk *disk;
    struct test_disk *copy;
    uint64_t acknowledged;
    long moment_count;
};

static void try_this_moment(enum fault_call call, void *context)
{
    const unsigned changes = FAULT_BIT(FAULT_OPEN) | FAULT_BIT(FAULT_WRITE) |
                             FAULT_BIT(FAULT_TRUNCATE) | FAULT_BIT(FAULT_RENAME) |
                             FAULT_BIT(FAULT_REMOVE) | FAULT_BIT(FAULT_SYNC);
    struct watched *watched = context;
    struct test_image image = { 0 };
    const struct bitcask_options reader = { .read_only = true };
    struct bitcask *cask = NULL;

    if ((changes & FAULT_BIT(call)) == 0)
        return;
    test_image_take(&image, watched->disk->path);
    test_image_restore(&image, watched->copy);
    test_image_release(&image);
    watched->moment_count++;
    if (bitcask_open_with(watched->copy->io, &cask, watched->copy->path, &reader) ==
        BITCASK_NOT_FOUND) { /* not created yet */
        assert_int_equal(watched->acknowledged, 0);
        test_cask_close(test_cask_open(watched->copy, &unsynced));
    } else {
        test_cask_close(cask);
    }
    (void)check_opens(watched->copy, watched->acknowledged, watched->acknowledged + 1);
}

/* From the first call of the creation to the last of the third close. */
static void every_moment_of_a_run_leaves_a_cask(void **state)
{
    struct test_disk *disk = *state;
    struct watched watched = { .disk = disk };
    struct test_image unclean = { 0 };
    void *copy = NULL;

    assert_int_equal(test_disk_setup(&copy), 0);
    watched.copy = copy;
    test_disk_skip_syncs(copy);
    disk->fault.before = try_this_moment;
    disk->fault.before_context = &watched;
    for (int session = 0; session < 3; session++) {
        struct bitcask *cask;

        disk->fault.no_allocate =
            session == 1; /* in the others most appends are stores */
        cask = test_cask_open(disk, &unsynced);
        for (int i = 0; i < 60; i++) {
            test_history_write(cask, watched.acknowledged + 1, watched.acknowledged + 1);
            watched.acknowledged++;
        }
        if (session == 1) { /* an unclean end: the next session begins with a recovery */
            test_image_take(&unclean, disk->path);
            disk->fault.before = NULL;
            test_cask_close(cask);
            test_image_restore(&unclean, disk);
            disk->fault.before = try_this_moment;
        } else {
            test_cask_close(cask);
        }
    }
    disk->fault.before = NULL;
    assert_true(watched.moment_count > 200);
    assert_int_equal(check_opens(disk, 180, 180), 180);
    assert_int_equal(test_disk_teardown(&copy), 0);
    test_image_release(&unclean);
}

/* An image of a cask that was not closed, of so many data files. */
static uint64_t make_unclean(struct test_disk *disk, struct test_image *image,
                             uint64_t write_count)
{
    struct bitcask *cask;
    uint64_t segment_count;

    disk->fault.no_allocate = true; /* the files end with their last records */
    cask = test_cask_open(disk, &unsynced);
    test_history_write(cask, 1, write_count);
    segment_count = test_cask_stat(cask).segment_count;
    test_image_take(image, disk->path);
    test_cask_close(cask);
    disk->fault.no_allocate = false;
    return segment_count;
}

static void a_tail_cut_off_at_any_byte_is_recovered(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    const struct test_image_file *newest;
    uint64_t before = 0;

    test_disk_skip_syncs(disk);
    assert_true(make_unclean(disk, &image, WRITE_COUNT) >= 3);
    newest = test_image_newest(&image);
    assert_true(newest->size > 500);
    for (size_t size = 0; size <= newest->size; size++) {
        uint64_t count;

        test_image_restore(&image, disk);
        test_disk_truncate(disk, newest->name, size);
        count = check_opens(disk, before, WRITE_COUNT);
        assert_true(size == 0 || count <= before + 1); /* one record after the other */
        before = count;
    }
    assert_int_equal(before, WRITE_COUNT);
    test_image_release(&image);
}

/* Blocks that never reached the disk, or reached it as zeros. */
static void a_tail_of_zeros_is_recovered(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    const struct test_image_file *newest;

    test_disk_skip_syncs(disk);
    (void)make_unclean(disk, &image, WRITE_COUNT);
    newest = test_image_newest(&image);
    for (size_t from = 0; from <= newest->size; from += 7) {
        for (size_t more = 0; more <= 8192; more += 4096) {
            test_image_restore(&image, disk);
            test_disk_truncate(disk, newest->name, from);
            test_disk_truncate(disk, newest->name, newest->size + more);
            (void)check_opens(disk, 40, WRITE_COUNT);
        }
    }
    test_image_release(&image);
}

/*
 * Opens what @image has, over and over, with the n-th call failing for each n; whatever
 * came of it, the next open by a healthy system has @count writes.
 */
static long open_failing(struct test_disk *disk, const struct test_image *image,
                         const struct fault_plan *how, uint64_t count)
{
    struct fault_plan plan = *how;
    long failures = 1;
    long refused = 0;

    for (plan.skip = 0; failures > 0; plan.skip++) {
        struct bitcask *cask = NULL;
        enum bitcask_status status;

        test_image_restore(image, disk);
        fault_io_arm(&disk->fault, &plan);
        status = bitcask_open_with(disk->io, &cask, disk->path, &unsynced);
        failures = fault_io_failure_count(&disk->fault);
        fault_io_disarm(&disk->fault);
        if (status == BITCASK_OK) { /* it was not needed, or came too late to matter */
            assert_int_equal(test_history_check(cask), count);
            (void)bitcask_close(cask);
        } else {
            assert_null(cask);
            assert_true(status == plan.status || status == BITCASK_FAILED ||
                        (plan.status == BITCASK_OK && status == BITCASK_IO));
            assert_true(bitcask_error_detail()[0] != '\0');
            refused++;
        }
        assert_int_equal(fault_io_open_count(&disk->fault), 1);
        assert_int_equal(fault_io_map_count(&disk->fault), 0);
        cask = test_cask_open(disk, &unsynced);
        assert_int_equal(test_history_check(cask), count);
        test_history_write(cask, count + 1, count + 1);
        test_cask_close(cask);
    }
    return refused;
}

static const struct fault_plan ways_to_fail[] = {
    { .calls = FAULT_ANY, .count = FAULT_FOREVER },
    { .calls = FAULT_ANY, .count = FAULT_FOREVER, .partial_size = 20 },
    { .calls = FAULT_ANY, .count = 1 },
    { .calls = FAULT_ANY,
      .count = 1,
      .status = BITCASK_NO_SPACE,
      .error = ENOSPC,
      .partial_size = 100 },
    { .calls = FAULT_ANY, .count = 1, .status = BITCASK_NO_MEMORY, .error = ENOMEM },
};

static void a_recovery_that_fails_at_any_call_is_made_good_by_the_next(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };

    assert_true(make_unclean(disk, &image, WRITE_COUNT) >= 3);
    test_image_restore(&image, disk);
    test_disk_truncate(disk, test_image_newest(&image)->name,
                       test_image_newest(&image)->size - 1);
    test_image_take(&image, disk->path);
    for (size_t i = 0; i < LENGTH_OF(ways_to_fail); i++)
        assert_true(open_failing(disk, &image, &ways_to_fail[i], WRITE_COUNT - 1) > 20);
    test_image_release(&image);
}

/* No error is ever read as "there is nothing": not of a file, and not of a hint. */
static void an_open_that_fails_at_any_call_loses_nothing(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask *cask = test_cask_open(disk, &unsynced);

    test_history_write(cask, 1, WRITE_COUNT);
    test_cask_close(cask);
    for (int hints = 1; hints >= 0; hints--) {
        if (!hints)
            test_disk_remove(disk, FIRST_HINT);
        test_image_take(&image, disk->path);
        for (size_t i = 0; i < LENGTH_OF(ways_to_fail); i++)
            assert_true(open_failing(disk, &image, &ways_to_fail[i], WRITE_COUNT) > 10);
        test_image_restore(&image, disk);
    }
    test_image_release(&image);
}

static void a_reader_that_fails_at_any_call_changes_nothing(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options reader = { .read_only = true, .threads = 1 };
    struct test_image image = { 0 };

    (void)make_unclean(disk, &image, WRITE_COUNT);
    test_image_restore(&image, disk);
    test_image_take(&image, disk->path);
    for (size_t i = 0; i < LENGTH_OF(ways_to_fail); i++) {
        struct fault_plan plan = ways_to_fail[i];
        long failures = 1;

        for (plan.skip = 0; failures > 0; plan.skip++) {
            struct bitcask *cask = NULL;

            fault_io_arm(&disk->fault, &plan);
            if (bitcask_open_with(disk->io, &cask, disk->path, &reader) == BITCASK_OK) {
                fault_io_disarm(&disk->fault);
                assert_int_equal(test_history_check(cask), WRITE_COUNT);
            }
            failures = fault_io_failure_count(&disk->fault);
            fault_io_disarm(&disk->fault);
            (void)bitcask_close(cask);
            assert_int_equal(fault_io_open_count(&disk->fault), 1);
        }
        test_image_unchanged(&image, disk->path);
    }
    test_image_release(&image);
}

static void a_creation_that_fails_at_any_call_leaves_a_new_cask(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options must_exist = { .must_exist = true };

    for (size_t i = 0; i < LENGTH_OF(ways_to_fail); i++) {
        struct fault_plan plan = ways_to_fail[i];
        long failures = 1;

        for (plan.skip = 0; failures > 0; plan.skip++) {
            struct bitcask *cask = NULL;
            enum bitcask_status status;

            test_disk_clear(disk);
            fault_io_arm(&disk->fault, &plan);
            status = bitcask_open_with(disk->io, &cask, disk->path, &unsynced);
            if (status == BITCASK_OK && bitcask_put(cask, bitcask_text("key"),
                                                    bitcask_text("value")) == BITCASK_OK)
                test_cask_expect(cask, "key", "value");
            (void)bitcask_close(cask);
            failures = fault_io_failure_count(&disk->fault);
            fault_io_disarm(&disk->fault);
            assert_int_equal(fault_io_open_count(&disk->fault), 1);

            status = bitcask_open_with(disk->io, &cask, disk->path, &must_exist);
            assert_true(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
            (void)bitcask_close(cask);
            cask = test_cask_open(disk, &unsynced);
            test_cask_put(cask, "other", "value");
            test_cask_close(cask);
            cask = test_cask_open(disk, &unsynced);
            test_cask_expect(cask, "other", "value");
            test_cask_close(cask);
        }
    }
}

/* The process dies in its work: from some call on, nothing works any more. */
static void a_session_that_dies_at_any_call_keeps_what_was_acknowledged(void **state)
{
    struct test_disk *disk = *state;
    const struct fault_plan *ways[] = { &ways_to_fail[0], &ways_to_fail[1] };

    for (size_t i = 0; i < LENGTH_OF(ways); i++) {
        struct fault_plan plan = *ways[i];
        long failures = 1;

        for (plan.skip = 0; failures > 0; plan.skip += 3) {
            struct bitcask *cask;
            uint64_t count = 0;

            test_disk_clear(disk);
            cask = test_cask_open(disk, &unsynced);
            fault_io_arm(&disk->fault, &plan);
            while (count < 60 && test_history_try(cask, count + 1) == BITCASK_OK)
                count++;
            (void)bitcask_close(cask);
            failures = fault_io_failure_count(&disk->fault);
            fault_io_disarm(&disk->fault);
            (void)check_opens(disk, count, count + 1);
        }
    }
}

struct segment_list {
    struct bitcask_segment_stat rows[16];
    size_t count;
};

static enum bitcask_status list_segment(const struct bitcask_segment_stat *segment,
                                        void *context)
{
    struct segment_list *list = context;

    assert_true(list->count < LENGTH_OF(list->rows));
    list->rows[list->count++] = *segment;
    return BITCASK_OK;
}

static struct segment_list list_segments(struct bitcask *cask)
{
    struct segment_list list = { .count = 0 };

    assert_status(bitcask_stat_segments(cask, list_segment, &list), BITCASK_OK);
    return list;
}

static void a_clean_end_is_continued_and_an_unclean_one_is_sealed(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &unsynced);
    struct test_image image = { 0 };
    struct segment_list list;

    test_history_write(cask, 1, 3);
    test_cask_close(cask);
    cask = test_cask_open(disk, &unsynced);
    assert_false(list_segments(cask).rows[0].sealed);
    test_history_write(cask, 4, 6);
    assert_int_equal(list_segments(cask).count, 1);
    test_image_take(&image, disk->path);
    test_cask_close(cask);

    test_image_restore(&image, disk);
    cask = test_cask_open(disk, &unsynced);
    assert_true(list_segments(cask).rows[0].sealed);
    test_history_write(cask, 7, 9);
    list = list_segments(cask);
    assert_int_equal(list.count, 2);
    assert_true(list.rows[0].sealed && !list.rows[1].sealed);
    assert_int_equal(list.rows[0].last_sequence, 6);
    assert_int_equal(list.rows[1].first_sequence, 7);
    /* An id that a crash may have used is not used again. */
    assert_true(list.rows[1].id > 4);
    test_cask_close(cask);

    cask = test_cask_open(disk, &unsynced);
    test_history_write(cask, 10, 12);
    assert_int_equal(list_segments(cask).count, 2);
    assert_int_equal(test_history_check(cask), 12);
    test_cask_close(cask);
    test_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(every_moment_of_a_run_leaves_a_cask),
        disk_test(a_tail_cut_off_at_any_byte_is_recovered),
        disk_test(a_tail_of_zeros_is_recovered),
        disk_test(a_recovery_that_fails_at_any_call_is_made_good_by_the_next),
        disk_test(an_open_that_fails_at_any_call_loses_nothing),
        disk_test(a_reader_that_fails_at_any_call_changes_nothing),
        disk_test(a_creation_that_fails_at_any_call_leaves_a_new_cask),
        disk_test(a_session_that_dies_at_any_call_keeps_what_was_acknowledged),
        disk_test(a_clean_end_is_continued_and_an_unclean_one_is_sealed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
