/* SPDX-License-Identifier: MIT */
/*
 * Iteration. The keydir is walked a few buckets at a time; what they hold is copied
 * under the read lock and handed out without it.
 *
 * Unsorted, a copied key comes with the place that it had at that moment, and its
 * value is read from there: no second look-up, and a value that it held meanwhile. Only
 * if a merge has moved records since then it is looked up again. The values of a group
 * are read together, since the time goes into waiting for the memory that they lie in:
 * each is asked for some records ahead.
 * Sorted, all keys are copied first and looked up again when their turn comes.
 */
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/cask.h"
#include "bitcask/check.h"
#include "bitcask/status.h"

enum {
    GROUP_COUNT_MIN = 32,        /* keys copied at a time, if their shard has so many */
    READ_AHEAD_SIZE_MAX = 65536, /* of the values that are read at a time */
    READ_AHEAD_DISTANCE = 12,    /* records asked for before they are looked at */
    VALUE_ALIGNMENT = 16,        /* of a value among others, as malloc would have it */
};

#define NOT_READ SIZE_MAX

/* A key that waits for its turn. */
struct waiting {
    size_t key_offset; /* in the keys buffer */
    size_t key_size;
    size_t value_offset; /* in the values buffer, or NOT_READ */
    struct bitcask_place place;
};

/* A key whose turn has come. */
struct turn {
    struct bitcask_slice key;
    const void *value; /* NULL: it has not been read ahead */
    struct bitcask_place place;
    bool pinned;
    struct bitcask_pin pin; /* of the place, if it is to be read */
};

/* Sorted, where memory counts: 24 bytes a key. */
struct sorted_key {
    uint64_t prefix; /* the first eight bytes as a number: decides most comparisons */
    union {
        size_t offset;        /* in the keys buffer, while that grows */
        const uint8_t *bytes; /* in the keys buffer, once it is complete */
    } key;
    uint32_t size;
};

struct bitcask_iterator {
    struct bitcask *cask;
    bool keys_only;
    bool sorted;
    bool collected; /* sorted: all keys have been copied */
    struct bitcask_buffer prefix;
    struct bitcask_buffer from;
    struct bitcask_buffer to;

    struct bitcask_keydir_cursor cursor;
    struct bitcask_buffer keys;    /* the bytes of all waiting keys */
    struct bitcask_buffer waiting; /* of struct waiting, or struct sorted_key */
    size_t next;                   /* the next one to hand out */
    unsigned shard;                /* unsorted: of all that are waiting */
    uint64_t generation;           /* unsorted: when they were copied */
    size_t read_end;               /* unsorted: values are read ahead of those below */
    struct bitcask_buffer values;  /* unsorted: those that have been */
    struct bitcask_buffer value;   /* the one that was read at its turn */
};

static enum bitcask_status copy_slice(struct bitcask_buffer *buffer,
                                      struct bitcask_slice slice)
{
    if (slice.size > 0 && slice.data == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "a bound of the iteration is NULL");
    return bitcask_buffer_append(buffer, slice.data, slice.size);
}

enum bitcask_status bitcask_iterator_open(struct bitcask *cask,
                                          const struct bitcask_iterator_options *options,
                                          struct bitcask_iterator **out)
{
    const struct bitcask_iterator_options defaults = { 0 };
    struct bitcask_iterator *iterator;
    enum bitcask_status status = bitcask_cask_check(cask);

    if (out == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE,
                                     "the place for the iterator is NULL");
    *out = NULL;
    if (status != BITCASK_OK)
        return status;
    if (options == NULL)
        options = &defaults;
    if (bitcask_check_reserved(options->reserved_flags, sizeof options->reserved_flags) !=
            BITCASK_OK ||
        bitcask_check_reserved(options->reserved, sizeof options->reserved) != BITCASK_OK)
        return BITCASK_MISUSE;

    iterator = calloc(1, sizeof *iterator);
    if (iterator == NULL)
        return bitcask_fail_memory(sizeof *iterator);
    iterator->cask = cask;
    iterator->keys_only = options->keys_only;
    iterator->sorted = options->sorted;
    status = copy_slice(&iterator->prefix, options->prefix);
    if (status == BITCASK_OK)
        status = copy_slice(&iterator->from, options->from);
    if (status == BITCASK_OK)
        status = copy_slice(&iterator->to, options->to);
    if (status != BITCASK_OK) {
        bitcask_iterator_close(iterator);
        return status;
    }
    *out = iterator;
    return BITCASK_OK;
}

void bitcask_iterator_close(struct bitcask_iterator *iterator)
{
    if (iterator == NULL)
        return;
    bitcask_buffer_release(&iterator->prefix);
    bitcask_buffer_release(&iterator->from);
    bitcask_buffer_release(&iterator->to);
    bitcask_buffer_release(&iterator->keys);
    bitcask_buffer_release(&iterator->waiting);
    bitcask_buffer_release(&iterator->values);
    bitcask_buffer_release(&iterator->value);
    free(iterator);
}

