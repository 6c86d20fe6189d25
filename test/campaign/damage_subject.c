/* SPDX-License-Identifier: MIT */
#include "test/campaign/damage_subject.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/bytes.h"
#include "test/campaign/damage_make.h"
#include "test/campaign/damage_proof.h"

struct bitcask_slice damage_key(unsigned key)
{
    static const char *const keys[DAMAGE_KEYS] = {
        "a",  "b",        "ab", "key",     "a key that is longer than most",
        "k0", "\x01\x02", "z",  "MANIFEST"
    };

    return bitcask_text(keys[key]);
}

bool damage_subject_is_gone(const struct damage_subject *subject, uint64_t sequence,
                            unsigned key)
{
    uint64_t newest = subject->newest[sequence][key];

    return newest == 0 || subject->ops[newest].gone;
}

bool damage_subject_has(const struct damage_subject *subject, uint64_t sequence,
                        const struct bitcask_buffer *value)
{
    const struct damage_op *op = &subject->ops[sequence];

    return sequence != 0 && !op->gone && op->size == value->size &&
           memcmp(op->value, value->data, value->size) == 0;
}

const char *damage_subject_name(unsigned index)
{
    return damage_scripts[index].name;
}

static void add_witness(struct damage_subject *subject, unsigned file, uint64_t offset,
                        uint64_t head_size, const uint8_t *bytes)
{
    struct damage_witness *witness = &subject->witnesses[subject->witness_count++];
    uint32_t unsynced = bitcask_load32(bytes + 4);

    witness->file = file;
    witness->offset = offset;
    witness->head_size = head_size;
    witness->sequence = bitcask_load64(bytes + 8);
    witness->proves = unsynced == UINT32_MAX ? 0 : witness->sequence - unsynced - 1;
}

/*
 * Walk a file that is known to be whole, by docs/format.md. What was allocated behind its
 * last record is zeros, and no record has the sequence zero.
 */
static void locate_records(struct damage_subject *subject, unsigned index)
{
    const struct damage_file *file = &subject->image.files[index];
    uint64_t offset = 64;
    uint64_t batch_end = 0;

    while (offset + 28 <= file->size && bitcask_load64(file->bytes + offset + 8) != 0) {
        const uint8_t *bytes = file->bytes + offset;
        uint64_t head_size =
            28u + (bytes[21] != 0 ? 8u : 0u) + bitcask_load16(bytes + 22);
        uint64_t size = head_size + bitcask_load32(bytes + 24);
        struct damage_op *op = &subject->ops[bitcask_load64(bytes + 8)];

        require(bitcask_load64(bytes + 8) <= subject->last);
        add_witness(subject, index, offset, head_size, bytes);
        if (bytes[20] == 3) {
            batch_end = offset + size;
            offset += head_size;
            continue;
        }
        require(op->record_size == 0);
        require(subject->merged || op->in_batch == (offset < batch_end));
        op->in_batch = offset < batch_end;
        op->file = index;
        op->offset = offset;
        op->head_size = head_size;
        op->record_size = size;
        offset += size;
    }
}

static void locate_all(struct damage_subject *subject)
{
    for (unsigned i = 0; i < subject->image.count; i++) {
        const struct damage_file *file = &subject->image.files[i];

        if (file->class == DAMAGE_DATA &&
            damage_listed(&subject->image, file->id) != DAMAGE_OUTSIDE)
            locate_records(subject, i);
    }
    for (uint64_t sequence = 1; sequence <= subject->last; sequence++)
        require(subject->merged || subject->ops[sequence].record_size > 0);
}

static struct damage_subject *make(unsigned index, uint64_t seed)
{
    struct damage_subject *subject = calloc(1, sizeof *subject);
    struct maker maker = { .subject = subject, .random = seed };

    require(subject != NULL);
    subject->name = damage_scripts[index].name;
    subject->seed = seed;
    subject->ops[0].ends = true;
    maker.disk = sim_disk_new(seed);
    damage_scripts[index].make(&maker);
    damage_image_take(&subject->image, maker.disk);
    sim_disk_free(maker.disk);
    locate_all(subject);
    return subject;
}

struct damage_subject *damage_subject_new(unsigned index, uint64_t seed)
{
    struct damage_subject *subject = make(index, seed ^ index << 24);
    struct damage_subject *other = make(index, ~seed * 3 ^ index << 24);

    subject->other = other->image;
    memset(&other->image, 0, sizeof other->image);
    damage_subject_free(other);
    return subject;
}

void damage_subject_free(struct damage_subject *subject)
{
    if (subject == NULL)
        return;
    for (uint64_t i = 1; i <= subject->last; i++)
        free(subject->ops[i].value);
    for (unsigned i = 0; i < subject->snapshot_count; i++)
        damage_image_release(&subject->snapshots[i]);
    damage_image_release(&subject->image);
    damage_image_release(&subject->other);
    free(subject);
}
