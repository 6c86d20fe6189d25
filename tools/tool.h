/* SPDX-License-Identifier: MIT */
/*
 * What every command has at hand: the open store, standard output, and one way to say
 * what went wrong and to turn it into an exit status.
 *
 * Knows nothing of command words and options.
 */
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H

#include "log.h"
#include "output.h"

/* Exit statuses, part of the interface; 64, 65 and 75 are those of <sysexits.h>. */
enum tool_exit {
    TOOL_DONE = 0,
    TOOL_ERROR = 1,
    TOOL_NOT_FOUND = 2,
    TOOL_USAGE = 64,
    TOOL_DAMAGED = 65,
    TOOL_LOCKED = 75
};

/* Zero-initialise; see tool_release(). */
struct tool {
    const char *program; /* its name; borrowed */
    bool single;         /* the program is one command, whose word is not written */
    struct tool_log log;
    struct tool_output output;
    const char *directory;       /* of the store; borrowed */
    bool merge_off;              /* merge only when asked to */
    struct bitcask *cask;        /* NULL while it is not open */
    int salvage_code;            /* TOOL_DAMAGED if --salvage stepped over damage */
    struct bitcask_buffer value; /* for gets, one after the other */
    const char *command;         /* the word, for the log; borrowed */
    bool in_shell;               /* the words come from lines of the shell */
    uint64_t line;               /* the number of that line; 0 when it is typed */
    uint64_t begin_ns;           /* of the command, or of the line */
};

enum {
    TOOL_NAME_SIZE = 96
};

/* A key or path made fit for a message: escaped, in quotes, and cut when it is long. */
struct tool_name {
    char text[TOOL_NAME_SIZE];
};
struct tool_name tool_name_of(struct bitcask_slice bytes);

/*
 * Say it on standard error: `PROGRAM: MESSAGE`, or as a line of the log when that is on.
 * Long messages are cut at 8 KiB.
 */
void tool_say(const struct tool *tool, enum tool_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The exit status for @status. */
int tool_exit_of(enum bitcask_status status);

/* The one of two exit statuses that tells of more harm. */
int tool_exit_worse(int one, int other);

/* What the library says of its last failure, which ended in @status. */
const char *tool_detail(enum bitcask_status status);

/*
 * Say that the store @could_not, such as `could not be opened`, and why. The exit status;
 * never 2, which says that a key is missing.
 */
int tool_report_store(const struct tool *tool, enum bitcask_status status,
                      const char *could_not);

/*
 * Open the store, unless it is open, as @options say. Gives an exit status, and has
 * said what went wrong if that is not TOOL_DONE.
 */
int tool_open(struct tool *tool, const struct bitcask_options *options);

/* Close the store if it is open. As tool_open(). */
int tool_close(struct tool *tool);

/*
 * Flush standard output. TOOL_DONE also when its reader went away, which is no
 * failure; TOOL_ERROR, said, when what was printed is lost.
 */
int tool_flush(struct tool *tool);

/*
 * Print @object, which tells of @key, as one line, and release it. NULL stands for no
 * memory. Gives an exit status, and has said what went wrong.
 */
int tool_print_json(struct tool *tool, struct bitcask_slice key, json_t *object);

/* Close the store, quietly, and free everything. */
void tool_release(struct tool *tool);

#endif
