/* SPDX-License-Identifier: MIT */
/*
 * bitcask/inspect.h - see into the files of a cask, check them, and mend them.
 *
 * Nothing here needs bitcask_open() to succeed. What only looks takes no lock, changes
 * nothing, reads with pread() and never through a mapping, and may run beside a writer.
 * What changes something says so, and takes the lock of the cask.
 *
 * Details of failures come from bitcask_error_detail(), as everywhere. docs/format.md
 * explains what there is to see, docs/repair.md what the checks mean.
 *
 * Threads: calls with different inspectors, and calls that have none, may run at the same
 * time; one inspector is for one thread at a time. Callbacks are called by one thread at
 * a time, but not always by that of the caller.
 */
#ifndef BITCASK_INSPECT_H
#define BITCASK_INSPECT_H

#include "bitcask/bitcask.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * INSPECTING ONE FILE
 *
 *     struct bitcask_inspector *inspector = NULL;
 *     struct bitcask_inspect_item item;
 *     enum bitcask_status status = bitcask_inspector_open(&inspector, path, 0);
 *
 *     while (status == BITCASK_OK) {
 *         status = bitcask_inspector_next(inspector, &item);
 *         ...
 *     }
 *     bitcask_inspector_close(inspector);
 */

enum bitcask_inspect_file {
    BITCASK_INSPECT_DATA = 1,
    BITCASK_INSPECT_HINT,
    BITCASK_INSPECT_MANIFEST,
    BITCASK_INSPECT_OTHER /* none of them, as far as its name and first bytes tell */
};

/* A file as a whole. Sizes and offsets are bytes. */
struct bitcask_inspect_header {
    enum bitcask_inspect_file file;
    uint64_t file_size; /* when it was opened */

    /* Of data files and hints: the first 64 bytes, as they stand there. */
    unsigned char magic[8];
    uint32_t version;
    uint32_t features;
    uint64_t segment_id;
    uint64_t salt;
    uint64_t created_ms; /* since 1970; 0 in a hint */
    uint32_t check_stored;
    uint32_t check_computed;
    bool intact;     /* it is a whole header that this library understands */
    bool salt_found; /* records can be checked: with this salt, which may come from
                        MANIFEST or from the hint if the header is damaged */
    uint64_t record_salt;

    /* Of hints: the trailer, the last 48 bytes. */
    bool trailer_intact; /* and with it the check of the whole file */
    uint32_t trailer_check_stored;
    uint32_t trailer_check_computed;
    uint64_t entry_count;
    uint64_t tombstone_count;
    uint64_t first_sequence;
    uint64_t last_sequence;
    uint64_t data_size; /* of the data file, that it speaks for */

    uint64_t reserved[8];
};

enum bitcask_inspect_kind {
    BITCASK_INSPECT_PUT = 1,
    BITCASK_INSPECT_TOMBSTONE = 2,
    BITCASK_INSPECT_BATCH = 3, /* its parts follow as items of their own */
    BITCASK_INSPECT_DAMAGE = 4 /* bytes in which nothing can be recognised; see zeros */
};

/* A record of a data file, or an entry of a hint. */
struct bitcask_inspect_item {
    enum bitcask_inspect_kind kind;
    bool expires;
    bool key_intact;   /* header and key can be believed. If not, what is below is only
                          what the bytes look like. (In a hint: its whole file.) */
    bool value_intact; /* of a batch: all its parts. Always true in a hint. */
    bool batch_intact; /* of a part: its batch. True outside a batch. */
    bool in_batch;
    bool zeros; /* of damage: nothing but zeros, to the end of the file. Unless MANIFEST
                   says that there were records, that is no damage, but space that was set
                   aside for them. */
    uint64_t offset;        /* in the file that is inspected */
    uint64_t size;          /* there */
    uint64_t batch_offset;  /* if in_batch */
    uint64_t record_offset; /* in the data file: where a hint says it is, else offset */
    uint64_t record_size;   /* there */
    uint64_t sequence;
    uint64_t unsynced_count;   /* UINT32_MAX: so many or more. 0 in a hint. */
    uint64_t expiry_ms;        /* since 1970; 0 unless it expires */
    uint64_t value_offset;     /* in the data file */
    uint64_t value_size;       /* of a batch: of all its parts */
    uint32_t key_check_stored; /* the four are 0 in a hint, which has none */
    uint32_t key_check_computed;
    uint32_t value_check_stored;
    uint32_t value_check_computed;
    struct bitcask_slice key; /* valid until the next call on the inspector */

