/* SPDX-License-Identifier: MIT */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bitcask/bitcask.h>

static enum bench_result result_of(enum bitcask_status status)
{
    if (status == BITCASK_OK)
        return BENCH_OK;
    return status == BITCASK_NOT_FOUND ? BENCH_MISSING : BENCH_ERROR;
}

static struct bitcask_slice slice_of(struct bench_bytes bytes)
{
    return (struct bitcask_slice){ bytes.data, bytes.size };
}

static void settings(const struct bench_setup *setup, char *text, size_t text_size)
{
    snprintf(
        text, text_size,
        "defaults, expected_keys %llu, sync %s, merging by itself, CRC-32 of key and "
        "value checked by every get",
        (unsigned long long)setup->expected_keys,
        setup->durability == BENCH_SURVIVES_POWER ? "always" : "interval (1 s)");
}

static void nomerge_settings(const struct bench_setup *setup, char *text,
                             size_t text_size)
{
    snprintf(text, text_size,
             "as bitcask, but merge_auto_off: expected_keys %llu, sync %s, CRC-32 of key "
             "and value checked by every get",
             (unsigned long long)setup->expected_keys,
             setup->durability == BENCH_SURVIVES_POWER ? "always" : "interval (1 s)");
}

static enum bench_result open_with(const struct bench_setup *setup, bool merge_auto_off,
                                   void **store)
{
    struct bitcask_options options = { 0 };
    options.expected_keys = setup->expected_keys;
    options.merge_auto_off = merge_auto_off;
    if (setup->durability == BENCH_SURVIVES_POWER)
        options.sync = BITCASK_SYNC_ALWAYS;

    struct bitcask *cask = NULL;
    enum bitcask_status status = bitcask_open(&cask, setup->directory, &options);
    *store = cask;
    return result_of(status);
}

static enum bench_result open_store(const struct bench_setup *setup, void **store)
{
    return open_with(setup, false, store);
}

static enum bench_result open_nomerge(const struct bench_setup *setup, void **store)
{
    return open_with(setup, true, store);
}

static enum bench_result close_store(void *store)
{
    return result_of(bitcask_close(store));
}

static enum bench_result attach(void *store, void **session)
{
    *session = store;
    return BENCH_OK;
}

static void detach(void *session)
{
    (void)session;
}

static enum bench_result put(void *session, struct bench_bytes key,
                             struct bench_bytes value)
{
    return result_of(bitcask_put(session, slice_of(key), slice_of(value)));
}

/* A buffer of the library's and a value of the harness's are the same three things, and
   both grow with realloc(). */
static enum bench_result get(void *session, struct bench_bytes key,
                             struct bench_value *value)
{
    struct bitcask_buffer buffer = { value->data, value->size, value->capacity };
    enum bitcask_status status = bitcask_get(session, slice_of(key), &buffer);
    value->data = buffer.data;
    value->size = buffer.size;
    value->capacity = buffer.capacity;
    return result_of(status);
}

static enum bench_result multi_get(void *session, const struct bench_bytes *keys,
                                   size_t count, struct bench_value *values,
                                   enum bench_result *results)
{
    enum {
        COUNT_MAX = 64
    };
    struct bitcask_slice slices[COUNT_MAX] = { { NULL, 0 } };
    struct bitcask_buffer buffers[COUNT_MAX];
    enum bitcask_status statuses[COUNT_MAX];
    enum bench_result result = BENCH_OK;

    if (count == 0 || count > COUNT_MAX)
        return BENCH_ERROR;
    for (size_t i = 0; i < count; i++) {
        slices[i] = slice_of(keys[i]);
        buffers[i] =
            (struct bitcask_buffer){ values[i].data, values[i].size, values[i].capacity };
    }
    (void)bitcask_multi_get(session, slices, count, buffers, statuses);
    for (size_t i = 0; i < count; i++) {
        values[i].data = buffers[i].data;
        values[i].size = buffers[i].size;
        values[i].capacity = buffers[i].capacity;
        results[i] = result_of(statuses[i]);
        if (results[i] == BENCH_ERROR)
            result = BENCH_ERROR;
    }
    return result;
}

static enum bench_result delete_key(void *session, struct bench_bytes key)
{
    return result_of(bitcask_delete(session, slice_of(key)));
}

static enum bench_result scan(void *session, bench_visit *visit, void *context)
{
    struct bitcask_iterator *iterator = NULL;
    enum bitcask_status status = bitcask_iterator_open(session, NULL, &iterator);
    if (status != BITCASK_OK)
        return BENCH_ERROR;

    struct bitcask_slice key;
    struct bitcask_slice value;
    bool wanted = true;
    while (wanted) {
        status = bitcask_iterator_next(iterator, &key, &value);
        if (status != BITCASK_OK)
            break;
        wanted = visit(context, (struct bench_bytes){ key.data, key.size },
                       (struct bench_bytes){ value.data, value.size });
    }
    bitcask_iterator_close(iterator);
    return status == BITCASK_OK || status == BITCASK_NOT_FOUND ? BENCH_OK : BENCH_ERROR;
}

static enum bench_result merge(void *store)
{
    return result_of(bitcask_merge(store, NULL, NULL));
}

const struct bench_driver bench_driver_bitcask = {
    .name = "bitcask",
    .version = bitcask_version,
    .settings = settings,
    .open = open_store,
    .close = close_store,
    .attach = attach,
    .detach = detach,
    .put = put,
    .get = get,
    .multi_get = multi_get,
    .remove = delete_key,
    .scan = scan,
    .merge = merge,
    .error = bitcask_error_detail,
};

const struct bench_driver bench_driver_bitcask_nomerge = {
    .name = "bitcask-nomerge",
    .version = bitcask_version,
    .settings = nomerge_settings,
    .open = open_nomerge,
    .close = close_store,
    .attach = attach,
    .detach = detach,
    .put = put,
    .get = get,
    .multi_get = multi_get,
    .remove = delete_key,
    .scan = scan,
    .merge = merge,
    .error = bitcask_error_detail,
};
