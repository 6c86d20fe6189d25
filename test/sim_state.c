/* SPDX-License-Identifier: MIT */
#include "test/sim_inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What is behind the end of a file is this in a mapping, and must not be looked at. */
#define UNTOUCHABLE 0xee

void *sim_memory(void *old, size_t size)
{
    void *memory = realloc(old, size > 0 ? size : 1);

    if (memory == NULL)
        abort();
    return memory;
}

uint64_t sim_chance(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t sim_chance_below(uint64_t *state, uint64_t limit)
{
    return sim_chance(state) % limit;
}

/* NAMES */

struct sim_name *sim_name_find(const struct sim_names *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i].text, text) == 0)
            return &names->list[i];
    }
    return NULL;
}

void sim_name_set(struct sim_names *names, const char *text, int inode)
{
    struct sim_name *name = sim_name_find(names, text);

    if (inode == SIM_NOTHING) {
        if (name != NULL)
            *name = names->list[--names->count];
        return;
    }
    if (name == NULL) {
        if (names->count == names->capacity) {
            names->capacity = 2 * names->capacity + 8;
            names->list = sim_memory(names->list, names->capacity * sizeof *names->list);
        }
        name = &names->list[names->count++];
        assert(strlen(text) <= SIM_NAME_MAX);
        strcpy(name->text, text);
    }
    name->inode = inode;
}

void sim_name_apply(struct sim_names *names, const struct sim_name_change *change)
{
    if (change->from[0] != '\0') {
        const struct sim_name *from = sim_name_find(names, change->from);

        if (from != NULL && from->inode == change->inode)
            sim_name_set(names, change->from, SIM_NOTHING);
    }
    if (change->to[0] != '\0')
        sim_name_set(names, change->to, change->inode);
}

int sim_directory_new(struct sim_disk *disk, const char *path)
{
    struct sim_directory *directory;

    disk->directories = sim_memory(disk->directories, (disk->directory_count + 1) *
                                                          sizeof *disk->directories);
    directory = &disk->directories[disk->directory_count++];
    memset(directory, 0, sizeof *directory);
    assert(strlen(path) < sizeof directory->path);
    strcpy(directory->path, path);
    return (int)disk->directory_count - 1;
}

static void add_name_change(struct sim_directory *directory,
                            const struct sim_name_change *change)
{
    if (directory->change_count == directory->change_capacity) {
        directory->change_capacity = 2 * directory->change_capacity + 8;
        directory->changes = sim_memory(
            directory->changes, directory->change_capacity * sizeof *directory->changes);
    }
    directory->changes[directory->change_count++] = *change;
    sim_name_apply(&directory->names_now, change);
}

void sim_change_names(struct sim_disk *disk, struct sim_directory *directory,
                      const char *from, const char *to, int inode)
{
    struct sim_name_change change = { .number = ++disk->change_number,
                                      .other = SIM_NOTHING,
                                      .inode = inode };

    assert(strlen(from) <= SIM_NAME_MAX && strlen(to) <= SIM_NAME_MAX);
    strcpy(change.from, from);
    strcpy(change.to, to);
    add_name_change(directory, &change);
}

void sim_change_move(struct sim_disk *disk, int from_directory, const char *from,
                     int to_directory, const char *to, int inode)
{
    struct sim_name_change leave = { .number = ++disk->change_number,
                                     .other = to_directory,
                                     .inode = inode };
    struct sim_name_change enter = { .number = leave.number,
                                     .other = from_directory,
                                     .inode = inode };

    assert(from_directory != to_directory);
    assert(strlen(from) <= SIM_NAME_MAX && strlen(to) <= SIM_NAME_MAX);
    strcpy(leave.from, from);
    strcpy(enter.to, to);
    add_name_change(&disk->directories[from_directory], &leave);
    add_name_change(&disk->directories[to_directory], &enter);
}

bool sim_is_in(const struct sim_directory *below, const struct sim_directory *above)
{
    size_t length = strlen(above->path);

    return strncmp(below->path, above->path, length) == 0 && below->path[length] == '/' &&
           strchr(below->path + length + 1, '/') == NULL;
}

