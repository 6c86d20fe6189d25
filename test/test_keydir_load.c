/* SPDX-License-Identifier: MIT */
/* Loading the keydir: of each key, the record of the highest sequence stays. */
#include "test/test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/keydir.h"
#include "test/test_alloc.h"

static struct bitcask_keydir *create(void)
{
    struct bitcask_keydir *keydir = NULL;

    assert_status(bitcask_keydir_create(&keydir, 0, 7), BITCASK_OK);
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

static struct bitcask_load_item item_of(struct bitcask_slice key, uint64_t sequence,
                                        bool deletes)
{
    struct bitcask_load_item item = {
        .key = key,
        .place = {
            .sequence = sequence,
            .offset = sequence * 100,
            .segment = (uint32_t)sequence % 3,
            .value_size = deletes ? 0 : (uint32_t)sequence,
            .flags = deletes ? BITCASK_PLACE_TOMBSTONE : 0,
        },
    };

    return item;
}

/* Which puts count as live, by sequence, as whoever loads keeps the books. */
enum {
    SEQUENCE_MAX = 64
};
struct books {
    bool live[SEQUENCE_MAX];
    uint64_t live_count;
};

static void keep_books(struct books *books, const struct bitcask_load_item *items,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((items[i].place.flags & BITCASK_PLACE_TOMBSTONE) == 0) {
            books->live[items[i].place.sequence] = true;
            books->live_count++;
        }
        if (items[i].displaces) {
            const struct bitcask_place *displaced = &items[i].displaced;

            assert_true(books->live[displaced->sequence]);
            assert_int_equal(displaced->offset, displaced->sequence * 100);
            assert_int_equal(displaced->segment, displaced->sequence % 3);
            assert_int_equal(displaced->value_size, displaced->sequence);
            books->live[displaced->sequence] = false;
            books->live_count--;
        }
    }
}

/* Load @items as whoever read them would: with their hashes. */
static enum bitcask_status load(struct bitcask_keydir *keydir,
                                struct bitcask_load_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        items[i].hash = bitcask_keydir_hash(keydir, items[i].key);
    return bitcask_keydir_load(keydir, items, count);
}

/* The history of one key: P puts, D deletes; record n has sequence n + 1. */
static void load_permutation(const char *history, const size_t *order, size_t count,
                             size_t at_a_time)
{
    struct bitcask_keydir *keydir = create();
    struct bitcask_slice key = bitcask_text("ada");
    bool lives = history[count - 1] == 'P';
    struct books books = { .live_count = 0 };
    struct bitcask_place place;

    for (size_t begin = 0; begin < count; begin += at_a_time) {
        struct bitcask_load_item items[BITCASK_LOAD_ITEMS_MAX];
        size_t size = count - begin < at_a_time ? count - begin : at_a_time;

        for (size_t i = 0; i < size; i++)
            items[i] =
                item_of(key, order[begin + i] + 1, history[order[begin + i]] == 'D');
        assert_status(load(keydir, items, size), BITCASK_OK);
        keep_books(&books, items, size);
    }

    for (int dropped = 0; dropped < 2; dropped++) {
        assert_int_equal(bitcask_keydir_count(keydir), lives);
        assert_int_equal(find(keydir, key, &place), lives);
        if (lives) {
            assert_int_equal(place.sequence, count);
            assert_int_equal(place.offset, count * 100);
        }
        bitcask_keydir_drop_tombstones(keydir);
    }
    assert_int_equal(books.live_count, lives);
    if (lives)
        assert_true(books.live[count]);
    bitcask_keydir_close(keydir);
}

/* Call load_permutation() for all orders of @order from @fixed on. */
static void permute(const char *history, size_t *order, size_t fixed, size_t count)
{
    if (fixed == count) {
        load_permutation(history, order, count, 1);
        load_permutation(history, order, count, BITCASK_LOAD_ITEMS_MAX);
        load_permutation(history, order, count, 2);
        return;
    }
    for (size_t i = fixed; i < count; i++) {
        size_t swapped = order[fixed];

        order[fixed] = order[i];
        order[i] = swapped;
        permute(history, order, fixed + 1, count);
        order[i] = order[fixed];
        order[fixed] = swapped;
    }
}

static void the_highest_sequence_wins_in_any_order(void **state)
{
    static const char *const histories[] = {
        "P", "D", "PP", "PD", "DP", "DD", "PDP", "PDPD", "PPDD", "PDPDP", "DPDPD",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(histories); i++) {
        size_t order[8];

        for (size_t n = 0; n < LENGTH_OF(order); n++)
            order[n] = n;
        printf("  %s\n", histories[i]);
        permute(histories[i], order, 0, strlen(histories[i]));
    }
}

