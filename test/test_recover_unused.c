/* SPDX-License-Identifier: MIT */
/*
 * Space that was set aside: zeros behind the last record are cut off, and are no torn
 * tail that anybody is told of; unless there is something behind them, or something
 * proves that there had been a record. Promises 4, 6 and 7.
 */
#include "test/test_cask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/inspect.h"
#include "bitcask/verify.h"
#include "test/data_image.h"
#include "test/sim_disk.h"

#define SECOND_DATA "0000000002.data"
#define THIRD_DATA "0000000003.data"

enum {
    WRITE_COUNT = 10
};

static const struct bitcask_options unsynced = {
    .file_size_max = 4096,
    .no_background = true,
    .sync = BITCASK_SYNC_NONE,
    .threads = 1,
};

/* What verify has said, in words. */
struct said {
    char words[512];
};

static enum bitcask_status note_finding(const struct bitcask_finding *finding,
                                        void *context)
{
    struct said *said = context;
    size_t length = strlen(said->words);

    (void)snprintf(said->words + length, sizeof said->words - length, "%s; ",
                   bitcask_finding_text(finding->kind));
    return BITCASK_OK;
}

static void assert_verify_says(struct test_disk *disk, enum bitcask_status status,
                               const char *expected)
{
    struct said said = { "" };
    const struct bitcask_verify_options options = { .finding = note_finding,
                                                    .context = &said };
    struct bitcask_verify_report report;

    assert_status(bitcask_verify_with(disk->io, disk->path, &options, &report), status);
    assert_string_equal(said.words, expected);
}

/* Nobody tells of a cut, though a writer cuts @name to @size. */
static void assert_no_cut(struct test_disk *disk, uint64_t count, const char *name,
                          uint64_t size)
{
    const struct bitcask_options salvage = { .read_only = true, .salvage = true };
    struct bitcask *cask = test_cask_open_read_only(disk);

    assert_int_equal(test_history_check(cask), count);
    assert_int_equal(test_cask_stat(cask).cut_count, 0);
    assert_int_equal(test_cask_stat(cask).cut_size, 0);
    test_cask_close(cask);
    cask = test_cask_open(disk, &salvage);
    assert_int_equal(test_history_check(cask), count);
    assert_int_equal(test_cask_stat(cask).cut_count, 0);
    assert_int_equal(test_cask_stat(cask).damage_count, 0);
    test_cask_close(cask);
    assert_verify_says(disk, BITCASK_OK, "");
    cask = test_cask_open(disk, &unsynced);
    assert_int_equal(test_history_check(cask), count);
    assert_int_equal(test_cask_stat(cask).cut_count, 0);
    assert_int_equal(test_cask_stat(cask).cut_size, 0);
    assert_int_equal(test_disk_size(disk, name), size);
    test_history_write(cask, count + 1, count + 3);
    test_cask_close(cask);
    cask = test_cask_open(disk, &unsynced);
    assert_int_equal(test_history_check(cask), count + 3);
    assert_int_equal(test_cask_stat(cask).cut_count, 0);
    test_cask_close(cask);
}

static void assert_cut(struct test_disk *disk, uint64_t count, uint64_t cut_size)
{
    struct bitcask *cask = test_cask_open_read_only(disk);

    assert_int_equal(test_history_check(cask), count);
    assert_int_equal(test_cask_stat(cask).cut_count, 1);
    assert_int_equal(test_cask_stat(cask).cut_size, cut_size);
    test_cask_close(cask);
    assert_verify_says(disk, BITCASK_OK, "a torn tail; ");
    cask = test_cask_open(disk, &unsynced);
    assert_int_equal(test_history_check(cask), count);
    assert_int_equal(test_cask_stat(cask).cut_count, 1);
    assert_int_equal(test_cask_stat(cask).cut_size, cut_size);
    test_cask_close(cask);
}

/* A cask of one file that was not closed; the size of the file. */
static uint64_t make_unclean(struct test_disk *disk, struct test_image *image)
{
    struct bitcask *cask;

    disk->fault.no_allocate = true; /* the file ends with its last record */
    cask = test_cask_open(disk, &unsynced);
    test_history_write(cask, 1, WRITE_COUNT);
    test_image_take(image, disk->path);
    test_cask_close(cask);
    test_image_restore(image, disk);
    disk->fault.no_allocate = false;
    return test_disk_size(disk, FIRST_DATA);
}

static const uint64_t tails[] = { 1, 27, 28, 29, 511, 512, 4095, 4096, 300000, 4 << 20 };

