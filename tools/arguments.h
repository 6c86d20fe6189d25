/* SPDX-License-Identifier: MIT */
/*
 * Words into a request: options before and behind the command's word, up to `--`.
 */
#ifndef TOOLS_ARGUMENTS_H
#define TOOLS_ARGUMENTS_H

#include "command.h"

/*
 * Understand @words, each followed by a zero byte that its size does not count, as a
 * command line (or, tool->in_shell, as a line of the shell). *request borrows them, and
 * is to be released in any case.
 *
 * TOOL_DONE, or an exit status after having said what is wrong. With --help or
 * --version among the options nothing else has to be right.
 */
int tool_arguments_parse(const struct tool *tool, const struct bitcask_slice *words,
                         size_t count, struct tool_request *request);

void tool_request_release(struct tool_request *request);

#endif
