/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* PTHREAD_MUTEX_ADAPTIVE_NP */
#include "bitcask/commit_inside.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/data_file.h"
#include "bitcask/status.h"

/*
 * No window before so much was appended: a program that puts a few records and ends has
 * more trouble with one than without. Small files begin sooner.
 */
enum {
    WINDOW_FROM_MAX = 16 << 10,
    WINDOW_SHARE = 8
};

/*
 * The lock is held for a tenth of a microsecond by most, and to sleep and be woken takes
 * fifty times that: who finds it taken looks again for a while first, where the system
 * has such a mutex.
 */
static bool init_lock(pthread_mutex_t *lock)
{
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
    pthread_mutexattr_t attributes;
    bool made;

    if (pthread_mutexattr_init(&attributes) != 0)
        return false;
    (void)pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    made = pthread_mutex_init(lock, &attributes) == 0;
    (void)pthread_mutexattr_destroy(&attributes);
    return made;
#else
    return pthread_mutex_init(lock, NULL) == 0;
#endif
}

static bool init_conditions(struct bitcask_commit *commit)
{
    if (pthread_cond_init(&commit->sync_done, NULL) != 0)
        return false;
    if (pthread_cond_init(&commit->synced[0], NULL) == 0) {
        if (pthread_cond_init(&commit->synced[1], NULL) == 0)
            return true;
        (void)pthread_cond_destroy(&commit->synced[0]);
    }
    (void)pthread_cond_destroy(&commit->sync_done);
    return false;
}

enum bitcask_status bitcask_commit_init(struct bitcask_commit *commit,
                                        struct bitcask_segments *segments,
                                        const struct bitcask_commit_start *start,
                                        const struct bitcask_commit_listener *listener,
                                        uint64_t file_size_max, uint64_t merge_size)
{
    memset(commit, 0, sizeof *commit);
    if (!init_lock(&commit->lock))
        goto no_lock;
    if (!init_conditions(commit)) {
        (void)pthread_mutex_destroy(&commit->lock);
        goto no_lock;
    }

    commit->io = segments->io;
    commit->directory = segments->directory;
    commit->segments = segments;
    commit->listener = *listener;
    commit->file_size_max = file_size_max;
    commit->merge_size = merge_size;
    commit->no_window = !segments->use_mapping;
    commit->window_from = file_size_max / WINDOW_SHARE < WINDOW_FROM_MAX
                              ? file_size_max / WINDOW_SHARE
                              : WINDOW_FROM_MAX;
    commit->active = start->active;
    commit->last_sequence = start->last_sequence;
    commit->synced_sequence = start->last_sequence;
    commit->sealed_sequence = start->last_sequence;
    commit->next_id = start->next_id;
    commit->salt_tag = start->salt_tag;
    commit->listed = start->active;
    /*
     * What an earlier process cut off or removed, if it then died, is so in the page
     * cache at least; whether on the disk too, nothing shows.
     */
    commit->cut_unsynced = start->active != NULL;
    commit->names_unsynced = true;
    if (start->active != NULL) {
        uint64_t first = atomic_load(&start->active->first_sequence);

        commit->synced_size = atomic_load(&start->active->data_size);
        if (first != 0)
            commit->sealed_sequence = first - 1;
    }
    commit->outside = start->outside;
    commit->outside_count = start->outside_count;
    commit->outside_capacity = start->outside_count;
    commit->manifest_stale = start->had_outside;
    bitcask_commit_measure(commit);
    bitcask_reserve_init(&commit->reserve, commit->io, commit->directory);
    return BITCASK_OK;

no_lock:
    memset(commit, 0, sizeof *commit);
    return bitcask_fail_memory(sizeof *commit);
}

static void close_windows(struct bitcask_commit *commit)
{
    bitcask_window_close(&commit->window, commit->io);
    bitcask_window_close(&commit->window_next, commit->io);
    bitcask_window_close(&commit->window_left, commit->io);
    bitcask_window_close(&commit->next_window, commit->io);
}

