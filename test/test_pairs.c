/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/escape.h"
#include "tools/pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes that come in pieces. */
struct source {
    const char *data;
    size_t size;
    size_t piece;
};

/* Step to a pair, with more bytes from @source as they are wanted. */
static enum tool_pairs_result next(struct tool_pairs *pairs, struct source *source,
                                   struct bitcask_slice *key, struct bitcask_slice *value)
{
    enum tool_pairs_result result;

    while ((result = tool_pairs_next(pairs, key, value)) == TOOL_PAIRS_MORE) {
        char *room;
        size_t size;

        assert_true(tool_pairs_room(pairs, &room, &size));
        assert_true(size >= 64 * 1024);
        if (size > source->piece)
            size = source->piece;
        if (size > source->size)
            size = source->size;
        if (size > 0)
            memcpy(room, source->data, size);
        source->data += size;
        source->size -= size;
        tool_pairs_filled(pairs, size);
    }
    return result;
}

/* Read all of @text; the pairs as [KEY|VALUE] into @found. The last result. */
static enum tool_pairs_result read_all(const char *text, size_t size, bool zeros,
                                       size_t piece, char *found, uint64_t *number)
{
    struct tool_pairs pairs = { .zeros = zeros };
    struct source source = { text, size, piece };
    struct bitcask_slice key, value;
    enum tool_pairs_result result;
    char *out = found;

    while ((result = next(&pairs, &source, &key, &value)) == TOOL_PAIRS_PAIR)
        out += sprintf(out, "[%.*s|%.*s]", (int)key.size, (const char *)key.data,
                       (int)value.size, (const char *)value.data);
    *out = 0;
    *number = pairs.number;
    if (result == TOOL_PAIRS_BAD) {
        assert_non_null(pairs.problem);
        assert_int_equal(next(&pairs, &source, &key, &value), TOOL_PAIRS_BAD);
    }
    tool_pairs_release(&pairs);
    return result;
}

#define BYTES(text) text, sizeof text - 1

static void streams_mean_what_is_documented_in_any_pieces(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        bool zeros;
        const char *found;
    } cases[] = {
        { BYTES(""), false, "" },
        { BYTES("a\t1\n"), false, "[a|1]" },
        { BYTES("a\t1\nb\t2"), false, "[a|1][b|2]" },
        { BYTES("a\t\nb\t"), false, "[a|][b|]" },
        { BYTES("a\tone\ttwo\n"), false, "[a|one\ttwo]" },
        { BYTES("a\\tb\tc\\nd\\\\\\x41\n"), false, "[a\tb|c\nd\\A]" },
        { BYTES("\\x61\\x62\t\\x63\\x64"), false, "[ab|cd]" },
        { BYTES("a\t1\r\n"), false, "[a|1\r]" },
        { BYTES(""), true, "" },
        { BYTES("a\0one\ttwo\n\\x\0b\0\0"), true, "[a|one\ttwo\n\\x][b|]" },
        { BYTES("a\0"
                "1\0b\0"
                "2"),
          true, "[a|1][b|2]" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t piece = 1; piece < 20; piece++) {
            char found[256];
            uint64_t number;

            assert_int_equal(read_all(cases[i].text, cases[i].size, cases[i].zeros, piece,
                                      found, &number),
                             TOOL_PAIRS_END);
            assert_string_equal(found, cases[i].found);
        }
    }
}

static void mistakes_are_refused_behind_the_good_pairs(void **state)
{
    static const struct {
        const char *why;
        const char *text;
        size_t size;
        bool zeros;
        uint64_t number;
        const char *found;
    } cases[] = {
        { "no tab", BYTES("a\t1\nb\nc\t3\n"), false, 2, "[a|1]" },
        { "no tab at the end", BYTES("a\t1\nb"), false, 2, "[a|1]" },
        { "an empty line", BYTES("a\t1\n\nc\t3\n"), false, 2, "[a|1]" },
        { "an empty key", BYTES("\t1\n"), false, 1, "" },
        { "a bad escape in a key", BYTES("a\\\t1\n"), false, 1, "" },
        { "a bad escape in a value", BYTES("a\t1\nb\t\\q\n"), false, 2, "[a|1]" },
        { "an escape that ends early", BYTES("a\t\\x4\n"), false, 1, "" },
        { "an escape that ends with the input", BYTES("a\t\\x4"), false, 1, "" },
        { "a backslash at the end", BYTES("a\t\\"), false, 1, "" },
        { "an empty key, with zeros", BYTES("\0a\0"), true, 1, "" },
        { "no value, with zeros", BYTES("a\0b\0c\0"), true, 2, "[a|b]" },
        { "no zero behind the key", BYTES("a\0b\0c"), true, 2, "[a|b]" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        printf("  %s\n", cases[i].why);
        for (size_t piece = 1; piece < 20; piece++) {
            char found[256];
            uint64_t number;

            assert_int_equal(read_all(cases[i].text, cases[i].size, cases[i].zeros, piece,
                                      found, &number),
                             TOOL_PAIRS_BAD);
            assert_int_equal(number, cases[i].number);
            assert_string_equal(found, cases[i].found);
        }
    }
}

/* A line of key k, whose value is @text, @count times. */
static char *long_line(const char *text, size_t count, size_t *size)
{
    size_t text_size = strlen(text);
    char *line = malloc(count * text_size + 3);

    assert_non_null(line);
    memcpy(line, "k\t", 2);
    for (size_t i = 0; i < count; i++)
        memcpy(line + 2 + i * text_size, text, text_size);
    line[2 + count * text_size] = '\n';
    *size = count * text_size + 3;
    return line;
}

static void long_values_take_the_memory_of_their_bytes(void **state)
{
    static const size_t pieces[] = { 1000, 65536, 100000, 1000000 };
    size_t count = 5000000;
    size_t size;
    char *line = long_line("\\xff", count, &size);

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct tool_pairs pairs = { 0 };
        struct source source = { line, size, pieces[i] };
        struct bitcask_slice key, value;

        assert_int_equal(next(&pairs, &source, &key, &value), TOOL_PAIRS_PAIR);
        assert_int_equal(key.size, 1);
        assert_int_equal(value.size, count);
        for (size_t at = 0; at < count; at++)
            if (((const unsigned char *)value.data)[at] != 0xff)
                fail();
        assert_true(pairs.capacity < 2 * count);
        assert_int_equal(next(&pairs, &source, &key, &value), TOOL_PAIRS_END);
        tool_pairs_release(&pairs);
    }
    free(line);
}

