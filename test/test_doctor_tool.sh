#!/bin/sh
# test_doctor_tool.sh BITCASK
# From the command line: what a store says of itself, what is said when it is not whole,
# and making it so: stat, hint, verify and repair.
set -u
tool=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
# shellcheck source=checks.sh
. "$(dirname "$0")/checks.sh"
# shellcheck source=tool_checks.sh
. "$(dirname "$0")/tool_checks.sh"

# One file, half of 6 MB dead.
make_garbage() {
    fresh
    pairs 1 3000 1 >half && pairs 1 3000 2 >>half && bitcask load --no-merge <half
}

# stat

stat_says_that_a_merge_is_due() {
    make_garbage && exits 0 bitcask stat && err_is_empty &&
        out_says '^merge  *due: 50 % of 5\.9 MiB are dead; .*50 % of more than 5\.0 MiB' &&
        out_says '^memory  *[0-9.]* [KM]iB  *[0-9,]*$' &&
        out_says '  50\.0    50\.0 .* yes  enough of it is dead$' &&
        exits 0 bitcask stat --json && out_says '"merge_due":true,' &&
        out_says '"merge_trigger_size":5242880,' && out_says '"merge_dead_percent":50,' &&
        out_says '"merge_taken":true,"merge_reason":"dead",' &&
        out_says '"keydir_size":[1-9][0-9][0-9][0-9][0-9][0-9]' || return
    echo stat | bitcask shell --no-merge >out && out_says '^merge  *due: 50 %'
}

stat_says_that_none_is_due() {
    make_garbage && pairs 3001 3200 1 | bitcask load --no-merge && exits 0 bitcask stat &&
        out_says '^merge  *not due: 48 % of 6\.1 MiB are dead, and it is from 50 % on$' ||
        return
    fresh
    bitcask set a 1 && bitcask set a 2 && exits 0 bitcask stat &&
        out_says '^merge  *not due: the data files have 1[0-9][0-9] bytes, .* 5\.0 MiB$' &&
        exits 0 bitcask stat --json && out_says '"merge_due":false,'
}

stat_shows_torn_tails() {
    fresh
    bitcask set a 1 && printf junk >>"$cask/0000000001.data" && exits 0 bitcask stat &&
        out_says '^torn bytes  *4 bytes ' &&
        out_says '^0000000001\.data, offset [0-9]*: 4 bytes behind'
}

stat_is_silent_of_unused_space() {
    fresh
    bitcask set a 1 && truncate -s 100000 "$cask/0000000001.data" && exits 0 bitcask stat &&
        err_is_empty && ! grep -e torn -e behind out && exits 0 bitcask stat --json &&
        out_says '"cut_size":0'
}

# hint

# One sealed file with its hint, and one that is appended to, without.
make_hint() {
    fresh
    pairs 1 3000 1 | bitcask load && bitcask delete key-000007 &&
        bitcask merge --all >/dev/null && bitcask delete key-000008 &&
        bitcask set later 'a	b' || return
    hint=$(echo "$cask"/*.hint)
    data=${hint%.hint}.data
    active=$(echo "$cask"/*.data) && active=${active#* }
    cp "$hint" hint-before
}

# doctor COMMAND...: not for one store.
doctor() {
    timeout 60 "$tool" "$@"
}

hints_are_verified() {
    make_hint && exits 0 doctor hint verify "$cask" && err_is_empty &&
        out_says '^[0-9]*\.hint  whole: 2,999 entries, 0 of them tombstones, for 2\.9 MiB' &&
        out_says '^[0-9]*\.hint  missing$' && out_says '^1 whole, 1 missing, 0 damaged' &&
        exits 0 bitcask hint verify --json && [ "$(wc -l <out)" -eq 3 ] &&
        out_says '^{"state":"whole","exists":true,"segment_id":[0-9]*,"entry_count":2999,' &&
        out_says '"state":"missing","exists":false,' &&
        out_says '^{"summary":"hint_verify","result":"clean",.*"whole_count":1,' &&
        exits 0 doctor hint verify "$hint" && [ "$(wc -l <out)" -eq 2 ] &&
        exits 0 doctor hint verify "$data" && out_says whole || return
    cd "$cask" && exits 0 doctor hint verify "${hint##*/}"
    result=$?
    cd "$work" && [ "$result" -eq 0 ] && out_says whole
}

