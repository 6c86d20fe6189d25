/* SPDX-License-Identifier: MIT */
/* Views held while merges replace the files that they show. */
#include "test/test_cask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "test/merge_fixture.h"
#include "test/test_alloc.h"

static const struct bitcask_merge_options everything = { .choice = BITCASK_MERGE_ALL };

enum {
    KEY_COUNT = 40,
    VALUE_SIZE = 500
};

/* Version 0 of key 0 is empty. */
static struct bitcask_slice value_of(unsigned key, unsigned version)
{
    static uint8_t bytes[VALUE_SIZE];
    struct bitcask_slice value = { bytes, VALUE_SIZE - 7 * key };

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 + key * 7 + version * 101);
    if (key == 0 && version == 0)
        value.size = 0;
    return value;
}

static struct bitcask_slice key_of(unsigned key)
{
    static char text[16];

    (void)snprintf(text, sizeof text, "key %u", key);
    return bitcask_text(text);
}

static void put_all(struct bitcask *cask, unsigned version, unsigned step)
{
    for (unsigned key = 0; key < KEY_COUNT; key += step)
        assert_status(bitcask_put(cask, key_of(key), value_of(key, version)), BITCASK_OK);
}

static bool shows(const struct bitcask_view *view, unsigned key, unsigned version)
{
    struct bitcask_slice value = value_of(key, version);

    return view->value.data != NULL && view->value.size == value.size &&
           memcmp(view->value.data, value.data, value.size) == 0;
}

static void view_all(struct bitcask *cask, struct bitcask_view views[KEY_COUNT])
{
    for (unsigned key = 0; key < KEY_COUNT; key++)
        assert_status(bitcask_view(cask, key_of(key), &views[key]), BITCASK_OK);
}

static void expect_views(const struct bitcask_view views[KEY_COUNT], unsigned version)
{
    for (unsigned key = 0; key < KEY_COUNT; key++)
        assert_true(shows(&views[key], key, version));
}

static void release_all(struct bitcask_view views[KEY_COUNT])
{
    for (unsigned key = 0; key < KEY_COUNT; key++)
        bitcask_view_release(&views[key]);
}

/* What the keys have now; @version where @step divides the key, else the one before. */
static void expect_contents(struct bitcask *cask, unsigned version, unsigned step)
{
    struct bitcask_view views[KEY_COUNT];

    view_all(cask, views);
    for (unsigned key = 0; key < KEY_COUNT; key++)
        assert_true(shows(&views[key], key, key % step == 0 ? version : version - 1));
    release_all(views);
}

