/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "json_out.h"
#include "number.h"

#include <inttypes.h>
#include <stddef.h>

#define STAT(name) #name, offsetof(struct bitcask_stat, name)
static const struct tool_json_field stat_fields[] = {
    { STAT(key_count) },       { STAT(segment_count) },     { STAT(data_size) },
    { STAT(live_size) },       { STAT(dead_size) },         { STAT(last_sequence) },
    { STAT(synced_sequence) }, { STAT(cut_count) },         { STAT(cut_size) },
    { STAT(damage_count) },    { STAT(recovered_size) },    { STAT(hint_count) },
    { STAT(scan_count) },      { STAT(open_ms) },           { STAT(appended_size) },
    { STAT(merge_count) },     { STAT(merge_copied_size) }, { STAT(merge_freed_size) },
    { STAT(merge_failure) },   { STAT(retired_count) },     { STAT(retired_size) },
};

#define SEGMENT(name) #name, offsetof(struct bitcask_segment_stat, name)
static const struct tool_json_field segment_fields[] = {
    { SEGMENT(id) },
    { SEGMENT(data_size) },
    { SEGMENT(live_size) },
    { SEGMENT(dead_size) },
    { SEGMENT(live_count) },
    { SEGMENT(record_count) },
    { SEGMENT(tombstone_count) },
    { SEGMENT(tombstone_size) },
    { SEGMENT(purged_sequence) },
    { SEGMENT(first_sequence) },
    { SEGMENT(last_sequence) },
    { SEGMENT(cut_offset) },
    { SEGMENT(cut_size) },
};

static enum bitcask_status add_segment(const struct bitcask_segment_stat *segment,
                                       void *context)
{
    json_t *object = tool_json_numbers(segment, segment_fields,
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
        tool_json_numbers(stat, stat_fields, sizeof stat_fields / sizeof *stat_fields);
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

static enum bitcask_status print_segment(const struct bitcask_segment_stat *segment,
                                         void *context)
{
    struct tool_output *output = context;
    uint64_t records_size = segment->live_size + segment->dead_size;
    char size[TOOL_NUMBER_SIZE], live[TOOL_NUMBER_SIZE], records[TOOL_NUMBER_SIZE],
        deletes[TOOL_NUMBER_SIZE];
    double percent = tool_percent(segment->live_size, records_size);

    tool_output_print(output, "%7" PRIu64 "%11s%8.1f%14s%14s%14s%8s\n", segment->id,
                      tool_size_print(segment->data_size, size), percent,
                      tool_number_print(segment->live_count, live),
                      tool_number_print(segment->record_count, records),
                      tool_number_print(segment->tombstone_count, deletes),
                      segment->sealed ? "yes" : "no");
    return BITCASK_OK;
}

/* What merges did since the store was opened, which is in the shell, and left. */
static void print_merges(struct tool_output *output, const struct bitcask_stat *stat)
{
    if (stat->merge_count > 0) {
        tool_output_count(output, "merges", stat->merge_count);
        tool_output_size(output, "copied", stat->merge_copied_size);
        tool_output_size(output, "given back", stat->merge_freed_size);
    }
    if (stat->merge_failure != 0)
        tool_output_print(
            output, "%-12sfailed: %s\n", "last merge",
            bitcask_status_text((enum bitcask_status)(-(int64_t)stat->merge_failure)));
    if (stat->retired_count > 0) {
        tool_output_count(output, "replaced", stat->retired_count);
        tool_output_size(output, "to remove", stat->retired_size);
    }
}

static enum bitcask_status print_text(struct tool *tool, const struct bitcask_stat *stat)
{
    struct tool_output *output = &tool->output;

    tool_output_text(output, "directory   ");
    tool_output_escape(output, bitcask_text(tool->directory));
    tool_output_text(output, "\n");
    tool_output_count(output, "keys", stat->key_count);
    tool_output_count(output, "writes", stat->last_sequence);
    tool_output_count(output, "synced to", stat->synced_sequence);
    tool_output_size(output, "data", stat->data_size);
    tool_output_size(output, "live", stat->live_size);
    tool_output_size(output, "dead", stat->dead_size);
    tool_output_count(output, "files", stat->segment_count);
    tool_output_print(output,
                      "opened      in %" PRIu64 " ms, %" PRIu64 " files by their hints, "
                      "%" PRIu64 " read through\n",
                      stat->open_ms, stat->hint_count, stat->scan_count);
    if (stat->cut_count > 0) {
        tool_output_count(output, "torn tails", stat->cut_count);
        tool_output_size(output, "torn bytes", stat->cut_size);
    }
    if (stat->recovered_size > 0)
        tool_output_size(output, "rewritten", stat->recovered_size);
    print_merges(output, stat);
    if (stat->damage_count > 0)
        tool_output_count(output, "damages", stat->damage_count);
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