    uint64_t reserved[4];
};

struct bitcask_inspector;

/*
 * Open the file at @path. What it is, its first bytes say, and where they are damaged its
 * name. With @salt 0, a data file whose header is damaged is looked up in the MANIFEST
 * and the hint beside it.
 *
 * BITCASK_NOT_FOUND: there is no such file. BITCASK_MISUSE: it is a directory.
 * BITCASK_IO, BITCASK_NO_MEMORY. On success *out is the caller's, to be closed.
 */
BITCASK_API enum bitcask_status bitcask_inspector_open(struct bitcask_inspector **out,
                                                       const char *path, uint64_t salt);
BITCASK_API void bitcask_inspector_close(struct bitcask_inspector *inspector);

BITCASK_API const struct bitcask_inspect_header *bitcask_inspector_header(
    const struct bitcask_inspector *inspector);

/*
 * The next item is looked for at @offset and behind it: it need not be where a record
 * begins. With 0, and at first, it is the first of the file.
 */
BITCASK_API void bitcask_inspector_seek(struct bitcask_inspector *inspector,
                                        uint64_t offset);

/*
 * Step to the next item. Bytes that are none come as BITCASK_INSPECT_DAMAGE, and the call
 * after it goes on behind them.
 *
 * BITCASK_NOT_FOUND: the end, for now: if the file has grown, or a record has come where
 * none was at its end, a later call goes on (what was damage there is looked at again). A
 * file without items, such as a MANIFEST, is at its end at once. BITCASK_IO: these bytes
 * cannot be read; the next call goes on behind them. BITCASK_NO_MEMORY.
 */
BITCASK_API enum bitcask_status bitcask_inspector_next(
    struct bitcask_inspector *inspector, struct bitcask_inspect_item *item);

/*
 * Copy @size bytes at @offset of the file into @data; *got is smaller only at the end of
 * the file. For values: item.value_offset and item.value_size.
 */
BITCASK_API enum bitcask_status bitcask_inspector_read(
    struct bitcask_inspector *inspector, uint64_t offset, void *data, size_t size,
    size_t *got);

/* What the MANIFEST says of one data file. */
enum bitcask_inspect_state {
    BITCASK_INSPECT_UNLISTED = 0, /* nothing */
    BITCASK_INSPECT_SEALED,
    BITCASK_INSPECT_OPEN,
    BITCASK_INSPECT_PREPARED,
    BITCASK_INSPECT_DRAFT, /* the four from here on are no part of the cask */
    BITCASK_INSPECT_RETIRED,
    BITCASK_INSPECT_QUARANTINED
};

/* The word for it in a MANIFEST; "unlisted" for the first. Never NULL. */
BITCASK_API const char *bitcask_inspect_state_text(enum bitcask_inspect_state state);

struct bitcask_inspect_segment {
    enum bitcask_inspect_state state;
    bool data_exists;
    bool hint_exists;
    uint64_t id;
    uint64_t salt; /* the rest is 0 where MANIFEST does not say it */
    uint64_t size; /* bytes; of an open one, those that were synced */
    uint64_t first_sequence;
    uint64_t last_sequence;
    uint64_t purged_sequence;
    uint64_t reserved[4];
};

/* A cask as its directory and its MANIFEST have it. */
struct bitcask_inspect_cask {
    bool manifest_exists;
    bool
        manifest_intact; /* its check holds; else the segments are what files there are */
    uint32_t manifest_check_stored;
    uint32_t manifest_check_computed;
    uint64_t manifest_size;
    uint64_t next_id;
    uint64_t sequence;
    uint64_t key_count;
    struct bitcask_inspect_segment *segments; /* in order of id */
    size_t segment_count;
    uint64_t reserved[4];
};

/*
 * See what there is in @directory. Release *cask also after a failure.
 * BITCASK_NOT_FOUND: no such directory. BITCASK_IO, BITCASK_NO_MEMORY.
 */
BITCASK_API enum bitcask_status bitcask_inspect_directory(
    const char *directory, struct bitcask_inspect_cask *cask);
BITCASK_API void bitcask_inspect_cask_release(struct bitcask_inspect_cask *cask);

/* Where the newest record of a key lies. */
struct bitcask_location {
    uint64_t segment_id;
    uint64_t offset;
    uint64_t sequence;
    uint64_t value_size;
    uint64_t reserved[4];
};

