/* SPDX-License-Identifier: MIT */
/*
 * Files as a whole: the headers of data files and hints, and the MANIFEST.
 */
#include "dump.h"

#include "json_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FILE_HEADER_SIZE = 64,
    HINT_TRAILER_SIZE = 48
};

static const char *type_of(const struct tool_dump_file *file)
{
    switch (file->header->file) {
    case BITCASK_INSPECT_DATA:
        return "data";
    case BITCASK_INSPECT_HINT:
        return "hint";
    case BITCASK_INSPECT_MANIFEST:
        return "manifest";
    case BITCASK_INSPECT_OTHER:
        break;
    }
    return "other";
}

static const char *check_words(uint32_t stored, uint32_t computed)
{
    return stored == computed ? "ok" : "BAD";
}

/* The trailer of a hint says that, too. */
static struct tool_dump_extent extent_of(const struct bitcask_inspect_header *header)
{
    const struct tool_dump_extent extent = {
        .entry_count = header->entry_count,
        .tombstone_count = header->tombstone_count,
        .first_sequence = header->first_sequence,
        .last_sequence = header->last_sequence,
    };

    return extent;
}

static void print_extent(struct tool_output *output,
                         const struct tool_dump_extent *extent)
{
    tool_output_print(output,
                      "  entries     %" PRIu64 ", of them %" PRIu64 " tombstones\n"
                      "  sequences   %" PRIu64 " to %" PRIu64 "\n",
                      extent->entry_count, extent->tombstone_count,
                      extent->first_sequence, extent->last_sequence);
}

/* The trailer of a hint, of this file or of the one beside it. */
static void print_trailer(struct tool_output *output,
                          const struct bitcask_inspect_header *header)
{
    const struct tool_dump_extent extent = extent_of(header);

    print_extent(output, &extent);
    tool_output_print(output,
                      "  speaks for  %" PRIu64 " bytes of data\n"
                      "  file check  %08" PRIx32 " stored, %08" PRIx32 " computed, %s\n",
                      header->data_size, header->trailer_check_stored,
                      header->trailer_check_computed,
                      header->trailer_intact ? "ok" : "BAD");
}

static void print_segment(struct tool_output *output,
                          const struct bitcask_inspect_segment *segment)
{
    tool_output_print(output, "  state       %s\n",
                      bitcask_inspect_state_text(segment->state));
    if (segment->state == BITCASK_INSPECT_SEALED)
        tool_output_print(output, "  sequences   %" PRIu64 " to %" PRIu64 "\n",
                          segment->first_sequence, segment->last_sequence);
    if (segment->state == BITCASK_INSPECT_OPEN)
        tool_output_print(output,
                          "  synced      %" PRIu64 " bytes, to sequence %" PRIu64 "\n",
                          segment->size, segment->last_sequence);
}

void tool_dump_measure(const struct tool_dump_file *file, struct tool_dump_extent *extent)
{
    struct bitcask_inspect_item item;
    enum bitcask_status status;

    *extent = (struct tool_dump_extent){ 0 };
    do {
        status = bitcask_inspector_next(file->inspector, &item);
        if (status != BITCASK_OK || !item.key_intact ||
            (item.kind != BITCASK_INSPECT_PUT && item.kind != BITCASK_INSPECT_TOMBSTONE))
            continue;
        extent->entry_count++;
        extent->tombstone_count += item.kind == BITCASK_INSPECT_TOMBSTONE;
        if (extent->first_sequence == 0 || item.sequence < extent->first_sequence)
            extent->first_sequence = item.sequence;
        if (item.sequence > extent->last_sequence)
            extent->last_sequence = item.sequence;
    } while (status == BITCASK_OK || status == BITCASK_IO);
}

static void print_text(struct tool_output *output, const struct tool_dump_file *file)
{
    const struct bitcask_inspect_header *header = file->header;
    struct bitcask_slice magic = { header->magic, sizeof header->magic };
    char time[TOOL_TIME_SIZE];

    tool_output_escape(output, bitcask_text(file->name));
    tool_output_print(output, "\n  type        %s\n  size        %" PRIu64 "\n",
                      type_of(file), header->file_size);
    if (header->file != BITCASK_INSPECT_DATA && header->file != BITCASK_INSPECT_HINT)
        return;
    tool_output_text(output, "  magic       ");
    tool_output_escape(output, magic);
    tool_output_print(output,
                      "\n  version     %" PRIu32 "\n"
                      "  features    %#" PRIx32 "\n"
                      "  segment     %" PRIu64 "\n"
                      "  salt        %016" PRIx64 "\n",
                      header->version, header->features, header->segment_id,
                      header->salt);
    if (header->file == BITCASK_INSPECT_DATA)
        tool_output_print(output, "  created     %s (%" PRIu64 ")\n",
                          tool_time_print(header->created_ms, time), header->created_ms);
    tool_output_print(output,
                      "  check       %08" PRIx32 " stored, %08" PRIx32 " computed, %s\n",
                      header->check_stored, header->check_computed,
                      check_words(header->check_stored, header->check_computed));
    if (header->file == BITCASK_INSPECT_DATA && !header->intact && header->salt_found)
        tool_output_print(output, "  records     have salt %016" PRIx64 "\n",
                          header->record_salt);
    if (header->file == BITCASK_INSPECT_HINT)
        print_trailer(output, header);
    if (file->extent != NULL)
        print_extent(output, file->extent);
    if (header->file == BITCASK_INSPECT_DATA && file->segment != NULL)
        print_segment(output, file->segment);
}

