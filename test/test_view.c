/* SPDX-License-Identifier: MIT */
/* Views: what a get would copy, looked at where it lies. */
#include "test/test_cask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/test_alloc.h"

/* @view shows those bytes, and can be released. */
static void assert_shows(const struct bitcask_view *view, const void *expected,
                         size_t size)
{
    assert_non_null(view->value.data);
    assert_int_equal(view->value.size, size);
    assert_true(size == 0 || memcmp(view->value.data, expected, size) == 0);
}

static void assert_zeroed(const struct bitcask_view *view)
{
    static const struct bitcask_view zeroed;

    assert_memory_equal(view, &zeroed, sizeof zeroed);
}

static uint64_t view_count(struct bitcask *cask)
{
    return test_cask_stat(cask).view_count;
}

static struct bitcask_slice size_key(size_t size)
{
    static char text[32];

    (void)snprintf(text, sizeof text, "%zu bytes", size);
    return bitcask_text(text);
}

/* Seen through a mapping, they take no memory. */
static void look_at(struct bitcask *cask, size_t size, const uint8_t *noise, bool copied)
{
    size_t before = test_alloc_size();
    struct bitcask_view view;

    assert_status(bitcask_view(cask, size_key(size), &view), BITCASK_OK);
    assert_int_equal(test_alloc_size() > before, copied);
    assert_shows(&view, noise, size);
    assert_int_equal(view_count(cask), 1);
    bitcask_view_release(&view);
    assert_zeroed(&view);
    assert_int_equal(view_count(cask), 0);
}

/* In the file that is appended to, in sealed ones, opened again, and read-only. */
static void values_of_all_sizes_are_seen(void **state)
{
    struct test_disk *disk = *state;
    static const size_t sizes[] = { 0,    1,    7,    255,   3990,   4032,    4095,
                                    4096, 4097, 8191, 65536, 131072, 5000000, 10 };
    uint8_t *noise = test_noise(5000000, 1);

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        struct bitcask_options options = small_files;
        struct bitcask *cask;

        options.no_mapping = no_mapping != 0;
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
            struct bitcask_slice value = { noise, sizes[i] };

            assert_status(bitcask_put(cask, size_key(sizes[i]), value), BITCASK_OK);
            /* A file is mapped for as much as it should have at most. */
            look_at(cask, sizes[i], noise, options.no_mapping || sizes[i] > 4000);
        }
        for (int read_only = 0; read_only <= 1; read_only++) {
            test_cask_close(cask);
            options.read_only = read_only != 0;
            cask = test_cask_open(disk, &options);
            for (size_t i = 0; i < LENGTH_OF(sizes); i++)
                look_at(cask, sizes[i], noise, options.no_mapping);
        }
        test_cask_close(cask);
    }
    free(noise);
}

static void what_is_not_there_is_not_seen(void **state)
{
    struct test_disk *disk = *state;
    const void *nowhere = (const void *)(uintptr_t)16;
    const struct {
        struct bitcask_slice key;
        enum bitcask_status status;
    } rows[] = {
        { { "key", 3 }, BITCASK_OK },         { { "none", 4 }, BITCASK_NOT_FOUND },
        { { "gone", 4 }, BITCASK_NOT_FOUND }, { { "", 0 }, BITCASK_MISUSE },
        { { NULL, 3 }, BITCASK_MISUSE },      { { nowhere, 65536 }, BITCASK_TOO_BIG },
    };
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_view view;

    test_cask_put(cask, "key", "value");
    test_cask_put(cask, "gone", "value");
    test_cask_delete(cask, "gone");
    for (size_t i = 0; i < LENGTH_OF(rows); i++) {
        memset(&view, 0xa5, sizeof view);
        assert_status(bitcask_view(cask, rows[i].key, &view), rows[i].status);
        if (rows[i].status == BITCASK_OK)
            assert_shows(&view, "value", 5);
        else
            assert_zeroed(&view);
        bitcask_view_release(&view);
        assert_zeroed(&view);
        bitcask_view_release(&view);
        assert_int_equal(view_count(cask), 0);
    }
    assert_status(bitcask_view(cask, bitcask_text("key"), NULL), BITCASK_MISUSE);
    assert_detail("view is NULL");
    memset(&view, 0xa5, sizeof view);
    assert_status(bitcask_view(NULL, bitcask_text("key"), &view), BITCASK_MISUSE);
    assert_zeroed(&view);
    bitcask_view_release(NULL);
    test_cask_close(cask);
}

