/* SPDX-License-Identifier: MIT */
/*
 * Through one file, from record to record.
 *
 * In a file that is not sealed, bad records at the end may be a record that is being
 * written, or the torn tail of a crash. So they are held back until something whole
 * follows, which makes them damage, or nothing more comes.
 */
#include "dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_unsealed(const struct bitcask_inspect_segment *segment)
{
    return segment != NULL && (segment->state == BITCASK_INSPECT_OPEN ||
                               segment->state == BITCASK_INSPECT_PREPARED);
}

enum bitcask_status tool_dump_walk_open(struct tool_dump_walk *walk)
{
    const struct bitcask_inspect_segment *segment = walk->file.segment;
    enum bitcask_status status = bitcask_inspector_open(
        &walk->file.inspector, walk->file.path, segment != NULL ? segment->salt : 0);

    if (status == BITCASK_OK)
        walk->file.header = bitcask_inspector_header(walk->file.inspector);
    return status;
}

static void forget_held(struct tool_dump_walk *walk)
{
    for (size_t i = 0; i < walk->held_count; i++)
        free((void *)(uintptr_t)walk->held[i].key.data);
    walk->held_count = 0;
}

void tool_dump_walk_release(struct tool_dump_walk *walk)
{
    forget_held(walk);
    free(walk->held);
    walk->held = NULL;
    walk->held_capacity = 0;
    bitcask_inspector_close(walk->file.inspector);
    walk->file.inspector = NULL;
    walk->file.header = NULL;
}

static bool hold(struct tool_dump_walk *walk, const struct bitcask_inspect_item *item)
{
    struct bitcask_inspect_item *held;
    void *key = malloc(item->key.size > 0 ? item->key.size : 1);

    if (walk->held_count == walk->held_capacity) {
        size_t capacity = walk->held_capacity == 0 ? 8 : 2 * walk->held_capacity;
        void *grown = realloc(walk->held, capacity * sizeof *walk->held);

        if (grown != NULL) {
            walk->held = grown;
            walk->held_capacity = capacity;
        }
    }
    if (key == NULL || walk->held_count == walk->held_capacity) {
        free(key);
        return false;
    }
    if (item->key.size > 0)
        memcpy(key, item->key.data, item->key.size);
    held = &walk->held[walk->held_count++];
    *held = *item;
    held->key.data = key;
    return true;
}

/* Whether a merge removed segment @id before it could be read. */
static bool was_replaced(const struct tool_dump *dump, uint64_t id)
{
    if (!dump->vanished)
        return false;
    for (size_t i = 0; i < dump->done_count; i++)
        if (dump->done[i] == id)
            return false;
    for (size_t i = 0; i < dump->cask.segment_count; i++)
        if (dump->cask.segments[i].id == id && dump->cask.segments[i].data_exists)
            return false;
    return true;
}

/* Whether the store would return @item; what a merge has moved is found by its sequence.
 */
static bool is_live(const struct tool_dump *dump, const struct tool_dump_file *file,
                    const struct bitcask_inspect_item *item)
{
    struct bitcask_location location;

    if (item->kind != BITCASK_INSPECT_PUT || item->key.size == 0 ||
        bitcask_locate(dump->store, item->key, &location) != BITCASK_OK ||
        location.sequence != item->sequence)
        return false;
    if (location.segment_id == file->header->segment_id)
        return location.offset == item->record_offset;
    return was_replaced(dump, location.segment_id);
}

static bool is_wanted_key(const struct tool_request *request,
                          const struct bitcask_inspect_item *item)
{
    return item->key.size == request->key.size &&
           memcmp(item->key.data, request->key.data, item->key.size) == 0;
}

