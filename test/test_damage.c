/* SPDX-License-Identifier: MIT */
/*
 * Promise 7: damage is never silent. Every bit of a small cask is flipped in turn,
 * files are cut, extended, removed, swapped, replaced by older ones and by those of
 * another cask; then every key is asked for. An answer may be an error, but never a
 * value that was not put, and a key may be missing only where a torn tail says so.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <bitcask/bitcask.h>

enum {
    KEY_COUNT = 60,
    FILES_MAX = 64,
};

/* A directory in memory. */
struct image {
    struct {
        char name[64];
        uint8_t *bytes;
        size_t size;
    } files[FILES_MAX];
    size_t count;
};

static char directory[128];

static struct bitcask_slice text_key(int number)
{
    static char text[32];

    (void)snprintf(text, sizeof text, "key-%03d", number);
    return bitcask_text(text);
}

/* Every value that a key ever had begins with the key. */
static struct bitcask_slice text_value(int number, int version)
{
    static char text[512];
    int length = snprintf(text, sizeof text, "key-%03d version %d ", number, version);

    memset(text + length, 'a' + number % 26, 150);
    text[length + number % 150] = '\0';
    return bitcask_text(text);
}

static void path_of(char path[400], const char *name)
{
    (void)snprintf(path, 400, "%s/%s", directory, name);
}

static void take_image(struct image *image)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;

    memset(image, 0, sizeof *image);
    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        char path[400];
        struct stat about;
        FILE *file;
        size_t i = image->count;

        if (entry->d_name[0] == '.')
            continue;
        assert_true(i < FILES_MAX && strlen(entry->d_name) < sizeof image->files[i].name);
        path_of(path, entry->d_name);
        assert_int_equal(stat(path, &about), 0);
        strcpy(image->files[i].name, entry->d_name);
        image->files[i].size = (size_t)about.st_size;
        image->files[i].bytes = malloc(image->files[i].size + 1);
        assert_non_null(image->files[i].bytes);
        file = fopen(path, "rb");
        assert_non_null(file);
        assert_int_equal(fread(image->files[i].bytes, 1, image->files[i].size, file),
                         image->files[i].size);
        (void)fclose(file);
        image->count++;
    }
    (void)closedir(stream);
}

static void release_image(struct image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->files[i].bytes);
    image->count = 0;
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[400];
    FILE *file;

    path_of(path, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void clear_directory(void)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        char path[400];

        if (entry->d_name[0] == '.')
            continue;
        path_of(path, entry->d_name);
        assert_int_equal(unlink(path), 0);
    }
    (void)closedir(stream);
}

static void restore_image(const struct image *image)
{
    clear_directory();
    for (size_t i = 0; i < image->count; i++)
        write_file(image->files[i].name, image->files[i].bytes, image->files[i].size);
}

static size_t index_of(const struct image *image, const char *name)
{
    for (size_t i = 0; i < image->count; i++) {
        if (strcmp(image->files[i].name, name) == 0)
            return i;
    }
    fail_msg("there is no %s", name);
    return 0;
}

static const struct bitcask_options small_files = {
    .file_size_max = 4096,
    .no_background = true,
};

static struct bitcask *open_cask(const struct bitcask_options *options)
{
    struct bitcask *cask = NULL;

    assert_int_equal(bitcask_open(&cask, directory, options), BITCASK_OK);
    return cask;
}

/* A cask of several sealed files and an active one; each key put twice, some deleted. */
static void make_cask(void)
{
    struct bitcask *cask = open_cask(&small_files);

    for (int version = 1; version <= 2; version++) {
        for (int i = 0; i < KEY_COUNT; i++)
            assert_int_equal(bitcask_put(cask, text_key(i), text_value(i, version)),
                             BITCASK_OK);
    }
    for (int i = 0; i < KEY_COUNT; i += 10)
        assert_int_equal(bitcask_delete(cask, text_key(i)), BITCASK_OK);
    assert_int_equal(bitcask_close(cask), BITCASK_OK);
}

struct verdict {
    enum bitcask_status open_status;
    int right;    /* keys that are as they were */
    int corrupt;  /* keys whose get says so */
    int wrong;    /* keys with another answer */
    int invented; /* values that were never put: never */
    uint64_t cut_count;
};

