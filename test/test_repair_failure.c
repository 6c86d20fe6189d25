/* SPDX-License-Identifier: MIT */
/*
 * Repairing that fails or dies on its way: the cask is then what it was, or whole
 * already, and a repair that is begun again comes to the same end.
 */
#include "test/doctor_damages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/repair.h"
#include "test/test_alloc.h"

/* Some of doctor_damages: of each thing that repair does one. */
static const char *const names[] = {
    "a key that only the hint knows",
    "the last key that nobody knows",
    "a value in a batch",
    "a torn tail, and a value",
    "a sealed file is gone",
    "the newest file is gone",
    "two files have changed places",
    "a file has another name",
    "a file is another cask's",
    "MANIFEST is another cask's",
    "MANIFEST is gone, of a cask not closed",
    "MANIFEST is damaged",
    "MANIFEST is an older one",
    "a hint lies",
    "the reserve",
};

static const char *contents_of(const struct doctor_damage *damage)
{
    return damage->contents != NULL ? damage->contents : DOCTOR_CONTENTS;
}

/* Begin again: the clocks have gone on, too. */
static void restore(struct test_disk *disk, const struct test_image *image)
{
    test_image_restore(image, disk);
    disk->fault.wall_ms = DOCTOR_NOW_MS;
}

/* Every file in @before is still there, or in quarantine. */
static void expect_all_bytes(const struct doctor_damage *damage, struct test_disk *disk,
                             const struct test_image *before)
{
    struct test_image after = { 0 };

    test_image_take(&after, disk->path);
    for (size_t i = 0; i < before->count; i++) {
        const struct test_image_file *old = &before->files[i];
        bool found = strstr(old->name, ".data") == NULL; /* others are written anew */

        for (size_t k = 0; k < after.count && !found; k++)
            found = strstr(after.files[k].name, old->name) != NULL &&
                    after.files[k].size == old->size &&
                    memcmp(after.files[k].bytes, old->bytes, old->size) == 0;
        if (!found)
            fail_msg("%s: the bytes of %s are gone", damage->name, old->name);
    }
    test_image_release(&after);
}

/* As it is to be after a repair; else it fails, with @more behind the words. */
static void expect_contents(const struct doctor_damage *damage, struct test_disk *disk,
                            long call, const char *more)
{
    const char *contents = doctor_contents(disk);

    if (strcmp(contents, contents_of(damage)) != 0)
        fail_msg("%s, after a failure of call %ld: \"%s\", expected \"%s\"%s",
                 damage->name, call, contents, contents_of(damage), more);
}

/* With a good disk it comes to its end, whatever was done of it before. */
static void expect_end(const struct doctor_damage *damage, struct test_disk *disk,
                       const struct test_image *before, long call)
{
    struct doctor_told told;
    enum bitcask_status status = doctor_repair(disk, &told, false);

    if (status != BITCASK_OK)
        fail_msg("%s, after a failure of call %ld: %s", damage->name, call,
                 bitcask_error_detail());
    expect_contents(damage, disk, call, "");
    status = doctor_verify(disk, &told);
    if (status != BITCASK_OK)
        fail_msg("%s, after a failure of call %ld: %s", damage->name, call,
                 doctor_finding_words(&told));
    for (size_t i = 0; i < told.finding_count; i++) {
        if (told.findings[i].of.kind == BITCASK_FINDING_LEFT_OVER)
            assert_string_equal(told.findings[i].detail,
                                "a merge has left it; the next writer removes it");
    }
    expect_all_bytes(damage, disk, before);
}

/* Notes of drafts that are not finished, and of hints that are not written yet. */
static void forget_what_is_unfinished(struct doctor_told *told)
{
    size_t kept = 0;

    for (size_t i = 0; i < told->finding_count; i++) {
        enum bitcask_finding_kind kind = told->findings[i].of.kind;

        if (kind != BITCASK_FINDING_LEFT_OVER && kind != BITCASK_FINDING_NO_HINT)
            told->findings[kept++] = told->findings[i];
    }
    told->finding_count = kept;
}

/* Between the two: it is as it was, or mended. */
static void expect_no_third_thing(const struct doctor_damage *damage,
                                  struct test_disk *disk, long call)
{
    struct doctor_told told;
    const char *found;
    enum bitcask_status status = doctor_verify(disk, &told);

    if (status == BITCASK_OK) {
        expect_contents(damage, disk, call, "");
        return;
    }
    assert_status(status, BITCASK_CORRUPT);
    forget_what_is_unfinished(&told);
    found = doctor_finding_words(&told);
    if (strcmp(found, damage->found) != 0)
        fail_msg("%s, after a failure of call %ld: \"%s\", it was \"%s\"", damage->name,
                 call, found, damage->found);
}

/*
 * Begin again with @image, repair it while calls fail as @model says, but for the first
 * @skip of them, and give what it says. *failures is how many have failed.
 */
static enum bitcask_status repair_failing(struct test_disk *disk,
                                          const struct test_image *image,
                                          const struct fault_plan *model, long skip,
                                          struct doctor_told *told, long *failures)
{
    struct fault_plan plan = *model;
    enum bitcask_status status;

    plan.skip = skip;
    restore(disk, image);
    fault_io_arm(&disk->fault, &plan);
    status = doctor_repair(disk, told, false);
    *failures = fault_io_failure_count(&disk->fault);
    fault_io_disarm(&disk->fault);
    return status;
}

