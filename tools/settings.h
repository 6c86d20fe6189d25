/* SPDX-License-Identifier: MIT */
/*
 * Which store, and how much to tell: options first, then the environment, then a .env
 * file, then the default.
 */
#ifndef TOOLS_SETTINGS_H
#define TOOLS_SETTINGS_H

#include "tool.h"

/* The store, when nobody says which. */
#define TOOL_DIRECTORY_DEFAULT "cask"

/* Zero-initialise; release, after which directory is gone. */
struct tool_settings {
    const char *directory;
    const char *directory_source; /* where it was said, for the log */
    bool merge_off;               /* merge only when asked to */
    struct tool_log log;
    char *env_text; /* the .env file that the strings lie in */
};

/* What the options said; NULL where they did not. */
struct tool_settings_given {
    const char *directory;
    const char *env_file; /* must be there; without, .env may be missing */
    const char *log;      /* "json" or "text" */
};

/*
 * Find out *settings. Gives an exit status, and has said on @tool's behalf what is
 * wrong if that is not TOOL_DONE.
 */
int tool_settings_load(struct tool_settings *settings, const struct tool *tool,
                       const struct tool_settings_given *given);

void tool_settings_release(struct tool_settings *settings);

#endif
