/* SPDX-License-Identifier: MIT */
/* What a cask says of itself, against a model, and again after every reopen. */
#include "test/test_cask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/format.h"
#include "test/model.h"

enum {
    SEGMENTS_MAX = 2000
};

/* All segments of a cask, and their sums. */
struct segments {
    struct bitcask_segment_stat rows[SEGMENTS_MAX];
    size_t count;
    uint64_t data_size, live_size, dead_size;
    uint64_t live_count, record_count, tombstone_count;
};

static enum bitcask_status add_segment(const struct bitcask_segment_stat *segment,
                                       void *context)
{
    struct segments *segments = context;

    assert_true(segments->count < SEGMENTS_MAX);
    segments->rows[segments->count++] = *segment;
    segments->data_size += segment->data_size;
    segments->live_size += segment->live_size;
    segments->dead_size += segment->dead_size;
    segments->live_count += segment->live_count;
    segments->record_count += segment->record_count;
    segments->tombstone_count += segment->tombstone_count;
    return BITCASK_OK;
}

static struct segments *list_segments(struct bitcask *cask)
{
    struct segments *segments = calloc(1, sizeof *segments);

    assert_non_null(segments);
    assert_status(bitcask_stat_segments(cask, add_segment, segments), BITCASK_OK);
    return segments;
}

static uint64_t model_live_size(const struct model *model)
{
    uint64_t size = 0;

    for (unsigned key = 0; key < MODEL_KEY_COUNT; key++) {
        if (model->keys[key].live)
            size += BITCASK_RECORD_HEADER_SIZE + model_key(key).size +
                    model->keys[key].value_size;
    }
    return size;
}

/* Segments are in order, hang together without a gap, and add up. */
static void check_segments(struct bitcask *cask, const struct segments *segments)
{
    struct bitcask_stat stat = test_cask_stat(cask);
    uint64_t sequence = 0;

    for (size_t i = 0; i < segments->count; i++) {
        const struct bitcask_segment_stat *row = &segments->rows[i];

        assert_true(i == 0 || row->id > segments->rows[i - 1].id);
        assert_int_equal(row->first_sequence, sequence + 1);
        assert_int_equal(row->last_sequence, sequence + row->record_count);
        sequence = row->last_sequence;
        assert_int_equal(row->data_size,
                         BITCASK_FILE_HEADER_SIZE + row->live_size + row->dead_size);
        assert_true(row->live_count + row->tombstone_count <= row->record_count);
        assert_true(row->live_count == 0 ? row->live_size == 0 : row->live_size > 0);
        assert_int_equal(row->cut_size, 0);
    }
    assert_int_equal(sequence, stat.last_sequence);
    assert_int_equal(segments->count, stat.segment_count);
    assert_int_equal(segments->data_size, stat.data_size);
    assert_int_equal(segments->live_size, stat.live_size);
    assert_int_equal(segments->dead_size, stat.dead_size);
    assert_int_equal(segments->live_count, stat.key_count);
    assert_true(stat.synced_sequence <= stat.last_sequence);
}

/* Against the model; the list goes to free(). */
static struct segments *check_all(struct bitcask *cask, const struct model *model)
{
    struct segments *segments = list_segments(cask);

    check_segments(cask, segments);
    assert_int_equal(segments->live_count, model_live_count(model));
    assert_int_equal(segments->live_size, model_live_size(model));
    return segments;
}

static void make_writes(struct bitcask *cask, struct model *model, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct model_write write = model_write_at(model->seed, model->write_count);

        model_apply(model, cask, &write);
        model_advance(model);
    }
}

/* All but what says whether a segment is still written. */
static void assert_same_segments(const struct segments *before,
                                 const struct segments *after)
{
    assert_int_equal(before->count, after->count);
    for (size_t i = 0; i < before->count; i++) {
        struct bitcask_segment_stat row = after->rows[i];

        row.sealed = before->rows[i].sealed;
        assert_memory_equal(&row, &before->rows[i], sizeof row);
    }
}

static void remove_hints(struct test_disk *disk)
{
    struct test_image image = { 0 };

    test_image_take(&image, disk->path);
    for (size_t i = 0; i < image.count; i++) {
        if (strstr(image.files[i].name, ".hint") != NULL)
            test_disk_remove(disk, image.files[i].name);
    }
    test_image_release(&image);
}

