/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the system was asked to bring to the disk, and how often. */
static struct {
    unsigned count;
    bool with_metadata;
    struct stat about;
} synced;

static void note_sync(int fd, bool with_metadata)
{
    synced.count++;
    synced.with_metadata = with_metadata;
    if (fstat(fd, &synced.about) != 0)
        memset(&synced.about, 0, sizeof synced.about);
}

/* These come before those of the C library, for the library as well. */
int fsync(int fd)
{
    note_sync(fd, true);
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    note_sync(fd, false);
    return (int)syscall(SYS_fdatasync, fd);
}

/* The real door, through the one that counts what is open. */
static bitcask_file open_file(struct test_disk *disk, const char *name,
                              enum bitcask_io_mode mode)
{
    bitcask_file file = BITCASK_NO_FILE;

    assert_status(disk->io->open(disk->io, disk->directory, name, mode, &file),
                  BITCASK_OK);
    assert_true(file >= 0);
    return file;
}

static enum bitcask_status try_open(struct test_disk *disk, const char *name,
                                    enum bitcask_io_mode mode)
{
    bitcask_file file = 4711;
    enum bitcask_status status;

    errno = 0;
    status = disk->io->open(disk->io, disk->directory, name, mode, &file);
    if (status == BITCASK_OK) {
        disk->io->close(disk->io, file);
    } else {
        assert_int_not_equal(errno, 0);
        assert_int_equal(file, 4711);
    }
    return status;
}

static void modes_create_empty_and_keep_as_they_say(void **state)
{
    static const struct {
        enum bitcask_io_mode mode;
        enum bitcask_status missing;
        uint64_t size_after; /* of a file of three bytes */
    } cases[] = {
        { BITCASK_IO_READ, BITCASK_NOT_FOUND, 3 },
        { BITCASK_IO_WRITE, BITCASK_NOT_FOUND, 3 },
        { BITCASK_IO_CREATE, BITCASK_OK, 0 },
        { BITCASK_IO_LOCK, BITCASK_OK, 3 },
    };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        assert_status(try_open(disk, "file", cases[i].mode), cases[i].missing);
        assert_int_equal(test_disk_count(disk), cases[i].missing == BITCASK_OK);
        test_disk_write(disk, "file", "abc", 3);
        assert_status(try_open(disk, "file", cases[i].mode), BITCASK_OK);
        assert_int_equal(test_disk_size(disk, "file"), cases[i].size_after);
        test_disk_remove(disk, "file");
    }
}

static void what_is_no_file_is_an_error(void **state)
{
    struct test_disk *disk = *state;
    char path[300];

    (void)snprintf(path, sizeof path, "%s/directory", disk->path);
    assert_int_equal(mkdir(path, 0777), 0);
    (void)snprintf(path, sizeof path, "%s/fifo", disk->path);
    assert_int_equal(mkfifo(path, 0666), 0);
    (void)snprintf(path, sizeof path, "%s/dangling", disk->path);
    assert_int_equal(symlink("nowhere/at/all", path), 0);
    for (int mode = BITCASK_IO_READ; mode <= BITCASK_IO_LOCK; mode++) {
        assert_status(try_open(disk, "directory", (enum bitcask_io_mode)mode),
                      BITCASK_IO);
        assert_status(try_open(disk, "fifo", (enum bitcask_io_mode)mode), BITCASK_IO);
    }
    assert_status(try_open(disk, "dangling", BITCASK_IO_CREATE), BITCASK_IO);
}

static void writes_gather_parts_at_any_offset(void **state)
{
    const struct bitcask_slice parts[] = {
        { "", 0 },     { "ab", 2 }, { NULL, 0 }, { "c", 1 },
        { "defg", 4 }, { "", 0 },   { "h", 1 },  { "i", 1 },
    };
    struct test_disk *disk = *state;
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);
    char bytes[32];
    size_t got = 99;

    assert_int_equal(LENGTH_OF(parts), BITCASK_IO_PARTS_MAX);
    assert_status(disk->io->write(disk->io, file, 0, parts, LENGTH_OF(parts)),
                  BITCASK_OK);
    assert_status(disk->io->write(disk->io, file, 12, parts + 3, 2), BITCASK_OK);
    assert_status(disk->io->write(disk->io, file, 1, parts + 3, 1), BITCASK_OK);
    assert_status(disk->io->write(disk->io, file, 50, parts, 1),
                  BITCASK_OK); /* nothing */
    assert_status(disk->io->write(disk->io, file, 50, parts, 0), BITCASK_OK);
    assert_status(disk->io->read(disk->io, file, 0, bytes, sizeof bytes, &got),
                  BITCASK_OK);
    assert_int_equal(got, 17);
    assert_memory_equal(bytes, "accdefghi\0\0\0cdefg", 17);
    disk->io->close(disk->io, file);
}

