/* SPDX-License-Identifier: MIT */
/*
 * Scanning data files that are not as they were written. What a scan gives is put into
 * words, an item each: kind, key or size, then k, v, b for a bad key check, value check
 * or batch; parts of batches in parentheses.
 */
#include "test/test_support.h"

#include <stdio.h>
#include <string.h>

#include "bitcask/bytes.h"
#include "bitcask/identity.h"
#include "bitcask/inspect.h"
#include "bitcask/scan.h"
#include "test/data_image.h"

#define SALT UINT64_C(0x0123456789abcdef)

static const char name[] = "0000000007.data";

static const struct image_record parts[] = {
    { .key = { "p", 1 }, .value = { "part", 4 } },
    { .key = { "ada", 3 }, .deletes = true },
};

/* Where the records begin, and the end: ada, eve, a batch of p and ada, z. */
struct sample {
    struct test_disk *disk;
    struct data_image image;
    uint64_t ada, eve, batch, z, end;
};

static void sample_write(struct sample *sample, struct test_disk *disk)
{
    static const struct image_record expiring = { .key = { "eve", 3 },
                                                  .value = { "abcdefgh", 8 },
                                                  .expiry_ms = 1700000000000 };

    sample->disk = disk;
    data_image_init(&sample->image, 7, SALT);
    sample->ada = data_image_put(&sample->image, "ada", "1815");
    sample->eve = data_image_add(&sample->image, &expiring);
    sample->batch = data_image_add_batch(&sample->image, parts, LENGTH_OF(parts));
    sample->z = data_image_put(&sample->image, "z", "last");
    sample->end = sample->image.bytes.size;
    data_image_write(&sample->image, disk);
}

static const char *kind_text(enum bitcask_inspect_kind kind)
{
    static const char *const texts[] = { "?", "put", "delete", "batch", "damage" };

    return texts[kind];
}

static void describe(const struct bitcask_scan_item *item, char *text, size_t size)
{
    size_t used = strlen(text);

    (void)snprintf(text + used, size - used, "%s%s%s ", used > 0 ? " " : "",
                   item->batch_offset != 0 ? "(" : "", kind_text(item->kind));
    used = strlen(text);
    if (item->kind == BITCASK_INSPECT_DAMAGE || item->kind == BITCASK_INSPECT_BATCH)
        (void)snprintf(text + used, size - used, "%d", (int)item->size);
    else
        (void)snprintf(text + used, size - used, "%.*s", (int)item->key.size,
                       (const char *)item->key.data);
    used = strlen(text);
    if (item->kind != BITCASK_INSPECT_DAMAGE)
        (void)snprintf(text + used, size - used, "%s%s%s", item->key_intact ? "" : "-k",
                       item->value_intact ? "" : "-v", item->batch_intact ? "" : "-b");
    used = strlen(text);
    (void)snprintf(text + used, size - used, "%s", item->batch_offset != 0 ? ")" : "");
}

/* Scan the file, and see that items follow each other without a gap. */
static enum bitcask_status scan_file(struct test_disk *disk, uint64_t from, char *text,
                                     size_t size)
{
    struct bitcask_scan scan;
    struct bitcask_scan_item item;
    bitcask_file file;
    uint64_t end;
    uint64_t next = BITCASK_FILE_HEADER_SIZE;
    enum bitcask_status failure = BITCASK_OK;
    enum bitcask_status status;

    text[0] = '\0';
    assert_status(bitcask_data_file_open_unchecked(disk->io, disk->directory, 7,
                                                   BITCASK_IO_READ, &file, &end),
                  BITCASK_OK);
    assert_status(bitcask_scan_init(&scan, disk->io, file, 7, SALT, end), BITCASK_OK);
    if (from > 0)
        bitcask_scan_seek(&scan, from);
    for (int i = 0;; i++) {
        assert_true(i < 1000);
        status = bitcask_scan_next(&scan, &item);
        if (status == BITCASK_NOT_FOUND)
            break;
        if (status != BITCASK_OK) {
            failure = status;
            continue;
        }
        if (from == 0 && failure == BITCASK_OK && item.batch_offset == 0)
            assert_int_equal(item.offset, next);
        if (item.batch_offset == 0)
            next = item.offset + item.size;
        else
            assert_true(item.offset >= item.batch_offset &&
                        item.offset + item.size <= next);
        describe(&item, text, size);
    }
    if (from == 0 && failure == BITCASK_OK)
        assert_int_equal(next,
                         end > BITCASK_FILE_HEADER_SIZE ? end : BITCASK_FILE_HEADER_SIZE);
    bitcask_scan_release(&scan);
    disk->io->close(disk->io, file);
    return failure;
}

