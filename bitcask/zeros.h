/* SPDX-License-Identifier: MIT */
/*
 * Where there are nothing but zeros: space that was set aside for later, and never used.
 */
#ifndef BITCASK_ZEROS_H
#define BITCASK_ZEROS_H

#include "bitcask/io.h"

/* How many of the @size bytes at @bytes are zeros before the first that is none. */
size_t bitcask_zeros_count(const uint8_t *bytes, size_t size);

/*
 * Step *offset to the first byte of @file before @end that is not zero; *found says
 * whether there is one. Where the file ends before @end, so does the search. As
 * io->read() fails, and without words, or BITCASK_NO_MEMORY.
 */
enum bitcask_status bitcask_zeros_skip(struct bitcask_io *io, bitcask_file file,
                                       uint64_t *offset, uint64_t end, bool *found);

/* Step *end, which is that of @file, back over the zeros before it. Fails the same. */
enum bitcask_status bitcask_zeros_trim(struct bitcask_io *io, bitcask_file file,
                                       uint64_t *end);

#endif
