/* SPDX-License-Identifier: MIT */
/*
 * Iterators: each key once, in order if asked, within the bounds, whatever writers do
 * meanwhile. test_threads.c has them in several threads.
 */
#include "test/test_cask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/model.h"

static struct bitcask_iterator *iterate(struct bitcask *cask,
                                        const struct bitcask_iterator_options *options)
{
    struct bitcask_iterator *iterator = NULL;

    assert_status(bitcask_iterator_open(cask, options, &iterator), BITCASK_OK);
    assert_non_null(iterator);
    return iterator;
}

static bool slice_is(struct bitcask_slice slice, const void *data, size_t size)
{
    return slice.size == size && (size == 0 || memcmp(slice.data, data, size) == 0);
}

static void an_empty_cask_has_nothing_to_iterate_over(void **state)
{
    struct test_disk *disk = *state;

    for (int i = 0; i < 4; i++) {
        const struct bitcask_iterator_options options = { .sorted = i % 2 == 1,
                                                          .keys_only = i / 2 == 1 };
        struct bitcask *cask = test_cask_open(disk, NULL);
        struct bitcask_iterator *iterator = iterate(cask, &options);
        struct bitcask_slice key, value;

        for (int again = 0; again < 3; again++)
            assert_status(bitcask_iterator_next(iterator, &key, &value),
                          BITCASK_NOT_FOUND);
        bitcask_iterator_close(iterator);
        test_cask_close(cask);
    }
}

static void bad_arguments_are_misuse(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    const struct bitcask_slice bad = { NULL, 1 };
    const struct bitcask_iterator_options rows[] = {
        { .prefix = bad },
        { .from = bad },
        { .to = bad },
        { .reserved = { 1 } },
        { .reserved = { 0, 0, 0, 0, 0, 0, 0, 1 } },
        { .reserved_flags = { true } },
    };
    struct bitcask_iterator *iterator;
    struct bitcask_slice slice;

    for (size_t i = 0; i < LENGTH_OF(rows); i++) {
        iterator = (struct bitcask_iterator *)cask;
        assert_status(bitcask_iterator_open(cask, &rows[i], &iterator), BITCASK_MISUSE);
        assert_null(iterator);
    }
    iterator = (struct bitcask_iterator *)cask;
    assert_status(bitcask_iterator_open(NULL, NULL, &iterator), BITCASK_MISUSE);
    assert_null(iterator);
    assert_status(bitcask_iterator_open(cask, NULL, NULL), BITCASK_MISUSE);
    assert_status(bitcask_iterator_next(NULL, &slice, &slice), BITCASK_MISUSE);
    bitcask_iterator_close(NULL);
    test_cask_close(cask);
}

static void keys_come_in_the_order_of_unsigned_bytes(void **state)
{
    struct test_disk *disk = *state;
    static const struct bitcask_slice right[] = {
        { "\0", 1 },          { "\0\0", 2 },
        { "\0\1", 2 },        { "\1", 1 },
        { "A", 1 },           { "a", 1 },
        { "a\0", 2 },         { "a\0b", 3 },
        { "abcdefgh", 8 },    { "abcdefgh\0", 9 },
        { "abcdefgha", 9 },   { "abcdefghi", 9 },
        { "abcdefghij", 10 }, { "abcdefgh\xff", 9 },
        { "a\x7f", 2 },       { "a\x80", 2 },
        { "a\xff", 2 },       { "a\xff\0", 3 },
        { "a\xff\xff", 3 },   { "b", 1 },
        { "\x7f", 1 },        { "\x80", 1 },
        { "\xff", 1 },        { "\xff\0", 2 },
        { "\xff\xff", 2 },
    };
    const struct bitcask_iterator_options options = { .sorted = true };
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_iterator *iterator;
    struct bitcask_slice key, value;

    for (size_t i = 0; i < LENGTH_OF(right); i++)
        assert_status(bitcask_put(cask, right[(i * 7) % LENGTH_OF(right)],
                                  right[(i * 7) % LENGTH_OF(right)]),
                      BITCASK_OK);
    iterator = iterate(cask, &options);
    for (size_t i = 0; i < LENGTH_OF(right); i++) {
        assert_status(bitcask_iterator_next(iterator, &key, &value), BITCASK_OK);
        assert_true(slice_is(key, right[i].data, right[i].size));
        assert_true(slice_is(value, right[i].data, right[i].size));
    }
    assert_status(bitcask_iterator_next(iterator, &key, &value), BITCASK_NOT_FOUND);
    bitcask_iterator_close(iterator);
    test_cask_close(cask);
}

