/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "json_out.h"

#include <unistd.h>

int tool_value_print(struct tool *tool, const struct tool_request *request,
                     struct bitcask_slice key, const struct bitcask_slice *value,
                     size_t *count)
{
    bool end_each = tool->in_shell || isatty(tool->output.descriptor);

    if (request->given & TOOL_OPTION_JSON) {
        json_t *object = tool_json_pair(key, value);

        if (value == NULL)
            object = tool_json_with(object, "value", json_null());
        return tool_print_json(tool, key, object);
    }
    if (value == NULL)
        return TOOL_DONE;
    if (*count > 0 && !end_each)
        tool_output_text(&tool->output, "\n");
    tool_output_write(&tool->output, value->data, value->size);
    if (end_each)
        tool_output_text(&tool->output, "\n");
    (*count)++;
    return TOOL_DONE;
}

static int get_one(struct tool *tool, const struct tool_request *request,
                   struct bitcask_slice key, size_t *count)
{
    struct bitcask_view view;
    enum bitcask_status status = bitcask_view(tool->cask, key, &view);

    if (status == BITCASK_OK) { /* it may have a GiB: no copy of that */
        int code = tool_value_print(tool, request, key, &view.value, count);

        bitcask_view_release(&view);
        return code;
    }
    if (status != BITCASK_NOT_FOUND) {
        tool_say(tool, TOOL_LOG_ERROR, "%s could not be read: %s", tool_name_of(key).text,
                 tool_detail(status));
        return tool_exit_of(status);
    }
    tool_say(tool, TOOL_LOG_ERROR, "%s is not there", tool_name_of(key).text);
    return tool_exit_worse(TOOL_NOT_FOUND,
                           tool_value_print(tool, request, key, NULL, count));
}

int tool_command_get(struct tool *tool, const struct tool_request *request)
{
    size_t count = 0;
    int code;

    if (request->given & TOOL_OPTION_AT)
        return tool_get_at(tool, request);
    code = tool_open_to_read(tool, request);
    if (code != TOOL_DONE)
        return code;
    for (size_t i = 0; i < request->operand_count && tool->output.error == 0; i++) {
        int one = get_one(tool, request, request->operands[i], &count);

        code = tool_exit_worse(code, one);
    }
    return code;
}

static int print_existence(struct tool *tool, const struct tool_request *request,
                           struct bitcask_slice key, bool found)
{
    if (request->given & TOOL_OPTION_JSON) {
        json_t *object = tool_json_pair(key, NULL);

        return tool_print_json(tool, key,
                               tool_json_with(object, "exists", json_boolean(found)));
    }
    if (tool->in_shell) /* where nobody sees an exit status */
        tool_output_text(&tool->output, found ? "yes\n" : "no\n");
    return TOOL_DONE;
}

int tool_command_exists(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_slice key = request->operands[0];
    int code = tool_open_to_read(tool, request);
    enum bitcask_status status;

    if (code != TOOL_DONE)
        return code;
    status = bitcask_exists(tool->cask, key);
    if (status != BITCASK_OK && status != BITCASK_NOT_FOUND) {
        tool_say(tool, TOOL_LOG_ERROR, "%s could not be looked for: %s",
                 tool_name_of(key).text, tool_detail(status));
        return tool_exit_of(status);
    }
    code = print_existence(tool, request, key, status == BITCASK_OK);
    return tool_exit_worse(code, tool_exit_of(status));
}
