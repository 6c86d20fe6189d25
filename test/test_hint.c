/* SPDX-License-Identifier: MIT */
/* Writing hints and reading them back; test_hint_damage.c has those that are bad. */
#include "test/test_support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "hint/hint.h"
#include "test/test_alloc.h"

#define SALT UINT64_C(0x0123456789abcdef)

static const char name[] = "0000000007.hint";

static const struct bitcask_hint_entry entries[] = {
    { .kind = BITCASK_RECORD_PUT,
      .value_size = 4,
      .offset = 64,
      .sequence = 12,
      .key = { "ada", 3 } },
    { .kind = BITCASK_RECORD_TOMBSTONE,
      .offset = 99,
      .sequence = 11,
      .key = { "\0\xff", 2 } },
    { .kind = BITCASK_RECORD_PUT,
      .flags = BITCASK_RECORD_EXPIRES,
      .value_size = 9,
      .offset = 200,
      .sequence = 40,
      .expiry_ms = 1700000000000,
      .key = { "session", 7 } },
};
#define DATA_SIZE UINT64_C(252) /* where the last one ends */

static void add_entries(struct bitcask_hint_writer *writer)
{
    assert_status(bitcask_hint_writer_init(writer, 7, SALT), BITCASK_OK);
    for (size_t i = 0; i < LENGTH_OF(entries); i++)
        assert_status(bitcask_hint_writer_add(writer, &entries[i]), BITCASK_OK);
}

static enum bitcask_status commit(struct test_disk *disk,
                                  struct bitcask_hint_writer *writer)
{
    return bitcask_hint_writer_commit(writer, disk->io, disk->directory, 7, DATA_SIZE);
}

static void write_hint(struct test_disk *disk)
{
    struct bitcask_hint_writer writer;

    add_entries(&writer);
    assert_status(commit(disk, &writer), BITCASK_OK);
    bitcask_hint_writer_release(&writer);
}

/* A hint, and the memory to read it through. Zeroed is closed. */
struct reader {
    struct bitcask_hint hint;
    struct bitcask_buffer window;
};

static enum bitcask_status open_hint(struct test_disk *disk, struct reader *reader)
{
    return bitcask_hint_open(&reader->hint, disk->io, disk->directory, 7, SALT,
                             &reader->window);
}

static void close_hint(struct reader *reader)
{
    bitcask_hint_close(&reader->hint);
    bitcask_hint_close(&reader->hint);
    bitcask_buffer_release(&reader->window);
}

static void expect_entries(struct bitcask_hint *hint)
{
    struct bitcask_hint_entry entry;

    for (size_t i = 0; i < LENGTH_OF(entries); i++) {
        assert_status(bitcask_hint_next(hint, &entry), BITCASK_OK);
        assert_int_equal(entry.kind, entries[i].kind);
        assert_int_equal(entry.flags, entries[i].flags);
        assert_int_equal(entry.value_size, entries[i].value_size);
        assert_int_equal(entry.offset, entries[i].offset);
        assert_int_equal(entry.sequence, entries[i].sequence);
        assert_int_equal(entry.expiry_ms, entries[i].expiry_ms);
        assert_int_equal(entry.key.size, entries[i].key.size);
        assert_memory_equal(entry.key.data, entries[i].key.data, entry.key.size);
    }
    assert_status(bitcask_hint_next(hint, &entry), BITCASK_NOT_FOUND);
    assert_status(bitcask_hint_next(hint, &entry), BITCASK_NOT_FOUND);
}

static void what_is_written_is_read_in_order(void **state)
{
    struct test_disk *disk = *state;
    struct reader reader = { .window = { 0 } };

    write_hint(disk);
    assert_status(open_hint(disk, &reader), BITCASK_OK);
    assert_int_equal(reader.hint.trailer.entry_count, 3);
    assert_int_equal(reader.hint.trailer.tombstone_count, 1);
    assert_int_equal(reader.hint.trailer.first_sequence, 11);
    assert_int_equal(reader.hint.trailer.last_sequence, 40);
    assert_int_equal(reader.hint.trailer.data_size, DATA_SIZE);
    expect_entries(&reader.hint);
    close_hint(&reader);
    assert_int_equal(test_disk_count(disk), 1); /* no temporary file */
}

