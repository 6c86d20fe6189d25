/* SPDX-License-Identifier: MIT */
/*
 * What recovery would say of a cask: where its history ends, and whether what is behind
 * that is damage or a torn tail. Recovery itself is asked, so that who verifies can never
 * be of another opinion; nothing is loaded, and nothing changed.
 */
#ifndef BITCASK_JUDGE_H
#define BITCASK_JUDGE_H

#include "bitcask/cask.h"
#include "bitcask/file_name.h"
#include "bitcask/status.h"

/* How much of a data file that was not sealed would be kept. */
struct bitcask_kept {
    uint64_t id;
    uint64_t size;
};

struct bitcask_verdict {
    enum bitcask_status status; /* BITCASK_OK, or CORRUPT: open would refuse */
    char detail[BITCASK_DETAIL_SIZE];
    struct bitcask_kept *kept; /* owned; files that are not here would be removed */
    size_t kept_count;
    uint64_t last_sequence;
};

/*
 * Judge the cask of @manifest. BITCASK_OK: *verdict is to be released. BITCASK_IO,
 * NO_MEMORY, UNSUPPORTED: there is none.
 */
enum bitcask_status bitcask_judge(struct bitcask_io *io, bitcask_file directory,
                                  const struct bitcask_manifest *manifest,
                                  struct bitcask_verdict *verdict);
void bitcask_verdict_release(struct bitcask_verdict *verdict);

/* How much of the file of segment @id would be kept; 0 also if it is not there. */
uint64_t bitcask_verdict_kept_size(const struct bitcask_verdict *verdict, uint64_t id);

/*
 * The file and offset that the words of @verdict begin with, *name "" if they do not.
 */
void bitcask_verdict_place(const struct bitcask_verdict *verdict,
                           char name[BITCASK_NAME_SIZE], uint64_t *offset);

#endif
