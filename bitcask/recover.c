/* SPDX-License-Identifier: MIT */
/*
 * Recovery, the first half: load the chain of unsealed segments, and find its end.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/chain.h"
#include "bitcask/data_file.h"
#include "bitcask/status.h"
#include "hint/hint.h"

static enum bitcask_status collect_links(struct bitcask_chain *chain,
                                         const struct bitcask_manifest *manifest)
{
    size_t size = (manifest->segment_count > 0 ? manifest->segment_count : 1) *
                  sizeof *chain->links;

    chain->links = calloc(1, size);
    if (chain->links == NULL)
        return bitcask_fail_memory(size);
    for (size_t i = 0; i < manifest->segment_count; i++) {
        if (manifest->segments[i].state != BITCASK_MANIFEST_SEALED)
            chain->links[chain->count++].line = manifest->segments[i];
    }
    chain->sequence = manifest->sequence;
    chain->proven = manifest->sequence;
    chain->end = chain->count;
    return BITCASK_OK;
}

/* Open the data file of @link for reading; see bitcask_data_file_open(). */
static enum bitcask_status open_link(struct bitcask_chain *chain,
                                     struct bitcask_link *link, bitcask_file *file)
{
    struct bitcask *cask = chain->cask;

    return bitcask_load_open(cask, link->line.id, link->line.salt, file, &link->file_size,
                             &link->torn_header);
}

/* A file that was there a moment ago: if it is gone, that is not "no such cask". */
static enum bitcask_status reopen_link(struct bitcask_chain *chain,
                                       struct bitcask_link *link, bitcask_file *file)
{
    enum bitcask_status status = open_link(chain, link, file);

    return status == BITCASK_NOT_FOUND ? BITCASK_CORRUPT : status;
}

/* Whether the MANIFEST has a segment of @salt. */
static bool is_listed(const struct bitcask_chain *chain, uint64_t salt)
{
    struct bitcask_segments *segments = &chain->cask->segments;
    uint32_t segment_count = atomic_load(&segments->count);

    for (uint32_t i = 0; i < segment_count; i++) {
        if (bitcask_segments_get(segments, i)->salt == salt)
            return true;
    }
    for (size_t i = 0; i < chain->count; i++) {
        if (chain->links[i].line.salt == salt)
            return true;
    }
    return false;
}

/*
 * Whether the file of @link is whole under the @header that it has: more than a sector
 * of records, and nothing else.
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
    uint64_t size;
    enum bitcask_status status;

    status = bitcask_data_file_open_unchecked(cask->io, cask->directory, link->line.id,
                                              BITCASK_IO_READ, &file, &size);
    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, cask->io, file, header->segment_id,
                                   header->salt, size);
    while (status == BITCASK_OK)
        status = bitcask_walk_next(&walk, &record);
    *whole = status == BITCASK_NOT_FOUND && size > SECTOR_SIZE;
    bitcask_walk_release(&walk);
    if (file != BITCASK_NO_FILE)
        cask->io->close(cask->io, file);
    return status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT ? BITCASK_OK : status;
}

/*
 * The file of @link begins with the header of another. If that one is ours too, somebody
 * has exchanged them; if it has the same id, file and MANIFEST are of different casks.
 * If all of it is the other's, it was put there. Otherwise a power failure may have done
 * it: the first sector never reached the disk, and what was there before belonged to a
 * file that is gone. (Its id was another: none is given out twice.) As with any header
 * that is not whole, it is for the proofs to say whether ours was synced.
 */
static enum bitcask_status judge_other_header(struct bitcask_chain *chain,
                                              struct bitcask_link *link)
{
    struct bitcask *cask = chain->cask;
    struct bitcask_file_header header;
    bool whole = false;
    enum bitcask_status status =
        bitcask_data_file_header(cask->io, cask->directory, link->line.id, &header);

    if (status != BITCASK_OK)
        return status;
    if (header.segment_id == link->line.id || is_listed(chain, header.salt))
        return BITCASK_CORRUPT; /* in the words of who met it */
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

/*
 * See which files exist, newest first: beside a live writer, what is there when the
 * newest file is there is all of what came before it.
 */
static enum bitcask_status look_at_files(struct bitcask_chain *chain)
{
    struct bitcask *cask = chain->cask;

