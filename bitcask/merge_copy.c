/* SPDX-License-Identifier: MIT */
/*
 * Copying what is live, in file order and in large pieces. Keys are looked up in groups,
 * sorted by shard, so that their cache misses overlap and few locks are taken.
 *
 * Both checks of everything that is copied are verified; of what is not, the first, for
 * the way to the next record. Only the key check is computed anew: a damaged record must
 * not get a good check.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bitcask/data_file.h"
#include "bitcask/merge_inside.h"
#include "bitcask/status.h"

static_assert(BITCASK_MERGE_READ_SIZE > BITCASK_RECORD_PREFIX_MAX + BITCASK_KEY_SIZE_MAX,
              "any prefix and key can be read at once");

/* Memory for a batch. */
static enum bitcask_status create(struct bitcask_merge_copier **out,
                                  struct bitcask_merge_run *run)
{
    struct bitcask_merge_copier *copier = calloc(1, sizeof *copier);

    *out = copier;
    if (copier == NULL)
        return bitcask_fail_memory(sizeof *copier);
    copier->run = run;
    copier->cask = run->cask;
    copier->io = run->cask->io;
    copier->file = BITCASK_NO_FILE;
    copier->items = malloc(BITCASK_MERGE_BATCH_COUNT * sizeof *copier->items);
    copier->order =
        malloc(BITCASK_MERGE_BATCH_COUNT * sizeof(struct bitcask_merge_item *));
    if (copier->items == NULL || copier->order == NULL)
        return bitcask_fail_memory(BITCASK_MERGE_BATCH_COUNT * sizeof *copier->items);
    return BITCASK_OK;
}

enum bitcask_status bitcask_merge_copier_create_to_repoint(
    struct bitcask_merge_copier **out, struct bitcask_merge_run *run)
{
    return create(out, run);
}

enum bitcask_status bitcask_merge_copier_create(struct bitcask_merge_copier **out,
                                                struct bitcask_merge_run *run)
{
    struct bitcask_merge_copier *copier;
    enum bitcask_status status = create(out, run);

    if (status != BITCASK_OK)
        return status;
    copier = *out;
    copier->in = malloc(BITCASK_MERGE_READ_SIZE);
    if (copier->in == NULL)
        return bitcask_fail_memory(BITCASK_MERGE_READ_SIZE);
    /* Where it is to be slow, one thread is enough. */
    return bitcask_merge_writer_start(&copier->writer, copier->io,
                                      bitcask_merge_is_fast(run));
}

void bitcask_merge_copier_free(struct bitcask_merge_copier *copier)
{
    if (copier == NULL)
        return;
    free(copier->in);
    bitcask_merge_writer_end(&copier->writer);
    free(copier->items);
    free(copier->order);
    free(copier->outputs);
    bitcask_buffer_release(&copier->keys);
    free(copier);
}

void bitcask_merge_copier_begin(struct bitcask_merge_copier *copier, uint64_t horizon,
                                uint64_t purged_sequence)
{
    copier->horizon = horizon;
    copier->purged_sequence = purged_sequence;
    copier->now_ms = copier->io->wall_ms(copier->io);
    copier->output_count = 0;
    memset(&copier->counts, 0, sizeof copier->counts);
    copier->unreadable = false;
}

void bitcask_merge_copier_skip(struct bitcask_merge_copier *copier, uint64_t record_count,
                               uint64_t tombstone_count)
{
    copier->counts.record_in_count += record_count;
    copier->counts.dropped_count += tombstone_count;
}

enum bitcask_status bitcask_merge_copier_take(const struct bitcask_merge_copier *copier,
                                              struct bitcask_switch *change)
{
    size_t size = (copier->output_count + 1) * sizeof(struct bitcask_segment *);

    change->outputs = malloc(size);
    if (change->outputs == NULL)
        return bitcask_fail_memory(size);
    if (copier->output_count > 0)
        memcpy(change->outputs, copier->outputs,
               copier->output_count * sizeof(struct bitcask_segment *));
    change->output_count = copier->output_count;
    return BITCASK_OK;
}

bool bitcask_merge_copier_is_unreadable(const struct bitcask_merge_copier *copier)
{
    return copier->unreadable;
}

const struct bitcask_merge_counts *bitcask_merge_copier_counts(
    const struct bitcask_merge_copier *copier)
{
    return &copier->counts;
}

