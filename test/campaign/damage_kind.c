/* SPDX-License-Identifier: MIT */
#include "test/campaign/damage_kind.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/campaign/campaign.h"

enum {
    SECTOR = SIM_SECTOR_SIZE
};

/* In the order of enum damage_kind. */
static const char *const kind_names[DAMAGE_KINDS] = {
    "flip",     "cut",  "extend", "fill",           "copy",    "stale",
    "exchange", "move", "remove", "exchange-files", "replace", "foreign",
    "old",      "add",  "unhint", "several",        "none",
};

/* Free, taken by the cask in future, spelled almost right, junk. */
static const char *const added_names[DAMAGE_ADDED_NAMES] = {
    "0000000999.data",
    "0000000999.hint",
    "99999999999.data",
    "0000000000.data",
    "00000000001.data",
    "1.data",
    "MANIFEST.tmp",
    "0000000001.hint.tmp",
    "MANIFEST.bak",
    "junk",
    "lost+found",
    ".hidden",
    "data",
    "0000000001",
    "0000000003.data",
    "0000000004.data",
    "0000000009.data",
};

const char *damage_kind_name(enum damage_kind kind)
{
    return kind_names[kind];
}

void damage_words(const struct damage_subject *subject, const struct damage *damage,
                  char words[DAMAGE_WORDS_SIZE])
{
    (void)snprintf(words, DAMAGE_WORDS_SIZE,
                   "%s %s %u %u %" PRIu64 " %" PRIu64 " %" PRIu64, subject->name,
                   kind_names[damage->kind], damage->file, damage->other, damage->a,
                   damage->b, damage->c);
}

bool damage_parse(const char *words, unsigned *subject, struct damage *damage)
{
    char name[32];
    char kind[32];
    unsigned k = 0;

    memset(damage, 0, sizeof *damage);
    if (sscanf(words, "%31s %31s %u %u %" SCNu64 " %" SCNu64 " %" SCNu64, name, kind,
               &damage->file, &damage->other, &damage->a, &damage->b, &damage->c) != 7)
        return false;
    *subject = 0;
    while (*subject < DAMAGE_SUBJECTS && strcmp(damage_subject_name(*subject), name) != 0)
        (*subject)++;
    while (k < DAMAGE_KINDS && strcmp(kind_names[k], kind) != 0)
        k++;
    damage->kind = k;
    return *subject < DAMAGE_SUBJECTS && k < DAMAGE_KINDS;
}

/* Put @size bytes of a filling to @bytes. */
static void fill(uint8_t *bytes, size_t size, uint64_t filling,
                 const struct damage_file *file)
{
    uint64_t random = size * 31 + filling;

    for (size_t i = 0; i < size; i++) {
        if (filling == DAMAGE_RECORDS)
            bytes[i] = file->size > 64 ? file->bytes[64 + i % (file->size - 64)] : 0;
        else if (filling == DAMAGE_NOISE)
            bytes[i] = (uint8_t)campaign_random(&random);
        else
            bytes[i] = filling == DAMAGE_ONES ? 0xff : 0;
    }
}

/* The sector as it is in @file, with zeros behind the end. */
static void take_sector(const struct damage_file *file, uint64_t number,
                        uint8_t sector[SECTOR])
{
    uint64_t offset = number * SECTOR;

    memset(sector, 0, SECTOR);
    if (file != NULL && offset < file->size)
        memcpy(sector, file->bytes + offset,
               file->size - offset < SECTOR ? (size_t)(file->size - offset) : SECTOR);
}

/* Overwrite what there is of the sector. */
static void put_sector(struct damage_file *file, uint64_t number,
                       const uint8_t sector[SECTOR])
{
    uint64_t offset = number * SECTOR;

    if (offset < file->size)
        memcpy(damage_file_edit(file, file->size) + offset, sector,
               file->size - offset < SECTOR ? (size_t)(file->size - offset) : SECTOR);
}

