/* SPDX-License-Identifier: MIT */
/*
 * Batches and expiry, internal so far: a batch is all or nothing whatever a crash
 * leaves of it; what has expired is deleted in every respect. Promise 5.
 */
#include "test/test_cask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"

static struct bitcask_batch_part put_part(const char *key, const char *value)
{
    struct bitcask_batch_part part = { .key = bitcask_text(key),
                                       .value = bitcask_text(value) };

    return part;
}

static struct bitcask_batch_part delete_part(const char *key)
{
    struct bitcask_batch_part part = { .key = bitcask_text(key), .deletes = true };

    return part;
}

/* What @key has, as text; NULL: nothing. */
struct expected {
    const char *key;
    const char *value;
};

static void expect_all(struct bitcask *cask, const struct expected *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        test_cask_expect(cask, rows[i].key, rows[i].value);
}

/* The same as it is written, reopened, and reopened without its hint. */
static void expect_for_ever(struct test_disk *disk, struct bitcask *cask,
                            const struct expected *rows, size_t count)
{
    struct bitcask_stat stat = test_cask_stat(cask);

    expect_all(cask, rows, count);
    for (int round = 0; round < 3; round++) {
        struct test_image image = { 0 };

        test_image_take(&image, disk->path);
        test_cask_close(cask);
        if (round == 0) /* as after a crash: sealed, and given a hint */
            test_image_restore(&image, disk);
        if (round == 2)
            test_disk_remove(disk, FIRST_HINT);
        cask = test_cask_open(disk, NULL);
        expect_all(cask, rows, count);
        assert_int_equal(test_cask_stat(cask).last_sequence, stat.last_sequence);
        assert_int_equal(test_cask_stat(cask).key_count, stat.key_count);
        assert_int_equal(test_cask_stat(cask).live_size, stat.live_size);
        test_image_release(&image);
    }
    test_cask_close(cask);
}

static void a_batch_does_all_of_its_parts(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    const struct bitcask_batch_part parts[] = {
        put_part("new", "value"), put_part("changed", "after"), delete_part("deleted"),
        put_part("empty", ""),    delete_part("never there"),
    };
    const struct expected expected[] = {
        { "new", "value" }, { "changed", "after" },  { "deleted", NULL },
        { "empty", "" },    { "never there", NULL }, { "other", "value" },
    };

    test_cask_put(cask, "changed", "before");
    test_cask_put(cask, "deleted", "before");
    test_cask_put(cask, "other", "value");
    assert_status(bitcask_write_batch(cask, parts, LENGTH_OF(parts)), BITCASK_OK);
    assert_int_equal(test_cask_stat(cask).last_sequence, 3 + LENGTH_OF(parts));
    expect_for_ever(disk, cask, expected, LENGTH_OF(expected));
}

static void the_last_part_for_a_key_counts(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    const struct bitcask_batch_part parts[] = {
        put_part("pdp", "1"),    delete_part("pdp"),    put_part("pdp", "3"),
        put_part("pd", "1"),     delete_part("pd"),     put_part("pp", "1"),
        put_part("pp", "2"),     delete_part("dp"),     put_part("dp", "2"),
        delete_part("dd"),       delete_part("dd"),     delete_part("old pd"),
        put_part("old pd", "1"), delete_part("old pd"), delete_part("old dp"),
        put_part("old dp", "2"),
    };
    const struct expected expected[] = {
        { "pdp", "3" }, { "pd", NULL },     { "pp", "2" },     { "dp", "2" },
        { "dd", NULL }, { "old pd", NULL }, { "old dp", "2" },
    };

    test_cask_put(cask, "old pd", "0");
    test_cask_put(cask, "old dp", "0");
    assert_status(bitcask_write_batch(cask, parts, LENGTH_OF(parts)), BITCASK_OK);
    expect_for_ever(disk, cask, expected, LENGTH_OF(expected));
}

