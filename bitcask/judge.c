/* SPDX-License-Identifier: MIT */
#include "bitcask/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The table has all that recovery asks it for: which salts are in use. */
static enum bitcask_status add_sealed(struct bitcask *cask,
                                      const struct bitcask_manifest *manifest)
{
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < manifest->segment_count && status == BITCASK_OK; i++) {
        const struct bitcask_manifest_segment *line = &manifest->segments[i];
        struct bitcask_segment *segment;

        if (line->state == BITCASK_MANIFEST_SEALED)
            status = bitcask_segments_add(&cask->segments, line->id, line->salt,
                                          BITCASK_NO_FILE, &segment);
    }
    return status;
}

static enum bitcask_status note_kept(struct bitcask *cask,
                                     struct bitcask_verdict *verdict)
{
    uint32_t count = atomic_load(&cask->segments.count);

    verdict->kept = calloc(count > 0 ? count : 1, sizeof *verdict->kept);
    if (verdict->kept == NULL)
        return bitcask_fail_memory(count * sizeof *verdict->kept);
    for (uint32_t i = 0; i < count; i++) {
        const struct bitcask_segment *segment = bitcask_segments_get(&cask->segments, i);
        struct bitcask_kept *kept = &verdict->kept[verdict->kept_count];

        kept->id = segment->id;
        kept->size = atomic_load(&segment->data_size);
        if (kept->size > 0) /* else it is sealed, or has no record */
            verdict->kept_count++;
    }
    return BITCASK_OK;
}

enum bitcask_status bitcask_judge(struct bitcask_io *io, bitcask_file directory,
                                  const struct bitcask_manifest *manifest,
                                  struct bitcask_verdict *verdict)
{
    struct bitcask *cask = calloc(1, sizeof *cask);
    struct bitcask_commit_start start = { 0 };
    bool mended;
    enum bitcask_status status;

    memset(verdict, 0, sizeof *verdict);
    if (cask == NULL)
        return bitcask_fail_memory(sizeof *cask);
    cask->io = io;
    cask->directory = directory;
    cask->lock = BITCASK_NO_FILE;
    cask->options.read_only = true;
    cask->options.no_mapping = true;
    status = bitcask_segments_init(&cask->segments, io, directory, false);
    if (status == BITCASK_OK)
        status = add_sealed(cask, manifest);
    if (status == BITCASK_OK)
        status = bitcask_recover(cask, manifest, NULL, &start, &mended);
    verdict->status = status;
    verdict->last_sequence = start.last_sequence;
    if (status == BITCASK_CORRUPT) {
        (void)snprintf(verdict->detail, sizeof verdict->detail, "%s",
                       bitcask_error_detail());
        status = BITCASK_OK;
    }
    if (status == BITCASK_OK)
        status = note_kept(cask, verdict);
    bitcask_segments_release(&cask->segments);
    free(cask);
    return status;
}

void bitcask_verdict_release(struct bitcask_verdict *verdict)
{
    free(verdict->kept);
    memset(verdict, 0, sizeof *verdict);
}

uint64_t bitcask_verdict_kept_size(const struct bitcask_verdict *verdict, uint64_t id)
{
    for (size_t i = 0; i < verdict->kept_count; i++) {
        if (verdict->kept[i].id == id)
            return verdict->kept[i].size;
    }
    return 0;
}

void bitcask_verdict_place(const struct bitcask_verdict *verdict,
                           char name[BITCASK_NAME_SIZE], uint64_t *offset)
{
    uint64_t id;

    *offset = 0;
    name[0] = '\0';
    if (sscanf(verdict->detail, "%39[0-9.a-z], offset %" SCNu64, name, offset) < 1 ||
        bitcask_name_parse(name, &id) != BITCASK_NAME_DATA)
        name[0] = '\0';
}