static void a_read_is_short_only_at_the_end(void **state)
{
    struct test_disk *disk = *state;
    bitcask_file file;
    char bytes[8];
    size_t got;

    test_disk_write(disk, "file", "abcde", 5);
    file = open_file(disk, "file", BITCASK_IO_READ);
    for (uint64_t offset = 0; offset < 10; offset++) {
        for (size_t size = 0; size <= sizeof bytes; size++) {
            size_t left = offset < 5 ? 5 - (size_t)offset : 0;

            got = 99;
            assert_status(disk->io->read(disk->io, file, offset, bytes, size, &got),
                          BITCASK_OK);
            assert_int_equal(got, size < left ? size : left);
            assert_memory_equal(bytes, &"abcde"[offset < 5 ? offset : 5], got);
        }
    }
    disk->io->close(disk->io, file);
}

static void errors_of_files_are_errors(void **state)
{
    const struct bitcask_slice part = { "x", 1 };
    struct test_disk *disk = *state;
    bitcask_file file;
    uint64_t size;
    size_t got;
    char byte;

    test_disk_write(disk, "file", "abc", 3);
    file = open_file(disk, "file", BITCASK_IO_READ);
    assert_status(disk->io->write(disk->io, file, 0, &part, 1), BITCASK_IO);
    assert_status(disk->io->truncate(disk->io, file, 1), BITCASK_IO);
    assert_status(disk->io->read(disk->io, disk->directory, 0, &byte, 1, &got),
                  BITCASK_IO);
    disk->io->close(disk->io, file);
    errno = 0;
    assert_status(bitcask_io_posix()->size(bitcask_io_posix(), 1000000, &size),
                  BITCASK_IO);
    assert_int_equal(errno, EBADF);
    assert_status(bitcask_io_posix()->sync(bitcask_io_posix(), 1000000), BITCASK_IO);
    assert_int_equal(test_disk_size(disk, "file"), 3);
}

/* A limit on the size of files stands for a disk that fills up in the middle. */
static void a_write_that_does_not_fit_is_an_error(void **state)
{
    struct test_disk *disk = *state;
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);
    const struct bitcask_slice parts[] = { { "0123456789", 10 }, { "abcdefghij", 10 } };
    struct rlimit before, low;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    enum bitcask_status status;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = before;
    low.rlim_cur = 15;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    status = disk->io->write(disk->io, file, 0, parts, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_status(status, BITCASK_IO); /* EFBIG is nothing that space would mend */
    disk->io->close(disk->io, file);
    assert_int_equal(test_disk_size(disk, "file"), 15);
}

/* That there was one sync since the last question, and of what. */
static void assert_synced(const struct stat *wanted, bool with_metadata)
{
    assert_int_equal(synced.count, 1);
    assert_int_equal(synced.with_metadata, with_metadata);
    assert_true(synced.about.st_dev == wanted->st_dev);
    assert_true(synced.about.st_ino == wanted->st_ino);
    synced.count = 0;
}

static void what_is_to_be_synced_reaches_the_system(void **state)
{
    struct test_disk *disk = *state;
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);
    struct stat about;

    synced.count = 0;
    assert_status(disk->io->sync(disk->io, file), BITCASK_OK);
    assert_int_equal(fstat(file, &about), 0);
    assert_synced(&about, false);

    assert_status(disk->io->directory_sync(disk->io, disk->directory), BITCASK_OK);
    assert_int_equal(fstat(disk->directory, &about), 0);
    assert_synced(&about, true);

    assert_status(disk->io->directory_sync_parent(disk->io, disk->directory), BITCASK_OK);
    assert_int_equal(fstatat(disk->directory, "..", &about, 0), 0);
    assert_synced(&about, true);
    disk->io->close(disk->io, file);
}

