/* SPDX-License-Identifier: MIT */
#include "bitcask/keydir_inside.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "bitcask/status.h"

enum {
    KEY_SIZE_GUESS = 94, /* bytes for a key of 16, its buckets included */
    BUCKET_COUNT_MIN = 8,
    BUCKET_COUNT_MAX = 1 << 19, /* to begin with: for 100 million keys, in 2 GiB */
};

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
    const UT_hash_bucket *bucket = &shard->buckets[bucket_index(shard, table_hash(hash))];
    UT_hash_handle *hh = has_trace(bucket, hash) ? bucket->hh_head : NULL;

    while (hh != NULL) {
        struct bitcask_keydir_entry *entry = (void *)hh; /* its first member */

        PREFETCH_ENTRY(hh);
        if (has_key(entry, hash, key))
            return entry;
        hh = hh->hh_next;
    }
    return NULL;
}

/* False: no memory for a table, and nothing has changed. */
static bool add(struct bitcask_shard *shard, struct bitcask_keydir_entry *entry)
{
    bool added = true;
    unsigned hash = entry->hh.hashv;
    size_t key_size = entry->hh.keylen;

    HASH_ADD_KEYPTR_BYHASHVALUE(hh, shard->table, entry->key, key_size, hash, entry);
    return added;
}

struct bitcask_keydir_entry *bitcask_shard_allocate(struct bitcask_shard *shard,
                                                    struct bitcask_slice key,
                                                    uint64_t hash)
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
    entry->hh.hashv = table_hash(hash);
    return entry;
}

static void free_entry(struct bitcask_shard *shard, struct bitcask_keydir_entry *entry)
{
    size_t size = entry_size(entry->hh.keylen);

    if (size > BITCASK_SLAB_PIECE_MAX)
        (void)atomic_fetch_sub(&shard->long_size, size);
    bitcask_slab_free(&shard->slab, entry, size);
}

/* With memory for a table there, as there is from the first entry on, none is asked for.
 */
void bitcask_shard_add(struct bitcask_shard *shard, struct bitcask_keydir_entry *entry)
{
    (void)add(shard, entry);
    shard->buckets[bucket_index(shard, entry->hh.hashv)].expand_mult |=
        trace_of(entry->hh.hashv);
    entry->location = PLACE_RESERVED;
    entry->sequence = 0;
    entry->value_size = 0;
    bitcask_shard_grow(shard);
}

void bitcask_shard_delete(struct bitcask_shard *shard, struct bitcask_keydir_entry *entry)
{
    UT_hash_bucket *bucket = &shard->buckets[bucket_index(shard, entry->hh.hashv)];

    entry->hh.prev = shard->table;
    entry->hh.next = NULL;
    HASH_DELETE(hh, shard->table, entry);
    if (bucket->count == 0)
        bucket->expand_mult = 0;
    free_entry(shard, entry);
}

/* So many buckets that none need be added before there are @expected_keys. */
static uint32_t bucket_count_for(uint64_t expected_keys)
{
    uint64_t count = expected_keys / BITCASK_KEYDIR_SHARD_COUNT;

    count += count / 3 + count / 16; /* a sixteenth, since some shards have more */
    if (count < BUCKET_COUNT_MIN)
        return BUCKET_COUNT_MIN;
    return count < BUCKET_COUNT_MAX ? (uint32_t)count : BUCKET_COUNT_MAX;
}

/*
 * Make the table, by an entry that is not to be found: it leaves its bucket, but not the
 * table.
 */
static bool make_table(struct bitcask_shard *shard, uint32_t bucket_count)
{
    const struct bitcask_slice no_key = { NULL, 0 };
    struct bitcask_keydir_entry *head = bitcask_shard_allocate(shard, no_key, 0);
    UT_hash_table *table;

    shard->bucket_count = bucket_count;
    shard->bucket_mask = bitcask_shard_mask(bucket_count);
    shard->bucket_capacity = bucket_count;
    if (head == NULL || !add(shard, head))
        return false;
    table = head->hh.tbl;
    table->noexpand = 1;
    HASH_DEL_IN_BKT(table->buckets[0], &head->hh);
    table->num_items--;
    shard->buckets = table->buckets;
    return true;
}

static enum bitcask_status init_shard(struct bitcask_keydir *keydir,
                                      struct bitcask_shard *shard, uint32_t bucket_count)
{
    if (pthread_rwlock_init(&shard->lock, NULL) != 0)
        return bitcask_fail_memory(sizeof shard->lock);
    if (pthread_mutex_init(&shard->writer, NULL) != 0) {
        (void)pthread_rwlock_destroy(&shard->lock);
        return bitcask_fail_memory(sizeof shard->writer);
    }
    shard->slab.source = &keydir->source;
    if (!make_table(shard, bucket_count)) {
        (void)pthread_mutex_destroy(&shard->writer);
        (void)pthread_rwlock_destroy(&shard->lock);
        return bitcask_fail_memory(sizeof(UT_hash_bucket) * bucket_count);
    }
    return BITCASK_OK;
}

