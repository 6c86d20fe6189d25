/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* sync_file_range, fallocate */
#include "bitcask/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static enum bitcask_status status_of_errno(void)
{
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
        return BITCASK_NO_SPACE;
    case EROFS:
        return BITCASK_READ_ONLY;
    case ENOMEM:
        return BITCASK_NO_MEMORY;
    default:
        return BITCASK_IO;
    }
}

/* Only where the name itself is what is looked for: elsewhere ENOENT is an error. */
static enum bitcask_status status_of_errno_for_name(void)
{
    return errno == ENOENT ? BITCASK_NOT_FOUND : status_of_errno();
}

static enum bitcask_status directory_create(struct bitcask_io *io, const char *path)
{
    (void)io;
    return mkdir(path, 0777) == 0 ? BITCASK_OK : status_of_errno_for_name();
}

static void directory_remove(struct bitcask_io *io, const char *path)
{
    (void)io;
    (void)rmdir(path);
}

static int open_retrying(int directory, const char *name, int flags)
{
    int fd;

    do
        fd = openat(directory, name, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static enum bitcask_status directory_open(struct bitcask_io *io, const char *path,
                                          bitcask_file *out)
{
    int fd = open_retrying(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);

    (void)io;
    if (fd < 0)
        return status_of_errno_for_name();
    *out = fd;
    return BITCASK_OK;
}

static enum bitcask_status directory_open_in(struct bitcask_io *io,
                                             bitcask_file directory, const char *name,
                                             bool create, bitcask_file *out)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    int fd = open_retrying(directory, name, flags);

    (void)io;
    if (fd < 0 && errno == ENOENT && create) {
        /* EEXIST: somebody else was faster, which is as well. */
        if (mkdirat(directory, name, 0777) != 0 && errno != EEXIST)
            return status_of_errno();
        fd = open_retrying(directory, name, flags);
        if (fd < 0)
            return status_of_errno();
    }
    if (fd < 0)
        return status_of_errno_for_name();
    *out = fd;
    return BITCASK_OK;
}

static enum bitcask_status directory_list(struct bitcask_io *io, bitcask_file directory,
                                          bitcask_io_visit *visit, void *context)
{
    enum bitcask_status status = BITCASK_OK;
    /* A descriptor of its own, since reading moves a position. */
    int fd = open_retrying(directory, ".", O_RDONLY | O_DIRECTORY);
    DIR *stream;

    (void)io;
    if (fd < 0)
        return status_of_errno();
    stream = fdopendir(fd);
    if (stream == NULL) {
        status = status_of_errno();
        (void)close(fd);
        return status;
    }

    while (status == BITCASK_OK) {
        struct dirent *entry;

        errno = 0;
        entry = readdir(stream);
        if (entry == NULL) {
            if (errno != 0)
                status = status_of_errno();
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        status = visit(entry->d_name, context);
    }

    (void)closedir(stream);
    return status;
}

/* EINTR has synced nothing and marked nothing clean: the one error worth a retry. */
static enum bitcask_status sync_descriptor(int fd, int (*function)(int))
{
    int result;

    do
        result = function(fd);
    while (result != 0 && errno == EINTR);
    return result == 0 ? BITCASK_OK : status_of_errno();
}

/* Some file systems cannot sync a directory and say so: there is nothing more to do. */
static enum bitcask_status sync_directory_descriptor(int fd)
{
    enum bitcask_status status = sync_descriptor(fd, fsync);

    if (status != BITCASK_OK && errno == EINVAL)
        return BITCASK_OK;
    return status;
}

static enum bitcask_status directory_sync(struct bitcask_io *io, bitcask_file directory)
{
    (void)io;
    return sync_directory_descriptor(directory);
}

static enum bitcask_status directory_sync_parent(struct bitcask_io *io,
                                                 bitcask_file directory)
{
    enum bitcask_status status;
    int error;
    int fd = open_retrying(directory, "..", O_RDONLY | O_DIRECTORY);

    (void)io;
    if (fd < 0)
        return status_of_errno();
    status = sync_directory_descriptor(fd);
    error = errno;
    (void)close(fd);
    errno = error;
    return status;
}

static enum bitcask_status open_file(struct bitcask_io *io, bitcask_file directory,
                                     const char *name, enum bitcask_io_mode mode,
                                     bitcask_file *out)
{
    static const int flags[] = {
        [BITCASK_IO_READ] = O_RDONLY,
        [BITCASK_IO_WRITE] = O_RDWR,
        [BITCASK_IO_CREATE] = O_RDWR | O_CREAT | O_TRUNC,
        [BITCASK_IO_LOCK] = O_RDWR | O_CREAT,
    };
    /* A fifo put there by somebody must give an error, not hang us. */
    int fd = open_retrying(directory, name, flags[mode] | O_NONBLOCK | O_NOCTTY);
    struct stat about;

    (void)io;
    if (fd < 0 && (mode == BITCASK_IO_CREATE || mode == BITCASK_IO_LOCK))
        return status_of_errno(); /* ENOENT: the directory itself is gone */
    if (fd < 0)
        return status_of_errno_for_name();
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        (void)close(fd);
        errno = EINVAL;
        return BITCASK_IO;
    }
    *out = fd;
    return BITCASK_OK;
}

static void close_file(struct bitcask_io *io, bitcask_file file)
{
    int error = errno;

    (void)io;
    (void)close(file);
    errno = error;
}

static enum bitcask_status read_file(struct bitcask_io *io, bitcask_file file,
                                     uint64_t offset, void *data, size_t size,
                                     size_t *got)
{
    size_t done = 0;

    (void)io;
    while (done < size) {
        ssize_t count =
            pread(file, (char *)data + done, size - done, (off_t)(offset + done));

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return status_of_errno();
        if (count == 0)
            break;
        done += (size_t)count;
    }
    *got = done;
    return BITCASK_OK;
}

static enum bitcask_status write_file(struct bitcask_io *io, bitcask_file file,
                                      uint64_t offset, const struct bitcask_slice *parts,
                                      size_t part_count)
{
    struct iovec vectors[BITCASK_IO_PARTS_MAX];
    struct iovec *next = vectors;
    size_t count = 0;

    (void)io;
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].size == 0)
            continue;
        vectors[count].iov_base = (void *)(uintptr_t)parts[i].data;
        vectors[count].iov_len = parts[i].size;
        count++;
    }

    while (count > 0) {
        ssize_t written = pwritev(file, next, (int)count, (off_t)offset);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return status_of_errno();
        if (written == 0) { /* POSIX leaves it open; never loop on it */
            errno = ENOSPC;
            return BITCASK_NO_SPACE;
        }
        offset += (uint64_t)written;
        while (count > 0 && (size_t)written >= next->iov_len) {
            written -= (ssize_t)next->iov_len;
            next++;
            count--;
        }
        if (count > 0) {
            next->iov_base = (char *)next->iov_base + written;
            next->iov_len -= (size_t)written;
        }
    }
    return BITCASK_OK;
}

