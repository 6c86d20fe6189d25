/* SPDX-License-Identifier: MIT */
/* A merge on its way: how far it is, and how it is stopped, paused and limited in time.
 */
#include "test/test_cask.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bitcask/cask.h"
#include "bitcask/format.h"

/* A cask of twelve files of four records each, of which a step takes four. */
enum {
    VALUE_SIZE = 1000000,
    RECORD_SIZE = BITCASK_RECORD_HEADER_SIZE + 3 + VALUE_SIZE,
    FILE_COUNT = 12,
    KEY_COUNT = 4 * FILE_COUNT,
    STEP_FILES = 4,
    FILE_SIZE = BITCASK_FILE_HEADER_SIZE + 4 * RECORD_SIZE
};

static const struct bitcask_options options = {
    .file_size_max = 4 << 20,
    .no_background = true,
};

static struct bitcask_slice key_of(char text[8], unsigned key)
{
    (void)snprintf(text, 8, "k%02u", key);
    return bitcask_text(text);
}

static struct bitcask *make_cask(struct test_disk *disk)
{
    struct bitcask *cask;
    uint8_t *value = test_noise(VALUE_SIZE, 1);

    test_disk_skip_syncs(disk);
    cask = test_cask_open(disk, &options);
    for (unsigned key = 0; key < KEY_COUNT; key++) {
        char text[8];

        value[0] = (uint8_t)key;
        assert_status(bitcask_put(cask, key_of(text, key),
                                  (struct bitcask_slice){ value, VALUE_SIZE }),
                      BITCASK_OK);
    }
    free(value);
    assert_int_equal(test_cask_stat(cask).segment_count, FILE_COUNT);
    return cask;
}

static void expect_contents(struct bitcask *cask)
{
    uint8_t *value = test_noise(VALUE_SIZE, 1);
    struct bitcask_buffer got = { 0 };

    for (unsigned key = 0; key < KEY_COUNT; key++) {
        char text[8];

        value[0] = (uint8_t)key;
        assert_status(bitcask_get(cask, key_of(text, key), &got), BITCASK_OK);
        assert_int_equal(got.size, VALUE_SIZE);
        assert_memory_equal(got.data, value, VALUE_SIZE);
    }
    bitcask_buffer_release(&got);
    free(value);
}

/* What the callback has seen, and what it is to do. */
struct watch {
    struct bitcask *cask;
    struct bitcask_merge_progress last;
    uint64_t largest_stride;
    long calls;
    uint64_t stop_size; /* 0: never */
    void (*act)(struct watch *watch);
};

static enum bitcask_status on_progress(const struct bitcask_merge_progress *progress,
                                       void *context)
{
    struct watch *watch = context;

    if (watch->calls++ > 0) {
        assert_int_equal(progress->total_size, watch->last.total_size);
        assert_true(progress->done_size >= watch->last.done_size);
        assert_true(progress->copied_size >= watch->last.copied_size);
    }
    assert_true(progress->done_size <= progress->total_size);
    if (progress->done_size - watch->last.done_size > watch->largest_stride)
        watch->largest_stride = progress->done_size - watch->last.done_size;
    watch->last = *progress;
    if (watch->act != NULL)
        watch->act(watch);
    return watch->stop_size != 0 && progress->done_size >= watch->stop_size
               ? BITCASK_TOO_BIG
               : BITCASK_OK;
}

static struct bitcask_merge_options watched(struct watch *watch)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL,
                                               .progress = on_progress,
                                               .context = watch };

    return all;
}

static void progress_is_told_every_mebibyte_to_the_end(void **state)
{
    struct bitcask *cask = make_cask(*state);
    struct watch watch = { .cask = cask };
    struct bitcask_merge_options all = watched(&watch);

    assert_status(bitcask_merge(cask, &all, NULL), BITCASK_OK);
    assert_int_equal(watch.last.total_size, (uint64_t)FILE_COUNT * FILE_SIZE);
    assert_true(watch.last.done_size >=
                (uint64_t)FILE_COUNT * (FILE_SIZE - BITCASK_FILE_HEADER_SIZE) -
                    RECORD_SIZE);
    assert_true(watch.last.copied_size > watch.last.total_size / 2);
    assert_true(watch.largest_stride <= 1 << 20);
    expect_contents(cask);
    test_cask_close(cask);
}

