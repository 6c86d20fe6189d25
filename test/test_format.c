/* SPDX-License-Identifier: MIT */
/* Records; test_format_file.c has file headers and hints. */
#include "test/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/bytes.h"
#include "bitcask/format.h"

/* The golden bytes were made by another program, in another language. */
#define SALT UINT64_C(0x0123456789abcdef)
#define EXPIRY_MS UINT64_C(1700000000000)
#define FAR_OFFSET UINT64_C(0x1122334455)

static const uint8_t golden_put[] = {
    0x45, 0x56, 0xef, 0x99,                         /* key check */
    0x02, 0x00, 0x00, 0x00,                         /* unsynced count */
    0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* sequence */
    0x61, 0x37, 0x45, 0xd3,                         /* value check */
    0x01,                                           /* kind */
    0x00,                                           /* flags */
    0x03, 0x00,                                     /* key size */
    0x04, 0x00, 0x00, 0x00,                         /* value size */
    0x61, 0x64, 0x61,                               /* "ada" */
    0x31, 0x38, 0x31, 0x35,                         /* "1815" */
};

static const uint8_t golden_expiring_put[] = {
    0xb8, 0x8c, 0x44, 0x20,                         /* key check */
    0x02, 0x00, 0x00, 0x00,                         /* unsynced count */
    0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* sequence */
    0x61, 0x37, 0x45, 0xd3,                         /* value check */
    0x01,                                           /* kind */
    0x01,                                           /* flags */
    0x03, 0x00,                                     /* key size */
    0x04, 0x00, 0x00, 0x00,                         /* value size */
    0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, /* expiry */
    0x61, 0x64, 0x61,                               /* "ada" */
    0x31, 0x38, 0x31, 0x35,                         /* "1815" */
};

static const uint8_t golden_tombstone[] = {
    0x73, 0xfe, 0x9d, 0x38,                         /* key check */
    0xff, 0xff, 0xff, 0xff,                         /* unsynced count */
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* sequence */
    0x00, 0x00, 0x00, 0x00,                         /* value check */
    0x02,                                           /* kind */
    0x00,                                           /* flags */
    0x03, 0x00,                                     /* key size */
    0x00, 0x00, 0x00, 0x00,                         /* value size */
    0x61, 0x64, 0x61,                               /* "ada" */
};

static const uint8_t golden_batch[] = {
    0x4c, 0xd0, 0x70, 0x2d,                         /* key check */
    0x03, 0x00, 0x00, 0x00,                         /* unsynced count */
    0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* sequence of the first part */
    0x30, 0x30, 0x07, 0x2e,                         /* value check */
    0x03,                                           /* kind */
    0x00,                                           /* flags */
    0x00, 0x00,                                     /* key size */
    0x3b, 0x00, 0x00, 0x00,                         /* value size */
    0x1d, 0x25, 0x89, 0x64,                         /* PART: key check */
    0x03, 0x00, 0x00, 0x00,                         /* unsynced count */
    0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* sequence */
    0xb7, 0xef, 0xdc, 0x83,                         /* value check */
    0x01,                                           /* kind */
    0x00,                                           /* flags */
    0x01, 0x00,                                     /* key size */
    0x01, 0x00, 0x00, 0x00,                         /* value size */
    0x61,                                           /* "a" */
    0x31,                                           /* "1" */
    0x45, 0x47, 0x9d, 0xd0,                         /* PART: key check */
    0x04, 0x00, 0x00, 0x00,                         /* unsynced count */
    0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* sequence */
    0x00, 0x00, 0x00, 0x00,                         /* value check */
    0x02,                                           /* kind */
    0x00,                                           /* flags */
    0x01, 0x00,                                     /* key size */
    0x00, 0x00, 0x00, 0x00,                         /* value size */
    0x62,                                           /* "b" */
};

