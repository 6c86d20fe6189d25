/* SPDX-License-Identifier: MIT */
/*
 * What the machine says of itself, of this process, and of a directory. Linux.
 */
#ifndef BENCH_SYSTEM_H
#define BENCH_SYSTEM_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of memory of this process that no file backs (RssAnon); 0 if it is not told. */
uint64_t bench_system_anonymous(void);

/* Processor time of this process, all its threads together. */
uint64_t bench_system_busy_ns(void);

/* Bytes on disk (st_blocks) of everything in @path. */
uint64_t bench_system_disk(const char *path);

/* Remove @path with everything in it. False: it could not be. */
bool bench_system_remove(const char *path);

/* Have everything on the file system of @path written, so that nobody pays for it. */
void bench_system_sync(const char *path);

/*
 * Have @size bytes of free memory at hand, or half of what is available. A virtual
 * machine may have given back to its host what it did not use for some seconds, and then
 * the first touch of a page takes fifty times as long: whoever's turn it is would pay for
 * that, and who changes pages that are there already would not. Ends early if @stop is
 * set.
 */
void bench_system_warm_memory(uint64_t size, const volatile sig_atomic_t *stop);

struct bench_machine {
    char processor[128];
    unsigned processor_count;
    uint64_t memory_size;
    char system[192];
    char file_system[32]; /* of the directory */
    char compiler[64];
};

void bench_system_describe(struct bench_machine *machine, const char *directory);

#endif
