/* SPDX-License-Identifier: MIT */
/* When the append queue syncs, who shares a sync, and what a failed one means. */
#include "test/commit_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_sequences(struct commit_fixture *fixture, uint64_t expected_last,
                             uint64_t expected_synced)
{
    uint64_t last, synced;

    bitcask_commit_sequences(&fixture->commit, &last, &synced);
    assert_int_equal(last, expected_last);
    assert_int_equal(synced, expected_synced);
}

static long count_syncs(struct commit_fixture *fixture)
{
    return fault_io_count(&fixture->disk->fault, FAULT_SYNC);
}

static void put(struct commit_fixture *fixture)
{
    assert_status(commit_fixture_put(fixture, "key", 10), BITCASK_OK);
}

static void an_append_alone_syncs_nothing(void **state)
{
    struct commit_fixture *fixture = *state;
    long syncs;

    commit_fixture_begin(fixture, 1 << 20);
    syncs = count_syncs(fixture);
    put(fixture);
    put(fixture);
    expect_sequences(fixture, 2, 0);
    assert_int_equal(count_syncs(fixture), syncs);
}

static void one_sync_covers_all_that_came_before(void **state)
{
    struct commit_fixture *fixture = *state;
    long syncs, directory_syncs;

    commit_fixture_begin(fixture, 4096); /* too small to be listed at once */
    for (int i = 0; i < 5; i++)
        put(fixture);
    syncs = count_syncs(fixture);
    directory_syncs = fault_io_count(&fixture->disk->fault, FAULT_DIRECTORY_SYNC);
    assert_status(bitcask_commit_wait(&fixture->commit, 3), BITCASK_OK);
    expect_sequences(fixture, 5, 5);
    assert_int_equal(count_syncs(fixture), syncs + 1);
    /* The name of the new file too, before anything in it is acknowledged. */
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_DIRECTORY_SYNC),
                     directory_syncs + 1);

    for (uint64_t sequence = 0; sequence <= 5; sequence++)
        assert_status(bitcask_commit_wait(&fixture->commit, sequence), BITCASK_OK);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    assert_int_equal(count_syncs(fixture), syncs + 1);

    put(fixture);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    expect_sequences(fixture, 6, 6);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_DIRECTORY_SYNC),
                     directory_syncs + 1);
}

/* In every record: how many before it were not known to be synced. */
static void the_unsynced_count_says_what_was_not_synced(void **state)
{
    static const uint32_t expected[] = { 0, 1, 2, 0, 1, 0, 1, 2, 3 };
    struct commit_fixture *fixture = *state;
    struct commit_record *records = calloc(COMMIT_RECORDS_MAX, sizeof *records);

    assert_non_null(records);
    commit_fixture_begin(fixture, 1 << 20);
    for (size_t i = 0; i < LENGTH_OF(expected); i++) {
        if (i > 0 && expected[i] == 0)
            assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
        put(fixture);
    }
    assert_int_equal(commit_fixture_walk(fixture, records), LENGTH_OF(expected));
    for (size_t i = 0; i < LENGTH_OF(expected); i++)
        assert_int_equal(records[i].unsynced_count, expected[i]);
    free(records);
}

/* What a rotation leaves is synced, so every segment begins with a count of 0. */
static void a_rotation_syncs_what_it_leaves(void **state)
{
    struct commit_fixture *fixture = *state;
    struct commit_record *records = calloc(COMMIT_RECORDS_MAX, sizeof *records);
    uint64_t segment_id = 0;
    size_t count;

    assert_non_null(records);
    commit_fixture_begin(fixture, 300);
    for (int i = 0; i < 50; i++)
        put(fixture);
    count = commit_fixture_walk(fixture, records);
    for (size_t i = 0; i < count; i++) {
        bool first = records[i].segment_id != segment_id;

        assert_int_equal(records[i].unsynced_count,
                         first ? 0 : records[i - 1].unsynced_count + 1);
        segment_id = records[i].segment_id;
    }
    assert_true(fixture->sealed_count > 5);
    free(records);
}

