/* SPDX-License-Identifier: MIT */
/*
 * Read-only casks: they show the moment of opening, beside a live writer too, and
 * change nothing, on media that could not be changed either.
 */
#include "test/test_cask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static const struct bitcask_options read_only = { .read_only = true };

static void a_reader_sees_the_moment_of_opening(void **state)
{
    struct test_disk *disk = *state;

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        const struct bitcask_options options = { .read_only = true,
                                                 .no_mapping = no_mapping != 0 };
        struct bitcask *writer, *reader, *later;

        test_disk_clear(disk);
        writer = test_cask_open(disk, NULL);
        test_cask_put(writer, "a", "1");
        test_cask_put(writer, "deleted", "1");
        reader = test_cask_open(disk, &options);
        test_cask_put(writer, "a", "2");
        test_cask_put(writer, "b", "2");
        test_cask_delete(writer, "deleted");
        later = test_cask_open(disk, &options);
        test_cask_put(writer, "a", "3");
        test_cask_close(writer);

        test_cask_expect(reader, "a", "1");
        test_cask_expect(reader, "b", NULL);
        test_cask_expect(reader, "deleted", "1");
        assert_int_equal(test_cask_stat(reader).key_count, 2);
        assert_int_equal(test_cask_stat(reader).last_sequence, 2);
        test_cask_expect(later, "a", "2");
        test_cask_expect(later, "b", "2");
        test_cask_expect(later, "deleted", NULL);
        test_cask_close(reader);
        test_cask_close(later);
    }
}

/* Whatever the writer was at: before, in and behind rotations and closes. */
static void a_reader_opens_beside_a_writer_after_every_write(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *kept[4] = { NULL };
    uint64_t kept_count[4] = { 0 };
    struct bitcask *writer = NULL;

    test_disk_skip_syncs(disk);
    for (uint64_t number = 1; number <= 200; number++) {
        size_t slot = number % LENGTH_OF(kept);
        struct test_image before = { 0 };

        if (number % 67 == 1) {
            test_cask_close(writer);
            writer = test_cask_open(disk, NULL);
        }
        test_history_write(writer, number, number);
        if (kept[slot] != NULL) {
            assert_int_equal(test_history_check(kept[slot]), kept_count[slot]);
            test_cask_close(kept[slot]);
        }
        test_image_take(&before, disk->path);
        kept[slot] = test_cask_open_read_only(disk);
        test_image_unchanged(&before, disk->path);
        test_image_release(&before);
        kept_count[slot] = number;
        assert_int_equal(test_history_check(kept[slot]), number);
    }
    test_cask_close(writer);
    for (size_t slot = 0; slot < LENGTH_OF(kept); slot++) {
        assert_int_equal(test_history_check(kept[slot]), kept_count[slot]);
        test_cask_close(kept[slot]);
    }
}

/* Everything that one can do with a reader. */
static void use_reader(struct test_disk *disk, uint64_t count)
{
    struct bitcask *cask = test_cask_open_read_only(disk);
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;

    assert_int_equal(test_history_check(cask), count);
    assert_status(bitcask_iterator_open(cask, NULL, &iterator), BITCASK_OK);
    while (bitcask_iterator_next(iterator, &key, &value) == BITCASK_OK)
        assert_true(key.size > 0);
    bitcask_iterator_close(iterator);
    assert_status(bitcask_sync(cask), BITCASK_OK);
    test_cask_close(cask);
}

static void a_reader_changes_nothing_of_a_closed_cask(void **state)
{
    struct test_disk *disk = *state;
    struct test_image before = { 0 };
    struct bitcask *cask = test_cask_open(disk, NULL);

    test_history_write(cask, 1, 150);
    test_cask_close(cask);
    for (int without = 0; without < 3; without++) {
        if (without == 1) /* it must do without, and not make it again */
            test_disk_remove(disk, FIRST_HINT);
        else if (without == 2)
            test_disk_remove(disk, "LOCK");
        test_image_take(&before, disk->path);
        use_reader(disk, 150);
        test_image_unchanged(&before, disk->path);
    }
    test_image_release(&before);
}

