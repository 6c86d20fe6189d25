/* SPDX-License-Identifier: MIT */
/*
 * Thousands of random histories (puts, overwrites, deletes, batches, values that expire),
 * each followed by merges of random subsets of its files: what the cask holds is the same
 * before and after, and after a reopen that has no hints. In the end a merge of
 * everything leaves nothing dead.
 *
 * BITCASK_TEST_SEED=n begins with history n, BITCASK_TEST_COUNT=1 makes it the only one.
 */
#include "test/test_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/cask.h"
#include "bitcask/format.h"
#include "test/model.h"
#include "test/sim_disk.h"

enum {
    HISTORY_COUNT = 2500,
    KEY_COUNT = 24,
    VALUE_SIZE_LIMIT = 1500,
    PART_COUNT_MAX = 5,
    FILE_COUNT_MAX = 512
};

/* What a key must have. */
struct content {
    bool live;
    uint64_t number; /* of the write that put it */
    size_t size;
    uint64_t expiry_ms; /* 0: never */
};

struct scene {
    uint64_t seed;
    struct model_random random;
    struct sim_disk *disk;
    struct bitcask *cask;
    struct bitcask_options options;
    struct content keys[KEY_COUNT];
    uint64_t write_count;
    uint64_t latest_ms; /* that the wall clock has shown; it may step back */
    bool expires;       /* some values of this history do */
};

/* Of all histories, to see that they are what they should be. */
static struct {
    uint64_t merge_count;
    uint64_t input_count;
    uint64_t kept_count;
    uint64_t dropped_count;
} totals;

#define expect(scene, condition)                                            \
    do {                                                                    \
        if (!(condition))                                                   \
            fail_msg("history %" PRIu64 ", write %" PRIu64 ": %s (%.200s)", \
                     (scene)->seed, (scene)->write_count, #condition,       \
                     bitcask_error_detail());                               \
    } while (0)

static uint64_t chance(struct scene *scene, uint64_t limit)
{
    return model_random_below(&scene->random, limit);
}

/* As model_key(), valid for ever. */
static struct bitcask_slice key_at(unsigned key)
{
    static uint8_t bytes[KEY_COUNT][300];
    struct bitcask_slice slice = model_key(key);

    memcpy(bytes[key], slice.data, slice.size);
    slice.data = bytes[key];
    return slice;
}

/* The bytes that write @number put; never those of another one, unless it has few. */
static const uint8_t *value_at(const struct scene *scene, uint64_t number, size_t size,
                               uint8_t *bytes)
{
    struct bitcask_slice value = model_value(scene->seed, number, size);

    if (size > 0)
        memcpy(bytes, value.data, size);
    return bytes;
}

static uint64_t wall_ms(struct scene *scene)
{
    struct bitcask_io *io = sim_disk_io(scene->disk);
    uint64_t now_ms = io->wall_ms(io);

    if (now_ms > scene->latest_ms)
        scene->latest_ms = now_ms;
    return now_ms;
}

/* COMPARING */

static void expect_key(struct scene *scene, unsigned key, struct bitcask_buffer *found)
{
    const struct content *content = &scene->keys[key];
    uint64_t now_ms = wall_ms(scene);
    enum bitcask_status status = bitcask_get(scene->cask, key_at(key), found);
    uint8_t value[VALUE_SIZE_LIMIT];
    bool expired = content->expiry_ms != 0 && content->expiry_ms <= now_ms;
    /* It had expired, and then the clock stepped back: it may be gone, or not. */
    bool was_expired = content->expiry_ms != 0 && content->expiry_ms <= scene->latest_ms;

    if (!content->live || expired || (was_expired && status == BITCASK_NOT_FOUND)) {
        expect(scene, status == BITCASK_NOT_FOUND);
        return;
    }
    expect(scene, status == BITCASK_OK);
    expect(scene, found->size == content->size);
    expect(scene,
           memcmp(found->data, value_at(scene, content->number, content->size, value),
                  content->size) == 0);
}

static void expect_content(struct scene *scene)
{
    struct bitcask_buffer found = { 0 };
    struct bitcask_iterator *iterator = NULL;
    size_t got = 0;
    size_t met = 0;
    enum bitcask_status status;

    for (unsigned key = 0; key < KEY_COUNT; key++) {
        expect_key(scene, key, &found);
        got += bitcask_exists(scene->cask, key_at(key)) == BITCASK_OK;
    }
    bitcask_buffer_release(&found);
    expect(scene, bitcask_iterator_open(scene->cask, NULL, &iterator) == BITCASK_OK);
    while ((status = bitcask_iterator_next(iterator, NULL, NULL)) == BITCASK_OK)
        met++;
    expect(scene, status == BITCASK_NOT_FOUND);
    bitcask_iterator_close(iterator);
    expect(scene, met == got);
}

/* WRITING */

