/* SPDX-License-Identifier: MIT */
/*
 * Repairing: what is whole is kept, what is not is moved out of the way and told of, and
 * afterwards there is a cask that opens, and is clean.
 */
#include "test/doctor_damages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/repair.h"

static void expect_words(const struct doctor_damage *damage, const char *what,
                         const char *words, const char *expected)
{
    if (strcmp(words, expected) != 0)
        fail_msg("%s: %s \"%s\", expected \"%s\"", damage->name, what, words, expected);
}

static void expect_told(const struct doctor_damage *damage,
                        const struct doctor_told *told)
{
    expect_words(damage, "findings", doctor_finding_words(told),
                 damage->mended != NULL ? damage->mended : damage->found);
    expect_words(damage, "steps", doctor_step_words(told), damage->steps);
}

static void expect_contents(const struct doctor_damage *damage, struct test_disk *disk)
{
    expect_words(damage, "contents", doctor_contents(disk),
                 damage->contents != NULL ? damage->contents : DOCTOR_CONTENTS);
}

/* Nothing but the lock, which is taken to look. */
static void take_image(struct test_disk *disk, struct test_image *image)
{
    test_disk_remove(disk, "LOCK");
    test_image_take(image, disk->path);
}

static void expect_unchanged(struct test_disk *disk, const struct test_image *image)
{
    test_disk_remove(disk, "LOCK");
    test_image_unchanged(image, disk->path);
}

/* The same, but that MANIFEST may list drafts: their ids are never given out again. */
static void expect_data_unchanged(struct test_disk *disk, struct test_image *image)
{
    struct test_image_file *before = test_image_find(image, "MANIFEST");
    struct test_image now = { 0 };

    test_image_take(&now, disk->path);
    assert_non_null(test_image_find(&now, "MANIFEST"));
    free(before->bytes);
    *before = *test_image_find(&now, "MANIFEST");
    test_image_find(&now, "MANIFEST")->bytes = NULL;
    test_image_release(&now);
    expect_unchanged(disk, image);
}

static bool is_damaged(const struct doctor_damage *damage)
{
    return damage->steps[0] != '\0';
}

static void each_damage_is_mended(void **state)
{
    struct test_disk *disk = *state;
    struct test_image before = { 0 };
    struct doctor_told told;

    for (size_t i = 0; i < doctor_damage_count; i++) {
        const struct doctor_damage *damage = &doctor_damages[i];

        doctor_damage_make(damage, disk);
        assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
        expect_told(damage, &told);
        assert_int_equal(told.repaired.needed, is_damaged(damage));
        assert_int_equal(told.repaired.changed, is_damaged(damage));
        expect_contents(damage, disk);

        if (!is_damaged(damage))
            continue;
        if (doctor_verify(disk, &told) != BITCASK_OK)
            fail_msg("%s: after a repair: %s", damage->name, doctor_finding_words(&told));
        expect_words(damage, "afterwards", doctor_finding_words(&told), "");
        take_image(disk, &before);
        assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
        assert_int_equal(told.step_count, 0);
        assert_false(told.repaired.needed);
        assert_false(told.repaired.changed);
        expect_unchanged(disk, &before);
    }
    test_image_release(&before);
}

static void a_dry_run_tells_the_same_and_changes_nothing(void **state)
{
    struct test_disk *disk = *state;
    struct test_image before = { 0 };
    struct doctor_told told;

    for (size_t i = 0; i < doctor_damage_count; i++) {
        const struct doctor_damage *damage = &doctor_damages[i];
        struct bitcask_repair_report dry;

        doctor_damage_make(damage, disk);
        test_disk_remove(disk, "LOCK");
        test_image_take(&before, disk->path);
        assert_status(doctor_repair(disk, &told, true), BITCASK_OK);
        test_image_unchanged(&before, disk->path);
        expect_told(damage, &told);
        assert_false(told.repaired.changed);
        dry = told.repaired;

        assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
        assert_int_equal(dry.needed, told.repaired.needed);
        assert_int_equal(dry.record_count, told.repaired.record_count);
        assert_int_equal(dry.kept_count, told.repaired.kept_count);
        assert_int_equal(dry.rewritten_count, told.repaired.rewritten_count);
        assert_int_equal(dry.quarantined_count, told.repaired.quarantined_count);
        assert_int_equal(dry.output_count, told.repaired.output_count);
        assert_int_equal(dry.unnamed_size, told.repaired.unnamed_size);
    }
    test_image_release(&before);
}

