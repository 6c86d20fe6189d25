#!/bin/sh
# test_man.sh SOURCE_ROOT TOOLS_DIRECTORY
# What the pages in docs/man say is so: every example in them is run and prints what it
# shows, they name the options that the tools have and no others, and they can be read.
# The sessions in docs/*.md are run, too.
#
# In a page every ``` block is a session, as a terminal shows it: lines `$ COMMAND`, those
# that go on with a command as `> MORE`, and behind them what comes on both streams. In
# that `...` stands for anything within a line, and alone on a line for any lines. A
# command ends with status 0, or says what it ends with: `; echo "exit status $?"`.
# The sessions of a page go on with one another, in a directory that is empty at first.
set -u
source_root=$(cd "$1" && pwd)
tools=$(cd "$2" && pwd)
# shellcheck source=checks.sh
. "$source_root/test/checks.sh"
export PATH="$tools:$PATH" TZ=UTC
pages=$source_root/docs/man
newline='
'

# The sessions of page $1, without the backslashes that are for scdoc; in Markdown they
# are blocks of the language console.
sessions() {
    case $1 in
    *.scd)
        awk '/^```$/ { inside = !inside; next } inside' "$1" | sed 's/\\\(.\)/\1/g'
        ;;
    *) awk '/^```/ { inside = $0 == "```console"; next } inside' "$1" ;;
    esac
}

# Whether the lines of file $1 are those of the patterns in file $2. The lines of one that
# is * are any number of lines up to one that matches the next.
matches() {
    awk '
        function matched(text, pattern,   parts, count, i, at) {
            count = split(pattern, parts, /\.\.\./)
            if (count == 1)
                return text == pattern
            if (substr(text, 1, length(parts[1])) != parts[1])
                return 0
            text = substr(text, length(parts[1]) + 1)
            for (i = 2; i < count; i++) {
                at = parts[i] == "" ? 1 : index(text, parts[i])
                if (at == 0)
                    return 0
                text = substr(text, at + length(parts[i]))
            }
            at = length(text) - length(parts[count]) + 1
            return at >= 1 && substr(text, at) == parts[count]
        }
        FILENAME == ARGV[1] { wanted[++wanted_count] = $0; next }
        { said[++said_count] = $0 }
        END {
            line = 1
            for (i = 1; i <= wanted_count; i++) {
                if (wanted[i] == "...") {
                    line++ # at least one
                    while (line <= said_count &&
                           !(i < wanted_count && matched(said[line], wanted[i + 1])))
                        line++
                } else if (line > said_count || !matched(said[line], wanted[i]))
                    exit 1
                else
                    line++
            }
            exit line != said_count + 1
        }' "$2" "$1"
}

# Run the command that was collected, and compare.
end_command() {
    [ -n "$command" ] || return 0
    status=0
    eval "$command" >"$work/said" 2>&1 </dev/null || status=$?
    printf '%s' "$expected" >"$work/expected"
    if [ "$status" -ne 0 ] || ! matches "$work/said" "$work/expected"; then
        printf '$ %s\n-- the page shows:\n%s' "$command" "$expected"
        echo "-- it said, and ended with status $status:"
        cat "$work/said"
        wrong=1
    fi
    command=
}

examples() (
    sessions "$1" >"$work/sessions"
    rm -rf "$work/empty"
    mkdir "$work/empty"
    cd "$work/empty" || exit 1
    command=
    expected=
    wrong=0
    while IFS= read -r line <&3; do
        case $line in
        '$ '*)
            end_command
            command=${line#'$ '}
            expected=
            ;;
        '> '*) command=$command$newline${line#'> '} ;;
        *) expected=$expected$line$newline ;;
        esac
    done 3<"$work/sessions"
    end_command
    exit "$wrong"
)

# Examples that nobody runs: blocks that do not begin with a command, commands that stand
# elsewhere, and pages that have none.
not_run() {
    awk '/^```$/ { inside = !inside; if (inside) first = NR + 1; next }
        inside && NR == first && !/^\$ / || !inside && /^[\t ]*\$ / {
            print FILENAME ":" NR ": " $0
        }' "$1"
    grep -q '^\$ ' "$1" || echo "$1 has no example"
}

headings_missing() {
    for heading in NAME SYNOPSIS DESCRIPTION OPTIONS 'EXIT STATUS' EXAMPLES 'SEE ALSO'; do
        grep -qx "# $heading" "$1" || echo "no section $heading"
    done
}

# `name(section)` of our own, without a page.
dead_references() {
    grep -o '\*bitcask[a-z-]*\*([0-9])' "$1" | sort -u | tr -d '*)' | tr '(' . |
        while read -r page; do
            [ -e "$pages/$page.scd" ] || echo "there is no $page"
        done
}

