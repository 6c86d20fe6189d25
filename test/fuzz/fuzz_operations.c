/* SPDX-License-Identifier: MIT */
/*
 * A history of operations on a cask on the simulated disk, beside a model of it. The
 * first byte of the input says how the cask is opened, the rest is one operation after
 * the other.
 *
 * - Every verb says what the model says, after each open and merge for all keys.
 * - Sequences are given out one by one.
 * - A process that dies, also inside an operation, loses nothing acknowledged; power that
 *   fails leaves a prefix of the history, no batch in part, with all that was synced.
 * - What is left opens, is written on, merged and closed like any other, and verify finds
 *   no damage in it.
 * - A reader beside the writer finds the same.
 */
#include "test/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "bitcask/verify.h"
#include "test/fuzz/fuzz_history.h"
#include "test/sim_disk.h"

#define DIRECTORY "/cask"

enum {
    OPERATIONS_MAX = 120,
    BATCH_MAX = 4,
    MOMENTS_MAX = 64, /* how far into an operation a crash may be */
    VIEWS_MAX = 3
};

struct run {
    struct fuzz_input input;
    struct fuzz_history history;
    struct sim_disk *disk;
    struct bitcask *cask;
    struct bitcask_options options;
    unsigned crashes; /* there have been */

    struct bitcask_view views[VIEWS_MAX]; /* held, of the writes beside them */
    struct fuzz_write viewed[VIEWS_MAX];

    /* A crash that is to come at the moment when the count is down. */
    unsigned countdown; /* 0: none */
    enum sim_loss loss;
    uint64_t seed;
    struct sim_disk *left;
    uint64_t lowest; /* so many writes must be on it */
};

static void release_views(struct run *run)
{
    static uint8_t bytes[FUZZ_VALUE_MAX];

    for (size_t i = 0; i < VIEWS_MAX; i++) {
        struct bitcask_slice value = fuzz_value(&run->viewed[i], bytes);

        if (run->views[i].value.data != NULL)
            fuzz_check(fuzz_same(value.data, value.size, run->views[i].value.data,
                                 run->views[i].value.size));
        bitcask_view_release(&run->views[i]);
    }
}

static struct bitcask_stat stat_of(struct run *run)
{
    struct bitcask_stat stat;

    fuzz_check(bitcask_stat(run->cask, &stat) == BITCASK_OK);
    return stat;
}

static void on_moment(struct sim_disk *disk, const struct sim_moment *moment,
                      void *context)
{
    struct run *run = context;

    (void)moment;
    if (run->countdown == 0 || --run->countdown > 0)
        return;
    run->left = sim_disk_after(disk, run->loss, run->seed);
    run->lowest = run->loss == SIM_KILL ? run->history.acknowledged : run->history.synced;
}

static void open_cask(struct run *run)
{
    sim_disk_set_hook(run->disk, on_moment, run);
    fuzz_check(bitcask_open_with(sim_disk_io(run->disk), &run->cask, DIRECTORY,
                                 &run->options) == BITCASK_OK);
}

static void close_cask(struct run *run)
{
    release_views(run);
    fuzz_check(bitcask_close(run->cask) == BITCASK_OK);
    fuzz_check(sim_disk_open_count(run->disk) == 0);
    run->cask = NULL;
}

/* Go on with @left, whatever of the history is in it, but for at least @lowest writes. */
static void go_on(struct run *run, struct sim_disk *left, uint64_t lowest)
{
    struct bitcask_verify_options options = { .threads = 1 };
    uint64_t last;

    sim_disk_set_hook(run->disk, NULL, NULL);
    release_views(run);
    (void)bitcask_close(run->cask);
    sim_disk_free(run->disk);
    run->disk = left;
    run->crashes++;
    /* Until recovery has come to its end, and has synced what it keeps. */
    run->history.acknowledged = lowest;
    open_cask(run);
    last = stat_of(run).last_sequence;
    fuzz_check(last >= lowest && last <= run->history.count);
    fuzz_check(fuzz_history_may_end(&run->history, last));
    run->history.count = last;
    run->history.acknowledged = last;
    run->history.synced = last;
    fuzz_history_check(&run->history, run->cask);
    if (run->crashes % 4 == 1) {
        close_cask(run);
        fuzz_check(bitcask_verify_with(sim_disk_io(run->disk), DIRECTORY, &options,
                                       NULL) == BITCASK_OK);
        open_cask(run);
        fuzz_check(stat_of(run).last_sequence == last);
        fuzz_history_check(&run->history, run->cask);
    }
}

