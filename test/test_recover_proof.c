/* SPDX-License-Identifier: MIT */
/*
 * Recovery from inside: what proves that a record had been synced, so that its loss is
 * damage, and what does not, so that history ends before it. Promises 5 and 7.
 * test_recover_chain.c goes on with files made by hand.
 */
#include "test/test_cask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"

/* A cask of one file that is still open, and where each of its writes begins. */
enum {
    SYNCED_COUNT = 5,
    WRITE_COUNT = 10
};
struct chain {
    struct test_image image;
    uint64_t offsets[WRITE_COUNT + 2]; /* by number; the last is the end */
};

/* The first SYNCED_COUNT writes are synced, and the next ones know it. */
static void make_chain(struct test_disk *disk, struct chain *chain)
{
    const struct bitcask_options options = { .sync = BITCASK_SYNC_NONE,
                                             .no_background = true };
    struct bitcask *cask = test_cask_open(disk, &options);

    chain->offsets[1] = 64;
    for (uint64_t number = 1; number <= WRITE_COUNT; number++) {
        test_history_write(cask, number, number);
        chain->offsets[number + 1] = test_cask_stat(cask).data_size;
        if (number == SYNCED_COUNT)
            assert_status(bitcask_sync(cask), BITCASK_OK);
    }
    test_image_take(&chain->image, disk->path);
    test_cask_close(cask);
    test_image_restore(&chain->image, disk);
}

static void fill_with_zeros(struct test_disk *disk, const char *name, uint64_t from,
                            uint64_t to)
{
    struct bitcask_buffer bytes = { 0 };

    test_disk_read(disk, name, &bytes);
    memset((uint8_t *)bytes.data + from, 0, (size_t)(to - from));
    test_disk_write(disk, name, bytes.data, bytes.size);
    bitcask_buffer_release(&bytes);
}

static void assert_names(const char *name, uint64_t offset)
{
    char words[96];

    (void)snprintf(words, sizeof words, "%s, offset %" PRIu64 ":", name, offset);
    assert_detail(words);
}

/* Damage: a reader and a writer say where, nothing changes, salvage has the rest. */
static void assert_damage(struct test_disk *disk, const char *name, uint64_t offset)
{
    const struct bitcask_options reader = { .read_only = true };
    const struct bitcask_options salvage = { .read_only = true, .salvage = true };
    struct test_image image = { 0 };
    struct bitcask *cask;

    test_image_take(&image, disk->path);
    assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
    assert_names(name, offset);
    assert_detail("repair");
    assert_status(test_cask_refused(disk, &reader), BITCASK_CORRUPT);
    assert_names(name, offset);
    cask = test_cask_open(disk, &salvage);
    assert_true(test_cask_stat(cask).damage_count > 0);
    test_cask_close(cask);
    for (size_t i = 0; i < image.count; i++)
        assert_int_equal(test_disk_size(disk, image.files[i].name), image.files[i].size);
    assert_int_equal(test_disk_count(disk), image.count);
    test_image_release(&image);
}

/* History ends behind @count writes, which is @told, and goes on from there. */
static void assert_cut(struct test_disk *disk, uint64_t count, bool told)
{
    struct bitcask *cask = test_cask_open_read_only(disk);

    assert_int_equal(test_history_check(cask), count);
    assert_int_equal(test_cask_stat(cask).cut_count > 0, told);
    assert_int_equal(test_cask_stat(cask).cut_size > 0, told);
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    assert_int_equal(test_history_check(cask), count);
    assert_int_equal(test_cask_stat(cask).cut_count > 0, told);
    test_history_write(cask, count + 1, count + 20);
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    assert_int_equal(test_history_check(cask), count + 20);
    assert_int_equal(test_cask_stat(cask).cut_count, 0);
    test_cask_close(cask);
}

static void a_hole_of_zeros_is_damage_if_what_was_there_had_been_synced(void **state)
{
    struct test_disk *disk = *state;
    struct chain chain = { { NULL, 0 }, { 0 } };

    make_chain(disk, &chain);
    for (uint64_t first = 1; first <= WRITE_COUNT; first++) {
        for (uint64_t last = first; last <= WRITE_COUNT; last++) {
            test_image_restore(&chain.image, disk);
            fill_with_zeros(disk, FIRST_DATA, chain.offsets[first],
                            chain.offsets[last + 1]);
            /* The MANIFEST knows of the sync, whoever else is left to tell of it. */
            if (first <= SYNCED_COUNT)
                assert_damage(disk, FIRST_DATA, chain.offsets[first]);
            else
                assert_cut(disk, first - 1, last < WRITE_COUNT);
        }
    }
    test_image_release(&chain.image);
}

static void a_record_that_is_missing_is_damage_if_it_had_been_synced(void **state)
{
    struct test_disk *disk = *state;
    struct chain chain = { { NULL, 0 }, { 0 } };

    make_chain(disk, &chain);
    for (uint64_t number = 1; number <= WRITE_COUNT; number++) {
        for (uint64_t byte = chain.offsets[number]; byte < chain.offsets[number + 1];
             byte += 5) {
            bool in_value = byte >= chain.offsets[number] + 28 + 11;

            test_image_restore(&chain.image, disk);
            test_disk_flip(disk, FIRST_DATA, byte, 0x10);
            if (number > SYNCED_COUNT)
                assert_cut(disk, number - 1, true);
            else if (!in_value)
                assert_damage(disk, FIRST_DATA, chain.offsets[number]);
        }
    }
    test_image_release(&chain.image);
}

