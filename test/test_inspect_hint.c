/* SPDX-License-Identifier: MIT */
/* Hints compared with their data, and made again, without opening the cask. */
#include "test/hint_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/inspect_hint.h"
#include "test/test_alloc.h"

/* Take away all hints, make them again, and see that they are those of @image. */
static void expect_rebuilt(struct test_disk *disk, struct test_image *image)
{
    struct hint_reports reports;
    size_t hint_count = 0;

    for (size_t i = 0; i < image->count; i++) {
        if (strstr(image->files[i].name, ".hint") != NULL)
            test_disk_remove(disk, image->files[i].name);
    }
    assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_OK);
    for (size_t i = 0; i < image->count; i++) {
        const struct test_image_file *file = &image->files[i];
        struct bitcask_buffer bytes = { 0 };

        if (strstr(file->name, ".hint") == NULL)
            continue;
        hint_count++;
        test_disk_read(disk, file->name, &bytes);
        assert_int_equal(bytes.size, file->size);
        assert_memory_equal(bytes.data, file->bytes, file->size);
        bitcask_buffer_release(&bytes);
    }
    for (size_t i = 0; i < reports.count; i++) {
        const struct bitcask_hint_report *report = &reports.of[i];
        char name[BITCASK_NAME_SIZE];

        assert_true(report->written && report->exists && report->intact);
        assert_string_equal(reports.details[i], "");
        bitcask_hint_name(name, report->segment_id);
        assert_int_equal(report->hint_size, test_disk_size(disk, name));
    }
    assert_in_range(hint_count, 1, reports.count);
    assert_status(hint_test_verify(disk, 0, &reports), BITCASK_OK);
    for (size_t i = 0; i < reports.count; i++)
        assert_true(reports.of[i].exists && reports.of[i].intact &&
                    !reports.of[i].written);
}

static void what_is_rebuilt_is_what_the_store_had_written(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);

    for (unsigned i = 0; i < 3; i++)
        hint_test_fill(cask);
    test_cask_close(cask);
    test_image_take(&image, disk->path);
    assert_in_range(test_image_count(&image, ".hint"), 3, 20);
    expect_rebuilt(disk, &image);

    /* And nothing is in the way of the store afterwards. */
    cask = test_cask_open(disk, NULL);
    assert_int_equal(test_cask_stat(cask).scan_count, 0);
    test_cask_expect(cask, "key 2", "short");
    test_cask_expect(cask, "key 1", NULL);
    test_cask_close(cask);
    test_image_release(&image);
}

static void so_is_that_of_what_a_merge_has_written(void **state)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask_merge_report report;
    struct bitcask *cask = test_cask_open(disk, NULL);

    for (unsigned i = 0; i < 3; i++)
        hint_test_fill(cask);
    assert_status(bitcask_merge(cask, &all, &report), BITCASK_OK);
    assert_in_range(report.output_count, 1, 20);
    hint_test_fill(cask);
    test_cask_close(cask);
    test_image_take(&image, disk->path);
    expect_rebuilt(disk, &image);
    test_image_release(&image);
}

static void so_is_that_of_the_active_file_after_a_close(void **state)
{
    const struct bitcask_options options = { .no_background = true };
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask *cask = test_cask_open(disk, &options);
    uint8_t *noise = test_noise(1 << 20, 7);

    hint_test_fill(cask);
    assert_status(bitcask_put(cask, bitcask_text("noise"),
                              (struct bitcask_slice){ noise, 1 << 20 }),
                  BITCASK_OK);
    test_cask_close(cask);
    test_image_take(&image, disk->path);
    assert_int_equal(test_image_count(&image, ".hint"), 1);
    expect_rebuilt(disk, &image);
    free(noise);
    test_image_release(&image);
}

