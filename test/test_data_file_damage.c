/* SPDX-License-Identifier: MIT */
/* Walking over data files that are not as they were written. */
#include "test/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "test/data_image.h"

#define SALT UINT64_C(0x0123456789abcdef)
#define WINDOW_SIZE ((size_t)1 << 20)

static const char name[] = "0000000007.data";

/* A small file with a record of every kind, and where they begin. */
struct sample {
    struct data_image image;
    uint64_t offsets[8]; /* of records outside of batches, and the end */
    size_t counts[8];    /* of records that a walk gives before that one */
    size_t record_count;
};

static const struct image_record parts[] = {
    { .key = { "p", 1 }, .value = { "part", 4 } },
    { .key = { "ada", 3 }, .deletes = true },
    { .key = { "q", 1 }, .value = { "part too", 8 }, .expiry_ms = 77 },
};

static void sample_init(struct sample *sample)
{
    static const struct image_record expiring = {
        .key = { "session", 7 },
        .value = { "abc", 3 },
        .expiry_ms = 1700000000000,
    };
    struct data_image *image = &sample->image;

    data_image_init(image, 7, SALT);
    sample->offsets[0] = data_image_put(image, "ada", "1815");
    sample->offsets[1] = data_image_add(image, &expiring);
    sample->offsets[2] = data_image_put(image, "empty", "");
    sample->offsets[3] = data_image_add_batch(image, parts, LENGTH_OF(parts));
    sample->offsets[4] = data_image_delete(image, "empty");
    sample->offsets[5] = data_image_put(image, "z", "last");
    sample->offsets[6] = image->bytes.size;
    sample->record_count = 6;
    for (size_t i = 0; i <= sample->record_count; i++)
        sample->counts[i] = i <= 3 ? i : i + LENGTH_OF(parts) - 1;
}

/* Which record of @sample the byte at @offset belongs to. */
static size_t record_at(const struct sample *sample, uint64_t offset)
{
    size_t i = 0;

    while (offset >= sample->offsets[i + 1])
        i++;
    return i;
}

/* A walk over the file up to @size. */
static bitcask_file begin_to(struct test_disk *disk, struct bitcask_walk *walk,
                             uint64_t size)
{
    bitcask_file file = BITCASK_NO_FILE;

    assert_status(disk->io->open(disk->io, disk->directory, name, BITCASK_IO_READ, &file),
                  BITCASK_OK);
    assert_status(bitcask_walk_init(walk, disk->io, file, 7, SALT, size), BITCASK_OK);
    return file;
}

static bitcask_file begin(struct test_disk *disk, struct bitcask_walk *walk)
{
    return begin_to(disk, walk, test_disk_size(disk, name));
}

static void end(struct test_disk *disk, struct bitcask_walk *walk, bitcask_file file)
{
    bitcask_walk_release(walk);
    disk->io->close(disk->io, file);
}

/* The status that ends the walk; *count records come before, all intact. */
static enum bitcask_status count_intact(struct bitcask_walk *walk, size_t *count)
{
    struct bitcask_walk_record record;
    enum bitcask_status status;

    *count = 0;
    while ((status = bitcask_walk_next(walk, &record)) == BITCASK_OK &&
           record.value_intact) {
        assert_int_equal(record.header.sequence, *count + 1);
        ++*count;
    }
    return status;
}

static void a_cut_anywhere_leaves_the_records_before_it(void **state)
{
    struct test_disk *disk = *state;
    struct sample sample;

    sample_init(&sample);
    for (size_t cut = BITCASK_FILE_HEADER_SIZE; cut <= sample.image.bytes.size; cut++) {
        size_t last = cut == sample.image.bytes.size ? sample.record_count
                                                     : record_at(&sample, cut);
        bool between = cut == sample.offsets[last];
        struct bitcask_walk walk;
        bitcask_file file;
        size_t count;

        test_disk_write(disk, name, sample.image.bytes.data, cut);
        file = begin(disk, &walk);
        assert_status(count_intact(&walk, &count),
                      between ? BITCASK_NOT_FOUND : BITCASK_CORRUPT);
        assert_int_equal(count, sample.counts[last]);
        assert_int_equal(walk.offset, sample.offsets[last]);
        if (!between)
            assert_detail(name);
        end(disk, &walk, file);
    }
    data_image_release(&sample.image);
}

