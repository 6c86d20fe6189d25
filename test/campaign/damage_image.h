/* SPDX-License-Identifier: MIT */
/*
 * The files of a cask in memory, to be damaged. A copy borrows the bytes of what it was
 * copied from until they are edited, so that making one for each damage costs little.
 */
#ifndef TEST_CAMPAIGN_DAMAGE_IMAGE_H
#define TEST_CAMPAIGN_DAMAGE_IMAGE_H

#include "test/sim_disk.h"

enum {
    DAMAGE_FILES_MAX = 64,
    DAMAGE_NAME_SIZE = 40
};

/* Where the cask is, on every disk. */
#define DAMAGE_PATH "/cask"

enum damage_class {
    DAMAGE_DATA,
    DAMAGE_HINT,
    DAMAGE_MANIFEST,
    DAMAGE_LOCK,
    DAMAGE_OTHER /* temporary or foreign */
};

struct damage_file {
    char name[DAMAGE_NAME_SIZE];
    enum damage_class class;
    uint64_t id; /* of data and hint */
    const uint8_t *bytes;
    size_t size;
    uint8_t *owned; /* bytes, unless they are borrowed */
};

/* Zeroed is released. */
struct damage_image {
    struct damage_file files[DAMAGE_FILES_MAX];
    unsigned count;
};

/* Make @image, which is zeroed, what the cask on @disk is now. */
void damage_image_take(struct damage_image *image, const struct sim_disk *disk);
/* The same from another image, whose bytes have to stay. */
void damage_image_copy(struct damage_image *image, const struct damage_image *from);
void damage_image_release(struct damage_image *image);

/* NULL: no such file. */
struct damage_file *damage_image_find(const struct damage_image *image, const char *name);
/* Add or replace a file. @bytes are borrowed. */
void damage_image_put(struct damage_image *image, const char *name, const void *bytes,
                      size_t size);
void damage_image_remove(struct damage_image *image, const char *name);
/* Make @file so large, zeros behind what it had, and give its bytes to change. */
uint8_t *damage_file_edit(struct damage_file *file, size_t size);

/* Whether both are there, or neither, with the same bytes. NULL: not there. */
/* Whether there is nothing but zeros in @file from @offset on. */
bool damage_file_unused(const struct damage_file *file, uint64_t offset);
bool damage_file_equal(const struct damage_file *left, const struct damage_file *right);
/* Whether both have the same files. */
bool damage_image_equal(const struct damage_image *left,
                        const struct damage_image *right);

/* Make the files on @disk those of @image. */
void damage_image_write(const struct damage_image *image, struct sim_disk *disk);
/* The first file, LOCK apart, that is not on @disk as in @image; NULL: none. */
const char *damage_image_differs(const struct damage_image *image,
                                 const struct sim_disk *disk);

#endif
