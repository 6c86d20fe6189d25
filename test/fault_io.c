/* SPDX-License-Identifier: MIT */
#include "test/fault_io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct fault_io *fault_of(struct bitcask_io *io)
{
    return (struct fault_io *)io;
}

static struct bitcask_io *real(void)
{
    return bitcask_io_posix();
}

/* Count @call; BITCASK_OK if it may go through, else what it fails with, errno set. */
static enum bitcask_status admit(struct bitcask_io *io, enum fault_call call)
{
    struct fault_io *fault = fault_of(io);
    struct fault_plan *plan = &fault->plan;
    enum bitcask_status status = BITCASK_OK;

    if (fault->before != NULL)
        fault->before(call, fault->before_context);

    (void)pthread_mutex_lock(&fault->lock);
    fault->counts[call]++;
    if ((plan->calls & FAULT_BIT(call)) != 0) {
        if (plan->skip > 0) {
            plan->skip--;
        } else if (plan->count != 0) {
            if (plan->count > 0)
                plan->count--;
            fault->failure_count++;
            status = plan->status;
            errno = plan->error;
        }
    }
    (void)pthread_mutex_unlock(&fault->lock);
    return status;
}

static void count_open(struct bitcask_io *io, long change)
{
    struct fault_io *fault = fault_of(io);

    (void)pthread_mutex_lock(&fault->lock);
    fault->open_count += change;
    (void)pthread_mutex_unlock(&fault->lock);
}

static void count_map(struct bitcask_io *io, long change)
{
    struct fault_io *fault = fault_of(io);

    (void)pthread_mutex_lock(&fault->lock);
    fault->map_count += change;
    (void)pthread_mutex_unlock(&fault->lock);
}

static enum bitcask_status directory_create(struct bitcask_io *io, const char *path)
{
    enum bitcask_status status = admit(io, FAULT_DIRECTORY_CREATE);

    return status == BITCASK_OK ? real()->directory_create(real(), path) : status;
}

static void directory_remove(struct bitcask_io *io, const char *path)
{
    (void)io;
    real()->directory_remove(real(), path);
}

static enum bitcask_status directory_open(struct bitcask_io *io, const char *path,
                                          bitcask_file *out)
{
    enum bitcask_status status = admit(io, FAULT_DIRECTORY_OPEN);

    if (status == BITCASK_OK)
        status = real()->directory_open(real(), path, out);
    if (status == BITCASK_OK)
        count_open(io, 1);
    return status;
}

static enum bitcask_status directory_open_in(struct bitcask_io *io,
                                             bitcask_file directory, const char *name,
                                             bool create, bitcask_file *out)
{
    enum bitcask_status status = admit(io, FAULT_DIRECTORY_OPEN_IN);

    if (status == BITCASK_OK)
        status = real()->directory_open_in(real(), directory, name, create, out);
    if (status == BITCASK_OK)
        count_open(io, 1);
    return status;
}

static enum bitcask_status directory_list(struct bitcask_io *io, bitcask_file directory,
                                          bitcask_io_visit *visit, void *context)
{
    enum bitcask_status status = admit(io, FAULT_DIRECTORY_LIST);

    return status == BITCASK_OK
               ? real()->directory_list(real(), directory, visit, context)
               : status;
}

static enum bitcask_status directory_sync(struct bitcask_io *io, bitcask_file directory)
{
    enum bitcask_status status = admit(io, FAULT_DIRECTORY_SYNC);

    return status == BITCASK_OK ? real()->directory_sync(real(), directory) : status;
}

static enum bitcask_status directory_sync_parent(struct bitcask_io *io,
                                                 bitcask_file directory)
{
    enum bitcask_status status = admit(io, FAULT_DIRECTORY_SYNC_PARENT);

    return status == BITCASK_OK ? real()->directory_sync_parent(real(), directory)
                                : status;
}

static enum bitcask_status open_file(struct bitcask_io *io, bitcask_file directory,
                                     const char *name, enum bitcask_io_mode mode,
                                     bitcask_file *out)
{
    enum bitcask_status status = admit(io, FAULT_OPEN);

    if (status == BITCASK_OK)
        status = real()->open(real(), directory, name, mode, out);
    if (status == BITCASK_OK)
        count_open(io, 1);
    return status;
}

static void close_file(struct bitcask_io *io, bitcask_file file)
{
    count_open(io, -1);
    real()->close(real(), file);
}

