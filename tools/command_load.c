/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "interrupt.h"
#include "pairs.h"
#include "progress.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    PAIRS_PER_STEP = 1024 /* between two looks at the clock */
};

struct load {
    struct tool_pairs pairs;
    struct tool_progress progress;
    uint64_t count; /* pairs set */
    uint64_t size;  /* of their keys and values */
};

/* Say what ended the load early, and what has become of it. */
static void say_end(const struct tool *tool, const struct load *load, const char *what)
{
    tool_say(tool, TOOL_LOG_ERROR,
             "%s %llu: %s; the %llu pairs before it are loaded and stay",
             load->pairs.zeros ? "pair" : "line", (unsigned long long)load->pairs.number,
             what, (unsigned long long)load->count);
}

/* Read once. TOOL_DONE also when a signal came instead. */
static int fill(const struct tool *tool, struct load *load)
{
    char *room;
    size_t size;
    ssize_t got;

    if (!tool_pairs_room(&load->pairs, &room, &size)) {
        say_end(tool, load, "there is no memory for it");
        return TOOL_ERROR;
    }
    got = tool_interrupt_read(STDIN_FILENO, room, size);
    if (got < 0 && errno == EINTR)
        return TOOL_DONE;
    if (got < 0) {
        tool_say(tool, TOOL_LOG_ERROR,
                 "standard input could not be read: %s; %llu pairs are loaded and stay",
                 strerror(errno), (unsigned long long)load->count);
        return TOOL_ERROR;
    }
    tool_pairs_filled(&load->pairs, (size_t)got);
    return TOOL_DONE;
}

static int put(const struct tool *tool, struct load *load, struct bitcask_slice key,
               struct bitcask_slice value)
{
    enum bitcask_status status = bitcask_put(tool->cask, key, value);

    if (status != BITCASK_OK) {
        say_end(tool, load, tool_detail(status));
        return tool_exit_of(status);
    }
    load->count++;
    load->size += key.size + value.size;
    if (load->count % PAIRS_PER_STEP == 0)
        tool_progress_step(&load->progress, load->count, load->size);
    return TOOL_DONE;
}

/* Take pairs until the end, a mistake or a signal. */
static int load_all(const struct tool *tool, struct load *load)
{
    int code = TOOL_DONE;

    while (code == TOOL_DONE && tool_interrupt_signal() == 0) {
        struct bitcask_slice key, value;

        switch (tool_pairs_next(&load->pairs, &key, &value)) {
        case TOOL_PAIRS_PAIR:
            code = put(tool, load, key, value);
            break;
        case TOOL_PAIRS_MORE:
            code = fill(tool, load);
            break;
        case TOOL_PAIRS_END:
            return TOOL_DONE;
        case TOOL_PAIRS_BAD:
            say_end(tool, load, load->pairs.problem);
            return TOOL_ERROR;
        }
    }
    return code;
}

static void log_load(const struct tool *tool, const struct load *load)
{
    if (tool_log_wants(&tool->log, TOOL_LOG_INFO))
        tool_log_write(&tool->log, TOOL_LOG_INFO, "loaded", load->progress.begin_ns,
                       json_pack("{s:I, s:I}", "pair_count", (json_int_t)load->count,
                                 "byte_count", (json_int_t)load->size));
}

int tool_command_load(struct tool *tool, const struct tool_request *request)
{
    struct bitcask_options options = { 0 };
    struct load load = { 0 };
    bool log_json = tool->log.level != TOOL_LOG_SILENT && tool->log.json;
    int code;

    options.sync = request->sync;
    options.merge_auto_off = true; /* until all is loaded */
    code = tool_open(tool, &options);
    if (code != TOOL_DONE)
        return code;
    tool_interrupt_install();
    load.pairs.zeros = (request->given & TOOL_OPTION_ZEROS) != 0;
    tool_progress_begin(&load.progress, (request->given & TOOL_OPTION_PROGRESS) != 0);
    if (log_json)
        load.progress.on = false; /* every line is to be JSON */
    code = load_all(tool, &load);
    tool_progress_end(&load.progress, load.count, load.size);
    log_load(tool, &load);
    if (tool_interrupt_signal() != 0)
        tool_say(tool, TOOL_LOG_WARN,
                 "ended by a signal; the first %llu pairs are loaded and stay",
                 (unsigned long long)load.count);
    tool_pairs_release(&load.pairs);
    return code;
}
