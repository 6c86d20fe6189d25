/* SPDX-License-Identifier: MIT */
/*
 * A random history of writes on a cask, and the judge of what a crash may leave of it.
 *
 * The history notes what each sequence number did, in the order of the numbers, as it
 * sees the records go by on their way to the disk (history_tap()); and which of them
 * have been promised to survive. After a crash the judge says whether a cask holds a
 * prefix of the history, across all keys, that is not shorter than what was promised.
 *
 * Values are made again from the number of the write that put them, so none is kept.
 *
 * Threads: only under a schedule (test/schedule.h), where a thread is never interrupted
 * between two calls of the library.
 */
#ifndef TEST_CAMPAIGN_HISTORY_H
#define TEST_CAMPAIGN_HISTORY_H

#include "bitcask/cask.h"
#include "test/sim_disk.h"

enum {
    HISTORY_KEYS = 12,
    HISTORY_WRITES_MAX = 1000, /* attempts; each part of a batch is one */
    HISTORY_THREADS_MAX = 4,
    HISTORY_PARTS_MAX = 5, /* of a batch */
    HISTORY_KEY_MAX = 300,
    HISTORY_VALUE_MAX = 10240,
    HISTORY_FILES_MAX = 2048, /* ids of data files */
    HISTORY_WORDS_MAX = 400
};

/* An attempt to write; it is known by its place in history.writes. */
struct history_write {
    bool deletes;
    bool ends; /* a prefix may end behind it: all but the first parts of a batch */
    bool running;
    bool acked;
    bool failed; /* its call did, though its record may have gone by */
    unsigned key;
    uint32_t value_size;
    uint64_t expiry_ms; /* 0: none */
    uint64_t sequence;  /* once its record went by; 0: not yet */
    uint64_t acked_ms;  /* by the monotonic clock */
};

struct history {
    uint64_t seed;
    bool merges;                                         /* some steps of it are merges */
    struct history_write writes[HISTORY_WRITES_MAX + 1]; /* 1 is the first */
    unsigned write_count;
    unsigned order[HISTORY_WRITES_MAX + 1]; /* the write of each sequence number */
    uint64_t stored_end;                    /* of the last store into a data file, */
    size_t stored_part;       /* and how much of a record it was the end of */
    uint64_t last_sequence;   /* that went by */
    uint64_t acked_sequence;  /* the highest that was acknowledged */
    uint64_t synced_sequence; /* the highest that no power failure may take */
    bool may_fail;            /* calls of the system are to fail: ours may say so */
    bool sync_failed;         /* that of a data file, or of the directory, has */
    bool cut_failed;          /* that of a failed append */
    bool refuses;       /* and it was told: no write may succeed before the next open */
    uint64_t opened_ms; /* by the wall clock; 0: no time has passed since the open */
    bool is_output[HISTORY_FILES_MAX]; /* by id: a merge has written it */
    unsigned merge_count;              /* that were called for, and replaced something */
    char problem[HISTORY_WORDS_MAX];   /* the first thing that was wrong; "": nothing */
};

void history_init(struct history *history, uint64_t seed);

/* The bytes of a key, of 2 to HISTORY_KEY_MAX bytes; valid for ever. */
struct bitcask_slice history_key(unsigned key);

/* To be called for each moment of the disk while the history is being written. */
void history_tap(struct history *history, const struct sim_moment *moment);

/* How the writes of a session are made, and what is promised for them. */
struct history_session {
    struct history *history;
    struct bitcask *cask;
    enum bitcask_sync_mode sync;
    uint64_t interval_ms; /* promised by the next write; 0: by somebody else, or not */
    unsigned thread;
    unsigned thread_count;
    bool alone; /* one thread, and none in the background */
    uint64_t random;
    struct bitcask_view view; /* zeroed, or of what write number viewed has put */
    unsigned viewed;
    /* Of the call that runs. */
    uint64_t began_ms;
    bool refused; /* an earlier one was, because of a failed sync */
};

/*
 * Make one random write (put, delete, batch, expiring put), read or merge, and take what
 * the call promises to the books. A wrong answer becomes history.problem.
 */
void history_step(struct history_session *session);
/* After the last step: what is still looked at has to be as it was. */
void history_end_view(struct history_session *session);

/*
 * While no other thread writes: the running store is what the acknowledged writes have
 * made of it, in the order of their records, whichever thread made them.
 */
void history_look(struct history_session *session);

/* bitcask_sync() and bitcask_close(), likewise. */
void history_sync(struct history_session *session);
void history_close(struct history_session *session);
/* While nobody writes: the thread in the background syncs all that there is, in time. */
void history_wait(struct history_session *session, uint32_t interval_ms);

/*
 * THE JUDGE. True if @cask holds exactly the first *kept records of the history, by
 * stat, gets and iteration, at least @floor of them and no part of a batch. Else @words
 * say what is wrong.
 */
bool history_judge(const struct history *history, struct bitcask *cask, uint64_t floor,
                   uint64_t *kept, char words[HISTORY_WORDS_MAX]);

/* True if no file of @disk, open as @cask, is left over from a merge or a crash. */
bool history_judge_names(const struct sim_disk *disk, struct bitcask *cask,
                         char words[HISTORY_WORDS_MAX]);

/*
 * True if all of the history is in the cask on @disk, also after a merge of everything,
 * which leaves nothing dead, and after another open that has no hints.
 */
bool history_judge_merged(const struct history *history, struct sim_disk *disk,
                          const struct bitcask_options *options,
                          char words[HISTORY_WORDS_MAX]);

/*
 * The cask was opened, and goes on behind the first @kept records, all of which are
 * safe: forget the others, and what had not been answered.
 */
void history_cut(struct history *history, uint64_t kept);

#endif
