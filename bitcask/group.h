/* SPDX-License-Identifier: MIT */
/*
 * A group of keys on their way from the keydir to the caller of an iteration: copied
 * together, with the places that they have at that moment, and handed out in the order
 * of the files, with values that are read some at a time. So the memory that each key
 * needs is asked for before it is its turn, and few pages are visited at a time.
 *
 * Groups are small to begin with, and grow as long as their values are wanted.
 */
#ifndef BITCASK_GROUP_H
#define BITCASK_GROUP_H

#include "bitcask/cask.h"

/* All zero but for the cask is one that begins. */
struct bitcask_group {
    struct bitcask *cask;
    struct bitcask_keydir_cursor cursor;
    struct bitcask_buffer keys;    /* of struct waiting, each before its key */
    struct bitcask_buffer turns;   /* of struct turn, in their order */
    struct bitcask_buffer scratch; /* to sort them */
    struct bitcask_buffer values;  /* of those that were read ahead */
    size_t size_wanted;            /* of the keys */
    size_t next;                   /* the turn to come */
    size_t read_end;               /* values are read ahead of those below */
    size_t value_offset;           /* of the next of them */
    size_t value_offset_before;    /* of the one before */
    unsigned shard;                /* of the first */
    uint64_t generation;           /* when they were copied */
};

/* A key whose turn has come. */
struct bitcask_group_key {
    struct bitcask_slice key;
    const void *value; /* NULL: it has not been read ahead */
    struct bitcask_place place;
    bool pinned; /* the place is; it is only if it has to be read */
    struct bitcask_pin pin;
};

/* Whether @key is to be copied. */
typedef bool bitcask_group_select(const void *context, struct bitcask_slice key);

/*
 * The next key, from another group if this one has been handed out. Values are read
 * ahead if @wants_value. What the key and the value are in is there until the next call.
 * BITCASK_NOT_FOUND: no more. BITCASK_NO_MEMORY: the call may be repeated.
 */
enum bitcask_status bitcask_group_next(struct bitcask_group *group,
                                       bitcask_group_select *select, const void *context,
                                       bool wants_value, struct bitcask_group_key *out);

/* The key of the call before is to come once more. */
void bitcask_group_repeat(struct bitcask_group *group);

void bitcask_group_release(struct bitcask_group *group);

#endif
