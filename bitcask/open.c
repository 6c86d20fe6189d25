/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bitcask/ahead.h"
#include "bitcask/check.h"
#include "bitcask/data_file.h"
#include "bitcask/directory.h"
#include "bitcask/merge.h"
#include "bitcask/status.h"

enum {
    SYNC_INTERVAL_DEFAULT_MS = 1000,
    LOAD_THREADS_DEFAULT = 4,
    FILE_SIZE_MIN = 4096,
    /* A read-only open beside a writer that changes the files under it. */
    READ_ATTEMPTS_MAX = 50,
    READ_SAME_COUNT = 3,
    READ_RETRY_MS = 2,
    /* A guess, for sizing the keydir when nothing better is known. */
    RECORD_SIZE_GUESS = 100,
    MERGE_DEAD_PERCENT_DEFAULT = 50,
    /* At close, for the step that a merge is in: else short sessions never get one done.
     */
    MERGE_GRACE_MS = 250,
};

#define FILE_SIZE_DEFAULT ((uint64_t)64 << 20)
#define MERGE_TRIGGER_DEFAULT ((uint64_t)5 << 20)
#define MERGE_RATE_DEFAULT ((uint64_t)32 << 20)
#define FILE_SIZE_MAX ((uint64_t)256 << 30)
static_assert(FILE_SIZE_MAX + ((uint64_t)4 << 30) < (uint64_t)1
                                                        << BITCASK_PLACE_OFFSET_BITS,
              "every offset fits a place");

/* At close, what is not covered by a hint is scanned at the next open: up to this. */
#define UNHINTED_SIZE_MAX ((uint64_t)1 << 20)

unsigned bitcask_load_threads(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    if (processors < 1)
        return 1;
    return processors < LOAD_THREADS_DEFAULT ? (unsigned)processors
                                             : LOAD_THREADS_DEFAULT;
}

/* Copy @given, which may be NULL, with the defaults filled in. */
static enum bitcask_status take_options(struct bitcask_options *options,
                                        const struct bitcask_options *given)
{
    memset(options, 0, sizeof *options);
    if (given != NULL)
        *options = *given;

    if (bitcask_check_reserved(options->reserved_flags, sizeof options->reserved_flags) !=
            BITCASK_OK ||
        bitcask_check_reserved(options->reserved, sizeof options->reserved) != BITCASK_OK)
        return BITCASK_MISUSE;
    if ((unsigned)options->sync > BITCASK_SYNC_ALWAYS)
        return bitcask_fail(BITCASK_MISUSE, "options.sync is %d, which is no sync mode",
                            (int)options->sync);
    if (options->salvage && !options->read_only)
        return bitcask_fail_constant(BITCASK_MISUSE,
                                     "options.salvage goes with options.read_only");
    if (options->file_size_max != 0 && (options->file_size_max < FILE_SIZE_MIN ||
                                        options->file_size_max > FILE_SIZE_MAX))
        return bitcask_fail(BITCASK_MISUSE,
                            "options.file_size_max is %" PRIu64
                            ", which is not from 4 KiB to 256 GiB",
                            options->file_size_max);

    if (options->merge_dead_percent > 100)
        return bitcask_fail(BITCASK_MISUSE,
                            "options.merge_dead_percent is %" PRIu32
                            ", which is not from 1 to 100",
                            options->merge_dead_percent);

    if (options->sync == BITCASK_SYNC_DEFAULT)
        options->sync = BITCASK_SYNC_INTERVAL;
    if (options->sync_interval_ms == 0)
        options->sync_interval_ms = SYNC_INTERVAL_DEFAULT_MS;
    if (options->file_size_max == 0)
        options->file_size_max = FILE_SIZE_DEFAULT;
    if (options->merge_dead_percent == 0)
        options->merge_dead_percent = MERGE_DEAD_PERCENT_DEFAULT;
    if (options->merge_trigger_size == 0)
        options->merge_trigger_size = MERGE_TRIGGER_DEFAULT;
    if (options->merge_rate == 0)
        options->merge_rate = MERGE_RATE_DEFAULT;
    if (options->threads == 0)
        options->threads = options->no_background ? 1 : bitcask_load_threads();
    return BITCASK_OK;
}

/* What @line has beyond what MANIFEST knows of; what cannot be seen counts as nothing. */
static uint64_t unlisted_size(const struct bitcask *cask,
                              const struct bitcask_manifest_segment *line)
{
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t size = 0;

    if (line->state != BITCASK_MANIFEST_OPEN && line->state != BITCASK_MANIFEST_PREPARED)
        return 0;
    if (bitcask_data_file_open_unchecked(cask->io, cask->directory, line->id,
                                         BITCASK_IO_READ, &file, &size) != BITCASK_OK)
        return 0;
    cask->io->close(cask->io, file);
    return size > line->size ? size - line->size : 0;
}

