/* SPDX-License-Identifier: MIT */
/*
 * Verifying: each kind of damage is told once, for what it is, with the keys that it
 * hits, and nothing on disk is changed by it.
 */
#include "test/doctor_damages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/verify.h"
#include "test/data_image.h"

static void each_damage_is_told(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;

    for (size_t i = 0; i < doctor_damage_count; i++) {
        const struct doctor_damage *damage = &doctor_damages[i];
        enum bitcask_status expected =
            damage->steps[0] != '\0' ? BITCASK_CORRUPT : BITCASK_OK;
        enum bitcask_status status;

        doctor_damage_make(damage, disk);
        status = doctor_verify(disk, &told);
        if (strcmp(doctor_finding_words(&told), damage->found) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", damage->name,
                     doctor_finding_words(&told), damage->found);
        assert_status(status, expected);
    }
}

/* What is counted is what was told. */
static void check_counts(const struct doctor_told *told)
{
    uint64_t damage_count = 0, note_count = 0,
             effects[BITCASK_EFFECT_HARMLESS + 1] = { 0 };

    for (size_t i = 0; i < told->finding_count; i++) {
        const struct bitcask_finding *finding = &told->findings[i].of;

        if (finding->kind == BITCASK_FINDING_KEY)
            effects[finding->effect]++;
        else if (bitcask_finding_is_damage(finding->kind))
            damage_count++;
        else
            note_count++;
    }
    assert_int_equal(told->verified.damage_count, damage_count);
    assert_int_equal(told->verified.note_count, note_count);
    assert_int_equal(told->verified.lost_count, effects[BITCASK_EFFECT_LOST]);
    assert_int_equal(told->verified.stale_count, effects[BITCASK_EFFECT_STALE]);
    assert_int_equal(told->verified.undeleted_count, effects[BITCASK_EFFECT_UNDELETED]);
    assert_int_equal(told->verified.unreadable_count, effects[BITCASK_EFFECT_UNREADABLE]);
}

static void the_report_counts_what_was_told(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;

    for (size_t i = 0; i < doctor_damage_count; i++) {
        doctor_damage_make(&doctor_damages[i], disk);
        (void)doctor_verify(disk, &told);
        check_counts(&told);
    }
}

static void the_report_counts_what_was_read(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;
    struct test_image image = { 0 };
    uint64_t size;

    doctor_make(disk);
    size = test_disk_size(disk, "MANIFEST");
    for (uint64_t id = 1; id <= 3; id++)
        size += test_disk_size(disk, doctor_data_name(id));
    test_image_take(&image, disk->path);
    assert_status(doctor_verify(disk, &told), BITCASK_OK);
    assert_int_equal(told.verified.file_count, image.count - 1); /* not LOCK */
    assert_int_equal(told.verified.record_count, DOCTOR_RECORD_COUNT);
    assert_int_equal(told.verified.entry_count, 12); /* of two hints */
    assert_true(told.verified.read_size >= size);
    test_image_release(&image);

    doctor_spoil_value(disk, 11); /* the hint is right, the record is not whole */
    assert_status(doctor_verify(disk, &told), BITCASK_CORRUPT);
    assert_int_equal(told.verified.record_count, DOCTOR_RECORD_COUNT - 1);
    assert_int_equal(told.verified.entry_count, 12);
}

static void a_key_is_told_with_its_records(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;
    const struct bitcask_finding *finding = &told.findings[1].of;

    doctor_make(disk);
    doctor_spoil_value(disk, 13);
    assert_status(doctor_verify(disk, &told), BITCASK_CORRUPT);
    assert_int_equal(told.findings[0].of.sequence, 13);
    assert_string_equal(told.findings[1].key, "ada");
    assert_string_equal(told.findings[1].file, DOCTOR_DATA_3);
    assert_int_equal(finding->offset, doctor_record(13).offset);
    assert_int_equal(finding->sequence, 13);
    assert_int_equal(finding->newest_sequence, 9);
}