#define expect_scan(disk, words) expect(disk, 0, words, __LINE__)
static void expect(struct test_disk *disk, uint64_t from, const char *words, int line)
{
    char text[1024];

    assert_status(scan_file(disk, from, text, sizeof text), BITCASK_OK);
    if (strcmp(text, words) != 0)
        fail_msg("line %d: the scan gives \"%s\", not \"%s\"", line, text, words);
}

#define WHOLE "put ada put eve batch 92 (put p) (delete ada) put z"

static void a_whole_file(void **state)
{
    struct sample sample;

    sample_write(&sample, *state);
    assert_int_equal(sample.z - sample.batch, 92);
    expect_scan(*state, WHOLE);
    expect(*state, sample.eve + 1, "batch 92 (put p) (delete ada) put z", __LINE__);
    expect(*state, sample.end - 3, "", __LINE__);
    expect(*state, sample.end + 100, "", __LINE__);
    data_image_release(&sample.image);
}

/* What one changed byte makes of the file. */
static void flip_once(struct sample *sample, uint64_t offset, const char *words, int line)
{
    test_disk_flip(sample->disk, name, offset, 0x10);
    expect(sample->disk, 0, words, line);
    test_disk_flip(sample->disk, name, offset, 0x10);
}

static void one_changed_byte(void **state)
{
    struct sample s;
    uint64_t part;

    sample_write(&s, *state);
    part = s.batch + BITCASK_RECORD_HEADER_SIZE;
    /* A key: its length is right, and so it can still be shown. */
    flip_once(&s, s.ada + 28, "put qda-k put eve batch 92 (put p) (delete ada) put z",
              __LINE__);
    /* The size of the value: nothing can be made of it. */
    flip_once(&s, s.ada + 24, "damage 35 put eve batch 92 (put p) (delete ada) put z",
              __LINE__);
    /* A value. */
    flip_once(&s, s.ada + 31, "put ada-v put eve batch 92 (put p) (delete ada) put z",
              __LINE__);
    flip_once(&s, s.end - 1, "put ada put eve batch 92 (put p) (delete ada) put z-v",
              __LINE__);
    /* The check of a batch: its parts speak for themselves. */
    flip_once(&s, s.batch, "put ada put eve batch 92-k (put p) (delete ada) put z",
              __LINE__);
    flip_once(&s, s.batch + 16, "put ada put eve batch 92-k (put p) (delete ada) put z",
              __LINE__);
    /* A part of a batch: none of it counts. */
    flip_once(&s, part + 29,
              "put ada put eve batch 92-v (put p-v-b) (delete ada-b) put z", __LINE__);
    flip_once(&s, part + 28,
              "put ada put eve batch 92-v (put `-k-b) (delete ada-b) put z", __LINE__);
    flip_once(&s, part + 22,
              "put ada put eve batch 92-v (damage 33) (delete ada-b) put z", __LINE__);
    data_image_release(&s.image);
}

static void cut_files(void **state)
{
    struct sample s;
    char text[1024];

    sample_write(&s, *state);
    test_disk_truncate(*state, name, s.end - 1);
    expect_scan(*state, "put ada put eve batch 92 (put p) (delete ada) put z-v");
    test_disk_truncate(*state, name, s.z + 28);
    expect_scan(*state, "put ada put eve batch 92 (put p) (delete ada) damage 28");
    test_disk_truncate(*state, name, s.z - 1);
    expect_scan(*state, "put ada put eve batch 91-v (put p-b) (damage 30)");
    for (uint64_t size = s.z; size-- > 0;) {
        test_disk_truncate(*state, name, size);
        assert_status(scan_file(*state, 0, text, sizeof text), BITCASK_OK);
    }
    data_image_release(&s.image);
}

