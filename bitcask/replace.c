/* SPDX-License-Identifier: MIT */
/*
 * The part of the append queue by which merges replace segments.
 *
 * A MANIFEST is written without the append lock here: what it says was true when it was
 * put together, and nothing that is appended meanwhile makes it wrong.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/commit_inside.h"
#include "bitcask/file_name.h"
#include "bitcask/status.h"
#include "hint/hint.h"

/* How often a seal lets writers go on while it syncs, before it makes them wait. */
enum {
    SEAL_SYNCS_MAX = 3
};

void bitcask_commit_measure(struct bitcask_commit *commit)
{
    uint32_t count = atomic_load(&commit->segments->count);

    commit->total_size = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct bitcask_segment *segment = bitcask_segments_get(commit->segments, i);

        if (segment != NULL && atomic_load(&segment->member))
            commit->total_size += atomic_load(&segment->data_size);
    }
}

static bool is_to_sync(const struct bitcask_commit *commit)
{
    return commit->synced_sequence < commit->last_sequence ||
           !commit->active->name_synced || commit->cut_unsynced;
}

static enum bitcask_status sync_to_seal(struct bitcask_commit *commit, int *rounds)
{
    enum bitcask_status status;

    if ((*rounds)++ < SEAL_SYNCS_MAX)
        return bitcask_commit_sync_oldest(commit);
    commit->cut_unsynced = false;
    status = bitcask_commit_sync_segment(commit, commit->active);
    if (status != BITCASK_OK) {
        bitcask_commit_set_failed(commit);
        return status;
    }
    bitcask_commit_note_synced(commit, commit->active, commit->last_sequence,
                               atomic_load(&commit->active->data_size));
    bitcask_commit_wake_all(commit);
    return BITCASK_OK;
}

/* Or somebody else does. */
static enum bitcask_status seal_oldest(struct bitcask_commit *commit)
{
    enum bitcask_status status = bitcask_commit_seal_oldest(commit);

    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

static bool is_to_seal(const struct bitcask_commit *commit, uint64_t id)
{
    for (size_t i = 0; i < commit->ended_count; i++) {
        if (commit->ended[i].segment->id == id)
            return true;
    }
    return commit->active != NULL && commit->active->id == id &&
           atomic_load(&commit->active->record_count) > 0;
}

/* The active segment, all of which is synced, and which nobody is at. */
static void seal_active(struct bitcask_commit *commit)
{
    bitcask_commit_drop_windows(commit);
    bitcask_commit_trim(commit, commit->active);
    bitcask_commit_mark_sealed(commit, commit->active, commit->last_sequence);
    commit->active = NULL;
    commit->listed = NULL;
    commit->synced_size = 0;
    commit->rotate_next = false;
}

enum bitcask_status bitcask_commit_seal(struct bitcask_commit *commit, uint64_t id)
{
    int rounds = 0;
    enum bitcask_status status = BITCASK_OK;

    (void)pthread_mutex_lock(&commit->lock);
    while (status == BITCASK_OK && is_to_seal(commit, id)) {
        if (commit->closed)
            status = bitcask_commit_refuse(commit);
        else if (commit->ended_count > 0)
            status = seal_oldest(commit);
        else if (commit->syncing || commit->opening != NULL)
            (void)pthread_cond_wait(&commit->sync_done, &commit->lock);
        else if (is_to_sync(commit))
            status = sync_to_seal(commit, &rounds);
        else
            seal_active(commit);
    }
    (void)pthread_mutex_unlock(&commit->lock);
    return status;
}

/* Room for @count more lines of files that are no part of the cask. */
static enum bitcask_status reserve_outside(struct bitcask_commit *commit, size_t count)
{
    size_t wanted = commit->outside_count + count;
    struct bitcask_manifest_segment *grown;

