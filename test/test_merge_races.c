/* SPDX-License-Identifier: MIT */
/*
 * Writers that race with the copy of what they change, and views of what is removed: from
 * the progress callback of a merge, and in threads whose switches follow from a seed.
 */
#include "test/test_support.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/merge_fixture.h"
#include "test/schedule.h"

enum {
    SCHEDULE_SEEDS = 150,
    WRITER_COUNT = 3,
    RACE_KEYS = 6,
    RACE_WRITES = 24,
    RACE_VIEWS = 7
};

struct race {
    struct sim_disk *disk;
    struct bitcask *cask;
    int calls;
};

/* By now some of the file has been copied. */
static enum bitcask_status change_what_was_copied(
    const struct bitcask_merge_progress *progress, void *context)
{
    struct race *race = context;

    if (progress->done_size == 0 || race->calls++ > 0)
        return BITCASK_OK;
    merge_test_delete(race->cask, "deleted");
    merge_test_put(race->cask, "over", "new");
    merge_test_delete(race->cask, "again");
    merge_test_put(race->cask, "again", "new");
    assert_status(bitcask_put_expiring(race->cask, bitcask_text("short"),
                                       bitcask_text("gone soon"),
                                       race->cask->io->wall_ms(race->cask->io) + 1),
                  BITCASK_OK);
    sim_disk_pass_ms(race->disk, 10);
    merge_test_expect(race->cask, "kept", "old");
    return BITCASK_OK;
}

static void expect_raced(struct bitcask *cask)
{
    merge_test_expect(cask, "deleted", NULL);
    merge_test_expect(cask, "over", "new");
    merge_test_expect(cask, "again", "new");
    merge_test_expect(cask, "short", NULL);
    merge_test_expect(cask, "kept", "old");
}

static void a_write_that_races_with_the_copy_wins(void **state)
{
    static const char *const keys[] = { "deleted", "over", "again", "short", "kept" };
    struct sim_disk *disk = sim_disk_new(1);
    struct race race = { .disk = disk, .cask = merge_test_open(disk) };
    struct bitcask_merge_options options = { .choice = BITCASK_MERGE_ALL,
                                             .progress = change_what_was_copied,
                                             .context = &race };
    struct bitcask_merge_report report;
    struct sim_disk *left;
    struct bitcask *found;

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(keys); i++)
        merge_test_put(race.cask, keys[i], "old");
    assert_status(bitcask_merge(race.cask, &options, &report), BITCASK_OK);
    assert_true(race.calls > 0);
    assert_int_equal(report.record_out_count, LENGTH_OF(keys));
    expect_raced(race.cask);
    for (uint64_t seed = 0; seed < 20; seed++) {
        left = sim_disk_after(disk, SIM_POWER_ANY, seed);
        found = merge_test_open(left);
        expect_raced(found);
        (void)merge_test_all(found);
        found = merge_test_reopen(left, found);
        expect_raced(found);
        merge_test_close(left, found);
    }
    race.cask = merge_test_reopen(disk, race.cask);
    expect_raced(race.cask);
    (void)merge_test_all(race.cask);
    expect_raced(race.cask);
    race.cask = merge_test_reopen(disk, race.cask);
    expect_raced(race.cask);
    merge_test_close(disk, race.cask);
}

/* What an iteration has begun with may be removed meanwhile, key by key and file by file.
 */
static void an_iteration_goes_on_over_merges(void **state)
{
    enum {
        COUNT = 400
    };
    (void)state;
    for (int sorted = 0; sorted < 2; sorted++) {
        const struct bitcask_iterator_options options = { .sorted = sorted != 0 };
        struct sim_disk *disk = sim_disk_new(1);
        struct bitcask *cask = merge_test_open(disk);
        struct bitcask_iterator *iterator = NULL;
        bool met[COUNT] = { false };
        struct bitcask_slice key, value;
        enum bitcask_status status;
        char name[32];

        for (int i = 0; i < COUNT; i++) {
            (void)snprintf(name, sizeof name, "key %d", i);
            merge_test_put(cask, name, "old");
        }
        assert_status(bitcask_iterator_open(cask, &options, &iterator), BITCASK_OK);
        while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK) {
            int i = 0;

            assert_true(key.size < sizeof name);
            memcpy(name, key.data, key.size);
            name[key.size] = '\0';
            assert_int_equal(sscanf(name, "key %d", &i), 1);
            assert_in_range(i, 0, COUNT - 1);
            assert_false(met[i]);
            met[i] = true;
            assert_int_equal(value.size, 3);
            assert_true(memcmp(value.data, "old", 3) == 0 ||
                        memcmp(value.data, "new", 3) == 0);
            (void)snprintf(name, sizeof name, "key %d", (i + 7) % COUNT);
            merge_test_put(cask, name, "new");
            if (i % 16 == 0)
                (void)merge_test_all(cask);
        }
        assert_status(status, BITCASK_NOT_FOUND);
        for (int i = 0; i < COUNT; i++)
            assert_true(met[i]);
        bitcask_iterator_close(iterator);
        merge_test_close(disk, cask);
    }
}

