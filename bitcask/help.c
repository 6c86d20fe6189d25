/* SPDX-License-Identifier: MIT */
/*
 * What is done before or after an append, so that no append has to wait for it: windows
 * and the next segment are made before they are needed, and segments that have ended are
 * synced, cut and sealed.
 *
 * A window ahead needs its space from the file system and its pages from the kernel,
 * milliseconds for four megabytes; a segment needs a file, and now and then a MANIFEST,
 * which is several syncs. Who comes too late for them goes on without: a record for which
 * there is no window is written, and a segment that was not made ahead is made by who
 * needs it.
 */
#include <assert.h>

#include "bitcask/commit_inside.h"
#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "bitcask/status.h"

/*
 * A window is as large as what was appended before it, so that a small cask does not
 * occupy much, from so small to so large.
 */
enum {
    WINDOW_SIZE_MIN = BITCASK_WINDOW_STEP,
    WINDOW_SIZE_MAX = 4 << 20,
    /*
     * In large pages a window is made in a third of the time, but a sync of a few records
     * then writes two megabytes: so only where there are few syncs in one.
     */
    WINDOW_SYNCS_MAX = 2
};

void bitcask_commit_set_helped(struct bitcask_commit *commit, bool helped)
{
    (void)pthread_mutex_lock(&commit->lock);
    commit->helped = helped;
    (void)pthread_mutex_unlock(&commit->lock);
}

void bitcask_commit_ask(struct bitcask_commit *commit)
{
    if (!commit->helped || commit->asked)
        return;
    commit->asked = true;
    commit->listener.ahead(commit->listener.context);
}

/* WINDOWS */

static uint64_t round_down(uint64_t offset)
{
    return offset / BITCASK_WINDOW_STEP * BITCASK_WINDOW_STEP;
}

/* Whether the next window, of @size bytes, should have large pages. */
static bool is_large(struct bitcask_commit *commit, uint64_t size)
{
    uint64_t syncs = commit->sync_count - commit->window_sync_count;

    commit->window_sync_count = commit->sync_count;
    return size >= BITCASK_WINDOW_STEP_LARGE && syncs <= WINDOW_SYNCS_MAX;
}

/*
 * Where the window behind @window should lie, or the first if there is none. False: the
 * active segment needs no other. It overlaps the one before by the largest record, so
 * that any that does not fit in there fits in here.
 */
static bool place_window(const struct bitcask_commit *commit,
                         const struct bitcask_window *window, uint64_t *offset,
                         uint64_t *size)
{
    uint64_t limit =
        round_down(commit->file_size_max + BITCASK_WINDOW_STEP - 1); /* of the file */
    uint64_t data_size = atomic_load(&commit->active->data_size);
    uint64_t end = window->offset + window->size;
    uint64_t wanted = round_down(commit->appended_size);

    if (end > 0 && end >= limit)
        return false;
    *offset = round_down(data_size);
    if (end > data_size + BITCASK_WINDOW_STORE_MAX)
        *offset = round_down(end - BITCASK_WINDOW_STORE_MAX);
    if (*offset >= limit)
        return false;
    if (wanted < WINDOW_SIZE_MIN)
        wanted = WINDOW_SIZE_MIN;
    if (wanted > WINDOW_SIZE_MAX)
        wanted = WINDOW_SIZE_MAX;
    if (wanted > BITCASK_WINDOW_STEP_LARGE)
        wanted -= (*offset + wanted) % BITCASK_WINDOW_STEP_LARGE;
    *size = limit - *offset < wanted ? limit - *offset : wanted;
    return *offset + *size > end;
}

/* A window could not be had: not soon again, or never. */
static void give_up_window(struct bitcask_commit *commit, enum bitcask_status status,
                           uint64_t size)
{
    if (status == BITCASK_UNSUPPORTED)
        commit->no_window = true;
    commit->window_from = commit->appended_size + size;
}

/* Leave the window, to be unmapped by somebody with more time if there is one. */
static void leave_window(struct bitcask_commit *commit)
{
    if (commit->helped && commit->window_left.size == 0) {
        commit->window_left = commit->window;
        commit->window = (struct bitcask_window){ 0 };
    }
    bitcask_window_close(&commit->window, commit->io);
}

void bitcask_commit_drop_windows(struct bitcask_commit *commit)
{
    leave_window(commit);
    bitcask_window_close(&commit->window_next, commit->io);
}

