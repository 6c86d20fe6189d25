/* SPDX-License-Identifier: MIT */
/*
 * Recovery: what proves that a record had been synced, or that none is missing.
 */
#include <inttypes.h>

#include "bitcask/chain.h"
#include "bitcask/data_file.h"
#include "bitcask/status.h"
#include "bitcask/zeros.h"
#include "hint/hint.h"

enum bitcask_status bitcask_chain_reopen(struct bitcask_chain *chain,
                                         struct bitcask_link *link, bitcask_file *file)
{
    enum bitcask_status status =
        bitcask_load_open(chain->cask, link->line.id, link->line.salt, file,
                          &link->file_size, &link->torn_header);

    return status == BITCASK_NOT_FOUND ? BITCASK_CORRUPT : status;
}

static bool is_any_absent(const struct bitcask_chain *chain)
{
    for (size_t i = 0; i < chain->count; i++) {
        if (!chain->links[i].exists)
            return true;
    }
    return false;
}

/* An absent file that by @now is no part of the cask; NULL: none is. */
static const struct bitcask_link *find_taken_out(const struct bitcask_chain *chain,
                                                 const struct bitcask_manifest *now)
{
    size_t next = 0; /* both are in order of id */

    for (size_t i = 0; i < chain->count; i++) {
        const struct bitcask_link *link = &chain->links[i];

        while (next < now->segment_count && now->segments[next].id < link->line.id)
            next++;
        if (link->exists)
            continue;
        if (next == now->segment_count || now->segments[next].id != link->line.id ||
            bitcask_manifest_is_outside(now->segments[next].state))
            return link;
    }
    return NULL;
}

enum bitcask_status bitcask_chain_check_absent(struct bitcask_chain *chain)
{
    struct bitcask *cask = chain->cask;
    const struct bitcask_link *taken_out = NULL;
    struct bitcask_manifest now;
    enum bitcask_status status;

    if (!is_any_absent(chain))
        return BITCASK_OK;
    bitcask_manifest_init(&now);
    status = bitcask_manifest_read(&now, cask->io, cask->directory);
    if (status == BITCASK_NOT_FOUND)
        status = BITCASK_CORRUPT;
    if (status == BITCASK_OK)
        taken_out = find_taken_out(chain, &now);
    bitcask_manifest_release(&now);
    if (taken_out != NULL)
        return bitcask_fail(BITCASK_CORRUPT,
                            "%010" PRIu64 ".data was taken out of the cask by its writer "
                            "while this was opening it: try again",
                            taken_out->line.id);
    return status;
}

/*
 * Whether a file of @salt is in use. An id that was only prepared may be one whose file
 * could not be begun, and is gone.
 */
static bool is_in_use(const struct bitcask_chain *chain, uint64_t salt)
{
    struct bitcask_segments *segments = &chain->cask->segments;
    uint32_t segment_count = atomic_load(&segments->count);

    for (uint32_t i = 0; i < segment_count; i++) {
        if (bitcask_segments_get(segments, i)->salt == salt)
            return true;
    }
    for (size_t i = 0; i < chain->count; i++) {
        const struct bitcask_link *link = &chain->links[i];

        if (link->line.salt == salt &&
            (link->exists || link->line.state != BITCASK_MANIFEST_PREPARED))
            return true;
    }
    return false;
}

/*
 * Whether the file of @link is whole under the @header that it has: more than a sector
 * of records, and nothing else but unused space.
 */
static enum bitcask_status is_whole(struct bitcask_chain *chain,
                                    const struct bitcask_link *link,
                                    const struct bitcask_file_header *header, bool *whole)
{
    enum {
        SECTOR_SIZE = 512
    };
    struct bitcask *cask = chain->cask;
    bitcask_file file = BITCASK_NO_FILE;
    struct bitcask_walk walk = { 0 };
    struct bitcask_walk_record record;
    uint64_t size, end;
    bool found = false;
    enum bitcask_status status;

    status = bitcask_data_file_open_unchecked(cask->io, cask->directory, link->line.id,
                                              BITCASK_IO_READ, &file, &size);
    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, cask->io, file, header->segment_id,
                                   header->salt, size);
    while (status == BITCASK_OK)
        status = bitcask_walk_next(&walk, &record);
    end = walk.offset;
    if (status == BITCASK_CORRUPT) { /* or the rest was set aside, and not used */
        status = bitcask_zeros_skip(cask->io, file, &end, size, &found);
        end = walk.offset;
        if (status == BITCASK_OK)
            status = found ? BITCASK_CORRUPT : BITCASK_NOT_FOUND;
    }
    *whole = status == BITCASK_NOT_FOUND && end > SECTOR_SIZE;
    bitcask_walk_release(&walk);
    if (file != BITCASK_NO_FILE)
        cask->io->close(cask->io, file);
    return status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT ? BITCASK_OK : status;
}

/*
 * The file of @link begins with the header of another. If that one is ours too, somebody
 * has exchanged them; if it has the same id, file and MANIFEST are of different casks.
 * If all of it is another cask's, it was put there. Otherwise a power failure may have
 * done it: the file, or its first sector, never reached the disk, and what was there
 * before belonged to a file that is gone, one that a merge has replaced for example. (Its
 * id was another: none is given out twice.) As with any header that is not whole, it is
 * for the proofs to say whether ours was synced.
 */
enum bitcask_status bitcask_chain_judge_header(struct bitcask_chain *chain,
                                               struct bitcask_link *link)
{
    struct bitcask *cask = chain->cask;
    struct bitcask_file_header header;
    bool whole = false;
    enum bitcask_status status =
        bitcask_data_file_header(cask->io, cask->directory, link->line.id, &header);

