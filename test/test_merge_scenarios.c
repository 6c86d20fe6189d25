/* SPDX-License-Identifier: MIT */
/*
 * The merges that broke other systems, one by one, on a simulated disk: deleted keys that
 * come back, newer records lost with the power after the older ones were merged away,
 * files that vanish in any order. Writers that race with a merge are in
 * test_merge_races.c.
 */
#include "test/test_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/merge_fixture.h"

enum {
    CRASH_SEEDS = 6 /* power failures at each moment */
};

/* TOMBSTONES AND OLDER VALUES */

static void a_tombstone_stays_while_an_older_value_lies_in_a_file_left_behind(
    void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = merge_test_open(disk);
    uint64_t old_file, new_file;

    (void)state;
    merge_test_put(cask, "key", "old");
    old_file = merge_test_file_of(cask, 1);
    merge_test_begin_file(cask);
    merge_test_delete(cask, "key");
    new_file = merge_test_file_of(cask, merge_test_last_sequence(cask));
    assert_int_not_equal(old_file, new_file);

    assert_int_equal(merge_test_files(cask, &new_file, 1).tombstone_kept_count, 1);
    merge_test_expect(cask, "key", NULL);
    cask = merge_test_reopen(disk, cask);
    merge_test_expect(cask, "key", NULL);

    /* Once the old value is gone nothing has to be said any more. */
    (void)merge_test_files(cask, &old_file, 1);
    old_file = merge_test_file_of(cask, 2);
    (void)merge_test_files(cask, &old_file, 1);
    new_file = merge_test_file_of(cask, 3);
    assert_int_equal(merge_test_files(cask, &new_file, 1).tombstone_dropped_count, 1);
    cask = merge_test_reopen(disk, cask);
    merge_test_expect(cask, "key", NULL);
    merge_test_close(disk, cask);
}

static void an_expired_value_is_a_tombstone_for_older_ones(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = merge_test_open(disk);
    uint64_t new_file;

    (void)state;
    merge_test_put(cask, "key", "old");
    merge_test_begin_file(cask);
    assert_status(bitcask_put_expiring(cask, bitcask_text("key"), bitcask_text("new"),
                                       cask->io->wall_ms(cask->io) + 100),
                  BITCASK_OK);
    merge_test_expect(cask, "key", "new");
    sim_disk_pass_ms(disk, 200);
    new_file = merge_test_file_of(cask, 3);
    assert_int_equal(merge_test_files(cask, &new_file, 1).tombstone_kept_count, 1);
    merge_test_expect(cask, "key", NULL);
    sim_disk_step_wall_ms(disk, -1000); /* not even then */
    cask = merge_test_reopen(disk, cask);
    merge_test_expect(cask, "key", NULL);
    assert_int_equal(merge_test_all(cask).tombstone_kept_count, 0);
    cask = merge_test_reopen(disk, cask);
    merge_test_expect(cask, "key", NULL);
    merge_test_close(disk, cask);
}

static void outputs_of_merges_are_merged_like_any_file(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = merge_test_open(disk);
    uint64_t ids[2], output, before, after;

    (void)state;
    merge_test_put(cask, "key", "first");
    merge_test_put(cask, "other", "first");
    merge_test_begin_file(cask);
    merge_test_put(cask, "gone", "once");
    merge_test_delete(cask, "gone");
    before = merge_test_file_of(cask, merge_test_last_sequence(cask));
    merge_test_begin_file(cask);
    ids[0] = merge_test_file_of(cask, 1);
    ids[1] = merge_test_file_of(cask, 3);
    (void)merge_test_files(cask, ids, 2);
    output = merge_test_file_of(cask, 1);

    /* This one deletes what lies in the output: it is younger than the merge. */
    merge_test_delete(cask, "key");
    after = merge_test_file_of(cask, merge_test_last_sequence(cask));
    assert_int_equal(merge_test_files(cask, &after, 1).tombstone_kept_count, 1);
    cask = merge_test_reopen(disk, cask);
    merge_test_expect(cask, "key", NULL);
    merge_test_expect(cask, "other", "first");

    /* That one was there before the output, which then has nothing older. */
    assert_int_equal(merge_test_files(cask, &before, 1).tombstone_dropped_count, 1);
    cask = merge_test_reopen(disk, cask);
    merge_test_expect(cask, "gone", NULL);

    (void)merge_test_files(cask, &output, 1);
    assert_int_equal(merge_test_all(cask).tombstone_kept_count, 0);
    cask = merge_test_reopen(disk, cask);
    merge_test_expect(cask, "key", NULL);
    merge_test_expect(cask, "gone", NULL);
    merge_test_expect(cask, "other", "first");
    merge_test_close(disk, cask);
}

