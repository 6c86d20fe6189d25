/* SPDX-License-Identifier: MIT */
/*
 * The part of the append queue that goes from one segment to the next, and keeps the
 * MANIFEST true.
 */
#include <stdlib.h>

#include "bitcask/commit_inside.h"
#include "bitcask/data_file.h"
#include "bitcask/status.h"
#include "hint/hint.h"

/*
 * Ids prepared by one MANIFEST: few for a small cask, and in proportion for a large
 * one, so that building one of 20,000 files writes a few dozen of them.
 */
enum {
    PREPARE_COUNT_MIN = 4,
    PREPARE_SHARE = 4
};

static int compare_ids(const void *left, const void *right)
{
    uint64_t a = ((const struct bitcask_manifest_segment *)left)->id;
    uint64_t b = ((const struct bitcask_manifest_segment *)right)->id;

    return a < b ? -1 : a > b;
}

/* Just begun, it may still vanish with the power: then it is not missed. */
static void describe_unsealed(const struct bitcask_commit *commit,
                              const struct bitcask_segment *segment,
                              struct bitcask_manifest_segment *line)
{
    bool named = atomic_load(&segment->name_synced);

    line->state = named ? BITCASK_MANIFEST_OPEN : BITCASK_MANIFEST_PREPARED;
    line->size = named ? commit->synced_size : 0;
    line->first_sequence = 0;
    line->last_sequence = named ? commit->synced_sequence : 0;
    for (size_t i = 0; i < commit->ended_count && named; i++) {
        const struct bitcask_ended *ended = &commit->ended[i];

        if (ended->segment != segment)
            continue;
        line->size = ended->synced_size;
        if (line->last_sequence > ended->last_sequence)
            line->last_sequence = ended->last_sequence;
    }
}

/* The segments as they are now, and the ids in @prepared, as a manifest. */
static enum bitcask_status build_manifest(struct bitcask_commit *commit,
                                          struct bitcask_manifest *manifest,
                                          const struct bitcask_manifest_segment *prepared,
                                          size_t prepared_count)
{
    uint32_t count = atomic_load(&commit->segments->count);
    size_t total =
        count + prepared_count + commit->burned_count + commit->outside_count + 1;

    manifest->segments = malloc(total * sizeof *manifest->segments);
    if (manifest->segments == NULL)
        return bitcask_fail_memory(total * sizeof *manifest->segments);
    manifest->segment_capacity = total;

    for (uint32_t i = 0; i < count; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(commit->segments, i);
        struct bitcask_manifest_segment line = { .state = BITCASK_MANIFEST_SEALED };

        if (segment == NULL || !atomic_load(&segment->member))
            continue;
        line.id = segment->id;
        line.salt = segment->salt;
        line.size = atomic_load(&segment->data_size);
        line.first_sequence = atomic_load(&segment->first_sequence);
        line.last_sequence = atomic_load(&segment->last_sequence);
        line.purged_sequence = segment->purged_sequence;
        if (line.size == 0) /* gone in recovery */
            continue;
        if (!atomic_load(&segment->sealed))
            describe_unsealed(commit, segment, &line);
        manifest->segments[manifest->segment_count++] = line;
    }
    for (size_t i = 0; i < prepared_count; i++)
        manifest->segments[manifest->segment_count++] = prepared[i];
    for (size_t i = 0; i < commit->burned_count; i++)
        manifest->segments[manifest->segment_count++] = commit->burned[i];
    if (commit->next_line.id != 0)
        manifest->segments[manifest->segment_count++] = commit->next_line;
    for (size_t i = 0; i < commit->outside_count; i++)
        manifest->segments[manifest->segment_count++] = commit->outside[i];
    qsort(manifest->segments, manifest->segment_count, sizeof *manifest->segments,
          compare_ids);
    manifest->next_id = commit->next_id;
    manifest->sequence = commit->sealed_sequence;
    manifest->key_count = commit->listener.key_count(commit->listener.context);
    return BITCASK_OK;
}

