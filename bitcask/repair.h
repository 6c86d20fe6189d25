/* SPDX-License-Identifier: MIT */
/*
 * Repairing a cask, for its parts: repair_origin.c says whose each file is, repair_plan.c
 * what becomes of it, repair_moves.c where to; repair_copy.c writes new ones, repair.c
 * does all of it in the order that a crash cannot hurt.
 *
 * Nothing is mended in its place. What is whole in a damaged file is copied, as a merge
 * would do it, and the file itself is moved out of the way with all that is in it.
 */
#ifndef BITCASK_REPAIR_H
#define BITCASK_REPAIR_H

#include "bitcask/verify.h"

/* A data file that is there. */
struct bitcask_repair_file {
    uint64_t id;          /* by its name */
    uint64_t size;        /* without what was set aside at its end */
    uint64_t unused_size; /* so much of that is there */
    uint64_t end;         /* of what is looked at */
    struct bitcask_identity identity;
    struct bitcask_manifest_segment line; /* what MANIFEST says of what it is */
    bool listed;                          /* it says something */
    bool irregular; /* a directory, a pipe, a link that leads nowhere */
    bool at_home;   /* it has the name that it was made with, and a whole header */
    bool ours;      /* its records belong to the cask */
    bool outside;   /* what MANIFEST says is that a merge has left it */
    bool left;      /* listed, no part of the cask, and for the next open to remove */
    bool proven;    /* all of it had been synced */
    enum bitcask_repair_action action;
    const char *reason;
    struct bitcask_survey survey;

    /* If it is rewritten: the new file. */
    struct bitcask_manifest_segment output;
};

/* A file that is moved to quarantine, under a name that is free there. */
struct bitcask_repair_move {
    char from[BITCASK_NAME_SIZE];
    char to[BITCASK_NAME_SIZE + 8];
    uint64_t size; /* for people */
};

/* What is to be done. Zeroed is released. */
struct bitcask_repair_plan {
    struct bitcask_io *io;
    bitcask_file directory;
    uint64_t now_ms;
    bool manifest_trusted; /* the MANIFEST is whole, and of this cask */
    uint32_t salt_tag;     /* of the files of this cask; 0: nobody knows */
    uint64_t next_id;
    uint64_t sequence; /* the last one */
    uint64_t output_count;

    struct bitcask_verification cask;  /* MANIFEST, directory, verdict of recovery */
    struct bitcask_repair_file *files; /* in order of id */
    size_t file_count;
    struct bitcask_survey *missing; /* listed files that are not there, by their hints */
    size_t missing_count;
    struct bitcask_sequence_set kept; /* sequences of the records that are kept */
    uint64_t gap_first;               /* records without a name are gone: from here */
    uint64_t gap_last;
    uint64_t gap_count; /* so many; 0: none */

    struct bitcask_buffer taken; /* names in quarantine, each with its zero */
    struct bitcask_repair_move *moves;
    size_t move_count;
    size_t move_capacity;
    bool reserve_is_bad;
    bool manifest_is_copied; /* the old one, under manifest_copy */
    struct bitcask_repair_move manifest_copy;
};

/* Nobody counts that far; so such a number is not one that was given out. */
#define BITCASK_REPAIR_ID_MAX (UINT64_MAX / 4)

/* The half of a salt that all files of a cask have in common. */
static inline uint32_t bitcask_repair_tag(uint64_t salt)
{
    return (uint32_t)(salt >> 32);
}

static inline void bitcask_repair_refuse(struct bitcask_repair_file *file,
                                         const char *reason)
{
    file->action = BITCASK_REPAIR_QUARANTINE;
    file->reason = reason;
}

/*
 * ORIGINS, repair_origin.c. See what data files there are; then, whether the MANIFEST is
 * of this cask, and which of them are.
 */
enum bitcask_status bitcask_repair_identify(struct bitcask_repair_plan *plan);
void bitcask_repair_judge_origins(struct bitcask_repair_plan *plan);

/* QUARANTINE, repair_moves.c. What is moved there, now that it is known what is kept. */
enum bitcask_status bitcask_repair_plan_moves(struct bitcask_repair_plan *plan);

/* PLANNING, repair_plan.c. @pace is told of what is read. Nothing is changed. */
enum bitcask_status bitcask_repair_plan(struct bitcask_repair_plan *plan,
                                        struct bitcask_io *io, bitcask_file directory,
                                        struct bitcask_pace *pace, bool reserve_is_bad);
void bitcask_repair_plan_release(struct bitcask_repair_plan *plan);

/*
 * COPYING, repair_copy.c. The new file of @file, with its hint; synced, but for the hint.
 * @pace is told of what is written.
 */
enum bitcask_status bitcask_repair_copy(struct bitcask_repair_plan *plan,
                                        struct bitcask_repair_file *file,
                                        struct bitcask_pace *pace);

/* Write the hint of @file, which stays as it is and is synced. */
enum bitcask_status bitcask_repair_write_hint(struct bitcask_repair_plan *plan,
                                              const struct bitcask_repair_file *file);

/* bitcask_repair() through another door. */
enum bitcask_status bitcask_repair_with(struct bitcask_io *io, const char *directory,
                                        const struct bitcask_repair_options *options,
                                        struct bitcask_repair_report *report);

#endif
