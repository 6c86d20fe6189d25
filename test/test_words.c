/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line in memory that ends where the parser must stop, so that sanitizers see it. */
static char *copy_of(const char *text, size_t size)
{
    char *line = malloc(size + 1);

    assert_non_null(line);
    memcpy(line, text, size);
    line[size] = '\n';
    return line;
}

/* Split @text; the words, each in <>, into @found. */
static enum tool_words_result split(const char *text, char *found, size_t capacity)
{
    size_t size = strlen(text);
    char *line = copy_of(text, size);
    struct tool_words words = { .line = line, .size = size };
    struct bitcask_slice word;
    enum tool_words_result result;
    size_t out = 0;

    found[0] = 0;
    while ((result = tool_words_next(&words, &word)) == TOOL_WORDS_WORD) {
        assert_int_equal(((const char *)word.data)[word.size], 0);
        out += (size_t)snprintf(found + out, capacity - out, "<%s>",
                                (const char *)word.data);
        assert_true(out < capacity);
    }
    if (result == TOOL_WORDS_BAD) {
        assert_non_null(words.problem);
        assert_int_equal(tool_words_next(&words, &word), TOOL_WORDS_BAD);
    }
    free(line);
    return result;
}

static void lines_are_split_as_documented(void **state)
{
    static const struct {
        const char *line;
        const char *words;
    } cases[] = {
        { "", "" },
        { " \t \r", "" },
        { "set a 1", "<set><a><1>" },
        { "  set\ta   1  ", "<set><a><1>" },
        { "set a 1\r", "<set><a><1>" },
        { "set 'a b' \"c d\"", "<set><a b><c d>" },
        { "set a ''", "<set><a><>" },
        { "\"\" x", "<><x>" },
        { "a\"b c\"'d'e", "<ab cde>" },
        { "'a\\n$\"b'", "<a\\n$\"b>" },
        { "\"a\\tb\\nc\\rd\\\\e\\\"f\\x41\"", "<a\tb\nc\rd\\e\"fA>" },
        { "\"it's\"", "<it's>" },
        { "a\\ b\\\\c\\'d\\x7e", "<a b\\c'd~>" },
        { "# set a 1", "" },
        { "  # set a 1", "" },
        { "set a #1", "<set><a><#1>" },
        { "'#' a", "<#><a>" },
        { "get -- -a", "<get><--><-a>" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[256];

        assert_int_equal(split(cases[i].line, found, sizeof found), TOOL_WORDS_END);
        assert_string_equal(found, cases[i].words);
    }
}

static void mistakes_are_refused(void **state)
{
    static const char *const cases[] = {
        "set a \"b", "set a 'b", "\"",  "'",        "a\\",     "a\\q",
        "\"\\q\"",   "a\\x4",    "\\x", "\"\\x4\"", "\"a\\\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[256];

        printf("  %s\n", cases[i]);
        assert_int_equal(split(cases[i], found, sizeof found), TOOL_WORDS_BAD);
    }
}

static void words_may_hold_any_byte(void **state)
{
    static const char text[] = "a\\x00b \"\\xff\\x00\" raw\0zero";
    char *line = copy_of(text, sizeof text - 1);
    struct tool_words words = { .line = line, .size = sizeof text - 1 };
    struct bitcask_slice word;

    (void)state;
    assert_int_equal(tool_words_next(&words, &word), TOOL_WORDS_WORD);
    assert_int_equal(word.size, 3);
    assert_memory_equal(word.data, "a\0b", 3);
    assert_int_equal(tool_words_next(&words, &word), TOOL_WORDS_WORD);
    assert_int_equal(word.size, 2);
    assert_memory_equal(word.data, "\xff\0", 2);
    assert_int_equal(tool_words_next(&words, &word), TOOL_WORDS_WORD);
    assert_int_equal(word.size, 8);
    assert_memory_equal(word.data, "raw\0zero", 8);
    assert_int_equal(tool_words_next(&words, &word), TOOL_WORDS_END);
    free(line);
}

static void random_lines_stay_within_their_bounds(void **state)
{
    static const char often[] = " \t\"'\\xn#a0";
    unsigned seed = 20260302;

    (void)state;
    printf("  seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 20000; round++) {
        char text[40];
        size_t size = (size_t)rand() % sizeof text;
        struct tool_words words = { .size = size };
        struct bitcask_slice word;
        size_t total = 0;

        for (size_t i = 0; i < size; i++)
            text[i] =
                rand() % 8 ? often[(size_t)rand() % (sizeof often - 1)] : (char)rand();
        words.line = copy_of(text, size);
        while (tool_words_next(&words, &word) == TOOL_WORDS_WORD)
            total += word.size;
        assert_true(total <= size);
        free(words.line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_split_as_documented),
        cmocka_unit_test(mistakes_are_refused),
        cmocka_unit_test(words_may_hold_any_byte),
        cmocka_unit_test(random_lines_stay_within_their_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
