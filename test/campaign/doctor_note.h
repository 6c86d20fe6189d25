/* SPDX-License-Identifier: MIT */
/*
 * Verify and repair of the cask on a simulated disk, and all that they tell.
 */
#ifndef TEST_CAMPAIGN_DOCTOR_NOTE_H
#define TEST_CAMPAIGN_DOCTOR_NOTE_H

#include "bitcask/inspect.h"
#include "test/campaign/damage_image.h"

enum {
    DOCTOR_FINDINGS_MAX = 1000,
    DOCTOR_STEPS_MAX = 2 * DAMAGE_FILES_MAX,
    DOCTOR_DETAIL_SIZE = 240,
    DOCTOR_KEY_SIZE = 40
};

struct doctor_finding {
    enum bitcask_finding_kind kind;
    enum bitcask_effect effect;
    char file[DAMAGE_NAME_SIZE];
    char detail[DOCTOR_DETAIL_SIZE];
    uint64_t offset;
    uint64_t size;
    uint64_t sequence;
    uint64_t newest_sequence;
    char key[DOCTOR_KEY_SIZE]; /* no key of a subject has a zero in it */
};

struct doctor_step {
    enum bitcask_repair_action action;
    char file[DAMAGE_NAME_SIZE];
    char moved_to[2 * DAMAGE_NAME_SIZE];
    char reason[DOCTOR_DETAIL_SIZE];
    uint64_t size;
    uint64_t record_count;
};

/* What one call has told. */
struct doctor_notes {
    enum bitcask_status status;
    char detail[DOCTOR_DETAIL_SIZE];
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    unsigned finding_count;
    struct doctor_step steps[DOCTOR_STEPS_MAX];
    unsigned step_count;
    bool overflow; /* there was more, or a text that is longer than any should be */
    struct bitcask_verify_report verify;
    struct bitcask_repair_report repair;
};

/* The cask at @path on @disk. @notes need not be initialised. */
void doctor_verify(struct sim_disk *disk, const char *path, unsigned threads,
                   struct doctor_notes *notes);
void doctor_repair(struct sim_disk *disk, const char *path, bool dry_run,
                   struct doctor_notes *notes);

/* How many findings are of @kind, or of any kind that is damage (kind 0). */
unsigned doctor_count(const struct doctor_notes *notes, enum bitcask_finding_kind kind);
unsigned doctor_count_effect(const struct doctor_notes *notes,
                             enum bitcask_effect effect);

/* The first finding or step in which they differ, in words; NULL: none does. */
const char *doctor_differ(const struct doctor_notes *left,
                          const struct doctor_notes *right);

/* For a person who looks at a failure. */
void doctor_print(const char *what, const struct doctor_notes *notes);

#endif
