/* SPDX-License-Identifier: MIT */
#include "test/campaign/damage_proof.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/bytes.h"

enum {
    HEADER_SIZE = 64,
    HINT_SIZE_MIN = 64 + 48, /* header and trailer */
    HINT_LAST_SEQUENCE = 24, /* in the trailer */
    MANIFEST_HEAD = 30,      /* the lines of version and features */
    MANIFEST_MAX = 1 << 14
};

static const struct damage_file *original(const struct damage_subject *subject,
                                          const char *name)
{
    return damage_image_find(&subject->image, name);
}

/* Whether @file is as it is, or was at some time, in the cask. */
static bool is_known(const struct damage_subject *subject, const struct damage_file *file)
{
    bool known = damage_file_equal(file, original(subject, file->name));

    for (unsigned i = 0; i < subject->snapshot_count && !known; i++)
        known = damage_file_equal(file,
                                  damage_image_find(&subject->snapshots[i], file->name));
    return known;
}

static bool begins_with(const struct damage_file *file, const struct damage_file *start)
{
    return start != NULL && file->size >= start->size &&
           memcmp(file->bytes, start->bytes, start->size) == 0;
}

/* Whether any of the bytes @from to @to differ or are gone. */
static bool differs_within(const struct damage_file *file, const struct damage_file *was,
                           size_t from, size_t to)
{
    return was == NULL || file->size < to || was->size < to ||
           memcmp(file->bytes + from, was->bytes + from, to - from) != 0;
}

/* Whether what becomes of @file says nothing of the cask. */
static bool is_outside(const struct damage_subject *subject,
                       const struct damage_file *file)
{
    return file->class == DAMAGE_DATA &&
           damage_listed(&subject->image, file->id) == DAMAGE_OUTSIDE;
}

/* A file that is there and differs from what it was. */
static void note_changed(struct damage_facts *facts, const struct damage_file *file,
                         const struct damage_file *was, bool outside)
{
    facts->changed_count++;
    if (outside)
        return;
    if (file->class == DAMAGE_OTHER)
        facts->foreign_name = true;
    if (file->class != DAMAGE_DATA && file->class != DAMAGE_MANIFEST)
        return;
    facts->data_changed = true;
    if (file->class == DAMAGE_MANIFEST || !begins_with(file, was))
        facts->only_extended = false;
    if (differs_within(file, was, file->class == DAMAGE_DATA ? 8 : 0,
                       file->class == DAMAGE_DATA ? 16 : MANIFEST_HEAD))
        facts->version_changed = true;
}

/* Which of the files are those of the other cask. */
static void note_foreign(struct damage_facts *facts, const struct damage_subject *subject,
                         const struct damage_image *image)
{
    const struct damage_image *other = &subject->other;

    facts->manifest_foreign = damage_image_find(image, "MANIFEST") != NULL &&
                              damage_file_equal(damage_image_find(image, "MANIFEST"),
                                                damage_image_find(other, "MANIFEST"));
    facts->all_foreign = facts->manifest_foreign;
    for (unsigned i = 0; i < image->count; i++) {
        const struct damage_file *file = &image->files[i];
        const struct damage_file *theirs = damage_image_find(other, file->name);

        if (file->class != DAMAGE_DATA)
            continue;
        if (theirs != NULL && !differs_within(file, theirs, 0, HEADER_SIZE))
            facts->data_foreign = true;
        if (!damage_file_equal(file, theirs))
            facts->all_foreign = false;
    }
}

void damage_facts_find(struct damage_facts *facts, const struct damage_subject *subject,
                       const struct damage_image *image)
{
    const struct damage_file *manifest = damage_image_find(image, "MANIFEST");

    memset(facts, 0, sizeof *facts);
    note_foreign(facts, subject, image);
    facts->only_extended = true;
    facts->nothing_left = manifest == NULL;
    facts->manifest_known = manifest != NULL && is_known(subject, manifest);
    facts->manifest_same =
        manifest != NULL && damage_file_equal(manifest, original(subject, "MANIFEST"));

    for (unsigned i = 0; i < image->count; i++) {
        const struct damage_file *file = &image->files[i];
        const struct damage_file *was = original(subject, file->name);

        if (file->class == DAMAGE_DATA && !differs_within(file, was, 0, HEADER_SIZE) &&
            damage_listed(image, file->id) != DAMAGE_OUTSIDE)
            facts->data_own = true;
        if (!damage_file_equal(file, was))
            note_changed(facts, file, was, is_outside(subject, file));
        if ((file->class == DAMAGE_DATA && file->size > HEADER_SIZE) ||
            (file->class == DAMAGE_HINT && file->size > HINT_SIZE_MIN))
            facts->nothing_left = false;
    }
    for (unsigned i = 0; i < subject->image.count; i++) {
        const struct damage_file *was = &subject->image.files[i];

        if (damage_image_find(image, was->name) != NULL)
            continue;
        facts->changed_count++;
        if ((was->class == DAMAGE_DATA && !is_outside(subject, was)) ||
            was->class == DAMAGE_MANIFEST) {
            facts->data_changed = true;
            facts->only_extended = false;
        }
    }
}

