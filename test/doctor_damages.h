/* SPDX-License-Identifier: MIT */
/*
 * Damages to the cask of doctor_fixture.h, each with what there is to tell of it before
 * and after a repair, in the words of that fixture.
 */
#ifndef TEST_DOCTOR_DAMAGES_H
#define TEST_DOCTOR_DAMAGES_H

#include "test/doctor_fixture.h"

struct doctor_damage {
    const char *name;
    void (*hurt)(struct test_disk *disk, uint64_t argument);
    uint64_t argument;
    const char *found;    /* by verify */
    const char *mended;   /* findings of a repair; NULL: the same */
    const char *steps;    /* of it; "": nothing is damaged, so there are none */
    const char *contents; /* after it; NULL: all that there was */
    bool killed;          /* the cask is one that was not closed */
};

extern const struct doctor_damage doctor_damages[];
extern const size_t doctor_damage_count;

/* The one of that name, which there must be. */
const struct doctor_damage *doctor_damage_find(const char *name);

/* Empty the directory, write the cask, and damage it. */
void doctor_damage_make(const struct doctor_damage *damage, struct test_disk *disk);

#endif
