/* SPDX-License-Identifier: MIT */
/*
 * Linearizability: whether the calls that threads made on one key can have happened one
 * after the other, each at a moment between its beginning and its end.
 *
 * A key is a register. It is absent at first; a put sets it to a value that no other put
 * has; a delete makes it absent, which any number of deletes do, so that a read that
 * finds nothing does not say whose doing that was. For that the algorithms for registers
 * with unique values are not enough, and the one here is a search: it goes through the
 * beginnings and ends in their order and keeps every state in which the key can be, with
 * what has happened already of the calls that have begun and not ended. A call that ends
 * without having happened in a state has to happen then, perhaps behind others. Each
 * state that gets stuck is given up; when none is left no order explains the calls.
 *
 * That is exact. It takes a time in proportion to the calls, times what threads can do to
 * one key at a time, which is little: reads happen as soon as they can, of two states
 * that differ only in reads the one with more of them is kept, and none that loses a
 * value which is read later.
 */
#ifndef TEST_LINEAR_H
#define TEST_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINEAR_OPEN_MAX = 64 /* calls on one key that have begun and not ended */
};

enum linear_kind {
    LINEAR_PUT,    /* sets it to value, which is not 0 */
    LINEAR_ERASE,  /* makes it absent, whether it was there or not */
    LINEAR_DELETE, /* it was there, and is absent after it */
    LINEAR_GET,    /* has found value */
    LINEAR_ABSENT, /* has found that it is not there: a get, or a delete */
    LINEAR_PRESENT /* has found that it is there, and did not look at its value */
};

/* One call on the key. No beginning of a call is equal to an end. */
struct linear_call {
    uint64_t begin;
    uint64_t end; /* after begin */
    uint64_t value;
    enum linear_kind kind;
    unsigned thread; /* for whoever reads about it */
};

enum linear_answer {
    LINEAR_YES,
    LINEAR_NO,
    LINEAR_TOO_HARD, /* more calls or states at a time than it can hold */
    LINEAR_NO_MEMORY
};

struct linear_verdict {
    enum linear_answer answer;
    size_t call;        /* with LINEAR_NO: of which end no state was left */
    size_t states_peak; /* that were kept at a time */
};

/* Decide about @count calls, in any order; they stay as they are. */
struct linear_verdict linear_decide(const struct linear_call *calls, size_t count);

/*
 * What happened around the end of @call, a line for each call that was open or had ended
 * not long before, into @words.
 */
void linear_explain(const struct linear_call *calls, size_t count, size_t call,
                    char *words, size_t size);

#endif
