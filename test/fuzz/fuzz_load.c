/* SPDX-License-Identifier: MIT */
/*
 * The lines that `load` reads and `list` writes, tools/pairs.h and tools/escape.h. The
 * first byte of the input says in which form, and in pieces of which size the rest comes.
 *
 * - In pieces of any size the bytes are the same pairs, or the same mistake.
 * - Keys are within the limits of a store.
 * - What was read and is written as `list` does it is read as the same.
 * - Any bytes, escaped, are one line of text without a tab, and come back as they were.
 */
#include "test/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "tools/escape.h"
#include "tools/pairs.h"

/* Bytes that grow. */
struct bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

static void add(struct bytes *bytes, const void *data, size_t size)
{
    if (bytes->capacity - bytes->size < size) {
        bytes->capacity = 2 * bytes->capacity + size;
        bytes->data = realloc(bytes->data, bytes->capacity);
        fuzz_check(bytes->data != NULL);
    }
    if (size > 0)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

struct source {
    const uint8_t *data;
    size_t size;
    size_t piece;
};

static enum tool_pairs_result next(struct tool_pairs *pairs, struct source *source,
                                   struct bitcask_slice *key, struct bitcask_slice *value)
{
    enum tool_pairs_result result;

    while ((result = tool_pairs_next(pairs, key, value)) == TOOL_PAIRS_MORE) {
        char *room;
        size_t size;

        fuzz_check(tool_pairs_room(pairs, &room, &size));
        if (size > source->piece)
            size = source->piece;
        if (size > source->size)
            size = source->size;
        if (size > 0) {
            memcpy(room, source->data, size);
            source->data += size;
            source->size -= size;
        }
        tool_pairs_filled(pairs, size);
    }
    return result;
}

static void escape(struct bytes *out, struct bitcask_slice bytes, size_t capacity)
{
    char text[256];
    size_t size;

    while ((size = tool_escape(&bytes, text, capacity)) > 0)
        add(out, text, size);
    fuzz_check(bytes.size == 0);
}

/* As print_text() and print_zeros() of `list`. */
static void print(struct bytes *out, bool zeros, struct bitcask_slice key,
                  struct bitcask_slice value)
{
    if (zeros) {
        add(out, key.data, key.size);
        add(out, "", 1);
        add(out, value.data, value.size);
        add(out, "", 1);
    } else {
        escape(out, key, 256);
        add(out, "\t", 1);
        escape(out, value, 256);
        add(out, "\n", 1);
    }
}

/* The pairs of @text, printed; the last result, and the number of its line. */
static enum tool_pairs_result read_all(const uint8_t *text, size_t size, bool zeros,
                                       size_t piece, struct bytes *printed,
                                       uint64_t *number)
{
    struct tool_pairs pairs = { .zeros = zeros };
    struct source source = { text, size, piece };
    struct bitcask_slice key, value;
    enum tool_pairs_result result;

    while ((result = next(&pairs, &source, &key, &value)) == TOOL_PAIRS_PAIR) {
        fuzz_check(key.size > 0 && key.size <= BITCASK_KEY_SIZE_MAX);
        fuzz_check(value.size <= BITCASK_VALUE_SIZE_MAX);
        print(printed, zeros, key, value);
    }
    *number = pairs.number;
    if (result == TOOL_PAIRS_BAD) {
        fuzz_check(pairs.problem != NULL);
        fuzz_check(tool_pairs_next(&pairs, &key, &value) == TOOL_PAIRS_BAD);
    }
    tool_pairs_release(&pairs);
    return result;
}

static void check_text(const uint8_t *text, size_t size, bool zeros, size_t piece)
{
    struct bytes whole = { 0 }, pieces = { 0 }, again = { 0 };
    uint64_t number, piece_number;
    enum tool_pairs_result result =
        read_all(text, size, zeros, SIZE_MAX, &whole, &number);

    fuzz_check(read_all(text, size, zeros, piece, &pieces, &piece_number) == result);
    fuzz_check(number == piece_number);
    fuzz_check(fuzz_same(whole.data, whole.size, pieces.data, pieces.size));

    fuzz_check(read_all(whole.data, whole.size, zeros, piece, &again, &number) ==
               TOOL_PAIRS_END);
    fuzz_check(fuzz_same(whole.data, whole.size, again.data, again.size));
    free(whole.data);
    free(pieces.data);
    free(again.data);
}

static void check_escape(const uint8_t *bytes, size_t size, size_t capacity)
{
    struct bytes text = { 0 };
    uint8_t *back;
    size_t count = 0;

    escape(&text, (struct bitcask_slice){ bytes, size }, capacity);
    back = fuzz_allocate(text.size);
    for (size_t i = 0; i < text.size; count++) {
        size_t used = 1;

        fuzz_check(text.data[i] >= 0x20 && text.data[i] != 0x7f);
        fuzz_check(tool_control_size(text.data + i, text.size - i) == 0);
        if (text.data[i] == '\\') {
            used =
                tool_unescape((char *)text.data + i, text.size - i, (char *)back + count);
            fuzz_check(used > 0);
        } else {
            back[count] = text.data[i];
        }
        i += used;
    }
    fuzz_check(fuzz_same(bytes, size, back, count));
    fuzz_check(tool_utf8_valid((struct bitcask_slice){ text.data, text.size }));
    free(back);
    free(text.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_input input = { bytes, size };
    uint8_t how = fuzz_take(&input);
    size_t piece = (how >> 1 & 15) + 1u;

    check_text(input.bytes, input.size, (how & 1) != 0, piece);
    check_escape(input.bytes, input.size, TOOL_ESCAPE_ROOM_MIN + piece);
    return 0;
}
