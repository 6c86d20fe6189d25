/* SPDX-License-Identifier: MIT */
/*
 * What a process may be refused by setrlimit: descriptors, memory, file sizes, threads.
 * Every call says so or does what it must, and with the limit lifted all is there.
 * Promises 1, 2, 6 and 8.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/campaign/process.h"

enum {
    DESCRIPTORS_MIN = 3,
    DESCRIPTORS_MAX = 40,
    FEW_SEGMENTS = 30,
    MANY_SEGMENTS = 300,
    WRITES_MAX = 20000,
    WRITES_LIMITED = 12,
    MEMORY_STEPS = 40,
    FILE_SIZE_STEPS = 30,
    STACK_SIZE = 256 * 1024,
};

#define IO PROCESS_BIT(BITCASK_IO)
#define NO_MEMORY PROCESS_BIT(BITCASK_NO_MEMORY)
#define NOT_FOUND PROCESS_BIT(BITCASK_NOT_FOUND)

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ADDRESS_SANITIZER 1
#endif
#endif

/* One limit to try, and what calls may say then. */
struct limit {
    int resource;
    rlim_t value;
    unsigned excused;
    const char *words; /* of the system, in the detail of a failure; NULL: any */
    bool before_open;  /* else when the cask is open */
    enum process_counter counter;
};

static void set_limit(struct process *process, const struct limit *limit, rlim_t value)
{
    struct rlimit now;

    if (getrlimit((__rlimit_resource_t)limit->resource, &now) != 0)
        process_fail(process, "getrlimit: %s", strerror(errno));
    now.rlim_cur = value < now.rlim_max ? value : now.rlim_max;
    if (setrlimit((__rlimit_resource_t)limit->resource, &now) != 0)
        process_fail(process, "setrlimit: %s", strerror(errno));
}

static rlim_t get_limit(const struct limit *limit)
{
    struct rlimit now = { 0, 0 };

    (void)getrlimit((__rlimit_resource_t)limit->resource, &now);
    return now.rlim_cur;
}

/* Excused, and then in words that say what the system said and about which file. */
static void expect_limited(struct process *process, enum bitcask_status status,
                           const struct limit *limit, const char *what)
{
    const char *detail = bitcask_error_detail();

    process_expect(process, status, PROCESS_OK | NOT_FOUND | limit->excused, what);
    if (status == BITCASK_OK || status == BITCASK_NOT_FOUND)
        return;
    process_count(process, PROCESS_LIMIT_STATUSES);
    if (status != BITCASK_IO || limit->words == NULL)
        return;
    if (strstr(detail, limit->words) == NULL)
        process_fail(process, "%s does not say \"%s\"", what, limit->words);
    if (strstr(detail, ".data") == NULL && strstr(detail, "MANIFEST") == NULL &&
        strstr(detail, "LOCK") == NULL && strstr(detail, ".hint") == NULL &&
        strstr(detail, process->directory) == NULL)
        process_fail(process, "%s names no file", what);
}

static void use_limited(struct process *process, struct bitcask *cask,
                        const struct limit *limit, uint64_t *random)
{
    process_check(process, cask, limit->excused, "under a limit");
    for (unsigned i = 0; i < WRITES_LIMITED; i++) {
        enum bitcask_status status = process_write(process, cask, 0);

        expect_limited(process, status, limit, "a write under a limit");
        if (campaign_random_below(random, 10) == 0)
            process_expect(process, bitcask_sync(cask), PROCESS_OK, "a sync");
    }
    process_check(process, cask, limit->excused, "after writes under a limit");
}

/* Open, use and perhaps close a cask under a limit; and then all must be there. */
static void try_limit(struct process *process, const struct limit *limit,
                      struct bitcask_options *options, uint64_t *random)
{
    rlim_t before = get_limit(limit);
    struct bitcask *cask = NULL;
    bool closes_limited = campaign_random_below(random, 2) == 0;
    enum bitcask_status status;

    if (limit->before_open)
        set_limit(process, limit, limit->value);
    status = bitcask_open(&cask, process->directory, options);
    if (!limit->before_open)
        set_limit(process, limit, limit->value);

