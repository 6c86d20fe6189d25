/* SPDX-License-Identifier: MIT */
/*
 * Structured lines on standard error, for machines and for looking back: time, level,
 * message, how long it took, and fields. Silent unless LOG_LEVEL or --log says more.
 */
#ifndef TOOLS_LOG_H
#define TOOLS_LOG_H

#include <bitcask/bitcask.h>
#include <jansson.h>

/* Zero is silent. */
enum tool_log_level {
    TOOL_LOG_SILENT = 0,
    TOOL_LOG_ERROR,
    TOOL_LOG_WARN,
    TOOL_LOG_INFO,
    TOOL_LOG_DEBUG
};

struct tool_log {
    enum tool_log_level level; /* lines up to this one are written */
    bool json;                 /* one object a line, instead of text */
};

/* The level of that name, in capitals too. False: there is none. */
bool tool_log_level_parse(const char *name, enum tool_log_level *level);

bool tool_log_wants(const struct tool_log *log, enum tool_log_level level);

/*
 * Write one line, unless @log does not want it. duration_ms counts from @begin_ns.
 * @fields (an object, or NULL) is released in any case; make it with
 * tool_log_wants() asked first where that costs.
 */
void tool_log_write(const struct tool_log *log, enum tool_log_level level,
                    const char *message, uint64_t begin_ns, json_t *fields);

/* The monotonic clock. */
uint64_t tool_now_ns(void);

#endif
