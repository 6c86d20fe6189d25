/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    WORDS_SIZE = 400
};

#define REMOVED UINT64_MAX /* of a key in what a run leaves behind */

/* What the threads of a run share. */
struct shared {
    struct bench_subject *subject;
    const struct bench_task *task;
    struct bench_sequence sequence;
    pthread_barrier_t barrier;
    atomic_bool failed; /* one of them: the others end too */
    atomic_bool ended;  /* for the one that only reads the clock */
    uint64_t control_gap_ns;
};

struct runner {
    struct shared *shared;
    unsigned number;
    pthread_t thread;
    void *session;
    uint8_t *value; /* to be put */
    struct bench_value values[BENCH_MANY];
    uint64_t operation_count; /* at most */
    uint64_t done;
    uint64_t begin_ns;
    uint64_t end_ns;
    struct bench_histogram histogram;
    char words[WORDS_SIZE];
};

/* What a scan has met. */
struct tally {
    struct runner *runner;
    uint64_t count;
    uint64_t sum; /* of a number for each index, to tell a missing pair from one twice */
};

uint64_t bench_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool fail(struct runner *runner, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(struct runner *runner, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(runner->words, sizeof runner->words, format, arguments);
    va_end(arguments);
    atomic_store(&runner->shared->failed, true);
    return false;
}

static bool fail_at(struct runner *runner, const char *what, uint64_t index,
                    enum bench_result result)
{
    return fail(runner, "%s of key %llu: %s", what, (unsigned long long)index,
                result == BENCH_MISSING ? "it is missing"
                                        : runner->shared->subject->driver->error());
}

static struct bench_bytes key_of(const struct runner *runner, uint64_t index,
                                 uint8_t key[BENCH_KEY_SIZE])
{
    bench_key_make(runner->shared->subject->model->order, index, key);
    return (struct bench_bytes){ key, BENCH_KEY_SIZE };
}

/* Whether @value is one of @index that can be there; *version says which. */
static bool check(struct runner *runner, uint64_t index, struct bench_bytes value,
                  uint64_t *version)
{
    const struct bench_subject *subject = runner->shared->subject;
    const struct bench_model *model = subject->model;

    if (value.size != subject->value_size ||
        !bench_value_check(index, value.data, value.size, version))
        return fail(runner, "key %llu has a value that was never put for it",
                    (unsigned long long)index);
    if (model->uniform_version != 0
            ? *version != model->uniform_version
            : *version == 0 || bench_step_of_version(*version) > model->step)
        return fail(runner, "key %llu has a value that is not the last one put",
                    (unsigned long long)index);
    return true;
}

static bool put(struct runner *runner, uint64_t index, uint64_t version)
{
    const struct bench_subject *subject = runner->shared->subject;
    struct bench_bytes value = { runner->value, subject->value_size };
    uint8_t key[BENCH_KEY_SIZE];
    enum bench_result result;

    bench_value_make(index, version, runner->value, subject->value_size);
    result = subject->driver->put(runner->session, key_of(runner, index, key), value);
    return result == BENCH_OK || fail_at(runner, "put", index, result);
}

static bool get(struct runner *runner, uint64_t index, uint64_t *version)
{
    struct bench_value *value = &runner->values[0];
    uint8_t key[BENCH_KEY_SIZE];
    enum bench_result result = runner->shared->subject->driver->get(
        runner->session, key_of(runner, index, key), value);

    if (result != BENCH_OK)
        return fail_at(runner, "get", index, result);
    return check(runner, index, (struct bench_bytes){ value->data, value->size },
                 version);
}

static bool get_absent(struct runner *runner, uint64_t index)
{
    uint8_t key[BENCH_KEY_SIZE];
    enum bench_result result = runner->shared->subject->driver->get(
        runner->session, key_of(runner, index, key), &runner->values[0]);

    if (result == BENCH_OK)
        return fail(runner, "key %llu is there, and was never put or has been deleted",
                    (unsigned long long)index);
    return result == BENCH_MISSING || fail_at(runner, "get", index, result);
}

static bool remove_key(struct runner *runner, uint64_t index)
{
    uint8_t key[BENCH_KEY_SIZE];
    enum bench_result result = runner->shared->subject->driver->remove(
        runner->session, key_of(runner, index, key));

    return result == BENCH_OK || fail_at(runner, "delete", index, result);
}

static bool get_many(struct runner *runner, uint64_t i)
{
    const struct bench_driver *driver = runner->shared->subject->driver;
    uint64_t indexes[BENCH_MANY], version;
    uint8_t keys[BENCH_MANY][BENCH_KEY_SIZE];
    struct bench_bytes wanted[BENCH_MANY];
    enum bench_result results[BENCH_MANY];

    for (unsigned k = 0; k < BENCH_MANY; k++) {
        indexes[k] =
            bench_choose(&runner->shared->sequence, runner->number, i * BENCH_MANY + k)
                .index;
        wanted[k] = key_of(runner, indexes[k], keys[k]);
    }
    if (driver->multi_get != NULL) {
        driver->multi_get(runner->session, wanted, BENCH_MANY, runner->values, results);
    } else {
        for (unsigned k = 0; k < BENCH_MANY; k++)
            results[k] = driver->get(runner->session, wanted[k], &runner->values[k]);
    }
    for (unsigned k = 0; k < BENCH_MANY; k++) {
        struct bench_bytes value = { runner->values[k].data, runner->values[k].size };

        if (results[k] != BENCH_OK)
            return fail_at(runner, "multi-get", indexes[k], results[k]);
        if (!check(runner, indexes[k], value, &version))
            return false;
    }
    return true;
}

static bool operate(struct runner *runner, uint64_t i)
{
    const struct bench_sequence *sequence = &runner->shared->sequence;
    struct bench_choice choice;
    uint64_t version;

    if (sequence->operation == BENCH_GET_MANY)
        return get_many(runner, i);
    choice = bench_choose(sequence, runner->number, i);
    if (sequence->operation == BENCH_REMOVE)
        return remove_key(runner, choice.index);
    if (sequence->operation == BENCH_GET_ABSENT)
        return get_absent(runner, choice.index);
    return choice.write ? put(runner, choice.index, choice.version)
                        : get(runner, choice.index, &version);
}

static bool tally_pair(void *context, struct bench_bytes key, struct bench_bytes value)
{
    struct tally *tally = context;
    const struct bench_model *model = tally->runner->shared->subject->model;
    uint64_t index, version;

    if (!bench_key_index(model->order, key.data, key.size, &index) ||
        index >= model->key_count)
        return fail(tally->runner, "a scan meets a key that was never put");
    tally->count++;
    tally->sum += bench_mix(index);
    return check(tally->runner, index, value, &version);
}

static bool scan(struct runner *runner)
{
    const struct bench_subject *subject = runner->shared->subject;
    const struct bench_model *model = subject->model;
    struct tally tally = { .runner = runner };
    uint64_t sum = 0;

    for (uint64_t i = 0; i < model->key_count; i++)
        sum += bench_mix(i);
    runner->begin_ns = bench_clock_ns();
    if (subject->driver->scan(runner->session, tally_pair, &tally) != BENCH_OK)
        return fail(runner, "scan: %s", subject->driver->error());
    runner->end_ns = bench_clock_ns();
    runner->done = tally.count;
    if (atomic_load(&runner->shared->failed))
        return false;
    if (model->whole && (tally.count != model->key_count || tally.sum != sum))
        return fail(runner, "a scan meets %llu pairs, some missing or twice, of %llu",
                    (unsigned long long)tally.count,
                    (unsigned long long)model->key_count);
    return true;
}

/*
 * The clock is read only around some operations: it takes as long as one of them. Which
 * those are is left to chance, or what an engine does to every 16th would be met always
 * or never.
 */
static void run_operations(struct runner *runner)
{
    const struct bench_task *task = runner->shared->task;
    uint64_t i = 0, next = 0, begin_ns;
    bool good = true;

    runner->begin_ns = bench_clock_ns();
    for (; i < runner->operation_count && good; i++) {
        if (i != next) {
            good = operate(runner, i);
            continue;
        }
        next += 1 + bench_below(bench_random(runner->number, i),
                                2 * task->sample_interval - 1);
        begin_ns = bench_clock_ns();
        if (task->ns_max != 0 && begin_ns - runner->begin_ns > task->ns_max)
            break;
        if (atomic_load_explicit(&runner->shared->failed, memory_order_relaxed))
            break;
        good = operate(runner, i);
        bench_histogram_add(&runner->histogram, bench_clock_ns() - begin_ns);
    }
    runner->end_ns = bench_clock_ns();
    runner->done = i;
}

static void *runner_main(void *context)
{
    struct runner *runner = context;
    struct shared *shared = runner->shared;
    const struct bench_driver *driver = shared->subject->driver;
    bool attached =
        driver->attach(shared->subject->store, &runner->session) == BENCH_OK ||
        fail(runner, "attach: %s", driver->error());

    pthread_barrier_wait(&shared->barrier);
    if (attached && shared->task->operation == BENCH_SCAN)
        scan(runner);
    else if (attached)
        run_operations(runner);
    if (attached)
        driver->detach(runner->session);
    return NULL;
}

static void *control_main(void *context)
{
    struct shared *shared = context;
    uint64_t before_ns = bench_clock_ns(), now_ns;

    while (!atomic_load_explicit(&shared->ended, memory_order_relaxed)) {
        now_ns = bench_clock_ns();
        if (now_ns - before_ns > shared->control_gap_ns)
            shared->control_gap_ns = now_ns - before_ns;
        before_ns = now_ns;
    }
    return NULL;
}

/* The version of each key of the model that @runner has written, or REMOVED, in @last. */
static void replay(const struct runner *runner, uint64_t *last)
{
    const struct bench_sequence *sequence = &runner->shared->sequence;
    uint64_t stride = runner->shared->subject->model->stride;

    for (uint64_t i = 0; i < runner->done; i++) {
        struct bench_choice choice = bench_choose(sequence, runner->number, i);

        if (choice.write && choice.index % stride == 0)
            last[choice.index / stride] =
                sequence->operation == BENCH_REMOVE ? REMOVED : choice.version;
    }
}

/*
 * Read back key @sample of the model. It holds what one of the @count threads wrote last,
 * @last_size versions apart in @last, or else what it held before.
 */
static bool check_sample(struct runner *runner, uint64_t sample, const uint64_t *last,
                         unsigned count, uint64_t last_size)
{
    struct bench_model *model = runner->shared->subject->model;
    uint64_t index = sample * model->stride;
    uint64_t expected = model->versions[sample];
    uint64_t version = 0;
    bool written = false, fits = false;

    for (unsigned i = 0; i < count; i++)
        if (last[i * last_size + sample] != 0) {
            written = true;
            expected = last[i * last_size + sample];
            if (expected == REMOVED)
                expected = 0;
        }
    if (expected == 0) {
        model->versions[sample] = 0;
        return get_absent(runner, index);
    }
    if (!get(runner, index, &version))
        return false;
    for (unsigned i = 0; i < count; i++)
        fits = fits || last[i * last_size + sample] == version;
    if (written ? !fits : version != expected)
        return fail(runner, "key %llu does not have the last value that was put",
                    (unsigned long long)index);
    model->versions[sample] = version;
    return true;
}

/* Read back what @count @runners have written. The first of them does it. */
static bool check_written(struct runner *runners, unsigned count)
{
    struct runner *first = &runners[0];
    const struct bench_driver *driver = first->shared->subject->driver;
    uint64_t sample_count = first->shared->subject->model->sample_count;
    uint64_t *last = calloc((size_t)(count * sample_count + 1), sizeof *last);
    bool good = last != NULL;

    if (!good)
        return fail(first, "there is no memory for %llu versions",
                    (unsigned long long)sample_count);
    for (unsigned i = 0; i < count; i++)
        replay(&runners[i], last + i * sample_count);
    if (driver->attach(first->shared->subject->store, &first->session) == BENCH_OK) {
        for (uint64_t i = 0; good && i < sample_count; i++)
            good = check_sample(first, i, last, count, sample_count);
        driver->detach(first->session);
    } else {
        good = fail(first, "attach: %s", driver->error());
    }
    free(last);
    return good;
}

static bool writes(enum bench_operation operation)
{
    return operation == BENCH_PUT_NEXT || operation == BENCH_PUT_ANY ||
           operation == BENCH_MIX_HALF || operation == BENCH_MIX_READS ||
           operation == BENCH_REMOVE;
}

/* What is known of all keys together, when @done operations have ended. */
static void follow(struct bench_model *model, enum bench_operation operation,
                   uint64_t done)
{
    if (!writes(operation))
        return;
    model->uniform_version = 0;
    if (operation == BENCH_PUT_NEXT && done == model->key_count) {
        model->whole = true;
        model->uniform_version = bench_version_of_step(model->step);
    }
    if (operation == BENCH_REMOVE && done > 0)
        model->whole = false;
}

static bool start_threads(struct runner *runners, struct shared *shared,
                          pthread_t *control)
{
    unsigned count = shared->task->threads;

    pthread_barrier_init(&shared->barrier, NULL, count);
    if (shared->task->control && pthread_create(control, NULL, control_main, shared) != 0)
        return fail(&runners[0], "no thread can be started");
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&runners[i].thread, NULL, runner_main, &runners[i]) != 0) {
            /* Those that wait for it would wait for ever. */
            fprintf(stderr, "bitcask-bench: no thread can be started\n");
            abort();
        }
    return true;
}

