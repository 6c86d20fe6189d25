/* SPDX-License-Identifier: MIT */
#include "test/doctor_damages.h"

#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/bytes.h"
#include "bitcask/check.h"
#include "bitcask/format.h"

/* BYTES. The argument is the sequence of a record, or the id of a file. */

static void nothing(struct test_disk *disk, uint64_t argument)
{
    (void)disk;
    (void)argument;
}

static void spoil_key(struct test_disk *disk, uint64_t sequence)
{
    doctor_spoil_key(disk, sequence);
}

static void spoil_value(struct test_disk *disk, uint64_t sequence)
{
    doctor_spoil_value(disk, sequence);
}

/* The value then seems to reach behind the end of the file. */
static void spoil_value_size(struct test_disk *disk, uint64_t sequence)
{
    struct doctor_place place = doctor_record(sequence);

    test_disk_flip(disk, place.file, place.offset + 26, 0xff);
}

static void spoil_batch_header(struct test_disk *disk, uint64_t argument)
{
    (void)argument;
    test_disk_flip(disk, doctor_batch().file, doctor_batch().offset + 4, 1);
}

/* From the middle of the first record to that of @last. */
static void spoil_many_bytes(struct test_disk *disk, uint64_t last)
{
    uint64_t end = doctor_record(last).offset + 10;

    for (uint64_t i = doctor_record(1).offset + 10; i < end; i++)
        test_disk_flip(disk, DOCTOR_DATA_1, i, 0xff);
}

static void spoil_file_header(struct test_disk *disk, uint64_t id)
{
    test_disk_flip(disk, doctor_data_name(id), 20, 0xff);
}

static void spoil_file_header_and_hint(struct test_disk *disk, uint64_t id)
{
    test_disk_flip(disk, doctor_data_name(id), 24, 0xff); /* the salt */
    test_disk_remove(disk, DOCTOR_HINT_2);
    test_disk_remove(disk, "MANIFEST");
}

/* SIZES. The argument is the sequence of a record, inside or before which it ends. */

static void cut_inside(struct test_disk *disk, uint64_t sequence)
{
    struct doctor_place place = doctor_record(sequence);

    test_disk_truncate(disk, place.file, place.offset + 5);
}

static void cut_inside_without_hint(struct test_disk *disk, uint64_t sequence)
{
    cut_inside(disk, sequence);
    test_disk_remove(disk, DOCTOR_HINT_2);
}

static void cut_before(struct test_disk *disk, uint64_t sequence)
{
    struct doctor_place place = doctor_record(sequence);

    test_disk_truncate(disk, place.file, place.offset);
}

static void cut_to_nothing(struct test_disk *disk, uint64_t id)
{
    test_disk_truncate(disk, doctor_data_name(id), 0);
}

static void lengthen(struct test_disk *disk, uint64_t id)
{
    const char *name = doctor_data_name(id);
    uint64_t size = test_disk_size(disk, name) + 10;

    test_disk_truncate(disk, name, size);
    test_disk_flip(disk, name, size - 1, 0x80); /* zeros alone would be unused space */
}

static void cut_and_spoil_value(struct test_disk *disk, uint64_t sequence)
{
    cut_inside(disk, sequence);
    doctor_spoil_value(disk, 1);
}

/* FILES. The argument is an id. */

static void remove_data(struct test_disk *disk, uint64_t id)
{
    test_disk_remove(disk, doctor_data_name(id));
}

static void remove_data_and_hint(struct test_disk *disk, uint64_t id)
{
    remove_data(disk, id);
    test_disk_remove(disk, DOCTOR_HINT_2);
}

static void remove_all_data(struct test_disk *disk, uint64_t count)
{
    for (uint64_t id = 1; id <= count; id++)
        remove_data(disk, id);
}

static void copy_file(struct test_disk *disk, const char *from, const char *to)
{
    struct bitcask_buffer bytes = { 0 };

    test_disk_read(disk, from, &bytes);
    test_disk_write(disk, to, bytes.data, bytes.size);
    bitcask_buffer_release(&bytes);
}

static void swap_files(struct test_disk *disk, uint64_t argument)
{
    (void)argument;
    copy_file(disk, DOCTOR_DATA_1, "swap");
    copy_file(disk, DOCTOR_DATA_2, DOCTOR_DATA_1);
    copy_file(disk, "swap", DOCTOR_DATA_2);
    test_disk_remove(disk, "swap");
}

