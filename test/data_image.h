/* SPDX-License-Identifier: MIT */
/*
 * A data file put together in memory, record by record, for tests to look at and to
 * damage: written with format.h alone, without the library's append queue.
 */
#ifndef TEST_DATA_IMAGE_H
#define TEST_DATA_IMAGE_H

#include "bitcask/format.h"
#include "test/test_support.h"

struct data_image {
    struct bitcask_buffer bytes;
    uint64_t id;
    uint64_t salt;
    uint64_t next_sequence;  /* of the record that is added next */
    uint32_t unsynced_count; /* the same */
    bool counts_unsynced;    /* each record adds one to it */
};

/* A put, unless @deletes. */
struct image_record {
    struct bitcask_slice key;
    struct bitcask_slice value;
    uint64_t expiry_ms; /* 0: none */
    bool deletes;
};

/* Only a file header, its first record to be of sequence 1; goes to release. */
void data_image_init(struct data_image *image, uint64_t id, uint64_t salt);
void data_image_release(struct data_image *image);

/* Add a record, as it must be at the end of the image; where it begins. */
uint64_t data_image_add(struct data_image *image, const struct image_record *record);
uint64_t data_image_put(struct data_image *image, const char *key, const char *value);
uint64_t data_image_delete(struct data_image *image, const char *key);
uint64_t data_image_add_batch(struct data_image *image, const struct image_record *parts,
                              size_t count);
/* Bytes that are no record. */
void data_image_add_bytes(struct data_image *image, const void *data, size_t size);

/* Write it to the directory, under the name of a data file. */
void data_image_write(const struct data_image *image, const struct test_disk *disk);

#endif
