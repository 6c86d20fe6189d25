/* SPDX-License-Identifier: MIT */
/* Reading and writing; test_keydir_load.c and test_keydir_walk.c have the rest. */
#include "test/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/keydir.h"
#include "test/test_alloc.h"

static struct bitcask_keydir *create(uint64_t expected_keys)
{
    struct bitcask_keydir *keydir = NULL;

    assert_status(bitcask_keydir_create(&keydir, expected_keys, 20260302), BITCASK_OK);
    return keydir;
}

static bool find(struct bitcask_keydir *keydir, struct bitcask_slice key,
                 struct bitcask_place *place)
{
    uint64_t hash = bitcask_keydir_hash(keydir, key);
    unsigned shard = bitcask_keydir_shard(hash);
    bool found;

    bitcask_keydir_read_lock(keydir, shard);
    found = bitcask_keydir_find(keydir, hash, key, place);
    bitcask_keydir_read_unlock(keydir, shard);
    return found;
}

static bool has(struct bitcask_keydir *keydir, struct bitcask_slice key)
{
    struct bitcask_place place;

    return find(keydir, key, &place);
}

/* The entry of @key, with its shard locked for writing. */
struct held {
    struct bitcask_keydir *keydir;
    struct bitcask_keydir_entry *entry;
    struct bitcask_place place;
    unsigned shard;
};

static enum bitcask_status hold(struct held *held, struct bitcask_keydir *keydir,
                                struct bitcask_slice key, bool create_it)
{
    uint64_t hash = bitcask_keydir_hash(keydir, key);

    memset(held, 0, sizeof *held);
    held->keydir = keydir;
    held->shard = bitcask_keydir_shard(hash);
    bitcask_keydir_write_lock(keydir, held->shard);
    return bitcask_keydir_reserve(keydir, hash, key, create_it, &held->entry,
                                  &held->place);
}

static void let_go(struct held *held)
{
    bitcask_keydir_write_unlock(held->keydir, held->shard);
}

/* Put @key at a place that follows from @sequence. */
static struct bitcask_place place_of(uint64_t sequence)
{
    struct bitcask_place place = {
        .sequence = sequence,
        .offset = sequence * 7,
        .segment = (uint32_t)(sequence % 1000),
        .value_size = (uint32_t)(sequence * 3),
    };

    return place;
}

static void put(struct bitcask_keydir *keydir, struct bitcask_slice key,
                uint64_t sequence)
{
    struct bitcask_place place = place_of(sequence);
    struct held held;
    enum bitcask_status status = hold(&held, keydir, key, true);

    assert_true(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
    bitcask_keydir_set(keydir, held.shard, held.entry, &place);
    let_go(&held);
}

static void assert_places_equal(const struct bitcask_place *left,
                                const struct bitcask_place *right)
{
    assert_int_equal(left->sequence, right->sequence);
    assert_int_equal(left->offset, right->offset);
    assert_int_equal(left->segment, right->segment);
    assert_int_equal(left->value_size, right->value_size);
    assert_int_equal(left->flags, right->flags);
}

static void expect(struct bitcask_keydir *keydir, struct bitcask_slice key,
                   uint64_t sequence)
{
    struct bitcask_place expected = place_of(sequence);
    struct bitcask_place place;

    assert_true(find(keydir, key, &place));
    assert_places_equal(&place, &expected);
}

static struct bitcask_slice numbered(char text[32], unsigned number)
{
    (void)snprintf(text, 32, "key-%u", number);
    return bitcask_text(text);
}

static void a_new_keydir_is_empty(void **state)
{
    struct bitcask_keydir *keydir = create(0);

    (void)state;
    assert_int_equal(bitcask_keydir_count(keydir), 0);
    assert_false(has(keydir, bitcask_text("ada")));
    bitcask_keydir_close(keydir);
    bitcask_keydir_close(NULL);
}

static void what_is_set_is_found(void **state)
{
    static const struct bitcask_place places[] = {
        { .sequence = 1, .offset = 64 },
        { .sequence = UINT64_MAX,
          .offset = (UINT64_C(1) << BITCASK_PLACE_OFFSET_BITS) - 1,
          .segment = (1u << BITCASK_PLACE_SEGMENT_BITS) - 1,
          .value_size = BITCASK_VALUE_SIZE_MAX,
          .flags = BITCASK_PLACE_EXPIRES },
        { .sequence = 5, .offset = 1, .segment = 0, .value_size = UINT32_MAX },
        { .sequence = 6, .offset = 0, .segment = 1, .flags = BITCASK_PLACE_EXPIRES },
    };
    struct bitcask_keydir *keydir = create(0);
    struct bitcask_slice key = bitcask_text("ada");

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(places); i++) {
        struct bitcask_place place;
        struct held held;

        assert_status(hold(&held, keydir, key, true),
                      i == 0 ? BITCASK_NOT_FOUND : BITCASK_OK);
        if (i > 0)
            assert_places_equal(&held.place, &places[i - 1]);
        bitcask_keydir_set(keydir, held.shard, held.entry, &places[i]);
        let_go(&held);
        assert_true(find(keydir, key, &place));
        assert_places_equal(&place, &places[i]);
        assert_int_equal(bitcask_keydir_count(keydir), 1);
    }
    bitcask_keydir_close(keydir);
}