static void the_same_record_twice_counts_once(void **state)
{
    struct bitcask_keydir *keydir = create();
    struct bitcask_slice key = bitcask_text("ada");
    struct books books = { .live_count = 0 };

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct bitcask_load_item item = item_of(key, 5, false);

        assert_status(load(keydir, &item, 1), BITCASK_OK);
        books.live[5] = false;
        keep_books(&books, &item, 1);
    }
    assert_int_equal(books.live_count, 1);
    assert_int_equal(bitcask_keydir_count(keydir), 1);
    bitcask_keydir_close(keydir);
}

static enum bitcask_status visit_none(struct bitcask_slice key,
                                      const struct bitcask_place *place, void *context)
{
    (void)key;
    (void)place;
    ++*(int *)context;
    return BITCASK_OK;
}

static void a_loaded_tombstone_is_seen_by_nobody(void **state)
{
    struct bitcask_keydir *keydir = create();
    struct bitcask_keydir_cursor cursor = { 0, 0 };
    struct bitcask_load_item item = item_of(bitcask_text("ada"), 3, true);
    struct bitcask_place place;
    int visits = 0;

    (void)state;
    assert_status(load(keydir, &item, 1), BITCASK_OK);
    assert_false(item.displaces);
    assert_false(find(keydir, item.key, &place));
    assert_int_equal(bitcask_keydir_count(keydir), 0);
    while (bitcask_keydir_walk(keydir, &cursor, visit_none, &visits) == BITCASK_OK)
        continue;
    assert_int_equal(visits, 0);
    bitcask_keydir_close(keydir); /* frees it also if it was never dropped */
}

static struct bitcask_slice numbered(char text[32], unsigned number)
{
    (void)snprintf(text, 32, "key-%u", number);
    return bitcask_text(text);
}

static bool reserved_anything(struct bitcask_keydir *keydir, struct bitcask_slice key)
{
    uint64_t hash = bitcask_keydir_hash(keydir, key);
    struct bitcask_keydir_entry *entry;
    struct bitcask_place place;

    bitcask_keydir_write_lock(keydir, bitcask_keydir_shard(hash));
    (void)bitcask_keydir_reserve(keydir, hash, key, false, &entry, &place);
    bitcask_keydir_write_unlock(keydir, bitcask_keydir_shard(hash));
    return entry != NULL;
}

/* Of many keys, each with a history of its own, long keys among them. */
static void dropping_takes_exactly_the_tombstones(void **state)
{
    static const char *const histories[] = { "P", "PD", "PDP", "PDPD", "D", "DDP" };
    enum {
        COUNT = 6000
    };
    struct bitcask_keydir *keydir = create();
    uint8_t *bytes = test_noise(1000, 1);
    uint64_t expected = 0;
    char text[32];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (unsigned n = 0; n < COUNT; n++) {
            const char *history = histories[n % LENGTH_OF(histories)];
            struct bitcask_slice key = numbered(text, n);
            bool lives = history[strlen(history) - 1] == 'P';

            if (n % 50 == 0) {
                (void)snprintf((char *)bytes, 1000, "long-%026u", n);
                key.data = bytes;
                key.size = 1000;
            }
            if (round == 0) {
                for (size_t i = 0; history[i] != '\0'; i++) {
                    struct bitcask_load_item item =
                        item_of(key, i + 1, history[i] == 'D');

                    assert_status(load(keydir, &item, 1), BITCASK_OK);
                }
                expected += lives;
            } else {
                assert_int_equal(reserved_anything(keydir, key), lives);
            }
        }
        bitcask_keydir_drop_tombstones(keydir);
        assert_int_equal(bitcask_keydir_count(keydir), expected);
    }
    bitcask_keydir_close(keydir);
    free(bytes);
}

/* Each once, though the same key may have been deleted, and noted for that, twice. */
static void the_memory_of_dropped_tombstones_is_used_again(void **state)
{
    enum {
        COUNT = 3000
    };
    struct bitcask_keydir *keydir = create();
    char text[32];

    (void)state;
    for (unsigned n = 0; n < COUNT; n++) {
        for (uint64_t sequence = 1; sequence <= 4; sequence++) {
            struct bitcask_load_item item =
                item_of(numbered(text, 10000 + n), sequence, sequence % 2 == 0);

            assert_status(load(keydir, &item, 1), BITCASK_OK);
        }
    }
    bitcask_keydir_drop_tombstones(keydir);
    for (unsigned n = 0; n < 2 * COUNT; n++) {
        struct bitcask_load_item item = item_of(numbered(text, 20000 + n), 1 + n, false);

        assert_status(load(keydir, &item, 1), BITCASK_OK);
    }
    assert_int_equal(bitcask_keydir_count(keydir), 2 * COUNT);
    for (unsigned n = 0; n < 2 * COUNT; n++) {
        struct bitcask_place place;

        assert_true(find(keydir, numbered(text, 20000 + n), &place));
        assert_int_equal(place.sequence, 1 + n);
    }
    bitcask_keydir_close(keydir);
}

