/* SPDX-License-Identifier: MIT */
/*
 * Goes through the casks of damage_subject.h, and through the damages of damage_kind.h,
 * at every place of a cask or at a share.
 */
#ifndef TEST_CAMPAIGN_DAMAGE_EACH_H
#define TEST_CAMPAIGN_DAMAGE_EACH_H

#include "test/campaign/campaign.h"
#include "test/campaign/damage_kind.h"

typedef void damage_visit(const struct damage *damage, void *context);

struct damage_reach {
    const struct damage_subject *subject;
    bool every;      /* bit, length and sector; else a share of them */
    bool is_long;    /* as many random ones as the long mode has */
    uint64_t random; /* of which they follow */
    damage_visit *visit;
    void *context;
};

void damage_each(struct damage_reach *reach);

/* Number @index; @damage is the only one that is wanted, or NULL. */
typedef void damage_try(struct damage_subject *subject, unsigned index,
                        const struct damage *damage, void *context);

/* Make each cask in turn, for @try; with --replay only the one that its words name. */
void damage_each_subject(struct campaign *campaign, damage_try *try, void *context);

#endif
