/* SPDX-License-Identifier: MIT */
/*
 * The cursor over one file, for those who want to see everything that is in it.
 */
#include "bitcask/inspector.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/bytes.h"
#include "bitcask/file_name.h"
#include "bitcask/identity.h"
#include "bitcask/scan.h"
#include "bitcask/status.h"

enum {
    HINT_STRETCH = 256 << 10, /* bytes of a hint that are read at once */
    HINT_ENTRY_MAX = BITCASK_HINT_ENTRY_SIZE + 8 + BITCASK_KEY_SIZE_MAX
};

struct bitcask_inspector {
    struct bitcask_io *io;
    bitcask_file directory;
    bitcask_file file;
    uint64_t name_id; /* by the name; 0: it says nothing */
    uint64_t size;    /* as far as items are looked for */
    struct bitcask_inspect_header header;
    struct bitcask_scan scan;    /* of a data file */
    struct bitcask_buffer bytes; /* of a hint, from hint_begin on */
    uint64_t hint_begin;
    uint64_t hint_offset;   /* of the next entry */
    uint64_t damage_offset; /* where that begins after which nothing was whole, or 0 */
    uint64_t zeros_offset;  /* and the zeros that reach to the end, or 0 */
};

/* Open the directory of @path, and the file in it. */
static enum bitcask_status open_file(struct bitcask_inspector *inspector,
                                     const char *path)
{
    struct bitcask_io *io = inspector->io;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char *directory;
    bitcask_file opened;
    enum bitcask_status status;

    if (io->directory_open(io, path, &opened) == BITCASK_OK) {
        io->close(io, opened);
        return bitcask_fail(BITCASK_MISUSE, "%s is a directory", path);
    }
    directory = slash == NULL   ? strdup(".")
                : slash == path ? strdup("/")
                                : strndup(path, (size_t)(slash - path));
    if (directory == NULL)
        return bitcask_fail_memory(strlen(path));
    status = io->directory_open(io, directory, &inspector->directory);
    free(directory);
    if (status == BITCASK_OK)
        status =
            io->open(io, inspector->directory, name, BITCASK_IO_READ, &inspector->file);
    if (status == BITCASK_NOT_FOUND)
        return bitcask_fail(status, "%s: there is no such file", path);
    if (status == BITCASK_OK)
        status = io->size(io, inspector->file, &inspector->size);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "open %s", path);
    return BITCASK_OK;
}

static enum bitcask_status read_at(struct bitcask_inspector *inspector, uint64_t offset,
                                   void *data, size_t size, size_t *got)
{
    struct bitcask_io *io = inspector->io;
    enum bitcask_status status = io->read(io, inspector->file, offset, data, size, got);

    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "read at offset %" PRIu64, offset);
    return status;
}

/* What kind of file it is: by its first bytes, else by its @name. */
static enum bitcask_inspect_file kind_of(const struct bitcask_inspector *inspector,
                                         const char *name, const uint8_t *bytes,
                                         size_t size)
{
    static const char manifest[] = "bitcask manifest ";
    uint64_t ignored;

    (void)inspector;
    if (size >= 8 && memcmp(bytes, "BITCASKD", 8) == 0)
        return BITCASK_INSPECT_DATA;
    if (size >= 8 && memcmp(bytes, "BITCASKH", 8) == 0)
        return BITCASK_INSPECT_HINT;
    if (size >= sizeof manifest - 1 && memcmp(bytes, manifest, sizeof manifest - 1) == 0)
        return BITCASK_INSPECT_MANIFEST;
    switch (bitcask_name_parse(name, &ignored)) {
    case BITCASK_NAME_DATA:
        return BITCASK_INSPECT_DATA;
    case BITCASK_NAME_HINT:
        return BITCASK_INSPECT_HINT;
    case BITCASK_NAME_MANIFEST:
        return BITCASK_INSPECT_MANIFEST;
    default:
        return BITCASK_INSPECT_OTHER;
    }
}

