/* SPDX-License-Identifier: MIT */
/*
 * Between history.c, which writes and judges, and history_merge.c, which merges. No other
 * file includes it.
 */
#ifndef TEST_CAMPAIGN_HISTORY_INSIDE_H
#define TEST_CAMPAIGN_HISTORY_INSIDE_H

#include "bitcask/format.h"
#include "test/campaign/history.h"

/* Remember the first problem, and only that: others follow from it. */
void history_problem(struct history *history, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether @bytes are what write @number put. */
bool history_value_equals(const struct history *history, unsigned number,
                          const uint8_t *bytes, size_t size);

/* What a call may say depends on what was known when it began. */
void history_begin_call(struct history_session *session, bool writes);

/*
 * A call that changes something, or makes it safe, has said @status: may it? After a
 * sync has failed nothing is acknowledged any more, once that is known.
 */
void history_judge_status(struct history_session *session, const char *what,
                          enum bitcask_status status);

/*
 * A record whose sequence number is known goes by, on its way to @name: a merge may copy
 * what history says, and may say deleted for what expires. Nothing else.
 */
void history_note_copy(struct history *history, const struct bitcask_record *record,
                       const uint8_t *bytes, const char *name);

/* Whether a merge has written @name. */
bool history_is_output(const struct history *history, const char *name);

/*
 * Look at @key, which write @number has put (0: nothing), and go on looking until the
 * next of these calls, or history_end_view(): whatever is merged meanwhile, it stays.
 */
void history_view(struct history_session *session, unsigned key, unsigned number);

/* Merge something, as a step of the history. */
void history_merge_step(struct history_session *session);

#endif
