/* SPDX-License-Identifier: MIT */
#include "test/sim_inside.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/test_alloc.h"

enum {
    PAGE_SIZE = 4096
};

static struct sim_disk *disk_of(struct bitcask_io *io)
{
    return (struct sim_disk *)io;
}

/*
 * Each call is between an enter() and a leave(). What the disk allocates is the
 * system's, not the library's.
 */
static void enter(struct sim_disk *disk)
{
    (void)pthread_mutex_lock(&disk->lock);
    test_alloc_pause();
}

static void leave(struct sim_disk *disk)
{
    test_alloc_resume();
    (void)pthread_mutex_unlock(&disk->lock);
}

static void tell(struct sim_disk *disk, const struct sim_moment *moment)
{
    int error = errno;

    if (disk->hook != NULL)
        disk->hook(disk, moment, disk->hook_context);
    errno = error;
}

/* BITCASK_OK if the call goes through, else what it fails with, errno set. */
static enum bitcask_status admit(struct sim_disk *disk, enum fault_call call)
{
    struct fault_plan *plan = &disk->plan;

    disk->call_count++;
    if ((plan->calls & FAULT_BIT(call)) == 0)
        return BITCASK_OK;
    if (plan->skip > 0) {
        plan->skip--;
        return BITCASK_OK;
    }
    if (plan->count == 0)
        return BITCASK_OK;
    if (plan->count > 0)
        plan->count--;
    disk->failure_count++;
    errno = plan->error;
    return plan->status;
}

static enum bitcask_status begin(struct sim_disk *disk, enum fault_call call,
                                 const char *name)
{
    enter(disk);
    tell(disk, &(struct sim_moment){ .call = (int)call, .name = name });
    return admit(disk, call);
}

static enum bitcask_status end(struct sim_disk *disk, enum fault_call call,
                               const char *name, enum bitcask_status status)
{
    tell(disk, &(struct sim_moment){ .call = (int)call,
                                     .when = SIM_AFTER,
                                     .name = name,
                                     .failed = status != BITCASK_OK });
    leave(disk);
    return status;
}

static enum bitcask_status refuse(int error, enum bitcask_status status)
{
    errno = error;
    return status;
}

static struct sim_handle *handle_of(struct sim_disk *disk, bitcask_file file)
{
    assert(file >= 0 && file < SIM_HANDLES_MAX && disk->handles[file].used);
    return &disk->handles[file];
}

static struct sim_inode *inode_of(struct sim_disk *disk, bitcask_file file)
{
    struct sim_handle *handle = handle_of(disk, file);

    assert(handle->inode != SIM_NOTHING);
    return &disk->inodes[handle->inode];
}

static struct sim_directory *directory_of(struct sim_disk *disk, bitcask_file file)
{
    struct sim_handle *handle = handle_of(disk, file);

    assert(handle->directory != SIM_NOTHING);
    return &disk->directories[handle->directory];
}

static enum bitcask_status new_handle(struct sim_disk *disk, int directory, int inode,
                                      const char *name, bitcask_file *out)
{
    for (int i = 0; i < SIM_HANDLES_MAX; i++) {
        struct sim_handle *handle = &disk->handles[i];

        if (handle->used)
            continue;
        *handle = (struct sim_handle){ true, false, directory, inode, "" };
        assert(strlen(name) <= SIM_NAME_MAX);
        strcpy(handle->name, name);
        disk->open_count++;
        *out = i;
        return BITCASK_OK;
    }
    return refuse(EMFILE, BITCASK_IO);
}

/* DIRECTORIES */

static int find_directory(const struct sim_disk *disk, const char *path)
{
    for (size_t i = 0; i < disk->directory_count; i++) {
        if (strcmp(disk->directories[i].path, path) == 0)
            return (int)i;
    }
    return SIM_NOTHING;
}

/* Whether @path lies in the root, or in a directory that is there. */
static bool has_parent(const struct sim_disk *disk, const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[256];
    int found;

    if (slash == NULL || slash == path)
        return true;
    (void)snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
    found = find_directory(disk, parent);
    return found != SIM_NOTHING && disk->directories[found].now;
}

