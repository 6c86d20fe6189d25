# shellcheck shell=sh disable=SC2154 # what is not set here is set by those who source it
# For the tests of the command line, behind checks.sh: run it in $work on stores of its
# own, and look at what it says. $tool is the program. Sourced by them, not run.

cd "$work" || exit 1
cask=$work/cask-0
number=0

# A store of its own for each check: `fresh` and then $cask.
fresh() {
    number=$((number + 1))
    cask=$work/cask-$number
}

bitcask() {
    timeout 60 "$tool" --dir "$cask" "$@"
}

# exits STATUS COMMAND...: run it, with what it prints in `out` and `err`.
exits() {
    expected=$1
    shift
    status=0
    "$@" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq "$expected" ] || {
        echo "exit status $status, not $expected: $*"
        cat "$work/out" "$work/err"
        return 1
    }
}

# The last command said exactly this on standard output (printf's escapes are decoded).
# shellcheck disable=SC2059 # that is what they are for
out_is() {
    printf -- "$1" >wanted
    cmp wanted out || {
        od -c out | head
        return 1
    }
}

# says FILE TEXT: it has a line like that.
says() {
    grep -q -e "$2" "$1" || {
        echo "nothing about '$2' in:"
        head -n 40 "$1"
        return 1
    }
}

out_says() {
    says out "$1"
}

err_says() {
    says err "$1"
}

err_is_empty() {
    [ ! -s err ] || {
        cat err
        return 1
    }
}

# retry COMMAND...: until it succeeds, for ten seconds.
retry() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || return 1
        sleep 0.05
    done
}

# signalled SIGNAL TEXT COMMAND...: run it, and send it the signal when `err` has TEXT. Its
# status is in $status then, and in $took_ms how long it took behind the signal.
# It is run in the foreground, since a shell has jobs in the background ignore SIGINT.
signalled() {
    signal=$1
    text=$2
    shift 2
    status=0
    : >err
    rm -f pid sent
    (retry grep -qF -e "$text" err && date +%s%N >sent && kill -s "$signal" "$(cat pid)") &
    # shellcheck disable=SC2016 # these are those of the inner shell
    timeout 60 sh -c 'echo $$ >pid && exec "$@"' sh "$@" >out 2>err || status=$?
    wait $!
    # shellcheck disable=SC2034 # it is for who calls this
    [ -s sent ] && took_ms=$((($(date +%s%N) - $(cat sent)) / 1000000))
}

# on_terminal COMMAND: run it in a terminal, with what the terminal shows in `out`.
on_terminal() {
    script -qec "$1" /dev/null >terminal </dev/null || return
    tr -d '\r' <terminal >out
}

# Overwrite the bytes $1, which are in one data file once, with as many others.
damage() {
    file=$(grep -lF "$1" "$cask"/*.data) &&
        offset=$(grep -abobF "$1" "$file" | head -n 1 | cut -d : -f 1) &&
        printf X | dd of="$file" bs=1 seek="$offset" conv=notrunc 2>/dev/null
}

# pairs FIRST LAST ROUND: such keys with values of about 1,000 bytes.
pairs() {
    awk -v first="$1" -v last="$2" -v round="$3" 'BEGIN {
        for (i = first; i <= last; i++)
            printf "key-%06d\tvalue-%d-%0980d\n", i, round, i
    }' </dev/null
}

# What the files of the store are now.
checksums() {
    (cd "$cask" && find . -type f -exec cksum {} + | sort)
}

# beside_writer COMMAND...: run it while process $pid, a shell, has the store open.
beside_writer() {
    rm -f input && mkfifo input || return
    "$tool" --dir "$cask" --no-merge shell <input >/dev/null 2>shell-err &
    pid=$!
    exec 3>input
    printf 'set a 1\n' >&3
    result=0
    retry bitcask exists a 2>/dev/null && "$@" || result=1
    exec 3>&-
    wait "$pid" && [ "$result" -eq 0 ]
}
