/* SPDX-License-Identifier: MIT */
/* What the threads of a cask and its merges must wait for. */
#include "test/test_cask.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "bitcask/inspect.h"

static const struct bitcask_options options = {
    .file_size_max = 4096,
    .sync = BITCASK_SYNC_NONE,
    .merge_auto_off = true,
};

static void sleep_ms(long ms)
{
    const struct timespec time = { 0, ms * 1000000 };

    (void)nanosleep(&time, NULL);
}

/* Also those that were not written yet when it was closed. */
static void a_close_leaves_a_hint_beside_every_sealed_file(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_inspect_cask seen;
    struct bitcask *cask;
    size_t sealed_count = 0;

    test_disk_skip_syncs(disk);
    cask = test_cask_open(disk, &options);
    test_history_write(cask, 1, 3000);
    test_cask_close(cask);
    assert_status(bitcask_inspect_directory(disk->path, &seen), BITCASK_OK);
    for (size_t i = 0; i < seen.segment_count; i++) {
        if (seen.segments[i].state != BITCASK_INSPECT_SEALED)
            continue;
        sealed_count++;
        assert_true(seen.segments[i].hint_exists);
    }
    assert_true(sealed_count > 20);
    bitcask_inspect_cask_release(&seen);
}

/* The first read of a file is that of the thread which writes hints. */
struct block {
    atomic_bool armed;
    atomic_bool met;
    atomic_bool released;
};

static void block_first_read(enum fault_call call, void *context)
{
    struct block *block = context;

    if (call != FAULT_READ || !atomic_exchange(&block->armed, false))
        return;
    atomic_store(&block->met, true);
    while (!atomic_load(&block->released))
        sleep_ms(1);
}

/* A call in a thread of its own. */
struct work {
    struct bitcask *cask;
    pthread_t thread;
    atomic_bool ended;
    enum bitcask_status status;
};

static void *run_merge(void *context)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    struct work *work = context;

    work->status = bitcask_merge(work->cask, &all, NULL);
    atomic_store(&work->ended, true);
    return NULL;
}

static void *run_pause(void *context)
{
    struct work *work = context;

    work->status = bitcask_merge_pause(work->cask);
    atomic_store(&work->ended, true);
    return NULL;
}

static void begin(struct work *work, struct bitcask *cask, void *(*run)(void *))
{
    work->cask = cask;
    work->status = BITCASK_MISUSE;
    atomic_store(&work->ended, false);
    assert_int_equal(pthread_create(&work->thread, NULL, run, work), 0);
}

static void end(struct work *work)
{
    assert_int_equal(pthread_join(work->thread, NULL), 0);
    assert_status(work->status, BITCASK_OK);
}

/* As long as one that does not wait would take, and longer. */
static void expect_waiting(const struct work *work)
{
    for (int i = 0; i < 40; i++) {
        sleep_ms(10);
        assert_false(atomic_load(&work->ended));
    }
}

static void a_segment_stays_while_its_hint_is_written(void **state)
{
    struct test_disk *disk = *state;
    struct block block = { false, false, false };
    struct bitcask *cask = test_cask_open(disk, &options);
    struct work merge;
    uint64_t number = 0;

    atomic_store(&block.armed, true);
    disk->fault.before_context = &block;
    disk->fault.before = block_first_read;
    while (!atomic_load(&block.met) && number < 10000) {
        number++;
        test_history_write(cask, number, number);
    }
    assert_true(atomic_load(&block.met));
    begin(&merge, cask, run_merge);
    expect_waiting(&merge);
    atomic_store(&block.released, true);
    end(&merge);
    disk->fault.before = NULL;
    assert_int_equal(test_history_check(cask), number);
    test_cask_close(cask);
}

/* What it has found a place in a get still reads: so inputs are not removed yet. */
static void a_pause_waits_until_a_step_is_finished(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &options);
    struct work merge, pause;
    struct bitcask_pin pin;
    bool finishing = false;

    test_history_write(cask, 1, 100);
    bitcask_keydir_read_lock(cask->keydir, 7);
    pin = bitcask_keydir_pin(cask->keydir, 7);
    bitcask_keydir_read_unlock(cask->keydir, 7);
    begin(&merge, cask, run_merge);
    while (!finishing) {
        sleep_ms(1);
        (void)pthread_mutex_lock(&cask->merges.lock);
        finishing = cask->merges.finishing;
        cask->merges.resting = finishing; /* as at the next step, if there were one */
        (void)pthread_mutex_unlock(&cask->merges.lock);
    }
    begin(&pause, cask, run_pause);
    expect_waiting(&pause);
    bitcask_keydir_unpin(cask->keydir, pin);
    end(&pause);
    assert_status(bitcask_merge_resume(cask), BITCASK_OK);
    end(&merge);
    assert_int_equal(test_history_check(cask), 100);
    test_cask_close(cask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_close_leaves_a_hint_beside_every_sealed_file),
        disk_test(a_segment_stays_while_its_hint_is_written),
        disk_test(a_pause_waits_until_a_step_is_finished),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
