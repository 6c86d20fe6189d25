/* SPDX-License-Identifier: MIT */
/*
 * How far `load` or `merge` is, on standard error: one line that is written over on a
 * terminal, a line a second elsewhere if that was asked for.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed is off. */
struct tool_progress {
    bool on;
    bool terminal;
    uint64_t begin_ns;
    uint64_t shown_ns; /* when a line was last written */
};

/* On if standard error is a terminal or @wanted. */
void tool_progress_begin(struct tool_progress *progress, bool wanted);

/* Show it, if it is time to. Reads the clock: not for each pair. For `load`. */
void tool_progress_step(struct tool_progress *progress, uint64_t pairs, uint64_t bytes);

/* Write the last line. */
void tool_progress_end(struct tool_progress *progress, uint64_t pairs, uint64_t bytes);

/* The same two for what knows its end in advance, as a bar: @done of @total bytes. */
void tool_progress_step_bar(struct tool_progress *progress, uint64_t done,
                            uint64_t total);
void tool_progress_end_bar(struct tool_progress *progress, uint64_t done, uint64_t total);

#endif
