/* SPDX-License-Identifier: MIT */
/*
 * The crash campaign: random histories on a simulated disk, cut at every call, with
 * several of the disks that each cut may leave. Each of those must open by itself, hold
 * a prefix of the history that is not shorter than what was promised, accept writes and
 * reopen to the same content; and while it does so it is cut again.
 *
 * Promises 2 to 6 of docs/durability.md.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/campaign/campaign.h"
#include "test/campaign/export.h"
#include "test/campaign/history.h"
#include "test/campaign/states.h"
#include "test/schedule.h"

enum {
    STATES_SHORT = 60000, /* distinct ones, that are tried */
    STATES_LONG = 1000000,
    DENSE_SHARE = 4, /* one history in so many is cut at every moment ... */
    SPARSE = 64,     /* ... the others at one in so many: they are many more */
    HANG_SECONDS = 60,
    EXPORT_SHARE = 4, /* more histories instead; another reader takes its time */
    DEPTH_MAX = 3     /* a crash, one while it recovers, one while that recovers */
};

/* What must have survived. */
struct floors {
    uint64_t kill; /* records, if only the process dies */
    uint64_t power;
};

struct run {
    struct campaign *campaign;
    struct states *states;
    uint64_t seed;   /* of the history */
    uint64_t moment; /* number of the cut at which we are */
    unsigned choice; /* number of the disk that it left */
    bool sparse;     /* cut only some moments */
    bool alone;      /* try only the next two */
    uint64_t alone_moment;
    unsigned alone_choice;
    bool failed; /* tell only the first failure of a history */
};

/* A history being written on a disk that is cut at its moments. */
struct scene {
    struct run *run;
    struct history *history;
    struct sim_disk *disk;
    struct floors floors; /* 0: those of the history, which is being written */
    bool tapped;          /* what is written are records of the history... */
    bool opening;         /* ...but for what an open writes again */
    unsigned depth;       /* how many crashes there were before */
    uint64_t moment;      /* so far on this disk */
    uint64_t cut_moment;  /* depth > 0: only there... */
    bool cut_everywhere;  /* ...or wherever something changes */
    uint64_t random;
};

static const char *const loss_words[SIM_LOSS_COUNT] = {
    "the process is killed",
    "the power fails, all unsynced is lost",
    "the power fails, all is kept",
    "the power fails, a first part of what was done is kept",
    "the power fails, anything may be kept",
};

static const char *const call_words[] = {
    [FAULT_DIRECTORY_CREATE] = "directory_create",
    [FAULT_DIRECTORY_OPEN] = "directory_open",
    [FAULT_DIRECTORY_OPEN_IN] = "directory_open_in",
    [FAULT_DIRECTORY_LIST] = "directory_list",
    [FAULT_DIRECTORY_SYNC] = "directory_sync",
    [FAULT_DIRECTORY_SYNC_PARENT] = "directory_sync_parent",
    [FAULT_OPEN] = "open",
    [FAULT_READ] = "read",
    [FAULT_WRITE] = "write",
    [FAULT_SYNC] = "sync",
    [FAULT_SIZE] = "size",
    [FAULT_TRUNCATE] = "truncate",
    [FAULT_ALLOCATE] = "allocate",
    [FAULT_MAP] = "map",
    [FAULT_LOCK] = "lock",
    [FAULT_RENAME] = "rename",
    [FAULT_MOVE] = "move",
    [FAULT_REMOVE] = "remove",
    [FAULT_RANDOM] = "random",
    [SIM_STORE] = "store",
};
static_assert(sizeof call_words / sizeof *call_words == FAULT_CALL_COUNT + 1,
              "every call has its word");

static void fail(struct run *run, const char *what, const char *words)
{
    if (run->failed)
        return;
    run->failed = true;
    campaign_try(run->campaign, "%" PRIu64 " %" PRIu64 " %u", run->seed, run->moment,
                 run->choice);
    campaign_failed(run->campaign, run->campaign->trying, "%s: %s", what, words);
}

static void check_disk(struct scene *before, struct sim_disk *disk, struct floors floors,
                       uint64_t random, const char *story);

