/* SPDX-License-Identifier: MIT */
#include "test/sim_disk.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "test/sim_inside.h"
#include "test/test_alloc.h"

struct sim_disk *sim_disk_new(uint64_t seed)
{
    struct sim_disk *disk;

    test_alloc_pause();
    disk = sim_memory(NULL, sizeof *disk);
    memset(disk, 0, sizeof *disk);
    disk->io = sim_io;
    disk->chance = seed;
    disk->salt_chance = ~seed;
    disk->size_max = UINT64_MAX;
    disk->monotonic_ms = 1000;
    disk->wall_ms = 1700000000000;
    if (pthread_mutex_init(&disk->lock, NULL) != 0)
        abort();
    test_alloc_resume();
    return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
    if (disk == NULL)
        return;
    while (disk->mappings != NULL) {
        struct sim_mapping *next = disk->mappings->next;

        free(disk->mappings->address);
        free(disk->mappings);
        disk->mappings = next;
    }
    for (size_t i = 0; i < disk->inode_count; i++) {
        sim_inode_forget_changes(&disk->inodes[i]);
        free(disk->inodes[i].changes);
        free(disk->inodes[i].now);
        free(disk->inodes[i].kept);
    }
    for (size_t i = 0; i < disk->directory_count; i++) {
        free(disk->directories[i].names_now.list);
        free(disk->directories[i].names_kept.list);
        free(disk->directories[i].changes);
    }
    free(disk->inodes);
    free(disk->directories);
    (void)pthread_mutex_destroy(&disk->lock);
    free(disk);
}

struct bitcask_io *sim_disk_io(struct sim_disk *disk)
{
    return &disk->io;
}

void sim_disk_set_hook(struct sim_disk *disk, sim_hook *hook, void *context)
{
    disk->hook = hook;
    disk->hook_context = context;
}

void sim_disk_arm(struct sim_disk *disk, const struct fault_plan *plan)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk->plan = *plan;
    if (disk->plan.count == 0)
        disk->plan.count = 1;
    if (disk->plan.status == BITCASK_OK)
        disk->plan.status = BITCASK_IO;
    if (disk->plan.error == 0)
        disk->plan.error = EIO;
    disk->failure_count = 0;
    (void)pthread_mutex_unlock(&disk->lock);
}

void sim_disk_disarm(struct sim_disk *disk)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk->plan.calls = 0;
    (void)pthread_mutex_unlock(&disk->lock);
}

long sim_disk_failure_count(struct sim_disk *disk)
{
    return disk->failure_count;
}

long sim_disk_call_count(struct sim_disk *disk)
{
    return disk->call_count;
}

void sim_disk_set_capacity(struct sim_disk *disk, uint64_t size)
{
    disk->size_max = size;
}

void sim_disk_set_no_allocate(struct sim_disk *disk)
{
    disk->no_allocate = true;
}

void sim_disk_pass_ms(struct sim_disk *disk, uint64_t ms)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk->monotonic_ms += ms;
    disk->wall_ms += ms;
    (void)pthread_mutex_unlock(&disk->lock);
}

void sim_disk_step_wall_ms(struct sim_disk *disk, int64_t ms)
{
    (void)pthread_mutex_lock(&disk->lock);
    disk->wall_ms += (uint64_t)ms;
    (void)pthread_mutex_unlock(&disk->lock);
}

long sim_disk_open_count(struct sim_disk *disk)
{
    return disk->open_count;
}

/* FILES */

static struct sim_directory *find_directory(const struct sim_disk *disk, const char *path)
{
    for (size_t i = 0; i < disk->directory_count; i++) {
        if (strcmp(disk->directories[i].path, path) == 0 && disk->directories[i].now)
            return &disk->directories[i];
    }
    return NULL;
}

const uint8_t *sim_disk_file(const struct sim_disk *disk, const char *path,
                             const char *name, size_t *size)
{
    const struct sim_directory *directory = find_directory(disk, path);
    const struct sim_name *found =
        directory != NULL ? sim_name_find(&directory->names_now, name) : NULL;

    if (found == NULL)
        return NULL;
    *size = (size_t)disk->inodes[found->inode].now_size;
    return *size > 0 ? disk->inodes[found->inode].now : (const uint8_t *)"";
}

