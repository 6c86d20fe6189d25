/* SPDX-License-Identifier: MIT */
#include "test/fuzz/fuzz_store.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/format.h"
#include "test/fuzz/fuzz.h"

enum {
    ID_COUNT = 16, /* ids in inputs are 1 to so many */
    SALTS_MAX = 64
};

static void name_file(struct fuzz_store_file *file)
{
    switch (file->kind) {
    case FUZZ_STORE_DATA:
        bitcask_data_name(file->name, file->id);
        break;
    case FUZZ_STORE_HINT:
        bitcask_hint_name(file->name, file->id);
        break;
    case FUZZ_STORE_MANIFEST:
        strcpy(file->name, BITCASK_MANIFEST_NAME);
        break;
    case FUZZ_STORE_RESERVE:
        strcpy(file->name, BITCASK_RESERVE_NAME);
        break;
    case FUZZ_STORE_TEMPORARY:
    case FUZZ_STORE_KIND_COUNT:
        if (file->id == 1)
            strcpy(file->name, BITCASK_MANIFEST_TEMPORARY_NAME);
        else
            bitcask_hint_temporary_name(file->name, file->id);
        break;
    }
}

static struct fuzz_store_file *find_file(struct fuzz_store *store, const char *name)
{
    for (size_t i = 0; i < store->file_count; i++)
        if (strcmp(store->files[i].name, name) == 0)
            return &store->files[i];
    return NULL;
}

static void add_file(struct fuzz_store *store, const struct fuzz_store_file *file)
{
    struct fuzz_store_file *place = find_file(store, file->name);

    if (place == NULL && store->file_count < FUZZ_STORE_FILES_MAX)
        place = &store->files[store->file_count++];
    if (place == NULL) {
        free(file->bytes);
        return;
    }
    free(place->bytes);
    *place = *file;
}

/* The checks, as @flags say. */
static void mend(struct fuzz_store_file *file, unsigned flags)
{
    if (file->kind == FUZZ_STORE_DATA && (flags & FUZZ_STORE_MEND_DATA) != 0)
        fuzz_data_mend(file->bytes, file->size);
    if (file->kind == FUZZ_STORE_HINT && (flags & FUZZ_STORE_MEND_HINTS) != 0)
        fuzz_hint_mend(file->bytes, file->size);
    if (file->kind == FUZZ_STORE_MANIFEST && (flags & FUZZ_STORE_MEND_MANIFEST) != 0)
        file->size = fuzz_manifest_mend((char *)file->bytes, file->size);
}

static void read_files(struct fuzz_store *store, struct fuzz_input *input)
{
    unsigned flags = fuzz_take(input);

    while (input->size > 0) {
        struct fuzz_store_file file = { 0 };

        file.kind = (enum fuzz_store_kind)(fuzz_take(input) % FUZZ_STORE_KIND_COUNT);
        file.id = 1 + fuzz_take(input) % ID_COUNT;
        file.size = fuzz_take16(input);
        if (file.size > input->size)
            file.size = input->size;
        if (file.kind == FUZZ_STORE_HINT && (flags & FUZZ_STORE_NO_HINTS) != 0) {
            input->bytes += file.size;
            input->size -= file.size;
            continue;
        }
        file.bytes = fuzz_allocate(file.size + FUZZ_CHECK_LINE_SIZE);
        if (file.size > 0)
            memcpy(file.bytes, input->bytes, file.size);
        input->bytes += file.size;
        input->size -= file.size;
        mend(&file, flags);
        name_file(&file);
        add_file(store, &file);
    }
}

static void add_fact(struct fuzz_store *store, const struct fuzz_fact *fact)
{
    if (store->fact_count == store->fact_capacity) {
        store->fact_capacity = 2 * store->fact_capacity + 64;
        store->facts = realloc(store->facts, store->fact_capacity * sizeof *store->facts);
        fuzz_check(store->facts != NULL);
    }
    store->facts[store->fact_count++] = *fact;
}

/* The parts of @batch, or @batch itself, which is none. */
static void add_facts(struct fuzz_store *store, const struct fuzz_store_file *file,
                      uint64_t salt, const struct fuzz_fact *fact)
{
    size_t end = fact->record.offset + (size_t)fact->record.size;
    size_t offset = fact->record.offset + FUZZ_RECORD_SIZE;

    if (fact->record.kind != BITCASK_RECORD_BATCH) {
        add_fact(store, fact);
        return;
    }
    while (!fact->record.cut && offset < end) {
        struct fuzz_fact part = *fact;

        if (!fuzz_record_read(file->bytes, end, offset, salt, &part.record)) {
            offset++;
            continue;
        }
        part.whole = fact->whole && part.record.value_intact;
        part.listed = fact->listed && fact->whole;
        part.sealed = fact->sealed && fact->whole;
        if (part.record.kind != BITCASK_RECORD_BATCH)
            add_fact(store, &part);
        offset += part.record.cut ? 1 : (size_t)part.record.size;
    }
}

