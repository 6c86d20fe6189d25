/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/merge_writer.h"
#include "test/test_alloc.h"

enum {
    PIECE_SIZE = BITCASK_MERGE_PIECE_SIZE
};

static const char name[] = "0000000007.data";

static bitcask_file create(struct test_disk *disk, const char *file_name)
{
    bitcask_file file;

    assert_status(
        disk->io->open(disk->io, disk->directory, file_name, BITCASK_IO_CREATE, &file),
        BITCASK_OK);
    return file;
}

/* Put a piece of @size bytes, each of them @byte. */
static enum bitcask_status put(struct bitcask_merge_writer *writer, bitcask_file file,
                               uint64_t offset, size_t size, int byte)
{
    memset(bitcask_merge_writer_room(writer), byte, size);
    return bitcask_merge_writer_put(writer, file, offset, size);
}

static void expect_bytes(const struct test_disk *disk, const char *file_name,
                         uint64_t offset, size_t size, int byte)
{
    struct bitcask_buffer bytes = { 0 };

    test_disk_read(disk, file_name, &bytes);
    assert_true(bytes.size >= offset + size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(((const uint8_t *)bytes.data)[offset + i], byte);
    bitcask_buffer_release(&bytes);
}

static void what_is_put_is_written_where_it_belongs(void **state)
{
    static const size_t sizes[] = { PIECE_SIZE, 1, 4096, PIECE_SIZE - 1, 77 };
    struct test_disk *disk = *state;

    for (int use_thread = 0; use_thread < 2; use_thread++) {
        struct bitcask_merge_writer writer;
        bitcask_file file = create(disk, name);
        uint64_t offset = 64;

        assert_status(bitcask_merge_writer_start(&writer, disk->io, use_thread != 0),
                      BITCASK_OK);
        assert_int_equal(writer.has_thread, use_thread);
        for (size_t i = 0; i < 4 * LENGTH_OF(sizes); i++) {
            size_t size = sizes[i % LENGTH_OF(sizes)];

            assert_status(put(&writer, file, offset, size, (int)i + 1), BITCASK_OK);
            offset += size;
        }
        assert_status(bitcask_merge_writer_drain(&writer), BITCASK_OK);
        assert_int_equal(test_disk_size(disk, name), offset);
        offset = 64;
        for (size_t i = 0; i < 4 * LENGTH_OF(sizes); i++) {
            size_t size = sizes[i % LENGTH_OF(sizes)];

            if (i < LENGTH_OF(sizes))
                expect_bytes(disk, name, offset, size, (int)i + 1);
            offset += size;
        }
        bitcask_merge_writer_end(&writer);
        bitcask_merge_writer_end(&writer);
        disk->io->close(disk->io, file);
    }
}

static void pieces_may_go_to_one_file_after_the_other(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_merge_writer writer;
    bitcask_file first = create(disk, "first"), second = create(disk, "second");

    assert_status(bitcask_merge_writer_start(&writer, disk->io, true), BITCASK_OK);
    for (int i = 0; i < 20; i++) {
        assert_status(put(&writer, first, (uint64_t)i * 100, 100, i), BITCASK_OK);
        assert_status(put(&writer, second, (uint64_t)i * 50, 50, 100 + i), BITCASK_OK);
    }
    assert_status(bitcask_merge_writer_drain(&writer), BITCASK_OK);
    for (int i = 0; i < 20; i++) {
        expect_bytes(disk, "first", (uint64_t)i * 100, 100, i);
        expect_bytes(disk, "second", (uint64_t)i * 50, 50, 100 + i);
    }
    bitcask_merge_writer_end(&writer);
    disk->io->close(disk->io, first);
    disk->io->close(disk->io, second);
}

/* Blocks writes, so that pieces wait. */
struct gate {
    atomic_bool open;
    atomic_int waiting;
};

static void wait_at_gate(enum fault_call call, void *context)
{
    struct gate *gate = context;

    if (call != FAULT_WRITE)
        return;
    atomic_fetch_add(&gate->waiting, 1);
    while (!atomic_load(&gate->open))
        (void)sched_yield();
}

static void the_caller_goes_on_while_a_piece_is_written(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_merge_writer writer;
    struct gate gate = { .waiting = 0 };
    bitcask_file file = create(disk, name);
    const uint8_t *room;

    disk->fault.before = wait_at_gate;
    disk->fault.before_context = &gate;
    assert_status(bitcask_merge_writer_start(&writer, disk->io, true), BITCASK_OK);
    room = bitcask_merge_writer_room(&writer);
    /* All but one: there is always room for another. */
    for (int i = 0; i < BITCASK_MERGE_PIECE_COUNT - 1; i++) {
        assert_status(put(&writer, file, (uint64_t)i * 1000, 1000, i), BITCASK_OK);
        assert_ptr_not_equal(bitcask_merge_writer_room(&writer), room);
    }
    memset(bitcask_merge_writer_room(&writer), 99, PIECE_SIZE); /* is nobody else's */
    atomic_store(&gate.open, true);
    assert_status(bitcask_merge_writer_drain(&writer), BITCASK_OK);
    assert_int_equal(atomic_load(&gate.waiting), BITCASK_MERGE_PIECE_COUNT - 1);
    for (int i = 0; i < BITCASK_MERGE_PIECE_COUNT - 1; i++)
        expect_bytes(disk, name, (uint64_t)i * 1000, 1000, i);
    bitcask_merge_writer_end(&writer);
    disk->fault.before = NULL;
    disk->io->close(disk->io, file);
}

static void a_failure_is_told_with_its_errno_and_then_forgotten(void **state)
{
    struct test_disk *disk = *state;

    for (int use_thread = 0; use_thread < 2; use_thread++) {
        const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_WRITE),
                                         .status = BITCASK_NO_SPACE,
                                         .error = ENOSPC };
        struct bitcask_merge_writer writer;
        bitcask_file file = create(disk, name);
        enum bitcask_status status;

        assert_status(bitcask_merge_writer_start(&writer, disk->io, use_thread != 0),
                      BITCASK_OK);
        fault_io_arm(&disk->fault, &plan);
        errno = 0;
        status = put(&writer, file, 0, 100, 1);
        if (use_thread && status == BITCASK_OK) {
            errno = 0;
            status = bitcask_merge_writer_drain(&writer);
        }
        assert_status(status, BITCASK_NO_SPACE);
        assert_int_equal(errno, ENOSPC);
        fault_io_disarm(&disk->fault);
        (void)bitcask_merge_writer_drain(&writer);

        assert_status(put(&writer, file, 0, 100, 2), BITCASK_OK);
        assert_status(bitcask_merge_writer_drain(&writer), BITCASK_OK);
        expect_bytes(disk, name, 0, 100, 2);
        bitcask_merge_writer_end(&writer);
        disk->io->close(disk->io, file);
    }
}

