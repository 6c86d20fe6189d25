/* SPDX-License-Identifier: MIT */
#include "bitcask/format.h"

#include <assert.h>
#include <libdeflate.h>
#include <string.h>

#include "bitcask/bytes.h"

/* Offsets in a record; format.h has the table. */
enum {
    KEY_CHECK = 0,
    UNSYNCED_COUNT = 4,
    SEQUENCE = 8,
    VALUE_CHECK = 16,
    KIND = 20,
    FLAGS = 21,
    KEY_SIZE = 22,
    VALUE_SIZE = 24,
    EXPIRY = 28,
};

static const char magics[][8] = {
    [BITCASK_FILE_DATA] = { 'B', 'I', 'T', 'C', 'A', 'S', 'K', 'D' },
    [BITCASK_FILE_HINT] = { 'B', 'I', 'T', 'C', 'A', 'S', 'K', 'H' },
};

uint32_t bitcask_check(uint32_t check, const void *data, size_t size)
{
    /* libdeflate takes NULL for "give me the first value". */
    return size == 0 ? check : libdeflate_crc32(check, data, size);
}

void bitcask_file_header_encode(const struct bitcask_file_header *header,
                                enum bitcask_file_kind kind,
                                uint8_t bytes[BITCASK_FILE_HEADER_SIZE])
{
    memset(bytes, 0, BITCASK_FILE_HEADER_SIZE);
    memcpy(bytes, magics[kind], 8);
    bitcask_store32(bytes + 8, BITCASK_FORMAT_VERSION);
    bitcask_store32(bytes + 12, BITCASK_FEATURES_KNOWN);
    bitcask_store64(bytes + 16, header->segment_id);
    bitcask_store64(bytes + 24, header->salt);
    bitcask_store64(bytes + 32, header->created_ms);
    bitcask_store32(bytes + 60, bitcask_check(0, bytes, 60));
}

/* Whether with our own version in its place the header of @bytes would be whole. */
static bool version_is_damaged(const uint8_t bytes[BITCASK_FILE_HEADER_SIZE])
{
    uint8_t ours[BITCASK_FILE_HEADER_SIZE];

    memcpy(ours, bytes, sizeof ours);
    bitcask_store32(ours + 8, BITCASK_FORMAT_VERSION);
    return bitcask_load32(bytes + 60) == bitcask_check(0, ours, 60);
}

enum bitcask_status bitcask_file_header_decode(
    const uint8_t bytes[BITCASK_FILE_HEADER_SIZE], enum bitcask_file_kind kind,
    struct bitcask_file_header *header)
{
    static const uint8_t zeros[20];

    if (memcmp(bytes, magics[kind], 8) != 0)
        return BITCASK_CORRUPT;
    /* Before the check, which a newer version may well compute in another way. */
    if (bitcask_load32(bytes + 8) > BITCASK_FORMAT_VERSION)
        return version_is_damaged(bytes) ? BITCASK_CORRUPT : BITCASK_UNSUPPORTED;
    if (bitcask_load32(bytes + 60) != bitcask_check(0, bytes, 60))
        return BITCASK_CORRUPT;
    if (bitcask_load32(bytes + 8) != BITCASK_FORMAT_VERSION)
        return BITCASK_CORRUPT;
    if ((bitcask_load32(bytes + 12) & ~BITCASK_FEATURES_KNOWN) != 0)
        return BITCASK_UNSUPPORTED;
    if (memcmp(bytes + 40, zeros, sizeof zeros) != 0)
        return BITCASK_CORRUPT;
    if (kind == BITCASK_FILE_HINT && bitcask_load64(bytes + 32) != 0)
        return BITCASK_CORRUPT;

    header->segment_id = bitcask_load64(bytes + 16);
    header->salt = bitcask_load64(bytes + 24);
    header->created_ms = bitcask_load64(bytes + 32);
    return BITCASK_OK;
}

size_t bitcask_record_prefix_size(const struct bitcask_record *record)
{
    return (record->flags & BITCASK_RECORD_EXPIRES) != 0 ? BITCASK_RECORD_PREFIX_MAX
                                                         : BITCASK_RECORD_HEADER_SIZE;
}

uint64_t bitcask_record_size(const struct bitcask_record *record)
{
    return (uint64_t)bitcask_record_prefix_size(record) + record->key_size +
           record->value_size;
}

uint32_t bitcask_value_check(const void *value, size_t size)
{
    return bitcask_check(0, value, size);
}

