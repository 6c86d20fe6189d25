/* SPDX-License-Identifier: MIT */
/*
 * Opening: what is no cask is refused with a clear status, and nothing is created or
 * changed by it; what could be one becomes one. test_open_shared.c has the openers
 * beside others, the damage campaign the damaged casks.
 */
#include "test/test_cask.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bitcask/manifest.h"
#include "test/test_alloc.h"

static char *join(char path[512], const struct test_disk *disk, const char *name)
{
    (void)snprintf(path, 512, "%s/%s", disk->path, name);
    return path;
}

/* An open that must fail, at @path. */
static enum bitcask_status refused_at(struct test_disk *disk, const char *path,
                                      const struct bitcask_options *options)
{
    struct bitcask *cask = (struct bitcask *)disk;
    enum bitcask_status status = bitcask_open_with(disk->io, &cask, path, options);

    assert_true(status != BITCASK_OK);
    assert_null(cask);
    return status;
}

static const struct bitcask_options read_only = { .read_only = true };
static const struct bitcask_options must_exist = { .must_exist = true };

static void null_and_empty_arguments_are_misuse(void **state)
{
    struct test_disk *disk = *state;

    assert_status(bitcask_open(NULL, disk->path, NULL), BITCASK_MISUSE);
    assert_status(refused_at(disk, NULL, NULL), BITCASK_MISUSE);
    assert_detail("directory");
    assert_status(refused_at(disk, "", NULL), BITCASK_MISUSE);
    assert_detail("directory");
    assert_int_equal(test_disk_count(disk), 0);
}

static void options_outside_their_limits_are_misuse(void **state)
{
    struct test_disk *disk = *state;
    const struct {
        struct bitcask_options options;
        const char *detail;
    } rows[] = {
        { { .reserved_flags = { true } }, "reserved" },
        { { .reserved_flags = { false, true } }, "reserved" },
        { { .reserved_flags = { false, true } }, "reserved" },
        { { .merge_dead_percent = 101 }, "merge_dead_percent" },
        { { .reserved = { 1 } }, "reserved" },
        { { .reserved = { 0, 0, 0, 0, 0, UINT64_C(1) << 63 } }, "reserved" },
        { { .sync = (enum bitcask_sync_mode)(BITCASK_SYNC_ALWAYS + 1) }, "sync" },
        { { .sync = (enum bitcask_sync_mode)INT32_MAX }, "sync" },
        { { .file_size_max = 1 }, "file_size_max" },
        { { .file_size_max = 4095 }, "file_size_max" },
        { { .file_size_max = (UINT64_C(256) << 30) + 1 }, "file_size_max" },
        { { .file_size_max = UINT64_MAX }, "file_size_max" },
        { { .salvage = true }, "read_only" },
    };
    char path[512];

    for (size_t i = 0; i < LENGTH_OF(rows); i++) {
        assert_status(refused_at(disk, join(path, disk, "new"), &rows[i].options),
                      BITCASK_MISUSE);
        assert_detail(rows[i].detail);
        assert_status(refused_at(disk, disk->path, &rows[i].options), BITCASK_MISUSE);
    }
    assert_int_equal(test_disk_count(disk), 0);
}

static void options_at_their_limits_are_fine(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options rows[] = {
        { .file_size_max = 4096 },
        { .file_size_max = UINT64_C(256) << 30 },
        { .threads = 1 },
        { .threads = UINT32_MAX },
        { .expected_keys = 100000 },
        { .sync_interval_ms = 1 },
        { .sync_interval_ms = UINT32_MAX },
        { .sync = BITCASK_SYNC_NONE },
        { .sync = BITCASK_SYNC_ALWAYS },
        { .must_exist = true },
        { .no_mapping = true, .no_background = true },
        { .read_only = true, .must_exist = true },
        { .read_only = true, .salvage = true },
    };

    test_cask_close(test_cask_open(disk, NULL));
    for (size_t i = 0; i < LENGTH_OF(rows); i++) {
        struct bitcask *cask = test_cask_open(disk, &rows[i]);

        if (!rows[i].read_only)
            test_cask_put(cask, "key", "value");
        test_cask_expect(cask, "key", "value");
        test_cask_close(cask);
    }
}

