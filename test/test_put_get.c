/* SPDX-License-Identifier: MIT */
/* Put, get, delete and exists: what goes in comes out, and nothing else does. */
#include "test/test_cask.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"

static void assert_value(struct bitcask *cask, struct bitcask_slice key,
                         const void *expected, size_t size)
{
    struct bitcask_buffer value = { 0 };

    assert_status(bitcask_get(cask, key, &value), BITCASK_OK);
    assert_int_equal(value.size, size);
    assert_non_null(value.data);
    assert_true(size == 0 || memcmp(value.data, expected, size) == 0);
    assert_int_equal(((const char *)value.data)[size], 0);
    bitcask_buffer_release(&value);
}

static struct bitcask_slice size_key(size_t size)
{
    static char text[32];

    (void)snprintf(text, sizeof text, "%zu bytes", size);
    return bitcask_text(text);
}

static void values_of_all_sizes_come_back(void **state)
{
    struct test_disk *disk = *state;
    static const size_t sizes[] = { 0,    1,    2,    7,      8,      255,     256,
                                    3990, 3999, 4000, 4001,   4032,   4095,    4096,
                                    4097, 8191, 8192, 102400, 131072, 5000000, 10 };
    uint8_t *noise = test_noise(5000000, 1);

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        struct bitcask_options options = small_files;
        struct bitcask *cask;

        options.no_mapping = no_mapping != 0;
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        for (int round = 0; round < 3; round++) { /* as written, again, and reopened */
            for (size_t i = 0; i < LENGTH_OF(sizes) && round == 0; i++) {
                struct bitcask_slice value = { noise, sizes[i] };

                assert_status(bitcask_put(cask, size_key(sizes[i]), value), BITCASK_OK);
                assert_value(cask, size_key(sizes[i]), value.data, value.size);
            }
            for (size_t i = 0; i < LENGTH_OF(sizes); i++)
                assert_value(cask, size_key(sizes[i]), noise, sizes[i]);
            if (round == 1) {
                test_cask_close(cask);
                cask = test_cask_open(disk, &options);
            }
        }
        test_cask_close(cask);
    }
    free(noise);
}

/* So that records end at, before and behind the size at which a file is full. */
static void records_around_the_size_of_a_file_come_back(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    uint8_t *noise = test_noise(5000, 2);

    for (size_t size = 3980; size < 4070; size++) {
        struct bitcask_slice value = { noise, size };

        assert_status(bitcask_put(cask, size_key(size), value), BITCASK_OK);
    }
    for (size_t size = 3980; size < 4070; size++)
        assert_value(cask, size_key(size), noise, size);
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    for (size_t size = 3980; size < 4070; size++)
        assert_value(cask, size_key(size), noise, size);
    test_cask_close(cask);
    free(noise);
}

static void no_data_file_is_larger_than_asked_unless_one_record_is(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);
    uint8_t *noise = test_noise(9000, 3);
    struct bitcask_slice large = { noise, 9000 };

    test_history_write(cask, 1, 100);
    assert_status(bitcask_put(cask, bitcask_text("large"), large), BITCASK_OK);
    test_cask_put(cask, "small", "value");
    test_cask_close(cask);
    test_image_take(&image, disk->path);
    for (size_t i = 0; i < image.count; i++) {
        size_t size = image.files[i].size;

        if (strstr(image.files[i].name, ".data") != NULL)
            assert_true(size <= 4096 || size == 64 + 28 + 5 + 9000);
    }
    test_image_release(&image);
    free(noise);
}

/* For each byte x: x, x 0, and 0xff x. */
static struct bitcask_slice byte_key(unsigned number)
{
    static uint8_t bytes[2];
    struct bitcask_slice key = { bytes, number % 3 == 0 ? 1 : 2 };

    bytes[0] = number % 3 == 2 ? 0xff : (uint8_t)(number / 3);
    bytes[1] = number % 3 == 2 ? (uint8_t)(number / 3) : 0;
    return key;
}

static void keys_of_any_bytes_are_told_apart(void **state)
{
    enum {
        COUNT = 256 * 3,
        TWICE = 2 /* 0xff 0, which is also the second kind of 0xff */
    };
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            struct bitcask_slice value = { &i, sizeof i };

            if (round == 0 && i != TWICE)
                assert_status(bitcask_put(cask, byte_key(i), value), BITCASK_OK);
        }
        for (unsigned i = 0; i < COUNT; i++) {
            if (i != TWICE)
                assert_value(cask, byte_key(i), &i, sizeof i);
        }
        assert_int_equal(test_cask_stat(cask).key_count, COUNT - 1);
        test_cask_close(cask);
        cask = test_cask_open(disk, NULL);
    }
    test_cask_close(cask);
}