static void judge_key(struct bitcask *cask, int key, struct verdict *verdict)
{
    struct bitcask_buffer value = { 0 };
    enum bitcask_status status = bitcask_get(cask, text_key(key), &value);
    bool deleted = key % 10 == 0;
    struct bitcask_slice newest = text_value(key, 2);

    if (status == BITCASK_CORRUPT) {
        assert_non_null(strstr(bitcask_error_detail(), ".data, offset "));
        verdict->corrupt++;
    } else if (status == BITCASK_NOT_FOUND
                   ? deleted
                   : !deleted && value.size == newest.size &&
                         memcmp(value.data, newest.data, newest.size) == 0) {
        verdict->right++;
    } else {
        verdict->wrong++;
        if (status == BITCASK_OK) {
            struct bitcask_slice older = text_value(key, 1);

            if ((value.size != older.size ||
                 memcmp(value.data, older.data, older.size) != 0) &&
                (value.size != newest.size ||
                 memcmp(value.data, text_value(key, 2).data, value.size) != 0))
                verdict->invented++;
        }
    }
    bitcask_buffer_release(&value);
}

/* Open whatever is there, read-only so that the next look sees the same, and ask. */
static struct verdict judge(bool read_only)
{
    struct bitcask_options options = { .read_only = read_only,
                                       .no_background = true,
                                       .file_size_max = 4096 };
    struct verdict verdict = { .open_status = BITCASK_OK };
    struct bitcask *cask = NULL;
    struct bitcask_stat stat;

    verdict.open_status = bitcask_open(&cask, directory, &options);
    if (verdict.open_status != BITCASK_OK) {
        assert_null(cask);
        assert_true(bitcask_error_detail()[0] != '\0');
        return verdict;
    }
    assert_int_equal(bitcask_stat(cask, &stat), BITCASK_OK);
    verdict.cut_count = stat.cut_count;
    for (int i = 0; i < KEY_COUNT; i++)
        judge_key(cask, i, &verdict);
    assert_int_equal(bitcask_close(cask), BITCASK_OK);
    return verdict;
}

/* What the promise asks for, whatever was done to the files. */
static void assert_not_silent(const struct verdict *verdict)
{
    assert_int_equal(verdict->invented, 0);
    if (verdict->open_status == BITCASK_OK) {
        assert_int_equal(verdict->right + verdict->corrupt + verdict->wrong, KEY_COUNT);
        if (verdict->wrong > 0)
            assert_true(verdict->cut_count > 0);
    } else {
        assert_true(verdict->open_status == BITCASK_CORRUPT ||
                    verdict->open_status == BITCASK_UNSUPPORTED);
    }
}

