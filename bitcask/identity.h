/* SPDX-License-Identifier: MIT */
/*
 * Whose data file is it? Its header says so; where that is damaged, somebody else knows:
 * the MANIFEST, the hint, or the header still, if it is not the salt that was hit. Who is
 * right shows in the records, which have the salt in their checks. So does that a header
 * of a newer version, whose own check fails, is one of ours and damaged.
 */
#ifndef BITCASK_IDENTITY_H
#define BITCASK_IDENTITY_H

#include "bitcask/io.h"
#include "bitcask/manifest.h"

struct bitcask_identity {
    enum bitcask_status header; /* OK, CORRUPT, UNSUPPORTED; as decoding it said */
    bool unread;                /* the system could not read the header */
    bool known;                 /* id and salt are: from the header, or proven */
    uint64_t id;
    uint64_t salt;
};

/*
 * Identify the data file @file, of @size bytes, of segment @id by its name (0: its name
 * says nothing) in @directory. @manifest may be NULL. BITCASK_IO: the header cannot be
 * read, and nobody else knows. BITCASK_NO_MEMORY.
 */
enum bitcask_status bitcask_identify(struct bitcask_io *io, bitcask_file directory,
                                     uint64_t id, bitcask_file file, uint64_t size,
                                     const struct bitcask_manifest *manifest,
                                     struct bitcask_identity *identity);

/* The salt in the header of the hint of segment @id; 0 if there is none to go by. */
enum bitcask_status bitcask_identify_hint(struct bitcask_io *io, bitcask_file directory,
                                          uint64_t id, uint64_t *salt);

#endif
