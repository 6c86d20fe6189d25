#!/bin/sh
# test_campaigns.sh SOURCE_ROOT BUILD_ROOT
# The campaigns can be run as docs/testing.md says, on a small share of each here: what
# they find is for their own tests.
set -eu
source_root=$1
campaigns=$(cd "$2/test/campaign" && pwd)
# shellcheck source=checks.sh
. "$source_root/test/checks.sh"

run() {
    name=$1
    shift
    "$campaigns/${name}_campaign" "$@"
}

ends_with_a_plain_line() {
    run "$1" --every 50 --seed 7 >"$work/out" 2>"$work/progress" || return
    head -n 1 "$work/out" | grep -qx "$1 campaign, short mode, seed 7, one in 50"
    tail -n 1 "$work/out" | grep -Eqx "$1: [1-9][0-9]* passed, 0 failed"
}

# Apart from the time that it took.
is_the_same_again() {
    run "$1" --every 100 --seed 8 2>/dev/null | grep -v '^seconds: ' >"$work/first"
    run "$1" --every 100 --seed 8 2>/dev/null | grep -v '^seconds: ' >"$work/second"
    cmp "$work/first" "$work/second"
}

refuses() {
    if run "$@" >/dev/null 2>"$work/usage"; then
        return 1
    fi
}

has_its_chapter() {
    grep -qx "## The $1 campaign" "$source_root/docs/testing.md"
}

for name in crash fault damage doctor process threads; do
    check "$name: ends with a plain line" ends_with_a_plain_line "$name"
    check "$name: refuses words it does not know" refuses "$name" --nonsense
    check "$name: says so when a replay tries nothing" refuses "$name" --replay nonsense
    check "$name: has its chapter in docs/testing.md" has_its_chapter "$name"
done
for name in crash damage doctor; do
    check "$name: does the same with the same seed" is_the_same_again "$name"
done

finish
