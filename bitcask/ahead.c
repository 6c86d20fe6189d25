/* SPDX-License-Identifier: MIT */
#include "bitcask/ahead.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"

enum {
    ENTRIES_SIZE_MAX =
        64 << 20, /* in memory, for one file: the rest waits for its turn */
    PIECE_SIZE = 1 << 20
};

/* Take @record in, unless it is one at which recovery would have to think. */
static enum bitcask_status take_record(struct bitcask_ahead_file *file,
                                       const struct bitcask_walk_record *record,
                                       bool *taken)
{
    const struct bitcask_record *header = &record->header;
    struct bitcask_hint_trailer *trailer = &file->entries.trailer;
    struct bitcask_hint_entry entry;

    *taken =
        record->value_intact &&
        (trailer->entry_count == 0 || header->sequence == trailer->last_sequence + 1) &&
        file->entries.bytes.size < ENTRIES_SIZE_MAX;
    if (!*taken)
        return BITCASK_OK;
    if (header->unsynced_count != UINT32_MAX &&
        header->sequence - header->unsynced_count - 1 > file->proven &&
        header->unsynced_count < header->sequence)
        file->proven = header->sequence - header->unsynced_count - 1;
    entry = bitcask_hint_entry_of(header, record->offset, record->key);
    return bitcask_hint_writer_add(&file->entries, &entry);
}

/*
 * Take in the records of @walk. A batch whose parts do not all go on by one, or of which
 * memory takes only some, leaves nothing behind: what counts ends before it.
 */
static enum bitcask_status walk_file(struct bitcask_ahead *ahead,
                                     struct bitcask_ahead_file *file,
                                     struct bitcask_walk *walk)
{
    struct bitcask_hint_writer *entries = &file->entries;
    struct bitcask_hint_trailer trailer = entries->trailer; /* up to what is covered */
    size_t size = entries->bytes.size;
    uint64_t proven = 0;
    enum bitcask_status status = BITCASK_OK;
    bool taken = true;

    while (status == BITCASK_OK && taken && !atomic_load(&ahead->stop)) {
        struct bitcask_walk_record record;

        status = bitcask_walk_next(walk, &record);
        if (status == BITCASK_OK)
            status = take_record(file, &record, &taken);
        if (status == BITCASK_OK && taken &&
            (walk->batch_end == 0 || walk->offset == walk->batch_end)) {
            file->covered = walk->offset;
            trailer = entries->trailer;
            size = entries->bytes.size;
            proven = file->proven;
        }
    }
    entries->trailer = trailer;
    entries->bytes.size = size;
    file->proven = proven;
    /* What ends it here, recovery meets again, and judges. */
    return status;
}

/* Whether there is any hint of @file: then that speaks for it, and proves something. */
static bool has_hint(const struct bitcask_ahead *ahead,
                     const struct bitcask_ahead_file *file)
{
    char name[BITCASK_NAME_SIZE];
    bitcask_file hint = BITCASK_NO_FILE;
    enum bitcask_status status;

    bitcask_hint_name(name, file->line.id);
    status = ahead->io->open(ahead->io, ahead->directory, name, BITCASK_IO_READ, &hint);
    if (status == BITCASK_OK)
        ahead->io->close(ahead->io, hint);
    return status != BITCASK_NOT_FOUND;
}

static void read_file(struct bitcask_ahead *ahead, struct bitcask_ahead_file *file)
{
    struct bitcask_walk walk = { 0 };
    bitcask_file data = BITCASK_NO_FILE;
    uint64_t size;
    bool torn;
    enum bitcask_status status = BITCASK_NOT_FOUND;

    file->done = true;
    if (!has_hint(ahead, file))
        status =
            bitcask_data_file_open(ahead->io, ahead->directory, file->line.id,
                                   file->line.salt, BITCASK_IO_READ, &data, &size, &torn);
    if (status != BITCASK_OK)
        return;
    status = bitcask_hint_writer_init(&file->entries, file->line.id, file->line.salt);
    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, ahead->io, data, file->line.id, file->line.salt,
                                   size);
    if (status == BITCASK_OK) {
        walk.check_values = true;
        (void)walk_file(ahead, file, &walk);
    }
    bitcask_walk_release(&walk);
    ahead->io->close(ahead->io, data);
}

/* Where begins what is not known to be synced, the header included. */
static uint64_t unproven_begin(const struct bitcask_ahead_file *file)
{
    return file->line.size < file->covered ? file->line.size : file->covered;
}

