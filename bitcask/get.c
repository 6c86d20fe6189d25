/* SPDX-License-Identifier: MIT */
/*
 * The reading verbs: one look-up under the shard's read lock, then one read. Segments
 * live as long as the cask, so the read needs no lock.
 */
#include "bitcask/cask.h"
#include "bitcask/check.h"
#include "bitcask/status.h"

static enum bitcask_status find(struct bitcask *cask, struct bitcask_slice key,
                                struct bitcask_place *place)
{
    enum bitcask_status status = bitcask_cask_check(cask);
    uint64_t hash;
    unsigned shard;
    bool found;

    if (status == BITCASK_OK)
        status = bitcask_check_key(key);
    if (status != BITCASK_OK)
        return status;

    hash = bitcask_keydir_hash(cask->keydir, key);
    shard = bitcask_keydir_shard(hash);
    bitcask_keydir_read_lock(cask->keydir, shard);
    found = bitcask_keydir_find(cask->keydir, hash, key, place);
    bitcask_keydir_read_unlock(cask->keydir, shard);
    return found ? BITCASK_OK : bitcask_fail_no_such_key();
}

enum bitcask_status bitcask_get(struct bitcask *cask, struct bitcask_slice key,
                                struct bitcask_buffer *value)
{
    struct bitcask_place place;
    enum bitcask_status status;

    if (value == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the buffer for the value is NULL");
    status = find(cask, key, &place);
    return status == BITCASK_OK ? bitcask_cask_read(cask, key, &place, value) : status;
}

enum bitcask_status bitcask_exists(struct bitcask *cask, struct bitcask_slice key)
{
    struct bitcask_place place;
    enum bitcask_status status = find(cask, key, &place);

    if (status == BITCASK_OK && (place.flags & BITCASK_PLACE_EXPIRES) != 0)
        status = bitcask_cask_read(cask, key, &place, NULL);
    return status;
}
