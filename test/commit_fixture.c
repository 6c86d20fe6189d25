/* SPDX-License-Identifier: MIT */
#include "test/commit_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/file_name.h"

static void on_unsynced(void *context)
{
    struct commit_fixture *fixture = context;

    fixture->unsynced_calls++;
}

static void on_sealed(struct bitcask_segment *segment, void *context)
{
    struct commit_fixture *fixture = context;

    if (fixture->sealed_count < COMMIT_RECORDS_MAX)
        fixture->sealed_ids[fixture->sealed_count++] = segment->id;
}

static void on_ahead(void *context)
{
    struct commit_fixture *fixture = context;

    fixture->ahead_calls++;
}

static void on_ended(void *context)
{
    struct commit_fixture *fixture = context;

    fixture->ended_calls++;
}

static uint64_t on_key_count(void *context)
{
    struct commit_fixture *fixture = context;

    return fixture->key_count;
}

int commit_fixture_setup(void **state)
{
    struct commit_fixture *fixture = calloc(1, sizeof *fixture);
    void *disk = NULL;

    assert_non_null(fixture);
    assert_int_equal(test_disk_setup(&disk), 0);
    fixture->disk = disk;
    *state = fixture;
    return 0;
}

int commit_fixture_teardown(void **state)
{
    struct commit_fixture *fixture = *state;
    void *disk = fixture->disk;

    commit_fixture_end(fixture);
    free(fixture);
    return test_disk_teardown(&disk);
}

void commit_fixture_begin(struct commit_fixture *fixture, uint64_t file_size_max)
{
    struct bitcask_commit_start start = { .next_id = 1 };
    struct bitcask_commit_listener listener = {
        .unsynced = on_unsynced,
        .sealed = on_sealed,
        .key_count = on_key_count,
        .ahead = on_ahead,
        .ended = on_ended,
        .context = fixture,
    };

    bitcask_segments_init(&fixture->segments, fixture->disk->io, fixture->disk->directory,
                          true);
    assert_status(bitcask_commit_init(&fixture->commit, &fixture->segments, &start,
                                      &listener, file_size_max, UINT64_MAX),
                  BITCASK_OK);
    assert_status(bitcask_commit_prepare(&fixture->commit), BITCASK_OK);
}

void commit_fixture_end(struct commit_fixture *fixture)
{
    bitcask_commit_release(&fixture->commit);
    bitcask_segments_release(&fixture->segments);
}

uint64_t commit_fixture_record_size(const char *key, size_t value_size)
{
    return BITCASK_RECORD_HEADER_SIZE + strlen(key) + value_size;
}

void commit_fixture_remember(struct commit_fixture *fixture,
                             const struct bitcask_pending *pending)
{
    struct commit_record *record = &fixture->appended[fixture->appended_count];
    uint64_t expected_sequence =
        fixture->appended_count > 0 ? record[-1].sequence + 1 : pending->sequence;

    assert_true(fixture->appended_count < COMMIT_RECORDS_MAX);
    assert_int_equal(pending->sequence, expected_sequence);
    memset(record, 0, sizeof *record);
    record->segment_id = pending->segment->id;
    record->offset = pending->offset;
    record->sequence = pending->sequence;
    record->expiry_ms = pending->record.expiry_ms;
    record->value_size = pending->record.value_size;
    record->kind = pending->record.kind;
    assert_true(pending->key.size < sizeof record->key);
    memcpy(record->key, pending->key.data, pending->key.size);
    fixture->appended_count++;
}

enum bitcask_status commit_fixture_append(struct commit_fixture *fixture,
                                          struct bitcask_pending *pending)
{
    uint64_t last, synced;
    uint64_t size = bitcask_record_size(&pending->record);
    enum bitcask_status status = bitcask_commit_append(&fixture->commit, pending);

    if (status != BITCASK_OK)
        return status;
    commit_fixture_remember(fixture, pending);
    assert_int_equal(pending->offset + size, atomic_load(&pending->segment->data_size));
    bitcask_commit_sequences(&fixture->commit, &last, &synced);
    assert_int_equal(pending->sequence, last);
    assert_true(synced < last);
    return BITCASK_OK;
}

