/* SPDX-License-Identifier: MIT */
/*
 * A cask as its directory and its MANIFEST have it, for those who open no cask.
 */
#include "bitcask/inspect_directory.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/directory.h"
#include "bitcask/file_name.h"
#include "bitcask/io.h"
#include "bitcask/status.h"

enum {
    READ_ATTEMPTS_MAX = 50, /* beside a writer that replaces the MANIFEST */
    READ_RETRY_MS = 2
};

/* The bytes of the MANIFEST, none if there is no such file, or none that can be ours. */
static enum bitcask_status read_manifest(struct bitcask_io *io, bitcask_file directory,
                                         struct bitcask_buffer *text, bool *exists)
{
    enum bitcask_status status = bitcask_manifest_read_text(io, directory, text);

    *exists = status != BITCASK_NOT_FOUND;
    return status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT ? BITCASK_OK : status;
}

static bool is_same(const struct bitcask_buffer *one, const struct bitcask_buffer *other)
{
    return one->size == other->size &&
           (one->size == 0 || memcmp(one->data, other->data, one->size) == 0);
}

/*
 * The MANIFEST, and the files that there were while it was the one: looked at again as
 * long as a writer replaces it meanwhile.
 */
static enum bitcask_status look(struct bitcask_io *io, bitcask_file directory,
                                struct bitcask_buffer *text, bool *exists,
                                struct bitcask_listing *names)
{
    struct bitcask_buffer after = { 0 };
    enum bitcask_status status = read_manifest(io, directory, text, exists);

    for (int attempt = 1; status == BITCASK_OK; attempt++) {
        struct bitcask_buffer before = *text;
        bool existed = *exists;

        bitcask_listing_release(names);
        status = bitcask_directory_list(io, directory, names);
        bitcask_listing_sort(names);
        if (status == BITCASK_OK)
            status = read_manifest(io, directory, &after, exists);
        if (status != BITCASK_OK || attempt == READ_ATTEMPTS_MAX)
            break;
        if (*exists == existed && is_same(&before, &after))
            break;
        *text = after;
        after = before;
        io->sleep_ms(io, READ_RETRY_MS);
    }
    bitcask_buffer_release(&after);
    return status;
}

static enum bitcask_inspect_state state_of(enum bitcask_manifest_state state)
{
    switch (state) {
    case BITCASK_MANIFEST_SEALED:
        return BITCASK_INSPECT_SEALED;
    case BITCASK_MANIFEST_OPEN:
        return BITCASK_INSPECT_OPEN;
    case BITCASK_MANIFEST_PREPARED:
        return BITCASK_INSPECT_PREPARED;
    case BITCASK_MANIFEST_DRAFT:
        return BITCASK_INSPECT_DRAFT;
    case BITCASK_MANIFEST_RETIRED:
        return BITCASK_INSPECT_RETIRED;
    case BITCASK_MANIFEST_QUARANTINED:
        return BITCASK_INSPECT_QUARANTINED;
    }
    return BITCASK_INSPECT_UNLISTED;
}

static void describe(const struct bitcask_manifest_segment *line, uint64_t id,
                     const struct bitcask_listing *names,
                     struct bitcask_inspect_segment *segment)
{
    memset(segment, 0, sizeof *segment);
    segment->id = id;
    segment->data_exists = bitcask_listing_has(&names->data_ids, id);
    segment->hint_exists = bitcask_listing_has(&names->hint_ids, id);
    if (line == NULL)
        return;
    segment->state = state_of(line->state);
    segment->salt = line->salt;
    segment->size = line->size;
    segment->first_sequence = line->first_sequence;
    segment->last_sequence = line->last_sequence;
    segment->purged_sequence = line->purged_sequence;
}

/* The smallest id above @id of a data file or hint, UINT64_MAX if there is none. */
static uint64_t next_named(const struct bitcask_buffer *ids, uint64_t id, size_t *at)
{
    const uint64_t *all = ids->data;
    size_t count = ids->size / sizeof *all;

    while (*at < count && all[*at] <= id)
        (*at)++;
    return *at < count ? all[*at] : UINT64_MAX;
}

/* What the MANIFEST lists and what is there, as one list in order of id. */
static enum bitcask_status join(const struct bitcask_manifest *manifest,
                                const struct bitcask_listing *names,
                                struct bitcask_inspect_cask *cask)
{
    size_t size = manifest->segment_count * sizeof *cask->segments +
                  (names->data_ids.size + names->hint_ids.size) / sizeof(uint64_t) *
                      sizeof *cask->segments;
    size_t line = 0, data = 0, hint = 0;
    uint64_t id = 0;

