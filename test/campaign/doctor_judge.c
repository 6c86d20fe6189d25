/* SPDX-License-Identifier: MIT */
#include "test/campaign/doctor_judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/cask.h"

unsigned doctor_key_number(const char *key)
{
    unsigned number = 0;

    while (number < DAMAGE_KEYS &&
           (strlen(key) != damage_key(number).size ||
            memcmp(key, damage_key(number).data, damage_key(number).size) != 0))
        number++;
    return number;
}

uint64_t doctor_kept(const struct doctor_trial *trial, unsigned key)
{
    uint64_t kept = 0;

    for (uint64_t i = 1; i <= trial->base.subject->last; i++) {
        if (trial->base.subject->ops[i].key == key &&
            trial->truth.states[i] == DOCTOR_MUST)
            kept = i;
    }
    return kept;
}

bool doctor_is_gone(const struct doctor_trial *trial, uint64_t sequence)
{
    return trial->base.subject->ops[sequence].gone || trial->map->deletes[sequence];
}

/* ASKING */

/* The newest record of key number @key that has @value. */
static uint64_t find_value(const struct damage_subject *subject, unsigned key,
                           const struct bitcask_buffer *value)
{
    for (uint64_t i = subject->last; i > 0; i--) {
        if (subject->ops[i].key == key && damage_subject_has(subject, i, value))
            return i;
    }
    return DOCTOR_INVENTED;
}

bool doctor_ask(struct doctor_trial *trial, struct sim_disk *disk,
                struct doctor_answers *answers)
{
    struct bitcask_options options = damage_options(&trial->base);
    struct bitcask_buffer value = { 0 };
    struct bitcask *cask = NULL;

    memset(answers, 0, sizeof *answers);
    options.read_only = true;
    answers->status = bitcask_open_with(sim_disk_io(disk), &cask, DAMAGE_PATH, &options);
    for (unsigned key = 0; cask != NULL && key < DAMAGE_KEYS; key++) {
        switch (bitcask_get(cask, damage_key(key), &value)) {
        case BITCASK_OK:
            answers->values[key] = find_value(trial->base.subject, key, &value);
            answers->live_count++;
            break;
        case BITCASK_NOT_FOUND:
            answers->values[key] = DOCTOR_NOTHING;
            break;
        case BITCASK_CORRUPT:
            answers->values[key] = DOCTOR_CORRUPT;
            break;
        default:
            answers->values[key] = DOCTOR_FAILED;
            break;
        }
    }
    bitcask_buffer_release(&value);
    if (cask != NULL) {
        (void)bitcask_stat(cask, &answers->stat);
        if (bitcask_close(cask) != BITCASK_OK)
            return damage_blame(&trial->base, "a read-only cask does not close: %s",
                                bitcask_error_detail());
    }
    return sim_disk_open_count(disk) == 0 ||
           damage_blame(&trial->base, "an open leaves %ld handles",
                        sim_disk_open_count(disk));
}

/* VERIFY */

/* Whether @name is a file that differs, or belongs to a data file that does. */
static bool is_concerned(const struct doctor_trial *trial, const char *name)
{
    char partner[DAMAGE_NAME_SIZE];
    const char *names[] = { name, partner };
    size_t length = strlen(name);

    (void)snprintf(partner, sizeof partner, "%s", name);
    if (length > 5 && strcmp(name + length - 5, ".data") == 0)
        memcpy(partner + length - 5, ".hint", 5);
    else if (length > 5 && strcmp(name + length - 5, ".hint") == 0)
        memcpy(partner + length - 5, ".data", 5);
    for (unsigned i = 0; i < 2; i++) {
        if (!damage_file_equal(damage_image_find(trial->base.image, names[i]),
                               damage_image_find(&trial->base.subject->image, names[i])))
            return true;
    }
    return false;
}

/* Each finding that is damage names a file with which something is wrong. */
static bool judge_names(struct doctor_trial *trial)
{
    const struct doctor_truth *truth = &trial->truth;
    bool named = false;

    for (unsigned i = 0; i < trial->verify.finding_count; i++) {
        const struct doctor_finding *finding = &trial->verify.findings[i];

        if (!bitcask_finding_is_damage(finding->kind))
            continue;
        if (is_concerned(trial, finding->file) ||
            finding->kind == BITCASK_FINDING_SEQUENCE) {
            named = true; /* a gap is told where history goes on behind it */
            continue;
        }
        /* The MANIFEST may be the one that is wrong, and all others not be its own. */
        if (!truth->exact || !truth->facts.manifest_same)
            continue;
        return damage_blame(&trial->base, "verify: \"%s\" is told of \"%s\": %s",
                            bitcask_finding_text(finding->kind), finding->file,
                            finding->detail);
    }
    if (truth->must_find && !named)
        return damage_blame(&trial->base, "verify: it names no file, but: %s",
                            truth->found);
    return true;
}

