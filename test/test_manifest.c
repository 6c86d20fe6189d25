/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/format.h"
#include "bitcask/manifest.h"
#include "test/test_alloc.h"

/* Made by another program: the check is that of zlib. */
static const char golden[] =
    "bitcask manifest 1\n"
    "features 0\n"
    "next 6\n"
    "sequence 465210\n"
    "keys 100000\n"
    "sealed 1 salt 0123456789abcdef size 67108800 sequences 1 465210\n"
    "sealed 2 salt 0000000000000000 size 64 sequences 0 0\n"
    "open 4 salt 00112233445566aa size 12345 last 465999\n"
    "prepared 5 salt aabbccddeeff0011\n"
    "check 39444cc5\n";

static const struct bitcask_manifest_segment golden_segments[] = {
    { .state = BITCASK_MANIFEST_SEALED,
      .id = 1,
      .salt = 0x0123456789abcdef,
      .size = 67108800,
      .first_sequence = 1,
      .last_sequence = 465210 },
    { .state = BITCASK_MANIFEST_SEALED, .id = 2, .size = 64 },
    { .state = BITCASK_MANIFEST_OPEN,
      .id = 4,
      .salt = 0x00112233445566aa,
      .size = 12345,
      .last_sequence = 465999 },
    { .state = BITCASK_MANIFEST_PREPARED, .id = 5, .salt = 0xaabbccddeeff0011 },
};

/* The same for a cask in which a merge is on its way, and others have been. */
static const char merged[] =
    "bitcask manifest 1\n"
    "features 0\n"
    "next 9\n"
    "sequence 465210\n"
    "keys 100000\n"
    "sealed 1 salt 0123456789abcdef size 67108800 sequences 1 465210\n"
    "sealed 2 salt 89abcdef01234567 size 33554400 sequences 3 199999 purged 465210\n"
    "retired 3 salt 4567012389abcdef\n"
    "open 4 salt 00112233445566aa size 12345 last 465999\n"
    "prepared 5 salt aabbccddeeff0011\n"
    "draft 6 salt 7766554433221100\n"
    "sealed 7 salt 0000000000000007 size 164 sequences 5 5 purged 18446744073709551615\n"
    "retired 8 salt 0000000000000008\n"
    "check cf5809b7\n";

static const struct bitcask_manifest_segment merged_segments[] = {
    { .state = BITCASK_MANIFEST_SEALED,
      .id = 1,
      .salt = 0x0123456789abcdef,
      .size = 67108800,
      .first_sequence = 1,
      .last_sequence = 465210 },
    { .state = BITCASK_MANIFEST_SEALED,
      .id = 2,
      .salt = 0x89abcdef01234567,
      .size = 33554400,
      .first_sequence = 3,
      .last_sequence = 199999,
      .purged_sequence = 465210 },
    { .state = BITCASK_MANIFEST_RETIRED, .id = 3, .salt = 0x4567012389abcdef },
    { .state = BITCASK_MANIFEST_OPEN,
      .id = 4,
      .salt = 0x00112233445566aa,
      .size = 12345,
      .last_sequence = 465999 },
    { .state = BITCASK_MANIFEST_PREPARED, .id = 5, .salt = 0xaabbccddeeff0011 },
    { .state = BITCASK_MANIFEST_DRAFT, .id = 6, .salt = 0x7766554433221100 },
    { .state = BITCASK_MANIFEST_SEALED,
      .id = 7,
      .salt = 7,
      .size = 164,
      .first_sequence = 5,
      .last_sequence = 5,
      .purged_sequence = UINT64_MAX },
    { .state = BITCASK_MANIFEST_RETIRED, .id = 8, .salt = 8 },
};

static void init_with(struct bitcask_manifest *manifest, uint64_t next_id,
                      const struct bitcask_manifest_segment *segments, size_t count)
{
    bitcask_manifest_init(manifest);
    manifest->next_id = next_id;
    manifest->sequence = 465210;
    manifest->key_count = 100000;
    for (size_t i = 0; i < count; i++)
        assert_status(bitcask_manifest_add(manifest, &segments[i]), BITCASK_OK);
}

