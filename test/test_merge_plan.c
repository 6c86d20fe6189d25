/* SPDX-License-Identifier: MIT */
/*
 * What the policy of merging takes, and why: tables of files, without a file. What comes
 * of it over a long time has test_merge_plan_history.c.
 */
#include "test/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/format.h"
#include "bitcask/merge_plan.h"

enum {
    HEADER = BITCASK_FILE_HEADER_SIZE,
    FILES_MAX = 8,
    FILE_SIZE_MAX = 80000, /* below 10,000 bytes a file is small */
    STEP_SIZE = 1 << 30
};

/* A file in a few words: bytes of records, of them live, of tombstones, sequences. */
struct row {
    uint64_t records_size;
    uint64_t live_size;
    uint64_t tombstone_size;
    uint64_t first, last, purged;
    bool active, damaged, expires;
    enum bitcask_merge_reason reason; /* that is expected */
};

static struct bitcask_plan_file file_of(const struct row *row, uint64_t id)
{
    struct bitcask_plan_file file = {
        .id = id,
        .data_size = HEADER + row->records_size,
        .live_size = row->live_size,
        .live_count = (row->live_size + 99) / 100,
        .record_count = (row->records_size + 99) / 100,
        .tombstone_size = row->tombstone_size,
        .tombstone_count = (row->tombstone_size + 49) / 50,
        .tombstone_first = row->tombstone_size > 0 ? row->first : 0,
        .tombstone_last = row->tombstone_size > 0 ? row->last : 0,
        .first_sequence = row->first,
        .last_sequence = row->last,
        .purged_sequence = row->purged,
        .active = row->active,
        .damaged = row->damaged,
        .expires = row->expires,
    };

    return file;
}

/* A plan for @rows, up to the first without records. */
struct fixture {
    struct bitcask_plan_file files[FILES_MAX];
    struct bitcask_plan plan;
};

static void set_up(struct fixture *fixture, const struct row *rows, size_t count)
{
    memset(fixture, 0, sizeof *fixture);
    assert_true(count <= FILES_MAX);
    for (size_t i = 0; i < count; i++)
        fixture->files[i] = file_of(&rows[i], i + 1);
    fixture->plan = (struct bitcask_plan){
        .files = fixture->files,
        .file_count = count,
        .dead_percent = 50,
        .file_size_max = FILE_SIZE_MAX,
        .step_size = STEP_SIZE,
    };
}

static const struct bitcask_plan_file *find(const struct fixture *fixture, uint64_t id)
{
    for (size_t i = 0; i < fixture->plan.file_count; i++) {
        if (fixture->files[i].id == id)
            return &fixture->files[i];
    }
    fail_msg("no file %d", (int)id);
    return NULL;
}

static void expect_reasons(const struct fixture *fixture, const struct row *rows)
{
    for (size_t i = 0; i < fixture->plan.file_count; i++) {
        const struct bitcask_plan_file *file = find(fixture, i + 1);

        if (file->reason != rows[i].reason)
            printf("  file %d: %s, expected: %s\n", (int)i + 1,
                   bitcask_merge_reason_text(file->reason),
                   bitcask_merge_reason_text(rows[i].reason));
        assert_int_equal(file->reason, rows[i].reason);
        assert_int_equal(file->taken, rows[i].reason >= BITCASK_MERGE_DEAD);
    }
}

static void a_cask_is_due_when_it_is_large_and_dead_enough(void **state)
{
    static const struct {
        const char *why;
        uint64_t records_size;
        uint64_t dead_size;
        uint64_t trigger_size;
        unsigned percent;
        bool due;
    } cases[] = {
        { "one byte below the trigger", 100000, 90000, 100000 + HEADER + 1, 50, false },
        { "exactly at the trigger", 100000, 90000, 100000 + HEADER, 50, false },
        { "one byte above the trigger", 100000, 90000, 100000 + HEADER - 1, 50, true },
        { "exactly the percentage", 100000, 50000, 99999, 50, true },
        { "one byte less than it", 100000, 49999, 99999, 50, false },
        { "a byte of an uneven one", 99999, 50000, 0, 50, true },
        { "1 percent", 100000, 1000, 0, 1, true },
        { "almost 1 percent", 100000, 999, 0, 1, false },
        { "nothing dead", 100000, 0, 0, 1, false },
        { "99 percent", 100000, 99000, 0, 99, true },
        { "100 percent", 100000, 100000, 0, 100, true },
        { "100 percent, one byte alive", 100000, 100000 - 1, 0, 100, false },
        { "terabytes", UINT64_C(1) << 42, UINT64_C(1) << 41, 0, 50, true },
        { "terabytes, a byte less", UINT64_C(1) << 42, (UINT64_C(1) << 41) - 1, 0, 50,
          false },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct row row = { .records_size = cases[i].records_size,
                           .live_size = cases[i].records_size - cases[i].dead_size,
                           .first = 1,
                           .last = 100 };
        struct fixture fixture;

        printf("  %s\n", cases[i].why);
        set_up(&fixture, &row, 1);
        fixture.plan.dead_percent = cases[i].percent;
        assert_int_equal(bitcask_plan_due(&fixture.plan, cases[i].trigger_size),
                         cases[i].due);
    }
}

