#!/bin/sh
# test_tools.sh BITCASK
# The command line, end to end: what `bitcask --help` says is so.
set -u
tool=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
tour=$(dirname "$tool")/bitcask-tour
# shellcheck source=checks.sh
. "$(dirname "$0")/checks.sh"
# shellcheck source=tool_checks.sh
. "$(dirname "$0")/tool_checks.sh"

all_bytes() {
    byte=0
    while [ "$byte" -lt 256 ]; do
        # shellcheck disable=SC2059
        printf "\\$(printf %03o "$byte")"
        byte=$((byte + 1))
    done
}
all_bytes >bytes

# set and get

set_and_get() {
    fresh
    exits 0 bitcask set ada 1815 && out_is '' && err_is_empty &&
        exits 0 bitcask get ada && out_is 1815 && err_is_empty &&
        exits 0 bitcask set ada 1852 && exits 0 bitcask get ada && out_is 1852
}

several_values() {
    fresh
    bitcask set a 1 && bitcask set b 'two
lines' && bitcask set c '' &&
        exits 0 bitcask get a b c a && out_is '1\ntwo\nlines\n\n1' &&
        exits 2 bitcask get missing a other b && out_is '1\ntwo\nlines' &&
        err_says missing && err_says other &&
        exits 2 bitcask get missing && out_is ''
}

value_from_input() {
    fresh
    bitcask set all - <bytes && bitcask get all >out && cmp bytes out &&
        exits 0 bitcask set empty - </dev/null && exits 0 bitcask get empty &&
        out_is '' && printf %s - | bitcask set dash - && exits 0 bitcask get dash &&
        out_is '-'
}

empty_values_and_any_argument() {
    fresh
    key=$(printf 'tab\tline\n\001\377')
    exits 0 bitcask set empty '' && exits 0 bitcask get empty && out_is '' &&
        exits 0 bitcask set "$key" "$key$key" && bitcask get "$key" >out &&
        printf %s "$key$key" >wanted && cmp wanted out
}

if_absent() {
    fresh
    exits 0 bitcask set --if-absent k 1 && exits 1 bitcask set k 2 --if-absent &&
        err_says 'there already' && exits 0 bitcask get k && out_is 1
}

key_too_big() {
    fresh
    key=$(head -c 65535 /dev/zero | tr '\0' k)
    exits 0 bitcask set "$key" v && exits 0 bitcask get "$key" && out_is v &&
        exits 1 bitcask set "${key}k" v && err_says '65535' &&
        exits 64 bitcask set '' v && err_says 'at least one byte' &&
        exits 64 bitcask get '' && exits 64 bitcask delete '' && exits 64 bitcask exists ''
}

value_too_big() {
    fresh
    bitcask set k 1 || return
    # There is no end to it, so it ends only if the limit is seen.
    exits 1 bitcask set k - </dev/zero &&
        err_says '1 GiB' && exits 0 bitcask get k && out_is 1
}

newline_on_terminal() {
    fresh
    bitcask set a 1 && bitcask set b 2 &&
        on_terminal "$tool --dir $cask get a" && out_is '1\n' &&
        on_terminal "$tool --dir $cask get a b" && out_is '1\n2\n'
}

options_anywhere() {
    fresh
    exits 0 "$tool" set --dir "$cask" -- -k --json &&
        exits 0 "$tool" --dir="$cask" get -- -k && out_is '--json' &&
        exits 0 "$tool" get --json --dir "$cask" -- -k &&
        out_is '{"key":"-k","value":"--json"}\n' &&
        exits 0 "$tool" --json list --dir "$cask" --keys-only && out_is '{"key":"-k"}\n'
}

get_json() {
    fresh
    bitcask set text 'a"b\c' && printf '\377' | bitcask set bytes - || return
    exits 2 bitcask get --json text bytes missing &&
        printf '%s\n' '{"key":"text","value":"a\"b\\c"}' \
            '{"key":"bytes","value_base64":"/w=="}' '{"key":"missing","value":null}' >wanted
    cmp wanted out
}

# delete and exists