# section PAGE HEADING_LINE: what stands below it, up to the next heading.
section() {
    awk -v heading="$2" '/^#/ { inside = index($0 " ", heading " ") == 1; next }
        inside' "$pages/$1.scd"
}

# The options that lists of a page explain: each before what is indented.
explained() {
    awk '/^\t/ && before ~ /^\*-/ { print before } { before = $0 }' |
        grep -oE '\*--?[A-Za-z0-9][a-z-]*\*' | tr -d '*' | sort -u
}

# The options that a text names.
named() {
    cat >"$work/text"
    {
        grep -oE -e '--[a-z]+(-[a-z]+)*' "$work/text"
        grep -oE -e '(^|[ ,])-[A-Za-z0-9], --' "$work/text" | grep -o -e '-[^-],' |
            tr -d ,
    } | sort -u
}

# Those that go with every command, whether its --help says so or not.
general_of_stores='  --dir, --env-file, --log, -h, --help, -V, --version'
general=$general_of_stores

# What is wrong about the options in $work/page, by the text of --help in $work/help: each
# that it explains must be there, and none that it does not name.
options_unlike_help() {
    grep '^ *-' "$work/help" | named | comm -13 "$work/page" - | sed 's/$/ is missing/'
    named <"$work/help" | comm -23 "$work/page" - | sed 's/$/ does not exist/'
}

# Of `bitcask $1`. The general ones may be explained elsewhere.
command_options_unlike_help() {
    {
        section bitcask.1 "## bitcask $1" | explained
        if [ -e "$pages/bitcask-$1.1.scd" ]; then
            section "bitcask-$1.1" '# OPTIONS' | explained
        fi
        echo "$general" | named
    } | sort -u >"$work/page"
    {
        bitcask "$1" --help
        echo "$general"
    } >"$work/help"
    options_unlike_help
}

# What `$1 --help` leaves out of those that every program takes.
general_options_unnamed() {
    "$1" --help | named >"$work/help"
    echo "$general" | named | comm -23 - "$work/help"
}

# Of a program, which has to explain them all.
program_options_unlike_help() {
    section "$1.1" '# OPTIONS' | explained >"$work/page"
    {
        "$1" --help
        echo "$general"
    } >"$work/help"
    options_unlike_help
}

# Whether page $1 has the usage that `$2... --help` prints.
has_usage() {
    page=$1
    shift
    usage=$("$@" --help | sed -n 's/^usage: //p')
    echo "usage: $usage"
    section "$page" '# SYNOPSIS' | tr -d '*_' | sed 's/++$//' | grep -qFx "$usage"
}

has_section() {
    usage=$(bitcask "$1" --help | sed -n 's/^usage: //p')
    echo "no section: $usage"
    grep -qFx "## $usage" "$pages/bitcask.1.scd"
}

# fields_unexplained PAGE COMMAND...: names in the JSON that COMMAND prints, of which the
# page says nothing outside of its sessions.
fields_unexplained() {
    page=$1
    shift
    awk '/^```$/ { inside = !inside; next } !inside' "$pages/$page.scd" |
        tr -cs 'a-z0-9_' '\n' | sed 's/^_//; s/_$//' | sort -u >"$work/explained"
    (cd "$work/casks" && "$@") >"$work/json" || true
    grep -oE '"[a-z0-9_]+":' "$work/json" | tr -d '":' | sort -u >"$work/fields"
    [ -s "$work/fields" ] || echo "no JSON: $*"
    comm -13 "$work/explained" "$work/fields"
}

# As somebody reads it, without the breaks between words.
render() {
    rm -f "$work/rendered"
    scdoc <"$pages/$1.scd" >"$work/page" || return
    groff -man -t -Kutf8 -Tutf8 -ww -P-c -P-b -P-o -P-u "$work/page" 2>"$work/warnings" |
        without_breaks >"$work/rendered"
    cat "$work/warnings"
    [ -s "$work/rendered" ] && [ ! -s "$work/warnings" ]
}

without_breaks() {
    sed 's/[[:blank:]]\{1,\}/ /g; s/^ //; s/ $//'
}

examples_unlike_the_page() {
    sessions "$pages/$1.scd" | without_breaks | grep -vFx -f "$work/rendered"
}

