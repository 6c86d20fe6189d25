/* SPDX-License-Identifier: MIT */
#include "test/campaign/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/cask.h"

#define EXPORT_PATH "/cask"

/* The other reader is gone, or there is no room: nothing that could be judged. */
static void check_stream(FILE *stream)
{
    if (ferror(stream)) {
        perror("--export");
        exit(EXIT_FAILURE);
    }
}

static void export_files(FILE *stream, const struct sim_disk *disk)
{
    const char *name;

    for (size_t i = 0; (name = sim_disk_name(disk, EXPORT_PATH, i)) != NULL; i++) {
        size_t size = 0;
        const uint8_t *bytes = sim_disk_file(disk, EXPORT_PATH, name, &size);

        if (bytes == NULL && size > 0)
            continue;
        fprintf(stream, "file %s %zu\n", name, size);
        if (size > 0)
            (void)fwrite(bytes, 1, size, stream);
        fprintf(stream, "\n");
    }
}

static void remove_hints(struct sim_disk *disk)
{
    const char *name;
    size_t i = 0;

    while ((name = sim_disk_name(disk, EXPORT_PATH, i)) != NULL) {
        size_t size = strlen(name);

        if (size > 5 && strcmp(name + size - 5, ".hint") == 0)
            sim_disk_remove_file(disk, EXPORT_PATH, name);
        else
            i++;
    }
}

static struct bitcask_place find_place(struct bitcask *cask, struct bitcask_slice key)
{
    uint64_t hash = bitcask_keydir_hash(cask->keydir, key);
    unsigned shard = bitcask_keydir_shard(hash);
    struct bitcask_place place = { 0 };

    bitcask_keydir_read_lock(cask->keydir, shard);
    (void)bitcask_keydir_find(cask->keydir, hash, key, &place);
    bitcask_keydir_read_unlock(cask->keydir, shard);
    return place;
}

static void export_key(FILE *stream, struct bitcask *cask, struct bitcask_slice key,
                       struct bitcask_slice value, enum bitcask_status status)
{
    struct bitcask_place place = find_place(cask, key);
    const uint8_t *bytes = key.data;

    fprintf(stream, "key ");
    for (size_t i = 0; i < key.size; i++)
        fprintf(stream, "%02x", bytes[i]);
    fprintf(stream, " %" PRIu64 " %d %d %zu\n", place.sequence,
            (place.flags & BITCASK_PLACE_EXPIRES) != 0, status, value.size);
    if (value.size > 0)
        (void)fwrite(value.data, 1, value.size, stream);
    fprintf(stream, "\n");
}

static void export_keys(FILE *stream, struct bitcask *cask)
{
    const struct bitcask_iterator_options options = { .sorted = true };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    enum bitcask_status status = bitcask_iterator_open(cask, &options, &iterator);

    if (status != BITCASK_OK) {
        fprintf(stream, "iterator %d\n", status);
        return;
    }
    while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK ||
           status == BITCASK_CORRUPT)
        export_key(stream, cask, key, value, status);
    if (status != BITCASK_NOT_FOUND)
        fprintf(stream, "iterator %d\n", status);
    bitcask_iterator_close(iterator);
}

void campaign_export(struct campaign *campaign, const struct sim_disk *disk,
                     uint64_t share, bool hints, const char *words)
{
    FILE *stream = campaign->export_stream;
    struct bitcask_options options = { .no_background = true, .threads = 1 };
    struct bitcask *cask = NULL;
    enum bitcask_status status;
    struct sim_disk *copy;
    struct bitcask_io *io;

    if (stream == NULL || (campaign->replay == NULL &&
                           campaign_random_below(&campaign->export_chance, share)))
        return;
    copy = sim_disk_after(disk, SIM_KILL, campaign->seed);
    io = sim_disk_io(copy);
    options.read_only = campaign_random_below(&campaign->export_chance, 2) == 0;
    fprintf(stream, "state '%s': %s, then opened %s\nnow %" PRIu64 "\n", campaign->trying,
            words, options.read_only ? "read-only" : "for writing", io->wall_ms(io));
    if (!hints)
        remove_hints(copy);
    export_files(stream, copy);
    status = bitcask_open_with(io, &cask, EXPORT_PATH, &options);
    fprintf(stream, "status %d %s\n", status,
            status == BITCASK_OK ? "" : bitcask_error_detail());
    if (status == BITCASK_OK)
        export_keys(stream, cask);
    fprintf(stream, "end\n");
    (void)bitcask_close(cask);
    sim_disk_free(copy);
    check_stream(stream);
    campaign_count(campaign, "exported", 1);
}
