/* SPDX-License-Identifier: MIT */
/*
 * The reading verbs: one look-up under the shard's read lock, then one read, for which
 * a pin instead of the lock keeps the segment where it is.
 */
#include "bitcask/cask.h"
#include "bitcask/check.h"
#include "bitcask/inspect.h"
#include "bitcask/status.h"

/*
 * Look @key up, and pin its place. With @reads its record is asked for at once, so that
 * it is on its way while the lock is given up.
 */
static enum bitcask_status find(struct bitcask *cask, struct bitcask_slice key,
                                bool reads, struct bitcask_place *place,
                                struct bitcask_pin *pin)
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
    if (found) {
        if (reads)
            bitcask_segments_prefetch(&cask->segments, place->segment, place->offset,
                                      bitcask_place_record_size(place, key.size));
        *pin = bitcask_keydir_pin(cask->keydir, shard);
    }
    bitcask_keydir_read_unlock(cask->keydir, shard);
    return found ? BITCASK_OK : bitcask_fail_no_such_key();
}

enum bitcask_status bitcask_cask_find(struct bitcask *cask, struct bitcask_slice key,
                                      struct bitcask_place *place,
                                      struct bitcask_pin *pin)
{
    return find(cask, key, true, place, pin);
}

enum bitcask_status bitcask_get(struct bitcask *cask, struct bitcask_slice key,
                                struct bitcask_buffer *value)
{
    struct bitcask_place place;
    struct bitcask_pin pin;
    enum bitcask_status status;

    if (value == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the buffer for the value is NULL");
    status = bitcask_cask_find(cask, key, &place, &pin);
    if (status == BITCASK_OK) {
        status = bitcask_cask_read(cask, key, &place, value);
        bitcask_keydir_unpin(cask->keydir, pin);
    }
    return status;
}

/* Find where the record of @key lies, @location, which may be NULL. */
static enum bitcask_status locate(struct bitcask *cask, struct bitcask_slice key,
                                  struct bitcask_location *location)
{
    struct bitcask_place place;
    struct bitcask_pin pin;
    enum bitcask_status status = find(cask, key, false, &place, &pin);

    if (status != BITCASK_OK)
        return status;
    if ((place.flags & BITCASK_PLACE_EXPIRES) != 0)
        status = bitcask_cask_read(cask, key, &place, NULL);
    if (status == BITCASK_OK && location != NULL) {
        *location = (struct bitcask_location){ 0 };
        location->segment_id = bitcask_segments_get(&cask->segments, place.segment)->id;
        location->offset = place.offset;
        location->sequence = place.sequence;
        location->value_size = place.value_size;
    }
    bitcask_keydir_unpin(cask->keydir, pin);
    return status;
}

enum bitcask_status bitcask_exists(struct bitcask *cask, struct bitcask_slice key)
{
    return locate(cask, key, NULL);
}

enum bitcask_status bitcask_locate(struct bitcask *cask, struct bitcask_slice key,
                                   struct bitcask_location *location)
{
    if (location == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE,
                                     "the place for the location is NULL");
    return locate(cask, key, location);
}