    if (status != BITCASK_OK)
        return status;
    if (header.segment_id == link->line.id || is_in_use(chain, header.salt)) {
        bitcask_file file = BITCASK_NO_FILE;

        status = bitcask_chain_reopen(chain, link, &file); /* for its words */
        if (status == BITCASK_OK)
            cask->io->close(cask->io, file);
        return status;
    }
    if ((uint32_t)(header.salt >> 32) != chain->salt_tag)
        status = is_whole(chain, link, &header, &whole);
    if (status != BITCASK_OK)
        return status;
    if (whole)
        return bitcask_fail(BITCASK_CORRUPT,
                            "%010" PRIu64 ".data is not the file that MANIFEST lists: "
                            "all of it is segment %" PRIu64
                            " of another cask; " BITCASK_DAMAGE_ADVICE,
                            link->line.id, header.segment_id);
    link->torn_header = true;
    return BITCASK_OK;
}

enum bitcask_status bitcask_chain_hint_proof(struct bitcask_chain *chain,
                                             const struct bitcask_link *link,
                                             uint64_t *sequence, uint64_t *size)
{
    struct bitcask *cask = chain->cask;
    struct bitcask_hint hint;
    enum bitcask_status status =
        bitcask_hint_open(&hint, cask->io, cask->directory, link->line.id,
                          link->line.salt, &chain->loader.window);

    *sequence = 0;
    *size = 0;
    if (status == BITCASK_OK) {
        *sequence = hint.trailer.last_sequence;
        *size = hint.trailer.data_size;
        bitcask_hint_close(&hint);
    }
    return bitcask_hint_is_absent(status) ? BITCASK_OK : status;
}

/*
 * Look from @offset on in the file of @link for a record that proves @sequence. The
 * file needs no whole header: the salt is known. Where the header is damaged, the first
 * record proves itself: it cannot have been written without the header, which lies in
 * the same sector.
 */
static enum bitcask_status search_records(struct bitcask_chain *chain,
                                          struct bitcask_link *link, uint64_t offset,
                                          uint64_t sequence, bool *proven)
{
    struct bitcask *cask = chain->cask;
    bitcask_file file = BITCASK_NO_FILE;
    struct bitcask_walk walk = { 0 };
    struct bitcask_record record;
    enum bitcask_status status;

    status = bitcask_data_file_open_unchecked(cask->io, cask->directory, link->line.id,
                                              BITCASK_IO_READ, &file, &link->file_size);
    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, cask->io, file, link->line.id, link->line.salt,
                                   link->file_size);
    walk.offset = offset;
    walk.headers_only = true;
    while (status == BITCASK_OK && !*proven) {
        status = bitcask_walk_resync(&walk, sequence, chain->highest_sane, &record);
        if (status != BITCASK_OK)
            break;
        if (record.sequence == sequence)
            *proven = link->torn_header && walk.offset == BITCASK_FILE_HEADER_SIZE;
        else
            *proven = record.unsynced_count != UINT32_MAX &&
                      record.sequence - sequence > record.unsynced_count;
        walk.offset += bitcask_record_size(&record);
    }
    bitcask_walk_release(&walk);
    if (file != BITCASK_NO_FILE)
        cask->io->close(cask->io, file);
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

enum bitcask_status bitcask_chain_search_proof(struct bitcask_chain *chain, size_t index,
                                               uint64_t offset, uint64_t sequence,
                                               bool *proven)
{
    enum bitcask_status status = BITCASK_OK;

    *proven = false;
    for (size_t i = index; i < chain->count && status == BITCASK_OK && !*proven; i++) {
        struct bitcask_link *link = &chain->links[i];
        uint64_t hinted_sequence, hinted_size;

        status = bitcask_chain_hint_proof(chain, link, &hinted_sequence, &hinted_size);
        if (status != BITCASK_OK)
            break;
        *proven = link->line.last_sequence >= sequence || hinted_sequence >= sequence;
        if (!*proven && link->exists && !link->unused)
            status = search_records(chain, link,
                                    i == index && offset > BITCASK_FILE_HEADER_SIZE
                                        ? offset
                                        : BITCASK_FILE_HEADER_SIZE,
                                    sequence, proven);
    }
    return status;
}

/* The sequence of the first record in the file of @link, 0 if there is none. */
static enum bitcask_status first_sequence(struct bitcask_chain *chain,
                                          struct bitcask_link *link, uint64_t *sequence)
{
    struct bitcask *cask = chain->cask;
    bitcask_file file = BITCASK_NO_FILE;
    struct bitcask_walk walk = { 0 };
    struct bitcask_walk_record record;
    enum bitcask_status status;

    *sequence = 0;
    status = bitcask_chain_reopen(chain, link, &file);
    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, cask->io, file, link->line.id, link->line.salt,
                                   link->file_size);
    if (status == BITCASK_OK)
        status = bitcask_walk_next(&walk, &record);
    if (status == BITCASK_OK)
        *sequence = record.header.sequence;
    bitcask_walk_release(&walk);
    if (file != BITCASK_NO_FILE)
        cask->io->close(cask->io, file);
    return status;
}

enum bitcask_status bitcask_chain_goes_on(struct bitcask_chain *chain, size_t index,
                                          bool *goes_on)
{
    enum bitcask_status status = BITCASK_NOT_FOUND;
    uint64_t sequence = 0;

    for (index++; index < chain->count && status == BITCASK_NOT_FOUND; index++) {
        struct bitcask_link *link = &chain->links[index];

        if (link->exists && !link->torn_header && !link->unused)
            status = first_sequence(chain, link, &sequence);
    }
    *goes_on = status == BITCASK_OK && sequence == chain->sequence + 1;
    if (status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT)
        return BITCASK_OK; /* for those who come there to judge */
    return status;
}
