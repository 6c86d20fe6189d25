/* SPDX-License-Identifier: MIT */
#include "test/linear.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATES_MAX = 5000,
    LINES_BEFORE = 6 /* of calls that had ended, when one is explained */
};

static const uint64_t absent = 0; /* as the value of a key */

/* A beginning or an end. */
struct event {
    uint64_t time;
    size_t call;
};

/* What can be the case at some moment. */
struct state {
    uint64_t value;
    uint64_t done; /* a bit for each open call: it has happened */
};

struct states {
    struct state *items;
    size_t count;
    size_t capacity;
};

/* The last beginning of a read of a value. */
struct last_read {
    uint64_t value;
    uint64_t begin;
};

struct search {
    const struct linear_call *calls;
    struct last_read *last_reads; /* by value, each one once */
    size_t last_read_count;
    const struct linear_call *open[LINEAR_OPEN_MAX]; /* NULL: the place is free */
    uint64_t reads;                                  /* the places of open reads */
    uint64_t writes;                                 /* and of the other open calls */
    struct states now;
    struct states next;
    struct states tried; /* on the way to the next ones */
    enum linear_answer answer;
};

static bool is_read(enum linear_kind kind)
{
    return kind == LINEAR_GET || kind == LINEAR_ABSENT || kind == LINEAR_PRESENT;
}

/* Whether @call can happen while the key has @value. */
static bool can_happen(const struct linear_call *call, uint64_t value)
{
    switch (call->kind) {
    case LINEAR_GET:
        return value == call->value;
    case LINEAR_ABSENT:
        return value == absent;
    case LINEAR_PRESENT:
    case LINEAR_DELETE:
        return value != absent;
    case LINEAR_PUT:
    case LINEAR_ERASE:
        return true;
    }
    return false;
}

static int compare_events(const void *left, const void *right)
{
    const struct event *a = left;
    const struct event *b = right;

    return a->time < b->time ? -1 : a->time > b->time;
}

static int compare_last_reads(const void *left, const void *right)
{
    const struct last_read *a = left;
    const struct last_read *b = right;

    if (a->value != b->value)
        return a->value < b->value ? -1 : 1;
    return a->begin > b->begin ? -1 : a->begin < b->begin;
}

