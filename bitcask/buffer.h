/* SPDX-License-Identifier: MIT */
/*
 * Owned bytes that grow: the inside of the public struct bitcask_buffer.
 *
 * One byte more than the capacity is always allocated, for the zero byte that
 * bitcask_get() promises behind a value.
 */
#ifndef BITCASK_BUFFER_H
#define BITCASK_BUFFER_H

#include "bitcask/bitcask.h"

/*
 * Make room for @capacity bytes in all, keeping the content. On
 * BITCASK_NO_MEMORY the buffer is as it was.
 */
enum bitcask_status bitcask_buffer_reserve(struct bitcask_buffer *buffer,
                                           size_t capacity);

/* Add @size bytes behind the content; growth is geometric. */
enum bitcask_status bitcask_buffer_append(struct bitcask_buffer *buffer, const void *data,
                                          size_t size);

#endif