/* The 64 bytes of a file header, as they stand. */
static void take_start(struct bitcask_inspector *inspector, const uint8_t *bytes)
{
    struct bitcask_inspect_header *header = &inspector->header;
    struct bitcask_file_header ignored;

    memcpy(header->magic, bytes, sizeof header->magic);
    header->version = bitcask_load32(bytes + 8);
    header->features = bitcask_load32(bytes + 12);
    header->segment_id = bitcask_load64(bytes + 16);
    header->salt = bitcask_load64(bytes + 24);
    header->created_ms = bitcask_load64(bytes + 32);
    header->check_stored = bitcask_load32(bytes + 60);
    header->check_computed = bitcask_check(0, bytes, 60);
    header->intact = bitcask_file_header_decode(bytes,
                                                header->file == BITCASK_INSPECT_HINT
                                                    ? BITCASK_FILE_HINT
                                                    : BITCASK_FILE_DATA,
                                                &ignored) == BITCASK_OK;
}

/* Find the salt of a data file, and get ready for its records. */
static enum bitcask_status begin_data(struct bitcask_inspector *inspector, uint64_t salt)
{
    struct bitcask_inspect_header *header = &inspector->header;
    struct bitcask_identity identity = { .known = salt != 0, .salt = salt };
    enum bitcask_status status = BITCASK_OK;

    if (salt == 0) {
        struct bitcask_manifest manifest;

        bitcask_manifest_init(&manifest);
        if (!header->intact &&
            bitcask_manifest_read(&manifest, inspector->io, inspector->directory) !=
                BITCASK_OK) {
            bitcask_manifest_release(&manifest);
            bitcask_manifest_init(&manifest);
        }
        status = bitcask_identify(inspector->io, inspector->directory, inspector->name_id,
                                  inspector->file, inspector->size, &manifest, &identity);
        bitcask_manifest_release(&manifest);
    }
    if (status != BITCASK_OK && status != BITCASK_IO)
        return status;
    header->salt_found = identity.known;
    header->record_salt = identity.salt;
    return bitcask_scan_init(&inspector->scan, inspector->io, inspector->file,
                             header->intact ? header->segment_id : inspector->name_id,
                             identity.salt, inspector->size);
}

/* Check a hint from its first byte to its last, and read its trailer. */
static enum bitcask_status begin_hint(struct bitcask_inspector *inspector)
{
    struct bitcask_inspect_header *header = &inspector->header;
    uint8_t bytes[BITCASK_HINT_TRAILER_SIZE];
    struct bitcask_hint_trailer trailer;
    uint64_t end;
    uint64_t offset = 0;
    uint32_t check = 0;
    size_t got;
    enum bitcask_status status;

    inspector->hint_offset = BITCASK_FILE_HEADER_SIZE;
    if (inspector->size < BITCASK_FILE_HEADER_SIZE + BITCASK_HINT_TRAILER_SIZE)
        return BITCASK_OK;
    end = inspector->size - BITCASK_HINT_TRAILER_SIZE;
    status = bitcask_buffer_reserve(&inspector->bytes, HINT_STRETCH);
    while (offset < end && status == BITCASK_OK) {
        size_t piece =
            end - offset < HINT_STRETCH ? (size_t)(end - offset) : HINT_STRETCH;

        status = read_at(inspector, offset, inspector->bytes.data, piece, &got);
        if (status == BITCASK_OK && got == 0)
            return BITCASK_OK; /* it became shorter */
        check = bitcask_check(check, inspector->bytes.data, got);
        offset += got;
    }
    if (status == BITCASK_OK)
        status = read_at(inspector, end, bytes, sizeof bytes, &got);
    if (status != BITCASK_OK)
        return status == BITCASK_IO ? BITCASK_OK : status; /* items will tell */
    if (got < sizeof bytes)
        return BITCASK_OK;

    bitcask_hint_trailer_read(bytes, &trailer);
    header->trailer_check_stored = bitcask_load32(bytes + 44);
    header->trailer_check_computed = bitcask_check(check, bytes, 44);
    header->trailer_intact = header->intact && bitcask_hint_trailer_decode(
                                                   bytes, check, &trailer) == BITCASK_OK;
    header->entry_count = trailer.entry_count;
    header->tombstone_count = trailer.tombstone_count;
    header->first_sequence = trailer.first_sequence;
    header->last_sequence = trailer.last_sequence;
    header->data_size = trailer.data_size;
    return BITCASK_OK;
}