/* What a crash at this moment leaves, checked. */
static void crash(struct scene *scene, const struct sim_moment *moment,
                  enum sim_loss loss, uint64_t seed)
{
    const struct history *history = scene->history;
    struct floors floors = scene->floors;
    struct sim_disk *left = sim_disk_after(scene->disk, loss, seed);
    char story[HISTORY_WORDS_MAX];

    sim_disk_set_capacity(left, UINT64_MAX);
    if (scene->tapped) {
        floors.kill = history->acked_sequence;
        floors.power = history->synced_sequence;
    }
    if (loss != SIM_KILL)
        floors.kill = floors.power;
    if (states_add(scene->run->states, sim_disk_hash(left), floors.kill)) {
        (void)snprintf(story, sizeof story,
                       "crash %u, %s %s of %s, moment %" PRIu64 " of its disk, %s",
                       scene->depth + 1,
                       moment->when == SIM_BEFORE   ? "before"
                       : moment->when == SIM_INSIDE ? "inside"
                                                    : "after",
                       call_words[moment->call],
                       moment->name[0] != '\0' ? moment->name : "the directory",
                       scene->moment, loss_words[loss]);
        check_disk(scene, left, floors, seed, story);
    }
    sim_disk_free(left);
}

static bool changes_something(int call)
{
    switch (call) {
    case FAULT_DIRECTORY_OPEN:
    case FAULT_DIRECTORY_LIST:
    case FAULT_READ:
    case FAULT_SIZE:
    case FAULT_MAP:
    case FAULT_LOCK:
    case FAULT_RANDOM:
        return false; /* a crash there is one before the next that does */
    default:
        return true;
    }
}

/* The disks to be tried at a moment of the first history. */
static const enum sim_loss losses[] = {
    SIM_KILL,         SIM_POWER_ANY,     SIM_POWER_ANY, SIM_POWER_ANY,
    SIM_POWER_PREFIX, SIM_POWER_NOTHING, SIM_POWER_ALL,
};

static void crash_in_many_ways(struct scene *scene, const struct sim_moment *moment)
{
    struct run *run = scene->run;

    run->moment = scene->moment;
    for (unsigned i = 0; i < sizeof losses / sizeof *losses; i++) {
        uint64_t seed = run->seed ^ scene->moment << 8 ^ i;

        if (run->alone && i != run->alone_choice)
            continue;
        run->choice = i;
        campaign_try(run->campaign, "%" PRIu64 " %" PRIu64 " %u", run->seed, run->moment,
                     i);
        (void)alarm(HANG_SECONDS);
        (void)campaign_random(&seed);
        crash(scene, moment, losses[i], campaign_random(&seed));
    }
}

static void cut_here(struct sim_disk *disk, const struct sim_moment *moment,
                     void *context)
{
    struct scene *scene = context;
    struct run *run = scene->run;

    (void)disk;
    if (scene->tapped && !scene->opening)
        history_tap(scene->history, moment);
    if (!changes_something(moment->call))
        return;
    scene->moment++;
    if (run->failed || scene->history->problem[0] != '\0')
        return;
    schedule_pause();
    if (scene->depth == 0) {
        uint64_t chance = run->seed ^ scene->moment;

        if (run->alone ? scene->moment == run->alone_moment
                       : !run->sparse || campaign_random_below(&chance, SPARSE) == 0)
            crash_in_many_ways(scene, moment);
    } else if (scene->cut_everywhere || scene->moment == scene->cut_moment) {
        uint64_t seed = campaign_random(&scene->random);

        crash(scene, moment,
              campaign_random_below(&seed, 3) == 0 ? SIM_KILL : SIM_POWER_ANY, seed);
    }
    schedule_resume();
}

static struct bitcask_options random_options(uint64_t *random)
{
    struct bitcask_options options = {
        .no_background = true,
        .no_mapping = campaign_random_below(random, 2) == 0,
        .sync = (enum bitcask_sync_mode)(BITCASK_SYNC_NONE +
                                         campaign_random_below(random, 3)),
        .sync_interval_ms = 1 + (uint32_t)campaign_random_below(random, 100),
        .threads = 1,
        .file_size_max = 4096,
        .expected_keys = 1,
        .merge_trigger_size = 1,
        .merge_dead_percent = 1 + (uint32_t)campaign_random_below(random, 2) * 49,
        .merge_rate = UINT64_MAX,
    };

