/* SPDX-License-Identifier: MIT */
/* Hints that must not be believed. */
#include "test/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/bytes.h"
#include "hint/hint.h"

#define SALT UINT64_C(0x0123456789abcdef)

static const char name[] = "0000000007.hint";

/*
 * A hint as an enemy would make it: entries and trailer are taken as they are, and all
 * checks are right.
 */
struct crafted {
    struct bitcask_hint_entry entries[4];
    size_t entry_count;
    struct bitcask_hint_trailer trailer;
};

/* Two puts and a tombstone, side by side. */
static struct crafted honest(void)
{
    struct crafted crafted = {
        .entries = {
            { .kind = BITCASK_RECORD_PUT, .value_size = 10, .offset = 64, .sequence = 5,
              .key = { "ada", 3 } },
            { .kind = BITCASK_RECORD_TOMBSTONE, .offset = 105, .sequence = 6,
              .key = { "bob", 3 } },
            { .kind = BITCASK_RECORD_PUT, .flags = BITCASK_RECORD_EXPIRES,
              .value_size = 1, .offset = 136, .sequence = 7, .expiry_ms = 9,
              .key = { "eve", 3 } },
        },
        .entry_count = 3,
        .trailer = { .entry_count = 3, .tombstone_count = 1, .first_sequence = 5,
                     .last_sequence = 7, .data_size = 176 },
    };

    return crafted;
}

static void append(struct bitcask_buffer *bytes, const void *data, size_t size)
{
    assert_status(bitcask_buffer_append(bytes, data, size), BITCASK_OK);
}

static void add_header(struct bitcask_buffer *bytes, uint64_t id, uint64_t salt)
{
    struct bitcask_file_header header = { .segment_id = id, .salt = salt };
    uint8_t head[BITCASK_FILE_HEADER_SIZE];

    bitcask_file_header_encode(&header, BITCASK_FILE_HINT, head);
    append(bytes, head, sizeof head);
}

static void add_trailer(struct bitcask_buffer *bytes,
                        const struct bitcask_hint_trailer *trailer)
{
    uint8_t tail[BITCASK_HINT_TRAILER_SIZE];

    bitcask_hint_trailer_encode(trailer, bitcask_check(0, bytes->data, bytes->size),
                                tail);
    append(bytes, tail, sizeof tail);
}

static void build(const struct crafted *crafted, struct bitcask_buffer *bytes)
{
    bytes->size = 0;
    add_header(bytes, 7, SALT);
    for (size_t i = 0; i < crafted->entry_count; i++) {
        uint8_t entry[32];
        size_t size = bitcask_hint_entry_encode(&crafted->entries[i], entry);

        append(bytes, entry, size);
        append(bytes, crafted->entries[i].key.data, crafted->entries[i].key.size);
    }
    add_trailer(bytes, &crafted->trailer);
}

/* What opening a hint of these bytes says. */
static enum bitcask_status open_bytes(struct test_disk *disk, const void *data,
                                      size_t size)
{
    struct bitcask_buffer window = { 0 };
    struct bitcask_hint hint;
    enum bitcask_status status;

    test_disk_write(disk, name, data, size);
    status = bitcask_hint_open(&hint, disk->io, disk->directory, 7, SALT, &window);
    if (status == BITCASK_OK)
        bitcask_hint_close(&hint);
    bitcask_buffer_release(&window);
    assert_int_equal(fault_io_open_count(&disk->fault), 1);
    return status;
}

static enum bitcask_status open_crafted(struct test_disk *disk,
                                        const struct crafted *crafted)
{
    struct bitcask_buffer bytes = { 0 };
    enum bitcask_status status;

    build(crafted, &bytes);
    status = open_bytes(disk, bytes.data, bytes.size);
    bitcask_buffer_release(&bytes);
    return status;
}

static void no_flipped_bit_goes_unnoticed(void **state)
{
    struct test_disk *disk = *state;
    struct crafted crafted = honest();
    struct bitcask_buffer bytes = { 0 };
    uint8_t *data;

    build(&crafted, &bytes);
    data = bytes.data;
    assert_status(open_bytes(disk, data, bytes.size), BITCASK_OK);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        enum bitcask_status status;

        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        status = open_bytes(disk, data, bytes.size);
        /* A higher version cannot be told from a newer one. */
        if (status != BITCASK_UNSUPPORTED || bit / 8 < 8 || bit / 8 >= 12)
            assert_status(status, BITCASK_CORRUPT);
        assert_detail(name);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    bitcask_buffer_release(&bytes);
}

