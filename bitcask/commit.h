/* SPDX-License-Identifier: MIT */
/*
 * The append queue: gives records their order, writes them to the active segment,
 * shares syncs among those who wait for them, and begins the next segment in time.
 *
 * One lock rules it all. Under it a record gets its sequence and place and is written
 * whole, so that at any moment everything before the end of the active segment is
 * filled, and "synced up to sequence s" says something about every earlier record. A
 * sync runs without the lock, one at a time, oldest segment first; who comes meanwhile
 * waits for the next, which then covers all of them.
 *
 * What takes long is kept off the path of who appends, if there are threads to help
 * (help.c): they make windows, into which a record is stored without a system call, and
 * the next segment, before these are needed, and sync, cut and seal the segments that
 * have ended. Without them a rotation does it all itself.
 *
 * Owns the segments' order and the MANIFEST; knows no keydir.
 */
#ifndef BITCASK_COMMIT_H
#define BITCASK_COMMIT_H

#include <pthread.h>

#include "bitcask/manifest.h"
#include "bitcask/reserve.h"
#include "bitcask/segment.h"
#include "bitcask/window.h"

/* Told to whoever runs in the background; called with the append lock held. */
struct bitcask_commit_listener {
    /* There is something to sync, and there was not. */
    void (*unsynced)(void *context);
    /* @segment is sealed: it could do with a hint. */
    void (*sealed)(struct bitcask_segment *segment, void *context);
    /* How many keys are live: goes into the MANIFEST. */
    uint64_t (*key_count)(void *context);
    /* A record was appended, and all data files together are larger than merge_size. */
    void (*grown)(void *context);
    /* Only with help: there is something to do for bitcask_commit_work_ahead(), */
    void (*ahead)(void *context);
    /* and for bitcask_commit_seal_ended(). */
    void (*ended)(void *context);
    void *context;
};

/* Nothing is appended any more to a segment that has ended; it is still to be sealed. */
struct bitcask_ended {
    struct bitcask_segment *segment;
    uint64_t last_sequence; /* when it ended */
    uint64_t ended_ms;
    uint64_t synced_size;
    bool synced; /* all of it */
};

enum {
    BITCASK_ENDED_MAX = 3 /* and then puts wait */
};

struct bitcask_commit {
    struct bitcask_io *io;
    bitcask_file directory;
    struct bitcask_segments *segments;
    struct bitcask_commit_listener listener;
    uint64_t file_size_max;
    uint64_t merge_size;
    uint64_t window_from; /* no window before appended_size is this */
    bool no_window;       /* no mapping is wanted, or this file system cannot allocate */
    bool helped;          /* there are threads that do what the listener is told of */

    /*
     * What every append changes stands together: where several threads write, each cache
     * line of it goes from one processor to the other.
     */
    pthread_mutex_t lock;
    struct bitcask_segment *active; /* NULL: the next append begins one */
    uint64_t last_sequence;         /* of the newest record */
    uint64_t synced_sequence;       /* everything up to it survives power loss */
    uint64_t total_size;            /* of the data files that are members */
    uint64_t appended_size;         /* bytes of records, since init */
    struct bitcask_window window;   /* of the active segment; see help.c */
    bool rotate_next;               /* append nothing more to the active one */
    bool cut_unsynced; /* something may have been cut off the active one since its sync */
    bool manifest_stale;   /* the MANIFEST on disk does not describe a clean end */
    bool asked;            /* the listener was told, and nobody has looked yet */
    bool syncing;          /* a sync runs, without the lock */
    bool manifest_writing; /* a MANIFEST is being written, without the lock */
    _Atomic bool closed;   /* no more writes */
    _Atomic bool failed;   /* because a sync failed: no more syncs either */
    _Atomic bool
        names_unsynced; /* files may have been removed since the directory's sync */

    pthread_cond_t sync_done; /* or the MANIFEST is written */
    /* For who waits until sync number n is done: the one of n % 2. See sync.c. */
    pthread_cond_t synced[2];
    const struct bitcask_segment *syncing_segment; /* or NULL */
    uint64_t sync_number;           /* of the sync that runs, or was the last */
    uint64_t syncing_sequence;      /* what that one covers */
    struct bitcask_segment *listed; /* as open by the MANIFEST on disk */
    uint64_t synced_size;           /* of the active segment */
    uint64_t sealed_sequence;       /* the last one in a sealed segment */
    uint64_t unsynced_since_ms;     /* when the oldest unsynced record was appended */

