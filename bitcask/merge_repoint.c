/* SPDX-License-Identifier: MIT */
/*
 * After the switch: the outputs are read through once more, and the keydir is pointed to
 * them wherever it still points to what was copied.
 */
#include <stdlib.h>

#include "bitcask/buffer.h"
#include "bitcask/data_file.h"
#include "bitcask/merge_inside.h"

/* Bytes of keys in a batch. */
enum {
    KEYS_SIZE = 256 << 10
};

/* A record in the segment of number @index has died, or @count of them, of @size. */
static void subtract(struct bitcask *cask, uint32_t index, uint64_t count, uint64_t size)
{
    struct bitcask_segment *segment = bitcask_segments_get(&cask->segments, index);

    atomic_fetch_sub_explicit(&segment->live_size, size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&segment->live_count, count, memory_order_relaxed);
}

/*
 * What was moved is dead where it was; what was not has died where it was copied to. They
 * come one input after the other.
 */
static void count_dead(struct bitcask_merge_copier *copier)
{
    uint32_t index = 0;
    uint64_t count = 0;
    uint64_t size = 0;

    for (size_t i = 0; i < copier->count; i++) {
        const struct bitcask_merge_item *item = &copier->items[i].at;
        const struct bitcask_place *place = item->moved ? &item->before : &item->place;

        if (count > 0 && place->segment != index) {
            subtract(copier->cask, index, count, size);
            count = 0;
            size = 0;
        }
        index = place->segment;
        count++;
        size += bitcask_place_record_size(place, item->key.size);
    }
    if (count > 0)
        subtract(copier->cask, index, count, size);
}

/* Move the places of the batch, and count what has died meanwhile. */
static void repoint_batch(struct bitcask_merge_copier *copier)
{
    size_t begins[BITCASK_KEYDIR_SHARD_COUNT + 1];

    for (size_t i = 0; i < copier->count; i++) { /* the buffer does not move any more */
        struct bitcask_merge_item *item = &copier->items[i].at;

        item->key.data = (const uint8_t *)copier->keys.data + (size_t)item->newest;
    }
    bitcask_merge_sort_batch(copier, begins);
    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++)
        bitcask_keydir_repoint(copier->cask->keydir, i, copier->order + begins[i],
                               begins[i + 1] - begins[i]);
    count_dead(copier);
    copier->count = 0;
    copier->keys.size = 0;
}

/* Put a put of @output into the batch. item->newest is where its key is kept. */
static enum bitcask_status add_to_batch(struct bitcask_merge_copier *copier,
                                        const struct bitcask_segment *output,
                                        const struct bitcask_hint_entry *entry)
{
    struct bitcask_merge_item *item = &copier->items[copier->count].at;
    enum bitcask_status status;

    item->newest = copier->keys.size;
    item->key = entry->key;
    item->hash = bitcask_keydir_hash(copier->cask->keydir, entry->key);
    item->sequence = entry->sequence;
    item->place = (struct bitcask_place){
        .sequence = entry->sequence,
        .offset = entry->offset,
        .segment = output->index,
        .value_size = entry->value_size,
        .flags = (entry->flags & BITCASK_RECORD_EXPIRES) != 0 ? BITCASK_PLACE_EXPIRES : 0,
    };
    status = bitcask_buffer_append(&copier->keys, entry->key.data, entry->key.size);
    if (status != BITCASK_OK)
        return status;
    if (++copier->count == BITCASK_MERGE_BATCH_COUNT || copier->keys.size >= KEYS_SIZE)
        repoint_batch(copier);
    return BITCASK_OK;
}

/*
 * By the hint, which is quicker. *usable: there is one, and it speaks for all of the
 * output. All of it was verified before the first entry is used: what fails afterwards
 * fails for good, since nothing may be counted twice.
 */