static void zeros_behind_the_last_record_are_no_cut(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    uint64_t size = make_unclean(disk, &image);

    for (size_t i = 0; i < LENGTH_OF(tails); i++) {
        test_image_restore(&image, disk);
        test_disk_truncate(disk, FIRST_DATA, size + tails[i]);
        assert_no_cut(disk, WRITE_COUNT, FIRST_DATA, size);
    }
    test_image_release(&image);
}

static void zeros_with_anything_behind_them_are_a_torn_tail(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    uint64_t size = make_unclean(disk, &image);

    for (size_t i = 0; i < LENGTH_OF(tails); i++) {
        const uint64_t places[] = { 0, tails[i] / 2, tails[i] - 1 };

        for (size_t k = 0; k < LENGTH_OF(places); k++) {
            test_image_restore(&image, disk);
            test_disk_truncate(disk, FIRST_DATA, size + tails[i]);
            test_disk_flip(disk, FIRST_DATA, size + places[k], 0x40);
            assert_cut(disk, WRITE_COUNT, tails[i]);
        }
    }
    test_image_release(&image);
}

static void zeros_that_begin_inside_a_record_are_a_torn_tail(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    uint64_t size = make_unclean(disk, &image);
    struct bitcask *cask;
    uint64_t begin;

    test_disk_truncate(disk, FIRST_DATA, size - 1);
    cask = test_cask_open(disk, &unsynced);
    begin = size - 1 - test_cask_stat(cask).cut_size;
    test_cask_close(cask);
    for (uint64_t from = begin; from < size; from++) {
        test_image_restore(&image, disk);
        test_disk_truncate(disk, FIRST_DATA, from);
        test_disk_truncate(disk, FIRST_DATA, begin + 5000);
        if (from == begin)
            assert_no_cut(disk, WRITE_COUNT - 1, FIRST_DATA, begin);
        else
            assert_cut(disk, WRITE_COUNT - 1, 5000);
    }
    test_image_release(&image);
}

/* The power failed before the file was cut to its size. */
static void zeros_behind_a_file_that_was_closed_are_no_damage(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &unsynced);
    uint64_t size;

    test_history_write(cask, 1, WRITE_COUNT);
    test_cask_close(cask);
    size = test_disk_size(disk, FIRST_DATA);
    test_disk_truncate(disk, FIRST_DATA, size + 100000);
    assert_no_cut(disk, WRITE_COUNT, FIRST_DATA, size);
}

static void zeros_behind_a_sealed_file_are_no_damage(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &unsynced);
    struct test_image image = { 0 };
    uint64_t size;

    test_history_write(cask, 1, 100);
    test_cask_close(cask);
    test_image_take(&image, disk->path);
    size = test_disk_size(disk, FIRST_DATA);
    test_disk_truncate(disk, FIRST_DATA, size + 100000);
    assert_no_cut(disk, 100, FIRST_DATA, size);

    test_image_restore(&image, disk);
    test_disk_truncate(disk, FIRST_DATA, size + 100000);
    test_disk_flip(disk, FIRST_DATA, size + 99999, 1);
    assert_verify_says(disk, BITCASK_CORRUPT, "bytes behind the end; ");
    cask = test_cask_open(disk, &unsynced);
    assert_int_equal(test_cask_stat(cask).cut_size, 100000);
    assert_int_equal(test_disk_size(disk, FIRST_DATA), size);
    test_cask_close(cask);
    test_image_release(&image);
}

/* A file that was begun ahead: with its header, or before that came to the disk. */
static void a_file_that_was_not_used_is_no_cut(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    uint64_t size = make_unclean(disk, &image);
    struct bitcask_manifest manifest;

    bitcask_manifest_init(&manifest);
    assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                  BITCASK_OK);
    for (uint64_t unused = 0; unused <= 4 << 20; unused = unused * 64 + 1) {
        for (int header = 0; header < 2; header++) {
            test_image_restore(&image, disk);
            if (header) {
                struct data_image empty;

                data_image_init(&empty, 2, bitcask_manifest_find(&manifest, 2)->salt);
                data_image_write(&empty, disk);
                data_image_release(&empty);
                test_disk_truncate(disk, SECOND_DATA, 64 + unused);
            } else {
                test_disk_write(disk, SECOND_DATA, "", 0);
                test_disk_truncate(disk, SECOND_DATA, unused);
            }
            test_disk_truncate(disk, FIRST_DATA, size + unused);
            assert_no_cut(disk, WRITE_COUNT, FIRST_DATA, size);
            assert_false(test_disk_has(disk, SECOND_DATA));
        }
    }
    bitcask_manifest_release(&manifest);
    test_image_release(&image);
}

