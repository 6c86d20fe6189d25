/* SPDX-License-Identifier: MIT */
#include "arguments.h"

#include "number.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define GENERAL_OPTIONS                                                            \
    (TOOL_OPTION_DIR | TOOL_OPTION_ENV_FILE | TOOL_OPTION_LOG | TOOL_OPTION_HELP | \
     TOOL_OPTION_VERSION)

static const struct known_option {
    const char *name;
    int argument; /* as <getopt.h> has it */
    tool_options option;
} known_options[] = {
    { "dir", required_argument, TOOL_OPTION_DIR },
    { "env-file", required_argument, TOOL_OPTION_ENV_FILE },
    { "log", required_argument, TOOL_OPTION_LOG },
    { "help", no_argument, TOOL_OPTION_HELP },
    { "version", no_argument, TOOL_OPTION_VERSION },
    { "json", no_argument, TOOL_OPTION_JSON },
    { "salvage", no_argument, TOOL_OPTION_SALVAGE },
    { "sync", required_argument, TOOL_OPTION_SYNC },
    { "if-absent", no_argument, TOOL_OPTION_IF_ABSENT },
    { "print", no_argument, TOOL_OPTION_PRINT },
    { "prefix", required_argument, TOOL_OPTION_PREFIX },
    { "from", required_argument, TOOL_OPTION_FROM },
    { "to", required_argument, TOOL_OPTION_TO },
    { "limit", required_argument, TOOL_OPTION_LIMIT },
    { "keys-only", no_argument, TOOL_OPTION_KEYS_ONLY },
    { "null", no_argument, TOOL_OPTION_ZEROS },
    { "progress", no_argument, TOOL_OPTION_PROGRESS },
    { "no-merge", no_argument, TOOL_OPTION_NO_MERGE },
    { "dry-run", no_argument, TOOL_OPTION_DRY_RUN },
    { "explain", no_argument, TOOL_OPTION_EXPLAIN },
    { "all", no_argument, TOOL_OPTION_ALL },
    { "file", required_argument, TOOL_OPTION_FILE },
    { "rate", required_argument, TOOL_OPTION_RATE },
    { "dead-percent", required_argument, TOOL_OPTION_DEAD_PERCENT },
    { "header", no_argument, TOOL_OPTION_HEADER },
    { "stats", no_argument, TOOL_OPTION_STATS },
    { "raw", no_argument, TOOL_OPTION_RAW },
    { "hex", no_argument, TOOL_OPTION_HEX },
    { "live", no_argument, TOOL_OPTION_LIVE },
    { "key", required_argument, TOOL_OPTION_KEY },
    { "follow", no_argument, TOOL_OPTION_FOLLOW },
    { "at", required_argument, TOOL_OPTION_AT },
    { "threads", required_argument, TOOL_OPTION_THREADS },
    { "quiet", no_argument, TOOL_OPTION_QUIET },
};

enum {
    KNOWN_COUNT = sizeof known_options / sizeof *known_options,
    CODE_MIN = 256 /* what getopt calls the first of them, out of the way of letters */
};

/* One parse: the words as getopt wants them, and what came of them. */
struct parse {
    const struct tool *tool;
    const struct bitcask_slice *words;
    size_t count;
    char **argv; /* a program's name, the words, NULL */
    struct tool_request *request;
    size_t found; /* words that are no options */
};

static const char *help_hint(const struct tool *tool)
{
    if (tool->single)
        return "--help";
    return tool->in_shell ? "help" : "bitcask --help";
}

/*
 * The bytes of the word that getopt took last, from @text in it on. In the shell a word
 * may hold zero bytes, which getopt does not see.
 */
static struct bitcask_slice taken(const struct parse *parse, const char *text)
{
    struct bitcask_slice word = parse->words[optind - 2]; /* argv begins with a name */

    word.size -= (size_t)(text - (const char *)word.data);
    word.data = text;
    return word;
}

static int refuse_value(const struct parse *parse, const char *option, const char *wanted)
{
    tool_say(parse->tool, TOOL_LOG_ERROR, "--%s wants %s, not %s", option, wanted,
             tool_name_of(bitcask_text(optarg)).text);
    return TOOL_USAGE;
}