static void an_absent_cask_is_not_found_and_nothing_is_created(void **state)
{
    struct test_disk *disk = *state;
    char path[512];

    join(path, disk, "new");
    assert_status(refused_at(disk, path, &must_exist), BITCASK_NOT_FOUND);
    assert_detail(path);
    assert_status(refused_at(disk, path, &read_only), BITCASK_NOT_FOUND);
    assert_detail(path);
    assert_status(refused_at(disk, disk->path, &must_exist), BITCASK_NOT_FOUND);
    assert_status(refused_at(disk, disk->path, &read_only), BITCASK_NOT_FOUND);
    assert_int_equal(test_disk_count(disk), 0);
}

static void a_missing_parent_is_an_error_of_the_system(void **state)
{
    struct test_disk *disk = *state;
    char path[512];

    join(path, disk, "parent/new");
    assert_status(refused_at(disk, path, NULL), BITCASK_IO);
    assert_detail(path);
    assert_detail("parent");
    assert_int_equal(test_disk_count(disk), 0);
}

static void a_file_where_the_directory_should_be_is_an_error_of_the_system(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options *rows[] = { NULL, &must_exist, &read_only };
    const char *names[] = { "file", "file/", "file/below" };
    struct test_image before = { 0 };
    char path[512];

    test_disk_write(disk, "file", "words", 5);
    test_image_take(&before, disk->path);
    for (size_t i = 0; i < LENGTH_OF(rows) * LENGTH_OF(names); i++) {
        join(path, disk, names[i % LENGTH_OF(names)]);
        assert_status(refused_at(disk, path, rows[i / LENGTH_OF(names)]), BITCASK_IO);
        assert_detail(path);
    }
    test_image_unchanged(&before, disk->path);
    test_image_release(&before);
}

static void a_foreign_directory_is_misuse_and_is_left_alone(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options *rows[] = { &small_files, &must_exist, &read_only };
    const char *names[] = { "notes.txt",          ".hidden",
                            "0000000001.dat",     "1.data",
                            "MANIFEST.bak",       "manifest",
                            "0000000001.data.gz", "0000000000.data",
                            "LOST+FOUND" };
    struct test_image before = { 0 };

    for (size_t i = 0; i < LENGTH_OF(names); i++) {
        test_disk_clear(disk);
        test_disk_write(disk, names[i], "words", 5);
        test_image_take(&before, disk->path);
        for (size_t row = 0; row < LENGTH_OF(rows); row++) {
            assert_status(test_cask_refused(disk, rows[row]), BITCASK_MISUSE);
            test_image_unchanged(&before, disk->path);
        }
    }
    test_image_release(&before);
}

static void a_foreign_directory_within_is_misuse_too(void **state)
{
    struct test_disk *disk = *state;
    char path[512];

    assert_int_equal(mkdir(join(path, disk, "photos"), 0777), 0);
    assert_status(test_cask_refused(disk, NULL), BITCASK_MISUSE);
    assert_int_equal(test_disk_count(disk), 1);
}

static void a_foreign_file_beside_a_cask_is_left_alone(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer bytes = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_cask_put(cask, "key", "value");
    test_cask_close(cask);
    test_disk_write(disk, "notes.txt", "words", 5);
    cask = test_cask_open(disk, NULL);
    test_cask_expect(cask, "key", "value");
    test_cask_close(cask);
    test_disk_read(disk, "notes.txt", &bytes);
    assert_int_equal(bytes.size, 5);
    assert_memory_equal(bytes.data, "words", 5);
    bitcask_buffer_release(&bytes);
}

/* It becomes a cask that works and stays. */
static void assert_becomes_a_cask(struct test_disk *disk)
{
    struct bitcask *cask = test_cask_open(disk, NULL);

    assert_int_equal(test_cask_stat(cask).key_count, 0);
    test_cask_put(cask, "key", "value");
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    test_cask_expect(cask, "key", "value");
    assert_int_equal(test_cask_stat(cask).segment_count, 1);
    test_cask_close(cask);
}

static void the_root_of_a_file_system_may_be_a_cask(void **state)
{
    struct test_disk *disk = *state;
    char path[512];

    assert_int_equal(mkdir(join(path, disk, "lost+found"), 0777), 0);
    assert_status(test_cask_refused(disk, &read_only), BITCASK_NOT_FOUND);
    assert_becomes_a_cask(disk);
    assert_true(test_disk_has(disk, "lost+found"));
}

