/* SPDX-License-Identifier: MIT */
#include "bitcask/slab.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    CACHE_LINE_SIZE = 64,
    CHUNK_SIZE_MIN = 1 << 10,
    CHUNK_SIZE_MAX = 32 << 10,
    REGION_SIZE_MIN = 256 << 10,
    REGION_SIZE_MAX = 64 << 20,
    HUGE_PAGE_SIZE = 2 << 20,
    AHEAD_SIZE_MIN = 2 << 20, /* how much is kept ready to be taken: a sixteenth, */
    AHEAD_SIZE_MAX = 16 << 20 /* within these */
};

struct bitcask_slab_region {
    struct bitcask_slab_region *next;
    size_t size;
    size_t used;
    size_t ready; /* as far as somebody has touched the pages ahead, or is at it */
};

/* Lies in what was given. */
struct bitcask_slab_gift {
    struct bitcask_slab_gift *next;
    size_t size;
};

int bitcask_slab_source_init(struct bitcask_slab_source *source, size_t expected_size)
{
    size_t size = REGION_SIZE_MIN;

    while (size < expected_size && size < REGION_SIZE_MAX)
        size *= 2;
    source->regions = NULL;
    source->spare = NULL;
    source->region_size_next = size;
    source->total_size = 0;
    return pthread_mutex_init(&source->lock, NULL);
}

void bitcask_slab_source_release(struct bitcask_slab_source *source)
{
    while (source->regions != NULL) {
        struct bitcask_slab_region *region = source->regions;

        source->regions = region->next;
        free(region);
    }
    free(source->spare);
    (void)pthread_mutex_destroy(&source->lock);
}

static struct bitcask_slab_region *create_region(size_t size)
{
    size_t alignment = size >= HUGE_PAGE_SIZE ? HUGE_PAGE_SIZE : CACHE_LINE_SIZE;
    struct bitcask_slab_region *region = aligned_alloc(alignment, size);

    if (region == NULL)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (size >= HUGE_PAGE_SIZE)
        (void)madvise(region, size, MADV_HUGEPAGE); /* only ever a favour */
#endif
    region->next = NULL;
    region->size = size;
    region->used = CACHE_LINE_SIZE; /* behind the head, on a line of its own */
    region->ready = 0;
    return region;
}

/*
 * Each region doubles the one before: a few calls for any amount, half used at worst.
 * With the lock held.
 */
static struct bitcask_slab_region *add_region(struct bitcask_slab_source *source,
                                              size_t wanted)
{
    struct bitcask_slab_region *region = source->spare;
    size_t size = source->region_size_next;

    if (region != NULL && region->size - region->used >= wanted) {
        source->spare = NULL;
    } else {
        while (size < wanted + CACHE_LINE_SIZE && size <= SIZE_MAX / 2)
            size *= 2;
        region = create_region(size);
        if (region == NULL)
            return NULL;
    }
    region->next = source->regions;
    source->regions = region;
    source->total_size += region->size;
    if (region->size < REGION_SIZE_MAX)
        source->region_size_next = 2 * region->size;
    return region;
}

/* How much should be ready to be taken, by how much there is. */
static size_t ahead_size(const struct bitcask_slab_source *source)
{
    size_t size = source->total_size / 16;

    if (size < AHEAD_SIZE_MIN)
        return AHEAD_SIZE_MIN;
    return size < AHEAD_SIZE_MAX ? size : AHEAD_SIZE_MAX;
}

/*
 * The next huge page of @region that is wanted within @ahead from where it is used up
 * to, or NULL. It counts as ready from now on.
 */
static char *claim_page(struct bitcask_slab_region *region, size_t ahead)
{
    size_t used = region->used / HUGE_PAGE_SIZE * HUGE_PAGE_SIZE;
    char *page;

    if (region->ready < used)
        region->ready = used;
    if (region->size - region->ready < HUGE_PAGE_SIZE ||
        region->ready >= region->used + ahead)
        return NULL;
    page = (char *)region + region->ready;
    region->ready += HUGE_PAGE_SIZE;
    return page;
}

/* With the lock held: to what page is next, or, where there is none, a spare region. */
static char *next_page(struct bitcask_slab_source *source, bool *wants_spare)
{
    struct bitcask_slab_region *region = source->regions;
    size_t ahead = ahead_size(source);
    char *page;

    *wants_spare = false;
    if (region == NULL || region->size < HUGE_PAGE_SIZE)
        return NULL;
    page = claim_page(region, ahead);
    if (page != NULL || region->size - region->used >= ahead)
        return page;
    *wants_spare = source->spare == NULL;
    if (*wants_spare)
        return NULL;
    return claim_page(source->spare, ahead - (region->size - region->used));
}

