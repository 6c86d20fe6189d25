/* SPDX-License-Identifier: MIT */
#include "bitcask/segment.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/file_name.h"
#include "bitcask/status.h"

/* Files kept open for reading; further ones are opened for each read. */
enum {
    OPEN_FILES_MAX = 256
};

/* What is brought near of a record; the processor sees by itself where that goes on. */
enum {
    CACHE_LINE_SIZE = 64,
    PREFETCH_SIZE_MAX = 512
};

/* Where addresses are scarce, most of them are for the table of keys and for others. */
#define MAPPED_SIZE_MAX ((uint64_t)(SIZE_MAX / 4))

enum bitcask_status bitcask_segments_init(struct bitcask_segments *segments,
                                          struct bitcask_io *io, bitcask_file directory,
                                          bool use_mapping)
{
    memset(segments, 0, sizeof *segments);
    if (pthread_mutex_init(&segments->lock, NULL) != 0)
        return bitcask_fail_memory(sizeof segments->lock);
    segments->io = io;
    segments->directory = directory;
    segments->use_mapping = use_mapping;
    segments->mapped_size_max = MAPPED_SIZE_MAX;
    return BITCASK_OK;
}

void bitcask_segments_lock(struct bitcask_segments *segments)
{
    (void)pthread_mutex_lock(&segments->lock);
}

void bitcask_segments_unlock(struct bitcask_segments *segments)
{
    (void)pthread_mutex_unlock(&segments->lock);
}

/* Whether @size more may be mapped; then it counts until it is given back. */
static bool take_room(struct bitcask_segments *segments, uint64_t size)
{
    uint64_t before;

    if (size > segments->mapped_size_max)
        return false;
    before = atomic_fetch_add(&segments->mapped_size, size);
    if (before <= segments->mapped_size_max - size)
        return true;
    (void)atomic_fetch_sub(&segments->mapped_size, size);
    return false;
}

static void give_room(struct bitcask_segments *segments, uint64_t size)
{
    (void)atomic_fetch_sub(&segments->mapped_size, size);
}

void bitcask_segment_free(struct bitcask_segments *segments,
                          struct bitcask_segment *segment)
{
    if (segment->map != NULL) {
        segments->io->unmap(segments->io, segment->map, segment->map_size);
        give_room(segments, segment->map_size);
    }
    if (atomic_load(&segment->file) != BITCASK_NO_FILE)
        segments->io->close(segments->io, atomic_load(&segment->file));
    free(segment);
}

void bitcask_segments_abandon(struct bitcask_segments *segments)
{
    uint32_t count = atomic_load(&segments->count);

    if (segments->io == NULL)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(segments, i);

        if (segment != NULL)
            bitcask_segment_free(segments, segment);
    }
    for (struct bitcask_segment *segment = atomic_load(&segments->removed);
         segment != NULL;) {
        struct bitcask_segment *next = segment->next_removed;

        bitcask_segment_free(segments, segment);
        segment = next;
    }
    for (size_t i = 0; i < BITCASK_SEGMENT_CHUNK_COUNT; i++)
        free(segments->chunks[i]);
    memset(segments, 0, sizeof *segments);
}

void bitcask_segments_release(struct bitcask_segments *segments)
{
    if (segments->io != NULL)
        (void)pthread_mutex_destroy(&segments->lock);
    bitcask_segments_abandon(segments);
}

/* Where the pointer of number @index is kept. */
static struct bitcask_segment *_Atomic *slot_of(struct bitcask_segments *segments,
                                                uint32_t index)
{
    return &segments->chunks[index / BITCASK_SEGMENT_CHUNK_SIZE]
                            [index % BITCASK_SEGMENT_CHUNK_SIZE];
}

/* A number that is not in use. BITCASK_NO_SPACE, BITCASK_NO_MEMORY. */
static enum bitcask_status find_index(struct bitcask_segments *segments, uint32_t *index)
{
    struct bitcask_segment *_Atomic **chunk;

