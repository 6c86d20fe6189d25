/* SPDX-License-Identifier: MIT */
/*
 * What a merge writes: data files with their hints, one after the other, none of them
 * part of the cask before the switch.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/merge_inside.h"
#include "bitcask/status.h"

static enum bitcask_status begin_output(struct bitcask_merge_copier *copier)
{
    struct bitcask_io *io = copier->io;
    bitcask_file directory = copier->cask->directory;
    struct bitcask_file_header header = { .created_ms = io->wall_ms(io) };
    enum bitcask_status status = bitcask_merge_take_draft(copier->run, &copier->draft);

    if (status != BITCASK_OK)
        return status;
    header.segment_id = copier->draft.id;
    header.salt = copier->draft.salt;
    status = bitcask_data_file_create(io, directory, &header, &copier->file);
    if (status != BITCASK_OK) {
        copier->file = BITCASK_NO_FILE;
        return status;
    }
    memset(&copier->numbers, 0, sizeof copier->numbers);
    copier->file_size = BITCASK_FILE_HEADER_SIZE;
    copier->out_size = 0;
    /* Without a hint the next open reads the file itself. */
    copier->hinted =
        bitcask_hint_writer_init(&copier->hint, copier->draft.id, copier->draft.salt) ==
            BITCASK_OK &&
        bitcask_hint_writer_stream(&copier->hint, io, directory) == BITCASK_OK;
    return BITCASK_OK;
}

static enum bitcask_status fail_to_write(const struct bitcask_merge_copier *copier,
                                         enum bitcask_status status)
{
    return bitcask_fail_errno(status, "write %010" PRIu64 ".data", copier->draft.id);
}

/* Give what is in the writer's room on its way. */
static enum bitcask_status flush(struct bitcask_merge_copier *copier)
{
    size_t size = copier->out_size;
    enum bitcask_status status;

    if (size == 0)
        return BITCASK_OK;
    copier->out_size = 0;
    status =
        bitcask_merge_writer_put(&copier->writer, copier->file, copier->file_size, size);
    copier->file_size += size;
    copier->run->copied_size += size;
    return status == BITCASK_OK ? status : fail_to_write(copier, status);
}

static enum bitcask_status sync_output(struct bitcask_merge_copier *copier)
{
    enum bitcask_status status = bitcask_merge_writer_drain(&copier->writer);

    if (status != BITCASK_OK)
        return fail_to_write(copier, status);
    status = copier->io->sync(copier->io, copier->file);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "sync %010" PRIu64 ".data", copier->draft.id);
    return BITCASK_OK;
}

/* Close the file that is being written, and leave nothing of it. */
static void abandon_output(struct bitcask_merge_copier *copier)
{
    (void)bitcask_merge_writer_drain(&copier->writer);
    bitcask_hint_writer_release(&copier->hint);
    if (copier->file == BITCASK_NO_FILE)
        return;
    copier->io->close(copier->io, copier->file);
    copier->file = BITCASK_NO_FILE;
    if (bitcask_commit_remove_files(copier->io, copier->cask->directory,
                                    copier->draft.id) == BITCASK_OK)
        bitcask_commit_drop(&copier->cask->commit, copier->draft.id);
}

/* The output as a segment, with what was counted. */
static enum bitcask_status add_output(struct bitcask_merge_copier *copier)
{
    struct bitcask_segments *segments = &copier->cask->segments;
    const struct output_numbers *numbers = &copier->numbers;
    struct bitcask_segment *segment;
    enum bitcask_status status;

    if (copier->output_count == copier->output_capacity) {
        size_t capacity = copier->output_capacity > 0 ? 2 * copier->output_capacity : 16;
        struct bitcask_segment **grown =
            realloc(copier->outputs, capacity * sizeof(struct bitcask_segment *));

        if (grown == NULL)
            return bitcask_fail_memory(capacity * sizeof(struct bitcask_segment *));
        copier->outputs = grown;
        copier->output_capacity = capacity;
    }
    status = bitcask_segments_add_outside(segments, copier->draft.id, copier->draft.salt,
                                          copier->file, &segment);
    if (status != BITCASK_OK)
        return status;
    copier->file = BITCASK_NO_FILE;
    copier->outputs[copier->output_count++] = segment;
    segment->purged_sequence = copier->purged_sequence;
    segment->name_synced = true; /* by the switch, before it counts */
    atomic_store(&segment->data_size, copier->file_size);
    atomic_store(&segment->record_count, numbers->record_count);
    atomic_store(&segment->tombstone_count, numbers->tombstone_count);
    atomic_store(&segment->tombstone_size, numbers->tombstone_size);
    atomic_store(&segment->tombstone_first, numbers->tombstone_first);
    atomic_store(&segment->tombstone_last, numbers->tombstone_last);
    atomic_store(&segment->expires, numbers->expires);
    atomic_store(&segment->first_sequence, numbers->first_sequence);
    atomic_store(&segment->last_sequence, numbers->last_sequence);
    /* All of it, until it turns out otherwise: never less than there is. */
    atomic_store(&segment->live_size, numbers->live_size);
    atomic_store(&segment->live_count, numbers->live_count);
    atomic_store(&segment->sealed, true);
    bitcask_segment_map(segments, segment, copier->file_size);
    bitcask_segment_park(segments, segment);
    return BITCASK_OK;
}

static enum bitcask_status finish_output(struct bitcask_merge_copier *copier)
{
    enum bitcask_status status = flush(copier);
    bool hinted = copier->hinted;

