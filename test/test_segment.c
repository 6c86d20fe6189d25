/* SPDX-License-Identifier: MIT */
/* Reading from segments; test_segment_damage.c reads from bad ones. */
#include "test/segment_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bitcask/file_name.h"
#include "test/test_alloc.h"

#define SALT UINT64_C(0x0123456789abcdef)

/* What is read through the mapping can be copied from there, and nothing else. */
static void expect_copy(struct segment_fixture *fixture, struct bitcask_segment *segment,
                        const struct bitcask_record_key *wanted,
                        struct bitcask_slice expected)
{
    uint8_t *value = malloc(expected.size + 2);
    uint64_t end =
        wanted->offset + BITCASK_RECORD_HEADER_SIZE + wanted->key.size + expected.size;

    assert_non_null(value);
    memset(value, 0xee, expected.size + 2);
    if (fixture->segments.use_mapping && !wanted->expires && end <= segment->map_size) {
        assert_true(bitcask_segment_copy_mapped(segment, wanted, value));
        assert_memory_equal(value, expected.data, expected.size);
        assert_int_equal(value[expected.size], 0);
    } else {
        assert_false(bitcask_segment_copy_mapped(segment, wanted, value));
        assert_int_equal(value[expected.size], 0xee);
    }
    assert_int_equal(value[expected.size + 1], 0xee);
    free(value);
}

/* Read what was added to @image at @offset, and compare it with @expected. */
static void expect_read(struct segment_fixture *fixture, struct bitcask_segment *segment,
                        const struct data_image *image, uint64_t offset,
                        struct bitcask_slice expected, struct bitcask_buffer *value)
{
    struct bitcask_record_key wanted = segment_fixture_wanted(image, offset);

    assert_status(bitcask_segment_read(&fixture->segments, segment, &wanted, value),
                  BITCASK_OK);
    assert_int_equal(value->size, expected.size);
    assert_non_null(value->data);
    assert_memory_equal(value->data, expected.data, expected.size);
    assert_int_equal(((char *)value->data)[value->size], 0);
    assert_true(value->capacity >= value->size);
    expect_copy(fixture, segment, &wanted, expected);
}

static void values_of_all_sizes_are_read_mapped_or_not(void **state)
{
    struct segment_fixture *fixture = *state;
    static const size_t sizes[] = { 4, 0, 1, 5000000, 3, 70000, 0 };
    uint8_t *bytes = test_noise(5000000, 1);

    for (int mapped = 0; mapped < 2; mapped++) {
        uint64_t offsets[LENGTH_OF(sizes)];
        struct bitcask_buffer value = { 0 };
        struct bitcask_segment *segment;
        struct data_image image;
        long reads;

        data_image_init(&image, 7, SALT);
        for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
            struct image_record record = {
                .key = { bytes, 1 + i * 10000 },
                .value = { bytes, sizes[i] },
                .expiry_ms = i % 2 != 0 ? UINT64_MAX : 0,
            };

            offsets[i] = data_image_add(&image, &record);
        }
        segment_fixture_begin(fixture, mapped != 0);
        segment = segment_fixture_add(fixture, &image);
        reads = fault_io_count(&fixture->disk->fault, FAULT_READ);
        for (size_t i = 0; i < LENGTH_OF(sizes); i++) {
            struct bitcask_slice expected = { bytes, sizes[i] };

            expect_read(fixture, segment, &image, offsets[i], expected, &value);
        }
        /* One read each, or none at all. */
        assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_READ) - reads,
                         mapped != 0 ? 0 : LENGTH_OF(sizes));
        bitcask_buffer_release(&value);
        data_image_release(&image);
    }
    free(bytes);
}

