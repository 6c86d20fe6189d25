/* SPDX-License-Identifier: MIT */
/*
 * Verifying: what there is, read from end to end.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "bitcask/scan.h"
#include "bitcask/verify.h"
#include "bitcask/zeros.h"

enum {
    THREADS_MAX = 64,
    JUDGE_MAX = 4, /* so often recovery is asked before it is believed that all is bad */
    JUDGE_RETRY_MS = 20,
    SLEEP_MAX_MS = 100
};

enum bitcask_status bitcask_pace_stop(enum bitcask_status status)
{
    return status == BITCASK_OK
               ? status
               : bitcask_fail_constant(status, "a callback has ended it");
}

enum bitcask_status bitcask_pace_init(struct bitcask_pace *pace, struct bitcask_io *io,
                                      uint64_t rate, bitcask_inspect_visit *visit,
                                      void *context)
{
    memset(pace, 0, sizeof *pace);
    if (pthread_mutex_init(&pace->lock, NULL) != 0)
        return bitcask_fail_constant(BITCASK_NO_MEMORY, "there is no memory for a lock");
    pace->ready = true;
    pace->io = io;
    pace->rate = rate;
    pace->visit = visit;
    pace->context = context;
    pace->begin_ms = io->monotonic_ms(io);
    return BITCASK_OK;
}

void bitcask_pace_release(struct bitcask_pace *pace)
{
    if (pace->ready)
        (void)pthread_mutex_destroy(&pace->lock);
    memset(pace, 0, sizeof *pace);
}

/* How long the reader is ahead of its rate. */
static uint64_t ahead_ms(struct bitcask_pace *pace)
{
    uint64_t spent_ms = pace->io->monotonic_ms(pace->io) - pace->begin_ms;
    uint64_t done_size = pace->progress.done_size;
    uint64_t due_ms;

    if (pace->rate == 0)
        return 0;
    due_ms = done_size / pace->rate * 1000 + done_size % pace->rate * 1000 / pace->rate;
    return due_ms > spent_ms ? due_ms - spent_ms : 0;
}

enum bitcask_status bitcask_pace_step(void *context, uint64_t read_size)
{
    struct bitcask_pace *pace = context;
    enum bitcask_status status = BITCASK_OK;
    uint64_t wait_ms;

    do {
        (void)pthread_mutex_lock(&pace->lock);
        pace->progress.done_size += read_size;
        if (pace->progress.done_size > pace->progress.total_size)
            pace->progress.total_size = pace->progress.done_size; /* it has grown */
        if (pace->visit != NULL)
            status = bitcask_pace_stop(pace->visit(&pace->progress, pace->context));
        wait_ms = ahead_ms(pace);
        (void)pthread_mutex_unlock(&pace->lock);
        read_size = 0;
        if (wait_ms > 0 && status == BITCASK_OK)
            pace->io->sleep_ms(pace->io,
                               wait_ms < SLEEP_MAX_MS ? (uint32_t)wait_ms : SLEEP_MAX_MS);
    } while (wait_ms > SLEEP_MAX_MS && status == BITCASK_OK);
    return status;
}

static enum bitcask_status read_manifest(struct bitcask_verification *verification)
{
    struct bitcask_slice text;
    enum bitcask_status status = bitcask_manifest_read_text(
        verification->io, verification->directory, &verification->manifest_text);

    if (status == BITCASK_OK) {
        text.data = verification->manifest_text.data;
        text.size = verification->manifest_text.size;
        status = bitcask_manifest_parse(&verification->manifest, text);
    }
    verification->manifest_status = status;
    if (status == BITCASK_CORRUPT) {
        (void)snprintf(verification->manifest_detail,
                       sizeof verification->manifest_detail, "%s",
                       bitcask_error_detail());
        bitcask_manifest_release(&verification->manifest);
        bitcask_manifest_init(&verification->manifest);
        status = BITCASK_OK;
    }
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

bool bitcask_verification_is_stale(struct bitcask_verification *verification)
{
    struct bitcask_buffer text = { 0 };
    enum bitcask_status status =
        bitcask_manifest_read_text(verification->io, verification->directory, &text);
    bool stale = true;

    if (status == BITCASK_NOT_FOUND)
        stale = verification->manifest_status != BITCASK_NOT_FOUND;
    else if (status == BITCASK_OK)
        stale = text.size != verification->manifest_text.size ||
                memcmp(text.data, verification->manifest_text.data, text.size) != 0;
    bitcask_buffer_release(&text);
    return stale;
}

/* The size of the data file of @file, if it is there. */
static enum bitcask_status look_at_file(struct bitcask_verification *verification,
                                        struct bitcask_checked_file *file)
{
    struct bitcask_io *io = verification->io;
    bitcask_file data = BITCASK_NO_FILE;
    enum bitcask_status status = bitcask_data_file_open_unchecked(
        io, verification->directory, file->line.id, BITCASK_IO_READ, &data, &file->size);

