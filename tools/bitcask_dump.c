/* SPDX-License-Identifier: MIT */
/*
 * `bitcask dump` as a program of its own: bitcask-dump PATH...
 */
#include "program.h"

int main(int argc, char **argv)
{
    return tool_program_run("bitcask-dump", "dump", argc, argv);
}
