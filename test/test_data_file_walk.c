/* SPDX-License-Identifier: MIT */
/* Walking over whole data files; test_data_file_damage.c has the others. */
#include "test/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "test/data_image.h"
#include "test/test_alloc.h"

#define SALT UINT64_C(0x0123456789abcdef)
/* Walks read so much at a time. */
#define WINDOW_SIZE ((size_t)1 << 20)

static const char name[] = "0000000007.data";

/* Open what is under @name and begin a walk over all of it. */
static bitcask_file begin(struct test_disk *disk, struct bitcask_walk *walk)
{
    uint64_t size = test_disk_size(disk, name);
    bitcask_file file = BITCASK_NO_FILE;

    assert_status(disk->io->open(disk->io, disk->directory, name, BITCASK_IO_READ, &file),
                  BITCASK_OK);
    assert_status(bitcask_walk_init(walk, disk->io, file, 7, SALT, size), BITCASK_OK);
    return file;
}

static void end(struct test_disk *disk, struct bitcask_walk *walk, bitcask_file file)
{
    bitcask_walk_release(walk);
    disk->io->close(disk->io, file);
}

/* Step, and assert that this is what comes. */
static void expect(struct bitcask_walk *walk, const struct image_record *expected,
                   uint64_t offset, uint64_t sequence)
{
    struct bitcask_walk_record record;

    assert_status(bitcask_walk_next(walk, &record), BITCASK_OK);
    assert_int_equal(record.offset, offset);
    assert_int_equal(record.header.sequence, sequence);
    assert_int_equal(record.header.kind,
                     expected->deletes ? BITCASK_RECORD_TOMBSTONE : BITCASK_RECORD_PUT);
    assert_int_equal(record.header.value_size, expected->value.size);
    assert_int_equal(record.header.expiry_ms, expected->expiry_ms);
    assert_true(record.value_intact);
    assert_int_equal(record.key.size, expected->key.size);
    assert_int_equal(record.header.key_size, expected->key.size);
    assert_memory_equal(record.key.data, expected->key.data, expected->key.size);
}

static void expect_end(struct bitcask_walk *walk)
{
    struct bitcask_walk_record record;

    assert_status(bitcask_walk_next(walk, &record), BITCASK_NOT_FOUND);
    assert_int_equal(walk->offset, walk->end);
    assert_status(bitcask_walk_next(walk, &record), BITCASK_NOT_FOUND);
}

static const struct image_record few[] = {
    { .key = { "ada", 3 }, .value = { "1815", 4 } },
    { .key = { "\0\xff", 2 }, .value = { "", 0 } },
    { .key = { "ada", 3 }, .deletes = true },
    { .key = { "session", 7 }, .value = { "abc", 3 }, .expiry_ms = UINT64_MAX },
    { .key = { "x", 1 }, .value = { "y", 1 }, .expiry_ms = 1 },
};

static void a_file_of_a_header_alone_has_no_record(void **state)
{
    struct test_disk *disk = *state;
    struct data_image image;
    struct bitcask_walk walk;
    bitcask_file file;

    data_image_init(&image, 7, SALT);
    data_image_write(&image, disk);
    file = begin(disk, &walk);
    expect_end(&walk);
    end(disk, &walk, file);
    data_image_release(&image);
}

static void records_come_as_they_were_written(void **state)
{
    struct test_disk *disk = *state;

    for (int check_values = 0; check_values < 2; check_values++) {
        uint64_t offsets[LENGTH_OF(few)];
        struct data_image image;
        struct bitcask_walk walk;
        bitcask_file file;

        data_image_init(&image, 7, SALT);
        image.next_sequence = 1000;
        for (size_t i = 0; i < LENGTH_OF(few); i++)
            offsets[i] = data_image_add(&image, &few[i]);
        data_image_write(&image, disk);

        file = begin(disk, &walk);
        walk.check_values = check_values != 0;
        for (size_t i = 0; i < LENGTH_OF(few); i++)
            expect(&walk, &few[i], offsets[i], 1000 + i);
        expect_end(&walk);
        end(disk, &walk, file);
        data_image_release(&image);
    }
}

