/* SPDX-License-Identifier: MIT */
/* Merges in which something fails: the contents stay, and who looks is told. */
#include "test/test_cask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/format.h"
#include "test/sim_disk.h"
#include "test/test_alloc.h"

enum {
    VALUE_SIZE = 100,
    RECORD_SIZE = BITCASK_RECORD_HEADER_SIZE + 4 + VALUE_SIZE,
    RECORDS_IN_FILE = (4096 - BITCASK_FILE_HEADER_SIZE) / RECORD_SIZE,
    KEY_COUNT = 3 * RECORDS_IN_FILE
};

static const struct bitcask_merge_options everything = { .choice = BITCASK_MERGE_ALL };

static void put(struct bitcask *cask, unsigned key, unsigned version)
{
    char text[16], value[VALUE_SIZE + 1];

    (void)snprintf(text, sizeof text, "k%03u", key);
    (void)snprintf(value, sizeof value, "%0*u", VALUE_SIZE, key * 1000 + version);
    test_cask_put(cask, text, value);
}

/* Files 1 to 4: the first and the last are half dead. */
static void fill(struct bitcask *cask)
{
    for (unsigned key = 0; key < KEY_COUNT; key++)
        put(cask, key, 0);
    for (unsigned key = 0; key < RECORDS_IN_FILE; key += 2)
        put(cask, key, 1);
    for (unsigned key = 0; key < RECORDS_IN_FILE; key += 2)
        put(cask, key, 2);
    assert_int_equal(test_cask_stat(cask).segment_count, 4);
}

static void expect_key(struct bitcask *cask, unsigned key)
{
    unsigned version = key < RECORDS_IN_FILE && key % 2 == 0 ? 2 : 0;
    char text[16], value[VALUE_SIZE + 1];

    (void)snprintf(text, sizeof text, "k%03u", key);
    (void)snprintf(value, sizeof value, "%0*u", VALUE_SIZE, key * 1000 + version);
    test_cask_expect(cask, text, value);
}

static void expect_contents(struct bitcask *cask)
{
    for (unsigned key = 0; key < KEY_COUNT; key++)
        expect_key(cask, key);
    assert_int_equal(test_cask_stat(cask).key_count, KEY_COUNT);
}

static uint64_t offset_of(unsigned index)
{
    return BITCASK_FILE_HEADER_SIZE + (uint64_t)index * RECORD_SIZE;
}

struct damage {
    const char *why;
    unsigned record; /* in the second file, which is all live */
    unsigned offset; /* in the record */
};

static void a_damaged_record_is_named_and_the_others_are_merged(void **state)
{
    static const struct damage cases[] = {
        { "its value", 7, BITCASK_RECORD_HEADER_SIZE + 4 + 50 },
        { "its key", 7, BITCASK_RECORD_HEADER_SIZE + 2 },
        { "its header", 7, 5 },
        { "the value of the last", RECORDS_IN_FILE - 1, RECORD_SIZE - 1 },
        { "the first byte", 0, 0 },
    };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        unsigned damaged = RECORDS_IN_FILE + cases[i].record;
        struct bitcask_merge_report report;
        struct bitcask_buffer got = { 0 };
        struct bitcask *cask;
        char text[64];

        printf("  %s\n", cases[i].why);
        test_disk_clear(disk);
        cask = test_cask_open(disk, NULL);
        fill(cask);
        test_disk_flip(disk, "0000000002.data",
                       offset_of(cases[i].record) + cases[i].offset, 0x10);
        assert_status(bitcask_merge(cask, &everything, &report), BITCASK_CORRUPT);
        (void)snprintf(text, sizeof text, "0000000002.data, offset %" PRIu64,
                       offset_of(cases[i].record));
        assert_detail(text);
        assert_int_equal(report.taken_count, 4);
        assert_int_equal(report.input_count, 3);
        assert_int_equal(report.left_count, 1);
        assert_true(test_disk_has(disk, "0000000002.data"));
        assert_false(test_disk_has(disk, "0000000001.data"));
        assert_false(test_disk_has(disk, "0000000003.data"));
        assert_false(test_disk_has(disk, "0000000004.data"));
        assert_int_equal(test_cask_stat(cask).dead_size, 0);
        assert_int_equal(test_cask_stat(cask).key_count, KEY_COUNT);
        for (unsigned key = 0; key < KEY_COUNT; key++) {
            if (key != damaged)
                expect_key(cask, key);
        }
        (void)snprintf(text, sizeof text, "k%03u", damaged);
        assert_status(bitcask_get(cask, bitcask_text(text), &got), BITCASK_CORRUPT);

        /* Nobody tries it again unasked, and there is nothing else to do. */
        assert_status(bitcask_merge(cask, NULL, &report), BITCASK_OK);
        assert_int_equal(report.taken_count, 0);
        bitcask_buffer_release(&got);
        test_cask_close(cask);
    }
}

