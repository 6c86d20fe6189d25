/* SPDX-License-Identifier: MIT */
/*
 * A look at a directory for who needs the MANIFEST itself beside it: both of the same
 * moment, which two looks are not beside a writer.
 */
#ifndef BITCASK_INSPECT_DIRECTORY_H
#define BITCASK_INSPECT_DIRECTORY_H

#include "bitcask/inspect.h"
#include "bitcask/manifest.h"

/*
 * bitcask_inspect_directory(), and the MANIFEST that *cask was made from: an empty one
 * unless cask->manifest_intact. Release both also after a failure.
 */
enum bitcask_status bitcask_inspect_manifest(const char *directory,
                                             struct bitcask_inspect_cask *cask,
                                             struct bitcask_manifest *manifest);

#endif
