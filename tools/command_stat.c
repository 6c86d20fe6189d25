/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "json_out.h"
#include "merge_report.h"
#include "number.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

/* What there is to tell. */
struct report {
    struct tool *tool;
    struct bitcask_stat stat;
    bool due;                         /* a merge is */
    struct bitcask_merge_file *files; /* as it would see them, in order of id; owned */
    size_t file_count;
    json_t *segments; /* with --json */
    bool cut;         /* something was found behind the end of a file, and told */
};

#define STAT(name) #name, offsetof(struct bitcask_stat, name)
static const struct tool_json_field stat_fields[] = {
    { STAT(key_count) },          { STAT(segment_count) },
    { STAT(data_size) },          { STAT(live_size) },
    { STAT(dead_size) },          { STAT(last_sequence) },
    { STAT(synced_sequence) },    { STAT(cut_count) },
    { STAT(cut_size) },           { STAT(damage_count) },
    { STAT(recovered_size) },     { STAT(hint_count) },
    { STAT(scan_count) },         { STAT(open_ms) },
    { STAT(appended_size) },      { STAT(merge_count) },
    { STAT(merge_copied_size) },  { STAT(merge_freed_size) },
    { STAT(merge_failure) },      { STAT(retired_count) },
    { STAT(retired_size) },       { STAT(keydir_size) },
    { STAT(merge_trigger_size) }, { STAT(merge_dead_percent) },
    { STAT(view_count) },         { STAT(held_count) },
    { STAT(held_size) },
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

static enum bitcask_status add_file(const struct bitcask_merge_file *file, void *context)
{
    struct report *report = context;
    size_t size = (report->file_count + 1) * sizeof *report->files;
    struct bitcask_merge_file *files = realloc(report->files, size);

    if (files == NULL)
        return BITCASK_NO_MEMORY;
    report->files = files;
    report->files[report->file_count++] = *file;
    return BITCASK_OK;
}

static enum bitcask_status collect(struct bitcask *cask, struct report *report)
{
    /* What a merge would do with each file, without reading any of them. */
    const struct bitcask_merge_options options = {
        .dry_run = true, .estimate = true, .explain = add_file, .context = report
    };
    enum bitcask_status status = bitcask_stat(cask, &report->stat);

    if (status == BITCASK_OK)
        status = bitcask_merge_due(cask, &report->due);
    if (status == BITCASK_OK)
        status = bitcask_merge(cask, &options, NULL);
    return status;
}

/* NULL: it was not there when merges were asked. */
static const struct bitcask_merge_file *find_file(const struct report *report,
                                                  uint64_t id)
{
    for (size_t i = 0; i < report->file_count; i++) {
        if (report->files[i].id == id)
            return &report->files[i];
    }
    return NULL;
}

static enum bitcask_status add_segment(const struct bitcask_segment_stat *segment,
                                       void *context)
{
    struct report *report = context;
    const struct bitcask_merge_file *file = find_file(report, segment->id);
    json_t *object = tool_json_numbers(segment, segment_fields,
                                       sizeof segment_fields / sizeof *segment_fields);

    object = tool_json_with(object, "sealed", json_boolean(segment->sealed));
    if (file != NULL) {
        object = tool_json_with(object, "merge_taken", json_boolean(file->taken));
        object = tool_json_with(object, "merge_reason",
                                json_string(tool_merge_reason_word(file->reason)));
        object = tool_json_with(object, "merge_why",
                                json_string(bitcask_merge_reason_text(file->reason)));
    }
    return json_array_append_new(report->segments, object) == 0 ? BITCASK_OK
                                                                : BITCASK_NO_MEMORY;
}

static enum bitcask_status print_json(struct report *report)
{
    struct tool *tool = report->tool;
    json_t *object = tool_json_numbers(&report->stat, stat_fields,
                                       sizeof stat_fields / sizeof *stat_fields);
    enum bitcask_status status = BITCASK_NO_MEMORY;

    report->segments = json_array();
    object = tool_json_with(object, "merge_due", json_boolean(report->due));
    object = tool_json_with(object, "directory", tool_json_text(tool->directory));
    if (object != NULL && report->segments != NULL &&
        json_object_set(object, "segments", report->segments) == 0)
        status = bitcask_stat_segments(tool->cask, add_segment, report);
    if (status == BITCASK_OK && !tool_json_print(&tool->output, json_incref(object)))
        status = BITCASK_NO_MEMORY;
    json_decref(object);
    json_decref(report->segments);
    return status;
}

static enum bitcask_status print_segment(const struct bitcask_segment_stat *segment,
                                         void *context)
{
    struct report *report = context;
    const struct bitcask_merge_file *file = find_file(report, segment->id);
    uint64_t records_size = segment->live_size + segment->dead_size;
    char size[TOOL_NUMBER_SIZE], live[TOOL_NUMBER_SIZE], records[TOOL_NUMBER_SIZE],
        tombstones[TOOL_NUMBER_SIZE];
    const char *merge = file == NULL ? "?" : file->taken ? "yes" : "no";

    report->cut = report->cut || segment->cut_size > 0;
    tool_output_print(&report->tool->output,
                      "%6" PRIu64 "%11s%8.1f%8.1f%13s%12s%11s%8s%7s  %s\n", segment->id,
                      tool_size_print(segment->data_size, size),
                      tool_percent(segment->live_size, records_size),
                      tool_percent(segment->dead_size, records_size),
                      tool_number_print(segment->live_count, live),
                      tool_number_print(segment->record_count, records),
                      tool_number_print(segment->tombstone_count, tombstones),
                      segment->sealed ? "yes" : "no", merge,
                      file != NULL ? bitcask_merge_reason_text(file->reason) : "");
    return BITCASK_OK;
}

static enum bitcask_status print_cut(const struct bitcask_segment_stat *segment,
                                     void *context)
{
    struct report *report = context;

    if (segment->cut_size > 0)
        tool_output_print(&report->tool->output,
                          "%010" PRIu64 ".data, offset %" PRIu64 ": %" PRIu64
                          " bytes behind the last whole record\n",
                          segment->id, segment->cut_offset, segment->cut_size);
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

/* Whether a merge is due, with the numbers that decide it. */
static void print_due(const struct report *report)
{
    struct tool_output *output = &report->tool->output;
    const struct bitcask_stat *stat = &report->stat;
    int percent = (int)tool_percent(stat->dead_size, stat->live_size + stat->dead_size);
    int wanted = (int)stat->merge_dead_percent;
    char size[TOOL_NUMBER_SIZE], trigger[TOOL_NUMBER_SIZE];

    tool_size_print(stat->data_size, size);
    tool_size_print(stat->merge_trigger_size, trigger);
    if (report->due)
        tool_output_print(output,
                          "merge       due: %d %% of %s are dead; it is from %d %% of "
                          "more than %s on\n",
                          percent, size, wanted, trigger);
    else if (stat->data_size <= stat->merge_trigger_size)
        tool_output_print(output,
                          "merge       not due: the data files have %s, and it is when "
                          "they have more than %s\n",
                          size, trigger);
    else
        tool_output_print(output,
                          "merge       not due: %d %% of %s are dead, and it is from "
                          "%d %% on\n",
                          percent, size, wanted);
}

static void print_numbers(const struct report *report)
{
    struct tool_output *output = &report->tool->output;
    const struct bitcask_stat *stat = &report->stat;

    tool_output_text(output, "directory   ");
    tool_output_escape(output, bitcask_text(report->tool->directory));
    tool_output_text(output, "\n");
    tool_output_count(output, "keys", stat->key_count);
    tool_output_count(output, "writes", stat->last_sequence);
    tool_output_count(output, "synced to", stat->synced_sequence);
    tool_output_size(output, "data", stat->data_size);
    tool_output_size(output, "live", stat->live_size);
    tool_output_size(output, "dead", stat->dead_size);
    tool_output_size(output, "memory", stat->keydir_size);
    tool_output_count(output, "files", stat->segment_count);
    tool_output_print(output,
                      "opened      in %" PRIu64 " ms, %" PRIu64 " files by their hints, "
                      "%" PRIu64 " read through\n",
                      stat->open_ms, stat->hint_count, stat->scan_count);
    print_due(report);
    print_merges(output, stat);
    if (stat->cut_count > 0) {
        tool_output_count(output, "torn tails", stat->cut_count);
        tool_output_size(output, "torn bytes", stat->cut_size);
    }
    if (stat->recovered_size > 0)
        tool_output_size(output, "rewritten", stat->recovered_size);
    if (stat->damage_count > 0)
        tool_output_count(output, "damages", stat->damage_count);
}

static enum bitcask_status print_text(struct report *report)
{
    struct tool *tool = report->tool;
    enum bitcask_status status;

    print_numbers(report);
    tool_output_print(&tool->output, "\n%6s%11s%8s%8s%13s%12s%11s%8s%7s  %s\n", "file",
                      "size", "live %", "dead %", "live records", "records", "tombstones",
                      "sealed", "merge", "why");
    status = bitcask_stat_segments(tool->cask, print_segment, report);
    if (status != BITCASK_OK || !report->cut)
        return status;
    tool_output_text(&tool->output, "\n");
    return bitcask_stat_segments(tool->cask, print_cut, report);
}

int tool_command_stat(struct tool *tool, const struct tool_request *request)
{
    struct report report = { .tool = tool };
    enum bitcask_status status;
    int code = tool_open_to_read(tool, request);

    if (code != TOOL_DONE)
        return code;
    status = collect(tool->cask, &report);
    if (status == BITCASK_OK && request->given & TOOL_OPTION_JSON)
        status = print_json(&report);
    else if (status == BITCASK_OK)
        status = print_text(&report);
    free(report.files);
    if (status != BITCASK_OK)
        tool_say(tool, TOOL_LOG_ERROR, "the statistics could not be had: %s",
                 tool_detail(status));
    return tool_exit_of(status);
}
