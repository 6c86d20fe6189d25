/* SPDX-License-Identifier: MIT */
/*
 * The judge of threads: histories that are known to be right or wrong, and very many
 * small ones by chance, about which a search through all orders decides as well.
 */
#include "test/test_support.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "test/linear.h"
#include "test/model.h"

enum {
    SMALL_COUNT_MAX = 8,
    ROUND_COUNT = 200000
};

static bool allows(const struct linear_call *calls, size_t count)
{
    struct linear_verdict verdict = linear_decide(calls, count);

    assert_true(verdict.answer == LINEAR_YES || verdict.answer == LINEAR_NO);
    return verdict.answer == LINEAR_YES;
}

#define assert_allowed(...)                                  \
    do {                                                     \
        const struct linear_call calls_[] = { __VA_ARGS__ }; \
        assert_true(allows(calls_, LENGTH_OF(calls_)));      \
    } while (0)
#define assert_refused(...)                                  \
    do {                                                     \
        const struct linear_call calls_[] = { __VA_ARGS__ }; \
        assert_false(allows(calls_, LENGTH_OF(calls_)));     \
    } while (0)

#define PUT(begin, end, value)           \
    {                                    \
        begin, end, value, LINEAR_PUT, 0 \
    }
#define GET(begin, end, value)           \
    {                                    \
        begin, end, value, LINEAR_GET, 0 \
    }
#define ERASE(begin, end)              \
    {                                  \
        begin, end, 0, LINEAR_ERASE, 0 \
    }
#define DELETE(begin, end)              \
    {                                   \
        begin, end, 0, LINEAR_DELETE, 0 \
    }
#define ABSENT(begin, end)              \
    {                                   \
        begin, end, 0, LINEAR_ABSENT, 0 \
    }
#define PRESENT(begin, end)              \
    {                                    \
        begin, end, 0, LINEAR_PRESENT, 0 \
    }

static void test_one_after_the_other(void **state)
{
    (void)state;
    assert_true(allows(NULL, 0));
    assert_allowed(ABSENT(1, 2), PUT(3, 4, 7), GET(5, 6, 7), PRESENT(7, 8), DELETE(9, 10),
                   ABSENT(11, 12), PUT(13, 14, 8), GET(15, 16, 8), ERASE(17, 18),
                   ERASE(19, 20), ABSENT(21, 22));
    assert_refused(PRESENT(1, 2));
    assert_refused(DELETE(1, 2));
    assert_refused(GET(1, 2, 7)); /* nobody has put it */
    assert_refused(PUT(1, 2, 7), ABSENT(3, 4));
    assert_refused(PUT(1, 2, 7), GET(3, 4, 8));
    assert_refused(GET(1, 2, 7), PUT(3, 4, 7)); /* before it was there */
}

static void test_a_lost_write_is_refused(void **state)
{
    (void)state;
    assert_refused(PUT(1, 2, 7), PUT(3, 4, 8), GET(5, 6, 7));
    assert_refused(PUT(1, 2, 7), DELETE(3, 4), GET(5, 6, 7));
    assert_refused(PUT(1, 2, 7), DELETE(3, 4), DELETE(5, 6));
    assert_refused(PUT(1, 2, 7), DELETE(3, 4), PRESENT(5, 6));
    assert_refused(PUT(1, 2, 7), DELETE(3, 4), PUT(5, 6, 8), ABSENT(7, 8));
}

static void test_what_overlaps_has_any_order(void **state)
{
    (void)state;
    assert_allowed(PUT(1, 10, 7), ABSENT(2, 3), GET(4, 5, 7));
    assert_allowed(PUT(1, 10, 7), PUT(2, 9, 8), GET(3, 4, 7), GET(5, 6, 8),
                   GET(11, 12, 8));
    assert_allowed(PUT(1, 10, 7), PUT(2, 9, 8), GET(11, 12, 7));
    assert_allowed(PUT(1, 2, 7), DELETE(3, 6), DELETE(4, 8), PUT(5, 7, 8));
}

static void test_a_value_does_not_come_back(void **state)
{
    (void)state;
    assert_refused(PUT(1, 20, 7), PUT(2, 19, 8), GET(3, 4, 7), GET(5, 6, 8),
                   GET(7, 8, 7));
    assert_refused(PUT(1, 10, 7), GET(2, 3, 7), ABSENT(4, 5));
    /* Once seen it is there, though its put has not ended. */
    assert_refused(PUT(1, 2, 7), PUT(3, 10, 8), GET(4, 5, 8), GET(6, 7, 7));
    /* Two readers do not agree about the order of two puts that are over. */
    assert_refused(PUT(1, 4, 7), PUT(2, 5, 8), GET(3, 6, 7), GET(7, 8, 8), GET(9, 10, 7));
}

