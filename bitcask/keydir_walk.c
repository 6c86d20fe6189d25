/* SPDX-License-Identifier: MIT */
/*
 * Visiting all keys, while others come and go. What takes the time of a visit is waiting
 * for memory, so all buckets of a step are asked for before the first is looked at, and
 * then their entries.
 */
#include "bitcask/keydir_inside.h"

enum {
    /* Buckets walked under one read lock: microseconds, also when each misses. */
    WALK_BUCKET_COUNT = 64
};

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

/*
 * The mask by which the cursor goes on from @bucket. A bucket of the lower half that has
 * not been split yet stands for two: the walk goes on behind both, wherever they are by
 * then. In the upper half the walk only gets where the lower one was split before.
 */
static uint32_t mask_at(const struct bitcask_shard *shard, uint32_t bucket)
{
    uint32_t half = shard->bucket_mask >> 1;
    bool split = (bucket & half) + half + 1 < shard->bucket_count;

    return split ? shard->bucket_mask : half;
}

/* The handle is the first member of the entry. */
static enum bitcask_status visit_entry(const UT_hash_handle *hh,
                                       bitcask_keydir_visit *visit, void *context)
{
    const struct bitcask_keydir_entry *entry = (const void *)hh;
    struct bitcask_slice key = { entry->key, entry->hh.keylen };
    struct bitcask_place place;

    if (!is_live(entry))
        return BITCASK_OK;
    load_place(entry, &place);
    return visit(key, &place, context);
}

/* All chains are walked in step, so that the cache misses of a step overlap. */
static enum bitcask_status visit_buckets(const UT_hash_bucket *const *buckets,
                                         size_t count, bitcask_keydir_visit *visit,
                                         void *context)
{
    const UT_hash_handle *pending[WALK_BUCKET_COUNT];
    size_t pending_count = 0;

    for (size_t i = 0; i < count; i++) {
        if (buckets[i]->hh_head == NULL)
            continue;
        PREFETCH_ENTRY(buckets[i]->hh_head);
        pending[pending_count++] = buckets[i]->hh_head;
    }
    while (pending_count > 0) {
        size_t kept = 0;

        for (size_t i = 0; i < pending_count; i++) {
            const UT_hash_handle *next = pending[i]->hh_next;
            enum bitcask_status status = visit_entry(pending[i], visit, context);

            if (status != BITCASK_OK)
                return status;
            if (next == NULL)
                continue;
            PREFETCH_ENTRY(next);
            pending[kept++] = next;
        }
        pending_count = kept;
    }
    return BITCASK_OK;
}

enum bitcask_status bitcask_keydir_walk(struct bitcask_keydir *keydir,
                                        struct bitcask_keydir_cursor *cursor,
                                        bitcask_keydir_visit *visit, void *context)
{
    struct bitcask_keydir_cursor next = *cursor;
    const UT_hash_bucket *buckets[WALK_BUCKET_COUNT];
    size_t count = 0;
    struct bitcask_shard *shard;
    enum bitcask_status status;

    if (cursor->shard == BITCASK_KEYDIR_SHARD_COUNT)
        return BITCASK_NOT_FOUND;
    shard = &keydir->shards[cursor->shard];

    (void)pthread_rwlock_rdlock(&shard->lock);
    do {
        uint32_t mask = mask_at(shard, next.bucket);

        buckets[count] = &shard->buckets[next.bucket & mask];
        __builtin_prefetch(buckets[count++]);
        next.bucket = next_bucket(next.bucket, mask);
    } while (next.bucket != 0 && count < WALK_BUCKET_COUNT);
    if (next.bucket == 0)
        next.shard++;
    status = visit_buckets(buckets, count, visit, context);
    (void)pthread_rwlock_unlock(&shard->lock);

    if (status == BITCASK_OK)
        *cursor = next;
    return status;
}
