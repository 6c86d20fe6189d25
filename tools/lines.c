/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include "interrupt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room for at least one more byte, and one behind it. */
static bool make_room(struct tool_lines *lines)
{
    size_t capacity = lines->capacity == 0 ? 64 * 1024 : 2 * lines->capacity;
    char *data;

    if (lines->begin > 0) {
        memmove(lines->data, lines->data + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
    }
    if (lines->capacity - lines->end > 1)
        return true;
    data = realloc(lines->data, capacity);
    if (data == NULL)
        return false;
    lines->data = data;
    lines->capacity = capacity;
    return true;
}

/* Read once, behind what is there. LINE: something came. */
static enum tool_lines_result fill(struct tool_lines *lines)
{
    ssize_t got;

    if (!make_room(lines)) {
        errno = ENOMEM;
        return TOOL_LINES_FAILED;
    }
    got = tool_interrupt_read(lines->descriptor, lines->data + lines->end,
                              lines->capacity - lines->end - 1);
    if (got < 0)
        return errno == EINTR ? TOOL_LINES_INTERRUPTED : TOOL_LINES_FAILED;
    lines->end += (size_t)got;
    return got == 0 ? TOOL_LINES_END : TOOL_LINES_LINE;
}

static void give(struct tool_lines *lines, size_t size, char **line, size_t *line_size)
{
    *line = lines->data + lines->begin;
    *line_size = size;
    lines->begin += size;
    if (lines->begin < lines->end)
        lines->begin++; /* the newline */
    lines->number++;
}

enum tool_lines_result tool_lines_next(struct tool_lines *lines, char **line,
                                       size_t *size)
{
    size_t looked = 0; /* bytes of the line known to hold no newline */
    bool too_long = false;

    for (;;) {
        size_t held = lines->end - lines->begin;
        char *newline = NULL;
        enum tool_lines_result result;

        if (held > looked)
            newline = memchr(lines->data + lines->begin + looked, '\n', held - looked);
        if (newline != NULL) {
            give(lines, (size_t)(newline - lines->data) - lines->begin, line, size);
            return too_long ? TOOL_LINES_TOO_LONG : TOOL_LINES_LINE;
        }
        looked = held;
        if (held > TOOL_LINE_SIZE_MAX) {
            too_long = true;
            lines->begin = lines->end;
            looked = 0;
        }
        result = fill(lines);
        if (result == TOOL_LINES_END && (lines->end > lines->begin || too_long)) {
            give(lines, lines->end - lines->begin, line, size);
            return too_long ? TOOL_LINES_TOO_LONG : TOOL_LINES_LINE;
        }
        if (result != TOOL_LINES_LINE)
            return result;
    }
}

void tool_lines_release(struct tool_lines *lines)
{
    free(lines->data);
    *lines = (struct tool_lines){ 0 };
}
