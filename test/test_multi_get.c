/* SPDX-License-Identifier: MIT */
/* Many gets at a time: each key has the answer that it alone would have. */
#include "test/test_cask.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/model.h"
#include "test/test_alloc.h"

enum {
    COUNT_MAX = 100 /* several groups */
};

/* What a call is given, and what it says. */
struct call {
    struct bitcask_slice keys[COUNT_MAX];
    char texts[COUNT_MAX][16];
    struct bitcask_buffer values[COUNT_MAX];
    enum bitcask_status statuses[COUNT_MAX];
};

static void release(struct call *call)
{
    for (size_t i = 0; i < COUNT_MAX; i++)
        bitcask_buffer_release(&call->values[i]);
}

static void set_key(struct call *call, size_t index, unsigned number)
{
    (void)snprintf(call->texts[index], sizeof *call->texts, "key %u", number);
    call->keys[index] = bitcask_text(call->texts[index]);
}

static enum bitcask_status make(struct bitcask *cask, struct call *call, size_t count)
{
    return bitcask_multi_get(cask, call->keys, count, call->values, call->statuses);
}

/* The value of number @number; some are long, one is empty. */
static void value_of(unsigned number, char text[2000])
{
    size_t size = number % 10 == 3 ? 1990 : number % 50;

    memset(text, 'a' + (int)(number % 26), size);
    text[size] = '\0';
}

static void put_number(struct bitcask *cask, unsigned number)
{
    char key[16], value[2000];

    (void)snprintf(key, sizeof key, "key %u", number);
    value_of(number, value);
    test_cask_put(cask, key, value);
}

/* That keys[@index] was found, with the value of @number. */
static void expect_found(const struct call *call, size_t index, unsigned number)
{
    char value[2000];

    value_of(number, value);
    assert_status(call->statuses[index], BITCASK_OK);
    assert_non_null(call->values[index].data);
    assert_int_equal(call->values[index].size, strlen(value));
    assert_string_equal(call->values[index].data, value);
}

static void each_key_has_its_own_answer(void **state)
{
    static const size_t counts[] = { 0, 1, 2, 15, 16, 17, 31, 32, 33, COUNT_MAX };
    struct test_disk *disk = *state;

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        struct bitcask_options options = small_files;
        struct bitcask *cask;

        options.no_mapping = no_mapping != 0;
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        for (unsigned i = 0; i < COUNT_MAX; i++)
            put_number(cask, i);
        test_cask_delete(cask, "key 0");
        test_cask_delete(cask, "key 21");
        for (size_t n = 0; n < LENGTH_OF(counts); n++) {
            struct call call = { 0 };

            for (unsigned i = 0; i < counts[n]; i++)
                set_key(&call, i, i * 3 % (2 * COUNT_MAX));
            assert_status(make(cask, &call, counts[n]), BITCASK_OK);
            for (unsigned i = 0; i < counts[n]; i++) {
                unsigned number = i * 3 % (2 * COUNT_MAX);

                if (number < COUNT_MAX && number != 0 && number != 21) {
                    expect_found(&call, i, number);
                } else {
                    assert_status(call.statuses[i], BITCASK_NOT_FOUND);
                    assert_null(call.values[i].data);
                }
            }
            release(&call);
        }
        test_cask_close(cask);
    }
}

static void a_key_may_be_there_twice(void **state)
{
    struct bitcask *cask = test_cask_open(*state, NULL);
    struct call call = { 0 };

    put_number(cask, 3);
    for (size_t i = 0; i < 40; i++)
        set_key(&call, i, i % 2 == 0 ? 3 : 4);
    assert_status(make(cask, &call, 40), BITCASK_OK);
    for (size_t i = 0; i < 40; i += 2)
        expect_found(&call, i, 3);
    for (size_t i = 1; i < 40; i += 2)
        assert_status(call.statuses[i], BITCASK_NOT_FOUND);
    release(&call);
    test_cask_close(cask);
}

