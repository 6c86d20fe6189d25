/* SPDX-License-Identifier: MIT */
/*
 * What is done before and after appends, with the test in the part of the threads that
 * help: bitcask/help.c. That the threads themselves get it right is for the campaigns.
 */
#include "test/commit_fixture.h"

#include <errno.h>
#include <string.h>

#include "bitcask/commit_inside.h"
#include "bitcask/file_name.h"
#include "bitcask/manifest.h"
#include "test/test_cask.h"

enum {
    FILE_SIZE_MAX = 64 << 10,
    VALUE_SIZE = 1000
};

/* Begin a queue that is helped by whoever calls help(). */
static struct commit_fixture *begin(void **state)
{
    struct commit_fixture *fixture = *state;

    commit_fixture_begin(fixture, FILE_SIZE_MAX);
    bitcask_commit_set_helped(&fixture->commit, true);
    return fixture;
}

static void help(struct commit_fixture *fixture)
{
    while (bitcask_commit_work_ahead(&fixture->commit))
        continue;
}

static void put(struct commit_fixture *fixture, int count)
{
    for (int i = 0; i < count; i++)
        assert_status(commit_fixture_put(fixture, "key", VALUE_SIZE), BITCASK_OK);
}

static void put_until_next(struct commit_fixture *fixture)
{
    const struct bitcask_segment *active;

    put(fixture, 1);
    active = fixture->commit.active;
    while (fixture->commit.active == active)
        put(fixture, 1);
}

static long writes(struct commit_fixture *fixture)
{
    return fault_io_count(&fixture->disk->fault, FAULT_WRITE);
}

static uint64_t size_of(struct commit_fixture *fixture, uint64_t id)
{
    char name[BITCASK_NAME_SIZE];

    bitcask_data_name(name, id);
    return test_disk_size(fixture->disk, name);
}

/* Whether file systems under the tests can allocate; where not, there are no windows. */
static bool has_windows(struct commit_fixture *fixture)
{
    return !fixture->commit.no_window;
}

static void a_window_saves_the_writes(void **state)
{
    struct commit_fixture *fixture = begin(state);
    long before;

    put(fixture, 10); /* without: there was not enough to be worth one */
    assert_true(fixture->ahead_calls > 0);
    help(fixture);
    if (!has_windows(fixture))
        skip();
    before = writes(fixture);
    put(fixture, 5);
    assert_int_equal(writes(fixture), before);
    assert_true(size_of(fixture, 1) > atomic_load(&fixture->commit.active->data_size));
    commit_fixture_check(fixture);
}

static void who_comes_too_soon_writes(void **state)
{
    struct commit_fixture *fixture = begin(state);
    long before;

    put(fixture, 20);
    assert_int_equal(fixture->ahead_calls, 1); /* asked once, and nobody has looked */
    before = writes(fixture);
    put(fixture, 3);
    assert_int_equal(writes(fixture), before + 3);
    help(fixture);
    put(fixture, 1);
    assert_true(fixture->ahead_calls > 1);
    commit_fixture_check(fixture);
}

static void a_large_record_is_written_and_the_next_stored(void **state)
{
    struct commit_fixture *fixture = begin(state);
    long before;

    put(fixture, 20);
    help(fixture);
    if (!has_windows(fixture))
        skip();
    before = writes(fixture);
    assert_status(commit_fixture_put(fixture, "large", BITCASK_WINDOW_STORE_MAX),
                  BITCASK_OK);
    assert_int_equal(writes(fixture), before + 1);
    help(fixture);
    put(fixture, 1);
    help(fixture);
    before = writes(fixture);
    put(fixture, 2);
    assert_int_equal(writes(fixture), before);
    commit_fixture_check(fixture);
}

static void without_help_the_caller_makes_its_windows(void **state)
{
    struct commit_fixture *fixture = *state;
    long before;

    commit_fixture_begin(fixture, FILE_SIZE_MAX);
    put(fixture, 10);
    if (!has_windows(fixture))
        skip();
    before = writes(fixture);
    put(fixture, 40); /* in many windows */
    assert_int_equal(writes(fixture), before);
    put_until_next(fixture);
    assert_int_equal(fixture->ahead_calls, 0);
    assert_int_equal(fixture->sealed_count, 1);
    assert_int_equal(
        size_of(fixture, 1), /* cut */
        atomic_load(&bitcask_segments_get(&fixture->segments, 0)->data_size));
    commit_fixture_check(fixture);
}

