/* SPDX-License-Identifier: MIT */
/*
 * Threads on few keys of one cask, while files of a few KiB rotate and merges run. Every
 * call is written down with its beginning and its end, and afterwards a judge decides of
 * each key whether its calls can have happened one after the other: test/linear.h. So
 * promise 1, that nothing is torn, and what iterators, views and multi-gets promise.
 *
 * What is tried in a round follows from its seed, what threads make of it does not:
 * --replay 'ROUND' tries that round several times over.
 */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/campaign/campaign.h"
#include "test/campaign/threads_crowd.h"

enum {
    SHORT_ROUND_COUNT = 100,
    LONG_ROUND_COUNT = 4000,
    REPLAY_COUNT = 20,
    WORKERS_MAX = 6,
    WALKERS_MAX = 2,
    CALL_COUNT = 4000, /* of a worker in a round, where nothing is slow */
    ROUND_MS = 4000,   /* else a round ends after so long */
    HANG_SECONDS = 60,
    EXPLANATION_SIZE = 4000
};

static const char *const counters[THREADS_COUNTER_COUNT] = {
    [THREADS_PUTS] = "puts",
    [THREADS_DELETES] = "deletes",
    [THREADS_GETS] = "gets",
    [THREADS_MULTI_GETS] = "multi-gets",
    [THREADS_VIEWS] = "views",
    [THREADS_BATCHES] = "batches",
    [THREADS_ITERATIONS] = "iterations",
    [THREADS_MERGES] = "merges that were called for",
    [THREADS_OTHER_CALLS] = "other calls",
};

static struct campaign campaign;
static char base[512];
static char directory[520];
static size_t states_peak; /* that a judge kept at a time */

static struct threads_crowd crowd;
static struct threads_member members[THREADS_MEMBERS_MAX]; /* the first is this thread */
static unsigned member_count;
static uint64_t last_id;     /* of a data file of the round */
static uint64_t merge_count; /* in the round, those that began by themselves too */
static char explanation[EXPLANATION_SIZE];

int __real_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);

/*
 * The library's own threads block all signals, and one that crashes with its signal
 * blocked ends the program without a word. Here it is to say what it was at.
 */
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };
    sigset_t rest;

    if (set == NULL || how == SIG_UNBLOCK)
        return __real_pthread_sigmask(how, set, before);
    rest = *set;
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        (void)sigdelset(&rest, crashes[i]);
    return __real_pthread_sigmask(how, &rest, before);
}

static void remove_files(const char *path)
{
    DIR *files = opendir(path);
    const struct dirent *entry;

    while (files != NULL && (entry = readdir(files)) != NULL)
        (void)unlinkat(dirfd(files), entry->d_name, 0);
    if (files != NULL)
        (void)closedir(files);
    (void)rmdir(path);
}

static void clean_up(void)
{
    remove_files(directory);
    (void)rmdir(base);
}

/*
 * How the cask of @round is opened: one of twelve ways after the other, also where only
 * one round in ten is tried.
 */
static struct bitcask_options choose_options(uint64_t round, uint64_t *random)
{
    static const enum bitcask_sync_mode modes[] = { BITCASK_SYNC_NONE,
                                                    BITCASK_SYNC_ALWAYS,
                                                    BITCASK_SYNC_INTERVAL };
    uint64_t way = (round + round / 10) % 12;
    struct bitcask_options options = {
        .no_mapping = way % 2 == 1,
        .sync = modes[way / 2 % 3],
        .no_background = way / 6 == 1,
        .sync_interval_ms = 1 + (uint32_t)campaign_random_below(random, 20),
        .file_size_max = (uint64_t)4096 << campaign_random_below(random, 4),
        .merge_auto_off = campaign_random_below(random, 4) == 0,
        .merge_trigger_size = (uint64_t)8192 << campaign_random_below(random, 4),
        .merge_dead_percent = 1 + (uint32_t)campaign_random_below(random, 60),
        .merge_rate = UINT64_MAX,
    };

    return options;
}

static void choose_keys(uint64_t *random)
{
    static const unsigned limits[] = { 3, 12, 12, THREADS_KEYS_MAX };
    unsigned limit = limits[campaign_random_below(random, 4)];

    crowd.key_count = 1 + (unsigned)campaign_random_below(random, limit);
    crowd.hot_count = 1 + (unsigned)campaign_random_below(random, 4);
    if (crowd.hot_count > crowd.key_count)
        crowd.hot_count = crowd.key_count;
}

