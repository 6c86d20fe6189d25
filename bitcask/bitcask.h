/* SPDX-License-Identifier: MIT */
/*
 * bitcask - a log-structured hash table on disk.
 *
 * A cask is one directory. Every put appends a record to the newest of a set of
 * data files; the keydir, in memory, maps each live key to the place of its newest
 * record. A get is one look-up and one read.
 *
 *     struct bitcask *cask = NULL;
 *     enum bitcask_status status = bitcask_open(&cask, "names", NULL);
 *     if (status == BITCASK_OK)
 *         status = bitcask_put(cask, bitcask_text("ada"), bitcask_text("1815"));
 *     if (status != BITCASK_OK)
 *         fprintf(stderr, "%s\n", bitcask_error_detail());
 *     bitcask_close(cask);
 *
 * Threads: any number of threads may share one struct bitcask; every function here
 * may be called from any of them, bitcask_close() excepted.
 *
 * Processes: one writer at a time, a second one gets BITCASK_LOCKED; any number of
 * read-only openers beside it. In a child made by fork() every call on a cask that
 * the parent opened is BITCASK_MISUSE; bitcask_close() says so too, but there frees
 * memory and descriptors and nothing else.
 *
 * Signals: a data file that another program truncates while it is open here can end in
 * SIGBUS, because values are read, and records appended, through mappings; so can a disk
 * that breaks, or is made read-only, under it. options.no_mapping avoids it.
 *
 * What survives which failure is promised, by number, in docs/durability.md.
 */
#ifndef BITCASK_BITCASK_H
#define BITCASK_BITCASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define BITCASK_API __attribute__((visibility("default")))
#else
#define BITCASK_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a call can say. After anything but BITCASK_OK the running store holds what it
 * held before. Only a write ended by BITCASK_IO, BITCASK_NO_SPACE or BITCASK_FAILED
 * may, or may not, be found at the next open. bitcask_error_detail() has the words.
 */
enum bitcask_status {
    BITCASK_OK = 0,
    BITCASK_NOT_FOUND = -1,   /* no such key; no such cask; the end of an iteration */
    BITCASK_IO = -2,          /* the system said no; the detail says what and why */
    BITCASK_CORRUPT = -3,     /* bytes on disk fail their check, or files are missing */
    BITCASK_LOCKED = -4,      /* another opener, in any process, is writing this cask */
    BITCASK_READ_ONLY = -5,   /* a write through a read-only handle or file system */
    BITCASK_NO_MEMORY = -6,   /* an allocation failed */
    BITCASK_NO_SPACE = -7,    /* the disk or the quota is full */
    BITCASK_TOO_BIG = -8,     /* a key or value above the limits below */
    BITCASK_MISUSE = -9,      /* the caller broke a rule stated here */
    BITCASK_FAILED = -10,     /* a sync, or undoing a write, failed: reopen to write */
    BITCASK_UNSUPPORTED = -11 /* files of a newer format than this library knows */
};

/* Limits, in bytes. A key has at least one byte, a value may be empty. */
enum {
    BITCASK_KEY_SIZE_MAX = 65535,
    BITCASK_VALUE_SIZE_MAX = 1073741824 /* 1 GiB */
};

/* A short constant English phrase for @status; never NULL, also for unknown values. */
BITCASK_API const char *bitcask_status_text(enum bitcask_status status);

/*
 * The last failure of the calling thread in words: what failed, on which file and at
 * which offset, what the system said, and what to do. Never NULL; "" before the first
 * failure. Valid until the thread's next failing call.
 */
BITCASK_API const char *bitcask_error_detail(void);

/* The version of the library that runs, for example "0.1.0". */
BITCASK_API const char *bitcask_version(void);

/* Borrowed bytes: a callee reads them during the call and keeps no pointer. */
struct bitcask_slice {
    const void *data; /* may be NULL only when size is 0 */
    size_t size;
};

