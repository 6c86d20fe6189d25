/* SPDX-License-Identifier: MIT */
/*
 * The real door to the operating system (bitcask/io.h) with a porter: counts what goes
 * through, fails the calls it is told to fail, and can set the clocks.
 *
 *     struct fault_io fault;
 *
 *     fault_io_init(&fault);
 *     for (long n = 0;; n++) {
 *         struct fault_plan plan = { .calls = FAULT_ANY, .skip = n };
 *
 *         fault_io_arm(&fault, &plan);
 *         status = what_is_tested(&fault.io);
 *         fault_io_disarm(&fault);
 *         assert_int_equal(fault_io_open_count(&fault), 0);
 *         if (fault_io_failure_count(&fault) == 0)
 *             break; (the n-th call was never reached: that was a whole run)
 *         (say here what must hold after a failure)
 *     }
 *     fault_io_release(&fault);
 *
 * Several threads may use one at a time; arm and disarm while none does.
 */
#ifndef TEST_FAULT_IO_H
#define TEST_FAULT_IO_H

#include <pthread.h>
#include <stdatomic.h>

#include "bitcask/io.h"

/* The calls that can fail. */
enum fault_call {
    FAULT_DIRECTORY_CREATE,
    FAULT_DIRECTORY_OPEN,
    FAULT_DIRECTORY_OPEN_IN,
    FAULT_DIRECTORY_LIST,
    FAULT_DIRECTORY_SYNC,
    FAULT_DIRECTORY_SYNC_PARENT,
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_SIZE,
    FAULT_TRUNCATE,
    FAULT_ALLOCATE,
    FAULT_MAP,
    FAULT_LOCK,
    FAULT_RENAME,
    FAULT_MOVE,
    FAULT_REMOVE,
    FAULT_RANDOM,
    FAULT_CALL_COUNT
};

#define FAULT_BIT(call) (1u << (call))
#define FAULT_ANY (FAULT_BIT(FAULT_CALL_COUNT) - 1)
#define FAULT_FOREVER (-1)

/* Which calls fail, and how. Zero is the default, and the comment says which. */
struct fault_plan {
    unsigned calls;             /* FAULT_BIT()s: only these count, and fail; 0: none */
    long skip;                  /* so many of them go through first */
    long count;                 /* then so many fail: 0 is one, or FAULT_FOREVER */
    enum bitcask_status status; /* BITCASK_OK is BITCASK_IO */
    int error;                  /* errno; 0 is EIO */
    size_t partial_size; /* a write that fails writes so many bytes before it does */
};

/* Called before each call, that is to fail or not, without any lock. */
typedef void fault_hook(enum fault_call call, void *context);

struct fault_io {
    struct bitcask_io io; /* first, so that an io is a fault_io */

    /* To be set while no other thread uses it. */
    fault_hook *before; /* NULL: none */
    void *before_context;

    bool no_allocate; /* as on a file system that cannot: all appends are writes */

    /* 0: the real clock. Sleeping moves a clock that was set, and takes no time. */
    _Atomic uint64_t wall_ms;
    _Atomic uint64_t monotonic_ms;
    /* 0: real chance. Else random bytes follow from it; it changes with each call. */
    uint64_t random_state;

    pthread_mutex_t lock; /* of everything below */
    struct fault_plan plan;
    long failure_count; /* since the plan was armed */
    long counts[FAULT_CALL_COUNT];
    long open_count;
    long map_count;
};

void fault_io_init(struct fault_io *fault);
/* Asserts nothing: see fault_io_open_count(). */
void fault_io_release(struct fault_io *fault);

/* Follow @plan, which is copied, from the next call on; forget the one before. */
void fault_io_arm(struct fault_io *fault, const struct fault_plan *plan);
void fault_io_disarm(struct fault_io *fault);

/* How many calls have failed by the last plan. */
long fault_io_failure_count(struct fault_io *fault);
/* How many calls there have been, failed ones included. */
long fault_io_count(struct fault_io *fault, enum fault_call call);
/* Files and directories that are open, and mappings; a test ends with none. */
long fault_io_open_count(struct fault_io *fault);
long fault_io_map_count(struct fault_io *fault);

#endif