/* It is copied in pieces, and known to be damaged only at its end. */
static void damage_in_a_large_value_is_noticed(void **state)
{
    const struct bitcask_options options = { .no_background = true };
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &options);
    uint8_t *value = test_noise(3 << 20, 1);
    struct bitcask_merge_report report;
    struct bitcask_buffer got = { 0 };

    test_cask_put(cask, "small", "value");
    assert_status(bitcask_put(cask, bitcask_text("large"),
                              (struct bitcask_slice){ value, 3 << 20 }),
                  BITCASK_OK);
    for (uint64_t at = 100000; at < 3 << 20; at += 1 << 20) {
        test_disk_flip(disk, "0000000001.data", at, 1);
        assert_status(bitcask_merge(cask, &everything, &report), BITCASK_CORRUPT);
        assert_detail("0000000001.data");
        assert_int_equal(report.left_count, 1);
        assert_status(bitcask_get(cask, bitcask_text("large"), &got), BITCASK_CORRUPT);
        test_disk_flip(disk, "0000000001.data", at, 1);
    }
    assert_status(bitcask_merge(cask, &everything, &report), BITCASK_OK);
    assert_int_equal(report.input_count, 1);
    assert_status(bitcask_get(cask, bitcask_text("large"), &got), BITCASK_OK);
    assert_int_equal(got.size, 3 << 20);
    assert_memory_equal(got.data, value, got.size);
    test_cask_expect(cask, "small", "value");
    bitcask_buffer_release(&got);
    free(value);
    test_cask_close(cask);
}

static void damage_to_a_dead_value_is_in_nobodys_way(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    fill(cask);
    /* Key 2 was overwritten. */
    test_disk_flip(disk, "0000000001.data", offset_of(2) + RECORD_SIZE - 1, 1);
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
    expect_contents(cask);
    test_cask_close(cask);
}

static enum bitcask_status note_damaged(const struct bitcask_merge_file *file,
                                        void *context)
{
    uint64_t *damaged_id = context;

    if (file->reason == BITCASK_MERGE_LEFT_DAMAGED) {
        assert_int_equal(*damaged_id, 0);
        assert_false(file->taken);
        *damaged_id = file->id;
    }
    return BITCASK_OK;
}

static void a_damaged_file_is_explained(void **state)
{
    struct test_disk *disk = *state;
    uint64_t damaged_id = 0;
    const struct bitcask_merge_options look = { .dry_run = true,
                                                .explain = note_damaged,
                                                .context = &damaged_id };
    struct bitcask *cask = test_cask_open(disk, NULL);

    fill(cask);
    test_disk_flip(disk, "0000000003.data", offset_of(3) + RECORD_SIZE - 1, 1);
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_CORRUPT);
    assert_status(bitcask_merge(cask, &look, NULL), BITCASK_OK);
    assert_int_equal(damaged_id, 3);
    test_cask_close(cask);
}

static void fail_removals(struct test_disk *disk)
{
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_REMOVE),
                                     .count = FAULT_FOREVER,
                                     .error = EACCES };

    fault_io_arm(&disk->fault, &plan);
}

/* Merge while nothing can be removed. */
static void merge_without_removing(struct test_disk *disk, struct bitcask *cask)
{
    struct bitcask_merge_report report;
    struct bitcask_stat stat, before = test_cask_stat(cask);

    fail_removals(disk);
    assert_status(bitcask_merge(cask, &everything, &report), BITCASK_IO);
    assert_detail("remove");
    fault_io_disarm(&disk->fault);
    assert_int_equal(report.input_count, 4);
    assert_int_equal(report.left_count, 0);
    stat = test_cask_stat(cask);
    assert_int_equal(stat.dead_size, 0);
    assert_int_equal(stat.retired_count, 4);
    assert_int_equal(stat.retired_size, before.data_size);
    assert_true(test_disk_has(disk, FIRST_DATA));
    expect_contents(cask);
}