    if (wanted <= commit->outside_capacity)
        return BITCASK_OK;
    grown = realloc(commit->outside, wanted * sizeof *grown);
    if (grown == NULL)
        return bitcask_fail_memory(wanted * sizeof *grown);
    commit->outside = grown;
    commit->outside_capacity = wanted;
    return BITCASK_OK;
}

static void drop_outside(struct bitcask_commit *commit, uint64_t id)
{
    size_t kept = 0;

    for (size_t i = 0; i < commit->outside_count; i++) {
        if (commit->outside[i].id != id)
            commit->outside[kept++] = commit->outside[i];
    }
    commit->outside_count = kept;
}

static enum bitcask_status give_out(struct bitcask_commit *commit, size_t count,
                                    struct bitcask_manifest_segment *drafts)
{
    enum bitcask_status status = reserve_outside(commit, count);

    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        drafts[i] = (struct bitcask_manifest_segment){ .state = BITCASK_MANIFEST_DRAFT,
                                                       .id = commit->next_id + i };
        status = bitcask_commit_new_salt(commit, &drafts[i].salt);
    }
    if (status != BITCASK_OK)
        return status;
    memcpy(commit->outside + commit->outside_count, drafts, count * sizeof *drafts);
    commit->outside_count += count;
    commit->next_id += count;
    commit->manifest_stale = true;
    return BITCASK_OK;
}

enum bitcask_status bitcask_commit_draft(struct bitcask_commit *commit, size_t count,
                                         struct bitcask_manifest_segment *drafts)
{
    bool switched = false;
    enum bitcask_status status;

    (void)pthread_mutex_lock(&commit->lock);
    bitcask_commit_wait_manifest(commit);
    status =
        commit->closed ? bitcask_commit_refuse(commit) : give_out(commit, count, drafts);
    if (status == BITCASK_OK) {
        status = bitcask_commit_write_manifest_unlocked(commit, &switched);
        if (status != BITCASK_OK) {
            for (size_t i = 0; i < count; i++)
                drop_outside(commit, drafts[i].id);
        }
    }
    (void)pthread_mutex_unlock(&commit->lock);
    return status;
}

void bitcask_commit_drop(struct bitcask_commit *commit, uint64_t id)
{
    (void)pthread_mutex_lock(&commit->lock);
    drop_outside(commit, id);
    commit->names_unsynced = true;
    commit->manifest_stale = true;
    (void)pthread_mutex_unlock(&commit->lock);
}

static void add_outside(struct bitcask_commit *commit,
                        const struct bitcask_segment *segment,
                        enum bitcask_manifest_state state)
{
    commit->outside[commit->outside_count++] = (struct bitcask_manifest_segment){
        .state = state,
        .id = segment->id,
        .salt = segment->salt,
        .size = atomic_load(&segment->data_size), /* not listed */
    };
}

static void set_members(struct bitcask_segment **segments, size_t count, bool member)
{
    for (size_t i = 0; i < count; i++)
        atomic_store(&segments[i]->member, member);
}

/* Let the outputs be of the cask and the inputs not. Ids of outputs rise. */
static void exchange(struct bitcask_commit *commit, const struct bitcask_switch *change)
{
    size_t kept = 0;
    size_t next = 0;

    for (size_t i = 0; i < commit->outside_count; i++) {
        if (next < change->output_count &&
            commit->outside[i].id == change->outputs[next]->id)
            next++;
        else
            commit->outside[kept++] = commit->outside[i];
    }
    assert(next == change->output_count);
    commit->outside_count = kept;
    for (size_t i = 0; i < change->input_count; i++)
        add_outside(commit, change->inputs[i], BITCASK_MANIFEST_RETIRED);
    set_members(change->inputs, change->input_count, false);
    set_members(change->outputs, change->output_count, true);
    bitcask_commit_measure(commit);
}

/* Undo that: nothing else was done to the list meanwhile. */
static void exchange_back(struct bitcask_commit *commit,
                          const struct bitcask_switch *change)
{
    commit->outside_count -= change->input_count;
    for (size_t i = 0; i < change->output_count; i++)
        add_outside(commit, change->outputs[i], BITCASK_MANIFEST_DRAFT);
    set_members(change->inputs, change->input_count, true);
    set_members(change->outputs, change->output_count, false);
    bitcask_commit_measure(commit);
}

