/* SPDX-License-Identifier: MIT */
/*
 * Numbers as people write and read them. Pure: no files, no state.
 */
#ifndef TOOLS_NUMBER_H
#define TOOLS_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TOOL_NUMBER_SIZE = 32 /* room for any number printed here, its zero included */
};

/* The number that @text is: digits, nothing else. False: it is none. */
bool tool_number_parse(const char *text, uint64_t *number);

/* The same for a size in bytes, which may end in k, M, G or T for powers of 1024. */
bool tool_size_parse(const char *text, uint64_t *size);

/* @number with commas between its thousands, in @text, which is returned. */
const char *tool_number_print(uint64_t number, char text[TOOL_NUMBER_SIZE]);

/* @size in the unit that suits it, such as `1.5 MiB`, in @text, which is returned. */
const char *tool_size_print(uint64_t size, char text[TOOL_NUMBER_SIZE]);

/* @part of @whole in percent; 0 if there is nothing. */
double tool_percent(uint64_t part, uint64_t whole);

#endif