static json_t *with_number(json_t *object, const char *name, uint64_t number)
{
    return tool_json_with(object, name, tool_json_number(number));
}

static json_t *with_format(json_t *object, const char *name, const char *format,
                           uint64_t number)
{
    char text[32];

    if (strcmp(format, "check") == 0)
        snprintf(text, sizeof text, "%08" PRIx32, (uint32_t)number);
    else
        snprintf(text, sizeof text, "%016" PRIx64, number);
    return tool_json_with(object, name, json_string(text));
}

static json_t *with_extent(json_t *object, const struct tool_dump_extent *extent)
{
    object = with_number(object, "entry_count", extent->entry_count);
    object = with_number(object, "tombstone_count", extent->tombstone_count);
    object = with_number(object, "first_sequence", extent->first_sequence);
    return with_number(object, "last_sequence", extent->last_sequence);
}

static json_t *with_trailer(json_t *object, const struct bitcask_inspect_header *header)
{
    const struct tool_dump_extent extent = extent_of(header);

    object = with_extent(object, &extent);
    object = with_number(object, "data_size", header->data_size);
    object = with_format(object, "file_check", "check", header->trailer_check_stored);
    object = with_format(object, "file_check_computed", "check",
                         header->trailer_check_computed);
    return tool_json_with(object, "file_intact", json_boolean(header->trailer_intact));
}

static json_t *with_segment(json_t *object, const struct bitcask_inspect_segment *segment)
{
    object = tool_json_with(object, "state",
                            json_string(bitcask_inspect_state_text(segment->state)));
    if (segment->state == BITCASK_INSPECT_SEALED ||
        segment->state == BITCASK_INSPECT_OPEN)
        object = with_number(object, "listed_size", segment->size);
    if (segment->state == BITCASK_INSPECT_SEALED)
        object = with_number(object, "first_sequence", segment->first_sequence);
    if (segment->state == BITCASK_INSPECT_SEALED ||
        segment->state == BITCASK_INSPECT_OPEN)
        object = with_number(object, "last_sequence", segment->last_sequence);
    if (segment->purged_sequence != 0)
        object = with_number(object, "purged_sequence", segment->purged_sequence);
    return object;
}

static json_t *header_json(const struct tool_dump_file *file)
{
    const struct bitcask_inspect_header *header = file->header;
    struct bitcask_slice magic = { header->magic, sizeof header->magic };
    json_t *object = json_object();

    object = tool_json_with(object, "file", tool_json_text(file->name));
    object = tool_json_with(object, "type", json_string(type_of(file)));
    object = with_number(object, "file_size", header->file_size);
    if (header->file != BITCASK_INSPECT_DATA && header->file != BITCASK_INSPECT_HINT)
        return object;
    object = tool_json_with_bytes(object, "magic", magic);
    object = with_number(object, "version", header->version);
    object = with_number(object, "features", header->features);
    object = with_number(object, "segment_id", header->segment_id);
    object = with_format(object, "salt", "salt", header->salt);
    object = with_format(object, "check", "check", header->check_stored);
    object = with_format(object, "check_computed", "check", header->check_computed);
    object = tool_json_with(object, "intact", json_boolean(header->intact));
    if (header->file == BITCASK_INSPECT_HINT)
        return with_trailer(object, header);
    object = with_number(object, "created_ms", header->created_ms);
    if (header->salt_found)
        object = with_format(object, "record_salt", "salt", header->record_salt);
    if (file->segment != NULL)
        object = with_segment(object, file->segment);
    /* What is there wins over what MANIFEST says of it. */
    return file->extent != NULL ? with_extent(object, file->extent) : object;
}

static int print_object(struct tool *tool, json_t *object)
{
    if (tool_json_print(&tool->output, object))
        return TOOL_DONE;
    tool_say(tool, TOOL_LOG_ERROR, "there is no memory to print as JSON");
    return TOOL_ERROR;
}