void sim_sync_names(struct sim_disk *disk, int index, uint64_t number)
{
    struct sim_directory *directory = &disk->directories[index];

    while (directory->change_count > 0 && directory->changes[0].number <= number) {
        struct sim_name_change change = directory->changes[0];

        sim_name_apply(&directory->names_kept, &change);
        directory->change_count--;
        memmove(directory->changes, directory->changes + 1,
                directory->change_count * sizeof *directory->changes);
        if (change.other == SIM_NOTHING)
            continue;
        directory->kept = true; /* it was made before the move was */
        sim_sync_names(disk, change.other, change.number);
    }
}

/* BYTES */

void sim_refresh_mappings(struct sim_disk *disk, int index, uint64_t offset, uint64_t end)
{
    const struct sim_inode *inode = &disk->inodes[index];

    for (struct sim_mapping *mapping = disk->mappings; mapping; mapping = mapping->next) {
        uint64_t from = offset > mapping->offset ? offset : mapping->offset;
        uint64_t to =
            end < mapping->offset + mapping->size ? end : mapping->offset + mapping->size;
        uint64_t filled = to < inode->now_size ? to : inode->now_size;
        uint8_t *address;

        if (mapping->inode != index || from >= to)
            continue;
        address = mapping->address + (from - mapping->offset);
        if (filled < from)
            filled = from;
        if (from < filled)
            memcpy(address, inode->now + from, (size_t)(filled - from));
        memset(address + (filled - from), UNTOUCHABLE, (size_t)(to - filled));
    }
}

static struct sim_change *new_change(struct sim_disk *disk, struct sim_inode *inode)
{
    if (inode->change_count == inode->change_capacity) {
        inode->change_capacity = 2 * inode->change_capacity + 8;
        inode->changes =
            sim_memory(inode->changes, inode->change_capacity * sizeof *inode->changes);
    }
    inode->changes[inode->change_count] =
        (struct sim_change){ .number = ++disk->change_number };
    return &inode->changes[inode->change_count++];
}

size_t sim_changing_size(const struct sim_inode *inode, uint64_t offset,
                         const uint8_t *bytes, size_t size)
{
    while (size > 0 && offset + size <= inode->now_size &&
           inode->now[offset + size - 1] == bytes[size - 1])
        size--;
    return size;
}

void sim_change_bytes(struct sim_disk *disk, int index, uint64_t offset,
                      const uint8_t *bytes, size_t size)
{
    struct sim_inode *inode = &disk->inodes[index];
    uint64_t size_before = inode->now_size;
    struct sim_change *change;

    if (size == 0)
        return;
    sim_inode_reserve(inode, offset + size);
    change = new_change(disk, inode);
    change->offset = offset;
    change->size = size;
    change->bytes = sim_memory(NULL, size);
    memcpy(change->bytes, bytes, size);
    memcpy(inode->now + offset, bytes, size);
    if (offset + size > inode->now_size)
        inode->now_size = offset + size;
    change->size_before = size_before;
    change->size_after = inode->now_size;
    sim_refresh_mappings(disk, index, offset < size_before ? offset : size_before,
                         offset + size);
}

/* Whole sectors that are cut off a file leave what they had, as a file that is gone does.
 */