enum bitcask_status commit_fixture_put(struct commit_fixture *fixture, const char *key,
                                       size_t value_size)
{
    uint8_t *bytes = test_noise(value_size, value_size);
    struct bitcask_slice value = { bytes, value_size };
    struct bitcask_pending pending;
    enum bitcask_status status;

    bitcask_pending_init(&pending, BITCASK_RECORD_PUT, bitcask_text(key), value, 0);
    status = commit_fixture_append(fixture, &pending);
    free(bytes);
    return status;
}

static size_t walk_segment(struct commit_fixture *fixture,
                           struct bitcask_segment *segment, struct commit_record *records,
                           size_t capacity)
{
    struct bitcask_io *io = bitcask_io_posix();
    bitcask_file directory = fixture->disk->directory;
    bitcask_file file = BITCASK_NO_FILE;
    struct bitcask_walk_record met;
    struct bitcask_walk walk;
    uint64_t size;
    size_t count = 0;
    bool torn;
    enum bitcask_status status;

    assert_status(bitcask_data_file_open(io, directory, segment->id, segment->salt,
                                         BITCASK_IO_READ, &file, &size, &torn),
                  BITCASK_OK);
    assert_status(bitcask_walk_init(&walk, io, file, segment->id, segment->salt,
                                    atomic_load(&segment->data_size)),
                  BITCASK_OK);
    walk.check_values = true;
    while ((status = bitcask_walk_next(&walk, &met)) == BITCASK_OK) {
        struct commit_record *record = &records[count++];

        assert_true(count <= capacity);
        assert_true(met.value_intact);
        memset(record, 0, sizeof *record);
        record->segment_id = segment->id;
        record->offset = met.offset;
        record->sequence = met.header.sequence;
        record->expiry_ms = met.header.expiry_ms;
        record->value_size = met.header.value_size;
        record->unsynced_count = met.header.unsynced_count;
        record->kind = met.header.kind;
        assert_true(met.key.size < sizeof record->key);
        memcpy(record->key, met.key.data, met.key.size);
    }
    assert_status(status, BITCASK_NOT_FOUND);
    bitcask_walk_release(&walk);
    io->close(io, file);
    return count;
}

size_t commit_fixture_walk(struct commit_fixture *fixture,
                           struct commit_record records[COMMIT_RECORDS_MAX])
{
    uint32_t segment_count = atomic_load(&fixture->segments.count);
    size_t count = 0;

    for (uint32_t i = 0; i < segment_count; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(&fixture->segments, i);
        size_t found;

        if (segment == NULL) /* it was made for later, and not used */
            continue;
        found =
            walk_segment(fixture, segment, records + count, COMMIT_RECORDS_MAX - count);
        assert_int_equal(atomic_load(&segment->record_count), found);
        if (found > 0) {
            assert_int_equal(atomic_load(&segment->first_sequence),
                             records[count].sequence);
            assert_int_equal(atomic_load(&segment->last_sequence),
                             records[count + found - 1].sequence);
        }
        count += found;
    }
    return count;
}

void commit_fixture_check(struct commit_fixture *fixture)
{
    struct commit_record *records = calloc(COMMIT_RECORDS_MAX, sizeof *records);
    size_t count;

    assert_non_null(records);
    count = commit_fixture_walk(fixture, records);
    assert_int_equal(count, fixture->appended_count);
    for (size_t i = 0; i < count; i++) {
        const struct commit_record *expected = &fixture->appended[i];

        assert_int_equal(records[i].segment_id, expected->segment_id);
        assert_int_equal(records[i].offset, expected->offset);
        assert_int_equal(records[i].sequence, expected->sequence);
        assert_int_equal(records[i].expiry_ms, expected->expiry_ms);
        assert_int_equal(records[i].value_size, expected->value_size);
        assert_int_equal(records[i].kind, expected->kind);
        assert_string_equal(records[i].key, expected->key);
    }
    free(records);
}

enum bitcask_status commit_fixture_read(struct commit_fixture *fixture, size_t index,
                                        struct bitcask_buffer *value)
{
    const struct commit_record *record = &fixture->appended[index];
    struct bitcask_record_key wanted = {
        .key = bitcask_text(record->key),
        .offset = record->offset,
        .sequence = record->sequence,
        .value_size = record->value_size,
        .expires = record->expiry_ms != 0,
    };
    uint32_t segment_count = atomic_load(&fixture->segments.count);

    for (uint32_t i = 0; i < segment_count; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(&fixture->segments, i);

        if (segment->id == record->segment_id)
            return bitcask_segment_read(&fixture->segments, segment, &wanted, value);
    }
    return BITCASK_NOT_FOUND;
}