static void what_a_repair_put_aside_is_no_part_of_a_cask(void **state)
{
    struct test_disk *disk = *state;
    char path[512];

    assert_int_equal(mkdir(join(path, disk, "quarantine"), 0777), 0);
    test_disk_write(disk, "quarantine/0000000001.data", "words", 5);
    test_disk_write(disk, "quarantine/MANIFEST", "words", 5);
    assert_status(test_cask_refused(disk, &read_only), BITCASK_NOT_FOUND);
    assert_becomes_a_cask(disk);
    assert_int_equal(test_disk_size(disk, "quarantine/0000000001.data"), 5);
    assert_int_equal(test_disk_size(disk, "quarantine/MANIFEST"), 5);
}

/* Whatever a creation that was interrupted may leave. */
static void our_names_without_a_record_are_a_new_cask(void **state)
{
    struct test_disk *disk = *state;
    static const uint8_t zeros[64];
    const struct {
        const char *name;
        size_t size;
    } rows[] = {
        { "LOCK", 0 },
        { "LOCK", 6 },
        { "MANIFEST.tmp", 0 },
        { "MANIFEST.tmp", 20 },
        { FIRST_DATA, 0 },
        { FIRST_DATA, 1 },
        { FIRST_DATA, 63 },
        { FIRST_DATA, 64 },
        { FIRST_HINT, 64 },
        { FIRST_HINT ".tmp", 9 },
        { "0000000003.data", 64 },
    };

    for (size_t i = 0; i < LENGTH_OF(rows); i++) {
        test_disk_clear(disk);
        test_disk_write(disk, rows[i].name, zeros, rows[i].size);
        assert_status(test_cask_refused(disk, &must_exist), BITCASK_NOT_FOUND);
        assert_status(test_cask_refused(disk, &read_only), BITCASK_NOT_FOUND);
        assert_int_equal(test_disk_count(disk), 1);
        assert_becomes_a_cask(disk);
    }
}

static void records_without_a_manifest_are_damage(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options *rows[] = { &small_files, &must_exist, &read_only };
    struct test_image before = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_history_write(cask, 1, 60);
    test_cask_close(cask);
    test_disk_remove(disk, "MANIFEST");
    for (int hints_only = 0; hints_only <= 1; hints_only++) {
        test_image_take(&before, disk->path);
        for (size_t row = 0; row < LENGTH_OF(rows); row++) {
            assert_status(test_cask_refused(disk, rows[row]), BITCASK_CORRUPT);
            assert_detail("MANIFEST");
            test_image_unchanged(&before, disk->path);
        }
        assert_true(test_image_count(&before, ".hint") > 0);
        for (size_t i = 0; i < before.count && !hints_only; i++) {
            if (strstr(before.files[i].name, ".data") != NULL)
                test_disk_remove(disk, before.files[i].name);
        }
    }
    test_image_release(&before);
}

/* Else a cask with synced records could vanish with its directory. */
static void a_new_cask_has_the_name_of_its_directory_synced(void **state)
{
    struct test_disk *disk = *state;
    struct fault_io *fault = &disk->fault;
    struct bitcask *cask = test_cask_open(disk, NULL);

    assert_int_equal(fault_io_count(fault, FAULT_DIRECTORY_SYNC_PARENT), 1);
    test_cask_put(cask, "key", "value");
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    test_cask_close(cask);
    assert_int_equal(fault_io_count(fault, FAULT_DIRECTORY_SYNC_PARENT), 1);
}

/* Three files or more, the first of which is sealed, and has a hint. */
static void make_sealed(struct test_disk *disk)
{
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_history_write(cask, 1, 60);
    test_cask_close(cask);
    assert_true(test_disk_has(disk, "0000000003.data"));
    assert_true(test_disk_has(disk, FIRST_HINT));
}

/* Also where the hint knows of all that was there. */
static void a_sealed_file_that_is_cut_off_is_damage(void **state)
{
    struct test_disk *disk = *state;

    make_sealed(disk);
    test_disk_truncate(disk, FIRST_DATA, test_disk_size(disk, FIRST_DATA) - 1);
    assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
    assert_detail(FIRST_DATA);
    assert_detail("cut off");
}

static void a_data_file_that_is_not_listed_is_damage(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer bytes = { 0 };

    make_sealed(disk);
    test_disk_read(disk, FIRST_DATA, &bytes);
    test_disk_write(disk, "0000004711.data", bytes.data, bytes.size);
    assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
    assert_detail("0000004711.data is not listed");
    bitcask_buffer_release(&bytes);
}

