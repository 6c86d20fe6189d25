/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "targets.h"

#include <math.h>
#include <stdlib.h>

enum {
    CELL_SIZE = 160
};

static bool is_asked(const struct bench_report_facts *facts, unsigned engine)
{
    for (size_t i = 0; i < facts->options->round_count; i++)
        if (facts->options->rounds[i].engines[engine])
            return true;
    return false;
}

static void write_head(const struct bench_report_facts *facts, FILE *file)
{
    const struct bench_machine *machine = &facts->machine;
    char text[512];

    fprintf(file, "`%s`, %s\n\n", facts->command, facts->time);
    fprintf(file,
            "Machine: %u x %s, %.1f GiB of memory, %s, %s, compiled by %s. Keys of 16 "
            "bytes, values of %zu. The harness itself takes %.0f ns of a put, %.0f ns "
            "of a checked get, and %.0f ns to read the clock.\n\n",
            machine->processor_count, machine->processor,
            (double)machine->memory_size / (1 << 30), machine->system,
            machine->file_system, machine->compiler, facts->options->value_size,
            facts->costs.make_ns, facts->costs.check_ns, facts->costs.clock_ns);
    fprintf(file, "| engine | version | where a put survives kill -9 | where it is "
                  "synced |\n|---|---|---|---|\n");
    for (unsigned i = 0; bench_drivers[i] != NULL; i++) {
        const struct bench_driver *driver = bench_drivers[i];

        if (!is_asked(facts, i))
            continue;
        bench_report_settings(facts, driver, BENCH_SURVIVES_KILL, text, sizeof text);
        fprintf(file, "| %s | %s | %s |", driver->name, driver->version(), text);
        bench_report_settings(facts, driver, BENCH_SURVIVES_POWER, text, sizeof text);
        fprintf(file, " %s |\n", text);
    }
}

/* The ratios, a rival in each column. */
static void write_ratio(const struct bench_report_facts *facts, FILE *file,
                        const struct bench_row *row, const struct bench_driver *rival)
{
    const struct bench_target *target = bench_target_find(row, rival->name);
    struct bench_row theirs = bench_row_compared(row);
    struct bench_spread ratio =
        bench_results_ratio(facts->results, row, &bench_driver_bitcask, &theirs, rival);
    char median[BENCH_TEXT_SIZE], min[BENCH_TEXT_SIZE], max[BENCH_TEXT_SIZE];

    if (ratio.count == 0) {
        fprintf(file, " |");
        return;
    }
    fprintf(file, " **%s** (%s..%s)", bench_text_ratio(ratio.median, median),
            bench_text_ratio(ratio.min, min), bench_text_ratio(ratio.max, max));
    if (target != NULL)
        fprintf(file, " of %g / %g: %s", target->must, target->aim,
                bench_verdict_text(bench_target_judge(facts->results, target, &ratio)));
    fprintf(file, " |");
}

static void write_ratios(const struct bench_report_facts *facts, FILE *file,
                         const struct bench_row *rows, size_t count)
{
    char keys[BENCH_TEXT_SIZE];

    fprintf(file, "\n### How many times faster bitcask is\n\nThe median of the repeats "
                  "(min..max), of must / aim.\n\n| workload | keys | threads |");
    for (unsigned i = 0; bench_drivers[i] != NULL; i++)
        if (!bench_report_ours(bench_drivers[i]) && is_asked(facts, i))
            fprintf(file, " %s |", bench_drivers[i]->name);
    fprintf(file, "\n|---|---|---|");
    for (unsigned i = 0; bench_drivers[i] != NULL; i++)
        if (!bench_report_ours(bench_drivers[i]) && is_asked(facts, i))
            fprintf(file, "---|");
    fprintf(file, "\n");
    for (size_t k = 0; k < count; k++) {
        fprintf(file, "| %s | %s | %u |", bench_workloads[rows[k].workload].name,
                bench_text_count((double)rows[k].key_count, keys), rows[k].threads);
        for (unsigned i = 0; bench_drivers[i] != NULL; i++)
            if (!bench_report_ours(bench_drivers[i]) && is_asked(facts, i))
                write_ratio(facts, file, &rows[k], bench_drivers[i]);
        fprintf(file, "\n");
    }
}

