/* SPDX-License-Identifier: MIT */
#include "bitcask/window.h"

#include <assert.h>

enum bitcask_status bitcask_window_open(struct bitcask_window *window,
                                        struct bitcask_io *io, bitcask_file file,
                                        uint64_t offset, uint64_t size, bool large)
{
    enum bitcask_status status = io->allocate(io, file, offset, size);

    *window = (struct bitcask_window){ 0 };
    if (status == BITCASK_OK)
        status =
            io->map(io, file, offset, (size_t)size,
                    large ? BITCASK_IO_STORE_LARGE : BITCASK_IO_STORE, &window->address);
    if (status != BITCASK_OK)
        return status;
    window->offset = offset;
    window->size = size;
    return BITCASK_OK;
}

void bitcask_window_close(struct bitcask_window *window, struct bitcask_io *io)
{
    if (window->size > 0)
        io->unmap(io, window->address, (size_t)window->size);
    *window = (struct bitcask_window){ 0 };
}

void bitcask_window_store(const struct bitcask_window *window, struct bitcask_io *io,
                          uint64_t offset, const struct bitcask_slice *parts,
                          size_t part_count)
{
    const uint8_t *to = window->address + (offset - window->offset);

    for (size_t i = 0; i < part_count; i++) {
        assert((uint64_t)(to - window->address) + parts[i].size <= window->size);
        if (parts[i].size > 0)
            io->store(io, to, parts[i].data, parts[i].size);
        to += parts[i].size;
    }
}