/* CRASHES */

/* Every key and value, as one text. */
static void describe(struct bitcask *cask, char *words, size_t size)
{
    static const struct bitcask_iterator_options sorted = { .sorted = true };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    size_t used = 0;

    words[0] = '\0';
    assert_status(bitcask_iterator_open(cask, &sorted, &iterator), BITCASK_OK);
    while (bitcask_iterator_next(iterator, &key, &value) == BITCASK_OK && used < size)
        used += (size_t)snprintf(words + used, size - used, "%.*s=%.*s ", (int)key.size,
                                 (const char *)key.data, (int)value.size,
                                 (const char *)value.data);
    bitcask_iterator_close(iterator);
}

enum {
    WORDS_SIZE = 16000
};

/* Files in which all that a merge may get wrong is there; all of it is acknowledged. */
static struct bitcask *fill(struct sim_disk *disk)
{
    struct bitcask *cask = merge_test_open(disk);

    merge_test_put(cask, "deleted", "1");
    merge_test_put(cask, "again", "1");
    merge_test_put(cask, "kept", "1");
    merge_test_begin_file(cask);
    merge_test_put(cask, "over", "1");
    merge_test_delete(cask, "deleted");
    merge_test_delete(cask, "again");
    merge_test_begin_file(cask);
    merge_test_put(cask, "over", "2");
    merge_test_put(cask, "again", "2");
    merge_test_put(cask, "deleted too", "1");
    merge_test_begin_file(cask);
    merge_test_delete(cask, "deleted too");
    merge_test_put(cask, "last", "1");
    return cask;
}

struct watch {
    const char *expected;
    uint64_t moments;
    uint64_t opened;
    unsigned count; /* of files that are to go */
};

static void expect_disk(struct sim_disk *left, const char *expected)
{
    static char words[WORDS_SIZE];
    struct bitcask *cask = merge_test_open(left);
    const char *name;

    describe(cask, words, sizeof words);
    assert_string_equal(words, expected);
    (void)merge_test_all(cask);
    describe(cask, words, sizeof words);
    assert_string_equal(words, expected);
    cask = merge_test_reopen(left, cask);
    describe(cask, words, sizeof words);
    assert_string_equal(words, expected);
    for (size_t i = 0; (name = sim_disk_name(left, "/cask", i)) != NULL; i++) {
        if (name[0] >= '0' && name[0] <= '9')
            assert_true(merge_test_is_file_of(cask, strtoull(name, NULL, 10)));
    }
    merge_test_close(left, cask);
}

static void crash_here(struct sim_disk *disk, const struct sim_moment *moment,
                       void *context)
{
    struct watch *watch = context;

    if (moment->call == FAULT_READ || moment->call == FAULT_SIZE)
        return;
    watch->moments++;
    expect_disk(sim_disk_after(disk, SIM_KILL, watch->moments), watch->expected);
    for (uint64_t seed = 0; seed < CRASH_SEEDS; seed++)
        expect_disk(sim_disk_after(disk, SIM_POWER_ANY, watch->moments << 8 ^ seed),
                    watch->expected);
    expect_disk(sim_disk_after(disk, SIM_POWER_NOTHING, 0), watch->expected);
    watch->opened += 2 + CRASH_SEEDS;
}