/* The manifest that the golden text says. */
static void golden_init(struct bitcask_manifest *manifest)
{
    init_with(manifest, 6, golden_segments, LENGTH_OF(golden_segments));
}

static void assert_manifests_equal(const struct bitcask_manifest *left,
                                   const struct bitcask_manifest *right)
{
    assert_int_equal(left->next_id, right->next_id);
    assert_int_equal(left->sequence, right->sequence);
    assert_int_equal(left->key_count, right->key_count);
    assert_int_equal(left->segment_count, right->segment_count);
    for (size_t i = 0; i < left->segment_count; i++) {
        const struct bitcask_manifest_segment *a = &left->segments[i];
        const struct bitcask_manifest_segment *b = &right->segments[i];

        assert_int_equal(a->state, b->state);
        assert_int_equal(a->id, b->id);
        assert_int_equal(a->salt, b->salt);
        assert_int_equal(a->size, b->size);
        assert_int_equal(a->first_sequence, b->first_sequence);
        assert_int_equal(a->last_sequence, b->last_sequence);
        assert_int_equal(a->purged_sequence, b->purged_sequence);
    }
}

static enum bitcask_status parse(struct bitcask_manifest *manifest, const void *text,
                                 size_t size)
{
    struct bitcask_slice slice = { text, size };

    bitcask_manifest_init(manifest);
    return bitcask_manifest_parse(manifest, slice);
}

/* What parsing exactly these bytes says, with a sanitizer watching their end. */
static enum bitcask_status parse_copy(const void *text, size_t size)
{
    struct bitcask_manifest manifest;
    char *copy = malloc(size > 0 ? size : 1);
    enum bitcask_status status;

    assert_non_null(copy);
    memcpy(copy, text, size);
    status = parse(&manifest, copy, size);
    bitcask_manifest_release(&manifest);
    free(copy);
    return status;
}

static void a_new_manifest_begins_with_id_one(void **state)
{
    struct bitcask_manifest manifest;

    (void)state;
    bitcask_manifest_init(&manifest);
    assert_int_equal(manifest.next_id, 1);
    assert_int_equal(manifest.sequence, 0);
    assert_int_equal(manifest.key_count, 0);
    assert_int_equal(manifest.segment_count, 0);
    bitcask_manifest_release(&manifest);
    bitcask_manifest_release(&manifest);
}

static void the_text_is_this_byte_for_byte(void **state)
{
    struct bitcask_manifest manifest;
    struct bitcask_buffer text = { 0 };

    (void)state;
    golden_init(&manifest);
    assert_status(bitcask_manifest_format(&manifest, &text), BITCASK_OK);
    assert_int_equal(text.size, sizeof golden - 1);
    assert_memory_equal(text.data, golden, text.size);
    bitcask_buffer_release(&text);
    bitcask_manifest_release(&manifest);
}

static void the_text_is_added_behind_what_is_there(void **state)
{
    struct bitcask_manifest manifest;
    struct bitcask_buffer text = { 0 };

    (void)state;
    golden_init(&manifest);
    assert_status(bitcask_manifest_format(&manifest, &text), BITCASK_OK);
    assert_status(bitcask_manifest_format(&manifest, &text), BITCASK_OK);
    assert_int_equal(text.size, 2 * (sizeof golden - 1));
    assert_memory_equal((char *)text.data + text.size / 2, golden, text.size / 2);
    bitcask_buffer_release(&text);
    bitcask_manifest_release(&manifest);
}

static void the_text_is_read_back(void **state)
{
    struct bitcask_manifest expected, manifest;

    (void)state;
    golden_init(&expected);
    assert_status(parse(&manifest, golden, sizeof golden - 1), BITCASK_OK);
    assert_manifests_equal(&manifest, &expected);
    bitcask_manifest_release(&manifest);
    bitcask_manifest_release(&expected);
}

