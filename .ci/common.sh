# shellcheck shell=sh disable=SC2034 # the variables are for those who source this
# Functions shared by the scripts beside it; sourced by them, not run.

# Nothing here asks, and what the caller's environment says to the tools is put aside.
exec </dev/null
export LC_ALL=C.UTF-8
unset BITCASK_DIR BITCASK_MERGE FILEPATH LOG_LEVEL DESTDIR

packages_build='gcc libc6-dev meson pkg-config
uthash-dev libdeflate-dev libxxhash-dev libjansson-dev'
# g++ to be an embedder in C++, procps and util-linux (setpriv) for the tests' scripts,
# scdoc and groff-base for the manual pages.
packages_test='g++ libcmocka-dev procps util-linux scdoc groff-base'
# The engines that bitcask-bench can measure beside ours (-Dbench-rivals).
packages_rivals='libkyotocabinet-dev libleveldb-dev liblmdb-dev librocksdb-dev
libtkrzw-dev'

say() {
    printf '\n== %s\n' "$*"
}

# install_missing PACKAGE...: with apt, and only what is not there yet.
install_missing() {
    if ! command -v dpkg-query >/dev/null; then
        echo "Not a Debian system; taken to be installed: $*"
        return
    fi

    missing=
    for package; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null |
            grep -qx installed || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0

    if [ "$(id -u)" -ne 0 ]; then
        echo "Missing, and only root can install it: apt-get install$missing" >&2
        return 1
    fi
    say "install$missing"
    export DEBIAN_FRONTEND=noninteractive
    set -- -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0
    apt-get "$@" update || echo 'apt-get update failed; going on with the lists there are'
    # shellcheck disable=SC2086 # a list of words
    apt-get "$@" install -y --no-install-recommends $missing
}

# build DIR OPTION...: set up or refresh the build directory, then compile. One that
# cannot be refreshed (its tree was moved, its compiler went away) is made anew.
build() {
    directory=$1
    shift
    if [ -e "$directory/build.ninja" ]; then
        meson setup --reconfigure "$directory" "$@" || rm -rf "$directory"
    fi
    if [ ! -e "$directory/build.ninja" ]; then
        meson setup "$directory" "$@" || return
    fi
    meson compile -C "$directory"
}

# count_results DIR STATUS: set passed, failed and skipped from what the `meson test`
# there that ended with STATUS left behind. Nothing that ran is a failure, and so is a
# run that was stopped before its end.
count_results() {
    counts=$(python3 - "$1/meson-logs/testlog.json" "$2" <<'EOF'
import json, sys

passed = failed = skipped = 0
try:
    with open(sys.argv[1], encoding='utf-8', errors='replace') as log:
        for line in log:
            result = json.loads(line)['result']
            if result in ('OK', 'EXPECTEDFAIL'):
                passed += 1
            elif result == 'SKIP':
                skipped += 1
            else:
                failed += 1
except (OSError, ValueError, KeyError) as error:
    print(f'{sys.argv[1]}: {error!r}', file=sys.stderr)
    failed += 1
if failed == 0 and (passed == 0 or sys.argv[2] != '0'):
    failed = 1
print(passed, failed, skipped)
EOF
    ) || counts='0 1 0'
    passed=${counts%% *}
    failed=${counts#* }
    failed=${failed% *}
    skipped=${counts##* }
}

# run_tests DIR COMMAND...: COMMAND is `meson test` with its arguments, and perhaps
# something that it runs under. Sets passed, failed and skipped.
run_tests() {
    directory=$1
    shift
    rm -f "$directory/meson-logs/testlog.json"
    status=0
    "$@" -C "$directory" --no-rebuild --print-errorlogs || status=$?
    count_results "$directory" "$status"
}

# The closing line, alone on its line.
summary() {
    printf '\n%d passed, %d failed' "$1" "$2"
    if [ "$3" -gt 0 ]; then
        printf ', %d skipped' "$3"
    fi
    printf '\n'
}
