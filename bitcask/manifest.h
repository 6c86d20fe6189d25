/* SPDX-License-Identifier: MIT */
/*
 * The MANIFEST: which segments make up the cask. Small, text, checked, and replaced
 * atomically, so that it is always either the old list or the new one.
 *
 *     bitcask manifest 1
 *     features 0
 *     next 7
 *     sequence 465210
 *     keys 100000
 *     sealed 1 salt 0123456789abcdef size 67108800 sequences 1 465210
 *     sealed 2 salt 89abcdef01234567 size 33554400 sequences 3 199999 purged 465210
 *     retired 3 salt 4567012389abcdef
 *     open 4 salt 00112233445566aa size 12345 last 465999
 *     prepared 5 salt aabbccddeeff0011
 *     draft 6 salt 7766554433221100
 *     check 89abcdef
 *
 *     next      the smallest id that was never given out; ids are never used twice
 *     sequence  the last one whose record is in a sealed segment: the first open
 *               segment goes on behind it
 *     keys      how many were live when this was written; sizes the keydir, no more
 *     sealed    never written again; exactly this size; its range of sequences
 *     purged    of what a merge has written: it holds no value that the record of this
 *               sequence, or one before it, had overwritten or deleted. A tombstone up
 *               to it has nothing to say to this file
 *     open      may have grown since; size bytes up to sequence last were synced
 *     prepared  an id given out for a segment that may or may not have been begun
 *               since. Open and prepared segments are filled in order of id.
 *     draft     an id given out to a merge: its file, if there is one, is no part of the
 *               cask yet
 *     retired   its file, if it is still there, is no part of the cask any more: a merge
 *               has replaced it. Who writes the cask removes files of both kinds
 *     quarantined  its file is no part of the cask any more: repair has taken from it
 *               what is whole, and is about to move it out of the way. Nobody else
 *               touches it
 *     check     CRC-32 of every byte before this line
 *
 * Segments stand in order of id. Knows no data file and no hint.
 */
#ifndef BITCASK_MANIFEST_H
#define BITCASK_MANIFEST_H

#include "bitcask/buffer.h"
#include "bitcask/io.h"

enum bitcask_manifest_state {
    BITCASK_MANIFEST_SEALED,
    BITCASK_MANIFEST_OPEN,
    BITCASK_MANIFEST_PREPARED,
    BITCASK_MANIFEST_DRAFT,
    BITCASK_MANIFEST_RETIRED,
    BITCASK_MANIFEST_QUARANTINED
};

/* A segment that is listed, but its file, if there is one, is no part of the cask. */
static inline bool bitcask_manifest_is_outside(enum bitcask_manifest_state state)
{
    return state == BITCASK_MANIFEST_DRAFT || state == BITCASK_MANIFEST_RETIRED ||
           state == BITCASK_MANIFEST_QUARANTINED;
}

struct bitcask_manifest_segment {
    enum bitcask_manifest_state state;
    uint64_t id;
    uint64_t salt;
    uint64_t size;            /* sealed and open */
    uint64_t first_sequence;  /* sealed only; 0 if it has no record */
    uint64_t last_sequence;   /* sealed and open */
    uint64_t purged_sequence; /* sealed by a merge only, else 0 */
};

struct bitcask_manifest {
    uint64_t next_id;
    uint64_t sequence;
    uint64_t key_count;
    struct bitcask_manifest_segment *segments;
    size_t segment_count;
    size_t segment_capacity;
};

/*
 * The upper half of a salt is the same for all files of a cask: so one that is listed no
 * more, and turns up again after a power failure, is known to have been ours. It is found
 * in any line; 0: there is none yet.
 */
uint32_t bitcask_manifest_tag(const struct bitcask_manifest *manifest);

/* A zeroed manifest is released; next_id of a new one is 1. */
void bitcask_manifest_init(struct bitcask_manifest *manifest);
void bitcask_manifest_release(struct bitcask_manifest *manifest);

/* Add a segment behind the others: its id must be above theirs. */
enum bitcask_status bitcask_manifest_add(struct bitcask_manifest *manifest,
                                         const struct bitcask_manifest_segment *segment);

/* The line of segment @id; NULL: there is none. */
const struct bitcask_manifest_segment *bitcask_manifest_find(
    const struct bitcask_manifest *manifest, uint64_t id);

/* Append the text of @manifest to @text. */
enum bitcask_status bitcask_manifest_format(const struct bitcask_manifest *manifest,
                                            struct bitcask_buffer *text);

/*
 * Read the text back. @manifest was initialised, and is to be released also after a
 * failure. BITCASK_CORRUPT or BITCASK_UNSUPPORTED, with the line in the detail.
 */
enum bitcask_status bitcask_manifest_parse(struct bitcask_manifest *manifest,
                                           struct bitcask_slice text);

/* The check that @text ends with, and what it should be. False: it does not end so. */
bool bitcask_manifest_checks(struct bitcask_slice text, uint32_t *stored_check,
                             uint32_t *computed_check);

/*
 * Read the text alone, in place of what @text holds. BITCASK_NOT_FOUND: there is no such
 * file. BITCASK_CORRUPT: it is far too large.
 */
enum bitcask_status bitcask_manifest_read_text(struct bitcask_io *io,
                                               bitcask_file directory,
                                               struct bitcask_buffer *text);

/* Both, for the file in @directory; BITCASK_NOT_FOUND: there is none. */
enum bitcask_status bitcask_manifest_read(struct bitcask_manifest *manifest,
                                          struct bitcask_io *io, bitcask_file directory);

/*
 * Replace the file: temporary name, sync, rename, directory sync. After a failure
 * with *switched false the old file stands. With *switched true the new one has its
 * name, but may lose it again with the power: nothing may be built on either.
 */
enum bitcask_status bitcask_manifest_write(const struct bitcask_manifest *manifest,
                                           struct bitcask_io *io, bitcask_file directory,
                                           bool *switched);

#endif
