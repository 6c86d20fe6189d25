/* SPDX-License-Identifier: MIT */
#include "bitcask/merge_plan.h"

#include <inttypes.h>
#include <stdlib.h>

#include "bitcask/format.h"
#include "bitcask/status.h"

enum {
    /* A file below this share of file_size_max is small. */
    SMALL_SHARE = 8,
    /* So many of them are worth joining. */
    SMALL_COUNT_MIN = 4,
    /* A step reads so many times what it may write, so that it gives something back. */
    STEP_READ_SHARE = 4,
    /* Rounds in which tombstones of one file are let go by taking another. */
    ROUND_COUNT_MAX = 16
};

/* Bytes of records. */
static uint64_t records_size(const struct bitcask_plan_file *file)
{
    return file->data_size > BITCASK_FILE_HEADER_SIZE
               ? file->data_size - BITCASK_FILE_HEADER_SIZE
               : 0;
}

static uint64_t dead_size(const struct bitcask_plan_file *file)
{
    uint64_t size = records_size(file);

    return size > file->live_size ? size - file->live_size : 0;
}

/* @part is at least @percent of @whole; the numbers are of bytes on disks. */
static bool is_share(uint64_t part, unsigned percent, uint64_t whole)
{
    return part / 100 >= UINT64_MAX / 100 || part * 100 >= whole * percent;
}

bool bitcask_plan_due(const struct bitcask_plan *plan, uint64_t trigger_size)
{
    uint64_t data = 0;
    uint64_t records = 0;
    uint64_t dead = 0;

    for (size_t i = 0; i < plan->file_count; i++) {
        data += plan->files[i].data_size;
        records += records_size(&plan->files[i]);
        dead += dead_size(&plan->files[i]);
    }
    return data > trigger_size && is_share(dead, plan->dead_percent, records);
}

/* Tombstones up to this have nothing to say to @file, if it stays behind. */
static uint64_t bound_of(const struct bitcask_plan_file *file)
{
    if (file->first_sequence == 0)
        return UINT64_MAX;
    return file->first_sequence - 1 > file->purged_sequence ? file->first_sequence - 1
                                                            : file->purged_sequence;
}

/* The lowest two bounds of files that are not taken. */
struct bounds {
    uint64_t lowest;
    uint64_t second;
    const struct bitcask_plan_file *of; /* the file with the lowest */
};

static struct bounds bounds_of(const struct bitcask_plan *plan)
{
    struct bounds bounds = { UINT64_MAX, UINT64_MAX, NULL };

    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_plan_file *file = &plan->files[i];
        uint64_t bound = file->taken || file->done ? UINT64_MAX : bound_of(file);

        if (bound < bounds.lowest) {
            bounds.second = bounds.lowest;
            bounds.lowest = bound;
            bounds.of = file;
        } else if (bound < bounds.second) {
            bounds.second = bound;
        }
    }
    return bounds;
}

/*
 * How many bytes of the tombstones of @file are above @horizon, at most: decisions that
 * cost something do not rest on hopes.
 */
static uint64_t kept_size(const struct bitcask_plan_file *file, uint64_t horizon)
{
    return file->tombstone_last <= horizon ? 0 : file->tombstone_size;
}

/* The same, as far as one can guess. */
static uint64_t guess_kept_size(const struct bitcask_plan_file *file, uint64_t horizon)
{
    uint64_t span = file->tombstone_last - file->tombstone_first + 1;

    if (file->tombstone_last <= horizon || horizon < file->tombstone_first)
        return kept_size(file, horizon);
    return (uint64_t)((double)file->tombstone_size *
                      ((double)(file->tombstone_last - horizon) / (double)span));
}

/* What a merge of all that is taken would do. */
struct sums {
    uint64_t copied;
    uint64_t freed;
    uint64_t waiting; /* bytes of tombstones that are kept, in all files */
    uint64_t left;    /* bytes in all files afterwards */
    uint64_t dead_left;
};

static struct sums sum_up(const struct bitcask_plan *plan)
{
    uint64_t horizon = bounds_of(plan).lowest;
    struct sums sums = { 0 };

    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_plan_file *file = &plan->files[i];
        uint64_t kept = kept_size(file, horizon);

        sums.waiting += kept;
        if (file->taken) {
            uint64_t copied = file->live_size + kept;
            uint64_t size = records_size(file);

            sums.copied += copied;
            sums.freed += size > copied ? size - copied : 0;
            sums.left += copied;
            sums.dead_left += kept;
        } else {
            sums.left += records_size(file);
            sums.dead_left += dead_size(file);
        }
    }
    return sums;
}

/*
 * The rule that bounds write amplification: no merge writes more than (100 - p) bytes
 * for every p that it gives back, where p is dead_percent.
 */
static bool is_affordable(const struct bitcask_plan *plan)
{
    struct sums sums = sum_up(plan);

    return is_share(sums.freed, plan->dead_percent, sums.freed + sums.copied);
}

static void take(struct bitcask_plan_file *file, enum bitcask_merge_reason reason)
{
    file->taken = true;
    file->reason = reason;
}

