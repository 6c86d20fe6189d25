/* SPDX-License-Identifier: MIT */
/* Looking up many keys at a time: the same answers as one by one, and one pin. */
#include "test/test_support.h"

#include <stdio.h>
#include <string.h>

#include "bitcask/keydir.h"

static struct bitcask_keydir *create(void)
{
    struct bitcask_keydir *keydir = NULL;

    assert_status(bitcask_keydir_create(&keydir, 0, 20260305), BITCASK_OK);
    return keydir;
}

static struct bitcask_place place_of(unsigned number)
{
    const struct bitcask_place place = {
        .sequence = number + 1,
        .offset = (uint64_t)number * 1000,
        .segment = number % 77,
        .value_size = number * 3,
        .flags = number % 2 == 0 ? BITCASK_PLACE_EXPIRES : 0,
    };

    return place;
}

/* Put @key under @hash, which need not be its own; where @show is false, reserve it. */
static void put(struct bitcask_keydir *keydir, struct bitcask_slice key, uint64_t hash,
                unsigned number, bool show)
{
    const struct bitcask_place place = place_of(number);
    unsigned shard = bitcask_keydir_shard(hash);
    struct bitcask_keydir_entry *entry;
    struct bitcask_place before;

    bitcask_keydir_write_lock(keydir, shard);
    assert_status(bitcask_keydir_reserve(keydir, hash, key, true, &entry, &before),
                  BITCASK_NOT_FOUND);
    if (show)
        bitcask_keydir_set(keydir, shard, entry, &place);
    bitcask_keydir_write_unlock(keydir, shard);
}

static void expect_place(const struct bitcask_find_item *item, unsigned number)
{
    const struct bitcask_place place = place_of(number);

    assert_true(item->found);
    assert_int_equal(item->place.sequence, place.sequence);
    assert_int_equal(item->place.offset, place.offset);
    assert_int_equal(item->place.segment, place.segment);
    assert_int_equal(item->place.value_size, place.value_size);
    assert_int_equal(item->place.flags, place.flags);
}

static void groups_of_all_sizes_find_what_is_there(void **state)
{
    enum {
        COUNT = 3000 /* so that tables have grown */
    };
    struct bitcask_keydir *keydir = create();
    static char texts[2 * COUNT][16];

    (void)state;
    for (unsigned i = 0; i < 2 * COUNT; i++) {
        struct bitcask_slice key;

        (void)snprintf(texts[i], sizeof *texts, "key %u", i);
        key = bitcask_text(texts[i]);
        if (i < COUNT)
            put(keydir, key, bitcask_keydir_hash(keydir, key), i, i % 10 != 0);
    }
    for (size_t count = 1; count <= BITCASK_FIND_ITEMS_MAX; count++) {
        for (unsigned from = 0; from + count <= 2 * COUNT; from += 17) {
            struct bitcask_find_item items[BITCASK_FIND_ITEMS_MAX];

            for (size_t i = 0; i < count; i++) {
                items[i].key = bitcask_text(texts[from + i]);
                items[i].hash = bitcask_keydir_hash(keydir, items[i].key);
            }
            bitcask_keydir_unpin(keydir, bitcask_keydir_find_many(keydir, items, count));
            for (unsigned i = 0; i < count; i++) {
                unsigned number = from + i;

                if (number < COUNT && number % 10 != 0)
                    expect_place(&items[i], number);
                else
                    assert_false(items[i].found);
            }
        }
    }
    bitcask_keydir_close(keydir);
}

/* Also one that begins like another. */
static void keys_of_one_hash_are_told_apart(void **state)
{
    static const char *const texts[] = { "a", "b", "ab", "ba", "abcdefgh", "abcdefgi" };
    const uint64_t hash = UINT64_C(0x1200000000000034);
    const uint64_t neighbour = UINT64_C(0x1200000100000034); /* the same in the table */
    struct bitcask_keydir *keydir = create();
    struct bitcask_find_item items[LENGTH_OF(texts) + 1];

    (void)state;
    for (unsigned i = 0; i < LENGTH_OF(texts); i++) {
        put(keydir, bitcask_text(texts[i]), i % 2 == 0 ? hash : neighbour, i, true);
        items[i].key = bitcask_text(texts[i]);
        items[i].hash = hash;
    }
    items[LENGTH_OF(texts)].key = bitcask_text("abc");
    items[LENGTH_OF(texts)].hash = hash;
    bitcask_keydir_unpin(keydir,
                         bitcask_keydir_find_many(keydir, items, LENGTH_OF(items)));
    for (unsigned i = 0; i < LENGTH_OF(texts); i++)
        expect_place(&items[i], i);
    assert_false(items[LENGTH_OF(texts)].found);
    bitcask_keydir_close(keydir);
}

struct waiting {
    struct bitcask_keydir *keydir;
    struct bitcask_pin pin;
    int rounds;
};

/* What is found keeps a merge waiting until it is unpinned, and no longer. */
static void wait_a_little(void *context)
{
    struct waiting *waiting = context;

    if (++waiting->rounds == 3)
        bitcask_keydir_unpin(waiting->keydir, waiting->pin);
    assert_true(waiting->rounds <= 3);
}

static void one_pin_holds_all_of_them(void **state)
{
    struct bitcask_keydir *keydir = create();
    struct bitcask_find_item items[BITCASK_FIND_ITEMS_MAX];
    char texts[BITCASK_FIND_ITEMS_MAX][16];

    (void)state;
    for (int round = 0; round < 3; round++) { /* each phase, and again */
        struct waiting waiting = { .keydir = keydir };

        for (size_t i = 0; i < LENGTH_OF(items); i++) {
            (void)snprintf(texts[i], sizeof *texts, "key %zu", i);
            items[i].key = bitcask_text(texts[i]);
            items[i].hash = bitcask_keydir_hash(keydir, items[i].key);
        }
        waiting.pin = bitcask_keydir_find_many(keydir, items, LENGTH_OF(items));
        bitcask_keydir_wait_readers(keydir, wait_a_little, &waiting);
        assert_int_equal(waiting.rounds, 3);
    }
    bitcask_keydir_close(keydir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_of_all_sizes_find_what_is_there),
        cmocka_unit_test(keys_of_one_hash_are_told_apart),
        cmocka_unit_test(one_pin_holds_all_of_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
