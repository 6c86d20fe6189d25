/* SPDX-License-Identifier: MIT */
#include "test/campaign/fault_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "test/campaign/campaign.h"
#include "test/campaign/fault_words.h"
#include "test/test_alloc.h"

/* Also when a real clock reads what was written by a simulated one. */
#define FOR_EVER_MS 3000000000000u

void run_problem(struct run *run, const char *format, ...)
{
    va_list arguments;

    if (!run_is_well(run))
        return;
    va_start(arguments, format);
    (void)vsnprintf(run->problem, sizeof run->problem, format, arguments);
    va_end(arguments);
}

bool run_is_well(const struct run *run)
{
    return run->problem[0] == '\0';
}

void run_note_failure(struct run *run, const char *call, enum bitcask_status status)
{
    const char *wrong = words_wrong(status, run->path);

    run->failed_count++;
    if (wrong != NULL)
        run_problem(run, "%s says %s, %s: \"%s\"", call, bitcask_status_text(status),
                    wrong, bitcask_error_detail());
    else if (run->calm)
        run_problem(run, "%s says %s though nothing fails any more: %s", call,
                    bitcask_status_text(status), bitcask_error_detail());
}

static void settle(struct run *run)
{
    const struct ledger_state *match;
    struct ledger_state found;

    run_read(run, run->cask, &found);
    match = ledger_match(&run->ledger, run->ledger.acked_count, &found);
    if (match == NULL) {
        char has[200], wanted[200];

        ledger_print(&found, has, sizeof has);
        ledger_print(ledger_now(&run->ledger), wanted, sizeof wanted);
        run_problem(run, "after opening it holds%s, promised was%s", has, wanted);
        return;
    }
    found = *match;
    ledger_settle(&run->ledger, &found);
}

bool run_open(struct run *run)
{
    enum bitcask_status status;

    run->write_refused = false;
    run->sync_refused = false;
    if (run->calm)
        run->fault_met = false;
    run->cask = (struct bitcask *)run; /* not a cask */
    words_forget();
    status = bitcask_open_with(run->io, &run->cask, run->path, &run->options);
    if (status == BITCASK_OK) {
        settle(run);
        return true;
    }
    if (run->cask != NULL)
        run_problem(run, "a failing open leaves something behind");
    run->cask = NULL;
    if (!words_is_system(status) && status != BITCASK_LOCKED)
        run_problem(run, "open says %s: %s", bitcask_status_text(status),
                    bitcask_error_detail());
    run_note_failure(run, "open", status);
    return false;
}

bool run_may_be_refused(const struct run *run)
{
    return !run->no_disk_fault && (!run->calm || run->fault_met);
}

/*
 * A write that would make @state has said @status. Once writing has ended, by a failed
 * sync or what could not be cut off, it stays so until the cask is opened again.
 */
static void judge_write(struct run *run, const char *call, enum bitcask_status status,
                        const struct ledger_state *state)
{
    bool ended = run->write_refused || run->sync_refused;

    if (ended && status != BITCASK_FAILED) {
        run_problem(run, "%s says %s after writing had ended", call,
                    bitcask_status_text(status));
        return;
    }
    if (status == BITCASK_OK) {
        ledger_ack(&run->ledger, state);
        if (run->options.sync == BITCASK_SYNC_ALWAYS)
            ledger_synced(&run->ledger);
        return;
    }
    if (!words_is_system(status) && status != BITCASK_FAILED)
        run_problem(run, "%s says %s: %s", call, bitcask_status_text(status),
                    bitcask_error_detail());
    if (status == BITCASK_FAILED) {
        bool calm = run->calm;

        if (!run_may_be_refused(run))
            run_problem(run, "%s is refused: %s", call, bitcask_error_detail());
        run->write_refused = true;
        run->calm = false; /* it may go on for ever */
        run_note_failure(run, call, status);
        run->calm = calm;
    } else {
        run_note_failure(run, call, status);
    }
    if (status == BITCASK_IO || status == BITCASK_NO_SPACE || status == BITCASK_FAILED)
        ledger_fail(&run->ledger, state);
}

void run_put(struct run *run, unsigned key, uint32_t size)
{
    uint8_t bytes[LEDGER_VALUE_MAX];
    int number = ledger_new_value(&run->ledger, key, size);
    struct ledger_state state = *ledger_now(&run->ledger);
    enum bitcask_status status;

    words_forget();
    status = bitcask_put(run->cask, ledger_key(key),
                         ledger_value(&run->ledger, number, bytes));
    state.held[key] = ledger_held(&run->ledger, number);
    if (status == BITCASK_OK)
        run->lapsed[key] = false;
    judge_write(run, "put", status, &state);
}