static void put(struct scene *scene)
{
    unsigned key = (unsigned)chance(scene, KEY_COUNT);
    struct content *content = &scene->keys[key];
    uint8_t bytes[VALUE_SIZE_LIMIT];
    size_t size = (size_t)chance(scene, chance(scene, 6) == 0 ? VALUE_SIZE_LIMIT : 200);
    uint64_t number = ++scene->write_count;
    struct bitcask_slice value = { value_at(scene, number, size, bytes), size };
    uint64_t expiry_ms = 0;
    enum bitcask_status status;

    if (scene->expires && chance(scene, 4) == 0) {
        expiry_ms = wall_ms(scene) - 20 + chance(scene, 300);
        status = bitcask_put_expiring(scene->cask, key_at(key), value, expiry_ms);
    } else {
        status = bitcask_put(scene->cask, key_at(key), value);
    }
    expect(scene, status == BITCASK_OK);
    *content = (struct content){ true, number, size, expiry_ms };
}

static void delete (struct scene *scene)
{
    unsigned key = (unsigned)chance(scene, KEY_COUNT);
    enum bitcask_status status = bitcask_delete(scene->cask, key_at(key));

    scene->write_count++;
    expect(scene, status == BITCASK_OK || status == BITCASK_NOT_FOUND);
    if (scene->keys[key].expiry_ms == 0)
        expect(scene, (status == BITCASK_OK) == scene->keys[key].live);
    if (status == BITCASK_OK) /* else nothing was written, and the clock may step back */
        scene->keys[key].live = false;
}

static void write_batch(struct scene *scene)
{
    struct bitcask_batch_part parts[PART_COUNT_MAX];
    uint8_t values[PART_COUNT_MAX][200];
    size_t count = 1 + (size_t)chance(scene, PART_COUNT_MAX);

    for (size_t i = 0; i < count; i++) {
        unsigned key = (unsigned)chance(scene, KEY_COUNT);
        size_t size = (size_t)chance(scene, 200);
        uint64_t number = ++scene->write_count;
        bool deletes = chance(scene, 3) == 0;
        uint64_t expiry_ms = !deletes && scene->expires && chance(scene, 4) == 0
                                 ? wall_ms(scene) + chance(scene, 300)
                                 : 0;

        parts[i] = (struct bitcask_batch_part){
            .deletes = deletes,
            .key = key_at(key),
            .value = { value_at(scene, number, size, values[i]), deletes ? 0 : size },
            .expiry_ms = expiry_ms,
        };
        scene->keys[key] = (struct content){ !deletes, number, size, expiry_ms };
    }
    expect(scene, bitcask_write_batch(scene->cask, parts, count) == BITCASK_OK);
}

static void write_some(struct scene *scene)
{
    uint64_t count = 1 + chance(scene, 60);

    for (uint64_t i = 0; i < count; i++) {
        switch (chance(scene, 10)) {
        case 0:
        case 1:
        case 2:
            delete (scene);
            break;
        case 3:
            write_batch(scene);
            break;
        default:
            put(scene);
            break;
        }
        sim_disk_pass_ms(scene->disk, chance(scene, 10));
    }
    if (scene->expires && chance(scene, 8) == 0) {
        (void)wall_ms(scene);
        sim_disk_step_wall_ms(scene->disk, -(int64_t)chance(scene, 400));
    }
}

/* OPENING AND MERGING */

static void open_cask(struct scene *scene)
{
    expect(scene, bitcask_open_with(sim_disk_io(scene->disk), &scene->cask, "/cask",
                                    &scene->options) == BITCASK_OK);
}

static void reopen(struct scene *scene, bool with_hints)
{
    const char *name;
    size_t i = 0;

    expect(scene, bitcask_close(scene->cask) == BITCASK_OK);
    while ((name = sim_disk_name(scene->disk, "/cask", i)) != NULL) {
        if (!with_hints && strstr(name, ".hint") != NULL)
            sim_disk_remove_file(scene->disk, "/cask", name);
        else
            i++;
    }
    scene->options.no_mapping = chance(scene, 2) == 0;
    open_cask(scene);
}

struct files {
    uint64_t ids[FILE_COUNT_MAX];
    size_t count;
    uint64_t record_count;
    uint64_t live_count;
    uint64_t tombstone_count;
};

static enum bitcask_status add_file(const struct bitcask_segment_stat *segment,
                                    void *context)
{
    struct files *files = context;

    if (files->count == FILE_COUNT_MAX)
        return BITCASK_TOO_BIG;
    files->ids[files->count++] = segment->id;
    files->record_count += segment->record_count;
    files->live_count += segment->live_count;
    files->tombstone_count += segment->tombstone_count;
    return BITCASK_OK;
}

static void choose_some(struct scene *scene, struct files *files)
{
    uint64_t share = 2 + chance(scene, 4);
    size_t kept = 0;

    for (size_t i = 0; i < files->count; i++) {
        if (chance(scene, share) != 0)
            files->ids[kept++] = files->ids[i];
    }
    files->count = kept;
}