static void where_nothing_can_be_allocated_all_is_written(void **state)
{
    struct commit_fixture *fixture = begin(state);
    long before;

    fixture->disk->fault.no_allocate = true;
    put(fixture, 20);
    help(fixture);
    assert_true(fixture->commit.no_window);
    before = writes(fixture);
    put(fixture, 5);
    assert_int_equal(writes(fixture), before + 5);
    assert_int_equal(size_of(fixture, 1),
                     atomic_load(&fixture->commit.active->data_size));
    commit_fixture_check(fixture);
}

static void a_disk_too_full_for_a_window_may_have_room_for_records(void **state)
{
    struct commit_fixture *fixture = begin(state);
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_ALLOCATE),
                                     .count = 1,
                                     .status = BITCASK_NO_SPACE,
                                     .error = ENOSPC };
    long before;

    put(fixture, 20);
    fault_io_arm(&fixture->disk->fault, &plan);
    help(fixture);
    assert_int_equal(fault_io_failure_count(&fixture->disk->fault), 1);
    fault_io_disarm(&fixture->disk->fault);
    before = writes(fixture);
    put(fixture, 3);
    assert_int_equal(writes(fixture), before + 3);
    put(fixture, 20); /* later there is */
    help(fixture);
    if (!has_windows(fixture))
        skip();
    before = writes(fixture);
    put(fixture, 3);
    assert_int_equal(writes(fixture), before);
    commit_fixture_check(fixture);
}

/* A cut takes the pages behind it: to store there would be a signal. */
static void a_failed_write_ends_the_windows(void **state)
{
    struct commit_fixture *fixture = begin(state);
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_WRITE),
                                     .count = 1,
                                     .status = BITCASK_NO_SPACE,
                                     .error = ENOSPC,
                                     .partial_size = 5000 };

    put(fixture, 20);
    help(fixture);
    fault_io_arm(&fixture->disk->fault, &plan);
    assert_status(commit_fixture_put(fixture, "large", BITCASK_WINDOW_STORE_MAX),
                  BITCASK_NO_SPACE);
    fault_io_disarm(&fixture->disk->fault);
    assert_int_equal(fixture->commit.window.size, 0);
    assert_int_equal(fixture->commit.window_next.size, 0);
    assert_int_equal(size_of(fixture, 1),
                     atomic_load(&fixture->commit.active->data_size));
    put(fixture, 5);
    help(fixture);
    put(fixture, 5);
    commit_fixture_check(fixture);
}

static void the_next_segment_is_there_before_it_is_needed(void **state)
{
    struct commit_fixture *fixture = begin(state);
    struct bitcask_manifest manifest;
    long opened;

    put(fixture, 40);
    help(fixture);
    assert_non_null(fixture->commit.next);
    assert_int_equal(fixture->commit.next->id, 2);
    assert_true(size_of(fixture, 2) > 0);

    /* It is no member yet, and every MANIFEST lists it as one to come. */
    assert_false(atomic_load(&fixture->commit.next->member));
    bitcask_manifest_init(&manifest);
    assert_status(
        bitcask_manifest_read(&manifest, fixture->disk->io, fixture->disk->directory),
        BITCASK_OK);
    assert_int_equal(bitcask_manifest_find(&manifest, 2)->state,
                     BITCASK_MANIFEST_PREPARED);
    bitcask_manifest_release(&manifest);

    opened = fault_io_count(&fixture->disk->fault, FAULT_OPEN);
    put_until_next(fixture);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_OPEN), opened);
    assert_int_equal(fixture->commit.active->id, 2);
    assert_true(atomic_load(&fixture->commit.active->member));
    assert_null(fixture->commit.next);
    commit_fixture_check(fixture);
}

