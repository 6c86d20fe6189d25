/* SPDX-License-Identifier: MIT */
/*
 * For the tests of the simulated disk: a disk with a directory /d that is there for good.
 */
#ifndef TEST_SIM_FIXTURE_H
#define TEST_SIM_FIXTURE_H

#include "test/test_support.h"

#include "test/sim_disk.h"

enum {
    SEEDS = 300
};

struct sim_fixture {
    struct sim_disk *disk;
    struct bitcask_io *io;
    bitcask_file directory;
};

#define sim_test(function) \
    cmocka_unit_test_setup_teardown(function, sim_fixture_setup, sim_fixture_teardown)

/* A disk with a directory /d that is there for good. */
int sim_fixture_setup(void **state);

int sim_fixture_teardown(void **state);

bitcask_file sim_fixture_create(struct sim_fixture *fixture, const char *name);

enum bitcask_status sim_fixture_write_bytes(struct sim_fixture *fixture,
                                            bitcask_file file, uint64_t offset, int byte,
                                            size_t size);

void sim_fixture_write_all(struct sim_fixture *fixture, bitcask_file file,
                           uint64_t offset, int byte, size_t size);

/* A file of @size bytes, with its name, that no crash can take. */
bitcask_file sim_fixture_create_synced(struct sim_fixture *fixture, const char *name,
                                       int byte, size_t size);

/* What is left of a file: 'a' for a byte, '.' for zero, '?' for what was not written. */
int sim_fixture_byte_left(const struct sim_disk *left, const char *name, size_t offset);

size_t sim_fixture_size_left(const struct sim_disk *left, const char *name);

#endif
