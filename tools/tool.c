/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include "escape.h"
#include "json_out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct tool_name tool_name_of(struct bitcask_slice bytes)
{
    struct tool_name name;
    char *text = name.text;
    size_t size;

    /* Room for the quotes, an ellipsis and the zero. */
    text[0] = '\'';
    size = 1 + tool_escape(&bytes, text + 1, TOOL_NAME_SIZE - 6);
    if (bytes.size > 0) {
        memcpy(text + size, "...", 3);
        size += 3;
    }
    text[size] = '\'';
    text[size + 1] = 0;
    return name;
}

static json_t *message_fields(const struct tool *tool)
{
    json_t *fields = json_object();

    if (fields != NULL && tool->command != NULL)
        json_object_set_new(fields, "command", json_string(tool->command));
    if (fields != NULL && tool->line > 0)
        json_object_set_new(fields, "line", json_integer((json_int_t)tool->line));
    return fields;
}

/* Details of the library have paths as they are: a terminal is not to obey them. */
static void disarm(char *text)
{
    unsigned char *at = (unsigned char *)text;

    for (size_t left = strlen(text); left > 0;) {
        size_t size = *at == '\n' ? 0 : tool_control_size(at, left);

        memset(at, '?', size);
        at += size > 0 ? size : 1;
        left -= size > 0 ? size : 1;
    }
}

void tool_say(const struct tool *tool, enum tool_log_level level, const char *format, ...)
{
    char text[8192];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    disarm(text);

    if (tool->log.level != TOOL_LOG_SILENT)
        tool_log_write(&tool->log, level, text, tool->begin_ns, message_fields(tool));
    else if (tool->line > 0)
        fprintf(stderr, "%s: line %llu: %s\n", tool->program,
                (unsigned long long)tool->line, text);
    else
        fprintf(stderr, "%s: %s\n", tool->program, text);
}

int tool_exit_of(enum bitcask_status status)
{
    switch (status) {
    case BITCASK_OK:
        return TOOL_DONE;
    case BITCASK_NOT_FOUND:
        return TOOL_NOT_FOUND;
    case BITCASK_CORRUPT:
        return TOOL_DAMAGED;
    case BITCASK_LOCKED:
        return TOOL_LOCKED;
    default:
        return TOOL_ERROR;
    }
}

int tool_exit_worse(int one, int other)
{
    static const int by_harm[] = { TOOL_DAMAGED, TOOL_LOCKED, TOOL_ERROR, TOOL_USAGE,
                                   TOOL_NOT_FOUND };

    for (size_t i = 0; i < sizeof by_harm / sizeof *by_harm; i++)
        if (one == by_harm[i] || other == by_harm[i])
            return by_harm[i];
    return TOOL_DONE;
}

const char *tool_detail(enum bitcask_status status)
{
    const char *detail = bitcask_error_detail();

    return *detail != 0 ? detail : bitcask_status_text(status);
}

int tool_report_store(const struct tool *tool, enum bitcask_status status,
                      const char *could_not)
{
    const char *detail = tool_detail(status);
    size_t name_length = strlen(tool->directory);

    if (status == BITCASK_NOT_FOUND) {
        tool_say(tool, TOOL_LOG_ERROR,
                 "there is no cask at %s; %s--dir DIR names another",
                 tool_name_of(bitcask_text(tool->directory)).text,
                 tool->single ? "" : "set, load and shell make one there, ");
        return TOOL_ERROR; /* not 2, which says that a key is missing */
    }
    /* The detail begins with the directory, as it was given: say it once, escaped. */
    if (strncmp(detail, tool->directory, name_length) == 0 &&
        strncmp(detail + name_length, ": ", 2) == 0)
        detail += name_length + 2;
    tool_say(tool, TOOL_LOG_ERROR, "%s %s: %s",
             tool_name_of(bitcask_text(tool->directory)).text, could_not, detail);
    return tool_exit_of(status);
}

