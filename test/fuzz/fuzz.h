/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzing targets share. A target is one file, fuzz_<name>.c, with the function
 * that libFuzzer calls: it takes any bytes, and ends the program where one of the
 * properties does not hold that stand at the top of the file. fuzz_replay.c calls the
 * same function for files, with any compiler.
 */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* libFuzzer's name. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Also in a build without assertions. */
#define fuzz_check(condition) \
    ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__))
__attribute__((noreturn)) void fuzz_fail(const char *words, const char *file, int line);

/* Allocations that end the program instead of failing; go to free(). */
void *fuzz_allocate(size_t size);
/* A copy that ends where @size says, so that a sanitizer sees who reads on. */
uint8_t *fuzz_copy(const void *bytes, size_t size);

/* Whether both are the same bytes. */
bool fuzz_same(const void *one, size_t one_size, const void *other, size_t other_size);

/* The input, taken from its front; what is not there any more is zeros. */
struct fuzz_input {
    const uint8_t *bytes;
    size_t size;
};
uint8_t fuzz_take(struct fuzz_input *input);
uint16_t fuzz_take16(struct fuzz_input *input);

#endif
