/* SPDX-License-Identifier: MIT */
/*
 * Repairing: what goes to quarantine, and under which name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/file_name.h"
#include "bitcask/repair.h"

static enum bitcask_status add_name(const char *name, void *context)
{
    return bitcask_buffer_append(context, name, strlen(name) + 1);
}

/* What is in quarantine from before. */
static enum bitcask_status list_quarantine(struct bitcask_repair_plan *plan)
{
    bitcask_file quarantine;
    enum bitcask_status status = plan->io->directory_open_in(
        plan->io, plan->directory, BITCASK_QUARANTINE_NAME, false, &quarantine);

    if (status == BITCASK_NOT_FOUND)
        return BITCASK_OK;
    if (status == BITCASK_OK) {
        status = plan->io->directory_list(plan->io, quarantine, add_name, &plan->taken);
        plan->io->close(plan->io, quarantine);
    }
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "list the directory " BITCASK_QUARANTINE_NAME
                                          " (if it is none, move it out of the way)");
    return BITCASK_OK;
}

static bool is_taken(const struct bitcask_repair_plan *plan, const char *name)
{
    const char *names = plan->taken.data;

    for (size_t i = 0; i < plan->taken.size; i += strlen(names + i) + 1) {
        if (strcmp(names + i, name) == 0)
            return true;
    }
    return false;
}

/* A free name for @from: its own, or with a number behind it. */
static enum bitcask_status find_place(struct bitcask_repair_plan *plan, const char *from,
                                      struct bitcask_repair_move *move)
{
    (void)snprintf(move->from, sizeof move->from, "%s", from);
    (void)snprintf(move->to, sizeof move->to, "%s", from);
    for (unsigned i = 2; is_taken(plan, move->to) && i < 1000000; i++)
        (void)snprintf(move->to, sizeof move->to, "%s.%u", from, i);
    return add_name(move->to, &plan->taken);
}

static uint64_t size_of(const struct bitcask_repair_plan *plan, const char *name)
{
    struct bitcask_io *io = plan->io;
    bitcask_file file;
    uint64_t size = 0;

    if (io->open(io, plan->directory, name, BITCASK_IO_READ, &file) != BITCASK_OK)
        return 0;
    if (io->size(io, file, &size) != BITCASK_OK)
        size = 0;
    io->close(io, file);
    return size;
}

static enum bitcask_status add_move(struct bitcask_repair_plan *plan, const char *from)
{
    struct bitcask_repair_move *move;

    if (plan->move_count == plan->move_capacity) {
        size_t capacity = plan->move_capacity > 0 ? 2 * plan->move_capacity : 8;
        struct bitcask_repair_move *grown =
            realloc(plan->moves, capacity * sizeof *grown);

        if (grown == NULL)
            return bitcask_fail_memory(capacity * sizeof *grown);
        plan->moves = grown;
        plan->move_capacity = capacity;
    }
    move = &plan->moves[plan->move_count++];
    move->size = size_of(plan, from);
    return find_place(plan, from, move);
}

/* Whether the hint of @id has to go: its data file does, or is not there, or it is bad.
 */
static bool is_hint_to_go(const struct bitcask_repair_plan *plan, uint64_t id)
{
    for (size_t i = 0; i < plan->file_count; i++) {
        const struct bitcask_repair_file *file = &plan->files[i];

        if (file->id == id)
            return !file->left && (file->action != BITCASK_REPAIR_KEEP ||
                                   file->survey.hint == BITCASK_HINT_BAD);
    }
    return true;
}

enum bitcask_status bitcask_repair_plan_moves(struct bitcask_repair_plan *plan)
{
    const uint64_t *hint_ids = plan->cask.listing.hint_ids.data;
    size_t hint_count = plan->cask.listing.hint_ids.size / sizeof *hint_ids;
    char name[BITCASK_NAME_SIZE];
    enum bitcask_status status = list_quarantine(plan);

    for (size_t i = 0; i < plan->file_count && status == BITCASK_OK; i++) {
        if (plan->files[i].left || plan->files[i].action == BITCASK_REPAIR_KEEP)
            continue;
        bitcask_data_name(name, plan->files[i].id);
        status = add_move(plan, name);
    }
    for (size_t i = 0; i < hint_count && status == BITCASK_OK; i++) {
        bitcask_hint_name(name, hint_ids[i]);
        if (is_hint_to_go(plan, hint_ids[i]))
            status = add_move(plan, name);
    }
    if (status == BITCASK_OK && plan->reserve_is_bad)
        status = add_move(plan, BITCASK_RESERVE_NAME);
    plan->manifest_is_copied = plan->cask.manifest_status != BITCASK_NOT_FOUND;
    if (status == BITCASK_OK && plan->manifest_is_copied)
        status = find_place(plan, BITCASK_MANIFEST_NAME, &plan->manifest_copy);
    return status;
}
