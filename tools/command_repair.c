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
    bool dry_run;
    struct bitcask_repair_report report;
};

static const char *const action_words[] = {
    [BITCASK_REPAIR_KEEP] = "keep",
    [BITCASK_REPAIR_REWRITE] = "rewrite",
    [BITCASK_REPAIR_QUARANTINE] = "quarantine",
};

static const char *action_word(enum bitcask_repair_action action)
{
    size_t index = (size_t)action;

    return index >= 1 && index < sizeof action_words / sizeof *action_words
               ? action_words[index]
               : "unknown";
}

static json_t *step_json(const struct bitcask_repair_step *step)
{
    json_t *object = json_object();

    object = tool_json_with(object, "step", json_string(action_word(step->action)));
    object = tool_json_with(object, "file", tool_json_text(step->file));
    object = tool_json_with(object, "size", json_integer((json_int_t)step->size));
    object = tool_json_with(object, "record_count",
                            json_integer((json_int_t)step->record_count));
    object = tool_json_with(object, "moved_to", tool_json_text(step->moved_to));
    return tool_json_with(object, "reason", tool_json_text(step->reason));
}

/* What stays as it is, is only counted. */
static void print_step(struct tool_output *output, const struct bitcask_repair_step *step)
{
    char size[TOOL_NUMBER_SIZE], records[TOOL_NUMBER_SIZE];

    if (step->action == BITCASK_REPAIR_KEEP)
        return;
    tool_output_print(output, "%-11s", action_word(step->action));
    tool_output_escape(output, bitcask_text(step->file));
    tool_output_print(output, ", %s", tool_size_print(step->size, size));
    if (step->action == BITCASK_REPAIR_REWRITE)
        tool_output_print(output, ", %s records are kept",
                          tool_number_print(step->record_count, records));
    if (*step->moved_to != 0) {
        tool_output_text(output, ", goes to quarantine/");
        tool_output_escape(output, bitcask_text(step->moved_to));
    }
    if (*step->reason != 0) {
        tool_output_text(output, ": ");
        tool_output_escape(output, bitcask_text(step->reason));
    }
    tool_output_text(output, "\n");
}

static enum bitcask_status note_step(const struct bitcask_repair_step *step,
                                     void *context)
{
    struct tool_doctor *doctor = context;

    if (doctor->json)
        tool_doctor_print_json(doctor, step_json(step));
    else
        print_step(&doctor->tool->output, step);
    return tool_doctor_go_on(doctor);
}

#define REPORT(name) #name, offsetof(struct bitcask_repair_report, name)
static const struct tool_json_field report_fields[] = {
    { REPORT(record_count) },      { REPORT(kept_count) },    { REPORT(rewritten_count) },
    { REPORT(output_count) },      { REPORT(output_size) },   { REPORT(damage_count) },
    { REPORT(quarantined_count) }, { REPORT(lost_count) },    { REPORT(stale_count) },
    { REPORT(undeleted_count) },   { REPORT(unnamed_count) }, { REPORT(unnamed_size) },
    { REPORT(elapsed_ms) },
};

static const char *result_word(const struct run *run)
{
    if (run->doctor.stopped)
        return "stopped";
    if (run->doctor.status != BITCASK_OK)
        return "failed";
    if (!run->report.needed)
        return "clean";
    return run->dry_run ? "would_repair" : "repaired";
}

static json_t *summary_of(const struct run *run)
{
    json_t *object = json_object();

    object = tool_json_with(object, "summary", json_string("repair"));
    object = tool_json_with(object, "result", json_string(result_word(run)));
    object = tool_json_with(object, "dry_run", json_boolean(run->dry_run));
    object = tool_json_with(object, "changed", json_boolean(run->report.changed));
    object =
        tool_json_with(object, "directory", tool_json_text(run->doctor.tool->directory));
    object = tool_json_join(
        object, tool_json_numbers(&run->report, report_fields,
                                  sizeof report_fields / sizeof *report_fields));
    if (!run->dry_run) /* which cannot know it */
        object = tool_json_with(object, "key_count",
                                json_integer((json_int_t)run->report.key_count));
    return object;
}