/* By then it is a tombstone, in all that it does. */
static void a_value_that_has_expired_is_no_loss(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;

    doctor_make(disk);
    doctor_spoil_value(disk, 7);
    disk->fault.wall_ms = DOCTOR_EXPIRY_MS - 1;
    assert_status(doctor_verify(disk, &told), BITCASK_CORRUPT);
    assert_string_equal(doctor_finding_words(&told), "value 1 at 7, dee unreadable");
    disk->fault.wall_ms = DOCTOR_EXPIRY_MS;
    assert_status(doctor_verify(disk, &told), BITCASK_CORRUPT);
    assert_string_equal(doctor_finding_words(&told), "value 1 at 7, dee harmless");
}

/* The next open cuts it, so nothing in it is there to fall back on. */
static void a_torn_tail_saves_no_key(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct doctor_told told;
    struct bitcask *cask;
    uint64_t end;

    doctor_make(disk);
    end = test_disk_size(disk, DOCTOR_DATA_3);
    cask = test_cask_open(disk, NULL);
    test_cask_put(cask, "hal", "here");
    test_cask_put(cask, "eve", "newer");
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    test_image_restore(&image, disk); /* it was not closed */
    test_image_release(&image);

    doctor_spoil_value(disk, 11);
    assert_status(doctor_verify(disk, &told), BITCASK_CORRUPT);
    assert_string_equal(doctor_finding_words(&told), "value 2 at 11, eve harmless");
    test_disk_flip(disk, DOCTOR_DATA_3, end + BITCASK_RECORD_HEADER_SIZE, 1); /* hal */
    assert_status(doctor_verify(disk, &told), BITCASK_CORRUPT);
    assert_int_equal(told.finding_count, 3);
    assert_int_equal(told.findings[1].of.kind, BITCASK_FINDING_TORN_TAIL);
    assert_int_equal(told.findings[1].of.offset, end);
    assert_int_equal(told.findings[2].of.effect, BITCASK_EFFECT_UNREADABLE);
}

/* File 4 has sequences that others have. */
static void list_fourth(struct bitcask_manifest *manifest)
{
    struct bitcask_manifest_segment line = {
        .state = BITCASK_MANIFEST_SEALED,
        .id = manifest->next_id,
        .salt = manifest->segments[0].salt + 1,
        .size = BITCASK_FILE_HEADER_SIZE + 2 * doctor_record(14).size,
        .first_sequence = 10,
        .last_sequence = 11,
    };

    manifest->next_id++;
    assert_status(bitcask_manifest_add(manifest, &line), BITCASK_OK);
}

static void a_sequence_belongs_to_one_record(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_manifest manifest;
    struct data_image image;
    struct doctor_told told;
    const struct bitcask_manifest_segment *line;

    doctor_make(disk);
    doctor_edit_manifest(disk, list_fourth);
    bitcask_manifest_init(&manifest);
    assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                  BITCASK_OK);
    line = &manifest.segments[manifest.segment_count - 1];
    data_image_init(&image, line->id, line->salt);
    image.next_sequence = 10;
    data_image_put(&image, "xyz", "here");
    data_image_put(&image, "xyz", "more");
    data_image_write(&image, disk);

    assert_status(doctor_verify(disk, &told), BITCASK_CORRUPT);
    assert_int_equal(told.verified.damage_count, 1); /* once for the file */
    assert_int_equal(told.findings[0].of.kind, BITCASK_FINDING_SEQUENCE);
    assert_int_equal(told.findings[0].of.sequence, 10);
    assert_int_equal(told.verified.record_count, DOCTOR_RECORD_COUNT);
    data_image_release(&image);
    bitcask_manifest_release(&manifest);
}

static void list_drafts(struct bitcask_manifest *manifest)
{
    const enum bitcask_manifest_state states[] = { BITCASK_MANIFEST_DRAFT,
                                                   BITCASK_MANIFEST_RETIRED,
                                                   BITCASK_MANIFEST_QUARANTINED };

    for (size_t i = 0; i < LENGTH_OF(states); i++) {
        struct bitcask_manifest_segment line = { .state = states[i],
                                                 .id = 20 + i,
                                                 .salt = manifest->segments[0].salt + i };

        assert_status(bitcask_manifest_add(manifest, &line), BITCASK_OK);
    }
    manifest->next_id = 30;
}

