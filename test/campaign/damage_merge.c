/* SPDX-License-Identifier: MIT */
#include "test/campaign/damage_merge.h"

#include <stdlib.h>
#include <string.h>

#include "test/campaign/campaign.h"

/* MERGES OF WHAT IS DAMAGED */

/* Whether @detail names a data file that is there, and an offset in it. */
static bool names_file(const struct damage_trial *trial, const char *detail)
{
    const char *end = strstr(detail, ".data, offset ");
    char name[16];
    size_t size;

    if (end == NULL || end - detail < 10)
        return false;
    (void)snprintf(name, sizeof name, "%.15s", end - 10);
    return sim_disk_file(trial->disk, DAMAGE_PATH, name, &size) != NULL;
}

/* Whether a file that a merge has left was damaged. */
struct left {
    const struct damage_trial *trial;
    uint64_t whole_id; /* of one that was not */
};

static enum bitcask_status find_whole(const struct bitcask_segment_stat *segment,
                                      void *context)
{
    struct left *left = context;
    char name[DAMAGE_NAME_SIZE];
    const struct damage_file *now, *was;

    (void)snprintf(name, sizeof name, "%010u.data", (unsigned)segment->id);
    now = damage_image_find(left->trial->image, name);
    was = damage_image_find(&left->trial->subject->image, name);
    if (segment->record_count > 0 && now != NULL && damage_file_equal(now, was))
        left->whole_id = segment->id;
    return BITCASK_OK;
}

bool damage_judge_merge(struct damage_trial *trial, struct bitcask *cask,
                        const struct damage_answer *before)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    struct bitcask_merge_report report;
    enum bitcask_status status = bitcask_merge(cask, &all, &report);
    struct left left = { .trial = trial };
    bool corrupt = false;

    for (unsigned key = 0; key < DAMAGE_KEYS; key++)
        corrupt = corrupt || before->keys[key] == KEY_CORRUPT;
    if (status != BITCASK_OK && status != BITCASK_CORRUPT)
        return damage_blame(trial, "merge: status %d: %s", status,
                            bitcask_error_detail());
    if (status == BITCASK_OK && corrupt)
        return damage_blame(trial, "merge: OK, though a get is CORRUPT");
    if (status == BITCASK_CORRUPT &&
        (report.left_count == 0 || !names_file(trial, bitcask_error_detail())))
        return damage_blame(trial, "merge: %zu files left, named is: %s",
                            (size_t)report.left_count, bitcask_error_detail());
    if (report.input_count + report.left_count != report.taken_count)
        return damage_blame(trial, "merge: %zu files merged and %zu left of %zu",
                            (size_t)report.input_count, (size_t)report.left_count,
                            (size_t)report.taken_count);
    (void)bitcask_stat_segments(cask, find_whole, &left);
    if (left.whole_id != 0)
        return damage_blame(trial, "merge (%d): leaves file %u, which is whole", status,
                            (unsigned)left.whole_id);
    for (unsigned key = 0; key < DAMAGE_KEYS; key++) {
        enum key_verdict now =
            damage_ask(trial->subject, cask, before->stat.last_sequence, key);

        if (now != before->keys[key])
            return damage_blame(trial, "merge (%d): key %u was %d, is %d", status, key,
                                (int)before->keys[key], (int)now);
    }
    campaign_count(trial->campaign,
                   status == BITCASK_OK ? "merged" : "met: merges that were CORRUPT", 1);
    return true;
}

/* MAKING */

static enum bitcask_status add_id(const struct bitcask_segment_stat *segment,
                                  void *context)
{
    uint64_t *ids = context;

    ids[++ids[0]] = segment->id;
    return BITCASK_OK;
}

void damage_merge(struct maker *maker, enum bitcask_merge_choice choice)
{
    uint64_t ids[DAMAGE_FILES_MAX] = { 0 };
    struct bitcask_merge_options options = { .choice = choice, .file_ids = ids };

    require(bitcask_stat_segments(maker->cask, add_id, ids) == BITCASK_OK);
    for (uint64_t i = 1; i <= ids[0] && choice == BITCASK_MERGE_FILES; i += 2)
        ids[options.file_count++] = ids[i];
    require(bitcask_merge(maker->cask, &options, NULL) == BITCASK_OK);
    maker->subject->merged = true;
    maker->subject->synced = maker->subject->last;
}

struct death {
    bool retired;
    struct sim_disk *left;
};

static void die_here(struct sim_disk *disk, const struct sim_moment *moment,
                     void *context)
{
    struct death *death = context;
    size_t size = 0;
    const uint8_t *manifest = sim_disk_file(disk, DAMAGE_PATH, "MANIFEST", &size);
    const char *word = death->retired ? "\nretired " : "\ndraft ";
    bool listed = false;

    for (size_t i = 0; i + strlen(word) <= size; i++)
        listed = listed || memcmp(manifest + i, word, strlen(word)) == 0;
    if (death->left != NULL || !listed ||
        moment->call != (death->retired ? FAULT_REMOVE : FAULT_WRITE) ||
        moment->when != (death->retired ? SIM_BEFORE : SIM_AFTER) ||
        (!death->retired &&
         (strstr(moment->name, ".data") == NULL || moment->offset == 0)))
        return;
    death->left = sim_disk_after(disk, SIM_KILL, 1);
}

void damage_merge_and_die(struct maker *maker, bool retired)
{
    struct death death = { .retired = retired };

    sim_disk_set_hook(maker->disk, die_here, &death);
    damage_merge(maker, BITCASK_MERGE_ALL);
    sim_disk_set_hook(maker->disk, NULL, NULL);
    require(bitcask_close(maker->cask) == BITCASK_OK);
    require(death.left != NULL);
    maker->cask = NULL;
    sim_disk_free(maker->disk);
    maker->disk = death.left;
    maker->subject->clean = false;
}