static enum bitcask_status read_file(struct bitcask_io *io, bitcask_file file,
                                     uint64_t offset, void *data, size_t size,
                                     size_t *got)
{
    enum bitcask_status status = admit(io, FAULT_READ);

    return status == BITCASK_OK ? real()->read(real(), file, offset, data, size, got)
                                : status;
}

/* The first @size bytes of @parts. */
static void write_some(bitcask_file file, uint64_t offset,
                       const struct bitcask_slice *parts, size_t part_count, size_t size)
{
    struct bitcask_slice some[BITCASK_IO_PARTS_MAX];

    for (size_t i = 0; i < part_count; i++) {
        some[i] = parts[i];
        if (some[i].size > size)
            some[i].size = size;
        size -= some[i].size;
    }
    (void)real()->write(real(), file, offset, some, part_count);
}

static enum bitcask_status write_file(struct bitcask_io *io, bitcask_file file,
                                      uint64_t offset, const struct bitcask_slice *parts,
                                      size_t part_count)
{
    enum bitcask_status status = admit(io, FAULT_WRITE);

    if (status != BITCASK_OK) {
        int error = errno;

        write_some(file, offset, parts, part_count, fault_of(io)->plan.partial_size);
        errno = error;
        return status;
    }
    return real()->write(real(), file, offset, parts, part_count);
}

static void begin_sync(struct bitcask_io *io, bitcask_file file, uint64_t offset,
                       uint64_t size)
{
    (void)io;
    real()->begin_sync(real(), file, offset, size);
}

static enum bitcask_status sync_file(struct bitcask_io *io, bitcask_file file)
{
    enum bitcask_status status = admit(io, FAULT_SYNC);

    return status == BITCASK_OK ? real()->sync(real(), file) : status;
}

static enum bitcask_status size_of_file(struct bitcask_io *io, bitcask_file file,
                                        uint64_t *out)
{
    enum bitcask_status status = admit(io, FAULT_SIZE);

    return status == BITCASK_OK ? real()->size(real(), file, out) : status;
}

static enum bitcask_status truncate_file(struct bitcask_io *io, bitcask_file file,
                                         uint64_t size)
{
    enum bitcask_status status = admit(io, FAULT_TRUNCATE);

    return status == BITCASK_OK ? real()->truncate(real(), file, size) : status;
}

static enum bitcask_status allocate_space(struct bitcask_io *io, bitcask_file file,
                                          uint64_t offset, uint64_t size)
{
    enum bitcask_status status = ((struct fault_io *)io)->no_allocate
                                     ? BITCASK_UNSUPPORTED
                                     : admit(io, FAULT_ALLOCATE);

    return status == BITCASK_OK ? real()->allocate(real(), file, offset, size) : status;
}

static enum bitcask_status map_file(struct bitcask_io *io, bitcask_file file,
                                    uint64_t offset, size_t size, enum bitcask_io_use use,
                                    const uint8_t **out)
{
    enum bitcask_status status = admit(io, FAULT_MAP);

    if (status == BITCASK_OK)
        status = real()->map(real(), file, offset, size, use, out);
    if (status == BITCASK_OK)
        count_map(io, 1);
    return status;
}

static void unmap_file(struct bitcask_io *io, const uint8_t *address, size_t size)
{
    count_map(io, -1);
    real()->unmap(real(), address, size);
}

static void store_bytes(struct bitcask_io *io, const uint8_t *address, const void *data,
                        size_t size)
{
    (void)io;
    real()->store(real(), address, data, size);
}

static enum bitcask_status lock_file(struct bitcask_io *io, bitcask_file file)
{
    enum bitcask_status status = admit(io, FAULT_LOCK);

    return status == BITCASK_OK ? real()->lock(real(), file) : status;
}

static void unlock_file(struct bitcask_io *io, bitcask_file file)
{
    (void)io;
    real()->unlock(real(), file);
}

static enum bitcask_status rename_file(struct bitcask_io *io, bitcask_file directory,
                                       const char *from, const char *to)
{
    enum bitcask_status status = admit(io, FAULT_RENAME);

    return status == BITCASK_OK ? real()->rename(real(), directory, from, to) : status;
}

