/* SPDX-License-Identifier: MIT */
/*
 * When an acknowledged write is safe: what each sync mode asks of the disk, and what
 * becomes of a cask whose disk has failed it. Promises 3 and 8.
 */
#include "test/test_cask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long sync_count(struct test_disk *disk)
{
    return fault_io_count(&disk->fault, FAULT_SYNC);
}

static void always_has_synced_when_a_write_returns(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .sync = BITCASK_SYNC_ALWAYS };
    const struct bitcask_batch_part part = { .key = bitcask_text("key"),
                                             .value = bitcask_text("batch") };
    struct bitcask *cask = test_cask_open(disk, &options);

    for (uint64_t number = 1; number <= 20; number++) {
        long before = sync_count(disk);

        test_history_write(cask, number, number);
        assert_int_equal(test_cask_stat(cask).synced_sequence, number);
        /* The first also lists the file in the MANIFEST. */
        assert_int_equal(sync_count(disk), before + (number == 1 ? 2 : 1));
    }
    assert_status(bitcask_write_batch(cask, &part, 1), BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).synced_sequence, 21);
    assert_status(bitcask_put_expiring(cask, bitcask_text("key"), bitcask_text("x"), 1),
                  BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).synced_sequence, 22);
    test_cask_close(cask);
}

/* The name of a new file has to be safe as well, before its records count as such. */
static void always_has_synced_the_directory_of_a_new_file(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .sync = BITCASK_SYNC_ALWAYS,
                                             .file_size_max = 4096,
                                             .no_background = true };
    struct bitcask *cask = test_cask_open(disk, &options);
    uint64_t segment_count = 0;

    for (uint64_t number = 1; number <= 100; number++) {
        long before = fault_io_count(&disk->fault, FAULT_DIRECTORY_SYNC);

        test_history_write(cask, number, number);
        if (test_cask_stat(cask).segment_count > segment_count)
            assert_true(fault_io_count(&disk->fault, FAULT_DIRECTORY_SYNC) > before);
        segment_count = test_cask_stat(cask).segment_count;
    }
    assert_true(segment_count > 2);
    test_cask_close(cask);
}

static void none_syncs_when_asked_to_and_when_closed(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .sync = BITCASK_SYNC_NONE };
    struct bitcask *cask = test_cask_open(disk, &options);
    long before = sync_count(disk);

    test_history_write(cask, 1, 200);
    assert_int_equal(sync_count(disk), before);
    assert_int_equal(test_cask_stat(cask).synced_sequence, 0);
    assert_status(bitcask_sync(cask), BITCASK_OK);
    assert_int_equal(sync_count(disk), before + 2); /* of the file, and of the MANIFEST */
    assert_int_equal(test_cask_stat(cask).synced_sequence, 200);
    assert_status(bitcask_sync(cask), BITCASK_OK); /* there is nothing to do */
    assert_int_equal(sync_count(disk), before + 2);
    test_history_write(cask, 201, 210);
    assert_int_equal(sync_count(disk), before + 2);
    test_cask_close(cask);
    assert_true(sync_count(disk) >= before + 3);
}

/* Promise 4: a later file is never safe while an earlier one is not. */
static void none_syncs_a_file_before_the_next_is_begun(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = small_files;
    struct bitcask *cask;

    options.sync = BITCASK_SYNC_NONE;
    cask = test_cask_open(disk, &options);
    for (uint64_t number = 1; number <= 100; number++) {
        uint64_t segment_count = test_cask_stat(cask).segment_count;

        test_history_write(cask, number, number);
        if (segment_count > 0 && test_cask_stat(cask).segment_count > segment_count)
            assert_int_equal(test_cask_stat(cask).synced_sequence, number - 1);
    }
    assert_true(test_cask_stat(cask).segment_count > 2);
    test_cask_close(cask);
}

/* How long at most, by the sum of the sleeps, something may take to happen. */
enum {
    PATIENCE_MS = 20000,
    NAP_MS = 5
};