    for (size_t i = chain->count; i-- > 0;) {
        struct bitcask_link *link = &chain->links[i];
        bitcask_file file = BITCASK_NO_FILE;
        enum bitcask_status status = open_link(chain, link, &file);

        if (status == BITCASK_OK)
            cask->io->close(cask->io, file);
        link->exists = status != BITCASK_NOT_FOUND;
        if (link->exists && link->torn_header && cask->options.salvage)
            atomic_fetch_add(&cask->damage_count, 1);
        if (link->exists)
            chain->highest_sane += link->file_size;
        if (status == BITCASK_CORRUPT && cask->options.salvage && !link->torn_header) {
            link->exists = false;
            atomic_fetch_add(&cask->damage_count, 1);
            continue;
        }
        if (status == BITCASK_CORRUPT && !link->torn_header)
            status = judge_other_header(chain, link);
        if (status == BITCASK_NOT_FOUND ||
            (status == BITCASK_CORRUPT && link->torn_header))
            continue; /* whether it is missed is for the proofs to say */
        if (status != BITCASK_OK)
            return status;
    }
    chain->highest_sane += chain->sequence; /* a record has more than one byte */
    return BITCASK_OK;
}

/* The sequence up to which a valid hint of @link proves that it was synced, or 0. */
static enum bitcask_status hint_proof(struct bitcask_chain *chain,
                                      const struct bitcask_link *link, uint64_t *sequence,
                                      uint64_t *size)
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

/*
 * Does anything prove that the record @sequence had been synced? It is missing at
 * @offset of link @index: look there and in everything that comes later.
 */
static enum bitcask_status search_proof(struct bitcask_chain *chain, size_t index,
                                        uint64_t offset, uint64_t sequence, bool *proven)
{
    enum bitcask_status status = BITCASK_OK;

    *proven = false;
    for (size_t i = index; i < chain->count && status == BITCASK_OK && !*proven; i++) {
        struct bitcask_link *link = &chain->links[i];
        uint64_t hinted_sequence, hinted_size;

        status = hint_proof(chain, link, &hinted_sequence, &hinted_size);
        if (status != BITCASK_OK)
            break;
        *proven = link->line.last_sequence >= sequence || hinted_sequence >= sequence;
        if (!*proven && link->exists)
            status = search_records(chain, link,
                                    i == index && offset > BITCASK_FILE_HEADER_SIZE
                                        ? offset
                                        : BITCASK_FILE_HEADER_SIZE,
                                    sequence, proven);
    }
    return status;
}

static enum bitcask_status report_damage(const struct bitcask_link *link, uint64_t offset,
                                         uint64_t sequence, const char *what)
{
    return bitcask_fail(BITCASK_CORRUPT,
                        "%010" PRIu64 ".data, offset %" PRIu64 ": %s, and record "
                        "%" PRIu64
                        " is proven to have been synced; " BITCASK_DAMAGE_ADVICE,
                        link->line.id, offset, what, sequence);
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
    status = reopen_link(chain, link, &file);
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

/*
 * Whether the next file with a record after link @index begins with the next one: then
 * none is missing, and what is at the end of this file, or in files without a header in
 * between, was never one.
 */
static enum bitcask_status goes_on_behind(struct bitcask_chain *chain, size_t index,
                                          bool *goes_on)
{
    enum bitcask_status status = BITCASK_NOT_FOUND;
    uint64_t sequence = 0;

    for (index++; index < chain->count && status == BITCASK_NOT_FOUND; index++) {
        struct bitcask_link *link = &chain->links[index];

        if (link->exists && !link->torn_header)
            status = first_sequence(chain, link, &sequence);
    }
    *goes_on = status == BITCASK_OK && sequence == chain->sequence + 1;
    if (status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT)
        return BITCASK_OK; /* for those who come there to judge */
    return status;
}

/*
 * The chain cannot go on at @offset of link @index: is that where history ends? The
 * proof is looked for there. BITCASK_OK: yes, and the chain ends here, or no, and it
 * goes on in a later file.
 */
static enum bitcask_status end_chain(struct bitcask_chain *chain, size_t index,
                                     uint64_t offset, const char *what)
{
    bool proven = false;
    bool goes_on = false;
    enum bitcask_status status = goes_on_behind(chain, index, &goes_on);

    if (status != BITCASK_OK || goes_on)
        return status;
    status = search_proof(chain, index, offset, chain->sequence + 1, &proven);
    if (status != BITCASK_OK)
        return status;
    if (proven)
        return report_damage(&chain->links[index], offset, chain->sequence + 1, what);
    chain->end = index;
    return BITCASK_OK;
}

/*
 * A record that is what it should be but for its value. If it had been synced that is
 * damage to one known key, which its gets will report; else it is torn.
 */
static enum bitcask_status judge_bad_value(struct bitcask_chain *chain, size_t index,
                                           const struct bitcask_walk_record *record,
                                           bool *accepted)
{
    return search_proof(chain, index, record->offset + 1, chain->sequence + 1, accepted);
}

static void raise_proven(struct bitcask_chain *chain, uint64_t sequence)
{
    if (sequence > chain->proven && sequence <= chain->sequence)
        chain->proven = sequence;
}

/* Take the records of @link one by one. Stops with the chain's end set, or at its own. */
static enum bitcask_status walk_link(struct bitcask_chain *chain, size_t index,
                                     struct bitcask_walk *walk)
{
    struct bitcask_link *link = &chain->links[index];
    enum bitcask_status status;

    for (;;) {
        struct bitcask_walk_record record;
        bool accepted = true;

        status = bitcask_walk_next(walk, &record);
        if (status == BITCASK_NOT_FOUND)
            return BITCASK_OK;
        if (status == BITCASK_CORRUPT)
            return end_chain(chain, index, walk->offset, "there is no whole record");
        if (status != BITCASK_OK)
            return status;
        if (record.header.sequence != chain->sequence + 1)
            return end_chain(chain, index, record.offset,
                             "a record is missing before this");
        if (!record.value_intact)
            status = judge_bad_value(chain, index, &record, &accepted);
        if (status != BITCASK_OK)
            return status;
        if (!accepted)
            return end_chain(chain, index, record.offset, "a value fails its check");

        status = bitcask_load_record(&chain->loader, link->segment, &record.header,
                                     record.offset, record.key);
        if (status != BITCASK_OK)
            return status;
        chain->sequence = record.header.sequence;
        if (record.header.unsynced_count != UINT32_MAX)
            raise_proven(chain,
                         record.header.sequence - record.header.unsynced_count - 1);
        if (walk->batch_end == 0 || walk->offset == walk->batch_end)
            link->kept_size = walk->offset;
    }
}

/* With salvage: take everything that can be read, however it hangs together. */
static enum bitcask_status salvage_link(struct bitcask_chain *chain,
                                        struct bitcask_link *link,
                                        struct bitcask_walk *walk)
{
    struct bitcask_walk_record record;
    struct bitcask_record ignored;
    enum bitcask_status status = BITCASK_OK;

    while (status == BITCASK_OK) {
        status = bitcask_walk_next(walk, &record);
        if (status == BITCASK_CORRUPT) {
            atomic_fetch_add(&chain->cask->damage_count, 1);
            walk->offset++;
            status = bitcask_walk_resync(walk, 1, UINT64_MAX, &ignored);
            continue;
        }
        if (status != BITCASK_OK)
            break;
        if (record.header.sequence > chain->sequence + 1) /* some are missing */
            atomic_fetch_add(&chain->cask->damage_count, 1);
        if (record.header.sequence > chain->sequence)
            chain->sequence = record.header.sequence;
        status = bitcask_load_record(&chain->loader, link->segment, &record.header,
                                     record.offset, record.key);
    }
    link->kept_size = link->file_size;
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

/* What the MANIFEST or a hint says was synced has to be there. */
static enum bitcask_status check_proven_size(struct bitcask_chain *chain,
                                             const struct bitcask_link *link)
{
    const char *what = "the file is cut off here";
    uint64_t offset = link->file_size;

    if (link->exists && !link->torn_header && link->file_size >= link->proven_size)
        return BITCASK_OK;
    /* One without a record is not missed: it may be gone since an earlier recovery. */
    if (link->proven_size <= BITCASK_FILE_HEADER_SIZE)
        return BITCASK_OK;
    if (chain->cask->options.salvage) {
        atomic_fetch_add(&chain->cask->damage_count, 1);
        return BITCASK_OK;
    }
    if (!link->exists || link->torn_header) {
        what = link->exists ? "the file header is damaged" : "the file is missing";
        offset = 0;
    }
    return bitcask_fail(BITCASK_CORRUPT,
                        "%010" PRIu64 ".data, offset %" PRIu64 ": %s, though %" PRIu64
                        " bytes of it were synced; " BITCASK_DAMAGE_ADVICE,
                        link->line.id, offset, what, link->proven_size);
}

/* The same for a link whose file cannot be read at all. */
static enum bitcask_status check_missing(struct bitcask_chain *chain,
                                         struct bitcask_link *link)
{
    uint64_t sequence, hinted;
    enum bitcask_status status = hint_proof(chain, link, &sequence, &hinted);

    link->proven_size = link->line.size > hinted ? link->line.size : hinted;
    return status == BITCASK_OK ? check_proven_size(chain, link) : status;
}

/* Load what @link holds: by its hint as far as that goes, then record by record. */
static enum bitcask_status load_link(struct bitcask_chain *chain, size_t index)
{
    struct bitcask *cask = chain->cask;
    struct bitcask_link *link = &chain->links[index];
    struct bitcask_hint_terms terms = { BITCASK_FILE_HEADER_SIZE, link->file_size,
                                        chain->sequence + 1, 0 };
    struct bitcask_walk walk = { 0 };
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t covered = 0;
    uint64_t hinted = 0;
    enum bitcask_status status;

    status = bitcask_segments_add(&cask->segments, link->line.id, link->line.salt,
                                  BITCASK_NO_FILE, &link->segment);
    if (status == BITCASK_OK)
        status =
            bitcask_load_hint(&chain->loader, link->segment, &terms, &covered, &hinted);
    link->proven_size = link->line.size > hinted ? link->line.size : hinted;
    if (status == BITCASK_OK)
        status = check_proven_size(chain, link);
    if (status != BITCASK_OK)
        return status;
    link->kept_size = covered > 0 ? covered : BITCASK_FILE_HEADER_SIZE;
    if (covered > BITCASK_FILE_HEADER_SIZE)
        chain->sequence = atomic_load(&link->segment->last_sequence);
    if (covered > 0)
        raise_proven(chain, chain->sequence);

    status = reopen_link(chain, link, &file);
    if (status == BITCASK_OK)
        status = bitcask_walk_init(&walk, cask->io, file, link->line.id, link->line.salt,
                                   link->file_size);
    if (status == BITCASK_OK) {
        walk.offset = link->kept_size;
        walk.check_values = true;
        status = cask->options.salvage ? salvage_link(chain, link, &walk)
                                       : walk_link(chain, index, &walk);
    }
    bitcask_walk_release(&walk);
    if (file != BITCASK_NO_FILE)
        cask->io->close(cask->io, file);
    if (status == BITCASK_OK && covered == 0 &&
        link->kept_size > BITCASK_FILE_HEADER_SIZE)
        atomic_fetch_add(&cask->scan_count, 1);
    atomic_store(&link->segment->data_size, link->kept_size);
    return status;
}

static enum bitcask_status load_chain(struct bitcask_chain *chain)
{
    for (size_t i = 0; i < chain->end; i++) {
        struct bitcask_link *link = &chain->links[i];
        enum bitcask_status status;

        if (link->exists && (!link->torn_header || chain->cask->options.salvage)) {
            status = load_link(chain, i);
        } else {
            status = check_missing(chain, link);
            if (status == BITCASK_OK && link->torn_header &&
                !chain->cask->options.salvage)
                status = end_chain(chain, i, 0, "the file header is damaged");
        }
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

/* Note for stat what lies behind the end of history, here and in sealed segments. */
static void note_cuts(struct bitcask_chain *chain)
{
    struct bitcask *cask = chain->cask;
    uint32_t segment_count = atomic_load(&cask->segments.count);

    for (size_t i = 0; i < chain->count; i++) {
        struct bitcask_link *link = &chain->links[i];

        if (link->segment != NULL && link->file_size > link->kept_size) {
            link->segment->cut_offset = link->kept_size;
            link->segment->cut_size = link->file_size - link->kept_size;
        } else if (link->segment == NULL && link->exists && link->file_size > 0) {
            cask->cut_count++; /* a whole file */
            cask->cut_size += link->file_size;
        }
    }
    for (uint32_t i = 0; i < segment_count; i++) {
        const struct bitcask_segment *segment = bitcask_segments_get(&cask->segments, i);

        cask->cut_count += segment->cut_size > 0;
        cask->cut_size += segment->cut_size;
    }
}

/* Whether everything is as a clean close left it: one open segment, of its size. */
static bool is_clean(const struct bitcask_chain *chain, struct bitcask_link **active)
{
    size_t existing = 0;

    *active = NULL;
    for (size_t i = 0; i < chain->count; i++) {
        struct bitcask_link *link = &chain->links[i];

        if (!link->exists)
            continue;
        existing++;
        if (link->line.state != BITCASK_MANIFEST_OPEN ||
            link->file_size != link->line.size || link->kept_size != link->line.size ||
            chain->sequence != link->line.last_sequence)
            return false;
        *active = link;
    }
    return existing <= 1;
}

/*
 * Open for reading what is kept; @active, if there is one, for writing. Segments
 * without a record are in the table but have no file any more: their data_size is 0.
 */
static enum bitcask_status open_segments(struct bitcask_chain *chain,
                                         const struct bitcask_link *active)
{
    struct bitcask *cask = chain->cask;

    for (size_t i = 0; i < chain->count; i++) {
        struct bitcask_link *link = &chain->links[i];
        struct bitcask_segment *segment = link->segment;
        uint64_t map_size = link->kept_size;
        bitcask_file file = BITCASK_NO_FILE;
        uint64_t size;
        bool torn;
        enum bitcask_status status;

        if (segment == NULL)
            continue;
        segment->name_synced = true;
        atomic_store(&segment->sealed, link != active && !cask->options.read_only);
        if (link != active && !bitcask_chain_keeps(chain, link)) {
            atomic_store(&segment->data_size, 0);
            continue;
        }
        if (link == active && map_size < cask->options.file_size_max)
            map_size = cask->options.file_size_max;
        if (link == active)
            status = bitcask_data_file_open(cask->io, cask->directory, segment->id,
                                            segment->salt, BITCASK_IO_WRITE, &file, &size,
                                            &torn);
        else
            status =
                bitcask_load_open(cask, segment->id, segment->salt, &file, &size, &torn);
        if (status == BITCASK_NOT_FOUND)
            return BITCASK_CORRUPT; /* see reopen_link() */
        if (status != BITCASK_OK)
            return status;
        atomic_store(&segment->file, file);
        bitcask_segment_map(&cask->segments, segment, map_size);
        if (link != active)
            bitcask_segment_park(&cask->segments, segment);
    }
    return BITCASK_OK;
}

enum bitcask_status bitcask_recover(struct bitcask *cask,
                                    const struct bitcask_manifest *manifest,
                                    struct bitcask_commit_start *start, bool *mended)
{
    struct bitcask_chain chain = { .cask = cask,
                                   .loader = { .cask = cask, .part_count = 1 } };
    struct bitcask_link *active = NULL;
    enum bitcask_status status;

    memset(start, 0, sizeof *start);
    chain.loader.now_ms = cask->io->wall_ms(cask->io);
    status = collect_links(&chain, manifest);
    if (status == BITCASK_OK)
        status = look_at_files(&chain);
    if (status == BITCASK_OK)
        status = load_chain(&chain);
    if (status != BITCASK_OK)
        goto out;

    for (size_t i = 0; i < chain.count; i++)
        raise_proven(&chain, chain.links[i].line.last_sequence);
    cask->synced_sequence = cask->options.read_only ? chain.proven : chain.sequence;
    note_cuts(&chain);
    *mended = !is_clean(&chain, &active);
    if (*mended || cask->options.read_only)
        active = NULL;
    if (!cask->options.read_only)
        status = bitcask_chain_cut_sealed(cask);
    if (status == BITCASK_OK && *mended && !cask->options.read_only)
        status = bitcask_chain_mend(&chain);
    if (status == BITCASK_OK)
        status = open_segments(&chain, active);
    start->active = active != NULL ? active->segment : NULL;
    start->last_sequence = chain.sequence;
    start->next_id = manifest->next_id;

out:
    bitcask_buffer_release(&chain.loader.window);
    free(chain.links);
    return status;
}