bool bitcask_slab_source_prepare(struct bitcask_slab_source *source)
{
#ifdef MADV_POPULATE_WRITE
    struct bitcask_slab_region *spare;
    bool wants_spare;
    size_t size;
    char *page;

    (void)pthread_mutex_lock(&source->lock);
    page = next_page(source, &wants_spare);
    size = source->region_size_next;
    (void)pthread_mutex_unlock(&source->lock);

    /* Does not change what is there, so it does not matter who uses the page by now. */
    if (page != NULL)
        return madvise(page, HUGE_PAGE_SIZE, MADV_POPULATE_WRITE) == 0;
    if (!wants_spare)
        return false;
    spare = create_region(size);
    if (spare == NULL)
        return false;
    (void)pthread_mutex_lock(&source->lock);
    if (source->spare == NULL) {
        source->spare = spare;
        spare = NULL;
    }
    (void)pthread_mutex_unlock(&source->lock);
    free(spare);
    return true;
#else
    (void)source;
    return false;
#endif
}

void *bitcask_slab_source_take(struct bitcask_slab_source *source, size_t size)
{
    struct bitcask_slab_region *region;
    char *chunk = NULL;

    if (size > SIZE_MAX / 4)
        return NULL;
    size = (size + CACHE_LINE_SIZE - 1) / CACHE_LINE_SIZE * CACHE_LINE_SIZE;
    (void)pthread_mutex_lock(&source->lock);
    region = source->regions;
    if (region == NULL || region->size - region->used < size)
        region = add_region(source, size);
    if (region != NULL) {
        chunk = (char *)region + region->used;
        region->used += size;
    }
    (void)pthread_mutex_unlock(&source->lock);
    return chunk;
}

size_t bitcask_slab_source_size(struct bitcask_slab_source *source)
{
    size_t size;

    (void)pthread_mutex_lock(&source->lock);
    size = source->total_size + (source->spare != NULL ? source->spare->size : 0);
    (void)pthread_mutex_unlock(&source->lock);
    return size;
}

static size_t round_up(size_t size)
{
    return (size + BITCASK_SLAB_STEP - 1) / BITCASK_SLAB_STEP * BITCASK_SLAB_STEP;
}

/* An eighth of what the slab has: so much, at most, lies idle. */
static size_t next_chunk_size(const struct bitcask_slab *slab)
{
    size_t size = slab->total_size / 8 / CHUNK_SIZE_MIN * CHUNK_SIZE_MIN;

    if (size < CHUNK_SIZE_MIN)
        return CHUNK_SIZE_MIN;
    return size < CHUNK_SIZE_MAX ? size : CHUNK_SIZE_MAX;
}

/* Get a chunk that has @size: one that was given, else from the source. */
static bool next_chunk(struct bitcask_slab *slab, size_t size)
{
    struct bitcask_slab_gift *gift = slab->gifts;
    size_t chunk_size = next_chunk_size(slab);
    void *chunk = gift;

    if (gift != NULL && gift->size >= size) {
        slab->gifts = gift->next;
        chunk_size = gift->size;
    } else {
        chunk = bitcask_slab_source_take(slab->source, chunk_size);
        if (chunk == NULL)
            return false;
    }
    slab->chunk = chunk;
    slab->chunk_size = chunk_size;
    slab->total_size += chunk_size;
    return true;
}

void bitcask_slab_give(struct bitcask_slab *slab, void *memory, size_t size)
{
    struct bitcask_slab_gift *gift = memory;

    gift->next = slab->gifts;
    gift->size = size;
    slab->gifts = gift;
}

void *bitcask_slab_allocate(struct bitcask_slab *slab, size_t size)
{
    void **free_pieces;
    void *piece;

    if (size > BITCASK_SLAB_PIECE_MAX)
        return malloc(size);

    size = round_up(size);
    free_pieces = &slab->free_pieces[size / BITCASK_SLAB_STEP];
    if (*free_pieces != NULL) {
        piece = *free_pieces;
        memcpy(free_pieces, piece, sizeof piece); /* the link lies in the piece */
        return piece;
    }

    if (slab->chunk_size < size && !next_chunk(slab, size))
        return NULL;
    piece = slab->chunk;
    slab->chunk += size;
    slab->chunk_size -= size;
    return piece;
}

void bitcask_slab_free(struct bitcask_slab *slab, void *piece, size_t size)
{
    void **free_pieces;

    if (size > BITCASK_SLAB_PIECE_MAX) {
        free(piece);
        return;
    }
    free_pieces = &slab->free_pieces[round_up(size) / BITCASK_SLAB_STEP];
    memcpy(piece, free_pieces, sizeof *free_pieces);
    *free_pieces = piece;
}
