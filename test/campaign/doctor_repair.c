/* SPDX-License-Identifier: MIT */
/* What repair has done, and said. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/cask.h"
#include "test/campaign/doctor_judge.h"

#define QUARANTINE_PATH DAMAGE_PATH "/quarantine"

/* FILES */

static bool is_on_disk(const struct sim_disk *disk, const char *path, const char *name,
                       const struct damage_file *file)
{
    size_t size = 0;
    const uint8_t *bytes = sim_disk_file(disk, path, name, &size);

    return bytes != NULL && size == file->size &&
           memcmp(bytes, file->bytes, file->size) == 0;
}

/* The same, but that zeros at the end may have been cut off. */
static bool is_kept(const struct sim_disk *disk, const char *path, const char *name,
                    const struct damage_file *file)
{
    size_t size = 0;
    const uint8_t *bytes = sim_disk_file(disk, path, name, &size);

    if (file->class != DAMAGE_DATA)
        return is_on_disk(disk, path, name, file);
    return bytes != NULL && size <= file->size && memcmp(bytes, file->bytes, size) == 0 &&
           damage_file_unused(file, size);
}

static bool is_in_quarantine(const struct sim_disk *disk, const struct damage_file *file)
{
    const char *name;

    for (size_t i = 0; (name = sim_disk_name(disk, QUARANTINE_PATH, i)) != NULL; i++) {
        if (is_kept(disk, QUARANTINE_PATH, name, file))
            return true;
    }
    return false;
}

/* Whether the store itself would remove or replace @file. */
static bool may_go(const struct doctor_trial *trial, const struct damage_file *file)
{
    const struct damage_image *image = trial->base.image;

    switch (file->class) {
    case DAMAGE_MANIFEST:
        return trial->truth.facts.manifest_same || trial->truth.facts.manifest_known ||
               trial->truth.facts.manifest_foreign;
    case DAMAGE_DATA:
        return file->size <= 64 || damage_listed(image, file->id) == DAMAGE_OUTSIDE;
    case DAMAGE_HINT:
        return trial->opened || damage_listed(image, file->id) == DAMAGE_OUTSIDE;
    case DAMAGE_OTHER:
        return strcmp(file->name, "RESERVE") == 0 || strstr(file->name, ".tmp") != NULL;
    default:
        return true;
    }
}

/* Whether it is there, but for bytes at its end, in which nothing must be kept. */
static bool is_cut(const struct doctor_trial *trial, const struct sim_disk *disk,
                   const struct damage_file *file)
{
    size_t size = 0;
    const uint8_t *bytes = sim_disk_file(disk, DAMAGE_PATH, file->name, &size);

    if (file->class != DAMAGE_DATA || size >= file->size ||
        (bytes != NULL && memcmp(bytes, file->bytes, size) != 0))
        return false;
    for (uint64_t i = 1; i <= trial->base.subject->last; i++) {
        const struct damage_op *op = &trial->base.subject->ops[i];

        if (trial->truth.states[i] == DOCTOR_MUST &&
            strcmp(trial->base.subject->image.files[op->file].name, file->name) == 0 &&
            op->offset + op->record_size > size)
            return false;
    }
    return true;
}

bool doctor_judge_kept(struct doctor_trial *trial, const struct sim_disk *disk)
{
    for (unsigned i = 0; i < trial->base.image->count; i++) {
        const struct damage_file *file = &trial->base.image->files[i];

        if (trial->opened && is_cut(trial, disk, file))
            continue; /* behind the end of a sealed file, or in a torn tail */
        if (!may_go(trial, file) && !is_kept(disk, DAMAGE_PATH, file->name, file) &&
            !is_in_quarantine(disk, file))
            return damage_blame(&trial->base, "repair: %s is gone, with %zu bytes",
                                file->name, file->size);
    }
    return true;
}

