/* SPDX-License-Identifier: MIT */
#include "bitcask/scan.h"

#include <string.h>

#include "bitcask/zeros.h"

/* What cannot be read is stepped over in pages, the least that a disk fails to read. */
enum {
    PAGE_SIZE = 4096
};

bool bitcask_scan_item_is_whole(const struct bitcask_scan_item *item)
{
    return (item->kind == BITCASK_INSPECT_PUT ||
            item->kind == BITCASK_INSPECT_TOMBSTONE) &&
           item->key_intact && item->value_intact && item->batch_intact;
}

enum bitcask_status bitcask_scan_init(struct bitcask_scan *scan, struct bitcask_io *io,
                                      bitcask_file file, uint64_t segment_id,
                                      uint64_t salt, uint64_t end)
{
    enum bitcask_status status;

    memset(scan, 0, sizeof *scan);
    status = bitcask_walk_init(&scan->walk, io, file, segment_id, salt, end);
    scan->walk.patient = true;
    return status;
}

void bitcask_scan_release(struct bitcask_scan *scan)
{
    bitcask_walk_release(&scan->walk);
    memset(scan, 0, sizeof *scan);
}

void bitcask_scan_seek(struct bitcask_scan *scan, uint64_t offset)
{
    scan->walk.offset =
        offset > BITCASK_FILE_HEADER_SIZE ? offset : BITCASK_FILE_HEADER_SIZE;
    scan->batch_offset = 0;
    scan->searching = offset > BITCASK_FILE_HEADER_SIZE;
}

/* Where what the scan is in ends: the batch, or the file. */
static uint64_t end_of(const struct bitcask_scan *scan)
{
    return scan->batch_offset != 0 ? scan->batch_end : scan->walk.end;
}

/*
 * The header at walk->offset, as far as lengths go: nothing is checked yet. False: there
 * is none that fits before @end.
 */
static enum bitcask_status decode(struct bitcask_scan *scan, uint64_t end,
                                  struct bitcask_record *header, bool *fits)
{
    struct bitcask_walk *walk = &scan->walk;
    uint64_t room = end - walk->offset;
    size_t prefix_size =
        room < BITCASK_RECORD_PREFIX_MAX ? (size_t)room : BITCASK_RECORD_PREFIX_MAX;
    const uint8_t *bytes = NULL;
    enum bitcask_status status =
        bitcask_walk_look(walk, walk->offset, prefix_size, &bytes);

    *fits = status == BITCASK_OK &&
            bitcask_record_decode(bytes, prefix_size, header) == BITCASK_OK &&
            bitcask_record_size(header) <= room;
    return status;
}

/*
 * Whether at @offset there is a record whose key check holds, and that ends before @end;
 * with walk.headers_only its value need not. In a batch there is no batch.
 */
static enum bitcask_status look_for_record(struct bitcask_scan *scan, uint64_t offset,
                                           uint64_t end, struct bitcask_record *header,
                                           bool *found)
{
    uint64_t before = scan->walk.offset;
    const uint8_t *bytes = NULL;
    enum bitcask_status status;

    scan->walk.offset = offset;
    status = bitcask_walk_header(&scan->walk, end, header, &bytes);
    scan->walk.offset = before;
    *found = status == BITCASK_OK &&
             (scan->batch_offset == 0 || header->kind != BITCASK_RECORD_BATCH);
    return status == BITCASK_CORRUPT ? BITCASK_OK : status;
}

/*
 * Whether the parts of the batch at [@offset, @end) are records in sequence, and fill it.
 * With a header that can be believed they begin with the sequence of the batch; without,
 * their values must hold as well, because nothing else speaks for them.
 */
static enum bitcask_status check_parts(struct bitcask_scan *scan, uint64_t offset,
                                       uint64_t end, const struct bitcask_record *batch,
                                       bool believed, bool *intact)
{
    struct bitcask_walk *walk = &scan->walk;
    uint64_t before = walk->offset;
    uint64_t sequence = believed ? batch->sequence : 0;
    enum bitcask_status status = BITCASK_OK;

    *intact = offset < end;
    walk->offset = offset;
    while (walk->offset < end && *intact && status == BITCASK_OK) {
        struct bitcask_record part;
        const uint8_t *bytes = NULL;
        uint32_t check;

        status = bitcask_walk_header(walk, end, &part, &bytes);
        if (status == BITCASK_CORRUPT) {
            *intact = false;
            status = BITCASK_OK;
        }
        if (status != BITCASK_OK || !*intact)
            break;
        if (sequence == 0)
            sequence = part.sequence;
        *intact = part.kind != BITCASK_RECORD_BATCH && part.sequence == sequence++;
        if (!believed) {
            status = bitcask_walk_check(
                walk, walk->offset + bitcask_record_prefix_size(&part) + part.key_size,
                part.value_size, &check);
            *intact = *intact && check == part.value_check;
        }
        walk->offset += bitcask_record_size(&part);
    }
    walk->offset = before;
    return status;
}