/* Without help, for a record of @record_size bytes. */
static void open_window(struct bitcask_commit *commit, uint64_t record_size)
{
    struct bitcask_segment *active = commit->active;
    struct bitcask_window none = { 0 };
    uint64_t offset, size;
    enum bitcask_status status;

    bitcask_window_close(&commit->window, commit->io);
    if (!place_window(commit, &none, &offset, &size))
        return;
    if (atomic_load(&active->data_size) + record_size > offset + size) {
        give_up_window(commit, BITCASK_OK, size);
        return;
    }
    active->allocated = true;
    status = bitcask_window_open(&commit->window, commit->io, active->file, offset, size,
                                 is_large(commit, size));
    if (status != BITCASK_OK)
        give_up_window(commit, status, size);
}

void bitcask_commit_provide_window(struct bitcask_commit *commit, uint64_t size)
{
    if (commit->no_window || commit->appended_size < commit->window_from)
        return;
    if (!bitcask_window_has(&commit->window_next, atomic_load(&commit->active->data_size),
                            size)) {
        if (commit->helped)
            bitcask_commit_ask(commit);
        else
            open_window(commit, size);
        return;
    }
    leave_window(commit);
    commit->window = commit->window_next;
    commit->window_next = (struct bitcask_window){ 0 };
    bitcask_commit_ask(commit);
}

/* Whether another window is wanted, and where. What was made too late is dropped. */
static bool wants_window(struct bitcask_commit *commit, uint64_t *offset, uint64_t *size)
{
    uint64_t data_size;

    if (commit->no_window || commit->active == NULL ||
        commit->appended_size < commit->window_from)
        return false;
    data_size = atomic_load(&commit->active->data_size);
    if (commit->window_next.size > 0 &&
        commit->window_next.offset + commit->window_next.size <= data_size)
        bitcask_window_close(&commit->window_next, commit->io);
    return commit->window_next.size == 0 &&
           place_window(commit, &commit->window, offset, size);
}

/* Its file stays open: whoever would seal the segment waits for us. */
static void make_window(struct bitcask_commit *commit, uint64_t offset, uint64_t size)
{
    struct bitcask_segment *segment = commit->active;
    uint64_t cut_count = commit->cut_count;
    bool large = is_large(commit, size);
    struct bitcask_window window;
    enum bitcask_status status;

    commit->opening = segment;
    segment->allocated = true;
    (void)pthread_mutex_unlock(&commit->lock);
    status = bitcask_window_open(&window, commit->io, segment->file, offset, size, large);
    (void)pthread_mutex_lock(&commit->lock);
    commit->opening = NULL;
    (void)pthread_cond_broadcast(&commit->sync_done);

    if (status != BITCASK_OK)
        give_up_window(commit, status, size);
    else if (commit->active == segment && commit->cut_count == cut_count)
        commit->window_next = window;
    else /* its pages may be gone */
        bitcask_window_close(&window, commit->io);
}

/* THE NEXT SEGMENT */

static bool wants_next(const struct bitcask_commit *commit)
{
    return commit->helped && commit->active != NULL && commit->next == NULL &&
           !commit->next_failed &&
           (commit->rotate_next ||
            atomic_load(&commit->active->data_size) >= commit->file_size_max / 2);
}

/* Take an id, from a new MANIFEST if there is none left. */
static enum bitcask_status take_line(struct bitcask_commit *commit)
{
    enum bitcask_status status = bitcask_commit_reserve_burned(commit);

    if (status == BITCASK_OK && commit->prepared_next == commit->prepared_count)
        status = bitcask_commit_prepare_unlocked(commit);
    if (status == BITCASK_OK)
        commit->next_line = commit->prepared[commit->prepared_next++];
    return status;
}

/*
 * Whoever rotates meanwhile waits for us: ids must rise with sequences. What fails here
 * is tried again by who needs it, who has somebody to tell.
 */
static void make_next(struct bitcask_commit *commit)
{
    struct bitcask_window window = { 0 };
    struct bitcask_segment *next = NULL;
    enum bitcask_status status;

    commit->next_making = true;
    bitcask_commit_wait_manifest(commit);
    status = take_line(commit);
    if (status == BITCASK_OK) {
        bool no_window = commit->no_window;
        uint64_t size = commit->file_size_max < WINDOW_SIZE_MAX
                            ? round_down(commit->file_size_max)
                            : WINDOW_SIZE_MAX;
        bool large = is_large(commit, size);

        (void)pthread_mutex_unlock(&commit->lock);
        status = bitcask_commit_create_segment(commit, &commit->next_line, &next);
        if (status == BITCASK_OK && !no_window) {
            next->allocated = true;
            (void)bitcask_window_open(&window, commit->io, next->file, 0, size, large);
        }
        (void)pthread_mutex_lock(&commit->lock);
        if (status != BITCASK_OK) {
            commit->burned[commit->burned_count++] = commit->next_line;
            commit->next_line.id = 0;
        }
    }
    commit->next = next;
    commit->next_window = window;
    commit->next_failed = status != BITCASK_OK;
    commit->next_making = false;
    (void)pthread_cond_broadcast(&commit->sync_done);
}