/* Three files, of three records, none and three, with zeros behind them. */
static void make_images(struct test_disk *disk, struct data_image images[3],
                        uint64_t offsets[7], uint32_t unsynced_count)
{
    struct bitcask_manifest manifest;
    uint64_t number = 0;
    bool switched;

    bitcask_manifest_init(&manifest);
    manifest.next_id = 4;
    for (size_t i = 0; i < 3; i++) {
        struct bitcask_manifest_segment line = { .state = BITCASK_MANIFEST_PREPARED,
                                                 .id = i + 1,
                                                 .salt = 100 + i };

        assert_status(bitcask_manifest_add(&manifest, &line), BITCASK_OK);
        data_image_init(&images[i], i + 1, 100 + i);
        for (int k = 0; k < 3 && i != 1; k++) {
            char key[32];

            (void)snprintf(key, sizeof key, "key %" PRIu64, ++number);
            images[i].next_sequence = number;
            images[i].unsynced_count =
                unsynced_count < number ? unsynced_count : (uint32_t)(number - 1);
            offsets[number] = data_image_put(&images[i], key, "value");
        }
    }
    test_disk_clear(disk);
    assert_status(bitcask_manifest_write(&manifest, disk->io, disk->directory, &switched),
                  BITCASK_OK);
    bitcask_manifest_release(&manifest);
    for (size_t i = 0; i < 3; i++) {
        data_image_write(&images[i], disk);
        test_disk_truncate(disk,
                           i == 0   ? FIRST_DATA
                           : i == 1 ? SECOND_DATA
                                    : THIRD_DATA,
                           images[i].bytes.size + 100000);
    }
}

static void release_images(struct data_image images[3])
{
    for (size_t i = 0; i < 3; i++)
        data_image_release(&images[i]);
}

/* The second file was begun ahead and passed over: the third goes on behind the first. */
static void history_goes_on_behind_unused_space(void **state)
{
    struct test_disk *disk = *state;
    struct data_image images[3];
    uint64_t offsets[7];

    for (uint32_t count = 0; count <= 6; count += 6) {
        struct bitcask *cask;

        make_images(disk, images, offsets, count);
        assert_verify_says(disk, BITCASK_OK, "");
        for (int reader = 1; reader >= 0; reader--) {
            cask = reader ? test_cask_open_read_only(disk) : test_cask_open(disk, NULL);
            assert_int_equal(test_cask_stat(cask).key_count, 6);
            assert_int_equal(test_cask_stat(cask).cut_count, 0);
            test_cask_close(cask);
        }
        assert_int_equal(test_disk_size(disk, FIRST_DATA), images[0].bytes.size);
        assert_int_equal(test_disk_size(disk, THIRD_DATA), images[2].bytes.size);
        assert_false(test_disk_has(disk, SECOND_DATA));
        release_images(images);
    }
}

/* The third record is zeros now, and a later one knows that it had been synced, or not.
 */
static void zeros_where_a_record_was_synced_are_damage(void **state)
{
    struct test_disk *disk = *state;
    struct data_image images[3];
    uint64_t offsets[7];

    for (uint32_t count = 0; count <= 6; count += 6) {
        struct bitcask *cask = NULL;
        char words[64];

        make_images(disk, images, offsets, count);
        test_disk_truncate(disk, FIRST_DATA, offsets[3]);
        test_disk_truncate(disk, FIRST_DATA, offsets[3] + 100000);
        if (count == 0) {
            const struct bitcask_options salvage = { .read_only = true, .salvage = true };

            (void)snprintf(words, sizeof words, FIRST_DATA ", offset %" PRIu64 ":",
                           offsets[3]);
            assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
            assert_detail(words);
            assert_status(
                test_cask_refused(disk, &(struct bitcask_options){ .read_only = true }),
                BITCASK_CORRUPT);
            assert_detail(words);
            assert_verify_says(disk, BITCASK_CORRUPT, "damaged bytes; ");
            cask = test_cask_open(disk, &salvage);
            assert_int_equal(test_cask_stat(cask).key_count, 5);
            assert_true(test_cask_stat(cask).damage_count > 0);
        } else {
            cask = test_cask_open(disk, NULL);
            assert_int_equal(test_cask_stat(cask).key_count, 2);
            assert_int_equal(test_cask_stat(cask).cut_count, 1); /* the third file */
            assert_int_equal(test_cask_stat(cask).cut_size,
                             images[2].bytes.size + 100000);
        }
        test_cask_close(cask);
        release_images(images);
    }
}

