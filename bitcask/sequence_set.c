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
    _Atomic uint64_t words[WORD_COUNT];
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

/* With the lock held. */
static struct bitcask_sequence_chunk *find(const struct bitcask_sequence_set *set,
                                           uint64_t number)
{
    struct bitcask_sequence_chunk *chunk;

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

/*
 * The chunk of @number, or NULL: there is none, and, if it is to be made, no memory. One
 * that was asked for lately is found without the lock: chunks stay where they are until
 * the release.
 */
static struct bitcask_sequence_chunk *chunk_of(struct bitcask_sequence_set *set,
                                               uint64_t number, bool create_it)
{
    struct bitcask_sequence_chunk *_Atomic *recent =
        &set->recent[number % BITCASK_SEQUENCE_RECENT_COUNT];
    struct bitcask_sequence_chunk *chunk =
        atomic_load_explicit(recent, memory_order_acquire);

    if (chunk != NULL && chunk->number == number)
        return chunk;
    (void)pthread_mutex_lock(&set->lock);
    chunk = find(set, number);
    if (chunk == NULL && create_it)
        chunk = create(set, number);
    (void)pthread_mutex_unlock(&set->lock);
    if (chunk != NULL)
        atomic_store_explicit(recent, chunk, memory_order_release);
    return chunk;
}

enum bitcask_status bitcask_sequence_set_add(struct bitcask_sequence_set *set,
                                             uint64_t sequence, bool *added)
{
    struct bitcask_sequence_chunk *chunk = chunk_of(set, number_of(sequence), true);
    unsigned place = place_of(sequence);
    uint64_t bit = (uint64_t)1 << (place & 63);
    uint64_t before;

    if (chunk == NULL)
        return bitcask_fail_memory(sizeof *chunk);
    before = atomic_fetch_or_explicit(&chunk->words[place >> WORD_BITS], bit,
                                      memory_order_relaxed);
    if (added != NULL)
        *added = (before & bit) == 0;
    return BITCASK_OK;
}

/* How many of the places from @first to @last are taken. */
static uint64_t count_in_chunk(const struct bitcask_sequence_chunk *chunk, unsigned first,
                               unsigned last)
{
    uint64_t count = 0;

    for (unsigned i = first >> WORD_BITS; i <= last >> WORD_BITS; i++) {
        uint64_t word = atomic_load_explicit(&chunk->words[i], memory_order_relaxed);

        if (i == first >> WORD_BITS)
            word &= UINT64_MAX << (first & 63);
        if (i == last >> WORD_BITS)
            word &= UINT64_MAX >> (63 - (last & 63));
        count += (unsigned)__builtin_popcountll(word);
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
    const struct bitcask_sequence_chunk *chunk =
        chunk_of(set, number_of(sequence), false);
    unsigned place = place_of(sequence);

    return chunk != NULL && count_in_chunk(chunk, place, place) == 1;
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