/* What is kept is not touched; what is not is in quarantine, byte for byte. */
static void no_byte_is_lost(void **state)
{
    struct test_disk *disk = *state;
    struct test_image before = { 0 }, after = { 0 };
    struct doctor_told told;

    for (size_t i = 0; i < doctor_damage_count; i++) {
        doctor_damage_make(&doctor_damages[i], disk);
        test_image_take(&before, disk->path);
        assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
        test_image_take(&after, disk->path);
        for (size_t k = 0; k < told.step_count; k++) {
            const struct doctor_step *step = &told.steps[k];
            const struct test_image_file *old = test_image_find(&before, step->file);
            const struct test_image_file *new;
            char name[64];

            (void)snprintf(name, sizeof name, "%s%s",
                           step->moved_to[0] != '\0' ? "quarantine/" : "",
                           step->moved_to[0] != '\0' ? step->moved_to : step->file);
            new = test_image_find(&after, name);
            if (old == NULL || new == NULL || old->size != new->size ||
                memcmp(old->bytes, new->bytes, old->size) != 0)
                fail_msg("%s: %s is not what %s was", doctor_damages[i].name, name,
                         step->file);
            if (step->moved_to[0] != '\0' && strstr(step->file, ".data") != NULL)
                assert_null(test_image_find(&after, step->file));
            assert_int_equal(step->of.size, old->size);
        }
    }
    test_image_release(&before);
    test_image_release(&after);
}

static void the_report_adds_up(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;

    for (size_t i = 0; i < doctor_damage_count; i++) {
        uint64_t actions[4] = { 0 };
        uint64_t effects[BITCASK_EFFECT_HARMLESS + 1] = { 0 };
        uint64_t record_count = 0, damage_count = 0, moved_count = 0;
        const struct bitcask_repair_report *report = &told.repaired;
        struct bitcask *cask;

        doctor_damage_make(&doctor_damages[i], disk);
        assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
        for (size_t k = 0; k < told.step_count; k++) {
            actions[told.steps[k].of.action]++;
            record_count += told.steps[k].of.record_count;
            moved_count += told.steps[k].moved_to[0] != '\0';
        }
        for (size_t k = 0; k < told.finding_count; k++) {
            effects[told.findings[k].of.effect]++;
            damage_count += bitcask_finding_is_damage(told.findings[k].of.kind);
        }
        assert_int_equal(report->kept_count, actions[BITCASK_REPAIR_KEEP]);
        assert_int_equal(report->rewritten_count, actions[BITCASK_REPAIR_REWRITE]);
        assert_int_equal(report->output_count, actions[BITCASK_REPAIR_REWRITE]);
        assert_int_equal(report->output_size > 0, report->output_count > 0);
        assert_int_equal(report->quarantined_count, moved_count);
        assert_int_equal(report->record_count, record_count);
        assert_int_equal(report->damage_count, damage_count);
        assert_int_equal(report->lost_count, effects[BITCASK_EFFECT_LOST]);
        assert_int_equal(report->stale_count, effects[BITCASK_EFFECT_STALE]);
        assert_int_equal(report->undeleted_count, effects[BITCASK_EFFECT_UNDELETED]);
        cask = test_cask_open_read_only(disk);
        assert_int_equal(report->key_count, test_cask_stat(cask).key_count);
        test_cask_close(cask);
    }
}

/* And rotates, and merges: all sequences are where they must be, and hints are right. */
static void a_writer_goes_on_afterwards(void **state)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    struct test_disk *disk = *state;
    struct doctor_told told;

    for (size_t i = 0; i < doctor_damage_count; i++) {
        struct bitcask *cask;
        char before[512], after[512];

        doctor_damage_make(&doctor_damages[i], disk);
        assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
        (void)snprintf(before, sizeof before, "%s", doctor_contents(disk));
        cask = test_cask_open(disk, NULL);
        assert_int_equal(test_cask_stat(cask).cut_count,
                         strstr(doctor_damages[i].found, "torn") != NULL &&
                             !is_damaged(&doctor_damages[i]));
        test_cask_put(cask, "new", "value");
        test_cask_put(cask, "filler", "short");
        test_cask_close(cask);

        cask = test_cask_open(disk, NULL);
        assert_status(bitcask_merge(cask, &all, NULL), BITCASK_OK);
        test_cask_expect(cask, "new", "value");
        test_cask_delete(cask, "new");
        test_cask_close(cask);
        (void)snprintf(after, sizeof after, "%s", doctor_contents(disk));
        assert_string_equal(after, before);
        assert_status(doctor_verify(disk, &told), BITCASK_OK);
        assert_int_equal(told.verified.damage_count, 0);
    }
}

