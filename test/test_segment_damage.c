/* SPDX-License-Identifier: MIT */
/* Reading from segments that are not as they were, and writing hints of them. */
#include "test/segment_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/file_name.h"
#include "bitcask/status.h"
#include "hint/hint.h"
#include "test/test_alloc.h"

#define SALT UINT64_C(0x0123456789abcdef)

static const char data_name[] = "0000000007.data";
static const char hint_name[] = "0000000007.hint";

/* Read into a buffer that holds something, and assert that it still does. */
static void expect_failure(struct segment_fixture *fixture,
                           struct bitcask_segment *segment,
                           const struct bitcask_record_key *wanted,
                           enum bitcask_status expected)
{
    struct bitcask_buffer value = { 0 };
    const void *data;
    size_t capacity;
    char place[64];

    assert_status(bitcask_buffer_append(&value, "before", 7), BITCASK_OK);
    data = value.data;
    capacity = value.capacity;
    assert_status(bitcask_segment_read(&fixture->segments, segment, wanted, &value),
                  expected);
    assert_detail(data_name);
    (void)snprintf(place, sizeof place, "offset %llu",
                   (unsigned long long)wanted->offset);
    assert_detail(place);
    assert_ptr_equal(value.data, data);
    assert_int_equal(value.size, 7);
    assert_int_equal(value.capacity, capacity);
    assert_string_equal(value.data, "before");

    /* Nor is it copied; nothing is said about that. */
    assert_status(bitcask_buffer_reserve(&value, wanted->value_size), BITCASK_OK);
    (void)bitcask_fail_constant(BITCASK_MISUSE, "words of before");
    assert_false(bitcask_segment_copy_mapped(segment, wanted, value.data));
    assert_string_equal(bitcask_error_detail(), "words of before");
    assert_string_equal(value.data, "before");
    bitcask_buffer_release(&value);
}

static void every_flipped_bit_of_a_record_is_noticed(void **state)
{
    struct segment_fixture *fixture = *state;
    static const struct image_record records[] = {
        { .key = { "ada", 3 }, .value = { "1815", 4 } },
        { .key = { "session", 7 }, .value = { "x", 1 }, .expiry_ms = UINT64_MAX },
        { .key = { "e", 1 }, .value = { "", 0 } },
    };

    for (size_t i = 0; i < LENGTH_OF(records); i++) {
        for (int mapped = 0; mapped < 2; mapped++) {
            struct bitcask_segment *segment;
            struct bitcask_record_key wanted;
            struct data_image image;
            uint64_t offset, end;

            data_image_init(&image, 7, SALT);
            (void)data_image_put(&image, "before", "it");
            offset = data_image_add(&image, &records[i]);
            end = image.bytes.size;
            (void)data_image_put(&image, "behind", "it, so that there is more to read");
            wanted = segment_fixture_wanted(&image, offset);
            segment_fixture_begin(fixture, mapped != 0);
            segment = segment_fixture_add(fixture, &image);
            for (; offset < end; offset++) {
                for (unsigned bit = 0; bit < 8; bit++) {
                    test_disk_flip(fixture->disk, data_name, offset, 1u << bit);
                    expect_failure(fixture, segment, &wanted, BITCASK_CORRUPT);
                    test_disk_flip(fixture->disk, data_name, offset, 1u << bit);
                }
            }
            assert_status(
                bitcask_segment_read(&fixture->segments, segment, &wanted, NULL),
                BITCASK_OK);
            data_image_release(&image);
        }
    }
}

enum wrong {
    ANOTHER_KEY,
    A_SHORTER_KEY,
    ANOTHER_SEQUENCE,
    A_LARGER_VALUE,
    A_SMALLER_VALUE,
    AN_EXPIRY,
    A_BYTE_TOO_FAR,
    ANOTHER_RECORD,
    A_TOMBSTONE,
    THE_FILE_HEADER,
    OVER_THE_END,
    AT_THE_END,
    FAR_BEHIND_THE_END,
    WRONG_COUNT
};

