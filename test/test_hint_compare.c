/* SPDX-License-Identifier: MIT */
/* Hints compared with their data: what is wrong with either is found. */
#include "test/hint_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/format.h"
#include "bitcask/hint_compare.h"

/* Fill the disk, and read the hint of file 1. */
static void make_hint(struct test_disk *disk, struct bitcask_buffer *hint)
{
    test_disk_skip_syncs(disk);
    hint_test_fill_disk(disk);
    test_disk_read(disk, FIRST_HINT, hint);
}

/* The hint of file 1 is as it was. */
static void expect_hint(const struct test_disk *disk, const struct bitcask_buffer *hint)
{
    struct bitcask_buffer bytes = { 0 };

    test_disk_read(disk, FIRST_HINT, &bytes);
    assert_int_equal(bytes.size, hint->size);
    assert_memory_equal(bytes.data, hint->data, hint->size);
    bitcask_buffer_release(&bytes);
}

/* The hint of file 1 is found not to be what it should be, and made again. */
static void expect_found(struct test_disk *disk, const struct bitcask_buffer *hint,
                         const char *words)
{
    struct hint_reports reports;

    assert_status(hint_test_verify(disk, 0, &reports), BITCASK_CORRUPT);
    assert_detail(FIRST_HINT);
    assert_int_equal(reports.count, 2);
    assert_true(reports.of[0].exists);
    assert_false(reports.of[0].intact);
    if (strstr(reports.details[0], words) == NULL)
        fail_msg("\"%s\" has no \"%s\"", reports.details[0], words);
    assert_status(hint_test_rebuild(disk, 1, &reports), BITCASK_OK);
    expect_hint(disk, hint);
}

static void each_byte_that_is_not_right_is_found(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer hint = { 0 };

    make_hint(disk, &hint);
    for (uint64_t offset = 0; offset < hint.size; offset++) {
        uint64_t trailer_offset = hint.size - BITCASK_HINT_TRAILER_SIZE;
        char words[64] = FIRST_HINT ", offset ";

        test_disk_flip(disk, FIRST_HINT, offset, 1u << (offset % 8));
        /* Where the trailer speaks for less, what is behind that is wrong first. */
        if (offset < trailer_offset + 32 || offset >= trailer_offset + 40)
            (void)snprintf(words, sizeof words, FIRST_HINT ", offset %" PRIu64 ":",
                           offset);
        expect_found(disk, &hint, words);
    }
    bitcask_buffer_release(&hint);
}

static void each_cut_is_found(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer hint = { 0 };

    make_hint(disk, &hint);
    for (uint64_t size = 0; size < hint.size; size++) {
        test_disk_truncate(disk, FIRST_HINT, size);
        expect_found(disk, &hint, FIRST_HINT ", offset ");
    }
    for (uint64_t more = 1; more < 100; more++) {
        test_disk_truncate(disk, FIRST_HINT, hint.size + more);
        expect_found(disk, &hint, FIRST_HINT ", offset ");
    }
    bitcask_buffer_release(&hint);
}

/* Every number that the trailer can have for the size of the data, but the right one. */
static void a_trailer_that_speaks_for_another_size_is_found(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer hint = { 0 };
    struct bitcask_hint_trailer trailer;
    size_t trailer_offset;
    uint64_t right;

    make_hint(disk, &hint);
    trailer_offset = hint.size - BITCASK_HINT_TRAILER_SIZE;
    bitcask_hint_trailer_read((uint8_t *)hint.data + trailer_offset, &trailer);
    right = trailer.data_size;
    /* Something is behind the end of the data, that no hint may speak for. */
    test_disk_truncate(disk, FIRST_DATA, right + 200);
    for (uint64_t size = 0; size < right + 100; size++) {
        uint8_t *bytes = (uint8_t *)hint.data + trailer_offset;
        uint32_t check = bitcask_check(0, hint.data, trailer_offset);
        struct hint_reports reports;

        if (size == right)
            continue;
        trailer.data_size = size;
        bitcask_hint_trailer_encode(&trailer, check, bytes);
        test_disk_write(disk, FIRST_HINT, hint.data, hint.size);
        assert_status(hint_test_verify(disk, 1, &reports), BITCASK_CORRUPT);
        assert_detail(FIRST_HINT ", offset ");
    }
    bitcask_buffer_release(&hint);
}

static void the_hint_of_another_file_is_found(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    const struct test_image_file *hint, *other;
    struct bitcask *cask = test_cask_open(disk, NULL);

    for (unsigned i = 0; i < 3; i++)
        hint_test_fill(cask);
    test_cask_close(cask);
    test_image_take(&image, disk->path);
    hint = test_image_find(&image, FIRST_HINT);
    other = test_image_find(&image, "0000000002.hint");
    assert_true(hint != NULL && other != NULL);
    test_disk_write(disk, FIRST_HINT, other->bytes, other->size);
    {
        struct hint_reports reports;

        assert_status(hint_test_verify(disk, 1, &reports), BITCASK_CORRUPT);
        assert_detail("of another file");
        assert_status(hint_test_rebuild(disk, 1, &reports), BITCASK_OK);
        assert_status(hint_test_verify(disk, 0, &reports), BITCASK_OK);
    }
    test_image_release(&image);
}