static void crash(struct run *run)
{
    enum sim_loss loss = (enum sim_loss)(fuzz_take(&run->input) % SIM_LOSS_COUNT);
    uint64_t seed = fuzz_take(&run->input);
    uint64_t claimed = stat_of(run).synced_sequence;

    fuzz_check(claimed >= run->history.synced && claimed <= run->history.count);
    go_on(run, sim_disk_after(run->disk, loss, seed),
          loss == SIM_KILL ? run->history.acknowledged : claimed);
}

static void plan_crash(struct run *run)
{
    run->countdown = 1u + fuzz_take(&run->input) % MOMENTS_MAX;
    run->loss = (enum sim_loss)(fuzz_take(&run->input) % SIM_LOSS_COUNT);
    run->seed = fuzz_take(&run->input);
}

/* Add a write to the model, of which the input says the rest. */
static struct fuzz_write *next_write(struct run *run, unsigned key)
{
    struct fuzz_history *history = &run->history;
    struct fuzz_write *write = &history->writes[history->count + 1];
    unsigned size = fuzz_take(&run->input);

    fuzz_check(history->count < FUZZ_HISTORY_MAX);
    history->count++;
    memset(write, 0, sizeof *write);
    write->key = key % FUZZ_KEY_COUNT;
    write->value_seed = ++history->next_seed;
    write->value_size = size < 250 ? size * size / 50 : size * 19; /* to 4845 */
    return write;
}

static void acknowledge(struct run *run)
{
    run->history.acknowledged = run->history.count;
    if (run->options.sync == BITCASK_SYNC_ALWAYS)
        run->history.synced = run->history.count;
}

static void put(struct run *run, bool expires)
{
    static uint8_t bytes[FUZZ_VALUE_MAX];
    struct fuzz_write *write = next_write(run, fuzz_take(&run->input));
    struct bitcask_slice value = fuzz_value(write, bytes);
    struct bitcask_io *io = sim_disk_io(run->disk);

    if (expires) {
        write->expiry_ms = io->wall_ms(io) + fuzz_take(&run->input);
        fuzz_check(bitcask_put_expiring(run->cask, fuzz_key(write->key), value,
                                        write->expiry_ms) == BITCASK_OK);
    } else {
        fuzz_check(bitcask_put(run->cask, fuzz_key(write->key), value) == BITCASK_OK);
    }
    acknowledge(run);
    fuzz_history_check_key(&run->history, run->cask, write->key);
}

static void delete (struct run *run)
{
    unsigned key = fuzz_take(&run->input) % FUZZ_KEY_COUNT;
    uint64_t last = stat_of(run).last_sequence;
    struct bitcask_io *io = sim_disk_io(run->disk);
    bool there = fuzz_history_find(&run->history, key, io->wall_ms(io)) != NULL;

    /* In the model before the call, since a crash may be in it. */
    if (there)
        next_write(run, key)->deletes = true;
    fuzz_check(bitcask_delete(run->cask, fuzz_key(key)) ==
               (there ? BITCASK_OK : BITCASK_NOT_FOUND));
    fuzz_check(stat_of(run).last_sequence == last + there);
    acknowledge(run);
    fuzz_history_check_key(&run->history, run->cask, key);
}

static void write_batch(struct run *run)
{
    static uint8_t bytes[BATCH_MAX][FUZZ_VALUE_MAX];
    struct bitcask_batch_part parts[BATCH_MAX];
    unsigned count = 1u + fuzz_take(&run->input) % BATCH_MAX;

    memset(parts, 0, sizeof parts);
    for (unsigned i = 0; i < count; i++) {
        unsigned what = fuzz_take(&run->input);
        struct fuzz_write *write = next_write(run, what);

        write->deletes = (what & 8) != 0;
        write->opens_batch = i + 1 < count;
        parts[i].key = fuzz_key(write->key);
        parts[i].deletes = write->deletes;
        if (!write->deletes)
            parts[i].value = fuzz_value(write, bytes[i]);
    }
    fuzz_check(bitcask_write_batch(run->cask, parts, count) == BITCASK_OK);
    acknowledge(run);
    fuzz_history_check(&run->history, run->cask);
}

