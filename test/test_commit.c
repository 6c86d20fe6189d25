/* SPDX-License-Identifier: MIT */
/*
 * Order, places, rotation and the MANIFEST of the append queue, when nothing fails.
 * test_commit_batch.c, _failure.c and _sync.c have the rest.
 */
#include "test/commit_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "bitcask/manifest.h"

static void read_manifest(struct commit_fixture *fixture,
                          struct bitcask_manifest *manifest)
{
    bitcask_manifest_init(manifest);
    assert_status(
        bitcask_manifest_read(manifest, fixture->disk->io, fixture->disk->directory),
        BITCASK_OK);
}

static const struct bitcask_manifest_segment *find_line(
    const struct bitcask_manifest *manifest, uint64_t id)
{
    for (size_t i = 0; i < manifest->segment_count; i++) {
        if (manifest->segments[i].id == id)
            return &manifest->segments[i];
    }
    return NULL;
}

static void records_lie_side_by_side_in_order(void **state)
{
    struct commit_fixture *fixture = *state;
    uint64_t offset = BITCASK_FILE_HEADER_SIZE;

    commit_fixture_begin(fixture, 1 << 20);
    for (size_t i = 0; i < 100; i++) {
        assert_status(commit_fixture_put(fixture, "key", i * 3), BITCASK_OK);
        assert_int_equal(fixture->appended[i].sequence, i + 1);
        assert_int_equal(fixture->appended[i].segment_id, 1);
        assert_int_equal(fixture->appended[i].offset, offset);
        offset += commit_fixture_record_size("key", i * 3);
    }
    assert_int_equal(atomic_load(&fixture->commit.active->data_size), offset);
    commit_fixture_check(fixture);
}

static void records_of_every_kind_are_appended(void **state)
{
    struct commit_fixture *fixture = *state;
    struct bitcask_slice no_value = { NULL, 0 };
    struct bitcask_pending pending;

    commit_fixture_begin(fixture, 1 << 20);
    bitcask_pending_init(&pending, BITCASK_RECORD_PUT, bitcask_text("ada"), no_value, 0);
    assert_status(commit_fixture_append(fixture, &pending), BITCASK_OK);
    bitcask_pending_init(&pending, BITCASK_RECORD_TOMBSTONE, bitcask_text("ada"),
                         no_value, 0);
    assert_status(commit_fixture_append(fixture, &pending), BITCASK_OK);
    bitcask_pending_init(&pending, BITCASK_RECORD_PUT, bitcask_text("session"),
                         bitcask_text("abc"), 1700000000000);
    assert_status(commit_fixture_append(fixture, &pending), BITCASK_OK);
    assert_int_equal(fixture->appended[1].kind, BITCASK_RECORD_TOMBSTONE);
    assert_int_equal(fixture->appended[2].expiry_ms, 1700000000000);
    assert_int_equal(
        atomic_load(&bitcask_segments_get(&fixture->segments, 0)->tombstone_count), 1);
    commit_fixture_check(fixture);
}

static void nothing_is_begun_before_it_is_needed(void **state)
{
    struct commit_fixture *fixture = *state;

    commit_fixture_begin(fixture, 1 << 20);
    assert_int_equal(test_disk_count(fixture->disk), 1); /* the MANIFEST */
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_SYNC), 1);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    assert_int_equal(test_disk_count(fixture->disk), 1);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_RENAME), 1);
}

static void a_full_segment_is_sealed_and_the_next_begun(void **state)
{
    struct commit_fixture *fixture = *state;
    uint64_t last = 0, synced = 0;

    commit_fixture_begin(fixture, 1000);
    for (size_t i = 0; i < 300; i++)
        assert_status(commit_fixture_put(fixture, "key", i), BITCASK_OK);
    commit_fixture_check(fixture);

    assert_true(fixture->sealed_count > 30);
    assert_int_equal(atomic_load(&fixture->segments.count), fixture->sealed_count + 1);
    for (uint32_t i = 0; i < fixture->sealed_count; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(&fixture->segments, i);
        char name[BITCASK_NAME_SIZE];

        bitcask_data_name(name, segment->id);
        assert_int_equal(fixture->sealed_ids[i], segment->id);
        assert_true(atomic_load(&segment->sealed));
        assert_true(segment->name_synced);
        assert_true(atomic_load(&segment->data_size) <= 1000);
        assert_int_equal(test_disk_size(fixture->disk, name),
                         atomic_load(&segment->data_size));
        last = atomic_load(&segment->last_sequence);
    }
    /* Never unsynced data in more than one segment. */
    bitcask_commit_sequences(&fixture->commit, &(uint64_t){ 0 }, &synced);
    assert_int_equal(synced, last);
}

