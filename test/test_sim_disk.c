/* SPDX-License-Identifier: MIT */
/*
 * The simulated disk loses what it may lose and keeps what it must: what is "may" is
 * seen to happen for some seed, what is "must" holds for all that are tried.
 */
#include "test/test_support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/sim_fixture.h"

static void what_is_synced_survives_everything(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 3000);

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left =
            sim_disk_after(fixture->disk, (enum sim_loss)(seed % SIM_LOSS_COUNT), seed);

        assert_int_equal(sim_fixture_size_left(left, "file"), 3000);
        for (size_t i = 0; i < 3000; i += 100)
            assert_int_equal(sim_fixture_byte_left(left, "file", i), 'a');
        sim_disk_free(left);
    }
    fixture->io->close(fixture->io, file);
}

static void sectors_are_lost_and_kept_each_for_itself(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 1024);
    unsigned seen[4] = { 0 };

    sim_fixture_write_all(fixture, file, 0, 'b', 512);
    sim_fixture_write_all(fixture, file, 512, 'b', 512);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);
        int first = sim_fixture_byte_left(left, "file", 0),
            second = sim_fixture_byte_left(left, "file", 600);

        assert_true((first == 'a' || first == 'b') && (second == 'a' || second == 'b'));
        assert_int_equal(sim_fixture_byte_left(left, "file", 511), first);
        seen[2 * (first == 'b') + (second == 'b')]++;
        sim_disk_free(left);
    }
    for (size_t i = 0; i < 4; i++)
        assert_true(seen[i] > 0);
    fixture->io->close(fixture->io, file);
}

static void a_sector_may_be_as_after_any_write(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 512);
    unsigned seen[3] = { 0 };

    sim_fixture_write_all(fixture, file, 0, 'b', 512);
    sim_fixture_write_all(fixture, file, 0, 'c', 512);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);
        int byte = sim_fixture_byte_left(left, "file", 0);

        assert_in_range(byte, 'a', 'c');
        seen[byte - 'a']++;
        sim_disk_free(left);
    }
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    fixture->io->close(fixture->io, file);
}

static void where_a_file_grew_there_may_be_anything(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file dead = sim_fixture_create_synced(fixture, "dead", 'd', 512);
    bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 512);
    unsigned zeros = 0, stale = 0, noise = 0, kept = 0, lost = 0, between = 0;

    fixture->io->close(fixture->io, dead);
    assert_status(fixture->io->remove(fixture->io, fixture->directory, "dead"),
                  BITCASK_OK);
    assert_status(fixture->io->directory_sync(fixture->io, fixture->directory),
                  BITCASK_OK);
    sim_fixture_write_all(fixture, file, 512, 'b', 1500);
    for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);
        size_t size = sim_fixture_size_left(left, "file");
        int byte = sim_fixture_byte_left(left, "file", 512);

        assert_in_range(size, 512, 2012);
        assert_int_equal(sim_fixture_byte_left(left, "file", 511), 'a');
        lost += size == 512;
        between += size > 512 && size < 2012;
        zeros += byte == 0;
        stale += byte == 'd';
        kept += byte == 'b';
        noise += byte > 0 && byte != 'd' && byte != 'b';
        sim_disk_free(left);
    }
    assert_true(zeros > 0 && stale > 0 && noise > 0 && kept > 0 && lost > 0 &&
                between > 0);
    fixture->io->close(fixture->io, file);
}

static void truncation_is_a_write_like_others(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 2000);
    unsigned undone = 0, done = 0;

    assert_status(fixture->io->truncate(fixture->io, file, 700), BITCASK_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);
        size_t size = sim_fixture_size_left(left, "file");

        assert_in_range(size, 700, 2000);
        assert_int_equal(sim_fixture_byte_left(left, "file", 699), 'a');
        done += size == 700;
        undone += size == 2000 && sim_fixture_byte_left(left, "file", 1999) == 'a';
        sim_disk_free(left);
    }
    assert_true(done > 0 && undone > 0);
    fixture->io->close(fixture->io, file);
}

