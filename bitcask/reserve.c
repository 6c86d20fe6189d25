/* SPDX-License-Identifier: MIT */
#include "bitcask/reserve.h"

#include "bitcask/file_name.h"
#include "bitcask/status.h"

void bitcask_reserve_init(struct bitcask_reserve *reserve, struct bitcask_io *io,
                          bitcask_file directory)
{
    bitcask_file file;
    uint64_t size = 0;

    *reserve = (struct bitcask_reserve){ .io = io, .directory = directory };
    if (io->open(io, directory, BITCASK_RESERVE_NAME, BITCASK_IO_READ, &file) !=
        BITCASK_OK)
        return;
    reserve->there =
        io->size(io, file, &size) == BITCASK_OK && size == BITCASK_RESERVE_SIZE;
    io->close(io, file);
    reserve->used = !reserve->there; /* somebody has used it and could not restore it */
}

/* Without a sync: the space is taken when it is written, and no more is wanted. */
static enum bitcask_status set_aside(struct bitcask_reserve *reserve)
{
    static const uint8_t zeros[BITCASK_RESERVE_SIZE];
    struct bitcask_io *io = reserve->io;
    struct bitcask_slice part = { zeros, sizeof zeros };
    bitcask_file file;
    enum bitcask_status status =
        io->open(io, reserve->directory, BITCASK_RESERVE_NAME, BITCASK_IO_CREATE, &file);

    if (status != BITCASK_OK)
        return status;
    status = io->write(io, file, 0, &part, 1);
    if (status != BITCASK_OK)
        (void)io->truncate(io, file, 0);
    io->close(io, file);
    reserve->there = status == BITCASK_OK;
    return status;
}

void bitcask_reserve_keep(struct bitcask_reserve *reserve, uint64_t total_size)
{
    enum bitcask_status status;

    if (reserve->io == NULL || reserve->there || reserve->used || reserve->futile ||
        total_size < BITCASK_RESERVE_FROM)
        return;
    status = set_aside(reserve);
    reserve->used = status == BITCASK_NO_SPACE;
    reserve->futile = status != BITCASK_OK && status != BITCASK_NO_SPACE;
}

bool bitcask_reserve_use(struct bitcask_reserve *reserve)
{
    struct bitcask_io *io = reserve->io;
    bitcask_file file;
    bool given;

    /* Emptied, not removed: so the next process knows that it was used. */
    if (!reserve->there || io->open(io, reserve->directory, BITCASK_RESERVE_NAME,
                                    BITCASK_IO_WRITE, &file) != BITCASK_OK)
        return false;
    given = io->truncate(io, file, 0) == BITCASK_OK;
    io->close(io, file);
    if (given) {
        reserve->there = false;
        reserve->used = true;
    }
    return given;
}

enum bitcask_status bitcask_reserve_restore(struct bitcask_reserve *reserve)
{
    enum bitcask_status status;

    if (!reserve->used)
        return BITCASK_OK;
    status = set_aside(reserve);
    if (status == BITCASK_NO_SPACE)
        return bitcask_fail(status, "the disk is full: delete keys or merge, for which "
                                    "there is a reserve, or make room on it");
    reserve->used = false;
    reserve->futile = status != BITCASK_OK;
    return BITCASK_OK;
}