static void test_each_delete_is_one_absence(void **state)
{
    (void)state;
    /* Absent, there, absent: two deletes, or one and the beginning. */
    assert_allowed(ABSENT(1, 2), PUT(3, 20, 7), PRESENT(4, 5), DELETE(6, 19),
                   ABSENT(7, 8));
    assert_refused(PUT(1, 2, 6), DELETE(3, 20), ABSENT(4, 5), PUT(6, 19, 7), GET(7, 8, 7),
                   ABSENT(9, 10));
    assert_allowed(PUT(1, 2, 6), DELETE(3, 20), ABSENT(4, 5), PUT(6, 19, 7), GET(7, 8, 7),
                   ERASE(9, 18), ABSENT(10, 11));
    /* Two deletes of one put cannot both have found it. */
    assert_refused(PUT(1, 2, 7), DELETE(3, 6), DELETE(4, 5));
    assert_allowed(PUT(1, 2, 7), DELETE(3, 6), ERASE(4, 5));
}

static void test_long_reads(void **state)
{
    (void)state;
    /* What an iteration has met is judged between its beginning and its step. */
    assert_allowed(PUT(1, 2, 7), GET(3, 20, 8), PUT(4, 5, 8), PUT(6, 7, 9));
    assert_refused(PUT(1, 2, 7), GET(3, 20, 6), PUT(4, 5, 8), PUT(6, 7, 9));
    /* There all the time, and not met. */
    assert_refused(PUT(1, 2, 7), ABSENT(3, 20), PUT(4, 5, 8), PUT(6, 7, 9));
    assert_allowed(PUT(1, 2, 7), ABSENT(3, 20), DELETE(4, 5), PUT(6, 7, 9));
    /* Absent all the time, and met. */
    assert_refused(PUT(1, 2, 7), DELETE(3, 4), PRESENT(5, 20), PUT(21, 22, 8));
}

/*
 * The plain way: any call that begins before all others have ended may be the first one.
 */
static bool has_order(const struct linear_call *calls, size_t count, unsigned left,
                      uint64_t value)
{
    uint64_t first_end = UINT64_MAX;

    if (left == 0)
        return true;
    for (size_t i = 0; i < count; i++) {
        if ((left >> i & 1) != 0 && calls[i].end < first_end)
            first_end = calls[i].end;
    }
    for (size_t i = 0; i < count; i++) {
        const struct linear_call *call = &calls[i];
        bool fits = false;
        uint64_t then = value;

        if ((left >> i & 1) == 0 || call->begin > first_end)
            continue;
        switch (call->kind) {
        case LINEAR_PUT:
            fits = true;
            then = call->value;
            break;
        case LINEAR_ERASE:
            fits = true;
            then = 0;
            break;
        case LINEAR_DELETE:
            fits = value != 0;
            then = 0;
            break;
        case LINEAR_GET:
            fits = value == call->value;
            break;
        case LINEAR_ABSENT:
            fits = value == 0;
            break;
        case LINEAR_PRESENT:
            fits = value != 0;
            break;
        }
        if (fits && has_order(calls, count, left & ~(1u << i), then))
            return true;
    }
    return false;
}

/* Times are a permutation of 1 to twice @count, of which each call has two. */
static void make_small(struct model_random *random, struct linear_call *calls,
                       size_t count)
{
    uint64_t times[2 * SMALL_COUNT_MAX];
    uint64_t put_count = 0;

    for (size_t i = 0; i < 2 * count; i++)
        times[i] = i + 1;
    /* Exchanged with a near one: the further, the more overlap. */
    for (size_t i = 0; i < 2 * count; i++) {
        uint64_t reach = 1 + model_random_below(random, 6);
        size_t other = (i + (size_t)model_random_below(random, reach)) % (2 * count);
        uint64_t swap = times[i];

        times[i] = times[other];
        times[other] = swap;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t a = times[2 * i], b = times[2 * i + 1];
        enum linear_kind kind = (enum linear_kind)model_random_below(random, 6);

        if (i == 0)
            kind = LINEAR_PUT;
        calls[i] = (struct linear_call){ a < b ? a : b, a < b ? b : a, 0, kind, 0 };
        if (kind == LINEAR_PUT)
            calls[i].value = ++put_count;
    }
    for (size_t i = 0; i < count; i++) {
        if (calls[i].kind == LINEAR_GET)
            calls[i].value = 1 + model_random_below(random, put_count);
    }
}

