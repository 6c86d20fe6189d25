/* SPDX-License-Identifier: MIT */
/*
 * What the campaigns have found, each in its smallest form. They are in test/campaign;
 * test_recover_chain.c has what they found in recovery.
 */
#include "test/test_support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/cask.h"
#include "bitcask/file_name.h"
#include "test/sim_disk.h"

static const struct bitcask_options durable = { .sync = BITCASK_SYNC_ALWAYS,
                                                .no_background = true,
                                                .file_size_max = 4096 };

#define FIRST_DATA_NAME "0000000001.data"

static struct bitcask *open_cask(struct sim_disk *disk,
                                 const struct bitcask_options *options)
{
    struct bitcask *cask = NULL;

    assert_status(bitcask_open_with(sim_disk_io(disk), &cask, "/cask", options),
                  BITCASK_OK);
    return cask;
}

static enum bitcask_status put(struct bitcask *cask, const char *key, size_t size)
{
    static const char value[4000];

    return bitcask_put(cask, bitcask_text(key), (struct bitcask_slice){ value, size });
}

static void fail_once(struct sim_disk *disk, enum fault_call call,
                      enum bitcask_status status, size_t partial_size)
{
    const struct fault_plan plan = { .calls = FAULT_BIT(call),
                                     .status = status,
                                     .error = ENOSPC,
                                     .partial_size = partial_size };

    sim_disk_arm(disk, &plan);
}

/*
 * A write failed, was cut off again, and the next record began a new file, with the same
 * number. Everything was synced, it seemed; but the cut was not, so that the power could
 * bring the record back, which then stood before the acknowledged one.
 */
static void a_cut_is_synced_before_the_next_file_begins(void **state)
{
    (void)state;
    for (int partial = 0; partial < 3; partial++) {
        struct sim_disk *disk = sim_disk_new(1);
        struct bitcask *cask = open_cask(disk, &durable);

        sim_disk_set_no_allocate(disk);
        assert_status(put(cask, "first", 2000), BITCASK_OK);
        fail_once(disk, FAULT_WRITE, BITCASK_NO_SPACE, (size_t)partial * 600);
        assert_status(put(cask, "failed", 1000), BITCASK_NO_SPACE);
        assert_status(put(cask, "acknowledged", 3500), BITCASK_OK);

        for (uint64_t seed = 0; seed < 200; seed++) {
            struct sim_disk *left = sim_disk_after(disk, SIM_POWER_ANY, seed);
            struct bitcask *found = open_cask(left, &durable);

            assert_status(bitcask_exists(found, bitcask_text("first")), BITCASK_OK);
            assert_status(bitcask_exists(found, bitcask_text("acknowledged")),
                          BITCASK_OK);
            assert_status(bitcask_close(found), BITCASK_OK);
            sim_disk_free(left);
        }
        assert_status(bitcask_close(cask), BITCASK_OK);
        sim_disk_free(disk);
    }
}

/* READ_ONLY and NO_MEMORY mean that nothing was done; after a write, who knows? */
static void a_write_or_sync_that_failed_may_have_done_something(void **state)
{
    static const enum fault_call calls[] = { FAULT_WRITE, FAULT_SYNC };
    static const enum bitcask_status said[] = { BITCASK_READ_ONLY, BITCASK_NO_MEMORY };

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(calls); i++) {
        for (size_t j = 0; j < LENGTH_OF(said); j++) {
            struct sim_disk *disk = sim_disk_new(1);
            struct bitcask *cask = open_cask(disk, &durable);

            assert_status(put(cask, "first", 10), BITCASK_OK);
            fail_once(disk, calls[i], said[j], 10000);
            assert_status(put(cask, "failed", 10), BITCASK_IO);
            (void)bitcask_close(cask);
            sim_disk_free(disk);
        }
    }
}

static void a_listing_that_fails_is_told(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = NULL;

    (void)state;
    assert_status(bitcask_close(open_cask(disk, &durable)), BITCASK_OK);
    fail_once(disk, FAULT_DIRECTORY_LIST, BITCASK_NO_MEMORY, 0);
    assert_status(bitcask_open_with(sim_disk_io(disk), &cask, "/cask", &durable),
                  BITCASK_NO_MEMORY);
    assert_detail("list the directory");
    sim_disk_free(disk);
}