static enum bitcask_status begin(struct bitcask_inspector *inspector, const char *path,
                                 uint64_t salt)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE] = { 0 };
    enum bitcask_name_kind kind;
    size_t got = 0;
    enum bitcask_status status = open_file(inspector, path);

    if (status != BITCASK_OK)
        return status;
    kind = bitcask_name_parse(name, &inspector->name_id);
    if (kind != BITCASK_NAME_DATA && kind != BITCASK_NAME_HINT)
        inspector->name_id = 0;
    status = read_at(inspector, 0, bytes, sizeof bytes, &got);
    if (status != BITCASK_OK && status != BITCASK_IO)
        return status;
    inspector->header.file = kind_of(inspector, name, bytes, got);
    inspector->header.file_size = inspector->size;
    if (inspector->header.file == BITCASK_INSPECT_DATA ||
        inspector->header.file == BITCASK_INSPECT_HINT)
        take_start(inspector, bytes);
    if (inspector->header.file == BITCASK_INSPECT_DATA)
        return begin_data(inspector, salt);
    if (inspector->header.file == BITCASK_INSPECT_HINT)
        return begin_hint(inspector);
    return BITCASK_OK;
}

enum bitcask_status bitcask_inspector_open_with(struct bitcask_io *io,
                                                struct bitcask_inspector **out,
                                                const char *path, uint64_t salt)
{
    struct bitcask_inspector *inspector;
    enum bitcask_status status;

    if (out == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE,
                                     "the place for the inspector is NULL");
    *out = NULL;
    if (path == NULL || path[0] == '\0')
        return bitcask_fail_constant(BITCASK_MISUSE, "the path is NULL or empty");
    inspector = calloc(1, sizeof *inspector);
    if (inspector == NULL)
        return bitcask_fail_memory(sizeof *inspector);
    inspector->io = io;
    inspector->directory = BITCASK_NO_FILE;
    inspector->file = BITCASK_NO_FILE;
    status = begin(inspector, path, salt);
    if (status != BITCASK_OK) {
        bitcask_inspector_close(inspector);
        return status;
    }
    *out = inspector;
    return BITCASK_OK;
}

enum bitcask_status bitcask_inspector_open(struct bitcask_inspector **out,
                                           const char *path, uint64_t salt)
{
    return bitcask_inspector_open_with(bitcask_io_posix(), out, path, salt);
}

void bitcask_inspector_close(struct bitcask_inspector *inspector)
{
    if (inspector == NULL)
        return;
    bitcask_scan_release(&inspector->scan);
    bitcask_buffer_release(&inspector->bytes);
    if (inspector->file != BITCASK_NO_FILE)
        inspector->io->close(inspector->io, inspector->file);
    if (inspector->directory != BITCASK_NO_FILE)
        inspector->io->close(inspector->io, inspector->directory);
    free(inspector);
}

const struct bitcask_inspect_header *bitcask_inspector_header(
    const struct bitcask_inspector *inspector)
{
    return &inspector->header;
}

void bitcask_inspector_seek(struct bitcask_inspector *inspector, uint64_t offset)
{
    inspector->damage_offset = 0;
    inspector->zeros_offset = 0;
    if (inspector->header.file == BITCASK_INSPECT_DATA)
        bitcask_scan_seek(&inspector->scan, offset);
    inspector->hint_offset = BITCASK_FILE_HEADER_SIZE;
    while (inspector->header.file == BITCASK_INSPECT_HINT &&
           inspector->hint_offset < offset) {
        struct bitcask_inspect_item item;

        if (bitcask_inspector_next(inspector, &item) != BITCASK_OK)
            break;
        if (item.offset >= offset) {
            inspector->hint_offset = item.offset;
            break;
        }
    }
}

enum bitcask_status bitcask_inspector_read(struct bitcask_inspector *inspector,
                                           uint64_t offset, void *data, size_t size,
                                           size_t *got)
{
    return read_at(inspector, offset, data, size, got);
}