/* What a writer has collected can be read without a file, more than once at a time. */
static void what_was_not_written_yet_is_read_from_memory(void **state)
{
    struct bitcask_buffer windows[2] = { { 0 }, { 0 } };
    struct bitcask_hint hints[2];
    struct bitcask_hint_writer writer;

    (void)state;
    add_entries(&writer);
    for (int i = 0; i < 2; i++) {
        bitcask_hint_of_writer(&hints[i], &writer, &windows[i]);
        assert_int_equal(hints[i].trailer.entry_count, 3);
        assert_int_equal(hints[i].trailer.last_sequence, 40);
    }
    expect_entries(&hints[0]);
    expect_entries(&hints[1]);
    bitcask_hint_writer_release(&writer);
}

/* It is not read from end to end a second time; but whose it is, is looked at. */
static void a_hint_that_was_verified_is_believed(void **state)
{
    struct test_disk *disk = *state;
    struct reader reader = { .window = { 0 } };
    uint64_t size;

    write_hint(disk);
    size = test_disk_size(disk, "0000000007.hint");
    assert_status(bitcask_hint_open_verified(&reader.hint, disk->io, disk->directory, 7,
                                             SALT, &reader.window),
                  BITCASK_OK);
    assert_int_equal(reader.hint.trailer.entry_count, 3);
    expect_entries(&reader.hint);
    close_hint(&reader);
    assert_status(bitcask_hint_open_verified(&reader.hint, disk->io, disk->directory, 7,
                                             SALT + 1, &reader.window),
                  BITCASK_CORRUPT);

    test_disk_flip(disk, "0000000007.hint", size - 1, 1); /* the check of it all */
    assert_status(open_hint(disk, &reader), BITCASK_CORRUPT);
    assert_status(bitcask_hint_open_verified(&reader.hint, disk->io, disk->directory, 7,
                                             SALT, &reader.window),
                  BITCASK_OK);
    expect_entries(&reader.hint);
    close_hint(&reader);
}

static void a_hint_without_entries_is_fine(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_hint_writer writer;
    struct reader reader = { .window = { 0 } };
    struct bitcask_hint_entry entry;

    assert_status(bitcask_hint_writer_init(&writer, 7, SALT), BITCASK_OK);
    assert_status(bitcask_hint_writer_commit(&writer, disk->io, disk->directory, 7, 64),
                  BITCASK_OK);
    bitcask_hint_writer_release(&writer);
    assert_status(open_hint(disk, &reader), BITCASK_OK);
    assert_int_equal(reader.hint.trailer.entry_count, 0);
    assert_int_equal(reader.hint.trailer.tombstone_count, 0);
    assert_int_equal(reader.hint.trailer.first_sequence, 0);
    assert_int_equal(reader.hint.trailer.last_sequence, 0);
    assert_int_equal(reader.hint.trailer.data_size, 64);
    assert_status(bitcask_hint_next(&reader.hint, &entry), BITCASK_NOT_FOUND);
    close_hint(&reader);
}

static void the_largest_keys_and_offsets_make_the_round_trip(void **state)
{
    struct test_disk *disk = *state;
    uint8_t *key = test_noise(BITCASK_KEY_SIZE_MAX, 1);
    const struct bitcask_hint_entry large = {
        .kind = BITCASK_RECORD_PUT,
        .flags = BITCASK_RECORD_EXPIRES,
        .value_size = BITCASK_VALUE_SIZE_MAX,
        .offset = UINT64_C(1) << 62,
        .sequence = UINT64_MAX,
        .expiry_ms = UINT64_MAX,
        .key = { key, BITCASK_KEY_SIZE_MAX },
    };
    struct bitcask_hint_writer writer;
    struct reader reader = { .window = { 0 } };
    struct bitcask_hint_entry entry;

    assert_status(bitcask_hint_writer_init(&writer, 7, SALT), BITCASK_OK);
    assert_status(bitcask_hint_writer_add(&writer, &large), BITCASK_OK);
    assert_status(
        bitcask_hint_writer_commit(&writer, disk->io, disk->directory, 7, UINT64_MAX),
        BITCASK_OK);
    bitcask_hint_writer_release(&writer);
    assert_status(open_hint(disk, &reader), BITCASK_OK);
    assert_status(bitcask_hint_next(&reader.hint, &entry), BITCASK_OK);
    assert_int_equal(entry.offset, large.offset);
    assert_int_equal(entry.value_size, large.value_size);
    assert_int_equal(entry.sequence, UINT64_MAX);
    assert_int_equal(entry.expiry_ms, UINT64_MAX);
    assert_int_equal(entry.key.size, BITCASK_KEY_SIZE_MAX);
    assert_memory_equal(entry.key.data, key, BITCASK_KEY_SIZE_MAX);
    close_hint(&reader);
    free(key);
}