/* One key is known to be concerned: that is no reason to refuse all others. */
static void a_damaged_value_that_had_been_synced_is_told_by_its_get_alone(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer value = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct test_image image = { 0 };

    test_cask_put(cask, "first", "value");
    test_cask_put(cask, "second", "value");
    assert_status(bitcask_sync(cask), BITCASK_OK);
    test_cask_put(cask, "third", "value");
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    test_image_restore(&image, disk);
    test_disk_flip(disk, FIRST_DATA, 64 + 28 + 5 + 2, 0x10);

    for (int reader = 1; reader >= 0; reader--) {
        cask = reader ? test_cask_open_read_only(disk) : test_cask_open(disk, NULL);
        assert_status(bitcask_get(cask, bitcask_text("first"), &value), BITCASK_CORRUPT);
        assert_names(FIRST_DATA, 64);
        test_cask_expect(cask, "second", "value");
        test_cask_expect(cask, "third", "value");
        assert_int_equal(test_cask_stat(cask).cut_count, 0);
        test_cask_close(cask);
    }
    bitcask_buffer_release(&value);
    test_image_release(&image);
}

/* Several files that are not sealed in MANIFEST yet. */
static uint64_t make_files(struct test_disk *disk, struct test_image *image,
                           uint64_t last[5])
{
    struct bitcask_options options = small_files;
    struct bitcask *cask;
    uint64_t number = 0;
    uint64_t segment_count = 0;

    options.sync = BITCASK_SYNC_NONE;
    cask = test_cask_open(disk, &options);
    while (segment_count < 4) { /* as many ids as a new cask prepares */
        number++;
        test_history_write(cask, number, number);
        segment_count = test_cask_stat(cask).segment_count;
        last[segment_count] = number;
    }
    test_history_write(cask, number + 1, number + 5);
    last[4] = number + 5;
    test_image_take(image, disk->path);
    test_cask_close(cask);
    test_image_restore(image, disk);
    return number + 5;
}

static void a_file_that_is_missing_in_the_middle_is_damage(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    uint64_t last[5] = { 0 };
    char name[BITCASK_NAME_SIZE];
    char hint[BITCASK_NAME_SIZE];

    (void)make_files(disk, &image, last);
    for (uint64_t id = 1; id <= 4; id++) {
        for (int hints = 0; hints <= 1; hints++) {
            test_image_restore(&image, disk);
            bitcask_data_name(name, id);
            bitcask_hint_name(hint, id);
            test_disk_remove(disk, name);
            if (!hints && test_disk_has(disk, hint))
                test_disk_remove(disk, hint);
            if (id == 4) { /* the power may have taken it: nothing of it was synced */
                struct bitcask *cask = test_cask_open(disk, NULL);

                assert_int_equal(test_history_check(cask), last[3]);
                test_cask_close(cask);
            } else {
                assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
                assert_detail(".data, offset ");
                if (hints)
                    assert_names(name, 0);
            }
        }
    }
    test_image_release(&image);
}

static void a_file_that_is_cut_off_in_the_middle_is_damage(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    uint64_t last[5] = { 0 };

    (void)make_files(disk, &image, last);
    for (uint64_t id = 1; id <= 3; id++) {
        char name[BITCASK_NAME_SIZE];
        char hint[BITCASK_NAME_SIZE];
        size_t size;

        bitcask_data_name(name, id);
        bitcask_hint_name(hint, id);
        size = test_image_find(&image, name)->size;
        for (size_t cut = 0; cut < size; cut += cut < 70 ? 1 : 97) {
            for (int hints = 0; hints <= 1; hints++) {
                test_image_restore(&image, disk);
                test_disk_truncate(disk, name, cut);
                if (!hints && test_disk_has(disk, hint))
                    test_disk_remove(disk, hint);
                assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
                assert_detail(".data, offset ");
            }
        }
    }
    test_image_release(&image);
}

static void files_of_two_moments_do_not_make_a_cask(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask_buffer bytes = { 0 };
    uint64_t last[5] = { 0 };

    (void)make_files(disk, &image, last);
    test_disk_read(disk, "0000000002.data", &bytes); /* swapped: 2 is 3 as well */
    test_disk_write(disk, "0000000003.data", bytes.data, bytes.size);
    assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
    assert_detail("0000000003.data");
    bitcask_buffer_release(&bytes);
    test_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_hole_of_zeros_is_damage_if_what_was_there_had_been_synced),
        disk_test(a_record_that_is_missing_is_damage_if_it_had_been_synced),
        disk_test(a_damaged_value_that_had_been_synced_is_told_by_its_get_alone),
        disk_test(a_file_that_is_missing_in_the_middle_is_damage),
        disk_test(a_file_that_is_cut_off_in_the_middle_is_damage),
        disk_test(files_of_two_moments_do_not_make_a_cask),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