static void print_text(struct run *run)
{
    const struct bitcask_repair_report *report = &run->report;
    const struct tool_finding_counts counts = { .lost = report->lost_count,
                                                .stale = report->stale_count,
                                                .undeleted = report->undeleted_count,
                                                .unnamed = report->unnamed_count };
    struct tool_output *output = &run->doctor.tool->output;
    char one[TOOL_NUMBER_SIZE], two[TOOL_NUMBER_SIZE], size[TOOL_NUMBER_SIZE];

    if (!report->needed) {
        tool_output_text(output, "nothing to repair: there is no damage\n");
        return;
    }
    tool_number_print(report->record_count, one);
    if (run->dry_run) /* how many keys they are of, only the repaired store tells */
        tool_output_print(output, "would be repaired: %s records are left then\n", one);
    else
        tool_output_print(output, "repaired: %s records of %s keys are left\n", one,
                          tool_number_print(report->key_count, two));
    tool_output_print(output, "data files: %s as they were, ",
                      tool_number_print(report->kept_count, one));
    tool_output_print(output, "%s rewritten to %s of %s; ",
                      tool_number_print(report->rewritten_count, one),
                      tool_number_print(report->output_count, two),
                      tool_size_print(report->output_size, size));
    tool_output_print(output, "files moved to quarantine: %s\n",
                      tool_number_print(report->quarantined_count, one));
    tool_finding_print_counts(output, &counts);
}

/* The store is whole, but something is missing in it: nobody should overlook that. */
static void warn_of_loss(const struct run *run)
{
    const struct bitcask_repair_report *report = &run->report;
    uint64_t keys = report->lost_count + report->stale_count + report->undeleted_count;

    if (keys > 0)
        tool_say(run->doctor.tool, TOOL_LOG_WARN,
                 "warning: records are lost, of %" PRIu64 " %s that can be named%s", keys,
                 keys == 1 ? "key" : "keys",
                 report->unnamed_count > 0 ? ", and of others" : "");
    else if (report->unnamed_count > 0)
        tool_say(run->doctor.tool, TOOL_LOG_WARN,
                 "warning: records are lost, of keys that cannot be named");
}

/* Tell how it ended. An exit status. */
static int tell(struct run *run)
{
    enum bitcask_status status = run->doctor.status;
    int code = tool_doctor_tell(&run->doctor, run->doctor.json ? summary_of(run) : NULL,
                                run->dry_run ? "nothing was changed"
                                             : "run it again to take it up where it is");

    if (code != TOOL_DONE)
        return code;
    if (status != BITCASK_OK)
        return tool_report_store(run->doctor.tool, status, "could not be repaired");
    if (!run->doctor.json)
        print_text(run);
    warn_of_loss(run);
    return run->dry_run && run->report.needed ? TOOL_DAMAGED : TOOL_DONE;
}

int tool_command_repair(struct tool *tool, const struct tool_request *request)
{
    struct run run = { .dry_run = (request->given & TOOL_OPTION_DRY_RUN) != 0 };
    const struct bitcask_repair_options options = {
        .dry_run = run.dry_run,
        .finding = tool_doctor_note,
        .step = note_step,
        .progress = tool_doctor_step,
        .context = &run.doctor,
    };
    enum bitcask_status status;

    tool_doctor_begin(&run.doctor, tool, request, BITCASK_TOO_BIG);
    status = bitcask_repair(tool->directory, &options, &run.report);
    if (status == BITCASK_OK) /* if nothing was to be copied, it was less */
        run.doctor.reached.total_size = run.doctor.reached.done_size;
    tool_doctor_end(&run.doctor, status);
    return tell(&run);
}