static void what_merges_say_is_this_byte_for_byte_and_read_back(void **state)
{
    struct bitcask_manifest expected, manifest;
    struct bitcask_buffer text = { 0 };

    (void)state;
    init_with(&expected, 9, merged_segments, LENGTH_OF(merged_segments));
    assert_status(bitcask_manifest_format(&expected, &text), BITCASK_OK);
    assert_int_equal(text.size, sizeof merged - 1);
    assert_memory_equal(text.data, merged, text.size);
    assert_status(parse(&manifest, merged, sizeof merged - 1), BITCASK_OK);
    assert_manifests_equal(&manifest, &expected);
    bitcask_buffer_release(&text);
    bitcask_manifest_release(&manifest);
    bitcask_manifest_release(&expected);
}

static void drafts_and_retired_files_are_outside_of_the_cask(void **state)
{
    (void)state;
    assert_true(bitcask_manifest_is_outside(BITCASK_MANIFEST_DRAFT));
    assert_true(bitcask_manifest_is_outside(BITCASK_MANIFEST_RETIRED));
    assert_true(bitcask_manifest_is_outside(BITCASK_MANIFEST_QUARANTINED));
    assert_false(bitcask_manifest_is_outside(BITCASK_MANIFEST_SEALED));
    assert_false(bitcask_manifest_is_outside(BITCASK_MANIFEST_OPEN));
    assert_false(bitcask_manifest_is_outside(BITCASK_MANIFEST_PREPARED));
}

/* Any line will do, also one of a file that is no part of the cask. */
static void the_tag_is_found_in_any_line(void **state)
{
    static const enum bitcask_manifest_state states[] = {
        BITCASK_MANIFEST_SEALED, BITCASK_MANIFEST_OPEN,    BITCASK_MANIFEST_PREPARED,
        BITCASK_MANIFEST_DRAFT,  BITCASK_MANIFEST_RETIRED,
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(states); i++) {
        const struct bitcask_manifest_segment line = { .state = states[i],
                                                       .id = 1,
                                                       .salt = 0x0123456789abcdef };
        struct bitcask_manifest manifest;

        bitcask_manifest_init(&manifest);
        assert_int_equal(bitcask_manifest_tag(&manifest), 0);
        assert_status(bitcask_manifest_add(&manifest, &line), BITCASK_OK);
        assert_int_equal(bitcask_manifest_tag(&manifest), 0x01234567);
        bitcask_manifest_release(&manifest);
    }
}

/* What waits to be moved away may be of another cask. */
static void the_tag_is_not_that_of_a_quarantined_file(void **state)
{
    static const struct bitcask_manifest_segment lines[] = {
        { .state = BITCASK_MANIFEST_PREPARED, .id = 1, .salt = 0x0123456789abcdef },
        { .state = BITCASK_MANIFEST_QUARANTINED, .id = 2, .salt = 0x89abcdef01234567 },
    };
    struct bitcask_manifest manifest;

    (void)state;
    init_with(&manifest, 3, lines, LENGTH_OF(lines));
    assert_int_equal(bitcask_manifest_tag(&manifest), 0x01234567);
    bitcask_manifest_release(&manifest);
}

static void extremes_and_many_segments_make_the_round_trip(void **state)
{
    struct bitcask_manifest before, after;
    struct bitcask_buffer text = { 0 };

    (void)state;
    bitcask_manifest_init(&before);
    before.next_id = UINT64_MAX;
    before.sequence = UINT64_MAX;
    before.key_count = UINT64_MAX;
    for (uint64_t i = 1; i <= 20000; i++) {
        struct bitcask_manifest_segment segment = {
            .state = BITCASK_MANIFEST_SEALED,
            .id = i == 20000 ? UINT64_MAX - 1 : i,
            .salt = UINT64_MAX - i,
            .size = UINT64_MAX,
            .first_sequence = UINT64_MAX - 1,
            .last_sequence = UINT64_MAX,
        };

        assert_status(bitcask_manifest_add(&before, &segment), BITCASK_OK);
    }
    assert_status(bitcask_manifest_format(&before, &text), BITCASK_OK);
    assert_status(parse(&after, text.data, text.size), BITCASK_OK);
    assert_manifests_equal(&after, &before);
    bitcask_buffer_release(&text);
    bitcask_manifest_release(&before);
    bitcask_manifest_release(&after);
}