static void null_arguments_are_misuse(void **state)
{
    struct bitcask *cask = test_cask_open(*state, NULL);
    struct call call = { .statuses = { BITCASK_FAILED } };

    set_key(&call, 0, 1);
    put_number(cask, 1);
    assert_status(bitcask_multi_get(NULL, call.keys, 1, call.values, call.statuses),
                  BITCASK_MISUSE);
    assert_status(bitcask_multi_get(cask, NULL, 1, call.values, call.statuses),
                  BITCASK_MISUSE);
    assert_status(bitcask_multi_get(cask, call.keys, 1, NULL, call.statuses),
                  BITCASK_MISUSE);
    assert_status(bitcask_multi_get(cask, call.keys, 1, call.values, NULL),
                  BITCASK_MISUSE);
    assert_detail("NULL");
    assert_status(call.statuses[0], BITCASK_FAILED);
    assert_null(call.values[0].data);
    assert_status(bitcask_multi_get(cask, NULL, 0, NULL, NULL), BITCASK_OK);
    assert_status(bitcask_multi_get(NULL, NULL, 0, NULL, NULL), BITCASK_MISUSE);
    test_cask_close(cask);
}

/* Also where a whole group has none but bad ones. */
static void a_bad_key_is_refused_alone(void **state)
{
    const void *nowhere = (const void *)(uintptr_t)16;
    const struct {
        struct bitcask_slice key;
        enum bitcask_status status;
    } rows[] = {
        { { NULL, 0 }, BITCASK_MISUSE },    { { "", 0 }, BITCASK_MISUSE },
        { { NULL, 3 }, BITCASK_MISUSE },    { { nowhere, 65536 }, BITCASK_TOO_BIG },
        { { nowhere, 0 }, BITCASK_MISUSE }, { { nowhere, SIZE_MAX }, BITCASK_TOO_BIG },
    };
    struct bitcask *cask = test_cask_open(*state, NULL);

    put_number(cask, 5);
    for (size_t bad = 0; bad < LENGTH_OF(rows); bad++) {
        struct call call = { 0 };

        for (size_t i = 0; i < COUNT_MAX; i++) {
            set_key(&call, i, i % 2 == 0 ? 5 : 6);
            if (i >= 20 && i < 60)
                call.keys[i] = rows[bad].key;
        }
        assert_status(make(cask, &call, COUNT_MAX), rows[bad].status);
        assert_detail("keys[20]: the key ");
        for (size_t i = 0; i < COUNT_MAX; i++) {
            if (i >= 20 && i < 60)
                assert_status(call.statuses[i], rows[bad].status);
            else if (i % 2 == 0)
                expect_found(&call, i, 5);
            else
                assert_status(call.statuses[i], BITCASK_NOT_FOUND);
        }
        release(&call);
    }
    test_cask_close(cask);
}

/*
 * The first failure is told, though others come before it in time, and answers that
 * are none after it.
 */
static void a_damaged_record_spoils_no_other(void **state)
{
    struct test_disk *disk = *state;

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        struct bitcask_options options = small_files;
        struct call call = { 0 };
        struct bitcask *cask;
        struct bitcask_buffer before;

        options.no_mapping = no_mapping != 0;
        test_disk_clear(disk);
        cask = test_cask_open(disk, &options);
        for (unsigned i = 0; i < 8; i++)
            test_cask_put(cask, i == 2 ? "damaged" : "key 1", "value");
        for (size_t i = 0; i < 12; i++)
            set_key(&call, i, i < 8 ? 1 : 2);
        assert_status(make(cask, &call, 12), BITCASK_OK);
        test_disk_flip(disk, FIRST_DATA, 64 + 2 * (28 + 5 + 5) + 28 + 7 + 1, 0x04);

        call.keys[4] = bitcask_text("damaged");
        call.keys[9].size = 0;
        before = call.values[4];
        assert_status(make(cask, &call, 12), BITCASK_CORRUPT);
        assert_detail("keys[4]: " FIRST_DATA ", offset 140: the value is damaged");
        assert_memory_equal(&before, &call.values[4], sizeof before);
        assert_string_equal(call.values[4].data, "value");
        for (size_t i = 0; i < 12; i++) {
            if (i == 4)
                assert_status(call.statuses[i], BITCASK_CORRUPT);
            else if (i == 9)
                assert_status(call.statuses[i], BITCASK_MISUSE);
            else
                assert_status(call.statuses[i], i < 8 ? BITCASK_OK : BITCASK_NOT_FOUND);
        }
        release(&call);
        test_cask_close(cask);
    }
}