    if (segments->free_count > 0) {
        while (atomic_load(slot_of(segments, segments->free_from)) != NULL)
            segments->free_from++;
        *index = segments->free_from;
        return BITCASK_OK;
    }
    *index = atomic_load(&segments->count);
    if (*index == BITCASK_SEGMENT_CHUNK_SIZE * BITCASK_SEGMENT_CHUNK_COUNT - 1)
        return bitcask_fail(BITCASK_NO_SPACE,
                            "the cask has %" PRIu32 " data files, the most that it can "
                            "have: set a larger file_size_max",
                            *index);
    chunk = &segments->chunks[*index / BITCASK_SEGMENT_CHUNK_SIZE];
    if (*chunk == NULL) {
        *chunk = calloc(BITCASK_SEGMENT_CHUNK_SIZE, sizeof **chunk);
        if (*chunk == NULL)
            return bitcask_fail_memory(BITCASK_SEGMENT_CHUNK_SIZE * sizeof **chunk);
    }
    return BITCASK_OK;
}

static enum bitcask_status add_segment(struct bitcask_segments *segments, uint64_t id,
                                       uint64_t salt, bitcask_file file, bool member,
                                       struct bitcask_segment **out)
{
    struct bitcask_segment *segment = calloc(1, sizeof *segment);
    uint32_t index;
    enum bitcask_status status;

    if (segment == NULL)
        return bitcask_fail_memory(sizeof *segment);
    bitcask_segments_lock(segments);
    status = find_index(segments, &index);
    if (status != BITCASK_OK) {
        bitcask_segments_unlock(segments);
        free(segment);
        return status;
    }
    segment->id = id;
    segment->salt = salt;
    segment->index = index;
    atomic_store(&segment->member, member);
    atomic_store(&segment->file, file);
    atomic_store(&segment->closing, BITCASK_NO_FILE);
    atomic_store(&segment->holder_count, 1);
    atomic_store(slot_of(segments, index), segment);
    if (index < atomic_load(&segments->count))
        segments->free_count--;
    else
        atomic_store(&segments->count, index + 1); /* publishes what was stored before */
    bitcask_segments_unlock(segments);
    *out = segment;
    return BITCASK_OK;
}

enum bitcask_status bitcask_segments_add(struct bitcask_segments *segments, uint64_t id,
                                         uint64_t salt, bitcask_file file,
                                         struct bitcask_segment **out)
{
    return add_segment(segments, id, salt, file, true, out);
}

enum bitcask_status bitcask_segments_add_outside(struct bitcask_segments *segments,
                                                 uint64_t id, uint64_t salt,
                                                 bitcask_file file,
                                                 struct bitcask_segment **out)
{
    return add_segment(segments, id, salt, file, false, out);
}

/* Nobody reads the file of a segment without a place: only its mapping may be in use. */
static void close_file(struct bitcask_segments *segments, struct bitcask_segment *segment)
{
    bitcask_file file = atomic_exchange(&segment->file, BITCASK_NO_FILE);

    if (file != BITCASK_NO_FILE)
        segments->io->close(segments->io, file);
}

bool bitcask_segments_take_out(struct bitcask_segments *segments,
                               struct bitcask_segment *segment)
{
    bool held;

    close_file(segments, segment);
    bitcask_segments_lock(segments);
    atomic_store(slot_of(segments, segment->index), NULL);
    segments->free_count++;
    if (segment->index < segments->free_from)
        segments->free_from = segment->index;
    if (segment->counted_open)
        (void)atomic_fetch_sub(&segments->open_count, 1);
    held = atomic_fetch_sub(&segment->holder_count, 1) > 1;
    if (held) { /* whoever is last waits for the lock, to take it from the list */
        segment->next_removed = atomic_load(&segments->removed);
        atomic_store(&segments->removed, segment);
    }
    bitcask_segments_unlock(segments);
    return !held;
}

