/* SPDX-License-Identifier: MIT */
/*
 * A hint is read twice, through a window: once to verify every byte of it, and once
 * more to give out the entries. That is cheaper than memory for the whole of it, which
 * the system would have to clear first, and bounded.
 */
#include <assert.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/status.h"
#include "hint/hint.h"

/* Larger than the largest entry. */
enum {
    WINDOW_SIZE = 256 << 10
};

void bitcask_hint_close(struct bitcask_hint *hint)
{
    if (hint->io != NULL && hint->file != BITCASK_NO_FILE)
        hint->io->close(hint->io, hint->file);
    hint->io = NULL;
    hint->file = BITCASK_NO_FILE;
}

static enum bitcask_status fail(const struct bitcask_hint *hint,
                                enum bitcask_status status, const char *what)
{
    return bitcask_fail(status, "%s: %s", hint->name, what);
}

/* Read @size bytes at @offset, all of them. */
static enum bitcask_status read_exactly(struct bitcask_hint *hint, uint64_t offset,
                                        void *bytes, size_t size)
{
    size_t got;
    enum bitcask_status status =
        hint->io->read(hint->io, hint->file, offset, bytes, size, &got);

    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "read %s", hint->name);
    if (got != size) /* the file shrank under us */
        return fail(hint, BITCASK_CORRUPT, "became shorter while it was read");
    return BITCASK_OK;
}

/* Begin (again) with the first entry. */
static void rewind_entries(struct bitcask_hint *hint)
{
    hint->file_offset = BITCASK_FILE_HEADER_SIZE;
    hint->window_offset = 0;
    hint->window->size = 0;
}

/* Move what is left in the window to its front, and read on behind it. */
static enum bitcask_status refill(struct bitcask_hint *hint)
{
    uint8_t *bytes = hint->window->data;
    size_t rest = hint->window->size - hint->window_offset;
    uint64_t unread = hint->entries_end - hint->file_offset;
    size_t wanted = WINDOW_SIZE - rest;
    enum bitcask_status status;

    if (wanted > unread)
        wanted = (size_t)unread;
    memmove(bytes, bytes + hint->window_offset, rest);
    hint->window_offset = 0;
    hint->window->size = rest;
    status = read_exactly(hint, hint->file_offset, bytes + rest, wanted);
    if (status != BITCASK_OK)
        return status;
    if (hint->checking)
        hint->check = bitcask_check(hint->check, bytes + rest, wanted);
    hint->window->size += wanted;
    hint->file_offset += wanted;
    return BITCASK_OK;
}

/* Whether the window has the next entry, or all that is left, as a whole. */
static bool is_ready(const struct bitcask_hint *hint)
{
    const size_t entry_size_max = BITCASK_HINT_ENTRY_SIZE + 8 + BITCASK_KEY_SIZE_MAX;

    static_assert(WINDOW_SIZE >= BITCASK_HINT_ENTRY_SIZE + 8 + BITCASK_KEY_SIZE_MAX,
                  "any entry fits the window");
    return hint->window->size - hint->window_offset >= entry_size_max ||
           hint->file_offset == hint->entries_end;
}

enum bitcask_status bitcask_hint_take(struct bitcask_hint *hint,
                                      struct bitcask_hint_entry *entries, size_t capacity,
                                      size_t *count)
{
    enum bitcask_status status = BITCASK_OK;

    *count = 0;
    if (!is_ready(hint))
        status = refill(hint);
    while (status == BITCASK_OK && *count < capacity && is_ready(hint) &&
           hint->window_offset < hint->window->size) {
        const uint8_t *bytes = (const uint8_t *)hint->window->data + hint->window_offset;

        status = bitcask_hint_entry_decode(
            bytes, hint->window->size - hint->window_offset, &entries[*count]);
        if (status != BITCASK_OK)
            return fail(hint, status, "an entry cannot be read");
        hint->window_offset += bitcask_hint_entry_size(&entries[*count]);
        (*count)++;
    }
    if (status != BITCASK_OK)
        return status;
    return *count > 0 ? BITCASK_OK : BITCASK_NOT_FOUND;
}

enum bitcask_status bitcask_hint_next(struct bitcask_hint *hint,
                                      struct bitcask_hint_entry *entry)
{
    size_t count;

    return bitcask_hint_take(hint, entry, 1, &count);
}

void bitcask_hint_of_writer(struct bitcask_hint *hint,
                            const struct bitcask_hint_writer *writer,
                            struct bitcask_buffer *window)
{
    assert(writer->io == NULL);

    memset(hint, 0, sizeof *hint);
    hint->file = BITCASK_NO_FILE;
    hint->trailer = writer->trailer;
    *window = writer->bytes; /* all of it is in the window, and nothing behind it */
    hint->window = window;
    hint->window_offset = BITCASK_FILE_HEADER_SIZE;
}

/*
 * A right check over wrong fields can only come from a program with a bug or with bad
 * intentions; an entry is trusted with offsets and sizes, so look at each once.
 */
static enum bitcask_status verify_entries(struct bitcask_hint *hint)
{
    const struct bitcask_hint_trailer *trailer = &hint->trailer;
    struct bitcask_hint_entry entry;
    uint64_t entry_count = 0;
    uint64_t tombstone_count = 0;
    uint64_t first_sequence = UINT64_MAX;
    uint64_t last_sequence = 0;
    uint64_t end = BITCASK_FILE_HEADER_SIZE; /* of the record before */
    enum bitcask_status status;

