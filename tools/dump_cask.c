/* SPDX-License-Identifier: MIT */
/*
 * All files of a cask, in order of id, beside whoever writes it: merges take files away
 * that have not been read yet, and what was in them comes in others.
 */
#include "dump.h"

#include "interrupt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_SIZE = 4096,
    NAME_SIZE = 40,
    FILE_HEADER_SIZE = 64,
    ATTEMPTS_MAX = 50
};

/* Where a walk over a cask is. */
struct cask_walk {
    struct tool_dump *dump;
    char path[PATH_SIZE];
    char name[NAME_SIZE];
    struct bitcask_inspect_segment segment; /* of the file */
    struct tool_dump_walk walk;             /* with --follow: over the newest file */
    int code;
};

static bool is_done(const struct tool_dump *dump, uint64_t id)
{
    for (size_t i = dump->done_count; i > 0; i--)
        if (dump->done[i - 1] == id)
            return true;
    return false;
}

static bool is_unsealed(const struct bitcask_inspect_segment *segment)
{
    return segment->state == BITCASK_INSPECT_OPEN ||
           segment->state == BITCASK_INSPECT_PREPARED;
}

static bool is_outside(const struct bitcask_inspect_segment *segment)
{
    return segment->state == BITCASK_INSPECT_DRAFT ||
           segment->state == BITCASK_INSPECT_RETIRED ||
           segment->state == BITCASK_INSPECT_QUARANTINED;
}

/* The file of @segment must be there. */
static bool is_missed(const struct bitcask_inspect_segment *segment)
{
    return segment->size > FILE_HEADER_SIZE && !is_outside(segment) &&
           !segment->data_exists;
}

static void name_file(struct cask_walk *cask,
                      const struct bitcask_inspect_segment *segment, const char *suffix)
{
    cask->segment = *segment;
    snprintf(cask->name, sizeof cask->name, "%010" PRIu64 ".%s", segment->id, suffix);
    snprintf(cask->path, sizeof cask->path, "%s/%s", cask->dump->directory, cask->name);
}

/* Open the file that was named. NOT_FOUND: it is gone. */
static enum bitcask_status open_file(struct cask_walk *cask)
{
    cask->walk = (struct tool_dump_walk){
        .dump = cask->dump,
        .file = { .path = cask->path, .name = cask->name },
    };
    if (cask->dump->cask.manifest_intact)
        cask->walk.file.segment = &cask->segment;
    return tool_dump_walk_open(&cask->walk);
}

static void fail(struct cask_walk *cask, enum bitcask_status status)
{
    tool_say(cask->dump->tool, TOOL_LOG_ERROR, "%s", tool_detail(status));
    cask->code = tool_exit_worse(
        cask->code, status == BITCASK_NOT_FOUND ? TOOL_ERROR : tool_exit_of(status));
}

static void mark_done(struct cask_walk *cask, uint64_t id)
{
    struct tool_dump *dump = cask->dump;
    uint64_t *grown = realloc(dump->done, (dump->done_count + 1) * sizeof *grown);

    if (grown == NULL) {
        fail(cask, BITCASK_NO_MEMORY);
        return;
    }
    dump->done = grown;
    grown[dump->done_count++] = id;
}

/* The hint of the file that was named, for --header. */
static void show_hint(struct cask_walk *cask,
                      const struct bitcask_inspect_segment *segment)
{
    enum bitcask_status status;

    name_file(cask, segment, "hint");
    status = open_file(cask);
    if (status == BITCASK_OK)
        cask->code =
            tool_exit_worse(cask->code, tool_dump_file(cask->dump, &cask->walk, false));
    else if (status != BITCASK_NOT_FOUND)
        fail(cask, status);
    tool_dump_walk_release(&cask->walk);
}

/*
 * One data file; with @stay it is left open. False: it is gone, though it was there when
 * we looked.
 */
static bool show_data(struct cask_walk *cask,
                      const struct bitcask_inspect_segment *segment, bool stay)
{
    struct tool_dump *dump = cask->dump;
    enum bitcask_status status;

    name_file(cask, segment, "data");
    status = open_file(cask);
    if (status == BITCASK_NOT_FOUND) {
        tool_dump_walk_release(&cask->walk);
        return false;
    }
    if (status == BITCASK_OK)
        cask->code = tool_exit_worse(cask->code, tool_dump_file(dump, &cask->walk, stay));
    else
        fail(cask, status);
    mark_done(cask, segment->id);
    if (status == BITCASK_OK && stay)
        return true;
    tool_dump_walk_release(&cask->walk);
    if (dump->request->given & TOOL_OPTION_HEADER && segment->hint_exists) {
        struct bitcask_inspect_segment copy = *segment;

        show_hint(cask, &copy);
    }
    return true;
}