static void interval_syncs_in_the_background(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .sync_interval_ms = 20 };
    struct bitcask *cask = test_cask_open(disk, &options);

    for (uint64_t number = 1; number <= 3; number++) {
        int waited_ms = 0;

        test_history_write(cask, number, number);
        while (test_cask_stat(cask).synced_sequence < number && waited_ms < PATIENCE_MS) {
            bitcask_io_posix()->sleep_ms(NULL, NAP_MS);
            waited_ms += NAP_MS;
        }
        assert_int_equal(test_cask_stat(cask).synced_sequence, number);
    }
    test_cask_close(cask);
}

/* Long enough for any machine to tell one interval from two. */
static void an_interval_is_not_exceeded_by_another(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .sync_interval_ms = 2000 };
    struct bitcask_io *clock = bitcask_io_posix();
    struct bitcask *cask = test_cask_open(disk, &options);
    uint64_t begin_ms = clock->monotonic_ms(clock);

    test_history_write(cask, 1, 1);
    while (test_cask_stat(cask).synced_sequence < 1)
        clock->sleep_ms(clock, NAP_MS);
    assert_true(clock->monotonic_ms(clock) - begin_ms < 3500);
    test_cask_close(cask);
}

/* Without a thread only a call can notice that time has passed. */
static void interval_without_a_thread_syncs_in_the_write_that_comes_after(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .no_background = true,
                                             .sync_interval_ms = 500 };
    const struct {
        uint64_t now_ms;
        bool due; /* something has been unsynced for as long as that */
    } rows[] = {
        { 1000, false }, { 1000, false }, { 1499, false }, { 1500, true },
        { 1500, false }, { 1999, false }, { 2000, true },  { 9000, true },
        { 9499, false }, { 9500, true },
    };
    struct bitcask *cask;

    atomic_store(&disk->fault.monotonic_ms, 1000);
    cask = test_cask_open(disk, &options);
    for (size_t i = 0; i < LENGTH_OF(rows); i++) {
        long before = sync_count(disk);

        atomic_store(&disk->fault.monotonic_ms, rows[i].now_ms);
        test_history_write(cask, i + 1, i + 1);
        if (rows[i].due)
            assert_true(test_cask_stat(cask).synced_sequence >= i);
        else
            assert_int_equal(sync_count(disk), before);
    }
    test_cask_close(cask);
}

/* After a sync has failed: no write is taken, and nothing that was there is hidden. */
static void assert_refuses_to_write(struct test_disk *disk, struct bitcask *cask,
                                    const char *stays)
{
    const struct bitcask_batch_part part = { .key = bitcask_text("new"),
                                             .value = bitcask_text("value") };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    struct test_image before = { 0 };
    size_t found = 0;

    test_image_take(&before, disk->path);
    assert_status(bitcask_put(cask, bitcask_text("new"), bitcask_text("value")),
                  BITCASK_FAILED);
    assert_detail("open it again");
    assert_status(bitcask_delete(cask, bitcask_text("stays")), BITCASK_FAILED);
    assert_status(bitcask_delete(cask, bitcask_text("never there")), BITCASK_FAILED);
    assert_status(bitcask_write_batch(cask, &part, 1), BITCASK_FAILED);
    assert_status(bitcask_sync(cask), BITCASK_FAILED);
    assert_status(bitcask_sync(cask), BITCASK_FAILED);
    test_image_unchanged(&before, disk->path);
    test_image_release(&before);

    test_cask_expect(cask, "stays", stays);
    test_cask_expect(cask, "new", NULL);
    assert_status(bitcask_iterator_open(cask, NULL, &iterator), BITCASK_OK);
    while (bitcask_iterator_next(iterator, &key, &value) == BITCASK_OK)
        found++;
    bitcask_iterator_close(iterator);
    assert_int_equal(found, test_cask_stat(cask).key_count);
}

