/* SPDX-License-Identifier: MIT */
/*
 * Many threads on one cask, to be run under ThreadSanitizer too: writers on keys of
 * their own and on keys of all, readers, iterators, and those who ask for numbers and
 * syncs, while files of 4 KiB rotate. Promise 1, and that nothing is ever torn.
 */
#include "test/test_cask.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/model.h"

enum {
    WRITER_COUNT = 3,
    OWN_KEY_COUNT = 6, /* of each writer */
    SHARED_KEY_COUNT = 4,
    STAYING_KEY_COUNT = 40,
    TEXT_SIZE_MAX = 800
};

/* One run with all threads. */
struct crowd {
    struct bitcask *cask;
    const char *path;
    uint64_t seed;
    uint64_t write_count; /* of each writer */
    _Atomic long wrong_count;
    _Atomic int writing_count; /* writers that are not done */

    /* The newest write of each own key that was acknowledged, and the newest begun. */
    _Atomic uint64_t acknowledged[WRITER_COUNT][OWN_KEY_COUNT];
    _Atomic uint64_t begun[WRITER_COUNT][OWN_KEY_COUNT];
};

struct member {
    struct crowd *crowd;
    unsigned number;
    pthread_t thread;
};

/* Assertions of cmocka are for the main thread alone. */
#define expect(crowd, condition) expect_true(crowd, condition, #condition, __LINE__)
static bool expect_true(struct crowd *crowd, bool condition, const char *words, int line)
{
    if (!condition) {
        (void)fprintf(stderr, "%s:%d: not so: %s; last detail: %s\n", __FILE__, line,
                      words, bitcask_error_detail());
        atomic_fetch_add(&crowd->wrong_count, 1);
    }
    return condition;
}

/* "KEY NUMBER " and then letters that follow from the number. */
static struct bitcask_slice make_value(char text[TEXT_SIZE_MAX], const char *key,
                                       uint64_t number)
{
    struct bitcask_slice value = { text, 0 };
    size_t rest = (size_t)(number * 131 % 500);

    value.size = (size_t)snprintf(text, TEXT_SIZE_MAX, "%s %" PRIu64 " ", key, number);
    memset(text + value.size, 'a' + (int)(number % 26), rest);
    value.size += rest;
    return value;
}

/* The number in a value of @key; 0: it is no value of @key, or torn. */
static uint64_t read_value(struct bitcask_slice key, struct bitcask_slice value)
{
    char text[TEXT_SIZE_MAX];
    char name[32];
    uint64_t number;

    if (key.size >= sizeof name || value.size <= key.size + 1 ||
        value.size >= sizeof text || memcmp(value.data, key.data, key.size) != 0)
        return 0;
    memcpy(name, key.data, key.size);
    name[key.size] = '\0';
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    number = strtoull(text + key.size, NULL, 10);
    return make_value(text, name, number).size == value.size &&
                   memcmp(text, value.data, value.size) == 0
               ? number
               : 0;
}

static void own_key(char text[32], unsigned writer, unsigned key)
{
    (void)snprintf(text, 32, "own %u %u", writer, key);
}

/* Every seventh write of an own key deletes it. */
static bool deletes(uint64_t number)
{
    return number % 7 == 0;
}

static void write_own(struct crowd *crowd, unsigned writer, unsigned key, uint64_t number)
{
    char name[32];
    char text[TEXT_SIZE_MAX];
    struct bitcask_slice value;
    enum bitcask_status status;

    own_key(name, writer, key);
    value = make_value(text, name, number);
    atomic_store(&crowd->begun[writer][key], number);
    if (deletes(number)) {
        status = bitcask_delete(crowd->cask, bitcask_text(name));
    } else if (number % 5 == 0) {
        const struct bitcask_batch_part parts[] = {
            { .key = bitcask_text("shared 0"), .deletes = true },
            { .key = bitcask_text(name), .value = value },
        };

        status = bitcask_write_batch(crowd->cask, parts, LENGTH_OF(parts));
    } else {
        status = bitcask_put(crowd->cask, bitcask_text(name), value);
    }
    (void)expect(crowd, status == BITCASK_OK);
    atomic_store(&crowd->acknowledged[writer][key], number);
}

