/* SPDX-License-Identifier: MIT */
/* The part of the append queue by which merges replace segments. */
#include "test/commit_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "bitcask/manifest.h"
#include "hint/hint.h"
#include "test/test_alloc.h"

/* An empty directory again, and a queue on it with @count records in small files. */
static void begin(struct commit_fixture *fixture, size_t count)
{
    commit_fixture_end(fixture);
    test_disk_clear(fixture->disk);
    fixture->appended_count = 0;
    fixture->sealed_count = 0;
    commit_fixture_begin(fixture, 1000);
    for (size_t i = 0; i < count; i++)
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
}

static struct bitcask_segment *segment_at(struct commit_fixture *fixture, uint32_t index)
{
    struct bitcask_segment *segment = bitcask_segments_get(&fixture->segments, index);

    assert_non_null(segment);
    return segment;
}

static size_t count_lines(const struct bitcask_manifest *manifest,
                          enum bitcask_manifest_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < manifest->segment_count; i++)
        count += manifest->segments[i].state == state;
    return count;
}

/* What the MANIFEST on disk says of @id; without a line the id is 0. */
static struct bitcask_manifest_segment line_of(struct commit_fixture *fixture,
                                               uint64_t id)
{
    struct bitcask_manifest_segment line = { .state = BITCASK_MANIFEST_PREPARED };
    struct bitcask_manifest manifest;

    bitcask_manifest_init(&manifest);
    assert_status(
        bitcask_manifest_read(&manifest, bitcask_io_posix(), fixture->disk->directory),
        BITCASK_OK);
    for (size_t i = 0; i < manifest.segment_count; i++) {
        if (manifest.segments[i].id == id)
            line = manifest.segments[i];
    }
    bitcask_manifest_release(&manifest);
    return line;
}

static size_t count_on_disk(struct commit_fixture *fixture,
                            enum bitcask_manifest_state state)
{
    struct bitcask_manifest manifest;
    size_t count;

    bitcask_manifest_init(&manifest);
    assert_status(
        bitcask_manifest_read(&manifest, bitcask_io_posix(), fixture->disk->directory),
        BITCASK_OK);
    count = count_lines(&manifest, state);
    bitcask_manifest_release(&manifest);
    return count;
}

/* A sealed file without a record, as a merge might have written it. */
static struct bitcask_segment *make_output(struct commit_fixture *fixture,
                                           const struct bitcask_manifest_segment *draft)
{
    const struct bitcask_file_header header = { .segment_id = draft->id,
                                                .salt = draft->salt };
    struct bitcask_segment *output;
    bitcask_file file;

    assert_status(bitcask_data_file_create(fixture->disk->io, fixture->disk->directory,
                                           &header, &file),
                  BITCASK_OK);
    assert_status(bitcask_segments_add_outside(&fixture->segments, draft->id, draft->salt,
                                               file, &output),
                  BITCASK_OK);
    output->purged_sequence = 7;
    output->name_synced = true;
    atomic_store(&output->data_size, BITCASK_FILE_HEADER_SIZE);
    atomic_store(&output->sealed, true);
    bitcask_segment_park(&fixture->segments, output);
    return output;
}

/* The first two segments, to be replaced by an output. */
struct replacement {
    struct bitcask_segment *inputs[2];
    struct bitcask_segment *outputs[1];
    struct bitcask_switch change;
};

static void prepare(struct commit_fixture *fixture, struct replacement *replacement)
{
    struct bitcask_manifest_segment draft;

    begin(fixture, 20);
    assert_true(fixture->sealed_count >= 2);
    assert_status(bitcask_commit_draft(&fixture->commit, 1, &draft), BITCASK_OK);
    replacement->inputs[0] = segment_at(fixture, 0);
    replacement->inputs[1] = segment_at(fixture, 1);
    replacement->outputs[0] = make_output(fixture, &draft);
    replacement->change = (struct bitcask_switch){ .inputs = replacement->inputs,
                                                   .input_count = 2,
                                                   .outputs = replacement->outputs,
                                                   .output_count = 1 };
}