static void write_limits(const struct bench_report_facts *facts, FILE *file)
{
    fprintf(file, "\n### Limits\n\n| what | measured | must | aim | |\n"
                  "|---|---|---|---|---|\n");
    for (size_t i = 0; i < bench_limit_count; i++) {
        const struct bench_limit *limit = &bench_limits[i];
        struct bench_spread spread;
        enum bench_verdict verdict = bench_limit_judge(facts->results, limit, &spread);

        fprintf(file, "| %s |", limit->text);
        if (verdict != BENCH_NOT_MEASURED)
            fprintf(file, " %.3g (%.3g..%.3g)", spread.median, spread.min, spread.max);
        fprintf(file, " | %g | %g | %s |\n", limit->must, limit->aim,
                bench_verdict_text(verdict));
    }
}

static void write_engine(const struct bench_report_facts *facts, FILE *file,
                         const struct bench_row *row, const struct bench_driver *driver)
{
    bool timed = bench_workloads[row->workload].timed;
    struct bench_spread spread = bench_results_spread(facts->results, row, driver,
                                                      timed ? BENCH_F_MS : BENCH_F_RATE);
    char median[BENCH_TEXT_SIZE], min[BENCH_TEXT_SIZE], max[BENCH_TEXT_SIZE];

    fprintf(file, "| %s |", driver->name);
    if (spread.count == 0)
        fprintf(file, " - |");
    else if (timed)
        fprintf(file, " %.1f (%.1f..%.1f) |", spread.median, spread.min, spread.max);
    else
        fprintf(file, " %s (%s..%s) |", bench_text_count(spread.median, median),
                bench_text_count(spread.min, min), bench_text_count(spread.max, max));
    for (unsigned i = BENCH_F_P50_NS; i <= BENCH_F_CONTROL_NS; i++) {
        spread = bench_results_spread(facts->results, row, driver, (enum bench_figure)i);
        if (i == BENCH_F_CONTROL_NS && row->workload != BENCH_W_STALLS)
            continue;
        fprintf(file, " %s |",
                bench_text_ns(spread.count > 0 ? spread.median : NAN, median));
    }
    for (unsigned i = BENCH_F_MEMORY; i <= BENCH_F_DISK; i++) {
        spread = bench_results_spread(facts->results, row, driver, (enum bench_figure)i);
        if (spread.count > 0)
            fprintf(file, i == BENCH_F_DISK ? " %.2f |" : " %.0f |", spread.median);
        else
            fprintf(file, " |");
    }
    fprintf(file, "\n");
}

static void write_row(const struct bench_report_facts *facts, FILE *file,
                      const struct bench_row *row)
{
    bool stalls = row->workload == BENCH_W_STALLS;
    char name[CELL_SIZE];

    bench_report_row_name(row, name, sizeof name);
    fprintf(
        file,
        "\n%s%s:\n\n| engine | %s | p50 | p99 | p99.9 | p99.99 | max |%s B/key | disk "
        "|\n|---|---|---|---|---|---|---|%s---|---|\n",
        name, row->workload == BENCH_W_MULTI_GET ? " (p50 to max: of a whole call)" : "",
        bench_workloads[row->workload].timed ? "ms (min..max)" : "keys/s (min..max)",
        stalls ? " longest gap of the clock's reader |" : "", stalls ? "---|" : "");
    for (unsigned i = 0; bench_drivers[i] != NULL; i++)
        if (bench_results_has(facts->results, row, bench_drivers[i]))
            write_engine(facts, file, row, bench_drivers[i]);
}

void bench_report_markdown(const struct bench_report_facts *facts, FILE *file)
{
    size_t count;
    struct bench_row *rows = bench_results_rows(facts->results, &count);

    write_head(facts, file);
    write_ratios(facts, file, rows, count);
    write_limits(facts, file);
    fprintf(file, "\n### What was measured\n");
    for (size_t i = 0; i < count; i++)
        write_row(facts, file, &rows[i]);
    free(rows);
}
