/* SPDX-License-Identifier: MIT */
/*
 * The text of a .env file, as names and values.
 *
 *     # a remark
 *     FILEPATH=/var/lib/cask          # another, after a blank
 *     export BITCASK_DIR='taken $as it stands'
 *     LOG_LEVEL="with \n \t \\ \" \$ decoded"
 *
 * Blanks around names, values and lines do not count, nor does the CR of CRLF. Quoted
 * values may span lines. Other backslashes stay, and nothing is expanded. Later lines
 * win, which is for the caller to do.
 *
 * Pure: decodes in place, allocates nothing, reads no file.
 */
#ifndef TOOLS_DOTENV_H
#define TOOLS_DOTENV_H

#include <stddef.h>
#include <stdint.h>

enum tool_dotenv_result {
    TOOL_DOTENV_PAIR,
    TOOL_DOTENV_END,
    TOOL_DOTENV_BAD
};

/*
 * Initialise with the @text, its @size, and zeroes; @text[@size] must be there to be
 * written to. Both stay the caller's.
 */
struct tool_dotenv {
    char *text;
    size_t size;
    size_t at;           /* what is not yet read */
    uint64_t line;       /* where what next() told of begins, from 1 */
    uint64_t newlines;   /* read so far */
    const char *problem; /* after TOOL_DOTENV_BAD: what is wrong in that line */
};

/*
 * Step to the next assignment. Both strings lie in the text and stay valid as long as
 * it. BAD is for good.
 */
enum tool_dotenv_result tool_dotenv_next(struct tool_dotenv *dotenv, const char **name,
                                         const char **value);

#endif
