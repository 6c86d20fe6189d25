/* SPDX-License-Identifier: MIT */
/*
 * Visiting all keys, while others come and go.
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

    if (cursor->shard == BITCASK_KEYDIR_SHARD_COUNT)
        return BITCASK_NOT_FOUND;
    shard = &keydir->shards[cursor->shard];

    (void)pthread_rwlock_rdlock(&shard->lock);
    for (int i = 0; i < WALK_BUCKET_COUNT && status == BITCASK_OK; i++) {
        uint32_t mask = mask_at(shard, next.bucket);

        status = visit_bucket(&shard->buckets[next.bucket & mask], visit, context);
        next.bucket = next_bucket(next.bucket, mask);
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
