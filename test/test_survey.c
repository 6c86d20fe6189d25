/* SPDX-License-Identifier: MIT */
/*
 * Surveying one data file and its hint: what is whole is counted, what is not is noted
 * with the keys that it hits, and hint and data are held against each other.
 */
#include "test/test_support.h"

#include <stdio.h>
#include <string.h>

#include "bitcask/survey.h"
#include "test/data_image.h"
#include "test/test_alloc.h"

#define ID 7
#define SALT UINT64_C(0x0123456789abcdef)

static const char data_name[] = "0000000007.data";
static const char hint_name[] = "0000000007.hint";

enum {
    NOW_MS = 1000
};

/* Puts a, b; the batch p, and the deletion of b; put c, which expires at NOW_MS; put d.
 */
struct sample {
    struct test_disk *disk;
    struct data_image image;
    uint64_t a, b, batch, p, b_deleted, c, d, end;
    struct bitcask_surveyor surveyor;
    struct bitcask_sequence_set sequences;
    struct bitcask_survey survey;
};

static void sample_begin(struct sample *sample, struct test_disk *disk)
{
    static const struct image_record parts[] = {
        { .key = { "p", 1 }, .value = { "part", 4 } },
        { .key = { "b", 1 }, .deletes = true },
    };
    static const struct image_record expiring = { .key = { "c", 1 },
                                                  .value = { "old", 3 },
                                                  .expiry_ms = NOW_MS };

    memset(sample, 0, sizeof *sample);
    sample->disk = disk;
    data_image_init(&sample->image, ID, SALT);
    sample->a = data_image_put(&sample->image, "a", "first");
    sample->b = data_image_put(&sample->image, "b", "second");
    sample->batch = data_image_add_batch(&sample->image, parts, LENGTH_OF(parts));
    sample->p = sample->batch + BITCASK_RECORD_HEADER_SIZE;
    sample->b_deleted = sample->p + BITCASK_RECORD_HEADER_SIZE + 1 + 4;
    sample->c = data_image_add(&sample->image, &expiring);
    sample->d = data_image_put(&sample->image, "d", "last");
    sample->end = sample->image.bytes.size;
    data_image_write(&sample->image, disk);
    assert_status(bitcask_sequence_set_init(&sample->sequences), BITCASK_OK);
    sample->surveyor.io = disk->io;
    sample->surveyor.directory = disk->directory;
    sample->surveyor.now_ms = NOW_MS;
    sample->surveyor.sequences = &sample->sequences;
}

static void sample_end(struct sample *sample)
{
    bitcask_survey_release(&sample->survey);
    bitcask_buffer_release(&sample->surveyor.window);
    bitcask_sequence_set_release(&sample->sequences);
    data_image_release(&sample->image);
}

struct hint_record {
    char key;
    uint8_t kind;
    uint8_t flags;
    uint32_t value_size;
    uint64_t offset;
    uint64_t sequence;
};

/* A hint of the first @count records, and of @extra unless NULL; it covers @covered. */
static void write_hint(struct sample *sample, size_t count, uint64_t covered,
                       const struct hint_record *extra)
{
    const struct hint_record records[] = {
        { 'a', BITCASK_RECORD_PUT, 0, 5, sample->a, 1 },
        { 'b', BITCASK_RECORD_PUT, 0, 6, sample->b, 2 },
        { 'p', BITCASK_RECORD_PUT, 0, 4, sample->p, 3 },
        { 'b', BITCASK_RECORD_TOMBSTONE, 0, 0, sample->b_deleted, 4 },
        { 'c', BITCASK_RECORD_PUT, BITCASK_RECORD_EXPIRES, 3, sample->c, 5 },
        { 'd', BITCASK_RECORD_PUT, 0, 4, sample->d, 6 },
    };
    struct bitcask_hint_writer writer;

    assert_status(bitcask_hint_writer_init(&writer, ID, SALT), BITCASK_OK);
    for (size_t i = 0; i < count + (extra != NULL); i++) {
        const struct hint_record *from = i < count ? &records[i] : extra;
        struct bitcask_hint_entry entry = {
            .kind = from->kind,
            .flags = from->flags,
            .value_size = from->value_size,
            .offset = from->offset,
            .sequence = from->sequence,
            .expiry_ms = from->flags != 0 ? NOW_MS : 0,
            .key = { &from->key, 1 },
        };

        assert_status(bitcask_hint_writer_add(&writer, &entry), BITCASK_OK);
    }
    assert_status(bitcask_hint_writer_commit(&writer, sample->disk->io,
                                             sample->disk->directory, ID, covered),
                  BITCASK_OK);
    bitcask_hint_writer_release(&writer);
}

