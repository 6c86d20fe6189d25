/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/cask.h"
#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "bitcask/status.h"
#include "hint/hint.h"

enum {
    LOAD_THREADS_MAX = 64,
    ENTRIES_PARALLEL_MIN = 10000 /* fewer are loaded sooner than a thread is there */
};

/* The sealed segments of a manifest, and the threads that load them. */
struct load {
    struct bitcask *cask;
    const struct bitcask_manifest_segment **lines;
    struct bitcask_segment **segments;
    _Atomic bool *hints_verified; /* by one of them; NULL: each has to do it itself */
    size_t count;
    const struct bitcask_hint_writer *entries; /* of the first, and nothing else */
    _Atomic bool stop;

    pthread_mutex_t lock; /* of the failure */
    enum bitcask_status status;
    char detail[BITCASK_DETAIL_SIZE];
};

/* One of them. */
struct load_part {
    struct load *load;
    struct bitcask_loader loader;
    pthread_t thread;
    bool started;
};

enum bitcask_status bitcask_load_open(struct bitcask *cask, uint64_t id, uint64_t salt,
                                      bitcask_file *out, uint64_t *size, bool *torn)
{
    enum bitcask_status status = bitcask_data_file_open(
        cask->io, cask->directory, id, salt, BITCASK_IO_READ, out, size, torn);

    if (cask->options.salvage &&
        (status == BITCASK_UNSUPPORTED || (status == BITCASK_CORRUPT && *torn))) {
        *torn = true;
        status = bitcask_data_file_open_unchecked(cask->io, cask->directory, id,
                                                  BITCASK_IO_READ, out, size);
    }
    return status;
}

/* Whether the keys of the shard that @hash belongs to are loaded by this thread. */
static bool is_mine(const struct bitcask_loader *loader, uint64_t hash)
{
    return bitcask_keydir_shard(hash) % loader->part_count == loader->part;
}

/* Put @items, all of @segment, into the keydir, and count what is live because of it. */
static enum bitcask_status load_items(struct bitcask_loader *loader,
                                      struct bitcask_segment *segment,
                                      struct bitcask_load_item *items, size_t count)
{
    struct bitcask *cask = loader->cask;
    uint64_t live_size = 0;
    uint64_t live_count = 0;
    enum bitcask_status status = bitcask_keydir_load(cask->keydir, items, count);

    if (status != BITCASK_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        if ((items[i].place.flags & BITCASK_PLACE_TOMBSTONE) == 0) {
            live_size += bitcask_place_record_size(&items[i].place, items[i].key.size);
            live_count++;
        }
        if (items[i].displaces)
            bitcask_cask_count_dead(cask, &items[i].displaced, items[i].key.size);
    }
    atomic_fetch_add_explicit(&segment->live_size, live_size, memory_order_relaxed);
    atomic_fetch_add_explicit(&segment->live_count, live_count, memory_order_relaxed);
    return BITCASK_OK;
}

/* An expired record is a tombstone in every respect. */
static unsigned place_flags(unsigned kind, unsigned record_flags, uint64_t expiry_ms,
                            uint64_t now_ms)
{
    if (kind == BITCASK_RECORD_TOMBSTONE)
        return BITCASK_PLACE_TOMBSTONE;
    if ((record_flags & BITCASK_RECORD_EXPIRES) == 0)
        return 0;
    return now_ms >= expiry_ms ? BITCASK_PLACE_TOMBSTONE : BITCASK_PLACE_EXPIRES;
}

enum bitcask_status bitcask_load_record(struct bitcask_loader *loader,
                                        struct bitcask_segment *segment,
                                        const struct bitcask_record *record,
                                        uint64_t offset, struct bitcask_slice key)
{
    struct bitcask_load_item item = {
        .key = key,
        .place = {
            .sequence = record->sequence,
            .offset = offset,
            .segment = segment->index,
            .value_size = record->value_size,
            .flags = place_flags(record->kind, record->flags, record->expiry_ms,
                                 loader->now_ms),
        },
    };

    if (loader->part == 0)
        bitcask_segment_count_record(segment, record, record->sequence);
    if (loader->cask->keydir == NULL)
        return BITCASK_OK;
    item.hash = bitcask_keydir_hash(loader->cask->keydir, key);
    return is_mine(loader, item.hash) ? load_items(loader, segment, &item, 1)
                                      : BITCASK_OK;
}

/* Entries taken from a hint at a time: enough for some of them to be ours. */
enum {
    TAKE_COUNT = 64
};

