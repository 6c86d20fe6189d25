/* SPDX-License-Identifier: MIT */
/*
 * The inside of struct sim_disk, for its parts: sim_state.c, names and bytes with their
 * changes; sim_io.c, the door; sim_loss.c, what a crash leaves; sim_disk.c, the rest.
 *
 * Of each file there are two versions, what reads see and what is on the platters, and
 * between them the changes that no sync has covered yet; the same for the names in a
 * directory. All changes of a disk are numbered in the order in which they were made.
 */
#ifndef TEST_SIM_INSIDE_H
#define TEST_SIM_INSIDE_H

#include <pthread.h>

#include "test/sim_disk.h"

enum {
    SIM_NAME_MAX = 63,
    SIM_HANDLES_MAX = 1024,
    SIM_NOTHING = -1 /* instead of the index of an inode */
};

/* Bytes written, or (bytes NULL) the file truncated or extended to @offset. */
struct sim_change {
    uint64_t number;
    uint64_t offset;
    size_t size;          /* of bytes */
    uint64_t size_before; /* of the file */
    uint64_t size_after;
    uint8_t *bytes;
};

struct sim_inode {
    uint8_t *now;
    uint8_t *kept;
    size_t capacity; /* of both; what is behind the size is zero in now */
    uint64_t now_size;
    uint64_t kept_size;
    uint64_t allocated_size; /* before it, what was never written is zero */
    struct sim_change *changes;
    size_t change_count;
    size_t change_capacity;
};

struct sim_name {
    char text[SIM_NAME_MAX + 1];
    int inode;
};

struct sim_names {
    struct sim_name *list;
    size_t count;
    size_t capacity;
};

/*
 * A name created, or renamed from (inode set), or removed (to is empty). A move is such
 * a change in both directories, with one number.
 */
struct sim_name_change {
    uint64_t number;
    int other;                   /* the other directory of a move, or SIM_NOTHING */
    char from[SIM_NAME_MAX + 1]; /* "": created */
    char to[SIM_NAME_MAX + 1];   /* "": removed */
    int inode;
};

struct sim_directory {
    char path[256];
    bool now; /* it exists */
    bool kept;
    uint64_t number; /* of the change that made it */
    struct sim_names names_now;
    struct sim_names names_kept;
    struct sim_name_change *changes;
    size_t change_count;
    size_t change_capacity;
};

struct sim_handle {
    bool used;
    bool locked;
    int directory; /* or SIM_NOTHING */
    int inode;     /* or SIM_NOTHING */
    char name[SIM_NAME_MAX + 1];
};

struct sim_mapping {
    uint8_t *address;
    uint64_t offset; /* of its first byte in the file */
    size_t size;
    int inode;
    bool writable;
    char name[SIM_NAME_MAX + 1];
    struct sim_mapping *next;
};

struct sim_disk {
    struct bitcask_io io; /* first, so that an io is a sim_disk */

    pthread_mutex_t lock; /* of all that follows */
    sim_hook *hook;
    void *hook_context;
    struct fault_plan plan;
    long failure_count;
    long call_count;
    long open_count;
    uint64_t chance; /* salts, and where a write is cut in two */
    uint64_t salt_chance;
    uint64_t size_max; /* of all files together */
    bool no_allocate;
    uint64_t monotonic_ms;
    uint64_t wall_ms;
    uint64_t change_number; /* of the last change */

    struct sim_inode *inodes;
    size_t inode_count;
    size_t inode_capacity;
    struct sim_directory *directories;
    size_t directory_count;
    struct sim_handle handles[SIM_HANDLES_MAX];
    struct sim_mapping *mappings;
};

/* The door. */
extern const struct bitcask_io sim_io;
uint64_t sim_monotonic_ms(struct bitcask_io *io);
uint64_t sim_wall_ms(struct bitcask_io *io);
void sim_sleep_ms(struct bitcask_io *io, uint32_t ms);
uint64_t sim_process_id(struct bitcask_io *io);

/* Memory or the end of the program; realloc() of NULL is malloc(). */
void *sim_memory(void *old, size_t size);

uint64_t sim_chance(uint64_t *state);
uint64_t sim_chance_below(uint64_t *state, uint64_t limit);

/* Make room for @size bytes in both versions. */
void sim_inode_reserve(struct sim_inode *inode, uint64_t size);
/* The index of a new, empty one. */
int sim_inode_new(struct sim_disk *disk);
/* The index of a new one, which does not exist yet. */
int sim_directory_new(struct sim_disk *disk, const char *path);

/* NULL: no such name. */
struct sim_name *sim_name_find(const struct sim_names *names, const char *text);
/* @inode SIM_NOTHING: there is no such name any more. */
void sim_name_set(struct sim_names *names, const char *text, int inode);
void sim_name_apply(struct sim_names *names, const struct sim_name_change *change);

/* How many of the first of @bytes there are up to the last that the file has otherwise.
 */
size_t sim_changing_size(const struct sim_inode *inode, uint64_t offset,
                         const uint8_t *bytes, size_t size);

/*
 * Make a change, and note it until it is synced: of the names in @directory (see
 * struct sim_name_change), of bytes, of the size. Mappings see it.
 */
void sim_change_names(struct sim_disk *disk, struct sim_directory *directory,
                      const char *from, const char *to, int inode);
/* The same for a move, in both directories, which may not be the same. */
void sim_change_move(struct sim_disk *disk, int from_directory, const char *from,
                     int to_directory, const char *to, int inode);
void sim_change_bytes(struct sim_disk *disk, int index, uint64_t offset,
                      const uint8_t *bytes, size_t size);
void sim_change_size(struct sim_disk *disk, int index, uint64_t size);
/* Let it grow to @size, with zeros for certain. */
void sim_change_allocate(struct sim_disk *disk, int index, uint64_t size);

/* Whether the directory @below is in the directory @above, not deeper. */
bool sim_is_in(const struct sim_directory *below, const struct sim_directory *above);

/*
 * Make durable what was done to the names in directory @index up to change @number, with
 * the other halves of moves and what came before them there.
 */
void sim_sync_names(struct sim_disk *disk, int index, uint64_t number);

/* Mappings have the bytes of the file from @offset to @end again. */
void sim_refresh_mappings(struct sim_disk *disk, int index, uint64_t offset,
                          uint64_t end);

/* How many of @size more bytes at @offset the disk has room for. */
uint64_t sim_fitting(const struct sim_disk *disk, const struct sim_inode *inode,
                     uint64_t offset, uint64_t size);

/* Whether @change has to do with sector @index; and make it there, in @bytes. */
bool sim_change_touches(const struct sim_change *change, uint64_t index);
void sim_change_apply(const struct sim_change *change, uint64_t index,
                      uint8_t bytes[SIM_SECTOR_SIZE]);
void sim_inode_forget_changes(struct sim_inode *inode);

/*
 * After a failed sync: any part of the changes of @inode reaches the platters, and the
 * rest is forgotten.
 */
void sim_inode_sync_part(struct sim_inode *inode, uint64_t *chance);

#endif