static void a_sealed_file_with_other_sequences_than_listed_is_damage(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_manifest manifest;
    bool switched;

    make_sealed(disk);
    bitcask_manifest_init(&manifest);
    assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                  BITCASK_OK);
    assert_int_equal(manifest.segments[0].state, BITCASK_MANIFEST_SEALED);
    manifest.segments[0].last_sequence++;
    assert_status(bitcask_manifest_write(&manifest, disk->io, disk->directory, &switched),
                  BITCASK_OK);
    bitcask_manifest_release(&manifest);
    assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
    assert_detail("has the sequences");
}

static void a_directory_in_place_of_a_file_is_an_error_of_the_system(void **state)
{
    struct test_disk *disk = *state;
    const char *names[] = { "MANIFEST", FIRST_DATA, "LOCK" };
    struct test_image image = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);
    char path[512];

    test_cask_put(cask, "key", "value");
    test_cask_close(cask);
    test_image_take(&image, disk->path);
    for (size_t i = 0; i < LENGTH_OF(names); i++) {
        test_disk_remove(disk, names[i]);
        assert_int_equal(mkdir(join(path, disk, names[i]), 0777), 0);
        assert_status(test_cask_refused(disk, NULL), BITCASK_IO);
        assert_detail(names[i]);
        test_image_restore(&image, disk);
    }
    test_image_release(&image);
}

static void a_path_may_end_in_a_slash_or_be_a_link(void **state)
{
    struct test_disk *disk = *state;
    const char *names[] = { "new/", "new", "new//", "./new/.", "link", "link/" };
    struct bitcask *cask = NULL;
    char path[512];

    assert_int_equal(symlink("new", join(path, disk, "link")), 0);
    for (size_t i = 0; i < LENGTH_OF(names); i++) {
        assert_status(
            bitcask_open_with(disk->io, &cask, join(path, disk, names[i]), &small_files),
            BITCASK_OK);
        test_cask_expect(cask, "key", i > 0 ? "value" : NULL);
        test_cask_put(cask, "key", "value");
        test_cask_close(cask);
    }
}

static void the_working_directory_may_change_while_a_cask_is_open(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = NULL;
    int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char path[512];

    assert_true(before >= 0);
    assert_int_equal(chdir(disk->path), 0);
    assert_status(bitcask_open_with(disk->io, &cask, "new", &small_files), BITCASK_OK);
    test_history_write(cask, 1, 30);
    assert_int_equal(chdir("/"), 0);
    test_history_write(cask, 31, 150);
    assert_int_equal(test_history_check(cask), 150);
    assert_true(test_cask_stat(cask).segment_count > 2);
    test_cask_close(cask);
    assert_int_equal(fchdir(before), 0);
    (void)close(before);

    assert_status(bitcask_open_with(disk->io, &cask, join(path, disk, "new"), NULL),
                  BITCASK_OK);
    assert_int_equal(test_history_check(cask), 150);
    test_cask_close(cask);
    assert_int_equal(test_disk_count(disk), 1);
}

static void every_descriptor_is_closed_on_exec(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = { .file_size_max = 4096, .no_mapping = true };
    enum {
        DESCRIPTOR_MAX = 200
    };
    bool known[DESCRIPTOR_MAX];
    struct bitcask *cask, *reader;
    int found = 0;

    for (int fd = 0; fd < DESCRIPTOR_MAX; fd++)
        known[fd] = fcntl(fd, F_GETFD) >= 0;
    cask = test_cask_open(disk, &options);
    test_history_write(cask, 1, 100);
    options.read_only = true;
    reader = test_cask_open(disk, &options);
    for (int fd = 0; fd < DESCRIPTOR_MAX; fd++) {
        int flags = fcntl(fd, F_GETFD);

        if (known[fd] || flags < 0)
            continue;
        assert_true((flags & FD_CLOEXEC) != 0);
        found++;
    }
    assert_true(found > 3);
    test_cask_close(reader);
    test_cask_close(cask);
}

static void a_thousand_short_runs_leave_one_data_file(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options defaults = { .must_exist = false };
    struct test_image image = { 0 };
    struct bitcask *cask;
    char key[32];

    test_disk_skip_syncs(disk);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "key %d", i);
        cask = test_cask_open(disk, &defaults);
        test_cask_put(cask, key, "value");
        test_cask_close(cask);
    }
    test_image_take(&image, disk->path);
    assert_int_equal(test_image_count(&image, ".data"), 1);
    assert_true(image.count <= 4);
    test_image_release(&image);
    cask = test_cask_open(disk, &defaults);
    assert_int_equal(test_cask_stat(cask).key_count, 1000);
    test_cask_close(cask);
}

