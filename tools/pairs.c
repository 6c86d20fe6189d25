/* SPDX-License-Identifier: MIT */
#include "pairs.h"

#include "escape.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    CAPACITY_MIN = 256 * 1024, /* a pipe gives 64 KiB at most, a file what is asked */
    ROOM_MIN = 64 * 1024
};

static enum tool_pairs_result refuse(struct tool_pairs *pairs, const char *problem)
{
    pairs->problem = problem;
    return TOOL_PAIRS_BAD;
}

/* The place of @byte in the bytes not yet decoded, below @end; NULL if not there. */
static const char *find(const struct tool_pairs *pairs, size_t end, char byte)
{
    return end == pairs->in ? NULL
                            : memchr(pairs->data + pairs->in, byte, end - pairs->in);
}

/*
 * Decode the bytes up to @end. Unless they are @complete, what may be the beginning of
 * an escape stays for later. False: not an escape.
 */
static bool decode(struct tool_pairs *pairs, size_t end, bool complete)
{
    while (pairs->in < end) {
        char *from = pairs->data + pairs->in;
        size_t run = end - pairs->in;
        const char *escape = pairs->zeros ? NULL : memchr(from, '\\', run);
        size_t used;

        if (escape != NULL)
            run = (size_t)(escape - from);
        if (pairs->in != pairs->out)
            memmove(pairs->data + pairs->out, from, run);
        pairs->in += run;
        pairs->out += run;
        if (escape == NULL)
            break;
        if (!complete && end - pairs->in < TOOL_ESCAPE_SIZE_MAX)
            break;
        used = tool_unescape(escape, end - pairs->in, pairs->data + pairs->out);
        if (used == 0) {
            pairs->problem = "a backslash goes before one of \\ n t r xHH";
            return false;
        }
        pairs->in += used;
        pairs->out++;
    }
    return true;
}

/* PAIR: the key is there, and the value comes next. */
static enum tool_pairs_result take_key(struct tool_pairs *pairs)
{
    const char *stop = find(pairs, pairs->end, pairs->zeros ? 0 : '\t');
    size_t end = stop != NULL ? (size_t)(stop - pairs->data) : pairs->end;

    if (!pairs->zeros && find(pairs, end, '\n') != NULL)
        return refuse(pairs, "a line is a key, a tab and a value, and this has no tab");
    if (stop == NULL && pairs->final) {
        if (pairs->in == pairs->end && pairs->out == pairs->begin)
            return TOOL_PAIRS_END;
        return refuse(pairs, pairs->zeros
                                 ? "the input ends in a key: -0 reads a key, a zero "
                                   "byte, a value and a zero byte"
                                 : "a line is a key, a tab and a value, and this has "
                                   "no tab");
    }
    if (!decode(pairs, end, stop != NULL))
        return TOOL_PAIRS_BAD;
    pairs->key_size = pairs->out - pairs->begin;
    if (pairs->key_size > BITCASK_KEY_SIZE_MAX)
        return refuse(pairs, "the key is larger than 65535 bytes");
    if (stop == NULL)
        return TOOL_PAIRS_MORE;
    if (pairs->key_size == 0)
        return refuse(pairs, "the key is empty");
    pairs->in = end + 1;
    pairs->in_value = true;
    return TOOL_PAIRS_PAIR;
}

static enum tool_pairs_result take_value(struct tool_pairs *pairs)
{
    const char *stop = find(pairs, pairs->end, pairs->zeros ? 0 : '\n');
    size_t end = stop != NULL ? (size_t)(stop - pairs->data) : pairs->end;
    size_t size;

    if (!decode(pairs, end, stop != NULL || pairs->final))
        return TOOL_PAIRS_BAD;
    size = pairs->out - pairs->begin - pairs->key_size;
    if (size > BITCASK_VALUE_SIZE_MAX)
        return refuse(pairs, "the value is larger than 1 GiB");
    if (stop == NULL && !pairs->final)
        return TOOL_PAIRS_MORE;
    if (stop == NULL && pairs->zeros && size == 0)
        return refuse(pairs, "the input ends behind a key: its value is missing");
    if (stop != NULL)
        pairs->in = end + 1;
    return TOOL_PAIRS_PAIR;
}

enum tool_pairs_result tool_pairs_next(struct tool_pairs *pairs,
                                       struct bitcask_slice *key,
                                       struct bitcask_slice *value)
{
    enum tool_pairs_result result;

    if (pairs->problem != NULL)
        return TOOL_PAIRS_BAD;
    if (pairs->number == 0 || pairs->given) {
        pairs->number++;
        pairs->given = false;
        pairs->in_value = false;
        pairs->begin = pairs->in;
        pairs->out = pairs->in;
    }
    if (!pairs->in_value) {
        result = take_key(pairs);
        if (result != TOOL_PAIRS_PAIR)
            return result;
    }
    result = take_value(pairs);
    if (result != TOOL_PAIRS_PAIR)
        return result;

    key->data = pairs->data + pairs->begin;
    key->size = pairs->key_size;
    value->data = pairs->data + pairs->begin + pairs->key_size;
    value->size = pairs->out - pairs->begin - pairs->key_size;
    pairs->given = true;
    return TOOL_PAIRS_PAIR;
}

/* Move what is decoded to the front of the buffer, and what is not behind it. */
static void close_gaps(struct tool_pairs *pairs)
{
    size_t decoded = pairs->out - pairs->begin;
    size_t waiting = pairs->end - pairs->in;

    if (pairs->data == NULL)
        return;
    if (pairs->begin > 0)
        memmove(pairs->data, pairs->data + pairs->begin, decoded);
    if (decoded != pairs->in)
        memmove(pairs->data + decoded, pairs->data + pairs->in, waiting);
    pairs->begin = 0;
    pairs->out = decoded;
    pairs->in = decoded;
    pairs->end = decoded + waiting;
}

bool tool_pairs_room(struct tool_pairs *pairs, char **room, size_t *size)
{
    close_gaps(pairs);
    if (pairs->capacity - pairs->end < ROOM_MIN) {
        size_t capacity =
            pairs->capacity < CAPACITY_MIN / 2 ? CAPACITY_MIN : 2 * pairs->capacity;
        char *data = realloc(pairs->data, capacity);

        if (data == NULL)
            return false;
        pairs->data = data;
        pairs->capacity = capacity;
    }
    *room = pairs->data + pairs->end;
    *size = pairs->capacity - pairs->end;
    return true;
}

void tool_pairs_filled(struct tool_pairs *pairs, size_t size)
{
    assert(size <= pairs->capacity - pairs->end);
    pairs->end += size;
    if (size == 0)
        pairs->final = true;
}

void tool_pairs_release(struct tool_pairs *pairs)
{
    free(pairs->data);
    *pairs = (struct tool_pairs){ 0 };
}
