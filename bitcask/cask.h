/* SPDX-License-Identifier: MIT */
/*
 * The inside of struct bitcask, for the verbs only: open, load, recover, put, batch,
 * get, view, iterate, stat.
 *
 * Locks, in the order in which they are taken: writer mutex of a shard (several in
 * rising order), append lock, lock of the segment table, background lock or read-write
 * lock of a shard (several in rising order, but only to read). The lock of merges is not
 * held over any other.
 */
#ifndef BITCASK_CASK_H
#define BITCASK_CASK_H

#include "bitcask/background.h"
#include "bitcask/commit.h"
#include "bitcask/keydir.h"
#include "bitcask/manifest.h"
#include "bitcask/segment.h"

/* The merge that runs, if one does; see merge.h. */
struct bitcask_merges {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ready; /* the two exist */
    bool running;
    bool by_itself; /* the running one makes way for one that is called */
    bool resting;   /* and does nothing right now */
    bool finishing; /* but its thread still removes what a step has replaced */
    pthread_t runner;
    unsigned caller_count; /* who wait until they can run one */
    unsigned pause_count;
    bool stop;        /* for good */
    uint64_t stop_ms; /* until then a step may still be finished */
    bool overdue;     /* it was due when the cask was opened */

    _Atomic uint64_t count;
    _Atomic uint64_t copied_size;
    _Atomic uint64_t freed_size;
    _Atomic int failure; /* of the last that began by itself */
    uint64_t idle_size;  /* the next begins by itself when so much was appended */
};

struct bitcask {
    struct bitcask_io *io;
    bitcask_file directory;
    bitcask_file lock;              /* held; BITCASK_NO_FILE if read-only */
    bool created;                   /* the directory was made by this open */
    struct bitcask_options options; /* with the defaults filled in */
    unsigned long fork_count;       /* of the process that opened it */

    struct bitcask_segments segments;
    struct bitcask_keydir *keydir;
    struct bitcask_commit commit; /* zeroed if read-only */
    struct bitcask_background background;
    struct bitcask_merges merges; /* zeroed if read-only */
    _Atomic uint64_t view_count;

    /* What the open found; constant afterwards. */
    uint64_t last_sequence;
    uint64_t synced_sequence; /* as far as it is proven */
    _Atomic uint64_t hint_count;
    _Atomic uint64_t scan_count;
    _Atomic uint64_t damage_count;
    uint64_t cut_count;
    uint64_t cut_size;
    uint64_t recovered_size;
    uint64_t open_ms;
};

/* BITCASK_MISUSE if @cask is NULL, or was opened before a fork() by the parent. */
enum bitcask_status bitcask_cask_check(const struct bitcask *cask);

/*
 * Before a write: the same, and BITCASK_READ_ONLY or BITCASK_FAILED. Where nobody else
 * does it, this begins the sync that is due.
 */
enum bitcask_status bitcask_cask_begin_write(struct bitcask *cask);

/* After a write, before it is acknowledged: make it as durable as the mode says. */
enum bitcask_status bitcask_cask_end_write(struct bitcask *cask, uint64_t sequence);

/* Where a record lies that was appended. */
struct bitcask_place bitcask_pending_place(const struct bitcask_pending *pending);

/* How often this process and its ancestors were made by fork(), since the first call. */
unsigned long bitcask_fork_count(void);

/* The size of the record at @place, of a key of @key_size. */
uint64_t bitcask_place_record_size(const struct bitcask_place *place, size_t key_size);

/* The record of @key was put at @place, or at last displaced there: count its bytes. */
void bitcask_cask_count_live(struct bitcask *cask, const struct bitcask_place *place,
                             size_t key_size);
void bitcask_cask_count_dead(struct bitcask *cask, const struct bitcask_place *place,
                             size_t key_size);

/* Read and verify the record at @place; as bitcask_segment_read(). */
enum bitcask_status bitcask_cask_read(struct bitcask *cask, struct bitcask_slice key,
                                      const struct bitcask_place *place,
                                      struct bitcask_buffer *value);

/* The same without a copy, as bitcask_segment_look(), in the segment at @segment. */
enum bitcask_status bitcask_cask_look(struct bitcask *cask, struct bitcask_slice key,
                                      const struct bitcask_place *place,
                                      struct bitcask_segment **segment,
                                      struct bitcask_slice *value);

/*
 * Look @key up, of which the record is to be read, and pin its place. After BITCASK_OK
 * *pin is to be unpinned; else the status is what a get says.
 */
