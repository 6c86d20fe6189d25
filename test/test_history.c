/* SPDX-License-Identifier: MIT */
/* The versions of a key, as they lie on disk, and where the newest is. */
#include "test/test_cask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/inspect.h"

enum {
    VERSIONS_MAX = 200
};

struct versions {
    struct bitcask_version of[VERSIONS_MAX];
    size_t count;
};

static enum bitcask_status note(const struct bitcask_version *version, void *context)
{
    struct versions *versions = context;

    assert_true(versions->count < VERSIONS_MAX);
    assert_true(versions->count == 0 ||
                versions->of[versions->count - 1].sequence >= version->sequence);
    versions->of[versions->count++] = *version;
    return BITCASK_OK;
}

static enum bitcask_status look(const struct test_disk *disk, const char *key,
                                struct versions *versions)
{
    versions->count = 0;
    return bitcask_history(disk->path, bitcask_text(key), note, versions);
}

static void expect_text(const struct test_disk *disk, const char *key,
                        const struct bitcask_version *version, const char *value)
{
    struct bitcask_buffer buffer = { 0 };

    assert_status(bitcask_version_read(disk->path, bitcask_text(key), version, &buffer),
                  BITCASK_OK);
    assert_string_equal((char *)buffer.data, value);
    assert_int_equal(buffer.size, strlen(value));
    bitcask_buffer_release(&buffer);
}

static void merge_all(struct bitcask *cask)
{
    struct bitcask_merge_options options = { .choice = BITCASK_MERGE_ALL };

    assert_status(bitcask_merge(cask, &options, NULL), BITCASK_OK);
}

/* Enough of other keys that the next record lies in another file. */
static void fill_file(struct bitcask *cask)
{
    char value[2000];

    memset(value, 'f', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    test_cask_put(cask, "filler-1", value);
    test_cask_put(cask, "filler-2", value);
    test_cask_put(cask, "filler-3", value);
}

static void versions_come_newest_first(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct versions versions;

    test_cask_put(cask, "ada", "first"); /* 1 */
    test_cask_put(cask, "bob", "other");
    test_cask_delete(cask, "ada");        /* 3 */
    test_cask_put(cask, "ada", "second"); /* 4 */
    assert_status(bitcask_put_expiring(cask, bitcask_text("ada"), bitcask_text("third"),
                                       (uint64_t)1 << 40),
                  BITCASK_OK);
    /* Beside the writer, and after it. */
    for (int round = 0; round < 2; round++) {
        assert_status(look(disk, "ada", &versions), BITCASK_OK);
        assert_int_equal(versions.count, 4);
        assert_int_equal(versions.of[0].sequence, 5);
        assert_int_equal(versions.of[0].expiry_ms, (uint64_t)1 << 40);
        assert_int_equal(versions.of[1].sequence, 4);
        assert_int_equal(versions.of[1].expiry_ms, 0);
        assert_int_equal(versions.of[1].value_size, 6);
        assert_int_equal(versions.of[2].sequence, 3);
        assert_int_equal(versions.of[3].sequence, 1);
        assert_int_equal(versions.of[3].offset, 64);
        assert_int_equal(versions.of[3].segment_id, 1);
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(versions.of[i].deletes, i == 2);
            assert_true(versions.of[i].readable);
            assert_false(versions.of[i].gap);
        }
        expect_text(disk, "ada", &versions.of[0], "third");
        expect_text(disk, "ada", &versions.of[1], "second");
        expect_text(disk, "ada", &versions.of[3], "first");
        if (round == 0)
            test_cask_close(cask);
    }
}

static void there_is_none_without_a_record(void **state)
{
    struct test_disk *disk = *state;
    struct versions versions;
    struct bitcask *cask;

    assert_status(look(disk, "ada", &versions), BITCASK_NOT_FOUND);
    cask = test_cask_open(disk, NULL);
    test_cask_put(cask, "bob", "other");
    test_cask_close(cask);
    assert_status(look(disk, "ada", &versions), BITCASK_NOT_FOUND);
    assert_int_equal(versions.count, 0);
    assert_status(bitcask_history("/nonexistent/cask", bitcask_text("ada"), note, NULL),
                  BITCASK_NOT_FOUND);
    assert_status(bitcask_history(disk->path, bitcask_text(""), note, NULL),
                  BITCASK_MISUSE);
    assert_status(bitcask_history(disk->path, bitcask_text("ada"), NULL, NULL),
                  BITCASK_MISUSE);
}