static void a_name_is_only_safe_when_its_directory_is_synced(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file one = sim_fixture_create(fixture, "one");
    bitcask_file two = sim_fixture_create(fixture, "two");
    unsigned seen[4] = { 0 };

    assert_status(fixture->io->sync(fixture->io, one), BITCASK_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);

        seen[2 * (sim_fixture_size_left(left, "one") != SIZE_MAX) +
             (sim_fixture_size_left(left, "two") != SIZE_MAX)]++;
        sim_disk_free(left);
    }
    for (size_t i = 0; i < 4; i++)
        assert_true(seen[i] > 0);
    fixture->io->close(fixture->io, one);
    fixture->io->close(fixture->io, two);
}

static void a_rename_happens_as_a_whole_or_not(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file old = sim_fixture_create_synced(fixture, "name", 'o', 10);
    bitcask_file new = sim_fixture_create_synced(fixture, "name.tmp", 'n', 10);
    unsigned before = 0, after = 0;

    assert_status(
        fixture->io->rename(fixture->io, fixture->directory, "name.tmp", "name"),
        BITCASK_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);
        bool done = sim_fixture_byte_left(left, "name", 0) == 'n';

        assert_int_equal(sim_fixture_size_left(left, "name"), 10);
        assert_int_equal(sim_fixture_size_left(left, "name.tmp") == SIZE_MAX, done);
        before += !done;
        after += done;
        sim_disk_free(left);
    }
    assert_true(before > 0 && after > 0);
    fixture->io->close(fixture->io, old);
    fixture->io->close(fixture->io, new);
}

static void a_removed_file_may_come_back(void **state)
{
    struct sim_fixture *fixture = *state;
    unsigned back = 0;

    fixture->io->close(fixture->io, sim_fixture_create_synced(fixture, "file", 'a', 10));
    assert_status(fixture->io->remove(fixture->io, fixture->directory, "file"),
                  BITCASK_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);

        back += sim_fixture_byte_left(left, "file", 9) == 'a';
        sim_disk_free(left);
    }
    assert_true(back > 0 && back < SEEDS);
}

static void a_directory_is_a_name_in_its_parent(void **state)
{
    struct sim_fixture *fixture = *state;
    struct bitcask_io *io = fixture->io;
    bitcask_file directory, file;
    unsigned there = 0;

    assert_status(io->directory_create(io, "/nowhere/cask"), BITCASK_NOT_FOUND);
    assert_status(io->directory_create(io, "/d/cask"), BITCASK_OK);
    assert_status(io->directory_open(io, "/d/cask", &directory), BITCASK_OK);
    assert_status(io->open(io, directory, "file", BITCASK_IO_CREATE, &file), BITCASK_OK);
    assert_status(io->sync(io, file), BITCASK_OK);
    assert_status(io->directory_sync(io, directory), BITCASK_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);

        there += sim_disk_name(left, "/d/cask", 0) != NULL;
        sim_disk_free(left);
    }
    assert_true(there > 0 && there < SEEDS);
    io->close(io, file);
    io->close(io, directory);
}

/* Whether what is left is what there was after the first changes of all. */
static void a_prefix_has_nothing_without_what_came_before_it(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file first = sim_fixture_create_synced(fixture, "first", 'a', 512);
    bitcask_file second = sim_fixture_create_synced(fixture, "second", 'a', 512);
    unsigned seen[3] = { 0 };

    sim_fixture_write_all(fixture, first, 0, 'b', 512);
    sim_fixture_write_all(fixture, second, 0, 'b', 512);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_PREFIX, seed);
        bool has_first = sim_fixture_byte_left(left, "first", 0) == 'b';
        bool has_second = sim_fixture_byte_left(left, "second", 0) == 'b';

        assert_true(has_first || !has_second);
        seen[has_first + has_second]++;
        sim_disk_free(left);
    }
    assert_true(seen[1] > 0 && seen[2] > 0);
    fixture->io->close(fixture->io, first);
    fixture->io->close(fixture->io, second);
}

