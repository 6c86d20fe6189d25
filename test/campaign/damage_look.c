/* SPDX-License-Identifier: MIT */
#include "test/campaign/damage_look.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bitcask/cask.h"

bool damage_blame(struct damage_trial *trial, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(trial->why, sizeof trial->why, format, arguments);
    va_end(arguments);
    return false;
}

/*
 * ASKING. The reference for what is right is the prefix that the cask says it has; of
 * salvage, which may miss anything, the whole history.
 */
static enum key_verdict judge_value(const struct damage_subject *subject,
                                    uint64_t sequence, unsigned key,
                                    const struct bitcask_buffer *value)
{
    if (damage_subject_has(subject, subject->newest[sequence][key], value))
        return KEY_RIGHT;
    for (uint64_t i = 1; i <= subject->last; i++) {
        if (subject->ops[i].key == key && damage_subject_has(subject, i, value))
            return KEY_OTHER;
    }
    return KEY_INVENTED;
}

enum key_verdict damage_ask(const struct damage_subject *subject, struct bitcask *cask,
                            uint64_t sequence, unsigned key)
{
    struct bitcask_buffer value = { 0 };
    enum key_verdict verdict = KEY_FAILED;
    bool gone = damage_subject_is_gone(subject, sequence, key);

    switch (bitcask_get(cask, damage_key(key), &value)) {
    case BITCASK_OK:
        verdict = judge_value(subject, sequence, key, &value);
        break;
    case BITCASK_NOT_FOUND:
        verdict = gone ? KEY_RIGHT : KEY_MISSING;
        break;
    case BITCASK_CORRUPT:
        verdict = KEY_CORRUPT;
        break;
    default:
        break;
    }
    if (bitcask_exists(cask, damage_key(key)) == BITCASK_NOT_FOUND &&
        verdict == KEY_RIGHT && !gone)
        verdict = KEY_MISSING;
    bitcask_buffer_release(&value);
    return verdict;
}

/* The same by iteration. */
static void iterate(const struct damage_subject *subject, struct bitcask *cask,
                    uint64_t sequence, struct damage_answer *answer)
{
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    enum bitcask_status status;

    if (bitcask_iterator_open(cask, NULL, &iterator) != BITCASK_OK) {
        answer->iterated_wrong = true;
        return;
    }
    while ((status = bitcask_iterator_next(iterator, &key, &value)) == BITCASK_OK ||
           status == BITCASK_CORRUPT) {
        struct bitcask_buffer buffer = { (void *)value.data, value.size, value.size };
        unsigned i = 0;

        while (i < DAMAGE_KEYS && (damage_key(i).size != key.size ||
                                   memcmp(damage_key(i).data, key.data, key.size) != 0))
            i++;
        answer->iterated_count++;
        if (i == DAMAGE_KEYS ||
            (status == BITCASK_CORRUPT
                 ? answer->keys[i] != KEY_CORRUPT
                 : judge_value(subject, sequence, i, &buffer) != answer->keys[i]))
            answer->iterated_wrong = true;
    }
    if (status != BITCASK_NOT_FOUND)
        answer->iterated_wrong = true;
    bitcask_iterator_close(iterator);
}

/* How much of each data file is in the cask. */
struct kept {
    uint64_t ids[DAMAGE_FILES_MAX];
    uint64_t sizes[DAMAGE_FILES_MAX];
    unsigned count;
};

static enum bitcask_status note_kept(const struct bitcask_segment_stat *segment,
                                     void *context)
{
    struct kept *kept = context;

    kept->ids[kept->count] = segment->id;
    kept->sizes[kept->count++] = segment->data_size;
    return BITCASK_OK;
}

/* A header with nothing but zeros behind it, or zeros alone, is nothing to be lost. */
static bool is_empty(const struct damage_trial *trial, const struct damage_file *file)
{
    const struct damage_file *was = damage_image_find(&trial->subject->image, file->name);

    if (damage_file_unused(file, 0))
        return true;
    return file->size >= 64 && was != NULL && was->size >= 64 &&
           memcmp(file->bytes, was->bytes, 64) == 0 && damage_file_unused(file, 64);
}

static void measure_left(const struct damage_trial *trial, struct bitcask *cask,
                         struct damage_answer *answer)
{
    struct kept kept = { .count = 0 };

    if (bitcask_stat_segments(cask, note_kept, &kept) != BITCASK_OK)
        answer->claims_more = true;
    for (unsigned i = 0; i < trial->image->count; i++) {
        const struct damage_file *file = &trial->image->files[i];
        uint64_t size = 0;

        if (file->class != DAMAGE_DATA ||
            damage_listed(trial->image, file->id) == DAMAGE_OUTSIDE)
            continue;
        for (unsigned k = 0; k < kept.count; k++) {
            if (kept.ids[k] == file->id)
                size = kept.sizes[k];
        }
        if (size > file->size)
            answer->claims_more = true;
        if (size == 0 ? file->size > 0 && !is_empty(trial, file)
                      : file->size > size && !damage_file_unused(file, size))
            answer->left_count++;
    }
}

static void ask_all(const struct damage_trial *trial, struct bitcask *cask,
                    struct damage_answer *answer)
{
    const struct damage_subject *subject = trial->subject;
    uint64_t sequence;

    (void)bitcask_stat(cask, &answer->stat);
    sequence = answer->salvage ? subject->last : answer->stat.last_sequence;
    if (sequence > subject->last)
        return; /* which is judged by its own */
    for (unsigned key = 0; key < DAMAGE_KEYS; key++)
        answer->keys[key] = damage_ask(subject, cask, sequence, key);
    iterate(subject, cask, sequence, answer);
}

struct bitcask_options damage_options(const struct damage_trial *trial)
{
    struct bitcask_options options = { .no_background = true,
                                       .threads = 1,
                                       .no_mapping = trial->no_mapping,
                                       .file_size_max = 4096 };

    return options;
}

/* Open and ask. The cask stays open where @out wants it. */
bool damage_look(struct damage_trial *trial, struct damage_answer *answer, bool read_only,
                 struct bitcask **out)
{
    struct bitcask_options options = damage_options(trial);
    struct bitcask *cask = NULL;

    options.read_only = read_only;
    options.salvage = answer->salvage;
    answer->status =
        bitcask_open_with(sim_disk_io(trial->disk), &cask, DAMAGE_PATH, &options);
    (void)snprintf(answer->detail, sizeof answer->detail, "%s",
                   answer->status == BITCASK_OK ? "" : bitcask_error_detail());
    if ((cask != NULL) != (answer->status == BITCASK_OK))
        return damage_blame(trial, "%s: %d, and the cask is %p", answer->how,
                            answer->status, (void *)cask);
    if (cask != NULL) {
        ask_all(trial, cask, answer);
        if (!answer->salvage)
            measure_left(trial, cask, answer);
    }
    if (out != NULL)
        *out = cask;
    else if (bitcask_close(cask) != BITCASK_OK)
        return damage_blame(trial, "%s: close: %s", answer->how, bitcask_error_detail());
    if (cask == NULL || out == NULL) {
        long open_count = sim_disk_open_count(trial->disk);

        if (open_count != 0)
            return damage_blame(trial, "%s: %ld handles stay open", answer->how,
                                open_count);
    }
    return true;
}