/* The bytes of a C string, without its terminator; NULL gives an empty slice. */
BITCASK_API struct bitcask_slice bitcask_text(const char *text);

/*
 * Owned bytes that grow on demand: zero-initialise, reuse for any number of gets,
 * then release. After BITCASK_OK data is never NULL, and data[size] is a zero byte
 * that size does not count, so that a text value can be used as a C string.
 */
struct bitcask_buffer {
    void *data;
    size_t size;
    size_t capacity;
};

/* Free what @buffer holds and zero it. NULL and a zeroed buffer are fine. */
BITCASK_API void bitcask_buffer_release(struct bitcask_buffer *buffer);

/*
 * When an acknowledged write is safe from a power failure. A process that dies, by
 * kill -9 too, loses nothing that was acknowledged in any mode. In every mode, what a
 * power failure leaves is a prefix of the history across all keys.
 */
enum bitcask_sync_mode {
    BITCASK_SYNC_DEFAULT = 0, /* the same as BITCASK_SYNC_INTERVAL */
    BITCASK_SYNC_NONE,        /* after bitcask_sync() or bitcask_close() */
    BITCASK_SYNC_INTERVAL,    /* once sync_interval_ms has passed and that sync ended */
    BITCASK_SYNC_ALWAYS       /* when the call returns; concurrent writers share syncs */
};

/*
 * How to open a cask. All zero is the default for everything; always initialise the
 * whole struct (`struct bitcask_options options = { 0 };`, in C++ `= {}`), reserved
 * space included: reserved bits that are set are BITCASK_MISUSE.
 */
struct bitcask_options {
    bool read_only;      /* take no lock, change nothing on disk */
    bool must_exist;     /* BITCASK_NOT_FOUND instead of creating a cask */
    bool no_background;  /* no threads: hints and syncs are done by the calling thread,
                            the syncs of SYNC_INTERVAL when it writes next, and merges
                            only by bitcask_merge() */
    bool no_mapping;     /* read values with pread(), and append records with writes,
                            instead of through mappings; much slower */
    bool salvage;        /* with read_only: step over damage that open would refuse; what
                            it hides may be an older value, or a deleted key */
    bool merge_auto_off; /* merge only when bitcask_merge() is called */
    bool reserved_flags[2];

    enum bitcask_sync_mode sync;
    uint32_t sync_interval_ms;   /* for BITCASK_SYNC_INTERVAL; 0 means 1000 */
    uint32_t threads;            /* that load the keydir at open; 0 means up to 4, as
                                    many as there are processors, or 1 if no_background */
    uint32_t merge_dead_percent; /* what share of the bytes must be dead before they are
                                    worth a merge, 1 to 100; 0 means 50 */

    uint64_t file_size_max; /* bytes in a data file before the next is begun; 0 means
                               64 MiB, at least 4 KiB, at most 256 GiB. A record larger
                               than this has a file of its own. */
    uint64_t expected_keys; /* size the keydir for this many from the start, at most for
                               100 million; 0: for those that are there */
    uint64_t merge_trigger_size; /* bytes that all data files together must exceed
                                    before a merge begins by itself; 0 means 5 MiB */
    uint64_t merge_rate; /* bytes a second that such a merge reads at most; 0 means
                            32 MiB, UINT64_MAX no limit. It does not count while more
                            than (100 + merge_dead_percent) / 2 percent are dead. */
    uint64_t reserved[6];
};

struct bitcask;

