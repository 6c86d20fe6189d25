/* SPDX-License-Identifier: MIT */
/*
 * The threads of one round of the threads campaign, on one cask: workers, which make
 * every call there is on few keys, those who iterate, and one who merges. Each writes
 * down in a log of its own what it did; what cannot be right whatever the others did, a
 * torn value for example, it tells at once.
 */
#ifndef TEST_CAMPAIGN_THREADS_CROWD_H
#define TEST_CAMPAIGN_THREADS_CROWD_H

#include <pthread.h>
#include <stdatomic.h>

#include "test/campaign/threads_log.h"

enum {
    THREADS_MEMBERS_MAX = 16,
    THREADS_WORDS_SIZE = 600,
    THREADS_VIEWS_MAX = 8 /* that a worker holds at a time */
};

enum threads_counter {
    THREADS_PUTS,
    THREADS_DELETES,
    THREADS_GETS,
    THREADS_MULTI_GETS,
    THREADS_VIEWS,
    THREADS_BATCHES,
    THREADS_ITERATIONS,
    THREADS_MERGES,
    THREADS_OTHER_CALLS,
    THREADS_COUNTER_COUNT
};

struct threads_crowd {
    struct bitcask *cask;
    unsigned key_count;
    unsigned hot_count;    /* of them, which most calls are about */
    uint64_t call_count;   /* of each worker */
    uint64_t end_ms;       /* workers end then, though they have not made them all */
    _Atomic uint64_t time; /* the moments of the logs */
    _Atomic bool stops;    /* the workers are done, or something is wrong */
    uint64_t counters[THREADS_COUNTER_COUNT]; /* of those who have ended */
};

struct threads_member {
    struct threads_crowd *crowd;
    pthread_t thread;
    unsigned number;
    uint64_t random;
    uint64_t put_count;
    struct threads_log log;
    uint64_t counters[THREADS_COUNTER_COUNT];
    char wrong[THREADS_WORDS_SIZE]; /* "": nothing is */

    struct {
        struct bitcask_view view;
        unsigned key;
        uint64_t value;
    } views[THREADS_VIEWS_MAX];
    unsigned view_count;
    uint8_t bytes[THREADS_VALUE_SIZE_MAX]; /* of what is put */
};

/* The next moment: later than all that others have had when this is called. */
uint64_t threads_now(struct threads_crowd *crowd);
uint64_t threads_clock_ms(void);

/* Something is wrong: keep the words, if they are the first ones, and end the round. */
void threads_wrong(struct threads_member *member, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The calls of a worker, one by chance; and a look at what it still holds. */
void threads_step(struct threads_member *member);
void threads_end_views(struct threads_member *member);

/* Of one key, as the campaign itself does when all others have ended. */
void threads_get(struct threads_member *member, unsigned key);
void threads_put(struct threads_member *member, unsigned key);

/* One iteration over all keys or some; perhaps only the beginning of one. */
void threads_iterate(struct threads_member *member);

/* One merge. */
void threads_merge(struct threads_member *member);

/* What such a thread does, with a struct threads_member. */
void *threads_run_worker(void *context);
void *threads_run_iterations(void *context);
void *threads_run_merges(void *context);

#endif
