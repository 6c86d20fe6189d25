/* SPDX-License-Identifier: MIT */
/* Real files for the fault campaign: copied from a simulated disk, and counted. */
#ifndef TEST_CAMPAIGN_FAULT_FILES_H
#define TEST_CAMPAIGN_FAULT_FILES_H

#include "test/sim_disk.h"

/* Make @directory hold what @path on @disk does; without files, let it not exist. */
void files_restore(const struct sim_disk *disk, const char *path, const char *directory);

/* Descriptors of this process, and its mappings of files below @directory. */
unsigned files_open_count(const char *directory);

/* Remove @directory with all its files. */
void files_remove(const char *directory);

#endif