/* Writers, each with keys of its own, one thread that merges, and one that looks, under a
 * schedule. */
struct crowd {
    struct sim_disk *disk;
    struct bitcask *cask;
    int started_count;
    int running_count;
    bool merging;
    int wrong_count;
    int last[WRITER_COUNT][RACE_KEYS]; /* what the key has; 0: nothing */
    uint64_t merged_count;
    uint64_t held_count; /* files that views kept, as often as one looked */
};

static struct bitcask_slice race_key(char name[32], int writer, int key)
{
    (void)snprintf(name, 32, "writer %d key %d", writer, key);
    return bitcask_text(name);
}

static struct bitcask_slice race_value(char value[400], int number)
{
    memset(value, 'v', 400);
    (void)snprintf(value, 400, "value %d", number);
    return (struct bitcask_slice){ value, 100 + (size_t)(number * 37 % 300) };
}

static void *write_keys(void *context)
{
    struct crowd *crowd = context;
    int writer = crowd->started_count++;
    char name[32];
    char value[400];

    for (int i = 1; i <= RACE_WRITES; i++) {
        int key = (i * 7 + writer) % RACE_KEYS;
        struct bitcask_slice slice = race_key(name, writer, key);

        if (i % 3 == 0) {
            enum bitcask_status expected =
                crowd->last[writer][key] != 0 ? BITCASK_OK : BITCASK_NOT_FOUND;

            crowd->wrong_count += bitcask_delete(crowd->cask, slice) != expected;
            crowd->last[writer][key] = 0;
        } else {
            crowd->wrong_count +=
                bitcask_put(crowd->cask, slice, race_value(value, i)) != BITCASK_OK;
            crowd->last[writer][key] = i;
        }
    }
    crowd->running_count--;
    return NULL;
}

/* What is seen is a value, or nothing. */
static bool is_race_value(const struct bitcask_view *view)
{
    char value[400];
    int number = 0;
    struct bitcask_slice wanted;

    if (view->value.data == NULL)
        return true;
    if (view->value.size < 100 || sscanf(view->value.data, "value %d", &number) != 1)
        return false;
    wanted = race_value(value, number);
    return view->value.size == wanted.size &&
           memcmp(view->value.data, wanted.data, wanted.size) == 0;
}

/* Each view is looked at when it is taken, and before it makes room for another. */
static void *view_keys(void *context)
{
    struct crowd *crowd = context;
    struct bitcask_view views[RACE_VIEWS] = { 0 };
    struct bitcask_stat stat;
    char name[32];

    for (int i = 0; crowd->merging; i++) {
        struct bitcask_view *view = &views[i % RACE_VIEWS];
        struct bitcask_slice key =
            race_key(name, i % WRITER_COUNT, i / WRITER_COUNT % RACE_KEYS);
        enum bitcask_status status;

        crowd->wrong_count += !is_race_value(view);
        bitcask_view_release(view);
        status = bitcask_view(crowd->cask, key, view);
        crowd->wrong_count += status != BITCASK_OK && status != BITCASK_NOT_FOUND;
        crowd->wrong_count += !is_race_value(view);
        crowd->wrong_count += bitcask_stat(crowd->cask, &stat) != BITCASK_OK ||
                              stat.view_count > RACE_VIEWS ||
                              stat.held_count > stat.view_count;
        crowd->held_count += stat.held_count;
    }
    for (int i = 0; i < RACE_VIEWS; i++) {
        crowd->wrong_count += !is_race_value(&views[i]);
        bitcask_view_release(&views[i]);
    }
    return NULL;
}

