/* SPDX-License-Identifier: MIT */
/*
 * bitcask-bench finds out engines that lie: each of these is caught at one lie, and an
 * honest one is not. And its arithmetic.
 */
#include "tools/bench/results.h"
#include "tools/bench/run.h"
#include "tools/bench/targets.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    KEY_COUNT = 500,
    VALUE_SIZE = 100,
    VALUE_ROOM = 128
};

enum lie {
    HONEST,
    FLIPS_A_BIT,       /* of one get in fifty */
    CUTS_A_VALUE,      /* by its last four bytes */
    GIVES_ANOTHER,     /* a right value, of another key */
    FORGETS_A_PUT,     /* the older value stays; a new key is not there */
    FORGETS_A_REMOVAL, /* the key is still there */
    LOSES_A_KEY,       /* says that it is missing */
    INVENTS_A_KEY,     /* has what was never put */
    SCANS_TOO_LITTLE,  /* a pair less */
    SCANS_ONE_TWICE,   /* in the place of another */
    SCANS_A_STRANGER,  /* with a key that was never put */
    FAILS,             /* and says so */
    FAILS_TO_OPEN_A_SESSION
};

/* A store: the values of the keys, by their index, in memory. */
struct memory {
    pthread_mutex_t lock;
    enum lie lie;
    unsigned calls;
    size_t sizes[KEY_COUNT]; /* 0: not there */
    uint8_t values[KEY_COUNT][VALUE_ROOM];
};

static enum bench_key_order key_order;

/* One call in fifty is a lie of kind @lie. */
static bool is_lying(struct memory *memory, enum lie lie)
{
    return memory->lie == lie && ++memory->calls % 50 == 0;
}

static uint64_t index_of(struct bench_bytes key)
{
    uint64_t index = 0;

    assert_true(bench_key_index(key_order, key.data, key.size, &index));
    return index;
}

static enum bench_result attach(void *store, void **session)
{
    struct memory *memory = store;

    *session = store;
    return memory->lie == FAILS_TO_OPEN_A_SESSION ? BENCH_ERROR : BENCH_OK;
}

static void detach(void *session)
{
    (void)session;
}

static enum bench_result put(void *session, struct bench_bytes key,
                             struct bench_bytes value)
{
    struct memory *memory = session;
    uint64_t index = index_of(key);

    pthread_mutex_lock(&memory->lock);
    if (!is_lying(memory, FORGETS_A_PUT)) {
        assert_true(index < KEY_COUNT && value.size <= VALUE_ROOM);
        memcpy(memory->values[index], value.data, value.size);
        memory->sizes[index] = value.size;
    }
    pthread_mutex_unlock(&memory->lock);
    return BENCH_OK;
}

static enum bench_result copy_value(struct memory *memory, uint64_t index,
                                    struct bench_value *value)
{
    if (is_lying(memory, FAILS))
        return BENCH_ERROR;
    if (is_lying(memory, INVENTS_A_KEY))
        index %= KEY_COUNT;
    if (is_lying(memory, GIVES_ANOTHER))
        index = (index + 1) % KEY_COUNT;
    if (index >= KEY_COUNT || memory->sizes[index] == 0 || is_lying(memory, LOSES_A_KEY))
        return BENCH_MISSING;
    assert_true(bench_value_set(value, memory->values[index], memory->sizes[index]));
    if (is_lying(memory, FLIPS_A_BIT))
        ((uint8_t *)value->data)[memory->calls / 50 % value->size] ^= 4;
    if (is_lying(memory, CUTS_A_VALUE))
        value->size -= 4;
    return BENCH_OK;
}

static enum bench_result get(void *session, struct bench_bytes key,
                             struct bench_value *value)
{
    struct memory *memory = session;
    enum bench_result result;

    pthread_mutex_lock(&memory->lock);
    result = copy_value(memory, index_of(key), value);
    pthread_mutex_unlock(&memory->lock);
    return result;
}

static enum bench_result remove_key(void *session, struct bench_bytes key)
{
    struct memory *memory = session;
    uint64_t index = index_of(key);
    bool there;

    pthread_mutex_lock(&memory->lock);
    there = memory->sizes[index] != 0;
    if (!is_lying(memory, FORGETS_A_REMOVAL))
        memory->sizes[index] = 0;
    pthread_mutex_unlock(&memory->lock);
    return there ? BENCH_OK : BENCH_MISSING;
}