static void duplicate_file(struct test_disk *disk, uint64_t id)
{
    copy_file(disk, doctor_data_name(id), "0000000009.data");
}

/* The copy is made before a record of the file is damaged. */
static void spoil_value_behind_copy(struct test_disk *disk, uint64_t sequence)
{
    duplicate_file(disk, 2);
    doctor_spoil_value(disk, sequence);
}

static void rename_file(struct test_disk *disk, uint64_t id)
{
    duplicate_file(disk, id);
    remove_data(disk, id);
}

static void overwrite_by_first(struct test_disk *disk, uint64_t id)
{
    copy_file(disk, DOCTOR_DATA_1, doctor_data_name(id));
}

/* The file @name of another cask, as @to. */
static void take_from_another(struct test_disk *disk, const char *name, const char *to)
{
    struct bitcask_buffer bytes = { 0 };

    test_disk_read(disk, name, &bytes);
    test_disk_clear(disk);
    doctor_make(disk);
    test_disk_write(disk, to, bytes.data, bytes.size);
    bitcask_buffer_release(&bytes);
}

static void exchange_data(struct test_disk *disk, uint64_t id)
{
    take_from_another(disk, doctor_data_name(id), doctor_data_name(id));
}

/* All that there is, without a hint that knows the cask. */
static void keep_only_another(struct test_disk *disk, uint64_t id)
{
    exchange_data(disk, id);
    for (uint64_t other = 1; other <= 3; other++) {
        if (other != id)
            remove_data(disk, other);
    }
    test_disk_remove(disk, DOCTOR_HINT_1);
    test_disk_remove(disk, DOCTOR_HINT_2);
}

static void exchange_manifest(struct test_disk *disk, uint64_t argument)
{
    (void)argument;
    take_from_another(disk, "MANIFEST", "MANIFEST");
}

static void exchange_hint(struct test_disk *disk, uint64_t argument)
{
    (void)argument;
    take_from_another(disk, DOCTOR_HINT_2, DOCTOR_HINT_2);
}

static void add_foreign_data(struct test_disk *disk, uint64_t id)
{
    take_from_another(disk, doctor_data_name(id), "0000000009.data");
}

static void remove_manifest(struct test_disk *disk, uint64_t argument)
{
    (void)argument;
    test_disk_remove(disk, "MANIFEST");
}

static void spoil_manifest(struct test_disk *disk, uint64_t argument)
{
    (void)argument;
    test_disk_flip(disk, "MANIFEST", 30, 1);
}

/* HINTS AND THE RESERVE. */

static void spoil_hint(struct test_disk *disk, uint64_t offset)
{
    test_disk_flip(disk, DOCTOR_HINT_2, offset, 1);
}

static void cut_hint(struct test_disk *disk, uint64_t size)
{
    test_disk_truncate(disk, DOCTOR_HINT_2, size);
}

static void remove_hint(struct test_disk *disk, uint64_t argument)
{
    (void)argument;
    test_disk_remove(disk, DOCTOR_HINT_2);
}

/* It is whole, and says that the value of eve has a byte less. */
static void make_hint_lie(struct test_disk *disk, uint64_t argument)
{
    struct bitcask_buffer bytes = { 0 };
    size_t entry = BITCASK_FILE_HEADER_SIZE;
    uint8_t *hint;

    (void)argument;
    test_disk_read(disk, DOCTOR_HINT_2, &bytes);
    hint = bytes.data;
    for (int i = 0; i < 2; i++) /* over ada and bob */
        entry += BITCASK_HINT_ENTRY_SIZE + bitcask_load16(hint + entry + 2);
    assert_memory_equal(hint + entry + BITCASK_HINT_ENTRY_SIZE, "eve", 3);
    bitcask_store32(hint + entry + 4, 3);
    bitcask_store32(hint + bytes.size - 4, bitcask_check(0, hint, bytes.size - 4));
    test_disk_write(disk, DOCTOR_HINT_2, bytes.data, bytes.size);
    bitcask_buffer_release(&bytes);
}

static void spoil_reserve(struct test_disk *disk, uint64_t offset)
{
    static const uint8_t zeros[100];

    test_disk_write(disk, "RESERVE", zeros, sizeof zeros);
    test_disk_flip(disk, "RESERVE", offset, 4);
}

/* LINES OF MANIFEST, which has the right check. */

static void lower_size(struct bitcask_manifest *manifest)
{
    manifest->segments[1].size = doctor_record(12).offset;
    manifest->segments[1].last_sequence = 11;
}

