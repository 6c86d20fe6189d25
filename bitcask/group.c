/* SPDX-License-Identifier: MIT */
#include "bitcask/group.h"

#include <assert.h>
#include <string.h>

#include "bitcask/buffer.h"

enum {
    KEYS_SIZE_MIN = 4096,     /* wanted of the first group: about 128 keys */
    KEYS_SIZE_MAX = 16777216, /* of those that have grown */
    KEYS_SIZE_FREE = 65536,   /* of a group in a cask of any size */
    KEY_SIZE_GUESS = 32,      /* in them, of a key of 16 bytes */
    SHARE = 4,                /* groups are not larger than such a part of all keys */
    GROWTH = 4,               /* from one to the next */
    ORDERED_COUNT_MIN = 1024, /* fewer are not worth ordering */
    VALUES_SIZE_MAX = 65536,  /* read at a time */
    RECORD_DISTANCE = 12,     /* what is asked for before it is looked at: records, */
    KEY_DISTANCE = 32,        /* and before that the keys */
    VALUE_ALIGNMENT = 16,     /* of a value among others, as malloc would have it */
    KEY_ALIGNMENT = 8,
    SHORT_KEY_SIZE = 16,
};

/* What is known of a key that waits; the key follows. */
struct waiting {
    uint64_t sequence;
    uint32_t value_size;
    uint16_t key_size;
    uint8_t flags;
    bool copied; /* the value has been read ahead */
};
static_assert(sizeof(struct waiting) % KEY_ALIGNMENT == 0, "they lie one after another");
static_assert(BITCASK_KEY_SIZE_MAX <= UINT16_MAX, "key_size has 16 bits");

struct turn {
    uint64_t location; /* segment and offset: sorts as the places do */
    size_t offset;     /* of the waiting key */
};

struct collection {
    struct bitcask_group *group;
    bitcask_group_select *select;
    const void *context;
};

static size_t turn_count(const struct bitcask_group *group)
{
    return group->turns.size / sizeof(struct turn);
}

static const struct turn *turn_at(const struct bitcask_group *group, size_t index)
{
    return (const struct turn *)group->turns.data + index;
}

static struct waiting *waiting_of(const struct bitcask_group *group,
                                  const struct turn *turn)
{
    return (struct waiting *)((uint8_t *)group->keys.data + turn->offset);
}

static struct bitcask_slice key_of(const struct waiting *waiting)
{
    return (struct bitcask_slice){ waiting + 1, waiting->key_size };
}

static struct bitcask_place place_of(const struct turn *turn,
                                     const struct waiting *waiting)
{
    return (struct bitcask_place){
        .sequence = waiting->sequence,
        .offset = turn->location & (((uint64_t)1 << BITCASK_PLACE_OFFSET_BITS) - 1),
        .segment = (uint32_t)(turn->location >> BITCASK_PLACE_OFFSET_BITS),
        .value_size = waiting->value_size,
        .flags = waiting->flags,
    };
}

/* Room for @size more bytes, or NULL. */
static void *extend(struct bitcask_buffer *buffer, size_t size)
{
    uint8_t *bytes;

    if (size > buffer->capacity - buffer->size &&
        bitcask_buffer_reserve(buffer, 2 * (buffer->size + size)) != BITCASK_OK)
        return NULL;
    bytes = (uint8_t *)buffer->data + buffer->size;
    buffer->size += size;
    return bytes;
}

