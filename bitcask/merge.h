/* SPDX-License-Identifier: MIT */
/*
 * Merging, between its files and for those who open and close.
 *
 * merge_plan.c decides, merge_copy.c copies what is live, merge_step.c replaces a few
 * files by what was copied, merge_run.c does one step after the other, and merge_turn.c
 * sees to it that there is one merge at a time.
 */
#ifndef BITCASK_MERGE_H
#define BITCASK_MERGE_H

#include "bitcask/cask.h"
#include "bitcask/merge_plan.h"
#include "bitcask/status.h"
#include "hint/hint.h"

enum bitcask_status bitcask_merges_init(struct bitcask_merges *merges);
void bitcask_merges_release(struct bitcask_merges *merges);

/*
 * Let none begin any more, and the merge that runs end when its step is done, which it
 * may hurry to do until @until_ms of the monotonic clock; after that at the next good
 * place.
 */
void bitcask_merges_stop(struct bitcask_merges *merges, uint64_t until_ms);

/*
 * Merge if it is due. BITCASK_OK: it is not due any more, or somebody else merges.
 * Anything else: it is no use to try again soon.
 */
enum bitcask_status bitcask_merge_by_itself(struct bitcask *cask);

struct bitcask_merge_copier;
struct bitcask_merge_finisher;

/* One merge on its way. */
struct bitcask_merge_run {
    struct bitcask *cask;
    const struct bitcask_merge_options *options;
    struct bitcask_merge_report *report;
    struct bitcask_plan plan;
    bool by_itself;
    uint64_t begun_ms;
    uint64_t paced_size; /* read since */
    bool hurries;        /* the rate does not count: there is too much garbage */
    uint64_t lost_ms;    /* in which less was read than was allowed */
    uint64_t done_size;
    uint64_t copied_size;
    uint64_t total_size;

    struct bitcask_manifest_segment *drafts; /* ids that were given out */
    size_t draft_count;
    size_t draft_next;
    struct bitcask_merge_copier *copier; /* memory to copy with */
    struct bitcask_merge_finisher *finisher;

    bool in_step;
    bool made_way;                            /* somebody has called for a merge */
    bool stopped;                             /* a checkpoint has said so, */
    enum bitcask_status stop_status;          /* and with this the merge ends */
    char crowded_detail[BITCASK_DETAIL_SIZE]; /* of the last NO_SPACE */
    enum bitcask_status status;               /* of the first failure, with its words */
    char detail[BITCASK_DETAIL_SIZE];
};

/*
 * TURNS, merge_turn.c. begin: wait for ours. BITCASK_NOT_FOUND: there is no need to run,
 * somebody else does or the cask is being closed. It begins at rest.
 */
enum bitcask_status bitcask_merge_begin_run(struct bitcask_merges *merges,
                                            bool by_itself);
void bitcask_merge_end_run(struct bitcask_merges *merges);
/*
 * Whether one that runs by itself should end when its step has: one is called, or it is
 * the end.
 */
bool bitcask_merge_is_wanted(struct bitcask_merges *merges);
/*
 * Hold up the merge that runs, to look at the files. BITCASK_MISUSE: its own callback
 * asks for it.
 */
enum bitcask_status bitcask_merge_begin_look(struct bitcask_merges *merges);
void bitcask_merge_end_look(struct bitcask_merges *merges);
/* From here on nothing is done. */
void bitcask_merge_rest(struct bitcask_merges *merges);
/* Go on, once nobody wants a pause. False: end here. */
bool bitcask_merge_go_on(const struct bitcask_merge_run *run);

/* Whether threads should make it faster. */
bool bitcask_merge_is_fast(const struct bitcask_merge_run *run);

/* RUNNING, merge_run.c. Carry out the plan; the status is that of the first failure. */
enum bitcask_status bitcask_merge_carry_out(struct bitcask_merge_run *run);

/* The first failure is what is told; its words are kept. */
void bitcask_merge_remember(struct bitcask_merge_run *run, enum bitcask_status status);

uint64_t bitcask_merge_elapsed_ms(const struct bitcask_merge_run *run);

/*
 * A good place to stop, to wait, and to tell how far it is; @size bytes were read since
 * the last. BITCASK_NOT_FOUND: end here, quietly. Any other is for the caller to return.
 */
