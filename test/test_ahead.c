/* SPDX-License-Identifier: MIT */
/*
 * What is read ahead of recovery, and that it makes no difference to what recovery says,
 * whoever reads it. Promises 2 to 6.
 */
#include "test/test_cask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/ahead.h"
#include "test/data_image.h"
#include "test/sim_disk.h"

#define SALT UINT64_C(7)

static const struct bitcask_options alone = {
    .file_size_max = 4096,
    .no_background = true,
    .sync = BITCASK_SYNC_NONE,
    .threads = 1,
};
static const struct bitcask_options threaded = {
    .file_size_max = 4096,
    .no_background = true,
    .sync = BITCASK_SYNC_NONE,
    .threads = 2,
};

/* A MANIFEST with one segment, of which so much was synced. */
static void list_one(struct bitcask_manifest *manifest, uint64_t synced_size)
{
    struct bitcask_manifest_segment line = { .state = BITCASK_MANIFEST_PREPARED,
                                             .id = 1,
                                             .salt = SALT };

    if (synced_size > 0) {
        line.state = BITCASK_MANIFEST_OPEN;
        line.size = synced_size;
    }
    bitcask_manifest_init(manifest);
    assert_status(bitcask_manifest_add(manifest, &line), BITCASK_OK);
}

/* Read @image ahead; what is covered, and how many records. */
static uint64_t read_ahead(struct test_disk *disk, const struct data_image *image,
                           bool by_thread, uint64_t *count, uint64_t *proven)
{
    struct bitcask_ahead ahead = { .count = 0 };
    struct bitcask_ahead_file *file;
    struct bitcask_manifest manifest;
    uint64_t covered = 0;

    data_image_write(image, disk);
    list_one(&manifest, 0);
    assert_status(
        bitcask_ahead_begin(&ahead, disk->io, disk->directory, &manifest, by_thread),
        BITCASK_OK);
    assert_status(bitcask_ahead_join(&ahead), BITCASK_OK);
    file = bitcask_ahead_find(&ahead, 1);
    *count = 0;
    *proven = 0;
    if (file != NULL) {
        covered = file->covered;
        *count = file->entries.trailer.entry_count;
        *proven = file->proven;
        assert_int_equal(file->synced_end, by_thread ? covered : 0);
    }
    assert_null(bitcask_ahead_find(&ahead, 2));
    bitcask_ahead_release(&ahead);
    bitcask_manifest_release(&manifest);
    return covered;
}

static void records_are_taken_as_long_as_they_go_on(void **state)
{
    static const struct image_record parts[] = {
        { .key = { "one", 3 }, .value = { "1", 1 } },
        { .key = { "two", 3 }, .deletes = true },
    };
    struct test_disk *disk = *state;

    for (int by_thread = 0; by_thread < 2; by_thread++) {
        struct data_image image;
        uint64_t count, proven, end;

        data_image_init(&image, 1, SALT);
        assert_int_equal(read_ahead(disk, &image, by_thread, &count, &proven), 0);
        image.next_sequence = 10;
        image.unsynced_count = 3;
        data_image_put(&image, "first", "value");
        data_image_add_batch(&image, parts, 2);
        image.unsynced_count = UINT32_MAX;
        data_image_delete(&image, "first");
        end = image.bytes.size;
        assert_int_equal(read_ahead(disk, &image, by_thread, &count, &proven), end);
        assert_int_equal(count, 4);
        assert_int_equal(proven, 8);

        /* One is missing. */
        image.next_sequence++;
        data_image_put(&image, "behind", "value");
        assert_int_equal(read_ahead(disk, &image, by_thread, &count, &proven), end);
        assert_int_equal(count, 4);
        image.bytes.size = (size_t)end;
        image.next_sequence -= 2;

        /* A value, and then a key, is bad. */
        data_image_put(&image, "behind", "value");
        ((uint8_t *)image.bytes.data)[image.bytes.size - 1] ^= 1;
        assert_int_equal(read_ahead(disk, &image, by_thread, &count, &proven), end);
        ((uint8_t *)image.bytes.data)[image.bytes.size - 6] ^= 1;
        assert_int_equal(read_ahead(disk, &image, by_thread, &count, &proven), end);
        image.bytes.size = (size_t)end;
        image.next_sequence--;

        /* A batch of which the last part does not go on. */
        data_image_add_batch(&image, parts, 2);
        image.bytes.size--;
        assert_int_equal(read_ahead(disk, &image, by_thread, &count, &proven), end);
        assert_int_equal(count, 4);
        data_image_release(&image);
    }
}