static bool judge_files(struct doctor_trial *trial)
{
    const struct sim_disk *disk = trial->base.disk;
    const char *name;

    if (!doctor_judge_kept(trial, disk))
        return false;
    for (size_t i = 0; (name = sim_disk_name(disk, QUARANTINE_PATH, i)) != NULL; i++) {
        bool known = false;

        for (unsigned k = 0; k < trial->base.image->count && !known; k++)
            known = is_on_disk(disk, QUARANTINE_PATH, name, &trial->base.image->files[k]);
        if (!known)
            return damage_blame(&trial->base,
                                "repair: quarantine/%s is no file of before", name);
    }
    return true;
}

static bool judge_steps(struct doctor_trial *trial)
{
    const struct bitcask_repair_report *report = &trial->repair.repair;
    uint64_t counts[4] = { 0 };
    uint64_t moved_count = 0;

    for (unsigned i = 0; i < trial->repair.step_count; i++) {
        const struct doctor_step *step = &trial->repair.steps[i];
        const struct damage_file *file = damage_image_find(trial->base.image, step->file);
        const char *moved_to = step->moved_to;
        bool moved = moved_to[0] != '\0';

        if (step->action < BITCASK_REPAIR_KEEP ||
            step->action > BITCASK_REPAIR_QUARANTINE)
            return damage_blame(&trial->base, "repair: step %u is %d", i, step->action);
        counts[step->action]++;
        moved_count += moved;
        if (file == NULL)
            return damage_blame(&trial->base, "repair: a step for %s, which is not there",
                                step->file);
        if (step->size != file->size)
            return damage_blame(&trial->base, "repair: %s has %" PRIu64 " bytes?",
                                step->file, step->size);
        if (moved != (step->action != BITCASK_REPAIR_KEEP) ||
            moved != (step->reason[0] != '\0'))
            return damage_blame(&trial->base,
                                "repair: %s: action %d, moved to \"%s\", reason \"%s\"",
                                step->file, step->action, moved_to, step->reason);
        if (strncmp(moved_to, "quarantine/", 11) == 0)
            moved_to += 11;
        if (moved && !is_on_disk(trial->base.disk, QUARANTINE_PATH, moved_to, file))
            return damage_blame(&trial->base, "repair: %s is not at quarantine/%s",
                                step->file, moved_to);
        if (step->action == BITCASK_REPAIR_KEEP &&
            !is_kept(trial->base.disk, DAMAGE_PATH, step->file, file) &&
            file->class != DAMAGE_MANIFEST && file->class != DAMAGE_LOCK)
            return damage_blame(&trial->base, "repair: %s was to stay as it is",
                                step->file);
    }
    if (report->quarantined_count != moved_count)
        return damage_blame(&trial->base,
                            "repair: %" PRIu64 " files in quarantine, not %" PRIu64,
                            report->quarantined_count, moved_count);
    return true;
}

/* KEYS */

/* Whether a cask may say that @key has no value. */
static bool may_be_nothing(const struct doctor_trial *trial, unsigned key, uint64_t kept)
{
    const struct damage_subject *subject = trial->base.subject;

    for (uint64_t i = kept; i <= subject->last; i++) {
        if (i == 0 || (subject->ops[i].key == key && doctor_is_gone(trial, i) &&
                       trial->truth.states[i] != DOCTOR_GONE))
            return true;
    }
    return false;
}

/* Whether the value is that of a record that may be the newest of @key. */
static bool may_be_value(const struct doctor_trial *trial, unsigned key, uint64_t kept,
                         uint64_t value, uint64_t last)
{
    const struct damage_subject *subject = trial->base.subject;
    const struct damage_op *like = &subject->ops[value];

    for (uint64_t i = kept; i <= last; i++) {
        const struct damage_op *op = &subject->ops[i];

        if (i > 0 && op->key == key && !op->gone &&
            !(trial->truth.exact && trial->map->deletes[i]) && op->size == like->size &&
            memcmp(op->value, like->value, op->size) == 0 &&
            trial->truth.states[i] != DOCTOR_GONE)
            return true;
    }
    return false;
}

