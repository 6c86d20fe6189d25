/* SPDX-License-Identifier: MIT */
#include "help.h"

const char tool_help_usage[] = "usage: bitcask [OPTION]... COMMAND [OPERAND]...\n"
                               "\n"
                               "A key-value store in a directory, the cask.\n"
                               "\n"
                               "Commands (`bitcask COMMAND --help` says more):\n";

const char tool_help_general[] =
    "\n"
    "Options, before or behind the command, up to a -- (put one before a key or a\n"
    "value that begins with -):\n"
    "  --dir DIR        the store\n"
    "  --env-file FILE  read this instead of .env; it must be there\n"
    "  --json           answer in JSON, one object a line\n"
    "  --salvage        with get, list, exists, stat: step over damage\n"
    "  --sync MODE      with set, delete, load, shell: what is safe from power failure,\n"
    "                   and when; none: at the end; interval: within a second (the\n"
    "                   default); always: at once. Every command syncs when it ends.\n"
    "  --log FORMAT     write a log to standard error, as json or text\n"
    "  -h, --help       print this, or what there is to say about a command\n"
    "  -V, --version    print the version\n"
    "\n"
    "The store is the first of these that is set and not empty:\n"
    "  1. --dir DIR\n"
    "  2. BITCASK_DIR in the environment, then in .env\n"
    "  3. FILEPATH in the environment, then in .env\n"
    "  4. `cask` in the working directory\n"
    "set, load and shell create it (not its parents); the others want it there. get,\n"
    "list, exists and stat only read, also while another process writes.\n"
    "\n"
    ".env is read from the working directory if it is there. It has lines NAME=VALUE,\n"
    "of which BITCASK_DIR, FILEPATH and LOG_LEVEL count; the environment wins. Quotes\n"
    "(with \\n \\t \\\\ \\\" \\$ in double ones), `export`, and remarks from # on are\n"
    "understood; $ is not expanded.\n"
    "\n"
    "LOG_LEVEL, from the environment or .env, is debug, info, warn, error or silent.\n"
    "Nothing is logged without it, unless --log is given, which then means info. A log\n"
    "line has the time, a level, a message, its fields and its duration; while the log\n"
    "is on, errors are lines of it.\n";

const char tool_help_status[] =
    "\n"
    "Exit status:\n"
    "   0  done\n"
    "   1  an error: said on standard error, as everything that is no data\n"
    "   2  a key is not there\n"
    "  64  wrong usage, also a bad line in .env\n"
    "  65  the data is damaged\n"
    "  75  another process is writing the store: try again later\n";

const char tool_help_words[] =
    "\n"
    "Blanks part words. '...' is taken as it stands. Elsewhere, in \"...\" too, a\n"
    "backslash goes before one of \\ \" ' n t r, xHH (any byte) or a space. A line that\n"
    "begins with # is a remark. `help COMMAND` explains one.\n";

const char tool_help_set[] =
    "An old value is replaced. KEY has 1 to 65535 bytes, VALUE 0 to 1 GiB.\n"
    "\n"
    "  --if-absent   only if KEY is not there; if it is, nothing is changed and the\n"
    "                exit status is 1\n"
    "  --sync MODE   see bitcask --help\n"
    "\n"
    "If VALUE is -, it is read from standard input to its end, bytes of any kind. To\n"
    "store the one byte -, write `printf - | bitcask set KEY -`. In the shell, whose\n"
    "standard input is its lines, - is that byte.\n";

const char tool_help_get[] =
    "One value is printed as it is, with a newline behind it only on a terminal.\n"
    "Several are parted by newlines. A key that is not there is told on standard error,\n"
    "the others are printed, and the exit status is 2; 65 if one is damaged.\n"
    "\n"
    "  --json     one object a line: {\"key\":\"...\",\"value\":\"...\"}; what is not "
    "UTF-8\n"
    "             is \"key_base64\" or \"value_base64\" instead; a key that is not "
    "there\n"
    "             has \"value\":null\n"
    "  --salvage  read also a store whose damage get refuses\n"
    "\n"
    "In the shell every value has a newline behind it.\n";

