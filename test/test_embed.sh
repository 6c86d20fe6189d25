#!/bin/sh
# test_embed.sh SOURCE_ROOT
# Another project takes this one in as a subproject, with one line: it builds offline
# against the system's libraries, without a warning, and nothing but the library.
set -eu
source_root=$1
# shellcheck source=checks.sh
. "$source_root/test/checks.sh"
command -v meson >/dev/null || skip 'meson is not installed'

parent=$work/parent
copy_sources "$source_root" "$parent/subprojects/bitcask"

# write_parent LANGUAGE OPTION: the whole parent project.
write_parent() {
    cat >"$parent/meson.build" <<EOF
project('parent', '$1',
  meson_version: '>=1.0.0',
  default_options: ['warning_level=3', 'werror=true', '$2'],
)
bitcask = dependency('bitcask', fallback: 'bitcask')
executable('parent', 'parent.$1', dependencies: bitcask)
EOF
}

cat >"$parent/parent.c" <<'EOF'
#include <bitcask/bitcask.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct bitcask *cask = NULL;
    struct bitcask_buffer value = { NULL, 0, 0 };
    struct bitcask_slice key = bitcask_text("ada");
    bool good = argc == 2 && bitcask_open(&cask, argv[1], NULL) == BITCASK_OK &&
                bitcask_put(cask, key, bitcask_text("1815")) == BITCASK_OK &&
                bitcask_get(cask, key, &value) == BITCASK_OK &&
                value.size == 4 && memcmp(value.data, "1815", 5) == 0;
    bitcask_buffer_release(&value);
    return bitcask_close(cask) == BITCASK_OK && good ? 0 : 1;
}
EOF
cp "$parent/parent.c" "$parent/parent.cpp"

# build NAME OPTION...: set up and compile in $work/NAME, all output in $work/NAME.log.
build() {
    name=$1
    shift
    if ! meson setup --wrap-mode=nodownload "$@" "$work/$name" "$parent" \
        >"$work/$name.log" 2>&1 || ! ninja -C "$work/$name" >>"$work/$name.log" 2>&1; then
        cat "$work/$name.log"
        return 1
    fi
}

programs() {
    find "$work/$1" -type f -perm -100 ! -name '*.so*' ! -path '*/meson-*' \
        ! -path "$work/$1/parent"
}

# embed NAME OPTION...
embed() {
    check "$1: builds" build "$@"
    check_silent "$1: not a warning" grep -i warning "$work/$1.log"
    check_silent "$1: neither tools nor tests are built" programs "$1"
    check "$1: the program works" "$work/$1/parent" "$work/$1.cask"
}

write_parent c c_std=c99
for kind in static shared both; do
    embed "$kind" --default-library="$kind"
done

if command -v c++ >/dev/null; then
    write_parent cpp cpp_std=c++11
    embed c++
else
    echo 'no C++ compiler: that parent is left out'
fi

finish
