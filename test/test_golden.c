/* SPDX-License-Identifier: MIT */
/*
 * The files in golden/, as versions of the library up to now have written them. If one
 * of these tests fails, stores of users can no longer be read, or would be read in
 * another way: change the code, not the files and not the test.
 */
#include "test/test_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/cask.h"
#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "test/data_image.h"
#include "test/golden_store.h"

static const char golden_path[] = TEST_SOURCE_DIRECTORY "/golden/v1";

static const struct {
    const char *name;
    size_t size;
    uint32_t check;
} golden_files[] = {
    { "0000000001.data", 3618, 0x094f6191 },
    { "0000000001.hint", 521, 0x2144df1c },
    { "0000000002.data", 1173, 0x75ad140e },
    { "MANIFEST", 241, 0xa8cc712e },
};

/* A copy of the golden store, in @disk. */
static void copy_golden(struct test_disk *disk)
{
    test_disk_copy_from(disk, golden_path);
}

static void assert_unchanged(struct test_disk *disk)
{
    struct bitcask_buffer bytes = { 0 };

    for (size_t i = 0; i < LENGTH_OF(golden_files); i++) {
        test_disk_read(disk, golden_files[i].name, &bytes);
        assert_int_equal(bytes.size, golden_files[i].size);
        assert_int_equal(bitcask_check(0, bytes.data, bytes.size), golden_files[i].check);
    }
    bitcask_buffer_release(&bytes);
}

static void the_golden_files_are_those_that_were_checked_in(void **state)
{
    struct test_disk *disk = *state;

    copy_golden(disk);
    assert_int_equal(test_disk_count(disk), LENGTH_OF(golden_files));
    assert_unchanged(disk);
}

static const struct golden_pair *find_pair(struct bitcask_slice key)
{
    for (size_t i = 0; i < golden_pair_count; i++) {
        if (golden_pairs[i].key.size == key.size &&
            memcmp(golden_pairs[i].key.data, key.data, key.size) == 0)
            return &golden_pairs[i];
    }
    return NULL;
}

static void expect_pairs(struct bitcask *cask)
{
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_buffer value = { 0 };
    struct bitcask_slice key, found;
    size_t count = 0;

    for (size_t i = 0; i < golden_pair_count; i++) {
        assert_status(bitcask_get(cask, golden_pairs[i].key, &value), BITCASK_OK);
        assert_int_equal(value.size, golden_pairs[i].value.size);
        assert_memory_equal(value.data, golden_pairs[i].value.data, value.size);
    }
    for (size_t i = 0; i < golden_absent_key_count; i++) {
        assert_status(bitcask_get(cask, golden_absent_keys[i], &value),
                      BITCASK_NOT_FOUND);
        assert_status(bitcask_exists(cask, golden_absent_keys[i]), BITCASK_NOT_FOUND);
    }
    assert_status(bitcask_iterator_open(cask, NULL, &iterator), BITCASK_OK);
    while (bitcask_iterator_next(iterator, &key, &found) == BITCASK_OK) {
        const struct golden_pair *pair = find_pair(key);

        assert_non_null(pair);
        assert_int_equal(found.size, pair->value.size);
        assert_memory_equal(found.data, pair->value.data, found.size);
        count++;
    }
    assert_int_equal(count, golden_pair_count);
    bitcask_iterator_close(iterator);
    bitcask_buffer_release(&value);
}

static void it_is_read_without_a_change(void **state)
{
    struct test_disk *disk = *state;

    copy_golden(disk);
    for (int hinted = 1; hinted >= 0; hinted--) {
        struct bitcask_options options = { .read_only = true };
        struct bitcask_stat stat;
        struct bitcask *cask = NULL;

        if (!hinted)
            test_disk_remove(disk, "0000000001.hint");
        assert_status(bitcask_open_with(disk->io, &cask, disk->path, &options),
                      BITCASK_OK);
        expect_pairs(cask);
        assert_status(bitcask_stat(cask, &stat), BITCASK_OK);
        assert_int_equal(stat.key_count, golden_pair_count);
        assert_int_equal(stat.segment_count, 2);
        assert_int_equal(stat.last_sequence, 16);
        assert_int_equal(stat.hint_count, hinted);
        assert_int_equal(stat.cut_count, 0);
        assert_int_equal(stat.damage_count, 0);
        assert_status(bitcask_close(cask), BITCASK_OK);
        if (hinted)
            assert_unchanged(disk);
        assert_int_equal(test_disk_count(disk), LENGTH_OF(golden_files) - !hinted);
    }
}

static void it_is_written_and_read_again(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = { .must_exist = true };

    copy_golden(disk);
    for (uint64_t round = 0; round < 3; round++) {
        struct bitcask *cask = NULL;
        struct bitcask_stat stat;

        assert_status(bitcask_open_with(disk->io, &cask, disk->path, &options),
                      BITCASK_OK);
        expect_pairs(cask);
        assert_status(bitcask_stat(cask, &stat), BITCASK_OK);
        assert_int_equal(stat.last_sequence, 16 + 2 * round);
        assert_int_equal(stat.segment_count, 2); /* a clean end is gone on from */
        assert_status(bitcask_put(cask, bitcask_text("new"), bitcask_text("value")),
                      BITCASK_OK);
        assert_status(bitcask_delete(cask, bitcask_text("new")), BITCASK_OK);
        expect_pairs(cask);
        assert_status(bitcask_close(cask), BITCASK_OK);
    }
}