static uint64_t used_size(struct sim_disk *disk)
{
    const char *name;
    uint64_t used = 0;

    for (size_t i = 0; (name = sim_disk_name(disk, "/cask", i)) != NULL; i++) {
        size_t size;

        (void)sim_disk_file(disk, "/cask", name, &size);
        used += size;
    }
    return used;
}

/* Hints, which only save time, took the last room, and a clean close had none. */
static void hints_make_room_for_the_manifest(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = open_cask(disk, &durable);
    struct bitcask_stat stat;
    char key[32];

    (void)state;
    for (int i = 0; i < 40; i++) {
        (void)snprintf(key, sizeof key, "key %d", i);
        assert_status(put(cask, key, 1000), BITCASK_OK);
    }
    /* Room for one more record, but for no new MANIFEST beside the old one. */
    sim_disk_set_capacity(disk, used_size(disk) + 100);
    assert_status(put(cask, "last", 20), BITCASK_OK);
    assert_status(bitcask_close(cask), BITCASK_OK);

    sim_disk_set_capacity(disk, UINT64_MAX);
    cask = open_cask(disk, &durable);
    assert_status(bitcask_stat(cask, &stat), BITCASK_OK);
    assert_int_equal(stat.key_count, 41);
    assert_int_equal(stat.cut_count, 0);
    assert_int_equal(stat.recovered_size, 0); /* the end was a clean one */
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(disk);
}

static void salvage_counts_files_that_the_manifest_does_not_list(void **state)
{
    const struct bitcask_options salvage = { .read_only = true, .salvage = true };
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask_stat stat;
    struct bitcask *cask;

    (void)state;
    assert_status(bitcask_close(open_cask(disk, &durable)), BITCASK_OK);
    sim_disk_put_file(disk, "/cask", "0000000999.data", "foreign", 7);
    cask = open_cask(disk, &salvage);
    assert_status(bitcask_stat(cask, &stat), BITCASK_OK);
    assert_int_equal(stat.damage_count, 1);
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(disk);
}

/* Three files, of which no list says how long they are, since nobody closed them. */
static struct sim_disk *make_three_files(void)
{
    struct sim_disk *disk = sim_disk_new(1), *left;
    const struct bitcask_options options = { .sync = BITCASK_SYNC_NONE,
                                             .no_background = true,
                                             .file_size_max = 4096 };
    struct bitcask *cask = open_cask(disk, &options);

    for (int i = 0; i < 9; i++) {
        char key[2] = { (char)('a' + i), '\0' };

        assert_status(put(cask, key, 1200), BITCASK_OK);
    }
    left = sim_disk_after(disk, SIM_POWER_ALL, 1);
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(disk);
    for (int id = 1; id < 3; id++) {
        char name[BITCASK_NAME_SIZE];

        bitcask_hint_name(name, (uint64_t)id);
        if (sim_disk_file(left, "/cask", name, &(size_t){ 0 }) != NULL)
            sim_disk_remove_file(left, "/cask", name);
    }
    return left;
}

static void cut_file(struct sim_disk *disk, const char *name, size_t cut_size)
{
    size_t size;
    const uint8_t *bytes = sim_disk_file(disk, "/cask", name, &size);
    uint8_t copy[8192];

    assert_non_null(bytes);
    assert_true(size <= sizeof copy && size > cut_size);
    memcpy(copy, bytes, size);
    sim_disk_put_file(disk, "/cask", name, copy, size - cut_size);
}

static void salvage_counts_records_that_are_missing(void **state)
{
    const struct bitcask_options salvage = { .read_only = true, .salvage = true };
    struct sim_disk *disk = make_three_files();
    struct bitcask_stat stat;
    struct bitcask *cask;

    (void)state;
    cut_file(disk, "0000000002.data", 28 + 1 + 1200); /* one whole record */
    cask = open_cask(disk, &salvage);
    assert_status(bitcask_stat(cask, &stat), BITCASK_OK);
    assert_int_equal(stat.key_count, 8);
    assert_int_equal(stat.damage_count, 1);
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(disk);
}

