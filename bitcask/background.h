/* SPDX-License-Identifier: MIT */
/*
 * The threads that a cask may have: one begins syncs in time; one prepares what appends
 * will need; one seals segments that have ended and writes their hints, which may take
 * long and must not make the others late; and one merges, which may take longer still.
 * Without them, by option or because no thread could be had, the callers do the same, but
 * for merging.
 */
#ifndef BITCASK_BACKGROUND_H
#define BITCASK_BACKGROUND_H

#include <pthread.h>

#include "bitcask/bitcask.h"
#include "bitcask/commit.h"

/* What there is to do. */
struct bitcask_background_work {
    struct bitcask_commit *commit;
    struct bitcask_segments *segments;
    uint64_t interval_ms; /* between syncs; 0: none are asked for */
    /* Merges if that is due; NULL: nobody is to. Anything but OK: not soon again. */
    enum bitcask_status (*merge)(void *context);
    /* Prepares memory for more keys, a piece at a time; false: there is enough. */
    bool (*prepare)(void *context);
    bool merge_at_once; /* an earlier session has left something to do */
    void *context;
};

struct bitcask_background {
    struct bitcask_background_work work;

    pthread_mutex_t lock;
    pthread_cond_t sync_wake;
    pthread_cond_t ahead_wake;
    pthread_cond_t hint_wake; /* or a hint is written */
    pthread_cond_t merge_wake;
    bool ready; /* the five exist */
    pthread_t sync_thread;
    pthread_t ahead_thread;
    pthread_t hint_thread;
    pthread_t merge_thread;
    bool syncs;  /* sync_thread exists */
    bool aheads; /* ahead_thread exists */
    bool hints;  /* hint_thread exists */
    bool merges; /* merge_thread exists */
    bool stop;
    bool ahead_wanted;
    bool seal_wanted;
    uint64_t merge_delay_ms;              /* before the next merge is considered */
    _Atomic bool grown;                   /* it may be time for a merge */
    struct bitcask_segment *hint_writing; /* by hint_thread; NULL: none */
    bool unsynced; /* somebody has appended since sync_thread last looked */
    struct bitcask_segment **hint_queue;
    size_t hint_count;
    size_t hint_capacity;
};

/*
 * Prepare, and with @use_threads try to start them; all signals are blocked in them.
 * Where no thread can be had, none is needed.
 */
void bitcask_background_start(struct bitcask_background *background,
                              const struct bitcask_background_work *work,
                              bool use_threads);

/* Stop after what they are doing, then write the hints that are still due. */
void bitcask_background_stop(struct bitcask_background *background);

/* Free memory, after stop. */
void bitcask_background_release(struct bitcask_background *background);

/* The same in a child made by fork(), where the threads do not exist. */
void bitcask_background_abandon(struct bitcask_background *background);

/* There is something to prepare for appends. */
void bitcask_background_ahead(struct bitcask_background *background);

/* A segment has ended. */
void bitcask_background_ended(struct bitcask_background *background);

/* There is something to sync. */
void bitcask_background_unsynced(struct bitcask_background *background);

/* There is more data than before, and it may be time to merge. Cheap. */
void bitcask_background_grown(struct bitcask_background *background);

bool bitcask_background_is_grown(struct bitcask_background *background);

/* @segment will probably go: its hint, if it is still to be written, is not worth it. */
void bitcask_background_skip(struct bitcask_background *background,
                             struct bitcask_segment *segment);

/* @segment is about to go: come back when nobody writes its hint, or will. */
void bitcask_background_forget(struct bitcask_background *background,
                               struct bitcask_segment *segment);

/* Write the hint of @segment: soon, or now without a thread. */
void bitcask_background_hint(struct bitcask_background *background,
                             struct bitcask_segment *segment);

#endif