/* Load those of @entries that are ours, so many at a time that their misses overlap. */
static enum bitcask_status load_some(struct bitcask_loader *loader,
                                     struct bitcask_segment *segment,
                                     const struct bitcask_hint_entry *entries,
                                     size_t entry_count)
{
    struct bitcask_load_item items[BITCASK_LOAD_ITEMS_MAX];
    size_t count = 0;
    enum bitcask_status status = BITCASK_OK;

    if (loader->cask->keydir == NULL)
        return BITCASK_OK;
    for (size_t i = 0; i < entry_count && status == BITCASK_OK; i++) {
        const struct bitcask_hint_entry *entry = &entries[i];
        struct bitcask_load_item *item = &items[count];

        item->key = entry->key;
        item->hash = bitcask_keydir_hash(loader->cask->keydir, entry->key);
        if (!is_mine(loader, item->hash))
            continue;
        item->place.sequence = entry->sequence;
        item->place.offset = entry->offset;
        item->place.segment = segment->index;
        item->place.value_size = entry->value_size;
        item->place.flags =
            place_flags(entry->kind, entry->flags, entry->expiry_ms, loader->now_ms);
        if (++count == BITCASK_LOAD_ITEMS_MAX) {
            status = load_items(loader, segment, items, count);
            count = 0;
        }
    }
    if (status == BITCASK_OK && count > 0)
        status = load_items(loader, segment, items, count);
    return status;
}

/* Note the records that delete, now or one day, among @entries. */
static void count_tombstones(struct bitcask_segment *segment,
                             const struct bitcask_hint_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].kind == BITCASK_RECORD_TOMBSTONE)
            bitcask_segment_count_tombstone(segment, entries[i].sequence,
                                            BITCASK_RECORD_HEADER_SIZE +
                                                entries[i].key.size);
        if ((entries[i].flags & BITCASK_RECORD_EXPIRES) != 0)
            atomic_store(&segment->expires, true);
    }
}

static enum bitcask_status load_entries(struct bitcask_loader *loader,
                                        struct bitcask_segment *segment,
                                        struct bitcask_hint *hint)
{
    struct bitcask_hint_entry entries[TAKE_COUNT];
    size_t count;
    enum bitcask_status status;

