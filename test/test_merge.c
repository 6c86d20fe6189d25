/* SPDX-License-Identifier: MIT */
/*
 * bitcask_merge() as a caller sees it: options, report, callbacks, time. What becomes of
 * the contents is in test_merge_contents.c, what fails in test_merge_failure.c.
 */
#include "test/test_cask.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bitcask/format.h"

enum {
    VALUE_SIZE = 100,
    RECORD_SIZE = BITCASK_RECORD_HEADER_SIZE + 4 + VALUE_SIZE,
    TOMBSTONE_SIZE = BITCASK_RECORD_HEADER_SIZE + 4,
    RECORDS_IN_FILE = (4096 - BITCASK_FILE_HEADER_SIZE) / RECORD_SIZE
};

static const struct bitcask_merge_options everything = { .choice = BITCASK_MERGE_ALL };

/* Records of RECORD_SIZE and TOMBSTONE_SIZE. */
static void put(struct bitcask *cask, unsigned key)
{
    char text[16], value[VALUE_SIZE + 1];

    (void)snprintf(text, sizeof text, "k%03u", key);
    (void)snprintf(value, sizeof value, "%0*u", VALUE_SIZE, key);
    test_cask_put(cask, text, value);
}

static void drop(struct bitcask *cask, unsigned key)
{
    char text[16];

    (void)snprintf(text, sizeof text, "k%03u", key);
    test_cask_delete(cask, text);
}

static void put_range(struct bitcask *cask, unsigned from, unsigned to)
{
    for (unsigned key = from; key < to; key++)
        put(cask, key);
}

/* The keys from @from on are there, @to is not; and no others. */
static void expect_range(struct bitcask *cask, unsigned from, unsigned to)
{
    for (unsigned key = from; key < to; key++) {
        char text[16], value[VALUE_SIZE + 1];

        (void)snprintf(text, sizeof text, "k%03u", key);
        (void)snprintf(value, sizeof value, "%0*u", VALUE_SIZE, key);
        test_cask_expect(cask, text, value);
    }
    assert_int_equal(test_cask_stat(cask).key_count, to - from);
}

static struct bitcask_merge_report merge(struct bitcask *cask,
                                         const struct bitcask_merge_options *options)
{
    struct bitcask_merge_report report;

    assert_status(bitcask_merge(cask, options, &report), BITCASK_OK);
    return report;
}

static void expect_no_report(const struct bitcask_merge_report *report)
{
    const struct bitcask_merge_report none = { 0 };

    assert_memory_equal(report, &none, sizeof none);
}

static void what_is_misused_is_refused(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_merge_options cases[5];
    struct bitcask_merge_report report;
    bool due;

    memset(cases, 0, sizeof cases);
    cases[0].reserved_flags[1] = true;
    cases[1].reserved[7] = 1;
    cases[2].choice = (enum bitcask_merge_choice)(BITCASK_MERGE_FILES + 1);
    cases[3].choice = (enum bitcask_merge_choice) - 1;
    cases[4].choice = BITCASK_MERGE_FILES;
    cases[4].file_count = 1; /* of NULL */
    put_range(cask, 0, 5);
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        memset(&report, 1, sizeof report);
        assert_status(bitcask_merge(cask, &cases[i], &report), BITCASK_MISUSE);
        assert_detail("options");
        expect_no_report(&report);
    }
    assert_status(bitcask_merge(NULL, NULL, &report), BITCASK_MISUSE);
    assert_status(bitcask_merge_due(NULL, &due), BITCASK_MISUSE);
    assert_status(bitcask_merge_due(cask, NULL), BITCASK_MISUSE);
    assert_status(bitcask_merge_pause(NULL), BITCASK_MISUSE);
    assert_status(bitcask_merge_resume(NULL), BITCASK_MISUSE);
    assert_status(bitcask_merge_resume(cask), BITCASK_MISUSE);
    assert_detail("not paused");
    assert_int_equal(test_cask_stat(cask).merge_count, 0);
    test_cask_close(cask);
}

static void a_read_only_cask_does_not_merge(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    const struct bitcask_merge_options dry = { .choice = BITCASK_MERGE_ALL,
                                               .dry_run = true };
    struct bitcask_merge_report report;
    bool due = true;

    put_range(cask, 0, 5);
    test_cask_close(cask);
    cask = test_cask_open_read_only(disk);
    assert_status(bitcask_merge(cask, NULL, &report), BITCASK_READ_ONLY);
    expect_no_report(&report);
    assert_status(bitcask_merge(cask, &dry, &report), BITCASK_OK);
    assert_int_equal(report.input_count, 1);
    assert_status(bitcask_merge_pause(cask), BITCASK_READ_ONLY);
    assert_status(bitcask_merge_resume(cask), BITCASK_READ_ONLY);
    assert_status(bitcask_merge_due(cask, &due), BITCASK_OK);
    assert_false(due);
    test_cask_close(cask);
}

