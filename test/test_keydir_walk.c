/* SPDX-License-Identifier: MIT */
/* Walking over the keydir, and using it from many threads. */
#include "test/test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/keydir.h"

enum {
    KEYS_MAX = 200000,
};

/* How often each key was visited; a key is four bytes, its number. */
struct visits {
    uint8_t *counts; /* of KEYS_MAX */
    bool wrong;      /* a place that does not belong to its key */
    long fail_after; /* visits until one fails; below 0: none does */
};

static struct bitcask_slice key_of(uint32_t *number)
{
    struct bitcask_slice key = { number, sizeof *number };

    return key;
}

static struct bitcask_place place_of(uint32_t number, uint64_t version)
{
    struct bitcask_place place = {
        .sequence = version,
        .offset = (uint64_t)number << 8 | (version & 0xff),
        .segment = number % 100,
        .value_size = number,
    };

    return place;
}

static enum bitcask_status count_visit(struct bitcask_slice key,
                                       const struct bitcask_place *place, void *context)
{
    struct visits *visits = context;
    struct bitcask_place expected;
    uint32_t number;

    if (visits->fail_after == 0)
        return BITCASK_NO_MEMORY;
    if (visits->fail_after > 0)
        visits->fail_after--;
    memcpy(&number, key.data, sizeof number);
    expected = place_of(number, place->sequence);
    if (key.size != sizeof number || number >= KEYS_MAX ||
        place->offset != expected.offset || place->segment != expected.segment ||
        place->value_size != expected.value_size)
        visits->wrong = true;
    else
        visits->counts[number]++;
    return BITCASK_OK;
}

static void visits_init(struct visits *visits)
{
    memset(visits, 0, sizeof *visits);
    visits->counts = calloc(KEYS_MAX, 1);
    visits->fail_after = -1;
    assert_non_null(visits->counts);
}

static struct bitcask_keydir *create_for(uint64_t expected_keys)
{
    struct bitcask_keydir *keydir = NULL;

    assert_status(bitcask_keydir_create(&keydir, expected_keys, 99), BITCASK_OK);
    return keydir;
}

static struct bitcask_keydir *create(void)
{
    return create_for(0);
}

/* Without assertions, so that threads may call it too. */
static bool put(struct bitcask_keydir *keydir, uint32_t number, uint64_t version)
{
    struct bitcask_slice key = key_of(&number);
    uint64_t hash = bitcask_keydir_hash(keydir, key);
    unsigned shard = bitcask_keydir_shard(hash);
    struct bitcask_keydir_entry *entry;
    struct bitcask_place place;
    enum bitcask_status status;

    bitcask_keydir_write_lock(keydir, shard);
    status = bitcask_keydir_reserve(keydir, hash, key, true, &entry, &place);
    if (status == BITCASK_OK || status == BITCASK_NOT_FOUND) {
        place = place_of(number, version);
        bitcask_keydir_set(keydir, shard, entry, &place);
    }
    bitcask_keydir_write_unlock(keydir, shard);
    return status == BITCASK_OK || status == BITCASK_NOT_FOUND;
}

static bool take_away(struct bitcask_keydir *keydir, uint32_t number, bool hide)
{
    struct bitcask_slice key = key_of(&number);
    uint64_t hash = bitcask_keydir_hash(keydir, key);
    unsigned shard = bitcask_keydir_shard(hash);
    struct bitcask_keydir_entry *entry;
    struct bitcask_place place;
    enum bitcask_status status;

    bitcask_keydir_write_lock(keydir, shard);
    status = bitcask_keydir_reserve(keydir, hash, key, false, &entry, &place);
    if (status == BITCASK_OK && hide)
        bitcask_keydir_hide(keydir, shard, entry);
    else if (status == BITCASK_OK)
        bitcask_keydir_remove(keydir, shard, entry);
    bitcask_keydir_write_unlock(keydir, shard);
    return status == BITCASK_OK;
}

static void a_walk_over_nothing_ends(void **state)
{
    struct bitcask_keydir *keydir = create();
    struct bitcask_keydir_cursor cursor = { 0, 0 };
    struct visits visits;

    (void)state;
    visits_init(&visits);
    visits.fail_after = 0;
    while (bitcask_keydir_walk(keydir, &cursor, count_visit, &visits) == BITCASK_OK)
        continue;
    for (int i = 0; i < 3; i++)
        assert_status(bitcask_keydir_walk(keydir, &cursor, count_visit, &visits),
                      BITCASK_NOT_FOUND);
    bitcask_keydir_close(keydir);
    free(visits.counts);
}

static void every_key_is_visited_exactly_once(void **state)
{
    static const uint32_t counts[] = { 1, 255, 10000, KEYS_MAX };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(counts); i++) {
        struct bitcask_keydir *keydir = create();
        struct bitcask_keydir_cursor cursor = { 0, 0 };
        struct visits visits;

        visits_init(&visits);
        for (uint32_t n = 0; n < counts[i]; n++)
            assert_true(put(keydir, n, 1));
        while (bitcask_keydir_walk(keydir, &cursor, count_visit, &visits) == BITCASK_OK)
            continue;
        assert_false(visits.wrong);
        for (uint32_t n = 0; n < KEYS_MAX; n++)
            assert_int_equal(visits.counts[n], n < counts[i]);
        bitcask_keydir_close(keydir);
        free(visits.counts);
    }
}

