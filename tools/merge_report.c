/* SPDX-License-Identifier: MIT */
#include "merge_report.h"

#include "json_out.h"
#include "number.h"

#include <inttypes.h>
#include <stddef.h>

/* The words for machines; those for people are the library's. */
static const char *const reason_words[] = {
    [BITCASK_MERGE_LEFT] = "left",
    [BITCASK_MERGE_LEFT_DAMAGED] = "left_damaged",
    [BITCASK_MERGE_LEFT_NEEDED] = "left_needed",
    [BITCASK_MERGE_LEFT_UNASKED] = "left_unasked",
    [BITCASK_MERGE_DEAD] = "dead",
    [BITCASK_MERGE_ALL_DEAD] = "all_dead",
    [BITCASK_MERGE_TOMBSTONES] = "tombstones",
    [BITCASK_MERGE_SMALL] = "small",
    [BITCASK_MERGE_ASKED] = "asked",
};

static const char *const choice_words[] = {
    [BITCASK_MERGE_POLICY] = "policy",
    [BITCASK_MERGE_ALL] = "all",
    [BITCASK_MERGE_FILES] = "files",
};

const char *tool_merge_reason_word(enum bitcask_merge_reason reason)
{
    size_t index = (size_t)reason;

    return index < sizeof reason_words / sizeof *reason_words ? reason_words[index]
                                                              : "unknown";
}

void tool_merge_count(struct tool_merge *merge, const struct bitcask_merge_file *file)
{
    merge->file_count++;
    merge->data_size += file->data_size;
    merge->live_size += file->live_size;
    if (file->taken) {
        merge->taken_count++;
        merge->freed_size += file->freed_size;
    }
}

uint64_t tool_merge_freed(const struct tool_merge *merge)
{
    const struct bitcask_merge_report *report = &merge->report;

    if (report->input_size < report->output_size)
        return 0;
    return report->input_size - report->output_size;
}

/* The table. */

void tool_merge_print_head(struct tool_output *output)
{
    tool_output_print(output, "%7s%18s%8s%18s%7s  %s\n", "file", "bytes", "dead %",
                      "come back", "taken", "why");
}

void tool_merge_print_file(struct tool_output *output,
                           const struct bitcask_merge_file *file)
{
    char bytes[TOOL_NUMBER_SIZE], freed[TOOL_NUMBER_SIZE];
    double dead = tool_percent(file->data_size - file->live_size, file->data_size);

    tool_output_print(output, "%7" PRIu64 "%18s%8.1f%18s%7s  %s%s\n", file->id,
                      tool_number_print(file->data_size, bytes), dead,
                      file->taken ? tool_number_print(file->freed_size, freed) : "-",
                      file->taken ? "yes" : "no", bitcask_merge_reason_text(file->reason),
                      file->active ? " (it is being written)" : "");
}

void tool_merge_print_sums(struct tool_output *output, const struct tool_merge *merge)
{
    char bytes[TOOL_NUMBER_SIZE], freed[TOOL_NUMBER_SIZE], taken[TOOL_NUMBER_SIZE];
    char all_scaled[TOOL_NUMBER_SIZE], freed_scaled[TOOL_NUMBER_SIZE];
    uint64_t dead_size = merge->data_size - merge->live_size;

    tool_output_print(output, "%7s%18s%8.1f%18s%7s  ", "in all",
                      tool_number_print(merge->data_size, bytes),
                      tool_percent(dead_size, merge->data_size),
                      tool_number_print(merge->freed_size, freed),
                      tool_number_print(merge->taken_count, taken));
    tool_output_print(output,
                      "of %" PRIu64 " data files; %s of %s come back, and in "
                      "proportion of their hints\n\n",
                      merge->file_count, tool_size_print(merge->freed_size, freed_scaled),
                      tool_size_print(merge->data_size, all_scaled));
}

/* The report. */

static void print_nothing(struct tool_output *output, const struct tool_merge *merge)
{
    const struct bitcask_stat *stat = &merge->before;
    double percent = tool_percent(stat->dead_size, stat->data_size);
    char size[TOOL_NUMBER_SIZE];

    if (stat->live_size + stat->dead_size == 0) {
        tool_output_text(output, "nothing to merge: there is no record\n");
        return;
    }
    tool_output_print(output, "nothing to merge: %d %% of %s are dead, ", (int)percent,
                      tool_size_print(stat->data_size, size));
    if (percent < merge->dead_percent)
        tool_output_print(output, "a file is taken from %" PRIu32 " %%",
                          merge->dead_percent);
    else
        tool_output_text(output, "but mostly by tombstones that older files still need");
    tool_output_text(output, "; --all takes every one\n");
}

/* `NAME  COUNT WHAT, COUNT WHAT` */
static void print_two(struct tool_output *output, const char *name, uint64_t one_count,
                      const char *one, uint64_t other_count, const char *other)
{
    char one_text[TOOL_NUMBER_SIZE], other_text[TOOL_NUMBER_SIZE];

    tool_output_print(output, "%-12s%s %s, %s %s\n", name,
                      tool_number_print(one_count, one_text), one,
                      tool_number_print(other_count, other_text), other);
}