/* What an older hint tells, the data may not be able to tell any more. */
bool bitcask_commit_give_up_hint(struct bitcask_commit *commit)
{
    struct bitcask_segments *segments = commit->segments;
    uint64_t id = 0;

    bitcask_segments_lock(segments);
    for (uint32_t i = 0; i < atomic_load(&segments->count); i++) {
        struct bitcask_segment *segment = bitcask_segments_get(segments, i);

        if (segment != NULL && segment->id > id && atomic_load(&segment->sealed) &&
            atomic_load(&segment->hint_spare))
            id = segment->id;
    }
    for (uint32_t i = 0; i < atomic_load(&segments->count) && id != 0; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(segments, i);

        if (segment != NULL && segment->id == id) {
            atomic_store(&segment->hint_spare, false);
            atomic_store(&segment->hint_size, 0);
        }
    }
    bitcask_segments_unlock(segments);
    return id != 0 &&
           (bitcask_hint_remove(commit->io, commit->directory, id) == BITCASK_OK ||
            bitcask_commit_give_up_hint(commit));
}

/*
 * A file that was removed must not come back beside a MANIFEST that does not list it any
 * more, nor one be listed that has no name yet.
 */
static enum bitcask_status sync_names(struct bitcask_commit *commit)
{
    enum bitcask_status status;

    if (!commit->names_unsynced)
        return BITCASK_OK;
    commit->names_unsynced = false;
    status = commit->io->directory_sync(commit->io, commit->directory);
    if (status != BITCASK_OK) {
        bitcask_commit_set_failed(commit);
        return bitcask_fail_errno(status, "sync the directory before a new MANIFEST");
    }
    return BITCASK_OK;
}

/* Which room on a full disk a MANIFEST may take. */
enum room {
    ROOM_FREE,   /* none: it can be done without */
    ROOM_HINTS,  /* that of hints: they only save time */
    ROOM_RESERVE /* the reserve too, since it leads to space being given back, or ends it
                  */
};

static bool use_reserve(struct bitcask_commit *commit, bool locked)
{
    bool given;

    if (!locked)
        (void)pthread_mutex_lock(&commit->lock);
    given = bitcask_reserve_use(&commit->reserve);
    if (!locked)
        (void)pthread_mutex_unlock(&commit->lock);
    return given;
}

/*
 * Write @manifest, with or without the lock: nobody else writes one meanwhile. A failed
 * sync ends all writing.
 */
static enum bitcask_status write_built(struct bitcask_commit *commit,
                                       const struct bitcask_manifest *manifest,
                                       enum room room, bool locked, bool *switched)
{
    enum bitcask_status status = sync_names(commit);

    *switched = false;
    if (status != BITCASK_OK)
        return status;
    do
        status =
            bitcask_manifest_write(manifest, commit->io, commit->directory, switched);
    while (status == BITCASK_NO_SPACE && !*switched &&
           ((room >= ROOM_RESERVE && use_reserve(commit, locked)) ||
            (room >= ROOM_HINTS && bitcask_commit_give_up_hint(commit))));

    /* Neither list can be built upon: it is not known which one will be found. */
    if (status != BITCASK_OK && *switched)
        bitcask_commit_set_failed(commit);
    return status;
}

/* With the lock held all the time, and the ids in @prepared. */
static enum bitcask_status write_manifest(struct bitcask_commit *commit,
                                          const struct bitcask_manifest_segment *prepared,
                                          size_t prepared_count, enum room room)
{
    struct bitcask_manifest manifest;
    bool switched;
    enum bitcask_status status;

    bitcask_manifest_init(&manifest);
    status = build_manifest(commit, &manifest, prepared, prepared_count);
    if (status == BITCASK_OK)
        status = write_built(commit, &manifest, room, true, &switched);
    bitcask_manifest_release(&manifest);
    return status;
}

/* The ids that are still to be used. */
static const struct bitcask_manifest_segment *rest_of_prepared(
    const struct bitcask_commit *commit, size_t *count)
{
    *count = commit->prepared_count - commit->prepared_next;
    return *count > 0 ? &commit->prepared[commit->prepared_next] : NULL;
}

enum bitcask_status bitcask_commit_write_manifest(struct bitcask_commit *commit,
                                                  bool needed)
{
    size_t count;
    const struct bitcask_manifest_segment *prepared = rest_of_prepared(commit, &count);

    return write_manifest(commit, prepared, count, needed ? ROOM_RESERVE : ROOM_FREE);
}

void bitcask_commit_wait_manifest(struct bitcask_commit *commit)
{
    while (commit->manifest_writing)
        (void)pthread_cond_wait(&commit->sync_done, &commit->lock);
}

