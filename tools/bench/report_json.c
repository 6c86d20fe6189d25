/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "targets.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static json_t *spread_json(const struct bench_spread *spread)
{
    return json_pack("{s:f, s:f, s:f}", "median", spread->median, "min", spread->min,
                     "max", spread->max);
}

/* A NULL that is added, and an object that is NULL, fail quietly: the end is looked at.
 */
static void add(json_t *object, const char *name, json_t *value)
{
    json_object_set_new(object, name, value);
}

static json_t *machine_json(const struct bench_report_facts *facts)
{
    const struct bench_machine *machine = &facts->machine;

    return json_pack("{s:s, s:i, s:I, s:s, s:s, s:s}", "processor", machine->processor,
                     "processor_count", (int)machine->processor_count, "memory_size",
                     (json_int_t)machine->memory_size, "system", machine->system,
                     "file_system", machine->file_system, "compiler", machine->compiler);
}

static json_t *engines_json(const struct bench_report_facts *facts)
{
    json_t *engines = json_array();
    char text[512];

    for (unsigned i = 0; bench_drivers[i] != NULL; i++) {
        const struct bench_driver *driver = bench_drivers[i];
        json_t *engine;

        if (!bench_results_has_any(facts->results, driver))
            continue;
        engine =
            json_pack("{s:s, s:s}", "engine", driver->name, "version", driver->version());

        bench_report_settings(facts, driver, BENCH_SURVIVES_KILL, text, sizeof text);
        add(engine, "settings_survives_kill", json_string(text));
        bench_report_settings(facts, driver, BENCH_SURVIVES_POWER, text, sizeof text);
        add(engine, "settings_survives_power", json_string(text));
        json_array_append_new(engines, engine);
    }
    return engines;
}

static json_t *row_json(const struct bench_row *row)
{
    return json_pack("{s:s, s:i, s:I}", "workload", bench_workloads[row->workload].name,
                     "threads", (int)row->threads, "keys", (json_int_t)row->key_count);
}

static json_t *result_json(const struct bench_report_facts *facts,
                           const struct bench_row *row, const struct bench_driver *driver)
{
    const struct bench_results *results = facts->results;
    struct bench_row theirs = bench_row_compared(row);
    json_t *result = row_json(row), *runs = json_array();
    struct bench_spread spread;

    add(result, "engine", json_string(driver->name));
    add(result, "durability",
        json_string(row->workload == BENCH_W_DURABLE_FILL ? "power" : "kill"));
    for (unsigned i = 0; i < BENCH_F_COUNT; i++) {
        spread = bench_results_spread(results, row, driver, (enum bench_figure)i);
        if (spread.count > 0)
            add(result, bench_figure_names[i], spread_json(&spread));
    }
    spread = bench_results_ratio(results, row, &bench_driver_bitcask, &theirs, driver);
    if (spread.count > 0 && !bench_report_ours(driver))
        add(result, "bitcask_times_faster", spread_json(&spread));
    for (size_t i = 0; i < results->count; i++) {
        const struct bench_cell *cell = &results->items[i];
        json_t *run;

        if (cell->driver != driver || cell->row.workload != row->workload ||
            cell->row.threads != row->threads || cell->row.key_count != row->key_count)
            continue;
        run = json_pack("{s:i}", "repeat", (int)cell->repeat + 1);
        for (unsigned k = 0; k < BENCH_F_COUNT; k++)
            if (!isnan(cell->figures[k]))
                add(run, bench_figure_names[k], json_real(cell->figures[k]));
        json_array_append_new(runs, run);
    }
    add(result, "runs", runs);
    return result;
}

static json_t *results_json(const struct bench_report_facts *facts)
{
    json_t *all = json_array();
    size_t count;
    struct bench_row *rows = bench_results_rows(facts->results, &count);

    for (size_t i = 0; i < count; i++)
        for (unsigned k = 0; bench_drivers[k] != NULL; k++)
            if (bench_results_has(facts->results, &rows[i], bench_drivers[k]))
                json_array_append_new(all,
                                      result_json(facts, &rows[i], bench_drivers[k]));
    free(rows);
    return all;
}

static void add_judgement(json_t *object, const struct bench_spread *spread, double must,
                          double aim, enum bench_verdict verdict)
{
    add(object, "must", json_real(must));
    add(object, "aim", json_real(aim));
    if (verdict != BENCH_NOT_MEASURED)
        add(object, "measured", spread_json(spread));
    add(object, "verdict", json_string(bench_verdict_text(verdict)));
}

static json_t *targets_json(const struct bench_report_facts *facts)
{
    json_t *targets = json_array();
    struct bench_spread spread;
    enum bench_verdict verdict;

    for (size_t i = 0; i < bench_target_count; i++) {
        const struct bench_target *target = &bench_targets[i];
        struct bench_row row = { target->workload, target->threads, target->key_count };
        json_t *object = row_json(&row);

        verdict = bench_target_judge(facts->results, target, &spread);
        add(object, "rival", json_string(target->rival));
        add_judgement(object, &spread, target->must, target->aim, verdict);
        json_array_append_new(targets, object);
    }
    for (size_t i = 0; i < bench_limit_count; i++) {
        const struct bench_limit *limit = &bench_limits[i];
        json_t *object = json_pack("{s:s}", "limit", limit->text);

        verdict = bench_limit_judge(facts->results, limit, &spread);
        add_judgement(object, &spread, limit->must, limit->aim, verdict);
        json_array_append_new(targets, object);
    }
    return targets;
}

void bench_report_json(const struct bench_report_facts *facts, FILE *file)
{
    json_t *all = json_pack("{s:s, s:s, s:i}", "command", facts->command, "time",
                            facts->time, "value_size", (int)facts->options->value_size);

    add(all, "machine", machine_json(facts));
    add(all, "harness",
        json_pack("{s:f, s:f, s:f}", "make_ns", facts->costs.make_ns, "check_ns",
                  facts->costs.check_ns, "clock_ns", facts->costs.clock_ns));
    add(all, "engines", engines_json(facts));
    add(all, "results", results_json(facts));
    add(all, "targets", targets_json(facts));
    if (json_dumpf(all, file, JSON_INDENT(1)) != 0 || fputc('\n', file) == EOF)
        fprintf(stderr, "bitcask-bench: the JSON cannot be written\n");
    json_decref(all);
}
