/* SPDX-License-Identifier: MIT */
#include "dotenv.h"

#include <stdbool.h>
#include <string.h>

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static bool begins_name(char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_';
}

static bool is_name(char byte)
{
    return begins_name(byte) || (byte >= '0' && byte <= '9') || byte == '.' ||
           byte == '-';
}

static bool at_end(const struct tool_dotenv *dotenv)
{
    return dotenv->at == dotenv->size;
}

/* The byte to be read next; a newline behind the last one. */
static char peek(const struct tool_dotenv *dotenv)
{
    return at_end(dotenv) ? '\n' : dotenv->text[dotenv->at];
}

static void skip_blanks(struct tool_dotenv *dotenv)
{
    while (is_blank(peek(dotenv)))
        dotenv->at++;
}

static void skip_line(struct tool_dotenv *dotenv)
{
    while (peek(dotenv) != '\n')
        dotenv->at++;
}

/* To the first byte of the next line that says anything. False at the end. */
static bool find_line(struct tool_dotenv *dotenv)
{
    while (!at_end(dotenv)) {
        skip_blanks(dotenv);
        if (peek(dotenv) == '#')
            skip_line(dotenv);
        if (at_end(dotenv))
            break;
        if (peek(dotenv) != '\n')
            return true;
        dotenv->at++;
        dotenv->newlines++;
    }
    return false;
}

static bool refuse(struct tool_dotenv *dotenv, const char *problem)
{
    dotenv->problem = problem;
    return false;
}

/* Over `export `, unless it is the name itself. */
static void skip_export(struct tool_dotenv *dotenv)
{
    static const char word[] = "export";
    size_t begin = dotenv->at;

    if (dotenv->size - begin <= sizeof word - 1 ||
        memcmp(dotenv->text + begin, word, sizeof word - 1) != 0)
        return;
    dotenv->at += sizeof word - 1;
    if (is_blank(peek(dotenv)))
        skip_blanks(dotenv);
    if (!begins_name(peek(dotenv)) || !is_blank(dotenv->text[dotenv->at - 1]))
        dotenv->at = begin;
}

/* NAME, blanks, = and blanks; ends the name with a zero. */
static bool take_name(struct tool_dotenv *dotenv, const char **name)
{
    size_t begin = dotenv->at;
    size_t end;

    if (!begins_name(peek(dotenv)))
        return refuse(dotenv, "a line is NAME=VALUE, and this one begins with no name");
    while (is_name(peek(dotenv)))
        dotenv->at++;
    end = dotenv->at;
    skip_blanks(dotenv);
    if (peek(dotenv) != '=')
        return refuse(dotenv, "a line is NAME=VALUE, and this one has no = "
                              "behind its name");
    dotenv->at++;
    skip_blanks(dotenv);
    dotenv->text[end] = 0;
    *name = dotenv->text + begin;
    return true;
}

/* The byte that a backslash and @letter stand for in double quotes; 0 for none. */
static char unescape(char letter)
{
    switch (letter) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case '\\':
    case '"':
    case '$':
        return letter;
    default:
        return 0;
    }
}

/* What stands in quotes, from the opening one to the end of the line. */
static bool take_quoted(struct tool_dotenv *dotenv, char quote, const char **value)
{
    char *text = dotenv->text;
    size_t begin = ++dotenv->at;
    size_t out = begin;

    while (!at_end(dotenv) && text[dotenv->at] != quote) {
        char byte = text[dotenv->at++];

        if (byte == '\n')
            dotenv->newlines++;
        if (byte == '\\' && quote == '"' && !at_end(dotenv)) {
            char meant = unescape(text[dotenv->at]);

            if (meant != 0) {
                byte = meant;
                dotenv->at++;
            }
        }
        text[out++] = byte;
    }
    if (at_end(dotenv))
        return refuse(dotenv, "a quote is never closed");
    dotenv->at++;
    skip_blanks(dotenv);
    if (peek(dotenv) != '\n' && peek(dotenv) != '#')
        return refuse(dotenv, "only a remark may follow the closing quote");
    skip_line(dotenv);
    text[out] = 0;
    *value = text + begin;
    return true;
}

/* Up to the end of the line, or to a # behind a blank. */
static void take_plain(struct tool_dotenv *dotenv, const char **value)
{
    size_t begin = dotenv->at;
    size_t end = begin;

    for (; peek(dotenv) != '\n'; dotenv->at++) {
        char byte = peek(dotenv);

        /* Also right behind the = if blanks were skipped there. */
        if (byte == '#' && is_blank(dotenv->text[dotenv->at - 1]))
            break;
        if (!is_blank(byte))
            end = dotenv->at + 1;
    }
    skip_line(dotenv);
    /* The newline's place may be the one to take the zero: step over it first. */
    if (!at_end(dotenv)) {
        dotenv->at++;
        dotenv->newlines++;
    }
    dotenv->text[end] = 0;
    *value = dotenv->text + begin;
}

enum tool_dotenv_result tool_dotenv_next(struct tool_dotenv *dotenv, const char **name,
                                         const char **value)
{
    static const char mark[] = "\xef\xbb\xbf"; /* UTF-8's byte order mark */
    bool good;

    if (dotenv->problem != NULL)
        return TOOL_DOTENV_BAD;
    if (dotenv->at == 0) {
        if (memchr(dotenv->text, 0, dotenv->size) != NULL) {
            dotenv->line = 1;
            dotenv->problem = "this is no text: it holds a zero byte";
            return TOOL_DOTENV_BAD;
        }
        if (dotenv->size >= 3 && memcmp(dotenv->text, mark, 3) == 0)
            dotenv->at = 3;
    }
    if (!find_line(dotenv))
        return TOOL_DOTENV_END;

    dotenv->line = dotenv->newlines + 1;
    skip_export(dotenv);
    good = take_name(dotenv, name);
    if (good && (peek(dotenv) == '"' || peek(dotenv) == '\''))
        good = take_quoted(dotenv, peek(dotenv), value);
    else if (good)
        take_plain(dotenv, value);
    return good ? TOOL_DOTENV_PAIR : TOOL_DOTENV_BAD;
}
