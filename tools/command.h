/* SPDX-License-Identifier: MIT */
/*
 * The words that the tool understands, and what stands behind each. The same commands
 * serve the command line and the lines of the shell.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include "tool.h"

/* A set of options, which has more bits than a C11 enum may. */
typedef uint64_t tool_options;

#define TOOL_OPTION(bit) ((tool_options)1 << (bit))
#define TOOL_OPTION_DIR TOOL_OPTION(0)
#define TOOL_OPTION_ENV_FILE TOOL_OPTION(1)
#define TOOL_OPTION_LOG TOOL_OPTION(2)
#define TOOL_OPTION_HELP TOOL_OPTION(3)
#define TOOL_OPTION_VERSION TOOL_OPTION(4)
#define TOOL_OPTION_JSON TOOL_OPTION(5)
#define TOOL_OPTION_SALVAGE TOOL_OPTION(6)
#define TOOL_OPTION_SYNC TOOL_OPTION(7)
#define TOOL_OPTION_IF_ABSENT TOOL_OPTION(8)
#define TOOL_OPTION_PRINT TOOL_OPTION(9)
#define TOOL_OPTION_PREFIX TOOL_OPTION(10)
#define TOOL_OPTION_FROM TOOL_OPTION(11)
#define TOOL_OPTION_TO TOOL_OPTION(12)
#define TOOL_OPTION_LIMIT TOOL_OPTION(13)
#define TOOL_OPTION_KEYS_ONLY TOOL_OPTION(14)
#define TOOL_OPTION_ZEROS TOOL_OPTION(15)
#define TOOL_OPTION_PROGRESS TOOL_OPTION(16)
#define TOOL_OPTION_NO_MERGE TOOL_OPTION(17)
#define TOOL_OPTION_DRY_RUN TOOL_OPTION(18)
#define TOOL_OPTION_EXPLAIN TOOL_OPTION(19)
#define TOOL_OPTION_ALL TOOL_OPTION(20)
#define TOOL_OPTION_FILE TOOL_OPTION(21)
#define TOOL_OPTION_RATE TOOL_OPTION(22)
#define TOOL_OPTION_DEAD_PERCENT TOOL_OPTION(23)
#define TOOL_OPTION_HEADER TOOL_OPTION(24)
#define TOOL_OPTION_STATS TOOL_OPTION(25)
#define TOOL_OPTION_RAW TOOL_OPTION(26)
#define TOOL_OPTION_HEX TOOL_OPTION(27)
#define TOOL_OPTION_LIVE TOOL_OPTION(28)
#define TOOL_OPTION_KEY TOOL_OPTION(29)
#define TOOL_OPTION_FOLLOW TOOL_OPTION(30)
#define TOOL_OPTION_AT TOOL_OPTION(31)
#define TOOL_OPTION_THREADS TOOL_OPTION(32)
#define TOOL_OPTION_QUIET TOOL_OPTION(33)

/* What is asked for, by a command line or by a line of the shell. */
struct tool_request {
    const struct tool_command *command;   /* NULL when none was named */
    const struct bitcask_slice *operands; /* the words behind the command's */
    size_t operand_count;
    tool_options given; /* that are there, switches among them */

    const char *directory;
    const char *env_file;
    const char *log;
    enum bitcask_sync_mode sync;
    struct bitcask_slice prefix, from, to, key;
    uint64_t limit;        /* UINT64_MAX without one */
    uint64_t at;           /* a sequence */
    uint64_t offset;       /* what `dump` takes --from for */
    uint64_t rate;         /* 0 without one */
    uint32_t dead_percent; /* 0 without one */
    uint32_t threads;      /* 0 without one */
    uint64_t *file_ids;    /* owned */
    size_t file_count;

    char *path; /* owned: the directory of a file that was named; NULL for most */
    struct bitcask_slice *words; /* owned: the command's word and the operands */
};

/* Do what @request asks. Gives an exit status; what went wrong has been said. */
typedef int tool_command_run(struct tool *tool, const struct tool_request *request);

/*
 * Whether options and operands that suit the command suit each other, and where they
 * are. Like tool_command_run, but before anything is done.
 */
typedef int tool_command_check(const struct tool *tool, struct tool_request *request);

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
    size_t operands_max;  /* SIZE_MAX: any number */
    size_t key_count;     /* so many operands, from the first, are keys */
    tool_options options; /* that go with it, besides the general ones */
    enum tool_place place;
    tool_command_run *run;
    tool_command_check *check; /* may be NULL */
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

/* `get` with --at; command_history.c has it, with `log` and `undelete`. */
tool_command_run tool_get_at;

tool_command_run tool_command_set;
tool_command_run tool_command_get;
tool_command_run tool_command_exists;
tool_command_run tool_command_list;
tool_command_run tool_command_delete;
tool_command_run tool_command_stat;
tool_command_run tool_command_load;
tool_command_run tool_command_merge;
tool_command_run tool_command_dump;
tool_command_run tool_command_log;
tool_command_run tool_command_undelete;
tool_command_run tool_command_verify;
tool_command_run tool_command_hint;
tool_command_run tool_command_repair;
tool_command_run tool_command_shell;
tool_command_run tool_command_sync; /* the shell's own */
tool_command_run tool_command_help;

/*
 * For commands of which the first operand, if there is one, is the directory of the
 * store, as --dir says it too.
 */
tool_command_check tool_check_directory;
tool_command_check tool_check_merge;
tool_command_check tool_check_dump;
tool_command_check tool_check_get;
tool_command_check tool_check_hint;

#endif
