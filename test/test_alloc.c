/* SPDX-License-Identifier: MIT */
#include "test/test_alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static _Atomic bool armed;
static _Atomic long left;
static _Atomic bool onwards;
static _Atomic long failures;
static _Atomic size_t asked_size;

static _Thread_local unsigned paused;

/* Whether the next allocation, of @size, does. */
static bool fails(size_t size)
{
    long before;

    atomic_fetch_add(&asked_size, size);
    if (!atomic_load(&armed) || paused > 0)
        return false;
    before = atomic_fetch_sub(&left, 1);
    if (before > 0 || (before < 0 && !atomic_load(&onwards)))
        return false;
    atomic_fetch_add(&failures, 1);
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails(size) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(count * size) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails(size) ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails(size) ? NULL : __real_aligned_alloc(alignment, size);
}

static void arm(long skip, bool and_onwards)
{
    atomic_store(&left, skip);
    atomic_store(&onwards, and_onwards);
    atomic_store(&failures, 0);
    atomic_store(&armed, true);
}

void test_alloc_fail(long skip)
{
    arm(skip, false);
}

void test_alloc_fail_from(long skip)
{
    arm(skip, true);
}

long test_alloc_stop(void)
{
    atomic_store(&armed, false);
    return atomic_load(&failures);
}

size_t test_alloc_size(void)
{
    return atomic_load(&asked_size);
}

void test_alloc_pause(void)
{
    paused++;
}

void test_alloc_resume(void)
{
    paused--;
}
