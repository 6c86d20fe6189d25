/* SPDX-License-Identifier: MIT */
/*
 * A segment: one numbered pair of files, 7.data with 7.hint, as one thing, and the
 * table of all segments of an open cask.
 *
 * Segments are added while the cask is open, and removed when a merge has replaced them
 * and nobody can hold their number any more: until then a reader may use one without
 * holding any lock. Values are read through a mapping where there is one, else with
 * pread(). Who looks at mapped bytes for longer holds the segment: one that is held when
 * it is removed leaves the table, and goes with its mapping when the last hold is given
 * up.
 *
 * Knows data files and hints; no keydir, no order among segments, no append lock.
 */
#ifndef BITCASK_SEGMENT_H
#define BITCASK_SEGMENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "bitcask/format.h"
#include "bitcask/io.h"

/*
 * The numbers are atomic because stat reads them while others count. Those of the
 * first group move with the append lock held, those of the second with the keydir.
 */
struct bitcask_segment {
    uint64_t id;
    uint64_t salt;
    uint32_t index; /* in the table */
    /* Part of the cask: not while a merge writes it, nor when one has replaced it. */
    _Atomic bool member;
    _Atomic bool damaged; /* a merge has met a damaged record in it; for merges only */

    const uint8_t *map; /* NULL: none */
    size_t map_size;    /* may be more than the file has */

    /* What every append changes, with the append lock held, */
    _Atomic uint64_t data_size; /* where the last whole record ends; 0: no file */
    _Atomic uint64_t record_count;
    _Atomic uint64_t first_sequence; /* the smallest; 0: no record yet */
    _Atomic uint64_t last_sequence;  /* the largest */
    _Atomic uint64_t tombstone_count;
    _Atomic uint64_t tombstone_size;  /* bytes in them */
    _Atomic uint64_t tombstone_first; /* the smallest sequence of one, or 0 */
    _Atomic uint64_t tombstone_last;  /* the largest */

    /* and what it changes without. */
    _Atomic uint64_t live_size;
    _Atomic uint64_t live_count;

    _Atomic bool expires; /* there are records with an expiry: tombstones, one day */
    _Atomic bool sealed;
    uint64_t purged_sequence; /* see struct bitcask_manifest_segment; 0 for most */
    uint64_t cut_offset;      /* set at open */
    uint64_t cut_size;
    uint64_t unused_size; /* set at open: zeros behind its end, which are no torn tail */
    _Atomic bool hint_spare; /* the data was read whole to write it, and says the same */
    _Atomic uint64_t hint_size; /* how much of the data the hint on disk speaks for */
    _Atomic bool name_synced;   /* the directory entry survives power loss */

    /*
     * The file is open while it is written, or has to be read without a mapping. Once
     * parked it may have to be closed while somebody reads: whoever comes last does.
     */
    _Atomic bitcask_file file;
    _Atomic bitcask_file closing;
    _Atomic unsigned reader_count;
    bool counted_open; /* in the table's open_count */
    bool allocated;    /* there may be space behind its end; see help.c */

    _Atomic size_t holder_count;          /* the table is one; the last one frees it */
    struct bitcask_segment *next_removed; /* and was held then, under the table's lock */
};

enum {
    BITCASK_SEGMENT_CHUNK_SIZE = 1024,
    BITCASK_SEGMENT_CHUNK_COUNT = 4096
};

struct bitcask_segments {
    struct bitcask_io *io;
    bitcask_file directory;
    bool use_mapping;
    uint64_t mapped_size_max; /* of all mappings together */
    _Atomic uint64_t mapped_size;
    _Atomic unsigned open_count; /* files kept open for reading */

    /*
     * Held by who adds and removes, and by who walks the table beside them. A number is
     * given out again when its segment was removed.
     */
    pthread_mutex_t lock;
    _Atomic uint32_t count; /* numbers in use are below */
    uint32_t free_count;    /* of those that are not in use */
    uint32_t free_from;     /* and none of them is below this */
    struct bitcask_segment *_Atomic *chunks[BITCASK_SEGMENT_CHUNK_COUNT];
    struct bitcask_segment *_Atomic removed; /* those still held */
};

/* @directory stays the caller's. A zeroed table is released. BITCASK_NO_MEMORY. */
enum bitcask_status bitcask_segments_init(struct bitcask_segments *segments,
                                          struct bitcask_io *io, bitcask_file directory,
                                          bool use_mapping);
void bitcask_segments_release(struct bitcask_segments *segments);
/* The same in a child made by fork(): somebody may have held the lock. */
void bitcask_segments_abandon(struct bitcask_segments *segments);

/*
 * Add a segment, as a member. @file, which may be BITCASK_NO_FILE, belongs to it after
 * BITCASK_OK. BITCASK_NO_MEMORY, or BITCASK_NO_SPACE: the table is full.
 */
