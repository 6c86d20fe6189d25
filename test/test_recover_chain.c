/* SPDX-License-Identifier: MIT */
/*
 * Recovery of files made by hand: what lies behind a lost record stays lost, hints are
 * proofs, and things are done in an order that survives a second crash. Promises 4, 5
 * and 6; lessons on failed syncs in the engine note.
 */
#include "test/test_cask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "hint/hint.h"
#include "test/data_image.h"

static void assert_names(const char *name, uint64_t offset)
{
    char words[96];

    (void)snprintf(words, sizeof words, "%s, offset %" PRIu64 ":", name, offset);
    assert_detail(words);
}

/* A MANIFEST that has prepared the ids of @images. */
static void write_manifest(struct test_disk *disk, const struct data_image *images,
                           size_t count)
{
    struct bitcask_manifest manifest;
    bool switched;

    bitcask_manifest_init(&manifest);
    manifest.next_id = count + 1;
    for (size_t i = 0; i < count; i++) {
        struct bitcask_manifest_segment line = { .state = BITCASK_MANIFEST_PREPARED,
                                                 .id = images[i].id,
                                                 .salt = images[i].salt };

        assert_status(bitcask_manifest_add(&manifest, &line), BITCASK_OK);
    }
    assert_status(bitcask_manifest_write(&manifest, disk->io, disk->directory, &switched),
                  BITCASK_OK);
    bitcask_manifest_release(&manifest);
}

/* Two files of which nothing was ever synced, as a system that lies may leave them. */
static void make_unproven_files(struct test_disk *disk, struct data_image images[2],
                                uint64_t offsets[7])
{
    for (size_t i = 0; i < 2; i++) {
        data_image_init(&images[i], i + 1, 100 + i);
        for (uint64_t number = 3 * i + 1; number <= 3 * i + 3; number++) {
            char key[32];

            (void)snprintf(key, sizeof key, "key %" PRIu64, number);
            images[i].next_sequence = number;
            images[i].unsynced_count = (uint32_t)(number - 1);
            offsets[number] = data_image_put(&images[i], key, "value");
        }
    }
    test_disk_clear(disk);
    write_manifest(disk, images, 2);
    data_image_write(&images[0], disk);
    data_image_write(&images[1], disk);
}

static uint64_t count_numbered_keys(struct bitcask *cask)
{
    uint64_t count = 0;

    for (uint64_t number = 1; number <= 6; number++) {
        char key[32];

        (void)snprintf(key, sizeof key, "key %" PRIu64, number);
        if (bitcask_exists(cask, bitcask_text(key)) != BITCASK_OK)
            break;
        count++;
    }
    assert_int_equal(test_cask_stat(cask).key_count, count);
    return count;
}

/*
 * What comes behind a lost record is lost with it, in later files too, and does not
 * come back when the sequence has gone on past it.
 */
static void records_behind_a_lost_one_do_not_come_back(void **state)
{
    struct test_disk *disk = *state;
    struct data_image images[2];
    uint64_t offsets[7];

    for (uint64_t lost = 1; lost <= 7; lost++) {
        struct bitcask *cask;

        make_unproven_files(disk, images, offsets);
        if (lost <= 6)
            test_disk_flip(disk, lost <= 3 ? FIRST_DATA : "0000000002.data",
                           offsets[lost] + 17, 1);
        cask = test_cask_open(disk, NULL);
        assert_int_equal(count_numbered_keys(cask), lost - 1);
        assert_int_equal(test_cask_stat(cask).last_sequence, lost - 1);
        assert_int_equal(test_cask_stat(cask).cut_count, lost > 6    ? 0
                                                         : lost <= 3 ? 2
                                                                     : 1);
        for (int i = 0; i < 6; i++) /* the numbers that the lost ones had */
            test_cask_put(cask, "key 1", "new");
        test_cask_close(cask);
        cask = test_cask_open(disk, NULL);
        assert_int_equal(count_numbered_keys(cask), lost > 1 ? lost - 1 : 1);
        test_cask_expect(cask, "key 1", "new");
        test_cask_close(cask);
        data_image_release(&images[0]);
        data_image_release(&images[1]);
    }
}