static void print_time(struct tool_output *output,
                       const struct bitcask_merge_report *report)
{
    double seconds = (double)report->elapsed_ms / 1000;

    tool_output_print(output, "%-12s%.3f s", "time", seconds);
    if (report->elapsed_ms > 0)
        tool_output_print(output, ", %.1f MiB/s",
                          (double)report->input_size / 1048576 / seconds);
    tool_output_text(output, "\n");
}

void tool_merge_print(struct tool_output *output, const struct tool_merge *merge)
{
    const struct bitcask_merge_report *report = &merge->report;
    char retired[TOOL_NUMBER_SIZE];

    if (merge->status == BITCASK_OK && report->taken_count == 0) {
        print_nothing(output, merge);
        return;
    }
    if (merge->dry_run)
        tool_output_text(output, "nothing is changed; a merge would do this:\n");
    print_two(output, "files", report->input_count, "replaced", report->output_count,
              "written");
    if (report->left_count > 0)
        print_two(output, "chosen", report->taken_count, "files", report->left_count,
                  "of them left for the next time");
    tool_output_size(output, "before", report->input_size);
    tool_output_size(output, "after", report->output_size);
    tool_output_size(output, "given back", tool_merge_freed(merge));
    if (report->input_count > 0)
        tool_output_text(output,
                         "            (of data files; their hints shrink, too)\n");
    print_two(output, "records", report->record_in_count, "before",
              report->record_out_count, "after");
    print_two(output, "tombstones", report->tombstone_dropped_count, "dropped",
              report->tombstone_kept_count, "kept");
    if (merge->after.retired_count > 0)
        tool_output_print(output,
                          "%-12s%s in %" PRIu64 " replaced files that could not be "
                          "removed yet\n",
                          "waiting", tool_size_print(merge->after.retired_size, retired),
                          merge->after.retired_count);
    if (!merge->dry_run)
        print_time(output, report);
}

/* JSON. */

#define FILE_FIELD(name) #name, offsetof(struct bitcask_merge_file, name)
static const struct tool_json_field file_fields[] = {
    { FILE_FIELD(id) },         { FILE_FIELD(data_size) },
    { FILE_FIELD(live_size) },  { FILE_FIELD(tombstone_size) },
    { FILE_FIELD(freed_size) },
};

#define REPORT_FIELD(name) #name, offsetof(struct bitcask_merge_report, name)
static const struct tool_json_field report_fields[] = {
    { REPORT_FIELD(taken_count) },
    { REPORT_FIELD(left_count) },
    { REPORT_FIELD(input_count) },
    { REPORT_FIELD(output_count) },
    { REPORT_FIELD(input_size) },
    { REPORT_FIELD(output_size) },
    { REPORT_FIELD(record_in_count) },
    { REPORT_FIELD(record_out_count) },
    { REPORT_FIELD(tombstone_dropped_count) },
    { REPORT_FIELD(tombstone_kept_count) },
    { REPORT_FIELD(elapsed_ms) },
};

static json_t *report_json(const struct tool_merge *merge)
{
    json_t *object = tool_json_numbers(&merge->report, report_fields,
                                       sizeof report_fields / sizeof *report_fields);

    return tool_json_with(object, "freed_size",
                          json_integer((json_int_t)tool_merge_freed(merge)));
}

json_t *tool_merge_file_json(const struct bitcask_merge_file *file)
{
    json_t *object =
        tool_json_numbers(file, file_fields, sizeof file_fields / sizeof *file_fields);

    object = tool_json_with(object, "taken", json_boolean(file->taken));
    object = tool_json_with(object, "active", json_boolean(file->active));
    object = tool_json_with(object, "reason",
                            json_string(tool_merge_reason_word(file->reason)));
    return tool_json_with(object, "why",
                          json_string(bitcask_merge_reason_text(file->reason)));
}

static const char *result_word(const struct tool_merge *merge)
{
    if (merge->stopped)
        return "stopped";
    if (merge->status != BITCASK_OK)
        return "failed";
    return merge->report.taken_count == 0 ? "nothing" : "done";
}

json_t *tool_merge_json(const struct tool_merge *merge, const char *directory)
{
    json_t *object = report_json(merge);

    object = tool_json_with(object, "directory", tool_json_text(directory));
    object = tool_json_with(object, "choice", json_string(choice_words[merge->choice]));
    object = tool_json_with(object, "dry_run", json_boolean(merge->dry_run));
    object = tool_json_with(object, "result", json_string(result_word(merge)));
    if (merge->problem != NULL)
        object = tool_json_with(object, "problem", tool_json_text(merge->problem));
    object = tool_json_with(object, "retired_count",
                            json_integer((json_int_t)merge->after.retired_count));
    return tool_json_with(object, "retired_size",
                          json_integer((json_int_t)merge->after.retired_size));
}

void tool_merge_log(const struct tool *tool, const struct tool_merge *merge,
                    uint64_t begin_ns)
{
    json_t *fields;

    if (!tool_log_wants(&tool->log, TOOL_LOG_INFO))
        return;
    fields =
        tool_json_with(report_json(merge), "result", json_string(result_word(merge)));
    tool_log_write(&tool->log, TOOL_LOG_INFO, merge->dry_run ? "merge tried" : "merged",
                   begin_ns, fields);
}
