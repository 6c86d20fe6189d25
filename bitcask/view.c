/* SPDX-License-Identifier: MIT */
/*
 * Reading without a copy. A view holds the segment whose mapping it shows: a pin would
 * keep merges waiting, so there is one only until the hold is there.
 */
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/cask.h"
#include "bitcask/status.h"

/* Where there is no mapping the view has bytes of its own. */
static enum bitcask_status view_copy(struct bitcask *cask, struct bitcask_slice key,
                                     const struct bitcask_place *place,
                                     struct bitcask_view *view)
{
    struct bitcask_buffer copy = { 0 };
    enum bitcask_status status = bitcask_cask_read(cask, key, place, &copy);

    if (status != BITCASK_OK)
        return status;
    view->value = (struct bitcask_slice){ copy.data, copy.size };
    view->copy = copy.data;
    return BITCASK_OK;
}

static enum bitcask_status view_place(struct bitcask *cask, struct bitcask_slice key,
                                      const struct bitcask_place *place,
                                      struct bitcask_view *view)
{
    struct bitcask_segment *segment;
    struct bitcask_slice value;
    enum bitcask_status status;

    status = bitcask_cask_look(cask, key, place, &segment, &value);
    if (status == BITCASK_OK && value.data == NULL)
        status = view_copy(cask, key, place, view);
    else if (status == BITCASK_OK) {
        bitcask_segment_hold(segment);
        view->value = value;
        view->segment = segment;
    }
    if (status == BITCASK_OK) {
        (void)atomic_fetch_add_explicit(&cask->view_count, 1, memory_order_relaxed);
        view->cask = cask;
        view->fork_count = cask->fork_count;
    }
    return status;
}

enum bitcask_status bitcask_view(struct bitcask *cask, struct bitcask_slice key,
                                 struct bitcask_view *view)
{
    struct bitcask_place place;
    struct bitcask_pin pin;
    enum bitcask_status status;

    if (view == NULL)
        return bitcask_fail_constant(BITCASK_MISUSE, "the place for the view is NULL");
    memset(view, 0, sizeof *view);
    status = bitcask_cask_find(cask, key, &place, &pin);
    if (status == BITCASK_OK) {
        status = view_place(cask, key, &place, view);
        bitcask_keydir_unpin(cask->keydir, pin);
    }
    return status;
}

void bitcask_view_release(struct bitcask_view *view)
{
    if (view == NULL)
        return;
    /* In a child made by fork() the cask may be gone, or its lock held for ever. */
    if (view->cask != NULL && view->fork_count == bitcask_fork_count()) {
        if (view->segment != NULL)
            bitcask_segment_let_go(&view->cask->segments, view->segment);
        (void)atomic_fetch_sub_explicit(&view->cask->view_count, 1, memory_order_relaxed);
    }
    free(view->copy);
    memset(view, 0, sizeof *view);
}
