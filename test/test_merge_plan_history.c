/* SPDX-License-Identifier: MIT */
/*
 * The policy of merging over long random histories: a toy cask, in which records are
 * numbers, is written, rotated and merged by the plan. Everything follows from a seed.
 */
#include "test/test_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/format.h"
#include "bitcask/merge_plan.h"
#include "test/model.h"

enum {
    KEY_COUNT = 64,
    FILES_MAX = 512,
    RECORDS_MAX = 512, /* in a file */
    FILE_SIZE_MAX = 4096,
    TOMBSTONE_SIZE = 40
};

struct toy_record {
    uint64_t sequence;
    uint32_t key;
    uint32_t size;
    bool deletes;
};

struct toy_file {
    uint64_t id;
    uint64_t purged;
    bool damaged;
    struct toy_record records[RECORDS_MAX];
    size_t count;
    uint64_t size; /* of records */
};

struct toy {
    struct model_random random;
    struct toy_file *files[FILES_MAX];
    size_t file_count; /* the last is the active one, unless it was sealed */
    bool active;
    uint64_t next_id;
    uint64_t sequence;
    uint64_t newest[KEY_COUNT]; /* by which the key is there; 0: it is not */
    uint64_t written_size, copied_size;
    unsigned percent;

    struct bitcask_plan_file plan_files[FILES_MAX];
    struct bitcask_plan plan;
};

static uint64_t below(struct toy *toy, uint64_t limit)
{
    return model_random_below(&toy->random, limit);
}

static struct toy *create(uint64_t seed)
{
    static const unsigned percents[] = { 1, 25, 50, 75, 100 };
    struct toy *toy = calloc(1, sizeof *toy);

    assert_non_null(toy);
    toy->random.state = seed * 2 + 1;
    toy->next_id = 1;
    toy->percent = percents[below(toy, LENGTH_OF(percents))];
    return toy;
}

static void destroy(struct toy *toy)
{
    for (size_t i = 0; i < toy->file_count; i++)
        free(toy->files[i]);
    free(toy);
}

static struct toy_file *begin_file(struct toy *toy)
{
    struct toy_file *file = calloc(1, sizeof *file);

    assert_non_null(file);
    assert_true(toy->file_count < FILES_MAX);
    file->id = toy->next_id++;
    toy->files[toy->file_count++] = file;
    return file;
}

static void add_record(struct toy_file *file, const struct toy_record *record)
{
    assert_true(file->count < RECORDS_MAX);
    file->records[file->count++] = *record;
    file->size += record->size;
}

static bool has_room(const struct toy_file *file, uint32_t size)
{
    return BITCASK_FILE_HEADER_SIZE + file->size + size <= FILE_SIZE_MAX;
}

static void write_one(struct toy *toy)
{
    /* Half of the keys are seldom written, so that some files become cold. */
    uint32_t key = (uint32_t)(below(toy, 20) > 0 ? below(toy, KEY_COUNT / 2)
                                                 : below(toy, KEY_COUNT));
    bool deletes = toy->newest[key] != 0 && below(toy, 3) == 0;
    struct toy_record record = { .sequence = ++toy->sequence, .key = key };

    record.deletes = deletes;
    record.size = deletes ? TOMBSTONE_SIZE : TOMBSTONE_SIZE + (uint32_t)below(toy, 200);
    if (!toy->active || !has_room(toy->files[toy->file_count - 1], record.size))
        (void)begin_file(toy);
    toy->active = true;
    add_record(toy->files[toy->file_count - 1], &record);
    toy->newest[key] = deletes ? 0 : record.sequence;
    toy->written_size += record.size;
}

static void add_to_plan(struct toy *toy, size_t index)
{
    const struct toy_file *file = toy->files[index];
    struct bitcask_plan_file *out = &toy->plan_files[index];

    *out = (struct bitcask_plan_file){
        .id = file->id,
        .data_size = BITCASK_FILE_HEADER_SIZE + file->size,
        .record_count = file->count,
        .purged_sequence = file->purged,
        .active = toy->active && index == toy->file_count - 1,
        .damaged = file->damaged,
    };
    for (size_t i = 0; i < file->count; i++) {
        const struct toy_record *record = &file->records[i];

        if (out->first_sequence == 0 || record->sequence < out->first_sequence)
            out->first_sequence = record->sequence;
        if (record->sequence > out->last_sequence)
            out->last_sequence = record->sequence;
        if (record->deletes) {
            out->tombstone_size += record->size;
            out->tombstone_count++;
            if (out->tombstone_first == 0 || record->sequence < out->tombstone_first)
                out->tombstone_first = record->sequence;
            if (record->sequence > out->tombstone_last)
                out->tombstone_last = record->sequence;
        } else if (toy->newest[record->key] == record->sequence) {
            out->live_size += record->size;
            out->live_count++;
        }
    }
}