/* The check of the value of *item, or of as much of it as there is. */
static enum bitcask_status check_payload(struct bitcask_scan *scan,
                                         struct bitcask_scan_item *item)
{
    const struct bitcask_record *header = &item->header;
    uint64_t offset =
        item->offset + bitcask_record_prefix_size(header) + header->key_size;
    uint64_t end = item->offset + item->size;
    bool whole = item->size == bitcask_record_size(header);
    enum bitcask_status status = BITCASK_OK;

    item->value_check_computed = header->value_check;
    if (!scan->values_unread || header->kind == BITCASK_RECORD_BATCH || !whole)
        status = bitcask_walk_check(&scan->walk, offset, end - offset,
                                    &item->value_check_computed);
    item->value_intact = whole && item->value_check_computed == header->value_check;
    if (status == BITCASK_OK && header->kind == BITCASK_RECORD_BATCH && whole &&
        (item->value_intact || !item->key_intact))
        status =
            check_parts(scan, offset, end, header, item->key_intact, &item->value_intact);
    return status;
}

/*
 * Fill *item for the record at the scan's offset, of which @header was decoded and @size
 * bytes are there.
 */
static enum bitcask_status describe(struct bitcask_scan *scan,
                                    const struct bitcask_record *header, uint64_t size,
                                    bool key_intact, struct bitcask_scan_item *item)
{
    struct bitcask_walk *walk = &scan->walk;
    size_t prefix_size = bitcask_record_prefix_size(header);
    const uint8_t *bytes = NULL;
    enum bitcask_status status;

    memset(item, 0, sizeof *item);
    item->kind = (enum bitcask_inspect_kind)header->kind;
    item->header = *header;
    item->offset = walk->offset;
    item->size = size;
    item->batch_offset = scan->batch_offset;
    item->batch_intact = scan->batch_offset == 0 || scan->batch_intact;
    item->key_intact = key_intact;
    status = check_payload(scan, item);
    if (status != BITCASK_OK)
        return status;

    /* Now, because the window may have moved. */
    status =
        bitcask_walk_look(walk, walk->offset, prefix_size + header->key_size, &bytes);
    if (status != BITCASK_OK)
        return status;
    item->key_check_stored = bitcask_record_stored_check(bytes);
    item->key_check_computed =
        key_intact ? item->key_check_stored
                   : bitcask_record_key_check(bytes, header, walk->salt, walk->offset);
    item->key.data = bytes + prefix_size;
    item->key.size = header->key_size;
    return BITCASK_OK;
}

/* Step behind @item, or, if it is a batch, into it. */
static void step_behind(struct bitcask_scan *scan, const struct bitcask_scan_item *item)
{
    scan->walk.offset += item->size;
    if (item->kind != BITCASK_INSPECT_BATCH)
        return;
    scan->batch_offset = item->offset;
    scan->batch_end = item->offset + item->size;
    scan->batch_intact = item->value_intact;
    scan->walk.offset = item->offset + BITCASK_RECORD_HEADER_SIZE;
}

/*
 * To the next record at walk->offset or behind it, also one of which the end of the file,
 * or of the batch, cuts off the value.
 */
static enum bitcask_status resync(struct bitcask_scan *scan, struct bitcask_record *found)
{
    struct bitcask_walk *walk = &scan->walk;
    uint64_t file_end = walk->end;
    enum bitcask_status status;

    walk->end = end_of(scan);
    walk->headers_only = true;
    status = bitcask_walk_resync(walk, 1, UINT64_MAX, found);
    walk->headers_only = false;
    walk->end = file_end;
    return status;
}

/*
 * Whether something begins between the scan's offset and @next that does not lie in
 * what is described by @header: in a batch another batch, else any record.
 */