static void no_hint_is_written_for_damaged_data(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer hint = { 0 };
    uint64_t size;

    make_hint(disk, &hint);
    size = test_disk_size(disk, FIRST_DATA);
    for (uint64_t offset = 0; offset < size; offset++) {
        struct hint_reports reports;
        enum bitcask_status status;

        test_disk_flip(disk, FIRST_DATA, offset, 1u << (offset % 8));
        status = hint_test_verify(disk, 0, &reports);
        /* A newer version, as far as one can tell. */
        if (offset < 8 || offset >= 16 || status != BITCASK_UNSUPPORTED)
            assert_status(status, BITCASK_CORRUPT);
        assert_detail(FIRST_DATA);
        assert_int_equal(reports.count, 2);
        assert_false(reports.of[0].intact);
        assert_status(hint_test_rebuild(disk, 0, &reports), status);
        assert_detail(FIRST_DATA);
        assert_int_equal(reports.count, 2);
        assert_false(reports.of[0].written);
        assert_true(reports.of[0].exists);
        assert_true(reports.of[1].written);
        test_disk_remove(disk, "0000000002.hint");
        test_disk_flip(disk, FIRST_DATA, offset, 1u << (offset % 8));
    }
    /* The hint that tells what the data no longer does is as it was. */
    expect_hint(disk, &hint);
    bitcask_buffer_release(&hint);
}

/* A record at @offset of the data of file 1 is damaged: the others are compared. */
static void entries_beside_damage_are_compared(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_hint_subject subject = { .segment_id = 1 };
    struct bitcask_hint_comparison whole, result;
    struct bitcask_file_header header;
    struct bitcask_buffer bytes = { 0 };

    hint_test_fill_disk(disk);
    test_disk_read(disk, FIRST_DATA, &bytes);
    assert_status(bitcask_file_header_decode(bytes.data, BITCASK_FILE_DATA, &header),
                  BITCASK_OK);
    subject.salt = header.salt;
    assert_status(bitcask_hint_compare(disk->io, disk->directory, &subject, &whole),
                  BITCASK_OK);
    assert_string_equal(whole.detail, "");
    assert_int_equal(whole.first_sequence, 1);
    assert_int_equal(whole.last_sequence, whole.entry_count);
    assert_int_equal(whole.tombstone_count, 2);

    /* The first of them, one in the middle, and with it a wrong entry behind it. */
    test_disk_flip(disk, FIRST_DATA, BITCASK_FILE_HEADER_SIZE, 1);
    assert_status(bitcask_hint_compare(disk->io, disk->directory, &subject, &result),
                  BITCASK_CORRUPT);
    assert_detail(FIRST_DATA ", offset 64: there is no whole record");
    assert_true(result.data_damaged && !result.differs);
    assert_int_equal(result.data_offset, BITCASK_FILE_HEADER_SIZE);
    assert_int_equal(result.skipped_count, 1);
    assert_int_equal(result.entry_count, whole.entry_count - 1);

    test_disk_flip(disk, FIRST_DATA, whole.data_size - 300, 1);
    subject.check_values = true; /* it is in the value of the one before the last */
    assert_status(bitcask_hint_compare(disk->io, disk->directory, &subject, &result),
                  BITCASK_CORRUPT);
    assert_int_equal(result.skipped_count, 1);
    assert_int_equal(result.entry_count, whole.entry_count - 1);
    test_disk_flip(disk, FIRST_DATA, whole.data_size - 300, 1);

    /* Both are told. */
    test_disk_flip(disk, FIRST_HINT, BITCASK_FILE_HEADER_SIZE + 300, 1);
    assert_status(bitcask_hint_compare(disk->io, disk->directory, &subject, &result),
                  BITCASK_CORRUPT);
    assert_true(result.data_damaged && result.differs);
    assert_detail(FIRST_DATA);
    assert_detail(FIRST_HINT);
    bitcask_buffer_release(&bytes);
}

/* The batch as a whole is not to be believed; what is in front of it and behind it is. */
static void entries_of_a_damaged_batch_are_told(void **state)
{
    struct test_disk *disk = *state;
    struct hint_reports reports;
    struct bitcask_buffer bytes = { 0 };
    const char *found;

    hint_test_fill_disk(disk);
    test_disk_read(disk, FIRST_DATA, &bytes);
    found = memchr(bytes.data, 'a', bytes.size);
    for (const char *end = (const char *)bytes.data + bytes.size; found != NULL;) {
        if (end - found > 7 && memcmp(found, "a value", 7) == 0)
            break;
        found = memchr(found + 1, 'a', (size_t)(end - found - 1));
    }
    assert_non_null(found);
    test_disk_flip(disk, FIRST_DATA, (uint64_t)(found - (const char *)bytes.data), 1);
    assert_status(hint_test_verify(disk, 1, &reports), BITCASK_CORRUPT);
    assert_detail("there is no whole record");
    bitcask_buffer_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(each_byte_that_is_not_right_is_found),
        disk_test(each_cut_is_found),
        disk_test(a_trailer_that_speaks_for_another_size_is_found),
        disk_test(the_hint_of_another_file_is_found),
        disk_test(no_hint_is_written_for_damaged_data),
        disk_test(entries_beside_damage_are_compared),
        disk_test(entries_of_a_damaged_batch_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
