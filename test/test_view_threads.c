/* SPDX-License-Identifier: MIT */
/*
 * Views taken by some threads and released by others, while there are puts, deletes,
 * rotations and merges, called ones and those that begin by themselves. To be run under
 * ThreadSanitizer and AddressSanitizer too.
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
    KEY_COUNT = 24,
    SHELF_COUNT = 60, /* where views lie until some thread takes them */
    VIEWER_COUNT = 3,
    WRITES_A_MERGE = 200,
    VALUE_SIZE_MAX = 700
};

struct shelf {
    pthread_mutex_t lock;
    struct bitcask_view view;
    unsigned key;
};

struct crowd {
    struct bitcask *cask;
    struct shelf shelves[SHELF_COUNT];
    uint64_t seed;
    long merge_count_min; /* and until then it is written */
    bool maps;            /* and until a view was seen to hold something back */
    _Atomic bool done;    /* the writer is */
    _Atomic long wrong_count;
    _Atomic long view_count;
    _Atomic long merge_count;
    _Atomic uint64_t most_held;
};

struct member {
    struct crowd *crowd;
    unsigned number;
    pthread_t thread;
};

/* Assertions of cmocka are for the main thread alone. */
#define expect(crowd, condition) expect_true(crowd, condition, #condition, __LINE__)
static void expect_true(struct crowd *crowd, bool condition, const char *words, int line)
{
    if (condition)
        return;
    (void)fprintf(stderr, "%s:%d: not so: %s; last detail: %s\n", __FILE__, line, words,
                  bitcask_error_detail());
    atomic_fetch_add(&crowd->wrong_count, 1);
}

static struct bitcask_slice key_of(char text[16], unsigned key)
{
    (void)snprintf(text, 16, "key %u", key);
    return bitcask_text(text);
}

/* The number of the write, and bytes that follow from it and the key. */
static struct bitcask_slice make_value(uint8_t bytes[VALUE_SIZE_MAX], unsigned key,
                                       uint64_t number)
{
    struct bitcask_slice value = { bytes, sizeof number + (size_t)(number * 131 % 600) };

    memcpy(bytes, &number, sizeof number);
    for (size_t i = sizeof number; i < value.size; i++)
        bytes[i] = (uint8_t)(i * 7 + number * 13 + key);
    return value;
}

static bool is_value_of(struct bitcask_slice value, unsigned key)
{
    uint8_t bytes[VALUE_SIZE_MAX];
    uint64_t number;
    struct bitcask_slice wanted;

    if (value.data == NULL || value.size < sizeof number)
        return false;
    memcpy(&number, value.data, sizeof number);
    wanted = make_value(bytes, key, number);
    return wanted.size == value.size && memcmp(wanted.data, value.data, value.size) == 0;
}

/* That a view was seen at the right moment takes luck, so there is patience. */
static bool goes_on(struct crowd *crowd)
{
    long merge_count = atomic_load(&crowd->merge_count);

    return merge_count < crowd->merge_count_min ||
           (crowd->maps && atomic_load(&crowd->most_held) == 0 &&
            merge_count < 1000 * crowd->merge_count_min);
}

static void *run_writer(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    struct model_random random = { crowd->seed | 1 };

    for (uint64_t number = 1; goes_on(crowd); number++) {
        unsigned key = (unsigned)model_random_below(&random, KEY_COUNT);
        uint8_t bytes[VALUE_SIZE_MAX];
        char text[16];
        enum bitcask_status status;

        if (model_random_below(&random, 8) == 0) {
            status = bitcask_delete(crowd->cask, key_of(text, key));
            expect(crowd, status == BITCASK_OK || status == BITCASK_NOT_FOUND);
        } else {
            status = bitcask_put(crowd->cask, key_of(text, key),
                                 make_value(bytes, key, number));
            expect(crowd, status == BITCASK_OK);
        }
        while ((long)(number / WRITES_A_MERGE) > atomic_load(&crowd->merge_count))
            bitcask_io_posix()->sleep_ms(NULL, 1); /* not too far ahead of merges */
    }
    atomic_store(&crowd->done, true);
    return NULL;
}

/* Half of them are hardly ever cleared. */
static struct shelf *choose_shelf(struct crowd *crowd, struct model_random *random)
{
    bool any = model_random_below(random, 1000) == 0;

    return &crowd->shelves[model_random_below(random,
                                              any ? SHELF_COUNT : SHELF_COUNT / 2)];
}

/* Put a view on a shelf, and look at the one that was there before it goes. */
static void *run_viewer(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    struct model_random random = { (crowd->seed + member->number) | 1 };

    while (!atomic_load(&crowd->done)) {
        struct shelf *shelf = choose_shelf(crowd, &random);
        unsigned key = (unsigned)model_random_below(&random, KEY_COUNT);
        struct bitcask_view view, before;
        unsigned key_before;
        char text[16];
        enum bitcask_status status = bitcask_view(crowd->cask, key_of(text, key), &view);

        expect(crowd, status == BITCASK_OK || status == BITCASK_NOT_FOUND);
        if (status == BITCASK_OK)
            expect(crowd, is_value_of(view.value, key));
        (void)pthread_mutex_lock(&shelf->lock);
        before = shelf->view;
        key_before = shelf->key;
        shelf->view = view;
        shelf->key = key;
        (void)pthread_mutex_unlock(&shelf->lock);
        if (before.value.data != NULL)
            expect(crowd, is_value_of(before.value, key_before));
        bitcask_view_release(&before);
        atomic_fetch_add(&crowd->view_count, 1);
    }
    return NULL;
}