static void keys_of_all_sizes_come_back(void **state)
{
    struct test_disk *disk = *state;
    static const size_t sizes[] = { 1, 2, 255, 256, 4095, 4096, 65534, 65535 };
    struct bitcask *cask = test_cask_open(disk, NULL);
    uint8_t *noise = test_noise(BITCASK_KEY_SIZE_MAX, 4);

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
            struct bitcask_slice key = { noise, sizes[i] };
            struct bitcask_slice value = { &sizes[i], sizeof sizes[i] };

            if (round == 0)
                assert_status(bitcask_put(cask, key, value), BITCASK_OK);
            assert_value(cask, key, &sizes[i], sizeof sizes[i]);
            assert_status(bitcask_exists(cask, key), BITCASK_OK);
        }
        test_cask_close(cask);
        cask = test_cask_open(disk, NULL);
        assert_int_equal(test_cask_stat(cask).key_count, LENGTH_OF(sizes));
    }
    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        struct bitcask_slice key = { noise, sizes[i] };

        assert_status(bitcask_delete(cask, key), BITCASK_OK);
        assert_status(bitcask_exists(cask, key), BITCASK_NOT_FOUND);
    }
    test_cask_close(cask);
    free(noise);
}

/* Nothing may be read of what is too big: the addresses are of nobody. */
static void bad_keys_and_values_are_refused_and_change_nothing(void **state)
{
    struct test_disk *disk = *state;
    const void *nowhere = (const void *)(uintptr_t)16;
    const size_t value_max = BITCASK_VALUE_SIZE_MAX;
    const struct {
        struct bitcask_slice key, value;
        enum bitcask_status put, get;
    } rows[] = {
        { { "", 0 }, { "v", 1 }, BITCASK_MISUSE, BITCASK_MISUSE },
        { { NULL, 0 }, { "v", 1 }, BITCASK_MISUSE, BITCASK_MISUSE },
        { { NULL, 3 }, { "v", 1 }, BITCASK_MISUSE, BITCASK_MISUSE },
        { { nowhere, 0 }, { "v", 1 }, BITCASK_MISUSE, BITCASK_MISUSE },
        { { nowhere, 65536 }, { "v", 1 }, BITCASK_TOO_BIG, BITCASK_TOO_BIG },
        { { nowhere, SIZE_MAX }, { "v", 1 }, BITCASK_TOO_BIG, BITCASK_TOO_BIG },
        { { "key", 3 }, { NULL, 1 }, BITCASK_MISUSE, BITCASK_OK },
        { { "key", 3 }, { nowhere, value_max + 1 }, BITCASK_TOO_BIG, BITCASK_OK },
        { { "key", 3 }, { nowhere, SIZE_MAX }, BITCASK_TOO_BIG, BITCASK_OK },
        { { "new", 3 }, { nowhere, SIZE_MAX }, BITCASK_TOO_BIG, BITCASK_NOT_FOUND },
    };
    struct test_image before = { 0 };
    struct bitcask_buffer value = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_stat stat;

    test_cask_put(cask, "key", "value");
    stat = test_cask_stat(cask);
    test_image_take(&before, disk->path);
    for (size_t i = 0; i < LENGTH_OF(rows); i++) {
        assert_status(bitcask_put(cask, rows[i].key, rows[i].value), rows[i].put);
        assert_status(bitcask_get(cask, rows[i].key, &value), rows[i].get);
        assert_status(bitcask_exists(cask, rows[i].key), rows[i].get);
        if (rows[i].get != BITCASK_OK)
            assert_status(bitcask_delete(cask, rows[i].key), rows[i].get);
        test_cask_expect(cask, "key", "value");
    }
    assert_int_equal(test_cask_stat(cask).last_sequence, stat.last_sequence);
    assert_int_equal(test_cask_stat(cask).key_count, 1);
    test_image_unchanged(&before, disk->path);
    test_cask_close(cask);
    bitcask_buffer_release(&value);
    test_image_release(&before);
}

