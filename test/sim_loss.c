/* SPDX-License-Identifier: MIT */
/* What a crash leaves of a simulated disk: see sim_disk.h for what it may. */
#include "test/sim_inside.h"

#include <stdlib.h>
#include <string.h>

#include "test/test_alloc.h"

/* What is in sectors that a file grew over, and that were never written. */
enum fill {
    FILL_ZEROS,
    FILL_NOISE,
    FILL_STALE,
    FILL_COUNT
};

/* How one power failure treats what was not synced. */
struct loss {
    enum sim_loss kind;
    uint64_t chance;
    uint64_t move_chance; /* for both directories of a move */
    uint64_t last_number; /* SIM_POWER_PREFIX: of the changes that happened */
    unsigned keep; /* SIM_POWER_ANY: so many eighths of the changes; 8: see below */
    enum fill fill;
    const struct sim_inode *const *dead; /* files that have no name any more */
    size_t dead_count;
};

static bool by_chance(struct loss *loss, unsigned eighths)
{
    return sim_chance_below(&loss->chance, 8) < eighths;
}

/* BYTES */

/*
 * How many of the @count changes that touch a sector have reached it, numbered as
 * @numbers says.
 */
static size_t changes_kept(struct loss *loss, const uint64_t *numbers, size_t count)
{
    size_t kept = 0;

    switch (loss->kind) {
    case SIM_POWER_NOTHING:
        return 0;
    case SIM_POWER_PREFIX:
        while (kept < count && numbers[kept] <= loss->last_number)
            kept++;
        return kept;
    case SIM_POWER_ANY:
        if (by_chance(loss, loss->keep))
            return count;
        if (by_chance(loss, 4))
            return 0;
        return (size_t)sim_chance_below(&loss->chance, count + 1);
    default:
        return count;
    }
}

/*
 * Some sector of a file whose place on the disk is free to be used again: often the one
 * at the same @place in its file, where a record could be taken for one of this file.
 */
static void copy_stale_sector(struct loss *loss, uint64_t place,
                              uint8_t bytes[SIM_SECTOR_SIZE])
{
    const struct sim_inode *dead =
        loss->dead[sim_chance_below(&loss->chance, loss->dead_count)];
    uint64_t index = sim_chance_below(&loss->chance, dead->capacity / SIM_SECTOR_SIZE);

    if (place < dead->capacity / SIM_SECTOR_SIZE && by_chance(loss, 6))
        index = place;
    memcpy(bytes, dead->now + index * SIM_SECTOR_SIZE, SIM_SECTOR_SIZE);
}

static void fill_sector(struct loss *loss, uint64_t index, uint8_t bytes[SIM_SECTOR_SIZE])
{
    if (loss->fill == FILL_STALE && loss->dead_count > 0) {
        copy_stale_sector(loss, index, bytes);
    } else if (loss->fill != FILL_ZEROS) {
        for (size_t i = 0; i < SIM_SECTOR_SIZE; i++)
            bytes[i] = (uint8_t)sim_chance(&loss->chance);
    }
}

/* Sector @index of @inode as it is after the loss, into @bytes, which has the kept one.
 */
static void lose_sector(const struct sim_inode *inode, uint64_t index, struct loss *loss,
                        uint64_t *numbers, uint8_t bytes[SIM_SECTOR_SIZE])
{
    size_t count = 0, kept;

    for (size_t i = 0; i < inode->change_count; i++) {
        if (sim_change_touches(&inode->changes[i], index))
            numbers[count++] = inode->changes[i].number;
    }
    if (count == 0)
        return;
    kept = changes_kept(loss, numbers, count);
    if (kept == 0 && index * SIM_SECTOR_SIZE >= inode->kept_size) {
        if (index * SIM_SECTOR_SIZE < inode->allocated_size)
            memset(bytes, 0, SIM_SECTOR_SIZE);
        else
            fill_sector(loss, index, bytes);
    }
    for (size_t i = 0; kept > 0; i++) {
        if (!sim_change_touches(&inode->changes[i], index))
            continue;
        sim_change_apply(&inode->changes[i], index, bytes);
        kept--;
    }
}

