/* SPDX-License-Identifier: MIT */
#include "bitcask/keydir.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "bitcask/slab.h"
#include "bitcask/status.h"

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
    CACHE_LINE_SIZE = 64,
    KEY_SIZE_GUESS = 112, /* bytes for a key of 16, its bucket included */
    BUCKET_BITS_MIN = 3,
    BUCKET_BITS_MAX = 18, /* to begin with: for 100 million keys, in 1 GiB */
    /* Buckets walked under one read lock: microseconds, also when each misses. */
    WALK_BUCKET_COUNT = 64,
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

struct shard {
    /*
     * The reader's cache line. The head of the table is an entry that is never found
     * and never deleted: uthash frees a table with its last entry, and would make it
     * again at its first size.
     */
    _Alignas(CACHE_LINE_SIZE) pthread_rwlock_t lock;
    struct bitcask_keydir_entry *table;

    _Alignas(CACHE_LINE_SIZE) pthread_mutex_t writer;
    uint64_t live_count;
    bool has_long_entries; /* too long for the slab */
    void *first_buckets;
    struct bitcask_slab slab;
    struct bitcask_keydir_entry **tombstones; /* while loading */
    size_t tombstone_count;
    size_t tombstone_capacity;
};

/*
 * The first buckets of a shard come from the source, those of a table that has grown
 * from malloc: what the source gives out is not given back before the end.
 */
static void *allocate_table(struct shard *shard, size_t size)
{
    if (shard->first_buckets != NULL || size == sizeof(UT_hash_table))
        return malloc(size);
    shard->first_buckets = bitcask_slab_source_take(shard->slab.source, size);
    return shard->first_buckets;
}

static void free_table(struct shard *shard, void *memory)
{
    if (memory != shard->first_buckets)
        free(memory);
}

struct bitcask_keydir {
    struct shard shards[BITCASK_KEYDIR_SHARD_COUNT];
    struct bitcask_slab_source source;
    uint64_t seed;
};

static uint64_t pack_location(const struct bitcask_place *place)
{
    assert(place->segment < 1u << BITCASK_PLACE_SEGMENT_BITS);
    assert(place->offset < (uint64_t)1 << BITCASK_PLACE_OFFSET_BITS);

    return place->offset << (FLAG_BITS + BITCASK_PLACE_SEGMENT_BITS) |
           (uint64_t)place->segment << FLAG_BITS | place->flags;
}

static void store_place(struct bitcask_keydir_entry *entry,
                        const struct bitcask_place *place)
{
    entry->sequence = place->sequence;
    entry->location = pack_location(place);
    entry->value_size = place->value_size;
}

static void load_place(const struct bitcask_keydir_entry *entry,
                       struct bitcask_place *place)
{
    place->sequence = entry->sequence;
    place->offset = entry->location >> (FLAG_BITS + BITCASK_PLACE_SEGMENT_BITS);
    place->segment = (uint32_t)(entry->location >> FLAG_BITS) &
                     ((1u << BITCASK_PLACE_SEGMENT_BITS) - 1);
    place->value_size = entry->value_size;
    place->flags = (unsigned)entry->location & ((1u << FLAG_BITS) - 1);
}

static bool is_live(const struct bitcask_keydir_entry *entry)
{
    return (entry->location & (PLACE_RESERVED | BITCASK_PLACE_TOMBSTONE)) == 0;
}

static size_t entry_size(size_t key_size)
{
    return offsetof(struct bitcask_keydir_entry, key) + key_size;
}

unsigned bitcask_keydir_shard(uint64_t hash)
{
    static_assert(BITCASK_KEYDIR_SHARD_COUNT == 256, "the top byte of the hash");
    return (unsigned)(hash >> 56);
}

uint64_t bitcask_keydir_hash(const struct bitcask_keydir *keydir,
                             struct bitcask_slice key)
{
    return XXH3_64bits_withSeed(key.data, key.size, keydir->seed);
}

static struct shard *shard_of(struct bitcask_keydir *keydir, uint64_t hash)
{
    return &keydir->shards[bitcask_keydir_shard(hash)];
}

/* uthash takes 32 bits; the shard took the top ones of the other half. */
static unsigned table_hash(uint64_t hash)
{
    return (unsigned)(uint32_t)hash;
}

static struct bitcask_keydir_entry *find(struct shard *shard, uint64_t hash,
                                         struct bitcask_slice key)
{
    struct bitcask_keydir_entry *entry;