static void names_that_are_taken_in_quarantine_stay(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer bytes = { 0 };
    struct doctor_told told;
    bitcask_file quarantine;

    doctor_make(disk);
    doctor_spoil_value(disk, 11);
    test_disk_flip(disk, "MANIFEST", 30, 1);
    assert_status(disk->io->directory_open_in(disk->io, disk->directory, "quarantine",
                                              true, &quarantine),
                  BITCASK_OK);
    disk->io->close(disk->io, quarantine);
    test_disk_write(disk, "quarantine/" DOCTOR_DATA_2, "first", 5);
    test_disk_write(disk, "quarantine/" DOCTOR_DATA_2 ".2", "second", 6);
    test_disk_write(disk, "quarantine/MANIFEST", "first", 5);
    assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
    assert_string_equal(doctor_step_words(&told),
                        "keep 1, rewrite 2 (0000000002.data.3), keep 3, quarantine 2h");
    test_disk_read(disk, "quarantine/" DOCTOR_DATA_2, &bytes);
    assert_memory_equal(bytes.data, "first", 5);
    test_disk_read(disk, "quarantine/MANIFEST", &bytes);
    assert_memory_equal(bytes.data, "first", 5);
    assert_true(test_disk_has(disk, "quarantine/" DOCTOR_DATA_2 ".3"));
    assert_true(test_disk_has(disk, "quarantine/MANIFEST.2"));
    bitcask_buffer_release(&bytes);
}

static void a_damaged_manifest_is_kept(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer before = { 0 }, after = { 0 };
    struct doctor_told told;

    doctor_make(disk);
    test_disk_flip(disk, "MANIFEST", 30, 1);
    test_disk_read(disk, "MANIFEST", &before);
    assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
    test_disk_read(disk, "quarantine/MANIFEST", &after);
    assert_int_equal(after.size, before.size);
    assert_memory_equal(after.data, before.data, before.size);
    bitcask_buffer_release(&before);
    bitcask_buffer_release(&after);
}

static void beside_a_writer_there_is_no_repair(void **state)
{
    struct test_disk *disk = *state;
    struct test_image before = { 0 };
    struct doctor_told told;
    struct bitcask *cask;

    doctor_make(disk);
    cask = test_cask_open(disk, NULL);
    doctor_spoil_value(disk, 11);
    test_image_take(&before, disk->path);
    assert_status(doctor_repair(disk, &told, false), BITCASK_LOCKED);
    assert_int_equal(told.step_count, 0);
    assert_status(doctor_repair(disk, &told, true), BITCASK_OK);
    assert_true(told.step_count > 0);
    test_image_unchanged(&before, disk->path);
    test_cask_put(cask, "new", "value");
    test_cask_close(cask);
    assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
    cask = test_cask_open(disk, NULL); /* the lock was given back */
    test_cask_expect(cask, "new", "value");
    test_cask_close(cask);
    test_image_release(&before);
}

/* File 1 is one that a merge has replaced; all that it had is elsewhere. */
static void retire_copy(struct bitcask_manifest *manifest)
{
    const struct bitcask_manifest_segment lines[] = {
        { .state = BITCASK_MANIFEST_RETIRED,
          .id = 20,
          .salt = manifest->segments[0].salt + 1 },
        { .state = BITCASK_MANIFEST_DRAFT,
          .id = 21,
          .salt = manifest->segments[0].salt + 2 },
    };

    manifest->next_id = 30;
    for (size_t i = 0; i < LENGTH_OF(lines); i++)
        assert_status(bitcask_manifest_add(manifest, &lines[i]), BITCASK_OK);
}

static void what_is_no_part_of_the_cask_is_left_to_the_next_open(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;

    doctor_make(disk);
    doctor_edit_manifest(disk, retire_copy);
    test_disk_write(disk, "0000000020.data", "noise", 5);
    test_disk_write(disk, "0000000021.data", "noise", 5);
    doctor_spoil_value(disk, 11);
    assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
    assert_string_equal(doctor_step_words(&told),
                        "keep 1, rewrite 2, keep 3, quarantine 2h");
    assert_true(test_disk_has(disk, "0000000020.data"));
    assert_true(test_disk_has(disk, "0000000021.data"));
    test_cask_close(test_cask_open(disk, NULL));
    assert_false(test_disk_has(disk, "0000000020.data"));
    assert_false(test_disk_has(disk, "0000000021.data"));
}

static void quarantine_number_20(struct bitcask_manifest *manifest)
{
    retire_copy(manifest);
    manifest->segments[manifest->segment_count - 2].state = BITCASK_MANIFEST_QUARANTINED;
}