static void options_and_report_may_be_null(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    put_range(cask, 0, 10);
    put_range(cask, 0, 10);
    assert_status(bitcask_merge(cask, NULL, NULL), BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).merge_count, 1);
    assert_int_equal(test_cask_stat(cask).dead_size, 0);
    expect_range(cask, 0, 10);
    test_cask_close(cask);
}

static void the_report_says_exactly_what_was_done(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    uint64_t before = BITCASK_FILE_HEADER_SIZE + 15 * RECORD_SIZE + TOMBSTONE_SIZE;
    uint64_t after = BITCASK_FILE_HEADER_SIZE + 9 * RECORD_SIZE;
    struct bitcask_merge_report report;
    struct bitcask_stat stat;

    put_range(cask, 0, 10);
    put_range(cask, 0, 5);
    drop(cask, 9);
    stat = test_cask_stat(cask);
    assert_int_equal(stat.data_size, before);
    assert_int_equal(stat.appended_size, before - BITCASK_FILE_HEADER_SIZE);

    report = merge(cask, &everything);
    assert_int_equal(report.input_count, 1);
    assert_int_equal(report.output_count, 1);
    assert_int_equal(report.input_size, before);
    assert_int_equal(report.output_size, after);
    assert_int_equal(report.record_in_count, 16);
    assert_int_equal(report.record_out_count, 9);
    assert_int_equal(report.tombstone_dropped_count, 1);
    assert_int_equal(report.tombstone_kept_count, 0);
    assert_int_equal(report.taken_count, 1);
    assert_int_equal(report.left_count, 0);

    stat = test_cask_stat(cask);
    assert_int_equal(stat.key_count, 9);
    assert_int_equal(stat.segment_count, 1);
    assert_int_equal(stat.data_size, after);
    assert_int_equal(stat.live_size, 9 * RECORD_SIZE);
    assert_int_equal(stat.dead_size, 0);
    assert_int_equal(stat.last_sequence, 16);
    assert_int_equal(stat.synced_sequence, 16);
    assert_int_equal(stat.appended_size, before - BITCASK_FILE_HEADER_SIZE);
    assert_int_equal(stat.merge_count, 1);
    assert_int_equal(stat.merge_copied_size, after);
    assert_int_equal(stat.merge_freed_size, before - after);
    assert_int_equal(stat.merge_failure, 0);
    assert_int_equal(stat.retired_count, 0);
    assert_false(test_disk_has(disk, FIRST_DATA));
    assert_false(test_disk_has(disk, FIRST_HINT));
    expect_range(cask, 0, 9);
    test_cask_close(cask);
}

static void nothing_to_do_is_done_at_once(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_merge_report report = merge(cask, &everything);
    long writes;
    bool due = true;

    expect_no_report(&report);
    assert_status(bitcask_merge_due(cask, &due), BITCASK_OK);
    assert_false(due);
    put_range(cask, 0, 10);
    writes = fault_io_count(&disk->fault, FAULT_WRITE);
    report = merge(cask, NULL);
    expect_no_report(&report);
    assert_int_equal(fault_io_count(&disk->fault, FAULT_WRITE), writes);
    assert_int_equal(test_cask_stat(cask).merge_count, 0);
    test_cask_close(cask);
}

/* The first data file is cold, half of what the second deletes is put again in a third.
 */
static void make_tombstones(struct bitcask *cask)
{
    put_range(cask, 0, RECORDS_IN_FILE);
    for (unsigned key = 0; key < 22; key++) /* the first two are in the first file */
        drop(cask, key);
    put_range(cask, 100, 100 + RECORDS_IN_FILE);
    put_range(cask, 2, 12);
}

static enum bitcask_status note_id(const struct bitcask_segment_stat *segment,
                                   void *context)
{
    uint64_t *ids = context;
    size_t i = 0;

    while (ids[i] != 0)
        i++;
    ids[i] = segment->id;
    return BITCASK_OK;
}