/* By unsigned bytes, a shorter key before its extensions. */
static int compare_bytes(const void *left, size_t left_size, const void *right,
                         size_t right_size)
{
    size_t size = left_size < right_size ? left_size : right_size;
    int order = size > 0 ? memcmp(left, right, size) : 0;

    if (order != 0)
        return order;
    return left_size < right_size ? -1 : left_size > right_size;
}

static bool is_selected(const struct bitcask_iterator *iterator, struct bitcask_slice key)
{
    const struct bitcask_buffer *prefix = &iterator->prefix;
    const struct bitcask_buffer *from = &iterator->from;
    const struct bitcask_buffer *to = &iterator->to;

    if (prefix->size > 0 &&
        (key.size < prefix->size || memcmp(key.data, prefix->data, prefix->size) != 0))
        return false;
    if (from->size > 0 && compare_bytes(key.data, key.size, from->data, from->size) < 0)
        return false;
    return to->size == 0 || compare_bytes(key.data, key.size, to->data, to->size) < 0;
}

static enum bitcask_status wait_unsorted(struct bitcask_slice key,
                                         const struct bitcask_place *place, void *context)
{
    struct bitcask_iterator *iterator = context;
    struct waiting waiting = { iterator->keys.size, key.size, NOT_READ, *place };
    enum bitcask_status status;

    if (!is_selected(iterator, key))
        return BITCASK_OK;
    status = bitcask_buffer_append(&iterator->keys, key.data, key.size);
    if (status == BITCASK_OK)
        status = bitcask_buffer_append(&iterator->waiting, &waiting, sizeof waiting);
    return status;
}

static uint64_t number_of_prefix(struct bitcask_slice key)
{
    const uint8_t *bytes = key.data;
    uint64_t number = 0;

    for (size_t i = 0; i < 8; i++)
        number = number << 8 | (i < key.size ? bytes[i] : 0);
    return number;
}

static enum bitcask_status wait_sorted(struct bitcask_slice key,
                                       const struct bitcask_place *place, void *context)
{
    struct bitcask_iterator *iterator = context;
    struct sorted_key sorted = { .prefix = number_of_prefix(key),
                                 .key.offset = iterator->keys.size,
                                 .size = (uint32_t)key.size };
    enum bitcask_status status;

    (void)place;
    if (!is_selected(iterator, key))
        return BITCASK_OK;
    status = bitcask_buffer_append(&iterator->keys, key.data, key.size);
    if (status == BITCASK_OK)
        status = bitcask_buffer_append(&iterator->waiting, &sorted, sizeof sorted);
    return status;
}

static size_t waiting_count(const struct bitcask_iterator *iterator)
{
    return iterator->waiting.size / sizeof(struct waiting);
}

/* Copy the next few keys, of one shard. BITCASK_NOT_FOUND: there are none. */
static enum bitcask_status collect_some(struct bitcask_iterator *iterator)
{
    struct bitcask_keydir *keydir = iterator->cask->keydir;
    struct bitcask_keydir_cursor *cursor = &iterator->cursor;
    struct bitcask_keydir_cursor before = *cursor;
    enum bitcask_status status = BITCASK_OK;

    iterator->next = 0;
    iterator->read_end = 0;
    iterator->keys.size = 0;
    iterator->waiting.size = 0;
    while (status == BITCASK_OK &&
           (iterator->waiting.size == 0 || (waiting_count(iterator) < GROUP_COUNT_MIN &&
                                            cursor->shard == iterator->shard))) {
        if (iterator->waiting.size == 0) {
            before = *cursor;
            iterator->shard = cursor->shard;
            iterator->generation = bitcask_keydir_generation(keydir);
        }
        status = bitcask_keydir_walk(keydir, cursor, wait_unsorted, iterator);
    }
    if (status != BITCASK_OK) { /* the walk will come by here again */
        *cursor = before;
        iterator->waiting.size = 0;
    }
    return status;
}

static int compare_sorted(const void *left, const void *right)
{
    const struct sorted_key *a = left;
    const struct sorted_key *b = right;

    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    return compare_bytes(a->key.bytes, a->size, b->key.bytes, b->size);
}

/* Copy all keys and bring them into order. */
static enum bitcask_status collect_all(struct bitcask_iterator *iterator)
{
    struct sorted_key *sorted;
    size_t count;
    enum bitcask_status status = BITCASK_OK;