static const struct golden_record {
    const char *name;
    const uint8_t *bytes;
    size_t size;
    uint64_t offset;
    struct bitcask_record record;
    const char *key;
    const char *value; /* a batch: none, its parts are looked at apart */
} golden_records[] = {
    { "put",
      golden_put,
      sizeof golden_put,
      64,
      { .kind = BITCASK_RECORD_PUT,
        .key_size = 3,
        .value_size = 4,
        .value_check = 0xd3453761,
        .unsynced_count = 2,
        .sequence = 7 },
      "ada",
      "1815" },
    { "expiring put",
      golden_expiring_put,
      sizeof golden_expiring_put,
      64,
      { .kind = BITCASK_RECORD_PUT,
        .flags = BITCASK_RECORD_EXPIRES,
        .key_size = 3,
        .value_size = 4,
        .value_check = 0xd3453761,
        .unsynced_count = 2,
        .sequence = 7,
        .expiry_ms = EXPIRY_MS },
      "ada",
      "1815" },
    { "tombstone",
      golden_tombstone,
      sizeof golden_tombstone,
      FAR_OFFSET,
      { .kind = BITCASK_RECORD_TOMBSTONE,
        .key_size = 3,
        .unsynced_count = UINT32_MAX,
        .sequence = UINT64_C(0x0102030405060708) },
      "ada",
      "" },
    { "batch",
      golden_batch,
      sizeof golden_batch,
      64,
      { .kind = BITCASK_RECORD_BATCH,
        .value_size = 59,
        .value_check = 0x2e073030,
        .unsynced_count = 3,
        .sequence = 9 },
      "",
      NULL },
    { "put in a batch",
      golden_batch + 28,
      30,
      64 + 28,
      { .kind = BITCASK_RECORD_PUT,
        .key_size = 1,
        .value_size = 1,
        .value_check = 0x83dcefb7,
        .unsynced_count = 3,
        .sequence = 9 },
      "a",
      "1" },
    { "tombstone in a batch",
      golden_batch + 58,
      29,
      64 + 58,
      { .kind = BITCASK_RECORD_TOMBSTONE,
        .key_size = 1,
        .unsynced_count = 4,
        .sequence = 10 },
      "b",
      "" },
};

static void assert_records_equal(const struct bitcask_record *left,
                                 const struct bitcask_record *right)
{
    assert_int_equal(left->kind, right->kind);
    assert_int_equal(left->flags, right->flags);
    assert_int_equal(left->key_size, right->key_size);
    assert_int_equal(left->value_size, right->value_size);
    assert_int_equal(left->value_check, right->value_check);
    assert_int_equal(left->unsynced_count, right->unsynced_count);
    assert_int_equal(left->sequence, right->sequence);
    assert_int_equal(left->expiry_ms, right->expiry_ms);
}

static void records_encode_to_the_golden_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_OF(golden_records); i++) {
        const struct golden_record *golden = &golden_records[i];
        struct bitcask_record record = golden->record;
        uint8_t bytes[BITCASK_RECORD_PREFIX_MAX];
        size_t prefix_size = bitcask_record_prefix_size(&record);
        size_t value_offset = prefix_size + record.key_size;
        uint32_t check;

        printf("  %s\n", golden->name);
        assert_int_equal(bitcask_value_check(golden->bytes + value_offset,
                                             golden->size - value_offset),
                         record.value_check);
        assert_int_equal(bitcask_record_size(&record), golden->size);

        /* begin may not look at what is only known at the end */
        record.sequence = 99;
        record.unsynced_count = 99;
        check = bitcask_record_begin(&record, golden->key, bytes);
        bitcask_record_finish(bytes, check, golden->record.sequence,
                              golden->record.unsynced_count, SALT, golden->offset);
        assert_memory_equal(bytes, golden->bytes, prefix_size);
        assert_memory_equal(golden->bytes + prefix_size, golden->key, record.key_size);
    }
}

static void golden_bytes_decode_to_their_records(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_OF(golden_records); i++) {
        const struct golden_record *golden = &golden_records[i];
        struct bitcask_record record;

        printf("  %s\n", golden->name);
        assert_int_equal(bitcask_record_decode(golden->bytes, golden->size, &record),
                         BITCASK_OK);
        assert_records_equal(&record, &golden->record);
        assert_true(
            bitcask_record_key_intact(golden->bytes, &record, SALT, golden->offset));
    }
}