static enum bench_result multi_get(void *session, const struct bench_bytes *keys,
                                   size_t count, struct bench_value *values,
                                   enum bench_result *results)
{
    for (size_t i = 0; i < count; i++)
        results[i] = get(session, keys[i], &values[i]);
    return BENCH_OK;
}

static enum bench_result scan(void *session, bench_visit *visit, void *context)
{
    struct memory *memory = session;
    uint8_t key[BENCH_KEY_SIZE];

    for (uint64_t i = 0; i < KEY_COUNT; i++) {
        uint64_t index = i;

        if (memory->lie == SCANS_TOO_LITTLE && i == 77)
            continue;
        if (memory->lie == SCANS_ONE_TWICE && i == 77)
            index = 78;
        bench_key_make(key_order, index, key);
        if (memory->lie == SCANS_A_STRANGER && i == 77)
            key[15] ^= 1;
        if (memory->sizes[index] != 0 &&
            !visit(context, (struct bench_bytes){ key, sizeof key },
                   (struct bench_bytes){ memory->values[index], memory->sizes[index] }))
            break;
    }
    return BENCH_OK;
}

static const char *say(void)
{
    return "out of order";
}

static const struct bench_driver memory_driver = {
    .name = "memory",
    .attach = attach,
    .detach = detach,
    .put = put,
    .get = get,
    .remove = remove_key,
    .multi_get = multi_get,
    .scan = scan,
    .error = say,
};

/* Ours and a rival, for the arithmetic: neither is called. */
const struct bench_driver bench_driver_bitcask = { .name = "bitcask" };
static const struct bench_driver lmdb = { .name = "lmdb" };
const struct bench_driver *const bench_drivers[] = { &bench_driver_bitcask, &lmdb, NULL };

static bool run(struct bench_subject *subject, enum bench_operation operation,
                unsigned threads, char *words, struct bench_outcome *outcome)
{
    struct bench_task task = { .operation = operation,
                               .threads = threads,
                               .operation_count =
                                   operation == BENCH_GET_MANY ? 100 : KEY_COUNT,
                               .sample_interval = 16 };

    return bench_run(subject, &task, outcome, words, 400);
}

/* Run every workload on a store that tells @lie; the words of what was found in @words.
 */
static bool run_all(enum lie lie, unsigned threads, char *words)
{
    static const enum bench_operation operations[] = {
        BENCH_PUT_NEXT,  BENCH_GET_NEXT, BENCH_GET_ANY, BENCH_GET_ABSENT,
        BENCH_GET_ZIPF,  BENCH_GET_MANY, BENCH_SCAN,    BENCH_MIX_HALF,
        BENCH_MIX_READS, BENCH_PUT_ANY,  BENCH_SCAN,    BENCH_REMOVE,
    };
    struct memory *memory = calloc(1, sizeof *memory);
    struct bench_zipf zipf;
    struct bench_outcome *outcome = malloc(sizeof *outcome);
    struct bench_subject subject = {
        .driver = &memory_driver, .store = memory, .value_size = VALUE_SIZE, .zipf = &zipf
    };
    bool good = true;

    words[0] = 0;
    key_order = BENCH_KEYS_SCATTERED;
    pthread_mutex_init(&memory->lock, NULL);
    memory->lie = lie;
    subject.model = bench_model_create(key_order, KEY_COUNT, 10000);
    assert_true(bench_zipf_init(&zipf, KEY_COUNT, 12));
    for (size_t i = 0; good && i < sizeof operations / sizeof *operations; i++) {
        good = run(&subject, operations[i], operations[i] == BENCH_SCAN ? 1 : threads,
                   words, outcome);
        if (good)
            assert_int_equal(outcome->key_count,
                             operations[i] == BENCH_GET_MANY ? 1600 : KEY_COUNT);
        good = good &&
               (operations[i] != BENCH_PUT_ANY || bench_run_check(&subject, words, 400));
    }
    bench_zipf_release(&zipf);
    bench_model_release(subject.model);
    pthread_mutex_destroy(&memory->lock);
    free(outcome);
    free(memory);
    return good;
}

static void an_honest_engine_passes(void **state)
{
    char words[400];

    (void)state;
    for (unsigned threads = 1; threads <= 4; threads++)
        if (!run_all(HONEST, threads, words))
            fail_msg("%u threads: %s", threads, words);
}

