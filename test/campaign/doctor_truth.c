/* SPDX-License-Identifier: MIT */
#include "test/campaign/doctor_truth.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/bytes.h"

enum {
    HEADER_SIZE = 64,
    SALT = 24, /* in a header */
    BATCH_HEAD_SIZE = 28,
    TRAILER_SIZE = 48,
    TRAILER_DATA_SIZE = 32 /* where it is */
};

void doctor_hint_name(char name[DAMAGE_NAME_SIZE], uint64_t id)
{
    (void)snprintf(name, DAMAGE_NAME_SIZE, "%010" PRIu64 ".hint", id);
}

void doctor_data_name(char name[DAMAGE_NAME_SIZE], uint64_t id)
{
    (void)snprintf(name, DAMAGE_NAME_SIZE, "%010" PRIu64 ".data", id);
}

/* By docs/format.md; the files are known to be whole, but one that a merge has begun. */
static void map_file(struct doctor_map *map, const struct damage_file *file,
                     unsigned index, bool outside)
{
    uint64_t offset = HEADER_SIZE;
    uint64_t batch_offset = 0, batch_size = 0;

    while (offset + BATCH_HEAD_SIZE < file->size) {
        const uint8_t *bytes = file->bytes + offset;
        uint64_t size = BATCH_HEAD_SIZE + (bytes[21] != 0 ? 8u : 0u) +
                        bitcask_load16(bytes + 22) + bitcask_load32(bytes + 24);
        uint64_t sequence = bitcask_load64(bytes + 8);

        if (sequence > DAMAGE_OPS_MAX || offset + size > file->size)
            break;
        if (bytes[20] == 3) {
            batch_offset = offset;
            batch_size = size;
            offset += BATCH_HEAD_SIZE;
            continue;
        }
        if (outside) {
            struct doctor_copy *copy = map->copies[sequence];

            while (copy->size > 0 && copy + 1 < map->copies[sequence] + DOCTOR_COPIES)
                copy++;
            *copy = (struct doctor_copy){ index, offset, size };
        } else {
            map->deletes[sequence] = bytes[20] == 2;
            if (offset < batch_offset + batch_size) {
                map->batch_offset[sequence] = batch_offset;
                map->batch_size[sequence] = batch_size;
            }
        }
        offset += size;
    }
}

void doctor_map_find(struct doctor_map *map, const struct damage_subject *subject)
{
    memset(map, 0, sizeof *map);
    for (unsigned i = 0; i < subject->image.count; i++) {
        const struct damage_file *file = &subject->image.files[i];

        if (file->class == DAMAGE_DATA)
            map_file(map, file, i,
                     damage_listed(&subject->image, file->id) == DAMAGE_OUTSIDE);
    }
}

static bool begins_as(const struct damage_file *file, const struct damage_file *other)
{
    return file->size >= HEADER_SIZE && other->size >= HEADER_SIZE &&
           memcmp(file->bytes, other->bytes, HEADER_SIZE) == 0;
}

/* Whether @file has the header of any data file of @image. */
static bool has_header_of(const struct damage_file *file,
                          const struct damage_image *image)
{
    for (unsigned i = 0; i < image->count; i++) {
        if (image->files[i].class == DAMAGE_DATA && begins_as(file, &image->files[i]))
            return true;
    }
    return false;
}

static bool has_known_header(const struct damage_subject *subject,
                             const struct damage_file *file)
{
    bool known =
        has_header_of(file, &subject->image) || has_header_of(file, &subject->other);

    for (unsigned i = 0; i < subject->snapshot_count && !known; i++)
        known = has_header_of(file, &subject->snapshots[i]);
    return known;
}

static enum doctor_header header_of(const struct damage_subject *subject,
                                    const struct damage_image *image, unsigned index)
{
    const struct damage_file *was = &subject->image.files[index];
    const struct damage_file *now = damage_image_find(image, was->name);

    if (now == NULL || now->size < HEADER_SIZE)
        return DOCTOR_NONE;
    if (begins_as(now, was))
        return DOCTOR_OWN;
    return has_known_header(subject, now) ? DOCTOR_OTHER : DOCTOR_DAMAGED;
}