static void keys_up_to_the_limit_are_taken_and_none_above(void **state)
{
    (void)state;
    for (size_t size = BITCASK_KEY_SIZE_MAX - 1; size < BITCASK_KEY_SIZE_MAX + 3;
         size++) {
        struct tool_pairs pairs = { 0 };
        char *text = malloc(size + 2);
        struct source source = { text, size + 2, 4096 };
        struct bitcask_slice key, value;
        bool fits = size <= BITCASK_KEY_SIZE_MAX;

        assert_non_null(text);
        memset(text, 'k', size);
        memcpy(text + size, "\tv", 2);
        assert_int_equal(next(&pairs, &source, &key, &value),
                         fits ? TOOL_PAIRS_PAIR : TOOL_PAIRS_BAD);
        if (fits)
            assert_int_equal(key.size, size);
        tool_pairs_release(&pairs);
        free(text);
    }
}

static void a_key_without_end_is_refused_before_it_fills_the_memory(void **state)
{
    struct tool_pairs pairs = { 0 };
    struct bitcask_slice key, value;
    size_t fed = 0;

    (void)state;
    while (tool_pairs_next(&pairs, &key, &value) == TOOL_PAIRS_MORE) {
        char *room;
        size_t size;

        assert_true(tool_pairs_room(&pairs, &room, &size));
        memset(room, 'k', size);
        tool_pairs_filled(&pairs, size);
        fed += size;
        assert_true(fed < 1024 * 1024);
    }
    assert_non_null(pairs.problem);
    tool_pairs_release(&pairs);
}

/* Write a pair as `list` does. */
static size_t print_pair(struct bitcask_slice key, struct bitcask_slice value, char *text)
{
    size_t size = 0;

    while (key.size > 0)
        size += tool_escape(&key, text + size, 1024);
    text[size++] = '\t';
    while (value.size > 0)
        size += tool_escape(&value, text + size, 1024);
    text[size++] = '\n';
    return size;
}

static void what_list_prints_comes_back(void **state)
{
    enum {
        COUNT = 200,
        SIZE_MAX_HERE = 300
    };
    static unsigned char keys[COUNT][SIZE_MAX_HERE], values[COUNT][SIZE_MAX_HERE];
    size_t key_sizes[COUNT], value_sizes[COUNT];
    size_t capacity = (size_t)COUNT * (8 * SIZE_MAX_HERE + 2 + 1024);
    unsigned seed = 20260304;
    char *text = malloc(capacity);
    size_t size = 0;

    (void)state;
    assert_non_null(text);
    printf("  seed %u\n", seed);
    srand(seed);
    for (size_t i = 0; i < COUNT; i++) {
        key_sizes[i] = 1 + (size_t)rand() % (SIZE_MAX_HERE - 1);
        value_sizes[i] = (size_t)rand() % SIZE_MAX_HERE;
        for (size_t at = 0; at < SIZE_MAX_HERE; at++) {
            keys[i][at] = (unsigned char)rand();
            values[i][at] = (unsigned char)rand();
        }
        size +=
            print_pair((struct bitcask_slice){ keys[i], key_sizes[i] },
                       (struct bitcask_slice){ values[i], value_sizes[i] }, text + size);
    }
    for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
        struct tool_pairs pairs = { 0 };
        struct source source = { text, size, piece };
        struct bitcask_slice key, value;

        for (size_t i = 0; i < COUNT; i++) {
            assert_int_equal(next(&pairs, &source, &key, &value), TOOL_PAIRS_PAIR);
            assert_int_equal(key.size, key_sizes[i]);
            assert_memory_equal(key.data, keys[i], key.size);
            assert_int_equal(value.size, value_sizes[i]);
            if (value.size > 0)
                assert_memory_equal(value.data, values[i], value.size);
        }
        assert_int_equal(next(&pairs, &source, &key, &value), TOOL_PAIRS_END);
        tool_pairs_release(&pairs);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_mean_what_is_documented_in_any_pieces),
        cmocka_unit_test(mistakes_are_refused_behind_the_good_pairs),
        cmocka_unit_test(long_values_take_the_memory_of_their_bytes),
        cmocka_unit_test(keys_up_to_the_limit_are_taken_and_none_above),
        cmocka_unit_test(a_key_without_end_is_refused_before_it_fills_the_memory),
        cmocka_unit_test(what_list_prints_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