static void show_record(const struct bitcask_scan_item *found,
                        struct bitcask_inspect_item *item)
{
    item->kind = found->kind;
    item->offset = found->offset;
    item->record_offset = found->offset;
    item->size = found->size;
    item->record_size = found->size;
    item->in_batch = found->batch_offset != 0;
    item->batch_offset = found->batch_offset;
    item->batch_intact = found->batch_intact;
    item->zeros = found->zeros;
    if (found->kind == BITCASK_INSPECT_DAMAGE)
        return;
    item->expires = (found->header.flags & BITCASK_RECORD_EXPIRES) != 0;
    item->key_intact = found->key_intact;
    item->value_intact = found->value_intact;
    item->record_size = bitcask_record_size(&found->header);
    item->sequence = found->header.sequence;
    item->unsynced_count = found->header.unsynced_count;
    item->expiry_ms = found->header.expiry_ms;
    item->value_offset = found->offset + bitcask_record_prefix_size(&found->header) +
                         found->header.key_size;
    item->value_size = found->header.value_size;
    item->key_check_stored = found->key_check_stored;
    item->key_check_computed = found->key_check_computed;
    item->value_check_stored = found->header.value_check;
    item->value_check_computed = found->value_check_computed;
    item->key = found->key;
}

static bool is_bad(const struct bitcask_scan_item *item)
{
    return item->kind == BITCASK_INSPECT_DAMAGE || !item->key_intact ||
           !item->value_intact;
}

/* Begin the scan again at @offset, where a record is expected. */
static enum bitcask_status begin_again(struct bitcask_inspector *inspector,
                                       uint64_t offset)
{
    struct bitcask_scan *scan = &inspector->scan;
    uint64_t salt = scan->walk.salt;
    uint64_t id = scan->walk.segment_id;
    enum bitcask_status status;

    bitcask_scan_release(scan);
    status = bitcask_scan_init(scan, inspector->io, inspector->file, id, salt,
                               inspector->size);
    if (status == BITCASK_OK && offset > BITCASK_FILE_HEADER_SIZE)
        scan->walk.offset = offset; /* no seek: a record is expected right there */
    return status;
}

/*
 * At the end of a file that has not grown: a writer may have put a record where there was
 * none, in space that was set aside. If so, *found is it.
 */
static enum bitcask_status look_again(struct bitcask_inspector *inspector,
                                      struct bitcask_scan_item *found)
{
    uint64_t offset = inspector->zeros_offset;
    bool unused = true;
    enum bitcask_status status = BITCASK_OK;

    if (inspector->damage_offset == 0)
        return BITCASK_NOT_FOUND;
    if (offset != 0 && inspector->size - offset >= BITCASK_RECORD_HEADER_SIZE)
        status = bitcask_data_file_is_unused(
            inspector->io, inspector->file, inspector->name_id, offset,
            offset + BITCASK_RECORD_HEADER_SIZE, &unused);
    if (status == BITCASK_OK)
        status = begin_again(inspector, inspector->damage_offset);
    inspector->zeros_offset = 0;
    if (status == BITCASK_OK)
        status = bitcask_scan_next(&inspector->scan, found);
    if (status == BITCASK_OK && unused && is_bad(found)) {
        inspector->zeros_offset = offset;
        inspector->scan.walk.offset = inspector->size;
        inspector->scan.batch_offset = 0;
        status = BITCASK_NOT_FOUND;
    }
    return status;
}

/* At the end: has the file grown? Then what is there is looked at afresh. */
static enum bitcask_status take_growth(struct bitcask_inspector *inspector,
                                       struct bitcask_scan_item *found)
{
    struct bitcask_io *io = inspector->io;
    uint64_t offset = inspector->damage_offset != 0 ? inspector->damage_offset
                                                    : inspector->scan.walk.offset;
    uint64_t size;
    enum bitcask_status status = io->size(io, inspector->file, &size);

    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "look how large the file is");
    if (size <= inspector->size)
        return look_again(inspector, found);
    inspector->size = size;
    inspector->damage_offset = 0;
    status = begin_again(inspector, offset);
    return status == BITCASK_OK ? bitcask_scan_next(&inspector->scan, found) : status;
}

static enum bitcask_status next_record(struct bitcask_inspector *inspector,
                                       struct bitcask_inspect_item *item)
{
    struct bitcask_scan_item found;
    enum bitcask_status status = bitcask_scan_next(&inspector->scan, &found);

