/* SPDX-License-Identifier: MIT */
#include "settings.h"

#include "dotenv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ENV_SIZE_MAX = 1024 * 1024
};

/* The names we look for, each in the environment and in the .env file. */
enum variable {
    BITCASK_DIR,
    FILEPATH,
    LOG_LEVEL,
    BITCASK_MERGE,
    VARIABLE_COUNT
};

static const char *const variable_names[] = {
    [BITCASK_DIR] = "BITCASK_DIR",
    [FILEPATH] = "FILEPATH",
    [LOG_LEVEL] = "LOG_LEVEL",
    [BITCASK_MERGE] = "BITCASK_MERGE",
};

/* Read all of @descriptor into @text of @capacity. Its size, or -1 and errno. */
static ssize_t read_all(int descriptor, char *text, size_t capacity)
{
    size_t size = 0;

    while (size < capacity) {
        ssize_t got = read(descriptor, text + size, capacity - size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            return (ssize_t)size;
        size += (size_t)got;
    }
    errno = EFBIG;
    return -1;
}

/* The text of the file at @path in *text, which the caller frees. Zero, or errno. */
static int read_file(const char *path, char **text, size_t *size)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int error = 0;
    ssize_t got;

    if (descriptor < 0)
        return errno;
    *text = malloc(ENV_SIZE_MAX + 1);
    got = *text == NULL ? -1 : read_all(descriptor, *text, ENV_SIZE_MAX + 1);
    if (got < 0) {
        error = errno;
        free(*text);
        *text = NULL;
    } else {
        *size = (size_t)got;
    }
    close(descriptor);
    return error;
}

/* Set those of @values that the file at @path has something to say about. */
static int parse_file(struct tool_settings *settings, const struct tool *tool,
                      const char *path, size_t size, const char *values[VARIABLE_COUNT])
{
    struct tool_dotenv dotenv = { .text = settings->env_text, .size = size };
    enum tool_dotenv_result result;
    const char *name, *value;

    while ((result = tool_dotenv_next(&dotenv, &name, &value)) == TOOL_DOTENV_PAIR) {
        for (size_t i = 0; i < VARIABLE_COUNT; i++)
            if (strcmp(name, variable_names[i]) == 0)
                values[i] = value;
    }
    if (result == TOOL_DOTENV_END)
        return TOOL_DONE;
    tool_say(tool, TOOL_LOG_ERROR,
             "%s, line %llu: %s; mend it, or use --env-file with another file "
             "(/dev/null for none)",
             path, (unsigned long long)dotenv.line, dotenv.problem);
    return TOOL_USAGE;
}

/*
 * Whether there is a .env to be read. A directory of that name is somebody else's, and
 * where we may not look there is none for us.
 */
static bool is_file(const char *path)
{
    struct stat stat_buffer;

    return stat(path, &stat_buffer) == 0 && !S_ISDIR(stat_buffer.st_mode);
}

static int load_file(struct tool_settings *settings, const struct tool *tool,
                     const char *env_file, const char *values[VARIABLE_COUNT])
{
    const char *path = env_file != NULL ? env_file : ".env";
    size_t size = 0;
    int error = read_file(path, &settings->env_text, &size);

    if (error == 0)
        return parse_file(settings, tool, path, size, values);
    if (env_file == NULL && !is_file(path))
        return TOOL_DONE;
    tool_say(tool, TOOL_LOG_ERROR, "%s could not be read: %s%s", path, strerror(error),
             env_file != NULL ? "" : "; --env-file /dev/null goes without it");
    return TOOL_ERROR;
}

/* Put what the environment says over what the file said; empty counts as not said. */
static void load_environment(const char *values[VARIABLE_COUNT],
                             bool from_environment[VARIABLE_COUNT])
{
    for (size_t i = 0; i < VARIABLE_COUNT; i++) {
        const char *value = getenv(variable_names[i]);

        from_environment[i] = value != NULL && *value != 0;
        if (from_environment[i])
            values[i] = value;
        if (values[i] != NULL && *values[i] == 0)
            values[i] = NULL;
    }
}

static void choose_log(struct tool_settings *settings, const struct tool *tool,
                       const char *level, const char *format)
{
    if (format != NULL)
        settings->log.level = TOOL_LOG_INFO;
    settings->log.json = format != NULL && strcmp(format, "json") == 0;
    /* LOG_LEVEL is a name that others use too, with words of their own: no reason to
     * keep anybody from the data. */
    if (level != NULL && !tool_log_level_parse(level, &settings->log.level))
        tool_say(tool, TOOL_LOG_WARN,
                 "warning: LOG_LEVEL is none of debug, info, warn, error and silent; "
                 "it is ignored");
}

static int choose_merge(struct tool_settings *settings, const struct tool *tool,
                        const char *merge)
{
    settings->merge_off = merge != NULL && strcmp(merge, "off") == 0;
    if (merge == NULL || settings->merge_off || strcmp(merge, "auto") == 0)
        return TOOL_DONE;
    tool_say(tool, TOOL_LOG_ERROR, "BITCASK_MERGE is auto or off, not %s",
             tool_name_of(bitcask_text(merge)).text);
    return TOOL_USAGE;
}

static void choose_directory(struct tool_settings *settings,
                             const char *const values[VARIABLE_COUNT],
                             const bool from_environment[VARIABLE_COUNT])
{
    if (settings->directory != NULL) {
        settings->directory_source = "--dir";
        return;
    }
    settings->directory = TOOL_DIRECTORY_DEFAULT;
    settings->directory_source = "default";
    for (size_t i = 0; i < 2; i++) {
        enum variable variable = i == 0 ? BITCASK_DIR : FILEPATH;

        if (values[variable] != NULL) {
            settings->directory = values[variable];
            settings->directory_source =
                from_environment[variable] ? "environment" : "env_file";
            return;
        }
    }
}

int tool_settings_load(struct tool_settings *settings, const struct tool *tool,
                       const struct tool_settings_given *given)
{
    const char *values[VARIABLE_COUNT] = { NULL };
    bool from_environment[VARIABLE_COUNT] = { false };
    int code = load_file(settings, tool, given->env_file, values);

    if (code != TOOL_DONE)
        return code;
    load_environment(values, from_environment);
    choose_log(settings, tool, values[LOG_LEVEL], given->log);
    settings->directory = given->directory;
    choose_directory(settings, values, from_environment);
    return choose_merge(settings, tool, values[BITCASK_MERGE]);
}

void tool_settings_release(struct tool_settings *settings)
{
    free(settings->env_text);
    *settings = (struct tool_settings){ 0 };
}
