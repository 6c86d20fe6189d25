/* SPDX-License-Identifier: MIT */
/* Appends, rotations and ends that fail. test_commit_sync.c has failed syncs. */
#include "test/commit_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/manifest.h"
#include "test/test_alloc.h"

static void a_failed_append_leaves_the_segment_as_it_was(void **state)
{
    static const size_t partial_sizes[] = { 0, 1, 4, 27, 28, 30, 31, 32, 90, 130, 131 };
    struct commit_fixture *fixture = *state;

    commit_fixture_begin(fixture, 1 << 20);
    for (size_t i = 0; i < LENGTH_OF(partial_sizes); i++) {
        struct fault_plan plan = {
            .calls = FAULT_BIT(FAULT_WRITE),
            .status = BITCASK_NO_SPACE,
            .error = ENOSPC,
            .partial_size = partial_sizes[i],
        };
        uint64_t size, last, synced;

        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
        size = test_disk_size(fixture->disk, "0000000001.data");
        fault_io_arm(&fixture->disk->fault, &plan);
        assert_status(commit_fixture_put(fixture, "lost", 100), BITCASK_NO_SPACE);
        fault_io_disarm(&fixture->disk->fault);
        assert_detail("0000000001.data");
        assert_detail(strerror(ENOSPC));
        assert_int_equal(test_disk_size(fixture->disk, "0000000001.data"), size);
        assert_int_equal(atomic_load(&fixture->commit.active->data_size), size);
        bitcask_commit_sequences(&fixture->commit, &last, &synced);
        assert_int_equal(last, fixture->appended_count);
        assert_status(bitcask_commit_check(&fixture->commit), BITCASK_OK);
    }
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_int_equal(fixture->sealed_count, 0);
    commit_fixture_check(fixture);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
}

/* Else the power could bring back what was cut off, between sectors of what is new. */
static void a_cut_is_synced_before_the_next_record(void **state)
{
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_WRITE),
                                     .status = BITCASK_NO_SPACE,
                                     .partial_size = 31 };
    struct commit_fixture *fixture = *state;
    long syncs;

    commit_fixture_begin(fixture, 1 << 20);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    fault_io_arm(&fixture->disk->fault, &plan);
    assert_status(commit_fixture_put(fixture, "lost", 100), BITCASK_NO_SPACE);
    fault_io_disarm(&fixture->disk->fault);
    syncs = fault_io_count(&fixture->disk->fault, FAULT_SYNC);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_true(fault_io_count(&fixture->disk->fault, FAULT_SYNC) > syncs);
    syncs = fault_io_count(&fixture->disk->fault, FAULT_SYNC);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_SYNC), syncs);
}

static void what_cannot_be_cut_off_ends_all_writing(void **state)
{
    struct commit_fixture *fixture = *state;
    struct fault_plan plan = {
        .calls = FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_TRUNCATE),
        .count = 2,
        .status = BITCASK_NO_SPACE,
        .error = ENOSPC,
        .partial_size = 40,
    };
    struct bitcask_buffer value = { 0 };
    long writes;

    commit_fixture_begin(fixture, 1 << 20);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    fault_io_arm(&fixture->disk->fault, &plan);
    assert_status(commit_fixture_put(fixture, "lost", 100), BITCASK_NO_SPACE);
    assert_int_equal(fault_io_failure_count(&fixture->disk->fault), 2);
    fault_io_disarm(&fixture->disk->fault);

    assert_status(bitcask_commit_check(&fixture->commit), BITCASK_FAILED);
    assert_true(strlen(bitcask_error_detail()) > 0);
    writes = fault_io_count(&fixture->disk->fault, FAULT_WRITE);
    for (int i = 0; i < 3; i++)
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_FAILED);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_WRITE), writes);
    /* No sync has failed, so what was acknowledged can still be made safe. */
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    assert_status(commit_fixture_read(fixture, 0, &value), BITCASK_OK);
    commit_fixture_check(fixture);
    bitcask_buffer_release(&value);
}

/* The disk fills up when the next segment is to be created, and space returns. */
static void a_rotation_that_finds_no_space_is_made_up_for(void **state)
{
    static const unsigned calls[] = { FAULT_BIT(FAULT_OPEN), FAULT_BIT(FAULT_WRITE) };
    struct commit_fixture *fixture = *state;

    commit_fixture_begin(fixture, 200);
    for (size_t i = 0; i < LENGTH_OF(calls); i++) {
        struct fault_plan plan = {
            .calls = calls[i],
            .count = 3,
            .status = BITCASK_NO_SPACE,
            .error = ENOSPC,
            .partial_size = 10,
        };
        struct bitcask_segment *segment;

        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
        segment = fixture->commit.active;
        fault_io_arm(&fixture->disk->fault, &plan);
        for (int attempt = 0; attempt < 3; attempt++) {
            assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_NO_SPACE);
            assert_ptr_equal(fixture->commit.active, segment);
            assert_false(atomic_load(&segment->sealed));
        }
        /* What still fits the active segment is welcome. */
        assert_status(commit_fixture_put(fixture, "k", 1), BITCASK_OK);
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
        assert_true(atomic_load(&segment->sealed));
    }
    commit_fixture_check(fixture);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
}