/* Write the header of a file of @kind over that of @name. */
static void write_header(struct test_disk *disk, const char *name,
                         enum bitcask_file_kind kind, uint64_t id, uint64_t salt)
{
    const struct bitcask_file_header header = { .segment_id = id, .salt = salt };
    struct bitcask_buffer bytes = { 0 };

    test_disk_read(disk, name, &bytes);
    bitcask_file_header_encode(&header, kind, bytes.data);
    test_disk_write(disk, name, bytes.data, bytes.size);
    bitcask_buffer_release(&bytes);
}

enum no_first_file {
    REMOVED,
    HEADER_CUT,
    HEADER_OF_A_DEAD_FILE, /* the sector never reached the disk; it had that before */
    HEADER_OF_A_DEAD_HINT,
    NO_FIRST_FILE_COUNT
};

/* As a power failure may leave the sector with the header and the first records. */
static void lose_first_file(struct test_disk *disk, enum no_first_file how)
{
    if (how == REMOVED) {
        test_disk_remove(disk, FIRST_DATA);
        return;
    }
    if (how == HEADER_CUT) {
        test_disk_truncate(disk, FIRST_DATA, 33);
        return;
    }
    test_disk_flip(disk, FIRST_DATA, BITCASK_FILE_HEADER_SIZE + 1, 1);
    write_header(disk, FIRST_DATA,
                 how == HEADER_OF_A_DEAD_FILE ? BITCASK_FILE_DATA : BITCASK_FILE_HINT, 77,
                 0x7777);
}

static void a_first_file_that_never_was_leaves_an_empty_cask(void **state)
{
    struct test_disk *disk = *state;
    struct data_image images[2];
    uint64_t offsets[7];

    for (int how = 0; how < NO_FIRST_FILE_COUNT; how++) {
        struct bitcask *cask;

        make_unproven_files(disk, images, offsets);
        lose_first_file(disk, (enum no_first_file)how);
        cask = test_cask_open(disk, NULL);
        assert_int_equal(count_numbered_keys(cask), 0);
        assert_true(test_cask_stat(cask).cut_count > 0);
        test_cask_put(cask, "key 1", "new");
        test_cask_close(cask);
        cask = test_cask_open(disk, NULL);
        assert_int_equal(count_numbered_keys(cask), 1);
        test_cask_close(cask);
        data_image_release(&images[0]);
        data_image_release(&images[1]);
    }
}

/*
 * No power failure puts the header of a file that is in use into another, and none makes
 * one of the same id: then the MANIFEST may be of another cask, and nothing is cut.
 */
static void files_that_were_exchanged_are_no_torn_tail(void **state)
{
    struct test_disk *disk = *state;
    struct data_image images[2];
    uint64_t offsets[7];

    make_unproven_files(disk, images, offsets);
    write_header(disk, "0000000002.data", BITCASK_FILE_DATA, images[0].id,
                 images[0].salt);
    assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
    assert_detail("0000000002.data is not the file that MANIFEST lists");
    write_header(disk, "0000000002.data", BITCASK_FILE_DATA, images[1].id, 77);
    assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
    assert_detail("0000000002.data is not the file that MANIFEST lists");
    data_image_release(&images[0]);
    data_image_release(&images[1]);
}

/* HINTS AS PROOFS: a hint for the first @count records of a file made by hand. */
static void write_hint(struct test_disk *disk, const struct data_image *image,
                       const uint64_t *offsets, size_t count, uint64_t data_size)
{
    struct bitcask_hint_writer writer = { 0 };

    assert_status(bitcask_hint_writer_init(&writer, image->id, image->salt), BITCASK_OK);
    for (size_t number = 1; number <= count; number++) {
        char key[32];
        struct bitcask_hint_entry entry = { .kind = BITCASK_RECORD_PUT,
                                            .value_size = 5,
                                            .offset = offsets[number],
                                            .sequence = number };

        (void)snprintf(key, sizeof key, "key %zu", number);
        entry.key = bitcask_text(key);
        assert_status(bitcask_hint_writer_add(&writer, &entry), BITCASK_OK);
    }
    assert_status(bitcask_hint_writer_commit(&writer, disk->io, disk->directory,
                                             image->id, data_size),
                  BITCASK_OK);
    bitcask_hint_writer_release(&writer);
}