void bitcask_segment_hold(struct bitcask_segment *segment)
{
    /* Who takes it out has waited for the pin, and so sees this. */
    (void)atomic_fetch_add_explicit(&segment->holder_count, 1, memory_order_relaxed);
}

/* With the lock held. */
static void forget_removed(struct bitcask_segments *segments,
                           const struct bitcask_segment *segment)
{
    struct bitcask_segment *before = atomic_load(&segments->removed);

    if (before == segment) {
        atomic_store(&segments->removed, segment->next_removed);
        return;
    }
    while (before->next_removed != segment)
        before = before->next_removed;
    before->next_removed = segment->next_removed;
}

void bitcask_segment_let_go(struct bitcask_segments *segments,
                            struct bitcask_segment *segment)
{
    if (atomic_fetch_sub(&segment->holder_count, 1) > 1)
        return;
    bitcask_segments_lock(segments);
    forget_removed(segments, segment);
    bitcask_segments_unlock(segments);
    bitcask_segment_free(segments, segment);
}

uint64_t bitcask_segments_count_held(struct bitcask_segments *segments, uint64_t *size)
{
    const struct bitcask_segment *segment;
    uint64_t count = 0;

    *size = 0;
    bitcask_segments_lock(segments);
    for (segment = atomic_load(&segments->removed); segment != NULL;
         segment = segment->next_removed) {
        count++;
        *size += atomic_load(&segment->data_size);
    }
    bitcask_segments_unlock(segments);
    return count;
}

struct bitcask_segment *bitcask_segments_get(struct bitcask_segments *segments,
                                             uint32_t index)
{
    return atomic_load_explicit(slot_of(segments, index), memory_order_acquire);
}

void bitcask_segment_map(struct bitcask_segments *segments,
                         struct bitcask_segment *segment, uint64_t size)
{
    struct bitcask_io *io = segments->io;

    if (!segments->use_mapping || size == 0 || !take_room(segments, size))
        return;
    if (io->map(io, atomic_load(&segment->file), 0, (size_t)size, BITCASK_IO_LOAD,
                &segment->map) == BITCASK_OK) {
        segment->map_size = (size_t)size;
    } else {
        segment->map = NULL;
        give_room(segments, size);
    }
}

/*
 * Close what park left, if nobody reads from it. In this order: who still reads from a
 * file that has been left was counted before it was.
 */
static void close_parked(struct bitcask_segments *segments,
                         struct bitcask_segment *segment)
{
    bitcask_file file = atomic_load(&segment->closing);

    if (file == BITCASK_NO_FILE || atomic_load(&segment->reader_count) > 0)
        return;
    if (atomic_compare_exchange_strong(&segment->closing, &file, BITCASK_NO_FILE))
        segments->io->close(segments->io, file);
}

void bitcask_segment_park(struct bitcask_segments *segments,
                          struct bitcask_segment *segment)
{
    bool mapped = atomic_load(&segment->data_size) <= segment->map_size;

    if (atomic_load(&segment->file) == BITCASK_NO_FILE)
        return;
    if (!mapped) {
        segment->counted_open = true;
        if (atomic_fetch_add(&segments->open_count, 1) < OPEN_FILES_MAX)
            return; /* stays open, for reading */
    }

    /* Readers that come from now on find no file; those before them are counted. */
    atomic_store(&segment->closing, atomic_exchange(&segment->file, BITCASK_NO_FILE));
    close_parked(segments, segment);
}

static enum bitcask_status fail_at(const struct bitcask_segment *segment, uint64_t offset,
                                   const char *what)
{
    return bitcask_fail(BITCASK_CORRUPT,
                        "%010" PRIu64 ".data, offset %" PRIu64
                        ": %s; " BITCASK_DAMAGE_ADVICE,
                        segment->id, offset, what);
}

