/* SPDX-License-Identifier: MIT */
/* What is seen of a cask from its directory and its MANIFEST. */
#include "test/test_cask.h"

#include <stdio.h>
#include <string.h>

#include "bitcask/format.h"
#include "bitcask/inspect.h"
#include "bitcask/manifest.h"

static const struct bitcask_inspect_segment *find(const struct bitcask_inspect_cask *cask,
                                                  uint64_t id)
{
    for (size_t i = 0; i < cask->segment_count; i++) {
        if (cask->segments[i].id == id)
            return &cask->segments[i];
    }
    fail_msg("segment %u is not there", (unsigned)id);
    return NULL;
}

/* A MANIFEST with a line of each state. */
static void write_manifest(const struct test_disk *disk)
{
    static const struct bitcask_manifest_segment lines[] = {
        { BITCASK_MANIFEST_SEALED, 2, 0x22, 200, 3, 9, 8 },
        { BITCASK_MANIFEST_RETIRED, 3, 0x33, 0, 0, 0, 0 },
        { BITCASK_MANIFEST_OPEN, 5, 0x55, 77, 0, 12, 0 },
        { BITCASK_MANIFEST_PREPARED, 6, 0x66, 0, 0, 0, 0 },
        { BITCASK_MANIFEST_DRAFT, 8, 0x88, 0, 0, 0, 0 },
        { BITCASK_MANIFEST_QUARANTINED, 9, 0x99, 0, 0, 0, 0 },
    };
    struct bitcask_manifest manifest;
    struct bitcask_buffer text = { 0 };

    bitcask_manifest_init(&manifest);
    manifest.next_id = 10;
    manifest.sequence = 11;
    manifest.key_count = 4;
    for (size_t i = 0; i < LENGTH_OF(lines); i++)
        assert_status(bitcask_manifest_add(&manifest, &lines[i]), BITCASK_OK);
    assert_status(bitcask_manifest_format(&manifest, &text), BITCASK_OK);
    test_disk_write(disk, "MANIFEST", text.data, text.size);
    bitcask_buffer_release(&text);
    bitcask_manifest_release(&manifest);
}

static void every_line_and_every_file_is_there_once(void **state)
{
    static const struct {
        uint64_t id;
        enum bitcask_inspect_state state;
        bool data_exists, hint_exists;
        const char *word;
    } wanted[] = {
        { 1, BITCASK_INSPECT_UNLISTED, true, false, "unlisted" },
        { 2, BITCASK_INSPECT_SEALED, true, true, "sealed" },
        { 3, BITCASK_INSPECT_RETIRED, true, false, "retired" },
        { 4, BITCASK_INSPECT_UNLISTED, false, true, "unlisted" },
        { 5, BITCASK_INSPECT_OPEN, false, false, "open" },
        { 6, BITCASK_INSPECT_PREPARED, true, false, "prepared" },
        { 8, BITCASK_INSPECT_DRAFT, false, false, "draft" },
        { 9, BITCASK_INSPECT_QUARANTINED, false, false, "quarantined" },
        { 12345678901, BITCASK_INSPECT_UNLISTED, true, true, "unlisted" },
    };
    static const char *const names[] = {
        "0000000001.data",
        "0000000002.data",
        "0000000002.hint",
        "0000000003.data",
        "0000000004.hint",
        "0000000006.data",
        "12345678901.data",
        "12345678901.hint",
        "0000000007.other",
        "0000000007.data1",
        "LOCK",
        "RESERVE",
    };
    struct test_disk *disk = *state;
    struct bitcask_inspect_cask cask;
    const struct bitcask_inspect_segment *segment;

    write_manifest(disk);
    for (size_t i = 0; i < LENGTH_OF(names); i++)
        test_disk_write(disk, names[i], "x", 1);
    assert_status(bitcask_inspect_directory(disk->path, &cask), BITCASK_OK);
    assert_true(cask.manifest_exists);
    assert_true(cask.manifest_intact);
    assert_int_equal(cask.manifest_size, test_disk_size(disk, "MANIFEST"));
    assert_int_equal(cask.manifest_check_stored, cask.manifest_check_computed);
    assert_int_not_equal(cask.manifest_check_stored, 0);
    assert_int_equal(cask.next_id, 10);
    assert_int_equal(cask.sequence, 11);
    assert_int_equal(cask.key_count, 4);
    assert_int_equal(cask.segment_count, LENGTH_OF(wanted));
    for (size_t i = 0; i < LENGTH_OF(wanted); i++) {
        segment = &cask.segments[i];
        assert_int_equal(segment->id, wanted[i].id);
        assert_int_equal(segment->state, wanted[i].state);
        assert_int_equal(segment->data_exists, wanted[i].data_exists);
        assert_int_equal(segment->hint_exists, wanted[i].hint_exists);
        assert_string_equal(bitcask_inspect_state_text(segment->state), wanted[i].word);
    }
    segment = find(&cask, 2);
    assert_int_equal(segment->salt, 0x22);
    assert_int_equal(segment->size, 200);
    assert_int_equal(segment->first_sequence, 3);
    assert_int_equal(segment->last_sequence, 9);
    assert_int_equal(segment->purged_sequence, 8);
    assert_int_equal(find(&cask, 5)->last_sequence, 12);
    bitcask_inspect_cask_release(&cask);
    assert_null(cask.segments);
    bitcask_inspect_cask_release(&cask);
}

