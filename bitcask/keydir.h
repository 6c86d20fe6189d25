/* SPDX-License-Identifier: MIT */
/*
 * The keydir: from each key to the place of its newest record, in memory.
 *
 * Many shards, each a uthash table behind its own read-write lock, and beside it a
 * mutex that writers of the shard's keys hold from before they append a record until
 * the keydir shows it, so that the keydir changes in the order of the records. The
 * rwlock is held for the change alone: readers never wait for a disk.
 *
 * The only includer of uthash.h. Knows no file; a segment is a number here.
 */
#ifndef BITCASK_KEYDIR_H
#define BITCASK_KEYDIR_H

#include "bitcask/bitcask.h"

enum {
    BITCASK_PLACE_TOMBSTONE = 1, /* only while loading: the key is deleted */
    BITCASK_PLACE_EXPIRES = 2,   /* the record has an expiry: look before believing */
};

/* Bits that a place has for the number of its segment, and for its offset. */
enum {
    BITCASK_PLACE_SEGMENT_BITS = 22,
    BITCASK_PLACE_OFFSET_BITS = 39
};

/* Where a record lies. */
struct bitcask_place {
    uint64_t sequence;
    uint64_t offset;     /* of the record in its segment */
    uint32_t segment;    /* index in the segment table, not the id */
    uint32_t value_size; /* together with the key, the size of the record */
    unsigned flags;
};

struct bitcask_keydir;
struct bitcask_keydir_entry;

enum {
    BITCASK_KEYDIR_SHARD_COUNT = 256
};

/*
 * Create with room for @expected_keys before any table must grow. @seed is random, so
 * that nobody outside can choose keys that collide.
 */
enum bitcask_status bitcask_keydir_create(struct bitcask_keydir **out,
                                          uint64_t expected_keys, uint64_t seed);
void bitcask_keydir_close(struct bitcask_keydir *keydir);

/*
 * The same in a child made by fork(), where other threads of the parent were cut off in
 * the middle: what one of them had locked is not freed, since it may be half changed.
 */
void bitcask_keydir_abandon(struct bitcask_keydir *keydir);

/* The hash by which all other functions want a key. XXH3, 64 bits. */
uint64_t bitcask_keydir_hash(const struct bitcask_keydir *keydir,
                             struct bitcask_slice key);

/* Which shard a hash belongs to. */
unsigned bitcask_keydir_shard(uint64_t hash);

/* Live keys. */
uint64_t bitcask_keydir_count(struct bitcask_keydir *keydir);

/* Bytes of memory that it has taken: entries, tables, and what is set aside for more. */
uint64_t bitcask_keydir_size(struct bitcask_keydir *keydir);

/*
 * Do the next piece of work ahead of those who will add keys, for a thread that nobody
 * waits for; some hundred microseconds without a lock. False: nothing is to be done now.
 * Enough, if it is called until then each time that 100,000 keys may have been added.
 */
bool bitcask_keydir_prepare(struct bitcask_keydir *keydir);

/* READING. Between lock and unlock the shard's places do not change. */
void bitcask_keydir_read_lock(struct bitcask_keydir *keydir, unsigned shard);
void bitcask_keydir_read_unlock(struct bitcask_keydir *keydir, unsigned shard);
bool bitcask_keydir_find(struct bitcask_keydir *keydir, uint64_t hash,
                         struct bitcask_slice key, struct bitcask_place *place);

/*
 * PINS. A place that was found may be used until its lock is given up, or, if it was
 * pinned meanwhile, until it is unpinned: the segment does not go away before. Pins are
 * for the time of a read, not for longer: a merge waits for them.
 */
struct bitcask_pin {
    unsigned shard;
    unsigned phase;
};

/* With the shard's read lock held. */
struct bitcask_pin bitcask_keydir_pin(struct bitcask_keydir *keydir, unsigned shard);
void bitcask_keydir_unpin(struct bitcask_keydir *keydir, struct bitcask_pin pin);

/*
 * Many keys at a time, so that their cache misses overlap. This takes the read locks of
 * all their shards, in rising order, and gives them up again. What was found may be used
 * until the pin, of all of them, is unpinned.
 */
struct bitcask_find_item {
    struct bitcask_slice key;
    uint64_t hash;

    /* Set by the call. */
    bool found;
    struct bitcask_place place;
};
enum {
    BITCASK_FIND_ITEMS_MAX = 16
};
struct bitcask_pin bitcask_keydir_find_many(struct bitcask_keydir *keydir,
                                            struct bitcask_find_item *items,
                                            size_t count);

/*
 * How often places have been taken from under those who remember them without a pin:
 * they look again if this has changed. Read with a shard's read lock held.
 */
uint64_t bitcask_keydir_generation(struct bitcask_keydir *keydir);

/*
 * Nobody will find the old places any more: begin a new generation, and after it wait,
 * with @pause between looks, for all who have pinned or locked something before it.
 */
void bitcask_keydir_wait_readers(struct bitcask_keydir *keydir,
                                 void (*pause)(void *context), void *context);

/*
 * MERGING. Keys in groups, so that their cache misses overlap and locks are shared. The
 * keys of a call belong to one shard.
 */
struct bitcask_merge_item {
    struct bitcask_slice key;
    uint64_t hash;
    uint64_t sequence;          /* of the record that lies at the place */
    struct bitcask_place place; /* for repoint: where it lies now */

    bool wants_newest; /* for look: newest is wanted, too */

