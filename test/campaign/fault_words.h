/* SPDX-License-Identifier: MIT */
/*
 * Whether a failing call says what it should: a status that the fault may have caused,
 * and words of its own that name the file.
 */
#ifndef TEST_CAMPAIGN_FAULT_WORDS_H
#define TEST_CAMPAIGN_FAULT_WORDS_H

#include "bitcask/bitcask.h"

/* Before a call: let bitcask_error_detail() say something that no failure does. */
void words_forget(void);

/* What a failing system call or allocation may become. */
bool words_is_system(enum bitcask_status status);

/* What is wrong with the detail of a failure of a cask in @directory; NULL: nothing. */
const char *words_wrong(enum bitcask_status status, const char *directory);

#endif
