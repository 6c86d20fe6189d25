/* SPDX-License-Identifier: MIT */
#include <bitcask/inspect.h>

#include "command.h"
#include "finding_report.h"
#include "interrupt.h"
#include "json_out.h"
#include "number.h"
#include "progress.h"

#include <inttypes.h>
#include <stddef.h>

/* What the callbacks need. */
struct run {
    struct tool *tool;
    bool quiet;
    bool json;
    bool stopped;
    bool no_memory;
    struct tool_progress progress;
    struct bitcask_inspect_progress reached;
    struct bitcask_verify_report report;
    enum bitcask_status status;
};

/* What a callback says to end it. No failure of a check is called so. */
static const enum bitcask_status stop = BITCASK_LOCKED;

static enum bitcask_status go_on(struct run *run)
{
    run->stopped = tool_interrupt_signal() != 0;
    return run->stopped || run->no_memory ? stop : BITCASK_OK;
}

static enum bitcask_status note(const struct bitcask_finding *finding, void *context)
{
    struct run *run = context;

    if (run->quiet)
        return go_on(run);
    if (run->json)
        run->no_memory = !tool_json_print(&run->tool->output, tool_finding_json(finding));
    else
        tool_finding_print(&run->tool->output, finding);
    return go_on(run);
}

static enum bitcask_status step(const struct bitcask_inspect_progress *progress,
                                void *context)
{
    struct run *run = context;

    run->reached = *progress;
    tool_progress_step_bar(&run->progress, progress->done_size, progress->total_size);
    return go_on(run);
}

#define REPORT(name) #name, offsetof(struct bitcask_verify_report, name)
static const struct tool_json_field report_fields[] = {
    { REPORT(file_count) },       { REPORT(read_size) },     { REPORT(record_count) },
    { REPORT(entry_count) },      { REPORT(damage_count) },  { REPORT(note_count) },
    { REPORT(lost_count) },       { REPORT(stale_count) },   { REPORT(undeleted_count) },
    { REPORT(unreadable_count) }, { REPORT(unnamed_count) }, { REPORT(elapsed_ms) },
};

static const char *result_word(const struct run *run)
{
    if (run->stopped)
        return "stopped";
    if (run->status == BITCASK_OK)
        return "clean";
    return run->status == BITCASK_CORRUPT ? "damaged" : "failed";
}

static bool print_json(struct run *run)
{
    json_t *object = json_object();

    object = tool_json_with(object, "summary", json_string("verify"));
    object = tool_json_with(object, "result", json_string(result_word(run)));
    object = tool_json_with(object, "directory", tool_json_text(run->tool->directory));
    object = tool_json_join(
        object, tool_json_numbers(&run->report, report_fields,
                                  sizeof report_fields / sizeof *report_fields));
    return tool_json_print(&run->tool->output, object);
}

static void print_text(struct run *run)
{
    const struct bitcask_verify_report *report = &run->report;
    struct tool_output *output = &run->tool->output;
    struct tool_finding_counts counts = { report->lost_count, report->stale_count,
                                          report->undeleted_count,
                                          report->unreadable_count,
                                          report->unnamed_count };
    char files[TOOL_NUMBER_SIZE], size[TOOL_NUMBER_SIZE], records[TOOL_NUMBER_SIZE],
        entries[TOOL_NUMBER_SIZE], damages[TOOL_NUMBER_SIZE];

    tool_output_print(output,
                      "read %s files, %s: %s records and %s entries of hints are whole\n",
                      tool_number_print(report->file_count, files),
                      tool_size_print(report->read_size, size),
                      tool_number_print(report->record_count, records),
                      tool_number_print(report->entry_count, entries));
    if (run->status == BITCASK_OK)
        tool_output_text(output, "clean: no damage\n");
    else if (report->damage_count > 0)
        tool_output_print(
            output,
            "damaged in %s %s (`bitcask repair --dry-run` tells what can be kept)\n",
            tool_number_print(report->damage_count, damages),
            report->damage_count == 1 ? "place" : "places");
    tool_finding_print_counts(output, &counts);
}

/* Tell how it ended. An exit status. */
static int tell(struct run *run)
{
    struct tool *tool = run->tool;

    if (run->no_memory || (run->json && !run->quiet && !print_json(run))) {
        tool_say(tool, TOOL_LOG_ERROR, "there is no memory to report as JSON");
        return TOOL_ERROR;
    }
    if (run->stopped) {
        tool_say(tool, TOOL_LOG_WARN, "ended by a signal; not all has been read");
        return TOOL_ERROR;
    }
    if (run->status != BITCASK_OK && run->status != BITCASK_CORRUPT)
        return tool_report_store(tool, run->status, "could not be verified");
    if (!run->json && !run->quiet)
        print_text(run);
    return run->status == BITCASK_OK ? TOOL_DONE : TOOL_DAMAGED;
}

int tool_command_verify(struct tool *tool, const struct tool_request *request)
{
    struct run run = { .tool = tool,
                       .quiet = (request->given & TOOL_OPTION_QUIET) != 0,
                       .json = (request->given & TOOL_OPTION_JSON) != 0 };
    const struct bitcask_verify_options options = {
        .threads = request->threads,
        .rate = request->rate,
        .finding = note,
        .progress = step,
        .context = &run,
    };

    tool_interrupt_install();
    tool_progress_begin(&run.progress, (request->given & TOOL_OPTION_PROGRESS) != 0);
    if (tool->log.level != TOOL_LOG_SILENT && tool->log.json)
        run.progress.on = false; /* every line is to be JSON */
    if (run.quiet && (request->given & TOOL_OPTION_PROGRESS) == 0)
        run.progress.on = false;
    run.status = bitcask_verify(tool->directory, &options, &run.report);
    tool_progress_end_bar(&run.progress, run.reached.done_size, run.reached.total_size);
    if (run.status != stop) /* it came to its end before it was stopped */
        run.stopped = false;
    return tell(&run);
}