static void write_shared(struct crowd *crowd, struct model_random *random,
                         uint64_t number)
{
    char name[32];
    char text[TEXT_SIZE_MAX];
    enum bitcask_status status;

    (void)snprintf(name, sizeof name, "shared %u",
                   (unsigned)model_random_below(random, SHARED_KEY_COUNT));
    if (model_random_below(random, 3) == 0) {
        status = bitcask_delete(crowd->cask, bitcask_text(name));
        (void)expect(crowd, status == BITCASK_OK || status == BITCASK_NOT_FOUND);
    } else {
        status =
            bitcask_put(crowd->cask, bitcask_text(name), make_value(text, name, number));
        (void)expect(crowd, status == BITCASK_OK);
    }
}

static void *run_writer(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    struct model_random random = { (crowd->seed + member->number) | 1 };
    uint64_t numbers[OWN_KEY_COUNT] = { 0 };

    for (uint64_t i = 1; i <= crowd->write_count; i++) {
        unsigned key = (unsigned)model_random_below(&random, OWN_KEY_COUNT);

        write_own(crowd, member->number, key, ++numbers[key]);
        if (i % 3 == 0)
            write_shared(crowd, &random, i);
    }
    atomic_fetch_sub(&crowd->writing_count, 1);
    return NULL;
}

/* Someone reads an own key: no older value than was acknowledged, nor going back. */
static void read_own(struct crowd *crowd, unsigned writer, unsigned key, uint64_t *seen,
                     struct bitcask_buffer *buffer)
{
    uint64_t oldest = atomic_load(&crowd->acknowledged[writer][key]);
    struct bitcask_slice name, value;
    char text[32];
    uint64_t number;
    enum bitcask_status status;

    own_key(text, writer, key);
    name = bitcask_text(text);
    status = bitcask_get(crowd->cask, name, buffer);
    if (status == BITCASK_NOT_FOUND) {
        uint64_t newest = atomic_load(&crowd->begun[writer][key]);
        bool can_be = oldest == 0 || deletes(oldest);

        for (number = oldest + 1; number <= newest; number++)
            can_be = can_be || deletes(number);
        (void)expect(crowd, can_be);
        return;
    }
    if (!expect(crowd, status == BITCASK_OK))
        return;
    value.data = buffer->data;
    value.size = buffer->size;
    number = read_value(name, value);
    (void)expect(crowd, number > 0);
    (void)expect(crowd, number >= oldest);
    (void)expect(crowd, number >= *seen);
    (void)expect(crowd, number <= atomic_load(&crowd->begun[writer][key]));
    *seen = number;
}

static void *run_reader(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    struct model_random random = { (crowd->seed + 100 + member->number) | 1 };
    uint64_t seen[WRITER_COUNT][OWN_KEY_COUNT] = { { 0 } };
    struct bitcask_buffer buffer = { 0 };

    while (atomic_load(&crowd->writing_count) > 0) {
        unsigned writer = (unsigned)model_random_below(&random, WRITER_COUNT);
        unsigned key = (unsigned)model_random_below(&random, OWN_KEY_COUNT);
        char name[32];
        enum bitcask_status status;

        read_own(crowd, writer, key, &seen[writer][key], &buffer);
        (void)snprintf(name, sizeof name, "shared %u", key % SHARED_KEY_COUNT);
        status = bitcask_get(crowd->cask, bitcask_text(name), &buffer);
        if (status == BITCASK_OK) {
            struct bitcask_slice value = { buffer.data, buffer.size };

            (void)expect(crowd, read_value(bitcask_text(name), value) > 0);
        } else {
            (void)expect(crowd, status == BITCASK_NOT_FOUND);
        }
        status = bitcask_exists(crowd->cask, bitcask_text("staying 1"));
        (void)expect(crowd, status == BITCASK_OK);
    }
    bitcask_buffer_release(&buffer);
    return NULL;
}