static enum bitcask_status survey(struct sample *sample)
{
    struct bitcask_io *io = bitcask_io_posix(); /* this one does not fail */
    bitcask_file directory = BITCASK_NO_FILE, file = BITCASK_NO_FILE;
    enum bitcask_status status;

    bitcask_survey_release(&sample->survey);
    sample->survey.id = ID;
    sample->survey.salt = SALT;
    assert_status(io->directory_open(io, sample->disk->path, &directory), BITCASK_OK);
    if (io->open(io, directory, data_name, BITCASK_IO_READ, &file) == BITCASK_OK)
        sample->survey.end = test_disk_size(sample->disk, data_name);
    status = bitcask_survey_file(&sample->surveyor, file, &sample->survey);
    if (file != BITCASK_NO_FILE)
        io->close(io, file);
    io->close(io, directory);
    return status;
}

/* Flaws in words, then, behind a colon, the keys that they hit. */
static const char *words_of(const struct sample *sample)
{
    static char words[512];
    size_t size = 0;

    words[0] = '\0';
    for (size_t i = 0; i < sample->survey.flaw_count; i++) {
        const struct bitcask_flaw *flaw = &sample->survey.flaws[i];

        size += (size_t)snprintf(words + size, sizeof words - size, "%s%s%s",
                                 i > 0 ? ", " : "", bitcask_finding_text(flaw->kind),
                                 flaw->size > 0 && !flaw->named ? " (unnamed)" : "");
    }
    for (size_t i = 0; i < sample->survey.casualty_count; i++) {
        const struct bitcask_casualty *casualty = &sample->survey.casualties[i];

        size += (size_t)snprintf(
            words + size, sizeof words - size, "%s%.*s%s%s", i > 0 ? " " : ": ",
            (int)casualty->key_size, (const char *)casualty->key,
            casualty->deletes ? " deletes" : "", casualty->header_intact ? " value" : "");
        assert_int_equal(casualty->segment_id, ID);
    }
    assert_true(size < sizeof words);
    return words;
}

static void a_whole_file_is_counted(void **state)
{
    struct sample sample;

    sample_begin(&sample, *state);
    write_hint(&sample, 6, sample.end, NULL);
    assert_status(survey(&sample), BITCASK_OK);
    assert_string_equal(words_of(&sample), "");
    assert_int_equal(sample.survey.record_count, 6);
    assert_int_equal(sample.survey.tombstone_count, 1);
    assert_int_equal(sample.survey.record_size,
                     sample.end - BITCASK_FILE_HEADER_SIZE - BITCASK_RECORD_HEADER_SIZE);
    assert_int_equal(sample.survey.first_sequence, 1);
    assert_int_equal(sample.survey.last_sequence, 6);
    assert_int_equal(sample.survey.highest_sequence, 6);
    assert_int_equal(sample.survey.hint, BITCASK_HINT_GOOD);
    assert_int_equal(sample.survey.hint_covered, sample.end);
    assert_int_equal(sample.survey.hint_size, test_disk_size(*state, hint_name));
    assert_int_equal(sample.survey.entry_count, 6);
    sample_end(&sample);
}

static void what_was_seen_before_does_not_count_again(void **state)
{
    struct sample sample;

    sample_begin(&sample, *state);
    for (uint64_t sequence = 2; sequence <= 5; sequence += 3)
        assert_status(bitcask_sequence_set_add(&sample.sequences, sequence, NULL),
                      BITCASK_OK);
    assert_status(survey(&sample), BITCASK_OK);
    assert_int_equal(sample.survey.flaw_count, 1); /* once for the file */
    assert_int_equal(sample.survey.flaws[0].kind, BITCASK_FINDING_SEQUENCE);
    assert_int_equal(sample.survey.flaws[0].offset, sample.b);
    assert_int_equal(sample.survey.flaws[0].sequence, 2);
    assert_int_equal(sample.survey.double_count, 2);
    assert_int_equal(sample.survey.doubles[0], sample.b);
    assert_int_equal(sample.survey.doubles[1], sample.c);
    assert_int_equal(sample.survey.record_count, 4);

    assert_status(survey(&sample), BITCASK_OK); /* by now it has seen all of them */
    assert_int_equal(sample.survey.record_count, 0);
    assert_int_equal(sample.survey.double_count, 6);
    sample.surveyor.sequences = NULL;
    assert_status(survey(&sample), BITCASK_OK);
    assert_int_equal(sample.survey.record_count, 6);
    assert_int_equal(sample.survey.flaw_count, 0);
    sample_end(&sample);
}

