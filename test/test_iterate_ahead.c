/* SPDX-License-Identifier: MIT */
/*
 * Iterators read the values of a group of keys at a time. Whatever a group looks like and
 * whatever happens to it before it is handed out, each key comes as if it had been read
 * alone. The keys here are of one shard, so that groups are as large as they can be.
 */
#include "test/test_cask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/bytes.h"
#include "bitcask/inspect.h"
#include "test/test_alloc.h"

enum {
    KEY_COUNT = 150, /* some groups */
    KEY_SIZE = 8,
    NOISE_SIZE = 140000,
};

struct ahead {
    struct bitcask *cask;
    uint8_t *noise;
    size_t count;
    uint64_t keys[KEY_COUNT];
    size_t sizes[KEY_COUNT];
    unsigned met[KEY_COUNT];
};

static const struct bitcask_options large_files = { .no_background = true };

/* The value of key @i: of its own bytes, and its own size. */
static struct bitcask_slice value_of(const struct ahead *ahead, size_t i)
{
    return (struct bitcask_slice){ ahead->noise + i, ahead->sizes[i] };
}

static struct bitcask_slice key_of(const struct ahead *ahead, size_t i)
{
    return (struct bitcask_slice){ &ahead->keys[i], KEY_SIZE };
}

static void put(struct ahead *ahead, size_t i)
{
    assert_status(bitcask_put(ahead->cask, key_of(ahead, i), value_of(ahead, i)),
                  BITCASK_OK);
}

/* A cask of @count keys, their values of the @sizes by turns. */
static void begin(struct ahead *ahead, struct test_disk *disk,
                  const struct bitcask_options *options, size_t count,
                  const size_t *sizes, size_t size_count)
{
    uint64_t number = 0;

    assert_true(count <= KEY_COUNT);
    memset(ahead, 0, sizeof *ahead);
    test_disk_clear(disk);
    ahead->noise = test_noise(NOISE_SIZE, 7);
    ahead->count = count;
    ahead->cask = test_cask_open(disk, options);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash;

        do {
            struct bitcask_slice key = { &number, KEY_SIZE };

            number++;
            hash = bitcask_keydir_hash(ahead->cask->keydir, key);
        } while (bitcask_keydir_shard(hash) != 5);
        ahead->keys[i] = number;
        ahead->sizes[i] = sizes[i % size_count];
        put(ahead, i);
    }
}

static void end(struct ahead *ahead)
{
    test_cask_close(ahead->cask);
    free(ahead->noise);
}

static struct bitcask_iterator *iterate(struct ahead *ahead, bool keys_only)
{
    const struct bitcask_iterator_options options = { .keys_only = keys_only };
    struct bitcask_iterator *iterator = NULL;

    memset(ahead->met, 0, sizeof ahead->met);
    assert_status(bitcask_iterator_open(ahead->cask, &options, &iterator), BITCASK_OK);
    return iterator;
}

/* Which key this is, met now. */
static size_t meet(struct ahead *ahead, struct bitcask_slice key)
{
    assert_int_equal(key.size, KEY_SIZE);
    for (size_t i = 0; i < ahead->count; i++) {
        if (memcmp(key.data, &ahead->keys[i], KEY_SIZE) == 0) {
            ahead->met[i]++;
            return i;
        }
    }
    fail_msg("a key that was never put");
    return 0;
}

static void expect_its_value(const struct ahead *ahead, size_t i,
                             struct bitcask_slice value)
{
    assert_int_equal(value.size, ahead->sizes[i]);
    assert_non_null(value.data);
    assert_memory_equal(value.data, value_of(ahead, i).data, value.size);
}

static void expect_all_met_once(const struct ahead *ahead)
{
    for (size_t i = 0; i < ahead->count; i++)
        assert_int_equal(ahead->met[i], 1);
}

