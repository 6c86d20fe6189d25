/* SPDX-License-Identifier: MIT */
/* Repairs that a crash ends. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/cask.h"
#include "test/campaign/campaign.h"
#include "test/campaign/doctor_judge.h"

enum {
    LEFT_MAX = 4096
};

/* What crashes would leave, each of them once. */
struct crashes {
    struct sim_disk *left[LEFT_MAX];
    uint64_t hashes[LEFT_MAX];
    enum sim_loss losses[LEFT_MAX];
    unsigned count;
    uint64_t random;
};

static void keep(struct crashes *crashes, const struct sim_disk *disk, enum sim_loss loss)
{
    struct sim_disk *left = sim_disk_after(disk, loss, campaign_random(&crashes->random));
    uint64_t hash = sim_disk_hash(left);

    for (unsigned i = 0; i < crashes->count; i++) {
        if (crashes->hashes[i] == hash) {
            sim_disk_free(left);
            return;
        }
    }
    if (crashes->count == LEFT_MAX)
        abort();
    crashes->left[crashes->count] = left;
    crashes->hashes[crashes->count] = hash;
    crashes->losses[crashes->count++] = loss;
}

static void crash_here(struct sim_disk *disk, const struct sim_moment *moment,
                       void *context)
{
    struct crashes *crashes = context;

    switch (moment->call) {
    case FAULT_READ:
    case FAULT_SIZE:
    case FAULT_MAP:
    case FAULT_LOCK:
    case FAULT_RANDOM:
    case FAULT_DIRECTORY_LIST:
        return;
    default:
        break;
    }
    keep(crashes, disk, SIM_KILL);
    keep(crashes, disk, SIM_POWER_NOTHING);
    keep(crashes, disk, SIM_POWER_ANY);
    keep(crashes, disk,
         campaign_random(&crashes->random) % 2 == 0 ? SIM_POWER_ANY : SIM_POWER_PREFIX);
}

struct sim_disk *doctor_disk(const struct doctor_trial *trial)
{
    struct sim_disk *disk = sim_disk_new(trial->base.subject->seed);

    damage_image_write(trial->base.image, disk);
    return disk;
}

/* Open for writing, and close: that may tidy up. */
static bool write_nothing(struct doctor_trial *trial, struct sim_disk *left,
                          const char *what)
{
    struct bitcask_options options = damage_options(&trial->base);
    struct bitcask *cask = NULL;

    if (bitcask_open_with(sim_disk_io(left), &cask, DAMAGE_PATH, &options) != BITCASK_OK)
        return true;
    return bitcask_close(cask) == BITCASK_OK ||
           damage_blame(&trial->base, "%s: close: %s", what, bitcask_error_detail());
}

bool doctor_judge_left(struct doctor_trial *trial, struct sim_disk *left, bool writes,
                       const char *what)
{
    struct doctor_answers answers;

    trial->opened = writes;
    if (!doctor_judge_kept(trial, left) || !doctor_ask(trial, left, &answers) ||
        (writes && !write_nothing(trial, left, what)) || !doctor_judge_kept(trial, left))
        return false;
    for (unsigned key = 0; answers.status == BITCASK_OK && key < DAMAGE_KEYS; key++) {
        if (answers.values[key] == DOCTOR_INVENTED && !trial->truth.foreign)
            return damage_blame(&trial->base, "%s: key %u has a value never put", what,
                                key);
    }
    doctor_repair(left, DAMAGE_PATH, false, &trial->again);
    if (trial->again.status != BITCASK_OK)
        return damage_blame(&trial->base, "%s: another repair: %d %s", what,
                            trial->again.status, trial->again.detail);
    if (!doctor_ask(trial, left, &answers) || !doctor_judge_kept(trial, left))
        return false;
    if (answers.status != BITCASK_OK)
        return damage_blame(&trial->base, "%s: repaired, but it does not open: %s", what,
                            bitcask_error_detail());
    for (unsigned key = 0; key < DAMAGE_KEYS; key++) {
        /* An open for writing removes what a merge has left, and copies with it. */
        if (writes && trial->final.values[key] <= DAMAGE_OPS_MAX &&
            trial->truth.states[trial->final.values[key]] == DOCTOR_MAY)
            continue;
        if (answers.values[key] != trial->final.values[key])
            return damage_blame(&trial->base,
                                "%s: key %u has the value of %" PRIu64
                                " after a second repair, not of %" PRIu64,
                                what, key, answers.values[key], trial->final.values[key]);
    }
    doctor_verify(left, DAMAGE_PATH, 1, &trial->again);
    if (trial->again.status != BITCASK_OK)
        return damage_blame(&trial->base, "%s: repaired again, verify: %s", what,
                            trial->again.finding_count > 0
                                ? trial->again.findings[0].detail
                                : trial->again.detail);
    return true;
}

bool doctor_judge_crashes(struct doctor_trial *trial)
{
    static const char *const names[SIM_LOSS_COUNT] = {
        "killed", "power lost, nothing kept", "power lost, all kept",
        "power lost, a first part kept", "power lost"
    };
    static struct crashes crashes;
    struct sim_disk *disk = doctor_disk(trial);
    bool right = true;

    crashes.count = 0;
    crashes.random = trial->base.subject->seed;
    sim_disk_set_hook(disk, crash_here, &crashes);
    doctor_repair(disk, DAMAGE_PATH, false, &trial->again);
    sim_disk_set_hook(disk, NULL, NULL);
    if (trial->again.status != BITCASK_OK)
        right = damage_blame(&trial->base, "the same repair: status %d: %s",
                             trial->again.status, trial->again.detail);
    /* And then the power fails: it is durable. */
    keep(&crashes, disk, SIM_POWER_NOTHING);
    for (unsigned i = 0; i < crashes.count; i++) {
        char what[80];

        (void)snprintf(what, sizeof what, "repair %s, moment %u of %u",
                       names[crashes.losses[i]], i, crashes.count);
        right = right && doctor_judge_left(trial, crashes.left[i], i % 2 == 1, what);
        sim_disk_free(crashes.left[i]);
    }
    campaign_count(trial->base.campaign, "met: crashes of repair", crashes.count);
    sim_disk_free(disk);
    return right;
}