/* The hint of data file @id, if it is what it was. */
static const struct damage_file *whole_hint(const struct damage_subject *subject,
                                            const struct damage_image *image, uint64_t id)
{
    const struct damage_file *hint;
    char name[DAMAGE_NAME_SIZE];

    doctor_hint_name(name, id);
    hint = damage_image_find(image, name);
    return hint != NULL &&
                   damage_file_equal(hint, damage_image_find(&subject->image, name))
               ? hint
               : NULL;
}

/* Whether the bytes are at @offset in any file with the right header. */
static bool is_elsewhere(const struct damage_subject *subject,
                         const struct damage_image *image, unsigned index,
                         uint64_t offset, uint64_t size)
{
    const struct damage_file *was = &subject->image.files[index];

    for (unsigned i = 0; i < image->count; i++) {
        const struct damage_file *file = &image->files[i];

        if (file->class == DAMAGE_DATA && begins_as(file, was) &&
            file->size >= offset + size &&
            memcmp(file->bytes + offset, was->bytes + offset, (size_t)size) == 0)
            return true;
    }
    return false;
}

/* Whether the records of file @index can be checked: somebody still has its salt. */
static bool is_salt_known(const struct doctor_truth *truth,
                          const struct damage_subject *subject,
                          const struct damage_image *image, unsigned index)
{
    char name[DAMAGE_NAME_SIZE];
    const struct damage_file *hint, *was;

    doctor_hint_name(name, subject->image.files[index].id);
    hint = damage_image_find(image, name);
    was = damage_image_find(&subject->image, name);
    return truth->facts.manifest_same ||
           damage_is_same(subject, image, index, 0, HEADER_SIZE) ||
           damage_is_same(subject, image, index, SALT, 8) ||
           (hint != NULL && was != NULL && begins_as(hint, was));
}

static enum doctor_state state_of(const struct doctor_truth *truth,
                                  const struct damage_subject *subject,
                                  const struct doctor_map *map,
                                  const struct damage_image *image, uint64_t sequence)
{
    const struct damage_op *op = &subject->ops[sequence];
    uint64_t offset = op->offset, size = op->record_size;
    enum doctor_state damaged = DOCTOR_GONE;

    if (op->record_size == 0)
        return DOCTOR_GONE;
    for (unsigned i = 0; i < DOCTOR_COPIES; i++) {
        const struct doctor_copy *copy = &map->copies[sequence][i];

        if (copy->size > 0 &&
            damage_is_same(subject, image, copy->file, copy->offset, copy->size))
            damaged = DOCTOR_MAY; /* a merge has left another one */
    }
    if (map->batch_offset[sequence] != 0) {
        /* Without its head, nothing says that a part is one. */
        if (!damage_is_same(subject, image, op->file, map->batch_offset[sequence],
                            BATCH_HEAD_SIZE) &&
            damage_is_same(subject, image, op->file, offset, size))
            return DOCTOR_MAY;
        offset = map->batch_offset[sequence];
        size = map->batch_size[sequence];
    }
    if (!damage_is_same(subject, image, op->file, offset, size))
        return is_elsewhere(subject, image, op->file, offset, size) ? DOCTOR_MAY
                                                                    : damaged;
    if (truth->unlisted)
        return DOCTOR_MAY;
    switch (truth->headers[op->file]) {
    case DOCTOR_OWN:
        return DOCTOR_MUST;
    case DOCTOR_DAMAGED: /* then the salt must be found elsewhere */
        return is_salt_known(truth, subject, image, op->file) ? DOCTOR_MUST : damaged;
    default:
        return DOCTOR_MAY;
    }
}

static bool is_named(const struct doctor_truth *truth,
                     const struct damage_subject *subject,
                     const struct damage_image *image, uint64_t sequence)
{
    const struct damage_op *op = &subject->ops[sequence];
    const struct damage_file *hint;

    if (op->record_size == 0 || truth->unlisted ||
        truth->headers[op->file] == DOCTOR_OTHER)
        return false;
    hint = whole_hint(subject, image, subject->image.files[op->file].id);
    if (hint != NULL && op->offset < bitcask_load64(hint->bytes + hint->size -
                                                    TRAILER_SIZE + TRAILER_DATA_SIZE))
        return true;
    return is_salt_known(truth, subject, image, op->file) &&
           damage_is_same(subject, image, op->file, op->offset, op->head_size);
}