static bool is_empty(const struct sim_disk *disk, const struct sim_directory *directory)
{
    for (size_t i = 0; i < disk->directory_count; i++) {
        if (disk->directories[i].now && sim_is_in(&disk->directories[i], directory))
            return false;
    }
    return directory->names_now.count == 0;
}

/* Make the directory @path, of which @index is SIM_NOTHING if it never was. */
static int make_directory(struct sim_disk *disk, const char *path, int index)
{
    if (index == SIM_NOTHING)
        index = sim_directory_new(disk, path);
    disk->directories[index].now = true;
    disk->directories[index].number = ++disk->change_number;
    return index;
}

static enum bitcask_status directory_create(struct bitcask_io *io, const char *path)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_DIRECTORY_CREATE, "");
    int index = find_directory(disk, path);

    if (status == BITCASK_OK && !has_parent(disk, path))
        status = refuse(ENOENT, BITCASK_NOT_FOUND);
    if (status == BITCASK_OK && index != SIM_NOTHING && disk->directories[index].now)
        status = refuse(EEXIST, BITCASK_IO);
    if (status == BITCASK_OK)
        (void)make_directory(disk, path, index);
    return end(disk, FAULT_DIRECTORY_CREATE, "", status);
}

static void directory_remove(struct bitcask_io *io, const char *path)
{
    struct sim_disk *disk = disk_of(io);
    int index;

    enter(disk);
    index = find_directory(disk, path);
    if (index != SIM_NOTHING && is_empty(disk, &disk->directories[index]))
        disk->directories[index].now = false;
    leave(disk);
}

static enum bitcask_status directory_open(struct bitcask_io *io, const char *path,
                                          bitcask_file *out)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_DIRECTORY_OPEN, "");
    int index = find_directory(disk, path);

    if (status == BITCASK_OK) {
        if (index == SIM_NOTHING || !disk->directories[index].now)
            status = refuse(ENOENT, BITCASK_NOT_FOUND);
        else
            status = new_handle(disk, index, SIM_NOTHING, "", out);
    }
    return end(disk, FAULT_DIRECTORY_OPEN, "", status);
}

static enum bitcask_status directory_open_in(struct bitcask_io *io,
                                             bitcask_file directory_file,
                                             const char *name, bool create,
                                             bitcask_file *out)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_DIRECTORY_OPEN_IN, name);
    const struct sim_directory *directory = directory_of(disk, directory_file);
    char path[sizeof directory->path + SIM_NAME_MAX + 2];
    int index;

    (void)snprintf(path, sizeof path, "%s/%s", directory->path, name);
    index = find_directory(disk, path);
    if (status == BITCASK_OK && sim_name_find(&directory->names_now, name) != NULL)
        status = refuse(ENOTDIR, BITCASK_IO);
    if (status == BITCASK_OK && (index == SIM_NOTHING || !disk->directories[index].now)) {
        if (create)
            index = make_directory(disk, path, index);
        else
            status = refuse(ENOENT, BITCASK_NOT_FOUND);
    }
    if (status == BITCASK_OK)
        status = new_handle(disk, index, SIM_NOTHING, "", out);
    return end(disk, FAULT_DIRECTORY_OPEN_IN, name, status);
}

static enum bitcask_status directory_list(struct bitcask_io *io, bitcask_file file,
                                          bitcask_io_visit *visit, void *context)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_DIRECTORY_LIST, "");
    const struct sim_directory *directory = directory_of(disk, file);
    size_t count = directory->names_now.count;
    struct sim_name *copy =
        sim_memory(NULL, (count + disk->directory_count + 1) * sizeof *copy);

    if (count > 0)
        memcpy(copy, directory->names_now.list, count * sizeof *copy);
    for (size_t i = 0; i < disk->directory_count; i++) {
        const struct sim_directory *below = &disk->directories[i];

        if (below->now && sim_is_in(below, directory))
            (void)snprintf(copy[count++].text, sizeof copy->text, "%s",
                           below->path + strlen(directory->path) + 1);
    }
    status = end(disk, FAULT_DIRECTORY_LIST, "", status);
    for (size_t i = 0; status == BITCASK_OK && i < count; i++)
        status = visit(copy[i].text, context);
    free(copy);
    return status;
}