damaged_hints_are_found_and_mended() {
    make_hint && rm -rf "$cask-copy" && cp -r "$cask" "$cask-copy" &&
        printf X | dd of="$hint" bs=1 seek=1000 conv=notrunc 2>/dev/null &&
        exits 65 bitcask hint verify &&
        out_says '\.hint  damaged: [0-9]*\.hint, offset 1000: ' &&
        exits 65 bitcask hint verify --json && out_says '"result":"damaged",' &&
        exits 0 bitcask get later && exits 0 bitcask hint rebuild && err_is_empty &&
        out_says '\.hint  written: 2,999 entries' && out_says '^2 written, 0 left' &&
        cmp "$hint" hint-before && exits 0 bitcask hint verify &&
        out_says '^2 whole, 0 missing, 0 damaged' &&
        rm "$cask"/*.hint && exits 0 doctor hint rebuild "$hint" && cmp "$hint" hint-before &&
        [ ! -e "${active%.data}.hint" ] && exits 0 doctor hint rebuild --json "$active" &&
        out_says '^{"state":"written","exists":true,' &&
        out_says '^{"summary":"hint_rebuild",' && exits 0 bitcask stat --json &&
        out_says '"hint_count":2,"scan_count":0,'
}

no_hint_for_damaged_data() {
    make_hint && printf X | dd of="$data" bs=1 seek=100000 conv=notrunc 2>/dev/null &&
        exits 65 bitcask hint verify && out_says 'damaged: .*data, offset [0-9]*: ' &&
        exits 65 bitcask hint rebuild && err_says 'data, offset [0-9]*' &&
        out_says '\.hint  left: ' && out_says '^1 written, 1 left' && cmp "$hint" hint-before
}

no_hint_for_what_may_be_cut() {
    make_hint && printf junk >>"$active" && exits 0 bitcask hint rebuild &&
        out_says '\.hint  left: .*open and close the cask first' && out_says '^1 written' &&
        bitcask set a 1 && exits 0 bitcask hint rebuild && out_says '^[23] written, 0 left'
}

hints_are_shown() {
    make_hint && exits 0 doctor hint show "$hint" && err_is_empty &&
        [ "$(wc -l <out)" -eq 3001 ] && out_says ' 64  *1  *988  put  *key-000001$' &&
        exits 0 bitcask hint show --json && [ "$(wc -l <out)" -eq 2999 ] &&
        out_says '"kind":"put","offset":64,.*"record_offset":64,.*"key":"key-000001"}$' &&
        bitcask hint rebuild >/dev/null && exits 0 doctor hint show "$active" &&
        out_says ' tombstone  key-000008$' && exits 0 bitcask hint show &&
        [ "$(grep -c ' salt ' out)" -eq 2 ] &&
        printf X | dd of="$hint" bs=1 seek=1000 conv=notrunc 2>/dev/null &&
        exits 65 bitcask hint show && err_says 'is damaged' && out_says ' key-000009$'
}

hint_beside_a_writer() {
    exits 75 bitcask hint rebuild && err_says "$pid" && exits 0 bitcask hint verify &&
        exits 0 bitcask hint show
}

hint_says_who_has_the_store() {
    make_hint && beside_writer hint_beside_a_writer
}

hint_usage() {
    make_hint || return
    for words in '' 'check' 'verify a b' 'verify --rate 1' "verify --dir x $cask"; do
        # shellcheck disable=SC2086
        exits 64 doctor hint $words || return
    done
    exits 64 doctor hint verify '' && exits 1 doctor hint verify nowhere &&
        err_says nowhere && exits 1 doctor hint rebuild nowhere && [ ! -e nowhere ] &&
        exits 1 doctor hint show nowhere && exits 1 doctor hint show "$cask/0000000999.hint" &&
        err_says 0000000999 && exits 1 doctor hint verify "$cask/0000000999.hint" &&
        err_says 0000000999 && exits 0 doctor hint --help && out_says '^usage: bitcask hint'
}

# verify

# Two versions of each of a few keys, some deleted; words that are there once.
make_history() {
    fresh
    printf 'ada\tfirst-ada\nbob\tfirst-bob\ncat\tfirst-cat\n' | bitcask load &&
        bitcask merge --all >/dev/null &&
        printf 'ada\tsecond-ada\ndan\tonly-dan\n' | bitcask load &&
        bitcask delete bob && bitcask set end only-end && checksums >sums
}

verify_is_clean() {
    make_history && exits 0 doctor verify "$cask" && err_is_empty &&
        out_says '^clean: no damage$' && out_says '^read [0-9]* files, .* 7 records' &&
        exits 0 bitcask verify --json --threads 2 --rate 100M && [ "$(tail -n 1 out | cut -c -36)" = \
        '{"summary":"verify","result":"clean"' ] && out_says '"record_count":7,' &&
        exits 0 bitcask verify --quiet && out_is '' && err_is_empty &&
        checksums | cmp - sums
}

verify_names_damage_and_keys() {
    make_history && damage second-ada && exits 65 bitcask verify &&
        out_says '^damage     a damaged value: [0-9]*\.data, offset [0-9]*, ' &&
        out_says '^unreadable ada  (record [0-9]* in ' && out_says '^damaged in 1 place (' &&
        exits 65 bitcask verify --json &&
        out_says '"finding":"damage","kind":"value","file":"[0-9]*\.data","offset":[1-9]' &&
        out_says '"finding":"key",.*"effect":"unreadable",.*"key":"ada"}' &&
        out_says '"summary":"verify","result":"damaged",.*"damage_count":1,' &&
        exits 65 bitcask verify --quiet && out_is '' &&
        exits 65 bitcask verify --quiet --json && out_is '' && err_is_empty
}

verify_knows_a_torn_tail() {
    make_history || return
    for active in "$cask"/*.data; do
        :
    done
    printf torn >>"$active" && exits 0 bitcask verify &&
        out_says '^note       a torn tail: [0-9]*\.data, offset [0-9]*, 4 bytes' &&
        out_says '^clean' && exits 0 bitcask verify --json &&
        out_says '"finding":"note","kind":"torn_tail",'
}

verify_is_silent_of_unused_space() {
    make_history || return
    for file in "$cask"/*.data; do
        truncate -s +1M "$file"
    done
    exits 0 bitcask verify && out_says '^clean' && ! grep note out &&
        exits 0 bitcask repair && out_says '^nothing to repair'
}

verify_shows_how_far_it_is() {
    make_garbage && exits 0 bitcask verify --progress && err_says '100 %' &&
        exits 0 bitcask verify --progress --rate 3M && [ "$(wc -l <err)" -ge 2 ]
}

verify_is_interrupted() {
    make_garbage &&
        signalled INT ' %  ' "$tool" verify --rate 64k --progress --json "$cask" &&
        [ "$status" -eq 130 ] && err_says 'ended by a signal' && out_says '"result":"stopped",'
}

# repair

nothing_is_repaired() {
    make_history && exits 0 doctor repair "$cask" && err_is_empty &&
        out_is 'nothing to repair: there is no damage\n' && exits 0 bitcask repair --dry-run &&
        exits 0 bitcask repair --json && out_says '"summary":"repair","result":"clean",' &&
        [ ! -e "$cask/quarantine" ] && checksums | grep -v LOCK >now &&
        grep -v LOCK sums | cmp - now
}

repair_shows_how_far_it_is() {
    make_history && exits 0 bitcask repair --progress && err_says '100 %' &&
        damage second-ada && exits 0 bitcask repair --progress && err_says '100 %'
}

repair_says_what_is_lost() {
    make_history && damage second-ada && damage only-dan && checksums >sums &&
        exits 65 bitcask repair --dry-run && out_says '^stale      ada ' &&
        out_says '^lost       dan ' && out_says '^rewrite    [0-9]*\.data, ' &&
        out_says '^would be repaired: 5 records are left then$' && err_says 'warning: records are lost, of 2 keys' &&
        checksums | cmp - sums && exits 65 bitcask verify && exits 0 bitcask repair &&
        out_says '^stale      ada ' && out_says '^lost       dan ' &&
        out_says '^repaired: 5 records of 3 keys are left$' &&
        out_says 'goes to quarantine/' && err_says 'warning: records are lost, of 2 keys' &&
        [ -d "$cask/quarantine" ] && exits 0 bitcask verify &&
        exits 0 bitcask list && out_is 'ada\tfirst-ada\ncat\tfirst-cat\nend\tonly-end\n' &&
        exits 0 bitcask repair && out_says '^nothing to repair'
}

repair_without_manifest() {
    make_history && bitcask list >before && rm "$cask/MANIFEST" &&
        exits 65 bitcask repair --json --dry-run && out_says '"kind":"manifest",' &&
        out_says '"result":"would_repair","dry_run":true,"changed":false,' &&
        out_says '"record_count":7,' && ! grep key_count out &&
        exits 0 bitcask repair --json && out_says '^{"step":"[a-z]*","file":' &&
        out_says '"result":"repaired","dry_run":false,"changed":true,' &&
        out_says '"record_count":7,' && out_says '"key_count":4[,}]' &&
        exits 0 bitcask verify && bitcask list | cmp - before
}

doctors_want_a_store() {
    for word in verify repair 'repair --dry-run'; do
        # shellcheck disable=SC2086
        exits 1 doctor $word nowhere && err_says nowhere && [ ! -e nowhere ] &&
            exits 64 doctor $word a b && exits 64 doctor $word --dir a b &&
            exits 64 doctor $word --prefix x || return
    done
    exits 64 doctor verify --threads 0 && exits 64 doctor verify --threads x &&
        exits 64 doctor verify --rate 0 && exits 64 doctor repair --rate 1 &&
        exits 0 doctor verify --help && exits 0 doctor repair --help || return
    printf 'verify\n' >script && fresh && exits 64 bitcask shell <script &&
        err_says 'not for the shell'
}

repair_beside_a_writer() {
    exits 75 bitcask repair && err_says "$pid" && exits 65 bitcask repair --dry-run &&
        exits 65 bitcask verify
}

repair_says_who_has_the_store() {
    make_history && damage second-ada && beside_writer repair_beside_a_writer
}

check 'stat says that a merge is due, and why' stat_says_that_a_merge_is_due
check 'stat says why none is due' stat_says_that_none_is_due
check 'stat shows what is torn, and where' stat_shows_torn_tails
check 'stat does not tell of unused space' stat_is_silent_of_unused_space
check 'hint verify tells of each hint; a file can be named, too' hints_are_verified
check 'hint verify finds damage, and hint rebuild mends it' damaged_hints_are_found_and_mended
check 'hint rebuild writes none for damaged data' no_hint_for_damaged_data
check 'hint rebuild leaves alone what may still be cut' no_hint_for_what_may_be_cut
check 'hint show lists the entries' hints_are_shown
check 'hint rebuild is locked out by a writer, the others are not' hint_says_who_has_the_store
check 'wrong words of hint are told' hint_usage
check 'verify says when all is well, and changes nothing' verify_is_clean
check 'verify names damage, and the keys that it concerns' verify_names_damage_and_keys
check 'verify calls a torn tail no damage' verify_knows_a_torn_tail
check 'verify does not tell of unused space' verify_is_silent_of_unused_space
check 'verify --progress says how far it is' verify_shows_how_far_it_is
check 'verify ends well by a signal' verify_is_interrupted
check 'repair does not touch what is whole' nothing_is_repaired
check 'repair --progress says how far it is' repair_shows_how_far_it_is
check 'repair says what is lost, and leaves a whole store' repair_says_what_is_lost
check 'repair makes a lost MANIFEST again' repair_without_manifest
check 'repair is locked out by a writer, its dry run is not' repair_says_who_has_the_store
check 'verify and repair want a store, and the right words' doctors_want_a_store
finish