/* Whether @item is to be printed. What cannot be told is counted. */
static bool is_selected(struct tool_dump *dump, const struct tool_dump_file *file,
                        const struct bitcask_inspect_item *item)
{
    tool_options given = dump->request->given;

    if (dump->listing && !dump->selecting)
        return true;
    if (item->kind == BITCASK_INSPECT_BATCH)
        return false;
    if (item->kind == BITCASK_INSPECT_DAMAGE) {
        dump->hidden_count++;
        return false;
    }
    if (given & TOOL_OPTION_KEY && !is_wanted_key(dump->request, item)) {
        dump->hidden_count += !item->key_intact; /* it may have been the one */
        return false;
    }
    if (given & TOOL_OPTION_LIVE && !is_live(dump, file, item))
        return false;
    if (dump->listing)
        return true;
    if (!item->key_intact ||
        (given & TOOL_OPTION_RAW && (!item->value_intact || !item->batch_intact))) {
        dump->hidden_count++;
        return false;
    }
    return !(given & TOOL_OPTION_RAW) || item->kind == BITCASK_INSPECT_PUT;
}

/* Zeros at the end, where MANIFEST does not say that there were records. */
static bool is_unused(const struct tool_dump_walk *walk,
                      const struct bitcask_inspect_item *item)
{
    const struct bitcask_inspect_segment *segment = walk->file.segment;

    return item->zeros && (segment == NULL || item->offset >= segment->size);
}

static int show(struct tool_dump_walk *walk, const struct bitcask_inspect_item *item)
{
    struct tool_dump *dump = walk->dump;
    bool bad = tool_dump_is_bad(item);
    int code;

    tool_dump_count(&walk->counts, item);
    if (!bad && item->kind != BITCASK_INSPECT_BATCH)
        walk->last_sequence = item->sequence;
    if (walk->last_sequence > dump->last_sequence)
        dump->last_sequence = walk->last_sequence;
    if (dump->request->given & (TOOL_OPTION_STATS | TOOL_OPTION_HEADER))
        return bad ? TOOL_DAMAGED : TOOL_DONE;
    if (!is_selected(dump, &walk->file, item))
        return TOOL_DONE;
    if (dump->listing && !walk->titled && !(dump->request->given & TOOL_OPTION_JSON))
        tool_dump_print_title(dump->tool, &walk->file);
    walk->titled = true;
    code = tool_dump_print_item(dump->tool, dump->request, &walk->file, item);
    return tool_exit_worse(code, bad ? TOOL_DAMAGED : TOOL_DONE);
}

/* Whether @item may be the beginning, or more, of what is unfinished. */
static bool may_be_unfinished(const struct tool_dump_walk *walk,
                              const struct bitcask_inspect_item *item)
{
    const struct bitcask_inspect_segment *segment = walk->file.segment;

    if (!tool_dump_is_bad(item) || walk->file.header->file != BITCASK_INSPECT_DATA)
        return false;
    if (walk->held_count > 0 || walk->dump->request->given & TOOL_OPTION_FOLLOW)
        return true;
    return is_unsealed(segment) && item->offset + item->size > segment->size;
}

static int show_held(struct tool_dump_walk *walk)
{
    int code = TOOL_DONE;

    for (size_t i = 0; i < walk->held_count; i++)
        code = tool_exit_worse(code, show(walk, &walk->held[i]));
    forget_held(walk);
    return code;
}

static int take(struct tool_dump_walk *walk, const struct bitcask_inspect_item *item)
{
    int code;

    if (walk->held_count > 0 && item->offset <= walk->held[0].offset)
        forget_held(walk); /* the file has grown, and it is looked at again */
    if (may_be_unfinished(walk, item) && hold(walk, item))
        return TOOL_DONE;
    if (is_unused(walk, item) && !is_unsealed(walk->file.segment))
        return show_held(walk);
    code = show_held(walk);
    return tool_exit_worse(code, show(walk, item));
}

int tool_dump_walk_drain(struct tool_dump_walk *walk)
{
    const struct tool *tool = walk->dump->tool;
    int code = TOOL_DONE;

    while (tool->output.error == 0) {
        struct bitcask_inspect_item item;
        enum bitcask_status status = bitcask_inspector_next(walk->file.inspector, &item);

        if (status == BITCASK_NOT_FOUND)
            break;
        if (status == BITCASK_OK) {
            code = tool_exit_worse(code, take(walk, &item));
            continue;
        }
        tool_say(tool, TOOL_LOG_ERROR, "%s: %s",
                 tool_name_of(bitcask_text(walk->file.name)).text, tool_detail(status));
        code = tool_exit_worse(code, TOOL_ERROR);
        if (status != BITCASK_IO)
            break;
    }
    return code;
}

