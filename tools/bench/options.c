/* SPDX-License-Identifier: MIT */
#include "options.h"

#include "contents.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum size_of_run {
    RUN_ORDINARY,
    RUN_QUICK,
    RUN_FULL
};

/* What is given, before it is made into rounds. */
struct given {
    enum size_of_run size;
    const char *engines;
    const char *workloads;
    const char *threads;
    const char *keys;
    uint64_t operations;
    uint64_t repeats;
    double seconds;
    uint64_t value_size;
};

#define WORKLOAD(id) (UINT32_C(1) << (id))

enum {
    MILLION = 1000000
};

static bool say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool say(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "bitcask-bench: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nbitcask-bench: see bitcask-bench --help\n");
    return false;
}

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    return *number != 0 && errno == 0 && *end == 0 && *number >= min && *number <= max;
}

/* The next word of a list with commas, or false at its end. */
static bool next_word(const char **list, const char **word, size_t *size)
{
    if (*list == NULL)
        return false;
    *word = *list;
    *size = strcspn(*list, ",");
    *list = (*list)[*size] == ',' ? *list + *size + 1 : NULL;
    return true;
}

static bool choose_engines(const char *list, bool engines[BENCH_ENGINES_MAX])
{
    const char *word;
    size_t size;

    for (unsigned i = 0; bench_drivers[i] != NULL; i++)
        engines[i] = list == NULL;
    while (next_word(&list, &word, &size)) {
        unsigned i = 0;

        while (bench_drivers[i] != NULL && (strlen(bench_drivers[i]->name) != size ||
                                            memcmp(bench_drivers[i]->name, word, size)))
            i++;
        if (bench_drivers[i] == NULL)
            return say("there is no engine %.*s: bitcask-bench --list has those that are",
                       (int)size, word);
        engines[i] = true;
    }
    return true;
}

static bool choose_workloads(const char *list, bool workloads[BENCH_W_COUNT])
{
    const char *word;
    size_t size;

    for (unsigned i = 0; i < BENCH_W_COUNT; i++)
        workloads[i] = list == NULL;
    while (next_word(&list, &word, &size)) {
        enum bench_workload_id id = bench_workload_find(word, size);

        if (id == BENCH_W_COUNT)
            return say("there is no workload %.*s: bitcask-bench --list has those that "
                       "are",
                       (int)size, word);
        workloads[id] = true;
    }
    return true;
}

static bool choose_threads(const char *list, bool threads[BENCH_THREADS_MAX + 1])
{
    const char *word;
    size_t size;

    for (unsigned i = 1; i <= BENCH_THREADS_MAX; i++)
        threads[i] = list == NULL;
    while (next_word(&list, &word, &size)) {
        uint64_t count;
        char text[8];

        snprintf(text, sizeof text, "%.*s", (int)(size < 8 ? size : 7), word);
        if (!parse_number(text, 1, BENCH_THREADS_MAX, &count))
            return say("--threads takes numbers from 1 to 64, not %.*s", (int)size, word);
        threads[count] = true;
    }
    return true;
}

static struct bench_round *add_round(struct bench_options *options, uint64_t key_count,
                                     uint64_t operations, double seconds,
                                     unsigned repeats)
{
    struct bench_round *round = &options->rounds[options->round_count++];

    *round = (struct bench_round){ .key_count = key_count,
                                   .operations_max = operations,
                                   .ns_max = (uint64_t)(seconds * 1e9),
                                   .repeats = repeats };
    return round;
}

/* A round of what the table of targets needs: @workloads, by all engines or by a list. */
static void add_full_round(struct bench_options *options, uint64_t key_count,
                           unsigned repeats, const char *engines, uint32_t workloads)
{
    struct bench_round *round = add_round(options, key_count, 2 * MILLION, 2, repeats);

    choose_engines(NULL, round->engines);
    for (unsigned i = 0; engines != NULL && bench_drivers[i] != NULL; i++) {
        const char *at = engines, *word;
        size_t size;

        round->engines[i] = false;
        while (next_word(&at, &word, &size))
            if (strlen(bench_drivers[i]->name) == size &&
                memcmp(bench_drivers[i]->name, word, size) == 0)
                round->engines[i] = true;
    }
    for (unsigned i = 0; i < BENCH_W_COUNT; i++)
        round->workloads[i] = (workloads & WORKLOAD(i)) != 0;
}