static void test_all_orders_agree(void **state)
{
    struct model_random random = { 20261121 };
    uint64_t allowed = 0, refused = 0;

    (void)state;
    for (unsigned round = 0; round < ROUND_COUNT; round++) {
        struct linear_call calls[SMALL_COUNT_MAX];
        size_t count = 2 + (size_t)model_random_below(&random, SMALL_COUNT_MAX - 1);
        bool expected;

        make_small(&random, calls, count);
        expected = has_order(calls, count, (1u << count) - 1, 0);
        if (allows(calls, count) != expected)
            fail_msg("round %u: the search through all orders says %d", round, expected);
        allowed += expected;
        refused += !expected;
    }
    /* Else it would prove little. */
    assert_true(allowed > ROUND_COUNT / 10);
    assert_true(refused > ROUND_COUNT / 10);
}

enum {
    LONG_COUNT = 20000,
    LONG_THREADS = 8
};

/*
 * A history that is right: each call happens at one moment of its thread's turn, and
 * begins some time before and ends some time after it.
 */
static struct linear_call *make_long(struct model_random *random)
{
    struct linear_call *calls = calloc(LONG_COUNT, sizeof *calls);
    uint64_t free_at[LONG_THREADS] = { 0 };
    uint64_t value = 0, put_count = 0;

    assert_non_null(calls);
    for (size_t i = 0; i < LONG_COUNT; i++) {
        /* Moments lie 1,000 apart; the last digits keep all times apart. */
        uint64_t moment = 1000000 + (uint64_t)i * 1000;
        unsigned thread = (unsigned)(i % LONG_THREADS);
        uint64_t before = model_random_below(random, 4) * 1000 + 2 * thread + 2;
        uint64_t room = (LONG_THREADS - 5) * 1000;
        struct linear_call *call = &calls[i];

        call->thread = thread;
        call->begin = moment - before;
        if (call->begin <= free_at[thread])
            call->begin = free_at[thread] + 1;
        call->end =
            moment + model_random_below(random, room / 1000) * 1000 + 401 + thread;
        free_at[thread] = call->end;
        switch (model_random_below(random, 5)) {
        case 0:
            call->kind = LINEAR_PUT;
            value = call->value = ++put_count;
            break;
        case 1:
            call->kind = value != 0 ? LINEAR_DELETE : LINEAR_ABSENT;
            value = 0;
            break;
        case 2:
            call->kind = value != 0 ? LINEAR_PRESENT : LINEAR_ABSENT;
            break;
        default:
            call->kind = value != 0 ? LINEAR_GET : LINEAR_ABSENT;
            call->value = value;
            break;
        }
    }
    return calls;
}

static void test_a_long_history(void **state)
{
    struct model_random random = { 7 };
    struct linear_call *calls = make_long(&random);
    struct linear_verdict verdict;
    char words[2000];
    size_t stale = LONG_COUNT - 1;

    (void)state;
    assert_true(allows(calls, LONG_COUNT));

    /* One read near the end shows what was there long before. */
    while (calls[stale].kind != LINEAR_GET)
        stale--;
    for (size_t i = 0; i < LONG_COUNT / 2; i++) {
        if (calls[i].kind == LINEAR_GET)
            calls[stale].value = calls[i].value;
    }
    verdict = linear_decide(calls, LONG_COUNT);
    assert_int_equal(verdict.answer, LINEAR_NO);
    linear_explain(calls, LONG_COUNT, verdict.call, words, sizeof words);
    assert_non_null(strstr(words, "cannot be"));
    free(calls);
}

static void test_too_much_at_a_time(void **state)
{
    struct linear_call calls[LINEAR_OPEN_MAX + 1];

    (void)state;
    for (size_t i = 0; i < LENGTH_OF(calls); i++)
        calls[i] = (struct linear_call){ i + 1, 1000 + i, 0, LINEAR_ABSENT, 0 };
    assert_int_equal(linear_decide(calls, LINEAR_OPEN_MAX).answer, LINEAR_YES);
    assert_int_equal(linear_decide(calls, LINEAR_OPEN_MAX + 1).answer, LINEAR_TOO_HARD);

    /* Every order of so many puts leaves another state. */
    for (size_t i = 0; i < LINEAR_OPEN_MAX; i++)
        calls[i] = (struct linear_call){ i + 1, 1000 + i, i + 1, LINEAR_PUT, 0 };
    assert_int_equal(linear_decide(calls, LINEAR_OPEN_MAX).answer, LINEAR_TOO_HARD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_a_lost_write_is_refused),
        cmocka_unit_test(test_what_overlaps_has_any_order),
        cmocka_unit_test(test_a_value_does_not_come_back),
        cmocka_unit_test(test_each_delete_is_one_absence),
        cmocka_unit_test(test_long_reads),
        cmocka_unit_test(test_all_orders_agree),
        cmocka_unit_test(test_a_long_history),
        cmocka_unit_test(test_too_much_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
