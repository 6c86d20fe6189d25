/* SPDX-License-Identifier: MIT */
/*
 * Openers beside others: the lock, in this process and in another; children made by
 * fork(); descriptors that run out; rights that are missing.
 * test_open_read_only.c has the readers.
 */
#include "test/test_cask.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct bitcask_options read_only = { .read_only = true };

/* The detail of a LOCKED names the process @pid. */
static void assert_names_process(pid_t pid)
{
    char words[48];

    (void)snprintf(words, sizeof words, "process %ld ", (long)pid);
    assert_detail(words);
}

static void a_second_writer_in_this_process_is_locked_out(void **state)
{
    struct test_disk *disk = *state;
    struct test_image before = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_history_write(cask, 1, 60);
    test_image_take(&before, disk->path);
    assert_status(test_cask_refused(disk, NULL), BITCASK_LOCKED);
    assert_names_process(getpid());
    assert_detail("read-only"); /* says what can be done */
    test_image_unchanged(&before, disk->path);
    assert_status(test_cask_refused(disk, NULL), BITCASK_LOCKED);
    test_history_write(cask, 61, 120);
    test_cask_close(cask);

    cask = test_cask_open(disk, NULL);
    assert_int_equal(test_history_check(cask), 120);
    test_cask_close(cask);
    test_image_release(&before);
}

/* A process that holds the lock until it is killed. */
struct holder {
    struct test_disk *disk;
    pid_t pid;
};

