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

static enum bitcask_status collect_links(struct bitcask_chain *chain,
                                         const struct bitcask_manifest *manifest)
{
    size_t size = (manifest->segment_count > 0 ? manifest->segment_count : 1) *
                  sizeof *chain->links;

    chain->links = calloc(1, size);
    if (chain->links == NULL)
        return bitcask_fail_memory(size);
    for (size_t i = 0; i < manifest->segment_count; i++) {
        enum bitcask_manifest_state state = manifest->segments[i].state;

        if (state == BITCASK_MANIFEST_OPEN || state == BITCASK_MANIFEST_PREPARED)
            chain->links[chain->count++].line = manifest->segments[i];
    }
    chain->sequence = manifest->sequence;
    chain->proven = manifest->sequence;
    chain->salt_tag = bitcask_manifest_tag(manifest);
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

/*
 * Whether there is no record in the file of @link, and no trace of one: then it was begun
 * ahead, and not used. Asked before any other file is read: beside a live writer, a
 * record that comes later is not of the moment of opening.
 */
static enum bitcask_status look_whether_unused(struct bitcask_chain *chain,
                                               struct bitcask_link *link)
{
    struct bitcask *cask = chain->cask;
    bitcask_file file = BITCASK_NO_FILE;
    enum bitcask_status status =
        bitcask_data_file_open_unchecked(cask->io, cask->directory, link->line.id,
                                         BITCASK_IO_READ, &file, &link->file_size);

    if (status == BITCASK_NOT_FOUND)
        return BITCASK_OK; /* who reads it will say so */
    if (status != BITCASK_OK)
        return status;
    status = bitcask_data_file_is_unused(cask->io, file, link->line.id,
                                         link->torn_header ? 0 : BITCASK_FILE_HEADER_SIZE,
                                         link->file_size, &link->unused);
    cask->io->close(cask->io, file);
    return status;
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
        if (status == BITCASK_OK || link->torn_header) {
            enum bitcask_status looked = look_whether_unused(chain, link);

            if (looked != BITCASK_OK)
                return looked;
        }
        if (link->torn_header && !link->unused && cask->options.salvage)
            atomic_fetch_add(&cask->damage_count, 1);
        if (link->exists)
            chain->highest_sane += link->file_size;
        if (status == BITCASK_CORRUPT && cask->options.salvage && !link->torn_header) {
            link->exists = false;
            atomic_fetch_add(&cask->damage_count, 1);
            continue;
        }
        link->other_header = status == BITCASK_CORRUPT && !link->torn_header;
        if (status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT)
            continue; /* whether it is missed is for the proofs to say */
        if (status != BITCASK_OK)
            return status;
    }
    if (cask->options.read_only) {
        enum bitcask_status status = bitcask_chain_check_absent(chain);

        if (status != BITCASK_OK)
            return status;
    }
    chain->highest_sane += chain->sequence; /* a record has more than one byte */
    for (size_t i = 0; i < chain->count; i++) {
        enum bitcask_status status = BITCASK_OK;

        if (chain->links[i].other_header)
            status = bitcask_chain_judge_header(chain, &chain->links[i]);
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
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
    enum bitcask_status status = bitcask_chain_goes_on(chain, index, &goes_on);

    if (status != BITCASK_OK || goes_on)
        return status;
    status =
        bitcask_chain_search_proof(chain, index, offset, chain->sequence + 1, &proven);
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
    return bitcask_chain_search_proof(chain, index, record->offset + 1,
                                      chain->sequence + 1, accepted);
}

static void raise_proven(struct bitcask_chain *chain, uint64_t sequence)
{
    if (sequence > chain->proven && sequence <= chain->sequence)
        chain->proven = sequence;
}

/* Whether @link has nothing but zeros from where @walk has found no record. */
static enum bitcask_status look_behind(struct bitcask_chain *chain,
                                       struct bitcask_link *link,
                                       const struct bitcask_walk *walk)
{
    return bitcask_data_file_is_unused(chain->cask->io, walk->file, link->line.id,
                                       walk->offset, link->file_size, &link->unused);
}

/*
 * The next record of @link. What is none is read a second time, if a live writer may have
 * been in the middle of it. BITCASK_CORRUPT: it is none, and link->unused says whether
 * that is for want of anything.
 */
static enum bitcask_status next_record(struct bitcask_chain *chain,
                                       struct bitcask_link *link,
                                       struct bitcask_walk *walk,
                                       struct bitcask_walk_record *record)
{
    bool in_batch = walk->batch_end != 0 && walk->offset != walk->batch_end;
    uint64_t offset = walk->offset;
    enum bitcask_status status = bitcask_walk_next(walk, record);
    enum bitcask_status looked = BITCASK_OK;

    if (status == BITCASK_CORRUPT)
        looked = look_behind(chain, link, walk);
    if (looked != BITCASK_OK)
        return looked;
    if (!chain->cask->options.read_only || link->unused || in_batch ||
        (status != BITCASK_CORRUPT && (status != BITCASK_OK || record->value_intact)))
        return status;
    bitcask_walk_forget(walk, offset);
    status = bitcask_walk_next(walk, record);
    if (status == BITCASK_CORRUPT)
        looked = look_behind(chain, link, walk);
    return looked != BITCASK_OK ? looked : status;
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

        status = next_record(chain, link, walk, &record);
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
            status = look_behind(chain, link, walk);
            if (status != BITCASK_OK ||
                (link->unused && walk->offset >= link->proven_size))
                break;
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
    link->unused = false;
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
    enum bitcask_status status =
        bitcask_chain_hint_proof(chain, link, &sequence, &hinted);

    link->proven_size = link->line.size > hinted ? link->line.size : hinted;
    return status == BITCASK_OK ? check_proven_size(chain, link) : status;
}

/*
 * Load what was read of @link ahead, if history goes on with it; it goes on behind that,
 * record by record, as behind a hint. (It proves nothing as a whole, as a hint does, but
 * only by its records.)
 */
static enum bitcask_status load_ahead(struct bitcask_chain *chain,
                                      struct bitcask_link *link)
{
    struct bitcask_ahead_file *file =
        chain->ahead != NULL ? bitcask_ahead_find(chain->ahead, link->line.id) : NULL;
    enum bitcask_status status;

    if (file == NULL || file->covered > link->file_size ||
        file->entries.trailer.first_sequence != chain->sequence + 1)
        return BITCASK_OK;
    status = bitcask_load_entries(chain->cask, link->segment, &file->entries);
    if (status != BITCASK_OK)
        return status;
    link->kept_size = file->covered;
    link->synced_end = file->synced_end;
    chain->sequence = file->entries.trailer.last_sequence;
    raise_proven(chain, file->proven);
    bitcask_hint_writer_release(&file->entries);
    return BITCASK_OK;
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
    else
        status = load_ahead(chain, link);
    if (status != BITCASK_OK)
        return status;

    link->unused = false;
    status = bitcask_chain_reopen(chain, link, &file);
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

        if (link->unused)
            continue;
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
            return BITCASK_CORRUPT; /* see bitcask_chain_reopen() */
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
                                    struct bitcask_ahead *ahead,
                                    struct bitcask_commit_start *start, bool *mended)
{
    struct bitcask_chain chain = { .cask = cask,
                                   .ahead = ahead,
                                   .loader = { .cask = cask, .part_count = 1 } };
    struct bitcask_link *active = NULL;
    enum bitcask_status status = BITCASK_OK;

    memset(start, 0, sizeof *start);
    chain.loader.now_ms = cask->io->wall_ms(cask->io);
    if (ahead != NULL)
        status = bitcask_ahead_join(ahead);
    if (status == BITCASK_OK)
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
    start->salt_tag = chain.salt_tag;

out:
    bitcask_buffer_release(&chain.loader.window);
    free(chain.links);
    return status;
}