/* Under the schedule, where nothing may be asserted. */
static enum bitcask_status note_file(const struct bitcask_segment_stat *segment,
                                     void *context)
{
    struct merge_test_listing *files = context;

    if (files->count < MERGE_TEST_FILES_MAX)
        files->of[files->count++] = *segment;
    return BITCASK_OK;
}

/* One file after the other, so that some always stay behind. */
static void merge_files(struct crowd *crowd)
{
    struct merge_test_listing files = { .count = 0 };

    crowd->wrong_count +=
        bitcask_stat_segments(crowd->cask, note_file, &files) != BITCASK_OK;
    for (size_t i = 0; i < files.count; i++) {
        const struct bitcask_merge_options options = { .choice = BITCASK_MERGE_FILES,
                                                       .file_ids = &files.of[i].id,
                                                       .file_count = 1 };
        struct bitcask_merge_report report;

        crowd->wrong_count += bitcask_merge(crowd->cask, &options, &report) != BITCASK_OK;
        crowd->merged_count += report.input_count;
    }
}

static void *merge_until_the_end(void *context)
{
    struct crowd *crowd = context;

    while (crowd->running_count > 0)
        merge_files(crowd);
    merge_files(crowd);
    crowd->merging = false;
    return NULL;
}

static void expect_last(struct crowd *crowd)
{
    struct bitcask_buffer found = { 0 };
    char name[32];
    char value[400];

    for (int i = 0; i < WRITER_COUNT * RACE_KEYS; i++) {
        int number = crowd->last[i / RACE_KEYS][i % RACE_KEYS];
        struct bitcask_slice expected = race_value(value, number);
        enum bitcask_status status = bitcask_get(
            crowd->cask, race_key(name, i / RACE_KEYS, i % RACE_KEYS), &found);

        if (number == 0)
            crowd->wrong_count += status != BITCASK_NOT_FOUND;
        else
            crowd->wrong_count += status != BITCASK_OK || found.size != expected.size ||
                                  memcmp(found.data, expected.data, found.size) != 0;
    }
    bitcask_buffer_release(&found);
}

static void race_in_threads(void *context)
{
    struct crowd *crowd = context;
    void *(*const others[])(void *) = { merge_until_the_end, view_keys };
    const int count = WRITER_COUNT + (int)LENGTH_OF(others);
    pthread_t threads[WRITER_COUNT + LENGTH_OF(others)];

    if (bitcask_open_with(sim_disk_io(crowd->disk), &crowd->cask, "/cask",
                          &merge_test_options) != BITCASK_OK)
        abort();
    crowd->running_count = WRITER_COUNT;
    crowd->merging = true;
    for (int i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL,
                           i < WRITER_COUNT ? write_keys : others[i - WRITER_COUNT],
                           crowd) != 0)
            abort();
    }
    for (int i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
    expect_last(crowd);
    crowd->wrong_count += bitcask_close(crowd->cask) != BITCASK_OK;
    if (bitcask_open_with(sim_disk_io(crowd->disk), &crowd->cask, "/cask",
                          &merge_test_options) != BITCASK_OK)
        abort();
    expect_last(crowd);
    crowd->wrong_count += bitcask_close(crowd->cask) != BITCASK_OK;
}

static void move_clock(uint64_t ms, void *context)
{
    sim_disk_pass_ms(context, ms);
}

static void writers_and_views_race_with_merges_in_any_order(void **state)
{
    uint64_t merged_count = 0;
    uint64_t held_count = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SCHEDULE_SEEDS; seed++) {
        struct crowd crowd = { .disk = sim_disk_new(seed) };

        schedule_on_time(move_clock, crowd.disk);
        schedule_run(seed, race_in_threads, &crowd);
        schedule_on_time(NULL, NULL);
        if (crowd.wrong_count > 0)
            fail_msg("schedule %" PRIu64 ": %d wrong answers", seed, crowd.wrong_count);
        assert_int_equal(sim_disk_open_count(crowd.disk), 0);
        merged_count += crowd.merged_count;
        held_count += crowd.held_count;
        sim_disk_free(crowd.disk);
    }
    assert_true(merged_count > SCHEDULE_SEEDS);
    assert_true(held_count > SCHEDULE_SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_races_with_the_copy_wins),
        cmocka_unit_test(an_iteration_goes_on_over_merges),
        cmocka_unit_test(writers_and_views_race_with_merges_in_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
