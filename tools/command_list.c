/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "json_out.h"

#include <string.h>

/* How one pair is printed. Gives an exit status; what went wrong was said. */
static int print_text(struct tool *tool, struct bitcask_slice key,
                      const struct bitcask_slice *value)
{
    tool_output_escape(&tool->output, key);
    if (value != NULL) {
        tool_output_text(&tool->output, "\t");
        tool_output_escape(&tool->output, *value);
    }
    tool_output_text(&tool->output, "\n");
    return TOOL_DONE;
}

static bool has_zero(struct bitcask_slice bytes)
{
    return bytes.size > 0 && memchr(bytes.data, 0, bytes.size) != NULL;
}

static int print_zeros(struct tool *tool, struct bitcask_slice key,
                       const struct bitcask_slice *value)
{
    if (has_zero(key) || (value != NULL && has_zero(*value))) {
        tool_say(tool, TOOL_LOG_ERROR,
                 "%s is left out: there is a zero byte in it, which -0 cannot show; "
                 "list without -0 can",
                 tool_name_of(key).text);
        return TOOL_ERROR;
    }
    tool_output_write(&tool->output, key.data, key.size);
    tool_output_write(&tool->output, "", 1);
    if (value != NULL) {
        tool_output_write(&tool->output, value->data, value->size);
        tool_output_write(&tool->output, "", 1);
    }
    return TOOL_DONE;
}

static int print_pair(struct tool *tool, const struct tool_request *request,
                      struct bitcask_slice key, struct bitcask_slice value)
{
    const struct bitcask_slice *shown =
        request->given & TOOL_OPTION_KEYS_ONLY ? NULL : &value;

    if (request->given & TOOL_OPTION_JSON)
        return tool_print_json(tool, key, tool_json_pair(key, shown));
    if (request->given & TOOL_OPTION_ZEROS)
        return print_zeros(tool, key, shown);
    return print_text(tool, key, shown);
}

/* Print what @iterator gives, as far as --limit and standard output go. */
static int print_all(struct tool *tool, const struct tool_request *request,
                     struct bitcask_iterator *iterator)
{
    int code = TOOL_DONE;

    for (uint64_t left = request->limit; left > 0 && tool->output.error == 0; left--) {
        struct bitcask_slice key, value;
        enum bitcask_status status = bitcask_iterator_next(iterator, &key, &value);

        if (status == BITCASK_NOT_FOUND)
            break;
        if (status == BITCASK_OK) {
            code = tool_exit_worse(code, print_pair(tool, request, key, value));
            continue;
        }
        code = tool_exit_worse(code, tool_exit_of(status));
        if (status == BITCASK_CORRUPT || status == BITCASK_IO) {
            tool_say(tool, TOOL_LOG_ERROR, "the value of %s could not be read: %s",
                     tool_name_of(key).text, tool_detail(status));
            continue;
        }
        tool_say(tool, TOOL_LOG_ERROR, "the list ends early: %s", tool_detail(status));
        break;
    }
    return code;
}

int tool_command_list(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_iterator_options options = { 0 };
    struct bitcask_iterator *iterator = NULL;
    enum bitcask_status status;
    int code;

    if (request->given & TOOL_OPTION_JSON && request->given & TOOL_OPTION_ZEROS) {
        tool_say(tool, TOOL_LOG_ERROR, "--json and -0 are two forms, choose one");
        return TOOL_USAGE;
    }
    code = tool_open_to_read(tool, request);
    if (code != TOOL_DONE)
        return code;
    options.sorted = true;
    options.keys_only = (request->given & TOOL_OPTION_KEYS_ONLY) != 0;
    options.prefix = request->prefix;
    options.from = request->from;
    options.to = request->to;
    status = bitcask_iterator_open(tool->cask, &options, &iterator);
    if (status != BITCASK_OK) {
        tool_say(tool, TOOL_LOG_ERROR, "the list could not be begun: %s",
                 tool_detail(status));
        return tool_exit_of(status);
    }
    code = print_all(tool, request, iterator);
    bitcask_iterator_close(iterator);
    return code;
}