static void extend(const struct damage *damage, struct damage_file *file)
{
    struct damage_file before = *file;
    size_t size = file->size;
    uint8_t *added = malloc((size_t)damage->a + 1);

    if (added == NULL)
        abort();
    fill(added, (size_t)damage->a, damage->b, &before);
    memcpy(damage_file_edit(file, size + (size_t)damage->a) + size, added,
           (size_t)damage->a);
    free(added);
}

static void fill_part(const struct damage *damage, struct damage_file *file)
{
    struct damage_file before = *file;
    uint64_t size = damage->b;

    if (damage->a >= file->size)
        return;
    if (size > file->size - damage->a)
        size = file->size - damage->a;
    fill(damage_file_edit(file, file->size) + damage->a, (size_t)size, damage->c,
         &before);
}

static void copy_sector(const struct damage *damage, struct damage_file *file,
                        const struct damage_file *from)
{
    uint8_t sector[SECTOR];

    take_sector(from, damage->b, sector);
    put_sector(file, damage->a, sector);
}

static void exchange_sectors(const struct damage *damage, struct damage_file *file)
{
    uint8_t first[SECTOR];
    uint8_t second[SECTOR];

    take_sector(file, damage->a, first);
    take_sector(file, damage->b, second);
    put_sector(file, damage->a, second);
    put_sector(file, damage->b, first);
}

static void move_run(const struct damage *damage, struct damage_file *file)
{
    size_t from = (size_t)damage->a;
    size_t to = (size_t)damage->b;
    size_t size = (size_t)damage->c;
    uint8_t *run;
    uint8_t *bytes;

    if (from + size > file->size || to + size > file->size)
        return;
    run = malloc(size + 1);
    if (run == NULL)
        abort();
    bytes = damage_file_edit(file, file->size);
    memcpy(run, bytes + from, size);
    memmove(bytes + from, bytes + from + size, file->size - from - size);
    memmove(bytes + to + size, bytes + to, file->size - to - size);
    memcpy(bytes + to, run, size);
    free(run);
}

static void exchange_files(struct damage_file *file, struct damage_file *other)
{
    struct damage_file before = *file;

    file->bytes = other->bytes;
    file->size = other->size;
    file->owned = other->owned;
    other->bytes = before.bytes;
    other->size = before.size;
    other->owned = before.owned;
}

/* The file @name as it is in @from, if it is there. */
static void take_over(struct damage_image *image, const struct damage_image *from,
                      const char *name)
{
    const struct damage_file *file = damage_image_find(from, name);

    if (file != NULL)
        damage_image_put(image, name, file->bytes, file->size);
}

/* Not over a file that the cask has. */
static void add_file(const struct damage_subject *subject, const struct damage *damage,
                     struct damage_image *image)
{
    const struct damage_file *like =
        &subject->image.files[damage->file % subject->image.count];
    const char *name = added_names[damage->a % DAMAGE_ADDED_NAMES];
    struct damage_file *file;

    if (damage_image_find(image, name) != NULL)
        return;
    damage_image_put(image, name, like->bytes,
                     damage->b == DAMAGE_NOTHING ? 0 : like->size);
    if (damage->b >= DAMAGE_FILLINGS)
        return;
    file = damage_image_find(image, name);
    fill(damage_file_edit(file, file->size), file->size, damage->b, like);
}

static void remove_hints(const struct damage_subject *subject, struct damage_image *image)
{
    for (unsigned i = 0; i < subject->image.count; i++) {
        if (subject->image.files[i].class == DAMAGE_HINT)
            damage_image_remove(image, subject->image.files[i].name);
    }
}

/* Any damage but several, in no way evenly. */
static struct damage any_damage(const struct damage_subject *subject, uint64_t *random)
{
    static const uint64_t sizes[] = { 1, 8, 64, SECTOR, 4096 };
    unsigned count = subject->image.count;
    struct damage damage = {
        .kind = (unsigned)campaign_random_below(random, DAMAGE_SEVERAL),
        .file = (unsigned)campaign_random_below(random, count),
        .other = (unsigned)campaign_random_below(random, count),
    };
    uint64_t size = subject->image.files[damage.file].size + 1;
    uint64_t sectors = size / SECTOR + 1;