static void a_bad_batch_is_refused_and_changes_nothing(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    const void *nowhere = (const void *)(uintptr_t)16;
    const struct {
        struct bitcask_batch_part part;
        enum bitcask_status status;
    } rows[] = {
        { { .key = { "", 0 } }, BITCASK_MISUSE },
        { { .key = { NULL, 1 } }, BITCASK_MISUSE },
        { { .key = { "", 0 }, .deletes = true }, BITCASK_MISUSE },
        { { .key = { "k", 1 }, .value = { NULL, 1 } }, BITCASK_MISUSE },
        { { .key = { nowhere, 65536 } }, BITCASK_TOO_BIG },
        { { .key = { "k", 1 }, .value = { nowhere, SIZE_MAX } }, BITCASK_TOO_BIG },
    };
    struct bitcask_batch_part parts[2] = { put_part("key", "batch") };
    struct test_image before = { 0 };

    test_cask_put(cask, "key", "value");
    test_image_take(&before, disk->path);
    assert_status(bitcask_write_batch(cask, NULL, 1), BITCASK_MISUSE);
    assert_status(bitcask_write_batch(cask, parts, 0), BITCASK_MISUSE);
    assert_status(bitcask_write_batch(NULL, parts, 1), BITCASK_MISUSE);
    for (size_t i = 0; i < LENGTH_OF(rows); i++) {
        parts[1] = rows[i].part;
        assert_status(bitcask_write_batch(cask, parts, 2), rows[i].status);
        test_cask_expect(cask, "key", "value");
        test_cask_expect(cask, "k", NULL);
    }
    test_image_unchanged(&before, disk->path);
    assert_int_equal(test_cask_stat(cask).key_count, 1);
    test_cask_close(cask);
    test_image_release(&before);
}

static void a_batch_may_be_larger_than_a_file(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_batch_part parts[300];
    static char keys[300][16];
    uint8_t *noise = test_noise(300, 1);

    for (size_t i = 0; i < LENGTH_OF(parts); i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key %zu", i);
        parts[i] = put_part(keys[i], "");
        parts[i].value.data = noise;
        parts[i].value.size = i;
    }
    test_cask_put(cask, "before", "value");
    assert_status(bitcask_write_batch(cask, parts, LENGTH_OF(parts)), BITCASK_OK);
    test_cask_put(cask, "after", "value");
    for (int round = 0; round < 2; round++) {
        struct bitcask_buffer value = { 0 };

        for (size_t i = 0; i < LENGTH_OF(parts); i++) {
            assert_status(bitcask_get(cask, parts[i].key, &value), BITCASK_OK);
            assert_int_equal(value.size, i);
            assert_memory_equal(value.data, noise, i);
        }
        bitcask_buffer_release(&value);
        test_cask_expect(cask, "before", "value");
        test_cask_expect(cask, "after", "value");
        assert_int_equal(test_cask_stat(cask).key_count, 302);
        test_cask_close(cask);
        cask = test_cask_open(disk, NULL);
    }
    test_cask_close(cask);
    free(noise);
}

static const struct expected before_batch[] = {
    { "first", "old" },
    { "second", "old" },
    { "third", NULL },
    { "fourth", "old" },
};
static const struct expected after_batch[] = {
    { "first", "new" },
    { "second", NULL },
    { "third", "new" },
    { "fourth", "old" },
};

/* A cask with a batch at its end, as it lies while it is open; where the batch is. */
static void make_batch(struct test_disk *disk, struct test_image *image, uint64_t *begin,
                       uint64_t *end)
{
    const struct bitcask_batch_part parts[] = {
        put_part("first", "new"),
        delete_part("second"),
        put_part("third", "new"),
    };
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_cask_put(cask, "first", "old");
    test_cask_put(cask, "second", "old");
    test_cask_put(cask, "fourth", "old");
    *begin = test_disk_size(disk, FIRST_DATA);
    assert_status(bitcask_write_batch(cask, parts, LENGTH_OF(parts)), BITCASK_OK);
    *end = test_disk_size(disk, FIRST_DATA);
    test_image_take(image, disk->path);
    test_cask_close(cask);
}

/* It opens with all of the batch or with nothing of it, takes writes, and stays so. */
static bool has_batch(struct test_disk *disk)
{
    struct bitcask_buffer value = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);
    bool has;

    assert_status(bitcask_get(cask, bitcask_text("first"), &value), BITCASK_OK);
    has = strcmp(value.data, "new") == 0;
    bitcask_buffer_release(&value);
    expect_all(cask, has ? after_batch : before_batch, LENGTH_OF(before_batch));
    test_cask_put(cask, "later", "value");
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    expect_all(cask, has ? after_batch : before_batch, LENGTH_OF(before_batch));
    test_cask_expect(cask, "later", "value");
    test_cask_close(cask);
    return has;
}

static void a_batch_cut_off_at_any_byte_is_all_or_nothing(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    uint64_t begin, end;

    test_disk_skip_syncs(disk);
    make_batch(disk, &image, &begin, &end);
    for (uint64_t size = begin; size <= end; size++) {
        test_image_restore(&image, disk);
        test_disk_truncate(disk, FIRST_DATA, size);
        assert_int_equal(has_batch(disk), size == end);
    }
    test_image_release(&image);
}

