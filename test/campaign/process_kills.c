/* SPDX-License-Identifier: MIT */
/*
 * Writers that are killed, at any moment of opening, writing and closing; promises 1, 2,
 * 5 and 6. A round is a few kills of one cask that grows from nothing.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test/campaign/process.h"

enum {
    KILLS_OF_ROUND = 5,
    LIVES_MAX = 6, /* opens and closes of a writer, then it waits to be killed */
    BURST_MAX = 300,
    DURABLE_BURST_MAX = 24, /* where each write waits for the disk */
    STAGE_WAIT_MS = 60000,
    POLL_US = 100,
};

struct burst {
    struct process *process;
    struct bitcask *cask;
    unsigned lane;
    unsigned count;
    uint64_t random;
    pthread_t thread;
    bool started;
};

static void *write_burst(void *context)
{
    struct burst *burst = context;
    struct process *process = burst->process;
    struct process_lane *lane = &process->shared->lanes[burst->lane];
    uint64_t die_at = burst->lane == 0 ? atomic_load(&process->shared->die_at) : 0;

    for (unsigned i = 0; i < burst->count; i++) {
        process_expect(process, process_write(process, burst->cask, burst->lane),
                       PROCESS_OK | PROCESS_BIT(BITCASK_NOT_FOUND), "a write");
        if (die_at != 0 && atomic_load(&lane->acknowledged) >= die_at)
            (void)kill(getpid(), SIGKILL);
        if (campaign_random_below(&burst->random, 50) == 0)
            process_expect(process, bitcask_sync(burst->cask), PROCESS_OK, "sync");
        if (campaign_random_below(&burst->random, 60) == 0)
            process_merge(process, burst->cask, &burst->random);
        if (campaign_random_below(&burst->random, 100) == 0)
            process_check_lane(process, burst->cask, burst->lane);
    }
    return NULL;
}

/* All lanes at once, the first one in this thread. */
static void write_bursts(struct process *process, struct bitcask *cask, unsigned limit,
                         uint64_t *random)
{
    struct burst bursts[PROCESS_LANE_COUNT];

    memset(bursts, 0, sizeof bursts);
    for (unsigned lane = process->lane_count; lane-- > 0;) {
        struct burst *burst = &bursts[lane];

        burst->process = process;
        burst->cask = cask;
        burst->lane = lane;
        burst->count = 1 + (unsigned)campaign_random_below(random, limit);
        burst->random = campaign_random(random);
        burst->started =
            lane > 0 && pthread_create(&burst->thread, NULL, write_burst, burst) == 0;
        if (!burst->started)
            (void)write_burst(burst);
    }
    for (unsigned lane = 0; lane < process->lane_count; lane++) {
        if (bursts[lane].started)
            (void)pthread_join(bursts[lane].thread, NULL);
    }
}

/* A writer: opens, writes, closes, and again. */
static void live(struct process *process, uint64_t seed)
{
    _Atomic int *stage = &process->shared->stage;

    for (int i = 0; i < LIVES_MAX; i++) {
        uint64_t file_size_max = (uint64_t)4096 << campaign_random_below(&seed, 5);
        struct bitcask_options options = process_options(&seed, file_size_max);
        unsigned limit =
            options.sync == BITCASK_SYNC_ALWAYS ? DURABLE_BURST_MAX : BURST_MAX;
        struct bitcask *cask;

        atomic_store(stage, PROCESS_OPENS);
        cask = process_open(process, &options, "the open of a writer");
        atomic_store(stage, PROCESS_WRITES);
        process_check(process, cask, 0, "what a writer finds");
        write_bursts(process, cask, limit, &seed);
        atomic_store(stage, PROCESS_CLOSES);
        process_close(process, cask, "the close of a writer");
    }
    atomic_store(stage, PROCESS_WAITS);
    for (;;)
        (void)pause();
}

/* Recovers what the last one left, and waits. */
static void only_open(struct process *process, uint64_t seed)
{
    struct bitcask_options options = process_options(&seed, 4096);

    atomic_store(&process->shared->stage, PROCESS_OPENS);
    (void)process_open(process, &options, "an open that only recovers");
    atomic_store(&process->shared->stage, PROCESS_WAITS);
    for (;;)
        (void)pause();
}

