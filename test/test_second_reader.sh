#!/bin/sh
# test_second_reader.sh SOURCE_ROOT BUILD_ROOT TOOL
# What another reader of the format finds in a cask is what the library finds.
set -eu
if ! command -v python3 >/dev/null; then
    echo 'skipped: without python3'
    exit 77
fi
export PYTHONDONTWRITEBYTECODE=1 # nothing is left in the source tree
exec python3 "$1/test/test_second_reader.py" "$3" "$1/test/golden" "$2/test/campaign"