/* Fail each allocation of a load; loading once more makes it whole. */
static void loading_without_memory_can_be_repeated(void **state)
{
    enum {
        COUNT = 256
    };
    long n;

    (void)state;
    for (n = 0;; n++) {
        struct bitcask_keydir *keydir = create();
        enum bitcask_status status = BITCASK_OK;
        bool complete = false;
        char text[32];

        for (int round = 0; round < 2; round++) {
            if (round == 0)
                test_alloc_fail(n);
            status = BITCASK_OK;
            for (unsigned i = 0; i < 2 * COUNT && status == BITCASK_OK; i++) {
                struct bitcask_load_item item =
                    item_of(numbered(text, i % COUNT), 1 + i, i % 3 == 0);

                status = load(keydir, &item, 1);
            }
            if (round == 0) {
                complete = test_alloc_stop() == 0;
                assert_status(status, complete ? BITCASK_OK : BITCASK_NO_MEMORY);
            }
        }
        assert_status(status, BITCASK_OK);
        bitcask_keydir_drop_tombstones(keydir);
        for (unsigned i = COUNT; i < 2 * COUNT; i++) {
            struct bitcask_place place;
            bool found = find(keydir, numbered(text, i % COUNT), &place);

            assert_int_equal(found, i % 3 != 0);
            if (found)
                assert_int_equal(place.sequence, 1 + i);
        }
        bitcask_keydir_close(keydir);
        if (complete)
            break;
    }
    assert_true(n > 10);
}

/* Threads that load what several writers wrote, each the keys of its own shards. */
enum {
    THREAD_COUNT = 4,
    THREAD_KEYS = 5000
};
struct loader {
    struct bitcask_keydir *keydir;
    unsigned number;
    uint64_t live_count; /* puts loaded less those displaced */
    enum bitcask_status status;
};

/* Load the records of number @writer, as far as their keys are those of @loader. */
static void load_records(struct loader *loader, unsigned writer)
{
    for (unsigned key = 0; key < THREAD_KEYS && loader->status == BITCASK_OK; key++) {
        /* Another writer wins for each key; the third deletes. */
        unsigned rank = (key + writer) % THREAD_COUNT;
        char text[32];
        struct bitcask_load_item item =
            item_of(numbered(text, key), 1 + rank, writer == 3);

        item.hash = bitcask_keydir_hash(loader->keydir, item.key);
        if (bitcask_keydir_shard(item.hash) % THREAD_COUNT != loader->number)
            continue;
        loader->status = bitcask_keydir_load(loader->keydir, &item, 1);
        loader->live_count += writer != 3;
        loader->live_count -= item.displaces;
    }
}

static void *run_loader(void *context)
{
    for (unsigned writer = 0; writer < THREAD_COUNT; writer++)
        load_records(context, writer);
    return NULL;
}

static void threads_may_load_other_shards_at_a_time(void **state)
{
    struct bitcask_keydir *keydir = create();
    struct loader loaders[THREAD_COUNT];
    pthread_t threads[THREAD_COUNT];
    uint64_t live_count = 0;
    uint64_t expected = 0;
    char text[32];

    (void)state;
    for (unsigned i = 0; i < THREAD_COUNT; i++) {
        memset(&loaders[i], 0, sizeof loaders[i]);
        loaders[i].keydir = keydir;
        loaders[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, run_loader, &loaders[i]), 0);
    }
    for (unsigned i = 0; i < THREAD_COUNT; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_status(loaders[i].status, BITCASK_OK);
        live_count += loaders[i].live_count;
    }
    bitcask_keydir_drop_tombstones(keydir);
    for (unsigned key = 0; key < THREAD_KEYS; key++) {
        struct bitcask_place place;
        bool lives = (key + 3) % THREAD_COUNT != THREAD_COUNT - 1;

        assert_int_equal(find(keydir, numbered(text, key), &place), lives);
        if (lives)
            assert_int_equal(place.sequence, THREAD_COUNT);
        expected += lives;
    }
    assert_int_equal(bitcask_keydir_count(keydir), expected);
    assert_int_equal(live_count, expected);
    bitcask_keydir_close(keydir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_sequence_wins_in_any_order),
        cmocka_unit_test(the_same_record_twice_counts_once),
        cmocka_unit_test(a_loaded_tombstone_is_seen_by_nobody),
        cmocka_unit_test(dropping_takes_exactly_the_tombstones),
        cmocka_unit_test(the_memory_of_dropped_tombstones_is_used_again),
        cmocka_unit_test(loading_without_memory_can_be_repeated),
        cmocka_unit_test(threads_may_load_other_shards_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
