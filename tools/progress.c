/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static void show(const struct tool_progress *progress, uint64_t now_ns, uint64_t pairs,
                 uint64_t bytes, bool last)
{
    double seconds = (double)(now_ns - progress->begin_ns) / 1e9;
    double rate = seconds > 0 ? (double)pairs / seconds / 1000 : 0;
    const char *begin = progress->terminal ? "\r" : "";
    const char *end = progress->terminal && !last ? "\033[K" : "\n";

    if (progress->terminal && last)
        begin = "\r\033[K";
    fprintf(stderr, "%s%" PRIu64 " pairs, %.1f MiB, %.1f s, %.0f thousand pairs/s%s",
            begin, pairs, (double)bytes / 1048576, seconds, rate, end);
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
    uint64_t pause_ns = progress->terminal ? 200000000u : 1000000000u;
    uint64_t now_ns;

    if (!progress->on)
        return;
    now_ns = tool_now_ns();
    if (now_ns - progress->shown_ns < pause_ns)
        return;
    progress->shown_ns = now_ns;
    show(progress, now_ns, pairs, bytes, false);
}

void tool_progress_end(struct tool_progress *progress, uint64_t pairs, uint64_t bytes)
{
    if (progress->on)
        show(progress, tool_now_ns(), pairs, bytes, true);
    progress->on = false;
}
