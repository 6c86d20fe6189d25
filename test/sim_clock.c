/* SPDX-License-Identifier: MIT */
/* The clocks of a simulated disk, which stand still unless somebody moves them. */
#include "test/sim_inside.h"

static struct sim_disk *disk_of(struct bitcask_io *io)
{
    return (struct sim_disk *)io;
}

uint64_t sim_monotonic_ms(struct bitcask_io *io)
{
    struct sim_disk *disk = disk_of(io);
    uint64_t ms;

    (void)pthread_mutex_lock(&disk->lock);
    ms = disk->monotonic_ms;
    (void)pthread_mutex_unlock(&disk->lock);
    return ms;
}

uint64_t sim_wall_ms(struct bitcask_io *io)
{
    struct sim_disk *disk = disk_of(io);
    uint64_t ms;

    (void)pthread_mutex_lock(&disk->lock);
    ms = disk->wall_ms;
    (void)pthread_mutex_unlock(&disk->lock);
    return ms;
}

void sim_sleep_ms(struct bitcask_io *io, uint32_t ms)
{
    sim_disk_pass_ms(disk_of(io), ms);
}

uint64_t sim_process_id(struct bitcask_io *io)
{
    (void)io;
    return 4711;
}
