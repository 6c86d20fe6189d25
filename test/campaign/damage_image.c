/* SPDX-License-Identifier: MIT */
#include "test/campaign/damage_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"

static void *copy_bytes(const void *bytes, size_t size, size_t room)
{
    uint8_t *copy = calloc(1, room > 0 ? room : 1);

    if (copy == NULL)
        abort();
    memcpy(copy, bytes, size);
    return copy;
}

static enum damage_class class_of(const char *name, uint64_t *id)
{
    switch (bitcask_name_parse(name, id)) {
    case BITCASK_NAME_DATA:
        return DAMAGE_DATA;
    case BITCASK_NAME_HINT:
        return DAMAGE_HINT;
    case BITCASK_NAME_MANIFEST:
        return DAMAGE_MANIFEST;
    case BITCASK_NAME_LOCK:
        return DAMAGE_LOCK;
    case BITCASK_NAME_RESERVE:
    case BITCASK_NAME_QUARANTINE:
    case BITCASK_NAME_TEMPORARY:
    case BITCASK_NAME_FOREIGN:
        break;
    }
    return DAMAGE_OTHER;
}

void damage_image_take(struct damage_image *image, const struct sim_disk *disk)
{
    const char *name;

    for (size_t i = 0; (name = sim_disk_name(disk, DAMAGE_PATH, i)) != NULL; i++) {
        size_t size = 0;
        const uint8_t *bytes = sim_disk_file(disk, DAMAGE_PATH, name, &size);
        struct damage_file *file;

        damage_image_put(image, name, bytes, size);
        file = damage_image_find(image, name);
        file->owned = copy_bytes(size > 0 ? bytes : (const uint8_t *)"", size, size);
        file->bytes = file->owned;
    }
}

void damage_image_copy(struct damage_image *image, const struct damage_image *from)
{
    memcpy(image->files, from->files, from->count * sizeof *from->files);
    image->count = from->count;
    for (unsigned i = 0; i < image->count; i++)
        image->files[i].owned = NULL;
}

void damage_image_release(struct damage_image *image)
{
    for (unsigned i = 0; i < image->count; i++)
        free(image->files[i].owned);
    image->count = 0;
}

struct damage_file *damage_image_find(const struct damage_image *image, const char *name)
{
    for (unsigned i = 0; i < image->count; i++) {
        if (strcmp(image->files[i].name, name) == 0)
            return (struct damage_file *)&image->files[i];
    }
    return NULL;
}

void damage_image_put(struct damage_image *image, const char *name, const void *bytes,
                      size_t size)
{
    struct damage_file *file = damage_image_find(image, name);

    if (file == NULL) {
        if (image->count == DAMAGE_FILES_MAX || strlen(name) >= DAMAGE_NAME_SIZE)
            abort();
        file = &image->files[image->count++];
        memset(file, 0, sizeof *file);
        (void)snprintf(file->name, sizeof file->name, "%s", name);
        file->class = class_of(name, &file->id);
    }
    free(file->owned);
    file->owned = NULL;
    file->bytes = bytes;
    file->size = size;
}

void damage_image_remove(struct damage_image *image, const char *name)
{
    struct damage_file *file = damage_image_find(image, name);

    if (file == NULL)
        return;
    free(file->owned);
    *file = image->files[--image->count];
}

uint8_t *damage_file_edit(struct damage_file *file, size_t size)
{
    size_t kept = size < file->size ? size : file->size;

    if (file->owned == NULL || size > file->size) {
        uint8_t *bytes = copy_bytes(file->bytes, kept, size);

        free(file->owned);
        file->owned = bytes;
        file->bytes = bytes;
    }
    file->size = size;
    return file->owned;
}

bool damage_file_unused(const struct damage_file *file, uint64_t offset)
{
    while (offset < file->size && file->bytes[offset] == 0)
        offset++;
    return offset >= file->size;
}

bool damage_file_equal(const struct damage_file *left, const struct damage_file *right)
{
    if (left == NULL || right == NULL)
        return left == right;
    return left->size == right->size &&
           (left->bytes == right->bytes ||
            memcmp(left->bytes, right->bytes, left->size) == 0);
}

bool damage_image_equal(const struct damage_image *left, const struct damage_image *right)
{
    bool same = left->count == right->count;

    for (unsigned i = 0; i < left->count && same; i++)
        same = damage_file_equal(&left->files[i],
                                 damage_image_find(right, left->files[i].name));
    return same;
}

/* Whether @disk has exactly this file. */
static bool is_on_disk(const struct damage_file *file, const struct sim_disk *disk)
{
    size_t size = 0;
    const uint8_t *bytes = sim_disk_file(disk, DAMAGE_PATH, file->name, &size);

    return bytes != NULL && size == file->size && memcmp(bytes, file->bytes, size) == 0;
}

void damage_image_write(const struct damage_image *image, struct sim_disk *disk)
{
    const char *name;
    size_t i = 0;

    while ((name = sim_disk_name(disk, DAMAGE_PATH, i)) != NULL) {
        char copy[DAMAGE_NAME_SIZE];

        (void)snprintf(copy, sizeof copy, "%s", name);
        if (damage_image_find(image, copy) != NULL)
            i++;
        else
            sim_disk_remove_file(disk, DAMAGE_PATH, copy);
    }
    for (i = 0; i < image->count; i++) {
        const struct damage_file *file = &image->files[i];

        if (!is_on_disk(file, disk))
            sim_disk_put_file(disk, DAMAGE_PATH, file->name, file->bytes, file->size);
    }
}

const char *damage_image_differs(const struct damage_image *image,
                                 const struct sim_disk *disk)
{
    const char *name;

    for (unsigned i = 0; i < image->count; i++) {
        const struct damage_file *file = &image->files[i];

        if (file->class != DAMAGE_LOCK && !is_on_disk(file, disk))
            return file->name;
    }
    for (size_t i = 0; (name = sim_disk_name(disk, DAMAGE_PATH, i)) != NULL; i++) {
        if (damage_image_find(image, name) == NULL && strcmp(name, "LOCK") != 0)
            return name;
    }
    return NULL;
}
