/* SPDX-License-Identifier: MIT */
#include "bitcask/directory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "bitcask/format.h"
#include "bitcask/status.h"

static enum bitcask_status list_name(const char *name, void *context)
{
    struct bitcask_listing *listing = context;
    uint64_t id;

    switch (bitcask_name_parse(name, &id)) {
    case BITCASK_NAME_MANIFEST:
        listing->manifest = true;
        break;
    case BITCASK_NAME_DATA:
        return bitcask_buffer_append(&listing->data_ids, &id, sizeof id);
    case BITCASK_NAME_HINT:
        return bitcask_buffer_append(&listing->hint_ids, &id, sizeof id);
    case BITCASK_NAME_FOREIGN:
        /* An empty file system has this in its root. */
        listing->foreign = listing->foreign || strcmp(name, "lost+found") != 0;
        break;
    case BITCASK_NAME_LOCK:
    case BITCASK_NAME_RESERVE:
    case BITCASK_NAME_QUARANTINE: /* nothing in it is part of the cask */
    case BITCASK_NAME_TEMPORARY:
        break;
    }
    return BITCASK_OK;
}

void bitcask_listing_release(struct bitcask_listing *listing)
{
    bitcask_buffer_release(&listing->data_ids);
    bitcask_buffer_release(&listing->hint_ids);
}

enum bitcask_status bitcask_directory_list(struct bitcask_io *io, bitcask_file directory,
                                           struct bitcask_listing *listing)
{
    enum bitcask_status status;

    memset(listing, 0, sizeof *listing);
    status = io->directory_list(io, directory, list_name, listing);
    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "list the directory");
    return status;
}

/* The size of the file of @name: 0 if there is none. */
static enum bitcask_status size_of_file(struct bitcask *cask, const char *name,
                                        uint64_t *size)
{
    bitcask_file file;
    enum bitcask_status status =
        cask->io->open(cask->io, cask->directory, name, BITCASK_IO_READ, &file);

    *size = 0;
    if (status == BITCASK_NOT_FOUND)
        return BITCASK_OK;
    if (status == BITCASK_OK) {
        status = cask->io->size(cask->io, file, size);
        cask->io->close(cask->io, file);
    }
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "look at %s", name);
    return BITCASK_OK;
}

/* Whether a file of @name says that there was a record once: it is larger than @size. */
static enum bitcask_status is_larger(struct bitcask *cask, const char *name,
                                     uint64_t size, bool *larger)
{
    uint64_t file_size;
    enum bitcask_status status = size_of_file(cask, name, &file_size);

    if (status == BITCASK_OK)
        *larger = *larger || file_size > size;
    return status;
}

enum bitcask_status bitcask_directory_check_unused(struct bitcask *cask,
                                                   const struct bitcask_listing *listing)
{
    const uint64_t *data_ids = listing->data_ids.data;
    const uint64_t *hint_ids = listing->hint_ids.data;
    char name[BITCASK_NAME_SIZE];
    bool used = false;
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < listing->data_ids.size / sizeof *data_ids; i++) {
        bitcask_data_name(name, data_ids[i]);
        if (status == BITCASK_OK)
            status = is_larger(cask, name, BITCASK_FILE_HEADER_SIZE, &used);
    }
    for (size_t i = 0; i < listing->hint_ids.size / sizeof *hint_ids; i++) {
        bitcask_hint_name(name, hint_ids[i]);
        if (status == BITCASK_OK)
            status = is_larger(
                cask, name, BITCASK_FILE_HEADER_SIZE + BITCASK_HINT_TRAILER_SIZE, &used);
    }
    if (status != BITCASK_OK)
        return status;
    if (used && cask->options.salvage)
        return BITCASK_OK;
    if (used)
        return bitcask_fail(
            BITCASK_CORRUPT, BITCASK_MANIFEST_NAME
            " is missing, though there are records; " BITCASK_DAMAGE_ADVICE);
    if (listing->foreign)
        return bitcask_fail_constant(BITCASK_MISUSE,
                                     "the directory holds files that are not a cask's: "
                                     "choose an empty or a new one");
    if (cask->options.read_only || cask->options.must_exist)
        return bitcask_fail_constant(BITCASK_NOT_FOUND,
                                     "there is no cask in the directory");
    return BITCASK_OK;
}