    file->exists = status == BITCASK_OK || status == BITCASK_IO;
    file->judged_size = file->size;
    if (status == BITCASK_OK && file->unsealed)
        status = bitcask_zeros_trim(io, data, &file->judged_size);
    if (data != BITCASK_NO_FILE)
        io->close(io, data);
    return status == BITCASK_NOT_FOUND || status == BITCASK_IO ? BITCASK_OK : status;
}

static int compare_files(const void *left, const void *right)
{
    uint64_t a = ((const struct bitcask_checked_file *)left)->line.id;
    uint64_t b = ((const struct bitcask_checked_file *)right)->line.id;

    return a < b ? -1 : a > b;
}

static struct bitcask_checked_file *add_by_name(struct bitcask_verification *verification,
                                                uint64_t id)
{
    struct bitcask_checked_file *file = &verification->files[verification->file_count++];

    file->line.id = id;
    file->line.state = BITCASK_MANIFEST_PREPARED;
    file->unsealed = true;
    file->kept_size = UINT64_MAX;
    return file;
}

/* What MANIFEST does not list is read, too: somebody may want to know what is in it. */
static enum bitcask_status list_unlisted(struct bitcask_verification *verification)
{
    const uint64_t *ids = verification->listing.data_ids.data;
    size_t count = verification->listing.data_ids.size / sizeof *ids;
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        struct bitcask_checked_file *file;

        if (bitcask_manifest_find(&verification->manifest, ids[i]) != NULL)
            continue;
        file = add_by_name(verification, ids[i]);
        file->unlisted = true;
        status = look_at_file(verification, file);
    }
    qsort(verification->files, verification->file_count, sizeof *verification->files,
          compare_files);
    return status;
}

/* Whether a hint with @salt may be of this cask: one of its data files has the same tag.
 */
static bool is_of_the_cask(struct bitcask_verification *verification, uint64_t salt)
{
    const uint64_t *ids = verification->listing.data_ids.data;
    size_t count = verification->listing.data_ids.size / sizeof *ids;
    bool known = false;

    for (size_t i = 0; i < count; i++) {
        struct bitcask_file_header header;

        if (bitcask_data_file_header(verification->io, verification->directory, ids[i],
                                     &header) != BITCASK_OK)
            continue;
        if (header.salt >> 32 == salt >> 32)
            return true;
        known = true;
    }
    return !known; /* nothing speaks against it */
}

/*
 * Without a MANIFEST: whatever has the name of a data file, or has a hint that speaks for
 * one.
 */
static enum bitcask_status list_what_is_there(struct bitcask_verification *verification)
{
    const uint64_t *ids = verification->listing.data_ids.data;
    const uint64_t *hint_ids = verification->listing.hint_ids.data;
    size_t count = verification->listing.data_ids.size / sizeof *ids;
    size_t hint_count = verification->listing.hint_ids.size / sizeof *hint_ids;
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < count && status == BITCASK_OK; i++)
        status = look_at_file(verification, add_by_name(verification, ids[i]));
    for (size_t i = 0; i < hint_count && status == BITCASK_OK; i++) {
        uint64_t salt;

        if (bitcask_listing_has(&verification->listing.data_ids, hint_ids[i]))
            continue;
        status = bitcask_identify_hint(verification->io, verification->directory,
                                       hint_ids[i], &salt);
        if (status == BITCASK_OK && salt != 0 && is_of_the_cask(verification, salt))
            add_by_name(verification, hint_ids[i])->line.salt = salt;
    }
    qsort(verification->files, verification->file_count, sizeof *verification->files,
          compare_files);
    return status;
}

static enum bitcask_status list_members(struct bitcask_verification *verification)
{
    const struct bitcask_manifest *manifest = &verification->manifest;

    for (size_t i = 0; i < manifest->segment_count; i++) {
        const struct bitcask_manifest_segment *line = &manifest->segments[i];
        struct bitcask_checked_file *file =
            &verification->files[verification->file_count];
        enum bitcask_status status;

        if (bitcask_manifest_is_outside(line->state))
            continue;
        file->line = *line;
        file->unsealed = line->state != BITCASK_MANIFEST_SEALED;
        file->hint_exists =
            bitcask_listing_has(&verification->listing.hint_ids, line->id);
        status = look_at_file(verification, file);
        if (status != BITCASK_OK)
            return status;
        verification->file_count++;
    }
    return BITCASK_OK;
}