static void log_open(const struct tool *tool, uint64_t begin_ns,
                     const struct bitcask_options *options,
                     const struct bitcask_stat *stat)
{
    if (!tool_log_wants(&tool->log, TOOL_LOG_INFO))
        return;
    tool_log_write(&tool->log, TOOL_LOG_INFO, "opened", begin_ns,
                   json_pack("{s:o?, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "directory",
                             tool_json_text(tool->directory), "read_only",
                             options->read_only, "key_count", (json_int_t)stat->key_count,
                             "segment_count", (json_int_t)stat->segment_count,
                             "hint_count", (json_int_t)stat->hint_count, "scan_count",
                             (json_int_t)stat->scan_count, "cut_size",
                             (json_int_t)stat->cut_size, "recovered_size",
                             (json_int_t)stat->recovered_size));
}

/* Say what recovery had to take away: nobody else will. */
static void warn_of_cuts(const struct tool *tool, const struct bitcask_stat *stat)
{
    if (stat->cut_count == 0)
        return;
    tool_say(tool, TOOL_LOG_WARN,
             "warning: %llu bytes behind the last whole record were cut off; nothing "
             "that was known to be safe is lost",
             (unsigned long long)stat->cut_size);
}

/* With --salvage: what is answered may not be all, nor the newest. */
static int warn_of_damage(const struct tool *tool, const struct bitcask_stat *stat)
{
    if (stat->damage_count == 0)
        return TOOL_DONE;
    tool_say(tool, TOOL_LOG_WARN,
             "warning: damage at %llu places was stepped over; keys may be missing, "
             "deleted ones may be back, and values may be older ones",
             (unsigned long long)stat->damage_count);
    return TOOL_DAMAGED;
}

int tool_open(struct tool *tool, const struct bitcask_options *options)
{
    uint64_t begin_ns = tool_now_ns();
    struct bitcask_stat stat = { 0 };
    enum bitcask_status status;

    if (tool->cask != NULL)
        return TOOL_DONE;
    status = bitcask_open(&tool->cask, tool->directory, options);
    if (status != BITCASK_OK)
        return tool_report_store(tool, status, "could not be opened");
    if (bitcask_stat(tool->cask, &stat) == BITCASK_OK) {
        log_open(tool, begin_ns, options, &stat);
        if (!options->read_only)
            warn_of_cuts(tool, &stat);
        tool->salvage_code = warn_of_damage(tool, &stat);
    }
    return TOOL_DONE;
}

int tool_close(struct tool *tool)
{
    uint64_t begin_ns = tool_now_ns();
    enum bitcask_status status;

    if (tool->cask == NULL)
        return TOOL_DONE;
    status = bitcask_close(tool->cask);
    tool->cask = NULL;
    if (status != BITCASK_OK) {
        tool_say(tool, TOOL_LOG_ERROR, "closing the store failed: %s",
                 tool_detail(status));
        return tool_exit_of(status);
    }
    tool_log_write(&tool->log, TOOL_LOG_DEBUG, "closed", begin_ns, NULL);
    return TOOL_DONE;
}

int tool_flush(struct tool *tool)
{
    if (tool_output_flush(&tool->output) || tool->output.error == EPIPE)
        return TOOL_DONE;
    tool_say(tool, TOOL_LOG_ERROR, "standard output could not be written: %s",
             strerror(tool->output.error));
    return TOOL_ERROR;
}

int tool_print_json(struct tool *tool, struct bitcask_slice key, json_t *object)
{
    if (tool_json_print(&tool->output, object))
        return TOOL_DONE;
    tool_say(tool, TOOL_LOG_ERROR, "there is no memory to print %s as JSON",
             tool_name_of(key).text);
    return TOOL_ERROR;
}

void tool_release(struct tool *tool)
{
    bitcask_close(tool->cask);
    tool->cask = NULL;
    bitcask_buffer_release(&tool->value);
}