/* A sector of its file may be found one day, and must not look like one of another. */
static void an_id_that_could_not_be_used_stays_listed(void **state)
{
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_OPEN) };
    struct commit_fixture *fixture = *state;
    const struct bitcask_manifest_segment *line;
    struct bitcask_manifest manifest;
    uint64_t id;

    commit_fixture_begin(fixture, 200);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    id = fixture->commit.prepared[fixture->commit.prepared_next].id;
    fault_io_arm(&fixture->disk->fault, &plan);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_IO);
    assert_int_equal(fault_io_failure_count(&fixture->disk->fault), 1);
    fault_io_disarm(&fixture->disk->fault);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_int_equal(fixture->commit.active->id, id + 1);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);

    bitcask_manifest_init(&manifest);
    assert_status(
        bitcask_manifest_read(&manifest, fixture->disk->io, fixture->disk->directory),
        BITCASK_OK);
    line = bitcask_manifest_find(&manifest, id);
    assert_non_null(line);
    assert_int_equal(line->state, BITCASK_MANIFEST_PREPARED);
    bitcask_manifest_release(&manifest);
}

/* Which MANIFEST will be found is not known once its name was not synced. */
static void a_manifest_that_may_be_either_ends_all_writing(void **state)
{
    static const struct {
        enum fault_call call;
        enum bitcask_status after;
    } cases[] = {
        { FAULT_SYNC, BITCASK_OK }, /* of the temporary file, of which nobody knows */
        { FAULT_RENAME, BITCASK_OK },
        { FAULT_DIRECTORY_SYNC, BITCASK_FAILED },
    };
    struct commit_fixture *fixture = *state;

    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct fault_plan plan = { .calls = FAULT_BIT(cases[i].call) };

        commit_fixture_end(fixture);
        test_disk_clear(fixture->disk);
        fixture->appended_count = 0;
        commit_fixture_begin(fixture, 1000);
        assert_status(commit_fixture_put(fixture, "key", 10), BITCASK_OK);
        assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
        fault_io_arm(&fixture->disk->fault, &plan);
        assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_IO);
        assert_int_equal(fault_io_failure_count(&fixture->disk->fault), 1);
        fault_io_disarm(&fixture->disk->fault);
        assert_status(bitcask_commit_check(&fixture->commit), cases[i].after);
        assert_status(commit_fixture_put(fixture, "key", 10), cases[i].after);
        assert_status(bitcask_commit_finish(&fixture->commit), cases[i].after);
        commit_fixture_check(fixture);
    }
}

/*
 * A day in the life of a queue: puts with rotations, a batch, syncs. Statuses do not
 * matter here, but after every one of them the next call is made.
 */
static void live_a_day(struct commit_fixture *fixture)
{
    for (size_t i = 0; i < 40; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "key-%zu", i);
        (void)commit_fixture_put(fixture, key, i * 37 % 200);
        if (i % 10 == 5) {
            struct bitcask_pending parts[2];
            enum bitcask_status status;

            bitcask_pending_init(&parts[0], BITCASK_RECORD_PUT, bitcask_text("part"),
                                 bitcask_text("value"), 0);
            bitcask_pending_init(&parts[1], BITCASK_RECORD_TOMBSTONE, bitcask_text(key),
                                 bitcask_text(""), 0);
            status = bitcask_commit_append_batch(&fixture->commit, parts, 2);
            for (size_t n = 0; n < 2 && status == BITCASK_OK; n++)
                commit_fixture_remember(fixture, &parts[n]);
        }
        if (i % 7 == 6)
            (void)bitcask_commit_sync(&fixture->commit);
    }
    (void)bitcask_commit_finish(&fixture->commit);
}

/* The MANIFEST can always be read, and lists every data file with its salt. */
static void check_manifest(struct commit_fixture *fixture)
{
    struct bitcask_manifest manifest;
    uint32_t count = atomic_load(&fixture->segments.count);

    bitcask_manifest_init(&manifest);
    assert_status(
        bitcask_manifest_read(&manifest, fixture->disk->io, fixture->disk->directory),
        BITCASK_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(&fixture->segments, i);
        size_t line = 0;

        while (line < manifest.segment_count && manifest.segments[line].id != segment->id)
            line++;
        assert_true(line < manifest.segment_count);
        assert_int_equal(manifest.segments[line].salt, segment->salt);
        if (manifest.segments[line].state == BITCASK_MANIFEST_SEALED)
            assert_int_equal(manifest.segments[line].size,
                             atomic_load(&segment->data_size));
    }
    bitcask_manifest_release(&manifest);
}