/* Statistics that steer merging have to survive a restart. */
static void the_numbers_are_right_and_the_same_after_every_reopen(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct model *model = calloc(1, sizeof *model);

    assert_non_null(model);
    model_init(model, model_seed());
    test_disk_skip_syncs(disk);
    for (int round = 0; round < 8; round++) {
        struct segments *before, *after;

        make_writes(cask, model, 150);
        before = check_all(cask, model);
        test_cask_close(cask);

        for (int reopen = 0; reopen < 3; reopen++) { /* hints, none, a reader */
            if (reopen == 1)
                remove_hints(disk);
            cask =
                reopen == 2 ? test_cask_open_read_only(disk) : test_cask_open(disk, NULL);
            after = check_all(cask, model);
            assert_same_segments(before, after);
            assert_int_equal(test_cask_stat(cask).cut_count, 0);
            assert_int_equal(test_cask_stat(cask).recovered_size, 0);
            assert_int_equal(test_cask_stat(cask).synced_sequence,
                             test_cask_stat(cask).last_sequence);
            free(after);
            test_cask_close(cask);
        }
        cask = test_cask_open(disk, NULL);
        free(before);
    }
    test_cask_close(cask);
    free(model);
}

static void a_closed_cask_has_the_files_that_it_said(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct test_image image = { 0 };
    struct segments *segments;

    test_history_write(cask, 1, 200);
    segments = list_segments(cask);
    test_cask_close(cask);
    test_image_take(&image, disk->path);
    assert_int_equal(test_image_count(&image, ".data"), segments->count);
    for (size_t i = 0; i < segments->count; i++) {
        char name[BITCASK_NAME_SIZE];

        bitcask_data_name(name, segments->rows[i].id);
        assert_non_null(test_image_find(&image, name));
        assert_int_equal(test_image_find(&image, name)->size,
                         segments->rows[i].data_size);
    }
    test_image_release(&image);
    free(segments);
}

static void hints_and_scans_are_counted(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    uint64_t segment_count;

    test_history_write(cask, 1, 150);
    segment_count = test_cask_stat(cask).segment_count;
    assert_int_equal(test_cask_stat(cask).hint_count, 0);
    assert_int_equal(test_cask_stat(cask).scan_count, 0);
    test_cask_close(cask);

    cask = test_cask_open_read_only(disk); /* the active one is too small for a hint */
    assert_int_equal(test_cask_stat(cask).hint_count, segment_count - 1);
    assert_int_equal(test_cask_stat(cask).scan_count, 1);
    test_cask_close(cask);

    test_disk_remove(disk, FIRST_HINT);
    for (uint64_t again = 0; again <= 1; again++) { /* the writer puts it back */
        cask = test_cask_open(disk, NULL);
        assert_int_equal(test_cask_stat(cask).hint_count, segment_count - 2 + again);
        assert_int_equal(test_cask_stat(cask).scan_count, 2 - again);
        assert_int_equal(test_history_check(cask), 150);
        test_cask_close(cask);
    }
}

static enum bitcask_status stop_at_second(const struct bitcask_segment_stat *segment,
                                          void *context)
{
    int *visits = context;

    (void)segment;
    (*visits)++;
    return *visits == 2 ? BITCASK_TOO_BIG : BITCASK_OK;
}

static void a_visit_can_end_the_walk(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    int visits = 0;

    test_history_write(cask, 1, 100);
    assert_status(bitcask_stat_segments(cask, stop_at_second, &visits), BITCASK_TOO_BIG);
    assert_int_equal(visits, 2);
    assert_status(bitcask_stat_segments(cask, NULL, NULL), BITCASK_MISUSE);
    assert_status(bitcask_stat_segments(NULL, stop_at_second, &visits), BITCASK_MISUSE);
    test_cask_close(cask);
}

struct busy_visit {
    struct bitcask *cask;
    int visits;
};

