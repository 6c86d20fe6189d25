/* SPDX-License-Identifier: MIT */
/*
 * Real processes and disks: writers killed at any moment, full and read-only file
 * systems, and what the system may limit. Promises 1, 2, 5, 6 and 8.
 *
 * A round follows from its seed as far as processes let it: --replay 'kills 123' tries
 * that round alone, several times over.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/campaign/process.h"

static const struct kind {
    const char *name;
    bool (*round)(struct process *process);
    unsigned short_count;
    unsigned long_count;
    unsigned replay_count;
} kinds[] = {
    { "kills", process_round_kills, 80, 1000, 20 }, /* of five kills each */
    { "full-disk", process_round_full_disk, 20, 600, 3 },
    { "read-only-mount", process_round_read_only_mount, 10, 200, 3 },
    { "rights", process_round_rights, 2, 20, 1 },
    { "descriptors", process_round_descriptors, 1, 12, 2 },
    { "memory", process_round_memory, 2, 40, 2 },
    { "file-size", process_round_file_size, 2, 40, 2 },
    { "threads", process_round_threads, 3, 20, 2 },
    { "full-merge", process_round_full_merge, 6, 100, 2 },
    { "many-files", process_round_many_files, 1, 2, 1 },
    { "kept-files", process_round_kept_files, 2, 30, 2 },
};

enum {
    KIND_COUNT = sizeof kinds / sizeof *kinds
};

static const char *const counters[PROCESS_COUNTER_COUNT] = {
    [PROCESS_KILLS] = "kills",
    [PROCESS_KILLS_OPENING] = "kills during an open",
    [PROCESS_KILLS_WRITING] = "kills during writes",
    [PROCESS_KILLS_CLOSING] = "kills during a close",
    [PROCESS_KILLS_AT_COUNT] = "kills at an exact write",
    [PROCESS_KILLS_RECOVERING] = "further kills during a recovery",
    [PROCESS_KILLS_THREADED] = "kills of several threads",
    [PROCESS_FOUND_DOUBTFUL] = "writes found that were not acknowledged",
    [PROCESS_READ_ONLY_OPENS] = "read-only opens after an end",
    [PROCESS_WRITES_ACKNOWLEDGED] = "writes acknowledged",
    [PROCESS_FULL_DISKS] = "disks filled",
    [PROCESS_FULL_CREATIONS] = "creations on a full disk",
    [PROCESS_FULL_RESUMED] = "full disks with room again, cask still open",
    [PROCESS_FULL_CLOSES] = "closes on a full disk",
    [PROCESS_FULL_KILLS] = "kills on a full disk",
    [PROCESS_FULL_STATUSES] = "calls that said NO_SPACE",
    [PROCESS_READ_ONLY_MOUNTS] = "read-only mounts",
    [PROCESS_RIGHTS] = "casks without rights",
    [PROCESS_DESCRIPTOR_LIMITS] = "descriptor limits",
    [PROCESS_MEMORY_LIMITS] = "address-space limits",
    [PROCESS_FILE_SIZE_LIMITS] = "file-size limits",
    [PROCESS_THREAD_LIMITS] = "opens without threads",
    [PROCESS_LIMIT_STATUSES] = "calls that a limit made fail",
    [PROCESS_MERGES] = "merges",
    [PROCESS_KILLS_MERGING] = "kills during a merge",
    [PROCESS_FULL_MERGES] = "merges on a full disk",
    [PROCESS_FILES_MERGED] = "files merged with few descriptors",
    [PROCESS_FILES_KEPT] = "merged files that could not be removed",
};

/* Reasons are few, and must stay for the counters: each once. */
static const char *keep(const char *reason)
{
    static char reasons[CAMPAIGN_COUNTERS_MAX - PROCESS_COUNTER_COUNT][240];
    size_t last = sizeof reasons / sizeof *reasons - 1;
    size_t i = 0;

    while (i < last && reasons[i][0] != '\0' && strcmp(reasons[i], reason) != 0)
        i++;
    (void)snprintf(reasons[i], sizeof reasons[i], "%s", reason);
    return reasons[i];
}

static void count_what_children_did(struct process *process)
{
    for (size_t i = 0; i < PROCESS_COUNTER_COUNT; i++) {
        uint64_t count = atomic_exchange(&process->shared->counts[i], 0);

        if (count > 0)
            campaign_count(process->campaign, counters[i], count);
    }
}

/* One round in an empty directory of its own. */
static void try(struct process *process, const struct kind *kind, uint64_t seed)
{
    struct process_shared *shared = process->shared;
    char replay[100];
    char reason[240];

    shared->words[0] = '\0';
    shared->skipped[0] = '\0';
    (void)snprintf(replay, sizeof replay, "%s %" PRIu64, kind->name, seed);
    campaign_try(process->campaign, "%s", replay);
    process_begin(process, seed, process->base);
    if (!kind->round(process))
        campaign_failed(process->campaign, replay, "%s: %s", kind->name, shared->words);
    else if (shared->skipped[0] == '\0')
        campaign_passed(process->campaign);
    if (shared->skipped[0] != '\0') {
        (void)snprintf(reason, sizeof reason, "skipped: %s: %s", kind->name,
                       shared->skipped);
        campaign_count(process->campaign, keep(reason), 1);
    }
    (void)chmod(process->directory, 0700);
    process_remove(process->directory);
    count_what_children_did(process);
}

static void try_all(struct process *process)
{
    struct campaign *campaign = process->campaign;
    uint64_t random = campaign->seed;

    for (size_t i = 0; i < KIND_COUNT; i++) {
        unsigned count = campaign->is_long ? kinds[i].long_count : kinds[i].short_count;

        for (unsigned round = 0; round < count; round++) {
            uint64_t seed = campaign_random(&random) % 1000000000;

            if (!campaign_skips(campaign))
                try(process, &kinds[i], seed);
        }
    }
}

/* The words of --replay: a kind and the seed of its round. */
static bool try_again(struct process *process)
{
    const char *words = process->campaign->replay;

    for (size_t i = 0; i < KIND_COUNT; i++) {
        size_t size = strlen(kinds[i].name);

        if (strncmp(words, kinds[i].name, size) != 0 || words[size] != ' ' ||
            words[size + 1 + strspn(words + size + 1, "0123456789")] != '\0')
            continue;
        for (unsigned round = 0; round < kinds[i].replay_count; round++)
            try(process, &kinds[i], strtoull(words + size, NULL, 10));
        return true;
    }
    campaign_refuse_replay(process->campaign);
}

static struct process process;

/* At exit, since enough failures end the program where they are told. */
static void remove_base(void)
{
    process_remove(process.base);
}

static bool set_up(struct campaign *campaign)
{
    process.campaign = campaign;
    process.shared = mmap(NULL, sizeof *process.shared, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)snprintf(process.base, sizeof process.base, "%.400s/bitcask-process-XXXXXX",
                   campaign->directory);
    if (process.shared == MAP_FAILED || mkdtemp(process.base) == NULL ||
        chmod(process.base, 0755) != 0) {
        perror(process.base);
        return false;
    }
    campaign_on_end(remove_base);
    return true;
}

int main(int argc, char **argv)
{
    struct campaign campaign;

    campaign_begin(&campaign, argc, argv, "process");
    if (!set_up(&campaign))
        return EXIT_FAILURE;
    if (campaign.replay == NULL)
        try_all(&process);
    else if (!try_again(&process))
        campaign.failed++;
    return campaign_end(&campaign);
}