static void parts_of_batches_are_read_alone(void **state)
{
    static const struct image_record parts[] = {
        { .key = { "a", 1 }, .value = { "first", 5 } },
        { .key = { "b", 1 }, .value = { "second", 6 }, .expiry_ms = UINT64_MAX },
    };
    struct segment_fixture *fixture = *state;

    for (int mapped = 0; mapped < 2; mapped++) {
        struct bitcask_buffer value = { 0 };
        struct bitcask_segment *segment;
        struct data_image image;
        uint64_t offset;

        data_image_init(&image, 7, SALT);
        offset = data_image_add_batch(&image, parts, 2) + BITCASK_RECORD_HEADER_SIZE;
        segment_fixture_begin(fixture, mapped != 0);
        segment = segment_fixture_add(fixture, &image);
        expect_read(fixture, segment, &image, offset, parts[0].value, &value);
        offset += BITCASK_RECORD_HEADER_SIZE + 1 + 5;
        expect_read(fixture, segment, &image, offset, parts[1].value, &value);
        bitcask_buffer_release(&value);
        data_image_release(&image);
    }
}

static void without_a_buffer_only_header_and_key_are_read(void **state)
{
    struct segment_fixture *fixture = *state;

    for (int mapped = 0; mapped < 2; mapped++) {
        struct bitcask_record_key wanted;
        struct bitcask_segment *segment;
        struct data_image image;
        uint64_t offset;

        data_image_init(&image, 7, SALT);
        offset = data_image_put(&image, "ada", "1815");
        wanted = segment_fixture_wanted(&image, offset);
        ((uint8_t *)image.bytes.data)[image.bytes.size - 1] ^= 1; /* of the value */
        segment_fixture_begin(fixture, mapped != 0);
        segment = segment_fixture_add(fixture, &image);
        assert_status(bitcask_segment_read(&fixture->segments, segment, &wanted, NULL),
                      BITCASK_OK);
        data_image_release(&image);
    }
}

static void a_record_beyond_the_mapping_is_read_from_the_file(void **state)
{
    struct segment_fixture *fixture = *state;
    struct bitcask_buffer value = { 0 };
    struct data_image image;
    uint64_t first, second;

    data_image_init(&image, 7, SALT);
    first = data_image_put(&image, "ada", "1815");
    second = data_image_put(&image, "charles", "1791");
    for (uint64_t size = first; size <= image.bytes.size; size++) {
        struct bitcask_segment *segment;
        long reads;

        segment_fixture_begin(fixture, false);
        segment = segment_fixture_add(fixture, &image);
        fixture->segments.use_mapping = true;
        bitcask_segment_map(&fixture->segments, segment, size);
        reads = fault_io_count(&fixture->disk->fault, FAULT_READ);
        for (int parked = 0; parked < 2; parked++) {
            expect_read(fixture, segment, &image, first, bitcask_text("1815"), &value);
            expect_read(fixture, segment, &image, second, bitcask_text("1791"), &value);
            bitcask_segment_park(&fixture->segments, segment);
        }
        assert_int_equal(fault_io_count(&fixture->disk->fault, FAULT_READ) - reads,
                         2 * ((size < second) + (size < image.bytes.size)));
    }
    bitcask_buffer_release(&value);
    data_image_release(&image);
}

static void where_nothing_can_be_mapped_everything_is_read(void **state)
{
    struct segment_fixture *fixture = *state;
    struct fault_plan plan = { .calls = FAULT_BIT(FAULT_MAP), .count = FAULT_FOREVER };
    struct bitcask_buffer value = { 0 };
    struct bitcask_segment *segment;
    struct data_image image;
    uint64_t offset;

    data_image_init(&image, 7, SALT);
    offset = data_image_put(&image, "ada", "1815");
    segment_fixture_begin(fixture, true);
    fault_io_arm(&fixture->disk->fault, &plan);
    segment = segment_fixture_add(fixture, &image);
    bitcask_segment_park(&fixture->segments, segment);
    expect_read(fixture, segment, &image, offset, bitcask_text("1815"), &value);
    assert_null(segment->map);
    bitcask_buffer_release(&value);
    data_image_release(&image);
}

