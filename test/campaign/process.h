/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the process campaign share: children that are told apart by how they
 * end, and a history whose every acknowledged write is known outside of the process that
 * makes it.
 *
 * Only the public header of the library is used. The campaign's own process opens no
 * cask and has no threads: all that touches a cask is in children, so one that crashes
 * or hangs is a failure of its round and nothing more.
 */
#ifndef TEST_CAMPAIGN_PROCESS_H
#define TEST_CAMPAIGN_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <bitcask/bitcask.h>

#include "test/campaign/campaign.h"

enum {
    PROCESS_LANE_COUNT = 4,
    PROCESS_KEY_COUNT = 32,   /* of a lane */
    PROCESS_FAILED_MAX = 256, /* writes in a row that may fail */
    PROCESS_VALUE_SIZE_MAX = 100 * 1024,
    PROCESS_PATH_SIZE = 600,
};

/*
 * One writer: keys of its own, and a history that follows from the seed. It lives in
 * memory shared with the campaign and is changed in an order that makes it true at any
 * instruction: a write is in @doubtful before it begins, and leaves it after @held shows
 * what was acknowledged.
 */
struct process_lane {
    _Atomic uint64_t next;         /* the number of the write to try next */
    _Atomic uint64_t acknowledged; /* how many were */
    /* 1 + the number of the put whose value the key must have; 0: it must be absent. */
    _Atomic uint64_t held[PROCESS_KEY_COUNT];
    /* Since the last one acknowledged: of these the next open may find one. */
    _Atomic uint64_t doubtful[PROCESS_FAILED_MAX];
    _Atomic uint32_t doubtful_count;
};

enum process_stage {
    PROCESS_BEGINS,
    PROCESS_OPENS,
    PROCESS_WRITES,
    PROCESS_CLOSES,
    PROCESS_WAITS, /* for its end, after closing */
};

/* What is counted in children. */
enum process_counter {
    PROCESS_KILLS,
    PROCESS_KILLS_OPENING,
    PROCESS_KILLS_WRITING,
    PROCESS_KILLS_CLOSING,
    PROCESS_KILLS_AT_COUNT,
    PROCESS_KILLS_RECOVERING,
    PROCESS_KILLS_THREADED,
    PROCESS_FOUND_DOUBTFUL,
    PROCESS_READ_ONLY_OPENS,
    PROCESS_WRITES_ACKNOWLEDGED,
    PROCESS_FULL_DISKS,
    PROCESS_FULL_CREATIONS,
    PROCESS_FULL_RESUMED,
    PROCESS_FULL_CLOSES,
    PROCESS_FULL_KILLS,
    PROCESS_FULL_STATUSES,
    PROCESS_READ_ONLY_MOUNTS,
    PROCESS_RIGHTS,
    PROCESS_DESCRIPTOR_LIMITS,
    PROCESS_MEMORY_LIMITS,
    PROCESS_FILE_SIZE_LIMITS,
    PROCESS_THREAD_LIMITS,
    PROCESS_LIMIT_STATUSES,
    PROCESS_MERGES,
    PROCESS_KILLS_MERGING,
    PROCESS_FULL_MERGES,
    PROCESS_FILES_MERGED,
    PROCESS_FILES_KEPT,
    PROCESS_COUNTER_COUNT,
};

struct process_shared {
    struct process_lane lanes[PROCESS_LANE_COUNT];
    _Atomic int stage;       /* of the child that writes */
    _Atomic int merging;     /* calls of bitcask_merge() that it is in */
    _Atomic bool created;    /* an open that makes the cask has succeeded */
    _Atomic uint64_t die_at; /* lane 0 kills its process there; 0: nowhere */
    _Atomic uint64_t counts[PROCESS_COUNTER_COUNT];
    char words[1500];  /* of the child that failed */
    char skipped[200]; /* why a round was not tried */
};

struct process {
    struct campaign *campaign;
    struct process_shared *shared;
    char base[PROCESS_PATH_SIZE];      /* a directory of the campaign's own */
    char directory[PROCESS_PATH_SIZE]; /* the cask */
    uint64_t seed;                     /* of the round and its history */
    unsigned lane_count;
    size_t value_size_max;
};