    if (campaign_random_below(random, 6) ==
        0) /* the MANIFEST is written at other times */
        options.file_size_max = 1 << 20;
    return options;
}

/* A reader finds the same as a writer will, and changes nothing. */
static void check_read_only(struct run *run, const struct history *history,
                            struct sim_disk *disk, uint64_t floor, const char *story)
{
    const struct bitcask_options options = { .read_only = true, .threads = 1 };
    uint64_t hash = sim_disk_hash(disk);
    char words[HISTORY_WORDS_MAX];
    struct bitcask *cask = NULL;
    enum bitcask_status status =
        bitcask_open_with(sim_disk_io(disk), &cask, "/cask", &options);
    uint64_t kept;

    if (status == BITCASK_NOT_FOUND && floor == 0) /* it had not been made yet */
        return;
    if (status != BITCASK_OK)
        fail(run, story, bitcask_error_detail());
    else if (!history_judge(history, cask, floor, &kept, words))
        fail(run, story, words);
    (void)bitcask_close(cask);
    if (sim_disk_hash(disk) != hash)
        fail(run, story, "a read-only open has changed the disk");
}

/* The cask goes on: some writes, a close, and all of it is there again. */
static void check_goes_on(struct scene *scene, struct bitcask *cask,
                          const struct bitcask_options *options, const char *story)
{
    struct history *history = scene->history;
    struct history_session session = {
        .history = history,
        .cask = cask,
        .sync = options->sync,
        .interval_ms =
            options->sync == BITCASK_SYNC_INTERVAL ? options->sync_interval_ms : 0,
        .thread_count = 1,
        .alone = true,
        .random = scene->random,
    };
    unsigned step_count = 1 + (unsigned)campaign_random_below(&scene->random, 3);
    char words[HISTORY_WORDS_MAX];
    char later[HISTORY_WORDS_MAX + 60];
    struct sim_disk *after;
    uint64_t kept;

    scene->tapped = true;
    for (unsigned i = 0; i < step_count; i++)
        history_step(&session);
    history_end_view(&session);
    history_close(&session);
    sim_disk_set_hook(scene->disk, NULL, NULL);
    if (history->problem[0] != '\0') {
        fail(scene->run, story, history->problem);
        return;
    }

    (void)snprintf(later, sizeof later, "%s; then it went on, was closed, and lost power",
                   story);
    after = sim_disk_after(scene->disk, SIM_POWER_ANY, scene->random);
    if (bitcask_open_with(sim_disk_io(after), &cask, "/cask", options) != BITCASK_OK)
        fail(scene->run, later, bitcask_error_detail());
    else if (!history_judge(history, cask, history->last_sequence, &kept, words))
        fail(scene->run, later, words);
    else if (!history_judge_names(after, cask, words))
        fail(scene->run, later, words);
    if (bitcask_close(cask) != BITCASK_OK || sim_disk_open_count(after) != 0)
        fail(scene->run, story, "the last close left something open");
    if (!scene->run->failed && campaign_random_below(&scene->random, 8) == 0) {
        if (!history_judge_merged(history, after, options, words))
            fail(scene->run, later, words);
        campaign_count(scene->run->campaign, "disks merged as a whole", 1);
    }
    sim_disk_free(after);
}

/* Open, perhaps after an open that a failing call has ended. */
static enum bitcask_status open_through_faults(struct scene *scene,
                                               const struct bitcask_options *options,
                                               struct bitcask **cask)
{
    static const unsigned calls[] = { FAULT_BIT(FAULT_SYNC),
                                      FAULT_BIT(FAULT_DIRECTORY_SYNC),
                                      FAULT_BIT(FAULT_WRITE), FAULT_ANY };
    struct fault_plan plan = { .skip = (long)campaign_random_below(&scene->random, 12),
                               .partial_size =
                                   (size_t)campaign_random_below(&scene->random, 99),
                               .calls = calls[campaign_random_below(&scene->random, 4)] };
    enum bitcask_status status;

