/* SPDX-License-Identifier: MIT */
/*
 * Random histories against a model: puts and deletes of 0 to 100 KiB with files of 4
 * KiB, ended by a clean close, or by kill -9 of the process that writes; then whatever
 * a crash may leave at the end of the newest file. Promises 1, 2, 4, 5 and 6.
 *
 * BITCASK_TEST_SEED repeats a run, BITCASK_TEST_WRITES makes it longer.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

static char directory[256];
static uint64_t seed;
static uint64_t round_count, kill_count, torn_count, cut_count;

/* How many writes of the history the child has been told are done. */
static _Atomic uint64_t *acknowledged;

static struct bitcask *open_cask(struct model_random *random, bool read_only)
{
    struct bitcask_options options = {
        .read_only = read_only,
        .file_size_max = 4096,
        .no_mapping = model_random_below(random, 4) == 0,
        .no_background = model_random_below(random, 2) == 0,
        .threads = (uint32_t)model_random_below(random, 4),
        .sync = (enum bitcask_sync_mode)model_random_below(random, 4),
        .sync_interval_ms = 1 + (uint32_t)model_random_below(random, 20),
    };
    struct bitcask *cask = NULL;
    struct bitcask_stat stat;

    model_expect(bitcask_open(&cask, directory, &options), BITCASK_OK, "open", seed);
    model_expect(bitcask_stat(cask, &stat), BITCASK_OK, "stat", seed);
    cut_count += stat.cut_count;
    return cask;
}

static void fail(const char *what, const struct model *model)
{
    printf("FAILED with seed %" PRIu64 " after %" PRIu64 " writes: %s: %s\n", seed,
           model->write_count, what, bitcask_error_detail());
    (void)fflush(stdout);
    abort();
}

static void check(const struct model *model, struct bitcask *cask, const char *when)
{
    if (!model_equals(model, cask))
        fail(when, model);
}

/* Write on from where @model is; with @acknowledge tell after each write. */
static void write_some(struct model *model, struct bitcask *cask, uint64_t count,
                       bool acknowledge)
{
    for (uint64_t i = 0; i < count; i++) {
        struct model_write write = model_write_at(seed, model->write_count);

        model_apply(model, cask, &write);
        model_advance(model);
        if (acknowledge)
            atomic_store(acknowledged, model->write_count);
    }
}

static void clean_round(struct model *model, struct model_random *random)
{
    struct bitcask *cask = open_cask(random, false);

    check(model, cask, "what the open found");
    write_some(model, cask, model_random_below(random, 200), false);
    check(model, cask, "what the writer sees");
    if (model_random_below(random, 4) == 0) {
        struct bitcask *reader = open_cask(random, true);

        check(model, reader, "what a reader beside the writer sees");
        model_expect(bitcask_close(reader), BITCASK_OK, "close reader", seed);
    }
    model_expect(bitcask_close(cask), BITCASK_OK, "close", seed);
}

/*
 * A child writes until it is killed. Afterwards everything that it was told is done
 * must be there, and at most the one write that it was at.
 */
static void killed_round(struct model *model, struct model_random *random)
{
    uint64_t count = 1 + model_random_below(random, 300);
    useconds_t delay = (useconds_t)model_random_below(random, 20000);
    struct model after;
    struct bitcask *cask;
    pid_t child;
    int child_status;

    atomic_store(acknowledged, model->write_count);
    child = fork();
    if (child == 0) {
        cask = open_cask(random, false);
        write_some(model, cask, count, true);
        (void)raise(SIGKILL);
    }
    if (child < 0)
        fail("fork", model);
    (void)usleep(delay);
    (void)kill(child, SIGKILL);
    if (waitpid(child, &child_status, 0) != child || !WIFSIGNALED(child_status) ||
        WTERMSIG(child_status) != SIGKILL)
        fail("the writer did not end by being killed", model);
    kill_count++;

    while (model->write_count < atomic_load(acknowledged))
        model_advance(model);
    after = *model;
    model_advance(&after);

    if (model_random_below(random, 3) == 0) { /* a reader first, which mends nothing */
        cask = open_cask(random, true);
        if (!model_equals(model, cask) && !model_equals(&after, cask))
            fail("what a reader finds after a kill", model);
        model_expect(bitcask_close(cask), BITCASK_OK, "close reader", seed);
    }
    cask = open_cask(random, false);
    if (!model_equals(model, cask)) {
        if (!model_equals(&after, cask))
            fail("what is there after a kill", model);
        *model = after;
    }
    model_expect(bitcask_close(cask), BITCASK_OK, "close", seed);
}