static void expect_flips_noticed(const char *whole, size_t size)
{
    for (size_t bit = 0; bit < 8 * size; bit++) {
        char text[1024];
        enum bitcask_status status;

        assert_true(size < sizeof text);
        memcpy(text, whole, size);
        text[bit / 8] = (char)(text[bit / 8] ^ (char)(1u << bit % 8));
        status = parse_copy(text, size);
        assert_status(status, BITCASK_CORRUPT);
        assert_detail("MANIFEST, line ");
    }
}

static void no_flipped_bit_goes_unnoticed(void **state)
{
    (void)state;
    expect_flips_noticed(golden, sizeof golden - 1);
    expect_flips_noticed(merged, sizeof merged - 1);
}

static void a_cut_anywhere_is_noticed(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof golden - 1; size++)
        assert_status(parse_copy(golden, size), BITCASK_CORRUPT);
    for (size_t size = 0; size < sizeof merged - 1; size++)
        assert_status(parse_copy(merged, size), BITCASK_CORRUPT);
}

/* Parse @text, in which the check is still to be filled in. */
static enum bitcask_status parse_checked(const char *text)
{
    char checked[4096];
    int length = snprintf(checked, sizeof checked, "%scheck %08" PRIx32 "\n", text,
                          bitcask_check(0, text, strlen(text)));

    return parse_copy(checked, (size_t)length);
}

#define HEAD "bitcask manifest 1\nfeatures 0\nnext 6\nsequence 7\nkeys 8\n"
#define SEALED(id) "sealed " id " salt 0123456789abcdef size 100 sequences 1 2\n"

