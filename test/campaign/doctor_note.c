/* SPDX-License-Identifier: MIT */
#include "test/campaign/doctor_note.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "test/campaign/doctor_call.h"

/* Keep @text in @copy, of @size bytes. */
static void keep_text(struct doctor_notes *notes, char *copy, size_t size,
                      const char *text)
{
    if (text == NULL || (size_t)snprintf(copy, size, "%s", text) >= size)
        notes->overflow = true;
}

static enum bitcask_status note_finding(const struct bitcask_finding *finding,
                                        void *context)
{
    struct doctor_notes *notes = context;
    struct doctor_finding *note;

    if (notes->finding_count == DOCTOR_FINDINGS_MAX ||
        finding->key.size >= DOCTOR_KEY_SIZE) {
        notes->overflow = true;
        return BITCASK_OK;
    }
    note = &notes->findings[notes->finding_count++];
    memset(note, 0, sizeof *note);
    note->kind = finding->kind;
    note->effect = finding->effect;
    keep_text(notes, note->file, sizeof note->file, finding->file);
    keep_text(notes, note->detail, sizeof note->detail, finding->detail);
    note->offset = finding->offset;
    note->size = finding->size;
    note->sequence = finding->sequence;
    note->newest_sequence = finding->newest_sequence;
    if (finding->key.size > 0)
        memcpy(note->key, finding->key.data, finding->key.size);
    return BITCASK_OK;
}

static enum bitcask_status note_step(const struct bitcask_repair_step *step,
                                     void *context)
{
    struct doctor_notes *notes = context;
    struct doctor_step *note;

    if (notes->step_count == DOCTOR_STEPS_MAX) {
        notes->overflow = true;
        return BITCASK_OK;
    }
    note = &notes->steps[notes->step_count++];
    memset(note, 0, sizeof *note);
    note->action = step->action;
    keep_text(notes, note->file, sizeof note->file, step->file);
    keep_text(notes, note->moved_to, sizeof note->moved_to, step->moved_to);
    keep_text(notes, note->reason, sizeof note->reason, step->reason);
    note->size = step->size;
    note->record_count = step->record_count;
    return BITCASK_OK;
}

static void reset(struct doctor_notes *notes)
{
    notes->finding_count = 0;
    notes->step_count = 0;
    notes->overflow = false;
    notes->detail[0] = '\0';
    memset(&notes->verify, 0, sizeof notes->verify);
    memset(&notes->repair, 0, sizeof notes->repair);
}

static void note_status(struct doctor_notes *notes, enum bitcask_status status)
{
    notes->status = status;
    if (status != BITCASK_OK)
        (void)snprintf(notes->detail, sizeof notes->detail, "%s", bitcask_error_detail());
}

void doctor_verify(struct sim_disk *disk, const char *path, unsigned threads,
                   struct doctor_notes *notes)
{
    const struct bitcask_verify_options options = { .threads = threads,
                                                    .finding = note_finding,
                                                    .context = notes };

    reset(notes);
    note_status(notes,
                doctor_call_verify(sim_disk_io(disk), path, &options, &notes->verify));
}

void doctor_repair(struct sim_disk *disk, const char *path, bool dry_run,
                   struct doctor_notes *notes)
{
    const struct bitcask_repair_options options = {
        .dry_run = dry_run, .finding = note_finding, .step = note_step, .context = notes
    };

    reset(notes);
    note_status(notes,
                doctor_call_repair(sim_disk_io(disk), path, &options, &notes->repair));
}

unsigned doctor_count(const struct doctor_notes *notes, enum bitcask_finding_kind kind)
{
    unsigned count = 0;

    for (unsigned i = 0; i < notes->finding_count; i++)
        count += kind != 0 ? notes->findings[i].kind == kind
                           : bitcask_finding_is_damage(notes->findings[i].kind);
    return count;
}

unsigned doctor_count_effect(const struct doctor_notes *notes, enum bitcask_effect effect)
{
    unsigned count = 0;

    for (unsigned i = 0; i < notes->finding_count; i++)
        count += notes->findings[i].kind == BITCASK_FINDING_KEY &&
                 notes->findings[i].effect == effect;
    return count;
}

static bool same_finding(const struct doctor_finding *a, const struct doctor_finding *b)
{
    return a->kind == b->kind && a->effect == b->effect &&
           strcmp(a->file, b->file) == 0 && strcmp(a->detail, b->detail) == 0 &&
           a->offset == b->offset && a->size == b->size && a->sequence == b->sequence &&
           a->newest_sequence == b->newest_sequence && strcmp(a->key, b->key) == 0;
}

static bool same_step(const struct doctor_step *a, const struct doctor_step *b)
{
    return a->action == b->action && strcmp(a->file, b->file) == 0 &&
           strcmp(a->moved_to, b->moved_to) == 0 && strcmp(a->reason, b->reason) == 0 &&
           a->size == b->size && a->record_count == b->record_count;
}

const char *doctor_differ(const struct doctor_notes *left,
                          const struct doctor_notes *right)
{
    static char words[3 * DOCTOR_DETAIL_SIZE];

    for (unsigned i = 0; i < left->finding_count && i < right->finding_count; i++) {
        if (same_finding(&left->findings[i], &right->findings[i]))
            continue;
        (void)snprintf(words, sizeof words, "finding %u is \"%s: %s\", and \"%s: %s\"", i,
                       left->findings[i].file, left->findings[i].detail,
                       right->findings[i].file, right->findings[i].detail);
        return words;
    }
    for (unsigned i = 0; i < left->step_count && i < right->step_count; i++) {
        if (same_step(&left->steps[i], &right->steps[i]))
            continue;
        (void)snprintf(words, sizeof words, "step %u is \"%s: %s\", and \"%s: %s\"", i,
                       left->steps[i].file, left->steps[i].reason, right->steps[i].file,
                       right->steps[i].reason);
        return words;
    }
    if (left->finding_count != right->finding_count)
        return "there are not as many findings";
    return left->step_count != right->step_count ? "there are not as many steps" : NULL;
}

void doctor_print(const char *what, const struct doctor_notes *notes)
{
    printf("%s: status %d %s\n", what, notes->status, notes->detail);
    for (unsigned i = 0; i < notes->finding_count; i++) {
        const struct doctor_finding *finding = &notes->findings[i];

        printf("  %s%s%s: %s, offset %" PRIu64 ", size %" PRIu64 ", sequence %" PRIu64
               ", newest %" PRIu64 ", key \"%s\": %s\n",
               bitcask_finding_text(finding->kind),
               finding->kind == BITCASK_FINDING_KEY ? " " : "",
               finding->kind == BITCASK_FINDING_KEY ? bitcask_effect_text(finding->effect)
                                                    : "",
               finding->file, finding->offset, finding->size, finding->sequence,
               finding->newest_sequence, finding->key, finding->detail);
    }
    for (unsigned i = 0; i < notes->step_count; i++) {
        const struct doctor_step *step = &notes->steps[i];

        printf("  %s %s -> \"%s\", %" PRIu64 " bytes, %" PRIu64 " records: %s\n",
               step->action == BITCASK_REPAIR_KEEP      ? "keep"
               : step->action == BITCASK_REPAIR_REWRITE ? "rewrite"
                                                        : "quarantine",
               step->file, step->moved_to, step->size, step->record_count, step->reason);
    }
}