/* Every way in which a merge takes files; those that are held are gone from the disk. */
static void views_outlast_merges_of_every_kind(void **state)
{
    struct test_disk *disk = *state;
    enum way {
        ALL,
        POLICY,
        FILES,
        ALL_DEAD,
        TWICE,
        WAY_COUNT
    };

    for (int way = 0; way < WAY_COUNT; way++) {
        struct bitcask_merge_options options = { .choice = BITCASK_MERGE_ALL };
        unsigned step = way == ALL_DEAD ? 1 : 2;
        struct bitcask_view views[KEY_COUNT], later[KEY_COUNT];
        struct merge_test_listing before;
        uint64_t ids[MERGE_TEST_FILES_MAX];
        uint64_t gone_count = 0, gone_size = 0;
        struct bitcask_stat stat;
        struct bitcask *cask;
        long map_count;

        test_disk_clear(disk);
        cask = test_cask_open(disk, NULL);
        put_all(cask, 0, 1);
        view_all(cask, views);
        put_all(cask, 1, step);
        before = merge_test_list(cask);
        for (size_t i = 0; i < before.count; i++)
            ids[i] = before.of[i].id;
        if (way == POLICY) {
            options.choice = BITCASK_MERGE_POLICY;
        } else if (way == FILES) {
            options.choice = BITCASK_MERGE_FILES;
            options.file_ids = ids;
            options.file_count = 3;
        }
        assert_status(bitcask_merge(cask, &options, NULL), BITCASK_OK);
        if (way == TWICE) {
            put_all(cask, 1, step);
            view_all(cask, later);
            assert_status(bitcask_merge(cask, &options, NULL), BITCASK_OK);
        }

        for (size_t i = 0; i < before.count; i++) {
            char name[BITCASK_NAME_SIZE];

            bitcask_data_name(name, before.of[i].id);
            if (test_disk_has(disk, name))
                continue;
            gone_count++; /* but for those of version 1 alone */
            gone_size += before.of[i].data_size;
        }
        stat = test_cask_stat(cask);
        assert_true(gone_count >= 2);
        assert_int_equal(stat.view_count, way == TWICE ? 2 * KEY_COUNT : KEY_COUNT);
        assert_true(stat.held_count >= 2);
        if (way != TWICE) {
            assert_true(stat.held_count <= gone_count);
            assert_true(stat.held_size <= gone_size);
        }
        assert_true(stat.held_size > stat.held_count * 2048);
        assert_int_equal(stat.retired_count, 0);
        expect_views(views, 0);
        expect_contents(cask, 1, step);
        put_all(cask, 2, 1); /* numbers of the table are given out again */
        expect_views(views, 0);

        map_count = fault_io_map_count(&disk->fault);
        release_all(views);
        if (way == TWICE) {
            for (unsigned key = 0; key < KEY_COUNT; key++)
                assert_true(shows(&later[key], key, key % step == 0 ? 1 : 0));
            release_all(later);
        }
        assert_int_equal(fault_io_map_count(&disk->fault),
                         map_count - (long)stat.held_count);
        stat = test_cask_stat(cask);
        assert_int_equal(stat.view_count, 0);
        assert_int_equal(stat.held_count, 0);
        assert_int_equal(stat.held_size, 0);
        test_cask_close(cask);
        cask = test_cask_open(disk, NULL);
        expect_contents(cask, 2, 1);
        test_cask_close(cask);
    }
}

/* Five on one file, that go in any order: the last gives it back, and no other. */
static void the_last_view_gives_a_file_back(void **state)
{
    enum {
        COUNT = 5
    };
    struct test_disk *disk = *state;

    for (unsigned first = 0; first < COUNT; first++) {
        struct bitcask_view views[COUNT];
        struct bitcask *cask;
        uint64_t size;

        test_disk_clear(disk);
        cask = test_cask_open(disk, NULL);
        for (unsigned i = 0; i < COUNT; i++) {
            test_cask_put(cask, "key", "value");
            assert_status(bitcask_view(cask, bitcask_text("key"), &views[i]), BITCASK_OK);
        }
        bitcask_view_release(&views[first]); /* before, by who is not last */
        size = test_cask_stat(cask).data_size;
        assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
        for (unsigned i = first + 1; i < first + COUNT; i++) {
            assert_int_equal(test_cask_stat(cask).view_count, first + COUNT - i);
            assert_int_equal(test_cask_stat(cask).held_count, 1);
            assert_int_equal(test_cask_stat(cask).held_size, size);
            assert_memory_equal(views[i % COUNT].value.data, "value", 5);
            bitcask_view_release(&views[i % COUNT]);
        }
        assert_int_equal(test_cask_stat(cask).held_count, 0);
        test_cask_close(cask);
    }
}

/* Files that go while others stay, and in another order than they came. */
static void files_are_given_back_in_any_order(void **state)
{
    enum {
        COUNT = 4
    };
    static const unsigned orders[][COUNT] = {
        { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 0, 3, 2 }, { 2, 0, 3, 1 }
    };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(orders); i++) {
        struct bitcask_view views[COUNT];
        struct bitcask *cask;

        test_disk_clear(disk);
        cask = test_cask_open(disk, NULL);
        for (unsigned round = 0; round < COUNT; round++) {
            char value[16];

            (void)snprintf(value, sizeof value, "value %u", round);
            test_cask_put(cask, "key", value);
            assert_status(bitcask_view(cask, bitcask_text("key"), &views[round]),
                          BITCASK_OK);
            assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
        }
        for (unsigned j = 0; j < COUNT; j++) {
            char value[16];

            assert_int_equal(test_cask_stat(cask).held_count, COUNT - j);
            (void)snprintf(value, sizeof value, "value %u", orders[i][j]);
            assert_memory_equal(views[orders[i][j]].value.data, value, 7);
            bitcask_view_release(&views[orders[i][j]]);
        }
        assert_int_equal(test_cask_stat(cask).held_count, 0);
        test_cask_expect(cask, "key", "value 3");
        test_cask_close(cask);
    }
}

