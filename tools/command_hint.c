/* SPDX-License-Identifier: MIT */
#include <bitcask/inspect.h>

#include "command.h"
#include "interrupt.h"
#include "json_out.h"
#include "number.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a callback says to end it. No failure of these calls is called so. */
static const enum bitcask_status stop = BITCASK_TOO_BIG;

/* The number in the name of a hint or data file; 0 if @name is none. */
static uint64_t parse_name(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    char number[21] = "";
    uint64_t id = 0;

    if (digits < 10 || digits >= sizeof number ||
        (strcmp(name + digits, ".hint") != 0 && strcmp(name + digits, ".data") != 0))
        return 0;
    memcpy(number, name, digits);
    return tool_number_parse(number, &id) ? id : 0;
}

/* Take the file at @path: its directory as the store, its number as the only one. */
static bool take_file(struct tool_request *request, const char *path, uint64_t id)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);

    free(request->file_ids);
    request->file_ids = malloc(sizeof *request->file_ids);
    request->path = slash == NULL ? strdup(".") : strndup(path, size);
    if (request->file_ids == NULL || request->path == NULL)
        return false;
    request->file_ids[0] = id;
    request->file_count = 1;
    request->directory = request->path;
    return true;
}

int tool_check_hint(const struct tool *tool, struct tool_request *request)
{
    const char *word = request->operands[0].data;
    const char *path = request->operand_count > 1 ? request->operands[1].data : NULL;
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    const char *problem = NULL;
    struct stat stat_buffer;
    uint64_t id;

    if (strcmp(word, "verify") != 0 && strcmp(word, "rebuild") != 0 &&
        strcmp(word, "show") != 0) {
        tool_say(tool, TOOL_LOG_ERROR, "hint wants verify, rebuild or show, not %s",
                 tool_name_of(request->operands[0]).text);
        return TOOL_USAGE;
    }
    if (path == NULL)
        return TOOL_DONE;
    if (request->directory != NULL)
        problem = "the store is named twice, by DIR or FILE and by --dir";
    else if (*path == 0)
        problem = "DIR is a directory, and this is empty";
    if (problem != NULL) {
        tool_say(tool, TOOL_LOG_ERROR, "%s", problem);
        return TOOL_USAGE;
    }
    /* A hint that is missing can be named, too. */
    id = parse_name(slash != NULL ? slash + 1 : path);
    if (id != 0 && (stat(path, &stat_buffer) != 0 || !S_ISDIR(stat_buffer.st_mode))) {
        if (take_file(request, path, id))
            return TOOL_DONE;
        tool_say(tool, TOOL_LOG_ERROR, "there is no memory for a name");
        return TOOL_ERROR;
    }
    request->directory = path;
    return TOOL_DONE;
}

/* One run of verify or rebuild. */
struct run {
    struct tool *tool;
    const char *word;
    bool rebuilds;
    bool json;
    bool stopped;
    bool no_memory;
    uint64_t hint_count; /* data files that it was told of */
    uint64_t whole_count;
    uint64_t missing_count;
    uint64_t damaged_count;
    uint64_t written_count;
    uint64_t left_count; /* not written, without anything being damaged */
};

#define REPORT(name) #name, offsetof(struct bitcask_hint_report, name)
static const struct tool_json_field report_fields[] = {
    { REPORT(segment_id) }, { REPORT(entry_count) }, { REPORT(tombstone_count) },
    { REPORT(data_size) },  { REPORT(hint_size) },
};

#define SUM(name) #name, offsetof(struct run, name)
static const struct tool_json_field sum_fields[] = {
    { SUM(hint_count) },    { SUM(whole_count) },   { SUM(missing_count) },
    { SUM(damaged_count) }, { SUM(written_count) }, { SUM(left_count) },
};

/* What became of one hint, in a word. */
static const char *state_of(struct run *run, const struct bitcask_hint_report *report)
{
    run->hint_count++;
    if (report->written) {
        run->written_count++;
        return "written";
    }
    if (report->intact) {
        run->whole_count++;
        return "whole";
    }
    if (!run->rebuilds && !report->exists && *report->detail == 0) {
        run->missing_count++;
        return "missing";
    }
    if (run->rebuilds) {
        run->left_count++;
        return "left";
    }
    run->damaged_count++;
    return "damaged";
}

static json_t *report_json(const struct bitcask_hint_report *report, const char *state)
{
    json_t *object = tool_json_with(json_object(), "state", json_string(state));

    object = tool_json_with(object, "exists", json_boolean(report->exists));
    object = tool_json_join(
        object, tool_json_numbers(report, report_fields,
                                  sizeof report_fields / sizeof *report_fields));
    return tool_json_with(object, "detail", tool_json_text(report->detail));
}

static void print_report(struct tool_output *output,
                         const struct bitcask_hint_report *report, const char *state)
{
    char entries[TOOL_NUMBER_SIZE], tombstones[TOOL_NUMBER_SIZE], size[TOOL_NUMBER_SIZE];

    tool_output_print(output, "%010" PRIu64 ".hint  %s", report->segment_id, state);
    if (report->intact)
        tool_output_print(output, ": %s entries, %s of them tombstones, for %s of data",
                          tool_number_print(report->entry_count, entries),
                          tool_number_print(report->tombstone_count, tombstones),
                          tool_size_print(report->data_size, size));
    if (*report->detail != 0) {
        tool_output_text(output, ": ");
        tool_output_escape(output, bitcask_text(report->detail));
    }
    tool_output_text(output, "\n");
}

