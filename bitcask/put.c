/* SPDX-License-Identifier: MIT */
/*
 * The writing verbs: check, reserve memory in the keydir, append, show it in the
 * keydir, and in the durable mode wait for a sync that others share.
 *
 * The writer mutex of the key's shard is held through all of it, so that what has to
 * be taken back when a sync fails is what this writer showed. Readers do not take it,
 * and writers of other shards share the sync.
 */
#include "bitcask/cask.h"
#include "bitcask/check.h"
#include "bitcask/status.h"

/*
 * The checks of a value up to this are computed while the memory of the keydir is
 * fetched, with the writer mutex held; those of a larger one, which take longer, before.
 */
enum {
    SMALL_SIZE_MAX = 4096
};

/* A key while it is written; its shard's writer mutex is held from begin to end. */
struct change {
    struct bitcask *cask;
    struct bitcask_pending pending;
    uint64_t hash;
    unsigned shard;
    struct bitcask_keydir_entry *entry; /* NULL: it is gone */
    bool existed;
    struct bitcask_place before; /* where it was, if it existed */
};

static void begin(struct change *change, struct bitcask *cask,
                  enum bitcask_record_kind kind, struct bitcask_slice key,
                  struct bitcask_slice value, uint64_t expiry_ms)
{
    bool small = value.size <= SMALL_SIZE_MAX;

    change->cask = cask;
    change->hash = bitcask_keydir_hash(cask->keydir, key);
    change->shard = bitcask_keydir_shard(change->hash);
    if (!small)
        bitcask_pending_init(&change->pending, kind, key, value, expiry_ms);
    bitcask_keydir_write_lock(cask->keydir, change->shard);
    if (!small)
        return;
    bitcask_keydir_prefetch(cask->keydir, change->hash);
    bitcask_pending_init(&change->pending, kind, key, value, expiry_ms);
    bitcask_keydir_prefetch_entry(cask->keydir, change->hash);
}

static void end(struct change *change)
{
    bitcask_keydir_write_unlock(change->cask->keydir, change->shard);
}

/*
 * Let the keydir show what was appended. A key that is deleted keeps its memory until
 * nothing can fail any more: where a sync is waited for, that is later.
 */
static void show(struct change *change)
{
    struct bitcask *cask = change->cask;
    size_t key_size = change->pending.key.size;

    if (change->pending.record.kind == BITCASK_RECORD_TOMBSTONE) {
        if (cask->options.sync == BITCASK_SYNC_ALWAYS) {
            bitcask_keydir_hide(cask->keydir, change->shard, change->entry);
        } else {
            bitcask_keydir_remove(cask->keydir, change->shard, change->entry);
            change->entry = NULL;
        }
    } else {
        struct bitcask_place place = bitcask_pending_place(&change->pending);

        bitcask_cask_count_live(cask, &place, key_size);
        bitcask_keydir_set(cask->keydir, change->shard, change->entry, &place);
    }
    if (change->existed)
        bitcask_cask_count_dead(cask, &change->before, key_size);
}

/* The opposite of show(). */
static void take_back(struct change *change)
{
    struct bitcask *cask = change->cask;
    size_t key_size = change->pending.key.size;

    if (change->existed) {
        bitcask_cask_count_live(cask, &change->before, key_size);
        bitcask_keydir_set(cask->keydir, change->shard, change->entry, &change->before);
    } else {
        bitcask_keydir_hide(cask->keydir, change->shard, change->entry);
    }
    if (change->pending.record.kind == BITCASK_RECORD_PUT) {
        struct bitcask_place place = bitcask_pending_place(&change->pending);

        bitcask_cask_count_dead(cask, &place, key_size);
    }
}

/*
 * Append, show, and wait until it is as durable as it must be. If that fails the write
 * has failed, though its record may be on disk, and the running store goes back to what
 * it was. Nobody else can have written the key meanwhile.
 */
static enum bitcask_status append(struct change *change)
{
    struct bitcask *cask = change->cask;
    enum bitcask_status status = bitcask_commit_append(&cask->commit, &change->pending);

    if (status == BITCASK_OK) {
        show(change);
        status = bitcask_cask_end_write(cask, change->pending.sequence);
        if (status != BITCASK_OK)
            take_back(change);
    }
    if (change->entry != NULL)
        bitcask_keydir_cancel(cask->keydir, change->shard, change->entry);
    return status;
}

static enum bitcask_status put(struct bitcask *cask, struct bitcask_slice key,
                               struct bitcask_slice value, uint64_t expiry_ms)
{
    struct change change;
    enum bitcask_status status;

    begin(&change, cask, BITCASK_RECORD_PUT, key, value, expiry_ms);
    status = bitcask_keydir_reserve_alone(cask->keydir, change.hash, key, &change.entry,
                                          &change.before);
    change.existed = status == BITCASK_OK;
    if (status == BITCASK_OK || status == BITCASK_NOT_FOUND)
        status = append(&change);
    end(&change);
    return status;
}

enum bitcask_status bitcask_put(struct bitcask *cask, struct bitcask_slice key,
                                struct bitcask_slice value)
{
    return bitcask_put_expiring(cask, key, value, 0);
}

enum bitcask_status bitcask_put_expiring(struct bitcask *cask, struct bitcask_slice key,
                                         struct bitcask_slice value, uint64_t expiry_ms)
{
    enum bitcask_status status = bitcask_cask_begin_write(cask);

    if (status == BITCASK_OK)
        status = bitcask_check_key(key);
    if (status == BITCASK_OK)
        status = bitcask_check_value(value);
    return status == BITCASK_OK ? put(cask, key, value, expiry_ms) : status;
}

/*
 * "It was not there" is an answer as well. It may rest on somebody's tombstone that is
 * not synced yet, so in the durable mode it waits like any other.
 */
static enum bitcask_status answer_absent(struct bitcask *cask)
{
    enum bitcask_status status = BITCASK_OK;

    if (cask->options.sync == BITCASK_SYNC_ALWAYS)
        status = bitcask_commit_sync(&cask->commit);
    return status == BITCASK_OK ? bitcask_fail_no_such_key() : status;
}

/* Whether the record at @place, of @key, is there but has expired. */
static bool has_expired(struct bitcask *cask, struct bitcask_slice key,
                        const struct bitcask_place *place)
{
    return (place->flags & BITCASK_PLACE_EXPIRES) != 0 &&
           bitcask_cask_read(cask, key, place, NULL) == BITCASK_NOT_FOUND;
}

enum bitcask_status bitcask_delete(struct bitcask *cask, struct bitcask_slice key)
{
    const struct bitcask_slice no_value = { NULL, 0 };
    struct change change;
    enum bitcask_status status = bitcask_cask_begin_write(cask);

    if (status == BITCASK_OK)
        status = bitcask_check_key(key);
    if (status != BITCASK_OK)
        return status;

    begin(&change, cask, BITCASK_RECORD_TOMBSTONE, key, no_value, 0);
    change.existed = true;
    status = bitcask_keydir_reserve(cask->keydir, change.hash, key, false, &change.entry,
                                    &change.before);
    if (status == BITCASK_OK && has_expired(cask, key, &change.before))
        status = BITCASK_NOT_FOUND; /* as good as deleted */
    if (status == BITCASK_OK)
        status = append(&change);
    end(&change);
    return status == BITCASK_NOT_FOUND ? answer_absent(cask) : status;
}

enum bitcask_status bitcask_sync(struct bitcask *cask)
{
    enum bitcask_status status = bitcask_cask_check(cask);

    if (status != BITCASK_OK || cask->options.read_only)
        return status;
    return bitcask_commit_sync(&cask->commit);
}
