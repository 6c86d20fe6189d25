/* SPDX-License-Identifier: MIT */
#include "dump.h"

#include "json_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_SIZE = 32, /* of a value, in a line */
    PIECE_SIZE = 16 * 1024,
    HEX_COLUMNS = 16,
    CHECK_SIZE = 32
};

const char *tool_time_print(uint64_t ms, char text[TOOL_TIME_SIZE])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    char day[32];

    if (ms / 1000 > 253402300799u || gmtime_r(&seconds, &parts) == NULL ||
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        snprintf(text, TOOL_TIME_SIZE, "%" PRIu64 " ms", ms);
    else
        snprintf(text, TOOL_TIME_SIZE, "%s.%03uZ", day, (unsigned)(ms % 1000));
    return text;
}

json_t *tool_json_number(uint64_t number)
{
    return number <= INT64_MAX ? json_integer((json_int_t)number)
                               : json_real((double)number);
}

static const char *kind_text(enum bitcask_inspect_kind kind)
{
    switch (kind) {
    case BITCASK_INSPECT_PUT:
        return "put";
    case BITCASK_INSPECT_TOMBSTONE:
        return "tombstone";
    case BITCASK_INSPECT_BATCH:
        return "batch";
    case BITCASK_INSPECT_DAMAGE:
        break;
    }
    return "damage";
}

bool tool_dump_is_bad(const struct bitcask_inspect_item *item)
{
    return item->kind == BITCASK_INSPECT_DAMAGE || !item->key_intact ||
           !item->value_intact || !item->batch_intact;
}

static int no_memory(const struct tool *tool)
{
    tool_say(tool, TOOL_LOG_ERROR, "there is no memory to print a record");
    return TOOL_ERROR;
}

static int print_object(struct tool *tool, json_t *object)
{
    return tool_json_print(&tool->output, object) ? TOOL_DONE : no_memory(tool);
}

static json_t *with_number(json_t *object, const char *name, uint64_t number)
{
    return tool_json_with(object, name, tool_json_number(number));
}

static json_t *with_flag(json_t *object, const char *name, bool flag)
{
    return tool_json_with(object, name, json_boolean(flag));
}

static json_t *with_text(json_t *object, const char *name, const char *text)
{
    return tool_json_with(object, name, tool_json_text(text));
}

static json_t *with_check(json_t *object, const char *name, uint32_t check)
{
    char text[CHECK_SIZE];

    snprintf(text, sizeof text, "%08" PRIx32, check);
    return with_text(object, name, text);
}

static json_t *object_of(const char *name, const char *type)
{
    return with_text(with_text(json_object(), "file", name), "type", type);
}

/* Read @size bytes at @offset, fewer only at the end of the file. */
static bool read_bytes(const struct tool *tool, const struct tool_dump_file *file,
                       uint64_t offset, void *data, size_t size, size_t *got)
{
    enum bitcask_status status =
        bitcask_inspector_read(file->inspector, offset, data, size, got);

    if (status == BITCASK_OK)
        return true;
    tool_say(tool, TOOL_LOG_ERROR, "%s, offset %" PRIu64 ": %s",
             tool_name_of(bitcask_text(file->name)).text, offset, tool_detail(status));
    *got = 0;
    return false;
}

/* Print @size bytes, which are at @offset of the file @name. An exit status. */
typedef int print_piece(struct tool *tool, const char *name, uint64_t offset,
                        const unsigned char *bytes, size_t size);

/* Piece by piece, to the end of the file if that comes first. */
static int print_pieces(struct tool *tool, const struct tool_dump_file *file,
                        uint64_t offset, uint64_t size, print_piece *print)
{
    unsigned char bytes[PIECE_SIZE];

    while (size > 0 && tool->output.error == 0) {
        size_t wanted = size < sizeof bytes ? (size_t)size : sizeof bytes;
        size_t got = 0;
        int code;

        if (!read_bytes(tool, file, offset, bytes, wanted, &got))
            return TOOL_ERROR;
        code = print(tool, file->name, offset, bytes, got);
        if (code != TOOL_DONE || got < wanted)
            return code;
        offset += got;
        size -= got;
    }
    return TOOL_DONE;
}