static enum bitcask_status copy_key(struct bitcask_slice key,
                                    const struct bitcask_place *place, void *context)
{
    const struct collection *collection = context;
    struct bitcask_group *group = collection->group;
    size_t key_room = (key.size + KEY_ALIGNMENT - 1) / KEY_ALIGNMENT * KEY_ALIGNMENT;
    size_t offset = group->keys.size;
    struct waiting *waiting;
    struct turn *turn;

    if (!collection->select(collection->context, key))
        return BITCASK_OK;
    waiting = extend(&group->keys, sizeof *waiting + key_room);
    turn = extend(&group->turns, sizeof *turn);
    if (waiting == NULL || turn == NULL)
        return BITCASK_NO_MEMORY;
    *waiting = (struct waiting){ place->sequence, place->value_size, (uint16_t)key.size,
                                 (uint8_t)place->flags, false };
    memcpy(waiting + 1, key.data, key.size);
    turn->location =
        (uint64_t)place->segment << BITCASK_PLACE_OFFSET_BITS | place->offset;
    turn->offset = offset;
    return BITCASK_OK;
}

/*
 * Ordered by 8 KiB: records in other pages cost the processor a walk through the page
 * tables, which is short if it has just been to the neighbours. Nearer ones need no
 * order.
 */
enum {
    NEAR_BITS = 13,
    DIGIT_BITS = 8,
    DIGIT_COUNT = 1 << DIGIT_BITS,
    PASS_COUNT =
        (BITCASK_PLACE_SEGMENT_BITS + BITCASK_PLACE_OFFSET_BITS - NEAR_BITS) / DIGIT_BITS,
};
static_assert(NEAR_BITS + PASS_COUNT * DIGIT_BITS ==
                  BITCASK_PLACE_SEGMENT_BITS + BITCASK_PLACE_OFFSET_BITS,
              "the passes see all bits");

static unsigned digit_of(const struct turn *turn, unsigned pass)
{
    return (unsigned)(turn->location >> (NEAR_BITS + pass * DIGIT_BITS)) % DIGIT_COUNT;
}

/* Move the turns to the scratch by one digit, unless all have the same; then exchange. */
static void sort_by_digit(struct bitcask_group *group, unsigned pass,
                          const size_t counts[DIGIT_COUNT])
{
    const struct turn *turns = group->turns.data;
    struct turn *sorted = group->scratch.data;
    size_t count = turn_count(group);
    size_t places[DIGIT_COUNT];
    size_t place = 0;
    struct bitcask_buffer exchanged;

    if (counts[digit_of(turns, pass)] == count)
        return;
    for (size_t i = 0; i < DIGIT_COUNT; i++) {
        places[i] = place;
        place += counts[i];
    }
    for (size_t i = 0; i < count; i++)
        sorted[places[digit_of(&turns[i], pass)]++] = turns[i];
    group->scratch.size = group->turns.size;
    exchanged = group->turns;
    group->turns = group->scratch;
    group->scratch = exchanged;
}

/* Bring the turns into the order of the files. */
static enum bitcask_status sort(struct bitcask_group *group)
{
    size_t counts[PASS_COUNT][DIGIT_COUNT] = { { 0 } };
    const struct turn *turns = group->turns.data;
    size_t count = turn_count(group);
    enum bitcask_status status;

    if (count < ORDERED_COUNT_MIN)
        return BITCASK_OK;
    status = bitcask_buffer_reserve(&group->scratch, group->turns.size);
    if (status != BITCASK_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        for (unsigned pass = 0; pass < PASS_COUNT; pass++)
            counts[pass][digit_of(&turns[i], pass)]++;
    }
    for (unsigned pass = 0; pass < PASS_COUNT; pass++)
        sort_by_digit(group, pass, counts[pass]);
    return BITCASK_OK;
}

/*
 * Copy the keys of the next group. BITCASK_NOT_FOUND: there are none. After any other
 * failure the walk will come by here again.
 */
