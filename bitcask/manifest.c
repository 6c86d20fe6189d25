/* SPDX-License-Identifier: MIT */
#include "bitcask/manifest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/format.h"
#include "bitcask/status.h"

enum {
    MANIFEST_VERSION = 1,
    LINE_SIZE = 192,
    CHECK_LINE_SIZE = sizeof "check 01234567\n" - 1,
};

/* 20,000 segments take 2 MB; what is larger than this was not written by us. */
#define MANIFEST_SIZE_MAX ((uint64_t)1 << 30)

static const char *const state_words[] = {
    [BITCASK_MANIFEST_SEALED] = "sealed",
    [BITCASK_MANIFEST_OPEN] = "open",
    [BITCASK_MANIFEST_PREPARED] = "prepared",
    [BITCASK_MANIFEST_DRAFT] = "draft",
    [BITCASK_MANIFEST_RETIRED] = "retired",
    [BITCASK_MANIFEST_QUARANTINED] = "quarantined",
};

void bitcask_manifest_init(struct bitcask_manifest *manifest)
{
    memset(manifest, 0, sizeof *manifest);
    manifest->next_id = 1;
}

uint32_t bitcask_manifest_tag(const struct bitcask_manifest *manifest)
{
    for (size_t i = manifest->segment_count; i-- > 0;) {
        const struct bitcask_manifest_segment *segment = &manifest->segments[i];

        if (segment->state != BITCASK_MANIFEST_QUARANTINED) /* it may be anybody's */
            return (uint32_t)(segment->salt >> 32);
    }
    return 0;
}

void bitcask_manifest_release(struct bitcask_manifest *manifest)
{
    free(manifest->segments);
    memset(manifest, 0, sizeof *manifest);
}

enum bitcask_status bitcask_manifest_add(struct bitcask_manifest *manifest,
                                         const struct bitcask_manifest_segment *segment)
{
    assert(manifest->segment_count == 0 ||
           manifest->segments[manifest->segment_count - 1].id < segment->id);

    if (manifest->segment_count == manifest->segment_capacity) {
        size_t capacity =
            manifest->segment_capacity > 0 ? 2 * manifest->segment_capacity : 16;
        struct bitcask_manifest_segment *grown;

        if (capacity > SIZE_MAX / sizeof *grown)
            return bitcask_fail_memory(SIZE_MAX);
        grown = realloc(manifest->segments, capacity * sizeof *grown);
        if (grown == NULL)
            return bitcask_fail_memory(capacity * sizeof *grown);
        manifest->segments = grown;
        manifest->segment_capacity = capacity;
    }
    manifest->segments[manifest->segment_count++] = *segment;
    return BITCASK_OK;
}

