/* SPDX-License-Identifier: MIT */
/* What merges need of the keydir; test_keydir.c has reading and writing. */
#include "test/test_support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bitcask/keydir.h"

enum {
    KEY_COUNT = 5000
};

static struct bitcask_slice key_of(char text[32], unsigned number)
{
    (void)snprintf(text, 32, "key-%u", number);
    return bitcask_text(text);
}

/* A place that follows from @sequence, in @segment. */
static struct bitcask_place place_of(uint64_t sequence, uint32_t segment)
{
    const struct bitcask_place place = {
        .sequence = sequence,
        .offset = sequence * 7 + segment,
        .segment = segment,
        .value_size = (uint32_t)(sequence % 1000),
    };

    return place;
}

static void put(struct bitcask_keydir *keydir, unsigned number, uint64_t sequence)
{
    char text[32];
    struct bitcask_slice key = key_of(text, number);
    struct bitcask_place place = place_of(sequence, 1), before;
    uint64_t hash = bitcask_keydir_hash(keydir, key);
    unsigned shard = bitcask_keydir_shard(hash);
    struct bitcask_keydir_entry *entry;
    enum bitcask_status status;

    bitcask_keydir_write_lock(keydir, shard);
    status = bitcask_keydir_reserve(keydir, hash, key, true, &entry, &before);
    assert_true(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
    bitcask_keydir_set(keydir, shard, entry, &place);
    bitcask_keydir_write_unlock(keydir, shard);
}

static void drop(struct bitcask_keydir *keydir, unsigned number)
{
    char text[32];
    struct bitcask_slice key = key_of(text, number);
    uint64_t hash = bitcask_keydir_hash(keydir, key);
    unsigned shard = bitcask_keydir_shard(hash);
    struct bitcask_keydir_entry *entry;
    struct bitcask_place before;

    bitcask_keydir_write_lock(keydir, shard);
    assert_status(bitcask_keydir_reserve(keydir, hash, key, false, &entry, &before),
                  BITCASK_OK);
    bitcask_keydir_remove(keydir, shard, entry);
    bitcask_keydir_write_unlock(keydir, shard);
}

static bool find(struct bitcask_keydir *keydir, unsigned number,
                 struct bitcask_place *place)
{
    char text[32];
    struct bitcask_slice key = key_of(text, number);
    uint64_t hash = bitcask_keydir_hash(keydir, key);
    unsigned shard = bitcask_keydir_shard(hash);
    bool found;

    bitcask_keydir_read_lock(keydir, shard);
    found = bitcask_keydir_find(keydir, hash, key, place);
    bitcask_keydir_read_unlock(keydir, shard);
    return found;
}

/* Keys 0, 1, ... by sequences 1, 2, ... */
static struct bitcask_keydir *create(unsigned key_count)
{
    struct bitcask_keydir *keydir = NULL;

    assert_status(bitcask_keydir_create(&keydir, 0, 20260302), BITCASK_OK);
    for (unsigned i = 0; i < key_count; i++)
        put(keydir, i, i + 1);
    return keydir;
}

/* Items for keys, and the order by shard in which they are handed over. */
struct batch {
    struct bitcask_merge_item items[KEY_COUNT];
    char texts[KEY_COUNT][32];
    size_t count;
};

static void add(struct batch *batch, struct bitcask_keydir *keydir, unsigned number,
                uint64_t sequence)
{
    struct bitcask_merge_item *item = &batch->items[batch->count];

    memset(item, 0xff, sizeof *item); /* what a call sets is set */
    item->key = key_of(batch->texts[batch->count], number);
    item->hash = bitcask_keydir_hash(keydir, item->key);
    item->sequence = sequence;
    item->place = place_of(sequence, 2);
    item->wants_newest = true;
    batch->count++;
}

typedef void keydir_call(struct bitcask_keydir *keydir, unsigned shard,
                         struct bitcask_merge_item *const *items, size_t count);

/* Call for each shard with its items; with none for some. */
static void call(struct batch *batch, struct bitcask_keydir *keydir,
                 keydir_call *function)
{
    struct bitcask_merge_item **order =
        calloc(batch->count + 1, sizeof(struct bitcask_merge_item *));

    assert_non_null(order);
    for (unsigned shard = 0; shard < BITCASK_KEYDIR_SHARD_COUNT; shard++) {
        size_t count = 0;

        for (size_t i = 0; i < batch->count; i++) {
            if (bitcask_keydir_shard(batch->items[i].hash) == shard)
                order[count++] = &batch->items[i];
        }
        function(keydir, shard, order, count);
    }
    free(order);
}

static struct batch *batch_of(void)
{
    struct batch *batch = calloc(1, sizeof *batch);

    assert_non_null(batch);
    return batch;
}

static void looking_tells_what_is_current_and_what_is_newest(void **state)
{
    static const struct {
        const char *why;
        unsigned number;
        uint64_t sequence;
        bool current;
        uint64_t newest;
    } cases[] = {
        { "it is there by this record", 3, 4, true, 4 },
        { "it was put again", 5, 6, false, 100 },
        { "by that", 5, 100, true, 100 },
        { "it was deleted", 7, 8, false, 0 },
        { "it never was", 50, 4, false, 0 },
        { "by another key's record", 3, 5, false, 4 },
        { "by one that is to come", 3, 1000, false, 4 },
    };
    struct bitcask_keydir *keydir = create(10);
    struct batch *batch = batch_of();

    (void)state;
    put(keydir, 5, 100);
    drop(keydir, 7);
    for (size_t i = 0; i < LENGTH_OF(cases); i++)
        add(batch, keydir, cases[i].number, cases[i].sequence);
    call(batch, keydir, bitcask_keydir_look);
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        printf("  %s\n", cases[i].why);
        assert_int_equal(batch->items[i].current, cases[i].current);
        assert_int_equal(batch->items[i].newest, cases[i].newest);
    }
    /* Who does not want the newest does not pay for it. */
    batch->items[0].wants_newest = false;
    batch->items[0].newest = 77;
    call(batch, keydir, bitcask_keydir_look);
    assert_true(batch->items[0].current);
    assert_int_equal(batch->items[0].newest, 77);
    free(batch);
    bitcask_keydir_close(keydir);
}