static void draft_number_20(struct bitcask_manifest *manifest)
{
    retire_copy(manifest);
    manifest->segments[manifest->segment_count - 2].state = BITCASK_MANIFEST_DRAFT;
}

/* Nobody needs number 20; but the only copy of number 2 has its name. */
static void a_name_does_not_say_what_a_file_is(void **state)
{
    void (*const edits[])(struct bitcask_manifest *) = { retire_copy,
                                                         quarantine_number_20,
                                                         draft_number_20 };
    struct test_disk *disk = *state;
    struct doctor_told told;

    for (size_t i = 0; i < LENGTH_OF(edits); i++) {
        test_disk_clear(disk);
        doctor_make(disk);
        doctor_edit_manifest(disk, edits[i]);
        assert_status(disk->io->move(disk->io, disk->directory, DOCTOR_DATA_2,
                                     disk->directory, "0000000020.data"),
                      BITCASK_OK);
        assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
        assert_string_equal(doctor_step_words(&told),
                            "keep 1, keep 3, rewrite 20, quarantine 2h");
        assert_string_equal(doctor_contents(disk), DOCTOR_CONTENTS);
        test_cask_close(test_cask_open(disk, NULL));
        assert_string_equal(doctor_contents(disk), DOCTOR_CONTENTS);
        assert_true(test_disk_has(disk, "quarantine/0000000020.data"));
        assert_status(doctor_verify(disk, &told), BITCASK_OK);
        assert_int_equal(told.verified.damage_count, 0);
    }
}

/* What is done to one file, by its handle. */
static struct {
    const char *name; /* NULL: the data file that is created */
    bitcask_file file;
    int write_count;
    int sync_count;
    bool synced;   /* and nothing was written after it */
    bool too_soon; /* MANIFEST was replaced when it was not synced */
    struct bitcask_io real;
} watch;

static enum bitcask_status open_watched(struct bitcask_io *io, bitcask_file directory,
                                        const char *name, enum bitcask_io_mode mode,
                                        bitcask_file *out)
{
    enum bitcask_status status = watch.real.open(io, directory, name, mode, out);

    bool watched = watch.name != NULL
                       ? strcmp(name, watch.name) == 0
                       : mode == BITCASK_IO_CREATE && strstr(name, ".data") != NULL;

    if (status == BITCASK_OK && watched)
        watch.file = *out;
    else if (status == BITCASK_OK && watch.file == *out)
        watch.file = BITCASK_NO_FILE;
    return status;
}

static enum bitcask_status write_watched(struct bitcask_io *io, bitcask_file file,
                                         uint64_t offset,
                                         const struct bitcask_slice *parts,
                                         size_t part_count)
{
    if (file == watch.file) {
        watch.write_count++;
        watch.synced = false;
    }
    return watch.real.write(io, file, offset, parts, part_count);
}

static enum bitcask_status sync_watched(struct bitcask_io *io, bitcask_file file)
{
    if (file == watch.file) {
        watch.sync_count++;
        watch.synced = true;
    }
    return watch.real.sync(io, file);
}

static enum bitcask_status rename_watched(struct bitcask_io *io, bitcask_file directory,
                                          const char *from, const char *to)
{
    if (strcmp(to, "MANIFEST") == 0 && watch.write_count > 0 && !watch.synced)
        watch.too_soon = true;
    return watch.real.rename(io, directory, from, to);
}

static void watch_file(struct test_disk *disk, const char *name)
{
    memset(&watch, 0, sizeof watch);
    watch.name = name;
    watch.file = BITCASK_NO_FILE;
    watch.real = *disk->io;
    disk->io->open = open_watched;
    disk->io->write = write_watched;
    disk->io->sync = sync_watched;
    disk->io->rename = rename_watched;
}

static void watch_end(struct test_disk *disk)
{
    disk->io->open = watch.real.open;
    disk->io->write = watch.real.write;
    disk->io->sync = watch.real.sync;
    disk->io->rename = watch.real.rename;
}

/* The page cache is not believed: a sync may have failed before. */
static void what_is_not_proven_to_be_synced_is_synced_again(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;

    for (int killed = 0; killed < 2; killed++) {
        test_disk_clear(disk);
        if (killed)
            doctor_make_killed(disk);
        else
            doctor_make(disk);
        doctor_spoil_value(disk, 1);
        watch_file(disk, DOCTOR_DATA_3);
        assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
        watch_end(disk);
        assert_string_equal(doctor_step_words(&told),
                            "rewrite 1, keep 2, keep 3, quarantine 1h");
        assert_int_equal(watch.write_count > 0, killed);
        assert_int_equal(watch.sync_count > 0, killed);
        assert_int_equal(watch.synced, killed);
        assert_false(watch.too_soon);
        assert_string_equal(doctor_contents(disk), DOCTOR_CONTENTS);
    }
}

