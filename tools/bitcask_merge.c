/* SPDX-License-Identifier: MIT */
/*
 * `bitcask merge` as a program of its own, for timers and scripts: bitcask-merge DIR.
 */
#include "program.h"

int main(int argc, char **argv)
{
    return tool_program_run("bitcask-merge", "merge", argc, argv);
}
