/* SPDX-License-Identifier: MIT */
#include "log.h"

#include "json_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const char *const level_names[] = {
    [TOOL_LOG_SILENT] = "silent", [TOOL_LOG_ERROR] = "error", [TOOL_LOG_WARN] = "warn",
    [TOOL_LOG_INFO] = "info",     [TOOL_LOG_DEBUG] = "debug",
};

bool tool_log_level_parse(const char *name, enum tool_log_level *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcasecmp(name, level_names[i]) == 0) {
            *level = (enum tool_log_level)i;
            return true;
        }
    }
    return false;
}

bool tool_log_wants(const struct tool_log *log, enum tool_log_level level)
{
    return level != TOOL_LOG_SILENT && level <= log->level;
}

uint64_t tool_now_ns(void)
{
    struct timespec now = { 0 };

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* RFC 3339 in UTC with milliseconds. */
static void print_time(char *text, size_t capacity)
{
    struct timespec now = { 0 };
    struct tm parts = { 0 };
    char seconds[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, capacity, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
}

/* Whether @text needs no quotes to be told from what is around it. */
static bool is_bare(const char *text)
{
    static const char bare[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                               "0123456789._/:+-";

    return *text != 0 && strspn(text, bare) == strlen(text);
}

static void print_field(FILE *line, const char *name, json_t *value)
{
    char *text;

    if (json_is_string(value) && is_bare(json_string_value(value))) {
        fprintf(line, " %s=%s", name, json_string_value(value));
        return;
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    if (text != NULL)
        fprintf(line, " %s=%s", name, text);
    free(text);
}

static void print_text(FILE *line, const char *time, const char *level,
                       const char *message, double duration_ms, json_t *fields)
{
    const char *name;
    json_t *value;

    fprintf(line, "%s %s %s", time, level, message);
    json_object_foreach(fields, name, value) print_field(line, name, value);
    fprintf(line, " duration_ms=%.3f\n", duration_ms);
}

static void print_json(FILE *line, const char *time, const char *level,
                       const char *message, double duration_ms, json_t *fields)
{
    json_t *object =
        json_pack("{s:s, s:s, s:o, s:f}", "time", time, "level", level, "message",
                  tool_json_text(message), "duration_ms", duration_ms);

    if (object != NULL) {
        if (fields != NULL)
            json_object_set(object, "fields", fields);
        json_dumpf(object, line,
                   JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12));
        fputc('\n', line);
    }
    json_decref(object);
}

void tool_log_write(const struct tool_log *log, enum tool_log_level level,
                    const char *message, uint64_t begin_ns, json_t *fields)
{
    char time[64];
    char *text = NULL;
    size_t size = 0;
    FILE *line = NULL;
    double duration_ms = (double)((tool_now_ns() - begin_ns) / 1000) / 1000.0;

    if (tool_log_wants(log, level))
        line = open_memstream(&text, &size);
    if (line != NULL) {
        print_time(time, sizeof time);
        if (log->json)
            print_json(line, time, level_names[level], message, duration_ms, fields);
        else
            print_text(line, time, level_names[level], message, duration_ms, fields);
        /* In one write, so that lines of many processes do not mix. */
        if (fclose(line) == 0)
            fwrite(text, 1, size, stderr);
    }
    free(text);
    json_decref(fields);
}