static void every_lie_is_found(void **state)
{
    static const struct {
        enum lie lie;
        const char *words;
    } cases[] = {
        { FLIPS_A_BIT, "has a value that was never put for it" },
        { CUTS_A_VALUE, "has a value that was never put for it" },
        { GIVES_ANOTHER, "has a value that was never put for it" },
        { FORGETS_A_PUT, "it is missing" },
        { FORGETS_A_REMOVAL, "is there, and was never put or has been deleted" },
        { LOSES_A_KEY, "it is missing" },
        { INVENTS_A_KEY, "is there, and was never put or has been deleted" },
        { SCANS_TOO_LITTLE, "a scan meets 499 pairs, some missing or twice, of 500" },
        { SCANS_ONE_TWICE, "a scan meets 500 pairs, some missing or twice, of 500" },
        { SCANS_A_STRANGER, "a scan meets a key that was never put" },
        { FAILS, "out of order" },
        { FAILS_TO_OPEN_A_SESSION, "attach: out of order" },
    };
    char words[400];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned threads = 1; threads <= 2; threads++) {
            if (run_all(cases[i].lie, threads, words))
                fail_msg("lie %d is not found", (int)cases[i].lie);
            if (strstr(words, cases[i].words) == NULL)
                fail_msg("lie %d: %s", (int)cases[i].lie, words);
        }
}

/* Run @operation on a store that is full and honest until then. */
static bool run_on_full(enum lie lie, enum bench_operation operation, char *words)
{
    struct memory *memory = calloc(1, sizeof *memory);
    struct bench_outcome *outcome = malloc(sizeof *outcome);
    struct bench_subject subject = { .driver = &memory_driver,
                                     .store = memory,
                                     .value_size = VALUE_SIZE };
    struct bench_zipf zipf;
    bool good;

    pthread_mutex_init(&memory->lock, NULL);
    assert_true(bench_zipf_init(&zipf, KEY_COUNT, 12));
    subject.zipf = &zipf;
    subject.model = bench_model_create(key_order, KEY_COUNT, 10000);
    assert_true(run(&subject, BENCH_PUT_NEXT, 1, words, outcome));
    memory->lie = lie;
    good = run(&subject, operation, 1, words, outcome);
    bench_zipf_release(&zipf);
    bench_model_release(subject.model);
    pthread_mutex_destroy(&memory->lock);
    free(outcome);
    free(memory);
    return good;
}

static void an_update_that_is_forgotten_is_found(void **state)
{
    static const enum bench_operation operations[] = { BENCH_PUT_ANY, BENCH_MIX_HALF };
    char words[400] = "";

    (void)state;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        assert_false(run_on_full(FORGETS_A_PUT, operations[i], words));
        assert_non_null(strstr(words, "does not have the last value that was put"));
    }
}

