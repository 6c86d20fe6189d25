#!/bin/sh
# test_merge_tool.sh BITCASK BITCASK_MERGE
# Merging from the command line: by `bitcask merge` and bitcask-merge, and by itself at
# the end of the commands that write.
set -u
tool=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
merge_tool=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
# shellcheck source=checks.sh
. "$(dirname "$0")/checks.sh"
# shellcheck source=tool_checks.sh
. "$(dirname "$0")/tool_checks.sh"

merger() {
    timeout 60 "$merge_tool" "$@"
}

# put FIRST LAST: set them, each time to other values, with no merge at the end.
round=0
put() {
    round=$((round + 1))
    pairs "$1" "$2" "$round" >pairs-now
    bitcask load --no-merge <pairs-now
}

# One file, two thirds of 3 MB dead.
make_garbage() {
    fresh
    put 1 1000 && put 1 1000 && put 1 1000 && bitcask list >before
}

# Three files: the first nearly all live, the second nearly all dead, the third live.
make_files() {
    fresh
    put 1 1000 && bitcask merge --all >/dev/null &&
        put 1001 2000 && bitcask merge --file "$(newest)" >/dev/null &&
        put 950 1900 && bitcask list >before
}

# Two files of small pairs: the newer has tombstones of what is in the older, and garbage.
make_tombstones() {
    fresh
    awk 'BEGIN { for (i = 1; i <= 6000; i++) printf "k%d\t%d\n", i, i }' >small
    bitcask load <small && bitcask merge --all >/dev/null || return
    # shellcheck disable=SC2046
    bitcask delete $(head -n 2000 small | cut -f 1) && tail -n 1000 small | bitcask load &&
        tail -n 500 small | bitcask load && bitcask list >before
}

