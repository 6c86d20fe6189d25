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
    for (size_t i = 0; i < copier->count; i++) {
        const struct bitcask_merge_item *item = &copier->items[i].at;

        bitcask_cask_count_dead(copier->cask, item->moved ? &item->before : &item->place,
                                item->key.size);
    }
    copier->count = 0;
    copier->keys.size = 0;
}

/* Put a record of @output into the batch. item->newest is where its key is kept. */
static enum bitcask_status add_to_batch(struct bitcask_merge_copier *copier,
                                        const struct bitcask_segment *output,
                                        const struct bitcask_walk_record *record)
{
    struct bitcask_merge_item *item = &copier->items[copier->count].at;
    enum bitcask_status status;

    item->newest = copier->keys.size;
    item->key = record->key;
    item->hash = bitcask_keydir_hash(copier->cask->keydir, record->key);
    item->sequence = record->header.sequence;
    item->place = (struct bitcask_place){
        .sequence = record->header.sequence,
        .offset = record->offset,
        .segment = output->index,
        .value_size = record->header.value_size,
        .flags = (record->header.flags & BITCASK_RECORD_EXPIRES) != 0
                     ? BITCASK_PLACE_EXPIRES
                     : 0,
    };
    status = bitcask_buffer_append(&copier->keys, record->key.data, record->key.size);
    if (status == BITCASK_OK)
        copier->count++;
    return status;
}

enum bitcask_status bitcask_merge_repoint(struct bitcask_merge_copier *copier,
                                          struct bitcask_segment *output)
{
    struct bitcask_io *io = copier->io;
    struct bitcask_walk_record record;
    struct bitcask_walk walk = { 0 };
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t file_size;
    bool torn;
    enum bitcask_status status =
        bitcask_data_file_open(io, copier->cask->directory, output->id, output->salt,
                               BITCASK_IO_READ, &file, &file_size, &torn);

    copier->count = 0;
    copier->keys.size = 0;
    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, io, file, output->id, output->salt,
                                   atomic_load(&output->data_size));
    while (status == BITCASK_OK) {
        status = bitcask_walk_next(&walk, &record);
        if (status == BITCASK_OK && record.header.kind == BITCASK_RECORD_PUT)
            status = add_to_batch(copier, output, &record);
        if (copier->count == BITCASK_MERGE_BATCH_COUNT || copier->keys.size >= KEYS_SIZE)
            repoint_batch(copier);
    }
    repoint_batch(copier);
    bitcask_walk_release(&walk);
    if (file != BITCASK_NO_FILE)
        io->close(io, file);
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

enum bitcask_status bitcask_merge_count_kept(struct bitcask_merge_run *run,
                                             struct bitcask_segment *input,
                                             uint64_t horizon, uint64_t *size,
                                             uint64_t *count)
{
    struct bitcask *cask = run->cask;
    struct bitcask_io *io = cask->io;
    struct bitcask_walk_record record;
    struct bitcask_walk walk = { 0 };
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t file_size;
    bool torn;
    enum bitcask_status status =
        bitcask_data_file_open(io, cask->directory, input->id, input->salt,
                               BITCASK_IO_READ, &file, &file_size, &torn);

    *size = 0;
    *count = 0;
    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, io, file, input->id, input->salt,
                                   atomic_load(&input->data_size));
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
        bitcask_keydir_look(cask->keydir, bitcask_keydir_shard(item.hash), &order, 1);
        if (item.newest > item.sequence)
            continue;
        *size += bitcask_record_size(&record.header);
        (*count)++;
    }
    bitcask_walk_release(&walk);
    if (file != BITCASK_NO_FILE)
        io->close(io, file);
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}
