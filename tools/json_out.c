/* SPDX-License-Identifier: MIT */
#include "json_out.h"

#include "escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* @bytes in base64, ended by a zero; the caller frees it. NULL: no memory. */
static char *encode_base64(struct bitcask_slice bytes)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = bytes.data;
    char *text, *out;

    if (bytes.size > SIZE_MAX / 4 * 3 - 8)
        return NULL;
    text = malloc((bytes.size + 2) / 3 * 4 + 1);
    if (text == NULL)
        return NULL;
    out = text;
    for (size_t left = bytes.size; left > 0;) {
        size_t size = left < 3 ? left : 3;
        uint32_t group = (uint32_t)in[0] << 16;

        if (size > 1)
            group |= (uint32_t)in[1] << 8;
        if (size > 2)
            group |= in[2];
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = size > 1 ? digits[group >> 6 & 63] : '=';
        *out++ = size > 2 ? digits[group & 63] : '=';
        in += size;
        left -= size;
    }
    *out = 0;
    return text;
}

json_t *tool_json_with(json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) == 0)
        return object;
    json_decref(object);
    return NULL;
}

json_t *tool_json_with_bytes(json_t *object, const char *name, struct bitcask_slice bytes)
{
    char long_name[64];
    char *text;

    if (tool_utf8_valid(bytes)) {
        const char *data = bytes.size > 0 ? bytes.data : "";

        return tool_json_with(object, name, json_stringn_nocheck(data, bytes.size));
    }
    snprintf(long_name, sizeof long_name, "%s_base64", name);
    text = encode_base64(bytes);
    object = tool_json_with(object, long_name, text ? json_string_nocheck(text) : NULL);
    free(text);
    return object;
}

json_t *tool_json_pair(struct bitcask_slice key, const struct bitcask_slice *value)
{
    json_t *object = tool_json_with_bytes(json_object(), "key", key);

    return value == NULL ? object : tool_json_with_bytes(object, "value", *value);
}

json_t *tool_json_numbers(const void *structure, const struct tool_json_field *fields,
                          size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count && object != NULL; i++) {
        const void *place = (const char *)structure + fields[i].offset;
        uint64_t number = *(const uint64_t *)place;

        object = tool_json_with(object, fields[i].name, json_integer((json_int_t)number));
    }
    return object;
}

json_t *tool_json_join(json_t *object, json_t *more)
{
    int bad = object == NULL || more == NULL || json_object_update(object, more) != 0;

    json_decref(more);
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

/*
 * Of text, only ASCII is written as it is: terminals obey some of the rest, and some
 * turns the direction in which a line is read.
 */
#define LINE_FLAGS (JSON_COMPACT | JSON_ENSURE_ASCII)

static int write_part(const char *data, size_t size, void *context)
{
    tool_output_write(context, data, size);
    return 0; /* the output itself remembers what went wrong */
}

bool tool_json_print(struct tool_output *output, json_t *object)
{
    int bad;

    if (object == NULL)
        return false;
    bad = json_dump_callback(object, write_part, output, LINE_FLAGS);
    tool_output_text(output, "\n");
    json_decref(object);
    return bad == 0;
}

/* Write the members of @object, and release it. */
static bool print_members(struct tool_output *output, json_t *object)
{
    int bad = json_dump_callback(object, write_part, output, LINE_FLAGS | JSON_EMBED);

    json_decref(object);
    return bad == 0;
}

bool tool_json_begin(struct tool_output *output, json_t *object)
{
    if (object == NULL)
        return false;
    tool_output_text(output, "{");
    return print_members(output, object);
}

bool tool_json_end(struct tool_output *output, json_t *more)
{
    bool good = more != NULL;

    if (good) {
        tool_output_text(output, ",");
        good = print_members(output, more);
    }
    tool_output_text(output, "}\n");
    return good;
}

json_t *tool_json_text(const char *text)
{
    struct bitcask_slice rest = bitcask_text(text);
    char escaped[4096 + 1];
    size_t size;

    if (tool_utf8_valid(rest))
        return json_string_nocheck(text);
    size = tool_escape(&rest, escaped, sizeof escaped - 1);
    escaped[size] = 0;
    return json_string_nocheck(escaped);
}