    if (status == BITCASK_OK)
        status = sync_output(copier);
    if (status != BITCASK_OK)
        return status;
    if (hinted)
        hinted =
            bitcask_hint_writer_commit(&copier->hint, copier->io, copier->cask->directory,
                                       copier->draft.id, copier->file_size) == BITCASK_OK;
    bitcask_hint_writer_release(&copier->hint);
    copier->counts.output_size += copier->file_size;
    status = add_output(copier);
    if (status == BITCASK_OK && hinted) {
        struct bitcask_segment *segment = copier->outputs[copier->output_count - 1];

        atomic_store(&segment->hint_size, copier->file_size);
        atomic_store(&segment->hint_spare, true);
    }
    return status;
}

enum bitcask_status bitcask_merge_copier_finish(struct bitcask_merge_copier *copier)
{
    return copier->file != BITCASK_NO_FILE ? finish_output(copier) : BITCASK_OK;
}

void bitcask_merge_copier_discard(struct bitcask_merge_copier *copier)
{
    struct bitcask *cask = copier->cask;

    abandon_output(copier);
    for (size_t i = 0; i < copier->output_count; i++) {
        uint64_t id = copier->outputs[i]->id;

        bitcask_commit_forget(&cask->commit, copier->outputs[i]);
        if (bitcask_commit_remove_files(copier->io, cask->directory, id) == BITCASK_OK)
            bitcask_commit_drop(&cask->commit, id);
    }
    copier->output_count = 0;
}

/* An output that takes @size bytes more. */
static enum bitcask_status make_room(struct bitcask_merge_copier *copier, uint64_t size)
{
    uint64_t end = copier->file_size + copier->out_size + size;
    enum bitcask_status status = BITCASK_OK;

    if (copier->file != BITCASK_NO_FILE && end > copier->cask->options.file_size_max)
        status = finish_output(copier);
    if (status == BITCASK_OK && copier->file == BITCASK_NO_FILE)
        status = begin_output(copier);
    if (status == BITCASK_OK && copier->out_size > 0 &&
        size > BITCASK_MERGE_PIECE_SIZE - copier->out_size)
        status = flush(copier);
    return status;
}

/* Widen the range from *@first, 0 if there is none yet, to *@last by @sequence. */
static void widen(uint64_t *first, uint64_t *last, uint64_t sequence)
{
    if (*first == 0 || sequence < *first)
        *first = sequence;
    if (sequence > *last)
        *last = sequence;
}

/* Count what is about to be written as @record, and tell the hint. */
static void note_record(struct bitcask_merge_copier *copier,
                        const struct bitcask_record *record, struct bitcask_slice key)
{
    struct output_numbers *numbers = &copier->numbers;
    uint64_t size = bitcask_record_size(record);
    struct bitcask_hint_entry entry =
        bitcask_hint_entry_of(record, copier->file_size + copier->out_size, key);

    numbers->record_count++;
    if (record->kind == BITCASK_RECORD_PUT) {
        numbers->live_size += size;
        numbers->live_count++;
    } else {
        numbers->tombstone_size += size;
        numbers->tombstone_count++;
        widen(&numbers->tombstone_first, &numbers->tombstone_last, record->sequence);
    }
    if ((record->flags & BITCASK_RECORD_EXPIRES) != 0)
        numbers->expires = true;
    widen(&numbers->first_sequence, &numbers->last_sequence, record->sequence);
    copier->counts.record_out_count++;
    copier->hinted =
        copier->hinted && bitcask_hint_writer_add(&copier->hint, &entry) == BITCASK_OK;
}

/* The prefix of @record, to lie where the next one goes. Returns its size. */
static size_t encode_prefix(struct bitcask_merge_copier *copier,
                            const struct bitcask_record *record, const void *key,
                            uint8_t *bytes)
{
    uint32_t check = bitcask_record_begin(record, key, bytes);

    bitcask_record_finish(bytes, check, record->sequence, record->unsynced_count,
                          copier->draft.salt, copier->file_size + copier->out_size);
    return bitcask_record_prefix_size(record);
}

enum bitcask_status bitcask_merge_write(struct bitcask_merge_copier *copier,
                                        const struct bitcask_record *record,
                                        struct bitcask_slice key, const uint8_t *value)
{
    enum bitcask_status status = make_room(copier, bitcask_record_size(record));
    uint8_t *bytes;
    size_t size;

    if (status != BITCASK_OK)
        return status;
    bytes = bitcask_merge_writer_room(&copier->writer) + copier->out_size;
    note_record(copier, record, key);
    size = encode_prefix(copier, record, key.data, bytes);
    memcpy(bytes + size, key.data, key.size);
    size += key.size;
    if (record->value_size > 0)
        memcpy(bytes + size, value, record->value_size);
    copier->out_size += size + record->value_size;
    return BITCASK_OK;
}

enum bitcask_status bitcask_merge_write_head(struct bitcask_merge_copier *copier,
                                             const struct bitcask_record *record,
                                             struct bitcask_slice key)
{
    enum bitcask_status status = make_room(copier, bitcask_record_size(record));
    uint8_t *bytes;
    size_t size;

    if (status == BITCASK_OK)
        status = flush(copier);
    if (status != BITCASK_OK)
        return status;
    note_record(copier, record, key);
    bytes = bitcask_merge_writer_room(&copier->writer);
    size = encode_prefix(copier, record, key.data, bytes);
    memcpy(bytes + size, key.data, key.size);
    copier->out_size = size + key.size;
    return flush(copier);
}

enum bitcask_status bitcask_merge_write_piece(struct bitcask_merge_copier *copier,
                                              const uint8_t *bytes, size_t size)
{
    memcpy(bitcask_merge_writer_room(&copier->writer), bytes, size);
    copier->out_size = size;
    return flush(copier);
}