static void a_reserved_entry_is_seen_by_nobody(void **state)
{
    struct bitcask_keydir *keydir = create(0);
    struct bitcask_slice key = bitcask_text("ada");
    struct bitcask_keydir_entry *entry;
    struct bitcask_place place = place_of(1);
    struct held held;

    (void)state;
    assert_status(hold(&held, keydir, key, true), BITCASK_NOT_FOUND);
    assert_non_null(held.entry);
    assert_false(has(keydir, key));
    assert_int_equal(bitcask_keydir_count(keydir), 0);

    /* It is the entry of the key, and reserved only once. */
    assert_status(bitcask_keydir_reserve(keydir, bitcask_keydir_hash(keydir, key), key,
                                         true, &entry, &place),
                  BITCASK_NOT_FOUND);
    assert_ptr_equal(entry, held.entry);
    place = place_of(1);
    bitcask_keydir_set(keydir, held.shard, held.entry, &place);
    let_go(&held);
    expect(keydir, key, 1);
    bitcask_keydir_close(keydir);
}

static void cancelling_frees_what_nobody_sees(void **state)
{
    struct bitcask_keydir *keydir = create(0);
    struct bitcask_slice key = bitcask_text("ada");
    struct held held;

    (void)state;
    assert_status(hold(&held, keydir, key, true), BITCASK_NOT_FOUND);
    bitcask_keydir_cancel(keydir, held.shard, held.entry);
    let_go(&held);
    assert_int_equal(bitcask_keydir_count(keydir), 0);

    assert_status(hold(&held, keydir, key, false), BITCASK_NOT_FOUND);
    assert_null(held.entry); /* it is gone altogether */
    let_go(&held);
    bitcask_keydir_close(keydir);
}

static enum bitcask_status hold_alone(struct held *held, struct bitcask_keydir *keydir,
                                      struct bitcask_slice key)
{
    uint64_t hash = bitcask_keydir_hash(keydir, key);

    memset(held, 0, sizeof *held);
    held->keydir = keydir;
    held->shard = bitcask_keydir_shard(hash);
    bitcask_keydir_write_lock(keydir, held->shard);
    return bitcask_keydir_reserve_alone(keydir, hash, key, &held->entry, &held->place);
}

