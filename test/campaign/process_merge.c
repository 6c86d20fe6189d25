/* SPDX-License-Identifier: MIT */
/*
 * Merges of real files: on a disk that is full, of more files than there may be
 * descriptors, and where some of what was merged cannot be removed. Promises 1, 2, 6, 8.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "test/campaign/process.h"

void process_merge(struct process *process, struct bitcask *cask, uint64_t *random)
{
    const struct bitcask_merge_options options = {
        .choice = campaign_random_below(random, 2) == 0 ? BITCASK_MERGE_POLICY
                                                        : BITCASK_MERGE_ALL,
    };

    (void)atomic_fetch_add(&process->shared->merging, 1);
    process_expect(process, bitcask_merge(cask, &options, NULL), PROCESS_OK, "a merge");
    (void)atomic_fetch_sub(&process->shared->merging, 1);
    process_count(process, PROCESS_MERGES);
}

/* A HISTORY of its own: key i has the value number held[i], 0 for none. */
enum {
    KEY_COUNT = 20000,
    VALUE_SIZE = 3000
};

static uint32_t held[KEY_COUNT];
static uint32_t held_count;

static struct bitcask_slice key_of(unsigned key)
{
    static char bytes[16];

    (void)snprintf(bytes, sizeof bytes, "key %u", key);
    return bitcask_text(bytes);
}

static struct bitcask_slice value_of(unsigned key, uint32_t number)
{
    static char bytes[VALUE_SIZE];

    memset(bytes, (int)('a' + (key + number) % 26), sizeof bytes);
    (void)snprintf(bytes, 32, "value %u of key %u", number, key);
    return (struct bitcask_slice){ bytes, sizeof bytes };
}

static enum bitcask_status put(struct bitcask *cask, unsigned key)
{
    enum bitcask_status status =
        bitcask_put(cask, key_of(key), value_of(key, held_count + 1));

    if (status == BITCASK_OK)
        held[key] = ++held_count;
    return status;
}

static void check(struct process *process, struct bitcask *cask, unsigned key_count,
                  const char *when)
{
    struct bitcask_buffer found = { 0 };
    struct bitcask_stat stat;
    uint64_t count = 0;

    for (unsigned key = 0; key < key_count; key++) {
        enum bitcask_status status = bitcask_get(cask, key_of(key), &found);
        struct bitcask_slice expected = value_of(key, held[key]);

        count += held[key] != 0;
        if (status != (held[key] != 0 ? BITCASK_OK : BITCASK_NOT_FOUND) ||
            (held[key] != 0 && (found.size != expected.size ||
                                memcmp(found.data, expected.data, found.size) != 0)))
            process_fail(process, "%s: key %u is not what it was", when, key);
    }
    process_expect(process, bitcask_stat(cask, &stat), PROCESS_OK, "stat");
    if (stat.key_count != count)
        process_fail(process, "%s: stat counts %u keys, not %u", when,
                     (unsigned)stat.key_count, (unsigned)count);
    bitcask_buffer_release(&found);
}

/* Data files in the directory. */
static unsigned count_files(struct process *process)
{
    DIR *stream = opendir(process->directory);
    struct dirent *entry;
    unsigned count = 0;

    while (stream != NULL && (entry = readdir(stream)) != NULL)
        count += strstr(entry->d_name, ".data") != NULL;
    if (stream != NULL)
        (void)closedir(stream);
    return count;
}

/* THE FULL DISK */

/* Puts until there is no room; @spread keys, so that the rest is garbage. */
static void fill(struct process *process, struct bitcask *cask, unsigned spread,
                 uint64_t *random)
{
    enum bitcask_status status;

    do {
        status = put(cask, (unsigned)campaign_random_below(random, spread));
        process_expect(process, status, PROCESS_OK | PROCESS_BIT(BITCASK_NO_SPACE),
                       "a put on a disk that gets full");
    } while (status == BITCASK_OK);
}

