/* SPDX-License-Identifier: MIT */
/*
 * Iteration. Unsorted, keys come in groups, each with the place that it had when it was
 * copied, and its value is read from there: no second look-up, and a value that it held
 * meanwhile. Only if a merge has moved records since then it is looked up again.
 * Sorted, all keys are copied first and looked up again when their turn comes.
 */
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/cask.h"
#include "bitcask/check.h"
#include "bitcask/group.h"
#include "bitcask/status.h"

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

    struct bitcask_group group; /* unsorted */

    /* Sorted: all keys, and those that are still to come. */
    struct bitcask_buffer keys; /* their bytes */
    struct bitcask_buffer sorted_keys;
    size_t next;

    struct bitcask_buffer value; /* the one that was read at its turn */
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
    iterator->group.cask = cask;
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
    bitcask_buffer_release(&iterator->sorted_keys);
    bitcask_group_release(&iterator->group);
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

static bool is_selected(const void *context, struct bitcask_slice key)
{
    const struct bitcask_iterator *iterator = context;
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
        status = bitcask_buffer_append(&iterator->sorted_keys, &sorted, sizeof sorted);
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
    struct bitcask_keydir_cursor cursor = { 0, 0 };
    struct sorted_key *sorted;
    size_t count;
    enum bitcask_status status = BITCASK_OK;

    iterator->keys.size = 0;
    iterator->sorted_keys.size = 0;
    while (status == BITCASK_OK) {
        size_t keys_size = iterator->keys.size;
        size_t waiting_size = iterator->sorted_keys.size;

        status =
            bitcask_keydir_walk(iterator->cask->keydir, &cursor, wait_sorted, iterator);
        if (status != BITCASK_OK) {
            iterator->keys.size = keys_size;
            iterator->sorted_keys.size = waiting_size;
        }
    }
    if (status != BITCASK_NOT_FOUND)
        return status;

    sorted = iterator->sorted_keys.data;
    count = iterator->sorted_keys.size / sizeof *sorted;
    for (size_t i = 0; i < count; i++) /* the buffer does not move any more */
        sorted[i].key.bytes = (const uint8_t *)iterator->keys.data + sorted[i].key.offset;
    if (count > 1)
        qsort(sorted, count, sizeof *sorted, compare_sorted);
    iterator->collected = true;
    return BITCASK_OK;
}

/* The next key in order with its place of now. BITCASK_NOT_FOUND: no more. */
static enum bitcask_status take_sorted(struct bitcask_iterator *iterator,
                                       struct bitcask_group_key *turn)
{
    struct bitcask_keydir *keydir = iterator->cask->keydir;

    if (!iterator->collected) {
        enum bitcask_status status = collect_all(iterator);

        if (status != BITCASK_OK)
            return status;
    }
    while (!turn->pinned &&
           iterator->next < iterator->sorted_keys.size / sizeof(struct sorted_key)) {
        const struct sorted_key *sorted =
            (const struct sorted_key *)iterator->sorted_keys.data + iterator->next++;
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

/*
 * Read what is wanted of the record of @turn, which is pinned, and has not been read
 * ahead. BITCASK_NOT_FOUND: it has expired.
 */
static enum bitcask_status read_turn(struct bitcask_iterator *iterator, bool wants_value,
                                     struct bitcask_group_key *turn)
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
    struct bitcask_group_key turn;
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
                                  : bitcask_group_next(&iterator->group, is_selected,
                                                       iterator, wants_value, &turn);
        if (status == BITCASK_NOT_FOUND)
            return bitcask_fail_constant(status, "the iteration is at its end");
        if (status != BITCASK_OK)
            return status;
        if (turn.pinned)
            status = read_turn(iterator, wants_value, &turn);
    } while (status == BITCASK_NOT_FOUND); /* it has expired */

    if (status == BITCASK_NO_MEMORY) {
        /* The same key again, if the caller likes. */
        if (iterator->sorted)
            iterator->next--;
        else
            bitcask_group_repeat(&iterator->group);
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
