/* SPDX-License-Identifier: MIT */
/*
 * Several puts and deletes as one record. Internal until batches become public; here
 * from the first day so that the format, recovery and hints know them.
 */
#include <stdlib.h>

#include "bitcask/cask.h"
#include "bitcask/check.h"
#include "bitcask/status.h"

/* What the batch holds while it is being written. */
struct batch {
    struct bitcask *cask;
    struct bitcask_pending *pending;
    struct bitcask_place *before; /* where the key of each part was, if it was */
    bool *existed;
    uint64_t *hashes;
    bool locked[BITCASK_KEYDIR_SHARD_COUNT];
    size_t count;
};

static enum bitcask_status check_parts(const struct bitcask_batch_part *parts,
                                       size_t count)
{
    enum bitcask_status status = BITCASK_OK;

    if (parts == NULL || count == 0)
        return bitcask_fail_constant(BITCASK_MISUSE, "the batch is empty");
    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        status = bitcask_check_key(parts[i].key);
        if (status == BITCASK_OK && !parts[i].deletes)
            status = bitcask_check_value(parts[i].value);
    }
    return status;
}

static void prepare(struct batch *batch, const struct bitcask_batch_part *parts)
{
    const struct bitcask_slice no_value = { NULL, 0 };

    for (size_t i = 0; i < batch->count; i++) {
        bool deletes = parts[i].deletes;

        bitcask_pending_init(&batch->pending[i],
                             deletes ? BITCASK_RECORD_TOMBSTONE : BITCASK_RECORD_PUT,
                             parts[i].key, deletes ? no_value : parts[i].value,
                             deletes ? 0 : parts[i].expiry_ms);
        batch->hashes[i] = bitcask_keydir_hash(batch->cask->keydir, parts[i].key);
        batch->locked[bitcask_keydir_shard(batch->hashes[i])] = true;
    }
}

static void lock_shards(struct batch *batch)
{
    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        if (batch->locked[i])
            bitcask_keydir_write_lock(batch->cask->keydir, i);
    }
}

static void unlock_shards(struct batch *batch)
{
    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        if (batch->locked[i])
            bitcask_keydir_write_unlock(batch->cask->keydir, i);
    }
}

/* Find the entry of part @i as it is now. */
static enum bitcask_status find(struct batch *batch, size_t i, bool create,
                                struct bitcask_keydir_entry **entry,
                                struct bitcask_place *place)
{
    return bitcask_keydir_reserve(batch->cask->keydir, batch->hashes[i],
                                  batch->pending[i].key, create, entry, place);
}

static enum bitcask_status reserve_entries(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct bitcask_keydir_entry *entry;
        struct bitcask_place place;

        if (batch->pending[i].record.kind == BITCASK_RECORD_PUT &&
            find(batch, i, true, &entry, &place) == BITCASK_NO_MEMORY)
            return BITCASK_NO_MEMORY;
    }
    return BITCASK_OK;
}

/*
 * Show the parts in order. A key that is deleted keeps its memory until the end, since
 * a later part may put it again, and by now nothing may fail.
 */
static void show_parts(struct batch *batch)
{
    struct bitcask *cask = batch->cask;

    for (size_t i = 0; i < batch->count; i++) {
        const struct bitcask_pending *pending = &batch->pending[i];
        unsigned shard = bitcask_keydir_shard(batch->hashes[i]);
        struct bitcask_place *before = &batch->before[i];
        struct bitcask_keydir_entry *entry;
        struct bitcask_place place;
        bool existed = find(batch, i, false, &entry, before) == BITCASK_OK;

        batch->existed[i] = existed;
        if (pending->record.kind == BITCASK_RECORD_PUT) {
            place = bitcask_pending_place(pending);
            bitcask_cask_count_live(cask, &place, pending->key.size);
            bitcask_keydir_set(cask->keydir, shard, entry, &place);
        } else if (existed) {
            bitcask_keydir_hide(cask->keydir, shard, entry);
        }
        if (existed)
            bitcask_cask_count_dead(cask, before, pending->key.size);
    }
}

/* Free the entries that readers do not see: of deleted keys, or after a failure. */
static void free_hidden(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct bitcask_keydir_entry *entry;
        struct bitcask_place place;

        if (find(batch, i, false, &entry, &place) == BITCASK_NOT_FOUND && entry != NULL)
            bitcask_keydir_cancel(batch->cask->keydir,
                                  bitcask_keydir_shard(batch->hashes[i]), entry);
    }
}

/* The opposite of show_parts(), from the last part to the first. */
static void take_back_parts(struct batch *batch)
{
    struct bitcask *cask = batch->cask;

    for (size_t i = batch->count; i-- > 0;) {
        const struct bitcask_pending *pending = &batch->pending[i];
        unsigned shard = bitcask_keydir_shard(batch->hashes[i]);
        struct bitcask_keydir_entry *entry;
        struct bitcask_place place;

        (void)find(batch, i, false, &entry, &place);
        if (batch->existed[i]) {
            bitcask_cask_count_live(cask, &batch->before[i], pending->key.size);
            bitcask_keydir_set(cask->keydir, shard, entry, &batch->before[i]);
        } else if (entry != NULL) {
            bitcask_keydir_hide(cask->keydir, shard, entry);
        }
        if (pending->record.kind == BITCASK_RECORD_PUT) {
            place = bitcask_pending_place(pending);
            bitcask_cask_count_dead(cask, &place, pending->key.size);
        }
    }
}

/* With everything locked and reserved: append, show, and make it durable. */
static enum bitcask_status append(struct batch *batch)
{
    struct bitcask *cask = batch->cask;
    const struct bitcask_pending *last = &batch->pending[batch->count - 1];
    enum bitcask_status status =
        bitcask_commit_append_batch(&cask->commit, batch->pending, batch->count);

    if (status != BITCASK_OK)
        return status;
    show_parts(batch);
    status = bitcask_cask_end_write(cask, last->sequence);
    if (status != BITCASK_OK)
        take_back_parts(batch);
    return status;
}

enum bitcask_status bitcask_write_batch(struct bitcask *cask,
                                        const struct bitcask_batch_part *parts,
                                        size_t count)
{
    struct batch batch = { .cask = cask, .count = count };
    enum bitcask_status status = bitcask_cask_begin_write(cask);

    if (status == BITCASK_OK)
        status = check_parts(parts, count);
    if (status != BITCASK_OK)
        return status;

    batch.pending = calloc(count, sizeof *batch.pending);
    batch.before = calloc(count, sizeof *batch.before);
    batch.existed = calloc(count, sizeof *batch.existed);
    batch.hashes = calloc(count, sizeof *batch.hashes);
    if (batch.pending == NULL || batch.before == NULL || batch.existed == NULL ||
        batch.hashes == NULL) {
        status = bitcask_fail_memory(count * sizeof *batch.pending);
        goto out;
    }
    prepare(&batch, parts);

    lock_shards(&batch);
    status = reserve_entries(&batch);
    if (status == BITCASK_OK)
        status = append(&batch);
    free_hidden(&batch);
    unlock_shards(&batch);

out:
    free(batch.hashes);
    free(batch.existed);
    free(batch.before);
    free(batch.pending);
    return status;
}