static enum bitcask_status carry_out(struct commit_fixture *fixture,
                                     const struct replacement *replacement, bool *unknown)
{
    uint64_t last, synced;

    bitcask_commit_sequences(&fixture->commit, &last, &synced);
    return bitcask_commit_switch(&fixture->commit, &replacement->change, last, unknown);
}

static struct bitcask_stat stat_of(struct commit_fixture *fixture)
{
    struct bitcask_stat stat = { 0 };

    bitcask_commit_stat(&fixture->commit, &stat);
    return stat;
}

static void arm(struct commit_fixture *fixture, unsigned calls, long skip)
{
    const struct fault_plan plan = { .calls = calls, .skip = skip };

    fault_io_arm(&fixture->disk->fault, &plan);
}

/* Stop failing; how often it was. */
static long disarm(struct commit_fixture *fixture)
{
    fault_io_disarm(&fixture->disk->fault);
    return fault_io_failure_count(&fixture->disk->fault);
}

static void sealing_ends_the_active_segment(void **state)
{
    struct commit_fixture *fixture = *state;
    struct bitcask_segment *active;
    uint64_t last, synced;

    begin(fixture, 3);
    active = segment_at(fixture, 0);
    assert_status(bitcask_commit_seal(&fixture->commit, active->id), BITCASK_OK);
    assert_true(atomic_load(&active->sealed));
    assert_null(fixture->commit.active);
    bitcask_commit_sequences(&fixture->commit, &last, &synced);
    assert_int_equal(last, 3);
    assert_int_equal(synced, 3);

    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_int_equal(fixture->appended[3].segment_id, 2);
    commit_fixture_check(fixture);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    assert_int_equal(line_of(fixture, 1).state, BITCASK_MANIFEST_SEALED);
    assert_int_equal(line_of(fixture, 1).size, atomic_load(&active->data_size));
    assert_int_equal(line_of(fixture, 1).last_sequence, 3);
    assert_int_equal(line_of(fixture, 2).state, BITCASK_MANIFEST_OPEN);
}

static void only_the_segment_that_is_meant_is_sealed(void **state)
{
    struct commit_fixture *fixture = *state;
    struct bitcask_segment *active;

    begin(fixture, 0);
    assert_status(bitcask_commit_seal(&fixture->commit, 1), BITCASK_OK); /* none yet */
    for (int i = 0; i < 3; i++)
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    active = segment_at(fixture, 0);
    assert_status(bitcask_commit_seal(&fixture->commit, 2), BITCASK_OK);
    assert_false(atomic_load(&active->sealed));
    assert_ptr_equal(fixture->commit.active, active);
    assert_status(bitcask_commit_seal(&fixture->commit, 1), BITCASK_OK);
    assert_status(bitcask_commit_seal(&fixture->commit, 1),
                  BITCASK_OK); /* twice is once */
    assert_true(atomic_load(&active->sealed));
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    assert_status(bitcask_commit_seal(&fixture->commit, 1), BITCASK_OK);
}

static void a_seal_that_fails_seals_nothing(void **state)
{
    struct commit_fixture *fixture = *state;

    for (long n = 0, failures = 1; failures > 0; n++) {
        enum bitcask_status status;

        begin(fixture, 3);
        arm(fixture, FAULT_ANY & ~FAULT_BIT(FAULT_TRUNCATE),
            n); /* what it cuts is zeros */
        status = bitcask_commit_seal(&fixture->commit, 1);
        failures = disarm(fixture);
        assert_int_equal(status == BITCASK_OK, failures == 0);
        assert_int_equal(atomic_load(&segment_at(fixture, 0)->sealed), failures == 0);
        assert_int_equal(bitcask_commit_check(&fixture->commit) == BITCASK_OK,
                         failures == 0); /* a sync has failed */
        commit_fixture_check(fixture);
        assert_true(failures > 0 || n >= 1);
    }
}