/* How much of each file would be kept, now that recovery was asked. */
static void note_kept(struct bitcask_verification *verification)
{
    const struct bitcask_verdict *verdict = &verification->verdict;

    for (size_t i = 0; i < verification->file_count; i++) {
        struct bitcask_checked_file *file = &verification->files[i];

        file->kept_size = verdict->status == BITCASK_OK
                              ? bitcask_verdict_kept_size(verdict, file->line.id)
                              : UINT64_MAX;
    }
}

/*
 * Recovery is asked again if it sees damage: beside a writer it may be mistaken, and then
 * it is never mistaken twice in the same way.
 */
static enum bitcask_status judge(struct bitcask_verification *verification)
{
    char before[BITCASK_DETAIL_SIZE] = "";
    enum bitcask_status status = BITCASK_OK;

    for (int i = 0; i < JUDGE_MAX && status == BITCASK_OK; i++) {
        bitcask_verdict_release(&verification->verdict);
        status = bitcask_judge(verification->io, verification->directory,
                               &verification->manifest, &verification->verdict);
        if (status != BITCASK_OK || verification->verdict.status == BITCASK_OK ||
            strcmp(before, verification->verdict.detail) == 0)
            break;
        (void)snprintf(before, sizeof before, "%s", verification->verdict.detail);
        verification->io->sleep_ms(verification->io, JUDGE_RETRY_MS);
    }
    if (status == BITCASK_IO) { /* the files will tell which it is */
        verification->verdict.status = BITCASK_CORRUPT;
        (void)snprintf(verification->verdict.detail, sizeof verification->verdict.detail,
                       "%s", bitcask_error_detail());
        status = BITCASK_OK;
    }
    return status;
}

/* Whether a file of data has more than a header: then there has been a cask. */
static bool is_used(const struct bitcask_verification *verification)
{
    for (size_t i = 0; i < verification->file_count; i++) {
        if (verification->files[i].size > BITCASK_FILE_HEADER_SIZE)
            return true;
    }
    return verification->listing.hint_ids.size > 0;
}

enum bitcask_status bitcask_verification_begin(struct bitcask_verification *verification)
{
    size_t count;
    enum bitcask_status status;

    bitcask_manifest_init(&verification->manifest);
    status = bitcask_sequence_set_init(&verification->sequences);
    if (status == BITCASK_OK)
        status = read_manifest(verification);
    if (status == BITCASK_OK)
        status = bitcask_directory_list(verification->io, verification->directory,
                                        &verification->listing);
    if (status != BITCASK_OK)
        return status;

    bitcask_listing_sort(&verification->listing);
    count = verification->manifest.segment_count +
            (verification->listing.data_ids.size + verification->listing.hint_ids.size) /
                sizeof(uint64_t);
    verification->files = calloc(count > 0 ? count : 1, sizeof *verification->files);
    if (verification->files == NULL)
        return bitcask_fail_memory(count * sizeof *verification->files);
    if (verification->manifest_status == BITCASK_OK) {
        /* First the sizes: what a writer adds after is not for recovery to judge. */
        status = list_members(verification);
        if (status == BITCASK_OK)
            status = judge(verification);
        note_kept(verification);
        return status == BITCASK_OK ? list_unlisted(verification) : status;
    }
    status = list_what_is_there(verification);
    if (status == BITCASK_OK && verification->manifest_status == BITCASK_NOT_FOUND &&
        !is_used(verification))
        return bitcask_fail_constant(BITCASK_NOT_FOUND,
                                     "there is no cask in the directory");
    return status;
}

/* How much of @file there is to look at: what is sealed ends where MANIFEST says. */
static uint64_t end_of(const struct bitcask_checked_file *file)
{
    if (!file->unsealed && file->size > file->line.size)
        return file->line.size;
    return file->size;
}

static enum bitcask_status survey_file(struct bitcask_verification *verification,
                                       struct bitcask_surveyor *surveyor,
                                       struct bitcask_checked_file *file)
{
    struct bitcask_io *io = verification->io;
    struct bitcask_identity *identity = &file->identity;
    bitcask_file data = BITCASK_NO_FILE;
    bool foreign = false;
    enum bitcask_status status = BITCASK_OK;