static void damage_hits_the_keys_that_somebody_knows(void **state)
{
    struct sample sample;

    sample_begin(&sample, *state);
    test_disk_flip(*state, data_name, sample.c + 36, 1);    /* its key */
    test_disk_flip(*state, data_name, sample.end - 1, 1);   /* the value of d */
    test_disk_flip(*state, data_name, sample.a + 20, 0xff); /* its kind */
    test_disk_flip(*state, data_name, sample.b - 1, 1);     /* and its value */
    assert_status(survey(&sample), BITCASK_OK);
    assert_int_equal(sample.survey.record_count, 3);
    assert_string_equal(words_of(&sample),
                        "damaged bytes (unnamed), damaged bytes (unnamed), "
                        "a damaged value: d value");
    write_hint(&sample, 6, sample.end, NULL);
    sample.surveyor.sequences = NULL;
    assert_status(survey(&sample), BITCASK_OK);
    assert_string_equal(
        words_of(&sample),
        "damaged bytes, damaged bytes, a damaged value: a c deletes d value");
    sample.surveyor.now_ms--;
    assert_status(survey(&sample), BITCASK_OK);
    assert_string_equal(words_of(&sample),
                        "damaged bytes, damaged bytes, a damaged value: a c d value");
    sample_end(&sample);
}

static void a_batch_is_lost_as_a_whole(void **state)
{
    struct sample sample;

    sample_begin(&sample, *state);
    test_disk_flip(*state, data_name, sample.b_deleted - 1, 1); /* the value of p */
    assert_status(survey(&sample), BITCASK_OK);
    assert_string_equal(words_of(&sample),
                        "a damaged batch, a damaged value: p b deletes");
    assert_int_equal(sample.survey.record_count, 4);
    sample_end(&sample);
}

/* A hint that is whole, and says what is not so. The data is right. */
static void a_hint_that_lies_is_found_out(void **state)
{
    struct sample sample;
    struct {
        const char *what;
        size_t count;
        struct hint_record extra;
        uint64_t covered;
    } cases[6];

    sample_begin(&sample, *state);
    memset(cases, 0, sizeof cases);
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        cases[i].count = 5;
        cases[i].covered = sample.end;
        cases[i].extra =
            (struct hint_record){ 'd', BITCASK_RECORD_PUT, 0, 4, sample.d, 6 };
    }
    cases[0].what = "another key";
    cases[0].extra.key = 'e';
    cases[1].what = "another sequence";
    cases[1].extra.sequence = 7;
    cases[2].what = "another kind";
    cases[2].extra.kind = BITCASK_RECORD_TOMBSTONE;
    cases[2].extra.value_size = 0;
    cases[3].what = "another place";
    cases[3].extra.offset++;
    cases[4].what = "an entry is missing";
    cases[4].count = 4;
    cases[5].what = "it ends inside a record";
    cases[5].covered--;
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        write_hint(&sample, cases[i].count, cases[i].covered, &cases[i].extra);
        sample.surveyor.sequences = NULL;
        assert_status(survey(&sample), BITCASK_OK);
        if (strcmp(words_of(&sample), "a bad hint") != 0 ||
            sample.survey.hint != BITCASK_HINT_BAD)
            fail_msg("%s: \"%s\"", cases[i].what, words_of(&sample));
        assert_int_equal(sample.survey.record_count, 6);
    }
    sample_end(&sample);
}