static enum bitcask_status directory_sync(struct bitcask_io *io, bitcask_file file)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_DIRECTORY_SYNC, "");
    const struct sim_directory *directory = directory_of(disk, file);

    if (status == BITCASK_OK) {
        sim_sync_names(disk, handle_of(disk, file)->directory, disk->change_number);
        for (size_t i = 0; i < disk->directory_count; i++) {
            if (sim_is_in(&disk->directories[i], directory))
                disk->directories[i].kept = disk->directories[i].now;
        }
    }
    return end(disk, FAULT_DIRECTORY_SYNC, "", status);
}

static enum bitcask_status directory_sync_parent(struct bitcask_io *io,
                                                 bitcask_file directory)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_DIRECTORY_SYNC_PARENT, "");

    if (status == BITCASK_OK)
        directory_of(disk, directory)->kept = directory_of(disk, directory)->now;
    return end(disk, FAULT_DIRECTORY_SYNC_PARENT, "", status);
}

static enum bitcask_status rename_file(struct bitcask_io *io, bitcask_file file,
                                       const char *from, const char *to)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_RENAME, to);
    struct sim_directory *directory = directory_of(disk, file);

    if (status == BITCASK_OK) {
        struct sim_name *name = sim_name_find(&directory->names_now, from);

        if (name == NULL)
            status = refuse(ENOENT, BITCASK_IO);
        else
            sim_change_names(disk, directory, from, to, name->inode);
    }
    return end(disk, FAULT_RENAME, to, status);
}

static enum bitcask_status move_file(struct bitcask_io *io, bitcask_file from_file,
                                     const char *from, bitcask_file to_file,
                                     const char *to)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_MOVE, to);
    const struct sim_directory *directory = directory_of(disk, from_file);

    if (status == BITCASK_OK) {
        const struct sim_name *name = sim_name_find(&directory->names_now, from);

        if (name == NULL)
            status = refuse(ENOENT, BITCASK_NOT_FOUND);
        else
            sim_change_move(disk, handle_of(disk, from_file)->directory, from,
                            handle_of(disk, to_file)->directory, to, name->inode);
    }
    return end(disk, FAULT_MOVE, to, status);
}

static enum bitcask_status remove_file(struct bitcask_io *io, bitcask_file file,
                                       const char *name)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_REMOVE, name);
    struct sim_directory *directory = directory_of(disk, file);

    if (status == BITCASK_OK) {
        struct sim_name *found = sim_name_find(&directory->names_now, name);

        if (found == NULL)
            status = refuse(ENOENT, BITCASK_NOT_FOUND);
        else
            sim_change_names(disk, directory, name, "", found->inode);
    }
    return end(disk, FAULT_REMOVE, name, status);
}

/* BYTES */

/*
 * Write, with a moment in the middle at which it may end. What is left then changes
 * something, if anything does: a write of which only zeros are left, in space that was
 * set aside, is done.
 */
static void write_in_two(struct sim_disk *disk, struct sim_moment *moment, int index,
                         const uint8_t *bytes, size_t size)
{
    uint64_t offset = moment->offset;
    size_t first = 0;

    if (disk->hook != NULL && size > 1) {
        size_t changing = sim_changing_size(&disk->inodes[index], offset, bytes, size);

        first = 1 + (size_t)sim_chance_below(&disk->chance, size - 1);
        if (first >= changing && changing > 1)
            first = changing - 1;
        sim_change_bytes(disk, index, offset, bytes, first);
        moment->when = SIM_INSIDE;
        tell(disk, moment);
    }
    sim_change_bytes(disk, index, offset + first, bytes + first, size - first);
    moment->when = SIM_AFTER;
    moment->bytes = size > 0 ? disk->inodes[index].now + offset : bytes;
    moment->size = size;
}