static void ids_are_listed_before_they_are_used(void **state)
{
    struct commit_fixture *fixture = begin(state);

    for (uint64_t id = 1; id <= 20; id++) {
        struct bitcask_manifest manifest;
        const struct bitcask_manifest_segment *line;

        put(fixture, 40);
        help(fixture);
        put_until_next(fixture);
        assert_int_equal(fixture->commit.active->id, id + 1);
        bitcask_manifest_init(&manifest);
        assert_status(
            bitcask_manifest_read(&manifest, fixture->disk->io, fixture->disk->directory),
            BITCASK_OK);
        line = bitcask_manifest_find(&manifest, id + 1);
        assert_non_null(line);
        assert_int_equal(line->salt, fixture->commit.active->salt);
        bitcask_manifest_release(&manifest);
        while (bitcask_commit_seal_ended(&fixture->commit) == BITCASK_OK)
            continue;
    }
}

static void a_next_segment_that_cannot_be_made_is_made_by_who_needs_it(void **state)
{
    struct commit_fixture *fixture = begin(state);
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_OPEN),
                                     .count = 1,
                                     .status = BITCASK_IO };

    put(fixture, 20);
    help(fixture);
    fault_io_arm(&fixture->disk->fault, &plan);
    put(fixture, 20);
    help(fixture);
    assert_int_equal(fault_io_failure_count(&fixture->disk->fault), 1);
    fault_io_disarm(&fixture->disk->fault);
    assert_null(fixture->commit.next);
    help(fixture); /* not tried again and again */
    assert_null(fixture->commit.next);
    put_until_next(fixture);
    assert_int_equal(fixture->commit.active->id, 3); /* 2 is burned */
    commit_fixture_check(fixture);
}

static void ended_segments_are_synced_cut_and_sealed_in_order(void **state)
{
    struct commit_fixture *fixture = begin(state);
    uint64_t last, synced;

    for (int i = 0; i < BITCASK_ENDED_MAX; i++) {
        put(fixture, 40);
        help(fixture);
        put_until_next(fixture);
    }
    assert_int_equal(fixture->ended_calls, BITCASK_ENDED_MAX);
    assert_int_equal(fixture->commit.ended_count, BITCASK_ENDED_MAX);
    assert_int_equal(fixture->sealed_count, 0);
    bitcask_commit_sequences(&fixture->commit, &last, &synced);
    assert_int_equal(synced, 0);

    for (uint32_t i = 0; i < BITCASK_ENDED_MAX; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(&fixture->segments, i);
        uint64_t segment_last = atomic_load(&segment->last_sequence);
        struct bitcask_manifest manifest;

        assert_false(atomic_load(&segment->sealed));
        assert_status(bitcask_commit_seal_ended(&fixture->commit), BITCASK_OK);
        assert_true(atomic_load(&segment->sealed));
        assert_int_equal(fixture->sealed_ids[i], segment->id);
        assert_int_equal(size_of(fixture, segment->id), atomic_load(&segment->data_size));
        bitcask_commit_sequences(&fixture->commit, &last, &synced);
        assert_int_equal(synced, segment_last);

        if (!bitcask_commit_lists_cheaply(&fixture->commit))
            continue;
        bitcask_manifest_init(&manifest);
        assert_status(
            bitcask_manifest_read(&manifest, fixture->disk->io, fixture->disk->directory),
            BITCASK_OK);
        assert_int_equal(bitcask_manifest_find(&manifest, segment->id)->state,
                         BITCASK_MANIFEST_SEALED);
        assert_int_equal(manifest.sequence, segment_last);
        bitcask_manifest_release(&manifest);
    }
    assert_status(bitcask_commit_seal_ended(&fixture->commit), BITCASK_NOT_FOUND);
    commit_fixture_check(fixture);
}

/* Syncs go from the oldest to the newest, and one covers all. */
static void a_sync_covers_what_has_ended(void **state)
{
    struct commit_fixture *fixture = begin(state);
    uint64_t last, synced;
    long syncs;

    for (int i = 0; i < 2; i++) {
        put(fixture, 40);
        help(fixture);
        put_until_next(fixture);
    }
    syncs = fault_io_count(&fixture->disk->fault, FAULT_SYNC);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    bitcask_commit_sequences(&fixture->commit, &last, &synced);
    assert_int_equal(synced, last);
    assert_true(fault_io_count(&fixture->disk->fault, FAULT_SYNC) >= syncs + 3);
    for (size_t i = 0; i < fixture->commit.ended_count; i++)
        assert_true(fixture->commit.ended[i].synced);
    assert_int_equal(fixture->sealed_count, 0);
    assert_status(bitcask_commit_seal_ended(&fixture->commit), BITCASK_OK);
    assert_int_equal(fixture->sealed_count, 1);
}

