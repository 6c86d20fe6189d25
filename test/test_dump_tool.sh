#!/bin/sh
# test_dump_tool.sh BITCASK BITCASK_DUMP
# Looking into files, and into the past of keys, from the command line.
set -u
tool=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
dump_tool=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
golden=$(cd "$(dirname "$0")/golden/v1" && pwd)
# shellcheck source=checks.sh
. "$(dirname "$0")/checks.sh"
# shellcheck source=tool_checks.sh
. "$(dirname "$0")/tool_checks.sh"

data=0000000001.data
hint=0000000001.hint

dump() {
    timeout 60 "$dump_tool" "$@"
}

# A name of its own, also behind a check in a subshell.
empty() {
    fresh
    rm -rf "$cask"
}

# A copy of the golden cask: 13 records in a sealed file, a batch among them, a hint, and
# 3 records in an open file.
golden() {
    empty
    cp -r "$golden" "$cask" && chmod -R u+w "$cask"
}

# out_has TEXT...: every one of these is in a line that the last command printed.
out_has() {
    for text in "$@"; do
        grep -qF -e "$text" out || {
            echo "nothing about '$text' in:"
            head -n 40 out
            return 1
        }
    done
}

out_lacks() {
    ! grep -F -e "$1" out
}

# counts NUMBER TEXT: so many lines of `out` have TEXT.
counts() {
    found=$(grep -cF -e "$2" out)
    [ "$found" -eq "$1" ] || {
        echo "$found lines with '$2', not $1:"
        head -n 40 out
        return 1
    }
}