/* Not even the header is: a MANIFEST that said more would make a crash damage. */
static void of_a_new_segment_nothing_is_synced(void **state)
{
    struct commit_fixture *fixture = *state;
    const struct bitcask_segment *first;

    commit_fixture_begin(fixture, 1000);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    first = fixture->commit.active;
    assert_int_equal(fixture->commit.synced_size, atomic_load(&first->data_size));
    while (fixture->commit.active == first)
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_int_equal(fixture->commit.synced_size, 0);
}

static void the_unsynced_count_saturates(void **state)
{
    struct commit_fixture *fixture = *state;
    struct commit_record *records = calloc(COMMIT_RECORDS_MAX, sizeof *records);
    uint64_t unsynced[] = { UINT32_MAX - UINT64_C(1), UINT32_MAX,
                            UINT32_MAX + UINT64_C(1), UINT64_C(1) << 40 };

    assert_non_null(records);
    commit_fixture_begin(fixture, 1 << 20);
    put(fixture);
    for (size_t i = 0; i < LENGTH_OF(unsynced); i++) {
        struct bitcask_pending pending;

        /* As if so many had been appended. */
        fixture->commit.last_sequence = fixture->commit.synced_sequence + unsynced[i];
        bitcask_pending_init(&pending, BITCASK_RECORD_PUT, bitcask_text("key"),
                             bitcask_text("value"), 0);
        assert_status(bitcask_commit_append(&fixture->commit, &pending), BITCASK_OK);
    }
    assert_int_equal(commit_fixture_walk(fixture, records), 1 + LENGTH_OF(unsynced));
    assert_int_equal(records[1].unsynced_count, UINT32_MAX - 1);
    for (size_t i = 1; i < LENGTH_OF(unsynced); i++)
        assert_int_equal(records[1 + i].unsynced_count, UINT32_MAX);
    free(records);
}

/* Append one more while a sync runs: it holds no lock, so this thread can. */
static void append_once(enum fault_call call, void *context)
{
    struct commit_fixture *fixture = context;

    if (call != FAULT_SYNC)
        return;
    fixture->disk->fault.before = NULL;
    put(fixture);
}

static void what_comes_during_a_sync_is_not_covered_by_it(void **state)
{
    struct commit_fixture *fixture = *state;

    commit_fixture_begin(fixture, 1 << 20);
    put(fixture);
    fixture->disk->fault.before_context = fixture;
    fixture->disk->fault.before = append_once;
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    expect_sequences(fixture, 2, 1);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    expect_sequences(fixture, 2, 2);
}

/* After a failed sync: reads go on, nothing else does, and it is never tried again. */
static void expect_failed_for_ever(struct commit_fixture *fixture)
{
    long syncs = count_syncs(fixture);
    long directory_syncs = fault_io_count(&fixture->disk->fault, FAULT_DIRECTORY_SYNC);
    long writes = fault_io_count(&fixture->disk->fault, FAULT_WRITE);
    struct bitcask_buffer value = { 0 };

    for (int i = 0; i < 3; i++) {
        assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_FAILED);
        assert_status(bitcask_commit_wait(&fixture->commit, fixture->appended_count),
                      BITCASK_FAILED);
        assert_status(bitcask_commit_check(&fixture->commit), BITCASK_FAILED);
        assert_status(commit_fixture_put(fixture, "key", 10), BITCASK_FAILED);
        assert_status(bitcask_commit_sync_if_due(&fixture->commit, 0), BITCASK_OK);
    }
    assert_int_equal(bitcask_commit_sync_due_ms(&fixture->commit, 0), UINT64_MAX);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_FAILED);
    assert_int_equal(count_syncs(fixture), syncs);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_DIRECTORY_SYNC),
                     directory_syncs);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_WRITE), writes);
    for (size_t i = 0; i < fixture->appended_count; i++)
        assert_status(commit_fixture_read(fixture, i, &value), BITCASK_OK);
    commit_fixture_check(fixture);
    bitcask_buffer_release(&value);
}

