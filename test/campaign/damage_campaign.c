/* SPDX-License-Identifier: MIT */
/*
 * Promise 7 and 5: damage is never silent, and no value is invented. Small casks are
 * damaged in every way that damage_kind.h has, at every place (in short mode: every bit
 * of one cask, and a sample of the others), and opened in every way; damage_judge.c says
 * what the answers may be.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/campaign/damage_each.h"
#include "test/campaign/damage_judge.h"
#include "test/campaign/export.h"

enum {
    HANG_SECONDS = 30,
    DISK_USES_MAX = 64
};

struct run {
    struct campaign campaign;
    struct damage_subject *subject;
    struct sim_disk *disk; /* to try on, a new one now and then: it forgets nothing */
    uint64_t disk_use_count;
    uint64_t random;
};

/* For a person who looks at a failure: what differs from the subject. */
static void print_changes(const struct damage_image *was, const struct damage_image *now)
{
    for (unsigned i = 0; i < now->count; i++) {
        const struct damage_file *file = &now->files[i];
        const struct damage_file *before = damage_image_find(was, file->name);
        size_t offset = 0;

        if (damage_file_equal(file, before))
            continue;
        while (before != NULL && offset < file->size && offset < before->size &&
               file->bytes[offset] == before->bytes[offset])
            offset++;
        printf("  changed: %s, %zu bytes, from offset %zu on\n", file->name, file->size,
               offset);
    }
    for (unsigned i = 0; i < was->count; i++) {
        if (damage_image_find(now, was->files[i].name) == NULL)
            printf("  removed: %s\n", was->files[i].name);
    }
}

/* Put @image on a disk. */
static void prepare_disk(struct run *run, const struct damage_image *image)
{
    if (run->disk_use_count++ % DISK_USES_MAX == 0) {
        sim_disk_free(run->disk);
        run->disk = sim_disk_new(run->campaign.seed);
    }
    damage_image_write(image, run->disk);
}

static void try_damage(const struct damage *damage, void *context)
{
    static struct damage_image image;
    struct run *run = context;
    char words[DAMAGE_WORDS_SIZE];
    uint64_t chance = campaign_random(&run->random);
    struct damage_trial trial = {
        .subject = run->subject,
        .damage = damage,
        .image = &image,
        .campaign = &run->campaign,
        .no_mapping = (chance & 1) != 0,
        .goes_on = (chance & 6) == 0,
        .merges = (chance & 8) == 0,
    };

    if (campaign_skips(&run->campaign))
        return;
    damage_image_copy(&image, &run->subject->image);
    damage_apply(run->subject, damage, &image);
    if (!damage_image_equal(&image, &run->subject->image)) {
        damage_words(run->subject, damage, words);
        campaign_try(&run->campaign, "%s", words);
        if (run->campaign.replay != NULL) {
            trial.goes_on = true;
            trial.merges = true;
            print_changes(&run->subject->image, &image);
        }
        (void)alarm(HANG_SECONDS);
        prepare_disk(run, &image);
        campaign_export(&run->campaign, run->disk, 1, false, words);
        trial.disk = run->disk;
        if (damage_judge(&trial))
            campaign_passed(&run->campaign);
        else
            campaign_failed(&run->campaign, words, "%s", trial.why);
        (void)alarm(0);
        campaign_count(&run->campaign, damage_kind_name(damage->kind), 1);
    } else {
        campaign_count(&run->campaign, "without effect", 1);
    }
    damage_image_release(&image);
}

/* All of it, or what is to be replayed. */
static void try_subject(struct damage_subject *subject, unsigned index,
                        const struct damage *damage, void *context)
{
    struct run *run = context;

    run->subject = subject;
    run->random = run->campaign.seed + index;
    if (damage != NULL) {
        prepare_disk(run, &run->subject->image);
        sim_disk_print(run->disk);
        try_damage(damage, run);
    } else {
        struct damage_reach reach = {
            .subject = run->subject,
            .every = run->campaign.is_long || index == 0,
            .is_long = run->campaign.is_long,
            .random = run->random ^ 1,
            .visit = try_damage,
            .context = run,
        };

        damage_each(&reach);
    }
    sim_disk_free(run->disk);
    run->disk = NULL;
    run->disk_use_count = 0;
}

int main(int argc, char **argv)
{
    static struct run run;

    campaign_begin(&run.campaign, argc, argv, "damage");
    damage_each_subject(&run.campaign, try_subject, &run);
    return campaign_end(&run.campaign);
}