static void tombstones_stay_while_an_older_file_does(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    uint64_t ids[16] = { 0 };
    struct bitcask_merge_options second = { .choice = BITCASK_MERGE_FILES,
                                            .file_count = 1 };
    struct bitcask_merge_report report, foretold, guessed;
    long reads;

    make_tombstones(cask);
    assert_status(bitcask_stat_segments(cask, note_id, ids), BITCASK_OK);
    second.file_ids = &ids[1];
    second.dry_run = true;
    second.estimate = true;
    reads = fault_io_count(&disk->fault, FAULT_READ);
    guessed = merge(cask, &second);
    assert_int_equal(fault_io_count(&disk->fault, FAULT_READ), reads);
    second.estimate = false;
    foretold = merge(cask, &second);
    assert_true(fault_io_count(&disk->fault, FAULT_READ) > reads);
    assert_int_equal(guessed.taken_count, foretold.taken_count);
    assert_int_equal(guessed.input_size, foretold.input_size);
    second.dry_run = false;
    report = merge(cask, &second);
    assert_int_equal(report.tombstone_kept_count, 10);
    assert_int_equal(report.tombstone_dropped_count, 10);
    assert_int_equal(foretold.tombstone_kept_count, 10);
    assert_int_equal(foretold.tombstone_dropped_count, 10);
    assert_int_equal(foretold.output_size, report.output_size);

    /* With the cold file they can go. */
    report = merge(cask, &everything);
    assert_int_equal(report.tombstone_kept_count, 0);
    assert_int_equal(report.tombstone_dropped_count, 12);
    assert_int_equal(test_cask_stat(cask).dead_size, 0);
    test_cask_close(cask);
}

/* The last tombstone before the first record of what stays. */
static void tombstones_go_if_all_that_stays_is_younger(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    const uint64_t first = 1;
    const struct bitcask_merge_options options = { .choice = BITCASK_MERGE_FILES,
                                                   .file_ids = &first,
                                                   .file_count = 1 };
    struct bitcask_merge_report report;

    put_range(cask, 0, RECORDS_IN_FILE - 1);
    for (unsigned key = 0; key < 3; key++)
        drop(cask, key);
    put_range(cask, 100, 110); /* begins the second file */
    report = merge(cask, &options);
    assert_int_equal(report.record_in_count, RECORDS_IN_FILE + 2);
    assert_int_equal(report.record_out_count, RECORDS_IN_FILE - 4);
    assert_int_equal(report.tombstone_dropped_count, 3);
    assert_int_equal(report.tombstone_kept_count, 0);
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    test_cask_expect(cask, "k000", NULL);
    test_cask_close(cask);
}

/* It was written after them, so it has nothing that they delete; also after a reopen. */
static void a_merged_file_holds_no_older_tombstones_back(void **state)
{
    struct test_disk *disk = *state;

    for (int reopens = 0; reopens < 2; reopens++) {
        struct bitcask_merge_options options = { .choice = BITCASK_MERGE_FILES,
                                                 .file_count = 1 };
        const uint64_t first = 1, second = 2;
        struct bitcask_merge_report report;
        struct bitcask *cask;

        test_disk_clear(disk);
        cask = test_cask_open(disk, NULL);
        put_range(cask, 0, RECORDS_IN_FILE + 10);
        for (unsigned key = 5; key < 15; key++)
            drop(cask, key);
        options.file_ids = &first;
        report = merge(cask, &options);
        assert_int_equal(report.record_out_count, RECORDS_IN_FILE - 10);
        if (reopens) {
            test_cask_close(cask);
            cask = test_cask_open(disk, NULL);
        }
        options.file_ids = &second;
        report = merge(cask, &options);
        assert_int_equal(report.record_out_count, 10);
        assert_int_equal(report.tombstone_dropped_count, 10);
        assert_int_equal(report.tombstone_kept_count, 0);
        assert_int_equal(test_cask_stat(cask).dead_size, 0);
        test_cask_close(cask);
        cask = test_cask_open(disk, NULL);
        assert_int_equal(test_cask_stat(cask).key_count, RECORDS_IN_FILE);
        test_cask_expect(cask, "k005", NULL);
        test_cask_close(cask);
    }
}

/* @foretold is within 2 percent of @found. */
static void expect_close(uint64_t foretold, uint64_t found)
{
    uint64_t difference = foretold > found ? foretold - found : found - foretold;

    if (difference * 50 > found)
        printf("  foretold %" PRIu64 ", found %" PRIu64 "\n", foretold, found);
    assert_true(difference * 50 <= found);
}