void bitcask_merge_sort_batch(struct bitcask_merge_copier *copier,
                              size_t begins[BITCASK_KEYDIR_SHARD_COUNT + 1])
{
    size_t next[BITCASK_KEYDIR_SHARD_COUNT];

    memset(begins, 0, (BITCASK_KEYDIR_SHARD_COUNT + 1) * sizeof *begins);
    for (size_t i = 0; i < copier->count; i++)
        begins[bitcask_keydir_shard(copier->items[i].at.hash) + 1]++;
    for (size_t i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++) {
        begins[i + 1] += begins[i];
        next[i] = begins[i];
    }
    for (size_t i = 0; i < copier->count; i++)
        copier->order[next[bitcask_keydir_shard(copier->items[i].at.hash)]++] =
            &copier->items[i].at;
}

static void look_up(struct bitcask_merge_copier *copier)
{
    size_t begins[BITCASK_KEYDIR_SHARD_COUNT + 1];

    bitcask_merge_sort_batch(copier, begins);
    for (unsigned i = 0; i < BITCASK_KEYDIR_SHARD_COUNT; i++)
        bitcask_keydir_look(copier->cask->keydir, i, copier->order + begins[i],
                            begins[i + 1] - begins[i]);
}

static enum bitcask_status fail_at(const struct bitcask_segment *input, uint64_t offset,
                                   const char *what)
{
    return bitcask_fail(BITCASK_CORRUPT,
                        "%010" PRIu64 ".data, offset %" PRIu64
                        ": %s; the file stays as it is; " BITCASK_DAMAGE_ADVICE,
                        input->id, offset, what);
}

/* What is to be done with a record. */
enum fate {
    FATE_DROP,
    FATE_COPY,
    FATE_TOMBSTONE /* write that the key was deleted */
};

/*
 * A record that expires is a tombstone as soon as it has expired, or the keydir takes it
 * for one: the clock may have stepped back since then.
 */
static bool is_tombstone(const struct bitcask_merge_copier *copier,
                         const struct bitcask_record *record,
                         const struct bitcask_merge_item *item)
{
    if (record->kind == BITCASK_RECORD_TOMBSTONE)
        return true;
    return (record->flags & BITCASK_RECORD_EXPIRES) != 0 &&
           (!item->current || bitcask_record_expired(record, copier->now_ms));
}

static enum fate judge(struct bitcask_merge_copier *copier,
                       const struct bitcask_record *record,
                       struct bitcask_merge_item *item)
{
    copier->counts.record_in_count++;
    if (!is_tombstone(copier, record, item))
        return item->current ? FATE_COPY : FATE_DROP;

    if (record->kind == BITCASK_RECORD_PUT && item->current) {
        bitcask_keydir_expire(copier->cask->keydir, item);
        if (item->moved)
            bitcask_cask_count_dead(copier->cask, &item->before, item->key.size);
    }
    if (item->newest > item->sequence || item->sequence <= copier->horizon) {
        copier->counts.dropped_count++;
        return FATE_DROP;
    }
    copier->counts.kept_count++;
    return FATE_TOMBSTONE;
}

static enum bitcask_status write_tombstone(struct bitcask_merge_copier *copier,
                                           const struct bitcask_record *record,
                                           struct bitcask_slice key)
{
    struct bitcask_record tombstone = {
        .kind = BITCASK_RECORD_TOMBSTONE,
        .key_size = record->key_size,
        .value_check = bitcask_value_check(NULL, 0),
        .unsynced_count = record->unsynced_count,
        .sequence = record->sequence,
    };

    return bitcask_merge_write(copier, &tombstone, key, NULL);
}

/* Write what has to stay of the batch, in the order of the file. */
static enum bitcask_status write_batch(struct bitcask_merge_copier *copier,
                                       const struct bitcask_segment *input)
{
    enum bitcask_status status = BITCASK_OK;

    for (size_t i = 0; i < copier->count && status == BITCASK_OK; i++) {
        struct copy_item *item = &copier->items[i];
        const struct bitcask_record *record = &item->record;
        const uint8_t *value =
            item->bytes + bitcask_record_prefix_size(record) + record->key_size;

        switch (judge(copier, record, &item->at)) {
        case FATE_DROP:
            break;
        case FATE_COPY:
            if (bitcask_value_check(value, record->value_size) != record->value_check)
                return fail_at(input, item->at.place.offset, "the value is damaged");
            status = bitcask_merge_write(copier, record, item->at.key, value);
            break;
        case FATE_TOMBSTONE:
            status = write_tombstone(copier, record, item->at.key);
            break;
        }
    }
    return status;
}