/* Any size that the file had, or one between those, or one at the end of a sector. */
static uint64_t any_size(const struct sim_inode *inode, struct loss *loss)
{
    const struct sim_change *change =
        &inode->changes[sim_chance_below(&loss->chance, inode->change_count)];
    uint64_t from = inode->kept_size, to = change->size_after, size;

    if (by_chance(loss, 2))
        return from;
    if (by_chance(loss, 2))
        return inode->now_size;
    if (by_chance(loss, 4))
        return to;
    if (from > to) {
        from = to;
        to = inode->kept_size;
    }
    size = from + sim_chance_below(&loss->chance, to - from + 1);
    if (by_chance(loss, 4))
        size -= size % SIM_SECTOR_SIZE;
    return size < from ? from : size;
}

static uint64_t size_after(const struct sim_inode *inode, struct loss *loss)
{
    uint64_t size = inode->kept_size;

    if (inode->change_count == 0)
        return size;
    switch (loss->kind) {
    case SIM_POWER_NOTHING:
        return size;
    case SIM_POWER_PREFIX:
        for (size_t i = 0; i < inode->change_count; i++) {
            if (inode->changes[i].number <= loss->last_number)
                size = inode->changes[i].size_after;
        }
        return size;
    case SIM_POWER_ANY:
        return any_size(inode, loss);
    default:
        return inode->now_size;
    }
}

/* The sectors of @inode after @loss, into @bytes, as many as @inode has room for. */
static void lose_bytes(const struct sim_inode *inode, struct loss *loss, uint8_t *bytes)
{
    uint64_t *numbers;

    if (inode->capacity == 0)
        return;
    memcpy(bytes, inode->kept, inode->capacity);
    if (inode->change_count == 0)
        return;
    numbers = sim_memory(NULL, inode->change_count * sizeof *numbers);
    for (uint64_t i = 0; i < inode->capacity / SIM_SECTOR_SIZE; i++)
        lose_sector(inode, i, loss, numbers, bytes + i * SIM_SECTOR_SIZE);
    free(numbers);
}

void sim_inode_sync_part(struct sim_inode *inode, uint64_t *chance)
{
    struct loss loss = { .kind = SIM_POWER_ANY, .chance = sim_chance(chance) };
    uint8_t *bytes;

    if (inode->change_count == 0)
        return;
    loss.keep = (unsigned)sim_chance_below(&loss.chance, 9);
    bytes = sim_memory(NULL, inode->capacity);
    lose_bytes(inode, &loss, bytes);
    inode->kept_size = any_size(inode, &loss);
    free(inode->kept);
    inode->kept = sim_memory(bytes, inode->capacity);
    sim_inode_forget_changes(inode);
}

/* The same file on the disk that is left, all of it there for good. */
static void lose_file(const struct sim_inode *inode, struct loss *loss,
                      struct sim_inode *left)
{
    uint64_t size = size_after(inode, loss);

    *left = (struct sim_inode){ .now = NULL };
    sim_inode_reserve(left, inode->capacity);
    lose_bytes(inode, loss, left->now);
    if (size < left->capacity)
        memset(left->now + size, 0, left->capacity - (size_t)size);
    if (left->capacity > 0)
        memcpy(left->kept, left->now, left->capacity);
    left->now_size = left->kept_size = size;
}

/* NAMES */

static void copy_names(struct sim_names *to, const struct sim_names *from)
{
    for (size_t i = 0; i < from->count; i++)
        sim_name_set(to, from->list[i].text, from->list[i].inode);
}

static bool change_happened(struct loss *loss, uint64_t number)
{
    switch (loss->kind) {
    case SIM_POWER_NOTHING:
        return false;
    case SIM_POWER_PREFIX:
        return number <= loss->last_number;
    case SIM_POWER_ANY:
        return by_chance(loss, loss->keep);
    default:
        return true;
    }
}

/* Both halves of a move happen, or none does; into a directory that is lost, none. */
static bool move_happened(const struct sim_name_change *change, struct loss *loss,
                          const struct sim_disk *left)
{
    struct loss own = *loss;

    own.chance = loss->move_chance ^ change->number;
    return left->directories[change->other].now && change_happened(&own, change->number);
}