/* Keys put between the steps make every table grow many times during the walk. */
static void growth_during_a_walk_makes_none_missed_or_seen_twice(void **state)
{
    static const uint32_t per_step[] = { 1, 100, 3000, 50000 };
    /* Tables begin with 8, 11 to 23, 32 or 41 buckets. */
    static const uint64_t expected[] = { 0, 2048, 2300, 3000, 4400, 5860, 7500 };
    enum {
        OLD = 5000
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(per_step) * LENGTH_OF(expected); i++) {
        uint32_t step = per_step[i % LENGTH_OF(per_step)];
        struct bitcask_keydir *keydir = create_for(expected[i / LENGTH_OF(per_step)]);
        struct bitcask_keydir_cursor cursor = { 0, 0 };
        struct visits visits;
        uint32_t next = OLD;

        visits_init(&visits);
        for (uint32_t n = 0; n < OLD; n++)
            assert_true(put(keydir, n, 1));
        while (bitcask_keydir_walk(keydir, &cursor, count_visit, &visits) == BITCASK_OK) {
            for (uint32_t n = 0; n < step && next < KEYS_MAX; n++)
                assert_true(put(keydir, next++, 1));
        }
        assert_true(next >= OLD + BITCASK_KEYDIR_SHARD_COUNT * step || next == KEYS_MAX);
        assert_false(visits.wrong);
        for (uint32_t n = 0; n < KEYS_MAX; n++) {
            if (n < OLD)
                assert_int_equal(visits.counts[n], 1);
            else
                assert_true(visits.counts[n] <= (n < next));
        }
        bitcask_keydir_close(keydir);
        free(visits.counts);
    }
}

/* Every third key stays; of the others some go, are hidden, or are put again. */
static void changes_during_a_walk_leave_the_others_alone(void **state)
{
    enum {
        COUNT = 30000
    };
    struct bitcask_keydir *keydir = create();
    struct bitcask_keydir_cursor cursor = { 0, 0 };
    struct visits visits;
    uint32_t changed = 0;

    (void)state;
    visits_init(&visits);
    for (uint32_t n = 0; n < COUNT; n++)
        assert_true(put(keydir, n, 1));
    while (bitcask_keydir_walk(keydir, &cursor, count_visit, &visits) == BITCASK_OK) {
        for (int i = 0; i < 100 && changed < COUNT; i++, changed++) {
            if (changed % 3 == 1)
                assert_true(take_away(keydir, changed, changed % 2 == 0));
            if (changed % 3 == 2)
                assert_true(put(keydir, changed, 2));
        }
    }
    assert_false(visits.wrong);
    for (uint32_t n = 0; n < COUNT; n++) {
        if (n % 3 == 1)
            assert_true(visits.counts[n] <= 1);
        else
            assert_int_equal(visits.counts[n], 1);
    }
    bitcask_keydir_close(keydir);
    free(visits.counts);
}

static void hidden_entries_are_not_visited(void **state)
{
    struct bitcask_keydir *keydir = create();
    struct bitcask_keydir_cursor cursor = { 0, 0 };
    struct visits visits;

    (void)state;
    visits_init(&visits);
    for (uint32_t n = 0; n < 1000; n++) {
        assert_true(put(keydir, n, 1));
        if (n % 2 == 0)
            assert_true(take_away(keydir, n, true));
    }
    while (bitcask_keydir_walk(keydir, &cursor, count_visit, &visits) == BITCASK_OK)
        continue;
    for (uint32_t n = 0; n < 1000; n++)
        assert_int_equal(visits.counts[n], n % 2);
    bitcask_keydir_close(keydir);
    free(visits.counts);
}

static void a_failed_visit_leaves_the_cursor_where_it_was(void **state)
{
    enum {
        COUNT = 2000
    };
    struct bitcask_keydir *keydir = create();
    struct visits visits;

    (void)state;
    for (uint32_t n = 0; n < COUNT; n++)
        assert_true(put(keydir, n, 1));
    for (long fail_after = 0; fail_after < 20; fail_after++) {
        struct bitcask_keydir_cursor cursor = { 0, 0 };
        enum bitcask_status status = BITCASK_OK;

        visits_init(&visits);
        while (status == BITCASK_OK) {
            struct bitcask_keydir_cursor before = cursor;
            uint8_t counts[COUNT];

            /* The first attempt at each step fails somewhere, and is forgotten. */
            memcpy(counts, visits.counts, COUNT);
            visits.fail_after = fail_after;
            status = bitcask_keydir_walk(keydir, &cursor, count_visit, &visits);
            visits.fail_after = -1;
            if (status != BITCASK_NO_MEMORY)
                continue;
            assert_memory_equal(&cursor, &before, sizeof cursor);
            memcpy(visits.counts, counts, COUNT);
            status = bitcask_keydir_walk(keydir, &cursor, count_visit, &visits);
        }
        assert_status(status, BITCASK_NOT_FOUND);
        for (uint32_t n = 0; n < COUNT; n++)
            assert_int_equal(visits.counts[n], 1);
        free(visits.counts);
    }
    bitcask_keydir_close(keydir);
}

