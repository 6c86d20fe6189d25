/* SPDX-License-Identifier: MIT */
/*
 * Whose a data file is, when its header does not say it any more: MANIFEST, hint and
 * header are asked in turn, and believed only if a record proves them right.
 */
#include "test/test_support.h"

#include <string.h>

#include "bitcask/bytes.h"
#include "bitcask/check.h"
#include "bitcask/identity.h"
#include "hint/hint.h"
#include "test/data_image.h"
#include "test/test_alloc.h"

#define ID 7
#define SALT UINT64_C(0x0123456789abcdef)
#define OTHER_SALT UINT64_C(0x1111111122222222)

static const char data_name[] = "0000000007.data";

/* Where things are in a file header; see format.h. */
enum {
    MAGIC = 0,
    VERSION = 8,
    FEATURES = 12,
    HEADER_ID = 16,
    HEADER_SALT = 24,
    CREATED = 32,
    CHECK = 60
};

static void write_data(struct test_disk *disk, bool has_record)
{
    struct data_image image;

    data_image_init(&image, ID, SALT);
    if (has_record) {
        data_image_put(&image, "ada", "1815");
        data_image_put(&image, "eve", "here");
    }
    data_image_write(&image, disk);
    data_image_release(&image);
}

/* A hint without entries: only its header is looked at. 0: none. */
static void write_hint(struct test_disk *disk, uint64_t salt)
{
    struct bitcask_hint_writer writer;

    if (salt == 0)
        return;
    assert_status(bitcask_hint_writer_init(&writer, ID, salt), BITCASK_OK);
    assert_status(bitcask_hint_writer_commit(&writer, disk->io, disk->directory, ID,
                                             BITCASK_FILE_HEADER_SIZE),
                  BITCASK_OK);
    bitcask_hint_writer_release(&writer);
}

static enum bitcask_status identify(struct test_disk *disk, uint64_t id,
                                    uint64_t manifest_salt,
                                    struct bitcask_identity *identity)
{
    struct bitcask_manifest_segment line = { .state = BITCASK_MANIFEST_SEALED,
                                             .id = ID,
                                             .salt = manifest_salt };
    struct bitcask_manifest manifest = { .segments = &line, .segment_count = 1 };
    struct bitcask_io *io = bitcask_io_posix(); /* the file is there */
    bitcask_file directory, file;
    enum bitcask_status status;

    assert_status(io->directory_open(io, disk->path, &directory), BITCASK_OK);
    assert_status(io->open(io, directory, data_name, BITCASK_IO_READ, &file), BITCASK_OK);
    status = bitcask_identify(disk->io, disk->directory, id, file,
                              test_disk_size(disk, data_name),
                              manifest_salt != 0 ? &manifest : NULL, identity);
    io->close(io, file);
    io->close(io, directory);
    return status;
}

/* How a header is damaged. */
struct damage {
    uint64_t offset; /* of a byte that is turned */
    uint64_t size;   /* so many, from there on; 0: nothing is damaged */
    bool checked;    /* and the check of the header is made again */
};

static void apply(struct test_disk *disk, const struct damage *damage)
{
    struct bitcask_buffer bytes = { 0 };

    for (uint64_t i = 0; i < damage->size; i++)
        test_disk_flip(disk, data_name, damage->offset + i, 0x10);
    if (damage->checked) {
        test_disk_read(disk, data_name, &bytes);
        bitcask_store32((uint8_t *)bytes.data + CHECK,
                        bitcask_check(0, bytes.data, CHECK));
        test_disk_write(disk, data_name, bytes.data, bytes.size);
        bitcask_buffer_release(&bytes);
    }
}

#define NOTHING     \
    {               \
        0, 0, false \
    }

struct identity_case {
    const char *what;
    struct damage damage;
    bool empty; /* it has no record */
    uint64_t manifest_salt, hint_salt;
    enum bitcask_status header;
    bool known;
};

