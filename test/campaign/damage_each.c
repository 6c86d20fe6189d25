/* SPDX-License-Identifier: MIT */
#include "test/campaign/damage_each.h"

enum {
    SEVERAL_LONG = 20000,
    SEVERAL_SHORT = 150
};

/* The damages of one kind, at all places or at some. */
static uint64_t step(const struct damage_reach *reach, uint64_t stride)
{
    return reach->every ? 1 : stride;
}

static void visit_bytes(struct damage_reach *reach, unsigned file)
{
    size_t size = reach->subject->image.files[file].size;
    struct damage damage = { .kind = DAMAGE_FLIP, .file = file };
    uint64_t stride = step(reach, 211);

    for (damage.a = 0; damage.a < size * 8; damage.a += stride)
        reach->visit(&damage, reach->context);
    damage.kind = DAMAGE_CUT;
    stride = reach->every && (reach->is_long || size < 2000) ? 1 : 29;
    for (damage.a = 0; damage.a < size; damage.a += stride)
        reach->visit(&damage, reach->context);
    damage.kind = DAMAGE_EXTEND;
    for (damage.b = 0; damage.b < DAMAGE_FILLINGS; damage.b++) {
        static const uint64_t sizes[] = { 1, 28, 64, 511, 5000 };

        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            damage.a = sizes[i];
            reach->visit(&damage, reach->context);
        }
    }
}

static void visit_fillings(struct damage_reach *reach, unsigned file, uint64_t size)
{
    struct damage damage = { .kind = DAMAGE_FILL, .file = file, .b = size };

    for (damage.a = 0; damage.a < reach->subject->image.files[file].size;
         damage.a += size) {
        for (damage.c = 0; damage.c < DAMAGE_FILLINGS; damage.c++)
            reach->visit(&damage, reach->context);
    }
}

static unsigned sectors_of(const struct damage_reach *reach, unsigned file)
{
    return (unsigned)((reach->subject->image.files[file].size + SIM_SECTOR_SIZE - 1) /
                      SIM_SECTOR_SIZE);
}

/* Sector a of @file gets each sector of each file; or is exchanged. */
static void visit_sector(struct damage_reach *reach, unsigned file, uint64_t sector)
{
    struct damage damage = { .kind = DAMAGE_COPY, .file = file, .a = sector };
    uint64_t stride = step(reach, 11);

    for (damage.other = 0; damage.other < reach->subject->image.count; damage.other++) {
        for (damage.b = sector % stride; damage.b < sectors_of(reach, damage.other);
             damage.b += stride)
            reach->visit(&damage, reach->context);
    }
    damage.other = 0;
    damage.kind = DAMAGE_EXCHANGE;
    for (damage.b = sector + 1; damage.b < sectors_of(reach, file); damage.b += stride)
        reach->visit(&damage, reach->context);
    damage.kind = DAMAGE_STALE;
    for (damage.b = 0; damage.b < reach->subject->snapshot_count; damage.b++)
        reach->visit(&damage, reach->context);
}

static void visit_moves(struct damage_reach *reach, unsigned file)
{
    uint64_t size = reach->subject->image.files[file].size;
    unsigned count = reach->is_long ? 300 : 15;

    for (unsigned i = 0; i < count && size > 0; i++) {
        struct damage damage = { .kind = DAMAGE_MOVE, .file = file };

        damage.c = 1 + campaign_random_below(&reach->random, size < 700 ? size : 700);
        damage.a = campaign_random_below(&reach->random, size);
        damage.b = campaign_random_below(&reach->random, size);
        reach->visit(&damage, reach->context);
    }
}

static void visit_whole_file(struct damage_reach *reach, unsigned file)
{
    struct damage damage = { .kind = DAMAGE_FOREIGN, .file = file };

    reach->visit(&damage, reach->context);
    for (damage.other = 0; damage.other < reach->subject->image.count; damage.other++) {
        damage.kind = DAMAGE_EXCHANGE_FILES;
        if (damage.other > file)
            reach->visit(&damage, reach->context);
        damage.kind = DAMAGE_REMOVE;
        if (damage.other >= file)
            reach->visit(&damage, reach->context);
        damage.kind = DAMAGE_REPLACE;
        reach->visit(&damage, reach->context);
        damage.kind = DAMAGE_OLD;
        for (damage.a = 0; damage.a < reach->subject->snapshot_count; damage.a++) {
            if (damage.other >= file)
                reach->visit(&damage, reach->context);
        }
        damage.a = 0;
    }
}

static void visit_added(struct damage_reach *reach)
{
    struct damage damage = { .kind = DAMAGE_ADD };

    for (damage.a = 0; damage.a < DAMAGE_ADDED_NAMES; damage.a++) {
        for (damage.file = 0; damage.file < reach->subject->image.count; damage.file++) {
            for (damage.b = 0; damage.b <= DAMAGE_NOTHING; damage.b++) {
                if (damage.file == 0 || damage.b == DAMAGE_WHOLE)
                    reach->visit(&damage, reach->context);
            }
        }
    }
}

static void visit_several(struct damage_reach *reach)
{
    struct damage damage = { .kind = DAMAGE_SEVERAL };
    unsigned count = reach->is_long ? SEVERAL_LONG : SEVERAL_SHORT;

    for (unsigned i = 0; i < count; i++) {
        damage.a = campaign_random(&reach->random) >> 16;
        reach->visit(&damage, reach->context);
    }
}

void damage_each(struct damage_reach *reach)
{
    const struct damage unhint = { .kind = DAMAGE_UNHINT };

    for (unsigned file = 0; file < reach->subject->image.count; file++) {
        visit_bytes(reach, file);
        visit_fillings(reach, file, SIM_SECTOR_SIZE);
        visit_fillings(reach, file, 4096);
        for (unsigned sector = 0; sector < sectors_of(reach, file); sector++)
            visit_sector(reach, file, sector);
        visit_moves(reach, file);
        visit_whole_file(reach, file);
    }
    reach->visit(&unhint, reach->context);
    visit_added(reach);
    visit_several(reach);
}

void damage_each_subject(struct campaign *campaign, damage_try *try, void *context)
{
    struct damage damage;
    unsigned wanted = 0;

    if (campaign->replay != NULL && !damage_parse(campaign->replay, &wanted, &damage))
        campaign_refuse_replay(campaign);
    for (unsigned i = 0; i < DAMAGE_SUBJECTS; i++) {
        struct damage_subject *subject;

        if (campaign->replay != NULL && wanted != i)
            continue;
        subject = damage_subject_new(i, campaign->seed);
        try(subject, i, campaign->replay != NULL ? &damage : NULL, context);
        damage_subject_free(subject);
    }
}
