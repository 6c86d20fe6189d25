/* SPDX-License-Identifier: MIT */
/*
 * Everything about one data file and its hint: read from end to end, and whatever is not
 * as it must be noted, with the keys that it hits as far as somebody knows them.
 *
 * verify.c surveys the files that the MANIFEST lists; repair.c all that are there. Who
 * calls decides what the notes mean; nothing is changed here.
 */
#ifndef BITCASK_SURVEY_H
#define BITCASK_SURVEY_H

#include "bitcask/identity.h"
#include "bitcask/inspect.h"
#include "bitcask/sequence_set.h"
#include "hint/hint.h"

/* Something that is not as it must be. */
struct bitcask_flaw {
    enum bitcask_finding_kind kind;
    uint64_t offset;
    uint64_t size; /* 0: it hides no record */
    uint64_t sequence;
    bool named;         /* it is known which keys it hits */
    bool torn;          /* behind the end of history: nothing is lost by it */
    bool zeros;         /* nothing but zeros, to the end of what was looked at */
    const char *detail; /* constant */
};

/* A record that is lost by it, and whose key is known. */
struct bitcask_casualty {
    uint8_t *key; /* owned */
    size_t key_size;
    uint64_t sequence;
    uint64_t segment_id;
    uint64_t offset;
    bool deletes;       /* it does, or would by now */
    bool header_intact; /* only its value is bad: a get finds it, and says so */
};

enum bitcask_hint_state {
    BITCASK_HINT_ABSENT,
    BITCASK_HINT_BAD,  /* damaged, or of another file, or it says what is not so */
    BITCASK_HINT_GOOD, /* as far as it goes: hint_covered */
};

/* A data file. Zeroed, then what it is about filled in, then surveyed; release. */
struct bitcask_survey {
    uint64_t id;   /* by its name */
    uint64_t salt; /* its records have it in their checks */
    uint64_t end;  /* bytes that are looked at; 0: there is no file */

    struct bitcask_flaw *flaws;
    size_t flaw_count;
    size_t flaw_capacity;
    struct bitcask_casualty *casualties;
    size_t casualty_count;
    size_t casualty_capacity;

    uint64_t record_count; /* whole ones, and not there before */
    uint64_t tombstone_count;
    uint64_t record_size;    /* bytes in them */
    uint64_t first_sequence; /* 0: there is none */
    uint64_t last_sequence;
    uint64_t *doubles; /* where whole ones are that do not count, in order */
    size_t double_count;
    size_t double_capacity;
    uint64_t highest_sequence; /* that anything intact speaks of */
    enum bitcask_hint_state hint;
    uint64_t hint_covered;
    uint64_t hint_size;
    uint64_t entry_count; /* that agree with the data */
};

/* What a survey needs of the world. */
struct bitcask_surveyor {
    struct bitcask_io *io;
    bitcask_file directory;
    uint64_t now_ms;
    struct bitcask_buffer window;           /* to read hints through; owned */
    struct bitcask_sequence_set *sequences; /* that were seen; NULL: does not matter */
    struct bitcask_sequence_set *wanted;    /* others do not count; NULL: all do */
    /* Told of bytes that were read, after each MiB; stops unless OK. May be NULL. */
    enum bitcask_status (*pace)(void *context, uint64_t read_size);
    void *pace_context;
};

/*
 * Survey @file, which is open (BITCASK_NO_FILE: the data is missing, and only its hint
 * can tell what was there). BITCASK_NO_MEMORY, or what pace() said; what cannot be read
 * is a flaw.
 */
enum bitcask_status bitcask_survey_file(struct bitcask_surveyor *surveyor,
                                        bitcask_file file, struct bitcask_survey *survey);
void bitcask_survey_release(struct bitcask_survey *survey);

/* What is wrong from @offset on is a torn tail, and hits no key. */
void bitcask_survey_cut(struct bitcask_survey *survey, uint64_t offset);

/*
 * Zeros to the end of the file, if neither its hint nor @proven_size, what is known to
 * have been synced, says that there was something, are space that was set aside and never
 * used, and not wrong: forget them. Where they begin; without them, the end.
 */
uint64_t bitcask_survey_drop_unused(struct bitcask_survey *survey, uint64_t proven_size);

/* Forget what is wrong; what was counted stays. */
void bitcask_survey_forget(struct bitcask_survey *survey);

/* Note one more. */
enum bitcask_status bitcask_survey_add_flaw(struct bitcask_survey *survey,
                                            const struct bitcask_flaw *flaw);

#endif
