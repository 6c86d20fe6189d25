/* SPDX-License-Identifier: MIT */
/*
 * File systems that are full, or may only be read: small ones in memory, mounted where
 * nobody else sees them. Promises 2, 6 and 8.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "test/campaign/process.h"

enum {
    STEP_MAX = 4, /* how often a disk gets full, each with two ballasts of its own */
    BALLAST_SIZE_MIN = 16 * 1024,
    BALLAST_SMALL = 100, /* names of others */
    BALLAST_REST,
    ATTEMPTS_WHEN_FULL = 20,
    /* With so much room NO_SPACE is wrong; a hint that is being written and given up,
       which only threads do meanwhile, may take the rest. */
    ROOM_SIZE = 16 * 1024,
    ROOM_SIZE_THREADED = 32 * 1024,
    ROOM_INODES = 4,
    WRITES_MAX = 20000,
    SMALL_VALUE_SIZE = 2000,
};

#define NO_SPACE PROCESS_BIT(BITCASK_NO_SPACE)
#define NOT_FOUND PROCESS_BIT(BITCASK_NOT_FOUND)

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        (void)close(fd);
    return done;
}

/* A user namespace in which this user is root: for those who are not already. */
static bool become_root_within(void)
{
    unsigned long user = (unsigned long)geteuid();
    unsigned long group = (unsigned long)getegid();
    char users[64], groups[64];

    (void)snprintf(users, sizeof users, "0 %lu 1", user);
    (void)snprintf(groups, sizeof groups, "0 %lu 1", group);
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", users) &&
           write_text("/proc/self/gid_map", groups);
}

void process_mount_base(struct process *process, const char *options)
{
    if (unshare(CLONE_NEWNS) != 0 && !become_root_within())
        process_skip(process, "no mount namespace can be had");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", process->base, "tmpfs", 0, options) != 0)
        process_skip(process, "no tmpfs can be mounted");
}

static void ballast_name(const struct process *process, unsigned number, unsigned part,
                         char name[PROCESS_PATH_SIZE + 60])
{
    (void)snprintf(name, PROCESS_PATH_SIZE + 60, "%s/ballast-%u-%u", process->base,
                   number, part);
}

/* Take @size bytes and @files inodes, or what is left; the bytes are in the first. */
static void load_ballast(struct process *process, unsigned number, size_t size,
                         unsigned files)
{
    static const char zeros[4096];
    char name[PROCESS_PATH_SIZE + 60];

    for (unsigned part = 0; part < files; part++) {
        int fd;

        ballast_name(process, number, part, name);
        fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return;
        for (size_t done = 0; part == 0 && done < size; done += sizeof zeros) {
            if (write(fd, zeros, sizeof zeros) != (ssize_t)sizeof zeros)
                break;
        }
        (void)close(fd);
    }
}

static void drop_ballast(struct process *process, unsigned number)
{
    char name[PROCESS_PATH_SIZE + 60];

    for (unsigned part = 0;; part++) {
        ballast_name(process, number, part, name);
        if (unlink(name) != 0)
            return;
    }
}

/* OK, or NO_SPACE where there is none; it says so. @status is of the last call. */
static void expect_full(struct process *process, enum bitcask_status status,
                        const struct bitcask_options *options, unsigned allowed,
                        const char *what)
{
    size_t room = options->no_background ? ROOM_SIZE : ROOM_SIZE_THREADED;
    struct statvfs disk;

    process_expect(process, status, PROCESS_OK | NO_SPACE | allowed, what);
    if (status != BITCASK_NO_SPACE)
        return;
    process_count(process, PROCESS_FULL_STATUSES);
    if (strstr(bitcask_error_detail(), strerror(ENOSPC)) == NULL)
        process_fail(process, "%s: NO_SPACE without the words of the system", what);
    if (statvfs(process->base, &disk) == 0 && disk.f_bavail * disk.f_bsize >= room &&
        (disk.f_files == 0 || disk.f_favail >= ROOM_INODES))
        process_fail(process, "%s: NO_SPACE, with %lu bytes and %lu inodes free", what,
                     (unsigned long)(disk.f_bavail * disk.f_bsize),
                     (unsigned long)disk.f_favail);
}

/* A write, on a disk that may be full; whether it was done, or needed no room. */
static bool write_or_full(struct process *process, struct bitcask *cask,
                          const struct bitcask_options *options)
{
    enum bitcask_status status = process_write(process, cask, 0);

    expect_full(process, status, options, NOT_FOUND, "a write on a disk that gets full");
    return status != BITCASK_NO_SPACE;
}

