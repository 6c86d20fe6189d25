/* SPDX-License-Identifier: MIT */
/*
 * The words of the command line, and what they ask for.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "conduct.h"

enum {
    BENCH_ROUNDS_MAX = 8
};

enum bench_mode {
    BENCH_MODE_RUN,
    BENCH_MODE_LIST,
    BENCH_MODE_HELP,
    BENCH_MODE_VERSION
};

struct bench_options {
    enum bench_mode mode;
    struct bench_round rounds[BENCH_ROUNDS_MAX];
    size_t round_count;
    bool threads[BENCH_THREADS_MAX + 1];
    size_t value_size;
    bool progress;
    const char *directory; /* in which to work; borrowed, as the next */
    const char *json;      /* files to write, or NULL */
    const char *svg;
    const char *markdown;
};

/* False: they are wrong, and why has been said. */
bool bench_options_parse(struct bench_options *options, int argc, char **argv);

extern const char bench_help[];

#endif
