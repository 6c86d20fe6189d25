/* SPDX-License-Identifier: MIT */
/*
 * The directory of a cask before it is one: what is in it, whose it is, and the lock
 * against a second writer.
 */
#ifndef BITCASK_DIRECTORY_H
#define BITCASK_DIRECTORY_H

#include "bitcask/buffer.h"
#include "bitcask/cask.h"

/* What a directory has, as far as its names tell. */
struct bitcask_listing {
    bool manifest;
    bool foreign; /* names that are not ours */
    struct bitcask_buffer data_ids;
    struct bitcask_buffer hint_ids;
};

/* Open cask->directory, creating it if the options allow. */
enum bitcask_status bitcask_directory_open(struct bitcask *cask, const char *path);

/* What is there now. Release it also after a failure. */
enum bitcask_status bitcask_directory_list(struct bitcask_io *io, bitcask_file directory,
                                           struct bitcask_listing *listing);
void bitcask_listing_release(struct bitcask_listing *listing);

/* Put the ids in order; then it can be asked whether @ids, one of the two, has @id. */
void bitcask_listing_sort(struct bitcask_listing *listing);
bool bitcask_listing_has(const struct bitcask_buffer *ids, uint64_t id);

/*
 * A directory without a MANIFEST is a new cask if nothing of ours in it ever held a
 * record: a creation that was interrupted leaves no more than that.
 *
 * BITCASK_CORRUPT: there are records. BITCASK_MISUSE: it belongs to somebody else.
 * BITCASK_NOT_FOUND: it would be a new cask, and the options ask for an old one.
 */
enum bitcask_status bitcask_directory_check_unused(struct bitcask *cask,
                                                   const struct bitcask_listing *listing);

/* Remove the data files, without a record, of such a directory: that is a cut. */
enum bitcask_status bitcask_directory_clear(struct bitcask *cask,
                                            const struct bitcask_listing *listing);

/*
 * BITCASK_CORRUPT: there is a data file that the MANIFEST does not know. With salvage
 * it is counted as damage, and left alone.
 */
enum bitcask_status bitcask_listing_check(struct bitcask *cask,
                                          const struct bitcask_listing *listing,
                                          const struct bitcask_manifest *manifest);

/*
 * For salvage, when the MANIFEST cannot be used: the data files that are there, as far
 * as their headers tell whose they are, as segments that were never sealed.
 */
enum bitcask_status bitcask_listing_salvage(struct bitcask *cask,
                                            struct bitcask_listing *listing,
                                            struct bitcask_manifest *manifest);

/*
 * Take the lock, against whoever else would change the cask. BITCASK_LOCKED: somebody has
 * it, named if possible. On success *lock goes to unlock, which takes BITCASK_NO_FILE.
 */
enum bitcask_status bitcask_directory_lock(struct bitcask_io *io, bitcask_file directory,
                                           bitcask_file *lock);
void bitcask_directory_unlock(struct bitcask_io *io, bitcask_file lock);

#endif