static void being_due_adds_up_all_files(void **state)
{
    const struct row rows[] = {
        { .records_size = 936, .live_size = 936, .first = 1, .last = 9 },
        { .records_size = 936, .live_size = 36, .first = 10, .last = 19 },
        { .records_size = 936, .live_size = 432, .first = 20, .last = 29 },
    };
    struct fixture fixture;

    (void)state;
    set_up(&fixture, rows, LENGTH_OF(rows)); /* 3000 bytes, 2808 of records, half dead */
    assert_true(bitcask_plan_due(&fixture.plan, 2999));
    assert_false(bitcask_plan_due(&fixture.plan, 3000));
    fixture.files[0].live_size++; /* more live than there is counts as nothing dead */
    assert_true(bitcask_plan_due(&fixture.plan, 2999));
    fixture.files[1].live_size++;
    assert_false(bitcask_plan_due(&fixture.plan, 2999));
    fixture.plan.file_count = 0;
    assert_false(bitcask_plan_due(&fixture.plan, 0));
}

#define LEFT .reason = BITCASK_MERGE_LEFT
#define NEEDED .reason = BITCASK_MERGE_LEFT_NEEDED
#define DAMAGED .reason = BITCASK_MERGE_LEFT_DAMAGED
#define DEAD .reason = BITCASK_MERGE_DEAD
#define ALL_DEAD .reason = BITCASK_MERGE_ALL_DEAD
#define TOMBSTONES .reason = BITCASK_MERGE_TOMBSTONES
#define SMALL .reason = BITCASK_MERGE_SMALL
/* Sequences. */
#define FROM(a, b) .first = (a), .last = (b)