static void a_stop_keeps_what_is_finished_and_no_more(void **state)
{
    static const struct {
        uint64_t stop_size;
        uint64_t done_count;
    } cases[] = {
        { 1, 0 },
        { (STEP_FILES - 1) * (uint64_t)FILE_SIZE, 0 },
        { (STEP_FILES + 1) * (uint64_t)FILE_SIZE, STEP_FILES },
        { (2 * STEP_FILES + 1) * (uint64_t)FILE_SIZE, 2 * STEP_FILES },
    };
    struct test_disk *disk = *state;
    struct bitcask *cask = make_cask(disk);

    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct watch watch = { .cask = cask, .stop_size = cases[i].stop_size };
        struct bitcask_merge_options all = watched(&watch);
        struct bitcask_merge_report report;
        struct bitcask_stat before = test_cask_stat(cask), after;

        assert_status(bitcask_merge(cask, &all, &report), BITCASK_TOO_BIG);
        assert_int_equal(report.input_count, cases[i].done_count);
        assert_int_equal(report.output_count, cases[i].done_count);
        assert_int_equal(report.taken_count, FILE_COUNT);
        assert_int_equal(report.left_count, FILE_COUNT - cases[i].done_count);
        after = test_cask_stat(cask);
        assert_int_equal(after.segment_count, FILE_COUNT);
        assert_int_equal(after.data_size, before.data_size);
        assert_int_equal(after.live_size, before.live_size);
        assert_int_equal(after.dead_size, 0);
        assert_int_equal(after.retired_count, 0);
        /* Nothing half written is left: data, hints, MANIFEST, LOCK, RESERVE. */
        assert_true(test_disk_count(disk) <= 2 * FILE_COUNT + 3);
        expect_contents(cask);
    }
    test_cask_close(cask);
    cask = test_cask_open(disk, &options);
    expect_contents(cask);
    test_cask_close(cask);
}

static void when_the_time_is_over_the_rest_is_left(void **state)
{
    static const struct {
        uint64_t max_ms; /* at ten files in four seconds */
        uint64_t done_count;
        uint64_t ended_ms; /* the first file may take four times as long */
    } cases[] = {
        { 90, 0, 360 },
        { 110, 1, 399 },
        { 450, 1, 450 },
        { 2500, 6, 2500 },
        { 60000, FILE_COUNT, 4799 },
    };
    struct test_disk *disk = *state;
    struct bitcask *cask = make_cask(disk);

    atomic_store(&disk->fault.monotonic_ms, 1000);
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL,
                                                   .rate = 10 * FILE_SIZE / 4,
                                                   .max_ms = cases[i].max_ms };
        struct bitcask_merge_report report;

        printf("  %d ms\n", (int)cases[i].max_ms);
        assert_status(bitcask_merge(cask, &all, &report), BITCASK_OK);
        assert_int_equal(report.input_count, cases[i].done_count);
        assert_int_equal(report.left_count, FILE_COUNT - cases[i].done_count);
        assert_true(report.elapsed_ms >= cases[i].ended_ms &&
                    report.elapsed_ms <= cases[i].ended_ms + 10);
        expect_contents(cask);
    }
    test_cask_close(cask);
}

static enum bitcask_status visit_nothing(const struct bitcask_segment_stat *segment,
                                         void *context)
{
    (void)segment;
    (void)context;
    return BITCASK_OK;
}

/* Everything that a callback may do, and what it may not. */
static void use_the_cask(struct watch *watch)
{
    struct bitcask_iterator_options from = { .sorted = true };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key;
    bool due;

    test_cask_put(watch->cask, "new", "value");
    test_cask_expect(watch->cask, "new", "value");
    test_cask_delete(watch->cask, "new");
    test_cask_expect(watch->cask, "new", NULL);
    assert_status(bitcask_sync(watch->cask), BITCASK_OK);
    assert_int_equal(test_cask_stat(watch->cask).key_count, KEY_COUNT);
    assert_status(bitcask_stat_segments(watch->cask, visit_nothing, NULL), BITCASK_OK);
    assert_status(bitcask_iterator_open(watch->cask, &from, &iterator), BITCASK_OK);
    assert_status(bitcask_iterator_next(iterator, &key, NULL), BITCASK_OK);
    assert_memory_equal(key.data, "k00", 3);
    bitcask_iterator_close(iterator);
    assert_status(bitcask_merge_due(watch->cask, &due), BITCASK_OK);
    assert_status(bitcask_merge_pause(watch->cask), BITCASK_OK);
    assert_status(bitcask_merge_pause(watch->cask), BITCASK_OK);
    assert_status(bitcask_merge_resume(watch->cask), BITCASK_OK);
    assert_status(bitcask_merge_resume(watch->cask), BITCASK_OK);
    assert_status(bitcask_merge(watch->cask, NULL, NULL), BITCASK_MISUSE);
    assert_detail("callback");
}

static void the_callback_may_use_the_cask(void **state)
{
    struct bitcask *cask = make_cask(*state);
    struct watch watch = { .cask = cask, .act = use_the_cask };
    struct bitcask_merge_options all = watched(&watch);
    struct bitcask_merge_report report;

    assert_status(bitcask_merge(cask, &all, &report), BITCASK_OK);
    assert_int_equal(report.input_count, FILE_COUNT);
    assert_true(watch.calls > FILE_COUNT);
    expect_contents(cask);
    test_cask_close(cask);
}

struct merge_thread {
    struct bitcask *cask;
    atomic_bool started;
    atomic_bool ended;
    enum bitcask_status status;
};