/* The rest of an iteration: every value is as it was put. */
static void expect_rest(struct ahead *ahead, struct bitcask_iterator *iterator)
{
    struct bitcask_slice key, value;
    enum bitcask_status status;

    while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK)
        expect_its_value(ahead, meet(ahead, key), value);
    assert_status(status, BITCASK_NOT_FOUND);
    bitcask_iterator_close(iterator);
}

/* Values that fill what is read at a time exactly, nearly, and not at all. */
static void groups_of_any_shape_come_whole(void **state)
{
    static const struct {
        size_t sizes[6];
        size_t count;
    } shapes[] = {
        { { 100 }, 1 },
        { { 0 }, 1 },
        { { 0, 1, 15, 16, 17, 31 }, 6 },
        { { 65535 }, 1 },
        { { 65534, 65536, 65535, 1 }, 4 },
        { { 0, 65535, 5 }, 3 },
        { { 32768, 32751, 10 }, 3 },
        { { 3000, 30000 }, 2 },
        { { 130000, 2 }, 2 },
    };
    static const size_t counts[] = { 1, 2, 31, 32, 33, 64, 65, KEY_COUNT };
    struct test_disk *disk = *state;
    struct ahead ahead;

    for (size_t shape = 0; shape < LENGTH_OF(shapes); shape++) {
        for (size_t i = 0; i < 2 * LENGTH_OF(counts); i++) {
            struct bitcask_options options = large_files;

            options.no_mapping = i % 2 == 1;
            begin(&ahead, disk, &options, counts[i / 2], shapes[shape].sizes,
                  shapes[shape].count);
            expect_rest(&ahead, iterate(&ahead, false));
            expect_all_met_once(&ahead);
            end(&ahead);
        }
    }
}

static void a_value_may_be_wanted_of_one_key_and_not_of_the_next(void **state)
{
    static const size_t sizes[] = { 100, 40000, 0 };
    struct test_disk *disk = *state;
    struct ahead ahead;

    begin(&ahead, disk, &large_files, KEY_COUNT, sizes, LENGTH_OF(sizes));
    for (int step = 1; step < 5; step++) {
        for (int keys_only = 0; keys_only <= 1; keys_only++) {
            struct bitcask_iterator *iterator = iterate(&ahead, keys_only != 0);
            struct bitcask_slice key, value;
            int number = 0;

            while (bitcask_iterator_next(iterator, &key,
                                         number % step == 0 ? &value : NULL) ==
                   BITCASK_OK) {
                size_t i = meet(&ahead, key);

                if (number++ % step == 0 && keys_only == 0)
                    expect_its_value(&ahead, i, value);
                else if (step == 1)
                    assert_null(value.data);
            }
            expect_all_met_once(&ahead);
            bitcask_iterator_close(iterator);
        }
    }
    end(&ahead);
}

/* Each key in its turn is the damaged one: first, last and in between of its group. */
static void damage_in_a_group_is_said_when_its_turn_comes(void **state)
{
    static const size_t sizes[] = { 20 };
    /* In the key check, in the key, and in the value of a record. */
    static const uint64_t bytes[] = { 1, 28 + 3, 28 + KEY_SIZE + 19 };
    const uint64_t record_size = 28 + KEY_SIZE + 20;
    struct test_disk *disk = *state;
    struct ahead ahead;

    begin(&ahead, disk, &large_files, KEY_COUNT, sizes, LENGTH_OF(sizes));
    for (size_t bad = 0; bad < KEY_COUNT; bad++) {
        uint64_t offset = 64 + bad * record_size + bytes[bad % LENGTH_OF(bytes)];
        struct bitcask_iterator *iterator = iterate(&ahead, false);
        struct bitcask_slice key, value;
        enum bitcask_status status;

        test_disk_flip(disk, FIRST_DATA, offset, 4);
        assert_status(bitcask_exists(ahead.cask, bitcask_text("nobody")),
                      BITCASK_NOT_FOUND);
        while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK) {
            expect_its_value(&ahead, meet(&ahead, key), value);
            /* What was looked at too early says nothing yet. */
            assert_string_equal(bitcask_error_detail(), "no such key");
        }
        assert_status(status, BITCASK_CORRUPT);
        assert_detail(FIRST_DATA ", offset ");
        assert_int_equal(meet(&ahead, key), bad);
        assert_int_equal(value.size, 0);
        expect_rest(&ahead, iterator);
        expect_all_met_once(&ahead);
        test_disk_flip(disk, FIRST_DATA, offset, 4);
    }
    end(&ahead);
}