/* Blocks of it that never reached the disk are zeros, to the end or not. */
static void a_batch_with_zeros_in_it_is_all_or_nothing(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask_buffer bytes = { 0 };
    uint64_t begin, end;

    test_disk_skip_syncs(disk);
    make_batch(disk, &image, &begin, &end);
    for (uint64_t from = begin; from < end; from++) {
        for (int whole = 0; whole <= 1; whole++) {
            uint64_t count = whole ? end - from : 1;

            test_image_restore(&image, disk);
            test_disk_read(disk, FIRST_DATA, &bytes);
            if (!whole && ((uint8_t *)bytes.data)[from] == 0)
                continue;
            memset((uint8_t *)bytes.data + from, 0, (size_t)count);
            test_disk_write(disk, FIRST_DATA, bytes.data, bytes.size);
            assert_false(has_batch(disk));
        }
    }
    bitcask_buffer_release(&bytes);
    test_image_release(&image);
}

static void a_batch_that_fails_half_way_leaves_no_trace(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_batch_part parts[] = {
        put_part("first", "never"),
        delete_part("fourth"),
        put_part("never there", "never"),
    };
    struct test_image image = { 0 };
    uint64_t begin, end;

    for (size_t partial_size = 0; partial_size < 140; partial_size += 7) {
        struct fault_plan plan = { .calls = FAULT_BIT(FAULT_WRITE),
                                   .status = BITCASK_NO_SPACE,
                                   .partial_size = partial_size };
        struct bitcask *cask;

        test_disk_clear(disk);
        make_batch(disk, &image, &begin, &end);
        cask = test_cask_open(disk, NULL);
        fault_io_arm(&disk->fault, &plan);
        assert_status(bitcask_write_batch(cask, parts, LENGTH_OF(parts)),
                      BITCASK_NO_SPACE);
        fault_io_disarm(&disk->fault);
        expect_all(cask, after_batch, LENGTH_OF(after_batch));
        test_cask_expect(cask, "never there", NULL);
        test_cask_put(cask, "next", "value");
        assert_status(bitcask_write_batch(cask, parts + 2, 1), BITCASK_OK);
        test_image_take(&image, disk->path);
        test_cask_close(cask);
        test_image_restore(&image, disk); /* no close, and the rest is the same */
        cask = test_cask_open(disk, NULL);
        expect_all(cask, after_batch, LENGTH_OF(after_batch));
        test_cask_expect(cask, "next", "value");
        test_cask_expect(cask, "never there", "never");
        test_cask_close(cask);
    }
    test_image_release(&image);
}

static void a_batch_whose_sync_failed_is_taken_back(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options options = { .sync = BITCASK_SYNC_ALWAYS };
    const struct fault_plan plan = { .calls = FAULT_BIT(FAULT_SYNC) };
    const struct bitcask_batch_part parts[] = {
        put_part("first", "new"),  delete_part("second"),  put_part("third", "new"),
        put_part("twice", "once"), put_part("twice", "2"), delete_part("third"),
        put_part("third", "last"),
    };
    struct bitcask *cask = test_cask_open(disk, &options);
    struct bitcask_stat before;

    test_cask_put(cask, "first", "old");
    test_cask_put(cask, "second", "old");
    test_cask_put(cask, "fourth", "old");
    before = test_cask_stat(cask);
    fault_io_arm(&disk->fault, &plan);
    assert_status(bitcask_write_batch(cask, parts, LENGTH_OF(parts)), BITCASK_IO);
    fault_io_disarm(&disk->fault);
    expect_all(cask, before_batch, LENGTH_OF(before_batch));
    test_cask_expect(cask, "twice", NULL);
    assert_int_equal(test_cask_stat(cask).key_count, before.key_count);
    assert_int_equal(test_cask_stat(cask).live_size, before.live_size);
    assert_status(bitcask_close(cask), BITCASK_FAILED);

    cask = test_cask_open(disk, NULL); /* nobody lost power, so it is there */
    test_cask_expect(cask, "first", "new");
    test_cask_expect(cask, "second", NULL);
    test_cask_expect(cask, "third", "last");
    test_cask_expect(cask, "twice", "2");
    assert_status(bitcask_close(cask), BITCASK_OK);
}

/* EXPIRY, by a clock that the test sets. */

static size_t count_keys(struct bitcask *cask, bool keys_only, bool sorted)
{
    const struct bitcask_iterator_options options = { .keys_only = keys_only,
                                                      .sorted = sorted };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    enum bitcask_status status;
    size_t count = 0;

    assert_status(bitcask_iterator_open(cask, &options, &iterator), BITCASK_OK);
    while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK)
        count++;
    assert_status(status, BITCASK_NOT_FOUND);
    bitcask_iterator_close(iterator);
    return count;
}

static void expect_count(struct bitcask *cask, size_t count)
{
    for (int i = 0; i < 4; i++)
        assert_int_equal(count_keys(cask, i % 2 == 1, i / 2 == 1), count);
}