static void a_hint_may_speak_for_the_beginning_of_a_file(void **state)
{
    struct test_disk *disk = *state;
    struct hint_reports reports;
    struct bitcask *cask;
    uint64_t covered;

    hint_test_fill_disk(disk);
    assert_status(hint_test_rebuild(disk, 2, &reports), BITCASK_OK);
    assert_int_equal(reports.count, 1);
    assert_true(reports.of[0].written);
    covered = test_disk_size(disk, "0000000002.data");
    assert_int_equal(reports.of[0].data_size, covered);

    cask = test_cask_open(disk, NULL);
    assert_int_equal(test_cask_stat(cask).scan_count, 0);
    test_cask_put(cask, "one", "more");
    assert_status(hint_test_verify(disk, 2, &reports), BITCASK_OK);
    test_cask_close(cask);
    assert_true(test_disk_size(disk, "0000000002.data") > covered);
    assert_status(hint_test_verify(disk, 0, &reports), BITCASK_OK);
    assert_int_equal(reports.count, 2);
    assert_true(reports.of[1].intact);
    assert_int_equal(reports.of[1].data_size, covered);

    assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_OK);
    assert_int_equal(reports.of[1].data_size, test_disk_size(disk, "0000000002.data"));
    cask = test_cask_open(disk, NULL);
    assert_int_equal(test_cask_stat(cask).scan_count, 0);
    test_cask_expect(cask, "one", "more");
    test_cask_close(cask);
}

static void a_missing_hint_is_no_damage(void **state)
{
    struct test_disk *disk = *state;
    struct hint_reports reports;

    hint_test_fill_disk(disk);
    test_disk_remove(disk, FIRST_HINT);
    assert_status(hint_test_verify(disk, 0, &reports), BITCASK_OK);
    assert_int_equal(reports.count, 2);
    assert_false(reports.of[0].exists);
    assert_false(reports.of[0].intact);
    assert_string_equal(reports.details[0], "");
    assert_false(test_disk_has(disk, FIRST_HINT));
}

static void rebuild_takes_the_lock_and_verify_does_not(void **state)
{
    struct test_disk *disk = *state;
    struct hint_reports reports;
    struct bitcask *cask;

    hint_test_fill_disk(disk);
    cask = test_cask_open(disk, NULL);
    hint_test_fill(cask);
    assert_status(hint_test_verify(disk, 0, &reports), BITCASK_OK);
    assert_true(reports.of[0].intact);
    assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_LOCKED);
    assert_int_equal(reports.count, 0);
    test_cask_close(cask);
    assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_OK);
    /* And gives it back. */
    test_cask_close(test_cask_open(disk, NULL));
}

static void what_recovery_may_cut_is_left_alone(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct hint_reports reports;
    struct bitcask *cask;

    hint_test_fill_disk(disk);
    cask = test_cask_open(disk, NULL);
    test_cask_put(cask, "never", "synced");
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    test_image_restore(&image, disk);
    test_disk_remove(disk, FIRST_HINT);

    assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_OK);
    assert_int_equal(reports.count, 2);
    assert_true(reports.of[0].written);
    assert_false(reports.of[1].written);
    assert_string_not_equal(reports.details[1], "");
    assert_false(test_disk_has(disk, "0000000002.hint"));

    test_cask_close(test_cask_open(disk, NULL));
    assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_OK);
    assert_true(reports.of[1].written);
    test_image_release(&image);
}

static void change_state(struct test_disk *disk, uint64_t id,
                         enum bitcask_manifest_state state)
{
    struct bitcask_manifest manifest;
    bool switched;

    bitcask_manifest_init(&manifest);
    assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                  BITCASK_OK);
    for (size_t i = 0; i < manifest.segment_count; i++) {
        if (manifest.segments[i].id == id)
            manifest.segments[i].state = state;
    }
    assert_status(bitcask_manifest_write(&manifest, disk->io, disk->directory, &switched),
                  BITCASK_OK);
    bitcask_manifest_release(&manifest);
}

