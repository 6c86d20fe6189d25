/* SPDX-License-Identifier: MIT */
#include "test/campaign/threads_crowd.h"

#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bitcask/cask.h"
#include "test/campaign/campaign.h"

enum {
    MULTI_GET_MAX = 20, /* more than the library takes at a time */
    BATCH_MAX = 6,
    BATCH_SIZE_MAX = 8192 /* of one value in a batch */
};

/*
 * ThreadSanitizer must not take the counting for an order that the library has made
 * between the threads, or it would miss races. What it runs on has strong atomics anyway.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COUNTING_ORDER memory_order_relaxed
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define COUNTING_ORDER memory_order_relaxed
#endif
#ifndef COUNTING_ORDER
#define COUNTING_ORDER memory_order_seq_cst
#endif

uint64_t threads_now(struct threads_crowd *crowd)
{
    return atomic_fetch_add_explicit(&crowd->time, 1, COUNTING_ORDER) + 1;
}

uint64_t threads_clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void threads_wrong(struct threads_member *member, const char *format, ...)
{
    va_list arguments;

    atomic_store_explicit(&member->crowd->stops, true, memory_order_relaxed);
    if (member->wrong[0] != '\0')
        return;
    va_start(arguments, format);
    (void)vsnprintf(member->wrong, sizeof member->wrong, format, arguments);
    va_end(arguments);
}

/* A call has said what it may not say. */
static void say_status(struct threads_member *member, const char *call,
                       enum bitcask_status status)
{
    threads_wrong(member, "thread %u: %s says %s: %s", member->number, call,
                  bitcask_status_text(status), bitcask_error_detail());
}

static uint64_t below(struct threads_member *member, uint64_t limit)
{
    return campaign_random_below(&member->random, limit);
}

static unsigned choose_key(struct threads_member *member)
{
    const struct threads_crowd *crowd = member->crowd;

    return (unsigned)below(member,
                           below(member, 8) != 0 ? crowd->hot_count : crowd->key_count);
}

static struct linear_call begin(struct threads_member *member, enum linear_kind kind)
{
    return (struct linear_call){
        .begin = threads_now(member->crowd),
        .kind = kind,
        .thread = member->number,
    };
}

static void end(struct threads_member *member, unsigned key, struct linear_call *call)
{
    call->end = threads_now(member->crowd);
    threads_log_add(&member->log, key, call);
}

static uint64_t next_value(struct threads_member *member, unsigned key)
{
    return threads_value_number(key, member->number, ++member->put_count);
}

/* What a read of @key has found, into @call. false: nothing that can be. */
static bool note_found(struct threads_member *member, const char *name, unsigned key,
                       enum bitcask_status status, struct bitcask_slice value,
                       struct linear_call *call)
{
    if (status == BITCASK_NOT_FOUND) {
        call->kind = LINEAR_ABSENT;
        return true;
    }
    if (status != BITCASK_OK) {
        say_status(member, name, status);
        return false;
    }
    call->kind = LINEAR_GET;
    call->value = threads_value_read(key, value);
    if (call->value == 0)
        threads_wrong(member, "thread %u: %s of key %u has a torn value of %zu bytes",
                      member->number, name, key, value.size);
    return call->value != 0;
}

void threads_put(struct threads_member *member, unsigned key)
{
    uint64_t number = next_value(member, key);
    struct bitcask_slice value = threads_value(number, member->bytes);
    char text[THREADS_KEY_SIZE_MAX];
    struct bitcask_slice name = threads_key(key, text);
    struct linear_call call = begin(member, LINEAR_PUT);
    enum bitcask_status status = bitcask_put(member->crowd->cask, name, value);

    call.value = number;
    end(member, key, &call);
    if (status != BITCASK_OK)
        say_status(member, "put", status);
    member->counters[THREADS_PUTS]++;
}

static void delete (struct threads_member *member, unsigned key)
{
    char text[THREADS_KEY_SIZE_MAX];
    struct bitcask_slice name = threads_key(key, text);
    struct linear_call call = begin(member, LINEAR_DELETE);
    enum bitcask_status status = bitcask_delete(member->crowd->cask, name);

    if (status == BITCASK_NOT_FOUND)
        call.kind = LINEAR_ABSENT;
    end(member, key, &call);
    if (status != BITCASK_OK && status != BITCASK_NOT_FOUND)
        say_status(member, "delete", status);
    member->counters[THREADS_DELETES]++;
}