void bitcask_commit_drop_next(struct bitcask_commit *commit)
{
    char name[BITCASK_NAME_SIZE];

    if (commit->next == NULL)
        return;
    bitcask_window_close(&commit->next_window, commit->io);
    bitcask_data_name(name, commit->next->id);
    if (bitcask_segments_take_out(commit->segments, commit->next))
        bitcask_segment_free(commit->segments, commit->next);
    (void)commit->io->remove(commit->io, commit->directory, name);
    commit->names_unsynced = true;
    commit->burned[commit->burned_count++] = commit->next_line;
    commit->next = NULL;
    commit->next_line.id = 0;
}

bool bitcask_commit_work_ahead(struct bitcask_commit *commit)
{
    uint64_t offset, size;
    bool worked = true;

    (void)pthread_mutex_lock(&commit->lock);
    commit->asked = false;
    if (commit->window_left.size > 0) {
        struct bitcask_window left = commit->window_left;

        commit->window_left = (struct bitcask_window){ 0 };
        (void)pthread_mutex_unlock(&commit->lock);
        bitcask_window_close(&left, commit->io);
        return true;
    }
    if (commit->closed)
        worked = false;
    else if (wants_window(commit, &offset, &size))
        make_window(commit, offset, size);
    else if (wants_next(commit))
        make_next(commit);
    else
        worked = false;
    (void)pthread_mutex_unlock(&commit->lock);
    return worked;
}

/* SEALING */

/* What cannot be cut stays: zeros behind the end of a segment are nobody's. */
void bitcask_commit_trim(struct bitcask_commit *commit, struct bitcask_segment *segment)
{
    if (!segment->allocated)
        return;
    segment->allocated = false;
    (void)commit->io->truncate(commit->io, segment->file,
                               atomic_load(&segment->data_size));
}

void bitcask_commit_mark_sealed(struct bitcask_commit *commit,
                                struct bitcask_segment *segment, uint64_t last_sequence)
{
    atomic_store(&segment->sealed, true);
    bitcask_segment_park(commit->segments, segment);
    commit->sealed_sequence = last_sequence;
    commit->manifest_stale = true;
}

enum bitcask_status bitcask_commit_seal_oldest(struct bitcask_commit *commit)
{
    while (commit->ended_count > 0) {
        struct bitcask_ended ended = commit->ended[0];

        if (commit->sealing || commit->opening == ended.segment ||
            commit->syncing_segment == ended.segment ||
            (!ended.synced && commit->syncing)) {
            (void)pthread_cond_wait(&commit->sync_done, &commit->lock);
            continue;
        }
        if (!ended.synced) {
            enum bitcask_status status = commit->failed
                                             ? bitcask_commit_refuse(commit)
                                             : bitcask_commit_sync_oldest(commit);

            if (status != BITCASK_OK)
                return status;
            continue;
        }
        commit->sealing = true;
        (void)pthread_mutex_unlock(&commit->lock);
        bitcask_commit_trim(commit, ended.segment);
        (void)pthread_mutex_lock(&commit->lock);
        commit->sealing = false;
        commit->ended_count--;
        for (size_t i = 0; i < commit->ended_count; i++)
            commit->ended[i] = commit->ended[i + 1];
        bitcask_commit_mark_sealed(commit, ended.segment, ended.last_sequence);
        (void)pthread_cond_broadcast(&commit->sync_done);
        commit->listener.sealed(ended.segment, commit->listener.context);
        return BITCASK_OK;
    }
    return BITCASK_NOT_FOUND;
}

enum bitcask_status bitcask_commit_seal_ended(struct bitcask_commit *commit)
{
    enum bitcask_status status;

    (void)pthread_mutex_lock(&commit->lock);
    status = bitcask_commit_seal_oldest(commit);
    /* If this fails, a later one will say so: what is sealed proves itself. */
    if (status == BITCASK_OK && !commit->manifest_writing && !commit->closed &&
        bitcask_commit_lists_cheaply(commit))
        bitcask_commit_try_manifest(commit);
    (void)pthread_mutex_unlock(&commit->lock);
    return status;
}
