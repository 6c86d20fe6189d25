/* SPDX-License-Identifier: MIT */
#include "test/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/bitcask.h"

void fuzz_fail(const char *words, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: not so: %s; last detail: %s\n", file, line, words,
                  bitcask_error_detail());
    abort();
}

void *fuzz_allocate(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);

    if (memory == NULL)
        abort();
    return memory;
}

uint8_t *fuzz_copy(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    if (copy == NULL)
        abort();
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

bool fuzz_same(const void *one, size_t one_size, const void *other, size_t other_size)
{
    return one_size == other_size && (one_size == 0 || memcmp(one, other, one_size) == 0);
}

uint8_t fuzz_take(struct fuzz_input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->bytes++;
}

uint16_t fuzz_take16(struct fuzz_input *input)
{
    unsigned low = fuzz_take(input);

    return (uint16_t)(low | (unsigned)fuzz_take(input) << 8);
}