static void put_expiring(struct bitcask *cask, const char *key, const char *value,
                         uint64_t expiry_ms)
{
    assert_status(
        bitcask_put_expiring(cask, bitcask_text(key), bitcask_text(value), expiry_ms),
        BITCASK_OK);
}

static void a_value_is_gone_from_its_expiry_on(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_batch_part part = put_part("batch", "value");
    struct bitcask *cask;

    atomic_store(&disk->fault.wall_ms, 5000);
    cask = test_cask_open(disk, NULL);
    part.expiry_ms = 6000;
    test_cask_put(cask, "old", "never to be seen again");
    put_expiring(cask, "old", "value", 6000);
    put_expiring(cask, "key", "value", 6000);
    put_expiring(cask, "later", "value", 6001);
    put_expiring(cask, "for ever", "value", 0);
    put_expiring(cask, "at once", "value", 4999);
    assert_status(bitcask_write_batch(cask, &part, 1), BITCASK_OK);

    atomic_store(&disk->fault.wall_ms, 5999);
    test_cask_expect(cask, "old", "value");
    test_cask_expect(cask, "key", "value");
    test_cask_expect(cask, "batch", "value");
    test_cask_expect(cask, "at once", NULL);
    expect_count(cask, 5);
    atomic_store(&disk->fault.wall_ms, 6000);
    test_cask_expect(cask, "old", NULL);
    test_cask_expect(cask, "key", NULL);
    test_cask_expect(cask, "batch", NULL);
    test_cask_expect(cask, "later", "value");
    test_cask_expect(cask, "for ever", "value");
    expect_count(cask, 2);
    assert_status(bitcask_delete(cask, bitcask_text("key")), BITCASK_NOT_FOUND);
    assert_status(bitcask_delete(cask, bitcask_text("later")), BITCASK_OK);
    expect_count(cask, 1);
    put_expiring(cask, "key", "again", 7000);
    test_cask_expect(cask, "key", "again");
    test_cask_put(cask, "batch", "without expiry");
    atomic_store(&disk->fault.wall_ms, 9000);
    test_cask_expect(cask, "batch", "without expiry");
    test_cask_expect(cask, "key", NULL);
    expect_count(cask, 2);
    test_cask_close(cask);
}

/* By scan, by scan and sealed, by hint: nothing expired and nothing older comes back. */
static void what_has_expired_stays_gone_after_a_reopen(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask *cask;

    atomic_store(&disk->fault.wall_ms, 5000);
    cask = test_cask_open(disk, NULL);
    test_cask_put(cask, "key", "older, for ever");
    put_expiring(cask, "key", "value", 6000);
    put_expiring(cask, "later", "value", 8000);
    test_cask_put(cask, "other", "value");
    test_image_take(&image, disk->path);
    test_cask_close(cask);

    for (int crashed = 0; crashed <= 1; crashed++) {
        if (crashed == 1)
            test_image_restore(&image, disk);
        for (int round = 0; round < 3; round++) {
            atomic_store(&disk->fault.wall_ms, 5999);
            cask = test_cask_open(disk, NULL);
            test_cask_expect(cask, "key", "value");
            assert_int_equal(test_cask_stat(cask).key_count, 3);
            test_cask_close(cask);

            atomic_store(&disk->fault.wall_ms, 6000); /* to the millisecond */
            cask = test_cask_open(disk, NULL);
            assert_int_equal(test_cask_stat(cask).key_count, 2);
            test_cask_expect(cask, "key", NULL);
            test_cask_close(cask);

            atomic_store(&disk->fault.wall_ms, 7999);
            cask = test_cask_open(disk, NULL);
            assert_int_equal(test_cask_stat(cask).hint_count, crashed == 1);
            test_cask_expect(cask, "key", NULL);
            test_cask_expect(cask, "later", "value");
            expect_count(cask, 2);
            assert_int_equal(test_cask_stat(cask).key_count, 2);
            atomic_store(&disk->fault.wall_ms, 8000);
            test_cask_expect(cask, "later", NULL);
            expect_count(cask, 1);
            test_cask_close(cask);
        }
    }
    test_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_batch_does_all_of_its_parts),
        disk_test(the_last_part_for_a_key_counts),
        disk_test(a_bad_batch_is_refused_and_changes_nothing),
        disk_test(a_batch_may_be_larger_than_a_file),
        disk_test(a_batch_cut_off_at_any_byte_is_all_or_nothing),
        disk_test(a_batch_with_zeros_in_it_is_all_or_nothing),
        disk_test(a_batch_that_fails_half_way_leaves_no_trace),
        disk_test(a_batch_whose_sync_failed_is_taken_back),
        disk_test(a_value_is_gone_from_its_expiry_on),
        disk_test(what_has_expired_stays_gone_after_a_reopen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
