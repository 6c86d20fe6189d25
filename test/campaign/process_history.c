/* SPDX-License-Identifier: MIT */
/*
 * The history of the process campaign: what its writes are, and whether a cask holds
 * what it must.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "test/campaign/process.h"

enum {
    KEY_SIZE_MAX = 200,
};

struct write {
    bool is_delete;
    unsigned key;
    size_t size;
};

/* A key, and the value that was last made or is expected, of each lane. */
static struct {
    uint8_t key[KEY_SIZE_MAX];
    uint8_t value[PROCESS_VALUE_SIZE_MAX + 8];
} scratch[PROCESS_LANE_COUNT];

static uint64_t chance_at(const struct process *process, unsigned lane, uint64_t number)
{
    uint64_t state = process->seed ^ (number * PROCESS_LANE_COUNT + lane + 1) << 20;

    return campaign_random(&state);
}

static size_t pick_size(const struct process *process, uint64_t *random)
{
    uint64_t limit = 200;

    switch (campaign_random_below(random, 64)) {
    case 0:
        limit = PROCESS_VALUE_SIZE_MAX;
        break;
    case 1:
    case 2:
        limit = 1; /* an empty one */
        break;
    default:
        if (campaign_random_below(random, 4) == 0)
            limit = 10 * 1024;
    }
    if (limit > process->value_size_max)
        limit = process->value_size_max;
    return (size_t)campaign_random_below(random, limit);
}

static struct write write_at(const struct process *process, unsigned lane,
                             uint64_t number)
{
    uint64_t random = chance_at(process, lane, number);
    struct write write = {
        .is_delete = campaign_random_below(&random, 4) == 0,
        .key = (unsigned)campaign_random_below(&random, PROCESS_KEY_COUNT),
        .size = pick_size(process, &random),
    };

    return write;
}

/* The first two bytes tell all keys apart and say whose they are. */
static struct bitcask_slice make_key(unsigned lane, unsigned key)
{
    uint8_t *bytes = scratch[lane].key;
    struct bitcask_slice slice = { bytes, 2 + (key * 37u + lane) % (KEY_SIZE_MAX - 2) };

    memset(bytes, (int)('a' + key % 26), slice.size);
    bytes[0] = (uint8_t)('0' + lane);
    bytes[1] = (uint8_t)key;
    return slice;
}

/* The value of write @number: its number first, so that a wrong one says whose it is. */
static struct bitcask_slice make_value(const struct process *process, unsigned lane,
                                       uint64_t number)
{
    size_t size = write_at(process, lane, number).size;
    uint64_t state = chance_at(process, lane, ~number);
    uint8_t *bytes = scratch[lane].value;
    struct bitcask_slice slice = { bytes, size };

    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = i == 0 ? number : campaign_random(&state);

        memcpy(bytes + i, &word, 8);
    }
    return slice;
}

static bool is_undone(enum bitcask_status status)
{
    return status == BITCASK_IO || status == BITCASK_NO_SPACE || status == BITCASK_FAILED;
}

static void acknowledge(struct process *process, unsigned lane, const struct write *write,
                        uint64_t number)
{
    struct process_lane *state = &process->shared->lanes[lane];

    atomic_store(&state->held[write->key], write->is_delete ? 0 : number + 1);
    atomic_store(&state->doubtful_count, 0);
    atomic_fetch_add(&state->acknowledged, 1);
    process_count(process, PROCESS_WRITES_ACKNOWLEDGED);
}

enum bitcask_status process_write(struct process *process, struct bitcask *cask,
                                  unsigned lane)
{
    struct process_lane *state = &process->shared->lanes[lane];
    uint64_t number = atomic_load(&state->next);
    uint32_t doubtful_count = atomic_load(&state->doubtful_count);
    struct write write = write_at(process, lane, number);
    bool was_held = atomic_load(&state->held[write.key]) != 0;
    enum bitcask_status status;

    if (doubtful_count == PROCESS_FAILED_MAX)
        process_fail(process, "the campaign lets too many writes fail in a row");
    atomic_store(&state->next, number + 1);
    atomic_store(&state->doubtful[doubtful_count], number);
    atomic_store(&state->doubtful_count, doubtful_count + 1);

    if (write.is_delete)
        status = bitcask_delete(cask, make_key(lane, write.key));
    else
        status = bitcask_put(cask, make_key(lane, write.key),
                             make_value(process, lane, number));

    if (status == BITCASK_NOT_FOUND && (!write.is_delete || was_held))
        process_fail(process, "%s %" PRIu64 " of lane %u says NOT_FOUND, the key is %s",
                     write.is_delete ? "delete" : "put", number, lane,
                     was_held ? "there" : "not there");
    if (status == BITCASK_OK && write.is_delete && !was_held)
        process_fail(process, "delete %" PRIu64 " of lane %u of an absent key says OK",
                     number, lane);
    if (status == BITCASK_OK)
        acknowledge(process, lane, &write, number);
    else if (!is_undone(status)) /* nothing was written, earlier doubts remain */
        atomic_store(&state->doubtful_count, doubtful_count);
    return status;
}

