/* SPDX-License-Identifier: MIT */
/*
 * test_bench_drivers ENGINE: what bitcask-bench asks of every engine is what it gets.
 *
 * Each case has a process and an empty directory of its own, as each run of the bench
 * has: some engines keep threads that do not outlive a fork.
 */
#include "test/bench_syncs.h"
#include "tools/bench/driver.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    KEYS = 3000,
    THREADS = 4,
    VALUE_SIZE_MAX = 70000
};

/* An engine with one of its stores open. */
struct bench {
    const struct bench_driver *driver;
    struct bench_setup setup;
    void *store;
    void *session;
    struct bench_value value;
};

#define check(condition)                \
    do {                                \
        if (!(condition))               \
            stop(__LINE__, #condition); \
    } while (0)

static const struct bench_driver *driver_under_test;

static _Noreturn void stop(int line, const char *condition)
{
    printf("    line %d: %s\n    last words: %s\n", line, condition,
           driver_under_test->error());
    fflush(stdout);
    _exit(1);
}

/* Keys that are not in order, all of one size, with bytes of every kind. */
static struct bench_bytes key_of(uint32_t number, uint8_t key[16])
{
    uint64_t mixed = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(key, &mixed, 8);
    memcpy(key + 8, &number, 4);
    memset(key + 12, 0, 4);
    return (struct bench_bytes){ key, 16 };
}

/* What a key holds after its @turn-th put. */
static struct bench_bytes value_of(uint32_t number, uint32_t turn, size_t size,
                                   uint8_t *value)
{
    uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + turn + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        value[i] = (uint8_t)(state >> 56);
    }
    return (struct bench_bytes){ value, size };
}

static void reopen(struct bench *bench)
{
    check(bench->driver->open(&bench->setup, &bench->store) == BENCH_OK);
    check(bench->store != NULL);
    check(bench->driver->attach(bench->store, &bench->session) == BENCH_OK);
}

static void shut(struct bench *bench)
{
    bench->driver->detach(bench->session);
    check(bench->driver->close(bench->store) == BENCH_OK);
}

static void put_sized(struct bench *bench, uint32_t number, uint32_t turn, size_t size)
{
    static _Thread_local uint8_t value[VALUE_SIZE_MAX];
    uint8_t key[16];
    check(bench->driver->put(bench->session, key_of(number, key),
                             value_of(number, turn, size, value)) == BENCH_OK);
}

static void put(struct bench *bench, uint32_t number, uint32_t turn)
{
    put_sized(bench, number, turn, bench->setup.value_size);
}

static void expect_value(const struct bench_value *found, uint32_t number, uint32_t turn,
                         size_t size)
{
    static _Thread_local uint8_t value[VALUE_SIZE_MAX];
    check(found->size == size);
    check(found->capacity >= size);
    value_of(number, turn, size, value);
    check(size == 0 || memcmp(found->data, value, size) == 0);
}

static void expect_sized(struct bench *bench, uint32_t number, uint32_t turn, size_t size)
{
    uint8_t key[16];
    check(bench->driver->get(bench->session, key_of(number, key), &bench->value) ==
          BENCH_OK);
    expect_value(&bench->value, number, turn, size);
}

static void expect(struct bench *bench, uint32_t number, uint32_t turn)
{
    expect_sized(bench, number, turn, bench->setup.value_size);
}

static void expect_missing(struct bench *bench, uint32_t number)
{
    uint8_t key[16];
    check(bench->driver->get(bench->session, key_of(number, key), &bench->value) ==
          BENCH_MISSING);
}

static void delete_key(struct bench *bench, uint32_t number)
{
    uint8_t key[16];
    check(bench->driver->remove(bench->session, key_of(number, key)) == BENCH_OK);
}

/* Every key put, every third again, every fifth deleted: the same in any engine. */
static void fill(struct bench *bench)
{
    for (uint32_t i = 0; i < KEYS; i++)
        put(bench, i, 0);
    for (uint32_t i = 0; i < KEYS; i += 3)
        put(bench, i, 1);
    for (uint32_t i = 0; i < KEYS; i += 5)
        delete_key(bench, i);
}

static uint32_t turn_of(uint32_t number)
{
    return number % 3 == 0;
}

static void expect_filled(struct bench *bench)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        if (i % 5 == 0)
            expect_missing(bench, i);
        else
            expect(bench, i, turn_of(i));
    }
    expect_missing(bench, KEYS);
}

struct seen {
    uint32_t times[KEYS];
    uint32_t count;
    uint32_t wanted;
    size_t value_size;
};

static bool see(void *context, struct bench_bytes key, struct bench_bytes value)
{
    struct seen *seen = context;
    uint32_t number;
    uint8_t expected[16];
    check(key.size == 16);
    memcpy(&number, (const uint8_t *)key.data + 8, 4);
    check(number < KEYS);
    key_of(number, expected);
    check(memcmp(key.data, expected, 16) == 0);

    struct bench_value found = { (void *)value.data, value.size, value.size };
    expect_value(&found, number, turn_of(number), seen->value_size);
    seen->times[number]++;
    seen->count++;
    return seen->count < seen->wanted;
}