/* Without what was lost is written again, a later sync helps nothing. */
static void what_a_failed_sync_lost_only_writing_brings_back(void **state)
{
    struct sim_fixture *fixture = *state;
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_SYNC) };
    unsigned lost = 0;

    for (uint64_t i = 0; i < 40; i++) {
        bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 512);
        struct sim_disk *left;
        uint8_t byte = 0;
        size_t got;

        sim_fixture_write_all(fixture, file, 0, 'b', 512);
        sim_disk_arm(fixture->disk, &plan);
        assert_status(fixture->io->sync(fixture->io, file), BITCASK_IO);
        assert_int_equal(errno, EIO);
        assert_status(fixture->io->sync(fixture->io, file), BITCASK_OK);
        assert_status(fixture->io->read(fixture->io, file, 0, &byte, 1, &got),
                      BITCASK_OK);
        assert_int_equal(byte, 'b'); /* the page cache still has it */
        left = sim_disk_after(fixture->disk, SIM_POWER_ALL, i);
        lost += sim_fixture_byte_left(left, "file", 0) == 'a';
        sim_disk_free(left);

        sim_fixture_write_all(fixture, file, 0, 'b', 512);
        assert_status(fixture->io->sync(fixture->io, file), BITCASK_OK);
        left = sim_disk_after(fixture->disk, SIM_POWER_NOTHING, i);
        assert_int_equal(sim_fixture_byte_left(left, "file", 0), 'b');
        sim_disk_free(left);
        fixture->io->close(fixture->io, file);
    }
    assert_true(lost > 0);
}

struct witness {
    unsigned moments[3];
    size_t inside_size;
};

static void see(struct sim_disk *disk, const struct sim_moment *moment, void *context)
{
    struct witness *witness = context;
    struct sim_disk *left;

    if (moment->call != FAULT_WRITE && moment->call != SIM_STORE)
        return;
    assert_string_equal(moment->name, "file");
    assert_int_equal(moment->offset, 100);
    witness->moments[moment->when]++;
    if (moment->when == SIM_AFTER) {
        assert_int_equal(moment->size, 1000);
        assert_int_equal(moment->bytes[999], 'b');
    }
    if (moment->when == SIM_INSIDE) { /* a process that dies here has written a part */
        left = sim_disk_after(disk, SIM_KILL, 0);
        assert_int_equal(sim_fixture_byte_left(left, "file", 100), 'b');
        assert_int_not_equal(sim_fixture_byte_left(left, "file", 1099), 'b');
        sim_disk_free(left);
    }
}

static void writes_and_stores_have_three_moments(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 1100);
    struct witness witness = { 0 };
    const uint8_t *map = NULL;
    uint8_t bytes[1000];

    memset(bytes, 'b', sizeof bytes);
    sim_disk_set_hook(fixture->disk, see, &witness);
    sim_fixture_write_all(fixture, file, 100, 'b', 1000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(witness.moments[i], 1);

    sim_disk_set_hook(fixture->disk, NULL, NULL);
    sim_fixture_write_all(fixture, file, 0, 'a', 1100);
    assert_status(fixture->io->map(fixture->io, file, 0, 4096, BITCASK_IO_STORE, &map),
                  BITCASK_OK);
    sim_disk_set_hook(fixture->disk, see, &witness);
    fixture->io->store(fixture->io, map + 100, bytes, sizeof bytes);
    for (int i = 0; i < 3; i++)
        assert_int_equal(witness.moments[i], 2);
    sim_disk_set_hook(fixture->disk, NULL, NULL);
    fixture->io->unmap(fixture->io, map, 4096);
    fixture->io->close(fixture->io, file);
}