/* Set, hidden and set again, or cancelled, also a long one, whose memory is counted. */
static void what_is_reserved_alone_is_found_once_it_is_set(void **state)
{
    static const size_t sizes[] = { 3, 16, 2000 };
    const struct bitcask_place place = place_of(5);
    uint8_t *bytes = test_noise(2000, 4);

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        struct bitcask_keydir *keydir = create(0);
        struct bitcask_slice key = { bytes, sizes[i] };
        uint64_t size = bitcask_keydir_size(keydir);
        struct held held, again;

        assert_status(hold_alone(&held, keydir, key), BITCASK_NOT_FOUND);
        assert_non_null(held.entry);
        assert_false(has(keydir, key));
        let_go(&held);
        assert_status(hold(&again, keydir, key, false), BITCASK_NOT_FOUND);
        assert_null(again.entry);
        bitcask_keydir_cancel(keydir, held.shard, held.entry);
        let_go(&again);
        assert_int_equal(bitcask_keydir_size(keydir), size);
        assert_int_equal(bitcask_keydir_count(keydir), 0);

        assert_status(hold_alone(&held, keydir, key), BITCASK_NOT_FOUND);
        bitcask_keydir_set(keydir, held.shard, held.entry, &place);
        bitcask_keydir_cancel(keydir, held.shard, held.entry); /* is seen: stays */
        let_go(&held);
        expect(keydir, key, 5);
        assert_int_equal(bitcask_keydir_count(keydir), 1);

        assert_status(hold_alone(&again, keydir, key), BITCASK_OK);
        assert_ptr_equal(again.entry, held.entry);
        assert_int_equal(again.place.sequence, 5);
        bitcask_keydir_hide(keydir, again.shard, again.entry);
        assert_false(has(keydir, key));
        bitcask_keydir_set(keydir, again.shard, again.entry, &place);
        expect(keydir, key, 5);
        bitcask_keydir_hide(keydir, again.shard, again.entry);
        let_go(&again);
        assert_status(hold_alone(&again, keydir, key), BITCASK_NOT_FOUND);
        assert_ptr_equal(again.entry, held.entry); /* the hidden one, not another */
        bitcask_keydir_cancel(keydir, again.shard, again.entry);
        let_go(&again);
        assert_int_equal(bitcask_keydir_count(keydir), 0);
        assert_int_equal(bitcask_keydir_size(keydir), size);
        bitcask_keydir_close(keydir);
    }
    free(bytes);
}

static void cancelling_leaves_what_is_seen(void **state)
{
    struct bitcask_keydir *keydir = create(0);
    struct bitcask_slice key = bitcask_text("ada");
    struct held held;

    (void)state;
    put(keydir, key, 4);
    assert_status(hold(&held, keydir, key, true), BITCASK_OK);
    bitcask_keydir_cancel(keydir, held.shard, held.entry);
    let_go(&held);
    expect(keydir, key, 4);
    assert_int_equal(bitcask_keydir_count(keydir), 1);
    bitcask_keydir_close(keydir);
}

static void what_is_removed_is_gone(void **state)
{
    struct bitcask_keydir *keydir = create(0);
    struct bitcask_slice key = bitcask_text("ada");
    struct held held;

    (void)state;
    put(keydir, key, 4);
    put(keydir, bitcask_text("bob"), 5);
    assert_status(hold(&held, keydir, key, false), BITCASK_OK);
    bitcask_keydir_remove(keydir, held.shard, held.entry);
    let_go(&held);
    assert_false(has(keydir, key));
    assert_int_equal(bitcask_keydir_count(keydir), 1);
    expect(keydir, bitcask_text("bob"), 5);

    put(keydir, key, 6);
    expect(keydir, key, 6);
    assert_int_equal(bitcask_keydir_count(keydir), 2);
    bitcask_keydir_close(keydir);
}

static void what_is_hidden_can_be_set_hidden_or_cancelled(void **state)
{
    struct bitcask_keydir *keydir = create(0);
    struct bitcask_slice key = bitcask_text("ada");
    struct bitcask_place place = place_of(9);
    struct held held, again;

    (void)state;
    put(keydir, key, 4);
    assert_status(hold(&held, keydir, key, false), BITCASK_OK);
    bitcask_keydir_hide(keydir, held.shard, held.entry);
    assert_false(has(keydir, key));
    assert_int_equal(bitcask_keydir_count(keydir), 0);
    let_go(&held);

    assert_status(hold(&again, keydir, key, false), BITCASK_NOT_FOUND);
    assert_ptr_equal(again.entry, held.entry);
    bitcask_keydir_hide(keydir, again.shard, again.entry);
    assert_int_equal(bitcask_keydir_count(keydir), 0);
    bitcask_keydir_set(keydir, again.shard, again.entry, &place);
    assert_int_equal(bitcask_keydir_count(keydir), 1);
    let_go(&again);
    expect(keydir, key, 9);

    assert_status(hold(&held, keydir, key, false), BITCASK_OK);
    bitcask_keydir_hide(keydir, held.shard, held.entry);
    bitcask_keydir_cancel(keydir, held.shard, held.entry);
    let_go(&held);
    assert_status(hold(&held, keydir, key, false), BITCASK_NOT_FOUND);
    assert_null(held.entry);
    let_go(&held);
    bitcask_keydir_close(keydir);
}

