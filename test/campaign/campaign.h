/* SPDX-License-Identifier: MIT */
/*
 * What the campaigns have in common: a command line, a count of what was tried, and a
 * plain end.
 *
 *     PROGRAM [--long] [--every N] [--seed N] [--replay WORDS] [--directory DIR]
 *             [--export FILE]
 *
 *     struct campaign campaign;
 *     campaign_begin(&campaign, argc, argv, "crash");
 *     ...
 *     campaign_count(&campaign, "states", n);
 *     campaign_passed(&campaign);   or
 *     campaign_failed(&campaign, replay_words, "get of %s says %s", ...);
 *     ...
 *     return campaign_end(&campaign);
 *
 * The last line is `crash: 60000 passed, 0 failed`. See docs/testing.md.
 */
#ifndef TEST_CAMPAIGN_CAMPAIGN_H
#define TEST_CAMPAIGN_CAMPAIGN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    CAMPAIGN_COUNTERS_MAX = 40,
    CAMPAIGN_FAILURES_MAX = 10 /* that are told; then it ends */
};

struct campaign {
    const char *name;
    const char *program;
    bool is_long;
    uint64_t every;     /* --every: try one thing in so many */
    uint64_t seed;      /* of the whole run: --seed, else by the clock */
    const char *replay; /* --replay: try only what these words of a failure say; NULL */
    const char
        *directory;      /* --directory: where to work on real files; else TMPDIR, /tmp */
    FILE *export_stream; /* --export: see export.h; NULL */
    uint64_t export_chance; /* which disks go there */
    uint64_t passed;
    uint64_t failed;
    struct {
        const char *what;
        uint64_t count;
    } counters[CAMPAIGN_COUNTERS_MAX];
    unsigned counter_count;
    uint64_t skip_step;
    char trying[200];
    uint64_t began_ms;
    uint64_t told_ms;
};

/*
 * Reads the command line, and prints the seed. Ends the program on a wrong word. There is
 * one campaign in a program, and it stays where it is.
 */
void campaign_begin(struct campaign *campaign, int argc, char **argv, const char *name);

/* Add @count to what is printed at the end as "@what: n". @what must stay. */
void campaign_count(struct campaign *campaign, const char *what, uint64_t count);

/*
 * What is tried next, in words for --replay: if the program crashes, hangs or is told to
 * end meanwhile, it says so, and how to do it alone, before its last line. A hang is an
 * alarm() that was not taken back.
 */
void campaign_try(struct campaign *campaign, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* To be called when the program ends, in whatever way it can notice. */
void campaign_on_end(void (*function)(void));

/* Whether --every leaves out the next thing. Never with --replay. */
bool campaign_skips(struct campaign *campaign);

/* One more thing was tried. Tells of progress now and then on standard error. */
void campaign_passed(struct campaign *campaign);
/*
 * It went wrong: print what, and the command that does it alone, which is this program
 * with --seed and --replay @replay. Ends the program after CAMPAIGN_FAILURES_MAX.
 */
void campaign_failed(struct campaign *campaign, const char *replay, const char *format,
                     ...) __attribute__((format(printf, 3, 4)));

/* The words of --replay make no sense: say so, and end. */
_Noreturn void campaign_refuse_replay(struct campaign *campaign);

/* Print the counters and the last line; the exit status of the program. */
int campaign_end(struct campaign *campaign);

/* Chance that follows from a seed (splitmix64): each call changes *state. */
uint64_t campaign_random(uint64_t *state);
/* Below @limit, which is not 0. */
uint64_t campaign_random_below(uint64_t *state, uint64_t limit);

/*
 * Where to work on files that need no disk: memory, if there is a file system there and
 * nobody chose a directory.
 */
const char *campaign_memory_directory(const struct campaign *campaign);

#endif