/* A writer has appended a delete, and waits until it is synced, say. */
static void what_is_hidden_is_not_current(void **state)
{
    struct bitcask_keydir *keydir = create(3);
    struct batch *batch = batch_of();
    struct bitcask_keydir_entry *entry;
    struct bitcask_place before;
    unsigned shard;

    (void)state;
    add(batch, keydir, 1, 2);
    shard = bitcask_keydir_shard(batch->items[0].hash);
    bitcask_keydir_write_lock(keydir, shard);
    assert_status(bitcask_keydir_reserve(keydir, batch->items[0].hash,
                                         batch->items[0].key, false, &entry, &before),
                  BITCASK_OK);
    bitcask_keydir_hide(keydir, shard, entry);
    call(batch, keydir, bitcask_keydir_look);
    assert_false(batch->items[0].current);
    assert_int_equal(batch->items[0].newest, 0);
    bitcask_keydir_set(keydir, shard, entry, &before);
    bitcask_keydir_write_unlock(keydir, shard);
    call(batch, keydir, bitcask_keydir_look);
    assert_true(batch->items[0].current);
    assert_int_equal(batch->items[0].newest, 2);
    free(batch);
    bitcask_keydir_close(keydir);
}

static void repointing_moves_what_is_still_there(void **state)
{
    struct bitcask_keydir *keydir = create(KEY_COUNT);
    struct batch *batch = batch_of();

    (void)state;
    for (unsigned i = 0; i < KEY_COUNT; i++) {
        add(batch, keydir, i, i + 1);
        if (i % 3 == 1)
            put(keydir, i, KEY_COUNT + i);
        if (i % 3 == 2)
            drop(keydir, i);
    }
    call(batch, keydir, bitcask_keydir_repoint);
    for (unsigned i = 0; i < KEY_COUNT; i++) {
        const struct bitcask_merge_item *item = &batch->items[i];
        struct bitcask_place expected = place_of(i + 1, 1), place;

        assert_int_equal(item->moved, i % 3 == 0);
        assert_int_equal(find(keydir, i, &place), i % 3 != 2);
        if (i % 3 == 0) {
            assert_int_equal(item->before.segment, 1);
            assert_int_equal(item->before.offset, expected.offset);
            assert_int_equal(item->before.sequence, expected.sequence);
            assert_int_equal(item->before.value_size, expected.value_size);
            expected = place_of(i + 1, 2);
        } else {
            expected = place_of(KEY_COUNT + i, 1);
        }
        if (i % 3 != 2) {
            assert_int_equal(place.segment, expected.segment);
            assert_int_equal(place.offset, expected.offset);
            assert_int_equal(place.sequence, expected.sequence);
            assert_int_equal(place.value_size, expected.value_size);
        }
    }
    assert_int_equal(bitcask_keydir_count(keydir), KEY_COUNT - KEY_COUNT / 3);
    free(batch);
    bitcask_keydir_close(keydir);
}

