/* SPDX-License-Identifier: MIT */
/* Merges that begin by themselves: when, how they end, and what they cost. */
#include "test/test_cask.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bitcask/file_name.h"
#include "bitcask/format.h"
#include "bitcask/merge.h"
#include "test/model.h"

enum {
    VALUE_SIZE = 100,
    RECORD_SIZE = BITCASK_RECORD_HEADER_SIZE + 4 + VALUE_SIZE,
    RECORD_COUNT = 100, /* more than these are above the trigger */
    /* Of RECORD_COUNT + 1: half is dead, but not so much that no rate counts. */
    SLOW_KEYS = 49
};

static const struct bitcask_merge_options everything = { .choice = BITCASK_MERGE_ALL };

/* What a cask has that merges by itself, as soon as there is a record more. */
static struct bitcask_options automatic(void)
{
    const struct bitcask_options options = {
        .merge_trigger_size = BITCASK_FILE_HEADER_SIZE + RECORD_COUNT * RECORD_SIZE,
        .merge_rate = UINT64_MAX,
    };

    return options;
}

static void put(struct bitcask *cask, unsigned key)
{
    char text[16], value[VALUE_SIZE + 1];

    (void)snprintf(text, sizeof text, "k%03u", key);
    (void)snprintf(value, sizeof value, "%0*u", VALUE_SIZE, key);
    test_cask_put(cask, text, value);
}

/* @count puts of one key after the other, of which there are @key_count. */
static void put_many(struct bitcask *cask, unsigned count, unsigned key_count)
{
    for (unsigned i = 0; i < count; i++)
        put(cask, i % key_count);
}

static void expect_keys(struct bitcask *cask, unsigned key_count)
{
    for (unsigned key = 0; key < key_count; key++) {
        char text[16], value[VALUE_SIZE + 1];

        (void)snprintf(text, sizeof text, "k%03u", key);
        (void)snprintf(value, sizeof value, "%0*u", VALUE_SIZE, key);
        test_cask_expect(cask, text, value);
    }
    assert_int_equal(test_cask_stat(cask).key_count, key_count);
}

static bool is_due(struct bitcask *cask)
{
    bool due = false;

    assert_status(bitcask_merge_due(cask, &due), BITCASK_OK);
    return due;
}

static void sleep_ms(long ms)
{
    const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&time, NULL);
}

/* So long that a merge which could begin would have. */
static void give_it_time(void)
{
    sleep_ms(250);
}

/* Wait until @count merges have been made; the limit is for one that never comes. */
static void wait_for_merges(struct bitcask *cask, uint64_t count)
{
    for (int i = 0; i < 6000 && test_cask_stat(cask).merge_count < count; i++)
        sleep_ms(10);
    assert_true(test_cask_stat(cask).merge_count >= count);
}

static void due_begins_one_byte_above_the_trigger(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = automatic();

    options.merge_auto_off = true;
    for (int shift = -1; shift <= 1; shift++) {
        struct bitcask *cask;

        test_disk_clear(disk);
        options.merge_trigger_size = automatic().merge_trigger_size + (uint64_t)shift;
        cask = test_cask_open(disk, &options);
        put_many(cask, RECORD_COUNT - 1, 10);
        assert_false(is_due(cask));
        put(cask, 0);
        assert_int_equal(is_due(cask), shift < 0);
        put(cask, 0);
        assert_true(is_due(cask));
        test_cask_close(cask);
    }
}

static void due_begins_at_the_percentage(void **state)
{
    static const uint32_t percents[] = { 1, 10, 25, 50, 0, 75, 99, 100 };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(percents); i++) {
        const struct bitcask_options options = { .merge_trigger_size = 1,
                                                 .merge_dead_percent = percents[i],
                                                 .merge_auto_off = true };
        unsigned percent = percents[i] != 0 ? percents[i] : 50;
        struct bitcask *cask;

        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        /* Of a hundred records so many will be dead. */
        for (unsigned key = 0; key + percent < 100; key++)
            put(cask, key);
        for (unsigned j = 0; j + 1 < percent; j++)
            put(cask, 0);
        assert_false(is_due(cask));
        if (percent < 100)
            put(cask, 0);
        else
            test_cask_delete(cask, "k000");
        assert_true(is_due(cask));
        test_cask_close(cask);
    }
}