/*
 * Open the cask in @directory, which is created (but not its parents) unless
 * must_exist or read_only is set. @options may be NULL for the defaults.
 *
 * A record that the last process or the power left half written at the end of the
 * newest files is cut off, and the cut is reported by bitcask_stat(). A bad, missing
 * or foreign hint is no error: the data is scanned instead.
 *
 * A read-only cask shows the moment of opening, and opens beside a writer and on
 * read-only media. What a merge of the writer then removes stays readable, except, with
 * no_mapping, files beyond the first 256: their gets are BITCASK_IO, and it is time to
 * open again.
 *
 * On success *out is owned by the caller and goes to bitcask_close(); otherwise *out
 * is NULL, and nothing was created or changed but what recovery had to mend, and, where
 * making a new cask failed half way, its own files without a record.
 *
 * BITCASK_NOT_FOUND: no cask there, with must_exist or read_only.
 * BITCASK_LOCKED: somebody writes it; the detail names the process if it can be had. With
 * read_only: a writer changes it faster than it can be read.
 * BITCASK_CORRUPT: damage that hides which keys are concerned, named in the detail.
 * BITCASK_UNSUPPORTED: written by a newer version. BITCASK_READ_ONLY: the file system
 * is, and read_only was not asked for. BITCASK_MISUSE: bad options, or a directory
 * that holds something other than a cask. BITCASK_IO, NO_MEMORY, NO_SPACE as named.
 */
BITCASK_API enum bitcask_status bitcask_open(struct bitcask **out, const char *directory,
                                             const struct bitcask_options *options);

/*
 * Sync, record a clean end, and free @cask, whatever is returned. NULL is fine. A merge
 * that began by itself is ended first: it has a quarter of a second to finish the files
 * that it is at, and gives up what it cannot.
 *
 * The first failure on the way is returned (also one of an earlier background sync);
 * nothing that was acknowledged as synced is lost by it, and the next open recovers.
 * Other threads' calls that are still running, and iterators and views not released yet,
 * are the caller's error and undefined.
 */
BITCASK_API enum bitcask_status bitcask_close(struct bitcask *cask);

/*
 * Set @key to @value. Both are borrowed for the call.
 *
 * BITCASK_OK: every later get sees it, and it survives what the sync mode promises.
 * BITCASK_MISUSE: an empty key. BITCASK_TOO_BIG: above the limits. BITCASK_READ_ONLY,
 * BITCASK_FAILED, BITCASK_NO_SPACE, BITCASK_NO_MEMORY, BITCASK_IO: not done.
 */
BITCASK_API enum bitcask_status bitcask_put(struct bitcask *cask,
                                            struct bitcask_slice key,
                                            struct bitcask_slice value);

/*
 * Copy the newest value of @key into @value, replacing what it held.
 *
 * BITCASK_NOT_FOUND: no such key. BITCASK_CORRUPT: the record fails its check, other
 * keys stay readable. After anything but BITCASK_OK @value is as it was.
 */
BITCASK_API enum bitcask_status bitcask_get(struct bitcask *cask,
                                            struct bitcask_slice key,
                                            struct bitcask_buffer *value);

/* A value looked at where it lies. Zero-initialise it, or let bitcask_view() do so. */
struct bitcask_view {
    struct bitcask_slice value; /* no zero byte follows; do not write there */

    /* Of the library alone. */
    struct bitcask *cask;
    struct bitcask_segment *segment;
    void *copy;
    unsigned long fork_count;
    uint64_t reserved[2];
};

/*
 * Look at the newest value of @key without copying it: for values of many kilobytes. What
 * @view held before is not released.
 *
 * BITCASK_OK: view->value.data is not NULL, and the bytes stay as they are until
 * bitcask_view_release(), whatever is put, deleted or merged meanwhile. Both checks have
 * been verified, once. Where nothing is mapped (with no_mapping, where memory is short or
 * an address has 32 bits) the view owns a copy. After anything else @view is zeroed;
 * BITCASK_NOT_FOUND and BITCASK_CORRUPT as bitcask_get(), BITCASK_NO_MEMORY: of a copy.
 *
 * No write or merge waits for a view, however long it is held. But the space of a data
 * file that a merge removes is given back by the system only when the last view of it is
 * released: see held_size of bitcask_stat(). Release all before the cask is closed.
 */
