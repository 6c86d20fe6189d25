/* SPDX-License-Identifier: MIT */
/*
 * Inside the copier of merges, between merge_copy.c (what is read, and what becomes of
 * it), merge_output.c (what is written) and merge_repoint.c (the keydir afterwards).
 */
#ifndef BITCASK_MERGE_INSIDE_H
#define BITCASK_MERGE_INSIDE_H

#include "bitcask/merge.h"
#include "bitcask/merge_writer.h"

enum {
    BITCASK_MERGE_READ_SIZE = 1 << 20,
    BITCASK_MERGE_BATCH_COUNT = 8192
};

/* A record in the batch. */
struct copy_item {
    struct bitcask_merge_item at;
    struct bitcask_record record;
    const uint8_t *bytes; /* of the record, whole */
};

/* What is counted of an output, as in struct bitcask_segment. */
struct output_numbers {
    uint64_t record_count;
    uint64_t live_size; /* of all puts */
    uint64_t live_count;
    uint64_t tombstone_size;
    uint64_t tombstone_count;
    uint64_t tombstone_first;
    uint64_t tombstone_last;
    uint64_t first_sequence;
    uint64_t last_sequence;
    bool expires;
};

struct bitcask_merge_copier {
    struct bitcask_merge_run *run;
    struct bitcask *cask;
    struct bitcask_io *io;
    uint64_t horizon;
    uint64_t purged_sequence;
    uint64_t now_ms;
    struct bitcask_merge_counts counts;

    uint8_t *in;
    bool unreadable; /* the input */
    struct copy_item *items;
    struct bitcask_merge_item **order; /* the items, by shard */
    size_t count;
    struct bitcask_buffer keys;

    /* The output that is being written, if file is one. */
    struct bitcask_manifest_segment draft;
    bitcask_file file;
    struct output_numbers numbers;
    struct bitcask_merge_writer writer;
    size_t out_size;    /* waiting in the writer's room */
    uint64_t file_size; /* given to the writer */
    struct bitcask_hint_writer hint;
    bool hinted; /* the hint is complete so far */

    struct bitcask_segment **outputs; /* finished */
    size_t output_count;
    size_t output_capacity;
};

/* Sort the batch by shard, into copier->order; @begins has where each shard begins. */
void bitcask_merge_sort_batch(struct bitcask_merge_copier *copier,
                              size_t begins[BITCASK_KEYDIR_SHARD_COUNT + 1]);

/* Write @record with @key, whose value is at @value and was verified. */
enum bitcask_status bitcask_merge_write(struct bitcask_merge_copier *copier,
                                        const struct bitcask_record *record,
                                        struct bitcask_slice key, const uint8_t *value);

/*
 * The same for a value that comes in pieces: first all that is before it, then the
 * pieces, which are written before the call returns.
 */
enum bitcask_status bitcask_merge_write_head(struct bitcask_merge_copier *copier,
                                             const struct bitcask_record *record,
                                             struct bitcask_slice key);
enum bitcask_status bitcask_merge_write_piece(struct bitcask_merge_copier *copier,
                                              const uint8_t *bytes, size_t size);

#endif
