/* SPDX-License-Identifier: MIT */
/*
 * Whole casks under a schedule, with the threads of their own, which load, write hints
 * and sync: what was put is there, and the same seed goes the same way.
 */
#include "test/schedule.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/cask.h"
#include "test/sim_disk.h"
#include "test/test_support.h"

enum {
    SEED_COUNT = 100,
    WRITER_COUNT = 3,
    KEY_COUNT = 15 /* of each writer */
};

struct crowd {
    struct sim_disk *disk;
    struct bitcask *cask;
    enum bitcask_sync_mode sync;
    int started_count;
    int wrong_count;
};

static void name_key(char name[32], int writer, int key)
{
    (void)snprintf(name, 32, "writer %d key %d", writer, key);
}

static void *write_keys(void *context)
{
    struct crowd *crowd = context;
    int writer = crowd->started_count++;
    char name[32];
    char value[300];

    memset(value, 'v', sizeof value);
    for (int i = 0; i < KEY_COUNT; i++) {
        struct bitcask_slice slice = { value, sizeof value };

        name_key(name, writer, i);
        crowd->wrong_count +=
            bitcask_put(crowd->cask, bitcask_text(name), slice) != BITCASK_OK;
    }
    return NULL;
}

static void expect_keys(struct crowd *crowd)
{
    struct bitcask_buffer value = { 0 };
    char name[32];

    for (int i = 0; i < WRITER_COUNT * KEY_COUNT; i++) {
        name_key(name, i / KEY_COUNT, i % KEY_COUNT);
        crowd->wrong_count +=
            bitcask_get(crowd->cask, bitcask_text(name), &value) != BITCASK_OK ||
            value.size != 300;
    }
    bitcask_buffer_release(&value);
}

static bool open_cask(struct crowd *crowd)
{
    const struct bitcask_options options = {
        .file_size_max = 4096,
        .threads = 3,
        .sync = crowd->sync,
        .sync_interval_ms = 5,
    };

    if (bitcask_open_with(sim_disk_io(crowd->disk), &crowd->cask, "/cask", &options) ==
        BITCASK_OK)
        return true;
    crowd->wrong_count++;
    return false;
}

static void close_cask(struct crowd *crowd)
{
    crowd->wrong_count += bitcask_close(crowd->cask) != BITCASK_OK;
}

static void fill_cask_and_reopen(void *context)
{
    struct crowd *crowd = context;
    pthread_t threads[WRITER_COUNT];

    if (!open_cask(crowd))
        return;
    for (int i = 0; i < WRITER_COUNT; i++) {
        if (pthread_create(&threads[i], NULL, write_keys, crowd) != 0)
            abort();
    }
    for (int i = 0; i < WRITER_COUNT; i++)
        (void)pthread_join(threads[i], NULL);
    expect_keys(crowd);
    close_cask(crowd);
    if (!open_cask(crowd))
        return;
    expect_keys(crowd);
    close_cask(crowd);
}

static void move_clock(uint64_t ms, void *context)
{
    sim_disk_pass_ms(context, ms);
}

/* The way it took. */
static uint64_t run_cask(uint64_t seed, enum bitcask_sync_mode sync)
{
    struct crowd crowd = { .disk = sim_disk_new(seed), .sync = sync };

    schedule_on_time(move_clock, crowd.disk);
    schedule_run(seed, fill_cask_and_reopen, &crowd);
    schedule_on_time(NULL, NULL);
    assert_int_equal(crowd.wrong_count, 0);
    assert_int_equal(sim_disk_open_count(crowd.disk), 0);
    sim_disk_free(crowd.disk);
    return schedule_trace_hash();
}

static void a_cask_goes_the_same_way_twice(void **state)
{
    static const enum bitcask_sync_mode modes[] = { BITCASK_SYNC_NONE,
                                                    BITCASK_SYNC_INTERVAL,
                                                    BITCASK_SYNC_ALWAYS };

    (void)state;
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        for (size_t i = 0; i < LENGTH_OF(modes); i++) {
            uint64_t hash = run_cask(seed, modes[i]);

            if (run_cask(seed, modes[i]) != hash)
                fail_msg("seed %" PRIu64 ", mode %zu: two ways", seed, i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cask_goes_the_same_way_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