# The ids of the data files, a line each; the lowest; the highest.
file_ids() {
    for file in "$cask"/*.data; do
        basename "$file" .data
    done
}

oldest() {
    file_ids | head -n 1
}

newest() {
    file_ids | tail -n 1
}

data_size() {
    cat "$cask"/*.data | wc -c
}

same_pairs() {
    bitcask list >after && cmp before after
}

# number_of NAME: the number called so in the JSON of `out`, the first one.
number_of() {
    grep -o "\"$1\":[0-9]*" out | head -n 1 | sed 's/.*://'
}

json_is_valid() {
    command -v python3 >/dev/null || return 0
    python3 -c 'import json, sys
for line in sys.stdin: json.loads(line)' <"$1"
}

# The data files have no more than $1 bytes now.
shrunk_to() {
    [ "$(data_size)" -le "$1" ] || {
        echo "$(data_size) bytes"
        ls -l "$cask"
        return 1
    }
}

# By call

gives_space_back() {
    make_garbage && exits 0 bitcask merge && err_is_empty && shrunk_to 1100000 &&
        same_pairs && out_says '^files  *1 replaced, 1 written$' &&
        out_says '^before  *2\.. MiB  *3,[0-9][0-9][0-9],[0-9][0-9][0-9]$' &&
        out_says '^after ' && out_says '^given back ' &&
        out_says '^records  *3,000 before, 1,000 after$' &&
        out_says '^tombstones  *0 dropped, 0 kept$' && out_says '^time  *[0-9.]* s' &&
        exits 0 bitcask merge && out_says '^nothing to merge: 0 % of '
}

finds_the_store() {
    for words in 'bitcask merge' 'merger --dir @' 'merger @' 'merger -- @' \
        "$tool merge @" "env BITCASK_DIR=@ $merge_tool" "env FILEPATH=@ $merge_tool"; do
        make_garbage || return
        # shellcheck disable=SC2046
        exits 0 $(echo "$words" | sed "s,@,$cask,") && shrunk_to 1100000 || return
    done
    exits 1 merger "$work/nothing" && err_says "^bitcask-merge: there is no cask at" &&
        [ ! -e "$work/nothing" ] && exits 1 bitcask merge --dir "$work/nothing"
}

says_that_there_is_nothing() {
    fresh
    put 1 10 && put 1 4 && exits 0 bitcask merge && err_is_empty &&
        out_says '^nothing to merge: 2[0-9] % of 1[0-9]\.. KiB are dead, a file is taken' &&
        out_says ' taken from 50 %; --all takes every one$' &&
        [ "$(wc -l <out)" -eq 1 ] && exits 0 bitcask merge --dead-percent 40 &&
        out_says 'from 40 %' && exits 0 bitcask merge --json &&
        out_says '"result":"nothing"' &&
        exits 0 bitcask merge --dry-run && out_says '^nothing to merge' || return
    fresh
    exits 0 bitcask load </dev/null && exits 0 bitcask merge &&
        out_says '^nothing to merge' && exits 0 bitcask merge --all && err_is_empty
}

dead_percent() {
    fresh
    put 1 1000 && put 1 400 && bitcask list >before && exits 0 bitcask merge &&
        out_says '^nothing' && exits 0 bitcask merge --dead-percent 25 && same_pairs &&
        shrunk_to 1100000 && out_says '^files  *1 replaced'
}

all_leaves_nothing_dead() {
    make_files && bitcask delete key-000001 key-000700 key-001700 >/dev/null &&
        bitcask list >before && exits 0 bitcask merge --all && same_pairs &&
        exits 0 bitcask stat --json && [ "$(number_of dead_size)" -eq 0 ] &&
        ! grep -q '"tombstone_count":[1-9]' out && shrunk_to 2100000 &&
        exits 2 bitcask get key-000001 && exits 0 bitcask merge --all && same_pairs
}

# The number of tombstones that a merge reports is that of what is gone.
all_drops_tombstones() {
    fresh
    put 1 1000 && bitcask merge --all >/dev/null || return
    # shellcheck disable=SC2046
    bitcask delete --no-merge $(cut -f 1 pairs-now | head -n 900) || return
    bitcask list >before && exits 0 bitcask merge --all && shrunk_to 110000 &&
        out_says '^tombstones  *900 dropped, 0 kept$' && same_pairs
}

tombstones_alone_leave_nothing() {
    fresh
    put 1 50 || return
    # shellcheck disable=SC2046
    bitcask delete --no-merge $(cut -f 1 pairs-now) || return
    exits 0 bitcask merge --all && shrunk_to 1000 && exits 0 bitcask list && out_is ''
}

only_files_that_are_named() {
    make_files && [ "$(file_ids | wc -l)" -eq 3 ] || return
    first=$(oldest)
    exits 0 bitcask merge --json --explain --file "$first" &&
        [ "$(number_of input_count)" -eq 1 ] && out_says '"reason":"asked"' &&
        out_says '"reason":"left_unasked"' && [ ! -e "$cask/$first.data" ] && same_pairs &&
        exits 0 bitcask merge --json --file "$(oldest)" --file "$(newest)" &&
        [ "$(number_of input_count)" -eq 2 ] && same_pairs &&
        exits 1 bitcask merge --file 987654 && err_says 987654 && out_is '' && same_pairs
}

# What a dry run promises with these options is what a merge then gives back.
promise_is_kept() {
    checksums >sums && size=$(data_size) &&
        exits 0 bitcask merge --dry-run --json --explain "$@" || return
    promised=$(number_of freed_size)
    kept=$(number_of tombstone_kept_count)
    summed=$(grep -o '"freed_size":[0-9]*,"taken":true' out |
        awk -F '[:,]' '{ sum += $2 } END { print sum + 0 }')
    checksums | cmp - sums && exits 0 bitcask merge --json "$@" || return
    given=$((size - $(data_size)))
    reported=$(number_of freed_size)
    echo "promised $promised, by file $summed, reported $reported, given back $given"
    near "$promised" "$given" && near "$summed" "$given" && near "$reported" "$given" &&
        [ "$(number_of tombstone_kept_count)" -eq "$kept" ] && same_pairs
}

dry_run_is_right() {
    make_files && promise_is_kept && make_files && promise_is_kept --all &&
        make_files && promise_is_kept --dead-percent 3 || return
    make_tombstones && promise_is_kept --file "$(newest)" && [ "$kept" -eq 2000 ] &&
        make_tombstones && promise_is_kept --dead-percent 30 &&
        make_tombstones && promise_is_kept --all && [ "$kept" -eq 0 ]
}

# near ONE OTHER: not more than 2 % apart
near() {
    [ "$2" -gt 0 ] && [ $((100 * ($1 > $2 ? $1 - $2 : $2 - $1))) -le $((2 * $2)) ]
}

explains() {
    make_files && checksums >sums && exits 0 bitcask merge --dry-run --explain &&
        err_is_empty &&
        out_says '^ *file  *bytes  *dead %  *come back  *taken  *why$' &&
        [ "$(grep -Ec '^ *[0-9]+ +[0-9,]+ +[0-9.]+ +[-0-9,]+ +(yes|no) ' out)" -eq 3 ] &&
        out_says ' yes  ' && out_says ' no  ' && out_says '(it is being written)$' &&
        out_says '^ in all .* of 3 data files; .* of .* come back, and' &&
        out_says '^nothing is changed; a merge would do this:$' &&
        checksums | cmp - sums && exits 0 bitcask merge --explain &&
        out_says '^ in all ' && out_says '^time ' && same_pairs
}

json_report() {
    make_files && exits 0 bitcask merge --dry-run --explain --json && cp out json &&
        out_says '"dry_run":true' && [ "$(wc -l <out)" -eq 1 ] &&
        [ "$(grep -o '"why":"[a-z]' out | wc -l)" -eq 3 ] &&
        exits 0 merger "$cask" --json && cat out >>json && err_is_empty &&
        out_says '"result":"done"' && out_says "\"directory\":\"$cask\"" &&
        out_says '"choice":"policy"' && out_says '"elapsed_ms":' &&
        out_says '"output_size":' &&
        exits 0 bitcask merge --json && cat out >>json && out_says '"result":"nothing"' &&
        exits 0 bitcask merge --all --json && cat out >>json &&
        out_says '"choice":"all"' &&
        exits 1 bitcask merge --file 987654 --json && cat out >>json &&
        out_says '"result":"failed"' && out_says '"problem":"' && json_is_valid json
}

rate_is_kept() {
    make_garbage || return
    began=$(date +%s%N)
    exits 0 bitcask merge --rate 2048k && same_pairs || return
    took=$((($(date +%s%N) - began) / 1000000))
    echo "$took ms"
    # 2.9 MiB are read; the first of them at once, perhaps.
    [ "$took" -ge 900 ] && [ "$took" -lt 20000 ] && make_garbage || return
    began=$(date +%s%N)
    exits 0 bitcask merge --rate 1T &&
        [ $((($(date +%s%N) - began) / 1000000)) -lt 10000 ]
}

progress_is_shown() {
    make_garbage && exits 0 bitcask merge && err_is_empty || return
    make_garbage && exits 0 bitcask merge --progress &&
        err_says '^\[#*\] 100 %  2\.. of 2\.. MiB, [0-9.]* MiB/s$' || return
    make_garbage && exits 0 bitcask merge --progress --log json && ! grep -q '#' err &&
        err_says '"message":"merged"' && json_is_valid err
}

progress_on_a_terminal() {
    make_garbage && on_terminal "$merge_tool $cask" && out_says '\[#*\] 100 %' &&
        out_says '^given back' && same_pairs
}

# The lock

merge_beside_a_writer() {
    exits 75 merger "$cask" && out_is '' && err_says "$pid" &&
        exits 75 bitcask merge --json --all &&
        exits 0 bitcask merge --dry-run --explain && out_says ' yes  '
}

says_who_has_it() {
    make_garbage && beside_writer merge_beside_a_writer && exits 0 merger "$cask"
}

readers_go_on() {
    make_garbage || return
    "$merge_tool" --rate 1M "$cask" >slow.out 2>&1 &
    pid=$!
    result=0
    for try in 1 2 3 4 5 6 7 8; do
        same_pairs || result=$try
    done
    exits 75 bitcask set a 1 && err_says "$pid" || result=75
    wait "$pid" && [ "$result" -eq 0 ] && same_pairs && shrunk_to 1100000
}

# Interrupts

by_signal() {
    # At this rate it takes most of a minute.
    for signal in INT TERM HUP; do
        make_garbage && signalled "$signal" ' %  ' "$merge_tool" --rate 64k --progress "$cask" ||
            return
        [ "$status" -gt 128 ] && [ "$(kill -l "$status")" = "$signal" ] &&
            err_says 'ended by a signal' && same_pairs && [ "$took_ms" -lt 5000 ] &&
            exits 0 merger "$cask" && err_is_empty && shrunk_to 1100000 &&
            same_pairs || return
    done
    make_garbage &&
        signalled INT ' %  ' "$merge_tool" --rate 64k --progress --json "$cask" &&
        [ "$status" -eq 130 ] && out_says '"result":"stopped"' && json_is_valid out
}

by_kill() {
    make_files || return
    for after in 0.02 0.05 0.1 0.2 0.3 0.5 0.7 0.9; do
        timeout -s KILL "$after" "$merge_tool" --all --rate 4M "$cask" >/dev/null 2>&1
        same_pairs || return
    done
    exits 0 merger --all "$cask" && same_pairs && shrunk_to 2100000 &&
        exits 0 bitcask stat --json && [ "$(number_of dead_size)" -eq 0 ]
}

# Damage

damaged_file_stays() {
    make_files && damage "$(sed -n 's/^key-000500.//p' before)" || return
    bitcask list --keys-only >keys
    first=$(oldest)
    exits 65 bitcask merge --all && err_says "$first" && [ -e "$cask/$first.data" ] &&
        [ "$(file_ids | wc -l)" -lt 3 ] && bitcask list --keys-only | cmp - keys &&
        exits 65 bitcask get key-000500 && exits 0 bitcask get key-000501 key-001999 &&
        exits 65 bitcask merge --all --json && out_says '"result":"failed"' &&
        out_says '"problem":".*'"$first"
}

# At the end of commands that write

# One file of 6 MB, two thirds of it dead.
make_large_garbage() {
    fresh
    put 1 2000 && put 1 2000 && put 1 2000 && bitcask set --no-merge a 1 &&
        bitcask list >before && [ "$(data_size)" -gt 5242880 ]
}

set_gives_space_back() {
    make_large_garbage && exits 0 bitcask set a 1 && err_is_empty && out_is '' &&
        same_pairs && shrunk_to 2200000
}

delete_gives_space_back() {
    make_large_garbage && exits 0 bitcask delete --print a && out_is 1 && err_is_empty &&
        grep -v '^a' before >rest && mv rest before && same_pairs &&
        shrunk_to 2200000 || return
    # Also when there was no such key: who asks is the one who waits.
    make_large_garbage && exits 2 bitcask delete missing && same_pairs &&
        shrunk_to 2200000
}

load_gives_space_back() {
    make_large_garbage && printf 'a\t1\n' >pair && exits 0 bitcask load <pair &&
        err_is_empty && same_pairs && shrunk_to 2200000
}

shell_gives_space_back() {
    make_large_garbage && echo 'set a 1' >script && exits 0 bitcask shell <script &&
        err_is_empty && same_pairs && shrunk_to 2200000
}

readers_do_not_merge() {
    make_large_garbage && checksums >sums && bitcask get a >/dev/null &&
        bitcask list >/dev/null &&
        bitcask stat >/dev/null && checksums | cmp - sums
}

can_be_switched_off() {
    make_large_garbage && size=$(data_size) && exits 0 bitcask set a 1 --no-merge &&
        exits 0 env BITCASK_MERGE=off "$tool" --dir "$cask" set a 1 &&
        exits 0 env BITCASK_MERGE=off "$tool" --dir "$cask" load <pairs-now &&
        exits 0 bitcask delete --no-merge a && echo 'set a 1' >script &&
        exits 0 bitcask shell --no-merge <script && echo BITCASK_MERGE=off >off.env &&
        exits 0 bitcask --env-file off.env set a 1 && [ "$(data_size)" -gt "$size" ] &&
        exits 64 env BITCASK_MERGE=never "$tool" --dir "$cask" set a 1 &&
        err_says 'auto or off' &&
        exits 0 env BITCASK_MERGE=auto "$tool" --dir "$cask" set a 1 && shrunk_to 2200000
}

says_so_in_the_log() {
    make_large_garbage && exits 0 bitcask --log json set a 1 && json_is_valid err &&
        err_says '"level":"info","message":"merged",.*"freed_size":[1-9]' || return
    make_large_garbage && exits 0 env LOG_LEVEL=warn "$tool" --dir "$cask" set a 1 &&
        err_is_empty &&
        shrunk_to 2200000 && exits 0 bitcask --log json set a 1 && ! grep -q merged err
}

# Below 5 MiB, or half of it live: nothing is moved.
waits_until_it_is_due() {
    make_garbage && size=$(data_size) && exits 0 bitcask set a 1 &&
        [ "$(data_size)" -gt "$size" ] && fresh && put 1 5400 && put 1 2000 &&
        size=$(data_size) && exits 0 bitcask set a 1 && [ "$(data_size)" -gt "$size" ]
}

# Sets alone, one value of 400 kB over and over: never more than what is allowed.
sets_stay_small() {
    fresh
    head -c 400000 /dev/zero >value
    i=0
    while [ "$i" -lt 60 ]; do
        bitcask set "key-$((i % 3))" - <value && shrunk_to 6500000 || return
        i=$((i + 1))
    done
}

# The value that is set is what counts: that a merge fails is only said.
failure_is_a_warning() {
    make_large_garbage &&
        damage "$(sed -n 's/^key-001500.//p' before)" && exits 0 bitcask set b 2 &&
        err_says '^bitcask: warning: .*nothing is lost' && exits 0 bitcask get b &&
        out_is 2 &&
        exits 0 bitcask --no-merge set b 3 && err_is_empty
}

# The rest

shell_merges() {
    make_garbage || return
    cat >script <<END
set a 1
merge --dry-run --json
merge --json --all
merge $cask
merge --dead-percent 10
merge --all --file 1
get a
stat --json
END
    exits 64 bitcask --no-merge shell <script && err_says 'line 4: .*shell' &&
        err_says 'line 5: .*dead-percent' && err_says 'line 6: ' &&
        [ "$(grep -c '"freed_size":2' out)" -eq 2 ] && out_says '^1$' &&
        out_says '"merge_count":1,' && out_says '"merge_freed_size":2[0-9]*,' || return
    printf 'merge --all\nstat\n' >script && exits 0 bitcask shell <script &&
        out_says '^merges  *1$'
}

stat_shows_it() {
    make_garbage && exits 0 bitcask stat --json && for name in appended_size merge_count \
        merge_copied_size merge_freed_size merge_failure retired_count retired_size \
        tombstone_size purged_sequence; do
        out_says "\"$name\":[0-9]" || return
    done
}

wrong_usage() {
    fresh
    put 1 2 || return
    for words in 'a b' '--rate' '--rate 0' '--rate 1x' '--rate -1' '--file' '--file x' \
        '--dead-percent 0' '--dead-percent 101' '--dead-percent x' '--all --file 1' \
        '--all --dead-percent 10' '--nonsense' '--prefix a' '--sync none' '--salvage' \
        '--no-merge' '--json=x' "--dir $cask $cask"; do
        # shellcheck disable=SC2086
        exits 64 "$merge_tool" $words && out_is '' && err_says '^bitcask-merge: ' &&
            exits 64 "$tool" merge $words && out_is '' && err_says '^bitcask: ' || return
    done
    exits 64 "$merge_tool" '' && exits 64 "$tool" get --all a &&
        exits 64 "$tool" list --no-merge
}

help_and_version() {
    exits 0 "$merge_tool" --help &&
        out_says '^usage: bitcask-merge \[OPTION\]... \[DIR\]$' &&
        err_is_empty && cp out own && exits 0 "$tool" merge --help &&
        out_says '^usage: bitcask merge \[OPTION\]... \[DIR\]$' &&
        tail -n +2 own >own-rest &&
        tail -n +2 out | cmp - own-rest && exits 0 "$merge_tool" --version &&
        out_says '^bitcask-merge [0-9]' && exits 0 "$tool" --help &&
        out_says '^  merge ' &&
        out_says BITCASK_MERGE || return
    for option in dry-run explain all file rate dead-percent json progress; do
        grep -q "^  --$option" own || return
    done
}

lost_output_is_an_error() {
    make_garbage && status=0 || return
    merger "$cask" >/dev/full 2>err || status=$?
    [ "$status" -eq 1 ] && err_says 'No space left' && same_pairs && shrunk_to 1100000
}

check 'merge gives space back, says how much, and keeps every pair' gives_space_back
check 'the store is DIR, --dir DIR, or that of every command' finds_the_store
check 'where there is nothing to do it says why' says_that_there_is_nothing
check '--dead-percent' dead_percent
check '--all leaves nothing dead, on every file' all_leaves_nothing_dead
check '--all drops the tombstones' all_drops_tombstones
check '--all leaves nothing where all is deleted' tombstones_alone_leave_nothing
check '--file takes the files that are named' only_files_that_are_named
check '--dry-run changes nothing, and is right within 2 %' dry_run_is_right
check '--explain tells of each file' explains
check '--json' json_report
check '--rate is kept' rate_is_kept
check 'progress is shown when it is asked for' progress_is_shown
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    check 'progress is shown on a terminal' progress_on_a_terminal
else
    echo 'skip  progress is shown on a terminal (script(1) cannot make one)'
fi
check 'a store that another writes is exit status 75, and says who' says_who_has_it
check 'readers go on meanwhile, writers are told' readers_go_on
check 'a signal ends it well, and the next run goes on' by_signal
check 'kill -9 loses nothing, and the next run goes on' by_kill
check 'a damaged file stays, is named, and the others are merged' damaged_file_stays
check 'set gives space back at its end' set_gives_space_back
check 'delete gives space back at its end' delete_gives_space_back
check 'load gives space back at its end' load_gives_space_back
check 'shell gives space back at its end' shell_gives_space_back
check 'commands that read do not' readers_do_not_merge
check '--no-merge and BITCASK_MERGE=off' can_be_switched_off
check 'the log tells of it' says_so_in_the_log
check 'it waits until it is due' waits_until_it_is_due
check 'a store that is only set stays small' sets_stay_small
check 'a merge that fails does not fail the command' failure_is_a_warning
check 'the shell has merge too' shell_merges
check 'stat --json has the numbers of merges' stat_shows_it
check 'wrong usage is exit status 64, with a hint' wrong_usage
check '--help and --version' help_and_version
check 'output that is lost is an error' lost_output_is_an_error

finish
