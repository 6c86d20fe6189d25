/* SPDX-License-Identifier: MIT */
/*
 * Verifying beside a writer: whatever that does between two calls of the check, nothing
 * of it is damage. The writer has a door of its own.
 */
#include "test/test_cask.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/verify.h"
#include "test/doctor_fixture.h"

/* A writer, and what it does before a call of the check. */
struct deed {
    void (*act)(struct deed *deed);
    struct test_disk *disk;
    struct bitcask *writer;
    uint64_t next; /* write of the history */
    long at;       /* before which call it is done first */
    long gap;      /* and then so many calls later again */
    int left;      /* so often */
    long call;
};

static void write_some(struct deed *deed)
{
    test_history_write(deed->writer, deed->next, deed->next + 14);
    deed->next += 15;
}

static void merge_all(struct deed *deed)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };

    assert_status(bitcask_merge(deed->writer, &all, NULL), BITCASK_OK);
}

static void write_and_merge(struct deed *deed)
{
    write_some(deed);
    merge_all(deed);
}

static void merge_and_write(struct deed *deed)
{
    merge_all(deed);
    write_some(deed);
}

static void begin_a_session(struct deed *deed)
{
    write_and_merge(deed);
    test_cask_close(deed->writer);
    assert_status(bitcask_open(&deed->writer, deed->disk->path, &small_files),
                  BITCASK_OK);
    write_some(deed);
}

static void (*const acts[])(struct deed *deed) = {
    write_some, merge_all, write_and_merge, merge_and_write, begin_a_session,
};

static void do_deed(enum fault_call call, void *context)
{
    struct deed *deed = context;

    (void)call;
    if (++deed->call != deed->at || deed->left == 0)
        return;
    deed->left--;
    deed->at += deed->gap;
    deed->disk->fault.before = NULL;
    deed->act(deed);
    deed->disk->fault.before = do_deed;
}

static void say_damage(const struct doctor_told *told, const struct deed *deed,
                       size_t act)
{
    for (size_t i = 0; i < told->finding_count; i++)
        print_error("%s: %s\n", told->findings[i].file, told->findings[i].detail);
    fail_msg("act %zu, next before call %ld, gap %ld: %s", act, deed->at, deed->gap,
             doctor_finding_words(told));
}

/* Verify with the deed of @deed in between. */
static enum bitcask_status verify_beside(struct deed *deed, struct doctor_told *told)
{
    const struct bitcask_verify_options options = { .threads = 1,
                                                    .finding = doctor_note_finding,
                                                    .context = told };
    struct test_disk *disk = deed->disk;
    enum bitcask_status status;

    memset(told, 0, sizeof *told);
    deed->call = 0;
    disk->fault.before_context = deed;
    disk->fault.before = do_deed;
    status = bitcask_verify_with(disk->io, disk->path, &options, &told->verified);
    disk->fault.before = NULL;
    return status;
}

/* The same where nothing is damaged; how many calls that took. */
static long verify_whole(struct deed *deed, struct doctor_told *told, size_t act)
{
    if (verify_beside(deed, told) != BITCASK_OK || told->verified.damage_count > 0)
        say_damage(told, deed, act);
    return deed->call;
}

static void begin(struct deed *deed)
{
    test_disk_clear(deed->disk);
    assert_status(bitcask_open(&deed->writer, deed->disk->path, &small_files),
                  BITCASK_OK);
    deed->disk->fault.monotonic_ms = 1; /* sleeping takes no time */
}