static void drafts_are_new_ids_that_the_manifest_lists(void **state)
{
    struct commit_fixture *fixture = *state;
    struct bitcask_manifest_segment drafts[200];
    uint64_t last_id = 0;

    begin(fixture, 20);
    for (int round = 0; round < 3; round++) {
        assert_status(bitcask_commit_draft(&fixture->commit, LENGTH_OF(drafts), drafts),
                      BITCASK_OK);
        assert_int_equal(count_on_disk(fixture, BITCASK_MANIFEST_DRAFT),
                         (size_t)(round + 1) * LENGTH_OF(drafts));
        for (size_t i = 0; i < LENGTH_OF(drafts); i++) {
            struct bitcask_manifest_segment line = line_of(fixture, drafts[i].id);

            assert_true(drafts[i].id > last_id);
            last_id = drafts[i].id;
            assert_int_equal(line.state, BITCASK_MANIFEST_DRAFT);
            assert_int_equal(line.salt, drafts[i].salt);
            assert_int_equal(line.salt >> 32, segment_at(fixture, 0)->salt >> 32);
        }
    }
    /* Appends go on, and take none of them. */
    for (int i = 0; i < 20; i++) {
        assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
        assert_true(fixture->appended[20 + i].segment_id < drafts[0].id ||
                    fixture->appended[20 + i].segment_id > last_id);
    }
    commit_fixture_check(fixture);
}

static void drafts_that_fail_are_not_given_out(void **state)
{
    struct commit_fixture *fixture = *state;

    for (long n = 0, failures = 1; failures > 0; n++) {
        struct bitcask_manifest_segment drafts[5];
        enum bitcask_status status;

        begin(fixture, 3);
        arm(fixture, FAULT_ANY, n);
        status = bitcask_commit_draft(&fixture->commit, LENGTH_OF(drafts), drafts);
        failures = disarm(fixture);
        assert_int_equal(status == BITCASK_OK, failures == 0);
        assert_int_equal(fixture->commit.outside_count, failures == 0 ? 5 : 0);
        if (bitcask_commit_check(&fixture->commit) == BITCASK_OK) {
            assert_status(bitcask_commit_draft(&fixture->commit, 1, drafts), BITCASK_OK);
            assert_int_equal(count_on_disk(fixture, BITCASK_MANIFEST_DRAFT),
                             failures == 0 ? 6 : 1);
            assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
        }
        commit_fixture_check(fixture);
        assert_true(failures > 0 || n >= 5);
    }
}

static void without_memory_there_are_no_drafts(void **state)
{
    struct commit_fixture *fixture = *state;

    for (long n = 0, failures = 1; failures > 0; n++) {
        struct bitcask_manifest_segment drafts[5];
        enum bitcask_status status;

        begin(fixture, 3);
        test_alloc_fail(n);
        status = bitcask_commit_draft(&fixture->commit, LENGTH_OF(drafts), drafts);
        failures = test_alloc_stop();
        assert_status(status, failures > 0 ? BITCASK_NO_MEMORY : BITCASK_OK);
        assert_int_equal(fixture->commit.outside_count, failures == 0 ? 5 : 0);
        assert_status(bitcask_commit_draft(&fixture->commit, 1, drafts), BITCASK_OK);
    }
}

static void a_draft_that_is_dropped_is_listed_no_more(void **state)
{
    struct commit_fixture *fixture = *state;
    struct bitcask_manifest_segment drafts[3];

    begin(fixture, 3);
    assert_status(bitcask_commit_draft(&fixture->commit, 3, drafts), BITCASK_OK);
    bitcask_commit_drop(&fixture->commit, drafts[1].id);
    bitcask_commit_drop(&fixture->commit, 12345); /* nobody's */
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    assert_int_equal(count_on_disk(fixture, BITCASK_MANIFEST_DRAFT), 2);
    assert_int_equal(line_of(fixture, drafts[0].id).state, BITCASK_MANIFEST_DRAFT);
    assert_int_equal(line_of(fixture, drafts[1].id).id, 0);
}

