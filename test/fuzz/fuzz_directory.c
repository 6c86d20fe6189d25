/* SPDX-License-Identifier: MIT */
/*
 * Whole directories, as damaged as can be (see fuzz_store.h): opened for reading, for
 * salvage and for writing, verified and repaired.
 *
 * - Who only looks changes nothing, and neither does an open for writing that is refused.
 * - No value is found that is not that of a whole record of its key.
 * - Where the open reports no cut, each key has its newest record that is in a listed
 *   file. (Without hints: one that lies with a right check hides what it leaves out.)
 * - Reading and writing find the same, before and after another open.
 * - What verify finds no damage in opens, and no get of it is CORRUPT.
 * - A repair that succeeds leaves no damage, and nothing to do for another one; of each
 *   key it keeps the newest record that is whole in a sealed file.
 */
#include "test/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/cask.h"
#include "bitcask/repair.h"
#include "bitcask/verify.h"
#include "test/fuzz/fuzz_store.h"

/* A key with what a get says of it. */
struct pair {
    enum bitcask_status status;
    uint8_t *key;
    size_t key_size;
    uint8_t *value;
    size_t value_size;
};

struct contents {
    struct pair *pairs; /* sorted by key */
    size_t count;
};

static void release_contents(struct contents *contents)
{
    for (size_t i = 0; i < contents->count; i++) {
        free(contents->pairs[i].key);
        free(contents->pairs[i].value);
    }
    free(contents->pairs);
    memset(contents, 0, sizeof *contents);
}

static void add_pair(struct contents *contents, struct bitcask_slice key,
                     enum bitcask_status status, const struct bitcask_buffer *value)
{
    struct pair *pairs =
        realloc(contents->pairs, (contents->count + 1) * sizeof *contents->pairs);
    struct pair *pair;

    fuzz_check(pairs != NULL);
    contents->pairs = pairs;
    pair = &pairs[contents->count++];
    memset(pair, 0, sizeof *pair);
    pair->status = status;
    pair->key = fuzz_copy(key.data, key.size);
    pair->key_size = key.size;
    if (status == BITCASK_OK) {
        pair->value = fuzz_copy(value->data, value->size);
        pair->value_size = value->size;
    }
}

/* By iteration, and by a get of each key. */
static void take_contents(struct bitcask *cask, struct contents *contents)
{
    struct bitcask_iterator_options options = { .sorted = true };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_buffer value = { 0 };
    struct bitcask_slice key, iterated;
    struct bitcask_stat stat;
    enum bitcask_status status, got;

    memset(contents, 0, sizeof *contents);
    fuzz_check(bitcask_iterator_open(cask, &options, &iterator) == BITCASK_OK);
    while ((status = bitcask_iterator_next(iterator, &key, &iterated)) == BITCASK_OK ||
           status == BITCASK_CORRUPT) {
        got = bitcask_get(cask, key, &value);
        fuzz_check(got == status);
        fuzz_check(status != BITCASK_OK ||
                   fuzz_same(iterated.data, iterated.size, value.data, value.size));
        add_pair(contents, key, status, &value);
    }
    fuzz_check(status == BITCASK_NOT_FOUND);
    bitcask_iterator_close(iterator);
    bitcask_buffer_release(&value);
    fuzz_check(bitcask_stat(cask, &stat) == BITCASK_OK);
    fuzz_check(stat.key_count == contents->count);
}

static void expect_same(const struct contents *one, const struct contents *other)
{
    fuzz_check(one->count == other->count);
    for (size_t i = 0; i < one->count; i++) {
        const struct pair *first = &one->pairs[i], *second = &other->pairs[i];

        fuzz_check(fuzz_same(first->key, first->key_size, second->key, second->key_size));
        fuzz_check(first->status == second->status);
        fuzz_check(fuzz_same(first->value, first->value_size, second->value,
                             second->value_size));
    }
}

static bool is_of(const struct fuzz_fact *fact, const void *key, size_t key_size)
{
    return fuzz_same(fact->record.key, fact->record.key_size, key, key_size);
}

static bool has_value(const struct fuzz_fact *fact, const struct pair *pair)
{
    return fact->whole && fact->record.kind == BITCASK_RECORD_PUT &&
           fuzz_same(fact->record.value, (size_t)fact->record.value_size, pair->value,
                     pair->value_size);
}