static void merge(struct run *run)
{
    struct bitcask_merge_options options = { 0 };
    uint64_t ids[4];
    unsigned how = fuzz_take(&run->input);
    enum bitcask_status status;

    options.choice = (enum bitcask_merge_choice)(how % 3);
    options.file_ids = ids;
    for (options.file_count = 0; options.file_count < (how >> 2) % 4;
         options.file_count++)
        ids[options.file_count] = 1u + fuzz_take(&run->input) % 16;
    status = bitcask_merge(run->cask, &options, NULL);
    fuzz_check(status == BITCASK_OK ||
               (status == BITCASK_NOT_FOUND && options.choice == BITCASK_MERGE_FILES));
    fuzz_history_check(&run->history, run->cask);
}

static void hold_view(struct run *run)
{
    unsigned what = fuzz_take(&run->input);
    size_t i = what / FUZZ_KEY_COUNT % VIEWS_MAX;
    unsigned key = what % FUZZ_KEY_COUNT;
    struct bitcask_io *io = sim_disk_io(run->disk);
    const struct fuzz_write *write =
        fuzz_history_find(&run->history, key, io->wall_ms(io));

    bitcask_view_release(&run->views[i]);
    fuzz_check(bitcask_view(run->cask, fuzz_key(key), &run->views[i]) ==
               (write != NULL ? BITCASK_OK : BITCASK_NOT_FOUND));
    if (write != NULL)
        run->viewed[i] = *write;
}

static void read_beside(struct run *run)
{
    struct bitcask_options options = { .read_only = true, .no_background = true };
    struct bitcask *reader = NULL;

    fuzz_check(bitcask_open_with(sim_disk_io(run->disk), &reader, DIRECTORY, &options) ==
               BITCASK_OK);
    fuzz_history_check(&run->history, reader);
    fuzz_check(bitcask_close(reader) == BITCASK_OK);
}

static void sync_all(struct run *run)
{
    fuzz_check(bitcask_sync(run->cask) == BITCASK_OK);
    run->history.synced = run->history.count;
    fuzz_check(stat_of(run).synced_sequence == run->history.count);
}

static void reopen(struct run *run)
{
    close_cask(run);
    run->history.synced = run->history.count;
    open_cask(run);
    fuzz_check(stat_of(run).last_sequence == run->history.count);
    fuzz_check(stat_of(run).cut_count == 0);
    fuzz_history_check(&run->history, run->cask);
}

static void operate(struct run *run)
{
    switch (fuzz_take(&run->input) % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        put(run, false);
        break;
    case 4:
        put(run, true);
        break;
    case 5:
    case 6:
        delete (run);
        break;
    case 7:
        write_batch(run);
        break;
    case 8:
        merge(run);
        break;
    case 9:
        sync_all(run);
        break;
    case 10:
        reopen(run);
        break;
    case 11:
        crash(run);
        break;
    case 12:
        hold_view(run);
        break;
    case 13:
        read_beside(run);
        break;
    case 14:
        sim_disk_pass_ms(run->disk, fuzz_take(&run->input));
        break;
    default: /* inside of the operation after it */
        plan_crash(run);
        break;
    }
}

/* One operation, and the crash in it, or in the recovery after it, if one is planned. */
static void step(struct run *run)
{
    operate(run);
    while (run->left != NULL) {
        struct sim_disk *left = run->left;

        run->left = NULL;
        go_on(run, left, run->lowest);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct run *run = fuzz_allocate(sizeof *run);
    unsigned how;

    run->input = (struct fuzz_input){ bytes, size };
    how = fuzz_take(&run->input);
    run->options = (struct bitcask_options){
        .no_background = true,
        .threads = 1,
        .file_size_max = 4096,
        .sync = (how & 1) != 0 ? BITCASK_SYNC_ALWAYS : BITCASK_SYNC_NONE,
        .no_mapping = (how & 2) != 0,
    };
    run->disk = sim_disk_new(how >> 3);
    if ((how & 4) != 0)
        sim_disk_set_no_allocate(run->disk);
    open_cask(run);
    for (int i = 0; i < OPERATIONS_MAX && run->input.size > 0 &&
                    run->history.count + BATCH_MAX < FUZZ_HISTORY_MAX;
         i++)
        step(run);
    run->countdown = 0; /* what is planned now comes too late */
    fuzz_history_check(&run->history, run->cask);
    close_cask(run);
    sim_disk_free(run->disk);
    free(run);
    return 0;
}