static void what_has_expired_is_not_seen_but_what_was_seen_stays(void **state)
{
    struct test_disk *disk = *state;

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        struct bitcask_options options = small_files;
        struct bitcask *cask;
        struct bitcask_view view, late;

        options.no_mapping = no_mapping != 0;
        test_disk_clear(disk);
        atomic_store(&disk->fault.wall_ms, 1000);
        cask = test_cask_open(disk, &options);
        assert_status(
            bitcask_put_expiring(cask, bitcask_text("key"), bitcask_text("value"), 2000),
            BITCASK_OK);
        assert_status(bitcask_view(cask, bitcask_text("key"), &view), BITCASK_OK);
        atomic_store(&disk->fault.wall_ms, 2000);
        assert_status(bitcask_view(cask, bitcask_text("key"), &late), BITCASK_NOT_FOUND);
        assert_zeroed(&late);
        assert_int_equal(view_count(cask), 1);
        assert_shows(&view, "value", 5);
        bitcask_view_release(&view);
        test_cask_close(cask);
    }
    atomic_store(&disk->fault.wall_ms, 0);
}

static void parts_of_batches_are_seen_alone(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_batch_part parts[] = {
        { .key = bitcask_text("one"), .value = bitcask_text("first") },
        { .key = bitcask_text("two"), .value = bitcask_text("second") },
    };
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_view one, two;

    assert_status(bitcask_write_batch(cask, parts, LENGTH_OF(parts)), BITCASK_OK);
    assert_status(bitcask_view(cask, bitcask_text("one"), &one), BITCASK_OK);
    assert_status(bitcask_view(cask, bitcask_text("two"), &two), BITCASK_OK);
    assert_int_equal(view_count(cask), 2);
    assert_shows(&one, "first", 5);
    assert_shows(&two, "second", 6);
    bitcask_view_release(&one);
    bitcask_view_release(&two);
    test_cask_close(cask);
}

/* Records of "a", "b" and "c": each byte of that of "b" is damaged in turn. */
static void a_damaged_record_is_not_seen_and_holds_nothing(void **state)
{
    struct test_disk *disk = *state;
    enum {
        SIZE = BITCASK_RECORD_HEADER_SIZE + 1 + 5
    };

    for (int way = 0; way < 4; way++) {
        struct bitcask_options options = small_files;
        struct bitcask *cask = NULL;
        struct bitcask_view view;

        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        test_cask_put(cask, "a", "first");
        test_cask_put(cask, "b", "value");
        test_cask_put(cask, "c", "third");
        test_cask_close(cask);
        options.read_only = way % 2 == 1;
        options.no_mapping = way / 2 == 1;
        cask = test_cask_open(disk, &options);
        for (uint64_t i = 0; i < SIZE; i++) {
            uint64_t offset = BITCASK_FILE_HEADER_SIZE + SIZE + i;

            test_disk_flip(disk, FIRST_DATA, offset, 4);
            memset(&view, 0xa5, sizeof view);
            assert_status(bitcask_view(cask, bitcask_text("b"), &view), BITCASK_CORRUPT);
            assert_detail(FIRST_DATA ", offset 98");
            assert_zeroed(&view);
            assert_int_equal(view_count(cask), 0);
            assert_status(bitcask_view(cask, bitcask_text("c"), &view), BITCASK_OK);
            assert_shows(&view, "third", 5);
            bitcask_view_release(&view);
            test_disk_flip(disk, FIRST_DATA, offset, 4);
        }
        assert_status(bitcask_view(cask, bitcask_text("b"), &view), BITCASK_OK);
        assert_shows(&view, "value", 5);
        bitcask_view_release(&view);
        test_cask_close(cask);
    }
}

