/* SPDX-License-Identifier: MIT */
/*
 * What has been written to a cask, what of it was acknowledged, and what is promised to
 * be there, whatever failed meanwhile. Knows no cask.
 *
 * A state is what each key holds. The ledger has the state after every acknowledged
 * write, in order, and between them those that a write would have made that failed in a
 * way that lets it come back at the next open. Values are made again from the number of
 * the write that put them.
 */
#ifndef TEST_CAMPAIGN_FAULT_LEDGER_H
#define TEST_CAMPAIGN_FAULT_LEDGER_H

#include "bitcask/bitcask.h"

enum {
    LEDGER_KEYS = 8,
    LEDGER_VALUES_MAX = 400,
    LEDGER_STATES_MAX = 200,
    LEDGER_VALUE_MAX = 6000
};

/* What a key holds: the number of the write that put its value, or one of these. */
enum {
    LEDGER_ABSENT = 0,
    LEDGER_EMPTY = -1,   /* the empty value, which all writes of it share */
    LEDGER_DAMAGED = -2, /* BITCASK_CORRUPT */
    LEDGER_UNREAD = -3,  /* it could not be read: matches all */
    LEDGER_INVENTED = -4 /* a value that nobody ever put: matches nothing */
};

struct ledger_state {
    int held[LEDGER_KEYS];
};

struct ledger {
    uint64_t seed;
    int value_count; /* numbers are from 1 on */
    struct {
        unsigned key;
        uint32_t size;
    } values[LEDGER_VALUES_MAX + 1];

    struct ledger_state acked[LEDGER_STATES_MAX + 1]; /* [0]: before the first write */
    int acked_count;
    int synced; /* acked[synced] survives the loss of power */
    struct {
        int after; /* which acknowledged state it came */
        struct ledger_state state;
    } unsure[LEDGER_STATES_MAX];
    int unsure_count;
};

void ledger_init(struct ledger *ledger, uint64_t seed);

/* The bytes of a key. */
struct bitcask_slice ledger_key(unsigned key);
/* Which key these bytes are, or LEDGER_KEYS. */
unsigned ledger_which_key(struct bitcask_slice key);

/* A new value for @key: its number. */
int ledger_new_value(struct ledger *ledger, unsigned key, uint32_t size);
/* Its bytes, always the same, into @bytes, of LEDGER_VALUE_MAX. */
struct bitcask_slice ledger_value(const struct ledger *ledger, int number,
                                  uint8_t *bytes);
/* What a key with value @number holds. */
int ledger_held(const struct ledger *ledger, int number);
/* What @key holds if this is its value. */
int ledger_identify(const struct ledger *ledger, unsigned key, const void *bytes,
                    size_t size);

/* The state after the last acknowledged write: what the running store shows. */
const struct ledger_state *ledger_now(const struct ledger *ledger);
/* A write that makes @state was acknowledged. */
void ledger_ack(struct ledger *ledger, const struct ledger_state *state);
/* A write that would make @state failed: it may be there after the next open. */
void ledger_fail(struct ledger *ledger, const struct ledger_state *state);
/* Everything acknowledged is synced. */
void ledger_synced(struct ledger *ledger);
/* The store was opened and has @state, all of it synced: history begins with that. */
void ledger_settle(struct ledger *ledger, const struct ledger_state *state);

bool ledger_same(const struct ledger_state *expected, const struct ledger_state *found);
/*
 * The state, acknowledged or unsure, that @found is, from acked[@low] on, the newest
 * first; NULL: none, so that something promised is missing, or something is there that
 * must not.
 */
const struct ledger_state *ledger_match(const struct ledger *ledger, int low,
                                        const struct ledger_state *found);

/* For a person: "3 0 e d ...". */
void ledger_print(const struct ledger_state *state, char *text, size_t size);

#endif
