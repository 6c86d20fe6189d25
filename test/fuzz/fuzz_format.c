/* SPDX-License-Identifier: MIT */
#include "test/fuzz/fuzz_format.h"

#include <stdio.h>
#include <string.h>

const char fuzz_data_magic[8] = { 'B', 'I', 'T', 'C', 'A', 'S', 'K', 'D' };
const char fuzz_hint_magic[8] = { 'B', 'I', 'T', 'C', 'A', 'S', 'K', 'H' };

enum {
    PUT = 1,
    TOMBSTONE = 2,
    BATCH = 3,
    EXPIRES = 1,
    ENTRY_SIZE = 24
};
#define LEFT_AS_IT_IS 0xffffffffu
#define VALUE_SIZE_MAX ((uint64_t)1 << 30)

uint32_t fuzz_crc(uint32_t crc, const void *bytes, size_t size)
{
    static uint32_t table[256];
    const uint8_t *at = bytes;

    if (table[1] == 0) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t worth = i;

            for (int bit = 0; bit < 8; bit++)
                worth = (worth & 1) != 0 ? worth >> 1 ^ 0xedb88320u : worth >> 1;
            table[i] = worth;
        }
    }
    crc = ~crc;
    for (size_t i = 0; i < size; i++)
        crc = crc >> 8 ^ table[(crc ^ at[i]) & 0xff];
    return ~crc;
}

uint64_t fuzz_number(const uint8_t *bytes, size_t count)
{
    uint64_t number = 0;

    while (count-- > 0)
        number = number << 8 | bytes[count];
    return number;
}

static void put_number(uint8_t *bytes, size_t count, uint64_t number)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(number >> 8 * i);
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

bool fuzz_header_is_whole(const uint8_t *bytes, size_t size, const char magic[8])
{
    return size >= FUZZ_HEADER_SIZE && memcmp(bytes, magic, 8) == 0 &&
           fuzz_number(bytes + 8, 4) == 1 && fuzz_number(bytes + 12, 4) == 0 &&
           all_zero(bytes + 40, 20) &&
           (magic != fuzz_hint_magic || all_zero(bytes + 32, 8)) &&
           fuzz_number(bytes + 60, 4) == fuzz_crc(0, bytes, 60);
}

uint64_t fuzz_header_id(const uint8_t *bytes, size_t size)
{
    return size >= FUZZ_HEADER_SIZE ? fuzz_number(bytes + 16, 8) : 0;
}

uint64_t fuzz_header_salt(const uint8_t *bytes, size_t size)
{
    return size >= FUZZ_HEADER_SIZE ? fuzz_number(bytes + 24, 8) : 0;
}

/* What kind, flags and sizes may be together, in a record and in an entry. */
static bool is_possible(unsigned kind, unsigned flags, size_t key_size,
                        uint64_t value_size)
{
    if (kind == PUT)
        return flags <= EXPIRES && key_size > 0 && value_size <= VALUE_SIZE_MAX;
    if (kind == TOMBSTONE)
        return flags == 0 && key_size > 0 && value_size == 0;
    /* A header alone would be a batch of nothing. */
    return kind == BATCH && flags == 0 && key_size == 0 && value_size > FUZZ_RECORD_SIZE;
}

/* Header and key, without their check. */
static bool take_apart(const uint8_t *file, size_t end, size_t offset,
                       struct fuzz_record *record)
{
    const uint8_t *bytes = file + offset;
    size_t room = end - offset;

    if (offset > end || room < FUZZ_RECORD_SIZE)
        return false;
    memset(record, 0, sizeof *record);
    record->offset = offset;
    record->unsynced_count = fuzz_number(bytes + 4, 4);
    record->sequence = fuzz_number(bytes + 8, 8);
    record->kind = bytes[20];
    record->flags = bytes[21];
    record->key_size = (size_t)fuzz_number(bytes + 22, 2);
    record->value_size = fuzz_number(bytes + 24, 4);
    record->prefix_size = FUZZ_RECORD_SIZE;
    if (!is_possible(record->kind, record->flags, record->key_size, record->value_size) ||
        record->sequence == 0)
        return false;
    if ((record->flags & EXPIRES) != 0) {
        record->prefix_size += 8;
        if (room < record->prefix_size)
            return false;
        record->expiry_ms = fuzz_number(bytes + 28, 8);
    }
    if (room < record->prefix_size + record->key_size)
        return false;
    record->size = record->prefix_size + record->key_size + record->value_size;
    record->cut = record->size > room;
    record->key = bytes + record->prefix_size;
    record->value = record->key + record->key_size;
    return true;
}

