/* SPDX-License-Identifier: MIT */
#include "bitcask/cask.h"

#include <pthread.h>

#include "bitcask/file_name.h"
#include "bitcask/status.h"

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static _Atomic unsigned long fork_count;

static void count_fork(void)
{
    atomic_fetch_add(&fork_count, 1);
}

static void watch_forks(void)
{
    /* Out of memory here only means that a misuse is not found out. */
    (void)pthread_atfork(NULL, NULL, count_fork);
}

unsigned long bitcask_fork_count(void)
{
    (void)pthread_once(&fork_once, watch_forks);
    return atomic_load_explicit(&fork_count, memory_order_relaxed);
}

enum bitcask_status bitcask_cask_check(const struct bitcask *cask)
{
    if (cask == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the cask is NULL");
    if (cask->fork_count != atomic_load_explicit(&fork_count, memory_order_relaxed))
        return bitcask_fail_constant(BITCASK_MISUSE,
                                     "this process was forked after the cask was opened: "
                                     "open it again here, once the parent has closed it");
    return BITCASK_OK;
}

uint64_t bitcask_place_record_size(const struct bitcask_place *place, size_t key_size)
{
    uint64_t prefix_size = (place->flags & BITCASK_PLACE_EXPIRES) != 0
                               ? BITCASK_RECORD_PREFIX_MAX
                               : BITCASK_RECORD_HEADER_SIZE;

    return prefix_size + key_size + place->value_size;
}

void bitcask_cask_count_live(struct bitcask *cask, const struct bitcask_place *place,
                             size_t key_size)
{
    struct bitcask_segment *segment =
        bitcask_segments_get(&cask->segments, place->segment);

    atomic_fetch_add_explicit(&segment->live_size,
                              bitcask_place_record_size(place, key_size),
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&segment->live_count, 1, memory_order_relaxed);
}

void bitcask_cask_count_dead(struct bitcask *cask, const struct bitcask_place *place,
                             size_t key_size)
{
    struct bitcask_segment *segment =
        bitcask_segments_get(&cask->segments, place->segment);

    atomic_fetch_sub_explicit(&segment->live_size,
                              bitcask_place_record_size(place, key_size),
                              memory_order_relaxed);
    atomic_fetch_sub_explicit(&segment->live_count, 1, memory_order_relaxed);
}

/*
 * A read-only cask could not read from @segment. If a merge of the process that writes
 * the cask has removed the file since, that is no damage: the MANIFEST says so.
 */
static enum bitcask_status explain_unread(struct bitcask *cask,
                                          const struct bitcask_segment *segment)
{
    struct bitcask_io *io = cask->io;
    struct bitcask_manifest manifest;
    char name[BITCASK_NAME_SIZE];
    bitcask_file file;
    bool listed = false;

    bitcask_data_name(name, segment->id);
    if (io->open(io, cask->directory, name, BITCASK_IO_READ, &file) == BITCASK_OK) {
        io->close(io, file);
        return BITCASK_CORRUPT;
    }
    bitcask_manifest_init(&manifest);
    if (bitcask_manifest_read(&manifest, io, cask->directory) != BITCASK_OK)
        listed = true;
    for (size_t i = 0; i < manifest.segment_count; i++) {
        const struct bitcask_manifest_segment *line = &manifest.segments[i];

        listed = listed ||
                 (line->id == segment->id && !bitcask_manifest_is_outside(line->state));
    }
    bitcask_manifest_release(&manifest);
    if (listed)
        return bitcask_fail(BITCASK_CORRUPT, "%s is gone; " BITCASK_DAMAGE_ADVICE, name);
    return bitcask_fail(BITCASK_IO,
                        "a merge has removed %s since this cask was opened: open it "
                        "again to read what it holds now",
                        name);
}

static struct bitcask_record_key record_at(struct bitcask_slice key,
                                           const struct bitcask_place *place)
{
    return (struct bitcask_record_key){
        .key = key,
        .offset = place->offset,
        .sequence = place->sequence,
        .value_size = place->value_size,
        .expires = (place->flags & BITCASK_PLACE_EXPIRES) != 0,
    };
}

enum bitcask_status bitcask_cask_read(struct bitcask *cask, struct bitcask_slice key,
                                      const struct bitcask_place *place,
                                      struct bitcask_buffer *value)
{
    struct bitcask_record_key wanted = record_at(key, place);
    struct bitcask_segment *segment =
        bitcask_segments_get(&cask->segments, place->segment);
    enum bitcask_status status =
        bitcask_segment_read(&cask->segments, segment, &wanted, value);

    if (status == BITCASK_CORRUPT && cask->options.read_only)
        status = explain_unread(cask, segment);
    return status;
}

enum bitcask_status bitcask_cask_look(struct bitcask *cask, struct bitcask_slice key,
                                      const struct bitcask_place *place,
                                      struct bitcask_segment **segment,
                                      struct bitcask_slice *value)
{
    struct bitcask_record_key wanted = record_at(key, place);
    enum bitcask_status status;

    *segment = bitcask_segments_get(&cask->segments, place->segment);
    status = bitcask_segment_look(&cask->segments, *segment, &wanted, value);
    if (status == BITCASK_CORRUPT && cask->options.read_only)
        status = explain_unread(cask, *segment);
    return status;
}

bool bitcask_cask_copy_mapped(struct bitcask *cask, struct bitcask_slice key,
                              const struct bitcask_place *place, uint8_t *value)
{
    struct bitcask_record_key wanted = record_at(key, place);

    return bitcask_segment_copy_mapped(
        bitcask_segments_get(&cask->segments, place->segment), &wanted, value);
}

enum bitcask_status bitcask_cask_begin_write(struct bitcask *cask)
{
    enum bitcask_status status = bitcask_cask_check(cask);

    if (status != BITCASK_OK)
        return status;
    if (cask->options.read_only)
        return bitcask_fail_constant(BITCASK_READ_ONLY, "the cask was opened read-only");
    status = bitcask_commit_check(&cask->commit);
    if (status == BITCASK_OK && cask->options.sync == BITCASK_SYNC_INTERVAL &&
        !cask->background.syncs)
        status =
            bitcask_commit_sync_if_due(&cask->commit, cask->options.sync_interval_ms);
    return status;
}

enum bitcask_status bitcask_cask_end_write(struct bitcask *cask, uint64_t sequence)
{
    if (cask->options.sync == BITCASK_SYNC_ALWAYS)
        return bitcask_commit_wait(&cask->commit, sequence);
    return BITCASK_OK;
}

struct bitcask_place bitcask_pending_place(const struct bitcask_pending *pending)
{
    struct bitcask_place place = {
        .sequence = pending->sequence,
        .offset = pending->offset,
        .segment = pending->segment->index,
        .value_size = pending->record.value_size,
    };

    if ((pending->record.flags & BITCASK_RECORD_EXPIRES) != 0)
        place.flags = BITCASK_PLACE_EXPIRES;
    return place;
}