/* What is proven by all but the MANIFEST, which is taken to be what it was. */
static uint64_t proven_by_rest(const struct damage_subject *subject,
                               const struct damage_image *image)
{
    static struct damage_image with;
    const struct damage_file *manifest = damage_image_find(&subject->image, "MANIFEST");

    damage_image_copy(&with, image);
    damage_image_put(&with, "MANIFEST", manifest->bytes, manifest->size);
    return damage_proven(subject, &with);
}

/*
 * What nothing proves to have been synced is cut from where the first record is missing,
 * as any open does. It may be kept as well.
 */
static void allow_cut(struct doctor_truth *truth, const struct damage_subject *subject)
{
    uint64_t hole = truth->proven + 1;

    while (hole <= subject->last && truth->states[hole] == DOCTOR_MUST)
        hole++;
    /* Of a batch that is cut, all is. */
    while (hole > truth->proven + 1 && hole <= subject->last &&
           !subject->ops[hole - 1].ends)
        hole--;
    for (; hole <= subject->last; hole++) {
        if (truth->states[hole] == DOCTOR_MUST)
            truth->states[hole] = DOCTOR_MAY;
    }
}

/* The same of the salt in it, whatever has become of the rest of the header. */
static bool has_salt_of(const struct damage_file *file, const struct damage_image *image)
{
    for (unsigned i = 0; i < image->count; i++) {
        const struct damage_file *other = &image->files[i];

        if (other->class == DAMAGE_DATA && file->size >= HEADER_SIZE &&
            other->size >= HEADER_SIZE &&
            memcmp(file->bytes + SALT, other->bytes + SALT, 8) == 0)
            return true;
    }
    return false;
}

/* Whether there is a data file of the other cask, under whatever name. */
static bool has_foreign(const struct damage_subject *subject,
                        const struct damage_image *image)
{
    for (unsigned i = 0; i < image->count; i++) {
        if (image->files[i].class == DAMAGE_DATA &&
            has_salt_of(&image->files[i], &subject->other))
            return true;
    }
    return false;
}

/* The same of this cask. */
static bool has_own(const struct damage_subject *subject,
                    const struct damage_image *image)
{
    for (unsigned i = 0; i < image->count; i++) {
        if (image->files[i].class == DAMAGE_DATA &&
            has_header_of(&image->files[i], &subject->image))
            return true;
    }
    return false;
}

/* A file with records that are not, or no longer, where the subject has them. */
static bool is_stranger(const struct damage_subject *subject,
                        const struct damage_image *image, const struct damage_file *file,
                        bool listed)
{
    const struct damage_file *was = damage_image_find(&subject->image, file->name);

    if (file->class != DAMAGE_DATA || file->size < HEADER_SIZE)
        return false;
    if (listed && damage_listed(image, file->id) == DAMAGE_OUTSIDE)
        return false; /* the MANIFEST says so */
    if (was != NULL && begins_as(file, was))
        return damage_listed(&subject->image, file->id) == DAMAGE_OUTSIDE;
    return has_known_header(subject, file);
}

static void find(struct doctor_truth *truth, const char *format, const char *name)
{
    if (!truth->must_find)
        (void)snprintf(truth->found, sizeof truth->found, format, name);
    truth->must_find = true;
}

