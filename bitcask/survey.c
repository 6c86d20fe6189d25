/* SPDX-License-Identifier: MIT */
#include "bitcask/survey.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/scan.h"
#include "bitcask/status.h"

/* One survey at work. */
struct work {
    struct bitcask_surveyor *surveyor;
    struct bitcask_survey *survey;
    struct bitcask_hint hint;
    bool hint_open;
    bool entry_ready;
    struct bitcask_hint_entry entry; /* the next one */
    const struct bitcask_walk *walk; /* over the data */
    enum bitcask_status stopped;     /* what the pace said, if it wants to stop */
    uint64_t paced_offset;           /* up to where the pace was told */
    bool covered_ends_well;          /* a record ends where the hint does */
};

/* Room for one more in an array. */
static enum bitcask_status grow(void *array, size_t count, size_t *capacity, size_t size)
{
    void **items = array;
    size_t wanted = *capacity > 0 ? 2 * *capacity : 8;
    void *grown;

    if (count < *capacity)
        return BITCASK_OK;
    grown = realloc(*items, wanted * size);
    if (grown == NULL)
        return bitcask_fail_memory(wanted * size);
    *items = grown;
    *capacity = wanted;
    return BITCASK_OK;
}

enum bitcask_status bitcask_survey_add_flaw(struct bitcask_survey *survey,
                                            const struct bitcask_flaw *flaw)
{
    enum bitcask_status status = grow(&survey->flaws, survey->flaw_count,
                                      &survey->flaw_capacity, sizeof *survey->flaws);

    if (status == BITCASK_OK)
        survey->flaws[survey->flaw_count++] = *flaw;
    return status;
}

static enum bitcask_status add_casualty(struct bitcask_survey *survey,
                                        const struct bitcask_casualty *casualty,
                                        struct bitcask_slice key)
{
    enum bitcask_status status =
        grow(&survey->casualties, survey->casualty_count, &survey->casualty_capacity,
             sizeof *survey->casualties);
    struct bitcask_casualty *added;

    if (status != BITCASK_OK)
        return status;
    added = &survey->casualties[survey->casualty_count];
    *added = *casualty;
    added->segment_id = survey->id;
    added->key = malloc(key.size > 0 ? key.size : 1);
    if (added->key == NULL)
        return bitcask_fail_memory(key.size);
    memcpy(added->key, key.data, key.size);
    added->key_size = key.size;
    survey->casualty_count++;
    return BITCASK_OK;
}

void bitcask_survey_cut(struct bitcask_survey *survey, uint64_t offset)
{
    size_t kept = 0;

    for (size_t i = 0; i < survey->flaw_count; i++) {
        struct bitcask_flaw *flaw = &survey->flaws[i];

        flaw->torn = flaw->offset >= offset && flaw->kind != BITCASK_FINDING_HINT &&
                     flaw->kind != BITCASK_FINDING_UNREADABLE;
    }
    for (size_t i = 0; i < survey->casualty_count; i++) {
        if (survey->casualties[i].offset < offset)
            survey->casualties[kept++] = survey->casualties[i];
        else
            free(survey->casualties[i].key);
    }
    survey->casualty_count = kept;
}

uint64_t bitcask_survey_drop_unused(struct bitcask_survey *survey, uint64_t proven_size)
{
    uint64_t hinted = survey->hint == BITCASK_HINT_GOOD ? survey->hint_covered : 0;

    for (size_t i = 0; i < survey->flaw_count; i++) {
        uint64_t offset = survey->flaws[i].offset;

        if (!survey->flaws[i].zeros || offset < proven_size || offset < hinted)
            continue;
        survey->flaw_count--; /* nothing of the data can come behind it */
        for (; i < survey->flaw_count; i++)
            survey->flaws[i] = survey->flaws[i + 1];
        return offset;
    }
    return survey->end;
}

void bitcask_survey_forget(struct bitcask_survey *survey)
{
    for (size_t i = 0; i < survey->casualty_count; i++)
        free(survey->casualties[i].key);
    survey->casualty_count = 0;
    survey->flaw_count = 0;
}

void bitcask_survey_release(struct bitcask_survey *survey)
{
    bitcask_survey_forget(survey);
    free(survey->casualties);
    free(survey->doubles);
    free(survey->flaws);
    memset(survey, 0, sizeof *survey);
}

static void note_highest(struct bitcask_survey *survey, uint64_t sequence)
{
    if (sequence > survey->highest_sequence)
        survey->highest_sequence = sequence;
}