/* The MANIFEST, and the salts in it. */
static void parse_manifest(struct test_disk *disk, struct bitcask_manifest *manifest)
{
    bitcask_manifest_init(manifest);
    assert_status(bitcask_manifest_read(manifest, disk->io, disk->directory), BITCASK_OK);
    assert_true(manifest->segment_count >= 2);
    assert_int_equal(manifest->segments[0].id, 1);
    assert_int_equal(manifest->segments[0].state, BITCASK_MANIFEST_SEALED);
    assert_int_equal(manifest->segments[1].id, 2);
    assert_int_equal(manifest->segments[1].state, BITCASK_MANIFEST_OPEN);
}

static void its_manifest_is_formatted_the_same(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_manifest manifest;
    struct bitcask_buffer expected = { 0 }, text = { 0 };

    copy_golden(disk);
    parse_manifest(disk, &manifest);
    assert_status(bitcask_manifest_format(&manifest, &text), BITCASK_OK);
    test_disk_read(disk, BITCASK_MANIFEST_NAME, &expected);
    assert_int_equal(text.size, expected.size);
    assert_memory_equal(text.data, expected.data, text.size);
    bitcask_buffer_release(&text);
    bitcask_buffer_release(&expected);
    bitcask_manifest_release(&manifest);
}

static struct image_record record_of(const struct golden_operation *operation)
{
    struct image_record record = {
        .key = operation->key,
        .value = operation->value,
        .expiry_ms = operation->expiry_ms,
        .deletes = operation->verb == GOLDEN_DELETE,
    };

    return record;
}

/* Add what @operation writes to @image; how many operations that were. */
static size_t encode(struct data_image *image, const struct golden_operation *operation)
{
    struct image_record parts[8];

    if (operation->verb == GOLDEN_SYNC) {
        image->unsynced_count = 0;
    } else if (operation->verb == GOLDEN_BATCH) {
        for (size_t i = 0; i < operation->part_count; i++)
            parts[i] = record_of(&operation[1 + i]);
        (void)data_image_add_batch(image, parts, operation->part_count);
    } else {
        parts[0] = record_of(operation);
        (void)data_image_add(image, &parts[0]);
    }
    return 1 + operation->part_count;
}

static void expect_image(struct test_disk *disk, const struct data_image *image)
{
    struct bitcask_buffer bytes = { 0 };
    char name[BITCASK_NAME_SIZE];

    bitcask_data_name(name, image->id);
    test_disk_read(disk, name, &bytes);
    assert_int_equal(image->bytes.size, bytes.size);
    assert_memory_equal((uint8_t *)image->bytes.data + BITCASK_FILE_HEADER_SIZE,
                        (uint8_t *)bytes.data + BITCASK_FILE_HEADER_SIZE,
                        bytes.size - BITCASK_FILE_HEADER_SIZE);
    bitcask_buffer_release(&bytes);
}

/*
 * Encode all operations, with the salts that MANIFEST has, and compare the data files
 * byte for byte.
 */
static void expect_operations(struct test_disk *disk)
{
    struct bitcask_manifest manifest;
    struct data_image image;
    uint64_t next_sequence = 1;
    size_t next = 0;

    parse_manifest(disk, &manifest);
    for (size_t i = 0; i < 2; i++) {
        data_image_init(&image, manifest.segments[i].id, manifest.segments[i].salt);
        image.next_sequence = next_sequence;
        image.counts_unsynced = true;
        while (next < golden_operation_count &&
               image.bytes.size < manifest.segments[i].size)
            next += encode(&image, &golden_operations[next]);
        expect_image(disk, &image);
        next_sequence = image.next_sequence;
        data_image_release(&image);
    }
    assert_int_equal(next, golden_operation_count);
    bitcask_manifest_release(&manifest);
}

static void its_records_are_encoded_the_same(void **state)
{
    copy_golden(*state);
    expect_operations(*state);
}

static void the_same_operations_make_the_same_records(void **state)
{
    struct test_disk *disk = *state;

    assert_status(golden_store_write(&disk->fault, disk->path), BITCASK_OK);
    expect_operations(disk);
    for (size_t i = 0; i < LENGTH_OF(golden_files); i++) {
        if (strcmp(golden_files[i].name, BITCASK_MANIFEST_NAME) != 0)
            assert_int_equal(test_disk_size(disk, golden_files[i].name),
                             golden_files[i].size);
    }
}

static void its_hint_is_written_the_same(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_manifest manifest;
    struct bitcask_segments segments;
    struct bitcask_segment *segment = NULL;

    copy_golden(disk);
    parse_manifest(disk, &manifest);
    test_disk_remove(disk, "0000000001.hint");
    bitcask_segments_init(&segments, disk->io, disk->directory, true);
    assert_status(bitcask_segments_add(&segments, 1, manifest.segments[0].salt,
                                       BITCASK_NO_FILE, &segment),
                  BITCASK_OK);
    assert_status(
        bitcask_segment_write_hint(&segments, segment, manifest.segments[0].size),
        BITCASK_OK);
    assert_unchanged(disk);
    bitcask_segments_release(&segments);
    bitcask_manifest_release(&manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(the_golden_files_are_those_that_were_checked_in),
        disk_test(it_is_read_without_a_change),
        disk_test(it_is_written_and_read_again),
        disk_test(its_manifest_is_formatted_the_same),
        disk_test(its_records_are_encoded_the_same),
        disk_test(the_same_operations_make_the_same_records),
        disk_test(its_hint_is_written_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