void sim_disk_put_file(struct sim_disk *disk, const char *path, const char *name,
                       const void *bytes, size_t size)
{
    struct sim_directory *directory = find_directory(disk, path);
    struct sim_inode *inode;
    int index;

    test_alloc_pause();
    if (directory == NULL) {
        index = sim_directory_new(disk, path);
        directory = &disk->directories[index];
        directory->now = directory->kept = true;
    }
    index = sim_inode_new(disk);
    inode = &disk->inodes[index];
    sim_inode_reserve(inode, size);
    if (size > 0) {
        memcpy(inode->now, bytes, size);
        memcpy(inode->kept, bytes, size);
    }
    inode->now_size = inode->kept_size = size;
    sim_name_set(&directory->names_now, name, index);
    sim_name_set(&directory->names_kept, name, index);
    test_alloc_resume();
}

void sim_disk_remove_file(struct sim_disk *disk, const char *path, const char *name)
{
    struct sim_directory *directory = find_directory(disk, path);

    assert(directory != NULL);
    sim_name_set(&directory->names_now, name, SIM_NOTHING);
    sim_name_set(&directory->names_kept, name, SIM_NOTHING);
}

/* The name in @names that @count names are below; names are few. */
static const struct sim_name *name_at(const struct sim_names *names, size_t count)
{
    for (size_t i = 0; i < names->count; i++) {
        size_t below = 0;

        for (size_t j = 0; j < names->count; j++)
            below += strcmp(names->list[j].text, names->list[i].text) < 0;
        if (below == count)
            return &names->list[i];
    }
    return NULL;
}

const char *sim_disk_name(const struct sim_disk *disk, const char *path, size_t index)
{
    const struct sim_directory *directory = find_directory(disk, path);
    const struct sim_name *name =
        directory != NULL ? name_at(&directory->names_now, index) : NULL;

    return name != NULL ? name->text : NULL;
}

static uint64_t hash_on(uint64_t hash, const void *bytes, size_t size)
{
    return XXH3_64bits_withSeed(bytes, size, hash);
}

static uint64_t hash_file(uint64_t hash, const struct sim_name *name,
                          const uint8_t *bytes, uint64_t size)
{
    hash = hash_on(hash, name->text, strlen(name->text));
    hash = hash_on(hash, &size, sizeof size);
    return size > 0 ? hash_on(hash, bytes, (size_t)size) : hash;
}

/* What a file is, what would be left of it, and what may come in between. */
static uint64_t hash_inode(uint64_t hash, const struct sim_name *name,
                           const struct sim_inode *inode)
{
    hash = hash_file(hash, name, inode->now, inode->now_size);
    if (inode->change_count == 0 &&
        (inode->capacity == 0 || (inode->now_size == inode->kept_size &&
                                  memcmp(inode->now, inode->kept, inode->capacity) == 0)))
        return hash;
    if (inode->capacity > 0)
        hash = hash_on(hash, inode->kept, inode->capacity);
    for (size_t i = 0; i < inode->change_count; i++) {
        const struct sim_change *change = &inode->changes[i];

        hash = hash_on(hash, &change->offset, sizeof change->offset);
        if (change->bytes != NULL)
            hash = hash_on(hash, change->bytes, (size_t)change->size);
    }
    return hash;
}

uint64_t sim_disk_hash(const struct sim_disk *disk)
{
    const struct sim_name *name;
    uint64_t hash = 0;

    for (size_t i = 0; i < disk->directory_count; i++) {
        const struct sim_directory *directory = &disk->directories[i];

        hash = hash_on(hash, directory->now ? "now" : "no", 2);
        for (size_t j = 0; (name = name_at(&directory->names_now, j)) != NULL; j++)
            hash = hash_inode(hash, name, &disk->inodes[name->inode]);
        if (directory->change_count == 0)
            continue;
        for (size_t j = 0; (name = name_at(&directory->names_kept, j)) != NULL; j++)
            hash = hash_file(hash, name, NULL, 0);
    }
    return hash;
}

void sim_disk_print(const struct sim_disk *disk)
{
    for (size_t i = 0; i < disk->directory_count; i++) {
        const struct sim_directory *directory = &disk->directories[i];
        const struct sim_name *name;

        printf("%s%s\n", directory->path, directory->now ? "" : " (gone)");
        for (size_t j = 0; (name = name_at(&directory->names_now, j)) != NULL; j++) {
            const struct sim_inode *inode = &disk->inodes[name->inode];

            printf("  %-24s %8" PRIu64 " bytes, %8" PRIu64 " kept, %zu changes\n",
                   name->text, inode->now_size, inode->kept_size, inode->change_count);
        }
    }
}