static void hold(struct holder *holder, uint64_t write_count)
{
    int ready[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    (void)fflush(NULL);
    holder->pid = fork();
    assert_true(holder->pid >= 0);
    if (holder->pid == 0) {
        struct bitcask *cask = NULL;

        (void)close(ready[0]);
        child_check(bitcask_open(&cask, holder->disk->path, &small_files) == BITCASK_OK);
        for (uint64_t number = 1; number <= write_count; number++)
            child_check(test_history_try(cask, number) == BITCASK_OK);
        (void)alarm(CHILD_SECONDS_MAX); /* should the parent fail before it kills */
        child_check(write(ready[1], "x", 1) == 1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
}

static void kill_holder(struct holder *holder)
{
    int child_status;

    assert_int_equal(kill(holder->pid, SIGKILL), 0);
    assert_int_equal(waitpid(holder->pid, &child_status, 0), holder->pid);
}

static void a_writer_in_another_process_locks_others_out(void **state)
{
    struct test_disk *disk = *state;
    struct holder holder = { .disk = disk };
    struct test_image before = { 0 };
    struct bitcask *cask;

    hold(&holder, 100);
    test_image_take(&before, disk->path);
    assert_status(test_cask_refused(disk, NULL), BITCASK_LOCKED);
    assert_names_process(holder.pid);
    test_image_unchanged(&before, disk->path);
    cask = test_cask_open_read_only(disk);
    assert_int_equal(test_history_check(cask), 100);
    test_cask_close(cask);
    kill_holder(&holder);

    cask = test_cask_open(disk, NULL);
    assert_int_equal(test_history_check(cask), 100);
    test_cask_close(cask);
    test_image_release(&before);
}

static void a_lock_file_with_a_number_locks_nobody_out(void **state)
{
    struct test_disk *disk = *state;
    const char *rows[] = { "", "1\n", "99999999\n", "not a number" };
    char own[32];

    (void)snprintf(own, sizeof own, "%ld\n", (long)getpid());
    for (size_t i = 0; i <= LENGTH_OF(rows); i++) {
        const char *text = i < LENGTH_OF(rows) ? rows[i] : own;

        test_disk_write(disk, "LOCK", text, strlen(text));
        test_cask_close(test_cask_open(disk, NULL));
    }
}

static void a_lock_without_a_number_is_reported_all_the_same(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_disk_truncate(disk, "LOCK", 0);
    assert_status(test_cask_refused(disk, NULL), BITCASK_LOCKED);
    test_disk_write(disk, "LOCK", "12x", 3);
    assert_status(test_cask_refused(disk, NULL), BITCASK_LOCKED);
    test_cask_close(cask);
}

struct family {
    struct test_disk *disk;
    struct bitcask *cask;
    struct bitcask_iterator *iterator;
};

static int misuse_in_child(void *context)
{
    struct family *family = context;
    struct bitcask *cask = family->cask;
    const struct bitcask_batch_part part = { .key = bitcask_text("key"),
                                             .value = bitcask_text("child") };
    struct bitcask_iterator *iterator = (struct bitcask_iterator *)cask;
    struct bitcask_buffer value = { 0 };
    struct bitcask_slice key = bitcask_text("key");
    struct bitcask_slice next_key, next_value;
    struct bitcask_stat stat;
    struct bitcask *other = NULL;

    child_check(bitcask_put(cask, key, key) == BITCASK_MISUSE);
    child_check(strstr(bitcask_error_detail(), "fork") != NULL);
    child_check(bitcask_get(cask, key, &value) == BITCASK_MISUSE);
    child_check(bitcask_delete(cask, key) == BITCASK_MISUSE);
    child_check(bitcask_exists(cask, key) == BITCASK_MISUSE);
    child_check(bitcask_sync(cask) == BITCASK_MISUSE);
    child_check(bitcask_stat(cask, &stat) == BITCASK_MISUSE);
    child_check(bitcask_write_batch(cask, &part, 1) == BITCASK_MISUSE);
    child_check(bitcask_put_expiring(cask, key, key, 1) == BITCASK_MISUSE);
    child_check(bitcask_iterator_open(cask, NULL, &iterator) == BITCASK_MISUSE);
    child_check(iterator == NULL);
    child_check(bitcask_iterator_next(family->iterator, &next_key, &next_value) ==
                BITCASK_MISUSE);
    bitcask_iterator_close(family->iterator);
    child_check(bitcask_open(&other, family->disk->path, NULL) == BITCASK_LOCKED);
    child_check(bitcask_close(cask) == BITCASK_MISUSE);
    child_check(bitcask_open(&other, family->disk->path, NULL) == BITCASK_LOCKED);
    return 0;
}

static int open_in_child(void *context)
{
    /* TSan does not like threads in a child of threads. */
    const struct bitcask_options one_thread = { .read_only = true, .threads = 1 };
    struct family *family = context;
    struct bitcask *cask = NULL;

    child_check(bitcask_open(&cask, family->disk->path, NULL) == BITCASK_LOCKED);
    child_check(bitcask_open(&cask, family->disk->path, &one_thread) == BITCASK_OK);
    child_check(bitcask_exists(cask, bitcask_text("key")) == BITCASK_OK);
    child_check(bitcask_close(cask) == BITCASK_OK);
    return 0;
}

/* With the background thread, which the child does not have, and without. */
static void a_forked_child_can_only_close_and_harms_nothing(void **state)
{
    struct test_disk *disk = *state;

    for (int background = 0; background <= 1; background++) {
        const struct bitcask_options options = { .no_background = background == 0,
                                                 .file_size_max = 4096,
                                                 .sync_interval_ms = 1 };
        struct family family = { .disk = disk };
        struct test_image before = { 0 };
        struct bitcask_slice key, value;

        test_disk_clear(disk);
        family.cask = test_cask_open(disk, &options);
        test_cask_put(family.cask, "key", "parent");
        test_cask_put(family.cask, "other", "parent");
        assert_status(bitcask_sync(family.cask), BITCASK_OK);
        assert_status(bitcask_iterator_open(family.cask, NULL, &family.iterator),
                      BITCASK_OK);
        assert_status(bitcask_iterator_next(family.iterator, &key, &value), BITCASK_OK);
        test_image_take(&before, disk->path);
        assert_int_equal(test_in_child(misuse_in_child, &family), 0);
        test_image_unchanged(&before, disk->path);
        test_image_release(&before);

        /* The parent goes on as if nothing had been, and keeps its lock. */
        assert_status(bitcask_iterator_next(family.iterator, &key, &value), BITCASK_OK);
        bitcask_iterator_close(family.iterator);
        test_cask_expect(family.cask, "key", "parent");
        test_cask_put(family.cask, "key", "later");
        assert_int_equal(test_in_child(open_in_child, &family), 0);
        test_cask_close(family.cask);
        family.cask = test_cask_open(disk, &options);
        test_cask_expect(family.cask, "key", "later");
        test_cask_close(family.cask);
    }
}

/* A sync that lasts until it is let go, and another thread that waits for its end. */
struct slow_sync {
    struct bitcask *cask;
    _Atomic bool begun;
    _Atomic bool let_go;
};

static void hold_up_sync(enum fault_call call, void *context)
{
    struct slow_sync *slow = context;

    if (call != FAULT_SYNC)
        return;
    atomic_store(&slow->begun, true);
    while (!atomic_load(&slow->let_go))
        bitcask_io_posix()->sleep_ms(NULL, 1);
}

static void *sync_slowly(void *context)
{
    struct slow_sync *slow = context;

    return bitcask_sync(slow->cask) == BITCASK_OK ? slow : NULL;
}

static int close_in_child(void *context)
{
    struct family *family = context;

    (void)alarm(10); /* it only frees memory */
    child_check(bitcask_close(family->cask) == BITCASK_MISUSE);
    return 0;
}

/* Threads of the parent that do not exist in the child are not to be waited for. */
static void a_forked_child_can_close_whatever_threads_of_its_parent_do(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .sync = BITCASK_SYNC_NONE };
    struct family family = { .disk = disk, .cask = test_cask_open(disk, &options) };
    struct slow_sync slow = { .cask = family.cask };
    pthread_t threads[3];
    int result;

    test_cask_put(family.cask, "key", "parent");
    disk->fault.before_context = &slow;
    disk->fault.before = hold_up_sync;
    for (size_t i = 0; i < LENGTH_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sync_slowly, &slow), 0);
    while (!atomic_load(&slow.begun))
        bitcask_io_posix()->sleep_ms(NULL, 1);
    bitcask_io_posix()->sleep_ms(NULL, 100); /* most likely the others wait by now */
    result = test_in_child(close_in_child, &family);
    atomic_store(&slow.let_go, true);
    for (size_t i = 0; i < LENGTH_OF(threads); i++) {
        void *done = NULL;

        assert_int_equal(pthread_join(threads[i], &done), 0);
        assert_ptr_equal(done, &slow);
    }
    disk->fault.before = NULL;
    assert_int_equal(result, 0);
    test_cask_expect(family.cask, "key", "parent");
    test_cask_close(family.cask);
}

static int use_own_cask(void *context)
{
    struct family *family = context;
    struct bitcask *cask = NULL;
    char path[512];

    (void)snprintf(path, sizeof path, "%s/own", family->disk->path);
    child_check(bitcask_open(&cask, path, &small_files) == BITCASK_OK);
    child_check(bitcask_put(cask, bitcask_text("key"), bitcask_text("child")) ==
                BITCASK_OK);
    child_check(bitcask_sync(cask) == BITCASK_OK);
    child_check(bitcask_close(cask) == BITCASK_OK);
    child_check(bitcask_close(family->cask) == BITCASK_MISUSE);
    return 0;
}

static void a_forked_child_can_have_a_cask_of_its_own(void **state)
{
    struct test_disk *disk = *state;
    struct family family = { .disk = disk, .cask = test_cask_open(disk, NULL) };

    assert_int_equal(test_in_child(use_own_cask, &family), 0);
    test_cask_put(family.cask, "key", "parent");
    test_cask_close(family.cask);
}

/* The lock of a parent that has closed is gone, whatever its children still hold. */
static void a_child_does_not_keep_the_lock_of_its_parent(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    enum bitcask_status status;
    int child_status;
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(CHILD_SECONDS_MAX);
        for (;;)
            (void)pause();
    }
    test_cask_put(cask, "key", "value");
    test_cask_close(cask);
    cask = NULL;
    status = bitcask_open(&cask, disk->path, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &child_status, 0), child);
    assert_status(status, BITCASK_OK);
    test_cask_expect(cask, "key", "value");
    test_cask_close(cask);
}