static uint32_t key_check(const uint8_t *bytes, const struct fuzz_record *record,
                          uint64_t salt)
{
    uint8_t place[16];
    uint32_t check = fuzz_crc(0, bytes + 16, record->prefix_size + record->key_size - 16);

    put_number(place, 8, salt);
    put_number(place + 8, 8, record->offset);
    check = fuzz_crc(check, bytes + 4, 12);
    return fuzz_crc(check, place, sizeof place);
}

bool fuzz_record_read(const uint8_t *file, size_t end, size_t offset, uint64_t salt,
                      struct fuzz_record *record)
{
    const uint8_t *bytes = file + offset;

    if (!take_apart(file, end, offset, record) ||
        fuzz_number(bytes, 4) != key_check(bytes, record, salt))
        return false;
    record->value_intact =
        !record->cut && fuzz_number(bytes + 16, 4) ==
                            fuzz_crc(0, record->value, (size_t)record->value_size);
    return true;
}

bool fuzz_batch_is_whole(const uint8_t *file, const struct fuzz_record *batch,
                         uint64_t salt)
{
    size_t offset = batch->offset + FUZZ_RECORD_SIZE;
    uint64_t sequence = batch->sequence;
    size_t end;

    if (!batch->value_intact)
        return false;
    end = batch->offset + (size_t)batch->size;
    while (offset < end) {
        struct fuzz_record part;

        if (!fuzz_record_read(file, end, offset, salt, &part) || part.cut ||
            part.kind == BATCH || part.sequence != sequence++)
            return false;
        offset += (size_t)part.size;
    }
    return true;
}

/* An entry, taken apart. */
struct entry {
    unsigned kind;
    uint64_t offset;
    uint64_t sequence;
    uint64_t record_size;
    size_t size;
};

static bool take_entry(const uint8_t *bytes, size_t room, struct entry *entry)
{
    unsigned flags;
    size_t key_size, expiry_size;
    uint64_t value_size;

    if (room < ENTRY_SIZE)
        return false;
    entry->kind = bytes[0];
    flags = bytes[1];
    key_size = (size_t)fuzz_number(bytes + 2, 2);
    value_size = fuzz_number(bytes + 4, 4);
    if (entry->kind == BATCH || !is_possible(entry->kind, flags, key_size, value_size))
        return false;
    entry->offset = fuzz_number(bytes + 8, 8);
    entry->sequence = fuzz_number(bytes + 16, 8);
    expiry_size = (flags & EXPIRES) != 0 ? 8 : 0;
    entry->size = ENTRY_SIZE + expiry_size + key_size;
    entry->record_size = FUZZ_RECORD_SIZE + expiry_size + key_size + value_size;
    return entry->size <= room;
}

/* What the trailer says of the entries in front of it. */
struct tally {
    uint64_t entry_count;
    uint64_t tombstone_count;
    uint64_t first_sequence;
    uint64_t last_sequence;
    uint64_t end; /* of the last record */
};

/* False: not all bytes up to @end are entries, of records one behind the other. */
static bool count_entries(const uint8_t *bytes, size_t end, struct tally *tally)
{
    size_t offset = FUZZ_HEADER_SIZE;
    struct entry entry;

    memset(tally, 0, sizeof *tally);
    tally->end = FUZZ_HEADER_SIZE;
    while (offset < end) {
        if (!take_entry(bytes + offset, end - offset, &entry) || entry.sequence == 0 ||
            entry.offset < tally->end || entry.offset > UINT64_MAX - entry.record_size)
            return false;
        tally->end = entry.offset + entry.record_size;
        if (tally->entry_count == 0 || entry.sequence < tally->first_sequence)
            tally->first_sequence = entry.sequence;
        if (entry.sequence > tally->last_sequence)
            tally->last_sequence = entry.sequence;
        tally->entry_count++;
        tally->tombstone_count += entry.kind == TOMBSTONE;
        offset += entry.size;
    }
    return true;
}

