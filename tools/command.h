/* SPDX-License-Identifier: MIT */
/*
 * The words that the tool understands, and what stands behind each. The same commands
 * serve the command line and the lines of the shell.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include "tool.h"

/* Options, as bits of a set. */
enum tool_option {
    TOOL_OPTION_DIR = 1 << 0,
    TOOL_OPTION_ENV_FILE = 1 << 1,
    TOOL_OPTION_LOG = 1 << 2,
    TOOL_OPTION_HELP = 1 << 3,
    TOOL_OPTION_VERSION = 1 << 4,
    TOOL_OPTION_JSON = 1 << 5,
    TOOL_OPTION_SALVAGE = 1 << 6,
    TOOL_OPTION_SYNC = 1 << 7,
    TOOL_OPTION_IF_ABSENT = 1 << 8,
    TOOL_OPTION_PRINT = 1 << 9,
    TOOL_OPTION_PREFIX = 1 << 10,
    TOOL_OPTION_FROM = 1 << 11,
    TOOL_OPTION_TO = 1 << 12,
    TOOL_OPTION_LIMIT = 1 << 13,
    TOOL_OPTION_KEYS_ONLY = 1 << 14,
    TOOL_OPTION_ZEROS = 1 << 15,
    TOOL_OPTION_PROGRESS = 1 << 16,
    TOOL_OPTION_NO_MERGE = 1 << 17,
    TOOL_OPTION_DRY_RUN = 1 << 18,
    TOOL_OPTION_EXPLAIN = 1 << 19,
    TOOL_OPTION_ALL = 1 << 20,
    TOOL_OPTION_FILE = 1 << 21,
    TOOL_OPTION_RATE = 1 << 22,
    TOOL_OPTION_DEAD_PERCENT = 1 << 23
};

/* What is asked for, by a command line or by a line of the shell. */
struct tool_request {
    const struct tool_command *command;   /* NULL when none was named */
    const struct bitcask_slice *operands; /* the words behind the command's */
    size_t operand_count;
    unsigned given; /* the options that are there, switches among them */

    const char *directory;
    const char *env_file;
    const char *log;
    enum bitcask_sync_mode sync;
    struct bitcask_slice prefix, from, to;
    uint64_t limit;        /* UINT64_MAX without one */
    uint64_t rate;         /* 0 without one */
    uint32_t dead_percent; /* 0 without one */
    uint64_t *file_ids;    /* owned */
    size_t file_count;

    struct bitcask_slice *words; /* owned: the command's word and the operands */
};

/* Do what @request asks. Gives an exit status; what went wrong has been said. */
typedef int tool_command_run(struct tool *tool, const struct tool_request *request);

/* Where a command can be used. */
enum tool_place {
    TOOL_PLACE_LINE = 1, /* on the command line */
    TOOL_PLACE_SHELL = 2,
    TOOL_PLACE_BOTH = 3
};

struct tool_command {
    const char *name;
    const char *usage; /* its operands */
    const char *brief; /* what it does, in half a line */
    const char *help;  /* all the rest */
    size_t operands_min;
    size_t operands_max; /* SIZE_MAX: any number */
    size_t key_count;    /* so many operands, from the first, are keys */
    unsigned options;    /* that go with it, besides the general ones */
    enum tool_place place;
    tool_command_run *run;
};

/* The command called @name; NULL if there is none. */
const struct tool_command *tool_command_find(struct bitcask_slice name);

/* The names of the commands for @place, in one string with commas between. */
void tool_command_names(enum tool_place place, char *names, size_t capacity);

/* Print the general help, or that of @command if it is not NULL. */
void tool_help_print(struct tool *tool, const struct tool_command *command);

/* What all of `get`, `list`, `exists` and `stat` open the store with. */
int tool_open_to_read(struct tool *tool, const struct tool_request *request);

/*
 * For the end of a command that writes: if a merge is due, do a second of it. How it
 * ends is only logged, or said as a warning: what the command wrote is written.
 */
void tool_merge_if_due(struct tool *tool);

/*
 * Print one of a command's values as `get` does: the bytes as they are, a newline only
 * between two of them and on a terminal, or as one JSON object. @value is NULL for a
 * key that is not there. @count counts the values printed so far, and is stepped. Gives
 * an exit status.
 */
int tool_value_print(struct tool *tool, const struct tool_request *request,
                     struct bitcask_slice key, const struct bitcask_slice *value,
                     size_t *count);

tool_command_run tool_command_set;
tool_command_run tool_command_get;
tool_command_run tool_command_exists;
tool_command_run tool_command_list;
tool_command_run tool_command_delete;
tool_command_run tool_command_stat;
tool_command_run tool_command_load;
tool_command_run tool_command_merge;
tool_command_run tool_command_shell;
tool_command_run tool_command_sync; /* the shell's own */
tool_command_run tool_command_help;

#endif
