/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bitcask/buffer.h"

void test_assert_status(enum bitcask_status actual, enum bitcask_status expected,
                        const char *expression, const char *file, int line)
{
    if (actual == expected)
        return;
    print_error("%s: %s (%d), expected %s (%d); last detail: %s\n", expression,
                bitcask_status_text(actual), (int)actual, bitcask_status_text(expected),
                (int)expected, bitcask_error_detail());
    _fail(file, line);
}

void test_assert_detail(const char *words, const char *file, int line)
{
    if (strstr(bitcask_error_detail(), words) != NULL)
        return;
    print_error("the detail has no \"%s\": %s\n", words, bitcask_error_detail());
    _fail(file, line);
}

/* Remove what is in the directory @fd, which is closed. */
static void empty_directory(int fd)
{
    DIR *stream = fdopendir(fd);
    struct dirent *entry;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(stream), entry->d_name, 0) == 0)
            continue;
        empty_directory(openat(dirfd(stream), entry->d_name, O_RDONLY | O_DIRECTORY));
        assert_int_equal(unlinkat(dirfd(stream), entry->d_name, AT_REMOVEDIR), 0);
    }
    (void)closedir(stream);
}

int test_disk_setup(void **state)
{
    const char *parent = getenv("TMPDIR");
    struct test_disk *disk = calloc(1, sizeof *disk);

    assert_non_null(disk);
    (void)snprintf(disk->path, sizeof disk->path, "%s/bitcask_test.XXXXXX",
                   parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    assert_non_null(mkdtemp(disk->path));
    fault_io_init(&disk->fault);
    disk->io = &disk->fault.io;
    assert_status(disk->io->directory_open(disk->io, disk->path, &disk->directory),
                  BITCASK_OK);
    *state = disk;
    return 0;
}

int test_disk_teardown(void **state)
{
    struct test_disk *disk = *state;
    long open_count, map_count;

    disk->io->close(disk->io, disk->directory);
    open_count = fault_io_open_count(&disk->fault);
    map_count = fault_io_map_count(&disk->fault);
    test_disk_clear(disk);
    (void)rmdir(disk->path);
    fault_io_release(&disk->fault);
    free(disk);

    if (open_count != 0 || map_count != 0)
        print_error("%ld files left open, %ld mappings left\n", open_count, map_count);
    return open_count != 0 || map_count != 0;
}

/* Open @name, whatever it takes. */
static int open_name(const struct test_disk *disk, const char *name, int flags)
{
    char path[512];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", disk->path, name);
    fd = open(path, flags | O_CLOEXEC, 0666);
    if (fd < 0)
        print_error("open %s: %s\n", path, strerror(errno));
    assert_true(fd >= 0);
    return fd;
}

bool test_disk_has(const struct test_disk *disk, const char *name)
{
    char path[512];

    (void)snprintf(path, sizeof path, "%s/%s", disk->path, name);
    return access(path, F_OK) == 0;
}

static uint64_t size_of(int fd)
{
    struct stat about;

    assert_int_equal(fstat(fd, &about), 0);
    return (uint64_t)about.st_size;
}

uint64_t test_disk_size(const struct test_disk *disk, const char *name)
{
    int fd = open_name(disk, name, O_RDONLY);
    uint64_t size = size_of(fd);

    (void)close(fd);
    return size;
}

size_t test_disk_count(const struct test_disk *disk)
{
    DIR *stream = opendir(disk->path);
    size_t count = 0;

    assert_non_null(stream);
    while (readdir(stream) != NULL)
        count++;
    (void)closedir(stream);
    return count - 2;
}

void test_disk_write(const struct test_disk *disk, const char *name, const void *data,
                     size_t size)
{
    int fd = open_name(disk, name, O_WRONLY | O_CREAT | O_TRUNC);

    assert_int_equal(write(fd, data, size), (ssize_t)size);
    (void)close(fd);
}

void test_disk_read(const struct test_disk *disk, const char *name,
                    struct bitcask_buffer *out)
{
    int fd = open_name(disk, name, O_RDONLY);
    size_t size = (size_t)size_of(fd);

    assert_status(bitcask_buffer_reserve(out, size), BITCASK_OK);
    assert_int_equal(read(fd, out->data, size), (ssize_t)size);
    out->size = size;
    (void)close(fd);
}

void test_disk_truncate(const struct test_disk *disk, const char *name, uint64_t size)
{
    int fd = open_name(disk, name, O_WRONLY);

    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    (void)close(fd);
}

void test_disk_flip(const struct test_disk *disk, const char *name, uint64_t offset,
                    unsigned mask)
{
    int fd = open_name(disk, name, O_RDWR);
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= (uint8_t)mask;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    (void)close(fd);
}

void test_disk_remove(const struct test_disk *disk, const char *name)
{
    char path[512];

    (void)snprintf(path, sizeof path, "%s/%s", disk->path, name);
    assert_int_equal(unlink(path), 0);
}

void test_disk_clear(const struct test_disk *disk)
{
    empty_directory(open(disk->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

void test_disk_copy_from(const struct test_disk *disk, const char *path)
{
    struct test_disk from = { .directory = BITCASK_NO_FILE };
    struct bitcask_buffer bytes = { 0 };
    struct dirent *entry;
    DIR *stream = opendir(path);

    if (stream == NULL)
        print_error("open %s: %s\n", path, strerror(errno));
    assert_non_null(stream);
    (void)snprintf(from.path, sizeof from.path, "%s", path);
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        test_disk_read(&from, entry->d_name, &bytes);
        test_disk_write(disk, entry->d_name, bytes.data, bytes.size);
    }
    bitcask_buffer_release(&bytes);
    (void)closedir(stream);
}

uint8_t *test_noise(size_t size, uint64_t seed)
{
    uint8_t *bytes = malloc(size > 0 ? size : 1);

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(seed >> 56);
    }
    return bytes;
}
