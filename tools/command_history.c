/* SPDX-License-Identifier: MIT */
/*
 * What a key was, as long as its old records are on disk: `log`, `get --at`, `undelete`.
 */
#include <bitcask/inspect.h>

#include "command.h"
#include "dump.h"
#include "json_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    ATTEMPTS_MAX = 10 /* beside a merge, which moves records */
};

/* What went wrong with a history. */
static int say_status(const struct tool *tool, struct bitcask_slice key,
                      enum bitcask_status status)
{
    struct bitcask_slice directory = bitcask_text(tool->directory);
    const char *detail = tool_detail(status);

    /* The detail begins with the directory, as it was given: say it once, escaped. */
    if (strncmp(detail, tool->directory, directory.size) == 0 &&
        strncmp(detail + directory.size, ": ", 2) == 0)
        detail += directory.size + 2;
    if (status == BITCASK_CORRUPT)
        tool_say(tool, TOOL_LOG_WARN,
                 "warning: versions of %s may be missing, for %s is damaged: %s",
                 tool_name_of(key).text, tool_name_of(directory).text, detail);
    else
        tool_say(tool, TOOL_LOG_ERROR, "the history of %s in %s could not be read: %s",
                 tool_name_of(key).text, tool_name_of(directory).text, detail);
    return status == BITCASK_NOT_FOUND ? TOOL_ERROR : tool_exit_of(status);
}

/* Whether there is a cask, so that BITCASK_NOT_FOUND was about the key. */
static bool is_cask(const struct tool *tool)
{
    struct bitcask_inspect_cask cask;
    bool found = bitcask_inspect_directory(tool->directory, &cask) == BITCASK_OK &&
                 cask.manifest_exists;

    bitcask_inspect_cask_release(&cask);
    return found;
}