static void what_is_mapped_leaves_addresses_for_others(void **state)
{
    struct segment_fixture *fixture = *state;
    struct bitcask_buffer value = { 0 };
    struct bitcask_segment *segments[4];
    struct data_image images[4];
    uint64_t offset = 0;

    segment_fixture_begin(fixture, true);
    assert_true(fixture->segments.mapped_size_max <= SIZE_MAX / 4);
    for (unsigned i = 0; i < LENGTH_OF(images); i++) {
        data_image_init(&images[i], 7 + i, SALT);
        offset = data_image_put(&images[i], "ada", "1815");
        fixture->segments.mapped_size_max = 2 * images[i].bytes.size;
        if (i == 3) { /* the room of one that goes is had by another */
            assert_true(bitcask_segments_take_out(&fixture->segments, segments[0]));
            bitcask_segment_free(&fixture->segments, segments[0]);
        }
        segments[i] = segment_fixture_add(fixture, &images[i]);
        bitcask_segment_park(&fixture->segments, segments[i]);
        assert_int_equal(segments[i]->map != NULL, i != 2);
        expect_read(fixture, segments[i], &images[i], offset, bitcask_text("1815"),
                    &value);
    }
    bitcask_buffer_release(&value);
    for (unsigned i = 0; i < LENGTH_OF(images); i++)
        data_image_release(&images[i]);
}

static void a_record_is_there_until_it_expires(void **state)
{
    static const struct {
        uint64_t now_ms;
        enum bitcask_status status;
    } cases[] = {
        { 1, BITCASK_OK },
        { 999999, BITCASK_OK },
        { 1000000, BITCASK_NOT_FOUND },
        { 1000001, BITCASK_NOT_FOUND },
        { UINT64_MAX, BITCASK_NOT_FOUND },
        { 5, BITCASK_OK }, /* the clock was set back */
    };
    struct segment_fixture *fixture = *state;
    struct image_record record = {
        .key = { "session", 7 },
        .value = { "secret", 6 },
        .expiry_ms = 1000000,
    };

    for (int mapped = 0; mapped < 2; mapped++) {
        struct bitcask_record_key wanted;
        struct bitcask_segment *segment;
        struct data_image image;

        data_image_init(&image, 7, SALT);
        wanted = segment_fixture_wanted(&image, data_image_add(&image, &record));
        segment_fixture_begin(fixture, mapped != 0);
        segment = segment_fixture_add(fixture, &image);
        for (size_t i = 0; i < LENGTH_OF(cases); i++) {
            struct bitcask_buffer value = { 0 };

            atomic_store(&fixture->disk->fault.wall_ms, cases[i].now_ms);
            assert_status(
                bitcask_segment_read(&fixture->segments, segment, &wanted, NULL),
                cases[i].status);
            assert_status(
                bitcask_segment_read(&fixture->segments, segment, &wanted, &value),
                cases[i].status);
            if (cases[i].status == BITCASK_OK)
                assert_string_equal(value.data, "secret");
            else
                assert_null(value.data); /* as it was */
            bitcask_buffer_release(&value);
        }
        data_image_release(&image);
    }
}

/* Images that differ in id, salt, and value. */
static uint64_t numbered_image(struct data_image *image, uint64_t id)
{
    char value[32];

    data_image_init(image, id, SALT + id);
    (void)snprintf(value, sizeof value, "value-%llu", (unsigned long long)id);
    return data_image_put(image, "key", value);
}

/* Whether reading the record of segment @id gives what was put there. */
static bool read_numbered(struct bitcask_segments *segments,
                          struct bitcask_segment *segment, uint64_t id)
{
    struct bitcask_buffer value = { 0 };
    struct bitcask_record_key wanted = {
        .key = bitcask_text("key"),
        .offset = BITCASK_FILE_HEADER_SIZE,
        .sequence = 1,
    };
    char expected[32];
    bool fine;