/* Deletes work, by the reserve; a merge gives their space back; puts go on. */
static void merge_when_full(struct process *process, struct bitcask *cask,
                            unsigned spread, uint64_t *random)
{
    const struct bitcask_merge_options options = {
        .choice = campaign_random_below(random, 2) == 0 ? BITCASK_MERGE_POLICY
                                                        : BITCASK_MERGE_ALL,
    };
    struct bitcask_stat before, after;
    unsigned deleted = 0;

    for (unsigned key = 0; key < spread && deleted < spread / 2; key++) {
        if (held[key] == 0)
            continue;
        process_expect(process, bitcask_delete(cask, key_of(key)), PROCESS_OK,
                       "a delete on a full disk");
        held[key] = 0;
        deleted++;
    }
    check(process, cask, spread, "after deletes on a full disk");
    (void)bitcask_stat(cask, &before);
    process_expect(process, bitcask_merge(cask, &options, NULL), PROCESS_OK,
                   "a merge on a full disk");
    (void)bitcask_stat(cask, &after);
    if (after.data_size >= before.data_size - before.dead_size / 4)
        process_fail(process, "a merge on a full disk makes %u bytes of %u, %u dead",
                     (unsigned)after.data_size, (unsigned)before.data_size,
                     (unsigned)before.dead_size);
    process_count(process, PROCESS_FULL_MERGES);
    check(process, cask, spread, "after a merge on a full disk");
    for (unsigned i = 0; i < 20; i++)
        process_expect(process, put(cask, i), PROCESS_OK, "a put after it");
    check(process, cask, spread, "after puts after a merge on a full disk");
}

static void fill_and_merge(struct process *process, uint64_t seed)
{
    struct bitcask_options options = {
        .file_size_max = (uint64_t)16384 << campaign_random_below(&seed, 5),
        .no_background = campaign_random_below(&seed, 2) == 0,
        .no_mapping = campaign_random_below(&seed, 2) == 0,
        .merge_auto_off = true,
    };
    struct bitcask *cask;
    char disk[100];
    unsigned size = 3 + (unsigned)campaign_random_below(&seed, 4); /* MiB */
    unsigned spread = size * 100 + (unsigned)campaign_random_below(&seed, size * 300);

    (void)snprintf(disk, sizeof disk, "mode=0755,size=%um", size);
    process_mount_base(process, disk);
    cask = process_open(process, &options, "an open");
    for (int i = 0; i < 3; i++) {
        fill(process, cask, spread, &seed);
        merge_when_full(process, cask, spread, &seed);
    }
    process_close(process, cask, "a close");
    cask = process_open(process, &options, "an open after it");
    check(process, cask, spread, "after a reopen");
    process_close(process, cask, "a close after it");
}

bool process_round_full_merge(struct process *process)
{
    return process_run(process, fill_and_merge, process->seed, "a merge on a full disk");
}

/* MANY FILES */

static void limit_descriptors(struct process *process, unsigned count)
{
    const struct rlimit limit = { count, count };

    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        process_skip(process, "descriptors cannot be limited");
}

/* Each put has a file of its own; half of them are garbage afterwards. */
static void merge_many(struct process *process, uint64_t seed)
{
    const unsigned file_count = KEY_COUNT;
    struct bitcask_options options = { .file_size_max = 4096,
                                       .merge_auto_off = true,
                                       .no_mapping = seed % 2 == 0 };
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    struct bitcask_merge_report report;
    struct bitcask *cask;

    process_mount_base(process, "mode=0755,size=400m");
    /* Without mappings up to 256 files are kept open to read. */
    limit_descriptors(process, seed % 3 == 0 && !options.no_mapping ? 100 : 1024);
    cask = process_open(process, &options, "an open");
    for (unsigned i = 0; i < file_count; i++)
        process_expect(process, put(cask, i % (file_count / 2)), PROCESS_OK, "a put");
    check(process, cask, file_count / 2, "in many files");
    process_close(process, cask, "the close of many files");
    if (count_files(process) < file_count)
        process_fail(process, "there are only %u files", count_files(process));

    options.file_size_max = 0;
    cask = process_open(process, &options, "an open of many files");
    process_expect(process, bitcask_merge(cask, &all, &report), PROCESS_OK,
                   "a merge of many files");
    if (report.input_count < file_count || report.output_count > 20)
        process_fail(process, "%u files became %u", (unsigned)report.input_count,
                     (unsigned)report.output_count);
    for (unsigned i = 0; i < file_count; i++)
        process_count(process, PROCESS_FILES_MERGED);
    check(process, cask, file_count / 2, "after a merge of many files");
    process_close(process, cask, "a close after it");
    if (count_files(process) > 20)
        process_fail(process, "%u files are left", count_files(process));
    cask = process_open(process, &options, "an open after a merge of many files");
    check(process, cask, file_count / 2, "when it is opened again");
    process_close(process, cask, "the last close");
}

