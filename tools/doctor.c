/* SPDX-License-Identifier: MIT */
#include "doctor.h"

#include "finding_report.h"
#include "interrupt.h"
#include "json_out.h"

void tool_doctor_begin(struct tool_doctor *doctor, struct tool *tool,
                       const struct tool_request *request, enum bitcask_status stop)
{
    bool wanted = (request->given & TOOL_OPTION_PROGRESS) != 0;

    *doctor = (struct tool_doctor){ .tool = tool,
                                    .stop = stop,
                                    .quiet = (request->given & TOOL_OPTION_QUIET) != 0,
                                    .json = (request->given & TOOL_OPTION_JSON) != 0 &&
                                            !(request->given & TOOL_OPTION_QUIET) };
    tool_interrupt_install();
    tool_progress_begin(&doctor->progress, wanted);
    if (tool->log.level != TOOL_LOG_SILENT && tool->log.json)
        doctor->progress.on = false; /* every line is to be JSON */
    if (doctor->quiet && !wanted)
        doctor->progress.on = false;
}

enum bitcask_status tool_doctor_go_on(struct tool_doctor *doctor)
{
    doctor->stopped = tool_interrupt_signal() != 0;
    return doctor->stopped || doctor->no_memory ? doctor->stop : BITCASK_OK;
}

void tool_doctor_print_json(struct tool_doctor *doctor, json_t *object)
{
    if (!tool_json_print(&doctor->tool->output, object))
        doctor->no_memory = true;
}

enum bitcask_status tool_doctor_note(const struct bitcask_finding *finding, void *context)
{
    struct tool_doctor *doctor = context;

    if (doctor->json)
        tool_doctor_print_json(doctor, tool_finding_json(finding));
    else if (!doctor->quiet)
        tool_finding_print(&doctor->tool->output, finding);
    return tool_doctor_go_on(doctor);
}

enum bitcask_status tool_doctor_step(const struct bitcask_inspect_progress *progress,
                                     void *context)
{
    struct tool_doctor *doctor = context;

    doctor->reached = *progress;
    tool_progress_step_bar(&doctor->progress, progress->done_size, progress->total_size);
    return tool_doctor_go_on(doctor);
}

void tool_doctor_end(struct tool_doctor *doctor, enum bitcask_status status)
{
    tool_progress_end_bar(&doctor->progress, doctor->reached.done_size,
                          doctor->reached.total_size);
    doctor->status = status;
    if (status != doctor->stop) /* it came to its end before it was stopped */
        doctor->stopped = false;
}

int tool_doctor_tell(struct tool_doctor *doctor, json_t *summary, const char *stopped)
{
    /* What cannot be told in full is not summed up either. */
    if (doctor->no_memory)
        json_decref(summary);
    else if (doctor->json)
        tool_doctor_print_json(doctor, summary);
    if (doctor->no_memory) {
        tool_say(doctor->tool, TOOL_LOG_ERROR, "there is no memory to report as JSON");
        return TOOL_ERROR;
    }
    if (doctor->stopped) {
        tool_say(doctor->tool, TOOL_LOG_WARN, "ended by a signal; %s", stopped);
        return TOOL_ERROR;
    }
    return TOOL_DONE;
}