    HASH_FIND_BYHASHVALUE(hh, shard->table, key.data, key.size, table_hash(hash), entry);
    return entry;
}

/* False: no memory, and nothing has changed. */
static bool add(struct shard *shard, struct bitcask_keydir_entry *entry, unsigned hash,
                unsigned bucket_bits)
{
    bool added = true;
    size_t key_size = entry->hh.keylen;

    HASH_ADD_KEYPTR_BYHASHVALUE(hh, shard->table, entry->key, key_size, hash, entry);
    return added;
}

/* A new entry for @key, not in the table yet, seen by nobody. */
static struct bitcask_keydir_entry *allocate_entry(struct shard *shard,
                                                   struct bitcask_slice key)
{
    struct bitcask_keydir_entry *entry =
        bitcask_slab_allocate(&shard->slab, entry_size(key.size));

    if (entry == NULL)
        return NULL;
    if (entry_size(key.size) > BITCASK_SLAB_PIECE_MAX)
        shard->has_long_entries = true;
    if (key.size > 0)
        memcpy(entry->key, key.data, key.size);
    entry->hh.keylen = (unsigned)key.size;
    entry->sequence = 0;
    entry->location = PLACE_RESERVED;
    entry->value_size = 0;
    return entry;
}

static void free_entry(struct shard *shard, struct bitcask_keydir_entry *entry)
{
    bitcask_slab_free(&shard->slab, entry, entry_size(entry->hh.keylen));
}

/* The smallest number of buckets that keeps chains below one and a half on average. */
static unsigned bucket_bits_for(uint64_t expected_keys)
{
    uint64_t shard_keys = expected_keys / BITCASK_KEYDIR_SHARD_COUNT;
    unsigned bits = BUCKET_BITS_MIN;

    while (bits < BUCKET_BITS_MAX && ((uint64_t)3 << bits) < 2 * shard_keys)
        bits++;
    return bits;
}

static enum bitcask_status init_shard(struct bitcask_keydir *keydir, struct shard *shard,
                                      unsigned bucket_bits)
{
    const struct bitcask_slice no_key = { NULL, 0 };
    struct bitcask_keydir_entry *sentinel;

    if (pthread_rwlock_init(&shard->lock, NULL) != 0)
        return bitcask_fail_memory(sizeof shard->lock);
    if (pthread_mutex_init(&shard->writer, NULL) != 0) {
        (void)pthread_rwlock_destroy(&shard->lock);
        return bitcask_fail_memory(sizeof shard->writer);
    }
    shard->slab.source = &keydir->source;
    sentinel = allocate_entry(shard, no_key);
    if (sentinel == NULL || !add(shard, sentinel, 0, bucket_bits)) {
        (void)pthread_mutex_destroy(&shard->writer);
        (void)pthread_rwlock_destroy(&shard->lock);
        return bitcask_fail_memory(sizeof(UT_hash_bucket) << bucket_bits);
    }
    return BITCASK_OK;
}

/* Walking all entries takes a second at ten million: only where it must be. */
static void free_long_entries(struct shard *shard)
{
    struct bitcask_keydir_entry *entry = shard->table;

    while (entry != NULL) {
        struct bitcask_keydir_entry *next = entry->hh.next;

        if (entry_size(entry->hh.keylen) > BITCASK_SLAB_PIECE_MAX)
            free(entry);
        entry = next;
    }
}

static void release_shard(struct shard *shard)
{
    UT_hash_table *table = shard->table->hh.tbl;

    if (shard->has_long_entries)
        free_long_entries(shard);
    free(shard->tombstones);
    free_table(shard, table->buckets);
    free(table);
}

static void destroy_locks(struct shard *shard)
{
    (void)pthread_mutex_destroy(&shard->writer);
    (void)pthread_rwlock_destroy(&shard->lock);
}