    if (status == BITCASK_NOT_FOUND)
        process_fail(process, "an open under a limit says that there is no cask");
    expect_limited(process, status, limit, "an open under a limit");
    if (status == BITCASK_OK)
        use_limited(process, cask, limit, random);
    if (status == BITCASK_OK && closes_limited) {
        expect_limited(process, bitcask_close(cask), limit, "a close under a limit");
        status = BITCASK_FAILED; /* it is not open any more */
    }
    set_limit(process, limit, before);
    process_count(process, limit->counter);

    if (status == BITCASK_OK) {
        process_check(process, cask, 0, "with the limit lifted");
        process_write_some(process, cask, 3);
        process_check(process, cask, 0, "after writes with the limit lifted");
        process_close(process, cask, "a close with the limit lifted");
    }
    cask = process_open(process, options, "an open with the limit lifted");
    process_settle(process, cask, "what an open with the limit lifted finds");
    process_close(process, cask, "a close");
}

static struct bitcask_options limit_options(uint64_t *random, uint64_t file_size_max)
{
    struct bitcask_options options = process_options(random, file_size_max);

    if (options.sync == BITCASK_SYNC_ALWAYS && campaign_random_below(random, 4) != 0)
        options.sync = BITCASK_SYNC_NONE; /* disks are slow */
    return options;
}

static enum bitcask_status count_segment(const struct bitcask_segment_stat *segment,
                                         void *context)
{
    (void)segment;
    ++*(unsigned *)context;
    return BITCASK_OK;
}

/* A cask of so many data files, of 4 KiB each. */
static void build(struct process *process, unsigned segment_count)
{
    struct bitcask_options options = { .file_size_max = 4096, .sync = BITCASK_SYNC_NONE };
    struct bitcask *cask = process_open(process, &options, "an open");
    unsigned count = 0;

    for (unsigned i = 0; count < segment_count; i++) {
        if (i == WRITES_MAX)
            process_fail(process, "a cask of %u files cannot be made", segment_count);
        process_write_some(process, cask, 10);
        count = 0;
        process_expect(process, bitcask_stat_segments(cask, count_segment, &count),
                       PROCESS_OK, "stat_segments");
    }
    process_close(process, cask, "a close");
}

static void build_few(struct process *process, uint64_t seed)
{
    (void)seed;
    build(process, FEW_SEGMENTS);
}

static void build_many(struct process *process, uint64_t seed)
{
    (void)seed;
    build(process, MANY_SEGMENTS);
}

/* The limit is in the seed, below DESCRIPTORS_MAX + 1. */
static uint64_t with_number(uint64_t *random, unsigned number)
{
    return campaign_random(random) / 1024 * 1024 + number;
}

static void limit_descriptors(struct process *process, uint64_t seed)
{
    struct limit limit = {
        .resource = RLIMIT_NOFILE,
        .value = (rlim_t)(seed % 1024),
        .excused = IO,
        .words = strerror(EMFILE),
        .before_open = campaign_random_below(&seed, 3) != 0,
        .counter = PROCESS_DESCRIPTOR_LIMITS,
    };
    struct bitcask_options options = limit_options(&seed, 4096);

    for (int fd = 3; fd < 64; fd++) /* the terminal's, the build's */
        (void)close(fd);
    try_limit(process, &limit, &options, &seed);
}

/* Every limit on a cask that @builds; they follow each other on the same one. */
static bool try_descriptors(struct process *process, process_work *builds)
{
    uint64_t random = process->seed;

    process->value_size_max = 6000;
    if (!process_run(process, builds, 0, "a writer"))
        return false;
    for (unsigned value = DESCRIPTORS_MIN; value <= DESCRIPTORS_MAX; value++) {
        if (!process_run(process, limit_descriptors, with_number(&random, value),
                         "under a descriptor limit"))
            return false;
        campaign_passed(process->campaign);
    }
    return true;
}

bool process_round_descriptors(struct process *process)
{
    uint64_t seed = process->seed;

    if (!try_descriptors(process, build_few))
        return false;
    process_remove(process->directory);
    process_begin(process, seed + 1, process->base);
    return try_descriptors(process, build_many);
}