static void where_nothing_can_be_mapped_views_have_copies(void **state)
{
    struct test_disk *disk = *state;
    const struct fault_plan no_map = { .calls = FAULT_BIT(FAULT_MAP),
                                       .count = FAULT_FOREVER };
    struct bitcask *cask;
    struct bitcask_view view;

    fault_io_arm(&disk->fault, &no_map);
    cask = test_cask_open(disk, NULL);
    test_cask_put(cask, "key", "value");
    assert_status(bitcask_view(cask, bitcask_text("key"), &view), BITCASK_OK);
    assert_shows(&view, "value", 5);
    assert_int_equal(view_count(cask), 1);
    test_cask_put(cask, "key", "another");
    assert_shows(&view, "value", 5);
    bitcask_view_release(&view);
    assert_int_equal(view_count(cask), 0);
    test_cask_close(cask);
    fault_io_disarm(&disk->fault);
}

/* Of a copy; through a mapping there is none. */
static void without_memory_nothing_is_seen_and_nothing_held(void **state)
{
    struct test_disk *disk = *state;

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        struct bitcask_options options = small_files;
        struct bitcask *cask;
        long n;

        options.no_mapping = no_mapping != 0;
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        test_cask_put(cask, "key", "value");
        for (n = 0;; n++) {
            struct bitcask_view view;
            enum bitcask_status status;
            long failures;

            test_alloc_fail(n);
            status = bitcask_view(cask, bitcask_text("key"), &view);
            failures = test_alloc_stop();
            if (failures == 0) {
                assert_status(status, BITCASK_OK);
                assert_shows(&view, "value", 5);
                bitcask_view_release(&view);
                break;
            }
            assert_status(status, BITCASK_NO_MEMORY);
            assert_zeroed(&view);
            assert_int_equal(view_count(cask), 0);
        }
        assert_int_equal(n, no_mapping);
        test_cask_close(cask);
    }
}

static void a_read_that_fails_holds_nothing(void **state)
{
    struct test_disk *disk = *state;
    const struct fault_plan no_read = { .calls = FAULT_BIT(FAULT_READ) };
    struct bitcask_options options = small_files;
    struct bitcask *cask;
    struct bitcask_view view;

    options.no_mapping = true;
    cask = test_cask_open(disk, &options);
    test_cask_put(cask, "key", "value");
    fault_io_arm(&disk->fault, &no_read);
    assert_status(bitcask_view(cask, bitcask_text("key"), &view), BITCASK_IO);
    fault_io_disarm(&disk->fault);
    assert_zeroed(&view);
    assert_int_equal(view_count(cask), 0);
    test_cask_close(cask);
}

/* A put whose sync fails is taken back, and so is what it showed meanwhile. */
static void a_view_stays_when_writing_has_failed(void **state)
{
    struct test_disk *disk = *state;
    const struct fault_plan no_sync = { .calls = FAULT_BIT(FAULT_SYNC),
                                        .count = FAULT_FOREVER };
    struct bitcask_options options = small_files;
    struct bitcask *cask;
    struct bitcask_view view;

    options.sync = BITCASK_SYNC_ALWAYS;
    cask = test_cask_open(disk, &options);
    test_cask_put(cask, "key", "value");
    assert_status(bitcask_view(cask, bitcask_text("key"), &view), BITCASK_OK);
    fault_io_arm(&disk->fault, &no_sync);
    assert_true(bitcask_put(cask, bitcask_text("key"), bitcask_text("lost")) !=
                BITCASK_OK);
    fault_io_disarm(&disk->fault);
    assert_status(bitcask_put(cask, bitcask_text("key"), bitcask_text("later")),
                  BITCASK_FAILED);
    assert_shows(&view, "value", 5);
    bitcask_view_release(&view);
    assert_status(bitcask_view(cask, bitcask_text("key"), &view), BITCASK_OK);
    assert_shows(&view, "value", 5);
    bitcask_view_release(&view);
    (void)bitcask_close(cask);
}

