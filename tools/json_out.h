/* SPDX-License-Identifier: MIT */
/*
 * Answers as JSON, one object a line.
 *
 * JSON knows no bytes, only text: what is well-formed UTF-8 is given as "NAME", anything
 * else as "NAME_base64" (RFC 4648, with padding). In lines, what is not ASCII is \uXXXX.
 */
#ifndef TOOLS_JSON_OUT_H
#define TOOLS_JSON_OUT_H

#include "output.h"

#include <jansson.h>

/* {"key":KEY,"value":VALUE}; without @value if that is NULL. NULL: no memory. */
json_t *tool_json_pair(struct bitcask_slice key, const struct bitcask_slice *value);

/* @object with @value, which is released, as @name too. NULL, and freed: no memory. */
json_t *tool_json_with(json_t *object, const char *name, json_t *value);

/* @object with @bytes as @name, or, if they are not UTF-8, as @name_base64. As above. */
json_t *tool_json_with_bytes(json_t *object, const char *name,
                             struct bitcask_slice bytes);

/* A number of a structure, by its name. */
struct tool_json_field {
    const char *name;
    size_t offset; /* of a uint64_t */
};

/* An object with the @count @fields of @structure; NULL: no memory. */
json_t *tool_json_numbers(const void *structure, const struct tool_json_field *fields,
                          size_t count);

/* @object with the members of @more, which is released. As above, for either. */
json_t *tool_json_join(json_t *object, json_t *more);

/* Write @object as one line, and release it. False: it was NULL, or no memory. */
bool tool_json_print(struct tool_output *output, json_t *object);

/*
 * One line in two pieces: @object, and when it has been seen what comes of it the members
 * of @more. There is at least one in each. Both are released. False: as above.
 */
bool tool_json_begin(struct tool_output *output, json_t *object);
bool tool_json_end(struct tool_output *output, json_t *more);

/* @text as a JSON string, escaped as in escape.h if it is not UTF-8; NULL: no memory. */
json_t *tool_json_text(const char *text);

#endif