/* What the process has mapped now, in bytes. */
static rlim_t address_space(void)
{
    FILE *stream = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (stream != NULL) {
        if (fscanf(stream, "%lu", &pages) != 1)
            pages = 0;
        (void)fclose(stream);
    }
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/*
 * A stack that cannot grow is a signal, and not the library's to answer for. Not inlined:
 * the frame must be gone when the library needs the room.
 */
__attribute__((noinline)) static void touch_stack(void)
{
    volatile char stack[STACK_SIZE];

    for (size_t i = 0; i < sizeof stack; i += 1024)
        stack[i] = 0;
}

/* From nothing more than now to plenty: eighths of a power of two. */
static void limit_memory(struct process *process, uint64_t seed)
{
    unsigned step = (unsigned)(seed % 1024);
    struct limit limit = {
        .resource = RLIMIT_AS,
        .excused = IO | NO_MEMORY,
        .before_open = campaign_random_below(&seed, 3) != 0,
        .counter = PROCESS_MEMORY_LIMITS,
    };
    struct bitcask_options options = limit_options(&seed, (uint64_t)4096 << seed % 9);
    rlim_t more = step == 0 ? 0 : ((rlim_t)4 + step % 4) << (10 + step / 4);

    if (campaign_random_below(&seed, 4) == 0)
        options.expected_keys = campaign_random_below(&seed, 2000000);
    touch_stack();
    limit.value = address_space() + more;
    try_limit(process, &limit, &options, &seed);
}

static void skip_memory(struct process *process, uint64_t seed)
{
    (void)seed;
    process_skip(process, "built with AddressSanitizer, which needs all addresses");
}

bool process_round_memory(struct process *process)
{
    uint64_t random = process->seed;

#ifdef WITH_ADDRESS_SANITIZER
    return process_run(process, skip_memory, 0, "a skip");
#endif
    (void)skip_memory;
    if (!process_run(process, build_few, 0, "a writer"))
        return false;
    for (unsigned step = 0; step < MEMORY_STEPS; step++) {
        if (!process_run(process, limit_memory, with_number(&random, step),
                         "under an address-space limit"))
            return false;
        campaign_passed(process->campaign);
    }
    return true;
}

static void limit_file_size(struct process *process, uint64_t seed)
{
    unsigned step = (unsigned)(seed % 1024);
    struct limit limit = {
        .resource = RLIMIT_FSIZE,
        .value = (rlim_t)(step * step * 30 + campaign_random_below(&seed, 100)),
        .excused = IO,
        .words = strerror(EFBIG),
        .before_open = campaign_random_below(&seed, 3) != 0,
        .counter = PROCESS_FILE_SIZE_LIMITS,
    };
    struct bitcask_options options = limit_options(&seed, (uint64_t)4096 << seed % 4);

    (void)signal(SIGXFSZ, SIG_IGN);
    try_limit(process, &limit, &options, &seed);
}

bool process_round_file_size(struct process *process)
{
    uint64_t random = process->seed;

    for (unsigned step = 0; step < FILE_SIZE_STEPS; step++) {
        if (!process_run(process, limit_file_size, with_number(&random, step),
                         "under a file-size limit"))
            return false;
        campaign_passed(process->campaign);
    }
    return true;
}

static void *do_nothing(void *context)
{
    return context;
}

/* Root is not limited, so this is nobody's. */
static void limit_threads(struct process *process, uint64_t seed)
{
    const uid_t nobody = 65534;
    const struct rlimit none = { 0, 0 };
    struct bitcask_options options = process_options(&seed, 4096);
    pthread_t thread;

    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(nobody, nobody, nobody) ||
                           setresuid(nobody, nobody, nobody)))
        process_skip(process, "root cannot be given up");
    if (access(process->directory, R_OK | W_OK | X_OK) != 0)
        process_skip(process, "nobody else can come to the directory");
    if (setrlimit(RLIMIT_NPROC, &none) != 0 ||
        pthread_create(&thread, NULL, do_nothing, NULL) == 0)
        process_skip(process, "threads cannot be forbidden");

    options.threads = 4;
    options.no_background = false;
    for (int i = 0; i < 2; i++) {
        struct bitcask *cask = process_open(process, &options, "an open without threads");

        process_check(process, cask, 0, "what an open without threads finds");
        process_write_some(process, cask, 200);
        process_expect(process, bitcask_sync(cask), PROCESS_OK, "a sync");
        process_check(process, cask, 0, "after writes without threads");
        process_close(process, cask, "a close without threads");
    }
    process_count(process, PROCESS_THREAD_LIMITS);
}

bool process_round_threads(struct process *process)
{
    if (mkdir(process->directory, 0777) != 0 || chmod(process->directory, 0777) != 0)
        return false;
    return process_run(process, limit_threads, process->seed, "without threads");
}