static enum bitcask_status write_file(struct bitcask_io *io, bitcask_file file,
                                      uint64_t offset, const struct bitcask_slice *parts,
                                      size_t part_count)
{
    struct sim_disk *disk = disk_of(io);
    struct sim_moment moment = { .call = FAULT_WRITE, .offset = offset };
    size_t size = 0, written, at = 0;
    enum bitcask_status status;
    uint8_t *bytes;

    enter(disk);
    moment.name = handle_of(disk, file)->name;
    tell(disk, &moment);
    for (size_t i = 0; i < part_count; i++)
        size += parts[i].size;
    bytes = sim_memory(NULL, size + 1);
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].size > 0)
            memcpy(bytes + at, parts[i].data, parts[i].size);
        at += parts[i].size;
    }

    written = size;
    status = admit(disk, FAULT_WRITE);
    if (status != BITCASK_OK) {
        written = disk->plan.partial_size < size ? disk->plan.partial_size : size;
    } else {
        written = (size_t)sim_fitting(disk, inode_of(disk, file), offset, size);
        if (written < size)
            status = refuse(ENOSPC, BITCASK_NO_SPACE);
    }
    moment.failed = status != BITCASK_OK;
    write_in_two(disk, &moment, handle_of(disk, file)->inode, bytes, written);
    tell(disk, &moment);
    free(bytes);
    leave(disk);
    return status;
}

static void store_bytes(struct bitcask_io *io, const uint8_t *address, const void *data,
                        size_t size)
{
    struct sim_disk *disk = disk_of(io);
    struct sim_mapping *mapping;
    struct sim_moment moment = { .call = SIM_STORE };

    enter(disk);
    mapping = disk->mappings;
    while (mapping != NULL &&
           !((uintptr_t)address >= (uintptr_t)mapping->address &&
             (uintptr_t)address + size <= (uintptr_t)mapping->address + mapping->size))
        mapping = mapping->next;
    assert(mapping != NULL && mapping->writable);
    moment.offset = mapping->offset + (uint64_t)(address - mapping->address);
    moment.name = mapping->name;
    assert(moment.offset + size <= disk->inodes[mapping->inode].now_size);
    tell(disk, &moment);
    write_in_two(disk, &moment, mapping->inode, data, size);
    tell(disk, &moment);
    leave(disk);
}

/* What it does can happen at any time. */
static void begin_sync(struct bitcask_io *io, bitcask_file file, uint64_t offset,
                       uint64_t size)
{
    (void)io;
    (void)file;
    (void)offset;
    (void)size;
}

static enum bitcask_status sync_file(struct bitcask_io *io, bitcask_file file)
{
    struct sim_disk *disk = disk_of(io);
    const char *name = handle_of(disk, file)->name;
    enum bitcask_status status = begin(disk, FAULT_SYNC, name);
    struct sim_inode *inode = inode_of(disk, file);

    if (status != BITCASK_OK) {
        sim_inode_sync_part(inode, &disk->chance);
        return end(disk, FAULT_SYNC, name, status);
    }
    for (size_t i = 0; i < inode->change_count; i++) {
        uint64_t index = 0;

        for (; index * SIM_SECTOR_SIZE < inode->capacity; index++) {
            if (sim_change_touches(&inode->changes[i], index))
                memcpy(inode->kept + index * SIM_SECTOR_SIZE,
                       inode->now + index * SIM_SECTOR_SIZE, SIM_SECTOR_SIZE);
        }
    }
    inode->kept_size = inode->now_size;
    sim_inode_forget_changes(inode);
    return end(disk, FAULT_SYNC, name, status);
}

/* FILES */