static void fill(struct process *process, struct bitcask *cask,
                 const struct bitcask_options *options)
{
    unsigned count = 0;

    while (write_or_full(process, cask, options)) {
        if (count++ == WRITES_MAX)
            process_fail(process, "a small disk does not get full");
    }
    process_check(process, cask, 0, "when the disk has just got full");
    for (int i = 0; i < ATTEMPTS_WHEN_FULL; i++)
        (void)write_or_full(process, cask, options);
    process_check(process, cask, 0, "after more attempts on a full disk");
    process_count(process, PROCESS_FULL_DISKS);
}

/* With room again, the same cask goes on. */
static void resume(struct process *process, struct bitcask *cask,
                   const struct bitcask_options *options, unsigned number,
                   uint64_t *random)
{
    drop_ballast(process, 2 * number);
    for (int i = 0; i < 3; i++)
        (void)write_or_full(process, cask, options);
    process_check(process, cask, 0, "when a full disk has room again");
    process_count(process, PROCESS_FULL_RESUMED);
    if (campaign_random_below(random, 2) == 0)
        fill(process, cask, options);
}

/* Of a disk: the seeds of its steps say which they are. */
static unsigned step_of(uint64_t seed)
{
    return (unsigned)(seed % STEP_MAX);
}

static struct bitcask_options step_options(uint64_t *random)
{
    return process_options(random, (uint64_t)4096 << campaign_random_below(random, 4));
}

static void close_full(struct process *process, struct bitcask *cask,
                       const struct bitcask_options *options)
{
    expect_full(process, bitcask_close(cask), options, 0, "a close on a full disk");
    process_count(process, PROCESS_FULL_CLOSES);
}

/* An open where there is little room; NULL if there is too little. */
static struct bitcask *open_full(struct process *process,
                                 const struct bitcask_options *options)
{
    struct bitcask *cask = NULL;
    enum bitcask_status status = bitcask_open(&cask, process->directory, options);

    expect_full(process, status, options, 0, "an open on a full disk");
    if (status != BITCASK_OK && cask != NULL)
        process_fail(process, "a failed open gives a cask");
    if (status == BITCASK_OK)
        atomic_store(&process->shared->created, true);
    return cask;
}

/* Open, fill, and end in one of three ways. */
static void fill_and_end(struct process *process, uint64_t seed)
{
    unsigned number = step_of(seed);
    struct bitcask_options options = step_options(&seed);
    struct bitcask *cask = open_full(process, &options);
    uint64_t end = campaign_random_below(&seed, 3);

    if (cask != NULL) {
        process_settle(process, cask, "what an open with some room finds");
        fill(process, cask, &options);
    }
    if (cask != NULL && end == 0)
        resume(process, cask, &options, number, &seed);
    if (cask != NULL && end != 1)
        close_full(process, cask, &options);
    else
        process_count(process, PROCESS_FULL_KILLS);
    (void)kill(getpid(), SIGKILL); /* all ends look the same to the parent */
}

/* After such an end: read it, open it full, make room, open it again. */
static void open_when_full(struct process *process, uint64_t seed)
{
    unsigned number = step_of(seed);
    struct bitcask_options options = step_options(&seed);
    struct bitcask_options read_only = { .read_only = true };
    struct bitcask *cask = NULL;

    if (atomic_load(&process->shared->created)) {
        cask = process_open(process, &read_only, "a reader on a full disk");
        process_settle(process, cask, "what a reader on a full disk finds");
        process_close(process, cask, "the close of a reader on a full disk");
    }
    cask = open_full(process, &options);
    if (cask != NULL) {
        process_check(process, cask, 0, "what an open on a full disk finds");
        for (uint64_t i = campaign_random_below(&seed, 5); i > 0; i--)
            (void)write_or_full(process, cask, &options);
        close_full(process, cask, &options);
    }

    drop_ballast(process, 2 * number);
    drop_ballast(process, 2 * number + 1);
    cask = process_open(process, &options, "an open when a full disk has room again");
    process_settle(process, cask, "what is there when a full disk has room again");
    (void)write_or_full(process, cask, &options); /* hints may have taken the room */
    process_check(process, cask, 0, "after a write when a full disk has room again");
    close_full(process, cask, &options);
}

