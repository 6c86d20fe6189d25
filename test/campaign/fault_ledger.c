/* SPDX-License-Identifier: MIT */
#include "test/campaign/fault_ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/bytes.h"
#include "test/campaign/campaign.h"

/* So many bytes at the start of a value, if it has any, say which it is. */
enum {
    NUMBER_SIZE = 8
};

void ledger_init(struct ledger *ledger, uint64_t seed)
{
    memset(ledger, 0, sizeof *ledger);
    ledger->seed = seed;
}

struct bitcask_slice ledger_key(unsigned key)
{
    static const char *const keys[LEDGER_KEYS] = {
        "a",
        "ab",
        "b",
        "key-4",
        "key-5",
        "key-6",
        "key-7",
        "a key that is longer than a piece of the slabs, and so has its own memory: "
        "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"
        "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz",
    };

    return bitcask_text(keys[key]);
}

unsigned ledger_which_key(struct bitcask_slice key)
{
    unsigned i = 0;

    while (i < LEDGER_KEYS) {
        struct bitcask_slice other = ledger_key(i);

        if (other.size == key.size && memcmp(other.data, key.data, key.size) == 0)
            break;
        i++;
    }
    return i;
}

int ledger_new_value(struct ledger *ledger, unsigned key, uint32_t size)
{
    int number = ++ledger->value_count;

    if (number > LEDGER_VALUES_MAX || size > LEDGER_VALUE_MAX ||
        (size > 0 && size < NUMBER_SIZE))
        abort();
    ledger->values[number].key = key;
    ledger->values[number].size = size;
    return number;
}

struct bitcask_slice ledger_value(const struct ledger *ledger, int number, uint8_t *bytes)
{
    struct bitcask_slice value = { bytes, ledger->values[number].size };
    uint64_t random = ledger->seed ^ (uint64_t)number << 32;

    for (size_t i = 0; i < value.size; i += 8) {
        uint64_t word = campaign_random(&random);

        memcpy(bytes + i, &word, value.size - i < 8 ? value.size - i : 8);
    }
    if (value.size > 0)
        bitcask_store32(bytes, (uint32_t)number);
    return value;
}

int ledger_held(const struct ledger *ledger, int number)
{
    return ledger->values[number].size > 0 ? number : LEDGER_EMPTY;
}

int ledger_identify(const struct ledger *ledger, unsigned key, const void *bytes,
                    size_t size)
{
    uint8_t expected[LEDGER_VALUE_MAX];
    uint32_t number;

    if (size == 0)
        return LEDGER_EMPTY;
    if (size < NUMBER_SIZE)
        return LEDGER_INVENTED;
    number = bitcask_load32(bytes);
    if (number == 0 || number > (uint32_t)ledger->value_count ||
        ledger->values[number].key != key || ledger->values[number].size != size)
        return LEDGER_INVENTED;
    (void)ledger_value(ledger, (int)number, expected);
    return memcmp(expected, bytes, size) == 0 ? (int)number : LEDGER_INVENTED;
}

const struct ledger_state *ledger_now(const struct ledger *ledger)
{
    return &ledger->acked[ledger->acked_count];
}

void ledger_ack(struct ledger *ledger, const struct ledger_state *state)
{
    if (ledger->acked_count == LEDGER_STATES_MAX)
        abort();
    ledger->acked[++ledger->acked_count] = *state;
}

void ledger_fail(struct ledger *ledger, const struct ledger_state *state)
{
    if (ledger->unsure_count == LEDGER_STATES_MAX)
        abort();
    ledger->unsure[ledger->unsure_count].after = ledger->acked_count;
    ledger->unsure[ledger->unsure_count++].state = *state;
}

void ledger_synced(struct ledger *ledger)
{
    ledger->synced = ledger->acked_count;
}

void ledger_settle(struct ledger *ledger, const struct ledger_state *state)
{
    ledger->acked[0] = *state;
    ledger->acked_count = 0;
    ledger->synced = 0;
    ledger->unsure_count = 0;
}

bool ledger_same(const struct ledger_state *expected, const struct ledger_state *found)
{
    for (unsigned key = 0; key < LEDGER_KEYS; key++) {
        if (expected->held[key] != found->held[key] && found->held[key] != LEDGER_UNREAD)
            return false;
    }
    return true;
}

const struct ledger_state *ledger_match(const struct ledger *ledger, int low,
                                        const struct ledger_state *found)
{
    for (int i = ledger->acked_count; i >= low; i--) {
        if (ledger_same(&ledger->acked[i], found))
            return &ledger->acked[i];
        for (int j = 0; j < ledger->unsure_count; j++) {
            if (ledger->unsure[j].after == i &&
                ledger_same(&ledger->unsure[j].state, found))
                return &ledger->unsure[j].state;
        }
    }
    return NULL;
}

void ledger_print(const struct ledger_state *state, char *text, size_t size)
{
    static const char *const words[] = { "-", "empty", "damaged", "?", "INVENTED" };
    size_t length = 0;

    for (unsigned key = 0; key < LEDGER_KEYS && length < size; key++) {
        int held = state->held[key];
        int written = held > 0
                          ? snprintf(text + length, size - length, " %d", held)
                          : snprintf(text + length, size - length, " %s", words[-held]);

        length += (size_t)written;
    }
}