static void a_reader_changes_nothing_of_a_cask_that_needs_recovery(void **state)
{
    struct test_disk *disk = *state;
    struct test_image image = { 0 };
    struct bitcask *cask;
    struct bitcask_stat stat;
    const struct test_image_file *newest;
    uint64_t size;

    disk->fault.no_allocate = true;
    cask = test_cask_open(disk, NULL);
    test_history_write(cask, 1, 149);
    size = test_cask_stat(cask).data_size;
    test_history_write(cask, 150, 150);
    size = test_cask_stat(cask).data_size - size;
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    newest = test_image_newest(&image);
    test_image_restore(&image, disk);
    test_disk_truncate(disk, newest->name, newest->size - 1); /* the last is torn */

    test_image_take(&image, disk->path);
    use_reader(disk, 149);
    test_image_unchanged(&image, disk->path);
    cask = test_cask_open_read_only(disk);
    stat = test_cask_stat(cask); /* what a writer would cut is told */
    assert_int_equal(stat.cut_count, 1);
    assert_int_equal(stat.cut_size, size - 1);
    assert_int_equal(stat.recovered_size, 0);
    test_cask_close(cask);

    cask = test_cask_open(disk, NULL);
    assert_int_equal(test_history_check(cask), 149);
    test_cask_close(cask);
    test_image_release(&image);
}

static void a_reader_cannot_write(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    const struct bitcask_batch_part part = { .key = bitcask_text("key"),
                                             .value = bitcask_text("new") };
    struct test_image before = { 0 };

    test_cask_put(cask, "key", "value");
    test_cask_close(cask);
    test_image_take(&before, disk->path);
    cask = test_cask_open_read_only(disk);
    assert_status(bitcask_put(cask, bitcask_text("key"), bitcask_text("new")),
                  BITCASK_READ_ONLY);
    assert_detail("read-only");
    assert_status(bitcask_put(cask, bitcask_text("other"), bitcask_text("new")),
                  BITCASK_READ_ONLY);
    assert_status(bitcask_delete(cask, bitcask_text("key")), BITCASK_READ_ONLY);
    assert_status(bitcask_delete(cask, bitcask_text("absent")), BITCASK_READ_ONLY);
    assert_status(bitcask_write_batch(cask, &part, 1), BITCASK_READ_ONLY);
    assert_status(bitcask_put_expiring(cask, bitcask_text("key"), bitcask_text("new"), 1),
                  BITCASK_READ_ONLY);
    test_cask_expect(cask, "key", "value");
    test_cask_expect(cask, "other", NULL);
    test_cask_close(cask);
    test_image_unchanged(&before, disk->path);
    test_image_release(&before);
}

static void a_reader_takes_no_lock(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *readers[3];
    struct bitcask *writer = test_cask_open(disk, NULL);

    test_cask_put(writer, "key", "value");
    test_cask_close(writer);
    for (size_t i = 0; i < LENGTH_OF(readers); i++)
        readers[i] = test_cask_open_read_only(disk);
    writer = test_cask_open(disk, NULL);
    test_cask_put(writer, "key", "later");
    for (size_t i = 0; i < LENGTH_OF(readers); i++) {
        test_cask_expect(readers[i], "key", "value");
        test_cask_close(readers[i]);
    }
    test_cask_expect(writer, "key", "later");
    test_cask_close(writer);
}

/* A writer that changes things between two looks of the reader that is opening. */
struct meddler {
    struct bitcask *writer;
    uint64_t next;
    long from; /* before which call, and the one after it */
};

static void meddle(enum fault_call call, void *context)
{
    struct meddler *meddler = context;

    (void)call;
    meddler->from--;
    if (meddler->from != 0 && meddler->from != -1)
        return;
    test_history_write(meddler->writer, meddler->next, meddler->next + 14);
    meddler->next += 15;
}

/*
 * The writer has a door of its own, so that it can write inside each call of the
 * reader's: rotations come between the reader's looks at MANIFEST and at the files.
 */
static void a_reader_opens_while_a_writer_writes(void **state)
{
    struct test_disk *disk = *state;
    const struct bitcask_options one_thread = { .read_only = true, .threads = 1 };
    struct meddler meddler = { .next = 61 };

    assert_status(bitcask_open(&meddler.writer, disk->path, &small_files), BITCASK_OK);
    test_history_write(meddler.writer, 1, 60);
    for (int i = 1; i <= 40; i++) {
        uint64_t before = meddler.next - 1;
        uint64_t seen;
        struct bitcask *reader;

        meddler.from = i;
        disk->fault.before = meddle;
        disk->fault.before_context = &meddler;
        reader = test_cask_open(disk, &one_thread);
        disk->fault.before = NULL;
        seen = test_history_check(reader);
        assert_in_range(seen, before, meddler.next - 1);
        test_cask_close(reader);
    }
    assert_int_equal(test_history_check(meddler.writer), meddler.next - 1);
    test_cask_close(meddler.writer);
}