static void begin_members(unsigned count, uint64_t seed)
{
    member_count = count;
    for (unsigned i = 0; i < count; i++) {
        memset(&members[i], 0, sizeof members[i]);
        members[i].crowd = &crowd;
        members[i].number = i;
        members[i].random = seed + i;
        members[i].random = campaign_random(&members[i].random);
    }
}

/* Let the threads run until the workers, which come first, have ended. */
static bool run_members(unsigned worker_count, unsigned walker_count)
{
    unsigned begun = 1;

    while (begun < member_count) {
        void *(*run)(void *) = begun <= worker_count ? threads_run_worker
                               : begun <= worker_count + walker_count
                                   ? threads_run_iterations
                                   : threads_run_merges;

        if (pthread_create(&members[begun].thread, NULL, run, &members[begun]) != 0)
            break;
        begun++;
    }
    if (begun < member_count)
        atomic_store(&crowd.stops, true);
    for (unsigned i = 1; i < begun; i++) {
        if (i == worker_count + 1)
            atomic_store(&crowd.stops, true);
        (void)pthread_join(members[i].thread, NULL);
    }
    return begun == member_count;
}

static enum bitcask_status add_live(const struct bitcask_segment_stat *segment,
                                    void *context)
{
    *(uint64_t *)context += segment->live_count;
    if (segment->id > last_id)
        last_id = segment->id;
    return BITCASK_OK;
}

/* All threads have ended. Read every key; what the cask counts must be so. */
static void look(struct threads_member *member)
{
    struct bitcask *cask = crowd.cask;
    struct bitcask_stat stat = { 0 };
    uint64_t live_count = 0, present_count = 0;

    for (unsigned key = 0; key < crowd.key_count; key++) {
        threads_get(member, key);
        present_count += member->log.count > 0 &&
                         member->log.notes[member->log.count - 1].call.kind == LINEAR_GET;
    }
    threads_iterate(member);
    if (bitcask_merge_pause(cask) != BITCASK_OK ||
        bitcask_stat(cask, &stat) != BITCASK_OK ||
        bitcask_stat_segments(cask, add_live, &live_count) != BITCASK_OK ||
        bitcask_merge_resume(cask) != BITCASK_OK)
        threads_wrong(member, "stat says %s", bitcask_error_detail());
    else if (stat.key_count != present_count || live_count != present_count)
        threads_wrong(member,
                      "%" PRIu64 " keys are there, stat says %" PRIu64 ", and %" PRIu64
                      " records are live",
                      present_count, stat.key_count, live_count);
    else if (stat.view_count != 0 || stat.merge_failure != 0)
        threads_wrong(member, "%" PRIu64 " views are left, the last merge says %" PRIu64,
                      stat.view_count, stat.merge_failure);
    merge_count += stat.merge_count;
}

static bool open_cask(const struct bitcask_options *options)
{
    if (bitcask_open(&crowd.cask, directory, options) == BITCASK_OK)
        return true;
    threads_wrong(&members[0], "open says %s", bitcask_error_detail());
    return false;
}

static void close_cask(void)
{
    if (bitcask_close(crowd.cask) != BITCASK_OK)
        threads_wrong(&members[0], "close says %s", bitcask_error_detail());
}

/* What happened in the round @seed, into the logs of the members. */
static void run_round(uint64_t round, uint64_t seed)
{
    uint64_t random = seed;
    struct bitcask_options options = choose_options(round, &random);
    unsigned worker_count = 2 + (unsigned)campaign_random_below(&random, WORKERS_MAX - 1);
    unsigned walker_count = (unsigned)campaign_random_below(&random, WALKERS_MAX + 1);
    unsigned merger_count = campaign_random_below(&random, 3) != 0;

    memset(&crowd, 0, sizeof crowd);
    last_id = merge_count = 0;
    choose_keys(&random);
    crowd.call_count = CALL_COUNT;
    crowd.end_ms = threads_clock_ms() + ROUND_MS;
    begin_members(1 + worker_count + walker_count + merger_count, seed);
    if (!open_cask(&options))
        return;
    for (unsigned key = 0; key < crowd.key_count; key++) {
        if (campaign_random_below(&random, 2) == 0)
            threads_put(&members[0], key);
    }
    if (!run_members(worker_count, walker_count))
        threads_wrong(&members[0], "a thread could not be begun");
    look(&members[0]);
    close_cask();
    if (open_cask(&options)) {
        look(&members[0]);
        close_cask();
    }
}

static bool fail(const char *replay)
{
    for (unsigned i = 0; i < member_count; i++) {
        if (members[i].wrong[0] == '\0')
            continue;
        campaign_failed(&campaign, replay, "%s", members[i].wrong);
        return true;
    }
    return false;
}

