/* SPDX-License-Identifier: MIT */
/*
 * The part of the append queue that syncs, and lets those wait who need it.
 */
#include <assert.h>
#include <inttypes.h>

#include "bitcask/commit_inside.h"
#include "bitcask/status.h"

/*
 * READ_ONLY and NO_MEMORY say that nothing was done. Of a write or sync that failed with
 * them, on a file system that has just given up for example, nobody knows that.
 */
enum bitcask_status bitcask_commit_uncertain(enum bitcask_status status)
{
    return status == BITCASK_READ_ONLY || status == BITCASK_NO_MEMORY ? BITCASK_IO
                                                                      : status;
}

enum bitcask_status bitcask_commit_sync_segment(struct bitcask_commit *commit,
                                                struct bitcask_segment *segment)
{
    struct bitcask_io *io = commit->io;
    enum bitcask_status status = bitcask_commit_uncertain(io->sync(io, segment->file));

    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "sync %010" PRIu64 ".data", segment->id);
    if (segment->name_synced)
        return BITCASK_OK;
    status = bitcask_commit_uncertain(io->directory_sync(io, commit->directory));
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "sync the directory of %010" PRIu64 ".data",
                                  segment->id);
    segment->name_synced = true;
    return BITCASK_OK;
}

/*
 * The active segment has just been synced for the first time, perhaps: from then on it
 * would be missed. A later segment would prove that there was one, but it is the newest;
 * so the MANIFEST says so, once. Where files are so small and so many that the MANIFEST
 * is a fair share of one, it costs too much.
 */
bool bitcask_commit_lists_cheaply(const struct bitcask_commit *commit)
{
    enum {
        LINE_SIZE = 96, /* about */
        SHARE = 64
    };
    uint64_t line_count = atomic_load(&commit->segments->count) +
                          (commit->prepared_count - commit->prepared_next);

    return line_count * LINE_SIZE <= commit->file_size_max / SHARE;
}

void bitcask_commit_list_active(struct bitcask_commit *commit)
{
    if (commit->listed == commit->active || commit->manifest_writing ||
        !bitcask_commit_lists_cheaply(commit))
        return;
    /* If this fails, some later MANIFEST will list it: nothing was promised by it. */
    commit->listed = commit->active;
    bitcask_commit_try_manifest(commit);
}

/* The oldest segment that has ended and is not synced, or NULL. */
static const struct bitcask_ended *unsynced_ended(const struct bitcask_commit *commit)
{
    for (size_t i = 0; i < commit->ended_count; i++) {
        if (!commit->ended[i].synced)
            return &commit->ended[i];
    }
    return NULL;
}

void bitcask_commit_note_synced(struct bitcask_commit *commit,
                                const struct bitcask_segment *segment, uint64_t sequence,
                                uint64_t size)
{
    if (sequence > commit->synced_sequence)
        commit->synced_sequence = sequence;
    if (segment == commit->active)
        commit->synced_size = size;
    for (size_t i = 0; i < commit->ended_count; i++) {
        struct bitcask_ended *ended = &commit->ended[i];

        if (ended->segment != segment)
            continue;
        ended->synced_size = size;
        ended->synced = ended->synced || sequence == ended->last_sequence;
        if (ended->synced) /* what comes behind it is not older than its end */
            commit->unsynced_since_ms = ended->ended_ms;
    }
}

/*
 * Nobody else syncs meanwhile, and nobody seals what is not synced, so the file stays
 * open. With help the active segment may end under the sync.
 */
enum bitcask_status bitcask_commit_sync_oldest(struct bitcask_commit *commit)
{
    const struct bitcask_ended *ended = unsynced_ended(commit);
    struct bitcask_segment *segment = ended != NULL ? ended->segment : commit->active;
    uint64_t sequence = ended != NULL ? ended->last_sequence : commit->last_sequence;
    uint64_t size = atomic_load(&segment->data_size);
    uint64_t cut_count = commit->cut_count;
    uint64_t begun_ms = commit->io->monotonic_ms(commit->io);
    enum bitcask_status status;

    assert(!commit->syncing);
    commit->syncing = true;
    commit->syncing_segment = segment;
    commit->sync_number++;
    commit->syncing_sequence = sequence;
    (void)pthread_mutex_unlock(&commit->lock);
    status = bitcask_commit_sync_segment(commit, segment);
    (void)pthread_mutex_lock(&commit->lock);
    commit->syncing = false;
    commit->syncing_segment = NULL;

