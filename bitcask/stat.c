/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "bitcask/cask.h"
#include "bitcask/status.h"

/*
 * Counters move while they are read. live_size is read before data_size, and what is
 * live was appended before, so that the difference is never below zero.
 */
static bool describe(struct bitcask_segment *segment, struct bitcask_segment_stat *stat)
{
    memset(stat, 0, sizeof *stat);
    if (segment == NULL || !atomic_load(&segment->member))
        return false;
    stat->id = segment->id;
    stat->live_count = atomic_load(&segment->live_count);
    stat->live_size = atomic_load(&segment->live_size);
    stat->data_size = atomic_load(&segment->data_size);
    stat->record_count = atomic_load(&segment->record_count);
    stat->tombstone_count = atomic_load(&segment->tombstone_count);
    stat->tombstone_size = atomic_load(&segment->tombstone_size);
    stat->purged_sequence = segment->purged_sequence;
    stat->first_sequence = atomic_load(&segment->first_sequence);
    stat->last_sequence = atomic_load(&segment->last_sequence);
    stat->cut_offset = segment->cut_offset;
    stat->cut_size = segment->cut_size;
    stat->sealed = atomic_load(&segment->sealed);
    if (stat->data_size == 0) /* gone in recovery */
        return false;
    if (stat->data_size - BITCASK_FILE_HEADER_SIZE > stat->live_size)
        stat->dead_size = stat->data_size - BITCASK_FILE_HEADER_SIZE - stat->live_size;
    return true;
}

enum bitcask_status bitcask_stat(struct bitcask *cask, struct bitcask_stat *stat)
{
    enum bitcask_status status = bitcask_cask_check(cask);
    uint32_t count;

    if (status != BITCASK_OK)
        return status;
    if (stat == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the place for the stat is NULL");

    memset(stat, 0, sizeof *stat);
    stat->key_count = bitcask_keydir_count(cask->keydir);
    stat->keydir_size = bitcask_keydir_size(cask->keydir);
    stat->merge_trigger_size = cask->options.merge_trigger_size;
    stat->merge_dead_percent = cask->options.merge_dead_percent;
    stat->last_sequence = cask->last_sequence;
    stat->synced_sequence = cask->synced_sequence;
    if (!cask->options.read_only) {
        bitcask_commit_sequences(&cask->commit, &stat->last_sequence,
                                 &stat->synced_sequence);
        bitcask_commit_stat(&cask->commit, stat);
    }
    stat->cut_count = cask->cut_count;
    stat->cut_size = cask->cut_size;
    stat->damage_count = atomic_load(&cask->damage_count);
    stat->recovered_size = cask->recovered_size;
    stat->hint_count = atomic_load(&cask->hint_count);
    stat->scan_count = atomic_load(&cask->scan_count);
    stat->open_ms = cask->open_ms;

    stat->merge_count = atomic_load(&cask->merges.count);
    stat->merge_copied_size = atomic_load(&cask->merges.copied_size);
    stat->merge_freed_size = atomic_load(&cask->merges.freed_size);
    stat->merge_failure = (uint64_t)atomic_load(&cask->merges.failure);

    stat->view_count = atomic_load(&cask->view_count);
    stat->held_count = bitcask_segments_count_held(&cask->segments, &stat->held_size);

    bitcask_segments_lock(&cask->segments);
    count = atomic_load(&cask->segments.count);
    for (uint32_t i = 0; i < count; i++) {
        struct bitcask_segment_stat segment;

        if (!describe(bitcask_segments_get(&cask->segments, i), &segment))
            continue;
        stat->segment_count++;
        stat->data_size += segment.data_size;
        stat->live_size += segment.live_size;
        stat->dead_size += segment.dead_size;
    }
    bitcask_segments_unlock(&cask->segments);
    return BITCASK_OK;
}

static int compare_ids(const void *left, const void *right)
{
    uint64_t a = ((const struct bitcask_segment_stat *)left)->id;
    uint64_t b = ((const struct bitcask_segment_stat *)right)->id;

    return a < b ? -1 : a > b;
}

enum bitcask_status bitcask_stat_segments(struct bitcask *cask,
                                          bitcask_segment_visit *visit, void *context)
{
    enum bitcask_status status = bitcask_cask_check(cask);
    struct bitcask_segment_stat *segments;
    size_t segment_count = 0;
    uint32_t count;

    if (status != BITCASK_OK)
        return status;
    if (visit == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the visit is NULL");

    bitcask_segments_lock(&cask->segments);
    count = atomic_load(&cask->segments.count);
    segments = calloc(count > 0 ? count : 1, sizeof *segments);
    for (uint32_t i = 0; i < count && segments != NULL; i++) {
        if (describe(bitcask_segments_get(&cask->segments, i), &segments[segment_count]))
            segment_count++;
    }
    bitcask_segments_unlock(&cask->segments);
    if (segments == NULL)
        return bitcask_fail_memory(count * sizeof *segments);
    qsort(segments, segment_count, sizeof *segments, compare_ids);
    for (size_t i = 0; i < segment_count && status == BITCASK_OK; i++)
        status = visit(&segments[i], context);
    free(segments);
    return status;
}
