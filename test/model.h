/* SPDX-License-Identifier: MIT */
/*
 * A model of a cask for random tests: a few keys, each with the value it must have.
 * Everything follows from a seed, so that a run can be repeated and a value need not
 * be kept: it is made again from the number of the operation that put it.
 */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bitcask/bitcask.h>

enum {
    MODEL_KEY_COUNT = 128
};

/* xorshift64*: good enough to wander, the same everywhere. */
struct model_random {
    uint64_t state;
};
uint64_t model_random_next(struct model_random *random);
uint64_t model_random_below(struct model_random *random, uint64_t limit);

/* The seed: from BITCASK_TEST_SEED, else from the clock. Prints it. */
uint64_t model_seed(void);
/* A number from the environment, else @fallback. */
uint64_t model_setting(const char *name, uint64_t fallback);

enum model_kind {
    MODEL_PUT,
    MODEL_DELETE
};

/* One write, number @number of the history of @seed. */
struct model_write {
    enum model_kind kind;
    unsigned key;
    size_t value_size;
    uint64_t number;
};
struct model_write model_write_at(uint64_t seed, uint64_t number);

struct model {
    uint64_t seed;
    uint64_t write_count;
    struct {
        bool live;
        uint64_t number; /* of the write that put it */
        size_t value_size;
    } keys[MODEL_KEY_COUNT];
};

void model_init(struct model *model, uint64_t seed);
/* Make the next write of the history; the model alone. */
void model_advance(struct model *model);
size_t model_live_count(const struct model *model);

/* The bytes of a key: binary, of 1 to 300 bytes. Valid until the next call. */
struct bitcask_slice model_key(unsigned key);
/* The bytes of the value that write @number put. Valid until the next call. */
struct bitcask_slice model_value(uint64_t seed, uint64_t number, size_t size);

/* Make write @write in @cask; what a right cask answers is known from @model before. */
void model_apply(const struct model *model, struct bitcask *cask,
                 const struct model_write *write);

/* Whether @cask holds exactly what @model does, by gets and by iteration. */
bool model_equals(const struct model *model, struct bitcask *cask);

/* Print and abort unless @status is @expected. */
void model_expect(enum bitcask_status status, enum bitcask_status expected,
                  const char *what, uint64_t seed);

#endif