BITCASK_API enum bitcask_status bitcask_view(struct bitcask *cask,
                                             struct bitcask_slice key,
                                             struct bitcask_view *view);

/*
 * End @view, in any thread, and zero it. NULL and a zeroed view are fine. A view may be
 * moved, but only one of its copies be released; releasing a second one is undefined. In
 * a child made by fork() the bytes of the parent's views stay until the cask is closed
 * there; releasing one frees memory and does nothing else, before that or after.
 */
BITCASK_API void bitcask_view_release(struct bitcask_view *view);

/*
 * Get @count keys at a time, which takes a third of the time of as many bitcask_get().
 * The value of keys[i] goes to values[i], and what bitcask_get() would return for it to
 * statuses[i], whatever becomes of the others. A key may be there twice, a buffer may
 * not. All are not read at one moment: another thread's put may be seen in one of them,
 * and its earlier put missed in another.
 *
 * BITCASK_OK: each key was found or is not there; count may be 0. Else it is the first
 * other one of the statuses, and the detail says which key, and what went wrong.
 * BITCASK_MISUSE also for NULL arguments, and then nothing was done.
 */
BITCASK_API enum bitcask_status bitcask_multi_get(struct bitcask *cask,
                                                  const struct bitcask_slice *keys,
                                                  size_t count,
                                                  struct bitcask_buffer *values,
                                                  enum bitcask_status *statuses);

/*
 * Remove @key. BITCASK_NOT_FOUND when there was none (and nothing is written);
 * everything else as bitcask_put().
 */
BITCASK_API enum bitcask_status bitcask_delete(struct bitcask *cask,
                                               struct bitcask_slice key);

/* BITCASK_OK if @key is there, BITCASK_NOT_FOUND if not. Does not read the value. */
BITCASK_API enum bitcask_status bitcask_exists(struct bitcask *cask,
                                               struct bitcask_slice key);

/*
 * Make everything acknowledged before this call safe from power failure.
 *
 * BITCASK_FAILED or BITCASK_IO: it is not, and cannot be made so by trying again; the
 * cask refuses writes until it is reopened, and reads go on. On a read-only cask
 * there is nothing to do and the answer is BITCASK_OK.
 */
BITCASK_API enum bitcask_status bitcask_sync(struct bitcask *cask);

/* What a cask holds. Sizes are bytes. */
struct bitcask_stat {
    uint64_t key_count;       /* live keys */
    uint64_t segment_count;   /* data files */
    uint64_t data_size;       /* of all data files, but for space set aside in them */
    uint64_t live_size;       /* records that a get can reach */
    uint64_t dead_size;       /* records overwritten or deleted, and tombstones */
    uint64_t last_sequence;   /* of the newest record: counts all writes ever made */
    uint64_t synced_sequence; /* all records up to this one are known to be synced */

    /* Made, or in a read-only cask met, when this handle was opened. */
    uint64_t cut_count;      /* torn tails cut off, one per data file; not unused space */
    uint64_t cut_size;       /* bytes in them */
    uint64_t damage_count;   /* damaged regions stepped over; only with salvage */
    uint64_t recovered_size; /* bytes written again, of files not proven whole */
    uint64_t hint_count;     /* data files whose keys came from their hint */
    uint64_t scan_count;     /* data files that were read from end to end instead */
    uint64_t open_ms;        /* how long the open took */

    /* Since this handle was opened. What was written to data files in all is appended
       and copied together. */
    uint64_t appended_size;     /* bytes of records that writes have appended */
    uint64_t merge_count;       /* merges that have ended and replaced files */
    uint64_t merge_copied_size; /* bytes that they have written to data files */
    uint64_t merge_freed_size;  /* bytes by which the data files became smaller */
    uint64_t merge_failure;     /* the last merge that began by itself: 0, or minus its
                                   enum bitcask_status */