static void change_sequences(struct bitcask_manifest *manifest)
{
    manifest->segments[1].first_sequence = 8;
}

static void retire_first(struct bitcask_manifest *manifest)
{
    const struct bitcask_manifest_segment line = { .state = BITCASK_MANIFEST_RETIRED,
                                                   .id = manifest->segments[0].id,
                                                   .salt = manifest->segments[0].salt };

    manifest->segments[0] = line;
}

/* As it was before file 2 was begun. */
static void make_older(struct bitcask_manifest *manifest)
{
    const struct bitcask_manifest_segment line = { .state = BITCASK_MANIFEST_PREPARED,
                                                   .id = manifest->segments[0].id,
                                                   .salt = manifest->segments[0].salt };

    manifest->segments[0] = line;
    manifest->segment_count = 1;
    manifest->next_id = 2;
    manifest->sequence = 0;
}

static void (*const changes[])(struct bitcask_manifest *manifest) = {
    lower_size,
    change_sequences,
    retire_first,
    make_older,
};

enum {
    LOWER_SIZE,
    CHANGE_SEQUENCES,
    RETIRE_FIRST,
    MAKE_OLDER
};

static void edit_manifest(struct test_disk *disk, uint64_t change)
{
    doctor_edit_manifest(disk, changes[change]);
}

void doctor_damage_make(const struct doctor_damage *damage, struct test_disk *disk)
{
    test_disk_clear(disk);
    disk->fault.random_state = 1815; /* salts: two casks differ in the same bytes */
    if (damage->killed)
        doctor_make_killed(disk);
    else
        doctor_make(disk);
    damage->hurt(disk, damage->argument);
}