# flip FILE OFFSET: change the byte there.
flip() {
    before=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059 # an octal escape is made
    printf "\\$(printf %03o $(((before + 1) % 256)))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

zero() {
    dd if=/dev/zero of="$1" bs=1 seek="$2" count="$3" conv=notrunc 2>/dev/null
}

# Only printable ASCII, newlines, and tabs: golden has no other text.
is_clean() {
    LC_ALL=C tr -d '\n\t -~' <out >rest
    [ ! -s rest ]
}

data_file() {
    golden
    exits 0 dump "$cask/$data" && err_is_empty && is_clean &&
        out_has "$cask/$data: data file of segment 1, 3618 bytes, sealed" &&
        counts 11 ' put  ' && counts 2 ' tombstone  ' && counts 1 ' batch  ' &&
        out_has '64 put                    1     3           4  e5ec37a3 ok  d3453761 ok' &&
        out_has '407   put                  9    10          10' &&
        out_has 'expires 9999-12-31T23:59:59.999Z  session' \
            'expires 1970-01-01T00:00:01.000Z  gone' &&
        grep -q '  \\x00\\xff\\n	\\x00\\x01\\x02\\xfe$' out &&
        grep -q '  large	01234567890123456789012345678901\.\.\.$' out
}

whole_cask() {
    golden
    exits 0 dump "$cask" && err_is_empty && is_clean &&
        out_has 'MANIFEST: 241 bytes, check 080f7a13 stored, 080f7a13 computed, ok' \
            'next id 5, sequence 13, keys 10' 'size 3618  sequences 1 to 13  with a hint' \
            'data file of segment 1' 'data file of segment 2' '  last	tombstone' &&
        cp out before && exits 0 bitcask dump && cmp before out &&
        exits 0 timeout 60 "$tool" dump "$cask" && cmp before out &&
        exits 0 env BITCASK_DIR="$cask" timeout 60 "$tool" dump && cmp before out
}

hint_file() {
    golden
    exits 0 dump "$cask/$hint" && err_is_empty && is_clean && counts 15 '' &&
        out_has 'hint of segment 1, 521 bytes' \
            '444 put                   13     5        3001          584  large' &&
        exits 0 dump --json "$cask/$hint" && counts 13 '"type":"entry"' &&
        out_has '"record_offset":584,"key_size":5,"value_size":3001,"key":"large"}' \
            '"key_base64":"AP8K"'
}

manifest_file() {
    golden
    exits 0 dump "$cask/MANIFEST" && out_has 'check 080f7a13' 'sealed               1' &&
        exits 0 dump --raw "$cask/MANIFEST" && cmp out "$cask/MANIFEST" &&
        exits 0 dump --hex "$cask/MANIFEST" && out_has '|bitcask manifest|' &&
        exits 0 dump --json "$cask/MANIFEST" && counts 4 '"type":"segment"' &&
        out_has '"type":"manifest"' '"next_id":5,"sequence":13,"key_count":10' \
            '"state":"prepared"'
}

several_paths() {
    golden
    exits 0 dump "$cask/$data" "$cask/$hint" "$cask" &&
        counts 2 'data file of segment 1' && counts 1 'hint of segment 1'
}

headers() {
    golden
    exits 0 dump --header "$cask" &&
        out_has 'MANIFEST' 'magic       BITCASKD' 'magic       BITCASKH' 'version     1' \
            'features    0' 'salt        3ba88ac0fe6196a8' \
            'created     1970-01-01T00:00:00.500Z (500)' \
            'check       baa07a66 stored, baa07a66 computed, ok' \
            'entries     13, of them 2 tombstones' 'sequences   1 to 13' \
            'speaks for  3618 bytes of data' 'synced      1173 bytes, to sequence 16' &&
        out_lacks lovelace &&
        exits 0 dump --header --json "$cask/$hint" && counts 1 '{' &&
        out_has '"entry_count":13,"tombstone_count":2,"first_sequence":1' \
            '"salt":"3ba88ac0fe6196a8"' &&
        exits 0 dump --header --json "$cask/$data" && counts 1 '{' &&
        out_has '"entry_count":13,"tombstone_count":2' &&
        exits 0 dump --header --hex "$cask/$data" && out_has '|BITCASKD' && counts 4 '|'
}

statistics() {
    golden
    exits 0 dump --stats "$cask" && err_is_empty &&
        grep -q ' 11 *2 *1 *0 *6 .* 0000000001.data$' out &&
        grep -q ' 3 *0 *0 *0 *3 .* 0000000002.data$' out &&
        grep -q ' 14 *2 *1 *0 *9 .* all$' out &&
        grep -q '2048 to 4095 *1  ' out &&
        exits 0 dump --stats --json "$cask" && counts 3 '"live_count"' &&
        out_has '"type":"stats_all"' '"put_count":14,"tombstone_count":2,"batch_count":1' \
            '{"from":2048,"to":4095,"count":1}' &&
        exits 0 dump --stats "$cask/$data" && grep -q ' 11 *2 *1 *0 *6 ' out
}

json_lines() {
    golden
    exits 0 dump --json "$cask" && err_is_empty && counts 17 '"type":"record"' &&
        counts 17 '"key_size":' && out_has '"kind":"batch"' '"batch_offset":379,"batch_intact":true' \
        '"expiry_ms":253402300799999' '"key_base64":"AP8K","value_base64":"AAEC/g=="' \
        '"key_check":"e5ec37a3","key_check_computed":"e5ec37a3","key_intact":true' \
        '"key":"ada","value":"lovelace"' &&
        ! grep -v '^{.*}$' out && exits 0 dump --json --keys-only "$cask" &&
        out_lacks '"value":' && out_has '"key":"ada"'
}

raw_values() {
    golden
    exits 0 dump --raw --key ada "$cask" && out_is '18151852lovelace' &&
        exits 0 dump --raw --live --key ada "$cask" && out_is lovelace &&
        exits 0 dump --raw --key "$(printf '\001')" "$cask" && out_is '' &&
        exits 0 dump --raw --live "$cask" &&
        [ "$(wc -c <out)" -eq $((8 + 4 + 10 + 10 + 10 + 3001 + 1000 + 0 + 9)) ] &&
        exits 64 dump --raw "$cask/$hint" && err_says 'no values'
}

raw_on_a_terminal() {
    golden
    on_terminal "'$dump_tool' --raw --key ada '$cask'" && out_is '18151852lovelace' || return
    bitcask set escape "$(printf 'a\033[31mb')" || return
    ! on_terminal "'$dump_tool' --raw --key escape '$cask'" || return
    tr -d '\r' <terminal >out
    out_has 'not for a terminal' && ! grep -q "$(printf '\033')" out &&
        on_terminal "'$dump_tool' '$cask'" && out_has 'a\x1b[31mb'
}

# What turns the direction of text, and a control that terminals obey, as UTF-8.
no_controls() {
    empty
    turn=$(printf '\342\200\256')
    obey=$(printf '\302\233')
    cask=$cask-$turn$obey
    bitcask set "a${turn}b${obey}c" "v${turn}w${obey}x" || return
    for command in "dump $cask" "dump --keys-only $cask" "dump --json $cask" 'bitcask list' \
        'bitcask list --json' "bitcask get --json a${turn}b${obey}c" 'bitcask stat' \
        "bitcask log --json a${turn}b${obey}c" 'bitcask stat --json' "dump --hex $cask" \
        "dump --stats --json $cask" "bitcask --log json get --json a${turn}b${obey}c"; do
        # shellcheck disable=SC2086
        exits 0 $command && ! grep -e "$turn" -e "$obey" out err || return
    done
    for command in "bitcask get $turn$obey" "bitcask --log text get $turn$obey"; do
        # shellcheck disable=SC2086
        exits 2 $command && err_says 'x9b' && ! grep -e "$turn" -e "$obey" out err || return
    done
    exits 0 dump "$cask" && out_has 'a\xe2\x80\xaeb\xc2\x9bc	v\xe2\x80\xaew\xc2\x9bx' &&
        exits 0 dump --json "$cask" && out_has '"key":"a\u202Eb\u009Bc"' &&
        flip "$cask/$data" 85 && exits 65 "$tool" verify "$cask" &&
        ! grep -e "$turn" -e "$obey" out err &&
        exits 65 "$tool" verify --json "$cask" && ! grep -e "$turn" -e "$obey" out err &&
        exits 1 "$tool" --dir "$cask/none" get a && ! grep -e "$turn" -e "$obey" out err
}

hexadecimal() {
    golden
    exits 0 dump --hex "$cask/$data" && is_clean &&
        out_has '00000040  a3 37 ec e5 00 00 00 00  01 00 00 00 00 00 00 00  |.7..............|' \
            '00000060  38 31 35 ' '|t partof a batch|' || return
    # Every byte behind the header, and none twice.
    bytes=$(grep '^    0' out | sed 's/^    [0-9a-f]*  //; s/  |.*//' | wc -w)
    [ "$bytes" -eq $((3618 - 64)) ]
}

keys_only() {
    golden
    exits 0 dump --keys-only "$cask" &&
        out_is 'ada\ncharles\nada\nempty\n\\x00\\xff\\n\ncharles\nsession\ngone\nfirst part\nsecond part\nempty\nada\nlarge\nthousand\nvoid\nlast\n'
}

live_only() {
    golden
    exits 0 dump --live --keys-only "$cask" && err_is_empty &&
        out_is '\\x00\\xff\\n\nsession\nfirst part\nsecond part\nada\nlarge\nthousand\nvoid\nlast\n' &&
        bitcask list --keys-only | sort >wanted && sort out | cmp - wanted &&
        exits 0 dump --live --keys-only "$cask/$hint" && counts 6 '' &&
        exits 0 dump --live "$cask/0000000002.data" && counts 3 ' put '
}

live_of_a_damaged_store() {
    golden
    zero "$cask/$data" 100 20 && rm "$cask/$hint"
    exits 65 dump --live --keys-only "$cask" && err_says 'can be salvaged' &&
        out_has ada last
}

one_key() {
    golden
    exits 0 dump --key ada "$cask" && counts 3 '  ada	' && counts 1 'data file' &&
        exits 0 dump --key nobody "$cask" && out_is '' &&
        exits 0 dump --key charles "$cask" && counts 1 ' tombstone ' && counts 1 ' put '
}

from_an_offset() {
    golden
    exits 0 dump --keys-only --from 545 "$cask/$data" && out_is 'ada\nlarge\n' &&
        exits 0 dump --keys-only --from 546 "$cask/$data" && out_is 'large\n' &&
        exits 0 dump --keys-only --from 100000 "$cask/$data" && out_is '' &&
        exits 0 dump --keys-only --from 417 "$cask/$hint" && out_is 'ada\nlarge\n'
}

changes_nothing() {
    golden
    chmod -R a-w "$cask"
    find "$cask" -type f -exec cksum {} + | sort >before
    for options in '' --stats --header --json --live '--key ada' --hex --raw; do
        # shellcheck disable=SC2086
        dump $options "$cask" >/dev/null 2>&1 || echo "$options"
    done
    find "$cask" -type f -exec cksum {} + | sort >after
    chmod -R u+w "$cask"
    cmp before after
}

# DAMAGE

flipped_value() {
    golden
    damage lovelace
    exits 65 dump "$cask/$data" && counts 2 '!=' && counts 4 'of a damaged batch' || return
    golden
    flip "$cask/$data" 97 # in 1815
    exits 65 dump "$cask" && counts 1 '!=' && out_has 'large' 'last' &&
        exits 65 dump --key ada "$cask" && counts 1 '!=' && counts 3 '  ada	' &&
        exits 0 dump --key large "$cask" && exits 65 dump --raw "$cask" &&
        err_says 'damage at 1 places'
}

flipped_key() {
    golden
    flip "$cask/$data" 92
    exits 65 dump "$cask" && counts 1 ' put?  ' && counts 1 '!=' && out_has '  bda	1815'
}

zeroed_bytes() {
    golden
    zero "$cask/$data" 100 80
    exits 65 dump "$cask" && out_has '99 damage      107 bytes' '64 put' &&
        out_has '206 put' &&
        exits 65 dump --json "$cask" &&
        out_has '"type":"damage","offset":99,"size":107}' &&
        exits 65 dump --hex "$cask/$data" && out_has '|................|' &&
        exits 65 dump --keys-only "$cask" && err_says 'damage at 1 places' && out_has large
}

cut_off() {
    golden
    truncate -s 3000 "$cask/$data"
    exits 65 dump "$cask" && out_has 'the file ends at 3000, though it had 3618 bytes' &&
        counts 1 '!=' && out_has '  last	tombstone' || return
    truncate -s 545 "$cask/$data"
    exits 65 dump "$cask" && out_has 'ends at 545' || return
    truncate -s 10 "$cask/$data"
    exits 65 dump "$cask" && out_has 'header is damaged' || return
    : >"$cask/$data"
    exits 65 dump "$cask" && out_has 'header is damaged' 'last'
}

# Zeros at the end of the open file, of a sealed one, and of one alone.
unused_space() {
    golden
    exits 0 dump "$cask" && grep -v 'data file of' out >before || return
    truncate -s +100000 "$cask/0000000002.data" && exits 0 dump "$cask" && err_is_empty &&
        grep -v 'data file of' out | cmp before - || return
    truncate -s +100000 "$cask/$data" && exits 0 dump "$cask" &&
        grep -v 'data file of' out | cmp before - || return
    cp "$cask/0000000002.data" alone.data
    exits 0 dump alone.data && out_lacks damage && out_lacks torn || return
    # With anything behind them they are something.
    printf x >>"$cask/0000000002.data"
    exits 0 dump "$cask" && out_has '1173 torn tail   100001 bytes' || return
    # And so they are where MANIFEST says that there were records.
    golden
    truncate -s 1100 "$cask/0000000002.data" && truncate -s 2000 "$cask/0000000002.data"
    exits 65 dump "$cask" && out_has damage
}

# At the end of the open file, behind what MANIFEST says was synced.
torn_tail() {
    golden
    printf 'no record, only text that came here somehow' >>"$cask/0000000002.data"
    exits 0 dump "$cask" && out_has '1173 torn tail   43 bytes' &&
        exits 0 dump --json "$cask" && out_has '"type":"torn_tail","offset":1173,"size":43' &&
        exits 0 dump --stats "$cask" && exits 0 dump --keys-only "$cask" && err_is_empty ||
        return
    # Without the MANIFEST nobody knows.
    cp "$cask/0000000002.data" alone.data
    exits 65 dump alone.data && out_has '1173 damage      43 bytes' || return
    # Nor is it one with a record behind it.
    golden
    bitcask set more "$(printf %0100d 1)" && flip "$cask/0000000002.data" 1150
    exits 65 dump "$cask"
}

# Two unsealed files, as a crash leaves them: the end of the first one is no end.
two_unsealed_files() {
    empty
    mkfifo "$cask.in" || return
    "$tool" --dir "$cask" shell --no-merge <"$cask.in" >answers &
    writer=$!
    exec 4>"$cask.in"
    printf 'set first 1\nexists first\n' >&4
    retry has answers yes && cp "$cask/MANIFEST" older || return
    awk 'BEGIN {
        for (i = 0; i < 68; i++)
            printf "set key-%d %0999999d\n", i, i
    }' </dev/null >&4
    exec 4>&-
    wait "$writer" && cp older "$cask/MANIFEST" && rm -f "$cask"/*.hint &&
        exits 0 dump --keys-only "$cask" && counts 69 '' || return
    size=$(wc -c <"$cask/$data")
    [ -e "$cask/0000000002.data" ] && printf 'rubbish that was never a record' >>"$cask/$data" &&
        exits 0 dump "$cask" && out_has "$size torn tail   31 bytes" || return
    truncate -s "$size" "$cask/$data"
    flip "$cask/$data" $((size - 1))
    exits 65 dump "$cask" && counts 1 '!=' && out_lacks 'torn tail'
}

damaged_header() {
    golden
    flip "$cask/$data" 30
    exits 65 dump "$cask" && out_has 'the file header is damaged' 'lovelace' || return
    rm "$cask/$hint" "$cask/MANIFEST"
    exits 65 dump "$cask/$data" && out_has 'the file header is damaged' || return
    golden
    flip "$cask/$hint" 100
    exits 65 dump "$cask/$hint" && out_has 'the hint is damaged'
}

damaged_manifest() {
    golden
    flip "$cask/MANIFEST" 60
    exits 65 dump "$cask" && out_has 'BAD' 'lovelace' 'tombstone' || return
    rm "$cask/MANIFEST"
    exits 65 dump "$cask" && out_has 'MANIFEST: is missing' 'lovelace' 'tombstone' &&
        exits 65 dump --keys-only "$cask" && err_says 'is missing' && counts 3 ada
}

missing_file() {
    golden
    rm "$cask/$data"
    exits 65 dump "$cask" && out_has "$data: is missing, though MANIFEST lists it" &&
        out_has 'tombstone' && exits 65 dump --keys-only "$cask" && err_says 'is missing'
}

unlisted_file() {
    golden
    cp "$cask/$data" "$cask/0000000099.data"
    exits 0 dump "$cask" && out_has 'not listed in MANIFEST' && counts 2 lovelace
}

strangers() {
    empty
    mkdir "$cask"
    exits 1 dump "$cask" && err_says 'there is no cask' || return
    exits 1 dump "$cask/nothing" && err_says 'no such file' || return
    exits 1 dump /dev/null && err_says 'no file, and no directory' || return
    exits 1 dump "$cask/$(printf 'a\033[31mb')" && err_says 'no such file' &&
        ! grep -q "$(printf '\033')" err || return
    printf 'hello' >"$cask/text"
    exits 1 dump "$cask/text" && out_has 'no file of a cask' || return
    head -c 5000 /dev/urandom >"$cask/$data"
    exits 65 dump "$cask/$data" && exits 65 dump "$cask"
}

# Whatever is damaged: no crash, no hang, and nothing that a terminal would obey.
every_kind_of_damage() {
    for file in "$data" "$hint" MANIFEST; do
        offset=0
        size=$(wc -c <"$golden/$file")
        while [ "$offset" -lt "$size" ]; do
            golden
            flip "$cask/$file" "$offset"
            for options in '' --json --hex --live --stats --header; do
                status=0
                # shellcheck disable=SC2086
                dump $options "$cask" "$cask/$file" >out 2>err || status=$?
                case $status in
                0 | 1 | 65) ;;
                *) echo "exit status $status with $options: byte $offset of $file" ;;
                esac
                LC_ALL=C grep -l "$(printf '[\001-\010\013-\037]')" out err
            done
            rm -rf "$cask"
            offset=$((offset + 41))
        done
    done
}

wrong_usage() {
    golden
    for options in '--raw --json' '--raw --hex' '--raw --keys-only' '--hex --json' \
        '--hex --keys-only' '--live --follow' '--header --stats' '--header --follow' \
        '--stats --follow' '--header --live' '--header --key a' '--header --from 1' \
        '--stats --live' '--stats --key a' '--stats --from 1' '--header --raw' \
        '--header --keys-only' '--stats --raw' '--stats --hex' '--stats --keys-only' \
        '--from x' '--from -1' '--key' '--salvage' '--prefix a' '--follow x y' \
        '--from 1 x y'; do
        # shellcheck disable=SC2086
        exits 64 dump "$cask/$data" $options || echo "with $options"
        [ -s err ] || echo "$options: no words"
    done
    exits 64 dump --from 1 "$cask" || echo directory
    exits 64 dump --dir "$cask" "$cask" || echo twice
    exits 64 dump "" || echo empty
    exits 64 dump --key "" "$cask" || echo 'empty key'
    exits 64 dump --follow "$cask/$hint" || echo 'follow hint'
    exits 64 bitcask get --at x ada || echo at
    exits 64 bitcask get --at 1 --salvage ada || echo 'at and salvage'
    exits 64 bitcask log || echo log
    exits 64 bitcask log a b || echo 'log twice'
    exits 64 bitcask undelete || echo undelete
}

help_texts() {
    exits 0 dump --help && out_has 'usage: bitcask-dump [OPTION]... [PATH]...' --follow &&
        exits 0 dump --version && out_has 'bitcask-dump ' &&
        exits 0 "$tool" log --help && out_has '"gap"' &&
        exits 0 "$tool" undelete --help && out_has restored_sequence &&
        exits 0 "$tool" get --help && out_has '--at N'
}

# FOLLOWING

# has FILE TEXT
has() {
    grep -qF -e "$2" "$1"
}

follows_a_cask() {
    golden
    timeout 60 "$dump_tool" --follow --keys-only "$cask" >seen 2>err &
    follower=$!
    retry has seen last && bitcask set grown 1 && retry has seen grown || return
    # A writer that dies leaves a file that is sealed, and begins another.
    mkfifo "$cask.in" || return
    "$tool" --dir "$cask" shell <"$cask.in" >answers &
    writer=$!
    sleep 0.1
    exec 4>"$cask.in"
    echo 'set beside-a-writer 2' >&4
    retry has seen beside-a-writer || return
    kill -9 "$writer"
    exec 4>&-
    wait "$writer" 2>/dev/null
    bitcask set in-another-file 3 && retry has seen in-another-file || return
    [ ! -e "$cask/0000000003.data" ] && [ -e "$cask/0000000005.data" ] || return
    # What a merge copies is no news.
    bitcask merge --all >/dev/null && bitcask set after-a-merge 4 &&
        retry has seen after-a-merge || return
    kill "$follower"
    wait "$follower"
    [ $? -gt 128 ] || return
    [ "$(grep -c '^grown$' seen)" -eq 1 ] && [ "$(grep -c '^large$' seen)" -eq 1 ] &&
        [ "$(wc -l <seen)" -eq 20 ] && [ ! -s err ]
}

follows_a_file() {
    golden
    cp "$cask/0000000002.data" part
    timeout 60 "$dump_tool" --follow --keys-only "$cask/0000000002.data" >seen 2>err &
    follower=$!
    retry has seen last && bitcask set grown 1 && retry has seen grown || return
    # What is half there is shown when the rest has come.
    size=$(wc -c <"$cask/0000000002.data")
    cp "$cask/0000000002.data" whole
    bitcask set halves "$(printf %0100d 1)" && retry has seen halves || return
    cp "$cask/0000000002.data" whole
    kill "$follower"
    wait "$follower" 2>/dev/null
    head -c $((size + 50)) whole >grown.data
    timeout 60 "$dump_tool" --follow grown.data >seen 2>err &
    follower=$!
    retry has seen grown || return
    sleep 0.3
    ! has seen halves && ! has seen damage && tail -c +$((size + 51)) whole >>grown.data &&
        retry has seen halves || return
    kill "$follower"
    wait "$follower" 2>/dev/null
    ! has seen damage && [ ! -s err ] || return
    # A file that is only just begun.
    : >0000000007.data
    timeout 60 "$dump_tool" --follow 0000000007.data >seen 2>err &
    follower=$!
    sleep 0.2
    head -c 30 whole >0000000007.data
    sleep 0.2
    tail -c +31 whole >>0000000007.data
    retry has seen halves || return
    kill "$follower"
    wait "$follower" 2>/dev/null
    ! has seen damage && [ ! -s err ]
}

follower_ends_when_nobody_reads() {
    golden
    mkfifo "$cask.out" || return
    head -n 1 <"$cask.out" >first &
    dump --follow --keys-only "$cask" >"$cask.out" &
    follower=$!
    retry has first ada && bitcask set more 1 && wait "$follower"
}

# A writer that puts, deletes and merges: never is anything called damage.
beside_a_writer() {
    empty
    bitcask set first 1
    (
        round=0
        while [ ! -e stop ] && [ "$round" -lt 200 ]; do
            round=$((round + 1))
            awk -v round="$round" 'BEGIN {
                for (i = 0; i < 300; i++)
                    printf "key-%d\tvalue-%d-%0500d\n", i, round, i
            }' </dev/null | "$tool" --dir "$cask" load --no-merge
            [ $((round % 3)) -ne 0 ] || "$tool" --dir "$cask" merge --all >/dev/null
        done
    ) &
    writer=$!
    for round in 1 2 3 4 5 6 7 8; do
        for options in '' --keys-only --live --stats '--key key-7' --json; do
            # shellcheck disable=SC2086
            dump $options "$cask" >out 2>err || echo "exit status $? with '$options'"
            grep -v 'removed files meanwhile' err
            grep -e damage -e '!=' -e missing out | grep -v '"damage_count":0' |
                grep -v 'tombstones *batches *damaged'
        done
        dump --live --keys-only "$cask" 2>/dev/null | sort | uniq -d
    done
    : >stop
    wait "$writer"
    rm -f stop
}

# Files that go while dump is held up by who reads it.
files_that_go_meanwhile() {
    empty
    for part in 1 2 3; do
        awk -v part="$part" 'BEGIN {
            for (i = 0; i < 300; i++)
                printf "key-%d\tvalue-%d-%01000d\n", part * 200 + i, part, i
        }' </dev/null | bitcask load --no-merge || return
        # What a writer that dies leaves is sealed by the next one.
        mkfifo "$cask.in" || return
        "$tool" --dir "$cask" shell <"$cask.in" >answers &
        writer=$!
        exec 4>"$cask.in"
        printf 'set key-%d 1\nexists key-1\n' "$part" >&4
        retry has answers yes || retry has answers no || return
        kill -9 "$writer"
        exec 4>&-
        wait "$writer" 2>/dev/null
        rm "$cask.in"
    done
    bitcask list --keys-only | sort >wanted
    for options in '--live --json' '--json'; do
        mkfifo slow
        # shellcheck disable=SC2086
        dump $options "$cask" >slow 2>err &
        dumper=$!
        exec 5<slow
        sleep 0.3
        bitcask merge --all >/dev/null || return
        cat <&5 >out
        exec 5<&-
        rm slow
        wait "$dumper" || return
        out_lacks '"type":"missing"' || return
        sed -n 's/.*"key":"\([^"]*\)".*/\1/p' out | sort >keys
        case $options in
        --live*)
            cmp keys wanted && err_says 'a merge removed files meanwhile' || return
            bitcask set key-600 2 # something to merge
            ;;
        *) sort -u keys | cmp - wanted || return ;;
        esac
    done
}

