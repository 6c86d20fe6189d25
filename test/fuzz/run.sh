#!/bin/sh
# run.sh [--long] [--seconds N] [--seed N] [--build DIRECTORY] [TARGET...]
# Build the fuzzing targets with clang, AddressSanitizer and UndefinedBehaviorSanitizer,
# and run each (or those named) for some seconds, from the corpus in the tree.
#
#     --long       five minutes each, instead of three seconds
#     --seconds N  so many
#     --seed N     of libFuzzer's chance; without it 1, or with --long the clock
#     --build DIR  where to build, and where what is found goes; build-fuzz without it
#
# What is found lies in DIR/findings/TARGET-*. Done again by itself, also without clang:
#
#     DIR/test/fuzz/fuzz_TARGET FILE        build-dev/test/fuzz/fuzz_replay_TARGET FILE
#
# With --long new inputs that reach more code are kept in DIR/corpus/TARGET, and are begun
# with the next time. Ends with a plain line; 77 where there is no clang.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
all_targets='data directory dotenv hint load manifest operations shell'
build=$root/build-fuzz seconds='' seed='' long=''
while [ $# -gt 0 ]; do
    case $1 in
    --long)
        long=yes
        shift
        ;;
    --seconds | --seed | --build)
        [ $# -ge 2 ] || {
            echo "$1 wants a word behind it" >&2
            exit 64
        }
        case $1 in
        --seconds) seconds=$2 ;;
        --seed) seed=$2 ;;
        --build) build=$2 ;;
        esac
        shift 2
        ;;
    -*)
        sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p;}' "$0" >&2
        exit 64
        ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || {
    # shellcheck disable=SC2086 # a list of words
    set -- $all_targets
}
: "${seconds:=$([ "$long" ] && echo 300 || echo 3)}"
: "${seed:=$([ "$long" ] && date +%s || echo 1)}"
echo "seed $seed"

compiler=$(command -v clang-14 || command -v clang) || {
    echo 'fuzz: skipped: there is no clang'
    exit 77
}
if [ ! -e "$build/build.ninja" ]; then
    CC=$compiler meson setup "$build" "$root" -Dfuzzers=enabled -Dtests=enabled \
        -Dtools=enabled -Dman-pages=disabled -Db_sanitize=address,undefined \
        -Db_lundef=false -Ddefault_library=static -Dwerror=true >/dev/null
fi
ninja -C "$build" --quiet fuzzers
mkdir -p "$build/findings"

# The longest input of each: what is larger is seldom worth its time.
length_of() {
    case $1 in
    directory) echo 12000 ;;
    data) echo 6000 ;;
    operations) echo 400 ;;
    *) echo 1500 ;;
    esac
}

# No allocation of the library is to be of a size that the file alone has said.
export ASAN_OPTIONS="abort_on_error=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1:${UBSAN_OPTIONS:-}"
passed=0 failed=0
for target; do
    mkdir -p "$build/corpus/$target"
    if [ -z "$long" ]; then
        # What an earlier run kept would make this one depend on it.
        rm -rf "$build/corpus/$target"
        mkdir "$build/corpus/$target"
    fi
    golden=
    case $target in
    data | hint | manifest) golden=$root/test/golden/v1 ;;
    esac
    status=0
    "$build/test/fuzz/fuzz_$target" -seed="$seed" -max_total_time="$seconds" \
        -timeout=20 -rss_limit_mb=2048 -entropic=0 \
        -max_len="$(length_of "$target")" \
        -artifact_prefix="$build/findings/$target-" -print_final_stats=1 \
        "$build/corpus/$target" "$root/test/fuzz/corpus/$target" \
        ${golden:+"$golden"} \
        >"$build/findings/$target.log" 2>&1 || status=$?
    inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' \
        "$build/findings/$target.log")
    if [ "$status" -eq 0 ] && [ "${inputs:-0}" -gt 0 ]; then
        passed=$((passed + 1))
        echo "$target: $inputs inputs"
    else
        failed=$((failed + 1))
        echo "FAILED: $target, status $status:"
        grep -aE 'not so:|ERROR:|runtime error|Test unit written' \
            "$build/findings/$target.log" || tail -n 20 "$build/findings/$target.log"
    fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