/* Fail each call that changes something in turn, as @model says. */
static void fail_each_change(struct test_disk *disk, const struct fault_plan *model)
{
    struct test_image image = { 0 };

    for (size_t i = 0; i < LENGTH_OF(names); i++) {
        const struct doctor_damage *damage = doctor_damage_find(names[i]);

        doctor_damage_make(damage, disk);
        test_image_take(&image, disk->path);
        for (long skip = 0;; skip++) {
            struct doctor_told told;
            long failures;
            enum bitcask_status status =
                repair_failing(disk, &image, model, skip, &told, &failures);

            if (failures == 0)
                break;
            if (status != BITCASK_OK) {
                assert_status(status,
                              model->status != BITCASK_OK ? model->status : BITCASK_IO);
                assert_true(bitcask_error_detail()[0] != '\0');
                expect_no_third_thing(damage, disk, skip);
            }
            expect_end(damage, disk, &image, skip);
            assert_true(skip < 1000);
        }
        assert_string_equal(doctor_contents(disk), contents_of(damage));
    }
    test_image_release(&image);
}

enum {
    CHANGES = FAULT_BIT(FAULT_DIRECTORY_OPEN_IN) | FAULT_BIT(FAULT_WRITE) |
              FAULT_BIT(FAULT_SYNC) | FAULT_BIT(FAULT_DIRECTORY_SYNC) |
              FAULT_BIT(FAULT_TRUNCATE) | FAULT_BIT(FAULT_RENAME) |
              FAULT_BIT(FAULT_MOVE) | FAULT_BIT(FAULT_REMOVE)
};

static void a_change_that_fails_can_be_made_again(void **state)
{
    const struct fault_plan once = { .calls = CHANGES };
    const struct fault_plan partly = { .calls = FAULT_BIT(FAULT_WRITE),
                                       .partial_size = 100 };

    fail_each_change(*state, &once);
    fail_each_change(*state, &partly);
}

/* As a process that ends there: nothing that comes later is done. */
static void a_process_may_end_at_each_call(void **state)
{
    const struct fault_plan plan = { .calls = CHANGES, .count = FAULT_FOREVER };

    fail_each_change(*state, &plan);
}

static void a_full_disk_leaves_the_cask_as_it_was(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;
    const struct doctor_damage *damage =
        doctor_damage_find("a key that only the hint knows");
    const struct fault_plan model = { .calls = FAULT_BIT(FAULT_WRITE),
                                      .count = FAULT_FOREVER,
                                      .status = BITCASK_NO_SPACE,
                                      .error = 28, /* ENOSPC */
                                      .partial_size = 500 };

    fail_each_change(disk, &model);

    for (long skip = 0; skip < 3; skip++) { /* the list of drafts, data, hint */
        struct fault_plan plan = model;
        struct test_image before = { 0 };

        plan.skip = skip;
        doctor_damage_make(damage, disk);
        test_image_take(&before, disk->path);
        fault_io_arm(&disk->fault, &plan);
        assert_status(doctor_repair(disk, &told, false), BITCASK_NO_SPACE);
        fault_io_disarm(&disk->fault);
        assert_false(told.repaired.changed);
        assert_int_equal(test_disk_count(disk), before.count); /* no new file is left */
        assert_status(doctor_verify(disk, &told), BITCASK_CORRUPT);
        assert_string_equal(doctor_finding_words(&told), damage->found);
        test_image_release(&before);
    }
}

/* What reads badly once is not believed to be gone in silence. */
static void what_cannot_be_read_is_told(void **state)
{
    const struct fault_plan others = { .calls = FAULT_ANY & ~(unsigned)CHANGES };
    struct test_disk *disk = *state;
    struct test_image image = { 0 };

    for (size_t i = 0; i < LENGTH_OF(names); i++) {
        const struct doctor_damage *damage = doctor_damage_find(names[i]);

        doctor_damage_make(damage, disk);
        test_image_take(&image, disk->path);
        for (long skip = 0;; skip++) {
            struct doctor_told told;
            long failures;
            enum bitcask_status status =
                repair_failing(disk, &image, &others, skip, &told, &failures);
            bool told_all;

            if (failures == 0)
                break;
            if (status != BITCASK_OK) {
                assert_status(status, BITCASK_IO);
                expect_end(damage, disk, &image, skip);
                continue;
            }
            expect_all_bytes(damage, disk, &image);
            told_all = told.repaired.lost_count + told.repaired.stale_count +
                           told.repaired.undeleted_count + told.repaired.unnamed_count >
                       0;
            if (!told_all)
                expect_contents(damage, disk, skip, ", and nothing was said");
            assert_true(skip < 5000);
        }
    }
    test_image_release(&image);
}

static void no_memory_is_said(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };

    for (size_t i = 0; i < LENGTH_OF(names); i += 3) {
        const struct doctor_damage *damage = doctor_damage_find(names[i]);
        long failures = 1;

        doctor_damage_make(damage, disk);
        test_image_take(&image, disk->path);
        for (long skip = 0; failures > 0; skip++) {
            struct doctor_told told;
            enum bitcask_status status;

            restore(disk, &image);
            test_alloc_fail(skip);
            status = doctor_repair(disk, &told, false);
            failures = test_alloc_stop();
            if (status != BITCASK_OK) {
                assert_status(status, BITCASK_NO_MEMORY);
                expect_no_third_thing(damage, disk, skip);
            }
            expect_end(damage, disk, &image, skip);
        }
    }
    test_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_change_that_fails_can_be_made_again),
        disk_test(a_process_may_end_at_each_call),
        disk_test(a_full_disk_leaves_the_cask_as_it_was),
        disk_test(what_cannot_be_read_is_told),
        disk_test(no_memory_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