static void sizes_and_truncation_agree(void **state)
{
    static const uint64_t sizes[] = { 0, 1, 4096, 10, UINT64_C(5) << 32 };
    struct test_disk *disk = *state;
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);

    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        uint64_t size = 99;

        assert_status(disk->io->truncate(disk->io, file, sizes[i]), BITCASK_OK);
        assert_status(disk->io->size(disk->io, file, &size), BITCASK_OK);
        assert_int_equal(size, sizes[i]);
        assert_status(disk->io->sync(disk->io, file), BITCASK_OK);
    }
    disk->io->close(disk->io, file);
}

static void a_mapping_shows_what_is_written_later(void **state)
{
    const struct bitcask_slice part = { "hello", 5 };
    struct test_disk *disk = *state;
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);
    const uint8_t *map = NULL;

    assert_status(disk->io->map(disk->io, file, 0, 1 << 20, BITCASK_IO_LOAD, &map),
                  BITCASK_OK);
    assert_status(disk->io->write(disk->io, file, 5000, &part, 1), BITCASK_OK);
    assert_memory_equal(map + 5000, "hello", 5);
    disk->io->close(disk->io, file);
    assert_memory_equal(map + 5000, "hello", 5); /* it needs no open file */
    disk->io->unmap(disk->io, map, 1 << 20);
}

static void what_is_stored_in_a_mapping_is_in_the_file(void **state)
{
    const struct bitcask_slice part = { "hello", 5 };
    struct test_disk *disk = *state;
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);
    const uint8_t *map = NULL;
    char bytes[5];
    size_t got = 0;

    assert_status(disk->io->write(disk->io, file, 0, &part, 1), BITCASK_OK);
    assert_status(disk->io->map(disk->io, file, 0, 4096, BITCASK_IO_STORE, &map),
                  BITCASK_OK);
    disk->io->store(disk->io, map + 1, "ipp", 3);
    assert_status(disk->io->read(disk->io, file, 0, bytes, 5, &got), BITCASK_OK);
    assert_int_equal(got, 5);
    assert_memory_equal(bytes, "hippo", 5);
    disk->io->unmap(disk->io, map, 4096);
    disk->io->close(disk->io, file);
}

static void what_is_allocated_is_zero_and_can_be_stored_to(void **state)
{
    const struct bitcask_slice part = { "hello", 5 };
    struct test_disk *disk = *state;
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);
    const uint8_t *map = NULL;
    uint8_t bytes[16];
    uint64_t size = 0;
    size_t got = 0;
    enum bitcask_status status;

    assert_status(disk->io->write(disk->io, file, 0, &part, 1), BITCASK_OK);
    status = disk->io->allocate(disk->io, file, 4, 100000);
    if (status == BITCASK_UNSUPPORTED) { /* this file system has none */
        disk->io->close(disk->io, file);
        skip();
    }
    assert_status(status, BITCASK_OK);
    assert_status(disk->io->size(disk->io, file, &size), BITCASK_OK);
    assert_int_equal(size, 100004);
    assert_status(disk->io->read(disk->io, file, 0, bytes, 16, &got), BITCASK_OK);
    assert_memory_equal(bytes, "hello\0\0\0\0\0\0\0\0\0\0\0", 16);

    /* From any offset, page or not. */
    assert_status(disk->io->map(disk->io, file, 50001, 50003, BITCASK_IO_STORE, &map),
                  BITCASK_OK);
    disk->io->store(disk->io, map + 50000, "end", 3);
    disk->io->unmap(disk->io, map, 50003);
    assert_status(disk->io->read(disk->io, file, 100000, bytes, 16, &got), BITCASK_OK);
    assert_int_equal(got, 4);
    assert_memory_equal(bytes, "\0end", 4);

    /* Allocating what is there changes nothing. */
    assert_status(disk->io->allocate(disk->io, file, 0, 4096), BITCASK_OK);
    assert_status(disk->io->size(disk->io, file, &size), BITCASK_OK);
    assert_int_equal(size, 100004);
    disk->io->close(disk->io, file);
}