/* Larger than what is read of a hint at a time. */
static void no_flip_in_a_large_hint_goes_unnoticed(void **state)
{
    enum {
        COUNT = 400,
        KEY_SIZE = 2000
    };
    struct test_disk *disk = *state;
    uint8_t *key = test_noise(KEY_SIZE, 9);
    struct bitcask_hint_trailer trailer = { .entry_count = COUNT,
                                            .first_sequence = 1,
                                            .last_sequence = COUNT };
    struct bitcask_buffer bytes = { 0 };
    uint64_t end = BITCASK_FILE_HEADER_SIZE;

    add_header(&bytes, 7, SALT);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct bitcask_hint_entry entry = { .kind = BITCASK_RECORD_PUT,
                                            .offset = end,
                                            .sequence = i + 1,
                                            .key = { key, KEY_SIZE } };
        uint8_t head[32];

        append(&bytes, head, bitcask_hint_entry_encode(&entry, head));
        append(&bytes, key, KEY_SIZE);
        end += BITCASK_RECORD_HEADER_SIZE + KEY_SIZE;
    }
    trailer.data_size = end;
    add_trailer(&bytes, &trailer);
    assert_status(open_bytes(disk, bytes.data, bytes.size), BITCASK_OK);
    for (size_t i = 100; i < bytes.size; i += 9973) {
        ((uint8_t *)bytes.data)[i] ^= 0x10;
        assert_status(open_bytes(disk, bytes.data, bytes.size), BITCASK_CORRUPT);
        ((uint8_t *)bytes.data)[i] ^= 0x10;
    }
    bitcask_buffer_release(&bytes);
    free(key);
}

static void a_hint_of_any_other_size_is_corrupt(void **state)
{
    struct test_disk *disk = *state;
    struct crafted crafted = honest();
    struct bitcask_buffer bytes = { 0 };
    size_t size;

    build(&crafted, &bytes);
    size = bytes.size;
    for (size_t cut = 0; cut < size; cut++)
        assert_status(open_bytes(disk, bytes.data, cut), BITCASK_CORRUPT);
    for (size_t more = 0; more < 100; more++) {
        append(&bytes, "", 1);
        assert_status(open_bytes(disk, bytes.data, bytes.size), BITCASK_CORRUPT);
    }
    bitcask_buffer_release(&bytes);
}

/* As power loss leaves a hint, which nobody syncs. */
static void a_tail_of_zeros_is_noticed(void **state)
{
    struct test_disk *disk = *state;
    struct crafted crafted = honest();
    struct bitcask_buffer bytes = { 0 };

    build(&crafted, &bytes);
    for (size_t i = bytes.size; i-- > 0;) {
        if (((uint8_t *)bytes.data)[i] == 0)
            continue;
        ((uint8_t *)bytes.data)[i] = 0;
        assert_status(open_bytes(disk, bytes.data, bytes.size), BITCASK_CORRUPT);
    }
    bitcask_buffer_release(&bytes);
}

static void a_hint_for_another_data_file_is_corrupt(void **state)
{
    static const struct {
        uint64_t id, salt;
        enum bitcask_status status;
    } cases[] = {
        { 7, SALT, BITCASK_OK },
        { 8, SALT, BITCASK_CORRUPT },
        { 7, SALT + 1, BITCASK_CORRUPT },
        { 7, 0, BITCASK_CORRUPT },
        { 7, SALT ^ UINT64_C(1) << 63, BITCASK_CORRUPT },
    };
    struct test_disk *disk = *state;
    struct bitcask_hint_trailer trailer = { .data_size = 64 };

    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct bitcask_buffer bytes = { 0 };

        add_header(&bytes, cases[i].id, cases[i].salt);
        add_trailer(&bytes, &trailer);
        assert_status(open_bytes(disk, bytes.data, bytes.size), cases[i].status);
        bitcask_buffer_release(&bytes);
    }
}

static void a_newer_hint_is_unsupported(void **state)
{
    static const size_t offsets[] = { 8, 12 }; /* version, features */
    struct test_disk *disk = *state;
    struct crafted crafted = honest();

    for (size_t i = 0; i < LENGTH_OF(offsets); i++) {
        struct bitcask_buffer bytes = { 0 };
        uint8_t *data;

        build(&crafted, &bytes);
        data = bytes.data;
        bitcask_store32(data + offsets[i], 2);
        bitcask_store32(data + 60, bitcask_check(0, data, 60));
        bytes.size -= BITCASK_HINT_TRAILER_SIZE;
        add_trailer(&bytes, &crafted.trailer);
        assert_status(open_bytes(disk, bytes.data, bytes.size), BITCASK_UNSUPPORTED);
        bitcask_buffer_release(&bytes);
    }
}

static void a_data_file_under_its_name_is_corrupt(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_file_header header = { .segment_id = 7, .salt = SALT };
    uint8_t bytes[200] = { 0 };

    bitcask_file_header_encode(&header, BITCASK_FILE_DATA, bytes);
    assert_status(open_bytes(disk, bytes, sizeof bytes), BITCASK_CORRUPT);
}

/* Everything below carries right checks: only the fields are absurd. */

static void an_honest_craft_is_accepted(void **state)
{
    struct crafted crafted = honest();

    assert_status(open_crafted(*state, &crafted), BITCASK_OK);
}