static void what_cannot_be_removed_is_removed_by_the_next_merge(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    fill(cask);
    merge_without_removing(disk, cask);
    assert_status(bitcask_merge(cask, NULL, NULL), BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).retired_count, 0);
    assert_int_equal(test_cask_stat(cask).retired_size, 0);
    assert_false(test_disk_has(disk, FIRST_DATA));
    expect_contents(cask);
    test_cask_close(cask);
}

static void what_cannot_be_removed_is_removed_by_the_next_open(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    fill(cask);
    merge_without_removing(disk, cask);
    fail_removals(disk);
    (void)bitcask_close(cask);
    fault_io_disarm(&disk->fault);
    assert_true(test_disk_has(disk, FIRST_DATA));

    cask = test_cask_open_read_only(disk);
    expect_contents(cask);
    assert_true(test_disk_has(disk, FIRST_DATA));
    test_cask_close(cask);

    cask = test_cask_open(disk, NULL);
    expect_contents(cask);
    assert_int_equal(test_cask_stat(cask).retired_count, 0);
    assert_false(test_disk_has(disk, FIRST_DATA));
    test_cask_close(cask);
}

/* Whether a directory sync came before the first removal. */
struct order {
    bool synced;
    bool removed;
    bool right;
};

static void watch_order(enum fault_call call, void *context)
{
    struct order *order = context;

    if (call == FAULT_DIRECTORY_SYNC)
        order->synced = true;
    if (call == FAULT_REMOVE && !order->removed) {
        order->removed = true;
        order->right = order->synced;
    }
}

/* Who replaced the MANIFEST that retires the files may have died before it was durable.
 */
static void an_open_syncs_before_it_removes_what_was_replaced(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct order order = { false, false, false };

    fill(cask);
    merge_without_removing(disk, cask);
    fail_removals(disk);
    (void)bitcask_close(cask);
    fault_io_disarm(&disk->fault);

    disk->fault.before_context = &order;
    disk->fault.before = watch_order;
    cask = test_cask_open(disk, NULL);
    disk->fault.before = NULL;
    assert_true(order.removed);
    assert_true(order.right);
    test_cask_close(cask);
}

/* Steps become smaller, and each is tried, but not for ever. */
static void a_disk_that_stays_full_ends_a_merge(void **state)
{
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_WRITE),
                                     .count = FAULT_FOREVER,
                                     .status = BITCASK_NO_SPACE,
                                     .error = ENOSPC };
    const struct bitcask_options options = { .file_size_max = 4096,
                                             .no_background = true };
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &options);
    struct bitcask_merge_report report;

    fill(cask);
    assert_status(bitcask_sync(cask), BITCASK_OK);
    fault_io_arm(&disk->fault, &plan);
    assert_status(bitcask_merge(cask, &everything, &report), BITCASK_NO_SPACE);
    fault_io_disarm(&disk->fault);
    assert_int_equal(report.input_count, 0);
    assert_int_equal(report.left_count, 4);
    expect_contents(cask);
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).dead_size, 0);
    expect_contents(cask);
    test_cask_close(cask);
}

static void of_several_failures_the_first_is_told(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_merge_report report;

    fill(cask);
    test_disk_flip(disk, "0000000002.data", offset_of(3) + RECORD_SIZE - 1, 0x10);
    test_disk_flip(disk, "0000000003.data", offset_of(3) + RECORD_SIZE - 1, 0x10);
    assert_status(bitcask_merge(cask, &everything, &report), BITCASK_CORRUPT);
    assert_int_equal(report.left_count, 2);
    assert_detail("0000000002.data");
    test_cask_close(cask);
}

/* It was sealed for the merge, and a sealed file has one. */
static void what_was_not_merged_after_all_gets_its_hint(void **state)
{
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_RENAME) };
    const struct bitcask_options options = { .no_background = true };
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &options);

    test_cask_put(cask, "key", "value");
    assert_status(bitcask_sync(cask), BITCASK_OK);
    fault_io_arm(&disk->fault, &plan); /* of the MANIFEST that lists the output */
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_IO);
    assert_int_equal(fault_io_failure_count(&disk->fault), 1);
    fault_io_disarm(&disk->fault);
    assert_true(test_disk_has(disk, "0000000001.data"));
    assert_true(test_disk_has(disk, "0000000001.hint"));
    test_cask_expect(cask, "key", "value");
    test_cask_close(cask);
}