    if (status == BITCASK_NOT_FOUND)
        status = take_growth(inspector, &found);
    if (status == BITCASK_CORRUPT) /* it became shorter */
        return BITCASK_NOT_FOUND;
    if (status != BITCASK_OK)
        return status;
    show_record(&found, item);
    /* A writer may be in the middle of it. */
    if (found.batch_offset == 0 && !is_bad(&found))
        inspector->damage_offset = 0;
    else if (found.batch_offset == 0 && inspector->damage_offset == 0)
        inspector->damage_offset = found.offset;
    inspector->zeros_offset = found.zeros ? found.offset : 0;
    return BITCASK_OK;
}

/* Have the entry at hint_offset in the bytes, as far as it is there. */
static enum bitcask_status fill_hint(struct bitcask_inspector *inspector, uint64_t end)
{
    uint64_t offset = inspector->hint_offset;
    size_t wanted = end - offset < HINT_STRETCH ? (size_t)(end - offset) : HINT_STRETCH;
    size_t got = 0;
    enum bitcask_status status;

    if (offset >= inspector->hint_begin &&
        inspector->hint_begin + inspector->bytes.size >= offset + HINT_ENTRY_MAX)
        return BITCASK_OK;
    if (offset >= inspector->hint_begin && inspector->bytes.size > 0 &&
        inspector->hint_begin + inspector->bytes.size == end)
        return BITCASK_OK;
    inspector->bytes.size = 0;
    status = read_at(inspector, offset, inspector->bytes.data, wanted, &got);
    inspector->hint_begin = offset;
    inspector->bytes.size = got;
    return status;
}

static enum bitcask_status next_entry(struct bitcask_inspector *inspector,
                                      struct bitcask_inspect_item *item)
{
    uint64_t offset = inspector->hint_offset;
    struct bitcask_hint_entry entry;
    uint64_t end, key_offset;
    const uint8_t *bytes;
    size_t skipped;
    enum bitcask_status status;

    if (inspector->size < BITCASK_FILE_HEADER_SIZE + BITCASK_HINT_TRAILER_SIZE)
        return BITCASK_NOT_FOUND;
    end = inspector->size - BITCASK_HINT_TRAILER_SIZE;
    if (offset >= end)
        return BITCASK_NOT_FOUND;
    status = fill_hint(inspector, end);
    if (status != BITCASK_OK) {
        inspector->hint_offset = end;
        return status;
    }
    skipped = (size_t)(offset - inspector->hint_begin);
    bytes = (const uint8_t *)inspector->bytes.data + skipped;
    item->offset = offset;
    if (bitcask_hint_entry_decode(bytes, inspector->bytes.size - skipped, &entry) !=
        BITCASK_OK) {
        item->kind = BITCASK_INSPECT_DAMAGE;
        item->size = end - offset;
        inspector->hint_offset = end;
        return BITCASK_OK;
    }
    key_offset = bitcask_hint_entry_size(&entry) - entry.key.size;
    item->kind = (enum bitcask_inspect_kind)entry.kind;
    item->expires = (entry.flags & BITCASK_RECORD_EXPIRES) != 0;
    item->key_intact = inspector->header.trailer_intact;
    item->value_intact = true;
    item->batch_intact = true;
    item->size = key_offset + entry.key.size;
    item->record_offset = entry.offset;
    item->value_offset =
        entry.offset +
        (item->expires ? BITCASK_RECORD_PREFIX_MAX : BITCASK_RECORD_HEADER_SIZE) +
        entry.key.size;
    item->value_size = entry.value_size;
    item->record_size = item->value_offset - entry.offset + entry.value_size;
    item->sequence = entry.sequence;
    item->expiry_ms = entry.expiry_ms;
    item->key = entry.key;
    inspector->hint_offset += item->size;
    return BITCASK_OK;
}

enum bitcask_status bitcask_inspector_next(struct bitcask_inspector *inspector,
                                           struct bitcask_inspect_item *item)
{
    memset(item, 0, sizeof *item);
    if (inspector->header.file == BITCASK_INSPECT_DATA)
        return next_record(inspector, item);
    if (inspector->header.file == BITCASK_INSPECT_HINT)
        return next_entry(inspector, item);
    return BITCASK_NOT_FOUND;
}