/* What the library relies on for that; not every kernel, and no emulator, has it. */
static bool pages_behind_the_end_are_noticed(bitcask_file file)
{
    bool noticed = false;

#ifdef MADV_POPULATE_WRITE
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

    assert_true(map != MAP_FAILED);
    noticed = madvise(map, 4096, MADV_POPULATE_WRITE) != 0 && errno != EINVAL;
    assert_int_equal(munmap(map, 4096), 0);
#else
    (void)file;
#endif
    return noticed;
}

static void pages_behind_the_end_are_an_error_and_no_signal(void **state)
{
    struct test_disk *disk = *state;
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);
    bool noticed = pages_behind_the_end_are_noticed(file);
    const uint8_t *map = NULL;

    if (noticed)
        assert_status(disk->io->map(disk->io, file, 0, 1 << 20, BITCASK_IO_STORE, &map),
                      BITCASK_IO);
    disk->io->close(disk->io, file);
    if (!noticed) {
        puts("skipped: madvise() does not notice pages behind the end here");
        skip();
    }
}

static void a_lock_keeps_others_out_until_it_is_closed(void **state)
{
    struct test_disk *disk = *state;
    bitcask_file first = open_file(disk, "LOCK", BITCASK_IO_LOCK);
    bitcask_file second = open_file(disk, "LOCK", BITCASK_IO_LOCK);
    int told;
    pid_t child;

    assert_status(disk->io->lock(disk->io, first), BITCASK_OK);
    assert_status(disk->io->lock(disk->io, second), BITCASK_LOCKED);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* another process, with a file of its own */
        bitcask_file third = BITCASK_NO_FILE;
        struct bitcask_io *io = bitcask_io_posix();

        (void)io->open(io, disk->directory, "LOCK", BITCASK_IO_LOCK, &third);
        _exit(io->lock(io, third) == BITCASK_LOCKED ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &told, 0), child);
    assert_true(WIFEXITED(told) && WEXITSTATUS(told) == 0);

    disk->io->close(disk->io, first);
    assert_status(disk->io->lock(disk->io, second), BITCASK_OK);
    disk->io->close(disk->io, second);
}

static void names_are_renamed_and_removed(void **state)
{
    struct test_disk *disk = *state;

    assert_status(disk->io->remove(disk->io, disk->directory, "a"), BITCASK_NOT_FOUND);
    assert_status(disk->io->rename(disk->io, disk->directory, "a", "b"), BITCASK_IO);
    test_disk_write(disk, "a", "new", 3);
    test_disk_write(disk, "b", "older", 5);
    assert_status(disk->io->rename(disk->io, disk->directory, "a", "b"), BITCASK_OK);
    assert_int_equal(test_disk_count(disk), 1);
    assert_int_equal(test_disk_size(disk, "b"), 3);
    assert_status(disk->io->directory_sync(disk->io, disk->directory), BITCASK_OK);
    assert_status(disk->io->directory_sync_parent(disk->io, disk->directory), BITCASK_OK);
    assert_status(disk->io->remove(disk->io, disk->directory, "b"), BITCASK_OK);
    assert_int_equal(test_disk_count(disk), 0);
}

/* What a visit has seen: names, each with a slash behind. */
struct seen {
    char names[100];
    int stop_after;
};

static enum bitcask_status see(const char *name, void *context)
{
    struct seen *seen = context;

    (void)strcat(strcat(seen->names, name), "/");
    return --seen->stop_after == 0 ? BITCASK_CORRUPT : BITCASK_OK;
}

static void a_listing_has_every_name_each_time(void **state)
{
    static const char *const names[] = { "MANIFEST", ".hidden", "0000000001.data" };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(names); i++)
        test_disk_write(disk, names[i], "", 0);
    for (int round = 0; round < 3; round++) {
        struct seen seen = { .names = "" };
        size_t length = 0;

        assert_status(disk->io->directory_list(disk->io, disk->directory, see, &seen),
                      BITCASK_OK);
        for (size_t i = 0; i < LENGTH_OF(names); i++) {
            assert_non_null(strstr(seen.names, names[i]));
            length += strlen(names[i]) + 1;
        }
        assert_int_equal(strlen(seen.names), length);
        seen.names[0] = '\0';
        seen.stop_after = 1;
        assert_status(disk->io->directory_list(disk->io, disk->directory, see, &seen),
                      BITCASK_CORRUPT);
        assert_ptr_equal(strchr(seen.names, '/') + 1,
                         seen.names + strlen(seen.names)); /* one name */
    }
}