/* No file has more than its whole records, and zeros where space was allocated. */
static void check_sizes(struct commit_fixture *fixture)
{
    uint32_t count = atomic_load(&fixture->segments.count);

    for (uint32_t i = 0; i < count; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(&fixture->segments, i);
        size_t data_size = (size_t)atomic_load(&segment->data_size);
        char name[BITCASK_NAME_SIZE];
        struct bitcask_buffer bytes = { 0 };

        bitcask_data_name(name, segment->id);
        test_disk_read(fixture->disk, name, &bytes);
        assert_true(bytes.size >= data_size);
        for (size_t k = data_size; k < bytes.size; k++)
            assert_int_equal(((const uint8_t *)bytes.data)[k], 0);
        bitcask_buffer_release(&bytes);
    }
}

/* After whatever has happened: nothing is lost, and no error makes a later call lie. */
static void check_after_failure(struct commit_fixture *fixture)
{
    struct bitcask_buffer value = { 0 };

    commit_fixture_check(fixture);
    check_manifest(fixture);
    for (size_t i = 0; i < fixture->appended_count; i++) {
        if (fixture->appended[i].kind == BITCASK_RECORD_PUT)
            assert_status(commit_fixture_read(fixture, i, &value), BITCASK_OK);
    }
    bitcask_buffer_release(&value);

    if (bitcask_commit_check(&fixture->commit) == BITCASK_OK) {
        check_sizes(fixture);
        assert_status(commit_fixture_put(fixture, "later", 10), BITCASK_OK);
        assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
        commit_fixture_check(fixture);
        check_manifest(fixture);
    } else {
        enum bitcask_status expected =
            atomic_load(&fixture->commit.failed) ? BITCASK_FAILED : BITCASK_OK;

        assert_status(commit_fixture_put(fixture, "later", 10), BITCASK_FAILED);
        assert_status(bitcask_commit_sync(&fixture->commit), expected);
        assert_status(bitcask_commit_finish(&fixture->commit), expected);
    }
}

static void start_over(struct commit_fixture *fixture)
{
    commit_fixture_end(fixture);
    test_disk_clear(fixture->disk);
    fixture->appended_count = 0;
    fixture->sealed_count = 0;
    commit_fixture_begin(fixture, 600);
}

static void run_days_with_faults(struct commit_fixture *fixture, long count)
{
    long n;

    for (n = 0;; n++) {
        struct fault_plan plan = {
            .calls = FAULT_ANY,
            .skip = n,
            .count = count,
            .status = BITCASK_NO_SPACE,
            .error = ENOSPC,
            .partial_size = 7 * (size_t)n % 100,
        };

        start_over(fixture);
        fault_io_arm(&fixture->disk->fault, &plan);
        live_a_day(fixture);
        fault_io_disarm(&fixture->disk->fault);
        check_after_failure(fixture);
        if (fault_io_failure_count(&fixture->disk->fault) == 0)
            break;
    }
    assert_true(n > 60);
}

static void any_single_failure_is_lived_with(void **state)
{
    run_days_with_faults(*state, 1);
}

static void two_failures_in_a_row_are_lived_with(void **state)
{
    run_days_with_faults(*state, 2);
}

static void a_disk_that_never_works_again_makes_nothing_worse(void **state)
{
    run_days_with_faults(*state, FAULT_FOREVER);
}

static void running_out_of_memory_is_lived_with(void **state)
{
    struct commit_fixture *fixture = *state;
    uint8_t *bytes = test_noise(200, 1);
    long n;

    for (n = 0;; n++) {
        enum bitcask_status worst = BITCASK_OK;
        long failures;

        start_over(fixture);
        test_alloc_fail(n);
        for (size_t i = 0; i < 40; i++) {
            struct bitcask_slice value = { bytes, i * 37 % 200 };
            struct bitcask_pending pending;
            enum bitcask_status status;

            bitcask_pending_init(&pending, BITCASK_RECORD_PUT, bitcask_text("key"), value,
                                 0);
            status = bitcask_commit_append(&fixture->commit, &pending);
            if (status == BITCASK_OK)
                commit_fixture_remember(fixture, &pending);
            else
                worst = status;
        }
        if (bitcask_commit_finish(&fixture->commit) != BITCASK_OK)
            worst = BITCASK_NO_MEMORY;
        failures = test_alloc_stop();
        assert_status(bitcask_commit_check(&fixture->commit), BITCASK_OK);
        assert_status(worst, failures > 0 ? BITCASK_NO_MEMORY : BITCASK_OK);
        check_after_failure(fixture);
        if (failures == 0)
            break;
    }
    assert_true(n > 5);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        commit_test(a_failed_append_leaves_the_segment_as_it_was),
        commit_test(a_cut_is_synced_before_the_next_record),
        commit_test(what_cannot_be_cut_off_ends_all_writing),
        commit_test(a_rotation_that_finds_no_space_is_made_up_for),
        commit_test(an_id_that_could_not_be_used_stays_listed),
        commit_test(a_manifest_that_may_be_either_ends_all_writing),
        commit_test(any_single_failure_is_lived_with),
        commit_test(two_failures_in_a_row_are_lived_with),
        commit_test(a_disk_that_never_works_again_makes_nothing_worse),
        commit_test(running_out_of_memory_is_lived_with),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
