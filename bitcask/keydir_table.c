/* SPDX-License-Identifier: MIT */
#include "bitcask/keydir_inside.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "bitcask/status.h"

enum {
    KEY_SIZE_GUESS = 112, /* bytes for a key of 16, its bucket included */
    BUCKET_BITS_MIN = 3,
    BUCKET_BITS_MAX = 18, /* to begin with: for 100 million keys, in 1 GiB */
    /* Buckets walked under one read lock: microseconds, also when each misses. */
    WALK_BUCKET_COUNT = 64,
};

/*
 * The first buckets of a shard come from the source, those of a table that has grown
 * from malloc: what the source gives out is not given back before the end.
 */
static void *allocate_table(struct bitcask_shard *shard, size_t size)
{
    if (shard->first_buckets != NULL || size == sizeof(UT_hash_table))
        return malloc(size);
    shard->first_buckets = bitcask_slab_source_take(shard->slab.source, size);
    return shard->first_buckets;
}

static void free_table(struct bitcask_shard *shard, void *memory)
{
    if (memory != shard->first_buckets)
        free(memory);
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

struct bitcask_keydir_entry *bitcask_shard_find(struct bitcask_shard *shard,
                                                uint64_t hash, struct bitcask_slice key)
{
    struct bitcask_keydir_entry *entry;

    HASH_FIND_BYHASHVALUE(hh, shard->table, key.data, key.size, table_hash(hash), entry);
    return entry;
}

/* False: no memory, and nothing has changed. */
static bool add(struct bitcask_shard *shard, struct bitcask_keydir_entry *entry,
                unsigned hash, unsigned bucket_bits)
{
    bool added = true;
    size_t key_size = entry->hh.keylen;

    HASH_ADD_KEYPTR_BYHASHVALUE(hh, shard->table, entry->key, key_size, hash, entry);
    return added;
}

struct bitcask_keydir_entry *bitcask_shard_allocate(struct bitcask_shard *shard,
                                                    struct bitcask_slice key)
{
    struct bitcask_keydir_entry *entry =
        bitcask_slab_allocate(&shard->slab, entry_size(key.size));

    if (entry == NULL)
        return NULL;
    if (entry_size(key.size) > BITCASK_SLAB_PIECE_MAX) {
        shard->has_long_entries = true;
        (void)atomic_fetch_add(&shard->long_size, entry_size(key.size));
    }
    if (key.size > 0)
        memcpy(entry->key, key.data, key.size);
    entry->hh.keylen = (unsigned)key.size;
    entry->sequence = 0;
    entry->location = PLACE_RESERVED;
    entry->value_size = 0;
    return entry;
}

static void free_entry(struct bitcask_shard *shard, struct bitcask_keydir_entry *entry)
{
    size_t size = entry_size(entry->hh.keylen);

    if (size > BITCASK_SLAB_PIECE_MAX)
        (void)atomic_fetch_sub(&shard->long_size, size);
    bitcask_slab_free(&shard->slab, entry, size);
}

bool bitcask_shard_add(struct bitcask_shard *shard, struct bitcask_keydir_entry *entry,
                       uint64_t hash)
{
    if (add(shard, entry, table_hash(hash), BUCKET_BITS_MIN))
        return true;
    free_entry(shard, entry);
    return false;
}

void bitcask_shard_delete(struct bitcask_shard *shard, struct bitcask_keydir_entry *entry)
{
    HASH_DELETE(hh, shard->table, entry);
    free_entry(shard, entry);
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

static enum bitcask_status init_shard(struct bitcask_keydir *keydir,
                                      struct bitcask_shard *shard, unsigned bucket_bits)
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
    sentinel = bitcask_shard_allocate(shard, no_key);
    if (sentinel == NULL || !add(shard, sentinel, 0, bucket_bits)) {
        (void)pthread_mutex_destroy(&shard->writer);
        (void)pthread_rwlock_destroy(&shard->lock);
        return bitcask_fail_memory(sizeof(UT_hash_bucket) << bucket_bits);
    }
    return BITCASK_OK;
}

/* Walking all entries takes a second at ten million: only where it must be. */
static void free_long_entries(struct bitcask_shard *shard)
{
    struct bitcask_keydir_entry *entry = shard->table;

    while (entry != NULL) {
        struct bitcask_keydir_entry *next = entry->hh.next;

        if (entry_size(entry->hh.keylen) > BITCASK_SLAB_PIECE_MAX)
            free(entry);
        entry = next;
    }
}

static void release_shard(struct bitcask_shard *shard)
{
    UT_hash_table *table = shard->table->hh.tbl;

    if (shard->has_long_entries)
        free_long_entries(shard);
    free(shard->tombstones);
    free_table(shard, table->buckets);
    free(table);
}

static void destroy_locks(struct bitcask_shard *shard)
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

uint64_t bitcask_keydir_size(struct bitcask_keydir *keydir)
{
    uint64_t size = sizeof *keydir + bitcask_slab_source_size(&keydir->source);

    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        const struct bitcask_shard *shard = &keydir->shards[i];
        const UT_hash_table *table;

        bitcask_keydir_read_lock(keydir, i);
        table = shard->table->hh.tbl;
        size += sizeof *table + atomic_load(&shard->long_size);
        if (table->buckets != shard->first_buckets) /* those are the source's */
            size += table->num_buckets * sizeof *table->buckets;
        bitcask_keydir_read_unlock(keydir, i);
    }
    return size;
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
    struct bitcask_keydir_entry *entry =
        bitcask_shard_find(shard_of(keydir, hash), hash, key);

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

/*
 * The writer mutex keeps all other writers of the shard away, so looking needs no
 * lock; readers only ever look too.
 */
enum bitcask_status bitcask_keydir_reserve(struct bitcask_keydir *keydir, uint64_t hash,
                                           struct bitcask_slice key, bool create,
                                           struct bitcask_keydir_entry **out,
                                           struct bitcask_place *place)
{
    struct bitcask_shard *shard = shard_of(keydir, hash);
    struct bitcask_keydir_entry *entry = bitcask_shard_find(shard, hash, key);
    bool added;

    *out = entry;
    if (entry != NULL && is_live(entry)) {
        load_place(entry, place);
        return BITCASK_OK;
    }
    if (entry != NULL || !create)
        return BITCASK_NOT_FOUND;

    entry = bitcask_shard_allocate(shard, key);
    if (entry == NULL)
        return bitcask_fail_memory(entry_size(key.size));
    lock_for_change(shard);
    added = bitcask_shard_add(shard, entry, hash);
    unlock_after_change(shard);
    if (!added)
        return bitcask_fail(BITCASK_NO_MEMORY, "out of memory: the keydir cannot grow");
    *out = entry;
    return BITCASK_NOT_FOUND;
}

void bitcask_keydir_set(struct bitcask_keydir *keydir, unsigned shard_index,
                        struct bitcask_keydir_entry *entry,
                        const struct bitcask_place *place)
{
    struct bitcask_shard *shard = &keydir->shards[shard_index];

    lock_for_change(shard);
    if (!is_live(entry))
        shard->live_count++;
    store_place(entry, place);
    unlock_after_change(shard);
}

void bitcask_keydir_remove(struct bitcask_keydir *keydir, unsigned shard_index,
                           struct bitcask_keydir_entry *entry)
{
    struct bitcask_shard *shard = &keydir->shards[shard_index];

    lock_for_change(shard);
    if (is_live(entry))
        shard->live_count--;
    bitcask_shard_delete(shard, entry);
    unlock_after_change(shard);
}

void bitcask_keydir_hide(struct bitcask_keydir *keydir, unsigned shard_index,
                         struct bitcask_keydir_entry *entry)
{
    struct bitcask_shard *shard = &keydir->shards[shard_index];

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
    struct bitcask_shard *shard;
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
