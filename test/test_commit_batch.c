/* SPDX-License-Identifier: MIT */
#include "test/commit_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "test/test_alloc.h"

enum {
    PART_COUNT = 4
};

/* A put, a tombstone, a put that expires, and a put of nothing. */
static void init_parts(struct bitcask_pending parts[PART_COUNT])
{
    const struct bitcask_slice no_value = { NULL, 0 };

    bitcask_pending_init(&parts[0], BITCASK_RECORD_PUT, bitcask_text("ada"),
                         bitcask_text("1815"), 0);
    bitcask_pending_init(&parts[1], BITCASK_RECORD_TOMBSTONE, bitcask_text("bob"),
                         no_value, 0);
    bitcask_pending_init(&parts[2], BITCASK_RECORD_PUT, bitcask_text("session"),
                         bitcask_text("secret"), UINT64_MAX);
    bitcask_pending_init(&parts[3], BITCASK_RECORD_PUT, bitcask_text("empty"), no_value,
                         0);
}

/* 28 of the batch, 35 + 31 + 49 + 33 of its parts. */
static const uint64_t batch_size = 176;

static enum bitcask_status append_batch(struct commit_fixture *fixture)
{
    struct bitcask_pending parts[PART_COUNT];
    enum bitcask_status status;

    init_parts(parts);
    status = bitcask_commit_append_batch(&fixture->commit, parts, PART_COUNT);
    for (size_t i = 0; i < PART_COUNT && status == BITCASK_OK; i++)
        commit_fixture_remember(fixture, &parts[i]);
    return status;
}

static struct bitcask_segment *active(struct commit_fixture *fixture)
{
    return fixture->commit.active;
}

static void the_parts_of_a_batch_are_records_in_sequence(void **state)
{
    struct commit_fixture *fixture = *state;

    commit_fixture_begin(fixture, 1 << 20);
    assert_status(commit_fixture_put(fixture, "before", 10), BITCASK_OK);
    assert_status(append_batch(fixture), BITCASK_OK);
    assert_status(append_batch(fixture), BITCASK_OK);
    assert_status(commit_fixture_put(fixture, "behind", 10), BITCASK_OK);
    assert_int_equal(fixture->appended_count, 2 + 2 * PART_COUNT);
    assert_int_equal(fixture->appended[1].offset,
                     fixture->appended[0].offset +
                         commit_fixture_record_size("before", 10) +
                         BITCASK_RECORD_HEADER_SIZE);
    commit_fixture_check(fixture);
    assert_int_equal(atomic_load(&active(fixture)->tombstone_count), 2);
}

static void each_part_can_be_read_alone(void **state)
{
    struct commit_fixture *fixture = *state;
    struct bitcask_buffer value = { 0 };

    commit_fixture_begin(fixture, 1 << 20);
    assert_status(append_batch(fixture), BITCASK_OK);
    assert_status(commit_fixture_read(fixture, 0, &value), BITCASK_OK);
    assert_string_equal(value.data, "1815");
    assert_status(commit_fixture_read(fixture, 2, &value), BITCASK_OK);
    assert_string_equal(value.data, "secret");
    assert_status(commit_fixture_read(fixture, 3, &value), BITCASK_OK);
    assert_int_equal(value.size, 0);
    bitcask_buffer_release(&value);
}

static void the_parts_count_their_elder_brothers_as_unsynced(void **state)
{
    struct commit_fixture *fixture = *state;
    struct commit_record *records = calloc(COMMIT_RECORDS_MAX, sizeof *records);
    static const uint32_t expected[] = { 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 };

    assert_non_null(records);
    commit_fixture_begin(fixture, 1 << 20);
    assert_status(commit_fixture_put(fixture, "synced", 1), BITCASK_OK);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    assert_status(append_batch(fixture), BITCASK_OK);
    assert_status(commit_fixture_put(fixture, "between", 1), BITCASK_OK);
    assert_status(append_batch(fixture), BITCASK_OK);
    assert_int_equal(commit_fixture_walk(fixture, records), LENGTH_OF(expected));
    for (size_t i = 0; i < LENGTH_OF(expected); i++)
        assert_int_equal(records[i].unsynced_count, expected[i]);
    free(records);
}

static void a_batch_is_never_split_between_segments(void **state)
{
    struct commit_fixture *fixture = *state;

    /* Room for two batches and a byte less than a third. */
    commit_fixture_begin(fixture, BITCASK_FILE_HEADER_SIZE + 3 * batch_size - 1);
    for (int i = 0; i < 7; i++)
        assert_status(append_batch(fixture), BITCASK_OK);
    for (size_t i = 0; i < fixture->appended_count; i++)
        assert_int_equal(fixture->appended[i].segment_id, 1 + i / (2 * PART_COUNT));
    commit_fixture_check(fixture);
}

static void a_batch_larger_than_a_segment_has_one_of_its_own(void **state)
{
    struct commit_fixture *fixture = *state;

    commit_fixture_begin(fixture, 100);
    assert_status(commit_fixture_put(fixture, "k", 1), BITCASK_OK);
    assert_status(append_batch(fixture), BITCASK_OK);
    assert_status(commit_fixture_put(fixture, "k", 1), BITCASK_OK);
    assert_int_equal(fixture->appended[PART_COUNT].segment_id, 2);
    assert_int_equal(fixture->appended[1 + PART_COUNT].segment_id, 3);
    commit_fixture_check(fixture);
}