const struct doctor_damage doctor_damages[] = {
    { .name = "nothing", .hurt = nothing, .found = "", .steps = "" },
    { .name = "nothing, and it was not closed",
      .hurt = nothing,
      .killed = true,
      .found = "",
      .steps = "" },
    { .name = "a key, of a value that was replaced",
      .hurt = spoil_key,
      .argument = 9,
      .found = "region 2 at 9, ada harmless",
      .steps = "keep 1, rewrite 2, keep 3, quarantine 2h" },
    { .name = "a key that only the hint knows",
      .hurt = spoil_key,
      .argument = 11,
      .found = "region 2 at 11, eve lost",
      .steps = "keep 1, rewrite 2, keep 3, quarantine 2h",
      .contents = "ada=third dee=soon fay=here gus=here one=1 two=2" },
    { .name = "the key of a deletion that the hint knows",
      .hurt = spoil_key,
      .argument = 10,
      .found = "region 2 at 10, bob undeleted",
      .steps = "keep 1, rewrite 2, keep 3, quarantine 2h",
      .contents = "ada=third bob=first dee=soon eve=here fay=here gus=here one=1 two=2" },
    { .name = "a key that nobody knows",
      .hurt = spoil_key,
      .argument = 14,
      .found = "region 3 at 14, 1 unnamed",
      .steps = "keep 1, keep 2, rewrite 3",
      .contents = "ada=third dee=soon eve=here gus=here one=1 two=2" },
    { .name = "the last key that nobody knows",
      .hurt = spoil_key,
      .argument = 15,
      .found = "region 3 at 15, 1 unnamed",
      .steps = "keep 1, keep 2, rewrite 3",
      .contents = "ada=third dee=soon eve=here fay=here one=1 two=2" },
    { .name = "a value size",
      .hurt = spoil_value_size,
      .argument = 14,
      .found = "region 3 at 14, 1 unnamed",
      .steps = "keep 1, keep 2, rewrite 3",
      .contents = "ada=third dee=soon eve=here gus=here one=1 two=2" },
    { .name = "the value of a key that has no other",
      .hurt = spoil_value,
      .argument = 11,
      .found = "value 2 at 11, eve unreadable",
      .mended = "value 2 at 11, eve lost",
      .steps = "keep 1, rewrite 2, keep 3, quarantine 2h",
      .contents = "ada=third dee=soon fay=here gus=here one=1 two=2" },
    { .name = "the value of a key that has an older one",
      .hurt = spoil_value,
      .argument = 13,
      .found = "value 3 at 13, ada unreadable",
      .mended = "value 3 at 13, ada stale",
      .steps = "keep 1, keep 2, rewrite 3",
      .contents = "ada=second dee=soon eve=here fay=here gus=here one=1 two=2" },
    { .name = "a value that was replaced",
      .hurt = spoil_value,
      .argument = 1,
      .found = "value 1 at 1, ada harmless",
      .steps = "rewrite 1, keep 2, keep 3, quarantine 1h" },
    { .name = "a value that expires",
      .hurt = spoil_value,
      .argument = 7,
      .found = "value 1 at 7, dee unreadable",
      .mended = "value 1 at 7, dee lost",
      .steps = "rewrite 1, keep 2, keep 3, quarantine 1h",
      .contents = "ada=third eve=here fay=here gus=here one=1 two=2" },
    { .name = "a value in a batch",
      .hurt = spoil_value,
      .argument = 5,
      .found = "batch 1 at the batch, value 1 at 5, one lost, two lost, cid undeleted",
      .steps = "rewrite 1, keep 2, keep 3, quarantine 1h",
      .contents = "ada=third cid=first dee=soon eve=here fay=here gus=here" },
    { .name = "a key in a batch",
      .hurt = spoil_key,
      .argument = 6,
      .found = "batch 1 at the batch, region 1 at 6, one lost, two lost, cid undeleted",
      .steps = "rewrite 1, keep 2, keep 3, quarantine 1h",
      .contents = "ada=third cid=first dee=soon eve=here fay=here gus=here" },
    { .name = "the header of a batch",
      .hurt = spoil_batch_header,
      .found = "batch 1 at the batch+ 28",
      .steps = "rewrite 1, keep 2, keep 3, quarantine 1h" },
    { .name = "three records",
      .hurt = spoil_many_bytes,
      .argument = 3,
      .found = "region 1 at 1+ 108, ada harmless, bob harmless, cid harmless",
      .steps = "rewrite 1, keep 2, keep 3, quarantine 1h" },
    { .name = "a file header",
      .hurt = spoil_file_header,
      .argument = 2,
      .found = "header 2 from 0 64",
      .steps = "keep 1, rewrite 2, keep 3, quarantine 2h" },
    { .name = "the file header of the newest file",
      .hurt = spoil_file_header,
      .argument = 3,
      .found = "header 3 from 0 64",
      .steps = "keep 1, keep 2, rewrite 3" },
    { .name = "a file header, and all who know better",
      .hurt = spoil_file_header_and_hint,
      .argument = 2,
      .found = "manifest MANIFEST, region 2 at 9+ 4007, header 2 from 0 4071, 1 unnamed",
      .mended = "manifest MANIFEST, region 2 at 9+ 4007, header 2 from 0 4071, sequence "
                "-, 2 unnamed",
      .steps = "keep 1, quarantine 2, keep 3",
      .contents = "ada=third bob=first dee=soon fay=here gus=here one=1 two=2" },
    { .name = "the end of a sealed file",
      .hurt = cut_inside,
      .argument = 11,
      .found = "region 2 at 11+ 5, short 2 from 137 3934, eve lost, filler stale",
      .steps = "keep 1, rewrite 2, keep 3, quarantine 2h",
      .contents = "ada=third dee=soon fay=here gus=here one=1 two=2" },
    { .name = "the end of a sealed file, and its hint",
      .hurt = cut_inside_without_hint,
      .argument = 11,
      .found = "region 2 at 11+ 5, short 2 from 137 3934, no hint 2h, 2 unnamed",
      .steps = "keep 1, rewrite 2, keep 3",
      .contents = "ada=third dee=soon fay=here gus=here one=1 two=2" },
    { .name = "the end of the newest file",
      .hurt = cut_before,
      .argument = 14,
      .found = "short 3 at 14+ 70, 1 unnamed",
      .steps = "keep 1, keep 2, keep 3",
      .contents = "ada=third dee=soon eve=here one=1 two=2" },
    { .name = "all bytes of a file",
      .hurt = cut_to_nothing,
      .argument = 2,
      .found = "missing 2 from 0 4071, short 2 from 0 4071, ada harmless, bob undeleted, "
               "eve lost, filler stale",
      .steps = "keep 1, quarantine 2, keep 3, quarantine 2h",
      .contents = "ada=third bob=first dee=soon fay=here gus=here one=1 two=2" },
    { .name = "a file is longer than it was",
      .hurt = lengthen,
      .argument = 2,
      .found = "long 2 from 4071 10",
      .steps = "keep 1, rewrite 2, keep 3, quarantine 2h" },
    { .name = "a torn tail",
      .hurt = cut_inside,
      .argument = 15,
      .killed = true,
      .found = "torn 3 at 15+ 5",
      .steps = "",
      .contents = "ada=third dee=soon eve=here fay=here one=1 two=2" },
    { .name = "a torn tail, and a value",
      .hurt = cut_and_spoil_value,
      .argument = 15,
      .killed = true,
      .found = "value 1 at 1, torn 3 at 15+ 5, ada harmless",
      .steps = "rewrite 1, keep 2, rewrite 3, quarantine 1h",
      .contents = "ada=third dee=soon eve=here fay=here one=1 two=2" },
    { .name = "a sealed file is gone",
      .hurt = remove_data,
      .argument = 2,
      .found =
          "missing 2 from 0 4071, ada harmless, bob undeleted, eve lost, filler stale",
      .steps = "keep 1, keep 3, quarantine 2h",
      .contents = "ada=third bob=first dee=soon fay=here gus=here one=1 two=2" },
    { .name = "a sealed file is gone, and its hint",
      .hurt = remove_data_and_hint,
      .argument = 2,
      .found = "missing 2 from 0 4071, 1 unnamed",
      .steps = "keep 1, keep 3",
      .contents = "ada=third bob=first dee=soon fay=here gus=here one=1 two=2" },
    { .name = "the newest file is gone",
      .hurt = remove_data,
      .argument = 3,
      .found = "missing 3 from 0 170, 1 unnamed",
      .steps = "keep 1, keep 2",
      .contents = "ada=second dee=soon eve=here one=1 two=2" },
    { .name = "a file of the middle is gone, of a cask not closed",
      .hurt = remove_data,
      .argument = 2,
      .killed = true,
      .found =
          "missing 2 from 0 4071, ada harmless, bob undeleted, eve lost, filler stale",
      .steps = "keep 1, keep 3, quarantine 2h",
      .contents = "ada=third bob=first dee=soon fay=here gus=here one=1 two=2" },
    { .name = "all files are gone",
      .hurt = remove_all_data,
      .argument = 3,
      .found = "missing 1 from 0 4072, missing 2 from 0 4071, missing 3 from 0 170, ada "
               "lost, bob harmless, cid harmless, one lost, two lost, dee lost, filler "
               "lost, eve lost, 1 unnamed",
      .steps = "quarantine 1h, quarantine 2h",
      .contents = "" },
    { .name = "two files have changed places",
      .hurt = swap_files,
      .found = "missing 1 from 0 4072, foreign 1 from 0 4072, missing 2 from 0 4071, "
               "foreign 2 from 0 4071, ada harmless, bob harmless, cid harmless, one "
               "harmless, two harmless, dee harmless, filler harmless, eve harmless",
      .mended = "missing 1 from 0 4072, foreign 1 from 0 4072, missing 2 from 0 4071, "
                "foreign 2 from 0 4071",
      .steps = "rewrite 1, rewrite 2, keep 3, quarantine 1h, quarantine 2h" },
    { .name = "a file is there twice",
      .hurt = duplicate_file,
      .argument = 2,
      .found = "unlisted 9",
      .steps = "keep 1, keep 2, keep 3, quarantine 9" },
    { .name = "a file has another name",
      .hurt = rename_file,
      .argument = 2,
      .found = "unlisted 9, missing 2 from 0 4071, ada harmless, bob undeleted, eve "
               "lost, filler stale",
      .mended = "unlisted 9, missing 2 from 0 4071",
      .steps = "keep 1, keep 3, rewrite 9, quarantine 2h" },
    { .name = "a file is a copy of another",
      .hurt = overwrite_by_first,
      .argument = 2,
      .found = "missing 2 from 0 4071, foreign 2 from 0 4071, ada harmless, bob "
               "undeleted, eve lost, filler stale",
      .steps = "keep 1, quarantine 2, keep 3, quarantine 2h",
      .contents = "ada=third bob=first dee=soon fay=here gus=here one=1 two=2" },
    { .name = "a file is another cask's",
      .hurt = exchange_data,
      .argument = 2,
      .found = "missing 2 from 0 4071, foreign 2 from 0 4071, ada harmless, bob "
               "undeleted, eve lost, filler stale",
      .steps = "keep 1, quarantine 2, keep 3, quarantine 2h",
      .contents = "ada=third bob=first dee=soon fay=here gus=here one=1 two=2" },
    { .name = "there is a file of another cask",
      .hurt = add_foreign_data,
      .argument = 2,
      .found = "unlisted 9",
      .steps = "keep 1, keep 2, keep 3, quarantine 9" },
    { .name = "MANIFEST is another cask's",
      .hurt = exchange_manifest,
      .found = "hint 1h from 24, foreign 1 from 0 4072, hint 2h from 24, foreign 2 from "
               "0 4071, foreign 3 from 0 170, 3 unnamed",
      .mended = "hint 1h from 24, foreign 1 from 0 4072, hint 2h from 24, foreign 2 from "
                "0 4071, foreign 3 from 0 170",
      .steps = "keep 1, keep 2, keep 3" },
    { .name = "a hint is another cask's",
      .hurt = exchange_hint,
      .found = "hint 2h from 24",
      .steps = "keep 1, keep 2, keep 3, quarantine 2h" },
    { .name = "MANIFEST is gone",
      .hurt = remove_manifest,
      .found = "manifest MANIFEST",
      .steps = "keep 1, keep 2, keep 3" },
    { .name = "MANIFEST is gone, of a cask not closed",
      .hurt = remove_manifest,
      .killed = true,
      .found = "manifest MANIFEST",
      .steps = "keep 1, keep 2, keep 3" },
    { .name = "MANIFEST is damaged",
      .hurt = spoil_manifest,
      .found = "manifest MANIFEST",
      .steps = "keep 1, keep 2, keep 3" },
    { .name = "MANIFEST is an older one",
      .hurt = edit_manifest,
      .argument = MAKE_OLDER,
      .found = "unlisted 2, unlisted 3",
      .steps = "keep 1, keep 2, keep 3" },
    { .name = "MANIFEST says that a file is shorter",
      .hurt = edit_manifest,
      .argument = LOWER_SIZE,
      .found = "short 2 at 12, long 2 at 12, filler stale",
      .steps = "keep 1, rewrite 2, keep 3, quarantine 2h" },
    { .name = "MANIFEST says that it has other sequences",
      .hurt = edit_manifest,
      .argument = CHANGE_SEQUENCES,
      .found = "sequence 2",
      .steps = "keep 1, rewrite 2, keep 3, quarantine 2h" },
    { .name = "a file that a merge has replaced is there",
      .hurt = edit_manifest,
      .argument = RETIRE_FIRST,
      .found = "left over 1",
      .steps = "",
      .contents = "ada=third eve=here fay=here gus=here" },
    { .name = "an entry of a hint",
      .hurt = spoil_hint,
      .argument = 70,
      .found = "hint 2h from 70",
      .steps = "keep 1, keep 2, keep 3, quarantine 2h" },
    { .name = "the header of a hint",
      .hurt = spoil_hint,
      .argument = 20,
      .found = "hint 2h from 20",
      .steps = "keep 1, keep 2, keep 3, quarantine 2h" },
    { .name = "the end of a hint",
      .hurt = cut_hint,
      .argument = 100,
      .found = "hint 2h from 64",
      .steps = "keep 1, keep 2, keep 3, quarantine 2h" },
    { .name = "a hint is gone", .hurt = remove_hint, .found = "no hint 2h", .steps = "" },
    { .name = "a hint lies",
      .hurt = make_hint_lie,
      .found = "hint 2h from 122",
      .steps = "keep 1, keep 2, keep 3, quarantine 2h" },
    { .name = "the reserve",
      .hurt = spoil_reserve,
      .argument = 40,
      .found = "reserve RESERVE from 40",
      .steps = "keep 1, keep 2, keep 3, quarantine RESERVE" },
    { .name = "a value, of which a copy of the file has a whole one",
      .hurt = spoil_value_behind_copy,
      .argument = 11,
      .found = "unlisted 9, value 2 at 11, eve unreadable",
      .mended = "unlisted 9, value 2 at 11, eve harmless",
      .steps = "keep 1, rewrite 2, keep 3, rewrite 9, quarantine 2h" },
    { .name = "a file of another cask is all that there is",
      .hurt = keep_only_another,
      .argument = 2,
      .found = "missing 1 from 0 4072, foreign 2 from 0 4071, no hint 2h, missing 3 from "
               "0 170, 3 unnamed",
      .steps = "quarantine 2",
      .contents = "" },
};

const size_t doctor_damage_count = LENGTH_OF(doctor_damages);

const struct doctor_damage *doctor_damage_find(const char *name)
{
    for (size_t i = 0; i < doctor_damage_count; i++) {
        if (strcmp(doctor_damages[i].name, name) == 0)
            return &doctor_damages[i];
    }
    fail_msg("there is no damage \"%s\"", name);
    return NULL;
}
