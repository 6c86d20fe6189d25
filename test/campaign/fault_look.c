/* SPDX-License-Identifier: MIT */
/*
 * Reads of all kinds: each says what the ledger says, or, while something fails, that it
 * could not be read.
 */
#include <string.h>

#include "test/campaign/fault_run.h"
#include "test/campaign/fault_words.h"

static void note_unread(struct run *run, const char *call, enum bitcask_status status)
{
    const char *wrong = words_wrong(status, run->path);

    if (!words_is_system(status))
        run_problem(run, "%s says %s: %s", call, bitcask_status_text(status),
                    bitcask_error_detail());
    else if (wrong != NULL)
        run_problem(run, "%s says %s, %s: \"%s\"", call, bitcask_status_text(status),
                    wrong, bitcask_error_detail());
    else if (run->calm)
        run_problem(run, "%s says %s though nothing fails any more: %s", call,
                    bitcask_status_text(status), bitcask_error_detail());
}

void run_read(struct run *run, struct bitcask *cask, struct ledger_state *found)
{
    struct bitcask_buffer value = { 0 };

    for (unsigned key = 0; key < LEDGER_KEYS; key++) {
        struct bitcask_buffer before = value;
        enum bitcask_status status;

        words_forget();
        status = bitcask_get(cask, ledger_key(key), &value);
        if (status == BITCASK_OK) {
            found->held[key] = ledger_identify(&run->ledger, key, value.data, value.size);
            continue;
        }
        if (before.data != value.data || before.size != value.size)
            run_problem(run, "a failing get changes the buffer");
        if (status == BITCASK_NOT_FOUND) {
            found->held[key] = LEDGER_ABSENT;
        } else if (status == BITCASK_CORRUPT) {
            found->held[key] = LEDGER_DAMAGED;
        } else {
            found->held[key] = LEDGER_UNREAD;
            note_unread(run, "get", status);
        }
    }
    bitcask_buffer_release(&value);
}

static void compare(struct run *run, const char *call, const struct ledger_state *found)
{
    const struct ledger_state *expected = ledger_now(&run->ledger);
    char has[200], wanted[200];

    if (ledger_same(expected, found))
        return;
    ledger_print(found, has, sizeof has);
    ledger_print(expected, wanted, sizeof wanted);
    run_problem(run, "%s shows%s, acknowledged was%s", call, has, wanted);
}

static void ask_exists(struct run *run, struct ledger_state *found)
{
    const struct ledger_state *expected = ledger_now(&run->ledger);

    for (unsigned key = 0; key < LEDGER_KEYS; key++) {
        enum bitcask_status status;

        words_forget();
        status = bitcask_exists(run->cask, ledger_key(key));
        found->held[key] = LEDGER_UNREAD;
        if (status == BITCASK_NOT_FOUND)
            found->held[key] = LEDGER_ABSENT;
        else if (status != BITCASK_OK)
            note_unread(run, "exists", status);
        else if (expected->held[key] == LEDGER_ABSENT)
            found->held[key] = LEDGER_INVENTED;
    }
}

/* Of keys that have not come, before the end was reached, nothing is known. */
static void give_up(struct ledger_state *found)
{
    for (unsigned key = 0; key < LEDGER_KEYS; key++) {
        if (found->held[key] == LEDGER_ABSENT)
            found->held[key] = LEDGER_UNREAD;
    }
}

static void note_step(struct run *run, struct ledger_state *found,
                      enum bitcask_status status, struct bitcask_slice key,
                      struct bitcask_slice value)
{
    unsigned which = ledger_which_key(key);

    if (which == LEDGER_KEYS) {
        run_problem(run, "iteration invents a key");
        return;
    }
    if (found->held[which] != LEDGER_ABSENT)
        run_problem(run, "iteration shows key %u twice", which);
    if (status == BITCASK_OK) {
        found->held[which] = ledger_identify(&run->ledger, which, value.data, value.size);
    } else if (status == BITCASK_CORRUPT) {
        found->held[which] = LEDGER_DAMAGED;
    } else {
        found->held[which] = LEDGER_UNREAD;
        note_unread(run, "iterator_next", status);
    }
}

static void iterate(struct run *run, bool sorted, struct ledger_state *found)
{
    struct bitcask_iterator_options options = { .sorted = sorted };
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    enum bitcask_status status;
    int no_memory_count = 0;

    memset(found, 0, sizeof *found);
    words_forget();
    status = bitcask_iterator_open(run->cask, &options, &iterator);
    if (status != BITCASK_OK) {
        note_unread(run, "iterator_open", status);
        if (iterator != NULL)
            run_problem(run, "a failing iterator_open leaves something behind");
        give_up(found);
        return;
    }
    for (int step = 0; step <= 4 * LEDGER_KEYS && run_is_well(run); step++) {
        words_forget();
        status = bitcask_iterator_next(iterator, &key, &value);
        if (status == BITCASK_NOT_FOUND)
            break;
        if (status == BITCASK_NO_MEMORY) { /* the same again */
            note_unread(run, "iterator_next", status);
            if (++no_memory_count == 3)
                break;
            continue;
        }
        note_step(run, found, status, key, value);
    }
    if (status != BITCASK_NOT_FOUND)
        give_up(found);
    bitcask_iterator_close(iterator);
}

struct visited {
    uint64_t count;
    uint64_t data_size;
};

static enum bitcask_status visit_segment(const struct bitcask_segment_stat *segment,
                                         void *context)
{
    struct visited *visited = context;

    visited->count++;
    visited->data_size += segment->data_size;
    return BITCASK_OK;
}

static void ask_stat(struct run *run)
{
    struct bitcask_stat stat;
    struct visited visited = { 0 };
    enum bitcask_status status;

    words_forget();
    status = bitcask_stat(run->cask, &stat);
    if (status != BITCASK_OK) {
        note_unread(run, "stat", status);
        return;
    }
    status = bitcask_stat_segments(run->cask, visit_segment, &visited);
    if (status != BITCASK_OK) {
        note_unread(run, "stat_segments", status);
        return;
    }
    if (stat.segment_count != visited.count || stat.data_size != visited.data_size ||
        stat.live_size + stat.dead_size > stat.data_size ||
        stat.synced_sequence > stat.last_sequence)
        run_problem(run, "the numbers of stat contradict each other");
}

void run_look(struct run *run)
{
    struct ledger_state found;

    run_read(run, run->cask, &found);
    compare(run, "get", &found);
    ask_exists(run, &found);
    compare(run, "exists", &found);
    iterate(run, false, &found);
    compare(run, "iteration", &found);
    iterate(run, true, &found);
    compare(run, "sorted iteration", &found);
    ask_stat(run);
}