/* How many keys to make room for: as many as there probably are, or will be. */
static uint64_t guess_key_count(const struct bitcask *cask,
                                const struct bitcask_manifest *manifest)
{
    uint64_t data_size = 0;
    uint64_t unlisted = 0;
    uint64_t count = manifest->key_count;

    for (size_t i = 0; i < manifest->segment_count; i++) {
        data_size += manifest->segments[i].size;
        unlisted += unlisted_size(cask, &manifest->segments[i]);
    }
    if (count > data_size / BITCASK_RECORD_HEADER_SIZE) /* not with these files */
        count = data_size / RECORD_SIZE_GUESS;
    /* After a crash: what was added since has as many new keys as there were before. */
    count += unlisted / (count > 0 ? data_size / count : RECORD_SIZE_GUESS);
    return count > cask->options.expected_keys ? count : cask->options.expected_keys;
}

/* Which segments there are: none in a new cask. */
static enum bitcask_status read_manifest(struct bitcask *cask,
                                         struct bitcask_listing *listing,
                                         struct bitcask_manifest *manifest)
{
    enum bitcask_status status = BITCASK_OK;

    if (listing->manifest) {
        status = bitcask_manifest_read(manifest, cask->io, cask->directory);
        if (status == BITCASK_NOT_FOUND)
            status = bitcask_fail(BITCASK_CORRUPT, "MANIFEST has vanished");
    }
    if (cask->options.salvage && (status == BITCASK_CORRUPT || !listing->manifest))
        return bitcask_listing_salvage(cask, listing, manifest);
    if (status == BITCASK_OK && listing->manifest)
        status = bitcask_listing_check(cask, listing, manifest);
    return status;
}

/* Files that are no part of the cask, for who writes to remove. */
static enum bitcask_status note_outside(const struct bitcask_manifest *manifest,
                                        struct bitcask_commit_start *start)
{
    size_t count = 0;

    for (size_t i = 0; i < manifest->segment_count; i++)
        count += bitcask_manifest_is_outside(manifest->segments[i].state);
    if (count == 0)
        return BITCASK_OK;
    start->had_outside = true;
    start->outside = malloc(count * sizeof *start->outside);
    if (start->outside == NULL)
        return bitcask_fail_memory(count * sizeof *start->outside);
    for (size_t i = 0; i < manifest->segment_count; i++) {
        if (bitcask_manifest_is_outside(manifest->segments[i].state))
            start->outside[start->outside_count++] = manifest->segments[i];
    }
    return BITCASK_OK;
}

/* Everything from the MANIFEST to a full keydir. */
static enum bitcask_status load(struct bitcask *cask, struct bitcask_listing *listing,
                                struct bitcask_commit_start *start, bool *mended)
{
    struct bitcask_manifest manifest;
    struct bitcask_ahead ahead = { .count = 0 };
    uint64_t seed;
    enum bitcask_status status;

    bitcask_manifest_init(&manifest);
    status = read_manifest(cask, listing, &manifest);
    if (status != BITCASK_OK)
        goto out;

    status = cask->io->random(cask->io, &seed, sizeof seed);
    if (status != BITCASK_OK) {
        bitcask_fail_errno(status, "get random bytes for a seed");
        goto out;
    }
    status = bitcask_segments_init(&cask->segments, cask->io, cask->directory,
                                   !cask->options.no_mapping);
    if (status == BITCASK_OK)
        status =
            bitcask_keydir_create(&cask->keydir, guess_key_count(cask, &manifest), seed);
    if (status == BITCASK_OK && !cask->options.read_only)
        status = bitcask_ahead_begin(&ahead, cask->io, cask->directory, &manifest,
                                     cask->options.threads > 1);
    if (status == BITCASK_OK)
        status = bitcask_load_sealed(cask, &manifest);
    if (status == BITCASK_OK)
        status = bitcask_recover(cask, &manifest, cask->options.read_only ? NULL : &ahead,
                                 start, mended);
    if (status == BITCASK_OK) {
        bitcask_keydir_drop_tombstones(cask->keydir);
        cask->last_sequence = start->last_sequence;
        if (!cask->options.read_only)
            status = note_outside(&manifest, start);
    }

out:
    bitcask_ahead_release(&ahead);
    bitcask_manifest_release(&manifest);
    return status;
}

