/* SPDX-License-Identifier: MIT */
/*
 * Recovery: where does the history end?
 *
 * The segments that were not sealed form a chain, in order of id. Their records are
 * accepted while each carries the sequence after the one before, within and across
 * files: a missing record is then found however well the bytes behind it look. What
 * comes at the first record that is not acceptable is either
 *
 *     damage       something proves that the record had been synced, or
 *     a torn tail  nothing does, so nobody was told that it was safe.
 *
 * Proofs, each good for all records up to some sequence: the size in the MANIFEST, a
 * valid hint, and every later record with an intact header, wherever it lies: it says
 * how many before it were not known to be synced when it was written.
 *
 * Damage is reported. A torn tail is cut, with everything behind it in later files.
 * Zeros that reach to the end of a file are neither, but space that was set aside for
 * records that never came: they are cut off too, and nobody is told. (They are damage
 * where something proves that there had been a record.)
 * What is kept but not proven may exist in the page cache alone, after a sync that
 * failed: it is written again, the same bytes, and synced, before anything is built
 * upon it.
 */

#ifndef BITCASK_CHAIN_H
#define BITCASK_CHAIN_H

#include "bitcask/ahead.h"
#include "bitcask/cask.h"

/* One segment of the chain. */
struct bitcask_link {
    struct bitcask_manifest_segment line; /* open or prepared */
    struct bitcask_segment *segment;      /* NULL: no file, or none worth keeping */
    bool exists;
    bool torn_header;     /* the file has no header to go by */
    bool other_header;    /* or that of another one, for as long as that is judged */
    bool unused;          /* nothing but zeros is behind what is accepted */
    uint64_t file_size;   /* when it was looked at */
    uint64_t kept_size;   /* what of it is accepted */
    uint64_t proven_size; /* what is known to be synced, from MANIFEST or hint */
    uint64_t synced_end;  /* what was written again and synced ahead ends here, or 0 */
};

struct bitcask_chain {
    struct bitcask *cask;
    struct bitcask_loader loader;
    struct bitcask_ahead *ahead; /* or NULL */
    struct bitcask_link *links;
    size_t count;
    uint64_t sequence;     /* of the last record accepted */
    uint64_t proven;       /* the highest that is known to be synced */
    size_t end;            /* the link where the history ends, or count */
    uint32_t salt_tag;     /* of all our files; see bitcask_manifest_tag() */
    uint64_t highest_sane; /* no record on disk can have a sequence above */
};

/*
 * PROOFS, proof.c. Open the file of @link, which was there a moment ago: if it is gone,
 * that is damage, and not "no such cask".
 */
enum bitcask_status bitcask_chain_reopen(struct bitcask_chain *chain,
                                         struct bitcask_link *link, bitcask_file *file);

/*
 * Of a read-only cask: whether files that were not found had not been begun when they
 * were looked for. If the MANIFEST still lists them then, they had not: a merge takes
 * what it removes off that list before, and no id is used twice. Else what they had is in
 * files that the MANIFEST which is being loaded does not know: BITCASK_CORRUPT, to load
 * again.
 */
enum bitcask_status bitcask_chain_check_absent(struct bitcask_chain *chain);

/*
 * The file of @link has the header of another: BITCASK_CORRUPT if it was exchanged; else
 * it counts as torn.
 */
enum bitcask_status bitcask_chain_judge_header(struct bitcask_chain *chain,
                                               struct bitcask_link *link);

/* The sequence and size up to which a valid hint of @link proves it synced, or 0. */
enum bitcask_status bitcask_chain_hint_proof(struct bitcask_chain *chain,
                                             const struct bitcask_link *link,
                                             uint64_t *sequence, uint64_t *size);

/*
 * Whether anything proves that the record @sequence had been synced, which is missing at
 * @offset of link @index: looked for there, and in everything that comes later.
 */
enum bitcask_status bitcask_chain_search_proof(struct bitcask_chain *chain, size_t index,
                                               uint64_t offset, uint64_t sequence,
                                               bool *proven);

/*
 * Whether the next file with a record after link @index begins with the next one: then
 * none is missing, and what is at the end of this file, or in files without a header in
 * between, was never one.
 */
enum bitcask_status bitcask_chain_goes_on(struct bitcask_chain *chain, size_t index,
                                          bool *goes_on);

/* MENDING, mend.c. Whether the segment of @link stays. One without a record has nothing
 * to say. */
bool bitcask_chain_keeps(const struct bitcask_chain *chain,
                         const struct bitcask_link *link);

/* After a crash: what is kept is made durable, the rest is removed. */
enum bitcask_status bitcask_chain_mend(struct bitcask_chain *chain);

/*
 * Write the bytes from @offset to @end of the file of segment @id over themselves, cut it
 * there, and sync it.
 */
enum bitcask_status bitcask_chain_settle_file(struct bitcask_io *io,
                                              bitcask_file directory, uint64_t id,
                                              uint64_t salt, uint64_t offset,
                                              uint64_t end);

/* Cut what lies behind the end of sealed segments: it was never ours. */
enum bitcask_status bitcask_chain_cut_sealed(struct bitcask *cask);

#endif
