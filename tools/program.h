/* SPDX-License-Identifier: MIT */
/*
 * The life of a program, from its words to its exit status.
 */
#ifndef TOOLS_PROGRAM_H
#define TOOLS_PROGRAM_H

/*
 * What main() does: understand the words, settle which store is meant, run the command,
 * close the store. @name stands before messages. If @command is not NULL the program is
 * that command alone, and its word is not among the others. Gives the exit status, or
 * ends by the signal that was noted.
 */
int tool_program_run(const char *name, const char *command, int argc, char **argv);

#endif
