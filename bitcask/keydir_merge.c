/* SPDX-License-Identifier: MIT */
/*
 * What a merge needs of the keydir: which records are current, to move places, and to
 * know when nobody holds an old one any more.
 */
#include "bitcask/keydir_inside.h"

/* Keys looked up under one lock: a microsecond or two. */
enum {
    GROUP_COUNT = 32
};

struct bitcask_pin bitcask_keydir_pin(struct bitcask_keydir *keydir, unsigned shard)
{
    struct bitcask_pin pin = { shard, keydir->shards[shard].phase };

    (void)atomic_fetch_add_explicit(&keydir->shards[shard].pin_counts[pin.phase], 1,
                                    memory_order_relaxed);
    return pin;
}

void bitcask_keydir_unpin(struct bitcask_keydir *keydir, struct bitcask_pin pin)
{
    (void)atomic_fetch_sub_explicit(&keydir->shards[pin.shard].pin_counts[pin.phase], 1,
                                    memory_order_release);
}

uint64_t bitcask_keydir_generation(struct bitcask_keydir *keydir)
{
    return atomic_load_explicit(&keydir->generation, memory_order_relaxed);
}

/*
 * Each shard gets another count for pins to come, and the old one runs out. Whoever
 * holds the read lock while it changes has pinned on the old count; whoever gets it
 * afterwards finds the new places, and sees the new generation. A writer who remembers a
 * place holds the writer mutex meanwhile.
 */
void bitcask_keydir_wait_readers(struct bitcask_keydir *keydir,
                                 void (*pause)(void *context), void *context)
{
    (void)atomic_fetch_add_explicit(&keydir->generation, 1, memory_order_relaxed);
    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        struct bitcask_shard *shard = &keydir->shards[i];

        (void)pthread_mutex_lock(&shard->writer);
        lock_for_change(shard);
        shard->phase ^= 1;
        unlock_after_change(shard);
        (void)pthread_mutex_unlock(&shard->writer);
    }
    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        struct bitcask_shard *shard = &keydir->shards[i];
        unsigned old = shard->phase ^ 1; /* nobody else changes it */

        while (atomic_load_explicit(&shard->pin_counts[old], memory_order_acquire) > 0)
            pause(context);
    }
}

void bitcask_keydir_wait_writers(struct bitcask_keydir *keydir)
{
    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        (void)pthread_mutex_lock(&keydir->shards[i].writer);
        (void)pthread_mutex_unlock(&keydir->shards[i].writer);
    }
}

/*
 * Whether @entry points to the record of @item. A sequence belongs to one record only, so
 * that keys need not be compared, which would cost another cache miss.
 */
static bool points_to(const struct bitcask_keydir_entry *entry,
                      const struct bitcask_merge_item *item)
{
    return entry->hh.hashv == table_hash(item->hash) &&
           entry->sequence == item->sequence && is_live(entry);
}

/*
 * The entries that point to the records of @items, or NULL. All chains are walked in
 * step, so that the cache misses of a step overlap.
 */
static void find_group(struct bitcask_keydir *keydir,
                       struct bitcask_merge_item *const *items, size_t count,
                       struct bitcask_keydir_entry **entries)
{
    UT_hash_handle *next[GROUP_COUNT];
    size_t pending[GROUP_COUNT];
    size_t pending_count = 0;

    for (size_t i = 0; i < count; i++)
        __builtin_prefetch(bucket_of(keydir, items[i]->hash));
    for (size_t i = 0; i < count; i++) {
        entries[i] = NULL;
        next[i] = bucket_of(keydir, items[i]->hash)->hh_head;
        if (next[i] == NULL)
            continue;
        PREFETCH_ENTRY(next[i]);
        pending[pending_count++] = i;
    }
    while (pending_count > 0) {
        size_t kept = 0;

        for (size_t j = 0; j < pending_count; j++) {
            size_t i = pending[j];
            struct bitcask_keydir_entry *entry = (void *)next[i]; /* its first member */

            if (points_to(entry, items[i])) {
                entries[i] = entry;
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

/* The sequence by which the key of @item is there, 0 if it is not. */
static uint64_t find_newest(struct bitcask_shard *shard,
                            const struct bitcask_merge_item *item)
{
    const struct bitcask_keydir_entry *entry =
        bitcask_shard_find(shard, item->hash, item->key);

    return entry != NULL && is_live(entry) ? entry->sequence : 0;
}

static size_t group_of(size_t rest)
{
    return rest < GROUP_COUNT ? rest : GROUP_COUNT;
}

void bitcask_keydir_look(struct bitcask_keydir *keydir, unsigned shard_index,
                         struct bitcask_merge_item *const *items, size_t count)
{
    struct bitcask_shard *shard = &keydir->shards[shard_index];
    struct bitcask_keydir_entry *entries[GROUP_COUNT];

    while (count > 0) {
        size_t group = group_of(count);

        (void)pthread_rwlock_rdlock(&shard->lock);
        find_group(keydir, items, group, entries);
        for (size_t i = 0; i < group; i++) {
            items[i]->current = entries[i] != NULL;
            if (items[i]->wants_newest)
                items[i]->newest = find_newest(shard, items[i]);
        }
        (void)pthread_rwlock_unlock(&shard->lock);
        items += group;
        count -= group;
    }
}

/*
 * The writer mutex keeps away those who remember where a key was. Readers are kept out
 * only while places are written.
 */
void bitcask_keydir_repoint(struct bitcask_keydir *keydir, unsigned shard_index,
                            struct bitcask_merge_item *const *items, size_t count)
{
    struct bitcask_shard *shard = &keydir->shards[shard_index];
    struct bitcask_keydir_entry *entries[GROUP_COUNT];

    while (count > 0) {
        size_t group = group_of(count);

        (void)pthread_mutex_lock(&shard->writer);
        find_group(keydir, items, group, entries);
        lock_for_change(shard);
        for (size_t i = 0; i < group; i++) {
            items[i]->moved = entries[i] != NULL;
            if (!items[i]->moved)
                continue;
            load_place(entries[i], &items[i]->before);
            store_place(entries[i], &items[i]->place);
        }
        unlock_after_change(shard);
        (void)pthread_mutex_unlock(&shard->writer);
        items += group;
        count -= group;
    }
}

void bitcask_keydir_expire(struct bitcask_keydir *keydir, struct bitcask_merge_item *item)
{
    unsigned shard_index = bitcask_keydir_shard(item->hash);
    struct bitcask_shard *shard = &keydir->shards[shard_index];
    struct bitcask_keydir_entry *entry;

    (void)pthread_mutex_lock(&shard->writer);
    entry = bitcask_shard_find(shard, item->hash, item->key);
    item->moved = entry != NULL && is_live(entry) && entry->sequence == item->sequence;
    if (item->moved) {
        load_place(entry, &item->before);
        bitcask_keydir_remove(keydir, shard_index, entry);
    }
    (void)pthread_mutex_unlock(&shard->writer);
}
