/* SPDX-License-Identifier: MIT */
/*
 * Pairs of key and value out of a stream of bytes, as `list` writes them.
 *
 * As text a pair is one line, the first tab parts key and value, and both are escaped as
 * in escape.h. With zeros (`list -0`) key and value each end in a zero byte and nothing
 * is escaped. The last line, or value, need not be ended.
 *
 * Bytes are decoded where they were read to, as they come, so a pair takes only as much
 * memory as its decoded bytes, which are bounded by the store's limits.
 *
 *     while ((result = tool_pairs_next(&pairs, &key, &value)) != TOOL_PAIRS_END) {
 *         if (result == TOOL_PAIRS_PAIR) ...
 *         if (result == TOOL_PAIRS_BAD) ...and stop
 *         if (result == TOOL_PAIRS_MORE) ...room, read to it, filled
 *     }
 *
 * Pure but for its buffer: it reads no file.
 */
#ifndef TOOLS_PAIRS_H
#define TOOLS_PAIRS_H

#include <bitcask/bitcask.h>

enum tool_pairs_result {
    TOOL_PAIRS_PAIR,
    TOOL_PAIRS_MORE,
    TOOL_PAIRS_END,
    TOOL_PAIRS_BAD
};

/* Zero-initialise, set zeros, use, release. */
struct tool_pairs {
    bool zeros;          /* the form of `list -0` */
    uint64_t number;     /* of the line, or with zeros of the pair, from 1 */
    const char *problem; /* after TOOL_PAIRS_BAD: what is wrong with it */

    char *data;
    size_t capacity;
    size_t begin;    /* of the pair's decoded bytes */
    size_t out;      /* behind them */
    size_t in;       /* of the bytes not yet decoded */
    size_t end;      /* behind those */
    size_t key_size; /* once in_value */
    bool in_value;
    bool given; /* next() gave the pair, so the next call begins another */
    bool final; /* nothing follows the bytes that are here */
};

/*
 * Step to the next pair. Both slices are valid until the next call on @pairs.
 * MORE: room(), then filled(). BAD is for good.
 */
enum tool_pairs_result tool_pairs_next(struct tool_pairs *pairs,
                                       struct bitcask_slice *key,
                                       struct bitcask_slice *value);

/* Make room for *size (at least 64 KiB) more bytes at *room. False: no memory. */
bool tool_pairs_room(struct tool_pairs *pairs, char **room, size_t *size);

/* @size bytes were put into the room; 0 says that no more will come. */
void tool_pairs_filled(struct tool_pairs *pairs, size_t size);

/* Free what @pairs holds and zero it. */
void tool_pairs_release(struct tool_pairs *pairs);

#endif