static void a_failed_sync_of_an_ended_segment_ends_all_writing(void **state)
{
    struct commit_fixture *fixture = begin(state);
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_SYNC), .count = 1 };

    put(fixture, 40);
    help(fixture);
    put_until_next(fixture);
    fault_io_arm(&fixture->disk->fault, &plan);
    assert_status(bitcask_commit_seal_ended(&fixture->commit), BITCASK_IO);
    fault_io_disarm(&fixture->disk->fault);
    assert_status(commit_fixture_put(fixture, "key", 1), BITCASK_FAILED);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_FAILED);
    assert_status(bitcask_commit_seal_ended(&fixture->commit), BITCASK_FAILED);
    help(fixture); /* old windows are unmapped, and nothing is made */
    assert_null(fixture->commit.next);
    assert_int_equal(fixture->sealed_count, 0);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_FAILED);
    commit_fixture_check(fixture);
}

/* Everything is cut to size, and what was made for later is gone. */
static void a_clean_end_leaves_nothing_behind(void **state)
{
    struct commit_fixture *fixture = begin(state);
    char name[BITCASK_NAME_SIZE];
    uint64_t id;

    put_until_next(fixture); /* needs nobody's help */
    put(fixture, 40);
    help(fixture);
    assert_non_null(fixture->commit.next);
    id = fixture->commit.next->id;
    bitcask_commit_set_helped(&fixture->commit, false);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    assert_int_equal(fixture->sealed_count, 1);
    assert_int_equal(
        size_of(fixture, 1),
        atomic_load(&bitcask_segments_get(&fixture->segments, 0)->data_size));
    assert_int_equal(size_of(fixture, fixture->commit.active->id),
                     atomic_load(&fixture->commit.active->data_size));
    bitcask_data_name(name, id);
    assert_false(test_disk_has(fixture->disk, name));
    commit_fixture_check(fixture);
}

static void a_merge_can_have_an_ended_segment_sealed(void **state)
{
    struct commit_fixture *fixture = begin(state);

    for (int i = 0; i < 2; i++)
        put_until_next(fixture);
    assert_status(bitcask_commit_seal(&fixture->commit, 2), BITCASK_OK);
    assert_int_equal(fixture->sealed_count, 2); /* in order */
    assert_int_equal(fixture->commit.ended_count, 0);
    assert_non_null(fixture->commit.active);
    assert_status(bitcask_commit_seal(&fixture->commit, 3), BITCASK_OK);
    assert_null(fixture->commit.active);
    put(fixture, 30);
    commit_fixture_check(fixture);
}

/* Who wants no mapping wants none to be stored to either. */
static void without_mappings_there_are_no_windows(void **state)
{
    struct commit_fixture *fixture = *state;
    const struct bitcask_options options = { .no_mapping = true };
    struct bitcask *cask = test_cask_open(fixture->disk, &options);

    test_history_write(cask, 1, 100);
    assert_true(test_cask_stat(cask).appended_size > 16 << 10);
    test_cask_close(cask);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_MAP), 0);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_ALLOCATE), 0);
}

/* What another thread does while a sync is on its way. */
struct meanwhile {
    struct commit_fixture *fixture;
    bool ends; /* the segment */
    bool cut;  /* whether nothing may be appended yet, since something was cut off */
    bool done;
};

static void while_it_syncs(enum fault_call call, void *context)
{
    struct meanwhile *meanwhile = context;
    struct commit_fixture *fixture = meanwhile->fixture;

    if (call != FAULT_SYNC || meanwhile->done)
        return;
    meanwhile->done = true;
    meanwhile->cut = fixture->commit.cut_unsynced;
    if (!meanwhile->ends)
        return;
    atomic_store(&fixture->disk->fault.monotonic_ms, 1010);
    put(fixture, 1);
    atomic_store(&fixture->disk->fault.monotonic_ms, 1800);
    put_until_next(fixture);
    atomic_store(&fixture->disk->fault.monotonic_ms, 1900);
}