static void directories_are_created_and_opened(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_io *io = disk->io;
    bitcask_file directory = BITCASK_NO_FILE;
    char path[300], below[320];

    (void)snprintf(path, sizeof path, "%s/new", disk->path);
    (void)snprintf(below, sizeof below, "%s/below", path);
    assert_status(io->directory_open(io, path, &directory), BITCASK_NOT_FOUND);
    assert_status(io->directory_create(io, below), BITCASK_NOT_FOUND);
    assert_status(io->directory_create(io, path), BITCASK_OK);
    assert_status(io->directory_create(io, path), BITCASK_IO);
    assert_status(io->directory_create(io, below), BITCASK_OK);
    assert_status(io->directory_open(io, path, &directory), BITCASK_OK);
    io->close(io, directory);
    test_disk_write(disk, "file", "", 0);
    (void)snprintf(path, sizeof path, "%s/file", disk->path);
    assert_status(io->directory_open(io, path, &directory), BITCASK_IO);
}

static void a_directory_in_a_directory_is_made_if_asked_for(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_io *io = disk->io;
    bitcask_file directory = 4711, file;
    char path[300];

    assert_status(io->directory_open_in(io, disk->directory, "in", false, &directory),
                  BITCASK_NOT_FOUND);
    assert_int_equal(directory, 4711);
    assert_false(test_disk_has(disk, "in"));
    for (int round = 0; round < 2; round++) {
        assert_status(
            io->directory_open_in(io, disk->directory, "in", round == 0, &directory),
            BITCASK_OK);
        assert_true((fcntl(directory, F_GETFD) & FD_CLOEXEC) != 0);
        assert_status(io->open(io, directory, "file", BITCASK_IO_LOCK, &file),
                      BITCASK_OK);
        io->close(io, file);
        io->close(io, directory);
        assert_true(test_disk_has(disk, "in/file"));
    }

    test_disk_write(disk, "file", "", 0);
    (void)snprintf(path, sizeof path, "%s/link", disk->path);
    assert_int_equal(symlink("in", path), 0);
    for (int create = 0; create < 2; create++) {
        assert_status(
            io->directory_open_in(io, disk->directory, "file", create == 1, &directory),
            BITCASK_IO);
        assert_status(
            io->directory_open_in(io, disk->directory, "link", create == 1, &directory),
            BITCASK_IO);
    }
}

static void files_move_from_one_directory_to_another(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_io *io = disk->io;
    bitcask_file directory = BITCASK_NO_FILE;

    assert_status(io->directory_open_in(io, disk->directory, "in", true, &directory),
                  BITCASK_OK);
    assert_status(io->move(io, disk->directory, "a", directory, "b"), BITCASK_NOT_FOUND);
    test_disk_write(disk, "a", "new", 3);
    test_disk_write(disk, "in/b", "older", 5);
    assert_status(io->move(io, disk->directory, "a", directory, "b"), BITCASK_OK);
    assert_false(test_disk_has(disk, "a"));
    assert_int_equal(test_disk_size(disk, "in/b"), 3);
    assert_status(io->directory_sync(io, directory), BITCASK_OK);
    assert_status(io->directory_sync(io, disk->directory), BITCASK_OK);
    assert_status(io->move(io, directory, "b", disk->directory, "a"), BITCASK_OK);
    assert_int_equal(test_disk_size(disk, "a"), 3);
    assert_false(test_disk_has(disk, "in/b"));
    io->close(io, directory);
}

