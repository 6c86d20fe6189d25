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

/* One call of verify or of repair. */
struct attempt {
    struct sim_disk *disk;
    long failures; /* that it has met */
    char what[100];
};

/* What a call says that has met failures. */
static bool judge_status(struct doctor_trial *trial, const struct round *round,
                         const struct attempt *attempt)
{
    const struct doctor_notes *notes = &trial->again;
    const char *what = attempt->what;

    if (sim_disk_open_count(attempt->disk) != 0)
        return damage_blame(&trial->base, "%s: %ld handles stay open", what,
                            sim_disk_open_count(attempt->disk));
    if (notes->status != BITCASK_OK && notes->detail[0] == '\0')
        return damage_blame(&trial->base, "%s: it has no words", what);
    if (round->allocations && attempt->failures > 0 &&
        notes->status != BITCASK_NO_MEMORY && notes->status != trial->verify.status &&
        notes->status != BITCASK_OK)
        return damage_blame(&trial->base, "%s: %s", what, notes->detail);
    return true;
}

/* Fail from the @n-th on, on a disk of its own, which the caller frees. */
static bool attempt_call(struct doctor_trial *trial, const struct round *round, long n,
                         bool repairs, struct attempt *attempt)
{
    attempt->disk = doctor_disk(trial);
    arm(round, attempt->disk, n);
    if (repairs)
        doctor_repair(attempt->disk, DAMAGE_PATH, false, &trial->again);
    else
        doctor_verify(attempt->disk, DAMAGE_PATH, 1, &trial->again);
    attempt->failures = disarm(round, attempt->disk);
    (void)snprintf(attempt->what, sizeof attempt->what, "%s, %s %ld fails (status %d)",
                   repairs ? "repair" : "verify", round->what, n, trial->again.status);
    return judge_status(trial, round, attempt);
}

/* A check that could not be made must not find that all is well. */
static bool judge_verify(struct doctor_trial *trial, const struct round *round)
{
    for (long n = 0; n < CALLS_MAX; n++) {
        struct attempt attempt;
        bool right = attempt_call(trial, round, n, false, &attempt);

        if (right && trial->again.status == BITCASK_OK)
            right = damage_blame(&trial->base, "%s: no damage", attempt.what);
        sim_disk_free(attempt.disk);
        if (!right || attempt.failures == 0)
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
        struct attempt attempt;
        bool right = attempt_call(trial, round, n, true, &attempt);

        if (right && attempt.failures == 0 && trial->again.status != BITCASK_OK)
            right = damage_blame(&trial->base, "%s: but none did: %s", attempt.what,
                                 trial->again.detail);
        if (right && trial->again.status == BITCASK_OK &&
            doctor_count(&trial->again, BITCASK_FINDING_UNREADABLE) > 0)
            right = judge_unreadable(trial, attempt.disk, attempt.what);
        else
            right =
                right && doctor_judge_left(trial, attempt.disk, n % 2 == 1, attempt.what);
        sim_disk_free(attempt.disk);
        tried++;
        if (!right || attempt.failures == 0) {
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
