/* SPDX-License-Identifier: MIT */
/*
 * Sequences of events that once broke a promise, each with its number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bitcask/cask.h"
#include "fault_io.h"
#include "test_alloc.h"
#include "test_support.h"

enum {
    KEY_COUNT = 40
};

static struct bitcask_slice key_of(int number)
{
    static _Thread_local char text[32];

    (void)snprintf(text, sizeof text, "key-%02d", number);
    return bitcask_text(text);
}

static struct bitcask *open_through(struct bitcask_io *io, const char *path,
                                    enum bitcask_sync_mode sync)
{
    const struct bitcask_options options = { .sync = sync, .no_background = true };
    struct bitcask *cask = NULL;

    assert_status(bitcask_open_with(io, &cask, path, &options), BITCASK_OK);
    return cask;
}

/* A process that writes @count synced keys and is killed. */
static void write_and_die(const char *path, int count)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        const struct bitcask_options options = {
            .sync = BITCASK_SYNC_ALWAYS,
            .no_background = true, /* a hint is there as soon as its segment is sealed */
            .file_size_max = 4096,
        };
        static const char bytes[200];
        const struct bitcask_slice value = { bytes, sizeof bytes };
        struct bitcask *cask = NULL;

        if (bitcask_open(&cask, path, &options) != BITCASK_OK)
            _exit(1);
        for (int i = 0; i < count; i++) {
            if (bitcask_put(cask, key_of(i), value) != BITCASK_OK)
                _exit(1);
        }
        (void)raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void remove_tree(const char *path)
{
    char command[600];

    (void)snprintf(command, sizeof command, "rm -r '%s'", path);
    assert_int_equal(system(command), 0);
}

static int count_keys(const char *path, const struct bitcask_options *options)
{
    struct bitcask *cask = NULL;
    struct bitcask_stat stat;

    assert_status(bitcask_open(&cask, path, options), BITCASK_OK);
    assert_status(bitcask_stat(cask, &stat), BITCASK_OK);
    assert_status(bitcask_close(cask), BITCASK_OK);
    return (int)stat.key_count;
}