bool fuzz_hint_is_whole(const uint8_t *bytes, size_t size)
{
    const uint8_t *trailer = bytes + size - FUZZ_TRAILER_SIZE;
    struct tally tally;

    return size >= FUZZ_HEADER_SIZE + FUZZ_TRAILER_SIZE &&
           fuzz_header_is_whole(bytes, size, fuzz_hint_magic) &&
           count_entries(bytes, size - FUZZ_TRAILER_SIZE, &tally) &&
           fuzz_number(trailer, 8) == tally.entry_count &&
           fuzz_number(trailer + 8, 8) == tally.tombstone_count &&
           fuzz_number(trailer + 16, 8) == tally.first_sequence &&
           fuzz_number(trailer + 24, 8) == tally.last_sequence &&
           (tally.entry_count == 0 || fuzz_number(trailer + 32, 8) >= tally.end) &&
           all_zero(trailer + 40, 4) &&
           fuzz_number(trailer + 44, 4) == fuzz_crc(0, bytes, size - 4);
}

static void mend_header(uint8_t *bytes, size_t size)
{
    if (size >= FUZZ_HEADER_SIZE && fuzz_number(bytes + 60, 4) != LEFT_AS_IT_IS)
        put_number(bytes + 60, 4, fuzz_crc(0, bytes, 60));
}

static void mend_records(uint8_t *file, size_t begin, size_t end, uint64_t salt,
                         bool in_batch)
{
    while (begin < end) {
        struct fuzz_record record;
        uint8_t *bytes = file + begin;

        if (!take_apart(file, end, begin, &record) ||
            (in_batch && record.kind == BATCH)) {
            begin++;
            continue;
        }
        if (record.kind == BATCH && !record.cut)
            mend_records(file, begin + FUZZ_RECORD_SIZE, begin + (size_t)record.size,
                         salt, true);
        if (!record.cut && fuzz_number(bytes + 16, 4) != LEFT_AS_IT_IS)
            put_number(bytes + 16, 4,
                       fuzz_crc(0, record.value, (size_t)record.value_size));
        if (fuzz_number(bytes, 4) != LEFT_AS_IT_IS)
            put_number(bytes, 4, key_check(bytes, &record, salt));
        begin = record.cut ? end : begin + (size_t)record.size;
    }
}

void fuzz_data_mend(uint8_t *file, size_t size)
{
    mend_header(file, size);
    if (size > FUZZ_HEADER_SIZE)
        mend_records(file, FUZZ_HEADER_SIZE, size, fuzz_header_salt(file, size), false);
}

void fuzz_hint_mend(uint8_t *file, size_t size)
{
    uint8_t *trailer = file + size - FUZZ_TRAILER_SIZE;
    struct tally tally;

    mend_header(file, size);
    if (size < FUZZ_HEADER_SIZE + FUZZ_TRAILER_SIZE)
        return;
    if (count_entries(file, size - FUZZ_TRAILER_SIZE, &tally)) {
        put_number(trailer, 8, tally.entry_count);
        put_number(trailer + 8, 8, tally.tombstone_count);
        put_number(trailer + 16, 8, tally.first_sequence);
        put_number(trailer + 24, 8, tally.last_sequence);
    }
    if (fuzz_number(trailer + 44, 4) != LEFT_AS_IT_IS)
        put_number(trailer + 44, 4, fuzz_crc(0, file, size - 4));
}

size_t fuzz_manifest_mend(char *text, size_t size)
{
    char line[FUZZ_CHECK_LINE_SIZE + 1];
    size_t begin = size;

    /* In place of the last line if that is one of a check, else behind it. */
    if (begin > 0 && text[begin - 1] == '\n')
        begin--;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    if (size - begin < 5 || memcmp(text + begin, "check", 5) != 0)
        begin = size;
    (void)snprintf(line, sizeof line, "check %08x\n", (unsigned)fuzz_crc(0, text, begin));
    memcpy(text + begin, line, FUZZ_CHECK_LINE_SIZE);
    return begin + FUZZ_CHECK_LINE_SIZE;
}
