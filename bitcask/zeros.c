/* SPDX-License-Identifier: MIT */
#include "bitcask/zeros.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/status.h"

enum {
    FIRST_SIZE = 512, /* most often there is something at once */
    STRETCH_SIZE = 256 << 10
};

size_t bitcask_zeros_count(const uint8_t *bytes, size_t size)
{
    size_t count = 0;

    while (size - count >= 8 * sizeof(uint64_t)) {
        uint64_t words[8];

        memcpy(words, bytes + count, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] |
             words[7]) != 0)
            break;
        count += sizeof words;
    }
    while (count < size && bytes[count] == 0)
        count++;
    return count;
}

/* The same from the end backwards. */
static size_t count_back(const uint8_t *bytes, size_t size)
{
    while (size >= FIRST_SIZE &&
           bitcask_zeros_count(bytes + size - FIRST_SIZE, FIRST_SIZE) == FIRST_SIZE)
        size -= FIRST_SIZE;
    while (size > 0 && bytes[size - 1] == 0)
        size--;
    return size;
}

enum bitcask_status bitcask_zeros_skip(struct bitcask_io *io, bitcask_file file,
                                       uint64_t *offset, uint64_t end, bool *found)
{
    uint8_t first[FIRST_SIZE];
    uint8_t *bytes = first;
    size_t capacity = sizeof first;
    enum bitcask_status status = BITCASK_OK;

    *found = false;
    while (*offset < end) {
        size_t wanted = end - *offset < capacity ? (size_t)(end - *offset) : capacity;
        size_t got = 0;
        size_t count;

        status = io->read(io, file, *offset, bytes, wanted, &got);
        if (status != BITCASK_OK)
            break;
        count = bitcask_zeros_count(bytes, got);
        *offset += count;
        *found = count < got;
        if (*found || got < wanted)
            break;
        if (bytes == first) {
            capacity = STRETCH_SIZE;
            bytes = malloc(capacity);
            if (bytes == NULL)
                return bitcask_fail_memory(capacity);
        }
    }
    if (bytes != first)
        free(bytes);
    return status;
}

enum bitcask_status bitcask_zeros_trim(struct bitcask_io *io, bitcask_file file,
                                       uint64_t *end)
{
    uint8_t first[FIRST_SIZE];
    uint8_t *bytes = first;
    size_t capacity = sizeof first;
    enum bitcask_status status = BITCASK_OK;

    while (*end > 0) {
        size_t wanted = *end < capacity ? (size_t)*end : capacity;
        size_t got = 0;
        size_t kept;

        status = io->read(io, file, *end - wanted, bytes, wanted, &got);
        if (status != BITCASK_OK)
            break;
        kept = count_back(bytes, got); /* what is not there any more is nothing, too */
        *end = *end - wanted + kept;
        if (kept > 0)
            break;
        if (bytes == first) {
            capacity = STRETCH_SIZE;
            bytes = malloc(capacity);
            if (bytes == NULL)
                return bitcask_fail_memory(capacity);
        }
    }
    if (bytes != first)
        free(bytes);
    return status;
}