static void texts_with_a_right_check_are_still_looked_at(void **state)
{
    static const struct {
        const char *why;
        const char *text;
        enum bitcask_status status;
    } cases[] = {
        { "no segment", HEAD, BITCASK_OK },
        { "one", HEAD SEALED("5"), BITCASK_OK },
        { "with gaps", HEAD SEALED("1") SEALED("3") SEALED("5"), BITCASK_OK },
        { "out of order", HEAD SEALED("3") SEALED("1"), BITCASK_CORRUPT },
        { "twice the same id", HEAD SEALED("3") SEALED("3"), BITCASK_CORRUPT },
        { "an id as high as next", HEAD SEALED("6"), BITCASK_CORRUPT },
        { "an id above next", HEAD SEALED("7"), BITCASK_CORRUPT },
        { "an id with a zero in front", HEAD SEALED("05"), BITCASK_CORRUPT },
        { "a number with one",
          "bitcask manifest 1\nfeatures 0\nnext 6\nsequence 007\nkeys 8\n",
          BITCASK_CORRUPT },
        { "numbers that are zero",
          "bitcask manifest 1\nfeatures 0\nnext 1\nsequence 0\nkeys 0\n", BITCASK_OK },
        { "id 0", HEAD SEALED("0"), BITCASK_CORRUPT },
        { "an id too large", HEAD SEALED("18446744073709551617"), BITCASK_CORRUPT },
        { "no id", HEAD SEALED(""), BITCASK_CORRUPT },
        { "a negative id", HEAD SEALED("-1"), BITCASK_CORRUPT },
        { "nothing", "", BITCASK_CORRUPT },
        { "another file", "hello\n", BITCASK_CORRUPT },
        { "no version", "bitcask manifest\n", BITCASK_CORRUPT },
        { "a head that ends", "bitcask manifest 1\n", BITCASK_CORRUPT },
        { "no next", "bitcask manifest 1\nfeatures 0\nsequence 7\nkeys 8\n",
          BITCASK_CORRUPT },
        { "no sequence", "bitcask manifest 1\nfeatures 0\nnext 6\nkeys 8\n",
          BITCASK_CORRUPT },
        { "no keys", "bitcask manifest 1\nfeatures 0\nnext 6\nsequence 7\n",
          BITCASK_CORRUPT },
        { "version 0", "bitcask manifest 0\nfeatures 0\nnext 6\nsequence 7\nkeys 8\n",
          BITCASK_CORRUPT },
        { "version 2", "bitcask manifest 2\nwhatever it may say\n", BITCASK_UNSUPPORTED },
        { "version 18446744073709551615", "bitcask manifest 18446744073709551615\n",
          BITCASK_UNSUPPORTED },
        { "a feature", "bitcask manifest 1\nfeatures 1\nnext 6\nsequence 7\nkeys 8\n",
          BITCASK_UNSUPPORTED },
        { "a feature and what it brings", "bitcask manifest 1\nfeatures 4\nnew 1\n",
          BITCASK_UNSUPPORTED },
        { "a high feature", "bitcask manifest 1\nfeatures 9223372036854775808\n",
          BITCASK_UNSUPPORTED },
        { "an empty line", HEAD "\n" SEALED("1"), BITCASK_CORRUPT },
        { "an unknown line", HEAD "forgotten 1 salt 0123456789abcdef\n",
          BITCASK_CORRUPT },
        { "two checks", HEAD "check 00000000\n", BITCASK_CORRUPT },
        { "no newline", HEAD "prepared 1 salt 0123456789abcdef", BITCASK_CORRUPT },
        { "prepared", HEAD "prepared 1 salt 0123456789abcdef\n", BITCASK_OK },
        { "prepared, with a size", HEAD "prepared 1 salt 0123456789abcdef size 1\n",
          BITCASK_CORRUPT },
        { "open", HEAD "open 1 salt 0123456789abcdef size 64 last 0\n", BITCASK_OK },
        { "open, with a range",
          HEAD "open 1 salt 0123456789abcdef size 64 sequences 1 2\n", BITCASK_CORRUPT },
        { "sealed, without one", HEAD "sealed 1 salt 0123456789abcdef size 64 last 0\n",
          BITCASK_CORRUPT },
        { "purged",
          HEAD "sealed 1 salt 0123456789abcdef size 64 sequences 1 2 purged 1\n",
          BITCASK_OK },
        { "purged up to nothing",
          HEAD "sealed 1 salt 0123456789abcdef size 64 sequences 1 2 purged 0\n",
          BITCASK_CORRUPT },
        { "purged up to nowhere",
          HEAD "sealed 1 salt 0123456789abcdef size 64 sequences 1 2 purged\n",
          BITCASK_CORRUPT },
        { "purged twice",
          HEAD "sealed 1 salt 0123456789abcdef size 64 sequences 1 2 purged 1 purged 1\n",
          BITCASK_CORRUPT },
        { "purged, but open",
          HEAD "open 1 salt 0123456789abcdef size 64 last 0 purged 1\n",
          BITCASK_CORRUPT },
        { "draft", HEAD "draft 1 salt 0123456789abcdef\n", BITCASK_OK },
        { "draft, with a size", HEAD "draft 1 salt 0123456789abcdef size 64\n",
          BITCASK_CORRUPT },
        { "retired", HEAD "retired 1 salt 0123456789abcdef\n", BITCASK_OK },
        { "quarantined", HEAD "quarantined 1 salt 0123456789abcdef\n", BITCASK_OK },
        { "quarantined, with a size",
          HEAD "quarantined 1 salt 0123456789abcdef size 64\n", BITCASK_CORRUPT },
        { "retired, with a size", HEAD "retired 1 salt 0123456789abcdef size 64\n",
          BITCASK_CORRUPT },
        { "retired out of order", HEAD SEALED("3") "retired 2 salt 0123456789abcdef\n",
          BITCASK_CORRUPT },
        { "sequences that go down",
          HEAD "sealed 1 salt 0123456789abcdef size 64 sequences 2 1\n",
          BITCASK_CORRUPT },
        { "a salt too short", HEAD "prepared 1 salt 0123456789abcde\n", BITCASK_CORRUPT },
        { "a salt too long", HEAD "prepared 1 salt 0123456789abcdef0\n",
          BITCASK_CORRUPT },
        { "a salt of capitals", HEAD "prepared 1 salt 0123456789ABCDEF\n",
          BITCASK_CORRUPT },
        { "two spaces", HEAD "prepared  1 salt 0123456789abcdef\n", BITCASK_CORRUPT },
        { "a return", "bitcask manifest 1\r\nfeatures 0\n", BITCASK_CORRUPT },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        printf("  %s\n", cases[i].why);
        assert_status(parse_checked(cases[i].text), cases[i].status);
        if (cases[i].status != BITCASK_OK)
            assert_detail("MANIFEST");
    }
}