static void flip_bit(const char *path, const char *name, long offset)
{
    char full[512];
    FILE *file;
    int byte;

    (void)snprintf(full, sizeof full, "%s/%s", path, name);
    file = fopen(full, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    byte = fgetc(file);
    assert_true(byte != EOF);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_true(fputc(byte ^ 4, file) != EOF);
    assert_int_equal(fclose(file), 0);
}

/* Promise 7: the records behind a damaged header prove that it had been whole. */
static void a_damaged_header_of_an_unsealed_file_is_reported(void **state)
{
    const struct bitcask_options salvage = { .read_only = true, .salvage = true };
    struct test_disk *disk = *state;

    for (int count = 1; count <= KEY_COUNT; count += 13) {
        char path[512];
        struct bitcask *cask = NULL;

        (void)snprintf(path, sizeof path, "%s/header-%d", disk->path, count);
        write_and_die(path, count);
        for (long offset = 0; offset < BITCASK_FILE_HEADER_SIZE; offset += 9) {
            flip_bit(path, "0000000001.data", offset);
            enum bitcask_status status = bitcask_open(&cask, path, NULL);
            assert_true(status == BITCASK_CORRUPT || status == BITCASK_UNSUPPORTED);
            if (status == BITCASK_CORRUPT)
                assert_int_equal(count_keys(path, &salvage), count);
            flip_bit(path, "0000000001.data", offset);
        }
        assert_int_equal(count_keys(path, NULL), count);
        remove_tree(path);
    }
}

static void salvage_goes_without_the_manifest(void **state)
{
    const struct bitcask_options salvage = { .read_only = true, .salvage = true };
    struct test_disk *disk = *state;
    char path[512], manifest[600];
    struct bitcask *cask = NULL;

    (void)snprintf(path, sizeof path, "%s/manifest", disk->path);
    (void)snprintf(manifest, sizeof manifest, "%s/MANIFEST", path);
    write_and_die(path, KEY_COUNT);
    flip_bit(path, "MANIFEST", 30);
    assert_status(bitcask_open(&cask, path, NULL), BITCASK_CORRUPT);
    assert_int_equal(count_keys(path, &salvage), KEY_COUNT);
    assert_int_equal(unlink(manifest), 0);
    assert_status(bitcask_open(&cask, path, NULL), BITCASK_CORRUPT);
    assert_int_equal(count_keys(path, &salvage), KEY_COUNT);
    remove_tree(path);
}

/* A door through which hints cannot be opened. */
static enum bitcask_status open_no_hint(struct bitcask_io *io, bitcask_file directory,
                                        const char *name, enum bitcask_io_mode mode,
                                        bitcask_file *out)
{
    struct bitcask_io *real = bitcask_io_posix();
    enum bitcask_status status = real->open(real, directory, name, mode, out);

    (void)io;
    if (status != BITCASK_OK || strstr(name, ".hint") == NULL || mode != BITCASK_IO_READ)
        return status;
    real->close(real, *out);
    errno = EMFILE;
    return BITCASK_IO;
}

/* Promise 3: a hint may be the only proof, so "cannot be read" is not "not there". */
static void a_hint_that_cannot_be_read_is_not_taken_for_absent(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_io io = *bitcask_io_posix();
    struct bitcask *cask = NULL;
    char path[512];

    (void)snprintf(path, sizeof path, "%s/hint", disk->path);
    write_and_die(path, KEY_COUNT);
    io.open = open_no_hint;
    assert_status(bitcask_open_with(&io, &cask, path, NULL), BITCASK_IO);
    assert_int_equal(count_keys(path, NULL), KEY_COUNT);
    /* Everything is sealed now, and the data has all that a hint would. */
    cask = open_through(&io, path, BITCASK_SYNC_NONE);
    assert_status(bitcask_close(cask), BITCASK_OK);
    remove_tree(path);
}

/* A door behind which syncs wait, and fail if they are told to. */
static _Atomic bool syncs_wait, syncs_fail;
static _Atomic int sync_count;

static enum bitcask_status sync_as_told(struct bitcask_io *io, bitcask_file file)
{
    (void)io;
    atomic_fetch_add(&sync_count, 1);
    while (atomic_load(&syncs_wait))
        (void)usleep(1000);
    if (atomic_load(&syncs_fail)) {
        errno = EIO;
        return BITCASK_IO;
    }
    return bitcask_io_posix()->sync(bitcask_io_posix(), file);
}

struct writer {
    struct bitcask *cask;
    const char *key;
    const char *value; /* NULL: delete */
    enum bitcask_status status;
    pthread_t thread;
};

static void *run_writer(void *context)
{
    struct writer *writer = context;

    writer->status = writer->value == NULL
                         ? bitcask_delete(writer->cask, bitcask_text(writer->key))
                         : bitcask_put(writer->cask, bitcask_text(writer->key),
                                       bitcask_text(writer->value));
    return NULL;
}

/* Promise 8: whoever fails first, the store is what it was before both. */
static void writers_of_one_key_whose_syncs_fail_leave_it_as_it_was(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_io io = *bitcask_io_posix();
    struct bitcask_buffer value = { 0 };
    char path[512];

    io.sync = sync_as_told;
    (void)snprintf(path, sizeof path, "%s/writers", disk->path);
    for (int round = 0; round < 20; round++) {
        struct bitcask *cask = open_through(&io, path, BITCASK_SYNC_ALWAYS);
        struct writer writers[] = {
            { .key = "key", .value = "first" },
            { .key = "key", .value = round % 2 == 0 ? "second" : NULL },
            { .key = "key", .value = "third" },
        };

        assert_status(bitcask_put(cask, bitcask_text("key"), bitcask_text("before")),
                      BITCASK_OK);
        atomic_store(&syncs_fail, true);
        for (int i = 0; i < 3; i++) {
            writers[i].cask = cask;
            assert_int_equal(
                pthread_create(&writers[i].thread, NULL, run_writer, &writers[i]), 0);
        }
        for (int i = 0; i < 3; i++) {
            (void)pthread_join(writers[i].thread, NULL);
            assert_true(writers[i].status != BITCASK_OK);
        }
        assert_status(bitcask_get(cask, bitcask_text("key"), &value), BITCASK_OK);
        assert_string_equal(value.data, "before");
        assert_status(bitcask_close(cask), BITCASK_FAILED);
        atomic_store(&syncs_fail, false);
    }
    bitcask_buffer_release(&value);
    remove_tree(path);
}

/* A fork in the middle of waiting writers: the child may still close. */
static void a_child_closes_while_threads_of_its_parent_wait(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_io io = *bitcask_io_posix();
    struct writer writers[] = { { .key = "a", .value = "1" },
                                { .key = "b", .value = "2" },
                                { .key = "c", .value = "3" } };
    struct bitcask *cask;
    char path[512];
    int child_status;
    pid_t child;

    io.sync = sync_as_told;
    (void)snprintf(path, sizeof path, "%s/fork", disk->path);
    cask = open_through(&io, path, BITCASK_SYNC_ALWAYS);
    assert_status(bitcask_put(cask, bitcask_text("x"), bitcask_text("y")), BITCASK_OK);
    atomic_store(&sync_count, 0);
    atomic_store(&syncs_wait, true);
    for (int i = 0; i < 3; i++) {
        writers[i].cask = cask;
        assert_int_equal(
            pthread_create(&writers[i].thread, NULL, run_writer, &writers[i]), 0);
    }
    while (atomic_load(&sync_count) == 0)
        (void)usleep(1000);
    (void)usleep(20000); /* the others come to wait */

    child = fork();
    if (child == 0) {
        (void)alarm(20); /* a hang ends as a signal */
        _exit(bitcask_close(cask) == BITCASK_MISUSE ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &child_status, 0), child);
    assert_true(WIFEXITED(child_status) && WEXITSTATUS(child_status) == 0);

    atomic_store(&syncs_wait, false);
    for (int i = 0; i < 3; i++) {
        (void)pthread_join(writers[i].thread, NULL);
        assert_status(writers[i].status, BITCASK_OK);
    }
    assert_status(bitcask_close(cask), BITCASK_OK);
    remove_tree(path);
}

/* NO_MEMORY from an iterator skips nothing: the same key comes at the next call. */
static void an_iterator_out_of_memory_goes_on_where_it_was(void **state)
{
    enum {
        BIG = 5000
    };
    static char value[BIG];
    struct test_disk *disk = *state;
    struct bitcask *cask;
    char path[512];

    (void)snprintf(path, sizeof path, "%s/iterator", disk->path);
    cask = open_through(bitcask_io_posix(), path, BITCASK_SYNC_NONE);
    for (int i = 0; i < KEY_COUNT; i++)
        assert_status(bitcask_put(cask, key_of(i),
                                  (struct bitcask_slice){ value, 100u * (unsigned)i }),
                      BITCASK_OK);

    for (int sorted = 0; sorted < 2; sorted++) {
        for (long n = 0; n < 40; n++) {
            const struct bitcask_iterator_options options = { .sorted = sorted != 0 };
            struct bitcask_iterator *iterator = NULL;
            struct bitcask_slice key, read;
            bool seen[KEY_COUNT] = { false };
            int count = 0;
            enum bitcask_status status;

            assert_status(bitcask_iterator_open(cask, &options, &iterator), BITCASK_OK);
            test_alloc_fail(n);
            while ((status = bitcask_iterator_next(iterator, &key, &read)) !=
                   BITCASK_NOT_FOUND) {
                int number;

                if (status == BITCASK_NO_MEMORY)
                    continue;
                assert_status(status, BITCASK_OK);
                number = 10 * (((const char *)key.data)[4] - '0') +
                         ((const char *)key.data)[5] - '0';
                assert_false(seen[number]);
                seen[number] = true;
                assert_int_equal(read.size, 100 * number);
                count++;
            }
            test_alloc_stop();
            assert_int_equal(count, KEY_COUNT);
            bitcask_iterator_close(iterator);
        }
    }
    assert_status(bitcask_close(cask), BITCASK_OK);
    remove_tree(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_damaged_header_of_an_unsealed_file_is_reported),
        disk_test(salvage_goes_without_the_manifest),
        disk_test(a_hint_that_cannot_be_read_is_not_taken_for_absent),
        disk_test(writers_of_one_key_whose_syncs_fail_leave_it_as_it_was),
        disk_test(a_child_closes_while_threads_of_its_parent_wait),
        disk_test(an_iterator_out_of_memory_goes_on_where_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