void bitcask_commit_release(struct bitcask_commit *commit)
{
    if (commit->io == NULL)
        return;
    close_windows(commit);
    free(commit->prepared);
    free(commit->burned);
    free(commit->outside);
    (void)pthread_cond_destroy(&commit->synced[1]);
    (void)pthread_cond_destroy(&commit->synced[0]);
    (void)pthread_cond_destroy(&commit->sync_done);
    (void)pthread_mutex_destroy(&commit->lock);
    memset(commit, 0, sizeof *commit);
}

void bitcask_commit_abandon(struct bitcask_commit *commit)
{
    if (commit->io != NULL && pthread_mutex_trylock(&commit->lock) == 0) {
        close_windows(commit);
        free(commit->prepared);
        free(commit->burned);
        free(commit->outside);
    }
}

enum bitcask_status bitcask_commit_refuse(const struct bitcask_commit *commit)
{
    if (!atomic_load_explicit(&commit->failed, memory_order_relaxed))
        return bitcask_fail_constant(BITCASK_FAILED,
                                     "what an earlier write left behind could not be cut "
                                     "off: close the cask and open it again to write; "
                                     "reading and syncing go on");
    return bitcask_fail_constant(BITCASK_FAILED,
                                 "an earlier sync failed, so what the disk holds is not "
                                 "known: close the cask and open it again to write; "
                                 "reading goes on");
}

void bitcask_commit_set_failed(struct bitcask_commit *commit)
{
    atomic_store(&commit->failed, true);
    atomic_store(&commit->closed, true);
}

enum bitcask_status bitcask_commit_check(struct bitcask_commit *commit)
{
    return atomic_load_explicit(&commit->closed, memory_order_relaxed)
               ? bitcask_commit_refuse(commit)
               : BITCASK_OK;
}

static bool must_rotate(const struct bitcask_commit *commit, uint64_t record_size)
{
    uint64_t data_size;

    if (commit->active == NULL || commit->rotate_next)
        return true;
    data_size = atomic_load(&commit->active->data_size);
    return data_size > BITCASK_FILE_HEADER_SIZE &&
           data_size + record_size > commit->file_size_max;
}

/* Whether somebody else is at what a rotation, or a sync before an append, needs. */
static bool must_wait(const struct bitcask_commit *commit, bool rotates)
{
    if (commit->syncing && (commit->cut_unsynced || !commit->helped))
        return true; /* its file must not be sealed under the sync */
    if (!rotates || commit->next != NULL)
        return rotates && commit->ended_count == BITCASK_ENDED_MAX;
    return commit->ended_count == BITCASK_ENDED_MAX || commit->next_making ||
           (commit->manifest_writing && commit->prepared_next == commit->prepared_count);
}

/*
 * With the lock held: an active segment that takes @record_size bytes, and has nothing
 * behind its end that the power could bring back. If it had, sectors of what was cut off
 * could stand between those of the records that are written over it.
 */
static enum bitcask_status make_room(struct bitcask_commit *commit, uint64_t record_size,
                                     bool reserved)
{
    bool rotates;

    while ((rotates = must_rotate(commit, record_size)) || commit->cut_unsynced) {
        enum bitcask_status status;

        if (commit->closed)
            return bitcask_commit_refuse(commit);
        if (must_wait(commit, rotates)) {
            (void)pthread_cond_wait(&commit->sync_done, &commit->lock);
            continue;
        }
        status = rotates && !(commit->helped && commit->cut_unsynced)
                     ? bitcask_commit_rotate(commit, reserved)
                     : bitcask_commit_sync_oldest(commit);
        if (status != BITCASK_OK)
            return status;
    }
    return commit->closed ? bitcask_commit_refuse(commit) : BITCASK_OK;
}