static void a_merge_may_die_at_each_step(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = fill(disk);
    static char expected[WORDS_SIZE];
    struct watch watch = { .expected = expected };

    (void)state;
    describe(cask, expected, sizeof expected);
    assert_status(bitcask_sync(cask), BITCASK_OK);
    sim_disk_set_hook(disk, crash_here, &watch);
    (void)merge_test_all(cask);
    sim_disk_set_hook(disk, NULL, NULL);
    assert_true(watch.moments > 60);
    merge_test_close(disk, cask);
}

/* The files that the MANIFEST calls retired and that are there. */
static unsigned list_retired(const struct sim_disk *disk, char names[][32])
{
    size_t size;
    const uint8_t *bytes = sim_disk_file(disk, "/cask", "MANIFEST", &size);
    char manifest[8192];
    unsigned count = 0;
    const char *name;

    assert_true(size < sizeof manifest);
    memcpy(manifest, bytes, size);
    manifest[size] = '\0';
    for (size_t i = 0; (name = sim_disk_name(disk, "/cask", i)) != NULL; i++) {
        char line[60];

        (void)snprintf(line, sizeof line, "retired %" PRIu64 " ",
                       (uint64_t)strtoull(name, NULL, 10));
        if (strstr(manifest, line) != NULL)
            (void)snprintf(names[count++], sizeof names[0], "%.31s", name);
    }
    return count;
}

/* Whenever files begin to be removed, all of those in any combination. */
static void remove_some(struct sim_disk *disk, const struct sim_moment *moment,
                        void *context)
{
    struct watch *watch = context;
    char names[MERGE_TEST_FILES_MAX][32];
    unsigned count;

    if (moment->call != FAULT_REMOVE || moment->when != SIM_BEFORE)
        return;
    count = list_retired(disk, names);
    if (count <= watch->count) { /* the first removal of a step tries them all */
        watch->count = count;
        return;
    }
    watch->count = count;
    for (unsigned mask = 0; mask < 1u << count; mask++) {
        struct sim_disk *left = sim_disk_after(disk, SIM_KILL, mask);

        for (unsigned i = 0; i < count; i++) {
            if ((mask >> i & 1) != 0)
                sim_disk_remove_file(left, "/cask", names[i]);
        }
        expect_disk(left, watch->expected);
        watch->opened++;
    }
}

static void inputs_may_vanish_in_any_combination(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = fill(disk);
    static char expected[WORDS_SIZE];
    struct watch watch = { .expected = expected };

    (void)state;
    describe(cask, expected, sizeof expected);
    sim_disk_set_hook(disk, remove_some, &watch);
    (void)merge_test_all(cask);
    sim_disk_set_hook(disk, NULL, NULL);
    printf("%" PRIu64 " combinations\n", watch.opened);
    assert_true(watch.opened >= 1 << 6);
    merge_test_close(disk, cask);
}

/* Without a sync, the merge's own is the only one that can have kept the newer record. */
static void a_newer_record_is_synced_before_the_older_one_goes(void **state)
{
    (void)state;
    for (int deletes = 0; deletes < 2; deletes++) {
        struct sim_disk *disk = sim_disk_new(1);
        struct bitcask *cask = merge_test_open(disk);
        struct sim_disk *left;
        struct bitcask *found;
        uint64_t old_file;

        merge_test_put(cask, "key", "old");
        merge_test_put(cask, "kept", "1");
        old_file = merge_test_file_of(cask, 1);
        merge_test_begin_file(cask);
        if (deletes != 0)
            merge_test_delete(cask, "key");
        else
            merge_test_put(cask, "key", "new");
        (void)merge_test_files(cask, &old_file, 1);

        left = sim_disk_after(disk, SIM_POWER_NOTHING, 1);
        found = merge_test_open(left);
        merge_test_expect(found, "key", deletes != 0 ? NULL : "new");
        merge_test_expect(found, "kept", "1");
        merge_test_close(left, found);
        merge_test_close(disk, cask);
    }
}