static void null_arguments_are_misuse(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_slice key = bitcask_text("key");
    struct bitcask_buffer value = { 0 };
    struct bitcask_stat stat;

    assert_status(bitcask_put(NULL, key, key), BITCASK_MISUSE);
    assert_status(bitcask_get(NULL, key, &value), BITCASK_MISUSE);
    assert_status(bitcask_delete(NULL, key), BITCASK_MISUSE);
    assert_status(bitcask_exists(NULL, key), BITCASK_MISUSE);
    assert_status(bitcask_sync(NULL), BITCASK_MISUSE);
    assert_status(bitcask_stat(NULL, &stat), BITCASK_MISUSE);
    assert_detail("NULL");
    assert_status(bitcask_close(NULL), BITCASK_OK);
    bitcask_buffer_release(NULL);

    test_cask_put(cask, "key", "value");
    assert_status(bitcask_get(cask, key, NULL), BITCASK_MISUSE);
    assert_status(bitcask_stat(cask, NULL), BITCASK_MISUSE);
    assert_status(bitcask_put(cask, bitcask_text(NULL), key), BITCASK_MISUSE);
    assert_status(bitcask_put(cask, key, bitcask_text(NULL)), BITCASK_OK);
    test_cask_expect(cask, "key", "");
    test_cask_close(cask);
}

static void the_newest_value_counts(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_cask_expect(cask, "key", NULL);
    test_cask_put(cask, "key", "first");
    test_cask_put(cask, "key", "the second");
    test_cask_expect(cask, "key", "the second");
    test_cask_put(cask, "key", "");
    test_cask_expect(cask, "key", "");
    test_cask_delete(cask, "key");
    test_cask_expect(cask, "key", NULL);
    test_cask_put(cask, "key", "again");
    test_cask_expect(cask, "key", "again");
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    test_cask_expect(cask, "key", "again");
    test_cask_close(cask);
}

static void deleting_what_is_not_there_is_not_found_and_writes_nothing(void **state)
{
    struct test_disk *disk = *state;
    struct test_image before = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_cask_put(cask, "key", "value");
    test_cask_delete(cask, "key");
    test_image_take(&before, disk->path);
    assert_status(bitcask_delete(cask, bitcask_text("key")), BITCASK_NOT_FOUND);
    assert_status(bitcask_delete(cask, bitcask_text("never")), BITCASK_NOT_FOUND);
    assert_int_equal(test_cask_stat(cask).last_sequence, 2);
    test_image_unchanged(&before, disk->path);
    test_cask_close(cask);
    test_image_release(&before);
}

/* Lessons paid for by others: a delete is a kind of record, never a value. */
static void values_that_look_like_deletes_are_values(void **state)
{
    struct test_disk *disk = *state;
    const char *values[] = { "bitcask_tombstone", "bitcask_tombstone2", "__TOMBSTONE__",
                             "tombstone", "" };
    struct bitcask *cask = test_cask_open(disk, NULL);

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < LENGTH_OF(values); i++) {
            char key[32];

            (void)snprintf(key, sizeof key, "key %zu", i);
            if (round == 0)
                test_cask_put(cask, key, values[i]);
            test_cask_expect(cask, key, values[i]);
        }
        test_cask_close(cask);
        cask = test_cask_open(disk, NULL);
    }
    test_cask_close(cask);
}

/* A data file of another cask, stored as a value, must never be taken for records. */
static void a_data_file_can_be_a_value(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask_slice value;
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_history_write(cask, 1, 30);
    test_cask_close(cask);
    test_image_take(&image, disk->path);
    value.data = test_image_newest(&image)->bytes;
    value.size = test_image_newest(&image)->size;
    cask = test_cask_open(disk, NULL);
    assert_status(bitcask_put(cask, bitcask_text("file"), value), BITCASK_OK);
    test_cask_close(cask);
    cask = test_cask_open(disk, NULL);
    assert_value(cask, bitcask_text("file"), value.data, value.size);
    assert_int_equal(test_cask_stat(cask).last_sequence, 31);
    test_cask_close(cask);
    test_image_release(&image);
}