static void leave(struct bitcask_plan_file *file)
{
    file->taken = false;
    file->reason = BITCASK_MERGE_LEFT;
}

/* Whether a merge can do something with @file at all. */
static bool can_take(const struct bitcask_plan_file *file)
{
    return !file->taken && !file->damaged && file->first_sequence != 0;
}

/* Files of which so much is dead that it pays. True if there was one more. */
static bool take_dead(struct bitcask_plan *plan)
{
    struct bounds bounds = bounds_of(plan);
    bool more = false;

    for (size_t i = 0; i < plan->file_count; i++) {
        struct bitcask_plan_file *file = &plan->files[i];
        uint64_t horizon = bounds.of == file ? bounds.second : bounds.lowest;
        uint64_t kept = kept_size(file, horizon);
        uint64_t freed = dead_size(file) > kept ? dead_size(file) - kept : 0;

        if (!can_take(file) || freed == 0 ||
            !is_share(freed, plan->dead_percent, records_size(file)))
            continue;
        take(file,
             freed == records_size(file) ? BITCASK_MERGE_ALL_DEAD : BITCASK_MERGE_DEAD);
        more = true;
    }
    return more;
}

/* Give up what was taken for @reason. */
static void leave_all(struct bitcask_plan *plan, enum bitcask_merge_reason reason)
{
    for (size_t i = 0; i < plan->file_count; i++) {
        if (plan->files[i].taken && plan->files[i].reason == reason)
            leave(&plan->files[i]);
    }
}

/*
 * Tombstones that would be kept are as good as dead, and files that nobody writes any
 * more would keep them for ever. When they are a fair share of the bytes the files that
 * they wait for are taken, too.
 */
static void take_what_tombstones_wait_for(struct bitcask_plan *plan)
{
    struct sums sums = sum_up(plan);
    uint64_t horizon = bounds_of(plan).lowest;
    uint64_t last = 0;

    if (sums.waiting == 0 || !is_share(sums.waiting * 2, plan->dead_percent, sums.left))
        return;
    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_plan_file *file = &plan->files[i];

        if (kept_size(file, horizon) > 0 && file->tombstone_last > last)
            last = file->tombstone_last;
    }
    for (size_t i = 0; i < plan->file_count; i++) {
        struct bitcask_plan_file *file = &plan->files[i];

        if (can_take(file) && (bound_of(file) < last || kept_size(file, horizon) > 0))
            take(file, BITCASK_MERGE_TOMBSTONES);
    }
    if (!is_affordable(plan))
        leave_all(plan, BITCASK_MERGE_TOMBSTONES);
}

/* The cask as a whole is due, and what was taken does not change that: then all of it. */
static void take_rest(struct bitcask_plan *plan)
{
    struct sums sums = sum_up(plan);

    if (!bitcask_plan_due(plan, 0) ||
        !is_share(sums.dead_left, plan->dead_percent, sums.left))
        return;
    for (size_t i = 0; i < plan->file_count; i++) {
        if (can_take(&plan->files[i]))
            take(&plan->files[i], BITCASK_MERGE_TOMBSTONES);
    }
    if (!is_affordable(plan))
        leave_all(plan, BITCASK_MERGE_TOMBSTONES);
}

static int compare_sizes(const void *left, const void *right)
{
    const struct bitcask_plan_file *a = left;
    const struct bitcask_plan_file *b = right;

    if (a->data_size != b->data_size)
        return a->data_size < b->data_size ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static bool is_small(const struct bitcask_plan *plan,
                     const struct bitcask_plan_file *file)
{
    return file->data_size < plan->file_size_max / SMALL_SHARE;
}

/*
 * Small files go along where that costs nothing that the others have not saved, the
 * smallest first, and only when there are some of them: else each merge would write the
 * few that there always are again.
 */
static void join_small(struct bitcask_plan *plan)
{
    struct sums sums = sum_up(plan);
    size_t joined = 0;

    if (sums.freed == 0)
        return;
    qsort(plan->files, plan->file_count, sizeof *plan->files, compare_sizes);
    for (size_t i = 0; i < plan->file_count && is_small(plan, &plan->files[i]); i++) {
        struct bitcask_plan_file *file = &plan->files[i];

        if (!can_take(file) || file->active)
            continue;
        sums.copied += records_size(file); /* at worst */
        if (!is_share(sums.freed, plan->dead_percent, sums.freed + sums.copied))
            break;
        take(file, BITCASK_MERGE_SMALL);
        joined++;
    }
    if (joined < SMALL_COUNT_MIN)
        leave_all(plan, BITCASK_MERGE_SMALL);
}

static void leave_everything(struct bitcask_plan *plan)
{
    for (size_t i = 0; i < plan->file_count; i++) {
        leave(&plan->files[i]);
        if (plan->files[i].damaged)
            plan->files[i].reason = BITCASK_MERGE_LEFT_DAMAGED;
    }
}

void bitcask_plan_choose(struct bitcask_plan *plan)
{
    leave_everything(plan);
    for (int i = 0; i < ROUND_COUNT_MAX && take_dead(plan); i++)
        continue; /* each may let tombstones of others go */
    take_what_tombstones_wait_for(plan);
    take_rest(plan);
    join_small(plan);
    for (size_t i = 0; i < plan->file_count; i++) {
        struct bitcask_plan_file *file = &plan->files[i];

        if (can_take(file) && file->tombstone_size > 0 &&
            is_share(dead_size(file), plan->dead_percent, records_size(file)))
            file->reason = BITCASK_MERGE_LEFT_NEEDED;
    }
}

void bitcask_plan_choose_all(struct bitcask_plan *plan)
{
    leave_everything(plan);
    for (size_t i = 0; i < plan->file_count; i++) {
        if (plan->files[i].first_sequence != 0)
            take(&plan->files[i], BITCASK_MERGE_ASKED);
    }
}

enum bitcask_status bitcask_plan_choose_files(struct bitcask_plan *plan,
                                              const uint64_t *ids, size_t count)
{
    leave_everything(plan);
    for (size_t i = 0; i < plan->file_count; i++)
        plan->files[i].reason = BITCASK_MERGE_LEFT_UNASKED;
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;

        while (at < plan->file_count && plan->files[at].id != ids[i])
            at++;
        if (at == plan->file_count)
            return bitcask_fail(BITCASK_NOT_FOUND,
                                "the cask has no data file %010" PRIu64 ".data", ids[i]);
        if (plan->files[at].first_sequence != 0)
            take(&plan->files[at], BITCASK_MERGE_ASKED);
    }
    return BITCASK_OK;
}