/* It is judged by the time at which it is handed out, not at which its group was read. */
static void what_expires_in_a_group_is_not_handed_out_any_more(void **state)
{
    static const size_t sizes[] = { 50 };
    struct test_disk *disk = *state;
    struct ahead ahead;

    for (int keys_only = 0; keys_only <= 1; keys_only++) {
        struct bitcask_iterator *iterator;
        struct bitcask_slice key, value;
        size_t count = 0;

        atomic_store(&disk->fault.wall_ms, 5000);
        begin(&ahead, disk, &large_files, 40, sizes, LENGTH_OF(sizes));
        for (size_t i = 0; i < ahead.count; i += 2)
            assert_status(bitcask_put_expiring(ahead.cask, key_of(&ahead, i),
                                               value_of(&ahead, i), 6000),
                          BITCASK_OK);
        iterator = iterate(&ahead, keys_only != 0);
        while (count < 10) { /* of one group, of which some have expired behind them */
            assert_status(bitcask_iterator_next(iterator, &key, &value), BITCASK_OK);
            if (keys_only == 0)
                expect_its_value(&ahead, meet(&ahead, key), value);
            else
                (void)meet(&ahead, key);
            count++;
        }
        atomic_store(&disk->fault.wall_ms, 6000);
        while (bitcask_iterator_next(iterator, &key, &value) == BITCASK_OK)
            assert_int_equal(meet(&ahead, key) % 2, 1);
        for (size_t i = 1; i < ahead.count; i += 2)
            assert_int_equal(ahead.met[i], 1);
        bitcask_iterator_close(iterator);
        end(&ahead);
    }
}

/*
 * Keys are copied, then merges move and remove what they point to, before their values
 * are read, and after it.
 */
static void a_group_outlives_merges_of_what_it_points_to(void **state)
{
    static const size_t sizes[] = { 100, 30000, 70000 };
    struct test_disk *disk = *state;
    struct ahead ahead;

    for (int i = 0; i < 8; i++) {
        struct bitcask_options options = small_files;
        const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
        struct bitcask_iterator *iterator;
        struct bitcask_slice key, value;
        size_t gone = KEY_COUNT;

        options.no_mapping = i % 2 == 1;
        begin(&ahead, disk, &options, KEY_COUNT, sizes, LENGTH_OF(sizes));
        iterator = iterate(&ahead, false);
        for (int step = 0; step < 5; step++) {
            bool reads = i / 2 % 2 == 1;

            assert_status(bitcask_iterator_next(iterator, &key, reads ? &value : NULL),
                          BITCASK_OK);
            if (reads)
                expect_its_value(&ahead, meet(&ahead, key), value);
            else
                (void)meet(&ahead, key);
        }
        if (i / 4 == 1) { /* one that still waits */
            for (gone = 0; ahead.met[gone] > 0; gone++)
                continue;
            assert_status(bitcask_delete(ahead.cask, key_of(&ahead, gone)), BITCASK_OK);
        }
        assert_status(bitcask_merge(ahead.cask, &all, NULL), BITCASK_OK);
        assert_status(bitcask_merge(ahead.cask, &all, NULL), BITCASK_OK);
        expect_rest(&ahead, iterator);
        for (size_t k = 0; k < ahead.count; k++)
            assert_true(ahead.met[k] == 1 || (k == gone && ahead.met[k] == 0));
        end(&ahead);
    }
}