static void files_are_taken_for_a_reason(void **state)
{
    static const struct {
        const char *why;
        size_t count;
        struct row rows[FILES_MAX];
    } cases[] = {
        { "nothing is dead",
          2,
          { { 20000, 20000, 0, FROM(1, 9), LEFT },
            { 20000, 20000, 0, FROM(10, 19), LEFT } } },
        { "half of one is dead",
          2,
          { { 20000, 10000, 0, FROM(1, 9), DEAD },
            { 20000, 20000, 0, FROM(10, 19), LEFT } } },
        { "half of one but a byte", 1, { { 20000, 10001, 0, FROM(1, 9), LEFT } } },
        { "all of one is dead",
          2,
          { { 20000, 0, 0, FROM(1, 9), ALL_DEAD },
            { 20000, 20000, 0, FROM(10, 19), LEFT } } },
        { "it is the active one",
          2,
          { { 20000, 20000, 0, FROM(1, 9), LEFT },
            { 20000, 4000, 0, FROM(10, 19), .active = true, DEAD } } },
        { "it is damaged",
          2,
          { { 20000, 1000, 0, FROM(1, 9), .damaged = true, DAMAGED },
            { 20000, 1000, 0, FROM(10, 19), DEAD } } },
        { "it has no record",
          2,
          { { 0, 0, 0, FROM(0, 0), .active = true, LEFT },
            { 20000, 1000, 0, FROM(10, 19), DEAD } } },
        { "nothing is older than these tombstones",
          2,
          { { 20000, 0, 20000, FROM(1, 9), ALL_DEAD },
            { 20000, 20000, 0, FROM(10, 19), LEFT } } },
        { "a few tombstones wait for a cold file",
          2,
          { { 80000, 80000, 0, FROM(1, 9), LEFT },
            { 12000, 0, 12000, FROM(10, 19), NEEDED } } },
        { "a merge has written that file after they were there",
          2,
          { { 80000, 80000, 0, FROM(1, 9), .purged = 19, LEFT },
            { 12000, 0, 12000, FROM(10, 19), ALL_DEAD } } },
        { "it has, but before the last of them",
          2,
          { { 80000, 80000, 0, FROM(1, 9), .purged = 9, LEFT },
            { 12000, 0, 12000, FROM(10, 19), NEEDED } } },
        { "they wait for a file that goes, too",
          2,
          { { 80000, 8000, 0, FROM(1, 9), DEAD },
            { 12000, 0, 12000, FROM(10, 19), ALL_DEAD } } },
        { "one that goes lets another go, and that a third",
          4,
          { { 80000, 80000, 0, FROM(30, 39), LEFT },
            { 12000, 0, 12000, FROM(20, 29), ALL_DEAD },
            { 12000, 0, 12000, FROM(10, 19), ALL_DEAD },
            { 80000, 8000, 0, FROM(1, 9), DEAD } } },
        { "they wait for a damaged file",
          2,
          { { 80000, 0, 0, FROM(1, 9), .damaged = true, DAMAGED },
            { 12000, 0, 12000, FROM(10, 19), NEEDED } } },
        { "many wait for a cold file, and it can be paid",
          2,
          { { 20000, 12000, 0, FROM(1, 9), TOMBSTONES },
            { 12000, 0, 12000, FROM(10, 19), TOMBSTONES } } },
        { "many wait for a cold file, and it cannot be paid",
          2,
          { { 20000, 20000, 0, FROM(1, 9), LEFT },
            { 12000, 0, 12000, FROM(10, 19), NEEDED } } },
        { "four small files go along",
          6,
          { { 80000, 60000, 0, FROM(1, 9), LEFT },
            { 80000, 20000, 0, FROM(10, 19), DEAD },
            { 5000, 5000, 0, FROM(20, 29), SMALL },
            { 6000, 6000, 0, FROM(30, 39), SMALL },
            { 7000, 7000, 0, FROM(40, 49), SMALL },
            { 8000, 8000, 0, FROM(50, 59), SMALL } } },
        { "three are not worth it",
          5,
          { { 80000, 60000, 0, FROM(1, 9), LEFT },
            { 80000, 20000, 0, FROM(10, 19), DEAD },
            { 5000, 5000, 0, FROM(20, 29), LEFT },
            { 6000, 6000, 0, FROM(30, 39), LEFT },
            { 7000, 7000, 0, FROM(40, 49), LEFT } } },
        { "as long as it can be paid: 20,000 were freed, 12,000 are copied",
          6,
          { { 32000, 12000, 0, FROM(10, 19), DEAD },
            { 2500, 2500, 0, FROM(20, 29), SMALL },
            { 2000, 2000, 0, FROM(30, 39), SMALL },
            { 2000, 2000, 0, FROM(30, 39), SMALL },
            { 1500, 1500, 0, FROM(30, 39), SMALL },
            { 2501, 2501, 0, FROM(40, 49), LEFT } } },
        { "not when nothing is freed",
          4,
          { { 5000, 5000, 0, FROM(1, 9), LEFT },
            { 5000, 5000, 0, FROM(10, 19), LEFT },
            { 5000, 5000, 0, FROM(20, 29), LEFT },
            { 5000, 5000, 0, FROM(30, 39), LEFT } } },
        { "not the active one",
          5,
          { { 64000, 12000, 0, FROM(1, 9), DEAD },
            { 2000, 2000, 0, FROM(10, 19), LEFT },
            { 2000, 2000, 0, FROM(20, 29), LEFT },
            { 2000, 2000, 0, FROM(30, 39), LEFT },
            { 1000, 1000, 0, FROM(40, 49), .active = true, LEFT } } },
        { "not one that is not small: it has 10,000 bytes",
          6,
          { { 80000, 12000, 0, FROM(1, 9), DEAD },
            { 2000, 2000, 0, FROM(10, 19), SMALL },
            { 2000, 2000, 0, FROM(20, 29), SMALL },
            { 2000, 2000, 0, FROM(30, 39), SMALL },
            { 9999 - HEADER, 9000, 0, FROM(40, 49), SMALL },
            { 10000 - HEADER, 9000, 0, FROM(50, 59), LEFT } } },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct fixture fixture;

        printf("  %s\n", cases[i].why);
        set_up(&fixture, cases[i].rows, cases[i].count);
        bitcask_plan_choose(&fixture.plan);
        expect_reasons(&fixture, cases[i].rows);
        bitcask_plan_choose(&fixture.plan); /* in another order, and not new */
        expect_reasons(&fixture, cases[i].rows);
    }
}