static void a_dry_run_foretells_and_changes_nothing(void **state)
{
    static const enum bitcask_merge_choice choices[] = { BITCASK_MERGE_POLICY,
                                                         BITCASK_MERGE_ALL };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(choices); i++) {
        struct bitcask_merge_options options = { .choice = choices[i], .dry_run = true };
        struct bitcask_merge_report foretold, found;
        struct test_image image = { 0 };
        struct bitcask *cask;

        test_disk_clear(disk);
        cask = test_cask_open(disk, NULL);
        for (unsigned round = 0; round < 8; round++)
            put_range(cask, round * 30, round * 30 + 150);
        for (unsigned key = 0; key < 300; key += 3)
            drop(cask, key);
        assert_status(bitcask_sync(cask), BITCASK_OK);
        test_image_take(&image, disk->path);
        foretold = merge(cask, &options);
        test_image_unchanged(&image, disk->path);
        test_image_release(&image);
        assert_int_equal(test_cask_stat(cask).merge_count, 0);

        options.dry_run = false;
        found = merge(cask, &options);
        assert_true(found.input_count > 10);
        assert_int_equal(foretold.input_count, found.input_count);
        assert_int_equal(foretold.input_size, found.input_size);
        assert_int_equal(foretold.record_in_count, found.record_in_count);
        assert_int_equal(foretold.record_out_count, found.record_out_count);
        assert_int_equal(foretold.tombstone_kept_count, found.tombstone_kept_count);
        assert_int_equal(foretold.tombstone_dropped_count, found.tombstone_dropped_count);
        assert_int_equal(foretold.taken_count, found.taken_count);
        assert_true(foretold.output_count + 2 >= found.output_count &&
                    foretold.output_count <= found.output_count + 2);
        expect_close(foretold.output_size, found.output_size);
        expect_close(foretold.input_size - foretold.output_size,
                     found.input_size - found.output_size);
        test_cask_close(cask);
    }
}

static void named_files_are_merged_and_no_others(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    uint64_t ids[16] = { 0 }, left[16] = { 0 };
    struct bitcask_merge_options options = { .choice = BITCASK_MERGE_FILES };
    struct bitcask_merge_report report;

    put_range(cask, 0, 4 * RECORDS_IN_FILE);
    report = merge(cask, &options); /* none is named */
    expect_no_report(&report);
    assert_status(bitcask_stat_segments(cask, note_id, ids), BITCASK_OK);
    assert_true(ids[3] != 0 && ids[4] == 0);

    ids[4] = ids[1]; /* twice is once */
    options.file_ids = (const uint64_t[]){ ids[3], ids[1], ids[4] };
    options.file_count = 3;
    report = merge(cask, &options);
    assert_int_equal(report.taken_count, 2);
    assert_int_equal(report.input_count, 2);
    assert_status(bitcask_stat_segments(cask, note_id, left), BITCASK_OK);
    assert_int_equal(left[0], ids[0]);
    assert_int_equal(left[1], ids[2]);
    assert_true(left[2] > ids[3] && left[3] > left[2]);
    expect_range(cask, 0, 4 * RECORDS_IN_FILE);

    options.file_ids = (const uint64_t[]){ left[0], ids[1] };
    options.file_count = 2;
    assert_status(bitcask_merge(cask, &options, &report), BITCASK_NOT_FOUND);
    assert_detail("0000000002.data");
    expect_no_report(&report);
    assert_int_equal(test_cask_stat(cask).merge_count, 1);
    test_cask_close(cask);
}

struct explained {
    struct bitcask_merge_file files[16];
    struct bitcask_segment_stat segments[16];
    size_t file_count, segment_count;
    enum bitcask_status answer;
};

static enum bitcask_status note_file(const struct bitcask_merge_file *file, void *context)
{
    struct explained *explained = context;

    explained->files[explained->file_count++] = *file;
    return explained->answer;
}

static enum bitcask_status note_segment(const struct bitcask_segment_stat *segment,
                                        void *context)
{
    struct explained *explained = context;

    explained->segments[explained->segment_count++] = *segment;
    return BITCASK_OK;
}