    wanted.value_size = (uint32_t)snprintf(expected, sizeof expected, "value-%llu",
                                           (unsigned long long)id);
    fine = bitcask_segment_read(segments, segment, &wanted, &value) == BITCASK_OK &&
           strcmp(value.data, expected) == 0;
    bitcask_buffer_release(&value);
    return fine;
}

static void add_numbered(struct segment_fixture *fixture, uint64_t count, bool park)
{
    for (uint64_t id = 1; id <= count; id++) {
        struct bitcask_segment *segment;
        struct data_image image;

        (void)numbered_image(&image, id);
        segment = segment_fixture_add(fixture, &image);
        assert_int_equal(segment->index, id - 1);
        if (park)
            bitcask_segment_park(&fixture->segments, segment);
        data_image_release(&image);
    }
}

static void parked_segments_need_few_files(void **state)
{
    enum {
        COUNT = 700,
        FILES_MAX = 300
    };
    struct segment_fixture *fixture = *state;

    for (int mapped = 0; mapped < 2; mapped++) {
        struct rlimit before, low;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        low = before;
        low.rlim_cur = FILES_MAX;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        segment_fixture_begin(fixture, mapped != 0);
        add_numbered(fixture, COUNT, true);
        if (mapped != 0)
            assert_int_equal(fault_io_open_count(&fixture->disk->fault), 1);
        for (uint64_t id = COUNT; id > 0; id--) {
            struct bitcask_segment *segment =
                bitcask_segments_get(&fixture->segments, (uint32_t)id - 1);

            assert_true(read_numbered(&fixture->segments, segment, id));
        }
        assert_true(fault_io_open_count(&fixture->disk->fault) < FILES_MAX);
        bitcask_segments_release(&fixture->segments);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(fault_io_open_count(&fixture->disk->fault), 1);
        assert_int_equal(fault_io_map_count(&fixture->disk->fault), 0);
    }
}

static void any_number_of_segments_keep_their_places(void **state)
{
    enum {
        COUNT = 3 * BITCASK_SEGMENT_CHUNK_SIZE + 5
    };
    struct segment_fixture *fixture = *state;
    struct bitcask_segment *first = NULL;

    segment_fixture_begin(fixture, true);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct bitcask_segment *segment;

        for (long n = 0;; n++) {
            enum bitcask_status status;

            test_alloc_fail(n);
            status = bitcask_segments_add(&fixture->segments, i + 100, SALT + i,
                                          BITCASK_NO_FILE, &segment);
            if (test_alloc_stop() == 0) {
                assert_status(status, BITCASK_OK);
                break;
            }
            assert_status(status, BITCASK_NO_MEMORY);
            assert_int_equal(atomic_load(&fixture->segments.count), i);
        }
        if (i == 0)
            first = segment;
        assert_int_equal(segment->index, i);
        assert_int_equal(atomic_load(&segment->data_size), 0);
        assert_int_equal(atomic_load(&fixture->segments.count), i + 1);
    }
    assert_ptr_equal(bitcask_segments_get(&fixture->segments, 0), first);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct bitcask_segment *segment = bitcask_segments_get(&fixture->segments, i);

        assert_int_equal(segment->id, i + 100);
        assert_int_equal(segment->salt, SALT + i);
    }
}

