/* SPDX-License-Identifier: MIT */
#include "test/campaign/damage_judge.h"

#include <inttypes.h>
#include <string.h>

#include "bitcask/cask.h"
#include "test/campaign/damage_look.h"
#include "test/campaign/damage_merge.h"

/* JUDGING an open that went well. */

/* A get may only fail where the newest record of the key is no longer what it was. */
static bool judge_key(struct damage_trial *trial, const struct damage_answer *answer,
                      unsigned key)
{
    const struct damage_subject *subject = trial->subject;
    uint64_t newest = subject->newest[answer->stat.last_sequence][key];

    switch (answer->keys[key]) {
    case KEY_RIGHT:
        return true;
    case KEY_CORRUPT:
        campaign_count(trial->campaign, "met: gets that were CORRUPT", 1);
        if (newest != 0 && !damage_has_record(subject, trial->image, newest))
            return true;
        return damage_blame(
            trial, "%s: get of key %u is CORRUPT, but its record %" PRIu64 " is whole",
            answer->how, key, newest);
    default:
        return damage_blame(trial,
                            "%s: key %u is %s in a cask that says it has %" PRIu64
                            " of %" PRIu64 " records, %" PRIu64 " cuts",
                            answer->how, key,
                            answer->keys[key] == KEY_MISSING    ? "missing"
                            : answer->keys[key] == KEY_OTHER    ? "an older value"
                            : answer->keys[key] == KEY_INVENTED ? "a value never put"
                                                                : "an error",
                            answer->stat.last_sequence, subject->last,
                            answer->stat.cut_count);
    }
}

/*
 * Records are gone, and the open said OK. docs/durability.md, promise 7: "Only what
 * nothing proves to have been synced is cut as a torn tail, and every cut is reported".
 */
static bool judge_loss(struct damage_trial *trial, const struct damage_answer *answer)
{
    const struct damage_subject *subject = trial->subject;
    uint64_t last = answer->stat.last_sequence;
    uint64_t proven = damage_proven(subject, trial->image);

    if (proven > last)
        return damage_blame(trial,
                            "%s: %" PRIu64 " of %" PRIu64
                            " records are left, though %" PRIu64 " are proven",
                            answer->how, last, subject->last, proven);
    if (!subject->ops[last].ends)
        return damage_blame(trial, "%s: %" PRIu64 " records are a part of a batch",
                            answer->how, last);
    /*
     * Where the last record is followed by nothing at all, there is nothing that could
     * be reported. "What a program has to know": "Deleting the newest data file of a
     * cask that was not closed cleanly removes the only proof that its records existed."
     * The same goes for its end, cut off between two records, and for files that
     * together are the cask as it once was.
     */
    if (answer->stat.cut_count == 0)
        campaign_count(trial->campaign, "allowed: records gone without a trace", 1);
    else if (last < subject->synced)
        campaign_count(trial->campaign, "allowed: synced, but nothing proved it: cut", 1);
    else
        campaign_count(trial->campaign, "met: torn tails cut", 1);
    return true;
}

static bool judge_open(struct damage_trial *trial, const struct damage_answer *answer)
{
    const struct damage_subject *subject = trial->subject;
    const struct bitcask_stat *stat = &answer->stat;
    uint64_t live_count = 0;

    if (answer->claims_more)
        return damage_blame(trial, "%s: a segment is larger than its file", answer->how);
    if (answer->left_count != stat->cut_count)
        return damage_blame(trial, "%s: %u files were cut, %" PRIu64 " are reported",
                            answer->how, answer->left_count, stat->cut_count);
    if (trial->facts.manifest_foreign && !trial->facts.data_own) {
        /* It misses nothing, and of ours there is nothing left to tell it by. */
        campaign_count(trial->campaign, "allowed: the MANIFEST of another cask", 1);
        return true;
    }
    if (stat->last_sequence > subject->last)
        return damage_blame(trial, "%s: there are %" PRIu64 " records, not %" PRIu64,
                            answer->how, stat->last_sequence, subject->last);
    for (unsigned key = 0; key < DAMAGE_KEYS; key++) {
        if (!judge_key(trial, answer, key))
            return false;
        live_count += !damage_subject_is_gone(subject, stat->last_sequence, key);
    }
    if (stat->key_count != live_count || answer->iterated_count != live_count ||
        answer->iterated_wrong)
        return damage_blame(trial,
                            "%s: stat has %" PRIu64 " keys, iteration %" PRIu64 "%s, get "
                            "%" PRIu64,
                            answer->how, stat->key_count, answer->iterated_count,
                            answer->iterated_wrong ? " wrong ones" : "", live_count);
    if (trial->facts.nothing_left) {
        campaign_count(trial->campaign, "allowed: no file left, a new cask", 1);
        return true;
    }
    if (!trial->facts.manifest_known)
        return damage_blame(trial, "%s: the MANIFEST was accepted", answer->how);
    return stat->last_sequence == subject->last || judge_loss(trial, answer);
}