static bool has_ended(pid_t child)
{
    siginfo_t info;

    memset(&info, 0, sizeof info);
    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid == child;
}

static void pause_us(uint64_t us)
{
    struct timespec time = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };

    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

/* Until @child is at @stage, or has ended, or @limit_ms have passed. */
static void await_stage(struct process *process, pid_t child, enum process_stage stage,
                        uint64_t limit_ms)
{
    for (uint64_t us = 0; us < limit_ms * 1000; us += POLL_US) {
        int now = atomic_load(&process->shared->stage);

        if (now == (int)stage || now == PROCESS_WAITS || has_ended(child))
            return;
        pause_us(POLL_US);
    }
}

/* Until @child merges, in some; background merges cannot be seen from here. */
static void await_merge(struct process *process, pid_t child)
{
    enum {
        LIMIT_US = 100000
    };

    for (uint64_t us = 0; us < LIMIT_US; us += POLL_US) {
        if (atomic_load(&process->shared->merging) > 0 || has_ended(child))
            return;
        pause_us(POLL_US);
    }
}

/* What a moment to kill is: when to begin to count, and for how long. */
static void await_moment(struct process *process, pid_t child, uint64_t *random)
{
    switch (campaign_random_below(random, 10)) {
    case 0: /* at once */
        return;
    case 8:
    case 9:
        await_stage(process, child, PROCESS_WRITES, STAGE_WAIT_MS);
        await_merge(process, child);
        pause_us(campaign_random_below(random, 1500));
        return;
    case 1:
    case 2:
        await_stage(process, child, PROCESS_OPENS, STAGE_WAIT_MS);
        pause_us(campaign_random_below(random, 1500));
        return;
    case 3:
        await_stage(process, child, PROCESS_CLOSES, STAGE_WAIT_MS);
        pause_us(campaign_random_below(random, 800));
        return;
    default:
        await_stage(process, child, PROCESS_WRITES, STAGE_WAIT_MS);
        pause_us(campaign_random_below(random, 20000));
        return;
    }
}

static void count_kill(struct process *process, bool at_count)
{
    process_count(process, PROCESS_KILLS);
    if (atomic_load(&process->shared->merging) > 0)
        process_count(process, PROCESS_KILLS_MERGING);
    if (process->lane_count > 1)
        process_count(process, PROCESS_KILLS_THREADED);
    if (at_count)
        process_count(process, PROCESS_KILLS_AT_COUNT);
    switch (atomic_load(&process->shared->stage)) {
    case PROCESS_OPENS:
        process_count(process, PROCESS_KILLS_OPENING);
        break;
    case PROCESS_WRITES:
        process_count(process, PROCESS_KILLS_WRITING);
        break;
    case PROCESS_CLOSES:
        process_count(process, PROCESS_KILLS_CLOSING);
        break;
    default:
        break;
    }
}

static bool kill_writer(struct process *process, uint64_t *random)
{
    bool at_count = campaign_random_below(random, 4) == 0;
    uint64_t acknowledged = atomic_load(&process->shared->lanes[0].acknowledged);
    uint64_t die_at = acknowledged + 1 + campaign_random_below(random, 60);
    pid_t child;

    atomic_store(&process->shared->stage, PROCESS_BEGINS);
    atomic_store(&process->shared->merging, 0);
    atomic_store(&process->shared->die_at, at_count ? die_at : 0);
    child = process_start(process, live, campaign_random(random));
    if (child < 0)
        return false;
    if (at_count) /* it does it itself */
        await_stage(process, child, PROCESS_WAITS, 500);
    else
        await_moment(process, child, random);
    (void)kill(child, SIGKILL);
    if (!process_wait(process, child, true, "a writer that was to be killed"))
        return false;
    count_kill(process, at_count);
    return true;
}