enum bitcask_status bitcask_segments_add(struct bitcask_segments *segments, uint64_t id,
                                         uint64_t salt, bitcask_file file,
                                         struct bitcask_segment **out);

/* The same, but not as a member: of a merge. */
enum bitcask_status bitcask_segments_add_outside(struct bitcask_segments *segments,
                                                 uint64_t id, uint64_t salt,
                                                 bitcask_file file,
                                                 struct bitcask_segment **out);

/* The segment of @index, below the count. NULL: the number is not in use. */
struct bitcask_segment *bitcask_segments_get(struct bitcask_segments *segments,
                                             uint32_t index);

/*
 * Take @segment, to which no place points any more, out of the table. True: the caller
 * frees it, which takes a while for a large mapping; false: it is held, by others who
 * will.
 */
bool bitcask_segments_take_out(struct bitcask_segments *segments,
                               struct bitcask_segment *segment);
/* Unmap, close and free what was taken out. */
void bitcask_segment_free(struct bitcask_segments *segments,
                          struct bitcask_segment *segment);

/*
 * HOLDING. The mapping of a segment that is held stays, also when the segment is removed.
 * To hold one its place has to be pinned or locked; any thread may let it go.
 */
void bitcask_segment_hold(struct bitcask_segment *segment);
void bitcask_segment_let_go(struct bitcask_segments *segments,
                            struct bitcask_segment *segment);

/* How many segments are held that were removed; *size is how much data they have. */
uint64_t bitcask_segments_count_held(struct bitcask_segments *segments, uint64_t *size);

void bitcask_segments_lock(struct bitcask_segments *segments);
void bitcask_segments_unlock(struct bitcask_segments *segments);

/*
 * Try to map @size bytes of the open file, which may still be shorter. Without a
 * mapping everything works too, only slower, so failure is not reported.
 */
void bitcask_segment_map(struct bitcask_segments *segments,
                         struct bitcask_segment *segment, uint64_t size);

/* The segment is not written any more: close its file, unless reading needs it. */
void bitcask_segment_park(struct bitcask_segments *segments,
                          struct bitcask_segment *segment);

/* Where to find a record, and what it must be: as the keydir has it. */
struct bitcask_record_key {
    struct bitcask_slice key;
    uint64_t offset;
    uint64_t sequence;
    uint32_t value_size;
    bool expires;
};

/*
 * Ask for the @size bytes at @offset of the segment of @index to be brought near, if
 * they can be: for who will read them soon, and has other things to do until then.
 */
void bitcask_segments_prefetch(struct bitcask_segments *segments, uint32_t index,
                               uint64_t offset, uint64_t size);

/*
 * Read the record of a put, with everything about it verified, and copy its value.
 * @value may be NULL to read only header and key.
 *
 * BITCASK_CORRUPT: it is not there, whole; the detail names file and offset.
 * BITCASK_NOT_FOUND: it has expired. After a failure @value is as it was.
 */
enum bitcask_status bitcask_segment_read(struct bitcask_segments *segments,
                                         struct bitcask_segment *segment,
                                         const struct bitcask_record_key *wanted,
                                         struct bitcask_buffer *value);

/*
 * The same without a copy: @value is in the mapping, there as long as the segment is. Its
 * data is NULL, after BITCASK_OK, if the record is not mapped and was not looked at.
 */
enum bitcask_status bitcask_segment_look(struct bitcask_segments *segments,
                                         const struct bitcask_segment *segment,
                                         const struct bitcask_record_key *wanted,
                                         struct bitcask_slice *value);

/*
 * The same for who reads many: copy the value, and a zero byte, to @value, which has room
 * for both. False: nothing was copied, and no word said, since the record has an expiry,
 * is not mapped, or is not well; bitcask_segment_read() knows what to do.
 */
bool bitcask_segment_copy_mapped(const struct bitcask_segment *segment,
                                 const struct bitcask_record_key *wanted, uint8_t *value);

/*
 * Write the hint for the first @data_size bytes of the data, which have been synced.
 * The data is read again, so that the hint says what the file has.
 */
enum bitcask_status bitcask_segment_write_hint(struct bitcask_segments *segments,
                                               struct bitcask_segment *segment,
                                               uint64_t data_size);

/* Count a tombstone of @size; for who does not count the record as a whole. */
void bitcask_segment_count_tombstone(struct bitcask_segment *segment, uint64_t sequence,
                                     uint64_t size);

/* Count a record that was appended or loaded. One thread at a time for a segment. */
void bitcask_segment_count_record(struct bitcask_segment *segment,
                                  const struct bitcask_record *record, uint64_t sequence);

#endif
