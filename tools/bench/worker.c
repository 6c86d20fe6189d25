/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include "system.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The inside of the process. */
struct inside {
    struct bench_subject subject;
    const struct bench_setup *setup;
    uint64_t anonymous_before;
};

static bool transfer(int socket, void *data, size_t size, bool out)
{
    char *bytes = data;

    while (size > 0) {
        ssize_t count =
            out ? send(socket, bytes, size, MSG_NOSIGNAL) : recv(socket, bytes, size, 0);

        if (count <=
            0) /* a signal ends it, too: only one that wants us to end is caught */
            return false;
        bytes += count;
        size -= (size_t)count;
    }
    return true;
}

static bool fail(struct inside *inside, struct bench_report *report, const char *what)
{
    snprintf(report->words, sizeof report->words, "%s: %s", what,
             inside->subject.driver->error());
    return false;
}

/* Some engines do the work of opening only when they are first asked. */
static bool get_one(struct inside *inside, struct bench_report *report)
{
    const struct bench_driver *driver = inside->subject.driver;
    struct bench_value value = { 0 };
    uint8_t key[BENCH_KEY_SIZE];
    uint64_t version;
    void *session;
    enum bench_result result;
    bool good;

    if (driver->attach(inside->subject.store, &session) != BENCH_OK)
        return fail(inside, report, "attach");
    bench_key_make(inside->subject.model->order, 0, key);
    result = driver->get(session, (struct bench_bytes){ key, sizeof key }, &value);
    good = result == BENCH_OK && value.size == inside->subject.value_size &&
           bench_value_check(0, value.data, value.size, &version);
    if (!good)
        snprintf(report->words, sizeof report->words, "get of key 0 after open: %s",
                 result == BENCH_ERROR     ? driver->error()
                 : result == BENCH_MISSING ? "it is missing"
                                           : "a value that was never put for it");
    free(value.data);
    driver->detach(session);
    return good;
}

static bool open_store(struct inside *inside, struct bench_report *report)
{
    uint64_t begin_ns;

    inside->anonymous_before = bench_system_anonymous();
    begin_ns = bench_clock_ns();
    if (inside->subject.driver->open(inside->setup, &inside->subject.store) != BENCH_OK)
        return fail(inside, report, "open");
    if (inside->subject.model->whole && !get_one(inside, report))
        return false;
    report->outcome.ns = bench_clock_ns() - begin_ns;
    return true;
}

static bool merge(struct inside *inside, struct bench_report *report)
{
    uint64_t begin_ns = bench_clock_ns();

    if (inside->subject.driver->merge == NULL)
        return true;
    if (inside->subject.driver->merge(inside->subject.store) != BENCH_OK)
        return fail(inside, report, "merge");
    report->outcome.ns = bench_clock_ns() - begin_ns;
    return true;
}

static void settle(uint64_t ns_max)
{
    const struct timespec moment = { 0, 50 * 1000 * 1000 };
    uint64_t begin_ns = bench_clock_ns(), busy_ns = bench_system_busy_ns();

    for (unsigned quiet = 0; quiet < 2 && bench_clock_ns() - begin_ns < ns_max;) {
        uint64_t before_ns = busy_ns;

        nanosleep(&moment, NULL);
        busy_ns = bench_system_busy_ns();
        quiet = busy_ns - before_ns < 5 * 1000 * 1000 ? quiet + 1 : 0;
    }
}

static void measure(struct inside *inside, struct bench_report *report)
{
    uint64_t now = bench_system_anonymous();

    report->anonymous_size =
        now > inside->anonymous_before ? now - inside->anonymous_before : 0;
    report->disk_size = bench_system_disk(inside->setup->directory);
}

static bool obey(struct inside *inside, const struct bench_order *order,
                 struct bench_report *report)
{
    void *store = inside->subject.store;

    switch (order->action) {
    case BENCH_OPEN:
        return open_store(inside, report);
    case BENCH_RUN:
        return bench_run(&inside->subject, &order->task, &report->outcome, report->words,
                         sizeof report->words);
    case BENCH_CHECK:
        return bench_run_check(&inside->subject, report->words, sizeof report->words);
    case BENCH_SETTLE:
        settle(order->task.ns_max);
        bench_system_sync(inside->setup->directory);
        return true;
    case BENCH_MERGE:
        return merge(inside, report);
    case BENCH_MEASURE:
        measure(inside, report);
        return true;
    case BENCH_CLOSE:
        inside->subject.store = NULL;
        return inside->subject.driver->close(store) == BENCH_OK ||
               fail(inside, report, "close");
    }
    return true;
}

static void serve(struct inside *inside, int socket)
{
    struct bench_order order;
    static struct bench_report report;

    do {
        if (!transfer(socket, &order, sizeof order, false))
            return;
        memset(&report, 0, sizeof report);
        report.good = obey(inside, &order, &report);
        if (!transfer(socket, &report, sizeof report, true))
            return;
    } while (report.good && order.action != BENCH_CLOSE);
}

bool bench_worker_start(struct bench_worker *worker, const struct bench_driver *driver,
                        const struct bench_setup *setup, struct bench_model *model,
                        const struct bench_zipf *zipf)
{
    struct inside inside = { .subject = { driver, NULL, setup->value_size, model, zipf },
                             .setup = setup };
    pid_t parent = getpid();
    int sockets[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return false;
    fflush(NULL); /* or both would print it */
    *worker = (struct bench_worker){ driver, fork(), sockets[0] };
    if (worker->process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) {
            signal(SIGINT, SIG_DFL);
            signal(SIGTERM, SIG_DFL);
            close(sockets[0]);
            serve(&inside, sockets[1]);
        }
        _exit(0);
    }
    close(sockets[1]);
    if (worker->process < 0) {
        close(sockets[0]);
        worker->process = 0;
        return false;
    }
    return true;
}

/* What became of it, in words, if it has ended by itself. */
static void describe_end(struct bench_worker *worker, struct bench_report *report)
{
    int status = 0;

    kill(worker->process, SIGKILL);
    if (waitpid(worker->process, &status, 0) > 0 && WIFSIGNALED(status) &&
        WTERMSIG(status) != SIGKILL)
        snprintf(report->words, sizeof report->words, "its process died: %s",
                 strsignal(WTERMSIG(status)));
    else
        snprintf(report->words, sizeof report->words, "its process ended");
    close(worker->socket);
    worker->process = 0;
}

bool bench_worker_ask(struct bench_worker *worker, const struct bench_order *order,
                      struct bench_report *report)
{
    struct bench_order copy = *order;

    kill(worker->process, SIGCONT);
    if (!transfer(worker->socket, &copy, sizeof copy, true) ||
        !transfer(worker->socket, report, sizeof *report, false)) {
        memset(report, 0, sizeof *report);
        describe_end(worker, report);
        return false;
    }
    if (!report->good)
        bench_worker_kill(worker);
    else if (order->action == BENCH_CLOSE) {
        waitpid(worker->process, NULL, 0);
        close(worker->socket);
        worker->process = 0;
    } else
        kill(worker->process, SIGSTOP);
    return report->good;
}

void bench_worker_kill(struct bench_worker *worker)
{
    if (worker->process == 0)
        return;
    kill(worker->process, SIGKILL);
    waitpid(worker->process, NULL, 0);
    close(worker->socket);
    worker->process = 0;
}