static void a_buffer_is_used_again_and_keeps_its_value_after_a_failure(void **state)
{
    struct test_disk *disk = *state;

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        struct bitcask_options options = small_files;
        struct bitcask_buffer value = { 0 };
        struct test_image image = { 0 };
        struct bitcask *cask;
        struct bitcask_buffer before;

        options.no_mapping = no_mapping != 0;
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        test_cask_put(cask, "empty", "");
        test_cask_put(cask, "damaged", "a value that will be damaged");
        test_cask_put(cask, "long", "a value that is longer than others are");
        test_cask_put(cask, "short", "one");
        test_image_take(&image, disk->path);
        test_disk_flip(disk, FIRST_DATA, 64 + 28 + 5 + 28 + 7 + 3, 0x20);

        assert_status(bitcask_get(cask, bitcask_text("empty"), &value), BITCASK_OK);
        assert_non_null(value.data);
        assert_int_equal(value.size, 0);
        assert_string_equal(value.data, "");
        assert_status(bitcask_get(cask, bitcask_text("long"), &value), BITCASK_OK);
        assert_status(bitcask_get(cask, bitcask_text("short"), &value), BITCASK_OK);
        assert_int_equal(value.size, 3);
        assert_string_equal(value.data, "one");

        before = value;
        assert_status(bitcask_get(cask, bitcask_text("absent"), &value),
                      BITCASK_NOT_FOUND);
        assert_memory_equal(&before, &value, sizeof value);
        assert_status(bitcask_get(cask, bitcask_text("damaged"), &value),
                      BITCASK_CORRUPT);
        assert_detail(FIRST_DATA ", offset 97");
        assert_memory_equal(&before, &value, sizeof value);
        assert_string_equal(value.data, "one");
        assert_status(bitcask_exists(cask, bitcask_text("damaged")), BITCASK_OK);
        test_cask_expect(cask, "short", "one"); /* all others stay readable */

        test_cask_put(cask, "damaged", "whole again");
        test_cask_expect(cask, "damaged", "whole again");
        test_cask_close(cask);
        bitcask_buffer_release(&value);
        assert_null(value.data);
        test_image_release(&image);
    }
}

/* A data file that somebody cut off while it is open: with pread that is an error. */
static void a_file_that_was_cut_is_damage_and_no_signal(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = small_files;
    struct bitcask_buffer value = { 0 };
    struct bitcask *cask;

    options.no_mapping = true;
    cask = test_cask_open(disk, &options);
    test_cask_put(cask, "first", "value");
    test_cask_put(cask, "last", "value");
    test_disk_truncate(disk, FIRST_DATA, test_disk_size(disk, FIRST_DATA) - 1);
    assert_status(bitcask_get(cask, bitcask_text("last"), &value), BITCASK_CORRUPT);
    assert_detail(FIRST_DATA);
    test_cask_expect(cask, "first", "value");
    assert_status(bitcask_close(cask), BITCASK_OK);
    bitcask_buffer_release(&value);
    assert_status(test_cask_refused(disk, NULL), BITCASK_CORRUPT);
}

struct other_thread {
    struct bitcask *cask;
    bool quiet_at_first;
    bool has_own_words;
};

static void *fail_in_another_thread(void *context)
{
    struct other_thread *thread = context;

    thread->quiet_at_first = bitcask_error_detail()[0] == '\0';
    (void)bitcask_delete(thread->cask, bitcask_text(NULL));
    thread->has_own_words = strstr(bitcask_error_detail(), "empty") != NULL;
    return NULL;
}

static void each_thread_has_its_own_detail(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct other_thread other = { .cask = cask };
    pthread_t thread;

    assert_status(bitcask_exists(cask, bitcask_text("absent")), BITCASK_NOT_FOUND);
    assert_detail("no such key");
    assert_int_equal(pthread_create(&thread, NULL, fail_in_another_thread, &other), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(other.quiet_at_first);
    assert_true(other.has_own_words);
    assert_detail("no such key");
    test_cask_close(cask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(values_of_all_sizes_come_back),
        disk_test(records_around_the_size_of_a_file_come_back),
        disk_test(no_data_file_is_larger_than_asked_unless_one_record_is),
        disk_test(keys_of_any_bytes_are_told_apart),
        disk_test(keys_of_all_sizes_come_back),
        disk_test(bad_keys_and_values_are_refused_and_change_nothing),
        disk_test(null_arguments_are_misuse),
        disk_test(the_newest_value_counts),
        disk_test(deleting_what_is_not_there_is_not_found_and_writes_nothing),
        disk_test(values_that_look_like_deletes_are_values),
        disk_test(a_data_file_can_be_a_value),
        disk_test(a_buffer_is_used_again_and_keeps_its_value_after_a_failure),
        disk_test(a_file_that_was_cut_is_damage_and_no_signal),
        disk_test(each_thread_has_its_own_detail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