static void only_the_record_that_is_wanted_will_do(void **state)
{
    struct segment_fixture *fixture = *state;

    for (int mapped = 0; mapped < 2; mapped++) {
        struct bitcask_segment *segment;
        struct data_image image;
        uint64_t offset, tombstone, last;

        data_image_init(&image, 7, SALT);
        offset = data_image_put(&image, "ada", "1815");
        tombstone = data_image_delete(&image, "ada");
        last = data_image_put(&image, "bob", "1815");
        segment_fixture_begin(fixture, mapped != 0);
        segment = segment_fixture_add(fixture, &image);
        for (int wrong = 0; wrong < WRONG_COUNT; wrong++) {
            struct bitcask_record_key wanted = segment_fixture_wanted(&image, offset);

            printf("  case %d\n", wrong);
            switch ((enum wrong)wrong) {
            case ANOTHER_KEY:
                wanted.key = bitcask_text("adb");
                break;
            case A_SHORTER_KEY:
                wanted.key.size--;
                break;
            case ANOTHER_SEQUENCE:
                wanted.sequence++;
                break;
            case A_LARGER_VALUE:
                wanted.value_size++;
                break;
            case A_SMALLER_VALUE:
                wanted.value_size--;
                break;
            case AN_EXPIRY:
                wanted.expires = true;
                break;
            case A_BYTE_TOO_FAR:
                wanted.offset++;
                break;
            case ANOTHER_RECORD:
                wanted.offset = last;
                break;
            case A_TOMBSTONE:
                wanted.offset = tombstone;
                wanted.sequence = 2;
                wanted.value_size = 0;
                break;
            case THE_FILE_HEADER:
                wanted.offset = 0;
                break;
            case OVER_THE_END:
                wanted = segment_fixture_wanted(&image, last);
                wanted.offset++;
                break;
            case AT_THE_END:
                wanted.offset = image.bytes.size;
                break;
            case FAR_BEHIND_THE_END:
                wanted.offset = UINT64_C(1) << 38;
                break;
            case WRONG_COUNT:
                break;
            }
            expect_failure(fixture, segment, &wanted, BITCASK_CORRUPT);
        }
        data_image_release(&image);
    }
}

/* The mapping may reach further than the file: what was not appended is not touched. */
static void what_was_not_appended_is_not_touched(void **state)
{
    struct segment_fixture *fixture = *state;
    struct bitcask_segment *segment;
    struct bitcask_record_key wanted;
    struct data_image image;

    data_image_init(&image, 7, SALT);
    wanted = segment_fixture_wanted(&image, data_image_put(&image, "ada", "1815"));
    segment_fixture_begin(fixture, false);
    segment = segment_fixture_add(fixture, &image);
    fixture->segments.use_mapping = true;
    bitcask_segment_map(&fixture->segments, segment, 1 << 20);
    assert_non_null(segment->map);
    wanted.offset = 500000; /* a fault, if it were read there */
    expect_failure(fixture, segment, &wanted, BITCASK_CORRUPT);
    data_image_release(&image);
}

/* Also if the memory that it is read into has what was cut, from the read before. */
static void a_file_that_was_cut_is_noticed(void **state)
{
    struct segment_fixture *fixture = *state;
    struct bitcask_buffer value = { 0 };
    struct bitcask_segment *segment;
    struct bitcask_record_key wanted;
    struct data_image image;
    uint64_t head_end;

    data_image_init(&image, 7, SALT);
    wanted = segment_fixture_wanted(
        &image,
        data_image_put(&image, "ada", "0123456789012345678901234567890123456789"));
    segment_fixture_begin(fixture, false);
    segment = segment_fixture_add(fixture, &image);
    head_end = wanted.offset + BITCASK_RECORD_HEADER_SIZE + wanted.key.size;
    for (uint64_t size = image.bytes.size; size-- > 0;) {
        data_image_write(&image, fixture->disk); /* into the same file */
        assert_status(bitcask_segment_read(&fixture->segments, segment, &wanted, &value),
                      BITCASK_OK);
        bitcask_buffer_release(&value);
        assert_status(bitcask_segment_read(&fixture->segments, segment, &wanted, NULL),
                      BITCASK_OK);
        test_disk_truncate(fixture->disk, data_name, size);
        if (size < head_end)
            assert_status(
                bitcask_segment_read(&fixture->segments, segment, &wanted, NULL),
                BITCASK_CORRUPT);
        expect_failure(fixture, segment, &wanted, BITCASK_CORRUPT);
    }
    data_image_release(&image);
}