/* JUDGING an open that did not. */

/* Whether @detail has the name of a file whose bytes have changed. */
static bool names_changed(const struct damage_trial *trial, const char *detail)
{
    for (unsigned i = 0; i < trial->image->count; i++) {
        const struct damage_file *file = &trial->image->files[i];

        if (strstr(detail, file->name) != NULL &&
            !damage_file_equal(file,
                               damage_image_find(&trial->subject->image, file->name)))
            return true;
    }
    return false;
}

/* These leave all else where it was, so that nothing else can be to blame. */
static bool is_within_file(enum damage_kind kind)
{
    return kind == DAMAGE_FLIP || kind == DAMAGE_FILL || kind == DAMAGE_COPY ||
           kind == DAMAGE_STALE || kind == DAMAGE_EXCHANGE;
}

/* Whether one bit of the value of one record is what was damaged. */
static bool is_in_value(const struct damage_trial *trial)
{
    const struct damage *damage = trial->damage;

    if (damage->kind != DAMAGE_FLIP)
        return false;
    for (uint64_t i = 1; i <= trial->subject->last; i++) {
        const struct damage_op *op = &trial->subject->ops[i];

        if (op->file == damage->file && damage->a / 8 >= op->offset + op->head_size &&
            damage->a / 8 < op->offset + op->record_size)
            return !op->in_batch;
    }
    return false;
}

/*
 * What is added behind a sealed file, or the newest, is cut. Between two files that
 * follow each other it may be a record: there it is something that is not as it was.
 */
static bool is_between(const struct damage_trial *trial)
{
    for (unsigned i = 0; i < trial->image->count; i++) {
        const struct damage_file *file = &trial->image->files[i];
        bool newest = true;

        if (file->class != DAMAGE_DATA ||
            damage_listed(trial->image, file->id) == DAMAGE_SEALED ||
            damage_listed(trial->image, file->id) == DAMAGE_OUTSIDE ||
            damage_file_equal(file,
                              damage_image_find(&trial->subject->image, file->name)))
            continue;
        for (unsigned k = 0; k < trial->image->count; k++) {
            if (trial->image->files[k].class == DAMAGE_DATA &&
                trial->image->files[k].id > file->id)
                newest = false;
        }
        if (!newest)
            return true;
    }
    return false;
}

static bool judge_refusal(struct damage_trial *trial, const struct damage_answer *answer)
{
    const struct damage_facts *facts = &trial->facts;

    if (facts->nothing_left &&
        answer->status == (facts->foreign_name ? BITCASK_MISUSE : BITCASK_NOT_FOUND))
        return true;
    if (answer->status != BITCASK_CORRUPT &&
        !(answer->status == BITCASK_UNSUPPORTED && facts->version_changed))
        return damage_blame(trial, "%s: status %d: %s", answer->how, answer->status,
                            answer->detail);
    if (!facts->data_changed || (facts->only_extended && !is_between(trial)))
        return damage_blame(trial, "%s: nothing is lost, but: %s", answer->how,
                            answer->detail);
    if (is_in_value(trial))
        return damage_blame(trial, "%s: only a value is damaged, but: %s", answer->how,
                            answer->detail);
    if ((strstr(answer->detail, ".data") == NULL &&
         strstr(answer->detail, "MANIFEST") == NULL) ||
        (is_within_file(trial->damage->kind) && !names_changed(trial, answer->detail)))
        return damage_blame(trial, "%s: another file is named: %s", answer->how,
                            answer->detail);
    if (answer->status == BITCASK_CORRUPT && strstr(answer->detail, "repair") == NULL)
        return damage_blame(trial, "%s: it is not said what to do: %s", answer->how,
                            answer->detail);
    return true;
}

static bool judge_plain(struct damage_trial *trial, const struct damage_answer *answer)
{
    return answer->status == BITCASK_OK ? judge_open(trial, answer)
                                        : judge_refusal(trial, answer);
}

static bool is_listed(const struct damage_trial *trial, const struct damage_op *op)
{
    enum damage_listed listed =
        damage_listed(trial->image, trial->subject->image.files[op->file].id);

    return listed != DAMAGE_UNLISTED && listed != DAMAGE_OUTSIDE;
}

