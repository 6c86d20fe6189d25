/* SPDX-License-Identifier: MIT */
/*
 * Bytes as one line of text, and back: how `list` prints keys and values, and how
 * `load` and the shell read them.
 *
 * Printable ASCII and well-formed UTF-8 stay readable. \\ \t \n \r are written so, and
 * every other byte that is of a control or no part of well-formed UTF-8 as \xHH. So text
 * never holds a raw tab, newline or NUL. Controls are U+0000 to U+001F, U+007F to U+009F,
 * which terminals obey, and those that turn the direction of text, so that it is shown as
 * something else than it is: U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069.
 *
 * Pure: bytes in, bytes out.
 */
#ifndef TOOLS_ESCAPE_H
#define TOOLS_ESCAPE_H

#include <bitcask/bitcask.h>

enum {
    TOOL_ESCAPE_SIZE_MAX = 4, /* of one escape: \xHH */
    TOOL_ESCAPE_ROOM_MIN = 16 /* what tool_escape() needs to get anywhere */
};

/* The size of the well-formed UTF-8 sequence that @bytes begin with; 0 if with none. */
size_t tool_utf8_size(const unsigned char *bytes, size_t size);

/* The size of the control, as above, that @bytes begin with; 0 if with none. */
size_t tool_control_size(const unsigned char *bytes, size_t size);

/* Whether all of @bytes is well-formed UTF-8. */
bool tool_utf8_valid(struct bitcask_slice bytes);

/*
 * Write as much of *rest as fits into @text of @capacity (TOOL_ESCAPE_ROOM_MIN or more)
 * and take it off the front of *rest. Returns the size written; 0 when *rest was empty.
 */
size_t tool_escape(struct bitcask_slice *rest, char *text, size_t capacity);

/*
 * Decode the one escape that @text begins with, its backslash included, into *byte.
 * Returns how much of @text it took; 0 if that is no escape.
 */
size_t tool_unescape(const char *text, size_t size, char *byte);

#endif