static void slices_that_are_not_wanted_may_be_null(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_iterator_options keys_only = { .keys_only = true };
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_iterator *iterator;
    struct bitcask_slice key = { NULL, 0 };
    struct bitcask_slice value = { NULL, 0 };

    test_cask_put(cask, "a", "1");
    test_cask_put(cask, "b", "1");
    test_cask_put(cask, "c", "1");
    iterator = iterate(cask, NULL);
    assert_status(bitcask_iterator_next(iterator, NULL, NULL), BITCASK_OK);
    assert_status(bitcask_iterator_next(iterator, &key, NULL), BITCASK_OK);
    assert_int_equal(key.size, 1);
    assert_status(bitcask_iterator_next(iterator, NULL, &value), BITCASK_OK);
    assert_true(slice_is(value, "1", 1));
    assert_status(bitcask_iterator_next(iterator, NULL, NULL), BITCASK_NOT_FOUND);
    bitcask_iterator_close(iterator);

    iterator = iterate(cask, &keys_only);
    assert_status(bitcask_iterator_next(iterator, &key, &value), BITCASK_OK);
    assert_null(value.data);
    assert_int_equal(value.size, 0);
    bitcask_iterator_close(iterator);
    test_cask_close(cask);
}

static void the_bounds_are_copied(void **state)
{
    struct test_disk *disk = *state;
    char bounds[3][2] = { "b", "b", "c" };
    struct bitcask_iterator_options options = { .sorted = true,
                                                .prefix = { bounds[0], 1 },
                                                .from = { bounds[1], 1 },
                                                .to = { bounds[2], 1 } };
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_iterator *iterator;
    struct bitcask_slice key;

    test_cask_put(cask, "a", "1");
    test_cask_put(cask, "b", "1");
    test_cask_put(cask, "c", "1");
    iterator = iterate(cask, &options);
    memset(bounds, 'a', sizeof bounds);
    memset(&options, 0xff, sizeof options);
    assert_status(bitcask_iterator_next(iterator, &key, NULL), BITCASK_OK);
    assert_true(slice_is(key, "b", 1));
    assert_status(bitcask_iterator_next(iterator, &key, NULL), BITCASK_NOT_FOUND);
    bitcask_iterator_close(iterator);
    test_cask_close(cask);
}

/* Of few letters and short, so that bounds and prefixes hit. */
enum {
    RANDOM_KEY_COUNT = 300,
    RANDOM_KEY_SIZE_MAX = 5
};
struct random_key {
    uint8_t bytes[RANDOM_KEY_SIZE_MAX];
    size_t size;
    bool live;
    bool seen;
};

static void pick_key(struct model_random *random, struct random_key *key, size_t smallest)
{
    static const uint8_t letters[] = { 0x00, 0x01, 'a', 0x7f, 0x80, 0xff };

    memset(key, 0, sizeof *key);
    key->size =
        smallest + (size_t)model_random_below(random, RANDOM_KEY_SIZE_MAX + 1 - smallest);
    for (size_t i = 0; i < key->size; i++)
        key->bytes[i] = letters[model_random_below(random, sizeof letters)];
}

static struct bitcask_slice slice_of(const struct random_key *key)
{
    struct bitcask_slice slice = { key->bytes, key->size };

    return slice;
}

