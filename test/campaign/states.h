/* SPDX-License-Identifier: MIT */
/* The disks that a campaign has tried, by their hashes: which are new, and how many. */
#ifndef TEST_CAMPAIGN_STATES_H
#define TEST_CAMPAIGN_STATES_H

#include <stdbool.h>
#include <stdint.h>

struct states;

/* Without memory the program ends. */
struct states *states_new(void);
void states_free(struct states *states);

/*
 * False if a disk of this @hash has been tried with as much to be found on it. A disk
 * that was tried with less is tried again, but does not count twice.
 */
bool states_add(struct states *states, uint64_t hash, uint64_t floor);

/* How many different hashes there were. */
uint64_t states_count(const struct states *states);

#endif