static void keys_are_told_apart_by_every_byte(void **state)
{
    static const struct bitcask_slice keys[] = {
        { "a", 1 },    { "b", 1 },        { "aa", 2 },       { "a\0", 2 },
        { "\0", 1 },   { "\0\0", 2 },     { "\xff", 1 },     { "a\0b", 3 },
        { "a\0c", 3 }, { "abcdefgh", 8 }, { "abcdefgi", 8 }, { "abcdefg", 7 },
    };
    struct bitcask_keydir *keydir = create(0);

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(keys); i++) {
        assert_false(has(keydir, keys[i]));
        put(keydir, keys[i], i + 1);
    }
    for (size_t i = 0; i < LENGTH_OF(keys); i++)
        expect(keydir, keys[i], i + 1);
    assert_int_equal(bitcask_keydir_count(keydir), LENGTH_OF(keys));
    bitcask_keydir_close(keydir);
}

/* Many keys in few buckets, and tables that grow many times, or never. */
static void any_number_of_keys_is_kept(void **state)
{
    static const uint64_t expected[] = { 0, 1000, 100000, 1000000 };
    enum {
        COUNT = 60000
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(expected); i++) {
        struct bitcask_keydir *keydir = create(expected[i]);
        char text[32];

        for (unsigned n = 0; n < COUNT; n++)
            put(keydir, numbered(text, n), n + 1);
        assert_int_equal(bitcask_keydir_count(keydir), COUNT);
        for (unsigned n = 0; n < COUNT; n++)
            expect(keydir, numbered(text, n), n + 1);
        for (unsigned n = 0; n < COUNT; n += 2) {
            struct held held;

            assert_status(hold(&held, keydir, numbered(text, n), false), BITCASK_OK);
            bitcask_keydir_remove(keydir, held.shard, held.entry);
            let_go(&held);
        }
        assert_int_equal(bitcask_keydir_count(keydir), COUNT / 2);
        for (unsigned n = 0; n < COUNT; n++)
            assert_int_equal(has(keydir, numbered(text, n)), n % 2);
        bitcask_keydir_close(keydir);
    }
}

/* Around the size from which on an entry is no longer cut from a slab. */
static void long_keys_are_kept_like_short_ones(void **state)
{
    static const size_t more[] = { 1000, 4096, 30000, 65534, 65535 };
    struct bitcask_keydir *keydir = create(0);
    uint8_t *bytes = test_noise(BITCASK_KEY_SIZE_MAX, 1);
    size_t count = 0;

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (size_t size = 400; size <= 600; size++) {
            struct bitcask_slice key = { bytes, size };

            put(keydir, key, size);
        }
        for (size_t i = 0; i < LENGTH_OF(more); i++) {
            struct bitcask_slice key = { bytes, more[i] };

            put(keydir, key, more[i]);
        }
        count = 201 + LENGTH_OF(more);
        assert_int_equal(bitcask_keydir_count(keydir), count);
        for (size_t size = 400; size <= 600; size++) {
            struct bitcask_slice key = { bytes, size };
            struct held held;

            expect(keydir, key, size);
            if (round == 1)
                continue; /* they are left to close */
            assert_status(hold(&held, keydir, key, false), BITCASK_OK);
            bitcask_keydir_remove(keydir, held.shard, held.entry);
            let_go(&held);
        }
        for (size_t i = 0; i < LENGTH_OF(more); i++) {
            struct bitcask_slice key = { bytes, more[i] };

            expect(keydir, key, more[i]);
        }
    }
    bitcask_keydir_close(keydir);
    free(bytes);
}

