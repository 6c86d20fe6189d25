/* SPDX-License-Identifier: MIT */
#include "bench/report.h"

#include "bench/conduct.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bitcask/bitcask.h>

enum {
    EXIT_USAGE = 64,
    PATH_SIZE = 2048,
    COMMAND_SIZE = 1024
};

static int list(void)
{
    printf("engines:\n");
    for (unsigned i = 0; bench_drivers[i] != NULL; i++)
        printf("  %s %s\n", bench_drivers[i]->name, bench_drivers[i]->version());
    printf("workloads, and with how many threads:\n");
    for (unsigned i = 0; i < BENCH_W_COUNT; i++) {
        const struct bench_workload *workload = &bench_workloads[i];
        char threads[32] = "";

        for (unsigned k = 0; k < 4 && workload->threads[k] != 0; k++)
            snprintf(threads + strlen(threads), sizeof threads - strlen(threads), "%s%u",
                     k > 0 ? "," : "", workload->threads[k]);
        printf("  %-17s %-7s %s\n", workload->name, threads, workload->text);
    }
    if (fflush(stdout) == 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "bitcask-bench: standard output: %s\n", strerror(errno));
    return EXIT_FAILURE;
}

static void on_signal(int number)
{
    (void)number;
    bench_conduct_interrupt();
}

/* A call that waits must end with EINTR. */
static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static void join_words(char command[COMMAND_SIZE], int argc, char **argv)
{
    size_t size = (size_t)snprintf(command, COMMAND_SIZE, "bitcask-bench");

    for (int i = 1; i < argc && size < COMMAND_SIZE - 1; i++)
        size += (size_t)snprintf(command + size, COMMAND_SIZE - size, " %s", argv[i]);
}

typedef void report_function(const struct bench_report_facts *facts, FILE *file);

/*
 * A file that was asked for. It is opened before anything is measured, since that takes
 * long; what it held stays until there is something to replace it.
 */
struct report_file {
    const char *path; /* NULL: not asked for */
    report_function *write;
    FILE *file;
    bool created; /* by us, and nothing is in it yet */
};

static bool say_unwritable(const char *path)
{
    fprintf(stderr, "bitcask-bench: %s cannot be written: %s\n", path, strerror(errno));
    return false;
}

static bool open_files(struct report_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (files[i].path == NULL)
            continue;
        files[i].created = access(files[i].path, F_OK) != 0;
        files[i].file = fopen(files[i].path, "ae");
        if (files[i].file == NULL)
            return say_unwritable(files[i].path);
    }
    return true;
}

/* Write all files and standard output. */
static bool report_all(const struct bench_report_facts *facts, struct report_file *files,
                       size_t count)
{
    bool good = true;

    for (size_t i = 0; i < count; i++) {
        if (files[i].file == NULL)
            continue;
        if (ftruncate(fileno(files[i].file), 0) != 0 && errno != EINVAL) /* a pipe */
            good = say_unwritable(files[i].path);
        files[i].created = false;
        files[i].write(facts, files[i].file);
        if (fflush(files[i].file) != 0 || ferror(files[i].file))
            good = say_unwritable(files[i].path);
    }
    bench_report_text(facts, stdout);
    if (fflush(stdout) != 0 || ferror(stdout))
        good = say_unwritable("standard output");
    return good;
}

static void close_files(struct report_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (files[i].file == NULL)
            continue;
        fclose(files[i].file);
        if (files[i].created)
            (void)remove(files[i].path);
    }
}

static bool measure(const struct bench_options *options, const char *directory,
                    const char *command)
{
    struct bench_results results = { 0 };
    struct bench_conduct conduct = { .directory = directory,
                                     .rounds = options->rounds,
                                     .round_count = options->round_count,
                                     .value_size = options->value_size,
                                     .progress = options->progress,
                                     .results = &results };
    struct bench_report_facts facts = { .options = options,
                                        .results = &results,
                                        .costs = bench_costs_measure(options->value_size),
                                        .command = command };
    struct report_file files[] = {
        { options->json, bench_report_json, NULL, false },
        { options->markdown, bench_report_markdown, NULL, false },
        { options->svg, bench_report_svg, NULL, false },
    };
    size_t file_count = sizeof files / sizeof *files;
    time_t now = time(NULL);
    char text[64];
    bool good;

    strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", gmtime(&now));
    facts.time = text;
    bench_system_describe(&facts.machine, directory);
    memcpy(conduct.threads, options->threads, sizeof conduct.threads);
    good = open_files(files, file_count) && bench_conduct(&conduct) &&
           report_all(&facts, files, file_count) && !conduct.failed;
    close_files(files, file_count);
    bench_results_release(&results);
    return good;
}

int main(int argc, char **argv)
{
    static struct bench_options options;
    char directory[PATH_SIZE], command[COMMAND_SIZE];
    const char *parent;
    bool good;

    join_words(command, argc, argv);
    if (!bench_options_parse(&options, argc, argv))
        return EXIT_USAGE;
    if (options.mode == BENCH_MODE_HELP) {
        fputs(bench_help, stdout);
        return EXIT_SUCCESS;
    }
    if (options.mode == BENCH_MODE_VERSION) {
        printf("bitcask-bench %s\n", bitcask_version());
        return EXIT_SUCCESS;
    }
    if (options.mode == BENCH_MODE_LIST)
        return list();

    parent = options.directory != NULL ? options.directory : getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/bitcask-bench.XXXXXX",
             parent != NULL && parent[0] != 0 ? parent : "/tmp");
    if (mkdtemp(directory) == NULL) {
        fprintf(stderr, "bitcask-bench: %s cannot be made: %s\n", directory,
                strerror(errno));
        return EXIT_FAILURE;
    }
    catch_signals();
    good = measure(&options, directory, command);
    if (!bench_system_remove(directory))
        fprintf(stderr, "bitcask-bench: %s cannot be removed\n", directory);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
