#!/bin/sh
# test_layers.sh SOURCE_ROOT
# The floors of docs/architecture.md and the rules of the house that a program can
# check. The lists come first: a new file is written into them by whoever adds it.
set -eu
source_root=$1
# shellcheck source=checks.sh
. "$source_root/test/checks.sh"
cd "$source_root"

# Bottom floor first. A module is x.c with x.h (or either); it may include its own
# header and those of the lines above its own, never one beside it.
floors='
bitcask/bitcask
bitcask/inspect
bitcask/bytes bitcask/io bitcask/slab bitcask/status
bitcask/buffer bitcask/check bitcask/io_posix bitcask/merge_writer bitcask/sequence_set
bitcask/zeros
bitcask/format bitcask/file_name bitcask/window
bitcask/data_file bitcask/keydir bitcask/manifest bitcask/reserve hint/hint
bitcask/scan bitcask/identity
bitcask/inspector
bitcask/keydir_inside hint/hint_reader hint/hint_writer
bitcask/keydir_find bitcask/keydir_grow bitcask/keydir_load bitcask/keydir_merge
bitcask/keydir_table bitcask/keydir_walk
bitcask/segment bitcask/hint_compare bitcask/ahead
bitcask/segment_hint
bitcask/commit bitcask/merge_plan
bitcask/background bitcask/commit_inside
bitcask/help bitcask/append bitcask/sync bitcask/rotate bitcask/replace
bitcask/cask
bitcask/chain bitcask/directory bitcask/group bitcask/merge
bitcask/load bitcask/mend bitcask/proof bitcask/recover bitcask/merge_inside
bitcask/merge_copy bitcask/merge_finish bitcask/merge_output bitcask/merge_repoint bitcask/merge_run
bitcask/merge_step bitcask/merge_turn
bitcask/open bitcask/put bitcask/batch bitcask/get bitcask/multi_get bitcask/view bitcask/iterate bitcask/stat
bitcask/survey bitcask/judge bitcask/finding bitcask/inspect_directory
bitcask/fate bitcask/history
bitcask/verify
bitcask/verify_files bitcask/verify_judge bitcask/repair
bitcask/repair_plan bitcask/repair_copy bitcask/repair_origin bitcask/repair_moves
bitcask/inspect_hint
'

# Headers that any file may include; every other one only where it is listed below.
free_headers='assert errno inttypes limits stdalign stdarg stdatomic stdbool stddef
stdint stdio stdlib string time'

# A header, and the files of the library that may include it; as many lines as it takes.
system_headers='
dirent.h bitcask/io_posix.c
fcntl.h bitcask/io_posix.c
unistd.h bitcask/io_posix.c bitcask/open.c
sys/file.h bitcask/io_posix.c
sys/mman.h bitcask/io_posix.c bitcask/slab.c
sys/random.h bitcask/io_posix.c
sys/resource.h bitcask/background.c
sys/stat.h bitcask/io_posix.c
sys/types.h bitcask/io_posix.c
sys/uio.h bitcask/io_posix.c
sys/vfs.h bitcask/io_posix.c
pthread.h bitcask/sequence_set.h bitcask/slab.h bitcask/keydir_inside.h bitcask/segment.h
pthread.h bitcask/ahead.h bitcask/commit.h bitcask/append.c bitcask/verify.h
pthread.h bitcask/background.h bitcask/cask.c bitcask/merge_writer.h
signal.h bitcask/background.c bitcask/ahead.c
signal.h bitcask/verify_files.c bitcask/load.c bitcask/merge_finish.c bitcask/merge_writer.c
libdeflate.h bitcask/format.c
uthash.h bitcask/fate.c bitcask/keydir_inside.h bitcask/sequence_set.c
xxhash.h bitcask/keydir_table.c bitcask/fate.c
'

# What a library may not do to the program it is in.
forbidden_calls='printf vprintf fprintf vfprintf puts fputs putchar perror exit _exit
quick_exit abort system'

columns_max=90
lines_max=700

library=$(find bitcask hint -name '*.[ch]' | sort)
tools=$(find tools -name '*.[ch]' | sort)
code=$(find bitcask hint tools test -name '*.[ch]' | sort)

# uncommented FILE...: "file:line: text", without comments and the insides of strings.
uncommented() {
    awk '
        FNR == 1 { inside = 0 }
        {
            rest = $0
            text = ""
            directive = rest ~ /^ *#/
            if (!directive)
                gsub(/\\./, "", rest)
            while (rest != "") {
                if (inside) {
                    at = index(rest, "*/")
                    rest = at ? substr(rest, at + 2) : ""
                    inside = !at
                } else if (match(rest, /\/\*|\/\/|"[^"]*"/)) {
                    found = substr(rest, RSTART, RLENGTH)
                    text = text substr(rest, 1, RSTART - 1)
                    rest = substr(rest, RSTART + RLENGTH)
                    if (found == "//")
                        rest = ""
                    else if (found == "/*")
                        inside = 1
                    else
                        text = text (directive ? found : "\"\"")
                } else {
                    text = text rest
                    rest = ""
                }
            }
            if (text !~ /^ *$/)
                print FILENAME ":" FNR ": " text
        }' "$@"
}

