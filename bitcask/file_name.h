/* SPDX-License-Identifier: MIT */
/*
 * Names in the directory of a cask, built and parsed in one place.
 *
 *     MANIFEST  MANIFEST.tmp  LOCK  RESERVE  quarantine/
 *     0000000007.data  0000000007.hint  0000000007.hint.tmp
 *
 * Ten digits or more, zero-padded, so that a listing is in order of age.
 */
#ifndef BITCASK_FILE_NAME_H
#define BITCASK_FILE_NAME_H

#include "bitcask/bitcask.h"

#define BITCASK_MANIFEST_NAME "MANIFEST"
#define BITCASK_MANIFEST_TEMPORARY_NAME "MANIFEST.tmp"
#define BITCASK_LOCK_NAME "LOCK"
#define BITCASK_RESERVE_NAME "RESERVE"
#define BITCASK_QUARANTINE_NAME "quarantine"

enum bitcask_name_kind {
    BITCASK_NAME_FOREIGN, /* not one of ours */
    BITCASK_NAME_MANIFEST,
    BITCASK_NAME_LOCK,
    BITCASK_NAME_RESERVE,
    BITCASK_NAME_QUARANTINE, /* the directory of what a repair could not use */
    BITCASK_NAME_DATA,
    BITCASK_NAME_HINT,
    BITCASK_NAME_TEMPORARY /* left by a process that died; never of any use */
};

/* Room for any name built here, its terminator included. */
enum {
    BITCASK_NAME_SIZE = 40
};

void bitcask_data_name(char name[BITCASK_NAME_SIZE], uint64_t segment_id);
void bitcask_hint_name(char name[BITCASK_NAME_SIZE], uint64_t segment_id);
void bitcask_hint_temporary_name(char name[BITCASK_NAME_SIZE], uint64_t segment_id);

/*
 * Which kind of file @name belongs to. *segment_id is set for data and hint. Only the
 * exact spelling that is built above counts; id 0 does not exist.
 */
enum bitcask_name_kind bitcask_name_parse(const char *name, uint64_t *segment_id);

#endif
