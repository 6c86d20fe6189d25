/* SPDX-License-Identifier: MIT */
/*
 * Many gets at a time. What takes the time of a get is waiting for memory: the bucket,
 * the entry, the record. Here each of the three is asked for on behalf of a whole group
 * of keys before the first of them is looked at.
 */
#include <stdio.h>
#include <string.h>

#include "bitcask/cask.h"
#include "bitcask/check.h"
#include "bitcask/status.h"

/* The keys of a group that have no status yet. */
struct group {
    struct bitcask_find_item items[BITCASK_FIND_ITEMS_MAX];
    size_t indexes[BITCASK_FIND_ITEMS_MAX]; /* of the key of each item */
    size_t count;
};

/* The first key that was neither found nor absent, kept while others are read. */
struct failure {
    enum bitcask_status status; /* BITCASK_OK: there is none */
    size_t index;
    char words[BITCASK_DETAIL_SIZE];
};

static void note_failure(struct failure *failure, enum bitcask_status status,
                         size_t index)
{
    if (status == BITCASK_OK || status == BITCASK_NOT_FOUND ||
        (failure->status != BITCASK_OK && failure->index < index))
        return;
    failure->status = status;
    failure->index = index;
    (void)snprintf(failure->words, sizeof failure->words, "keys[%zu]: %s", index,
                   bitcask_error_detail());
}

/* Read what was found. */
static void read_group(struct bitcask *cask, const struct group *group,
                       struct bitcask_buffer *values, enum bitcask_status *statuses,
                       struct failure *failure)
{
    for (size_t i = 0; i < group->count; i++) {
        const struct bitcask_find_item *item = &group->items[i];
        const struct bitcask_place *place = &item->place;

        if (item->found)
            bitcask_segments_prefetch(&cask->segments, place->segment, place->offset,
                                      bitcask_place_record_size(place, item->key.size));
    }
    for (size_t i = 0; i < group->count; i++) {
        const struct bitcask_find_item *item = &group->items[i];
        size_t index = group->indexes[i];
        enum bitcask_status status = BITCASK_NOT_FOUND;

        if (item->found)
            status = bitcask_cask_read(cask, item->key, &item->place, &values[index]);
        statuses[index] = status;
        note_failure(failure, status, index);
    }
}

enum bitcask_status bitcask_multi_get(struct bitcask *cask,
                                      const struct bitcask_slice *keys, size_t count,
                                      struct bitcask_buffer *values,
                                      enum bitcask_status *statuses)
{
    enum bitcask_status status = bitcask_cask_check(cask);
    struct failure failure;
    struct group group;
    size_t next = 0;

    if (status != BITCASK_OK)
        return status;
    if (count > 0 && (keys == NULL || values == NULL || statuses == NULL))
        return bitcask_fail_constant(BITCASK_MISUSE,
                                     "the keys, the buffers for their values, or the "
                                     "place for their statuses are NULL");

    failure.status = BITCASK_OK;
    while (next < count) {
        struct bitcask_pin pin;

        group.count = 0;
        for (; next < count && group.count < BITCASK_FIND_ITEMS_MAX; next++) {
            struct bitcask_find_item *item = &group.items[group.count];

            statuses[next] = bitcask_check_key(keys[next]);
            note_failure(&failure, statuses[next], next);
            if (statuses[next] != BITCASK_OK)
                continue;
            item->key = keys[next];
            item->hash = bitcask_keydir_hash(cask->keydir, keys[next]);
            group.indexes[group.count++] = next;
        }
        if (group.count == 0)
            continue;
        pin = bitcask_keydir_find_many(cask->keydir, group.items, group.count);
        read_group(cask, &group, values, statuses, &failure);
        bitcask_keydir_unpin(cask->keydir, pin);
    }
    if (failure.status != BITCASK_OK)
        return bitcask_fail(failure.status, "%s", failure.words);
    return BITCASK_OK;
}