enum bitcask_status bitcask_commit_switch(struct bitcask_commit *commit,
                                          const struct bitcask_switch *change,
                                          uint64_t sequence, bool *unknown)
{
    bool switched = false;
    enum bitcask_status status;

    *unknown = false;
    (void)pthread_mutex_lock(&commit->lock);
    status = bitcask_commit_wait_locked(commit, sequence);
    if (status == BITCASK_OK)
        bitcask_commit_wait_manifest(commit);
    if (status == BITCASK_OK && commit->closed)
        status = bitcask_commit_refuse(commit);
    if (status == BITCASK_OK)
        status = reserve_outside(commit, change->input_count + change->output_count);
    if (status == BITCASK_OK) {
        exchange(commit, change);
        commit->names_unsynced = true; /* those of the outputs */
        commit->manifest_stale = true;
        status = bitcask_commit_write_manifest_unlocked(commit, &switched);
        *unknown = status != BITCASK_OK && switched;
        if (status != BITCASK_OK)
            exchange_back(commit, change);
    }
    (void)pthread_mutex_unlock(&commit->lock);
    return status;
}

void bitcask_commit_forget(struct bitcask_commit *commit, struct bitcask_segment *segment)
{
    bool alone;

    (void)pthread_mutex_lock(&commit->lock);
    if (commit->listed == segment) /* another may come to lie where it was */
        commit->listed = NULL;
    alone = bitcask_segments_take_out(commit->segments, segment);
    (void)pthread_mutex_unlock(&commit->lock);
    if (alone)
        bitcask_segment_free(commit->segments, segment);
}

enum bitcask_status bitcask_commit_remove_files(struct bitcask_io *io,
                                                bitcask_file directory, uint64_t id)
{
    char name[BITCASK_NAME_SIZE];
    enum bitcask_status status = bitcask_hint_remove(io, directory, id);

    if (status != BITCASK_OK)
        return status;
    bitcask_hint_temporary_name(name, id);
    status = io->remove(io, directory, name);
    if (status == BITCASK_OK || status == BITCASK_NOT_FOUND) {
        bitcask_data_name(name, id);
        status = io->remove(io, directory, name);
    }
    if (status == BITCASK_NOT_FOUND)
        return BITCASK_OK;
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "remove %s", name);
    return BITCASK_OK;
}

/* Whether a merge could not take segment @id out of use: places may still point to it. */
static bool is_in_use(struct bitcask_commit *commit, uint64_t id)
{
    uint32_t count = atomic_load(&commit->segments->count);

    for (uint32_t i = 0; i < count; i++) {
        const struct bitcask_segment *segment = bitcask_segments_get(commit->segments, i);

        if (segment != NULL && segment->id == id)
            return true;
    }
    return false;
}

/* Whether the file of @line may not be removed, or not now. */
static bool is_to_stay(struct bitcask_commit *commit,
                       const struct bitcask_manifest_segment *line)
{
    return line->state == BITCASK_MANIFEST_QUARANTINED || is_in_use(commit, line->id);
}

/* The id of a file outside the cask, from *@index on; 0: there is none. */
static uint64_t outside_id(struct bitcask_commit *commit, size_t *index)
{
    uint64_t id = 0;

    (void)pthread_mutex_lock(&commit->lock);
    while (*index < commit->outside_count && is_to_stay(commit, &commit->outside[*index]))
        (*index)++;
    if (*index < commit->outside_count)
        id = commit->outside[*index].id;
    (void)pthread_mutex_unlock(&commit->lock);
    return id;
}

enum bitcask_status bitcask_commit_tidy(struct bitcask_commit *commit)
{
    enum bitcask_status first = BITCASK_OK;
    size_t index = 0;
    uint64_t id;

    while ((id = outside_id(commit, &index)) != 0) {
        enum bitcask_status status =
            bitcask_commit_remove_files(commit->io, commit->directory, id);

        if (status == BITCASK_OK) {
            bitcask_commit_drop(commit, id);
        } else {
            if (first == BITCASK_OK)
                first = status;
            index++;
        }
    }
    return first;
}

void bitcask_commit_stat(struct bitcask_commit *commit, struct bitcask_stat *stat)
{
    (void)pthread_mutex_lock(&commit->lock);
    stat->appended_size = commit->appended_size;
    for (size_t i = 0; i < commit->outside_count; i++) {
        if (commit->outside[i].state != BITCASK_MANIFEST_RETIRED)
            continue;
        stat->retired_count++;
        stat->retired_size += commit->outside[i].size;
    }
    (void)pthread_mutex_unlock(&commit->lock);
}
