/* SPDX-License-Identifier: MIT */
#include "program.h"

#include "arguments.h"
#include "interrupt.h"
#include "settings.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Whoever starts us with a standard descriptor closed would have the store's files take
 * its number, and our messages written into them. What is opened here instead fails
 * when it is used.
 */
static bool fill_standard_descriptors(void)
{
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++) {
        int useless = i == STDIN_FILENO ? O_WRONLY : O_RDONLY;

        if (fcntl(i, F_GETFD) < 0 && open("/dev/null", useless) != i)
            return false;
    }
    return true;
}

/* Settle what @request leaves open: the store, and the log. */
static int settle(struct tool *tool, const struct tool_request *request,
                  struct tool_settings *settings)
{
    struct tool_settings_given given = { request->directory, request->env_file,
                                         request->log };
    int code = tool_settings_load(settings, tool, &given);

    if (code != TOOL_DONE)
        return code;
    tool->directory = settings->directory;
    tool->merge_off = settings->merge_off || request->given & TOOL_OPTION_NO_MERGE;
    tool->log = settings->log;
    if (tool_log_wants(&tool->log, TOOL_LOG_DEBUG))
        tool_log_write(&tool->log, TOOL_LOG_DEBUG, "settings", tool->begin_ns,
                       json_pack("{s:s, s:s}", "directory_source",
                                 settings->directory_source, "library",
                                 bitcask_version()));
    return TOOL_DONE;
}

static void log_end(const struct tool *tool, int code)
{
    if (tool_log_wants(&tool->log, TOOL_LOG_INFO))
        tool_log_write(
            &tool->log, TOOL_LOG_INFO, "done", tool->begin_ns,
            json_pack("{s:s, s:i}", "command", tool->command, "exit_status", code));
}

static int run(struct tool *tool, const struct tool_request *request)
{
    struct tool_settings settings = { 0 };
    int code;

    if (request->given & TOOL_OPTION_VERSION) {
        tool_output_print(&tool->output, "%s %s\n", tool->program, bitcask_version());
        return tool_flush(tool);
    }
    /* Help is there whatever the settings are. */
    if (request->given & TOOL_OPTION_HELP) {
        tool_help_print(tool, request->command);
        return tool_flush(tool);
    }
    if (request->command->run == tool_command_help) {
        code = tool_command_help(tool, request);
        return tool_exit_worse(code, tool_flush(tool));
    }
    tool->command = request->command->name;
    code = settle(tool, request, &settings);
    if (code == TOOL_DONE) {
        code = request->command->run(tool, request);
        if (request->command->options & TOOL_OPTION_NO_MERGE)
            tool_merge_if_due(tool);
        code = tool_exit_worse(code, tool->salvage_code);
        code = tool_exit_worse(code, tool_close(tool));
        code = tool_exit_worse(code, tool_flush(tool));
        log_end(tool, code);
    }
    tool_release(tool);
    tool_settings_release(&settings);
    return code;
}

/* The words of the command line, with @command, if it is not NULL, as the first. */
static struct bitcask_slice *words_of(const char *command, char **arguments, size_t count)
{
    size_t first = command != NULL ? 1 : 0;
    struct bitcask_slice *words = malloc((first + count + 1) * sizeof *words);

    if (words == NULL)
        return NULL;
    words[0] = bitcask_text(command);
    for (size_t i = 0; i < count; i++)
        words[first + i] = bitcask_text(arguments[i]);
    return words;
}

int tool_program_run(const char *name, const char *command, int argc, char **argv)
{
    static struct tool tool = { .output = { .descriptor = STDOUT_FILENO } };
    size_t count = argc > 0 ? (size_t)argc - 1 : 0;
    struct bitcask_slice *words;
    struct tool_request request;
    int code;

    if (!fill_standard_descriptors())
        return TOOL_ERROR;
    signal(SIGPIPE, SIG_IGN); /* a write says EPIPE instead, and the store is closed */
    tool.program = name;
    tool.single = command != NULL;
    tool.begin_ns = tool_now_ns();
    words = words_of(command, argv + 1, count);
    if (words == NULL) {
        tool_say(&tool, TOOL_LOG_ERROR, "there is no memory for %zu words", count);
        return TOOL_ERROR;
    }

    code = tool_arguments_parse(&tool, words, count + (tool.single ? 1 : 0), &request);
    if (code == TOOL_DONE)
        code = run(&tool, &request);
    tool_request_release(&request);
    free(words);
    tool_interrupt_raise();
    return code;
}