static bool kill_recovery(struct process *process, uint64_t *random)
{
    pid_t child;

    atomic_store(&process->shared->stage, PROCESS_BEGINS);
    child = process_start(process, only_open, campaign_random(random));
    if (child < 0)
        return false;
    await_stage(process, child, PROCESS_OPENS, STAGE_WAIT_MS);
    pause_us(campaign_random_below(random, 1500));
    (void)kill(child, SIGKILL);
    if (!process_wait(process, child, true, "a recovery that was to be killed"))
        return false;
    if (atomic_load(&process->shared->stage) == PROCESS_OPENS)
        process_count(process, PROCESS_KILLS_RECOVERING);
    return true;
}

/* A reader, which changes nothing; what it sees is what there will be. */
static void look(struct process *process, uint64_t seed)
{
    struct bitcask_options options = process_options(&seed, 0);
    struct bitcask *cask = NULL;
    bool created = atomic_load(&process->shared->created);
    uint64_t before = process_fingerprint(process);
    enum bitcask_status status;

    options.read_only = true;
    status = bitcask_open(&cask, process->directory, &options);
    process_expect(process, status,
                   PROCESS_OK | (created ? 0 : PROCESS_BIT(BITCASK_NOT_FOUND)),
                   "a read-only open after a kill");
    if (status == BITCASK_OK) {
        process_settle(process, cask, "what a reader finds after a kill");
        process_close(process, cask, "the close of a reader");
        process_count(process, PROCESS_READ_ONLY_OPENS);
    }
    if (process_fingerprint(process) != before)
        process_fail(process, "a read-only open has changed something");
}

static void look_beside(struct process *process, uint64_t *random)
{
    struct bitcask_options options = process_options(random, 0);
    struct bitcask *reader;

    options.read_only = true;
    reader = process_open(process, &options, "a read-only open beside a writer");
    process_check(process, reader, 0, "what a reader beside the writer finds");
    process_close(process, reader, "the close of a reader");
}

/* All is there, it can be written, and opens again to the same. */
static void verify(struct process *process, uint64_t seed)
{
    uint64_t file_size_max = (uint64_t)4096 << campaign_random_below(&seed, 5);
    struct bitcask_options options = process_options(&seed, file_size_max);
    struct bitcask *cask = process_open(process, &options, "the open after a kill");

    process_settle(process, cask, "what is there after a kill");
    process_write_some(process, cask, (unsigned)campaign_random_below(&seed, 8));
    if (campaign_random_below(&seed, 2) == 0)
        process_merge(process, cask, &seed);
    process_check(process, cask, 0, "after writing on after a kill");
    if (campaign_random_below(&seed, 4) == 0)
        look_beside(process, &seed);
    process_close(process, cask, "the close after a kill");

    options = process_options(&seed, file_size_max);
    cask = process_open(process, &options, "the second open after a kill");
    process_check(process, cask, 0, "what the second open after a kill finds");
    process_close(process, cask, "the second close after a kill");
}

static bool verify_kill(struct process *process, uint64_t *random)
{
    bool looks_first = campaign_random_below(random, 4) == 0;
    bool looks_later = campaign_random_below(random, 4) == 0;
    uint64_t recoveries = campaign_random_below(random, 6);

    if (looks_first && !process_run(process, look, campaign_random(random), "a reader"))
        return false;
    for (uint64_t i = 3; i < recoveries; i++) { /* none, one or two */
        if (!kill_recovery(process, random))
            return false;
    }
    if (looks_later && !process_run(process, look, campaign_random(random), "a reader"))
        return false;
    return process_run(process, verify, campaign_random(random), "a check after a kill");
}

bool process_round_kills(struct process *process)
{
    uint64_t random = process->seed;

    process->lane_count = 1;
    if (campaign_random_below(&random, 2) == 0)
        process->lane_count +=
            (unsigned)campaign_random_below(&random, PROCESS_LANE_COUNT);
    for (int i = 0; i < KILLS_OF_ROUND; i++) {
        if (!kill_writer(process, &random) || !verify_kill(process, &random))
            return false;
        campaign_passed(process->campaign);
    }
    return true;
}