static bool deletes(uint8_t kind, uint8_t flags, uint64_t expiry_ms, uint64_t now_ms)
{
    if (kind == BITCASK_RECORD_TOMBSTONE)
        return true;
    return (flags & BITCASK_RECORD_EXPIRES) != 0 && now_ms >= expiry_ms;
}

/* The hint is not what it must be: once is enough. */
static enum bitcask_status blame_hint(struct work *work, uint64_t offset,
                                      const char *detail)
{
    struct bitcask_flaw flaw = { .kind = BITCASK_FINDING_HINT,
                                 .offset = offset,
                                 .detail = detail };

    if (work->survey->hint == BITCASK_HINT_BAD)
        return BITCASK_OK;
    work->survey->hint = BITCASK_HINT_BAD;
    return bitcask_survey_add_flaw(work->survey, &flaw);
}

static enum bitcask_status next_entry(struct work *work)
{
    enum bitcask_status status = bitcask_hint_next(&work->hint, &work->entry);

    work->entry_ready = status == BITCASK_OK;
    if (status == BITCASK_IO || status == BITCASK_CORRUPT)
        return blame_hint(work, 0, "it went bad while it was read");
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

static enum bitcask_status open_hint(struct work *work)
{
    struct bitcask_surveyor *surveyor = work->surveyor;
    struct bitcask_survey *survey = work->survey;
    enum bitcask_status status =
        bitcask_hint_open(&work->hint, surveyor->io, surveyor->directory, survey->id,
                          survey->salt, &surveyor->window);

    if (status == BITCASK_NOT_FOUND)
        return BITCASK_OK;
    if (bitcask_hint_is_absent(status))
        return blame_hint(work, 0,
                          "it is damaged, or speaks for another data file; the data is "
                          "read instead, and nothing is lost");
    if (status == BITCASK_IO)
        return blame_hint(work, 0, "it cannot be read; the data is read instead");
    if (status != BITCASK_OK)
        return status;
    work->hint_open = true;
    survey->hint = BITCASK_HINT_GOOD;
    survey->hint_covered = work->hint.trailer.data_size;
    survey->hint_size = work->hint.entries_end + BITCASK_HINT_TRAILER_SIZE;
    work->covered_ends_well = survey->hint_covered == BITCASK_FILE_HEADER_SIZE;
    note_highest(survey, work->hint.trailer.last_sequence);
    return next_entry(work);
}

/* The flaw that hides the record at @offset; NULL: none does. */
static struct bitcask_flaw *flaw_at(struct bitcask_survey *survey, uint64_t offset)
{
    for (size_t i = survey->flaw_count; i-- > 0;) {
        struct bitcask_flaw *flaw = &survey->flaws[i];

        if (flaw->size > 0 && offset >= flaw->offset &&
            offset - flaw->offset < flaw->size)
            return flaw;
    }
    return NULL;
}

/* Entries for what lies before @offset and was not found there: what damage hides. */
static enum bitcask_status pass_entries(struct work *work, uint64_t offset)
{
    struct bitcask_survey *survey = work->survey;
    enum bitcask_status status = BITCASK_OK;

