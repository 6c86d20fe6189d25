/* SPDX-License-Identifier: MIT */
#include "test/campaign/history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "test/campaign/campaign.h"
#include "test/campaign/history_inside.h"

void history_problem(struct history *history, const char *format, ...)
{
    va_list arguments;

    if (history->problem[0] != '\0')
        return;
    va_start(arguments, format);
    (void)vsnprintf(history->problem, sizeof history->problem, format, arguments);
    va_end(arguments);
}

/* Of all histories; each key for ever in its place, since a crash is tried amid a put. */
static char key_bytes[HISTORY_KEYS][HISTORY_KEY_MAX];
static size_t key_sizes[HISTORY_KEYS];

static void make_keys(void)
{
    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
        memset(key_bytes[key], 'x', HISTORY_KEY_MAX);
        key_sizes[key] = (size_t)snprintf(key_bytes[key], HISTORY_KEY_MAX, "k%u", key);
        if (key % 5 == 4) {
            key_bytes[key][key_sizes[key]] = 'x';
            key_sizes[key] = HISTORY_KEY_MAX;
        }
    }
}

struct bitcask_slice history_key(unsigned key)
{
    return (struct bitcask_slice){ key_bytes[key], key_sizes[key] };
}

void history_init(struct history *history, uint64_t seed)
{
    make_keys();
    memset(history, 0, sizeof *history);
    history->seed = seed;
    history->merges = seed % 5 < 3;
    history->writes[0].ends = true; /* a prefix may be empty */
}

static void make_value(const struct history *history, unsigned number, uint8_t *value)
{
    uint64_t state = history->seed ^ (uint64_t)number << 32;
    size_t size = history->writes[number].value_size;

    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = campaign_random(&state);

        memcpy(value + i, &word, size - i < 8 ? size - i : 8);
    }
}

bool history_value_equals(const struct history *history, unsigned number,
                          const uint8_t *bytes, size_t size)
{
    uint8_t value[HISTORY_VALUE_MAX + 8];

    if (size != history->writes[number].value_size)
        return false;
    make_value(history, number, value);
    return size == 0 || memcmp(value, bytes, size) == 0;
}

/* THE RECORDS THAT GO BY */

static bool is_write(const struct history *history, unsigned number,
                     const struct bitcask_record *record, const uint8_t *key)
{
    const struct history_write *write = &history->writes[number];
    struct bitcask_slice expected = history_key(write->key);

    return write->deletes == (record->kind == BITCASK_RECORD_TOMBSTONE) &&
           write->expiry_ms == record->expiry_ms && expected.size == record->key_size &&
           memcmp(expected.data, key, expected.size) == 0 &&
           history_value_equals(history, number, key + record->key_size,
                                record->value_size);
}

/* A put or tombstone with its key and value at @bytes. */
static void note_record(struct history *history, const struct bitcask_record *record,
                        const uint8_t *bytes)
{
    const uint8_t *key = bytes + bitcask_record_prefix_size(record);
    unsigned number = 1;

    while (number <= history->write_count &&
           !(history->writes[number].running && history->writes[number].sequence == 0 &&
             is_write(history, number, record, key)))
        number++;
    if (number > history->write_count) {
        history_problem(history, "record %" PRIu64 " is no write that is being made",
                        record->sequence);
        return;
    }
    if (record->sequence != history->last_sequence + 1)
        history_problem(history, "record %" PRIu64 " follows %" PRIu64, record->sequence,
                        history->last_sequence);
    history->writes[number].sequence = record->sequence;
    history->last_sequence = record->sequence;
    history->order[record->sequence] = number;
}

/* How many bytes at the end are no whole record. */
static size_t note_records(struct history *history, const uint8_t *bytes, size_t size,
                           const char *name)
{
    struct bitcask_record record;

    while (size > 0) {
        uint64_t record_size;

        if (bitcask_record_decode(bytes, size, &record) != BITCASK_OK ||
            bitcask_record_size(&record) > size)
            return size;
        record_size = bitcask_record_size(&record);
        if (record.kind == BITCASK_RECORD_BATCH) /* its value is its records */
            record_size = bitcask_record_prefix_size(&record);
        else if (record.sequence <= history->last_sequence)
            history_note_copy(history, &record, bytes, name);
        else
            note_record(history, &record, bytes);
        bytes += record_size;
        size -= (size_t)record_size;
    }
    return 0;
}