static void what_a_hint_speaks_for_had_been_synced(void **state)
{
    struct test_disk *disk = *state;
    struct data_image images[2];
    uint64_t offsets[7];
    const struct {
        uint64_t cut; /* the record in which the file ends; 7: it is whole */
        size_t hinted;
        bool damage;
    } rows[] = {
        { 3, 3, true },  { 2, 3, true },  { 3, 2, false }, { 2, 2, true },
        { 3, 1, false }, { 7, 3, false }, { 7, 2, false }, { 7, 0, false },
    };

    for (size_t i = 0; i < LENGTH_OF(rows); i++) {
        uint64_t covered;

        make_unproven_files(disk, images, offsets);
        test_disk_remove(disk, "0000000002.data");
        offsets[4] = images[0].bytes.size;
        covered = offsets[rows[i].hinted + 1];
        write_hint(disk, &images[0], offsets, rows[i].hinted, covered);
        if (rows[i].cut < 7)
            test_disk_truncate(disk, FIRST_DATA, offsets[rows[i].cut] + 9);
        if (rows[i].damage) {
            assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
            assert_names(FIRST_DATA, offsets[rows[i].cut] + 9);
        } else {
            struct bitcask *cask = test_cask_open(disk, NULL);

            assert_int_equal(count_numbered_keys(cask),
                             rows[i].cut < 7 ? rows[i].cut - 1 : 3);
            test_cask_close(cask);
        }
        data_image_release(&images[0]);
        data_image_release(&images[1]);
    }
}

static void a_hint_of_another_file_proves_nothing(void **state)
{
    struct test_disk *disk = *state;
    struct data_image images[2];
    struct data_image foreign;
    uint64_t offsets[7];
    struct bitcask *cask;

    make_unproven_files(disk, images, offsets);
    test_disk_remove(disk, "0000000002.data");
    foreign = images[0];
    foreign.salt++;
    write_hint(disk, &foreign, offsets, 3, images[0].bytes.size);
    test_disk_truncate(disk, FIRST_DATA, offsets[3] + 9);
    cask = test_cask_open(disk, NULL);
    assert_int_equal(count_numbered_keys(cask), 2);
    test_cask_close(cask);
    data_image_release(&images[0]);
    data_image_release(&images[1]);
}

/* THE ORDER OF THINGS: what is done to which file while a cask is recovered. */
struct step {
    char what; /* Write, Truncate, Sync, Remove, reName, Directory sync */
    char name[BITCASK_NAME_SIZE];
    uint64_t from, to;
};
static struct {
    struct bitcask_io real;
    char names[256][BITCASK_NAME_SIZE]; /* by descriptor */
    struct step steps[200];
    size_t count;
} trace;

static void note(char what, const char *name, uint64_t from, uint64_t to)
{
    struct step *step = &trace.steps[trace.count++];

    assert_true(trace.count < LENGTH_OF(trace.steps));
    step->what = what;
    (void)snprintf(step->name, sizeof step->name, "%s", name);
    step->from = from;
    step->to = to;
}

static enum bitcask_status trace_open(struct bitcask_io *io, bitcask_file directory,
                                      const char *name, enum bitcask_io_mode mode,
                                      bitcask_file *out)
{
    enum bitcask_status status = trace.real.open(io, directory, name, mode, out);

    if (status == BITCASK_OK) {
        assert_in_range(*out, 0, LENGTH_OF(trace.names) - 1);
        (void)snprintf(trace.names[*out], sizeof trace.names[*out], "%s", name);
        if (mode == BITCASK_IO_CREATE)
            note('T', name, 0, 0);
    }
    return status;
}

static enum bitcask_status trace_write(struct bitcask_io *io, bitcask_file file,
                                       uint64_t offset, const struct bitcask_slice *parts,
                                       size_t part_count)
{
    uint64_t end = offset;

    for (size_t i = 0; i < part_count; i++)
        end += parts[i].size;
    note('W', trace.names[file], offset, end);
    return trace.real.write(io, file, offset, parts, part_count);
}