/*
 * Put @parts, of @size bytes in all, at the end of the active segment: into its window,
 * which cannot fail, or with a write. If that fails, what was written is cut off again:
 * nobody has seen it, but recovery could take a later record that is written over it for
 * its continuation.
 */
static enum bitcask_status write_parts(struct bitcask_commit *commit,
                                       const struct bitcask_slice *parts,
                                       size_t part_count, uint64_t size)
{
    struct bitcask_segment *segment = commit->active;
    uint64_t offset = atomic_load(&segment->data_size);
    struct bitcask_io *io = commit->io;
    enum bitcask_status status;

    if (size <= BITCASK_WINDOW_STORE_MAX) {
        if (!bitcask_window_has(&commit->window, offset, size))
            bitcask_commit_provide_window(commit, size);
        if (bitcask_window_has(&commit->window, offset, size)) {
            bitcask_window_store(&commit->window, io, offset, parts, part_count);
            return BITCASK_OK;
        }
    }
    status =
        bitcask_commit_uncertain(io->write(io, segment->file, offset, parts, part_count));
    if (status == BITCASK_OK)
        return BITCASK_OK;
    commit->cut_unsynced = true;
    commit->cut_count++;
    bitcask_commit_drop_windows(commit); /* the cut takes their pages */
    bitcask_fail_errno(status, "append to %010" PRIu64 ".data, offset %" PRIu64,
                       segment->id, offset);
    if (io->truncate(io, segment->file, offset) != BITCASK_OK)
        atomic_store(&commit->closed, true);
    return status;
}

