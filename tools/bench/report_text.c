/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "targets.h"

#include <math.h>
#include <stdlib.h>

enum {
    LINE_SIZE = 400
};

static void print_settings(const struct bench_report_facts *facts, FILE *file,
                           enum bench_durability durability, const char *what)
{
    char text[LINE_SIZE];

    fprintf(file, "\nSettings where %s:\n", what);
    for (unsigned i = 0; bench_drivers[i] != NULL; i++)
        for (size_t k = 0; k < facts->options->round_count; k++)
            if (facts->options->rounds[k].engines[i]) {
                bench_report_settings(facts, bench_drivers[i], durability, text,
                                      sizeof text);
                fprintf(file, "  %s %s: %s\n", bench_drivers[i]->name,
                        bench_drivers[i]->version(), text);
                break;
            }
}

static void print_head(const struct bench_report_facts *facts, FILE *file)
{
    const struct bench_machine *machine = &facts->machine;
    bool durable = false, other = false;

    for (size_t i = 0; i < facts->results->count; i++)
        if (facts->results->items[i].row.workload == BENCH_W_DURABLE_FILL)
            durable = true;
        else
            other = true;
    fprintf(file, "%s\n%s\n", facts->command, facts->time);
    fprintf(file, "%u x %s, %.1f GiB, %s, %s, %s\n", machine->processor_count,
            machine->processor, (double)machine->memory_size / (1 << 30), machine->system,
            machine->file_system, machine->compiler);
    fprintf(file,
            "Keys of 16 bytes, values of %zu. Of each operation the harness itself takes "
            "%.0f ns for a put,\n%.0f ns for a get that is checked. Reading the clock "
            "takes %.0f ns and is done around one of\n16 operations, around each only "
            "where they are slow or their stalls are looked for.\n",
            facts->options->value_size, facts->costs.make_ns, facts->costs.check_ns,
            facts->costs.clock_ns);
    if (other)
        print_settings(facts, file, BENCH_SURVIVES_KILL, "a put survives kill -9");
    if (durable)
        print_settings(facts, file, BENCH_SURVIVES_POWER, "a put is synced");
}

static void print_ratio(const struct bench_report_facts *facts, FILE *file,
                        const struct bench_row *row, const struct bench_driver *rival)
{
    const struct bench_row theirs = bench_row_compared(row);
    const struct bench_target *target = bench_target_find(row, rival->name);
    struct bench_spread ratio =
        bench_results_ratio(facts->results, row, &bench_driver_bitcask, &theirs, rival);
    char median[BENCH_TEXT_SIZE], min[BENCH_TEXT_SIZE], max[BENCH_TEXT_SIZE];

    if (ratio.count == 0)
        return;
    fprintf(file, "   x %s (%s..%s)", bench_text_ratio(ratio.median, median),
            bench_text_ratio(ratio.min, min), bench_text_ratio(ratio.max, max));
    if (target != NULL)
        fprintf(file, " must %g aim %g: %s", target->must, target->aim,
                bench_verdict_text(bench_target_judge(facts->results, target, &ratio)));
}

/* "1,234..5,678", or without @count that of times. */
static void format_range(char *text, const struct bench_spread *spread, bool timed)
{
    char min[BENCH_TEXT_SIZE], max[BENCH_TEXT_SIZE];

    if (timed)
        snprintf(text, BENCH_TEXT_SIZE, "%.1f..%.1f", spread->min, spread->max);
    else
        snprintf(text, BENCH_TEXT_SIZE, "%.28s..%.28s",
                 bench_text_count(spread->min, min), bench_text_count(spread->max, max));
}