/*
 * As bitcask_exists(), and says where. *location is a picture of the moment: a merge may
 * move the record.
 */
BITCASK_API enum bitcask_status bitcask_locate(struct bitcask *cask,
                                               struct bitcask_slice key,
                                               struct bitcask_location *location);

/*
 * HISTORY: the records of one key that are still on disk. A merge removes them.
 */
struct bitcask_version {
    uint64_t segment_id;
    uint64_t offset; /* of the record */
    uint64_t sequence;
    uint64_t value_size;
    uint64_t expiry_ms; /* 0: none */
    bool deletes;       /* a tombstone */
    bool readable;      /* both checks of the record hold */
    bool gap; /* between this and the next newer version, or the newest record of all,
                 records are gone, and this key may have had some among them */
    bool reserved_flags[5];
    uint64_t reserved[4];
};

/* Anything but BITCASK_OK ends the call with it. */
typedef enum bitcask_status bitcask_version_visit(const struct bitcask_version *version,
                                                  void *context);

/*
 * Call @visit for the versions of @key in @directory, newest first. Those in a torn tail,
 * which the next open would cut, are left out.
 *
 * BITCASK_NOT_FOUND: there is none, or no cask. BITCASK_CORRUPT: the MANIFEST cannot be
 * read, or a file that it lists is missing, or damaged so that there may have been other
 * versions; what there is has been visited.
 * BITCASK_IO, BITCASK_NO_MEMORY.
 */
BITCASK_API enum bitcask_status bitcask_history(const char *directory,
                                                struct bitcask_slice key,
                                                bitcask_version_visit *visit,
                                                void *context);

/*
 * Copy the value of @version, as bitcask_history() gave it, of @key. BITCASK_NOT_FOUND: a
 * tombstone, or it is there no more. BITCASK_CORRUPT: a check fails.
 */
BITCASK_API enum bitcask_status bitcask_version_read(
    const char *directory, struct bitcask_slice key,
    const struct bitcask_version *version, struct bitcask_buffer *value);

/*
 * FINDINGS: what a check of a cask, or mending it, has to tell.
 */
enum bitcask_finding_kind {
    /* Damage. */
    BITCASK_FINDING_MANIFEST = 1, /* it is missing, damaged, or another cask's */
    BITCASK_FINDING_MISSING,      /* a data file is not there */
    BITCASK_FINDING_UNLISTED,     /* a data file that MANIFEST does not list */
    BITCASK_FINDING_FOREIGN,      /* a data file is not the one that MANIFEST lists */
    BITCASK_FINDING_HEADER,       /* the header of a data file is damaged */
    BITCASK_FINDING_SHORT,        /* a data file ends too early */
    BITCASK_FINDING_LONG,         /* something is behind the end of a sealed file */
    BITCASK_FINDING_REGION,       /* bytes in which there is no record */
    BITCASK_FINDING_VALUE,        /* a record whose value fails its check */
    BITCASK_FINDING_BATCH,        /* a batch fails its check: none of it counts */
    BITCASK_FINDING_SEQUENCE,     /* sequences are not as they must be */
    BITCASK_FINDING_HINT,       /* a hint is damaged, or does not say what the data has */
    BITCASK_FINDING_UNREADABLE, /* the system cannot read a file */
    BITCASK_FINDING_RESERVE,    /* RESERVE is not what it was written as */

    /* What damage means for one key; see enum bitcask_effect. */
    BITCASK_FINDING_KEY = 64,

    /* Notes: nothing is wrong. */
    BITCASK_FINDING_TORN_TAIL = 128, /* unfinished, at the end of the newest files */
    BITCASK_FINDING_NO_HINT,         /* a sealed file has none: it will be read instead */
    BITCASK_FINDING_LEFT_OVER,       /* a file that the next open removes */
    BITCASK_FINDING_CHANGED          /* a writer changed the cask during the check */
};

/* A short constant English phrase for @kind; never NULL. */
BITCASK_API const char *bitcask_finding_text(enum bitcask_finding_kind kind);

/* Damage: neither a key nor a note. */
BITCASK_API bool bitcask_finding_is_damage(enum bitcask_finding_kind kind);

enum bitcask_effect {
    BITCASK_EFFECT_NONE = 0,
    BITCASK_EFFECT_LOST,       /* no record of the key is left */
    BITCASK_EFFECT_STALE,      /* an older value would be, or is now, returned */
    BITCASK_EFFECT_UNDELETED,  /* the same, and the key had been deleted */
    BITCASK_EFFECT_UNREADABLE, /* a get is BITCASK_CORRUPT */
    BITCASK_EFFECT_HARMLESS    /* a newer record of the key is whole */
};