static void the_percentage_decides_what_pays(void **state)
{
    static const struct {
        unsigned percent;
        uint64_t live_size;
        bool taken;
    } cases[] = {
        { 1, 9900, true },  { 1, 9901, false },  { 25, 7500, true }, { 25, 7501, false },
        { 75, 2500, true }, { 75, 2501, false }, { 99, 100, true },  { 99, 101, false },
        { 100, 0, true },   { 100, 1, false },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        const struct row row = { .records_size = 10000,
                                 .live_size = cases[i].live_size,
                                 FROM(1, 100) };
        struct fixture fixture;

        printf("  %u percent\n", cases[i].percent);
        set_up(&fixture, &row, 1);
        fixture.plan.dead_percent = cases[i].percent;
        bitcask_plan_choose(&fixture.plan);
        assert_int_equal(fixture.files[0].taken, cases[i].taken);
    }
}

/* Files of three ages, and one that a merge has written. */
static const struct row ages[] = {
    { 20000, 10000, 0, FROM(1, 90), .purged = 250 },
    { 20000, 10000, 0, FROM(101, 200) },
    { 20000, 10000, 0, FROM(201, 300) },
    { 20000, 10000, 0, FROM(301, 400), .active = true },
};

static void the_horizon_is_the_lowest_bound_of_what_stays(void **state)
{
    static const struct {
        unsigned taken; /* a bit for each file */
        uint64_t horizon;
    } cases[] = {
        { 0x0, 100 }, { 0x1, 100 }, { 0x2, 200 },        { 0x6, 250 },
        { 0x7, 300 }, { 0x8, 100 }, { 0xf, UINT64_MAX }, { 0xe, 250 },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct fixture fixture;

        set_up(&fixture, ages, LENGTH_OF(ages));
        for (size_t j = 0; j < LENGTH_OF(ages); j++)
            fixture.files[j].taken = (cases[i].taken >> j & 1) != 0;
        assert_int_equal(bitcask_plan_horizon(&fixture.plan, 0), cases[i].horizon);
    }
}

static void later_steps_hold_back_and_what_is_done_does_not(void **state)
{
    struct fixture fixture;

    (void)state;
    set_up(&fixture, ages, LENGTH_OF(ages));
    for (size_t i = 0; i < LENGTH_OF(ages); i++) {
        fixture.files[i].taken = true;
        fixture.files[i].step = (uint32_t)i;
    }
    assert_int_equal(bitcask_plan_horizon(&fixture.plan, 0), 100);
    assert_int_equal(bitcask_plan_horizon(&fixture.plan, 1), 200);
    fixture.files[1].taken = false; /* it was left: it stays for ever */
    assert_int_equal(bitcask_plan_horizon(&fixture.plan, 2), 100);
    fixture.files[1].done = true; /* it is gone */
    assert_int_equal(bitcask_plan_horizon(&fixture.plan, 2), 300);
    fixture.files[3].first_sequence = 0; /* no record: nothing to bring back */
    assert_int_equal(bitcask_plan_horizon(&fixture.plan, 2), UINT64_MAX);
}

static void a_file_goes_unread_if_nothing_in_it_has_to_stay(void **state)
{
    static const struct {
        const char *why;
        uint64_t live_count, tombstone_count;
        bool expires;
        uint64_t horizon;
        bool all_dead;
    } cases[] = {
        { "dead puts", 0, 0, false, 0, true },
        { "one is alive", 1, 0, false, UINT64_MAX, false },
        { "tombstones that wait", 0, 1, false, 89, false },
        { "tombstones that do not", 0, 1, false, 90, true },
        { "expired records may be tombstones", 0, 0, true, 99, false },
        { "that do not wait", 0, 0, true, 100, true },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        const struct bitcask_plan_file file = {
            .live_count = cases[i].live_count,
            .tombstone_count = cases[i].tombstone_count,
            .tombstone_first = cases[i].tombstone_count > 0 ? 50 : 0,
            .tombstone_last = cases[i].tombstone_count > 0 ? 90 : 0,
            .expires = cases[i].expires,
            .first_sequence = 1,
            .last_sequence = 100,
        };

        printf("  %s\n", cases[i].why);
        assert_int_equal(bitcask_plan_is_all_dead(&file, cases[i].horizon),
                         cases[i].all_dead);
    }
}

