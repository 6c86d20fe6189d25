/* SPDX-License-Identifier: MIT */
/*
 * What a cask holds is the same before and after a merge, for whoever looks: gets,
 * iterators, read-only handles, and the next open.
 */
#include "test/test_cask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/format.h"
#include "test/model.h"

static const struct bitcask_merge_options everything = { .choice = BITCASK_MERGE_ALL };

static enum bitcask_status add_counts(const struct bitcask_segment_stat *segment,
                                      void *context)
{
    struct bitcask_stat *sums = context;

    sums->key_count += segment->live_count;
    sums->live_size += segment->live_size;
    sums->dead_size += segment->record_count - segment->live_count;
    return BITCASK_OK;
}

/* What files say of themselves adds up; how many of their records are dead. */
static uint64_t check_counts(struct bitcask *cask)
{
    struct bitcask_stat stat = test_cask_stat(cask), sums = { 0 };

    assert_status(bitcask_stat_segments(cask, add_counts, &sums), BITCASK_OK);
    assert_int_equal(sums.key_count, stat.key_count);
    assert_int_equal(sums.live_size, stat.live_size);
    return sums.dead_size;
}

static void merge_all(struct bitcask *cask)
{
    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).dead_size, 0);
    assert_int_equal(check_counts(cask), 0);
}

static void remove_hints(struct test_disk *disk)
{
    struct test_image image = { 0 };

    test_image_take(&image, disk->path);
    for (size_t i = 0; i < image.count; i++) {
        if (strstr(image.files[i].name, ".hint") != NULL)
            test_disk_remove(disk, image.files[i].name);
    }
    test_image_release(&image);
}

/* Keys and values of every size. */
struct sized_pair {
    size_t key_size;
    size_t value_size;
};
static const struct sized_pair pairs[] = {
    { 1, 0 },           { 2, 1 },
    { 3, 100 },         { 65535, 0 },
    { 65534, 5000 },    { 10, 4000 },
    { 11, 4096 },       { 12, 65536 },
    { 13, 1048000 },    { 14, 1048576 },
    { 15, 1048577 },    { 65533, 1048576 },
    { 17, 3000000 },    { 18, 2 * 1048576 },
    { 65532, 2000000 }, { 20, 50 },
};

static void put_pairs(struct bitcask *cask, uint64_t seed)
{
    for (size_t i = 0; i < LENGTH_OF(pairs); i++) {
        uint8_t *key = test_noise(pairs[i].key_size, i);
        uint8_t *value = test_noise(pairs[i].value_size, seed + i);

        key[0] = (uint8_t)i; /* none is like another */
        assert_status(bitcask_put(cask, (struct bitcask_slice){ key, pairs[i].key_size },
                                  (struct bitcask_slice){ value, pairs[i].value_size }),
                      BITCASK_OK);
        free(key);
        free(value);
    }
}

static void expect_pairs(struct bitcask *cask, uint64_t seed)
{
    struct bitcask_buffer got = { 0 };

    for (size_t i = 0; i < LENGTH_OF(pairs); i++) {
        uint8_t *key = test_noise(pairs[i].key_size, i);
        uint8_t *value = test_noise(pairs[i].value_size, seed + i);

        key[0] = (uint8_t)i;
        assert_status(
            bitcask_get(cask, (struct bitcask_slice){ key, pairs[i].key_size }, &got),
            BITCASK_OK);
        assert_int_equal(got.size, pairs[i].value_size);
        if (got.size > 0)
            assert_memory_equal(got.data, value, got.size);
        free(key);
        free(value);
    }
    assert_int_equal(test_cask_stat(cask).key_count, LENGTH_OF(pairs));
    bitcask_buffer_release(&got);
}