static void collect(struct toy *toy)
{
    for (size_t i = 0; i < toy->file_count; i++)
        add_to_plan(toy, i);
    toy->plan = (struct bitcask_plan){
        .files = toy->plan_files,
        .file_count = toy->file_count,
        .dead_percent = toy->percent,
        .file_size_max = FILE_SIZE_MAX,
        .step_size = FILE_SIZE_MAX * (1 + below(toy, 4)),
    };
}

/* What must stay of @record of a file that goes; as merge_copy.c judges. */
static bool stays(const struct toy *toy, const struct toy_record *record,
                  uint64_t horizon)
{
    if (!record->deletes)
        return toy->newest[record->key] == record->sequence;
    return toy->newest[record->key] < record->sequence && record->sequence > horizon;
}

static struct toy_file *take_out(struct toy *toy, uint64_t id)
{
    size_t at = 0;
    struct toy_file *file;

    while (toy->files[at]->id != id)
        at++;
    file = toy->files[at];
    memmove(toy->files + at, toy->files + at + 1,
            (toy->file_count - at - 1) * sizeof toy->files[0]);
    toy->file_count--;
    return file;
}

static void run_step(struct toy *toy, uint32_t step, uint64_t horizon, uint64_t purged)
{
    struct toy_file *output = NULL;

    for (size_t i = 0; i < toy->plan.file_count; i++) {
        struct bitcask_plan_file *planned = &toy->plan_files[i];
        struct toy_file *input;

        if (!planned->taken || planned->done || planned->step != step)
            continue;
        input = take_out(toy, planned->id);
        for (size_t j = 0; j < input->count; j++) {
            if (!stays(toy, &input->records[j], horizon))
                continue;
            assert_false(bitcask_plan_is_all_dead(planned, horizon));
            if (output == NULL || !has_room(output, input->records[j].size)) {
                output = begin_file(toy);
                output->purged = purged;
            }
            add_record(output, &input->records[j]);
            toy->copied_size += input->records[j].size;
        }
        planned->done = true;
        free(input);
    }
}

/* Carry the plan out; now and then a file is left, as one with damage would be. */
static void carry_out(struct toy *toy, bool leaves_some)
{
    uint32_t step_count = bitcask_plan_divide(&toy->plan);

    for (size_t i = 0; i < toy->plan.file_count; i++)
        toy->active =
            toy->active && !(toy->plan_files[i].taken && toy->plan_files[i].active);
    for (uint32_t step = 0; step < step_count; step++) {
        for (size_t i = 0; i < toy->plan.file_count; i++) {
            if (leaves_some && toy->plan_files[i].step == step && below(toy, 8) == 0)
                toy->plan_files[i].taken = false;
        }
        run_step(toy, step, bitcask_plan_horizon(&toy->plan, step), toy->sequence);
    }
    /* Outputs stand behind the active file now: what is written next begins another. */
    if (step_count > 0)
        toy->active = false;
}

/* What the next open would find: of each key the record of the highest sequence. */
static void check_contents(const struct toy *toy)
{
    struct toy_record found[KEY_COUNT] = { 0 };

    for (size_t i = 0; i < toy->file_count; i++) {
        for (size_t j = 0; j < toy->files[i]->count; j++) {
            const struct toy_record *record = &toy->files[i]->records[j];

            if (record->sequence > found[record->key].sequence)
                found[record->key] = *record;
        }
    }
    for (size_t key = 0; key < KEY_COUNT; key++)
        assert_int_equal(found[key].deletes ? 0 : found[key].sequence, toy->newest[key]);
}

/* Everything there is, and how much of it is live. */
struct toy_sums {
    uint64_t size;
    uint64_t live_size;
    uint64_t tombstone_count;
};

static struct toy_sums sum_up(struct toy *toy)
{
    struct toy_sums sums = { 0 };

    collect(toy);
    for (size_t i = 0; i < toy->file_count; i++) {
        sums.size += toy->files[i]->size;
        sums.live_size += toy->plan_files[i].live_size;
        sums.tombstone_count += toy->plan_files[i].tombstone_count;
    }
    return sums;
}

static void expect_affordable(const struct toy *toy)
{
    uint64_t copied = 0, freed = 0;

    for (size_t i = 0; i < toy->plan.file_count; i++) {
        if (!toy->plan_files[i].taken)
            continue;
        copied += bitcask_plan_copied_size(&toy->plan_files[i]);
        freed += bitcask_plan_freed_size(&toy->plan_files[i]);
    }
    assert_true(freed * (100 - toy->percent) >= copied * toy->percent);
}

/* The same over the whole of a history; guesses about tombstones may be wrong a little.
 */