    struct bitcask_ended ended[BITCASK_ENDED_MAX]; /* oldest first */
    size_t ended_count;
    bool sealing; /* the oldest, without the lock */

    /* See help.c. */
    struct bitcask_window window_next; /* the one behind the window */
    struct bitcask_window window_left; /* to be unmapped */
    uint64_t sync_count;               /* of segments that are not sealed, */
    uint64_t window_sync_count;        /* and when the last window was made */
    struct bitcask_segment *opening;   /* somebody opens a window, without the lock */
    uint64_t cut_count;                /* cuts of the active segment */
    struct bitcask_segment *next;      /* what the active one is followed by, or NULL */
    struct bitcask_window next_window; /* its first one */
    struct bitcask_manifest_segment next_line; /* its id; 0: none */
    bool next_making;                          /* somebody makes it, without the lock */
    bool next_failed;                          /* so the next rotation makes its own */

    /*
     * Ids given out in the MANIFEST for segments to come, in order. Each session gives
     * out its own: of those of an earlier one a file may have existed, and the MANIFEST
     * that lists them may not be durable.
     */
    struct bitcask_manifest_segment *prepared;
    size_t prepared_count;
    size_t prepared_next;
    /* Those of which the file could not be begun: listed on, and not used again. */
    struct bitcask_manifest_segment *burned;
    size_t burned_count;
    /*
     * Those of files that are no part of the cask: drafts of a merge, and what merges
     * have replaced and is not known to be removed. Listed until that is so.
     */
    struct bitcask_manifest_segment *outside;
    size_t outside_count;
    size_t outside_capacity;
    uint64_t next_id;
    uint32_t salt_tag; /* see bitcask_manifest_tag() */

    struct bitcask_reserve reserve;
};

/* What recovery found; see the members of the same name. */
struct bitcask_commit_start {
    struct bitcask_segment *active; /* clean: go on with this one, open for writing */
    uint64_t last_sequence;         /* all of it synced */
    uint64_t next_id;
    uint32_t salt_tag; /* 0: a new one is wanted */
    /* Of files that should have been removed and could not; taken over by init. */
    struct bitcask_manifest_segment *outside;
    size_t outside_count;
    bool had_outside; /* the MANIFEST lists some, there or not */
};

enum bitcask_status bitcask_commit_init(struct bitcask_commit *commit,
                                        struct bitcask_segments *segments,
                                        const struct bitcask_commit_start *start,
                                        const struct bitcask_commit_listener *listener,
                                        uint64_t file_size_max, uint64_t merge_size);
void bitcask_commit_release(struct bitcask_commit *commit);

/*
 * From now on, or no longer, there are threads that call work_ahead and seal_ended when
 * the listener is told. Nobody may append while this changes.
 */
void bitcask_commit_set_helped(struct bitcask_commit *commit, bool helped);

/*
 * Do the next thing that appends will need; false: there is nothing to do. One thread at
 * a time.
 */
bool bitcask_commit_work_ahead(struct bitcask_commit *commit);

/*
 * Sync, cut and seal the oldest segment that has ended, and let the MANIFEST say so.
 * BITCASK_NOT_FOUND: there is none.
 */
enum bitcask_status bitcask_commit_seal_ended(struct bitcask_commit *commit);

/* The same in a child made by fork(); see bitcask_keydir_abandon(). */
void bitcask_commit_abandon(struct bitcask_commit *commit);

/* A put or tombstone on its way: all that can be done before its place is known. */
struct bitcask_pending {
    struct bitcask_record record;
    struct bitcask_slice key;
    struct bitcask_slice value;
    uint8_t prefix[BITCASK_RECORD_PREFIX_MAX];
    uint32_t check;

    /* Set by append. */
    struct bitcask_segment *segment;
    uint64_t offset;
    uint64_t sequence;
};

/* Fill @pending, which borrows key and value. @expiry_ms 0: none. Sizes are checked. */
void bitcask_pending_init(struct bitcask_pending *pending, enum bitcask_record_kind kind,
                          struct bitcask_slice key, struct bitcask_slice value,
                          uint64_t expiry_ms);

/*
 * Append one record. After a failure the segment ends where it did, and the sequence
 * number goes to the next; only BITCASK_IO, NO_SPACE and FAILED may leave bytes.
 */