static void a_failed_sync_ends_all_writing(void **state)
{
    static const enum fault_call calls[] = { FAULT_SYNC, FAULT_DIRECTORY_SYNC };
    struct commit_fixture *fixture = *state;

    for (size_t i = 0; i < LENGTH_OF(calls); i++) {
        struct fault_plan plan = { .calls = FAULT_BIT(calls[i]) };

        commit_fixture_end(fixture);
        fixture->appended_count = 0;
        commit_fixture_begin(fixture, 1 << 20);
        put(fixture);
        put(fixture);
        fault_io_arm(&fixture->disk->fault, &plan);
        assert_status(bitcask_commit_wait(&fixture->commit, 1), BITCASK_IO);
        assert_int_equal(fault_io_failure_count(&fixture->disk->fault), 1);
        fault_io_disarm(&fixture->disk->fault);
        assert_detail(strerror(EIO));
        expect_sequences(fixture, 2, 0);
        expect_failed_for_ever(fixture);
    }
}

static void what_was_synced_before_a_failed_sync_stays_so(void **state)
{
    struct commit_fixture *fixture = *state;
    struct fault_plan plan = { .calls = FAULT_BIT(FAULT_SYNC) };

    commit_fixture_begin(fixture, 1 << 20);
    put(fixture);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    put(fixture);
    fault_io_arm(&fixture->disk->fault, &plan);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_IO);
    fault_io_disarm(&fixture->disk->fault);
    expect_sequences(fixture, 2, 1);
    assert_status(bitcask_commit_wait(&fixture->commit, 1), BITCASK_OK);
    expect_failed_for_ever(fixture);
}

static void a_failed_sync_in_a_rotation_ends_all_writing(void **state)
{
    static const enum fault_call calls[] = { FAULT_SYNC, FAULT_DIRECTORY_SYNC };
    struct commit_fixture *fixture = *state;

    for (size_t i = 0; i < LENGTH_OF(calls); i++) {
        struct fault_plan plan = { .calls = FAULT_BIT(calls[i]) };

        commit_fixture_end(fixture);
        fixture->appended_count = 0;
        fixture->sealed_count = 0;
        commit_fixture_begin(fixture, 200);
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
        fault_io_arm(&fixture->disk->fault, &plan);
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_IO);
        assert_int_equal(fault_io_failure_count(&fixture->disk->fault), 1);
        fault_io_disarm(&fixture->disk->fault);
        assert_int_equal(fixture->sealed_count, 0);
        expect_failed_for_ever(fixture);
    }
}

/* With a clock that stands still until it is told to go. */
static void a_sync_is_due_when_the_oldest_record_has_waited_long_enough(void **state)
{
    struct commit_fixture *fixture = *state;
    _Atomic uint64_t *clock = &fixture->disk->fault.monotonic_ms;
    struct bitcask_commit *commit = &fixture->commit;

    atomic_store(clock, 1000);
    commit_fixture_begin(fixture, 1 << 20);
    assert_int_equal(bitcask_commit_sync_due_ms(commit, 500), UINT64_MAX);
    put(fixture);
    assert_int_equal(bitcask_commit_sync_due_ms(commit, 500), 500);
    atomic_store(clock, 1200);
    put(fixture); /* a younger one changes nothing */
    assert_int_equal(bitcask_commit_sync_due_ms(commit, 500), 300);
    assert_int_equal(bitcask_commit_sync_due_ms(commit, 200), 0);
    atomic_store(clock, 1499);
    assert_int_equal(bitcask_commit_sync_due_ms(commit, 500), 1);
    assert_status(bitcask_commit_sync_if_due(commit, 500), BITCASK_OK);
    expect_sequences(fixture, 2, 0);
    atomic_store(clock, 1500);
    assert_int_equal(bitcask_commit_sync_due_ms(commit, 500), 0);
    atomic_store(clock, 900); /* never mind why */
    assert_int_equal(bitcask_commit_sync_due_ms(commit, 500), 500);
    atomic_store(clock, 1000000);
    assert_int_equal(bitcask_commit_sync_due_ms(commit, 500), 0);
    assert_status(bitcask_commit_sync_if_due(commit, 500), BITCASK_OK);
    expect_sequences(fixture, 2, 2);
    assert_int_equal(bitcask_commit_sync_due_ms(commit, 500), UINT64_MAX);

    put(fixture);
    assert_int_equal(bitcask_commit_sync_due_ms(commit, 500), 500);
}

