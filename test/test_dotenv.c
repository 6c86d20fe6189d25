/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/dotenv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text in memory that ends where the parser must stop, so that sanitizers see it. */
static char *copy_of(const char *text, size_t size)
{
    char *copy = malloc(size + 1);

    assert_non_null(copy);
    memcpy(copy, text, size);
    copy[size] = 'x';
    return copy;
}

/* Parse @text; what it assigns as [NAME=VALUE] into @found, a mistake's line in *line. */
static enum tool_dotenv_result parse(const char *text, size_t size, char *found,
                                     size_t capacity, uint64_t *line)
{
    struct tool_dotenv dotenv = { .text = copy_of(text, size), .size = size };
    const char *name, *value;
    enum tool_dotenv_result result;
    size_t out = 0;

    found[0] = 0;
    while ((result = tool_dotenv_next(&dotenv, &name, &value)) == TOOL_DOTENV_PAIR) {
        out += (size_t)snprintf(found + out, capacity - out, "[%s=%s]", name, value);
        assert_true(out < capacity);
    }
    if (result == TOOL_DOTENV_BAD) {
        assert_non_null(dotenv.problem);
        assert_int_equal(tool_dotenv_next(&dotenv, &name, &value), TOOL_DOTENV_BAD);
    }
    *line = dotenv.line;
    free(dotenv.text);
    return result;
}

static void files_mean_what_is_documented(void **state)
{
    static const struct {
        const char *text;
        const char *found;
    } cases[] = {
        { "", "" },
        { "\n \n\t\r\n", "" },
        { "# only a remark", "" },
        { "A=1", "[A=1]" },
        { "A=1\nB=2\n", "[A=1][B=2]" },
        { "A=1\r\nB=2\r\n", "[A=1][B=2]" },
        { "\xef\xbb\xbf"
          "A=1\n",
          "[A=1]" },
        { "  A  =  1 2  \n", "[A=1 2]" },
        { "export A=1\nexport\tB=2", "[A=1][B=2]" },
        { "export=1\nexported=2\nexport =3", "[export=1][exported=2][export=3]" },
        { "A=\nB= \nC=", "[A=][B=][C=]" },
        { "A=1 # remark\nB=1#2\nC=#3\nD= # four\n", "[A=1][B=1#2][C=#3][D=]" },
        { "A='one \\n $two \"three\"'", "[A=one \\n $two \"three\"]" },
        { "A=\"\\n\\t\\\\\\\"\\$\"", "[A=\n\t\\\"$]" },
        { "A=\"C:\\dir\\q\"", "[A=C:\\dir\\q]" },
        { "A=\"1\" # remark\nB='2'#remark\nC=\"\"\r\nD=''", "[A=1][B=2][C=][D=]" },
        { "A=\"one\ntwo\"\nB=2", "[A=one\ntwo][B=2]" },
        { "A=x\"y\"z'", "[A=x\"y\"z']" },
        { "A=$HOME/~", "[A=$HOME/~]" },
        { "A=B=C", "[A=B=C]" },
        { "_a.b-c9=1", "[_a.b-c9=1]" },
        { "A=1\nA=2", "[A=1][A=2]" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[256];
        uint64_t line;

        assert_int_equal(
            parse(cases[i].text, strlen(cases[i].text), found, sizeof found, &line),
            TOOL_DOTENV_END);
        assert_string_equal(found, cases[i].found);
    }
}

static void mistakes_are_refused_with_their_line(void **state)
{
    static const struct {
        const char *why;
        const char *text;
        uint64_t line;
    } cases[] = {
        { "no =", "A", 1 },
        { "no =, with export", "A=1\nexport A\n", 2 },
        { "no name", "A=1\n\n# remark\n=2\n", 4 },
        { "a name that begins with a digit", "9A=1", 1 },
        { "two words before the =", "A B=1", 1 },
        { "a quote that is never closed", "A=1\nB=\"2\nC=3\n", 2 },
        { "a single quote that is never closed", "A='", 1 },
        { "something behind the closing quote", "A='1' 2", 1 },
        { "a backslash before the closing quote", "A=\"1\\\"", 1 },
        { "a mistake behind a value of two lines", "A='1\n2'\nB\n", 3 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[256];
        uint64_t line;

        printf("  %s\n", cases[i].why);
        assert_int_equal(
            parse(cases[i].text, strlen(cases[i].text), found, sizeof found, &line),
            TOOL_DOTENV_BAD);
        assert_int_equal(line, cases[i].line);
    }
}

static void a_zero_byte_is_refused(void **state)
{
    char found[64];
    uint64_t line;

    (void)state;
    assert_int_equal(parse("A=1\0B=2", 7, found, sizeof found, &line), TOOL_DOTENV_BAD);
}

static void random_texts_stay_within_their_bounds(void **state)
{
    static const char often[] = "A= \"'\\n#\r\n$export";
    unsigned seed = 20260303;

    (void)state;
    printf("  seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 20000; round++) {
        char text[48];
        size_t size = (size_t)rand() % sizeof text;
        struct tool_dotenv dotenv = { .size = size };
        const char *name, *value;
        size_t total = 0;

        for (size_t i = 0; i < size; i++)
            text[i] =
                rand() % 32 ? often[(size_t)rand() % (sizeof often - 1)] : (char)rand();
        dotenv.text = copy_of(text, size);
        while (tool_dotenv_next(&dotenv, &name, &value) == TOOL_DOTENV_PAIR)
            total += strlen(name) + 1 + strlen(value);
        assert_true(total <= size);
        free(dotenv.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_mean_what_is_documented),
        cmocka_unit_test(mistakes_are_refused_with_their_line),
        cmocka_unit_test(a_zero_byte_is_refused),
        cmocka_unit_test(random_texts_stay_within_their_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
