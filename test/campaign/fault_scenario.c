/* SPDX-License-Identifier: MIT */
#include "test/campaign/fault_scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/campaign/campaign.h"

enum {
    FILE_SIZE = 4096,
    INTERVAL_MS = 20,
    BEFORE_COUNT = 24 /* writes before a scenario that begins with something */
};

const struct scenario scenarios[] = {
    { .name = "create", .sync = BITCASK_SYNC_ALWAYS, .write_count = 5 },
    { .name = "clean",
      .start = START_CLEAN,
      .sync = BITCASK_SYNC_INTERVAL,
      .write_count = 6 },
    { .name = "crashed",
      .start = START_CRASHED,
      .sync = BITCASK_SYNC_NONE,
      .write_count = 4 },
    { .name = "read-only", .start = START_CLEAN, .read_only = true },
    { .name = "read-only-crashed",
      .start = START_CRASHED,
      .read_only = true,
      .no_mapping = true },
    { .name = "salvage", .start = START_DAMAGED, .read_only = true, .salvage = true },
    { .name = "unhinted",
      .start = START_UNHINTED,
      .sync = BITCASK_SYNC_ALWAYS,
      .write_count = 2 },
    { .name = "history-always", .sync = BITCASK_SYNC_ALWAYS, .write_count = 18 },
    { .name = "history-interval",
      .sync = BITCASK_SYNC_INTERVAL,
      .write_count = 18,
      .is_long_on_files = true },
    { .name = "history-none",
      .sync = BITCASK_SYNC_NONE,
      .no_mapping = true,
      .write_count = 18,
      .is_long_on_files = true },
    { .name = "merge",
      .start = START_CLEAN,
      .sync = BITCASK_SYNC_NONE,
      .merges = true,
      .write_count = 2 },
    { .name = "merge-always",
      .start = START_CRASHED,
      .sync = BITCASK_SYNC_ALWAYS,
      .no_mapping = true,
      .merges = true,
      .write_count = 6,
      .is_long = true },
    { .name = "threads",
      .start = START_CRASHED,
      .sync = BITCASK_SYNC_INTERVAL,
      .threads = true,
      .write_count = 10 },
    { .name = "crashed-always",
      .start = START_CRASHED,
      .sync = BITCASK_SYNC_ALWAYS,
      .no_mapping = true,
      .write_count = 12,
      .is_long = true },
    { .name = "clean-always",
      .start = START_CLEAN,
      .sync = BITCASK_SYNC_ALWAYS,
      .write_count = 40,
      .is_long = true },
    { .name = "threads-always",
      .sync = BITCASK_SYNC_ALWAYS,
      .threads = true,
      .write_count = 18,
      .is_long = true },
};
const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;

struct bitcask_options scenario_options(const struct scenario *scenario)
{
    struct bitcask_options options = {
        .read_only = scenario->read_only,
        .salvage = scenario->salvage,
        .no_background = !scenario->threads,
        .no_mapping = scenario->no_mapping,
        .sync = scenario->sync,
        .sync_interval_ms = INTERVAL_MS,
        .threads = scenario->threads ? 3 : 1,
        .file_size_max = FILE_SIZE,
        .merge_auto_off = true,
    };

    return options;
}

static void must_be_well(const struct run *run)
{
    if (run_is_well(run))
        return;
    fprintf(stderr, "a scenario cannot be made: %s\n", run->problem);
    exit(EXIT_FAILURE);
}

/* The last write ends in the middle, and what there is of it cannot be cut off. */
static void write_half(struct run *run)
{
    const struct fault_plan plan = {
        .calls = FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_TRUNCATE),
        .count = 2,
        .partial_size = 100,
    };

    run_put(run, 2, 60); /* so that there is an active file with room */
    run->calm = false;
    sim_disk_arm(run->disk, &plan);
    run_put(run, 2, 300);
    sim_disk_disarm(run->disk);
    run->fault_met = true;
    run->calm = true;
}

/* The name of the oldest file that ends in @end, or the newest. */
static const char *find_file(struct sim_disk *disk, const char *end, bool newest)
{
    const char *found = NULL;
    const char *name;

    for (size_t i = 0; (name = sim_disk_name(disk, SCENARIO_PATH, i)) != NULL; i++) {
        if (strstr(name, end) != NULL && (newest || found == NULL))
            found = name;
    }
    if (found == NULL) {
        fprintf(stderr, "a scenario has no file of the kind %s\n", end);
        exit(EXIT_FAILURE);
    }
    return found;
}