bool bitcask_plan_is_all_dead(const struct bitcask_plan_file *file, uint64_t horizon)
{
    if (file->live_count != 0)
        return false;
    if (file->expires) /* which of them have is not known */
        return file->last_sequence <= horizon;
    return file->tombstone_count == 0 || file->tombstone_last <= horizon;
}

/* Nothing in @file is live, and nothing deletes: whatever else there is, it goes. */
static bool is_garbage(const struct bitcask_plan_file *file)
{
    return bitcask_plan_is_all_dead(file, 0);
}

/* Where @file stands in history: all that it says was said by then. */
static uint64_t age_of(const struct bitcask_plan_file *file)
{
    return file->last_sequence > file->purged_sequence ? file->last_sequence
                                                       : file->purged_sequence;
}

/*
 * Garbage first, for it gives room; then the oldest. In this order no file holds up the
 * tombstones of one before it: what a merge has written is bounded by its age, what was
 * appended begins behind all that was sealed before.
 */
static int compare_order(const void *left, const void *right)
{
    const struct bitcask_plan_file *a = left;
    const struct bitcask_plan_file *b = right;

    if (a->taken != b->taken)
        return a->taken ? -1 : 1;
    if (is_garbage(a) != is_garbage(b))
        return is_garbage(a) ? -1 : 1;
    if (age_of(a) != age_of(b))
        return age_of(a) < age_of(b) ? -1 : 1;
    return a->purged_sequence < b->purged_sequence
               ? -1
               : a->purged_sequence > b->purged_sequence;
}

uint32_t bitcask_plan_divide(struct bitcask_plan *plan)
{
    uint64_t horizon = bounds_of(plan).lowest;
    uint32_t step = 0;
    uint64_t size = 0;
    uint64_t read_size = 0;
    bool any = false;

    qsort(plan->files, plan->file_count, sizeof *plan->files, compare_order);
    for (size_t i = 0; i < plan->file_count && plan->files[i].taken; i++) {
        struct bitcask_plan_file *file = &plan->files[i];
        uint64_t copied = file->live_size + kept_size(file, horizon);

        file->step = 0;
        if (is_garbage(file)) {
            step = 1;
            continue;
        }
        if (any && (size + copied > plan->step_size ||
                    read_size + file->data_size > plan->step_size * STEP_READ_SHARE)) {
            step++;
            size = 0;
            read_size = 0;
        }
        any = true;
        size += copied;
        read_size += file->data_size;
        file->step = step;
    }
    step += any;
    for (size_t i = 0; i < plan->file_count && plan->files[i].taken; i++) {
        struct bitcask_plan_file *file = &plan->files[i];

        file->kept_size = guess_kept_size(file, bitcask_plan_horizon(plan, file->step));
    }
    return step;
}

/*
 * What an earlier step has written was written after all these tombstones were there,
 * so it holds nothing back.
 */
uint64_t bitcask_plan_horizon(const struct bitcask_plan *plan, uint32_t step)
{
    uint64_t horizon = UINT64_MAX;

    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_plan_file *file = &plan->files[i];

        if (!file->done && (!file->taken || file->step > step) &&
            bound_of(file) < horizon)
            horizon = bound_of(file);
    }
    return horizon;
}

uint64_t bitcask_plan_copied_size(const struct bitcask_plan_file *file)
{
    return file->live_size + file->kept_size;
}

uint64_t bitcask_plan_freed_size(const struct bitcask_plan_file *file)
{
    uint64_t copied = bitcask_plan_copied_size(file);

    return file->data_size > copied ? file->data_size - copied : 0;
}