/* A record that is stored comes in pieces, one right behind the other. */
static void note_store(struct history *history, const struct sim_moment *moment)
{
    size_t before = moment->offset == history->stored_end ? history->stored_part : 0;

    history->stored_part = note_records(history, moment->bytes - before,
                                        moment->size + before, moment->name);
    history->stored_end = moment->offset + moment->size;
    if (history->stored_part > BITCASK_RECORD_PREFIX_MAX + HISTORY_KEY_MAX)
        history_problem(history, "bytes were stored that are no whole record");
}

void history_tap(struct history *history, const struct sim_moment *moment)
{
    size_t length = strlen(moment->name);
    size_t skip = moment->offset == 0 ? BITCASK_FILE_HEADER_SIZE : 0;

    if (moment->when == SIM_AFTER && moment->call == FAULT_DIRECTORY_SYNC &&
        moment->failed)
        history->sync_failed = true;
    if (moment->when != SIM_AFTER || length < 5 ||
        strcmp(moment->name + length - 5, ".data") != 0)
        return;
    if (moment->call == FAULT_SYNC && moment->failed &&
        !history_is_output(history, moment->name))
        history->sync_failed = true;
    if (moment->call == FAULT_TRUNCATE && moment->failed)
        history->cut_failed = true;
    if (moment->failed || (moment->call != FAULT_WRITE && moment->call != SIM_STORE))
        return;
    if (moment->call == SIM_STORE)
        note_store(history, moment);
    else if (moment->size > skip && note_records(history, moment->bytes + skip,
                                                 moment->size - skip, moment->name) > 0)
        history_problem(history, "bytes were written that are no whole record");
}

/* WRITING */

static unsigned new_write(struct history *history, bool deletes, unsigned key)
{
    unsigned number = ++history->write_count;

    if (number > HISTORY_WRITES_MAX)
        abort();
    history->writes[number] = (struct history_write){
        .deletes = deletes, .ends = true, .running = true, .key = key
    };
    return number;
}

/*
 * In some histories most records fill sectors exactly, so that one that was lost, or is
 * that of another file, takes whole records with it and tears none.
 */
static uint32_t aligned_size(struct history_session *session, unsigned key)
{
    static const uint32_t record_sizes[] = { 64, 64, 448, 512 };
    size_t overhead = BITCASK_RECORD_HEADER_SIZE + history_key(key).size;
    uint32_t size = record_sizes[campaign_random_below(&session->random, 4)];

    return size >= overhead + 8 ? size - (uint32_t)overhead : 512 - (uint32_t)overhead;
}

static uint32_t random_size(uint64_t *random)
{
    switch (campaign_random_below(random, 8)) {
    case 0:
        return (uint32_t)campaign_random_below(random, 8);
    case 1:
        return (uint32_t)campaign_random_below(random, HISTORY_VALUE_MAX + 1);
    case 2:
        return (uint32_t)campaign_random_below(random, 2000);
    default:
        return 8 + (uint32_t)campaign_random_below(random, 300);
    }
}

/*
 * Deletes, and values too short to tell one write from another, are for keys that no
 * other thread uses for such, so that no two writes that run are the same.
 */
static unsigned random_key(struct history_session *session, uint32_t value_size)
{
    unsigned key = (unsigned)campaign_random_below(&session->random, HISTORY_KEYS);

    if (value_size < 8)
        key = key - key % session->thread_count + session->thread;
    return key < HISTORY_KEYS ? key : session->thread;
}

void history_judge_status(struct history_session *session, const char *what,
                          enum bitcask_status status)
{
    struct history *history = session->history;
    bool failed = status != BITCASK_OK && status != BITCASK_NOT_FOUND;
    bool allowed =
        ((status == BITCASK_IO || status == BITCASK_NO_SPACE) && history->may_fail) ||
        (status == BITCASK_FAILED && (history->sync_failed || history->cut_failed));

    if (failed && (!allowed || bitcask_error_detail()[0] == '\0'))
        history_problem(history, "%s failed: %s: %s", what, bitcask_status_text(status),
                        bitcask_error_detail());
    if (!failed && session->refused)
        history_problem(history, "%s was acknowledged after a failed sync", what);
    if (status == BITCASK_FAILED ||
        (session->alone && (history->sync_failed || history->cut_failed)))
        history->refuses = true;
}

void history_begin_call(struct history_session *session, bool writes)
{
    session->began_ms = session->cask->io->monotonic_ms(session->cask->io);
    /* After a cut has failed, nothing is written any more, but what was is synced. */
    session->refused =
        session->history->refuses && (writes || session->history->sync_failed);
}

static void take_to_books(struct history_session *session, unsigned first, unsigned last,
                          enum bitcask_status status)
{
    struct history *history = session->history;
    uint64_t now_ms = session->cask->io->monotonic_ms(session->cask->io);
    uint64_t sequence = history->writes[last].sequence;