static int take_limit(struct parse *parse)
{
    if (!tool_number_parse(optarg, &parse->request->limit))
        return refuse_value(parse, "limit", "a number");
    return TOOL_DONE;
}

static int take_key(struct parse *parse)
{
    parse->request->key = taken(parse, optarg);
    if (parse->request->key.size == 0)
        return refuse_value(parse, "key", "a key, which has at least one byte");
    return TOOL_DONE;
}

static int take_at(struct parse *parse)
{
    if (!tool_number_parse(optarg, &parse->request->at))
        return refuse_value(parse, "at", "the sequence of a record");
    return TOOL_DONE;
}

static int take_file(struct parse *parse)
{
    struct tool_request *request = parse->request;

    /* There are not more files than words. */
    if (request->file_ids == NULL)
        request->file_ids = malloc(parse->count * sizeof *request->file_ids);
    if (request->file_ids == NULL) {
        tool_say(parse->tool, TOOL_LOG_ERROR, "there is no memory for --file");
        return TOOL_ERROR;
    }
    if (!tool_number_parse(optarg, &request->file_ids[request->file_count]))
        return refuse_value(parse, "file", "the number of a data file");
    request->file_count++;
    return TOOL_DONE;
}

static int take_rate(struct parse *parse)
{
    uint64_t rate;

    if (!tool_size_parse(optarg, &rate) || rate == 0)
        return refuse_value(parse, "rate", "bytes a second, such as 500k, 32M or 1G");
    parse->request->rate = rate;
    return TOOL_DONE;
}

static int take_dead_percent(struct parse *parse)
{
    uint64_t percent;

    if (!tool_number_parse(optarg, &percent) || percent < 1 || percent > 100)
        return refuse_value(parse, "dead-percent", "a number from 1 to 100");
    parse->request->dead_percent = (uint32_t)percent;
    return TOOL_DONE;
}

static int take_threads(struct parse *parse)
{
    uint64_t threads;

    if (!tool_number_parse(optarg, &threads) || threads < 1 || threads > 64)
        return refuse_value(parse, "threads", "a number from 1 to 64");
    parse->request->threads = (uint32_t)threads;
    return TOOL_DONE;
}

static int take_sync(struct parse *parse)
{
    static const struct {
        const char *name;
        enum bitcask_sync_mode mode;
    } modes[] = {
        { "none", BITCASK_SYNC_NONE },
        { "interval", BITCASK_SYNC_INTERVAL },
        { "always", BITCASK_SYNC_ALWAYS },
    };

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(optarg, modes[i].name) == 0) {
            parse->request->sync = modes[i].mode;
            return TOOL_DONE;
        }
    }
    return refuse_value(parse, "sync", "none, interval or always");
}

/* Take option @option, whose value, if it has one, is in optarg. */
static int take_option(struct parse *parse, tool_options option)
{
    struct tool_request *request = parse->request;

    request->given |= option;
    switch (option) {
    case TOOL_OPTION_DIR:
        request->directory = optarg;
        return *optarg != 0 ? TOOL_DONE : refuse_value(parse, "dir", "a directory");
    case TOOL_OPTION_ENV_FILE:
        request->env_file = optarg;
        return *optarg != 0 ? TOOL_DONE : refuse_value(parse, "env-file", "a file");
    case TOOL_OPTION_LOG:
        request->log = optarg;
        if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
            return refuse_value(parse, "log", "json or text");
        break;
    case TOOL_OPTION_PREFIX:
        request->prefix = taken(parse, optarg);
        break;
    case TOOL_OPTION_FROM:
        request->from = taken(parse, optarg);
        break;
    case TOOL_OPTION_TO:
        request->to = taken(parse, optarg);
        break;
    case TOOL_OPTION_LIMIT:
        return take_limit(parse);
    case TOOL_OPTION_SYNC:
        return take_sync(parse);
    case TOOL_OPTION_KEY:
        return take_key(parse);
    case TOOL_OPTION_AT:
        return take_at(parse);
    case TOOL_OPTION_FILE:
        return take_file(parse);
    case TOOL_OPTION_RATE:
        return take_rate(parse);
    case TOOL_OPTION_DEAD_PERCENT:
        return take_dead_percent(parse);
    case TOOL_OPTION_THREADS:
        return take_threads(parse);
    default:
        break;
    }
    return TOOL_DONE;
}