void threads_get(struct threads_member *member, unsigned key)
{
    struct bitcask_buffer buffer = { 0 };
    char text[THREADS_KEY_SIZE_MAX];
    struct bitcask_slice name = threads_key(key, text);
    struct linear_call call = begin(member, LINEAR_GET);
    enum bitcask_status status = bitcask_get(member->crowd->cask, name, &buffer);
    uint64_t end_time = threads_now(member->crowd);

    if (note_found(member, "get", key, status,
                   (struct bitcask_slice){ buffer.data, buffer.size }, &call)) {
        call.end = end_time;
        threads_log_add(&member->log, key, &call);
    }
    bitcask_buffer_release(&buffer);
    member->counters[THREADS_GETS]++;
}

static void exists(struct threads_member *member, unsigned key)
{
    char text[THREADS_KEY_SIZE_MAX];
    struct bitcask_slice name = threads_key(key, text);
    struct linear_call call = begin(member, LINEAR_PRESENT);
    enum bitcask_status status = bitcask_exists(member->crowd->cask, name);

    if (status == BITCASK_NOT_FOUND)
        call.kind = LINEAR_ABSENT;
    end(member, key, &call);
    if (status != BITCASK_OK && status != BITCASK_NOT_FOUND)
        say_status(member, "exists", status);
    member->counters[THREADS_OTHER_CALLS]++;
}

/* The same result of the same call is noted once, so that not too many are open. */
static bool is_noted(const struct threads_log *log, size_t from, unsigned key,
                     const struct linear_call *call)
{
    for (size_t i = from; i < log->count; i++) {
        if (log->notes[i].key == key && log->notes[i].call.kind == call->kind &&
            log->notes[i].call.value == call->value)
            return true;
    }
    return false;
}

static void multi_get(struct threads_member *member)
{
    size_t count = 1 + (size_t)below(member, MULTI_GET_MAX);
    unsigned keys[MULTI_GET_MAX];
    char texts[MULTI_GET_MAX][THREADS_KEY_SIZE_MAX];
    struct bitcask_slice names[MULTI_GET_MAX];
    struct bitcask_buffer buffers[MULTI_GET_MAX] = { 0 };
    enum bitcask_status statuses[MULTI_GET_MAX];
    size_t noted = member->log.count;
    struct linear_call call;
    enum bitcask_status status;

    for (size_t i = 0; i < count; i++) {
        keys[i] = choose_key(member);
        names[i] = threads_key(keys[i], texts[i]);
    }
    call = begin(member, LINEAR_GET);
    status = bitcask_multi_get(member->crowd->cask, names, count, buffers, statuses);
    call.end = threads_now(member->crowd);
    if (status != BITCASK_OK)
        say_status(member, "multi-get", status);
    for (size_t i = 0; i < count; i++) {
        call.value = 0;
        if (status == BITCASK_OK &&
            note_found(member, "multi-get", keys[i], statuses[i],
                       (struct bitcask_slice){ buffers[i].data, buffers[i].size },
                       &call) &&
            !is_noted(&member->log, noted, keys[i], &call))
            threads_log_add(&member->log, keys[i], &call);
        bitcask_buffer_release(&buffers[i]);
    }
    member->counters[THREADS_MULTI_GETS]++;
}

/* Keys that are next to each other, so that none is there twice. */
static void write_batch(struct threads_member *member)
{
    unsigned key_count = member->crowd->key_count;
    unsigned first = choose_key(member);
    size_t count = 1 + (size_t)below(member, BATCH_MAX);
    struct bitcask_batch_part parts[BATCH_MAX] = { 0 };
    uint8_t *bytes[BATCH_MAX] = { 0 };
    char texts[BATCH_MAX][THREADS_KEY_SIZE_MAX];
    struct linear_call calls[BATCH_MAX];
    uint64_t begin_time;
    enum bitcask_status status;

    if (count > key_count)
        count = key_count;
    for (size_t i = 0; i < count; i++) {
        unsigned key = (first + (unsigned)i) % key_count;
        uint64_t number = next_value(member, key);
        struct bitcask_slice value = threads_value(number, member->bytes);

        parts[i].key = threads_key(key, texts[i]);
        parts[i].deletes = below(member, 3) == 0 || value.size > BATCH_SIZE_MAX;
        calls[i] = (struct linear_call){
            .value = parts[i].deletes ? 0 : number,
            .kind = parts[i].deletes ? LINEAR_ERASE : LINEAR_PUT,
            .thread = member->number,
        };
        if (parts[i].deletes)
            continue;
        bytes[i] = malloc(value.size);
        if (bytes[i] == NULL)
            abort();
        memcpy(bytes[i], value.data, value.size);
        parts[i].value = (struct bitcask_slice){ bytes[i], value.size };
    }
    begin_time = threads_now(member->crowd);
    status = bitcask_write_batch(member->crowd->cask, parts, count);
    for (size_t i = 0; i < count; i++) {
        calls[i].begin = begin_time;
        end(member, (first + (unsigned)i) % key_count, &calls[i]);
        free(bytes[i]);
    }
    if (status != BITCASK_OK)
        say_status(member, "batch", status);
    member->counters[THREADS_BATCHES]++;
}

