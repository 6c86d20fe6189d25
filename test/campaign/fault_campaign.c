/* SPDX-License-Identifier: MIT */
/*
 * Every call failed in turn, once and from then on: of the system on real files, of the
 * door to the system on a simulated disk, and every allocation. The call says so, nothing
 * crashes, hangs or leaks, later calls tell the truth, and when the fault is over a
 * reopened store has all that was promised. Promise 8, and with the disks that a crash
 * leaves after a failure, 2 to 6.
 *
 * A series is one fault in one scenario, for the first call, the second, and so on, until
 * a whole life goes by without it. Its words with the number of the call are what
 * --replay takes.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/campaign/campaign.h"
#include "test/campaign/fault_files.h"
#include "test/campaign/fault_system.h"
#include "test/campaign/fault_table.h"

enum {
    ROUNDS_LONG = 3,
    HANG_SECONDS = 60,
    CALLS_MAX = 20000, /* more than any life has */
    FAILURES_PER_SERIES_MAX = 2,
    FAULTS_MAX = 500,
    TRANSPARENT_STRIDE = 5 /* in short mode: of calls that nobody notices to fail */
};

/* There if the program is built with AddressSanitizer. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static char directory[512]; /* for real files */

static void remove_files(void)
{
    files_remove(directory);
}

/*
 * One series. @only is the number to try, or -1 for all. False: something is wrong, so
 * that the same fault need not be tried in other scenarios.
 */
static bool run_series(struct campaign *campaign, const struct stage *stage,
                       const struct fault *fault, const char *words, long only)
{
    static const char *const failed_words[LAYER_COUNT] = { "system calls failed",
                                                           "door calls failed",
                                                           "allocations failed" };
    unsigned problem_count = 0;
    bool whole = false;
    long stride = fault->transparent && !campaign->is_long ? TRANSPARENT_STRIDE : 1;

    for (long n = only < 0 ? 0 : only; !whole; n += stride) {
        struct try_result result;

        if (n == CALLS_MAX) {
            campaign_failed(campaign, words, "there is no end to the calls");
            break;
        }
        if (campaign_skips(campaign))
            continue;
        campaign_try(campaign, "%s %ld", words, n);
        (void)alarm(HANG_SECONDS);
        fault_try(stage, fault, n, directory, &result);
        (void)alarm(0);
        campaign_count(campaign, "lives of a cask", 1);
        campaign_count(campaign, failed_words[fault->layer],
                       (uint64_t)result.failure_count);
        campaign_count(campaign, "calls that said so", result.said_count);
        campaign_count(campaign, "crashed disks opened", result.left_count);
        if (result.problem[0] == '\0') {
            campaign_passed(campaign);
        } else {
            campaign_failed(campaign, campaign->trying, "%s", result.problem);
            problem_count++;
        }
        whole = only >= 0 || problem_count == FAILURES_PER_SERIES_MAX ||
                (result.failure_count == 0 && !result.cleared_early);
    }
    if (__lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check())
        campaign_failed(campaign, campaign->trying, "memory leaks in %s", words);
    return problem_count == 0;
}

/* The number at the end of --replay if it is of this series; -2: it is not. */
static long replayed(const struct campaign *campaign, const char *words)
{
    size_t length = strlen(words);

    if (campaign->replay == NULL)
        return -1;
    if (strncmp(campaign->replay, words, length) != 0)
        return -2;
    if (campaign->replay[length] == '\0')
        return -1;
    return campaign->replay[length] == ' ' ? atol(campaign->replay + length) : -2;
}

/* Whether @fault is tried in @scenario. */
static bool concerns(const struct campaign *campaign, const struct scenario *scenario,
                     const struct fault *fault)
{
    if (fault->layer == LAYER_SYSTEM && fault->system_call == SYSTEM_PTHREAD_CREATE &&
        !scenario->threads)
        return false;
    if (campaign->is_long)
        return true;
    if (fault->layer == LAYER_SYSTEM && scenario->is_long_on_files)
        return false;
    return !fault->is_long && !scenario->is_long;
}

static void run_scenario(struct campaign *campaign, const struct scenario *scenario,
                         unsigned round)
{
    static bool known[FAULTS_MAX]; /* to go wrong */
    struct stage stage = { 0 };
    struct fault fault;

    for (unsigned i = 0; i < FAULTS_MAX && fault_table_get(i, &fault); i++) {
        char words[160];
        long only;

        if (known[i] || !concerns(campaign, scenario, &fault))
            continue;
        (void)snprintf(words, sizeof words, "%s %s %u %s %s", layer_names[fault.layer],
                       scenario->name, round, fault.call, fault.how);
        only = replayed(campaign, words);
        if (only == -2)
            continue;
        if (stage.disk == NULL)
            stage_init(&stage, scenario, campaign->seed + round);
        known[i] = !run_series(campaign, &stage, &fault, words, only);
    }
    stage_release(&stage);
}

/* Nothing is ever synced here. */
static void make_directory(struct campaign *campaign)
{
    (void)snprintf(directory, sizeof directory, "%s/bitcask-fault-XXXXXX",
                   campaign_memory_directory(campaign));
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        exit(EXIT_FAILURE);
    }
    campaign_on_end(remove_files);
}

/* A few lives make every call there is, unless it never comes to system.c. */
static void check_names(struct campaign *campaign)
{
    const char *never = system_never_made();

    if (campaign->replay == NULL && never != NULL)
        campaign_failed(campaign, "", "%s was never called, or by another name", never);
}

int main(int argc, char **argv)
{
    struct campaign campaign;
    unsigned rounds;

    campaign_begin(&campaign, argc, argv, "fault");
    make_directory(&campaign);
    /* Memory that is given back and had again costs more than all else here. */
    (void)mallopt(M_MMAP_THRESHOLD, 64 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
    rounds = campaign.is_long ? ROUNDS_LONG : 1;
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < scenario_count; i++)
            run_scenario(&campaign, &scenarios[i], round);
    }
    check_names(&campaign);
    return campaign_end(&campaign);
}
