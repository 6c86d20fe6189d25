/* SPDX-License-Identifier: MIT */
/*
 * A line of the shell, as words.
 *
 * Blanks part words. '...' is taken as it stands. Everywhere else \\ \n \t \r \xHH are
 * as in escape.h, and \" \' and backslash-space stand for those bytes; "..." also keeps
 * its blanks. What touches is one word, so a"b c"'d' is `ab cd`, and "" is an empty one.
 * Any other escape is a mistake, never silently something else. A line whose first
 * word begins with # is a remark.
 *
 * Pure: decodes in place, allocates nothing, reads no file.
 */
#ifndef TOOLS_WORDS_H
#define TOOLS_WORDS_H

#include <bitcask/bitcask.h>

enum tool_words_result {
    TOOL_WORDS_WORD,
    TOOL_WORDS_END,
    TOOL_WORDS_BAD
};

/*
 * Initialise with the @line, which has no newline, its @size, and zeroes; @line[@size]
 * must be there to be written to. Both stay the caller's.
 */
struct tool_words {
    char *line;
    size_t size;
    size_t at;           /* what is not yet read */
    const char *problem; /* after TOOL_WORDS_BAD: what is wrong */
};

/*
 * Step to the next word. Its bytes lie in the line, followed by a zero byte that its
 * size does not count, and stay valid as long as the line. BAD is for good.
 */
enum tool_words_result tool_words_next(struct tool_words *words,
                                       struct bitcask_slice *word);

#endif
