/* SPDX-License-Identifier: MIT */
#include "test/test_support.h"

#include <pthread.h>

#include "bitcask/sequence_set.h"
#include "test/test_alloc.h"

enum {
    CHUNK_SIZE = 1 << 15, /* sequences; what is near a multiple of it is of interest */
    THREAD_COUNT = 4,
    THREAD_ADDS = 100000
};

static struct bitcask_sequence_set create(void)
{
    struct bitcask_sequence_set set;

    assert_int_equal(bitcask_sequence_set_init(&set), BITCASK_OK);
    return set;
}

static void add_range(struct bitcask_sequence_set *set, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        bool added = false;

        assert_int_equal(bitcask_sequence_set_add(set, i, &added), BITCASK_OK);
        assert_true(added);
    }
}

static void an_empty_set_has_nothing(void **state)
{
    struct bitcask_sequence_set set = create();

    (void)state;
    assert_false(bitcask_sequence_set_has(&set, 0));
    assert_false(bitcask_sequence_set_has(&set, UINT64_MAX));
    assert_int_equal(bitcask_sequence_set_count(&set, 0, UINT64_MAX), 0);
    assert_false(bitcask_sequence_set_covers(&set, 1, 1));
    assert_false(bitcask_sequence_set_covers(&set, 0, UINT64_MAX));
    assert_true(bitcask_sequence_set_covers(&set, 2, 1));
    bitcask_sequence_set_release(&set);
    bitcask_sequence_set_release(&set);
}

static void a_sequence_is_added_once(void **state)
{
    static const uint64_t sequences[] = {
        0,          1,  63, 64, CHUNK_SIZE - 1, CHUNK_SIZE, (uint64_t)1 << 32,
        UINT64_MAX, 65, 62, 2,  UINT64_MAX - 1,
    };
    struct bitcask_sequence_set set = create();
    bool added;

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(sequences); i++) {
        assert_false(bitcask_sequence_set_has(&set, sequences[i]));
        added = false;
        assert_int_equal(bitcask_sequence_set_add(&set, sequences[i], &added),
                         BITCASK_OK);
        assert_true(added);
    }
    for (size_t i = 0; i < LENGTH_OF(sequences); i++) {
        assert_true(bitcask_sequence_set_has(&set, sequences[i]));
        added = true;
        assert_int_equal(bitcask_sequence_set_add(&set, sequences[i], &added),
                         BITCASK_OK);
        assert_false(added);
    }
    assert_int_equal(bitcask_sequence_set_add(&set, 7, NULL), BITCASK_OK);
    assert_int_equal(bitcask_sequence_set_count(&set, 0, UINT64_MAX),
                     LENGTH_OF(sequences) + 1);
    bitcask_sequence_set_release(&set);
}

static void one_that_is_missing_is_found(void **state)
{
    const uint64_t first = CHUNK_SIZE - 200, last = 3 * CHUNK_SIZE + 200;
    const uint64_t hole = 2 * CHUNK_SIZE;
    struct bitcask_sequence_set set = create();

    (void)state;
    add_range(&set, first, hole - 1);
    add_range(&set, hole + 1, last);
    assert_false(bitcask_sequence_set_covers(&set, first, last));
    assert_false(bitcask_sequence_set_covers(&set, hole, hole));
    assert_true(bitcask_sequence_set_covers(&set, first, hole - 1));
    assert_true(bitcask_sequence_set_covers(&set, hole + 1, last));
    assert_false(bitcask_sequence_set_covers(&set, first - 1, first));
    assert_false(bitcask_sequence_set_covers(&set, last, last + 1));
    assert_int_equal(bitcask_sequence_set_count(&set, 0, UINT64_MAX), last - first);
    add_range(&set, hole, hole);
    assert_true(bitcask_sequence_set_covers(&set, first, last));
    bitcask_sequence_set_release(&set);
}

