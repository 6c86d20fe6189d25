/* SPDX-License-Identifier: MIT */
/*
 * Inside the append queue, for append.c, sync.c, rotate.c, help.c and replace.c only.
 * All of it with the append lock held.
 */
#ifndef BITCASK_COMMIT_INSIDE_H
#define BITCASK_COMMIT_INSIDE_H

#include "bitcask/commit.h"

/* What a write or sync that failed with @status is to be called. */
enum bitcask_status bitcask_commit_uncertain(enum bitcask_status status);

/* Sync the file of @segment, and its name in the directory if that is still to do. */
enum bitcask_status bitcask_commit_sync_segment(struct bitcask_commit *commit,
                                                struct bitcask_segment *segment);

/* A sync has failed, and with it all writing ends. */
void bitcask_commit_set_failed(struct bitcask_commit *commit);

/* The status and the words for a write that cannot be taken any more. */
enum bitcask_status bitcask_commit_refuse(const struct bitcask_commit *commit);

/*
 * Sync the oldest segment that has something unsynced, with the lock given up meanwhile.
 * Nobody else may be syncing.
 */
enum bitcask_status bitcask_commit_sync_oldest(struct bitcask_commit *commit);

/* Everything in @segment up to @sequence and @size is synced. */
void bitcask_commit_note_synced(struct bitcask_commit *commit,
                                const struct bitcask_segment *segment, uint64_t sequence,
                                uint64_t size);

/* Something was synced, or nothing ever will be: all who wait for it look again. */
void bitcask_commit_wake_all(struct bitcask_commit *commit);

/* Return when everything up to @sequence is synced. */
enum bitcask_status bitcask_commit_wait_locked(struct bitcask_commit *commit,
                                               uint64_t sequence);

/*
 * ROTATION, rotate.c. End the active segment, if there is one, and begin the next. With
 * help the old one is left to be sealed; without, it is synced and sealed, and the lock
 * is kept all the time, since whoever wants to append needs the new segment anyway. After
 * a failure the active segment is still the active one. With @reserved it may take the
 * reserve on a full disk.
 */
enum bitcask_status bitcask_commit_rotate(struct bitcask_commit *commit, bool reserved);

/*
 * Create the file of the next prepared id, taken already as @line, with the lock held or
 * not. Not a member yet.
 */
enum bitcask_status bitcask_commit_create_segment(
    struct bitcask_commit *commit, const struct bitcask_manifest_segment *line,
    struct bitcask_segment **out);

/* Room for one more id in commit->burned. */
enum bitcask_status bitcask_commit_reserve_burned(struct bitcask_commit *commit);

/*
 * THE MANIFEST, rotate.c. Describe things as they are; all of the active segment is
 * synced. One that is @needed may take the room of hints on a full disk.
 */
enum bitcask_status bitcask_commit_write_manifest(struct bitcask_commit *commit,
                                                  bool needed);

/*
 * The same, needed, with the lock given up meanwhile. *switched says whether the new one
 * has its name. Nobody else may be writing one.
 */
enum bitcask_status bitcask_commit_write_manifest_unlocked(struct bitcask_commit *commit,
                                                           bool *switched);

/* The same, where it is a matter of taste: it takes no room that others could want. */
void bitcask_commit_try_manifest(struct bitcask_commit *commit);

/* Give out ids for segments to come, with the lock given up while that is written. */
enum bitcask_status bitcask_commit_prepare_unlocked(struct bitcask_commit *commit);

/* Wait, without the lock, until nobody writes a MANIFEST. */
void bitcask_commit_wait_manifest(struct bitcask_commit *commit);

/*
 * The active segment has been synced, so the MANIFEST should list it, unless that costs
 * too much. With the lock given up meanwhile: by who has waited for the sync, that is,
 * and nobody else has to.
 */
void bitcask_commit_list_active(struct bitcask_commit *commit);

/* Whether a MANIFEST is small beside a data file. */
bool bitcask_commit_lists_cheaply(const struct bitcask_commit *commit);

/* Remove the hint of the newest segment that can do without; false: there is none. */
bool bitcask_commit_give_up_hint(struct bitcask_commit *commit);

/* Set total_size to what it is. */
void bitcask_commit_measure(struct bitcask_commit *commit);

/* For a file that is to be. */
enum bitcask_status bitcask_commit_new_salt(struct bitcask_commit *commit,
                                            uint64_t *salt);

/*
 * HELP, help.c. A record of @size bytes is about to be appended: see that there is a
 * window for it, if there can be one without waiting.
 */
void bitcask_commit_provide_window(struct bitcask_commit *commit, uint64_t size);

/* The active segment is left, or cut: its windows are no good any more. */
void bitcask_commit_drop_windows(struct bitcask_commit *commit);

/* Tell who helps that there is something to do. */
void bitcask_commit_ask(struct bitcask_commit *commit);

/* @segment is synced and nobody appends to it any more. */
void bitcask_commit_mark_sealed(struct bitcask_commit *commit,
                                struct bitcask_segment *segment, uint64_t last_sequence);

/* bitcask_commit_seal_ended(), without a MANIFEST. */
enum bitcask_status bitcask_commit_seal_oldest(struct bitcask_commit *commit);

/* Cut what was allocated behind the end of @segment. */
void bitcask_commit_trim(struct bitcask_commit *commit, struct bitcask_segment *segment);

/* Remove the segment that was made for later: nobody else helps any more. */
void bitcask_commit_drop_next(struct bitcask_commit *commit);

#endif