static uint32_t unsynced_count(const struct bitcask_commit *commit)
{
    uint64_t count = commit->last_sequence - commit->synced_sequence;

    return count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

/* The record or batch of @size bytes, @count in sequence, is written: it counts. */
static void advance(struct bitcask_commit *commit, uint64_t size, uint64_t count)
{
    _Atomic uint64_t *data_size = &commit->active->data_size;
    bool was_synced = commit->synced_sequence == commit->last_sequence;

    uint64_t half = commit->file_size_max / 2;
    uint64_t end = atomic_load(data_size) + size;

    atomic_store_explicit(data_size, end, memory_order_release);
    if (end >= half && end - size < half)
        bitcask_commit_ask(commit);
    commit->last_sequence += count;
    commit->manifest_stale = true;
    commit->total_size += size;
    commit->appended_size += size;
    bitcask_reserve_keep(&commit->reserve, commit->total_size);
    if (commit->total_size > commit->merge_size)
        commit->listener.grown(commit->listener.context);
    if (was_synced) {
        commit->unsynced_since_ms = commit->io->monotonic_ms(commit->io);
        commit->listener.unsynced(commit->listener.context);
    }
}

void bitcask_pending_init(struct bitcask_pending *pending, enum bitcask_record_kind kind,
                          struct bitcask_slice key, struct bitcask_slice value,
                          uint64_t expiry_ms)
{
    struct bitcask_record *record = &pending->record;

    assert(key.size > 0 && key.size <= BITCASK_KEY_SIZE_MAX);
    assert(value.size <= BITCASK_VALUE_SIZE_MAX);

    memset(record, 0, sizeof *record);
    record->kind = (uint8_t)kind;
    record->key_size = (uint16_t)key.size;
    record->value_size = (uint32_t)value.size;
    record->value_check = bitcask_value_check(value.data, value.size);
    if (expiry_ms != 0) {
        record->flags = BITCASK_RECORD_EXPIRES;
        record->expiry_ms = expiry_ms;
    }
    pending->key = key;
    pending->value = value;
    pending->check = bitcask_record_begin(record, key.data, pending->prefix);
}

static enum bitcask_status append(struct bitcask_commit *commit,
                                  struct bitcask_pending *pending, bool reserved)
{
    uint64_t size = bitcask_record_size(&pending->record);
    struct bitcask_slice parts[3] = {
        { pending->prefix, bitcask_record_prefix_size(&pending->record) },
        pending->key,
        pending->value,
    };
    enum bitcask_status status = make_room(commit, size, reserved);

    if (status == BITCASK_OK) {
        pending->segment = commit->active;
        pending->offset = atomic_load(&commit->active->data_size);
        pending->sequence = commit->last_sequence + 1;
        bitcask_record_finish(pending->prefix, pending->check, pending->sequence,
                              unsynced_count(commit), commit->active->salt,
                              pending->offset);
        status = write_parts(commit, parts, 3, size);
    }
    if (status == BITCASK_OK) {
        advance(commit, size, 1);
        bitcask_segment_count_record(pending->segment, &pending->record,
                                     pending->sequence);
    }
    return status;
}

/*
 * A delete makes it possible to give space back, so it may use the reserve, and the room
 * of hints; what it leaves of that is nothing for puts.
 */
static enum bitcask_status append_tombstone(struct bitcask_commit *commit,
                                            struct bitcask_pending *pending)
{
    enum bitcask_status status = append(commit, pending, true);

    while (status == BITCASK_NO_SPACE &&
           (bitcask_reserve_use(&commit->reserve) || bitcask_commit_give_up_hint(commit)))
        status = append(commit, pending, true);
    return status;
}

bool bitcask_commit_is_tight(struct bitcask_commit *commit)
{
    bool tight;

    (void)pthread_mutex_lock(&commit->lock);
    tight = commit->reserve.used;
    (void)pthread_mutex_unlock(&commit->lock);
    return tight;
}

enum bitcask_status bitcask_commit_append(struct bitcask_commit *commit,
                                          struct bitcask_pending *pending)
{
    enum bitcask_status status;

    (void)pthread_mutex_lock(&commit->lock);
    if (pending->record.kind == BITCASK_RECORD_TOMBSTONE) {
        status = append_tombstone(commit, pending);
    } else {
        status = bitcask_reserve_restore(&commit->reserve);
        if (status == BITCASK_OK)
            status = append(commit, pending, false);
    }
    (void)pthread_mutex_unlock(&commit->lock);
    return status;
}

/* Put the parts together as they will lie behind the header of their batch. */
static enum bitcask_status gather_parts(struct bitcask_buffer *payload,
                                        struct bitcask_pending *parts, size_t count)
{
    uint64_t size = 0;
    enum bitcask_status status;

    for (size_t i = 0; i < count; i++) {
        size += bitcask_record_size(&parts[i].record);
        if (size > UINT32_MAX)
            return bitcask_fail(BITCASK_TOO_BIG, "a batch of more than 4 GiB");
    }
    status = bitcask_buffer_reserve(payload, (size_t)size);
    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        status = bitcask_buffer_append(payload, parts[i].prefix,
                                       bitcask_record_prefix_size(&parts[i].record));
        if (status == BITCASK_OK)
            status = bitcask_buffer_append(payload, parts[i].key.data, parts[i].key.size);
        if (status == BITCASK_OK)
            status =
                bitcask_buffer_append(payload, parts[i].value.data, parts[i].value.size);
    }
    return status;
}

/* Now that the place of the batch is known, so are those of its parts. */
static void finish_parts(const struct bitcask_commit *commit,
                         struct bitcask_buffer *payload, struct bitcask_pending *parts,
                         size_t count)
{
    uint8_t *bytes = payload->data;
    uint64_t offset =
        atomic_load(&commit->active->data_size) + BITCASK_RECORD_HEADER_SIZE;
    uint64_t unsynced = commit->last_sequence - commit->synced_sequence;

    for (size_t i = 0; i < count; i++) {
        uint64_t size = bitcask_record_size(&parts[i].record);
        uint64_t part_unsynced = unsynced + i; /* its elder brothers are not either */

        parts[i].segment = commit->active;
        parts[i].offset = offset;
        parts[i].sequence = commit->last_sequence + 1 + i;
        bitcask_record_finish(bytes, parts[i].check, parts[i].sequence,
                              part_unsynced > UINT32_MAX ? UINT32_MAX
                                                         : (uint32_t)part_unsynced,
                              commit->active->salt, offset);
        bytes += size;
        offset += size;
    }
}

