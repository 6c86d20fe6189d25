/* SPDX-License-Identifier: MIT */
#include "bitcask/merge_writer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/status.h"

/* Write @piece, and let the disk begin with it: the sync that is waited for is short. */
static enum bitcask_status write_piece(struct bitcask_io *io,
                                       const struct bitcask_merge_piece *piece)
{
    struct bitcask_slice part = { piece->bytes, piece->size };
    enum bitcask_status status = io->write(io, piece->file, piece->offset, &part, 1);

    if (status == BITCASK_OK)
        io->begin_sync(io, piece->file, piece->offset, piece->size);
    return status;
}

/* With the lock held: after a failure all that follows is thrown away. */
static void write_next(struct bitcask_merge_writer *writer,
                       struct bitcask_merge_piece *piece)
{
    if (writer->status == BITCASK_OK) {
        enum bitcask_status status;
        int error;

        (void)pthread_mutex_unlock(&writer->lock);
        status = write_piece(writer->io, piece);
        error = errno;
        (void)pthread_mutex_lock(&writer->lock);
        writer->status = status;
        writer->error = error;
    }
    piece->full = false;
    (void)pthread_cond_broadcast(&writer->changed);
}

static void *run_writer(void *context)
{
    struct bitcask_merge_writer *writer = context;
    unsigned next = 0;

    (void)pthread_mutex_lock(&writer->lock);
    for (;;) {
        struct bitcask_merge_piece *piece = &writer->pieces[next];

        if (piece->full) {
            write_next(writer, piece);
            next = (next + 1) % BITCASK_MERGE_PIECE_COUNT;
        } else if (writer->end) {
            break;
        } else {
            (void)pthread_cond_wait(&writer->changed, &writer->lock);
        }
    }
    (void)pthread_mutex_unlock(&writer->lock);
    return NULL;
}

static void start_thread(struct bitcask_merge_writer *writer)
{
    sigset_t all, before;

    if (pthread_mutex_init(&writer->lock, NULL) != 0)
        return;
    if (pthread_cond_init(&writer->changed, NULL) != 0) {
        (void)pthread_mutex_destroy(&writer->lock);
        return;
    }
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    writer->has_thread = pthread_create(&writer->thread, NULL, run_writer, writer) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!writer->has_thread) {
        (void)pthread_cond_destroy(&writer->changed);
        (void)pthread_mutex_destroy(&writer->lock);
    }
}

enum bitcask_status bitcask_merge_writer_start(struct bitcask_merge_writer *writer,
                                               struct bitcask_io *io, bool use_thread)
{
    unsigned count = use_thread ? BITCASK_MERGE_PIECE_COUNT : 1;

    memset(writer, 0, sizeof *writer);
    writer->io = io;
    for (unsigned i = 0; i < count; i++) {
        writer->pieces[i].bytes = malloc(BITCASK_MERGE_PIECE_SIZE);
        if (writer->pieces[i].bytes == NULL) {
            bitcask_merge_writer_end(writer);
            return bitcask_fail_memory(BITCASK_MERGE_PIECE_SIZE);
        }
    }
    if (use_thread)
        start_thread(writer);
    return BITCASK_OK;
}

void bitcask_merge_writer_end(struct bitcask_merge_writer *writer)
{
    if (writer->has_thread) {
        (void)pthread_mutex_lock(&writer->lock);
        writer->end = true;
        (void)pthread_cond_broadcast(&writer->changed);
        (void)pthread_mutex_unlock(&writer->lock);
        (void)pthread_join(writer->thread, NULL);
        (void)pthread_cond_destroy(&writer->changed);
        (void)pthread_mutex_destroy(&writer->lock);
    }
    for (unsigned i = 0; i < BITCASK_MERGE_PIECE_COUNT; i++)
        free(writer->pieces[i].bytes);
    memset(writer, 0, sizeof *writer);
}

uint8_t *bitcask_merge_writer_room(struct bitcask_merge_writer *writer)
{
    return writer->pieces[writer->next].bytes;
}

enum bitcask_status bitcask_merge_writer_put(struct bitcask_merge_writer *writer,
                                             bitcask_file file, uint64_t offset,
                                             size_t size)
{
    struct bitcask_merge_piece *piece = &writer->pieces[writer->next];
    enum bitcask_status status;

    piece->file = file;
    piece->offset = offset;
    piece->size = size;
    if (!writer->has_thread)
        return write_piece(writer->io, piece);

    (void)pthread_mutex_lock(&writer->lock);
    piece->full = true;
    (void)pthread_cond_broadcast(&writer->changed);
    writer->next = (writer->next + 1) % BITCASK_MERGE_PIECE_COUNT;
    while (writer->pieces[writer->next].full)
        (void)pthread_cond_wait(&writer->changed, &writer->lock);
    status = writer->status;
    errno = writer->error;
    (void)pthread_mutex_unlock(&writer->lock);
    return status;
}

enum bitcask_status bitcask_merge_writer_drain(struct bitcask_merge_writer *writer)
{
    enum bitcask_status status;

    if (!writer->has_thread)
        return BITCASK_OK;
    (void)pthread_mutex_lock(&writer->lock);
    for (unsigned i = 0; i < BITCASK_MERGE_PIECE_COUNT; i++) {
        while (writer->pieces[i].full)
            (void)pthread_cond_wait(&writer->changed, &writer->lock);
    }
    status = writer->status;
    errno = writer->error;
    writer->status = BITCASK_OK;
    (void)pthread_mutex_unlock(&writer->lock);
    return status;
}
