/* SPDX-License-Identifier: MIT */
/*
 * What can happen to the files of a cask. A damage is a few numbers, so that the words
 * of a failure bring it back.
 */
#ifndef TEST_CAMPAIGN_DAMAGE_KIND_H
#define TEST_CAMPAIGN_DAMAGE_KIND_H

#include "test/campaign/damage_subject.h"

/* Files are numbers in subject.image; what a, b and c are is said here. */
enum damage_kind {
    DAMAGE_FLIP,           /* bit a of the file */
    DAMAGE_CUT,            /* to a bytes */
    DAMAGE_EXTEND,         /* by a bytes of filling b */
    DAMAGE_FILL,           /* from a on, b bytes, with filling c */
    DAMAGE_COPY,           /* sector a of the file gets sector b of the other file */
    DAMAGE_STALE,          /* sector a is as it was in snapshot b */
    DAMAGE_EXCHANGE,       /* sectors a and b */
    DAMAGE_MOVE,           /* the c bytes at a come to lie before b */
    DAMAGE_REMOVE,         /* file and other, maybe the same */
    DAMAGE_EXCHANGE_FILES, /* the file and the other one */
    DAMAGE_REPLACE,        /* the file becomes a copy of the other one */
    DAMAGE_FOREIGN,        /* it becomes that of another cask */
    DAMAGE_OLD,            /* file and other, maybe the same, as in snapshot a */
    DAMAGE_ADD,            /* a file of name a with the bytes of the file, or filling b */
    DAMAGE_UNHINT,         /* all hints removed */
    DAMAGE_SEVERAL,        /* 2 to 4 of them, by seed a */
    DAMAGE_NONE,           /* all as it was */
    DAMAGE_KINDS
};

/* Fillings. */
enum {
    DAMAGE_ZEROS,
    DAMAGE_ONES,
    DAMAGE_NOISE,
    DAMAGE_RECORDS, /* from the beginning of the file */
    DAMAGE_FILLINGS,
    /* DAMAGE_ADD only */
    DAMAGE_WHOLE = DAMAGE_FILLINGS, /* the bytes of the file */
    DAMAGE_NOTHING
};

struct damage {
    enum damage_kind kind;
    unsigned file;
    unsigned other;
    uint64_t a;
    uint64_t b;
    uint64_t c;
};

enum {
    DAMAGE_WORDS_SIZE = 160,
    DAMAGE_ADDED_NAMES = 17
};

/* "flip" and so on. */
const char *damage_kind_name(enum damage_kind kind);
/* For --replay. */
void damage_words(const struct damage_subject *subject, const struct damage *damage,
                  char words[DAMAGE_WORDS_SIZE]);
/* False: these are not such words. *subject is its number. */
bool damage_parse(const char *words, unsigned *subject, struct damage *damage);

/* Do it to @image. What cannot be done leaves it as it is. */
void damage_apply(const struct damage_subject *subject, const struct damage *damage,
                  struct damage_image *image);

#endif