static bool judge_counts(struct doctor_trial *trial)
{
    const struct doctor_notes *notes = &trial->verify;
    const struct bitcask_verify_report *report = &notes->verify;
    unsigned damage_count = doctor_count(notes, 0);
    unsigned note_count = 0;

    for (unsigned i = 0; i < notes->finding_count; i++)
        note_count += notes->findings[i].kind >= BITCASK_FINDING_TORN_TAIL;
    if (notes->overflow)
        return damage_blame(&trial->base, "verify: there are too many findings");
    if (report->damage_count != damage_count || report->note_count != note_count ||
        report->lost_count != doctor_count_effect(notes, BITCASK_EFFECT_LOST) ||
        report->stale_count != doctor_count_effect(notes, BITCASK_EFFECT_STALE) ||
        report->undeleted_count != doctor_count_effect(notes, BITCASK_EFFECT_UNDELETED) ||
        report->unreadable_count != doctor_count_effect(notes, BITCASK_EFFECT_UNREADABLE))
        return damage_blame(
            &trial->base,
            "verify: it reports %" PRIu64 " damages, %" PRIu64 " notes, %" PRIu64
            " lost, %" PRIu64 " stale, %" PRIu64 " undeleted, %" PRIu64
            " unreadable, but has not told so many (%u, %u, %u, %u, %u, %u)",
            report->damage_count, report->note_count, report->lost_count,
            report->stale_count, report->undeleted_count, report->unreadable_count,
            damage_count, note_count, doctor_count_effect(notes, BITCASK_EFFECT_LOST),
            doctor_count_effect(notes, BITCASK_EFFECT_STALE),
            doctor_count_effect(notes, BITCASK_EFFECT_UNDELETED),
            doctor_count_effect(notes, BITCASK_EFFECT_UNREADABLE));
    if ((notes->status == BITCASK_OK) != (damage_count == 0))
        return damage_blame(&trial->base, "verify: status %d with %u damages",
                            notes->status, damage_count);
    return true;
}

/* Whether the older records of @key are what @effect says of them. */
static bool is_effect(const struct doctor_trial *trial, unsigned key,
                      enum bitcask_effect effect)
{
    const struct damage_subject *subject = trial->base.subject;
    uint64_t kept = doctor_kept(trial, key);

    for (uint64_t i = 1; i <= subject->last; i++) {
        if (subject->ops[i].key == key && trial->truth.states[i] == DOCTOR_MAY)
            return true;
    }
    switch (effect) {
    case BITCASK_EFFECT_LOST:
        return kept == 0 || doctor_is_gone(trial, kept);
    case BITCASK_EFFECT_STALE:
        return kept != 0;
    case BITCASK_EFFECT_UNDELETED:
        return kept != 0 && !doctor_is_gone(trial, kept);
    default:
        return true;
    }
}

/* Keys are told of where their newest record is not what it was, and only there. */
static bool judge_verified_keys(struct doctor_trial *trial)
{
    const struct damage_subject *subject = trial->base.subject;
    const struct doctor_truth *truth = &trial->truth;
    bool told[DAMAGE_KEYS] = { false };

    for (unsigned i = 0; i < trial->verify.finding_count; i++) {
        const struct doctor_finding *finding = &trial->verify.findings[i];
        unsigned key = doctor_key_number(finding->key);
        uint64_t newest = key < DAMAGE_KEYS ? subject->newest[subject->last][key] : 0;

        if (finding->kind != BITCASK_FINDING_KEY)
            continue;
        if (key == DAMAGE_KEYS && truth->exact)
            return damage_blame(&trial->base, "verify: there never was a key \"%s\"",
                                finding->key);
        if (key == DAMAGE_KEYS || finding->effect == BITCASK_EFFECT_HARMLESS ||
            finding->effect == BITCASK_EFFECT_NONE)
            continue;
        told[key] = true;
        if (truth->exact && (newest == 0 || truth->states[newest] == DOCTOR_MUST))
            return damage_blame(
                &trial->base, "verify: key %u is %s, but its record %" PRIu64 " is whole",
                key, bitcask_effect_text(finding->effect), newest);
        if (truth->exact && !is_effect(trial, key, finding->effect))
            return damage_blame(
                &trial->base,
                "verify: key %u is not %s: its record %" PRIu64 " is what is left", key,
                bitcask_effect_text(finding->effect), doctor_kept(trial, key));
    }
    for (unsigned key = 0; key < DAMAGE_KEYS && truth->facts.manifest_same; key++) {
        uint64_t newest = subject->newest[subject->last][key];

        if (!truth->exact || newest == 0 || newest > truth->proven ||
            truth->states[newest] != DOCTOR_GONE || subject->ops[newest].gone ||
            subject->ops[newest].record_size == 0 || told[key])
            continue;
        if (truth->named[newest])
            return damage_blame(
                &trial->base,
                "verify: it does not tell of key %u, whose record %" PRIu64 " is damaged",
                key, newest);
        if (trial->verify.verify.unnamed_count == 0)
            return damage_blame(&trial->base,
                                "verify: record %" PRIu64 " of key %u is damaged, and "
                                "neither is it told nor a damage without a name",
                                newest, key);
    }
    return true;
}