static bool is_control(unsigned char byte)
{
    return (byte < 0x20 && byte != '\n' && byte != '\t') || byte >= 0x7f;
}

static int print_raw(struct tool *tool, const char *name, uint64_t offset,
                     const unsigned char *bytes, size_t size)
{
    bool on_terminal = isatty(tool->output.descriptor);

    for (size_t i = 0; on_terminal && i < size; i++) {
        if (is_control(bytes[i])) {
            tool_say(tool, TOOL_LOG_ERROR,
                     "%s, offset %" PRIu64 ": these bytes are not for a terminal; "
                     "write them to a file or a pipe, or use --hex",
                     tool_name_of(bitcask_text(name)).text, offset + i);
            return TOOL_ERROR;
        }
    }
    tool_output_write(&tool->output, bytes, size);
    return TOOL_DONE;
}

int tool_dump_print_raw(struct tool *tool, const struct tool_dump_file *file,
                        uint64_t offset, uint64_t size)
{
    return print_pieces(tool, file, offset, size, print_raw);
}

static void print_hex_line(struct tool_output *output, uint64_t offset,
                           const unsigned char *bytes, size_t size)
{
    char text[HEX_COLUMNS + 1];

    tool_output_print(output, "    %08" PRIx64 " ", offset);
    for (size_t i = 0; i < HEX_COLUMNS; i++) {
        if (i < size)
            tool_output_print(output, "%s%02x", i == 8 ? "  " : " ", bytes[i]);
        else
            tool_output_text(output, i == 8 ? "    " : "   ");
    }
    for (size_t i = 0; i < size; i++)
        text[i] = bytes[i] >= 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : '.';
    text[size] = 0;
    tool_output_print(output, "  |%s|\n", text);
}

static int print_hex(struct tool *tool, const char *name, uint64_t offset,
                     const unsigned char *bytes, size_t size)
{
    (void)name;
    for (size_t at = 0; at < size; at += HEX_COLUMNS)
        print_hex_line(&tool->output, offset + at, bytes + at,
                       size - at < HEX_COLUMNS ? size - at : HEX_COLUMNS);
    return TOOL_DONE;
}

int tool_dump_print_hex(struct tool *tool, const struct tool_dump_file *file,
                        uint64_t offset, uint64_t size)
{
    return print_pieces(tool, file, offset, size, print_hex);
}

void tool_dump_print_title(struct tool *tool, const struct tool_dump_file *file)
{
    struct tool_output *output = &tool->output;
    const struct bitcask_inspect_header *header = file->header;
    bool hint = header->file == BITCASK_INSPECT_HINT;

    tool_output_escape(output, bitcask_text(file->name));
    tool_output_print(output, ": %s of segment %" PRIu64 ", %" PRIu64 " bytes",
                      hint ? "hint" : "data file", header->segment_id, header->file_size);
    if (!hint && file->segment != NULL &&
        file->segment->state == BITCASK_INSPECT_UNLISTED)
        tool_output_text(output, ", not listed in MANIFEST");
    else if (!hint && file->segment != NULL)
        tool_output_print(output, ", %s",
                          bitcask_inspect_state_text(file->segment->state));
    if (hint)
        tool_output_print(output, "\n%12s %-12s %11s %5s %11s %12s  %s\n", "offset",
                          "kind", "sequence", "key", "value", "at", "key");
    else
        tool_output_print(output, "\n%12s %-12s %11s %5s %11s  %-11s  %-11s  %s\n",
                          "offset", "kind", "sequence", "key", "value", "key check",
                          "value check", "key and value");
}

/* What a check says: the one that is stored, and if it is not right, what it should be.
 */
static const char *check_text(uint32_t stored, uint32_t computed, bool ok,
                              char text[CHECK_SIZE])
{
    if (stored == computed)
        snprintf(text, CHECK_SIZE, "%08" PRIx32 " %s", stored, ok ? "ok" : "BAD");
    else
        snprintf(text, CHECK_SIZE, "%08" PRIx32 "!=%08" PRIx32, stored, computed);
    return text;
}