/* Look at a view that is held once more, and end it. */
static void end_view(struct threads_member *member, unsigned i)
{
    unsigned last = --member->view_count;

    if (threads_value_read(member->views[i].key, member->views[i].view.value) !=
        member->views[i].value)
        threads_wrong(member,
                      "thread %u: a view of key %u, of value %" PRIx64
                      ", has changed before its release",
                      member->number, member->views[i].key, member->views[i].value);
    bitcask_view_release(&member->views[i].view);
    member->views[i] = member->views[last];
}

void threads_end_views(struct threads_member *member)
{
    while (member->view_count > 0)
        end_view(member, 0);
}

static void view(struct threads_member *member, unsigned key)
{
    char text[THREADS_KEY_SIZE_MAX];
    struct bitcask_slice name = threads_key(key, text);
    struct bitcask_view *view = &member->views[member->view_count].view;
    struct linear_call call = begin(member, LINEAR_GET);
    enum bitcask_status status = bitcask_view(member->crowd->cask, name, view);
    uint64_t end_time = threads_now(member->crowd);

    if (note_found(member, "view", key, status, view->value, &call)) {
        call.end = end_time;
        threads_log_add(&member->log, key, &call);
    }
    if (status == BITCASK_OK && call.value != 0) {
        member->views[member->view_count].key = key;
        member->views[member->view_count++].value = call.value;
    } else {
        bitcask_view_release(view);
    }
    if (member->view_count > 0 &&
        (member->view_count == THREADS_VIEWS_MAX || below(member, 4) == 0))
        end_view(member, (unsigned)below(member, member->view_count));
    member->counters[THREADS_VIEWS]++;
}

/* What changes nothing, and may not be in the way of anything either. */
static void other_call(struct threads_member *member)
{
    struct bitcask *cask = member->crowd->cask;
    struct bitcask_stat stat;
    enum bitcask_status status;
    bool due;

    switch (below(member, 4)) {
    case 0:
        status = bitcask_sync(cask);
        break;
    case 1:
        status = bitcask_stat(cask, &stat);
        if (status == BITCASK_OK && stat.merge_failure != 0)
            threads_wrong(
                member, "a merge that began by itself has failed: %s",
                bitcask_status_text((enum bitcask_status) - (int64_t)stat.merge_failure));
        break;
    case 2:
        status = bitcask_merge_due(cask, &due);
        break;
    default:
        status = bitcask_merge_pause(cask);
        if (status == BITCASK_OK) {
            (void)sched_yield();
            status = bitcask_merge_resume(cask);
        }
        break;
    }
    if (status != BITCASK_OK)
        say_status(member, "sync, stat, or a pause", status);
    member->counters[THREADS_OTHER_CALLS]++;
}

void threads_step(struct threads_member *member)
{
    /* Some members write more, some read more. */
    uint64_t chance = below(member, 1000) + member->number % 3 * 120;
    unsigned key = choose_key(member);

    if (chance < 330)
        threads_put(member, key);
    else if (chance < 450)
        delete (member, key);
    else if (chance < 490)
        write_batch(member);
    else if (chance < 500)
        other_call(member);
    else if (chance < 540)
        exists(member, key);
    else if (chance < 640)
        multi_get(member);
    else if (chance < 800)
        view(member, key);
    else
        threads_get(member, key);
    if (below(member, 50) == 0)
        (void)sched_yield();
}

void *threads_run_worker(void *context)
{
    struct threads_member *member = context;
    struct threads_crowd *crowd = member->crowd;

    for (uint64_t i = 0; i < crowd->call_count; i++) {
        if (atomic_load_explicit(&crowd->stops, memory_order_relaxed) ||
            (i % 64 == 63 && threads_clock_ms() > crowd->end_ms))
            break;
        threads_step(member);
    }
    threads_end_views(member);
    return NULL;
}
