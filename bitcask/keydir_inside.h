/* SPDX-License-Identifier: MIT */
/*
 * Inside the keydir, for keydir_*.c: what a shard is made of. Nobody else includes
 * uthash.h but sequence_set.c.
 */
#ifndef BITCASK_KEYDIR_INSIDE_H
#define BITCASK_KEYDIR_INSIDE_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "bitcask/keydir.h"
#include "bitcask/slab.h"

/*
 * uthash, told not to exit() when memory is short, to begin a table with as many
 * buckets as the shard wants, and to take them from where huge pages are. The macros
 * name variables of the function around them.
 */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) (added = false)
#define uthash_malloc(size) allocate_table(shard, size)
#define uthash_free(memory, size) free_table(shard, memory)
#include <uthash.h>
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#define HASH_INITIAL_NUM_BUCKETS (1U << bucket_bits)
#define HASH_INITIAL_NUM_BUCKETS_LOG2 bucket_bits

enum {
    CACHE_LINE_SIZE = 64
};

/* In memory only: reserved for a key whose record is not appended yet. */
#define PLACE_RESERVED 4u
#define FLAG_BITS 3

static_assert(FLAG_BITS + BITCASK_PLACE_SEGMENT_BITS + BITCASK_PLACE_OFFSET_BITS == 64,
              "flags, segment and offset share 64 bits");

/*
 * What a look-up touches (the end of the hash handle, the place, a short key) lies
 * together in 64 bytes. A 16-byte key makes 92 bytes, 96 in the slab.
 */
struct bitcask_keydir_entry {
    UT_hash_handle hh;
    uint64_t sequence;
    uint64_t location; /* flags, segment, offset: from the low bits up */
    uint32_t value_size;
    uint8_t key[];
};

struct bitcask_shard {
    /*
     * The reader's cache lines. The head of the table is an entry that is never found
     * and never deleted: uthash frees a table with its last entry, and would make it
     * again at its first size.
     */
    _Alignas(CACHE_LINE_SIZE) pthread_rwlock_t lock;
    struct bitcask_keydir_entry *table;
    /* Which of the counts who pins now steps. It changes with the lock held to write. */
    _Alignas(CACHE_LINE_SIZE) unsigned phase;
    _Atomic uint64_t pin_counts[2];

    _Alignas(CACHE_LINE_SIZE) pthread_mutex_t writer;
    uint64_t live_count;
    bool has_long_entries;      /* too long for the slab */
    _Atomic uint64_t long_size; /* bytes of those that there are */
    void *first_buckets;
    struct bitcask_slab slab;
    struct bitcask_keydir_entry **tombstones; /* while loading */
    size_t tombstone_count;
    size_t tombstone_capacity;
};

struct bitcask_keydir {
    struct bitcask_shard shards[BITCASK_KEYDIR_SHARD_COUNT];
    struct bitcask_slab_source source;
    uint64_t seed;
    _Atomic uint64_t generation;
};

static inline uint64_t pack_location(const struct bitcask_place *place)
{
    assert(place->segment < 1u << BITCASK_PLACE_SEGMENT_BITS);
    assert(place->offset < (uint64_t)1 << BITCASK_PLACE_OFFSET_BITS);

    return place->offset << (FLAG_BITS + BITCASK_PLACE_SEGMENT_BITS) |
           (uint64_t)place->segment << FLAG_BITS | place->flags;
}

static inline void store_place(struct bitcask_keydir_entry *entry,
                               const struct bitcask_place *place)
{
    entry->sequence = place->sequence;
    entry->location = pack_location(place);
    entry->value_size = place->value_size;
}

static inline void load_place(const struct bitcask_keydir_entry *entry,
                              struct bitcask_place *place)
{
    place->sequence = entry->sequence;
    place->offset = entry->location >> (FLAG_BITS + BITCASK_PLACE_SEGMENT_BITS);
    place->segment = (uint32_t)(entry->location >> FLAG_BITS) &
                     ((1u << BITCASK_PLACE_SEGMENT_BITS) - 1);
    place->value_size = entry->value_size;
    place->flags = (unsigned)entry->location & ((1u << FLAG_BITS) - 1);
}

static inline bool is_live(const struct bitcask_keydir_entry *entry)
{
    return (entry->location & (PLACE_RESERVED | BITCASK_PLACE_TOMBSTONE)) == 0;
}

static inline struct bitcask_shard *shard_of(struct bitcask_keydir *keydir, uint64_t hash)
{
    return &keydir->shards[bitcask_keydir_shard(hash)];
}

/* uthash takes 32 bits; the shard took the top ones of the other half. */
static inline unsigned table_hash(uint64_t hash)
{
    return (unsigned)(uint32_t)hash;
}

static inline const UT_hash_bucket *bucket_of(struct bitcask_keydir *keydir,
                                              uint64_t hash)
{
    const UT_hash_table *table = shard_of(keydir, hash)->table->hh.tbl;

    return &table->buckets[table_hash(hash) & (table->num_buckets - 1)];
}

/*
 * Ask for what is looked at of the entry of @hh to be brought near. A macro: a function
 * without any other effect would be removed.
 */
#define PREFETCH_ENTRY(hh)                                                          \
    do {                                                                            \
        __builtin_prefetch((const char *)(hh) + offsetof(UT_hash_handle, hh_next)); \
        __builtin_prefetch((const char *)(hh) +                                     \
                           offsetof(struct bitcask_keydir_entry, location));        \
    } while (0)

static inline void lock_for_change(struct bitcask_shard *shard)
{
    (void)pthread_rwlock_wrlock(&shard->lock);
}

static inline void unlock_after_change(struct bitcask_shard *shard)
{
    (void)pthread_rwlock_unlock(&shard->lock);
}

/* The entry of @key, or NULL. */
struct bitcask_keydir_entry *bitcask_shard_find(struct bitcask_shard *shard,
                                                uint64_t hash, struct bitcask_slice key);

/* An entry for @key that is not in the table and that nobody sees, or NULL. */
struct bitcask_keydir_entry *bitcask_shard_allocate(struct bitcask_shard *shard,
                                                    struct bitcask_slice key);

/* Put @entry into the table. False: no memory, and it was freed. */
bool bitcask_shard_add(struct bitcask_shard *shard, struct bitcask_keydir_entry *entry,
                       uint64_t hash);

/* Take @entry out of the table, with the lock held to write, and free it. */
void bitcask_shard_delete(struct bitcask_shard *shard,
                          struct bitcask_keydir_entry *entry);

#endif