static enum bitcask_status stop(const struct bitcask_version *version, void *context)
{
    (void)version;
    (*(int *)context)++;
    return BITCASK_READ_ONLY;
}

static void a_visit_can_stop_it(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    int count = 0;

    test_cask_put(cask, "ada", "one");
    test_cask_put(cask, "ada", "two");
    test_cask_close(cask);
    assert_status(bitcask_history(disk->path, bitcask_text("ada"), stop, &count),
                  BITCASK_READ_ONLY);
    assert_int_equal(count, 1);
}

static void what_a_merge_removed_is_a_gap(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct versions versions;

    test_cask_put(cask, "ada", "one");   /* 1 */
    test_cask_put(cask, "bob", "one");   /* 2 */
    test_cask_put(cask, "ada", "two");   /* 3 */
    test_cask_put(cask, "bob", "two");   /* 4 */
    test_cask_put(cask, "eve", "one");   /* 5 */
    merge_all(cask);                     /* 3, 4, 5 are left */
    test_cask_put(cask, "ada", "three"); /* 6 */
    test_cask_put(cask, "bob", "three"); /* 7 */
    test_cask_put(cask, "bob", "four");  /* 8 */

    assert_status(look(disk, "ada", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 2);
    assert_int_equal(versions.of[0].sequence, 6);
    assert_false(versions.of[0].gap);
    assert_int_equal(versions.of[1].sequence, 3);
    assert_false(versions.of[1].gap);
    expect_text(disk, "ada", &versions.of[1], "two");

    merge_all(cask); /* 5, 6, 8 are left */
    assert_status(look(disk, "eve", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 1);
    assert_true(versions.of[0].gap); /* 7 is gone */
    assert_status(look(disk, "bob", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 1);
    assert_false(versions.of[0].gap);

    test_cask_put(cask, "eve", "two"); /* 9 */
    test_cask_delete(cask, "ada");     /* 10 */
    assert_status(look(disk, "eve", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 2);
    assert_false(versions.of[0].gap);
    assert_true(versions.of[1].gap);
    test_cask_close(cask);

    /* The newest record of all may be one that is gone. */
    cask = test_cask_open(disk, NULL);
    merge_all(cask);
    test_cask_close(cask);
    assert_status(look(disk, "ada", &versions), BITCASK_NOT_FOUND);
    assert_status(look(disk, "eve", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 1);
    assert_true(versions.of[0].gap);
}

static void hints_and_data_tell_the_same(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct versions by_hint, by_data;
    struct test_image image = { 0 };
    char text[32];

    for (int i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof text, "value-%d", i);
        test_cask_put(cask, "ada", text);
        if (i % 7 == 3)
            test_cask_delete(cask, "ada");
        fill_file(cask);
    }
    test_cask_close(cask);
    assert_status(look(disk, "ada", &by_hint), BITCASK_OK);
    assert_int_equal(by_hint.count, 23);

    test_image_take(&image, disk->path);
    assert_true(test_image_count(&image, ".hint") > 5);
    for (size_t i = 0; i < image.count; i++) {
        if (strstr(image.files[i].name, ".hint") != NULL)
            test_disk_remove(disk, image.files[i].name);
    }
    test_image_release(&image);
    assert_status(look(disk, "ada", &by_data), BITCASK_OK);
    assert_int_equal(by_data.count, by_hint.count);
    for (size_t i = 0; i < by_hint.count; i++)
        assert_memory_equal(&by_hint.of[i], &by_data.of[i], sizeof by_hint.of[i]);
}

static void a_damaged_value_is_not_readable(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_buffer buffer = { 0 };
    struct versions versions;

    test_cask_put(cask, "ada", "one");
    test_cask_put(cask, "ada", "two");
    fill_file(cask);
    fill_file(cask);
    test_cask_close(cask);
    test_disk_flip(disk, FIRST_DATA, 64 + 28 + 3, 1); /* of the value of the first */
    for (int round = 0; round < 2; round++) {
        assert_status(look(disk, "ada", &versions), BITCASK_OK);
        assert_int_equal(versions.count, 2);
        assert_true(versions.of[0].readable);
        assert_false(versions.of[1].readable);
        assert_status(bitcask_version_read(disk->path, bitcask_text("ada"),
                                           &versions.of[1], &buffer),
                      BITCASK_CORRUPT);
        assert_null(buffer.data);
        if (test_disk_has(disk, FIRST_HINT))
            test_disk_remove(disk, FIRST_HINT);
    }
}

static void a_torn_tail_is_left_out(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = small_files;
    struct test_image image = { 0 };
    struct versions versions;
    struct bitcask *cask;
    uint64_t size;

    options.sync = BITCASK_SYNC_NONE;
    cask = test_cask_open(disk, &options);
    test_cask_put(cask, "ada", "one");
    assert_status(bitcask_sync(cask), BITCASK_OK);
    test_cask_put(cask, "ada", "two");
    test_cask_put(cask, "bob", "one");
    test_cask_put(cask, "ada", "three");
    test_image_take(&image, disk->path); /* as a crash leaves it */
    test_cask_close(cask);

    /* The value of "two" did not reach the disk: nothing behind it counts. */
    test_image_restore(&image, disk);
    size = test_disk_size(disk, FIRST_DATA);
    test_disk_flip(disk, FIRST_DATA, 64 + 34 + 28 + 3, 1);
    assert_status(look(disk, "ada", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 1);
    assert_int_equal(versions.of[0].sequence, 1);
    assert_false(versions.of[0].gap);

    /* Nor if it was its header. */
    test_image_restore(&image, disk);
    test_disk_flip(disk, FIRST_DATA, 64 + 34, 1);
    assert_status(look(disk, "ada", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 1);
    assert_false(versions.of[0].gap);

    /* The last record is cut off. */
    test_image_restore(&image, disk);
    test_disk_truncate(disk, FIRST_DATA, size - 1);
    assert_status(look(disk, "ada", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 2);
    assert_int_equal(versions.of[0].sequence, 2);
    assert_false(versions.of[0].gap);
    test_image_release(&image);
}

/* As recovery has it: the next file goes on where the records of this one end. */
static void rubbish_between_two_files_was_never_one(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_inspect_cask seen;
    struct test_image image = { 0 };
    struct test_image_file *file;
    struct versions versions;
    uint8_t *bytes;

    test_cask_put(cask, "ada", "one");
    fill_file(cask);
    test_cask_put(cask, "ada", "two");
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    test_image_restore(&image, disk);
    assert_status(bitcask_inspect_directory(disk->path, &seen), BITCASK_OK);
    assert_int_not_equal(seen.segments[0].state, BITCASK_INSPECT_SEALED);
    bitcask_inspect_cask_release(&seen);

    file = test_image_find(&image, FIRST_DATA);
    bytes = test_noise(file->size + 100, 1);
    memcpy(bytes, file->bytes, file->size);
    test_disk_write(disk, FIRST_DATA, bytes, file->size + 100);
    free(bytes);
    assert_status(look(disk, "ada", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 2);
    assert_false(versions.of[0].gap);
    assert_false(versions.of[1].gap);
    test_image_release(&image);
}

/* The history of ada in @disk is the same after an open as it was before. */
static void expect_same_after_open(struct test_disk *disk)
{
    struct versions before, after;
    struct bitcask *cask = NULL;
    enum bitcask_status looked = look(disk, "ada", &before);
    enum bitcask_status opened =
        bitcask_open_with(disk->io, &cask, disk->path, &small_files);

    if (opened == BITCASK_CORRUPT)
        return; /* then nothing is cut */
    assert_status(opened, BITCASK_OK);
    test_cask_close(cask);
    assert_status(look(disk, "ada", &after), looked);
    assert_int_equal(before.count, after.count);
    for (size_t i = 0; i < before.count; i++)
        assert_memory_equal(&before.of[i], &after.of[i], sizeof before.of[i]);
}

/* Wherever a file that was not synced is damaged, or cut off. */
static void what_an_open_would_cut_is_left_out(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_options options = small_files;
    struct test_image image = { 0 };
    struct bitcask *cask;
    size_t tried = 0;

    test_disk_skip_syncs(disk);
    options.sync = BITCASK_SYNC_NONE;
    cask = test_cask_open(disk, &options);
    test_cask_put(cask, "ada", "one");
    assert_status(bitcask_sync(cask), BITCASK_OK);
    for (int i = 0; i < 2; i++) {
        test_cask_put(cask, "ada", "two");
        fill_file(cask);
        test_cask_put(cask, "ada", "three");
    }
    test_image_take(&image, disk->path); /* as a crash leaves it */
    test_cask_close(cask);

    for (size_t i = 0; i < image.count; i++) {
        const struct test_image_file *file = &image.files[i];

        if (strstr(file->name, ".data") == NULL)
            continue;
        /* Closely in headers and short records, but not in long values. */
        for (size_t at = 0; at < file->size; at += at % 2000 < 200 ? 5 : 97) {
            test_image_restore(&image, disk);
            test_disk_flip(disk, file->name, at, 1);
            expect_same_after_open(disk);
            test_image_restore(&image, disk);
            test_disk_truncate(disk, file->name, at);
            expect_same_after_open(disk);
            tried++;
        }
    }
    assert_true(tried > 200);
    test_image_release(&image);
}

static void what_was_synced_is_shown_behind_damage(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct versions versions;

    test_cask_put(cask, "ada", "one");
    test_cask_put(cask, "ada", "two");
    test_cask_put(cask, "ada", "three");
    test_cask_close(cask); /* so all is synced */
    test_disk_flip(disk, FIRST_DATA, 64 + 34, 1);
    assert_status(look(disk, "ada", &versions), BITCASK_CORRUPT);
    assert_int_equal(versions.count, 2);
    assert_int_equal(versions.of[0].sequence, 3);
    assert_int_equal(versions.of[1].sequence, 1);
    assert_false(versions.of[0].gap);
    assert_true(versions.of[1].gap);
}

static void what_may_have_been_of_the_key_is_told(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct test_image image = { 0 };
    struct versions versions;
    char name[40];

    test_cask_put(cask, "ada", "one");
    test_cask_put(cask, "bob", "one");
    fill_file(cask);
    test_cask_put(cask, "ada", "two");
    test_cask_put(cask, "ada", "three");
    test_cask_close(cask);
    test_image_take(&image, disk->path);

    /* What a sealed file had there, its hint knows; without it, nobody does. */
    test_disk_flip(disk, FIRST_DATA, 64 + 34 + 28, 1); /* the key bob */
    assert_status(look(disk, "ada", &versions), BITCASK_OK);
    test_disk_remove(disk, FIRST_HINT);
    assert_status(look(disk, "ada", &versions), BITCASK_CORRUPT);
    assert_detail("0000000001.data is damaged");
    assert_int_equal(versions.count, 3);

    /* A file that is not sealed, without its last record. */
    test_image_restore(&image, disk);
    (void)snprintf(name, sizeof name, "%010" PRIu64 ".data", versions.of[0].segment_id);
    test_disk_truncate(disk, name, versions.of[0].offset);
    assert_status(look(disk, "ada", &versions), BITCASK_CORRUPT);
    assert_int_equal(versions.count, 2);
    test_image_release(&image);
}

static void a_batch_counts_as_a_whole(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct versions versions;
    struct bitcask_batch_part parts[] = {
        { .key = bitcask_text("ada"), .value = bitcask_text("one") },
        { .key = bitcask_text("bob"), .value = bitcask_text("one") },
        { .key = bitcask_text("ada"), .value = bitcask_text("two") },
    };

    assert_status(bitcask_write_batch(cask, parts, LENGTH_OF(parts)), BITCASK_OK);
    test_cask_put(cask, "ada", "three");
    test_cask_close(cask);
    assert_status(look(disk, "ada", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 3);
    expect_text(disk, "ada", &versions.of[1], "two");
    expect_text(disk, "ada", &versions.of[2], "one");
    assert_false(versions.of[1].gap);

    test_disk_flip(disk, FIRST_DATA, 64 + 28 + 28 + 3, 1); /* the value of the first */
    assert_status(look(disk, "ada", &versions), BITCASK_OK);
    for (size_t i = 0; i < versions.count; i++)
        assert_int_equal(versions.of[i].readable, versions.of[i].sequence == 4);
}

static void missing_pieces_are_told_behind_the_rest(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct test_image image = { 0 };
    struct versions versions;

    test_cask_put(cask, "ada", "one");
    fill_file(cask);
    test_cask_put(cask, "ada", "two");
    fill_file(cask);
    test_cask_put(cask, "ada", "three");
    test_cask_close(cask);
    test_image_take(&image, disk->path);

    test_disk_remove(disk, FIRST_DATA);
    assert_status(look(disk, "ada", &versions), BITCASK_CORRUPT);
    assert_detail("0000000001.data is missing");
    assert_int_equal(versions.count, 2);

    test_image_restore(&image, disk);
    test_disk_flip(disk, "MANIFEST", 5, 1);
    assert_status(look(disk, "ada", &versions), BITCASK_CORRUPT);
    assert_detail("MANIFEST");
    assert_int_equal(versions.count, 3);

    test_disk_remove(disk, "MANIFEST");
    assert_status(look(disk, "ada", &versions), BITCASK_CORRUPT);
    assert_int_equal(versions.count, 3);
    test_image_release(&image);
}

static void a_version_that_is_gone_is_not_found(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_buffer buffer = { 0 };
    struct versions versions;
    struct bitcask_version other;

    test_cask_put(cask, "ada", "one");
    test_cask_put(cask, "ada", "two");
    test_cask_delete(cask, "ada");
    assert_status(look(disk, "ada", &versions), BITCASK_OK);
    assert_int_equal(versions.count, 3);
    assert_status(
        bitcask_version_read(disk->path, bitcask_text("ada"), &versions.of[0], &buffer),
        BITCASK_NOT_FOUND); /* it deletes */
    assert_status(
        bitcask_version_read(disk->path, bitcask_text("bob"), &versions.of[1], &buffer),
        BITCASK_NOT_FOUND); /* it is another's */
    other = versions.of[1];
    other.sequence++;
    assert_status(bitcask_version_read(disk->path, bitcask_text("ada"), &other, &buffer),
                  BITCASK_NOT_FOUND);
    other = versions.of[1];
    other.offset += (uint64_t)1 << 30;
    assert_status(bitcask_version_read(disk->path, bitcask_text("ada"), &other, &buffer),
                  BITCASK_NOT_FOUND);
    merge_all(cask);
    test_cask_close(cask);
    assert_status(
        bitcask_version_read(disk->path, bitcask_text("ada"), &versions.of[1], &buffer),
        BITCASK_NOT_FOUND);
    assert_null(buffer.data);
}

static void locate_says_where_a_key_lies(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_location location;
    struct versions versions;

    test_cask_put(cask, "ada", "one");
    fill_file(cask);
    test_cask_put(cask, "ada", "three");
    assert_status(bitcask_locate(cask, bitcask_text("ada"), &location), BITCASK_OK);
    assert_status(look(disk, "ada", &versions), BITCASK_OK);
    assert_int_equal(location.segment_id, versions.of[0].segment_id);
    assert_true(location.segment_id > 1);
    assert_int_equal(location.offset, versions.of[0].offset);
    assert_int_equal(location.sequence, 5);
    assert_int_equal(location.value_size, 5);
    assert_status(bitcask_locate(cask, bitcask_text("eve"), &location),
                  BITCASK_NOT_FOUND);
    test_cask_delete(cask, "ada");
    assert_status(bitcask_locate(cask, bitcask_text("ada"), &location),
                  BITCASK_NOT_FOUND);
    assert_status(
        bitcask_put_expiring(cask, bitcask_text("old"), bitcask_text("gone"), 1),
        BITCASK_OK);
    assert_status(bitcask_locate(cask, bitcask_text("old"), &location),
                  BITCASK_NOT_FOUND);
    assert_status(bitcask_locate(cask, bitcask_text("ada"), NULL), BITCASK_MISUSE);
    assert_status(bitcask_locate(NULL, bitcask_text("ada"), &location), BITCASK_MISUSE);
    test_cask_close(cask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(versions_come_newest_first),
        disk_test(there_is_none_without_a_record),
        disk_test(a_visit_can_stop_it),
        disk_test(what_a_merge_removed_is_a_gap),
        disk_test(hints_and_data_tell_the_same),
        disk_test(a_damaged_value_is_not_readable),
        disk_test(a_torn_tail_is_left_out),
        disk_test(rubbish_between_two_files_was_never_one),
        disk_test(what_an_open_would_cut_is_left_out),
        disk_test(what_was_synced_is_shown_behind_damage),
        disk_test(what_may_have_been_of_the_key_is_told),
        disk_test(a_batch_counts_as_a_whole),
        disk_test(missing_pieces_are_told_behind_the_rest),
        disk_test(a_version_that_is_gone_is_not_found),
        disk_test(locate_says_where_a_key_lies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
