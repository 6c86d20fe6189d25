/* SPDX-License-Identifier: MIT */
/* The histories of the casks that are to be damaged. */
#include "test/campaign/damage_make.h"

#include <stdlib.h>
#include <string.h>

#include "test/campaign/campaign.h"
#include "test/campaign/damage_merge.h"

enum {
    BATCH_PARTS_MAX = 4,
    LONG_AGO_MS = 1000 /* in 1970 */
};
#define FAR_AHEAD_MS ((uint64_t)1 << 60)

static uint64_t below(struct maker *maker, uint64_t limit)
{
    return campaign_random_below(&maker->random, limit);
}

static size_t size_below(struct maker *maker, uint64_t limit)
{
    return (size_t)below(maker, limit);
}

static void begin(struct maker *maker)
{
    struct bitcask_options options = { .no_background = true,
                                       .threads = 1,
                                       .sync = BITCASK_SYNC_NONE,
                                       .file_size_max = 4096 };
    struct bitcask_stat stat;

    require(bitcask_open_with(sim_disk_io(maker->disk), &maker->cask, DAMAGE_PATH,
                              &options) == BITCASK_OK);
    require(bitcask_stat(maker->cask, &stat) == BITCASK_OK);
    require(stat.last_sequence == maker->subject->last && stat.cut_count == 0);
    maker->subject->synced = stat.synced_sequence;
    require(maker->subject->synced == maker->subject->last);
}

/* What was synced on the way to the next file is known from stat. */
static void note_synced(struct maker *maker)
{
    struct bitcask_stat stat;

    require(bitcask_stat(maker->cask, &stat) == BITCASK_OK);
    maker->subject->synced = stat.synced_sequence;
}

static void snapshot(struct maker *maker)
{
    struct damage_subject *subject = maker->subject;

    require(subject->snapshot_count < DAMAGE_SNAPSHOTS_MAX);
    damage_image_take(&subject->snapshots[subject->snapshot_count++], maker->disk);
}

static void sync_all(struct maker *maker)
{
    require(bitcask_sync(maker->cask) == BITCASK_OK);
    maker->subject->synced = maker->subject->last;
}

static void end(struct maker *maker)
{
    require(bitcask_close(maker->cask) == BITCASK_OK);
    maker->cask = NULL;
    maker->subject->synced = maker->subject->last;
    maker->subject->clean = true;
}

/* The process dies: the disk goes on without what the close would do. */
static void die(struct maker *maker)
{
    struct sim_disk *left =
        sim_disk_after(maker->disk, SIM_KILL, campaign_random(&maker->random));

    note_synced(maker);
    require(bitcask_close(maker->cask) == BITCASK_OK);
    maker->cask = NULL;
    sim_disk_free(maker->disk);
    maker->disk = left;
    maker->subject->clean = false;
}

/* The record that was just written, or part of one. */
static struct damage_op *add_op(struct maker *maker, unsigned key, bool gone,
                                const uint8_t *value, size_t size)
{
    struct damage_subject *subject = maker->subject;
    struct damage_op *op;

    require(subject->last < DAMAGE_OPS_MAX);
    memcpy(subject->newest[subject->last + 1], subject->newest[subject->last],
           sizeof *subject->newest);
    op = &subject->ops[++subject->last];
    subject->newest[subject->last][key] = (uint16_t)subject->last;
    op->key = key;
    op->gone = gone;
    op->ends = true;
    if (!gone) {
        op->value = malloc(size + 1);
        require(op->value != NULL);
        memcpy(op->value, value, size);
        op->size = size;
    }
    return op;
}

/* Values differ from each other unless they are tiny. Some are files of the cask. */
static size_t make_value(struct maker *maker, uint8_t *value)
{
    size_t size = size_below(maker, below(maker, 8) == 0 ? 4 : maker->size_max);
    uint64_t what = below(maker, 8);

    if (what == 0) {
        const uint8_t *file =
            sim_disk_file(maker->disk, DAMAGE_PATH, "0000000001.data", &size);

        if (file != NULL && size <= maker->size_max) {
            memcpy(value, file, size);
            return size;
        }
        size = size_below(maker, maker->size_max);
    }
    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)campaign_random(&maker->random);
    if (what == 1)
        memset(value, 0, size);
    return size;
}

