/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "interrupt.h"
#include "json_out.h"
#include "merge_report.h"
#include "progress.h"

#include <stdlib.h>
#include <string.h>

enum {
    DEAD_PERCENT_DEFAULT = 50,
    MERGE_IF_DUE_MS = 1000
};

/* What `merge` may be given only once, or not in every place. */
int tool_check_merge(const struct tool *tool, struct tool_request *request)
{
    const char *problem = NULL;

    if (request->given & TOOL_OPTION_ALL && request->given & TOOL_OPTION_FILE)
        problem = "--all and --file are two choices, take one";
    else if (request->given & (TOOL_OPTION_ALL | TOOL_OPTION_FILE) &&
             request->given & TOOL_OPTION_DEAD_PERCENT)
        problem = "--dead-percent has nothing to say where --all or --file choose";
    else if (tool->in_shell && request->given & TOOL_OPTION_DEAD_PERCENT)
        problem = "--dead-percent is not for the shell, where the store is open";
    else if (tool->in_shell && request->operand_count > 0)
        problem = "the shell merges the store that is open, no other";
    if (problem != NULL) {
        tool_say(tool, TOOL_LOG_ERROR, "%s", problem);
        return TOOL_USAGE;
    }
    return tool_check_directory(tool, request);
}

/* What the callbacks need. */
struct run {
    struct tool *tool;
    const struct tool_request *request;
    struct tool_merge merge;
    struct tool_progress progress;
    struct bitcask_merge_progress reached;
    json_t *files; /* with --json and --explain */
    char *problem; /* owned */
};

/* What a callback says when a signal came. No failure of a merge is called so. */
static const enum bitcask_status stop = BITCASK_NOT_FOUND;

static enum bitcask_status explain(const struct bitcask_merge_file *file, void *context)
{
    struct run *run = context;
    struct tool_output *output = &run->tool->output;

    tool_merge_count(&run->merge, file);
    if (run->files != NULL)
        return json_array_append_new(run->files, tool_merge_file_json(file)) == 0
                   ? BITCASK_OK
                   : BITCASK_NO_MEMORY;
    if (run->merge.file_count == 1)
        tool_merge_print_head(output);
    tool_merge_print_file(output, file);
    return BITCASK_OK;
}

/* The table is complete: show it before the long part. */
static void end_table(struct run *run)
{
    if (run->merge.file_count == 0 || run->files != NULL)
        return;
    tool_merge_print_sums(&run->tool->output, &run->merge);
    tool_output_flush(&run->tool->output); /* a failure is said when the tool ends */
}

static enum bitcask_status step(const struct bitcask_merge_progress *progress,
                                void *context)
{
    struct run *run = context;
    const struct tool_log *log = &run->tool->log;
    bool wanted = (run->request->given & TOOL_OPTION_PROGRESS) != 0;

    if (run->progress.begin_ns == 0) {
        end_table(run);
        tool_progress_begin(&run->progress, wanted);
        if (log->level != TOOL_LOG_SILENT && log->json)
            run->progress.on = false; /* every line is to be JSON */
    }
    run->reached = *progress;
    tool_progress_step_bar(&run->progress, progress->done_size, progress->total_size);
    if (tool_interrupt_signal() == 0)
        return BITCASK_OK;
    run->merge.stopped = true;
    return stop;
}

/* Merge as @options say, and find out all that there is to tell. */
static void merge(struct run *run, struct bitcask_merge_options *options)
{
    struct bitcask *cask = run->tool->cask;
    struct tool_merge *merge = &run->merge;

    merge->choice = options->choice;
    merge->dry_run = options->dry_run;
    options->context = run;
    bitcask_stat(cask, &merge->before);
    merge->status = bitcask_merge(cask, options, &merge->report);
    if (merge->status != stop) /* it has failed before it was stopped */
        merge->stopped = false;
    if (merge->status != BITCASK_OK && !merge->stopped)
        run->problem = strdup(tool_detail(merge->status));
    merge->problem = run->problem;
    bitcask_stat(cask, &merge->after);
}

static void choose(const struct tool_request *request,
                   struct bitcask_merge_options *options)
{
    if (request->given & TOOL_OPTION_ALL)
        options->choice = BITCASK_MERGE_ALL;
    if (request->given & TOOL_OPTION_FILE)
        options->choice = BITCASK_MERGE_FILES;
    options->file_ids = request->file_ids;
    options->file_count = request->file_count;
    options->dry_run = (request->given & TOOL_OPTION_DRY_RUN) != 0;
    options->rate = request->rate;
    /* To tell beforehand which tombstones can go, files are read once more. */
    options->explain = request->given & TOOL_OPTION_EXPLAIN ? explain : NULL;
    options->progress = step;
}