/* Paths are those of the directory that was opened, wherever it, or we, may go. */
static void a_directory_may_move_and_so_may_we(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_io *io = disk->io;
    bitcask_file directory = BITCASK_NO_FILE, file = BITCASK_NO_FILE;
    int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char path[300], moved[300];

    (void)snprintf(path, sizeof path, "%s/here", disk->path);
    (void)snprintf(moved, sizeof moved, "%s/there", disk->path);
    assert_status(io->directory_create(io, path), BITCASK_OK);
    assert_int_equal(chdir(disk->path), 0);
    assert_status(io->directory_open(io, "here", &directory), BITCASK_OK);
    assert_int_equal(fchdir(home), 0);
    (void)close(home);
    assert_int_equal(rename(path, moved), 0);
    assert_status(io->open(io, directory, "file", BITCASK_IO_CREATE, &file), BITCASK_OK);
    io->close(io, file);
    io->close(io, directory);
    (void)strcat(moved, "/file");
    assert_int_equal(access(moved, F_OK), 0);
}

static void no_handle_is_left_to_other_programs(void **state)
{
    struct test_disk *disk = *state;
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);

    assert_true((fcntl(file, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(disk->directory, F_GETFD) & FD_CLOEXEC) != 0);
    disk->io->close(disk->io, file);
}

static void closing_leaves_errno_alone(void **state)
{
    struct test_disk *disk = *state;
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);

    errno = ENOSPC;
    disk->io->close(disk->io, file);
    assert_int_equal(errno, ENOSPC);
}

/* Also where `long` has 32 bits: a file of another time would be no file. */
static void no_time_is_too_late_for_a_file(void **state)
{
    struct test_disk *disk = *state;
    const time_t late = (time_t)INT64_C(4102444800); /* 2100 */
    const struct timespec times[] = { { .tv_sec = late }, { .tv_sec = late } };
    bitcask_file file = open_file(disk, "file", BITCASK_IO_CREATE);
    struct stat about;
    uint64_t size = 0;

    assert_true(sizeof late == sizeof(int64_t));
    assert_int_equal(futimens(file, times), 0);
    assert_int_equal(fstat(file, &about), 0);
    assert_true(about.st_mtime == late);
    assert_status(disk->io->size(disk->io, file, &size), BITCASK_OK);
    disk->io->close(disk->io, file);
    assert_status(try_open(disk, "file", BITCASK_IO_WRITE), BITCASK_OK);
}

static void clocks_and_chance_work(void **state)
{
    struct bitcask_io *io = bitcask_io_posix();
    uint64_t before = io->monotonic_ms(io);
    uint8_t first[64] = { 0 }, second[64] = { 0 };

    (void)state;
    io->sleep_ms(io, 30);
    assert_true(io->monotonic_ms(io) > before);
    assert_true(io->wall_ms(io) > UINT64_C(1600000000000)); /* 2020 is over */
    assert_int_equal(io->process_id(io), getpid());
    assert_status(io->random(io, first, sizeof first), BITCASK_OK);
    assert_status(io->random(io, second, sizeof second), BITCASK_OK);
    assert_memory_not_equal(first, second, sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(modes_create_empty_and_keep_as_they_say),
        disk_test(what_is_no_file_is_an_error),
        disk_test(writes_gather_parts_at_any_offset),
        disk_test(a_read_is_short_only_at_the_end),
        disk_test(errors_of_files_are_errors),
        disk_test(a_write_that_does_not_fit_is_an_error),
        disk_test(what_is_to_be_synced_reaches_the_system),
        disk_test(sizes_and_truncation_agree),
        disk_test(a_mapping_shows_what_is_written_later),
        disk_test(what_is_stored_in_a_mapping_is_in_the_file),
        disk_test(what_is_allocated_is_zero_and_can_be_stored_to),
        disk_test(pages_behind_the_end_are_an_error_and_no_signal),
        disk_test(a_lock_keeps_others_out_until_it_is_closed),
        disk_test(names_are_renamed_and_removed),
        disk_test(a_listing_has_every_name_each_time),
        disk_test(directories_are_created_and_opened),
        disk_test(a_directory_in_a_directory_is_made_if_asked_for),
        disk_test(files_move_from_one_directory_to_another),
        disk_test(a_directory_may_move_and_so_may_we),
        disk_test(no_handle_is_left_to_other_programs),
        disk_test(closing_leaves_errno_alone),
        disk_test(no_time_is_too_late_for_a_file),
        cmocka_unit_test(clocks_and_chance_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