static enum bitcask_status trace_truncate(struct bitcask_io *io, bitcask_file file,
                                          uint64_t size)
{
    note('T', trace.names[file], size, size);
    return trace.real.truncate(io, file, size);
}

static enum bitcask_status trace_sync(struct bitcask_io *io, bitcask_file file)
{
    note('S', trace.names[file], 0, 0);
    return trace.real.sync(io, file);
}

static enum bitcask_status trace_directory_sync(struct bitcask_io *io,
                                                bitcask_file directory)
{
    note('D', ".", 0, 0);
    return trace.real.directory_sync(io, directory);
}

static enum bitcask_status trace_rename(struct bitcask_io *io, bitcask_file directory,
                                        const char *from, const char *to)
{
    note('N', to, 0, 0);
    return trace.real.rename(io, directory, from, to);
}

static enum bitcask_status trace_remove(struct bitcask_io *io, bitcask_file directory,
                                        const char *name)
{
    note('R', name, 0, 0);
    return trace.real.remove(io, directory, name);
}

static void begin_trace(struct test_disk *disk)
{
    trace.real = *disk->io;
    trace.count = 0;
    disk->io->open = trace_open;
    disk->io->write = trace_write;
    disk->io->truncate = trace_truncate;
    disk->io->sync = trace_sync;
    disk->io->directory_sync = trace_directory_sync;
    disk->io->rename = trace_rename;
    disk->io->remove = trace_remove;
}

/* Where the last, or the first, step like this is; it is an error if there is none. */
static size_t find_step(bool last, char what, const char *name)
{
    size_t found = trace.count;

    for (size_t i = 0; i < trace.count; i++) {
        const struct step *step = &trace.steps[i];

        if (step->what == what && strcmp(step->name, name) == 0 &&
            (last || found == trace.count))
            found = i;
    }
    if (found == trace.count)
        fail_msg("no step %c of %s", what, name);
    return found;
}

static void what_is_recovered_is_written_again_and_synced_before_it_is_used(void **state)
{
    enum {
        WRITE_COUNT = 10
    };
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask *cask;
    size_t written, cut, synced;
    uint64_t kept_size;
    uint64_t again = 0;

    disk->fault.no_allocate = true;
    cask = test_cask_open(disk, NULL);
    test_history_write(cask, 1, WRITE_COUNT - 1);
    kept_size = test_disk_size(disk, FIRST_DATA);
    test_history_write(cask, WRITE_COUNT, WRITE_COUNT);
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    test_image_restore(&image, disk);
    test_disk_truncate(disk, FIRST_DATA, test_disk_size(disk, FIRST_DATA) - 1);

    begin_trace(disk);
    cask = test_cask_open(disk, NULL);
    test_history_write(cask, WRITE_COUNT, WRITE_COUNT);
    for (size_t i = 0; i < trace.count; i++) {
        const struct step *step = &trace.steps[i];

        if (step->what == 'W' && strcmp(step->name, FIRST_DATA) == 0) {
            assert_int_equal(step->from, again); /* all of it, without a gap */
            again = step->to;
        }
    }
    assert_int_equal(again, kept_size);
    written = find_step(true, 'W', FIRST_DATA);
    cut = find_step(true, 'T', FIRST_DATA);
    synced = find_step(true, 'S', FIRST_DATA);
    assert_int_equal(trace.steps[cut].to, kept_size);
    assert_true(written < synced && cut < synced);
    /* Only then it is claimed to be sealed, and only then something comes after it. */
    assert_true(synced < find_step(false, 'N', "MANIFEST"));
    assert_true(find_step(false, 'N', "MANIFEST") <
                find_step(false, 'W', "0000000005.data"));
    assert_int_equal(test_cask_stat(cask).recovered_size, kept_size);
    test_cask_close(cask);
    test_image_release(&image);
}