/* Decode and verify prefix and key at @bytes, of which @size are there. */
static enum bitcask_status read_record(const struct bitcask_segment *input,
                                       uint64_t offset, const uint8_t *bytes, size_t size,
                                       struct bitcask_record *record, bool *whole)
{
    uint64_t rest = atomic_load(&input->data_size) - offset;
    size_t prefix_size =
        size < BITCASK_RECORD_PREFIX_MAX ? size : BITCASK_RECORD_PREFIX_MAX;

    *whole = false;
    if (size < BITCASK_RECORD_PREFIX_MAX && size < rest)
        return BITCASK_OK; /* cut off by the end of what was read */
    if (bitcask_record_decode(bytes, prefix_size, record) != BITCASK_OK)
        return fail_at(input, offset, "there is no record");
    if (bitcask_record_size(record) > rest)
        return fail_at(input, offset, "the record reaches past the end of the file");
    if (bitcask_record_prefix_size(record) + record->key_size > size)
        return BITCASK_OK;
    if (!bitcask_record_key_intact(bytes, record, input->salt, offset))
        return fail_at(input, offset, "the record's header or key is damaged");
    *whole = true;
    return BITCASK_OK;
}

static void set_item(struct bitcask_merge_copier *copier, struct bitcask_merge_item *item,
                     const struct bitcask_record *record, const uint8_t *bytes,
                     uint64_t offset)
{
    item->key.data = bytes + bitcask_record_prefix_size(record);
    item->key.size = record->key_size;
    item->hash = bitcask_keydir_hash(copier->cask->keydir, item->key);
    item->sequence = record->sequence;
    item->place.offset = offset;
    item->wants_newest = record->kind == BITCASK_RECORD_TOMBSTONE ||
                         (record->flags & BITCASK_RECORD_EXPIRES) != 0;
}

/*
 * Take as many whole records as there are, from @bytes, which lie at @offset. *used is
 * how many bytes that are. The header of a batch is stepped over: its parts have checks
 * of their own, and become ordinary records.
 */
static enum bitcask_status parse(struct bitcask_merge_copier *copier,
                                 const struct bitcask_segment *input, uint64_t offset,
                                 const uint8_t *bytes, size_t size, size_t *used)
{
    copier->count = 0;
    *used = 0;
    while (*used < size && copier->count < BITCASK_MERGE_BATCH_COUNT) {
        struct copy_item *item = &copier->items[copier->count];
        uint64_t record_size;
        bool whole;
        enum bitcask_status status = read_record(input, offset + *used, bytes + *used,
                                                 size - *used, &item->record, &whole);

        if (status != BITCASK_OK)
            return status;
        if (!whole)
            break;
        if (item->record.kind == BITCASK_RECORD_BATCH) {
            *used += BITCASK_RECORD_HEADER_SIZE;
            continue;
        }
        record_size = bitcask_record_size(&item->record);
        if (record_size > size - *used)
            break;
        item->bytes = bytes + *used;
        set_item(copier, &item->at, &item->record, item->bytes, offset + *used);
        copier->count++;
        *used += (size_t)record_size;
    }
    return BITCASK_OK;
}

static enum bitcask_status read_input(struct bitcask_merge_copier *copier,
                                      const struct bitcask_segment *input,
                                      bitcask_file file, uint64_t offset, size_t *size)
{
    uint64_t rest = atomic_load(&input->data_size) - offset;
    size_t wanted =
        rest < BITCASK_MERGE_READ_SIZE ? (size_t)rest : BITCASK_MERGE_READ_SIZE;
    enum bitcask_status status =
        copier->io->read(copier->io, file, offset, copier->in, wanted, size);

    copier->unreadable = status == BITCASK_IO;
    if (status != BITCASK_OK)
        return bitcask_fail_errno(status, "read %010" PRIu64 ".data, offset %" PRIu64,
                                  input->id, offset);
    if (*size < wanted)
        return fail_at(input, offset + *size, "the file is cut off here");
    return BITCASK_OK;
}

