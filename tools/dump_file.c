/* SPDX-License-Identifier: MIT */
/*
 * One file of those that `dump` goes through: what is said of it as a whole, and what is
 * wrong with its ends.
 */
#include "dump.h"

#include "interrupt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FILE_HEADER_SIZE = 64
};

bool tool_dump_is_over(const struct tool_dump *dump)
{
    return dump->tool->output.error != 0 || tool_interrupt_signal() != 0;
}

/* Open the store to see what is live, as far as damage lets us. */
int tool_dump_open_store(struct tool_dump *dump, bool needed)
{
    struct bitcask_options options = { 0 };
    enum bitcask_status status;

    options.read_only = true;
    options.must_exist = true;
    status = bitcask_open(&dump->store, dump->directory, &options);
    if (status == BITCASK_CORRUPT) {
        tool_say(dump->tool, TOOL_LOG_WARN,
                 "warning: the store does not open, so what is live is what can be "
                 "salvaged: %s",
                 tool_detail(status));
        options.salvage = true;
        status = bitcask_open(&dump->store, dump->directory, &options);
    }
    if (status == BITCASK_OK || !needed)
        return TOOL_DONE;
    tool_say(dump->tool, TOOL_LOG_ERROR, "what is live cannot be told: %s",
             tool_detail(status));
    return status == BITCASK_NOT_FOUND ? TOOL_ERROR : tool_exit_of(status);
}

/* See what there is in dump->directory. */
int tool_dump_look(struct tool_dump *dump)
{
    enum bitcask_status status;

    bitcask_inspect_cask_release(&dump->cask);
    status = bitcask_inspect_directory(dump->directory, &dump->cask);
    if (status == BITCASK_OK)
        return TOOL_DONE;
    tool_say(dump->tool, TOOL_LOG_ERROR, "%s", tool_detail(status));
    return status == BITCASK_NOT_FOUND ? TOOL_ERROR : tool_exit_of(status);
}

/* LIVE AND DEAD. */

struct share_search {
    uint64_t id; /* 0: all of them */
    struct tool_dump_share share;
};

static enum bitcask_status add_share(const struct bitcask_segment_stat *segment,
                                     void *context)
{
    struct share_search *search = context;

    if (search->id != 0 && search->id != segment->id)
        return BITCASK_OK;
    search->share.known = true;
    search->share.live_count += segment->live_count;
    search->share.live_size += segment->live_size;
    search->share.dead_size += segment->dead_size;
    return BITCASK_OK;
}

struct tool_dump_share tool_dump_share_of(const struct tool_dump *dump, uint64_t id)
{
    struct share_search search = { .id = id };

    if (dump->store != NULL)
        bitcask_stat_segments(dump->store, add_share, &search);
    return search.share;
}

void tool_dump_print_stats_title(const struct tool_dump *dump)
{
    if (!(dump->request->given & TOOL_OPTION_JSON))
        tool_output_print(&dump->tool->output, "%11s%13s%13s%13s%13s%13s%11s%11s  %s\n",
                          "size", "puts", "tombstones", "batches", "damaged", "live puts",
                          "live", "dead", "file");
}

static int print_stats(struct tool_dump *dump, const struct tool_dump_walk *walk)
{
    struct tool_dump_share share = { 0 };

    if (walk->file.header->file == BITCASK_INSPECT_DATA)
        share = tool_dump_share_of(dump, walk->file.header->segment_id);
    tool_dump_add_counts(&dump->sum, &walk->counts);
    dump->file_size_sum += walk->file.header->file_size;
    return tool_dump_print_counts(dump->tool, dump->request, walk->file.name,
                                  walk->file.header->file_size, &walk->counts, &share);
}

/* ONE FILE. */

static bool is_unsealed(const struct bitcask_inspect_segment *segment)
{
    return segment != NULL && (segment->state == BITCASK_INSPECT_OPEN ||
                               segment->state == BITCASK_INSPECT_PREPARED);
}

/* Say @text of the file, as a line of what is printed or, where that is data, beside it.
 */
int tool_dump_note(struct tool_dump *dump, const char *name, const char *type,
                   const char *text)
{
    if (dump->listing && !dump->selecting)
        return tool_dump_print_note(dump->tool, dump->request, name, type, text);
    tool_say(dump->tool, TOOL_LOG_WARN, "%s: %s", tool_name_of(bitcask_text(name)).text,
             text);
    return TOOL_DONE;
}

/* A file that was begun ahead, of which the header never came to the disk. */
static bool is_empty(const struct tool_dump_file *file)
{
    const struct bitcask_inspect_header *header = file->header;
    const struct bitcask_inspect_segment *segment = file->segment;
    struct bitcask_inspector *inspector = NULL;
    struct bitcask_inspect_item item;
    bool empty = false;

    if (!is_unsealed(segment) || segment->size > FILE_HEADER_SIZE)
        return false;
    if (header->file_size <= FILE_HEADER_SIZE)
        return true;
    if (header->version != 0 || header->salt != 0 || header->check_stored != 0)
        return false;
    if (bitcask_inspector_open(&inspector, file->path, segment->salt) == BITCASK_OK)
        empty = bitcask_inspector_next(inspector, &item) == BITCASK_OK && item.zeros;
    bitcask_inspector_close(inspector);
    return empty;
}