/* By the words of the header, not by the code. */
static int order_of(struct bitcask_slice left, struct bitcask_slice right)
{
    const uint8_t *a = left.data;
    const uint8_t *b = right.data;

    for (size_t i = 0; i < left.size && i < right.size; i++) {
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    }
    return left.size < right.size ? -1 : left.size > right.size;
}

static bool is_within(struct bitcask_slice key,
                      const struct bitcask_iterator_options *options)
{
    if (key.size < options->prefix.size)
        return false;
    if (options->prefix.size > 0 &&
        memcmp(key.data, options->prefix.data, options->prefix.size) != 0)
        return false;
    if (order_of(key, options->from) < 0)
        return false;
    return options->to.size == 0 || order_of(key, options->to) < 0;
}

static struct random_key *find_key(struct random_key *keys, struct bitcask_slice key)
{
    for (size_t i = 0; i < RANDOM_KEY_COUNT; i++) {
        if (slice_is(key, keys[i].bytes, keys[i].size))
            return &keys[i];
    }
    return NULL;
}

/* One iteration against the model. Each key is its own value. */
static void compare_iteration(struct bitcask *cask, struct random_key *keys,
                              const struct bitcask_iterator_options *options)
{
    struct bitcask_iterator *iterator = iterate(cask, options);
    struct bitcask_slice key, value;
    struct bitcask_slice before = { NULL, 0 };
    enum bitcask_status status;

    for (size_t i = 0; i < RANDOM_KEY_COUNT; i++)
        keys[i].seen = false;
    while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK) {
        struct random_key *found = find_key(keys, key);

        assert_non_null(found);
        assert_true(found->live && !found->seen);
        assert_true(is_within(key, options));
        if (options->keys_only)
            assert_null(value.data);
        else
            assert_true(slice_is(value, key.data, key.size));
        assert_true(!options->sorted || before.size == 0 || order_of(before, key) < 0);
        found->seen = true;
        before = slice_of(found);
    }
    assert_status(status, BITCASK_NOT_FOUND);
    bitcask_iterator_close(iterator);
    for (size_t i = 0; i < RANDOM_KEY_COUNT; i++)
        assert_int_equal(keys[i].seen,
                         keys[i].live && is_within(slice_of(&keys[i]), options));
}

/* A few live keys, each unlike the others. */
static void put_random_keys(struct bitcask *cask, struct model_random *random,
                            struct random_key *keys)
{
    for (size_t i = 0; i < RANDOM_KEY_COUNT; i++) {
        struct random_key key;

        do
            pick_key(random, &key, 1);
        while (find_key(keys, slice_of(&key)) != NULL);
        keys[i] = key;
        if (model_random_below(random, 4) == 0)
            continue;
        assert_status(bitcask_put(cask, slice_of(&keys[i]), slice_of(&keys[i])),
                      BITCASK_OK);
        keys[i].live = model_random_below(random, 4) != 0;
        if (!keys[i].live)
            assert_status(bitcask_delete(cask, slice_of(&keys[i])), BITCASK_OK);
    }
}

static void every_selection_is_what_a_comparison_of_all_keys_gives(void **state)
{
    struct test_disk *disk = *state;
    struct model_random random = { model_seed() | 1 };
    struct random_key *keys = calloc(RANDOM_KEY_COUNT, sizeof *keys);
    struct bitcask *cask = test_cask_open(disk, NULL);

    assert_non_null(keys);
    put_random_keys(cask, &random, keys);
    for (int reader = 0; reader <= 1; reader++) {
        for (int i = 0; i < 600; i++) {
            struct random_key bounds[3];
            struct bitcask_iterator_options options = {
                .sorted = i % 2 == 1,
                .keys_only = i / 2 % 2 == 1,
            };

            for (size_t bound = 0; bound < LENGTH_OF(bounds); bound++)
                pick_key(&random, &bounds[bound], 0);
            if (i / 4 % 2 == 1)
                options.prefix = slice_of(&bounds[0]);
            if (i / 8 % 2 == 1)
                options.from = slice_of(&bounds[1]);
            if (i / 16 % 2 == 1)
                options.to = slice_of(&bounds[2]);
            compare_iteration(cask, keys, &options);
        }
        test_cask_close(cask);
        cask = test_cask_open_read_only(disk);
    }
    test_cask_close(cask);
    free(keys);
}