/*
 * The newest file is listed once it is synced, or nobody would miss it; also where memory
 * of a file that was merged away is used for it again.
 */
static void a_synced_file_after_a_merge_is_missed(void **state)
{
    const struct bitcask_options durable = { .sync = BITCASK_SYNC_ALWAYS,
                                             .no_background = true,
                                             .no_mapping = true };

    (void)state;
    for (int rounds = 1; rounds < 20; rounds++) {
        struct sim_disk *disk = sim_disk_new(1);
        struct bitcask *cask = NULL;
        struct sim_disk *left;
        char name[32];

        assert_status(bitcask_open_with(sim_disk_io(disk), &cask, "/cask", &durable),
                      BITCASK_OK);
        for (int i = 0; i < rounds; i++) {
            merge_test_put(cask, "key", "old");
            (void)merge_test_all(cask);
        }
        merge_test_put(cask, "key", "new");
        (void)snprintf(name, sizeof name, "%010" PRIu64 ".data",
                       merge_test_file_of(cask, merge_test_last_sequence(cask)));
        left = sim_disk_after(disk, SIM_KILL, 1);
        merge_test_close(disk, cask);
        sim_disk_remove_file(left, "/cask", name);
        assert_status(bitcask_open_with(sim_disk_io(left), &cask, "/cask", &durable),
                      BITCASK_CORRUPT);
        sim_disk_free(left);
    }
}

/* COLD FILES */

/* The oldest file has only live keys, so no merge has a reason of its own to take it. */
static void a_cold_file_does_not_keep_tombstones_for_ever(void **state)
{
    enum {
        COLD_COUNT = 200,
        ROUNDS = 60,
        CHURN = 200
    };
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = merge_test_open(disk);
    struct bitcask_stat stat;
    char name[40];

    (void)state;
    for (int i = 0; i < COLD_COUNT; i++) {
        (void)snprintf(name, sizeof name, "cold %d", i);
        merge_test_put(cask, name, "of which nobody deletes anything, and which is long");
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CHURN; i++) { /* names that never come again */
            (void)snprintf(name, sizeof name, "churn %d %d", round, i);
            merge_test_put(cask, name, "x");
        }
        for (int i = 0; i < CHURN; i++) {
            (void)snprintf(name, sizeof name, "churn %d %d", round, i);
            merge_test_delete(cask, name);
        }
        assert_status(bitcask_merge(cask, NULL, NULL), BITCASK_OK);
        if (round % 5 == 4)
            cask = merge_test_reopen(disk, cask);
    }
    assert_status(bitcask_stat(cask, &stat), BITCASK_OK);
    assert_int_equal(stat.key_count, COLD_COUNT);
    /* Half may be dead: that is what the policy is told to leave. */
    assert_in_range(stat.data_size, stat.live_size, 2 * stat.live_size + 2 * 4096);
    for (int i = 0; i < COLD_COUNT; i++) {
        (void)snprintf(name, sizeof name, "cold %d", i);
        assert_status(bitcask_exists(cask, bitcask_text(name)), BITCASK_OK);
    }
    merge_test_close(disk, cask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_tombstone_stays_while_an_older_value_lies_in_a_file_left_behind),
        cmocka_unit_test(an_expired_value_is_a_tombstone_for_older_ones),
        cmocka_unit_test(outputs_of_merges_are_merged_like_any_file),
        cmocka_unit_test(a_merge_may_die_at_each_step),
        cmocka_unit_test(inputs_may_vanish_in_any_combination),
        cmocka_unit_test(a_newer_record_is_synced_before_the_older_one_goes),
        cmocka_unit_test(a_synced_file_after_a_merge_is_missed),
        cmocka_unit_test(a_cold_file_does_not_keep_tombstones_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