/* Say what is wrong with the word that getopt stopped at. */
static int refuse_option(const struct parse *parse, int code)
{
    const char *word = parse->argv[optind - 1];

    if (code == ':') {
        tool_say(parse->tool, TOOL_LOG_ERROR, "%s wants a value behind it (see %s)", word,
                 help_hint(parse->tool));
    } else if (optopt >= CODE_MIN) {
        tool_say(parse->tool, TOOL_LOG_ERROR, "%s takes no value (see %s)",
                 tool_name_of(bitcask_text(word)).text, help_hint(parse->tool));
    } else if (optopt != 0) {
        tool_say(parse->tool, TOOL_LOG_ERROR,
                 "there is no option -%c (see %s); put -- before a key or value that "
                 "begins with -",
                 optopt, help_hint(parse->tool));
    } else {
        tool_say(parse->tool, TOOL_LOG_ERROR,
                 "there is no option %s (see %s); put -- before a key or value that "
                 "begins with -",
                 tool_name_of(bitcask_text(word)).text, help_hint(parse->tool));
    }
    return TOOL_USAGE;
}

/* The option that getopt calls @code. */
static tool_options option_of(int code)
{
    switch (code) {
    case '0':
        return TOOL_OPTION_ZEROS;
    case 'h':
        return TOOL_OPTION_HELP;
    case 'V':
        return TOOL_OPTION_VERSION;
    default:
        return known_options[code - CODE_MIN].option;
    }
}

/* Part the words into options and others. */
static int scan(struct parse *parse)
{
    struct option long_options[KNOWN_COUNT + 1] = { 0 };
    int argc = (int)(parse->count + 1);
    struct bitcask_slice *others = parse->request->words;
    int code;

    for (int i = 0; i < KNOWN_COUNT; i++) {
        long_options[i].name = known_options[i].name;
        long_options[i].has_arg = known_options[i].argument;
        long_options[i].val = CODE_MIN + i;
    }
    optind = 0; /* begin anew: the shell parses many lines */
    opterr = 0;
    /* With "-" at first nothing is moved and the environment changes nothing. */
    while ((code = getopt_long(argc, parse->argv, "-:0hV", long_options, NULL)) != -1) {
        int bad;

        if (code == 1) {
            others[parse->found++] = taken(parse, optarg);
            continue;
        }
        if (code == '?' || code == ':')
            return refuse_option(parse, code);
        bad = take_option(parse, option_of(code));
        if (bad)
            return bad;
    }
    for (int i = optind; i < argc; i++)
        others[parse->found++] = parse->words[i - 1];
    return TOOL_DONE;
}

/* The name of the first of the options in @set. */
static const char *option_name(tool_options set)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (set & known_options[i].option)
            return known_options[i].name;
    return "";
}

static int find_command(struct parse *parse)
{
    const struct tool *tool = parse->tool;
    struct tool_request *request = parse->request;
    enum tool_place place = tool->in_shell ? TOOL_PLACE_SHELL : TOOL_PLACE_LINE;
    const struct tool_command *command;
    char names[256];

    tool_command_names(place, names, sizeof names);
    if (parse->found == 0) {
        tool_say(tool, TOOL_LOG_ERROR,
                 "no command is given\n"
                 "usage: bitcask [OPTION]... COMMAND [OPERAND]...\n"
                 "COMMAND is one of %s; `bitcask --help` explains them",
                 names);
        return TOOL_USAGE;
    }
    command = tool_command_find(request->words[0]);
    if (command == NULL) {
        tool_say(tool, TOOL_LOG_ERROR, "there is no command %s, only %s (see %s)",
                 tool_name_of(request->words[0]).text, names, help_hint(tool));
        return TOOL_USAGE;
    }
    if (!(command->place & place)) {
        tool_say(tool, TOOL_LOG_ERROR, "%s is %s", command->name,
                 tool->in_shell ? "not for the shell, but for the command line"
                                : "for the shell only (see bitcask shell --help)");
        return TOOL_USAGE;
    }
    request->command = command;
    request->operands = request->words + 1;
    request->operand_count = parse->found - 1;
    return TOOL_DONE;
}