static void put(struct maker *maker)
{
    static uint8_t value[DAMAGE_VALUE_MAX];
    struct bitcask_slice slice = { value, make_value(maker, value) };
    unsigned key = (unsigned)below(maker, DAMAGE_KEYS);

    require(bitcask_put(maker->cask, damage_key(key), slice) == BITCASK_OK);
    (void)add_op(maker, key, false, value, slice.size);
}

static void put_expiring(struct maker *maker)
{
    static uint8_t value[DAMAGE_VALUE_MAX];
    struct bitcask_slice slice = { value, make_value(maker, value) };
    unsigned key = (unsigned)below(maker, DAMAGE_KEYS);
    bool expired = below(maker, 3) == 0;

    require(bitcask_put_expiring(maker->cask, damage_key(key), slice,
                                 expired ? LONG_AGO_MS : FAR_AHEAD_MS) == BITCASK_OK);
    (void)add_op(maker, key, expired, value, slice.size);
}

static void delete (struct maker *maker)
{
    unsigned key = (unsigned)below(maker, DAMAGE_KEYS);
    bool gone = damage_subject_is_gone(maker->subject, maker->subject->last, key);
    enum bitcask_status status = bitcask_delete(maker->cask, damage_key(key));

    require(status == (gone ? BITCASK_NOT_FOUND : BITCASK_OK));
    if (!gone)
        (void)add_op(maker, key, true, NULL, 0);
}

static void write_batch(struct maker *maker)
{
    static uint8_t values[BATCH_PARTS_MAX][DAMAGE_VALUE_MAX];
    struct bitcask_batch_part parts[BATCH_PARTS_MAX] = { { .deletes = false } };
    unsigned keys[BATCH_PARTS_MAX];
    size_t count = 1 + size_below(maker, BATCH_PARTS_MAX);

    for (size_t i = 0; i < count; i++) {
        keys[i] = (unsigned)below(maker, DAMAGE_KEYS);
        parts[i].key = damage_key(keys[i]);
        parts[i].deletes = below(maker, 4) == 0;
        if (parts[i].deletes)
            continue;
        parts[i].value.data = values[i];
        parts[i].value.size = make_value(maker, values[i]);
        parts[i].expiry_ms = below(maker, 4) == 0 ? FAR_AHEAD_MS : 0;
    }
    require(bitcask_write_batch(maker->cask, parts, count) == BITCASK_OK);
    for (size_t i = 0; i < count; i++) {
        struct damage_op *op = add_op(maker, keys[i], parts[i].deletes,
                                      parts[i].value.data, parts[i].value.size);

        op->in_batch = true;
        op->ends = i + 1 == count;
    }
}

/* What to write. */
enum mix {
    PLAIN,
    MIXED /* with batches and expiry */
};

/* Writes until the data files have about @size bytes more. */
static void write_some(struct maker *maker, enum mix mix, uint64_t size)
{
    struct bitcask_stat stat;
    uint64_t end_size = 0;

    for (;;) {
        uint64_t what = below(maker, 12);

        require(bitcask_stat(maker->cask, &stat) == BITCASK_OK);
        if (end_size == 0)
            end_size = stat.data_size + size;
        if (stat.data_size >= end_size)
            break;
        if (what < 2)
            delete (maker);
        else if (what < 5 && mix == MIXED)
            write_batch(maker);
        else if (what < 7 && mix == MIXED)
            put_expiring(maker);
        else
            put(maker);
    }
    note_synced(maker);
}

/* One file, its hint, and the beginning of the next. */
static void make_closed(struct maker *maker)
{
    maker->size_max = 500;
    begin(maker);
    write_some(maker, PLAIN, 1500);
    end(maker);
    snapshot(maker);
    begin(maker);
    write_some(maker, PLAIN, 3200);
    end(maker);
}

/* The same with the history of four files. */
static void make_reclosed(struct maker *maker)
{
    maker->size_max = 300;
    begin(maker);
    write_some(maker, MIXED, 6000);
    sync_all(maker);
    snapshot(maker);
    write_some(maker, MIXED, 4000);
    end(maker);
    snapshot(maker);
    begin(maker);
    write_some(maker, MIXED, 3000);
    end(maker);
}

static void make_killed(struct maker *maker)
{
    maker->size_max = 300;
    begin(maker);
    write_some(maker, PLAIN, 3000);
    sync_all(maker);
    snapshot(maker);
    write_some(maker, PLAIN, 3000);
    sync_all(maker);
    snapshot(maker);
    write_some(maker, PLAIN, 3500);
    sync_all(maker);
    die(maker);
}