/* Walking all entries takes a second at ten million: only where it must be. */
static void free_long_entries(struct bitcask_shard *shard)
{
    for (uint32_t i = 0; i < shard->bucket_count; i++) {
        struct bitcask_keydir_entry *entry = (void *)shard->buckets[i].hh_head;

        while (entry != NULL) {
            struct bitcask_keydir_entry *next = (void *)entry->hh.hh_next;

            if (entry_size(entry->hh.keylen) > BITCASK_SLAB_PIECE_MAX)
                free(entry);
            entry = next;
        }
    }
}

/* Everything else is the source's. */
static void release_shard(struct bitcask_shard *shard)
{
    if (shard->has_long_entries)
        free_long_entries(shard);
    free(shard->tombstones);
}

static void destroy_locks(struct bitcask_shard *shard)
{
    (void)pthread_mutex_destroy(&shard->writer);
    (void)pthread_rwlock_destroy(&shard->lock);
}

enum bitcask_status bitcask_keydir_create(struct bitcask_keydir **out,
                                          uint64_t expected_keys, uint64_t seed)
{
    uint32_t bucket_count = bucket_count_for(expected_keys);
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
        status = init_shard(keydir, &keydir->shards[ready], bucket_count);
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

    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++)
        size += atomic_load(&keydir->shards[i].long_size);
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

void bitcask_keydir_prefetch(struct bitcask_keydir *keydir, uint64_t hash)
{
    __builtin_prefetch(bucket_of(keydir, hash), 1);
}

void bitcask_keydir_prefetch_entry(struct bitcask_keydir *keydir, uint64_t hash)
{
    const UT_hash_bucket *bucket = bucket_of(keydir, hash);

    if (bucket->hh_head != NULL)
        PREFETCH_ENTRY(bucket->hh_head);
}

void bitcask_keydir_write_unlock(struct bitcask_keydir *keydir, unsigned shard)
{
    (void)pthread_mutex_unlock(&keydir->shards[shard].writer);
}

/*
 * The writer mutex keeps all other writers of the shard away, so looking needs no
 * lock; readers only ever look too.
 */
static enum bitcask_status look(struct bitcask_shard *shard, uint64_t hash,
                                struct bitcask_slice key,
                                struct bitcask_keydir_entry **out,
                                struct bitcask_place *place)
{
    struct bitcask_keydir_entry *entry = bitcask_shard_find(shard, hash, key);

    *out = entry;
    if (entry == NULL || !is_live(entry))
        return BITCASK_NOT_FOUND;
    load_place(entry, place);
    return BITCASK_OK;
}

enum bitcask_status bitcask_keydir_reserve_alone(struct bitcask_keydir *keydir,
                                                 uint64_t hash, struct bitcask_slice key,
                                                 struct bitcask_keydir_entry **out,
                                                 struct bitcask_place *place)
{
    struct bitcask_shard *shard = shard_of(keydir, hash);
    enum bitcask_status status = look(shard, hash, key, out, place);

    if (*out != NULL)
        return status;
    *out = bitcask_shard_allocate(shard, key, hash);
    if (*out == NULL)
        return bitcask_fail_memory(entry_size(key.size));
    (*out)->location = LOCATION_ALONE;
    return BITCASK_NOT_FOUND;
}

enum bitcask_status bitcask_keydir_reserve(struct bitcask_keydir *keydir, uint64_t hash,
                                           struct bitcask_slice key, bool create,
                                           struct bitcask_keydir_entry **out,
                                           struct bitcask_place *place)
{
    struct bitcask_shard *shard = shard_of(keydir, hash);
    enum bitcask_status status;

    if (!create)
        return look(shard, hash, key, out, place);
    status = bitcask_keydir_reserve_alone(keydir, hash, key, out, place);
    if (status != BITCASK_NOT_FOUND || (*out)->location != LOCATION_ALONE)
        return status;
    lock_for_change(shard);
    bitcask_shard_add(shard, *out);
    unlock_after_change(shard);
    return BITCASK_NOT_FOUND;
}

void bitcask_keydir_set(struct bitcask_keydir *keydir, unsigned shard_index,
                        struct bitcask_keydir_entry *entry,
                        const struct bitcask_place *place)
{
    struct bitcask_shard *shard = &keydir->shards[shard_index];

    lock_for_change(shard);
    if (!is_live(entry)) {
        if (entry->location == LOCATION_ALONE)
            bitcask_shard_add(shard, entry);
        shard->live_count++;
    }
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
    if (entry->location == LOCATION_ALONE)
        free_entry(&keydir->shards[shard_index], entry);
    else if (!is_live(entry))
        bitcask_keydir_remove(keydir, shard_index, entry);
}