/* FORK: a child has the views of its parent, to look at until it closes the cask. */
struct family {
    struct bitcask *cask;
    struct bitcask_view mapped;
    struct bitcask_view held; /* of a file that is gone */
    struct bitcask_view copy;
    bool close_first;
};

static int use_views_in_child(void *context)
{
    struct family *family = context;
    struct bitcask_view view = { 0 };

    child_check(memcmp(family->mapped.value.data, "now", 3) == 0);
    child_check(memcmp(family->held.value.data, "before", 6) == 0);
    child_check(family->copy.copy != NULL);
    child_check(family->copy.value.size == 5000);
    child_check(bitcask_view(family->cask, bitcask_text("key"), &view) == BITCASK_MISUSE);
    child_check(view.value.data == NULL);
    if (family->close_first)
        child_check(bitcask_close(family->cask) == BITCASK_MISUSE);
    bitcask_view_release(&view);
    bitcask_view_release(&family->mapped);
    bitcask_view_release(&family->held);
    bitcask_view_release(&family->copy);
    child_check(family->copy.copy == NULL);
    if (!family->close_first)
        child_check(bitcask_close(family->cask) == BITCASK_MISUSE);
    return 0;
}

static void a_forked_child_can_release_views_and_harms_nothing(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_merge_options everything = { .choice = BITCASK_MERGE_ALL };
    uint8_t *noise = test_noise(5000, 3);
    struct bitcask_slice large = { noise,
                                   5000 }; /* more than is mapped while it is new */
    struct family family = { .cask = test_cask_open(disk, NULL) };

    test_cask_put(family.cask, "key", "before");
    assert_status(bitcask_view(family.cask, bitcask_text("key"), &family.held),
                  BITCASK_OK);
    assert_status(bitcask_merge(family.cask, &everything, NULL), BITCASK_OK);
    test_cask_put(family.cask, "key", "now");
    assert_status(bitcask_view(family.cask, bitcask_text("key"), &family.mapped),
                  BITCASK_OK);
    assert_status(bitcask_put(family.cask, bitcask_text("large"), large), BITCASK_OK);
    assert_status(bitcask_view(family.cask, bitcask_text("large"), &family.copy),
                  BITCASK_OK);
    for (int close_first = 0; close_first <= 1; close_first++) {
        family.close_first = close_first != 0;
        assert_int_equal(test_in_child(use_views_in_child, &family), 0);
    }
    assert_int_equal(view_count(family.cask), 3);
    assert_int_equal(test_cask_stat(family.cask).held_count, 1);
    assert_shows(&family.mapped, "now", 3);
    assert_shows(&family.held, "before", 6);
    assert_shows(&family.copy, noise, 5000);
    bitcask_view_release(&family.mapped);
    bitcask_view_release(&family.held);
    bitcask_view_release(&family.copy);
    assert_int_equal(test_cask_stat(family.cask).held_count, 0);
    test_cask_close(family.cask);
    free(noise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(values_of_all_sizes_are_seen),
        disk_test(what_is_not_there_is_not_seen),
        disk_test(what_has_expired_is_not_seen_but_what_was_seen_stays),
        disk_test(parts_of_batches_are_seen_alone),
        disk_test(a_damaged_record_is_not_seen_and_holds_nothing),
        disk_test(where_nothing_can_be_mapped_views_have_copies),
        disk_test(without_memory_nothing_is_seen_and_nothing_held),
        disk_test(a_read_that_fails_holds_nothing),
        disk_test(a_view_stays_when_writing_has_failed),
        disk_test(a_forked_child_can_release_views_and_harms_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
