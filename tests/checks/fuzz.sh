# fuzz.sh - run every fuzzer tests/test_fuzz*.c with seed after seed (FUZZ_SEED, which
# they read) until FUZZ_SECONDS are over, shared equally; stop at the first failure.
. tests/checks/lib.sh

FUZZ_SEEDS=3
export FUZZ_SEEDS FUZZ_SEED

# fuzzer NAME SECONDS
fuzzer() {
    program=$BUILD/tests/$1
    if ! ${MAKE:-make} -s --no-print-directory "$program" >"$work/log" 2>&1; then
        not_ok "$1 does not build" "$work/log"
        return
    fi
    first=${FUZZ_FIRST:-1}
    FUZZ_SEED=$first
    end=$(($(date +%s) + $2))
    while :; do
        if ! "$program" >"$work/log" 2>&1; then
            not_ok "$1 with FUZZ_SEED=$FUZZ_SEED FUZZ_SEEDS=$FUZZ_SEEDS" "$work/log"
            return
        fi
        FUZZ_SEED=$((FUZZ_SEED + FUZZ_SEEDS))
        [ "$(date +%s)" -lt "$end" ] || break
    done
    ok "$1: seeds $first to $((FUZZ_SEED - 1))"
}

set -- tests/test_fuzz*.c
if [ ! -f "$1" ]; then
    not_ok "there is no tests/test_fuzz*.c"
    exit 1
fi
share=$((${FUZZ_SECONDS:-60} / $#))
for file; do fuzzer "$(basename "$file" .c)" "$share"; done