enum bitcask_status bitcask_keydir_create(struct bitcask_keydir **out,
                                          uint64_t expected_keys, uint64_t seed)
{
    unsigned bucket_bits = bucket_bits_for(expected_keys);
    size_t expected_size = expected_keys < SIZE_MAX / KEY_SIZE_GUESS
                               ? (size_t)expected_keys * KEY_SIZE_GUESS
                               : SIZE_MAX;
    struct bitcask_keydir *keydir;
    unsigned ready = 0;
    enum bitcask_status status = BITCASK_OK;

    keydir = aligned_alloc(CACHE_LINE_SIZE, sizeof *keydir);
    if (keydir == NULL)
        return bitcask_fail_memory(sizeof *keydir);
    memset(keydir, 0, sizeof *keydir);
    keydir->seed = seed;
    if (bitcask_slab_source_init(&keydir->source, expected_size) != 0) {
        free(keydir);
        return bitcask_fail_memory(sizeof keydir->source);
    }

    while (ready < BITCASK_KEYDIR_SHARD_COUNT && status == BITCASK_OK) {
        status = init_shard(keydir, &keydir->shards[ready], bucket_bits);
        if (status == BITCASK_OK)
            ready++;
    }
    if (status == BITCASK_OK) {
        *out = keydir;
        return BITCASK_OK;
    }

    while (ready > 0) {
        release_shard(&keydir->shards[--ready]);
        destroy_locks(&keydir->shards[ready]);
    }
    bitcask_slab_source_release(&keydir->source);
    free(keydir);
    return status;
}

void bitcask_keydir_close(struct bitcask_keydir *keydir)
{
    if (keydir == NULL)
        return;
    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        release_shard(&keydir->shards[i]);
        destroy_locks(&keydir->shards[i]);
    }
    bitcask_slab_source_release(&keydir->source);
    free(keydir);
}

void bitcask_keydir_abandon(struct bitcask_keydir *keydir)
{
    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        if (pthread_mutex_trylock(&keydir->shards[i].writer) == 0)
            release_shard(&keydir->shards[i]);
    }
    bitcask_slab_source_release(&keydir->source);
    free(keydir);
}

uint64_t bitcask_keydir_count(struct bitcask_keydir *keydir)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        bitcask_keydir_read_lock(keydir, i);
        count += keydir->shards[i].live_count;
        bitcask_keydir_read_unlock(keydir, i);
    }
    return count;
}

void bitcask_keydir_read_lock(struct bitcask_keydir *keydir, unsigned shard)
{
    (void)pthread_rwlock_rdlock(&keydir->shards[shard].lock);
}

void bitcask_keydir_read_unlock(struct bitcask_keydir *keydir, unsigned shard)
{
    (void)pthread_rwlock_unlock(&keydir->shards[shard].lock);
}

bool bitcask_keydir_find(struct bitcask_keydir *keydir, uint64_t hash,
                         struct bitcask_slice key, struct bitcask_place *place)
{
    struct bitcask_keydir_entry *entry = find(shard_of(keydir, hash), hash, key);

    if (entry == NULL || !is_live(entry))
        return false;
    load_place(entry, place);
    return true;
}

void bitcask_keydir_write_lock(struct bitcask_keydir *keydir, unsigned shard)
{
    (void)pthread_mutex_lock(&keydir->shards[shard].writer);
}

void bitcask_keydir_write_unlock(struct bitcask_keydir *keydir, unsigned shard)
{
    (void)pthread_mutex_unlock(&keydir->shards[shard].writer);
}

static void lock_for_change(struct shard *shard)
{
    (void)pthread_rwlock_wrlock(&shard->lock);
}

static void unlock_after_change(struct shard *shard)
{
    (void)pthread_rwlock_unlock(&shard->lock);
}

/*
 * The writer mutex keeps all other writers of the shard away, so looking needs no
 * lock; readers only ever look too.
 */
enum bitcask_status bitcask_keydir_reserve(struct bitcask_keydir *keydir, uint64_t hash,
                                           struct bitcask_slice key, bool create,
                                           struct bitcask_keydir_entry **out,
                                           struct bitcask_place *place)
{
    struct shard *shard = shard_of(keydir, hash);
    struct bitcask_keydir_entry *entry = find(shard, hash, key);
    bool added;

    *out = entry;
    if (entry != NULL && is_live(entry)) {
        load_place(entry, place);
        return BITCASK_OK;
    }
    if (entry != NULL || !create)
        return BITCASK_NOT_FOUND;

    entry = allocate_entry(shard, key);
    if (entry == NULL)
        return bitcask_fail_memory(entry_size(key.size));
    lock_for_change(shard);
    added = add(shard, entry, table_hash(hash), BUCKET_BITS_MIN);
    unlock_after_change(shard);
    if (!added) {
        free_entry(shard, entry);
        return bitcask_fail(BITCASK_NO_MEMORY, "out of memory: the keydir cannot grow");
    }
    *out = entry;
    return BITCASK_NOT_FOUND;
}