const char tool_help_list[] =
    "A line is the key, a tab and the value. \\\\ \\t \\n \\r stand for backslash, tab,\n"
    "newline and carriage return, \\xHH for other control bytes and for what is not\n"
    "UTF-8. So `bitcask list | bitcask --dir COPY load` copies any store.\n"
    "\n"
    "  --prefix P    only keys that begin with P\n"
    "  --from K      only keys not below K, in the order of bytes\n"
    "  --to K        only keys below K\n"
    "  --limit N     at most N of them\n"
    "  --keys-only   no values, no tabs\n"
    "  --json        one object a line: {\"key\":\"...\",\"value\":\"...\"}; what is "
    "not\n"
    "                UTF-8 is \"key_base64\" or \"value_base64\" instead\n"
    "  -0, --null    the bytes as they are: key, zero byte, value, zero byte (with\n"
    "                --keys-only: key, zero byte), for `load -0` and `xargs -0`. A pair\n"
    "                with a zero byte in it is left out and told, with exit status 1.\n"
    "  --salvage     step over damage\n"
    "\n"
    "P and K are bytes as they are, not escaped. A value that cannot be read is told on\n"
    "standard error, the rest is printed, and the exit status is 65.\n";

const char tool_help_delete[] =
    "A key that is not there is told on standard error, the others are removed, and the\n"
    "exit status is 2. The store is never created.\n"
    "\n"
    "  --print      print the old values, as get does\n"
    "  --json       one object a line: {\"key\":\"...\",\"deleted\":true}, with --print "
    "the\n"
    "               \"value\" too; see bitcask get --help for what is not UTF-8\n"
    "  --sync MODE  see bitcask --help\n"
    "\n"
    "With --print a key whose value is damaged is kept, with exit status 65; without,\n"
    "it is removed like any other.\n";

const char tool_help_exists[] =
    "Nothing is printed; the exit status is 0 if KEY is there and 2 if not.\n"
    "\n"
    "  --json     print {\"key\":\"...\",\"exists\":true} or false as well\n"
    "  --salvage  look also into a store whose damage exists refuses\n"
    "\n"
    "In the shell it prints yes or no.\n";

const char tool_help_stat[] =
    "Sizes are in bytes. `live` is what can be read, `dead` is what was overwritten or\n"
    "deleted.\n"
    "\n"
    "  --json     all of it as one object, with an array \"segments\"\n"
    "  --salvage  step over damage, and count it\n";

const char tool_help_load[] =
    "A line is the key, a tab and the value, escaped as `bitcask list --help` says; the\n"
    "first tab parts them. Old values are replaced.\n"
    "\n"
    "  -0, --null    read key, zero byte, value, zero byte, as `list -0` prints it\n"
    "  --progress    tell how far it is and how much it was, on standard error; by\n"
    "                itself it does so only on a terminal\n"
    "  --sync MODE   see bitcask --help\n"
    "\n"
    "It stops at a line that is no pair, says which, and ends with status 1; what came\n"
    "before that line stays. SIGINT, SIGTERM and SIGHUP end it behind a line, with the\n"
    "store closed.\n";

const char tool_help_shell[] =
    "Lines are as `bitcask`'s own words, without it: set, get, list, delete, exists and\n"
    "stat with their options, and sync, help, quit, exit. The end of input ends it. The\n"
    "store is opened once, for writing, so only one shell at a time can use it, while\n"
    "others still read. A prompt is given only on a terminal. The answer to a line is\n"
    "written out before the next line is read.\n"
    "\n"
    "Blanks part words. '...' is taken as it stands. Elsewhere, in \"...\" too, a\n"
    "backslash goes before one of \\ \" ' n t r, xHH (any byte) or a space. A line that\n"
    "begins with # is a remark. A line has at most 64 MiB; `load` takes longer ones.\n"
    "\n"
    "  --json       answer every line in JSON\n"
    "  --sync MODE  see bitcask --help\n"
    "\n"
    "A line that fails is told on standard error and the next is read. The exit status\n"
    "is 0 if none failed, else the gravest: 65, then 1, then 64, then 2.\n";