/* What MANIFEST says was synced. */
static void zeros_before_the_end_of_what_was_synced_are_damage(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &unsynced);
    uint64_t size;

    test_history_write(cask, 1, WRITE_COUNT);
    test_cask_close(cask);
    size = test_disk_size(disk, FIRST_DATA);
    test_disk_truncate(disk, FIRST_DATA, size - 200);
    test_disk_truncate(disk, FIRST_DATA, size + 100000);
    assert_status(test_cask_refused(disk, &unsynced), BITCASK_CORRUPT);
    assert_detail(FIRST_DATA);
}

/* A writer that appends, in space that was set aside, whenever the reader looks. */
struct writer {
    struct test_disk *disk;
    const struct test_image_file *full; /* the file as it will be */
    uint64_t written_size;
    uint64_t step;
};

static void write_more(enum fault_call call, void *context)
{
    struct writer *writer = context;
    struct bitcask_buffer bytes = { 0 };
    uint64_t end = writer->written_size + writer->step;

    if (call != FAULT_READ && call != FAULT_OPEN)
        return;
    if (end > writer->full->size)
        end = writer->full->size;
    test_disk_read(writer->disk, FIRST_DATA, &bytes);
    memcpy((uint8_t *)bytes.data + writer->written_size,
           writer->full->bytes + writer->written_size,
           (size_t)(end - writer->written_size));
    test_disk_write(writer->disk, FIRST_DATA, bytes.data, bytes.size);
    bitcask_buffer_release(&bytes);
    writer->written_size = end;
}

/* Whole records, each of which comes between two calls of the reader. */
static void a_reader_beside_a_writer_tells_of_no_cut(void **state)
{
    static const char value[72];
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct writer writer = { .disk = disk, .step = 28 + 8 + sizeof value };

    for (int i = 0; i < 30; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "key %4d", i);
        assert_status(bitcask_put(cask, bitcask_text(key),
                                  (struct bitcask_slice){ value, sizeof value }),
                      BITCASK_OK);
    }
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    writer.full = test_image_find(&image, FIRST_DATA);
    for (uint64_t begun = 0; begun < 30; begun++) {
        test_image_restore(&image, disk);
        writer.written_size = 64 + begun * writer.step;
        test_disk_truncate(disk, FIRST_DATA, writer.written_size);
        test_disk_truncate(disk, FIRST_DATA, writer.full->size + 10000);
        disk->fault.before = write_more;
        disk->fault.before_context = &writer;
        cask = test_cask_open_read_only(disk);
        disk->fault.before = NULL;
        assert_in_range(test_cask_stat(cask).key_count, begun, 30);
        assert_int_equal(test_cask_stat(cask).cut_count, 0);
        assert_int_equal(test_cask_stat(cask).cut_size, 0);
        test_cask_close(cask);
    }
    test_image_release(&image);
}

/* THE SIMULATED DISK. The power fails at each call of a recovery that trims. */
struct trial {
    long count;
    uint64_t keys;
};

static void lose_power(struct sim_disk *disk, const struct sim_moment *moment,
                       void *context)
{
    struct trial *trial = context;

    (void)moment;
    for (int loss = SIM_KILL; loss < SIM_LOSS_COUNT; loss++) {
        struct sim_disk *left =
            sim_disk_after(disk, (enum sim_loss)loss, (uint64_t)trial->count++);

        for (int again = 0; again < 2; again++) {
            struct bitcask *cask = NULL;

            assert_status(bitcask_open_with(sim_disk_io(left), &cask, "/cask", &unsynced),
                          BITCASK_OK);
            assert_int_equal(test_cask_stat(cask).key_count, trial->keys);
            assert_int_equal(test_cask_stat(cask).cut_count, 0);
            assert_status(bitcask_close(cask), BITCASK_OK);
        }
        sim_disk_free(left);
    }
}