BITCASK_API const char *bitcask_effect_text(enum bitcask_effect effect);

struct bitcask_finding {
    enum bitcask_finding_kind kind;
    enum bitcask_effect effect; /* of BITCASK_FINDING_KEY */
    const char *file;           /* its name in the directory; "" if none is concerned */
    const char *detail;         /* a sentence for people */
    uint64_t offset;            /* in the file */
    uint64_t size;              /* bytes concerned; 0 if that cannot be said */
    uint64_t sequence;          /* of the record concerned; 0: not known */
    uint64_t newest_sequence;   /* of a key: of its newest record that is whole, or 0 */
    struct bitcask_slice key;   /* of a key; else empty */
    uint64_t reserved[4];
};

/* Pointers in @finding are valid during the call. Anything but OK ends with it. */
typedef enum bitcask_status bitcask_finding_visit(const struct bitcask_finding *finding,
                                                  void *context);

/* How far it is, in bytes. Anything but BITCASK_OK ends the call with it. */
struct bitcask_inspect_progress {
    uint64_t done_size;
    uint64_t total_size;
    uint64_t reserved[2];
};
typedef enum bitcask_status bitcask_inspect_visit(
    const struct bitcask_inspect_progress *progress, void *context);

/*
 * VERIFYING
 */
struct bitcask_verify_options {
    uint32_t threads; /* that read; 0: up to 4, as many as processors */
    uint32_t reserved_number;
    uint64_t rate;                   /* bytes a second read at most; 0: no limit */
    bitcask_finding_visit *finding;  /* may be NULL */
    bitcask_inspect_visit *progress; /* may be NULL; at least every MiB */
    void *context;                   /* for both */
    uint64_t reserved[4];
};

struct bitcask_verify_report {
    uint64_t file_count; /* of all kinds, that were read */
    uint64_t read_size;
    uint64_t record_count; /* that are whole; parts of batches, not batches */
    uint64_t entry_count;  /* of hints, that say what the data has */
    uint64_t damage_count; /* findings that are damage */
    uint64_t note_count;
    uint64_t lost_count; /* keys, by effect */
    uint64_t stale_count;
    uint64_t undeleted_count;
    uint64_t unreadable_count;
    uint64_t unnamed_count; /* damaged regions of which the keys cannot be known */
    uint64_t elapsed_ms;
    uint64_t reserved[8];
};

/*
 * Read every byte of the cask in @directory, and check it: every record, each hint
 * against its data file, MANIFEST against the directory, the sequences, and what recovery
 * would say of the end. @options and @report may be NULL; the report is filled also after
 * a failure.
 *
 * Beside a writer it checks what there was at some moment: what looks like damage is
 * looked at again, and dropped if it was a file that a merge has replaced meanwhile.
 *
 * BITCASK_OK: there is no damage; a torn tail is none. BITCASK_CORRUPT: there is, and
 * each has been told to options.finding. BITCASK_NOT_FOUND: no cask there.
 * BITCASK_UNSUPPORTED: files of a newer version. BITCASK_IO, BITCASK_NO_MEMORY: the check
 * could not be finished. BITCASK_MISUSE: bad options.
 */
BITCASK_API enum bitcask_status bitcask_verify(
    const char *directory, const struct bitcask_verify_options *options,
    struct bitcask_verify_report *report);

/*
 * HINTS
 */
struct bitcask_hint_report {
    uint64_t segment_id;
    bool exists;
    bool intact;  /* it is what bitcask_hint_rebuild() would write, or covers less */
    bool written; /* by bitcask_hint_rebuild() */
    bool reserved_flags[5];
    uint64_t entry_count;
    uint64_t tombstone_count;
    uint64_t data_size; /* bytes of the data file that it covers */
    uint64_t hint_size;
    const char *detail; /* what is wrong, or why nothing was written; "" if all is well */
    uint64_t reserved[4];
};
typedef enum bitcask_status bitcask_hint_visit(const struct bitcask_hint_report *report,
                                               void *context);

/*
 * Compare the hint of segment @id in @directory (0: of every data file that is there)
 * with its data file, byte for byte, and call @visit for each. A missing hint is no
 * damage.
 *
 * BITCASK_CORRUPT: one is not what it should be, or its data file is damaged; all have
 * been visited. BITCASK_NOT_FOUND: there is no such data file, or directory.
 */