static enum bitcask_status write_unlocked(struct bitcask_commit *commit,
                                          const struct bitcask_manifest_segment *prepared,
                                          size_t prepared_count, enum room room,
                                          bool *switched)
{
    struct bitcask_manifest manifest;
    enum bitcask_status status;

    *switched = false;
    bitcask_manifest_init(&manifest);
    status = build_manifest(commit, &manifest, prepared, prepared_count);
    if (status == BITCASK_OK) {
        commit->manifest_writing = true;
        (void)pthread_mutex_unlock(&commit->lock);
        status = write_built(commit, &manifest, room, false, switched);
        (void)pthread_mutex_lock(&commit->lock);
        commit->manifest_writing = false;
        (void)pthread_cond_broadcast(&commit->sync_done);
        /* Whoever has synced it meanwhile could not list it. */
        if (status == BITCASK_OK && commit->active != NULL && commit->synced_size > 0)
            bitcask_commit_list_active(commit);
    }
    bitcask_manifest_release(&manifest);
    return status;
}

enum bitcask_status bitcask_commit_write_manifest_unlocked(struct bitcask_commit *commit,
                                                           bool *switched)
{
    size_t count;
    const struct bitcask_manifest_segment *prepared = rest_of_prepared(commit, &count);

    return write_unlocked(commit, prepared, count, ROOM_RESERVE, switched);
}

enum bitcask_status bitcask_commit_new_salt(struct bitcask_commit *commit, uint64_t *salt)
{
    enum bitcask_status status = commit->io->random(commit->io, salt, sizeof *salt);

    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "get random bytes for a salt");
    if (commit->salt_tag == 0)
        commit->salt_tag = (uint32_t)(*salt >> 32);
    *salt = (uint64_t)commit->salt_tag << 32 | (uint32_t)*salt;
    return BITCASK_OK;
}

void bitcask_commit_try_manifest(struct bitcask_commit *commit)
{
    size_t count;
    const struct bitcask_manifest_segment *prepared = rest_of_prepared(commit, &count);
    bool switched;

    (void)write_unlocked(commit, prepared, count, ROOM_FREE, &switched);
}

static enum bitcask_status choose_ids(struct bitcask_commit *commit,
                                      struct bitcask_manifest_segment *prepared,
                                      size_t count)
{
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        prepared[i].state = BITCASK_MANIFEST_PREPARED;
        prepared[i].id = commit->next_id + i;
        status = bitcask_commit_new_salt(commit, &prepared[i].salt);
    }
    return status;
}

/*
 * Give out ids, which a MANIFEST lists before any is used. While it is written nobody
 * else takes or gives out any; but it may be written once more, with these.
 */
static enum bitcask_status prepare(struct bitcask_commit *commit, enum room room,
                                   bool locked)
{
    struct bitcask_manifest_segment *before = commit->prepared;
    size_t before_count = commit->prepared_count;
    size_t before_next = commit->prepared_next;
    size_t count =
        PREPARE_COUNT_MIN + atomic_load(&commit->segments->count) / PREPARE_SHARE;
    struct bitcask_manifest_segment *prepared = calloc(count, sizeof *prepared);
    bool switched;
    enum bitcask_status status;

    if (prepared == NULL)
        return bitcask_fail_memory(count * sizeof *prepared);
    status = choose_ids(commit, prepared, count);
    if (status != BITCASK_OK) {
        free(prepared);
        return status;
    }
    commit->next_id += count;
    commit->prepared = prepared;
    commit->prepared_count = count;
    commit->prepared_next = 0;
    status = locked ? write_manifest(commit, prepared, count, room)
                    : write_unlocked(commit, prepared, count, room, &switched);
    if (status == BITCASK_OK) {
        free(before);
        return BITCASK_OK;
    }
    free(prepared);
    commit->next_id -= count;
    commit->prepared = before;
    commit->prepared_count = before_count;
    commit->prepared_next = before_next;
    return status;
}

enum bitcask_status bitcask_commit_prepare(struct bitcask_commit *commit)
{
    return prepare(commit, ROOM_RESERVE, true);
}

enum bitcask_status bitcask_commit_prepare_unlocked(struct bitcask_commit *commit)
{
    return prepare(commit, ROOM_FREE, false);
}

enum bitcask_status bitcask_commit_reserve_burned(struct bitcask_commit *commit)
{
    size_t size = (commit->burned_count + 1) * sizeof *commit->burned;
    struct bitcask_manifest_segment *burned = realloc(commit->burned, size);

    if (burned == NULL)
        return bitcask_fail_memory(size);
    commit->burned = burned;
    return BITCASK_OK;
}