/* SALVAGE. Whether it must find record @sequence, in spite of all. */
static bool is_salvageable(const struct damage_trial *trial, uint64_t sequence)
{
    const struct damage_op *op = &trial->subject->ops[sequence];

    if (!damage_has_record(trial->subject, trial->image, sequence))
        return false;
    /* A MANIFEST that is whole is believed; what it does not list counts as damage. */
    if (trial->facts.manifest_foreign ||
        (trial->facts.manifest_known && !is_listed(trial, op)))
        return false;
    /* A whole header of another file makes it another file. */
    return damage_is_same(trial->subject, trial->image, op->file, 0, 64) ||
           (trial->facts.manifest_same &&
            (trial->damage->kind == DAMAGE_FLIP || trial->damage->kind == DAMAGE_FILL));
}

static bool judge_salvage(struct damage_trial *trial, const struct damage_answer *answer,
                          const struct damage_answer *plain)
{
    const struct damage_subject *subject = trial->subject;

    if (answer->status == BITCASK_UNSUPPORTED && trial->facts.version_changed &&
        !trial->facts.manifest_same)
        return true;
    if (answer->status != BITCASK_OK)
        return trial->facts.nothing_left
                   ? judge_refusal(trial, answer)
                   : damage_blame(trial, "%s: status %d: %s", answer->how, answer->status,
                                  answer->detail);
    for (unsigned key = 0; key < DAMAGE_KEYS; key++) {
        enum key_verdict verdict = answer->keys[key];
        uint64_t newest = subject->newest[subject->last][key];

        if (verdict != KEY_RIGHT &&
            (trial->facts.data_foreign || trial->facts.manifest_foreign) &&
            !trial->facts.manifest_same && !trial->facts.manifest_known) {
            /* Without its MANIFEST, nothing says which files are a cask's. */
            campaign_count(trial->campaign, "allowed: salvage takes foreign files", 1);
            continue;
        }
        if (verdict == KEY_CORRUPT && subject->merged && !trial->facts.manifest_known) {
            /* Nor which of two files with the same record is the older one. */
            campaign_count(trial->campaign, "allowed: salvage takes replaced files", 1);
            continue;
        }
        if (verdict == KEY_INVENTED || verdict == KEY_FAILED)
            return damage_blame(trial, "%s: key %u is %s", answer->how, key,
                                verdict == KEY_FAILED ? "an error" : "a value never put");
        if (verdict != KEY_RIGHT && (newest == 0 || is_salvageable(trial, newest)))
            return damage_blame(trial,
                                "%s: key %u is not right (%d), but its record %" PRIu64
                                " is whole; %" PRIu64 " damages",
                                answer->how, key, (int)verdict, newest,
                                answer->stat.damage_count);
    }
    if (plain->status != BITCASK_OK && answer->stat.damage_count == 0)
        return damage_blame(trial, "%s: no damage counted, though without it: %s",
                            answer->how, plain->detail);
    return true;
}

/* ALL OF IT. After an open for writing: that the cask goes on as it says it is. */
static bool judge_going_on(struct damage_trial *trial, struct bitcask *cask,
                           const struct damage_answer *before)
{
    const struct bitcask_slice extra = bitcask_text("extra");
    struct bitcask_options options = damage_options(trial);
    struct bitcask_buffer value = { 0 };
    struct bitcask_stat stat;
    enum bitcask_status status;

    if (trial->merges && !damage_judge_merge(trial, cask, before)) {
        (void)bitcask_close(cask);
        return false;
    }
    status = bitcask_put(cask, extra, extra);
    if (status == BITCASK_OK)
        status = bitcask_close(cask);
    else
        (void)bitcask_close(cask);
    if (status != BITCASK_OK)
        return damage_blame(trial, "going on: put or close: %s", bitcask_error_detail());
    options.read_only = true;
    if (bitcask_open_with(sim_disk_io(trial->disk), &cask, DAMAGE_PATH, &options) !=
        BITCASK_OK)
        return damage_blame(trial, "going on: open again: %s", bitcask_error_detail());
    for (unsigned key = 0; key < DAMAGE_KEYS && trial->why[0] == '\0'; key++) {
        if (damage_ask(trial->subject, cask, before->stat.last_sequence, key) !=
            before->keys[key])
            (void)damage_blame(trial, "going on: key %u is not what it was", key);
    }
    status = bitcask_get(cask, extra, &value);
    (void)bitcask_stat(cask, &stat);
    bitcask_buffer_release(&value);
    (void)bitcask_close(cask);
    if (trial->why[0] == '\0' && (status != BITCASK_OK || stat.cut_count != 0 ||
                                  stat.last_sequence != before->stat.last_sequence + 1))
        return damage_blame(trial,
                            "going on: status %d, %" PRIu64 " records, %" PRIu64 " cuts",
                            status, stat.last_sequence, stat.cut_count);
    return trial->why[0] == '\0';
}