/* Let so many more descriptors be opened; how many could be before. */
static rlim_t allow_descriptors(rlim_t more)
{
    struct rlimit limit;
    rlim_t before;
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(lowest >= 0);
    (void)close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)lowest + more;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

static void restore_descriptors(rlim_t before)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = before;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void too_many_open_files_are_an_error_of_the_system(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options *rows[] = { &small_files, &read_only };
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_history_write(cask, 1, 120);
    test_cask_close(cask);
    for (size_t row = 0; row < LENGTH_OF(rows); row++) {
        enum bitcask_status status = BITCASK_IO;
        rlim_t more;

        for (more = 0; status != BITCASK_OK; more++) {
            rlim_t before = allow_descriptors(more);

            cask = NULL;
            status = bitcask_open_with(disk->io, &cask, disk->path, rows[row]);
            restore_descriptors(before);
            if (status == BITCASK_OK)
                break;
            assert_status(status, BITCASK_IO);
            assert_detail(strerror(EMFILE));
            assert_null(cask);
        }
        assert_true(more > 1);
        assert_int_equal(test_history_check(cask), 120);
        test_cask_close(cask);
    }
}

static void puts_resume_when_descriptors_can_be_had_again(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = small_files;

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        struct bitcask *cask;
        enum bitcask_status status = BITCASK_OK;
        uint64_t count = 50;
        rlim_t before;

        options.no_mapping = no_mapping != 0;
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        test_history_write(cask, 1, count);
        before = allow_descriptors(0);
        while (status == BITCASK_OK) {
            status = test_history_try(cask, count + 1);
            count += status == BITCASK_OK;
        }
        restore_descriptors(before);
        assert_status(status, BITCASK_IO);
        assert_int_equal(test_history_check(cask), count);
        test_history_write(cask, count + 1, count + 100);
        assert_int_equal(test_history_check(cask), count + 100);
        test_cask_close(cask);
        cask = test_cask_open(disk, &options);
        assert_int_equal(test_history_check(cask), count + 100);
        test_cask_close(cask);
    }
}