    if (size == 0)
        return BITCASK_OK;
    cask->segments = malloc(size);
    if (cask->segments == NULL)
        return bitcask_fail_memory(size);
    for (;;) {
        const struct bitcask_manifest_segment *listed = NULL;
        uint64_t next = next_named(&names->data_ids, id, &data);
        uint64_t next_hint = next_named(&names->hint_ids, id, &hint);

        next = next < next_hint ? next : next_hint;
        if (line < manifest->segment_count && manifest->segments[line].id <= next) {
            listed = &manifest->segments[line++];
            next = listed->id;
        }
        if (listed == NULL && next == UINT64_MAX)
            return BITCASK_OK;
        id = next;
        describe(listed, id, names, &cask->segments[cask->segment_count++]);
    }
}

static enum bitcask_status inspect(struct bitcask_io *io, bitcask_file directory,
                                   struct bitcask_inspect_cask *cask,
                                   struct bitcask_manifest *manifest)
{
    struct bitcask_buffer text = { 0 };
    struct bitcask_slice slice;
    struct bitcask_listing names = { 0 };
    enum bitcask_status status =
        look(io, directory, &text, &cask->manifest_exists, &names);

    if (status != BITCASK_OK)
        goto out;
    if (cask->manifest_exists) {
        slice.data = text.data != NULL ? text.data : "";
        slice.size = text.size;
        cask->manifest_size = text.size;
        (void)bitcask_manifest_checks(slice, &cask->manifest_check_stored,
                                      &cask->manifest_check_computed);
        status = bitcask_manifest_parse(manifest, slice);
        cask->manifest_intact = status == BITCASK_OK;
        if (status == BITCASK_CORRUPT || status == BITCASK_UNSUPPORTED) {
            bitcask_manifest_release(manifest);
            bitcask_manifest_init(manifest);
            status = BITCASK_OK;
        }
    }
    if (status == BITCASK_OK && cask->manifest_intact) {
        cask->next_id = manifest->next_id;
        cask->sequence = manifest->sequence;
        cask->key_count = manifest->key_count;
    }
    if (status == BITCASK_OK)
        status = join(manifest, &names, cask);

out:
    bitcask_listing_release(&names);
    bitcask_buffer_release(&text);
    return status;
}

enum bitcask_status bitcask_inspect_manifest(const char *directory,
                                             struct bitcask_inspect_cask *cask,
                                             struct bitcask_manifest *manifest)
{
    struct bitcask_io *io = bitcask_io_posix();
    bitcask_file file;
    enum bitcask_status status;

    bitcask_manifest_init(manifest);
    if (cask == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE,
                                     "the place for what is seen is NULL");
    memset(cask, 0, sizeof *cask);
    if (directory == NULL || directory[0] == '\0')
        return bitcask_fail_constant(BITCASK_MISUSE, "the directory is NULL or empty");
    status = io->directory_open(io, directory, &file);
    if (status == BITCASK_NOT_FOUND)
        return bitcask_fail(status, "%s: there is no such directory", directory);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "open the directory %s", directory);
    status = inspect(io, file, cask, manifest);
    io->close(io, file);
    if (status != BITCASK_OK)
        return bitcask_fail(status, "%s: %s", directory, bitcask_error_detail());
    return BITCASK_OK;
}

enum bitcask_status bitcask_inspect_directory(const char *directory,
                                              struct bitcask_inspect_cask *cask)
{
    struct bitcask_manifest manifest;
    enum bitcask_status status = bitcask_inspect_manifest(directory, cask, &manifest);

    bitcask_manifest_release(&manifest);
    return status;
}

void bitcask_inspect_cask_release(struct bitcask_inspect_cask *cask)
{
    free(cask->segments);
    memset(cask, 0, sizeof *cask);
}

const char *bitcask_inspect_state_text(enum bitcask_inspect_state state)
{
    switch (state) {
    case BITCASK_INSPECT_UNLISTED:
        break;
    case BITCASK_INSPECT_SEALED:
        return "sealed";
    case BITCASK_INSPECT_OPEN:
        return "open";
    case BITCASK_INSPECT_PREPARED:
        return "prepared";
    case BITCASK_INSPECT_DRAFT:
        return "draft";
    case BITCASK_INSPECT_RETIRED:
        return "retired";
    case BITCASK_INSPECT_QUARANTINED:
        return "quarantined";
    }
    return "unlisted";
}