static void the_detail_names_the_line(void **state)
{
    (void)state;
    assert_status(parse_checked(HEAD SEALED("1") "rubbish\n"), BITCASK_CORRUPT);
    assert_detail("MANIFEST, line 7");
    assert_status(parse_checked("bitcask manifest 1\nfeatures 0\nrubbish\n"),
                  BITCASK_CORRUPT);
    assert_detail("MANIFEST, line 3");
}

static void garbage_is_corrupt(void **state)
{
    uint64_t seed = 20260302;

    (void)state;
    printf("  seed %" PRIu64 "\n", seed);
    for (size_t size = 0; size < 300; size++) {
        uint8_t *noise = test_noise(size, seed + size);

        assert_status(parse_copy(noise, size), BITCASK_CORRUPT);
        memset(noise, 0, size);
        assert_status(parse_copy(noise, size), BITCASK_CORRUPT);
        memset(noise, '\n', size);
        assert_status(parse_copy(noise, size), BITCASK_CORRUPT);
        free(noise);
    }
}

static void running_out_of_memory_is_told_and_leaks_nothing(void **state)
{
    struct bitcask_slice slice = { golden, sizeof golden - 1 };

    (void)state;
    for (long n = 0;; n++) {
        struct bitcask_manifest manifest;
        struct bitcask_buffer text = { 0 };
        enum bitcask_status status;

        bitcask_manifest_init(&manifest);
        test_alloc_fail(n);
        status = bitcask_manifest_parse(&manifest, slice);
        if (status == BITCASK_OK)
            status = bitcask_manifest_format(&manifest, &text);
        if (test_alloc_stop() == 0) {
            assert_status(status, BITCASK_OK);
            assert_true(n >= 2);
        } else {
            assert_status(status, BITCASK_NO_MEMORY);
        }
        bitcask_buffer_release(&text);
        bitcask_manifest_release(&manifest);
        if (status == BITCASK_OK)
            break;
    }
}

static void adding_without_memory_changes_nothing(void **state)
{
    struct bitcask_manifest manifest;
    struct bitcask_manifest_segment segment = { .state = BITCASK_MANIFEST_PREPARED };

    (void)state;
    bitcask_manifest_init(&manifest);
    for (uint64_t id = 1; id <= 1000; id++) {
        enum bitcask_status status;

        segment.id = id;
        test_alloc_fail(0);
        status = bitcask_manifest_add(&manifest, &segment);
        if (test_alloc_stop() != 0) {
            assert_status(status, BITCASK_NO_MEMORY);
            assert_int_equal(manifest.segment_count, id - 1);
            status = bitcask_manifest_add(&manifest, &segment);
        }
        assert_status(status, BITCASK_OK);
        assert_int_equal(manifest.segment_count, id);
        for (uint64_t i = 0; i < id; i++)
            assert_int_equal(manifest.segments[i].id, i + 1);
    }
    bitcask_manifest_release(&manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_manifest_begins_with_id_one),
        cmocka_unit_test(the_text_is_this_byte_for_byte),
        cmocka_unit_test(the_text_is_added_behind_what_is_there),
        cmocka_unit_test(the_text_is_read_back),
        cmocka_unit_test(what_merges_say_is_this_byte_for_byte_and_read_back),
        cmocka_unit_test(drafts_and_retired_files_are_outside_of_the_cask),
        cmocka_unit_test(the_tag_is_not_that_of_a_quarantined_file),
        cmocka_unit_test(the_tag_is_found_in_any_line),
        cmocka_unit_test(extremes_and_many_segments_make_the_round_trip),
        cmocka_unit_test(no_flipped_bit_goes_unnoticed),
        cmocka_unit_test(a_cut_anywhere_is_noticed),
        cmocka_unit_test(texts_with_a_right_check_are_still_looked_at),
        cmocka_unit_test(the_detail_names_the_line),
        cmocka_unit_test(garbage_is_corrupt),
        cmocka_unit_test(running_out_of_memory_is_told_and_leaks_nothing),
        cmocka_unit_test(adding_without_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