static enum bitcask_status look_for_hidden(struct bitcask_scan *scan,
                                           const struct bitcask_record *header,
                                           uint64_t next, bool *hidden)
{
    struct bitcask_walk *walk = &scan->walk;
    uint64_t before = walk->offset;
    struct bitcask_record found;
    enum bitcask_status status = BITCASK_OK;

    *hidden = false;
    while (!*hidden && status == BITCASK_OK) {
        walk->offset++;
        status = resync(scan, &found);
        if (status != BITCASK_OK || walk->offset >= next)
            break;
        *hidden =
            header->kind != BITCASK_RECORD_BATCH || found.kind == BITCASK_RECORD_BATCH;
    }
    walk->offset = before;
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

/*
 * A record with a bad key check is shown as what it looks like if its end is where the
 * next record, or the file, says so too, and no other record begins before that: its
 * size may be what is damaged, and must not hide what is whole. What looks like a batch
 * is one if what is in it are parts; else each record counts for itself.
 */
static enum bitcask_status recognise(struct bitcask_scan *scan,
                                     struct bitcask_record *header, bool *recognised)
{
    struct bitcask_record following;
    uint64_t end = end_of(scan);
    uint64_t next;
    enum bitcask_status status = decode(scan, end, header, recognised);

    if (status != BITCASK_OK || !*recognised)
        return status;
    *recognised = scan->batch_offset == 0 || header->kind != BITCASK_RECORD_BATCH;
    next = scan->walk.offset + bitcask_record_size(header);
    if (*recognised && next != end)
        status = look_for_record(scan, next, end, &following, recognised);
    if (status == BITCASK_OK && *recognised) {
        bool hidden = false;

        status = look_for_hidden(scan, header, next, &hidden);
        *recognised = !hidden;
    }
    if (status == BITCASK_OK && *recognised && header->kind == BITCASK_RECORD_BATCH)
        status = check_parts(scan, scan->walk.offset + BITCASK_RECORD_HEADER_SIZE, next,
                             header, false, recognised);
    return status;
}

/* Whether from @offset on, to the end, there is nothing but zeros. */
static enum bitcask_status look_for_zeros(struct bitcask_scan *scan, uint64_t offset,
                                          bool *zeros)
{
    struct bitcask_walk *walk = &scan->walk;
    enum bitcask_status status = BITCASK_OK;

    *zeros = true;
    while (offset < walk->end && *zeros) {
        size_t piece = walk->window_capacity;
        const uint8_t *bytes = NULL;

        if (piece > walk->end - offset)
            piece = (size_t)(walk->end - offset);
        status = bitcask_walk_look(walk, offset, piece, &bytes);
        if (status != BITCASK_OK)
            return status;
        *zeros = bitcask_zeros_count(bytes, piece) == piece;
        offset += piece;
    }
    return BITCASK_OK;
}

/* From here to the next record there is nothing that can be recognised. */
static enum bitcask_status take_damage(struct bitcask_scan *scan,
                                       struct bitcask_scan_item *item)
{
    struct bitcask_walk *walk = &scan->walk;
    uint64_t begin = walk->offset;
    bool zeros = false;
    struct bitcask_record ignored;
    enum bitcask_status status;

    walk->offset++;
    status = resync(scan, &ignored);
    if (status == BITCASK_NOT_FOUND && scan->batch_offset == 0)
        status = look_for_zeros(scan, begin, &zeros);
    if (status != BITCASK_OK && status != BITCASK_NOT_FOUND) {
        walk->offset = begin;
        return status;
    }
    memset(item, 0, sizeof *item);
    item->zeros = zeros;
    item->kind = BITCASK_INSPECT_DAMAGE;
    item->offset = begin;
    item->size = walk->offset - begin;
    item->batch_offset = scan->batch_offset;
    item->batch_intact = scan->batch_offset == 0 || scan->batch_intact;
    return BITCASK_OK;
}

/* After a seek: to where a record begins, or to the end. */
static enum bitcask_status search(struct bitcask_scan *scan)
{
    struct bitcask_record ignored;
    enum bitcask_status status;

    if (scan->walk.offset >= scan->walk.end)
        return BITCASK_OK;
    status = resync(scan, &ignored);
    if (status == BITCASK_OK || status == BITCASK_NOT_FOUND)
        scan->searching = false;
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

static enum bitcask_status next(struct bitcask_scan *scan, struct bitcask_scan_item *item)
{
    struct bitcask_walk *walk = &scan->walk;
    struct bitcask_record header;
    uint64_t end, size;
    bool intact;
    bool found = false;
    enum bitcask_status status;

    if (scan->searching) {
        status = search(scan);
        if (status != BITCASK_OK)
            return status;
    }
    if (scan->batch_offset != 0 && walk->offset >= scan->batch_end)
        scan->batch_offset = 0;
    if (walk->offset >= walk->end)
        return BITCASK_NOT_FOUND;

    end = end_of(scan);
    status = look_for_record(scan, walk->offset, end, &header, &found);
    intact = found;
    if (status == BITCASK_OK && !found) { /* whole but for a value that is cut off? */
        walk->headers_only = true;
        status = look_for_record(scan, walk->offset, end, &header, &found);
        walk->headers_only = false;
        intact = found;
    }
    if (status == BITCASK_OK && !found)
        status = recognise(scan, &header, &found);
    if (status != BITCASK_OK)
        return status;
    if (!found)
        return take_damage(scan, item);
    size = bitcask_record_size(&header);
    if (size > end - walk->offset)
        size = end - walk->offset;
    status = describe(scan, &header, size, intact, item);
    if (status == BITCASK_OK)
        step_behind(scan, item);
    return status;
}

enum bitcask_status bitcask_scan_next(struct bitcask_scan *scan,
                                      struct bitcask_scan_item *item)
{
    struct bitcask_walk *walk = &scan->walk;
    enum bitcask_status status = next(scan, item);

    if (status == BITCASK_IO) { /* its words are those of the read */
        scan->batch_offset = 0;
        scan->searching = true;
        walk->offset = (walk->offset / PAGE_SIZE + 1) * PAGE_SIZE;
        if (walk->offset > walk->end)
            walk->offset = walk->end;
    }
    return status;
}
