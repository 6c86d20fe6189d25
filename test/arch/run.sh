#!/bin/sh
# run.sh ARCHITECTURE [EVERY|quick]
# Build for another architecture of Debian with its cross compiler, and run the tests
# there, and one in EVERY of what each campaign tries: i386 has 32 bits, s390x has the
# bytes of a number the other way round and runs under emulation. `quick` runs only the
# tests of what lies in files and memory. What is missing is installed, if root runs
# this. The last line is `N passed, N failed`; what is skipped is said above it.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=../../.ci/common.sh
. .ci/common.sh

# Tests of encodings, the golden files first, and of what is laid out by size.
quick_tests='golden bytes format format_file manifest manifest_file data_file hint
inspect_hint keydir_find slab segment io_posix put_get batch'

usage() {
    echo 'usage: sh test/arch/run.sh i386|s390x [EVERY|quick]' >&2
    exit 2
}

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    usage
fi
architecture=$1
case $architecture in
i386)
    compiler=i686-linux-gnu-gcc
    emulator=
    every=${2:-20}
    ;;
s390x)
    compiler=s390x-linux-gnu-gcc
    emulator=qemu-s390x
    every=${2:-100}
    ;;
*) usage ;;
esac
case $every in
quick) ;;
'' | *[!0-9]* | 0*) usage ;;
esac
directory=build-$architecture

leave_out() {
    echo "skipped: $architecture: $*"
    exit 77
}

# The libraries are those of the other architecture, but its libc comes to the linker
# with the compiler: the libc6-dev of both would have to be of the same version.
install() {
    packages="gcc-${compiler%-gcc} libc6-dev-$architecture-cross"
    packages="$packages linux-libc-dev-$architecture-cross${emulator:+ qemu-user}"
    for package in libc6 libdeflate-dev libxxhash-dev libjansson-dev libcmocka-dev; do
        packages="$packages $package:$architecture"
    done
    if command -v dpkg >/dev/null && [ "$(id -u)" -eq 0 ] &&
        ! dpkg --print-foreign-architectures | grep -qx "$architecture"; then
        dpkg --add-architecture "$architecture"
    fi
    # shellcheck disable=SC2086 # lists of words
    install_missing $packages_build $packages_test $packages ||
        leave_out "its packages cannot be installed: $packages"
}

# The smallest program there is, to learn whether one runs at all.
try_compiler() {
    echo 'int main(void) { return 0; }' |
        "$compiler" -x c -o "$work/nothing" - || leave_out "$compiler cannot build"
    $emulator "$work/nothing" || leave_out 'its programs do not run here'
}

# compile TARGET...: these, or all.
compile() {
    if [ ! -e "$directory/build.ninja" ]; then
        meson setup "$directory" --cross-file "test/arch/$architecture.ini" \
            -Dwerror=true -Dtests=enabled -Dtools=enabled -Dman-pages=disabled
    fi
    meson compile -C "$directory" "$@"
}

# skip REASON: something that cannot be done here, counted.
skip() {
    echo "skipped: $*"
    skipped=$((skipped + 1))
}

# tests WORD...: those that `meson test` knows by these words. Single tests that left
# themselves out have said `skipped: ...` in its log.
tests() {
    run_tests "$directory" meson test --timeout-multiplier 10 "$@"
    log=$directory/meson-logs/testlog.txt
    grep '^skipped: ' "$log" >"$work/skipped" || true
    cat "$work/skipped"
    skipped=$((skipped + $(wc -l <"$work/skipped")))
    echo "test functions that passed: $(grep -c '^\[       OK \]' "$log" || true)"
}

skip_scripts() {
    skip 'suite system but for its test of whole casks: scripts start programs' \
        'without the emulator'
    skip 'suite public but for its header: it looks at what is the same everywhere'
}

# run_campaign NAME
run_campaign() {
    if timeout 1800 $emulator "$directory/test/campaign/$1_campaign" --every "$every"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}

campaigns() {
    for campaign in crash fault damage doctor; do
        run_campaign "$campaign"
    done
    if [ -z "$emulator" ]; then
        run_campaign process
    else
        skip 'the process campaign: the emulator keeps no limits of memory, and what' \
            'is killed in it is the emulator'
    fi
}

# stage NAME COMMAND...: run one that adds to passed, failed and skipped.
stage() {
    name=$1
    shift
    say "$architecture: $name"
    began=$(date +%s)
    passed=0 failed=0 skipped=0
    "$@"
    echo
    echo "-- $architecture, $name: $passed passed, $failed failed, $skipped skipped," \
        "$(($(date +%s) - began)) s"
    all_passed=$((all_passed + passed))
    all_failed=$((all_failed + failed))
    all_skipped=$((all_skipped + skipped))
}
all_passed=0 all_failed=0 all_skipped=0

# What was stopped before its end is a failure.
finish() {
    status=$?
    rm -rf "$work"
    if [ "$status" -eq 77 ]; then
        exit 77
    fi
    if [ "$status" -ne 0 ]; then
        all_failed=$((all_failed + 1))
    fi
    summary "$all_passed" "$all_failed" "$all_skipped"
    [ "$all_failed" -eq 0 ]
    exit
}

work=$(mktemp -d /dev/shm/bitcask-arch.XXXXXX 2>/dev/null) || work=$(mktemp -d)
trap finish EXIT
trap 'exit 1' HUP INT TERM
install
try_compiler
chmod 1777 "$work" # tests of permissions become somebody else
export TMPDIR="$work"

if [ "$every" = quick ]; then
    targets=
    for test in $quick_tests; do
        targets="$targets test_$test"
    done
    # shellcheck disable=SC2086 # lists of words
    stage build compile $targets
    # shellcheck disable=SC2086
    stage 'the quick tests' tests $quick_tests
else
    stage build compile
    if [ -z "$emulator" ]; then
        # Those of suite packaging build the tree again, for this machine.
        stage 'the tests' tests --no-suite packaging --no-suite campaign
    else
        stage 'the unit tests' tests --suite unit
        stage 'whole casks' tests model header
        stage 'the other tests' skip_scripts
    fi
    stage "the campaigns, one in $every" campaigns
fi