# THE PAST OF A KEY

lists_versions() {
    golden
    exits 0 bitcask log ada && err_is_empty && counts 4 '' &&
        grep -q '^ *12  put *8  -  .* 0000000001.data *545  current$' out &&
        grep -q '^ *3  put *4  -  ' out && grep -q '^ *1  put *4  -  ' out &&
        exits 0 bitcask log charles && grep -q '^ *6  tombstone *-  -  ' out &&
        out_lacks current &&
        exits 0 bitcask log gone && out_has '1970-01-01T00:00:01.000Z' 'expired' &&
        exits 0 bitcask log --json ada && counts 1 '"current":true' && counts 3 '"key":"ada"' &&
        out_has '"sequence":12,"kind":"put","value_size":8,"segment_id":1,"offset":545' &&
        exits 2 bitcask log nobody && out_is '' && err_says 'no record of'
}

lists_gaps() {
    empty
    for pair in 'ada 1' 'bob 1' 'bob 2' 'eve 1' 'eve 2'; do # 1 to 5
        # shellcheck disable=SC2086
        bitcask set $pair || return
    done
    bitcask merge --all >/dev/null && bitcask set bob 6 || return # 1, 3, 5 are left
    exits 0 bitcask log bob && counts 1 'records in between are gone' && counts 4 '' &&
        exits 0 bitcask log --json bob && counts 1 '"gap":true' &&
        exits 0 bitcask get --at 5 bob && out_is 2 && err_says 'may have been a newer value' &&
        exits 0 bitcask get --at 3 bob && out_is 2 && err_is_empty &&
        exits 0 bitcask get --at 6 bob && out_is 6 && err_is_empty &&
        exits 2 bitcask get --at 2 bob && exits 0 bitcask log eve && counts 2 ''
}