static void batches_come_part_by_part(void **state)
{
    struct test_disk *disk = *state;

    for (int check_values = 0; check_values < 2; check_values++) {
        uint64_t offset;
        struct data_image image;
        struct bitcask_walk walk;
        bitcask_file file;

        data_image_init(&image, 7, SALT);
        (void)data_image_add(&image, &few[0]);
        (void)data_image_add_batch(&image, few, LENGTH_OF(few));
        (void)data_image_add_batch(&image, few + 2, 1);
        (void)data_image_add(&image, &few[1]);
        data_image_write(&image, disk);

        file = begin(disk, &walk);
        walk.check_values = check_values != 0;
        offset = BITCASK_FILE_HEADER_SIZE;
        expect(&walk, &few[0], offset, 1);
        offset = walk.offset + BITCASK_RECORD_HEADER_SIZE;
        for (size_t i = 0; i < LENGTH_OF(few); i++) {
            expect(&walk, &few[i], offset, 2 + i);
            offset = walk.offset;
        }
        offset += BITCASK_RECORD_HEADER_SIZE;
        expect(&walk, &few[2], offset, 2 + LENGTH_OF(few));
        expect(&walk, &few[1], walk.offset, 3 + LENGTH_OF(few));
        expect_end(&walk);
        end(disk, &walk, file);
        data_image_release(&image);
    }
}

static void a_walk_can_begin_and_end_in_the_middle(void **state)
{
    struct test_disk *disk = *state;
    uint64_t offsets[LENGTH_OF(few)];
    struct data_image image;
    struct bitcask_walk walk;
    bitcask_file file;

    data_image_init(&image, 7, SALT);
    for (size_t i = 0; i < LENGTH_OF(few); i++)
        offsets[i] = data_image_add(&image, &few[i]);
    data_image_write(&image, disk);

    file = begin(disk, &walk);
    walk.offset = offsets[1];
    walk.end = offsets[3];
    expect(&walk, &few[1], offsets[1], 2);
    expect(&walk, &few[2], offsets[2], 3);
    expect_end(&walk);
    end(disk, &walk, file);
    data_image_release(&image);
}

/* A file whose second record begins at @offset; @value_offset is not its business. */
static void write_straddling(struct test_disk *disk, uint64_t offset,
                             const struct image_record *second,
                             const struct image_record *third)
{
    size_t head_size = BITCASK_RECORD_HEADER_SIZE + 1;
    size_t filler_size = (size_t)offset - BITCASK_FILE_HEADER_SIZE - head_size;
    uint8_t *filler = test_noise(filler_size, offset);
    struct image_record first = { .key = { "f", 1 }, .value = { filler, filler_size } };
    struct data_image image;

    data_image_init(&image, 7, SALT);
    (void)data_image_add(&image, &first);
    assert_int_equal(data_image_add(&image, second), offset);
    (void)data_image_add(&image, third);
    data_image_write(&image, disk);
    data_image_release(&image);
    free(filler);
}

static void records_may_lie_anyhow_across_the_end_of_a_window(void **state)
{
    struct test_disk *disk = *state;
    struct image_record first = { .key = { "f", 1 } };
    const struct image_record *second = &few[3];
    size_t second_size = BITCASK_RECORD_PREFIX_MAX + 7 + 3;

    /* The first window begins with the first record; a later one at any record. */
    for (size_t before = 0; before <= second_size + BITCASK_RECORD_PREFIX_MAX; before++) {
        uint64_t offset = BITCASK_FILE_HEADER_SIZE + WINDOW_SIZE - before;

        write_straddling(disk, offset, second, &few[0]);
        first.value.size =
            (size_t)offset - BITCASK_FILE_HEADER_SIZE - BITCASK_RECORD_HEADER_SIZE - 1;
        for (int check_values = 0; check_values < 2; check_values++) {
            struct bitcask_walk walk;
            bitcask_file file = begin(disk, &walk);

            walk.check_values = check_values != 0;
            expect(&walk, &first, BITCASK_FILE_HEADER_SIZE, 1);
            expect(&walk, second, offset, 2);
            expect(&walk, &few[0], offset + second_size, 3);
            expect_end(&walk);
            end(disk, &walk, file);
        }
    }
}

