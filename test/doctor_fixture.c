/* SPDX-License-Identifier: MIT */
#include "test/doctor_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/file_name.h"
#include "bitcask/format.h"
#include "bitcask/repair.h"
#include "bitcask/scan.h"
#include "bitcask/verify.h"

static const char *const data_names[] = { DOCTOR_DATA_1, DOCTOR_DATA_2, DOCTOR_DATA_3 };

/* Of the cask that was made last: by sequence; at 0 the batch. */
static struct doctor_place places[DOCTOR_LAST_SEQUENCE + 1];

static void put_filler(struct bitcask *cask, size_t size)
{
    char value[4096];

    memset(value, 'f', sizeof value);
    assert_status(
        bitcask_put(cask, bitcask_text("filler"), (struct bitcask_slice){ value, size }),
        BITCASK_OK);
}

static struct bitcask *write_cask(struct test_disk *disk)
{
    const struct bitcask_batch_part parts[] = {
        { .key = bitcask_text("one"), .value = bitcask_text("1") },
        { .key = bitcask_text("two"), .value = bitcask_text("2") },
        { .key = bitcask_text("cid"), .deletes = true },
    };
    struct bitcask *cask;

    disk->fault.wall_ms = DOCTOR_NOW_MS;
    disk->fault.monotonic_ms = 1;
    cask = test_cask_open(disk, NULL);
    test_cask_put(cask, "ada", "first");
    test_cask_put(cask, "bob", "first");
    test_cask_put(cask, "cid", "first");
    assert_status(bitcask_write_batch(cask, parts, LENGTH_OF(parts)), BITCASK_OK);
    assert_status(bitcask_put_expiring(cask, bitcask_text("dee"), bitcask_text("soon"),
                                       DOCTOR_EXPIRY_MS),
                  BITCASK_OK);
    put_filler(cask, 3700);
    test_cask_put(cask, "ada", "second");
    test_cask_delete(cask, "bob");
    test_cask_put(cask, "eve", "here");
    put_filler(cask, 3870);
    test_cask_put(cask, "ada", "third");
    test_cask_put(cask, "fay", "here");
    test_cask_put(cask, "gus", "here");
    return cask;
}

/* Learn where the records of the data file @id lie; its header says the salt. */
static void learn_places(struct test_disk *disk, uint64_t id)
{
    struct bitcask_file_header header;
    struct bitcask_buffer bytes = { 0 };
    struct bitcask_scan_item item;
    struct bitcask_scan scan;
    bitcask_file file;

    test_disk_read(disk, data_names[id - 1], &bytes);
    assert_status(bitcask_file_header_decode(bytes.data, BITCASK_FILE_DATA, &header),
                  BITCASK_OK);
    assert_status(disk->io->open(disk->io, disk->directory, data_names[id - 1],
                                 BITCASK_IO_READ, &file),
                  BITCASK_OK);
    assert_status(bitcask_scan_init(&scan, disk->io, file, id, header.salt, bytes.size),
                  BITCASK_OK);
    while (bitcask_scan_next(&scan, &item) == BITCASK_OK) {
        uint64_t sequence = item.kind == BITCASK_INSPECT_BATCH ? 0 : item.header.sequence;

        assert_true(item.kind != BITCASK_INSPECT_DAMAGE);
        assert_in_range(sequence, 0, DOCTOR_LAST_SEQUENCE);
        places[sequence] = (struct doctor_place){
            .file = data_names[id - 1],
            .offset = item.offset,
            .size = item.size,
            .value_offset = item.offset + item.size - item.header.value_size,
        };
    }
    bitcask_scan_release(&scan);
    disk->io->close(disk->io, file);
    bitcask_buffer_release(&bytes);
}

void doctor_make(struct test_disk *disk)
{
    memset(places, 0, sizeof places);
    test_cask_close(write_cask(disk));
    for (uint64_t id = 1; id <= LENGTH_OF(data_names); id++)
        learn_places(disk, id);
    assert_string_equal(doctor_record(8).file, DOCTOR_DATA_1);
    assert_string_equal(doctor_record(9).file, DOCTOR_DATA_2);
    assert_string_equal(doctor_record(12).file, DOCTOR_DATA_2);
    assert_string_equal(doctor_record(13).file, DOCTOR_DATA_3);
    assert_string_equal(doctor_record(15).file, DOCTOR_DATA_3);
}

void doctor_make_killed(struct test_disk *disk)
{
    struct test_image image = { 0 };
    struct bitcask *cask;

    doctor_make(disk); /* to learn where the records lie */
    test_disk_clear(disk);
    disk->fault.no_allocate = true; /* so that files end with their last records */
    cask = write_cask(disk);
    disk->fault.no_allocate = false;
    test_image_take(&image, disk->path);
    test_cask_close(cask);
    test_image_restore(&image, disk);
    test_image_release(&image);
}