    history_judge_status(session, "a write", status);
    for (unsigned i = first; i <= last; i++)
        history->writes[i].running = false;
    if (status == BITCASK_NOT_FOUND && first == last && history->writes[first].deletes) {
        if (sequence != 0)
            history_problem(
                history, "write %u wrote a tombstone and says there was no key", first);
        return;
    }
    if (status != BITCASK_OK) {
        for (unsigned i = first; i <= last; i++)
            history->writes[i].failed = true;
        return;
    }
    for (unsigned i = first; i <= last; i++) {
        if (history->writes[i].sequence == 0)
            history_problem(history, "write %u was acknowledged and never written", i);
        history->writes[i].acked = true;
        history->writes[i].acked_ms = now_ms;
    }
    if (sequence > history->acked_sequence)
        history->acked_sequence = sequence;
    if (session->sync == BITCASK_SYNC_ALWAYS && sequence > history->synced_sequence)
        history->synced_sequence = sequence;
    /* Whatever was due when this call began, it has synced. */
    for (unsigned i = 1; session->interval_ms > 0 && i < first; i++) {
        const struct history_write *write = &history->writes[i];

        if (write->acked && write->acked_ms + session->interval_ms <= session->began_ms &&
            write->sequence > history->synced_sequence)
            history->synced_sequence = write->sequence;
    }
}

static void step_put(struct history_session *session, bool expires)
{
    struct history *history = session->history;
    struct bitcask *cask = session->cask;
    uint32_t size = random_size(&session->random);
    unsigned key = random_key(session, size);
    unsigned number;
    uint8_t value[HISTORY_VALUE_MAX + 8];
    struct bitcask_slice slice = { value, size };
    enum bitcask_status status;

    if (history->seed % 3 == 0 && size >= 8)
        size = aligned_size(session, key);
    slice.size = size;
    number = new_write(history, false, key);
    history->writes[number].value_size = size;
    make_value(history, number, value);
    history_begin_call(session, true);
    if (expires) { /* some are long gone, some go soon */
        uint64_t wall_ms = cask->io->wall_ms(cask->io);

        history->writes[number].expiry_ms =
            wall_ms - 50 + campaign_random_below(&session->random, 500);
        status = bitcask_put_expiring(cask, history_key(history->writes[number].key),
                                      slice, history->writes[number].expiry_ms);
    } else {
        status = bitcask_put(cask, history_key(history->writes[number].key), slice);
    }
    take_to_books(session, number, number, status);
}

static void step_delete(struct history_session *session)
{
    struct bitcask *cask = session->cask;
    unsigned key = random_key(session, 0);
    unsigned number = new_write(session->history, true, key);

    history_begin_call(session, true);
    take_to_books(session, number, number, bitcask_delete(cask, history_key(key)));
}

static void step_batch(struct history_session *session)
{
    struct history *history = session->history;
    struct bitcask *cask = session->cask;
    unsigned count =
        1 + (unsigned)campaign_random_below(&session->random, HISTORY_PARTS_MAX);
    struct bitcask_batch_part parts[HISTORY_PARTS_MAX];
    uint8_t values[HISTORY_PARTS_MAX][1024];
    unsigned first = history->write_count + 1;

    for (unsigned i = 0; i < count; i++) {
        bool deletes = campaign_random_below(&session->random, 3) == 0;
        unsigned number =
            new_write(history, deletes, random_key(session, deletes ? 0 : 8));

        history->writes[number].ends = i + 1 == count;
        if (!deletes)
            history->writes[number].value_size =
                8 + (uint32_t)campaign_random_below(&session->random, 1000);
        make_value(history, number, values[i]);
        parts[i] = (struct bitcask_batch_part){
            .deletes = deletes,
            .key = history_key(history->writes[number].key),
            .value = { values[i], history->writes[number].value_size }
        };
    }
    history_begin_call(session, true);
    take_to_books(session, first, first + count - 1,
                  bitcask_write_batch(cask, parts, count));
}

/*
 * Which write made what @key is after the first @sequence records; 0: none. In the
 * @running store what failed never was.
 */
static unsigned newest_write(const struct history *history, unsigned key,
                             uint64_t sequence, bool running)
{
    for (; sequence > 0; sequence--) {
        const struct history_write *write = &history->writes[history->order[sequence]];

        if (write->key == key && !(running && write->failed))
            return history->order[sequence];
    }
    return 0;
}

