/* SPDX-License-Identifier: MIT */
#include "test/hint_fixture.h"

#include <stdio.h>
#include <string.h>

enum bitcask_status hint_test_note(const struct bitcask_hint_report *report,
                                   void *context)
{
    struct hint_reports *reports = context;

    assert_true(reports->count < LENGTH_OF(reports->of));
    assert_non_null(report->detail);
    (void)snprintf(reports->details[reports->count], sizeof reports->details[0], "%s",
                   report->detail);
    reports->of[reports->count++] = *report;
    return BITCASK_OK;
}

enum bitcask_status hint_test_verify(struct test_disk *disk, uint64_t id,
                                     struct hint_reports *reports)
{
    memset(reports, 0, sizeof *reports);
    return bitcask_hint_verify_with(disk->io, disk->path, id, hint_test_note, reports);
}

enum bitcask_status hint_test_rebuild(struct test_disk *disk, uint64_t id,
                                      struct hint_reports *reports)
{
    memset(reports, 0, sizeof *reports);
    return bitcask_hint_rebuild_with(disk->io, disk->path, id, hint_test_note, reports);
}

void hint_test_fill(struct bitcask *cask)
{
    const struct bitcask_batch_part parts[] = {
        { .key = bitcask_text("part one"), .value = bitcask_text("a value") },
        { .deletes = true, .key = bitcask_text("key 3") },
        { .key = bitcask_text("part two"),
          .value = bitcask_text("x"),
          .expiry_ms = UINT64_MAX / 2 },
    };
    char text[16];
    char value[200];

    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(text, sizeof text, "key %u", i);
        test_cask_put(cask, text, "short");
    }
    assert_status(bitcask_write_batch(cask, parts, LENGTH_OF(parts)), BITCASK_OK);
    assert_status(bitcask_put_expiring(cask, bitcask_text("later"), bitcask_text("gone"),
                                       UINT64_MAX / 2),
                  BITCASK_OK);
    test_cask_delete(cask, "key 1");
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof text, "large %u", i);
        assert_status(bitcask_put(cask, bitcask_text(text),
                                  (struct bitcask_slice){ value, sizeof value }),
                      BITCASK_OK);
    }
}

void hint_test_fill_disk(struct test_disk *disk)
{
    struct bitcask *cask = test_cask_open(disk, NULL);

    hint_test_fill(cask);
    test_cask_close(cask);
    assert_true(test_disk_has(disk, FIRST_HINT));
    assert_false(test_disk_has(disk, "0000000002.hint"));
}