for file in "$pages"/*.scd; do
    page=$(basename "$file" .scd)
    check "$page: the examples print what it shows" examples "$file"
    check_silent "$page: every example is run" not_run "$file"
    check_silent "$page: the pages that it refers to are there" dead_references "$file"
    case $page in
    *.1) check_silent "$page has all sections" headings_missing "$file" ;;
    esac
    if command -v scdoc >/dev/null && command -v groff >/dev/null; then
        check "$page is rendered without a warning" render "$page"
        check_silent "$page: a reader sees the examples as they are" \
            examples_unlike_the_page "$page"
    else
        echo "not checked, without scdoc and groff: how $page is rendered"
    fi
done

for file in "$source_root"/docs/*.md; do
    if grep -q '^```console$' "$file"; then
        check "docs/$(basename "$file"): the session prints what it shows" \
            examples "$file"
    fi
done

check 'bitcask.1 has the usage of bitcask' has_usage bitcask.1 bitcask
check_silent 'bitcask.1 explains the options of bitcask --help' \
    program_options_unlike_help bitcask
check_silent 'bitcask --help names the general options' general_options_unnamed bitcask
bitcask --help | sed -n '/^Commands/,/^Options/s/^  \([a-z][a-z]*\) .*/\1/p' \
    >"$work/commands"
check 'bitcask --help has commands' test -s "$work/commands"
while read -r name; do
    check "bitcask.1 has a section for bitcask $name" has_section "$name"
    check_silent "the pages explain the options of bitcask $name" \
        command_options_unlike_help "$name"
    if [ -e "$pages/bitcask-$name.1.scd" ]; then
        check "bitcask-$name.1 has the usage of bitcask $name" \
            has_usage "bitcask-$name.1" bitcask "$name"
    fi
done <"$work/commands"
for program in "$tools"/bitcask-*; do
    name=$(basename "$program")
    if [ ! -f "$program" ] || [ "$name" = bitcask-tour ]; then
        continue
    fi
    general=$general_of_stores
    if [ "$name" = bitcask-bench ]; then
        general='  -h, --help, -V, --version' # it opens no store but its own
    fi
    check "$name.1 has the usage of $name" has_usage "$name.1" "$name"
    check_silent "$name.1 explains the options of $name" \
        program_options_unlike_help "$name"
    check_silent "$name --help names the general options" general_options_unnamed "$name"
done
general=$general_of_stores

# Casks for this: one with garbage.
mkdir "$work/casks"
(
    cd "$work/casks" || exit
    printf '%s\t%s\n' ada 1815 alan 1912 ada 1815-1852 | bitcask --dir names load
    bitcask --dir names delete alan
)
check_silent 'bitcask-stat.1 explains the JSON of bitcask stat' \
    fields_unexplained bitcask-stat.1 bitcask --dir names stat --json
check_silent 'bitcask-merge.1 explains the JSON of bitcask-merge' \
    fields_unexplained bitcask-merge.1 bitcask-merge --dry-run --explain --json names
check_silent 'bitcask-dump.1 explains the JSON of bitcask-dump' \
    fields_unexplained bitcask-dump.1 bitcask-dump --json names
check_silent 'bitcask-dump.1 explains the JSON of its statistics' \
    fields_unexplained bitcask-dump.1 bitcask-dump --stats --json names
check_silent 'bitcask-log.1 explains the JSON of bitcask log' \
    fields_unexplained bitcask-log.1 bitcask --dir names log --json ada
check_silent 'bitcask-log.1 explains the JSON of bitcask undelete' \
    fields_unexplained bitcask-log.1 bitcask --dir names undelete --json alan
check_silent 'bitcask-hint.1 explains the JSON of bitcask hint rebuild' \
    fields_unexplained bitcask-hint.1 bitcask hint rebuild --json names
check_silent 'bitcask-hint.1 explains the JSON of bitcask hint show' \
    fields_unexplained bitcask-hint.1 bitcask hint show --json names
check_silent 'bitcask-bench.1 explains the JSON of bitcask-bench' \
    fields_unexplained bitcask-bench.1 sh -c 'bitcask-bench --engines bitcask \
        --keys 1000 --repeat 1 --seconds 0.01 --json json >/dev/null && cat json'
cut_copy() {
    cp -r "$work/casks/names" "$work/casks/cut"
    truncate -s -10 "$work/casks/cut/0000000001.data"
}
check 'a store is damaged' cut_copy
check_silent 'bitcask-verify.1 explains the JSON of bitcask verify' \
    fields_unexplained bitcask-verify.1 bitcask verify --json cut
check_silent 'bitcask-repair.1 explains the JSON of bitcask repair, but for findings' \
    fields_unexplained bitcask-repair.1 \
    sh -c 'bitcask repair --json cut 2>/dev/null | grep -v finding'
check_silent 'bitcask-dump.1 explains the JSON of a hint' \
    fields_unexplained bitcask-dump.1 bitcask-dump --json names/0000000001.hint

finish