/* Keys that stay, and others that come and go while an iterator is under way. */
enum {
    STAYING_COUNT = 400,
    PASSING_COUNT = 20000
};

static void pass_by(struct bitcask *cask, struct model_random *random, uint8_t *passing)
{
    uint32_t number = (uint32_t)model_random_below(random, PASSING_COUNT);
    char key[32];

    (void)snprintf(key, sizeof key, "passing %" PRIu32, number);
    if (passing[number] % 2 == 0)
        test_cask_put(cask, key, key);
    else
        test_cask_delete(cask, key);
    passing[number] ^= 1;
}

static void keys_that_stay_come_once_while_others_come_and_go(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .sync = BITCASK_SYNC_NONE,
                                             .no_background = true };
    struct model_random random = { model_seed() | 1 };

    for (int sorted = 0; sorted <= 1; sorted++) {
        const struct bitcask_iterator_options wanted = { .sorted = sorted != 0 };
        struct bitcask *cask;
        struct bitcask_iterator *iterator;
        struct bitcask_slice key, value;
        uint8_t *passing = calloc(2 * PASSING_COUNT, 1);
        unsigned seen[STAYING_COUNT] = { 0 };
        enum bitcask_status status;
        char text[32];

        assert_non_null(passing);
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        for (unsigned i = 0; i < STAYING_COUNT; i++) {
            (void)snprintf(text, sizeof text, "staying %u", i);
            test_cask_put(cask, text, "0");
        }
        iterator = iterate(cask, &wanted);
        while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK) {
            unsigned number;

            assert_true(key.size < sizeof text);
            memcpy(text, key.data, key.size);
            text[key.size] = '\0';
            if (sscanf(text, "staying %u", &number) == 1) {
                assert_true(number < STAYING_COUNT);
                seen[number]++;
            } else {
                assert_int_equal(sscanf(text, "passing %u", &number), 1);
                assert_true(slice_is(value, key.data, key.size));
                assert_int_equal(passing[PASSING_COUNT + number]++, 0);
            }
            for (int i = 0; i < 60; i++) /* tables grow under the cursor */
                pass_by(cask, &random, passing);
            (void)snprintf(text, sizeof text, "staying %u",
                           (unsigned)model_random_below(&random, STAYING_COUNT));
            test_cask_put(cask, text, "1");
        }
        assert_status(status, BITCASK_NOT_FOUND);
        for (unsigned i = 0; i < STAYING_COUNT; i++)
            assert_int_equal(seen[i], 1);
        bitcask_iterator_close(iterator);
        test_cask_close(cask);
        free(passing);
    }
}

static void the_value_is_one_that_the_key_held_meanwhile(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    for (int sorted = 0; sorted <= 1; sorted++) {
        const struct bitcask_iterator_options wanted = { .sorted = sorted != 0 };
        struct bitcask_iterator *iterator;
        struct bitcask_slice key, value;
        int count = 0;

        test_cask_put(cask, "a", "before");
        test_cask_put(cask, "b", "before");
        test_cask_put(cask, "a", "at the beginning");
        test_cask_put(cask, "b", "at the beginning");
        iterator = iterate(cask, &wanted);
        while (bitcask_iterator_next(iterator, &key, &value) == BITCASK_OK) {
            assert_true(slice_is(value, "at the beginning", 16) ||
                        (count == 1 && slice_is(value, "meanwhile", 9)));
            count++;
            test_cask_put(cask, "a", "meanwhile");
            test_cask_put(cask, "b", "meanwhile");
            /* The slices are of the iterator, not of the cask. */
            assert_true(slice_is(key, "a", 1) || slice_is(key, "b", 1));
        }
        assert_int_equal(count, 2);
        bitcask_iterator_close(iterator);
    }
    test_cask_close(cask);
}

