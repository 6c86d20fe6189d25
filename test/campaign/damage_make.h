/* SPDX-License-Identifier: MIT */
/*
 * How the casks of damage_subject.h come to be: a few sessions, closed or killed, with
 * all that is written in them taken to the books of the subject.
 */
#ifndef TEST_CAMPAIGN_DAMAGE_MAKE_H
#define TEST_CAMPAIGN_DAMAGE_MAKE_H

#include <stdio.h>

#include "bitcask/cask.h"
#include "test/campaign/damage_subject.h"

/* A cask being made. */
struct maker {
    struct damage_subject *subject;
    struct sim_disk *disk;
    struct bitcask *cask;
    uint64_t random;
    size_t size_max; /* of values */
};

struct damage_script {
    const char *name;
    void (*make)(struct maker *maker);
};
extern const struct damage_script damage_scripts[DAMAGE_SUBJECTS];

/* What is not so here is a bug that the campaign is not made to judge. */
#define require(condition)                                                         \
    do {                                                                           \
        if (!(condition)) {                                                        \
            fprintf(stderr, "%s:%d: not %s: %s\n", __FILE__, __LINE__, #condition, \
                    bitcask_error_detail());                                       \
            abort();                                                               \
        }                                                                          \
    } while (0)

#endif
