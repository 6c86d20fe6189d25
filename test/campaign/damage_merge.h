/* SPDX-License-Identifier: MIT */
/* Merges of what is damaged, and the casks that are found in the middle of a merge. */
#ifndef TEST_CAMPAIGN_DAMAGE_MERGE_H
#define TEST_CAMPAIGN_DAMAGE_MERGE_H

#include "test/campaign/damage_look.h"
#include "test/campaign/damage_make.h"

/*
 * Merge all of @cask, which has answered as @before says. It may find damage, and says
 * where; the file in which it is stays, and all answers are what they were. False: see
 * trial->why.
 */
bool damage_judge_merge(struct damage_trial *trial, struct bitcask *cask,
                        const struct damage_answer *before);

/* Merge all, or one file in two. */
void damage_merge(struct maker *maker, enum bitcask_merge_choice choice);

/*
 * The same, and the process dies: while the first output is written, or with @retired
 * when it is in its place and nothing has been removed yet.
 */
void damage_merge_and_die(struct maker *maker, bool retired);

#endif