static void records_of_every_size_are_copied(void **state)
{
    static const uint64_t sizes[] = { 4096, 1 << 20, 64 << 20 };
    struct test_disk *disk = *state;

    test_disk_skip_syncs(disk);
    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        const struct bitcask_options options = { .file_size_max = sizes[i],
                                                 .no_background = i != 2,
                                                 .merge_auto_off = true };
        struct bitcask *cask;

        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        put_pairs(cask, 1000); /* dead */
        put_pairs(cask, 2000);
        for (int round = 0; round < 2; round++) {
            merge_all(cask);
            expect_pairs(cask, 2000);
        }
        test_cask_close(cask);
        remove_hints(disk);
        cask = test_cask_open(disk, &options);
        expect_pairs(cask, 2000);
        test_cask_close(cask);
    }
}

static void make_history(struct bitcask *cask, struct model *model, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct model_write write = model_write_at(model->seed, model->write_count);

        model_apply(model, cask, &write);
        model_advance(model);
    }
}

static void three_hundred_files_become_few(void **state)
{
    struct test_disk *disk = *state;
    struct model *model = calloc(1, sizeof *model);
    struct bitcask_merge_report report;
    struct bitcask *cask;

    assert_non_null(model);
    model_init(model, model_seed());
    test_disk_skip_syncs(disk);
    cask = test_cask_open(disk, NULL);
    while (test_cask_stat(cask).segment_count < 320)
        make_history(cask, model, 50);
    assert_status(bitcask_merge(cask, NULL, &report), BITCASK_OK);
    assert_true(report.input_count > 200);
    assert_true(test_cask_stat(cask).segment_count < 100);
    assert_true(model_equals(model, cask));
    make_history(cask, model, 100);
    merge_all(cask);
    assert_true(model_equals(model, cask));
    test_cask_close(cask);
    free(model);
}

/* With the hints that the merge has written, without them, and read-only. */
static void the_next_open_finds_the_same(void **state)
{
    struct test_disk *disk = *state;
    struct model *model = calloc(1, sizeof *model);
    struct bitcask_stat before, after;
    struct bitcask *cask;

    assert_non_null(model);
    model_init(model, model_seed());
    test_disk_skip_syncs(disk);
    cask = test_cask_open(disk, NULL);
    make_history(cask, model, 500);
    merge_all(cask);
    before = test_cask_stat(cask);
    test_cask_close(cask);
    for (int round = 0; round < 3; round++) {
        if (round == 1)
            remove_hints(disk);
        cask = round == 2 ? test_cask_open_read_only(disk) : test_cask_open(disk, NULL);
        after = test_cask_stat(cask);
        assert_int_equal(after.hint_count, round == 1 ? 0 : before.segment_count);
        assert_int_equal(after.scan_count, round == 1 ? before.segment_count : 0);
        assert_int_equal(after.key_count, before.key_count);
        assert_int_equal(after.segment_count, before.segment_count);
        assert_int_equal(after.data_size, before.data_size);
        assert_int_equal(after.live_size, before.live_size);
        assert_int_equal(after.dead_size, 0);
        assert_int_equal(after.last_sequence, before.last_sequence);
        assert_true(model_equals(model, cask));
        test_cask_close(cask);
    }
    free(model);
}

static void sequences_go_on_when_everything_was_deleted(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_stat stat;

    for (int i = 0; i < 200; i++)
        test_cask_put(cask, "key", "a value of some length, so that there are files");
    test_cask_delete(cask, "key");
    merge_all(cask);
    stat = test_cask_stat(cask);
    assert_int_equal(stat.segment_count, 0);
    assert_int_equal(stat.data_size, 0);
    assert_int_equal(stat.last_sequence, 201);
    test_cask_expect(cask, "key", NULL);
    test_cask_close(cask);

    cask = test_cask_open(disk, NULL);
    assert_int_equal(test_cask_stat(cask).last_sequence, 201);
    assert_int_equal(test_cask_stat(cask).key_count, 0);
    test_cask_put(cask, "key", "again");
    assert_int_equal(test_cask_stat(cask).last_sequence, 202);
    merge_all(cask);
    test_cask_expect(cask, "key", "again");
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    test_cask_expect(cask, "key", "again");
    test_cask_close(cask);
}