int tool_dump_print_header(struct tool *tool, const struct tool_request *request,
                           const struct tool_dump_file *file)
{
    uint64_t size = file->header->file_size;
    int code = TOOL_DONE;

    if (request->given & TOOL_OPTION_JSON)
        return print_object(tool, header_json(file));
    print_text(&tool->output, file);
    if (!(request->given & TOOL_OPTION_HEX))
        return TOOL_DONE;
    code = tool_dump_print_hex(tool, file, 0,
                               size < FILE_HEADER_SIZE ? size : FILE_HEADER_SIZE);
    if (file->header->file == BITCASK_INSPECT_HINT &&
        size >= FILE_HEADER_SIZE + HINT_TRAILER_SIZE)
        code = tool_exit_worse(
            code,
            tool_dump_print_hex(tool, file, size - HINT_TRAILER_SIZE, HINT_TRAILER_SIZE));
    return code;
}

static int print_manifest_json(struct tool *tool, const char *name,
                               const struct bitcask_inspect_cask *cask)
{
    json_t *object = json_object();
    int code;

    object = tool_json_with(object, "file", tool_json_text(name));
    object = tool_json_with(object, "type", json_string("manifest"));
    object = with_number(object, "file_size", cask->manifest_size);
    object = with_format(object, "check", "check", cask->manifest_check_stored);
    object =
        with_format(object, "check_computed", "check", cask->manifest_check_computed);
    object = tool_json_with(object, "intact", json_boolean(cask->manifest_intact));
    if (cask->manifest_intact) {
        object = with_number(object, "next_id", cask->next_id);
        object = with_number(object, "sequence", cask->sequence);
        object = with_number(object, "key_count", cask->key_count);
    }
    code = print_object(tool, object);
    for (size_t i = 0; i < cask->segment_count && code == TOOL_DONE; i++) {
        const struct bitcask_inspect_segment *segment = &cask->segments[i];

        object = json_object();
        object = tool_json_with(object, "file", tool_json_text(name));
        object = tool_json_with(object, "type", json_string("segment"));
        object = with_number(object, "segment_id", segment->id);
        object = with_format(object, "salt", "salt", segment->salt);
        object = with_segment(object, segment);
        object =
            tool_json_with(object, "data_exists", json_boolean(segment->data_exists));
        object =
            tool_json_with(object, "hint_exists", json_boolean(segment->hint_exists));
        code = print_object(tool, object);
    }
    return code;
}

static void print_line(struct tool_output *output,
                       const struct bitcask_inspect_segment *segment)
{
    tool_output_print(output, "  %-11s %10" PRIu64,
                      bitcask_inspect_state_text(segment->state), segment->id);
    if (segment->state != BITCASK_INSPECT_UNLISTED)
        tool_output_print(output, "  salt %016" PRIx64, segment->salt);
    if (segment->state == BITCASK_INSPECT_SEALED)
        tool_output_print(output, "  size %" PRIu64 "  sequences %" PRIu64 " to %" PRIu64,
                          segment->size, segment->first_sequence, segment->last_sequence);
    if (segment->state == BITCASK_INSPECT_OPEN)
        tool_output_print(output, "  size %" PRIu64 "  last %" PRIu64, segment->size,
                          segment->last_sequence);
    if (segment->purged_sequence != 0)
        tool_output_print(output, "  purged %" PRIu64, segment->purged_sequence);
    if (segment->data_exists && segment->state == BITCASK_INSPECT_UNLISTED)
        tool_output_text(output, "  there is a data file");
    else if (!segment->data_exists && segment->state == BITCASK_INSPECT_SEALED)
        tool_output_text(output, "  its data file is missing");
    tool_output_text(output, segment->hint_exists ? "  with a hint\n" : "\n");
}

int tool_dump_print_manifest(struct tool *tool, const struct tool_request *request,
                             const char *name, const struct bitcask_inspect_cask *cask)
{
    struct tool_output *output = &tool->output;

    if (request->given & TOOL_OPTION_JSON)
        return print_manifest_json(tool, name, cask);
    tool_output_escape(output, bitcask_text(name));
    tool_output_print(
        output,
        ": %" PRIu64 " bytes, check %08" PRIx32 " stored, %08" PRIx32 " computed, %s\n",
        cask->manifest_size, cask->manifest_check_stored, cask->manifest_check_computed,
        cask->manifest_intact ? "ok"
        : cask->manifest_check_stored == cask->manifest_check_computed
            ? "but of a form that is not known here"
            : "BAD");
    if (cask->manifest_intact)
        tool_output_print(
            output, "  next id %" PRIu64 ", sequence %" PRIu64 ", keys %" PRIu64 "\n",
            cask->next_id, cask->sequence, cask->key_count);
    for (size_t i = 0; i < cask->segment_count; i++)
        print_line(output, &cask->segments[i]);
    return TOOL_DONE;
}