void process_write_some(struct process *process, struct bitcask *cask, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned lane = 0; lane < process->lane_count; lane++)
            process_expect(process, process_write(process, cask, lane),
                           PROCESS_OK | PROCESS_BIT(BITCASK_NOT_FOUND), "a write");
    }
}

static bool equals(const struct process *process, unsigned lane, uint64_t held,
                   const void *data, size_t size)
{
    struct bitcask_slice value = make_value(process, lane, held - 1);

    return size == value.size && memcmp(data, value.data, size) == 0;
}

/* Whether the doubtful write @number of the key explains what was found instead. */
static bool explains(const struct process *process, unsigned lane, unsigned key,
                     uint64_t number, bool found, const struct bitcask_buffer *value)
{
    struct write write = write_at(process, lane, number);

    if (write.key != key)
        return false;
    if (!found)
        return write.is_delete;
    return !write.is_delete &&
           equals(process, lane, number + 1, value->data, value->size);
}

static void fail_value(struct process *process, unsigned lane, unsigned key, bool found,
                       const struct bitcask_buffer *value, const char *when)
{
    struct process_lane *state = &process->shared->lanes[lane];
    uint64_t held = atomic_load(&state->held[key]);
    uint64_t number = 0;
    char is[100] = "is absent";
    char must[100] = "must be absent";

    if (found && value->size >= 8)
        memcpy(&number, value->data, 8);
    if (found)
        (void)snprintf(is, sizeof is, "has %zu bytes that begin with %" PRIu64,
                       value->size, number);
    if (held != 0)
        (void)snprintf(must, sizeof must, "must have the value of write %" PRIu64,
                       held - 1);
    process_fail(process,
                 "%s: key %u of lane %u %s but %s; %" PRIu64 " writes acknowledged, %u "
                 "in doubt",
                 when, key, lane, is, must, atomic_load(&state->acknowledged),
                 (unsigned)atomic_load(&state->doubtful_count));
}

/*
 * One key by get and exists. With @settled, which is the doubtful write that was found
 * so far, a key may show one instead of what it must hold.
 */
static void check_key(struct process *process, struct bitcask *cask, unsigned lane,
                      unsigned key, unsigned excused, uint64_t *settled, const char *when)
{
    struct process_lane *state = &process->shared->lanes[lane];
    uint32_t doubtful_count = settled != NULL ? atomic_load(&state->doubtful_count) : 0;
    uint64_t held = atomic_load(&state->held[key]);
    struct bitcask_buffer value = { 0 };
    enum bitcask_status status = bitcask_get(cask, make_key(lane, key), &value);
    bool found = status == BITCASK_OK;

    process_expect(process, status, excused | PROCESS_OK | PROCESS_BIT(BITCASK_NOT_FOUND),
                   when);
    if (found && ((const char *)value.data)[value.size] != '\0')
        process_fail(process, "%s: no zero byte behind a value", when);
    if (!found && status != BITCASK_NOT_FOUND) {
        process_count(process, PROCESS_LIMIT_STATUSES);
        found = held != 0;
    } else if (found != (held != 0) ||
               (found && !equals(process, lane, held, value.data, value.size))) {
        bool explained = false;

        for (uint32_t i = 0; i < doubtful_count && !explained && *settled == 0; i++) {
            uint64_t number = atomic_load(&state->doubtful[i]);

            explained = explains(process, lane, key, number, found, &value);
            if (explained)
                *settled = number + 1;
        }
        if (!explained)
            fail_value(process, lane, key, found, &value, when);
    }
    bitcask_buffer_release(&value);
    status = bitcask_exists(cask, make_key(lane, key));
    if (status != (found ? BITCASK_OK : BITCASK_NOT_FOUND))
        process_fail(process, "%s: exists of key %u of lane %u says %s, get does not",
                     when, key, lane, bitcask_status_text(status));
}

/* One step of an iteration: a key that must be there, with its value. */
static void check_step(struct process *process, enum bitcask_status status,
                       struct bitcask_slice key, struct bitcask_slice value,
                       const char *when)
{
    const uint8_t *bytes = key.data;
    unsigned lane = key.size > 1 ? bytes[0] - '0' : PROCESS_LANE_COUNT;
    unsigned number = key.size > 1 ? bytes[1] : PROCESS_KEY_COUNT;
    struct bitcask_slice expected;
    uint64_t held;

    if (lane >= process->lane_count || number >= PROCESS_KEY_COUNT)
        process_fail(process, "%s: an iteration gives a key that was never put", when);
    expected = make_key(lane, number);
    held = atomic_load(&process->shared->lanes[lane].held[number]);
    if (key.size != expected.size || memcmp(key.data, expected.data, key.size) != 0 ||
        held == 0)
        process_fail(process, "%s: an iteration gives a key %s", when,
                     held == 0 ? "that is not there" : "that was never put");
    if (status == BITCASK_OK && !equals(process, lane, held, value.data, value.size))
        process_fail(process,
                     "%s: an iteration gives a wrong value for key %u of lane %u", when,
                     number, lane);
}

