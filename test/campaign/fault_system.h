/* SPDX-License-Identifier: MIT */
/*
 * The calls of libc that io_posix.c and the threads of the library make, failing on
 * demand. The program is linked with --wrap for each of them.
 *
 * Nothing here really syncs: what a sync did is not looked at on real files.
 */
#ifndef TEST_CAMPAIGN_FAULT_SYSTEM_H
#define TEST_CAMPAIGN_FAULT_SYSTEM_H

#include <stdbool.h>

enum system_call {
    SYSTEM_OPENAT,
    SYSTEM_MKDIR,
    SYSTEM_RMDIR,
    SYSTEM_UNLINKAT,
    SYSTEM_RENAMEAT,
    SYSTEM_PREAD,
    SYSTEM_PWRITEV,
    SYSTEM_FDATASYNC,
    SYSTEM_FSYNC,
    SYSTEM_FTRUNCATE,
    SYSTEM_FALLOCATE,
    SYSTEM_FSTAT,
    SYSTEM_MMAP,
    SYSTEM_MUNMAP,
    SYSTEM_MADVISE,
    SYSTEM_FLOCK,
    SYSTEM_FDOPENDIR,
    SYSTEM_READDIR,
    SYSTEM_CLOSE,
    SYSTEM_GETRANDOM,
    SYSTEM_PTHREAD_CREATE,
    SYSTEM_CALL_COUNT
};

extern const char *const system_call_names[SYSTEM_CALL_COUNT];

/* What happens to a call. Those who wait for it need not notice the first three. */
enum system_how {
    SYSTEM_INTERRUPTED, /* EINTR, three times in a row */
    SYSTEM_SHORT,       /* it does half of what it should */
    SYSTEM_SHORT_FROM,  /* and from then on */
    SYSTEM_FAILS,       /* once */
    SYSTEM_FAILS_FROM,  /* from then on */
    SYSTEM_STOPS,       /* it does half of what it should, and fails when tried again */
    SYSTEM_NOTHING      /* it does nothing and says so */
};

struct system_plan {
    enum system_call call;
    enum system_how how;
    int error; /* errno */
    long skip; /* so many calls go through first */
};

void system_arm(const struct system_plan *plan);
/* No more failures; how many there have been. */
long system_disarm(void);
/* How many so far. */
long system_failure_count(void);

/*
 * A call that has not come here since the beginning, or NULL. It may be known to the
 * linker by another name on this machine.
 */
const char *system_never_made(void);

/* Between the two nothing counts or fails. One thread at a time. */
void system_pause(void);
void system_resume(void);

#endif
