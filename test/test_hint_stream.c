/* SPDX-License-Identifier: MIT */
/* Hints that are written while their entries come. */
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
static const char temporary_name[] = "0000000007.hint.tmp";

/* What a stream may keep in memory: what it collects, and room to grow. */
enum {
    MEMORY_MAX = 1 << 20
};

/* Add @count entries, with keys of @key_size; the size of the data that they speak for.
 */
static enum bitcask_status add_entries(struct bitcask_hint_writer *writer, size_t count,
                                       size_t key_size, uint64_t *data_size)
{
    uint8_t *key = test_noise(key_size, 1);
    enum bitcask_status status = BITCASK_OK;

    *data_size = BITCASK_FILE_HEADER_SIZE;
    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        struct bitcask_hint_entry entry = {
            .kind = i % 5 == 0 ? BITCASK_RECORD_TOMBSTONE : BITCASK_RECORD_PUT,
            .value_size = i % 5 == 0 ? 0 : 10,
            .offset = *data_size,
            .sequence = 1 + (i * 7919) % count,
            .key = { key, key_size },
        };

        key[0] = (uint8_t)i;
        *data_size += BITCASK_RECORD_HEADER_SIZE + key_size + entry.value_size;
        status = bitcask_hint_writer_add(writer, &entry);
    }
    free(key);
    return status;
}

static void begin(struct test_disk *disk, struct bitcask_hint_writer *writer)
{
    assert_status(bitcask_hint_writer_init(writer, 7, SALT), BITCASK_OK);
    assert_status(bitcask_hint_writer_stream(writer, disk->io, disk->directory),
                  BITCASK_OK);
}

static enum bitcask_status commit(struct test_disk *disk,
                                  struct bitcask_hint_writer *writer, uint64_t data_size)
{
    return bitcask_hint_writer_commit(writer, disk->io, disk->directory, 7, data_size);
}

static void write_hint(struct test_disk *disk, bool streams, size_t count,
                       size_t key_size)
{
    struct bitcask_hint_writer writer;
    uint64_t data_size;

    if (streams)
        begin(disk, &writer);
    else
        assert_status(bitcask_hint_writer_init(&writer, 7, SALT), BITCASK_OK);
    assert_status(add_entries(&writer, count, key_size, &data_size), BITCASK_OK);
    if (streams)
        assert_true(writer.bytes.capacity <= MEMORY_MAX);
    assert_status(commit(disk, &writer, data_size), BITCASK_OK);
    bitcask_hint_writer_release(&writer);
    assert_int_equal(test_disk_count(disk), 1);
}

static void a_stream_writes_the_same_bytes(void **state)
{
    static const struct {
        size_t count;
        size_t key_size;
    } cases[] = { { 0, 1 },     { 1, 1 },       { 1, 65535 }, { 3, 65535 }, { 4, 65535 },
                  { 5, 65535 }, { 100, 65535 }, { 7000, 13 }, { 10485, 1 }, { 10486, 1 },
                  { 8192, 8 },  { 8191, 8 },    { 50000, 20 } };
    struct test_disk *disk = *state;
    struct bitcask_buffer whole = { 0 }, streamed = { 0 };

    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        printf("  %zu keys of %zu\n", cases[i].count, cases[i].key_size);
        write_hint(disk, false, cases[i].count, cases[i].key_size);
        test_disk_read(disk, name, &whole);
        write_hint(disk, true, cases[i].count, cases[i].key_size);
        test_disk_read(disk, name, &streamed);
        assert_int_equal(streamed.size, whole.size);
        assert_memory_equal(streamed.data, whole.data, whole.size);
    }
    bitcask_buffer_release(&whole);
    bitcask_buffer_release(&streamed);
}

static void a_streamed_hint_is_read_back(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer window = { 0 };
    struct bitcask_hint_entry entry;
    struct bitcask_hint hint;
    uint64_t offset = BITCASK_FILE_HEADER_SIZE;

    write_hint(disk, true, 30000, 10);
    assert_status(bitcask_hint_open(&hint, disk->io, disk->directory, 7, SALT, &window),
                  BITCASK_OK);
    assert_int_equal(hint.trailer.entry_count, 30000);
    assert_int_equal(hint.trailer.tombstone_count, 6000);
    assert_int_equal(hint.trailer.first_sequence, 1);
    assert_int_equal(hint.trailer.last_sequence, 30000);
    for (size_t i = 0; i < 30000; i++) {
        assert_status(bitcask_hint_next(&hint, &entry), BITCASK_OK);
        assert_int_equal(entry.offset, offset);
        assert_int_equal(entry.sequence, 1 + (i * 7919) % 30000);
        offset += BITCASK_RECORD_HEADER_SIZE + 10 + entry.value_size;
    }
    assert_status(bitcask_hint_next(&hint, &entry), BITCASK_NOT_FOUND);
    assert_int_equal(hint.trailer.data_size, offset);
    bitcask_hint_close(&hint);
    bitcask_buffer_release(&window);
}

/* Nobody finds it under its name before it is whole. */
static void until_it_is_committed_it_has_another_name(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_hint_writer writer;
    uint64_t data_size;

    begin(disk, &writer);
    assert_true(test_disk_has(disk, temporary_name));
    assert_status(add_entries(&writer, 20000, 20, &data_size), BITCASK_OK);
    assert_true(test_disk_size(disk, temporary_name) > 256 << 10);
    assert_false(test_disk_has(disk, name));
    assert_status(commit(disk, &writer, data_size), BITCASK_OK);
    assert_true(test_disk_has(disk, name));
    assert_false(test_disk_has(disk, temporary_name));
    bitcask_hint_writer_release(&writer);
    assert_true(test_disk_has(disk, name));
    assert_int_equal(fault_io_open_count(&disk->fault), 1); /* the directory */
}

