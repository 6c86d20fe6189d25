#!/bin/sh
# test_readme.sh SOURCE_ROOT BUILD_ROOT
# What README.md shows is so: its program compiles and runs, its session prints what it
# says, on the first time and on the second, and its links lead somewhere.
set -eu
source_root=$1
build_root=$(cd "$2" && pwd)
# shellcheck source=checks.sh
. "$source_root/test/checks.sh"
[ -e "$build_root/libbitcask.so" ] || skip 'built without a shared library'

readme=$source_root/README.md
# The session is run in a directory like the repository's root after a build.
mkdir -p "$work/root/build"
ln -s "$build_root/tools" "$work/root/build/tools"
cd "$work/root"

# block LANGUAGE: what stands between ```LANGUAGE and the next ```.
block() {
    awk -v fence="\`\`\`$1" '/^```/ { inside = $0 == fence; next } inside' "$readme"
}

compile() {
    block c >"$work/names.c"
    # shellcheck disable=SC2086 # a command may be two words
    $CC -std=c11 -Wall -Wextra -Werror -I"$source_root" -o "$work/names" \
        "$work/names.c" "-L$build_root" -lbitcask "-Wl,-rpath,$build_root"
}

program_prints() {
    [ "$("$work/names")" = "$1" ]
}

# `$ command` lines, each followed by what it prints on both streams.
session() {
    block console >"$work/session"
    number=0
    command=
    wrong=0
    while IFS= read -r line; do
        case $line in
        '$ '*)
            end_command
            command=${line#'$ '}
            expected=
            ;;
        *) expected=$expected$line$newline ;;
        esac
    done <"$work/session"
    end_command
    [ "$number" -gt 0 ] && [ "$wrong" -eq 0 ]
}
newline='
'

# Run the command that was collected, and compare. A missing newline at the end does not
# count: a terminal has it.
end_command() {
    [ -n "$command" ] || return 0
    number=$((number + 1))
    eval "$command" >"$work/said" 2>&1 </dev/null || true
    if [ "$(cat "$work/said")" != "${expected%"$newline"}" ]; then
        echo "\$ $command"
        echo "-- README.md says:"
        printf '%s' "$expected"
        echo "-- it said:"
        cat "$work/said"
        wrong=1
    fi
}

dead_links() {
    grep -o '](\([^)]*\))' "$readme" | sed 's/](\(.*\))/\1/' | grep -v '://' |
        while read -r link; do
            [ -e "$source_root/${link%%#*}" ] || echo "$link"
        done
}

check 'the program compiles without a warning' compile
check 'the program prints its pair' program_prints 'ada: 1815'
check 'and does so again' program_prints 'ada: 1815'
check 'the session prints what it says' session
check 'and does so again' session
check_silent 'no link is dead' dead_links

finish