static bool has_expired(const struct bitcask_version *version)
{
    struct timespec now;

    if (version->expiry_ms == 0)
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    return version->expiry_ms <=
           (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* LOG. */

struct log {
    struct tool *tool;
    const struct tool_request *request;
    size_t count;
    int code;
};

static void print_row(struct tool_output *output, const struct bitcask_version *version,
                      bool current)
{
    char time[TOOL_TIME_SIZE] = "-";
    char file[32];
    const char *note = "";

    snprintf(file, sizeof file, "%010" PRIu64 ".data", version->segment_id);
    if (version->expiry_ms != 0)
        tool_time_print(version->expiry_ms, time);
    if (!version->readable)
        note = "damaged";
    else if (current)
        note = "current";
    else if (!version->deletes && has_expired(version))
        note = "expired";
    tool_output_print(output, "%12" PRIu64 "  %-9s", version->sequence,
                      version->deletes ? "tombstone" : "put");
    if (version->deletes)
        tool_output_print(output, "%12s", "-");
    else
        tool_output_print(output, "%12" PRIu64, version->value_size);
    tool_output_print(output, "  %-24s  %-15s%13" PRIu64 "%s%s\n", time, file,
                      version->offset, *note != 0 ? "  " : "", note);
}

static json_t *version_json(struct bitcask_slice key,
                            const struct bitcask_version *version, bool current)
{
    json_t *object = tool_json_pair(key, NULL);

    object = tool_json_with(object, "sequence", tool_json_number(version->sequence));
    object = tool_json_with(object, "kind",
                            json_string(version->deletes ? "tombstone" : "put"));
    object = tool_json_with(object, "value_size", tool_json_number(version->value_size));
    if (version->expiry_ms != 0)
        object =
            tool_json_with(object, "expiry_ms", tool_json_number(version->expiry_ms));
    object = tool_json_with(object, "segment_id", tool_json_number(version->segment_id));
    object = tool_json_with(object, "offset", tool_json_number(version->offset));
    object = tool_json_with(object, "readable", json_boolean(version->readable));
    object = tool_json_with(object, "current", json_boolean(current));
    return tool_json_with(object, "gap", json_boolean(version->gap));
}

static enum bitcask_status log_version(const struct bitcask_version *version,
                                       void *context)
{
    struct log *log = context;
    struct tool_output *output = &log->tool->output;
    struct bitcask_slice key = log->request->operands[0];
    bool current = log->count == 0 && !version->deletes && !has_expired(version);

    if (!version->readable)
        log->code = TOOL_DAMAGED;
    if (log->request->given & TOOL_OPTION_JSON) {
        log->count++;
        return tool_json_print(output, version_json(key, version, current))
                   ? BITCASK_OK
                   : BITCASK_NO_MEMORY;
    }
    if (log->count++ == 0)
        tool_output_print(output, "%12s  %-9s%12s  %-24s  %-15s%13s\n", "sequence",
                          "kind", "size", "expires", "file", "offset");
    if (version->gap)
        tool_output_print(output, "%12s  records in between are gone\n", "...");
    print_row(output, version, current);
    return BITCASK_OK;
}

int tool_command_log(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_slice key = request->operands[0];
    struct log log = { .tool = tool, .request = request };
    enum bitcask_status status = bitcask_history(tool->directory, key, log_version, &log);

    if (status == BITCASK_NOT_FOUND && is_cask(tool)) {
        tool_say(tool, TOOL_LOG_ERROR, "no record of %s is left", tool_name_of(key).text);
        return TOOL_NOT_FOUND;
    }
    if (status != BITCASK_OK)
        return tool_exit_worse(log.code, say_status(tool, key, status));
    return log.code;
}

/* GET --AT. */

struct choice {
    uint64_t at;       /* no newer one */
    bool readable_put; /* nothing else will do */
    bool found;
    bool skipped; /* a newer put was damaged */
    struct bitcask_version version;
};

static enum bitcask_status choose(const struct bitcask_version *version, void *context)
{
    struct choice *choice = context;

    if (choice->found || version->sequence > choice->at)
        return BITCASK_OK;
    if (choice->readable_put && (version->deletes || !version->readable)) {
        choice->skipped = choice->skipped || !version->deletes;
        return BITCASK_OK;
    }
    choice->found = true;
    choice->version = *version;
    return BITCASK_OK;
}

/* Find the version that @choice asks for, and its value in tool->value. */
static enum bitcask_status find(struct tool *tool, struct bitcask_slice key,
                                struct choice *choice, enum bitcask_status *history)
{
    struct choice wanted = *choice;
    enum bitcask_status status = BITCASK_NOT_FOUND;

    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        *choice = wanted;
        *history = bitcask_history(tool->directory, key, choose, choice);
        if (!choice->found || choice->version.deletes)
            return BITCASK_NOT_FOUND;
        status =
            bitcask_version_read(tool->directory, key, &choice->version, &tool->value);
        if (status != BITCASK_NOT_FOUND)
            break;
    }
    return status;
}

static void say_absent(const struct tool *tool, struct bitcask_slice key,
                       const struct choice *choice)
{
    if (!choice->found)
        tool_say(tool, TOOL_LOG_ERROR,
                 "no record of %s up to sequence %" PRIu64
                 " is left; older ones may have been merged away",
                 tool_name_of(key).text, choice->at);
    else if (choice->version.gap && choice->version.sequence != choice->at)
        tool_say(tool, TOOL_LOG_ERROR,
                 "%s was deleted at sequence %" PRIu64 "; records behind it were merged "
                 "away, and there may have been a value up to %" PRIu64,
                 tool_name_of(key).text, choice->version.sequence, choice->at);
    else
        tool_say(tool, TOOL_LOG_ERROR, "%s was deleted at sequence %" PRIu64,
                 tool_name_of(key).text, choice->version.sequence);
}

static int get_at(struct tool *tool, const struct tool_request *request,
                  struct bitcask_slice key, size_t *count)
{
    struct choice choice = { .at = request->at };
    struct bitcask_slice value;
    enum bitcask_status history;
    enum bitcask_status status = find(tool, key, &choice, &history);
    int code = TOOL_DONE;

    if (history != BITCASK_OK && (history != BITCASK_NOT_FOUND || !is_cask(tool)))
        code = say_status(tool, key, history);
    if (history != BITCASK_OK && history != BITCASK_CORRUPT &&
        history != BITCASK_NOT_FOUND)
        return code;
    if (code == TOOL_ERROR)
        return code;
    if (status == BITCASK_NOT_FOUND) {
        say_absent(tool, key, &choice);
        code = tool_exit_worse(code, TOOL_NOT_FOUND);
        return tool_exit_worse(code, tool_value_print(tool, request, key, NULL, count));
    }
    if (status != BITCASK_OK) {
        tool_say(tool, TOOL_LOG_ERROR, "%s as of sequence %" PRIu64 " is damaged: %s",
                 tool_name_of(key).text, choice.version.sequence, tool_detail(status));
        return tool_exit_worse(code, tool_exit_of(status));
    }
    if (choice.version.gap && choice.version.sequence != request->at)
        tool_say(tool, TOOL_LOG_WARN,
                 "warning: this is %s as of sequence %" PRIu64 "; records behind it are "
                 "gone, and there may have been a newer value up to %" PRIu64,
                 tool_name_of(key).text, choice.version.sequence, request->at);
    value = (struct bitcask_slice){ tool->value.data, tool->value.size };
    return tool_exit_worse(code, tool_value_print(tool, request, key, &value, count));
}

int tool_check_get(const struct tool *tool, struct tool_request *request)
{
    if (!(request->given & TOOL_OPTION_AT) || !(request->given & TOOL_OPTION_SALVAGE))
        return TOOL_DONE;
    tool_say(tool, TOOL_LOG_ERROR, "--at reads past damage by itself, without --salvage");
    return TOOL_USAGE;
}

int tool_get_at(struct tool *tool, const struct tool_request *request)
{
    size_t count = 0;
    int code = TOOL_DONE;

    for (size_t i = 0; i < request->operand_count && tool->output.error == 0; i++)
        code = tool_exit_worse(code, get_at(tool, request, request->operands[i], &count));
    return code;
}

/* UNDELETE. */

static int print_undeleted(struct tool *tool, const struct tool_request *request,
                           struct bitcask_slice key, const struct choice *choice)
{
    struct tool_output *output = &tool->output;

    if (request->given & TOOL_OPTION_JSON) {
        json_t *object = tool_json_pair(key, NULL);
        json_t *sequence =
            choice != NULL ? tool_json_number(choice->version.sequence) : json_null();

        return tool_print_json(tool, key,
                               tool_json_with(object, "restored_sequence", sequence));
    }
    tool_output_escape(output, key);
    if (choice != NULL)
        tool_output_print(output, " is back, as of sequence %" PRIu64 " (%zu bytes)\n",
                          choice->version.sequence, tool->value.size);
    else
        tool_output_text(output, " is there, and stays as it is\n");
    return TOOL_DONE;
}

/* Put @key back, which is not there. */
static int bring_back(struct tool *tool, const struct tool_request *request,
                      struct bitcask_slice key)
{
    struct choice choice = { .at = UINT64_MAX, .readable_put = true };
    struct bitcask_slice value;
    enum bitcask_status history;
    enum bitcask_status status = find(tool, key, &choice, &history);

    if (history != BITCASK_OK && history != BITCASK_NOT_FOUND)
        return say_status(tool, key, history);
    if (status == BITCASK_NOT_FOUND) {
        tool_say(tool, TOOL_LOG_ERROR, "%s%s of %s is left to bring back",
                 choice.skipped ? "only a damaged value" : "no value", "",
                 tool_name_of(key).text);
        return choice.skipped ? TOOL_DAMAGED : TOOL_NOT_FOUND;
    }
    value = (struct bitcask_slice){ tool->value.data, tool->value.size };
    if (status == BITCASK_OK)
        status = bitcask_put(tool->cask, key, value);
    if (status != BITCASK_OK) {
        tool_say(tool, TOOL_LOG_ERROR, "%s could not be brought back: %s",
                 tool_name_of(key).text, tool_detail(status));
        return tool_exit_of(status);
    }
    if (choice.version.gap || choice.skipped)
        tool_say(
            tool, TOOL_LOG_WARN, "warning: it may not be the last value that %s had: %s",
            tool_name_of(key).text,
            choice.skipped ? "a newer one is damaged" : "records behind it are gone");
    return print_undeleted(tool, request, key, &choice);
}

int tool_command_undelete(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_slice key = request->operands[0];
    struct bitcask_options options = { 0 };
    enum bitcask_status status;
    int code;

    options.must_exist = true;
    options.no_background = true;  /* closing syncs */
    options.merge_auto_off = true; /* which could take what is to come back */
    options.sync = request->sync;
    code = tool_open(tool, &options);
    if (code != TOOL_DONE)
        return code;
    status = bitcask_exists(tool->cask, key);
    if (status == BITCASK_OK)
        return print_undeleted(tool, request, key, NULL);
    if (status == BITCASK_NOT_FOUND)
        return bring_back(tool, request, key);
    tool_say(tool, TOOL_LOG_ERROR, "%s could not be looked for: %s",
             tool_name_of(key).text, tool_detail(status));
    return tool_exit_of(status);
}