/* The calls on one key. */
static void judge_key(unsigned key, const struct linear_call *calls, size_t count,
                      const char *replay)
{
    struct linear_verdict verdict = linear_decide(calls, count);

    if (verdict.states_peak > states_peak)
        states_peak = verdict.states_peak;
    switch (verdict.answer) {
    case LINEAR_YES:
        campaign_passed(&campaign);
        break;
    case LINEAR_NO:
        linear_explain(calls, count, verdict.call, explanation, sizeof explanation);
        campaign_failed(&campaign, replay, "no order explains %zu calls on key %u:%s",
                        count, key, explanation);
        break;
    case LINEAR_TOO_HARD:
        campaign_failed(&campaign, replay, "%zu calls on key %u are too many at a time",
                        count, key);
        break;
    case LINEAR_NO_MEMORY:
        campaign_failed(&campaign, replay, "no memory to judge %zu calls", count);
        break;
    }
}

/* Each key's calls next to each other; ends[i] is behind those of key i. */
static struct linear_call *sort_calls(size_t ends[THREADS_KEYS_MAX])
{
    struct linear_call *calls;
    size_t count = 0;

    memset(ends, 0, THREADS_KEYS_MAX * sizeof *ends);
    for (unsigned i = 0; i < member_count; i++) {
        for (size_t j = 0; j < members[i].log.count; j++)
            ends[members[i].log.notes[j].key]++;
        count += members[i].log.count;
    }
    calls = calloc(count + 1, sizeof *calls);
    if (calls == NULL)
        abort();
    count = 0;
    for (unsigned key = 0; key < THREADS_KEYS_MAX; key++) {
        size_t begin = count;

        count += ends[key];
        ends[key] = begin; /* goes up to the end with each call */
    }
    for (unsigned i = 0; i < member_count; i++) {
        for (size_t j = 0; j < members[i].log.count; j++) {
            const struct threads_note *note = &members[i].log.notes[j];

            calls[ends[note->key]++] = note->call;
        }
    }
    campaign_count(&campaign, "calls judged", count);
    return calls;
}

static void judge(const char *replay)
{
    static size_t ends[THREADS_KEYS_MAX];
    struct linear_call *calls = sort_calls(ends);
    size_t begin = 0;

    for (unsigned key = 0; key < crowd.key_count; key++) {
        judge_key(key, calls + begin, ends[key] - begin, replay);
        begin = ends[key];
    }
    free(calls);
}

static void count_what_was_done(void)
{
    for (unsigned i = 0; i < member_count; i++) {
        for (unsigned j = 0; j < THREADS_COUNTER_COUNT; j++)
            campaign_count(&campaign, counters[j], members[i].counters[j]);
        threads_log_release(&members[i].log);
    }
    campaign_count(&campaign, "merges that replaced files", merge_count);
    campaign_count(&campaign, "data files", last_id);
    campaign_count(&campaign, "rounds", 1);
}

static void try_round(uint64_t round)
{
    uint64_t seed = campaign.seed * 1000003 + round;
    char replay[32];

    (void)snprintf(replay, sizeof replay, "%" PRIu64, round);
    campaign_try(&campaign, "%s", replay);
    (void)alarm(HANG_SECONDS);
    run_round(round, campaign_random(&seed));
    (void)alarm(0);
    if (!fail(replay))
        judge(replay);
    count_what_was_done();
    remove_files(directory);
}

static void try_all(void)
{
    uint64_t count = campaign.is_long ? LONG_ROUND_COUNT : SHORT_ROUND_COUNT;

    for (uint64_t round = 0; round < count; round++) {
        if (!campaign_skips(&campaign))
            try_round(round);
    }
}

static void try_again(void)
{
    char *end = NULL;
    uint64_t round = strtoull(campaign.replay, &end, 10);

    if (*campaign.replay < '0' || *campaign.replay > '9' || *end != '\0')
        campaign_refuse_replay(&campaign);
    for (unsigned i = 0; i < REPLAY_COUNT; i++)
        try_round(round);
}

int main(int argc, char **argv)
{
    campaign_begin(&campaign, argc, argv, "threads");
    (void)snprintf(base, sizeof base, "%.400s/bitcask-threads-XXXXXX",
                   campaign_memory_directory(&campaign));
    if (mkdtemp(base) == NULL) {
        perror(base);
        return EXIT_FAILURE;
    }
    (void)snprintf(directory, sizeof directory, "%s/cask", base);
    campaign_on_end(clean_up);
    if (campaign.replay != NULL)
        try_again();
    else
        try_all();
    campaign_count(&campaign, "most states at a time", states_peak);
    return campaign_end(&campaign);
}