static void expiring_forgets_a_key_that_is_there_by_this_record(void **state)
{
    struct bitcask_keydir *keydir = create(4);
    struct batch *batch = batch_of();
    struct bitcask_place place;

    (void)state;
    put(keydir, 1, 100);
    drop(keydir, 2);
    for (unsigned i = 0; i < 4; i++) {
        add(batch, keydir, i, i + 1);
        bitcask_keydir_expire(keydir, &batch->items[i]);
        assert_int_equal(batch->items[i].moved, i == 0 || i == 3);
    }
    assert_int_equal(batch->items[3].before.offset, place_of(4, 1).offset);
    assert_false(find(keydir, 0, &place));
    assert_true(find(keydir, 1, &place));
    assert_int_equal(place.sequence, 100);
    assert_false(find(keydir, 2, &place));
    assert_false(find(keydir, 3, &place));
    assert_int_equal(bitcask_keydir_count(keydir), 1);
    put(keydir, 0, 200); /* it can be there again */
    assert_true(find(keydir, 0, &place));
    bitcask_keydir_expire(keydir, &batch->items[0]);
    assert_false(batch->items[0].moved);
    free(batch);
    bitcask_keydir_close(keydir);
}

static void sleep_ms(long ms)
{
    const struct timespec time = { 0, ms * 1000000 };

    (void)nanosleep(&time, NULL);
}

/* Somebody who waits, in a thread of its own. */
struct waiter {
    struct bitcask_keydir *keydir;
    void (*wait)(struct waiter *waiter);
    atomic_long pause_count;
    atomic_bool done;
    pthread_t thread;
};

static void count_pause(void *context)
{
    struct waiter *waiter = context;

    atomic_fetch_add(&waiter->pause_count, 1);
    sleep_ms(1);
}

static void wait_readers(struct waiter *waiter)
{
    bitcask_keydir_wait_readers(waiter->keydir, count_pause, waiter);
}

static void wait_writers(struct waiter *waiter)
{
    bitcask_keydir_wait_writers(waiter->keydir);
}

static void *run_waiter(void *context)
{
    struct waiter *waiter = context;

    waiter->wait(waiter);
    atomic_store(&waiter->done, true);
    return NULL;
}

static void start(struct waiter *waiter, struct bitcask_keydir *keydir,
                  void (*wait)(struct waiter *))
{
    memset(waiter, 0, sizeof *waiter);
    waiter->keydir = keydir;
    waiter->wait = wait;
    assert_int_equal(pthread_create(&waiter->thread, NULL, run_waiter, waiter), 0);
}

static void expect_done(struct waiter *waiter)
{
    assert_int_equal(pthread_join(waiter->thread, NULL), 0);
    assert_true(atomic_load(&waiter->done));
}

static struct bitcask_pin pin(struct bitcask_keydir *keydir, unsigned shard)
{
    struct bitcask_pin pin;

    bitcask_keydir_read_lock(keydir, shard);
    pin = bitcask_keydir_pin(keydir, shard);
    bitcask_keydir_read_unlock(keydir, shard);
    return pin;
}

static void nobody_waits_for_nobody(void **state)
{
    struct bitcask_keydir *keydir = create(100);
    struct waiter waiter = { .keydir = keydir };

    (void)state;
    for (int i = 0; i < 10; i++) {
        bitcask_keydir_unpin(keydir, pin(keydir, (unsigned)i));
        wait_readers(&waiter);
        wait_writers(&waiter);
    }
    assert_int_equal(atomic_load(&waiter.pause_count), 0);
    bitcask_keydir_close(keydir);
}

static void old_pins_are_waited_for(void **state)
{
    static const unsigned shards[] = { 0, 17, BITCASK_KEYDIR_SHARD_COUNT - 1 };
    struct bitcask_keydir *keydir = create(100);

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(shards); i++) {
        struct bitcask_pin first = pin(keydir, shards[i]);
        struct bitcask_pin second = pin(keydir, shards[i]);
        struct waiter waiter;

        start(&waiter, keydir, wait_readers);
        while (atomic_load(&waiter.pause_count) < 2)
            sleep_ms(1);
        bitcask_keydir_unpin(keydir, second);
        for (long before = atomic_load(&waiter.pause_count);
             atomic_load(&waiter.pause_count) < before + 3;)
            sleep_ms(1);
        assert_false(atomic_load(&waiter.done));
        bitcask_keydir_unpin(keydir, first);
        expect_done(&waiter);
    }
    bitcask_keydir_close(keydir);
}

/* Else a cask that is read all the time would never be merged. */
static void new_pins_are_not_waited_for(void **state)
{
    struct bitcask_keydir *keydir = create(100);
    struct bitcask_pin old = pin(keydir, 5), new;
    struct waiter waiter;

    (void)state;
    start(&waiter, keydir, wait_readers);
    while (atomic_load(&waiter.pause_count) < 1)
        sleep_ms(1);
    new = pin(keydir, 5);
    bitcask_keydir_unpin(keydir, old);
    expect_done(&waiter);

    /* The next one waits for it. */
    start(&waiter, keydir, wait_readers);
    while (atomic_load(&waiter.pause_count) < 1)
        sleep_ms(1);
    bitcask_keydir_unpin(keydir, new);
    expect_done(&waiter);
    bitcask_keydir_close(keydir);
}

