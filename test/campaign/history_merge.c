/* SPDX-License-Identifier: MIT */
/* The merges of a history: which, what they may write, and what they promise. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/campaign/campaign.h"
#include "test/campaign/history_inside.h"

/* WHAT A MERGE WRITES */

static unsigned long id_of(const char *name)
{
    unsigned long id = strtoul(name, NULL, 10);

    if (id >= HISTORY_FILES_MAX)
        abort();
    return id;
}

bool history_is_output(const struct history *history, const char *name)
{
    return history->is_output[id_of(name)];
}

void history_note_copy(struct history *history, const struct bitcask_record *record,
                       const uint8_t *bytes, const char *name)
{
    unsigned number = history->order[record->sequence];
    const struct history_write *write = &history->writes[number];
    struct bitcask_slice expected = history_key(write->key);
    const uint8_t *key = bytes + bitcask_record_prefix_size(record);
    bool right = expected.size == record->key_size &&
                 memcmp(expected.data, key, expected.size) == 0;

    if (record->kind == BITCASK_RECORD_TOMBSTONE)
        right =
            right && record->value_size == 0 && (write->deletes || write->expiry_ms != 0);
    else
        right = right && !write->deletes && write->expiry_ms == record->expiry_ms &&
                history_value_equals(history, number, key + record->key_size,
                                     record->value_size);
    if (!right)
        history_problem(history, "record %" PRIu64 " was copied to %s as it never was",
                        record->sequence, name);
    history->is_output[id_of(name)] = true;
}

/* THE CALLS */

/* What bitcask_stat_segments() tells. */
struct files {
    uint64_t ids[HISTORY_FILES_MAX];
    size_t count;
    uint64_t record_count;
    uint64_t live_count;
    uint64_t tombstone_count;
};

static enum bitcask_status add_file(const struct bitcask_segment_stat *segment,
                                    void *context)
{
    struct files *files = context;

    if (files->count == HISTORY_FILES_MAX)
        abort();
    files->ids[files->count++] = segment->id;
    files->record_count += segment->record_count;
    files->live_count += segment->live_count;
    files->tombstone_count += segment->tombstone_count;
    return BITCASK_OK;
}

/* Keep some of them, in any order. */
static void choose_some(struct files *files, uint64_t *random)
{
    uint64_t share = 1 + campaign_random_below(random, 4);
    size_t kept = 0;

    for (size_t i = 0; i < files->count; i++) {
        size_t other = (size_t)campaign_random_below(random, i + 1);
        uint64_t id = files->ids[i];

        files->ids[i] = files->ids[other];
        files->ids[other] = id;
    }
    for (size_t i = 0; i < files->count; i++) {
        if (campaign_random_below(random, share + 1) != 0)
            files->ids[kept++] = files->ids[i];
    }
    files->count = kept;
}

static bool is_merged(struct bitcask *cask, char words[HISTORY_WORDS_MAX])
{
    struct files files = { .count = 0 };

    (void)bitcask_stat_segments(cask, add_file, &files);
    if (files.tombstone_count == 0 && files.record_count == files.live_count)
        return true;
    (void)snprintf(words, HISTORY_WORDS_MAX,
                   "after a merge of everything there are %" PRIu64 " records, %" PRIu64
                   " of them live, %" PRIu64 " tombstones",
                   files.record_count, files.live_count, files.tombstone_count);
    return false;
}

/* Before a file is removed all that was written is synced. */
static void take_merge_to_books(struct history_session *session, uint64_t acked,
                                const struct bitcask_merge_options *options,
                                const struct bitcask_merge_report *report,
                                enum bitcask_status status)
{
    struct history *history = session->history;
    char words[HISTORY_WORDS_MAX];

    if (status == BITCASK_NOT_FOUND) {
        if (session->alone || options->choice != BITCASK_MERGE_FILES)
            history_problem(history, "a merge does not find its files");
        return;
    }
    if (options->dry_run) {
        session->refused = false;
    } else if (report->input_count > 0) {
        history->merge_count++;
        if (acked > history->synced_sequence)
            history->synced_sequence = acked;
    } else {
        session->refused = false; /* it may find nothing to do */
    }
    history_judge_status(session, "a merge", status);
    if (!session->alone || history->may_fail)
        return;
    history_look(session);
    if (options->choice == BITCASK_MERGE_ALL && !options->dry_run &&
        !is_merged(session->cask, words))
        history_problem(history, "%.300s", words);
}