static enum bitcask_status note(const struct bitcask_hint_report *report, void *context)
{
    struct run *run = context;
    const char *state = state_of(run, report);

    if (!run->json)
        print_report(&run->tool->output, report, state);
    else if (!tool_json_print(&run->tool->output, report_json(report, state)))
        run->no_memory = true;
    run->stopped = tool_interrupt_signal() != 0;
    return run->stopped || run->no_memory ? stop : BITCASK_OK;
}

static void print_sums(const struct run *run)
{
    struct tool_output *output = &run->tool->output;

    if (run->rebuilds)
        tool_output_print(output, "%" PRIu64 " written, %" PRIu64 " left as they were\n",
                          run->written_count, run->left_count);
    else
        tool_output_print(output,
                          "%" PRIu64 " whole, %" PRIu64 " missing, %" PRIu64
                          " damaged, or of damaged data\n",
                          run->whole_count, run->missing_count, run->damaged_count);
}

static bool print_json_sums(const struct run *run, enum bitcask_status status)
{
    json_t *object = json_object();
    const char *result = run->stopped                ? "stopped"
                         : status == BITCASK_OK      ? "clean"
                         : status == BITCASK_CORRUPT ? "damaged"
                                                     : "failed";

    object = tool_json_with(object, "summary", json_string(run->word));
    object = tool_json_with(object, "result", json_string(result));
    object = tool_json_with(object, "directory", tool_json_text(run->tool->directory));
    object =
        tool_json_join(object, tool_json_numbers(run, sum_fields,
                                                 sizeof sum_fields / sizeof *sum_fields));
    return tool_json_print(&run->tool->output, object);
}

static int treat(struct tool *tool, const struct tool_request *request)
{
    const char *word = request->operands[0].data;
    struct run run = { .tool = tool,
                       .word = *word == 'v' ? "hint_verify" : "hint_rebuild",
                       .rebuilds = *word == 'r',
                       .json = (request->given & TOOL_OPTION_JSON) != 0 };
    uint64_t id = request->file_count > 0 ? request->file_ids[0] : 0;
    enum bitcask_status status =
        run.rebuilds ? bitcask_hint_rebuild(tool->directory, id, note, &run)
                     : bitcask_hint_verify(tool->directory, id, note, &run);

    if (status != stop)
        run.stopped = false;
    if (run.no_memory || (run.json && !print_json_sums(&run, status))) {
        tool_say(tool, TOOL_LOG_ERROR, "there is no memory to report as JSON");
        return TOOL_ERROR;
    }
    if (run.stopped) {
        tool_say(tool, TOOL_LOG_WARN, "ended by a signal; not all hints were looked at");
        return TOOL_ERROR;
    }
    if (!run.json && run.hint_count > 0)
        print_sums(&run);
    if (status == BITCASK_OK || (status == BITCASK_CORRUPT && run.damaged_count > 0))
        return tool_exit_of(status);
    /* A file that is not there is told by its name, a store by its own. */
    if (status == BITCASK_NOT_FOUND && id != 0) {
        tool_say(tool, TOOL_LOG_ERROR, "%s", tool_detail(status));
        return TOOL_ERROR;
    }
    return tool_report_store(tool, status,
                             run.rebuilds ? "could not have all its hints made again"
                                          : "could not have all its hints checked");
}

/* SHOW */

static const char *kind_word(const struct bitcask_inspect_item *item)
{
    if (item->kind == BITCASK_INSPECT_PUT)
        return "put";
    return item->kind == BITCASK_INSPECT_TOMBSTONE ? "tombstone" : "damage";
}

#define ITEM(name) #name, offsetof(struct bitcask_inspect_item, name)
static const struct tool_json_field damage_fields[] = {
    { ITEM(offset) },
    { ITEM(size) },
};
static const struct tool_json_field item_fields[] = {
    { ITEM(offset) },      { ITEM(size) },     { ITEM(record_offset) },
    { ITEM(record_size) }, { ITEM(sequence) }, { ITEM(value_size) },
};

static json_t *item_json(const char *name, const struct bitcask_inspect_item *item)
{
    bool damage = item->kind == BITCASK_INSPECT_DAMAGE;
    json_t *numbers =
        damage ? tool_json_numbers(item, damage_fields,
                                   sizeof damage_fields / sizeof *damage_fields)
               : tool_json_numbers(item, item_fields,
                                   sizeof item_fields / sizeof *item_fields);
    json_t *object = tool_json_with(json_object(), "file", json_string(name));

    object = tool_json_with(object, "kind", json_string(kind_word(item)));
    object = tool_json_join(object, numbers);
    if (damage)
        return object;
    if (item->expires)
        object = tool_json_with(object, "expiry_ms",
                                json_integer((json_int_t)item->expiry_ms));
    return tool_json_with_bytes(object, "key", item->key);
}