static void the_same_entries_give_the_same_bytes(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer first = { 0 }, second = { 0 };

    atomic_store(&disk->fault.wall_ms, 1000);
    write_hint(disk);
    test_disk_read(disk, name, &first);
    atomic_store(&disk->fault.wall_ms, 1700000000000);
    write_hint(disk);
    test_disk_read(disk, name, &second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    assert_int_equal(first.size, 64 + (24 + 3) + (24 + 2) + (32 + 7) + 48);
    bitcask_buffer_release(&first);
    bitcask_buffer_release(&second);
}

static void a_key_is_copied(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_hint_writer writer;
    struct reader reader = { .window = { 0 } };
    char key[] = "ada";
    struct bitcask_hint_entry entry = entries[0];

    entry.key.data = key;
    assert_status(bitcask_hint_writer_init(&writer, 7, SALT), BITCASK_OK);
    assert_status(bitcask_hint_writer_add(&writer, &entry), BITCASK_OK);
    memset(key, 'x', 3);
    assert_status(commit(disk, &writer), BITCASK_OK);
    bitcask_hint_writer_release(&writer);
    assert_status(open_hint(disk, &reader), BITCASK_OK);
    assert_status(bitcask_hint_next(&reader.hint, &entry), BITCASK_OK);
    assert_memory_equal(entry.key.data, "ada", 3);
    close_hint(&reader);
}

static void memory_is_used_again_for_the_next_hint(void **state)
{
    struct test_disk *disk = *state;
    struct reader reader = { .window = { 0 } };
    enum bitcask_status status;

    write_hint(disk);
    assert_status(open_hint(disk, &reader), BITCASK_OK);
    expect_entries(&reader.hint);
    bitcask_hint_close(&reader.hint);
    test_alloc_fail_from(0);
    status = open_hint(disk, &reader);
    assert_int_equal(test_alloc_stop(), 0);
    assert_status(status, BITCASK_OK);
    expect_entries(&reader.hint);
    close_hint(&reader);
}

/* So many, and so long, that they do not fit the memory that a reader has. */
static void many_entries_come_in_order_however_many_are_taken(void **state)
{
    static const size_t capacities[] = { 1, 2, 16, 1000 };
    enum {
        COUNT = 20000
    };
    struct test_disk *disk = *state;
    uint8_t *key = test_noise(BITCASK_KEY_SIZE_MAX, 5);
    struct bitcask_hint_entry *taken = calloc(1000, sizeof *taken);
    struct bitcask_hint_writer writer;
    struct bitcask_hint_entry entry = entries[1];

    assert_non_null(taken);
    assert_status(bitcask_hint_writer_init(&writer, 7, SALT), BITCASK_OK);
    for (uint64_t i = 0; i < COUNT; i++) {
        entry.key.data = key;
        entry.key.size =
            1 + (i % 1000 == 999 ? BITCASK_KEY_SIZE_MAX - 1 : (size_t)i % 77);
        entry.sequence = i + 1;
        entry.offset += 28 + BITCASK_KEY_SIZE_MAX;
        assert_status(bitcask_hint_writer_add(&writer, &entry), BITCASK_OK);
    }
    assert_status(bitcask_hint_writer_commit(&writer, disk->io, disk->directory, 7,
                                             entry.offset + 28 + BITCASK_KEY_SIZE_MAX),
                  BITCASK_OK);
    bitcask_hint_writer_release(&writer);

    for (size_t i = 0; i < LENGTH_OF(capacities); i++) {
        struct reader reader = { .window = { 0 } };
        enum bitcask_status status;
        uint64_t next = 0;
        size_t count;

        assert_status(open_hint(disk, &reader), BITCASK_OK);
        while ((status = bitcask_hint_take(&reader.hint, taken, capacities[i], &count)) ==
               BITCASK_OK) {
            assert_true(count >= 1 && count <= capacities[i]);
            for (size_t n = 0; n < count; n++, next++) {
                assert_int_equal(taken[n].sequence, next + 1);
                assert_int_equal(
                    taken[n].key.size,
                    1 + (next % 1000 == 999 ? BITCASK_KEY_SIZE_MAX - 1 : next % 77));
                assert_memory_equal(taken[n].key.data, key, taken[n].key.size);
            }
        }
        assert_status(status, BITCASK_NOT_FOUND);
        assert_int_equal(next, COUNT);
        close_hint(&reader);
    }
    free(taken);
    free(key);
}

/* Between the verification and the last entry. */
static void a_hint_that_goes_bad_meanwhile_is_noticed(void **state)
{
    struct test_disk *disk = *state;
    struct fault_plan plan = { .calls = FAULT_BIT(FAULT_READ) };
    struct reader reader = { .window = { 0 } };
    struct bitcask_hint_entry entry;

    write_hint(disk);
    assert_status(open_hint(disk, &reader), BITCASK_OK);
    fault_io_arm(&disk->fault, &plan);
    assert_status(bitcask_hint_next(&reader.hint, &entry), BITCASK_IO);
    assert_detail(name);
    close_hint(&reader);

    assert_status(open_hint(disk, &reader), BITCASK_OK);
    test_disk_truncate(disk, name, 70);
    assert_status(bitcask_hint_next(&reader.hint, &entry), BITCASK_CORRUPT);
    assert_detail(name);
    close_hint(&reader);
}

static void a_released_writer_writes_nothing(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_hint_writer writer;

    add_entries(&writer);
    bitcask_hint_writer_release(&writer);
    bitcask_hint_writer_release(&writer);
    assert_int_equal(test_disk_count(disk), 0);
}

static void every_write_error_leaves_the_former_hint_or_none(void **state)
{
    static const size_t partial_sizes[] = { 0, 1, 64, 130 };
    struct test_disk *disk = *state;
    struct bitcask_buffer former = { 0 }, now = { 0 };

    for (size_t i = 0; i < 2 * LENGTH_OF(partial_sizes); i++) {
        bool had_one = i % 2 == 1;
        long n;

        test_disk_clear(disk);
        if (had_one)
            test_disk_write(disk, name, "the former hint", 15);
        for (n = 0;; n++) {
            struct fault_plan plan = {
                .calls = FAULT_ANY,
                .skip = n,
                .status = BITCASK_NO_SPACE,
                .error = ENOSPC,
                .partial_size = partial_sizes[i / 2],
            };
            struct bitcask_hint_writer writer;
            enum bitcask_status status;

            add_entries(&writer);
            fault_io_arm(&disk->fault, &plan);
            status = commit(disk, &writer);
            fault_io_disarm(&disk->fault);
            bitcask_hint_writer_release(&writer);
            assert_int_equal(fault_io_open_count(&disk->fault), 1);
            if (fault_io_failure_count(&disk->fault) == 0) {
                assert_status(status, BITCASK_OK);
                assert_int_equal(test_disk_count(disk), 1);
                break;
            }
            assert_status(status, BITCASK_NO_SPACE);
            assert_detail("0000000007.hint");
            assert_detail(strerror(ENOSPC));
            assert_int_equal(test_disk_count(disk), had_one);
            if (had_one) {
                test_disk_read(disk, name, &now);
                assert_int_equal(now.size, 15);
                assert_memory_equal(now.data, "the former hint", 15);
            }
        }
        assert_true(n >= 3); /* open, write, rename */
    }
    bitcask_buffer_release(&former);
    bitcask_buffer_release(&now);
}

static void every_read_error_is_reported(void **state)
{
    struct test_disk *disk = *state;
    long n;

    write_hint(disk);
    for (n = 0;; n++) {
        struct fault_plan plan = { .calls = FAULT_ANY, .skip = n };
        struct reader reader = { .window = { 0 } };
        enum bitcask_status status;

        fault_io_arm(&disk->fault, &plan);
        status = open_hint(disk, &reader);
        fault_io_disarm(&disk->fault);
        assert_int_equal(fault_io_open_count(&disk->fault), status == BITCASK_OK ? 2 : 1);
        close_hint(&reader);
        if (fault_io_failure_count(&disk->fault) == 0) {
            assert_status(status, BITCASK_OK);
            break;
        }
        assert_status(status, BITCASK_IO);
        assert_detail(name);
    }
    assert_true(n >= 3); /* open, size, read */
}

static void a_missing_hint_is_not_found(void **state)
{
    struct test_disk *disk = *state;
    struct reader reader = { .window = { 0 } };

    assert_status(open_hint(disk, &reader), BITCASK_NOT_FOUND);
    assert_detail(name);
    close_hint(&reader);
}

static void removing_a_hint_is_fine_if_there_is_none(void **state)
{
    struct test_disk *disk = *state;
    struct fault_plan plan = { .calls = FAULT_BIT(FAULT_REMOVE) };

    write_hint(disk);
    fault_io_arm(&disk->fault, &plan);
    assert_status(bitcask_hint_remove(disk->io, disk->directory, 7), BITCASK_IO);
    assert_detail(name);
    assert_true(test_disk_has(disk, name));
    assert_status(bitcask_hint_remove(disk->io, disk->directory, 7), BITCASK_OK);
    assert_int_equal(test_disk_count(disk), 0);
    assert_status(bitcask_hint_remove(disk->io, disk->directory, 7), BITCASK_OK);
    assert_int_equal(fault_io_count(&disk->fault, FAULT_DIRECTORY_SYNC), 0);
}

/* A failed add leaves the writer as it was: trying again gives the same hint. */
static void running_out_of_memory_changes_no_hint(void **state)
{
    struct test_disk *disk = *state;
    uint8_t *key = test_noise(BITCASK_KEY_SIZE_MAX, 5);
    struct bitcask_hint_writer writer;
    struct bitcask_hint_entry entry = entries[0];
    struct reader reader = { .window = { 0 } };
    enum bitcask_status status;
    long failures = 0;

    test_alloc_fail(0);
    status = bitcask_hint_writer_init(&writer, 7, SALT);
    assert_int_equal(test_alloc_stop(), 1);
    assert_status(status, BITCASK_NO_MEMORY);
    bitcask_hint_writer_release(&writer);

    assert_status(bitcask_hint_writer_init(&writer, 7, SALT), BITCASK_OK);
    for (size_t i = 0; i < 300; i++) {
        entry.key.data = key;
        entry.key.size = 1 + i * 200;
        entry.sequence = i + 1;
        entry.value_size = 0;
        test_alloc_fail(0);
        status = bitcask_hint_writer_add(&writer, &entry);
        if (test_alloc_stop() != 0) {
            failures++;
            assert_status(status, BITCASK_NO_MEMORY);
            status = bitcask_hint_writer_add(&writer, &entry);
        }
        assert_status(status, BITCASK_OK);
        entry.offset += 28 + entry.key.size;
    }
    assert_true(failures > 5);
    assert_status(
        bitcask_hint_writer_commit(&writer, disk->io, disk->directory, 7, entry.offset),
        BITCASK_OK);
    bitcask_hint_writer_release(&writer);

    test_alloc_fail(0);
    status = open_hint(disk, &reader);
    assert_int_equal(test_alloc_stop(), 1);
    assert_status(status, BITCASK_NO_MEMORY);
    assert_status(open_hint(disk, &reader), BITCASK_OK);
    assert_int_equal(reader.hint.trailer.entry_count, 300);
    for (size_t i = 0; i < 300; i++) {
        assert_status(bitcask_hint_next(&reader.hint, &entry), BITCASK_OK);
        assert_int_equal(entry.key.size, 1 + i * 200);
        assert_memory_equal(entry.key.data, key, entry.key.size);
        assert_int_equal(entry.sequence, i + 1);
    }
    close_hint(&reader);
    free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(what_is_written_is_read_in_order),
        cmocka_unit_test(what_was_not_written_yet_is_read_from_memory),
        disk_test(a_hint_that_was_verified_is_believed),
        disk_test(a_hint_without_entries_is_fine),
        disk_test(the_largest_keys_and_offsets_make_the_round_trip),
        disk_test(the_same_entries_give_the_same_bytes),
        disk_test(a_key_is_copied),
        disk_test(memory_is_used_again_for_the_next_hint),
        disk_test(many_entries_come_in_order_however_many_are_taken),
        disk_test(a_hint_that_goes_bad_meanwhile_is_noticed),
        disk_test(a_released_writer_writes_nothing),
        disk_test(every_write_error_leaves_the_former_hint_or_none),
        disk_test(every_read_error_is_reported),
        disk_test(a_missing_hint_is_not_found),
        disk_test(removing_a_hint_is_fine_if_there_is_none),
        disk_test(running_out_of_memory_changes_no_hint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