    uint64_t retired_count; /* data files that a merge has replaced and that could not
                               be removed yet; in no number above */
    uint64_t retired_size;  /* bytes in those of this handle's merges */

    uint64_t keydir_size; /* bytes of memory that the keys take, tables included */

    /* As the options of this handle say, with the defaults filled in; when a merge is
       due follows from them. */
    uint64_t merge_trigger_size;
    uint64_t merge_dead_percent;

    uint64_t view_count; /* views that are not released yet */
    uint64_t held_count; /* data files that merges have replaced and that views keep
                            mapped; in no number above but perhaps the retired */
    uint64_t held_size;  /* bytes in them: removed, they still take space on the disk */

    uint64_t reserved[5];
};

/* Fill *stat. The numbers are each true, but writers may move between them. */
BITCASK_API enum bitcask_status bitcask_stat(struct bitcask *cask,
                                             struct bitcask_stat *stat);

/* One data file. Sizes and offsets are bytes. */
struct bitcask_segment_stat {
    uint64_t id;           /* the number in its name */
    uint64_t data_size;    /* of the file, but for space set aside behind its records */
    uint64_t live_size;    /* records in it that a get can reach */
    uint64_t dead_size;    /* the other records */
    uint64_t live_count;   /* live records */
    uint64_t record_count; /* records of all kinds */
    uint64_t tombstone_count; /* records that delete */
    uint64_t first_sequence;  /* of its records; 0 when there are none */
    uint64_t last_sequence;
    uint64_t cut_offset; /* where a torn tail was cut at open, if cut_size is not 0 */
    uint64_t cut_size;
    bool sealed; /* never written again */
    bool reserved_flags[7];
    uint64_t tombstone_size;  /* bytes of the records that delete; part of dead_size */
    uint64_t purged_sequence; /* made by a merge: what had been deleted by this record
                                 has no older value in this file; else 0 */
    uint64_t reserved[6];
};

/* Return anything but BITCASK_OK to stop the walk with that status. */
typedef enum bitcask_status bitcask_segment_visit(
    const struct bitcask_segment_stat *segment, void *context);

/*
 * Call @visit for every data file, oldest id first. @segment is valid during the
 * visit. The visit may call any function on @cask but bitcask_close().
 */
BITCASK_API enum bitcask_status bitcask_stat_segments(struct bitcask *cask,
                                                      bitcask_segment_visit *visit,
                                                      void *context);

/*
 * MERGING: live records are copied out of data files that hold much garbage, and those
 * files are removed. docs/merge.md explains which files, when, and what it costs.
 */

/* Which files a merge takes. */
enum bitcask_merge_choice {
    BITCASK_MERGE_POLICY =
        0,              /* those with a share of dead bytes of merge_dead_percent,
                           however small the cask is, and what goes well with them */
    BITCASK_MERGE_ALL,  /* every one: nothing dead is left */
    BITCASK_MERGE_FILES /* those named by file_ids */
};

/* Why the policy takes a file, or leaves it. */
enum bitcask_merge_reason {
    BITCASK_MERGE_LEFT = 0,     /* left: too little of it is dead */
    BITCASK_MERGE_LEFT_DAMAGED, /* left: a merge has met damage in it */
    BITCASK_MERGE_LEFT_NEEDED,  /* left: what is dead in it is mostly tombstones that are
                                   still needed */
    BITCASK_MERGE_LEFT_UNASKED, /* left: not among file_ids */
    BITCASK_MERGE_DEAD,         /* taken: enough of it is dead */
    BITCASK_MERGE_ALL_DEAD,     /* taken: all of it is, so it goes without being read */
    BITCASK_MERGE_TOMBSTONES,   /* taken: tombstones wait for it, or it holds such */
    BITCASK_MERGE_SMALL,        /* taken: small, and joined with others */
    BITCASK_MERGE_ASKED         /* taken: all are, or it is among file_ids */
};