static void nothing_is_written_behind_a_failure(void **state)
{
    struct test_disk *disk = *state;
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_WRITE), .skip = 1 };
    struct bitcask_merge_writer writer;
    bitcask_file file = create(disk, name);
    enum bitcask_status status = BITCASK_OK;

    assert_status(bitcask_merge_writer_start(&writer, disk->io, true), BITCASK_OK);
    fault_io_arm(&disk->fault, &plan);
    for (int i = 0; i < 10; i++) {
        enum bitcask_status said = put(&writer, file, (uint64_t)i * 100, 100, i);

        /* Once it is known it is said each time. */
        assert_true(status == BITCASK_OK || said == BITCASK_IO);
        status = said;
    }
    assert_status(bitcask_merge_writer_drain(&writer), BITCASK_IO);
    assert_int_equal(fault_io_count(&disk->fault, FAULT_WRITE), 2);
    assert_int_equal(test_disk_size(disk, name), 100);
    assert_status(bitcask_merge_writer_drain(&writer), BITCASK_OK);
    bitcask_merge_writer_end(&writer);
    disk->io->close(disk->io, file);
}

static void ending_writes_what_was_put(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_merge_writer writer;
    bitcask_file file = create(disk, name);

    assert_status(bitcask_merge_writer_start(&writer, disk->io, true), BITCASK_OK);
    assert_status(put(&writer, file, 0, PIECE_SIZE, 7), BITCASK_OK);
    bitcask_merge_writer_end(&writer);
    expect_bytes(disk, name, 0, PIECE_SIZE, 7);
    disk->io->close(disk->io, file);
}

static void without_memory_there_is_none(void **state)
{
    struct test_disk *disk = *state;

    for (int use_thread = 0; use_thread < 2; use_thread++) {
        long pieces = use_thread ? BITCASK_MERGE_PIECE_COUNT : 1;

        for (long n = 0; n < pieces; n++) {
            struct bitcask_merge_writer writer;
            enum bitcask_status status;

            test_alloc_fail(n);
            status = bitcask_merge_writer_start(&writer, disk->io, use_thread != 0);
            assert_int_equal(test_alloc_stop(), 1);
            assert_status(status, BITCASK_NO_MEMORY);
            bitcask_merge_writer_end(&writer);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(what_is_put_is_written_where_it_belongs),
        disk_test(pieces_may_go_to_one_file_after_the_other),
        disk_test(the_caller_goes_on_while_a_piece_is_written),
        disk_test(a_failure_is_told_with_its_errno_and_then_forgotten),
        disk_test(nothing_is_written_behind_a_failure),
        disk_test(ending_writes_what_was_put),
        disk_test(without_memory_there_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