static void where_there_is_a_hint_it_speaks(void **state)
{
    struct test_disk *disk = *state;
    struct data_image image;
    uint64_t count, proven;

    data_image_init(&image, 1, SALT);
    data_image_put(&image, "key", "value");
    assert_int_not_equal(read_ahead(disk, &image, false, &count, &proven), 0);
    test_disk_write(disk, FIRST_HINT, "", 0);
    assert_int_equal(read_ahead(disk, &image, false, &count, &proven), 0);
    data_image_release(&image);
}

/* Nothing is written that was known to be synced, nor what no record is in. */
static void what_was_not_synced_is_written_again(void **state)
{
    struct test_disk *disk = *state;
    struct data_image image;
    struct bitcask_buffer bytes = { 0 };
    uint64_t first_end, end;

    data_image_init(&image, 1, SALT);
    data_image_put(&image, "first", "value");
    first_end = image.bytes.size;
    data_image_put(&image, "second", "value");
    end = image.bytes.size;
    data_image_add_bytes(&image, "no record", 9);
    for (int synced = 0; synced < 3; synced++) {
        struct bitcask_ahead ahead = { .count = 0 };
        struct bitcask_manifest manifest;

        data_image_write(&image, disk);
        list_one(&manifest, synced == 0 ? 0 : synced == 1 ? first_end : end);
        fault_io_disarm(&disk->fault);
        for (int failing = 2; failing >= 0; failing--) {
            const struct fault_plan plan = {
                .calls = FAULT_BIT(failing == 1 ? FAULT_WRITE : FAULT_SYNC),
                .error = EIO,
            };
            struct bitcask_ahead_file *file;
            enum bitcask_status status;

            if (failing > 0)
                fault_io_arm(&disk->fault, &plan);
            assert_status(
                bitcask_ahead_begin(&ahead, disk->io, disk->directory, &manifest, true),
                BITCASK_OK);
            status = bitcask_ahead_join(&ahead);
            fault_io_disarm(&disk->fault);
            assert_status(status, synced == 2 || failing == 0 ? BITCASK_OK : BITCASK_IO);
            if (status != BITCASK_OK)
                assert_detail(FIRST_DATA);
            file = bitcask_ahead_find(&ahead, 1);
            assert_non_null(file);
            assert_int_equal(file->covered, end);
            assert_int_equal(file->synced_end, synced == 2 || failing > 0 ? 0 : end);
            bitcask_ahead_release(&ahead);
            test_disk_read(disk, FIRST_DATA, &bytes);
            assert_int_equal(bytes.size, image.bytes.size);
            assert_memory_equal(bytes.data, image.bytes.data, bytes.size);
        }
        bitcask_manifest_release(&manifest);
    }
    bitcask_buffer_release(&bytes);
    data_image_release(&image);
}

/* What an open has made of a directory. */
struct outcome {
    enum bitcask_status status;
    char detail[BITCASK_DETAIL_SIZE];
    struct bitcask_stat stat;
    struct test_image image;
};

static void open_and_note(struct test_disk *disk, const struct test_image *before,
                          const struct bitcask_options *options, struct outcome *outcome)
{
    struct bitcask *cask = NULL;
    const char *words;

    test_image_restore(before, disk);
    outcome->status = bitcask_open_with(disk->io, &cask, disk->path, options);
    outcome->detail[0] = '\0';
    if (outcome->status != BITCASK_OK) {
        words = strstr(bitcask_error_detail(), ": ");
        (void)snprintf(outcome->detail, sizeof outcome->detail, "%s",
                       words != NULL ? words : "");
    } else {
        outcome->stat = test_cask_stat(cask);
    }
    test_image_take(&outcome->image, disk->path);
    (void)bitcask_close(cask);
}

