/* SPDX-License-Identifier: MIT */
/*
 * Directories in directories of the simulated disk, and files that move between them.
 */
#include "test/test_support.h"

#include <string.h>

#include "test/sim_fixture.h"

static bitcask_file open_in(struct sim_fixture *fixture, const char *name)
{
    bitcask_file directory = BITCASK_NO_FILE;

    assert_status(fixture->io->directory_open_in(fixture->io, fixture->directory, name,
                                                 true, &directory),
                  BITCASK_OK);
    return directory;
}

static enum bitcask_status count_name(const char *name, void *context)
{
    assert_true(strcmp(name, "in") == 0 || strcmp(name, "file") == 0);
    *(unsigned *)context += strcmp(name, "in") == 0 ? 10 : 1;
    return BITCASK_OK;
}

static void a_directory_in_a_directory_is_a_name_there(void **state)
{
    struct sim_fixture *fixture = *state;
    struct bitcask_io *io = fixture->io;
    bitcask_file directory = BITCASK_NO_FILE, file;
    unsigned there = 0, seen = 0;

    assert_status(io->directory_open_in(io, fixture->directory, "in", false, &directory),
                  BITCASK_NOT_FOUND);
    io->close(io, sim_fixture_create_synced(fixture, "file", 'a', 10));
    assert_status(io->directory_open_in(io, fixture->directory, "file", true, &directory),
                  BITCASK_IO);
    directory = open_in(fixture, "in");
    assert_status(io->open(io, directory, "deep", BITCASK_IO_CREATE, &file), BITCASK_OK);
    assert_status(io->directory_sync(io, directory), BITCASK_OK);
    assert_status(io->directory_list(io, fixture->directory, count_name, &seen),
                  BITCASK_OK);
    assert_int_equal(seen, 11);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);

        there += sim_disk_name(left, "/d/in", 0) != NULL;
        sim_disk_free(left);
    }
    assert_true(there > 0 && there < SEEDS);
    assert_status(io->directory_sync(io, fixture->directory), BITCASK_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);

        assert_string_equal(sim_disk_name(left, "/d/in", 0), "deep");
        sim_disk_free(left);
    }
    io->close(io, file);
    io->close(io, directory);
}

/* Where "file" is after losses of power: 1 in /d, 2 in /d/in; a bit for each seen. */
static unsigned places_seen(struct sim_fixture *fixture, enum sim_loss loss)
{
    unsigned places = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, loss, seed);
        size_t size;
        bool out = sim_disk_file(left, "/d", "file", &size) != NULL;
        bool in = sim_disk_file(left, "/d/in", "moved", &size) != NULL;

        assert_true(out != in);
        assert_int_equal(size, 10);
        places |= in ? 2u : 1u;
        sim_disk_free(left);
    }
    return places;
}

static void a_moved_file_is_here_or_there(void **state)
{
    struct sim_fixture *fixture = *state;
    struct bitcask_io *io = fixture->io;

    for (int made = 0; made < 2; made++) {
        for (int synced = 0; synced < 2; synced++) {
            bitcask_file directory;

            io->close(io, sim_fixture_create_synced(fixture, "file", 'a', 10));
            directory = open_in(fixture, "in");
            if (made == 1)
                assert_status(io->directory_sync(io, fixture->directory), BITCASK_OK);
            assert_status(io->move(io, fixture->directory, "fail", directory, "moved"),
                          BITCASK_NOT_FOUND);
            assert_status(io->move(io, fixture->directory, "file", directory, "moved"),
                          BITCASK_OK);
            assert_int_equal(places_seen(fixture, SIM_KILL), 2);
            assert_int_equal(places_seen(fixture, SIM_POWER_NOTHING), 1);
            assert_int_equal(places_seen(fixture, SIM_POWER_ALL), 2);
            assert_int_equal(places_seen(fixture, SIM_POWER_PREFIX), made ? 2 : 3);
            assert_int_equal(places_seen(fixture, SIM_POWER_ANY), 3);
            assert_status(
                io->directory_sync(io, synced == 1 ? directory : fixture->directory),
                BITCASK_OK);
            assert_int_equal(places_seen(fixture, SIM_POWER_ANY), 2);
            assert_status(io->remove(io, directory, "moved"), BITCASK_OK);
            assert_status(io->directory_sync(io, directory), BITCASK_OK);
            io->close(io, directory);
            io->directory_remove(io, "/d/in");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sim_test(a_directory_in_a_directory_is_a_name_there),
        sim_test(a_moved_file_is_here_or_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