static void a_file_that_shrinks_under_a_walk_is_corrupt(void **state)
{
    struct test_disk *disk = *state;
    struct sample sample;

    sample_init(&sample);
    data_image_write(&sample.image, disk);
    for (size_t cut = sample.image.bytes.size; cut-- > 0;) {
        struct bitcask_walk walk;
        bitcask_file file = begin_to(disk, &walk, sample.image.bytes.size);
        size_t count;

        walk.check_values = true;
        test_disk_truncate(disk, name, cut);
        assert_status(count_intact(&walk, &count), BITCASK_CORRUPT);
        end(disk, &walk, file);
    }
    data_image_release(&sample.image);
}

/* Zeros in place of what comes behind a cut are no records either. */
static void a_tail_of_zeros_is_no_record(void **state)
{
    struct test_disk *disk = *state;
    struct sample sample;

    sample_init(&sample);
    for (size_t cut = BITCASK_FILE_HEADER_SIZE; cut < sample.image.bytes.size; cut++) {
        size_t last = record_at(&sample, cut);
        uint8_t *bytes = calloc(1, sample.image.bytes.size);
        struct bitcask_walk walk;
        bitcask_file file;
        size_t count;

        assert_non_null(bytes);
        memcpy(bytes, sample.image.bytes.data, cut);
        if (memcmp(bytes, sample.image.bytes.data, (size_t)sample.offsets[last + 1]) !=
            0) {
            test_disk_write(disk, name, bytes, sample.image.bytes.size);
            file = begin(disk, &walk);
            walk.check_values = true;
            (void)count_intact(&walk, &count);
            assert_int_equal(count, sample.counts[last]);
            end(disk, &walk, file);
        }
        free(bytes);
    }
    data_image_release(&sample.image);
}

static void every_flipped_bit_is_found_in_its_record(void **state)
{
    struct test_disk *disk = *state;
    struct sample sample;
    size_t bad_values = 0;

    sample_init(&sample);
    data_image_write(&sample.image, disk);
    for (uint64_t offset = BITCASK_FILE_HEADER_SIZE; offset < sample.image.bytes.size;
         offset++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            size_t last = record_at(&sample, offset);
            struct bitcask_walk walk;
            bitcask_file file;
            size_t count;

            test_disk_flip(disk, name, offset, 1u << bit);
            file = begin(disk, &walk);
            walk.check_values = true;
            if (count_intact(&walk, &count) == BITCASK_OK) {
                bad_values++; /* and the walk goes on behind */
                assert_int_equal(walk.offset, sample.offsets[last + 1]);
                assert_int_not_equal(last, 3);
            } else {
                assert_int_equal(walk.offset, sample.offsets[last]);
                assert_detail(name);
            }
            assert_int_equal(count, sample.counts[last]);
            end(disk, &walk, file);
            test_disk_flip(disk, name, offset, 1u << bit);
        }
    }
    assert_int_equal(bad_values, 8 * (4 + 3 + 4)); /* the values outside the batch */
    data_image_release(&sample.image);
}

static void a_bad_value_is_only_told_if_asked_for(void **state)
{
    struct test_disk *disk = *state;
    struct data_image image;
    struct bitcask_walk_record record;
    struct bitcask_walk walk;
    bitcask_file file;

    data_image_init(&image, 7, SALT);
    (void)data_image_put(&image, "k", "value");
    (void)data_image_put(&image, "l", "value");
    data_image_write(&image, disk);
    test_disk_flip(disk, name, BITCASK_FILE_HEADER_SIZE + 28 + 1 + 2, 4);
    for (int check_values = 0; check_values < 2; check_values++) {
        file = begin(disk, &walk);
        walk.check_values = check_values != 0;
        assert_status(bitcask_walk_next(&walk, &record), BITCASK_OK);
        assert_int_equal(record.value_intact, !walk.check_values);
        assert_memory_equal(record.key.data, "k", 1);
        assert_status(bitcask_walk_next(&walk, &record), BITCASK_OK);
        assert_true(record.value_intact);
        assert_status(bitcask_walk_next(&walk, &record), BITCASK_NOT_FOUND);
        end(disk, &walk, file);
    }
    data_image_release(&image);
}