    if (campaign_random_below(&scene->random, 6) != 0)
        return bitcask_open_with(sim_disk_io(scene->disk), cask, "/cask", options);
    sim_disk_arm(scene->disk, &plan);
    status = bitcask_open_with(sim_disk_io(scene->disk), cask, "/cask", options);
    sim_disk_disarm(scene->disk);
    if (status == BITCASK_OK || sim_disk_failure_count(scene->disk) == 0)
        return status;
    campaign_count(scene->run->campaign, "recoveries ended by a failing call", 1);
    return bitcask_open_with(sim_disk_io(scene->disk), cask, "/cask", options);
}

static void check_disk(struct scene *before, struct sim_disk *disk, struct floors floors,
                       uint64_t random, const char *story)
{
    static struct history copies[DEPTH_MAX];
    struct run *run = before->run;
    struct history *history = &copies[before->depth];
    struct scene scene = { .run = run,
                           .history = history,
                           .disk = disk,
                           .floors = floors,
                           .depth = before->depth + 1,
                           .random = random };
    struct bitcask_options options = random_options(&scene.random);
    char words[HISTORY_WORDS_MAX];
    struct bitcask *cask = NULL;
    uint64_t kept;

    sim_disk_pass_ms(disk, campaign_random_below(&scene.random, 300));
    campaign_export(run->campaign, disk, EXPORT_SHARE, true, story);
    if (campaign_random_below(&scene.random, 8) == 0)
        check_read_only(run, before->history, disk, floors.kill, story);

    *history = *before->history;
    history->opened_ms = 0; /* the schedule stands still */
    if (scene.depth < DEPTH_MAX) {
        scene.cut_everywhere = campaign_random_below(&scene.random, 500) == 0;
        if (campaign_random_below(&scene.random, 4) == 0)
            scene.cut_moment = 1 + campaign_random_below(&scene.random, 60);
    }
    sim_disk_set_hook(disk, cut_here, &scene);
    if (open_through_faults(&scene, &options, &cask) != BITCASK_OK) {
        fail(run, story, bitcask_error_detail());
    } else if (!history_judge(history, cask, floors.kill, &kept, words)) {
        fail(run, story, words);
        sim_disk_set_hook(disk, NULL, NULL);
        (void)bitcask_close(cask);
    } else {
        history_cut(history, kept);
        check_goes_on(&scene, cask, &options, story);
    }
    if (sim_disk_open_count(disk) != 0)
        fail(run, story, "files are left open");
    if (run->failed)
        return;
    campaign_passed(run->campaign);
    campaign_count(run->campaign,
                   before->depth == 0   ? "disks left by a crash"
                   : before->depth == 1 ? "disks left by a crash during recovery from one"
                                        : "disks left by a third crash",
                   1);
}

/* THE HISTORIES */

/* One session: open, write, perhaps in several threads, close. */
struct sitting {
    struct scene *scene;
    struct history_session session;
    struct bitcask_options options;
    unsigned step_count;
};

static void *write_steps(void *context)
{
    struct sitting *sitting = context;
    struct history_session *session = &sitting->session;

    for (unsigned i = 0; i < sitting->step_count; i++) {
        history_step(session);
        if (campaign_random_below(&session->random, 10) == 0)
            history_sync(session);
        sim_disk_pass_ms(sitting->scene->disk,
                         campaign_random_below(&session->random, 20));
    }
    history_end_view(session);
    return NULL;
}

