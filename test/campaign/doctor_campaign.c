/* SPDX-License-Identifier: MIT */
/*
 * The doctors of damaged casks: inspectors, verify and repair. The casks and the damages
 * of the damage campaign, at every byte of one cask and a share of the places of the
 * others (in the long mode everywhere); what they have to say and to save is for
 * doctor_judge.c.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/campaign/damage_each.h"
#include "test/campaign/doctor_judge.h"

enum {
    HANG_SECONDS = 120,
    CRASH_SHARE_SHORT = 4000, /* one trial in so many crashes at every call */
    CRASH_SHARE_LONG = 1500
};

struct run {
    struct campaign campaign;
    struct damage_subject *subject;
    struct doctor_map map;
    uint64_t random;
    uint64_t share; /* one damage in so many is tried */
    uint64_t passed_over;
};

/* One bit of each byte is enough for the short mode. */
static bool is_left_out(struct run *run, const struct damage *damage)
{
    if (run->campaign.replay != NULL || damage->kind == DAMAGE_NONE)
        return false;
    if (damage->kind == DAMAGE_FLIP && !run->campaign.is_long &&
        damage->a % 8 != damage->a / 8 % 8)
        return true;
    if (run->share > 1 && run->passed_over++ % run->share != 0)
        return true;
    return campaign_skips(&run->campaign);
}

static void print_truth(const struct doctor_trial *trial)
{
    static const char *const states[] = { "gone", "may", "must" };
    const struct damage_file *manifest = damage_image_find(trial->base.image, "MANIFEST");

    printf("proven %" PRIu64 " of %" PRIu64 "%s%s%s; found: %s\n", trial->truth.proven,
           trial->base.subject->last, trial->truth.exact ? ", exact" : "",
           trial->truth.foreign ? ", foreign" : "",
           trial->truth.unlisted ? ", unlisted" : "", trial->truth.found);
    for (uint64_t i = 1; i <= trial->base.subject->last; i++) {
        const struct damage_op *op = &trial->base.subject->ops[i];

        printf("  record %" PRIu64 ", key %u %s%s: %s%s, in %s at %" PRIu64 ", %" PRIu64
               " bytes\n",
               i, op->key, op->gone ? "gone" : "put", op->in_batch ? " in a batch" : "",
               states[trial->truth.states[i]], trial->truth.named[i] ? ", named" : "",
               trial->base.subject->image.files[op->file].name, op->offset,
               op->record_size);
    }
    if (manifest != NULL)
        printf("%.*s", (int)manifest->size, (const char *)manifest->bytes);
}

static void print_trial(const struct doctor_trial *trial)
{
    print_truth(trial);
    doctor_print("verify", &trial->verify);
    doctor_print("repair, dry", &trial->dry);
    doctor_print("repair", &trial->repair);
    doctor_print("the last call", &trial->again);
    sim_disk_print(trial->base.disk);
}

/* Have @image, with @damage or none, judged. */
static void try_image(struct run *run, const struct damage *damage, const char *words,
                      const struct damage_image *image)
{
    static struct doctor_trial trial;
    uint64_t chance = campaign_random(&run->random);
    uint64_t share = run->campaign.is_long ? CRASH_SHARE_LONG : CRASH_SHARE_SHORT;

    memset(&trial, 0, sizeof trial);
    trial.base.subject = run->subject;
    trial.base.damage = damage;
    trial.base.image = image;
    trial.base.campaign = &run->campaign;
    trial.base.no_mapping = (chance & 1) != 0;
    trial.base.merges = (chance & 6) == 0;
    trial.threads = (chance & 56) == 0;
    trial.crashes = run->campaign.replay != NULL || (chance >> 8) % share == 0;
    trial.map = &run->map;
    campaign_try(&run->campaign, "%s", words);
    (void)alarm(HANG_SECONDS);
    trial.base.disk = sim_disk_new(run->campaign.seed);
    damage_image_write(image, trial.base.disk);
    if (doctor_judge(&trial))
        campaign_passed(&run->campaign);
    else
        campaign_failed(&run->campaign, words, "%s", trial.base.why);
    (void)alarm(0);
    if (run->campaign.replay != NULL)
        print_trial(&trial);
    sim_disk_free(trial.base.disk);
}

static void try_damage(const struct damage *damage, void *context)
{
    static struct damage_image image;
    struct run *run = context;
    char words[DAMAGE_WORDS_SIZE];

    if (is_left_out(run, damage))
        return;
    damage_image_copy(&image, &run->subject->image);
    damage_apply(run->subject, damage, &image);
    damage_words(run->subject, damage, words);
    if (damage->kind == DAMAGE_NONE || !damage_image_equal(&image, &run->subject->image))
        try_image(run, damage, words, &image);
    campaign_count(&run->campaign, damage_kind_name(damage->kind), 1);
    damage_image_release(&image);
}

/* Small holes, which the damage campaign leaves to flipped bits. */
static void try_holes(struct run *run)
{
    static const uint64_t sizes[] = { 2, 8, 28, 64, 300 };

    for (unsigned file = 0; file < run->subject->image.count; file++) {
        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct damage damage = { .kind = DAMAGE_FILL, .file = file, .b = sizes[i] };

            for (; damage.a < run->subject->image.files[file].size; damage.a += sizes[i])
                try_damage(&damage, run);
        }
    }
}

static void try_all(struct run *run)
{
    const struct damage none = { .kind = DAMAGE_NONE };
    struct damage_reach reach = {
        .subject = run->subject,
        .every = run->campaign.is_long || run->share == 1,
        .is_long = run->campaign.is_long,
        .random = run->random ^ 1,
        .visit = try_damage,
        .context = run,
    };

    try_damage(&none, run);
    try_holes(run);
    damage_each(&reach);
}

static void try_subject(struct damage_subject *subject, unsigned index,
                        const struct damage *damage, void *context)
{
    struct run *run = context;

    run->subject = subject;
    doctor_map_find(&run->map, run->subject);
    run->random = run->campaign.seed + index;
    run->share = run->campaign.is_long || index == 0 ? 1 : 16;
    if (damage != NULL)
        try_damage(damage, run);
    else
        try_all(run);
}

int main(int argc, char **argv)
{
    static struct run run;

    campaign_begin(&run.campaign, argc, argv, "doctor");
    damage_each_subject(&run.campaign, try_subject, &run);
    return campaign_end(&run.campaign);
}
