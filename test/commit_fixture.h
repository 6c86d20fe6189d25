/* SPDX-License-Identifier: MIT */
/*
 * An append queue on an empty directory, for the tests of commit.h. It remembers what
 * was appended, and can look whether the data files have exactly that.
 */
#ifndef TEST_COMMIT_FIXTURE_H
#define TEST_COMMIT_FIXTURE_H

#include "bitcask/commit.h"
#include "test/test_support.h"

enum {
    COMMIT_RECORDS_MAX = 4096
};

/* A record that was appended, or that a data file has. */
struct commit_record {
    uint64_t segment_id;
    uint64_t offset;
    uint64_t sequence;
    uint64_t expiry_ms;
    uint32_t value_size;
    uint32_t unsynced_count; /* not of those that were appended */
    uint8_t kind;
    char key[24];
};

struct commit_fixture {
    struct test_disk *disk;
    struct bitcask_segments segments;
    struct bitcask_commit commit;

    /* What the listener was told, and tells. */
    uint64_t sealed_ids[COMMIT_RECORDS_MAX];
    size_t sealed_count;
    long unsynced_calls;
    long ahead_calls;
    long ended_calls;
    uint64_t key_count;

    struct commit_record appended[COMMIT_RECORDS_MAX];
    size_t appended_count;
};

/* As of cmocka. The queue is not begun yet; teardown ends it without finish. */
int commit_fixture_setup(void **state);
int commit_fixture_teardown(void **state);

#define commit_test(function)                                       \
    cmocka_unit_test_setup_teardown(function, commit_fixture_setup, \
                                    commit_fixture_teardown)

/* Begin with nothing; ids are prepared, no segment is there. */
void commit_fixture_begin(struct commit_fixture *fixture, uint64_t file_size_max);

/* Release queue and segments; what is on disk stays. */
void commit_fixture_end(struct commit_fixture *fixture);

/* The size of a record that commit_fixture_put() appends. */
uint64_t commit_fixture_record_size(const char *key, size_t value_size);

/*
 * Append a put with some value of @value_size bytes. After BITCASK_OK it is remembered,
 * and must have the next sequence and lie where the segment ended.
 */
enum bitcask_status commit_fixture_put(struct commit_fixture *fixture, const char *key,
                                       size_t value_size);

/* Append @pending, and the same. */
enum bitcask_status commit_fixture_append(struct commit_fixture *fixture,
                                          struct bitcask_pending *pending);

/* Remember a record that was appended as a part of a batch. */
void commit_fixture_remember(struct commit_fixture *fixture,
                             const struct bitcask_pending *pending);

/* Walk over all segments, oldest first; how many records there are. */
size_t commit_fixture_walk(struct commit_fixture *fixture,
                           struct commit_record records[COMMIT_RECORDS_MAX]);

/* Assert that the data files have exactly the records that were remembered. */
void commit_fixture_check(struct commit_fixture *fixture);

/* Read what was remembered as @index back, as a get would. */
enum bitcask_status commit_fixture_read(struct commit_fixture *fixture, size_t index,
                                        struct bitcask_buffer *value);

#endif
