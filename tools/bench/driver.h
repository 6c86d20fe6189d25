/* SPDX-License-Identifier: MIT */
/*
 * What a store must do to be measured.
 *
 * A driver is one file, driver_<name>.c, that knows one engine and nothing of the
 * harness. It is handed keys and values and gives them back; it counts nothing, prints
 * nothing and reads no clock. Each run of an engine has a process of its own.
 */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a put that has returned outlives. Every engine of a row has the same. */
enum bench_durability {
    BENCH_SURVIVES_KILL, /* kill -9 of the process; not a power failure */
    BENCH_SURVIVES_POWER /* a power failure: it was synced before it returned */
};

enum bench_result {
    BENCH_OK = 0,
    BENCH_MISSING, /* no such key: of get and remove, nothing else */
    BENCH_ERROR    /* bench_driver.error() has the words */
};

/* How a store is opened; the same for every engine. */
struct bench_setup {
    const char *directory;  /* is there; empty, or holds what the driver made in it */
    uint64_t expected_keys; /* what an engine that wants a count is sized for */
    size_t key_size;        /* of every key */
    size_t value_size;      /* of the values, all of them within a few bytes */
    unsigned threads;       /* that will attach at the same time */
    enum bench_durability durability;
};

/* Borrowed bytes, or in an array of them a key each. */
struct bench_bytes {
    const void *data;
    size_t size;
};

/*
 * Where a get copies its value. Belongs to the caller, who reuses it from get to get, and
 * is grown by bench_value_set(). Zeroed is empty.
 */
struct bench_value {
    void *data;
    size_t size;
    size_t capacity;
};

/* Told of each pair of a scan; the bytes are borrowed. False ends the scan. */
typedef bool bench_visit(void *context, struct bench_bytes key, struct bench_bytes value);

/*
 * An engine. What open() hands out as a store goes to close(); what attach() hands out
 * as a session is used by the thread that attached, and goes to detach() before the store
 * is closed.
 */
struct bench_driver {
    const char *name; /* as --engines takes it */

    /* The version of the library that runs. */
    const char *(*version)(void);

    /* One line, without its end: how it is opened for @setup, checksums included. */
    void (*settings)(const struct bench_setup *setup, char *text, size_t text_size);

    /* Open, and create what is not there. On failure *store is NULL. */
    enum bench_result (*open)(const struct bench_setup *setup, void **store);

    /* A clean end, after which open() has nothing to recover. Frees @store in any case.
     */
    enum bench_result (*close)(void *store);

    /* *session may be @store itself. */
    enum bench_result (*attach)(void *store, void **session);
    void (*detach)(void *session);

    /* Set a key, whether it is there or not; when it returns, it is as durable as the
       setup says. */
    enum bench_result (*put)(void *session, struct bench_bytes key,
                             struct bench_bytes value);

    /* Copy the value of @key into @value. */
    enum bench_result (*get)(void *session, struct bench_bytes key,
                             struct bench_value *value);

    /* BENCH_MISSING may be BENCH_OK in an engine that does not look. */
    enum bench_result (*remove)(void *session, struct bench_bytes key);

    /* @count gets at once, each with a result of its own. NULL: it has none, and get() is
       called for each. BENCH_ERROR if any of them is. */
    enum bench_result (*multi_get)(void *session, const struct bench_bytes *keys,
                                   size_t count, struct bench_value *values,
                                   enum bench_result *results);

    /* Every pair once, in whatever order is the engine's fastest. */
    enum bench_result (*scan)(void *session, bench_visit *visit, void *context);

    /* Give back the space of what was overwritten or deleted, all of it. NULL: it has no
       such thing. */
    enum bench_result (*merge)(void *store);

    /* The words of the calling thread's last failure. Never NULL. */
    const char *(*error)(void);
};

/* The drivers that were built, ours first; NULL behind the last. drivers.c */
extern const struct bench_driver *const bench_drivers[];

/* driver_bitcask.c */
extern const struct bench_driver bench_driver_bitcask;
extern const struct bench_driver bench_driver_bitcask_nomerge;

/* The rivals, each in driver_<name>.c; what is not built is not in bench_drivers. */
extern const struct bench_driver bench_driver_lmdb;
extern const struct bench_driver bench_driver_tkrzw;
extern const struct bench_driver bench_driver_kyoto;
extern const struct bench_driver bench_driver_leveldb;
extern const struct bench_driver bench_driver_rocksdb;

/* For drivers. bench_value_set() makes room for @size bytes and copies @data; false: no
   memory. bench_path() is @directory, a slash and @name, in @path. driver_support.c */
bool bench_value_set(struct bench_value *value, const void *data, size_t size);
void bench_path(char *path, size_t path_size, const char *directory, const char *name);

/* The words that error() gives back: each thread has its own. driver_support.c */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *bench_failure(void);

#endif