static void write_in_threads(const struct sitting *sitting, unsigned thread_count)
{
    struct sitting sittings[HISTORY_THREADS_MAX];
    pthread_t threads[HISTORY_THREADS_MAX];

    for (unsigned i = 0; i < thread_count; i++) {
        sittings[i] = *sitting;
        sittings[i].session.thread = i;
        sittings[i].session.random += i;
        if (pthread_create(&threads[i], NULL, write_steps, &sittings[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < thread_count; i++)
        (void)pthread_join(threads[i], NULL);
}

static uint64_t used_size(const struct sim_disk *disk)
{
    const char *name;
    uint64_t used = 0;

    for (size_t i = 0; (name = sim_disk_name(disk, "/cask", i)) != NULL; i++) {
        size_t size = 0;

        (void)sim_disk_file(disk, "/cask", name, &size);
        used += size;
    }
    return used;
}

/*
 * Let calls of a session fail: a sync, one that appends (its cut as well, perhaps), those
 * of a rotation, or all that would need more room than there is. A record that fails is
 * never written whole: of that one nobody could say whether it will be there.
 */
static void arm_session(struct scene *scene)
{
    static const struct fault_plan plans[] = {
        { .calls = FAULT_BIT(FAULT_SYNC) },
        { .calls = FAULT_BIT(FAULT_DIRECTORY_SYNC) },
        { .calls = FAULT_BIT(FAULT_WRITE) },
        { .calls = FAULT_BIT(FAULT_WRITE) | FAULT_BIT(FAULT_TRUNCATE), .count = 2 },
        { .calls =
              FAULT_BIT(FAULT_RENAME) | FAULT_BIT(FAULT_OPEN) | FAULT_BIT(FAULT_REMOVE) },
    };
    size_t kind = (size_t)campaign_random_below(&scene->random, 7);
    struct fault_plan plan = plans[kind < 5 ? kind : 0];

    if (kind == 6) {
        sim_disk_set_capacity(scene->disk,
                              used_size(scene->disk) +
                                  campaign_random_below(&scene->random, 12000));
        return;
    }
    /* Directories are synced, and files renamed, less often than written. */
    plan.skip = (long)campaign_random_below(
        &scene->random, plan.calls == FAULT_BIT(FAULT_DIRECTORY_SYNC) ? 4 : 20);
    plan.partial_size =
        (size_t)campaign_random_below(&scene->random, BITCASK_RECORD_HEADER_SIZE);
    sim_disk_arm(scene->disk, &plan);
}

/* Count the merges of a session, those too that began by themselves. */
static void count_merges(struct scene *scene, struct bitcask *cask)
{
    struct history *history = scene->history;
    struct bitcask_stat stat;

    if (bitcask_stat(cask, &stat) != BITCASK_OK)
        return;
    campaign_count(scene->run->campaign, "merges in them", history->merge_count);
    campaign_count(scene->run->campaign, "merges that began by themselves",
                   stat.merge_count - history->merge_count);
    if (stat.merge_failure != 0 && !history->may_fail)
        fail(scene->run, "without a crash", "a merge that began by itself failed");
}

/* With threads in the background something may expire while the judge looks. */
static bool judge_as_time_passes(const struct scene *scene, struct bitcask *cask,
                                 uint64_t *kept, char words[HISTORY_WORDS_MAX])
{
    const struct history *history = scene->history;
    struct bitcask_io *io = sim_disk_io(scene->disk);
    uint64_t began_ms;

    do {
        began_ms = io->wall_ms(io);
        if (history_judge(history, cask, history->acked_sequence, kept, words))
            return true;
    } while (io->wall_ms(io) != began_ms);
    return false;
}

/* False: something went wrong. */
static bool sit(struct scene *scene, unsigned thread_count, unsigned step_count)
{
    struct history *history = scene->history;
    struct sitting sitting = { .scene = scene, .step_count = step_count };
    struct bitcask_options *options = &sitting.options;
    char words[HISTORY_WORDS_MAX];
    enum bitcask_status status;
    uint64_t kept;

    *options = random_options(&scene->random);
    options->no_background =
        thread_count == 1 && campaign_random_below(&scene->random, 4) != 0;
    options->threads = 1 + (uint32_t)campaign_random_below(&scene->random, 2);
    options->merge_auto_off = !history->merges;
    scene->opening = true;
    history->opened_ms = sim_disk_io(scene->disk)->wall_ms(sim_disk_io(scene->disk));
    status = bitcask_open_with(sim_disk_io(scene->disk), &sitting.session.cask, "/cask",
                               options);
    scene->opening = false;
    if (status != BITCASK_OK) {
        fail(scene->run, "open without a crash", bitcask_error_detail());
        return false;
    }
    if (!judge_as_time_passes(scene, sitting.session.cask, &kept, words)) {
        fail(scene->run, "reopen without a crash", words);
        (void)bitcask_close(sitting.session.cask);
        return false;
    }
    history_cut(history, kept);
    history->merge_count = 0;
    if (campaign_random_below(&scene->random, 3) == 0) {
        history->may_fail = true;
        arm_session(scene);
    }
    sitting.session.history = history;
    sitting.session.sync = options->sync;
    if (options->sync == BITCASK_SYNC_INTERVAL && options->no_background)
        sitting.session.interval_ms = options->sync_interval_ms;
    sitting.session.thread_count = thread_count;
    sitting.session.alone = options->no_background;
    sitting.session.random = campaign_random(&scene->random);
    write_in_threads(&sitting, thread_count);
    history_look(&sitting.session);
    if (options->sync == BITCASK_SYNC_INTERVAL && !options->no_background &&
        campaign_random_below(&scene->random, 2) == 0)
        history_wait(&sitting.session, options->sync_interval_ms);
    count_merges(scene, sitting.session.cask);
    history_close(&sitting.session);
    sim_disk_disarm(scene->disk);
    sim_disk_set_capacity(scene->disk, UINT64_MAX);
    if (history->refuses)
        campaign_count(scene->run->campaign, "sessions ended by a failed sync", 1);
    if (history->problem[0] != '\0')
        fail(scene->run, "without a crash", history->problem);
    return !scene->run->failed;
}

/* The whole of a history, from an empty disk; run under a schedule. */
static void write_history(void *context)
{
    struct scene *scene = context;
    unsigned sitting_count = 1 + (unsigned)campaign_random_below(&scene->random, 3);
    unsigned thread_count = 1;

    if (campaign_random_below(&scene->random, 3) == 0)
        thread_count = 2 + (unsigned)campaign_random_below(&scene->random, 3);
    for (unsigned i = 0; i < sitting_count; i++) {
        unsigned step_count = (unsigned)campaign_random_below(&scene->random, 20);

        if (!sit(scene, thread_count, 1 + step_count / thread_count))
            return;
    }
    campaign_count(
        scene->run->campaign,
        thread_count > 1 ? "histories of several threads" : "histories of one thread", 1);
    if (!scene->run->sparse)
        campaign_count(scene->run->campaign, "histories cut at every call", 1);
    campaign_count(scene->run->campaign, "writes in them", scene->history->write_count);
    campaign_count(scene->run->campaign, "cuts of them", scene->moment);
}

/* The disk's clock goes on where a thread of the schedule waits for time to pass. */
static void pass_time(uint64_t ms, void *context)
{
    sim_disk_pass_ms(context, ms);
}

/* A schedule that is stuck has told why. */
static void tell_stuck(void *context)
{
    const struct run *run = context;

    campaign_try(run->campaign, "%" PRIu64 " 0 0", run->seed);
}

static void try_history(struct run *run)
{
    static struct history history;
    struct scene scene = { .run = run, .history = &history, .tapped = true };

    run->failed = false;
    scene.random = run->seed;
    scene.disk = sim_disk_new(run->seed);
    history_init(&history, run->seed);
    sim_disk_set_hook(scene.disk, cut_here, &scene);
    schedule_on_time(pass_time, scene.disk);
    schedule_on_stuck(tell_stuck, run);
    campaign_try(run->campaign, "%" PRIu64 " 0 0", run->seed);
    (void)alarm(HANG_SECONDS);
    schedule_run(run->seed, write_history, &scene);
    (void)alarm(0);
    if (sim_disk_open_count(scene.disk) != 0)
        fail(run, "without a crash", "files are left open");
    sim_disk_free(scene.disk);
}

int main(int argc, char **argv)
{
    struct campaign campaign;
    struct run run = { .campaign = &campaign };
    uint64_t target, seed;

    campaign_begin(&campaign, argc, argv, "crash");
    seed = campaign.seed * 1000003;
    target = campaign.is_long ? STATES_LONG : STATES_SHORT;
    target /= campaign.every;
    run.states = states_new();
    if (campaign.replay != NULL) {
        run.alone = true;
        if (sscanf(campaign.replay, "%" SCNu64 " %" SCNu64 " %u", &run.seed,
                   &run.alone_moment, &run.alone_choice) != 3) {
            campaign_refuse_replay(&campaign);
        }
        try_history(&run);
    }
    while (campaign.replay == NULL && states_count(run.states) < target) {
        run.seed = campaign_random(&seed) >> 1;
        run.sparse = run.seed % DENSE_SHARE != 0;
        try_history(&run);
    }
    campaign_count(&campaign, "distinct disks", states_count(run.states));
    states_free(run.states);
    return campaign_end(&campaign);
}
