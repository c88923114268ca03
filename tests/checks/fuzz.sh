# fuzz.sh - run every fuzzer with seed after seed until FUZZ_SECONDS are over, shared
# equally; stop at the first failure. Two forms: programs `tests/fuzz_*.c SEED COUNT`,
# which do 1000 seeds at least, and suites tests/test_fuzz*.c, which read FUZZ_SEED and
# FUZZ_SEEDS.
. tests/checks/lib.sh

# fuzzer NAME SECONDS FIRST_BATCH BATCH
fuzzer() {
    program=$BUILD/tests/$1
    if ! ${MAKE:-make} -s --no-print-directory "$program" >"$work/log" 2>&1; then
        not_ok "$1 does not build" "$work/log"
        return
    fi
    first=${FUZZ_FIRST:-1}
    seed=$first
    count=$3
    end=$(($(date +%s) + $2))
    while :; do
        if ! FUZZ_SEED=$seed FUZZ_SEEDS=$count "$program" "$seed" "$count" \
            >"$work/log" 2>&1; then
            not_ok "$1, somewhere in $count seeds from $seed" "$work/log"
            return
        fi
        seed=$((seed + count))
        count=$4
        [ "$(date +%s)" -lt "$end" ] || break
    done
    ok "$1: seeds $first to $((seed - 1))"
}

set --
for file in tests/fuzz_*.c tests/test_fuzz*.c; do
    [ ! -f "$file" ] || set -- "$@" "$(basename "$file" .c)"
done
if [ $# = 0 ]; then
    not_ok "there is no tests/fuzz_*.c and no tests/test_fuzz*.c"
    exit 1
fi
share=$((${FUZZ_SECONDS:-60} / $#))
for name; do
    case $name in
    fuzz_*) fuzzer "$name" $share 1000 100 ;;
    *) fuzzer "$name" $share 3 3 ;;
    esac
done
