#!/bin/sh
# coverage.sh [--all] [BUILD]: how much of the library the tests run, and the gate. Needs
# gcovr.
#
# Builds with counters in BUILD (build-coverage), without assertions, whose other branch no
# test takes, runs the unit tests, those of whole programs, and a tenth of those campaigns
# whose processes live to write their counters (with --all the whole of these), and has
# gcovr count. What is missing is in BUILD/coverage.txt, line by line in
# BUILD/coverage.html. Fails if a test does, if less is run than the gate asks for, or if
# README.md promises more than was measured.
set -eu
cd "$(dirname "$0")/.."

lines_min=95
branches_min=90
every=10

if [ "${1-}" = --all ]; then
    every=1
    shift
fi
build=${1-build-coverage}

if [ ! -e "$build/build.ninja" ]; then
    meson setup "$build" -Dbuildtype=debug -Db_coverage=true -Db_ndebug=true \
        -Dtests=enabled -Dtools=enabled
fi
meson compile -C "$build"
find "$build" -name '*.gcda' -delete

status=0
meson test -C "$build" --no-rebuild --print-errorlogs --suite unit --suite system --timeout-multiplier 8 ||
    status=1
for campaign in crash damage doctor threads; do
    "$build/test/campaign/${campaign}_campaign" --every "$every" || status=1
done

# What is inside the macros of uthash is not ours to cover.
gcovr --root . --object-directory "$build" --filter 'bitcask/' --filter 'hint/' \
    --exclude-unreachable-branches --exclude-branches-by-pattern '.*HASH_[A-Z_]+\(' \
    --json-summary "$build/coverage.json" --json-summary-pretty \
    --txt "$build/coverage.txt" --html-details "$build/coverage.html" "$build"

python3 - "$build/coverage.json" "$lines_min" "$branches_min" <<'EOF' || status=1
import json, re, sys

with open(sys.argv[1], encoding='utf-8') as file:
    summary = json.load(file)
measured = [summary['line_percent'], summary['branch_percent']]
wanted = [float(sys.argv[2]), float(sys.argv[3])]
with open('README.md', encoding='utf-8') as file:
    told = re.search(r'([0-9.]+) % of its lines and ([0-9.]+) % of its branches',
                     re.sub(r'\s+', ' ', file.read()))

failed = 0
for name, is_now, least in zip(('lines', 'branches'), measured, wanted):
    print(f'coverage: {is_now:.1f} % of {name}, the gate asks for {least:g} %')
    failed += is_now < least
if told is None:
    print('coverage: README.md does not tell it')
    failed += 1
else:
    for name, is_now, promised in zip(('lines', 'branches'), measured, told.groups()):
        if float(promised) > is_now + 0.25:
            print(f'coverage: README.md promises {promised} % of {name}')
            failed += 1
sys.exit(failed > 0)
EOF
exit "$status"