static void assert_same(const struct outcome *left, const struct outcome *right)
{
    assert_int_equal(left->status, right->status);
    assert_string_equal(left->detail, right->detail);
    for (size_t i = 0; i < left->image.count; i++) {
        const struct test_image_file *file = &left->image.files[i];
        const struct test_image_file *other = test_image_find(&right->image, file->name);

        if (strstr(file->name, ".data") == NULL)
            continue;
        assert_non_null(other);
        assert_int_equal(file->size, other->size);
        assert_memory_equal(file->bytes, other->bytes, file->size);
    }
    if (left->status != BITCASK_OK)
        return;
    assert_int_equal(left->stat.last_sequence, right->stat.last_sequence);
    assert_int_equal(left->stat.synced_sequence, right->stat.synced_sequence);
    assert_int_equal(left->stat.key_count, right->stat.key_count);
    assert_int_equal(left->stat.live_size, right->stat.live_size);
    assert_int_equal(left->stat.dead_size, right->stat.dead_size);
    assert_int_equal(left->stat.segment_count, right->stat.segment_count);
    assert_int_equal(left->stat.cut_count, right->stat.cut_count);
    assert_int_equal(left->stat.cut_size, right->stat.cut_size);
    assert_int_equal(left->stat.recovered_size, right->stat.recovered_size);
    assert_int_equal(left->stat.scan_count, right->stat.scan_count);
}

/* Whatever has happened to a cask of several files that was not closed. */
static void threads_make_no_difference(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &alone);
    struct test_image whole = { 0 };
    struct test_image hurt = { 0 };
    struct outcome one = { BITCASK_OK, "", { 0 }, { 0 } };
    struct outcome two = { BITCASK_OK, "", { 0 }, { 0 } };

    test_disk_skip_syncs(disk);
    test_history_write(cask, 1, 60);
    test_image_take(&whole, disk->path);
    test_cask_close(cask);
    for (size_t i = 0; i < whole.count; i++) {
        const struct test_image_file *file = &whole.files[i];

        if (strstr(file->name, ".data") == NULL)
            continue;
        for (size_t hints = 0; hints < 2; hints++) {
            for (size_t at = 3; at < file->size; at += 61) {
                test_image_restore(&whole, disk);
                for (size_t k = 0; k < whole.count && hints == 0; k++) {
                    if (strstr(whole.files[k].name, ".hint") != NULL)
                        test_disk_remove(disk, whole.files[k].name);
                }
                if (at % 3 == 0)
                    test_disk_truncate(disk, file->name, at);
                else if (at % 3 == 1)
                    test_disk_flip(disk, file->name, at, 4);
                else
                    test_disk_truncate(disk, file->name, file->size + at);
                test_image_take(&hurt, disk->path);
                open_and_note(disk, &hurt, &alone, &one);
                open_and_note(disk, &hurt, &threaded, &two);
                assert_same(&one, &two);
            }
        }
    }
    test_image_release(&whole);
    test_image_release(&hurt);
    test_image_release(&one.image);
    test_image_release(&two.image);
}

