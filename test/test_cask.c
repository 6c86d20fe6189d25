/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* unshare */
#endif

#include "test/test_cask.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bitcask/buffer.h"

const struct bitcask_options small_files = {
    .file_size_max = 4096,
    .no_background = true,
};

struct bitcask *test_cask_open(struct test_disk *disk,
                               const struct bitcask_options *options)
{
    struct bitcask *cask = NULL;

    if (options == NULL)
        options = &small_files;
    assert_status(bitcask_open_with(disk->io, &cask, disk->path, options), BITCASK_OK);
    assert_non_null(cask);
    return cask;
}

struct bitcask *test_cask_open_read_only(struct test_disk *disk)
{
    const struct bitcask_options options = { .read_only = true };

    return test_cask_open(disk, &options);
}

void test_cask_close(struct bitcask *cask)
{
    assert_status(bitcask_close(cask), BITCASK_OK);
}

void test_cask_put(struct bitcask *cask, const char *key, const char *value)
{
    assert_status(bitcask_put(cask, bitcask_text(key), bitcask_text(value)), BITCASK_OK);
}

void test_cask_delete(struct bitcask *cask, const char *key)
{
    assert_status(bitcask_delete(cask, bitcask_text(key)), BITCASK_OK);
}

void test_cask_expect(struct bitcask *cask, const char *key, const char *value)
{
    enum bitcask_status expected = value != NULL ? BITCASK_OK : BITCASK_NOT_FOUND;
    struct bitcask_buffer got = { 0 };

    assert_status(bitcask_get(cask, bitcask_text(key), &got), expected);
    if (value != NULL)
        assert_string_equal(got.data, value);
    assert_status(bitcask_exists(cask, bitcask_text(key)), expected);
    bitcask_buffer_release(&got);
}

struct bitcask_stat test_cask_stat(struct bitcask *cask)
{
    struct bitcask_stat stat;

    assert_status(bitcask_stat(cask, &stat), BITCASK_OK);
    return stat;
}

enum bitcask_status test_cask_refused(struct test_disk *disk,
                                      const struct bitcask_options *options)
{
    struct bitcask *cask = (struct bitcask *)disk; /* anything but NULL */
    enum bitcask_status status = bitcask_open_with(
        disk->io, &cask, disk->path, options != NULL ? options : &small_files);

    assert_true(status != BITCASK_OK);
    assert_null(cask);
    assert_true(bitcask_error_detail()[0] != '\0');
    return status;
}

static enum bitcask_status sync_nothing(struct bitcask_io *io, bitcask_file file)
{
    (void)io;
    (void)file;
    return BITCASK_OK;
}

void test_disk_skip_syncs(struct test_disk *disk)
{
    disk->io->sync = sync_nothing;
    disk->io->directory_sync = sync_nothing;
    disk->io->directory_sync_parent = sync_nothing;
}

/* What the first writes leave: the number of each key's newest put, or 0. */
struct history_state {
    uint64_t puts[HISTORY_KEY_COUNT];
};

static unsigned history_key(uint64_t number)
{
    return (unsigned)(number * 7 % HISTORY_KEY_COUNT);
}

/* Every fifth write deletes, if there is something. */
static bool history_deletes(const struct history_state *state, uint64_t number)
{
    return number % 5 == 0 && state->puts[history_key(number)] != 0;
}

static void history_advance(struct history_state *state, uint64_t number)
{
    state->puts[history_key(number)] = history_deletes(state, number) ? 0 : number;
}

static struct history_state history_after(uint64_t count)
{
    struct history_state state = { { 0 } };

    for (uint64_t number = 1; number <= count; number++)
        history_advance(&state, number);
    return state;
}

static void history_key_text(char text[32], unsigned key)
{
    (void)snprintf(text, 32, "history-%u", key);
}

static void history_value_text(char text[512], uint64_t number)
{
    int length = snprintf(text, 512, "%" PRIu64 " ", number);
    size_t rest = (size_t)(number * 37 % 300);

    memset(text + length, 'a' + (int)(number % 26), rest);
    text[(size_t)length + rest] = '\0';
}

enum bitcask_status test_history_try(struct bitcask *cask, uint64_t number)
{
    struct history_state state = history_after(number - 1);
    char key[32];
    char value[512];

    history_key_text(key, history_key(number));
    if (history_deletes(&state, number))
        return bitcask_delete(cask, bitcask_text(key));
    history_value_text(value, number);
    return bitcask_put(cask, bitcask_text(key), bitcask_text(value));
}

void test_history_write(struct bitcask *cask, uint64_t from, uint64_t to)
{
    for (uint64_t number = from; number <= to; number++)
        assert_status(test_history_try(cask, number), BITCASK_OK);
}

uint64_t test_history_check(struct bitcask *cask)
{
    struct bitcask_stat stat = test_cask_stat(cask);
    struct history_state state = history_after(stat.last_sequence);
    uint64_t live_count = 0;

    for (unsigned i = 0; i < HISTORY_KEY_COUNT; i++) {
        char key[32];
        char value[512];

        history_key_text(key, i);
        history_value_text(value, state.puts[i]);
        test_cask_expect(cask, key, state.puts[i] != 0 ? value : NULL);
        live_count += state.puts[i] != 0;
    }
    assert_int_equal(stat.key_count, live_count);
    return stat.last_sequence;
}

static void read_file(const char *path, struct test_image_file *file)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &about), 0);
    file->size = (size_t)about.st_size;
    file->modified = about.st_mtim;
    file->bytes = malloc(file->size + 1);
    assert_non_null(file->bytes);
    assert_int_equal(read(fd, file->bytes, file->size), (ssize_t)file->size);
    (void)close(fd);
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(((const struct test_image_file *)left)->name,
                  ((const struct test_image_file *)right)->name);
}

