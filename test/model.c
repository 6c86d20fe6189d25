/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEY_SIZE_MAX = 300,
    VALUE_SIZE_MAX = 100 * 1024
};

uint64_t model_random_next(struct model_random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t model_random_below(struct model_random *random, uint64_t limit)
{
    return model_random_next(random) % limit;
}

uint64_t model_setting(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 0) : fallback;
}

uint64_t model_seed(void)
{
    struct timespec now = { 0, 0 };
    uint64_t seed;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    seed = model_setting("BITCASK_TEST_SEED",
                         (uint64_t)now.tv_nsec << 20 ^ (uint64_t)now.tv_sec);
    printf("seed %" PRIu64 " (set BITCASK_TEST_SEED to repeat)\n", seed);
    (void)fflush(stdout);
    return seed;
}

/* A well mixed state for number @number of @seed. */
static struct model_random random_at(uint64_t seed, uint64_t number)
{
    struct model_random random = {
        (seed + number * UINT64_C(0x9e3779b97f4a7c15)) | 1,
    };

    for (int i = 0; i < 4; i++)
        (void)model_random_next(&random);
    return random;
}

/* Mostly small, sometimes empty, sometimes far above the size of a file. */
static size_t pick_size(struct model_random *random)
{
    switch (model_random_below(random, 20)) {
    case 0:
        return 0;
    case 1:
        return (size_t)model_random_below(random, VALUE_SIZE_MAX + 1);
    case 2:
    case 3:
    case 4:
        return (size_t)model_random_below(random, 5000);
    default:
        return (size_t)model_random_below(random, 200);
    }
}

struct model_write model_write_at(uint64_t seed, uint64_t number)
{
    struct model_random random = random_at(seed, number);
    struct model_write write = { .number = number };

    write.kind = model_random_below(&random, 4) == 0 ? MODEL_DELETE : MODEL_PUT;
    write.key = (unsigned)model_random_below(&random, MODEL_KEY_COUNT);
    write.value_size = write.kind == MODEL_PUT ? pick_size(&random) : 0;
    return write;
}

void model_init(struct model *model, uint64_t seed)
{
    memset(model, 0, sizeof *model);
    model->seed = seed;
}

void model_advance(struct model *model)
{
    struct model_write write = model_write_at(model->seed, model->write_count);

    model->keys[write.key].live = write.kind == MODEL_PUT;
    model->keys[write.key].number = write.number;
    model->keys[write.key].value_size = write.value_size;
    model->write_count++;
}

size_t model_live_count(const struct model *model)
{
    size_t count = 0;

    for (unsigned i = 0; i < MODEL_KEY_COUNT; i++)
        count += model->keys[i].live;
    return count;
}

struct bitcask_slice model_key(unsigned key)
{
    static uint8_t bytes[KEY_SIZE_MAX];
    struct model_random random = random_at(12345, key);
    struct bitcask_slice slice = { bytes, 1 };

    bytes[0] = (uint8_t)key; /* tells all keys apart */
    if (key % 3 != 0)
        slice.size += (size_t)model_random_below(&random, key % 7 == 0 ? 299 : 30);
    for (size_t i = 1; i < slice.size; i++)
        bytes[i] = (uint8_t)model_random_next(&random);
    return slice;
}

struct bitcask_slice model_value(uint64_t seed, uint64_t number, size_t size)
{
    static uint8_t bytes[VALUE_SIZE_MAX + 8];
    struct model_random random = random_at(~seed, number);
    struct bitcask_slice slice = { bytes, size };

    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = model_random_next(&random);

        memcpy(bytes + i, &word, 8);
    }
    return slice;
}

void model_expect(enum bitcask_status status, enum bitcask_status expected,
                  const char *what, uint64_t seed)
{
    if (status == expected)
        return;
    printf("FAILED with seed %" PRIu64 ": %s is %d, not %d: %s\n", seed, what, status,
           expected, bitcask_error_detail());
    (void)fflush(stdout);
    abort();
}

void model_apply(const struct model *model, struct bitcask *cask,
                 const struct model_write *write)
{
    if (write->kind == MODEL_PUT)
        model_expect(
            bitcask_put(cask, model_key(write->key),
                        model_value(model->seed, write->number, write->value_size)),
            BITCASK_OK, "put", model->seed);
    else
        model_expect(bitcask_delete(cask, model_key(write->key)),
                     model->keys[write->key].live ? BITCASK_OK : BITCASK_NOT_FOUND,
                     "delete", model->seed);
}

static bool value_equals(const struct model *model, unsigned key, const void *data,
                         size_t size)
{
    struct bitcask_slice value =
        model_value(model->seed, model->keys[key].number, model->keys[key].value_size);

    return model->keys[key].live && size == value.size &&
           memcmp(data, value.data, size) == 0;
}

static bool gets_agree(const struct model *model, struct bitcask *cask)
{
    struct bitcask_buffer value = { 0 };
    bool agree = true;

    for (unsigned key = 0; key < MODEL_KEY_COUNT && agree; key++) {
        enum bitcask_status status = bitcask_get(cask, model_key(key), &value);

        if (status == BITCASK_OK)
            agree = value_equals(model, key, value.data, value.size) &&
                    ((const char *)value.data)[value.size] == '\0';
        else
            agree = status == BITCASK_NOT_FOUND && !model->keys[key].live;
        agree = agree && (bitcask_exists(cask, model_key(key)) == BITCASK_OK) ==
                             model->keys[key].live;
    }
    bitcask_buffer_release(&value);
    return agree;
}

static bool iteration_agrees(const struct model *model, struct bitcask *cask, bool sorted)
{
    struct bitcask_iterator_options options = { .sorted = sorted };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    unsigned before = 0;
    size_t count = 0;
    enum bitcask_status status;
    bool agree = true;

    model_expect(bitcask_iterator_open(cask, &options, &iterator), BITCASK_OK,
                 "iterator_open", model->seed);
    while (agree && (status = bitcask_iterator_next(iterator, &key, &value)) !=
                        BITCASK_NOT_FOUND) {
        unsigned number = ((const uint8_t *)key.data)[0];
        struct bitcask_slice expected;

        if (status != BITCASK_OK || number >= MODEL_KEY_COUNT) {
            agree = false;
            break;
        }
        agree = value_equals(model, number, value.data, value.size);
        expected = model_key(number);
        agree = agree && key.size == expected.size &&
                memcmp(key.data, expected.data, key.size) == 0;
        /* The first byte of a key is its number, so that alone gives the order. */
        agree = agree && (!sorted || count == 0 || before < number);
        before = number;
        count++;
    }
    bitcask_iterator_close(iterator);
    return agree && count == model_live_count(model);
}

bool model_equals(const struct model *model, struct bitcask *cask)
{
    struct bitcask_stat stat;

    model_expect(bitcask_stat(cask, &stat), BITCASK_OK, "stat", model->seed);
    return stat.key_count == model_live_count(model) && gets_agree(model, cask) &&
           iteration_agrees(model, cask, false) && iteration_agrees(model, cask, true);
}
