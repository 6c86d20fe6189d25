/* SPDX-License-Identifier: MIT */
/*
 * Repairing: whose is each file?
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "bitcask/data_file.h"
#include "bitcask/repair.h"

/* The line of the MANIFEST that @identity is of; NULL: there is none. */
static const struct bitcask_manifest_segment *line_of(
    const struct bitcask_manifest *manifest, const struct bitcask_identity *identity)
{
    const struct bitcask_manifest_segment *line =
        bitcask_manifest_find(manifest, identity->id);

    return identity->known && line != NULL && line->salt == identity->salt ? line : NULL;
}

enum bitcask_status bitcask_repair_identify(struct bitcask_repair_plan *plan)
{
    const uint64_t *ids = plan->cask.listing.data_ids.data;
    size_t count = plan->cask.listing.data_ids.size / sizeof *ids;
    enum bitcask_status status = BITCASK_OK;

    plan->files = calloc(count > 0 ? count : 1, sizeof *plan->files);
    if (plan->files == NULL)
        return bitcask_fail_memory(count * sizeof *plan->files);
    for (size_t i = 0; i < count && status == BITCASK_OK; i++) {
        struct bitcask_repair_file *file = &plan->files[plan->file_count++];
        bitcask_file data = BITCASK_NO_FILE;

        file->id = ids[i];
        errno = 0;
        status = bitcask_data_file_open_unchecked(plan->io, plan->directory, file->id,
                                                  BITCASK_IO_READ, &data, &file->size);
        if (status == BITCASK_IO && (errno == EINVAL || errno == ELOOP)) {
            file->irregular = true;
            status = BITCASK_OK;
            continue;
        }
        if (status == BITCASK_OK)
            status = bitcask_identify(plan->io, plan->directory, file->id, data,
                                      file->size, &plan->cask.manifest, &file->identity);
        if (data != BITCASK_NO_FILE)
            plan->io->close(plan->io, data);
        if (status == BITCASK_OK && file->identity.header == BITCASK_UNSUPPORTED)
            status = bitcask_fail(BITCASK_UNSUPPORTED,
                                  "%010" PRIu64 ".data is of a newer format: use a newer "
                                  "library",
                                  file->id);
        file->at_home =
            file->identity.header == BITCASK_OK && file->identity.id == file->id;
    }
    return status;
}

/*
 * Whether the MANIFEST, though whole, is another cask's: nothing that is there knows of
 * it, and two witnesses, data files or hints, are of one accord about something else.
 * One alone may itself be the stranger.
 */
static bool is_foreign(const struct bitcask_repair_plan *plan)
{
    const struct bitcask_manifest *manifest = &plan->cask.manifest;
    uint32_t tag = bitcask_manifest_tag(manifest);
    size_t against = 0;

    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];
        uint64_t hint_salt = 0;

        if (line_of(manifest, &file->identity) != NULL)
            return false;
        if (bitcask_identify_hint(plan->io, plan->directory, file->id, &hint_salt) !=
            BITCASK_OK)
            return false;
        if (hint_salt != 0 && bitcask_repair_tag(hint_salt) == tag)
            return false;
        if (file->at_home && bitcask_repair_tag(file->identity.salt) != tag)
            against += hint_salt == file->identity.salt ? 2 : 1;
    }
    return against >= 2;
}

/* Without a MANIFEST: the tag that most bytes are of. */
static uint32_t most_common_tag(const struct bitcask_repair_plan *plan)
{
    uint32_t best_tag = 0;
    uint64_t best_size = 0;

    for (size_t i = 0; i < plan->file_count; i++) {
        uint64_t size = 0;

        if (!plan->files[i].identity.known)
            continue;
        for (size_t k = 0; k < plan->file_count; k++) {
            if (plan->files[k].identity.known &&
                bitcask_repair_tag(plan->files[k].identity.salt) ==
                    bitcask_repair_tag(plan->files[i].identity.salt))
                size += plan->files[k].size;
        }
        if (size > best_size) {
            best_size = size;
            best_tag = bitcask_repair_tag(plan->files[i].identity.salt);
        }
    }
    return best_tag;
}

/* Whether @file belongs to the cask. */
static void judge_origin(struct bitcask_repair_plan *plan,
                         struct bitcask_repair_file *file)
{
    const struct bitcask_manifest *manifest = &plan->cask.manifest;
    const struct bitcask_manifest_segment *line =
        plan->manifest_trusted ? line_of(manifest, &file->identity) : NULL;
    const struct bitcask_manifest_segment *by_name =
        plan->manifest_trusted ? bitcask_manifest_find(manifest, file->id) : NULL;

    file->end = file->size;
    if (line != NULL) {
        file->listed = true;
        file->line = *line;
    }
    /*
     * What a file is, counts for more than the name that it has: under the name of one
     * that nobody needs there may be another, of which there is no second.
     */
    if (by_name != NULL && file->identity.known && by_name->salt != file->identity.salt)
        by_name = NULL;
    if (by_name != NULL && by_name->state == BITCASK_MANIFEST_QUARANTINED) {
        bitcask_repair_refuse(file, "an earlier repair has taken from it what is whole");
    } else if (line != NULL && bitcask_manifest_is_outside(line->state)) {
        file->outside = true;
        file->left = file->id == line->id;
        if (!file->left)
            bitcask_repair_refuse(file, "it is a copy of what a merge has left");
    } else if (by_name != NULL && bitcask_manifest_is_outside(by_name->state)) {
        file->left = true; /* whatever became of it, nobody needs it */
    } else if (file->irregular) {
        bitcask_repair_refuse(file, "it is no regular file");
    } else if (file->id > BITCASK_REPAIR_ID_MAX ||
               (file->identity.known && file->identity.id > BITCASK_REPAIR_ID_MAX)) {
        bitcask_repair_refuse(file, "no cask has ever had so many files");
    } else if (!file->identity.known) {
        bitcask_repair_refuse(file, file->size > BITCASK_FILE_HEADER_SIZE
                                        ? "nothing in it can be read as a record"
                                        : "it holds no record");
    } else if (line != NULL) {
        file->ours = true;
        if (line->state == BITCASK_MANIFEST_SEALED && file->end > line->size)
            file->end = line->size;
    } else if (plan->salt_tag != 0 &&
               bitcask_repair_tag(file->identity.salt) != plan->salt_tag) {
        bitcask_repair_refuse(file, "it is a file of another cask");
    } else if (plan->manifest_trusted && file->identity.id < manifest->next_id) {
        bitcask_repair_refuse(
            file,
            "MANIFEST lists it no more: a merge has replaced it, or an earlier repair "
            "has missed it");
    } else {
        file->ours = true;
    }
}

void bitcask_repair_judge_origins(struct bitcask_repair_plan *plan)
{
    plan->manifest_trusted =
        plan->cask.manifest_status == BITCASK_OK && !is_foreign(plan);
    plan->salt_tag = plan->manifest_trusted ? bitcask_manifest_tag(&plan->cask.manifest)
                                            : most_common_tag(plan);
    for (size_t i = 0; i < plan->file_count; i++)
        judge_origin(plan, &plan->files[i]);
}
