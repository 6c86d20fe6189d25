/* SPDX-License-Identifier: MIT */
/*
 * One look at a damaged cask: it is opened in one way, and asked for everything. What
 * the answers are worth is for damage_judge.c to say.
 */
#ifndef TEST_CAMPAIGN_DAMAGE_LOOK_H
#define TEST_CAMPAIGN_DAMAGE_LOOK_H

#include "test/campaign/damage_judge.h"

/* Of one get. */
enum key_verdict {
    KEY_RIGHT,
    KEY_CORRUPT,
    KEY_MISSING,  /* NOT_FOUND, though it has a value */
    KEY_OTHER,    /* a value that it once had, or that was deleted */
    KEY_INVENTED, /* a value that it never had */
    KEY_FAILED    /* any other status */
};

/* One open, and what came of it. */
struct damage_answer {
    const char *how;
    bool salvage;
    enum bitcask_status status;
    char detail[DAMAGE_WHY_SIZE / 2];
    struct bitcask_stat stat;
    enum key_verdict keys[DAMAGE_KEYS];
    unsigned left_count; /* files of which something is not in the cask */
    bool claims_more;    /* than a file has */
    uint64_t iterated_count;
    bool iterated_wrong;
};

/* Note what is wrong; false. */
bool damage_blame(struct damage_trial *trial, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct bitcask_options damage_options(const struct damage_trial *trial);

/* Ask for key number @key in a cask that says it has the prefix up to @sequence. */
enum key_verdict damage_ask(const struct damage_subject *subject, struct bitcask *cask,
                            uint64_t sequence, unsigned key);

/*
 * Open and ask; false if something is wrong with that already. The cask stays open, in
 * *out, unless that is NULL.
 */
bool damage_look(struct damage_trial *trial, struct damage_answer *answer, bool read_only,
                 struct bitcask **out);

#endif
