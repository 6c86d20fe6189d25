/* SPDX-License-Identifier: MIT */
/*
 * Counts the calls that wait for the disk, whoever makes them: this program's functions
 * come before those of the C library, for the engines' libraries too.
 */
#ifndef TEST_BENCH_SYNCS_H
#define TEST_BENCH_SYNCS_H

/* How many there were in this process so far. */
unsigned bench_sync_count(void);

#endif