/* Add the files of the directory at @path to @taken, their names behind @prefix. */
static void take_directory(struct test_image *taken, const char *path, const char *prefix)
{
    struct dirent *entry;
    DIR *stream = opendir(path);

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        struct test_image_file *file;
        struct stat about;
        char file_path[512], name[64];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(name, sizeof name, "%s%.40s", prefix, entry->d_name);
        (void)snprintf(file_path, sizeof file_path, "%.250s/%.63s", path, entry->d_name);
        assert_int_equal(stat(file_path, &about), 0);
        if (S_ISDIR(about.st_mode)) {
            assert_true(prefix[0] == '\0' && strlen(name) < 20);
            (void)strcat(name, "/");
            take_directory(taken, file_path, name);
            continue;
        }
        taken->files = realloc(taken->files, (taken->count + 1) * sizeof *taken->files);
        assert_non_null(taken->files);
        file = &taken->files[taken->count++];
        memcpy(file->name, name, sizeof name);
        read_file(file_path, file);
    }
    (void)closedir(stream);
}

void test_image_take(struct test_image *image, const char *path)
{
    struct test_image taken = { NULL, 0 };

    take_directory(&taken, path, "");
    if (taken.count > 0)
        qsort(taken.files, taken.count, sizeof *taken.files, compare_names);
    test_image_release(image);
    *image = taken;
}

void test_image_release(struct test_image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->files[i].bytes);
    free(image->files);
    memset(image, 0, sizeof *image);
}

void test_image_restore(const struct test_image *image, const struct test_disk *disk)
{
    test_disk_clear(disk);
    for (size_t i = 0; i < image->count; i++) {
        const struct test_image_file *file = &image->files[i];
        const char *slash = strchr(file->name, '/');
        char path[512];

        if (slash != NULL) {
            (void)snprintf(path, sizeof path, "%.250s/%.*s", disk->path,
                           (int)(slash - file->name), file->name);
            assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
        }
        test_disk_write(disk, file->name, file->bytes, file->size);
    }
}

void test_image_unchanged(const struct test_image *image, const char *path)
{
    struct test_image now = { NULL, 0 };

    test_image_take(&now, path);
    for (size_t i = 0; i < now.count; i++) {
        if (test_image_find(image, now.files[i].name) == NULL)
            fail_msg("%s is new", now.files[i].name);
    }
    for (size_t i = 0; i < image->count; i++) {
        const struct test_image_file *before = &image->files[i];
        const struct test_image_file *after = test_image_find(&now, before->name);

        if (after == NULL)
            fail_msg("%s is gone", before->name);
        if (after->size != before->size ||
            memcmp(after->bytes, before->bytes, before->size) != 0 ||
            after->modified.tv_sec != before->modified.tv_sec ||
            after->modified.tv_nsec != before->modified.tv_nsec)
            fail_msg("%s was changed", before->name);
    }
    test_image_release(&now);
}

struct test_image_file *test_image_find(const struct test_image *image, const char *name)
{
    for (size_t i = 0; i < image->count; i++) {
        if (strcmp(image->files[i].name, name) == 0)
            return &image->files[i];
    }
    return NULL;
}

static bool ends_in(const char *name, const char *suffix)
{
    size_t size = strlen(name);

    return size >= strlen(suffix) && strcmp(name + size - strlen(suffix), suffix) == 0;
}

struct test_image_file *test_image_newest(const struct test_image *image)
{
    size_t i = image->count;

    while (i > 0 && (!ends_in(image->files[i - 1].name, ".data") ||
                     strchr(image->files[i - 1].name, '/') != NULL))
        i--;
    assert_true(i > 0);
    return &image->files[i - 1];
}

size_t test_image_count(const struct test_image *image, const char *suffix)
{
    size_t count = 0;

    for (size_t i = 0; i < image->count; i++)
        count += ends_in(image->files[i].name, suffix);
    return count;
}

int test_in_child(int (*function)(void *context), void *context)
{
    int child_status = 0;
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(CHILD_SECONDS_MAX); /* one that hangs is a failure, too */
        _exit(function(context));
    }
    while (waitpid(child, &child_status, 0) != child)
        assert_int_equal(errno, EINTR);
    if (WIFEXITED(child_status))
        return WEXITSTATUS(child_status);
    print_error("the child was ended by signal %d\n", WTERMSIG(child_status));
    return -1;
}

void test_child_check(bool condition, const char *words, const char *file, int line)
{
    if (condition)
        return;
    (void)fprintf(stderr, "%s:%d: in the child: not so: %s; last detail: %s\n", file,
                  line, words, bitcask_error_detail());
    (void)fflush(NULL);
    _exit(1);
}

bool test_drop_root(void)
{
    enum {
        NOBODY = 65534
    };

    if (geteuid() != 0)
        return true;
    return setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
           setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        (void)close(fd);
    return done;
}

/* A user namespace in which this user is root: for those who are not already. */
static bool become_root_within(void)
{
    uid_t user = geteuid();
    gid_t group = getegid();
    char users[64], groups[64];

    (void)snprintf(users, sizeof users, "0 %lu 1", (unsigned long)user);
    (void)snprintf(groups, sizeof groups, "0 %lu 1", (unsigned long)group);
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", users) &&
           write_text("/proc/self/gid_map", groups);
}

bool test_mount_tmpfs(const char *path, const char *options)
{
    if (unshare(CLONE_NEWNS) != 0 && !become_root_within()) {
        print_message("SKIPPED in part: no mount namespace: %s\n", strerror(errno));
        return false;
    }
    /* Else the mount would be seen outside. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", path, "tmpfs", 0, options) != 0) {
        print_message("SKIPPED in part: no mount: %s\n", strerror(errno));
        return false;
    }
    return true;
}
