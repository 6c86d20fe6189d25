/* SPDX-License-Identifier: MIT */
/* File headers and hints; test_format.c has records. */
#include "test/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/bytes.h"
#include "bitcask/format.h"

/* The golden bytes were made by another program, in another language. */
#define SALT UINT64_C(0x0123456789abcdef)
#define EXPIRY_MS UINT64_C(1700000000000)

static const uint8_t golden_data_header[] = {
    0x42, 0x49, 0x54, 0x43, 0x41, 0x53, 0x4b, 0x44,             /* magic */
    0x01, 0x00, 0x00, 0x00,                                     /* version */
    0x00, 0x00, 0x00, 0x00,                                     /* features */
    0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,             /* segment id */
    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,             /* salt */
    0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00,             /* created */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* zero */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* zero */
    0x0f, 0xf0, 0x65, 0xf4,                                     /* check */
};

static const uint8_t golden_hint_header[] = {
    0x42, 0x49, 0x54, 0x43, 0x41, 0x53, 0x4b, 0x48,             /* magic */
    0x01, 0x00, 0x00, 0x00,                                     /* version */
    0x00, 0x00, 0x00, 0x00,                                     /* features */
    0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,             /* segment id */
    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,             /* salt */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,             /* created */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* zero */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* zero */
    0x54, 0xf2, 0x5f, 0x34,                                     /* check */
};

static const uint8_t golden_hint_tombstone[] = {
    0x02,                                           /* kind */
    0x00,                                           /* flags */
    0x03, 0x00,                                     /* key size */
    0x00, 0x00, 0x00, 0x00,                         /* value size */
    0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0x00, 0x00, /* offset */
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* sequence */
    0x61, 0x64, 0x61,                               /* "ada" */
};

static const uint8_t golden_hint_expiring_put[] = {
    0x01,                                           /* kind */
    0x01,                                           /* flags */
    0x03, 0x00,                                     /* key size */
    0x04, 0x00, 0x00, 0x00,                         /* value size */
    0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* offset */
    0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* sequence */
    0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, /* expiry */
    0x61, 0x64, 0x61,                               /* "ada" */
};

static const uint8_t golden_hint_trailer[] = {
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* entry count */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* tombstone count */
    0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* first sequence */
    0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* last sequence */
    0x6b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* data size */
    0x00, 0x00, 0x00, 0x00,                         /* zero */
    0xca, 0x8a, 0xd9, 0x32, /* check of a header, golden_hint_expiring_put, and this */
};

static const struct {
    enum bitcask_file_kind kind;
    const uint8_t *bytes;
    uint64_t created_ms;
} golden_headers[] = {
    { BITCASK_FILE_DATA, golden_data_header, EXPIRY_MS },
    { BITCASK_FILE_HINT, golden_hint_header, 0 },
};

static void file_headers_encode_to_the_golden_bytes_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_OF(golden_headers); i++) {
        struct bitcask_file_header header = {
            .segment_id = 7,
            .salt = SALT,
            .created_ms = golden_headers[i].created_ms,
        };
        struct bitcask_file_header decoded;
        uint8_t bytes[BITCASK_FILE_HEADER_SIZE];

        bitcask_file_header_encode(&header, golden_headers[i].kind, bytes);
        assert_memory_equal(bytes, golden_headers[i].bytes, sizeof bytes);
        assert_int_equal(
            bitcask_file_header_decode(bytes, golden_headers[i].kind, &decoded),
            BITCASK_OK);
        assert_int_equal(decoded.segment_id, header.segment_id);
        assert_int_equal(decoded.salt, header.salt);
        assert_int_equal(decoded.created_ms, header.created_ms);
    }
}

static void no_flipped_bit_in_a_file_header_goes_unnoticed(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 8 * sizeof golden_data_header; bit++) {
        struct bitcask_file_header header;
        uint8_t bytes[BITCASK_FILE_HEADER_SIZE];
        enum bitcask_status status;

        memcpy(bytes, golden_data_header, sizeof bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        status = bitcask_file_header_decode(bytes, BITCASK_FILE_DATA, &header);
        assert_int_equal(status, BITCASK_CORRUPT);
    }
}

/* Store @value at @offset, and the check that goes with it. */
static void set_header_field(uint8_t bytes[BITCASK_FILE_HEADER_SIZE], size_t offset,
                             uint32_t value)
{
    memcpy(bytes, golden_data_header, BITCASK_FILE_HEADER_SIZE);
    bitcask_store32(bytes + offset, value);
    bitcask_store32(bytes + 60, bitcask_check(0, bytes, 60));
}