    if (file->surveyed)
        return BITCASK_OK;
    bitcask_survey_release(&file->survey);
    file->survey.id = file->line.id;
    file->survey.salt = file->line.salt;
    if (file->exists) {
        status =
            bitcask_data_file_open_unchecked(io, verification->directory, file->line.id,
                                             BITCASK_IO_READ, &data, &file->size);
        file->exists = status != BITCASK_NOT_FOUND;
        file->unreadable = status == BITCASK_IO;
        if (file->unreadable)
            return BITCASK_OK; /* its hint must not be taken for all that there is */
        if (status == BITCASK_NOT_FOUND)
            status = BITCASK_OK;
    }
    if (status == BITCASK_OK && file->exists)
        status = bitcask_identify(io, verification->directory, file->line.id, data,
                                  file->size, &verification->manifest, identity);
    if (status == BITCASK_IO) {
        file->unreadable = true;
        io->close(io, data);
        return BITCASK_OK;
    }
    if (status == BITCASK_OK && identity->header == BITCASK_UNSUPPORTED)
        status = bitcask_fail(BITCASK_UNSUPPORTED,
                              "%010" PRIu64 ".data is of a newer format: use a newer "
                              "library",
                              file->line.id);
    if (status == BITCASK_OK && file->exists &&
        (verification->manifest_status != BITCASK_OK || file->unlisted))
        file->survey.salt = file->line.salt = identity->salt;
    foreign = identity->header == BITCASK_OK && !file->unlisted &&
              (identity->id != file->line.id || identity->salt != file->line.salt);
    file->survey.end = foreign || !file->exists ? 0 : end_of(file);
    if (status == BITCASK_OK)
        status = bitcask_survey_file(
            surveyor, file->survey.end > 0 ? data : BITCASK_NO_FILE, &file->survey);
    if (status == BITCASK_OK && !file->unsealed && file->size > file->line.size)
        status = bitcask_data_file_is_unused(io, data, file->line.id, file->line.size,
                                             file->size, &file->zeros_behind);
    if (status == BITCASK_IO) /* then nobody can say that there are */
        status = BITCASK_OK;
    if (status == BITCASK_OK && file->survey.hint_size > 0)
        status = bitcask_pace_step(verification->pace, file->survey.hint_size);
    if (data != BITCASK_NO_FILE)
        io->close(io, data);
    return status;
}

/* Threads that take one file after the other. */
struct crew {
    struct bitcask_verification *verification;
    _Atomic size_t next;
    _Atomic bool stop;
    pthread_mutex_t lock; /* of the failure */
    enum bitcask_status status;
    char detail[BITCASK_DETAIL_SIZE];
};

static void *work(void *context)
{
    struct crew *crew = context;
    struct bitcask_verification *verification = crew->verification;
    struct bitcask_surveyor surveyor = {
        .io = verification->io,
        .directory = verification->directory,
        .now_ms = verification->now_ms,
        .pace = bitcask_pace_step,
        .pace_context = verification->pace,
    };

    for (;;) {
        size_t i = atomic_fetch_add(&crew->next, 1);
        enum bitcask_status status;

        if (i >= verification->file_count || atomic_load(&crew->stop))
            break;
        surveyor.sequences =
            verification->sequences_checked && !verification->files[i].unlisted
                ? &verification->sequences
                : NULL;
        status = survey_file(verification, &surveyor, &verification->files[i]);
        if (status == BITCASK_OK)
            continue;
        atomic_store(&crew->stop, true);
        (void)pthread_mutex_lock(&crew->lock);
        if (crew->status == BITCASK_OK) {
            crew->status = status;
            (void)snprintf(crew->detail, sizeof crew->detail, "%s",
                           bitcask_error_detail());
        }
        (void)pthread_mutex_unlock(&crew->lock);
    }
    bitcask_buffer_release(&surveyor.window);
    return NULL;
}

static void add_up(struct bitcask_verification *verification)
{
    uint64_t total = verification->manifest_text.size;

    for (size_t i = 0; i < verification->file_count; i++) {
        if (!verification->files[i].surveyed)
            total += verification->files[i].size;
    }
    verification->pace->progress.total_size =
        verification->pace->progress.done_size + total;
}

enum bitcask_status bitcask_verification_survey(struct bitcask_verification *verification)
{
    struct crew crew = { .verification = verification };
    pthread_t threads[THREADS_MAX];
    bool started[THREADS_MAX] = { false };
    unsigned count =
        verification->threads < THREADS_MAX ? verification->threads : THREADS_MAX;
    sigset_t all, before;
    enum bitcask_status status;