/* Read @size bytes at @offset with pread, from the open file or one opened for it. */
static enum bitcask_status read_bytes(struct bitcask_segments *segments,
                                      struct bitcask_segment *segment, uint64_t offset,
                                      void *data, size_t size)
{
    struct bitcask_io *io = segments->io;
    bitcask_file opened = BITCASK_NO_FILE;
    bitcask_file file;
    char name[BITCASK_NAME_SIZE];
    size_t got = 0;
    enum bitcask_status status = BITCASK_OK;

    bitcask_data_name(name, segment->id);
    (void)atomic_fetch_add(&segment->reader_count, 1);
    file = atomic_load(&segment->file);
    if (file == BITCASK_NO_FILE) {
        status = io->open(io, segments->directory, name, BITCASK_IO_READ, &opened);
        file = opened;
    }
    if (status == BITCASK_OK)
        status = io->read(io, file, offset, data, size, &got);
    if (status == BITCASK_NOT_FOUND) /* the file, not the key */
        status = fail_at(segment, offset, "the file is gone");
    else if (status != BITCASK_OK)
        bitcask_fail_errno(status, "read %s, offset %" PRIu64, name, offset);
    else if (got < size)
        status = fail_at(segment, offset, "the record reaches past the end of the file");
    if (opened != BITCASK_NO_FILE)
        io->close(io, opened);
    if (atomic_fetch_sub(&segment->reader_count, 1) == 1)
        close_parked(segments, segment);
    return status;
}

static size_t prefix_and_key_size(const struct bitcask_record_key *wanted)
{
    size_t prefix_size =
        wanted->expires ? BITCASK_RECORD_PREFIX_MAX : BITCASK_RECORD_HEADER_SIZE;

    return prefix_size + wanted->key.size;
}

/* What is wrong with prefix and key at @bytes, if they are to be of the record wanted. */
static const char *find_fault(const struct bitcask_segment *segment,
                              const struct bitcask_record_key *wanted,
                              const uint8_t *bytes, struct bitcask_record *record)
{
    size_t size = prefix_and_key_size(wanted);

    if (bitcask_record_decode(bytes, size, record) != BITCASK_OK ||
        record->kind != BITCASK_RECORD_PUT || record->key_size != wanted->key.size ||
        record->value_size != wanted->value_size ||
        record->sequence != wanted->sequence ||
        bitcask_record_prefix_size(record) + record->key_size != size)
        return "this is not the record of the key";
    if (!bitcask_record_key_intact(bytes, record, segment->salt, wanted->offset))
        return "the record's header or key is damaged";
    if (memcmp(bytes + size - wanted->key.size, wanted->key.data, wanted->key.size) != 0)
        return "this is the record of another key";
    return NULL;
}

/* Whether prefix and key at @bytes are those of the record wanted, and still valid. */
static enum bitcask_status check_record(struct bitcask_segments *segments,
                                        const struct bitcask_segment *segment,
                                        const struct bitcask_record_key *wanted,
                                        const uint8_t *bytes,
                                        struct bitcask_record *record)
{
    const char *fault = find_fault(segment, wanted, bytes, record);

    if (fault != NULL)
        return fail_at(segment, wanted->offset, fault);
    if (wanted->expires &&
        bitcask_record_expired(record, segments->io->wall_ms(segments->io)))
        return bitcask_fail_constant(BITCASK_NOT_FOUND, "no such key: it has expired");
    return BITCASK_OK;
}

static enum bitcask_status check_value(const struct bitcask_segment *segment,
                                       const struct bitcask_record_key *wanted,
                                       const struct bitcask_record *record,
                                       const uint8_t *value)
{
    if (bitcask_value_check(value, record->value_size) != record->value_check)
        return fail_at(segment, wanted->offset, "the value is damaged");
    return BITCASK_OK;
}