int tool_check_directory(const struct tool *tool, struct tool_request *request)
{
    const char *directory = request->operand_count > 0 ? request->operands[0].data : NULL;
    const char *problem = NULL;

    if (directory == NULL)
        return TOOL_DONE;
    if (request->directory != NULL)
        problem = "the store is named twice, by DIR and by --dir";
    else if (*directory == 0)
        problem = "DIR is a directory, and this is empty";
    if (problem != NULL) {
        tool_say(tool, TOOL_LOG_ERROR, "%s", problem);
        return TOOL_USAGE;
    }
    request->directory = directory;
    return TOOL_DONE;
}

/* Whether the options and operands suit the command. */
static int check(const struct parse *parse)
{
    const struct tool *tool = parse->tool;
    struct tool_request *request = parse->request;
    const struct tool_command *command = request->command;
    tool_options general = tool->in_shell ? TOOL_OPTION_HELP : GENERAL_OPTIONS;
    tool_options strange = request->given & ~(command->options | general);

    if (strange != 0) {
        tool_say(tool, TOOL_LOG_ERROR, "--%s does not go with %s%s (see %s%s%s)",
                 option_name(strange), tool->single ? tool->program : command->name,
                 tool->in_shell ? " in the shell" : "", help_hint(tool),
                 tool->single ? "" : " ", tool->single ? "" : command->name);
        return TOOL_USAGE;
    }
    if (request->operand_count < command->operands_min ||
        request->operand_count > command->operands_max) {
        tool_say(tool, TOOL_LOG_ERROR, "too %s words: it is `%s%s%s%s`",
                 request->operand_count < command->operands_min ? "few" : "many",
                 tool->in_shell || tool->single ? "" : "bitcask ",
                 tool->single ? tool->program : command->name,
                 *command->usage != 0 ? " " : "", command->usage);
        return TOOL_USAGE;
    }
    for (size_t i = 0; i < request->operand_count && i < command->key_count; i++) {
        if (request->operands[i].size == 0) {
            tool_say(tool, TOOL_LOG_ERROR, "a key has at least one byte, this is empty");
            return TOOL_USAGE;
        }
    }
    return command->check != NULL ? command->check(tool, request) : TOOL_DONE;
}

int tool_arguments_parse(const struct tool *tool, const struct bitcask_slice *words,
                         size_t count, struct tool_request *request)
{
    static char program[] = "bitcask";
    struct parse parse = {
        .tool = tool, .words = words, .count = count, .request = request
    };
    int code = TOOL_ERROR;

    *request = (struct tool_request){ .limit = UINT64_MAX };
    parse.argv = malloc((count + 2) * sizeof *parse.argv);
    request->words = malloc((count + 1) * sizeof *request->words);
    if (parse.argv == NULL || request->words == NULL) {
        tool_say(tool, TOOL_LOG_ERROR, "there is no memory for %zu words", count);
        goto out;
    }
    parse.argv[0] = program;
    for (size_t i = 0; i < count; i++)
        parse.argv[i + 1] = (char *)words[i].data;
    parse.argv[count + 1] = NULL;

    code = scan(&parse);
    if (code != TOOL_DONE)
        goto out;
    if (request->given & TOOL_OPTION_VERSION && !tool->in_shell)
        goto out;
    if (request->given & TOOL_OPTION_HELP && parse.found == 0)
        goto out;
    code = find_command(&parse);
    if (code == TOOL_DONE && !(request->given & TOOL_OPTION_HELP))
        code = check(&parse);
out:
    free(parse.argv);
    return code;
}

void tool_request_release(struct tool_request *request)
{
    free(request->words);
    free(request->file_ids);
    free(request->path);
    *request = (struct tool_request){ 0 };
}
