/* SPDX-License-Identifier: MIT */
/*
 * Iterations and merges. A key that an iteration meets is a read of it, from the
 * beginning of the iteration to the end of the step; a key that it has not met at its
 * end is a read that finds nothing. With that the judge of each key's calls knows what
 * the iterator has promised: what is there all the time is met, what is absent all the
 * time is not, and a value is one that the key had meanwhile.
 */
#include "test/campaign/threads_crowd.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#include "test/campaign/campaign.h"

enum {
    FILES_MAX = 64 /* that are asked to be merged */
};

static uint64_t below(struct threads_member *member, uint64_t limit)
{
    return campaign_random_below(&member->random, limit);
}

/* What an iteration has met so far. */
struct walk {
    struct bitcask_iterator_options options;
    bool wants_value;
    bool met[THREADS_KEYS_MAX];
    char last[THREADS_KEY_SIZE_MAX]; /* the name of the key met before, ended by a zero */
    struct linear_call call;
};

static bool is_selected(const struct walk *walk, struct bitcask_slice name)
{
    const struct bitcask_slice *prefix = &walk->options.prefix;

    return prefix->size == 0 || memcmp(name.data, prefix->data, prefix->size) == 0;
}

/* The step has met @name: its key. THREADS_KEYS_MAX: that may not be. */
static unsigned meet(struct threads_member *member, struct walk *walk,
                     struct bitcask_slice name)
{
    unsigned key = threads_key_number(name);
    char text[THREADS_KEY_SIZE_MAX] = { 0 };

    if (key >= member->crowd->key_count) {
        threads_wrong(member, "an iteration has met a key that nobody has put");
        return THREADS_KEYS_MAX;
    }
    (void)threads_key(key, text);
    if (walk->met[key])
        threads_wrong(member, "an iteration has met key %u twice", key);
    else if (!is_selected(walk, name))
        threads_wrong(member, "an iteration has met key %u, which is not selected", key);
    else if (walk->options.sorted && strcmp(walk->last, text) >= 0)
        threads_wrong(member, "a sorted iteration has met %s behind %s", text,
                      walk->last);
    memcpy(walk->last, text, sizeof text);
    walk->met[key] = true;
    return key;
}

/* One step. false: it was the last one, or something is wrong. */
static bool step(struct threads_member *member, struct walk *walk,
                 struct bitcask_iterator *iterator)
{
    struct linear_call *call = &walk->call;
    struct bitcask_slice name, value;
    enum bitcask_status status =
        bitcask_iterator_next(iterator, &name, walk->wants_value ? &value : NULL);
    unsigned key;

    call->end = threads_now(member->crowd);
    if (status == BITCASK_NOT_FOUND)
        return false;
    if (status != BITCASK_OK) {
        threads_wrong(member, "iterator_next says %s: %s", bitcask_status_text(status),
                      bitcask_error_detail());
        return false;
    }
    key = meet(member, walk, name);
    if (key == THREADS_KEYS_MAX)
        return false;
    call->kind = LINEAR_PRESENT;
    call->value = 0;
    if (walk->wants_value && !walk->options.keys_only) {
        call->kind = LINEAR_GET;
        call->value = threads_value_read(key, value);
        if (call->value == 0)
            threads_wrong(member, "an iteration shows a torn value of key %u", key);
    }
    threads_log_add(&member->log, key, call);
    if (below(member, 8) == 0) {
        (void)sched_yield(); /* what it shows stays until the next step */
        if (threads_key_number(name) != key ||
            (call->value != 0 && threads_value_read(key, value) != call->value))
            threads_wrong(member, "what an iteration shows of key %u changes", key);
    }
    return member->wrong[0] == '\0';
}

/* All keys have gone by: those not met were absent for a moment. */
static void note_absent(struct threads_member *member, struct walk *walk)
{
    walk->call.kind = LINEAR_ABSENT;
    walk->call.value = 0;
    for (unsigned key = 0; key < member->crowd->key_count; key++) {
        char text[THREADS_KEY_SIZE_MAX];

        if (!walk->met[key] && is_selected(walk, threads_key(key, text)))
            threads_log_add(&member->log, key, &walk->call);
    }
}

void threads_iterate(struct threads_member *member)
{
    struct walk walk = { .wants_value = below(member, 4) != 0 };
    uint64_t step_count = below(member, 8) == 0 ? below(member, 20) : UINT64_MAX;
    struct bitcask_iterator *iterator = NULL;
    enum bitcask_status status;
    bool goes_on = true;

    walk.options.keys_only = below(member, 8) == 0;
    walk.options.sorted = below(member, 3) == 0;
    if (below(member, 3) == 0)
        walk.options.prefix = bitcask_text(below(member, 2) == 0 ? "a/" : "b/");
    walk.call.thread = member->number;
    walk.call.begin = threads_now(member->crowd);
    status = bitcask_iterator_open(member->crowd->cask, &walk.options, &iterator);
    if (status != BITCASK_OK) {
        threads_wrong(member, "iterator_open says %s", bitcask_status_text(status));
        return;
    }
    for (uint64_t i = 0; goes_on && i < step_count; i++)
        goes_on = step(member, &walk, iterator);
    if (!goes_on && member->wrong[0] == '\0')
        note_absent(member, &walk);
    bitcask_iterator_close(iterator);
    member->counters[THREADS_ITERATIONS]++;
}

void *threads_run_iterations(void *context)
{
    struct threads_member *member = context;

    while (!atomic_load_explicit(&member->crowd->stops, memory_order_relaxed)) {
        threads_iterate(member);
        (void)sched_yield();
    }
    return NULL;
}

/* Some of the files there are. */
struct files {
    struct threads_member *member;
    uint64_t ids[FILES_MAX];
    size_t count;
};

static enum bitcask_status choose_file(const struct bitcask_segment_stat *segment,
                                       void *context)
{
    struct files *files = context;

    if (files->count < FILES_MAX && below(files->member, 2) == 0)
        files->ids[files->count++] = segment->id;
    return BITCASK_OK;
}

void threads_merge(struct threads_member *member)
{
    struct bitcask *cask = member->crowd->cask;
    struct bitcask_merge_options options = { 0 };
    struct files files = { .member = member };
    enum bitcask_status status;

    options.choice = (enum bitcask_merge_choice)below(member, 3);
    options.max_ms = below(member, 4) == 0 ? 1 + below(member, 5) : 0;
    if (options.choice == BITCASK_MERGE_FILES) {
        status = bitcask_stat_segments(cask, choose_file, &files);
        if (status != BITCASK_OK)
            threads_wrong(member, "stat_segments says %s", bitcask_status_text(status));
        options.file_ids = files.ids;
        options.file_count = files.count;
    }
    status = bitcask_merge(cask, &options, NULL);
    /* Another merge may have replaced what was chosen. */
    if (status != BITCASK_OK &&
        (status != BITCASK_NOT_FOUND || options.choice != BITCASK_MERGE_FILES))
        threads_wrong(member, "merge says %s: %s", bitcask_status_text(status),
                      bitcask_error_detail());
    member->counters[THREADS_MERGES]++;
}

void *threads_run_merges(void *context)
{
    struct threads_member *member = context;

    while (!atomic_load_explicit(&member->crowd->stops, memory_order_relaxed)) {
        struct timespec pause = { 0, (long)below(member, 1000000) };

        threads_merge(member);
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}