/* What a writer does between two calls of a reader. */
static void deed_merge(struct test_disk *disk, struct meddler *meddler)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };

    (void)disk;
    assert_status(bitcask_merge(meddler->writer, &all, NULL), BITCASK_OK);
}

static void deed_write_and_merge(struct test_disk *disk, struct meddler *meddler)
{
    test_history_write(meddler->writer, meddler->next, meddler->next + 14);
    meddler->next += 15;
    deed_merge(disk, meddler);
}

static void deed_merge_and_write(struct test_disk *disk, struct meddler *meddler)
{
    deed_merge(disk, meddler);
    test_history_write(meddler->writer, meddler->next, meddler->next);
    meddler->next++;
}

static void deed_begin_a_session(struct test_disk *disk, struct meddler *meddler)
{
    deed_write_and_merge(disk, meddler);
    test_cask_close(meddler->writer);
    meddler->writer = test_cask_open(disk, &small_files);
    test_history_write(meddler->writer, meddler->next, meddler->next);
    meddler->next++;
}

static void (*const deeds[])(struct test_disk *disk, struct meddler *meddler) = {
    deed_merge,
    deed_write_and_merge,
    deed_merge_and_write,
    deed_begin_a_session,
};

/* One of them, done before call @at of a reader, and, with a gap, a few times more. */
enum {
    DEEDS_OF_OPEN = 4
};
struct deed {
    struct test_disk *disk;
    struct meddler meddler;
    size_t index;
    long at;
    long gap;

    long call; /* of this open */
    long next;
    int left;
};

static void do_deed(enum fault_call call, void *context)
{
    struct deed *deed = context;

    (void)call;
    deed->call++;
    if (deed->call != deed->next || deed->left == 0)
        return;
    deed->next += deed->gap;
    deed->left--;
    deed->disk->fault.before = NULL;
    deeds[deed->index](deed->disk, &deed->meddler);
    deed->disk->fault.before = do_deed;
}

/* Open, with the deed in between, and see all that was there before. */
static void open_beside(struct deed *deed)
{
    const struct bitcask_options one_thread = { .read_only = true, .threads = 1 };
    struct meddler *meddler = &deed->meddler;
    struct bitcask *reader;
    uint64_t before, seen;

    test_history_write(meddler->writer, meddler->next, meddler->next + 39);
    meddler->next += 40;
    before = meddler->next - 1;
    deed->call = 0;
    deed->next = deed->at;
    deed->left = DEEDS_OF_OPEN;
    deed->disk->fault.before_context = deed;
    deed->disk->fault.before = do_deed;
    reader = test_cask_open(deed->disk, &one_thread);
    deed->disk->fault.before = NULL;
    seen = test_history_check(reader);
    if (seen < before || seen > meddler->next - 1)
        fail_msg("deed %zu before call %ld, gap %ld: a reader sees %lu of %lu to %lu",
                 deed->index, deed->at, deed->gap, (unsigned long)seen,
                 (unsigned long)before, (unsigned long)meddler->next - 1);
    test_cask_close(reader);
}

/*
 * What a merge replaces is gone between two looks of a reader: also files that were not
 * sealed when it read the MANIFEST, and of which it cannot know that they ever were.
 */
static void a_reader_opens_while_a_writer_merges(void **state)
{
    static const long gaps[] = { 0, 1, 2, 3, 5, 8, 13 };
    struct test_disk *disk = *state;

    test_disk_skip_syncs(disk);
    disk->fault.monotonic_ms = 1; /* sleeping takes no time */
    for (size_t i = 0; i < LENGTH_OF(deeds) * LENGTH_OF(gaps); i++) {
        struct deed deed = { .disk = disk,
                             .meddler = { .next = 1 },
                             .index = i / LENGTH_OF(gaps),
                             .gap = gaps[i % LENGTH_OF(gaps)] };

        test_disk_clear(disk);
        deed.meddler.writer = test_cask_open(disk, &small_files);
        do {
            deed.at++;
            open_beside(&deed);
        } while (deed.call >= deed.at);
        assert_true(deed.at > 20);
        test_cask_close(deed.meddler.writer);
    }
}

