/* SPDX-License-Identifier: MIT */
/*
 * Tkrzw's HashDBM: chains of records in one mapped file, updated in place.
 */
#include "driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <tkrzw_langc.h>

struct store {
    TkrzwDBM *dbm;
    bool sync_each; /* after each put and remove */
};

static enum bench_result fail(const char *call)
{
    TkrzwStatus status = tkrzw_get_last_status();
    bench_fail("%s: %s: %s", call, tkrzw_status_code_name(status.code), status.message);
    return BENCH_ERROR;
}

static const char *version(void)
{
    return TKRZW_PACKAGE_VERSION;
}

/* One and a half for each key, which its manual recommends. */
static uint64_t bucket_count(const struct bench_setup *setup)
{
    uint64_t keys = setup->expected_keys;
    return keys + keys / 2 + 1024;
}

static void settings(const struct bench_setup *setup, char *text, size_t text_size)
{
    snprintf(text, text_size,
             "HashDBM on MemoryMapParallelFile (all of it mapped), in place, num_buckets "
             "%" PRIu64 ", no CRC and no compression (defaults)%s",
             bucket_count(setup),
             setup->durability == BENCH_SURVIVES_POWER
                 ? ", tkrzw_dbm_synchronize(hard) after each put"
                 : ", never synchronized (what is written is in the mapping)");
}

static enum bench_result open_store(const struct bench_setup *setup, void **out)
{
    *out = NULL;
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        bench_fail("no memory");
        return BENCH_ERROR;
    }

    char path[4096];
    char parameters[128];
    bench_path(path, sizeof path, setup->directory, "store.tkh");
    snprintf(parameters, sizeof parameters,
             "dbm=HashDBM,file=MemoryMapParallelFile,num_buckets=%" PRIu64,
             bucket_count(setup));
    store->dbm = tkrzw_dbm_open(path, true, parameters);
    if (store->dbm == NULL) {
        free(store);
        return fail("tkrzw_dbm_open");
    }
    store->sync_each = setup->durability == BENCH_SURVIVES_POWER;
    *out = store;
    return BENCH_OK;
}

static enum bench_result close_store(void *data)
{
    struct store *store = data;
    enum bench_result result = BENCH_OK;
    if (!tkrzw_dbm_close(store->dbm))
        result = fail("tkrzw_dbm_close");
    free(store);
    return result;
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

static enum bench_result finish_write(struct store *store)
{
    if (store->sync_each && !tkrzw_dbm_synchronize(store->dbm, true, NULL, NULL, ""))
        return fail("tkrzw_dbm_synchronize");
    return BENCH_OK;
}

static enum bench_result put(void *session, struct bench_bytes key,
                             struct bench_bytes value)
{
    struct store *store = session;
    if (!tkrzw_dbm_set(store->dbm, key.data, (int32_t)key.size, value.data,
                       (int32_t)value.size, true))
        return fail("tkrzw_dbm_set");
    return finish_write(store);
}

struct copy {
    struct bench_value *value;
    enum bench_result result;
};

/* Copies from where the record lies: tkrzw_dbm_get() would copy twice, into a new block.
 */
static const char *copy_value(void *context, const char *key, int32_t key_size,
                              const char *value, int32_t value_size, int32_t *new_size)
{
    struct copy *copy = context;
    (void)key;
    (void)key_size;
    (void)new_size;
    if (value == NULL)
        copy->result = BENCH_MISSING;
    else if (bench_value_set(copy->value, value, (size_t)value_size))
        copy->result = BENCH_OK;
    else
        bench_fail("no memory");
    return TKRZW_REC_PROC_NOOP;
}

static enum bench_result get(void *session, struct bench_bytes key,
                             struct bench_value *value)
{
    struct store *store = session;
    struct copy copy = { value, BENCH_ERROR };
    if (!tkrzw_dbm_process(store->dbm, key.data, (int32_t)key.size, copy_value, &copy,
                           false))
        return fail("tkrzw_dbm_process");
    return copy.result;
}

static enum bench_result delete_key(void *session, struct bench_bytes key)
{
    struct store *store = session;
    if (tkrzw_dbm_remove(store->dbm, key.data, (int32_t)key.size))
        return finish_write(store);
    if (tkrzw_get_last_status_code() == TKRZW_STATUS_NOT_FOUND_ERROR)
        return BENCH_MISSING;
    return fail("tkrzw_dbm_remove");
}

struct walk {
    bench_visit *visit;
    void *context;
    bool wanted;
};

/* It cannot be stopped, so what follows is passed over. It is also called before the
   first record and after the last, without one. */
static const char *visit_record(void *context, const char *key, int32_t key_size,
                                const char *value, int32_t value_size, int32_t *new_size)
{
    struct walk *walk = context;
    (void)new_size;
    if (value != NULL && walk->wanted)
        walk->wanted =
            walk->visit(walk->context, (struct bench_bytes){ key, (size_t)key_size },
                        (struct bench_bytes){ value, (size_t)value_size });
    return TKRZW_REC_PROC_NOOP;
}

static enum bench_result scan(void *session, bench_visit *visit, void *context)
{
    struct store *store = session;
    struct walk walk = { visit, context, true };
    if (!tkrzw_dbm_process_each(store->dbm, visit_record, &walk, false))
        return fail("tkrzw_dbm_process_each");
    return BENCH_OK;
}

static enum bench_result merge(void *data)
{
    struct store *store = data;
    return tkrzw_dbm_rebuild(store->dbm, "") ? BENCH_OK : fail("tkrzw_dbm_rebuild");
}

const struct bench_driver bench_driver_tkrzw = {
    .name = "tkrzw",
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