/* A file that is there but is no part of the cask, or one that should be there. */
static void mention(struct cask_walk *cask, const struct bitcask_inspect_segment *segment)
{
    struct tool_dump *dump = cask->dump;
    char text[80];

    name_file(cask, segment, "data");
    mark_done(cask, segment->id);
    if (is_missed(segment)) {
        tool_dump_note(dump, cask->name, "missing",
                       "is missing, though MANIFEST lists it");
        cask->code = tool_exit_worse(cask->code, TOOL_DAMAGED);
    } else if (segment->data_exists && dump->listing && !dump->selecting &&
               !(dump->request->given & (TOOL_OPTION_STATS | TOOL_OPTION_HEX))) {
        snprintf(text, sizeof text, "%s, no part of the cask",
                 bitcask_inspect_state_text(segment->state));
        tool_dump_note(dump, cask->name, "outside", text);
    }
}

/* The segment with the smallest id of those that are not done; NULL: there is none. */
static const struct bitcask_inspect_segment *next_segment(const struct cask_walk *cask,
                                                          uint64_t above)
{
    const struct bitcask_inspect_cask *seen = &cask->dump->cask;

    for (size_t i = 0; i < seen->segment_count; i++) {
        const struct bitcask_inspect_segment *segment = &seen->segments[i];

        if (segment->id > above && (segment->data_exists || is_missed(segment)))
            return segment;
    }
    return NULL;
}

/* Whether there is a record in the file of @segment. */
static bool has_record(const struct cask_walk *cask,
                       const struct bitcask_inspect_segment *segment)
{
    struct bitcask_inspector *inspector = NULL;
    struct bitcask_inspect_item item;
    char path[PATH_SIZE];
    bool found;

    snprintf(path, sizeof path, "%s/%010" PRIu64 ".data", cask->dump->directory,
             segment->id);
    found = bitcask_inspector_open(&inspector, path, segment->salt) == BITCASK_OK &&
            bitcask_inspector_next(inspector, &item) == BITCASK_OK && item.key_intact;
    bitcask_inspector_close(inspector);
    return found;
}

/* The unsealed file with records that has the highest id: more may come there. 0: none.
 */
static uint64_t find_newest(const struct cask_walk *cask)
{
    const struct bitcask_inspect_cask *seen = &cask->dump->cask;

    for (size_t i = seen->segment_count; i-- > 0;) {
        const struct bitcask_inspect_segment *segment = &seen->segments[i];

        if (is_unsealed(segment) && segment->data_exists && has_record(cask, segment))
            return segment->id;
    }
    return 0;
}

/* A file has gone since the last look: look again. */
static void note_vanished(struct cask_walk *cask)
{
    cask->dump->vanished = true;
    cask->code = tool_exit_worse(cask->code, tool_dump_look(cask->dump));
}

/*
 * Go through every file once. With --follow the one of @last comes at the end, and is
 * left open; those behind it, begun ahead, wait for their records.
 */
static void show_all(struct cask_walk *cask, uint64_t last)
{
    struct tool_dump *dump = cask->dump;
    const struct bitcask_inspect_segment *segment;
    bool following = (dump->request->given & TOOL_OPTION_FOLLOW) != 0;
    uint64_t id = 0;
    int attempts = 0;

    while (!tool_dump_is_over(dump) && (segment = next_segment(cask, id)) != NULL) {
        struct bitcask_inspect_segment found = *segment;

        if (!following || !is_unsealed(&found) || found.id < last) {
            if (is_outside(&found) || is_missed(&found)) {
                mention(cask, &found);
            } else if (!show_data(cask, &found, false) && attempts++ < ATTEMPTS_MAX) {
                note_vanished(cask);
                /* It is missing, if it still should be there. */
                segment = next_segment(cask, found.id - 1);
                if (segment != NULL && segment->id == found.id && is_missed(segment))
                    continue;
            }
        }
        id = found.id;
    }
    for (size_t i = 0; last != 0 && i < dump->cask.segment_count; i++)
        if (dump->cask.segments[i].id == last)
            (void)show_data(cask, &dump->cask.segments[i], true);
}

/* FOLLOWING. */

/*
 * The file in which the cask goes on behind the one that is followed: what a merge writes
 * has been shown, and is passed over.
 */