static const struct identity_case cases[] = {
    { "nothing is wrong", NOTHING, false, 0, 0, BITCASK_OK, true },
    { "nothing is wrong, without a record", NOTHING, true, 0, 0, BITCASK_OK, true },
    { "others say something else", NOTHING, false, OTHER_SALT, OTHER_SALT, BITCASK_OK,
      true },
    { "the check alone", { CHECK, 4, false }, false, 0, 0, BITCASK_CORRUPT, true },
    { "the magic", { MAGIC, 8, false }, false, 0, 0, BITCASK_CORRUPT, true },
    { "the time", { CREATED, 1, false }, false, 0, 0, BITCASK_CORRUPT, true },
    { "the id", { HEADER_ID, 8, false }, false, 0, 0, BITCASK_CORRUPT, true },
    { "the salt, and nobody knows",
      { HEADER_SALT, 1, false },
      false,
      0,
      0,
      BITCASK_CORRUPT,
      false },
    { "the salt, and MANIFEST knows",
      { HEADER_SALT, 1, false },
      false,
      SALT,
      0,
      BITCASK_CORRUPT,
      true },
    { "the salt, and the hint knows",
      { HEADER_SALT, 1, false },
      false,
      0,
      SALT,
      BITCASK_CORRUPT,
      true },
    { "all of it, the hint knows, MANIFEST is wrong",
      { 0, 64, false },
      false,
      OTHER_SALT,
      SALT,
      BITCASK_CORRUPT,
      true },
    { "all of it, MANIFEST knows, the hint is wrong",
      { 0, 64, false },
      false,
      SALT,
      OTHER_SALT,
      BITCASK_CORRUPT,
      true },
    { "the magic, others are wrong, the header is right",
      { MAGIC, 1, false },
      false,
      OTHER_SALT,
      OTHER_SALT,
      BITCASK_CORRUPT,
      true },
    { "all of it, and all are wrong",
      { 0, 64, false },
      false,
      OTHER_SALT,
      OTHER_SALT,
      BITCASK_CORRUPT,
      false },
    { "the magic, and there is no record to prove it",
      { MAGIC, 1, false },
      true,
      SALT,
      SALT,
      BITCASK_CORRUPT,
      false },
    { "another version, and the check is bad",
      { VERSION, 1, false },
      false,
      SALT,
      0,
      BITCASK_CORRUPT,
      true },
    { "other features, and the check is bad",
      { FEATURES, 4, false },
      false,
      0,
      0,
      BITCASK_CORRUPT,
      true },
    { "another version and other features, and the check is bad",
      { VERSION, 8, false },
      false,
      0,
      0,
      BITCASK_CORRUPT,
      true },
    { "the same, without a record to prove it",
      { VERSION, 8, false },
      true,
      SALT,
      SALT,
      BITCASK_UNSUPPORTED,
      false },
    { "another version, written as such",
      { VERSION, 1, true },
      false,
      SALT,
      SALT,
      BITCASK_UNSUPPORTED,
      false },
    { "other features, written as such",
      { FEATURES, 1, true },
      false,
      0,
      0,
      BITCASK_UNSUPPORTED,
      false },
};

static void a_record_proves_whose_a_file_is(void **state)
{
    struct test_disk *disk = *state;

    for (size_t i = 0; i < LENGTH_OF(cases); i++) {
        const struct identity_case *one = &cases[i];
        struct bitcask_identity identity;

        test_disk_clear(disk);
        write_data(disk, !one->empty);
        apply(disk, &one->damage);
        write_hint(disk, one->hint_salt);
        assert_status(identify(disk, ID, one->manifest_salt, &identity), BITCASK_OK);
        if (identity.header != one->header || identity.known != one->known ||
            identity.salt != (one->known ? SALT : 0))
            fail_msg("%s: header %s, %s, salt %lx", one->what,
                     bitcask_status_text(identity.header),
                     identity.known ? "known" : "not known",
                     (unsigned long)identity.salt);
        if (one->known)
            assert_int_equal(identity.id, ID);
    }
}

