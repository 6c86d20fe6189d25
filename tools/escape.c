/* SPDX-License-Identifier: MIT */
#include "escape.h"

#include <assert.h>
#include <string.h>

size_t tool_utf8_size(const unsigned char *bytes, size_t size)
{
    /* The second byte's range depends on the first: no overlong forms, no surrogates,
     * nothing above U+10FFFF. */
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, size;
    } forms[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
        { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    if (size == 0)
        return 0;
    if (bytes[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (bytes[0] < forms[i].first_low || bytes[0] > forms[i].first_high)
            continue;
        if (size < forms[i].size || bytes[1] < forms[i].second_low ||
            bytes[1] > forms[i].second_high)
            return 0;
        for (size_t at = 2; at < forms[i].size; at++)
            if ((bytes[at] & 0xc0) != 0x80)
                return 0;
        return forms[i].size;
    }
    return 0;
}

bool tool_utf8_valid(struct bitcask_slice bytes)
{
    const unsigned char *at = bytes.data;
    size_t left = bytes.size;

    while (left > 0) {
        size_t size = tool_utf8_size(at, left);

        if (size == 0)
            return false;
        at += size;
        left -= size;
    }
    return true;
}

size_t tool_control_size(const unsigned char *bytes, size_t size)
{
    unsigned last;

    if (size >= 1 && (bytes[0] < 0x20 || bytes[0] == 0x7f))
        return 1;
    if (size >= 2 && bytes[0] == 0xc2 && bytes[1] >= 0x80 && bytes[1] < 0xa0)
        return 2; /* U+0080 to U+009F */
    if (size >= 2 && bytes[0] == 0xd8 && bytes[1] == 0x9c)
        return 2; /* U+061C */
    if (size < 3 || bytes[0] != 0xe2 || (bytes[1] != 0x80 && bytes[1] != 0x81))
        return 0;
    last = bytes[2];
    if (bytes[1] == 0x81) /* U+2066 to U+2069 */
        return last >= 0xa6 && last <= 0xa9 ? 3 : 0;
    /* U+200E, U+200F, and U+202A to U+202E */
    return last == 0x8e || last == 0x8f || (last >= 0xaa && last <= 0xae) ? 3 : 0;
}

static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '\\';
}

/* Write the escape for @byte to @text; returns its size. */
static size_t escape_byte(unsigned char byte, char *text)
{
    static const char digits[] = "0123456789abcdef";
    char letter = 0;

    switch (byte) {
    case '\\':
        letter = '\\';
        break;
    case '\t':
        letter = 't';
        break;
    case '\n':
        letter = 'n';
        break;
    case '\r':
        letter = 'r';
        break;
    default:
        break;
    }
    text[0] = '\\';
    if (letter != 0) {
        text[1] = letter;
        return 2;
    }
    text[1] = 'x';
    text[2] = digits[byte >> 4];
    text[3] = digits[byte & 0x0f];
    return 4;
}

size_t tool_escape(struct bitcask_slice *rest, char *text, size_t capacity)
{
    const unsigned char *at = rest->data;
    size_t left = rest->size;
    size_t out = 0;

    assert(capacity >= TOOL_ESCAPE_ROOM_MIN);
    while (left > 0 && capacity - out >= TOOL_ESCAPE_SIZE_MAX) {
        size_t size;

        if (is_plain(*at)) {
            text[out++] = (char)*at++;
            left--;
            continue;
        }
        size = *at < 0x80 ? 0 : tool_utf8_size(at, left);
        /* What follows the first byte of a control is nothing without it. */
        if (size == 0 || tool_control_size(at, left) > 0) {
            out += escape_byte(*at, text + out);
            size = 1;
        } else {
            memcpy(text + out, at, size);
            out += size;
        }
        at += size;
        left -= size;
    }
    rest->data = at;
    rest->size = left;
    return out;
}

/* The worth of hexadecimal digit @digit, or -1. */
static int hex_worth(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

size_t tool_unescape(const char *text, size_t size, char *byte)
{
    int high, low;

    if (size < 2 || text[0] != '\\')
        return 0;
    switch (text[1]) {
    case '\\':
        *byte = '\\';
        return 2;
    case 't':
        *byte = '\t';
        return 2;
    case 'n':
        *byte = '\n';
        return 2;
    case 'r':
        *byte = '\r';
        return 2;
    case 'x':
        break;
    default:
        return 0;
    }
    if (size < 4)
        return 0;
    high = hex_worth(text[2]);
    low = hex_worth(text[3]);
    if (high < 0 || low < 0)
        return 0;
    *byte = (char)(unsigned char)(high << 4 | low);
    return 4;
}