delete() {
    fresh
    bitcask set a 1 && bitcask set b 2 && bitcask set c 3 &&
        exits 0 bitcask delete a && out_is '' && err_is_empty &&
        exits 2 bitcask delete b missing c && err_says missing &&
        exits 0 bitcask list && out_is ''
}

delete_print() {
    fresh
    bitcask set a 1 && bitcask set b 2 && bitcask set c 3 && bitcask set d 4 &&
        exits 0 bitcask delete --print a && out_is 1 &&
        exits 2 bitcask delete b missing c --print && out_is '2\n3' &&
        exits 2 bitcask delete --print --json d missing &&
        out_is '{"key":"d","value":"4","deleted":true}\n{"key":"missing","value":null,"deleted":false}\n' &&
        bitcask set e 5 && exits 2 bitcask delete --json e missing &&
        out_is '{"key":"e","deleted":true}\n{"key":"missing","deleted":false}\n'
}

delete_print_keeps_what_it_cannot_print() {
    fresh
    bitcask set a 1 || return
    status=0
    bitcask delete --print a >/dev/full 2>err || status=$?
    [ "$status" -eq 1 ] && err_says 'No space left' && exits 0 bitcask get a && out_is 1 ||
        return
    status=0
    bitcask delete --print --json a >/dev/full 2>err || status=$?
    [ "$status" -eq 1 ] && err_says 'No space left' && exits 0 bitcask get a && out_is 1 ||
        return
    # Nor what nobody reads any more.
    rm -f pipe && mkfifo pipe || return
    (exec 3<pipe) &
    { exec 4>pipe; wait $!; bitcask delete --print a >&4 2>/dev/null || :; exec 4>&-; }
    exits 0 bitcask get a && out_is 1
}

exists() {
    fresh
    bitcask set a 1 && exits 0 bitcask exists a && out_is '' && err_is_empty &&
        exits 2 bitcask exists b && out_is '' && err_is_empty &&
        exits 2 bitcask exists --json b && out_is '{"key":"b","exists":false}\n' &&
        exits 0 bitcask exists --json a && out_is '{"key":"a","exists":true}\n'
}

# list and load

list_is_sorted() {
    fresh
    for key in b a aa c "$(printf '\303\251')" B; do
        bitcask set "$key" "v-$key" || return
    done
    exits 0 bitcask list &&
        out_is 'B\tv-B\na\tv-a\naa\tv-aa\nb\tv-b\nc\tv-c\n\303\251\tv-\303\251\n'
}

list_selects() {
    fresh
    printf 'a\t1\nb1\t2\nb2\t3\nb3\t4\nc\t5\n' | bitcask load || return
    exits 0 bitcask list --prefix b && out_is 'b1\t2\nb2\t3\nb3\t4\n' &&
        exits 0 bitcask list --from b2 && out_is 'b2\t3\nb3\t4\nc\t5\n' &&
        exits 0 bitcask list --to b2 && out_is 'a\t1\nb1\t2\n' &&
        exits 0 bitcask list --from b1 --to b3 --limit 1 && out_is 'b1\t2\n' &&
        exits 0 bitcask list --keys-only --prefix b && out_is 'b1\nb2\nb3\n' &&
        exits 0 bitcask list --limit 0 && out_is '' &&
        exits 0 bitcask list --json --limit 2 &&
        out_is '{"key":"a","value":"1"}\n{"key":"b1","value":"2"}\n' &&
        exits 0 bitcask list -0 --prefix b --limit 2 && out_is 'b1\0002\000b2\0003\000' &&
        exits 0 bitcask list --null --keys-only --limit 2 && out_is 'a\000b1\000' &&
        exits 64 bitcask list --limit x && exits 64 bitcask list --limit -1 &&
        exits 64 bitcask list -0 --json
}

list_escapes() {
    fresh
    printf 'a\\tb\\\\\\xff\tc\\n\\r\\x00\\x7f \303\251\n' >text
    bitcask load <text && exits 0 bitcask list && cmp text out
}

# Each byte as a key, in keys, and all of them in values.
make_all_bytes() {
    fresh
    {
        byte=0
        while [ "$byte" -lt 256 ]; do
            printf '\\x%02x\t\\xff\\x%02x\\x00\n' "$byte" "$byte"
            printf 'x\\x%02x\\xc3\t\n' "$byte"
            byte=$((byte + 1))
        done
    } | bitcask load && bitcask set all - <bytes && bitcask set empty ''
}