/* Without rights on the directory itself, and with those to read only. */
static int open_without_rights(void *context)
{
    struct test_disk *disk = context;
    struct bitcask *cask = (struct bitcask *)disk;
    char path[512];

    if (!test_drop_root()) {
        print_message("SKIPPED in part: root cannot be dropped: %s\n", strerror(errno));
        return CHILD_SKIPPED;
    }
    (void)snprintf(path, sizeof path, "%s/closed", disk->path);
    child_check(bitcask_open(&cask, path, NULL) == BITCASK_IO);
    child_check(cask == NULL);
    child_check(strstr(bitcask_error_detail(), strerror(EACCES)) != NULL);
    child_check(bitcask_open(&cask, path, &read_only) == BITCASK_IO);

    (void)snprintf(path, sizeof path, "%s/closed/new", disk->path);
    child_check(bitcask_open(&cask, path, NULL) == BITCASK_IO);
    (void)snprintf(path, sizeof path, "%s/new", disk->path);
    child_check(bitcask_open(&cask, path, NULL) == BITCASK_IO);
    child_check(access(path, F_OK) != 0);

    (void)snprintf(path, sizeof path, "%s/empty", disk->path);
    child_check(bitcask_open(&cask, path, NULL) == BITCASK_IO);
    child_check(strstr(bitcask_error_detail(), strerror(EACCES)) != NULL);
    child_check(bitcask_open(&cask, path, &read_only) == BITCASK_NOT_FOUND);
    return 0;
}

static void missing_rights_are_an_error_of_the_system(void **state)
{
    struct test_disk *disk = *state;
    char path[512], empty[512];
    int result;

    (void)snprintf(path, sizeof path, "%s/closed", disk->path);
    assert_int_equal(mkdir(path, 0000), 0);
    (void)snprintf(empty, sizeof empty, "%s/empty", disk->path);
    assert_int_equal(mkdir(empty, 0555), 0);
    assert_int_equal(chmod(disk->path, 0555), 0);
    result = test_in_child(open_without_rights, disk);
    assert_int_equal(chmod(disk->path, 0700), 0);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(test_disk_count(disk), 2);
    assert_int_equal(rmdir(empty), 0); /* nothing was created in it */
    assert_true(result == 0 || result == CHILD_SKIPPED);
}

/* An existing cask whose files may be read but not written. */
static int open_for_reading_only(void *context)
{
    struct test_disk *disk = context;
    struct bitcask *cask = NULL;

    if (!test_drop_root())
        return CHILD_SKIPPED;
    child_check(bitcask_open(&cask, disk->path, &small_files) == BITCASK_IO);
    child_check(cask == NULL);
    child_check(bitcask_open(&cask, disk->path, &read_only) == BITCASK_OK);
    child_check(bitcask_exists(cask, bitcask_text("key")) == BITCASK_OK);
    child_check(bitcask_close(cask) == BITCASK_OK);
    return 0;
}

static void a_cask_that_may_only_be_read_can_be_read(void **state)
{
    struct test_disk *disk = *state;
    struct test_image before = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);
    int result;

    test_history_write(cask, 1, 60);
    test_disk_truncate(disk, "LOCK", 0);
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    test_cask_put(cask, "key", "value");
    test_image_take(&before, disk->path); /* as after a crash */
    test_cask_close(cask);
    test_image_restore(&before, disk);

    test_image_take(&before, disk->path);
    for (size_t i = 0; i < before.count; i++) {
        char path[512];

        (void)snprintf(path, sizeof path, "%s/%s", disk->path, before.files[i].name);
        assert_int_equal(chmod(path, 0444), 0);
    }
    assert_int_equal(chmod(disk->path, 0555), 0);
    result = test_in_child(open_for_reading_only, disk);
    assert_int_equal(chmod(disk->path, 0700), 0);
    assert_true(result == 0 || result == CHILD_SKIPPED);
    test_image_unchanged(&before, disk->path);
    test_image_release(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_second_writer_in_this_process_is_locked_out),
        disk_test(a_writer_in_another_process_locks_others_out),
        disk_test(a_lock_file_with_a_number_locks_nobody_out),
        disk_test(a_lock_without_a_number_is_reported_all_the_same),
        disk_test(a_forked_child_can_only_close_and_harms_nothing),
        disk_test(a_forked_child_can_close_whatever_threads_of_its_parent_do),
        disk_test(a_forked_child_can_have_a_cask_of_its_own),
        disk_test(a_child_does_not_keep_the_lock_of_its_parent),
        disk_test(too_many_open_files_are_an_error_of_the_system),
        disk_test(puts_resume_when_descriptors_can_be_had_again),
        disk_test(missing_rights_are_an_error_of_the_system),
        disk_test(a_cask_that_may_only_be_read_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
