/* SPDX-License-Identifier: MIT */
/*
 * The data file is walked, and for each record the entry is made that its hint must
 * have: the bytes of the hint have to be those, from the first to the last. Only the
 * trailer is asked how much of the data it speaks for, and is then judged by that.
 */
#include "bitcask/hint_compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/data_file.h"
#include "bitcask/format.h"
#include "hint/hint.h"

enum {
    WINDOW_SIZE = 256 << 10,
    ENTRY_SIZE_MAX = BITCASK_HINT_ENTRY_SIZE + 8 + BITCASK_KEY_SIZE_MAX
};

struct comparison {
    struct bitcask_io *io;
    bitcask_file directory;
    const struct bitcask_hint_subject *subject;
    struct bitcask_hint_comparison *result;
    char name[BITCASK_NAME_SIZE]; /* of the hint */

    bitcask_file hint;
    bitcask_file data;
    struct bitcask_walk walk;
    struct bitcask_buffer window;        /* a stretch of the hint */
    size_t window_used;                  /* bytes of it that have been compared */
    uint64_t data_end;                   /* what a hint may speak for at most */
    uint64_t offset;                     /* of the next byte of the hint */
    uint64_t entries_end;                /* where its trailer must begin */
    uint32_t check;                      /* of the bytes so far, as they should be */
    struct bitcask_hint_trailer trailer; /* as it should be */
    /* The trailer does not say where the data ends: go on while there are entries. */
    bool endless;
};

/* Add to the detail; what does not fit is cut. */
static void add_detail(struct bitcask_hint_comparison *result, const char *text)
{
    size_t used = strlen(result->detail);

    (void)snprintf(result->detail + used, sizeof result->detail - used, "%s%s",
                   used > 0 ? "; and " : "", text);
}

/* The hint is not what it should be, at @offset, which is in @where. */
static void note_difference(struct comparison *comparison, uint64_t offset,
                            const char *where)
{
    struct bitcask_hint_comparison *result = comparison->result;
    char text[256];

    if (result->differs)
        return;
    result->differs = true;
    result->hint_offset = offset;
    (void)snprintf(text, sizeof text, "%s, offset %" PRIu64 ": %s", comparison->name,
                   offset, where);
    add_detail(result, text);
}

static void note_damage(struct comparison *comparison, uint64_t offset, const char *what)
{
    struct bitcask_hint_comparison *result = comparison->result;
    char text[256];

    if (result->data_damaged)
        return;
    result->data_damaged = true;
    result->data_offset = offset;
    (void)snprintf(text, sizeof text,
                   "%010" PRIu64 ".data, offset %" PRIu64
                   ": %s, so entries of it cannot be compared",
                   comparison->subject->segment_id, offset, what);
    add_detail(result, text);
}

/*
 * Have the next @size bytes of the hint in the window, or all that are left; *bytes is
 * valid until the next call.
 */
static enum bitcask_status look(struct comparison *comparison, size_t size,
                                const uint8_t **bytes, size_t *got)
{
    struct bitcask_buffer *window = &comparison->window;
    uint8_t *data = window->data;
    size_t rest = window->size - comparison->window_used;
    size_t added;
    enum bitcask_status status;

    if (rest < size) {
        memmove(data, data + comparison->window_used, rest);
        comparison->window_used = 0;
        window->size = rest;
        status = comparison->io->read(comparison->io, comparison->hint,
                                      comparison->offset + rest, data + rest,
                                      WINDOW_SIZE - rest, &added);
        if (status != BITCASK_OK)
            return bitcask_fail_errno(status, "read %s, offset %" PRIu64,
                                      comparison->name, comparison->offset + rest);
        window->size += added;
        rest += added;
    }
    *bytes = data + comparison->window_used;
    *got = rest < size ? rest : size;
    return BITCASK_OK;
}

static void step(struct comparison *comparison, size_t size)
{
    comparison->window_used += size;
    comparison->offset += size;
}