enum bitcask_status bitcask_listing_check(struct bitcask *cask,
                                          const struct bitcask_listing *listing,
                                          const struct bitcask_manifest *manifest)
{
    const uint64_t *ids = listing->data_ids.data;

    for (size_t i = 0; i < listing->data_ids.size / sizeof *ids; i++) {
        if (bitcask_manifest_find(manifest, ids[i]) != NULL)
            continue;
        if (!cask->options.salvage)
            return bitcask_fail(
                BITCASK_CORRUPT,
                "%010" PRIu64 ".data is not listed in MANIFEST: put the "
                "MANIFEST back that belongs to it, or move the file out if "
                "it is not of this cask, or run bitcask repair",
                ids[i]);
        atomic_fetch_add(&cask->damage_count, 1);
    }
    return BITCASK_OK;
}

enum bitcask_status bitcask_directory_open(struct bitcask *cask, const char *path)
{
    struct bitcask_io *io = cask->io;
    bool create = !cask->options.read_only && !cask->options.must_exist;
    enum bitcask_status status = io->directory_open(io, path, &cask->directory);

    if (status == BITCASK_NOT_FOUND && create) {
        status = io->directory_create(io, path);
        if (status == BITCASK_NOT_FOUND)
            return bitcask_fail_errno(BITCASK_IO,
                                      "create the directory: create its parent first");
        if (status != BITCASK_OK)
            return bitcask_fail_errno(status, "create the directory");
        cask->created = true;
        status = io->directory_open(io, path, &cask->directory);
    }
    if (status == BITCASK_NOT_FOUND)
        return bitcask_fail(status, "there is no such directory");
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "open the directory");
    return BITCASK_OK;
}

/* The holder's process id, if it wrote one: for people, nothing depends on it. */
static enum bitcask_status report_holder(struct bitcask_io *io, bitcask_file file)
{
    char pid[24] = "";
    size_t size = 0;

    if (io->read(io, file, 0, pid, sizeof pid - 1, &size) != BITCASK_OK)
        size = 0;
    pid[size] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    if (pid[0] == '\0')
        return bitcask_fail_constant(BITCASK_LOCKED,
                                     "another opener is writing this cask: wait until it "
                                     "closes it, or open it read-only");
    return bitcask_fail(BITCASK_LOCKED,
                        "process %s is writing this cask: wait until it closes it, or "
                        "open it read-only",
                        pid);
}

enum bitcask_status bitcask_directory_lock(struct bitcask_io *io, bitcask_file directory,
                                           bitcask_file *lock)
{
    bitcask_file file = BITCASK_NO_FILE;
    struct bitcask_slice part;
    char pid[24];
    enum bitcask_status status;

    status = io->open(io, directory, BITCASK_LOCK_NAME, BITCASK_IO_LOCK, &file);
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "open " BITCASK_LOCK_NAME);
    status = io->lock(io, file);
    if (status == BITCASK_LOCKED)
        report_holder(io, file);
    else if (status != BITCASK_OK)
        bitcask_fail_errno(status, "lock " BITCASK_LOCK_NAME);
    if (status != BITCASK_OK) {
        io->close(io, file);
        return status;
    }

    /* The lock is held; a pid that cannot be written, on a full disk, is no failure. */
    (void)snprintf(pid, sizeof pid, "%" PRIu64 "\n", io->process_id(io));
    part = bitcask_text(pid);
    if (io->truncate(io, file, 0) == BITCASK_OK)
        (void)io->write(io, file, 0, &part, 1);
    *lock = file;
    return BITCASK_OK;
}