/* A new cask where there is no room, or very little, for one. */
static void create_when_full(struct process *process, uint64_t seed)
{
    struct bitcask_options options = step_options(&seed);
    struct bitcask_options read_only = { .read_only = true };
    struct bitcask *cask;

    load_ballast(process, BALLAST_SMALL, 4096 * (size_t)campaign_random_below(&seed, 4),
                 1 + (unsigned)campaign_random_below(&seed, 4));
    load_ballast(process, BALLAST_REST, SIZE_MAX,
                 campaign_random_below(&seed, 2) == 0 ? 1 : 1000);
    drop_ballast(process, BALLAST_SMALL);
    cask = open_full(process, &options);
    process_count(process, PROCESS_FULL_CREATIONS);
    if (cask != NULL) {
        for (int i = 0; i < 10; i++)
            (void)write_or_full(process, cask, &options);
        process_check(process, cask, 0, "in a cask created on a full disk");
        close_full(process, cask, &options);
    } else {
        process_expect(process, bitcask_open(&cask, process->directory, &read_only),
                       NOT_FOUND, "a reader where creation failed");
    }
    drop_ballast(process, BALLAST_REST);
}

/* Half of a disk is ballast at first, which is given back step by step. */
static void fill_disk(struct process *process, uint64_t seed)
{
    size_t size = (size_t)64 * 1024 << campaign_random_below(&seed, 5);
    size_t steps = size / (4 * BALLAST_SIZE_MIN);
    unsigned step_count = steps < STEP_MAX ? (unsigned)steps : STEP_MAX;
    size_t ballast_size = size / 4 / step_count;
    unsigned inodes = 0;
    char options[100];

    size += 4096 * (size_t)campaign_random_below(&seed, 16);
    if (size >= 256 * 1024 && campaign_random_below(&seed, 3) == 0)
        inodes = 100 + (unsigned)campaign_random_below(&seed, 50);
    (void)snprintf(options, sizeof options, "mode=0755,size=%zu,nr_inodes=%u", size,
                   inodes);
    process_mount_base(process, options);
    process->value_size_max = SMALL_VALUE_SIZE;
    if (campaign_random_below(&seed, 2) == 0 &&
        !process_run(process, create_when_full, campaign_random(&seed), "a new cask"))
        _exit(1);
    for (unsigned i = 0; i < 2 * step_count; i++)
        load_ballast(process, i, ballast_size, inodes > 0 ? 8 : 1);

    for (unsigned i = 0; i < step_count; i++) {
        uint64_t step = campaign_random(&seed) / STEP_MAX * STEP_MAX + i;
        pid_t child = process_start(process, fill_and_end, step);

        if (!process_wait(process, child, true, "a writer on a small disk") ||
            !process_run(process, open_when_full, step, "an open on a small disk"))
            _exit(1);
    }
}

bool process_round_full_disk(struct process *process)
{
    return process_run(process, fill_disk, process->seed, "a full disk");
}

static void write_and_end(struct process *process, uint64_t seed)
{
    struct bitcask_options options = step_options(&seed);
    struct bitcask *cask = process_open(process, &options, "an open");
    bool closes = campaign_random_below(&seed, 2) == 0;

    process_write_some(process, cask, (unsigned)campaign_random_below(&seed, 200));
    if (closes)
        process_close(process, cask, "a close");
    (void)kill(getpid(), SIGKILL);
}

/* Where nothing can be written; @refusals are what an open for writing may say. */
static void look_without_writing(struct process *process, unsigned refusals,
                                 const char *when)
{
    const struct bitcask_options kinds[] = {
        { .no_mapping = false },
        { .must_exist = true },
        { .read_only = true },
        { .read_only = true, .no_mapping = true, .threads = 1 },
    };
    uint64_t before = process_fingerprint(process);

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct bitcask *cask = NULL;
        enum bitcask_status status = bitcask_open(&cask, process->directory, &kinds[i]);

        process_expect(process, status, kinds[i].read_only ? PROCESS_OK : refusals, when);
        if (status != BITCASK_OK) {
            if (cask != NULL)
                process_fail(process, "a failed open gives a cask");
            continue;
        }
        process_settle(process, cask, when);
        process_expect(process, bitcask_put(cask, bitcask_text("k"), bitcask_text("v")),
                       PROCESS_BIT(BITCASK_READ_ONLY), "a put in a read-only cask");
        process_expect(process, bitcask_delete(cask, bitcask_text("k")),
                       PROCESS_BIT(BITCASK_READ_ONLY), "a delete in a read-only cask");
        process_expect(process, bitcask_sync(cask), PROCESS_OK, "a sync");
        process_close(process, cask, when);
    }
    if (process_fingerprint(process) != before)
        process_fail(process, "%s: something has changed", when);
}