/* That the segment has ended under the sync makes nothing in it younger. */
static void what_is_appended_under_a_sync_is_due_in_time(void **state)
{
    struct commit_fixture *fixture = begin(state);
    struct meanwhile meanwhile = { .fixture = fixture, .ends = true };

    atomic_store(&fixture->disk->fault.monotonic_ms, 1000);
    put(fixture, 1);
    fixture->disk->fault.before_context = &meanwhile;
    fixture->disk->fault.before = while_it_syncs;
    assert_status(bitcask_commit_wait(&fixture->commit, 1), BITCASK_OK);
    fixture->disk->fault.before = NULL;
    assert_true(meanwhile.done);
    assert_true(bitcask_commit_sync_due_ms(&fixture->commit, 1000) <= 110);
}

/*
 * Else a full segment could end, be sealed, and its file be closed, while the sync of the
 * cut has not even reached it.
 */
static void a_cut_is_unsynced_until_its_sync_has_ended(void **state)
{
    struct commit_fixture *fixture = begin(state);
    struct meanwhile meanwhile = { .fixture = fixture };

    put(fixture, 40);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    fixture->commit.cut_unsynced = true; /* as whenever a session begins */
    fixture->disk->fault.before_context = &meanwhile;
    fixture->disk->fault.before = while_it_syncs;
    put(fixture, 1);
    fixture->disk->fault.before = NULL;
    assert_true(meanwhile.done);
    assert_true(meanwhile.cut);
    assert_false(fixture->commit.cut_unsynced);
}

/* While a window is made, a write fails, and what it left is cut off. */
static void while_it_allocates(enum fault_call call, void *context)
{
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_WRITE),
                                     .status = BITCASK_NO_SPACE,
                                     .error = ENOSPC,
                                     .partial_size = 10 };
    struct meanwhile *meanwhile = context;
    struct commit_fixture *fixture = meanwhile->fixture;

    if (call != FAULT_ALLOCATE || meanwhile->done)
        return;
    meanwhile->done = true;
    fault_io_arm(&fixture->disk->fault, &plan);
    assert_status(commit_fixture_put(fixture, "lost", BITCASK_WINDOW_STORE_MAX + 1),
                  BITCASK_NO_SPACE);
    fault_io_disarm(&fixture->disk->fault);
}

/* Its pages may have gone with what was cut. */
static void a_window_made_during_a_cut_is_not_used(void **state)
{
    struct commit_fixture *fixture = begin(state);
    struct meanwhile meanwhile = { .fixture = fixture };

    put(fixture, 20);
    fixture->disk->fault.before_context = &meanwhile;
    fixture->disk->fault.before = while_it_allocates;
    assert_true(bitcask_commit_work_ahead(&fixture->commit));
    fixture->disk->fault.before = NULL;
    assert_true(meanwhile.done);
    assert_int_equal(fixture->commit.window_next.size, 0);
    put(fixture, 1);
    commit_fixture_check(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        commit_test(a_window_saves_the_writes),
        commit_test(who_comes_too_soon_writes),
        commit_test(a_large_record_is_written_and_the_next_stored),
        commit_test(without_help_the_caller_makes_its_windows),
        commit_test(where_nothing_can_be_allocated_all_is_written),
        commit_test(a_disk_too_full_for_a_window_may_have_room_for_records),
        commit_test(a_failed_write_ends_the_windows),
        commit_test(the_next_segment_is_there_before_it_is_needed),
        commit_test(ids_are_listed_before_they_are_used),
        commit_test(a_next_segment_that_cannot_be_made_is_made_by_who_needs_it),
        commit_test(ended_segments_are_synced_cut_and_sealed_in_order),
        commit_test(a_sync_covers_what_has_ended),
        commit_test(a_failed_sync_of_an_ended_segment_ends_all_writing),
        commit_test(a_clean_end_leaves_nothing_behind),
        commit_test(a_merge_can_have_an_ended_segment_sealed),
        commit_test(without_mappings_there_are_no_windows),
        commit_test(what_is_appended_under_a_sync_is_due_in_time),
        commit_test(a_cut_is_unsynced_until_its_sync_has_ended),
        commit_test(a_window_made_during_a_cut_is_not_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