void bitcask_keydir_set(struct bitcask_keydir *keydir, unsigned shard_index,
                        struct bitcask_keydir_entry *entry,
                        const struct bitcask_place *place)
{
    struct shard *shard = &keydir->shards[shard_index];

    lock_for_change(shard);
    if (!is_live(entry))
        shard->live_count++;
    store_place(entry, place);
    unlock_after_change(shard);
}

void bitcask_keydir_remove(struct bitcask_keydir *keydir, unsigned shard_index,
                           struct bitcask_keydir_entry *entry)
{
    struct shard *shard = &keydir->shards[shard_index];

    lock_for_change(shard);
    if (is_live(entry))
        shard->live_count--;
    HASH_DELETE(hh, shard->table, entry);
    unlock_after_change(shard);
    free_entry(shard, entry);
}

void bitcask_keydir_hide(struct bitcask_keydir *keydir, unsigned shard_index,
                         struct bitcask_keydir_entry *entry)
{
    struct shard *shard = &keydir->shards[shard_index];

    lock_for_change(shard);
    if (is_live(entry))
        shard->live_count--;
    entry->location = PLACE_RESERVED;
    unlock_after_change(shard);
}

void bitcask_keydir_cancel(struct bitcask_keydir *keydir, unsigned shard_index,
                           struct bitcask_keydir_entry *entry)
{
    if (!is_live(entry))
        bitcask_keydir_remove(keydir, shard_index, entry);
}

static enum bitcask_status remember_tombstone(struct shard *shard,
                                              struct bitcask_keydir_entry *entry)
{
    if (shard->tombstone_count == shard->tombstone_capacity) {
        size_t capacity =
            shard->tombstone_capacity > 0 ? 2 * shard->tombstone_capacity : 16;
        struct bitcask_keydir_entry **grown =
            realloc(shard->tombstones, capacity * sizeof(struct bitcask_keydir_entry *));

        if (grown == NULL)
            return bitcask_fail_memory(capacity * sizeof(struct bitcask_keydir_entry *));
        shard->tombstones = grown;
        shard->tombstone_capacity = capacity;
    }
    shard->tombstones[shard->tombstone_count++] = entry;
    return BITCASK_OK;
}

static enum bitcask_status load_item(struct shard *shard, struct bitcask_load_item *item)
{
    struct bitcask_keydir_entry *entry = find(shard, item->hash, item->key);
    bool deletes = (item->place.flags & BITCASK_PLACE_TOMBSTONE) != 0;

    item->displaces = false;
    if (entry == NULL) {
        entry = allocate_entry(shard, item->key);
        if (entry == NULL)
            return bitcask_fail_memory(entry_size(item->key.size));
        if (!add(shard, entry, table_hash(item->hash), BUCKET_BITS_MIN)) {
            free_entry(shard, entry);
            return bitcask_fail(BITCASK_NO_MEMORY,
                                "out of memory: the keydir cannot grow");
        }
    } else if (entry->sequence >= item->place.sequence) {
        item->displaces = !deletes;
        item->displaced = item->place;
        return BITCASK_OK;
    } else if (is_live(entry)) {
        item->displaces = true;
        load_place(entry, &item->displaced);
    }

    if (deletes && (entry->location & BITCASK_PLACE_TOMBSTONE) == 0) {
        enum bitcask_status status = remember_tombstone(shard, entry);

        if (status != BITCASK_OK)
            return status;
    }
    if (is_live(entry))
        shard->live_count--;
    store_place(entry, &item->place);
    if (is_live(entry))
        shard->live_count++;
    return BITCASK_OK;
}

static const UT_hash_bucket *bucket_of(struct bitcask_keydir *keydir, uint64_t hash)
{
    const UT_hash_table *table = shard_of(keydir, hash)->table->hh.tbl;

    return &table->buckets[table_hash(hash) & (table->num_buckets - 1)];
}

/*
 * First ask for the memory of all items to be brought near, so that their misses
 * overlap: the bucket, where a new entry would lie, and the last one added, whose link
 * will change; then the first entry in the bucket. (In a function of its own, which
 * has no effect that the compiler knows of, this would all be removed.)
 */
enum bitcask_status bitcask_keydir_load(struct bitcask_keydir *keydir,
                                        struct bitcask_load_item *items, size_t count)
{
    enum bitcask_status status = BITCASK_OK;