uint32_t bitcask_record_begin(const struct bitcask_record *record, const void *key,
                              uint8_t bytes[BITCASK_RECORD_PREFIX_MAX])
{
    size_t prefix_size = bitcask_record_prefix_size(record);
    uint32_t check;

    bitcask_store32(bytes + VALUE_CHECK, record->value_check);
    bytes[KIND] = record->kind;
    bytes[FLAGS] = record->flags;
    bitcask_store16(bytes + KEY_SIZE, record->key_size);
    bitcask_store32(bytes + VALUE_SIZE, record->value_size);
    if (prefix_size > EXPIRY)
        bitcask_store64(bytes + EXPIRY, record->expiry_ms);

    check = bitcask_check(0, bytes + VALUE_CHECK, prefix_size - VALUE_CHECK);
    return bitcask_check(check, key, record->key_size);
}

/* The part of the key check that depends on where and when a record is written. */
static uint32_t finish_check(uint32_t check, const uint8_t *bytes, uint64_t salt,
                             uint64_t offset)
{
    uint8_t tail[VALUE_CHECK - UNSYNCED_COUNT + 16];

    memcpy(tail, bytes + UNSYNCED_COUNT, VALUE_CHECK - UNSYNCED_COUNT);
    bitcask_store64(tail + sizeof tail - 16, salt);
    bitcask_store64(tail + sizeof tail - 8, offset);
    return bitcask_check(check, tail, sizeof tail);
}

void bitcask_record_finish(uint8_t *bytes, uint32_t check, uint64_t sequence,
                           uint32_t unsynced_count, uint64_t salt, uint64_t offset)
{
    bitcask_store32(bytes + UNSYNCED_COUNT, unsynced_count);
    bitcask_store64(bytes + SEQUENCE, sequence);
    bitcask_store32(bytes + KEY_CHECK, finish_check(check, bytes, salt, offset));
}

/* The rules that kind, flags and sizes obey among themselves, in a record or a hint. */
static bool fields_possible(unsigned kind, unsigned flags, uint32_t key_size,
                            uint32_t value_size)
{
    switch (kind) {
    case BITCASK_RECORD_PUT:
        return (flags & ~(unsigned)BITCASK_RECORD_EXPIRES) == 0 && key_size > 0 &&
               value_size <= BITCASK_VALUE_SIZE_MAX;
    case BITCASK_RECORD_TOMBSTONE:
        return flags == 0 && key_size > 0 && value_size == 0;
    case BITCASK_RECORD_BATCH:
        return flags == 0 && key_size == 0 && value_size > BITCASK_RECORD_HEADER_SIZE;
    default: /* zeros above all */
        return false;
    }
}

enum bitcask_status bitcask_record_decode(const uint8_t *bytes, size_t size,
                                          struct bitcask_record *record)
{
    if (size < BITCASK_RECORD_HEADER_SIZE)
        return BITCASK_CORRUPT;

    record->kind = bytes[KIND];
    record->flags = bytes[FLAGS];
    record->key_size = bitcask_load16(bytes + KEY_SIZE);
    record->value_size = bitcask_load32(bytes + VALUE_SIZE);
    record->value_check = bitcask_load32(bytes + VALUE_CHECK);
    record->unsynced_count = bitcask_load32(bytes + UNSYNCED_COUNT);
    record->sequence = bitcask_load64(bytes + SEQUENCE);
    record->expiry_ms = 0;

    if (!fields_possible(record->kind, record->flags, record->key_size,
                         record->value_size))
        return BITCASK_CORRUPT;
    if (record->sequence == 0)
        return BITCASK_CORRUPT;
    if ((record->flags & BITCASK_RECORD_EXPIRES) != 0) {
        if (size < BITCASK_RECORD_PREFIX_MAX)
            return BITCASK_CORRUPT;
        record->expiry_ms = bitcask_load64(bytes + EXPIRY);
    }
    return BITCASK_OK;
}

uint32_t bitcask_record_key_check(const uint8_t *bytes,
                                  const struct bitcask_record *record, uint64_t salt,
                                  uint64_t offset)
{
    size_t size = bitcask_record_prefix_size(record) + record->key_size;
    uint32_t check = bitcask_check(0, bytes + VALUE_CHECK, size - VALUE_CHECK);

    return finish_check(check, bytes, salt, offset);
}

uint32_t bitcask_record_stored_check(const uint8_t *bytes)
{
    return bitcask_load32(bytes + KEY_CHECK);
}

bool bitcask_record_key_intact(const uint8_t *bytes, const struct bitcask_record *record,
                               uint64_t salt, uint64_t offset)
{
    return bitcask_record_stored_check(bytes) ==
           bitcask_record_key_check(bytes, record, salt, offset);
}

bool bitcask_record_expired(const struct bitcask_record *record, uint64_t now_ms)
{
    return (record->flags & BITCASK_RECORD_EXPIRES) != 0 && now_ms >= record->expiry_ms;
}