lists_damage() {
    golden
    flip "$cask/$data" 97
    exits 65 bitcask log ada && counts 1 '  damaged' &&
        exits 65 bitcask get --at 2 ada && out_is '' && exits 0 bitcask get --at 3 ada ||
        return
    golden
    rm "$cask/MANIFEST"
    exits 65 bitcask log ada && counts 4 '' && err_says 'MANIFEST is missing' &&
        exits 65 bitcask get --at 3 ada && out_is 1852 || return
    # What is not there may have been of any key.
    golden
    truncate -s 1100 "$cask/0000000002.data"
    exits 65 bitcask log ada && counts 4 '' && err_says '0000000002.data, offset 1100' &&
        exits 65 bitcask get --at 3 ada && out_is 1852 && err_says 'may be missing' &&
        exits 65 bitcask log nobody && out_is ''
}

past_values() {
    golden
    exits 0 bitcask get --at 1 ada && out_is 1815 && err_is_empty &&
        exits 0 bitcask get --at 11 ada && out_is 1852 && err_is_empty &&
        exits 0 bitcask get --at 1000 ada && out_is lovelace &&
        exits 2 bitcask get --at 0 ada && err_says 'no record' &&
        exits 0 bitcask get --at 5 charles && out_is 1791 &&
        exits 2 bitcask get --at 6 charles && err_says 'was deleted at sequence 6' &&
        exits 2 bitcask get --at 1 nobody &&
        exits 0 bitcask get --at 1 --json ada && out_is '{"key":"ada","value":"1815"}\n' &&
        exits 2 bitcask get --at 2 charles nobody && out_is 1791 || return
    cask=$work/none
    exits 1 bitcask get --at 1 ada && err_says 'none' && exits 1 bitcask log ada
}

