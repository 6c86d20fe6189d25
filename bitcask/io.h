/* SPDX-License-Identifier: MIT */
/*
 * The only door to the operating system, as far as files, clocks and chance go.
 *
 * io_posix.c is the real one; tests put others behind the same door that fail the
 * n-th call or forget what was not synced. Nothing else in the library includes
 * <unistd.h> or <fcntl.h>. (Threads and memory do not come through here.)
 *
 * Files are named relative to an open directory, so that a program may chdir().
 * Short transfers and EINTR are dealt with behind the door. A failed call sets errno
 * and returns
 *
 *     BITCASK_NOT_FOUND   open, move, remove: there is no such file (and only then)
 *     BITCASK_NO_SPACE    the disk or the quota is full
 *     BITCASK_READ_ONLY   the file system is read-only
 *     BITCASK_NO_MEMORY   the system is out of memory
 *     BITCASK_LOCKED      lock: somebody else holds it
 *     BITCASK_UNSUPPORTED allocate: not on this file system
 *     BITCASK_IO          anything else
 *
 * but leaves no words for bitcask_error_detail(): the caller knows the file's name.
 *
 * All functions may be called by several threads at a time, on the same file too.
 */
#ifndef BITCASK_IO_H
#define BITCASK_IO_H

#include "bitcask/bitcask.h"

/* A handle of a file or directory: small, not negative, meaningful to its io only. */
typedef int bitcask_file;
#define BITCASK_NO_FILE (-1)

enum bitcask_io_mode {
    BITCASK_IO_READ,   /* an existing file */
    BITCASK_IO_WRITE,  /* an existing file, to read and write */
    BITCASK_IO_CREATE, /* the same, created empty or emptied */
    BITCASK_IO_LOCK    /* the same, created if missing, never emptied */
};

/* What a mapping is for. */
enum bitcask_io_use {
    BITCASK_IO_LOAD,       /* to be read */
    BITCASK_IO_STORE,      /* and stored to */
    BITCASK_IO_STORE_LARGE /* the same in large pages, if there are such: they are brought
                              in sooner, and synced as a whole */
};

/* Called for each name in a directory, "." and ".." excepted; stops unless OK. */
typedef enum bitcask_status bitcask_io_visit(const char *name, void *context);

/* The most parts that one write takes. */
enum {
    BITCASK_IO_PARTS_MAX = 8
};

struct bitcask_io {
    /* Creates one directory. BITCASK_NOT_FOUND: its parent is missing. */
    enum bitcask_status (*directory_create)(struct bitcask_io *io, const char *path);
    /* Removes an empty one, if it can. */
    void (*directory_remove)(struct bitcask_io *io, const char *path);
    enum bitcask_status (*directory_open)(struct bitcask_io *io, const char *path,
                                          bitcask_file *out);
    /*
     * Opens the directory @name in @directory, made first if it is missing and @create
     * says so. It must be one itself: a symbolic link is an error.
     */
    enum bitcask_status (*directory_open_in)(struct bitcask_io *io,
                                             bitcask_file directory, const char *name,
                                             bool create, bitcask_file *out);
    enum bitcask_status (*directory_list)(struct bitcask_io *io, bitcask_file directory,
                                          bitcask_io_visit *visit, void *context);
    /* Names created, renamed and removed before the call survive power loss after it. */
    enum bitcask_status (*directory_sync)(struct bitcask_io *io, bitcask_file directory);
    /* The same for the directory that holds @directory. */
    enum bitcask_status (*directory_sync_parent)(struct bitcask_io *io,
                                                 bitcask_file directory);

    enum bitcask_status (*open)(struct bitcask_io *io, bitcask_file directory,
                                const char *name, enum bitcask_io_mode mode,
                                bitcask_file *out);
    void (*close)(struct bitcask_io *io, bitcask_file file);
    /* *got is below @size only at the end of the file. */
    enum bitcask_status (*read)(struct bitcask_io *io, bitcask_file file, uint64_t offset,
                                void *data, size_t size, size_t *got);
    /* All or an error; after an error any part of the bytes may have been written. */
    enum bitcask_status (*write)(struct bitcask_io *io, bitcask_file file,
                                 uint64_t offset, const struct bitcask_slice *parts,
                                 size_t part_count);
    /*
     * Begin to bring those bytes to the disk, and do not wait: a later sync has less to
     * do. Promises nothing, and fails silently.
     */
    void (*begin_sync)(struct bitcask_io *io, bitcask_file file, uint64_t offset,
                       uint64_t size);
    /* Data and size survive power loss after it. After an error, never try again. */
    enum bitcask_status (*sync)(struct bitcask_io *io, bitcask_file file);
    enum bitcask_status (*size)(struct bitcask_io *io, bitcask_file file, uint64_t *out);
    enum bitcask_status (*truncate)(struct bitcask_io *io, bitcask_file file,
                                    uint64_t size);
    /*
     * Gives the file space, and at least the size, for the @size bytes from @offset on,
     * which are zeros where nothing was written: no later write or store() to them is
     * refused for want of space. BITCASK_UNSUPPORTED: this file system cannot promise
     * that.
     */
    enum bitcask_status (*allocate)(struct bitcask_io *io, bitcask_file file,
                                    uint64_t offset, uint64_t size);
    /*
     * Makes the @size bytes of the file from @offset on readable at *out, also those that
     * writes add later; bytes behind the end of the file must not be touched. To store is
     * for what was allocated, and who does need not wait until it is brought in.
     */
    enum bitcask_status (*map)(struct bitcask_io *io, bitcask_file file, uint64_t offset,
                               size_t size, enum bitcask_io_use use, const uint8_t **out);
    void (*unmap)(struct bitcask_io *io, const uint8_t *address, size_t size);
    /*
     * Copies @data to @address in a writable mapping: a write without a system call,
     * which cannot fail, and is synced and lost like any other. It comes through the
     * door so that a simulated disk sees it.
     */
    void (*store)(struct bitcask_io *io, const uint8_t *address, const void *data,
                  size_t size);
    /*
     * Held against other openers, in this process too, until unlock. A process that
     * dies gives it up, and so does one that closes the file, but for its children that
     * were made by fork() meanwhile.
     */
    enum bitcask_status (*lock)(struct bitcask_io *io, bitcask_file file);
    void (*unlock)(struct bitcask_io *io, bitcask_file file);

    enum bitcask_status (*rename)(struct bitcask_io *io, bitcask_file directory,
                                  const char *from, const char *to);
    /*
     * Renames a file from one directory to another. It replaces what is there under that
     * name: the caller chooses a free one. Durable when both directories are synced;
     * until then power loss leaves it under the old name or under the new one.
     */
    enum bitcask_status (*move)(struct bitcask_io *io, bitcask_file from_directory,
                                const char *from, bitcask_file to_directory,
                                const char *to);
    enum bitcask_status (*remove)(struct bitcask_io *io, bitcask_file directory,
                                  const char *name);

    uint64_t (*monotonic_ms)(struct bitcask_io *io); /* never steps; cheap */
    uint64_t (*wall_ms)(struct bitcask_io *io);      /* since 1970, may step */
    void (*sleep_ms)(struct bitcask_io *io, uint32_t ms);
    enum bitcask_status (*random)(struct bitcask_io *io, void *data, size_t size);
    uint64_t (*process_id)(struct bitcask_io *io);
};

/* The real one. Never fails, lives for ever, has no state. */
struct bitcask_io *bitcask_io_posix(void);

#endif
