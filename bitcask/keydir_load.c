/* SPDX-License-Identifier: MIT */
/*
 * Filling the keydir at open: many keys at a time, tombstones among them.
 */
#include "bitcask/keydir_inside.h"

#include <stdlib.h>

#include "bitcask/status.h"

static enum bitcask_status remember_tombstone(struct bitcask_shard *shard,
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

static enum bitcask_status load_item(struct bitcask_shard *shard,
                                     struct bitcask_load_item *item)
{
    struct bitcask_keydir_entry *entry = bitcask_shard_find(shard, item->hash, item->key);
    bool deletes = (item->place.flags & BITCASK_PLACE_TOMBSTONE) != 0;

    item->displaces = false;
    if (entry == NULL) {
        entry = bitcask_shard_allocate(shard, item->key, item->hash);
        if (entry == NULL)
            return bitcask_fail_memory(sizeof *entry + item->key.size);
        bitcask_shard_add(shard, entry);
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

/*
 * First ask for the memory of all items to be brought near, so that their misses
 * overlap: the bucket, and where a new entry would lie; then the first entry in the
 * bucket, and the one behind it, which a key that is new is compared with as well. (In a
 * function of its own, which has no effect that the compiler knows of, this would all be
 * removed.)
 */
enum bitcask_status bitcask_keydir_load(struct bitcask_keydir *keydir,
                                        struct bitcask_load_item *items, size_t count)
{
    enum bitcask_status status = BITCASK_OK;

    assert(count <= BITCASK_LOAD_ITEMS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct bitcask_shard *shard = shard_of(keydir, items[i].hash);

        __builtin_prefetch(bucket_of(keydir, items[i].hash), 1);
        __builtin_prefetch(shard->slab.chunk, 1);
        __builtin_prefetch(shard->slab.chunk + CACHE_LINE_SIZE, 1);
    }
    for (size_t i = 0; i < count; i++) {
        const UT_hash_bucket *bucket = bucket_of(keydir, items[i].hash);

        if (bucket->hh_head != NULL)
            PREFETCH_ENTRY(bucket->hh_head);
    }
    for (size_t i = 0; i < count; i++) {
        const UT_hash_bucket *bucket = bucket_of(keydir, items[i].hash);

        if (bucket->hh_head != NULL && bucket->hh_head->hh_next != NULL)
            __builtin_prefetch(&bucket->hh_head->hh_next->hh_next);
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
static void drop_shard_tombstones(struct bitcask_shard *shard)
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
            bitcask_shard_delete(shard, entry);
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
        struct bitcask_shard *shard = &keydir->shards[i];

        lock_for_change(shard);
        if (shard->tombstone_count > 0)
            drop_shard_tombstones(shard);
        unlock_after_change(shard);
    }
}
