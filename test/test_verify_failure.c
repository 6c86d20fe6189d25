/* SPDX-License-Identifier: MIT */
/*
 * Verifying when the system or memory fails: it says so, or tells of what it could not
 * read, and never calls well what it has not seen.
 */
#include "test/doctor_damages.h"

#include <string.h>

#include "bitcask/verify.h"
#include "test/test_alloc.h"

/* Some of doctor_damages, with all that there is to read in them. */
static const char *const names[] = {
    "nothing",
    "nothing, and it was not closed",
    "a key that only the hint knows",
    "a value in a batch",
    "a torn tail",
    "a sealed file is gone",
    "the file header of the newest file",
    "MANIFEST is gone",
    "the reserve",
};

static enum bitcask_status verify(struct test_disk *disk, struct doctor_told *told)
{
    const struct bitcask_verify_options options = { .threads = 1,
                                                    .finding = doctor_note_finding,
                                                    .context = told };

    memset(told, 0, sizeof *told);
    return bitcask_verify_with(disk->io, disk->path, &options, &told->verified);
}

/* Fail call after call, each once or for ever. */
static void fail_each_call(struct test_disk *disk, const struct doctor_damage *damage,
                           unsigned calls, long count)
{
    bool is_damaged = damage->steps[0] != '\0';
    struct test_image before = { 0 };
    struct doctor_told told;
    long failures;

    doctor_damage_make(damage, disk);
    test_image_take(&before, disk->path);
    for (long skip = 0;; skip++) {
        const struct fault_plan plan = { .calls = calls, .skip = skip, .count = count };
        enum bitcask_status status;

        fault_io_arm(&disk->fault, &plan);
        status = verify(disk, &told);
        failures = fault_io_failure_count(&disk->fault);
        fault_io_disarm(&disk->fault);
        if (failures == 0)
            break;
        if (status == BITCASK_OK && (is_damaged || count == FAULT_FOREVER))
            fail_msg("%s: after call %ld fails, all is well", damage->name, skip);
        /* Whatever could not be read is told of. What is read again may be well then. */
        if (status == BITCASK_OK)
            assert_int_equal(told.verified.record_count, DOCTOR_RECORD_COUNT);
        if (status == BITCASK_CORRUPT)
            assert_true(told.verified.damage_count > 0);
        else if (status != BITCASK_OK)
            assert_status(status, BITCASK_IO);
        assert_true(skip < 5000);
    }
    assert_string_equal(doctor_finding_words(&told), damage->found);
    test_image_unchanged(&before, disk->path);
    test_image_release(&before);
}

static void what_cannot_be_read_is_not_well(void **state)
{
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(names); i++) {
        const struct doctor_damage *damage = doctor_damage_find(names[i]);

        if (strcmp(names[i], "a torn tail") == 0)
            continue; /* has fewer records */
        fail_each_call(disk, damage, FAULT_ANY, 1);
        fail_each_call(disk, damage, FAULT_ANY, FAULT_FOREVER);
        fail_each_call(disk, damage, FAULT_BIT(FAULT_OPEN), FAULT_FOREVER);
        fail_each_call(disk, damage, FAULT_BIT(FAULT_READ), FAULT_FOREVER);
    }
}

/* Or what needed it was done again. */
static void no_memory_is_said(void **state)
{
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(names); i++) {
        const struct doctor_damage *damage = doctor_damage_find(names[i]);
        struct doctor_told told;
        long failures = 1;

        doctor_damage_make(damage, disk);
        for (long skip = 0; failures > 0; skip++) {
            enum bitcask_status status;

            test_alloc_fail(skip);
            status = verify(disk, &told);
            failures = test_alloc_stop();
            if (status != BITCASK_NO_MEMORY)
                assert_string_equal(doctor_finding_words(&told), damage->found);
        }
    }
}

/* A file of which some bytes cannot be read, by its handle. */
static struct {
    const char *name;
    bitcask_file file;
    uint64_t offset;
    uint64_t size;
    enum bitcask_status (*open)(struct bitcask_io *io, bitcask_file directory,
                                const char *name, enum bitcask_io_mode mode,
                                bitcask_file *out);
    enum bitcask_status (*read)(struct bitcask_io *io, bitcask_file file, uint64_t offset,
                                void *data, size_t size, size_t *got);
} bad;

static enum bitcask_status open_bad(struct bitcask_io *io, bitcask_file directory,
                                    const char *name, enum bitcask_io_mode mode,
                                    bitcask_file *out)
{
    enum bitcask_status status = bad.open(io, directory, name, mode, out);

    if (status == BITCASK_OK && strcmp(name, bad.name) == 0)
        bad.file = *out;
    else if (status == BITCASK_OK && bad.file == *out)
        bad.file = BITCASK_NO_FILE;
    return status;
}

static enum bitcask_status read_bad(struct bitcask_io *io, bitcask_file file,
                                    uint64_t offset, void *data, size_t size, size_t *got)
{
    if (file == bad.file && offset < bad.offset + bad.size && offset + size > bad.offset)
        return BITCASK_IO;
    return bad.read(io, file, offset, data, size, got);
}

static void make_bad(struct test_disk *disk, const char *name, uint64_t offset,
                     uint64_t size)
{
    bad.name = name;
    bad.file = BITCASK_NO_FILE;
    bad.offset = offset;
    bad.size = size;
    bad.open = disk->io->open;
    bad.read = disk->io->read;
    disk->io->open = open_bad;
    disk->io->read = read_bad;
}

static void make_good(struct test_disk *disk)
{
    disk->io->open = bad.open;
    disk->io->read = bad.read;
}

/* The records before and behind it are found, and the hint says which it hides. */
static void a_bad_sector_hides_what_is_in_it(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told told;

    doctor_make(disk);
    make_bad(disk, DOCTOR_DATA_2, doctor_record(11).offset, 10);
    assert_status(verify(disk, &told), BITCASK_CORRUPT);
    make_good(disk);
    assert_int_equal(told.findings[0].of.kind, BITCASK_FINDING_UNREADABLE);
    assert_string_equal(told.findings[0].file, DOCTOR_DATA_2);
    assert_true(told.findings[0].of.offset <= doctor_record(11).offset);
    assert_true(told.findings[0].of.offset + told.findings[0].of.size >
                doctor_record(11).offset);
    assert_true(told.verified.lost_count > 0);
    assert_int_equal(told.verified.unnamed_count, 0);
}

static void other_files_that_cannot_be_read_are_told(void **state)
{
    static const char *const files[] = { DOCTOR_HINT_1, "RESERVE", "MANIFEST" };
    static const uint8_t zeros[100];
    struct test_disk *disk = *state;
    struct doctor_told told;

    for (size_t i = 0; i < LENGTH_OF(files); i++) {
        enum bitcask_status status;

        test_disk_clear(disk);
        doctor_make(disk);
        test_disk_write(disk, "RESERVE", zeros, sizeof zeros);
        make_bad(disk, files[i], 0, UINT64_MAX / 2);
        status = verify(disk, &told);
        make_good(disk);
        if (status == BITCASK_IO)
            continue; /* without MANIFEST there is no telling */
        assert_status(status, BITCASK_CORRUPT);
        assert_string_equal(told.findings[0].file, files[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(what_cannot_be_read_is_not_well),
        disk_test(no_memory_is_said),
        disk_test(a_bad_sector_hides_what_is_in_it),
        disk_test(other_files_that_cannot_be_read_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
