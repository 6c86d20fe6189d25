/* SPDX-License-Identifier: MIT */
#include "words.h"

#include "escape.h"

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* Decode the escape at words->at into *byte. */
static bool take_escape(struct tool_words *words, char *byte)
{
    const char *text = words->line + words->at;
    size_t left = words->size - words->at;
    size_t used = tool_unescape(text, left, byte);

    if (used == 0 && left > 1 && (text[1] == '"' || text[1] == '\'' || text[1] == ' ')) {
        *byte = text[1];
        used = 2;
    }
    if (used == 0) {
        words->problem = left > 1 && text[1] == 'x'
                             ? "\\x wants two hexadecimal digits behind it"
                             : "a backslash goes before one of \\ \" ' n t r xHH or a "
                               "space";
        return false;
    }
    words->at += used;
    return true;
}

/* Decode the word at words->at, which ends at a blank or the end, down to @out. */
static bool take_word(struct tool_words *words, size_t *out)
{
    char *line = words->line;
    char quote = 0; /* the one that is open */

    while (words->at < words->size) {
        char byte = line[words->at];

        if (quote == 0 && is_blank(byte))
            break;
        if (byte == '\\' && quote != '\'') {
            if (!take_escape(words, &byte))
                return false;
            line[(*out)++] = byte;
            continue;
        }
        words->at++;
        if (quote == 0 && (byte == '"' || byte == '\''))
            quote = byte;
        else if (quote != 0 && byte == quote)
            quote = 0;
        else
            line[(*out)++] = byte;
    }
    if (quote != 0)
        words->problem = quote == '"' ? "a \" is never closed" : "a ' is never closed";
    return quote == 0;
}

enum tool_words_result tool_words_next(struct tool_words *words,
                                       struct bitcask_slice *word)
{
    bool first = words->at == 0;
    size_t begin, out;

    if (words->problem != NULL)
        return TOOL_WORDS_BAD;
    while (words->at < words->size && is_blank(words->line[words->at]))
        words->at++;
    if (first && words->at < words->size && words->line[words->at] == '#')
        words->at = words->size;
    if (words->at == words->size)
        return TOOL_WORDS_END;

    begin = words->at;
    out = begin;
    if (!take_word(words, &out))
        return TOOL_WORDS_BAD;
    if (words->at < words->size)
        words->at++; /* the blank, whose place the zero may take */
    words->line[out] = 0;
    word->data = words->line + begin;
    word->size = out - begin;
    return TOOL_WORDS_WORD;
}