/* The next bytes of the hint must be these; *same says whether they are. */
static enum bitcask_status expect(struct comparison *comparison, const void *wanted,
                                  size_t size, const char *where, bool *same)
{
    const uint8_t *bytes = NULL;
    size_t equal = 0;
    size_t got = 0;
    enum bitcask_status status = look(comparison, size, &bytes, &got);

    if (status != BITCASK_OK)
        return status;
    *same = got == size && memcmp(bytes, wanted, size) == 0;
    if (!*same) {
        while (equal < got && bytes[equal] == ((const uint8_t *)wanted)[equal])
            equal++;
        note_difference(comparison, comparison->offset + equal, where);
        return BITCASK_OK;
    }
    comparison->check = bitcask_check(comparison->check, wanted, size);
    step(comparison, size);
    return BITCASK_OK;
}

static enum bitcask_status expect_header(struct comparison *comparison, bool *same)
{
    const struct bitcask_file_header header = {
        .segment_id = comparison->subject->segment_id,
        .salt = comparison->subject->salt,
    };
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];

    bitcask_file_header_encode(&header, BITCASK_FILE_HINT, bytes);
    return expect(comparison, bytes, sizeof bytes,
                  "the file header is damaged, or of the hint of another file", same);
}

/* Count a record of the data in the trailer that the hint should have. */
static void count_entry(struct bitcask_hint_trailer *trailer,
                        const struct bitcask_hint_entry *entry)
{
    if (trailer->entry_count == 0 || entry->sequence < trailer->first_sequence)
        trailer->first_sequence = entry->sequence;
    if (entry->sequence > trailer->last_sequence)
        trailer->last_sequence = entry->sequence;
    trailer->entry_count++;
    trailer->tombstone_count += entry->kind == BITCASK_RECORD_TOMBSTONE;
}

static enum bitcask_status expect_entry(struct comparison *comparison,
                                        const struct bitcask_walk_record *record,
                                        bool *same)
{
    const struct bitcask_hint_entry entry =
        bitcask_hint_entry_of(&record->header, record->offset, record->key);
    uint8_t bytes[BITCASK_HINT_ENTRY_SIZE + 8];
    size_t size = bitcask_hint_entry_encode(&entry, bytes);
    char where[96];
    enum bitcask_status status;

    (void)snprintf(where, sizeof where,
                   "this is not the entry of the record at offset %" PRIu64
                   " of the data",
                   record->offset);
    status = expect(comparison, bytes, size, where, same);
    if (status == BITCASK_OK && *same)
        status = expect(comparison, entry.key.data, entry.key.size, where, same);
    if (status == BITCASK_OK && *same)
        count_entry(&comparison->trailer, &entry);
    return status;
}

static enum bitcask_status expect_trailer(struct comparison *comparison)
{
    uint8_t bytes[BITCASK_HINT_TRAILER_SIZE];
    bool same = false;
    enum bitcask_status status;

    comparison->trailer.data_size = comparison->walk.offset;
    bitcask_hint_trailer_encode(&comparison->trailer, comparison->check, bytes);
    status = expect(comparison, bytes, sizeof bytes,
                    "the trailer is not what it should be here", &same);
    if (status == BITCASK_OK && same &&
        comparison->offset != comparison->result->hint_size)
        note_difference(comparison, comparison->offset, "something is behind the end");
    return status;
}

/* Whether the hint is whole by its own check: then it may be believed about damage. */
static enum bitcask_status look_at_check(struct comparison *comparison, bool *whole)
{
    struct bitcask_buffer window = { 0 };
    struct bitcask_hint hint;
    enum bitcask_status status = bitcask_hint_open(
        &hint, comparison->io, comparison->directory, comparison->subject->segment_id,
        comparison->subject->salt, &window);

    *whole = status == BITCASK_OK;
    if (*whole)
        bitcask_hint_close(&hint);
    bitcask_buffer_release(&window);
    return bitcask_hint_is_absent(status) ? BITCASK_OK : status;
}

