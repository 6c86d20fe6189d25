/* SPDX-License-Identifier: MIT */
#include "test/campaign/fault_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void give_up(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

void files_remove(const char *directory)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;

    if (stream == NULL)
        return;
    while ((entry = readdir(stream)) != NULL) {
        char name[1024];

        (void)snprintf(name, sizeof name, "%s/%s", directory, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlink(name) != 0)
            files_remove(name); /* a directory, in which there are only files */
    }
    (void)closedir(stream);
    if (rmdir(directory) != 0)
        give_up(directory);
}

static void write_file(const char *name, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(name, "wb");

    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        give_up(name);
}

void files_restore(const struct sim_disk *disk, const char *path, const char *directory)
{
    const char *name;

    files_remove(directory);
    for (size_t i = 0; (name = sim_disk_name(disk, path, i)) != NULL; i++) {
        char full_name[1024];
        size_t size = 0;
        const uint8_t *bytes = sim_disk_file(disk, path, name, &size);

        if (i == 0 && mkdir(directory, 0777) != 0)
            give_up(directory);
        (void)snprintf(full_name, sizeof full_name, "%s/%s", directory, name);
        write_file(full_name, bytes, size);
    }
}

unsigned files_open_count(const char *directory)
{
    DIR *stream = opendir("/proc/self/fd");
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned count = 0;
    char line[1024];

    if (stream == NULL || maps == NULL)
        give_up("/proc/self");
    while (readdir(stream) != NULL)
        count++;
    while (fgets(line, sizeof line, maps) != NULL)
        count += strstr(line, directory) != NULL;
    (void)closedir(stream);
    (void)fclose(maps);
    return count;
}