/* A value is made for one key and one version, and every byte of it counts. */
static void every_byte_of_a_value_is_checked(void **state)
{
    static const size_t sizes[] = { 16, 17, 23, 24, 25, 100, 4096 };
    uint8_t value[4096];
    uint64_t version;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bench_value_make(7, 99, value, sizes[i]);
        assert_true(bench_value_check(7, value, sizes[i], &version));
        assert_int_equal(version, 99);
        assert_false(bench_value_check(8, value, sizes[i], &version));
        for (size_t bit = 0; bit < sizes[i] * 8; bit++) {
            value[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_false(bench_value_check(7, value, sizes[i], &version));
            value[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    assert_false(bench_value_check(7, value, 15, &version));
}

static void a_key_tells_its_index(void **state)
{
    uint8_t key[BENCH_KEY_SIZE], before[BENCH_KEY_SIZE];
    uint64_t index;

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        for (unsigned order = 0; order < 2; order++) {
            bench_key_make((enum bench_key_order)order, i * i * i, key);
            assert_true(
                bench_key_index((enum bench_key_order)order, key, sizeof key, &index));
            assert_int_equal(index, i * i * i);
            key[8] ^= 1;
            assert_false(
                bench_key_index((enum bench_key_order)order, key, sizeof key, &index));
            assert_false(bench_key_index((enum bench_key_order)order, key, 15, &index));
        }
    for (uint64_t i = 0; i < 1000; i++) {
        bench_key_make(BENCH_KEYS_ASCENDING, i, key);
        assert_true(i == 0 || memcmp(before, key, sizeof key) < 0);
        memcpy(before, key, sizeof key);
    }
}

static void a_permutation_has_every_number_once(void **state)
{
    static const uint64_t limits[] = { 1, 2, 3, 100, 1023, 1024, 1025, 50000 };
    bool *seen = malloc(50000);

    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct bench_permutation permutation = bench_permutation_of(limits[i]);

        memset(seen, 0, 50000);
        for (uint64_t k = 0; k < limits[i]; k++) {
            uint64_t number = bench_permute(&permutation, k);

            assert_true(number < limits[i] && !seen[number]);
            seen[number] = true;
        }
    }
    free(seen);
}

static int compare_counts(const void *one, const void *other)
{
    unsigned a = *(const unsigned *)one, b = *(const unsigned *)other;

    return (a < b) - (a > b);
}

/* Of 1000 numbers the first comes in 1 / (1 + 2^-0.99 + ... + 1000^-0.99), 13.2 percent.
 */
static void some_zipfian_numbers_are_more_frequent(void **state)
{
    unsigned counts[1000] = { 0 };
    struct bench_zipf zipf;

    (void)state;
    assert_true(bench_zipf_init(&zipf, 1000, 20));
    for (uint64_t i = 0; i <= zipf.mask; i++)
        counts[zipf.indexes[i]]++;
    qsort(counts, 1000, sizeof *counts, compare_counts);
    assert_in_range(counts[0], 1 << 20 >> 3, (1 << 20) * 14 / 100);
    assert_in_range(counts[0] * 100 / counts[1], 190, 208);
    assert_in_range(counts[0] / counts[99], 80, 115);
    assert_true(counts[999] > 0);
    bench_zipf_release(&zipf);
}

static void a_histogram_is_right_within_three_percent(void **state)
{
    struct bench_histogram histogram = { 0 }, more = { 0 };

    (void)state;
    assert_int_equal(bench_histogram_part(&histogram, 0.5), 0);
    for (uint64_t ns = 1; ns <= 100000; ns++)
        bench_histogram_add(ns % 2 == 0 ? &histogram : &more, ns);
    bench_histogram_join(&histogram, &more);
    assert_int_equal(histogram.count, 100000);
    assert_int_equal(histogram.max_ns, 100000);
    assert_in_range(bench_histogram_part(&histogram, 0.5), 50000, 51600);
    assert_in_range(bench_histogram_part(&histogram, 0.99), 99000, 100000);
    assert_int_equal(bench_histogram_part(&histogram, 0.00003), 3);
    assert_int_equal(bench_histogram_part(&histogram, 1), 100000);
    bench_histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(bench_histogram_part(&histogram, 1), UINT64_MAX);
}

static void add_rate(struct bench_results *results, const struct bench_driver *driver,
                     struct bench_row row, unsigned repeat, double rate)
{
    struct bench_cell *cell = bench_results_add(results, row, driver, repeat);

    assert_non_null(cell);
    cell->figures[BENCH_F_RATE] = rate;
}

/* A ratio is that of each repeat, and what is judged is their median. */
static void a_target_is_judged_by_the_median_of_ratios(void **state)
{
    static const struct {
        double factor;
        enum bench_verdict verdict;
    } cases[] = { { 1, BENCH_MISSED }, { 1.71, BENCH_MUST_MET }, { 2.2, BENCH_AIM_MET } };
    struct bench_row row = { BENCH_W_GET, 2, 10000000 };
    const struct bench_target *target = bench_target_find(&row, "lmdb");
    struct bench_spread ratio;

    (void)state;
    assert_non_null(target);
    assert_null(bench_target_find(&row, "leveldb"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench_results results = { 0 };

        assert_int_equal(bench_target_judge(&results, target, &ratio),
                         BENCH_NOT_MEASURED);
        for (unsigned repeat = 0; repeat < 3; repeat++) {
            double noise = 1 << repeat;

            add_rate(&results, &bench_driver_bitcask, row, repeat,
                     1000 * noise * cases[i].factor * (repeat == 2 ? 9 : 1));
            add_rate(&results, &lmdb, row, repeat, 1000 * noise);
        }
        assert_int_equal(bench_target_judge(&results, target, &ratio), cases[i].verdict);
        assert_int_equal(ratio.count, 3);
        assert_true(fabs(ratio.median - cases[i].factor) < 1e-9);
        assert_true(fabs(ratio.max - 9 * cases[i].factor) < 1e-9);
        bench_results_release(&results);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_engine_passes),
        cmocka_unit_test(every_lie_is_found),
        cmocka_unit_test(an_update_that_is_forgotten_is_found),
        cmocka_unit_test(every_byte_of_a_value_is_checked),
        cmocka_unit_test(a_key_tells_its_index),
        cmocka_unit_test(a_permutation_has_every_number_once),
        cmocka_unit_test(some_zipfian_numbers_are_more_frequent),
        cmocka_unit_test(a_histogram_is_right_within_three_percent),
        cmocka_unit_test(a_target_is_judged_by_the_median_of_ratios),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