static void a_switch_retires_inputs_and_seals_outputs(void **state)
{
    struct commit_fixture *fixture = *state;
    struct replacement replacement;
    struct bitcask_manifest_segment line;
    uint64_t total, inputs_size, last, synced;
    bool unknown = true;

    prepare(fixture, &replacement);
    total = fixture->commit.total_size;
    inputs_size = atomic_load(&replacement.inputs[0]->data_size) +
                  atomic_load(&replacement.inputs[1]->data_size);
    assert_status(carry_out(fixture, &replacement, &unknown), BITCASK_OK);
    assert_false(unknown);
    for (size_t i = 0; i < 2; i++) {
        line = line_of(fixture, replacement.inputs[i]->id);
        assert_int_equal(line.state, BITCASK_MANIFEST_RETIRED);
        assert_int_equal(line.salt, replacement.inputs[i]->salt);
        assert_false(atomic_load(&replacement.inputs[i]->member));
    }
    line = line_of(fixture, replacement.outputs[0]->id);
    assert_int_equal(line.state, BITCASK_MANIFEST_SEALED);
    assert_int_equal(line.size, BITCASK_FILE_HEADER_SIZE);
    assert_int_equal(line.purged_sequence, 7);
    assert_true(atomic_load(&replacement.outputs[0]->member));
    assert_int_equal(fixture->commit.total_size,
                     total - inputs_size + BITCASK_FILE_HEADER_SIZE);
    assert_int_equal(stat_of(fixture).retired_count, 2);
    assert_int_equal(stat_of(fixture).retired_size, inputs_size);
    assert_int_equal(stat_of(fixture).appended_size,
                     20 * commit_fixture_record_size("key", 100));
    /* Records were dropped on the strength of what was appended until then. */
    bitcask_commit_sequences(&fixture->commit, &last, &synced);
    assert_int_equal(last, 20);
    assert_int_equal(synced, 20);

    bitcask_commit_drop(&fixture->commit, replacement.inputs[0]->id);
    bitcask_commit_drop(&fixture->commit, replacement.inputs[1]->id);
    assert_int_equal(stat_of(fixture).retired_count, 0);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    assert_int_equal(count_on_disk(fixture, BITCASK_MANIFEST_RETIRED), 0);
    assert_int_equal(count_on_disk(fixture, BITCASK_MANIFEST_DRAFT), 0);
}

/* Whether a directory sync came before the first rename, which is that of MANIFEST. */
struct order {
    bool synced;
    bool renamed;
    bool right;
};

static void watch_order(enum fault_call call, void *context)
{
    struct order *order = context;

    if (call == FAULT_DIRECTORY_SYNC)
        order->synced = true;
    if (call == FAULT_RENAME && !order->renamed) {
        order->renamed = true;
        order->right = order->synced;
    }
}

static void watch(struct commit_fixture *fixture, struct order *order)
{
    *order = (struct order){ false, false, false };
    fixture->disk->fault.before_context = order;
    fixture->disk->fault.before = watch_order;
}

/*
 * One that is listed must have its name, and one that is not listed any more must not
 * have it back.
 */
static void names_are_synced_before_a_manifest_goes_by_them(void **state)
{
    struct commit_fixture *fixture = *state;
    struct replacement replacement;
    struct order order;
    bool unknown;

    prepare(fixture, &replacement);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    watch(fixture, &order);
    assert_status(carry_out(fixture, &replacement, &unknown), BITCASK_OK);
    assert_true(order.renamed);
    assert_true(order.right);

    for (size_t i = 0; i < 2; i++) {
        assert_status(bitcask_commit_remove_files(fixture->disk->io,
                                                  fixture->disk->directory,
                                                  replacement.inputs[i]->id),
                      BITCASK_OK);
        bitcask_commit_drop(&fixture->commit, replacement.inputs[i]->id);
    }
    watch(fixture, &order);
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    fixture->disk->fault.before = NULL;
    assert_true(order.renamed);
    assert_true(order.right);
}