/* Which write put what @key has at @wall_ms; 0: it has nothing. */
static unsigned live_write(const struct history *history, unsigned key, uint64_t sequence,
                           bool running, uint64_t wall_ms)
{
    unsigned number = newest_write(history, key, sequence, running);
    const struct history_write *write = &history->writes[number];

    if (number == 0 || write->deletes ||
        (write->expiry_ms != 0 && write->expiry_ms <= wall_ms))
        return 0;
    return number;
}

/* True if a get of @key finds what write @number put, or nothing if that is 0. */
static bool judge_get(const struct history *history, struct bitcask *cask, unsigned key,
                      unsigned number, char words[HISTORY_WORDS_MAX])
{
    struct bitcask_buffer value = { 0 };
    enum bitcask_status status = bitcask_get(cask, history_key(key), &value);
    enum bitcask_status expected = number != 0 ? BITCASK_OK : BITCASK_NOT_FOUND;
    bool right =
        status == expected &&
        (number == 0 || history_value_equals(history, number, value.data, value.size));

    if (!right)
        (void)snprintf(words, HISTORY_WORDS_MAX,
                       "get of key %u should be that of write %u (0: none), is %s, %zu "
                       "bytes: %.150s",
                       key, number, bitcask_status_text(status), value.size,
                       status == BITCASK_OK ? "" : bitcask_error_detail());
    bitcask_buffer_release(&value);
    return right;
}

/* Promise 1; with several threads nobody knows what a key should be. */
static void step_get(struct history_session *session)
{
    struct history *history = session->history;
    struct bitcask *cask = session->cask;
    unsigned key = (unsigned)campaign_random_below(&session->random, HISTORY_KEYS);
    char words[HISTORY_WORDS_MAX];
    unsigned number;
    uint64_t wall_ms;

    if (session->thread_count > 1) {
        (void)bitcask_exists(cask, history_key(key));
        return;
    }
    wall_ms = cask->io->wall_ms(cask->io);
    number = live_write(history, key, history->last_sequence, true, wall_ms);
    if (!judge_get(history, cask, key, number, words) &&
        cask->io->wall_ms(cask->io) == wall_ms) /* else it may just have expired */
        history_problem(history, "in the running store, %.300s", words);
    history_view(session, key, number);
}

/* What the statistics call synced has to be: it goes to the books like an answer. */
static void step_stat(struct history_session *session)
{
    struct history *history = session->history;
    struct bitcask_stat stat;

    if (bitcask_stat(session->cask, &stat) != BITCASK_OK ||
        stat.synced_sequence > stat.last_sequence ||
        stat.last_sequence > history->last_sequence)
        history_problem(history, "the statistics are wrong");
    else if (stat.synced_sequence > history->synced_sequence)
        history->synced_sequence = stat.synced_sequence;
}

void history_step(struct history_session *session)
{
    if (campaign_random_below(&session->random, 4) == 0)
        step_stat(session);
    if (session->history->merges && campaign_random_below(&session->random, 5) == 0) {
        history_merge_step(session);
        return;
    }
    switch (campaign_random_below(&session->random, 12)) {
    case 0:
    case 1:
        step_delete(session);
        break;
    case 2:
        step_batch(session);
        break;
    case 3:
        step_put(session, true);
        break;
    case 4:
        step_get(session);
        break;
    default:
        step_put(session, false);
        break;
    }
}

void history_sync(struct history_session *session)
{
    struct history *history = session->history;
    uint64_t acked = history->acked_sequence; /* before the call */
    enum bitcask_status status;

    history_begin_call(session, false);
    status = bitcask_sync(session->cask);
    history_judge_status(session, "a sync", status);
    if (status == BITCASK_OK && acked > history->synced_sequence)
        history->synced_sequence = acked;
}

void history_wait(struct history_session *session, uint32_t interval_ms)
{
    enum {
        WAITS_MAX = 1000 /* the schedule may keep a thread waiting for long */
    };
    const struct timespec interval = { .tv_nsec = (long)interval_ms * 1000000 };
    struct history *history = session->history;

    for (int i = 0; i < WAITS_MAX && !history->sync_failed; i++) {
        struct bitcask_stat stat;

        if (bitcask_stat(session->cask, &stat) != BITCASK_OK)
            break;
        if (stat.synced_sequence == stat.last_sequence) {
            history->synced_sequence = history->acked_sequence;
            return;
        }
        (void)nanosleep(&interval, NULL);
    }
    if (!history->sync_failed)
        history_problem(history, "nobody syncs in the background");
}

void history_close(struct history_session *session)
{
    struct history *history = session->history;
    enum bitcask_status status;

    history_begin_call(session, false);
    status = bitcask_close(session->cask);
    session->cask = NULL;
    history_judge_status(session, "a close", status);
    if (status == BITCASK_OK)
        history->synced_sequence = history->acked_sequence;
}

