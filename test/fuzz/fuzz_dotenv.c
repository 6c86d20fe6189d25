/* SPDX-License-Identifier: MIT */
/*
 * .env files, as tools/dotenv.h reads them.
 *
 * - Names and values lie in the text, each ends in its zero byte, and names are names.
 * - The line that is told goes up, and is one of the text. A mistake is one for good.
 * - What was read, written down again in either kind of quotes, is read as the same.
 */
#include "test/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tools/dotenv.h"

static bool is_letter(char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_';
}

static bool is_name(const char *name)
{
    if (!is_letter(*name))
        return false;
    for (; *name != 0; name++)
        if (!is_letter(*name) && (*name < '0' || *name > '9') && *name != '.' &&
            *name != '-')
            return false;
    return true;
}

/* Text that grows to a size known before. */
struct text {
    char *bytes;
    size_t size;
};

static void add(struct text *text, const char *bytes)
{
    size_t size = strlen(bytes);

    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

/* NAME=VALUE, in single quotes where that is possible and @plain says so. */
static void add_pair(struct text *text, const char *name, const char *value, bool plain)
{
    bool single = plain && strchr(value, '\'') == NULL;

    add(text, name);
    add(text, single ? "='" : "=\"");
    for (; *value != 0; value++) {
        char byte[2] = { *value, 0 };

        if (!single && strchr("\\\"$", *value) != NULL)
            add(text, "\\");
        add(text, !single && *value == '\n'   ? "\\n"
                  : !single && *value == '\t' ? "\\t"
                                              : byte);
    }
    add(text, single ? "'\n" : "\"\n");
}

/* Read @written, and expect what @original gives from its beginning. */
static void expect_same(struct text *written, char *original, size_t size)
{
    struct tool_dotenv first = { .text = original, .size = size };
    struct tool_dotenv second = { .size = written->size };
    const char *name, *value, *name_again, *value_again;

    second.text = (char *)fuzz_copy(written->bytes, written->size + 1);
    while (tool_dotenv_next(&first, &name, &value) == TOOL_DOTENV_PAIR) {
        fuzz_check(tool_dotenv_next(&second, &name_again, &value_again) ==
                   TOOL_DOTENV_PAIR);
        fuzz_check(strcmp(name, name_again) == 0);
        fuzz_check(strcmp(value, value_again) == 0);
    }
    fuzz_check(tool_dotenv_next(&second, &name_again, &value_again) == TOOL_DOTENV_END);
    free(second.text);
}

static void write_again(const uint8_t *bytes, size_t size, bool plain)
{
    char *read = (char *)fuzz_allocate(size + 1);
    char *original = (char *)fuzz_allocate(size + 1);
    /* A pair has two bytes or more in the text, and gets up to five beside its own. */
    struct text written = { fuzz_allocate(6 * size + 8), 0 };
    struct tool_dotenv dotenv = { .text = read, .size = size };
    const char *name, *value;

    memcpy(read, bytes, size);
    memcpy(original, bytes, size);
    while (tool_dotenv_next(&dotenv, &name, &value) == TOOL_DOTENV_PAIR)
        add_pair(&written, name, value, plain);
    expect_same(&written, original, size);
    free(read);
    free(original);
    free(written.bytes);
}

static void read_once(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = fuzz_allocate(size + 1);
    struct tool_dotenv dotenv = { .text = (char *)copy, .size = size };
    const char *name, *value;
    enum tool_dotenv_result result;
    uint64_t line_count = 1, line = 0;

    if (size > 0)
        memcpy(copy, bytes, size);
    copy[size] = 'x'; /* nothing may take it for a zero */
    for (size_t i = 0; i < size; i++)
        line_count += bytes[i] == '\n';
    while ((result = tool_dotenv_next(&dotenv, &name, &value)) == TOOL_DOTENV_PAIR) {
        fuzz_check(name >= (char *)copy && value > name);
        fuzz_check(memchr(name, 0, (size_t)((char *)copy + size + 1 - name)) != NULL);
        fuzz_check(value <= (char *)copy + size);
        fuzz_check(memchr(value, 0, (size_t)((char *)copy + size + 1 - value)) != NULL);
        fuzz_check(is_name(name));
        fuzz_check(dotenv.line > line && dotenv.line <= line_count);
        line = dotenv.line;
        fuzz_check(dotenv.at <= size);
    }
    if (result == TOOL_DOTENV_BAD) {
        fuzz_check(dotenv.problem != NULL && dotenv.line <= line_count);
        fuzz_check(tool_dotenv_next(&dotenv, &name, &value) == TOOL_DOTENV_BAD);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    read_once(bytes, size);
    if (size > 0) {
        write_again(bytes, size, true);
        write_again(bytes, size, false);
    }
    return 0;
}
