/* SPDX-License-Identifier: MIT */
#include "test/merge_fixture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "test/test_support.h"

const struct bitcask_options merge_test_options = { .sync = BITCASK_SYNC_NONE,
                                                    .no_background = true,
                                                    .file_size_max = 4096 };

struct bitcask *merge_test_open(struct sim_disk *disk)
{
    struct bitcask *cask = NULL;

    assert_status(
        bitcask_open_with(sim_disk_io(disk), &cask, "/cask", &merge_test_options),
        BITCASK_OK);
    return cask;
}

void merge_test_put(struct bitcask *cask, const char *key, const char *value)
{
    assert_status(bitcask_put(cask, bitcask_text(key), bitcask_text(value)), BITCASK_OK);
}

void merge_test_delete(struct bitcask *cask, const char *key)
{
    assert_status(bitcask_delete(cask, bitcask_text(key)), BITCASK_OK);
}

void merge_test_expect(struct bitcask *cask, const char *key, const char *value)
{
    struct bitcask_buffer found = { 0 };

    assert_status(bitcask_get(cask, bitcask_text(key), &found),
                  value != NULL ? BITCASK_OK : BITCASK_NOT_FOUND);
    if (value != NULL)
        assert_string_equal(found.data, value);
    bitcask_buffer_release(&found);
}

void merge_test_begin_file(struct bitcask *cask)
{
    static char filler[4000];

    memset(filler, 'f', sizeof filler - 1);
    merge_test_put(cask, "filler", filler);
}

static enum bitcask_status add_file(const struct bitcask_segment_stat *segment,
                                    void *context)
{
    struct merge_test_listing *files = context;

    if (files->count == MERGE_TEST_FILES_MAX)
        return BITCASK_TOO_BIG;
    files->of[files->count++] = *segment;
    return BITCASK_OK;
}

struct merge_test_listing merge_test_list(struct bitcask *cask)
{
    struct merge_test_listing files = { .count = 0 };

    assert_status(bitcask_stat_segments(cask, add_file, &files), BITCASK_OK);
    return files;
}

bool merge_test_is_file_of(struct bitcask *cask, uint64_t id)
{
    struct merge_test_listing files = merge_test_list(cask);
    bool found = false;

    for (size_t i = 0; i < files.count; i++)
        found = found || files.of[i].id == id;
    return found;
}

uint64_t merge_test_file_of(struct bitcask *cask, uint64_t sequence)
{
    struct merge_test_listing files = merge_test_list(cask);

    for (size_t i = 0; i < files.count; i++) {
        if (files.of[i].first_sequence <= sequence &&
            sequence <= files.of[i].last_sequence)
            return files.of[i].id;
    }
    fail_msg("there is no record %" PRIu64, sequence);
    return 0;
}

uint64_t merge_test_last_sequence(struct bitcask *cask)
{
    struct bitcask_stat stat;

    assert_status(bitcask_stat(cask, &stat), BITCASK_OK);
    return stat.last_sequence;
}

struct bitcask_merge_report merge_test_files(struct bitcask *cask, const uint64_t *ids,
                                             size_t count)
{
    const struct bitcask_merge_options options = { .choice = BITCASK_MERGE_FILES,
                                                   .file_ids = ids,
                                                   .file_count = count };
    struct bitcask_merge_report report;

    assert_status(bitcask_merge(cask, &options, &report), BITCASK_OK);
    assert_int_equal(report.input_count, count);
    return report;
}

struct bitcask_merge_report merge_test_all(struct bitcask *cask)
{
    const struct bitcask_merge_options options = { .choice = BITCASK_MERGE_ALL };
    struct bitcask_merge_report report;

    assert_status(bitcask_merge(cask, &options, &report), BITCASK_OK);
    return report;
}

struct bitcask *merge_test_reopen(struct sim_disk *disk, struct bitcask *cask)
{
    const char *name;
    size_t i = 0;

    assert_status(bitcask_close(cask), BITCASK_OK);
    while ((name = sim_disk_name(disk, "/cask", i)) != NULL) {
        if (strstr(name, ".hint") != NULL)
            sim_disk_remove_file(disk, "/cask", name);
        else
            i++;
    }
    return merge_test_open(disk);
}

void merge_test_close(struct sim_disk *disk, struct bitcask *cask)
{
    assert_status(bitcask_close(cask), BITCASK_OK);
    assert_int_equal(sim_disk_open_count(disk), 0);
    sim_disk_free(disk);
}
