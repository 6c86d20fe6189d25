/* SPDX-License-Identifier: MIT */
#include "finding_report.h"

#include "json_out.h"
#include "number.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

/* The words for machines; those for people are the library's. */
static const struct {
    enum bitcask_finding_kind kind;
    const char *word;
} kinds[] = {
    { BITCASK_FINDING_MANIFEST, "manifest" },
    { BITCASK_FINDING_MISSING, "missing" },
    { BITCASK_FINDING_UNLISTED, "unlisted" },
    { BITCASK_FINDING_FOREIGN, "foreign" },
    { BITCASK_FINDING_HEADER, "header" },
    { BITCASK_FINDING_SHORT, "short" },
    { BITCASK_FINDING_LONG, "long" },
    { BITCASK_FINDING_REGION, "region" },
    { BITCASK_FINDING_VALUE, "value" },
    { BITCASK_FINDING_BATCH, "batch" },
    { BITCASK_FINDING_SEQUENCE, "sequence" },
    { BITCASK_FINDING_HINT, "hint" },
    { BITCASK_FINDING_UNREADABLE, "unreadable" },
    { BITCASK_FINDING_RESERVE, "reserve" },
    { BITCASK_FINDING_KEY, "key" },
    { BITCASK_FINDING_TORN_TAIL, "torn_tail" },
    { BITCASK_FINDING_NO_HINT, "no_hint" },
    { BITCASK_FINDING_LEFT_OVER, "left_over" },
    { BITCASK_FINDING_CHANGED, "changed" },
};

static const char *const effects[] = {
    [BITCASK_EFFECT_NONE] = "none",
    [BITCASK_EFFECT_LOST] = "lost",
    [BITCASK_EFFECT_STALE] = "stale",
    [BITCASK_EFFECT_UNDELETED] = "undeleted",
    [BITCASK_EFFECT_UNREADABLE] = "unreadable",
    [BITCASK_EFFECT_HARMLESS] = "harmless",
};

static const char *kind_word(enum bitcask_finding_kind kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == kind)
            return kinds[i].word;
    return "unknown";
}

static const char *effect_word(enum bitcask_effect effect)
{
    size_t index = (size_t)effect;

    return index < sizeof effects / sizeof *effects ? effects[index] : "unknown";
}

static const char *class_word(const struct bitcask_finding *finding)
{
    if (finding->kind == BITCASK_FINDING_KEY)
        return "key";
    return bitcask_finding_is_damage(finding->kind) ? "damage" : "note";
}

/* FILE, offset N, SIZE bytes */
static void print_place(struct tool_output *output, const struct bitcask_finding *finding)
{
    if (*finding->file == 0)
        return;
    tool_output_escape(output, bitcask_text(finding->file));
    if (finding->offset > 0 || finding->size > 0)
        tool_output_print(output, ", offset %" PRIu64, finding->offset);
    if (finding->size > 0)
        tool_output_print(output, ", %" PRIu64 " %s", finding->size,
                          finding->size == 1 ? "byte" : "bytes");
}

/* The effect, the key, and in brackets where it comes from. */
static void print_key(struct tool_output *output, const struct bitcask_finding *finding)
{
    tool_output_print(output, "%-11s", effect_word(finding->effect));
    tool_output_escape(output, finding->key);
    tool_output_text(output, "  (");
    if (finding->sequence > 0)
        tool_output_print(output, "record %" PRIu64, finding->sequence);
    if (*finding->file != 0) {
        tool_output_text(output, finding->sequence > 0 ? " in " : "");
        print_place(output, finding);
    }
    if (finding->newest_sequence > 0)
        tool_output_print(output, "; whole: record %" PRIu64, finding->newest_sequence);
    tool_output_text(output, ")\n");
}

void tool_finding_print(struct tool_output *output, const struct bitcask_finding *finding)
{
    size_t name_length = strlen(finding->file);
    bool has_place =
        name_length > 0 && strncmp(finding->detail, finding->file, name_length) == 0;

    if (finding->kind == BITCASK_FINDING_KEY) {
        print_key(output, finding);
        return;
    }
    tool_output_print(output, "%-11s%s: ", class_word(finding),
                      bitcask_finding_text(finding->kind));
    if (!has_place && name_length > 0) { /* else the detail says it */
        print_place(output, finding);
        tool_output_text(output, *finding->detail != 0 ? ": " : "");
    }
    tool_output_escape(output, bitcask_text(finding->detail));
    tool_output_text(output, "\n");
}

json_t *tool_finding_json(const struct bitcask_finding *finding)
{
    static const struct tool_json_field fields[] = {
        { "offset", offsetof(struct bitcask_finding, offset) },
        { "size", offsetof(struct bitcask_finding, size) },
        { "sequence", offsetof(struct bitcask_finding, sequence) },
    };
    json_t *object = json_object();

    object = tool_json_with(object, "finding", json_string(class_word(finding)));
    object = tool_json_with(object, "kind", json_string(kind_word(finding->kind)));
    object = tool_json_with(object, "file", tool_json_text(finding->file));
    object = tool_json_join(
        object, tool_json_numbers(finding, fields, sizeof fields / sizeof *fields));
    object = tool_json_with(object, "detail", tool_json_text(finding->detail));
    if (finding->kind != BITCASK_FINDING_KEY)
        return object;
    object = tool_json_with(object, "effect", json_string(effect_word(finding->effect)));
    object = tool_json_with(object, "newest_sequence",
                            json_integer((json_int_t)finding->newest_sequence));
    return tool_json_with_bytes(object, "key", finding->key);
}

void tool_finding_print_counts(struct tool_output *output,
                               const struct tool_finding_counts *counts)
{
    const struct {
        uint64_t count;
        const char *words;
    } parts[] = {
        { counts->lost, "lost" },
        { counts->stale, "with an older value" },
        { counts->undeleted, "deleted and back" },
        { counts->unreadable, "unreadable" },
    };
    const char *between = "keys: ";
    char text[TOOL_NUMBER_SIZE];

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].count == 0)
            continue;
        tool_output_print(output, "%s%s %s", between,
                          tool_number_print(parts[i].count, text), parts[i].words);
        between = ", ";
    }
    if (*between == ',')
        tool_output_text(output, "\n");
    if (counts->unnamed > 0)
        tool_output_print(output, "%s %s of which the keys cannot be known\n",
                          tool_number_print(counts->unnamed, text),
                          counts->unnamed == 1 ? "region" : "regions");
}