    while (status == BITCASK_OK && work->entry_ready && work->entry.offset < offset) {
        const struct bitcask_hint_entry *entry = &work->entry;
        struct bitcask_flaw *flaw = flaw_at(survey, entry->offset);

        if (flaw != NULL) {
            struct bitcask_casualty casualty = {
                .sequence = entry->sequence,
                .offset = entry->offset,
                .deletes = deletes(entry->kind, entry->flags, entry->expiry_ms,
                                   work->surveyor->now_ms),
            };

            flaw->named = true;
            status = add_casualty(survey, &casualty, entry->key);
        } else {
            status = blame_hint(work, entry->offset,
                                "it has an entry where the data has no record");
        }
        if (status == BITCASK_OK)
            status = next_entry(work);
    }
    return status;
}

/* The hint must say of @item what the data says. */
static enum bitcask_status compare_entry(struct work *work,
                                         const struct bitcask_scan_item *item)
{
    const struct bitcask_hint_entry *entry = &work->entry;
    const struct bitcask_record *record = &item->header;
    enum bitcask_status status = BITCASK_OK;

    if (!work->hint_open || item->offset >= work->survey->hint_covered)
        return BITCASK_OK;
    if (!work->entry_ready || entry->offset != item->offset)
        return blame_hint(work, item->offset, "it has no entry for a record of the data");
    if (entry->kind != record->kind || entry->flags != record->flags ||
        entry->value_size != record->value_size || entry->sequence != record->sequence ||
        entry->expiry_ms != record->expiry_ms || entry->key.size != item->key.size ||
        memcmp(entry->key.data, item->key.data, item->key.size) != 0)
        status = blame_hint(work, item->offset,
                            "an entry says something else than the record it is for");
    else
        work->survey->entry_count++;
    return status == BITCASK_OK ? next_entry(work) : status;
}

/* A record whose sequence was there before; one finding says it of all of a file. */
static enum bitcask_status note_double(struct bitcask_survey *survey,
                                       const struct bitcask_scan_item *item)
{
    struct bitcask_flaw flaw = {
        .kind = BITCASK_FINDING_SEQUENCE,
        .offset = item->offset,
        .sequence = item->header.sequence,
        .detail = "a record of the same sequence has been found before",
    };
    enum bitcask_status status = grow(&survey->doubles, survey->double_count,
                                      &survey->double_capacity, sizeof *survey->doubles);

    if (status != BITCASK_OK)
        return status;
    survey->doubles[survey->double_count++] = item->offset;
    return survey->double_count == 1 ? bitcask_survey_add_flaw(survey, &flaw)
                                     : BITCASK_OK;
}

/* A record that is whole. */
static enum bitcask_status take_record(struct work *work,
                                       const struct bitcask_scan_item *item)
{
    struct bitcask_survey *survey = work->survey;
    struct bitcask_sequence_set *sequences = work->surveyor->sequences;
    uint64_t sequence = item->header.sequence;
    struct bitcask_sequence_set *wanted = work->surveyor->wanted;
    bool added = wanted == NULL || bitcask_sequence_set_has(wanted, sequence);

    if (added && sequences != NULL) {
        enum bitcask_status status =
            bitcask_sequence_set_add(sequences, sequence, &added);

        if (status != BITCASK_OK)
            return status;
    }
    if (!added)
        return note_double(survey, item);
    survey->record_count++;
    survey->record_size += item->size;
    survey->tombstone_count += item->kind == BITCASK_INSPECT_TOMBSTONE;
    if (survey->first_sequence == 0 || sequence < survey->first_sequence)
        survey->first_sequence = sequence;
    if (sequence > survey->last_sequence)
        survey->last_sequence = sequence;
    return BITCASK_OK;
}

/* A put or tombstone that does not count, though its key is known. */
static enum bitcask_status lose_record(struct work *work,
                                       const struct bitcask_scan_item *item)
{
    struct bitcask_casualty casualty = {
        .sequence = item->header.sequence,
        .offset = item->offset,
        .deletes = deletes(item->header.kind, item->header.flags, item->header.expiry_ms,
                           work->surveyor->now_ms),
        .header_intact = item->batch_offset == 0,
    };

    if (item->batch_offset != 0) {
        struct bitcask_flaw *batch = flaw_at(work->survey, item->batch_offset);

        if (batch != NULL)
            batch->named = true;
    }
    return add_casualty(work->survey, &casualty, item->key);
}

static const char *words_for(const struct bitcask_scan_item *item)
{
    if (item->kind == BITCASK_INSPECT_DAMAGE)
        return "there is no record in these bytes";
    if (item->kind == BITCASK_INSPECT_BATCH)
        return item->value_intact ? "the header of a batch fails its check"
                                  : "a batch fails its check, so that none of it counts";
    if (!item->key_intact)
        return "the header or key of a record fails its check";
    if (item->size < bitcask_record_size(&item->header))
        return "the file ends inside this value";
    return "a value fails its check";
}

/* What is wrong with @item, if something is. */
static enum bitcask_status note_flaw(struct work *work,
                                     const struct bitcask_scan_item *item)
{
    struct bitcask_flaw flaw = {
        .kind = BITCASK_FINDING_REGION,
        .offset = item->offset,
        .size = item->size,
        .detail = words_for(item),
        .zeros = item->zeros,
    };

    if (item->kind != BITCASK_INSPECT_DAMAGE && item->key_intact) {
        if (item->value_intact)
            return BITCASK_OK;
        flaw.kind = item->kind == BITCASK_INSPECT_BATCH ? BITCASK_FINDING_BATCH
                                                        : BITCASK_FINDING_VALUE;
        flaw.sequence = item->header.sequence;
        flaw.named = item->kind != BITCASK_INSPECT_BATCH;
    } else if (item->kind == BITCASK_INSPECT_BATCH) {
        flaw.kind = BITCASK_FINDING_BATCH;
        flaw.named = item->value_intact; /* nothing is lost but the header */
        if (item->value_intact)
            flaw.size = BITCASK_RECORD_HEADER_SIZE;
    }
    return bitcask_survey_add_flaw(work->survey, &flaw);
}

static enum bitcask_status take_item(struct work *work,
                                     const struct bitcask_scan_item *item)
{
    struct bitcask_survey *survey = work->survey;
    bool record =
        item->kind == BITCASK_INSPECT_PUT || item->kind == BITCASK_INSPECT_TOMBSTONE;
    enum bitcask_status status = pass_entries(work, item->offset);

    if (status == BITCASK_OK)
        status = note_flaw(work, item);
    if (status != BITCASK_OK)
        return status;
    if (item->offset + item->size == survey->hint_covered)
        work->covered_ends_well = true;
    if (!record || !item->key_intact)
        return BITCASK_OK;
    note_highest(survey, item->header.sequence);
    status = compare_entry(work, item);
    if (status != BITCASK_OK)
        return status;
    return bitcask_scan_item_is_whole(item) ? take_record(work, item)
                                            : lose_record(work, item);
}

/* All before @offset has been read. */
static enum bitcask_status tell_pace(struct work *work, uint64_t offset)
{
    struct bitcask_surveyor *surveyor = work->surveyor;
    uint64_t size = offset > work->paced_offset ? offset - work->paced_offset : 0;