static void file_headers_of_other_programs_are_told_apart(void **state)
{
    static const struct {
        const char *why;
        size_t offset;
        uint32_t value;
        enum bitcask_status status;
    } cases[] = {
        { "as it is", 8, 1, BITCASK_OK },
        { "another magic", 0, 0x50504950, BITCASK_CORRUPT },
        { "a hint", 4, 0x484b5341, BITCASK_CORRUPT },
        { "version 0", 8, 0, BITCASK_CORRUPT },
        { "version 2", 8, 2, BITCASK_UNSUPPORTED },
        { "the highest version", 8, UINT32_MAX, BITCASK_UNSUPPORTED },
        { "a feature", 12, 1, BITCASK_UNSUPPORTED },
        { "another feature", 12, 0x80000000, BITCASK_UNSUPPORTED },
        { "something where zeros belong", 40, 1, BITCASK_CORRUPT },
        { "something at the end of them", 56, 0x80000000, BITCASK_CORRUPT },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct bitcask_file_header header;
        uint8_t bytes[BITCASK_FILE_HEADER_SIZE];

        printf("  %s\n", cases[i].why);
        set_header_field(bytes, cases[i].offset, cases[i].value);
        assert_int_equal(bitcask_file_header_decode(bytes, BITCASK_FILE_DATA, &header),
                         cases[i].status);
    }
}

static void a_hint_that_says_when_it_was_created_is_corrupt(void **state)
{
    struct bitcask_file_header header = { .segment_id = 7, .salt = SALT };
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];

    (void)state;
    header.created_ms = 1; /* of the same data file there would be two hints */
    bitcask_file_header_encode(&header, BITCASK_FILE_HINT, bytes);
    assert_int_equal(bitcask_file_header_decode(bytes, BITCASK_FILE_HINT, &header),
                     BITCASK_CORRUPT);
}

static const struct {
    const uint8_t *bytes;
    size_t size;
    struct bitcask_hint_entry entry;
} golden_entries[] = {
    { golden_hint_tombstone,
      sizeof golden_hint_tombstone,
      { .kind = BITCASK_RECORD_TOMBSTONE,
        .offset = UINT64_C(0x1122334455),
        .sequence = UINT64_C(0x0102030405060708),
        .key = { "ada", 3 } } },
    { golden_hint_expiring_put,
      sizeof golden_hint_expiring_put,
      { .kind = BITCASK_RECORD_PUT,
        .flags = BITCASK_RECORD_EXPIRES,
        .value_size = 4,
        .offset = 64,
        .sequence = 7,
        .expiry_ms = EXPIRY_MS,
        .key = { "ada", 3 } } },
};

static void entries_encode_to_the_golden_bytes_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_OF(golden_entries); i++) {
        const struct bitcask_hint_entry *entry = &golden_entries[i].entry;
        struct bitcask_hint_entry decoded;
        uint8_t bytes[BITCASK_HINT_ENTRY_SIZE + 8];
        size_t size = golden_entries[i].size;

        assert_int_equal(bitcask_hint_entry_size(entry), size);
        assert_int_equal(bitcask_hint_entry_encode(entry, bytes), size - 3);
        assert_memory_equal(bytes, golden_entries[i].bytes, size - 3);

        assert_int_equal(
            bitcask_hint_entry_decode(golden_entries[i].bytes, size, &decoded),
            BITCASK_OK);
        assert_int_equal(decoded.kind, entry->kind);
        assert_int_equal(decoded.flags, entry->flags);
        assert_int_equal(decoded.value_size, entry->value_size);
        assert_int_equal(decoded.offset, entry->offset);
        assert_int_equal(decoded.sequence, entry->sequence);
        assert_int_equal(decoded.expiry_ms, entry->expiry_ms);
        assert_int_equal(decoded.key.size, 3);
        assert_ptr_equal(decoded.key.data, golden_entries[i].bytes + size - 3);
    }
}

static void an_entry_that_is_cut_off_is_corrupt(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_OF(golden_entries); i++) {
        for (size_t size = 0; size < golden_entries[i].size; size++) {
            struct bitcask_hint_entry entry;
            uint8_t *bytes = malloc(size + 1);

            assert_non_null(bytes);
            memcpy(bytes, golden_entries[i].bytes, size);
            assert_int_equal(bitcask_hint_entry_decode(bytes, size, &entry),
                             BITCASK_CORRUPT);
            free(bytes);
        }
    }
}

static void entries_out_of_bounds_are_corrupt(void **state)
{
    static const struct {
        const char *why;
        uint8_t kind, flags;
        uint16_t key_size;
        uint32_t value_size;
        enum bitcask_status status;
    } cases[] = {
        { "a put", 1, 0, 1, 0, BITCASK_OK },
        { "the largest value", 1, 0, 1, 1u << 30, BITCASK_OK },
        { "a tombstone", 2, 0, 1, 0, BITCASK_OK },
        { "no kind", 0, 0, 1, 0, BITCASK_CORRUPT },
        { "a batch, whose parts have the entries", 3, 0, 1, 60, BITCASK_CORRUPT },
        { "a batch as in a data file", 3, 0, 0, 60, BITCASK_CORRUPT },
        { "a kind from the future", 4, 0, 1, 0, BITCASK_CORRUPT },
        { "a flag from the future", 1, 2, 1, 0, BITCASK_CORRUPT },
        { "a tombstone that expires", 2, 1, 1, 0, BITCASK_CORRUPT },
        { "an empty key", 1, 0, 0, 0, BITCASK_CORRUPT },
        { "a key that goes on behind the end", 1, 0, 9, 0, BITCASK_CORRUPT },
        { "a value above the limit", 1, 0, 1, (1u << 30) + 1, BITCASK_CORRUPT },
        { "a tombstone with a value", 2, 0, 1, 1, BITCASK_CORRUPT },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct bitcask_hint_entry entry;
        uint8_t bytes[BITCASK_HINT_ENTRY_SIZE + 8] = { 0 };

        bytes[0] = cases[i].kind;
        bytes[1] = cases[i].flags;
        bitcask_store16(bytes + 2, cases[i].key_size);
        bitcask_store32(bytes + 4, cases[i].value_size);
        bitcask_store64(bytes + 8, 64);
        bitcask_store64(bytes + 16, 1);
        printf("  %s\n", cases[i].why);
        assert_int_equal(bitcask_hint_entry_decode(bytes, sizeof bytes, &entry),
                         cases[i].status);
    }
}

