/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "json_out.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

/* A number of a structure, by its name. */
struct field {
    const char *name;
    size_t offset;
};

#define STAT(name) #name, offsetof(struct bitcask_stat, name)
static const struct field stat_fields[] = {
    { STAT(key_count) },       { STAT(segment_count) },  { STAT(data_size) },
    { STAT(live_size) },       { STAT(dead_size) },      { STAT(last_sequence) },
    { STAT(synced_sequence) }, { STAT(cut_count) },      { STAT(cut_size) },
    { STAT(damage_count) },    { STAT(recovered_size) }, { STAT(hint_count) },
    { STAT(scan_count) },      { STAT(open_ms) },
};

#define SEGMENT(name) #name, offsetof(struct bitcask_segment_stat, name)
static const struct field segment_fields[] = {
    { SEGMENT(id) },
    { SEGMENT(data_size) },
    { SEGMENT(live_size) },
    { SEGMENT(dead_size) },
    { SEGMENT(live_count) },
    { SEGMENT(record_count) },
    { SEGMENT(tombstone_count) },
    { SEGMENT(first_sequence) },
    { SEGMENT(last_sequence) },
    { SEGMENT(cut_offset) },
    { SEGMENT(cut_size) },
};

/* A JSON object with @count @fields of @structure; NULL: no memory. */
static json_t *object_of(const void *structure, const struct field *fields, size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count && object != NULL; i++) {
        const void *place = (const char *)structure + fields[i].offset;
        uint64_t number = *(const uint64_t *)place;

        if (json_object_set_new(object, fields[i].name,
                                json_integer((json_int_t)number)) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

static enum bitcask_status add_segment(const struct bitcask_segment_stat *segment,
                                       void *context)
{
    json_t *object = object_of(segment, segment_fields,
                               sizeof segment_fields / sizeof *segment_fields);

    if (object == NULL ||
        json_object_set_new(object, "sealed", json_boolean(segment->sealed)) != 0) {
        json_decref(object);
        return BITCASK_NO_MEMORY;
    }
    return json_array_append_new(context, object) == 0 ? BITCASK_OK : BITCASK_NO_MEMORY;
}

static enum bitcask_status print_json(struct tool *tool, const struct bitcask_stat *stat)
{
    json_t *object =
        object_of(stat, stat_fields, sizeof stat_fields / sizeof *stat_fields);
    json_t *segments = json_array();
    enum bitcask_status status = BITCASK_NO_MEMORY;

    if (object != NULL && segments != NULL &&
        json_object_set_new(object, "directory", tool_json_text(tool->directory)) == 0 &&
        json_object_set(object, "segments", segments) == 0)
        status = bitcask_stat_segments(tool->cask, add_segment, segments);
    if (status == BITCASK_OK && !tool_json_print(&tool->output, json_incref(object)))
        status = BITCASK_NO_MEMORY;
    json_decref(object);
    json_decref(segments);
    return status;
}

enum {
    NUMBER_SIZE = 32
};

/* @number with commas between its thousands. */
static const char *grouped(uint64_t number, char text[NUMBER_SIZE])
{
    char digits[NUMBER_SIZE];
    int count = snprintf(digits, sizeof digits, "%" PRIu64, number);
    size_t out = 0;

    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = 0;
    return text;
}

/* @size in the unit that suits it. */
static const char *scaled(uint64_t size, char text[NUMBER_SIZE])
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
    double amount = (double)size;
    size_t unit = 0;

    while (amount >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        amount /= 1024;
        unit++;
    }
    snprintf(text, NUMBER_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
    return text;
}

static void print_size(struct tool_output *output, const char *name, uint64_t size)
{
    char exact[NUMBER_SIZE], human[NUMBER_SIZE];

    tool_output_print(output, "%-12s%11s  %18s\n", name, scaled(size, human),
                      grouped(size, exact));
}

static void print_count(struct tool_output *output, const char *name, uint64_t count)
{
    char text[NUMBER_SIZE];

    tool_output_print(output, "%-12s%31s\n", name, grouped(count, text));
}

static enum bitcask_status print_segment(const struct bitcask_segment_stat *segment,
                                         void *context)
{
    struct tool_output *output = context;
    uint64_t records_size = segment->live_size + segment->dead_size;
    char size[NUMBER_SIZE], live[NUMBER_SIZE], records[NUMBER_SIZE], deletes[NUMBER_SIZE];
    double percent = 0;

    if (records_size > 0)
        percent = 100.0 * (double)segment->live_size / (double)records_size;
    tool_output_print(
        output, "%7" PRIu64 "%11s%8.1f%14s%14s%14s%8s\n", segment->id,
        scaled(segment->data_size, size), percent, grouped(segment->live_count, live),
        grouped(segment->record_count, records),
        grouped(segment->tombstone_count, deletes), segment->sealed ? "yes" : "no");
    return BITCASK_OK;
}

static enum bitcask_status print_text(struct tool *tool, const struct bitcask_stat *stat)
{
    struct tool_output *output = &tool->output;

    tool_output_text(output, "directory   ");
    tool_output_escape(output, bitcask_text(tool->directory));
    tool_output_text(output, "\n");
    print_count(output, "keys", stat->key_count);
    print_count(output, "writes", stat->last_sequence);
    print_count(output, "synced to", stat->synced_sequence);
    print_size(output, "data", stat->data_size);
    print_size(output, "live", stat->live_size);
    print_size(output, "dead", stat->dead_size);
    print_count(output, "files", stat->segment_count);
    tool_output_print(output,
                      "opened      in %" PRIu64 " ms, %" PRIu64 " files by their hints, "
                      "%" PRIu64 " read through\n",
                      stat->open_ms, stat->hint_count, stat->scan_count);
    if (stat->cut_count > 0) {
        print_count(output, "torn tails", stat->cut_count);
        print_size(output, "torn bytes", stat->cut_size);
    }
    if (stat->recovered_size > 0)
        print_size(output, "rewritten", stat->recovered_size);
    if (stat->damage_count > 0)
        print_count(output, "damages", stat->damage_count);
    tool_output_print(output, "\n%7s%11s%8s%14s%14s%14s%8s\n", "file", "size", "live %",
                      "live records", "records", "deletions", "sealed");
    return bitcask_stat_segments(tool->cask, print_segment, output);
}

int tool_command_stat(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_stat stat = { 0 };
    enum bitcask_status status;
    int code = tool_open_to_read(tool, request);

    if (code != TOOL_DONE)
        return code;
    status = bitcask_stat(tool->cask, &stat);
    if (status == BITCASK_OK && request->given & TOOL_OPTION_JSON)
        status = print_json(tool, &stat);
    else if (status == BITCASK_OK)
        status = print_text(tool, &stat);
    if (status != BITCASK_OK)
        tool_say(tool, TOOL_LOG_ERROR, "the statistics could not be had: %s",
                 tool_detail(status));
    return tool_exit_of(status);
}