/* Under a schedule a step may be interrupted by another one, so nothing is static. */
void history_merge_step(struct history_session *session)
{
    struct history *history = session->history;
    struct files *files = calloc(1, sizeof *files);
    struct bitcask_merge_options options = { 0 };
    struct bitcask_merge_report report;
    uint64_t acked = history->acked_sequence; /* before the call */
    enum bitcask_status status;

    if (files == NULL)
        abort();
    (void)bitcask_stat_segments(session->cask, add_file, files);
    switch (campaign_random_below(&session->random, 5)) {
    case 0:
        break;
    case 1:
        options.choice = BITCASK_MERGE_ALL;
        break;
    default:
        options.choice = BITCASK_MERGE_FILES;
        choose_some(files, &session->random);
        options.file_ids = files->ids;
        options.file_count = files->count;
        break;
    }
    options.dry_run = campaign_random_below(&session->random, 16) == 0;
    history_begin_call(session, true);
    status = bitcask_merge(session->cask, &options, &report);
    take_merge_to_books(session, acked, &options, &report, status);
    free(files);
}

/* THE JUDGE */

/* Whether data file @name is one of those that are told of. */
struct file_search {
    const char *name;
    bool found;
};

static enum bitcask_status find_file(const struct bitcask_segment_stat *segment,
                                     void *context)
{
    struct file_search *search = context;

    search->found = search->found || strtoull(search->name, NULL, 10) == segment->id;
    return BITCASK_OK;
}

bool history_judge_names(const struct sim_disk *disk, struct bitcask *cask,
                         char words[HISTORY_WORDS_MAX])
{
    struct file_search search = { .found = false };

    for (size_t i = 0; (search.name = sim_disk_name(disk, "/cask", i)) != NULL; i++) {
        search.found = search.name[0] < '0' || search.name[0] > '9';
        (void)bitcask_stat_segments(cask, find_file, &search);
        if (!search.found) {
            (void)snprintf(words, HISTORY_WORDS_MAX, "%.40s is left over", search.name);
            return false;
        }
    }
    return true;
}

static void remove_hints(struct sim_disk *disk)
{
    const char *name;
    size_t i = 0;

    while ((name = sim_disk_name(disk, "/cask", i)) != NULL) {
        if (strstr(name, ".hint") != NULL)
            sim_disk_remove_file(disk, "/cask", name);
        else
            i++;
    }
}

void history_end_view(struct history_session *session)
{
    struct bitcask_slice value = session->view.value;

    if (value.data != NULL &&
        !history_value_equals(session->history, session->viewed, value.data, value.size))
        history_problem(session->history, "a view of write %u does not show it",
                        session->viewed);
    bitcask_view_release(&session->view);
}

void history_view(struct history_session *session, unsigned key, unsigned number)
{
    history_end_view(session);
    session->viewed = number;
    if (bitcask_view(session->cask, history_key(key), &session->view) == BITCASK_OK &&
        number == 0)
        history_problem(session->history, "a view of key %u shows what is gone", key);
}

/* Open @disk, merge all of it if @merges, and judge it. */
static bool judge_whole(const struct history *history, struct sim_disk *disk,
                        const struct bitcask_options *options, bool merges,
                        char words[HISTORY_WORDS_MAX])
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    struct bitcask *cask = NULL;
    uint64_t kept;
    bool right = false;

    if (bitcask_open_with(sim_disk_io(disk), &cask, "/cask", options) != BITCASK_OK ||
        (merges && bitcask_merge(cask, &all, NULL) != BITCASK_OK))
        (void)snprintf(words, HISTORY_WORDS_MAX, "%.300s", bitcask_error_detail());
    else
        right = history_judge(history, cask, history->last_sequence, &kept, words) &&
                is_merged(cask, words) && history_judge_names(disk, cask, words);
    if (bitcask_close(cask) != BITCASK_OK || sim_disk_open_count(disk) != 0) {
        (void)snprintf(words, HISTORY_WORDS_MAX, "the close of it left something open");
        right = false;
    }
    return right;
}

bool history_judge_merged(const struct history *history, struct sim_disk *disk,
                          const struct bitcask_options *options,
                          char words[HISTORY_WORDS_MAX])
{
    char found[HISTORY_WORDS_MAX] = "";
    bool right = judge_whole(history, disk, options, true, found);

    if (right) {
        remove_hints(disk);
        right = judge_whole(history, disk, options, false, found);
    }
    if (!right)
        (void)snprintf(words, HISTORY_WORDS_MAX, "after a merge of everything, %.300s",
                       found);
    return right;
}
