#!/bin/sh
# test_install.sh SOURCE_ROOT
# What `meson install` leaves is whole, can be linked with in both ways, and exports
# exactly what the header declares.
set -eu
source_root=$1
# shellcheck source=checks.sh
. "$source_root/test/checks.sh"
command -v meson >/dev/null || skip 'meson is not installed'
command -v pkg-config >/dev/null || skip 'pkg-config is not installed'

header=$source_root/bitcask/inspect.h # which includes the other
version=$(sed -n "s/^ *version: '\(.*\)',/\1/p" "$source_root/meson.build" | head -n 1)
soname=libbitcask.so.${version%%.*}

# The manual pages, if they can be made.
pages=
if command -v scdoc >/dev/null; then
    for page in "$source_root"/docs/man/*.scd; do
        page=$(basename "$page" .scd)
        pages="$pages share/man/man${page##*.}/$page"
    done
    man_pages=enabled
else
    echo 'not checked, without scdoc: the manual pages'
    man_pages=disabled
fi

install() {
    kind=$1
    build=$work/build-$kind
    copy_sources "$source_root" "$work/source"
    meson setup "$build" "$work/source" --wrap-mode=nodownload --prefix="$work/$kind" \
        --libdir=lib --default-library="$kind" -Dtests=disabled -Dtools=enabled \
        -Dman-pages="$man_pages" &&
        meson install -C "$build"
}

# compile NAME KIND PKG_CONFIG_OPTION COMPILER_OPTION: $work/NAME from the program,
# with nothing but what bitcask.pc says.
compile() {
    export PKG_CONFIG_PATH="$work/$2/lib/pkgconfig"
    # shellcheck disable=SC2046,SC2086 # lists of words
    $CC -std=c99 -Wall -Wextra -Werror "$4" $(pkg-config --cflags bitcask) \
        -o "$work/$1" "$work/program.c" $(pkg-config $3 bitcask)
}

cat >"$work/program.c" <<'EOF'
#include <bitcask/bitcask.h>

int main(int argc, char **argv)
{
    struct bitcask *cask = NULL;
    enum bitcask_status status = bitcask_open(&cask, argc == 2 ? argv[1] : NULL, NULL);

    if (status == BITCASK_OK)
        status = bitcask_put(cask, bitcask_text("ada"), bitcask_text("1815"));
    if (status == BITCASK_OK)
        status = bitcask_exists(cask, bitcask_text("ada"));
    bitcask_close(cask);
    return status == BITCASK_OK ? 0 : 1;
}
EOF

# The functions that the header declares, without its comments and macros.
declared() {
    $CC -E -P -x c -I "$source_root" "$header" | tr '\n' ' ' | tr ';' '\n' |
        sed -n 's/.*visibility("default"))) *\([^(]*\)(.*/\1/p' | sed 's/.*[ *]//' |
        sort >"$work/declared"
    grep -q '^bitcask_open$' "$work/declared"
}

exports_what_is_declared() {
    nm -D --defined-only "$work/shared/lib/libbitcask.so" | sed 's/.* //; s/@.*//' |
        sort >"$work/exported"
    diff "$work/declared" "$work/exported"
}

foreign_globals() {
    nm -g --defined-only "$work/static/lib/libbitcask.a" |
        awk 'NF == 3 && $3 !~ /^bitcask_/'
}

links_to() {
    [ "$(readlink "$work/shared/lib/$1")" = "$2" ]
}

soname_is() {
    readelf -d "$work/shared/lib/libbitcask.so" | grep -F "Library soname: [$1]"
}

# A program that uses the shared library needs nothing else on its command line.
only_bitcask() {
    export PKG_CONFIG_PATH="$work/shared/lib/pkgconfig"
    set -- "$(pkg-config --libs-only-l bitcask)"
    echo "$1"
    [ "$(echo "$1" | tr -d ' ')" = -lbitcask ]
}

destdir() {
    DESTDIR=$work/root meson install -C "$work/build-shared" --no-rebuild
    for file in include/bitcask/bitcask.h lib/libbitcask.so bin/bitcask \
        bin/bitcask-merge bin/bitcask-dump bin/bitcask-bench $pages; do
        [ -e "$work/root$work/shared/$file" ] || {
            echo "no $file"
            return 1
        }
    done
}

check 'installs, shared' install shared
for file in include/bitcask/bitcask.h include/bitcask/inspect.h \
    lib/libbitcask.so "lib/libbitcask.so.$version" \
    lib/pkgconfig/bitcask.pc bin/bitcask bin/bitcask-merge bin/bitcask-dump \
    bin/bitcask-bench $pages; do
    check "there is $file" test -f "$work/shared/$file"
done
check "libbitcask.so is a link to $soname" links_to libbitcask.so "$soname"
check "$soname is a link to libbitcask.so.$version" \
    links_to "$soname" "libbitcask.so.$version"
check "the soname is $soname" soname_is "$soname"
check 'goes below DESTDIR when told so' destdir
check 'only two headers are installed' \
    test "$(find "$work/shared/include" -type f | wc -l)" -eq 2

check 'the header declares functions' declared
check 'the shared library exports what the header declares, no more and no less' \
    exports_what_is_declared

check "bitcask.pc is of version $version" \
    env PKG_CONFIG_PATH="$work/shared/lib/pkgconfig" \
    pkg-config --exact-version="$version" bitcask
check 'bitcask.pc names no other library for dynamic linking' only_bitcask
check 'a program links dynamically' compile dynamic shared --libs -O1
check 'the dynamically linked program works' \
    env LD_LIBRARY_PATH="$work/shared/lib" "$work/dynamic" "$work/cask"
check 'the installed command line reads what it wrote' \
    env LD_LIBRARY_PATH="$work/shared/lib" \
    "$work/shared/bin/bitcask" --dir "$work/cask" exists ada
check 'the installed bitcask-merge finds the store' \
    env LD_LIBRARY_PATH="$work/shared/lib" "$work/shared/bin/bitcask-merge" "$work/cask"

check 'installs, static' install static
check_silent 'all global names of the static library begin with bitcask_' foreign_globals
check 'a program links with the static library' compile partly static '--static --libs' -O1
check 'the program with the static library works' "$work/partly" "$work/cask"
check 'a program links wholly statically' compile wholly static '--static --libs' -static
check 'the wholly static program works' "$work/wholly" "$work/cask"

finish