/* Records behind zeros are found, and what is stored in a value is none. */
static void zeros_and_values(void **state)
{
    static const uint8_t zeros[100];
    struct data_image image;

    data_image_init(&image, 7, SALT);
    data_image_put(&image, "a", "1");
    data_image_add_bytes(&image, zeros, sizeof zeros);
    image.next_sequence = 9;
    data_image_put(&image, "b", "2");
    data_image_write(&image, *state);
    expect_scan(*state, "put a damage 100 put b");
    data_image_release(&image);
}

/* Pages that cannot be read are stepped over. */
static void unreadable_pages(void **state)
{
    struct test_disk *disk = *state;
    struct fault_plan plan = { .calls = FAULT_BIT(FAULT_READ), .count = FAULT_FOREVER };
    struct sample sample;
    char text[1024];

    sample_write(&sample, *state);
    fault_io_arm(&disk->fault, &plan);
    assert_status(scan_file(disk, 0, text, sizeof text), BITCASK_IO);
    fault_io_disarm(&disk->fault);
    assert_string_equal(text, "");
    data_image_release(&sample.image);
}

/* The inspector on the same file, and who knows the salt when the header is damaged. */
static void inspector(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_inspector *inspector = NULL;
    const struct bitcask_inspect_header *header;
    struct bitcask_inspect_item item;
    struct sample sample;
    char path[512], value[8];
    size_t got;

    sample_write(&sample, disk);
    (void)snprintf(path, sizeof path, "%s/%s", disk->path, name);
    for (unsigned offset = 0; offset < BITCASK_FILE_HEADER_SIZE; offset++) {
        bool salt_hit = offset >= 24 && offset < 32;

        test_disk_flip(disk, name, offset, 0x40);
        assert_status(bitcask_inspector_open(&inspector, path, 0), BITCASK_OK);
        header = bitcask_inspector_header(inspector);
        assert_int_equal(header->file, BITCASK_INSPECT_DATA);
        assert_false(header->intact);
        assert_int_equal(header->salt_found, !salt_hit);
        assert_status(bitcask_inspector_next(inspector, &item), BITCASK_OK);
        assert_int_equal(item.key_intact, !salt_hit);
        bitcask_inspector_close(inspector);
        test_disk_flip(disk, name, offset, 0x40);
    }

    assert_status(bitcask_inspector_open(&inspector, path, 0), BITCASK_OK);
    header = bitcask_inspector_header(inspector);
    assert_true(header->intact && header->segment_id == 7 && header->salt == SALT);
    assert_status(bitcask_inspector_next(inspector, &item), BITCASK_OK);
    assert_int_equal(item.value_size, 4);
    assert_status(bitcask_inspector_read(inspector, item.value_offset, value, 4, &got),
                  BITCASK_OK);
    assert_int_equal(got, 4);
    assert_memory_equal(value, "1815", 4);
    while (bitcask_inspector_next(inspector, &item) == BITCASK_OK)
        continue;
    data_image_put(&sample.image, "grown", "later");
    data_image_write(&sample.image, disk);
    assert_status(bitcask_inspector_next(inspector, &item), BITCASK_OK);
    assert_int_equal(item.key.size, 5);
    assert_memory_equal(item.key.data, "grown", 5);
    assert_status(bitcask_inspector_next(inspector, &item), BITCASK_NOT_FOUND);
    bitcask_inspector_close(inspector);

    assert_status(bitcask_inspector_open(&inspector, disk->path, 0), BITCASK_MISUSE);
    assert_status(bitcask_inspector_open(&inspector, "no/such/file", 0),
                  BITCASK_NOT_FOUND);
    assert_status(bitcask_inspector_open(NULL, path, 0), BITCASK_MISUSE);
    data_image_release(&sample.image);
}