static void *run_merge(void *context)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    struct merge_thread *thread = context;

    atomic_store(&thread->started, true);
    thread->status = bitcask_merge(thread->cask, &all, NULL);
    atomic_store(&thread->ended, true);
    return NULL;
}

static void sleep_ms(long ms)
{
    const struct timespec time = { 0, ms * 1000000 };

    (void)nanosleep(&time, NULL);
}

static void pauses_are_counted_and_until_the_last_nothing_happens(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = make_cask(disk);
    struct merge_thread thread = { .cask = cask, .status = BITCASK_MISUSE };
    struct test_image image = { 0 };
    pthread_t id;

    assert_status(bitcask_sync(cask), BITCASK_OK);
    assert_status(bitcask_merge_pause(cask), BITCASK_OK);
    assert_status(bitcask_merge_pause(cask), BITCASK_OK);
    test_image_take(&image, disk->path);
    assert_int_equal(pthread_create(&id, NULL, run_merge, &thread), 0);
    while (!atomic_load(&thread.started))
        sleep_ms(1);
    assert_status(bitcask_merge_resume(cask), BITCASK_OK);
    sleep_ms(50); /* a merge that did not wait would have begun by now */
    test_image_unchanged(&image, disk->path);
    assert_false(atomic_load(&thread.ended));
    assert_status(bitcask_merge_resume(cask), BITCASK_OK);
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_status(thread.status, BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).merge_count, 1);
    assert_status(bitcask_merge_resume(cask), BITCASK_MISUSE);
    expect_contents(cask);
    test_image_release(&image);
    test_cask_close(cask);
}

/* Somewhere in the middle of a merge. */
static void a_merge_on_its_way_is_paused(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = make_cask(disk);
    struct merge_thread thread = { .cask = cask, .status = BITCASK_MISUSE };
    pthread_t id;

    assert_int_equal(pthread_create(&id, NULL, run_merge, &thread), 0);
    while (!atomic_load(&thread.started))
        sleep_ms(1);
    for (int i = 0; i < 10; i++) {
        struct test_image image = { 0 };

        assert_status(bitcask_merge_pause(cask), BITCASK_OK);
        test_image_take(&image, disk->path);
        sleep_ms(1);
        test_image_unchanged(&image, disk->path);
        test_image_release(&image);
        assert_status(bitcask_merge_resume(cask), BITCASK_OK);
        sleep_ms(2);
    }
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_status(thread.status, BITCASK_OK);
    expect_contents(cask);
    test_cask_close(cask);
}

/* A get that has found a place, and has not read from it yet. */
static void what_is_being_read_is_not_removed(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = make_cask(disk);
    struct merge_thread thread = { .cask = cask, .status = BITCASK_MISUSE };
    long before = fault_io_count(&disk->fault, FAULT_REMOVE);
    struct bitcask_pin pin;
    pthread_t id;

    bitcask_keydir_read_lock(cask->keydir, 7);
    pin = bitcask_keydir_pin(cask->keydir, 7);
    bitcask_keydir_read_unlock(cask->keydir, 7);
    assert_int_equal(pthread_create(&id, NULL, run_merge, &thread), 0);
    for (int i = 0; i < 50; i++) {
        sleep_ms(10);
        assert_int_equal(fault_io_count(&disk->fault, FAULT_REMOVE), before);
    }
    assert_false(atomic_load(&thread.ended));
    bitcask_keydir_unpin(cask->keydir, pin);
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_status(thread.status, BITCASK_OK);
    assert_true(fault_io_count(&disk->fault, FAULT_REMOVE) > before);
    expect_contents(cask);
    test_cask_close(cask);
}

static void a_second_merge_waits_for_the_first(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = make_cask(disk);
    struct merge_thread threads[3];
    pthread_t ids[3];

    for (size_t i = 0; i < LENGTH_OF(threads); i++) {
        threads[i] = (struct merge_thread){ .cask = cask, .status = BITCASK_MISUSE };
        assert_int_equal(pthread_create(&ids[i], NULL, run_merge, &threads[i]), 0);
    }
    for (size_t i = 0; i < LENGTH_OF(threads); i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_status(threads[i].status, BITCASK_OK);
    }
    assert_int_equal(test_cask_stat(cask).merge_count, LENGTH_OF(threads));
    assert_int_equal(test_cask_stat(cask).segment_count, FILE_COUNT);
    expect_contents(cask);
    test_cask_close(cask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(progress_is_told_every_mebibyte_to_the_end),
        disk_test(a_stop_keeps_what_is_finished_and_no_more),
        disk_test(when_the_time_is_over_the_rest_is_left),
        disk_test(the_callback_may_use_the_cask),
        disk_test(pauses_are_counted_and_until_the_last_nothing_happens),
        disk_test(a_merge_on_its_way_is_paused),
        disk_test(what_is_being_read_is_not_removed),
        disk_test(a_second_merge_waits_for_the_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