/* Give the batch at @offset, which goes on to the end, the checks that fit it. */
static void seal_batch(struct data_image *image, uint64_t offset, uint64_t sequence)
{
    uint8_t *bytes = (uint8_t *)image->bytes.data + offset;
    struct bitcask_record batch = { .kind = BITCASK_RECORD_BATCH };
    uint32_t check;

    batch.value_size = (uint32_t)(image->bytes.size - offset - 28);
    batch.value_check = bitcask_value_check(bytes + 28, batch.value_size);
    check = bitcask_record_begin(&batch, NULL, bytes);
    bitcask_record_finish(bytes, check, sequence, 0, image->salt, offset);
}

enum bad_batch {
    FIRST_SEQUENCE_DIFFERS,
    SEQUENCE_REPEATS,
    SEQUENCE_LEAPS,
    BATCH_IN_BATCH,
    ZEROS_BEHIND,
    BYTE_BEHIND,
    HEAD_BEHIND,
    PART_OF_ANOTHER_PLACE,
    PART_WITH_A_BAD_KEY,
    BAD_BATCH_COUNT
};

/* Add a batch whose check is right and whose parts are not. */
static void add_bad_batch(struct data_image *image, enum bad_batch what)
{
    static const uint8_t zeros[28];
    uint64_t sequence = image->next_sequence;
    uint64_t offset = image->bytes.size;
    uint8_t *bytes;
    uint64_t second;

    data_image_add_bytes(image, zeros, sizeof zeros);
    if (what == FIRST_SEQUENCE_DIFFERS)
        image->next_sequence++;
    (void)data_image_put(image, "a", "1");
    if (what == SEQUENCE_REPEATS)
        image->next_sequence--;
    if (what == SEQUENCE_LEAPS)
        image->next_sequence++;
    second = image->bytes.size;
    if (what == BATCH_IN_BATCH)
        (void)data_image_add_batch(image, parts, 1);
    else
        (void)data_image_put(image, "b", "2");
    if (what == ZEROS_BEHIND)
        data_image_add_bytes(image, zeros, sizeof zeros);
    if (what == BYTE_BEHIND)
        data_image_add_bytes(image, "\1", 1);
    if (what == HEAD_BEHIND)
        image->bytes.size = (size_t)data_image_put(image, "c", "a long value") + 31;

    bytes = image->bytes.data;
    if (what == PART_OF_ANOTHER_PLACE)
        memcpy(bytes + second, bytes + offset + 28, 30);
    if (what == PART_WITH_A_BAD_KEY)
        bytes[second + 28] ^= 1;
    seal_batch(image, offset, sequence);
}

static void no_part_of_a_bad_batch_is_given_out(void **state)
{
    struct test_disk *disk = *state;

    for (int what = 0; what < BAD_BATCH_COUNT; what++) {
        struct data_image image;
        struct bitcask_walk walk;
        uint64_t offset, next;
        struct bitcask_record found;
        bitcask_file file;
        size_t count;

        data_image_init(&image, 7, SALT);
        (void)data_image_put(&image, "before", "1");
        offset = image.bytes.size;
        add_bad_batch(&image, (enum bad_batch)what);
        image.next_sequence = 100;
        next = data_image_put(&image, "behind", "2");
        data_image_write(&image, disk);

        printf("  case %d\n", what);
        file = begin(disk, &walk);
        assert_status(count_intact(&walk, &count), BITCASK_CORRUPT);
        assert_int_equal(count, 1);
        assert_int_equal(walk.offset, offset);
        assert_status(bitcask_walk_resync(&walk, 100, 100, &found), BITCASK_OK);
        assert_int_equal(walk.offset, next);
        end(disk, &walk, file);
        data_image_release(&image);
    }
}

/* Resynchronising must end at the record that lies at @expected, or not at all. */
static void expect_resync(struct test_disk *disk, const struct data_image *image,
                          uint64_t from, uint64_t expected)
{
    struct bitcask_walk_record record;
    struct bitcask_record found;
    struct bitcask_walk walk;
    bitcask_file file;
    enum bitcask_status status;

    data_image_write(image, disk);
    file = begin(disk, &walk);
    walk.offset = from;
    status = bitcask_walk_resync(&walk, 1, UINT64_MAX, &found);
    assert_int_equal(walk.offset, expected);
    if (expected == walk.end) {
        assert_status(status, BITCASK_NOT_FOUND);
    } else {
        assert_status(status, BITCASK_OK);
        assert_status(bitcask_walk_next(&walk, &record), BITCASK_OK);
        assert_int_equal(record.offset, expected);
        assert_int_equal(record.header.sequence, found.sequence);
        assert_int_equal(record.header.key_size, found.key_size);
    }
    end(disk, &walk, file);
}

