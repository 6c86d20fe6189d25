/* SPDX-License-Identifier: MIT */
/*
 * Verifying a cask, for its parts: verify.c, which says what is found; verify_files.c,
 * which reads the files; and for repair.c, which wants to know the same first.
 */
#ifndef BITCASK_VERIFY_H
#define BITCASK_VERIFY_H

#include <pthread.h>

#include "bitcask/directory.h"
#include "bitcask/fate.h"
#include "bitcask/judge.h"
#include "bitcask/survey.h"

/* How fast to read, and whom to tell. For several threads. */
struct bitcask_pace {
    struct bitcask_io *io;
    pthread_mutex_t lock;
    bool ready; /* the lock exists */
    uint64_t rate;
    uint64_t begin_ms;
    struct bitcask_inspect_progress progress;
    bitcask_inspect_visit *visit;
    void *context;
};

enum bitcask_status bitcask_pace_init(struct bitcask_pace *pace, struct bitcask_io *io,
                                      uint64_t rate, bitcask_inspect_visit *visit,
                                      void *context);
void bitcask_pace_release(struct bitcask_pace *pace);
/* So much was read: tells, and sleeps if that was too fast. */
enum bitcask_status bitcask_pace_step(void *pace, uint64_t read_size);

/* What a callback said, with words for it if it wants to stop. */
enum bitcask_status bitcask_pace_stop(enum bitcask_status status);

/* A data file that the MANIFEST lists, or that is there. */
struct bitcask_checked_file {
    struct bitcask_manifest_segment line; /* state PREPARED without a MANIFEST */
    bool unsealed;
    bool unlisted; /* MANIFEST does not know it: it is only read */
    bool exists;
    bool unreadable; /* it exists, but the system does not open it */
    bool hint_exists;
    bool surveyed; /* and nothing was wrong, so that once was enough */
    uint64_t size;
    uint64_t judged_size; /* when recovery was asked, or less; without zeros at the end */
    bool zeros_behind;    /* if sealed: nothing but zeros is behind its end */
    uint64_t kept_size; /* if unsealed: what recovery would keep; UINT64_MAX: not known */
    struct bitcask_identity identity;
    struct bitcask_survey survey;
};

/* A cask that is verified. Zeroed is released. */
struct bitcask_verification {
    struct bitcask_io *io;
    bitcask_file directory;
    unsigned threads;
    uint64_t now_ms;
    struct bitcask_pace *pace;

    struct bitcask_buffer manifest_text; /* as it was read; to see whether it changes */
    enum bitcask_status manifest_status; /* OK, NOT_FOUND, CORRUPT */
    char manifest_detail[BITCASK_DETAIL_SIZE];
    struct bitcask_manifest manifest;
    struct bitcask_listing listing;
    struct bitcask_verdict verdict;
    struct bitcask_sequence_set sequences;
    bool sequences_checked; /* each is in one file only, so far as can be said */

    struct bitcask_checked_file *files; /* in order of id */
    size_t file_count;
};

/*
 * READING, verify_files.c. See what there is: MANIFEST, directory, what recovery says.
 * BITCASK_NOT_FOUND: there is no cask. BITCASK_UNSUPPORTED, IO, NO_MEMORY.
 */
enum bitcask_status bitcask_verification_begin(struct bitcask_verification *verification);

/* Survey every file that is not surveyed yet. */
enum bitcask_status bitcask_verification_survey(
    struct bitcask_verification *verification);

/*
 * JUDGING, verify_judge.c. Judge every file by its line in the MANIFEST; whether all of
 * it is well.
 */
enum bitcask_status bitcask_verification_judge(struct bitcask_verification *verification,
                                               bool *well);
bool bitcask_checked_file_is_damaged(const struct bitcask_verification *verification,
                                     const struct bitcask_checked_file *file);

/* What was well in @before, and is listed in the same way now, need not be read again. */
void bitcask_verification_adopt(struct bitcask_verification *now,
                                struct bitcask_verification *before);

/*
 * The writer was faster to the end: what has another line in the MANIFEST by now, or
 * none, was seen in a state that is over, and nothing is said of it.
 */
enum bitcask_status bitcask_verification_forget_changed(
    struct bitcask_verification *verification);

/* Read all files again for the records of the keys in @fates. */
enum bitcask_status bitcask_verification_meet(struct bitcask_verification *verification,
                                              struct bitcask_fates *fates);

/*
 * Read the first @end bytes of the data file of @id, which has been surveyed, for whole
 * records of keys in @fates.
 */
enum bitcask_status bitcask_fates_read(struct bitcask_fates *fates, struct bitcask_io *io,
                                       bitcask_file directory, uint64_t id, uint64_t end,
                                       const struct bitcask_survey *survey,
                                       uint64_t now_ms);

/* Whether the MANIFEST has changed since the beginning. */
bool bitcask_verification_is_stale(struct bitcask_verification *verification);

void bitcask_verification_release(struct bitcask_verification *verification);

/* Whether @flaw of @file is behind the end of history: no damage, but a torn tail. */
bool bitcask_checked_file_is_torn(const struct bitcask_verification *verification,
                                  const struct bitcask_checked_file *file,
                                  const struct bitcask_flaw *flaw);

/*
 * bitcask_verify() through another door; and what is behind it, for who has opened the
 * directory already.
 */
enum bitcask_status bitcask_verify_with(struct bitcask_io *io, const char *directory,
                                        const struct bitcask_verify_options *options,
                                        struct bitcask_verify_report *report);
enum bitcask_status bitcask_verify_open(struct bitcask_io *io, bitcask_file directory,
                                        const struct bitcask_verify_options *options,
                                        struct bitcask_verify_report *report);

#endif