/* As every reader does: bounds, then room, then the check. */
static bool is_accepted(const uint8_t *bytes, size_t size, uint64_t salt, uint64_t offset)
{
    struct bitcask_record record;

    return bitcask_record_decode(bytes, size, &record) == BITCASK_OK &&
           bitcask_record_size(&record) <= size &&
           bitcask_record_key_intact(bytes, &record, salt, offset);
}

static void no_flipped_bit_in_header_or_key_goes_unnoticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_OF(golden_records); i++) {
        const struct golden_record *golden = &golden_records[i];
        size_t head_size =
            bitcask_record_prefix_size(&golden->record) + golden->record.key_size;

        printf("  %s\n", golden->name);
        for (size_t bit = 0; bit < 8 * head_size; bit++) {
            /* On the heap, so that a sanitizer sees who reads too far. */
            uint8_t *bytes = malloc(golden->size);

            assert_non_null(bytes);
            memcpy(bytes, golden->bytes, golden->size);
            assert_true(is_accepted(bytes, golden->size, SALT, golden->offset));
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(is_accepted(bytes, golden->size, SALT, golden->offset));
            free(bytes);
        }
    }
}

static void no_flipped_bit_in_a_value_goes_unnoticed(void **state)
{
    uint8_t value[37];

    (void)state;
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(3 * i);
    for (size_t bit = 0; bit < 8 * sizeof value; bit++) {
        uint32_t before = bitcask_value_check(value, sizeof value);

        value[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(bitcask_value_check(value, sizeof value), before);
        value[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void a_record_is_worth_nothing_in_another_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_OF(golden_records); i++) {
        const struct golden_record *golden = &golden_records[i];

        printf("  %s\n", golden->name);
        for (unsigned bit = 0; bit < 64; bit++) {
            uint64_t flip = UINT64_C(1) << bit;

            assert_false(
                is_accepted(golden->bytes, golden->size, SALT ^ flip, golden->offset));
            assert_false(
                is_accepted(golden->bytes, golden->size, SALT, golden->offset ^ flip));
        }
        assert_false(is_accepted(golden->bytes, golden->size, golden->offset, SALT));
    }
}

static void fields_out_of_bounds_are_corrupt(void **state)
{
    static const struct {
        const char *why;
        uint8_t kind, flags;
        uint16_t key_size;
        uint32_t value_size;
        uint64_t sequence;
        enum bitcask_status status;
    } cases[] = {
        { "a put", 1, 0, 1, 0, 1, BITCASK_OK },
        { "the largest put", 1, 0, 65535, 1u << 30, UINT64_MAX, BITCASK_OK },
        { "an expiring put", 1, 1, 1, 1, 1, BITCASK_OK },
        { "the longest tombstone", 2, 0, 65535, 0, 1, BITCASK_OK },
        { "the smallest batch", 3, 0, 0, 29, 1, BITCASK_OK },
        { "the largest batch", 3, 0, 0, UINT32_MAX, 1, BITCASK_OK },
        { "a hole of zeros", 0, 0, 0, 0, 0, BITCASK_CORRUPT },
        { "no kind", 0, 0, 1, 1, 1, BITCASK_CORRUPT },
        { "a kind from the future", 4, 0, 1, 1, 1, BITCASK_CORRUPT },
        { "the highest kind", 255, 0, 1, 1, 1, BITCASK_CORRUPT },
        { "a flag from the future", 1, 2, 1, 1, 1, BITCASK_CORRUPT },
        { "all flags", 1, 255, 1, 1, 1, BITCASK_CORRUPT },
        { "a tombstone that expires", 2, 1, 1, 0, 1, BITCASK_CORRUPT },
        { "a batch that expires", 3, 1, 0, 60, 1, BITCASK_CORRUPT },
        { "a put of an empty key", 1, 0, 0, 1, 1, BITCASK_CORRUPT },
        { "a tombstone of an empty key", 2, 0, 0, 0, 1, BITCASK_CORRUPT },
        { "a value above the limit", 1, 0, 1, (1u << 30) + 1, 1, BITCASK_CORRUPT },
        { "a tombstone with a value", 2, 0, 1, 1, 1, BITCASK_CORRUPT },
        { "a batch with a key", 3, 0, 1, 60, 1, BITCASK_CORRUPT },
        { "a batch with no part", 3, 0, 0, 0, 1, BITCASK_CORRUPT },
        { "a batch too small for a part", 3, 0, 0, 28, 1, BITCASK_CORRUPT },
        { "sequence 0", 1, 0, 1, 1, 0, BITCASK_CORRUPT },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        uint8_t bytes[BITCASK_RECORD_PREFIX_MAX] = { 0 };
        struct bitcask_record record;

        bytes[20] = cases[i].kind;
        bytes[21] = cases[i].flags;
        bitcask_store16(bytes + 22, cases[i].key_size);
        bitcask_store32(bytes + 24, cases[i].value_size);
        bitcask_store64(bytes + 8, cases[i].sequence);
        printf("  %s\n", cases[i].why);
        assert_int_equal(bitcask_record_decode(bytes, sizeof bytes, &record),
                         cases[i].status);
    }
}

static void a_prefix_that_is_cut_off_is_corrupt(void **state)
{
    struct bitcask_record record;

    (void)state;
    for (size_t size = 0; size < BITCASK_RECORD_PREFIX_MAX; size++) {
        uint8_t *bytes = malloc(size + 1);

        assert_non_null(bytes);
        memcpy(bytes, golden_put, size < sizeof golden_put ? size : sizeof golden_put);
        assert_int_equal(bitcask_record_decode(bytes, size, &record),
                         size < BITCASK_RECORD_HEADER_SIZE ? BITCASK_CORRUPT
                                                           : BITCASK_OK);
        memcpy(bytes, golden_expiring_put, size);
        assert_int_equal(bitcask_record_decode(bytes, size, &record), BITCASK_CORRUPT);
        free(bytes);
    }
    assert_int_equal(
        bitcask_record_decode(golden_expiring_put, BITCASK_RECORD_PREFIX_MAX, &record),
        BITCASK_OK);
}

static void a_record_expires_at_its_expiry_and_not_before(void **state)
{
    struct bitcask_record record = { .flags = BITCASK_RECORD_EXPIRES,
                                     .expiry_ms = EXPIRY_MS };

    (void)state;
    assert_false(bitcask_record_expired(&record, 0));
    assert_false(bitcask_record_expired(&record, EXPIRY_MS - 1));
    assert_true(bitcask_record_expired(&record, EXPIRY_MS));
    assert_true(bitcask_record_expired(&record, UINT64_MAX));
    record.flags = 0;
    assert_false(bitcask_record_expired(&record, UINT64_MAX));
}

static void checks_can_be_continued(void **state)
{
    (void)state;
    /* The check value that every list of CRCs gives for this one. */
    assert_int_equal(bitcask_check(0, "123456789", 9), 0xcbf43926);
    for (size_t cut = 0; cut <= 9; cut++) {
        const char *digits = "123456789";
        uint32_t check = bitcask_check(0, digits, cut);

        assert_int_equal(bitcask_check(check, digits + cut, 9 - cut), 0xcbf43926);
    }
    assert_int_equal(bitcask_check(0, NULL, 0), 0);
    assert_int_equal(bitcask_check(12345, NULL, 0), 12345);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_encode_to_the_golden_bytes),
        cmocka_unit_test(golden_bytes_decode_to_their_records),
        cmocka_unit_test(no_flipped_bit_in_header_or_key_goes_unnoticed),
        cmocka_unit_test(no_flipped_bit_in_a_value_goes_unnoticed),
        cmocka_unit_test(a_record_is_worth_nothing_in_another_place),
        cmocka_unit_test(fields_out_of_bounds_are_corrupt),
        cmocka_unit_test(a_prefix_that_is_cut_off_is_corrupt),
        cmocka_unit_test(a_record_expires_at_its_expiry_and_not_before),
        cmocka_unit_test(checks_can_be_continued),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