static void the_size_is_the_memory_that_was_asked_for(void **state)
{
    enum {
        SHORT_COUNT = 20000,
        LONG_COUNT = 50,
        LONG_SIZE = 3000
    };
    uint8_t *bytes = test_noise(LONG_SIZE + LONG_COUNT, 1);
    char text[32];

    (void)state;
    /* With tables that need not grow, and with such that must. */
    for (int growing = 0; growing <= 1; growing++) {
        size_t before = test_alloc_size();
        struct bitcask_keydir *keydir = create(growing ? 0 : SHORT_COUNT);
        uint64_t size = bitcask_keydir_size(keydir);

        assert_int_equal(size, test_alloc_size() - before);
        for (unsigned n = 0; n < SHORT_COUNT; n++)
            put(keydir, numbered(text, n), n + 1);
        for (unsigned n = 0; n < LONG_COUNT; n++)
            put(keydir, (struct bitcask_slice){ bytes + n, LONG_SIZE }, n + 1);
        size = bitcask_keydir_size(keydir);
        assert_in_range(size, SHORT_COUNT * 80 + LONG_COUNT * LONG_SIZE,
                        test_alloc_size() - before);
        if (growing) /* but for the tables that were given up */
            assert_in_range(size, (test_alloc_size() - before) / 2, SIZE_MAX);
        else
            assert_int_equal(size, test_alloc_size() - before);

        for (unsigned n = 0; n < LONG_COUNT; n++) {
            struct held held;

            assert_status(hold(&held, keydir,
                               (struct bitcask_slice){ bytes + n, LONG_SIZE }, false),
                          BITCASK_OK);
            bitcask_keydir_remove(keydir, held.shard, held.entry);
            let_go(&held);
        }
        assert_in_range(size - bitcask_keydir_size(keydir), LONG_COUNT * LONG_SIZE,
                        LONG_COUNT * (LONG_SIZE + 100));
        bitcask_keydir_close(keydir);
    }
    free(bytes);
}

static void the_seed_changes_every_hash(void **state)
{
    struct bitcask_keydir *one = NULL, *other = NULL;
    char text[32];
    bool shards[BITCASK_KEYDIR_SHARD_COUNT] = { false };
    unsigned used = 0;

    (void)state;
    assert_status(bitcask_keydir_create(&one, 0, 1), BITCASK_OK);
    assert_status(bitcask_keydir_create(&other, 0, 2), BITCASK_OK);
    for (unsigned n = 0; n < 10000; n++) {
        struct bitcask_slice key = numbered(text, n);
        uint64_t hash = bitcask_keydir_hash(one, key);

        assert_int_not_equal(hash, bitcask_keydir_hash(other, key));
        assert_int_equal(hash, bitcask_keydir_hash(one, key));
        assert_true(bitcask_keydir_shard(hash) < BITCASK_KEYDIR_SHARD_COUNT);
        shards[bitcask_keydir_shard(hash)] = true;
    }
    for (size_t i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++)
        used += shards[i];
    assert_int_equal(used, BITCASK_KEYDIR_SHARD_COUNT);
    bitcask_keydir_close(one);
    bitcask_keydir_close(other);
}

static void creating_without_memory_leaks_nothing(void **state)
{
    long n;

    (void)state;
    for (n = 0;; n++) {
        struct bitcask_keydir *keydir = NULL;
        enum bitcask_status status;

        test_alloc_fail(n);
        status = bitcask_keydir_create(&keydir, 100000, 1);
        if (test_alloc_stop() == 0) {
            assert_status(status, BITCASK_OK);
            bitcask_keydir_close(keydir);
            break;
        }
        assert_status(status, BITCASK_NO_MEMORY);
        assert_null(keydir);
    }
    assert_int_equal(n, 2); /* itself, and one region */
}

