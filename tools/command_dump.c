/* SPDX-License-Identifier: MIT */
/*
 * `dump`: what may be asked for, and of which files or casks.
 */
#include "dump.h"

#include "interrupt.h"
#include "number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PATH_SIZE = 4096,
    NAME_SIZE = 40,
    FILE_HEADER_SIZE = 64
};

/* Options that choose what is shown of a record, and those that choose records. */
#define SHOWING (TOOL_OPTION_RAW | TOOL_OPTION_HEX | TOOL_OPTION_KEYS_ONLY)
#define CHOOSING (TOOL_OPTION_LIVE | TOOL_OPTION_KEY | TOOL_OPTION_FROM)
#define OVERVIEW (TOOL_OPTION_HEADER | TOOL_OPTION_STATS)

/* The first pair of options of which only one can be had. */
static const char *find_conflict(tool_options given)
{
    static const struct {
        tool_options one, other;
        const char *words;
    } conflicts[] = {
        { TOOL_OPTION_RAW, TOOL_OPTION_JSON, "--raw and --json" },
        { TOOL_OPTION_RAW, TOOL_OPTION_HEX, "--raw and --hex" },
        { TOOL_OPTION_RAW, TOOL_OPTION_KEYS_ONLY, "--raw and --keys-only" },
        { TOOL_OPTION_HEX, TOOL_OPTION_JSON, "--hex and --json" },
        { TOOL_OPTION_HEX, TOOL_OPTION_KEYS_ONLY, "--hex and --keys-only" },
        { TOOL_OPTION_LIVE, TOOL_OPTION_FOLLOW, "--live and --follow" },
        { TOOL_OPTION_HEADER, TOOL_OPTION_STATS, "--header and --stats" },
        { TOOL_OPTION_HEADER, TOOL_OPTION_FOLLOW, "--header and --follow" },
        { TOOL_OPTION_STATS, TOOL_OPTION_FOLLOW, "--stats and --follow" },
        { TOOL_OPTION_HEADER, CHOOSING, "--header, and --live, --key or --from" },
        { TOOL_OPTION_STATS, CHOOSING, "--stats, and --live, --key or --from" },
        { TOOL_OPTION_HEADER, TOOL_OPTION_RAW | TOOL_OPTION_KEYS_ONLY,
          "--header, and --raw or --keys-only" },
        { TOOL_OPTION_STATS, SHOWING, "--stats, and --raw, --hex or --keys-only" },
    };

    for (size_t i = 0; i < sizeof conflicts / sizeof *conflicts; i++)
        if (given & conflicts[i].one && given & conflicts[i].other)
            return conflicts[i].words;
    return NULL;
}

int tool_check_dump(const struct tool *tool, struct tool_request *request)
{
    const char *conflict = find_conflict(request->given);

    if (conflict != NULL) {
        tool_say(tool, TOOL_LOG_ERROR, "%s do not go together", conflict);
        return TOOL_USAGE;
    }
    if (request->given & TOOL_OPTION_FROM &&
        !tool_number_parse(request->from.data, &request->offset)) {
        tool_say(tool, TOOL_LOG_ERROR, "--from wants an offset in bytes, not %s",
                 tool_name_of(request->from).text);
        return TOOL_USAGE;
    }
    if (request->operand_count > 0 && request->directory != NULL) {
        tool_say(tool, TOOL_LOG_ERROR,
                 "what to dump is named twice, by PATH and by --dir");
        return TOOL_USAGE;
    }
    for (size_t i = 0; i < request->operand_count; i++) {
        if (request->operands[i].size == 0) {
            tool_say(tool, TOOL_LOG_ERROR,
                     "PATH is a file or a directory, this is empty");
            return TOOL_USAGE;
        }
    }
    if (request->given & (TOOL_OPTION_FROM | TOOL_OPTION_FOLLOW) &&
        request->operand_count > 1) {
        tool_say(tool, TOOL_LOG_ERROR, "--%s goes with one PATH only",
                 request->given & TOOL_OPTION_FROM ? "from" : "follow");
        return TOOL_USAGE;
    }
    return TOOL_DONE;
}

/* The line of the MANIFEST for the file called @base, if it is the one that it lists. */
static const struct bitcask_inspect_segment *find_segment(const struct tool_dump *dump,
                                                          const char *base)
{
    for (size_t i = 0; i < dump->cask.segment_count; i++) {
        const struct bitcask_inspect_segment *segment = &dump->cask.segments[i];
        char name[NAME_SIZE];

        snprintf(name, sizeof name, "%010" PRIu64 ".data", segment->id);
        if (strcmp(name, base) == 0)
            return dump->cask.manifest_intact ? segment : NULL;
    }
    return NULL;
}

/* Go on with the file as it grows, until a signal comes. */
static int follow_file(struct tool_dump *dump, struct tool_dump_walk *walk)
{
    int code = TOOL_DONE;

    while (!tool_dump_is_over(dump)) {
        tool_output_flush(&dump->tool->output);
        tool_interrupt_wait(TOOL_DUMP_FOLLOW_MS);
        code = tool_exit_worse(code, tool_dump_walk_drain(walk));
    }
    return code;
}

/* Open the file of @walk; one that is followed may have to get its header first. */
static enum bitcask_status open_file(struct tool_dump_walk *walk)
{
    struct tool_dump *dump = walk->dump;
    enum bitcask_status status = tool_dump_walk_open(walk);