static void expect_scanned(struct bench *bench)
{
    static struct seen seen;
    memset(&seen, 0, sizeof seen);
    seen.wanted = UINT32_MAX;
    seen.value_size = bench->setup.value_size;
    check(bench->driver->scan(bench->session, see, &seen) == BENCH_OK);
    for (uint32_t i = 0; i < KEYS; i++)
        check(seen.times[i] == (i % 5 != 0));
}

/* The cases. Each begins and ends with an open store. */

static void a_get_copies_what_was_put_last(struct bench *bench)
{
    static const size_t sizes[] = { 100, 0, 1, 4096, 65536, 99, 1, 70000, 0, 100 };
    for (uint32_t turn = 0; turn < sizeof sizes / sizeof *sizes; turn++) {
        for (uint32_t i = 0; i < 20; i++)
            put_sized(bench, i, turn, sizes[turn]);
        for (uint32_t i = 0; i < 20; i++)
            expect_sized(bench, i, turn, sizes[turn]);
        expect_missing(bench, 20);
    }
}

static void what_is_deleted_is_missing(struct bench *bench)
{
    fill(bench);
    expect_filled(bench);

    uint8_t key[16];
    check(bench->driver->remove(bench->session, key_of(KEYS, key)) != BENCH_ERROR);
    check(bench->driver->remove(bench->session, key_of(0, key)) != BENCH_ERROR);
    put(bench, 0, 7);
    expect(bench, 0, 7);
}

static void a_scan_shows_each_pair_once(struct bench *bench)
{
    fill(bench);
    expect_scanned(bench);
    expect_scanned(bench);
}

static void a_scan_ends_when_it_is_told(struct bench *bench)
{
    static struct seen seen;
    seen.wanted = 10;
    seen.value_size = bench->setup.value_size;
    fill(bench);
    check(bench->driver->scan(bench->session, see, &seen) == BENCH_OK);
    check(seen.count == 10);
}

static void several_gets_at_once_are_as_many_gets(struct bench *bench)
{
    enum {
        COUNT = 16
    };
    uint8_t keys[COUNT][16];
    struct bench_bytes names[COUNT];
    struct bench_value values[COUNT] = { 0 };
    enum bench_result results[COUNT];
    if (bench->driver->multi_get == NULL)
        return;

    fill(bench);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < COUNT; i++)
            names[i] = key_of(100 * round + i, keys[i]);
        check(bench->driver->multi_get(bench->session, names, COUNT, values, results) ==
              BENCH_OK);
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t number = 100 * round + i;
            check(results[i] == (number % 5 == 0 ? BENCH_MISSING : BENCH_OK));
            if (number % 5 != 0)
                expect_value(&values[i], number, turn_of(number),
                             bench->setup.value_size);
        }
    }
    for (uint32_t i = 0; i < COUNT; i++)
        free(values[i].data);
}

static void a_closed_store_opens_with_all_in_it(struct bench *bench)
{
    fill(bench);
    shut(bench);
    reopen(bench);
    expect_filled(bench);
    put(bench, 0, 0);
    shut(bench);
    reopen(bench);
    expect(bench, 0, 0);
}

static void a_merge_loses_nothing(struct bench *bench)
{
    fill(bench);
    if (bench->driver->merge == NULL)
        return;
    check(bench->driver->merge(bench->store) == BENCH_OK);
    expect_filled(bench);
    expect_scanned(bench);
    shut(bench);
    reopen(bench);
    expect_filled(bench);
}

