/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "json_out.h"

static int refuse(const struct tool *tool, struct bitcask_slice key,
                  enum bitcask_status status)
{
    if (status == BITCASK_NOT_FOUND)
        tool_say(tool, TOOL_LOG_ERROR, "%s is not there", tool_name_of(key).text);
    else
        tool_say(tool, TOOL_LOG_ERROR, "%s was not deleted: %s", tool_name_of(key).text,
                 tool_detail(status));
    return tool_exit_of(status);
}

static int say_no_memory(const struct tool *tool, struct bitcask_slice key)
{
    tool_say(tool, TOOL_LOG_ERROR, "there is no memory to print %s as JSON",
             tool_name_of(key).text);
    return TOOL_ERROR;
}

/* {"key":KEY,"value":VALUE, of a line that tells at its end whether KEY was deleted. */
static int begin_line(struct tool *tool, struct bitcask_slice key,
                      const struct bitcask_slice *value)
{
    json_t *object = tool_json_pair(key, value);

    if (value == NULL)
        object = tool_json_with(object, "value", json_null());
    return tool_json_begin(&tool->output, object) ? TOOL_DONE : say_no_memory(tool, key);
}

static int end_line(struct tool *tool, struct bitcask_slice key, bool deleted)
{
    json_t *object = tool_json_with(json_object(), "deleted", json_boolean(deleted));

    return tool_json_end(&tool->output, object) ? TOOL_DONE : say_no_memory(tool, key);
}

/* {"key":KEY,"deleted":DELETED}, for --json without --print. */
static int print_deletion(struct tool *tool, struct bitcask_slice key, bool deleted)
{
    json_t *object = tool_json_pair(key, NULL);

    return tool_print_json(tool, key,
                           tool_json_with(object, "deleted", json_boolean(deleted)));
}

/*
 * Print the value of @key, and see it written before the only copy goes. With --json the
 * line is left without its end if it comes to deleting @key, which is if this is 0.
 */
static int print_old(struct tool *tool, const struct tool_request *request,
                     struct bitcask_slice key, size_t *count)
{
    bool json = (request->given & TOOL_OPTION_JSON) != 0;
    enum bitcask_status status = bitcask_get(tool->cask, key, &tool->value);
    struct bitcask_slice value = { tool->value.data, tool->value.size };
    int code = TOOL_DONE;

    if (status == BITCASK_NOT_FOUND && json) {
        code = begin_line(tool, key, NULL);
        code = tool_exit_worse(code, end_line(tool, key, false));
    }
    if (status != BITCASK_OK)
        return tool_exit_worse(code, refuse(tool, key, status));
    code = json ? begin_line(tool, key, &value)
                : tool_value_print(tool, request, key, &value, count);
    if (!tool_output_flush(&tool->output))
        code =
            TOOL_ERROR; /* said when the tool ends; a closed pipe is no reader either */
    return code;
}

/* Remove @key. @count counts the values printed. */
static int delete_one(struct tool *tool, const struct tool_request *request,
                      struct bitcask_slice key, size_t *count)
{
    bool json = (request->given & TOOL_OPTION_JSON) != 0;
    bool print = (request->given & TOOL_OPTION_PRINT) != 0;
    enum bitcask_status status;
    int code = TOOL_DONE;

    if (print)
        code = print_old(tool, request, key, count);
    if (code != TOOL_DONE)
        return code;
    status = bitcask_delete(tool->cask, key);
    if (json && print)
        code = end_line(tool, key, status == BITCASK_OK);
    else if (json && (status == BITCASK_OK || status == BITCASK_NOT_FOUND))
        code = print_deletion(tool, key, status == BITCASK_OK);
    if (status != BITCASK_OK)
        code = tool_exit_worse(code, refuse(tool, key, status));
    return code;
}

int tool_command_delete(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_options options = { 0 };
    size_t count = 0;
    int code;

    options.must_exist = true;    /* no store is made only to say that a key is missing */
    options.no_background = true; /* closing syncs */
    options.merge_auto_off = true;
    options.sync = request->sync;
    code = tool_open(tool, &options);
    if (code != TOOL_DONE)
        return code;
    for (size_t i = 0; i < request->operand_count; i++) {
        int one = delete_one(tool, request, request->operands[i], &count);

        code = tool_exit_worse(code, one);
    }
    return code;
}
