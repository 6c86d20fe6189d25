/* SPDX-License-Identifier: MIT */
#include "test/data_image.h"

#include <string.h>

#include "bitcask/buffer.h"
#include "bitcask/file_name.h"

void data_image_init(struct data_image *image, uint64_t id, uint64_t salt)
{
    struct bitcask_file_header header = { .segment_id = id, .salt = salt };
    uint8_t bytes[BITCASK_FILE_HEADER_SIZE];

    memset(image, 0, sizeof *image);
    image->id = id;
    image->salt = salt;
    image->next_sequence = 1;
    bitcask_file_header_encode(&header, BITCASK_FILE_DATA, bytes);
    data_image_add_bytes(image, bytes, sizeof bytes);
}

void data_image_release(struct data_image *image)
{
    bitcask_buffer_release(&image->bytes);
}

void data_image_add_bytes(struct data_image *image, const void *data, size_t size)
{
    assert_status(bitcask_buffer_append(&image->bytes, data, size), BITCASK_OK);
}

static void describe(const struct image_record *from, struct bitcask_record *record)
{
    memset(record, 0, sizeof *record);
    record->kind = from->deletes ? BITCASK_RECORD_TOMBSTONE : BITCASK_RECORD_PUT;
    record->key_size = (uint16_t)from->key.size;
    record->value_size = (uint32_t)from->value.size;
    record->value_check = bitcask_value_check(from->value.data, from->value.size);
    if (from->expiry_ms != 0) {
        record->flags = BITCASK_RECORD_EXPIRES;
        record->expiry_ms = from->expiry_ms;
    }
}

/* Encode @record, with its own offset, @value left out. */
static void add_head(struct data_image *image, const struct bitcask_record *record,
                     struct bitcask_slice key)
{
    uint8_t prefix[BITCASK_RECORD_PREFIX_MAX];
    uint32_t check = bitcask_record_begin(record, key.data, prefix);

    bitcask_record_finish(prefix, check, image->next_sequence, image->unsynced_count,
                          image->salt, image->bytes.size);
    data_image_add_bytes(image, prefix, bitcask_record_prefix_size(record));
    data_image_add_bytes(image, key.data, key.size);
}

uint64_t data_image_add(struct data_image *image, const struct image_record *from)
{
    uint64_t offset = image->bytes.size;
    struct bitcask_record record;

    describe(from, &record);
    add_head(image, &record, from->key);
    data_image_add_bytes(image, from->value.data, from->value.size);
    image->next_sequence++;
    if (image->counts_unsynced)
        image->unsynced_count++;
    return offset;
}

uint64_t data_image_put(struct data_image *image, const char *key, const char *value)
{
    struct image_record record = {
        .key = bitcask_text(key),
        .value = bitcask_text(value),
    };

    return data_image_add(image, &record);
}

uint64_t data_image_delete(struct data_image *image, const char *key)
{
    struct image_record record = { .key = bitcask_text(key), .deletes = true };

    return data_image_add(image, &record);
}

/* The parts first, where they will lie; then the head in front of them. */
uint64_t data_image_add_batch(struct data_image *image, const struct image_record *parts,
                              size_t count)
{
    static const uint8_t room[BITCASK_RECORD_HEADER_SIZE];
    const struct bitcask_slice no_key = { NULL, 0 };
    uint64_t offset = image->bytes.size;
    uint64_t first_sequence = image->next_sequence;
    uint32_t unsynced_count = image->unsynced_count;
    struct bitcask_record batch = { .kind = BITCASK_RECORD_BATCH };
    uint32_t unsynced_after;
    uint64_t end;
    const uint8_t *payload;

    data_image_add_bytes(image, room, sizeof room);
    for (size_t i = 0; i < count; i++)
        (void)data_image_add(image, &parts[i]);

    payload = (uint8_t *)image->bytes.data + offset + sizeof room;
    batch.value_size = (uint32_t)(image->bytes.size - offset - sizeof room);
    batch.value_check = bitcask_value_check(payload, batch.value_size);

    end = image->bytes.size;
    unsynced_after = image->unsynced_count;
    image->bytes.size = (size_t)offset;
    image->next_sequence = first_sequence;
    image->unsynced_count = unsynced_count;
    add_head(image, &batch, no_key);
    image->bytes.size = (size_t)end;
    image->next_sequence = first_sequence + count;
    image->unsynced_count = unsynced_after;
    return offset;
}

void data_image_write(const struct data_image *image, const struct test_disk *disk)
{
    char name[BITCASK_NAME_SIZE];

    bitcask_data_name(name, image->id);
    test_disk_write(disk, name, image->bytes.data, image->bytes.size);
}