enum bitcask_status bitcask_commit_create_segment(
    struct bitcask_commit *commit, const struct bitcask_manifest_segment *line,
    struct bitcask_segment **out)
{
    struct bitcask_io *io = commit->io;
    struct bitcask_file_header header = {
        .segment_id = line->id,
        .salt = line->salt,
        .created_ms = io->wall_ms(io),
    };
    bitcask_file file = BITCASK_NO_FILE;
    enum bitcask_status status =
        bitcask_data_file_create(io, commit->directory, &header, &file);

    if (status != BITCASK_OK)
        return status;
    status =
        bitcask_segments_add_outside(commit->segments, line->id, line->salt, file, out);
    if (status != BITCASK_OK) {
        io->close(io, file);
        return status;
    }
    atomic_store(&(*out)->data_size, BITCASK_FILE_HEADER_SIZE);
    bitcask_segment_map(commit->segments, *out, commit->file_size_max);
    return BITCASK_OK;
}

/*
 * Make the next segment now. If that fails its id is not used again: a sector of its
 * first file may be found in another one, one day, and must not look like one of a file
 * that is in use.
 */
static enum bitcask_status make_next(struct bitcask_commit *commit, bool reserved)
{
    enum bitcask_status status = bitcask_commit_reserve_burned(commit);

    if (status == BITCASK_OK && commit->prepared_next == commit->prepared_count)
        status = prepare(commit, reserved ? ROOM_RESERVE : ROOM_HINTS, true);
    if (status != BITCASK_OK)
        return status;
    commit->next_line = commit->prepared[commit->prepared_next++];
    status = bitcask_commit_create_segment(commit, &commit->next_line, &commit->next);
    if (status != BITCASK_OK) {
        commit->burned[commit->burned_count++] = commit->next_line;
        commit->next_line.id = 0;
    }
    return status;
}

/*
 * Without help: sync what is left. What was cut off must not come back with the power:
 * the next segment begins with the number that it had.
 */
static enum bitcask_status sync_old(struct bitcask_commit *commit,
                                    struct bitcask_segment *old)
{
    enum bitcask_status status;

    if (commit->synced_sequence == commit->last_sequence && old->name_synced &&
        !commit->cut_unsynced)
        return BITCASK_OK;
    commit->cut_unsynced = false;
    status = bitcask_commit_sync_segment(commit, old);
    if (status != BITCASK_OK) {
        bitcask_commit_set_failed(commit);
        return status;
    }
    bitcask_commit_note_synced(commit, old, commit->last_sequence,
                               atomic_load(&old->data_size));
    bitcask_commit_wake_all(commit);
    return BITCASK_OK;
}

/* With help: leave it to be synced and sealed. */
static void end_old(struct bitcask_commit *commit, struct bitcask_segment *old)
{
    commit->ended[commit->ended_count++] = (struct bitcask_ended){
        .segment = old,
        .last_sequence = commit->last_sequence,
        .ended_ms = commit->io->monotonic_ms(commit->io),
        .synced_size = commit->synced_size,
        .synced = commit->synced_sequence == commit->last_sequence &&
                  commit->synced_size == atomic_load(&old->data_size) && old->name_synced,
    };
    commit->listener.ended(commit->listener.context);
}

enum bitcask_status bitcask_commit_rotate(struct bitcask_commit *commit, bool reserved)
{
    struct bitcask_segment *old = commit->active;
    enum bitcask_status status = BITCASK_OK;

    if (old != NULL && !commit->helped)
        status = sync_old(commit, old);
    if (status == BITCASK_OK && commit->next == NULL)
        status = make_next(commit, reserved);
    if (status != BITCASK_OK)
        return status;

    bitcask_commit_drop_windows(commit);
    if (old != NULL && commit->helped) {
        end_old(commit, old);
    } else if (old != NULL) {
        bitcask_commit_trim(commit, old);
        bitcask_commit_mark_sealed(commit, old, commit->last_sequence);
        commit->listener.sealed(old, commit->listener.context);
    }
    commit->active = commit->next;
    atomic_store(&commit->active->member, true);
    commit->total_size += BITCASK_FILE_HEADER_SIZE;
    commit->window = commit->next_window;
    commit->next = NULL;
    commit->next_window = (struct bitcask_window){ 0 };
    commit->next_line.id = 0;
    commit->next_failed = false;
    commit->cut_unsynced = false;
    commit->synced_size = 0; /* not even the header is */
    commit->rotate_next = false;
    bitcask_commit_ask(commit);
    return BITCASK_OK;
}