static void a_hint_may_cover_less(void **state)
{
    struct sample sample;

    sample_begin(&sample, *state);
    sample.surveyor.sequences = NULL;
    write_hint(&sample, 5, sample.d, NULL);
    assert_status(survey(&sample), BITCASK_OK);
    assert_string_equal(words_of(&sample), "");
    assert_int_equal(sample.survey.entry_count, 5);
    assert_int_equal(sample.survey.hint_covered, sample.d);
    write_hint(&sample, 0, BITCASK_FILE_HEADER_SIZE, NULL);
    assert_status(survey(&sample), BITCASK_OK);
    assert_string_equal(words_of(&sample), "");
    sample_end(&sample);
}

static void a_hint_speaks_for_what_is_gone(void **state)
{
    struct sample sample;

    sample_begin(&sample, *state);
    sample.surveyor.sequences = NULL;
    write_hint(&sample, 6, sample.end, NULL);
    test_disk_truncate(*state, data_name, sample.c);
    assert_status(survey(&sample), BITCASK_OK);
    assert_string_equal(words_of(&sample), "a data file is cut off: c deletes d");
    assert_int_equal(sample.survey.flaws[0].offset, sample.c);
    assert_int_equal(sample.survey.flaws[0].size, sample.end - sample.c);
    assert_int_equal(sample.survey.highest_sequence, 6);
    assert_int_equal(sample.survey.last_sequence, 4);
    test_disk_remove(*state, data_name);
    assert_status(survey(&sample), BITCASK_OK);
    assert_string_equal(words_of(&sample),
                        "a data file is missing: a b p b deletes c deletes d");
    sample_end(&sample);
}

static void a_cut_makes_a_torn_tail_of_what_is_behind_it(void **state)
{
    struct sample sample;

    sample_begin(&sample, *state);
    test_disk_flip(*state, data_name, sample.b - 1, 1);
    test_disk_flip(*state, data_name, sample.end - 1, 1);
    assert_status(survey(&sample), BITCASK_OK);
    assert_string_equal(words_of(&sample),
                        "a damaged value, a damaged value: a value d value");
    bitcask_survey_cut(&sample.survey, sample.d);
    assert_string_equal(words_of(&sample), "a damaged value, a damaged value: a value");
    assert_false(sample.survey.flaws[0].torn);
    assert_true(sample.survey.flaws[1].torn);
    bitcask_survey_forget(&sample.survey);
    assert_string_equal(words_of(&sample), "");
    assert_int_equal(sample.survey.record_count, 4);
    sample_end(&sample);
}

static enum bitcask_status add_pace(void *context, uint64_t read_size)
{
    *(uint64_t *)context += read_size;
    return BITCASK_OK;
}

static enum bitcask_status stop_pace(void *context, uint64_t read_size)
{
    (void)context;
    (void)read_size;
    return BITCASK_TOO_BIG;
}

static void the_pace_is_told_of_every_byte(void **state)
{
    struct sample sample;
    uint64_t size = 0;

    sample_begin(&sample, *state);
    sample.surveyor.pace = add_pace;
    sample.surveyor.pace_context = &size;
    assert_status(survey(&sample), BITCASK_OK);
    assert_in_range(size, sample.end, sample.end + 1000);
    sample.surveyor.pace = stop_pace;
    assert_status(survey(&sample), BITCASK_TOO_BIG);
    sample_end(&sample);
}

static void no_memory_is_said(void **state)
{
    struct sample sample;
    long failures = 1;

    sample_begin(&sample, *state);
    write_hint(&sample, 6, sample.end, NULL);
    test_disk_flip(*state, data_name, sample.b - 1, 1);
    test_disk_flip(*state, data_name, sample.c + 36, 1);
    for (long skip = 0; failures > 0; skip++) {
        enum bitcask_status status;

        bitcask_buffer_release(&sample.surveyor.window);
        test_alloc_fail(skip);
        status = survey(&sample);
        failures = test_alloc_stop();
        assert_status(status, failures > 0 ? BITCASK_NO_MEMORY : BITCASK_OK);
    }
    sample_end(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_whole_file_is_counted),
        disk_test(what_was_seen_before_does_not_count_again),
        disk_test(damage_hits_the_keys_that_somebody_knows),
        disk_test(a_batch_is_lost_as_a_whole),
        disk_test(a_hint_that_lies_is_found_out),
        disk_test(a_hint_may_cover_less),
        disk_test(a_hint_speaks_for_what_is_gone),
        disk_test(a_cut_makes_a_torn_tail_of_what_is_behind_it),
        disk_test(the_pace_is_told_of_every_byte),
        disk_test(no_memory_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