static bool judge_key(struct doctor_trial *trial, unsigned key)
{
    uint64_t kept = doctor_kept(trial, key);
    uint64_t value = trial->final.values[key];

    if (trial->truth.foreign) {
        campaign_count(trial->base.campaign, "allowed: foreign files are taken", 1);
        return true;
    }
    if (value == DOCTOR_CORRUPT || value == DOCTOR_FAILED)
        return damage_blame(&trial->base, "repair: key %u cannot be read afterwards",
                            key);
    if (value == DOCTOR_INVENTED)
        return damage_blame(&trial->base, "repair: key %u has a value never put", key);
    if (value == DOCTOR_NOTHING
            ? may_be_nothing(trial, key, kept)
            : may_be_value(trial, key, kept, value, trial->base.subject->last))
        return true;
    if (value == DOCTOR_NOTHING)
        return damage_blame(&trial->base,
                            "repair: key %u is lost, but its record %" PRIu64 " is whole",
                            key, kept);
    return damage_blame(&trial->base,
                        "repair: key %u has the value of record %" PRIu64
                        ", which is %s; the newest whole one is %" PRIu64,
                        key, value,
                        trial->truth.states[value] == DOCTOR_GONE ? "damaged" : "older",
                        kept);
}

/* Whether the value of record @value is also that of a record before @newest. */
static bool is_older(const struct doctor_trial *trial, unsigned key, uint64_t value,
                     uint64_t newest)
{
    return value != newest ||
           may_be_value(trial, key, 0, value, newest > 0 ? newest - 1 : 0);
}

/* What a finding of repair says of a key is what has become of it. */
static bool judge_effect(struct doctor_trial *trial, const struct doctor_finding *finding)
{
    const struct damage_subject *subject = trial->base.subject;
    unsigned key = doctor_key_number(finding->key);
    uint64_t newest = key < DAMAGE_KEYS ? subject->newest[subject->last][key] : 0;
    uint64_t value = key < DAMAGE_KEYS ? trial->final.values[key] : 0;
    bool right = true;

    if (newest == 0)
        return damage_blame(&trial->base, "repair: there never was a key \"%s\"",
                            finding->key);
    switch (finding->effect) {
    case BITCASK_EFFECT_LOST:
        right = value == DOCTOR_NOTHING;
        break;
    case BITCASK_EFFECT_STALE:
        right = is_older(trial, key, value, newest);
        break;
    case BITCASK_EFFECT_UNDELETED:
        right = value != DOCTOR_NOTHING && is_older(trial, key, value, newest);
        break;
    case BITCASK_EFFECT_UNREADABLE:
        right = false; /* not any more */
        break;
    default:
        return true;
    }
    if (trial->truth.states[newest] == DOCTOR_MUST)
        right = false;
    return right ||
           damage_blame(&trial->base,
                        "repair: key %u is said to be %s; it has the value of "
                        "record %" PRIu64 " (0: none); its newest is %" PRIu64,
                        key, bitcask_effect_text(finding->effect), value, newest);
}

static bool is_told(const struct doctor_notes *notes, unsigned key,
                    enum bitcask_effect *effect)
{
    for (unsigned i = 0; i < notes->finding_count; i++) {
        const struct doctor_finding *finding = &notes->findings[i];

        if (finding->kind == BITCASK_FINDING_KEY &&
            doctor_key_number(finding->key) == key &&
            finding->effect != BITCASK_EFFECT_HARMLESS &&
            finding->effect != BITCASK_EFFECT_NONE) {
            *effect = finding->effect;
            return true;
        }
    }
    return false;
}

/* A key whose newest record is gone is told of, or a damage without a name is. */
static bool judge_told(struct doctor_trial *trial, unsigned key)
{
    const struct damage_subject *subject = trial->base.subject;
    const struct doctor_truth *truth = &trial->truth;
    uint64_t newest = subject->newest[subject->last][key];
    uint64_t value = trial->final.values[key];
    enum bitcask_effect effect;

    if (newest == 0 || newest > truth->proven || truth->states[newest] != DOCTOR_GONE ||
        subject->ops[newest].record_size == 0 || value == newest ||
        (value == DOCTOR_NOTHING && subject->ops[newest].gone))
        return true;
    if (is_told(&trial->repair, key, &effect)) {
        if (truth->named[newest] && subject->ops[newest].value == NULL &&
            value != DOCTOR_NOTHING && effect != BITCASK_EFFECT_UNDELETED &&
            effect != BITCASK_EFFECT_STALE)
            return damage_blame(&trial->base, "repair: key %u is undeleted, and not %s",
                                key, bitcask_effect_text(effect));
        return true;
    }
    if (truth->named[newest])
        return damage_blame(&trial->base,
                            "repair: it does not tell of key %u, whose record %" PRIu64
                            " is gone",
                            key, newest);
    if (trial->repair.repair.unnamed_count == 0 &&
        doctor_count(&trial->repair, BITCASK_FINDING_MISSING) == 0)
        return damage_blame(&trial->base,
                            "repair: record %" PRIu64 " of key %u is gone without a word",
                            newest, key);
    return true;
}