static void records_are_counted(void **state)
{
    /* A merge writes them in any order. */
    static const struct bitcask_record records[] = {
        { .kind = BITCASK_RECORD_PUT, .sequence = 8, .key_size = 3, .value_size = 9 },
        { .kind = BITCASK_RECORD_TOMBSTONE, .sequence = 7, .key_size = 5 },
        { .kind = BITCASK_RECORD_PUT, .sequence = 9, .flags = BITCASK_RECORD_EXPIRES },
    };
    struct segment_fixture *fixture = *state;
    struct bitcask_segment *segment = NULL;

    segment_fixture_begin(fixture, true);
    assert_status(
        bitcask_segments_add(&fixture->segments, 1, SALT, BITCASK_NO_FILE, &segment),
        BITCASK_OK);
    for (size_t i = 0; i < LENGTH_OF(records); i++) {
        assert_int_equal(atomic_load(&segment->expires), i > 2);
        bitcask_segment_count_record(segment, &records[i], records[i].sequence);
    }
    assert_true(atomic_load(&segment->expires));
    assert_int_equal(atomic_load(&segment->record_count), 3);
    assert_int_equal(atomic_load(&segment->tombstone_count), 1);
    assert_int_equal(atomic_load(&segment->tombstone_size),
                     BITCASK_RECORD_HEADER_SIZE + 5);
    assert_int_equal(atomic_load(&segment->first_sequence), 7);
    assert_int_equal(atomic_load(&segment->last_sequence), 9);
}

static void a_zeroed_table_is_released(void **state)
{
    struct bitcask_segments segments;

    (void)state;
    memset(&segments, 0, sizeof segments);
    bitcask_segments_release(&segments);
    bitcask_segments_release(&segments);
}

/* THREADS: some read, from files that are parked, and closed, under their hands. */
enum {
    SHARED_COUNT = 600,
    READER_COUNT = 4
};

struct crew {
    struct segment_fixture *fixture;
    _Atomic uint32_t parking; /* index of the segment that is parked next */
    _Atomic long mistakes;
};

static void *run_reader(void *context)
{
    struct crew *crew = context;
    struct bitcask_segments *segments = &crew->fixture->segments;
    uint32_t index;

    while ((index = atomic_load(&crew->parking)) < SHARED_COUNT) {
        struct bitcask_segment *segment = bitcask_segments_get(segments, index);

        for (int i = 0; i < 10; i++) {
            if (!read_numbered(segments, segment, index + 1))
                atomic_fetch_add(&crew->mistakes, 1);
        }
    }
    return NULL;
}

/* A slow disk: whoever reads holds the file for long. */
static void read_slowly(enum fault_call call, void *context)
{
    (void)context;
    if (call == FAULT_READ)
        (void)usleep(100);
}

static void a_file_is_not_closed_while_somebody_reads_it(void **state)
{
    struct segment_fixture *fixture = *state;
    struct crew crew = { .fixture = fixture };
    pthread_t threads[READER_COUNT];

    segment_fixture_begin(fixture, false);
    add_numbered(fixture, SHARED_COUNT, false);
    /* As if enough were open, so that each is closed when it is parked. */
    atomic_store(&fixture->segments.open_count, 1000000);
    fixture->disk->fault.before = read_slowly;
    for (size_t i = 0; i < READER_COUNT; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_reader, &crew), 0);
    for (uint32_t i = 0; i < SHARED_COUNT; i++) {
        (void)usleep(300 + 17 * (i % 20)); /* let them begin to read it */
        bitcask_segment_park(&fixture->segments,
                             bitcask_segments_get(&fixture->segments, i));
        atomic_store(&crew.parking, i + 1);
    }
    for (size_t i = 0; i < READER_COUNT; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crew.mistakes), 0);
    assert_int_equal(fault_io_open_count(&fixture->disk->fault), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        segment_test(values_of_all_sizes_are_read_mapped_or_not),
        segment_test(parts_of_batches_are_read_alone),
        segment_test(without_a_buffer_only_header_and_key_are_read),
        segment_test(a_record_beyond_the_mapping_is_read_from_the_file),
        segment_test(where_nothing_can_be_mapped_everything_is_read),
        segment_test(what_is_mapped_leaves_addresses_for_others),
        segment_test(a_record_is_there_until_it_expires),
        segment_test(parked_segments_need_few_files),
        segment_test(any_number_of_segments_keep_their_places),
        segment_test(records_are_counted),
        cmocka_unit_test(a_zeroed_table_is_released),
        segment_test(a_file_is_not_closed_while_somebody_reads_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
