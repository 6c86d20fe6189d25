#!/bin/sh
# SPDX-License-Identifier: MIT
# merge_measure runs in each mode, and prints its lines; what they say is not looked at.
set -eu

measure=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "$*" >&2
    exit 1
}

# expect COUNT PATTERN: in what was printed.
expect() {
    found=$(grep -c -- "$2" "$work/out" || true)
    [ "$found" -eq "$1" ] || fail "$found lines with '$2' instead of $1"
}

for mode in speed latency amplification memory; do
    "$measure" "$mode" "$work/cask" --quick >"$work/out" || fail "$mode has failed"
    cat "$work/out"
    [ ! -e "$work/cask" ] || fail "$mode has left its cask"
    case $mode in
    speed) expect 2 '^speed: median [0-9]* MB/s of live bytes' ;;
    latency) expect 6 '^latency: [gp][eu]t, .*p99 .*max [0-9]' ;;
    amplification) expect 6 '^amplification: dead_percent .*bound' ;;
    memory) expect 2 '^memory: [18]x, .* MiB more$' ;;
    esac
done

status=0
"$measure" nothing "$work/cask" 2>/dev/null || status=$?
[ "$status" -eq 2 ] || fail "an unknown mode gives $status"
