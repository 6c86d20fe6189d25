/* SPDX-License-Identifier: MIT */
/*
 * Looking up many keys at a time, for reading: their cache misses overlap.
 */
#include "bitcask/keydir_inside.h"

enum {
    WORD_BITS = 64,
    WORD_COUNT = BITCASK_KEYDIR_SHARD_COUNT / WORD_BITS
};

/* The shards of a group, a bit for each. */
struct shard_set {
    uint64_t words[WORD_COUNT];
};

static struct shard_set shards_of(const struct bitcask_find_item *items, size_t count)
{
    struct shard_set set = { { 0 } };

    for (size_t i = 0; i < count; i++) {
        unsigned shard = bitcask_keydir_shard(items[i].hash);

        set.words[shard / WORD_BITS] |= (uint64_t)1 << shard % WORD_BITS;
    }
    return set;
}

/* Take the lowest shard from @set; false: it is empty. */
static bool take_shard(struct shard_set *set, unsigned *shard)
{
    for (unsigned i = 0; i < WORD_COUNT; i++) {
        uint64_t word = set->words[i];

        if (word == 0)
            continue;
        *shard = i * WORD_BITS + (unsigned)__builtin_ctzll(word);
        set->words[i] = word & (word - 1);
        return true;
    }
    return false;
}

/* All chains are walked in step, so that the cache misses of a step overlap. */
static void walk_chains(struct bitcask_keydir *keydir, struct bitcask_find_item *items,
                        size_t count)
{
    const UT_hash_handle *next[BITCASK_FIND_ITEMS_MAX];
    size_t pending[BITCASK_FIND_ITEMS_MAX];
    size_t pending_count = 0;

    for (size_t i = 0; i < count; i++)
        __builtin_prefetch(bucket_of(keydir, items[i].hash));
    for (size_t i = 0; i < count; i++) {
        const UT_hash_bucket *bucket = bucket_of(keydir, items[i].hash);

        items[i].found = false;
        next[i] = bucket->hh_head;
        if (!has_trace(bucket, items[i].hash))
            continue;
        PREFETCH_ENTRY(next[i]);
        pending[pending_count++] = i;
    }
    while (pending_count > 0) {
        size_t kept = 0;

        for (size_t j = 0; j < pending_count; j++) {
            size_t i = pending[j];
            const struct bitcask_keydir_entry *entry = (const void *)next[i];

            if (has_key(entry, items[i].hash, items[i].key)) {
                items[i].found = is_live(entry);
                load_place(entry, &items[i].place);
                continue;
            }
            next[i] = next[i]->hh_next;
            if (next[i] == NULL)
                continue;
            PREFETCH_ENTRY(next[i]);
            pending[kept++] = i;
        }
        pending_count = kept;
    }
}

/*
 * One pin is enough, though only one shard counts it: while it is taken all of them are
 * locked, so a merge that moves one of these places later waits for this shard, too,
 * later.
 */
struct bitcask_pin bitcask_keydir_find_many(struct bitcask_keydir *keydir,
                                            struct bitcask_find_item *items, size_t count)
{
    struct shard_set set = shards_of(items, count);
    struct bitcask_pin pin;
    struct shard_set rest;
    unsigned shard;

    assert(count > 0 && count <= BITCASK_FIND_ITEMS_MAX);
    rest = set;
    while (take_shard(&rest, &shard))
        bitcask_keydir_read_lock(keydir, shard);
    walk_chains(keydir, items, count);
    pin = bitcask_keydir_pin(keydir, bitcask_keydir_shard(items[0].hash));
    rest = set;
    while (take_shard(&rest, &shard))
        bitcask_keydir_read_unlock(keydir, shard);
    return pin;
}
