/* SPDX-License-Identifier: MIT */
#include "test/campaign/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHILD_SECONDS_MAX = 120,
    EXIT_FAILED = 1,
    EXIT_SKIPPED = 77,
};

pid_t process_start(struct process *process, process_work *work, uint64_t seed)
{
    pid_t parent = getpid();
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    if (child != 0) {
        if (child < 0)
            perror("fork");
        return child;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILED);
    (void)alarm(CHILD_SECONDS_MAX);
    work(process, seed);
    _exit(EXIT_SUCCESS);
}

bool process_wait(struct process *process, pid_t child, bool killed, const char *what)
{
    struct process_shared *shared = process->shared;
    int ended = 0;

    while (child > 0 && waitpid(child, &ended, 0) < 0 && errno == EINTR)
        ;
    if (child > 0 && WIFEXITED(ended) && WEXITSTATUS(ended) == EXIT_SUCCESS && !killed)
        return true;
    if (child > 0 && WIFEXITED(ended) && WEXITSTATUS(ended) == EXIT_SKIPPED)
        return true;
    if (child > 0 && WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL && killed)
        return true;

    if (shared->words[0] != '\0') /* it has said why */
        return false;
    if (child > 0 && WIFSIGNALED(ended))
        (void)snprintf(shared->words, sizeof shared->words, "%s: ended by signal %d%s",
                       what, WTERMSIG(ended),
                       WTERMSIG(ended) == SIGALRM ? ", it hangs" : "");
    else
        (void)snprintf(shared->words, sizeof shared->words, "%s: ended with status %d",
                       what, child > 0 ? WEXITSTATUS(ended) : -1);
    return false;
}

bool process_run(struct process *process, process_work *work, uint64_t seed,
                 const char *what)
{
    return process_wait(process, process_start(process, work, seed), false, what);
}

void process_fail(struct process *process, const char *format, ...)
{
    char detail[600];
    char words[800];
    va_list arguments;

    (void)snprintf(detail, sizeof detail, "%s", bitcask_error_detail());
    va_start(arguments, format);
    (void)vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    (void)snprintf(process->shared->words, sizeof process->shared->words,
                   "%s (last detail: %s)", words, detail);
    _exit(EXIT_FAILED);
}

void process_skip(struct process *process, const char *reason)
{
    (void)snprintf(process->shared->skipped, sizeof process->shared->skipped, "%s",
                   reason);
    _exit(EXIT_SKIPPED);
}

void process_count(struct process *process, enum process_counter counter)
{
    atomic_fetch_add(&process->shared->counts[counter], 1);
}

void process_expect(struct process *process, enum bitcask_status status, unsigned allowed,
                    const char *what)
{
    if (status > BITCASK_OK || status < BITCASK_UNSUPPORTED ||
        (allowed & PROCESS_BIT(status)) == 0)
        process_fail(process, "%s says %d, %s", what, (int)status,
                     bitcask_status_text(status));
    if (status != BITCASK_OK && bitcask_error_detail()[0] == '\0')
        process_fail(process, "%s says %s without a detail", what,
                     bitcask_status_text(status));
}

void process_begin(struct process *process, uint64_t seed, const char *parent)
{
    memset(process->shared->lanes, 0, sizeof process->shared->lanes);
    atomic_store(&process->shared->created, false);
    atomic_store(&process->shared->die_at, 0);
    process->seed = seed;
    process->lane_count = 1;
    process->value_size_max = PROCESS_VALUE_SIZE_MAX;
    (void)snprintf(process->directory, sizeof process->directory, "%.500s/cask", parent);
}

struct bitcask_options process_options(uint64_t *random, uint64_t file_size_max)
{
    struct bitcask_options options = {
        .file_size_max = file_size_max,
        .no_mapping = campaign_random_below(random, 4) == 0,
        .no_background = campaign_random_below(random, 3) == 0,
        .threads = (uint32_t)campaign_random_below(random, 4),
        .sync = (enum bitcask_sync_mode)campaign_random_below(random, 4),
        .sync_interval_ms = 1 + (uint32_t)campaign_random_below(random, 20),
    };

    /* By itself practically always, or like everybody, which is never with so little. */
    if (campaign_random_below(random, 3) == 0) {
        options.merge_trigger_size = 1;
        options.merge_dead_percent = 1;
        options.merge_rate = UINT64_MAX;
    }

    return options;
}

struct bitcask *process_open(struct process *process,
                             const struct bitcask_options *options, const char *when)
{
    struct bitcask *cask = NULL;
    enum bitcask_status status = bitcask_open(&cask, process->directory, options);

    process_expect(process, status, PROCESS_OK, when);
    if (!options->read_only)
        atomic_store(&process->shared->created, true);
    return cask;
}

void process_close(struct process *process, struct bitcask *cask, const char *when)
{
    process_expect(process, bitcask_close(cask), PROCESS_OK, when);
}

static uint64_t add_file(int directory, const char *name)
{
    static uint8_t bytes[65536];
    uint64_t sum = 14695981039346656037u;
    struct stat stat;
    ssize_t got = 0;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);

    for (const char *letter = name; *letter != '\0'; letter++)
        sum = (sum ^ (uint8_t)*letter) * 1099511628211u;
    if (fd < 0 || fstat(fd, &stat) != 0)
        return sum;
    sum += (uint64_t)stat.st_size + (uint64_t)stat.st_ino * 31 +
           (uint64_t)stat.st_mtim.tv_nsec * 37 + (uint64_t)stat.st_mtim.tv_sec;
    while (S_ISREG(stat.st_mode) && (got = read(fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            sum = (sum ^ bytes[i]) * 1099511628211u;
    }
    (void)close(fd);
    return sum;
}

uint64_t process_fingerprint(struct process *process)
{
    DIR *stream = opendir(process->directory);
    struct dirent *entry;
    uint64_t sum = 0;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, "..") != 0)
            sum += add_file(dirfd(stream), entry->d_name); /* in any order */
    }
    if (stream != NULL)
        (void)closedir(stream);
    return sum;
}

void process_remove(const char *path)
{
    DIR *stream = opendir(path);
    struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        char name[PROCESS_PATH_SIZE + 260];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) != 0 && (errno == EISDIR || errno == EPERM))
            process_remove(name);
    }
    if (stream != NULL)
        (void)closedir(stream);
    (void)rmdir(path);
}