/* Nobody reads them again, whatever they have in them. */
static void files_that_are_no_part_of_the_cask_are_noted(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;

    doctor_make(disk);
    doctor_edit_manifest(disk, list_drafts);
    assert_status(doctor_verify(disk, &told), BITCASK_OK);
    assert_int_equal(told.finding_count, 0); /* none of them is there */
    test_disk_write(disk, "0000000020.data", "noise", 5);
    test_disk_write(disk, "0000000021.data", "", 0);
    test_disk_write(disk, "0000000022.data", "noise", 5);
    assert_status(doctor_verify(disk, &told), BITCASK_OK);
    assert_string_equal(doctor_finding_words(&told),
                        "left over 20, left over 21, left over 22");
    assert_string_not_equal(told.findings[0].detail, told.findings[2].detail);
}

/* What one thread finds, four do, in the same order: each file is told as a whole. */
static void threads_find_the_same(void **state)
{
    struct test_disk *disk = *state;

    for (size_t i = 0; i < doctor_damage_count; i++) {
        const struct doctor_damage *damage = &doctor_damages[i];
        struct doctor_told told = { .finding_count = 0 };
        const struct bitcask_verify_options options = { .threads = 4,
                                                        .finding = doctor_note_finding,
                                                        .context = &told };

        doctor_damage_make(damage, disk);
        (void)bitcask_verify_with(disk->io, disk->path, &options, &told.verified);
        if (strcmp(doctor_finding_words(&told), damage->found) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", damage->name,
                     doctor_finding_words(&told), damage->found);
        check_counts(&told);
    }
}

/* A context for the callbacks that count, and may say that it is enough. */
struct patience {
    uint64_t calls;
    uint64_t calls_max; /* 0: no end */
    struct bitcask_inspect_progress last;
};

static enum bitcask_status count_call(struct patience *patience)
{
    patience->calls++;
    assert_true(patience->calls_max == 0 || patience->calls <= patience->calls_max);
    return patience->calls == patience->calls_max ? BITCASK_TOO_BIG : BITCASK_OK;
}

static enum bitcask_status on_finding(const struct bitcask_finding *finding,
                                      void *context)
{
    (void)finding;
    return count_call(context);
}

static enum bitcask_status on_progress(const struct bitcask_inspect_progress *progress,
                                       void *context)
{
    struct patience *patience = context;

    assert_true(progress->done_size >= patience->last.done_size);
    assert_true(progress->done_size <= progress->total_size);
    patience->last = *progress;
    return count_call(patience);
}

static void progress_comes_to_its_end(void **state)
{
    struct test_disk *disk = *state;

    doctor_make(disk);
    for (uint32_t threads = 1; threads <= 4; threads += 3) {
        struct patience patience = { 0 };
        struct bitcask_verify_report report;
        const struct bitcask_verify_options options = { .threads = threads,
                                                        .progress = on_progress,
                                                        .context = &patience };

        assert_status(bitcask_verify_with(disk->io, disk->path, &options, &report),
                      BITCASK_OK);
        assert_int_equal(patience.last.done_size, patience.last.total_size);
        assert_int_equal(patience.last.done_size, report.read_size);
    }
}

static void callbacks_can_stop_it(void **state)
{
    struct test_disk *disk = *state;

    doctor_make(disk);
    doctor_spoil_key(disk, 11);
    doctor_spoil_value(disk, 13);
    for (uint64_t calls = 1; calls <= 4; calls++) {
        struct patience found = { .calls_max = calls };
        struct patience patience = { .calls_max = calls };
        struct bitcask_verify_report report;
        const struct bitcask_verify_options by_finding = { .finding = on_finding,
                                                           .context = &found };
        const struct bitcask_verify_options by_progress = { .threads = 1,
                                                            .progress = on_progress,
                                                            .context = &patience };

        assert_status(bitcask_verify_with(disk->io, disk->path, &by_finding, &report),
                      BITCASK_TOO_BIG);
        assert_int_equal(found.calls, calls);
        assert_status(bitcask_verify_with(disk->io, disk->path, &by_progress, NULL),
                      BITCASK_TOO_BIG);
        assert_int_equal(patience.calls, calls);
    }
}

