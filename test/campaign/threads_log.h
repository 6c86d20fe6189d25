/* SPDX-License-Identifier: MIT */
/*
 * What the threads campaign puts, and what it writes down about every call: which key,
 * from when to when, and what was put or found.
 */
#ifndef TEST_CAMPAIGN_THREADS_LOG_H
#define TEST_CAMPAIGN_THREADS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bitcask/bitcask.h"
#include "test/linear.h"

enum {
    THREADS_KEYS_MAX = 512,
    THREADS_KEY_SIZE_MAX = 16,
    THREADS_VALUE_SIZE_MAX = 40000
};

/*
 * The name of a key, into @text. Those with even numbers begin with "a/", the others
 * with "b/".
 */
struct bitcask_slice threads_key(unsigned key, char text[THREADS_KEY_SIZE_MAX]);

/* The number of the key that has this name; THREADS_KEYS_MAX: no key has. */
unsigned threads_key_number(struct bitcask_slice name);

/*
 * A value is known by a number that tells the key and the thread that put it, and which
 * of its puts it was. All its bytes, and how many they are, follow from that number.
 */
uint64_t threads_value_number(unsigned key, unsigned thread, uint64_t count);
struct bitcask_slice threads_value(uint64_t number,
                                   uint8_t bytes[THREADS_VALUE_SIZE_MAX]);

/* The number of a value of @key; 0: it is none, or not all of one. */
uint64_t threads_value_read(unsigned key, struct bitcask_slice value);

/* One call, or the part of a call that is about one key. */
struct threads_note {
    struct linear_call call;
    unsigned key;
};

/* The notes of one thread, which nobody else touches before it has ended. */
struct threads_log {
    struct threads_note *notes;
    size_t count;
    size_t capacity;
};

/* Ends the program when there is no memory. */
void threads_log_add(struct threads_log *log, unsigned key,
                     const struct linear_call *call);
void threads_log_release(struct threads_log *log);

#endif
