/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory behind the door to the operating system (bitcask/io.h). It knows
 * what has been synced and what has not, and can say what a crash would leave.
 *
 *     struct sim_disk *disk = sim_disk_new(seed);
 *
 *     bitcask_open_with(sim_disk_io(disk), &cask, "/cask", &options);
 *     ... in a hook, or after any call ...
 *     struct sim_disk *left = sim_disk_after(disk, SIM_POWER_ANY, another_seed);
 *     bitcask_open_with(sim_disk_io(left), &survivor, "/cask", &options);
 *
 * THE FAULTS THAT MUST BE SURVIVED, every promise of docs/durability.md holding:
 *
 *   process death  The process ends before, inside or after any call or mapped store.
 *                  What it wrote stays, synced or not; of the write that it was in,
 *                  any first part does. Locks and handles are gone.
 *   power loss     Before, inside and after any call or mapped store. A sector of 512
 *                  bytes that was written since the file's last sync is on the disk as
 *                  it was after any of the writes since then, or before all of them;
 *                  each sector for itself, so writes are lost, kept, kept in part and
 *                  reordered. Truncating is such a write.
 *                  The size of a file is any that it had since its last sync, or one
 *                  between those. Where it grew over sectors that did not reach the
 *                  disk there are zeros, noise, or old sectors of what is
 *                  gone: files, and what was cut off others. Where the space had been
 *                  allocated there are zeros.
 *                  Of the names created, renamed and removed since the directory's last
 *                  sync, any combination has happened; a rename as a whole or not at
 *                  all. Syncing a file does not make its name durable. The cask's own
 *                  directory is such a name in its parent, and one in it a name in it;
 *                  what was in a directory that is lost is lost with it.
 *                  A file that was moved from one directory to another is in the one or
 *                  in the other, as a rename is done or not. It is there for good as
 *                  soon as either of the two has been synced, and with it what was done
 *                  to the names of the other before: a journal keeps the order. If the
 *                  directory that it went to is lost, so is the move.
 *   failed sync    Of what was to be synced any part has reached the disk, the rest
 *                  never will: reads show it until the power fails, later syncs succeed
 *                  without it, and only writing it again helps. (Sizes and names, which
 *                  a file system keeps in its journal, a later sync does bring.)
 *   failed call    Any call may fail, by a plan (test/fault_io.h). A failed write has
 *                  written as many bytes as the plan says. The disk may be full.
 *
 * What is not modelled, because nothing above a file system could survive it: sectors
 * torn in their middle (a record's checks would find it, but not restore what shared
 * the sector), syncs that lie, and damage to what was synced (the damage campaign makes
 * that itself, with the functions on files below).
 *
 * Nothing here fails for want of memory: it ends the program. Its own allocations are
 * not counted by test_alloc.h.
 *
 * Threads: the io may be used by several. All other functions while nobody does, or
 * in a hook.
 */
#ifndef TEST_SIM_DISK_H
#define TEST_SIM_DISK_H

#include "bitcask/io.h"
#include "test/fault_io.h"

enum {
    SIM_SECTOR_SIZE = 512,
    /* Mapped stores, beside the calls of enum fault_call. They cannot fail. */
    SIM_STORE = FAULT_CALL_COUNT
};

enum sim_when {
    SIM_BEFORE,
    SIM_INSIDE, /* writes and stores: a first part is written, the rest is not */
    SIM_AFTER   /* whatever the call returns */
};

/* A moment at which the process may die or the power may fail. */
struct sim_moment {
    int call; /* enum fault_call, or SIM_STORE */
    enum sim_when when;
    const char *name; /* of the file; the new one when renamed; "" for a directory */
    /* Of a write or store: where, and, after it, the bytes that the file now has. */
    uint64_t offset;
    const uint8_t *bytes;
    size_t size;
    bool failed; /* SIM_AFTER: by plan, or for want of space */
};

struct sim_disk;

/* Called with the disk locked: it may look at it and copy it, but not use its io. */
typedef void sim_hook(struct sim_disk *disk, const struct sim_moment *moment,
                      void *context);

/* An empty disk; all chance on it, salts too, follows from @seed. */
struct sim_disk *sim_disk_new(uint64_t seed);
/* NULL is fine. Whatever is open is gone. */
void sim_disk_free(struct sim_disk *disk);
struct bitcask_io *sim_disk_io(struct sim_disk *disk);

/* NULL: none. */
void sim_disk_set_hook(struct sim_disk *disk, sim_hook *hook, void *context);
/* As fault_io_arm(), fault_io_disarm(), fault_io_failure_count(). */
void sim_disk_arm(struct sim_disk *disk, const struct fault_plan *plan);
void sim_disk_disarm(struct sim_disk *disk);
long sim_disk_failure_count(struct sim_disk *disk);
/* Calls that can fail, since the disk was made; stores and closings are none. */
long sim_disk_call_count(struct sim_disk *disk);
/* All files together may have so many bytes; UINT64_MAX, as at first: any. */
void sim_disk_set_capacity(struct sim_disk *disk, uint64_t size);
/* As on a file system that cannot allocate: all appends are writes. */
void sim_disk_set_no_allocate(struct sim_disk *disk);
/* Move both clocks. Sleeping does so too. The wall clock may step back. */
void sim_disk_pass_ms(struct sim_disk *disk, uint64_t ms);
void sim_disk_step_wall_ms(struct sim_disk *disk, int64_t ms);
/* Files, directories and mappings that are open; a test ends with none. */
long sim_disk_open_count(struct sim_disk *disk);

/* What is left when it ends now. */
enum sim_loss {
    SIM_KILL,          /* the process dies: all that was written, synced or not */
    SIM_POWER_NOTHING, /* the power fails: nothing that was not synced */
    SIM_POWER_ALL,     /* everything, as if it had just been synced */
    SIM_POWER_PREFIX,  /* what happened before some moment, nothing after it */
    SIM_POWER_ANY,     /* anything that is allowed above */
    SIM_LOSS_COUNT
};

/*
 * A new disk with what is left of @disk after @loss, nothing open, nothing locked. The
 * same @seed makes the same choices. After SIM_KILL it also remembers what is not synced.
 */
struct sim_disk *sim_disk_after(const struct sim_disk *disk, enum sim_loss loss,
                                uint64_t seed);

/* Of names, bytes and, where it differs, what would be left without the unsynced. */
uint64_t sim_disk_hash(const struct sim_disk *disk);

/*
 * FILES, behind the back of hook and plan, and durable at once. @path is the directory,
 * which put creates. Directories are no files, and have no number.
 */
/* NULL: no such file. Valid until the disk changes. */
const uint8_t *sim_disk_file(const struct sim_disk *disk, const char *path,
                             const char *name, size_t *size);
void sim_disk_put_file(struct sim_disk *disk, const char *path, const char *name,
                       const void *bytes, size_t size);
void sim_disk_remove_file(struct sim_disk *disk, const char *path, const char *name);
/* The name of file number @index in order of names; NULL: there are not so many. */
const char *sim_disk_name(const struct sim_disk *disk, const char *path, size_t index);

/* Print names and sizes, for a person who looks at a failure. */
void sim_disk_print(const struct sim_disk *disk);

#endif