static void what_is_kept_is_copied_and_not_freed(void **state)
{
    const struct bitcask_plan_file file = { .data_size = HEADER + 1000,
                                            .live_size = 300,
                                            .kept_size = 200 };
    const struct bitcask_plan_file odd = { .data_size = 100, .live_size = 200 };

    (void)state;
    assert_int_equal(bitcask_plan_copied_size(&file), 500);
    assert_int_equal(bitcask_plan_freed_size(&file), HEADER + 500);
    assert_int_equal(bitcask_plan_freed_size(&odd), 0);
}

static void everything_is_everything_with_a_record(void **state)
{
    const struct row rows[] = {
        { 20000, 20000, 0, FROM(1, 9) },
        { 20000, 0, 0, FROM(10, 19), .damaged = true },
        { 0, 0, 0, FROM(0, 0), .active = true },
        { 200, 200, 0, FROM(20, 29), .active = true },
    };
    struct fixture fixture;

    (void)state;
    set_up(&fixture, rows, LENGTH_OF(rows));
    bitcask_plan_choose_all(&fixture.plan);
    for (uint64_t id = 1; id <= 4; id++) {
        assert_int_equal(find(&fixture, id)->taken, id != 3);
        assert_int_equal(find(&fixture, id)->reason,
                         id != 3 ? BITCASK_MERGE_ASKED : BITCASK_MERGE_LEFT);
    }
}

static void files_are_taken_by_name(void **state)
{
    const uint64_t ids[] = { 4, 2, 4 };
    const uint64_t unknown[] = { 2, 5 };
    struct fixture fixture;

    (void)state;
    set_up(&fixture, ages, LENGTH_OF(ages));
    assert_status(bitcask_plan_choose_files(&fixture.plan, ids, LENGTH_OF(ids)),
                  BITCASK_OK);
    for (uint64_t id = 1; id <= 4; id++) {
        assert_int_equal(find(&fixture, id)->taken, id % 2 == 0);
        assert_int_equal(find(&fixture, id)->reason,
                         id % 2 == 0 ? BITCASK_MERGE_ASKED : BITCASK_MERGE_LEFT_UNASKED);
    }
    assert_status(bitcask_plan_choose_files(&fixture.plan, unknown, 2),
                  BITCASK_NOT_FOUND);
    assert_detail("0000000005.data");
    assert_status(bitcask_plan_choose_files(&fixture.plan, NULL, 0), BITCASK_OK);
    for (uint64_t id = 1; id <= 4; id++)
        assert_false(find(&fixture, id)->taken);
}

static void garbage_goes_first_then_the_oldest(void **state)
{
    const struct row rows[] = {
        { 20000, 15000, 0, FROM(301, 400), .active = true },
        { 20000, 0, 0, FROM(101, 200) }, /* nothing to read */
        { 20000, 9000, 0, FROM(1, 90), .purged = 250 },
        { 20000, 5000, 0, FROM(201, 240) },
        { 20000, 20000, 0, FROM(401, 500) }, /* will not be taken */
        { 20000, 0, 100, FROM(241, 300) },   /* deletes: is read */
    };
    const uint64_t ids[] = { 1, 2, 3, 4, 6 };
    const uint64_t order[] = { 2, 4, 3, 6, 1, 5 };
    const uint32_t steps[] = { 0, 1, 1, 2, 2 }; /* read 60000 at most */
    struct fixture fixture;

    (void)state;
    set_up(&fixture, rows, LENGTH_OF(rows));
    fixture.plan.step_size = 15000;
    assert_status(bitcask_plan_choose_files(&fixture.plan, ids, LENGTH_OF(ids)),
                  BITCASK_OK);
    assert_int_equal(bitcask_plan_divide(&fixture.plan), 3);
    for (size_t i = 0; i < LENGTH_OF(order); i++) {
        assert_int_equal(fixture.files[i].id, order[i]);
        if (i < LENGTH_OF(steps))
            assert_int_equal(fixture.files[i].step, steps[i]);
    }
}

