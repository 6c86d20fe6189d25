/* SPDX-License-Identifier: MIT */
/*
 * Growing a table by one bucket at a time, so that no put pays for all. This is linear
 * hashing: with 2^n buckets and more, bucket 2^n + i is made by splitting bucket i. A
 * hash that asks for a bucket which is not made yet is still in the one of the lower
 * half.
 *
 * Memory for buckets doubles; the old array is used up for entries.
 */
#include "bitcask/keydir_inside.h"

enum {
    SPLIT_COUNT_MAX = 2, /* with each key, when one and a third would do */
    SPLIT_AHEAD = 2      /* what is brought near for the splits to come */
};

uint32_t bitcask_shard_mask(uint32_t count)
{
    uint32_t mask = 1;

    while (mask < count - 1)
        mask = 2 * mask + 1;
    return mask;
}

/* False: no memory. */
static bool grow_array(struct bitcask_shard *shard)
{
    size_t size = shard->bucket_capacity * sizeof *shard->buckets;
    UT_hash_bucket *buckets;

    if (shard->bucket_capacity > UINT32_MAX / 4)
        return false;
    buckets = bitcask_slab_source_take(shard->slab.source, 2 * size);
    if (buckets == NULL)
        return false;
    memcpy(buckets, shard->buckets, size);
    bitcask_slab_give(&shard->slab, shard->buckets, size);
    shard->buckets = buckets;
    shard->table->hh.tbl->buckets = buckets;
    shard->bucket_capacity *= 2;
    return true;
}

static void push(UT_hash_bucket *bucket, UT_hash_handle *hh)
{
    hh->hh_prev = NULL;
    hh->hh_next = bucket->hh_head;
    if (bucket->hh_head != NULL)
        bucket->hh_head->hh_prev = hh;
    bucket->hh_head = hh;
    bucket->count++;
    bucket->expand_mult |= trace_of(hh->hashv);
}

static void split_bucket(struct bitcask_shard *shard)
{
    uint32_t made = shard->bucket_count;
    uint32_t mask = bitcask_shard_mask(made + 1);
    UT_hash_bucket *from = &shard->buckets[made & mask >> 1];
    UT_hash_bucket *to = &shard->buckets[made];
    UT_hash_handle *hh = from->hh_head;

    *from = (UT_hash_bucket){ 0 };
    *to = (UT_hash_bucket){ 0 };
    while (hh != NULL) {
        UT_hash_handle *next = hh->hh_next;

        push((hh->hashv & mask) == made ? to : from, hh);
        hh = next;
    }
    shard->bucket_count = made + 1;
    shard->bucket_mask = mask;
    from += SPLIT_AHEAD;
    if (from < to && from->hh_head != NULL)
        PREFETCH_ENTRY(from->hh_head);
}

void bitcask_shard_grow(struct bitcask_shard *shard)
{
    uint64_t wanted = (uint64_t)shard->table->hh.tbl->num_items * 4 / 3;

    for (int i = 0; i < SPLIT_COUNT_MAX && wanted > shard->bucket_count; i++) {
        if (shard->bucket_count == shard->bucket_capacity && !grow_array(shard))
            return;
        split_bucket(shard);
    }
}

bool bitcask_keydir_prepare(struct bitcask_keydir *keydir)
{
    return bitcask_slab_source_prepare(&keydir->source);
}
