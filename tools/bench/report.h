/* SPDX-License-Identifier: MIT */
/*
 * Results for those who read them: people, programs, pages and eyes.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "options.h"
#include "system.h"

#include <stdio.h>

/* What the harness itself takes, the same for every engine, measured before anything
   else. Nanoseconds, for values of the ordinary size. */
struct bench_costs {
    double make_ns;  /* a key and a value */
    double check_ns; /* a key and the check of a value */
    double clock_ns;
};

struct bench_costs bench_costs_measure(size_t value_size);

struct bench_report_facts {
    const struct bench_options *options;
    const struct bench_results *results;
    struct bench_machine machine;
    struct bench_costs costs;
    const char *command;
    const char *time; /* when it began, UTC */
};

/* Each writes all of it to @file; whether that worked is for ferror() to say. */
void bench_report_text(const struct bench_report_facts *facts, FILE *file);
void bench_report_markdown(const struct bench_report_facts *facts, FILE *file);
void bench_report_svg(const struct bench_report_facts *facts, FILE *file);
void bench_report_json(const struct bench_report_facts *facts, FILE *file);

enum {
    BENCH_TEXT_SIZE = 64
};

/* Numbers as people read them, in @text, which is returned. "-" for NAN. */
const char *bench_text_count(double number, char text[BENCH_TEXT_SIZE]);
const char *bench_text_ns(double ns, char text[BENCH_TEXT_SIZE]);
const char *bench_text_ratio(double ratio, char text[BENCH_TEXT_SIZE]);

/* Whether @driver is ours, of which the second is there to compare only. */
bool bench_report_ours(const struct bench_driver *driver);

/* The settings of @driver in rows of @durability. */
void bench_report_settings(const struct bench_report_facts *facts,
                           const struct bench_driver *driver,
                           enum bench_durability durability, char *text,
                           size_t text_size);

/* "fill-random, 2 threads, 1,000,000 keys", without the keys if there are none. */
void bench_report_row_name(const struct bench_row *row, char *text, size_t text_size);

#endif
