/* SPDX-License-Identifier: MIT */
/*
 * Standard input line by line, for the shell: gives a line as soon as it is there.
 */
#ifndef TOOLS_LINES_H
#define TOOLS_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOOL_LINE_SIZE_MAX = 64 * 1024 * 1024 /* bounds what one line can take of memory */
};

enum tool_lines_result {
    TOOL_LINES_LINE,
    TOOL_LINES_TOO_LONG, /* the line was skipped; the next call goes on behind it */
    TOOL_LINES_END,
    TOOL_LINES_INTERRUPTED,
    TOOL_LINES_FAILED, /* errno says why */
};

/* Zero-initialise and set the descriptor; release. */
struct tool_lines {
    int descriptor;
    uint64_t number; /* of the line that next() gave, from 1 */
    char *data;
    size_t capacity;
    size_t begin;
    size_t end;
};

/*
 * Step to the next line. It comes without its newline; (*line)[*size] may be written
 * to. Valid until the next call on @lines.
 */
enum tool_lines_result tool_lines_next(struct tool_lines *lines, char **line,
                                       size_t *size);

void tool_lines_release(struct tool_lines *lines);

#endif