/* When a read of @value begins for the last time; 0: there is none. */
static uint64_t last_read_of(const struct search *search, uint64_t value)
{
    size_t low = 0, high = search->last_read_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (search->last_reads[middle].value == value)
            return search->last_reads[middle].begin;
        if (search->last_reads[middle].value < value)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

static bool collect_last_reads(struct search *search, size_t count)
{
    size_t kept = 0;

    search->last_reads = calloc(count + 1, sizeof *search->last_reads);
    if (search->last_reads == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (search->calls[i].kind == LINEAR_GET)
            search->last_reads[kept++] =
                (struct last_read){ search->calls[i].value, search->calls[i].begin };
    }
    if (kept > 1)
        qsort(search->last_reads, kept, sizeof *search->last_reads, compare_last_reads);
    for (size_t i = 0; i < kept; i++) { /* the first of each value is its last one */
        if (i == 0 || search->last_reads[i].value != search->last_reads[i - 1].value)
            search->last_reads[search->last_read_count++] = search->last_reads[i];
    }
    return true;
}

/*
 * Add @state, unless another one is as good: the same but for reads, and with all that
 * have happened in this one.
 */
static bool add(struct search *search, struct states *states, struct state state)
{
    size_t kept = 0;

    for (size_t i = 0; i < states->count; i++) {
        const struct state *other = &states->items[i];
        bool comparable = other->value == state.value &&
                          (other->done & ~search->reads) == (state.done & ~search->reads);

        if (comparable && (other->done & state.done) == state.done)
            return false;
        if (!comparable || (other->done & state.done) != other->done)
            states->items[kept++] = *other;
    }
    states->count = kept;
    if (kept == STATES_MAX) {
        search->answer = LINEAR_TOO_HARD;
        return false;
    }
    if (kept == states->capacity) {
        size_t capacity = states->capacity == 0 ? 64 : states->capacity * 2;
        struct state *items = realloc(states->items, capacity * sizeof *items);

        if (items == NULL) {
            search->answer = LINEAR_NO_MEMORY;
            return false;
        }
        states->items = items;
        states->capacity = capacity;
    }
    states->items[states->count++] = state;
    return true;
}

/* Let the open write at @place happen, and every open read that finds what it wrote. */
static struct state after(const struct search *search, struct state state, unsigned place)
{
    const struct linear_call *write = search->open[place];

    state.value = write->kind == LINEAR_PUT ? write->value : absent;
    state.done |= (uint64_t)1 << place;
    for (uint64_t left = search->reads & ~state.done; left != 0; left &= left - 1) {
        unsigned read = (unsigned)__builtin_ctzll(left);

        if (can_happen(search->open[read], state.value))
            state.done |= (uint64_t)1 << read;
    }
    return state;
}

/*
 * Whether the value of @state is still to be read by a call that begins after @time, so
 * that no write may happen before. Open reads of it have happened.
 */
static bool must_stay(const struct search *search, struct state state, uint64_t time)
{
    return state.value != absent && last_read_of(search, state.value) > time;
}

/*
 * From @state, in which the open call at @place has not happened, go on until it has, in
 * all ways, and add what comes of it to the next states. At most one write for each open
 * call is done, so this ends; what was tried from another state need not be again.
 */
static void reach(struct search *search, struct state state, unsigned place,
                  uint64_t time)
{
    if (search->answer != LINEAR_YES || must_stay(search, state, time))
        return;
    for (uint64_t left = search->writes & ~state.done; left != 0; left &= left - 1) {
        unsigned write = (unsigned)__builtin_ctzll(left);
        struct state then;

        if (!can_happen(search->open[write], state.value))
            continue;
        then = after(search, state, write);
        if ((then.done >> place & 1) != 0)
            (void)add(search, &search->next, then);
        else if (add(search, &search->tried, then))
            reach(search, then, place, time);
    }
}

/* The call at @place ends: it has happened in every state that is kept. */
static void end_call(struct search *search, unsigned place, uint64_t time)
{
    struct states swap = search->now;
    uint64_t bit = (uint64_t)1 << place;

    search->next.count = 0;
    search->tried.count = 0;
    for (size_t i = 0; i < search->now.count; i++) {
        if ((search->now.items[i].done & bit) != 0)
            (void)add(search, &search->next, search->now.items[i]);
        else
            reach(search, search->now.items[i], place, time);
    }
    search->now = search->next;
    search->next = swap;
    search->open[place] = NULL;
    search->reads &= ~bit;
    search->writes &= ~bit;

    /* What only differed in whether it had happened is the same now. */
    search->next.count = 0;
    for (size_t i = 0; i < search->now.count; i++)
        (void)add(search, &search->next,
                  (struct state){ search->now.items[i].value,
                                  search->now.items[i].done & ~bit });
    swap = search->now;
    search->now = search->next;
    search->next = swap;
}

static void begin_call(struct search *search, const struct linear_call *call)
{
    uint64_t taken = search->reads | search->writes;
    unsigned place;

    if (taken == UINT64_MAX) {
        search->answer = LINEAR_TOO_HARD;
        return;
    }
    place = (unsigned)__builtin_ctzll(~taken);
    search->open[place] = call;
    if (!is_read(call->kind)) {
        search->writes |= (uint64_t)1 << place;
        return;
    }
    search->reads |= (uint64_t)1 << place;
    for (size_t i = 0; i < search->now.count; i++) {
        if (can_happen(call, search->now.items[i].value))
            search->now.items[i].done |= (uint64_t)1 << place;
    }
}

static unsigned place_of(const struct search *search, const struct linear_call *call)
{
    unsigned place = 0;

    while (search->open[place] != call)
        place++;
    return place;
}

static void run(struct search *search, const struct event *events, size_t count,
                struct linear_verdict *verdict)
{
    for (size_t i = 0; i < count && search->answer == LINEAR_YES; i++) {
        const struct linear_call *call = &search->calls[events[i].call];

        if (events[i].time == call->begin) {
            begin_call(search, call);
            continue;
        }
        end_call(search, place_of(search, call), events[i].time);
        if (search->now.count > verdict->states_peak)
            verdict->states_peak = search->now.count;
        if (search->answer == LINEAR_YES && search->now.count == 0) {
            search->answer = LINEAR_NO;
            verdict->call = events[i].call;
        }
    }
}

struct linear_verdict linear_decide(const struct linear_call *calls, size_t count)
{
    struct linear_verdict verdict = { LINEAR_NO_MEMORY, 0, 0 };
    struct search search = { .calls = calls, .answer = LINEAR_YES };
    struct event *events = calloc(2 * count + 1, sizeof *events);

    if (events == NULL || !collect_last_reads(&search, count) ||
        !add(&search, &search.now, (struct state){ absent, 0 }))
        goto out;
    for (size_t i = 0; i < count; i++) {
        events[2 * i] = (struct event){ calls[i].begin, i };
        events[2 * i + 1] = (struct event){ calls[i].end, i };
    }
    qsort(events, 2 * count, sizeof *events, compare_events);
    run(&search, events, 2 * count, &verdict);
    verdict.answer = search.answer;

out:
    free(search.now.items);
    free(search.next.items);
    free(search.tried.items);
    free(search.last_reads);
    free(events);
    return verdict;
}

static const char *name_of(enum linear_kind kind)
{
    static const char *const names[] = {
        [LINEAR_PUT] = "put",   [LINEAR_ERASE] = "erased",  [LINEAR_DELETE] = "delete",
        [LINEAR_GET] = "found", [LINEAR_ABSENT] = "absent", [LINEAR_PRESENT] = "present",
    };

    return names[kind];
}

static int compare_ends(const void *left, const void *right)
{
    const struct linear_call *a = *(const struct linear_call *const *)left;
    const struct linear_call *b = *(const struct linear_call *const *)right;

    return a->end < b->end ? -1 : a->end > b->end;
}

/* Whether @call is worth a line: open at the end of @stuck, or about its value. */
static bool concerns(const struct linear_call *call, const struct linear_call *stuck)
{
    return call->begin < stuck->end &&
           (call->end >= stuck->begin ||
            (stuck->kind == LINEAR_GET && call->value == stuck->value));
}

void linear_explain(const struct linear_call *calls, size_t count, size_t call,
                    char *words, size_t size)
{
    const struct linear_call *stuck = &calls[call];
    const struct linear_call **lines = calloc(count + 1, sizeof *lines);
    size_t before = 0, used = 0;

    if (size > 0)
        words[0] = '\0';
    if (lines == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        lines[i] = &calls[i];
    qsort(lines, count, sizeof(struct linear_call *), compare_ends);
    for (size_t i = count; i-- > 0;) { /* from the newest; then those that it keeps */
        const struct linear_call *line = lines[i];

        lines[i] = NULL;
        if (line->end < stuck->begin && !is_read(line->kind) && before < LINES_BEFORE)
            before++;
        else if (!concerns(line, stuck))
            continue;
        lines[i] = line;
    }
    for (size_t i = 0; i < count && used < size; i++) {
        if (lines[i] == NULL)
            continue;
        used += (size_t)snprintf(
            words + used, size - used,
            "\n  %" PRIu64 " to %" PRIu64 " thread %u: %s %" PRIx64 "%s", lines[i]->begin,
            lines[i]->end, lines[i]->thread, name_of(lines[i]->kind), lines[i]->value,
            lines[i] == stuck ? "   <- cannot be" : "");
    }
    free(lines);
}