    if (status == BITCASK_OK) {
        /* Not before: nothing may be appended over a cut that is only on its way. */
        if (segment == commit->active && commit->cut_count == cut_count)
            commit->cut_unsynced = false;
        commit->sync_count++;
        commit->unsynced_since_ms = begun_ms; /* no earlier record is left out */
        bitcask_commit_note_synced(commit, segment, sequence, size);
        (void)pthread_cond_broadcast(&commit->sync_done);
        (void)pthread_cond_broadcast(&commit->synced[commit->sync_number % 2]);
        (void)pthread_cond_signal(&commit->synced[(commit->sync_number + 1) % 2]);
        if (segment == commit->active)
            bitcask_commit_list_active(commit);
    } else {
        bitcask_commit_set_failed(commit);
        bitcask_commit_wake_all(commit);
    }
    return status;
}

void bitcask_commit_wake_all(struct bitcask_commit *commit)
{
    (void)pthread_cond_broadcast(&commit->sync_done);
    (void)pthread_cond_broadcast(&commit->synced[0]);
    (void)pthread_cond_broadcast(&commit->synced[1]);
}

/*
 * Wait while a sync runs: for its end if it covers @sequence, else for that of the next
 * one. So the end of a sync wakes those whom it covers, and one more, who begins the next
 * for all who have appended meanwhile, and who sleep on.
 */
static void wait_while_syncing(struct bitcask_commit *commit, uint64_t sequence)
{
    uint64_t number = commit->sync_number;

    if (sequence > commit->syncing_sequence)
        number++;
    (void)pthread_cond_wait(&commit->synced[number % 2], &commit->lock);
}

enum bitcask_status bitcask_commit_wait_locked(struct bitcask_commit *commit,
                                               uint64_t sequence)
{
    while (commit->synced_sequence < sequence) {
        enum bitcask_status status;

        if (commit->failed) {
            /* It may be us who were to begin the sync that others sleep for. */
            bitcask_commit_wake_all(commit);
            return bitcask_commit_refuse(commit);
        }
        if (commit->syncing) {
            wait_while_syncing(commit, sequence);
            continue;
        }
        status = bitcask_commit_sync_oldest(commit);
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

enum bitcask_status bitcask_commit_wait(struct bitcask_commit *commit, uint64_t sequence)
{
    enum bitcask_status status;

    (void)pthread_mutex_lock(&commit->lock);
    status = bitcask_commit_wait_locked(commit, sequence);
    (void)pthread_mutex_unlock(&commit->lock);
    return status;
}

enum bitcask_status bitcask_commit_sync(struct bitcask_commit *commit)
{
    enum bitcask_status status;

    (void)pthread_mutex_lock(&commit->lock);
    status = commit->failed ? bitcask_commit_refuse(commit)
                            : bitcask_commit_wait_locked(commit, commit->last_sequence);
    (void)pthread_mutex_unlock(&commit->lock);
    return status;
}

static uint64_t sync_due_ms(struct bitcask_commit *commit, uint64_t interval_ms)
{
    uint64_t now_ms, age_ms;

    if (commit->failed || commit->synced_sequence == commit->last_sequence)
        return UINT64_MAX;
    now_ms = commit->io->monotonic_ms(commit->io);
    age_ms = now_ms > commit->unsynced_since_ms ? now_ms - commit->unsynced_since_ms : 0;
    return age_ms >= interval_ms ? 0 : interval_ms - age_ms;
}

uint64_t bitcask_commit_sync_due_ms(struct bitcask_commit *commit, uint64_t interval_ms)
{
    uint64_t due_ms;

    (void)pthread_mutex_lock(&commit->lock);
    due_ms = sync_due_ms(commit, interval_ms);
    (void)pthread_mutex_unlock(&commit->lock);
    return due_ms;
}

enum bitcask_status bitcask_commit_sync_if_due(struct bitcask_commit *commit,
                                               uint64_t interval_ms)
{
    enum bitcask_status status = BITCASK_OK;

    (void)pthread_mutex_lock(&commit->lock);
    if (sync_due_ms(commit, interval_ms) == 0)
        status = bitcask_commit_wait_locked(commit, commit->last_sequence);
    (void)pthread_mutex_unlock(&commit->lock);
    return status;
}

void bitcask_commit_sequences(struct bitcask_commit *commit, uint64_t *last,
                              uint64_t *synced)
{
    (void)pthread_mutex_lock(&commit->lock);
    *last = commit->last_sequence;
    *synced = commit->synced_sequence;
    (void)pthread_mutex_unlock(&commit->lock);
}
