/* SPDX-License-Identifier: MIT */
/*
 * What `verify` and `repair` have in common: a run that prints what is found as it is
 * found, shows how far it is, and can be ended by a signal.
 *
 *     struct tool_doctor doctor;
 *
 *     tool_doctor_begin(&doctor, tool, request, BITCASK_LOCKED);
 *     (call the library with tool_doctor_note and tool_doctor_step, and &doctor as
 * context) tool_doctor_end(&doctor, status); (make the summary) code =
 * tool_doctor_tell(&doctor, summary, "not all has been read");
 */
#ifndef TOOLS_DOCTOR_H
#define TOOLS_DOCTOR_H

#include <bitcask/inspect.h>
#include <jansson.h>

#include "command.h"
#include "progress.h"

struct tool_doctor {
    struct tool *tool;
    enum bitcask_status stop; /* what a callback says to end it */
    bool quiet;
    bool json;
    bool stopped; /* by a signal */
    bool no_memory;
    struct tool_progress progress;
    struct bitcask_inspect_progress reached;
    enum bitcask_status status; /* that it ended in */
};

/* @stop is a status that the call of the library does not fail with. */
void tool_doctor_begin(struct tool_doctor *doctor, struct tool *tool,
                       const struct tool_request *request, enum bitcask_status stop);

/* The callbacks; their context is a struct tool_doctor. */
enum bitcask_status tool_doctor_note(const struct bitcask_finding *finding,
                                     void *context);
enum bitcask_status tool_doctor_step(const struct bitcask_inspect_progress *progress,
                                     void *context);

/* For another callback: print @object, which is released, as a line. */
void tool_doctor_print_json(struct tool_doctor *doctor, json_t *object);

/* For another callback: what it is to say. */
enum bitcask_status tool_doctor_go_on(struct tool_doctor *doctor);

/* The call of the library has ended in @status. */
void tool_doctor_end(struct tool_doctor *doctor, enum bitcask_status status);

/*
 * Print @summary, which is released, if the answer is JSON (else it is NULL). If there
 * was no memory for that or a signal came, say so, with @stopped as what follows of the
 * latter. Gives an exit status.
 */
int tool_doctor_tell(struct tool_doctor *doctor, json_t *summary, const char *stopped);

#endif