const char *doctor_data_name(uint64_t id)
{
    assert_in_range(id, 1, LENGTH_OF(data_names));
    return data_names[id - 1];
}

struct doctor_place doctor_record(uint64_t sequence)
{
    assert_in_range(sequence, 1, DOCTOR_LAST_SEQUENCE);
    assert_non_null(places[sequence].file);
    return places[sequence];
}

struct doctor_place doctor_batch(void)
{
    assert_non_null(places[0].file);
    return places[0];
}

void doctor_spoil_key(const struct test_disk *disk, uint64_t sequence)
{
    struct doctor_place place = doctor_record(sequence);

    test_disk_flip(disk, place.file, place.value_offset - 1, 0x10);
}

void doctor_spoil_value(const struct test_disk *disk, uint64_t sequence)
{
    struct doctor_place place = doctor_record(sequence);

    assert_true(place.value_offset < place.offset + place.size);
    test_disk_flip(disk, place.file, place.value_offset, 0x10);
}

void doctor_edit_manifest(struct test_disk *disk,
                          void (*change)(struct bitcask_manifest *manifest))
{
    struct bitcask_manifest manifest;
    bool switched;

    bitcask_manifest_init(&manifest);
    assert_status(bitcask_manifest_read(&manifest, disk->io, disk->directory),
                  BITCASK_OK);
    change(&manifest);
    assert_status(bitcask_manifest_write(&manifest, disk->io, disk->directory, &switched),
                  BITCASK_OK);
    bitcask_manifest_release(&manifest);
}

enum bitcask_status doctor_note_finding(const struct bitcask_finding *finding,
                                        void *context)
{
    struct doctor_told *told = context;
    struct doctor_finding *noted = &told->findings[told->finding_count++];

    assert_true(told->finding_count <= LENGTH_OF(told->findings));
    assert_non_null(finding->file);
    assert_true(finding->detail != NULL && finding->detail[0] != '\0');
    assert_true(finding->key.size < sizeof noted->key);
    noted->of = *finding;
    (void)snprintf(noted->file, sizeof noted->file, "%s", finding->file);
    (void)snprintf(noted->detail, sizeof noted->detail, "%s", finding->detail);
    if (finding->key.size > 0)
        memcpy(noted->key, finding->key.data, finding->key.size);
    noted->key[finding->key.size] = '\0';
    return BITCASK_OK;
}

enum bitcask_status doctor_note_step(const struct bitcask_repair_step *step,
                                     void *context)
{
    struct doctor_told *told = context;
    struct doctor_step *noted = &told->steps[told->step_count++];

    assert_true(told->step_count <= LENGTH_OF(told->steps));
    assert_true((step->action == BITCASK_REPAIR_KEEP) == (step->reason[0] == '\0'));
    assert_true((step->action == BITCASK_REPAIR_KEEP) == (step->moved_to[0] == '\0'));
    noted->of = *step;
    (void)snprintf(noted->file, sizeof noted->file, "%s", step->file);
    (void)snprintf(noted->moved_to, sizeof noted->moved_to, "%s", step->moved_to);
    (void)snprintf(noted->reason, sizeof noted->reason, "%s", step->reason);
    return BITCASK_OK;
}

enum bitcask_status doctor_verify(struct test_disk *disk, struct doctor_told *told)
{
    const struct bitcask_verify_options options = { .threads = 1,
                                                    .finding = doctor_note_finding,
                                                    .context = told };
    struct test_image before = { 0 };
    enum bitcask_status status;

    memset(told, 0, sizeof *told);
    test_image_take(&before, disk->path);
    status = bitcask_verify_with(disk->io, disk->path, &options, &told->verified);
    test_image_unchanged(&before, disk->path);
    test_image_release(&before);
    return status;
}

enum bitcask_status doctor_repair(struct test_disk *disk, struct doctor_told *told,
                                  bool dry_run)
{
    const struct bitcask_repair_options options = { .dry_run = dry_run,
                                                    .finding = doctor_note_finding,
                                                    .step = doctor_note_step,
                                                    .context = told };

    memset(told, 0, sizeof *told);
    return bitcask_repair_with(disk->io, disk->path, &options, &told->repaired);
}