static void a_view_of_the_active_file_stays_while_it_grows_and_goes(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_view view;

    test_cask_put(cask, "key", "value");
    assert_status(bitcask_view(cask, bitcask_text("key"), &view), BITCASK_OK);
    for (unsigned version = 0; version < 4; version++) {
        put_all(cask, version, 1); /* rotates */
        assert_memory_equal(view.value.data, "value", 5);
    }
    test_cask_delete(cask, "key");
    assert_status(bitcask_sync(cask), BITCASK_OK);
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
    assert_memory_equal(view.value.data, "value", 5);
    assert_int_equal(view.value.size, 5);
    assert_int_equal(test_cask_stat(cask).held_count, 1);
    test_cask_expect(cask, "key", NULL);
    bitcask_view_release(&view);
    test_cask_close(cask);
}

static void views_that_own_copies_hold_no_file(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = small_files;
    struct bitcask_view views[KEY_COUNT];
    struct bitcask *cask;

    options.no_mapping = true;
    cask = test_cask_open(disk, &options);
    put_all(cask, 0, 1);
    view_all(cask, views);
    put_all(cask, 1, 2);
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
    expect_views(views, 0);
    assert_int_equal(test_cask_stat(cask).view_count, KEY_COUNT);
    assert_int_equal(test_cask_stat(cask).held_count, 0);
    release_all(views);
    assert_int_equal(test_cask_stat(cask).view_count, 0);
    test_cask_close(cask);
}

static void a_reader_keeps_what_the_merge_of_a_writer_removes(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_view views[KEY_COUNT];
    struct bitcask *reader;

    put_all(cask, 0, 1);
    reader = test_cask_open_read_only(disk);
    view_all(reader, views);
    put_all(cask, 1, 1);
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
    expect_views(views, 0);
    release_all(views);
    view_all(reader, views); /* of files that are gone */
    test_cask_close(cask);
    expect_views(views, 0);
    assert_int_equal(test_cask_stat(reader).view_count, KEY_COUNT);
    release_all(views);
    test_cask_close(reader);
}

/* It is retired, and held; the one ends without the other. */
static void a_held_file_that_cannot_be_removed_is_removed_later(void **state)
{
    struct test_disk *disk = *state;
    const struct fault_plan no_remove = { .calls = FAULT_BIT(FAULT_REMOVE),
                                          .count = FAULT_FOREVER };
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_view view;

    test_cask_put(cask, "key", "value");
    assert_status(bitcask_view(cask, bitcask_text("key"), &view), BITCASK_OK);
    fault_io_arm(&disk->fault, &no_remove);
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_IO);
    fault_io_disarm(&disk->fault);
    assert_int_equal(test_cask_stat(cask).retired_count, 1);
    assert_int_equal(test_cask_stat(cask).held_count, 1);
    assert_true(test_disk_has(disk, FIRST_DATA));
    test_cask_put(cask, "key", "later");
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
    assert_false(test_disk_has(disk, FIRST_DATA));
    assert_int_equal(test_cask_stat(cask).retired_count, 0);
    assert_int_equal(test_cask_stat(cask).held_count, 1);
    assert_memory_equal(view.value.data, "value", 5);
    bitcask_view_release(&view);
    test_cask_close(cask);
}

/* ON A SIMULATED DISK */

/* Views of version 0, of which every other key has been put again. */
static struct bitcask *make_held(struct sim_disk *disk,
                                 struct bitcask_view views[KEY_COUNT])
{
    struct bitcask *cask = merge_test_open(disk);

    put_all(cask, 0, 1);
    view_all(cask, views);
    put_all(cask, 1, 2);
    return cask;
}

/* At each moment of a merge: what a crash leaves opens to the same, held or not. */
struct crashes {
    const struct bitcask_view *views;
    long count;
    long wrong_count;
};