/* Noise in the place of version and features is no newer version, if records are ours. */
static void damaged_versions(void **state)
{
    struct bitcask_inspector *inspector = NULL;
    struct sample sample;
    uint8_t *bytes;
    char path[512];

    sample_write(&sample, *state);
    (void)snprintf(path, sizeof path, "%s/%s", ((struct test_disk *)*state)->path, name);
    bytes = sample.image.bytes.data;
    memset(bytes + 8, 0xab, 8);
    for (int newer = 0; newer < 2; newer++) {
        if (newer == 1)
            bitcask_store32(bytes + 60, bitcask_check(0, bytes, 60));
        data_image_write(&sample.image, *state);
        assert_status(bitcask_inspector_open(&inspector, path, 0), BITCASK_OK);
        assert_false(bitcask_inspector_header(inspector)->intact);
        assert_int_equal(bitcask_inspector_header(inspector)->salt_found, newer == 0);
        bitcask_inspector_close(inspector);
    }
    data_image_release(&sample.image);
}

/* The size that is damaged ends where a record does: the one before it is shown. */
static void a_wrong_size_hides_nothing(void **state)
{
    struct data_image image;
    uint64_t first;

    data_image_init(&image, 7, SALT);
    first = data_image_put(&image, "a", "0123456789abcdef");
    (void)data_image_put(&image, "hidden", "012345678901234567890123456789"); /* 64 */
    (void)data_image_put(&image, "z", "last");
    data_image_write(&image, *state);
    test_disk_flip(*state, name, first + 24, 64);
    expect_scan(*state, "damage 45 put hidden put z");
    test_disk_truncate(*state, name, image.bytes.size - 33);
    expect_scan(*state, "damage 45 put hidden");
    data_image_release(&image);
}

static void a_wrong_size_hides_no_batch(void **state)
{
    static const struct image_record part = { .key = { "b", 1 },
                                              .value = { "1234567", 7 } };
    struct data_image image;
    uint64_t first;

    data_image_init(&image, 7, SALT);
    first = data_image_add_batch(&image, parts, 1);
    (void)data_image_add_batch(&image, &part, 1); /* 64 */
    (void)data_image_put(&image, "z", "last");
    data_image_write(&image, *state);
    test_disk_flip(*state, name, first + 24, 64);
    expect_scan(*state, "damage 28 put p batch 64 (put b) put z");
    data_image_release(&image);
}

/* Behind damage, too, a record is found of which the end of the file cuts off the value.
 */
static void damage_before_a_cut(void **state)
{
    struct data_image image;
    uint64_t second;

    data_image_init(&image, 7, SALT);
    (void)data_image_put(&image, "a", "one");
    second = data_image_put(&image, "b", "two");
    (void)data_image_put(&image, "z", "last");
    data_image_write(&image, *state);
    test_disk_truncate(*state, name, image.bytes.size - 2);
    test_disk_flip(*state, name, second + 24, 0x10);
    expect_scan(*state, "put a damage 32 put z-v");
    data_image_release(&image);
}

/* A writer is in the middle of a record: what was damage is looked at again. */
static void growth_in_a_record(void **state)
{
    struct test_disk *disk = *state;
    struct bitcask_inspector *inspector = NULL;
    struct bitcask_inspect_item item;
    struct sample sample;
    char path[512];

    sample_write(&sample, disk);
    (void)snprintf(path, sizeof path, "%s/%s", disk->path, name);
    for (uint64_t size = sample.z + 1; size < sample.end; size++) {
        test_disk_truncate(disk, name, size);
        assert_status(bitcask_inspector_open(&inspector, path, 0), BITCASK_OK);
        do {
            assert_status(bitcask_inspector_next(inspector, &item), BITCASK_OK);
        } while (item.offset < sample.z);
        assert_false(item.key_intact && item.value_intact);
        assert_status(bitcask_inspector_next(inspector, &item), BITCASK_NOT_FOUND);
        data_image_write(&sample.image, disk);
        assert_status(bitcask_inspector_next(inspector, &item), BITCASK_OK);
        assert_true(item.key_intact && item.value_intact && item.offset == sample.z);
        bitcask_inspector_close(inspector);
    }
    data_image_release(&sample.image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        disk_test(a_whole_file),        disk_test(one_changed_byte),
        disk_test(cut_files),           disk_test(zeros_and_values),
        disk_test(unreadable_pages),    disk_test(inspector),
        disk_test(growth_in_a_record),  disk_test(a_wrong_size_hides_nothing),
        disk_test(damaged_versions),    disk_test(a_wrong_size_hides_no_batch),
        disk_test(damage_before_a_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
