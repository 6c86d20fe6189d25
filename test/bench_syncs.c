/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* RWF_DSYNC */
#include "test/bench_syncs.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_uint syncs;

unsigned bench_sync_count(void)
{
    return atomic_load(&syncs);
}

int fsync(int file)
{
    atomic_fetch_add(&syncs, 1);
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file)
{
    atomic_fetch_add(&syncs, 1);
    return (int)syscall(SYS_fdatasync, file);
}

int msync(void *start, size_t size, int flags)
{
    if (flags & MS_SYNC)
        atomic_fetch_add(&syncs, 1);
    return (int)syscall(SYS_msync, start, size, flags);
}

ssize_t pwritev2(int file, const struct iovec *parts, int count, off_t offset, int flags)
{
    if (flags & (RWF_DSYNC | RWF_SYNC))
        atomic_fetch_add(&syncs, 1);
    return syscall(SYS_pwritev2, file, parts, count, offset, 0, flags);
}
