/* SPDX-License-Identifier: MIT */
/*
 * A process of its own for each store: it does what it is asked, one order at a time, and
 * is stopped in between, so that no engine works while another is measured. It ends with
 * whoever started it.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include "run.h"

#include <sys/types.h>

enum bench_action {
    BENCH_OPEN,   /* the store, and get a key if there are some; the outcome's ns */
    BENCH_RUN,    /* the task */
    BENCH_CHECK,  /* read back what the model follows */
    BENCH_SETTLE, /* until it has nothing to do, or the task's ns_max has passed */
    BENCH_MERGE,  /* the outcome's ns */
    BENCH_MEASURE,
    BENCH_CLOSE /* and end the process */
};

struct bench_order {
    enum bench_action action;
    struct bench_task task;
};

struct bench_report {
    bool good;
    char words[512]; /* of the failure */
    struct bench_outcome outcome;
    uint64_t anonymous_size; /* of BENCH_MEASURE: that came since the store was opened */
    uint64_t disk_size;
};

/* Zeroed is one that does not run. */
struct bench_worker {
    const struct bench_driver *driver;
    pid_t process; /* 0: none */
    int socket;
};

/*
 * Start a process for @driver. What @setup, @model and @zipf point to stays as it is
 * until it has ended. False: the system said no.
 */
bool bench_worker_start(struct bench_worker *worker, const struct bench_driver *driver,
                        const struct bench_setup *setup, struct bench_model *model,
                        const struct bench_zipf *zipf);

/* Have it do @order. False: it failed, and is gone; report->words says why. */
bool bench_worker_ask(struct bench_worker *worker, const struct bench_order *order,
                      struct bench_report *report);

/* kill -9, in the midst of whatever it does. Nothing if it does not run. */
void bench_worker_kill(struct bench_worker *worker);

#endif