static void what_has_expired_is_not_there(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    struct call call = { 0 };

    atomic_store(&disk->fault.wall_ms, 1000);
    for (unsigned i = 0; i < 20; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "key %u", i);
        assert_status(bitcask_put_expiring(cask, bitcask_text(key), bitcask_text("v"),
                                           i % 2 == 0 ? 2000 : 3000),
                      BITCASK_OK);
        set_key(&call, i, i);
    }
    for (uint64_t now = 1999; now <= 3000; now += now == 1999 ? 1 : 1000) {
        atomic_store(&disk->fault.wall_ms, now);
        assert_status(make(cask, &call, 20), BITCASK_OK);
        for (unsigned i = 0; i < 20; i++)
            assert_status(call.statuses[i], now < (i % 2 == 0 ? 2000 : 3000)
                                                ? BITCASK_OK
                                                : BITCASK_NOT_FOUND);
    }
    release(&call);
    test_cask_close(cask);
}

/* The n-th read fails, for each n, and so does everything from it on. */
static void a_read_that_fails_is_the_answer_for_its_key(void **state)
{
    const struct bitcask_options options = { .file_size_max = 4096,
                                             .no_background = true,
                                             .no_mapping = true };
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, &options);
    struct call call = { 0 };

    for (unsigned i = 0; i < 20; i++) {
        put_number(cask, i);
        set_key(&call, i, i);
    }
    for (long n = 0; n < 40; n++) {
        struct fault_plan plan = { .calls = FAULT_BIT(FAULT_READ), .skip = n % 20 };
        char words[32];

        plan.count = n < 20 ? 1 : FAULT_FOREVER;
        fault_io_arm(&disk->fault, &plan);
        assert_status(make(cask, &call, 20), BITCASK_IO);
        fault_io_disarm(&disk->fault);
        assert_int_equal(fault_io_failure_count(&disk->fault), n < 20 ? 1 : 40 - n);
        (void)snprintf(words, sizeof words, "keys[%ld]: read 0", n % 20);
        assert_detail(words);
        for (unsigned i = 0; i < 20; i++) {
            bool failed = n < 20 ? (long)i == n : (long)i >= n - 20;

            if (failed)
                assert_status(call.statuses[i], BITCASK_IO);
            else
                expect_found(&call, i, i);
        }
    }
    release(&call);
    test_cask_close(cask);
}

static void out_of_memory_hits_one_key_and_loses_nothing(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask *cask = test_cask_open(disk, NULL);
    long n;

    for (unsigned i = 0; i < 20; i++)
        put_number(cask, i);
    for (n = 0;; n++) {
        struct call call = { 0 };
        enum bitcask_status status;

        for (unsigned i = 0; i < 20; i++)
            set_key(&call, i, i);
        test_alloc_fail(n);
        status = make(cask, &call, 20);
        if (test_alloc_stop() == 0) {
            assert_status(status, BITCASK_OK);
            release(&call);
            break;
        }
        assert_status(status, BITCASK_NO_MEMORY);
        for (unsigned i = 0; i < 20; i++) {
            if ((long)i == n) {
                assert_status(call.statuses[i], BITCASK_NO_MEMORY);
                assert_null(call.values[i].data);
            } else {
                expect_found(&call, i, i);
            }
        }
        assert_status(make(cask, &call, 20), BITCASK_OK);
        expect_found(&call, (size_t)n, (unsigned)n);
        release(&call);
    }
    assert_int_equal(n, 20); /* one for each, and no other */
    test_cask_close(cask);
}

/*
 * Readers of all keys beside a writer and beside merges, which move and unmap what they
 * read. A key's values count up; the last ones come and go.
 */
enum {
    KEY_COUNT = 48,
    STAYING_COUNT = 40
};
struct crowd {
    struct bitcask *cask;
    uint64_t round_count;
    _Atomic bool done;
    _Atomic long wrong_count;
    _Atomic long read_count;
};

#define expect(crowd, condition) expect_true(crowd, condition, #condition, __LINE__)
static void expect_true(struct crowd *crowd, bool condition, const char *words, int line)
{
    if (condition)
        return;
    (void)fprintf(stderr, "%s:%d: not so: %s; last detail: %s\n", __FILE__, line, words,
                  bitcask_error_detail());
    atomic_fetch_add(&crowd->wrong_count, 1);
}

