/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "help.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define READING (TOOL_OPTION_SALVAGE | TOOL_OPTION_JSON)
#define SELECTING                                                                 \
    (TOOL_OPTION_PREFIX | TOOL_OPTION_FROM | TOOL_OPTION_TO | TOOL_OPTION_LIMIT | \
     TOOL_OPTION_KEYS_ONLY | TOOL_OPTION_ZEROS)
#define WRITING (TOOL_OPTION_SYNC | TOOL_OPTION_NO_MERGE)
#define MERGING                                                                       \
    (TOOL_OPTION_DRY_RUN | TOOL_OPTION_EXPLAIN | TOOL_OPTION_ALL | TOOL_OPTION_FILE | \
     TOOL_OPTION_RATE | TOOL_OPTION_DEAD_PERCENT)
#define DUMPING                                                                     \
    (TOOL_OPTION_HEADER | TOOL_OPTION_STATS | TOOL_OPTION_JSON | TOOL_OPTION_RAW |  \
     TOOL_OPTION_HEX | TOOL_OPTION_KEYS_ONLY | TOOL_OPTION_LIVE | TOOL_OPTION_KEY | \
     TOOL_OPTION_FROM | TOOL_OPTION_FOLLOW)

static const struct tool_command commands[] = {
    { "set", "KEY VALUE", "set KEY to VALUE; - reads it from standard input",
      tool_help_set, 2, 2, 1, TOOL_OPTION_IF_ABSENT | WRITING, TOOL_PLACE_BOTH,
      tool_command_set, NULL },
    { "get", "KEY...", "print the values of keys, exactly as they are", tool_help_get, 1,
      SIZE_MAX, SIZE_MAX, READING | TOOL_OPTION_AT, TOOL_PLACE_BOTH, tool_command_get,
      tool_check_get },
    { "list", "", "print keys and values, sorted, one pair a line", tool_help_list, 0, 0,
      0, READING | SELECTING, TOOL_PLACE_BOTH, tool_command_list, NULL },
    { "delete", "KEY...", "remove keys", tool_help_delete, 1, SIZE_MAX, SIZE_MAX,
      TOOL_OPTION_PRINT | TOOL_OPTION_JSON | WRITING, TOOL_PLACE_BOTH,
      tool_command_delete, NULL },
    { "exists", "KEY", "tell by the exit status whether KEY is there", tool_help_exists,
      1, 1, 1, READING, TOOL_PLACE_BOTH, tool_command_exists, NULL },
    { "stat", "", "tell how many keys, bytes and files there are", tool_help_stat, 0, 0,
      0, READING, TOOL_PLACE_BOTH, tool_command_stat, NULL },
    { "load", "", "set the pairs on standard input, as list prints them", tool_help_load,
      0, 0, 0, TOOL_OPTION_ZEROS | WRITING | TOOL_OPTION_PROGRESS, TOOL_PLACE_LINE,
      tool_command_load, NULL },
    { "merge", "[DIR]", "give the space back that overwritten and deleted pairs take",
      tool_help_merge, 0, 1, 0, MERGING | TOOL_OPTION_JSON | TOOL_OPTION_PROGRESS,
      TOOL_PLACE_BOTH, tool_command_merge, tool_check_merge },
    { "dump", "[PATH]...", "show what is in data files, hints, MANIFEST or a cask",
      tool_help_dump, 0, SIZE_MAX, 0, DUMPING, TOOL_PLACE_LINE, tool_command_dump,
      tool_check_dump },
    { "log", "KEY", "tell which versions of KEY are still on disk", tool_help_log, 1, 1,
      1, TOOL_OPTION_JSON, TOOL_PLACE_BOTH, tool_command_log, NULL },
    { "undelete", "KEY", "bring the last value of KEY back", tool_help_undelete, 1, 1, 1,
      TOOL_OPTION_JSON | WRITING, TOOL_PLACE_BOTH, tool_command_undelete, NULL },
    { "verify", "[DIR]", "read every byte, and tell what is damaged", tool_help_verify, 0,
      1, 0,
      TOOL_OPTION_JSON | TOOL_OPTION_PROGRESS | TOOL_OPTION_RATE | TOOL_OPTION_THREADS |
          TOOL_OPTION_QUIET,
      TOOL_PLACE_LINE, tool_command_verify, tool_check_directory },
    { "hint", "verify|rebuild|show [DIR|FILE]", "check hints, make them again, show them",
      tool_help_hint, 1, 2, 0, TOOL_OPTION_JSON, TOOL_PLACE_LINE, tool_command_hint,
      tool_check_hint },
    { "repair", "[DIR]", "make a damaged store whole, and tell what is lost",
      tool_help_repair, 0, 1, 0,
      TOOL_OPTION_DRY_RUN | TOOL_OPTION_JSON | TOOL_OPTION_PROGRESS, TOOL_PLACE_LINE,
      tool_command_repair, tool_check_directory },
    { "shell", "", "do what the lines of standard input say", tool_help_shell, 0, 0, 0,
      WRITING | TOOL_OPTION_JSON, TOOL_PLACE_LINE, tool_command_shell, NULL },
    { "sync", "", "make everything safe from power failure", "", 0, 0, 0, 0,
      TOOL_PLACE_SHELL, tool_command_sync, NULL },
    { "help", "[COMMAND]", "explain all of it, or COMMAND", "", 0, 1, 0, 0,
      TOOL_PLACE_BOTH, tool_command_help, NULL },
    { "quit", "", "end, as the end of input does; exit does it too", "", 0, 0, 0, 0,
      TOOL_PLACE_SHELL, NULL, NULL },
    { "exit", "", "end, as quit does", "", 0, 0, 0, 0, TOOL_PLACE_SHELL, NULL, NULL },
};

