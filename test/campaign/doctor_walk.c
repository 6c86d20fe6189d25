/* SPDX-License-Identifier: MIT */
/* What an inspector shows of the files of a damaged cask. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "test/campaign/doctor_call.h"
#include "test/campaign/doctor_judge.h"

enum {
    HEADER_SIZE = 64,
    TRAILER_SIZE = 48
};

/* A walk over one file. */
struct walk {
    struct doctor_trial *trial;
    const struct damage_file *file;
    unsigned index;       /* of the file in the subject, or DAMAGE_FILES_MAX */
    uint64_t next;        /* where the next item begins that is in no batch */
    uint64_t next_inside; /* the same in the batch, or 0 */
    uint64_t batch_offset;
    bool batch_intact;
    bool shown[DAMAGE_OPS_MAX + 1];
};

static bool blame(struct walk *walk, const struct bitcask_inspect_item *item,
                  const char *what)
{
    return damage_blame(&walk->trial->base,
                        "inspect %s: item of kind %d at %" PRIu64 ", %" PRIu64
                        " bytes, sequence %" PRIu64 ": %s",
                        walk->file->name, item->kind, item->offset, item->size,
                        item->sequence, what);
}

/* Items follow each other and have no gap; those in a batch fill it. */
static bool judge_place(struct walk *walk, const struct bitcask_inspect_item *item)
{
    if (item->size == 0 || item->offset + item->size > walk->file->size)
        return blame(walk, item, "it is not in the file");
    if (walk->next_inside != 0 && walk->next_inside == walk->next)
        walk->next_inside = 0;
    if (walk->next_inside != 0) {
        if (item->offset != walk->next_inside || item->offset + item->size > walk->next)
            return blame(walk, item, "it does not lie in its batch");
        if (item->in_batch && (item->batch_offset != walk->batch_offset ||
                               (item->kind != BITCASK_INSPECT_DAMAGE &&
                                item->batch_intact != walk->batch_intact)))
            return blame(walk, item, "it is said to be of another batch");
        if (!item->in_batch && item->kind != BITCASK_INSPECT_DAMAGE)
            return blame(walk, item, "it is said to be in no batch");
        walk->next_inside += item->size;
        return true;
    }
    if (item->in_batch || item->offset != walk->next)
        return blame(walk, item, "it does not begin where the one before ends");
    walk->next += item->size;
    if (item->kind == BITCASK_INSPECT_BATCH) {
        walk->batch_offset = item->offset;
        walk->batch_intact = item->value_intact;
        walk->next_inside = item->offset + 28;
    }
    return true;
}

/* A record that is shown as whole is one that was written. */
static bool judge_record(struct walk *walk, const struct bitcask_inspect_item *item)
{
    const struct damage_subject *subject = walk->trial->base.subject;
    const struct damage_op *op;
    bool own;

    if (item->kind != BITCASK_INSPECT_PUT && item->kind != BITCASK_INSPECT_TOMBSTONE)
        return true;
    if (!item->in_batch && !item->batch_intact)
        return blame(walk, item, "it is in no batch, but that is damaged");
    if (!item->key_intact || !item->value_intact || !item->batch_intact)
        return true;
    if (walk->index == DAMAGE_FILES_MAX)
        return true;
    own = walk->trial->truth.headers[walk->index] == DOCTOR_OWN;
    if (item->sequence == 0 || item->sequence > subject->last)
        return !own || blame(walk, item, "there never was such a record");
    op = &subject->ops[item->sequence];
    if (op->file != walk->index || op->offset != item->offset ||
        op->record_size != item->size || item->key.size != damage_key(op->key).size ||
        memcmp(item->key.data, damage_key(op->key).data, item->key.size) != 0 ||
        !damage_is_same(subject, walk->trial->base.image, walk->index, item->offset,
                        item->size))
        return !own || /* else of another file, maybe */
               blame(walk, item, "it is shown as whole, and is not what was written");
    walk->shown[item->sequence] = true;
    return true;
}

/* Every record that is whole has been shown. */
static bool judge_shown(struct walk *walk)
{
    const struct damage_subject *subject = walk->trial->base.subject;
    const struct doctor_truth *truth = &walk->trial->truth;

    for (uint64_t i = 1; i <= subject->last; i++) {
        if (subject->ops[i].file == walk->index && subject->ops[i].record_size > 0 &&
            damage_is_same(subject, walk->trial->base.image, walk->index,
                           subject->ops[i].offset, subject->ops[i].record_size) &&
            truth->states[i] == DOCTOR_MUST && !walk->shown[i])
            return damage_blame(&walk->trial->base,
                                "inspect %s: record %" PRIu64 " at %" PRIu64
                                " is whole, but is not shown",
                                walk->file->name, i, subject->ops[i].offset);
    }
    return true;
}

