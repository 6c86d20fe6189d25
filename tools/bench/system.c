/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* syncfs, nftw, madvise */
#include "system.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
    TOUCH_SIZE = 64 << 20 /* at a time */
};

static _Thread_local uint64_t disk_size; /* nftw() has no context */

/* What stands behind @name in the file at @path, without the spaces around it. */
static bool find_line(const char *path, const char *name, char *text, size_t text_size)
{
    FILE *file = fopen(path, "r");
    char line[256];
    bool found = false;

    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0) {
            char *colon = strchr(line, ':');
            const char *begin = colon != NULL ? colon + 1 : line;

            begin += strspn(begin, " \t");
            snprintf(text, text_size, "%.*s", (int)strcspn(begin, "\n"), begin);
            found = true;
        }
    fclose(file);
    return found;
}

static uint64_t kilobytes_of(const char *path, const char *name)
{
    char text[64];
    unsigned long long number = 0;

    if (!find_line(path, name, text, sizeof text) || sscanf(text, "%llu", &number) != 1)
        return 0;
    return (uint64_t)number * 1024;
}

uint64_t bench_system_anonymous(void)
{
    return kilobytes_of("/proc/self/status", "RssAnon");
}

uint64_t bench_system_busy_ns(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static int add_size(const char *path, const struct stat *status, int kind,
                    struct FTW *place)
{
    (void)path;
    (void)place;
    if (kind == FTW_F)
        disk_size += (uint64_t)status->st_blocks * 512;
    return 0;
}

uint64_t bench_system_disk(const char *path)
{
    disk_size = 0;
    nftw(path, add_size, 16, FTW_PHYS);
    return disk_size;
}

static int remove_one(const char *path, const struct stat *status, int kind,
                      struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

bool bench_system_remove(const char *path)
{
    return nftw(path, remove_one, 16, FTW_PHYS | FTW_DEPTH) == 0;
}

void bench_system_sync(const char *path)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (directory < 0)
        return;
    syncfs(directory); /* best effort: it only makes what follows less noisy */
    close(directory);
}

void bench_system_warm_memory(uint64_t size, const volatile sig_atomic_t *stop)
{
#ifdef MADV_POPULATE_WRITE
    uint64_t size_max = kilobytes_of("/proc/meminfo", "MemAvailable") / 2;
    void *memory;

    if (size > size_max)
        size = size_max;
    memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    if (memory == MAP_FAILED) /* it does without */
        return;
    (void)madvise(memory, (size_t)size, MADV_HUGEPAGE);
    for (uint64_t i = 0; i < size && !*stop; i += TOUCH_SIZE)
        (void)madvise((char *)memory + i,
                      (size_t)(size - i < TOUCH_SIZE ? size - i : TOUCH_SIZE),
                      MADV_POPULATE_WRITE);
    (void)munmap(memory, (size_t)size);
#else
    (void)size;
    (void)stop;
#endif
}

static const char *file_system_name(const char *directory)
{
    struct statfs status;

    if (statfs(directory, &status) != 0)
        return "unknown";
    switch ((unsigned long)status.f_type) {
    case 0xef53:
        return "ext4";
    case 0x01021994:
        return "tmpfs";
    case 0x58465342:
        return "xfs";
    case 0x9123683e:
        return "btrfs";
    case 0x794c7630:
        return "overlay";
    default:
        return "other";
    }
}

void bench_system_describe(struct bench_machine *machine, const char *directory)
{
    struct utsname name;
    char distribution[96] = "";
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    *machine = (struct bench_machine){ .processor = "unknown" };
    find_line("/proc/cpuinfo", "model name", machine->processor,
              sizeof machine->processor);
    machine->processor_count = count > 0 ? (unsigned)count : 1;
    machine->memory_size = kilobytes_of("/proc/meminfo", "MemTotal");
    find_line("/etc/os-release", "PRETTY_NAME", distribution, sizeof distribution);
    if (uname(&name) == 0) {
        const char *begin = strchr(distribution, '"');
        size_t size = begin != NULL ? strcspn(begin + 1, "\"") : 0;

        snprintf(machine->system, sizeof machine->system, "%s %s%s%.*s", name.sysname,
                 name.release, size > 0 ? ", " : "", (int)size,
                 begin != NULL ? begin + 1 : "");
    }
    snprintf(machine->file_system, sizeof machine->file_system, "%s",
             file_system_name(directory));
#ifdef __VERSION__
    snprintf(machine->compiler, sizeof machine->compiler,
#ifdef __clang__
             "clang " __clang_version__);
#else
             "gcc " __VERSION__);
#endif
#endif
}