static int print_json(struct run *run)
{
    json_t *object = tool_merge_json(&run->merge, run->tool->directory);

    if (run->files != NULL)
        object = tool_json_with(object, "files", json_incref(run->files));
    if (tool_json_print(&run->tool->output, object))
        return TOOL_DONE;
    tool_say(run->tool, TOOL_LOG_ERROR, "there is no memory to report as JSON");
    return TOOL_ERROR;
}

/* Say how it ended, if not well. An exit status. */
static int say_end(const struct run *run)
{
    const struct tool_merge *merge = &run->merge;

    if (merge->stopped) {
        tool_say(
            run->tool, TOOL_LOG_WARN,
            "ended by a signal; files that are finished stay so, the rest is as it was");
        return TOOL_DONE;
    }
    if (merge->status == BITCASK_OK)
        return TOOL_DONE;
    tool_say(run->tool, TOOL_LOG_ERROR, "%s: %s",
             merge->report.input_count > 0 ? "not all could be merged"
                                           : "nothing could be merged",
             merge->problem != NULL ? merge->problem
                                    : bitcask_status_text(merge->status));
    /* 2 says that a key is missing, not a file. */
    return merge->status == BITCASK_NOT_FOUND ? TOOL_ERROR : tool_exit_of(merge->status);
}

static int report(struct run *run)
{
    const struct tool_merge *merge = &run->merge;
    bool begun = run->progress.begin_ns != 0;
    int code = TOOL_DONE;

    if (!begun)
        end_table(run);
    if (begun && merge->status == BITCASK_OK && merge->report.left_count == 0)
        run->reached.done_size = run->reached.total_size;
    tool_progress_end_bar(&run->progress, run->reached.done_size,
                          run->reached.total_size);
    if (run->request->given & TOOL_OPTION_JSON)
        code = print_json(run);
    else if (merge->status == BITCASK_OK || merge->report.input_count > 0)
        tool_merge_print(&run->tool->output, merge);
    return tool_exit_worse(code, say_end(run));
}

int tool_command_merge(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_options options = { 0 };
    struct bitcask_merge_options merge_options = { 0 };
    struct run run = { .tool = tool, .request = request };
    uint64_t begin_ns = tool_now_ns();
    int code;

    options.must_exist = true;
    options.read_only = (request->given & TOOL_OPTION_DRY_RUN) != 0;
    options.merge_auto_off = true;
    options.merge_dead_percent = request->dead_percent;
    code = tool_open(tool, &options);
    if (code != TOOL_DONE)
        return code;
    tool_interrupt_install();
    run.merge.dead_percent =
        request->dead_percent > 0 ? request->dead_percent : DEAD_PERCENT_DEFAULT;
    if (request->given & TOOL_OPTION_JSON && request->given & TOOL_OPTION_EXPLAIN) {
        run.files = json_array();
        if (run.files == NULL) {
            tool_say(tool, TOOL_LOG_ERROR, "there is no memory to report as JSON");
            return TOOL_ERROR;
        }
    }
    choose(request, &merge_options);
    merge(&run, &merge_options);
    tool_merge_log(tool, &run.merge, begin_ns);
    code = report(&run);
    json_decref(run.files);
    free(run.problem);
    return code;
}

/* At the end of a command that writes. */

static enum bitcask_status go_on(const struct bitcask_merge_progress *progress,
                                 void *context)
{
    struct run *run = context;

    (void)progress;
    run->merge.stopped = tool_interrupt_signal() != 0;
    return run->merge.stopped ? stop : BITCASK_OK;
}

void tool_merge_if_due(struct tool *tool)
{
    struct bitcask_merge_options options = { 0 };
    struct run run = { .tool = tool };
    uint64_t begin_ns = tool_now_ns();
    bool due = false;

    if (tool->merge_off || tool->cask == NULL || tool_interrupt_signal() != 0)
        return;
    if (bitcask_merge_due(tool->cask, &due) != BITCASK_OK || !due)
        return;
    tool_output_flush(&tool->output); /* who waits for the answer has it now */
    tool_interrupt_install();
    options.max_ms = MERGE_IF_DUE_MS;
    options.progress = go_on;
    merge(&run, &options);
    tool_merge_log(tool, &run.merge, begin_ns);
    /* Of a store that has FAILED before, the command has told. */
    if (run.merge.status != BITCASK_OK && run.merge.status != BITCASK_FAILED &&
        !run.merge.stopped)
        tool_say(
            tool, TOOL_LOG_WARN,
            "warning: a merge, to give space back, failed; nothing is lost by it: %s",
            run.problem != NULL ? run.problem : bitcask_status_text(run.merge.status));
    free(run.problem);
}