static bool judge_data(struct walk *walk, struct bitcask_inspector *inspector)
{
    struct bitcask_inspect_item item;
    enum bitcask_status status;
    uint64_t steps = 0;

    walk->next = HEADER_SIZE;
    while ((status = bitcask_inspector_next(inspector, &item)) == BITCASK_OK) {
        if (walk->trial->base.campaign->replay != NULL)
            printf("  %s: kind %d at %" PRIu64 ", %" PRIu64 " bytes, sequence %" PRIu64
                   ", key %d, value %d, batch %d%s\n",
                   walk->file->name, item.kind, item.offset, item.size, item.sequence,
                   item.key_intact, item.value_intact, item.batch_intact,
                   item.in_batch ? ", in it" : "");
        if (steps++ > walk->file->size)
            return blame(walk, &item, "the walk does not end");
        if (!judge_place(walk, &item) || !judge_record(walk, &item))
            return false;
    }
    if (status != BITCASK_NOT_FOUND)
        return damage_blame(&walk->trial->base, "inspect %s: status %d: %s",
                            walk->file->name, status, bitcask_error_detail());
    if (walk->file->size > HEADER_SIZE && walk->next != walk->file->size)
        return damage_blame(&walk->trial->base,
                            "inspect %s: the walk ends at %" PRIu64 " of %zu",
                            walk->file->name, walk->next, walk->file->size);
    if (walk->next_inside != 0 && walk->next_inside != walk->next)
        return damage_blame(&walk->trial->base,
                            "inspect %s: the last batch is not filled", walk->file->name);
    return bitcask_inspector_next(inspector, &item) == BITCASK_NOT_FOUND
               ? walk->index == DAMAGE_FILES_MAX || judge_shown(walk)
               : damage_blame(&walk->trial->base, "inspect %s: something behind the end",
                              walk->file->name);
}

static bool judge_hint(struct walk *walk, struct bitcask_inspector *inspector)
{
    const struct bitcask_inspect_header *header = bitcask_inspector_header(inspector);
    struct bitcask_inspect_item item;
    bool same =
        damage_file_equal(walk->file, damage_image_find(&walk->trial->base.subject->image,
                                                        walk->file->name));
    enum bitcask_status status;
    uint64_t next = HEADER_SIZE, entry_count = 0;

    while ((status = bitcask_inspector_next(inspector, &item)) == BITCASK_OK) {
        if (item.size == 0 || item.offset != next ||
            item.offset + item.size > walk->file->size)
            return blame(walk, &item, "it does not begin where the one before ends");
        if (same && (item.kind == BITCASK_INSPECT_DAMAGE || !item.key_intact))
            return blame(walk, &item, "it is what it was, but shown as damage");
        next += item.size;
        entry_count++;
    }
    if (status != BITCASK_NOT_FOUND)
        return damage_blame(&walk->trial->base, "inspect %s: status %d: %s",
                            walk->file->name, status, bitcask_error_detail());
    if (same &&
        (!header->intact || !header->trailer_intact ||
         entry_count != header->entry_count || next + TRAILER_SIZE != walk->file->size))
        return damage_blame(&walk->trial->base,
                            "inspect %s: %" PRIu64 " entries up to %" PRIu64
                            ", the header says %" PRIu64,
                            walk->file->name, entry_count, next, header->entry_count);
    return true;
}

static unsigned index_of(const struct damage_subject *subject, const char *name)
{
    unsigned index = 0;

    while (index < subject->image.count &&
           strcmp(subject->image.files[index].name, name) != 0)
        index++;
    return index < subject->image.count &&
                   damage_listed(&subject->image, subject->image.files[index].id) !=
                       DAMAGE_OUTSIDE
               ? index
               : DAMAGE_FILES_MAX;
}

static bool judge_file(struct doctor_trial *trial, const struct damage_file *file)
{
    static struct walk walk;
    struct bitcask_inspector *inspector = NULL;
    const struct bitcask_inspect_header *header;
    char path[sizeof DAMAGE_PATH + DAMAGE_NAME_SIZE + 1];
    enum bitcask_status status;
    bool right = true;

    memset(&walk, 0, sizeof walk);
    walk.trial = trial;
    walk.file = file;
    walk.index = index_of(trial->base.subject, file->name);
    (void)snprintf(path, sizeof path, "%s/%s", DAMAGE_PATH, file->name);
    status = doctor_call_inspect(sim_disk_io(trial->base.disk), &inspector, path, 0);
    if (status != BITCASK_OK)
        return damage_blame(&trial->base, "inspect %s: open: %d %s", file->name, status,
                            bitcask_error_detail());
    header = bitcask_inspector_header(inspector);
    if (trial->base.campaign->replay != NULL)
        printf("  %s: version %u, features %u, intact %d, salt found %d\n", file->name,
               header->version, header->features, header->intact, header->salt_found);
    if (header->file_size != file->size)
        right = damage_blame(&trial->base, "inspect %s: %" PRIu64 " bytes, not %zu",
                             file->name, header->file_size, file->size);
    if (header->file == BITCASK_INSPECT_DATA)
        right = right && judge_data(&walk, inspector);
    else if (header->file == BITCASK_INSPECT_HINT)
        right = right && judge_hint(&walk, inspector);
    else if (file->class == DAMAGE_DATA && file->size > HEADER_SIZE &&
             header->file == BITCASK_INSPECT_OTHER)
        right = damage_blame(&trial->base, "inspect %s: it is taken for %d", file->name,
                             header->file);
    bitcask_inspector_close(inspector);
    if (right && sim_disk_open_count(trial->base.disk) != 0)
        return damage_blame(&trial->base, "inspect %s: %ld handles stay open", file->name,
                            sim_disk_open_count(trial->base.disk));
    return right;
}

bool doctor_judge_walks(struct doctor_trial *trial)
{
    for (unsigned i = 0; i < trial->base.image->count; i++) {
        if (!judge_file(trial, &trial->base.image->files[i]))
            return false;
    }
    return true;
}