brings_back() {
    golden
    exits 0 bitcask undelete charles && out_has 'charles is back, as of sequence 2' &&
        exits 0 bitcask get charles && out_is 1791 &&
        exits 0 bitcask undelete charles && out_has 'stays as it is' &&
        exits 0 bitcask undelete --json empty &&
        out_is '{"key":"empty","restored_sequence":4}\n' &&
        exits 0 bitcask get empty && out_is '' &&
        exits 0 bitcask undelete gone && exits 0 bitcask get gone && out_is 'until 1970' &&
        exits 0 bitcask undelete --json ada &&
        out_is '{"key":"ada","restored_sequence":null}\n' &&
        exits 2 bitcask undelete nobody && err_says 'no value of' || return
    golden
    bitcask delete ada && flip "$cask/$data" 580
    rm "$cask/$hint"
    exits 65 bitcask undelete charles || exits 0 bitcask undelete charles || return
    empty
    bitcask set ada 1 && bitcask delete ada && bitcask merge --all >/dev/null &&
        exits 2 bitcask undelete ada && exits 2 bitcask get ada
}

in_the_shell() {
    golden
    printf '%s\n' 'log ada' 'get --at 3 ada' 'undelete charles' 'get charles' \
        'set ada new' 'get --at 12 ada' 'log ada' | exits 0 bitcask shell &&
        out_has 1852 'charles is back' 1791 lovelace && counts 2 ' current'
}