static void write_expiring(struct run *run, unsigned key, uint32_t size, bool past)
{
    uint8_t bytes[LEDGER_VALUE_MAX];
    int number = ledger_new_value(&run->ledger, key, size);
    struct ledger_state state = *ledger_now(&run->ledger);
    uint64_t now_ms = run->io->wall_ms(run->io);
    enum bitcask_status status;

    words_forget();
    status = bitcask_put_expiring(run->cask, ledger_key(key),
                                  ledger_value(&run->ledger, number, bytes),
                                  past ? now_ms - 1000 : now_ms + FOR_EVER_MS);
    state.held[key] = past ? LEDGER_ABSENT : ledger_held(&run->ledger, number);
    if (status == BITCASK_OK)
        run->lapsed[key] = past;
    judge_write(run, "put_expiring", status, &state);
}

/* Nothing is written for a key that is absent, but the answer may need a sync. */
static void write_delete(struct run *run, unsigned key)
{
    struct ledger_state state = *ledger_now(&run->ledger);
    bool absent = state.held[key] == LEDGER_ABSENT;
    enum bitcask_status status;

    words_forget();
    status = bitcask_delete(run->cask, ledger_key(key));
    state.held[key] = LEDGER_ABSENT;
    if (status == BITCASK_NOT_FOUND) {
        if (!absent)
            run_problem(run, "delete does not find key %u", key);
        if (run->write_refused || run->sync_refused)
            run_problem(run, "delete says %s after writing had ended",
                        bitcask_status_text(status));
        return;
    }
    if (status == BITCASK_OK && absent && !run->lapsed[key])
        run_problem(run, "delete finds key %u, which is absent", key);
    judge_write(run, "delete", status, &state);
}

static uint32_t choose_size(struct run *run)
{
    switch (campaign_random_below(&run->random, 12)) {
    case 0:
        return 0;
    case 1:
        return 4096 + (uint32_t)campaign_random_below(&run->random, 1500);
    case 2:
    case 3:
        return 1000 + (uint32_t)campaign_random_below(&run->random, 1200);
    default:
        return 8 + (uint32_t)campaign_random_below(&run->random, 500);
    }
}

/* Keys come more than once in many batches. */
static void write_batch(struct run *run)
{
    static uint8_t bytes[RUN_PARTS_MAX][LEDGER_VALUE_MAX];
    struct bitcask_batch_part parts[RUN_PARTS_MAX] = { 0 };
    struct ledger_state state = *ledger_now(&run->ledger);
    size_t count = 1 + (size_t)campaign_random_below(&run->random, RUN_PARTS_MAX);
    bool lapsed[LEDGER_KEYS];
    enum bitcask_status status;

    memcpy(lapsed, run->lapsed, sizeof lapsed);
    for (size_t i = 0; i < count; i++) {
        unsigned key = (unsigned)campaign_random_below(&run->random, LEDGER_KEYS);
        uint32_t size = choose_size(run);

        parts[i].key = ledger_key(key);
        parts[i].deletes = campaign_random_below(&run->random, 4) == 0;
        lapsed[key] = false;
        if (parts[i].deletes) {
            state.held[key] = LEDGER_ABSENT;
        } else {
            int number = ledger_new_value(&run->ledger, key, size);

            parts[i].value = ledger_value(&run->ledger, number, bytes[i]);
            state.held[key] = ledger_held(&run->ledger, number);
        }
    }
    words_forget();
    status = bitcask_write_batch(run->cask, parts, count);
    if (status == BITCASK_OK)
        memcpy(run->lapsed, lapsed, sizeof lapsed);
    judge_write(run, "write_batch", status, &state);
}

void run_write(struct run *run)
{
    unsigned key = (unsigned)campaign_random_below(&run->random, LEDGER_KEYS);
    uint64_t kind = campaign_random_below(&run->random, 20);
    uint32_t size = choose_size(run);

    if (kind < 11)
        run_put(run, key, size);
    else if (kind < 15)
        write_delete(run, key);
    else if (kind < 18)
        write_batch(run);
    else
        write_expiring(run, key, size, kind == 18);
}

