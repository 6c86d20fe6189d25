/* SPDX-License-Identifier: MIT */
/*
 * LevelDB: a log, a table in memory, and levels of sorted files that are compacted in the
 * background.
 */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>

#include <leveldb/c.h>

struct store {
    leveldb_t *database;
    leveldb_options_t *options;
    leveldb_filterpolicy_t *filter;
    leveldb_cache_t *cache;
    leveldb_readoptions_t *reading;
    leveldb_readoptions_t *scanning;
    leveldb_writeoptions_t *writing;
};

/* Its words are ours to free. */
static enum bench_result fail(const char *call, char *words)
{
    bench_fail("%s: %s", call, words);
    leveldb_free(words);
    return BENCH_ERROR;
}

static const char *version(void)
{
    static char text[32];
    snprintf(text, sizeof text, "%d.%d", leveldb_major_version(),
             leveldb_minor_version());
    return text;
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
             "%zu MiB (uncompressed blocks are read mapped), log written by each put%s, "
             "checksums of blocks not checked by gets (default)",
             cache_size(setup) >> 20,
             setup->durability == BENCH_SURVIVES_POWER ? " and synced (sync=true)"
                                                       : ", sync=false");
}

static enum bench_result close_store(void *data)
{
    struct store *store = data;
    if (store->database != NULL)
        leveldb_close(store->database);
    leveldb_writeoptions_destroy(store->writing);
    leveldb_readoptions_destroy(store->scanning);
    leveldb_readoptions_destroy(store->reading);
    leveldb_options_destroy(store->options);
    leveldb_filterpolicy_destroy(store->filter);
    leveldb_cache_destroy(store->cache);
    free(store);
    return BENCH_OK;
}

static void set_options(struct store *store, const struct bench_setup *setup)
{
    store->filter = leveldb_filterpolicy_create_bloom(10);
    store->cache = leveldb_cache_create_lru(cache_size(setup));

    store->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(store->options, true);
    leveldb_options_set_filter_policy(store->options, store->filter);
    leveldb_options_set_cache(store->options, store->cache);
    leveldb_options_set_compression(store->options, leveldb_no_compression);
    leveldb_options_set_write_buffer_size(store->options, write_buffer_size);

    store->reading = leveldb_readoptions_create();
    store->scanning = leveldb_readoptions_create();
    leveldb_readoptions_set_fill_cache(store->scanning, false);
    store->writing = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(store->writing,
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
    store->database = leveldb_open(store->options, setup->directory, &words);
    if (words != NULL) {
        store->database = NULL;
        close_store(store);
        return fail("leveldb_open", words);
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
    leveldb_put(store->database, store->writing, key.data, key.size, value.data,
                value.size, &words);
    return words == NULL ? BENCH_OK : fail("leveldb_put", words);
}

/* What leveldb_get() hands out is a block of malloc's: it becomes the caller's, which
   spares the copy. */
static enum bench_result get(void *session, struct bench_bytes key,
                             struct bench_value *value)
{
    struct store *store = session;
    char *words = NULL;
    size_t size = 0;
    char *found =
        leveldb_get(store->database, store->reading, key.data, key.size, &size, &words);
    if (words != NULL)
        return fail("leveldb_get", words);
    if (found == NULL)
        return BENCH_MISSING;
    free(value->data);
    *value = (struct bench_value){ found, size, size };
    return BENCH_OK;
}

/* It writes that the key is gone, and does not look whether it was there. */
static enum bench_result delete_key(void *session, struct bench_bytes key)
{
    struct store *store = session;
    char *words = NULL;
    leveldb_delete(store->database, store->writing, key.data, key.size, &words);
    return words == NULL ? BENCH_OK : fail("leveldb_delete", words);
}

static enum bench_result scan(void *session, bench_visit *visit, void *context)
{
    struct store *store = session;
    leveldb_iterator_t *iterator =
        leveldb_create_iterator(store->database, store->scanning);
    leveldb_iter_seek_to_first(iterator);

    bool wanted = true;
    while (wanted && leveldb_iter_valid(iterator)) {
        struct bench_bytes key;
        struct bench_bytes value;
        key.data = leveldb_iter_key(iterator, &key.size);
        value.data = leveldb_iter_value(iterator, &value.size);
        wanted = visit(context, key, value);
        leveldb_iter_next(iterator);
    }

    char *words = NULL;
    leveldb_iter_get_error(iterator, &words);
    leveldb_iter_destroy(iterator);
    return words == NULL ? BENCH_OK : fail("leveldb_iter_get_error", words);
}

static enum bench_result merge(void *data)
{
    struct store *store = data;
    leveldb_compact_range(store->database, NULL, 0, NULL, 0);
    return BENCH_OK;
}

const struct bench_driver bench_driver_leveldb = {
    .name = "leveldb",
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