void bitcask_directory_unlock(struct bitcask_io *io, bitcask_file lock)
{
    if (lock == BITCASK_NO_FILE)
        return;
    io->unlock(io, lock);
    io->close(io, lock);
}

enum bitcask_status bitcask_directory_clear(struct bitcask *cask,
                                            const struct bitcask_listing *listing)
{
    const uint64_t *ids = listing->data_ids.data;

    for (size_t i = 0; i < listing->data_ids.size / sizeof *ids; i++) {
        char name[BITCASK_NAME_SIZE];
        uint64_t size;
        enum bitcask_status status;

        bitcask_data_name(name, ids[i]);
        status = size_of_file(cask, name, &size);
        if (status != BITCASK_OK)
            return status;
        cask->cut_count += size > 0;
        cask->cut_size += size;
        status = cask->io->remove(cask->io, cask->directory, name);
        if (status != BITCASK_OK && status != BITCASK_NOT_FOUND)
            return bitcask_fail_errno(status, "remove %s", name);
    }
    return BITCASK_OK;
}

static int compare_ids(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

static void sort_ids(struct bitcask_buffer *ids)
{
    if (ids->size > 0)
        qsort(ids->data, ids->size / sizeof(uint64_t), sizeof(uint64_t), compare_ids);
}

void bitcask_listing_sort(struct bitcask_listing *listing)
{
    sort_ids(&listing->data_ids);
    sort_ids(&listing->hint_ids);
}

bool bitcask_listing_has(const struct bitcask_buffer *ids, uint64_t id)
{
    return ids->size > 0 && bsearch(&id, ids->data, ids->size / sizeof(uint64_t),
                                    sizeof(uint64_t), compare_ids) != NULL;
}

/* Read the header of data file @id. BITCASK_CORRUPT: there is none to go by. */
static enum bitcask_status read_header(struct bitcask *cask, uint64_t id,
                                       struct bitcask_file_header *header)
{
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];
    bitcask_file file;
    uint64_t size;
    size_t got = 0;
    enum bitcask_status status = bitcask_data_file_open_unchecked(
        cask->io, cask->directory, id, BITCASK_IO_READ, &file, &size);

    if (status != BITCASK_OK)
        return status == BITCASK_NOT_FOUND ? BITCASK_CORRUPT : status;
    status = cask->io->read(cask->io, file, 0, bytes, sizeof bytes, &got);
    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "read the header of %010" PRIu64 ".data", id);
    else if (got < sizeof bytes)
        status = BITCASK_CORRUPT;
    else
        status = bitcask_file_header_decode(bytes, BITCASK_FILE_DATA, header);
    cask->io->close(cask->io, file);
    return status;
}

enum bitcask_status bitcask_listing_salvage(struct bitcask *cask,
                                            struct bitcask_listing *listing,
                                            struct bitcask_manifest *manifest)
{
    uint64_t *ids = listing->data_ids.data;
    size_t count = listing->data_ids.size / sizeof *ids;

    atomic_fetch_add(&cask->damage_count, 1);
    bitcask_manifest_release(manifest);
    bitcask_manifest_init(manifest);
    sort_ids(&listing->data_ids);
    for (size_t i = 0; i < count; i++) {
        struct bitcask_manifest_segment segment = { .state = BITCASK_MANIFEST_PREPARED,
                                                    .id = ids[i] };
        struct bitcask_file_header header;
        enum bitcask_status status = read_header(cask, ids[i], &header);

        if (status == BITCASK_CORRUPT ||
            (status == BITCASK_OK && header.segment_id != ids[i])) {
            atomic_fetch_add(&cask->damage_count, 1);
            continue;
        }
        segment.salt = header.salt;
        if (status == BITCASK_OK)
            status = bitcask_manifest_add(manifest, &segment);
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}