struct bitcask_hint_entry bitcask_hint_entry_of(const struct bitcask_record *record,
                                                uint64_t offset, struct bitcask_slice key)
{
    struct bitcask_hint_entry entry = {
        .kind = record->kind,
        .flags = record->flags,
        .value_size = record->value_size,
        .offset = offset,
        .sequence = record->sequence,
        .expiry_ms = record->expiry_ms,
        .key = key,
    };

    return entry;
}

size_t bitcask_hint_entry_size(const struct bitcask_hint_entry *entry)
{
    size_t expiry_size = (entry->flags & BITCASK_RECORD_EXPIRES) != 0 ? 8 : 0;

    return BITCASK_HINT_ENTRY_SIZE + expiry_size + entry->key.size;
}

size_t bitcask_hint_entry_encode(const struct bitcask_hint_entry *entry, uint8_t *bytes)
{
    assert(entry->key.size > 0 && entry->key.size <= BITCASK_KEY_SIZE_MAX);

    bytes[0] = entry->kind;
    bytes[1] = entry->flags;
    bitcask_store16(bytes + 2, (uint16_t)entry->key.size);
    bitcask_store32(bytes + 4, entry->value_size);
    bitcask_store64(bytes + 8, entry->offset);
    bitcask_store64(bytes + 16, entry->sequence);
    if ((entry->flags & BITCASK_RECORD_EXPIRES) == 0)
        return BITCASK_HINT_ENTRY_SIZE;
    bitcask_store64(bytes + 24, entry->expiry_ms);
    return BITCASK_HINT_ENTRY_SIZE + 8;
}

enum bitcask_status bitcask_hint_entry_decode(const uint8_t *bytes, size_t size,
                                              struct bitcask_hint_entry *entry)
{
    size_t prefix_size = BITCASK_HINT_ENTRY_SIZE;

    if (size < prefix_size)
        return BITCASK_CORRUPT;
    entry->kind = bytes[0];
    entry->flags = bytes[1];
    entry->key.size = bitcask_load16(bytes + 2);
    entry->value_size = bitcask_load32(bytes + 4);
    entry->offset = bitcask_load64(bytes + 8);
    entry->sequence = bitcask_load64(bytes + 16);
    entry->expiry_ms = 0;

    if (entry->kind == BITCASK_RECORD_BATCH || entry->sequence == 0 ||
        !fields_possible(entry->kind, entry->flags, (uint32_t)entry->key.size,
                         entry->value_size))
        return BITCASK_CORRUPT;
    if ((entry->flags & BITCASK_RECORD_EXPIRES) != 0) {
        prefix_size += 8;
        if (size < prefix_size)
            return BITCASK_CORRUPT;
        entry->expiry_ms = bitcask_load64(bytes + 24);
    }
    if (size - prefix_size < entry->key.size)
        return BITCASK_CORRUPT;
    entry->key.data = bytes + prefix_size;
    return BITCASK_OK;
}

void bitcask_hint_trailer_encode(const struct bitcask_hint_trailer *trailer,
                                 uint32_t check, uint8_t bytes[BITCASK_HINT_TRAILER_SIZE])
{
    bitcask_store64(bytes, trailer->entry_count);
    bitcask_store64(bytes + 8, trailer->tombstone_count);
    bitcask_store64(bytes + 16, trailer->first_sequence);
    bitcask_store64(bytes + 24, trailer->last_sequence);
    bitcask_store64(bytes + 32, trailer->data_size);
    bitcask_store32(bytes + 40, 0);
    bitcask_store32(bytes + 44, bitcask_check(check, bytes, 44));
}

void bitcask_hint_trailer_read(const uint8_t bytes[BITCASK_HINT_TRAILER_SIZE],
                               struct bitcask_hint_trailer *trailer)
{
    trailer->entry_count = bitcask_load64(bytes);
    trailer->tombstone_count = bitcask_load64(bytes + 8);
    trailer->first_sequence = bitcask_load64(bytes + 16);
    trailer->last_sequence = bitcask_load64(bytes + 24);
    trailer->data_size = bitcask_load64(bytes + 32);
}

enum bitcask_status bitcask_hint_trailer_decode(
    const uint8_t bytes[BITCASK_HINT_TRAILER_SIZE], uint32_t check,
    struct bitcask_hint_trailer *trailer)
{
    if (bitcask_load32(bytes + 44) != bitcask_check(check, bytes, 44) ||
        bitcask_load32(bytes + 40) != 0)
        return BITCASK_CORRUPT;
    bitcask_hint_trailer_read(bytes, trailer);
    return BITCASK_OK;
}
