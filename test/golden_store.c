/* SPDX-License-Identifier: MIT */
#include "test/golden_store.h"

#include "bitcask/cask.h"

/* The last millisecond of the year 9999, and the first second of 1970. */
#define FAR_EXPIRY_MS UINT64_C(253402300799999)
#define PAST_EXPIRY_MS UINT64_C(1000)

#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }
#define NOTHING \
    {           \
        NULL, 0 \
    }

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define THOUSAND \
    HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED

/* Three thousand bytes and one, still a literal that every compiler must take. */
#define LARGE THOUSAND THOUSAND THOUSAND "."

const struct golden_operation golden_operations[] = {
    { .verb = GOLDEN_PUT, .key = TEXT("ada"), .value = TEXT("1815") },
    { .verb = GOLDEN_PUT, .key = TEXT("charles"), .value = TEXT("1791") },
    { .verb = GOLDEN_PUT, .key = TEXT("ada"), .value = TEXT("1852") },
    { .verb = GOLDEN_PUT, .key = TEXT("empty"), .value = TEXT("") },
    { .verb = GOLDEN_PUT, .key = TEXT("\0\xff\n"), .value = TEXT("\0\1\2\xfe") },
    { .verb = GOLDEN_SYNC },
    { .verb = GOLDEN_DELETE, .key = TEXT("charles") },
    { .verb = GOLDEN_PUT,
      .key = TEXT("session"),
      .value = TEXT("until 9999"),
      .expiry_ms = FAR_EXPIRY_MS },
    { .verb = GOLDEN_PUT,
      .key = TEXT("gone"),
      .value = TEXT("until 1970"),
      .expiry_ms = PAST_EXPIRY_MS },
    { .verb = GOLDEN_BATCH, .part_count = 4 },
    { .verb = GOLDEN_PUT, .key = TEXT("first part"), .value = TEXT("of a batch") },
    { .verb = GOLDEN_PUT,
      .key = TEXT("second part"),
      .value = TEXT("until 9999"),
      .expiry_ms = FAR_EXPIRY_MS },
    { .verb = GOLDEN_DELETE, .key = TEXT("empty") },
    { .verb = GOLDEN_PUT, .key = TEXT("ada"), .value = TEXT("lovelace") },
    { .verb = GOLDEN_PUT, .key = TEXT("large"), .value = TEXT(LARGE) },
    { .verb = GOLDEN_PUT, .key = TEXT("thousand"), .value = TEXT(THOUSAND) },
    { .verb = GOLDEN_PUT, .key = TEXT("void"), .value = TEXT("") },
    { .verb = GOLDEN_PUT, .key = TEXT("last"), .value = TEXT("tombstone") },
};
const size_t golden_operation_count =
    sizeof golden_operations / sizeof *golden_operations;

const struct golden_pair golden_pairs[] = {
    { TEXT("ada"), TEXT("lovelace") },
    { TEXT("\0\xff\n"), TEXT("\0\1\2\xfe") },
    { TEXT("session"), TEXT("until 9999") },
    { TEXT("first part"), TEXT("of a batch") },
    { TEXT("second part"), TEXT("until 9999") },
    { TEXT("large"), TEXT(LARGE) },
    { TEXT("thousand"), TEXT(THOUSAND) },
    { TEXT("void"), TEXT("") },
    { TEXT("last"), TEXT("tombstone") },
};
const size_t golden_pair_count = sizeof golden_pairs / sizeof *golden_pairs;

const struct bitcask_slice golden_absent_keys[] = {
    TEXT("charles"),
    TEXT("empty"),
    TEXT("gone"),
};
const size_t golden_absent_key_count =
    sizeof golden_absent_keys / sizeof *golden_absent_keys;

static enum bitcask_status write_batch(struct bitcask *cask,
                                       const struct golden_operation *operations,
                                       size_t count)
{
    struct bitcask_batch_part parts[8];

    for (size_t i = 0; i < count; i++) {
        parts[i].deletes = operations[i].verb == GOLDEN_DELETE;
        parts[i].key = operations[i].key;
        parts[i].value = operations[i].value;
        parts[i].expiry_ms = operations[i].expiry_ms;
    }
    return bitcask_write_batch(cask, parts, count);
}

static enum bitcask_status operate(struct bitcask *cask,
                                   const struct golden_operation *operation)
{
    switch (operation->verb) {
    case GOLDEN_PUT:
        return bitcask_put_expiring(cask, operation->key, operation->value,
                                    operation->expiry_ms);
    case GOLDEN_DELETE:
        return bitcask_delete(cask, operation->key);
    case GOLDEN_BATCH:
        return write_batch(cask, operation + 1, operation->part_count);
    case GOLDEN_SYNC:
        break;
    }
    return bitcask_sync(cask);
}

enum bitcask_status golden_store_write(struct fault_io *fault, const char *path)
{
    struct bitcask_options options = {
        .no_background = true,
        .sync = BITCASK_SYNC_NONE,
        .file_size_max = GOLDEN_FILE_SIZE_MAX,
    };
    struct bitcask *cask = NULL;
    enum bitcask_status status, closed;

    atomic_store(&fault->wall_ms, 500); /* before anything expires */
    atomic_store(&fault->monotonic_ms, 1000);
    fault->random_state = 1;
    status = bitcask_open_with(&fault->io, &cask, path, &options);
    for (size_t i = 0; i < golden_operation_count && status == BITCASK_OK; i++) {
        status = operate(cask, &golden_operations[i]);
        i += golden_operations[i].part_count;
    }
    closed = bitcask_close(cask);
    return status == BITCASK_OK ? closed : status;
}
