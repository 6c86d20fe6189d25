/* SPDX-License-Identifier: MIT */
#include "bitcask/sequence_set.h"

#include <stdlib.h>

#include "bitcask/status.h"

/* uthash, told not to exit() when memory is short; names a variable around it. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) (in_table = false)
#include <uthash.h>

enum {
    CHUNK_BITS = 15, /* 4 KiB of sequences */
    WORD_BITS = 6,
    WORD_COUNT = 1 << (CHUNK_BITS - WORD_BITS)
};

struct bitcask_sequence_chunk {
    UT_hash_handle hh;
    uint64_t number; /* of its first sequence, without the low bits */
    uint32_t count;
    uint64_t words[WORD_COUNT];
};

static uint64_t number_of(uint64_t sequence)
{
    return sequence >> CHUNK_BITS;
}

/* The place of @sequence in its chunk. */
static unsigned place_of(uint64_t sequence)
{
    return (unsigned)(sequence & ((1u << CHUNK_BITS) - 1));
}

enum bitcask_status bitcask_sequence_set_init(struct bitcask_sequence_set *set)
{
    *set = (struct bitcask_sequence_set){ 0 };
    if (pthread_mutex_init(&set->lock, NULL) != 0)
        return bitcask_fail(BITCASK_NO_MEMORY, "there is no memory for a lock");
    set->usable = true;
    return BITCASK_OK;
}

void bitcask_sequence_set_release(struct bitcask_sequence_set *set)
{
    struct bitcask_sequence_chunk *chunk, *next;

    if (!set->usable)
        return;
    HASH_ITER(hh, set->chunks, chunk, next)
    {
        HASH_DEL(set->chunks, chunk);
        free(chunk);
    }
    (void)pthread_mutex_destroy(&set->lock);
    *set = (struct bitcask_sequence_set){ 0 };
}

static struct bitcask_sequence_chunk *find(const struct bitcask_sequence_set *set,
                                           uint64_t number)
{
    struct bitcask_sequence_chunk *chunk;

    if (set->latest != NULL && set->latest->number == number)
        return set->latest;
    HASH_FIND(hh, set->chunks, &number, sizeof number, chunk);
    return chunk;
}

static struct bitcask_sequence_chunk *create(struct bitcask_sequence_set *set,
                                             uint64_t number)
{
    struct bitcask_sequence_chunk *chunk = calloc(1, sizeof *chunk);
    bool in_table = true;

    if (chunk == NULL)
        return NULL;
    chunk->number = number;
    HASH_ADD(hh, set->chunks, number, sizeof chunk->number, chunk);
    if (!in_table) {
        free(chunk);
        return NULL;
    }
    return chunk;
}

enum bitcask_status bitcask_sequence_set_add(struct bitcask_sequence_set *set,
                                             uint64_t sequence, bool *added)
{
    struct bitcask_sequence_chunk *chunk;
    bool is_new = false;

    (void)pthread_mutex_lock(&set->lock);
    chunk = find(set, number_of(sequence));
    if (chunk == NULL)
        chunk = create(set, number_of(sequence));
    if (chunk != NULL) {
        unsigned place = place_of(sequence);
        uint64_t *word = &chunk->words[place >> WORD_BITS];
        uint64_t bit = (uint64_t)1 << (place & 63);

        is_new = (*word & bit) == 0;
        *word |= bit;
        chunk->count += is_new;
        set->count += is_new;
        set->latest = chunk;
    }
    (void)pthread_mutex_unlock(&set->lock);
    if (chunk == NULL)
        return bitcask_fail_memory(sizeof *chunk);
    if (added != NULL)
        *added = is_new;
    return BITCASK_OK;
}

static unsigned count_ones(uint64_t word)
{
    unsigned count = 0;

    for (; word != 0; word &= word - 1)
        count++;
    return count;
}

/* How many of the places from @first to @last are taken. */
static uint64_t count_in_chunk(const struct bitcask_sequence_chunk *chunk, unsigned first,
                               unsigned last)
{
    uint64_t count = 0;

    if (first == 0 && last == (1u << CHUNK_BITS) - 1)
        return chunk->count;
    for (unsigned i = first >> WORD_BITS; i <= last >> WORD_BITS; i++) {
        uint64_t word = chunk->words[i];

        if (i == first >> WORD_BITS)
            word &= UINT64_MAX << (first & 63);
        if (i == last >> WORD_BITS)
            word &= UINT64_MAX >> (63 - (last & 63));
        count += count_ones(word);
    }
    return count;
}

/* The part of @chunk that lies between @first and @last. */
static uint64_t count_between(const struct bitcask_sequence_chunk *chunk, uint64_t first,
                              uint64_t last)
{
    unsigned from = 0, to = (1u << CHUNK_BITS) - 1;

    if (chunk->number < number_of(first) || chunk->number > number_of(last))
        return 0;
    if (chunk->number == number_of(first))
        from = place_of(first);
    if (chunk->number == number_of(last))
        to = place_of(last);
    return count_in_chunk(chunk, from, to);
}

static uint64_t count(const struct bitcask_sequence_set *set, uint64_t first,
                      uint64_t last)
{
    const struct bitcask_sequence_chunk *chunk;
    uint64_t sum = 0;

    if (first > last)
        return 0;
    /* The range may be far wider than the set, or the other way round. */
    if (number_of(last) - number_of(first) < HASH_COUNT(set->chunks)) {
        for (uint64_t i = number_of(first); i <= number_of(last); i++) {
            chunk = find(set, i);
            if (chunk != NULL)
                sum += count_between(chunk, first, last);
        }
        return sum;
    }
    for (chunk = set->chunks; chunk != NULL; chunk = chunk->hh.next)
        sum += count_between(chunk, first, last);
    return sum;
}

uint64_t bitcask_sequence_set_count(struct bitcask_sequence_set *set, uint64_t first,
                                    uint64_t last)
{
    uint64_t sum;

    (void)pthread_mutex_lock(&set->lock);
    sum = count(set, first, last);
    (void)pthread_mutex_unlock(&set->lock);
    return sum;
}

bool bitcask_sequence_set_has(struct bitcask_sequence_set *set, uint64_t sequence)
{
    return bitcask_sequence_set_count(set, sequence, sequence) == 1;
}

bool bitcask_sequence_set_covers(struct bitcask_sequence_set *set, uint64_t first,
                                 uint64_t last)
{
    if (first > last)
        return true;
    /* No set holds all the 2^64 that the difference of both ends could not tell. */
    if (last - first == UINT64_MAX)
        return false;
    return bitcask_sequence_set_count(set, first, last) == last - first + 1;
}
