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

#include "test/campaign/damage_judge.h"

enum {
    HANG_SECONDS = 30,
    DISK_USES_MAX = 64,
    SEVERAL_LONG = 20000,
    SEVERAL_SHORT = 150
};

struct run {
    struct campaign campaign;
    struct damage_subject *subject;
    struct sim_disk *disk; /* to try on, a new one now and then: it forgets nothing */
    uint64_t disk_use_count;
    uint64_t random;
    bool every; /* bit, length and sector of this subject */
};

/* Whether @damage makes any difference to the files. */
static bool changes(const struct damage_subject *subject,
                    const struct damage_image *image)
{
    bool same = image->count == subject->image.count;

    for (unsigned i = 0; i < image->count && same; i++)
        same = damage_file_equal(
            &image->files[i], damage_image_find(&subject->image, image->files[i].name));
    return !same;
}

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

static void try_damage(struct run *run, const struct damage *damage)
{
    static struct damage_image image;
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
    if (changes(run->subject, &image)) {
        damage_words(run->subject, damage, words);
        campaign_try(&run->campaign, "%s", words);
        if (run->campaign.replay != NULL) {
            trial.goes_on = true;
            trial.merges = true;
            print_changes(&run->subject->image, &image);
        }
        (void)alarm(HANG_SECONDS);
        prepare_disk(run, &image);
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

/* The damages of one kind, at all places or at some. */
static uint64_t step(const struct run *run, uint64_t stride)
{
    return run->every ? 1 : stride;
}

static void try_bytes(struct run *run, unsigned file)
{
    size_t size = run->subject->image.files[file].size;
    struct damage damage = { .kind = DAMAGE_FLIP, .file = file };
    uint64_t stride = step(run, 211);

    for (damage.a = 0; damage.a < size * 8; damage.a += stride)
        try_damage(run, &damage);
    damage.kind = DAMAGE_CUT;
    stride = run->every && (run->campaign.is_long || size < 2000) ? 1 : 29;
    for (damage.a = 0; damage.a < size; damage.a += stride)
        try_damage(run, &damage);
    damage.kind = DAMAGE_EXTEND;
    for (damage.b = 0; damage.b < DAMAGE_FILLINGS; damage.b++) {
        static const uint64_t sizes[] = { 1, 28, 64, 511, 5000 };

        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            damage.a = sizes[i];
            try_damage(run, &damage);
        }
    }
}

static void try_fillings(struct run *run, unsigned file, uint64_t size)
{
    struct damage damage = { .kind = DAMAGE_FILL, .file = file, .b = size };

    for (damage.a = 0; damage.a < run->subject->image.files[file].size;
         damage.a += size) {
        for (damage.c = 0; damage.c < DAMAGE_FILLINGS; damage.c++)
            try_damage(run, &damage);
    }
}

static unsigned sectors_of(const struct run *run, unsigned file)
{
    return (unsigned)((run->subject->image.files[file].size + SIM_SECTOR_SIZE - 1) /
                      SIM_SECTOR_SIZE);
}

/* Sector a of @file gets each sector of each file; or is exchanged. */
static void try_sector(struct run *run, unsigned file, uint64_t sector)
{
    struct damage damage = { .kind = DAMAGE_COPY, .file = file, .a = sector };
    uint64_t stride = step(run, 11);

    for (damage.other = 0; damage.other < run->subject->image.count; damage.other++) {
        for (damage.b = sector % stride; damage.b < sectors_of(run, damage.other);
             damage.b += stride)
            try_damage(run, &damage);
    }
    damage.other = 0;
    damage.kind = DAMAGE_EXCHANGE;
    for (damage.b = sector + 1; damage.b < sectors_of(run, file); damage.b += stride)
        try_damage(run, &damage);
    damage.kind = DAMAGE_STALE;
    for (damage.b = 0; damage.b < run->subject->snapshot_count; damage.b++)
        try_damage(run, &damage);
}

static void try_moves(struct run *run, unsigned file)
{
    uint64_t size = run->subject->image.files[file].size;
    unsigned count = run->campaign.is_long ? 300 : 15;

    for (unsigned i = 0; i < count && size > 0; i++) {
        struct damage damage = { .kind = DAMAGE_MOVE, .file = file };

        damage.c = 1 + campaign_random_below(&run->random, size < 700 ? size : 700);
        damage.a = campaign_random_below(&run->random, size);
        damage.b = campaign_random_below(&run->random, size);
        try_damage(run, &damage);
    }
}

static void try_whole_file(struct run *run, unsigned file)
{
    struct damage damage = { .kind = DAMAGE_REMOVE, .file = file, .other = file };

    try_damage(run, &damage);
    damage.kind = DAMAGE_FOREIGN;
    try_damage(run, &damage);
    for (damage.other = 0; damage.other < run->subject->image.count; damage.other++) {
        damage.kind = DAMAGE_EXCHANGE_FILES;
        if (damage.other > file)
            try_damage(run, &damage);
        damage.kind = DAMAGE_REPLACE;
        try_damage(run, &damage);
        damage.kind = DAMAGE_OLD;
        for (damage.a = 0; damage.a < run->subject->snapshot_count; damage.a++) {
            if (damage.other >= file)
                try_damage(run, &damage);
        }
        damage.a = 0;
    }
}

static void try_added(struct run *run)
{
    struct damage damage = { .kind = DAMAGE_ADD };

    for (damage.a = 0; damage.a < DAMAGE_ADDED_NAMES; damage.a++) {
        for (damage.file = 0; damage.file < run->subject->image.count; damage.file++) {
            for (damage.b = 0; damage.b <= DAMAGE_NOTHING; damage.b++) {
                if (damage.file == 0 || damage.b == DAMAGE_WHOLE)
                    try_damage(run, &damage);
            }
        }
    }
}

static void try_several(struct run *run)
{
    struct damage damage = { .kind = DAMAGE_SEVERAL };
    unsigned count = run->campaign.is_long ? SEVERAL_LONG : SEVERAL_SHORT;

    for (unsigned i = 0; i < count; i++) {
        damage.a = campaign_random(&run->random) >> 16;
        try_damage(run, &damage);
    }
}

static void try_all(struct run *run)
{
    const struct damage unhint = { .kind = DAMAGE_UNHINT };

    for (unsigned file = 0; file < run->subject->image.count; file++) {
        try_bytes(run, file);
        try_fillings(run, file, SIM_SECTOR_SIZE);
        try_fillings(run, file, 4096);
        for (unsigned sector = 0; sector < sectors_of(run, file); sector++)
            try_sector(run, file, sector);
        try_moves(run, file);
        try_whole_file(run, file);
    }
    try_damage(run, &unhint);
    try_added(run);
    try_several(run);
}

/* All of it, or what is to be replayed, on subject number @index. */
static void try_subject(struct run *run, unsigned index)
{
    struct damage damage;
    unsigned wanted;

    if (run->campaign.replay != NULL) {
        if (!damage_parse(run->campaign.replay, &wanted, &damage))
            campaign_refuse_replay(&run->campaign);
        if (wanted != index)
            return;
    }
    run->subject = damage_subject_new(index, run->campaign.seed);
    run->random = run->campaign.seed + index;
    run->every = run->campaign.is_long || index == 0;
    if (run->campaign.replay != NULL) {
        prepare_disk(run, &run->subject->image);
        sim_disk_print(run->disk);
        try_damage(run, &damage);
    } else {
        try_all(run);
    }
    sim_disk_free(run->disk);
    run->disk = NULL;
    run->disk_use_count = 0;
    damage_subject_free(run->subject);
}

int main(int argc, char **argv)
{
    static struct run run;

    campaign_begin(&run.campaign, argc, argv, "damage");
    for (unsigned i = 0; i < DAMAGE_SUBJECTS; i++)
        try_subject(&run, i);
    return campaign_end(&run.campaign);
}
