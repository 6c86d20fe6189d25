/* SPDX-License-Identifier: MIT */
/*
 * The casks that are to be damaged: small ones, made from a seed, of which everything is
 * known: each value ever put, each state that there was, what had been synced, where
 * each record lies, and the files as they were at several moments.
 */
#ifndef TEST_CAMPAIGN_DAMAGE_SUBJECT_H
#define TEST_CAMPAIGN_DAMAGE_SUBJECT_H

#include "test/campaign/damage_image.h"

enum {
    DAMAGE_KEYS = 9,
    DAMAGE_OPS_MAX = 300,
    DAMAGE_SNAPSHOTS_MAX = 8,
    DAMAGE_VALUE_MAX = 10240
};

/* What a sequence number did, and where its record lies in subject.image. */
struct damage_op {
    unsigned key;
    bool gone;      /* a tombstone, or expired since long */
    bool ends;      /* a state: no later part of its batch follows */
    uint8_t *value; /* NULL if gone */
    size_t size;
    /* The record; in a batch, the part. Without a size: a merge has dropped it. */
    unsigned file; /* in subject.image */
    uint64_t offset;
    uint64_t head_size; /* prefix and key */
    uint64_t record_size;
    bool in_batch;
};

/* An intact header proves that all records up to @proves had been synced. */
struct damage_witness {
    unsigned file;
    uint64_t offset;
    uint64_t head_size;
    uint64_t sequence;
    uint64_t proves;
};

struct damage_subject {
    const char *name;
    uint64_t seed;
    bool clean;  /* the last session was closed */
    bool merged; /* records may be gone, and parts of batches be alone */
    struct damage_op ops[DAMAGE_OPS_MAX + 1];
    uint64_t last;   /* sequence of the newest record */
    uint64_t synced; /* known to be synced, by what calls have said */
    /* By prefix: the sequence that each key has there, 0 without. */
    uint16_t newest[DAMAGE_OPS_MAX + 1][DAMAGE_KEYS];
    struct damage_witness witnesses[2 * DAMAGE_OPS_MAX];
    unsigned witness_count;
    struct damage_image image;
    struct damage_image snapshots[DAMAGE_SNAPSHOTS_MAX]; /* oldest first */
    unsigned snapshot_count;
    struct damage_image other; /* another cask, made in the same way */
};

enum {
    DAMAGE_SUBJECTS = 12
};
/* Make number @index. Ends the program if that cannot be done. */
struct damage_subject *damage_subject_new(unsigned index, uint64_t seed);
void damage_subject_free(struct damage_subject *subject);
/* "closed", "killed", ... */
const char *damage_subject_name(unsigned index);

/* The bytes of key number @key. */
struct bitcask_slice damage_key(unsigned key);
/* Whether @key has no value in the prefix up to @sequence. */
bool damage_subject_is_gone(const struct damage_subject *subject, uint64_t sequence,
                            unsigned key);
/* Whether @value is that of record @sequence. */
bool damage_subject_has(const struct damage_subject *subject, uint64_t sequence,
                        const struct bitcask_buffer *value);

#endif
