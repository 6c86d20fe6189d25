/* SPDX-License-Identifier: MIT */
/* The inspector of bitcask/inspect.h for files that are reached in another way. */
#ifndef BITCASK_INSPECTOR_H
#define BITCASK_INSPECTOR_H

#include "bitcask/inspect.h"
#include "bitcask/io.h"

/* bitcask_inspector_open() through @io. */
enum bitcask_status bitcask_inspector_open_with(struct bitcask_io *io,
                                                struct bitcask_inspector **out,
                                                const char *path, uint64_t salt);

#endif
