/* SPDX-License-Identifier: MIT */
/*
 * LMDB: a B+tree that copies the pages it changes, in one mapped file.
 *
 * Each put is a transaction. A reader keeps one read transaction, which a get renews and
 * resets: that is the cheapest get that sees what was put before it.
 */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>

#include <lmdb.h>

struct store {
    MDB_env *environment;
    MDB_dbi database;
};

struct session {
    struct store *store;
    MDB_txn *reader;
};

static enum bench_result fail(const char *call, int code)
{
    bench_fail("%s: %s", call, mdb_strerror(code));
    return BENCH_ERROR;
}

static MDB_val value_of(struct bench_bytes bytes)
{
    return (MDB_val){ .mv_size = bytes.size, .mv_data = (void *)bytes.data };
}

static struct bench_bytes bytes_of(MDB_val value)
{
    return (struct bench_bytes){ value.mv_data, value.mv_size };
}

static const char *version(void)
{
    int major;
    int minor;
    int patch;
    static char text[32];
    mdb_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

static unsigned flags_of(const struct bench_setup *setup)
{
    unsigned flags = MDB_NOTLS | MDB_WRITEMAP;
    if (setup->durability == BENCH_SURVIVES_KILL)
        flags |= MDB_NOSYNC;
    return flags;
}

/*
 * Of the mapping, and of the sparse file, which never takes more than it needs. Pages
 * that are filled by halves, values that have pages of their own, and three times that
 * for the copies.
 */
static size_t map_size(const struct bench_setup *setup)
{
    const size_t page = 4096;
    size_t pair_size = setup->key_size + setup->value_size + 16;
    size_t taken =
        pair_size < page / 2 ? 2 * pair_size : (pair_size / page + 1) * page + page / 8;
    return (3 * setup->expected_keys * taken + ((size_t)1 << 30)) & ~(page - 1);
}

static void settings(const struct bench_setup *setup, char *text, size_t text_size)
{
    snprintf(text, text_size,
             "MDB_WRITEMAP, %s, MDB_NOTLS, map of %zu MiB, a transaction a put, a read "
             "transaction a thread renewed by each get, no checksums (it has none)",
             setup->durability == BENCH_SURVIVES_POWER
                 ? "msync (MS_SYNC) by each commit"
                 : "MDB_NOSYNC (what is written is in the mapping)",
             map_size(setup) >> 20);
}

/* The only database of the environment: the unnamed one. */
static enum bench_result open_database(struct store *store)
{
    MDB_txn *transaction = NULL;
    int code = mdb_txn_begin(store->environment, NULL, 0, &transaction);
    if (code != MDB_SUCCESS)
        return fail("mdb_txn_begin", code);

    code = mdb_dbi_open(transaction, NULL, 0, &store->database);
    if (code != MDB_SUCCESS) {
        mdb_txn_abort(transaction);
        return fail("mdb_dbi_open", code);
    }
    code = mdb_txn_commit(transaction);
    return code == MDB_SUCCESS ? BENCH_OK : fail("mdb_txn_commit", code);
}

static enum bench_result open_environment(struct store *store,
                                          const struct bench_setup *setup)
{
    int code = mdb_env_create(&store->environment);
    if (code != MDB_SUCCESS)
        return fail("mdb_env_create", code);
    code = mdb_env_set_mapsize(store->environment, map_size(setup));
    if (code != MDB_SUCCESS)
        return fail("mdb_env_set_mapsize", code);
    code = mdb_env_set_maxreaders(store->environment, setup->threads + 16);
    if (code != MDB_SUCCESS)
        return fail("mdb_env_set_maxreaders", code);
    code = mdb_env_open(store->environment, setup->directory, flags_of(setup), 0666);
    return code == MDB_SUCCESS ? open_database(store) : fail("mdb_env_open", code);
}

static enum bench_result close_store(void *data)
{
    struct store *store = data;
    if (store->environment != NULL)
        mdb_env_close(store->environment);
    free(store);
    return BENCH_OK;
}

static enum bench_result open_store(const struct bench_setup *setup, void **out)
{
    *out = NULL;
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        bench_fail("no memory");
        return BENCH_ERROR;
    }
    if (open_environment(store, setup) != BENCH_OK) {
        close_store(store);
        return BENCH_ERROR;
    }
    *out = store;
    return BENCH_OK;
}