/* Whichever allocation fails, the call may be repeated, and nothing was skipped. */
static void out_of_memory_skips_nothing(void **state)
{
    static const size_t sizes[2][4] = { { 100, 9000, 0, 66000 }, { 20, 300, 700, 50 } };
    struct test_disk *disk = *state;
    struct ahead ahead;

    for (int i = 0; i < 4; i++) {
        struct bitcask_options options = large_files;
        long failures = 0;

        options.no_mapping = i % 2 == 1;
        begin(&ahead, disk, &options, 80, sizes[i / 2], LENGTH_OF(sizes[0]));
        for (size_t k = 0; k < ahead.count; k += 5) /* read alone, between the others */
            assert_status(bitcask_put_expiring(ahead.cask, key_of(&ahead, k),
                                               value_of(&ahead, k), UINT64_MAX),
                          BITCASK_OK);
        for (long skip = 0; skip < 4; skip++) {
            struct bitcask_iterator *iterator = iterate(&ahead, false);
            enum bitcask_status status;

            do {
                struct bitcask_slice key, value;
                long failed;

                test_alloc_fail(skip); /* in each call again, if it has so many */
                status = bitcask_iterator_next(iterator, &key, &value);
                failed = test_alloc_stop();
                failures += failed;
                assert_true((status == BITCASK_NO_MEMORY) == (failed > 0));
                if (failed > 0)
                    status = bitcask_iterator_next(iterator, &key, &value);
                if (status == BITCASK_OK)
                    expect_its_value(&ahead, meet(&ahead, key), value);
            } while (status == BITCASK_OK);
            assert_status(status, BITCASK_NOT_FOUND);
            expect_all_met_once(&ahead);
            bitcask_iterator_close(iterator);
        }
        assert_true(failures >= 3); /* of keys, turns and values at least */
        end(&ahead);
    }
}

/* Groups that have grown are handed out in the order of the files, whatever happens. */
enum {
    MANY = 12000,
    UNORDERED_COUNT = 1000 /* in the first groups, which are small */
};

struct many {
    struct bitcask *cask;
    unsigned met[MANY];
    size_t count;
    uint64_t last_segment;
    uint64_t last_offset;
    size_t backward_count; /* steps, by more than the order leaves open */
};

static void many_begin(struct many *many, struct test_disk *disk)
{
    struct bitcask_options options = { .file_size_max = 65536, .no_background = true };

    memset(many, 0, sizeof *many);
    test_disk_clear(disk);
    many->cask = test_cask_open(disk, &options);
    for (uint32_t i = 0; i < MANY; i++) {
        const uint64_t value[] = { i, i * UINT64_C(0x9e3779b97f4a7c15) };
        uint8_t key[4];

        bitcask_store32(key, i);
        assert_status(bitcask_put(many->cask,
                                  (struct bitcask_slice){ key, i % 7 != 0 ? 4 : 3 },
                                  (struct bitcask_slice){ value, 8 + i % 9 }),
                      BITCASK_OK);
    }
}

/* Step once, and check what comes. Before a merge, also where it lies. */
static enum bitcask_status many_step(struct many *many, struct bitcask_iterator *iterator,
                                     bool locate)
{
    struct bitcask_slice key, value;
    enum bitcask_status status = bitcask_iterator_next(iterator, &key, &value);
    struct bitcask_location location;
    uint64_t wanted[2];
    uint8_t bytes[4] = { 0 };
    uint32_t number;

    if (status != BITCASK_OK)
        return status;
    assert_true(key.size <= sizeof bytes);
    memcpy(bytes, key.data, key.size);
    number = bitcask_load32(bytes);
    assert_in_range(number, 0, MANY - 1);
    many->met[number]++;
    wanted[0] = number;
    wanted[1] = number * UINT64_C(0x9e3779b97f4a7c15);
    assert_int_equal(value.size, 8 + number % 9);
    assert_memory_equal(value.data, wanted, value.size);
    if (!locate)
        return status;
    assert_status(bitcask_locate(many->cask, key, &location), BITCASK_OK);
    if (++many->count > UNORDERED_COUNT &&
        (location.segment_id < many->last_segment ||
         (location.segment_id == many->last_segment &&
          location.offset / 8192 < many->last_offset / 8192)))
        many->backward_count++;
    many->last_segment = location.segment_id;
    many->last_offset = location.offset;
    return status;
}