enum {
    COMMAND_COUNT = sizeof commands / sizeof *commands
};

const struct tool_command *tool_command_find(struct bitcask_slice name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (name.size == strlen(commands[i].name) &&
            memcmp(name.data, commands[i].name, name.size) == 0)
            return &commands[i];
    return NULL;
}

void tool_command_names(enum tool_place place, char *names, size_t capacity)
{
    size_t size = 0;

    names[0] = 0;
    for (size_t i = 0; i < COMMAND_COUNT && size < capacity; i++)
        if (commands[i].place & place)
            size += (size_t)snprintf(names + size, capacity - size, "%s%s",
                                     size > 0 ? ", " : "", commands[i].name);
}

static void print_table(struct tool_output *output, enum tool_place place)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct tool_command *command = &commands[i];

        if (!(command->place & place))
            continue;
        if (strlen(command->usage) > 10) /* it would not fit the column */
            tool_output_print(output, "  %-9s%s\n  %-20s%s\n", command->name,
                              command->usage, "", command->brief);
        else
            tool_output_print(output, "  %-9s%-11s%s\n", command->name, command->usage,
                              command->brief);
    }
}

void tool_help_print(struct tool *tool, const struct tool_command *command)
{
    struct tool_output *output = &tool->output;
    const char *program = tool->in_shell ? "" : tool->program;
    const char *word = tool->single || command == NULL ? "" : command->name;

    if (command != NULL) {
        tool_output_print(output, "usage: %s%s%s%s%s%s\n\n%c%s.\n", program,
                          *program != 0 && *word != 0 ? " " : "", word,
                          command->options != 0 ? " [OPTION]..." : "",
                          *command->usage != 0 ? " " : "", command->usage,
                          toupper((unsigned char)*command->brief), command->brief + 1);
        if (*command->help != 0)
            tool_output_text(output, "\n");
        tool_output_text(output, command->help);
        return;
    }
    if (tool->in_shell) {
        tool_output_text(output, "A line is one of\n\n");
        print_table(output, TOOL_PLACE_SHELL);
        tool_output_text(output, tool_help_words);
        return;
    }
    tool_output_text(output, tool_help_usage);
    print_table(output, TOOL_PLACE_LINE);
    tool_output_text(output, tool_help_general);
    tool_output_text(output, tool_help_status);
}

int tool_command_help(struct tool *tool, const struct tool_request *request)
{
    const struct tool_command *command = NULL;

    if (request->operand_count > 0) {
        command = tool_command_find(request->operands[0]);
        if (command == NULL) {
            tool_say(tool, TOOL_LOG_ERROR, "there is no command %s to explain",
                     tool_name_of(request->operands[0]).text);
            return TOOL_USAGE;
        }
    }
    tool_help_print(tool, command);
    return TOOL_DONE;
}

int tool_open_to_read(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_options options = { 0 };

    options.read_only = true;
    options.must_exist = true;
    options.salvage = (request->given & TOOL_OPTION_SALVAGE) != 0;
    if (options.salvage && tool->in_shell) {
        tool_say(tool, TOOL_LOG_ERROR,
                 "the shell writes, so --salvage can only be used outside of it");
        return TOOL_USAGE;
    }
    return tool_open(tool, &options);
}