static void what_was_moved_expires_as_before(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .no_background = true,
                                             .merge_auto_off = true };
    struct bitcask_buffer value = { 0 };
    struct bitcask *cask;

    atomic_store(&disk->fault.wall_ms, 1000);
    cask = test_cask_open(disk, &options);
    assert_status(
        bitcask_put_expiring(cask, bitcask_text("key"), bitcask_text("value"), 2000),
        BITCASK_OK);
    merge_all(cask);
    atomic_store(&disk->fault.wall_ms, 1999);
    assert_status(bitcask_get(cask, bitcask_text("key"), &value), BITCASK_OK);
    assert_string_equal(value.data, "value");
    atomic_store(&disk->fault.wall_ms, 2000);
    assert_status(bitcask_get(cask, bitcask_text("key"), &value), BITCASK_NOT_FOUND);
    assert_status(bitcask_exists(cask, bitcask_text("key")), BITCASK_NOT_FOUND);
    bitcask_buffer_release(&value);
    test_cask_close(cask);
}

static void an_empty_cask_stays_empty(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    merge_all(cask);
    assert_int_equal(test_cask_stat(cask).segment_count, 0);
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    merge_all(cask);
    assert_int_equal(test_cask_stat(cask).last_sequence, 0);
    test_cask_close(cask);
}

enum {
    ITERATED_COUNT = 300
};

static void put_numbered(struct bitcask *cask, int number)
{
    char key[16], value[64];

    (void)snprintf(key, sizeof key, "key-%03d", number);
    (void)snprintf(value, sizeof value, "this is the value of key number %03d", number);
    test_cask_put(cask, key, value);
}

/* What has just been copied is put again, or deleted. */
static enum bitcask_status write_meanwhile(const struct bitcask_merge_progress *progress,
                                           void *context)
{
    struct bitcask *cask = context;

    if (progress->done_size == 0)
        return BITCASK_OK;
    for (int i = 0; i < 20; i++)
        put_numbered(cask, i);
    if (bitcask_exists(cask, bitcask_text("key-020")) == BITCASK_OK)
        test_cask_delete(cask, "key-020");
    return BITCASK_OK;
}

static void what_is_written_meanwhile_counts(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    const struct bitcask_merge_options options = { .choice = BITCASK_MERGE_ALL,
                                                   .progress = write_meanwhile,
                                                   .context = cask };
    uint64_t record_size;

    put_numbered(cask, 299);
    record_size = test_cask_stat(cask).live_size;
    for (int i = 0; i < ITERATED_COUNT; i++)
        put_numbered(cask, i);
    for (int round = 0; round < 2; round++) {
        assert_status(bitcask_merge(cask, &options, NULL), BITCASK_OK);
        assert_true(check_counts(cask) > 20);
        assert_int_equal(test_cask_stat(cask).key_count, ITERATED_COUNT - 1);
        assert_int_equal(test_cask_stat(cask).live_size,
                         (ITERATED_COUNT - 1) * record_size);
    }
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    (void)check_counts(cask);
    assert_int_equal(test_cask_stat(cask).key_count, ITERATED_COUNT - 1);
    test_cask_expect(cask, "key-020", NULL);
    merge_all(cask);
    assert_int_equal(test_cask_stat(cask).live_size, (ITERATED_COUNT - 1) * record_size);
    test_cask_close(cask);
}

/* Step @count keys on; each comes once, and in order if @sorted. */
static void step(struct bitcask_iterator *iterator,
                 const struct bitcask_iterator_options *options, int count,
                 bool seen[ITERATED_COUNT], int *last)
{
    for (int i = 0; i < count; i++) {
        struct bitcask_slice key, value;
        char text[16] = "", expected[64];
        int number;

        assert_status(bitcask_iterator_next(iterator, &key, &value), BITCASK_OK);
        assert_int_equal(key.size, 7);
        memcpy(text, key.data, 7);
        number = atoi(text + 4);
        assert_true(number >= 0 && number < ITERATED_COUNT);
        assert_false(seen[number]);
        seen[number] = true;
        if (options->sorted)
            assert_int_equal(number, *last + 1);
        *last = number;
        if (options->keys_only) {
            assert_int_equal(value.size, 0);
            continue;
        }
        (void)snprintf(expected, sizeof expected, "this is the value of key number %03d",
                       number);
        assert_int_equal(value.size, strlen(expected));
        assert_memory_equal(value.data, expected, value.size);
    }
}

