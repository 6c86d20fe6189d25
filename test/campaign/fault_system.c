/* SPDX-License-Identifier: MIT */
#include "test/campaign/fault_system.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

const char *const system_call_names[SYSTEM_CALL_COUNT] = {
    "openat",  "mkdir",     "rmdir",          "unlinkat",  "renameat",  "pread",
    "pwritev", "fdatasync", "fsync",          "ftruncate", "fallocate", "fstat",
    "mmap",    "munmap",    "madvise",        "flock",     "fdopendir", "readdir",
    "close",   "getrandom", "pthread_create",
};

enum {
    INTERRUPT_COUNT = 3
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool armed;
static int paused;
static struct system_plan plan;
static long seen;
static long failure_count;
static bool made[SYSTEM_CALL_COUNT];

void system_arm(const struct system_plan *new_plan)
{
    (void)pthread_mutex_lock(&lock);
    plan = *new_plan;
    seen = 0;
    failure_count = 0;
    armed = true;
    (void)pthread_mutex_unlock(&lock);
}

long system_disarm(void)
{
    long count;

    (void)pthread_mutex_lock(&lock);
    armed = false;
    count = failure_count;
    (void)pthread_mutex_unlock(&lock);
    return count;
}

long system_failure_count(void)
{
    long count;

    (void)pthread_mutex_lock(&lock);
    count = failure_count;
    (void)pthread_mutex_unlock(&lock);
    return count;
}

const char *system_never_made(void)
{
    const char *name = NULL;

    (void)pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < SYSTEM_CALL_COUNT && name == NULL; i++) {
        if (!made[i])
            name = system_call_names[i];
    }
    (void)pthread_mutex_unlock(&lock);
    return name;
}

void system_pause(void)
{
    (void)pthread_mutex_lock(&lock);
    paused++;
    (void)pthread_mutex_unlock(&lock);
}

void system_resume(void)
{
    (void)pthread_mutex_lock(&lock);
    paused--;
    (void)pthread_mutex_unlock(&lock);
}

enum verdict {
    PASSES,
    FAILS,
    IS_SHORT,
    DOES_NOTHING
};

/* What becomes of the call that is @past ones behind the first that is concerned. */
static enum verdict judge(long past)
{
    switch (plan.how) {
    case SYSTEM_INTERRUPTED:
        return past < INTERRUPT_COUNT ? FAILS : PASSES;
    case SYSTEM_SHORT:
        return past == 0 ? IS_SHORT : PASSES;
    case SYSTEM_SHORT_FROM:
        return IS_SHORT;
    case SYSTEM_FAILS:
        return past == 0 ? FAILS : PASSES;
    case SYSTEM_FAILS_FROM:
        return FAILS;
    case SYSTEM_STOPS:
        return past == 0 ? IS_SHORT : past == 1 ? FAILS : PASSES;
    case SYSTEM_NOTHING:
        return past == 0 ? DOES_NOTHING : PASSES;
    }
    abort();
}

static enum verdict meet(enum system_call call)
{
    enum verdict verdict = PASSES;

    (void)pthread_mutex_lock(&lock);
    made[call] = true;
    if (armed && paused == 0 && plan.call == call) {
        if (seen >= plan.skip)
            verdict = judge(seen - plan.skip);
        seen++;
    }
    if (verdict != PASSES)
        failure_count++;
    (void)pthread_mutex_unlock(&lock);
    if (verdict == FAILS)
        errno = plan.error;
    return verdict;
}

static bool fails(enum system_call call)
{
    return meet(call) != PASSES;
}

int __real_openat64(int directory, const char *name, int flags, ...);
int __real_mkdir(const char *path, mode_t mode);
int __real_rmdir(const char *path);
int __real_unlinkat(int directory, const char *name, int flags);
int __real_renameat(int from_directory, const char *from, int to_directory,
                    const char *to);
ssize_t __real_pread64(int fd, void *data, size_t size, off_t offset);
ssize_t __real_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
int __real_ftruncate64(int fd, off_t size);
int __real_fallocate64(int fd, int mode, off_t offset, off_t size);
int __real_fstat64(int fd, struct stat *about);
void *__real_mmap64(void *address, size_t size, int rights, int flags, int fd,
                    off_t offset);
int __real_munmap(void *address, size_t size);
int __real_madvise(void *address, size_t size, int advice);
int __real_flock(int fd, int operation);
DIR *__real_fdopendir(int fd);
struct dirent *__real_readdir64(DIR *stream);
int __real_close(int fd);
ssize_t __real_getrandom(void *data, size_t size, unsigned flags);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *context);

int __wrap_openat64(int directory, const char *name, int flags, ...);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_rmdir(const char *path);
int __wrap_unlinkat(int directory, const char *name, int flags);
int __wrap_renameat(int from_directory, const char *from, int to_directory,
                    const char *to);