static enum bitcask_status repoint_by_hint(struct bitcask_merge_copier *copier,
                                           const struct bitcask_segment *output,
                                           bool *usable)
{
    struct bitcask_buffer window = { 0 };
    struct bitcask_hint_entry entry;
    struct bitcask_hint hint;
    enum bitcask_status status = bitcask_hint_open(
        &hint, copier->io, copier->cask->directory, output->id, output->salt, &window);

    *usable =
        status == BITCASK_OK && hint.trailer.data_size == atomic_load(&output->data_size);
    while (*usable && status == BITCASK_OK) {
        status = bitcask_hint_next(&hint, &entry);
        if (status == BITCASK_OK && entry.kind == BITCASK_RECORD_PUT)
            status = add_to_batch(copier, output, &entry);
    }
    bitcask_hint_close(&hint);
    bitcask_buffer_release(&window);
    return !*usable || status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

/* Open the data file of @segment. It is there: if it is not that is damage. */
static enum bitcask_status open_data(struct bitcask *cask,
                                     const struct bitcask_segment *segment,
                                     bitcask_file *file)
{
    uint64_t size;
    bool torn;
    enum bitcask_status status =
        bitcask_data_file_open(cask->io, cask->directory, segment->id, segment->salt,
                               BITCASK_IO_READ, file, &size, &torn);

    return status == BITCASK_NOT_FOUND ? BITCASK_CORRUPT : status;
}

static enum bitcask_status repoint_by_data(struct bitcask_merge_copier *copier,
                                           const struct bitcask_segment *output)
{
    struct bitcask_io *io = copier->io;
    struct bitcask_walk_record record;
    struct bitcask_walk walk = { 0 };
    bitcask_file file = BITCASK_NO_FILE;
    enum bitcask_status status = open_data(copier->cask, output, &file);

    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, io, file, output->id, output->salt,
                                   atomic_load(&output->data_size));
    while (status == BITCASK_OK) {
        status = bitcask_walk_next(&walk, &record);
        if (status == BITCASK_OK && record.header.kind == BITCASK_RECORD_PUT) {
            struct bitcask_hint_entry entry = {
                .flags = record.header.flags,
                .value_size = record.header.value_size,
                .offset = record.offset,
                .sequence = record.header.sequence,
                .key = record.key,
            };

            status = add_to_batch(copier, output, &entry);
        }
    }
    bitcask_walk_release(&walk);
    if (file != BITCASK_NO_FILE)
        io->close(io, file);
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

enum bitcask_status bitcask_merge_repoint(struct bitcask_merge_copier *copier,
                                          struct bitcask_segment *output)
{
    bool usable = false;
    enum bitcask_status status = BITCASK_OK;

    copier->count = 0;
    copier->keys.size = 0;
    if (atomic_load(&output->hint_size) > 0)
        status = repoint_by_hint(copier, output, &usable);
    if (status == BITCASK_OK && !usable)
        status = repoint_by_data(copier, output);
    repoint_batch(copier);
    return status;
}

enum bitcask_status bitcask_merge_count_kept(struct bitcask_merge_run *run,
                                             struct bitcask_plan_file *file,
                                             uint64_t horizon)
{
    struct bitcask *cask = run->cask;
    struct bitcask_walk_record record;
    struct bitcask_walk walk = { 0 };
    bitcask_file data = BITCASK_NO_FILE;
    enum bitcask_status status = open_data(cask, file->segment, &data);

    file->kept_size = 0;
    file->kept_count = 0;
    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, cask->io, data, file->id, file->segment->salt,
                                   file->data_size);
    while (status == BITCASK_OK) {
        struct bitcask_merge_item item;
        struct bitcask_merge_item *order = &item;

        status = bitcask_walk_next(&walk, &record);
        if (status != BITCASK_OK || record.header.kind != BITCASK_RECORD_TOMBSTONE ||
            record.header.sequence <= horizon)
            continue;
        item.key = record.key;
        item.hash = bitcask_keydir_hash(cask->keydir, record.key);
        item.sequence = record.header.sequence;
        item.wants_newest = true;
        bitcask_keydir_look(cask->keydir, bitcask_keydir_shard(item.hash), &order, 1);
        if (item.newest > item.sequence)
            continue;
        file->kept_size += bitcask_record_size(&record.header);
        file->kept_count++;
    }
    bitcask_walk_release(&walk);
    if (data != BITCASK_NO_FILE)
        cask->io->close(cask->io, data);
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}
