/* SPDX-License-Identifier: MIT */
/*
 * Write the golden store of the present version of the format. Not a test and not run
 * by any: it was run once for each version, and what it wrote was checked in.
 *
 *     ninja -C build test/golden_make
 *     mkdir test/golden/v2
 *     build/test/golden_make test/golden/v2
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bitcask/bitcask.h"
#include "test/golden_store.h"

int main(int argc, char **argv)
{
    struct fault_io fault;
    char path[4096];
    enum bitcask_status status;

    if (argc != 2) {
        fprintf(stderr, "usage: golden_make DIRECTORY\n");
        return 64;
    }
    fault_io_init(&fault);
    status = golden_store_write(&fault, argv[1]);
    fault_io_release(&fault);
    if (status != BITCASK_OK) {
        fprintf(stderr, "%s: %s\n", argv[1], bitcask_error_detail());
        return 1;
    }
    /* It holds a process id, and belongs to no store that rests. */
    (void)snprintf(path, sizeof path, "%s/LOCK", argv[1]);
    if (unlink(path) != 0) {
        fprintf(stderr, "remove %s: %s\n", path, strerror(errno));
        return 1;
    }
    return 0;
}