static void add_full_rounds(struct bench_options *options)
{
    add_full_round(options, 10 * MILLION, 3, "bitcask,bitcask-nomerge,lmdb,tkrzw,kyoto",
                   WORKLOAD(BENCH_W_FILL_RANDOM) | WORKLOAD(BENCH_W_GET) |
                       WORKLOAD(BENCH_W_GET_MISS) | WORKLOAD(BENCH_W_GET_ZIPF) |
                       WORKLOAD(BENCH_W_MULTI_GET) | WORKLOAD(BENCH_W_SCAN) |
                       WORKLOAD(BENCH_W_HALF_AND_HALF) | WORKLOAD(BENCH_W_READS_95) |
                       WORKLOAD(BENCH_W_OPEN_AFTER_KILL) |
                       WORKLOAD(BENCH_W_OPEN_AFTER_CLOSE));
    options->rounds[options->round_count - 1].common_only = true;
    add_full_round(options, MILLION, 3, NULL,
                   WORKLOAD(BENCH_W_FILL_SEQ) | WORKLOAD(BENCH_W_FILL_RANDOM) |
                       WORKLOAD(BENCH_W_OVERWRITE) | WORKLOAD(BENCH_W_GET) |
                       WORKLOAD(BENCH_W_SCAN) | WORKLOAD(BENCH_W_DELETE) |
                       WORKLOAD(BENCH_W_MERGE) | WORKLOAD(BENCH_W_BIG_4K) |
                       WORKLOAD(BENCH_W_BIG_4K_GET) | WORKLOAD(BENCH_W_BIG_64K) |
                       WORKLOAD(BENCH_W_BIG_64K_GET) | WORKLOAD(BENCH_W_DURABLE_FILL));
    options->rounds[options->round_count - 1].operations_max = MILLION;
    add_full_round(options, 10 * MILLION, 5, "bitcask", WORKLOAD(BENCH_W_STALLS));
}

static bool add_rounds(struct bench_options *options, const char *keys, bool quick)
{
    const char *list = keys != NULL ? keys : quick ? "100000" : "1000000";
    const char *word;
    size_t size;

    while (next_word(&list, &word, &size)) {
        struct bench_round *round;
        uint64_t count;
        char text[16];

        snprintf(text, sizeof text, "%.*s", (int)(size < 16 ? size : 15), word);
        if (!parse_number(text, 100, 1000 * MILLION, &count))
            return say("--keys takes numbers from 100 to 1000000000, not %.*s", (int)size,
                       word);
        if (options->round_count == BENCH_ROUNDS_MAX)
            return say("--keys takes no more than eight numbers, not %s", keys);
        round = add_round(options, count, quick ? 100000 : MILLION, quick ? 0.2 : 2,
                          quick ? 1 : 3);
        choose_engines(NULL, round->engines);
        choose_workloads(NULL, round->workloads);
    }
    return true;
}

/* Whether any of @workloads is run with a number of threads that was chosen. */
static bool has_a_step(const bool workloads[BENCH_W_COUNT], const bool *threads)
{
    for (unsigned i = 0; i < BENCH_W_COUNT; i++) {
        const struct bench_workload *workload = &bench_workloads[i];

        for (unsigned k = 0; k < 4 && workloads[i] && workload->threads[k] != 0; k++) {
            if (threads[workload->threads[k]])
                return true;
        }
    }
    return false;
}

static bool is_same(const char *one, const char *other)
{
    return one != NULL && other != NULL && strcmp(one, other) == 0;
}

/* Make rounds of what is given. */
static bool settle(struct bench_options *options, const struct given *given)
{
    bool engines[BENCH_ENGINES_MAX] = { false }, workloads[BENCH_W_COUNT];

    if (given->size == RUN_FULL && given->keys != NULL)
        return say("--full says how many keys there are: there is no --keys %s with it",
                   given->keys);
    if (is_same(options->json, options->markdown) ||
        is_same(options->json, options->svg) || is_same(options->markdown, options->svg))
        return say("two of --json, --markdown and --svg name the same file");
    if (!choose_engines(given->engines, engines) ||
        !choose_workloads(given->workloads, workloads) ||
        !choose_threads(given->threads, options->threads))
        return false;
    if (given->size == RUN_FULL)
        add_full_rounds(options);
    else if (!add_rounds(options, given->keys, given->size == RUN_QUICK))
        return false;
    for (size_t i = 0; i < options->round_count; i++) {
        struct bench_round *round = &options->rounds[i];

        for (unsigned k = 0; k < BENCH_ENGINES_MAX; k++)
            round->engines[k] = round->engines[k] && engines[k];
        for (unsigned k = 0; k < BENCH_W_COUNT; k++)
            round->workloads[k] = round->workloads[k] && workloads[k];
        if (!has_a_step(round->workloads, options->threads))
            return say("none of the workloads that were chosen is run with --threads %s: "
                       "--list tells which are",
                       given->threads);
        if (given->operations != 0)
            round->operations_max = given->operations;
        if (given->repeats != 0)
            round->repeats = (unsigned)given->repeats;
        if (given->seconds > 0)
            round->ns_max = (uint64_t)(given->seconds * 1e9);
    }
    options->value_size = given->value_size != 0 ? (size_t)given->value_size : 100;
    return true;
}

