/* SPDX-License-Identifier: MIT */
/*
 * fuzz_corpus DIRECTORY: write the part of the corpus that is made of stores: a few small
 * casks, as directories for fuzz_directory.c, and their files for the targets of one kind
 * of file. Not a test and not run by any: what it wrote was checked in.
 *
 *     meson compile -C build-dev fuzz_corpus
 *     build-dev/test/fuzz/fuzz_corpus test/fuzz/corpus
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/cask.h"
#include "test/fuzz/fuzz.h"
#include "test/fuzz/fuzz_store.h"

static const char *corpus;

static void write_file(const char *target, const char *name, const char *tail,
                       const void *bytes, size_t size)
{
    char path[4096];
    FILE *stream;

    (void)snprintf(path, sizeof path, "%s/%s/%s%s", corpus, target, name, tail);
    stream = fopen(path, "wb");
    fuzz_check(stream != NULL);
    fuzz_check(fwrite(bytes, 1, size, stream) == size);
    fuzz_check(fclose(stream) == 0);
}

/* What kind of file @file is. False: none of the corpus. */
static bool find_kind(const char *file, enum fuzz_store_kind *kind, uint64_t *id)
{
    *id = 0;
    switch (bitcask_name_parse(file, id)) {
    case BITCASK_NAME_DATA:
        *kind = FUZZ_STORE_DATA;
        return true;
    case BITCASK_NAME_HINT:
        *kind = FUZZ_STORE_HINT;
        return true;
    case BITCASK_NAME_MANIFEST:
        *kind = FUZZ_STORE_MANIFEST;
        return true;
    default:
        return false;
    }
}

/*
 * What a decoder has to refuse though the check over it is right, which the targets put
 * there: @size bytes of @bytes with those at @offset replaced.
 */
static void spoil(const char *target, const char *name, const uint8_t *bytes, size_t size,
                  size_t offset, const char *other, size_t other_size)
{
    uint8_t *copy = fuzz_copy(bytes, size);

    fuzz_check(offset + other_size <= size);
    memcpy(copy + offset, other, other_size);
    write_file(target, name, "", copy, size);
    free(copy);
}

/* Of the first batch of a data file, and of the record in front of it. */
static void spoil_data(const uint8_t *bytes, size_t size)
{
    size_t offset = FUZZ_HEADER_SIZE, before = offset;
    uint64_t salt = fuzz_header_salt(bytes, size);
    struct fuzz_record record, part;

    while (fuzz_record_read(bytes, size, offset, salt, &record) &&
           record.kind != BITCASK_RECORD_BATCH) {
        before = offset;
        offset += (size_t)record.size;
    }
    fuzz_check(record.kind == BITCASK_RECORD_BATCH);
    fuzz_check(fuzz_record_read(bytes, size, offset + FUZZ_RECORD_SIZE, salt, &part));
    spoil("data", "part-out-of-sequence", bytes, size, part.offset + 8, "\x63", 1);
    spoil("data", "batch-in-batch", bytes, size, part.offset + 20, "\x03", 1);
    spoil("data", "damaged-key-check", bytes, size, before, "\xff\xff\xff\xff", 4);
    spoil("data", "damaged-value-check", bytes, size, before + 16, "\xff\xff\xff\xff", 4);
    spoil("data", "damaged-batch-check", bytes, size, offset + 16, "\xff\xff\xff\xff", 4);
    spoil("data", "value-behind-the-end", bytes, size, before + 25, "\x10", 1);
    spoil("data", "key-into-the-next", bytes, size, before + 22, "\x20", 1);
}

static void spoil_hint(const uint8_t *bytes, size_t size)
{
    size_t second = FUZZ_HEADER_SIZE + 24 + (size_t)fuzz_number(bytes + 66, 2);

    spoil("hint", "overlapping-entries", bytes, size, second + 8, "\x41", 1);
    spoil("hint", "no-sequence", bytes, size, second + 16, "\0\0\0\0\0\0\0\0", 8);
    spoil("hint", "trailer-without-zeros", bytes, size, size - 8, "\x01", 1);
    spoil("hint", "data-too-short", bytes, size, size - 16, "\x41\0", 2);
    spoil("hint", "damaged-check", bytes, size, size - 4, "\xff\xff\xff\xff", 4);
}

/* One file of the store @name, for the target of its kind. */
static void give_out(const char *name, uint64_t id, enum fuzz_store_kind kind,
                     const uint8_t *bytes, size_t size)
{
    static const char *const targets[] = {
        [FUZZ_STORE_DATA] = "data",
        [FUZZ_STORE_HINT] = "hint",
        [FUZZ_STORE_MANIFEST] = "manifest",
    };
    char tail[32];

    (void)snprintf(tail, sizeof tail, "-%d", (int)id);
    write_file(targets[kind], name, tail, bytes, size);
    if (kind == FUZZ_STORE_DATA && strcmp(name, "killed") == 0)
        spoil_data(bytes, size);
    if (kind == FUZZ_STORE_HINT && strcmp(name, "reopened") == 0 && id == 1)
        spoil_hint(bytes, size);
    if (kind == FUZZ_STORE_MANIFEST && strcmp(name, "killed") == 0)
        spoil("manifest", "damaged-check", bytes, size, size - 2, "x", 1);
    if (kind == FUZZ_STORE_MANIFEST && strcmp(name, "merged") == 0)
        spoil("manifest", "other-check", bytes, size, size - 2,
              bytes[size - 2] == '0' ? "1" : "0", 1);
}