enum bitcask_status bitcask_commit_append(struct bitcask_commit *commit,
                                          struct bitcask_pending *pending);

/*
 * Append @count records as one batch, all or nothing after a crash. BITCASK_TOO_BIG:
 * more than 4 GiB in all. BITCASK_NO_MEMORY: the batch is put together in memory.
 */
enum bitcask_status bitcask_commit_append_batch(struct bitcask_commit *commit,
                                                struct bitcask_pending *parts,
                                                size_t count);

/*
 * Return when everything up to @sequence is synced. Whoever ran the sync that failed
 * gets its status, everybody else BITCASK_FAILED.
 */
enum bitcask_status bitcask_commit_wait(struct bitcask_commit *commit, uint64_t sequence);

/* Sync everything appended before the call. */
enum bitcask_status bitcask_commit_sync(struct bitcask_commit *commit);

/* Sync if something has been unsynced for @interval_ms. */
enum bitcask_status bitcask_commit_sync_if_due(struct bitcask_commit *commit,
                                               uint64_t interval_ms);

/*
 * How long until something has been unsynced for @interval_ms: 0 for now, UINT64_MAX
 * for nothing is, or no sync will help any more.
 */
uint64_t bitcask_commit_sync_due_ms(struct bitcask_commit *commit, uint64_t interval_ms);

/* BITCASK_OK, or BITCASK_FAILED with its detail. */
enum bitcask_status bitcask_commit_check(struct bitcask_commit *commit);

/* Whether the disk is so full that nothing should be written that can be done without. */
bool bitcask_commit_is_tight(struct bitcask_commit *commit);

/* The newest sequence, and the newest that is synced. */
void bitcask_commit_sequences(struct bitcask_commit *commit, uint64_t *last,
                              uint64_t *synced);

/* Fill in what the append queue knows about bytes and about retired files. */
void bitcask_commit_stat(struct bitcask_commit *commit, struct bitcask_stat *stat);

/*
 * Write a MANIFEST that describes things as they are and gives out ids for segments to
 * come. Nobody else may use @commit meanwhile.
 */
enum bitcask_status bitcask_commit_prepare(struct bitcask_commit *commit);

/*
 * The clean end: sync, and write the MANIFEST unless it says so already. Nothing may
 * be appended afterwards.
 */
enum bitcask_status bitcask_commit_finish(struct bitcask_commit *commit);

/*
 * FOR MERGES, replace.c; one at a time. None of these holds up appends for longer than it
 * takes to look at the list of segments.
 */

/*
 * Seal segment @id, if it is not, it has a record, and it is the active one: after it is
 * synced, and without beginning another one. Or if it has ended.
 */
enum bitcask_status bitcask_commit_seal(struct bitcask_commit *commit, uint64_t id);

/*
 * Give out @count ids, listed as drafts by a durable MANIFEST. Each is given back by a
 * switch or by bitcask_commit_drop().
 */
enum bitcask_status bitcask_commit_draft(struct bitcask_commit *commit, size_t count,
                                         struct bitcask_manifest_segment *drafts);

/*
 * The file of @id, which is no part of the cask, is gone or was never made. Where its
 * removal failed it stays listed, and is tried again by bitcask_commit_tidy().
 */
void bitcask_commit_drop(struct bitcask_commit *commit, uint64_t id);

/*
 * Replace inputs by outputs, which are whole and synced, in one step: once everything up
 * to @sequence is synced, a MANIFEST lists the outputs as sealed and the inputs as
 * retired. *unknown after a failure says that it is not known which MANIFEST will be
 * found: the files of both must stay.
 */
struct bitcask_switch {
    struct bitcask_segment **inputs;
    size_t input_count;
    struct bitcask_segment **outputs;
    size_t output_count;
};
enum bitcask_status bitcask_commit_switch(struct bitcask_commit *commit,
                                          const struct bitcask_switch *change,
                                          uint64_t sequence, bool *unknown);

/* Take @segment, to which no place points any more, out of the table. */
void bitcask_commit_forget(struct bitcask_commit *commit,
                           struct bitcask_segment *segment);

/* Remove the files of segment @id: hint, data, and what a dead process left. */
enum bitcask_status bitcask_commit_remove_files(struct bitcask_io *io,
                                                bitcask_file directory, uint64_t id);

/* Try to remove the files that could not be removed before. */
enum bitcask_status bitcask_commit_tidy(struct bitcask_commit *commit);

#endif