/* Where the value of the mapped record is, once all is well; unless @whole unchecked. */
static enum bitcask_status find_mapped(struct bitcask_segments *segments,
                                       const struct bitcask_segment *segment,
                                       const struct bitcask_record_key *wanted,
                                       bool whole, struct bitcask_slice *value)
{
    const uint8_t *bytes = segment->map + (size_t)wanted->offset;
    const uint8_t *data = bytes + prefix_and_key_size(wanted);
    struct bitcask_record record;
    enum bitcask_status status;

    status = check_record(segments, segment, wanted, bytes, &record);
    if (status == BITCASK_OK && whole)
        status = check_value(segment, wanted, &record, data);
    if (status == BITCASK_OK)
        *value = (struct bitcask_slice){ data, record.value_size };
    return status;
}

/* All checks are done on the mapped bytes, so @value changes only when all is well. */
static enum bitcask_status read_mapped(struct bitcask_segments *segments,
                                       const struct bitcask_segment *segment,
                                       const struct bitcask_record_key *wanted,
                                       struct bitcask_buffer *value)
{
    struct bitcask_slice found;
    enum bitcask_status status;

    status = find_mapped(segments, segment, wanted, value != NULL, &found);
    if (status == BITCASK_OK && value != NULL)
        status = bitcask_buffer_reserve(value, found.size);
    if (status != BITCASK_OK || value == NULL)
        return status;

    memcpy(value->data, found.data, found.size);
    ((uint8_t *)value->data)[found.size] = 0;
    value->size = found.size;
    return BITCASK_OK;
}

/*
 * One read for the whole record, into memory of its own: the old content of @value
 * must survive a failure.
 */
static enum bitcask_status read_unmapped(struct bitcask_segments *segments,
                                         struct bitcask_segment *segment,
                                         const struct bitcask_record_key *wanted,
                                         struct bitcask_buffer *value)
{
    size_t head_size = prefix_and_key_size(wanted);
    size_t value_size = value != NULL ? wanted->value_size : 0;
    struct bitcask_buffer bytes = { 0 };
    struct bitcask_record record;
    enum bitcask_status status;

    status = bitcask_buffer_reserve(&bytes, head_size + value_size);
    if (status == BITCASK_OK)
        status = read_bytes(segments, segment, wanted->offset, bytes.data,
                            head_size + value_size);
    if (status == BITCASK_OK)
        status = check_record(segments, segment, wanted, bytes.data, &record);
    if (status == BITCASK_OK && value != NULL)
        status = check_value(segment, wanted, &record, (uint8_t *)bytes.data + head_size);
    if (status != BITCASK_OK || value == NULL) {
        bitcask_buffer_release(&bytes);
        return status;
    }

    memmove(bytes.data, (uint8_t *)bytes.data + head_size, value_size);
    ((uint8_t *)bytes.data)[value_size] = 0;
    bytes.size = value_size;
    bitcask_buffer_release(value);
    *value = bytes;
    return BITCASK_OK;
}

/* A mapping may reach past the file; what was never appended must not be touched. */
static enum bitcask_status find_end(const struct bitcask_segment *segment,
                                    const struct bitcask_record_key *wanted, bool *mapped)
{
    uint64_t end = wanted->offset + prefix_and_key_size(wanted) + wanted->value_size;

    if (end > atomic_load(&segment->data_size))
        return fail_at(segment, wanted->offset,
                       "the record reaches past the end of the file");
    *mapped = segment->map != NULL && end <= segment->map_size;
    return BITCASK_OK;
}

enum bitcask_status bitcask_segment_read(struct bitcask_segments *segments,
                                         struct bitcask_segment *segment,
                                         const struct bitcask_record_key *wanted,
                                         struct bitcask_buffer *value)
{
    bool mapped = false;
    enum bitcask_status status = find_end(segment, wanted, &mapped);

    if (status != BITCASK_OK)
        return status;
    if (mapped)
        return read_mapped(segments, segment, wanted, value);
    return read_unmapped(segments, segment, wanted, value);
}

