/* SPDX-License-Identifier: MIT */
/*
 * Standard output: buffered, and honest about what became of it.
 *
 * stdio forgets why a write failed; here the first error stays, and nothing is written
 * any more after it. Who reads a pipe may close it early: that is EPIPE, no failure.
 */
#ifndef TOOLS_OUTPUT_H
#define TOOLS_OUTPUT_H

#include <bitcask/bitcask.h>

enum {
    TOOL_OUTPUT_CAPACITY = 64 * 1024
};

/* Zero-initialise and set the descriptor. What is not flushed is lost. */
struct tool_output {
    int descriptor;
    int error; /* errno of the first write that failed, or 0 */
    size_t used;
    char data[TOOL_OUTPUT_CAPACITY];
};

void tool_output_write(struct tool_output *output, const void *data, size_t size);
void tool_output_text(struct tool_output *output, const char *text);

/* At most 1023 bytes are printed. */
void tool_output_print(struct tool_output *output, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Write @bytes as in escape.h. */
void tool_output_escape(struct tool_output *output, struct bitcask_slice bytes);

/* A line with a @name and a number, or a @size that is given in a unit as well. */
void tool_output_count(struct tool_output *output, const char *name, uint64_t count);
void tool_output_size(struct tool_output *output, const char *name, uint64_t size);

/* Hand everything to the system. False when that, or a write before, failed. */
bool tool_output_flush(struct tool_output *output);

#endif