static enum bitcask_status use_cask(const struct bitcask_segment_stat *segment,
                                    void *context)
{
    struct busy_visit *busy = context;
    uint64_t id = segment->id;

    test_cask_put(busy->cask, "put by a visit", "a value that makes files rotate");
    test_cask_expect(busy->cask, "put by a visit", "a value that makes files rotate");
    (void)test_cask_stat(busy->cask);
    assert_int_equal(segment->id, id);
    busy->visits++;
    return BITCASK_OK;
}

static void a_visit_may_use_the_cask(void **state)
{
    struct test_disk *disk = *state;
    struct busy_visit busy = { test_cask_open(disk, NULL), 0 };
    uint64_t segment_count;

    test_history_write(busy.cask, 1, 300);
    segment_count = test_cask_stat(busy.cask).segment_count;
    assert_status(bitcask_stat_segments(busy.cask, use_cask, &busy), BITCASK_OK);
    assert_int_equal(busy.visits, segment_count);
    test_cask_close(busy.cask);
}

static void all_segments_but_the_active_one_are_sealed(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);

    for (uint64_t number = 1; number <= 100; number++) {
        struct segments *segments;

        test_history_write(cask, number, number);
        segments = list_segments(cask);
        for (size_t i = 0; i < segments->count; i++)
            assert_int_equal(segments->rows[i].sealed, i + 1 < segments->count);
        free(segments);
    }
    test_cask_close(cask);
}

/* Every cut is reported: where, and how much. */
static void a_torn_tail_is_reported_once(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct segments *segments;
    struct bitcask *cask;
    uint64_t whole_size;

    disk->fault.no_allocate = true; /* so that the file ends with its last record */
    cask = test_cask_open(disk, NULL);
    test_history_write(cask, 1, 9);
    whole_size = test_disk_size(disk, FIRST_DATA);
    test_history_write(cask, 10, 10);
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    test_image_restore(&image, disk);
    test_disk_truncate(disk, FIRST_DATA, test_disk_size(disk, FIRST_DATA) - 1);

    for (int reader = 1; reader >= 0; reader--) {
        uint64_t cut_size = test_disk_size(disk, FIRST_DATA) - whole_size;

        cask = reader ? test_cask_open_read_only(disk) : test_cask_open(disk, NULL);
        assert_int_equal(test_history_check(cask), 9);
        assert_int_equal(test_cask_stat(cask).cut_count, 1);
        assert_int_equal(test_cask_stat(cask).cut_size, cut_size);
        assert_int_equal(test_cask_stat(cask).data_size, whole_size);
        assert_int_equal(test_cask_stat(cask).recovered_size, reader ? 0 : whole_size);
        segments = list_segments(cask);
        assert_int_equal(segments->count, 1);
        assert_int_equal(segments->rows[0].cut_offset, whole_size);
        assert_int_equal(segments->rows[0].cut_size, cut_size);
        free(segments);
        test_cask_close(cask);
    }
    cask = test_cask_open(disk, NULL); /* it was cut, so it is no more */
    assert_int_equal(test_cask_stat(cask).cut_count, 0);
    assert_int_equal(test_cask_stat(cask).cut_size, 0);
    assert_int_equal(test_history_check(cask), 9);
    test_cask_close(cask);
    test_image_release(&image);
}

static void a_new_cask_is_empty_in_every_respect(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct bitcask_stat stat = test_cask_stat(cask);
    static const struct bitcask_stat zero;

    /* The tables are there, and the options are what they are. */
    assert_in_range(stat.keydir_size, 100 << 10, 4 << 20);
    stat.keydir_size = 0;
    assert_int_equal(stat.merge_trigger_size, 5 << 20);
    stat.merge_trigger_size = 0;
    assert_int_equal(stat.merge_dead_percent, 50);
    stat.merge_dead_percent = 0;
    stat.open_ms = 0;
    assert_memory_equal(&stat, &zero, sizeof stat);
    test_cask_close(cask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(the_numbers_are_right_and_the_same_after_every_reopen),
        disk_test(a_closed_cask_has_the_files_that_it_said),
        disk_test(hints_and_scans_are_counted),
        disk_test(a_visit_can_end_the_walk),
        disk_test(a_visit_may_use_the_cask),
        disk_test(all_segments_but_the_active_one_are_sealed),
        disk_test(a_torn_tail_is_reported_once),
        disk_test(a_new_cask_is_empty_in_every_respect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