static void a_new_file_is_synced_before_it_is_listed(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;

    doctor_make(disk);
    doctor_spoil_value(disk, 1);
    watch_file(disk, NULL);
    assert_status(doctor_repair(disk, &told, false), BITCASK_OK);
    watch_end(disk);
    assert_true(watch.write_count > 0);
    assert_true(watch.synced);
    assert_false(watch.too_soon);
}

static enum bitcask_status stop_at_finding(const struct bitcask_finding *finding,
                                           void *context)
{
    (void)finding;
    (void)context;
    return BITCASK_TOO_BIG;
}

static enum bitcask_status stop_at_step(const struct bitcask_repair_step *step,
                                        void *context)
{
    (void)step;
    (void)context;
    return BITCASK_TOO_BIG;
}

static enum bitcask_status stop_at_progress(
    const struct bitcask_inspect_progress *progress, void *context)
{
    long *left = context;

    assert_true(progress->done_size <= progress->total_size);
    return (*left)-- == 0 ? BITCASK_TOO_BIG : BITCASK_OK;
}

static void callbacks_can_stop_it_before_data_is_changed(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_repair_options by_finding = { .finding = stop_at_finding };
    const struct bitcask_repair_options by_step = { .step = stop_at_step };
    struct test_image before = { 0 };
    enum bitcask_status status;

    doctor_make(disk);
    doctor_spoil_value(disk, 11);
    take_image(disk, &before);
    assert_status(bitcask_repair_with(disk->io, disk->path, &by_finding, NULL),
                  BITCASK_TOO_BIG);
    assert_status(bitcask_repair_with(disk->io, disk->path, &by_step, NULL),
                  BITCASK_TOO_BIG);
    for (long calls = 0;; calls++) {
        long left = calls;
        const struct bitcask_repair_options options = { .progress = stop_at_progress,
                                                        .context = &left };

        status = bitcask_repair_with(disk->io, disk->path, &options, NULL);
        if (status == BITCASK_OK)
            break;
        assert_status(status, BITCASK_TOO_BIG);
        assert_detail("a callback has ended it");
        expect_data_unchanged(disk, &before);
    }
    assert_string_equal(doctor_contents(disk),
                        "ada=third dee=soon fay=here gus=here one=1 two=2");
    test_image_release(&before);
}

static void options_must_make_sense(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_repair_report report;
    char path[512];

    doctor_make(disk);
    for (size_t i = 0; i < 11; i++) {
        struct bitcask_repair_options options = { 0 };

        if (i < 7)
            options.reserved_flags[i] = true;
        else
            options.reserved[i - 7] = 1;
        memset(&report, 0xff, sizeof report);
        assert_status(bitcask_repair_with(disk->io, disk->path, &options, &report),
                      BITCASK_MISUSE);
        assert_false(report.changed);
    }
    assert_status(bitcask_repair(NULL, NULL, NULL), BITCASK_MISUSE);
    assert_status(bitcask_repair("", NULL, NULL), BITCASK_MISUSE);
    assert_status(bitcask_repair(disk->path, NULL, NULL), BITCASK_OK);
    (void)snprintf(path, sizeof path, "%s/none", disk->path);
    assert_status(bitcask_repair_with(disk->io, path, NULL, NULL), BITCASK_NOT_FOUND);
    test_disk_clear(disk);
    assert_status(bitcask_repair_with(disk->io, disk->path, NULL, NULL),
                  BITCASK_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(each_damage_is_mended),
        disk_test(a_dry_run_tells_the_same_and_changes_nothing),
        disk_test(no_byte_is_lost),
        disk_test(the_report_adds_up),
        disk_test(a_writer_goes_on_afterwards),
        disk_test(names_that_are_taken_in_quarantine_stay),
        disk_test(a_damaged_manifest_is_kept),
        disk_test(beside_a_writer_there_is_no_repair),
        disk_test(what_is_no_part_of_the_cask_is_left_to_the_next_open),
        disk_test(a_name_does_not_say_what_a_file_is),
        disk_test(what_is_not_proven_to_be_synced_is_synced_again),
        disk_test(a_new_file_is_synced_before_it_is_listed),
        disk_test(callbacks_can_stop_it_before_data_is_changed),
        disk_test(options_must_make_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