static const char *kind_word(enum bitcask_finding_kind kind)
{
    static const char *const damage[] = { "?",       "manifest",   "missing", "unlisted",
                                          "foreign", "header",     "short",   "long",
                                          "region",  "value",      "batch",   "sequence",
                                          "hint",    "unreadable", "reserve" };
    static const char *const notes[] = { "torn", "no hint", "left over", "changed" };

    if (kind >= BITCASK_FINDING_TORN_TAIL)
        return notes[kind - BITCASK_FINDING_TORN_TAIL];
    assert_true((size_t)kind < LENGTH_OF(damage));
    return damage[kind];
}

static const char *effect_word(enum bitcask_effect effect)
{
    static const char *const words[] = { "none",      "lost",       "stale",
                                         "undeleted", "unreadable", "harmless" };

    return words[effect];
}

/* Words in a buffer that the next call takes again. */
static char words[2048];
static size_t words_size;

static void begin_words(void)
{
    words_size = 0;
    words[0] = '\0';
}

static void add_words(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    words_size += (size_t)vsnprintf(words + words_size, sizeof words - words_size, format,
                                    arguments);
    va_end(arguments);
    assert_true(words_size < sizeof words);
}

static void add_comma(void)
{
    if (words_size > 0)
        add_words(", ");
}

/* The name of a file, cut to what tells it from others. */
static void add_file(const char *name)
{
    uint64_t id;

    switch (bitcask_name_parse(name, &id)) {
    case BITCASK_NAME_DATA:
        add_words("%" PRIu64, id);
        break;
    case BITCASK_NAME_HINT:
        add_words("%" PRIu64 "h", id);
        break;
    default:
        add_words("%s", name[0] != '\0' ? name : "-");
    }
}

static void add_place(const char *file, uint64_t offset, uint64_t size)
{
    for (size_t i = 0; i < LENGTH_OF(places); i++) {
        if (places[i].file == NULL || strcmp(places[i].file, file) != 0 ||
            places[i].offset != offset)
            continue;
        if (i == 0)
            add_words(" at the batch");
        else
            add_words(" at %zu", i);
        if (size != 0 && size != places[i].size)
            add_words("+ %" PRIu64, size);
        return;
    }
    if (offset != 0 || size != 0)
        add_words(" from %" PRIu64, offset);
    if (size != 0)
        add_words(" %" PRIu64, size);
}

const char *doctor_finding_words(const struct doctor_told *told)
{
    uint64_t unnamed_count = told->verified.unnamed_count + told->repaired.unnamed_count;

    begin_words();
    for (size_t i = 0; i < told->finding_count; i++) {
        const struct doctor_finding *finding = &told->findings[i];

        add_comma();
        if (finding->of.kind == BITCASK_FINDING_KEY) {
            add_words("%s %s", finding->key, effect_word(finding->of.effect));
            continue;
        }
        add_words("%s ", kind_word(finding->of.kind));
        add_file(finding->file);
        add_place(finding->file, finding->of.offset, finding->of.size);
    }
    if (unnamed_count > 0) {
        add_comma();
        add_words("%" PRIu64 " unnamed", unnamed_count);
    }
    return words;
}

const char *doctor_step_words(const struct doctor_told *told)
{
    static const char *const actions[] = { "?", "keep", "rewrite", "quarantine" };

    begin_words();
    for (size_t i = 0; i < told->step_count; i++) {
        const struct doctor_step *step = &told->steps[i];

        add_comma();
        add_words("%s ", actions[step->of.action]);
        add_file(step->file);
        if (step->moved_to[0] != '\0' && strcmp(step->moved_to, step->file) != 0)
            add_words(" (%s)", step->moved_to);
    }
    return words;
}

static int compare_keys(const void *left, const void *right)
{
    return strcmp(left, right);
}

const char *doctor_contents(struct test_disk *disk)
{
    struct bitcask *cask = test_cask_open_read_only(disk);
    struct bitcask_iterator *iterator = NULL;
    struct bitcask_slice key, value;
    char pairs[32][32];
    size_t count = 0;

    assert_status(bitcask_iterator_open(cask, NULL, &iterator), BITCASK_OK);
    while (bitcask_iterator_next(iterator, &key, &value) == BITCASK_OK) {
        assert_true(count < LENGTH_OF(pairs));
        if (key.size == 6 && memcmp(key.data, "filler", 6) == 0)
            continue;
        (void)snprintf(pairs[count++], sizeof pairs[0], "%.*s=%.*s", (int)key.size,
                       (const char *)key.data, (int)value.size, (const char *)value.data);
    }
    bitcask_iterator_close(iterator);
    test_cask_close(cask);

    qsort(pairs, count, sizeof *pairs, compare_keys);
    begin_words();
    for (size_t i = 0; i < count; i++)
        add_words("%s%s", i > 0 ? " " : "", pairs[i]);
    return words;
}