/* Each allocation of each reservation fails once; nothing but time is lost. */
static void reserving_without_memory_changes_nothing(void **state)
{
    enum {
        COUNT = 20000
    };
    struct bitcask_keydir *keydir = create(0);
    uint8_t *bytes = test_noise(2000, 3);
    char text[32];
    long failures = 0;

    (void)state;
    for (unsigned n = 0; n < COUNT; n++) {
        /* Every hundredth key is too long for the slab. */
        struct bitcask_slice key = numbered(text, n);
        struct bitcask_place place = place_of(n + 1);

        if (n % 100 == 0) {
            memcpy(bytes, text, key.size);
            key.data = bytes;
            key.size = 2000;
        }
        for (long skip = 0;; skip++) {
            struct held held;
            enum bitcask_status status;

            test_alloc_fail(skip);
            status = hold(&held, keydir, key, true);
            /* Where there is no memory for more buckets, chains become longer. */
            if (test_alloc_stop() == 0 || status == BITCASK_NOT_FOUND) {
                assert_status(status, BITCASK_NOT_FOUND);
                bitcask_keydir_set(keydir, held.shard, held.entry, &place);
                let_go(&held);
                break;
            }
            let_go(&held);
            failures++;
            assert_status(status, BITCASK_NO_MEMORY);
            assert_false(has(keydir, key));
            assert_int_equal(bitcask_keydir_count(keydir), n);
            status = hold(&held, keydir, key, false);
            assert_status(status, BITCASK_NOT_FOUND);
            assert_null(held.entry);
            let_go(&held);
        }
    }
    assert_true(failures >= COUNT / 100);
    assert_int_equal(bitcask_keydir_count(keydir), COUNT);
    for (unsigned n = 0; n < COUNT; n++) {
        if (n % 100 != 0)
            expect(keydir, numbered(text, n), n + 1);
    }
    bitcask_keydir_close(keydir);
    free(bytes);
}

/* As many as go into the first regions; then, with memory again, many more. */
static long fill_without_memory(long region_count)
{
    enum {
        MORE = 50000
    };
    struct bitcask_keydir *keydir = create(0);
    enum bitcask_status status;
    char text[32];
    unsigned kept = 0;
    long failures;

    test_alloc_fail_from(region_count);
    for (;; kept++) {
        struct bitcask_place place = place_of(kept + 1);
        struct held held;

        status = hold(&held, keydir, numbered(text, kept), true);
        if (status == BITCASK_NOT_FOUND)
            bitcask_keydir_set(keydir, held.shard, held.entry, &place);
        let_go(&held);
        if (status != BITCASK_NOT_FOUND)
            break;
    }
    failures = test_alloc_stop();
    assert_status(status, BITCASK_NO_MEMORY);
    assert_int_equal(bitcask_keydir_count(keydir), kept);
    for (unsigned n = 0; n < kept; n++)
        expect(keydir, numbered(text, n), n + 1);
    for (unsigned n = kept; n < kept + MORE; n++)
        put(keydir, numbered(text, n), n + 1);
    for (unsigned n = 0; n < kept + MORE; n++)
        expect(keydir, numbered(text, n), n + 1);
    assert_false(has(keydir, numbered(text, kept + MORE)));
    bitcask_keydir_close(keydir);
    return failures;
}

static void tables_that_cannot_grow_keep_all_keys(void **state)
{
    long failures = 0;

    (void)state;
    for (long region_count = 0; region_count < 6; region_count++)
        failures += fill_without_memory(region_count);
    assert_true(failures > 6); /* tables failed to grow, too, and that was no failure */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_keydir_is_empty),
        cmocka_unit_test(what_is_set_is_found),
        cmocka_unit_test(a_reserved_entry_is_seen_by_nobody),
        cmocka_unit_test(cancelling_frees_what_nobody_sees),
        cmocka_unit_test(what_is_reserved_alone_is_found_once_it_is_set),
        cmocka_unit_test(cancelling_leaves_what_is_seen),
        cmocka_unit_test(what_is_removed_is_gone),
        cmocka_unit_test(what_is_hidden_can_be_set_hidden_or_cancelled),
        cmocka_unit_test(keys_are_told_apart_by_every_byte),
        cmocka_unit_test(any_number_of_keys_is_kept),
        cmocka_unit_test(long_keys_are_kept_like_short_ones),
        cmocka_unit_test(the_size_is_the_memory_that_was_asked_for),
        cmocka_unit_test(the_seed_changes_every_hash),
        cmocka_unit_test(creating_without_memory_leaks_nothing),
        cmocka_unit_test(reserving_without_memory_changes_nothing),
        cmocka_unit_test(tables_that_cannot_grow_keep_all_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