/* Whether directory @index of @disk is there, those above it having been looked at. */
static bool directory_left(const struct sim_disk *disk, size_t index, struct loss *loss,
                           const struct sim_disk *left)
{
    const struct sim_directory *directory = &disk->directories[index];

    for (size_t i = 0; i < index; i++) {
        if (sim_is_in(directory, &left->directories[i]) && !left->directories[i].now)
            return false;
    }
    return directory->kept ||
           (directory->now && change_happened(loss, directory->number));
}

static void lose_names(const struct sim_disk *disk, size_t index, struct loss *loss,
                       struct sim_disk *left)
{
    const struct sim_directory *directory = &disk->directories[index];
    struct sim_directory *left_directory = &left->directories[index];
    struct sim_names *names = &left_directory->names_now;

    if (!left_directory->now)
        return;
    copy_names(names, &directory->names_kept);
    for (size_t i = 0; i < directory->change_count; i++) {
        const struct sim_name_change *change = &directory->changes[i];

        if (change->other == SIM_NOTHING ? change_happened(loss, change->number)
                                         : move_happened(change, loss, left))
            sim_name_apply(names, change);
    }
    copy_names(&left_directory->names_kept, names);
}

/* DISKS */

static void copy_changes(struct sim_inode *to, const struct sim_inode *from)
{
    to->change_count = to->change_capacity = from->change_count;
    to->changes = sim_memory(NULL, from->change_count * sizeof *to->changes);
    for (size_t i = 0; i < from->change_count; i++) {
        to->changes[i] = from->changes[i];
        if (from->changes[i].bytes == NULL)
            continue;
        to->changes[i].bytes = sim_memory(NULL, from->changes[i].size);
        memcpy(to->changes[i].bytes, from->changes[i].bytes, from->changes[i].size);
    }
}

static void copy_file(const struct sim_inode *inode, struct sim_inode *left)
{
    *left = (struct sim_inode){ .now = NULL };
    sim_inode_reserve(left, inode->capacity);
    if (inode->capacity > 0) {
        memcpy(left->now, inode->now, inode->capacity);
        memcpy(left->kept, inode->kept, inode->capacity);
    }
    left->now_size = inode->now_size;
    left->kept_size = inode->kept_size;
    left->allocated_size = inode->allocated_size;
    copy_changes(left, inode);
}

static void copy_directory(const struct sim_directory *directory,
                           struct sim_directory *left)
{
    left->now = directory->now;
    left->kept = directory->kept;
    left->number = directory->number;
    copy_names(&left->names_now, &directory->names_now);
    copy_names(&left->names_kept, &directory->names_kept);
    left->change_count = left->change_capacity = directory->change_count;
    left->changes =
        sim_memory(NULL, directory->change_count * sizeof *directory->changes);
    if (directory->change_count > 0)
        memcpy(left->changes, directory->changes,
               directory->change_count * sizeof *directory->changes);
}

/* The first change that no sync has covered, and the last. */
static void find_unsynced(const struct sim_disk *disk, uint64_t *first, uint64_t *last)
{
    *first = *last = disk->change_number;
    for (size_t i = 0; i < disk->inode_count; i++) {
        if (disk->inodes[i].change_count > 0 &&
            disk->inodes[i].changes[0].number < *first)
            *first = disk->inodes[i].changes[0].number;
    }
    for (size_t i = 0; i < disk->directory_count; i++) {
        const struct sim_directory *directory = &disk->directories[i];

        if (directory->change_count > 0 && directory->changes[0].number < *first)
            *first = directory->changes[0].number;
        if (directory->now && !directory->kept && directory->number < *first)
            *first = directory->number;
    }
}

static void choose_loss(const struct sim_disk *disk, struct loss *loss)
{
    uint64_t first, last;

    find_unsynced(disk, &first, &last);
    loss->last_number = first + sim_chance_below(&loss->chance, last - first + 1);
    loss->keep = (unsigned)sim_chance_below(&loss->chance, 9);
    loss->move_chance = ~loss->chance;
    loss->fill = (enum fill)sim_chance_below(&loss->chance, FILL_COUNT);
}