enum bitcask_status bitcask_merge_checkpoint(struct bitcask_merge_run *run,
                                             uint64_t size);

/* An id for an output. The MANIFEST lists it as a draft. */
enum bitcask_status bitcask_merge_take_draft(struct bitcask_merge_run *run,
                                             struct bitcask_manifest_segment *draft);

/*
 * COPYING, merge_copy.c. A copier writes what is live in one input after the other to as
 * many outputs as it takes.
 */
enum bitcask_status bitcask_merge_copier_create(struct bitcask_merge_copier **out,
                                                struct bitcask_merge_run *run);
/* The same with memory for bitcask_merge_repoint() only. */
enum bitcask_status bitcask_merge_copier_create_to_repoint(
    struct bitcask_merge_copier **out, struct bitcask_merge_run *run);
void bitcask_merge_copier_free(struct bitcask_merge_copier *copier);

/* Begin anew, with what to do about tombstones. */
void bitcask_merge_copier_begin(struct bitcask_merge_copier *copier, uint64_t horizon,
                                uint64_t purged_sequence);

/* BITCASK_CORRUPT: @input is damaged. BITCASK_NO_SPACE: the disk is full. */
enum bitcask_status bitcask_merge_copy(struct bitcask_merge_copier *copier,
                                       struct bitcask_segment *input);

/* Whether the last failure of a copy was one to read the input. */
bool bitcask_merge_copier_is_unreadable(const struct bitcask_merge_copier *copier);

/* Count an input that goes without being read. */
void bitcask_merge_copier_skip(struct bitcask_merge_copier *copier, uint64_t record_count,
                               uint64_t tombstone_count);

/* Make the outputs whole and durable. */
enum bitcask_status bitcask_merge_copier_finish(struct bitcask_merge_copier *copier);

/* Remove what has been written; the segments are taken out of the table. */
void bitcask_merge_copier_discard(struct bitcask_merge_copier *copier);

/*
 * Note in *change what was written: sealed, in the table of segments, but no part of the
 * cask. The list is the caller's to free.
 */
enum bitcask_status bitcask_merge_copier_take(const struct bitcask_merge_copier *copier,
                                              struct bitcask_switch *change);

/* Counted by copying, for the report; sizes are bytes. */
struct bitcask_merge_counts {
    uint64_t record_in_count;
    uint64_t record_out_count;
    uint64_t dropped_count;
    uint64_t kept_count;
    uint64_t output_size;
};
const struct bitcask_merge_counts *bitcask_merge_copier_counts(
    const struct bitcask_merge_copier *copier);

/* Let the keydir point to the records of @output where it points to what was copied. */
enum bitcask_status bitcask_merge_repoint(struct bitcask_merge_copier *copier,
                                          struct bitcask_segment *output);

/*
 * Find out by reading how many of the tombstones in @file have to be kept with @horizon.
 */
enum bitcask_status bitcask_merge_count_kept(struct bitcask_merge_run *run,
                                             struct bitcask_plan_file *file,
                                             uint64_t horizon);

/*
 * FINISHING, merge_finish.c: after the switch. Where the merge is to be fast a thread
 * does it while the next step is copied.
 */
struct bitcask_merge_finisher;
enum bitcask_status bitcask_merge_finisher_start(struct bitcask_merge_finisher **out,
                                                 struct bitcask_merge_run *run);
/* Waits until all is done. The status is that of the first failure, with its words. */
enum bitcask_status bitcask_merge_finisher_end(struct bitcask_merge_finisher *finisher);

/*
 * Repoint, and remove the inputs, soon or now; the lists in *change are taken over.
 * BITCASK_IO: a file could not be removed.
 */
enum bitcask_status bitcask_merge_finish(struct bitcask_merge_finisher *finisher,
                                         const struct bitcask_switch *change);

/* Wait for what is being finished. False: there was nothing to wait for. */
bool bitcask_merge_finisher_drain(struct bitcask_merge_finisher *finisher);

/*
 * REPLACING, merge_step.c: merge those @count files from @files on. *damaged is the
 * one that could not be read, or not be believed.
 */
enum bitcask_status bitcask_merge_step(struct bitcask_merge_run *run,
                                       struct bitcask_plan_file *files, size_t count,
                                       uint64_t horizon,
                                       struct bitcask_plan_file **damaged);

#endif