/* A short constant English phrase for @reason; never NULL. */
BITCASK_API const char *bitcask_merge_reason_text(enum bitcask_merge_reason reason);

/* One data file, as a merge sees it before it begins. Sizes are bytes. */
struct bitcask_merge_file {
    uint64_t id;
    uint64_t data_size;
    uint64_t live_size;
    uint64_t tombstone_size;
    uint64_t freed_size; /* if taken: by how much the data files become smaller; their
                            hints, which are not counted, do so too */
    enum bitcask_merge_reason reason;
    bool taken;
    bool active; /* the one that is appended to: sealed first if it is taken */
    bool reserved_flags[2];
    uint64_t reserved[4];
};

/* Told of each file, oldest id first. Anything but BITCASK_OK ends the merge with it. */
typedef enum bitcask_status bitcask_merge_explain(const struct bitcask_merge_file *file,
                                                  void *context);

/* How far a merge is. Sizes are bytes. */
struct bitcask_merge_progress {
    uint64_t done_size;   /* gone through, of the files taken */
    uint64_t total_size;  /* of them all */
    uint64_t copied_size; /* written */
    uint64_t reserved[5];
};

/*
 * Told how far it is, at least every MiB that is read, and while it sleeps. Anything but
 * BITCASK_OK ends the merge with it: what is finished stays, the rest is as it was. May
 * call any function on the cask but bitcask_close() and bitcask_merge().
 */
typedef enum bitcask_status bitcask_merge_visit(
    const struct bitcask_merge_progress *progress, void *context);

/* How to merge. All zero: by the policy, as fast as it goes. */
struct bitcask_merge_options {
    enum bitcask_merge_choice choice;
    bool dry_run;  /* change nothing; the report says what would be done. A read-only cask
                      will do. */
    bool estimate; /* with dry_run: read nothing either; how many tombstones would be
                      kept, and so how many bytes come back, is then a guess. What is
                      taken, and why, is not. */
    bool reserved_flags[2];
    const uint64_t *file_ids; /* for BITCASK_MERGE_FILES; of none, nothing is done */
    size_t file_count;
    uint64_t rate;   /* bytes a second read at most; 0: no limit */
    uint64_t max_ms; /* end after so long; 0: when all is done. What is left waits for
                        the next merge. The first file may take four times as long:
                        else, on a slow disk, nothing would ever come of it. */
    bitcask_merge_explain *explain; /* may be NULL */
    bitcask_merge_visit *progress;  /* may be NULL */
    void *context;                  /* for both */
    uint64_t reserved[8];
};

/* What a merge has done, or in a dry run would do. Sizes are bytes. */
struct bitcask_merge_report {
    uint64_t input_count;  /* data files that were replaced */
    uint64_t output_count; /* by so many */
    uint64_t input_size;
    uint64_t output_size;
    uint64_t record_in_count; /* records of all kinds in the inputs */
    uint64_t record_out_count;
    uint64_t tombstone_dropped_count;
    uint64_t tombstone_kept_count; /* a file left behind may hold what they delete */
    uint64_t taken_count;          /* files that were chosen; those above and the next */
    uint64_t left_count;           /* chosen, but left: damaged, no room, or stopped */
    uint64_t elapsed_ms;
    uint64_t reserved[8];
};

/*
 * Merge. @options may be NULL for the defaults, @report may be NULL if not wanted; it
 * is filled also after a failure. Readers and writers go on meanwhile. One merge runs at
 * a time: one that began by itself makes way, another is waited for.
 *
 * Durable: before a file is removed everything written until then is synced, and so is
 * what replaces it. A crash at any moment leaves all that was there. Memory: 8 MiB, and
 * 400 bytes for each data file.
 *
 * BITCASK_OK: all that was chosen is merged, or max_ms has passed, or nothing was to do.
 * BITCASK_CORRUPT: a record fails its checks; its file stays as it is, the others have
 * been merged. BITCASK_NO_SPACE: there was not enough room to copy what is live; files
 * for which there was are merged. BITCASK_IO: also when a replaced file could not be
 * removed; that is tried again by later merges and opens. BITCASK_READ_ONLY,
 * BITCASK_FAILED, BITCASK_NO_MEMORY. BITCASK_NOT_FOUND: a file of file_ids is not there.
 * BITCASK_MISUSE: bad options, or called by the progress callback of a merge.
 */