static void files_that_are_no_part_of_the_cask_are_not_looked_at(void **state)
{
    struct test_disk *disk = *state;
    struct hint_reports reports;

    hint_test_fill_disk(disk);
    change_state(disk, 1, BITCASK_MANIFEST_RETIRED);
    test_disk_flip(disk, FIRST_HINT, 100, 1);
    assert_status(hint_test_verify(disk, 0, &reports), BITCASK_OK);
    assert_int_equal(reports.count, 1);
    assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_OK);
    assert_int_equal(reports.count, 1);
    assert_int_equal(reports.of[0].segment_id, 2);
    assert_status(hint_test_verify(disk, 1, &reports), BITCASK_NOT_FOUND);
    assert_status(hint_test_rebuild(disk, 1, &reports), BITCASK_NOT_FOUND);
    assert_int_equal(reports.count, 0);
}

/* When the first data file is opened, a merge replaces it. */
struct replacement {
    struct test_disk *disk;
    int open_count;
};

static void replace_first(enum fault_call call, void *context)
{
    struct replacement *replacement = context;

    if (call != FAULT_OPEN || ++replacement->open_count != 2)
        return;
    change_state(replacement->disk, 1, BITCASK_MANIFEST_RETIRED);
    test_disk_remove(replacement->disk, FIRST_DATA);
    test_disk_remove(replacement->disk, FIRST_HINT);
}

static void a_file_that_a_merge_replaces_meanwhile_is_dropped(void **state)
{
    struct test_disk *disk = *state;
    struct replacement replacement = { .disk = disk };
    struct hint_reports reports;

    hint_test_fill_disk(disk);
    disk->fault.before = replace_first;
    disk->fault.before_context = &replacement;
    assert_status(hint_test_verify(disk, 0, &reports), BITCASK_OK);
    disk->fault.before = NULL;
    assert_true(replacement.open_count > 2);
    assert_int_equal(reports.count, 1);
    assert_int_equal(reports.of[0].segment_id, 2);
}

static void what_does_not_fit_the_manifest_gets_no_hint(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct hint_reports reports;

    hint_test_fill_disk(disk);
    test_image_take(&image, disk->path);
    for (unsigned i = 0; i < 4; i++) {
        const char *name = i % 2 == 0 ? FIRST_DATA : "0000000002.data";
        struct bitcask_manifest manifest;
        bool switched;

        test_image_restore(&image, disk);
        bitcask_manifest_init(&manifest);
        assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                      BITCASK_OK);
        if (i < 2)
            test_disk_truncate(disk, name, test_disk_size(disk, name) - 1);
        else
            manifest.segments[i - 2].last_sequence++;
        assert_status(
            bitcask_manifest_write(&manifest, disk->io, disk->directory, &switched),
            BITCASK_OK);
        bitcask_manifest_release(&manifest);
        assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_CORRUPT);
        assert_detail(name);
        assert_detail("MANIFEST");
        assert_int_equal(reports.count, 2);
        assert_int_equal(reports.of[0].written, i % 2 == 1);
        assert_int_equal(reports.of[1].written, i % 2 == 0);
        /* Of the second file there is no hint to be wrong. */
        assert_status(hint_test_verify(disk, i % 2 + 1, &reports),
                      i % 2 == 0 ? BITCASK_CORRUPT : BITCASK_OK);
    }
    test_image_release(&image);
}

static void a_damaged_manifest_hinders_only_the_rebuild(void **state)
{
    struct test_disk *disk = *state;
    struct hint_reports reports;

    hint_test_fill_disk(disk);
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            test_disk_flip(disk, "MANIFEST", 30, 1);
        else
            test_disk_remove(disk, "MANIFEST");
        assert_status(hint_test_verify(disk, 0, &reports), BITCASK_OK);
        assert_int_equal(reports.count, 2);
        assert_true(reports.of[0].intact);
        assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_CORRUPT);
        assert_detail("MANIFEST");
        assert_int_equal(reports.count, 0);
    }
    test_disk_flip(disk, FIRST_HINT, 200, 1);
    assert_status(hint_test_verify(disk, 0, &reports), BITCASK_CORRUPT);
}

