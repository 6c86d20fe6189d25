/* SPDX-License-Identifier: MIT */
/*
 * The lines of the shell, tools/words.h: the input is a few of them.
 *
 * - Words lie in their line, one behind the other, and each ends in its zero byte.
 * - A mistake is one for good. Nothing is read behind the end of a line.
 * - Words that are quoted again, in each way that there is, are read as the same.
 */
#include "test/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/escape.h"
#include "tools/words.h"

enum way {
    BARE,
    SINGLE, /* where there is no ' in it, else as DOUBLE */
    DOUBLE,
    HEXADECIMAL,
    WAY_COUNT
};

/* Text with room for whatever is written. */
struct text {
    char *bytes;
    size_t size;
};

static void add(struct text *text, char byte)
{
    text->bytes[text->size++] = byte;
}

static void add_escape(struct text *text, char byte)
{
    text->size += (size_t)sprintf(text->bytes + text->size, "\\x%02x",
                                  (unsigned)(unsigned char)byte);
}

/* Bare, in double quotes, or each byte by its number. */
static void add_escaped(struct text *text, struct bitcask_slice word, enum way way)
{
    const char *bytes = word.data;

    if (way == DOUBLE || word.size == 0)
        add(text, '"');
    for (size_t i = 0; i < word.size; i++) {
        char byte = bytes[i];

        if (way == HEXADECIMAL || (way == BARE && (byte == '\t' || byte == '\r')) ||
            (way == BARE && byte == '#' && i == 0)) {
            add_escape(text, byte);
            continue;
        }
        if (byte == '\\' || byte == '"' || (way == BARE && (byte == '\'' || byte == ' ')))
            add(text, '\\');
        add(text, byte);
    }
    if (way == DOUBLE || word.size == 0)
        add(text, '"');
}

static void quote(struct text *text, struct bitcask_slice word, enum way way)
{
    if (text->size > 0)
        add(text, ' ');
    if (way != SINGLE || word.size == 0 || memchr(word.data, '\'', word.size) != NULL) {
        add_escaped(text, word, way == SINGLE ? DOUBLE : way);
        return;
    }
    add(text, '\'');
    memcpy(text->bytes + text->size, word.data, word.size);
    text->size += word.size;
    add(text, '\'');
}

static struct tool_words words_of(const char *line, size_t size)
{
    struct tool_words words = { .line = fuzz_allocate(size + 1), .size = size };

    if (size > 0)
        memcpy(words.line, line, size);
    words.line[size] = 'x'; /* nothing may take it for a zero */
    return words;
}

/* Read what was written, and expect the words of @line. */
static void expect_same(const struct text *written, const char *line, size_t size)
{
    struct tool_words first = words_of(line, size);
    struct tool_words second = words_of(written->bytes, written->size);
    struct bitcask_slice word, again;

    while (tool_words_next(&first, &word) == TOOL_WORDS_WORD) {
        fuzz_check(tool_words_next(&second, &again) == TOOL_WORDS_WORD);
        fuzz_check(fuzz_same(word.data, word.size, again.data, again.size));
    }
    fuzz_check(tool_words_next(&second, &again) == TOOL_WORDS_END);
    free(first.line);
    free(second.line);
}

static void check_line(const char *line, size_t size, enum way way)
{
    struct tool_words words = words_of(line, size);
    /* A word has a byte or more, and a blank; each byte becomes four at most. */
    struct text written = { fuzz_allocate(8 * size + 16), 0 };
    struct bitcask_slice word;
    enum tool_words_result result;
    const char *end = words.line;

    while ((result = tool_words_next(&words, &word)) == TOOL_WORDS_WORD) {
        const char *bytes = word.data;

        fuzz_check(bytes >= end && bytes + word.size <= words.line + size);
        fuzz_check(bytes[word.size] == 0);
        end = bytes + word.size;
        fuzz_check(words.at <= size);
        quote(&written, word, way);
    }
    if (result == TOOL_WORDS_BAD) {
        fuzz_check(words.problem != NULL);
        fuzz_check(tool_words_next(&words, &word) == TOOL_WORDS_BAD);
    }
    expect_same(&written, line, size);
    free(words.line);
    free(written.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        const uint8_t *newline = memchr(bytes, '\n', size);
        size_t line_size = newline != NULL ? (size_t)(newline - bytes) : size;

        for (int way = 0; way < WAY_COUNT; way++)
            check_line((const char *)bytes, line_size, (enum way)way);
        if (newline == NULL)
            break;
        bytes += line_size + 1;
        size -= line_size + 1;
    }
    return 0;
}
