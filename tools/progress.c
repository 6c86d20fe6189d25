/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include "log.h"
#include "number.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    BAR_WIDTH = 30 /* of 80 columns */
};

/* Write one state of the line. */
static void show(const struct tool_progress *progress, bool last, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void show(const struct tool_progress *progress, bool last, const char *format, ...)
{
    char text[256];
    const char *end = progress->terminal && !last ? "" : "\n";
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    /* In one write: standard error has no buffer, and half a line flickers. */
    fprintf(stderr, "%s%s%s%s", progress->terminal ? "\r" : "", text,
            progress->terminal ? "\033[K" : "", end);
}

static double seconds_since(const struct tool_progress *progress)
{
    return (double)(tool_now_ns() - progress->begin_ns) / 1e9;
}

static double mebibytes(uint64_t size)
{
    return (double)size / 1048576;
}

static void show_pairs(const struct tool_progress *progress, uint64_t pairs,
                       uint64_t bytes, bool last)
{
    double seconds = seconds_since(progress);
    double rate = seconds > 0 ? (double)pairs / seconds / 1000 : 0;

    show(progress, last, "%" PRIu64 " pairs, %.1f MiB, %.1f s, %.0f thousand pairs/s",
         pairs, mebibytes(bytes), seconds, rate);
}

static void show_bar(const struct tool_progress *progress, uint64_t done, uint64_t total,
                     bool last)
{
    double seconds = seconds_since(progress);
    double rate = seconds > 0 ? mebibytes(done) / seconds : 0;
    double percent = done < total ? tool_percent(done, total) : 100;
    int filled = (int)(percent / 100 * BAR_WIDTH);
    char bar[BAR_WIDTH + 1];

    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[BAR_WIDTH] = 0;
    show(progress, last, "[%s] %3d %%  %.1f of %.1f MiB, %.1f MiB/s", bar, (int)percent,
         mebibytes(done), mebibytes(total), rate);
}

/* Whether the line is to be written again; if so, notes that it is. */
static bool is_time(struct tool_progress *progress)
{
    uint64_t pause_ns = progress->terminal ? 200000000u : 1000000000u;
    uint64_t now_ns;

    if (!progress->on)
        return false;
    now_ns = tool_now_ns();
    if (now_ns - progress->shown_ns < pause_ns)
        return false;
    progress->shown_ns = now_ns;
    return true;
}

void tool_progress_begin(struct tool_progress *progress, bool wanted)
{
    progress->terminal = isatty(STDERR_FILENO);
    progress->on = progress->terminal || wanted;
    progress->begin_ns = tool_now_ns();
    progress->shown_ns = progress->begin_ns;
}

void tool_progress_step(struct tool_progress *progress, uint64_t pairs, uint64_t bytes)
{
    if (is_time(progress))
        show_pairs(progress, pairs, bytes, false);
}

void tool_progress_end(struct tool_progress *progress, uint64_t pairs, uint64_t bytes)
{
    if (progress->on)
        show_pairs(progress, pairs, bytes, true);
    progress->on = false;
}

void tool_progress_step_bar(struct tool_progress *progress, uint64_t done, uint64_t total)
{
    if (is_time(progress))
        show_bar(progress, done, total, false);
}

void tool_progress_end_bar(struct tool_progress *progress, uint64_t done, uint64_t total)
{
    if (progress->on)
        show_bar(progress, done, total, true);
    progress->on = false;
}