static void write_counter(struct crowd *crowd, unsigned key, uint64_t number)
{
    char name[16], value[64];

    (void)snprintf(name, sizeof name, "key %u", key);
    (void)snprintf(value, sizeof value, "%u %" PRIu64, key, number);
    expect(crowd, bitcask_put(crowd->cask, bitcask_text(name), bitcask_text(value)) ==
                      BITCASK_OK);
}

static void *run_writer(void *context)
{
    struct crowd *crowd = context;
    struct model_random random = { 77 };

    for (uint64_t number = 2; number <= crowd->round_count; number++) {
        unsigned key = (unsigned)model_random_below(&random, KEY_COUNT);
        char name[16];

        write_counter(crowd, key, number);
        if (key < STAYING_COUNT)
            continue;
        (void)snprintf(name, sizeof name, "key %u", key);
        expect(crowd, bitcask_delete(crowd->cask, bitcask_text(name)) == BITCASK_OK);
    }
    atomic_store(&crowd->done, true);
    return NULL;
}

static void *run_merger(void *context)
{
    const struct bitcask_merge_options everything = { .choice = BITCASK_MERGE_ALL };
    struct crowd *crowd = context;

    while (!atomic_load(&crowd->done))
        expect(crowd, bitcask_merge(crowd->cask, &everything, NULL) == BITCASK_OK);
    return NULL;
}

static void check_counter(struct crowd *crowd, const struct call *call, size_t index,
                          uint64_t *seen)
{
    unsigned key = 0;
    uint64_t number = 0;

    if (index >= STAYING_COUNT && call->statuses[index] == BITCASK_NOT_FOUND)
        return;
    expect(crowd, call->statuses[index] == BITCASK_OK);
    if (call->statuses[index] != BITCASK_OK)
        return;
    expect(crowd, sscanf(call->values[index].data, "%u %" SCNu64, &key, &number) == 2);
    expect(crowd, key == index);
    expect(crowd, number >= *seen);
    *seen = number;
}

static void *run_reader(void *context)
{
    struct crowd *crowd = context;
    uint64_t seen[KEY_COUNT] = { 0 };
    struct call call = { 0 };

    for (unsigned i = 0; i < KEY_COUNT; i++)
        set_key(&call, i, i);
    while (!atomic_load(&crowd->done)) {
        expect(crowd, make(crowd->cask, &call, KEY_COUNT) == BITCASK_OK);
        for (unsigned i = 0; i < KEY_COUNT; i++)
            check_counter(crowd, &call, i, &seen[i]);
        atomic_fetch_add(&crowd->read_count, 1);
    }
    release(&call);
    return NULL;
}

static void writers_and_merges_go_on_beside_it(void **state)
{
    static void *(*const roles[])(void *) = { run_writer, run_merger, run_reader,
                                              run_reader };
    struct test_disk *disk = *state;

    for (int no_mapping = 0; no_mapping <= 1; no_mapping++) {
        const struct bitcask_options options = { .file_size_max = 4096,
                                                 .sync = BITCASK_SYNC_NONE,
                                                 .no_mapping = no_mapping != 0 };
        struct crowd crowd = { .round_count = 4000 };
        pthread_t threads[LENGTH_OF(roles)];

        test_disk_clear(disk);
        /* Not through the fault_io: its lock would hide from TSan what has none. */
        assert_status(bitcask_open(&crowd.cask, disk->path, &options), BITCASK_OK);
        for (unsigned i = 0; i < STAYING_COUNT; i++)
            write_counter(&crowd, i, 1);
        for (size_t i = 0; i < LENGTH_OF(roles); i++)
            assert_int_equal(pthread_create(&threads[i], NULL, roles[i], &crowd), 0);
        for (size_t i = 0; i < LENGTH_OF(roles); i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(atomic_load(&crowd.wrong_count), 0);
        assert_true(atomic_load(&crowd.read_count) > 0);
        assert_true(test_cask_stat(crowd.cask).merge_count > 0);
        test_cask_close(crowd.cask);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(each_key_has_its_own_answer),
        disk_test(a_key_may_be_there_twice),
        disk_test(null_arguments_are_misuse),
        disk_test(a_bad_key_is_refused_alone),
        disk_test(a_damaged_record_spoils_no_other),
        disk_test(what_has_expired_is_not_there),
        disk_test(a_read_that_fails_is_the_answer_for_its_key),
        disk_test(out_of_memory_hits_one_key_and_loses_nothing),
        disk_test(writers_and_merges_go_on_beside_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