ssize_t __wrap_pread64(int fd, void *data, size_t size, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_ftruncate64(int fd, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size)
{
    return fails(SYSTEM_FALLOCATE) ? -1 : __real_fallocate64(fd, mode, offset, size);
}

int __wrap_fstat64(int fd, struct stat *about);
void *__wrap_mmap64(void *address, size_t size, int rights, int flags, int fd,
                    off_t offset);
int __wrap_munmap(void *address, size_t size);
int __wrap_madvise(void *address, size_t size, int advice);
int __wrap_flock(int fd, int operation);
DIR *__wrap_fdopendir(int fd);
struct dirent *__wrap_readdir64(DIR *stream);
int __wrap_close(int fd);
ssize_t __wrap_getrandom(void *data, size_t size, unsigned flags);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *context);

int __wrap_openat64(int directory, const char *name, int flags, ...)
{
    va_list arguments;
    unsigned mode;

    va_start(arguments, flags);
    mode = va_arg(arguments, unsigned);
    va_end(arguments);
    return fails(SYSTEM_OPENAT) ? -1 : __real_openat64(directory, name, flags, mode);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return fails(SYSTEM_MKDIR) ? -1 : __real_mkdir(path, mode);
}

int __wrap_rmdir(const char *path)
{
    return fails(SYSTEM_RMDIR) ? -1 : __real_rmdir(path);
}

int __wrap_unlinkat(int directory, const char *name, int flags)
{
    return fails(SYSTEM_UNLINKAT) ? -1 : __real_unlinkat(directory, name, flags);
}

int __wrap_renameat(int from_directory, const char *from, int to_directory,
                    const char *to)
{
    return fails(SYSTEM_RENAMEAT)
               ? -1
               : __real_renameat(from_directory, from, to_directory, to);
}

static size_t half(size_t size)
{
    return size > 1 ? size / 2 : size;
}

ssize_t __wrap_pread64(int fd, void *data, size_t size, off_t offset)
{
    switch (meet(SYSTEM_PREAD)) {
    case FAILS:
    case DOES_NOTHING:
        return -1;
    case IS_SHORT:
        return __real_pread64(fd, data, half(size), offset);
    case PASSES:
        break;
    }
    return __real_pread64(fd, data, size, offset);
}

/* Half of the bytes, which ends anywhere in the parts. */
static ssize_t write_half(int fd, const struct iovec *parts, int count, off_t offset)
{
    struct iovec some[16];
    size_t total = 0;
    size_t left;
    int used = 0;

    for (int i = 0; i < count; i++)
        total += parts[i].iov_len;
    left = half(total);
    while (used < count && left > 0) {
        some[used] = parts[used];
        if (some[used].iov_len > left)
            some[used].iov_len = left;
        left -= some[used++].iov_len;
    }
    return __real_pwritev64(fd, some, used, offset);
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    switch (meet(SYSTEM_PWRITEV)) {
    case FAILS:
        return -1;
    case DOES_NOTHING:
        return 0;
    case IS_SHORT:
        return write_half(fd, parts, count, offset);
    case PASSES:
        break;
    }
    return __real_pwritev64(fd, parts, count, offset);
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    return fails(SYSTEM_FDATASYNC) ? -1 : 0;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return fails(SYSTEM_FSYNC) ? -1 : 0;
}

int __wrap_ftruncate64(int fd, off_t size)
{
    return fails(SYSTEM_FTRUNCATE) ? -1 : __real_ftruncate64(fd, size);
}

int __wrap_fstat64(int fd, struct stat *about)
{
    return fails(SYSTEM_FSTAT) ? -1 : __real_fstat64(fd, about);
}

void *__wrap_mmap64(void *address, size_t size, int rights, int flags, int fd,
                    off_t offset)
{
    return fails(SYSTEM_MMAP) ? MAP_FAILED
                              : __real_mmap64(address, size, rights, flags, fd, offset);
}

/* What fails here is done nevertheless, as on Linux, so that nothing leaks. */
int __wrap_munmap(void *address, size_t size)
{
    int result = __real_munmap(address, size);

    return fails(SYSTEM_MUNMAP) ? -1 : result;
}

int __wrap_madvise(void *address, size_t size, int advice)
{
    return fails(SYSTEM_MADVISE) ? -1 : __real_madvise(address, size, advice);
}

int __wrap_flock(int fd, int operation)
{
    return fails(SYSTEM_FLOCK) ? -1 : __real_flock(fd, operation);
}

DIR *__wrap_fdopendir(int fd)
{
    return fails(SYSTEM_FDOPENDIR) ? NULL : __real_fdopendir(fd);
}

struct dirent *__wrap_readdir64(DIR *stream)
{
    return fails(SYSTEM_READDIR) ? NULL : __real_readdir64(stream);
}

int __wrap_close(int fd)
{
    int result = __real_close(fd);

    return fails(SYSTEM_CLOSE) ? -1 : result;
}

ssize_t __wrap_getrandom(void *data, size_t size, unsigned flags)
{
    switch (meet(SYSTEM_GETRANDOM)) {
    case FAILS:
    case DOES_NOTHING:
        return -1;
    case IS_SHORT:
        return __real_getrandom(data, half(size), flags);
    case PASSES:
        break;
    }
    return __real_getrandom(data, size, flags);
}

/* Says what is wrong instead of setting errno. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *context)
{
    if (fails(SYSTEM_PTHREAD_CREATE))
        return EAGAIN;
    return __real_pthread_create(thread, attributes, start, context);
}