static void a_cask_without_garbage_is_never_due(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .merge_trigger_size = 1,
                                             .merge_dead_percent = 1,
                                             .no_background = true };
    struct bitcask *cask = test_cask_open(disk, &options);

    assert_false(is_due(cask));
    put_many(cask, 500, 500);
    assert_false(is_due(cask));
    assert_status(bitcask_merge_by_itself(cask), BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).merge_count, 0);
    test_cask_close(cask);
}

static void the_first_record_above_the_trigger_begins_a_merge(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = automatic();
    struct bitcask *cask = test_cask_open(disk, &options);
    struct bitcask_stat stat;

    put_many(cask, RECORD_COUNT, 10);
    give_it_time();
    assert_int_equal(test_cask_stat(cask).merge_count, 0);
    assert_int_equal(test_cask_stat(cask).segment_count, 1);
    put(cask, 0); /* all of it lies in the active file */
    wait_for_merges(cask, 1);
    stat = test_cask_stat(cask);
    assert_int_equal(stat.data_size, BITCASK_FILE_HEADER_SIZE + 10 * RECORD_SIZE);
    assert_int_equal(stat.merge_copied_size, stat.data_size);
    assert_int_equal(stat.merge_freed_size, (RECORD_COUNT - 9) * RECORD_SIZE);
    assert_int_equal(stat.merge_failure, 0);
    expect_keys(cask, 10);
    /* And the next one comes as well. */
    put_many(cask, RECORD_COUNT, 10);
    wait_for_merges(cask, 2);
    expect_keys(cask, 10);
    test_cask_close(cask);
}

static void it_can_be_switched_off(void **state)
{
    struct test_disk *disk = *state;

    for (int i = 0; i < 2; i++) {
        struct bitcask_options options = automatic();
        struct bitcask *cask;

        test_disk_clear(disk);
        options.merge_auto_off = i == 0;
        options.no_background = i == 1;
        cask = test_cask_open(disk, &options);
        put_many(cask, 3 * RECORD_COUNT, 10);
        give_it_time();
        assert_true(is_due(cask));
        assert_int_equal(test_cask_stat(cask).merge_count, 0);
        assert_status(bitcask_merge(cask, NULL, NULL), BITCASK_OK);
        assert_int_equal(test_cask_stat(cask).merge_count, 1);
        assert_false(is_due(cask));
        test_cask_close(cask);
    }
}

static void a_pause_keeps_it_from_beginning(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = automatic();
    struct bitcask *cask = test_cask_open(disk, &options);

    assert_status(bitcask_merge_pause(cask), BITCASK_OK);
    put_many(cask, 2 * RECORD_COUNT, 10);
    give_it_time();
    assert_int_equal(test_cask_stat(cask).merge_count, 0);
    assert_status(bitcask_merge_resume(cask), BITCASK_OK);
    wait_for_merges(cask, 1);
    expect_keys(cask, 10);
    /* One that is paused does not keep the cask open. */
    assert_status(bitcask_merge_pause(cask), BITCASK_OK);
    put_many(cask, 2 * RECORD_COUNT, 10);
    give_it_time();
    test_cask_close(cask);
}

static enum bitcask_status count_data_file(const char *name, void *context)
{
    size_t *count = context;
    uint64_t id;

    *count += bitcask_name_parse(name, &id) == BITCASK_NAME_DATA;
    return BITCASK_OK;
}

static size_t count_data_files(struct test_disk *disk)
{
    size_t count = 0;

    assert_status(
        disk->io->directory_list(disk->io, disk->directory, count_data_file, &count),
        BITCASK_OK);
    return count;
}

/* A cask in which a merge is on its way that would take hours. */
static struct bitcask *begin_slow_merge(struct test_disk *disk)
{
    struct bitcask_options options = automatic();
    struct bitcask *cask;

    options.merge_rate = 1;
    cask = test_cask_open(disk, &options);
    put_many(cask, RECORD_COUNT + 1, SLOW_KEYS);
    for (int i = 0; i < 6000 && count_data_files(disk) == 1; i++)
        sleep_ms(10);
    assert_int_equal(count_data_files(disk), 2); /* the second one is being written */
    assert_int_equal(test_cask_stat(cask).merge_count, 0);
    return cask;
}