static void collect(struct runner *runners, struct shared *shared,
                    struct bench_outcome *outcome)
{
    uint64_t begin_ns = UINT64_MAX, end_ns = 0;
    uint64_t keys = shared->task->operation == BENCH_GET_MANY ? BENCH_MANY : 1;

    *outcome = (struct bench_outcome){ .control_gap_ns = shared->control_gap_ns };
    for (unsigned i = 0; i < shared->task->threads; i++) {
        outcome->key_count += runners[i].done * keys;
        if (runners[i].begin_ns < begin_ns)
            begin_ns = runners[i].begin_ns;
        if (runners[i].end_ns > end_ns)
            end_ns = runners[i].end_ns;
        bench_histogram_join(&outcome->histogram, &runners[i].histogram);
    }
    outcome->ns = end_ns > begin_ns ? end_ns - begin_ns : 1;
}

static bool run_threads(struct runner *runners, struct shared *shared,
                        struct bench_outcome *outcome)
{
    unsigned count = shared->task->threads;
    pthread_t control;

    if (!start_threads(runners, shared, &control))
        return false;
    for (unsigned i = 0; i < count; i++)
        pthread_join(runners[i].thread, NULL);
    atomic_store(&shared->ended, true);
    if (shared->task->control)
        pthread_join(control, NULL);
    pthread_barrier_destroy(&shared->barrier);
    if (atomic_load(&shared->failed))
        return false;
    collect(runners, shared, outcome);
    follow(shared->subject->model, shared->task->operation, outcome->key_count);
    return !writes(shared->task->operation) || check_written(runners, count);
}

