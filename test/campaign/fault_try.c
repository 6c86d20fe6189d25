/* SPDX-License-Identifier: MIT */
#include "test/campaign/fault_try.h"

#include <stdio.h>
#include <string.h>

#include "test/campaign/fault_files.h"
#include "test/test_alloc.h"

const char *const layer_names[LAYER_COUNT] = { "system", "door", "memory" };

enum {
    CRASHES_MAX = 3 /* moments in one try */
};

struct
try {
    const struct stage *stage;
    const struct fault *fault;
    long n;
    struct run run;
    bool clear; /* the fault is over */
    bool met;   /* it is known to have struck */
    long failure_count;
    unsigned seen_count; /* of the calls that said so */
    unsigned crash_count;
};

static void arm_door(struct try *try)
{
    const struct fault *fault = try->fault;
    struct fault_plan plan = {
        .calls = fault->door_calls,
        .skip = try->n,
        .count = fault->from ? FAULT_FOREVER : 1,
        .status = fault->door_status,
        .error = fault->error,
        .partial_size = fault->partial_size,
    };

    sim_disk_arm(try->run.disk, &plan);
}

static void arm(struct try *try)
{
    const struct fault *fault = try->fault;
    struct system_plan plan = {
        .call = fault->system_call,
        .how = fault->system_how,
        .error = fault->error,
        .skip = try->n,
    };

    switch (fault->layer) {
    case LAYER_SYSTEM:
        system_arm(&plan);
        break;
    case LAYER_DOOR:
        arm_door(try);
        break;
    default:
        if (fault->from)
            test_alloc_fail_from(try->n);
        else
            test_alloc_fail(try->n);
    }
}

static void clear(struct try *try)
{
    if (try->clear)
        return;
    switch (try->fault->layer) {
    case LAYER_SYSTEM:
        try->failure_count = system_disarm();
        break;
    case LAYER_DOOR:
        try->failure_count = sim_disk_failure_count(try->run.disk);
        sim_disk_disarm(try->run.disk);
        break;
    default:
        try->failure_count = test_alloc_stop();
    }
    try->clear = true;
    try->run.calm = true;
    try->run.fault_met = try->failure_count > 0;
    if (try->failure_count == 0 && try->run.failed_count > 0)
        run_problem(&try->run, "a call fails though nothing was failed");
}

/* Of allocations it is known only when they are counted. */
static bool has_struck(const struct try *try)
{
    switch (try->fault->layer) {
    case LAYER_SYSTEM:
        return system_failure_count() > 0;
    case LAYER_DOOR:
        return sim_disk_failure_count(try->run.disk) > 0;
    default:
        return try->run.failed_count > 0;
    }
}

/*
 * Threads in the background may be at the disk. A disk that never failed is looked at
 * once, at the end.
 */
static void crash(struct try *try)
{
    bool alone = !try->stage->scenario->threads || try->run.cask == NULL;

    if (alone && try->fault->layer == LAYER_DOOR && try->crash_count++ < CRASHES_MAX)
        run_crash(&try->run);
}

static void step(struct run *run, void *context)
{
    struct try *try = context;
    bool said = run->failed_count > try->seen_count;

    if (!try->met && has_struck(try)) {
        try->met = true;
        crash(try);
    } else if (said) {
        crash(try);
    }
    if (!said)
        return;
    try->seen_count = run->failed_count;
    if (!try->fault->from)
        clear(try);
    if (run->cask == NULL || !run_is_well(run))
        return;
    run_look(run);
    if (try->fault->from || run->options.read_only || !run_is_well(run))
        return;
    run_put(run, 5, 3000); /* so large that it begins the next file */
    crash(try);
}

/* Half of the faults that last are over before close; those of one call anyway. */
static void before_close(struct run *run, void *context)
{
    struct try *try = context;

    if (try->fault->transparent || !try->met || (try->fault->from && try->n % 2 == 1))
        return;
    clear(try);
    if (!run->options.read_only)
        run_put(run, 3, 40);
    if (run_is_well(run))
        run_look(run);
    crash(try);
}

/* Nothing must be left open; a reader must have changed nothing. */
static void check_left(struct try *try, const char *directory, uint64_t hash,
                       unsigned open_count)
{
    struct run *run = &try->run;

    if (run->disk == NULL) {
        unsigned now = files_open_count(directory);

        if (now != open_count)
            run_problem(run, "%u files or mappings are open, before it were %u", now,
                        open_count);
        return;
    }
    if (sim_disk_open_count(run->disk) != 0)
        run_problem(run, "%ld files or mappings are left open",
                    sim_disk_open_count(run->disk));
    if (run->options.read_only && sim_disk_hash(run->disk) != hash)
        run_problem(run, "a read-only cask has changed");
}

static void live(struct try *try, const char *directory)
{
    struct run *run = &try->run;
    uint64_t hash = run->disk != NULL ? sim_disk_hash(run->disk) : 0;
    unsigned open_count = run->disk == NULL ? files_open_count(directory) : 0;

    run->calm = try->fault->transparent;
    run->no_disk_fault = try->fault->layer == LAYER_MEMORY || try->fault->transparent;
    arm(try);
    scenario_live(try->stage->scenario, run, step, before_close, try);
    clear(try);
    if (run->cask != NULL) /* after a problem */
        (void)bitcask_close(run->cask);
    run->cask = NULL;
    if (!run_is_well(run))
        return;
    check_left(try, directory, hash, open_count);
    if (run_is_well(run))
        run_crash(run);
    if (run_is_well(run))
        run_reopen(run, run->ledger.acked_count);
    if (run_is_well(run))
        check_left(try, directory, hash, open_count);
}

void fault_try(const struct stage *stage, const struct fault *fault, long n,
               const char *directory, struct try_result *result)
{
    static struct try try;
    struct run *run = &try.run;
    char path[512];

    memset(&try, 0, sizeof try);
    try.stage = stage;
    try.fault = fault;
    try.n = n;
    run->ledger = stage->ledger;
    run->random = stage->random;
    run->merges = stage->scenario->merges;
    run->options = scenario_options(stage->scenario);
    if (fault->layer == LAYER_SYSTEM) {
        (void)snprintf(path, sizeof path, "%s%s", directory, SCENARIO_PATH);
        files_restore(stage->disk, SCENARIO_PATH, path);
        run->io = bitcask_io_posix();
        run->path = path;
    } else {
        run->disk = sim_disk_after(stage->disk, SIM_KILL, (uint64_t)n);
        run->io = sim_disk_io(run->disk);
        run->path = SCENARIO_PATH;
    }

    live(&try, directory);

    result->failure_count = try.failure_count;
    result->cleared_early = fault->from && n % 2 == 0;
    result->said_count = run->failed_count;
    result->left_count = run->left_count;
    memcpy(result->problem, run->problem, sizeof result->problem);
    sim_disk_free(run->disk);
}