static void a_segment_is_filled_to_the_last_byte(void **state)
{
    struct commit_fixture *fixture = *state;
    uint64_t size = commit_fixture_record_size("key", 100);

    commit_fixture_begin(fixture, BITCASK_FILE_HEADER_SIZE + 3 * size);
    for (int i = 0; i < 3; i++)
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_int_equal(fixture->sealed_count, 0);
    assert_status(commit_fixture_put(fixture, "k", 0), BITCASK_OK);
    assert_int_equal(fixture->sealed_count, 1);
    assert_int_equal(fixture->appended[3].offset, BITCASK_FILE_HEADER_SIZE);
    commit_fixture_check(fixture);
}

static void a_record_larger_than_a_segment_has_one_of_its_own(void **state)
{
    static const size_t sizes[] = { 10, 5000, 10, 6000, 7000, 20, 30 };
    static const uint64_t ids[] = { 1, 2, 3, 4, 5, 6, 6 };
    struct commit_fixture *fixture = *state;
    struct bitcask_buffer value = { 0 };

    commit_fixture_begin(fixture, 1000);
    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        uint8_t *expected = test_noise(sizes[i], sizes[i]);

        assert_status(commit_fixture_put(fixture, "key", sizes[i]), BITCASK_OK);
        assert_int_equal(fixture->appended[i].segment_id, ids[i]);
        /* Readable at once, though no mapping of a segment reaches so far. */
        assert_status(commit_fixture_read(fixture, i, &value), BITCASK_OK);
        assert_int_equal(value.size, sizes[i]);
        assert_memory_equal(value.data, expected, sizes[i]);
        free(expected);
    }
    commit_fixture_check(fixture);
    for (size_t i = 0; i < LENGTH_OF(sizes); i++)
        assert_status(commit_fixture_read(fixture, i, &value), BITCASK_OK);
    bitcask_buffer_release(&value);
}

/* Whoever finds a data file after a crash must find its id and salt in the MANIFEST. */
static void every_segment_is_listed_before_it_is_begun(void **state)
{
    struct commit_fixture *fixture = *state;
    uint64_t next_id = 0;

    commit_fixture_begin(fixture, 200);
    for (uint32_t i = 0; i < 60; i++) {
        struct bitcask_manifest manifest;
        const struct bitcask_manifest_segment *line;
        struct bitcask_segment *segment;

        assert_status(commit_fixture_put(fixture, "key", 150), BITCASK_OK);
        segment = bitcask_segments_get(&fixture->segments, i);
        read_manifest(fixture, &manifest);
        line = find_line(&manifest, segment->id);
        assert_non_null(line);
        assert_int_equal(line->salt, segment->salt);
        assert_int_not_equal(line->state, BITCASK_MANIFEST_SEALED);
        assert_true(manifest.next_id > segment->id);
        assert_true(manifest.next_id >= next_id);
        next_id = manifest.next_id;
        bitcask_manifest_release(&manifest);
    }
}

static void many_segments_need_few_manifests(void **state)
{
    struct commit_fixture *fixture = *state;
    uint64_t last_id = 0;

    commit_fixture_begin(fixture, 100);
    for (size_t i = 0; i < 1000; i++) {
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
        assert_true(fixture->appended[i].segment_id > last_id);
        last_id = fixture->appended[i].segment_id;
    }
    assert_int_equal(fixture->sealed_count, 999);
    assert_true(fault_io_count(&fixture->disk->fault, FAULT_RENAME) < 40);
    commit_fixture_check(fixture);
}

/* The salt of each file is one of its own, or a copied file would pass for another. */
static void no_two_segments_share_a_salt(void **state)
{
    struct commit_fixture *fixture = *state;

    commit_fixture_begin(fixture, 100);
    for (size_t i = 0; i < 50; i++)
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    for (uint32_t i = 0; i < 50; i++) {
        for (uint32_t other = 0; other < i; other++)
            assert_int_not_equal(bitcask_segments_get(&fixture->segments, i)->salt,
                                 bitcask_segments_get(&fixture->segments, other)->salt);
    }
}