static enum bitcask_status collect(struct bitcask_group *group,
                                   bitcask_group_select *select, const void *context)
{
    struct bitcask_keydir *keydir = group->cask->keydir;
    struct collection collection = { group, select, context };
    struct bitcask_keydir_cursor before = group->cursor;
    enum bitcask_status status = BITCASK_OK;

    group->next = 0;
    group->read_end = 0;
    group->keys.size = 0;
    group->turns.size = 0;
    if (group->size_wanted < KEYS_SIZE_MIN)
        group->size_wanted = KEYS_SIZE_MIN;
    while (status == BITCASK_OK && group->keys.size < group->size_wanted) {
        if (group->keys.size == 0) {
            before = group->cursor;
            group->shard = before.shard;
            group->generation = bitcask_keydir_generation(keydir);
        }
        status = bitcask_keydir_walk(keydir, &group->cursor, copy_key, &collection);
    }
    if (status == BITCASK_NOT_FOUND && group->keys.size > 0)
        status = BITCASK_OK;
    if (status == BITCASK_OK)
        status = sort(group);
    if (status != BITCASK_OK) {
        group->cursor = before;
        group->turns.size = 0;
        group->size_wanted = KEYS_SIZE_MIN; /* if memory is short */
    }
    return status;
}

/* Where the value behind @offset begins and, if it has @size bytes and a zero, ends. */
static size_t value_begin(size_t offset)
{
    return (offset + VALUE_ALIGNMENT - 1) / VALUE_ALIGNMENT * VALUE_ALIGNMENT;
}

static size_t value_end(size_t offset, uint32_t size)
{
    return value_begin(offset) + size + 1;
}

/*
 * Ask for key @index, if there is one. A macro: calls of a function that has no other
 * effect are removed.
 */
#define PREFETCH_KEY(group, index)                                                      \
    do {                                                                                \
        if ((index) < turn_count(group)) {                                              \
            const char *bytes = (const char *)waiting_of(group, turn_at(group, index)); \
                                                                                        \
            __builtin_prefetch(bytes);                                                  \
            __builtin_prefetch(bytes + sizeof(struct waiting) + SHORT_KEY_SIZE);        \
        }                                                                               \
    } while (0)

static void prefetch_record(const struct bitcask_group *group, size_t index)
{
    const struct turn *turn = turn_at(group, index);
    const struct waiting *waiting = waiting_of(group, turn);
    struct bitcask_place place = place_of(turn, waiting);

    bitcask_segments_prefetch(&group->cask->segments, place.segment, place.offset,
                              bitcask_place_record_size(&place, waiting->key_size));
}

/*
 * Copy the values of the next turns, whose places are pinned, as many as there is room
 * for. Returns the turn behind them.
 */
static size_t copy_values(struct bitcask_group *group)
{
    size_t count = turn_count(group);
    size_t i = group->next;
    size_t offset = 0;

    for (size_t k = i; k < count && k < i + KEY_DISTANCE; k++)
        PREFETCH_KEY(group, k);
    for (size_t k = i; k < count && k < i + RECORD_DISTANCE; k++)
        prefetch_record(group, k);
    for (; i < count; i++) {
        const struct turn *turn = turn_at(group, i);
        struct waiting *waiting = waiting_of(group, turn);
        struct bitcask_place place = place_of(turn, waiting);

        if (waiting->value_size >= VALUES_SIZE_MAX ||
            value_end(offset, waiting->value_size) > VALUES_SIZE_MAX)
            break;
        PREFETCH_KEY(group, i + KEY_DISTANCE);
        if (i + RECORD_DISTANCE < count)
            prefetch_record(group, i + RECORD_DISTANCE);
        waiting->copied =
            bitcask_cask_copy_mapped(group->cask, key_of(waiting), &place,
                                     (uint8_t *)group->values.data + value_begin(offset));
        offset = value_end(offset, waiting->value_size);
    }
    return i;
}

/*
 * Read the values of the next few turns, one or more. What cannot be read like this is
 * left to its turn: what is large, not mapped, damaged, or may have been moved, and what
 * has an expiry, which is judged when it is asked for.
 *
 * One pin is enough for places of many shards: as long as the generation is that in which
 * they were copied no merge waits for readers yet, and one that will waits for this
 * shard, too.
 */