    assert(count <= BITCASK_LOAD_ITEMS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct shard *shard = shard_of(keydir, items[i].hash);

        __builtin_prefetch(bucket_of(keydir, items[i].hash), 1);
        __builtin_prefetch(shard->slab.chunk, 1);
        __builtin_prefetch(shard->slab.chunk + CACHE_LINE_SIZE, 1);
        __builtin_prefetch(shard->table->hh.tbl->tail, 1);
    }
    for (size_t i = 0; i < count; i++) {
        const UT_hash_bucket *bucket = bucket_of(keydir, items[i].hash);

        if (bucket->hh_head != NULL)
            __builtin_prefetch(&bucket->hh_head->hh_next, 1);
    }
    for (size_t i = 0; i < count && status == BITCASK_OK; i++)
        status = load_item(shard_of(keydir, items[i].hash), &items[i]);
    return status;
}

static int compare_addresses(const void *left, const void *right)
{
    uintptr_t a = (uintptr_t) * (struct bitcask_keydir_entry *const *)left;
    uintptr_t b = (uintptr_t) * (struct bitcask_keydir_entry *const *)right;

    return a < b ? -1 : a > b;
}

/* An entry is remembered twice if the key was put and deleted again between. */
static void drop_shard_tombstones(struct shard *shard)
{
    struct bitcask_keydir_entry *before = NULL;

    qsort(shard->tombstones, shard->tombstone_count, sizeof *shard->tombstones,
          compare_addresses);
    for (size_t i = 0; i < shard->tombstone_count; i++) {
        struct bitcask_keydir_entry *entry = shard->tombstones[i];

        if (entry == before)
            continue;
        before = entry;
        if ((entry->location & BITCASK_PLACE_TOMBSTONE) != 0) {
            HASH_DELETE(hh, shard->table, entry);
            free_entry(shard, entry);
        }
    }
    free(shard->tombstones);
    shard->tombstones = NULL;
    shard->tombstone_count = 0;
    shard->tombstone_capacity = 0;
}

void bitcask_keydir_drop_tombstones(struct bitcask_keydir *keydir)
{
    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        struct shard *shard = &keydir->shards[i];

        lock_for_change(shard);
        if (shard->tombstone_count > 0)
            drop_shard_tombstones(shard);
        unlock_after_change(shard);
    }
}

/* Add one to the number whose bits, read from the other end, are those of @bucket. */
static uint32_t next_bucket(uint32_t bucket, uint32_t mask)
{
    uint32_t bit = mask ^ (mask >> 1); /* the highest bit in use */

    while (bit != 0 && (bucket & bit) != 0) {
        bucket &= ~bit;
        bit >>= 1;
    }
    return bucket | bit; /* 0: all buckets have been visited */
}

static enum bitcask_status visit_bucket(const UT_hash_bucket *bucket,
                                        bitcask_keydir_visit *visit, void *context)
{
    for (const UT_hash_handle *hh = bucket->hh_head; hh != NULL; hh = hh->hh_next) {
        /* The handle is the first member of the entry. */
        const struct bitcask_keydir_entry *entry = (const void *)hh;
        struct bitcask_slice key = { entry->key, entry->hh.keylen };
        struct bitcask_place place;
        enum bitcask_status status;

        if (!is_live(entry))
            continue;
        load_place(entry, &place);
        status = visit(key, &place, context);
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

enum bitcask_status bitcask_keydir_walk(struct bitcask_keydir *keydir,
                                        struct bitcask_keydir_cursor *cursor,
                                        bitcask_keydir_visit *visit, void *context)
{
    struct bitcask_keydir_cursor next = *cursor;
    enum bitcask_status status = BITCASK_OK;
    struct shard *shard;
    const UT_hash_table *table;

    if (cursor->shard == BITCASK_KEYDIR_SHARD_COUNT)
        return BITCASK_NOT_FOUND;
    shard = &keydir->shards[cursor->shard];

    (void)pthread_rwlock_rdlock(&shard->lock);
    table = shard->table->hh.tbl;
    for (int i = 0; i < WALK_BUCKET_COUNT && status == BITCASK_OK; i++) {
        status = visit_bucket(&table->buckets[next.bucket & (table->num_buckets - 1)],
                              visit, context);
        next.bucket = next_bucket(next.bucket, table->num_buckets - 1);
        if (next.bucket == 0) {
            next.shard++;
            break;
        }
    }
    (void)pthread_rwlock_unlock(&shard->lock);

    if (status == BITCASK_OK)
        *cursor = next;
    return status;
}