/* Nor with hints, of which each is verified by one of them. */
static void threads_believe_the_same_hints(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &alone);
    struct test_image whole = { 0 };
    struct test_image hurt = { 0 };
    struct outcome one = { BITCASK_OK, "", { 0 }, { 0 } };
    struct outcome two = { BITCASK_OK, "", { 0 }, { 0 } };

    test_disk_skip_syncs(disk);
    test_history_write(cask, 1, 200);
    test_cask_close(cask);
    test_image_take(&whole, disk->path);
    assert_true(test_image_count(&whole, ".hint") > 3);
    for (size_t i = 0; i < whole.count; i++) {
        const struct test_image_file *file = &whole.files[i];

        if (strstr(file->name, ".hint") == NULL)
            continue;
        for (size_t at = 1; at < file->size; at += 29) {
            test_image_restore(&whole, disk);
            if (at % 2 == 0)
                test_disk_truncate(disk, file->name, at);
            else
                test_disk_flip(disk, file->name, at, 4);
            test_image_take(&hurt, disk->path);
            open_and_note(disk, &hurt, &alone, &one);
            open_and_note(disk, &hurt, &threaded, &two);
            assert_same(&one, &two);
            assert_status(one.status, BITCASK_OK);
            assert_int_equal(one.stat.last_sequence, 200);
            assert_int_equal(two.stat.hint_count, one.stat.hint_count);
        }
    }
    test_image_release(&whole);
    test_image_release(&hurt);
    test_image_release(&one.image);
    test_image_release(&two.image);
}

/* THE SIMULATED DISK: crashes of an open that writes again what it reads ahead. */
enum {
    SYNCED_COUNT = 20,
    WRITE_COUNT = 60
};

struct trial {
    long count;
};

static void crash(struct sim_disk *disk, const struct sim_moment *moment, void *context)
{
    struct trial *trial = context;

    (void)moment;
    for (int loss = SIM_KILL; loss < SIM_LOSS_COUNT; loss++) {
        struct sim_disk *left =
            sim_disk_after(disk, (enum sim_loss)loss, (uint64_t)trial->count++);
        struct bitcask *cask = NULL;
        uint64_t first = 0;

        for (int again = 0; again < 2; again++) {
            uint64_t count;

            assert_status(bitcask_open_with(sim_disk_io(left), &cask, "/cask",
                                            again ? &alone : &threaded),
                          BITCASK_OK);
            count = test_history_check(cask);
            assert_in_range(count, loss == SIM_KILL ? WRITE_COUNT : SYNCED_COUNT,
                            WRITE_COUNT);
            assert_true(again == 0 || count == first);
            first = count;
            assert_status(bitcask_close(cask), BITCASK_OK);
        }
        sim_disk_free(left);
    }
}

static void a_recovery_by_threads_survives_crashes(void **state)
{
    struct trial trial = { .count = 0 };
    struct sim_disk *disk = sim_disk_new(1);
    struct sim_disk *left;
    struct bitcask *cask = NULL;

    (void)state;
    assert_status(bitcask_open_with(sim_disk_io(disk), &cask, "/cask", &alone),
                  BITCASK_OK);
    test_history_write(cask, 1, SYNCED_COUNT);
    assert_status(bitcask_sync(cask), BITCASK_OK);
    test_history_write(cask, SYNCED_COUNT + 1, WRITE_COUNT);
    left = sim_disk_after(disk, SIM_KILL, 1);
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(disk);

    sim_disk_set_hook(left, crash, &trial);
    assert_status(bitcask_open_with(sim_disk_io(left), &cask, "/cask", &threaded),
                  BITCASK_OK);
    sim_disk_set_hook(left, NULL, NULL);
    assert_int_equal(test_history_check(cask), WRITE_COUNT);
    assert_int_equal(test_cask_stat(cask).synced_sequence, WRITE_COUNT);
    assert_status(bitcask_close(cask), BITCASK_OK);

    /* And now the power fails: all that was recovered had been synced. */
    disk = sim_disk_after(left, SIM_POWER_NOTHING, 1);
    sim_disk_free(left);
    assert_status(bitcask_open_with(sim_disk_io(disk), &cask, "/cask", &alone),
                  BITCASK_OK);
    assert_int_equal(test_history_check(cask), WRITE_COUNT);
    assert_status(bitcask_close(cask), BITCASK_OK);
    sim_disk_free(disk);
    assert_true(trial.count > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(records_are_taken_as_long_as_they_go_on),
        disk_test(where_there_is_a_hint_it_speaks),
        disk_test(what_was_not_synced_is_written_again),
        disk_test(threads_make_no_difference),
        disk_test(threads_believe_the_same_hints),
        cmocka_unit_test(a_recovery_by_threads_survives_crashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