    if (pthread_mutex_init(&crew.lock, NULL) != 0)
        return bitcask_fail_constant(BITCASK_NO_MEMORY, "there is no memory for a lock");
    add_up(verification);
    status = bitcask_pace_step(verification->pace, verification->manifest_text.size);
    (void)sigfillset(&all); /* signals are the embedder's, not our threads' */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 1; i < count && status == BITCASK_OK; i++)
        started[i] = pthread_create(&threads[i], NULL, work, &crew) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == BITCASK_OK)
        (void)work(&crew);
    for (unsigned i = 1; i < count; i++) {
        if (started[i])
            (void)pthread_join(threads[i], NULL);
    }
    (void)pthread_mutex_destroy(&crew.lock);
    if (crew.status != BITCASK_OK)
        return bitcask_fail(crew.status, "%s", crew.detail);
    return status;
}

enum bitcask_status bitcask_fates_read(struct bitcask_fates *fates, struct bitcask_io *io,
                                       bitcask_file directory, uint64_t id, uint64_t end,
                                       const struct bitcask_survey *survey,
                                       uint64_t now_ms)
{
    size_t passed = 0; /* records that do not count; they are in the order of the file */
    struct bitcask_scan_item item;
    struct bitcask_scan scan = { 0 };
    bitcask_file data = BITCASK_NO_FILE;
    uint64_t size;
    enum bitcask_status status = bitcask_data_file_open_unchecked(
        io, directory, id, BITCASK_IO_READ, &data, &size);

    if (status == BITCASK_OK)
        status =
            bitcask_scan_init(&scan, io, data, id, survey->salt, end < size ? end : size);
    while (status == BITCASK_OK) {
        status = bitcask_scan_next(&scan, &item);
        if (status == BITCASK_OK && passed < survey->double_count &&
            survey->doubles[passed] == item.offset)
            passed++;
        else if (status == BITCASK_OK && bitcask_scan_item_is_whole(&item))
            bitcask_fates_meet(fates, item.key, item.header.sequence,
                               item.kind == BITCASK_INSPECT_TOMBSTONE ||
                                   bitcask_record_expired(&item.header, now_ms));
        if (status == BITCASK_IO) /* it goes on behind what cannot be read */
            status = BITCASK_OK;
    }
    bitcask_scan_release(&scan);
    if (data != BITCASK_NO_FILE)
        io->close(io, data);
    return status == BITCASK_NO_MEMORY ? status : BITCASK_OK;
}

/*
 * Another file of this cask under a wrong name: what is in it is not lost, though no open
 * finds it there.
 */
static enum bitcask_status meet_misnamed(struct bitcask_verification *verification,
                                         const struct bitcask_checked_file *file,
                                         struct bitcask_fates *fates)
{
    const struct bitcask_identity *identity = &file->identity;
    const struct bitcask_manifest_segment *line =
        bitcask_manifest_find(&verification->manifest, identity->id);
    struct bitcask_survey survey = { .salt = identity->salt };

    if (identity->header != BITCASK_OK || line == NULL || line->salt != identity->salt ||
        bitcask_manifest_is_outside(line->state) || identity->id == file->line.id)
        return BITCASK_OK;
    return bitcask_fates_read(fates, verification->io, verification->directory,
                              file->line.id, file->size, &survey, verification->now_ms);
}

enum bitcask_status bitcask_verification_meet(struct bitcask_verification *verification,
                                              struct bitcask_fates *fates)
{
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < verification->file_count && status == BITCASK_OK; i++) {
        const struct bitcask_checked_file *file = &verification->files[i];
        uint64_t end = file->survey.end;

        if (file->unsealed && end > file->kept_size)
            end = file->kept_size;
        if (end == 0)
            status = meet_misnamed(verification, file, fates);
        else if (!file->unlisted)
            status = bitcask_fates_read(fates, verification->io, verification->directory,
                                        file->line.id, end, &file->survey,
                                        verification->now_ms);
    }
    return status;
}

void bitcask_verification_release(struct bitcask_verification *verification)
{
    for (size_t i = 0; i < verification->file_count; i++)
        bitcask_survey_release(&verification->files[i].survey);
    free(verification->files);
    bitcask_verdict_release(&verification->verdict);
    bitcask_sequence_set_release(&verification->sequences);
    bitcask_listing_release(&verification->listing);
    bitcask_manifest_release(&verification->manifest);
    bitcask_buffer_release(&verification->manifest_text);
    memset(verification, 0, sizeof *verification);
}

bool bitcask_checked_file_is_torn(const struct bitcask_verification *verification,
                                  const struct bitcask_checked_file *file,
                                  const struct bitcask_flaw *flaw)
{
    return file->unsealed && verification->verdict.status == BITCASK_OK &&
           verification->manifest_status == BITCASK_OK &&
           flaw->offset >= file->kept_size && flaw->kind != BITCASK_FINDING_HINT;
}