/* One iteration: those that stay come once, of the others none is wrong. */
static void iterate_once(struct crowd *crowd, struct bitcask *cask, bool sorted)
{
    const struct bitcask_iterator_options options = { .sorted = sorted };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    unsigned staying[STAYING_KEY_COUNT] = { 0 };
    enum bitcask_status status;
    size_t count = 0;

    if (!expect(crowd, bitcask_iterator_open(cask, &options, &iterator) == BITCASK_OK))
        return;
    while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK) {
        char text[32];
        unsigned number;

        (void)expect(crowd, key.size < sizeof text && read_value(key, value) > 0);
        memcpy(text, key.data, key.size);
        text[key.size] = '\0';
        if (sscanf(text, "staying %u", &number) == 1)
            staying[number]++;
        count++;
    }
    (void)expect(crowd, status == BITCASK_NOT_FOUND);
    for (unsigned i = 0; i < STAYING_KEY_COUNT; i++)
        (void)expect(crowd, staying[i] == 1);
    (void)expect(crowd, count <= STAYING_KEY_COUNT + SHARED_KEY_COUNT +
                                     WRITER_COUNT * OWN_KEY_COUNT);
    bitcask_iterator_close(iterator);
}

static void *run_iterator(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;

    for (unsigned i = 0; atomic_load(&crowd->writing_count) > 0; i++)
        iterate_once(crowd, crowd->cask, i % 2 == 1);
    return NULL;
}

static enum bitcask_status look_at_segment(const struct bitcask_segment_stat *segment,
                                           void *context)
{
    struct crowd *crowd = context;

    (void)expect(crowd, segment->live_size <= segment->data_size);
    (void)expect(crowd, segment->id > 0);
    return BITCASK_OK;
}

/* Numbers, syncs, and readers of the same cask in the same process. */
static void *run_observer(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    const struct bitcask_options read_only = { .read_only = true, .threads = 2 };
    uint64_t synced = 0;

    while (atomic_load(&crowd->writing_count) > 0) {
        struct bitcask *reader = NULL;
        struct bitcask *second = NULL;
        struct bitcask_stat before, after;

        (void)expect(crowd, bitcask_stat(crowd->cask, &before) == BITCASK_OK);
        (void)expect(crowd, before.synced_sequence <= before.last_sequence);
        (void)expect(crowd, before.synced_sequence >= synced);
        (void)expect(crowd, bitcask_sync(crowd->cask) == BITCASK_OK);
        (void)expect(crowd, bitcask_stat(crowd->cask, &after) == BITCASK_OK);
        (void)expect(crowd, after.synced_sequence >= before.last_sequence);
        synced = after.synced_sequence;
        (void)expect(crowd, bitcask_stat_segments(crowd->cask, look_at_segment, crowd) ==
                                BITCASK_OK);
        (void)expect(crowd, bitcask_open(&second, crowd->path, NULL) == BITCASK_LOCKED);
        if (expect(crowd, bitcask_open(&reader, crowd->path, &read_only) == BITCASK_OK))
            iterate_once(crowd, reader, true);
        (void)bitcask_close(reader);
    }
    return NULL;
}

/* What each key's newest acknowledged write says, and nothing else. */
static void check_end(struct crowd *crowd)
{
    struct bitcask_stat stat = test_cask_stat(crowd->cask);
    uint64_t found = STAYING_KEY_COUNT;

    for (unsigned writer = 0; writer < WRITER_COUNT; writer++) {
        for (unsigned key = 0; key < OWN_KEY_COUNT; key++) {
            uint64_t number = atomic_load(&crowd->acknowledged[writer][key]);
            char name[32];
            char text[TEXT_SIZE_MAX];
            bool live = number > 0 && !deletes(number);

            own_key(name, writer, key);
            text[make_value(text, name, number).size] = '\0';
            test_cask_expect(crowd->cask, name, live ? text : NULL);
            found += live;
        }
    }
    for (unsigned key = 0; key < SHARED_KEY_COUNT; key++) {
        char name[32];

        (void)snprintf(name, sizeof name, "shared %u", key);
        found += bitcask_exists(crowd->cask, bitcask_text(name)) == BITCASK_OK;
    }
    assert_int_equal(stat.key_count, found);
}