static void crash_here(struct sim_disk *disk, const struct sim_moment *moment,
                       void *context)
{
    struct crashes *crashes = context;

    (void)moment;
    for (unsigned key = 0; key < KEY_COUNT; key++)
        crashes->wrong_count += !shows(&crashes->views[key], key, 0);
    for (int loss = 0; loss < SIM_LOSS_COUNT; loss++) {
        struct sim_disk *left =
            sim_disk_after(disk, (enum sim_loss)loss, (uint64_t)crashes->count);
        struct bitcask *cask = merge_test_open(left);

        expect_contents(cask, 1, 2);
        merge_test_close(left, cask);
        crashes->count++;
    }
}

static void held_files_do_not_change_what_a_crash_of_a_merge_leaves(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask_view views[KEY_COUNT];
    struct bitcask *cask = make_held(disk, views);
    struct crashes crashes = { .views = views };

    (void)state;
    assert_status(bitcask_sync(cask), BITCASK_OK);
    sim_disk_set_hook(disk, crash_here, &crashes);
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
    release_all(views);
    sim_disk_set_hook(disk, NULL, NULL);
    assert_true(crashes.count > 500);
    assert_int_equal(crashes.wrong_count, 0);
    expect_contents(cask, 1, 2);
    merge_test_close(disk, cask);
}

/* After something has failed: whatever became of the merge, views and contents stay. */
static void merge_and_check(struct sim_disk *disk, struct bitcask *cask,
                            struct bitcask_view views[KEY_COUNT])
{
    expect_views(views, 0);
    expect_contents(cask, 1, 2);
    for (unsigned key = 0; key < KEY_COUNT; key += 2)
        bitcask_view_release(&views[key]);
    (void)bitcask_merge(cask, &everything, NULL);
    for (unsigned key = 1; key < KEY_COUNT; key += 2)
        assert_true(shows(&views[key], key, 0));
    release_all(views);
    assert_int_equal(test_cask_stat(cask).view_count, 0);
    assert_int_equal(test_cask_stat(cask).held_count, 0);
    expect_contents(cask, 1, 2);
    (void)bitcask_close(cask);
    assert_int_equal(sim_disk_open_count(disk), 0);
    cask = merge_test_open(disk);
    expect_contents(cask, 1, 2);
    merge_test_close(disk, cask);
}

static void views_stay_whichever_call_of_a_merge_fails(void **state)
{
    long failures;
    long n = 0;

    (void)state;
    do {
        const struct fault_plan plan = { .calls = FAULT_ANY, .skip = n++ };
        struct sim_disk *disk = sim_disk_new((uint64_t)n);
        struct bitcask_view views[KEY_COUNT];
        struct bitcask *cask = make_held(disk, views);

        sim_disk_arm(disk, &plan);
        (void)bitcask_merge(cask, &everything, NULL);
        failures = sim_disk_failure_count(disk);
        sim_disk_disarm(disk);
        merge_and_check(disk, cask, views);
    } while (failures > 0);
    assert_true(n > 50);
}

static void views_stay_whichever_allocation_of_a_merge_fails(void **state)
{
    long failures;
    long n = 0;

    (void)state;
    do {
        struct sim_disk *disk = sim_disk_new((uint64_t)n);
        struct bitcask_view views[KEY_COUNT];
        struct bitcask *cask = make_held(disk, views);

        test_alloc_fail(n++);
        (void)bitcask_merge(cask, &everything, NULL);
        failures = test_alloc_stop();
        merge_and_check(disk, cask, views);
    } while (failures > 0);
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(views_outlast_merges_of_every_kind),
        disk_test(the_last_view_gives_a_file_back),
        disk_test(files_are_given_back_in_any_order),
        disk_test(a_view_of_the_active_file_stays_while_it_grows_and_goes),
        disk_test(views_that_own_copies_hold_no_file),
        disk_test(a_reader_keeps_what_the_merge_of_a_writer_removes),
        disk_test(a_held_file_that_cannot_be_removed_is_removed_later),
        cmocka_unit_test(held_files_do_not_change_what_a_crash_of_a_merge_leaves),
        cmocka_unit_test(views_stay_whichever_call_of_a_merge_fails),
        cmocka_unit_test(views_stay_whichever_allocation_of_a_merge_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
