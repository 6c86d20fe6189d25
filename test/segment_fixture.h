/* SPDX-License-Identifier: MIT */
/*
 * A table of segments made from data images, for the tests of segment.h.
 */
#ifndef TEST_SEGMENT_FIXTURE_H
#define TEST_SEGMENT_FIXTURE_H

#include "bitcask/segment.h"
#include "test/data_image.h"

/* As of cmocka: *state is the struct segment_fixture. The table is not there yet. */
struct segment_fixture {
    struct test_disk *disk;
    struct bitcask_segments segments;
};

int segment_fixture_setup(void **state);
int segment_fixture_teardown(void **state);

#define segment_test(function)                                       \
    cmocka_unit_test_setup_teardown(function, segment_fixture_setup, \
                                    segment_fixture_teardown)

/* An empty table; the one before is released. */
void segment_fixture_begin(struct segment_fixture *fixture, bool use_mapping);

/*
 * Write @image and add it as a segment, its file open and mapped up to its end if the
 * table uses mappings.
 */
struct bitcask_segment *segment_fixture_add(struct segment_fixture *fixture,
                                            const struct data_image *image);

/* What a keydir has for the record that was added to @image at @offset. */
struct bitcask_record_key segment_fixture_wanted(const struct data_image *image,
                                                 uint64_t offset);

#endif