    damage.a = campaign_random_below(random, size);
    damage.b = campaign_random_below(random, DAMAGE_FILLINGS);
    switch (damage.kind) {
    case DAMAGE_FLIP:
        damage.a = damage.a * 8 + campaign_random_below(random, 8);
        break;
    case DAMAGE_FILL:
        damage.c = damage.b;
        damage.b = sizes[campaign_random_below(random, 5)];
        break;
    case DAMAGE_COPY:
    case DAMAGE_EXCHANGE:
        damage.a = campaign_random_below(random, sectors);
        damage.b = campaign_random_below(random, sectors);
        break;
    case DAMAGE_STALE:
        damage.a = campaign_random_below(random, sectors);
        damage.b = campaign_random(random);
        break;
    case DAMAGE_MOVE:
        damage.b = campaign_random_below(random, size);
        damage.c = campaign_random_below(random, 600);
        break;
    case DAMAGE_OLD:
        damage.a = campaign_random(random);
        break;
    default:
        break;
    }
    return damage;
}

static void apply_several(const struct damage_subject *subject, uint64_t seed,
                          struct damage_image *image)
{
    uint64_t random = seed ^ subject->seed;
    uint64_t count = 2 + campaign_random_below(&random, 3);

    while (count-- > 0) {
        struct damage damage = any_damage(subject, &random);

        damage_apply(subject, &damage, image);
    }
}

/* What is done to bytes of one file. */
static void apply_to_file(const struct damage_subject *subject,
                          const struct damage *damage, struct damage_file *file,
                          const struct damage_file *other)
{
    switch (damage->kind) {
    case DAMAGE_FLIP:
        if (damage->a / 8 < file->size)
            damage_file_edit(file, file->size)[damage->a / 8] ^=
                (uint8_t)(1u << damage->a % 8);
        break;
    case DAMAGE_CUT:
        if (damage->a < file->size)
            (void)damage_file_edit(file, (size_t)damage->a);
        break;
    case DAMAGE_EXTEND:
        extend(damage, file);
        break;
    case DAMAGE_FILL:
        fill_part(damage, file);
        break;
    case DAMAGE_COPY:
        copy_sector(damage, file, other);
        break;
    case DAMAGE_STALE: {
        const struct damage_image *then =
            &subject->snapshots[damage->b % subject->snapshot_count];
        struct damage whole = { .a = damage->a, .b = damage->a };

        copy_sector(&whole, file, damage_image_find(then, file->name));
        break;
    }
    case DAMAGE_EXCHANGE:
        exchange_sectors(damage, file);
        break;
    case DAMAGE_MOVE:
        move_run(damage, file);
        break;
    default:
        break;
    }
}

void damage_apply(const struct damage_subject *subject, const struct damage *damage,
                  struct damage_image *image)
{
    const struct damage_image *was = &subject->image;
    const char *name = was->files[damage->file % was->count].name;
    const char *other_name = was->files[damage->other % was->count].name;
    const struct damage_image *then =
        &subject->snapshots[damage->a % subject->snapshot_count];
    struct damage_file *file = damage_image_find(image, name);
    struct damage_file *other = damage_image_find(image, other_name);

    switch (damage->kind) {
    case DAMAGE_REMOVE:
        damage_image_remove(image, name);
        damage_image_remove(image, other_name);
        break;
    case DAMAGE_EXCHANGE_FILES:
        if (file != NULL && other != NULL)
            exchange_files(file, other);
        break;
    case DAMAGE_REPLACE: /* from what was, which stays */
        damage_image_put(image, name, was->files[damage->other % was->count].bytes,
                         was->files[damage->other % was->count].size);
        break;
    case DAMAGE_FOREIGN:
        take_over(image, &subject->other, name);
        break;
    case DAMAGE_OLD:
        take_over(image, then, name);
        take_over(image, then, other_name);
        break;
    case DAMAGE_ADD:
        add_file(subject, damage, image);
        break;
    case DAMAGE_UNHINT:
        remove_hints(subject, image);
        break;
    case DAMAGE_SEVERAL:
        apply_several(subject, damage->a, image);
        break;
    default:
        if (file != NULL)
            apply_to_file(subject, damage, file, other);
        break;
    }
}
