/* SPDX-License-Identifier: MIT */
/*
 * Kyoto Cabinet's file hash database: chains of records in one file, updated in place.
 *
 * The library is under the GNU General Public License, and so is a program with it
 * inside.
 */
#include "driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <kclangc.h>

struct store {
    KCDB *database;
};

static enum bench_result fail(const struct store *store, const char *call)
{
    bench_fail("%s: %s: %s", call, kcecodename(kcdbecode(store->database)),
               kcdbemsg(store->database));
    return BENCH_ERROR;
}

static const char *version(void)
{
    return KCVERSION;
}

/* Two for each key, at the upper end of what its manual recommends. */
static uint64_t bucket_count(const struct bench_setup *setup)
{
    return 2 * setup->expected_keys + 1024;
}

/* Twice what buckets and records take, so that all of it is mapped. */
static uint64_t map_size(const struct bench_setup *setup)
{
    uint64_t record_size = setup->key_size + setup->value_size + 40;
    return 2 * (6 * bucket_count(setup) + record_size * setup->expected_keys) +
           ((uint64_t)64 << 20);
}

static void settings(const struct bench_setup *setup, char *text, size_t text_size)
{
    snprintf(
        text, text_size,
        "file hash (kch), bnum %" PRIu64 ", opts l (linear chains), msiz %" PRIu64
        " MiB (all of it mapped), no record checksums and no compression (defaults)%s",
        bucket_count(setup), map_size(setup) >> 20,
        setup->durability == BENCH_SURVIVES_POWER
            ? ", KCOAUTOSYNC (synchronized by each update)"
            : ", never synchronized (what is written is in the mapping)");
}

static enum bench_result close_store(void *data)
{
    struct store *store = data;
    enum bench_result result = BENCH_OK;
    if (!kcdbclose(store->database))
        result = fail(store, "kcdbclose");
    kcdbdel(store->database);
    free(store);
    return result;
}

static enum bench_result open_store(const struct bench_setup *setup, void **out)
{
    *out = NULL;
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        bench_fail("no memory");
        return BENCH_ERROR;
    }

    char name[128];
    char path[4096];
    snprintf(name, sizeof name, "store.kch#bnum=%" PRIu64 "#opts=l#msiz=%" PRIu64,
             bucket_count(setup), map_size(setup));
    bench_path(path, sizeof path, setup->directory, name);

    uint32_t mode = KCOWRITER | KCOCREATE;
    if (setup->durability == BENCH_SURVIVES_POWER)
        mode |= KCOAUTOSYNC;
    store->database = kcdbnew();
    if (!kcdbopen(store->database, path, mode)) {
        fail(store, "kcdbopen");
        kcdbdel(store->database);
        free(store);
        return BENCH_ERROR;
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
    if (!kcdbset(store->database, key.data, key.size, value.data, value.size))
        return fail(store, "kcdbset");
    return BENCH_OK;
}

struct copy {
    struct bench_value *value;
    enum bench_result result;
};

static const char *copy_value(const char *key, size_t key_size, const char *value,
                              size_t value_size, size_t *new_size, void *context)
{
    struct copy *copy = context;
    (void)key;
    (void)key_size;
    (void)new_size;
    if (bench_value_set(copy->value, value, value_size))
        copy->result = BENCH_OK;
    else
        bench_fail("no memory");
    return KCVISNOP;
}

static const char *say_missing(const char *key, size_t key_size, size_t *new_size,
                               void *context)
{
    struct copy *copy = context;
    (void)key;
    (void)key_size;
    (void)new_size;
    copy->result = BENCH_MISSING;
    return KCVISNOP;
}

/* kcdbgetbuf() would do the same, and record an error for each missing key. */
static enum bench_result get(void *session, struct bench_bytes key,
                             struct bench_value *value)
{
    struct store *store = session;
    struct copy copy = { value, BENCH_ERROR };
    if (!kcdbaccept(store->database, key.data, key.size, copy_value, say_missing, &copy,
                    false))
        return fail(store, "kcdbaccept");
    return copy.result;
}

static enum bench_result delete_key(void *session, struct bench_bytes key)
{
    struct store *store = session;
    if (kcdbremove(store->database, key.data, key.size))
        return BENCH_OK;
    if (kcdbecode(store->database) == KCENOREC)
        return BENCH_MISSING;
    return fail(store, "kcdbremove");
}

struct walk {
    bench_visit *visit;
    void *context;
    bool wanted;
};

/* It cannot be stopped, so what follows is passed over. */
static const char *visit_record(const char *key, size_t key_size, const char *value,
                                size_t value_size, size_t *new_size, void *context)
{
    struct walk *walk = context;
    (void)new_size;
    if (walk->wanted)
        walk->wanted = walk->visit(walk->context, (struct bench_bytes){ key, key_size },
                                   (struct bench_bytes){ value, value_size });
    return KCVISNOP;
}

static enum bench_result scan(void *session, bench_visit *visit, void *context)
{
    struct store *store = session;
    struct walk walk = { visit, context, true };
    if (!kcdbiterate(store->database, visit_record, &walk, false))
        return fail(store, "kcdbiterate");
    return BENCH_OK;
}

/* Its C interface has no call that compacts a file: no merge. */
const struct bench_driver bench_driver_kyoto = {
    .name = "kyoto",
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
    .error = bench_failure,
};