/* Its files one by one as well if @flags are 0. */
static void save(struct sim_disk *disk, const char *name, unsigned flags)
{
    uint8_t *store = fuzz_allocate(1 << 20);
    size_t store_size = 1;
    const char *file;

    store[0] = (uint8_t)flags;
    for (size_t i = 0; (file = sim_disk_name(disk, FUZZ_STORE_PATH, i)) != NULL; i++) {
        size_t size = 0;
        const uint8_t *bytes = sim_disk_file(disk, FUZZ_STORE_PATH, file, &size);
        enum fuzz_store_kind kind = FUZZ_STORE_DATA;
        uint64_t id = 0;

        if (!find_kind(file, &kind, &id))
            continue;
        if (flags == 0)
            give_out(name, id, kind, bytes, size);
        store[store_size++] = (uint8_t)kind;
        store[store_size++] = (uint8_t)(id > 0 ? id - 1 : 0);
        store[store_size++] = (uint8_t)size;
        store[store_size++] = (uint8_t)(size >> 8);
        memcpy(store + store_size, bytes, size);
        store_size += size;
    }
    write_file("directory", name, "", store, store_size);
    free(store);
    sim_disk_free(disk);
}

static const struct bitcask_options options = {
    .no_background = true,
    .sync = BITCASK_SYNC_NONE,
    .file_size_max = 4096,
};

static struct bitcask *open_cask(struct sim_disk *disk)
{
    struct bitcask *cask = NULL;

    fuzz_check(bitcask_open_with(sim_disk_io(disk), &cask, FUZZ_STORE_PATH, &options) ==
               BITCASK_OK);
    return cask;
}

static void put(struct bitcask *cask, const char *key, const char *value)
{
    fuzz_check(bitcask_put(cask, bitcask_text(key), bitcask_text(value)) == BITCASK_OK);
}

/* A put, a tombstone, an expiring put, a batch. */
static void write_some(struct bitcask *cask)
{
    const struct bitcask_batch_part parts[] = {
        { .key = bitcask_text("ada"), .value = bitcask_text("lovelace") },
        { .key = bitcask_text("alan"), .deletes = true },
        { .key = bitcask_text("grace"), .value = bitcask_text("1906") },
    };

    put(cask, "ada", "1815");
    put(cask, "alan", "1912");
    fuzz_check(bitcask_put_expiring(cask, bitcask_text("session"), bitcask_text("soon"),
                                    UINT64_C(253402300799999)) == BITCASK_OK);
    fuzz_check(bitcask_sync(cask) == BITCASK_OK);
    fuzz_check(bitcask_write_batch(cask, parts, 3) == BITCASK_OK);
    fuzz_check(bitcask_put_expiring(cask, bitcask_text("gone"), bitcask_text("1970"),
                                    1000) == BITCASK_OK);
    put(cask, "void", "");
    fuzz_check(bitcask_delete(cask, bitcask_text("void")) == BITCASK_OK);
}

/* Left as after a kill, and gone on from: each time a sealed file with a hint more. */
static struct sim_disk *kill_cask(struct sim_disk *disk, struct bitcask *cask,
                                  enum sim_loss loss)
{
    struct sim_disk *left = sim_disk_after(disk, loss, 5);

    fuzz_check(bitcask_close(cask) == BITCASK_OK);
    sim_disk_free(disk);
    return left;
}

int main(int argc, char **argv)
{
    const struct bitcask_merge_options everything = { .choice = BITCASK_MERGE_ALL };
    struct sim_disk *disk = sim_disk_new(1);
    struct bitcask *cask;

    if (argc != 2) {
        fprintf(stderr, "usage: fuzz_corpus DIRECTORY\n");
        return 64;
    }
    corpus = argv[1];
    cask = open_cask(disk);
    save(sim_disk_after(disk, SIM_KILL, 1), "new", FUZZ_STORE_MEND_MANIFEST);
    write_some(cask);
    save(sim_disk_after(disk, SIM_KILL, 1), "killed", 0);
    save(sim_disk_after(disk, SIM_POWER_ANY, 3), "power", 0);
    fuzz_check(bitcask_close(cask) == BITCASK_OK);
    save(sim_disk_after(disk, SIM_KILL, 1), "closed", FUZZ_STORE_MEND_MANIFEST);

    cask = open_cask(disk);
    put(cask, "ada", "1852");
    disk = kill_cask(disk, cask, SIM_KILL);
    cask = open_cask(disk);
    put(cask, "edsger", "1930");
    fuzz_check(bitcask_delete(cask, bitcask_text("grace")) == BITCASK_OK);
    disk = kill_cask(disk, cask, SIM_KILL);
    cask = open_cask(disk);
    put(cask, "barbara", "1939");
    save(sim_disk_after(disk, SIM_KILL, 1), "reopened", 0);
    save(sim_disk_after(disk, SIM_KILL, 1), "reopened-without-hints",
         FUZZ_STORE_NO_HINTS | FUZZ_STORE_MEND_DATA | FUZZ_STORE_MEND_MANIFEST);
    fuzz_check(bitcask_merge(cask, &everything, NULL) == BITCASK_OK);
    save(sim_disk_after(disk, SIM_KILL, 1), "merged", 0);
    fuzz_check(bitcask_close(cask) == BITCASK_OK);
    save(disk, "merged-closed", FUZZ_STORE_MEND_DATA | FUZZ_STORE_MEND_HINTS);
    return 0;
}
