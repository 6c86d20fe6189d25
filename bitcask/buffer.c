/* SPDX-License-Identifier: MIT */
#include "bitcask/buffer.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/status.h"

struct bitcask_slice bitcask_text(const char *text)
{
    struct bitcask_slice slice = { text, text != NULL ? strlen(text) : 0 };

    return slice;
}

void bitcask_buffer_release(struct bitcask_buffer *buffer)
{
    if (buffer == NULL)
        return;
    free(buffer->data);
    memset(buffer, 0, sizeof *buffer);
}

enum bitcask_status bitcask_buffer_reserve(struct bitcask_buffer *buffer, size_t capacity)
{
    void *data;

    if (buffer->data != NULL && capacity <= buffer->capacity)
        return BITCASK_OK;
    if (capacity == SIZE_MAX)
        return bitcask_fail_memory(capacity);

    data = realloc(buffer->data, capacity + 1);
    if (data == NULL)
        return bitcask_fail_memory(capacity + 1);
    buffer->data = data;
    buffer->capacity = capacity;
    return BITCASK_OK;
}

enum bitcask_status bitcask_buffer_append(struct bitcask_buffer *buffer, const void *data,
                                          size_t size)
{
    enum bitcask_status status;
    size_t wanted;

    if (size > SIZE_MAX - buffer->size)
        return bitcask_fail_memory(SIZE_MAX);
    wanted = buffer->size + size;
    if (buffer->data == NULL || wanted > buffer->capacity) {
        size_t capacity = buffer->capacity < 64 ? 64 : buffer->capacity;

        while (capacity < wanted)
            capacity = capacity > SIZE_MAX / 2 ? wanted : capacity * 2;
        status = bitcask_buffer_reserve(buffer, capacity);
        if (status != BITCASK_OK)
            return status;
    }
    if (size > 0)
        memcpy((char *)buffer->data + buffer->size, data, size);
    buffer->size = wanted;
    return BITCASK_OK;
}