/* What was foretold comes true, but for values that expire meanwhile. */
static void expect_foretold(struct scene *scene,
                            const struct bitcask_merge_report *foretold,
                            const struct bitcask_merge_report *report)
{
    uint64_t freed = report->input_size - report->output_size;
    uint64_t told = foretold->input_size - foretold->output_size;
    uint64_t difference = freed > told ? freed - told : told - freed;

    expect(scene, foretold->input_count == report->input_count);
    expect(scene, foretold->input_size == report->input_size);
    if (!scene->expires)
        expect(scene, difference * 50 <= report->input_size +
                                             50 * 2 * (uint64_t)BITCASK_FILE_HEADER_SIZE);
}

static void merge(struct scene *scene, enum bitcask_merge_choice choice)
{
    struct bitcask_merge_options options = { .choice = choice };
    struct bitcask_merge_report foretold, report;
    struct files files = { .count = 0 };

    expect(scene, bitcask_stat_segments(scene->cask, add_file, &files) == BITCASK_OK);
    if (choice == BITCASK_MERGE_FILES) {
        choose_some(scene, &files);
        options.file_ids = files.ids;
        options.file_count = files.count;
    }
    options.dry_run = true;
    expect(scene, bitcask_merge(scene->cask, &options, &foretold) == BITCASK_OK);
    options.dry_run = false;
    expect(scene, bitcask_merge(scene->cask, &options, &report) == BITCASK_OK);
    expect(scene, report.left_count == 0);
    expect(scene, report.taken_count == report.input_count);
    expect(scene, report.record_out_count <= report.record_in_count);
    expect_foretold(scene, &foretold, &report);
    totals.merge_count++;
    totals.input_count += report.input_count;
    totals.kept_count += report.tombstone_kept_count;
    totals.dropped_count += report.tombstone_dropped_count;
}

static void merge_some(struct scene *scene)
{
    for (uint64_t count = chance(scene, 4); count > 0; count--) {
        merge(scene, chance(scene, 5) == 0 ? BITCASK_MERGE_POLICY : BITCASK_MERGE_FILES);
        expect_content(scene);
        if (chance(scene, 3) == 0)
            put(scene);
        if (chance(scene, 3) == 0)
            delete (scene);
    }
    reopen(scene, chance(scene, 4) == 0);
    expect_content(scene);
}

/* Nothing is in the files but what a get can reach, and their headers. */
static void expect_nothing_dead(struct scene *scene)
{
    struct files files = { .count = 0 };
    struct bitcask_stat stat;

    expect(scene, bitcask_stat_segments(scene->cask, add_file, &files) == BITCASK_OK);
    expect(scene, bitcask_stat(scene->cask, &stat) == BITCASK_OK);
    expect(scene, files.tombstone_count == 0);
    expect(scene, files.record_count == files.live_count);
    expect(scene, stat.data_size ==
                      stat.live_size + stat.segment_count * BITCASK_FILE_HEADER_SIZE);
    expect(scene, stat.key_count == files.live_count);
}

static void live_through(struct scene *scene)
{
    uint64_t rounds = 1 + chance(scene, 3);

    scene->expires = chance(scene, 2) == 0;
    scene->options = (struct bitcask_options){
        .no_background = true,
        .sync = BITCASK_SYNC_NONE,
        .threads = 1,
        .file_size_max = 4096,
        .expected_keys = 1,
        .merge_dead_percent = 1 + (uint32_t)chance(scene, 100),
    };
    open_cask(scene);
    for (uint64_t i = 0; i < rounds; i++) {
        write_some(scene);
        expect_content(scene);
        if (chance(scene, 4) == 0)
            reopen(scene, true);
        merge_some(scene);
    }
    merge(scene, BITCASK_MERGE_ALL);
    expect_content(scene);
    expect_nothing_dead(scene);
    reopen(scene, false);
    expect_content(scene);
    expect_nothing_dead(scene);
    put(scene); /* the sequence goes on where it was */
    reopen(scene, false);
    expect_content(scene);
    expect(scene, bitcask_close(scene->cask) == BITCASK_OK);
    expect(scene, sim_disk_open_count(scene->disk) == 0);
}

static void merges_of_any_files_change_nothing_that_a_reader_sees(void **state)
{
    uint64_t first = model_seed();
    uint64_t count = model_setting("BITCASK_TEST_COUNT", HISTORY_COUNT);

    (void)state;
    for (uint64_t i = 0; i < count; i++) {
        struct scene scene = { .seed = first + i, .disk = sim_disk_new(first + i) };

        scene.random.state = (first + i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
        (void)model_random_next(&scene.random);
        live_through(&scene);
        sim_disk_free(scene.disk);
    }
    printf("%" PRIu64 " histories, %" PRIu64 " merges of %" PRIu64
           " files, tombstones: %" PRIu64 " dropped, %" PRIu64 " kept\n",
           count, totals.merge_count, totals.input_count, totals.dropped_count,
           totals.kept_count);
    if (count == HISTORY_COUNT)
        assert_true(totals.kept_count > 0 && totals.dropped_count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_of_any_files_change_nothing_that_a_reader_sees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