static void a_rate_is_kept(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_verify_report report;
    uint64_t free_ms;

    doctor_make(disk);
    assert_status(bitcask_verify_with(disk->io, disk->path, NULL, &report), BITCASK_OK);
    free_ms = report.elapsed_ms;
    for (uint32_t threads = 1; threads <= 4; threads += 3) {
        const struct bitcask_verify_options slow = { .threads = threads, .rate = 100 };

        assert_status(bitcask_verify_with(disk->io, disk->path, &slow, &report),
                      BITCASK_OK);
        assert_in_range(report.elapsed_ms - free_ms, report.read_size * 10 - 1,
                        report.read_size * 10 + 1000); /* 100 bytes a second */
    }
}

static void options_must_make_sense(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_verify_options options = { .reserved_number = 1 };
    struct bitcask_verify_report report;

    doctor_make(disk);
    memset(&report, 0xff, sizeof report);
    assert_status(bitcask_verify_with(disk->io, disk->path, &options, &report),
                  BITCASK_MISUSE);
    assert_detail("reserved");
    assert_int_equal(report.file_count, 0);
    for (size_t i = 0; i < LENGTH_OF(options.reserved); i++) {
        memset(&options, 0, sizeof options);
        options.reserved[i] = 1;
        assert_status(bitcask_verify_with(disk->io, disk->path, &options, NULL),
                      BITCASK_MISUSE);
    }
    assert_status(bitcask_verify(NULL, NULL, NULL), BITCASK_MISUSE);
    assert_status(bitcask_verify("", NULL, NULL), BITCASK_MISUSE);
    assert_status(bitcask_verify(disk->path, NULL, NULL), BITCASK_OK);
}

static void where_there_is_no_cask_there_is_nothing_to_verify(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;
    char path[512];

    (void)snprintf(path, sizeof path, "%s/none", disk->path);
    assert_status(bitcask_verify_with(disk->io, path, NULL, NULL), BITCASK_NOT_FOUND);
    assert_detail("none");
    assert_status(doctor_verify(disk, &told), BITCASK_NOT_FOUND);
    test_disk_write(disk, "readme", "text", 4);
    assert_status(doctor_verify(disk, &told), BITCASK_NOT_FOUND);
    test_disk_clear(disk);
    test_cask_close(test_cask_open(disk, NULL)); /* without a record it is one */
    assert_status(doctor_verify(disk, &told), BITCASK_OK);
    assert_int_equal(told.verified.record_count, 0);
}

/* As open says, which goes by its size: it was larger than a header. */
static void a_file_that_is_zeros_without_a_manifest_was_a_cask(void **state)
{
    static const uint8_t zeros[202] = { 0 };
    struct test_disk *disk = *state;
    struct bitcask *cask = NULL;
    struct doctor_told told;

    test_disk_write(disk, "0000000002.data", zeros, sizeof zeros);
    assert_status(bitcask_open_with(disk->io, &cask, disk->path, NULL), BITCASK_CORRUPT);
    assert_status(doctor_verify(disk, &told), BITCASK_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(each_damage_is_told),
        disk_test(the_report_counts_what_was_told),
        disk_test(the_report_counts_what_was_read),
        disk_test(a_key_is_told_with_its_records),
        disk_test(a_value_that_has_expired_is_no_loss),
        disk_test(a_torn_tail_saves_no_key),
        disk_test(a_sequence_belongs_to_one_record),
        disk_test(files_that_are_no_part_of_the_cask_are_noted),
        disk_test(threads_find_the_same),
        disk_test(progress_comes_to_its_end),
        disk_test(callbacks_can_stop_it),
        disk_test(a_rate_is_kept),
        disk_test(options_must_make_sense),
        disk_test(where_there_is_no_cask_there_is_nothing_to_verify),
        disk_test(a_file_that_is_zeros_without_a_manifest_was_a_cask),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