/* Undo load(), for another attempt. */
static void unload(struct bitcask *cask, struct bitcask_commit_start *start)
{
    memset(start, 0, sizeof *start);
    bitcask_keydir_close(cask->keydir);
    cask->keydir = NULL;
    bitcask_segments_release(&cask->segments);
    atomic_store(&cask->hint_count, 0);
    atomic_store(&cask->scan_count, 0);
    atomic_store(&cask->damage_count, 0);
    cask->cut_count = 0;
    cask->cut_size = 0;
}

/*
 * The last attempt has ended in @status, and began with the MANIFEST @text. If that is
 * another one by now, nothing is known of damage.
 */
static enum bitcask_status end_attempts(struct bitcask *cask, enum bitcask_status status,
                                        const struct bitcask_buffer *text)
{
    struct bitcask_buffer now = { 0 };
    char detail[BITCASK_DETAIL_SIZE];
    bool changed;

    (void)snprintf(detail, sizeof detail, "%s", bitcask_error_detail());
    changed = bitcask_manifest_read_text(cask->io, cask->directory, &now) == BITCASK_OK &&
              (now.size != text->size ||
               (now.size > 0 && memcmp(now.data, text->data, now.size) != 0));
    bitcask_buffer_release(&now);
    if (status == BITCASK_CORRUPT && changed)
        return bitcask_fail_constant(BITCASK_LOCKED,
                                     "a writer has changed the cask each time it was "
                                     "read: try again when less is written or merged");
    return status == BITCASK_OK ? status : bitcask_fail(status, "%s", detail);
}

/*
 * Beside a live writer, files may change between one look and the next. What looks
 * like damage is damage if it still does, at the same place, when looked at afresh.
 */
static enum bitcask_status try_read_only(struct bitcask *cask,
                                         struct bitcask_commit_start *start,
                                         struct bitcask_buffer *text)
{
    char before[BITCASK_DETAIL_SIZE] = "";
    int same_count = 0;

    for (int attempt = 1;; attempt++) {
        struct bitcask_listing listing;
        bool mended;
        enum bitcask_status status;

        if (attempt == READ_ATTEMPTS_MAX)
            (void)bitcask_manifest_read_text(cask->io, cask->directory, text);
        status = bitcask_directory_list(cask->io, cask->directory, &listing);
        if (status == BITCASK_OK && !listing.manifest)
            status = bitcask_directory_check_unused(cask, &listing);
        if (status == BITCASK_OK)
            status = load(cask, &listing, start, &mended);
        bitcask_listing_release(&listing);
        if (status != BITCASK_CORRUPT && atomic_load(&cask->damage_count) == 0)
            return status;

        same_count = strcmp(before, bitcask_error_detail()) == 0 ? same_count + 1 : 1;
        if (same_count == READ_SAME_COUNT)
            return status;
        if (attempt == READ_ATTEMPTS_MAX)
            return end_attempts(cask, status, text);
        (void)snprintf(before, sizeof before, "%s", bitcask_error_detail());
        unload(cask, start);
        cask->io->sleep_ms(cask->io, READ_RETRY_MS);
    }
}

static enum bitcask_status load_read_only(struct bitcask *cask,
                                          struct bitcask_commit_start *start)
{
    struct bitcask_buffer text = { 0 }; /* of the MANIFEST, at the last attempt */
    enum bitcask_status status = try_read_only(cask, start, &text);

    bitcask_buffer_release(&text);
    return status;
}

static void on_unsynced(void *context)
{
    struct bitcask *cask = context;

    bitcask_background_unsynced(&cask->background);
}

static void on_sealed(struct bitcask_segment *segment, void *context)
{
    struct bitcask *cask = context;

    bitcask_background_hint(&cask->background, segment);
}

static void on_grown(void *context)
{
    struct bitcask *cask = context;

    bitcask_background_grown(&cask->background);
}

static void on_ahead(void *context)
{
    struct bitcask *cask = context;

    bitcask_background_ahead(&cask->background);
}

static bool on_prepare(void *context)
{
    struct bitcask *cask = context;

    return bitcask_keydir_prepare(cask->keydir);
}

static void on_ended(void *context)
{
    struct bitcask *cask = context;

    bitcask_background_ended(&cask->background);
}

static enum bitcask_status on_merge(void *context)
{
    return bitcask_merge_by_itself(context);
}

static uint64_t on_key_count(void *context)
{
    struct bitcask *cask = context;

    return bitcask_keydir_count(cask->keydir);
}