static void a_file_that_is_not_listed_gets_no_hint(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer bytes = { 0 };
    struct hint_reports reports;

    hint_test_fill_disk(disk);
    test_disk_read(disk, FIRST_DATA, &bytes);
    test_disk_write(disk, "0000000077.data", bytes.data, bytes.size);
    assert_status(hint_test_verify(disk, 0, &reports), BITCASK_OK);
    assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_CORRUPT);
    assert_detail("0000000077.data is not listed");
    assert_int_equal(reports.count, 3);
    assert_true(reports.of[0].written && reports.of[1].written);
    assert_false(reports.of[2].written);
    bitcask_buffer_release(&bytes);
}

static void what_is_not_there_is_said(void **state)
{
    struct test_disk *disk = *state;
    struct hint_reports reports;

    assert_status(hint_test_verify(disk, 0, &reports), BITCASK_NOT_FOUND);
    assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_NOT_FOUND);
    assert_int_equal(test_disk_count(disk), 0);
    hint_test_fill_disk(disk);
    assert_status(hint_test_verify(disk, 9, &reports), BITCASK_NOT_FOUND);
    assert_detail("0000000009.data");
    assert_status(hint_test_rebuild(disk, 9, &reports), BITCASK_NOT_FOUND);
    assert_status(bitcask_hint_verify("/no/such/directory", 0, hint_test_note, &reports),
                  BITCASK_NOT_FOUND);
    assert_detail("/no/such/directory");
    assert_status(bitcask_hint_rebuild("/no/such/directory", 0, NULL, NULL),
                  BITCASK_NOT_FOUND);
    assert_status(bitcask_hint_verify(NULL, 0, hint_test_note, &reports), BITCASK_MISUSE);
    assert_status(bitcask_hint_rebuild("", 0, hint_test_note, &reports), BITCASK_MISUSE);
    /* The visit may be left out. */
    assert_status(bitcask_hint_verify(disk->path, 0, NULL, NULL), BITCASK_OK);
    assert_status(bitcask_hint_rebuild(disk->path, 0, NULL, NULL), BITCASK_OK);
}

static enum bitcask_status refuse(const struct bitcask_hint_report *report, void *context)
{
    (*(int *)context)++;
    assert_int_equal(report->segment_id, 1);
    return BITCASK_TOO_BIG;
}

static void the_visit_can_end_it(void **state)
{
    struct test_disk *disk = *state;
    int count = 0;

    hint_test_fill_disk(disk);
    assert_status(bitcask_hint_verify(disk->path, 0, refuse, &count), BITCASK_TOO_BIG);
    assert_status(bitcask_hint_rebuild(disk->path, 0, refuse, &count), BITCASK_TOO_BIG);
    assert_int_equal(count, 2);
}

/* The data is synced before its hint has a name, and the directory after. */
static void count_syncs(enum fault_call call, void *context)
{
    char *calls = context;

    if (call == FAULT_SYNC)
        strcat(calls, "s");
    else if (call == FAULT_RENAME)
        strcat(calls, "r");
    else if (call == FAULT_DIRECTORY_SYNC)
        strcat(calls, "d");
}

static void the_data_is_synced_before_the_hint_proves_it(void **state)
{
    struct test_disk *disk = *state;
    struct hint_reports reports;
    char calls[32] = "";

    hint_test_fill_disk(disk);
    disk->fault.before = count_syncs;
    disk->fault.before_context = calls;
    assert_status(hint_test_rebuild(disk, 0, &reports), BITCASK_OK);
    disk->fault.before = NULL;
    assert_string_equal(calls, "srsrd");
}

/* After a failure the hint is the former one or the new one. */
static void expect_either(struct test_disk *disk, const struct test_image *image)
{
    const struct test_image_file *hint = test_image_find(image, FIRST_HINT);
    struct bitcask_buffer bytes = { 0 };

    test_disk_read(disk, FIRST_HINT, &bytes);
    assert_int_equal(bytes.size, hint->size);
    if (memcmp(bytes.data, hint->bytes, hint->size) != 0) {
        ((uint8_t *)bytes.data)[200] ^= 1;
        assert_memory_equal(bytes.data, hint->bytes, hint->size);
    }
    assert_false(test_disk_has(disk, FIRST_HINT ".tmp"));
    bitcask_buffer_release(&bytes);
}

