/* SPDX-License-Identifier: MIT */
/*
 * What damage means for keys. Of each key that it has hit: the newest record that is
 * lost, and the newest that is whole; the two together say what a get would give.
 *
 * Knows no files: who reads them tells it of records.
 */
#ifndef BITCASK_FATE_H
#define BITCASK_FATE_H

#include "bitcask/file_name.h"
#include "bitcask/inspect.h"
#include "bitcask/survey.h"

struct bitcask_fate;

/* Zeroed is empty; release. */
struct bitcask_fates {
    struct bitcask_fate *table;
    size_t count;
    uint64_t seed; /* of the hashes; keys may be made to collide otherwise */
};

/* What is told of one key. */
struct bitcask_fate_told {
    struct bitcask_slice key;
    uint64_t segment_id; /* of the newest record that is lost */
    uint64_t offset;
    uint64_t sequence;
    uint64_t newest_sequence; /* of the newest that is whole, or 0 */
    enum bitcask_effect effect;
};

/* A record of its key is lost. BITCASK_NO_MEMORY. */
enum bitcask_status bitcask_fates_add(struct bitcask_fates *fates,
                                      const struct bitcask_casualty *casualty);
void bitcask_fates_release(struct bitcask_fates *fates);

/* A record that is whole. */
void bitcask_fates_meet(struct bitcask_fates *fates, struct bitcask_slice key,
                        uint64_t sequence, bool deletes);

/*
 * Tell of all, in the order in which they were added. With @mended a record whose value
 * is bad is gone; without, a get of it says that it is damaged.
 */
enum bitcask_status bitcask_fates_tell(
    const struct bitcask_fates *fates, bool mended,
    enum bitcask_status (*visit)(const struct bitcask_fate_told *told, void *context),
    void *context);

/* The finding for @told, whose file has its name in @name; counted in @counts. */
struct bitcask_fate_counts {
    uint64_t lost;
    uint64_t stale;
    uint64_t undeleted;
    uint64_t unreadable;
};
struct bitcask_finding bitcask_fate_finding(const struct bitcask_fate_told *told,
                                            char name[BITCASK_NAME_SIZE],
                                            struct bitcask_fate_counts *counts);

#endif
