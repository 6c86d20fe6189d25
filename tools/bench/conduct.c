/* SPDX-License-Identifier: MIT */
#include "conduct.h"

#include "system.h"
#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SAMPLE_INTERVAL = 16,       /* the clock is read around one of so many operations */
    SAMPLED_KEYS_MAX = 100000,  /* read back after each step */
    BURST_KEYS_MAX = 200000,    /* put before a process is killed */
    DURABLE_KEYS_MAX = 1000000, /* more than can be synced in the time */
    BIG_BYTES_MAX = 512 << 20,  /* of a fill with large values */
    ZIPF_BITS = 22
};

#define WARM_BYTES_MAX ((uint64_t)4 << 30)

/* An engine's share in a round. */
struct seat {
    struct bench_worker worker;
    const struct bench_driver *driver;
    char directory[PATH_MAX];
    struct bench_setup setup;
    struct bench_model *model;
};

struct round {
    struct bench_conduct *conduct;
    const struct bench_round *plan;
    struct bench_zipf zipf;
    struct seat seats[BENCH_ENGINES_MAX];
    unsigned seat_count;
    unsigned repeat;
};

/* What a step asks of each engine. */
struct step {
    struct bench_row row;
    struct bench_order order;
    bool untold;   /* it belongs to no row */
    bool measured; /* memory and disk as well */
};

static volatile sig_atomic_t interrupted;

void bench_conduct_interrupt(void)
{
    interrupted = 1;
}

static void show(const struct round *round, const char *what, unsigned threads,
                 const char *engine)
{
    bool terminal = isatty(STDERR_FILENO);

    if (round->conduct->progress || terminal)
        fprintf(stderr,
                "%sbitcask-bench: repeat %u of %u, %llu keys, %s, %u thread%s, %s%s",
                terminal ? "\r\033[K" : "", round->repeat + 1, round->plan->repeats,
                (unsigned long long)round->plan->key_count, what, threads,
                threads == 1 ? "" : "s", engine, terminal ? "" : "\n");
}

static void hide(void)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}

static void say_failure(struct round *round, const struct seat *seat, const char *what,
                        const char *words)
{
    hide();
    if (!interrupted)
        fprintf(stderr, "bitcask-bench: %s: %s: %s\n", seat->driver->name, what, words);
    round->conduct->failed = true;
}