list_load_round_trip() {
    make_all_bytes && bitcask list >first || return
    original=$cask
    fresh
    bitcask load <first && bitcask list >second && cmp first second &&
        bitcask get all >out && cmp bytes out && [ "$(wc -l <first)" -eq 514 ] &&
        [ "$(LC_ALL=C tr -d '\t\n\040-\176' <first | wc -c)" -eq 0 ] &&
        exits 0 "$tool" --dir "$original" list --json && cp out original.json &&
        exits 0 bitcask list --json && cmp original.json out
}

zeros_round_trip() {
    fresh
    tr -d '\000' <bytes >no-zero
    bitcask set all - <no-zero && bitcask set "$(printf 'k\n\t\\x')" '' &&
        bitcask list -0 >zeros && bitcask list >first || return
    fresh
    exits 0 bitcask load -0 <zeros && bitcask list >second && cmp first second &&
        bitcask get all >out && cmp no-zero out
}

zeros_cannot_hold_zeros() {
    fresh
    printf 'a\\x00b\t1\nc\t2\n' | bitcask load &&
        exits 1 bitcask list -0 && out_is 'c\0002\000' && err_says 'left out' &&
        exits 0 bitcask list
}

json_is_valid() {
    make_all_bytes || return
    { bitcask list --json && bitcask list --json --keys-only && bitcask stat --json &&
        bitcask get --json all && bitcask exists --json all; } >json &&
        python3 - json <<'END'
import base64, json, sys

for line in open(sys.argv[1], encoding='utf-8'):
    json.loads(line)
pairs = {}
for line in open(sys.argv[1], encoding='utf-8'):
    pair = json.loads(line)
    if any(name.startswith('value') for name in pair):
        both = []
        for name in 'key', 'value':
            both.append(pair[name].encode() if name in pair
                        else base64.b64decode(pair[name + '_base64'], validate=True))
        pairs[both[0]] = both[1]
assert len(pairs) == 514, len(pairs)
assert pairs[b'all'] == bytes(range(256))
for byte in range(256):
    assert pairs[bytes([byte])] == bytes([0xff, byte, 0]), byte
END
}

load_stops_at_a_bad_line() {
    for line in 'no tab' '' '\t1' 'a\\q\t1' 'a\t\\x1'; do
        fresh
        # shellcheck disable=SC2059
        printf "a\t1\nb\t2\n$line\nc\t3\n" >text
        exits 1 bitcask load <text && err_says 'line 3' && err_says '2 pairs' &&
            exits 0 bitcask list && out_is 'a\t1\nb\t2\n' || return
    done
    fresh
    { printf 'a\t1\n' && head -c 65536 /dev/zero | tr '\0' k && printf '\tv\n'; } >text
    exits 1 bitcask load <text && err_says 'line 2'
}

load_is_quiet() {
    fresh
    printf 'a\t1\nb\t2' >text
    exits 0 bitcask load <text && out_is '' && err_is_empty &&
        exits 0 bitcask list && out_is 'a\t1\nb\t2\n' &&
        exits 0 bitcask load --progress <text && out_is '' && err_says '2 pairs' &&
        exits 0 bitcask load </dev/null && err_is_empty &&
        exits 0 bitcask load --sync always <text && exits 0 bitcask load --sync none <text &&
        exits 64 bitcask load --sync sometimes <text
}

load_shows_progress_on_a_terminal() {
    fresh
    on_terminal "printf 'a\tb\n' | $tool --dir $cask load" && grep -q '1 pairs' out
}

load_is_fast() {
    fresh
    awk 'BEGIN { for (i = 0; i < 200000; i++) printf "key-%07d\tvalue-%d\n", i, i }' >text
    began=$(date +%s%N)
    bitcask load <text && bitcask list >out && cmp text out &&
        [ $((($(date +%s%N) - began) / 1000000)) -lt 20000 ]
}