static enum bitcask_status write_batch(struct bitcask_commit *commit,
                                       struct bitcask_buffer *payload,
                                       struct bitcask_pending *parts, size_t count)
{
    struct bitcask_record batch = {
        .kind = BITCASK_RECORD_BATCH,
        .value_size = (uint32_t)payload->size,
    };
    uint8_t prefix[BITCASK_RECORD_PREFIX_MAX];
    struct bitcask_slice slices[2] = {
        { prefix, BITCASK_RECORD_HEADER_SIZE },
        { payload->data, payload->size },
    };
    uint32_t check;
    enum bitcask_status status;

    finish_parts(commit, payload, parts, count);
    batch.value_check = bitcask_value_check(payload->data, payload->size);
    check = bitcask_record_begin(&batch, NULL, prefix);
    bitcask_record_finish(prefix, check, commit->last_sequence + 1,
                          unsynced_count(commit), commit->active->salt,
                          atomic_load(&commit->active->data_size));

    status = write_parts(commit, slices, 2, BITCASK_RECORD_HEADER_SIZE + payload->size);
    if (status != BITCASK_OK) {
        /* Whole parts may lie there, and could pass for records if the cut is lost. */
        commit->rotate_next = true;
        return status;
    }
    advance(commit, BITCASK_RECORD_HEADER_SIZE + payload->size, count);
    for (size_t i = 0; i < count; i++)
        bitcask_segment_count_record(commit->active, &parts[i].record, parts[i].sequence);
    return BITCASK_OK;
}

enum bitcask_status bitcask_commit_append_batch(struct bitcask_commit *commit,
                                                struct bitcask_pending *parts,
                                                size_t count)
{
    struct bitcask_buffer payload = { 0 };
    enum bitcask_status status;

    assert(count > 0);
    status = gather_parts(&payload, parts, count);
    if (status == BITCASK_OK) {
        (void)pthread_mutex_lock(&commit->lock);
        status = bitcask_reserve_restore(&commit->reserve);
        if (status == BITCASK_OK)
            status = make_room(commit, BITCASK_RECORD_HEADER_SIZE + payload.size, false);
        if (status == BITCASK_OK)
            status = write_batch(commit, &payload, parts, count);
        (void)pthread_mutex_unlock(&commit->lock);
    }
    bitcask_buffer_release(&payload);
    return status;
}

/* Cut what was allocated, and sync once more, since a clean end is one of the disk too.
 */
static enum bitcask_status finish_active(struct bitcask_commit *commit)
{
    if (commit->active != NULL && commit->active->allocated) {
        bitcask_commit_drop_windows(commit);
        bitcask_commit_trim(commit, commit->active);
        commit->cut_unsynced = true;
    }
    commit->listed = commit->active; /* it will be, in a moment */
    if (commit->failed)
        return bitcask_commit_refuse(commit);
    while (commit->synced_sequence < commit->last_sequence ||
           (commit->cut_unsynced && commit->manifest_stale)) {
        enum bitcask_status status = bitcask_commit_sync_oldest(commit);

        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

enum bitcask_status bitcask_commit_finish(struct bitcask_commit *commit)
{
    enum bitcask_status status = BITCASK_OK;

    (void)pthread_mutex_lock(&commit->lock);
    bitcask_commit_drop_next(commit);
    while (status == BITCASK_OK)
        status = bitcask_commit_seal_oldest(commit);
    if (status == BITCASK_NOT_FOUND)
        status = finish_active(commit);
    if (status == BITCASK_OK && commit->manifest_stale)
        status = bitcask_commit_write_manifest(commit, true);
    if (status == BITCASK_OK)
        commit->manifest_stale = false;
    (void)pthread_mutex_unlock(&commit->lock);
    return status;
}