/* Before the last byte that changes something; else all has been written already. */
static void see_inside(struct sim_disk *disk, const struct sim_moment *moment,
                       void *context)
{
    struct sim_disk *left;

    if (moment->call != FAULT_WRITE || moment->when != SIM_INSIDE)
        return;
    left = sim_disk_after(disk, SIM_KILL, 0);
    *(int *)context = sim_fixture_byte_left(left, "file", 101);
    sim_disk_free(left);
}

static void a_write_is_not_done_inside_it(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 1100);
    uint8_t bytes[1000];
    struct bitcask_slice part = { bytes, sizeof bytes };
    int inside = 0;

    memset(bytes, 'a', sizeof bytes);
    bytes[0] = 'b';
    bytes[1] = 'b';
    sim_disk_set_hook(fixture->disk, see_inside, &inside);
    assert_status(fixture->io->write(fixture->io, file, 100, &part, 1), BITCASK_OK);
    assert_int_equal(inside, 'a');
    sim_disk_set_hook(fixture->disk, NULL, NULL);
    fixture->io->close(fixture->io, file);
}

static void mappings_see_writes_and_stores_are_lost_like_writes(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 512);
    const uint8_t *map = NULL;
    unsigned kept = 0;
    uint8_t byte = 0;
    size_t got;

    assert_status(fixture->io->map(fixture->io, file, 0, 4096, BITCASK_IO_STORE, &map),
                  BITCASK_OK);
    assert_int_equal(map[511], 'a');
    sim_fixture_write_all(fixture, file, 512, 'b', 10);
    assert_int_equal(map[521], 'b');
    assert_int_not_equal(map[522], 0); /* behind the end: nothing to be relied on */
    assert_status(fixture->io->sync(fixture->io, file), BITCASK_OK);
    fixture->io->store(fixture->io, map, "s", 1);
    assert_int_equal(map[0], 's');
    assert_status(fixture->io->read(fixture->io, file, 0, &byte, 1, &got), BITCASK_OK);
    assert_int_equal(byte, 's');
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);

        kept += sim_fixture_byte_left(left, "file", 0) == 's';
        sim_disk_free(left);
    }
    assert_true(kept > 0 && kept < SEEDS);
    fixture->io->unmap(fixture->io, map, 4096);
    fixture->io->close(fixture->io, file);
}

static void what_was_allocated_is_never_noise(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 100);
    const uint8_t *map = NULL;
    unsigned long_count = 0;

    assert_status(fixture->io->allocate(fixture->io, file, 50, 4046), BITCASK_OK);
    assert_status(fixture->io->map(fixture->io, file, 512, 3584, BITCASK_IO_STORE, &map),
                  BITCASK_OK);
    assert_int_equal(map[0], 0);
    fixture->io->store(fixture->io, map + 1024, "s", 1);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *left = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);
        size_t size;
        const uint8_t *bytes = sim_disk_file(left, "/d", "file", &size);

        for (size_t i = 100; i < size; i++)
            assert_true(bytes[i] == 0 || (i == 1536 && bytes[i] == 's'));
        long_count += size == 4096;
        sim_disk_free(left);
    }
    assert_true(long_count > 0 && long_count < SEEDS);

    sim_disk_set_capacity(fixture->disk, 8000);
    assert_status(fixture->io->allocate(fixture->io, file, 4096, 4096), BITCASK_NO_SPACE);
    fixture->io->unmap(fixture->io, map, 3584);
    fixture->io->close(fixture->io, file);
}

static void a_lock_ends_with_its_holder(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file first = sim_fixture_create(fixture, "LOCK");
    bitcask_file second = sim_fixture_create(fixture, "LOCK");

    assert_status(fixture->io->lock(fixture->io, first), BITCASK_OK);
    assert_status(fixture->io->lock(fixture->io, second), BITCASK_LOCKED);
    fixture->io->close(fixture->io, first);
    assert_status(fixture->io->lock(fixture->io, second), BITCASK_OK);
    fixture->io->unlock(fixture->io, second);
    fixture->io->close(fixture->io, second);
}