static void each_call_to_the_system_may_fail(void **state)
{
    /* The process id in LOCK is for people only. */
    const struct {
        unsigned calls;
        long skip;
    } cases[] = {
        { FAULT_ANY & ~FAULT_BIT(FAULT_TRUNCATE) & ~FAULT_BIT(FAULT_WRITE), 0 },
        { FAULT_BIT(FAULT_WRITE), 1 },
    };
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct hint_reports reports;

    hint_test_fill_disk(disk);
    test_image_take(&image, disk->path);
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        for (long n = cases[i].skip;; n++) {
            struct fault_plan plan = { .calls = cases[i].calls, .skip = n };
            enum bitcask_status status;

            test_image_restore(&image, disk);
            test_disk_flip(disk, FIRST_HINT, 200, 1);
            fault_io_arm(&disk->fault, &plan);
            status = hint_test_rebuild(disk, 0, &reports);
            fault_io_disarm(&disk->fault);
            expect_either(disk, &image);
            if (fault_io_failure_count(&disk->fault) == 0) {
                assert_status(status, BITCASK_OK);
                assert_in_range(n, cases[i].skip + 2, 1000);
                break;
            }
            assert_status(status, BITCASK_IO);
            assert_detail(strerror(EIO));
        }
    }
    for (long n = 0;; n++) {
        struct fault_plan plan = { .calls = FAULT_ANY, .skip = n };
        enum bitcask_status status;

        test_image_restore(&image, disk);
        fault_io_arm(&disk->fault, &plan);
        status = hint_test_verify(disk, 0, &reports);
        fault_io_disarm(&disk->fault);
        if (fault_io_failure_count(&disk->fault) == 0) {
            assert_status(status, BITCASK_OK);
            break;
        }
        assert_status(status, BITCASK_IO);
        assert_detail(strerror(EIO));
    }
    test_image_release(&image);
}

static void each_allocation_may_fail(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct hint_reports reports;

    hint_test_fill_disk(disk);
    test_image_take(&image, disk->path);
    for (int i = 0; i < 3; i++) {
        for (long n = 0;; n++) {
            enum bitcask_status status;

            test_image_restore(&image, disk);
            if (i == 2) /* so that the hint is asked about damage */
                test_disk_flip(disk, FIRST_DATA, 100, 1);
            test_alloc_fail(n);
            status = i == 0 ? hint_test_rebuild(disk, 0, &reports)
                            : hint_test_verify(disk, 0, &reports);
            if (test_alloc_stop() == 0) {
                assert_status(status, i == 2 ? BITCASK_CORRUPT : BITCASK_OK);
                break;
            }
            assert_status(status, BITCASK_NO_MEMORY);
            expect_either(disk, &image);
        }
    }
    test_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(what_is_rebuilt_is_what_the_store_had_written),
        disk_test(so_is_that_of_what_a_merge_has_written),
        disk_test(so_is_that_of_the_active_file_after_a_close),
        disk_test(a_hint_may_speak_for_the_beginning_of_a_file),
        disk_test(a_missing_hint_is_no_damage),
        disk_test(rebuild_takes_the_lock_and_verify_does_not),
        disk_test(what_recovery_may_cut_is_left_alone),
        disk_test(files_that_are_no_part_of_the_cask_are_not_looked_at),
        disk_test(a_file_that_a_merge_replaces_meanwhile_is_dropped),
        disk_test(what_does_not_fit_the_manifest_gets_no_hint),
        disk_test(a_damaged_manifest_hinders_only_the_rebuild),
        disk_test(a_file_that_is_not_listed_gets_no_hint),
        disk_test(what_is_not_there_is_said),
        disk_test(the_visit_can_end_it),
        disk_test(the_data_is_synced_before_the_hint_proves_it),
        disk_test(each_call_to_the_system_may_fail),
        disk_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