static void what_a_writer_does_is_no_damage(void **state)
{
    static const long gaps[] = { 0, 1, 5 };
    struct doctor_told *told = calloc(1, sizeof *told);

    assert_non_null(told);
    for (size_t i = 0; i < LENGTH_OF(acts) * LENGTH_OF(gaps); i++) {
        struct deed deed = { .act = acts[i / LENGTH_OF(gaps)],
                             .disk = *state,
                             .next = 1 };
        long calls;

        begin(&deed);
        for (long at = 1; at <= 60; at++) {
            test_history_write(deed.writer, deed.next, deed.next + 39);
            deed.next += 40;
            deed.at = at;
            deed.gap = gaps[i % LENGTH_OF(gaps)];
            deed.left = deed.gap > 0 ? 4 : 1;
            calls = verify_whole(&deed, told, i / LENGTH_OF(gaps));
            if (at > calls)
                break;
        }
        assert_true(calls > 20);
        test_cask_close(deed.writer);
    }
    free(told);
}

/* It never comes to an end of its own: each time there is something new. */
static void a_writer_that_never_rests_is_no_damage(void **state)
{
    static const long gaps[] = { 3, 7, 12, 30 };
    struct doctor_told *told = calloc(1, sizeof *told);
    size_t changed_count = 0;

    assert_non_null(told);
    for (size_t i = 0; i < LENGTH_OF(acts) * LENGTH_OF(gaps); i++) {
        for (long at = 1; at <= 3; at++) {
            struct deed deed = { .act = acts[i / LENGTH_OF(gaps)],
                                 .disk = *state,
                                 .next = 61,
                                 .at = at,
                                 .gap = gaps[i % LENGTH_OF(gaps)],
                                 .left = 100 };

            begin(&deed);
            test_history_write(deed.writer, 1, 60);
            (void)verify_whole(&deed, told, i / LENGTH_OF(gaps));
            for (size_t k = 0; k < told->finding_count; k++)
                changed_count += told->findings[k].of.kind == BITCASK_FINDING_CHANGED;
            test_cask_close(deed.writer);
        }
    }
    assert_true(changed_count > 0);
    free(told);
}

/* Damage that is there is told, whatever a writer does meanwhile. */
static void a_writer_hides_no_damage(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told *told = calloc(1, sizeof *told);

    assert_non_null(told);
    for (long at = 1; at < 60; at += 3) {
        struct deed deed = {
            .act = write_some, .disk = disk, .next = 61, .at = at, .gap = 5, .left = 100
        };

        begin(&deed);
        test_history_write(deed.writer, 1, 60);
        test_disk_flip(disk, FIRST_DATA, 100, 0x20);
        assert_status(verify_beside(&deed, told), BITCASK_CORRUPT);
        assert_string_equal(told->findings[0].file, FIRST_DATA);
        test_cask_close(deed.writer);
    }
    free(told);
}

static void *write_and_merge_for_long(void *context)
{
    struct deed *deed = context;

    for (int i = 0; i < 12; i++)
        write_and_merge(deed);
    return NULL;
}

/* The same without a schedule, by threads on both sides. */
static void both_may_have_threads(void **state)
{
    struct test_disk *disk = *state;
    struct doctor_told *told = calloc(1, sizeof *told);
    const struct bitcask_verify_options options = { .threads = 4,
                                                    .finding = doctor_note_finding,
                                                    .context = told };
    const struct bitcask_options background = { .file_size_max = 4096 };
    struct deed deed = { .disk = disk, .next = 61 };
    pthread_t writer;

    assert_non_null(told);
    assert_status(bitcask_open(&deed.writer, disk->path, &background), BITCASK_OK);
    test_history_write(deed.writer, 1, 60);
    assert_int_equal(pthread_create(&writer, NULL, write_and_merge_for_long, &deed), 0);
    for (int i = 0; i < 20; i++) {
        enum bitcask_status status;

        memset(told, 0, sizeof *told);
        status = bitcask_verify_with(disk->io, disk->path, &options, &told->verified);
        if (status != BITCASK_OK)
            say_damage(told, &deed, 0);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    test_cask_close(deed.writer);
    free(told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(what_a_writer_does_is_no_damage),
        disk_test(a_writer_that_never_rests_is_no_damage),
        disk_test(a_writer_hides_no_damage),
        disk_test(both_may_have_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