/*
 * THREADS. Keys below STABLE are always there, with versions that only grow; those from
 * there on come and go.
 */
enum {
    STABLE = 4000,
    CHANGING = 4000,
    WRITER_COUNT = 2,
    ROUNDS = 12,
};

struct crew {
    struct bitcask_keydir *keydir;
    _Atomic unsigned working; /* writers that are not done */
    _Atomic long mistakes;    /* what must be 0 in the end */
};

struct member {
    struct crew *crew;
    uint32_t number;
};

static void check(struct crew *crew, bool condition)
{
    if (!condition)
        atomic_fetch_add(&crew->mistakes, 1);
}

static void *run_writer(void *context)
{
    struct member *member = context;
    struct crew *crew = member->crew;

    for (uint64_t round = 2; round < ROUNDS; round++) {
        for (uint32_t n = member->number; n < STABLE + CHANGING; n += WRITER_COUNT) {
            if (n < STABLE || round % 2 == 0)
                check(crew, put(crew->keydir, n, round));
            else
                check(crew, take_away(crew->keydir, n, false));
        }
    }
    atomic_fetch_sub(&crew->working, 1);
    return NULL;
}

static void *run_reader(void *context)
{
    struct member *member = context;
    struct crew *crew = member->crew;
    uint8_t seen[STABLE + CHANGING] = { 0 };

    while (atomic_load(&crew->working) > 0) {
        for (uint32_t n = 0; n < STABLE + CHANGING; n++) {
            struct bitcask_slice key = key_of(&n);
            uint64_t hash = bitcask_keydir_hash(crew->keydir, key);
            unsigned shard = bitcask_keydir_shard(hash);
            struct bitcask_place place, expected;
            bool found;

            bitcask_keydir_read_lock(crew->keydir, shard);
            found = bitcask_keydir_find(crew->keydir, hash, key, &place);
            bitcask_keydir_read_unlock(crew->keydir, shard);
            check(crew, found || n >= STABLE);
            if (!found)
                continue;
            expected = place_of(n, place.sequence);
            check(crew, place.sequence >= seen[n] && place.offset == expected.offset &&
                            place.value_size == expected.value_size);
            seen[n] = (uint8_t)place.sequence;
        }
    }
    return NULL;
}

static void *run_walker(void *context)
{
    struct member *member = context;
    struct crew *crew = member->crew;
    uint8_t *counts = calloc(KEYS_MAX, 1);

    check(crew, counts != NULL);
    while (counts != NULL && atomic_load(&crew->working) > 0) {
        struct bitcask_keydir_cursor cursor = { 0, 0 };
        struct visits visits = { .counts = counts, .fail_after = -1 };

        memset(counts, 0, KEYS_MAX);
        while (bitcask_keydir_walk(crew->keydir, &cursor, count_visit, &visits) ==
               BITCASK_OK)
            (void)bitcask_keydir_count(crew->keydir);
        check(crew, !visits.wrong);
        for (uint32_t n = 0; n < STABLE + CHANGING; n++)
            check(crew, n < STABLE ? counts[n] == 1 : counts[n] <= 1);
    }
    free(counts);
    return NULL;
}

static void readers_writers_and_walkers_get_along(void **state)
{
    void *(*const jobs[])(void *) = { run_writer, run_writer, run_reader,
                                      run_reader, run_walker, run_walker };
    struct crew crew = { .keydir = create(), .working = WRITER_COUNT };
    struct member members[LENGTH_OF(jobs)];
    pthread_t threads[LENGTH_OF(jobs)];

    (void)state;
    for (uint32_t n = 0; n < STABLE; n++)
        assert_true(put(crew.keydir, n, 1));
    for (size_t i = 0; i < LENGTH_OF(jobs); i++) {
        members[i].crew = &crew;
        members[i].number = (uint32_t)i;
        assert_int_equal(pthread_create(&threads[i], NULL, jobs[i], &members[i]), 0);
    }
    for (size_t i = 0; i < LENGTH_OF(jobs); i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crew.mistakes), 0);
    assert_int_equal(bitcask_keydir_count(crew.keydir), STABLE);
    bitcask_keydir_close(crew.keydir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_walk_over_nothing_ends),
        cmocka_unit_test(every_key_is_visited_exactly_once),
        cmocka_unit_test(growth_during_a_walk_makes_none_missed_or_seen_twice),
        cmocka_unit_test(changes_during_a_walk_leave_the_others_alone),
        cmocka_unit_test(hidden_entries_are_not_visited),
        cmocka_unit_test(a_failed_visit_leaves_the_cursor_where_it_was),
        cmocka_unit_test(readers_writers_and_walkers_get_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