/* A child's work. It ends with _exit(), by itself or in one of the two below. */
typedef void process_work(struct process *process, uint64_t seed);

/* Start @work in a child. It is ended by an alarm if it hangs, and with its parent. */
pid_t process_start(struct process *process, process_work *work, uint64_t seed);
/* How it ended: true if by exit(0), or where @killed, by SIGKILL; else words say. */
bool process_wait(struct process *process, pid_t child, bool killed, const char *what);
/* Both, for a child that does its work and ends. */
bool process_run(struct process *process, process_work *work, uint64_t seed,
                 const char *what);

/* In a child: this round has failed. The last detail of the library is added. */
_Noreturn void process_fail(struct process *process, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* In a child: this cannot be tried here. @reason must follow from the machine alone. */
_Noreturn void process_skip(struct process *process, const char *reason);

void process_count(struct process *process, enum process_counter counter);

/* Fail unless @status is in @allowed, and comes with words if it is a failure. */
void process_expect(struct process *process, enum bitcask_status status, unsigned allowed,
                    const char *what);
#define PROCESS_BIT(status) (1u << -(status))
#define PROCESS_OK PROCESS_BIT(BITCASK_OK)

/* Forget the history and begin that of @seed, for a cask "cask" in @parent. */
void process_begin(struct process *process, uint64_t seed, const char *parent);

/* Options by chance: all sync modes, with and without threads and mappings. */
struct bitcask_options process_options(uint64_t *random, uint64_t file_size_max);
/* Open, and fail unless that is BITCASK_OK. */
struct bitcask *process_open(struct process *process,
                             const struct bitcask_options *options, const char *when);
/* Close, and fail unless that is BITCASK_OK. */
void process_close(struct process *process, struct bitcask *cask, const char *when);

/*
 * Make the next write of a lane. One that says that it was not done at all may not be
 * found later, one of BITCASK_IO, NO_SPACE and FAILED may. Fails on a wrong NOT_FOUND.
 */
enum bitcask_status process_write(struct process *process, struct bitcask *cask,
                                  unsigned lane);
/* Merge what chance wants; only BITCASK_OK will do. */
void process_merge(struct process *process, struct bitcask *cask, uint64_t *random);
/* Make @count writes of every lane that must succeed. */
void process_write_some(struct process *process, struct bitcask *cask, unsigned count);

/*
 * Fail unless @cask holds what was acknowledged and nothing else, by gets, by exists, by
 * both kinds of iteration and by its count of keys. Reads may say what is in @excused.
 */
void process_check(struct process *process, struct bitcask *cask, unsigned excused,
                   const char *when);
/* The same, after an end that leaves doubt: where a doubtful write is found it counts as
 * acknowledged from now on, where not it is forgotten. */
void process_settle(struct process *process, struct bitcask *cask, const char *when);
/* The same as process_check for the keys of one lane, beside the others' writers. */
void process_check_lane(struct process *process, struct bitcask *cask, unsigned lane);

/* A number that changes when anything in the directory of the cask does. */
uint64_t process_fingerprint(struct process *process);
/* From here on the base is a file system of its own, for this child and its children. */
void process_mount_base(struct process *process, const char *options);
/* In a child: become nobody. */
void process_drop_root(struct process *process);
/* Remove @path and the files, and directories of files, in it. */
void process_remove(const char *path);

/* The parts. Each is one round in the campaign's own process; false: it has failed. */
bool process_round_kills(struct process *process);
bool process_round_full_disk(struct process *process);
bool process_round_read_only_mount(struct process *process);
bool process_round_rights(struct process *process);
bool process_round_descriptors(struct process *process);
bool process_round_memory(struct process *process);
bool process_round_file_size(struct process *process);
bool process_round_threads(struct process *process);
bool process_round_full_merge(struct process *process);
bool process_round_many_files(struct process *process);
bool process_round_kept_files(struct process *process);

#endif
