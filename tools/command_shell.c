/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "arguments.h"
#include "interrupt.h"
#include "lines.h"
#include "words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shell {
    struct tool_lines lines;
    bool typed;         /* standard input is a terminal */
    bool over;          /* quit, or nobody reads our answers */
    tool_options given; /* options that go for every line */

    struct bitcask_slice *words; /* of the line */
    size_t word_count;
    size_t word_capacity;
};

static bool add_word(struct shell *shell, struct bitcask_slice word)
{
    if (shell->word_count == shell->word_capacity) {
        size_t capacity = shell->word_capacity == 0 ? 16 : 2 * shell->word_capacity;
        void *words = realloc(shell->words, capacity * sizeof *shell->words);

        if (words == NULL)
            return false;
        shell->words = words;
        shell->word_capacity = capacity;
    }
    shell->words[shell->word_count++] = word;
    return true;
}

/* Part the line into words. */
static int split(const struct tool *tool, struct shell *shell, char *line, size_t size)
{
    struct tool_words words = { .line = line, .size = size };
    struct bitcask_slice word;
    enum tool_words_result result;

    shell->word_count = 0;
    while ((result = tool_words_next(&words, &word)) == TOOL_WORDS_WORD) {
        if (!add_word(shell, word)) {
            tool_say(tool, TOOL_LOG_ERROR, "there is no memory for so many words");
            return TOOL_ERROR;
        }
    }
    if (result == TOOL_WORDS_END)
        return TOOL_DONE;
    tool_say(tool, TOOL_LOG_ERROR, "%s (see help)", words.problem);
    return TOOL_USAGE;
}

/* Do what the words ask. */
static int run(struct tool *tool, struct shell *shell)
{
    struct tool_request request;
    int code = tool_arguments_parse(tool, shell->words, shell->word_count, &request);

    if (code == TOOL_DONE && request.given & TOOL_OPTION_HELP) {
        tool_help_print(tool, request.command);
    } else if (code == TOOL_DONE) {
        tool->command = request.command->name;
        request.given |= shell->given & request.command->options;
        if (request.command->run != NULL)
            code = request.command->run(tool, &request);
        else
            shell->over = true;
    }
    tool_request_release(&request);
    return code;
}

static void log_line(const struct tool *tool, const struct shell *shell, int code)
{
    if (tool_log_wants(&tool->log, TOOL_LOG_DEBUG))
        tool_log_write(&tool->log, TOOL_LOG_DEBUG, "line done", tool->begin_ns,
                       json_pack("{s:s?, s:I, s:i}", "command", tool->command, "line",
                                 (json_int_t)shell->lines.number, "exit_status", code));
}

/* Answer one line, completely: whoever drives us waits for it. */
static int answer(struct tool *tool, struct shell *shell, char *line, size_t size)
{
    int code;

    tool->begin_ns = tool_now_ns();
    tool->command = NULL;
    tool->line = shell->typed ? 0 : shell->lines.number;
    code = split(tool, shell, line, size);
    if (code == TOOL_DONE && shell->word_count > 0)
        code = run(tool, shell);
    if (!tool_output_flush(&tool->output))
        shell->over = true;
    log_line(tool, shell, code);
    tool->line = 0;
    return code;
}

/* Read and answer the next line; sets shell->over behind the last. */
static int step(struct tool *tool, struct shell *shell)
{
    char *line;
    size_t size;

    if (shell->typed)
        fputs("bitcask> ", stderr);
    switch (tool_lines_next(&shell->lines, &line, &size)) {
    case TOOL_LINES_LINE:
        return answer(tool, shell, line, size);
    case TOOL_LINES_TOO_LONG:
        tool_say(tool, TOOL_LOG_ERROR,
                 "line %llu is longer than 64 MiB and was skipped; `bitcask load` takes "
                 "values of any size",
                 (unsigned long long)shell->lines.number);
        return TOOL_ERROR;
    case TOOL_LINES_FAILED:
        tool_say(tool, TOOL_LOG_ERROR, "standard input could not be read: %s",
                 strerror(errno));
        shell->over = true;
        return TOOL_ERROR;
    case TOOL_LINES_END:
    case TOOL_LINES_INTERRUPTED:
        break;
    }
    if (shell->typed)
        fputc('\n', stderr);
    shell->over = true;
    return TOOL_DONE;
}

int tool_command_sync(struct tool *tool, const struct tool_request *request)
{
    enum bitcask_status status = bitcask_sync(tool->cask);

    (void)request;
    if (status != BITCASK_OK)
        tool_say(tool, TOOL_LOG_ERROR, "%s", tool_detail(status));
    return tool_exit_of(status);
}

int tool_command_shell(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_options options = { 0 };
    struct shell shell = { .lines = { .descriptor = STDIN_FILENO } };
    const char *command = tool->command;
    uint64_t begin_ns = tool->begin_ns;
    int code;

    options.sync = request->sync;
    options.merge_auto_off = tool->merge_off;
    code = tool_open(tool, &options);
    if (code != TOOL_DONE)
        return code;
    tool_interrupt_install();
    shell.typed = isatty(STDIN_FILENO);
    shell.given = request->given & TOOL_OPTION_JSON;
    tool->in_shell = true;
    while (!shell.over && tool_interrupt_signal() == 0)
        code = tool_exit_worse(code, step(tool, &shell));
    tool->in_shell = false;
    tool->command = command;
    tool->begin_ns = begin_ns;
    tool_lines_release(&shell.lines);
    free(shell.words);
    return code;
}