bool damage_is_same(const struct damage_subject *subject,
                    const struct damage_image *image, unsigned file, uint64_t offset,
                    uint64_t size)
{
    const struct damage_file *was = &subject->image.files[file];
    const struct damage_file *now = damage_image_find(image, was->name);

    return now != NULL && now->size >= offset + size && was->size >= offset + size &&
           memcmp(now->bytes + offset, was->bytes + offset, (size_t)size) == 0;
}

bool damage_has_record(const struct damage_subject *subject,
                       const struct damage_image *image, uint64_t sequence)
{
    const struct damage_op *op = &subject->ops[sequence];

    return op->record_size > 0 &&
           damage_is_same(subject, image, op->file, op->offset, op->record_size);
}

/* How the MANIFEST in @text lists the file; *last is what it says was synced. */
static enum damage_listed find_listed(const char *text, uint64_t id, uint64_t *last)
{
    const char *line = text;

    *last = 0;
    while ((line = strchr(line, '\n')) != NULL) {
        char word[16];
        uint64_t number, size, first;

        line++;
        if (sscanf(line, "%15s %" SCNu64 " salt", word, &number) != 2 || number != id)
            continue;
        if (strcmp(word, "sealed") == 0 &&
            sscanf(line,
                   "sealed %*s salt %*s size %" SCNu64 " sequences %" SCNu64 " %" SCNu64,
                   &size, &first, last) == 3)
            return DAMAGE_SEALED;
        if (strcmp(word, "open") == 0 &&
            sscanf(line, "open %*s salt %*s size %" SCNu64 " last %" SCNu64, &size,
                   last) == 2)
            return DAMAGE_OPEN;
        if (strcmp(word, "prepared") == 0)
            return DAMAGE_PREPARED;
        if (strcmp(word, "draft") == 0 || strcmp(word, "retired") == 0)
            return DAMAGE_OUTSIDE;
    }
    return DAMAGE_UNLISTED;
}

/* The MANIFEST of @image; "" without. Valid until the next call. */
static const char *manifest_text(const struct damage_image *image)
{
    static char text[MANIFEST_MAX];
    const struct damage_file *manifest = damage_image_find(image, "MANIFEST");
    size_t size = 0;

    if (manifest != NULL && manifest->size < sizeof text)
        size = manifest->size;
    if (size > 0)
        memcpy(text, manifest->bytes, size);
    text[size] = '\0';
    return text;
}

enum damage_listed damage_listed(const struct damage_image *image, uint64_t id)
{
    uint64_t last;

    return find_listed(manifest_text(image), id, &last);
}

static void raise_to(uint64_t *proven, uint64_t sequence)
{
    if (*proven < sequence)
        *proven = sequence;
}

/* What lies in file number @index of the subject, or has lain there. */
static void prove_by_data(const struct damage_subject *subject,
                          const struct damage_image *image, unsigned index,
                          uint64_t *proven)
{
    for (unsigned i = 0; i < subject->witness_count; i++) {
        const struct damage_witness *witness = &subject->witnesses[i];

        if (witness->file != index ||
            !damage_is_same(subject, image, index, witness->offset, witness->head_size))
            continue;
        raise_to(proven, witness->proves);
        /* It cannot have been written without the header, in the same sector. */
        if (witness->offset == HEADER_SIZE &&
            !damage_is_same(subject, image, index, 0, HEADER_SIZE))
            raise_to(proven, witness->sequence);
    }
}

static void prove_by_hint(const struct damage_subject *subject,
                          const struct damage_image *image, uint64_t id, uint64_t *proven)
{
    const struct damage_file *hint;
    char name[DAMAGE_NAME_SIZE];

    (void)snprintf(name, sizeof name, "%010" PRIu64 ".hint", id);
    hint = damage_image_find(image, name);
    if (hint != NULL && hint->size >= HINT_SIZE_MIN && is_known(subject, hint))
        raise_to(proven,
                 bitcask_load64(hint->bytes + hint->size - 48 + HINT_LAST_SEQUENCE));
}

uint64_t damage_proven(const struct damage_subject *subject,
                       const struct damage_image *image)
{
    const char *text = manifest_text(image);
    uint64_t proven = 0;

    for (unsigned i = 0; i < subject->image.count; i++) {
        const struct damage_file *file = &subject->image.files[i];
        enum damage_listed listed;
        uint64_t last;

        if (file->class != DAMAGE_DATA)
            continue;
        listed = find_listed(text, file->id, &last);
        if (listed == DAMAGE_UNLISTED || listed == DAMAGE_OUTSIDE)
            continue;
        raise_to(&proven, last);
        prove_by_data(subject, image, i, &proven);
        prove_by_hint(subject, image, file->id, &proven);
    }
    return proven;
}