static void a_failed_sync_ends_all_writing_until_the_cask_is_reopened(void **state)
{
    struct test_disk *disk = *state;
    static const enum bitcask_sync_mode modes[] = {
        BITCASK_SYNC_NONE,
        BITCASK_SYNC_INTERVAL,
        BITCASK_SYNC_ALWAYS,
    };
    static const struct fault_plan plans[] = {
        { .calls = FAULT_BIT(FAULT_SYNC) },
        { .calls = FAULT_BIT(FAULT_SYNC), .status = BITCASK_NO_SPACE },
        { .calls = FAULT_BIT(FAULT_DIRECTORY_SYNC) },
    };

    for (size_t i = 0; i < LENGTH_OF(modes) * LENGTH_OF(plans); i++) {
        const struct fault_plan *plan = &plans[i / LENGTH_OF(modes)];
        const struct bitcask_options options = { .sync = modes[i % LENGTH_OF(modes)],
                                                 .sync_interval_ms = 3600000,
                                                 .no_background = true };
        bool always = options.sync == BITCASK_SYNC_ALWAYS;
        bool first = plan->calls == FAULT_BIT(FAULT_DIRECTORY_SYNC);
        struct bitcask *cask;
        enum bitcask_status status;

        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        if (!first) { /* only the first sync of a file is one of the directory too */
            test_cask_put(cask, "before", "here");
            assert_status(bitcask_sync(cask), BITCASK_OK);
        }
        fault_io_arm(&disk->fault, plan);
        status = bitcask_put(cask, bitcask_text("stays"), bitcask_text("here"));
        if (!always) {
            assert_status(status, BITCASK_OK);
            status = bitcask_sync(cask);
        }
        assert_true(status != BITCASK_OK && status != BITCASK_FAILED);
        assert_detail("sync");
        fault_io_disarm(&disk->fault); /* a second sync would not fail, and would lie */
        assert_refuses_to_write(disk, cask, always ? NULL : "here");
        assert_true(bitcask_close(cask) != BITCASK_OK);

        cask = test_cask_open(disk, &options);
        if (!first)
            test_cask_expect(cask, "before", "here");
        if (!always) /* it was acknowledged, and the process has not died */
            test_cask_expect(cask, "stays", "here");
        test_cask_put(cask, "stays", "after");
        test_cask_close(cask);
        cask = test_cask_open(disk, &options);
        test_cask_expect(cask, "stays", "after");
        test_cask_close(cask);
    }
}

/* Promise 8; what the next open finds is another matter. */
static void a_write_whose_sync_failed_is_taken_back(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .sync = BITCASK_SYNC_ALWAYS };
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_SYNC) };

    for (int verb = 0; verb < 4; verb++) {
        enum bitcask_status status = BITCASK_OK;
        struct bitcask_stat before, after;
        struct bitcask *cask;

        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        test_cask_put(cask, "key", "old");
        test_cask_put(cask, "other", "old");
        before = test_cask_stat(cask);
        fault_io_arm(&disk->fault, &plan);
        if (verb == 0)
            status = bitcask_put(cask, bitcask_text("key"), bitcask_text("new value"));
        else if (verb == 1)
            status = bitcask_put(cask, bitcask_text("new"), bitcask_text("value"));
        else if (verb == 2)
            status = bitcask_delete(cask, bitcask_text("key"));
        else
            status = bitcask_put_expiring(cask, bitcask_text("key"),
                                          bitcask_text("value"), UINT64_MAX);
        fault_io_disarm(&disk->fault);
        assert_status(status, BITCASK_IO);
        after = test_cask_stat(cask);
        test_cask_expect(cask, "key", "old");
        test_cask_expect(cask, "other", "old");
        test_cask_expect(cask, "new", NULL);
        assert_int_equal(after.key_count, before.key_count);
        assert_int_equal(after.live_size, before.live_size);
        assert_int_equal(after.synced_sequence, before.synced_sequence);
        assert_status(bitcask_close(cask), BITCASK_FAILED);
        cask = test_cask_open(disk, &options);
        test_cask_expect(cask, "other", "old");
        test_cask_close(cask);
    }
}