static enum bench_result attach(void *store, void **out)
{
    *out = NULL;
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        bench_fail("no memory");
        return BENCH_ERROR;
    }
    session->store = store;
    int code =
        mdb_txn_begin(session->store->environment, NULL, MDB_RDONLY, &session->reader);
    if (code != MDB_SUCCESS) {
        free(session);
        return fail("mdb_txn_begin", code);
    }
    mdb_txn_reset(session->reader);
    *out = session;
    return BENCH_OK;
}

static void detach(void *data)
{
    struct session *session = data;
    mdb_txn_abort(session->reader);
    free(session);
}

static enum bench_result put(void *data, struct bench_bytes key, struct bench_bytes value)
{
    struct session *session = data;
    MDB_txn *transaction = NULL;
    int code = mdb_txn_begin(session->store->environment, NULL, 0, &transaction);
    if (code != MDB_SUCCESS)
        return fail("mdb_txn_begin", code);

    MDB_val name = value_of(key);
    MDB_val content = value_of(value);
    code = mdb_put(transaction, session->store->database, &name, &content, 0);
    if (code != MDB_SUCCESS) {
        mdb_txn_abort(transaction);
        return fail("mdb_put", code);
    }
    code = mdb_txn_commit(transaction);
    return code == MDB_SUCCESS ? BENCH_OK : fail("mdb_txn_commit", code);
}

static enum bench_result get(void *data, struct bench_bytes key,
                             struct bench_value *value)
{
    struct session *session = data;
    int code = mdb_txn_renew(session->reader);
    if (code != MDB_SUCCESS)
        return fail("mdb_txn_renew", code);

    enum bench_result result = BENCH_OK;
    MDB_val name = value_of(key);
    MDB_val content;
    code = mdb_get(session->reader, session->store->database, &name, &content);
    if (code == MDB_NOTFOUND) {
        result = BENCH_MISSING;
    } else if (code != MDB_SUCCESS) {
        result = fail("mdb_get", code);
    } else if (!bench_value_set(value, content.mv_data, content.mv_size)) {
        bench_fail("no memory");
        result = BENCH_ERROR;
    }
    mdb_txn_reset(session->reader);
    return result;
}

static enum bench_result delete_key(void *data, struct bench_bytes key)
{
    struct session *session = data;
    MDB_txn *transaction = NULL;
    int code = mdb_txn_begin(session->store->environment, NULL, 0, &transaction);
    if (code != MDB_SUCCESS)
        return fail("mdb_txn_begin", code);

    MDB_val name = value_of(key);
    code = mdb_del(transaction, session->store->database, &name, NULL);
    if (code != MDB_SUCCESS) {
        mdb_txn_abort(transaction);
        return code == MDB_NOTFOUND ? BENCH_MISSING : fail("mdb_del", code);
    }
    code = mdb_txn_commit(transaction);
    return code == MDB_SUCCESS ? BENCH_OK : fail("mdb_txn_commit", code);
}

static enum bench_result scan(void *data, bench_visit *visit, void *context)
{
    struct session *session = data;
    int code = mdb_txn_renew(session->reader);
    if (code != MDB_SUCCESS)
        return fail("mdb_txn_renew", code);

    enum bench_result result = BENCH_OK;
    MDB_cursor *cursor = NULL;
    code = mdb_cursor_open(session->reader, session->store->database, &cursor);
    if (code != MDB_SUCCESS) {
        result = fail("mdb_cursor_open", code);
        goto out;
    }

    MDB_val key;
    MDB_val value;
    bool wanted = true;
    while (wanted && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        wanted = visit(context, bytes_of(key), bytes_of(value));
    if (code != MDB_SUCCESS && code != MDB_NOTFOUND)
        result = fail("mdb_cursor_get", code);

out:
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    mdb_txn_reset(session->reader);
    return result;
}

/* Compacting it means copying it into another file: no merge. */
const struct bench_driver bench_driver_lmdb = {
    .name = "lmdb",
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