static bool judge_keys(struct doctor_trial *trial)
{
    const struct doctor_truth *truth = &trial->truth;

    for (unsigned key = 0; key < DAMAGE_KEYS; key++) {
        if (!judge_key(trial, key))
            return false;
        if (truth->exact && truth->facts.manifest_same && trial->repair.repair.needed &&
            !judge_told(trial, key))
            return false;
    }
    for (unsigned i = 0; i < trial->repair.finding_count && truth->exact; i++) {
        if (trial->repair.findings[i].kind == BITCASK_FINDING_KEY &&
            !judge_effect(trial, &trial->repair.findings[i]))
            return false;
    }
    return true;
}

/* AFTERWARDS */

static bool judge_report(struct doctor_trial *trial)
{
    const struct doctor_notes *notes = &trial->repair;
    const struct bitcask_repair_report *report = &notes->repair;

    if (notes->overflow)
        return damage_blame(&trial->base, "repair: there are too many findings or steps");
    if (report->damage_count != doctor_count(notes, 0) ||
        report->lost_count != doctor_count_effect(notes, BITCASK_EFFECT_LOST) ||
        report->stale_count != doctor_count_effect(notes, BITCASK_EFFECT_STALE) ||
        report->undeleted_count != doctor_count_effect(notes, BITCASK_EFFECT_UNDELETED))
        return damage_blame(&trial->base,
                            "repair: it reports %" PRIu64 " damages, %" PRIu64
                            " lost, %" PRIu64 " stale, %" PRIu64
                            " undeleted, but has told %u, %u, %u, %u",
                            report->damage_count, report->lost_count, report->stale_count,
                            report->undeleted_count, doctor_count(notes, 0),
                            doctor_count_effect(notes, BITCASK_EFFECT_LOST),
                            doctor_count_effect(notes, BITCASK_EFFECT_STALE),
                            doctor_count_effect(notes, BITCASK_EFFECT_UNDELETED));
    if (report->needed != (doctor_count(notes, 0) > 0) ||
        report->changed != report->needed)
        return damage_blame(&trial->base, "repair: needed %d, changed %d, %u damages",
                            report->needed, report->changed, doctor_count(notes, 0));
    if (report->needed && report->key_count != trial->final.live_count)
        return damage_blame(&trial->base,
                            "repair: it reports %" PRIu64 " keys; there are %" PRIu64,
                            report->key_count, trial->final.live_count);
    return true;
}

/* A second repair has nothing to do, and verify finds nothing. */
static bool judge_whole(struct doctor_trial *trial)
{
    struct sim_disk *disk = trial->base.disk;
    struct damage_image after = { .count = 0 };
    const char *name;

    doctor_verify(disk, DAMAGE_PATH, 1, &trial->again);
    if (trial->again.status != BITCASK_OK)
        return damage_blame(&trial->base, "after repair, verify: %s: %s",
                            trial->again.finding_count > 0
                                ? bitcask_finding_text(trial->again.findings[0].kind)
                                : "",
                            trial->again.finding_count > 0
                                ? trial->again.findings[0].detail
                                : trial->again.detail);
    damage_image_take(&after, disk);
    doctor_repair(disk, DAMAGE_PATH, false, &trial->again);
    name = damage_image_differs(&after, disk);
    if (trial->again.status != BITCASK_OK || trial->again.repair.needed ||
        trial->again.repair.changed || name != NULL)
        (void)damage_blame(
            &trial->base, "a second repair: status %d %s, needed %d, changed %d %s",
            trial->again.status, trial->again.detail, trial->again.repair.needed,
            trial->again.repair.changed, name != NULL ? name : "");
    damage_image_release(&after);
    return trial->base.why[0] == '\0';
}