static bool judge_writing(struct damage_trial *trial,
                          const struct damage_answer *read_only)
{
    struct damage_answer writing = { .how = "for writing" };
    struct bitcask *cask = NULL;
    const char *name;

    if (!damage_look(trial, &writing, false, &cask))
        return false;
    if (!judge_plain(trial, &writing)) {
        (void)bitcask_close(cask);
        return false;
    }
    if (cask != NULL && trial->goes_on &&
        writing.stat.last_sequence <= trial->subject->last) {
        if (!judge_going_on(trial, cask, &writing))
            return false;
    } else if (bitcask_close(cask) != BITCASK_OK) {
        return damage_blame(trial, "for writing: close: %s", bitcask_error_detail());
    }
    if (sim_disk_open_count(trial->disk) != 0)
        return damage_blame(trial, "for writing: %ld handles stay open",
                            sim_disk_open_count(trial->disk));

    /* Then the damaged file, put back as it was, makes it whole again. */
    name = writing.status == BITCASK_OK ? NULL
                                        : damage_image_differs(trial->image, trial->disk);
    if (name != NULL)
        return damage_blame(trial, "for writing: refused, but %s has changed", name);
    if (!trial->facts.nothing_left &&
        (writing.status != read_only->status ||
         writing.stat.last_sequence != read_only->stat.last_sequence ||
         writing.stat.cut_count != read_only->stat.cut_count))
        return damage_blame(trial,
                            "read-only: %d, %" PRIu64 " records, %" PRIu64
                            " cuts; for writing: %d, %" PRIu64 ", %" PRIu64,
                            read_only->status, read_only->stat.last_sequence,
                            read_only->stat.cut_count, writing.status,
                            writing.stat.last_sequence, writing.stat.cut_count);
    return true;
}

/* What is known beforehand, whatever the proofs say. */
static bool judge_harmless(struct damage_trial *trial, const struct damage_answer *answer)
{
    const struct damage_facts *facts = &trial->facts;

    if (answer->status != BITCASK_OK || (facts->data_changed && !facts->only_extended) ||
        is_between(trial))
        return true;
    if (answer->stat.last_sequence != trial->subject->last)
        return damage_blame(
            trial, "%s: %" PRIu64 " records of %" PRIu64 ", though none was damaged",
            answer->how, answer->stat.last_sequence, trial->subject->last);
    if (!facts->data_changed && answer->stat.cut_count != 0)
        return damage_blame(trial, "%s: a cut, though no data was damaged", answer->how);
    return true;
}

bool damage_judge(struct damage_trial *trial)
{
    struct damage_answer read_only = { .how = "read-only" };
    struct damage_answer salvage = { .how = "salvage", .salvage = true };
    uint64_t hash = sim_disk_hash(trial->disk);

    damage_facts_find(&trial->facts, trial->subject, trial->image);
    if (trial->facts.all_foreign) {
        campaign_count(trial->campaign, "allowed: it is the other cask, whole", 1);
        return true;
    }
    if (!damage_look(trial, &read_only, true, NULL) ||
        !damage_look(trial, &salvage, true, NULL))
        return false;
    if (sim_disk_hash(trial->disk) != hash)
        return damage_blame(trial, "read-only: the disk has changed");
    if (!judge_plain(trial, &read_only) || !judge_harmless(trial, &read_only) ||
        !judge_salvage(trial, &salvage, &read_only))
        return false;
    if (read_only.status == BITCASK_OK && !trial->facts.manifest_foreign &&
        read_only.stat.synced_sequence > trial->subject->synced)
        return damage_blame(trial,
                            "read-only: %" PRIu64 " records were synced, not %" PRIu64,
                            trial->subject->synced, read_only.stat.synced_sequence);
    campaign_count(trial->campaign,
                   read_only.status == BITCASK_OK            ? "met: opens"
                   : read_only.status == BITCASK_UNSUPPORTED ? "met: UNSUPPORTED opens"
                                                             : "met: refused opens",
                   1);
    return judge_writing(trial, &read_only);
}
