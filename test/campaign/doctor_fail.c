/* SPDX-License-Identifier: MIT */
/* Calls and allocations that fail, in verify and in repair. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "test/campaign/doctor_judge.h"
#include "test/test_alloc.h"

enum {
    CALLS_MAX = 20000 /* more of them, and it does not end */
};

/* How things fail in one round. */
struct round {
    const char *what;
    bool allocations;
    long count; /* so many calls, or FAULT_FOREVER */
};

/* Begin to fail after @n of them. */
static void arm(const struct round *round, struct sim_disk *disk, long n)
{
    const struct fault_plan plan = { .calls = FAULT_ANY,
                                     .skip = n,
                                     .count = round->count,
                                     .partial_size = (size_t)n % 40 };

    if (!round->allocations)
        sim_disk_arm(disk, &plan);
    else if (round->count == FAULT_FOREVER)
        test_alloc_fail_from(n);
    else
        test_alloc_fail(n);
}

/* How many have failed. */
static long disarm(const struct round *round, struct sim_disk *disk)
{
    long failures = round->allocations ? test_alloc_stop() : sim_disk_failure_count(disk);

    sim_disk_disarm(disk);
    return failures;
}

/* What a call says that has met @failures. */
static bool judge_status(struct doctor_trial *trial, const struct round *round,
                         struct sim_disk *disk, long failures, const char *what)
{
    const struct doctor_notes *notes = &trial->again;

    if (sim_disk_open_count(disk) != 0)
        return damage_blame(&trial->base, "%s: %ld handles stay open", what,
                            sim_disk_open_count(disk));
    if (notes->status != BITCASK_OK && notes->detail[0] == '\0')
        return damage_blame(&trial->base, "%s: it has no words", what);
    if (round->allocations && failures > 0 && notes->status != BITCASK_NO_MEMORY &&
        notes->status != trial->verify.status && notes->status != BITCASK_OK)
        return damage_blame(&trial->base, "%s: %s", what, notes->detail);
    return true;
}

/* A check that could not be made must not find that all is well. */
static bool judge_verify(struct doctor_trial *trial, const struct round *round)
{
    for (long n = 0; n < CALLS_MAX; n++) {
        struct sim_disk *disk = doctor_disk(trial);
        char what[100];
        long failures;
        bool right;

        arm(round, disk, n);
        doctor_verify(disk, DAMAGE_PATH, 1, &trial->again);
        failures = disarm(round, disk);
        (void)snprintf(what, sizeof what, "verify, %s %ld fails (status %d)", round->what,
                       n, trial->again.status);
        right = judge_status(trial, round, disk, failures, what);
        if (right && trial->again.status == BITCASK_OK)
            right = damage_blame(&trial->base, "%s: no damage", what);
        sim_disk_free(disk);
        if (!right || failures == 0)
            return right;
    }
    return damage_blame(&trial->base, "verify does not end");
}

/*
 * A record that the system cannot read is lost like one that is damaged: its file is in
 * quarantine.
 */
static bool judge_unreadable(struct doctor_trial *trial, struct sim_disk *disk,
                             const char *what)
{
    trial->opened = false;
    campaign_count(trial->base.campaign, "allowed: unreadable records are left", 1);
    doctor_verify(disk, DAMAGE_PATH, 1, &trial->again);
    if (trial->again.status != BITCASK_OK)
        return damage_blame(&trial->base, "%s: repaired, but: %s", what,
                            trial->again.findings[0].detail);
    return doctor_judge_kept(trial, disk);
}

static bool judge_repair(struct doctor_trial *trial, const struct round *round)
{
    uint64_t tried = 0;

    for (long n = 0; n < CALLS_MAX; n++) {
        struct sim_disk *disk = doctor_disk(trial);
        char what[100];
        long failures;
        bool right;

        arm(round, disk, n);
        doctor_repair(disk, DAMAGE_PATH, false, &trial->again);
        failures = disarm(round, disk);
        (void)snprintf(what, sizeof what, "repair, %s %ld fails (status %d)", round->what,
                       n, trial->again.status);
        right = judge_status(trial, round, disk, failures, what);
        if (right && failures == 0 && trial->again.status != BITCASK_OK)
            right = damage_blame(&trial->base, "%s: but none did: %s", what,
                                 trial->again.detail);
        if (right && trial->again.status == BITCASK_OK &&
            doctor_count(&trial->again, BITCASK_FINDING_UNREADABLE) > 0)
            right = judge_unreadable(trial, disk, what);
        else
            right = right && doctor_judge_left(trial, disk, n % 2 == 1, what);
        sim_disk_free(disk);
        tried++;
        if (!right || failures == 0) {
            campaign_count(trial->base.campaign, "met: failures of repair", tried);
            return right;
        }
    }
    return damage_blame(&trial->base, "repair does not end");
}

bool doctor_judge_failures(struct doctor_trial *trial)
{
    static const struct round rounds[] = {
        { "call", false, 1 },
        { "each call from", false, FAULT_FOREVER },
        { "allocation", true, 1 },
        { "each allocation from", true, FAULT_FOREVER },
    };

    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        if (!judge_verify(trial, &rounds[i]) || !judge_repair(trial, &rounds[i]))
            return false;
    }
    return true;
}
