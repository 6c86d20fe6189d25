/* SPDX-License-Identifier: MIT */
/*
 * What is still there in a damaged cask, and what may be made of it, found by comparing
 * with the undamaged one and with none of the library's checks.
 */
#ifndef TEST_CAMPAIGN_DOCTOR_TRUTH_H
#define TEST_CAMPAIGN_DOCTOR_TRUTH_H

#include "test/campaign/damage_proof.h"

/* Of the record of one sequence. */
enum doctor_state {
    DOCTOR_GONE, /* damaged: it must not be returned any more */
    DOCTOR_MAY,  /* whole, but whether it is this cask's may be doubted */
    DOCTOR_MUST  /* whole, and in its place: it must be kept */
};

/* What the header of a data file of the subject has become. */
enum doctor_header {
    DOCTOR_OWN,
    DOCTOR_DAMAGED,
    DOCTOR_OTHER, /* it is whole, and that of another file */
    DOCTOR_NONE   /* there is no such file, or not so much of it */
};

/* Where the records of a subject lie: what damage_subject.h does not say. */
enum {
    DOCTOR_COPIES = 3
};

struct doctor_copy {
    unsigned file; /* in the subject */
    uint64_t offset;
    uint64_t size; /* 0: there is none */
};

struct doctor_map {
    uint64_t batch_offset[DAMAGE_OPS_MAX + 1]; /* by sequence; 0: in no batch */
    uint64_t batch_size[DAMAGE_OPS_MAX + 1];
    /* Of the same record in what a merge has begun, or left. */
    struct doctor_copy copies[DAMAGE_OPS_MAX + 1][DOCTOR_COPIES];
    bool deletes[DAMAGE_OPS_MAX + 1]; /* a tombstone, maybe what a merge made of a put */
};

void doctor_map_find(struct doctor_map *map, const struct damage_subject *subject);

struct doctor_truth {
    struct damage_facts facts;
    enum doctor_header headers[DAMAGE_FILES_MAX]; /* by file of the subject */
    enum doctor_state states[DAMAGE_OPS_MAX + 1]; /* by sequence */
    bool named[DAMAGE_OPS_MAX + 1];               /* its key can be known */
    uint64_t proven; /* up to here everything is known to have been synced */
    bool exact;      /* nothing but this cask's own files, in their places */
    bool foreign;    /* nothing says which files are this cask's */
    bool newer;      /* something looks like a file of a newer version */
    bool unlisted;   /* the MANIFEST is not the one that belongs to the files */
    bool must_find;  /* verify must find damage; why, in words: */
    char found[120];
    bool must_pass; /* verify must find none */
};

void doctor_truth_find(struct doctor_truth *truth, const struct damage_subject *subject,
                       const struct doctor_map *map, const struct damage_image *image);

/* The name of the hint of data file @id, or of its data file. */
void doctor_hint_name(char name[DAMAGE_NAME_SIZE], uint64_t id);
void doctor_data_name(char name[DAMAGE_NAME_SIZE], uint64_t id);

#endif