static void a_header_goes_before_the_name(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_identity identity;

    write_data(disk, true);
    assert_status(identify(disk, 12, SALT, &identity), BITCASK_OK);
    assert_int_equal(identity.id, ID);

    /* A damaged one does not; but where there is no name, it is better than nothing. */
    test_disk_flip(disk, data_name, CREATED, 1);
    assert_status(identify(disk, 12, 0, &identity), BITCASK_OK);
    assert_true(identity.known);
    assert_int_equal(identity.id, 12);
    assert_status(identify(disk, 0, 0, &identity), BITCASK_OK);
    assert_true(identity.known);
    assert_int_equal(identity.id, ID);
}

static void a_file_without_a_whole_header_is_nobodys(void **state)
{
    struct test_disk *disk = *state;

    for (uint64_t size = 0; size < BITCASK_FILE_HEADER_SIZE; size += 9) {
        struct bitcask_identity identity;

        write_data(disk, true);
        test_disk_truncate(disk, data_name, size);
        assert_status(identify(disk, ID, SALT, &identity), BITCASK_OK);
        assert_int_equal(identity.header, BITCASK_CORRUPT);
        assert_false(identity.known);
        assert_int_equal(identity.salt, 0);
    }
}

static void a_hint_tells_its_salt_if_its_header_is_whole(void **state)
{
    struct test_disk *disk = *state;
    uint64_t salt = 1;

    assert_status(bitcask_identify_hint(disk->io, disk->directory, ID, &salt),
                  BITCASK_OK);
    assert_int_equal(salt, 0); /* there is none */
    write_hint(disk, SALT);
    assert_status(bitcask_identify_hint(disk->io, disk->directory, ID, &salt),
                  BITCASK_OK);
    assert_int_equal(salt, SALT);
    test_disk_flip(disk, "0000000007.hint", HEADER_SALT, 1);
    assert_status(bitcask_identify_hint(disk->io, disk->directory, ID, &salt),
                  BITCASK_OK);
    assert_int_equal(salt, 0);
    test_disk_truncate(disk, "0000000007.hint", 10);
    assert_status(bitcask_identify_hint(disk->io, disk->directory, ID, &salt),
                  BITCASK_OK);
    assert_int_equal(salt, 0);
}

/* What cannot be read, or remembered, is never taken for somebody else's. */
static void a_failure_makes_no_other_owner(void **state)
{
    struct test_disk *disk = *state;
    long failures;

    write_data(disk, true);
    apply(disk, &(const struct damage){ MAGIC, 1, false });
    write_hint(disk, SALT);
    for (long skip = 0;; skip++) {
        const struct fault_plan plan = { .calls = FAULT_ANY, .skip = skip };
        struct bitcask_identity identity = { .known = true };
        enum bitcask_status status;

        fault_io_arm(&disk->fault, &plan);
        status = identify(disk, ID, 0, &identity);
        failures = fault_io_failure_count(&disk->fault);
        fault_io_disarm(&disk->fault);
        assert_true(status == BITCASK_OK || status == BITCASK_IO);
        if (status == BITCASK_OK && identity.known)
            assert_int_equal(identity.salt, SALT);
        if (failures == 0)
            break;
        assert_true(skip < 100);
    }
    for (long skip = 0;; skip++) {
        struct bitcask_identity identity;
        enum bitcask_status status;

        test_alloc_fail(skip);
        status = identify(disk, ID, 0, &identity);
        failures = test_alloc_stop();
        assert_status(status, failures > 0 ? BITCASK_NO_MEMORY : BITCASK_OK);
        if (failures == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_record_proves_whose_a_file_is),
        disk_test(a_header_goes_before_the_name),
        disk_test(a_file_without_a_whole_header_is_nobodys),
        disk_test(a_hint_tells_its_salt_if_its_header_is_whole),
        disk_test(a_failure_makes_no_other_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