static void entries_without_a_sequence_are_corrupt(void **state)
{
    struct bitcask_hint_entry entry;
    uint8_t bytes[sizeof golden_hint_tombstone];

    (void)state;
    memcpy(bytes, golden_hint_tombstone, sizeof bytes);
    bitcask_store64(bytes + 16, 0);
    assert_int_equal(bitcask_hint_entry_decode(bytes, sizeof bytes, &entry),
                     BITCASK_CORRUPT);
}

static const struct bitcask_hint_trailer golden_trailer = {
    .entry_count = 1,
    .first_sequence = 7,
    .last_sequence = 7,
    .data_size = 107,
};

/* The check of the file before the golden trailer. */
static uint32_t check_before_trailer(void)
{
    struct bitcask_file_header header = { .segment_id = 7, .salt = SALT };
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];

    bitcask_file_header_encode(&header, BITCASK_FILE_HINT, bytes);
    return bitcask_check(bitcask_check(0, bytes, sizeof bytes), golden_hint_expiring_put,
                         sizeof golden_hint_expiring_put);
}

static void trailers_encode_to_the_golden_bytes_and_back(void **state)
{
    struct bitcask_hint_trailer trailer;
    uint8_t bytes[BITCASK_HINT_TRAILER_SIZE];

    (void)state;
    bitcask_hint_trailer_encode(&golden_trailer, check_before_trailer(), bytes);
    assert_memory_equal(bytes, golden_hint_trailer, sizeof bytes);
    assert_int_equal(bitcask_hint_trailer_decode(bytes, check_before_trailer(), &trailer),
                     BITCASK_OK);
    assert_int_equal(trailer.entry_count, 1);
    assert_int_equal(trailer.tombstone_count, 0);
    assert_int_equal(trailer.first_sequence, 7);
    assert_int_equal(trailer.last_sequence, 7);
    assert_int_equal(trailer.data_size, 107);
}

static void a_trailer_with_something_where_zeros_belong_is_corrupt(void **state)
{
    struct bitcask_hint_trailer trailer;
    uint8_t bytes[BITCASK_HINT_TRAILER_SIZE];

    (void)state;
    memcpy(bytes, golden_hint_trailer, sizeof bytes);
    bytes[40] = 1;
    bitcask_store32(bytes + 44, bitcask_check(check_before_trailer(), bytes, 44));
    assert_int_equal(bitcask_hint_trailer_decode(bytes, check_before_trailer(), &trailer),
                     BITCASK_CORRUPT);
}

static void no_flipped_bit_in_a_trailer_or_before_it_goes_unnoticed(void **state)
{
    struct bitcask_hint_trailer trailer;
    uint8_t bytes[BITCASK_HINT_TRAILER_SIZE];

    (void)state;
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        memcpy(bytes, golden_hint_trailer, sizeof bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(
            bitcask_hint_trailer_decode(bytes, check_before_trailer(), &trailer),
            BITCASK_CORRUPT);
    }
    for (unsigned bit = 0; bit < 32; bit++) {
        assert_int_equal(bitcask_hint_trailer_decode(golden_hint_trailer,
                                                     check_before_trailer() ^ 1u << bit,
                                                     &trailer),
                         BITCASK_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_headers_encode_to_the_golden_bytes_and_back),
        cmocka_unit_test(no_flipped_bit_in_a_file_header_goes_unnoticed),
        cmocka_unit_test(file_headers_of_other_programs_are_told_apart),
        cmocka_unit_test(entries_encode_to_the_golden_bytes_and_back),
        cmocka_unit_test(an_entry_that_is_cut_off_is_corrupt),
        cmocka_unit_test(entries_out_of_bounds_are_corrupt),
        cmocka_unit_test(a_hint_that_says_when_it_was_created_is_corrupt),
        cmocka_unit_test(entries_without_a_sequence_are_corrupt),
        cmocka_unit_test(a_trailer_with_something_where_zeros_belong_is_corrupt),
        cmocka_unit_test(trailers_encode_to_the_golden_bytes_and_back),
        cmocka_unit_test(no_flipped_bit_in_a_trailer_or_before_it_goes_unnoticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