static void expect_bounded(const struct toy *toy)
{
    assert_true(toy->copied_size * toy->percent <=
                toy->written_size * (100 - toy->percent));
}

enum {
    HISTORY_COUNT = 60,
    ROUND_COUNT = 60
};

static void any_subset_merged_in_any_steps_leaves_the_contents_alone(void **state)
{
    uint64_t seed = model_seed();

    (void)state;
    for (uint64_t i = 0; i < HISTORY_COUNT; i++) {
        struct toy *toy = create(seed + i);

        for (int round = 0; round < ROUND_COUNT; round++) {
            uint64_t writes = below(toy, 100);

            while (writes-- > 0)
                write_one(toy);
            collect(toy);
            bitcask_plan_choose_all(&toy->plan);
            for (size_t j = 0; j < toy->plan.file_count; j++)
                toy->plan_files[j].taken = toy->plan_files[j].taken && below(toy, 2) == 0;
            carry_out(toy, below(toy, 2) == 0);
            check_contents(toy);
        }
        destroy(toy);
    }
}

static void a_full_merge_keeps_only_what_is_live(void **state)
{
    uint64_t seed = model_seed();

    (void)state;
    for (uint64_t i = 0; i < HISTORY_COUNT; i++) {
        struct toy *toy = create(seed + i);

        for (int round = 0; round < ROUND_COUNT; round++) {
            uint64_t writes = below(toy, 200);
            bool all = below(toy, 4) == 0;

            while (writes-- > 0)
                write_one(toy);
            collect(toy);
            if (all)
                bitcask_plan_choose_all(&toy->plan);
            else
                bitcask_plan_choose(&toy->plan);
            carry_out(toy, !all && below(toy, 4) == 0);
            check_contents(toy);
            if (all) {
                struct toy_sums sums = sum_up(toy);

                assert_int_equal(sums.tombstone_count, 0);
                assert_int_equal(sums.size, sums.live_size);
            }
        }
        destroy(toy);
    }
}

/* Nor is it ever due in vain: a merge by itself goes on as long as it is due. */
static void what_is_due_is_taken_and_then_it_is_due_no_more(void **state)
{
    uint64_t seed = model_seed();
    long due_count = 0;

    (void)state;
    for (uint64_t i = 0; i < HISTORY_COUNT; i++) {
        struct toy *toy = create(seed + i);

        for (int round = 0; round < ROUND_COUNT; round++) {
            uint64_t writes = below(toy, 200);

            while (writes-- > 0)
                write_one(toy);
            collect(toy);
            if (!bitcask_plan_due(&toy->plan, 0))
                continue;
            due_count++;
            bitcask_plan_choose(&toy->plan);
            assert_true(bitcask_plan_divide(&toy->plan) > 0);
            expect_affordable(toy);
            carry_out(toy, false);
            check_contents(toy);
            collect(toy);
            assert_false(bitcask_plan_due(&toy->plan, 0));
        }
        expect_bounded(toy);
        destroy(toy);
    }
    assert_true(due_count > HISTORY_COUNT);
}

static void what_damage_leaves_costs_no_more(void **state)
{
    uint64_t seed = model_seed();

    (void)state;
    for (uint64_t i = 0; i < HISTORY_COUNT; i++) {
        struct toy *toy = create(seed + i);

        for (int round = 0; round < ROUND_COUNT; round++) {
            uint64_t writes = below(toy, 100);
            uint64_t copied_size;
            size_t file_count;

            while (writes-- > 0)
                write_one(toy);
            if (toy->file_count > 0 && below(toy, 20) == 0)
                toy->files[below(toy, toy->file_count)]->damaged = true;
            copied_size = toy->copied_size;
            file_count = toy->file_count;
            for (int tries = 0;; tries++) {
                collect(toy);
                bitcask_plan_choose(&toy->plan);
                if (bitcask_plan_divide(&toy->plan) == 0)
                    break;
                expect_affordable(toy);
                for (size_t j = 0; j < toy->plan.file_count; j++)
                    assert_false(toy->plan_files[j].taken && toy->plan_files[j].damaged);
                carry_out(toy, false);
                check_contents(toy);
                /* It comes to an end although the cask may still be due. */
                assert_true(tries < 10);
            }
            assert_true(toy->copied_size - copied_size <=
                        file_count * (uint64_t)FILE_SIZE_MAX);
        }
        expect_bounded(toy);
        destroy(toy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_subset_merged_in_any_steps_leaves_the_contents_alone),
        cmocka_unit_test(a_full_merge_keeps_only_what_is_live),
        cmocka_unit_test(what_is_due_is_taken_and_then_it_is_due_no_more),
        cmocka_unit_test(what_damage_leaves_costs_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