/*
 * The record "g" begins the third file, which was begun when all before it was synced.
 * Of it there is only the beginning; that says so.
 */
static void a_record_cut_off_behind_its_key_is_a_proof(void **state)
{
    struct sim_disk *disk = make_three_files();
    struct bitcask *cask = NULL;

    (void)state;
    cut_file(disk, "0000000002.data", 28 + 1 + 1200);
    cut_file(disk, "0000000003.data", 3 * 1229 - 28 - 100);
    assert_status(bitcask_open_with(sim_disk_io(disk), &cask, "/cask", &durable),
                  BITCASK_CORRUPT);
    assert_detail("record 6 is proven to have been synced");
    sim_disk_free(disk);
}

/* A newest file that had been synced could be taken away, and nobody missed it. */
static void a_file_is_missed_from_its_first_sync_on(void **state)
{
    const struct bitcask_options options = { .sync = BITCASK_SYNC_NONE,
                                             .no_background = true };

    (void)state;
    for (int synced = 0; synced < 2; synced++) {
        struct sim_disk *disk = sim_disk_new(1), *left;
        struct bitcask *cask = open_cask(disk, &options);

        assert_status(put(cask, "key", 100), BITCASK_OK);
        if (synced)
            assert_status(bitcask_sync(cask), BITCASK_OK);
        left = sim_disk_after(disk, SIM_KILL, 1);
        assert_status(bitcask_close(cask), BITCASK_OK);
        sim_disk_free(disk);

        sim_disk_remove_file(left, "/cask", "0000000001.data");
        cask = NULL;
        assert_status(bitcask_open_with(sim_disk_io(left), &cask, "/cask", &options),
                      synced ? BITCASK_CORRUPT : BITCASK_OK);
        if (synced)
            assert_detail("0000000001.data, offset 0: the file is missing");
        assert_status(bitcask_close(cask), BITCASK_OK);
        sim_disk_free(left);
    }
}

/*
 * A cut that was not synced lived on in the page cache only: the next session, or the
 * next record in its place, took it for done, and the power undid it.
 */
static void a_cut_is_synced_before_anything_is_built_on_it(void **state)
{
    (void)state;
    for (int killed = 0; killed < 2; killed++) {
        struct sim_disk *disk = sim_disk_new(1), *next;
        struct bitcask *cask = open_cask(disk, &durable);

        assert_status(put(cask, "first", 2000), BITCASK_OK);
        assert_status(bitcask_close(cask), BITCASK_OK);
        cask = open_cask(disk, &durable);
        fail_once(disk, FAULT_WRITE, BITCASK_NO_SPACE, 100000);
        assert_status(put(cask, "failed", 1000), BITCASK_NO_SPACE);
        next = sim_disk_after(disk, SIM_KILL, 1);
        assert_status(bitcask_close(cask), BITCASK_OK);
        if (killed) {
            sim_disk_free(disk);
            disk = next;
        } else {
            sim_disk_free(next);
        }
        cask = open_cask(disk, &durable);
        assert_status(put(cask, "acknowledged", 3500), BITCASK_OK);
        for (uint64_t seed = 0; seed < 500; seed++) {
            struct sim_disk *left = sim_disk_after(disk, SIM_POWER_ANY, seed);
            struct bitcask *found = open_cask(left, &durable);

            assert_status(bitcask_exists(found, bitcask_text("acknowledged")),
                          BITCASK_OK);
            assert_status(bitcask_close(found), BITCASK_OK);
            sim_disk_free(left);
        }
        assert_status(bitcask_close(cask), BITCASK_OK);
        sim_disk_free(disk);
    }
}