static void make_unsynced(struct maker *maker)
{
    maker->size_max = 300;
    begin(maker);
    write_some(maker, PLAIN, 4500);
    sync_all(maker);
    snapshot(maker);
    write_some(maker, PLAIN, 1200);
    sync_all(maker);
    write_some(maker, PLAIN, 1200);
    die(maker);
}

static void make_batches(struct maker *maker)
{
    maker->size_max = 150;
    begin(maker);
    write_some(maker, MIXED, 2500);
    sync_all(maker);
    snapshot(maker);
    write_some(maker, MIXED, 3000);
    sync_all(maker);
    write_some(maker, MIXED, 800);
    die(maker);
}

/* Sealed files from several sessions, an open one, and prepared ones that are used. */
static void make_reopened(struct maker *maker)
{
    maker->size_max = 250;
    begin(maker);
    write_some(maker, PLAIN, 2500);
    end(maker);
    snapshot(maker);
    begin(maker);
    write_some(maker, MIXED, 2500);
    sync_all(maker);
    die(maker);
    snapshot(maker);
    begin(maker);
    write_some(maker, PLAIN, 1500);
    end(maker);
    snapshot(maker);
    begin(maker);
    write_some(maker, MIXED, 900);
    end(maker);
    snapshot(maker);
    begin(maker);
    write_some(maker, PLAIN, 900);
    sync_all(maker);
    snapshot(maker);
    write_some(maker, MIXED, 4000);
    die(maker);
}

static void remove_hints(struct maker *maker, unsigned from)
{
    for (unsigned id = from; id < 40; id++) {
        char name[DAMAGE_NAME_SIZE];

        (void)snprintf(name, sizeof name, "%010u.hint", id);
        sim_disk_remove_file(maker->disk, DAMAGE_PATH, name);
    }
}

/* Files that have to be read to the end, sealed ones too. */
static void make_unhinted(struct maker *maker)
{
    make_reclosed(maker);
    remove_hints(maker, 2);
}

static void make_unhinted_killed(struct maker *maker)
{
    make_batches(maker);
    remove_hints(maker, 1);
}

static void make_large(struct maker *maker)
{
    maker->size_max = DAMAGE_VALUE_MAX;
    begin(maker);
    write_some(maker, PLAIN, 12000);
    snapshot(maker);
    maker->size_max = 40;
    write_some(maker, PLAIN, 400);
    end(maker);
    snapshot(maker);
    begin(maker);
    maker->size_max = DAMAGE_VALUE_MAX;
    write_some(maker, MIXED, 12000);
    sync_all(maker);
    maker->size_max = 40;
    write_some(maker, PLAIN, 300);
    die(maker);
}

/* Outputs of two merges, one of them of an output, and files that were not merged. */
static void make_merged(struct maker *maker)
{
    maker->size_max = 300;
    begin(maker);
    write_some(maker, MIXED, 6000);
    snapshot(maker);
    damage_merge(maker, BITCASK_MERGE_FILES);
    snapshot(maker);
    write_some(maker, MIXED, 4000);
    end(maker);
    begin(maker);
    damage_merge(maker, BITCASK_MERGE_FILES);
    write_some(maker, MIXED, 2000);
    end(maker);
}

/* A file that a merge has begun to write. */
static void make_copying(struct maker *maker)
{
    maker->size_max = 300;
    begin(maker);
    write_some(maker, MIXED, 5000);
    sync_all(maker);
    snapshot(maker);
    damage_merge_and_die(maker, false);
}

/* Files that a merge has replaced, and not removed. */
static void make_retiring(struct maker *maker)
{
    maker->size_max = 300;
    begin(maker);
    write_some(maker, MIXED, 3000);
    damage_merge(maker, BITCASK_MERGE_ALL);
    write_some(maker, PLAIN, 3000);
    sync_all(maker);
    snapshot(maker);
    damage_merge_and_die(maker, true);
}

const struct damage_script damage_scripts[DAMAGE_SUBJECTS] = {
    { "closed", make_closed },     { "reclosed", make_reclosed },
    { "killed", make_killed },     { "unsynced", make_unsynced },
    { "batches", make_batches },   { "reopened", make_reopened },
    { "unhinted", make_unhinted }, { "unhinted-killed", make_unhinted_killed },
    { "large", make_large },       { "merged", make_merged },
    { "copying", make_copying },   { "retiring", make_retiring },
};
