/* SPDX-License-Identifier: MIT */
#include "test/campaign/states.h"

#include <stdlib.h>
#include <uthash.h>

struct state {
    uint64_t hash;
    uint64_t floor; /* the highest that was tried */
    UT_hash_handle hh;
};

struct states {
    struct state *table;
};

struct states *states_new(void)
{
    struct states *states = calloc(1, sizeof *states);

    if (states == NULL)
        abort();
    return states;
}

void states_free(struct states *states)
{
    struct state *state, *next;

    HASH_ITER(hh, states->table, state, next)
    {
        HASH_DEL(states->table, state);
        free(state);
    }
    free(states);
}

bool states_add(struct states *states, uint64_t hash, uint64_t floor)
{
    struct state *state;

    HASH_FIND(hh, states->table, &hash, sizeof hash, state);
    if (state == NULL) {
        state = calloc(1, sizeof *state);
        if (state == NULL)
            abort();
        state->hash = hash;
        state->floor = floor;
        HASH_ADD(hh, states->table, hash, sizeof state->hash, state);
        return true;
    }
    if (state->floor >= floor)
        return false;
    state->floor = floor;
    return true;
}

uint64_t states_count(const struct states *states)
{
    return HASH_COUNT(states->table);
}