static enum bitcask_status read_ahead(struct bitcask_group *group)
{
    struct bitcask_keydir *keydir = group->cask->keydir;
    size_t end = group->next;
    struct bitcask_pin pin;
    enum bitcask_status status = bitcask_buffer_reserve(&group->values, VALUES_SIZE_MAX);
    bool pinned;

    if (status != BITCASK_OK)
        return status;
    bitcask_keydir_read_lock(keydir, group->shard);
    pinned = bitcask_keydir_generation(keydir) == group->generation;
    if (pinned)
        pin = bitcask_keydir_pin(keydir, group->shard);
    bitcask_keydir_read_unlock(keydir, group->shard);
    if (pinned) {
        end = copy_values(group);
        bitcask_keydir_unpin(keydir, pin);
    }
    group->value_offset = 0;
    group->read_end = end > group->next ? end : end + 1;
    return BITCASK_OK;
}

/*
 * Pin the place of @key. If what is there may have been moved it is looked for; false:
 * the key has been deleted.
 */
static bool pin_place(struct bitcask_group *group, struct bitcask_group_key *key)
{
    struct bitcask_keydir *keydir = group->cask->keydir;
    uint64_t hash = bitcask_keydir_hash(keydir, key->key);
    unsigned shard = bitcask_keydir_shard(hash);

    bitcask_keydir_read_lock(keydir, shard);
    key->pinned = bitcask_keydir_generation(keydir) == group->generation ||
                  bitcask_keydir_find(keydir, hash, key->key, &key->place);
    if (key->pinned)
        key->pin = bitcask_keydir_pin(keydir, shard);
    bitcask_keydir_read_unlock(keydir, shard);
    return key->pinned;
}

/* The turn that has come. */
static void take(struct bitcask_group *group, struct bitcask_group_key *out)
{
    const struct turn *turn = turn_at(group, group->next);
    const struct waiting *waiting = waiting_of(group, turn);

    out->key = key_of(waiting);
    out->place = place_of(turn, waiting);
    out->value = NULL;
    out->pinned = false;
    if (waiting->copied)
        out->value = (uint8_t *)group->values.data + value_begin(group->value_offset);
    group->value_offset_before = group->value_offset;
    if (group->next < group->read_end)
        group->value_offset = value_end(group->value_offset, waiting->value_size);
    group->next++;
}

/*
 * The next group may be larger, but not so that it holds a large part of all keys: memory
 * that is touched for the first time takes longer than what it saves.
 */
static void grow(struct bitcask_group *group)
{
    size_t size = group->size_wanted * GROWTH;

    if (size > KEYS_SIZE_FREE &&
        (size > KEYS_SIZE_MAX ||
         size / KEY_SIZE_GUESS > bitcask_keydir_count(group->cask->keydir) / SHARE))
        return;
    group->size_wanted = size;
}

enum bitcask_status bitcask_group_next(struct bitcask_group *group,
                                       bitcask_group_select *select, const void *context,
                                       bool wants_value, struct bitcask_group_key *out)
{
    enum bitcask_status status;
    bool needs_place;

    do {
        if (group->next == turn_count(group)) {
            if (wants_value)
                grow(group);
            status = collect(group, select, context);
            if (status != BITCASK_OK)
                return status;
        }
        if (wants_value && group->next >= group->read_end) {
            status = read_ahead(group);
            if (status != BITCASK_OK)
                return status;
        }
        take(group, out);
        needs_place = (wants_value && out->value == NULL) ||
                      (out->place.flags & BITCASK_PLACE_EXPIRES) != 0;
    } while (needs_place && !pin_place(group, out));
    return BITCASK_OK;
}

void bitcask_group_repeat(struct bitcask_group *group)
{
    group->next--;
    group->value_offset = group->value_offset_before;
}

void bitcask_group_release(struct bitcask_group *group)
{
    bitcask_buffer_release(&group->keys);
    bitcask_buffer_release(&group->turns);
    bitcask_buffer_release(&group->scratch);
    bitcask_buffer_release(&group->values);
}