static void a_step_has_at_least_one_file_and_at_most_its_size(void **state)
{
    static const struct {
        uint64_t step_size;
        uint32_t step_count;
    } cases[] = { { 1, 4 },     { 10000, 4 }, { 19999, 4 }, { 20000, 2 },
                  { 29999, 2 }, { 30000, 2 }, { 39999, 2 }, { 40000, 1 } };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct fixture fixture;
        uint64_t sizes[4] = { 0 };

        set_up(&fixture, ages, LENGTH_OF(ages));
        fixture.plan.step_size = cases[i].step_size;
        bitcask_plan_choose_all(&fixture.plan);
        assert_int_equal(bitcask_plan_divide(&fixture.plan), cases[i].step_count);
        for (size_t j = 0; j < 4; j++) {
            assert_true(fixture.files[j].step < cases[i].step_count);
            sizes[fixture.files[j].step] += fixture.files[j].live_size;
        }
        for (uint32_t j = 0; j < cases[i].step_count; j++)
            assert_true(sizes[j] > 0 &&
                        (sizes[j] == 10000 || sizes[j] <= cases[i].step_size));
    }
}

static void nothing_taken_is_no_step(void **state)
{
    struct fixture fixture;

    (void)state;
    set_up(&fixture, ages, LENGTH_OF(ages));
    assert_int_equal(bitcask_plan_divide(&fixture.plan), 0);
    fixture.plan.file_count = 0;
    bitcask_plan_choose(&fixture.plan);
    bitcask_plan_choose_all(&fixture.plan);
    assert_int_equal(bitcask_plan_divide(&fixture.plan), 0);
    assert_int_equal(bitcask_plan_horizon(&fixture.plan, 0), UINT64_MAX);
}

static void tombstones_above_the_horizon_are_kept(void **state)
{
    static const struct {
        uint64_t purged; /* of the file that stays behind */
        uint64_t kept_size;
    } cases[] = { { 0, 5000 }, { 100, 5000 }, { 200, 0 } };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        const struct row rows[] = {
            { 20000, 20000, 0, FROM(1, 90), .purged = cases[i].purged },
            { 20000, 1000, 5000, FROM(101, 200) },
        };
        const uint64_t id = 2;
        struct fixture fixture;

        set_up(&fixture, rows, LENGTH_OF(rows));
        assert_status(bitcask_plan_choose_files(&fixture.plan, &id, 1), BITCASK_OK);
        assert_int_equal(bitcask_plan_divide(&fixture.plan), 1);
        assert_int_equal(find(&fixture, 2)->kept_size, cases[i].kept_size);
        assert_int_equal(bitcask_plan_copied_size(find(&fixture, 2)),
                         1000 + cases[i].kept_size);
    }
}

static void every_reason_has_words(void **state)
{
    (void)state;
    for (int i = BITCASK_MERGE_LEFT; i <= BITCASK_MERGE_ASKED; i++) {
        const char *text = bitcask_merge_reason_text((enum bitcask_merge_reason)i);

        assert_true(strlen(text) > 0);
        assert_string_not_equal(text, "unknown reason");
        for (int j = BITCASK_MERGE_LEFT; j < i; j++)
            assert_string_not_equal(
                text, bitcask_merge_reason_text((enum bitcask_merge_reason)j));
    }
    assert_string_equal(bitcask_merge_reason_text((enum bitcask_merge_reason)99),
                        "unknown reason");
    assert_string_equal(bitcask_merge_reason_text((enum bitcask_merge_reason) - 1),
                        "unknown reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cask_is_due_when_it_is_large_and_dead_enough),
        cmocka_unit_test(being_due_adds_up_all_files),
        cmocka_unit_test(files_are_taken_for_a_reason),
        cmocka_unit_test(the_percentage_decides_what_pays),
        cmocka_unit_test(the_horizon_is_the_lowest_bound_of_what_stays),
        cmocka_unit_test(later_steps_hold_back_and_what_is_done_does_not),
        cmocka_unit_test(a_file_goes_unread_if_nothing_in_it_has_to_stay),
        cmocka_unit_test(what_is_kept_is_copied_and_not_freed),
        cmocka_unit_test(everything_is_everything_with_a_record),
        cmocka_unit_test(files_are_taken_by_name),
        cmocka_unit_test(garbage_goes_first_then_the_oldest),
        cmocka_unit_test(a_step_has_at_least_one_file_and_at_most_its_size),
        cmocka_unit_test(nothing_taken_is_no_step),
        cmocka_unit_test(tombstones_above_the_horizon_are_kept),
        cmocka_unit_test(every_reason_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