/* Sectors of a failed record and of the one in its place, of the same value, mixed. */
static void nothing_is_written_over_a_cut_that_is_not_synced(void **state)
{
    const struct bitcask_options lazy = { .sync = BITCASK_SYNC_NONE,
                                          .no_background = true,
                                          .file_size_max = 4096 };

    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct sim_disk *disk = sim_disk_new(1), *left;
        struct bitcask *cask = open_cask(disk, &lazy), *found;

        assert_status(put(cask, "first", 10), BITCASK_OK);
        fail_once(disk, FAULT_WRITE, BITCASK_IO, 100000);
        assert_status(put(cask, "one", 900), BITCASK_IO);
        assert_status(put(cask, "two", 900), BITCASK_OK);
        assert_status(put(cask, "three", 900), BITCASK_OK);
        left = sim_disk_after(disk, SIM_POWER_ANY, seed);
        found = open_cask(left, &lazy);
        if (bitcask_exists(found, bitcask_text("three")) == BITCASK_OK)
            assert_status(bitcask_exists(found, bitcask_text("two")), BITCASK_OK);
        assert_status(bitcask_close(found), BITCASK_OK);
        sim_disk_free(left);
        assert_status(bitcask_close(cask), BITCASK_OK);
        sim_disk_free(disk);
    }
}

struct moment_of_rename {
    struct sim_disk *left;
    uint64_t seed;
};

static void copy_after_rename(struct sim_disk *disk, const struct sim_moment *moment,
                              void *context)
{
    struct moment_of_rename *copy = context;

    if (copy->left == NULL && moment->call == FAULT_RENAME && moment->when == SIM_AFTER &&
        strcmp(moment->name, "MANIFEST") == 0)
        copy->left = sim_disk_after(disk, SIM_POWER_ANY, copy->seed);
}

/*
 * A file could not be begun and was removed; the next session's MANIFEST did not list it
 * any more, and got to the disk before the removal did.
 */
static void a_file_that_was_removed_does_not_come_back_unlisted(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = open_cask(disk, &durable);

    (void)state;
    assert_status(put(cask, "first", 2000), BITCASK_OK);
    assert_status(bitcask_close(cask), BITCASK_OK);
    cask = open_cask(disk, &durable);
    sim_disk_arm(disk, &(struct fault_plan){ .calls = FAULT_BIT(FAULT_WRITE),
                                             .skip = 1, /* the MANIFEST passes */
                                             .status = BITCASK_NO_SPACE,
                                             .error = ENOSPC });
    assert_status(put(cask, "second", 3500), BITCASK_NO_SPACE);
    assert_status(bitcask_close(cask), BITCASK_OK);

    for (uint64_t seed = 0; seed < 300; seed++) {
        struct moment_of_rename copy = { .seed = seed };
        struct sim_disk *session = sim_disk_after(disk, SIM_KILL, 1);

        cask = open_cask(session, &durable);
        sim_disk_set_hook(session, copy_after_rename, &copy);
        assert_status(put(cask, "third", 3500), BITCASK_OK);
        sim_disk_set_hook(session, NULL, NULL);
        assert_status(bitcask_close(cask), BITCASK_OK);
        sim_disk_free(session);
        assert_non_null(copy.left);
        assert_status(bitcask_close(open_cask(copy.left, &durable)), BITCASK_OK);
        sim_disk_free(copy.left);
    }
    sim_disk_free(disk);
}

/* The stale header of a file that could not be begun is none of a file that is in use. */
static void an_id_of_which_a_file_failed_is_not_used_again(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = open_cask(disk, &durable);
    size_t size;

    (void)state;
    sim_disk_set_no_allocate(disk);
    assert_status(put(cask, "first", 2000), BITCASK_OK);
    fail_once(disk, FAULT_WRITE, BITCASK_NO_SPACE, 64);
    assert_status(put(cask, "second", 3500), BITCASK_NO_SPACE);
    assert_status(put(cask, "second", 3500), BITCASK_OK);
    assert_null(sim_disk_file(disk, "/cask", "0000000002.data", &size));
    assert_non_null(sim_disk_file(disk, "/cask", "0000000003.data", &size));
    assert_status(bitcask_close(cask), BITCASK_OK);
    assert_status(bitcask_close(open_cask(disk, &durable)), BITCASK_OK);
    sim_disk_free(disk);
}

