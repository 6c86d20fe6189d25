/* SPDX-License-Identifier: MIT */
/*
 * One cask, with calls on it of which any may fail, and the ledger of what is promised.
 *
 * Each function makes calls of the public interface and checks what they say: that a
 * failure has its words, that it changed nothing, and that later calls do not lie. The
 * first thing that is wrong goes into run.problem, and ends the run.
 */
#ifndef TEST_CAMPAIGN_FAULT_RUN_H
#define TEST_CAMPAIGN_FAULT_RUN_H

#include "bitcask/cask.h"
#include "test/campaign/fault_ledger.h"
#include "test/sim_disk.h"

enum {
    RUN_PARTS_MAX = 4 /* of a batch */
};

struct run {
    struct bitcask_io *io;
    struct sim_disk *disk; /* NULL: on real files */
    const char *path;
    struct bitcask_options options;
    struct ledger ledger;
    uint64_t random;

    struct bitcask *cask;
    bool lapsed[LEDGER_KEYS]; /* its last put had expired when it was made */
    bool merges;              /* also when it is reopened */
    bool calm;                /* nothing fails any more: all calls must succeed */
    bool fault_met;           /* something has failed since the cask was opened */
    bool no_disk_fault;       /* the disk never failed: writing cannot have ended */
    bool write_refused;       /* a write said BITCASK_FAILED */
    bool sync_refused;        /* a bitcask_sync() failed */
    unsigned failed_count;    /* calls that said so */
    unsigned left_count;      /* disks left by a crash that were opened */
    char problem[500];        /* "": none */
};

/* Note what is wrong, if nothing is yet. */
void run_problem(struct run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool run_is_well(const struct run *run);

/* True if it opened; then the ledger is settled to what is there. */
bool run_open(struct run *run);

/* One write of a kind that run->random chooses. */
void run_write(struct run *run);
/* One put of @size bytes that nothing else is like. */
void run_put(struct run *run, unsigned key, uint32_t size);
void run_sync(struct run *run);
/* Reads of all kinds, which must show the last acknowledged state. */
void run_look(struct run *run);
void run_close(struct run *run);

/* A merge, of which nothing may be seen but that the files become smaller. */
void run_merge(struct run *run, enum bitcask_merge_choice choice);
/*
 * After a merge of everything that went well: nothing is dead. @opened: it was opened
 * since, so that no other file may be in the directory.
 */
void run_check_merged(struct run *run, bool opened);

/* What a call that failed must have said; to be called before the next one. */
void run_note_failure(struct run *run, const char *call, enum bitcask_status status);
/* Whether a write may say BITCASK_FAILED. */
bool run_may_be_refused(const struct run *run);

/* What @cask holds, by bitcask_get(). */
void run_read(struct run *run, struct bitcask *cask, struct ledger_state *found);

/*
 * With the cask closed: it opens, holds one of the promised states from acked[@low] on,
 * takes writes, and holds them after another opening. Leaves it closed.
 */
void run_reopen(struct run *run, int low);

/* The same for what crashes of all kinds would leave of the simulated disk now. */
void run_crash(struct run *run);

#endif