static void expect_no_invention(const struct fuzz_store *store,
                                const struct contents *contents)
{
    for (size_t i = 0; i < contents->count; i++) {
        const struct pair *pair = &contents->pairs[i];
        bool found = pair->status != BITCASK_OK;

        for (size_t j = 0; j < store->fact_count && !found; j++)
            found = is_of(&store->facts[j], pair->key, pair->key_size) &&
                    has_value(&store->facts[j], pair);
        fuzz_check(found);
    }
}

static const struct pair *find_pair(const struct contents *contents,
                                    const struct fuzz_fact *fact)
{
    for (size_t i = 0; i < contents->count; i++)
        if (is_of(fact, contents->pairs[i].key, contents->pairs[i].key_size))
            return &contents->pairs[i];
    return NULL;
}

static bool is_deletion(const struct fuzz_fact *fact, uint64_t now_ms)
{
    return fact->record.kind == BITCASK_RECORD_TOMBSTONE ||
           ((fact->record.flags & BITCASK_RECORD_EXPIRES) != 0 &&
            fact->record.expiry_ms <= now_ms);
}

/*
 * Whether what @contents have for the key of @fact is what @fact says, or a record of its
 * key that is as new or newer.
 */
static bool is_kept(const struct fuzz_store *store, const struct contents *contents,
                    const struct fuzz_fact *fact, uint64_t now_ms)
{
    const struct pair *pair = find_pair(contents, fact);

    for (size_t i = 0; i < store->fact_count; i++) {
        const struct fuzz_fact *other = &store->facts[i];

        if (other->record.sequence < fact->record.sequence ||
            !is_of(other, fact->record.key, fact->record.key_size))
            continue;
        if (pair == NULL ? is_deletion(other, now_ms)
                         : pair->status != BITCASK_OK || has_value(other, pair))
            return true;
    }
    return false;
}

static void expect_kept(const struct fuzz_store *store, const struct contents *contents,
                        uint64_t now_ms, bool sealed_only)
{
    for (size_t i = 0; i < store->fact_count; i++) {
        const struct fuzz_fact *fact = &store->facts[i];

        if (sealed_only ? fact->sealed && fact->whole : fact->listed)
            fuzz_check(is_kept(store, contents, fact, now_ms));
    }
}

static uint64_t now_of(struct sim_disk *disk)
{
    return sim_disk_io(disk)->wall_ms(sim_disk_io(disk));
}

static const struct bitcask_options writing = {
    .no_background = true,
    .threads = 1,
    .file_size_max = 4096,
    .sync = BITCASK_SYNC_NONE,
};

/* Of the contents and *stat only if it is BITCASK_OK. */
static enum bitcask_status open_once(struct sim_disk *disk,
                                     const struct bitcask_options *options,
                                     struct contents *contents, struct bitcask_stat *stat)
{
    struct bitcask *cask = NULL;
    enum bitcask_status status =
        bitcask_open_with(sim_disk_io(disk), &cask, FUZZ_STORE_PATH, options);

    memset(contents, 0, sizeof *contents);
    fuzz_check((status == BITCASK_OK) == (cask != NULL));
    if (status == BITCASK_OK) {
        fuzz_check(bitcask_stat(cask, stat) == BITCASK_OK);
        take_contents(cask, contents);
        fuzz_check(bitcask_close(cask) == BITCASK_OK);
    } else {
        fuzz_check(status == BITCASK_CORRUPT || status == BITCASK_NOT_FOUND ||
                   status == BITCASK_UNSUPPORTED || status == BITCASK_MISUSE);
        fuzz_check(bitcask_error_detail()[0] != '\0');
    }
    fuzz_check(sim_disk_open_count(disk) == 0);
    return status;
}

static enum bitcask_status look(const struct fuzz_store *store, bool salvage,
                                struct contents *contents)
{
    struct bitcask_options options = writing;
    struct sim_disk *disk = fuzz_store_disk(store);
    uint64_t hash = sim_disk_hash(disk);
    struct bitcask_stat stat;
    enum bitcask_status status;

    options.read_only = true;
    options.salvage = salvage;
    status = open_once(disk, &options, contents, &stat);
    fuzz_check(sim_disk_hash(disk) == hash);
    expect_no_invention(store, contents);
    if (status == BITCASK_OK && !salvage && stat.cut_count == 0 && !store->has_hints)
        expect_kept(store, contents, now_of(disk), false);
    sim_disk_free(disk);
    return status;
}