static void closing_ends_a_merge_on_its_way(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = begin_slow_merge(disk);

    test_cask_close(cask);
    assert_int_equal(count_data_files(disk), 1); /* nothing half done */
    cask = test_cask_open(disk, NULL);
    expect_keys(cask, SLOW_KEYS);
    assert_int_equal(test_cask_stat(cask).cut_count, 0);
    test_cask_close(cask);
}

/*
 * Clocks of which the test decides: no time passes until the cask is being closed, and
 * then so much for the merge, not for who closes.
 */
static struct {
    pthread_t closer;
    atomic_bool closing;
    uint64_t took_ms;
} clocks;

static uint64_t clock_ms(struct bitcask_io *io)
{
    bool later =
        atomic_load(&clocks.closing) && !pthread_equal(pthread_self(), clocks.closer);

    (void)io;
    return later ? 1000 + clocks.took_ms : 1000;
}

/* Without this the pace would be kept in no time. */
static void sleep_without_a_clock(struct bitcask_io *io, uint32_t ms)
{
    (void)io;
    (void)ms;
    sleep_ms(1);
}

/*
 * Close a cask in which a step of a merge is on its way that would take hours and then
 * hurries, but has taken @took_ms when it is next looked at. Whether it came to its end.
 */
static bool is_merged_by_close(struct test_disk *disk, uint64_t took_ms)
{
    const uint64_t before = BITCASK_FILE_HEADER_SIZE + (RECORD_COUNT + 1) * RECORD_SIZE;
    const uint64_t after = BITCASK_FILE_HEADER_SIZE + SLOW_KEYS * RECORD_SIZE;
    struct bitcask_options options = automatic();
    struct bitcask *cask;
    uint64_t size;

    test_disk_clear(disk);
    clocks.closer = pthread_self();
    clocks.took_ms = took_ms;
    atomic_store(&clocks.closing, false);
    disk->io->monotonic_ms = clock_ms;
    disk->io->sleep_ms = sleep_without_a_clock;
    cask = begin_slow_merge(disk);
    atomic_store(&clocks.closing, true);
    test_cask_close(cask);

    options.merge_auto_off = true;
    cask = test_cask_open(disk, &options);
    expect_keys(cask, SLOW_KEYS);
    size = test_cask_stat(cask).data_size;
    assert_true(size == before || size == after);
    test_cask_close(cask);
    return size == after;
}

/* Else programs that open a cask for a moment only would never get a merge done. */
static void closing_lets_a_step_end_that_is_quick(void **state)
{
    assert_true(is_merged_by_close(*state, 0));
    assert_true(is_merged_by_close(*state, 100));
    assert_true(is_merged_by_close(*state, 249));
}

static void closing_gives_up_a_step_that_takes_longer(void **state)
{
    assert_false(is_merged_by_close(*state, 250));
    assert_false(is_merged_by_close(*state, 10000));
}

static void it_makes_way_for_one_that_is_called(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = begin_slow_merge(disk);

    assert_status(bitcask_merge(cask, &everything, NULL), BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).dead_size, 0);
    assert_true(test_cask_stat(cask).merge_count >= 1);
    assert_false(is_due(cask));
    expect_keys(cask, SLOW_KEYS);
    test_cask_close(cask);
}

static void reads_and_writes_go_on_meanwhile(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = begin_slow_merge(disk);

    expect_keys(cask, SLOW_KEYS);
    put_many(cask, 400, 80);
    expect_keys(cask, 80);
    test_cask_delete(cask, "k079");
    expect_keys(cask, 79);
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    expect_keys(cask, 79);
    test_cask_close(cask);
}

static void a_failure_is_shown_and_it_is_tried_again(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = automatic();
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_RENAME),
                                     .count = FAULT_FOREVER,
                                     .error = EACCES };
    struct bitcask *cask = test_cask_open(disk, &options);

    put_many(cask, RECORD_COUNT, 10);
    fault_io_arm(&disk->fault, &plan); /* no MANIFEST can be written */
    put(cask, 0);
    for (int i = 0; i < 6000 && test_cask_stat(cask).merge_failure == 0; i++)
        sleep_ms(10);
    assert_int_equal(test_cask_stat(cask).merge_failure, -BITCASK_IO);
    assert_int_equal(test_cask_stat(cask).merge_count, 0);
    expect_keys(cask, 10);
    fault_io_disarm(&disk->fault);
    wait_for_merges(cask, 1); /* without another write */
    for (int i = 0; i < 6000 && test_cask_stat(cask).merge_failure != 0; i++)
        sleep_ms(10);
    assert_int_equal(test_cask_stat(cask).merge_failure, 0);
    expect_keys(cask, 10);
    test_cask_close(cask);
}