    iterator->cursor = (struct bitcask_keydir_cursor){ 0, 0 };
    iterator->keys.size = 0;
    iterator->waiting.size = 0;
    while (status == BITCASK_OK) {
        size_t keys_size = iterator->keys.size;
        size_t waiting_size = iterator->waiting.size;

        status = bitcask_keydir_walk(iterator->cask->keydir, &iterator->cursor,
                                     wait_sorted, iterator);
        if (status != BITCASK_OK) {
            iterator->keys.size = keys_size;
            iterator->waiting.size = waiting_size;
        }
    }
    if (status != BITCASK_NOT_FOUND)
        return status;

    sorted = iterator->waiting.data;
    count = iterator->waiting.size / sizeof *sorted;
    for (size_t i = 0; i < count; i++) /* the buffer does not move any more */
        sorted[i].key.bytes = (const uint8_t *)iterator->keys.data + sorted[i].key.offset;
    if (count > 1)
        qsort(sorted, count, sizeof *sorted, compare_sorted);
    iterator->collected = true;
    return BITCASK_OK;
}

/* The next key in order with its place of now. BITCASK_NOT_FOUND: no more. */
static enum bitcask_status take_sorted(struct bitcask_iterator *iterator,
                                       struct turn *turn)
{
    struct bitcask_keydir *keydir = iterator->cask->keydir;

    if (!iterator->collected) {
        enum bitcask_status status = collect_all(iterator);

        if (status != BITCASK_OK)
            return status;
    }
    while (!turn->pinned &&
           iterator->next < iterator->waiting.size / sizeof(struct sorted_key)) {
        const struct sorted_key *sorted =
            (const struct sorted_key *)iterator->waiting.data + iterator->next++;
        uint64_t hash;
        unsigned shard;

        turn->key = (struct bitcask_slice){ sorted->key.bytes, sorted->size };
        hash = bitcask_keydir_hash(keydir, turn->key);
        shard = bitcask_keydir_shard(hash);
        bitcask_keydir_read_lock(keydir, shard);
        /* If it is not found it has been deleted since. */
        turn->pinned = bitcask_keydir_find(keydir, hash, turn->key, &turn->place);
        if (turn->pinned)
            turn->pin = bitcask_keydir_pin(keydir, shard);
        bitcask_keydir_read_unlock(keydir, shard);
    }
    return turn->pinned ? BITCASK_OK : BITCASK_NOT_FOUND;
}

/* Where the value of a waiting key would end, if it began behind @offset. */
static size_t value_end(const struct waiting *waiting, size_t *offset)
{
    *offset = (*offset + VALUE_ALIGNMENT - 1) / VALUE_ALIGNMENT * VALUE_ALIGNMENT;
    return *offset + waiting->place.value_size + 1;
}

static struct bitcask_slice key_of(const struct bitcask_iterator *iterator,
                                   const struct waiting *waiting)
{
    return (struct bitcask_slice){
        (const uint8_t *)iterator->keys.data + waiting->key_offset, waiting->key_size
    };
}

static void prefetch(struct bitcask_iterator *iterator, const struct waiting *waiting)
{
    bitcask_segments_prefetch(
        &iterator->cask->segments, waiting->place.segment, waiting->place.offset,
        bitcask_place_record_size(&waiting->place, waiting->key_size));
}

/* Copy the values of the waiting keys from @first to @end, whose places are pinned. */
static void read_group(struct bitcask_iterator *iterator, size_t first, size_t end)
{
    struct waiting *waiting = iterator->waiting.data;
    size_t offset = 0;

    for (size_t i = first; i < end && i < first + READ_AHEAD_DISTANCE; i++)
        prefetch(iterator, &waiting[i]);
    for (size_t i = first; i < end; i++) {
        size_t next_offset = value_end(&waiting[i], &offset);

        if (i + READ_AHEAD_DISTANCE < end)
            prefetch(iterator, &waiting[i + READ_AHEAD_DISTANCE]);
        if (bitcask_cask_copy_mapped(iterator->cask, key_of(iterator, &waiting[i]),
                                     &waiting[i].place,
                                     (uint8_t *)iterator->values.data + offset))
            waiting[i].value_offset = offset;
        offset = next_offset;
    }
}

/*
 * Read the values of the next few waiting keys, one or more. What cannot be read like
 * this is left to its turn: what is large, not mapped, damaged, or may have been moved,
 * and what has an expiry, which is judged when it is asked for.
 */
static enum bitcask_status read_ahead(struct bitcask_iterator *iterator)
{
    struct bitcask_keydir *keydir = iterator->cask->keydir;
    const struct waiting *waiting = iterator->waiting.data;
    size_t count = waiting_count(iterator);
    size_t first = iterator->next;
    size_t end = first;
    size_t size = 0;
    struct bitcask_pin pin;
    enum bitcask_status status;
    bool pinned;