/* On a file system that may only be read, and again when it may be written. */
static void read_mounted(struct process *process, uint64_t seed)
{
    struct bitcask_options options = step_options(&seed);
    struct bitcask *cask = NULL;
    char other[PROCESS_PATH_SIZE + 10];

    if (mount(NULL, process->base, NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0)
        process_skip(process, "a tmpfs cannot be remounted");
    look_without_writing(process, PROCESS_BIT(BITCASK_READ_ONLY), "on a read-only mount");
    (void)snprintf(other, sizeof other, "%s/other", process->base);
    process_expect(process, bitcask_open(&cask, other, NULL),
                   PROCESS_BIT(BITCASK_READ_ONLY), "a creation on a read-only mount");
    process_count(process, PROCESS_READ_ONLY_MOUNTS);

    if (mount(NULL, process->base, NULL, MS_REMOUNT, NULL) != 0)
        process_skip(process, "a tmpfs cannot be remounted for writing");
    cask = process_open(process, &options, "an open after a read-only mount");
    process_check(process, cask, 0, "what is there after a read-only mount");
    process_write_some(process, cask, 5);
    process_check(process, cask, 0, "after writing after a read-only mount");
    process_close(process, cask, "a close after a read-only mount");
}

static void mount_read_only(struct process *process, uint64_t seed)
{
    process_mount_base(process, "mode=0755,size=4m");
    for (int i = 0; i < 3; i++) {
        pid_t child = process_start(process, write_and_end, campaign_random(&seed));

        if (!process_wait(process, child, true, "a writer") ||
            !process_run(process, read_mounted, campaign_random(&seed), "a reader"))
            _exit(1);
    }
}

bool process_round_read_only_mount(struct process *process)
{
    return process_run(process, mount_read_only, process->seed, "a read-only mount");
}

void process_drop_root(struct process *process)
{
    const uid_t nobody = 65534;

    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(nobody, nobody, nobody) ||
                           setresuid(nobody, nobody, nobody)))
        process_skip(process, "root cannot be given up");
    if (access(process->base, X_OK) != 0)
        process_skip(process, "nobody else can come to the directory");
}

static void read_without_rights(struct process *process, uint64_t seed)
{
    (void)seed;
    process_drop_root(process);
    look_without_writing(process, PROCESS_BIT(BITCASK_IO), "without the right to write");
    process_count(process, PROCESS_RIGHTS);
}

static void knock_without_rights(struct process *process, uint64_t seed)
{
    struct bitcask_options read_only = { .read_only = seed % 2 == 0 };
    struct bitcask *cask = NULL;

    process_drop_root(process);
    process_expect(process, bitcask_open(&cask, process->directory, &read_only),
                   PROCESS_BIT(BITCASK_IO), "an open without any right");
    if (strstr(bitcask_error_detail(), strerror(EACCES)) == NULL)
        process_fail(process, "no rights, without the words of the system");
    process_count(process, PROCESS_RIGHTS);
}

/* The modes of the cask's directory and files. */
static void change_modes(struct process *process, mode_t directory, mode_t file)
{
    DIR *stream;
    struct dirent *entry;

    (void)chmod(process->directory, 0700);
    stream = opendir(process->directory);
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] != '.')
            (void)fchmodat(dirfd(stream), entry->d_name, file, 0);
    }
    if (stream != NULL)
        (void)closedir(stream);
    (void)chmod(process->directory, directory);
}

bool process_round_rights(struct process *process)
{
    uint64_t seed = process->seed;
    pid_t child = process_start(process, write_and_end, seed);
    bool well = process_wait(process, child, true, "a writer");

    change_modes(process, 0555, 0444);
    well = well && process_run(process, read_without_rights, seed, "a reader");
    change_modes(process, 0000, 0444);
    well = well && process_run(process, knock_without_rights, seed, "no reader") &&
           process_run(process, knock_without_rights, seed + 1, "no writer");
    change_modes(process, 0700, 0644);
    return well;
}