static int set_up(void **state)
{
    static struct image image;

    (void)snprintf(directory, sizeof directory, "%s/bitcask-damage-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(directory) == NULL)
        return -1;
    make_cask();
    take_image(&image);
    *state = &image;
    return 0;
}

static int tear_down(void **state)
{
    release_image(*state);
    clear_directory();
    return rmdir(directory);
}

static void an_undamaged_cask_is_right(void **state)
{
    struct verdict verdict = judge(true);

    (void)state;
    assert_int_equal(verdict.open_status, BITCASK_OK);
    assert_int_equal(verdict.right, KEY_COUNT);
    assert_int_equal(verdict.cut_count, 0);
}

/* Flip bits of the file and ask each time; @step 1 takes every byte. */
static void flip_bytes(const struct image *image, size_t file, size_t step, bool hints)
{
    uint8_t *bytes = image->files[file].bytes;

    for (size_t offset = 0; offset < image->files[file].size; offset += step) {
        uint8_t bit = (uint8_t)(1u << (offset * 7 + offset / 8) % 8);
        struct verdict verdict;

        bytes[offset] ^= bit;
        write_file(image->files[file].name, bytes, image->files[file].size);
        bytes[offset] ^= bit;
        verdict = judge(true);
        assert_not_silent(&verdict);
        assert_int_equal(verdict.wrong, 0); /* all of it was closed: nothing is torn */
        if (hints) {
            assert_int_equal(verdict.open_status, BITCASK_OK);
            assert_int_equal(verdict.right, KEY_COUNT);
        }
    }
    write_file(image->files[file].name, bytes, image->files[file].size);
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t size = strlen(name);

    return size >= strlen(suffix) && strcmp(name + size - strlen(suffix), suffix) == 0;
}

static void no_flipped_bit_of_data_is_silent(void **state)
{
    const struct image *image = *state;

    for (size_t i = 0; i < image->count; i++) {
        if (has_suffix(image->files[i].name, ".data"))
            flip_bytes(image, i, 5, false);
    }
}

/* Without hints, opening reads the data itself and has to say what it finds. */
static void no_flipped_bit_is_silent_without_hints(void **state)
{
    const struct image *image = *state;
    size_t first = index_of(image, "0000000001.data");

    for (size_t i = 0; i < image->count; i++) {
        char path[400];

        path_of(path, image->files[i].name);
        if (has_suffix(image->files[i].name, ".hint"))
            assert_int_equal(unlink(path), 0);
    }
    flip_bytes(image, first, 1, false);
    restore_image(image);
}

static void a_flipped_bit_of_a_hint_costs_nothing_but_time(void **state)
{
    const struct image *image = *state;

    flip_bytes(image, index_of(image, "0000000002.hint"), 1, true);
}

static void no_flipped_bit_of_the_manifest_is_silent(void **state)
{
    const struct image *image = *state;
    size_t file = index_of(image, "MANIFEST");

    for (size_t offset = 0; offset < image->files[file].size; offset++) {
        struct verdict verdict;

        image->files[file].bytes[offset] ^= 1;
        write_file("MANIFEST", image->files[file].bytes, image->files[file].size);
        image->files[file].bytes[offset] ^= 1;
        verdict = judge(true);
        assert_true(verdict.open_status == BITCASK_CORRUPT ||
                    verdict.open_status == BITCASK_UNSUPPORTED);
    }
    restore_image(image);
}

static void no_truncation_is_silent(void **state)
{
    const struct image *image = *state;

    for (size_t i = 0; i < image->count; i++) {
        bool hint = has_suffix(image->files[i].name, ".hint");

        if (strcmp(image->files[i].name, "LOCK") == 0)
            continue;
        for (size_t size = 0; size < image->files[i].size; size += 13) {
            struct verdict verdict;

            write_file(image->files[i].name, image->files[i].bytes, size);
            verdict = judge(true);
            if (hint) {
                assert_int_equal(verdict.open_status, BITCASK_OK);
                assert_int_equal(verdict.right, KEY_COUNT);
            } else {
                assert_int_equal(verdict.open_status, BITCASK_CORRUPT);
            }
        }
        write_file(image->files[i].name, image->files[i].bytes, image->files[i].size);
    }
}

static void no_removed_file_is_silent(void **state)
{
    const struct image *image = *state;

    for (size_t i = 0; i < image->count; i++) {
        bool needed = has_suffix(image->files[i].name, ".data") ||
                      strcmp(image->files[i].name, "MANIFEST") == 0;
        char path[400];
        struct verdict verdict;

        path_of(path, image->files[i].name);
        assert_int_equal(unlink(path), 0);
        verdict = judge(true);
        assert_int_equal(verdict.open_status, needed ? BITCASK_CORRUPT : BITCASK_OK);
        if (!needed)
            assert_int_equal(verdict.right, KEY_COUNT);
        verdict = judge(false);
        assert_int_equal(verdict.open_status, needed ? BITCASK_CORRUPT : BITCASK_OK);
        restore_image(image);
    }
}

static void no_swapped_file_is_silent(void **state)
{
    const struct image *image = *state;
    size_t first = index_of(image, "0000000001.data");
    size_t second = index_of(image, "0000000002.data");
    struct verdict verdict;

    write_file("0000000001.data", image->files[second].bytes, image->files[second].size);
    write_file("0000000002.data", image->files[first].bytes, image->files[first].size);
    verdict = judge(true);
    assert_int_equal(verdict.open_status, BITCASK_CORRUPT);
    assert_non_null(
        strstr(bitcask_error_detail(), "is not the file that MANIFEST lists"));
    restore_image(image);
}

static void swapped_hints_cost_nothing_but_time(void **state)
{
    const struct image *image = *state;
    size_t first = index_of(image, "0000000001.hint");
    size_t second = index_of(image, "0000000002.hint");
    struct verdict verdict;

    write_file("0000000001.hint", image->files[second].bytes, image->files[second].size);
    write_file("0000000002.hint", image->files[first].bytes, image->files[first].size);
    verdict = judge(true);
    assert_int_equal(verdict.open_status, BITCASK_OK);
    assert_int_equal(verdict.right, KEY_COUNT);
    restore_image(image);
}

static void a_foreign_data_file_is_reported(void **state)
{
    const struct image *image = *state;
    size_t first = index_of(image, "0000000001.data");
    struct verdict verdict;

    write_file("0000000999.data", image->files[first].bytes, image->files[first].size);
    verdict = judge(true);
    assert_int_equal(verdict.open_status, BITCASK_CORRUPT);
    assert_non_null(strstr(bitcask_error_detail(), "0000000999.data"));
    restore_image(image);
}

/* The files of a cask before its last session, one at a time, beside those after it. */
static void an_older_copy_of_a_file_is_reported(void **state)
{
    const struct image *before = *state;
    struct image after;
    struct bitcask *cask = open_cask(&small_files);

    for (int i = 0; i < KEY_COUNT; i++) {
        if (i % 10 != 0)
            assert_int_equal(bitcask_put(cask, text_key(i), text_value(i, 2)),
                             BITCASK_OK);
    }
    assert_int_equal(bitcask_close(cask), BITCASK_OK);
    take_image(&after);

    for (size_t i = 0; i < before->count; i++) {
        struct verdict verdict;
        size_t now = index_of(&after, before->files[i].name);

        if (after.files[now].size == before->files[i].size &&
            memcmp(after.files[now].bytes, before->files[i].bytes,
                   before->files[i].size) == 0)
            continue;
        write_file(before->files[i].name, before->files[i].bytes, before->files[i].size);
        verdict = judge(true);
        assert_not_silent(&verdict);
        if (has_suffix(before->files[i].name, ".data"))
            assert_int_equal(verdict.open_status, BITCASK_CORRUPT);
        restore_image(&after);
    }
    release_image(&after);
    restore_image(before);
}

/* Zeros and noise behind the end of any data file were never ours: cut and reported. */
static void bytes_behind_the_end_are_cut_and_reported(void **state)
{
    const struct image *image = *state;

    for (size_t i = 0; i < image->count; i++) {
        for (int fill = 0; fill < 256; fill += 255) {
            size_t size = image->files[i].size + 5000;
            uint8_t *bytes;
            struct verdict verdict;

            if (!has_suffix(image->files[i].name, ".data"))
                continue;
            bytes = malloc(size);
            assert_non_null(bytes);
            memset(bytes, fill, size);
            memcpy(bytes, image->files[i].bytes, image->files[i].size);
            write_file(image->files[i].name, bytes, size);
            free(bytes);

            for (int read_only = 1; read_only >= 0; read_only--) {
                verdict = judge(read_only != 0);
                assert_int_equal(verdict.open_status, BITCASK_OK);
                assert_int_equal(verdict.right, KEY_COUNT);
                assert_int_equal(verdict.cut_count, 1);
            }
            verdict = judge(true); /* it is gone now */
            assert_int_equal(verdict.right, KEY_COUNT);
            assert_int_equal(verdict.cut_count, 0);
            restore_image(image);
        }
    }
}

static void salvage_reads_the_rest_of_a_damaged_cask(void **state)
{
    const struct image *image = *state;
    struct bitcask_options options = { .read_only = true, .salvage = true };
    size_t second = index_of(image, "0000000002.data");
    struct bitcask *cask = NULL;
    struct bitcask_stat stat;
    struct verdict verdict = { .open_status = BITCASK_OK };
    char path[400];

    path_of(path, "0000000002.hint");
    assert_int_equal(unlink(path), 0);
    image->files[second].bytes[64] ^= 0x40; /* the first record's key check */
    write_file("0000000002.data", image->files[second].bytes, image->files[second].size);
    image->files[second].bytes[64] ^= 0x40;

    cask = open_cask(&options);
    assert_int_equal(bitcask_stat(cask, &stat), BITCASK_OK);
    for (int i = 0; i < KEY_COUNT; i++)
        judge_key(cask, i, &verdict);
    assert_int_equal(bitcask_close(cask), BITCASK_OK);
    assert_int_equal(verdict.invented, 0);
    assert_true(verdict.right >= KEY_COUNT - 2);
    assert_true(stat.damage_count + (uint64_t)verdict.corrupt > 0);
    restore_image(image);
}

static void a_newer_format_is_unsupported(void **state)
{
    const struct image *image = *state;
    size_t manifest = index_of(image, "MANIFEST");
    size_t data = index_of(image, "0000000001.data");
    struct verdict verdict;

    image->files[data].bytes[8] = 2;
    write_file("0000000001.data", image->files[data].bytes, image->files[data].size);
    image->files[data].bytes[8] = 1;
    verdict = judge(true);
    assert_int_equal(verdict.open_status, BITCASK_UNSUPPORTED);
    restore_image(image);

    assert_memory_equal(image->files[manifest].bytes, "bitcask manifest 1\n", 19);
    image->files[manifest].bytes[17] = '2';
    write_file("MANIFEST", image->files[manifest].bytes, image->files[manifest].size);
    image->files[manifest].bytes[17] = '1';
    verdict = judge(true);
    assert_int_equal(verdict.open_status, BITCASK_UNSUPPORTED);
    restore_image(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_undamaged_cask_is_right),
        cmocka_unit_test(no_flipped_bit_of_data_is_silent),
        cmocka_unit_test(no_flipped_bit_is_silent_without_hints),
        cmocka_unit_test(a_flipped_bit_of_a_hint_costs_nothing_but_time),
        cmocka_unit_test(no_flipped_bit_of_the_manifest_is_silent),
        cmocka_unit_test(no_truncation_is_silent),
        cmocka_unit_test(no_removed_file_is_silent),
        cmocka_unit_test(no_swapped_file_is_silent),
        cmocka_unit_test(swapped_hints_cost_nothing_but_time),
        cmocka_unit_test(a_foreign_data_file_is_reported),
        cmocka_unit_test(an_older_copy_of_a_file_is_reported),
        cmocka_unit_test(bytes_behind_the_end_are_cut_and_reported),
        cmocka_unit_test(salvage_reads_the_rest_of_a_damaged_cask),
        cmocka_unit_test(a_newer_format_is_unsupported),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
