/* SPDX-License-Identifier: MIT */
/*
 * How `verify` and `repair` show what they find.
 */
#ifndef TOOLS_FINDING_REPORT_H
#define TOOLS_FINDING_REPORT_H

#include <bitcask/inspect.h>
#include <jansson.h>

#include "output.h"

/* One line. */
void tool_finding_print(struct tool_output *output,
                        const struct bitcask_finding *finding);

/* The same as an object; NULL: no memory. */
json_t *tool_finding_json(const struct bitcask_finding *finding);

/* The numbers of keys by effect, and of regions without a name. */
struct tool_finding_counts {
    uint64_t lost;
    uint64_t stale;
    uint64_t undeleted;
    uint64_t unreadable;
    uint64_t unnamed;
};

/* Which keys are concerned, as the end of a sentence; nothing if there are none. */
void tool_finding_print_counts(struct tool_output *output,
                               const struct tool_finding_counts *counts);

#endif
