/* SPDX-License-Identifier: MIT */
/*
 * A directory as bytes, and what is in it by a reading of our own.
 *
 * The bytes are a byte of flags, and then one file after the other:
 *
 *     kind (1 byte; enum fuzz_store_kind)  id (1)  size (2, little-endian)  bytes
 *
 * A file that comes twice is the later one; what is missing at the end is left out.
 */
#ifndef TEST_FUZZ_FUZZ_STORE_H
#define TEST_FUZZ_FUZZ_STORE_H

#include "bitcask/file_name.h"
#include "bitcask/manifest.h"
#include "test/fuzz/fuzz_format.h"
#include "test/sim_disk.h"

#define FUZZ_STORE_PATH "/cask"

enum fuzz_store_kind {
    FUZZ_STORE_DATA,
    FUZZ_STORE_HINT,
    FUZZ_STORE_MANIFEST,
    FUZZ_STORE_RESERVE,
    FUZZ_STORE_TEMPORARY, /* MANIFEST.tmp, or with an id that of a hint */
    FUZZ_STORE_KIND_COUNT
};

/* Bits of the flags. */
enum {
    FUZZ_STORE_MEND_DATA = 1, /* put right checks over what looks like records, */
    FUZZ_STORE_MEND_HINTS = 2,
    FUZZ_STORE_MEND_MANIFEST = 4,
    FUZZ_STORE_NO_HINTS = 8 /* leave hints out */
};

struct fuzz_store_file {
    char name[BITCASK_NAME_SIZE];
    enum fuzz_store_kind kind;
    uint64_t id;
    uint8_t *bytes;
    size_t size;
};

enum {
    FUZZ_STORE_FILES_MAX = 16
};

/* A put or tombstone of which header and key are whole. */
struct fuzz_fact {
    struct fuzz_record record; /* points into the file's bytes */
    uint64_t id;
    bool whole;  /* and so are its value, and its batch */
    bool listed; /* it lies in a file, as MANIFEST lists it, before anything else */
    bool sealed; /* the same, and the file is a sealed one */
};

struct fuzz_store {
    struct fuzz_store_file files[FUZZ_STORE_FILES_MAX];
    size_t file_count;
    bool has_hints;
    bool has_manifest; /* and it can be read: */
    struct bitcask_manifest manifest;
    struct fuzz_fact *facts;
    size_t fact_count;
    size_t fact_capacity;
};

void fuzz_store_read(struct fuzz_store *store, const uint8_t *bytes, size_t size);
void fuzz_store_release(struct fuzz_store *store);

/* A disk with its files. */
struct sim_disk *fuzz_store_disk(const struct fuzz_store *store);

/* Whether the files are on @disk as they were, but for those that are not listed here. */
bool fuzz_store_is_unchanged(const struct fuzz_store *store, const struct sim_disk *disk);

#endif