/* Keys and values as large as they can be, or larger than a window. */
static void large_records_come_whole(void **state)
{
    struct test_disk *disk = *state;
    size_t key_size = BITCASK_KEY_SIZE_MAX;
    size_t value_size = 3 * WINDOW_SIZE + 17;
    uint8_t *key = test_noise(key_size, 1);
    uint8_t *value = test_noise(value_size, 2);
    const struct image_record records[] = {
        { .key = { key, key_size }, .value = { "v", 1 } },
        { .key = { "k", 1 }, .value = { value, value_size } },
        { .key = { key, key_size }, .deletes = true },
        { .key = { key, key_size }, .value = { value, value_size }, .expiry_ms = 5 },
        { .key = { key, key_size - 1 }, .value = { value, WINDOW_SIZE } },
        { .key = { "end", 3 }, .value = { "", 0 } },
    };

    for (int batch = 0; batch < 2; batch++) {
        struct data_image image;

        data_image_init(&image, 7, SALT);
        if (batch != 0)
            (void)data_image_add_batch(&image, records, LENGTH_OF(records));
        for (size_t i = 0; i < LENGTH_OF(records) && batch == 0; i++)
            (void)data_image_add(&image, &records[i]);
        data_image_write(&image, disk);
        data_image_release(&image);

        for (int check_values = 0; check_values < 2; check_values++) {
            struct bitcask_walk walk;
            bitcask_file file = begin(disk, &walk);
            uint64_t offset = BITCASK_FILE_HEADER_SIZE;

            walk.check_values = check_values != 0;
            if (batch != 0)
                offset += BITCASK_RECORD_HEADER_SIZE;
            for (size_t i = 0; i < LENGTH_OF(records); i++) {
                expect(&walk, &records[i], offset, 1 + i);
                offset = walk.offset;
            }
            expect_end(&walk);
            end(disk, &walk, file);
        }
    }
    free(key);
    free(value);
}

static void values_are_only_read_if_asked_for(void **state)
{
    struct test_disk *disk = *state;
    uint8_t *value = test_noise(8 * WINDOW_SIZE, 3);
    struct image_record record = { .key = { "k", 1 },
                                   .value = { value, 8 * WINDOW_SIZE } };
    struct data_image image;
    struct bitcask_walk walk;
    bitcask_file file;
    long before;

    data_image_init(&image, 7, SALT);
    (void)data_image_add(&image, &record);
    (void)data_image_add(&image, &few[0]);
    data_image_write(&image, disk);
    file = begin(disk, &walk);
    before = fault_io_count(&disk->fault, FAULT_READ);
    expect(&walk, &record, BITCASK_FILE_HEADER_SIZE, 1);
    expect(&walk, &few[0], walk.offset, 2);
    expect_end(&walk);
    assert_true(fault_io_count(&disk->fault, FAULT_READ) - before <= 3);
    assert_int_equal(fault_io_map_count(&disk->fault), 0);
    end(disk, &walk, file);
    data_image_release(&image);
    free(value);
}

static void every_read_error_is_reported(void **state)
{
    struct test_disk *disk = *state;
    uint8_t *value = test_noise(2 * WINDOW_SIZE, 4);
    struct image_record record = { .key = { "k", 1 },
                                   .value = { value, 2 * WINDOW_SIZE } };
    struct data_image image;
    long n;

    data_image_init(&image, 7, SALT);
    (void)data_image_add(&image, &record);
    (void)data_image_add_batch(&image, &record, 1);
    (void)data_image_add(&image, &few[0]);
    data_image_write(&image, disk);
    data_image_release(&image);
    free(value);

    for (n = 0;; n++) {
        struct fault_plan plan = { .calls = FAULT_BIT(FAULT_READ), .skip = n };
        struct bitcask_walk_record met;
        struct bitcask_walk walk;
        bitcask_file file = begin(disk, &walk);
        enum bitcask_status status;

        walk.check_values = true;
        fault_io_arm(&disk->fault, &plan);
        do
            status = bitcask_walk_next(&walk, &met);
        while (status == BITCASK_OK);
        fault_io_disarm(&disk->fault);
        end(disk, &walk, file);
        if (fault_io_failure_count(&disk->fault) == 0) {
            assert_status(status, BITCASK_NOT_FOUND);
            break;
        }
        assert_status(status, BITCASK_IO);
        assert_detail(name);
    }
    assert_true(n > 6);
}

static void without_memory_there_is_no_walk(void **state)
{
    struct bitcask_walk walk;
    enum bitcask_status status;

    (void)state;
    test_alloc_fail(0);
    status = bitcask_walk_init(&walk, NULL, BITCASK_NO_FILE, 7, SALT, 1000);
    assert_int_equal(test_alloc_stop(), 1);
    assert_status(status, BITCASK_NO_MEMORY);
    bitcask_walk_release(&walk);
    bitcask_walk_release(&walk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_file_of_a_header_alone_has_no_record),
        disk_test(records_come_as_they_were_written),
        disk_test(batches_come_part_by_part),
        disk_test(a_walk_can_begin_and_end_in_the_middle),
        disk_test(records_may_lie_anyhow_across_the_end_of_a_window),
        disk_test(large_records_come_whole),
        disk_test(values_are_only_read_if_asked_for),
        disk_test(every_read_error_is_reported),
        cmocka_unit_test(without_memory_there_is_no_walk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