const struct bitcask_manifest_segment *bitcask_manifest_find(
    const struct bitcask_manifest *manifest, uint64_t id)
{
    size_t low = 0;
    size_t high = manifest->segment_count;

    while (low < high) { /* they are in order of id */
        size_t middle = low + (high - low) / 2;

        if (manifest->segments[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == manifest->segment_count || manifest->segments[low].id != id)
        return NULL;
    return &manifest->segments[low];
}

static void format_segment(const struct bitcask_manifest_segment *segment,
                           char line[LINE_SIZE])
{
    int length = snprintf(line, LINE_SIZE, "%s %" PRIu64 " salt %016" PRIx64,
                          state_words[segment->state], segment->id, segment->salt);
    char *rest = line + length;
    size_t room = LINE_SIZE - (size_t)length;

    switch (segment->state) {
    case BITCASK_MANIFEST_SEALED:
        (void)snprintf(rest, room, " size %" PRIu64 " sequences %" PRIu64 " %" PRIu64,
                       segment->size, segment->first_sequence, segment->last_sequence);
        length = (int)strlen(line);
        if (segment->purged_sequence != 0)
            (void)snprintf(line + length, LINE_SIZE - (size_t)length,
                           " purged %" PRIu64 "\n", segment->purged_sequence);
        else
            (void)snprintf(line + length, LINE_SIZE - (size_t)length, "\n");
        break;
    case BITCASK_MANIFEST_OPEN:
        (void)snprintf(rest, room, " size %" PRIu64 " last %" PRIu64 "\n", segment->size,
                       segment->last_sequence);
        break;
    case BITCASK_MANIFEST_PREPARED:
    case BITCASK_MANIFEST_DRAFT:
    case BITCASK_MANIFEST_RETIRED:
    case BITCASK_MANIFEST_QUARANTINED:
        (void)snprintf(rest, room, "\n");
        break;
    }
}

enum bitcask_status bitcask_manifest_format(const struct bitcask_manifest *manifest,
                                            struct bitcask_buffer *text)
{
    char line[LINE_SIZE];
    size_t begin = text->size;
    enum bitcask_status status;

    (void)snprintf(line, sizeof line,
                   "bitcask manifest %d\nfeatures %u\nnext %" PRIu64 "\nsequence %" PRIu64
                   "\nkeys %" PRIu64 "\n",
                   MANIFEST_VERSION, BITCASK_FEATURES_KNOWN, manifest->next_id,
                   manifest->sequence, manifest->key_count);
    status = bitcask_buffer_append(text, line, strlen(line));

    for (size_t i = 0; i < manifest->segment_count && status == BITCASK_OK; i++) {
        format_segment(&manifest->segments[i], line);
        status = bitcask_buffer_append(text, line, strlen(line));
    }
    if (status != BITCASK_OK)
        return status;

    (void)snprintf(
        line, sizeof line, "check %08" PRIx32 "\n",
        bitcask_check(0, (const char *)text->data + begin, text->size - begin));
    return bitcask_buffer_append(text, line, strlen(line));
}

/* What is left to parse, and how far the parse got, for the detail. */
struct cursor {
    const char *next;
    const char *end;
    uint64_t line;
};

static bool take_word(struct cursor *cursor, const char *word)
{
    size_t size = strlen(word);

    if ((size_t)(cursor->end - cursor->next) < size ||
        memcmp(cursor->next, word, size) != 0)
        return false;
    cursor->next += size;
    if (word[size - 1] == '\n')
        cursor->line++;
    return true;
}

/* As it is written, without zeros in front: one MANIFEST has one text. */
static bool take_number(struct cursor *cursor, uint64_t *number)
{
    const char *begin = cursor->next;
    uint64_t value = 0;

    while (cursor->next < cursor->end && *cursor->next >= '0' && *cursor->next <= '9') {
        uint64_t digit = (uint64_t)(*cursor->next - '0');

        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
        cursor->next++;
    }
    *number = value;
    return cursor->next > begin && (*begin != '0' || cursor->next == begin + 1);
}

static bool take_hexadecimal(struct cursor *cursor, int digits, uint64_t *number)
{
    uint64_t value = 0;

    if (cursor->end - cursor->next < digits)
        return false;
    for (int i = 0; i < digits; i++) {
        char c = *cursor->next++;

        if (c >= '0' && c <= '9')
            value = value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *number = value;
    return true;
}

/* A line that is a word and a number. */
static bool take_field(struct cursor *cursor, const char *word, uint64_t *number)
{
    return take_word(cursor, word) && take_number(cursor, number) &&
           take_word(cursor, "\n");
}

static bool take_state(struct cursor *cursor, enum bitcask_manifest_state *state)
{
    for (size_t i = 0; i < sizeof state_words / sizeof *state_words; i++) {
        if (take_word(cursor, state_words[i])) {
            *state = (enum bitcask_manifest_state)i;
            return take_word(cursor, " ");
        }
    }
    return false;
}

static bool take_purged(struct cursor *cursor, uint64_t *sequence)
{
    if (!take_word(cursor, " purged "))
        return true; /* most have none */
    return take_number(cursor, sequence) && *sequence != 0;
}

static bool take_segment(struct cursor *cursor, struct bitcask_manifest_segment *segment)
{
    memset(segment, 0, sizeof *segment);
    if (!take_state(cursor, &segment->state))
        return false;
    if (!take_number(cursor, &segment->id) || !take_word(cursor, " salt ") ||
        !take_hexadecimal(cursor, 16, &segment->salt))
        return false;

    switch (segment->state) {
    case BITCASK_MANIFEST_SEALED:
        return take_word(cursor, " size ") && take_number(cursor, &segment->size) &&
               take_word(cursor, " sequences ") &&
               take_number(cursor, &segment->first_sequence) && take_word(cursor, " ") &&
               take_number(cursor, &segment->last_sequence) &&
               take_purged(cursor, &segment->purged_sequence) &&
               take_word(cursor, "\n") &&
               segment->first_sequence <= segment->last_sequence;
    case BITCASK_MANIFEST_OPEN:
        return take_word(cursor, " size ") && take_number(cursor, &segment->size) &&
               take_word(cursor, " last ") &&
               take_number(cursor, &segment->last_sequence) && take_word(cursor, "\n");
    case BITCASK_MANIFEST_PREPARED:
    case BITCASK_MANIFEST_DRAFT:
    case BITCASK_MANIFEST_RETIRED:
    case BITCASK_MANIFEST_QUARANTINED:
        break;
    }
    return take_word(cursor, "\n");
}

static enum bitcask_status take_segments(struct bitcask_manifest *manifest,
                                         struct cursor *cursor)
{
    uint64_t last_id = 0;

    while (cursor->next < cursor->end) {
        struct bitcask_manifest_segment segment;
        enum bitcask_status status;

        if (!take_segment(cursor, &segment) || segment.id <= last_id ||
            segment.id >= manifest->next_id)
            return BITCASK_CORRUPT;
        last_id = segment.id;
        status = bitcask_manifest_add(manifest, &segment);
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

bool bitcask_manifest_checks(struct bitcask_slice text, uint32_t *stored_check,
                             uint32_t *computed_check)
{
    struct cursor tail = { text.data, (const char *)text.data + text.size, 1 };
    uint64_t stored;

    if (text.size < CHECK_LINE_SIZE)
        return false;
    tail.next = tail.end - CHECK_LINE_SIZE;
    if (!take_word(&tail, "check ") || !take_hexadecimal(&tail, 8, &stored) ||
        !take_word(&tail, "\n"))
        return false;
    *stored_check = (uint32_t)stored;
    *computed_check = bitcask_check(0, text.data, text.size - CHECK_LINE_SIZE);
    return true;
}

/* Cut the check line off @cursor if it is there and right. */
static bool take_check(struct cursor *cursor)
{
    struct bitcask_slice text = { cursor->next, (size_t)(cursor->end - cursor->next) };
    uint32_t stored, computed;

    if (!bitcask_manifest_checks(text, &stored, &computed))
        return false;
    cursor->end -= CHECK_LINE_SIZE;
    return stored == computed;
}

/* Whether with our own version, a digit, in its place the check would hold. */
static bool version_is_damaged(struct bitcask_slice text)
{
    static const char first[] = "bitcask manifest 1\n";
    const char *digit = (const char *)text.data + sizeof first - 3;
    uint32_t stored, computed;

    if (!bitcask_manifest_checks(text, &stored, &computed) || digit[1] != '\n')
        return false;
    computed = bitcask_check(0, first, sizeof first - 1);
    computed = bitcask_check(computed, digit + 2,
                             text.size - CHECK_LINE_SIZE - (sizeof first - 1));
    return stored == computed;
}

static enum bitcask_status fail_at(const struct cursor *cursor, const char *what)
{
    return bitcask_fail(BITCASK_CORRUPT,
                        BITCASK_MANIFEST_NAME ", line %" PRIu64
                                              ": %s; " BITCASK_DAMAGE_ADVICE,
                        cursor->line, what);
}

enum bitcask_status bitcask_manifest_parse(struct bitcask_manifest *manifest,
                                           struct bitcask_slice text)
{
    struct cursor cursor = { text.data, (const char *)text.data + text.size, 1 };
    struct cursor first = cursor;
    uint64_t version, features;
    enum bitcask_status status;

    /* The version comes before the check, which a newer one may compute otherwise. */
    if (!take_field(&first, "bitcask manifest ", &version))
        return fail_at(&cursor, "this is not a manifest");
    if (version > MANIFEST_VERSION && !version_is_damaged(text))
        return bitcask_fail(BITCASK_UNSUPPORTED,
                            BITCASK_MANIFEST_NAME " has format %" PRIu64
                                                  ", this library knows %d: use a newer "
                                                  "library",
                            version, MANIFEST_VERSION);
    if (!take_check(&cursor))
        return fail_at(&cursor, "the check does not match");

    if (!take_field(&cursor, "bitcask manifest ", &version) ||
        version != MANIFEST_VERSION || !take_field(&cursor, "features ", &features))
        return fail_at(&cursor, "the head does not parse");
    if ((features & ~(uint64_t)BITCASK_FEATURES_KNOWN) != 0)
        return bitcask_fail(BITCASK_UNSUPPORTED,
                            BITCASK_MANIFEST_NAME " needs features %#" PRIx64
                                                  " that this library does not know: use "
                                                  "a newer library",
                            features);
    if (!take_field(&cursor, "next ", &manifest->next_id) ||
        !take_field(&cursor, "sequence ", &manifest->sequence) ||
        !take_field(&cursor, "keys ", &manifest->key_count))
        return fail_at(&cursor, "the head does not parse");

    status = take_segments(manifest, &cursor);
    if (status == BITCASK_CORRUPT)
        return fail_at(&cursor, "the segment does not parse");
    return status;
}

enum bitcask_status bitcask_manifest_read_text(struct bitcask_io *io,
                                               bitcask_file directory,
                                               struct bitcask_buffer *text)
{
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t size;
    enum bitcask_status status;

    text->size = 0;
    status = io->open(io, directory, BITCASK_MANIFEST_NAME, BITCASK_IO_READ, &file);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "open " BITCASK_MANIFEST_NAME);
    status = io->size(io, file, &size);
    if (status != BITCASK_OK) {
        bitcask_fail_errno(status, "size of " BITCASK_MANIFEST_NAME);
        goto out;
    }
    if (size > MANIFEST_SIZE_MAX || size > SIZE_MAX - 1) {
        status = bitcask_fail(
            BITCASK_CORRUPT,
            BITCASK_MANIFEST_NAME " has %" PRIu64 " bytes, which is not possible", size);
        goto out;
    }
    status = bitcask_buffer_reserve(text, (size_t)size);
    if (status != BITCASK_OK)
        goto out;
    status = io->read(io, file, 0, text->data, (size_t)size, &text->size);
    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "read " BITCASK_MANIFEST_NAME);

out:
    io->close(io, file);
    return status;
}

enum bitcask_status bitcask_manifest_read(struct bitcask_manifest *manifest,
                                          struct bitcask_io *io, bitcask_file directory)
{
    struct bitcask_buffer text = { 0 };
    enum bitcask_status status = bitcask_manifest_read_text(io, directory, &text);

    if (status == BITCASK_OK) {
        struct bitcask_slice slice = { text.data, text.size };

        status = bitcask_manifest_parse(manifest, slice);
    }
    bitcask_buffer_release(&text);
    return status;
}

/* Write and sync the temporary file. */
static enum bitcask_status write_temporary(struct bitcask_io *io, bitcask_file directory,
                                           const struct bitcask_buffer *text)
{
    struct bitcask_slice part = { text->data, text->size };
    bitcask_file file = BITCASK_NO_FILE;
    enum bitcask_status status;

    status = io->open(io, directory, BITCASK_MANIFEST_TEMPORARY_NAME, BITCASK_IO_CREATE,
                      &file);
    if (status == BITCASK_OK)
        status = io->write(io, file, 0, &part, 1);
    if (status == BITCASK_OK)
        status = io->sync(io, file);
    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "write " BITCASK_MANIFEST_TEMPORARY_NAME);
    if (file != BITCASK_NO_FILE)
        io->close(io, file);
    return status;
}

enum bitcask_status bitcask_manifest_write(const struct bitcask_manifest *manifest,
                                           struct bitcask_io *io, bitcask_file directory,
                                           bool *switched)
{
    struct bitcask_buffer text = { 0 };
    enum bitcask_status status;

    *switched = false;
    status = bitcask_manifest_format(manifest, &text);
    if (status != BITCASK_OK)
        goto out;
    status = write_temporary(io, directory, &text);
    if (status != BITCASK_OK) {
        (void)io->remove(io, directory, BITCASK_MANIFEST_TEMPORARY_NAME);
        goto out;
    }

    status =
        io->rename(io, directory, BITCASK_MANIFEST_TEMPORARY_NAME, BITCASK_MANIFEST_NAME);
    if (status != BITCASK_OK) {
        bitcask_fail_errno(status, "rename " BITCASK_MANIFEST_TEMPORARY_NAME
                                   " to " BITCASK_MANIFEST_NAME);
        (void)io->remove(io, directory, BITCASK_MANIFEST_TEMPORARY_NAME);
        goto out;
    }
    *switched = true;
    status = io->directory_sync(io, directory);
    if (status != BITCASK_OK)
        bitcask_fail_errno(status,
                           "sync the directory after replacing " BITCASK_MANIFEST_NAME);

out:
    bitcask_buffer_release(&text);
    return status;
}