    while (end < count && waiting[end].place.value_size < READ_AHEAD_SIZE_MAX) {
        size_t offset = size;
        size_t next_size = value_end(&waiting[end], &offset);

        if (next_size > READ_AHEAD_SIZE_MAX)
            break;
        size = next_size;
        end++;
    }
    if (end == first) {
        iterator->read_end = first + 1;
        return BITCASK_OK;
    }
    status = bitcask_buffer_reserve(&iterator->values, size);
    if (status != BITCASK_OK)
        return status;
    iterator->read_end = end;

    bitcask_keydir_read_lock(keydir, iterator->shard);
    pinned = bitcask_keydir_generation(keydir) == iterator->generation;
    if (pinned)
        pin = bitcask_keydir_pin(keydir, iterator->shard);
    bitcask_keydir_read_unlock(keydir, iterator->shard);
    if (pinned) {
        read_group(iterator, first, end);
        bitcask_keydir_unpin(keydir, pin);
    }
    return BITCASK_OK;
}

/*
 * Pin the place of @turn. If what is there may have been moved it is looked for; false:
 * the key has been deleted.
 */
static bool pin_turn(struct bitcask_iterator *iterator, struct turn *turn)
{
    struct bitcask_keydir *keydir = iterator->cask->keydir;

    bitcask_keydir_read_lock(keydir, iterator->shard);
    turn->pinned = bitcask_keydir_generation(keydir) == iterator->generation ||
                   bitcask_keydir_find(keydir, bitcask_keydir_hash(keydir, turn->key),
                                       turn->key, &turn->place);
    if (turn->pinned)
        turn->pin = bitcask_keydir_pin(keydir, iterator->shard);
    bitcask_keydir_read_unlock(keydir, iterator->shard);
    return turn->pinned;
}

/* The next key as it was found. BITCASK_NOT_FOUND: no more. */
static enum bitcask_status take_unsorted(struct bitcask_iterator *iterator,
                                         bool wants_value, struct turn *turn)
{
    const struct waiting *waiting;
    enum bitcask_status status;
    bool needs_place;

    do {
        if (iterator->next == waiting_count(iterator)) {
            status = collect_some(iterator);
            if (status != BITCASK_OK)
                return status;
        }
        if (wants_value && iterator->next >= iterator->read_end) {
            status = read_ahead(iterator);
            if (status != BITCASK_OK)
                return status;
        }
        waiting = (const struct waiting *)iterator->waiting.data + iterator->next++;
        turn->key = key_of(iterator, waiting);
        turn->place = waiting->place;
        if (waiting->value_offset != NOT_READ)
            turn->value = (const uint8_t *)iterator->values.data + waiting->value_offset;
        needs_place = (wants_value && turn->value == NULL) ||
                      (turn->place.flags & BITCASK_PLACE_EXPIRES) != 0;
    } while (needs_place && !pin_turn(iterator, turn));
    return BITCASK_OK;
}

/*
 * Read what is wanted of the record of @turn, which is pinned, and has not been read
 * ahead. BITCASK_NOT_FOUND: it has expired.
 */
static enum bitcask_status read_turn(struct bitcask_iterator *iterator, bool wants_value,
                                     struct turn *turn)
{
    enum bitcask_status status = BITCASK_OK;

    if (wants_value) {
        status =
            bitcask_cask_read(iterator->cask, turn->key, &turn->place, &iterator->value);
        turn->value = iterator->value.data;
    } else if ((turn->place.flags & BITCASK_PLACE_EXPIRES) != 0)
        status = bitcask_cask_read(iterator->cask, turn->key, &turn->place, NULL);
    bitcask_keydir_unpin(iterator->cask->keydir, turn->pin);
    return status;
}

enum bitcask_status bitcask_iterator_next(struct bitcask_iterator *iterator,
                                          struct bitcask_slice *key,
                                          struct bitcask_slice *value)
{
    struct turn turn;
    bool wants_value;
    enum bitcask_status status;

    if (iterator == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the iterator is NULL");
    status = bitcask_cask_check(iterator->cask);
    if (status != BITCASK_OK)
        return status;
    wants_value = value != NULL && !iterator->keys_only;

    do {
        turn.value = NULL;
        turn.pinned = false;
        status = iterator->sorted ? take_sorted(iterator, &turn)
                                  : take_unsorted(iterator, wants_value, &turn);
        if (status == BITCASK_NOT_FOUND)
            return bitcask_fail_constant(status, "the iteration is at its end");
        if (status != BITCASK_OK)
            return status;
        if (turn.pinned)
            status = read_turn(iterator, wants_value, &turn);
    } while (status == BITCASK_NOT_FOUND); /* it has expired */

    if (status == BITCASK_NO_MEMORY) {
        iterator->next--; /* the same key again, if the caller likes */
        return status;
    }
    if (key != NULL)
        *key = turn.key;
    if (value != NULL) {
        bool has_value = wants_value && status == BITCASK_OK;

        value->data = has_value ? turn.value : NULL;
        value->size = has_value ? turn.place.value_size : 0;
    }
    return status;
}