static void entries_outside_the_data_are_corrupt(void **state)
{
    static const struct {
        const char *why;
        size_t entry;
        uint64_t offset;
    } cases[] = {
        { "in the file header", 0, 63 },
        { "at the very beginning", 0, 0 },
        { "over the end", 2, 137 },
        { "at the end", 2, 176 },
        { "behind the end", 2, 177 },
        { "far behind it", 2, UINT64_C(1) << 40 },
        { "so far that it comes round", 2, UINT64_MAX - 39 },
        { "as far as can be", 2, UINT64_MAX },
    };

    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct crafted crafted = honest();

        crafted.entries[cases[i].entry].offset = cases[i].offset;
        printf("  %s\n", cases[i].why);
        assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);
        assert_detail(name);
    }
}

static void entries_that_overlap_or_go_back_are_corrupt(void **state)
{
    struct crafted crafted = honest();

    crafted.entries[1].offset = 104;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.entries[1].offset = 64;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.entries[0].value_size = 11;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.entries[0] = honest().entries[1];
    crafted.entries[1] = honest().entries[0];
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);
}

static void values_larger_than_the_data_are_corrupt(void **state)
{
    static const uint32_t sizes[] = { 2, 1000, 1u << 30, (1u << 30) + 1, UINT32_MAX };

    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        struct crafted crafted = honest();

        crafted.entries[2].value_size = sizes[i];
        assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);
    }
}

static void a_data_size_too_small_for_the_entries_is_corrupt(void **state)
{
    for (uint64_t size = 0; size < 176; size++) {
        struct crafted crafted = honest();

        crafted.trailer.data_size = size;
        assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);
    }
}

static void wrong_sequences_are_corrupt(void **state)
{
    struct crafted crafted = honest();

    crafted.entries[0].sequence = 4;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.entries[1].sequence = 8;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.entries[1].sequence = UINT64_MAX;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.trailer.first_sequence = 6;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.trailer.last_sequence = 6;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.trailer.first_sequence = 7;
    crafted.trailer.last_sequence = 5;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);
}

/* The trailer says smallest and largest, and recovery believes it. */
static void a_range_wider_than_the_entries_is_corrupt(void **state)
{
    struct crafted crafted = honest();

    crafted.trailer.first_sequence = 4;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.trailer.last_sequence = 8;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);
}

static void wrong_counts_are_corrupt(void **state)
{
    static const uint64_t entry_counts[] = { 0, 2, 4, UINT64_MAX };
    static const uint64_t tombstone_counts[] = { 0, 2, 3, UINT64_MAX };

    for (size_t i = 0; i < LENGTH_OF(entry_counts); i++) {
        struct crafted crafted = honest();

        crafted.trailer.entry_count = entry_counts[i];
        assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);
    }
    for (size_t i = 0; i < LENGTH_OF(tombstone_counts); i++) {
        struct crafted crafted = honest();

        crafted.trailer.tombstone_count = tombstone_counts[i];
        assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);
    }
}

static void entries_of_kinds_that_have_none_are_corrupt(void **state)
{
    struct crafted crafted = honest();

    crafted.entries[0].kind = BITCASK_RECORD_BATCH;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.entries[0].kind = 0;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);

    crafted = honest();
    crafted.entries[1].value_size = 1;
    assert_status(open_crafted(*state, &crafted), BITCASK_CORRUPT);
}

static void bytes_between_entries_and_trailer_are_corrupt(void **state)
{
    struct crafted crafted = honest();
    struct bitcask_buffer bytes = { 0 };

    for (size_t size = 1; size < 60; size++) {
        static const uint8_t zeros[60];

        build(&crafted, &bytes);
        bytes.size -= BITCASK_HINT_TRAILER_SIZE;
        append(&bytes, zeros, size);
        add_trailer(&bytes, &crafted.trailer);
        assert_status(open_bytes(*state, bytes.data, bytes.size), BITCASK_CORRUPT);
    }
    bitcask_buffer_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(no_flipped_bit_goes_unnoticed),
        disk_test(no_flip_in_a_large_hint_goes_unnoticed),
        disk_test(a_hint_of_any_other_size_is_corrupt),
        disk_test(a_tail_of_zeros_is_noticed),
        disk_test(a_hint_for_another_data_file_is_corrupt),
        disk_test(a_newer_hint_is_unsupported),
        disk_test(a_data_file_under_its_name_is_corrupt),
        disk_test(an_honest_craft_is_accepted),
        disk_test(entries_outside_the_data_are_corrupt),
        disk_test(entries_that_overlap_or_go_back_are_corrupt),
        disk_test(values_larger_than_the_data_are_corrupt),
        disk_test(a_data_size_too_small_for_the_entries_is_corrupt),
        disk_test(wrong_sequences_are_corrupt),
        disk_test(a_range_wider_than_the_entries_is_corrupt),
        disk_test(wrong_counts_are_corrupt),
        disk_test(entries_of_kinds_that_have_none_are_corrupt),
        disk_test(bytes_between_entries_and_trailer_are_corrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
