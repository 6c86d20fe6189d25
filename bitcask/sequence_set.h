/* SPDX-License-Identifier: MIT */
/*
 * A set of sequences: to know whether records are missing between two that are there, and
 * whether one is there twice.
 *
 * A bit for each, in chunks that are allocated when the first of their sequences is
 * added: sequences lie close together, so that a hundred million of them take 12 MiB.
 *
 * Several threads may use one set at the same time. Knows no file and no record.
 */
#ifndef BITCASK_SEQUENCE_SET_H
#define BITCASK_SEQUENCE_SET_H

#include <pthread.h>
#include <stdatomic.h>

#include "bitcask/bitcask.h"

struct bitcask_sequence_chunk;

enum {
    BITCASK_SEQUENCE_RECENT_COUNT = 64
};

/* Pairs: init with release, also after a failed init. Zeroed is released. */
struct bitcask_sequence_set {
    pthread_mutex_t lock;
    bool usable;
    struct bitcask_sequence_chunk *chunks; /* by the number of their first sequence */
    /* Each at its number, modulo: those that were asked for last, without the lock. */
    struct bitcask_sequence_chunk *_Atomic recent[BITCASK_SEQUENCE_RECENT_COUNT];
};

enum bitcask_status bitcask_sequence_set_init(struct bitcask_sequence_set *set);
void bitcask_sequence_set_release(struct bitcask_sequence_set *set);

/*
 * Add @sequence; *added is false if it was there already, and may be NULL.
 * BITCASK_NO_MEMORY: it is not in the set.
 */
enum bitcask_status bitcask_sequence_set_add(struct bitcask_sequence_set *set,
                                             uint64_t sequence, bool *added);

bool bitcask_sequence_set_has(struct bitcask_sequence_set *set, uint64_t sequence);

/* How many there are from @first to @last, both included; all: 0 to UINT64_MAX. */
uint64_t bitcask_sequence_set_count(struct bitcask_sequence_set *set, uint64_t first,
                                    uint64_t last);

/* Whether every sequence from @first to @last is there; yes, if @first is above @last. */
bool bitcask_sequence_set_covers(struct bitcask_sequence_set *set, uint64_t first,
                                 uint64_t last);

#endif