/* Close the file of @segment, so that each read opens it again. */
static void close_file(struct segment_fixture *fixture, struct bitcask_segment *segment)
{
    atomic_store(&fixture->segments.open_count, 1000000);
    bitcask_segment_park(&fixture->segments, segment);
    assert_int_equal(fault_io_open_count(&fixture->disk->fault), 1);
}

static void a_file_that_was_removed_or_replaced_is_noticed(void **state)
{
    struct segment_fixture *fixture = *state;
    struct bitcask_segment *segment;
    struct bitcask_record_key wanted;
    struct data_image image, other;

    data_image_init(&image, 7, SALT);
    data_image_init(&other, 7, SALT + 1);
    wanted = segment_fixture_wanted(&image, data_image_put(&image, "ada", "1815"));
    (void)data_image_put(&other, "ada", "1815");
    segment_fixture_begin(fixture, false);
    segment = segment_fixture_add(fixture, &image);
    close_file(fixture, segment);
    assert_status(bitcask_segment_read(&fixture->segments, segment, &wanted, NULL),
                  BITCASK_OK);

    data_image_write(&other, fixture->disk);
    expect_failure(fixture, segment, &wanted, BITCASK_CORRUPT);
    test_disk_remove(fixture->disk, data_name);
    expect_failure(fixture, segment, &wanted, BITCASK_CORRUPT);
    data_image_write(&image, fixture->disk);
    assert_status(bitcask_segment_read(&fixture->segments, segment, &wanted, NULL),
                  BITCASK_OK);
    data_image_release(&image);
    data_image_release(&other);
}

static void a_read_error_is_no_damage(void **state)
{
    struct segment_fixture *fixture = *state;
    struct bitcask_segment *segment;
    struct bitcask_record_key wanted;
    struct data_image image;
    long n;

    data_image_init(&image, 7, SALT);
    wanted = segment_fixture_wanted(&image, data_image_put(&image, "ada", "1815"));
    segment_fixture_begin(fixture, false);
    segment = segment_fixture_add(fixture, &image);
    close_file(fixture, segment);
    for (n = 0;; n++) {
        struct fault_plan plan = { .calls = FAULT_ANY, .skip = n, .error = EMFILE };
        bool complete;

        fault_io_arm(&fixture->disk->fault, &plan);
        if (n < 2)
            expect_failure(fixture, segment, &wanted, BITCASK_IO);
        else
            assert_status(
                bitcask_segment_read(&fixture->segments, segment, &wanted, NULL),
                BITCASK_OK);
        complete = fault_io_failure_count(&fixture->disk->fault) == 0;
        fault_io_disarm(&fixture->disk->fault);
        assert_int_equal(fault_io_open_count(&fixture->disk->fault), 1);
        if (complete)
            break;
    }
    assert_int_equal(n, 2); /* open, read */
    data_image_release(&image);
}

static void without_memory_the_buffer_stays_as_it_was(void **state)
{
    struct segment_fixture *fixture = *state;
    uint8_t *bytes = test_noise(10000, 1);
    struct image_record record = { .key = { "k", 1 }, .value = { bytes, 10000 } };

    for (int mapped = 0; mapped < 2; mapped++) {
        struct bitcask_buffer value = { 0 };
        struct bitcask_segment *segment;
        struct bitcask_record_key wanted;
        struct data_image image;
        enum bitcask_status status;

        data_image_init(&image, 7, SALT);
        wanted = segment_fixture_wanted(&image, data_image_add(&image, &record));
        segment_fixture_begin(fixture, mapped != 0);
        segment = segment_fixture_add(fixture, &image);
        assert_status(bitcask_buffer_append(&value, "before", 7), BITCASK_OK);
        test_alloc_fail(0);
        status = bitcask_segment_read(&fixture->segments, segment, &wanted, &value);
        assert_int_equal(test_alloc_stop(), 1);
        assert_status(status, BITCASK_NO_MEMORY);
        assert_int_equal(value.size, 7);
        assert_string_equal(value.data, "before");
        bitcask_buffer_release(&value);
        data_image_release(&image);
    }
    free(bytes);
}