bool bitcask_segment_copy_mapped(const struct bitcask_segment *segment,
                                 const struct bitcask_record_key *wanted, uint8_t *value)
{
    uint64_t end = wanted->offset + prefix_and_key_size(wanted) + wanted->value_size;
    struct bitcask_record record;
    const uint8_t *bytes;

    if (wanted->expires || segment->map == NULL || end > segment->map_size ||
        end > atomic_load_explicit(&segment->data_size, memory_order_acquire))
        return false;
    bytes = segment->map + (size_t)wanted->offset;
    if (find_fault(segment, wanted, bytes, &record) != NULL)
        return false;
    bytes += prefix_and_key_size(wanted);
    if (bitcask_value_check(bytes, record.value_size) != record.value_check)
        return false;
    memcpy(value, bytes, record.value_size);
    value[record.value_size] = 0;
    return true;
}

void bitcask_segments_prefetch(struct bitcask_segments *segments, uint32_t index,
                               uint64_t offset, uint64_t size)
{
    const struct bitcask_segment *segment = bitcask_segments_get(segments, index);
    const uint8_t *bytes;

    if (segment->map == NULL || offset > segment->map_size ||
        size > segment->map_size - offset)
        return;
    bytes = segment->map + (size_t)offset;
    if (size > PREFETCH_SIZE_MAX)
        size = PREFETCH_SIZE_MAX;
    for (size_t i = 0; i < size; i += CACHE_LINE_SIZE)
        __builtin_prefetch(bytes + i);
    __builtin_prefetch(bytes + size - 1);
}

enum bitcask_status bitcask_segment_look(struct bitcask_segments *segments,
                                         const struct bitcask_segment *segment,
                                         const struct bitcask_record_key *wanted,
                                         struct bitcask_slice *value)
{
    bool mapped = false;
    enum bitcask_status status = find_end(segment, wanted, &mapped);

    if (status != BITCASK_OK)
        return status;
    if (mapped)
        return find_mapped(segments, segment, wanted, true, value);
    *value = (struct bitcask_slice){ NULL, 0 };
    return BITCASK_OK;
}

/* One writer at a time, so no locked instruction is needed. */
static void add(_Atomic uint64_t *number, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(number, memory_order_relaxed);

    atomic_store_explicit(number, value + amount, memory_order_relaxed);
}

/* Widen the range from *@first, 0 if there is none yet, to *@last by @sequence. */
static void widen(_Atomic uint64_t *first, _Atomic uint64_t *last, uint64_t sequence)
{
    uint64_t before = atomic_load_explicit(first, memory_order_relaxed);

    if (before == 0 || sequence < before)
        atomic_store_explicit(first, sequence, memory_order_relaxed);
    if (sequence > atomic_load_explicit(last, memory_order_relaxed))
        atomic_store_explicit(last, sequence, memory_order_relaxed);
}

void bitcask_segment_count_tombstone(struct bitcask_segment *segment, uint64_t sequence,
                                     uint64_t size)
{
    add(&segment->tombstone_size, size);
    widen(&segment->tombstone_first, &segment->tombstone_last, sequence);
}

void bitcask_segment_count_record(struct bitcask_segment *segment,
                                  const struct bitcask_record *record, uint64_t sequence)
{
    assert(record->kind != BITCASK_RECORD_BATCH);
    add(&segment->record_count, 1);
    if (record->kind == BITCASK_RECORD_TOMBSTONE) {
        add(&segment->tombstone_count, 1);
        bitcask_segment_count_tombstone(segment, sequence, bitcask_record_size(record));
    }
    if ((record->flags & BITCASK_RECORD_EXPIRES) != 0)
        atomic_store_explicit(&segment->expires, true, memory_order_relaxed);
    widen(&segment->first_sequence, &segment->last_sequence, sequence);
}
