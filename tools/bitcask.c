/* SPDX-License-Identifier: MIT */
/*
 * The command line: `bitcask COMMAND`, see bitcask --help.
 */
#include "program.h"

#include <stddef.h>

int main(int argc, char **argv)
{
    return tool_program_run("bitcask", NULL, argc, argv);
}
