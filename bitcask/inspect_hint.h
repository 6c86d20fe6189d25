/* SPDX-License-Identifier: MIT */
/*
 * The calls on hints of bitcask/inspect.h, through another door to the system.
 */
#ifndef BITCASK_INSPECT_HINT_H
#define BITCASK_INSPECT_HINT_H

#include "bitcask/inspect.h"
#include "bitcask/io.h"

enum bitcask_status bitcask_hint_verify_with(struct bitcask_io *io, const char *directory,
                                             uint64_t id, bitcask_hint_visit *visit,
                                             void *context);
enum bitcask_status bitcask_hint_rebuild_with(struct bitcask_io *io,
                                              const char *directory, uint64_t id,
                                              bitcask_hint_visit *visit, void *context);

#endif