static bool is_readable(const struct contents *contents)
{
    for (size_t i = 0; i < contents->count; i++)
        if (contents->pairs[i].status != BITCASK_OK)
            return false;
    return true;
}

/* Open for writing, twice; @read is what a reader has found, or NULL. */
static void change(const struct fuzz_store *store, const struct contents *read)
{
    struct sim_disk *disk = fuzz_store_disk(store);
    struct contents contents, again;
    struct bitcask_stat stat;
    enum bitcask_status status = open_once(disk, &writing, &contents, &stat);

    fuzz_check(read == NULL || status == BITCASK_OK);
    if (status == BITCASK_OK) {
        expect_no_invention(store, &contents);
        if (read != NULL)
            expect_same(read, &contents);
        fuzz_check(open_once(disk, &writing, &again, &stat) == BITCASK_OK);
        fuzz_check(stat.cut_count == 0);
        expect_same(&contents, &again);
        release_contents(&again);
    } else {
        fuzz_check(fuzz_store_is_unchanged(store, disk));
    }
    release_contents(&contents);
    sim_disk_free(disk);
}

static enum bitcask_status verify(struct sim_disk *disk)
{
    struct bitcask_verify_options options = { .threads = 1 };
    struct bitcask_verify_report report;
    uint64_t hash = sim_disk_hash(disk);
    enum bitcask_status status =
        bitcask_verify_with(sim_disk_io(disk), FUZZ_STORE_PATH, &options, &report);

    fuzz_check(sim_disk_hash(disk) == hash);
    fuzz_check(status == BITCASK_OK || status == BITCASK_CORRUPT ||
               status == BITCASK_NOT_FOUND || status == BITCASK_UNSUPPORTED);
    fuzz_check((status == BITCASK_CORRUPT) == (report.damage_count > 0) ||
               status == BITCASK_UNSUPPORTED);
    fuzz_check(sim_disk_open_count(disk) == 0);
    return status;
}

static void repair(const struct fuzz_store *store)
{
    struct bitcask_repair_options options = { .dry_run = true };
    struct bitcask_repair_report planned, done;
    struct sim_disk *disk = fuzz_store_disk(store);
    struct bitcask_io *io = sim_disk_io(disk);
    struct contents contents;
    struct bitcask_stat stat;
    uint64_t hash = sim_disk_hash(disk);
    enum bitcask_status plan_status =
        bitcask_repair_with(io, FUZZ_STORE_PATH, &options, &planned);
    enum bitcask_status status;

    fuzz_check(sim_disk_hash(disk) == hash);
    options.dry_run = false;
    status = bitcask_repair_with(io, FUZZ_STORE_PATH, &options, &done);
    fuzz_check(status == plan_status);
    fuzz_check(status == BITCASK_OK || status == BITCASK_NOT_FOUND ||
               status == BITCASK_UNSUPPORTED);
    if (status == BITCASK_OK) {
        fuzz_check(planned.record_count == done.record_count);
        fuzz_check(verify(disk) == BITCASK_OK);
        fuzz_check(bitcask_repair_with(io, FUZZ_STORE_PATH, &options, &done) ==
                   BITCASK_OK);
        fuzz_check(!done.needed && !done.changed);
        fuzz_check(open_once(disk, &writing, &contents, &stat) == BITCASK_OK);
        fuzz_check(is_readable(&contents));
        expect_no_invention(store, &contents);
        if (!store->has_hints)
            expect_kept(store, &contents, now_of(disk), true);
        release_contents(&contents);
    } else {
        fuzz_check(fuzz_store_is_unchanged(store, disk));
    }
    fuzz_check(sim_disk_open_count(disk) == 0);
    sim_disk_free(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_store store;
    struct sim_disk *disk;
    struct contents read, salvaged;
    bool clean;

    fuzz_store_read(&store, bytes, size);
    disk = fuzz_store_disk(&store);
    clean = verify(disk) == BITCASK_OK;
    sim_disk_free(disk);
    if (look(&store, false, &read) == BITCASK_OK) {
        fuzz_check(!clean || is_readable(&read));
        change(&store, &read);
    } else {
        fuzz_check(!clean);
        change(&store, NULL);
    }
    (void)look(&store, true, &salvaged);
    release_contents(&read);
    release_contents(&salvaged);
    repair(&store);
    fuzz_store_release(&store);
    return 0;
}