enum bitcask_status bitcask_cask_find(struct bitcask *cask, struct bitcask_slice key,
                                      struct bitcask_place *place,
                                      struct bitcask_pin *pin);

/* The same, as bitcask_segment_copy_mapped(). */
bool bitcask_cask_copy_mapped(struct bitcask *cask, struct bitcask_slice key,
                              const struct bitcask_place *place, uint8_t *value);

/* bitcask_open() through another door to the system. */
enum bitcask_status bitcask_open_with(struct bitcask_io *io, struct bitcask **out,
                                      const char *directory,
                                      const struct bitcask_options *options);

/* With how many threads to read whole casks, when nobody says it. */
unsigned bitcask_load_threads(void);

/*
 * LOADING, load.c. Each thread that loads reads all files, and takes the keys of its
 * own shards from them: reading a hint twice costs less than locks would. Where the cask
 * has no keydir, records are only looked at and counted. Zeroed is released.
 */
struct bitcask_loader {
    struct bitcask *cask;
    struct bitcask_buffer window; /* to read hints through */
    uint64_t now_ms;              /* what has expired by then is a tombstone */
    unsigned part;                /* of part_count; part 0 also counts and opens */
    unsigned part_count;
    bool hint_trusted; /* set it: another has verified the hint that is loaded next */
    bool hint_whole;   /* set by loading one */
};

/*
 * Open the data file of a segment to read, as bitcask_data_file_open(); with salvage,
 * one whose header is damaged too, since its salt is known.
 */
enum bitcask_status bitcask_load_open(struct bitcask *cask, uint64_t id, uint64_t salt,
                                      bitcask_file *out, uint64_t *size, bool *torn);

/* Load one record. */
enum bitcask_status bitcask_load_record(struct bitcask_loader *loader,
                                        struct bitcask_segment *segment,
                                        const struct bitcask_record *record,
                                        uint64_t offset, struct bitcask_slice key);

/* What a hint must be to be of use. */
struct bitcask_hint_terms {
    uint64_t covered_min; /* bytes of the data that it speaks for */
    uint64_t covered_max;
    uint64_t first_sequence; /* of its entries */
    uint64_t last_sequence;  /* if it covers all; 0, or covering less: without a gap */
};

/*
 * Load what the hint of @segment has. *covered is how far it speaks: 0, with
 * BITCASK_OK, for one that is missing, damaged, foreign, or not on @terms; one that
 * cannot be read is an error. *hinted is
 * what any whole hint of the file proves to have been synced, on @terms or not.
 */
enum bitcask_status bitcask_load_hint(struct bitcask_loader *loader,
                                      struct bitcask_segment *segment,
                                      const struct bitcask_hint_terms *terms,
                                      uint64_t *covered, uint64_t *hinted);

/* Load @entries, which are those of the records that @segment begins with. */
struct bitcask_hint_writer;
enum bitcask_status bitcask_load_entries(struct bitcask *cask,
                                         struct bitcask_segment *segment,
                                         const struct bitcask_hint_writer *entries);

/*
 * Load all sealed segments of @manifest, adding them to the table. What lies behind
 * the end of one is noted in its cut_offset and cut_size.
 */
enum bitcask_status bitcask_load_sealed(struct bitcask *cask,
                                        const struct bitcask_manifest *manifest);

/*
 * RECOVERY, recover.c: load the open and prepared segments of @manifest, find where
 * the history ends, and, unless read-only, mend what a crash has left, so that all of
 * it is synced. Fills *start for the append queue; *mended says that the MANIFEST on
 * disk no longer describes the cask and has to be written before anything else. @ahead,
 * which may be NULL, has begun with it, and is joined.
 */
struct bitcask_ahead;
enum bitcask_status bitcask_recover(struct bitcask *cask,
                                    const struct bitcask_manifest *manifest,
                                    struct bitcask_ahead *ahead,
                                    struct bitcask_commit_start *start, bool *mended);

/*
 * Internal until batches and expiry become public: several puts and deletes as one
 * record, all or nothing after a crash; a put that is gone from @expiry_ms on.
 */
struct bitcask_batch_part {
    bool deletes;
    struct bitcask_slice key;
    struct bitcask_slice value;
    uint64_t expiry_ms; /* 0: none */
};
enum bitcask_status bitcask_write_batch(struct bitcask *cask,
                                        const struct bitcask_batch_part *parts,
                                        size_t count);
enum bitcask_status bitcask_put_expiring(struct bitcask *cask, struct bitcask_slice key,
                                         struct bitcask_slice value, uint64_t expiry_ms);

#endif
