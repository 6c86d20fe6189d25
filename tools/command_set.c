/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A value that grows as it is read. */
struct input {
    char *data;
    size_t size;
    size_t capacity;
};

static bool make_room(struct input *input)
{
    size_t capacity = input->capacity == 0 ? 64 * 1024 : 2 * input->capacity;
    char *data;

    if (input->size < input->capacity)
        return true;
    /* One byte more than a value may have, to see that there is one. */
    if (capacity > (size_t)BITCASK_VALUE_SIZE_MAX + 1)
        capacity = (size_t)BITCASK_VALUE_SIZE_MAX + 1;
    data = realloc(input->data, capacity);
    if (data == NULL)
        return false;
    input->data = data;
    input->capacity = capacity;
    return true;
}

/* Read standard input to its end into *input. An exit status, said. */
static int read_value(const struct tool *tool, struct input *input)
{
    for (;;) {
        ssize_t got;

        if (input->size > BITCASK_VALUE_SIZE_MAX) {
            tool_say(tool, TOOL_LOG_ERROR,
                     "standard input is larger than a value can be, which is 1 GiB");
            return TOOL_ERROR;
        }
        if (!make_room(input)) {
            tool_say(tool, TOOL_LOG_ERROR, "there is no memory for a value of %zu bytes",
                     input->size);
            return TOOL_ERROR;
        }
        got =
            read(STDIN_FILENO, input->data + input->size, input->capacity - input->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            tool_say(tool, TOOL_LOG_ERROR, "standard input could not be read: %s",
                     strerror(errno));
            return TOOL_ERROR;
        }
        if (got == 0)
            return TOOL_DONE;
        input->size += (size_t)got;
    }
}

static int put(struct tool *tool, const struct tool_request *request,
               struct bitcask_slice value)
{
    struct bitcask_slice key = request->operands[0];
    enum bitcask_status status;

    if (request->given & TOOL_OPTION_IF_ABSENT) {
        status = bitcask_exists(tool->cask, key);
        if (status == BITCASK_OK) {
            tool_say(tool, TOOL_LOG_ERROR,
                     "%s is there already, and stays as it is; without --if-absent it "
                     "is replaced",
                     tool_name_of(key).text);
            return TOOL_ERROR;
        }
        if (status != BITCASK_NOT_FOUND) {
            tool_say(tool, TOOL_LOG_ERROR, "%s", tool_detail(status));
            return tool_exit_of(status);
        }
    }
    status = bitcask_put(tool->cask, key, value);
    if (status != BITCASK_OK)
        tool_say(tool, TOOL_LOG_ERROR, "%s was not set: %s", tool_name_of(key).text,
                 tool_detail(status));
    return tool_exit_of(status);
}

int tool_command_set(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_options options = { 0 };
    struct bitcask_slice value = request->operands[1];
    struct input input = { 0 };
    int code = TOOL_DONE;

    /* Read before the store is opened: others are not to wait for our input. */
    if (!tool->in_shell && value.size == 1 && *(const char *)value.data == '-') {
        code = read_value(tool, &input);
        value = (struct bitcask_slice){ input.data, input.size };
    }
    options.no_background = true; /* closing syncs */
    options.merge_auto_off = true;
    options.sync = request->sync;
    if (code == TOOL_DONE)
        code = tool_open(tool, &options);
    if (code == TOOL_DONE)
        code = put(tool, request, value);
    free(input.data);
    return code;
}
