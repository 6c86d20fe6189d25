/* SPDX-License-Identifier: MIT */
#include "driver.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char failure[512];

bool bench_value_set(struct bench_value *value, const void *data, size_t size)
{
    if (size > value->capacity) {
        size_t capacity = size < 256 ? 256 : size + size / 2;
        void *grown = realloc(value->data, capacity);
        if (grown == NULL)
            return false;
        value->data = grown;
        value->capacity = capacity;
    }
    if (size > 0)
        memcpy(value->data, data, size);
    value->size = size;
    return true;
}

void bench_path(char *path, size_t path_size, const char *directory, const char *name)
{
    snprintf(path, path_size, "%s/%s", directory, name);
}

void bench_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof failure, format, arguments);
    va_end(arguments);
}

const char *bench_failure(void)
{
    return failure;
}