BITCASK_API enum bitcask_status bitcask_hint_verify(const char *directory, uint64_t id,
                                                    bitcask_hint_visit *visit,
                                                    void *context);

/*
 * Write them anew, byte for byte as the store does, after a sync of the data file. One of
 * a damaged data file, and of one that may still be cut by recovery, is not written.
 *
 * Changes hints, and takes the lock. BITCASK_LOCKED: somebody is writing the cask.
 * BITCASK_CORRUPT: a data file is damaged; the others are done. BITCASK_NOT_FOUND.
 */
BITCASK_API enum bitcask_status bitcask_hint_rebuild(const char *directory, uint64_t id,
                                                     bitcask_hint_visit *visit,
                                                     void *context);

/*
 * REPAIRING
 */

/* What repair does with a file. */
enum bitcask_repair_action {
    BITCASK_REPAIR_KEEP = 1,  /* it stays as it is, but for unused space at its end */
    BITCASK_REPAIR_REWRITE,   /* what is whole in it is copied; it goes to quarantine */
    BITCASK_REPAIR_QUARANTINE /* nothing in it is of use: it goes to quarantine */
};

struct bitcask_repair_step {
    enum bitcask_repair_action action;
    const char *file;      /* its name in the directory */
    const char *moved_to;  /* in quarantine; "" if it stays */
    const char *reason;    /* a sentence for people; "" for one that stays */
    uint64_t size;         /* bytes */
    uint64_t record_count; /* whole ones in it, that are kept */
    uint64_t reserved[4];
};
typedef enum bitcask_status bitcask_repair_visit(const struct bitcask_repair_step *step,
                                                 void *context);

struct bitcask_repair_options {
    bool dry_run; /* change nothing, take no lock; findings and steps are told the same */
    bool reserved_flags[7];
    bitcask_finding_visit *finding;  /* may be NULL */
    bitcask_repair_visit *step;      /* may be NULL; before anything is changed */
    bitcask_inspect_visit *progress; /* may be NULL */
    void *context;                   /* for all three */
    uint64_t reserved[4];
};

struct bitcask_repair_report {
    bool needed;  /* there was damage */
    bool changed; /* and the cask has been changed */
    bool reserved_flags[6];
    uint64_t record_count; /* that are kept */
    uint64_t key_count;    /* live ones afterwards; 0 in a dry run */
    uint64_t kept_count;   /* data files that stayed as they were */
    uint64_t rewritten_count;
    uint64_t quarantined_count; /* files of all kinds that were moved */
    uint64_t output_count;      /* new data files */
    uint64_t output_size;
    uint64_t damage_count;
    uint64_t lost_count; /* keys, by effect */
    uint64_t stale_count;
    uint64_t undeleted_count;
    uint64_t unnamed_count; /* damaged regions of which the keys cannot be known */
    uint64_t unnamed_size;  /* bytes in them */
    uint64_t elapsed_ms;
    uint64_t reserved[8];
};

/*
 * Make the cask in @directory whole: keep every record whose checks hold, copy those of
 * damaged files to new ones, write hints and MANIFEST anew, and move what could not be
 * used into the directory `quarantine` in it. A cask without damage is not touched.
 *
 * Each key that is lost, or has fallen back to an older value, is told to
 * options.finding, as is each region of which the keys cannot be known. A record with a
 * bad check is never kept, and of a batch all or nothing.
 *
 * Takes the lock. Durable when it returns. A crash on the way leaves a cask that opens,
 * or that this call takes up again; nothing is moved or replaced before what replaces it
 * is durable. Needs room for what it copies. What ends early, by a callback for one, has
 * changed nothing, but that MANIFEST may list files that were begun as drafts.
 *
 * BITCASK_OK: bitcask_verify() finds no damage now (in a dry run: would find none).
 * BITCASK_LOCKED: somebody is writing it. BITCASK_NOT_FOUND: no cask there, and nothing
 * to make one from. BITCASK_UNSUPPORTED: there are files of a newer version.
 * BITCASK_NO_SPACE, BITCASK_IO, BITCASK_READ_ONLY, BITCASK_NO_MEMORY, BITCASK_MISUSE.
 */
BITCASK_API enum bitcask_status bitcask_repair(
    const char *directory, const struct bitcask_repair_options *options,
    struct bitcask_repair_report *report);

#ifdef __cplusplus
}
#endif

#endif