bool process_round_many_files(struct process *process)
{
    return process_run(process, merge_many, process->seed, "a merge of many files");
}

/* FILES THAT STAY */

/* Nobody owns the directory's files but for some data files, and may remove only his. */
static void give_to_nobody(struct process *process, uint64_t *random)
{
    const uid_t nobody = 65534;
    DIR *stream = opendir(process->directory);
    struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        bool keeps = strstr(entry->d_name, ".data") != NULL &&
                     campaign_random_below(random, 2) == 0;

        if (entry->d_name[0] == '.')
            continue;
        if (fchownat(dirfd(stream), entry->d_name, keeps ? 0 : nobody, nobody, 0) != 0 ||
            fchmodat(dirfd(stream), entry->d_name, 0666, 0) != 0)
            process_skip(process, "files cannot be given away");
    }
    if (stream != NULL)
        (void)closedir(stream);
    if (chmod(process->directory, 01777) != 0)
        process_skip(process, "the directory cannot be made sticky");
}

enum {
    SOME_KEYS = 60
};

/* All that this process does to held is lost with it: it changes no key. */
static void merge_as_nobody(struct process *process, uint64_t seed)
{
    const struct bitcask_merge_options all = { .choice = BITCASK_MERGE_ALL };
    struct bitcask_options options = { .file_size_max = 8192, .merge_auto_off = true };
    struct bitcask_merge_report report;
    struct bitcask_stat stat;
    struct bitcask *cask;
    enum bitcask_status status;

    process_drop_root(process);
    options.no_background = seed % 2 == 0;
    for (int i = 0; i < 2; i++) {
        cask = process_open(process, &options, "an open by nobody");
        check(process, cask, SOME_KEYS, "what nobody finds");
        status = bitcask_merge(cask, &all, &report);
        process_expect(process, status, PROCESS_OK | PROCESS_BIT(BITCASK_IO),
                       "a merge by nobody");
        (void)bitcask_stat(cask, &stat);
        if ((status == BITCASK_OK) != (stat.retired_count == 0))
            process_fail(process, "status %d, and %u files stay", status,
                         (unsigned)stat.retired_count);
        for (uint64_t k = 0; k < stat.retired_count; k++)
            process_count(process, PROCESS_FILES_KEPT);
        check(process, cask, SOME_KEYS, "after a merge by nobody");
        process_close(process, cask, "a close by nobody");
    }
}

static void make_and_merge(struct process *process, uint64_t seed)
{
    struct bitcask_options options = { .file_size_max = 8192, .merge_auto_off = true };
    struct bitcask_stat stat;
    struct bitcask *cask;

    if (geteuid() != 0)
        process_skip(process, "only root can give files away");
    cask = process_open(process, &options, "an open");
    for (unsigned i = 0; i < 3 * SOME_KEYS; i++)
        process_expect(process,
                       put(cask, (unsigned)campaign_random_below(&seed, SOME_KEYS)),
                       PROCESS_OK, "a put");
    process_close(process, cask, "a close");
    give_to_nobody(process, &seed);
    if (!process_run(process, merge_as_nobody, seed, "a merge by nobody"))
        _exit(1);
    cask = process_open(process, &options, "an open by the owner");
    check(process, cask, SOME_KEYS, "what the owner finds");
    (void)bitcask_stat(cask, &stat);
    if (stat.retired_count != 0 || count_files(process) > stat.segment_count)
        process_fail(process, "%u files are left over, %u of %u stay",
                     (unsigned)stat.retired_count, count_files(process),
                     (unsigned)stat.segment_count);
    process_close(process, cask, "a close by the owner");
}

bool process_round_kept_files(struct process *process)
{
    return process_run(process, make_and_merge, process->seed, "files that stay");
}
