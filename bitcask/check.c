/* SPDX-License-Identifier: MIT */
#include "bitcask/check.h"

#include "bitcask/status.h"

enum bitcask_status bitcask_check_key(struct bitcask_slice key)
{
    if (key.size == 0)
        return bitcask_fail_constant(BITCASK_MISUSE, "the key is empty");
    if (key.data == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the key is NULL");
    if (key.size > BITCASK_KEY_SIZE_MAX)
        return bitcask_fail(BITCASK_TOO_BIG, "the key has %zu bytes, at most %d can be",
                            key.size, BITCASK_KEY_SIZE_MAX);
    return BITCASK_OK;
}

enum bitcask_status bitcask_check_value(struct bitcask_slice value)
{
    if (value.data == NULL && value.size > 0)
        return bitcask_fail_constant(BITCASK_MISUSE, "the value is NULL");
    if (value.size > BITCASK_VALUE_SIZE_MAX)
        return bitcask_fail(BITCASK_TOO_BIG, "the value has %zu bytes, at most %d can be",
                            value.size, BITCASK_VALUE_SIZE_MAX);
    return BITCASK_OK;
}

enum bitcask_status bitcask_fail_no_such_key(void)
{
    return bitcask_fail_constant(BITCASK_NOT_FOUND, "no such key");
}

enum bitcask_status bitcask_check_reserved(const void *reserved, size_t size)
{
    const unsigned char *bytes = reserved;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0)
            return bitcask_fail_constant(BITCASK_MISUSE,
                                         "reserved space in the options is not zero: "
                                         "initialise the whole struct with { 0 }");
    }
    return BITCASK_OK;
}
