/* SPDX-License-Identifier: MIT */
#include "output.h"

#include "escape.h"
#include "number.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void write_out(struct tool_output *output, const char *data, size_t size)
{
    while (size > 0 && output->error == 0) {
        ssize_t got = write(output->descriptor, data, size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            output->error = got < 0 ? errno : EIO;
            break;
        }
        data += got;
        size -= (size_t)got;
    }
}

bool tool_output_flush(struct tool_output *output)
{
    write_out(output, output->data, output->used);
    output->used = 0;
    return output->error == 0;
}

void tool_output_write(struct tool_output *output, const void *data, size_t size)
{
    if (size > sizeof output->data - output->used)
        tool_output_flush(output);
    if (size > sizeof output->data) {
        write_out(output, data, size);
    } else if (size > 0) {
        memcpy(output->data + output->used, data, size);
        output->used += size;
    }
}

void tool_output_text(struct tool_output *output, const char *text)
{
    tool_output_write(output, text, strlen(text));
}

void tool_output_print(struct tool_output *output, const char *format, ...)
{
    char text[1024];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    tool_output_text(output, text);
}

void tool_output_escape(struct tool_output *output, struct bitcask_slice bytes)
{
    while (bytes.size > 0 && output->error == 0) {
        if (sizeof output->data - output->used < TOOL_ESCAPE_ROOM_MIN)
            tool_output_flush(output);
        output->used += tool_escape(&bytes, output->data + output->used,
                                    sizeof output->data - output->used);
    }
}

void tool_output_count(struct tool_output *output, const char *name, uint64_t count)
{
    char text[TOOL_NUMBER_SIZE];

    tool_output_print(output, "%-12s%31s\n", name, tool_number_print(count, text));
}

void tool_output_size(struct tool_output *output, const char *name, uint64_t size)
{
    char exact[TOOL_NUMBER_SIZE], human[TOOL_NUMBER_SIZE];

    tool_output_print(output, "%-12s%11s  %18s\n", name, tool_size_print(size, human),
                      tool_number_print(size, exact));
}