static enum bitcask_status open_file(struct bitcask_io *io, bitcask_file directory_file,
                                     const char *name, enum bitcask_io_mode mode,
                                     bitcask_file *out)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_OPEN, name);
    struct sim_directory *directory = directory_of(disk, directory_file);
    struct sim_name *found = sim_name_find(&directory->names_now, name);
    int inode = found != NULL ? found->inode : SIM_NOTHING;

    if (status != BITCASK_OK)
        return end(disk, FAULT_OPEN, name, status);
    if (found == NULL && (mode == BITCASK_IO_READ || mode == BITCASK_IO_WRITE))
        return end(disk, FAULT_OPEN, name, refuse(ENOENT, BITCASK_NOT_FOUND));
    if (found == NULL) {
        inode = sim_inode_new(disk);
        sim_change_names(disk, directory, "", name, inode);
    } else if (mode == BITCASK_IO_CREATE) {
        sim_change_size(disk, inode, 0);
    }
    return end(disk, FAULT_OPEN, name, new_handle(disk, SIM_NOTHING, inode, name, out));
}

static void close_file(struct bitcask_io *io, bitcask_file file)
{
    struct sim_disk *disk = disk_of(io);

    enter(disk);
    handle_of(disk, file)->used = false;
    disk->open_count--;
    leave(disk);
}

static enum bitcask_status read_file(struct bitcask_io *io, bitcask_file file,
                                     uint64_t offset, void *data, size_t size,
                                     size_t *got)
{
    struct sim_disk *disk = disk_of(io);
    const char *name = handle_of(disk, file)->name;
    enum bitcask_status status = begin(disk, FAULT_READ, name);
    const struct sim_inode *inode = inode_of(disk, file);

    if (status == BITCASK_OK) {
        uint64_t there = offset < inode->now_size ? inode->now_size - offset : 0;

        *got = there < size ? (size_t)there : size;
        if (*got > 0)
            memcpy(data, inode->now + offset, *got);
    }
    return end(disk, FAULT_READ, name, status);
}

static enum bitcask_status size_of_file(struct bitcask_io *io, bitcask_file file,
                                        uint64_t *out)
{
    struct sim_disk *disk = disk_of(io);
    const char *name = handle_of(disk, file)->name;
    enum bitcask_status status = begin(disk, FAULT_SIZE, name);

    if (status == BITCASK_OK)
        *out = inode_of(disk, file)->now_size;
    return end(disk, FAULT_SIZE, name, status);
}

static enum bitcask_status truncate_file(struct bitcask_io *io, bitcask_file file,
                                         uint64_t size)
{
    struct sim_disk *disk = disk_of(io);
    const char *name = handle_of(disk, file)->name;
    enum bitcask_status status = begin(disk, FAULT_TRUNCATE, name);

    if (status == BITCASK_OK)
        sim_change_size(disk, handle_of(disk, file)->inode, size);
    return end(disk, FAULT_TRUNCATE, name, status);
}

static enum bitcask_status allocate_space(struct bitcask_io *io, bitcask_file file,
                                          uint64_t offset, uint64_t size)
{
    struct sim_disk *disk = disk_of(io);
    const struct sim_handle *handle = handle_of(disk, file);
    enum bitcask_status status = begin(disk, FAULT_ALLOCATE, handle->name);

    if (status == BITCASK_OK && disk->no_allocate)
        status = refuse(EOPNOTSUPP, BITCASK_UNSUPPORTED);
    if (status == BITCASK_OK &&
        sim_fitting(disk, inode_of(disk, file), offset, size) < size)
        status = refuse(ENOSPC, BITCASK_NO_SPACE);
    if (status == BITCASK_OK && offset + size > inode_of(disk, file)->now_size)
        sim_change_allocate(disk, handle->inode, offset + size);
    return end(disk, FAULT_ALLOCATE, handle->name, status);
}