/* As much of the value as there is in the file. */
static uint64_t value_left(const struct bitcask_inspect_item *item)
{
    uint64_t skipped = item->value_offset - item->offset;
    uint64_t left = item->size > skipped ? item->size - skipped : 0;

    return left < item->value_size ? left : item->value_size;
}

static int print_value_head(struct tool *tool, const struct tool_dump_file *file,
                            const struct bitcask_inspect_item *item)
{
    unsigned char bytes[HEAD_SIZE];
    uint64_t left = value_left(item);
    struct bitcask_slice head = { bytes, 0 };

    if (!read_bytes(tool, file, item->value_offset, bytes,
                    left < sizeof bytes ? (size_t)left : sizeof bytes, &head.size))
        return TOOL_ERROR;
    tool_output_text(&tool->output, "\t");
    tool_output_escape(&tool->output, head);
    if (head.size < item->value_size)
        tool_output_text(&tool->output, "...");
    return TOOL_DONE;
}

static int print_record_line(struct tool *tool, const struct tool_dump_file *file,
                             const struct bitcask_inspect_item *item)
{
    struct tool_output *output = &tool->output;
    bool hint = file->header->file == BITCASK_INSPECT_HINT;
    bool batch = item->kind == BITCASK_INSPECT_BATCH;
    char kind[16], key_check[CHECK_SIZE], value_check[CHECK_SIZE], time[TOOL_TIME_SIZE];
    int code = TOOL_DONE;

    snprintf(kind, sizeof kind, "%s%s%s", item->in_batch ? "  " : "",
             kind_text(item->kind), item->key_intact ? "" : "?");
    tool_output_print(output, "%12" PRIu64 " %-12s %11" PRIu64 " %5zu %11" PRIu64,
                      item->offset, kind, item->sequence, item->key.size,
                      item->value_size);
    if (hint)
        tool_output_print(output, " %12" PRIu64, item->record_offset);
    else
        tool_output_print(output, "  %-11s  %-11s",
                          check_text(item->key_check_stored, item->key_check_computed,
                                     item->key_intact, key_check),
                          check_text(item->value_check_stored, item->value_check_computed,
                                     item->value_intact, value_check));
    if (item->expires)
        tool_output_print(output, "  expires %s", tool_time_print(item->expiry_ms, time));
    tool_output_text(output, "  ");
    tool_output_escape(output, item->key);
    if (!hint && item->kind == BITCASK_INSPECT_PUT)
        code = print_value_head(tool, file, item);
    if (!item->batch_intact)
        tool_output_text(output, "\t(of a damaged batch)");
    tool_output_text(output, batch && !item->value_intact ? "damaged\n" : "\n");
    return code;
}

/* The whole value, as one. */
static json_t *with_value(json_t *object, const struct tool *tool,
                          const struct tool_dump_file *file,
                          const struct bitcask_inspect_item *item)
{
    uint64_t size = value_left(item);
    struct bitcask_slice value = { NULL, 0 };
    void *data = malloc(size > 0 ? (size_t)size : 1);

    value.data = data;
    if (data == NULL) {
        json_decref(object);
        return NULL;
    }
    if (read_bytes(tool, file, item->value_offset, data, (size_t)size, &value.size))
        object = tool_json_with_bytes(object, "value", value);
    free(data);
    return object;
}

static json_t *with_checks(json_t *object, const struct bitcask_inspect_item *item)
{
    object = with_number(object, "unsynced_count", item->unsynced_count);
    object = with_check(object, "key_check", item->key_check_stored);
    object = with_check(object, "key_check_computed", item->key_check_computed);
    object = with_flag(object, "key_intact", item->key_intact);
    object = with_check(object, "value_check", item->value_check_stored);
    object = with_check(object, "value_check_computed", item->value_check_computed);
    object = with_flag(object, "value_intact", item->value_intact);
    if (!item->in_batch)
        return object;
    object = with_number(object, "batch_offset", item->batch_offset);
    return with_flag(object, "batch_intact", item->batch_intact);
}