check 'a data file: every record with its checks, batches with their parts' data_file
check 'a whole cask, named in any way' whole_cask
check 'a hint' hint_file
check 'a MANIFEST' manifest_file
check 'several paths, one after the other' several_paths
check '--header tells of files as a whole' headers
check '--stats counts, and says what is live' statistics
check '--json is one object a line' json_lines
check '--raw gives values as they are' raw_values
check 'what controls terminals or turns text is escaped' no_controls
check '--hex shows every byte' hexadecimal
check '--keys-only' keys_only
check '--live is what the store returns' live_only
check '--live of a damaged store is what can be salvaged' live_of_a_damaged_store
check '--key shows one key in all files' one_key
check '--from begins at an offset' from_an_offset
check_silent 'nothing is changed by it' changes_nothing
check 'a value with a flipped bit' flipped_value
check 'a key with a flipped bit' flipped_key
check 'zeroed bytes, and what is behind them' zeroed_bytes
check 'a file that is cut off' cut_off
check 'space that was set aside is nothing to tell of' unused_space
check 'a torn tail is no damage' torn_tail
check 'an end that is not the end is no torn tail' two_unsealed_files
check 'a damaged header' damaged_header
check 'a damaged MANIFEST, and none' damaged_manifest
check 'a file that is missing' missing_file
check 'a file that is not listed' unlisted_file
check 'what is no file of a cask' strangers
check_silent 'any byte may be damaged' every_kind_of_damage
check_silent 'wrong usage is exit status 64, with words' wrong_usage
check 'every help text' help_texts
check '--follow goes on with a cask, into other files, past merges' follows_a_cask
check '--follow goes on with a file' follows_a_file
check '--follow ends when nobody reads' follower_ends_when_nobody_reads
check_silent 'beside a writer that merges nothing looks damaged' beside_a_writer
check 'files that go meanwhile' files_that_go_meanwhile
check 'log lists versions, newest first' lists_versions
check 'log says where records are gone' lists_gaps
check 'log and get --at beside damage' lists_damage
check 'get --at gives past values' past_values
check 'undelete brings back' brings_back
check 'the shell has log, get --at and undelete' in_the_shell
if command -v script >/dev/null; then
    check '--raw keeps control bytes from a terminal' raw_on_a_terminal
fi

finish