/* Salvage gives what it gives: the same whatever fails. */
static void damage(struct stage *stage, struct run *run)
{
    const char *name = find_file(stage->disk, ".data", false);
    struct ledger_state found;
    static uint8_t copy[2 * LEDGER_VALUE_MAX * RUN_PARTS_MAX];
    size_t size = 0;
    const uint8_t *bytes = sim_disk_file(stage->disk, SCENARIO_PATH, name, &size);

    if (size > sizeof copy)
        abort();
    memcpy(copy, bytes, size);
    copy[size / 2] ^= 0x10;
    sim_disk_put_file(stage->disk, SCENARIO_PATH, name, copy, size);
    sim_disk_remove_file(stage->disk, SCENARIO_PATH,
                         find_file(stage->disk, ".hint", false));

    run->options = scenario_options(stage->scenario);
    run->io = sim_disk_io(stage->disk);
    if (bitcask_open_with(run->io, &run->cask, SCENARIO_PATH, &run->options) !=
        BITCASK_OK) {
        fprintf(stderr, "salvage: %s\n", bitcask_error_detail());
        exit(EXIT_FAILURE);
    }
    run_read(run, run->cask, &found);
    run_close(run);
    ledger_settle(&run->ledger, &found);
}

static void write_before(struct stage *stage, struct run *run)
{
    struct sim_disk *disk = stage->disk;

    run->options = scenario_options(&(struct scenario){ .sync = BITCASK_SYNC_NONE });
    (void)run_open(run);
    for (unsigned i = 0; i < BEFORE_COUNT; i++)
        run_write(run);
    run_sync(run);
    if (stage->scenario->start == START_CRASHED) {
        for (unsigned i = 0; i < 3; i++)
            run_write(run);
        write_half(run);
        stage->disk = sim_disk_after(disk, SIM_KILL, 1);
        stage->ledger = run->ledger;
        run_close(run);
        sim_disk_free(disk);
        must_be_well(run);
        return;
    }
    run_close(run);
    must_be_well(run);
    if (stage->scenario->start == START_UNHINTED)
        sim_disk_remove_file(disk, SCENARIO_PATH, find_file(disk, ".hint", true));
    if (stage->scenario->start == START_DAMAGED)
        damage(stage, run);
    must_be_well(run);
    stage->ledger = run->ledger;
}

void stage_init(struct stage *stage, const struct scenario *scenario, uint64_t seed)
{
    static struct run run;

    memset(stage, 0, sizeof *stage);
    memset(&run, 0, sizeof run);
    stage->scenario = scenario;
    stage->disk = sim_disk_new(seed);
    ledger_init(&stage->ledger, seed);
    run.disk = stage->disk;
    run.io = sim_disk_io(stage->disk);
    run.path = SCENARIO_PATH;
    run.ledger = stage->ledger;
    run.random = seed;
    run.calm = true;
    if (scenario->start != START_NOTHING)
        write_before(stage, &run);
    stage->random = run.random;
}

void stage_release(struct stage *stage)
{
    sim_disk_free(stage->disk);
    memset(stage, 0, sizeof *stage);
}

static void pass_time(struct run *run)
{
    if (run->disk != NULL)
        sim_disk_pass_ms(run->disk, INTERVAL_MS / 3);
}

void scenario_live(const struct scenario *scenario, struct run *run, scenario_step *step,
                   scenario_end *end, void *context)
{
    bool opened = run_open(run);

    step(run, context);
    if (!opened && run->calm && run_is_well(run))
        opened = run_open(run);
    if (!opened || !run_is_well(run))
        return;
    run_look(run);
    for (unsigned i = 0; i < scenario->write_count && run_is_well(run); i++) {
        pass_time(run);
        run_write(run);
        step(run, context);
        if (i % 9 == 5 && run_is_well(run)) {
            run_sync(run);
            step(run, context);
        }
        if (i % 8 == 3 && run_is_well(run))
            run_look(run);
        if (scenario->merges && i % 2 == 1 && run_is_well(run)) {
            run_merge(run, i % 4 == 1 ? BITCASK_MERGE_ALL : BITCASK_MERGE_POLICY);
            step(run, context);
            run_look(run);
        }
    }
    if (run_is_well(run))
        run_look(run);
    if (run_is_well(run))
        end(run, context);
    if (run_is_well(run))
        run_close(run);
}
