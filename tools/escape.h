/* SPDX-License-Identifier: MIT */
/*
 * Bytes as one line of text, and back: how `list` prints keys and values, and how
 * `load` and the shell read them.
 *
 * Printable ASCII and well-formed UTF-8 stay readable. \\ \t \n \r are written so, and
 * every other byte that is a control (U+0080 to U+009F too, which terminals obey) or no
 * part of well-formed UTF-8 as \xHH. So text never holds a raw tab, newline or NUL.
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