/* The cask is as it was, and merges when it can again; so does the next open. */
static void expect_recovered(struct test_disk *disk, struct bitcask *cask)
{
    enum bitcask_status status;

    expect_contents(cask);
    status = bitcask_merge(cask, &everything, NULL);
    if (status != BITCASK_FAILED) { /* a sync has failed: until the next open */
        assert_status(status, BITCASK_OK);
        assert_int_equal(test_cask_stat(cask).dead_size, 0);
        expect_contents(cask);
    }
    (void)bitcask_close(cask);
    cask = test_cask_open(disk, NULL);
    expect_contents(cask);
    assert_int_equal(test_cask_stat(cask).retired_count, 0);
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).dead_size, 0);
    test_cask_close(cask);
}

static void each_call_may_fail(void **state)
{
    static const struct {
        enum bitcask_status status;
        int error;
        long count;
    } kinds[] = {
        { BITCASK_IO, EIO, 0 },
        { BITCASK_NO_SPACE, ENOSPC, 0 },
        { BITCASK_IO, EIO, FAULT_FOREVER },
    };
    long ok_count = 0;

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(kinds); i++) {
        long failures = 1;

        for (long n = 0; failures > 0; n++) {
            const struct fault_plan plan = { .calls = FAULT_ANY,
                                             .skip = n,
                                             .count = kinds[i].count,
                                             .status = kinds[i].status,
                                             .error = kinds[i].error };
            struct sim_disk *sim = sim_disk_new((uint64_t)n + 1);
            struct test_disk disk = { .io = sim_disk_io(sim), .path = "/cask" };
            struct bitcask *cask = test_cask_open(&disk, NULL);
            enum bitcask_status status;

            fill(cask);
            sim_disk_arm(sim, &plan);
            status = bitcask_merge(cask, &everything, NULL);
            failures = sim_disk_failure_count(sim);
            sim_disk_disarm(sim);
            assert_true(failures > 0 || (status == BITCASK_OK && n > 30));
            ok_count += status == BITCASK_OK && failures > 0;
            expect_recovered(&disk, cask);
            assert_int_equal(sim_disk_open_count(sim), 0);
            sim_disk_free(sim);
        }
    }
    /* Hints are not needed, and a mapping is not: few others can be done without. */
    assert_true(ok_count > 0);
}

static void running_out_of_memory_is_survived(void **state)
{
    struct test_disk *disk = *state;

    test_disk_skip_syncs(disk);
    for (long n = 0;; n++) {
        struct bitcask *cask;
        enum bitcask_status status;
        long failures;

        test_disk_clear(disk);
        cask = test_cask_open(disk, NULL);
        fill(cask);
        test_alloc_fail(n);
        status = bitcask_merge(cask, &everything, NULL);
        failures = test_alloc_stop();
        assert_true(status == BITCASK_OK ||
                    (failures > 0 && status == BITCASK_NO_MEMORY));
        expect_recovered(disk, cask);
        if (failures == 0) {
            assert_true(n > 5);
            break;
        }
    }
}

static void a_cask_that_has_failed_does_not_merge(void **state)
{
    struct test_disk *disk = *state;
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_SYNC) };
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_merge_report report;

    fill(cask);
    fault_io_arm(&disk->fault, &plan);
    assert_status(bitcask_sync(cask), BITCASK_IO);
    assert_status(bitcask_merge(cask, &everything, &report), BITCASK_FAILED);
    assert_int_equal(report.input_count, 0);
    expect_contents(cask);
    (void)bitcask_close(cask);
    cask = test_cask_open(disk, NULL);
    expect_contents(cask);
    test_cask_close(cask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_damaged_record_is_named_and_the_others_are_merged),
        disk_test(damage_in_a_large_value_is_noticed),
        disk_test(damage_to_a_dead_value_is_in_nobodys_way),
        disk_test(a_damaged_file_is_explained),
        disk_test(what_cannot_be_removed_is_removed_by_the_next_merge),
        disk_test(what_cannot_be_removed_is_removed_by_the_next_open),
        disk_test(an_open_syncs_before_it_removes_what_was_replaced),
        disk_test(a_disk_that_stays_full_ends_a_merge),
        disk_test(of_several_failures_the_first_is_told),
        disk_test(what_was_not_merged_after_all_gets_its_hint),
        disk_test(each_call_may_fail),
        disk_test(running_out_of_memory_is_survived),
        disk_test(a_cask_that_has_failed_does_not_merge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
