/* SPDX-License-Identifier: MIT */
/*
 * How many records there are, of what sizes, and what of them is live.
 */
#include "dump.h"

#include "json_out.h"
#include "number.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    BAR_WIDTH = 40
};

/* 0 has a class of its own, and so have 1, 2 to 3, 4 to 7, and so on. */
static unsigned class_of(uint64_t size)
{
    unsigned class = 0;

    for (; size > 0; size >>= 1)
        class ++;
    return class;
}

static uint64_t class_first(unsigned class)
{
    return class == 0 ? 0 : (uint64_t)1 << (class - 1);
}

static uint64_t class_last(unsigned class)
{
    return class == 0 ? 0 : class_first(class) - 1 + class_first(class);
}

void tool_dump_count(struct tool_dump_counts *counts,
                     const struct bitcask_inspect_item *item)
{
    if (tool_dump_is_bad(item)) {
        counts->damage_count++;
        return;
    }
    switch (item->kind) {
    case BITCASK_INSPECT_PUT:
        counts->put_count++;
        counts->value_classes[class_of(item->value_size)]++;
        break;
    case BITCASK_INSPECT_TOMBSTONE:
        counts->tombstone_count++;
        break;
    case BITCASK_INSPECT_BATCH:
        counts->batch_count++;
        return;
    case BITCASK_INSPECT_DAMAGE:
        return;
    }
    counts->key_classes[class_of(item->key.size)]++;
    counts->record_size += item->record_size;
}

void tool_dump_add_counts(struct tool_dump_counts *sum,
                          const struct tool_dump_counts *counts)
{
    sum->put_count += counts->put_count;
    sum->tombstone_count += counts->tombstone_count;
    sum->batch_count += counts->batch_count;
    sum->damage_count += counts->damage_count;
    sum->record_size += counts->record_size;
    for (unsigned i = 0; i < TOOL_DUMP_CLASSES; i++) {
        sum->key_classes[i] += counts->key_classes[i];
        sum->value_classes[i] += counts->value_classes[i];
    }
}

static void print_histogram(struct tool_output *output, const char *title,
                            const uint64_t classes[TOOL_DUMP_CLASSES])
{
    uint64_t most = 0;
    unsigned first = TOOL_DUMP_CLASSES, last = 0;

    for (unsigned i = 0; i < TOOL_DUMP_CLASSES; i++) {
        if (classes[i] == 0)
            continue;
        if (first == TOOL_DUMP_CLASSES)
            first = i;
        last = i;
        most = classes[i] > most ? classes[i] : most;
    }
    if (first == TOOL_DUMP_CLASSES)
        return;
    tool_output_print(output, "\n%-24s%14s\n", title, "records");
    for (unsigned i = first; i <= last; i++) {
        char number[TOOL_NUMBER_SIZE];
        char range[48];
        char bar[BAR_WIDTH + 1] = "";
        double width = (double)classes[i] / (double)most * BAR_WIDTH;

        for (int at = 0; at < BAR_WIDTH && at < width; at++)
            snprintf(bar + at, sizeof bar - (size_t)at, "#");
        if (class_first(i) == class_last(i))
            snprintf(range, sizeof range, "%" PRIu64, class_first(i));
        else
            snprintf(range, sizeof range, "%" PRIu64 " to %" PRIu64, class_first(i),
                     class_last(i));
        tool_output_print(output, "%24s%14s%s%s\n", range,
                          tool_number_print(classes[i], number), *bar != 0 ? "  " : "",
                          bar);
    }
}

static void print_count(struct tool_output *output, bool known, uint64_t count)
{
    char number[TOOL_NUMBER_SIZE];

    tool_output_print(output, "%13s", known ? tool_number_print(count, number) : "-");
}

static void print_size(struct tool_output *output, bool known, uint64_t size)
{
    char text[TOOL_NUMBER_SIZE];

    tool_output_print(output, "%11s", known ? tool_size_print(size, text) : "-");
}

static void print_text(struct tool_output *output, const char *name, uint64_t file_size,
                       const struct tool_dump_counts *counts,
                       const struct tool_dump_share *share)
{
    print_size(output, true, file_size);
    print_count(output, true, counts->put_count);
    print_count(output, true, counts->tombstone_count);
    print_count(output, true, counts->batch_count);
    print_count(output, true, counts->damage_count);
    print_count(output, share->known, share->live_count);
    print_size(output, share->known, share->live_size);
    print_size(output, share->known, share->dead_size);
    tool_output_text(output, "  ");
    tool_output_escape(output, bitcask_text(name != NULL ? name : "all"));
    tool_output_text(output, "\n");
}

static json_t *with_number(json_t *object, const char *name, uint64_t number)
{
    return tool_json_with(object, name, tool_json_number(number));
}

static json_t *histogram_json(const uint64_t classes[TOOL_DUMP_CLASSES])
{
    json_t *array = json_array();

    for (unsigned i = 0; i < TOOL_DUMP_CLASSES && array != NULL; i++) {
        json_t *row = json_object();

        if (classes[i] == 0) {
            json_decref(row);
            continue;
        }
        row = with_number(row, "from", class_first(i));
        row = with_number(row, "to", class_last(i));
        row = with_number(row, "count", classes[i]);
        if (json_array_append_new(array, row) != 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

static json_t *counts_json(const char *name, uint64_t file_size,
                           const struct tool_dump_counts *counts,
                           const struct tool_dump_share *share)
{
    json_t *object = json_object();

    if (name != NULL)
        object = tool_json_with(object, "file", tool_json_text(name));
    object =
        tool_json_with(object, "type", json_string(name != NULL ? "stats" : "stats_all"));
    object = with_number(object, "file_size", file_size);
    object = with_number(object, "put_count", counts->put_count);
    object = with_number(object, "tombstone_count", counts->tombstone_count);
    object = with_number(object, "batch_count", counts->batch_count);
    object = with_number(object, "damage_count", counts->damage_count);
    object = with_number(object, "record_size", counts->record_size);
    if (share->known) {
        object = with_number(object, "live_count", share->live_count);
        object = with_number(object, "live_size", share->live_size);
        object = with_number(object, "dead_size", share->dead_size);
    }
    object = tool_json_with(object, "key_sizes", histogram_json(counts->key_classes));
    return tool_json_with(object, "value_sizes", histogram_json(counts->value_classes));
}

int tool_dump_print_counts(struct tool *tool, const struct tool_request *request,
                           const char *name, uint64_t file_size,
                           const struct tool_dump_counts *counts,
                           const struct tool_dump_share *share)
{
    if (!(request->given & TOOL_OPTION_JSON)) {
        print_text(&tool->output, name, file_size, counts, share);
        if (name == NULL) {
            print_histogram(&tool->output, "key size", counts->key_classes);
            print_histogram(&tool->output, "value size", counts->value_classes);
        }
        return TOOL_DONE;
    }
    if (tool_json_print(&tool->output, counts_json(name, file_size, counts, share)))
        return TOOL_DONE;
    tool_say(tool, TOOL_LOG_ERROR, "there is no memory to print as JSON");
    return TOOL_ERROR;
}