static void begin_sync(struct bitcask_io *io, bitcask_file file, uint64_t offset,
                       uint64_t size)
{
    (void)io;
#ifdef SYNC_FILE_RANGE_WRITE
    (void)sync_file_range(file, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
#else
    (void)file, (void)offset, (void)size;
#endif
}

static enum bitcask_status sync_file(struct bitcask_io *io, bitcask_file file)
{
    (void)io;
    return sync_descriptor(file, fdatasync);
}

static enum bitcask_status size_of_file(struct bitcask_io *io, bitcask_file file,
                                        uint64_t *out)
{
    struct stat about;

    (void)io;
    if (fstat(file, &about) != 0)
        return status_of_errno();
    *out = (uint64_t)about.st_size;
    return BITCASK_OK;
}

static enum bitcask_status truncate_file(struct bitcask_io *io, bitcask_file file,
                                         uint64_t size)
{
    int result;

    (void)io;
    do
        result = ftruncate(file, (off_t)size);
    while (result != 0 && errno == EINTR);
    return result == 0 ? BITCASK_OK : status_of_errno();
}

/*
 * Where space that fallocate() has given is really there for later stores. Others may
 * have to write somewhere else each time (btrfs), or promise what they cannot know (a
 * network file system).
 */
static bool keeps_its_word(bitcask_file file)
{
    enum {
        EXT4 = 0xef53, /* and ext3 and ext2, which have no fallocate() */
        XFS = 0x58465342,
        TMPFS = 0x01021994
    };
    struct statfs about;

    return fstatfs(file, &about) == 0 &&
           (about.f_type == EXT4 || about.f_type == XFS || about.f_type == TMPFS);
}

static enum bitcask_status allocate_space(struct bitcask_io *io, bitcask_file file,
                                          uint64_t offset, uint64_t size)
{
    int result;

    (void)io;
    if (!keeps_its_word(file)) {
        errno = EOPNOTSUPP;
        return BITCASK_UNSUPPORTED;
    }
    /* Not posix_fallocate(), which where there is no such call writes zeros. */
    do
        result = fallocate(file, 0, (off_t)offset, (off_t)size);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return BITCASK_OK;
    return errno == EOPNOTSUPP || errno == ENOSYS ? BITCASK_UNSUPPORTED
                                                  : status_of_errno();
}

/*
 * Bring writable pages in now, and learn as an error what would be a signal later. Linux
 * before 5.14 cannot: there each page is brought in by the first store to it.
 */
static bool populate(void *address, size_t size)
{
#ifdef MADV_POPULATE_WRITE
    int result;

    do
        result = madvise(address, size, MADV_POPULATE_WRITE);
    while (result != 0 && errno == EINTR);
    return result == 0 || errno == EINVAL;
#else
    (void)address;
    (void)size;
    return true;
#endif
}

/* How far an offset or address is from the beginning of its page. */
static size_t in_page(uint64_t position)
{
    return (size_t)(position % (uint64_t)sysconf(_SC_PAGESIZE));
}

static enum bitcask_status map_file(struct bitcask_io *io, bitcask_file file,
                                    uint64_t offset, size_t size, enum bitcask_io_use use,
                                    const uint8_t **out)
{
    bool writable = use != BITCASK_IO_LOAD;
    int rights = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    size_t before = in_page(offset);
    char *address =
        mmap(NULL, before + size, rights, MAP_SHARED, file, (off_t)(offset - before));

    (void)io;
    if (address == MAP_FAILED)
        return status_of_errno();
#ifdef MADV_HUGEPAGE
    if (use == BITCASK_IO_STORE_LARGE) /* only ever a favour */
        (void)madvise(address, before + size, MADV_HUGEPAGE);
#endif
    if (writable && !populate(address, before + size)) {
        int error = errno;

        (void)munmap(address, before + size);
        errno = error;
        return status_of_errno();
    }
    /* Gets are spread over the file: reading ahead of each would be wasted. */
    if (!writable)
        (void)madvise(address, before + size, MADV_RANDOM);
    *out = (const uint8_t *)address + before;
    return BITCASK_OK;
}

static void unmap_file(struct bitcask_io *io, const uint8_t *address, size_t size)
{
    size_t before = in_page((uintptr_t)address);

    (void)io;
    (void)munmap((void *)(uintptr_t)(address - before), before + size);
}

static void store_bytes(struct bitcask_io *io, const uint8_t *address, const void *data,
                        size_t size)
{
    (void)io;
    memcpy((void *)(uintptr_t)address, data, size);
}

static enum bitcask_status lock_file(struct bitcask_io *io, bitcask_file file)
{
    int result;

    (void)io;
    do
        result = flock(file, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return BITCASK_OK;
    return errno == EWOULDBLOCK ? BITCASK_LOCKED : status_of_errno();
}

static void unlock_file(struct bitcask_io *io, bitcask_file file)
{
    (void)io;
    (void)flock(file, LOCK_UN);
}

static enum bitcask_status rename_file(struct bitcask_io *io, bitcask_file directory,
                                       const char *from, const char *to)
{
    (void)io;
    return renameat(directory, from, directory, to) == 0 ? BITCASK_OK : status_of_errno();
}

static enum bitcask_status move_file(struct bitcask_io *io, bitcask_file from_directory,
                                     const char *from, bitcask_file to_directory,
                                     const char *to)
{
    (void)io;
    return renameat(from_directory, from, to_directory, to) == 0
               ? BITCASK_OK
               : status_of_errno_for_name();
}

static enum bitcask_status remove_file(struct bitcask_io *io, bitcask_file directory,
                                       const char *name)
{
    (void)io;
    return unlinkat(directory, name, 0) == 0 ? BITCASK_OK : status_of_errno_for_name();
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now = { 0, 0 };

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t monotonic_ms(struct bitcask_io *io)
{
    (void)io;
#ifdef CLOCK_MONOTONIC_COARSE
    return read_clock(CLOCK_MONOTONIC_COARSE); /* some ms of grain, a tenth of the cost */
#else
    return read_clock(CLOCK_MONOTONIC);
#endif
}

static uint64_t wall_ms(struct bitcask_io *io)
{
    (void)io;
    return read_clock(CLOCK_REALTIME);
}

static void sleep_ms(struct bitcask_io *io, uint32_t ms)
{
    struct timespec time = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };

    (void)io;
    (void)nanosleep(&time, NULL);
}

static enum bitcask_status random_bytes(struct bitcask_io *io, void *data, size_t size)
{
    (void)io;
    while (size > 0) {
        ssize_t got = getrandom(data, size, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_of_errno();
        data = (char *)data + got;
        size -= (size_t)got;
    }
    return BITCASK_OK;
}

static uint64_t process_id(struct bitcask_io *io)
{
    (void)io;
    return (uint64_t)getpid();
}

struct bitcask_io *bitcask_io_posix(void)
{
    static struct bitcask_io posix = {
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

    return &posix;
}