/* HINTS. */

static const struct image_record batch[] = {
    { .key = { "in", 2 }, .value = { "batch", 5 } },
    { .key = { "out", 3 }, .deletes = true },
};

/* A data file with records of every kind; where the batch begins. */
static uint64_t hinted_image(struct data_image *image)
{
    const struct image_record expiring = { .key = { "session", 7 },
                                           .value = { "abc", 3 },
                                           .expiry_ms = 1 };
    uint64_t offset;

    data_image_init(image, 7, SALT);
    (void)data_image_put(image, "ada", "1815");
    (void)data_image_delete(image, "ada");
    (void)data_image_add(image, &expiring);
    offset = data_image_add_batch(image, batch, LENGTH_OF(batch));
    (void)data_image_put(image, "last", "value");
    return offset;
}

/* How many entries the hint has, each of the record that it says; 0: no hint. */
static size_t count_entries(struct segment_fixture *fixture,
                            const struct data_image *image, uint64_t data_size)
{
    struct bitcask_buffer window = { 0 };
    struct bitcask_hint_entry entry;
    struct bitcask_hint hint;
    size_t count = 0;
    enum bitcask_status status = bitcask_hint_open(
        &hint, fixture->disk->io, fixture->disk->directory, 7, SALT, &window);

    if (status == BITCASK_OK) {
        assert_int_equal(hint.trailer.data_size, data_size);
        while (bitcask_hint_next(&hint, &entry) == BITCASK_OK) {
            struct bitcask_record_key record =
                segment_fixture_wanted(image, entry.offset);

            count++;
            assert_int_equal(entry.sequence, count);
            assert_int_equal(record.sequence, count);
            assert_int_equal(entry.value_size, record.value_size);
            assert_int_equal((entry.flags & BITCASK_RECORD_EXPIRES) != 0, record.expires);
            assert_int_equal(entry.key.size, record.key.size);
            assert_memory_equal(entry.key.data, record.key.data, entry.key.size);
        }
        bitcask_hint_close(&hint);
    } else {
        assert_status(status, BITCASK_NOT_FOUND);
    }
    bitcask_buffer_release(&window);
    return count;
}

