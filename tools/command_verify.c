/* SPDX-License-Identifier: MIT */
#include <bitcask/inspect.h>

#include "command.h"
#include "doctor.h"
#include "finding_report.h"
#include "json_out.h"
#include "number.h"

#include <inttypes.h>
#include <stddef.h>

struct run {
    struct tool_doctor doctor;
    struct bitcask_verify_report report;
};

#define REPORT(name) #name, offsetof(struct bitcask_verify_report, name)
static const struct tool_json_field report_fields[] = {
    { REPORT(file_count) },       { REPORT(read_size) },     { REPORT(record_count) },
    { REPORT(entry_count) },      { REPORT(damage_count) },  { REPORT(note_count) },
    { REPORT(lost_count) },       { REPORT(stale_count) },   { REPORT(undeleted_count) },
    { REPORT(unreadable_count) }, { REPORT(unnamed_count) }, { REPORT(elapsed_ms) },
};

static const char *result_word(const struct run *run)
{
    if (run->doctor.stopped)
        return "stopped";
    if (run->doctor.status == BITCASK_OK)
        return "clean";
    return run->doctor.status == BITCASK_CORRUPT ? "damaged" : "failed";
}

static json_t *summary_of(const struct run *run)
{
    json_t *object = json_object();

    object = tool_json_with(object, "summary", json_string("verify"));
    object = tool_json_with(object, "result", json_string(result_word(run)));
    object =
        tool_json_with(object, "directory", tool_json_text(run->doctor.tool->directory));
    return tool_json_join(
        object, tool_json_numbers(&run->report, report_fields,
                                  sizeof report_fields / sizeof *report_fields));
}

static void print_text(struct run *run)
{
    const struct bitcask_verify_report *report = &run->report;
    struct tool_output *output = &run->doctor.tool->output;
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
    if (run->doctor.status == BITCASK_OK)
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
    enum bitcask_status status = run->doctor.status;
    int code = tool_doctor_tell(&run->doctor, run->doctor.json ? summary_of(run) : NULL,
                                "not all has been read");

    if (code != TOOL_DONE)
        return code;
    if (status != BITCASK_OK && status != BITCASK_CORRUPT)
        return tool_report_store(run->doctor.tool, status, "could not be verified");
    if (!run->doctor.json && !run->doctor.quiet)
        print_text(run);
    return status == BITCASK_OK ? TOOL_DONE : TOOL_DAMAGED;
}

int tool_command_verify(struct tool *tool, const struct tool_request *request)
{
    struct run run = { 0 };
    const struct bitcask_verify_options options = {
        .threads = request->threads,
        .rate = request->rate,
        .finding = tool_doctor_note,
        .progress = tool_doctor_step,
        .context = &run.doctor,
    };

    tool_doctor_begin(&run.doctor, tool, request, BITCASK_LOCKED);
    tool_doctor_end(&run.doctor, bitcask_verify(tool->directory, &options, &run.report));
    return tell(&run);
}