static void large_groups_come_in_the_order_of_the_files(void **state)
{
    struct many *many = malloc(sizeof *many);
    struct bitcask_iterator *iterator;

    assert_non_null(many);
    many_begin(many, *state);
    assert_status(bitcask_iterator_open(many->cask, NULL, &iterator), BITCASK_OK);
    while (many_step(many, iterator, true) == BITCASK_OK)
        continue;
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(many->met[i], 1);
    /* From one group to the next, and in the last if it is small. */
    assert_in_range(many->backward_count, 1, MANY / 20);
    bitcask_iterator_close(iterator);
    test_cask_close(many->cask);
    free(many);
}

static void large_groups_outlive_merges_and_deletions(void **state)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    struct many *many = malloc(sizeof *many);

    assert_non_null(many);
    for (size_t begin_at = 100; begin_at < MANY; begin_at += 2500) {
        struct bitcask_iterator *iterator;
        bool deleted[MANY] = { false };

        many_begin(many, *state);
        assert_status(bitcask_iterator_open(many->cask, NULL, &iterator), BITCASK_OK);
        for (size_t i = 0; i < begin_at; i++)
            assert_status(many_step(many, iterator, false), BITCASK_OK);
        for (uint32_t i = 0; i < MANY; i += 5) {
            uint8_t bytes[4];
            const struct bitcask_slice key = { bytes, i % 7 != 0 ? 4 : 3 };

            bitcask_store32(bytes, i);
            assert_status(bitcask_delete(many->cask, key), BITCASK_OK);
            deleted[i] = true;
        }
        assert_status(bitcask_merge(many->cask, &all, NULL), BITCASK_OK);
        while (many_step(many, iterator, false) == BITCASK_OK)
            continue;
        for (size_t i = 0; i < MANY; i++)
            assert_true(many->met[i] == 1 || (deleted[i] && many->met[i] == 0));
        bitcask_iterator_close(iterator);
        test_cask_close(many->cask);
    }
    free(many);
}

/* Also what is asked for to bring a group into order may not be there. */
static void large_groups_lose_nothing_when_memory_is_short(void **state)
{
    struct many *many = malloc(sizeof *many);

    assert_non_null(many);
    many_begin(many, *state);
    for (long skip = 0; skip < 6; skip++) {
        struct bitcask_iterator *iterator;
        enum bitcask_status status;

        memset(many->met, 0, sizeof many->met);
        assert_status(bitcask_iterator_open(many->cask, NULL, &iterator), BITCASK_OK);
        do {
            test_alloc_fail(skip);
            status = many_step(many, iterator, false);
            assert_true((status == BITCASK_NO_MEMORY) == (test_alloc_stop() > 0));
            if (status == BITCASK_NO_MEMORY)
                status = many_step(many, iterator, false);
        } while (status == BITCASK_OK);
        assert_status(status, BITCASK_NOT_FOUND);
        for (size_t i = 0; i < MANY; i++)
            assert_int_equal(many->met[i], 1);
        bitcask_iterator_close(iterator);
    }
    test_cask_close(many->cask);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(groups_of_any_shape_come_whole),
        disk_test(a_value_may_be_wanted_of_one_key_and_not_of_the_next),
        disk_test(damage_in_a_group_is_said_when_its_turn_comes),
        disk_test(what_expires_in_a_group_is_not_handed_out_any_more),
        disk_test(a_group_outlives_merges_of_what_it_points_to),
        disk_test(out_of_memory_skips_nothing),
        disk_test(large_groups_come_in_the_order_of_the_files),
        disk_test(large_groups_outlive_merges_and_deletions),
        disk_test(large_groups_lose_nothing_when_memory_is_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