/* Copy @size bytes of a value piece by piece; *check is continued. */
static enum bitcask_status copy_value(struct bitcask_merge_copier *copier,
                                      const struct bitcask_segment *input,
                                      bitcask_file file, uint64_t offset, uint64_t size,
                                      uint32_t *check)
{
    enum bitcask_status status = BITCASK_OK;

    while (size > 0 && status == BITCASK_OK) {
        size_t piece = 0;

        status = read_input(copier, input, file, offset, &piece);
        if (piece > size)
            piece = (size_t)size;
        if (status == BITCASK_OK) {
            *check = bitcask_check(*check, copier->in, piece);
            status = bitcask_merge_write_piece(copier, copier->in, piece);
        }
        if (status == BITCASK_OK)
            status = bitcask_merge_checkpoint(copier->run, piece);
        offset += piece;
        size -= piece;
    }
    return status;
}

/*
 * A record that is larger than what is read at once; its prefix and key are at the
 * beginning of copier->in. *size is how long it is.
 */
static enum bitcask_status copy_large(struct bitcask_merge_copier *copier,
                                      const struct bitcask_segment *input,
                                      bitcask_file file, uint64_t offset,
                                      size_t bytes_size, uint64_t *size)
{
    struct copy_item *item = &copier->items[0];
    struct bitcask_record *record = &item->record;
    struct bitcask_merge_item *order = &item->at;
    uint64_t head_size;
    uint32_t check = 0;
    bool whole;
    enum fate fate;
    enum bitcask_status status =
        read_record(input, offset, copier->in, bytes_size, record, &whole);

    if (status == BITCASK_OK && !whole)
        return fail_at(input, offset, "there is no record");
    if (status != BITCASK_OK)
        return status;
    *size = bitcask_record_size(record);
    head_size = bitcask_record_prefix_size(record) + record->key_size;
    set_item(copier, &item->at, record, copier->in, offset);
    bitcask_keydir_look(copier->cask->keydir, bitcask_keydir_shard(item->at.hash), &order,
                        1);
    fate = judge(copier, record, &item->at);
    if (fate == FATE_TOMBSTONE)
        return write_tombstone(copier, record, item->at.key);
    if (fate == FATE_DROP)
        return BITCASK_OK;

    status = bitcask_merge_write_head(copier, record, item->at.key);
    if (status != BITCASK_OK)
        return status;
    status =
        copy_value(copier, input, file, offset + head_size, record->value_size, &check);
    if (status == BITCASK_OK && check != record->value_check)
        status = fail_at(input, offset, "the value is damaged");
    return status;
}

/* All records in the first @size bytes of copier->in; *used is how many those were. */
static enum bitcask_status copy_window(struct bitcask_merge_copier *copier,
                                       const struct bitcask_segment *input,
                                       uint64_t offset, size_t size, size_t *used)
{
    size_t step = 1;
    enum bitcask_status status = BITCASK_OK;

    *used = 0;
    while (*used < size && step > 0 && status == BITCASK_OK) {
        status =
            parse(copier, input, offset + *used, copier->in + *used, size - *used, &step);
        if (status == BITCASK_OK) {
            look_up(copier);
            status = write_batch(copier, input);
        }
        *used += step;
    }
    return status;
}

enum bitcask_status bitcask_merge_copy(struct bitcask_merge_copier *copier,
                                       struct bitcask_segment *input)
{
    struct bitcask_io *io = copier->io;
    uint64_t end = atomic_load(&input->data_size);
    uint64_t offset = BITCASK_FILE_HEADER_SIZE;
    bitcask_file file = BITCASK_NO_FILE;
    uint64_t file_size;
    bool torn;
    enum bitcask_status status =
        bitcask_data_file_open(io, copier->cask->directory, input->id, input->salt,
                               BITCASK_IO_READ, &file, &file_size, &torn);

    copier->unreadable = status == BITCASK_IO;
    if (status == BITCASK_NOT_FOUND)
        return fail_at(input, 0, "the file is missing");
    copier->run->done_size += BITCASK_FILE_HEADER_SIZE;
    while (status == BITCASK_OK && offset < end) {
        size_t size, used = 0;

        status = read_input(copier, input, file, offset, &size);
        if (status == BITCASK_OK)
            status = copy_window(copier, input, offset, size, &used);
        if (status == BITCASK_OK && used == 0) {
            uint64_t large_size = 0;

            status = copy_large(copier, input, file, offset, size, &large_size);
            offset += large_size;
        } else if (status == BITCASK_OK) {
            offset += used;
            status = bitcask_merge_checkpoint(copier->run, used);
        }
    }
    if (file != BITCASK_NO_FILE)
        io->close(io, file);
    return status;
}
