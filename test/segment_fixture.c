/* SPDX-License-Identifier: MIT */
#include "test/segment_fixture.h"

#include <stdlib.h>

#include "bitcask/file_name.h"

int segment_fixture_setup(void **state)
{
    struct segment_fixture *fixture = calloc(1, sizeof *fixture);
    void *disk = NULL;

    assert_non_null(fixture);
    assert_int_equal(test_disk_setup(&disk), 0);
    fixture->disk = disk;
    *state = fixture;
    return 0;
}

int segment_fixture_teardown(void **state)
{
    struct segment_fixture *fixture = *state;
    void *disk = fixture->disk;

    bitcask_segments_release(&fixture->segments);
    free(fixture);
    return test_disk_teardown(&disk);
}

void segment_fixture_begin(struct segment_fixture *fixture, bool use_mapping)
{
    bitcask_segments_release(&fixture->segments);
    bitcask_segments_init(&fixture->segments, fixture->disk->io, fixture->disk->directory,
                          use_mapping);
}

struct bitcask_segment *segment_fixture_add(struct segment_fixture *fixture,
                                            const struct data_image *image)
{
    struct bitcask_io *io = fixture->disk->io;
    struct bitcask_segment *segment = NULL;
    bitcask_file file = BITCASK_NO_FILE;
    char name[BITCASK_NAME_SIZE];

    data_image_write(image, fixture->disk);
    bitcask_data_name(name, image->id);
    assert_status(io->open(io, fixture->disk->directory, name, BITCASK_IO_READ, &file),
                  BITCASK_OK);
    assert_status(
        bitcask_segments_add(&fixture->segments, image->id, image->salt, file, &segment),
        BITCASK_OK);
    atomic_store(&segment->data_size, image->bytes.size);
    bitcask_segment_map(&fixture->segments, segment, image->bytes.size);
    return segment;
}

struct bitcask_record_key segment_fixture_wanted(const struct data_image *image,
                                                 uint64_t offset)
{
    const uint8_t *bytes = (const uint8_t *)image->bytes.data + offset;
    struct bitcask_record_key wanted = { .offset = offset };
    struct bitcask_record record;

    assert_status(
        bitcask_record_decode(bytes, image->bytes.size - (size_t)offset, &record),
        BITCASK_OK);
    wanted.key.data = bytes + bitcask_record_prefix_size(&record);
    wanted.key.size = record.key_size;
    wanted.sequence = record.sequence;
    wanted.value_size = record.value_size;
    wanted.expires = (record.flags & BITCASK_RECORD_EXPIRES) != 0;
    return wanted;
}