/* Burned ids are listed on; an old header of theirs is no exchange. */
static void the_old_header_of_a_burned_id_is_no_exchange(void **state)
{
    struct sim_disk *disk = sim_disk_new(1), *left;
    const struct bitcask_options lazy = { .sync = BITCASK_SYNC_NONE,
                                          .no_background = true,
                                          .file_size_max = 4096 };
    struct bitcask *cask = open_cask(disk, &lazy);

    (void)state;
    assert_status(put(cask, "first", 2000), BITCASK_OK);
    fail_once(disk, FAULT_WRITE, BITCASK_NO_SPACE, 64);
    assert_status(put(cask, "second", 3500), BITCASK_NO_SPACE);
    assert_status(put(cask, "second", 3500), BITCASK_OK);
    for (uint64_t seed = 0; seed < 3000; seed++) {
        left = sim_disk_after(disk, SIM_POWER_ANY, seed);
        assert_status(bitcask_close(open_cask(left, &durable)), BITCASK_OK);
        sim_disk_free(left);
    }
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(disk);
}

/* The newest file of one killed cask in the place of that of another was deleted. */
static void put_file_of_another_cask(bool allocates)
{
    struct sim_disk *disks[2];
    struct bitcask *cask = NULL;
    const uint8_t *file;
    uint8_t copy[8192];
    size_t size;

    for (uint64_t i = 0; i < 2; i++) {
        struct sim_disk *disk = sim_disk_new(i + 1);

        if (!allocates)
            sim_disk_set_no_allocate(disk);
        cask = open_cask(disk, &durable);
        for (int k = 0; k < (i == 0 ? 6 : 9); k++) {
            char key[2] = { (char)('a' + k), '\0' };

            assert_status(put(cask, key, 1200), BITCASK_OK);
        }
        disks[i] = sim_disk_after(disk, SIM_KILL, 1);
        assert_status(bitcask_close(cask), BITCASK_OK);
        sim_disk_free(disk);
    }
    file = sim_disk_file(disks[1], "/cask", "0000000003.data", &size);
    assert_true(file != NULL && size <= sizeof copy);
    memcpy(copy, file, size);
    sim_disk_put_file(disks[0], "/cask", "0000000002.data", copy, size);
    assert_status(bitcask_open_with(sim_disk_io(disks[0]), &cask, "/cask", &durable),
                  BITCASK_CORRUPT);
    assert_detail("segment 3 of another cask");
    sim_disk_free(disks[0]);
    sim_disk_free(disks[1]);
}

/* With space that was set aside behind its records, too. */
static void a_whole_file_of_another_cask_is_no_torn_tail(void **state)
{
    (void)state;
    put_file_of_another_cask(false);
    put_file_of_another_cask(true);
}

/* A hint may be all that tells of a record whose header has gone bad. */
static void hints_that_were_found_make_no_room(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask = open_cask(disk, &durable);
    const uint8_t *file;
    uint8_t copy[8192];
    char key[32];
    size_t size;

    (void)state;
    for (int i = 0; i < 8; i++) {
        (void)snprintf(key, sizeof key, "key %d", i);
        assert_status(put(cask, key, 1200), BITCASK_OK);
    }
    assert_status(bitcask_close(cask), BITCASK_OK);
    file = sim_disk_file(disk, "/cask", FIRST_DATA_NAME, &size);
    assert_true(file != NULL && size <= sizeof copy);
    memcpy(copy, file, size);
    copy[64 + 28 + 5 + 1200 + 10] ^= 1;
    sim_disk_put_file(disk, "/cask", FIRST_DATA_NAME, copy, size);

    cask = open_cask(disk, &durable);
    sim_disk_set_capacity(disk, used_size(disk) + 100);
    (void)put(cask, "last", 10);
    (void)bitcask_close(cask);
    sim_disk_set_capacity(disk, UINT64_MAX);
    cask = open_cask(disk, &durable);
    assert_status(bitcask_exists(cask, bitcask_text("key 1")), BITCASK_OK);
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(disk);
}

/*
 * A file of which the first record failed was listed, since its cut was synced; the next
 * recovery removed it, and died before it could write a MANIFEST without it.
 */