static const struct bitcask_inspect_segment *find_next(const struct cask_walk *cask)
{
    const struct bitcask_inspect_cask *seen = &cask->dump->cask;

    for (size_t i = 0; i < seen->segment_count; i++) {
        const struct bitcask_inspect_segment *segment = &seen->segments[i];

        if (!segment->data_exists || is_done(cask->dump, segment->id))
            continue;
        if (is_unsealed(segment) || (segment->state == BITCASK_INSPECT_SEALED &&
                                     segment->first_sequence > cask->dump->last_sequence))
            return segment;
    }
    return NULL;
}

/* If the writer has gone on to another file, go there. */
static bool step(struct cask_walk *cask)
{
    const struct bitcask_inspect_segment *next = find_next(cask);
    struct bitcask_inspect_segment found;

    if (next == NULL || !has_record(cask, next))
        return false;
    found = *next;
    if (cask->walk.file.inspector != NULL) { /* nothing is added to it any more */
        cask->code = tool_exit_worse(cask->code, tool_dump_walk_drain(&cask->walk));
        cask->code = tool_exit_worse(cask->code, tool_dump_walk_finish(&cask->walk));
        tool_dump_walk_release(&cask->walk);
    }
    return show_data(cask, &found, true);
}

static void follow(struct cask_walk *cask)
{
    struct tool_dump *dump = cask->dump;

    while (!tool_dump_is_over(dump)) {
        int code;

        if (cask->walk.file.inspector != NULL)
            cask->code = tool_exit_worse(cask->code, tool_dump_walk_drain(&cask->walk));
        tool_output_flush(&dump->tool->output);
        code = tool_dump_look(dump);
        cask->code = tool_exit_worse(cask->code, code);
        if (code == TOOL_ERROR) /* the directory is gone, say */
            break;
        if (step(cask))
            continue;
        tool_interrupt_wait(TOOL_DUMP_FOLLOW_MS);
    }
}

/* ALL OF IT. */

static bool has_data(const struct bitcask_inspect_cask *cask)
{
    for (size_t i = 0; i < cask->segment_count; i++)
        if (cask->segments[i].data_exists)
            return true;
    return false;
}

/* The MANIFEST, or that there is none. */
static int show_manifest(struct tool_dump *dump)
{
    const struct bitcask_inspect_cask *cask = &dump->cask;
    int code = TOOL_DONE;

    if (!cask->manifest_exists) {
        tool_dump_note(dump, "MANIFEST", "missing",
                       "is missing: what follows are the data files that there are");
        return TOOL_DAMAGED;
    }
    if (dump->listing && !dump->selecting &&
        !(dump->request->given & (TOOL_OPTION_STATS | TOOL_OPTION_HEX)))
        code = tool_dump_print_manifest(dump->tool, dump->request, "MANIFEST", cask);
    else if (!cask->manifest_intact)
        tool_dump_note(dump, "MANIFEST", "damaged_manifest",
                       "is damaged: what follows are the data files that there are");
    return cask->manifest_intact ? code : tool_exit_worse(code, TOOL_DAMAGED);
}

static int show_sum(struct tool_dump *dump)
{
    struct tool_dump_share share = tool_dump_share_of(dump, 0);

    if (!(dump->request->given & TOOL_OPTION_STATS) || dump->request->operand_count > 1)
        return TOOL_DONE;
    return tool_dump_print_counts(dump->tool, dump->request, NULL, dump->file_size_sum,
                                  &dump->sum, &share);
}

int tool_dump_cask(struct tool_dump *dump)
{
    struct cask_walk cask = { .dump = dump };
    bool following = (dump->request->given & TOOL_OPTION_FOLLOW) != 0;
    int code = TOOL_DONE;

    /* What is live is a moment's picture: the files are looked at after it. */
    if (dump->request->given & (TOOL_OPTION_LIVE | TOOL_OPTION_STATS))
        code = tool_dump_open_store(dump, (dump->request->given & TOOL_OPTION_LIVE) != 0);
    if (code == TOOL_DONE)
        code = tool_dump_look(dump);
    if (code != TOOL_DONE)
        return code;
    if (!dump->cask.manifest_exists && !has_data(&dump->cask)) {
        tool_say(dump->tool, TOOL_LOG_ERROR, "there is no cask at %s",
                 tool_name_of(bitcask_text(dump->directory)).text);
        return TOOL_ERROR;
    }
    cask.code = show_manifest(dump);
    show_all(&cask, following ? find_newest(&cask) : 0);
    if (following)
        follow(&cask);
    if (dump->vanished && dump->request->given & TOOL_OPTION_LIVE)
        tool_say(dump->tool, TOOL_LOG_WARN,
                 "a merge removed files meanwhile: a key that was set or deleted since "
                 "the beginning may be missing here");
    tool_dump_walk_release(&cask.walk);
    return tool_exit_worse(cask.code, show_sum(dump));
}
