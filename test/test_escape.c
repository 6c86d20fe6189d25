/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Escape all of @bytes into @text, in steps of @room. */
static size_t escape_all(struct bitcask_slice bytes, char *text, size_t room)
{
    size_t size = 0;

    while (bytes.size > 0) {
        size_t got = tool_escape(&bytes, text + size, room);

        assert_in_range(got, 1, room);
        size += got;
    }
    text[size] = 0;
    return size;
}

/* Decode all of @text, which must be well escaped. */
static size_t unescape_all(const char *text, size_t size, char *bytes)
{
    size_t out = 0;

    for (size_t in = 0; in < size;) {
        if (text[in] == '\\') {
            size_t used = tool_unescape(text + in, size - in, &bytes[out++]);

            assert_true(used > 0);
            in += used;
        } else {
            bytes[out++] = text[in++];
        }
    }
    return out;
}

static void escapes_are_as_documented(void **state)
{
    static const struct {
        const char *bytes;
        const char *text;
    } cases[] = {
        { "", "" },
        { "plain ~ text!", "plain ~ text!" },
        { "\t\n\r\\", "\\t\\n\\r\\\\" },
        { "\x01\x1f\x7f", "\\x01\\x1f\\x7f" },
        { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
        { "\xe2\x82\xac \xf0\x9f\x90\x99", "\xe2\x82\xac \xf0\x9f\x90\x99" },
        { "\xc2\x9b", "\\xc2\\x9b" }, /* a control that terminals obey */
        { "\xc2\xa0", "\xc2\xa0" },   /* the first that is none */
        { "\xd8\x9c|\xd8\x9b", "\\xd8\\x9c|\xd8\x9b" }, /* it turns text; one before */
        { "\xe2\x80\x8e|\xe2\x80\x8f", "\\xe2\\x80\\x8e|\\xe2\\x80\\x8f" },
        { "\xe2\x80\x8d|\xe2\x80\x90", "\xe2\x80\x8d|\xe2\x80\x90" },
        { "\xe2\x80\xaa|\xe2\x80\xae", "\\xe2\\x80\\xaa|\\xe2\\x80\\xae" },
        { "\xe2\x80\xa9|\xe2\x80\xaf", "\xe2\x80\xa9|\xe2\x80\xaf" },
        { "\xe2\x81\xa6|\xe2\x81\xa9", "\\xe2\\x81\\xa6|\\xe2\\x81\\xa9" },
        { "\xe2\x81\xa5|\xe2\x81\xaa", "\xe2\x81\xa5|\xe2\x81\xaa" },
        { "\xff", "\\xff" },                            /* never in UTF-8 */
        { "\xc3", "\\xc3" },                            /* cut short */
        { "\xc3(", "\\xc3(" },                          /* not continued */
        { "\xc0\xaf", "\\xc0\\xaf" },                   /* overlong */
        { "\xe0\x80\xaf", "\\xe0\\x80\\xaf" },          /* overlong */
        { "\xed\xa0\x80", "\\xed\\xa0\\x80" },          /* half of a surrogate pair */
        { "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" }, /* above U+10FFFF */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];

        escape_all(bitcask_text(cases[i].bytes), text, sizeof text - 1);
        assert_string_equal(text, cases[i].text);
    }
}

static void every_byte_comes_back_alone_and_beside_others(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const char bytes[] = { 'a', (char)byte, (char)byte, 'b' };
        char text[64], back[64];
        size_t size = escape_all((struct bitcask_slice){ bytes, sizeof bytes }, text, 63);

        assert_int_equal(unescape_all(text, size, back), sizeof bytes);
        assert_memory_equal(back, bytes, sizeof bytes);
    }
}

static void text_has_no_byte_that_parts_lines_or_fields(void **state)
{
    char bytes[256], text[1025];

    (void)state;
    for (unsigned byte = 0; byte < 256; byte++)
        bytes[byte] = (char)byte;
    escape_all((struct bitcask_slice){ bytes, 256 }, text, 1024);
    for (const char *at = text; *at != 0; at++)
        assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
}

static void random_bytes_come_back_through_any_room(void **state)
{
    unsigned seed = 20260301;

    (void)state;
    printf("  seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 2000; round++) {
        /* A few values often, so that sequences begin and break off. */
        static const unsigned char frequent[] = { 0xc2, 0xc3, 0xe2, 0x82, 0xac, 0xf0,
                                                  0x9f, 0x80, 'a',  '\\', 'x',  0 };
        unsigned char bytes[100];
        char text[401], back[401];
        size_t size = (size_t)rand() % sizeof bytes;
        size_t room = TOOL_ESCAPE_ROOM_MIN + (size_t)rand() % 300;
        char *small = malloc(room);
        struct bitcask_slice rest = { bytes, size };
        size_t text_size = 0;

        assert_non_null(small);
        for (size_t i = 0; i < size; i++)
            bytes[i] = rand() % 2 ? (unsigned char)rand()
                                  : frequent[(size_t)rand() % sizeof frequent];
        while (rest.size > 0) {
            size_t got = tool_escape(&rest, small, room);

            memcpy(text + text_size, small, got);
            text_size += got;
        }
        free(small);
        assert_true(tool_utf8_valid((struct bitcask_slice){ text, text_size }));
        assert_int_equal(unescape_all(text, text_size, back), size);
        assert_memory_equal(back, bytes, size);
    }
}

static void what_is_no_escape_is_refused(void **state)
{
    static const char *const cases[] = { "",     "a",    "\\",    "\\x",   "\\x4",
                                         "\\a",  "\\0",  "\\xg0", "\\x0g", "\\X41",
                                         "\\\n", "\\ x", "\\x 1" };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char byte = 'z';

        assert_int_equal(tool_unescape(cases[i], strlen(cases[i]), &byte), 0);
    }
}

static void digits_are_taken_in_both_cases(void **state)
{
    char byte;

    (void)state;
    assert_int_equal(tool_unescape("\\xAf1", 5, &byte), 4);
    assert_int_equal((unsigned char)byte, 0xaf);
}

static void nothing_at_all_is_utf8(void **state)
{
    (void)state;
    assert_true(tool_utf8_valid((struct bitcask_slice){ NULL, 0 }));
    assert_false(tool_utf8_valid(bitcask_text("a\x80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_are_as_documented),
        cmocka_unit_test(every_byte_comes_back_alone_and_beside_others),
        cmocka_unit_test(text_has_no_byte_that_parts_lines_or_fields),
        cmocka_unit_test(random_bytes_come_back_through_any_room),
        cmocka_unit_test(what_is_no_escape_is_refused),
        cmocka_unit_test(digits_are_taken_in_both_cases),
        cmocka_unit_test(nothing_at_all_is_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