/* Pass over the entries of records before @data_offset, which cannot be read. */
static enum bitcask_status skip_entries(struct comparison *comparison,
                                        uint64_t data_offset)
{
    while (comparison->offset < comparison->entries_end) {
        uint64_t unread = comparison->entries_end - comparison->offset;
        struct bitcask_hint_entry entry;
        const uint8_t *bytes = NULL;
        size_t got = 0;
        enum bitcask_status status =
            look(comparison, unread < ENTRY_SIZE_MAX ? (size_t)unread : ENTRY_SIZE_MAX,
                 &bytes, &got);

        if (status != BITCASK_OK)
            return status;
        if (bitcask_hint_entry_decode(bytes, got, &entry) != BITCASK_OK) {
            note_difference(comparison, comparison->offset, "this is no entry");
            return BITCASK_OK;
        }
        if (entry.offset >= data_offset)
            return BITCASK_OK;
        step(comparison, bitcask_hint_entry_size(&entry));
        comparison->result->skipped_count++;
    }
    return BITCASK_OK;
}

/*
 * The walk has met damage. Where the hint is whole by its own check, go on behind it:
 * *found says that there is a record.
 */
static enum bitcask_status pass_damage(struct comparison *comparison, bool *found)
{
    struct bitcask_walk *walk = &comparison->walk;
    struct bitcask_record ignored;
    bool whole;
    enum bitcask_status status;

    *found = false;
    note_damage(comparison, walk->offset, "there is no whole record");
    status = look_at_check(comparison, &whole);
    if (status != BITCASK_OK)
        return status;
    if (!whole) {
        note_difference(comparison, comparison->offset,
                        "from here on or before it the file is damaged, too");
        return BITCASK_OK;
    }
    walk->offset++;
    status = bitcask_walk_resync(walk, 1, UINT64_MAX, &ignored);
    if (status != BITCASK_OK && status != BITCASK_NOT_FOUND)
        return status;
    status = skip_entries(comparison, walk->offset);
    *found = status == BITCASK_OK && !comparison->result->differs;
    return status;
}

/*
 * The walk cannot go on. That is the fault of the trailer if it ends inside a record,
 * and otherwise damage of the data. *go_on: there is more to compare.
 */
static enum bitcask_status judge_end(struct comparison *comparison,
                                     struct bitcask_walk_record *record, bool *go_on)
{
    struct bitcask_walk *walk = &comparison->walk;
    uint64_t end = walk->end;
    enum bitcask_status status = BITCASK_CORRUPT;

    *go_on = false;
    if (comparison->endless) {
        note_difference(comparison, comparison->offset, "there is no such record");
        return BITCASK_OK;
    }
    if (!comparison->result->data_damaged) {
        uint64_t offset = walk->offset;

        walk->end = comparison->data_end;
        status = bitcask_walk_next(walk, record);
        walk->offset = offset;
        walk->batch_end = 0;
    }
    if (status == BITCASK_OK) {
        comparison->endless = true;
        *go_on = true;
        return BITCASK_OK;
    }
    walk->end = end;
    if (status != BITCASK_CORRUPT && status != BITCASK_NOT_FOUND)
        return status;
    return pass_damage(comparison, go_on);
}

/* Compare the entries of all records that the hint speaks for; *same: they are equal. */
static enum bitcask_status expect_entries(struct comparison *comparison, bool *same)
{
    struct bitcask_walk *walk = &comparison->walk;
    struct bitcask_walk_record record;
    enum bitcask_status status = BITCASK_OK;

    *same = true;
    while (status == BITCASK_OK && *same) {
        if (comparison->endless && walk->batch_end == 0 &&
            comparison->offset >= comparison->entries_end)
            return BITCASK_OK;
        status = bitcask_walk_next(walk, &record);
        if (status == BITCASK_OK) {
            if (!record.value_intact)
                note_damage(comparison, record.offset, "a value fails its check");
            status = expect_entry(comparison, &record, same);
        } else if (status == BITCASK_CORRUPT) {
            status = judge_end(comparison, &record, same);
        }
    }
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

/* How far the walk goes: as far as the trailer says, if that can be. */
static enum bitcask_status begin_walk(struct comparison *comparison)
{
    const struct bitcask_hint_subject *subject = comparison->subject;
    struct bitcask_hint_comparison *result = comparison->result;
    uint64_t end = result->data_file_size;
    uint8_t bytes[BITCASK_HINT_TRAILER_SIZE];
    struct bitcask_hint_trailer trailer = { 0 };
    size_t got = 0;
    enum bitcask_status status = BITCASK_OK;