/* One that cannot be used might reach past the cut, and speak for other bytes one day. */
static void useless_hints_go_before_a_cut_and_later_files_before_earlier(void **state)
{
    struct test_disk *disk = *state;
    struct data_image images[2];
    uint64_t offsets[7];
    struct bitcask *cask;

    make_unproven_files(disk, images, offsets);
    write_hint(disk, &images[0], offsets, 1, offsets[2]);
    test_disk_flip(disk, FIRST_HINT, 20, 1);
    test_disk_flip(disk, FIRST_DATA, offsets[3] + 17, 1);
    begin_trace(disk);
    cask = test_cask_open(disk, NULL);
    assert_int_equal(count_numbered_keys(cask), 2);
    assert_true(find_step(true, 'R', "0000000002.data") <
                find_step(false, 'T', FIRST_DATA));
    assert_true(find_step(false, 'R', FIRST_HINT) < find_step(false, 'T', FIRST_DATA));
    assert_true(find_step(false, 'D', ".") < find_step(false, 'T', FIRST_DATA));
    test_cask_close(cask);
    data_image_release(&images[0]);
    data_image_release(&images[1]);
}

/*
 * What a header that has gone bad no longer tells, the hint of a clean close does. It
 * stays through a cut behind it, and goes on in the hint of the sealed file, or the cask
 * would never open again.
 */
static void a_hint_that_ends_before_a_cut_is_kept_and_continued(void **state)
{
    struct test_disk *disk = *state;
    struct data_image images[2];
    uint64_t offsets[7];
    struct bitcask *cask;

    make_unproven_files(disk, images, offsets);
    write_hint(disk, &images[0], offsets, 1, offsets[2]);
    test_disk_flip(disk, FIRST_DATA, offsets[1] + 17, 1);
    test_disk_flip(disk, FIRST_DATA, offsets[3] + 17, 1);
    for (int i = 0; i < 3; i++) {
        struct bitcask_buffer value = { 0 };

        cask = test_cask_open(disk, NULL);
        assert_int_equal(test_cask_stat(cask).key_count, i == 0 ? 2 : 3);
        assert_int_equal(test_cask_stat(cask).cut_count, i == 0 ? 2 : 0);
        assert_int_equal(test_cask_stat(cask).hint_count, 1);
        assert_status(bitcask_get(cask, bitcask_text("key 1"), &value), BITCASK_CORRUPT);
        assert_status(bitcask_exists(cask, bitcask_text("key 2")), BITCASK_OK);
        test_cask_put(cask, "new", "value");
        test_cask_close(cask);
    }
    data_image_release(&images[0]);
    data_image_release(&images[1]);
}

/* Between two records with consecutive numbers there is none to be missed. */
static void what_follows_the_last_record_of_a_file_does_not_end_history(void **state)
{
    struct test_disk *disk = *state;
    struct data_image images[2];
    uint64_t offsets[7];
    struct bitcask *cask;

    for (size_t size = 1; size < 1000; size *= 3) {
        struct bitcask_buffer bytes = { 0 };
        uint8_t *noise = test_noise(size, size);

        make_unproven_files(disk, images, offsets);
        test_disk_read(disk, FIRST_DATA, &bytes);
        assert_status(bitcask_buffer_append(&bytes, noise, size), BITCASK_OK);
        test_disk_write(disk, FIRST_DATA, bytes.data, bytes.size);
        cask = test_cask_open(disk, NULL);
        assert_int_equal(count_numbered_keys(cask), 6);
        assert_int_equal(test_cask_stat(cask).cut_count, 1);
        assert_int_equal(test_cask_stat(cask).cut_size, size);
        test_cask_close(cask);
        free(noise);
        bitcask_buffer_release(&bytes);
        data_image_release(&images[0]);
        data_image_release(&images[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(records_behind_a_lost_one_do_not_come_back),
        disk_test(a_first_file_that_never_was_leaves_an_empty_cask),
        disk_test(files_that_were_exchanged_are_no_torn_tail),
        disk_test(what_a_hint_speaks_for_had_been_synced),
        disk_test(a_hint_of_another_file_proves_nothing),
        disk_test(what_is_recovered_is_written_again_and_synced_before_it_is_used),
        disk_test(useless_hints_go_before_a_cut_and_later_files_before_earlier),
        disk_test(a_hint_that_ends_before_a_cut_is_kept_and_continued),
        disk_test(what_follows_the_last_record_of_a_file_does_not_end_history),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