    while ((status = bitcask_hint_next(hint, &entry)) == BITCASK_OK) {
        uint64_t prefix_size = (entry.flags & BITCASK_RECORD_EXPIRES) != 0
                                   ? BITCASK_RECORD_PREFIX_MAX
                                   : BITCASK_RECORD_HEADER_SIZE;
        uint64_t record_size = prefix_size + entry.key.size + entry.value_size;

        if (entry.offset < end || trailer->data_size < record_size ||
            entry.offset > trailer->data_size - record_size)
            return fail(hint, BITCASK_CORRUPT, "an entry does not fit");
        end = entry.offset + record_size;
        if (entry.sequence < first_sequence)
            first_sequence = entry.sequence;
        if (entry.sequence > last_sequence)
            last_sequence = entry.sequence;
        entry_count++;
        tombstone_count += entry.kind == BITCASK_RECORD_TOMBSTONE;
    }
    if (status != BITCASK_NOT_FOUND)
        return status;
    if (entry_count == 0)
        first_sequence = 0;
    if (entry_count != trailer->entry_count ||
        tombstone_count != trailer->tombstone_count ||
        first_sequence != trailer->first_sequence ||
        last_sequence != trailer->last_sequence)
        return fail(hint, BITCASK_CORRUPT, "it does not have the entries it counts");
    return BITCASK_OK;
}

/* Verify all bytes, from the header to the trailer; or with @trusted only whose it is. */
static enum bitcask_status verify(struct bitcask_hint *hint, uint64_t size,
                                  uint64_t segment_id, uint64_t salt, bool trusted)
{
    uint8_t head[BITCASK_FILE_HEADER_SIZE];
    uint8_t tail[BITCASK_HINT_TRAILER_SIZE];
    struct bitcask_file_header header;
    struct bitcask_hint_trailer unchecked;
    enum bitcask_status status;

    if (size < sizeof head + sizeof tail)
        return fail(hint, BITCASK_CORRUPT, "no hint is so short");
    hint->entries_end = size - sizeof tail;
    status = read_exactly(hint, 0, head, sizeof head);
    if (status == BITCASK_OK)
        status = read_exactly(hint, hint->entries_end, tail, sizeof tail);
    if (status != BITCASK_OK)
        return status;

    status = bitcask_file_header_decode(head, BITCASK_FILE_HINT, &header);
    if (status != BITCASK_OK)
        return fail(hint, status, "the file header is damaged or newer");
    if (header.segment_id != segment_id || header.salt != salt)
        return fail(hint, BITCASK_CORRUPT, "it speaks for another data file");

    /* The trailer's numbers judge the entries, and are judged by the check after. */
    bitcask_hint_trailer_read(tail, &unchecked);
    hint->trailer = unchecked;
    if (trusted) {
        rewind_entries(hint);
        return BITCASK_OK;
    }
    hint->check = bitcask_check(0, head, sizeof head);
    hint->checking = true;
    rewind_entries(hint);
    status = verify_entries(hint);
    if (status != BITCASK_OK)
        return status;
    status = bitcask_hint_trailer_decode(tail, hint->check, &hint->trailer);
    if (status != BITCASK_OK)
        return fail(hint, status, "the check does not match");
    hint->checking = false;
    rewind_entries(hint);
    return BITCASK_OK;
}

bool bitcask_hint_is_absent(enum bitcask_status status)
{
    return status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT ||
           status == BITCASK_UNSUPPORTED;
}

static enum bitcask_status open_hint(struct bitcask_hint *hint, struct bitcask_io *io,
                                     bitcask_file directory, uint64_t segment_id,
                                     uint64_t salt, struct bitcask_buffer *window,
                                     bool trusted)
{
    uint64_t size;
    enum bitcask_status status;

    memset(hint, 0, sizeof *hint);
    hint->io = io;
    hint->file = BITCASK_NO_FILE;
    hint->window = window;
    bitcask_hint_name(hint->name, segment_id);

    status = bitcask_buffer_reserve(window, WINDOW_SIZE);
    if (status != BITCASK_OK)
        return status;
    status = io->open(io, directory, hint->name, BITCASK_IO_READ, &hint->file);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "open %s", hint->name);
    status = io->size(io, hint->file, &size);
    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "size of %s", hint->name);
    else
        status = verify(hint, size, segment_id, salt, trusted);
    if (status != BITCASK_OK)
        bitcask_hint_close(hint);
    return status;
}

enum bitcask_status bitcask_hint_open(struct bitcask_hint *hint, struct bitcask_io *io,
                                      bitcask_file directory, uint64_t segment_id,
                                      uint64_t salt, struct bitcask_buffer *window)
{
    return open_hint(hint, io, directory, segment_id, salt, window, false);
}

enum bitcask_status bitcask_hint_open_verified(struct bitcask_hint *hint,
                                               struct bitcask_io *io,
                                               bitcask_file directory,
                                               uint64_t segment_id, uint64_t salt,
                                               struct bitcask_buffer *window)
{
    return open_hint(hint, io, directory, segment_id, salt, window, true);
}