static void a_failed_sync_in_the_background_is_told_to_the_next_caller(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .sync_interval_ms = 1 };
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_SYNC) };

    for (int i = 0; i < 3; i++) {
        struct bitcask *cask;
        int waited_ms = 0;

        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        test_cask_put(cask, "stays", "here");
        assert_status(bitcask_sync(cask), BITCASK_OK);
        fault_io_arm(&disk->fault, &plan);
        test_cask_put(cask, "key", "value");
        while (fault_io_failure_count(&disk->fault) == 0 && waited_ms < PATIENCE_MS) {
            bitcask_io_posix()->sleep_ms(NULL, NAP_MS);
            waited_ms += NAP_MS;
        }
        assert_int_equal(fault_io_failure_count(&disk->fault), 1);
        if (i == 0) /* else the close alone has to tell */
            assert_status(bitcask_sync(cask), BITCASK_FAILED);
        if (i == 1)
            assert_refuses_to_write(disk, cask, "here");
        assert_status(bitcask_close(cask), BITCASK_FAILED);
        cask = test_cask_open(disk, &options);
        test_cask_expect(cask, "stays", "here");
        test_cask_expect(cask, "key", "value"); /* it was acknowledged */
        test_cask_close(cask);
    }
}

static void a_failed_sync_at_rotation_is_told_to_the_write_that_rotates(void **state)
{
    struct test_disk *disk = *state;
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_SYNC) };
    struct bitcask_options options = small_files;
    struct bitcask *cask;
    enum bitcask_status status = BITCASK_OK;
    uint64_t count = 0;

    options.sync = BITCASK_SYNC_NONE;
    cask = test_cask_open(disk, &options);
    fault_io_arm(&disk->fault, &plan);
    while (status == BITCASK_OK) {
        status = test_history_try(cask, count + 1);
        count += status == BITCASK_OK;
    }
    fault_io_disarm(&disk->fault);
    assert_status(status, BITCASK_IO);
    assert_status(test_history_try(cask, count + 1), BITCASK_FAILED);
    assert_int_equal(test_history_check(cask), count);
    assert_status(bitcask_close(cask), BITCASK_FAILED);
    cask = test_cask_open(disk, &options);
    assert_in_range(test_history_check(cask), count, count + 1);
    test_cask_close(cask);
}

static void a_failed_sync_at_close_is_reported_and_all_is_freed(void **state)
{
    struct test_disk *disk = *state;
    const struct fault_plan plans[] = {
        { .calls = FAULT_BIT(FAULT_SYNC) },            /* of the data */
        { .calls = FAULT_BIT(FAULT_SYNC), .skip = 1 }, /* of the MANIFEST */
        { .calls = FAULT_BIT(FAULT_DIRECTORY_SYNC) },
        { .calls = FAULT_BIT(FAULT_DIRECTORY_SYNC), .skip = 1 },
        { .calls = FAULT_BIT(FAULT_RENAME) },
        { .calls = FAULT_BIT(FAULT_WRITE), .status = BITCASK_NO_SPACE },
    };

    for (size_t i = 0; i < LENGTH_OF(plans); i++) {
        struct bitcask *cask;

        test_disk_clear(disk);
        cask = test_cask_open(disk, NULL);
        test_history_write(cask, 1, 20);
        fault_io_arm(&disk->fault, &plans[i]);
        assert_true(bitcask_close(cask) != BITCASK_OK);
        assert_int_equal(fault_io_failure_count(&disk->fault), 1);
        assert_int_equal(fault_io_open_count(&disk->fault), 1);
        assert_int_equal(fault_io_map_count(&disk->fault), 0);
        fault_io_disarm(&disk->fault);
        cask = test_cask_open(disk, NULL);
        assert_int_equal(test_history_check(cask), 20);
        test_cask_close(cask);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(always_has_synced_when_a_write_returns),
        disk_test(always_has_synced_the_directory_of_a_new_file),
        disk_test(none_syncs_when_asked_to_and_when_closed),
        disk_test(none_syncs_a_file_before_the_next_is_begun),
        disk_test(interval_syncs_in_the_background),
        disk_test(an_interval_is_not_exceeded_by_another),
        disk_test(interval_without_a_thread_syncs_in_the_write_that_comes_after),
        disk_test(a_failed_sync_ends_all_writing_until_the_cask_is_reopened),
        disk_test(a_write_whose_sync_failed_is_taken_back),
        disk_test(a_failed_sync_in_the_background_is_told_to_the_next_caller),
        disk_test(a_failed_sync_at_rotation_is_told_to_the_write_that_rotates),
        disk_test(a_failed_sync_at_close_is_reported_and_all_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
