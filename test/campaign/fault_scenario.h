/* SPDX-License-Identifier: MIT */
/*
 * What the calls are made on: casks in all states in which one may be found, and a life
 * of each from open to close.
 */
#ifndef TEST_CAMPAIGN_FAULT_SCENARIO_H
#define TEST_CAMPAIGN_FAULT_SCENARIO_H

#include "test/campaign/fault_run.h"

enum scenario_start {
    START_NOTHING,  /* no directory */
    START_CLEAN,    /* several data files with hints, closed cleanly */
    START_CRASHED,  /* the process died, a record half written */
    START_UNHINTED, /* clean, but the newest hint is gone */
    START_DAMAGED   /* a byte is wrong in an old file, and its hint is gone */
};

struct scenario {
    const char *name;
    enum scenario_start start;
    enum bitcask_sync_mode sync;
    bool no_mapping;
    bool read_only;
    bool salvage;
    bool threads; /* in the background: then the n-th call is not always the same */
    bool merges;  /* now and then, and all of it in the end */
    unsigned write_count;
    bool is_long;          /* only in long mode */
    bool is_long_on_files; /* the same, on real files */
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

#define SCENARIO_PATH "/cask"

/* A scenario made ready: copied for each run. */
struct stage {
    const struct scenario *scenario;
    struct sim_disk *disk;
    struct ledger ledger;
    uint64_t random;
};

void stage_init(struct stage *stage, const struct scenario *scenario, uint64_t seed);
void stage_release(struct stage *stage);

/* Called after each call or few, to see whether something has failed. */
typedef void scenario_step(struct run *run, void *context);
/* Called before close. */
typedef scenario_step scenario_end;

/*
 * A whole life of the cask: open, write, read, close. Goes on until @run has a problem,
 * or does not open while things fail.
 */
void scenario_live(const struct scenario *scenario, struct run *run, scenario_step *step,
                   scenario_end *end, void *context);

/* The options of @scenario. */
struct bitcask_options scenario_options(const struct scenario *scenario);

#endif