/* What is wrong with the start of a file, or the end of a hint. */
static int judge_header(struct tool_dump *dump, const struct tool_dump_file *file)
{
    const struct bitcask_inspect_header *header = file->header;
    char text[160];

    if (header->file == BITCASK_INSPECT_OTHER) {
        tool_dump_note(dump, file->name, "other", "this is no file of a cask");
        return TOOL_ERROR;
    }
    if (header->file == BITCASK_INSPECT_HINT && header->intact &&
        !header->trailer_intact) {
        snprintf(text, sizeof text,
                 "the hint is damaged: its check is %08" PRIx32 ", not %08" PRIx32,
                 header->trailer_check_stored, header->trailer_check_computed);
        tool_dump_note(dump, file->name, "damaged_hint", text);
        return TOOL_DAMAGED;
    }
    if (header->intact)
        return TOOL_DONE;
    if (header->check_stored == header->check_computed &&
        header->file_size >= FILE_HEADER_SIZE && header->version > 1) {
        snprintf(text, sizeof text, "version %" PRIu32 " is newer than this program",
                 header->version);
        tool_dump_note(dump, file->name, "unsupported", text);
        return TOOL_ERROR;
    }
    if (is_empty(file)) {
        tool_dump_note(dump, file->name, "unfinished_header",
                       "its header is not written yet");
        return TOOL_DONE;
    }
    snprintf(text, sizeof text,
             "the file header is damaged: its check is %08" PRIx32 ", not %08" PRIx32
             "%s",
             header->check_stored, header->check_computed,
             header->file == BITCASK_INSPECT_HINT || header->salt_found
                 ? ""
                 : "; its salt is lost, without which no record can be checked");
    tool_dump_note(dump, file->name, "damaged_header", text);
    return TOOL_DAMAGED;
}

/* The MANIFEST called @name, or something else without records. */
static int dump_other(struct tool_dump *dump, const struct tool_dump_walk *walk)
{
    const struct tool_request *request = dump->request;
    uint64_t size = walk->file.header->file_size;
    const char *base = strrchr(walk->file.path, '/');

    if (walk->file.header->file != BITCASK_INSPECT_MANIFEST)
        return judge_header(dump, &walk->file);
    if (request->given & TOOL_OPTION_RAW)
        return tool_dump_print_raw(dump->tool, &walk->file, 0, size);
    if (request->given & TOOL_OPTION_HEX)
        return tool_dump_print_hex(dump->tool, &walk->file, 0, size);
    if (!dump->listing || dump->selecting || request->given & TOOL_OPTION_STATS)
        return TOOL_DONE;
    base = base != NULL ? base + 1 : walk->file.path;
    if (strcmp(base, "MANIFEST") == 0) {
        int code =
            tool_dump_print_manifest(dump->tool, request, walk->file.name, &dump->cask);

        return dump->cask.manifest_intact ? code : TOOL_DAMAGED;
    }
    return tool_dump_print_header(dump->tool, request, &walk->file);
}

/* What comes before the records. False: there is nothing to go through. */
static bool begin_file(struct tool_dump *dump, struct tool_dump_walk *walk, int *code)
{
    tool_options given = dump->request->given;
    struct tool_dump_file *file = &walk->file;
    struct tool_dump_extent extent;

    if (file->header->file != BITCASK_INSPECT_DATA &&
        file->header->file != BITCASK_INSPECT_HINT) {
        *code = dump_other(dump, walk);
        return false;
    }
    if (given & TOOL_OPTION_RAW && file->header->file == BITCASK_INSPECT_HINT) {
        tool_say(dump->tool, TOOL_LOG_ERROR, "%s is a hint, which has no values",
                 tool_name_of(bitcask_text(file->name)).text);
        *code = TOOL_USAGE;
        return false;
    }
    if (given & TOOL_OPTION_HEADER) {
        if (file->header->file == BITCASK_INSPECT_DATA) {
            tool_dump_measure(file, &extent);
            file->extent = &extent;
        }
        *code = tool_exit_worse(judge_header(dump, file),
                                tool_dump_print_header(dump->tool, dump->request, file));
        file->extent = NULL;
        return false;
    }
    *code = judge_header(dump, file);
    if (dump->listing && !dump->selecting && !(given & TOOL_OPTION_STATS)) {
        if (given & TOOL_OPTION_JSON)
            *code = tool_exit_worse(
                *code, tool_dump_print_header(dump->tool, dump->request, file));
        else
            tool_dump_print_title(dump->tool, file);
        walk->titled = true;
    }
    if (given & TOOL_OPTION_FROM)
        bitcask_inspector_seek(file->inspector, dump->request->offset);
    return true;
}

/* Whether the file is as long as the MANIFEST says. */
static int judge_size(struct tool_dump *dump, const struct tool_dump_file *file)
{
    const struct bitcask_inspect_segment *segment = file->segment;
    char text[160];

    if (file->header->file != BITCASK_INSPECT_DATA || segment == NULL ||
        file->header->file_size >= segment->size)
        return TOOL_DONE;
    snprintf(text, sizeof text,
             "the file ends at %" PRIu64 ", though it had %" PRIu64
             " bytes, MANIFEST says",
             file->header->file_size, segment->size);
    tool_dump_note(dump, file->name, "short", text);
    return TOOL_DAMAGED;
}

/* Go through the file of @walk, which is open; with @stay more may come. */
int tool_dump_file(struct tool_dump *dump, struct tool_dump_walk *walk, bool stay)
{
    int code = TOOL_DONE;

    if (!begin_file(dump, walk, &code))
        return code;
    code = tool_exit_worse(code, tool_dump_walk_drain(walk));
    if (stay)
        return code;
    code = tool_exit_worse(code, tool_dump_walk_finish(walk));
    code = tool_exit_worse(code, judge_size(dump, &walk->file));
    if (dump->request->given & TOOL_OPTION_STATS)
        code = tool_exit_worse(code, print_stats(dump, walk));
    return code;
}
