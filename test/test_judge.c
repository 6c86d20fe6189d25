/* SPDX-License-Identifier: MIT */
/*
 * What recovery would say of a cask, asked without loading or changing anything.
 */
#include "test/test_cask.h"

#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/judge.h"
#include "test/test_alloc.h"

static const char second_data[] = "0000000002.data";

static enum bitcask_status judge(struct test_disk *disk, struct bitcask_verdict *verdict)
{
    struct bitcask_manifest manifest;
    enum bitcask_status status;

    bitcask_manifest_init(&manifest);
    assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                  BITCASK_OK);
    status = bitcask_judge(disk->io, disk->directory, &manifest, verdict);
    bitcask_manifest_release(&manifest);
    return status;
}

/* What a process that dies after so many writes leaves; the newest file is 2. */
static void write_killed(struct test_disk *disk, uint64_t count)
{
    struct test_image image = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_history_write(cask, 1, count);
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    test_image_restore(&image, disk);
    test_image_release(&image);
    assert_true(test_disk_has(disk, second_data));
}

static void a_cask_that_was_closed_is_kept_whole(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_verdict verdict;

    test_history_write(cask, 1, 30);
    test_cask_close(cask);
    assert_status(judge(disk, &verdict), BITCASK_OK);
    assert_status(verdict.status, BITCASK_OK);
    assert_int_equal(verdict.last_sequence, 30);
    assert_int_equal(bitcask_verdict_kept_size(&verdict, 2),
                     test_disk_size(disk, second_data));
    /* Not of those that were sealed, and not of those that are not there. */
    assert_int_equal(bitcask_verdict_kept_size(&verdict, 1), 0);
    assert_int_equal(bitcask_verdict_kept_size(&verdict, 9), 0);
    bitcask_verdict_release(&verdict);
    assert_int_equal(bitcask_verdict_kept_size(&verdict, 2), 0);
}

static void a_torn_tail_is_not_kept(void **state)
{
    struct test_disk *disk = *state;
    struct test_image before = { 0 };
    struct bitcask_verdict verdict;
    struct bitcask *cask;
    uint64_t kept, size;

    write_killed(disk, 30);
    assert_status(judge(disk, &verdict), BITCASK_OK);
    assert_status(verdict.status, BITCASK_OK);
    assert_int_equal(verdict.last_sequence, 30);
    size = bitcask_verdict_kept_size(&verdict, 2);
    bitcask_verdict_release(&verdict);

    test_disk_truncate(disk, second_data, size - 1);
    test_image_take(&before, disk->path);
    assert_status(judge(disk, &verdict), BITCASK_OK);
    test_image_unchanged(&before, disk->path);
    assert_status(verdict.status, BITCASK_OK);
    assert_int_equal(verdict.last_sequence, 29);
    kept = bitcask_verdict_kept_size(&verdict, 2);
    assert_in_range(kept, BITCASK_FILE_HEADER_SIZE, size - 1);
    bitcask_verdict_release(&verdict);
    test_image_release(&before);

    cask = test_cask_open(disk, NULL); /* which is of the same opinion */
    assert_int_equal(test_history_check(cask), 29);
    assert_int_equal(test_disk_size(disk, second_data), kept);
    test_cask_close(cask);
}

static void what_was_synced_and_is_gone_is_damage(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_verdict verdict;

    test_history_write(cask, 1, 30);
    test_cask_close(cask);
    test_disk_truncate(disk, second_data, test_disk_size(disk, second_data) - 1);
    assert_status(judge(disk, &verdict), BITCASK_OK);
    assert_status(verdict.status, BITCASK_CORRUPT);
    assert_non_null(strstr(verdict.detail, second_data));
    bitcask_verdict_release(&verdict);

    test_disk_remove(disk, second_data);
    assert_status(judge(disk, &verdict), BITCASK_OK);
    assert_status(verdict.status, BITCASK_CORRUPT);
    assert_true(verdict.detail[0] != '\0');
    bitcask_verdict_release(&verdict);
}

/* Damage in a sealed file is nothing that recovery looks at. */
static void sealed_files_are_not_judged(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_verdict verdict;

    test_history_write(cask, 1, 30);
    test_cask_close(cask);
    test_disk_truncate(disk, FIRST_DATA, 100);
    assert_status(judge(disk, &verdict), BITCASK_OK);
    assert_status(verdict.status, BITCASK_OK);
    assert_int_equal(verdict.last_sequence, 30);
    bitcask_verdict_release(&verdict);
}

/* A failure is told as one, or as a file that cannot be judged, and never as an end. */
static void a_failure_is_no_verdict(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_manifest manifest;
    long failures;

    write_killed(disk, 30);
    bitcask_manifest_init(&manifest);
    assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                  BITCASK_OK);
    for (int memory = 0; memory < 2; memory++) {
        for (long skip = 0;; skip++) {
            const struct fault_plan plan = { .calls = FAULT_ANY, .skip = skip };
            struct bitcask_verdict verdict;
            enum bitcask_status status;

            if (memory)
                test_alloc_fail(skip);
            else
                fault_io_arm(&disk->fault, &plan);
            status = bitcask_judge(disk->io, disk->directory, &manifest, &verdict);
            failures = memory ? test_alloc_stop() : fault_io_failure_count(&disk->fault);
            fault_io_disarm(&disk->fault);
            if (failures == 0) {
                assert_status(status, BITCASK_OK);
                assert_int_equal(verdict.last_sequence, 30);
                bitcask_verdict_release(&verdict);
                break;
            }
            if (memory)
                assert_status(status, BITCASK_NO_MEMORY);
            else if (status == BITCASK_OK)
                assert_true(verdict.status != BITCASK_OK || verdict.last_sequence == 30);
            else
                assert_status(status, BITCASK_IO);
            bitcask_verdict_release(&verdict);
            assert_true(skip < 1000);
        }
    }
    bitcask_manifest_release(&manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_cask_that_was_closed_is_kept_whole),
        disk_test(a_torn_tail_is_not_kept),
        disk_test(what_was_synced_and_is_gone_is_damage),
        disk_test(sealed_files_are_not_judged),
        disk_test(a_failure_is_no_verdict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