BITCASK_API enum bitcask_status bitcask_merge(struct bitcask *cask,
                                              const struct bitcask_merge_options *options,
                                              struct bitcask_merge_report *report);

/*
 * Whether a merge would begin by itself if that is on: the data files together have more
 * than merge_trigger_size bytes, and merge_dead_percent of them are dead.
 */
BITCASK_API enum bitcask_status bitcask_merge_due(struct bitcask *cask, bool *due);

/*
 * From the return of pause until resume no merge, begun by itself or by a call, reads,
 * writes or removes anything: for a copy of the directory, say. Pauses are counted. A
 * pause waits until a merge has come to a good place, which takes a MANIFEST at most.
 * BITCASK_MISUSE: a resume without a pause. BITCASK_READ_ONLY: there are no merges.
 */
BITCASK_API enum bitcask_status bitcask_merge_pause(struct bitcask *cask);
BITCASK_API enum bitcask_status bitcask_merge_resume(struct bitcask *cask);

/* What to iterate over. All zero means every key and value, in no order. */
struct bitcask_iterator_options {
    bool keys_only; /* read no values: the value slice is { NULL, 0 } */
    bool sorted;    /* by unsigned bytes, a shorter key before its extensions */
    bool reserved_flags[6];
    struct bitcask_slice prefix; /* only keys that begin with it */
    struct bitcask_slice from;   /* only keys not below it (inclusive) */
    struct bitcask_slice to;     /* only keys below it (exclusive); size 0: no limit */
    uint64_t reserved[8];
};

struct bitcask_iterator;

/*
 * Begin an iteration over @cask. @options may be NULL; its slices are copied.
 *
 * Every key that is live during the whole iteration comes exactly once, with a value
 * that it held meanwhile; a key put or deleted meanwhile comes at most once. Writers
 * are never kept waiting for longer than a few keys are copied.
 *
 * Memory: some 100 kilobytes and the largest value, as long as few values have been
 * asked for; then more, so that they can be read in the order in which they lie: in the
 * end 48 bytes and the key of a quarter of all keys, but of no more than half a million,
 * some 40 MiB, which wait for their turn. With sorted, instead, a copy of every
 * key selected and 24 bytes for each, from the first call of next to close; another
 * 24 bytes for each while they are being sorted in that first call.
 *
 * One thread at a time may use an iterator. On success *out is owned by the caller
 * and goes to bitcask_iterator_close(), before the cask is closed.
 */
BITCASK_API enum bitcask_status bitcask_iterator_open(
    struct bitcask *cask, const struct bitcask_iterator_options *options,
    struct bitcask_iterator **out);

/*
 * Step to the next key. @key and @value may be NULL if not wanted; the slices are
 * valid until the next call on @iterator.
 *
 * BITCASK_NOT_FOUND: the end. BITCASK_CORRUPT or BITCASK_IO: the value of *key cannot
 * be read; *key is set nevertheless, *value is empty, and the next call goes on behind
 * it. BITCASK_NO_MEMORY: nothing was skipped, the call may be repeated.
 */
BITCASK_API enum bitcask_status bitcask_iterator_next(struct bitcask_iterator *iterator,
                                                      struct bitcask_slice *key,
                                                      struct bitcask_slice *value);

/* Free @iterator. NULL is fine. */
BITCASK_API void bitcask_iterator_close(struct bitcask_iterator *iterator);

#ifdef __cplusplus
}
#endif

#endif
