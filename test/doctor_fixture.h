/* SPDX-License-Identifier: MIT */
/*
 * A small cask of which every record is known, to be damaged, and what verifying and
 * repairing have to tell of it.
 *
 *     0000000001.data  sealed, with a hint
 *         1 ada = "first"      2 bob = "first"      3 cid = "first"
 *         4 one = "1"  5 two = "2"  6 cid deleted   (a batch)
 *         7 dee = "soon", expires at DOCTOR_EXPIRY_MS
 *         8 filler
 *     0000000002.data  sealed, with a hint
 *         9 ada = "second"    10 bob deleted       11 eve = "here"    12 filler
 *     0000000003.data  open, closed cleanly
 *        13 ada = "third"     14 fay = "here"      15 gus = "here"
 */
#ifndef TEST_DOCTOR_FIXTURE_H
#define TEST_DOCTOR_FIXTURE_H

#include "bitcask/file_name.h"
#include "bitcask/inspect.h"
#include "bitcask/manifest.h"
#include "bitcask/status.h"
#include "test/test_cask.h"

#define DOCTOR_DATA_1 "0000000001.data"
#define DOCTOR_DATA_2 "0000000002.data"
#define DOCTOR_DATA_3 "0000000003.data"
#define DOCTOR_HINT_1 "0000000001.hint"
#define DOCTOR_HINT_2 "0000000002.hint"

enum {
    DOCTOR_NOW_MS = 1000, /* the wall clock of the disk */
    DOCTOR_EXPIRY_MS = 5000,
    DOCTOR_LAST_SEQUENCE = 15,
    DOCTOR_RECORD_COUNT = 15
};

/* Write it to the empty directory of @disk, and stop its clocks. */
void doctor_make(struct test_disk *disk);

/* The same, as a process leaves it that dies behind the last write. */
void doctor_make_killed(struct test_disk *disk);

const char *doctor_data_name(uint64_t id);

/* Where things were when the cask was made. */
struct doctor_place {
    const char *file;
    uint64_t offset;
    uint64_t size;
    uint64_t value_offset;
};
struct doctor_place doctor_record(uint64_t sequence);
struct doctor_place doctor_batch(void); /* of the records 4 to 6 */

/* Turn a bit in the key, or in the value, of the record of @sequence. */
void doctor_spoil_key(const struct test_disk *disk, uint64_t sequence);
void doctor_spoil_value(const struct test_disk *disk, uint64_t sequence);

/* Read MANIFEST, let @change change it, and write it. */
void doctor_edit_manifest(struct test_disk *disk,
                          void (*change)(struct bitcask_manifest *manifest));

/* What was told. */
struct doctor_finding {
    struct bitcask_finding of; /* without the pointers */
    char file[BITCASK_NAME_SIZE];
    char key[16];
    char detail[BITCASK_DETAIL_SIZE];
};
struct doctor_step {
    struct bitcask_repair_step of; /* the same */
    char file[BITCASK_NAME_SIZE];
    char moved_to[BITCASK_NAME_SIZE];
    char reason[BITCASK_DETAIL_SIZE];
};
struct doctor_told {
    struct doctor_finding findings[64];
    size_t finding_count;
    struct doctor_step steps[16];
    size_t step_count;
    struct bitcask_verify_report verified;
    struct bitcask_repair_report repaired;
};

/* Callbacks, for options with a struct doctor_told as the context. */
enum bitcask_status doctor_note_finding(const struct bitcask_finding *finding,
                                        void *context);
enum bitcask_status doctor_note_step(const struct bitcask_repair_step *step,
                                     void *context);

/* Begin @told anew, and verify by one thread; asserts that nothing has changed. */
enum bitcask_status doctor_verify(struct test_disk *disk, struct doctor_told *told);
enum bitcask_status doctor_repair(struct test_disk *disk, struct doctor_told *told,
                                  bool dry_run);

/*
 * What was told, in words, in its order, with a comma between; records are called by
 * their sequence, and that of files is cut to their number:
 *
 *     value 2 at 9          a finding; it has offset and size of record 9
 *     hint 2h               one without an offset, of a hint
 *     short 2 at 12+ 3960   it begins where record 12 does, but has so many bytes
 *     region 2 at 70 4      any other offset, and size
 *     ada stale             a key
 *     2 unnamed             so many regions of which the keys are not known
 *
 *     rewrite 2, quarantine 2h (2h.2)      steps of a repair, with what they move to
 */
const char *doctor_finding_words(const struct doctor_told *told);
const char *doctor_step_words(const struct doctor_told *told);

/*
 * What the cask on @disk has: "key=value" of each live key, in order, with a space
 * between, but for the filler. Opens it for reading. Like the words above, it is
 * there until the next such call.
 */
const char *doctor_contents(struct test_disk *disk);
/* All that doctor_make() has written. */
#define DOCTOR_CONTENTS "ada=third dee=soon eve=here fay=here gus=here one=1 two=2"

#endif