/* Segments that had to be scanned, or that recovery has just sealed. */
static void hint_what_has_none(struct bitcask *cask)
{
    uint32_t count = atomic_load(&cask->segments.count);

    for (uint32_t i = 0; i < count; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(&cask->segments, i);

        if (segment != NULL && atomic_load(&segment->sealed) &&
            segment->hint_size < atomic_load(&segment->data_size))
            bitcask_background_hint(&cask->background, segment);
    }
}

/*
 * Remove what the MANIFEST calls a draft or retired; what cannot be removed now is listed
 * on, and can be later. Whoever wrote that MANIFEST may have died before it was durable:
 * the one before it may need the files.
 */
static enum bitcask_status remove_what_is_outside(struct bitcask *cask)
{
    enum bitcask_status status = cask->io->directory_sync(cask->io, cask->directory);

    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "sync the directory before removing files that "
                                          "a merge has left");
    (void)bitcask_commit_tidy(&cask->commit);
    return BITCASK_OK;
}

/* The queue for appends, and with it the right to change the directory. */
static enum bitcask_status start_writing(struct bitcask *cask, bool is_new, bool mended,
                                         const struct bitcask_commit_start *start)
{
    struct bitcask_commit_listener listener = {
        .unsynced = on_unsynced,
        .sealed = on_sealed,
        .key_count = on_key_count,
        .grown = on_grown,
        .ahead = on_ahead,
        .ended = on_ended,
        .context = cask,
    };
    struct bitcask_background_work work = {
        .commit = &cask->commit,
        .segments = &cask->segments,
        .interval_ms = cask->options.sync == BITCASK_SYNC_INTERVAL
                           ? cask->options.sync_interval_ms
                           : 0,
        .merge = cask->options.merge_auto_off ? NULL : on_merge,
        .prepare = on_prepare,
        .context = cask,
    };
    enum bitcask_status status;

    status = bitcask_commit_init(&cask->commit, &cask->segments, start, &listener,
                                 cask->options.file_size_max,
                                 cask->options.merge_trigger_size);
    if (status != BITCASK_OK) {
        free(start->outside);
        return status;
    }
    status = bitcask_merges_init(&cask->merges);
    cask->merges.overdue = cask->commit.total_size > cask->commit.merge_size;
    if (status == BITCASK_OK && cask->commit.outside_count > 0)
        status = remove_what_is_outside(cask);
    if (status == BITCASK_OK && is_new) {
        status = cask->io->directory_sync_parent(cask->io, cask->directory);
        /* Who made the directory may have had the right to; we need not have it. */
        if (status == BITCASK_IO && errno == EACCES && !cask->created)
            status = BITCASK_OK;
        if (status != BITCASK_OK)
            bitcask_fail_errno(status, "sync the parent of the directory");
    }
    if (status == BITCASK_OK && (is_new || mended))
        status = bitcask_commit_prepare(&cask->commit);
    if (status != BITCASK_OK)
        return status;

    work.merge_at_once = cask->merges.overdue;
    bitcask_background_start(&cask->background, &work, !cask->options.no_background);
    hint_what_has_none(cask);
    if (cask->commit.total_size > cask->commit.merge_size)
        on_grown(cask);
    return BITCASK_OK;
}

static enum bitcask_status open_for_writing(struct bitcask *cask)
{
    struct bitcask_commit_start start = { 0 };
    struct bitcask_listing listing;
    bool mended = false;
    enum bitcask_status status;

    /* Look before touching anything, and again when nobody else can. */
    status = bitcask_directory_list(cask->io, cask->directory, &listing);
    if (status == BITCASK_OK && !listing.manifest)
        status = bitcask_directory_check_unused(cask, &listing);
    bitcask_listing_release(&listing);
    if (status == BITCASK_OK)
        status = bitcask_directory_lock(cask->io, cask->directory, &cask->lock);
    if (status != BITCASK_OK)
        return status;

    status = bitcask_directory_list(cask->io, cask->directory, &listing);
    if (status == BITCASK_OK && !listing.manifest) {
        status = bitcask_directory_check_unused(cask, &listing);
        if (status == BITCASK_OK)
            status = bitcask_directory_clear(cask, &listing);
    }
    if (status == BITCASK_OK)
        status = load(cask, &listing, &start, &mended);
    if (status == BITCASK_OK)
        status = start_writing(cask, !listing.manifest, mended, &start);
    bitcask_listing_release(&listing);
    return status;
}

