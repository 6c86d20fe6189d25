/* SPDX-License-Identifier: MIT */
/*
 * Recovery, the second half: what is accepted is made durable, the rest is cut.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "bitcask/chain.h"
#include "bitcask/data_file.h"
#include "bitcask/status.h"
#include "hint/hint.h"

static enum bitcask_status sync_directory(struct bitcask *cask)
{
    enum bitcask_status status = cask->io->directory_sync(cask->io, cask->directory);

    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "sync the directory after recovery");
    return BITCASK_OK;
}

bool bitcask_chain_keeps(const struct bitcask_chain *chain,
                         const struct bitcask_link *link)
{
    return link->segment != NULL && (size_t)(link - chain->links) <= chain->end &&
           link->kept_size > BITCASK_FILE_HEADER_SIZE;
}

/* Newest first, so that history never has a hole, wherever this is interrupted. */
static enum bitcask_status remove_what_is_behind(struct bitcask_chain *chain)
{
    bool removed = false;

    for (size_t i = chain->count; i-- > 0;) {
        struct bitcask_link *link = &chain->links[i];
        enum bitcask_status status;

        /* Of a file that is gone the hint may have come back with the power. */
        if (bitcask_chain_keeps(chain, link))
            continue;
        status = bitcask_commit_remove_files(chain->cask->io, chain->cask->directory,
                                             link->line.id);
        if (status != BITCASK_OK)
            return status;
        removed = removed || link->exists;
    }
    return removed ? sync_directory(chain->cask) : BITCASK_OK;
}

/* Write the bytes from @offset to @end of @file over themselves. */
static enum bitcask_status rewrite(struct bitcask_io *io, bitcask_file file,
                                   uint64_t offset, uint64_t end)
{
    enum {
        PIECE_SIZE = 1 << 20
    };
    uint8_t *bytes = malloc(PIECE_SIZE);
    enum bitcask_status status = BITCASK_OK;

    if (bytes == NULL)
        return bitcask_fail_memory(PIECE_SIZE);
    while (offset < end && status == BITCASK_OK) {
        size_t wanted = end - offset < PIECE_SIZE ? (size_t)(end - offset) : PIECE_SIZE;
        struct bitcask_slice part = { bytes, 0 };

        status = io->read(io, file, offset, bytes, wanted, &part.size);
        if (status == BITCASK_OK && part.size == 0)
            break; /* shorter than a moment ago: the next open will tell */
        if (status == BITCASK_OK)
            status = io->write(io, file, offset, &part, 1);
        offset += part.size;
    }
    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "write the unsynced records again, offset %" PRIu64,
                           offset);
    free(bytes);
    return status;
}

enum bitcask_status bitcask_chain_settle_file(struct bitcask_io *io,
                                              bitcask_file directory, uint64_t id,
                                              uint64_t salt, uint64_t offset,
                                              uint64_t end)
{
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t size;
    bool torn;
    enum bitcask_status status;

    status = bitcask_data_file_open(io, directory, id, salt, BITCASK_IO_WRITE, &file,
                                    &size, &torn);
    if (status != BITCASK_OK)
        return status;
    if (offset < end)
        status = rewrite(io, file, offset, end);
    if (status == BITCASK_OK && size > end) {
        status = io->truncate(io, file, end);
        if (status != BITCASK_OK)
            bitcask_fail_errno(status, "cut %010" PRIu64 ".data at %" PRIu64, id, end);
    }
    if (status == BITCASK_OK) {
        status = io->sync(io, file);
        if (status != BITCASK_OK)
            bitcask_fail_errno(status, "sync %010" PRIu64 ".data", id);
    }
    io->close(io, file);
    return status;
}

/* Make what is kept of @link durable, and cut the rest off. */
static enum bitcask_status settle(struct bitcask_chain *chain, struct bitcask_link *link)
{
    struct bitcask *cask = chain->cask;
    uint64_t offset = link->proven_size;
    enum bitcask_status status;

    if (link->file_size > link->kept_size &&
        (link->segment->hint_size == 0 || link->segment->hint_size > link->kept_size)) {
        /* The hint first: one that reached past the cut would speak for other bytes. */
        status = bitcask_hint_remove(cask->io, cask->directory, link->line.id);
        if (status == BITCASK_OK)
            status = sync_directory(cask);
        if (status != BITCASK_OK)
            return status;
        link->segment->hint_size = 0;
    }
    if (link->proven_size < link->kept_size)
        cask->recovered_size += link->kept_size - link->proven_size;
    if (link->synced_end > offset) /* and so is all from proven_size on */
        offset = link->synced_end < link->kept_size ? link->synced_end : link->kept_size;
    if (link->synced_end >= link->kept_size && link->file_size == link->kept_size)
        return BITCASK_OK;
    return bitcask_chain_settle_file(cask->io, cask->directory, link->line.id,
                                     link->line.salt, offset, link->kept_size);
}

enum bitcask_status bitcask_chain_cut_sealed(struct bitcask *cask)
{
    uint32_t count = atomic_load(&cask->segments.count);

    for (uint32_t i = 0; i < count; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(&cask->segments, i);
        uint64_t end = atomic_load(&segment->data_size);
        enum bitcask_status status;

        if (!atomic_load(&segment->sealed) ||
            (segment->cut_size == 0 && segment->unused_size == 0))
            continue;
        status = bitcask_chain_settle_file(cask->io, cask->directory, segment->id,
                                           segment->salt, end, end);
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

enum bitcask_status bitcask_chain_mend(struct bitcask_chain *chain)
{
    enum bitcask_status status = remove_what_is_behind(chain);

    for (size_t i = chain->count; i-- > 0 && status == BITCASK_OK;) {
        if (bitcask_chain_keeps(chain, &chain->links[i]))
            status = settle(chain, &chain->links[i]);
    }
    return status == BITCASK_OK ? sync_directory(chain->cask) : status;
}
