/* SPDX-License-Identifier: MIT */
/*
 * fuzz_replay PATH...: run the target that it is linked to on files, and on all files of
 * directories, each as a whole and cut off at some places: without libFuzzer, as a test.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "test/fuzz/fuzz.h"

enum {
    SIZE_MAX_OF_FILE = 1 << 20,
    CUT_COUNT = 16,
    USAGE = 64
};

static unsigned long input_count;
static unsigned long file_count;

static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = fuzz_copy(bytes, size);

    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    input_count++;
}

static int replay_file(const char *path)
{
    FILE *stream = fopen(path, "rb");
    uint8_t *bytes;
    size_t size;

    if (stream == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    bytes = fuzz_allocate(SIZE_MAX_OF_FILE);
    size = fread(bytes, 1, SIZE_MAX_OF_FILE, stream);
    (void)fclose(stream);
    printf("%s\n", path); /* before it, so that a failure has its name */
    (void)fflush(stdout);
    run(bytes, size);
    for (size_t i = 1; i < CUT_COUNT; i++)
        run(bytes, size * i / CUT_COUNT);
    free(bytes);
    file_count++;
    return 0;
}

static int replay(const char *path)
{
    struct stat about;
    struct dirent **names = NULL;
    int count;
    int code = 0;

    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode))
        return replay_file(path);
    count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char inner[4096];

        (void)snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && code == 0)
            code = replay_file(inner);
        free(names[i]);
    }
    free(names);
    return code;
}

int main(int argc, char **argv)
{
    int code = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: fuzz_replay PATH...\n");
        return USAGE;
    }
    run((const uint8_t *)"", 0);
    for (int i = 1; i < argc && code == 0; i++)
        code = replay(argv[i]);
    printf("%lu files, %lu inputs\n", file_count, input_count);
    if (file_count == 0) {
        fprintf(stderr, "there was no file\n");
        code = 1;
    }
    return code;
}