load_ends_well_by_a_signal() {
    fresh
    rm -f input && mkfifo input || return
    "$tool" --dir "$cask" load <input 2>err &
    pid=$!
    exec 3>input
    printf 'a\t1\nb\t2\nc' >&3
    retry has_key b
    kill -TERM "$pid"
    status=0
    wait "$pid" || status=$?
    exec 3>&-
    [ "$status" -eq 143 ] && err_says '2 pairs' && exits 0 bitcask set d 4 &&
        err_is_empty && exits 0 bitcask list && out_is 'a\t1\nb\t2\nd\t4\n' && one_data_file
}

has_key() {
    bitcask exists "$1" 2>/dev/null
}

one_data_file() {
    set -- "$cask"/*.data
    [ $# -eq 1 ] || {
        ls -l "$cask"
        return 1
    }
}

# stat

stat_text() {
    fresh
    bitcask set a 1 && bitcask set b 2 && bitcask delete a && exits 0 bitcask stat &&
        grep -q '^keys  *1$' out && grep -q '^directory  *.*cask-' out && grep -q sealed out
}

stat_json() {
    fresh
    bitcask set a 1 && bitcask set b 2 && bitcask delete a && exits 0 bitcask stat --json &&
        grep -q '"key_count":1,' out && grep -q '"last_sequence":3,' out &&
        grep -q '"segments":\[{"id":' out && grep -q '"tombstone_count":1,' out &&
        [ "$(wc -l <out)" -eq 1 ]
}

# shell

shell_words() {
    fresh
    cat >script <<'END'
set plain 1
# a remark

  set  'a b'	"c\td\n\x41\\\""
set empty ''
set -- -k -
get plain "a b"
get -- -k
get empty
exists plain
list --keys-only --limit 2
list --json --prefix pl
delete --print plain
sync
set z\x00 "\x00\xff"
list --prefix z
set 'it'"'"s" two"  x
END
    exits 0 bitcask shell <script && err_is_empty &&
        printf '%s\n' 1 "$(printf 'c\td')" 'A\"' - '' yes -k 'a b' \
            '{"key":"plain","value":"1"}' 1 "$(printf 'z\\x00\t\\x00\\xff')" >wanted &&
        cmp wanted out && exits 0 bitcask get "it's two" && out_is x
}

shell_goes_on() {
    fresh
    printf 'set a 1\nget missing\nget "open\nnonsense\nload\nset\nget a' >script
    exits 64 bitcask shell <script && out_is '1\n' && err_says 'line 2: .missing' &&
        err_says 'line 3: ' && err_says 'line 4: .*nonsense' && err_says 'line 5: ' &&
        err_says 'line 6: ' && printf 'get missing\nexists missing\n' >script &&
        exits 2 bitcask shell <script && out_is 'no\n'
}

shell_ends() {
    fresh
    printf 'set a 1\nquit\nset a 2\n' >script
    exits 0 bitcask shell <script && printf 'get a\nexit\nget a\n' >script &&
        exits 0 bitcask shell <script && out_is '1\n' && exits 0 bitcask shell </dev/null &&
        out_is '' && err_is_empty && printf help >script && exits 0 bitcask shell <script &&
        grep -q quit out
}

shell_prompts_on_a_terminal() {
    fresh
    printf 'set a 1\nquit\n' >lines
    script -qec "$tool --dir $cask shell" /dev/null <lines >out && grep -q 'bitcask> ' out &&
        exits 0 bitcask get a
}

shell_is_driven_through_pipes() {
    fresh
    rm -f input output && mkfifo input output || return
    "$tool" --dir "$cask" shell <input >output 2>err &
    pid=$!
    exec 3>input 4<output
    answer=
    for value in 1 2 3; do
        printf 'set k %s\nget k\n' "$value" >&3
        read -r answer <&4
        [ "$answer" = "$value" ] || break
    done
    locked=0
    bitcask set k 4 2>locked-err || locked=$?
    bitcask shell </dev/null 2>shell-err && locked=0
    exits 0 bitcask get k
    beside=$(cat out)
    exec 3>&- 4<&-
    status=0
    wait "$pid" || status=$?
    [ "$answer" = 3 ] && [ "$locked" -eq 75 ] && [ "$beside" = 3 ] && [ "$status" -eq 0 ] &&
        grep -q "$pid" locked-err && exits 0 bitcask set k 4
}

shell_ends_well_by_a_signal() {
    fresh
    rm -f input && mkfifo input || return
    "$tool" --dir "$cask" shell <input >out 2>err &
    pid=$!
    exec 3>input
    printf 'set a 1\n' >&3
    retry has_key a
    kill -TERM "$pid"
    status=0
    wait "$pid" || status=$?
    exec 3>&-
    [ "$status" -eq 143 ] && exits 0 bitcask set b 2 && err_is_empty && one_data_file
}

shell_json() {
    fresh
    printf 'set a 1\nget a\nexists b\n' >script
    exits 2 bitcask shell --json <script &&
        out_is '{"key":"a","value":"1"}\n{"key":"b","exists":false}\n'
}

# Which store

here() {
    mkdir -p place && cd place || return
    result=0
    "$@" || result=$?
    cd "$work" && return "$result"
}

precedence() {
    rm -rf place && mkdir place && cd place || return
    for name in cask file-env bitcask-env file-dot bitcask-dot option; do
        "$tool" --dir "$name" set where "$name"
    done
    result=0
    where() {
        wanted=$1
        shift
        got=$(env "$@" "$tool" get where)
        [ "$got" = "$wanted" ] || {
            echo "$got, not $wanted: $* .env: $(cat .env)"
            result=1
        }
    }
    rm -f .env
    where cask A=1
    where file-env FILEPATH=file-env
    where bitcask-env FILEPATH=file-env BITCASK_DIR=bitcask-env
    where cask BITCASK_DIR=
    echo FILEPATH=file-dot >.env
    where file-dot A=1
    where file-env FILEPATH=file-env
    where bitcask-env BITCASK_DIR=bitcask-env
    echo 'export BITCASK_DIR="bitcask-dot" # remark' >>.env
    where bitcask-dot A=1
    where bitcask-dot BITCASK_DIR=
    where bitcask-dot FILEPATH=file-env
    where bitcask-env BITCASK_DIR=bitcask-env
    got=$(BITCASK_DIR=bitcask-env "$tool" --dir option get where)
    [ "$got" = option ] || result=1
    echo FILEPATH=option >other.env
    got=$("$tool" get where --env-file other.env)
    [ "$got" = option ] || result=1
    got=$("$tool" get where --env-file /dev/null)
    [ "$got" = cask ] || result=1
    cd "$work" && return "$result"
}

env_files_that_are_wrong() {
    fresh
    rm -rf place
    bitcask set a 1 && mkdir -p place/.env && here exits 0 bitcask get a &&
        rm -rf place/.env && exits 1 bitcask get a --env-file missing.env &&
        err_says missing.env && printf 'A=1\nnonsense\n' >bad.env &&
        exits 64 bitcask get a --env-file bad.env && err_says 'bad.env, line 2' &&
        exits 64 bitcask get a --env-file ''
}

no_cask_is_no_missing_key() {
    fresh
    for words in 'get a' list stat 'exists a' 'delete a'; do
        # shellcheck disable=SC2086
        exits 1 bitcask $words && err_says 'no cask' && [ ! -e "$cask" ] || return
    done
    : >file
    for words in 'get a' 'set a 1' list; do
        # shellcheck disable=SC2086
        exits 1 "$tool" --dir file $words || return
    done
}

readers_change_nothing() {
    fresh
    bitcask set a 1 && (cd "$cask" && find . -type f -exec cksum {} + | sort) >before &&
        bitcask get a && bitcask list && bitcask stat && bitcask exists a &&
        (cd "$cask" && find . -type f -exec cksum {} + | sort) >after && cmp before after
}

many_sets_one_file() {
    fresh
    i=0
    while [ "$i" -lt 100 ]; do
        bitcask set "key-$i" "$i" || return
        i=$((i + 1))
    done
    one_data_file && [ "$(bitcask list | wc -l)" -eq 100 ]
}

# Bounded far above what it costs, since sanitizers and busy machines are slow.
sets_in_a_large_store() {
    fresh
    awk 'BEGIN { for (i = 0; i < 100000; i++) printf "key-%06d\t%d\n", i, i }' |
        bitcask load || return
    for i in 1 2 3 4 5 6 7 8 9 10; do
        bitcask set "key-$i" new || return
    done
    one_data_file
}

# Damage

damaged_value() {
    fresh
    printf 'a\tfirst-value\nb\tsecond-value\nc\tthird-value\n' | bitcask load &&
        damage second-value || return
    exits 65 bitcask get a b c && out_is 'first-value\nthird-value' && err_says "'b'" &&
        exits 65 bitcask get b missing && exits 65 bitcask list &&
        out_is 'a\tfirst-value\nc\tthird-value\n' && err_says "'b'" &&
        exits 0 bitcask list --keys-only && out_is 'a\nb\nc\n' &&
        exits 0 bitcask exists b && exits 65 bitcask delete --print b &&
        exits 0 bitcask exists b && exits 0 bitcask delete b && exits 2 bitcask exists b
}

damaged_store() {
    fresh
    printf 'a\tfirst-value\nb\tsecond-value\n' | bitcask load || return
    rm "$cask"/*.data
    exits 65 bitcask get a && err_says 'salvage' && exits 65 bitcask set a 1
}

salvaged_store() {
    fresh
    printf 'a\tfirst-value\nb\tsecond-value\n' | bitcask load || return
    printf 'nonsense' | dd of="$cask/MANIFEST" bs=1 seek=20 conv=notrunc 2>/dev/null
    exits 65 bitcask list && exits 65 bitcask --salvage list &&
        out_is 'a\tfirst-value\nb\tsecond-value\n' && err_says 'stepped over'
}

torn_tail() {
    fresh
    rm -f input && mkfifo input || return
    "$tool" --dir "$cask" shell <input >/dev/null 2>&1 &
    pid=$!
    exec 3>input
    printf 'set a first-value\nset b second-value\n' >&3
    retry has_key b
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
    exec 3>&-
    file=$(grep -lF second-value "$cask"/*.data) &&
        offset=$(grep -abobF second-value "$file" | head -n 1 | cut -d : -f 1) &&
        truncate -s "$((offset + 5))" "$file" && exits 0 bitcask set c 3 &&
        err_says 'warning: .* bytes .*cut' && exits 0 bitcask list &&
        out_is 'a\tfirst-value\nc\t3\n'
}

# Usage

usage_errors() {
    fresh
    for words in '' nonsense 'get' 'set a' 'set a b c' 'exists' 'exists a b' 'list a' \
        '--nonsense list' 'get -x a' 'get a --prefix b' 'list --limit' 'set --print a b' \
        'stat a' '--log xml list' 'get a --dir' 'list --json=x' 'sync' 'get --if-absent a'; do
        # shellcheck disable=SC2086
        exits 64 "$tool" $words && out_is '' && err_says '^bitcask: ' || return
    done
    exits 64 "$tool" && err_says 'usage:' && exits 64 "$tool" nonsense && err_says -- --help
}

help_and_version() {
    fresh
    exits 0 "$tool" --version && grep -q '^bitcask [0-9]*\.[0-9]' out && err_is_empty &&
        exits 0 "$tool" --help && grep -q '^usage: bitcask' out && grep -q FILEPATH out &&
        err_is_empty || return
    for command in set get list delete exists stat load merge shell; do
        exits 0 "$tool" "$command" --help && grep -q "^usage: bitcask $command" out &&
            err_is_empty && exits 0 "$tool" help "$command" || return
    done
    printf 'nonsense\n' >place/.env
    here exits 0 "$tool" --help && here exits 0 "$tool" help get || return
    rm place/.env
}

# Output that fails

closed_pipe() {
    fresh
    awk 'BEGIN { for (i = 0; i < 50000; i++) printf "key-%06d\t%d\n", i, i }' |
        bitcask load || return
    for words in list 'list --json' 'list -0' "get $(bitcask list --keys-only | head -n 9000 |
        tr '\n' ' ')"; do
        # shellcheck disable=SC2086
        { { bitcask $words 2>err; echo $? >status; } | head -c 1 >/dev/null; }
        err_is_empty && [ "$(cat status)" -eq 0 ] || return
    done
}

full_disk_behind_output() {
    fresh
    bitcask set a 1 || return
    for words in 'get a' list stat --help --version 'exists --json a' 'get --help'; do
        status=0
        # shellcheck disable=SC2086
        bitcask $words >/dev/full 2>err || status=$?
        [ "$status" -eq 1 ] && err_says 'No space left' || return
    done
    status=0
    echo 'get a' | bitcask shell >/dev/full 2>err || status=$?
    [ "$status" -eq 1 ] && err_says 'No space left'
}

closed_descriptors() {
    fresh
    bitcask set a 1 <&- >&- 2>&- && exits 0 bitcask get a && out_is 1 || return
    status=0
    bitcask get a >&- 2>err || status=$?
    [ "$status" -eq 1 ] && err_says 'standard output' || return
    status=0
    bitcask set b - <&- 2>err || status=$?
    [ "$status" -eq 1 ] && err_says 'standard input'
}

no_permission() {
    fresh
    chmod 755 . && mkdir -p closed && chmod 700 closed || return
    exits 1 setpriv --reuid=65534 --clear-groups "$tool" --dir closed/cask set a 1 &&
        err_says closed && exits 0 "$tool" --dir "$cask" set a 1 && chmod 700 "$cask" &&
        exits 1 setpriv --reuid=65534 --clear-groups "$tool" --dir "$cask" get a &&
        err_says 'Permission denied' && chmod 755 "$cask" && chmod 644 "$cask"/* &&
        exits 0 setpriv --reuid=65534 --clear-groups "$tool" --dir "$cask" get a &&
        exits 1 setpriv --reuid=65534 --clear-groups "$tool" --dir "$cask" set a 2
}

# A directory that one may be in but not look into has no .env.
no_permission_to_look_for_env() {
    fresh
    chmod 755 . && bitcask set a 1 && chmod 755 "$cask" && chmod 644 "$cask"/* &&
        mkdir -p closed && chmod 700 closed && cd closed || return
    result=0
    exits 0 setpriv --reuid=65534 --clear-groups "$tool" --dir "$cask" get a || result=$?
    cd "$work" && return "$result"
}

# Log

log_is_silent() {
    fresh
    exits 0 bitcask set a 1 && err_is_empty &&
        exits 0 env LOG_LEVEL=silent "$tool" --dir "$cask" --log json get a &&
        err_is_empty && exits 0 env LOG_LEVEL=error "$tool" --dir "$cask" get a &&
        err_is_empty
}

log_text() {
    fresh
    time='^[0-9-]*T[0-9:]*\.[0-9][0-9][0-9]Z'
    exits 0 env LOG_LEVEL=debug "$tool" --dir "$cask" set a 1 &&
        err_says "$time debug " && err_says "$time info opened .*duration_ms=[0-9]" &&
        exits 0 bitcask --log text get a && out_is 1 && err_says "$time info done" &&
        ! grep -q debug err && exits 2 bitcask --log text get missing &&
        err_says "$time error .*missing"
}

log_json() {
    fresh
    mkdir -p place && echo LOG_LEVEL=debug >place/.env &&
        here exits 0 bitcask --log json set a 1 && cp err log && rm place/.env &&
        exits 2 bitcask --log json get missing && cat err >>log &&
        grep -q '"level":"debug"' log && grep -q '"message":"opened"' log &&
        grep -q '"level":"error"' log && ! grep -qv '^{"time":"[0-9-]*T.*Z","level"' log &&
        ! grep -qv '"duration_ms":[0-9]' log || return
    command -v python3 >/dev/null || return 0
    python3 -c 'import json, sys
for line in sys.stdin: json.loads(line)' <log
}

# The tour

tour_twice() {
    fresh
    exits 0 "$tour" --pairs 3000 "$cask" && grep -q 'all are right' "$work/out" &&
        exits 0 "$tour" --pairs 3000 "$cask" && exits 0 "$tour" --pairs 7 "$cask" &&
        exits 0 bitcask get reading/station-0001/2024-01-01T00:00 &&
        exits 64 "$tour" && exits 64 "$tour" --pairs x "$cask" &&
        exits 1 "$tour" --pairs 7 missing/parent && err_says missing
}

check 'set and get give back the bytes, set overwrites' set_and_get
check 'get parts several values by newlines, and a missing key is exit status 2' \
    several_values
check 'set KEY - reads any bytes from standard input' value_from_input
check 'empty values, and keys and values of any bytes' empty_values_and_any_argument
check 'set --if-absent changes nothing that is there' if_absent
check 'keys have 1 to 65535 bytes' key_too_big
check 'options are taken before and behind the command, up to --' options_anywhere
check 'get --json' get_json
check 'delete removes keys, a missing one is exit status 2' delete
check 'delete --print shows the old values' delete_print
check 'delete --print keeps what could not be printed' \
    delete_print_keeps_what_it_cannot_print
check 'exists is silent' exists
check 'list is sorted by bytes' list_is_sorted
check 'list --prefix --from --to --limit --keys-only --json -0' list_selects
check 'list escapes as documented' list_escapes
check 'list | load gives back every byte' list_load_round_trip
check 'list -0 | load -0 gives back every byte but zero' zeros_round_trip
check 'list -0 says what it leaves out' zeros_cannot_hold_zeros
if command -v python3 >/dev/null; then
    check 'JSON is valid and gives back every byte' json_is_valid
else
    echo 'skip  JSON is valid and gives back every byte (no python3)'
fi
check 'load stops at a bad line, and what was before stays' load_stops_at_a_bad_line
check 'load is quiet, and --progress is not' load_is_quiet
check 'load takes many pairs' load_is_fast
check 'load ends well by a signal' load_ends_well_by_a_signal
check 'stat' stat_text
check 'stat --json' stat_json
check 'shell understands the same words, and quotes' shell_words
check 'shell goes on behind a line that fails' shell_goes_on
check 'shell ends with its input, quit or exit' shell_ends
check 'shell answers each line at once; others are locked out, and can read' \
    shell_is_driven_through_pipes
check 'shell ends well by a signal' shell_ends_well_by_a_signal
check 'shell --json' shell_json
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    check 'get ends each value with a newline on a terminal' newline_on_terminal
    check 'shell prompts on a terminal' shell_prompts_on_a_terminal
    check 'load shows progress on a terminal' load_shows_progress_on_a_terminal
else
    echo 'skip  what is different on a terminal (script(1) cannot make one)'
fi
check 'the store is --dir, BITCASK_DIR, FILEPATH, then cask' precedence
check 'wrong .env files are told' env_files_that_are_wrong
check 'no cask is an error, and none is made' no_cask_is_no_missing_key
check 'readers change nothing' readers_change_nothing
check 'many sets leave one data file' many_sets_one_file
check 'sets in a large store leave one data file' sets_in_a_large_store
check 'a damaged value is exit status 65, the others are there' damaged_value
check 'a damaged store is exit status 65' damaged_store
check 'salvage reads what it can, and says that it is not all' salvaged_store
check 'a torn tail is cut with a warning' torn_tail
check 'wrong usage is exit status 64, with a hint' usage_errors
check '--help and --version go to standard output' help_and_version
check 'a closed pipe is quiet' closed_pipe
check 'output that is lost is an error' full_disk_behind_output
check 'closed standard descriptors do no harm' closed_descriptors
if [ "$(id -u)" -ne 0 ]; then
    echo 'skip  no permission is an error (not root, who could make such a directory)'
elif setpriv --reuid=65534 --clear-groups "$tool" --version >/dev/null 2>&1; then
    check 'no permission is an error' no_permission
    check 'a .env that one may not look for is none' no_permission_to_look_for_env
else
    echo 'skip  no permission is an error (setpriv cannot drop root here)'
fi
if [ -x "$tour" ]; then
    check 'bitcask-tour runs twice in a row' tour_twice
else
    echo 'skip  bitcask-tour runs twice in a row (it is not beside bitcask)'
fi
check 'nothing is logged by default' log_is_silent
check 'LOG_LEVEL and --log text write structured lines' log_text
check '--log json writes JSON lines' log_json
if [ "$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)" -gt 6000 ]; then
    check 'a value that is too big is refused' value_too_big
else
    echo 'skip  a value that is too big is refused (not enough memory)'
fi

finish
