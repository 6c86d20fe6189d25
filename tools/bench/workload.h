/* SPDX-License-Identifier: MIT */
/*
 * The workloads: their names, and what one operation of each does to which key.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "random.h"

enum bench_operation {
    BENCH_PUT_NEXT,   /* of keys that are not there, one after the other */
    BENCH_PUT_ANY,    /* of a random key that is there */
    BENCH_GET_ANY,    /* of a random key */
    BENCH_GET_ZIPF,   /* of keys some of which are far more frequent */
    BENCH_GET_ABSENT, /* of keys that were never put */
    BENCH_GET_MANY,   /* of 16 random keys at once */
    BENCH_GET_NEXT,   /* of each key in turn, to have them all in memory */
    BENCH_MIX_HALF,   /* a zipfian key is read, or as often updated */
    BENCH_MIX_READS,  /* the same with 19 reads for an update */
    BENCH_REMOVE,     /* of a random key that is there */
    BENCH_SCAN,       /* of all pairs */
    BENCH_NO_OPERATION
};

enum {
    BENCH_MANY = 16 /* keys of BENCH_GET_MANY */
};

/* In the order in which they are reported. */
enum bench_workload_id {
    BENCH_W_FILL_SEQ,
    BENCH_W_FILL_RANDOM,
    BENCH_W_OVERWRITE,
    BENCH_W_GET,
    BENCH_W_GET_MISS,
    BENCH_W_GET_ZIPF,
    BENCH_W_MULTI_GET,
    BENCH_W_SCAN,
    BENCH_W_HALF_AND_HALF,
    BENCH_W_READS_95,
    BENCH_W_DELETE,
    BENCH_W_BIG_4K,
    BENCH_W_BIG_4K_GET,
    BENCH_W_BIG_64K,
    BENCH_W_BIG_64K_GET,
    BENCH_W_DURABLE_FILL,
    BENCH_W_STALLS,
    BENCH_W_OPEN_AFTER_KILL,
    BENCH_W_OPEN_AFTER_CLOSE,
    BENCH_W_MERGE,
    BENCH_W_COUNT
};

struct bench_workload {
    const char *name;
    const char *text; /* what it does, in a line */
    enum bench_operation operation;
    unsigned
        threads[4]; /* how many it is run with, as far as they are asked for; 0 ends */
    bool timed;     /* its figure is a time, not a rate */
};

extern const struct bench_workload bench_workloads[BENCH_W_COUNT];

/* The workload of that name, or BENCH_W_COUNT. */
enum bench_workload_id bench_workload_find(const char *name, size_t size);

/* What decides which key an operation is for. */
struct bench_sequence {
    enum bench_operation operation;
    unsigned threads;
    uint64_t step;      /* the number of this run on its store: 1, 2, ... */
    uint64_t key_count; /* that are there, or with BENCH_PUT_NEXT will be */
    struct bench_permutation permutation;
    const struct bench_zipf *zipf;
};

/* What one operation does. */
struct bench_choice {
    uint64_t index; /* of the key */
    uint64_t version;
    bool write;
};

/*
 * Versions tell the step that wrote them, and within it, where a key may be written more
 * than once, the thread and the operation.
 */
static inline uint64_t bench_version_of_step(uint64_t step)
{
    return step << 40;
}

static inline uint64_t bench_step_of_version(uint64_t version)
{
    return version >> 40;
}

/* What operation @i of @thread does. */
static inline struct bench_choice bench_choose(const struct bench_sequence *sequence,
                                               unsigned thread, uint64_t i)
{
    uint64_t seed = sequence->step << 32 | (uint64_t)thread << 16;
    uint64_t random = bench_random(bench_mix(seed), i);
    struct bench_choice choice = { .version = bench_version_of_step(sequence->step) };

    switch (sequence->operation) {
    case BENCH_PUT_NEXT:
    case BENCH_GET_NEXT:
        choice.index = i * sequence->threads + thread;
        choice.write = sequence->operation == BENCH_PUT_NEXT;
        break;
    case BENCH_REMOVE:
        choice.index =
            bench_permute(&sequence->permutation,
                          (i * sequence->threads + thread) % sequence->key_count);
        choice.write = true;
        break;
    case BENCH_GET_ABSENT:
        choice.index = sequence->key_count + bench_below(random, sequence->key_count);
        break;
    case BENCH_GET_ZIPF:
    case BENCH_MIX_HALF:
    case BENCH_MIX_READS:
        choice.index =
            sequence->zipf->indexes[(bench_mix(seed) + i) & sequence->zipf->mask];
        choice.write = sequence->operation == BENCH_MIX_HALF    ? (random & 1) == 0
                       : sequence->operation == BENCH_MIX_READS ? random % 20 == 0
                                                                : false;
        choice.version |= (uint64_t)thread << 32 | (uint32_t)i;
        break;
    default:
        choice.index = bench_below(random, sequence->key_count);
        choice.write = sequence->operation == BENCH_PUT_ANY;
        choice.version |= (uint64_t)thread << 32 | (uint32_t)i;
    }
    return choice;
}

#endif