static void run_crowd(struct test_disk *disk, const struct bitcask_options *options,
                      uint64_t write_count)
{
    static void *(*const roles[])(void *) = {
        run_writer, run_writer,   run_writer,   run_reader,
        run_reader, run_iterator, run_observer,
    };
    struct member members[LENGTH_OF(roles)];
    struct crowd *crowd = calloc(1, sizeof *crowd);
    struct bitcask_stat before;

    assert_non_null(crowd);
    test_disk_clear(disk);
    crowd->path = disk->path;
    crowd->seed = model_seed();
    crowd->write_count = write_count;
    atomic_store(&crowd->writing_count, WRITER_COUNT);
    /* Not through the fault_io: its lock would hide from TSan what has none. */
    assert_status(bitcask_open(&crowd->cask, disk->path, options), BITCASK_OK);
    for (unsigned i = 0; i < STAYING_KEY_COUNT; i++) {
        char name[32];
        char text[TEXT_SIZE_MAX];

        (void)snprintf(name, sizeof name, "staying %u", i);
        assert_status(
            bitcask_put(crowd->cask, bitcask_text(name), make_value(text, name, i + 1)),
            BITCASK_OK);
    }

    for (unsigned i = 0; i < LENGTH_OF(roles); i++) {
        members[i].crowd = crowd;
        members[i].number = i;
        assert_int_equal(pthread_create(&members[i].thread, NULL, roles[i], &members[i]),
                         0);
    }
    for (unsigned i = 0; i < LENGTH_OF(roles); i++)
        assert_int_equal(pthread_join(members[i].thread, NULL), 0);
    assert_int_equal(atomic_load(&crowd->wrong_count), 0);

    check_end(crowd);
    before = test_cask_stat(crowd->cask);
    assert_true(before.segment_count > 2);
    test_cask_close(crowd->cask);
    for (int reopen = 0; reopen < 2; reopen++) {
        assert_status(bitcask_open(&crowd->cask, disk->path, options), BITCASK_OK);
        check_end(crowd);
        assert_int_equal(test_cask_stat(crowd->cask).last_sequence, before.last_sequence);
        assert_int_equal(test_cask_stat(crowd->cask).live_size, before.live_size);
        assert_int_equal(test_cask_stat(crowd->cask).dead_size, before.dead_size);
        test_cask_close(crowd->cask);
    }
    free(crowd);
}

static void threads_agree_without_syncs(void **state)
{
    const struct bitcask_options options = { .file_size_max = 4096,
                                             .sync = BITCASK_SYNC_NONE };

    run_crowd(*state, &options, 500);
}

static void threads_agree_with_syncs_in_the_background(void **state)
{
    const struct bitcask_options options = { .file_size_max = 4096,
                                             .sync_interval_ms = 1 };

    run_crowd(*state, &options, 500);
}

static void threads_agree_without_the_background(void **state)
{
    const struct bitcask_options options = { .file_size_max = 4096,
                                             .no_background = true,
                                             .sync_interval_ms = 1 };

    run_crowd(*state, &options, 300);
}

static void threads_agree_when_every_write_is_synced(void **state)
{
    const struct bitcask_options options = { .file_size_max = 4096,
                                             .sync = BITCASK_SYNC_ALWAYS };

    run_crowd(*state, &options, 120);
}

static void threads_agree_without_mappings(void **state)
{
    const struct bitcask_options options = { .file_size_max = 4096, .no_mapping = true };

    run_crowd(*state, &options, 300);
}