static void a_hint_says_what_the_data_file_has(void **state)
{
    struct segment_fixture *fixture = *state;
    struct bitcask_buffer first = { 0 }, second = { 0 };
    struct bitcask_segment *segment;
    struct data_image image;
    uint64_t batch_offset = hinted_image(&image);

    segment_fixture_begin(fixture, true);
    segment = segment_fixture_add(fixture, &image);
    assert_status(
        bitcask_segment_write_hint(&fixture->segments, segment, image.bytes.size),
        BITCASK_OK);
    assert_int_equal(segment->hint_size, image.bytes.size);
    assert_int_equal(count_entries(fixture, &image, image.bytes.size), 6);
    test_disk_read(fixture->disk, hint_name, &first);

    /* Up to a point, up to nothing, and whole again: the same bytes. */
    assert_status(bitcask_segment_write_hint(&fixture->segments, segment, batch_offset),
                  BITCASK_OK);
    assert_int_equal(segment->hint_size, batch_offset);
    assert_int_equal(count_entries(fixture, &image, batch_offset), 3);
    assert_status(
        bitcask_segment_write_hint(&fixture->segments, segment, BITCASK_FILE_HEADER_SIZE),
        BITCASK_OK);
    assert_int_equal(count_entries(fixture, &image, BITCASK_FILE_HEADER_SIZE), 0);
    assert_status(
        bitcask_segment_write_hint(&fixture->segments, segment, image.bytes.size),
        BITCASK_OK);
    test_disk_read(fixture->disk, hint_name, &second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    bitcask_buffer_release(&first);
    bitcask_buffer_release(&second);
    data_image_release(&image);
}

/* The second time it is as if somebody had put an older hint back. */
static void a_hint_is_continued_if_it_speaks_for_what_it_should(void **state)
{
    struct segment_fixture *fixture = *state;
    struct bitcask_segment *segment;
    struct data_image image;
    uint64_t batch_offset = hinted_image(&image);

    segment_fixture_begin(fixture, true);
    segment = segment_fixture_add(fixture, &image);
    assert_status(bitcask_segment_write_hint(&fixture->segments, segment, batch_offset),
                  BITCASK_OK);
    assert_status(
        bitcask_segment_write_hint(&fixture->segments, segment, image.bytes.size),
        BITCASK_OK);
    assert_int_equal(count_entries(fixture, &image, image.bytes.size), 6);

    assert_status(bitcask_segment_write_hint(&fixture->segments, segment, batch_offset),
                  BITCASK_OK);
    segment->hint_size = image.bytes.size;
    assert_status(
        bitcask_segment_write_hint(&fixture->segments, segment, image.bytes.size),
        BITCASK_OK);
    assert_int_equal(count_entries(fixture, &image, image.bytes.size), 6);
    data_image_release(&image);
}

static void no_hint_is_written_for_damaged_data(void **state)
{
    struct segment_fixture *fixture = *state;
    struct bitcask_segment *segment;
    struct data_image image;

    (void)hinted_image(&image);
    segment_fixture_begin(fixture, true);
    segment = segment_fixture_add(fixture, &image);
    for (uint64_t offset = 0; offset < image.bytes.size; offset++) {
        enum bitcask_status status;

        test_disk_flip(fixture->disk, data_name, offset, 0x20);
        status =
            bitcask_segment_write_hint(&fixture->segments, segment, image.bytes.size);
        test_disk_flip(fixture->disk, data_name, offset, 0x20);
        if (status == BITCASK_OK) {
            /* In a value, of which a hint says nothing. */
            assert_int_equal(count_entries(fixture, &image, image.bytes.size), 6);
            test_disk_remove(fixture->disk, hint_name);
            continue;
        }
        assert_true(status == BITCASK_CORRUPT || status == BITCASK_UNSUPPORTED);
        assert_detail(data_name);
        assert_int_equal(test_disk_count(fixture->disk), 1);
    }
    assert_status(
        bitcask_segment_write_hint(&fixture->segments, segment, image.bytes.size + 1),
        BITCASK_CORRUPT);
    assert_int_equal(test_disk_count(fixture->disk), 1);
    data_image_release(&image);
}

static void a_hint_that_fails_leaves_nothing_behind(void **state)
{
    struct segment_fixture *fixture = *state;
    struct bitcask_segment *segment;
    struct data_image image;

    (void)hinted_image(&image);
    segment_fixture_begin(fixture, true);
    segment = segment_fixture_add(fixture, &image);
    for (int memory = 0; memory < 2; memory++) {
        for (long n = 0;; n++) {
            struct fault_plan plan = { .calls = FAULT_ANY, .skip = n };
            enum bitcask_status status;
            long failures;

            segment->hint_size = 0;
            if (memory != 0)
                test_alloc_fail(n);
            else
                fault_io_arm(&fixture->disk->fault, &plan);
            status =
                bitcask_segment_write_hint(&fixture->segments, segment, image.bytes.size);
            failures = memory != 0 ? test_alloc_stop()
                                   : fault_io_failure_count(&fixture->disk->fault);
            fault_io_disarm(&fixture->disk->fault);
            assert_int_equal(fault_io_open_count(&fixture->disk->fault), 2);
            if (failures == 0) {
                assert_status(status, BITCASK_OK);
                break;
            }
            assert_status(status, memory != 0 ? BITCASK_NO_MEMORY : BITCASK_IO);
            assert_int_equal(segment->hint_size, 0);
            assert_int_equal(test_disk_count(fixture->disk), 1);
        }
        test_disk_remove(fixture->disk, hint_name);
    }
    data_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        segment_test(every_flipped_bit_of_a_record_is_noticed),
        segment_test(only_the_record_that_is_wanted_will_do),
        segment_test(what_was_not_appended_is_not_touched),
        segment_test(a_file_that_was_cut_is_noticed),
        segment_test(a_file_that_was_removed_or_replaced_is_noticed),
        segment_test(a_read_error_is_no_damage),
        segment_test(without_memory_the_buffer_stays_as_it_was),
        segment_test(a_hint_says_what_the_data_file_has),
        segment_test(a_hint_is_continued_if_it_speaks_for_what_it_should),
        segment_test(no_hint_is_written_for_damaged_data),
        segment_test(a_hint_that_fails_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
