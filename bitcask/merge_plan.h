/* SPDX-License-Identifier: MIT */
/*
 * Which data files a merge takes, and what it will give back: numbers in, numbers out.
 * docs/merge.md explains the rules. Knows no file, no lock and no keydir.
 *
 * A tombstone may be dropped when no file that stays behind can hold an older value of
 * its key. A file cannot if all its records are newer, or if a merge has written it
 * after the tombstone was there. So each file has a bound, and the horizon of a set of
 * files is the lowest bound of those that are not in it: tombstones of the set up to the
 * horizon can go.
 */
#ifndef BITCASK_MERGE_PLAN_H
#define BITCASK_MERGE_PLAN_H

#include "bitcask/bitcask.h"

struct bitcask_segment;

/* One data file of the cask. */
struct bitcask_plan_file {
    struct bitcask_segment *segment; /* for whoever carries the plan out */
    uint64_t id;
    uint64_t data_size;
    uint64_t live_size;
    uint64_t live_count;
    uint64_t record_count;
    uint64_t tombstone_size;
    uint64_t tombstone_count;
    uint64_t tombstone_first; /* the smallest sequence of one */
    uint64_t tombstone_last;  /* the largest */
    uint64_t first_sequence;  /* the smallest of its records; 0: it has none */
    uint64_t last_sequence;   /* the largest */
    uint64_t purged_sequence;
    bool active;
    bool damaged;
    bool expires;

    /* What is decided. */
    enum bitcask_merge_reason reason;
    bool taken;
    uint32_t step;      /* of those taken: when, from 0 on */
    uint64_t kept_size; /* and so many bytes of its tombstones have to be kept */
    uint64_t kept_count;

    /* Of one that was taken, while the plan is carried out. */
    bool wanted;  /* that it was */
    bool done;    /* it is no more */
    bool crowded; /* left, because there was no room to copy what is live in it */
};

struct bitcask_plan {
    struct bitcask_plan_file *files; /* the caller's */
    size_t file_count;
    unsigned dead_percent;
    uint64_t file_size_max;
    uint64_t step_size; /* bytes that one step may write, or one file if that is more */
};

/* Whether the files have more than @trigger_size bytes, dead_percent of them dead. */
bool bitcask_plan_due(const struct bitcask_plan *plan, uint64_t trigger_size);

/* Decide which files are taken, and why. */
void bitcask_plan_choose(struct bitcask_plan *plan);
void bitcask_plan_choose_all(struct bitcask_plan *plan);
/* BITCASK_NOT_FOUND: there is no file of one of @ids. */
enum bitcask_status bitcask_plan_choose_files(struct bitcask_plan *plan,
                                              const uint64_t *ids, size_t count);

/*
 * Bring the files taken to the front, in the order of their merging, and divide them
 * into steps. The first may be of files that need not be read. Returns how many steps.
 */
uint32_t bitcask_plan_divide(struct bitcask_plan *plan);

/* The highest sequence up to which tombstones can go in @step. */
uint64_t bitcask_plan_horizon(const struct bitcask_plan *plan, uint32_t step);

/* Whether all of @file goes, whatever its records are, if @horizon is the horizon. */
bool bitcask_plan_is_all_dead(const struct bitcask_plan_file *file, uint64_t horizon);

/* About how many bytes of @file have to be written again, and by how many it shrinks. */
uint64_t bitcask_plan_copied_size(const struct bitcask_plan_file *file);
uint64_t bitcask_plan_freed_size(const struct bitcask_plan_file *file);

#endif
