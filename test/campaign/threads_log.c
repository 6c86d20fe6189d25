/* SPDX-License-Identifier: MIT */
#include "test/campaign/threads_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/campaign/campaign.h"

enum {
    NUMBER_KEY_BITS = 10,
    NUMBER_THREAD_BITS = 6,
    NUMBER_SIZE = 8 /* the bytes with which a value begins */
};

struct bitcask_slice threads_key(unsigned key, char text[THREADS_KEY_SIZE_MAX])
{
    struct bitcask_slice name = { text, 0 };

    name.size = (size_t)snprintf(text, THREADS_KEY_SIZE_MAX, "%c/%u",
                                 key % 2 == 0 ? 'a' : 'b', key);
    return name;
}

unsigned threads_key_number(struct bitcask_slice name)
{
    const char *bytes = name.data;
    char text[THREADS_KEY_SIZE_MAX];
    unsigned key = 0;

    if (name.size < 3 || name.size >= THREADS_KEY_SIZE_MAX)
        return THREADS_KEYS_MAX;
    for (size_t i = 2; i < name.size && key < THREADS_KEYS_MAX; i++) {
        if (bytes[i] < '0' || bytes[i] > '9')
            return THREADS_KEYS_MAX;
        key = key * 10 + (unsigned)(bytes[i] - '0');
    }
    if (key >= THREADS_KEYS_MAX || threads_key(key, text).size != name.size ||
        memcmp(text, bytes, name.size) != 0)
        return THREADS_KEYS_MAX;
    return key;
}

uint64_t threads_value_number(unsigned key, unsigned thread, uint64_t count)
{
    return (count << NUMBER_THREAD_BITS | thread) << NUMBER_KEY_BITS | key;
}

/*
 * Most are small, some fill a file, and a few are so large that they have one of their
 * own and are written rather than stored.
 */
static size_t value_size(uint64_t number)
{
    uint64_t state = number;
    uint64_t chance = campaign_random_below(&state, 200);
    uint64_t limit = chance < 120 ? 100 : chance < 190 ? 1000 : 6000;

    if (chance == 199)
        return 20000 +
               (size_t)campaign_random_below(&state, THREADS_VALUE_SIZE_MAX - 20000);
    return NUMBER_SIZE + (size_t)campaign_random_below(&state, limit);
}

struct bitcask_slice threads_value(uint64_t number, uint8_t bytes[THREADS_VALUE_SIZE_MAX])
{
    struct bitcask_slice value = { bytes, value_size(number) };
    uint64_t state = number;

    memcpy(bytes, &number, NUMBER_SIZE);
    for (size_t i = NUMBER_SIZE; i < value.size; i += 8) {
        uint64_t word = campaign_random(&state);
        size_t rest = value.size - i;

        memcpy(bytes + i, &word, rest < 8 ? rest : 8);
    }
    return value;
}

uint64_t threads_value_read(unsigned key, struct bitcask_slice value)
{
    const uint8_t *bytes = value.data;
    uint64_t number, state;

    if (value.size < NUMBER_SIZE)
        return 0;
    memcpy(&number, bytes, NUMBER_SIZE);
    if ((number & ((1u << NUMBER_KEY_BITS) - 1)) != key ||
        value.size != value_size(number))
        return 0;
    state = number;
    for (size_t i = NUMBER_SIZE; i < value.size; i += 8) {
        uint64_t word = campaign_random(&state);
        size_t rest = value.size - i;

        if (memcmp(bytes + i, &word, rest < 8 ? rest : 8) != 0)
            return 0;
    }
    return number;
}

void threads_log_add(struct threads_log *log, unsigned key,
                     const struct linear_call *call)
{
    if (log->count == log->capacity) {
        size_t capacity = log->capacity == 0 ? 1024 : log->capacity * 2;
        struct threads_note *notes = realloc(log->notes, capacity * sizeof *notes);

        if (notes == NULL) {
            perror("the log of a thread");
            abort();
        }
        log->notes = notes;
        log->capacity = capacity;
    }
    log->notes[log->count++] = (struct threads_note){ *call, key };
}

void threads_log_release(struct threads_log *log)
{
    free(log->notes);
    *log = (struct threads_log){ 0 };
}