/* Of openers that come at the same time exactly one may write. */
struct race {
    const char *path;
    pthread_barrier_t start;
    _Atomic int won, locked, other;
};

static void *run_opener(void *context)
{
    struct race *race = context;
    struct bitcask *cask = NULL;

    (void)pthread_barrier_wait(&race->start);
    switch (bitcask_open(&cask, race->path, NULL)) {
    case BITCASK_OK:
        atomic_fetch_add(&race->won, 1);
        break;
    case BITCASK_LOCKED:
        atomic_fetch_add(&race->locked, 1);
        break;
    default:
        atomic_fetch_add(&race->other, 1);
        break;
    }
    (void)pthread_barrier_wait(&race->start);
    (void)bitcask_close(cask);
    return NULL;
}

static void of_many_openers_one_wins(void **state)
{
    struct test_disk *disk = *state;

    for (int round = 0; round < 20; round++) {
        struct race race = { .path = disk->path };
        pthread_t threads[4];

        if (round % 2 == 0) /* while it is created, too */
            test_disk_clear(disk);
        assert_int_equal(pthread_barrier_init(&race.start, NULL, LENGTH_OF(threads)), 0);
        for (size_t i = 0; i < LENGTH_OF(threads); i++)
            assert_int_equal(pthread_create(&threads[i], NULL, run_opener, &race), 0);
        for (size_t i = 0; i < LENGTH_OF(threads); i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(race.won, 1);
        assert_int_equal(race.locked, LENGTH_OF(threads) - 1);
        assert_int_equal(race.other, 0);
        assert_int_equal(pthread_barrier_destroy(&race.start), 0);
    }
}

/*
 * Reads made by the writing thread itself from within its own call to the system: they
 * would wait for ever if they waited for the disk.
 */
struct inside {
    struct bitcask *cask;
    long read_count;
    bool busy;
};

static void read_inside(enum fault_call call, void *context)
{
    struct inside *inside = context;

    if (inside->busy || (call != FAULT_WRITE && call != FAULT_SYNC))
        return;
    inside->busy = true;
    for (int i = 0; i < 2; i++) {
        const struct bitcask_iterator_options options = { .sorted = i == 1 };
        struct bitcask_iterator *iterator = NULL;
        struct bitcask_slice key, value;

        test_cask_expect(inside->cask, "staying", "value");
        (void)bitcask_exists(inside->cask, bitcask_text("key"));
        assert_status(bitcask_iterator_open(inside->cask, &options, &iterator),
                      BITCASK_OK);
        while (bitcask_iterator_next(iterator, &key, &value) == BITCASK_OK)
            inside->read_count++;
        bitcask_iterator_close(iterator);
    }
    inside->busy = false;
}

static void readers_never_wait_for_the_disk_of_a_writer(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .file_size_max = 4096,
                                             .no_background = true,
                                             .sync = BITCASK_SYNC_ALWAYS };
    const struct bitcask_batch_part part = { .key = bitcask_text("key"),
                                             .value = bitcask_text("batch") };
    struct inside inside = { .cask = test_cask_open(disk, &options) };

    test_cask_put(inside.cask, "staying", "value");
    disk->fault.before = read_inside;
    disk->fault.before_context = &inside;
    test_history_write(inside.cask, 2, 60);
    test_cask_put(inside.cask, "key", "value");
    test_cask_delete(inside.cask, "key");
    assert_status(bitcask_write_batch(inside.cask, &part, 1), BITCASK_OK);
    assert_status(bitcask_sync(inside.cask), BITCASK_OK);
    disk->fault.before = NULL;
    assert_true(inside.read_count > 100);
    test_cask_close(inside.cask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(threads_agree_without_syncs),
        disk_test(threads_agree_with_syncs_in_the_background),
        disk_test(threads_agree_without_the_background),
        disk_test(threads_agree_when_every_write_is_synced),
        disk_test(threads_agree_without_mappings),
        disk_test(of_many_openers_one_wins),
        disk_test(readers_never_wait_for_the_disk_of_a_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