static void a_file_without_a_record_is_not_missed(void **state)
{
    struct sim_disk *disk = sim_disk_new(1), *left;
    const struct bitcask_options options = { .sync = BITCASK_SYNC_ALWAYS,
                                             .no_background = true };
    struct bitcask *cask = open_cask(disk, &options);

    (void)state;
    sim_disk_arm(disk, &(struct fault_plan){ .calls = FAULT_BIT(FAULT_WRITE),
                                             .skip = 1, /* the header */
                                             .partial_size = 20 });
    assert_status(put(cask, "failed", 100), BITCASK_IO);
    sim_disk_arm(disk, &(struct fault_plan){ .calls = FAULT_BIT(FAULT_WRITE),
                                             .skip = 1, /* the MANIFEST */
                                             .partial_size = 20 });
    assert_status(put(cask, "failed", 100), BITCASK_IO);
    left = sim_disk_after(disk, SIM_KILL, 1);
    (void)bitcask_close(cask);
    sim_disk_free(disk);
    sim_disk_remove_file(left, "/cask", FIRST_DATA_NAME);
    assert_status(bitcask_close(open_cask(left, &options)), BITCASK_OK);
    sim_disk_free(left);
}

/* Files that could not be begun stood before the one that was, and ended history. */
static void files_that_were_never_begun_do_not_end_history(void **state)
{
    struct sim_disk *disk = sim_disk_new(1), *left;
    const struct bitcask_options options = { .sync = BITCASK_SYNC_ALWAYS,
                                             .no_background = true };
    struct bitcask *cask = open_cask(disk, &options);

    (void)state;
    for (int i = 0; i < 2; i++) {
        fail_once(disk, FAULT_WRITE, BITCASK_IO, 0); /* the header */
        assert_status(put(cask, "failed", 100), BITCASK_IO);
    }
    assert_status(put(cask, "key", 100), BITCASK_OK);
    left = sim_disk_after(disk, SIM_KILL, 1);
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(disk);
    sim_disk_put_file(left, "/cask", FIRST_DATA_NAME, "", 0);
    sim_disk_put_file(left, "/cask", "0000000002.data", "", 0);
    cask = open_cask(left, &options);
    assert_status(bitcask_exists(cask, bitcask_text("key")), BITCASK_OK);
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(left);
}

/* What is removed of a directory without a record was removed without a word. */
static void what_is_left_of_a_cask_without_records_is_reported(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask_stat stat;
    struct bitcask *cask;

    (void)state;
    sim_disk_put_file(disk, "/cask", "0000000002.data", "BITCA", 5);
    cask = open_cask(disk, &durable);
    assert_status(bitcask_stat(cask, &stat), BITCASK_OK);
    assert_int_equal(stat.cut_count, 1);
    assert_int_equal(stat.cut_size, 5);
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_is_synced_before_the_next_file_begins),
        cmocka_unit_test(a_write_or_sync_that_failed_may_have_done_something),
        cmocka_unit_test(a_listing_that_fails_is_told),
        cmocka_unit_test(hints_make_room_for_the_manifest),
        cmocka_unit_test(salvage_counts_files_that_the_manifest_does_not_list),
        cmocka_unit_test(salvage_counts_records_that_are_missing),
        cmocka_unit_test(a_record_cut_off_behind_its_key_is_a_proof),
        cmocka_unit_test(a_file_is_missed_from_its_first_sync_on),
        cmocka_unit_test(a_cut_is_synced_before_anything_is_built_on_it),
        cmocka_unit_test(nothing_is_written_over_a_cut_that_is_not_synced),
        cmocka_unit_test(a_file_that_was_removed_does_not_come_back_unlisted),
        cmocka_unit_test(an_id_of_which_a_file_failed_is_not_used_again),
        cmocka_unit_test(the_old_header_of_a_burned_id_is_no_exchange),
        cmocka_unit_test(a_whole_file_of_another_cask_is_no_torn_tail),
        cmocka_unit_test(hints_that_were_found_make_no_room),
        cmocka_unit_test(a_file_without_a_record_is_not_missed),
        cmocka_unit_test(files_that_were_never_begun_do_not_end_history),
        cmocka_unit_test(what_is_left_of_a_cask_without_records_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
