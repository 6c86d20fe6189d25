/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "contents.h"
#include "run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    COST_COUNT = 50000,
    COST_ROUNDS = 10
};

static double smaller(double one, double other)
{
    return one == 0 || other < one ? other : one;
}

/* One round; the least of several is what it takes when nothing else happens. */
static void measure_costs(struct bench_costs *costs, uint8_t *value, size_t value_size)
{
    uint64_t sum = 0;
    uint8_t key[BENCH_KEY_SIZE];
    uint64_t begin_ns, version;

    begin_ns = bench_clock_ns();
    for (uint64_t i = 0; i < COST_COUNT; i++) {
        bench_key_make(BENCH_KEYS_SCATTERED, i, key);
        bench_value_make(i, 1, value, value_size);
        sum += key[0] + value[9];
    }
    costs->make_ns =
        smaller(costs->make_ns, (double)(bench_clock_ns() - begin_ns) / COST_COUNT);
    begin_ns = bench_clock_ns();
    for (uint64_t i = 0; i < COST_COUNT; i++) {
        bench_key_make(BENCH_KEYS_SCATTERED, i, key);
        sum += key[0] +
               (uint64_t)bench_value_check(COST_COUNT - 1, value, value_size, &version);
    }
    costs->check_ns =
        smaller(costs->check_ns, (double)(bench_clock_ns() - begin_ns) / COST_COUNT);
    begin_ns = bench_clock_ns();
    for (uint64_t i = 0; i < COST_COUNT; i++)
        sum += bench_clock_ns();
    costs->clock_ns =
        smaller(costs->clock_ns, (double)(bench_clock_ns() - begin_ns) / COST_COUNT);
    __asm__ volatile("" : : "r"(sum)); /* or nothing of it would be done */
}

struct bench_costs bench_costs_measure(size_t value_size)
{
    struct bench_costs costs = { 0 };
    uint8_t *value = malloc(value_size);

    for (unsigned i = 0; value != NULL && i < COST_ROUNDS; i++)
        measure_costs(&costs, value, value_size);
    free(value);
    return costs;
}

const char *bench_text_count(double number, char text[BENCH_TEXT_SIZE])
{
    char digits[BENCH_TEXT_SIZE];
    size_t size, out = 0;

    if (isnan(number))
        return strcpy(text, "-");
    snprintf(digits, sizeof digits, "%.0f", number);
    size = strlen(digits);
    for (size_t i = 0; i < size && out < BENCH_TEXT_SIZE - 2; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = 0;
    return text;
}

const char *bench_text_ns(double ns, char text[BENCH_TEXT_SIZE])
{
    static const char *const units[] = { "ns", "us", "ms", "s" };
    unsigned unit = 0;

    if (isnan(ns))
        return strcpy(text, "-");
    for (; unit < 3 && ns >= 999.5; unit++)
        ns /= 1000;
    snprintf(text, BENCH_TEXT_SIZE, ns < 9.95 && unit > 0 ? "%.1f %s" : "%.0f %s", ns,
             units[unit]);
    return text;
}

const char *bench_text_ratio(double ratio, char text[BENCH_TEXT_SIZE])
{
    if (isnan(ratio))
        return strcpy(text, "-");
    snprintf(text, BENCH_TEXT_SIZE,
             ratio < 0.0995  ? "%.4f"
             : ratio < 9.995 ? "%.2f"
                             : "%.1f",
             ratio);
    return text;
}

bool bench_report_ours(const struct bench_driver *driver)
{
    return driver == &bench_driver_bitcask || driver == &bench_driver_bitcask_nomerge;
}

void bench_report_settings(const struct bench_report_facts *facts,
                           const struct bench_driver *driver,
                           enum bench_durability durability, char *text, size_t text_size)
{
    struct bench_setup setup = { .directory = "",
                                 .expected_keys = facts->options->rounds[0].key_count,
                                 .key_size = BENCH_KEY_SIZE,
                                 .value_size = facts->options->value_size,
                                 .threads = 2,
                                 .durability = durability };

    text[0] = 0;
    driver->settings(&setup, text, text_size);
}

void bench_report_row_name(const struct bench_row *row, char *text, size_t text_size)
{
    char count[BENCH_TEXT_SIZE];

    snprintf(text, text_size, "%s, %u thread%s%s%s%s",
             bench_workloads[row->workload].name, row->threads,
             row->threads == 1 ? "" : "s", row->key_count > 0 ? ", " : "",
             row->key_count > 0 ? bench_text_count((double)row->key_count, count) : "",
             row->key_count > 0 ? " keys" : "");
}