static void *run_merger(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;

    for (unsigned i = 0; !atomic_load(&crowd->done); i++) {
        const struct bitcask_merge_options options = {
            .choice = i % 3 == 0 ? BITCASK_MERGE_ALL : BITCASK_MERGE_POLICY
        };

        expect(crowd, bitcask_merge(crowd->cask, &options, NULL) == BITCASK_OK);
        atomic_fetch_add(&crowd->merge_count, 1);
    }
    return NULL;
}

static void *run_observer(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;

    while (!atomic_load(&crowd->done)) {
        struct bitcask_stat stat;

        expect(crowd, bitcask_stat(crowd->cask, &stat) == BITCASK_OK);
        expect(crowd, stat.view_count <= SHELF_COUNT + 2 * VIEWER_COUNT);
        expect(crowd, stat.held_count <= SHELF_COUNT + 2 * VIEWER_COUNT);
        expect(crowd, stat.held_size >= stat.held_count * 64);
        if (stat.held_count > atomic_load(&crowd->most_held))
            atomic_store(&crowd->most_held, stat.held_count);
    }
    return NULL;
}

/* The shelves hold what they held, also when all is still. */
static void clear_shelves(struct crowd *crowd)
{
    struct bitcask_stat stat = test_cask_stat(crowd->cask);
    uint64_t count = 0;

    for (unsigned i = 0; i < SHELF_COUNT; i++) {
        struct shelf *shelf = &crowd->shelves[i];

        if (shelf->view.value.data != NULL) {
            assert_true(is_value_of(shelf->view.value, shelf->key));
            count++;
        }
        bitcask_view_release(&shelf->view);
        (void)pthread_mutex_destroy(&shelf->lock);
    }
    assert_int_equal(stat.view_count, count);
    stat = test_cask_stat(crowd->cask);
    assert_int_equal(stat.view_count, 0);
    assert_int_equal(stat.held_count, 0);
    assert_int_equal(stat.held_size, 0);
}

/* With @io NULL without the fault_io, whose lock would hide from TSan what has none. */
static void run_crowd(struct test_disk *disk, struct bitcask_io *io,
                      const struct bitcask_options *options, long merge_count_min)
{
    static void *(*const roles[])(void *) = {
        run_viewer, run_viewer, run_viewer, run_writer, run_merger, run_observer,
    };
    struct member members[LENGTH_OF(roles)];
    struct crowd *crowd = calloc(1, sizeof *crowd);

    assert_non_null(crowd);
    crowd->seed = model_seed();
    crowd->merge_count_min = merge_count_min;
    crowd->maps = !options->no_mapping;
    test_disk_clear(disk);
    for (unsigned i = 0; i < SHELF_COUNT; i++)
        assert_int_equal(pthread_mutex_init(&crowd->shelves[i].lock, NULL), 0);
    if (io == NULL)
        io = bitcask_io_posix();
    assert_status(bitcask_open_with(io, &crowd->cask, disk->path, options), BITCASK_OK);
    for (unsigned i = 0; i < LENGTH_OF(roles); i++) {
        members[i] = (struct member){ .crowd = crowd, .number = i };
        assert_int_equal(pthread_create(&members[i].thread, NULL, roles[i], &members[i]),
                         0);
    }
    for (unsigned i = 0; i < LENGTH_OF(roles); i++)
        assert_int_equal(pthread_join(members[i].thread, NULL), 0);
    assert_int_equal(atomic_load(&crowd->wrong_count), 0);
    assert_true(atomic_load(&crowd->view_count) > 10);
    assert_true(options->no_mapping == (atomic_load(&crowd->most_held) == 0));
    clear_shelves(crowd);
    test_cask_close(crowd->cask);
    free(crowd);
}

static void threads_share_views_while_merges_are_called(void **state)
{
    const struct bitcask_options options = { .file_size_max = 4096,
                                             .merge_auto_off = true,
                                             .sync = BITCASK_SYNC_NONE };

    run_crowd(*state, NULL, &options, 60);
}

static void threads_share_views_while_merges_begin_by_themselves(void **state)
{
    const struct bitcask_options options = { .file_size_max = 4096,
                                             .merge_trigger_size = 16384,
                                             .merge_rate = UINT64_MAX,
                                             .sync_interval_ms = 1 };
    struct test_disk *disk = *state;

    run_crowd(disk, NULL, &options, 40);
    run_crowd(disk, disk->io, &options, 20); /* nothing stays mapped */
}

static void threads_share_views_without_mappings(void **state)
{
    const struct bitcask_options options = { .file_size_max = 4096,
                                             .no_mapping = true,
                                             .no_background = true,
                                             .sync = BITCASK_SYNC_NONE };

    run_crowd(*state, NULL, &options, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(threads_share_views_while_merges_are_called),
        disk_test(threads_share_views_while_merges_begin_by_themselves),
        disk_test(threads_share_views_without_mappings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
