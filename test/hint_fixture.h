/* SPDX-License-Identifier: MIT */
/*
 * Casks with hints, and what the calls that look at hints say of them.
 */
#ifndef TEST_HINT_FIXTURE_H
#define TEST_HINT_FIXTURE_H

#include "bitcask/inspect_hint.h"
#include "bitcask/status.h"
#include "test/test_cask.h"

/* What a call has said, one report after the other. */
struct hint_reports {
    struct bitcask_hint_report of[32];
    char details[32][BITCASK_DETAIL_SIZE];
    size_t count;
};

/* A bitcask_hint_visit; the context is a struct hint_reports. */
enum bitcask_status hint_test_note(const struct bitcask_hint_report *report,
                                   void *context);

/* The calls through the door of @disk; @reports begins anew. */
enum bitcask_status hint_test_verify(struct test_disk *disk, uint64_t id,
                                     struct hint_reports *reports);
enum bitcask_status hint_test_rebuild(struct test_disk *disk, uint64_t id,
                                      struct hint_reports *reports);

/* Write more than a file full of all that a hint can have. */
void hint_test_fill(struct bitcask *cask);

/* A cask filled so once: file 1 is sealed, with its hint, file 2 is open without. */
void hint_test_fill_disk(struct test_disk *disk);

#endif