static void slices_are_valid_until_the_next_call(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_iterator *iterator;
    struct bitcask_slice key, value;
    char copy[64];

    test_cask_put(cask, "key", "the value of it");
    iterator = iterate(cask, NULL);
    assert_status(bitcask_iterator_next(iterator, &key, &value), BITCASK_OK);
    test_history_write(cask, 2, 2); /* whatever else is done */
    test_cask_delete(cask, "key");
    for (int i = 0; i < 200; i++)
        test_cask_put(cask, "other", "something else that is longer than before");
    memcpy(copy, value.data, value.size);
    assert_true(slice_is(key, "key", 3));
    assert_memory_equal(copy, "the value of it", 15);
    bitcask_iterator_close(iterator);
    test_cask_close(cask);
}

static void a_damaged_value_is_named_and_the_rest_goes_on(void **state)
{
    struct test_disk *disk = *state;

    for (int i = 0; i < 4; i++) {
        const struct bitcask_iterator_options wanted = { .sorted = i % 2 == 1 };
        struct bitcask_options options = small_files;
        struct bitcask *cask;
        struct bitcask_iterator *iterator;
        struct bitcask_slice key, value;
        enum bitcask_status status;
        int good = 0;
        int damaged = 0;

        options.no_mapping = i / 2 == 1;
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        for (char letter[2] = "a"; letter[0] <= 'z'; letter[0]++)
            test_cask_put(cask, letter, "value");
        test_disk_flip(disk, FIRST_DATA, 64 + 34 * ('m' - 'a') + 31, 1);
        iterator = iterate(cask, &wanted);
        while ((status = bitcask_iterator_next(iterator, &key, &value)) !=
               BITCASK_NOT_FOUND) {
            assert_int_equal(key.size, 1);
            if (status == BITCASK_CORRUPT) {
                assert_detail(FIRST_DATA ", offset ");
                assert_true(slice_is(key, "m", 1));
                assert_int_equal(value.size, 0);
                assert_true(wanted.sorted ? good == 'm' - 'a' : true);
                damaged++;
            } else {
                assert_status(status, BITCASK_OK);
                assert_true(slice_is(value, "value", 5));
                good++;
            }
        }
        assert_int_equal(good, 25);
        assert_int_equal(damaged, 1);
        bitcask_iterator_close(iterator);
        test_cask_close(cask);
    }
}

static void large_values_come_whole(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    uint8_t *noise = test_noise(300000, 5);
    struct bitcask_iterator *iterator;
    struct bitcask_slice key, value;
    size_t total = 0;

    for (size_t size = 1; size <= 300000; size *= 7) {
        struct bitcask_slice whole = { noise, size };
        struct bitcask_slice name = { &size, sizeof size };

        assert_status(bitcask_put(cask, name, whole), BITCASK_OK);
    }
    iterator = iterate(cask, NULL);
    while (bitcask_iterator_next(iterator, &key, &value) == BITCASK_OK) {
        size_t size;

        assert_int_equal(key.size, sizeof size);
        memcpy(&size, key.data, sizeof size);
        assert_true(slice_is(value, noise, size));
        total++;
    }
    assert_int_equal(total, 7);
    bitcask_iterator_close(iterator);
    test_cask_close(cask);
    free(noise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(an_empty_cask_has_nothing_to_iterate_over),
        disk_test(bad_arguments_are_misuse),
        disk_test(keys_come_in_the_order_of_unsigned_bytes),
        disk_test(slices_that_are_not_wanted_may_be_null),
        disk_test(the_bounds_are_copied),
        disk_test(every_selection_is_what_a_comparison_of_all_keys_gives),
        disk_test(keys_that_stay_come_once_while_others_come_and_go),
        disk_test(the_value_is_one_that_the_key_held_meanwhile),
        disk_test(slices_are_valid_until_the_next_call),
        disk_test(a_damaged_value_is_named_and_the_rest_goes_on),
        disk_test(large_values_come_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