/* THE JUDGE */

static bool judge_iteration(const struct history *history, struct bitcask *cask,
                            const unsigned *live, char words[HISTORY_WORDS_MAX])
{
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    enum bitcask_status status = bitcask_iterator_open(cask, NULL, &iterator);
    bool met[HISTORY_KEYS] = { false };
    bool right = status == BITCASK_OK;

    while (right &&
           (status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK) {
        unsigned k = 0;

        while (k < HISTORY_KEYS && (history_key(k).size != key.size ||
                                    memcmp(history_key(k).data, key.data, key.size) != 0))
            k++;
        right = k < HISTORY_KEYS && live[k] != 0 && !met[k] &&
                history_value_equals(history, live[k], value.data, value.size);
        if (right)
            met[k] = true;
    }
    for (unsigned k = 0; k < HISTORY_KEYS; k++)
        right = right && met[k] == (live[k] != 0);
    bitcask_iterator_close(iterator);
    if (right && status == BITCASK_NOT_FOUND)
        return true;
    (void)snprintf(words, HISTORY_WORDS_MAX, "an iteration is not what gets say: %s",
                   bitcask_status_text(status));
    return false;
}

/* By gets and iteration: see newest_write(). *@live_count is how many keys there are. */
static bool judge_content(const struct history *history, struct bitcask *cask,
                          uint64_t sequence, bool running, uint64_t *live_count,
                          char words[HISTORY_WORDS_MAX])
{
    uint64_t wall_ms = cask->io->wall_ms(cask->io);
    unsigned live[HISTORY_KEYS];

    *live_count = 0;
    for (unsigned k = 0; k < HISTORY_KEYS; k++) {
        live[k] = live_write(history, k, sequence, running, wall_ms);
        *live_count += live[k] != 0;
        if (!judge_get(history, cask, k, live[k], words))
            return false;
    }
    return judge_iteration(history, cask, live, words);
}

void history_look(struct history_session *session)
{
    struct history *history = session->history;
    struct bitcask *cask = session->cask;
    uint64_t wall_ms = cask->io->wall_ms(cask->io);
    char words[HISTORY_WORDS_MAX];
    uint64_t live_count;

    if (!judge_content(history, cask, history->last_sequence, true, &live_count, words) &&
        cask->io->wall_ms(cask->io) == wall_ms) /* else it may just have expired */
        history_problem(history, "in the running store, %.300s", words);
}

bool history_judge(const struct history *history, struct bitcask *cask, uint64_t floor,
                   uint64_t *kept, char words[HISTORY_WORDS_MAX])
{
    uint64_t live_count;
    uint64_t opened_count = 0;
    struct bitcask_stat stat;

    if (bitcask_stat(cask, &stat) != BITCASK_OK) {
        (void)snprintf(words, HISTORY_WORDS_MAX, "stat failed");
        return false;
    }
    *kept = stat.last_sequence;
    if (*kept < floor || *kept > history->last_sequence ||
        !history->writes[history->order[*kept]].ends) {
        (void)snprintf(words, HISTORY_WORDS_MAX,
                       "%" PRIu64 " records are there; %" PRIu64
                       " were promised, %" PRIu64 " written%s",
                       *kept, floor, history->last_sequence,
                       *kept <= history->last_sequence && *kept >= floor
                           ? ", and these end inside a batch"
                           : "");
        return false;
    }
    if (!judge_content(history, cask, *kept, false, &live_count, words))
        return false;
    /* What has expired since the open may be counted or not. */
    for (unsigned k = 0; k < HISTORY_KEYS && history->opened_ms != 0; k++)
        opened_count += live_write(history, k, *kept, false, history->opened_ms) != 0;
    if (stat.key_count < live_count ||
        stat.key_count > (opened_count > live_count ? opened_count : live_count)) {
        (void)snprintf(words, HISTORY_WORDS_MAX,
                       "stat counts %" PRIu64 " keys of %" PRIu64, stat.key_count,
                       live_count);
        return false;
    }
    return true;
}

void history_cut(struct history *history, uint64_t kept)
{
    history->last_sequence = kept;
    history->acked_sequence = kept;
    history->synced_sequence = kept;
    history->may_fail = false;
    history->sync_failed = false;
    history->cut_failed = false;
    history->refuses = false;
    history->stored_part = 0; /* nothing goes on where the last store ended */
    for (unsigned i = 1; i <= history->write_count; i++) {
        history->writes[i].running = false;
        history->writes[i].failed = false;
        if (history->writes[i].sequence > kept)
            history->writes[i].acked = false;
    }
}