static void unused_space_is_trimmed_whenever_the_power_fails(void **state)
{
    struct trial trial = { .count = 0 };

    (void)state;
    for (int closed = 0; closed < 2; closed++) {
        struct sim_disk *disk = sim_disk_new(1);
        struct sim_disk *left = NULL;
        struct bitcask *cask = NULL;
        const uint8_t *bytes;
        uint8_t *longer;
        size_t size;

        assert_status(bitcask_open_with(sim_disk_io(disk), &cask, "/cask", &unsynced),
                      BITCASK_OK);
        test_history_write(cask, 1, WRITE_COUNT);
        assert_status(bitcask_sync(cask), BITCASK_OK);
        trial.keys = test_cask_stat(cask).key_count;
        if (!closed)
            left = sim_disk_after(disk, SIM_POWER_ALL, 1);
        assert_status(bitcask_close(cask), BITCASK_OK);
        if (closed)
            left = sim_disk_after(disk, SIM_POWER_ALL, 1);
        sim_disk_free(disk);

        bytes = sim_disk_file(left, "/cask", FIRST_DATA, &size);
        longer = calloc(1, size + 5000);
        memcpy(longer, bytes, size);
        sim_disk_put_file(left, "/cask", FIRST_DATA, longer, size + 5000);
        free(longer);
        sim_disk_set_hook(left, lose_power, &trial);
        assert_status(bitcask_open_with(sim_disk_io(left), &cask, "/cask", &unsynced),
                      BITCASK_OK);
        sim_disk_set_hook(left, NULL, NULL);
        assert_int_equal(test_cask_stat(cask).cut_count, 0);
        (void)sim_disk_file(left, "/cask", FIRST_DATA, &size);
        assert_status(bitcask_close(cask), BITCASK_OK);
        sim_disk_free(left);
    }
    assert_true(trial.count > 100);
}

/* An inspector that is at the end finds the records that come where zeros were. */
static void an_inspector_follows_into_space_that_was_set_aside(void **state)
{
    struct test_disk *disk = *state;
    struct data_image image;
    struct bitcask_inspector *inspector = NULL;
    struct bitcask_inspect_item item;
    char path[300];

    data_image_init(&image, 1, 5);
    data_image_put(&image, "first", "value");
    data_image_write(&image, disk);
    test_disk_truncate(disk, FIRST_DATA, 100000);
    (void)snprintf(path, sizeof path, "%s/" FIRST_DATA, disk->path);
    assert_status(bitcask_inspector_open(&inspector, path, 0), BITCASK_OK);
    assert_status(bitcask_inspector_next(inspector, &item), BITCASK_OK);
    assert_int_equal(item.kind, BITCASK_INSPECT_PUT);
    for (size_t begun = image.bytes.size, number = 0; number < 3; number++) {
        uint64_t offset;

        assert_status(bitcask_inspector_next(inspector, &item), BITCASK_OK);
        assert_int_equal(item.kind, BITCASK_INSPECT_DAMAGE);
        assert_true(item.zeros);
        assert_int_equal(item.offset, begun);
        assert_int_equal(item.offset + item.size, 100000);
        for (int i = 0; i < 3; i++)
            assert_status(bitcask_inspector_next(inspector, &item), BITCASK_NOT_FOUND);

        /* At first its value is not there yet. */
        offset = data_image_put(&image, "another", "value");
        assert_int_equal(offset, begun);
        data_image_write(&image, disk);
        test_disk_truncate(disk, FIRST_DATA, image.bytes.size - 4);
        test_disk_truncate(disk, FIRST_DATA, 100000);
        assert_status(bitcask_inspector_next(inspector, &item), BITCASK_OK);
        assert_int_equal(item.offset, offset);
        assert_false(item.value_intact);
        assert_status(bitcask_inspector_next(inspector, &item), BITCASK_OK);
        assert_true(item.zeros);
        assert_status(bitcask_inspector_next(inspector, &item), BITCASK_NOT_FOUND);
        data_image_write(&image, disk);
        test_disk_truncate(disk, FIRST_DATA, 100000);
        assert_status(bitcask_inspector_next(inspector, &item), BITCASK_OK);
        assert_int_equal(item.offset, offset);
        assert_true(item.value_intact);
        begun = image.bytes.size;
    }
    bitcask_inspector_close(inspector);
    data_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(zeros_behind_the_last_record_are_no_cut),
        disk_test(zeros_with_anything_behind_them_are_a_torn_tail),
        disk_test(zeros_that_begin_inside_a_record_are_a_torn_tail),
        disk_test(zeros_behind_a_file_that_was_closed_are_no_damage),
        disk_test(zeros_behind_a_sealed_file_are_no_damage),
        disk_test(a_file_that_was_not_used_is_no_cut),
        disk_test(history_goes_on_behind_unused_space),
        disk_test(zeros_where_a_record_was_synced_are_damage),
        disk_test(zeros_before_the_end_of_what_was_synced_are_damage),
        disk_test(a_reader_beside_a_writer_tells_of_no_cut),
        cmocka_unit_test(unused_space_is_trimmed_whenever_the_power_fails),
        disk_test(an_inspector_follows_into_space_that_was_set_aside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