static void print_item(struct tool_output *output,
                       const struct bitcask_inspect_item *item)
{
    if (item->kind == BITCASK_INSPECT_DAMAGE) {
        tool_output_print(output, "damage: %" PRIu64 " bytes at offset %" PRIu64 "\n",
                          item->size, item->offset);
        return;
    }
    tool_output_print(output, "%12" PRIu64 "%12" PRIu64 "%12" PRIu64 "  %-9s  ",
                      item->record_offset, item->sequence, item->value_size,
                      kind_word(item));
    tool_output_escape(output, item->key);
    if (item->expires)
        tool_output_print(output, "  (until %" PRIu64 " ms)", item->expiry_ms);
    tool_output_text(output, "\n");
}

static void print_head(struct tool_output *output, const char *name,
                       const struct bitcask_inspect_header *header)
{
    char entries[TOOL_NUMBER_SIZE], size[TOOL_NUMBER_SIZE];

    tool_output_print(output, "%s  segment %" PRIu64 ", salt %016" PRIx64 "; ", name,
                      header->segment_id, header->salt);
    if (header->trailer_intact)
        tool_output_print(
            output,
            "%s entries of sequences %" PRIu64 " to %" PRIu64 ", for %s of data\n",
            tool_number_print(header->entry_count, entries), header->first_sequence,
            header->last_sequence, tool_size_print(header->data_size, size));
    else
        tool_output_text(output, "it is damaged, so nothing below can be relied on\n");
    tool_output_print(output, "%12s%12s%12s  %-9s  %s\n", "offset", "sequence", "value",
                      "kind", "key");
}

/* All entries of the hint that @inspector has open. */
static enum bitcask_status show_items(struct tool *tool, bool json, const char *name,
                                      struct bitcask_inspector *inspector)
{
    enum bitcask_status status = BITCASK_OK;

    while (status == BITCASK_OK && tool_interrupt_signal() == 0 &&
           tool->output.error == 0) {
        struct bitcask_inspect_item item;

        status = bitcask_inspector_next(inspector, &item);
        if (status == BITCASK_OK && !json)
            print_item(&tool->output, &item);
        else if (status == BITCASK_OK &&
                 !tool_json_print(&tool->output, item_json(name, &item)))
            status = BITCASK_NO_MEMORY;
    }
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

/* An exit status, said. */
static int show_hint(struct tool *tool, bool json, uint64_t id)
{
    struct bitcask_inspector *inspector = NULL;
    size_t path_size = strlen(tool->directory) + 40;
    char *path = malloc(path_size);
    const struct bitcask_inspect_header *header;
    enum bitcask_status status = BITCASK_NO_MEMORY;
    int code = TOOL_DONE;
    char name[40];

    (void)snprintf(name, sizeof name, "%010" PRIu64 ".hint", id);
    if (path != NULL) {
        (void)snprintf(path, path_size, "%s/%s", tool->directory, name);
        status = bitcask_inspector_open(&inspector, path, 0);
    }
    if (status == BITCASK_OK) {
        header = bitcask_inspector_header(inspector);
        if (!json)
            print_head(&tool->output, name, header);
        if (!header->trailer_intact) {
            tool_say(tool, TOOL_LOG_ERROR, "%s is damaged", name);
            code = TOOL_DAMAGED;
        }
        status = show_items(tool, json, name, inspector);
    }
    if (status != BITCASK_OK) {
        tool_say(tool, TOOL_LOG_ERROR, "%s could not be shown: %s", name,
                 tool_detail(status));
        code = tool_exit_worse(code, TOOL_ERROR);
    }
    bitcask_inspector_close(inspector);
    free(path);
    return code;
}

static int show(struct tool *tool, const struct tool_request *request)
{
    bool json = (request->given & TOOL_OPTION_JSON) != 0;
    struct bitcask_inspect_cask cask = { 0 };
    enum bitcask_status status;
    int code = TOOL_DONE;
    size_t count = 0;

    if (request->file_count > 0)
        return show_hint(tool, json, request->file_ids[0]);
    status = bitcask_inspect_directory(tool->directory, &cask);
    if (status == BITCASK_OK && !cask.manifest_exists && cask.segment_count == 0)
        status = BITCASK_NOT_FOUND;
    if (status != BITCASK_OK)
        code = tool_report_store(tool, status, "could not be looked at");
    for (size_t i = 0; i < cask.segment_count && tool_interrupt_signal() == 0; i++) {
        if (!cask.segments[i].hint_exists)
            continue;
        if (count++ > 0 && !json)
            tool_output_text(&tool->output, "\n");
        code = tool_exit_worse(code, show_hint(tool, json, cask.segments[i].id));
    }
    if (code == TOOL_DONE && count == 0)
        tool_say(tool, TOOL_LOG_INFO, "there is no hint");
    bitcask_inspect_cask_release(&cask);
    return code;
}

int tool_command_hint(struct tool *tool, const struct tool_request *request)
{
    tool_interrupt_install();
    return *(const char *)request->operands[0].data == 's' ? show(tool, request)
                                                           : treat(tool, request);
}