static void bury(struct sim_disk *disk, int index, uint64_t from)
{
    uint64_t begin = (from + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE * SIM_SECTOR_SIZE;
    size_t size;
    int grave;

    if (begin >= disk->inodes[index].now_size)
        return;
    size = (size_t)(disk->inodes[index].now_size - begin);
    grave = sim_inode_new(disk);
    sim_inode_reserve(&disk->inodes[grave], size);
    memcpy(disk->inodes[grave].now, disk->inodes[index].now + begin, size);
}

void sim_change_size(struct sim_disk *disk, int index, uint64_t size)
{
    uint64_t size_before = disk->inodes[index].now_size;
    struct sim_inode *inode;
    struct sim_change *change;

    if (size == size_before)
        return;
    if (size < size_before)
        bury(disk, index, size);
    inode = &disk->inodes[index];
    sim_inode_reserve(inode, size);
    change = new_change(disk, inode);
    change->offset = size;
    change->size_before = size_before;
    change->size_after = size;
    if (size < size_before)
        memset(inode->now + size, 0, (size_t)(size_before - size));
    inode->now_size = size;
    if (inode->allocated_size > size)
        inode->allocated_size = size;
    sim_refresh_mappings(disk, index, size < size_before ? size : size_before,
                         size < size_before ? size_before : size);
}

void sim_change_allocate(struct sim_disk *disk, int index, uint64_t size)
{
    sim_change_size(disk, index, size);
    disk->inodes[index].allocated_size = size;
}

/* A file takes room as long as it has a name. */
static uint64_t used_size(const struct sim_disk *disk)
{
    uint64_t used = 0;

    for (size_t i = 0; i < disk->directory_count; i++) {
        const struct sim_names *names = &disk->directories[i].names_now;

        for (size_t j = 0; j < names->count; j++)
            used += disk->inodes[names->list[j].inode].now_size;
    }
    return used;
}

uint64_t sim_fitting(const struct sim_disk *disk, const struct sim_inode *inode,
                     uint64_t offset, uint64_t size)
{
    uint64_t used, room;

    if (disk->size_max == UINT64_MAX || offset + size <= inode->now_size)
        return size;
    used = used_size(disk);
    room = used < disk->size_max ? disk->size_max - used : 0;
    if (offset + size - inode->now_size <= room)
        return size;
    return inode->now_size + room > offset ? inode->now_size + room - offset : 0;
}

/* SECTORS */

void sim_inode_reserve(struct sim_inode *inode, uint64_t size)
{
    size_t capacity = inode->capacity > 0 ? inode->capacity : 2048;

    while (capacity < size)
        capacity *= 2;
    if (capacity == inode->capacity)
        return;
    inode->now = sim_memory(inode->now, capacity);
    inode->kept = sim_memory(inode->kept, capacity);
    memset(inode->now + inode->capacity, 0, capacity - inode->capacity);
    memset(inode->kept + inode->capacity, 0, capacity - inode->capacity);
    inode->capacity = capacity;
}

int sim_inode_new(struct sim_disk *disk)
{
    if (disk->inode_count == disk->inode_capacity) {
        disk->inode_capacity = 2 * disk->inode_capacity + 16;
        disk->inodes =
            sim_memory(disk->inodes, disk->inode_capacity * sizeof *disk->inodes);
    }
    disk->inodes[disk->inode_count] = (struct sim_inode){ .now = NULL };
    return (int)disk->inode_count++;
}

bool sim_change_touches(const struct sim_change *change, uint64_t index)
{
    uint64_t from = change->offset, to = from + change->size;

    if (change->bytes == NULL) {
        from = change->size_before < change->size_after ? change->size_before
                                                        : change->size_after;
        to = change->size_before + change->size_after - from;
    }
    return from < (index + 1) * SIM_SECTOR_SIZE && to > index * SIM_SECTOR_SIZE;
}

void sim_change_apply(const struct sim_change *change, uint64_t index,
                      uint8_t bytes[SIM_SECTOR_SIZE])
{
    uint64_t begin = index * SIM_SECTOR_SIZE;
    uint64_t from = change->offset > begin ? change->offset : begin;
    uint64_t to = begin + SIM_SECTOR_SIZE;

    if (change->bytes != NULL && to > change->offset + change->size)
        to = change->offset + change->size;
    if (from >= to)
        return;
    if (change->bytes != NULL)
        memcpy(bytes + (from - begin), change->bytes + (from - change->offset),
               (size_t)(to - from));
    else
        memset(bytes + (from - begin), 0, (size_t)(to - from));
}

void sim_inode_forget_changes(struct sim_inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++)
        free(inode->changes[i].bytes);
    inode->change_count = 0;
}