    work->paced_offset += size;
    return surveyor->pace != NULL ? surveyor->pace(surveyor->pace_context, size)
                                  : BITCASK_OK;
}

/*
 * A stretch was read, of records, or in the middle of a long search. Who wants to stop
 * may say so by any status, which would mean something to the scan: it gets one that does
 * not.
 */
static enum bitcask_status on_read(void *context)
{
    struct work *work = context;

    work->stopped = tell_pace(work, work->walk->window_offset);
    return work->stopped == BITCASK_OK ? BITCASK_OK : BITCASK_LOCKED;
}

static enum bitcask_status scan_data(struct work *work, bitcask_file file)
{
    struct bitcask_survey *survey = work->survey;
    struct bitcask_scan scan;
    struct bitcask_scan_item item;
    enum bitcask_status status = bitcask_scan_init(&scan, work->surveyor->io, file,
                                                   survey->id, survey->salt, survey->end);

    work->walk = &scan.walk;
    scan.walk.on_read = on_read;
    scan.walk.context = work;
    while (status == BITCASK_OK) {
        uint64_t before = scan.walk.offset;

        status = bitcask_scan_next(&scan, &item);
        if (status == BITCASK_OK) {
            status = take_item(work, &item);
        } else if (status == BITCASK_IO) {
            struct bitcask_flaw flaw = { .kind = BITCASK_FINDING_UNREADABLE,
                                         .offset = before,
                                         .size = scan.walk.offset - before,
                                         .detail = "the system cannot read this" };

            status = bitcask_survey_add_flaw(survey, &flaw);
        }
    }
    if (work->stopped != BITCASK_OK) {
        bitcask_scan_release(&scan);
        return work->stopped;
    }
    if (status == BITCASK_CORRUPT) { /* cut off behind our back */
        survey->end = scan.walk.offset;
        status = BITCASK_NOT_FOUND;
    }
    if (status == BITCASK_NOT_FOUND)
        status = tell_pace(work, survey->end);
    bitcask_scan_release(&scan);
    return status;
}

/* What the hint says beyond the data that there is. */
static enum bitcask_status end_hint(struct work *work)
{
    struct bitcask_survey *survey = work->survey;
    uint64_t covered = survey->hint_covered;
    enum bitcask_status status = BITCASK_OK;

    if (!work->hint_open)
        return BITCASK_OK;
    if (covered > survey->end && survey->hint == BITCASK_HINT_GOOD) {
        struct bitcask_flaw flaw = {
            .kind = survey->end == 0 ? BITCASK_FINDING_MISSING : BITCASK_FINDING_SHORT,
            .offset = survey->end,
            .size = covered - survey->end,
            .detail = "its hint speaks of records that were here",
        };

        status = bitcask_survey_add_flaw(survey, &flaw);
    }
    if (status == BITCASK_OK)
        status = pass_entries(work, UINT64_MAX);
    if (status == BITCASK_OK && covered <= survey->end && !work->covered_ends_well &&
        flaw_at(survey, covered - 1) == NULL && flaw_at(survey, covered) == NULL)
        status = blame_hint(work, 0, "it ends where no record ends");
    return status;
}

enum bitcask_status bitcask_survey_file(struct bitcask_surveyor *surveyor,
                                        bitcask_file file, struct bitcask_survey *survey)
{
    struct work work = { .surveyor = surveyor, .survey = survey };
    enum bitcask_status status = open_hint(&work);

    if (status == BITCASK_OK && file != BITCASK_NO_FILE)
        status = scan_data(&work, file);
    if (status == BITCASK_OK)
        status = end_hint(&work);
    if (work.hint_open)
        bitcask_hint_close(&work.hint);
    return status;
}