static void a_released_stream_leaves_the_former_hint(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_hint_writer writer;
    uint64_t data_size;

    test_disk_write(disk, name, "the former hint", 15);
    begin(disk, &writer);
    assert_status(add_entries(&writer, 20000, 20, &data_size), BITCASK_OK);
    bitcask_hint_writer_release(&writer);
    bitcask_hint_writer_release(&writer);
    assert_int_equal(test_disk_count(disk), 1);
    assert_int_equal(test_disk_size(disk, name), 15);
    assert_int_equal(fault_io_open_count(&disk->fault), 1);
}

/* What a dead process has left is no obstacle. */
static void an_old_temporary_file_is_replaced(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_buffer whole = { 0 }, streamed = { 0 };
    uint8_t *noise = test_noise(100000, 1);

    write_hint(disk, false, 10, 10);
    test_disk_read(disk, name, &whole);
    test_disk_write(disk, temporary_name, noise, 100000);
    write_hint(disk, true, 10, 10);
    test_disk_read(disk, name, &streamed);
    assert_int_equal(streamed.size, whole.size);
    assert_memory_equal(streamed.data, whole.data, whole.size);
    free(noise);
    bitcask_buffer_release(&whole);
    bitcask_buffer_release(&streamed);
}

static enum bitcask_status write_streamed(struct test_disk *disk)
{
    struct bitcask_hint_writer writer;
    uint64_t data_size;
    enum bitcask_status status;

    assert_status(bitcask_hint_writer_init(&writer, 7, SALT), BITCASK_OK);
    status = bitcask_hint_writer_stream(&writer, disk->io, disk->directory);
    if (status == BITCASK_OK)
        status = add_entries(&writer, 20000, 20, &data_size);
    if (status == BITCASK_OK)
        status = commit(disk, &writer, data_size);
    bitcask_hint_writer_release(&writer);
    return status;
}

static void every_failure_leaves_the_former_hint_or_none(void **state)
{
    static const size_t partial_sizes[] = { 0, 1, 1000 };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < 2 * LENGTH_OF(partial_sizes); i++) {
        bool had_one = i % 2 != 0;
        long n = 0;

        for (bool failed = true; failed; n++) {
            const struct fault_plan plan = { .calls = FAULT_ANY,
                                             .skip = n,
                                             .status = BITCASK_NO_SPACE,
                                             .error = ENOSPC,
                                             .partial_size = partial_sizes[i / 2] };
            enum bitcask_status status;

            test_disk_clear(disk);
            if (had_one)
                test_disk_write(disk, name, "the former hint", 15);
            fault_io_arm(&disk->fault, &plan);
            status = write_streamed(disk);
            fault_io_disarm(&disk->fault);
            failed = fault_io_failure_count(&disk->fault) > 0;
            assert_status(status, failed ? BITCASK_NO_SPACE : BITCASK_OK);
            assert_int_equal(fault_io_open_count(&disk->fault), 1);
            assert_int_equal(test_disk_count(disk), had_one || !failed);
            if (failed) {
                assert_detail("0000000007.hint");
                assert_detail(strerror(ENOSPC));
            }
            if (failed && had_one)
                assert_int_equal(test_disk_size(disk, name), 15);
        }
        assert_true(n > 5); /* open, three writes, rename, and a whole run */
    }
}

static void running_out_of_memory_changes_no_stream(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_hint_writer writer;
    struct bitcask_buffer whole = { 0 }, streamed = { 0 };
    uint8_t *key = test_noise(1000, 1);
    struct bitcask_hint_entry entry = { .kind = BITCASK_RECORD_PUT,
                                        .key = { key, 1000 } };
    long failures = 0;

    for (int streams = 0; streams < 2; streams++) {
        if (streams)
            begin(disk, &writer);
        else
            assert_status(bitcask_hint_writer_init(&writer, 7, SALT), BITCASK_OK);
        entry.offset = BITCASK_FILE_HEADER_SIZE;
        for (uint64_t i = 1; i <= 1000; i++) {
            enum bitcask_status status;

            entry.sequence = i;
            test_alloc_fail(0);
            status = bitcask_hint_writer_add(&writer, &entry);
            if (test_alloc_stop() != 0) {
                failures += streams;
                assert_status(status, BITCASK_NO_MEMORY);
                status = bitcask_hint_writer_add(&writer, &entry);
            }
            assert_status(status, BITCASK_OK);
            entry.offset += BITCASK_RECORD_HEADER_SIZE + 1000;
        }
        assert_status(commit(disk, &writer, entry.offset), BITCASK_OK);
        bitcask_hint_writer_release(&writer);
        test_disk_read(disk, name, streams ? &streamed : &whole);
    }
    assert_true(failures > 0);
    assert_int_equal(streamed.size, whole.size);
    assert_memory_equal(streamed.data, whole.data, whole.size);
    bitcask_buffer_release(&whole);
    bitcask_buffer_release(&streamed);
    free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_stream_writes_the_same_bytes),
        disk_test(a_streamed_hint_is_read_back),
        disk_test(until_it_is_committed_it_has_another_name),
        disk_test(a_released_stream_leaves_the_former_hint),
        disk_test(an_old_temporary_file_is_replaced),
        disk_test(every_failure_leaves_the_former_hint_or_none),
        disk_test(running_out_of_memory_changes_no_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
