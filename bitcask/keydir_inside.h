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
#include <string.h>

#include "bitcask/keydir.h"
#include "bitcask/slab.h"

/*
 * uthash, told not to exit() when memory is short, to take its memory from where huge
 * pages are, to leave growing to keydir_grow.c, which does it a bucket at a time, and to
 * keep no list of all entries in the order of their coming: an entry's neighbours in it
 * would be two more cache misses for each delete. What the list has is the head, and, as
 * long as it is being added or deleted, one entry behind it. The macros name variables
 * of the function around them.
 */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) (added = false)
#define uthash_malloc(size) bitcask_slab_source_take(shard->slab.source, size)
#define uthash_free(memory, size) ((void)(memory))
#include <uthash.h>
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#undef HASH_TO_BKT
#undef HASH_APPEND_LIST
#define HASH_INITIAL_NUM_BUCKETS shard->bucket_count
#define HASH_INITIAL_NUM_BUCKETS_LOG2 0
#define HASH_TO_BKT(hash, count, bucket) \
    ((void)(count), (bucket) = bucket_index(shard, hash))
#define HASH_APPEND_LIST(hh, head, add) ((add)->hh.prev = (head), (add)->hh.next = NULL)

enum {
    CACHE_LINE_SIZE = 64
};

/* In memory only: reserved for a key whose record is not appended yet. */
#define PLACE_RESERVED 4u
#define FLAG_BITS 3
/* The location of one that is reserved, and not in the table yet. */
#define LOCATION_ALONE (UINT64_C(1) << FLAG_BITS | PLACE_RESERVED)

static_assert(FLAG_BITS + BITCASK_PLACE_SEGMENT_BITS + BITCASK_PLACE_OFFSET_BITS == 64,
              "flags, segment and offset share 64 bits");

/*
 * The first three pointers of a handle are of use to uthash only while it adds or
 * deletes the entry; where they are long enough, the place lies there in between. A
 * 16-byte key makes 72 bytes.
 */
#if UINTPTR_MAX > UINT32_MAX
#define TAKES_TURNS union
#else
#define TAKES_TURNS struct
#endif
struct bitcask_keydir_entry {
    TAKES_TURNS
    {
        UT_hash_handle hh;
        struct {
            uint64_t location; /* flags, segment, offset: from the low bits up */
            uint64_t sequence;
            uint32_t value_size;
        };
    };
    uint8_t key[];
};

#if UINTPTR_MAX > UINT32_MAX
static_assert(offsetof(struct bitcask_keydir_entry, value_size) + sizeof(uint32_t) <=
                  offsetof(UT_hash_handle, hh_prev),
              "what takes turns is not the links of the bucket");
#endif

struct bitcask_shard {
    /*
     * The reader's cache lines. The head of the table is an entry that is in no bucket
     * and never deleted: uthash frees a table with its last entry.
     */
    _Alignas(CACHE_LINE_SIZE) pthread_rwlock_t lock;
    UT_hash_bucket *buckets; /* the same as the table's */

    /* The mask is that of all numbers up to bucket_count; see keydir_grow.c. */
    _Alignas(CACHE_LINE_SIZE) uint32_t bucket_count;
    uint32_t bucket_mask;
    /* Which of the counts who pins now steps. It changes with the lock held to write. */
    unsigned phase;
    _Atomic uint64_t pin_counts[2];

    _Alignas(CACHE_LINE_SIZE) pthread_mutex_t writer;
    struct bitcask_keydir_entry *table;
    uint32_t bucket_capacity;
    bool has_long_entries; /* too long for the slab */
    uint64_t live_count;
    _Atomic uint64_t long_size; /* bytes of those that there are */
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

/* The bucket of @hash: the upper half of the buckets is made one after the other. */
static inline uint32_t bucket_index(const struct bitcask_shard *shard, uint32_t hash)
{
    uint32_t index = hash & shard->bucket_mask;

    return index < shard->bucket_count ? index : index & shard->bucket_mask >> 1;
}

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
    const struct bitcask_shard *shard = shard_of(keydir, hash);

    return &shard->buckets[bucket_index(shard, table_hash(hash))];
}

/*
 * Ask for what is looked at of the entry of @hh to be brought near. A macro: a function
 * without any other effect would be removed.
 */
#define PREFETCH_ENTRY(hh)                                              \
    do {                                                                \
        __builtin_prefetch(hh);                                         \
        __builtin_prefetch((const char *)(hh) + (CACHE_LINE_SIZE - 1)); \
    } while (0)

/*
 * Which keys a bucket can have, so that most that are not there are known from the bucket
 * alone: a bit for each in expand_mult, which uthash has for tables that it may grow.
 * Bits of entries that have left may stay.
 */
static inline unsigned trace_of(unsigned hash)
{
    return 1u << (hash >> 27);
}

static inline bool has_trace(const UT_hash_bucket *bucket, uint64_t hash)
{
    return (bucket->expand_mult & trace_of(table_hash(hash))) != 0;
}

static inline bool has_key(const struct bitcask_keydir_entry *entry, uint64_t hash,
                           struct bitcask_slice key)
{
    return entry->hh.hashv == table_hash(hash) && entry->hh.keylen == key.size &&
           memcmp(entry->key, key.data, key.size) == 0;
}

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
                                                    struct bitcask_slice key,
                                                    uint64_t hash);

/* Put @entry into the table, with the lock held to write. */
void bitcask_shard_add(struct bitcask_shard *shard, struct bitcask_keydir_entry *entry);

/* Take @entry out of the table, with the lock held to write, and free it. */
void bitcask_shard_delete(struct bitcask_shard *shard,
                          struct bitcask_keydir_entry *entry);

/* The mask of @count buckets. */
uint32_t bitcask_shard_mask(uint32_t count);

/*
 * Add buckets, if it is time, with the lock held to write. Where there is no memory for
 * them chains become longer, which is no failure.
 */
void bitcask_shard_grow(struct bitcask_shard *shard);

#endif