static void without_a_manifest_there_are_the_files(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_inspect_cask cask;

    assert_status(bitcask_inspect_directory(disk->path, &cask), BITCASK_OK);
    assert_false(cask.manifest_exists);
    assert_int_equal(cask.segment_count, 0);
    bitcask_inspect_cask_release(&cask);

    test_disk_write(disk, "0000000007.data", "x", 1);
    test_disk_write(disk, "0000000003.hint", "x", 1);
    assert_status(bitcask_inspect_directory(disk->path, &cask), BITCASK_OK);
    assert_false(cask.manifest_exists);
    assert_false(cask.manifest_intact);
    assert_int_equal(cask.segment_count, 2);
    assert_true(find(&cask, 7)->data_exists);
    assert_true(find(&cask, 3)->hint_exists);
    bitcask_inspect_cask_release(&cask);
}

/* Every byte, in turn: it is seen, and nothing of it is believed. */
static void a_damaged_manifest_is_not_believed(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_inspect_cask cask;
    uint64_t size;

    write_manifest(disk);
    test_disk_write(disk, "0000000007.data", "x", 1);
    size = test_disk_size(disk, "MANIFEST");
    for (uint64_t offset = 0; offset < size; offset++) {
        test_disk_flip(disk, "MANIFEST", offset, 1);
        assert_status(bitcask_inspect_directory(disk->path, &cask), BITCASK_OK);
        assert_true(cask.manifest_exists);
        assert_false(cask.manifest_intact);
        assert_int_equal(cask.segment_count, 1);
        assert_int_equal(cask.next_id, 0);
        bitcask_inspect_cask_release(&cask);
        test_disk_flip(disk, "MANIFEST", offset, 1);
    }
    for (uint64_t cut = 0; cut < size; cut++) {
        write_manifest(disk);
        test_disk_truncate(disk, "MANIFEST", cut);
        assert_status(bitcask_inspect_directory(disk->path, &cask), BITCASK_OK);
        assert_false(cask.manifest_intact);
        assert_int_equal(cask.manifest_size, cut);
        bitcask_inspect_cask_release(&cask);
    }
}

static void it_is_seen_beside_a_writer(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_inspect_cask seen;
    struct test_image image = { 0 };

    test_history_write(cask, 1, 300);
    test_image_take(&image, disk->path);
    assert_status(bitcask_inspect_directory(disk->path, &seen), BITCASK_OK);
    test_image_unchanged(&image, disk->path);
    test_image_release(&image);
    assert_true(seen.manifest_intact);
    assert_true(find(&seen, 1)->data_exists);
    bitcask_inspect_cask_release(&seen);
    test_cask_close(cask);
    assert_status(bitcask_inspect_directory(disk->path, &seen), BITCASK_OK);
    assert_true(seen.sequence > 0);
    assert_true(find(&seen, 1)->size > BITCASK_FILE_HEADER_SIZE);
    bitcask_inspect_cask_release(&seen);
}

static void misuse_and_failures_have_words(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_inspect_cask cask;
    char path[300];

    assert_status(bitcask_inspect_directory(disk->path, NULL), BITCASK_MISUSE);
    assert_status(bitcask_inspect_directory(NULL, &cask), BITCASK_MISUSE);
    assert_status(bitcask_inspect_directory("", &cask), BITCASK_MISUSE);
    (void)snprintf(path, sizeof path, "%s/missing", disk->path);
    assert_status(bitcask_inspect_directory(path, &cask), BITCASK_NOT_FOUND);
    assert_detail("no such directory");
    bitcask_inspect_cask_release(&cask);
    test_disk_write(disk, "file", "x", 1);
    (void)snprintf(path, sizeof path, "%s/file", disk->path);
    assert_status(bitcask_inspect_directory(path, &cask), BITCASK_IO);
    bitcask_inspect_cask_release(&cask);
    assert_string_equal(bitcask_inspect_state_text((enum bitcask_inspect_state)99),
                        "unlisted");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(every_line_and_every_file_is_there_once),
        disk_test(without_a_manifest_there_are_the_files),
        disk_test(a_damaged_manifest_is_not_believed),
        disk_test(it_is_seen_beside_a_writer),
        disk_test(misuse_and_failures_have_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