/* Else another that comes to lie where it was would be taken for listed. */
static void a_segment_that_is_gone_is_not_the_one_listed_last(void **state)
{
    struct commit_fixture *fixture = *state;
    struct bitcask_segment *first;

    commit_fixture_begin(fixture, 1 << 20);
    assert_status(commit_fixture_put(fixture, "key", 600 << 10), BITCASK_OK);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_OK);
    first = fixture->commit.active;
    assert_ptr_equal(fixture->commit.listed, first);
    assert_status(commit_fixture_put(fixture, "key", 600 << 10), BITCASK_OK);
    assert_ptr_not_equal(fixture->commit.active, first);
    assert_ptr_equal(fixture->commit.listed, first);
    bitcask_commit_forget(&fixture->commit, first);
    assert_null(fixture->commit.listed);
}

static void a_switch_that_fails_has_not_happened(void **state)
{
    struct commit_fixture *fixture = *state;
    long unknown_count = 0;

    for (long n = 0, failures = 1; failures > 0; n++) {
        struct replacement replacement;
        uint64_t total;
        bool unknown = false;
        enum bitcask_status status;

        prepare(fixture, &replacement);
        total = fixture->commit.total_size;
        arm(fixture, FAULT_ANY, n);
        status = carry_out(fixture, &replacement, &unknown);
        failures = disarm(fixture);
        assert_int_equal(status == BITCASK_OK, failures == 0);
        assert_true(failures > 0 || (n >= 5 && !unknown));
        commit_fixture_check(fixture);
        if (failures == 0)
            break;
        assert_int_equal(stat_of(fixture).retired_count, 0);
        assert_int_equal(fixture->commit.total_size, total);
        assert_true(atomic_load(&replacement.inputs[0]->member));
        assert_true(atomic_load(&replacement.inputs[1]->member));
        assert_false(atomic_load(&replacement.outputs[0]->member));
        unknown_count += unknown;
        if (unknown) { /* nothing may be built on either */
            assert_int_equal(bitcask_commit_check(&fixture->commit), BITCASK_FAILED);
            continue;
        }
        assert_int_equal(line_of(fixture, replacement.inputs[0]->id).state,
                         BITCASK_MANIFEST_SEALED);
        assert_int_equal(line_of(fixture, replacement.outputs[0]->id).state,
                         BITCASK_MANIFEST_DRAFT);
        if (bitcask_commit_check(&fixture->commit) == BITCASK_OK) {
            assert_status(carry_out(fixture, &replacement, &unknown), BITCASK_OK);
            assert_int_equal(stat_of(fixture).retired_count, 2);
        }
    }
    assert_true(unknown_count > 0);
}

static void files_are_removed_with_all_that_belongs_to_them(void **state)
{
    static const char *const names[] = { "0000000009.data", "0000000009.hint",
                                         "0000000009.hint.tmp" };
    struct commit_fixture *fixture = *state;
    struct test_disk *disk = fixture->disk;

    for (unsigned there = 0; there < 8; there++) {
        for (size_t i = 0; i < LENGTH_OF(names); i++) {
            if ((there >> i & 1) != 0)
                test_disk_write(disk, names[i], "x", 1);
        }
        test_disk_write(disk, "0000000010.data", "x", 1);
        assert_status(bitcask_commit_remove_files(disk->io, disk->directory, 9),
                      BITCASK_OK);
        assert_int_equal(test_disk_count(disk), 1);
    }
    for (size_t i = 0; i < LENGTH_OF(names); i++) {
        for (size_t j = 0; j < LENGTH_OF(names); j++)
            test_disk_write(disk, names[j], "x", 1);
        arm(fixture, FAULT_BIT(FAULT_REMOVE), (long)i);
        assert_status(bitcask_commit_remove_files(disk->io, disk->directory, 9),
                      BITCASK_IO);
        assert_detail("0000000009");
        assert_true(test_disk_has(disk, names[0])); /* the data goes last */
        (void)disarm(fixture);
    }
}