static void every_range_is_counted_right(void **state)
{
    enum {
        BASE = CHUNK_SIZE - 80,
        SPAN = 160
    };
    struct bitcask_sequence_set set = create();
    bool there[SPAN] = { false };

    (void)state;
    /* A far chunk as well, so that ranges are wider than the set, and narrower. */
    add_range(&set, (uint64_t)1 << 40, (uint64_t)1 << 40);
    for (uint64_t i = 0; i < SPAN; i++) {
        there[i] = i * i % 7 < 3;
        if (there[i])
            add_range(&set, BASE + i, BASE + i);
    }
    for (uint64_t first = 0; first < SPAN; first++) {
        uint64_t count = 0;

        for (uint64_t last = first; last < SPAN; last++) {
            count += there[last];
            assert_int_equal(bitcask_sequence_set_count(&set, BASE + first, BASE + last),
                             count);
            assert_int_equal(bitcask_sequence_set_covers(&set, BASE + first, BASE + last),
                             count == last - first + 1);
        }
        assert_int_equal(bitcask_sequence_set_count(&set, BASE + first, UINT64_MAX),
                         count + 1);
    }
    bitcask_sequence_set_release(&set);
}

static void no_memory_changes_nothing(void **state)
{
    const uint64_t step = (uint64_t)1 << 40;
    struct bitcask_sequence_set set = create();
    uint64_t count = 0;

    (void)state;
    /* Until uthash has grown its table of buckets a few times. */
    for (uint64_t i = 0; i < 2000; i++) {
        for (long n = 0;; n++) {
            enum bitcask_status status;

            test_alloc_fail(n);
            status = bitcask_sequence_set_add(&set, i * step, NULL);
            if (test_alloc_stop() == 0) {
                assert_int_equal(status, BITCASK_OK);
                break;
            }
            assert_int_equal(status, BITCASK_NO_MEMORY);
            assert_false(bitcask_sequence_set_has(&set, i * step));
            assert_int_equal(bitcask_sequence_set_count(&set, 0, UINT64_MAX), count);
        }
        count++;
        assert_int_equal(bitcask_sequence_set_count(&set, 0, UINT64_MAX), count);
    }
    bitcask_sequence_set_release(&set);
}

struct adder {
    pthread_t thread;
    struct bitcask_sequence_set *set;
    uint64_t first;
    uint64_t added_count;
};

static void *add_from(void *context)
{
    struct adder *adder = context;

    for (uint64_t i = 0; i < THREAD_ADDS; i++) {
        bool added = false;

        if (bitcask_sequence_set_add(adder->set, adder->first + i, &added) != BITCASK_OK)
            break;
        adder->added_count += added;
        (void)bitcask_sequence_set_has(adder->set, i);
    }
    return NULL;
}

static void threads_may_add_at_the_same_time(void **state)
{
    struct bitcask_sequence_set set = create();
    struct adder adders[THREAD_COUNT] = { 0 };
    uint64_t added_count = 0;
    const uint64_t last = (THREAD_COUNT + 1) * (uint64_t)THREAD_ADDS / 2 - 1;

    (void)state;
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        adders[i].set = &set;
        adders[i].first = i * THREAD_ADDS / 2; /* so half of each is another's as well */
        assert_int_equal(pthread_create(&adders[i].thread, NULL, add_from, &adders[i]),
                         0);
    }
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        pthread_join(adders[i].thread, NULL);
        added_count += adders[i].added_count;
    }
    assert_int_equal(added_count, last + 1);
    assert_true(bitcask_sequence_set_covers(&set, 0, last));
    assert_int_equal(bitcask_sequence_set_count(&set, 0, UINT64_MAX), last + 1);
    bitcask_sequence_set_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_set_has_nothing),
        cmocka_unit_test(a_sequence_is_added_once),
        cmocka_unit_test(one_that_is_missing_is_found),
        cmocka_unit_test(every_range_is_counted_right),
        cmocka_unit_test(no_memory_changes_nothing),
        cmocka_unit_test(threads_may_add_at_the_same_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
