/* SPDX-License-Identifier: MIT */
#include "bitcask/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifndef BITCASK_VERSION
#error "the build defines BITCASK_VERSION"
#endif

/* What bitcask_error_detail() returns: a constant, or the thread's own text. */
static _Thread_local const char *detail = "";
static _Thread_local char text[BITCASK_DETAIL_SIZE];

const char *bitcask_version(void)
{
    return BITCASK_VERSION;
}

const char *bitcask_status_text(enum bitcask_status status)
{
    switch (status) {
    case BITCASK_OK:
        return "done";
    case BITCASK_NOT_FOUND:
        return "not found";
    case BITCASK_IO:
        return "input/output error";
    case BITCASK_CORRUPT:
        return "damaged data";
    case BITCASK_LOCKED:
        return "locked by another opener";
    case BITCASK_READ_ONLY:
        return "read-only";
    case BITCASK_NO_MEMORY:
        return "out of memory";
    case BITCASK_NO_SPACE:
        return "no space left";
    case BITCASK_TOO_BIG:
        return "key or value too big";
    case BITCASK_MISUSE:
        return "wrong use of the interface";
    case BITCASK_FAILED:
        return "writing has ended after a failure";
    case BITCASK_UNSUPPORTED:
        return "a newer format";
    }
    return "unknown status";
}

const char *bitcask_error_detail(void)
{
    return detail;
}

enum bitcask_status bitcask_fail_constant(enum bitcask_status status, const char *words)
{
    detail = words;
    return status;
}

/*
 * The words may quote the previous detail (a failure on the way out of a failure), so
 * they are composed aside and copied.
 */
static void compose(const char *format, va_list arguments, const char *suffix)
{
    char line[BITCASK_DETAIL_SIZE];
    int length;

    length = vsnprintf(line, sizeof line, format, arguments);
    if (length < 0)
        length = 0;
    if ((size_t)length >= sizeof line)
        length = (int)sizeof line - 1;
    line[length] = '\0';
    (void)snprintf(line + length, sizeof line - (size_t)length, "%s", suffix);
    memcpy(text, line, sizeof text);
    detail = text;
}

enum bitcask_status bitcask_fail(enum bitcask_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    compose(format, arguments, "");
    va_end(arguments);
    return status;
}

enum bitcask_status bitcask_fail_errno(enum bitcask_status status, const char *format,
                                       ...)
{
    int error = errno;
    char reason[128];
    char suffix[160];
    va_list arguments;

    if (strerror_r(error, reason, sizeof reason) != 0)
        (void)snprintf(reason, sizeof reason, "errno %d", error);
    (void)snprintf(suffix, sizeof suffix, ": %s", reason);

    va_start(arguments, format);
    compose(format, arguments, suffix);
    va_end(arguments);
    errno = error;
    return status;
}

enum bitcask_status bitcask_fail_memory(size_t size)
{
    return bitcask_fail(BITCASK_NO_MEMORY, "out of memory: %zu bytes could not be had",
                        size);
}