static void a_clean_end_is_written_down(void **state)
{
    struct commit_fixture *fixture = *state;
    struct bitcask_manifest manifest;
    uint64_t last, synced;

    commit_fixture_begin(fixture, 1000);
    for (size_t i = 0; i < 25; i++)
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    fixture->key_count = 4711;
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    bitcask_commit_sequences(&fixture->commit, &last, &synced);
    assert_int_equal(last, 25);
    assert_int_equal(synced, 25);

    read_manifest(fixture, &manifest);
    assert_int_equal(manifest.key_count, 4711);
    for (uint32_t i = 0; i < atomic_load(&fixture->segments.count); i++) {
        struct bitcask_segment *segment = bitcask_segments_get(&fixture->segments, i);
        const struct bitcask_manifest_segment *line = find_line(&manifest, segment->id);
        char name[BITCASK_NAME_SIZE];

        bitcask_data_name(name, segment->id);
        assert_non_null(line);
        assert_int_equal(line->salt, segment->salt);
        assert_int_equal(line->size, test_disk_size(fixture->disk, name));
        assert_int_equal(line->last_sequence, atomic_load(&segment->last_sequence));
        if (i < fixture->sealed_count) {
            assert_int_equal(line->state, BITCASK_MANIFEST_SEALED);
            assert_int_equal(line->first_sequence, atomic_load(&segment->first_sequence));
            assert_true(manifest.sequence >= line->last_sequence);
        } else {
            assert_int_equal(line->state, BITCASK_MANIFEST_OPEN);
            assert_int_equal(manifest.sequence + 1,
                             atomic_load(&segment->first_sequence));
        }
    }
    bitcask_manifest_release(&manifest);
}

static void an_end_is_written_down_only_once(void **state)
{
    struct commit_fixture *fixture = *state;
    long renames;

    commit_fixture_begin(fixture, 1000);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    renames = fault_io_count(&fixture->disk->fault, FAULT_RENAME);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_RENAME), renames);
}

/* Close and go on with the same file, as a clean end allows. */
static void a_queue_goes_on_where_the_last_one_ended(void **state)
{
    struct commit_fixture *fixture = *state;
    struct bitcask_manifest manifest;
    struct bitcask_manifest_segment line;
    struct bitcask_commit_start start = { 0 };
    struct bitcask_commit_listener listener;
    const struct bitcask_record put = { .kind = BITCASK_RECORD_PUT };
    uint64_t size;
    bitcask_file file = BITCASK_NO_FILE;
    bool torn;

    commit_fixture_begin(fixture, 1000);
    for (size_t i = 0; i < 5; i++)
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    listener = fixture->commit.listener;
    commit_fixture_end(fixture);

    read_manifest(fixture, &manifest);
    line = manifest.segments[0];
    bitcask_segments_init(&fixture->segments, fixture->disk->io, fixture->disk->directory,
                          true);
    assert_status(bitcask_data_file_open(fixture->disk->io, fixture->disk->directory,
                                         line.id, line.salt, BITCASK_IO_WRITE, &file,
                                         &size, &torn),
                  BITCASK_OK);
    assert_int_equal(size, line.size);
    assert_status(
        bitcask_segments_add(&fixture->segments, line.id, line.salt, file, &start.active),
        BITCASK_OK);
    atomic_store(&start.active->data_size, size);
    start.active->name_synced = true;
    for (uint64_t i = 1; i <= 5; i++)
        bitcask_segment_count_record(start.active, &put, i);
    start.last_sequence = 5;
    start.next_id = manifest.next_id;
    assert_status(bitcask_commit_init(&fixture->commit, &fixture->segments, &start,
                                      &listener, 1000, UINT64_MAX),
                  BITCASK_OK);
    bitcask_manifest_release(&manifest);

    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_RENAME), 2);
    for (size_t i = 0; i < 10; i++)
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_int_equal(fixture->appended[5].segment_id, 1);
    assert_int_equal(fixture->appended[5].sequence, 6);
    assert_int_equal(fixture->appended[14].segment_id, start.next_id + 1);
    commit_fixture_check(fixture);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    read_manifest(fixture, &manifest);
    assert_int_equal(manifest.segments[0].first_sequence, 1);
    assert_int_equal(manifest.segments[0].state, BITCASK_MANIFEST_SEALED);
    bitcask_manifest_release(&manifest);
}

static void releasing_what_was_never_begun_is_fine(void **state)
{
    struct bitcask_commit commit;

    (void)state;
    memset(&commit, 0, sizeof commit);
    bitcask_commit_release(&commit);
    bitcask_commit_release(&commit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        commit_test(records_lie_side_by_side_in_order),
        commit_test(records_of_every_kind_are_appended),
        commit_test(nothing_is_begun_before_it_is_needed),
        commit_test(a_full_segment_is_sealed_and_the_next_begun),
        commit_test(a_segment_is_filled_to_the_last_byte),
        commit_test(a_record_larger_than_a_segment_has_one_of_its_own),
        commit_test(every_segment_is_listed_before_it_is_begun),
        commit_test(many_segments_need_few_manifests),
        commit_test(no_two_segments_share_a_salt),
        commit_test(a_clean_end_is_written_down),
        commit_test(an_end_is_written_down_only_once),
        commit_test(a_queue_goes_on_where_the_last_one_ended),
        cmocka_unit_test(releasing_what_was_never_begun_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
