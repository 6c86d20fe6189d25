/* SPDX-License-Identifier: MIT */
/*
 * Memory for millions of small things of few sizes: cut from chunks, which are cut
 * from large regions that can use huge pages. Freed pieces are used again for the
 * same size; everything goes back to the system at once, when the source is released.
 *
 * Compared with malloc this saves the header of each piece and most page faults.
 * Chunks grow with the slab, so that a slab that holds little takes little.
 */
#ifndef BITCASK_SLAB_H
#define BITCASK_SLAB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Where slabs get their chunks. Any number of threads may share one. */
struct bitcask_slab_source {
    pthread_mutex_t lock;
    struct bitcask_slab_region *regions; /* newest first */
    struct bitcask_slab_region *spare;   /* made ahead, to be the next; NULL: none */
    size_t region_size_next;
    size_t total_size; /* of all regions */
};

/* Zero on success, or an error number. @expected_size: how much it will give out. */
int bitcask_slab_source_init(struct bitcask_slab_source *source, size_t expected_size);
/* Frees all memory of all slabs on it. */
void bitcask_slab_source_release(struct bitcask_slab_source *source);

/* Bytes of memory that it has from the system, given out or not. */
size_t bitcask_slab_source_size(struct bitcask_slab_source *source);

/*
 * Do the next piece of work that taking would have to do soon: the system fills huge
 * pages with zeros when they are first touched, which takes longer than anything else
 * here. Some hundred microseconds; false: nothing is to be done now. For a thread that
 * nobody waits for, at least each time that 8 MiB were taken.
 */
bool bitcask_slab_source_prepare(struct bitcask_slab_source *source);

/* @size bytes that stay until the release, aligned to a cache line, or NULL. */
void *bitcask_slab_source_take(struct bitcask_slab_source *source, size_t size);

/* Larger pieces come from malloc. */
enum {
    BITCASK_SLAB_PIECE_MAX = 512,
    BITCASK_SLAB_STEP = 8
};

/* Zero-initialise, then set source. One thread at a time. */
struct bitcask_slab {
    struct bitcask_slab_source *source;
    char *chunk; /* the rest of the newest chunk */
    size_t chunk_size;
    size_t total_size; /* of all its chunks */
    struct bitcask_slab_gift *gifts;
    void *free_pieces[BITCASK_SLAB_PIECE_MAX / BITCASK_SLAB_STEP + 1];
};

/* @size bytes, aligned to 8, or NULL. */
void *bitcask_slab_allocate(struct bitcask_slab *slab, size_t size);

/*
 * Let the slab use up @size bytes at @memory, which the source has given out to be
 * something else; at least 64.
 */
void bitcask_slab_give(struct bitcask_slab *slab, void *memory, size_t size);

/* @size is what was asked for. */
void bitcask_slab_free(struct bitcask_slab *slab, void *piece, size_t size);

#endif
