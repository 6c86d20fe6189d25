/* SPDX-License-Identifier: MIT */
/*
 * The end of a step, after its switch: the keydir is pointed to the outputs, those who
 * still read from the inputs are waited for, and the inputs are removed. None of this
 * needs to be over before the next step begins: a record is known by its sequence,
 * wherever the keydir finds it.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/merge.h"
#include "bitcask/status.h"

struct bitcask_merge_finisher {
    struct bitcask *cask;
    struct bitcask_merge_copier *copier; /* memory to repoint with */
    pthread_t thread;
    bool has_thread;

    /* Under the lock of merges. */
    bool end;
    bool busy; /* with change */
    struct bitcask_switch change;
    enum bitcask_status status; /* of the first failure, with its words */
    char detail[BITCASK_DETAIL_SIZE];
};

/* Reads are short: a look every millisecond. */
static void wait_for_readers(void *context)
{
    struct bitcask_io *io = context;

    io->sleep_ms(io, 1);
}

/*
 * Nobody can find a place in @input any more. A file that cannot be removed stays listed
 * as retired.
 */
static enum bitcask_status remove_input(struct bitcask *cask,
                                        struct bitcask_segment *input)
{
    uint64_t id = input->id;
    enum bitcask_status status;

    bitcask_background_forget(&cask->background, input);
    bitcask_commit_forget(&cask->commit, input);
    status = bitcask_commit_remove_files(cask->io, cask->directory, id);
    if (status == BITCASK_OK)
        bitcask_commit_drop(&cask->commit, id);
    return status;
}

static enum bitcask_status remove_inputs(struct bitcask *cask,
                                         const struct bitcask_switch *change)
{
    enum bitcask_status first = BITCASK_OK;

    bitcask_keydir_wait_readers(cask->keydir, wait_for_readers, cask->io);
    for (size_t i = 0; i < change->input_count; i++) {
        enum bitcask_status status = remove_input(cask, change->inputs[i]);

        if (first == BITCASK_OK)
            first = status;
    }
    return first;
}

/*
 * If an output cannot be read back the keydir goes on pointing to the inputs, which then
 * stay for as long as the cask is open: they have the same records.
 */
static enum bitcask_status repoint(struct bitcask_merge_copier *copier,
                                   const struct bitcask_switch *change)
{
    for (size_t i = 0; i < change->output_count; i++) {
        enum bitcask_status status = bitcask_merge_repoint(copier, change->outputs[i]);

        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

static enum bitcask_status finish(struct bitcask_merge_finisher *finisher,
                                  const struct bitcask_switch *change)
{
    enum bitcask_status status = repoint(finisher->copier, change);

    if (status == BITCASK_OK)
        status = remove_inputs(finisher->cask, change);
    free(change->inputs);
    free(change->outputs);
    return status;
}

static void *run_finisher(void *context)
{
    struct bitcask_merge_finisher *finisher = context;
    struct bitcask_merges *merges = &finisher->cask->merges;

    (void)pthread_mutex_lock(&merges->lock);
    while (finisher->busy || !finisher->end) {
        enum bitcask_status status;

        if (!finisher->busy) {
            (void)pthread_cond_wait(&merges->changed, &merges->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&merges->lock);
        status = finish(finisher, &finisher->change);
        (void)pthread_mutex_lock(&merges->lock);
        if (status != BITCASK_OK && finisher->status == BITCASK_OK) {
            finisher->status = status;
            (void)strncpy(finisher->detail, bitcask_error_detail(),
                          sizeof finisher->detail - 1);
        }
        finisher->busy = false;
        merges->finishing = false;
        (void)pthread_cond_broadcast(&merges->changed);
    }
    (void)pthread_mutex_unlock(&merges->lock);
    return NULL;
}

enum bitcask_status bitcask_merge_finisher_start(struct bitcask_merge_finisher **out,
                                                 struct bitcask_merge_run *run)
{
    struct bitcask_merge_finisher *finisher = calloc(1, sizeof *finisher);
    sigset_t all, before;
    enum bitcask_status status;

    if (finisher == NULL)
        return bitcask_fail_memory(sizeof *finisher);
    finisher->cask = run->cask;
    status = bitcask_merge_copier_create_to_repoint(&finisher->copier, run);
    if (status != BITCASK_OK) {
        bitcask_merge_copier_free(finisher->copier);
        free(finisher);
        return status;
    }
    if (bitcask_merge_is_fast(run)) {
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        finisher->has_thread =
            pthread_create(&finisher->thread, NULL, run_finisher, finisher) == 0;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    *out = finisher;
    return BITCASK_OK;
}

enum bitcask_status bitcask_merge_finisher_end(struct bitcask_merge_finisher *finisher)
{
    struct bitcask_merges *merges = &finisher->cask->merges;
    enum bitcask_status status;

    if (finisher->has_thread) {
        (void)pthread_mutex_lock(&merges->lock);
        finisher->end = true;
        (void)pthread_cond_broadcast(&merges->changed);
        (void)pthread_mutex_unlock(&merges->lock);
        (void)pthread_join(finisher->thread, NULL);
    }
    status = finisher->status;
    if (status != BITCASK_OK)
        bitcask_fail(status, "%s", finisher->detail);
    bitcask_merge_copier_free(finisher->copier);
    free(finisher);
    return status;
}

/* With the lock held. */
static bool wait_until_idle(struct bitcask_merge_finisher *finisher)
{
    struct bitcask_merges *merges = &finisher->cask->merges;
    bool waited = finisher->busy;

    while (finisher->busy)
        (void)pthread_cond_wait(&merges->changed, &merges->lock);
    return waited;
}

bool bitcask_merge_finisher_drain(struct bitcask_merge_finisher *finisher)
{
    struct bitcask_merges *merges = &finisher->cask->merges;
    bool waited;

    (void)pthread_mutex_lock(&merges->lock);
    waited = wait_until_idle(finisher);
    (void)pthread_mutex_unlock(&merges->lock);
    return waited;
}

enum bitcask_status bitcask_merge_finish(struct bitcask_merge_finisher *finisher,
                                         const struct bitcask_switch *change)
{
    struct bitcask_merges *merges = &finisher->cask->merges;

    if (!finisher->has_thread)
        return finish(finisher, change);
    (void)pthread_mutex_lock(&merges->lock);
    (void)wait_until_idle(finisher);
    finisher->change = *change;
    finisher->busy = true;
    merges->finishing = true;
    (void)pthread_cond_broadcast(&merges->changed);
    (void)pthread_mutex_unlock(&merges->lock);
    return BITCASK_OK;
}