/*
 * The sequence of the first record in the unsealed files behind this one: UINT64_MAX if
 * there is none.
 */
static uint64_t next_sequence(const struct tool_dump_walk *walk)
{
    const struct bitcask_inspect_cask *cask = &walk->dump->cask;
    char path[4096];

    for (size_t i = 0; i < cask->segment_count; i++) {
        const struct bitcask_inspect_segment *segment = &cask->segments[i];
        struct bitcask_inspector *inspector = NULL;
        struct bitcask_inspect_item item;
        enum bitcask_status status;

        if (!is_unsealed(segment) || segment->id <= walk->file.segment->id)
            continue;
        snprintf(path, sizeof path, "%s/%010" PRIu64 ".data", walk->dump->directory,
                 segment->id);
        status = bitcask_inspector_open(&inspector, path, segment->salt);
        while (status == BITCASK_OK) {
            status = bitcask_inspector_next(inspector, &item);
            if (status == BITCASK_OK && item.kind != BITCASK_INSPECT_DAMAGE &&
                item.key_intact) {
                bitcask_inspector_close(inspector);
                return item.sequence;
            }
        }
        bitcask_inspector_close(inspector);
    }
    return UINT64_MAX;
}

/* Whether what is held is no damage: nothing says that it was ever synced. */
static bool is_torn(const struct tool_dump_walk *walk)
{
    const struct bitcask_inspect_segment *segment = walk->file.segment;
    uint64_t last = walk->last_sequence;
    uint64_t next;

    if (!is_unsealed(segment) || walk->held[0].offset < segment->size)
        return false;
    if (last == 0) /* of the files before */
        last = walk->dump->last_sequence;
    next = next_sequence(walk);
    return next == UINT64_MAX || next == last + 1;
}

/*
 * A later file has records: then this one has ended before, and what looked unfinished
 * may have been finished since. Look at it afresh, from the last record that is whole.
 */
static int look_again(struct tool_dump_walk *walk)
{
    struct tool_dump_walk again = { .dump = walk->dump, .file = walk->file };
    uint64_t begin = walk->held[0].offset;
    int code = TOOL_DONE;

    again.file.inspector = NULL;
    if (tool_dump_walk_open(&again) != BITCASK_OK)
        return show_held(walk);
    again.titled = walk->titled;
    forget_held(walk);
    while (walk->dump->tool->output.error == 0) {
        struct bitcask_inspect_item item;

        if (bitcask_inspector_next(again.file.inspector, &item) != BITCASK_OK)
            break;
        if (item.offset >= begin)
            code = tool_exit_worse(code, show(&again, &item));
    }
    walk->titled = again.titled;
    walk->last_sequence = again.last_sequence;
    tool_dump_add_counts(&walk->counts, &again.counts);
    tool_dump_walk_release(&again);
    return code;
}

int tool_dump_walk_finish(struct tool_dump_walk *walk)
{
    struct tool_dump *dump = walk->dump;
    uint64_t begin, end;

    if (walk->held_count == 0)
        return TOOL_DONE;
    if (walk->held_count == 1 && is_unused(walk, &walk->held[0]) &&
        (!is_unsealed(walk->file.segment) || is_torn(walk))) {
        forget_held(walk); /* set aside for records to come */
        return TOOL_DONE;
    }
    if (!is_torn(walk))
        return is_unsealed(walk->file.segment) ? look_again(walk) : show_held(walk);
    begin = walk->held[0].offset;
    end = walk->held[walk->held_count - 1].offset + walk->held[walk->held_count - 1].size;
    forget_held(walk);
    if (!dump->listing || dump->selecting ||
        dump->request->given & (TOOL_OPTION_STATS | TOOL_OPTION_HEADER))
        return TOOL_DONE;
    if (!walk->titled && !(dump->request->given & TOOL_OPTION_JSON))
        tool_dump_print_title(dump->tool, &walk->file);
    walk->titled = true;
    return tool_dump_print_tail(dump->tool, dump->request, &walk->file, begin,
                                end - begin);
}
