/* SPDX-License-Identifier: MIT */
#include "bitcask/identity.h"

#include <inttypes.h>
#include <string.h>

#include "bitcask/bytes.h"
#include "bitcask/data_file.h"
#include "bitcask/file_name.h"
#include "bitcask/format.h"
#include "bitcask/status.h"

enum {
    SEGMENT_ID = 16, /* in a file header; see format.h */
    SALT = 24,
    CHECK = 60
};

/* Read the first bytes of @file; *size is how many there are. */
static enum bitcask_status read_start(struct bitcask_io *io, bitcask_file file,
                                      uint64_t id,
                                      uint8_t bytes[BITCASK_FILE_HEADER_SIZE],
                                      size_t *size)
{
    enum bitcask_status status =
        io->read(io, file, 0, bytes, BITCASK_FILE_HEADER_SIZE, size);

    if (status != BITCASK_OK)
        bitcask_fail_errno(status, "read the header of segment %" PRIu64, id);
    return status;
}

/* Whether a record somewhere in @file has @salt in its check. */
static enum bitcask_status is_proven(struct bitcask_io *io, bitcask_file file,
                                     uint64_t size, uint64_t salt, bool *proven)
{
    struct bitcask_record record;
    struct bitcask_walk walk;
    enum bitcask_status status = bitcask_walk_init(&walk, io, file, 0, salt, size);

    walk.headers_only = true;
    walk.patient = true;
    if (status == BITCASK_OK)
        status = bitcask_walk_resync(&walk, 1, UINT64_MAX, &record);
    bitcask_walk_release(&walk);
    *proven = status == BITCASK_OK;
    return status == BITCASK_NO_MEMORY ? status : BITCASK_OK;
}

enum bitcask_status bitcask_identify_hint(struct bitcask_io *io, bitcask_file directory,
                                          uint64_t id, uint64_t *salt)
{
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];
    struct bitcask_file_header header;
    char name[BITCASK_NAME_SIZE];
    bitcask_file file;
    size_t size;
    enum bitcask_status status;

    *salt = 0;
    bitcask_hint_name(name, id);
    if (io->open(io, directory, name, BITCASK_IO_READ, &file) != BITCASK_OK)
        return BITCASK_OK;
    status = read_start(io, file, id, bytes, &size);
    io->close(io, file);
    if (status == BITCASK_OK && size == sizeof bytes &&
        bitcask_file_header_decode(bytes, BITCASK_FILE_HINT, &header) == BITCASK_OK)
        *salt = header.salt;
    return status == BITCASK_NO_MEMORY ? status : BITCASK_OK;
}

/* Whether the check of a file header holds. Then a larger version was written as such. */
static bool has_check(const uint8_t bytes[BITCASK_FILE_HEADER_SIZE])
{
    return bitcask_load32(bytes + CHECK) == bitcask_check(0, bytes, CHECK);
}

enum bitcask_status bitcask_identify(struct bitcask_io *io, bitcask_file directory,
                                     uint64_t id, bitcask_file file, uint64_t size,
                                     const struct bitcask_manifest *manifest,
                                     struct bitcask_identity *identity)
{
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE] = { 0 };
    struct bitcask_file_header header;
    const struct bitcask_manifest_segment *line;
    uint64_t salts[3] = { 0 };
    size_t got;
    enum bitcask_status status = read_start(io, file, id, bytes, &got);

    memset(identity, 0, sizeof *identity);
    identity->header = BITCASK_CORRUPT;
    if (status != BITCASK_OK && status != BITCASK_IO)
        return status;
    identity->unread = status != BITCASK_OK;
    if (!identity->unread && got == sizeof bytes)
        identity->header = bitcask_file_header_decode(bytes, BITCASK_FILE_DATA, &header);
    if (identity->header == BITCASK_OK) {
        identity->known = true;
        identity->id = header.segment_id;
        identity->salt = header.salt;
    }
    if (identity->header == BITCASK_OK ||
        (identity->header == BITCASK_UNSUPPORTED && has_check(bytes)))
        return BITCASK_OK;

    line = manifest != NULL ? bitcask_manifest_find(manifest, id) : NULL;
    salts[0] = line != NULL ? line->salt : 0;
    status = bitcask_identify_hint(io, directory, id, &salts[1]);
    salts[2] = bitcask_load64(bytes + SALT);
    for (size_t i = 0; i < 3 && status == BITCASK_OK && !identity->known; i++) {
        if (salts[i] == 0)
            continue;
        status = is_proven(io, file, size, salts[i], &identity->known);
        identity->salt = salts[i];
    }
    identity->id = id != 0 ? id : bitcask_load64(bytes + SEGMENT_ID);
    if (!identity->known)
        identity->salt = 0;
    if (status == BITCASK_OK && identity->unread && !identity->known)
        return bitcask_fail(BITCASK_IO,
                            "the header of segment %" PRIu64
                            " cannot be read, and nothing else says whose file it is",
                            id);
    if (identity->known)
        identity->header = BITCASK_CORRUPT; /* records of ours: no newer version */
    return status;
}
