/* SPDX-License-Identifier: MIT */
#include "test/sim_fixture.h"

#include <stdlib.h>
#include <string.h>

/* A disk with a directory /d that is there for good. */
int sim_fixture_setup(void **state)
{
    struct sim_fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    fixture->disk = sim_disk_new(1);
    fixture->io = sim_disk_io(fixture->disk);
    assert_status(fixture->io->directory_create(fixture->io, "/d"), BITCASK_OK);
    assert_status(fixture->io->directory_open(fixture->io, "/d", &fixture->directory),
                  BITCASK_OK);
    assert_status(fixture->io->directory_sync_parent(fixture->io, fixture->directory),
                  BITCASK_OK);
    *state = fixture;
    return 0;
}

int sim_fixture_teardown(void **state)
{
    struct sim_fixture *fixture = *state;

    fixture->io->close(fixture->io, fixture->directory);
    assert_int_equal(sim_disk_open_count(fixture->disk), 0);
    sim_disk_free(fixture->disk);
    free(fixture);
    return 0;
}

bitcask_file sim_fixture_create(struct sim_fixture *fixture, const char *name)
{
    bitcask_file file = BITCASK_NO_FILE;

    assert_status(fixture->io->open(fixture->io, fixture->directory, name,
                                    BITCASK_IO_CREATE, &file),
                  BITCASK_OK);
    return file;
}

enum bitcask_status sim_fixture_write_bytes(struct sim_fixture *fixture,
                                            bitcask_file file, uint64_t offset, int byte,
                                            size_t size)
{
    uint8_t *bytes = malloc(size);
    struct bitcask_slice part = { bytes, size };
    enum bitcask_status status;

    assert_non_null(bytes);
    memset(bytes, byte, size);
    status = fixture->io->write(fixture->io, file, offset, &part, 1);
    free(bytes);
    return status;
}

void sim_fixture_write_all(struct sim_fixture *fixture, bitcask_file file,
                           uint64_t offset, int byte, size_t size)
{
    assert_status(sim_fixture_write_bytes(fixture, file, offset, byte, size), BITCASK_OK);
}

/* A file of @size bytes, with its name, that no crash can take. */
bitcask_file sim_fixture_create_synced(struct sim_fixture *fixture, const char *name,
                                       int byte, size_t size)
{
    bitcask_file file = sim_fixture_create(fixture, name);

    sim_fixture_write_all(fixture, file, 0, byte, size);
    assert_status(fixture->io->sync(fixture->io, file), BITCASK_OK);
    assert_status(fixture->io->directory_sync(fixture->io, fixture->directory),
                  BITCASK_OK);
    return file;
}

/* What is left of a file: 'a' for a byte, '.' for zero, '?' for what was not written. */
int sim_fixture_byte_left(const struct sim_disk *left, const char *name, size_t offset)
{
    size_t size = 0;
    const uint8_t *bytes = sim_disk_file(left, "/d", name, &size);

    return bytes != NULL && offset < size ? bytes[offset] : -1;
}

size_t sim_fixture_size_left(const struct sim_disk *left, const char *name)
{
    size_t size = 0;

    return sim_disk_file(left, "/d", name, &size) != NULL ? size : SIZE_MAX;
}