static void waiting_begins_a_new_generation(void **state)
{
    struct bitcask_keydir *keydir = create(100);
    struct waiter waiter = { .keydir = keydir };
    uint64_t generation = bitcask_keydir_generation(keydir);

    (void)state;
    put(keydir, 1, 1000);
    drop(keydir, 2);
    wait_writers(&waiter);
    assert_int_equal(bitcask_keydir_generation(keydir), generation);
    for (uint64_t i = 1; i <= 3; i++) {
        wait_readers(&waiter);
        assert_int_equal(bitcask_keydir_generation(keydir), generation + i);
    }
    bitcask_keydir_close(keydir);
}

static void whoever_holds_a_writer_mutex_is_waited_for(void **state)
{
    static const unsigned shards[] = { 0, 200, BITCASK_KEYDIR_SHARD_COUNT - 1 };
    struct bitcask_keydir *keydir = create(100);

    (void)state;
    for (size_t i = 0; i < 2 * LENGTH_OF(shards); i++) {
        struct waiter waiter;

        bitcask_keydir_write_lock(keydir, shards[i / 2]);
        start(&waiter, keydir, i % 2 == 0 ? wait_writers : wait_readers);
        sleep_ms(30); /* one that does not wait would be done by now */
        assert_false(atomic_load(&waiter.done));
        bitcask_keydir_write_unlock(keydir, shards[i / 2]);
        expect_done(&waiter);
    }
    bitcask_keydir_close(keydir);
}

/*
 * A reader may use what it found until it unpins: here segments are numbers, and one is
 * "gone" when the merger says so after it has waited.
 */
enum {
    HOT_KEYS = 64,
    ROUND_COUNT = 200
};

struct race {
    struct bitcask_keydir *keydir;
    atomic_bool gone[ROUND_COUNT + 3];
    atomic_bool stop;
    atomic_long read_count;
    atomic_long error_count;
};

static void *run_reader(void *context)
{
    struct race *race = context;

    for (unsigned i = 0; !atomic_load(&race->stop); i++) {
        char text[32];
        struct bitcask_slice key = key_of(text, i % HOT_KEYS);
        uint64_t hash = bitcask_keydir_hash(race->keydir, key);
        unsigned shard = bitcask_keydir_shard(hash);
        struct bitcask_place place;
        struct bitcask_pin pinned;
        bool found;

        bitcask_keydir_read_lock(race->keydir, shard);
        found = bitcask_keydir_find(race->keydir, hash, key, &place);
        pinned = bitcask_keydir_pin(race->keydir, shard);
        bitcask_keydir_read_unlock(race->keydir, shard);
        if (!found || atomic_load(&race->gone[place.segment]))
            atomic_fetch_add(&race->error_count, 1);
        bitcask_keydir_unpin(race->keydir, pinned);
        atomic_fetch_add(&race->read_count, 1);
    }
    return NULL;
}

static void pause_shortly(void *context)
{
    (void)context;
    sleep_ms(1);
}

static void what_is_pinned_does_not_go_away(void **state)
{
    struct race *race = calloc(1, sizeof *race);
    struct batch *batch = batch_of();
    pthread_t threads[3];

    (void)state;
    assert_non_null(race);
    race->keydir = create(HOT_KEYS);
    for (size_t i = 0; i < LENGTH_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_reader, race), 0);
    while (atomic_load(&race->read_count) < 100)
        sleep_ms(1);
    for (uint32_t round = 0; round < ROUND_COUNT; round++) {
        batch->count = 0;
        for (unsigned i = 0; i < HOT_KEYS; i++) {
            add(batch, race->keydir, i, i + 1);
            batch->items[i].place = place_of(i + 1, round + 2);
        }
        call(batch, race->keydir, bitcask_keydir_repoint);
        bitcask_keydir_wait_readers(race->keydir, pause_shortly, NULL);
        atomic_store(&race->gone[round + 1], true);
    }
    atomic_store(&race->stop, true);
    for (size_t i = 0; i < LENGTH_OF(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&race->error_count), 0);
    bitcask_keydir_close(race->keydir);
    free(batch);
    free(race);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looking_tells_what_is_current_and_what_is_newest),
        cmocka_unit_test(what_is_hidden_is_not_current),
        cmocka_unit_test(repointing_moves_what_is_still_there),
        cmocka_unit_test(expiring_forgets_a_key_that_is_there_by_this_record),
        cmocka_unit_test(nobody_waits_for_nobody),
        cmocka_unit_test(old_pins_are_waited_for),
        cmocka_unit_test(new_pins_are_not_waited_for),
        cmocka_unit_test(waiting_begins_a_new_generation),
        cmocka_unit_test(whoever_holds_a_writer_mutex_is_waited_for),
        cmocka_unit_test(what_is_pinned_does_not_go_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