static void calls_fail_by_plan_and_disks_are_full(void **state)
{
    struct sim_fixture *fixture = *state;
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_WRITE),
                                     .skip = 1,
                                     .count = 2,
                                     .status = BITCASK_NO_SPACE,
                                     .error = ENOSPC,
                                     .partial_size = 3 };
    bitcask_file file = sim_fixture_create(fixture, "file");
    size_t got;
    uint8_t byte;

    sim_disk_arm(fixture->disk, &plan);
    assert_status(sim_fixture_write_bytes(fixture, file, 0, 'a', 10), BITCASK_OK);
    assert_status(sim_fixture_write_bytes(fixture, file, 10, 'b', 10), BITCASK_NO_SPACE);
    assert_status(sim_fixture_write_bytes(fixture, file, 10, 'c', 10), BITCASK_NO_SPACE);
    assert_int_equal(sim_fixture_size_left(fixture->disk, "file"), 13);
    assert_int_equal(sim_fixture_byte_left(fixture->disk, "file", 12), 'c');
    assert_status(sim_fixture_write_bytes(fixture, file, 10, 'd', 10), BITCASK_OK);
    assert_int_equal(sim_disk_failure_count(fixture->disk), 2);
    sim_disk_disarm(fixture->disk);

    sim_disk_set_capacity(fixture->disk, 25);
    assert_status(sim_fixture_write_bytes(fixture, file, 20, 'e', 10), BITCASK_NO_SPACE);
    assert_int_equal(sim_fixture_size_left(fixture->disk, "file"), 25);
    assert_status(sim_fixture_write_bytes(fixture, file, 0, 'f', 25), BITCASK_OK);
    assert_status(fixture->io->read(fixture->io, file, 25, &byte, 1, &got), BITCASK_OK);
    assert_int_equal(got, 0);
    fixture->io->close(fixture->io, file);
}

static void the_same_seed_leaves_the_same_disk(void **state)
{
    struct sim_fixture *fixture = *state;
    bitcask_file file = sim_fixture_create_synced(fixture, "file", 'a', 700);
    unsigned different = 0;

    sim_fixture_write_all(fixture, file, 300, 'b', 3000);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *one = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);
        struct sim_disk *same = sim_disk_after(fixture->disk, SIM_POWER_ANY, seed);
        struct sim_disk *other = sim_disk_after(fixture->disk, SIM_POWER_ANY, ~seed);

        assert_true(sim_disk_hash(one) == sim_disk_hash(same));
        different += sim_disk_hash(one) != sim_disk_hash(other);
        sim_disk_free(one);
        sim_disk_free(same);
        sim_disk_free(other);
    }
    assert_true(different > SEEDS / 2);
    fixture->io->close(fixture->io, file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sim_test(what_is_synced_survives_everything),
        sim_test(sectors_are_lost_and_kept_each_for_itself),
        sim_test(a_sector_may_be_as_after_any_write),
        sim_test(where_a_file_grew_there_may_be_anything),
        sim_test(truncation_is_a_write_like_others),
        sim_test(a_name_is_only_safe_when_its_directory_is_synced),
        sim_test(a_rename_happens_as_a_whole_or_not),
        sim_test(a_removed_file_may_come_back),
        sim_test(a_directory_is_a_name_in_its_parent),
        sim_test(a_prefix_has_nothing_without_what_came_before_it),
        sim_test(what_a_failed_sync_lost_only_writing_brings_back),
        sim_test(writes_and_stores_have_three_moments),
        sim_test(a_write_is_not_done_inside_it),
        sim_test(mappings_see_writes_and_stores_are_lost_like_writes),
        sim_test(what_was_allocated_is_never_noise),
        sim_test(a_lock_ends_with_its_holder),
        sim_test(calls_fail_by_plan_and_disks_are_full),
        sim_test(the_same_seed_leaves_the_same_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
