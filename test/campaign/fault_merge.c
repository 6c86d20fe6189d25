/* SPDX-License-Identifier: MIT */
/* Merges of which any call fails: they are told, change nothing, and are done later. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "test/campaign/fault_run.h"
#include "test/campaign/fault_words.h"

void run_merge(struct run *run, enum bitcask_merge_choice choice)
{
    const struct bitcask_merge_options options = { .choice = choice };
    bool ended = run->write_refused || run->sync_refused;
    struct bitcask_merge_report report;
    enum bitcask_status status;
    bool calm = run->calm;

    words_forget();
    status = bitcask_merge(run->cask, &options, &report);
    if (ended && report.input_count > 0)
        run_problem(run, "a merge replaces files after writing had ended");
    if (report.input_count > 0) /* all that was acknowledged is synced before */
        ledger_synced(&run->ledger);
    if (status == BITCASK_OK) {
        if (report.left_count > 0)
            run_problem(run, "a merge succeeds and leaves %" PRIu64 " files",
                        report.left_count);
        return;
    }
    if (!words_is_system(status) && status != BITCASK_FAILED)
        run_problem(run, "merge says %s: %s", bitcask_status_text(status),
                    bitcask_error_detail());
    if (status == BITCASK_FAILED) {
        if (!run_may_be_refused(run))
            run_problem(run, "merge is refused: %s", bitcask_error_detail());
        run->write_refused = true;
        run->calm = false; /* it may go on for ever */
    }
    run_note_failure(run, "merge", status);
    run->calm = calm;
}

struct found {
    uint64_t ids[256];
    size_t count;
    uint64_t dead_count;
    const char *left_over; /* a copy, or NULL */
    char name[64];
};

static enum bitcask_status add_file(const struct bitcask_segment_stat *segment,
                                    void *context)
{
    struct found *found = context;

    if (found->count == sizeof found->ids / sizeof *found->ids)
        abort();
    found->ids[found->count++] = segment->id;
    found->dead_count += segment->record_count - segment->live_count;
    return BITCASK_OK;
}

static enum bitcask_status check_name(const char *name, void *context)
{
    struct found *found = context;
    uint64_t id = strtoull(name, NULL, 10);
    bool known = name[0] < '0' || name[0] > '9';

    for (size_t i = 0; i < found->count; i++)
        known = known || found->ids[i] == id;
    if (!known) {
        strncpy(found->name, name, sizeof found->name - 1);
        found->left_over = found->name;
    }
    return BITCASK_OK;
}

void run_check_merged(struct run *run, bool opened)
{
    struct found found = { .count = 0 };
    struct bitcask_io *io = run->io;
    bitcask_file directory;

    if (bitcask_stat_segments(run->cask, add_file, &found) != BITCASK_OK)
        run_problem(run, "stat_segments: %s", bitcask_error_detail());
    if (found.dead_count > 0)
        run_problem(run, "a merge of everything leaves %" PRIu64 " dead records",
                    found.dead_count);
    if (!opened)
        return;
    if (io->directory_open(io, run->path, &directory) != BITCASK_OK ||
        io->directory_list(io, directory, check_name, &found) != BITCASK_OK)
        run_problem(run, "the directory cannot be listed");
    else
        io->close(io, directory);
    if (found.left_over != NULL)
        run_problem(run, "%s is left over", found.left_over);
}