static uint64_t smaller(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static const char *name_of(const struct step *step)
{
    return step->untold ? "preparation" : bench_workloads[step->row.workload].name;
}

static bool ask(struct round *round, struct seat *seat, enum bench_action action,
                struct bench_report *report)
{
    struct bench_order order = { .action = action,
                                 .task = { .ns_max = round->plan->ns_max * 2 } };

    if (seat->worker.process == 0)
        return false;
    if (bench_worker_ask(&seat->worker, &order, report))
        return true;
    say_failure(round, seat,
                action == BENCH_OPEN    ? "open"
                : action == BENCH_CHECK ? "check"
                : action == BENCH_CLOSE ? "close"
                                        : "preparation",
                report->words);
    return false;
}

static void fill_figures(double *figures, const struct bench_outcome *outcome, bool timed)
{
    const struct bench_histogram *histogram = &outcome->histogram;

    if (timed) {
        if (outcome->ns > 0)
            figures[BENCH_F_MS] = (double)outcome->ns / 1e6;
        return;
    }
    figures[BENCH_F_RATE] = (double)outcome->key_count * 1e9 / (double)outcome->ns;
    if (outcome->control_gap_ns > 0)
        figures[BENCH_F_CONTROL_NS] = (double)outcome->control_gap_ns;
    if (histogram->count == 0)
        return;
    figures[BENCH_F_P50_NS] = (double)bench_histogram_part(histogram, 0.5);
    figures[BENCH_F_P99_NS] = (double)bench_histogram_part(histogram, 0.99);
    figures[BENCH_F_P999_NS] = (double)bench_histogram_part(histogram, 0.999);
    figures[BENCH_F_P9999_NS] = (double)bench_histogram_part(histogram, 0.9999);
    figures[BENCH_F_MAX_NS] = (double)histogram->max_ns;
}

static void take_measures(struct round *round, struct seat *seat, double *figures)
{
    static struct bench_report report;
    double keys = (double)seat->model->key_count;

    if (!ask(round, seat, BENCH_MEASURE, &report))
        return;
    figures[BENCH_F_MEMORY] = (double)report.anonymous_size / keys;
    figures[BENCH_F_DISK] = (double)report.disk_size /
                            (keys * (double)(BENCH_KEY_SIZE + seat->setup.value_size));
}

static bool writes(const struct step *step)
{
    enum bench_operation operation = step->order.task.operation;

    return step->order.action == BENCH_RUN &&
           (operation <= BENCH_PUT_ANY ||
            (operation >= BENCH_MIX_HALF && operation <= BENCH_REMOVE));
}

/* About as much memory as an engine may take in @step, for files and for itself. */
static uint64_t memory_of(const struct round *round, const struct seat *seat,
                          const struct step *step)
{
    uint64_t pair_size = 2 * (BENCH_KEY_SIZE + seat->setup.value_size + 64);
    uint64_t pair_count = round->plan->key_count; /* for who opens, scans, merges */

    if (step->order.action == BENCH_RUN && step->order.task.operation != BENCH_SCAN)
        pair_count = writes(step) ? step->order.task.operation_count : 0;
    return smaller(pair_count * pair_size, WARM_BYTES_MAX);
}

/* Have one engine do @step. False: it failed and is out. */
static bool do_step(struct round *round, struct seat *seat, const struct step *step)
{
    static struct bench_report report;
    double figures[BENCH_F_COUNT];
    struct bench_cell *result;

    if (seat->worker.process == 0 || interrupted)
        return false;
    show(round, name_of(step), step->row.threads, seat->driver->name);
    bench_system_warm_memory(memory_of(round, seat, step), &interrupted);
    if (interrupted)
        return false;
    if (!bench_worker_ask(&seat->worker, &step->order, &report)) {
        say_failure(round, seat, name_of(step), report.words);
        return false;
    }
    if (step->untold)
        return true;
    for (unsigned i = 0; i < BENCH_F_COUNT; i++)
        figures[i] = NAN;
    fill_figures(figures, &report.outcome, bench_workloads[step->row.workload].timed);
    if (step->measured)
        take_measures(round, seat, figures);
    result = bench_results_add(round->conduct->results, step->row, seat->driver,
                               round->repeat);
    if (result != NULL)
        memcpy(result->figures, figures, sizeof figures);
    return result != NULL;
}

/* The engine whose turn it is as the @i-th: another one begins in each repeat. */
static struct seat *seat_at(struct round *round, unsigned i)
{
    return &round->seats[(i + round->repeat) % round->seat_count];
}

/* Have every engine do @step, one after the other. What they write is on the disk before
   the next one begins. */
static void do_step_each(struct round *round, const struct step *step)
{
    for (unsigned i = 0; i < round->seat_count; i++)
        if (do_step(round, seat_at(round, i), step) && writes(step))
            bench_system_sync(round->conduct->directory);
}

static bool start(struct round *round, struct seat *seat)
{
    if (bench_worker_start(&seat->worker, seat->driver, &seat->setup, seat->model,
                           &round->zipf))
        return true;
    say_failure(round, seat, "start", strerror(errno));
    return false;
}

/* A process with an empty store of the engine. */
static bool sit_down(struct round *round, struct seat *seat, enum bench_key_order order,
                     uint64_t key_count, struct bench_setup setup)
{
    static struct bench_report report;

    snprintf(seat->directory, sizeof seat->directory, "%s/%s", round->conduct->directory,
             seat->driver->name);
    seat->setup = setup;
    seat->setup.directory = seat->directory;
    seat->setup.expected_keys = key_count;
    seat->setup.key_size = BENCH_KEY_SIZE;
    seat->model = bench_model_create(order, key_count, SAMPLED_KEYS_MAX);
    if (seat->model == NULL || mkdir(seat->directory, 0777) != 0) {
        say_failure(round, seat, "start", strerror(errno));
        return false;
    }
    return start(round, seat) && ask(round, seat, BENCH_OPEN, &report);
}

static void stand_up(struct round *round, struct seat *seat)
{
    static struct bench_report report;

    if (!interrupted)
        ask(round, seat, BENCH_CLOSE, &report);
    bench_worker_kill(&seat->worker);
    bench_model_release(seat->model);
    seat->model = NULL;
    if (seat->directory[0] != 0)
        bench_system_remove(seat->directory);
    seat->directory[0] = 0;
}

static struct step step_of(const struct round *round, enum bench_workload_id workload,
                           unsigned threads)
{
    uint64_t count = round->plan->operations_max;
    enum bench_operation operation = bench_workloads[workload].operation;

    if (operation == BENCH_GET_MANY)
        count /= BENCH_MANY;
    if (operation == BENCH_REMOVE)
        count = smaller(count, round->plan->key_count);
    return (struct step){
        .row = { workload, threads, round->plan->key_count },
        .order = { BENCH_RUN,
                   { .operation = operation,
                     .threads = threads,
                     .operation_count = count,
                     .ns_max = round->plan->ns_max,
                     .sample_interval =
                         operation == BENCH_GET_MANY ? 1 : SAMPLE_INTERVAL } },
    };
}

/* The same for what is not told: @operation by @threads, as @part of what a step does. */
static struct step preparation(const struct round *round, enum bench_operation operation,
                               unsigned threads, unsigned part)
{
    struct step step = step_of(round, BENCH_W_GET, threads);

    step.untold = true;
    step.order.task.operation = operation;
    step.order.task.operation_count /= part;
    step.order.task.ns_max /= part;
    return step;
}

/* Run a workload on what is there, with each number of threads that is wanted. */
static void run_workload(struct round *round, enum bench_workload_id id)
{
    const struct bench_workload *workload = &bench_workloads[id];

    if (!round->plan->workloads[id])
        return;
    for (unsigned i = 0; i < 4 && workload->threads[i] != 0 && !interrupted; i++) {
        unsigned threads = workload->threads[i];
        struct step step = step_of(round, id, threads);
        struct step warm = preparation(
            round,
            workload->operation == BENCH_REMOVE ? BENCH_PUT_ANY : workload->operation,
            threads, 4);

        if (!round->conduct->threads[threads])
            continue;
        step.measured = writes(&step);
        for (unsigned k = 0; k < round->seat_count && !interrupted; k++) {
            struct seat *seat = seat_at(round, k);

            /* Pages that were written to the disk are slow to be changed again, once. */
            if (step.measured && !do_step(round, seat, &warm))
                continue;
            if (do_step(round, seat, &step) && step.measured)
                bench_system_sync(round->conduct->directory);
        }
    }
}

static void fill(struct round *round)
{
    static struct bench_report report;
    struct step step = step_of(round, BENCH_W_FILL_RANDOM, 1);

    step.order.task.operation_count = round->plan->key_count;
    step.order.task.ns_max = 0;
    step.untold = !round->plan->workloads[BENCH_W_FILL_RANDOM];
    for (unsigned i = 0; i < round->seat_count; i++) {
        struct seat *seat = seat_at(round, i);
        struct bench_results *results = round->conduct->results;

        if (!do_step(round, seat, &step) || !ask(round, seat, BENCH_SETTLE, &report) ||
            step.untold)
            continue;
        take_measures(round, seat, results->items[results->count - 1].figures);
    }
}

/* Open again after @end, and tell how long it took. */
static void reopen(struct round *round, enum bench_workload_id id)
{
    static struct bench_report report;
    struct step open = { .row = { id, 1, round->plan->key_count },
                         .order = { .action = BENCH_OPEN } };
    struct step burst = preparation(round, BENCH_PUT_ANY, 1, 1);

    if (!round->plan->workloads[id])
        return;
    burst.order.task.ns_max = 0;
    burst.order.task.operation_count =
        smaller(BURST_KEYS_MAX, round->plan->key_count / 10 + 1);
    for (unsigned i = 0; i < round->seat_count && !interrupted; i++) {
        struct seat *seat = seat_at(round, i);

        if (id == BENCH_W_OPEN_AFTER_KILL) {
            if (!do_step(round, seat, &burst))
                continue;
            bench_worker_kill(&seat->worker);
        } else if (!ask(round, seat, BENCH_CLOSE, &report))
            continue;
        bench_system_sync(round->conduct->directory);
        if (start(round, seat) && do_step(round, seat, &open))
            ask(round, seat, BENCH_CHECK, &report);
    }
}

static void merge(struct round *round)
{
    struct step step = { .row = { BENCH_W_MERGE, 1, round->plan->key_count },
                         .order = { .action = BENCH_MERGE },
                         .measured = true };

    if (!round->plan->workloads[BENCH_W_MERGE])
        return;
    for (unsigned i = 0; i < round->seat_count && !interrupted; i++)
        if (seat_at(round, i)->driver->merge != NULL)
            do_step(round, seat_at(round, i), &step);
}

/* Everything that is done with one store of each engine, all of them open at once. */
static void run_common_store(struct round *round)
{
    static const enum bench_workload_id reads[] = { BENCH_W_GET, BENCH_W_GET_MISS,
                                                    BENCH_W_GET_ZIPF, BENCH_W_MULTI_GET,
                                                    BENCH_W_SCAN };
    static const enum bench_workload_id others[] = {
        BENCH_W_FILL_RANDOM,      BENCH_W_HALF_AND_HALF, BENCH_W_READS_95,
        BENCH_W_OVERWRITE,        BENCH_W_MERGE,         BENCH_W_OPEN_AFTER_KILL,
        BENCH_W_OPEN_AFTER_CLOSE, BENCH_W_DELETE
    };
    struct bench_setup setup = { .value_size = round->conduct->value_size,
                                 .threads = 2,
                                 .durability = BENCH_SURVIVES_KILL };
    bool reading = false, wanted = false;

    for (unsigned i = 0; i < sizeof reads / sizeof *reads; i++)
        reading = reading || round->plan->workloads[reads[i]];
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        wanted = wanted || round->plan->workloads[others[i]];
    if (!reading && !wanted)
        return;

    for (unsigned i = 0; i < round->seat_count; i++)
        sit_down(round, &round->seats[i], BENCH_KEYS_SCATTERED, round->plan->key_count,
                 setup);
    fill(round);
    if (reading) {
        struct step all = preparation(round, BENCH_GET_NEXT, 2, 1);

        all.order.task.operation_count = round->plan->key_count;
        all.order.task.ns_max = 0;
        do_step_each(round, &all);
    }
    for (unsigned i = 0; i < sizeof reads / sizeof *reads; i++)
        run_workload(round, reads[i]);
    run_workload(round, BENCH_W_HALF_AND_HALF);
    run_workload(round, BENCH_W_READS_95);
    run_workload(round, BENCH_W_OVERWRITE);
    merge(round);
    reopen(round, BENCH_W_OPEN_AFTER_KILL);
    reopen(round, BENCH_W_OPEN_AFTER_CLOSE);
    run_workload(round, BENCH_W_DELETE);
    for (unsigned i = 0; i < round->seat_count; i++)
        stand_up(round, &round->seats[i]);
}

/* What a fill with a store of its own is like, and what is read of it then. */
struct own_fill {
    enum bench_workload_id id;
    enum bench_workload_id then; /* or the same: nothing */
    size_t value_size;           /* 0: as everywhere */
    enum bench_durability durability;
    bool control;
};

static const struct own_fill own_fills[] = {
    { BENCH_W_FILL_SEQ, BENCH_W_FILL_SEQ, 0, BENCH_SURVIVES_KILL, false },
    { BENCH_W_FILL_RANDOM, BENCH_W_FILL_RANDOM, 0, BENCH_SURVIVES_KILL, false },
    { BENCH_W_BIG_4K, BENCH_W_BIG_4K_GET, 4096, BENCH_SURVIVES_KILL, false },
    { BENCH_W_BIG_64K, BENCH_W_BIG_64K_GET, 65536, BENCH_SURVIVES_KILL, false },
    { BENCH_W_DURABLE_FILL, BENCH_W_DURABLE_FILL, 0, BENCH_SURVIVES_POWER, false },
    { BENCH_W_STALLS, BENCH_W_STALLS, 0, BENCH_SURVIVES_KILL, true },
};

static uint64_t keys_of(const struct round *round, const struct own_fill *own)
{
    uint64_t count = round->plan->key_count;

    if (own->durability == BENCH_SURVIVES_POWER)
        return smaller(count, DURABLE_KEYS_MAX);
    if (own->value_size != 0)
        return smaller(count / (own->value_size / 128) + 1,
                       BIG_BYTES_MAX / own->value_size);
    return count;
}

static void run_own_fill(struct round *round, const struct own_fill *own,
                         unsigned threads)
{
    struct step step = step_of(round, own->id, threads);
    struct step all = preparation(round, BENCH_GET_NEXT, 1, 1);
    struct step then = step_of(round, own->then, threads);
    struct bench_setup setup = {
        .value_size = own->value_size != 0 ? own->value_size : round->conduct->value_size,
        .threads = threads,
        .durability = own->durability,
    };

    step.row.key_count = keys_of(round, own);
    then.row.key_count = step.row.key_count;
    step.order.task.operation_count = step.row.key_count;
    all.order.task.operation_count = step.row.key_count;
    all.order.task.ns_max = 0;
    if (own->durability != BENCH_SURVIVES_POWER)
        step.order.task.ns_max = 0;
    if (own->durability == BENCH_SURVIVES_POWER || own->value_size != 0 || own->control)
        step.order.task.sample_interval = 1;
    step.order.task.control = own->control;
    step.measured = own->durability != BENCH_SURVIVES_POWER;
    for (unsigned i = 0; i < round->seat_count && !interrupted; i++) {
        struct seat *seat = seat_at(round, i);

        bench_system_sync(round->conduct->directory);
        if (sit_down(round, seat,
                     own->id == BENCH_W_FILL_SEQ ? BENCH_KEYS_ASCENDING
                                                 : BENCH_KEYS_SCATTERED,
                     step.row.key_count, setup) &&
            do_step(round, seat, &step) && own->then != own->id &&
            round->plan->workloads[own->then] && do_step(round, seat, &all))
            do_step(round, seat, &then);
        stand_up(round, seat);
    }
}

static void run_own_fills(struct round *round)
{
    for (size_t i = 0; i < sizeof own_fills / sizeof *own_fills; i++) {
        const struct own_fill *own = &own_fills[i];
        const unsigned *threads = bench_workloads[own->id].threads;

        if (!round->plan->workloads[own->id] && !round->plan->workloads[own->then])
            continue;
        for (unsigned k = 0; k < 4 && threads[k] != 0 && !interrupted; k++)
            /* The one fill with one thread is the one that all else goes on with. */
            if (round->conduct->threads[threads[k]] &&
                !(own->id == BENCH_W_FILL_RANDOM && threads[k] == 1))
                run_own_fill(round, own, threads[k]);
    }
}

static bool run_round(struct bench_conduct *conduct, const struct bench_round *plan,
                      unsigned repeat)
{
    struct round *round = calloc(1, sizeof *round);
    bool good = round != NULL && plan->key_count > 0 &&
                bench_zipf_init(&round->zipf, plan->key_count, ZIPF_BITS);

    if (good) {
        round->conduct = conduct;
        round->plan = plan;
        round->repeat = repeat;
        for (unsigned i = 0; bench_drivers[i] != NULL; i++)
            if (plan->engines[i])
                round->seats[round->seat_count++].driver = bench_drivers[i];
        if (round->seat_count > 0) {
            run_common_store(round);
            if (!plan->common_only)
                run_own_fills(round);
        }
        bench_zipf_release(&round->zipf);
    } else {
        fprintf(stderr, "bitcask-bench: there is no memory for %llu keys\n",
                (unsigned long long)plan->key_count);
    }
    free(round);
    return good;
}

bool bench_conduct(struct bench_conduct *conduct)
{
    bool good = true, going = true;

    for (unsigned i = 0; going; i++) {
        going = false;
        for (size_t k = 0; k < conduct->round_count && good && !interrupted; k++)
            if (i < conduct->rounds[k].repeats) {
                going = true;
                good = run_round(conduct, &conduct->rounds[k], i);
            }
    }
    hide();
    if (interrupted)
        fprintf(stderr, "bitcask-bench: interrupted\n");
    return good && !interrupted;
}