void run_sync(struct run *run)
{
    enum bitcask_status status;

    words_forget();
    status = bitcask_sync(run->cask);
    if (status == BITCASK_OK) {
        if (run->sync_refused)
            run_problem(run, "sync succeeds after one had failed");
        ledger_synced(&run->ledger);
        return;
    }
    if (run->options.read_only)
        run_problem(run, "sync of a read-only cask says %s", bitcask_status_text(status));
    if (!words_is_system(status) && status != BITCASK_FAILED)
        run_problem(run, "sync says %s: %s", bitcask_status_text(status),
                    bitcask_error_detail());
    if (status == BITCASK_FAILED && run_may_be_refused(run)) {
        bool calm = run->calm;

        run->calm = false;
        run_note_failure(run, "sync", status);
        run->calm = calm;
    } else {
        run_note_failure(run, "sync", status);
    }
    run->sync_refused = true;
}

void run_close(struct run *run)
{
    bool ended = run->write_refused || run->sync_refused;
    enum bitcask_status status;

    words_forget();
    status = bitcask_close(run->cask);
    run->cask = NULL;
    if (status == BITCASK_OK) {
        if (run->sync_refused)
            run_problem(run, "close succeeds after a sync had failed");
        ledger_synced(&run->ledger);
        return;
    }
    if (run->options.read_only)
        run_problem(run, "close of a read-only cask says %s",
                    bitcask_status_text(status));
    if (!words_is_system(status) && status != BITCASK_FAILED)
        run_problem(run, "close says %s: %s", bitcask_status_text(status),
                    bitcask_error_detail());
    if ((ended || status == BITCASK_FAILED) && run_may_be_refused(run)) {
        run->calm = false;
        run_note_failure(run, "close", status);
        run->calm = true;
    } else {
        run_note_failure(run, "close", status);
    }
}

static void check_reopened(struct run *run)
{
    char problem[sizeof run->problem];

    for (int again = 0; again < 2 && run_is_well(run); again++) {
        if (!run_open(run))
            break;
        if (run->options.read_only || again == 1) {
            run_look(run);
        } else {
            run_put(run, 0, 700);
            run_put(run, 1, 0);
            if (run->merges)
                run_merge(run, BITCASK_MERGE_ALL);
        }
        if (run->merges && run_is_well(run))
            run_check_merged(run, again == 1);
        if (run_is_well(run))
            run_close(run);
    }
    if (run_is_well(run))
        return;
    memcpy(problem, run->problem, sizeof problem);
    run->problem[0] = '\0';
    run_problem(run, "reopened: %.400s", problem);
}

void run_reopen(struct run *run, int low)
{
    struct bitcask *cask = NULL;
    struct ledger_state found;
    const struct ledger_state *match;

    words_forget();
    if (bitcask_open_with(run->io, &cask, run->path, &run->options) != BITCASK_OK) {
        run_problem(run, "it does not open: %s", bitcask_error_detail());
        return;
    }
    run_read(run, cask, &found);
    if (bitcask_close(cask) != BITCASK_OK)
        run_problem(run, "it does not close: %s", bitcask_error_detail());
    match = ledger_match(&run->ledger, low, &found);
    if (match == NULL) {
        char has[200], wanted[200];

        ledger_print(&found, has, sizeof has);
        ledger_print(&run->ledger.acked[low], wanted, sizeof wanted);
        run_problem(run, "reopened it holds%s, promised was%s or later", has, wanted);
        return;
    }
    found = *match;
    ledger_settle(&run->ledger, &found);
    check_reopened(run);
}

/* What @loss leaves must be from acked[@low] on. */
static void open_what_is_left(struct run *run, enum sim_loss loss, int low,
                              const char *words)
{
    static struct run left;
    struct sim_disk *disk =
        sim_disk_after(run->disk, loss, campaign_random(&run->random));

    left = *run;
    left.disk = disk;
    left.io = sim_disk_io(disk);
    left.calm = true;
    left.fault_met = false;
    left.options.no_background = true;
    left.options.threads = 1; /* all of it with allocations paused */
    run_reopen(&left, low);
    if (run_is_well(&left) && sim_disk_open_count(disk) != 0)
        run_problem(&left, "files are left open");
    if (!run_is_well(&left))
        run_problem(run, "%s: %.400s", words, left.problem);
    sim_disk_free(disk);
    run->left_count++;
}

void run_crash(struct run *run)
{
    uint64_t random = run->random;

    if (run->disk == NULL || run->options.read_only)
        return;
    test_alloc_pause();
    open_what_is_left(run, SIM_KILL, run->ledger.acked_count, "process killed");
    open_what_is_left(run, SIM_POWER_NOTHING, run->ledger.synced, "power lost, nothing");
    open_what_is_left(run, SIM_POWER_PREFIX, run->ledger.synced, "power lost, prefix");
    open_what_is_left(run, SIM_POWER_ANY, run->ledger.synced, "power lost");
    test_alloc_resume();
    run->random = random; /* the history goes on the same */
}