    if (subject->size_max != 0 && subject->size_max < end)
        end = subject->size_max;
    if (result->hint_size >= BITCASK_FILE_HEADER_SIZE + sizeof bytes) {
        comparison->entries_end = result->hint_size - sizeof bytes;
        status = comparison->io->read(comparison->io, comparison->hint,
                                      comparison->entries_end, bytes, sizeof bytes, &got);
    }
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "read the trailer of %s", comparison->name);
    if (got == sizeof bytes)
        bitcask_hint_trailer_read(bytes, &trailer);
    result->data_size = trailer.data_size;
    comparison->data_end = end;
    comparison->endless =
        trailer.data_size < BITCASK_FILE_HEADER_SIZE || trailer.data_size > end;
    status = bitcask_walk_init(&comparison->walk, comparison->io, comparison->data,
                               subject->segment_id, subject->salt,
                               comparison->endless ? end : trailer.data_size);
    comparison->walk.check_values = subject->check_values;
    return status;
}

/* The hint first: what it speaks for is in the data file by then. */
static enum bitcask_status open_both(struct comparison *comparison)
{
    struct bitcask_io *io = comparison->io;
    struct bitcask_hint_comparison *result = comparison->result;
    enum bitcask_status status = io->open(io, comparison->directory, comparison->name,
                                          BITCASK_IO_READ, &comparison->hint);

    if (status == BITCASK_NOT_FOUND)
        return bitcask_fail(status, "there is no %s", comparison->name);
    if (status == BITCASK_OK)
        status = io->size(io, comparison->hint, &result->hint_size);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "open %s", comparison->name);
    return bitcask_data_file_open_unchecked(
        io, comparison->directory, comparison->subject->segment_id, BITCASK_IO_READ,
        &comparison->data, &result->data_file_size);
}

/* All of it, from the header to the trailer, or to the first difference. */
static enum bitcask_status compare(struct comparison *comparison)
{
    struct bitcask_hint_comparison *result = comparison->result;
    bool same = false;
    enum bitcask_status status = bitcask_buffer_reserve(&comparison->window, WINDOW_SIZE);

    if (status == BITCASK_OK)
        status = open_both(comparison);
    if (status == BITCASK_OK)
        status = begin_walk(comparison);
    if (status == BITCASK_OK)
        status = expect_header(comparison, &same);
    if (status == BITCASK_OK && same)
        status = expect_entries(comparison, &same);
    result->entry_count = comparison->trailer.entry_count;
    result->tombstone_count = comparison->trailer.tombstone_count;
    result->first_sequence = comparison->trailer.first_sequence;
    result->last_sequence = comparison->trailer.last_sequence;
    if (status != BITCASK_OK || !same || result->differs)
        return status;
    if (result->skipped_count == 0)
        return expect_trailer(comparison);
    /* Then its check was made sure of before. */
    if (comparison->offset != comparison->entries_end)
        note_difference(comparison, comparison->offset,
                        "there is an entry too many, of no record in the data");
    return BITCASK_OK;
}

enum bitcask_status bitcask_hint_compare(struct bitcask_io *io, bitcask_file directory,
                                         const struct bitcask_hint_subject *subject,
                                         struct bitcask_hint_comparison *result)
{
    struct comparison comparison = {
        .io = io,
        .directory = directory,
        .subject = subject,
        .result = result,
        .hint = BITCASK_NO_FILE,
        .data = BITCASK_NO_FILE,
    };
    enum bitcask_status status;

    memset(result, 0, sizeof *result);
    bitcask_hint_name(comparison.name, subject->segment_id);
    status = compare(&comparison);
    bitcask_walk_release(&comparison.walk);
    bitcask_buffer_release(&comparison.window);
    if (comparison.data != BITCASK_NO_FILE)
        io->close(io, comparison.data);
    if (comparison.hint != BITCASK_NO_FILE)
        io->close(io, comparison.hint);
    if (status == BITCASK_OK && (result->differs || result->data_damaged))
        return bitcask_fail(BITCASK_CORRUPT, "%s", result->detail);
    return status;
}