/* All that is in @file with @salt; what follows its header without a gap is @listed. */
static void read_facts(struct fuzz_store *store, const struct fuzz_store_file *file,
                       uint64_t salt, const struct bitcask_manifest_segment *line)
{
    bool in_chain = line != NULL;
    size_t offset = FUZZ_HEADER_SIZE;

    while (offset < file->size) {
        struct fuzz_fact fact = { .id = file->id };
        size_t end = file->size;

        if (!fuzz_record_read(file->bytes, end, offset, salt, &fact.record)) {
            in_chain = false;
            offset++;
            continue;
        }
        fact.whole = fact.record.kind == BITCASK_RECORD_BATCH
                         ? fuzz_batch_is_whole(file->bytes, &fact.record, salt)
                         : fact.record.value_intact;
        fact.listed = in_chain && !fact.record.cut;
        fact.sealed = fact.listed && line->state == BITCASK_MANIFEST_SEALED &&
                      offset + fact.record.size <= line->size;
        add_facts(store, file, salt, &fact);
        /* What is in a value is no record, unless its head is a lie. */
        offset += fact.listed && fact.whole ? (size_t)fact.record.size : 1;
    }
}

static void add_salt(uint64_t *salts, size_t *count, uint64_t salt)
{
    for (size_t i = 0; i < *count; i++)
        if (salts[i] == salt)
            return;
    if (*count < SALTS_MAX)
        salts[(*count)++] = salt;
}

/* Any that is written anywhere may be that of a file whose header is damaged. */
static size_t find_salts(const struct fuzz_store *store, uint64_t *salts)
{
    size_t count = 0;

    for (size_t i = 0; i < store->file_count; i++) {
        const struct fuzz_store_file *file = &store->files[i];

        if (file->kind == FUZZ_STORE_DATA || file->kind == FUZZ_STORE_HINT)
            add_salt(salts, &count, fuzz_header_salt(file->bytes, file->size));
    }
    for (size_t i = 0; i < store->manifest.segment_count; i++)
        add_salt(salts, &count, store->manifest.segments[i].salt);
    return count;
}

/* The line of a file that is part of the cask, and has the header that it should have. */
static const struct bitcask_manifest_segment *line_of(const struct fuzz_store *store,
                                                      const struct fuzz_store_file *file)
{
    const struct bitcask_manifest_segment *line =
        bitcask_manifest_find(&store->manifest, file->id);

    return store->has_manifest && line != NULL &&
                   !bitcask_manifest_is_outside(line->state) &&
                   fuzz_header_is_whole(file->bytes, file->size, fuzz_data_magic) &&
                   fuzz_header_id(file->bytes, file->size) == file->id &&
                   fuzz_header_salt(file->bytes, file->size) == line->salt
               ? line
               : NULL;
}

static void find_facts(struct fuzz_store *store)
{
    uint64_t salts[SALTS_MAX];
    size_t salt_count = find_salts(store, salts);

    for (size_t i = 0; i < store->file_count; i++) {
        const struct fuzz_store_file *file = &store->files[i];
        const struct bitcask_manifest_segment *line = line_of(store, file);

        for (size_t j = 0; j < salt_count && file->kind == FUZZ_STORE_DATA; j++)
            read_facts(store, file, salts[j],
                       line != NULL && line->salt == salts[j] ? line : NULL);
    }
}

void fuzz_store_read(struct fuzz_store *store, const uint8_t *bytes, size_t size)
{
    struct fuzz_input input = { bytes, size };
    const struct fuzz_store_file *file;

    memset(store, 0, sizeof *store);
    read_files(store, &input);
    for (size_t i = 0; i < store->file_count; i++)
        store->has_hints = store->has_hints || store->files[i].kind == FUZZ_STORE_HINT;
    bitcask_manifest_init(&store->manifest);
    file = find_file(store, BITCASK_MANIFEST_NAME);
    store->has_manifest =
        file != NULL && bitcask_manifest_parse(&store->manifest, (struct bitcask_slice){
                                                                     file->bytes,
                                                                     file->size,
                                                                 }) == BITCASK_OK;
    if (!store->has_manifest) {
        bitcask_manifest_release(&store->manifest);
        bitcask_manifest_init(&store->manifest);
    }
    find_facts(store);
}

void fuzz_store_release(struct fuzz_store *store)
{
    for (size_t i = 0; i < store->file_count; i++)
        free(store->files[i].bytes);
    bitcask_manifest_release(&store->manifest);
    free(store->facts);
    memset(store, 0, sizeof *store);
}

struct sim_disk *fuzz_store_disk(const struct fuzz_store *store)
{
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask_io *io = sim_disk_io(disk);

    fuzz_check(io->directory_create(io, FUZZ_STORE_PATH) == BITCASK_OK);
    for (size_t i = 0; i < store->file_count; i++)
        sim_disk_put_file(disk, FUZZ_STORE_PATH, store->files[i].name,
                          store->files[i].bytes, store->files[i].size);
    return disk;
}

bool fuzz_store_is_unchanged(const struct fuzz_store *store, const struct sim_disk *disk)
{
    for (size_t i = 0; i < store->file_count; i++) {
        const struct fuzz_store_file *file = &store->files[i];
        size_t size = 0;
        const uint8_t *bytes = sim_disk_file(disk, FUZZ_STORE_PATH, file->name, &size);

        if (bytes == NULL || !fuzz_same(bytes, size, file->bytes, file->size))
            return false;
    }
    return true;
}