static void the_next_record_behind_garbage_is_found(void **state)
{
    static const size_t sizes[] = {
        0, 1, 27, 28, 29, 100, 5000, WINDOW_SIZE - 20, WINDOW_SIZE, 2 * WINDOW_SIZE + 3
    };
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
        for (int kind = 0; kind < 3; kind++) {
            uint8_t *garbage = test_noise(sizes[i], i);
            struct data_image image;
            uint64_t from, expected;

            if (kind > 0) /* zeros, or what looks like the beginning of a put */
                memset(garbage, kind - 1, sizes[i]);
            data_image_init(&image, 7, SALT);
            from = data_image_put(&image, "lost", "value") + 1;
            data_image_add_bytes(&image, garbage, sizes[i]);
            expect_resync(disk, &image, from, image.bytes.size);
            expected = data_image_put(&image, "found", "value");
            (void)data_image_put(&image, "later", "value");
            expect_resync(disk, &image, from, expected);
            data_image_release(&image);
            free(garbage);
        }
    }
}

static void records_that_belong_elsewhere_are_not_found(void **state)
{
    struct test_disk *disk = *state;
    struct data_image image, other;
    struct image_record stored = { .key = { "file", 4 } };
    uint64_t first, from, expected;
    uint8_t again[64];

    data_image_init(&image, 7, SALT);
    data_image_init(&other, 7, SALT + 1); /* of another file, at the same offsets */
    first = data_image_put(&image, "ada", "1815");
    (void)data_image_put(&other, "ada", "1815");
    for (int i = 0; i < 20; i++)
        (void)data_image_put(&other, "charles", "1791");

    from = image.bytes.size;
    assert_true(from - first <= sizeof again);
    memcpy(again, (uint8_t *)image.bytes.data + first, (size_t)(from - first));
    data_image_add_bytes(&image, again, (size_t)(from - first));
    data_image_add_bytes(&image, (uint8_t *)other.bytes.data + image.bytes.size,
                         other.bytes.size - image.bytes.size);
    stored.value.data = other.bytes.data;
    stored.value.size = other.bytes.size;
    expected = data_image_add(&image, &stored);
    expect_resync(disk, &image, from, expected);
    expect_resync(disk, &image, expected + 1, image.bytes.size);
    data_image_release(&image);
    data_image_release(&other);
}

static void only_sequences_within_the_bounds_are_found(void **state)
{
    static const struct {
        uint64_t lowest, highest;
        size_t found; /* index of a record; 4: none */
    } cases[] = {
        { 1, UINT64_MAX, 0 }, { 10, 10, 0 },         { 11, 11, 1 },
        { 11, 40, 1 },        { 12, 39, 2 },         { 13, 40, 3 },
        { 13, 39, 4 },        { 41, UINT64_MAX, 4 }, { 1, 9, 4 },
    };
    static const uint64_t sequences[] = { 10, 11, 12, 40 };
    struct test_disk *disk = *state;
    uint64_t offsets[5];
    struct data_image image;

    data_image_init(&image, 7, SALT);
    for (size_t i = 0; i < 4; i++) {
        image.next_sequence = sequences[i];
        offsets[i] = data_image_put(&image, "key", "value");
    }
    offsets[4] = image.bytes.size;
    data_image_write(&image, disk);
    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        struct bitcask_record found;
        struct bitcask_walk walk;
        bitcask_file file = begin(disk, &walk);
        enum bitcask_status status =
            bitcask_walk_resync(&walk, cases[i].lowest, cases[i].highest, &found);

        assert_status(status, cases[i].found == 4 ? BITCASK_NOT_FOUND : BITCASK_OK);
        assert_int_equal(walk.offset, offsets[cases[i].found]);
        end(disk, &walk, file);
    }
    data_image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_cut_anywhere_leaves_the_records_before_it),
        disk_test(a_file_that_shrinks_under_a_walk_is_corrupt),
        disk_test(a_tail_of_zeros_is_no_record),
        disk_test(every_flipped_bit_is_found_in_its_record),
        disk_test(a_bad_value_is_only_told_if_asked_for),
        disk_test(no_part_of_a_bad_batch_is_given_out),
        disk_test(the_next_record_behind_garbage_is_found),
        disk_test(records_that_belong_elsewhere_are_not_found),
        disk_test(only_sequences_within_the_bounds_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
