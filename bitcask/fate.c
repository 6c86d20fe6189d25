/* SPDX-License-Identifier: MIT */
#include "bitcask/fate.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/status.h"

#include <xxhash.h>

/* uthash, told not to exit() when memory is short; names a variable around it. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) (in_table = false)
#include <uthash.h>

struct bitcask_fate {
    UT_hash_handle hh;
    /* The newest record that is lost. */
    uint64_t segment_id;
    uint64_t offset;
    uint64_t sequence;
    bool deletes;
    bool header_intact;
    /* The newest that is whole. */
    uint64_t newest_sequence; /* 0: none */
    bool newest_deletes;
    size_t key_size;
    uint8_t key[];
};

/* uthash counts in 32 bits. */
static unsigned hash_of(const struct bitcask_fates *fates, struct bitcask_slice key)
{
    return (unsigned)XXH3_64bits_withSeed(key.data, key.size, fates->seed);
}

static struct bitcask_fate *find(const struct bitcask_fates *fates,
                                 struct bitcask_slice key, unsigned hash)
{
    struct bitcask_fate *fate = NULL;

    HASH_FIND_BYHASHVALUE(hh, fates->table, key.data, (unsigned)key.size, hash, fate);
    return fate;
}

static enum bitcask_status add_key(struct bitcask_fates *fates, struct bitcask_slice key,
                                   unsigned hash, struct bitcask_fate **out)
{
    struct bitcask_fate *fate = calloc(1, sizeof *fate + key.size);
    bool in_table = true;

    if (fate == NULL)
        return bitcask_fail_memory(sizeof *fate + key.size);
    fate->key_size = key.size;
    memcpy(fate->key, key.data, key.size);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, fates->table, fate->key, (unsigned)key.size, hash,
                                fate);
    if (!in_table) {
        free(fate);
        return bitcask_fail_memory(sizeof *fate);
    }
    fates->count++;
    *out = fate;
    return BITCASK_OK;
}

enum bitcask_status bitcask_fates_add(struct bitcask_fates *fates,
                                      const struct bitcask_casualty *casualty)
{
    struct bitcask_slice key = { casualty->key, casualty->key_size };
    unsigned hash = hash_of(fates, key);
    struct bitcask_fate *fate = find(fates, key, hash);

    if (fate == NULL) {
        enum bitcask_status status = add_key(fates, key, hash, &fate);

        if (status != BITCASK_OK)
            return status;
    }
    if (casualty->sequence < fate->sequence)
        return BITCASK_OK;
    fate->segment_id = casualty->segment_id;
    fate->offset = casualty->offset;
    fate->sequence = casualty->sequence;
    fate->deletes = casualty->deletes;
    fate->header_intact = casualty->header_intact;
    return BITCASK_OK;
}

void bitcask_fates_release(struct bitcask_fates *fates)
{
    struct bitcask_fate *fate, *next;

    HASH_ITER(hh, fates->table, fate, next)
    {
        HASH_DEL(fates->table, fate);
        free(fate);
    }
    memset(fates, 0, sizeof *fates);
}

void bitcask_fates_meet(struct bitcask_fates *fates, struct bitcask_slice key,
                        uint64_t sequence, bool deletes)
{
    struct bitcask_fate *fate = find(fates, key, hash_of(fates, key));

    if (fate == NULL || sequence < fate->newest_sequence)
        return;
    fate->newest_sequence = sequence;
    fate->newest_deletes = deletes;
}

static enum bitcask_effect effect_of(const struct bitcask_fate *fate, bool mended)
{
    bool value_left = fate->newest_sequence > 0 && !fate->newest_deletes;

    if (fate->newest_sequence >= fate->sequence)
        return BITCASK_EFFECT_HARMLESS;
    if (fate->header_intact && !mended && !fate->deletes)
        return BITCASK_EFFECT_UNREADABLE;
    if (fate->deletes)
        return value_left ? BITCASK_EFFECT_UNDELETED : BITCASK_EFFECT_HARMLESS;
    return value_left ? BITCASK_EFFECT_STALE : BITCASK_EFFECT_LOST;
}

enum bitcask_status bitcask_fates_tell(
    const struct bitcask_fates *fates, bool mended,
    enum bitcask_status (*visit)(const struct bitcask_fate_told *told, void *context),
    void *context)
{
    struct bitcask_fate *fate, *next;
    enum bitcask_status status = BITCASK_OK;

    HASH_ITER(hh, fates->table, fate, next)
    {
        struct bitcask_fate_told told = {
            .key = { fate->key, fate->key_size },
            .segment_id = fate->segment_id,
            .offset = fate->offset,
            .sequence = fate->sequence,
            .newest_sequence = fate->newest_sequence,
            .effect = effect_of(fate, mended),
        };

        if (status == BITCASK_OK)
            status = visit(&told, context);
    }
    return status;
}

/* A sentence for people. */
static const char *words_for(enum bitcask_effect effect)
{
    switch (effect) {
    case BITCASK_EFFECT_NONE:
        break;
    case BITCASK_EFFECT_LOST:
        return "no record of the key is left that has a value";
    case BITCASK_EFFECT_STALE:
        return "an older value of the key is left";
    case BITCASK_EFFECT_UNDELETED:
        return "the key had been deleted, and an older value is left";
    case BITCASK_EFFECT_UNREADABLE:
        return "a get of the key says that it is damaged";
    case BITCASK_EFFECT_HARMLESS:
        return "a newer record of the key is whole";
    }
    return "";
}

struct bitcask_finding bitcask_fate_finding(const struct bitcask_fate_told *told,
                                            char name[BITCASK_NAME_SIZE],
                                            struct bitcask_fate_counts *counts)
{
    struct bitcask_finding finding = {
        .kind = BITCASK_FINDING_KEY,
        .effect = told->effect,
        .file = name,
        .detail = words_for(told->effect),
        .offset = told->offset,
        .sequence = told->sequence,
        .newest_sequence = told->newest_sequence,
        .key = told->key,
    };

    bitcask_data_name(name, told->segment_id);
    counts->lost += told->effect == BITCASK_EFFECT_LOST;
    counts->stale += told->effect == BITCASK_EFFECT_STALE;
    counts->undeleted += told->effect == BITCASK_EFFECT_UNDELETED;
    counts->unreadable += told->effect == BITCASK_EFFECT_UNREADABLE;
    return finding;
}