static enum bitcask_status move_file(struct bitcask_io *io, bitcask_file from_directory,
                                     const char *from, bitcask_file to_directory,
                                     const char *to)
{
    enum bitcask_status status = admit(io, FAULT_MOVE);

    return status == BITCASK_OK
               ? real()->move(real(), from_directory, from, to_directory, to)
               : status;
}

static enum bitcask_status remove_file(struct bitcask_io *io, bitcask_file directory,
                                       const char *name)
{
    enum bitcask_status status = admit(io, FAULT_REMOVE);

    return status == BITCASK_OK ? real()->remove(real(), directory, name) : status;
}

static uint64_t monotonic_ms(struct bitcask_io *io)
{
    uint64_t set_ms = atomic_load(&fault_of(io)->monotonic_ms);

    return set_ms != 0 ? set_ms : real()->monotonic_ms(real());
}

static uint64_t wall_ms(struct bitcask_io *io)
{
    uint64_t set_ms = atomic_load(&fault_of(io)->wall_ms);

    return set_ms != 0 ? set_ms : real()->wall_ms(real());
}

static void sleep_ms(struct bitcask_io *io, uint32_t ms)
{
    struct fault_io *fault = fault_of(io);
    bool set =
        atomic_load(&fault->wall_ms) != 0 || atomic_load(&fault->monotonic_ms) != 0;

    if (atomic_load(&fault->wall_ms) != 0)
        atomic_fetch_add(&fault->wall_ms, ms);
    if (atomic_load(&fault->monotonic_ms) != 0)
        atomic_fetch_add(&fault->monotonic_ms, ms);
    if (!set)
        real()->sleep_ms(real(), ms);
}

/* SplitMix64. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t value = *state += 0x9e3779b97f4a7c15u;

    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static enum bitcask_status random_bytes(struct bitcask_io *io, void *data, size_t size)
{
    struct fault_io *fault = fault_of(io);
    enum bitcask_status status = admit(io, FAULT_RANDOM);

    if (status != BITCASK_OK)
        return status;
    (void)pthread_mutex_lock(&fault->lock);
    if (fault->random_state == 0) {
        status = real()->random(real(), data, size);
    } else {
        for (size_t i = 0; i < size; i++)
            ((uint8_t *)data)[i] = (uint8_t)next_random(&fault->random_state);
    }
    (void)pthread_mutex_unlock(&fault->lock);
    return status;
}

static uint64_t process_id(struct bitcask_io *io)
{
    (void)io;
    return real()->process_id(real());
}

void fault_io_init(struct fault_io *fault)
{
    static const struct bitcask_io functions = {
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
        .monotonic_ms = monotonic_ms,
        .wall_ms = wall_ms,
        .sleep_ms = sleep_ms,
        .random = random_bytes,
        .process_id = process_id,
    };

    memset(fault, 0, sizeof *fault);
    fault->io = functions;
    if (pthread_mutex_init(&fault->lock, NULL) != 0)
        abort();
}

void fault_io_release(struct fault_io *fault)
{
    (void)pthread_mutex_destroy(&fault->lock);
}

void fault_io_arm(struct fault_io *fault, const struct fault_plan *plan)
{
    (void)pthread_mutex_lock(&fault->lock);
    fault->plan = *plan;
    if (fault->plan.count == 0)
        fault->plan.count = 1;
    if (fault->plan.status == BITCASK_OK)
        fault->plan.status = BITCASK_IO;
    if (fault->plan.error == 0)
        fault->plan.error = EIO;
    fault->failure_count = 0;
    (void)pthread_mutex_unlock(&fault->lock);
}

void fault_io_disarm(struct fault_io *fault)
{
    (void)pthread_mutex_lock(&fault->lock);
    memset(&fault->plan, 0, sizeof fault->plan);
    (void)pthread_mutex_unlock(&fault->lock);
}

static long read_locked(struct fault_io *fault, const long *number)
{
    long value;

    (void)pthread_mutex_lock(&fault->lock);
    value = *number;
    (void)pthread_mutex_unlock(&fault->lock);
    return value;
}

long fault_io_failure_count(struct fault_io *fault)
{
    return read_locked(fault, &fault->failure_count);
}

long fault_io_count(struct fault_io *fault, enum fault_call call)
{
    return read_locked(fault, &fault->counts[call]);
}

long fault_io_open_count(struct fault_io *fault)
{
    return read_locked(fault, &fault->open_count);
}

long fault_io_map_count(struct fault_io *fault)
{
    return read_locked(fault, &fault->map_count);
}