/*
 * What is due when a cask is opened is not left until somebody writes, nor done at a
 * pace: programs that open a cask for a moment only would never get it done.
 */
static void an_open_cask_that_is_due_merges(void **state)
{
    enum {
        PUTS = 2 * RECORD_COUNT,
        KEYS = PUTS * 2 / 5 /* 60 % are dead: not so much that no rate counts */
    };
    struct test_disk *disk = *state;
    struct bitcask_options options = automatic();
    struct bitcask *cask;

    options.merge_auto_off = true;
    cask = test_cask_open(disk, &options);
    put_many(cask, PUTS, KEYS);
    test_cask_close(cask);
    options.merge_auto_off = false;
    options.merge_rate = 1; /* byte a second */
    cask = test_cask_open(disk, &options);
    wait_for_merges(cask, 1);
    expect_keys(cask, KEYS);
    test_cask_close(cask);
}

/*
 * Merges as they come by themselves, but in this thread and after every few writes, so
 * that it is repeatable and none is spared: in all no more than 100/p times what was
 * appended is written.
 */
static void write_amplification_is_bounded(void **state)
{
    static const uint32_t percents[] = { 5, 25, 50, 75, 90 };
    struct test_disk *disk = *state;
    struct model_random random = { model_seed() | 1 };

    test_disk_skip_syncs(disk);
    for (size_t i = 0; i < LENGTH_OF(percents); i++) {
        const struct bitcask_options options = {
            .file_size_max = 1 << 20,
            .merge_trigger_size = 1 << 16,
            .merge_dead_percent = percents[i],
            .no_background = true,
        };
        struct bitcask *cask;
        struct bitcask_stat stat;

        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        for (int write = 0; write < 12000; write++) {
            char key[16];
            static const char value[1000];
            struct bitcask_slice bytes = { value,
                                           (size_t)model_random_below(&random, 400) };
            enum bitcask_status status;

            (void)snprintf(key, sizeof key, "key%u",
                           (unsigned)model_random_below(&random, 700));
            status = model_random_below(&random, 5) == 0
                         ? bitcask_delete(cask, bitcask_text(key))
                         : bitcask_put(cask, bitcask_text(key), bytes);
            assert_true(status == BITCASK_OK || status == BITCASK_NOT_FOUND);
            if (write % 16 == 0)
                assert_status(bitcask_merge_by_itself(cask), BITCASK_OK);
        }
        assert_status(bitcask_merge_by_itself(cask), BITCASK_OK);
        assert_false(is_due(cask));
        stat = test_cask_stat(cask);
        printf("  %u percent: %" PRIu64 " merges, appended %" PRIu64 ", copied %" PRIu64
               "\n",
               (unsigned)percents[i], stat.merge_count, stat.appended_size,
               stat.merge_copied_size);
        assert_true(stat.merge_count > 0);
        assert_true((stat.appended_size + stat.merge_copied_size) * percents[i] <=
                    stat.appended_size * 100);
        test_cask_close(cask);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(due_begins_one_byte_above_the_trigger),
        disk_test(due_begins_at_the_percentage),
        disk_test(a_cask_without_garbage_is_never_due),
        disk_test(the_first_record_above_the_trigger_begins_a_merge),
        disk_test(it_can_be_switched_off),
        disk_test(a_pause_keeps_it_from_beginning),
        disk_test(closing_ends_a_merge_on_its_way),
        disk_test(closing_lets_a_step_end_that_is_quick),
        disk_test(closing_gives_up_a_step_that_takes_longer),
        disk_test(it_makes_way_for_one_that_is_called),
        disk_test(reads_and_writes_go_on_meanwhile),
        disk_test(a_failure_is_shown_and_it_is_tried_again),
        disk_test(an_open_cask_that_is_due_merges),
        disk_test(write_amplification_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
