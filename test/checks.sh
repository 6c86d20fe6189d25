# shellcheck shell=sh
# For the test scripts beside it: count checks, keep a directory to work in.
# Sourced by them, not run.

exec </dev/null
export LC_ALL=C.UTF-8
unset BITCASK_DIR BITCASK_MERGE FILEPATH LOG_LEVEL DESTDIR
: "${CC:=cc}"

passed=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

skip() {
    echo "skipped: $*"
    exit 77
}

# check SENTENCE COMMAND...: passes if COMMAND does; what it said is shown if not.
check() {
    sentence=$1
    shift
    if "$@" >"$work/check.log" 2>&1; then
        echo "ok    $sentence"
        passed=$((passed + 1))
    else
        echo "FAIL  $sentence"
        sed 's/^/      /' "$work/check.log"
        failed=$((failed + 1))
    fi
}

# The same, but what COMMAND prints is what is wrong: it passes if that is nothing.
check_silent() {
    sentence=$1
    shift
    check "$sentence" is_silent "$@"
}

is_silent() {
    said=$("$@" 2>&1) || true
    [ -z "$said" ] || {
        echo "$said"
        return 1
    }
}

# copy_sources FROM TO: the tree without what was built in it or fetched for it.
copy_sources() {
    mkdir -p "$2"
    (cd "$1" && tar -cf - --exclude='./build*' --exclude=./.git --exclude=./cask \
        --exclude='./subprojects/*-[0-9]*' --exclude=./subprojects/packagecache .) |
        (cd "$2" && tar -xf -)
}

finish() {
    echo
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}