/* Open with each allocation failed in turn; what then opens must be right. */
static void open_without_memory(struct test_disk *disk,
                                const struct bitcask_options *options, uint64_t count)
{
    struct test_image image = { 0 };
    long failures = 1;
    long refused = 0;

    test_image_take(&image, disk->path);
    for (long n = 0; failures > 0; n++) {
        struct bitcask *cask = NULL;
        enum bitcask_status status;

        test_alloc_fail(n);
        status = bitcask_open_with(disk->io, &cask, disk->path, options);
        failures = test_alloc_stop();
        if (status != BITCASK_OK) {
            assert_status(status, BITCASK_NO_MEMORY);
            assert_null(cask);
            assert_int_equal(fault_io_open_count(&disk->fault), 1);
            assert_int_equal(fault_io_map_count(&disk->fault), 0);
            refused++;
            cask = test_cask_open(disk, options);
        }
        assert_int_equal(test_history_check(cask), count);
        test_cask_close(cask);
        test_image_restore(&image, disk);
    }
    assert_true(refused > 5);
    test_image_release(&image);
}

static void no_memory_is_reported_and_harms_nothing(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options reader = { .read_only = true, .threads = 1 };
    struct bitcask_options writer = small_files;
    struct bitcask *cask;

    writer.threads = 1;
    test_disk_skip_syncs(disk);
    test_cask_close(test_cask_open(disk, NULL));
    test_disk_clear(disk); /* the first open takes what happens once for all */
    open_without_memory(disk, &writer, 0);

    cask = test_cask_open(disk, NULL); /* hints, and an active file without */
    test_history_write(cask, 1, 150);
    test_cask_close(cask);
    open_without_memory(disk, &writer, 150);
    open_without_memory(disk, &reader, 150);

    for (uint64_t id = 1; id <= 3; id++) { /* sealed files that are scanned */
        char name[32];

        (void)snprintf(name, sizeof name, "%010" PRIu64 ".hint", id);
        test_disk_remove(disk, name);
    }
    open_without_memory(disk, &writer, 150);
    open_without_memory(disk, &reader, 150);
}

static void no_memory_during_recovery_harms_nothing(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options reader = { .read_only = true, .threads = 1 };
    struct bitcask_options writer = small_files;
    struct test_image image = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_disk_skip_syncs(disk);
    writer.threads = 1;
    test_history_write(cask, 1, 150);
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    test_image_restore(&image, disk);
    test_image_release(&image);
    open_without_memory(disk, &reader, 150);
    open_without_memory(disk, &writer, 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(null_and_empty_arguments_are_misuse),
        disk_test(options_outside_their_limits_are_misuse),
        disk_test(options_at_their_limits_are_fine),
        disk_test(an_absent_cask_is_not_found_and_nothing_is_created),
        disk_test(a_missing_parent_is_an_error_of_the_system),
        disk_test(a_file_where_the_directory_should_be_is_an_error_of_the_system),
        disk_test(a_foreign_directory_is_misuse_and_is_left_alone),
        disk_test(a_foreign_directory_within_is_misuse_too),
        disk_test(a_foreign_file_beside_a_cask_is_left_alone),
        disk_test(the_root_of_a_file_system_may_be_a_cask),
        disk_test(what_a_repair_put_aside_is_no_part_of_a_cask),
        disk_test(our_names_without_a_record_are_a_new_cask),
        disk_test(records_without_a_manifest_are_damage),
        disk_test(a_new_cask_has_the_name_of_its_directory_synced),
        disk_test(a_sealed_file_that_is_cut_off_is_damage),
        disk_test(a_data_file_that_is_not_listed_is_damage),
        disk_test(a_sealed_file_with_other_sequences_than_listed_is_damage),
        disk_test(a_directory_in_place_of_a_file_is_an_error_of_the_system),
        disk_test(a_path_may_end_in_a_slash_or_be_a_link),
        disk_test(the_working_directory_may_change_while_a_cask_is_open),
        disk_test(every_descriptor_is_closed_on_exec),
        disk_test(a_thousand_short_runs_leave_one_data_file),
        disk_test(no_memory_is_reported_and_harms_nothing),
        disk_test(no_memory_during_recovery_harms_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