    while (status == BITCASK_OK && dump->request->given & TOOL_OPTION_FOLLOW &&
           walk->file.header->file_size < FILE_HEADER_SIZE && !tool_dump_is_over(dump)) {
        tool_interrupt_wait(TOOL_DUMP_FOLLOW_MS);
        tool_dump_walk_release(walk);
        status = tool_dump_walk_open(walk);
    }
    return status;
}

static int dump_path_file(struct tool_dump *dump, const char *path)
{
    struct tool_dump_walk walk = { .dump = dump, .file = { .path = path, .name = path } };
    const char *slash = strrchr(path, '/');
    bool follow = (dump->request->given & TOOL_OPTION_FOLLOW) != 0;
    char directory[PATH_SIZE] = ".";
    enum bitcask_status status;
    int code = TOOL_DONE;

    if (slash != NULL)
        snprintf(directory, sizeof directory, "%.*s",
                 slash == path ? 1 : (int)(slash - path), path);
    dump->directory = directory;
    if (bitcask_inspect_directory(directory, &dump->cask) == BITCASK_OK)
        walk.file.segment = find_segment(dump, slash != NULL ? slash + 1 : path);
    if (dump->request->given & (TOOL_OPTION_LIVE | TOOL_OPTION_STATS))
        code = tool_dump_open_store(dump, (dump->request->given & TOOL_OPTION_LIVE) != 0);
    if (code != TOOL_DONE)
        return code;

    status = open_file(&walk);
    if (status == BITCASK_OK && walk.file.segment != NULL && walk.file.header->intact &&
        walk.file.header->salt != walk.file.segment->salt) {
        /* Of another cask: what this one's MANIFEST says is not about it. */
        tool_dump_walk_release(&walk);
        walk.file.segment = NULL;
        status = tool_dump_walk_open(&walk);
    }
    if (status != BITCASK_OK) {
        tool_say(dump->tool, TOOL_LOG_ERROR, "%s", tool_detail(status));
        code = status == BITCASK_NOT_FOUND ? TOOL_ERROR : tool_exit_of(status);
    } else if (follow && walk.file.header->file != BITCASK_INSPECT_DATA) {
        tool_say(dump->tool, TOOL_LOG_ERROR,
                 "--follow goes with a data file or a cask, %s is neither",
                 tool_name_of(bitcask_text(path)).text);
        code = TOOL_USAGE;
    } else {
        code = tool_dump_file(dump, &walk, follow);
        if (follow)
            code = tool_exit_worse(code, follow_file(dump, &walk));
    }
    tool_dump_walk_release(&walk);
    return code;
}

static int dump_path_cask(struct tool_dump *dump, const char *path)
{
    dump->directory = path;
    return tool_dump_cask(dump);
}

/* Forget what belongs to one path. */
static void end_path(struct tool_dump *dump)
{
    bitcask_inspect_cask_release(&dump->cask);
    bitcask_close(dump->store);
    dump->store = NULL;
    free(dump->done);
    dump->done = NULL;
    dump->done_count = 0;
    dump->vanished = false;
    dump->last_sequence = 0;
}

static bool is_directory(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

/* To open a pipe would be to wait for its writer. */
static bool is_device(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 && !S_ISDIR(found.st_mode) && !S_ISREG(found.st_mode);
}

static int dump_path(struct tool_dump *dump, const char *path)
{
    int code;

    if (is_device(path)) {
        tool_say(dump->tool, TOOL_LOG_ERROR, "%s is no file, and no directory",
                 tool_name_of(bitcask_text(path)).text);
        code = TOOL_ERROR;
    } else if (!is_directory(path)) {
        code = dump_path_file(dump, path);
    } else if (dump->request->given & TOOL_OPTION_FROM) {
        tool_say(dump->tool, TOOL_LOG_ERROR, "--from goes with a file, %s is a directory",
                 tool_name_of(bitcask_text(path)).text);
        code = TOOL_USAGE;
    } else {
        code = dump_path_cask(dump, path);
    }
    end_path(dump);
    return code;
}

static int end(const struct tool_dump *dump)
{
    struct tool_dump_share share = { 0 };

    if (dump->hidden_count > 0) {
        tool_say(dump->tool, TOOL_LOG_WARN,
                 "warning: there is damage at %" PRIu64 " places, and records may be "
                 "missing here because of it; `dump` without a choice shows where",
                 dump->hidden_count);
        return TOOL_DAMAGED;
    }
    if (dump->request->given & TOOL_OPTION_STATS && dump->request->operand_count > 1)
        return tool_dump_print_counts(dump->tool, dump->request, NULL,
                                      dump->file_size_sum, &dump->sum, &share);
    return TOOL_DONE;
}

int tool_command_dump(struct tool *tool, const struct tool_request *request)
{
    struct tool_dump dump = { .tool = tool, .request = request };
    int code = TOOL_DONE;

    dump.selecting = (request->given & (TOOL_OPTION_LIVE | TOOL_OPTION_KEY)) != 0;
    dump.listing = request->given & TOOL_OPTION_JSON ||
                   !(request->given & (TOOL_OPTION_RAW | TOOL_OPTION_KEYS_ONLY));
    if (request->given & TOOL_OPTION_FOLLOW)
        tool_interrupt_install();
    if (request->given & TOOL_OPTION_STATS)
        tool_dump_print_stats_title(&dump);
    if (request->operand_count == 0)
        code = dump_path(&dump, tool->directory);
    for (size_t i = 0; i < request->operand_count && !tool_dump_is_over(&dump); i++)
        code = tool_exit_worse(code, dump_path(&dump, request->operands[i].data));
    return tool_exit_worse(code, end(&dump));
}