/* Nothing was found: then nothing may be wrong. */
static bool judge_clean(struct doctor_trial *trial)
{
    const struct damage_subject *subject = trial->base.subject;
    struct doctor_answers answers;

    if (!doctor_ask(trial, trial->base.disk, &answers))
        return false;
    if (answers.status != BITCASK_OK)
        return damage_blame(&trial->base, "verify: no damage, but it does not open: %s",
                            bitcask_error_detail());
    for (unsigned key = 0; key < DAMAGE_KEYS; key++) {
        if (answers.values[key] == DOCTOR_CORRUPT)
            return damage_blame(&trial->base, "verify: no damage, but key %u is CORRUPT",
                                key);
    }
    if (trial->truth.facts.manifest_same &&
        answers.stat.last_sequence < trial->truth.proven &&
        answers.stat.last_sequence < subject->last)
        return damage_blame(&trial->base,
                            "verify: no damage, but %" PRIu64 " records of %" PRIu64
                            " proven ones are left",
                            answers.stat.last_sequence, trial->truth.proven);
    return true;
}

bool doctor_judge_verify(struct doctor_trial *trial)
{
    const struct doctor_truth *truth = &trial->truth;
    enum bitcask_status status = trial->verify.status;

    if (truth->facts.nothing_left && (status == BITCASK_NOT_FOUND ||
                                      status == BITCASK_OK || status == BITCASK_CORRUPT))
        return true;
    if (status == BITCASK_UNSUPPORTED && truth->newer) {
        campaign_count(trial->base.campaign, "met: UNSUPPORTED", 1);
        return true;
    }
    if (status != BITCASK_OK && status != BITCASK_CORRUPT)
        return damage_blame(&trial->base, "verify: status %d: %s", status,
                            trial->verify.detail);
    if (!judge_counts(trial))
        return false;
    if (truth->must_find && status == BITCASK_OK)
        return damage_blame(&trial->base, "verify: no damage, but: %s", truth->found);
    if (truth->must_pass && status != BITCASK_OK)
        return damage_blame(&trial->base, "verify: damage where there is none: %s",
                            trial->verify.detail);
    return judge_names(trial) && judge_verified_keys(trial) &&
           (status != BITCASK_OK || judge_clean(trial));
}

/* ALL OF IT */

bool doctor_judge(struct doctor_trial *trial)
{
    struct sim_disk *disk = trial->base.disk;
    uint64_t hash = sim_disk_hash(disk);

    doctor_truth_find(&trial->truth, trial->base.subject, trial->map, trial->base.image);
    if (trial->truth.facts.all_foreign) {
        campaign_count(trial->base.campaign, "allowed: it is the other cask, whole", 1);
        return true;
    }
    if (!doctor_judge_walks(trial))
        return false;
    doctor_verify(disk, DAMAGE_PATH, trial->threads ? 4 : 1, &trial->verify);
    if (sim_disk_open_count(disk) != 0)
        return damage_blame(&trial->base, "verify leaves %ld handles",
                            sim_disk_open_count(disk));
    if (!doctor_judge_verify(trial))
        return false;
    doctor_repair(disk, DAMAGE_PATH, true, &trial->dry);
    if (sim_disk_hash(disk) != hash)
        return damage_blame(&trial->base, "looking has changed the disk");
    doctor_repair(disk, DAMAGE_PATH, false, &trial->repair);
    if (!doctor_judge_repair(trial))
        return false;
    return !trial->crashes || trial->repair.status != BITCASK_OK ||
           !trial->repair.repair.needed ||
           (doctor_judge_crashes(trial) && doctor_judge_failures(trial));
}