/* It goes on: one more key, and again all others. */
static bool judge_going_on(struct doctor_trial *trial)
{
    const struct bitcask_slice extra = bitcask_text("extra");
    struct bitcask_options options = damage_options(&trial->base);
    struct doctor_answers answers;
    struct bitcask *cask = NULL;
    enum bitcask_status status =
        bitcask_open_with(sim_disk_io(trial->base.disk), &cask, DAMAGE_PATH, &options);

    if (status == BITCASK_OK)
        status = bitcask_put(cask, extra, extra);
    if (status == BITCASK_OK && trial->base.merges)
        status = bitcask_merge(cask, NULL, NULL);
    if (status == BITCASK_OK)
        status = bitcask_close(cask);
    else
        (void)bitcask_close(cask);
    if (status != BITCASK_OK)
        return damage_blame(&trial->base, "after repair, writing: %d %s", status,
                            bitcask_error_detail());
    if (!doctor_ask(trial, trial->base.disk, &answers))
        return false;
    if (answers.status != BITCASK_OK ||
        memcmp(answers.values, trial->final.values, sizeof answers.values) != 0 ||
        answers.stat.cut_count != 0 || answers.stat.key_count != answers.live_count + 1)
        return damage_blame(&trial->base,
                            "after repair, going on: status %d, %" PRIu64 " keys",
                            answers.status, answers.stat.key_count);
    return true;
}

bool doctor_judge_repair(struct doctor_trial *trial)
{
    const struct doctor_truth *truth = &trial->truth;
    const struct doctor_notes *notes = &trial->repair;
    enum bitcask_status status = notes->status;
    const char *difference = doctor_differ(&trial->dry, notes);

    if (sim_disk_open_count(trial->base.disk) != 0)
        return damage_blame(&trial->base, "repair leaves %ld handles",
                            sim_disk_open_count(trial->base.disk));
    if (status != trial->dry.status || difference != NULL)
        return damage_blame(&trial->base, "the dry run: status %d %s, the run: %d %s: %s",
                            trial->dry.status, trial->dry.detail, status, notes->detail,
                            difference != NULL ? difference : "");
    if (status != BITCASK_OK) {
        if (damage_image_differs(trial->base.image, trial->base.disk) != NULL)
            return damage_blame(
                &trial->base, "repair: refused, but %s has changed",
                damage_image_differs(trial->base.image, trial->base.disk));
        if ((status == BITCASK_UNSUPPORTED && truth->newer) ||
            (status == BITCASK_NOT_FOUND && truth->facts.nothing_left))
            return true;
        return damage_blame(&trial->base, "repair: status %d: %s", status, notes->detail);
    }
    if (trial->verify.status != BITCASK_UNSUPPORTED &&
        notes->repair.needed != (trial->verify.status == BITCASK_CORRUPT))
        return damage_blame(&trial->base, "repair: needed %d, verify: %d",
                            notes->repair.needed, trial->verify.status);
    if (!notes->repair.needed) {
        const char *name = damage_image_differs(trial->base.image, trial->base.disk);

        campaign_count(trial->base.campaign, "met: nothing to repair", 1);
        return name == NULL ||
               damage_blame(&trial->base, "repair: nothing to do, but %s has changed",
                            name);
    }
    campaign_count(trial->base.campaign, "met: repaired", 1);
    if (!doctor_ask(trial, trial->base.disk, &trial->final))
        return false;
    if (trial->final.status != BITCASK_OK)
        return damage_blame(&trial->base, "after repair, it does not open: %d %s",
                            trial->final.status, bitcask_error_detail());
    if (trial->final.stat.cut_count != 0)
        return damage_blame(&trial->base, "after repair, there is something to cut");
    return judge_keys(trial) && judge_report(trial) && judge_steps(trial) &&
           judge_files(trial) && judge_whole(trial) && judge_going_on(trial);
}
