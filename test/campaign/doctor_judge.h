/* SPDX-License-Identifier: MIT */
/*
 * The judge of those who look into damaged casks, check them, and mend them.
 */
#ifndef TEST_CAMPAIGN_DOCTOR_JUDGE_H
#define TEST_CAMPAIGN_DOCTOR_JUDGE_H

#include "test/campaign/damage_look.h"
#include "test/campaign/doctor_note.h"
#include "test/campaign/doctor_truth.h"

/* What a cask answers: by key, the sequence whose value it has. */
struct doctor_answers {
    enum bitcask_status status; /* of the open */
    uint64_t values[DAMAGE_KEYS];
    uint64_t live_count;
    struct bitcask_stat stat;
};

enum {
    /* Beside sequences. */
    DOCTOR_NOTHING = 0,
    DOCTOR_CORRUPT = DAMAGE_OPS_MAX + 1,
    DOCTOR_INVENTED,
    DOCTOR_FAILED
};

struct doctor_trial {
    struct damage_trial base;
    const struct doctor_map *map;
    bool crashes; /* try a crash, and a failure, at every call of the repair */
    bool threads; /* verify with several */
    bool opened;  /* it was opened for writing, which makes bad hints anew */
    struct doctor_truth truth;
    struct doctor_notes verify; /* of the damaged cask */
    struct doctor_notes dry;    /* repair, without doing it */
    struct doctor_notes repair;
    struct doctor_notes again;   /* any other call */
    struct doctor_answers final; /* of the repaired cask */
};

/* False: see trial->base.why. */
bool doctor_judge(struct doctor_trial *trial);

/* Its parts. Walk over every file with an inspector. */
bool doctor_judge_walks(struct doctor_trial *trial);
/* What verify said, and what it had to say. */
bool doctor_judge_verify(struct doctor_trial *trial);
/* What repair said, and has done to trial->base.disk. */
bool doctor_judge_repair(struct doctor_trial *trial);
/* That another repair of the same cask is taken up wherever a crash ends it. */
bool doctor_judge_crashes(struct doctor_trial *trial);
/* The same of calls and allocations that fail, in verify as well. */
bool doctor_judge_failures(struct doctor_trial *trial);

/* A new disk with the damaged cask. */
struct sim_disk *doctor_disk(const struct doctor_trial *trial);
/*
 * What a repair has left on @left, which may be anything between the damaged cask and the
 * mended one: it opens, and says nothing new, or does not; then repair goes on, and comes
 * to what trial->final has. With @writes, it is opened for writing first.
 */
bool doctor_judge_left(struct doctor_trial *trial, struct sim_disk *left, bool writes,
                       const char *what);

/* Open the cask on @disk read-only and ask for every key. False: handles stay open. */
bool doctor_ask(struct doctor_trial *trial, struct sim_disk *disk,
                struct doctor_answers *answers);

/* Every data file, hint and MANIFEST of the image is on @disk, maybe in quarantine. */
bool doctor_judge_kept(struct doctor_trial *trial, const struct sim_disk *disk);

/* The newest record of key number @key that must be kept; 0: there is none. */
uint64_t doctor_kept(const struct doctor_trial *trial, unsigned key);

/* Whether record @sequence, as it is in the files, says that its key has no value. */
bool doctor_is_gone(const struct doctor_trial *trial, uint64_t sequence);

/* The number of the key; DAMAGE_KEYS: it is none. */
unsigned doctor_key_number(const char *key);

#endif