/* It was appended after the sync began: no earlier than that. */
static void what_a_sync_left_out_waits_from_its_beginning(void **state)
{
    struct commit_fixture *fixture = *state;
    _Atomic uint64_t *clock = &fixture->disk->fault.monotonic_ms;

    atomic_store(clock, 1000);
    commit_fixture_begin(fixture, 1 << 20);
    put(fixture);
    atomic_store(clock, 2000);
    fixture->disk->fault.before_context = fixture;
    fixture->disk->fault.before = append_once;
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    expect_sequences(fixture, 2, 1);
    atomic_store(clock, 2100);
    assert_int_equal(bitcask_commit_sync_due_ms(&fixture->commit, 500), 400);
}

static void the_listener_is_told_when_there_is_something_to_sync(void **state)
{
    struct commit_fixture *fixture = *state;

    commit_fixture_begin(fixture, 1 << 20);
    assert_int_equal(fixture->unsynced_calls, 0);
    put(fixture);
    assert_int_equal(fixture->unsynced_calls, 1);
    put(fixture);
    put(fixture);
    assert_int_equal(fixture->unsynced_calls, 1);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    assert_int_equal(fixture->unsynced_calls, 1);
    put(fixture);
    assert_int_equal(fixture->unsynced_calls, 2);
}

/*
 * THREADS. Each appends once and waits for it; the first sync is held up until all have
 * appended, so that one more is enough for those who came too late for it.
 */
enum {
    CREW_SIZE = 8
};

struct crew {
    struct commit_fixture *fixture;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned appended;
    unsigned mistakes;
};

static void wait_for_crew(enum fault_call call, void *context)
{
    struct crew *crew = context;

    if (call != FAULT_SYNC)
        return;
    (void)pthread_mutex_lock(&crew->lock);
    while (crew->appended < CREW_SIZE)
        (void)pthread_cond_wait(&crew->changed, &crew->lock);
    (void)pthread_mutex_unlock(&crew->lock);
}

static void *append_and_wait(void *context)
{
    struct crew *crew = context;
    struct bitcask_commit *commit = &crew->fixture->commit;
    struct bitcask_pending pending;
    uint64_t last, synced;
    bool fine;

    bitcask_pending_init(&pending, BITCASK_RECORD_PUT, bitcask_text("key"),
                         bitcask_text("value"), 0);
    fine = bitcask_commit_append(commit, &pending) == BITCASK_OK;
    (void)pthread_mutex_lock(&crew->lock);
    crew->appended++;
    (void)pthread_cond_broadcast(&crew->changed);
    (void)pthread_mutex_unlock(&crew->lock);

    fine = fine && bitcask_commit_wait(commit, pending.sequence) == BITCASK_OK;
    bitcask_commit_sequences(commit, &last, &synced);
    (void)pthread_mutex_lock(&crew->lock);
    crew->mistakes += !fine || synced < pending.sequence;
    (void)pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static void concurrent_waiters_share_syncs(void **state)
{
    struct commit_fixture *fixture = *state;
    struct crew crew = { .fixture = fixture };
    pthread_t threads[CREW_SIZE];
    long syncs;

    commit_fixture_begin(fixture, 4096);
    assert_int_equal(pthread_mutex_init(&crew.lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&crew.changed, NULL), 0);
    syncs = count_syncs(fixture);
    fixture->disk->fault.before_context = &crew;
    fixture->disk->fault.before = wait_for_crew;
    for (size_t i = 0; i < CREW_SIZE; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, append_and_wait, &crew), 0);
    for (size_t i = 0; i < CREW_SIZE; i++)
        (void)pthread_join(threads[i], NULL);
    fixture->disk->fault.before = NULL;

    assert_int_equal(crew.mistakes, 0);
    expect_sequences(fixture, CREW_SIZE, CREW_SIZE);
    assert_true(count_syncs(fixture) - syncs <= 2);
    (void)pthread_cond_destroy(&crew.changed);
    (void)pthread_mutex_destroy(&crew.lock);
}