static enum bitcask_status map_file(struct bitcask_io *io, bitcask_file file,
                                    uint64_t offset, size_t size, enum bitcask_io_use use,
                                    const uint8_t **out)
{
    struct sim_disk *disk = disk_of(io);
    const struct sim_handle *handle = handle_of(disk, file);
    enum bitcask_status status = begin(disk, FAULT_MAP, handle->name);

    /* Whole pages without a byte of the file cannot be brought in. */
    if (status == BITCASK_OK && use != BITCASK_IO_LOAD &&
        offset + size >= inode_of(disk, file)->now_size + PAGE_SIZE)
        status = refuse(EFAULT, BITCASK_IO);
    if (status == BITCASK_OK) {
        struct sim_mapping *mapping = sim_memory(NULL, sizeof *mapping);

        *mapping = (struct sim_mapping){
            sim_memory(NULL, size), offset, size,          handle->inode,
            use != BITCASK_IO_LOAD, "",     disk->mappings
        };
        strcpy(mapping->name, handle->name);
        disk->mappings = mapping;
        sim_refresh_mappings(disk, handle->inode, offset, offset + size);
        disk->open_count++;
        *out = mapping->address;
    }
    return end(disk, FAULT_MAP, handle->name, status);
}

static void unmap_file(struct bitcask_io *io, const uint8_t *address, size_t size)
{
    struct sim_disk *disk = disk_of(io);
    struct sim_mapping **link;
    struct sim_mapping *mapping;

    enter(disk);
    link = &disk->mappings;
    while (*link != NULL && (*link)->address != address)
        link = &(*link)->next;
    mapping = *link;
    assert(mapping != NULL && mapping->size == size);
    (void)size;
    *link = mapping->next;
    free(mapping->address);
    free(mapping);
    disk->open_count--;
    leave(disk);
}

static enum bitcask_status lock_file(struct bitcask_io *io, bitcask_file file)
{
    struct sim_disk *disk = disk_of(io);
    struct sim_handle *handle = handle_of(disk, file);
    enum bitcask_status status = begin(disk, FAULT_LOCK, handle->name);

    for (int i = 0; status == BITCASK_OK && i < SIM_HANDLES_MAX; i++) {
        const struct sim_handle *other = &disk->handles[i];

        if (other != handle && other->used && other->locked &&
            other->inode == handle->inode)
            status = refuse(EWOULDBLOCK, BITCASK_LOCKED);
    }
    if (status == BITCASK_OK)
        handle->locked = true;
    return end(disk, FAULT_LOCK, handle->name, status);
}

static void unlock_file(struct bitcask_io *io, bitcask_file file)
{
    struct sim_disk *disk = disk_of(io);

    enter(disk);
    handle_of(disk, file)->locked = false;
    leave(disk);
}

/* CHANCE */

static enum bitcask_status random_bytes(struct bitcask_io *io, void *data, size_t size)
{
    struct sim_disk *disk = disk_of(io);
    enum bitcask_status status = begin(disk, FAULT_RANDOM, "");
    uint8_t *bytes = data;

    for (size_t i = 0; status == BITCASK_OK && i < size; i++)
        bytes[i] = (uint8_t)sim_chance(&disk->salt_chance);
    return end(disk, FAULT_RANDOM, "", status);
}

const struct bitcask_io sim_io = {
    .directory_create = directory_create,
    .directory_remove = directory_remove,
    .directory_open = directory_open,
    .directory_open_in = directory_open_in,
    .directory_list = directory_list,
    .directory_sync = directory_sync,
    .directory_sync_parent = directory_sync_parent,
    .open = open_file,
    .close = close_file,
    .read = read_file,
    .write = write_file,
    .begin_sync = begin_sync,
    .sync = sync_file,
    .size = size_of_file,
    .truncate = truncate_file,
    .allocate = allocate_space,
    .map = map_file,
    .unmap = unmap_file,
    .store = store_bytes,
    .lock = lock_file,
    .unlock = unlock_file,
    .rename = rename_file,
    .move = move_file,
    .remove = remove_file,
    .monotonic_ms = sim_monotonic_ms,
    .wall_ms = sim_wall_ms,
    .sleep_ms = sim_sleep_ms,
    .random = random_bytes,
    .process_id = sim_process_id,
};