static void iterators_give_every_key_once_across_merges(void **state)
{
    static const struct bitcask_iterator_options kinds[] = {
        { .sorted = false },
        { .sorted = true },
        { .keys_only = true },
        { .sorted = true, .keys_only = true },
    };
    struct test_disk *disk = *state;

    for (int no_mapping = 0; no_mapping < 2; no_mapping++) {
        struct bitcask_options options = small_files;
        struct bitcask_iterator *iterators[LENGTH_OF(kinds)];
        bool seen[LENGTH_OF(kinds)][ITERATED_COUNT] = { { false } };
        int last[LENGTH_OF(kinds)] = { -1, -1, -1, -1 };
        struct bitcask *cask;

        options.no_mapping = no_mapping != 0;
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        for (int i = 0; i < 2 * ITERATED_COUNT; i++)
            put_numbered(cask, i % ITERATED_COUNT);
        for (size_t i = 0; i < LENGTH_OF(kinds); i++)
            assert_status(bitcask_iterator_open(cask, &kinds[i], &iterators[i]),
                          BITCASK_OK);
        for (int round = 0; round < 10; round++) {
            for (size_t i = 0; i < LENGTH_OF(kinds); i++)
                step(iterators[i], &kinds[i], ITERATED_COUNT / 10, seen[i], &last[i]);
            put_numbered(cask, round); /* the same value, elsewhere */
            merge_all(cask);
        }
        for (size_t i = 0; i < LENGTH_OF(kinds); i++) {
            assert_status(bitcask_iterator_next(iterators[i], NULL, NULL),
                          BITCASK_NOT_FOUND);
            bitcask_iterator_close(iterators[i]);
        }
        test_cask_close(cask);
    }
}

/* A read-only cask shows the moment of opening, whatever becomes of the files. */
static void read_only_casks_go_on_reading_what_was_merged_away(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options kinds[] = {
        { .read_only = true },
        { .read_only = true, .no_mapping = true },
    };
    struct bitcask *readers[LENGTH_OF(kinds)];
    struct model *now = calloc(1, sizeof *now), *then = calloc(1, sizeof *then);
    struct bitcask *cask;

    assert_true(now != NULL && then != NULL);
    model_init(now, model_seed());
    test_disk_skip_syncs(disk);
    cask = test_cask_open(disk, NULL);
    make_history(cask, now, 300);
    *then = *now;
    for (size_t i = 0; i < LENGTH_OF(kinds); i++)
        readers[i] = test_cask_open(disk, &kinds[i]);
    for (int round = 0; round < 2; round++) {
        merge_all(cask);
        make_history(cask, now, 200);
        merge_all(cask);
        for (size_t i = 0; i < LENGTH_OF(kinds); i++)
            assert_true(model_equals(then, readers[i]));
        assert_true(model_equals(now, cask));
    }
    assert_false(test_disk_has(disk, FIRST_DATA));
    for (size_t i = 0; i < LENGTH_OF(kinds); i++)
        test_cask_close(readers[i]);
    test_cask_close(cask);
    free(now);
    free(then);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(records_of_every_size_are_copied),
        disk_test(three_hundred_files_become_few),
        disk_test(the_next_open_finds_the_same),
        disk_test(what_was_moved_expires_as_before),
        disk_test(sequences_go_on_when_everything_was_deleted),
        disk_test(an_empty_cask_stays_empty),
        disk_test(what_is_written_meanwhile_counts),
        disk_test(iterators_give_every_key_once_across_merges),
        disk_test(read_only_casks_go_on_reading_what_was_merged_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