/* A process that fills the store and has no time to close it. */
static void fill_and_be_killed(struct bench *bench)
{
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        reopen(bench);
        fill(bench);
        raise(SIGKILL);
    }
    int status;
    check(waitpid(child, &status, 0) == child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* What the engines of a table have in common. */
static void what_returned_outlives_a_kill(struct bench *bench)
{
    expect_filled(bench);
    expect_scanned(bench);
}

static void only_durable_writes_wait_for_the_disk(struct bench *bench)
{
    const uint32_t count = 50;
    unsigned before = bench_sync_count();
    for (uint32_t i = 0; i < count; i++)
        put(bench, i, 0);
    check(bench_sync_count() - before < count / 2);
    shut(bench);

    bench->setup.durability = BENCH_SURVIVES_POWER;
    reopen(bench);
    for (uint32_t i = 0; i < count; i++) {
        before = bench_sync_count();
        put(bench, i, 1);
        check(bench_sync_count() > before);
        expect(bench, i, 1);
    }
    before = bench_sync_count();
    delete_key(bench, 0);
    check(bench_sync_count() > before);
    expect_missing(bench, 0);
    shut(bench);
    reopen(bench);
    expect_missing(bench, 0);
    expect(bench, 1, 1);
}

struct thread {
    struct bench bench; /* with a session of its own */
    uint32_t first;
};

static void *put_and_get(void *context)
{
    struct thread *thread = context;
    struct bench *bench = &thread->bench;
    check(bench->driver->attach(bench->store, &bench->session) == BENCH_OK);
    for (uint32_t turn = 0; turn < 3; turn++) {
        for (uint32_t i = thread->first; i < KEYS; i += THREADS) {
            put(bench, i, turn);
            expect(bench, i, turn);
        }
    }
    for (uint32_t i = thread->first; i < KEYS; i += 5 * THREADS) {
        delete_key(bench, i);
        expect_missing(bench, i);
        put(bench, i, 2);
    }
    bench->driver->detach(bench->session);
    free(bench->value.data);
    return NULL;
}

static void threads_share_a_store(struct bench *bench)
{
    pthread_t handles[THREADS];
    struct thread threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].bench = *bench;
        threads[i].bench.value = (struct bench_value){ 0 };
        threads[i].first = i;
        check(pthread_create(&handles[i], NULL, put_and_get, &threads[i]) == 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        check(pthread_join(handles[i], NULL) == 0);
    for (uint32_t i = 0; i < KEYS; i++)
        expect(bench, i, 2);
}

static void what_it_is_opened_with_is_said(struct bench *bench)
{
    char texts[2][1024];
    for (int i = 0; i < 2; i++) {
        bench->setup.durability = i == 0 ? BENCH_SURVIVES_KILL : BENCH_SURVIVES_POWER;
        bench->driver->settings(&bench->setup, texts[i], sizeof texts[i]);
        check(strlen(texts[i]) < sizeof texts[i] - 1);
        check(strchr(texts[i], '\n') == NULL);
        check(strstr(texts[i], "check") != NULL || strstr(texts[i], "CRC") != NULL);
    }
    check(strcmp(texts[0], texts[1]) != 0);
    check(strchr(bench->driver->version(), '.') != NULL);
}

static void a_store_that_does_not_open_says_why(struct bench *bench)
{
    struct bench_setup setup = bench->setup;
    void *store = &setup;
    setup.directory = "/dev/null/store";
    check(bench->driver->open(&setup, &store) == BENCH_ERROR);
    check(store == NULL);
    check(strlen(bench->driver->error()) > 10);
}

static const struct {
    const char *name;
    void (*run)(struct bench *bench);
    void (*prepare)(struct bench *bench); /* before the store is open, or NULL */
} cases[] = {
#define CASE(function)            \
    {                             \
#function, function, NULL \
    }
    CASE(a_get_copies_what_was_put_last),
    CASE(what_is_deleted_is_missing),
    CASE(a_scan_shows_each_pair_once),
    CASE(a_scan_ends_when_it_is_told),
    CASE(several_gets_at_once_are_as_many_gets),
    CASE(a_closed_store_opens_with_all_in_it),
    CASE(a_merge_loses_nothing),
    { "what_returned_outlives_a_kill", what_returned_outlives_a_kill,
      fill_and_be_killed },
    CASE(only_durable_writes_wait_for_the_disk),
    CASE(threads_share_a_store),
    CASE(what_it_is_opened_with_is_said),
    CASE(a_store_that_does_not_open_says_why),
};

static int run_case(size_t number, const char *directory)
{
    struct bench bench = {
        .driver = driver_under_test,
        .setup = { .directory = directory,
                   .expected_keys = KEYS,
                   .key_size = 16,
                   .value_size = 100,
                   .threads = THREADS + 1,
                   .durability = BENCH_SURVIVES_KILL },
    };
    if (cases[number].prepare != NULL)
        cases[number].prepare(&bench);
    reopen(&bench);
    cases[number].run(&bench);
    shut(&bench);
    free(bench.value.data);
    return 0;
}

/* The engines make no directories in theirs. */
static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return;
    for (struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory))
        unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(path);
}

static bool passes(size_t number)
{
    const char *parent = getenv("TMPDIR");
    char directory[512];
    snprintf(directory, sizeof directory, "%s/bench_drivers.XXXXXX",
             parent != NULL ? parent : "/tmp");
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        return false;
    }

    printf("%s: %s\n", driver_under_test->name, cases[number].name);
    fflush(stdout);
    int status = 1;
    pid_t child = fork();
    if (child == 0)
        exit(run_case(number, directory));
    if (child < 0 || waitpid(child, &status, 0) != child)
        perror("fork");
    remove_directory(directory);
    if (status != 0)
        printf("    failed, status %d\n", status);
    return status == 0;
}

int main(int count, char **arguments)
{
    for (size_t i = 0; bench_drivers[i] != NULL; i++)
        if (count == 2 && strcmp(bench_drivers[i]->name, arguments[1]) == 0)
            driver_under_test = bench_drivers[i];
    if (driver_under_test == NULL) {
        fprintf(stderr, "usage: test_bench_drivers ENGINE, one that was built\n");
        return 2;
    }

    bool passed = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        passed &= passes(i);
    return passed ? 0 : 1;
}