/* Write what was read of @file over itself, into *data, which is open then. */
static enum bitcask_status write_file(struct bitcask_ahead *ahead,
                                      const struct bitcask_ahead_file *file,
                                      uint8_t *bytes, bitcask_file *data)
{
    struct bitcask_io *io = ahead->io;
    uint64_t offset = unproven_begin(file);
    uint64_t size;
    bool torn;
    enum bitcask_status status =
        bitcask_data_file_open(io, ahead->directory, file->line.id, file->line.salt,
                               BITCASK_IO_WRITE, data, &size, &torn);

    if (status != BITCASK_OK)
        return status;
    while (offset < file->covered && !atomic_load(&ahead->stop)) {
        uint64_t rest = file->covered - offset;
        struct bitcask_slice part = { bytes, 0 };

        status = io->read(io, *data, offset, bytes,
                          rest < PIECE_SIZE ? (size_t)rest : PIECE_SIZE, &part.size);
        if (status == BITCASK_OK && part.size == 0)
            status = BITCASK_IO; /* shorter than a moment ago */
        if (status == BITCASK_OK)
            status = io->write(io, *data, offset, &part, 1);
        if (status != BITCASK_OK)
            return bitcask_fail_errno(status,
                                      "write the unsynced records of %010" PRIu64
                                      ".data again, offset %" PRIu64,
                                      file->line.id, offset);
        io->begin_sync(io, *data, offset, part.size);
        offset += part.size;
    }
    return BITCASK_OK;
}

/* Write all again that was read, and sync it. */
static enum bitcask_status write_files(struct bitcask_ahead *ahead, bitcask_file *datas,
                                       uint8_t *bytes)
{
    struct bitcask_io *io = ahead->io;
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < ahead->count && !atomic_load(&ahead->stop); i++) {
        struct bitcask_ahead_file *file = &ahead->files[i];

        read_file(ahead, file);
        if (unproven_begin(file) < file->covered)
            status = write_file(ahead, file, bytes, &datas[i]);
        if (status != BITCASK_OK)
            return status;
    }
    for (size_t i = 0; i < ahead->count && !atomic_load(&ahead->stop); i++) {
        struct bitcask_ahead_file *file = &ahead->files[i];

        if (datas[i] == BITCASK_NO_FILE)
            continue;
        status = io->sync(io, datas[i]);
        if (status != BITCASK_OK)
            return bitcask_fail_errno(status, "sync %010" PRIu64 ".data", file->line.id);
        file->synced_end = file->covered;
    }
    return BITCASK_OK;
}

static void *run(void *context)
{
    struct bitcask_ahead *ahead = context;
    bitcask_file *datas = malloc(ahead->count * sizeof *datas);
    uint8_t *bytes = malloc(PIECE_SIZE);

    for (size_t i = 0; i < ahead->count && datas != NULL; i++)
        datas[i] = BITCASK_NO_FILE;
    if (datas != NULL && bytes != NULL)
        ahead->status = write_files(ahead, datas, bytes);
    if (ahead->status != BITCASK_OK)
        (void)snprintf(ahead->detail, sizeof ahead->detail, "%s", bitcask_error_detail());
    for (size_t i = 0; i < ahead->count && datas != NULL; i++) {
        if (datas[i] != BITCASK_NO_FILE)
            ahead->io->close(ahead->io, datas[i]);
    }
    free(bytes);
    free(datas);
    return NULL;
}

enum bitcask_status bitcask_ahead_begin(struct bitcask_ahead *ahead,
                                        struct bitcask_io *io, bitcask_file directory,
                                        const struct bitcask_manifest *manifest,
                                        bool threaded)
{
    size_t count = manifest->segment_count > 0 ? manifest->segment_count : 1;
    sigset_t all, before;

    ahead->io = io;
    ahead->directory = directory;
    ahead->files = calloc(count, sizeof *ahead->files);
    if (ahead->files == NULL)
        return bitcask_fail_memory(count * sizeof *ahead->files);
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const struct bitcask_manifest_segment *line = &manifest->segments[i];

        if (line->state == BITCASK_MANIFEST_OPEN ||
            line->state == BITCASK_MANIFEST_PREPARED)
            ahead->files[ahead->count++].line = *line;
    }
    if (!threaded || ahead->count == 0)
        return BITCASK_OK;
    (void)sigfillset(&all); /* signals are the embedder's, not our threads' */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    ahead->started = pthread_create(&ahead->thread, NULL, run, ahead) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return BITCASK_OK;
}

enum bitcask_status bitcask_ahead_join(struct bitcask_ahead *ahead)
{
    if (ahead->started)
        (void)pthread_join(ahead->thread, NULL);
    ahead->started = false;
    return ahead->status == BITCASK_OK ? BITCASK_OK
                                       : bitcask_fail(ahead->status, "%s", ahead->detail);
}

struct bitcask_ahead_file *bitcask_ahead_find(struct bitcask_ahead *ahead, uint64_t id)
{
    for (size_t i = 0; i < ahead->count; i++) {
        struct bitcask_ahead_file *file = &ahead->files[i];

        if (file->line.id != id)
            continue;
        if (!file->done)
            read_file(ahead, file);
        return file->covered > 0 ? file : NULL;
    }
    return NULL;
}

void bitcask_ahead_release(struct bitcask_ahead *ahead)
{
    atomic_store(&ahead->stop, true);
    (void)bitcask_ahead_join(ahead);
    for (size_t i = 0; i < ahead->count; i++)
        bitcask_hint_writer_release(&ahead->files[i].entries);
    free(ahead->files);
    memset(ahead, 0, sizeof *ahead);
}