enum {
    DEAD_MAX = 8 /* files that are gone, of which old sectors are remembered */
};

static void leave_directories(const struct sim_disk *disk, struct loss *loss,
                              struct sim_disk *left)
{
    for (size_t i = 0; i < disk->directory_count; i++) {
        int index = sim_directory_new(left, disk->directories[i].path);
        struct sim_directory *directory = &left->directories[index];

        if (loss->kind == SIM_KILL)
            copy_directory(&disk->directories[i], directory);
        else
            directory->now = directory->kept = directory_left(disk, i, loss, left);
    }
    for (size_t i = 0; i < disk->directory_count && loss->kind != SIM_KILL; i++)
        lose_names(disk, i, loss, left);
}

static bool has_name(const struct sim_disk *disk, int inode)
{
    for (size_t i = 0; i < disk->directory_count; i++) {
        const struct sim_directory *directory = &disk->directories[i];

        for (size_t j = 0; j < directory->names_now.count; j++) {
            if (directory->names_now.list[j].inode == inode)
                return true;
        }
        for (size_t j = 0; j < directory->names_kept.count; j++) {
            if (directory->names_kept.list[j].inode == inode)
                return true;
        }
        for (size_t j = 0; j < directory->change_count; j++) {
            if (directory->changes[j].inode == inode)
                return true; /* another power failure may yet give it one */
        }
    }
    return false;
}

/* The sectors of what was in use when it ended belonged to nobody else before. */
static bool was_in_use(const struct sim_disk *disk, int inode)
{
    for (size_t i = 0; i < disk->directory_count; i++) {
        const struct sim_names *names = &disk->directories[i].names_now;

        for (size_t j = 0; j < names->count; j++) {
            if (names->list[j].inode == inode)
                return true;
        }
    }
    return false;
}

/* What a file that is gone has left on its sectors. */
static void keep_dead(const struct sim_inode *inode, struct sim_inode *left)
{
    sim_inode_reserve(left, inode->capacity);
    memcpy(left->now, inode->now, inode->capacity);
}

/*
 * The bytes of what has a name in @left; the rest keep their numbers, and the last ones
 * of them their old sectors.
 */
static void leave_files(const struct sim_disk *disk, struct loss *loss,
                        struct sim_disk *left)
{
    const struct sim_inode **dead =
        sim_memory(NULL, disk->inode_count * sizeof(const struct sim_inode *));
    size_t dead_seen = 0;

    loss->dead = dead;
    for (size_t i = 0; i < disk->inode_count; i++) {
        if (!has_name(left, (int)i) && !was_in_use(disk, (int)i) &&
            disk->inodes[i].capacity > 0)
            dead[loss->dead_count++] = &disk->inodes[i];
    }
    for (size_t i = 0; i < disk->inode_count; i++) {
        int index = sim_inode_new(left);

        if (!has_name(left, index)) {
            if (disk->inodes[i].capacity > 0 &&
                dead_seen++ + DEAD_MAX >= loss->dead_count)
                keep_dead(&disk->inodes[i], &left->inodes[index]);
            continue;
        }
        if (loss->kind == SIM_KILL)
            copy_file(&disk->inodes[i], &left->inodes[index]);
        else
            lose_file(&disk->inodes[i], loss, &left->inodes[index]);
    }
    free(dead);
}

struct sim_disk *sim_disk_after(const struct sim_disk *disk, enum sim_loss kind,
                                uint64_t seed)
{
    struct sim_disk *left = sim_disk_new(seed);
    struct loss loss = { .kind = kind, .chance = seed };

    test_alloc_pause();
    choose_loss(disk, &loss);
    left->monotonic_ms = disk->monotonic_ms;
    left->wall_ms = disk->wall_ms;
    left->size_max = disk->size_max;
    left->change_number = disk->change_number;
    leave_directories(disk, &loss, left);
    leave_files(disk, &loss, left);
    test_alloc_resume();
    return left;
}