    while ((status = bitcask_hint_take(hint, entries, TAKE_COUNT, &count)) ==
           BITCASK_OK) {
        status = load_some(loader, segment, entries, count);
        if (status != BITCASK_OK)
            return status;
        if (loader->part == 0)
            count_tombstones(segment, entries, count);
    }
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

static bool on_terms(const struct bitcask_hint_trailer *trailer,
                     const struct bitcask_hint_terms *terms)
{
    uint64_t last_sequence = terms->last_sequence;

    if (trailer->data_size < terms->covered_min ||
        trailer->data_size > terms->covered_max)
        return false;
    if (last_sequence == 0 || trailer->data_size < terms->covered_max)
        last_sequence = terms->first_sequence + trailer->entry_count - 1;
    if (trailer->entry_count == 0)
        return trailer->data_size == BITCASK_FILE_HEADER_SIZE;
    return trailer->first_sequence == terms->first_sequence &&
           trailer->last_sequence == last_sequence;
}

enum bitcask_status bitcask_load_hint(struct bitcask_loader *loader,
                                      struct bitcask_segment *segment,
                                      const struct bitcask_hint_terms *terms,
                                      uint64_t *covered, uint64_t *hinted)
{
    struct bitcask *cask = loader->cask;
    struct bitcask_hint hint;
    enum bitcask_status status;

    *covered = 0;
    *hinted = 0;
    status = (loader->hint_trusted ? bitcask_hint_open_verified : bitcask_hint_open)(
        &hint, cask->io, cask->directory, segment->id, segment->salt, &loader->window);
    loader->hint_whole = status == BITCASK_OK;
    if (status != BITCASK_OK)
        return bitcask_hint_is_absent(status) ? BITCASK_OK : status;

    *hinted = hint.trailer.data_size;
    if (on_terms(&hint.trailer, terms)) {
        status = load_entries(loader, segment, &hint);
        *covered = hint.trailer.data_size;
    }
    bitcask_hint_close(&hint);
    if (status == BITCASK_CORRUPT) { /* it was whole a moment ago: then without it */
        *covered = 0;
        status = BITCASK_OK;
        if (loader->part == 0)
            atomic_store(&segment->tombstone_size, 0);
    }
    if (status != BITCASK_OK || *covered == 0 || loader->part != 0)
        return status;

    segment->hint_size = hint.trailer.data_size;
    atomic_store(&segment->record_count, hint.trailer.entry_count);
    atomic_store(&segment->tombstone_count, hint.trailer.tombstone_count);
    atomic_store(&segment->first_sequence, hint.trailer.first_sequence);
    atomic_store(&segment->last_sequence, hint.trailer.last_sequence);
    atomic_fetch_add(&cask->hint_count, 1);
    return BITCASK_OK;
}

/* Load what was taken from the records themselves. */
static enum bitcask_status load_taken(struct bitcask_loader *loader,
                                      struct bitcask_segment *segment,
                                      const struct bitcask_hint_writer *entries)
{
    struct bitcask_buffer window;
    struct bitcask_hint hint;

    bitcask_hint_of_writer(&hint, entries, &window);
    return load_entries(loader, segment, &hint);
}

/* Load every record of a sealed segment from @offset on by reading the data file. */
static enum bitcask_status scan_file(struct bitcask_loader *loader,
                                     struct bitcask_segment *segment, bitcask_file file,
                                     uint64_t offset)
{
    struct bitcask *cask = loader->cask;
    struct bitcask_walk_record record;
    struct bitcask_walk walk;
    enum bitcask_status status;

    status = bitcask_walk_init(&walk, cask->io, file, segment->id, segment->salt,
                               atomic_load(&segment->data_size));
    walk.offset = offset;
    while (status == BITCASK_OK) {
        status = bitcask_walk_next(&walk, &record);
        if (status == BITCASK_CORRUPT && cask->options.salvage) {
            struct bitcask_record ignored;

            if (loader->part == 0)
                atomic_fetch_add(&cask->damage_count, 1);
            walk.offset++;
            status = bitcask_walk_resync(&walk, 1, UINT64_MAX, &ignored);
            continue;
        }
        if (status == BITCASK_OK)
            status = bitcask_load_record(loader, segment, &record.header, record.offset,
                                         record.key);
    }
    bitcask_walk_release(&walk);
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

/* What a scan found must be what was sealed; only damage makes it something else. */
static enum bitcask_status check_sequences(struct bitcask *cask,
                                           const struct bitcask_manifest_segment *line,
                                           const struct bitcask_segment *segment)
{
    uint64_t first = atomic_load(&segment->first_sequence);
    uint64_t last = atomic_load(&segment->last_sequence);

    if (cask->options.salvage ||
        (first == line->first_sequence && last == line->last_sequence))
        return BITCASK_OK;
    return bitcask_fail(BITCASK_CORRUPT,
                        "%010" PRIu64 ".data has the sequences %" PRIu64 " to %" PRIu64
                        ", MANIFEST says %" PRIu64 " to %" PRIu64
                        "; " BITCASK_DAMAGE_ADVICE,
                        line->id, first, last, line->first_sequence, line->last_sequence);
}

static enum bitcask_status scan_sealed(struct bitcask_loader *loader,
                                       const struct bitcask_manifest_segment *line,
                                       struct bitcask_segment *segment, uint64_t offset)
{
    struct bitcask *cask = loader->cask;
    bitcask_file file;
    uint64_t size;
    bool torn;
    enum bitcask_status status;

    status = bitcask_load_open(cask, line->id, line->salt, &file, &size, &torn);
    if (status != BITCASK_OK)
        return status == BITCASK_NOT_FOUND ? BITCASK_CORRUPT : status;
    status = scan_file(loader, segment, file, offset);
    cask->io->close(cask->io, file);
    if (status != BITCASK_OK || loader->part != 0)
        return status;
    atomic_fetch_add(&cask->scan_count, 1);
    return check_sequences(cask, line, segment);
}

/* By its hint as far as that goes, then by reading the file. */
static enum bitcask_status load_sealed(struct bitcask_loader *loader,
                                       const struct bitcask_manifest_segment *line,
                                       struct bitcask_segment *segment)
{
    struct bitcask_hint_terms terms = { BITCASK_FILE_HEADER_SIZE, line->size,
                                        line->first_sequence, line->last_sequence };
    uint64_t covered, hinted;
    enum bitcask_status status;

    if (atomic_load(&segment->data_size) == 0) /* salvage goes without this file */
        return BITCASK_OK;
    status = bitcask_load_hint(loader, segment, &terms, &covered, &hinted);
    if (status == BITCASK_IO) { /* the data has it all, and no proof is wanted here */
        covered = 0;
        status = BITCASK_OK;
    }
    if (status == BITCASK_OK && covered < line->size)
        status = scan_sealed(loader, line, segment,
                             covered > 0 ? covered : BITCASK_FILE_HEADER_SIZE);
    return status;
}

/* The file must be what the MANIFEST says; with salvage, as much of it as there is. */
static enum bitcask_status check_size(struct bitcask *cask,
                                      const struct bitcask_manifest_segment *line,
                                      struct bitcask_segment *segment, uint64_t *size)
{
    if (*size > line->size) { /* never ours: nothing is appended to what is sealed */
        bool unused;
        enum bitcask_status status = bitcask_data_file_is_unused(
            cask->io, atomic_load(&segment->file), line->id, line->size, *size, &unused);

        if (status != BITCASK_OK)
            return status;
        segment->unused_size = unused ? *size - line->size : 0;
        segment->cut_offset = unused ? 0 : line->size;
        segment->cut_size = unused ? 0 : *size - line->size;
        *size = line->size;
    } else if (*size < line->size) {
        if (!cask->options.salvage)
            return bitcask_fail(BITCASK_CORRUPT,
                                "%010" PRIu64 ".data, offset %" PRIu64
                                ": the file is cut off here, MANIFEST says it has "
                                "%" PRIu64 " bytes; " BITCASK_DAMAGE_ADVICE,
                                line->id, *size, line->size);
        atomic_fetch_add(&cask->damage_count, 1);
    }
    return BITCASK_OK;
}

/* Look at the file of a sealed segment, and make it readable. */
static enum bitcask_status open_sealed(struct bitcask *cask,
                                       const struct bitcask_manifest_segment *line,
                                       struct bitcask_segment *segment)
{
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t size = 0;
    bool torn;
    enum bitcask_status status;

    status = bitcask_load_open(cask, line->id, line->salt, &file, &size, &torn);
    if (torn)
        atomic_fetch_add(&cask->damage_count, 1);
    if (status == BITCASK_NOT_FOUND)
        status = bitcask_fail(BITCASK_CORRUPT,
                              "%010" PRIu64 ".data is missing, though MANIFEST lists "
                              "it; " BITCASK_DAMAGE_ADVICE,
                              line->id);
    if (status == BITCASK_CORRUPT && cask->options.salvage) {
        atomic_fetch_add(&cask->damage_count, 1);
        return BITCASK_OK;
    }
    if (status != BITCASK_OK)
        return status;

    atomic_store(&segment->file, file);
    status = check_size(cask, line, segment, &size);
    if (status != BITCASK_OK)
        return status;
    atomic_store(&segment->data_size, size);
    atomic_store(&segment->sealed, true);
    segment->name_synced = true;
    bitcask_segment_map(&cask->segments, segment, size);
    bitcask_segment_park(&cask->segments, segment);
    return BITCASK_OK;
}

/* The first failure is told, with the words of the thread that met it. */
static void remember_failure(struct load *load, enum bitcask_status status)
{
    atomic_store(&load->stop, true);
    (void)pthread_mutex_lock(&load->lock);
    if (load->status == BITCASK_OK) {
        load->status = status;
        strncpy(load->detail, bitcask_error_detail(), sizeof load->detail - 1);
    }
    (void)pthread_mutex_unlock(&load->lock);
}

static enum bitcask_status load_one(struct load_part *part, size_t i)
{
    struct load *load = part->load;
    struct bitcask_loader *loader = &part->loader;
    enum bitcask_status status;

    if (load->entries != NULL)
        return load_taken(loader, load->segments[i], load->entries);
    loader->hint_trusted =
        load->hints_verified != NULL && atomic_load(&load->hints_verified[i]);
    loader->hint_whole = false;
    status = load_sealed(loader, load->lines[i], load->segments[i]);
    if (load->hints_verified != NULL && loader->hint_whole)
        atomic_store(&load->hints_verified[i], true);
    return status;
}

/* Each begins elsewhere, and finds that others have verified what it comes to later. */
static void *run_part(void *context)
{
    struct load_part *part = context;
    struct load *load = part->load;
    size_t first = load->count * part->loader.part / part->loader.part_count;

    for (size_t k = 0; k < load->count && !atomic_load(&load->stop); k++) {
        enum bitcask_status status = load_one(part, (first + k) % load->count);

        if (status != BITCASK_OK)
            remember_failure(load, status);
    }
    bitcask_buffer_release(&part->loader.window);
    return NULL;
}

/* Part 0, and any for which no thread can be had, is done by this one. */
static void run_parts(struct load *load, unsigned part_count)
{
    struct load_part parts[LOAD_THREADS_MAX];
    uint64_t now_ms = load->cask->io->wall_ms(load->cask->io);
    sigset_t all, before;

    (void)sigfillset(&all); /* signals are the embedder's, not our threads' */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);

    for (unsigned i = 0; i < part_count; i++) {
        parts[i] = (struct load_part){
            .load = load,
            .loader = { .cask = load->cask,
                        .now_ms = now_ms,
                        .part = i,
                        .part_count = part_count },
        };
        parts[i].started =
            i > 0 && pthread_create(&parts[i].thread, NULL, run_part, &parts[i]) == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (unsigned i = 0; i < part_count; i++) {
        if (!parts[i].started)
            (void)run_part(&parts[i]);
    }
    for (unsigned i = 0; i < part_count; i++) {
        if (parts[i].started)
            (void)pthread_join(parts[i].thread, NULL);
    }
}

enum bitcask_status bitcask_load_entries(struct bitcask *cask,
                                         struct bitcask_segment *segment,
                                         const struct bitcask_hint_writer *entries)
{
    const struct bitcask_hint_trailer *trailer = &entries->trailer;
    unsigned part_count = cask->options.threads;
    struct load load = {
        .cask = cask, .segments = &segment, .count = 1, .entries = entries
    };

    if (pthread_mutex_init(&load.lock, NULL) != 0)
        return bitcask_fail_constant(BITCASK_NO_MEMORY, "there is no memory for a lock");
    if (part_count > LOAD_THREADS_MAX)
        part_count = LOAD_THREADS_MAX;
    run_parts(&load, trailer->entry_count < ENTRIES_PARALLEL_MIN ? 1 : part_count);
    (void)pthread_mutex_destroy(&load.lock);
    if (load.status != BITCASK_OK)
        return bitcask_fail(load.status, "%s", load.detail);
    atomic_store(&segment->record_count, trailer->entry_count);
    atomic_store(&segment->tombstone_count, trailer->tombstone_count);
    atomic_store(&segment->first_sequence, trailer->first_sequence);
    atomic_store(&segment->last_sequence, trailer->last_sequence);
    return BITCASK_OK;
}

/* The table gets all segments before a thread looks at any. */
static enum bitcask_status open_all(struct load *load,
                                    const struct bitcask_manifest *manifest)
{
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < manifest->segment_count && status == BITCASK_OK; i++) {
        const struct bitcask_manifest_segment *line = &manifest->segments[i];
        struct bitcask_segment **segment = &load->segments[load->count];

        if (line->state != BITCASK_MANIFEST_SEALED)
            continue;
        status = bitcask_segments_add(&load->cask->segments, line->id, line->salt,
                                      BITCASK_NO_FILE, segment);
        if (status == BITCASK_OK)
            status = open_sealed(load->cask, line, *segment);
        if (status == BITCASK_OK)
            (*segment)->purged_sequence = line->purged_sequence;
        load->lines[load->count++] = line;
    }
    return status;
}

enum bitcask_status bitcask_load_sealed(struct bitcask *cask,
                                        const struct bitcask_manifest *manifest)
{
    size_t count = manifest->segment_count > 0 ? manifest->segment_count : 1;
    unsigned part_count = cask->options.threads;
    struct load load = { .cask = cask };
    enum bitcask_status status;

    load.lines = calloc(count, sizeof(const struct bitcask_manifest_segment *));
    load.segments = calloc(count, sizeof(struct bitcask_segment *));
    if (!cask->options.read_only) /* else a live writer may replace a hint meanwhile */
        load.hints_verified = calloc(count, sizeof *load.hints_verified);
    if (load.lines == NULL || load.segments == NULL ||
        pthread_mutex_init(&load.lock, NULL) != 0) {
        status = bitcask_fail_memory(count * sizeof(struct bitcask_segment *));
        goto out;
    }

    status = open_all(&load, manifest);
    if (status == BITCASK_OK && load.count > 0) {
        run_parts(&load, part_count < LOAD_THREADS_MAX ? part_count : LOAD_THREADS_MAX);
        if (load.status != BITCASK_OK)
            status = bitcask_fail(load.status, "%s", load.detail);
    }
    (void)pthread_mutex_destroy(&load.lock);

out:
    free(load.lines);
    free(load.hints_verified);
    free(load.segments);
    return status;
}