/* Two who append while a sync runs, and want the next one. */
struct refused {
    struct commit_fixture *fixture;
    pthread_t threads[2];
    bool began;
    _Atomic int refused_count;
};

static void *append_and_sync(void *context)
{
    struct refused *waiters = context;
    struct bitcask_commit *commit = &waiters->fixture->commit;

    struct bitcask_pending pending;

    bitcask_pending_init(&pending, BITCASK_RECORD_PUT, bitcask_text("key"),
                         bitcask_text("value"), 0);
    assert_status(bitcask_commit_append(commit, &pending), BITCASK_OK);
    if (bitcask_commit_sync(commit) == BITCASK_FAILED)
        (void)atomic_fetch_add(&waiters->refused_count, 1);
    return NULL;
}

/* Under the sync they come, and then a merge fails to make its MANIFEST durable. */
static void let_a_draft_fail(enum fault_call call, void *context)
{
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_DIRECTORY_SYNC),
                                     .count = FAULT_FOREVER };
    struct refused *waiters = context;
    struct bitcask_commit *commit = &waiters->fixture->commit;
    struct fault_io *fault = &waiters->fixture->disk->fault;
    struct bitcask_manifest_segment draft;

    if (call != FAULT_SYNC || waiters->began)
        return;
    waiters->began = true;
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            pthread_create(&waiters->threads[i], NULL, append_and_sync, waiters), 0);
    commit->io->sleep_ms(commit->io, 100);
    fault_io_arm(fault, &plan);
    assert_true(bitcask_commit_draft(commit, 1, &draft) != BITCASK_OK);
    fault_io_disarm(fault);
    assert_status(bitcask_commit_check(commit), BITCASK_FAILED);
}

static void all_who_wait_hear_that_writing_has_ended(void **state)
{
    struct commit_fixture *fixture = *state;
    struct refused waiters = { .fixture = fixture };

    commit_fixture_begin(fixture, 1 << 20);
    put(fixture);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    put(fixture);
    fixture->disk->fault.before_context = &waiters;
    fixture->disk->fault.before = let_a_draft_fail;
    assert_status(bitcask_commit_wait(&fixture->commit, 2), BITCASK_OK);
    fixture->disk->fault.before = NULL;
    for (int i = 0; i < 100 && atomic_load(&waiters.refused_count) < 2; i++)
        fixture->commit.io->sleep_ms(fixture->commit.io, 20);
    assert_int_equal(atomic_load(&waiters.refused_count), 2);
    for (int i = 0; i < 2; i++)
        (void)pthread_join(waiters.threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        commit_test(all_who_wait_hear_that_writing_has_ended),
        commit_test(an_append_alone_syncs_nothing),
        commit_test(one_sync_covers_all_that_came_before),
        commit_test(the_unsynced_count_says_what_was_not_synced),
        commit_test(a_rotation_syncs_what_it_leaves),
        commit_test(of_a_new_segment_nothing_is_synced),
        commit_test(the_unsynced_count_saturates),
        commit_test(what_comes_during_a_sync_is_not_covered_by_it),
        commit_test(a_failed_sync_ends_all_writing),
        commit_test(what_was_synced_before_a_failed_sync_stays_so),
        commit_test(a_failed_sync_in_a_rotation_ends_all_writing),
        commit_test(a_sync_is_due_when_the_oldest_record_has_waited_long_enough),
        commit_test(what_a_sync_left_out_waits_from_its_beginning),
        commit_test(the_listener_is_told_when_there_is_something_to_sync),
        commit_test(concurrent_waiters_share_syncs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
