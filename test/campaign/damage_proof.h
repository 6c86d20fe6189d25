/* SPDX-License-Identifier: MIT */
/*
 * What can be said of damaged files by comparing them with those that were there before,
 * without any of the library's own checks.
 */
#ifndef TEST_CAMPAIGN_DAMAGE_PROOF_H
#define TEST_CAMPAIGN_DAMAGE_PROOF_H

#include "test/campaign/damage_kind.h"

struct damage_facts {
    unsigned changed_count; /* files that differ, added and removed ones too */
    bool data_changed;      /* a data file or the MANIFEST among them */
    bool only_extended;     /* and these have nothing but bytes added behind the end */
    bool version_changed;   /* where one may say that the format is newer */
    bool manifest_same;
    bool manifest_known;   /* it is one that this cask once had */
    bool manifest_foreign; /* it is that of the other cask */
    bool data_own;         /* a data file begins as it did */
    bool data_foreign;     /* a data file begins as that of the other cask */
    bool all_foreign;      /* MANIFEST and data are just those of the other cask */
    bool nothing_left; /* neither MANIFEST nor anything that says there were records */
    bool foreign_name; /* one that no cask has */
};

void damage_facts_find(struct damage_facts *facts, const struct damage_subject *subject,
                       const struct damage_image *image);

/* Whether the bytes from @offset on are what they were in file number @file. */
bool damage_is_same(const struct damage_subject *subject,
                    const struct damage_image *image, unsigned file, uint64_t offset,
                    uint64_t size);
/* The same of the whole record @sequence. */
bool damage_has_record(const struct damage_subject *subject,
                       const struct damage_image *image, uint64_t sequence);

/* How the MANIFEST lists data file @id. */
enum damage_listed {
    DAMAGE_UNLISTED,
    DAMAGE_SEALED,
    DAMAGE_OPEN,
    DAMAGE_PREPARED,
    DAMAGE_OUTSIDE /* no part of the cask: a merge writes it, or has replaced it */
};
enum damage_listed damage_listed(const struct damage_image *image, uint64_t id);

/*
 * The highest sequence that anything in @image proves to have been synced: the MANIFEST,
 * a hint, or a later record, of the files that the MANIFEST lists.
 */
uint64_t damage_proven(const struct damage_subject *subject,
                       const struct damage_image *image);

#endif