static void stop_merges(struct bitcask *cask)
{
    bitcask_merges_stop(&cask->merges, cask->io->monotonic_ms(cask->io) + MERGE_GRACE_MS);
}

/* Give back everything but what is on disk. */
static void release(struct bitcask *cask)
{
    bitcask_directory_unlock(cask->io, cask->lock);
    bitcask_background_release(&cask->background);
    bitcask_merges_release(&cask->merges);
    bitcask_commit_release(&cask->commit);
    bitcask_keydir_close(cask->keydir);
    bitcask_segments_release(&cask->segments);
    if (cask->directory != BITCASK_NO_FILE)
        cask->io->close(cask->io, cask->directory);
    free(cask);
}

/*
 * In a child made by fork(): descriptors and mappings are its own, but the lock is one
 * with the parent's and not the child's to give up. Locks and conditions are left
 * alone: somebody may be waiting on them for ever.
 */
static void release_in_child(struct bitcask *cask)
{
    bitcask_background_abandon(&cask->background);
    bitcask_commit_abandon(&cask->commit);
    bitcask_keydir_abandon(cask->keydir);
    bitcask_segments_abandon(&cask->segments);
    if (cask->lock != BITCASK_NO_FILE)
        cask->io->close(cask->io, cask->lock);
    if (cask->directory != BITCASK_NO_FILE)
        cask->io->close(cask->io, cask->directory);
    free(cask);
}

enum bitcask_status bitcask_open_with(struct bitcask_io *io, struct bitcask **out,
                                      const char *directory,
                                      const struct bitcask_options *given)
{
    struct bitcask_options options;
    struct bitcask *cask;
    uint64_t begun_ms;
    enum bitcask_status status;

    if (out == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the place for the cask is NULL");
    *out = NULL;
    if (directory == NULL || directory[0] == '\0')
        return bitcask_fail_constant(BITCASK_MISUSE, "the directory is NULL or empty");
    status = take_options(&options, given);
    if (status != BITCASK_OK)
        return status;

    cask = calloc(1, sizeof *cask);
    if (cask == NULL)
        return bitcask_fail_memory(sizeof *cask);
    cask->io = io;
    cask->directory = BITCASK_NO_FILE;
    cask->lock = BITCASK_NO_FILE;
    cask->options = options;
    cask->fork_count = bitcask_fork_count();

    begun_ms = io->monotonic_ms(io);
    status = bitcask_directory_open(cask, directory);
    if (status == BITCASK_OK && options.read_only) {
        struct bitcask_commit_start start = { 0 };

        status = load_read_only(cask, &start);
        if (status == BITCASK_OK) /* for dry runs */
            status = bitcask_merges_init(&cask->merges);
        cask->merges.overdue = cask->commit.total_size > cask->commit.merge_size;
    } else if (status == BITCASK_OK) {
        status = open_for_writing(cask);
    }
    cask->open_ms = io->monotonic_ms(io) - begun_ms;

    if (status != BITCASK_OK) {
        bool created = cask->created;

        stop_merges(cask);
        bitcask_background_stop(&cask->background);
        release(cask);
        if (created) /* goes only if nothing was made in it */
            io->directory_remove(io, directory);
        return bitcask_fail(status, "%s: %s", directory, bitcask_error_detail());
    }
    *out = cask;
    return BITCASK_OK;
}

enum bitcask_status bitcask_open(struct bitcask **out, const char *directory,
                                 const struct bitcask_options *options)
{
    return bitcask_open_with(bitcask_io_posix(), out, directory, options);
}

/* The active segment has a hint at close if a scan of what has none would take long. */
static void hint_active(struct bitcask *cask)
{
    struct bitcask_segment *active = cask->commit.active;
    uint64_t size;

    if (active == NULL)
        return;
    size = atomic_load(&active->data_size);
    if (size - active->hint_size > UNHINTED_SIZE_MAX)
        (void)bitcask_segment_write_hint(&cask->segments, active, size);
}

enum bitcask_status bitcask_close(struct bitcask *cask)
{
    enum bitcask_status status = BITCASK_OK;

    if (cask == NULL)
        return BITCASK_OK;
    if (bitcask_cask_check(cask) != BITCASK_OK) {
        release_in_child(cask);
        return BITCASK_MISUSE;
    }
    if (!cask->options.read_only) {
        stop_merges(cask);
        bitcask_background_stop(&cask->background);
        (void)bitcask_commit_tidy(&cask->commit);
        status = bitcask_commit_finish(&cask->commit);
        if (status == BITCASK_OK)
            hint_active(cask);
    }
    release(cask);
    return status;
}