static void each_file_is_explained_in_order_of_id(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct explained explained = { .file_count = 0 };
    struct bitcask_merge_options options = { .explain = note_file,
                                             .context = &explained };
    struct bitcask_merge_report report;
    uint64_t freed_size = 0;

    put_range(cask, 0, RECORDS_IN_FILE);         /* all dead */
    put_range(cask, 100, 100 + RECORDS_IN_FILE); /* cold */
    put_range(cask, 0, RECORDS_IN_FILE);         /* most of it dead */
    put_range(cask, 0, RECORDS_IN_FILE - 5);     /* active, live, small */
    assert_status(bitcask_stat_segments(cask, note_segment, &explained), BITCASK_OK);
    report = merge(cask, &options);
    assert_int_equal(explained.file_count, 4);
    assert_int_equal(explained.segment_count, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct bitcask_merge_file *file = &explained.files[i];

        assert_int_equal(file->id, explained.segments[i].id);
        assert_int_equal(file->data_size, explained.segments[i].data_size);
        assert_int_equal(file->live_size, explained.segments[i].live_size);
        assert_int_equal(file->tombstone_size, 0);
        assert_int_equal(file->active, i == 3);
        assert_int_equal(file->taken, i == 0 || i == 2);
        assert_int_equal(file->freed_size,
                         file->taken ? file->data_size - file->live_size : 0);
        freed_size += file->freed_size;
    }
    assert_int_equal(explained.files[0].reason, BITCASK_MERGE_ALL_DEAD);
    assert_int_equal(explained.files[1].reason, BITCASK_MERGE_LEFT);
    assert_int_equal(explained.files[2].reason, BITCASK_MERGE_DEAD);
    assert_int_equal(explained.files[3].reason, BITCASK_MERGE_LEFT);
    expect_close(freed_size, report.input_size - report.output_size);
    test_cask_close(cask);
}

static void explaining_can_end_the_merge(void **state)
{
    static const enum bitcask_status answers[] = { BITCASK_LOCKED, BITCASK_NOT_FOUND };
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    put_range(cask, 0, 3 * RECORDS_IN_FILE);
    for (size_t i = 0; i < LENGTH_OF(answers); i++) {
        struct explained explained = { .answer = answers[i] };
        const struct bitcask_merge_options options = { .choice = BITCASK_MERGE_ALL,
                                                       .explain = note_file,
                                                       .context = &explained };

        assert_status(bitcask_merge(cask, &options, NULL), answers[i]);
        assert_int_equal(explained.file_count, 1);
    }
    assert_int_equal(test_cask_stat(cask).merge_count, 0);
    expect_range(cask, 0, 3 * RECORDS_IN_FILE);
    test_cask_close(cask);
}

/* Sleeping moves the clock of @disk and takes no time, so that this is exact. */
static void the_rate_is_kept_to_the_millisecond(void **state)
{
    static const uint64_t rates[] = { 1000, 4096, 100000, 12345678 };
    struct test_disk *disk = *state;
    struct bitcask *cask;

    atomic_store(&disk->fault.monotonic_ms, 1000);
    cask = test_cask_open(disk, NULL);
    put_range(cask, 0, 200);
    for (size_t i = 0; i < LENGTH_OF(rates); i++) {
        const struct bitcask_merge_options options = { .choice = BITCASK_MERGE_ALL,
                                                       .rate = rates[i] };
        uint64_t begun_ms = atomic_load(&disk->fault.monotonic_ms);
        struct bitcask_merge_report report = merge(cask, &options);
        uint64_t read_size =
            report.input_size - report.input_count * BITCASK_FILE_HEADER_SIZE;

        assert_int_equal(report.elapsed_ms, read_size * 1000 / rates[i]);
        assert_int_equal(atomic_load(&disk->fault.monotonic_ms) - begun_ms,
                         report.elapsed_ms);
    }
    expect_range(cask, 0, 200);
    test_cask_close(cask);
}

static void without_a_rate_nobody_sleeps(void **state)
{
    static const uint64_t rates[] = { 0, UINT64_MAX };
    struct test_disk *disk = *state;
    struct bitcask *cask;

    atomic_store(&disk->fault.monotonic_ms, 1000);
    cask = test_cask_open(disk, NULL);
    put_range(cask, 0, 200);
    for (size_t i = 0; i < LENGTH_OF(rates); i++) {
        const struct bitcask_merge_options options = { .choice = BITCASK_MERGE_ALL,
                                                       .rate = rates[i] };

        assert_int_equal(merge(cask, &options).elapsed_ms, 0);
    }
    assert_int_equal(atomic_load(&disk->fault.monotonic_ms), 1000);
    test_cask_close(cask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(what_is_misused_is_refused),
        disk_test(a_read_only_cask_does_not_merge),
        disk_test(options_and_report_may_be_null),
        disk_test(the_report_says_exactly_what_was_done),
        disk_test(nothing_to_do_is_done_at_once),
        disk_test(tombstones_stay_while_an_older_file_does),
        disk_test(tombstones_go_if_all_that_stays_is_younger),
        disk_test(a_merged_file_holds_no_older_tombstones_back),
        disk_test(a_dry_run_foretells_and_changes_nothing),
        disk_test(named_files_are_merged_and_no_others),
        disk_test(each_file_is_explained_in_order_of_id),
        disk_test(explaining_can_end_the_merge),
        disk_test(the_rate_is_kept_to_the_millisecond),
        disk_test(without_a_rate_nobody_sleeps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