# includes FILE...: "file header", the header in its <> or quotes.
includes() {
    uncommented "$@" |
        sed -n 's/^\([^:]*\):[0-9]*: # *include *\([<"][^>"]*[>"]\).*/\1 \2/p'
}

# The checks. Each prints what is wrong, a finding a line, and nothing when all is well.

# shellcheck disable=SC2086 # lists of words, here and below
homeless() {
    for file in $library; do
        printf '%s\n' $floors | grep -qx "${file%.[ch]}" || echo "$file is on no floor"
    done
}

# shellcheck disable=SC2086
upward_includes() {
    echo "$floors" >"$work/floors"
    includes $library | awk '
        function module(path) {
            sub(/\.[ch]$/, "", path)
            return path
        }
        FILENAME != "-" {
            for (i = 1; i <= NF; i++)
                floor[$i] = FNR
            next
        }
        $2 ~ /^"/ {
            own = module($1)
            other = module(substr($2, 2, length($2) - 2))
            if (other != own && !(other in floor && floor[other] < floor[own]))
                print $1 " includes " $2
        }' "$work/floors" -
}

# shellcheck disable=SC2086
system_includes() {
    echo "$system_headers" >"$work/allowed"
    includes $library | sed -n 's/<\(.*\)>/\1/p' | while read -r file header; do
        printf '%s.h\n' $free_headers | grep -qxF "$header" ||
            grep "^$header " "$work/allowed" | tr ' ' '\n' | grep -qxF "$file" ||
            echo "$file includes <$header>"
    done
}

# A tool sees what an embedder sees, the headers beside it, and what the system has.
# shellcheck disable=SC2086
tools_look_inside() {
    includes $tools | grep -E '["<](\.\.|bitcask|hint|test)/' |
        grep -vE '<bitcask/(bitcask|inspect)\.h>'
}

# shellcheck disable=SC2086
calls_forbidden() {
    uncommented $library |
        grep -E "(^|[^A-Za-z0-9_])($(echo $forbidden_calls | tr ' ' '|')) *\("
}

# Function definitions and declarations start in the first column, and so do macros
# that look like them: those are in capitals.
# shellcheck disable=SC2086
unprefixed() {
    uncommented $library | grep -vE ':[0-9]+: (static|typedef|[ #}])' |
        grep -E ':[0-9]+: [A-Za-z_][A-Za-z0-9_ *]*[ *][a-z_][A-Za-z0-9_]*\(' |
        grep -vE '[ *]bitcask_[a-z0-9_]*\('
}

# shellcheck disable=SC2086
without_licence() {
    awk 'FNR == 1 && $0 != "/* SPDX-License-Identifier: MIT */" { print FILENAME }' $code
}

# shellcheck disable=SC2086
wide_lines() {
    awk -v max=$columns_max 'length > max { print FILENAME ":" FNR ": " length }' $code
}

# shellcheck disable=SC2086
long_files() {
    wc -l $code | awk -v max=$lines_max '$2 != "total" && $1 > max { print $2 ": " $1 }'
}

# shellcheck disable=SC2086
tabs() {
    grep -nF "$(printf '\t')" $code
}

# shellcheck disable=SC2086
untested_functions() {
    cat bitcask/bitcask.h bitcask/inspect.h | tr '\n' ' ' | tr ';' '\n' |
        sed -n 's/^.*BITCASK_API [^(]*[ *]\(bitcask_[a-z_]*\)(.*/\1/p' |
        while read -r name; do
            grep -q "any_function \*)$name," test/test_header.c || echo "$name"
        done
}

check_silent 'every file of the library has its floor' homeless
check_silent 'includes only go down' upward_includes
check_silent 'system headers are included only where they are listed' system_includes
check_silent 'tools see only the public headers of the library' tools_look_inside
check_silent 'the library neither prints nor ends the process' calls_forbidden
check_silent 'every function that is not static begins with bitcask_' unprefixed
check_silent 'every file of code begins with its licence' without_licence
check_silent "no line of code has more than $columns_max columns" wide_lines
check_silent "no file of code has more than $lines_max lines" long_files
check_silent 'no line of code has a tab' tabs
check_silent 'test_header.c names every public function' untested_functions

finish