static void print_engine(const struct bench_report_facts *facts, FILE *file,
                         const struct bench_row *row, const struct bench_driver *driver)
{
    bool timed = bench_workloads[row->workload].timed;
    struct bench_spread spread[BENCH_F_COUNT];
    struct bench_spread *first = &spread[timed ? BENCH_F_MS : BENCH_F_RATE];
    char text[BENCH_TEXT_SIZE];

    for (unsigned i = 0; i < BENCH_F_COUNT; i++) {
        spread[i] =
            bench_results_spread(facts->results, row, driver, (enum bench_figure)i);
        if (spread[i].count == 0)
            spread[i].median = spread[i].min = spread[i].max = NAN;
    }
    fprintf(file, "  %-15s", driver->name);
    if (timed)
        fprintf(file, " %11.1f", first->median);
    else
        fprintf(file, " %11s", bench_text_count(first->median, text));
    format_range(text, first, timed);
    fprintf(file, " %23s", text);
    for (unsigned i = BENCH_F_P50_NS; i <= BENCH_F_MAX_NS; i++)
        fprintf(file, " %7s", bench_text_ns(spread[i].median, text));
    if (spread[BENCH_F_DISK].count > 0)
        fprintf(file, " %5.0f %5.2f", spread[BENCH_F_MEMORY].median,
                spread[BENCH_F_DISK].median);
    else
        fprintf(file, " %5s %5s", "-", "-");
    if (!bench_report_ours(driver))
        print_ratio(facts, file, row, driver);
    if (spread[BENCH_F_CONTROL_NS].count > 0)
        fprintf(file, "   longest gap of the clock's reader %s",
                bench_text_ns(spread[BENCH_F_CONTROL_NS].median, text));
    fprintf(file, "\n");
}

static void print_row(const struct bench_report_facts *facts, FILE *file,
                      const struct bench_row *row)
{
    const struct bench_workload *workload = &bench_workloads[row->workload];
    char name[128];

    bench_report_row_name(row, name, sizeof name);
    fprintf(file, "\n%s: %s%s\n", name, workload->text,
            row->workload == BENCH_W_MULTI_GET ? "; p50 to max are of a whole call" : "");
    fprintf(file, "  %-15s %11s %23s %7s %7s %7s %7s %7s %5s %5s\n", "",
            workload->timed ? "ms" : "keys/s", "min..max", "p50", "p99", "p99.9",
            "p99.99", "max", "B/key", "disk");
    for (unsigned i = 0; bench_drivers[i] != NULL; i++)
        if (bench_results_has(facts->results, row, bench_drivers[i]))
            print_engine(facts, file, row, bench_drivers[i]);
}

static void print_targets(const struct bench_report_facts *facts, FILE *file)
{
    unsigned counts[BENCH_AIM_MET + 1] = { 0 };
    struct bench_spread spread;

    for (size_t i = 0; i < bench_target_count; i++)
        counts[bench_target_judge(facts->results, &bench_targets[i], &spread)]++;
    fprintf(file,
            "\nTargets against rivals: %u aim met, %u met, %u missed, %u not "
            "measured.\n",
            counts[BENCH_AIM_MET], counts[BENCH_MUST_MET], counts[BENCH_MISSED],
            counts[BENCH_NOT_MEASURED]);
    for (size_t i = 0; i < bench_target_count; i++) {
        const struct bench_target *target = &bench_targets[i];
        struct bench_row row = { target->workload, target->threads, target->key_count };
        char name[128];

        if (bench_target_judge(facts->results, target, &spread) != BENCH_MISSED)
            continue;
        bench_report_row_name(&row, name, sizeof name);
        fprintf(file, "  missed: %s against %s: %.2f, must %g\n", name, target->rival,
                spread.median, target->must);
    }
    for (size_t i = 0; i < bench_limit_count; i++) {
        const struct bench_limit *limit = &bench_limits[i];
        enum bench_verdict verdict = bench_limit_judge(facts->results, limit, &spread);

        if (verdict != BENCH_NOT_MEASURED)
            fprintf(file, "  %s: %.3g (%.3g..%.3g), must %g aim %g: %s\n", limit->text,
                    spread.median, spread.min, spread.max, limit->must, limit->aim,
                    bench_verdict_text(verdict));
    }
}

void bench_report_text(const struct bench_report_facts *facts, FILE *file)
{
    size_t count;
    struct bench_row *rows = bench_results_rows(facts->results, &count);

    print_head(facts, file);
    for (size_t i = 0; i < count; i++)
        print_row(facts, file, &rows[i]);
    if (count > 0)
        fprintf(file, "\nB/key: memory that no file backs. disk: bytes on disk for each "
                      "byte of keys and values.\nx: how many times faster bitcask is, "
                      "with its multi-get against their get.\n");
    print_targets(facts, file);
    free(rows);
}