static uint64_t held_count(const struct process *process, unsigned lane)
{
    uint64_t count = 0;

    for (unsigned key = 0; key < PROCESS_KEY_COUNT; key++)
        count += atomic_load(&process->shared->lanes[lane].held[key]) != 0;
    return count;
}

/*
 * Iterate over one lane, or all if @lane is PROCESS_LANE_COUNT. What cannot be read has
 * its key nevertheless; without memory an iteration may be given up.
 */
static void check_iteration(struct process *process, struct bitcask *cask, unsigned lane,
                            bool sorted, unsigned excused, const char *when)
{
    const uint8_t first = (uint8_t)('0' + lane);
    struct bitcask_iterator_options options = { .sorted = sorted };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    uint64_t count = 0, expected = 0;
    bool before[PROCESS_LANE_COUNT * 256] = { false };
    enum bitcask_status status;

    if (lane < PROCESS_LANE_COUNT)
        options.prefix = (struct bitcask_slice){ &first, 1 };
    for (unsigned i = 0; i < process->lane_count; i++)
        expected += lane == i || lane == PROCESS_LANE_COUNT ? held_count(process, i) : 0;

    status = bitcask_iterator_open(cask, &options, &iterator);
    process_expect(process, status, PROCESS_OK | excused, "iterator_open");
    if (status != BITCASK_OK)
        return;
    while ((status = bitcask_iterator_next(iterator, &key, &value)) !=
           BITCASK_NOT_FOUND) {
        size_t place;

        process_expect(process, status, PROCESS_OK | excused, "iterator_next");
        if (status == BITCASK_NO_MEMORY) {
            bitcask_iterator_close(iterator);
            return;
        }
        check_step(process, status, key, value, when);
        place = (size_t)(((const uint8_t *)key.data)[0] - '0') * 256 +
                ((const uint8_t *)key.data)[1];
        if (before[place])
            process_fail(process, "%s: an iteration gives a key twice", when);
        for (size_t i = place; sorted && i < sizeof before; i++) {
            if (before[i])
                process_fail(process, "%s: an iteration is out of order", when);
        }
        before[place] = true;
        count++;
    }
    bitcask_iterator_close(iterator);
    if (count != expected)
        process_fail(process, "%s: an iteration gives %" PRIu64 " keys, not %" PRIu64,
                     when, count, expected);
}

static void check_all(struct process *process, struct bitcask *cask, unsigned excused,
                      bool doubtful, const char *when)
{
    struct bitcask_stat stat;
    uint64_t expected = 0;

    for (unsigned lane = 0; lane < process->lane_count; lane++) {
        struct process_lane *state = &process->shared->lanes[lane];
        uint64_t settled = 0;

        for (unsigned key = 0; key < PROCESS_KEY_COUNT; key++)
            check_key(process, cask, lane, key, excused, doubtful ? &settled : NULL,
                      when);
        if (settled != 0) {
            struct write write = write_at(process, lane, settled - 1);

            process_count(process, PROCESS_FOUND_DOUBTFUL);
            acknowledge(process, lane, &write, settled - 1);
        }
        if (doubtful)
            atomic_store(&state->doubtful_count, 0);
        expected += held_count(process, lane);
    }
    process_expect(process, bitcask_stat(cask, &stat), PROCESS_OK, "stat");
    if (stat.key_count != expected || stat.damage_count != 0)
        process_fail(process,
                     "%s: stat counts %" PRIu64 " keys, not %" PRIu64 ", and %" PRIu64
                     " damages",
                     when, stat.key_count, expected, stat.damage_count);
    check_iteration(process, cask, PROCESS_LANE_COUNT, false, excused, when);
    check_iteration(process, cask, PROCESS_LANE_COUNT, true, excused, when);
}

void process_check(struct process *process, struct bitcask *cask, unsigned excused,
                   const char *when)
{
    check_all(process, cask, excused, false, when);
}

void process_settle(struct process *process, struct bitcask *cask, const char *when)
{
    check_all(process, cask, 0, true, when);
}

void process_check_lane(struct process *process, struct bitcask *cask, unsigned lane)
{
    for (unsigned key = 0; key < PROCESS_KEY_COUNT; key++)
        check_key(process, cask, lane, key, 0, NULL, "beside other writers");
    check_iteration(process, cask, lane, false, 0, "beside other writers");
}
