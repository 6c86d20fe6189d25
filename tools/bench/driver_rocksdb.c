/* SPDX-License-Identifier: MIT */
/*
 * RocksDB: LevelDB's design with many more settings.
 */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>

#include <rocksdb/c.h>

struct store {
    rocksdb_t *database;
    rocksdb_options_t *options;
    rocksdb_readoptions_t *reading;
    rocksdb_readoptions_t *scanning;
    rocksdb_writeoptions_t *writing;
};

/* Its words are ours to free. */
static enum bench_result fail(const char *call, char *words)
{
    bench_fail("%s: %s", call, words);
    rocksdb_free(words);
    return BENCH_ERROR;
}

/* Its C interface does not say; the build does. */
static const char *version(void)
{
    return BENCH_ROCKSDB_VERSION;
}

static const size_t write_buffer_size = (size_t)64 << 20;

/* All of it has room. */
static size_t cache_size(const struct bench_setup *setup)
{
    const size_t least = (size_t)1 << 30;
    size_t wanted = 2 * setup->expected_keys * (setup->key_size + setup->value_size + 16);
    return wanted > least ? wanted : least;
}

static void settings(const struct bench_setup *setup, char *text, size_t text_size)
{
    snprintf(text, text_size,
             "bloom filter of 10 bits, no compression, write buffer 64 MiB, block cache "
             "%zu MiB, log written by each put%s, checksums of blocks checked when they "
             "enter the cache (default)",
             cache_size(setup) >> 20,
             setup->durability == BENCH_SURVIVES_POWER ? " and synced (sync=true)"
                                                       : ", sync=false");
}

static enum bench_result close_store(void *data)
{
    struct store *store = data;
    if (store->database != NULL)
        rocksdb_close(store->database);
    rocksdb_writeoptions_destroy(store->writing);
    rocksdb_readoptions_destroy(store->scanning);
    rocksdb_readoptions_destroy(store->reading);
    rocksdb_options_destroy(store->options);
    free(store);
    return BENCH_OK;
}

/* The options of tables keep the filter, and share the cache. */
static void set_table_options(rocksdb_options_t *options, const struct bench_setup *setup)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(cache_size(setup));
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_cache_destroy(cache);
    rocksdb_block_based_options_destroy(table);
}

static void set_options(struct store *store, const struct bench_setup *setup)
{
    store->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(store->options, true);
    rocksdb_options_set_compression(store->options, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(store->options, write_buffer_size);
    set_table_options(store->options, setup);

    store->reading = rocksdb_readoptions_create();
    store->scanning = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(store->scanning, false);
    store->writing = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(store->writing,
                                  setup->durability == BENCH_SURVIVES_POWER);
}

static enum bench_result open_store(const struct bench_setup *setup, void **out)
{
    *out = NULL;
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        bench_fail("no memory");
        return BENCH_ERROR;
    }
    set_options(store, setup);

    char *words = NULL;
    store->database = rocksdb_open(store->options, setup->directory, &words);
    if (words != NULL) {
        store->database = NULL;
        close_store(store);
        return fail("rocksdb_open", words);
    }
    *out = store;
    return BENCH_OK;
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
    struct store *store = session;
    char *words = NULL;
    rocksdb_put(store->database, store->writing, key.data, key.size, value.data,
                value.size, &words);
    return words == NULL ? BENCH_OK : fail("rocksdb_put", words);
}

/* Pinned, the value is copied once, from the cache. */
static enum bench_result get(void *session, struct bench_bytes key,
                             struct bench_value *value)
{
    struct store *store = session;
    char *words = NULL;
    rocksdb_pinnableslice_t *found =
        rocksdb_get_pinned(store->database, store->reading, key.data, key.size, &words);
    if (words != NULL)
        return fail("rocksdb_get_pinned", words);
    if (found == NULL)
        return BENCH_MISSING;

    size_t size;
    const char *data = rocksdb_pinnableslice_value(found, &size);
    bool copied = bench_value_set(value, data, size);
    rocksdb_pinnableslice_destroy(found);
    if (!copied)
        bench_fail("no memory");
    return copied ? BENCH_OK : BENCH_ERROR;
}

/* It writes that the key is gone, and does not look whether it was there. */
static enum bench_result delete_key(void *session, struct bench_bytes key)
{
    struct store *store = session;
    char *words = NULL;
    rocksdb_delete(store->database, store->writing, key.data, key.size, &words);
    return words == NULL ? BENCH_OK : fail("rocksdb_delete", words);
}

static enum bench_result scan(void *session, bench_visit *visit, void *context)
{
    struct store *store = session;
    rocksdb_iterator_t *iterator =
        rocksdb_create_iterator(store->database, store->scanning);
    rocksdb_iter_seek_to_first(iterator);

    bool wanted = true;
    while (wanted && rocksdb_iter_valid(iterator)) {
        struct bench_bytes key;
        struct bench_bytes value;
        key.data = rocksdb_iter_key(iterator, &key.size);
        value.data = rocksdb_iter_value(iterator, &value.size);
        wanted = visit(context, key, value);
        rocksdb_iter_next(iterator);
    }

    char *words = NULL;
    rocksdb_iter_get_error(iterator, &words);
    rocksdb_iter_destroy(iterator);
    return words == NULL ? BENCH_OK : fail("rocksdb_iter_get_error", words);
}

static enum bench_result merge(void *data)
{
    struct store *store = data;
    rocksdb_compact_range(store->database, NULL, 0, NULL, 0);
    return BENCH_OK;
}

const struct bench_driver bench_driver_rocksdb = {
    .name = "rocksdb",
    .version = version,
    .settings = settings,
    .open = open_store,
    .close = close_store,
    .attach = attach,
    .detach = detach,
    .put = put,
    .get = get,
    .remove = delete_key,
    .scan = scan,
    .merge = merge,
    .error = bench_failure,
};
