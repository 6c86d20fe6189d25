/* SPDX-License-Identifier: MIT */
/*
 * The rules that callers' keys and values must obey, in one place.
 */
#ifndef BITCASK_CHECK_H
#define BITCASK_CHECK_H

#include "bitcask/bitcask.h"

/* BITCASK_MISUSE: empty, or NULL. BITCASK_TOO_BIG: above the limit. */
enum bitcask_status bitcask_check_key(struct bitcask_slice key);
enum bitcask_status bitcask_check_value(struct bitcask_slice value);

/*
 * BITCASK_MISUSE, in words, if the @size bytes at @reserved, of options, are not all
 * zero: whoever set them knows a library that can do more.
 */
enum bitcask_status bitcask_check_reserved(const void *reserved, size_t size);

/* BITCASK_NOT_FOUND, cheaply. */
enum bitcask_status bitcask_fail_no_such_key(void);

#endif