/* What a thread does of all that is to be done, and what it does it with. */
static bool prepare(struct runner *runner, struct shared *shared, unsigned number)
{
    const struct bench_task *task = shared->task;

    runner->shared = shared;
    runner->number = number;
    runner->operation_count = task->operation_count / task->threads +
                              (number < task->operation_count % task->threads);
    runner->value = malloc(shared->subject->value_size);
    return runner->value != NULL || fail(runner, "there is no memory for a value");
}

static void release(struct runner *runner)
{
    free(runner->value);
    for (unsigned i = 0; i < BENCH_MANY; i++)
        free(runner->values[i].data);
}

bool bench_run(struct bench_subject *subject, const struct bench_task *task,
               struct bench_outcome *outcome, char *words, size_t words_size)
{
    struct bench_model *model = subject->model;
    struct shared shared = { .subject = subject, .task = task };
    struct runner *runners = calloc(task->threads, sizeof *runners);
    bool good = runners != NULL;

    if (!good) {
        snprintf(words, words_size, "there is no memory for %u threads", task->threads);
        return false;
    }
    model->step++;
    shared.sequence = (struct bench_sequence){
        .operation = task->operation,
        .threads = task->threads,
        .step = model->step,
        .key_count = model->key_count,
        .permutation = bench_permutation_of(model->key_count),
        .zipf = subject->zipf,
    };
    if (writes(task->operation))
        model->uniform_version = 0;
    for (unsigned i = 0; good && i < task->threads; i++)
        good = prepare(&runners[i], &shared, i);
    if (good)
        good = run_threads(runners, &shared, outcome);
    for (unsigned i = 0; i < task->threads; i++) {
        if (!good && runners[i].words[0] != 0)
            snprintf(words, words_size, "%s", runners[i].words);
        release(&runners[i]);
    }
    free(runners);
    return good;
}

bool bench_run_check(struct bench_subject *subject, char *words, size_t words_size)
{
    struct bench_task task = { .operation = BENCH_SCAN, .threads = 1 };
    struct shared shared = { .subject = subject, .task = &task };
    struct bench_outcome outcome;
    struct runner runner = { .shared = &shared };

    if (!check_written(&runner, 0)) {
        snprintf(words, words_size, "%s", runner.words);
        free(runner.values[0].data);
        return false;
    }
    free(runner.values[0].data);
    return !subject->model->whole ||
           bench_run(subject, &task, &outcome, words, words_size);
}
