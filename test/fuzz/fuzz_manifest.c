/* SPDX-License-Identifier: MIT */
/*
 * MANIFEST. Each input is read as it is, and with the right check behind it.
 *
 * - What is read has segments in order of id, below `next`, with ranges that are ranges.
 * - What is read is written as the same bytes again.
 * - Without the right check, by a computation of its own, nothing is read.
 */
#include "test/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/manifest.h"
#include "test/fuzz/fuzz_format.h"

static void check_segments(const struct bitcask_manifest *manifest)
{
    uint64_t last_id = 0;

    for (size_t i = 0; i < manifest->segment_count; i++) {
        const struct bitcask_manifest_segment *segment = &manifest->segments[i];

        fuzz_check(segment->id > last_id && segment->id < manifest->next_id);
        fuzz_check(segment->state != BITCASK_MANIFEST_SEALED ||
                   segment->first_sequence <= segment->last_sequence);
        fuzz_check(bitcask_manifest_find(manifest, segment->id) == segment);
        last_id = segment->id;
    }
    fuzz_check(bitcask_manifest_find(manifest, manifest->next_id) == NULL);
}

/* Whether the text ends in a line with the check of what is before it. */
static bool ends_in_check(const char *text, size_t size)
{
    char line[FUZZ_CHECK_LINE_SIZE + 1];
    size_t begin = size - FUZZ_CHECK_LINE_SIZE;

    if (size < FUZZ_CHECK_LINE_SIZE)
        return false;
    (void)snprintf(line, sizeof line, "check %08x\n", (unsigned)fuzz_crc(0, text, begin));
    return memcmp(text + begin, line, FUZZ_CHECK_LINE_SIZE) == 0;
}

static void check_text(const char *bytes, size_t size)
{
    struct bitcask_slice text = { bytes, size };
    struct bitcask_buffer again = { 0 };
    struct bitcask_manifest manifest;
    enum bitcask_status status;
    uint32_t stored = 0, computed = 0;

    bitcask_manifest_init(&manifest);
    status = bitcask_manifest_parse(&manifest, text);
    fuzz_check(status == BITCASK_OK || status == BITCASK_CORRUPT ||
               status == BITCASK_UNSUPPORTED);
    if (status == BITCASK_OK) {
        fuzz_check(ends_in_check(bytes, size));
        check_segments(&manifest);
        fuzz_check(bitcask_manifest_format(&manifest, &again) == BITCASK_OK);
        fuzz_check(fuzz_same(again.data, again.size, bytes, size));
    }
    if (bitcask_manifest_checks(text, &stored, &computed))
        fuzz_check((stored == computed) == ends_in_check(bytes, size));
    else
        fuzz_check(!ends_in_check(bytes, size));
    bitcask_manifest_release(&manifest);
    bitcask_buffer_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *mended = fuzz_allocate(size + FUZZ_CHECK_LINE_SIZE);
    char *exact;
    size_t mended_size;

    if (size > 0)
        memcpy(mended, bytes, size);
    check_text((const char *)bytes, size);
    mended_size = fuzz_manifest_mend(mended, size);
    exact = (char *)fuzz_copy(mended, mended_size);
    check_text(exact, mended_size);
    free(exact);
    free(mended);
    return 0;
}
