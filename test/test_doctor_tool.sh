#!/bin/sh
# test_doctor_tool.sh BITCASK
# From the command line: what a store says of itself, and what is said when it is not
# whole: stat.
set -u
tool=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
# shellcheck source=checks.sh
. "$(dirname "$0")/checks.sh"
# shellcheck source=tool_checks.sh
. "$(dirname "$0")/tool_checks.sh"

# pairs FIRST LAST ROUND: such keys with values of about 1,000 bytes.
pairs() {
    awk -v first="$1" -v last="$2" -v round="$3" 'BEGIN {
        for (i = first; i <= last; i++)
            printf "key-%06d\tvalue-%d-%0980d\n", i, round, i
    }' </dev/null
}

# One file, half of 6 MB dead.
make_garbage() {
    fresh
    pairs 1 3000 1 >half && pairs 1 3000 2 >>half && bitcask load --no-merge <half
}

out_says() {
    grep -q -e "$1" out || {
        echo "nothing about '$1' in:"
        cat out
        return 1
    }
}

# stat

stat_says_that_a_merge_is_due() {
    make_garbage && exits 0 bitcask stat && err_is_empty &&
        out_says '^merge  *due: 50 % of 5\.9 MiB are dead; .*50 % of more than 5\.0 MiB' &&
        out_says '^memory  *[0-9.]* [KM]iB  *[0-9,]*$' &&
        out_says '  50\.0    50\.0 .* yes  enough of it is dead$' &&
        exits 0 bitcask stat --json && out_says '"merge_due":true,' &&
        out_says '"merge_trigger_size":5242880,' && out_says '"merge_dead_percent":50,' &&
        out_says '"merge_taken":true,"merge_reason":"dead",' &&
        out_says '"keydir_size":[1-9][0-9][0-9][0-9][0-9][0-9]' || return
    echo stat | bitcask shell --no-merge >out && out_says '^merge  *due: 50 %'
}

stat_says_that_none_is_due() {
    make_garbage && pairs 3001 3200 1 | bitcask load --no-merge && exits 0 bitcask stat &&
        out_says '^merge  *not due: 48 % of 6\.1 MiB are dead, and it is from 50 % on$' ||
        return
    fresh
    bitcask set a 1 && bitcask set a 2 && exits 0 bitcask stat &&
        out_says '^merge  *not due: the data files have 1[0-9][0-9] bytes, .* 5\.0 MiB$' &&
        exits 0 bitcask stat --json && out_says '"merge_due":false,'
}

stat_shows_torn_tails() {
    fresh
    bitcask set a 1 && printf junk >>"$cask/0000000001.data" && exits 0 bitcask stat &&
        out_says '^torn bytes  *4 bytes ' &&
        out_says '^0000000001\.data, offset [0-9]*: 4 bytes behind'
}

check 'stat says that a merge is due, and why' stat_says_that_a_merge_is_due
check 'stat says why none is due' stat_says_that_none_is_due
check 'stat shows what is torn, and where' stat_shows_torn_tails
finish