static int print_record_json(struct tool *tool, const struct tool_request *request,
                             const struct tool_dump_file *file,
                             const struct bitcask_inspect_item *item)
{
    bool hint = file->header->file == BITCASK_INSPECT_HINT;
    bool keys_only = (request->given & TOOL_OPTION_KEYS_ONLY) != 0;
    json_t *object = object_of(file->name, hint ? "entry" : "record");

    object = with_number(object, "offset", item->offset);
    object = with_number(object, "size", item->size);
    object = with_text(object, "kind", kind_text(item->kind));
    object = with_number(object, "sequence", item->sequence);
    if (item->expires)
        object = with_number(object, "expiry_ms", item->expiry_ms);
    if (hint)
        object = with_number(object, "record_offset", item->record_offset);
    else
        object = with_checks(object, item);
    object = with_number(object, "key_size", item->key.size);
    object = with_number(object, "value_size", item->value_size);
    if (item->kind != BITCASK_INSPECT_BATCH)
        object = tool_json_with_bytes(object, "key", item->key);
    if (!hint && !keys_only && item->kind == BITCASK_INSPECT_PUT)
        object = with_value(object, tool, file, item);
    return print_object(tool, object);
}

/* Bytes that are no record. */
static int print_bytes(struct tool *tool, const struct tool_request *request,
                       const struct tool_dump_file *file, const char *type,
                       const char *text, uint64_t offset, uint64_t size)
{
    json_t *object;

    if (!(request->given & TOOL_OPTION_JSON)) {
        tool_output_print(&tool->output, "%12" PRIu64 " %-11s %" PRIu64 " bytes %s\n",
                          offset, type, size, text);
        if (request->given & TOOL_OPTION_HEX)
            return tool_dump_print_hex(tool, file, offset, size);
        return TOOL_DONE;
    }
    object = object_of(file->name, *type == 't' ? "torn_tail" : type);
    object = with_number(object, "offset", offset);
    return print_object(tool, with_number(object, "size", size));
}

int tool_dump_print_tail(struct tool *tool, const struct tool_request *request,
                         const struct tool_dump_file *file, uint64_t offset,
                         uint64_t size)
{
    return print_bytes(tool, request, file, "torn tail",
                       "behind the last whole record, never known to be synced: "
                       "unfinished, or left by a crash",
                       offset, size);
}

int tool_dump_print_item(struct tool *tool, const struct tool_request *request,
                         const struct tool_dump_file *file,
                         const struct bitcask_inspect_item *item)
{
    bool batch = item->kind == BITCASK_INSPECT_BATCH;
    int code;

    if (item->kind == BITCASK_INSPECT_DAMAGE)
        return print_bytes(tool, request, file, "damage",
                           "in which nothing can be recognised", item->offset,
                           item->size);
    if (request->given & TOOL_OPTION_JSON)
        return print_record_json(tool, request, file, item);
    if (request->given & TOOL_OPTION_RAW)
        return tool_dump_print_raw(tool, file, item->value_offset, value_left(item));
    if (request->given & TOOL_OPTION_KEYS_ONLY) {
        tool_output_escape(&tool->output, item->key);
        tool_output_text(&tool->output, "\n");
        return TOOL_DONE;
    }
    code = print_record_line(tool, file, item);
    if (request->given &
        TOOL_OPTION_HEX) /* the parts of a batch have lines of their own */
        code = tool_exit_worse(
            code,
            tool_dump_print_hex(tool, file, item->offset,
                                batch ? item->value_offset - item->offset : item->size));
    return code;
}

int tool_dump_print_note(struct tool *tool, const struct tool_request *request,
                         const char *name, const char *type, const char *text)
{
    if (request->given & TOOL_OPTION_JSON)
        return print_object(tool, with_text(object_of(name, type), "text", text));
    tool_output_escape(&tool->output, bitcask_text(name));
    tool_output_print(&tool->output, ": %s\n", text);
    return TOOL_DONE;
}
