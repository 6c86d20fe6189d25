#!/bin/sh
# test_bench_tool.sh BITCASK_BENCH
# Every workload with every engine that was built, in small: that they work, not how fast.
set -u
bench=$1
# shellcheck source=checks.sh
. "$(dirname "$0")/checks.sh"
mkdir "$work/stores"
export TMPDIR="$work/stores"

run() {
    timeout 250 "$bench" --keys 2000 --ops 2000 --seconds 0.05 --repeat 2 \
        --json "$work/json" --svg "$work/svg" --markdown "$work/markdown" \
        >"$work/out" 2>"$work/err"
}

names() {
    "$bench" --list | sed -n "/^$1/,/^$2/s/^  \([a-z0-9-]*\) .*/\1/p"
}

# What --list names, but the run has no figures of; merges are no engine's duty.
not_measured() {
    for engine in $(names engines workloads); do
        for workload in $(names workloads nothing); do
            awk -v engine="$engine" -v workload="$workload" '
                /^[a-z]/ { inside = index($0, workload ",") == 1 }
                inside && $1 == engine && $2 != "-" { found = 1 }
                END { exit !found }' "$work/out" || [ "$workload" = merge ] ||
                echo "$workload by $engine"
        done
    done
}

json_is_valid() {
    if ! command -v python3 >/dev/null; then
        echo 'not checked, without python3'
        return 0
    fi
    python3 - "$work/json" <<'END'
import json, sys
report = json.load(open(sys.argv[1]))
for name in "command", "time", "machine", "harness", "engines", "results", "targets":
    assert name in report, name
seen = {(one["engine"], one["workload"]) for one in report["results"]}
assert len(seen) >= 2 * 20 - 2, seen
for one in report["results"]:
    assert len(one["runs"]) == 2, one
    figure = one.get("keys_per_second") or one["ms"]
    assert 0 < figure["min"] <= figure["median"] <= figure["max"], one
    if "p50_ns" in one:
        assert one["p50_ns"]["median"] <= one["max_ns"]["median"], one
END
}

svg_is_xml() {
    if ! command -v python3 >/dev/null; then
        echo 'not checked, without python3'
        return 0
    fi
    python3 -c 'import sys, xml.etree.ElementTree as tree
assert tree.parse(sys.argv[1]).getroot().tag == "{http://www.w3.org/2000/svg}svg"' \
        "$work/svg"
}

# A table whose rows have not as many cells as its head.
uneven_tables() {
    awk -F'|' '!/^\|/ { cells = 0; next }
        cells == 0 { cells = NF }
        cells != NF { print FILENAME ":" FNR ": " $0 }' "$work/markdown"
}

left_behind() {
    ls "$work/stores"
}

# exits STATUS WORDS ARGUMENT...: with that, and saying that.
exits() {
    wanted=$1
    said=$2
    shift 2
    status=0
    timeout 60 "$bench" "$@" >"$work/out" 2>"$work/err" || status=$?
    cat "$work/err"
    [ "$status" -eq "$wanted" ] && grep -qF -- "$said" "$work/err"
}

list_into_nothing() {
    status=0
    "$bench" --list >/dev/full 2>"$work/err" || status=$?
    cat "$work/err"
    [ "$status" -eq 1 ] && grep -q 'standard output' "$work/err"
}

ends_with() {
    "$bench" --keys 50000000 --repeat 1 --workloads fill-random --engines bitcask \
        >"$work/out" 2>"$work/err" &
    bench_process=$!
    sleep 1
    kill -s "$1" "$bench_process"
    status=0
    wait "$bench_process" || status=$?
    echo "status $status"
    cat "$work/err"
    [ "$status" -eq 1 ] && grep -q interrupted "$work/err"
}

said_on_error() {
    cat "$work/err"
}

check 'all workloads run with all engines' run
check_silent 'nothing is wrong with any engine' said_on_error
check_silent 'every engine has figures in every workload' not_measured
check 'the JSON is well-formed and has every run' json_is_valid
check 'the chart is well-formed' svg_is_xml
check_silent 'the tables of the Markdown are even' uneven_tables
check_silent 'no store is left behind' left_behind
check 'an interrupt ends it' ends_with INT
check 'a termination ends it' ends_with TERM
check_silent 'no store is left behind then' left_behind

check 'an unknown engine is named' exits 64 'no engine berkeley:' --engines bitcask,berkeley
check 'an unknown workload is named' exits 64 'no workload gets:' --workloads gets,get
check 'too few keys are refused' exits 64 'not 99' --keys 99
check 'no number is refused' exits 64 '--repeat takes a number' --repeat many
check '--full knows how many keys' exits 64 'there is no --keys' --full --keys 1000
check 'a word too many is refused' exits 64 'nothing to be done with get' get
check 'an unknown option is named' exits 64 'no option --fast' --fast
check 'an option without its argument is named' exits 64 '--keys needs' --keys
check 'a missing directory is named' exits 1 '/nonexistent/' --directory /nonexistent
check 'a file that cannot be written is named, before anything is measured' \
    exits 1 '/nonexistent/json' --keys 50000000 --json /nonexistent/json
check_silent 'no store is left behind by mistakes' left_behind
check 'a list that cannot be written is a failure' list_into_nothing

finish
