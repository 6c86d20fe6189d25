/* SPDX-License-Identifier: MIT */
/*
 * The judge of promise 7: opens a damaged cask in every way, asks for every key, and
 * says whether the answers are allowed.
 */
#ifndef TEST_CAMPAIGN_DAMAGE_JUDGE_H
#define TEST_CAMPAIGN_DAMAGE_JUDGE_H

#include "test/campaign/campaign.h"
#include "test/campaign/damage_proof.h"

enum {
    DAMAGE_WHY_SIZE = 1200
};

struct damage_trial {
    const struct damage_subject *subject;
    const struct damage *damage;
    const struct damage_image *image; /* damaged */
    struct sim_disk *disk;            /* has these files now, and others afterwards */
    struct campaign *campaign;        /* counts what was met */
    bool no_mapping;
    bool goes_on; /* if it opens for writing: write, close, and look again */
    bool merges;  /* and before that, merge all of it */

    struct damage_facts facts;
    char why[DAMAGE_WHY_SIZE]; /* of a failure */
};

/* False: see trial->why. */
bool damage_judge(struct damage_trial *trial);

#endif
