/* SPDX-License-Identifier: MIT */
#include "test/fuzz/fuzz_history.h"

#include "test/fuzz/fuzz.h"

struct bitcask_slice fuzz_key(unsigned key)
{
    static const char *const keys[FUZZ_KEY_COUNT] = {
        "a", "ab", "abc", "b", "key of twenty bytes.", "\xff", "\x01", "z",
    };

    return bitcask_text(keys[key % FUZZ_KEY_COUNT]);
}

struct bitcask_slice fuzz_value(const struct fuzz_write *write, uint8_t *bytes)
{
    struct bitcask_slice value = { bytes, write->value_size };
    uint32_t state = write->value_seed;

    for (size_t i = 0; i < value.size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(state >> 24);
    }
    return value;
}

bool fuzz_history_may_end(const struct fuzz_history *history, uint64_t count)
{
    return count == 0 || !history->writes[count].opens_batch;
}

const struct fuzz_write *fuzz_history_find(const struct fuzz_history *history,
                                           unsigned key, uint64_t now_ms)
{
    for (uint64_t i = history->count; i > 0; i--) {
        const struct fuzz_write *write = &history->writes[i];

        if (write->key == key)
            return write->deletes || (write->expiry_ms != 0 && write->expiry_ms <= now_ms)
                       ? NULL
                       : write;
    }
    return NULL;
}

static uint64_t now_of(struct bitcask *cask)
{
    return cask->io->wall_ms(cask->io);
}

static void expect_value(const struct fuzz_write *write, const void *data, size_t size)
{
    static uint8_t bytes[FUZZ_VALUE_MAX];
    struct bitcask_slice value = fuzz_value(write, bytes);

    fuzz_check(fuzz_same(value.data, value.size, data, size));
}

void fuzz_history_check_key(const struct fuzz_history *history, struct bitcask *cask,
                            unsigned key)
{
    const struct fuzz_write *write = fuzz_history_find(history, key, now_of(cask));
    struct bitcask_buffer value = { 0 };
    struct bitcask_view view;

    fuzz_check(bitcask_get(cask, fuzz_key(key), &value) ==
               (write != NULL ? BITCASK_OK : BITCASK_NOT_FOUND));
    fuzz_check(bitcask_view(cask, fuzz_key(key), &view) ==
               (write != NULL ? BITCASK_OK : BITCASK_NOT_FOUND));
    if (write != NULL) {
        expect_value(write, value.data, value.size);
        expect_value(write, view.value.data, view.value.size);
    }
    bitcask_view_release(&view);
    bitcask_buffer_release(&value);
}

static void check_multi_get(const struct fuzz_history *history, struct bitcask *cask)
{
    struct bitcask_slice keys[FUZZ_KEY_COUNT];
    struct bitcask_buffer values[FUZZ_KEY_COUNT] = { { 0 } };
    enum bitcask_status statuses[FUZZ_KEY_COUNT];

    for (unsigned key = 0; key < FUZZ_KEY_COUNT; key++)
        keys[key] = fuzz_key(key);
    fuzz_check(bitcask_multi_get(cask, keys, FUZZ_KEY_COUNT, values, statuses) ==
               BITCASK_OK);
    for (unsigned key = 0; key < FUZZ_KEY_COUNT; key++) {
        const struct fuzz_write *write = fuzz_history_find(history, key, now_of(cask));

        fuzz_check(statuses[key] == (write != NULL ? BITCASK_OK : BITCASK_NOT_FOUND));
        if (write != NULL)
            expect_value(write, values[key].data, values[key].size);
        bitcask_buffer_release(&values[key]);
    }
}

static unsigned number_of(struct bitcask_slice bytes)
{
    for (unsigned key = 0; key < FUZZ_KEY_COUNT; key++) {
        struct bitcask_slice known = fuzz_key(key);

        if (fuzz_same(known.data, known.size, bytes.data, bytes.size))
            return key;
    }
    fuzz_fail("the key was put", __FILE__, __LINE__);
}

static void check_iteration(const struct fuzz_history *history, struct bitcask *cask,
                            bool sorted)
{
    struct bitcask_iterator_options options = { .sorted = sorted };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    unsigned found = 0;
    enum bitcask_status status;

    fuzz_check(bitcask_iterator_open(cask, &options, &iterator) == BITCASK_OK);
    while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK) {
        unsigned number = number_of(key);
        const struct fuzz_write *write = fuzz_history_find(history, number, now_of(cask));

        fuzz_check(write != NULL && (found & 1u << number) == 0);
        expect_value(write, value.data, value.size);
        found |= 1u << number;
    }
    fuzz_check(status == BITCASK_NOT_FOUND);
    for (unsigned number = 0; number < FUZZ_KEY_COUNT; number++)
        fuzz_check((found & 1u << number) != 0 ||
                   fuzz_history_find(history, number, now_of(cask)) == NULL);
    bitcask_iterator_close(iterator);
}

void fuzz_history_check(const struct fuzz_history *history, struct bitcask *cask)
{
    for (unsigned key = 0; key < FUZZ_KEY_COUNT; key++)
        fuzz_history_check_key(history, cask, key);
    check_multi_get(history, cask);
    check_iteration(history, cask, false);
    check_iteration(history, cask, true);
}