static void tidying_removes_what_nobody_uses(void **state)
{
    struct commit_fixture *fixture = *state;
    struct replacement replacement;
    uint64_t ids[2];
    bool unknown;

    prepare(fixture, &replacement);
    ids[0] = replacement.inputs[0]->id;
    ids[1] = replacement.inputs[1]->id;
    assert_status(carry_out(fixture, &replacement, &unknown), BITCASK_OK);
    assert_status(bitcask_commit_tidy(&fixture->commit), BITCASK_OK);
    assert_int_equal(stat_of(fixture).retired_count, 2); /* still in the table */
    assert_true(test_disk_has(fixture->disk, "0000000001.data"));

    bitcask_commit_forget(&fixture->commit, replacement.inputs[0]);
    bitcask_commit_forget(&fixture->commit, replacement.inputs[1]);
    arm(fixture, FAULT_BIT(FAULT_REMOVE), 0);
    assert_status(bitcask_commit_tidy(&fixture->commit), BITCASK_IO);
    (void)disarm(fixture);
    assert_int_equal(stat_of(fixture).retired_count, 1); /* the other one is gone */
    assert_true(test_disk_has(fixture->disk, "0000000001.data"));
    assert_false(test_disk_has(fixture->disk, "0000000002.data"));
    assert_status(bitcask_commit_finish(&fixture->commit), BITCASK_OK);
    assert_int_equal(line_of(fixture, ids[0]).state, BITCASK_MANIFEST_RETIRED);
    assert_int_equal(line_of(fixture, ids[1]).id, 0);

    assert_status(bitcask_commit_tidy(&fixture->commit), BITCASK_OK);
    assert_int_equal(stat_of(fixture).retired_count, 0);
    assert_false(test_disk_has(fixture->disk, "0000000001.data"));
}

static void after_a_failed_sync_nothing_is_replaced(void **state)
{
    struct commit_fixture *fixture = *state;
    struct replacement replacement;
    struct bitcask_manifest_segment draft;
    bool unknown = true;

    prepare(fixture, &replacement);
    assert_status(commit_fixture_put(fixture, "key", 100), BITCASK_OK);
    arm(fixture, FAULT_BIT(FAULT_SYNC), 0);
    assert_status(bitcask_commit_sync(&fixture->commit), BITCASK_IO);
    (void)disarm(fixture);
    assert_status(bitcask_commit_draft(&fixture->commit, 1, &draft), BITCASK_FAILED);
    assert_status(carry_out(fixture, &replacement, &unknown), BITCASK_FAILED);
    assert_false(unknown);
    assert_status(bitcask_commit_seal(&fixture->commit, fixture->commit.active->id),
                  BITCASK_FAILED);
    assert_int_equal(stat_of(fixture).retired_count, 0);
    assert_int_equal(line_of(fixture, replacement.inputs[0]->id).state,
                     BITCASK_MANIFEST_SEALED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        commit_test(sealing_ends_the_active_segment),
        commit_test(only_the_segment_that_is_meant_is_sealed),
        commit_test(a_seal_that_fails_seals_nothing),
        commit_test(drafts_are_new_ids_that_the_manifest_lists),
        commit_test(drafts_that_fail_are_not_given_out),
        commit_test(without_memory_there_are_no_drafts),
        commit_test(a_draft_that_is_dropped_is_listed_no_more),
        commit_test(a_switch_retires_inputs_and_seals_outputs),
        commit_test(names_are_synced_before_a_manifest_goes_by_them),
        commit_test(a_segment_that_is_gone_is_not_the_one_listed_last),
        commit_test(a_switch_that_fails_has_not_happened),
        commit_test(files_are_removed_with_all_that_belongs_to_them),
        commit_test(tidying_removes_what_nobody_uses),
        commit_test(after_a_failed_sync_nothing_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
