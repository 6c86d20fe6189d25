/* SPDX-License-Identifier: MIT */
/*
 * How a failure gets its words. Every function that finds something wrong says so
 * once, at the place that knows most, and callers pass the status on untouched.
 *
 * Knows nothing of files or casks.
 */
#ifndef BITCASK_STATUS_H
#define BITCASK_STATUS_H

#include "bitcask/bitcask.h"

#if defined(__GNUC__)
#define BITCASK_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define BITCASK_PRINTF(text, first)
#endif

/* Remember the words for bitcask_error_detail() in this thread; returns @status. */
enum bitcask_status bitcask_fail(enum bitcask_status status, const char *format, ...)
    BITCASK_PRINTF(2, 3);

/*
 * The same for a constant text, without formatting: for answers like "no such key"
 * that are given millions of times a second. @detail must live for ever.
 */
enum bitcask_status bitcask_fail_constant(enum bitcask_status status, const char *detail);

/* As bitcask_fail(), with the words for errno added behind. */
enum bitcask_status bitcask_fail_errno(enum bitcask_status status, const char *format,
                                       ...) BITCASK_PRINTF(2, 3);

/* The status of a failed malloc. */
enum bitcask_status bitcask_fail_memory(size_t size);

/* What to do about damage, for the end of a detail. */
#define BITCASK_DAMAGE_ADVICE                                                           \
    "put the file back from a backup, read the rest with --salvage (options.salvage), " \
    "or run bitcask repair"

/* The longest detail that is kept, its terminator included; longer ones are cut. */
enum {
    BITCASK_DETAIL_SIZE = 768
};

#endif
