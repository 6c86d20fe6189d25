/* SPDX-License-Identifier: MIT */
/*
 * What a merge does and did, in words and as JSON.
 *
 * Runs no merge, and knows nothing of options.
 */
#ifndef TOOLS_MERGE_REPORT_H
#define TOOLS_MERGE_REPORT_H

#include "tool.h"

/* All that there is to tell of one. */
struct tool_merge {
    enum bitcask_status status;
    enum bitcask_merge_choice choice;
    bool dry_run;
    bool stopped;               /* by a signal */
    const char *problem;        /* the words for @status; borrowed */
    uint32_t dead_percent;      /* from which the policy takes a file */
    struct bitcask_stat before; /* of the store */
    struct bitcask_stat after;  /* the same in a dry run */
    struct bitcask_merge_report report;

    /* Sums over the files that it was told of. */
    uint64_t file_count;
    uint64_t taken_count;
    uint64_t data_size;
    uint64_t live_size;
    uint64_t freed_size;
};

/* The word of JSON for @reason; never NULL. */
const char *tool_merge_reason_word(enum bitcask_merge_reason reason);

/* Add @file to the sums. */
void tool_merge_count(struct tool_merge *merge, const struct bitcask_merge_file *file);

/* By how many bytes the files became fewer. */
uint64_t tool_merge_freed(const struct tool_merge *merge);

/* The table of files: its head, a line each, and the sums below. */
void tool_merge_print_head(struct tool_output *output);
void tool_merge_print_file(struct tool_output *output,
                           const struct bitcask_merge_file *file);
void tool_merge_print_sums(struct tool_output *output, const struct tool_merge *merge);

/* What it did, or why there was nothing to do. */
void tool_merge_print(struct tool_output *output, const struct tool_merge *merge);

/* The same as objects; NULL: no memory. */
json_t *tool_merge_file_json(const struct bitcask_merge_file *file);
json_t *tool_merge_json(const struct tool_merge *merge, const char *directory);

/* A line of the log, at level info. */
void tool_merge_log(const struct tool *tool, const struct tool_merge *merge,
                    uint64_t begin_ns);

#endif