/* What verify cannot but see, of one file of the subject. */
static void find_in_file(struct doctor_truth *truth, const struct damage_subject *subject,
                         const struct damage_image *image, unsigned index)
{
    const struct damage_file *was = &subject->image.files[index];
    const struct damage_file *now = damage_image_find(image, was->name);
    enum damage_listed listed = damage_listed(&subject->image, was->id);

    if ((was->class != DAMAGE_DATA && was->class != DAMAGE_HINT) ||
        listed == DAMAGE_OUTSIDE || listed == DAMAGE_UNLISTED)
        return;
    if (was->class == DAMAGE_HINT) {
        bool known = now == NULL || damage_file_equal(now, was);

        for (unsigned i = 0; i < subject->snapshot_count && !known; i++)
            known = damage_file_equal(
                now, damage_image_find(&subject->snapshots[i], was->name));
        if (!known)
            find(truth, "%s is damaged", was->name);
        return;
    }
    if (listed == DAMAGE_SEALED &&
        (now == NULL || now->size < was->size || !damage_file_unused(now, was->size)))
        find(truth, "%s was sealed with another size", was->name);
    for (uint64_t i = 1; i <= truth->proven && i <= subject->last; i++) {
        if (subject->ops[i].file != index || subject->ops[i].record_size == 0)
            continue;
        if (truth->states[i] != DOCTOR_MUST || truth->headers[index] != DOCTOR_OWN)
            find(truth, "%s has lost a record, or its header", was->name);
    }
}

/* Nothing is changed that verify has anything to say to. */
static bool is_harmless(const struct damage_subject *subject,
                        const struct damage_image *image)
{
    for (unsigned i = 0; i < image->count; i++) {
        const struct damage_file *file = &image->files[i];

        if (file->class != DAMAGE_LOCK && file->class != DAMAGE_OTHER &&
            !damage_file_equal(file, damage_image_find(&subject->image, file->name)))
            return false;
    }
    for (unsigned i = 0; i < subject->image.count; i++) {
        const struct damage_file *file = &subject->image.files[i];

        if (file->class != DAMAGE_LOCK && file->class != DAMAGE_HINT &&
            file->class != DAMAGE_OTHER && damage_image_find(image, file->name) == NULL)
            return false;
    }
    return true;
}

/* Version and features are where they will always be, and are not what they are now. */
static bool looks_newer(const struct damage_file *file)
{
    return file->size >= HEADER_SIZE &&
           (memcmp(file->bytes, "BITCASKD", 8) == 0 ||
            memcmp(file->bytes, "BITCASKH", 8) == 0) &&
           (bitcask_load32(file->bytes + 8) != 1 ||
            bitcask_load32(file->bytes + 12) != 0);
}

void doctor_truth_find(struct doctor_truth *truth, const struct damage_subject *subject,
                       const struct doctor_map *map, const struct damage_image *image)
{
    memset(truth, 0, sizeof *truth);
    damage_facts_find(&truth->facts, subject, image);
    truth->unlisted = !truth->facts.manifest_same &&
                      (truth->facts.manifest_known || truth->facts.manifest_foreign);
    /* The MANIFEST says whose files are ours; but not if it is alone with that. */
    truth->foreign = truth->facts.manifest_foreign ||
                     (has_foreign(subject, image) &&
                      ((!truth->facts.manifest_same && !truth->facts.manifest_known) ||
                       !has_own(subject, image)));
    truth->exact = !truth->unlisted && !truth->foreign;
    truth->newer = truth->facts.version_changed;
    for (unsigned i = 0; i < image->count; i++)
        truth->newer = truth->newer || looks_newer(&image->files[i]);
    for (unsigned i = 0; i < image->count; i++)
        truth->exact = truth->exact && !is_stranger(subject, image, &image->files[i],
                                                    truth->facts.manifest_same);
    for (unsigned i = 0; i < subject->image.count; i++)
        truth->headers[i] = header_of(subject, image, i);
    for (uint64_t i = 1; i <= subject->last; i++) {
        truth->states[i] = state_of(truth, subject, map, image, i);
        truth->named[i] = is_named(truth, subject, image, i);
        if (!truth->exact && truth->states[i] == DOCTOR_GONE)
            truth->states[i] = DOCTOR_MAY;
    }
    truth->proven = proven_by_rest(subject, image);
    for (unsigned i = 0; i < subject->image.count && truth->facts.manifest_same; i++)
        find_in_file(truth, subject, image, i);
    if (!truth->facts.manifest_same && !truth->facts.manifest_known &&
        !truth->facts.manifest_foreign && !truth->facts.nothing_left)
        find(truth, "%s is damaged or missing", "MANIFEST");
    truth->must_pass = is_harmless(subject, image);
    allow_cut(truth, subject);
}