static void a_failed_batch_leaves_nothing_and_ends_its_segment(void **state)
{
    struct commit_fixture *fixture = *state;

    commit_fixture_begin(fixture, 1 << 20);
    fixture->commit.no_window = true; /* storing does not fail */
    for (size_t partial_size = 0; partial_size <= batch_size; partial_size++) {
        struct fault_plan plan = {
            .calls = FAULT_BIT(FAULT_WRITE),
            .status = BITCASK_NO_SPACE,
            .error = ENOSPC,
            .partial_size = partial_size,
        };
        struct bitcask_segment *segment;
        char name[BITCASK_NAME_SIZE];
        uint64_t size, last, synced;

        assert_status(commit_fixture_put(fixture, "before", 5), BITCASK_OK);
        segment = active(fixture);
        size = atomic_load(&segment->data_size);
        fault_io_arm(&fixture->disk->fault, &plan);
        assert_status(append_batch(fixture), BITCASK_NO_SPACE);
        fault_io_disarm(&fixture->disk->fault);
        assert_detail(strerror(ENOSPC));
        bitcask_commit_sequences(&fixture->commit, &last, &synced);
        assert_int_equal(last, fixture->appended_count);
        bitcask_data_name(name, segment->id);
        assert_int_equal(test_disk_size(fixture->disk, name), size);
        assert_int_equal(atomic_load(&segment->data_size), size);

        /* Parts lie there if the cut is lost: nothing may be written behind them. */
        assert_status(append_batch(fixture), BITCASK_OK);
        assert_true(atomic_load(&segment->sealed));
        assert_ptr_not_equal(active(fixture), segment);
        assert_int_equal(test_disk_size(fixture->disk, name), size);
        assert_int_equal(fixture->appended[fixture->appended_count - 1].sequence,
                         fixture->appended_count);
    }
    commit_fixture_check(fixture);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
}

static void a_batch_that_cannot_be_cut_off_ends_all_writing(void **state)
{
    struct commit_fixture *fixture = *state;
    struct fault_plan plan = {
        .calls = FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_TRUNCATE),
        .count = 2,
        .partial_size = 60,
    };

    commit_fixture_begin(fixture, 1 << 20);
    assert_status(commit_fixture_put(fixture, "before", 5), BITCASK_OK);
    fault_io_arm(&fixture->disk->fault, &plan);
    assert_status(append_batch(fixture), BITCASK_IO);
    assert_int_equal(fault_io_failure_count(&fixture->disk->fault), 2);
    fault_io_disarm(&fixture->disk->fault);
    assert_status(append_batch(fixture), BITCASK_FAILED);
    assert_status(commit_fixture_put(fixture, "behind", 5), BITCASK_FAILED);
    commit_fixture_check(fixture);
}

/* Nobody has so much memory: only the sizes are looked at. */
static void more_than_four_gigabytes_are_too_big(void **state)
{
    struct commit_fixture *fixture = *state;
    struct bitcask_pending parts[4];
    uint64_t last, synced;

    commit_fixture_begin(fixture, 1 << 20);
    init_parts(parts);
    for (size_t i = 0; i < LENGTH_OF(parts); i++) {
        parts[i].record = parts[0].record;
        parts[i].record.value_size = BITCASK_VALUE_SIZE_MAX;
    }
    assert_status(bitcask_commit_append_batch(&fixture->commit, parts, 4),
                  BITCASK_TOO_BIG);
    bitcask_commit_sequences(&fixture->commit, &last, &synced);
    assert_int_equal(last, 0);
    assert_int_equal(test_disk_count(fixture->disk), 1);
}

static void without_memory_a_batch_changes_nothing(void **state)
{
    struct commit_fixture *fixture = *state;
    long n;

    commit_fixture_begin(fixture, 1 << 20);
    assert_status(commit_fixture_put(fixture, "before", 5), BITCASK_OK);
    for (n = 0;; n++) {
        struct bitcask_pending parts[PART_COUNT];
        enum bitcask_status status;

        init_parts(parts);
        test_alloc_fail(n);
        status = bitcask_commit_append_batch(&fixture->commit, parts, PART_COUNT);
        if (test_alloc_stop() == 0) {
            assert_status(status, BITCASK_OK);
            for (size_t i = 0; i < PART_COUNT; i++)
                commit_fixture_remember(fixture, &parts[i]);
            break;
        }
        assert_status(status, BITCASK_NO_MEMORY);
        commit_fixture_check(fixture);
    }
    assert_true(n >= 1);
    commit_fixture_check(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        commit_test(the_parts_of_a_batch_are_records_in_sequence),
        commit_test(each_part_can_be_read_alone),
        commit_test(the_parts_count_their_elder_brothers_as_unsynced),
        commit_test(a_batch_is_never_split_between_segments),
        commit_test(a_batch_larger_than_a_segment_has_one_of_its_own),
        commit_test(a_failed_batch_leaves_nothing_and_ends_its_segment),
        commit_test(a_batch_that_cannot_be_cut_off_ends_all_writing),
        commit_test(more_than_four_gigabytes_are_too_big),
        commit_test(without_memory_a_batch_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