/* On a file system that is mounted read-only. */
static int use_read_only_mount(void *context)
{
    struct test_disk *disk = context;
    struct bitcask *cask = NULL;
    struct bitcask_buffer value = { 0 };
    char path[512];

    if (!test_mount_tmpfs(disk->path, "size=1m"))
        return CHILD_SKIPPED;
    child_check(bitcask_open(&cask, disk->path, &small_files) == BITCASK_OK);
    for (uint64_t number = 1; number <= 100; number++)
        child_check(test_history_try(cask, number) == BITCASK_OK);
    child_check(bitcask_put(cask, bitcask_text("key"), bitcask_text("value")) ==
                BITCASK_OK);
    child_check(bitcask_close(cask) == BITCASK_OK);
    if (mount(NULL, disk->path, NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0) {
        print_message("SKIPPED in part: no mount can be made read-only\n");
        return CHILD_SKIPPED;
    }

    child_check(bitcask_open(&cask, disk->path, &small_files) == BITCASK_READ_ONLY);
    child_check(cask == NULL);
    child_check(bitcask_error_detail()[0] != '\0');
    (void)snprintf(path, sizeof path, "%s/new", disk->path);
    child_check(bitcask_open(&cask, path, NULL) == BITCASK_READ_ONLY);

    child_check(bitcask_open(&cask, disk->path, &read_only) == BITCASK_OK);
    child_check(bitcask_get(cask, bitcask_text("key"), &value) == BITCASK_OK);
    child_check(strcmp(value.data, "value") == 0);
    child_check(bitcask_close(cask) == BITCASK_OK);
    bitcask_buffer_release(&value);
    return 0;
}

static void a_read_only_file_system_can_be_read(void **state)
{
    int result = test_in_child(use_read_only_mount, *state);

    assert_true(result == 0 || result == CHILD_SKIPPED);
}

static bool is_due(struct test_disk *disk, const struct bitcask_options *options)
{
    struct bitcask *cask = test_cask_open(disk, options);
    struct bitcask_stat stat = test_cask_stat(cask);
    bool due = false;

    assert_int_equal(stat.merge_trigger_size, options->merge_trigger_size);
    assert_int_equal(stat.merge_dead_percent, options->merge_dead_percent);
    assert_status(bitcask_merge_due(cask, &due), BITCASK_OK);
    test_cask_close(cask);
    return due;
}

/* Three quarters of 3 KB are dead, most of it in the file that would be written on. */
static void a_reader_knows_whether_a_merge_is_due(void **state)
{
    static const struct {
        uint64_t trigger_size;
        uint32_t dead_percent;
        bool due;
    } cases[] = {
        { 100, 50, true }, { 2000, 70, true }, { 100000, 50, false }, { 100, 80, false }
    };
    struct test_disk *disk = *state;
    struct bitcask *writer = test_cask_open(disk, NULL);
    char key[16], value[101];

    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (unsigned i = 0; i < 80; i++) {
        (void)snprintf(key, sizeof key, "key %u", i % 20);
        test_cask_put(writer, key, value);
    }
    for (int open = 1; open >= 0; open--) { /* beside the writer, and without */
        for (size_t i = 0; i < LENGTH_OF(cases); i++) {
            struct bitcask_options options = {
                .read_only = true,
                .merge_trigger_size = cases[i].trigger_size,
                .merge_dead_percent = cases[i].dead_percent,
            };

            assert_int_equal(is_due(disk, &options), cases[i].due);
        }
        if (open)
            test_cask_close(writer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_reader_sees_the_moment_of_opening),
        disk_test(a_reader_opens_beside_a_writer_after_every_write),
        disk_test(a_reader_changes_nothing_of_a_closed_cask),
        disk_test(a_reader_changes_nothing_of_a_cask_that_needs_recovery),
        disk_test(a_reader_cannot_write),
        disk_test(a_reader_knows_whether_a_merge_is_due),
        disk_test(a_reader_takes_no_lock),
        disk_test(a_reader_opens_while_a_writer_writes),
        disk_test(a_reader_opens_while_a_writer_merges),
        disk_test(a_read_only_file_system_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