    /* Set by look. */
    bool current;    /* the key is there, by this record */
    uint64_t newest; /* the sequence by which it is there, 0 if it is not */

    bool moved;                  /* set by repoint: it was still there by this record, */
    struct bitcask_place before; /* here */
};

/* Which of @items the keydir still points to. */
void bitcask_keydir_look(struct bitcask_keydir *keydir, unsigned shard,
                         struct bitcask_merge_item *const *items, size_t count);

/* Let those that it still points to be found at item->place. */
void bitcask_keydir_repoint(struct bitcask_keydir *keydir, unsigned shard,
                            struct bitcask_merge_item *const *items, size_t count);

/*
 * Forget the key of @item if it is still there by this record, which has expired; if it
 * was, item->moved.
 */
void bitcask_keydir_expire(struct bitcask_keydir *keydir,
                           struct bitcask_merge_item *item);

/* Come back when all who hold a writer mutex now have given it up. */
void bitcask_keydir_wait_writers(struct bitcask_keydir *keydir);

/*
 * WRITING. All of these between write_lock and write_unlock of the key's shard. Who
 * locks several shards does so in rising order.
 */
void bitcask_keydir_write_lock(struct bitcask_keydir *keydir, unsigned shard);
void bitcask_keydir_write_unlock(struct bitcask_keydir *keydir, unsigned shard);

/*
 * Ask for the memory that reserve will look at first to be brought near; prefetch_entry
 * asks for what it looks at next, and waits for the first.
 */
void bitcask_keydir_prefetch(struct bitcask_keydir *keydir, uint64_t hash);
void bitcask_keydir_prefetch_entry(struct bitcask_keydir *keydir, uint64_t hash);

/*
 * Find the entry of @key or, with @create, get the memory that it needs before its
 * record is appended, so that nothing can fail afterwards. An entry that was created
 * goes to set or to cancel.
 *
 * BITCASK_OK: the key is there, at *place. BITCASK_NOT_FOUND: it is not; *entry is
 * one that readers do not see until it is set, or without @create perhaps NULL.
 * BITCASK_NO_MEMORY.
 */
enum bitcask_status bitcask_keydir_reserve(struct bitcask_keydir *keydir, uint64_t hash,
                                           struct bitcask_slice key, bool create,
                                           struct bitcask_keydir_entry **entry,
                                           struct bitcask_place *place);

/*
 * The same with @create, but cheaper: an entry that was created is found by nobody, not
 * even by reserve, before it is set.
 */
enum bitcask_status bitcask_keydir_reserve_alone(struct bitcask_keydir *keydir,
                                                 uint64_t hash, struct bitcask_slice key,
                                                 struct bitcask_keydir_entry **entry,
                                                 struct bitcask_place *place);
void bitcask_keydir_set(struct bitcask_keydir *keydir, unsigned shard,
                        struct bitcask_keydir_entry *entry,
                        const struct bitcask_place *place);
void bitcask_keydir_remove(struct bitcask_keydir *keydir, unsigned shard,
                           struct bitcask_keydir_entry *entry);
/* As remove, but the memory stays reserved: to be set, hidden or cancelled again. */
void bitcask_keydir_hide(struct bitcask_keydir *keydir, unsigned shard,
                         struct bitcask_keydir_entry *entry);
/* Undo reserve and hide: what readers do not see is freed, what they see stays. */
void bitcask_keydir_cancel(struct bitcask_keydir *keydir, unsigned shard,
                           struct bitcask_keydir_entry *entry);

/* LOADING. Records come in any order; of each key the highest sequence stays. */
struct bitcask_load_item {
    struct bitcask_slice key;
    uint64_t hash;
    struct bitcask_place place; /* flags may have BITCASK_PLACE_TOMBSTONE */

    /* Set by the call: what is no longer live because of it, this one or an older. */
    bool displaces;
    struct bitcask_place displaced;
};

/* How many items are worth handing over at a time: their cache misses overlap. */
enum {
    BITCASK_LOAD_ITEMS_MAX = 16
};

/*
 * Without locks, which would be a third of the work: several threads may load at a
 * time, each of them other shards, and nobody may do anything else meanwhile.
 */
enum bitcask_status bitcask_keydir_load(struct bitcask_keydir *keydir,
                                        struct bitcask_load_item *items, size_t count);

/* After loading: tombstones have done their work and leave. */
void bitcask_keydir_drop_tombstones(struct bitcask_keydir *keydir);

/*
 * WALKING. A few keys at a time under the read lock, so that writers hardly notice.
 * A key that is there during the whole walk is visited exactly once, also while
 * tables grow: the cursor counts buckets with reversed bits, as Redis' SCAN does.
 */
struct bitcask_keydir_cursor {
    unsigned shard;
    uint32_t bucket;
};

/* May not call the keydir. @key is valid during the visit. */
typedef enum bitcask_status bitcask_keydir_visit(struct bitcask_slice key,
                                                 const struct bitcask_place *place,
                                                 void *context);

/*
 * Visit the next keys, none or more. BITCASK_NOT_FOUND: the walk is at its end and
 * visited none. If a visit does not return OK, neither does this, and the cursor stays
 * where it was: the next call visits the same keys again.
 */
enum bitcask_status bitcask_keydir_walk(struct bitcask_keydir *keydir,
                                        struct bitcask_keydir_cursor *cursor,
                                        bitcask_keydir_visit *visit, void *context);

#endif