static bool take_number(const char *name, uint64_t min, uint64_t max, uint64_t *number)
{
    if (parse_number(optarg, min, max, number))
        return true;
    return say("--%s takes a number from %llu to %llu, not %s", name,
               (unsigned long long)min, (unsigned long long)max, optarg);
}

static bool take_seconds(double *seconds)
{
    char *end;

    *seconds = strtod(optarg, &end);
    if (*end == 0 && end != optarg && *seconds >= 0.001 && *seconds <= 3600)
        return true;
    return say("--seconds takes a number from 0.001 to 3600, not %s", optarg);
}

enum {
    OPTION_ENGINES = 256,
    OPTION_WORKLOADS,
    OPTION_THREADS,
    OPTION_KEYS,
    OPTION_OPS,
    OPTION_SECONDS,
    OPTION_REPEAT,
    OPTION_VALUE_SIZE,
    OPTION_DIRECTORY,
    OPTION_JSON,
    OPTION_SVG,
    OPTION_MARKDOWN,
    OPTION_QUICK,
    OPTION_FULL,
    OPTION_PROGRESS,
    OPTION_LIST
};

static const struct option known_options[] = {
    { "engines", required_argument, NULL, OPTION_ENGINES },
    { "workloads", required_argument, NULL, OPTION_WORKLOADS },
    { "threads", required_argument, NULL, OPTION_THREADS },
    { "keys", required_argument, NULL, OPTION_KEYS },
    { "ops", required_argument, NULL, OPTION_OPS },
    { "seconds", required_argument, NULL, OPTION_SECONDS },
    { "repeat", required_argument, NULL, OPTION_REPEAT },
    { "value-size", required_argument, NULL, OPTION_VALUE_SIZE },
    { "directory", required_argument, NULL, OPTION_DIRECTORY },
    { "json", required_argument, NULL, OPTION_JSON },
    { "svg", required_argument, NULL, OPTION_SVG },
    { "markdown", required_argument, NULL, OPTION_MARKDOWN },
    { "quick", no_argument, NULL, OPTION_QUICK },
    { "full", no_argument, NULL, OPTION_FULL },
    { "progress", no_argument, NULL, OPTION_PROGRESS },
    { "list", no_argument, NULL, OPTION_LIST },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

static bool take(struct bench_options *options, struct given *given, int option)
{
    switch (option) {
    case OPTION_ENGINES:
        given->engines = optarg;
        return true;
    case OPTION_WORKLOADS:
        given->workloads = optarg;
        return true;
    case OPTION_THREADS:
        given->threads = optarg;
        return true;
    case OPTION_KEYS:
        given->keys = optarg;
        return true;
    case OPTION_OPS:
        return take_number("ops", 1, 4000000000, &given->operations);
    case OPTION_SECONDS:
        return take_seconds(&given->seconds);
    case OPTION_REPEAT:
        return take_number("repeat", 1, 64, &given->repeats);
    case OPTION_VALUE_SIZE:
        return take_number("value-size", BENCH_VALUE_SIZE_MIN, MILLION,
                           &given->value_size);
    case OPTION_DIRECTORY:
        options->directory = optarg;
        return true;
    case OPTION_JSON:
        options->json = optarg;
        return true;
    case OPTION_SVG:
        options->svg = optarg;
        return true;
    case OPTION_MARKDOWN:
        options->markdown = optarg;
        return true;
    case OPTION_QUICK:
        given->size = RUN_QUICK;
        return true;
    case OPTION_FULL:
        given->size = RUN_FULL;
        return true;
    case OPTION_PROGRESS:
        options->progress = true;
        return true;
    case OPTION_LIST:
        options->mode = BENCH_MODE_LIST;
        return true;
    case 'h':
        options->mode = BENCH_MODE_HELP;
        return true;
    case 'V':
        options->mode = BENCH_MODE_VERSION;
        return true;
    default:
        return false;
    }
}

bool bench_options_parse(struct bench_options *options, int argc, char **argv)
{
    struct given given = { 0 };
    int option;

    *options = (struct bench_options){ 0 };
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":hV", known_options, NULL)) != -1) {
        if (option == ':')
            return say("%s needs an argument", argv[optind - 1]);
        if (option == '?')
            return say("there is no option %s", argv[optind - 1]);
        if (!take(options, &given, option))
            return false;
        if (options->mode == BENCH_MODE_HELP || options->mode == BENCH_MODE_VERSION)
            return true;
    }
    if (optind < argc)
        return say("there is nothing to be done with %s", argv[optind]);
    return options->mode == BENCH_MODE_LIST || settle(options, &given);
}