/* The newest data file, in @name. */
static void find_newest(char name[600])
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    char newest[256] = "";

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (strstr(entry->d_name, ".data") != NULL && strcmp(entry->d_name, newest) > 0)
            (void)snprintf(newest, sizeof newest, "%s", entry->d_name);
    }
    if (stream != NULL)
        (void)closedir(stream);
    (void)snprintf(name, 600, "%s/%s", directory, newest);
}

/*
 * What a power failure may leave behind the last whole record: zeros, noise, or the
 * beginning of a record. It must be cut, and nothing before it may be touched. Zeros
 * alone are space that was set aside, and nobody is told of them.
 */
static void torn_round(struct model *model, struct model_random *random)
{
    size_t size = 1 + (size_t)model_random_below(random, 9000);
    uint64_t style = model_random_below(random, 3);
    uint8_t *bytes = calloc(1, size);
    char name[600];
    struct bitcask *cask;
    uint64_t cuts_before = cut_count;
    int fd;

    find_newest(name);
    fd = open(name, O_RDWR | O_APPEND);
    if (bytes == NULL || fd < 0) { /* no record was ever written */
        free(bytes);
        return;
    }
    if (style == 1) {
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)model_random_next(random);
    } else if (style == 2) { /* an old record, in a place that is not its own */
        if (pread(fd, bytes, size, 64) <= 0)
            style = 0;
    }
    if (write(fd, bytes, size) != (ssize_t)size)
        fail("write a torn tail", model);
    (void)close(fd);
    free(bytes);

    cask = open_cask(random, false);
    check(model, cask, "what is there after a torn tail");
    if (style == 0 && cut_count != cuts_before)
        fail("unused space was reported", model);
    if (style != 0 && cut_count == cuts_before)
        fail("a torn tail was not reported", model);
    model_expect(bitcask_close(cask), BITCASK_OK, "close", seed);
    torn_count++;
}

static void remove_directory(void)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        char name[600];

        (void)snprintf(name, sizeof name, "%s/%s", directory, entry->d_name);
        (void)unlink(name);
    }
    if (stream != NULL)
        (void)closedir(stream);
    (void)rmdir(directory);
}

int main(void)
{
    uint64_t write_count = model_setting("BITCASK_TEST_WRITES", 10000);
    struct model_random random;
    struct model model;

    seed = model_seed();
    random.state = seed | 1;
    model_init(&model, seed);
    (void)snprintf(directory, sizeof directory, "%s/bitcask-model-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    acknowledged = mmap(NULL, sizeof *acknowledged, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (acknowledged == MAP_FAILED || mkdtemp(directory) == NULL) {
        perror("set up");
        return EXIT_FAILURE;
    }

    /* A writer that is killed at once leaves nothing for a reader to open. */
    model_expect(bitcask_close(open_cask(&random, false)), BITCASK_OK, "close", seed);
    while (model.write_count < write_count) {
        switch (model_random_below(&random, 4)) {
        case 0:
            clean_round(&model, &random);
            break;
        case 1:
            torn_round(&model, &random);
            break;
        default:
            killed_round(&model, &random);
            break;
        }
        round_count++;
    }

    remove_directory();
    printf("%" PRIu64 " writes in %" PRIu64 " rounds, %" PRIu64 " kills, %" PRIu64
           " torn tails, %" PRIu64 " cuts\n",
           model.write_count, round_count, kill_count, torn_count, cut_count);
    return EXIT_SUCCESS;
}
