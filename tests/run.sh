#!/bin/sh
# run.sh - build and run tests; one line each, details only of what failed.
#
#     sh tests/run.sh NAME...
#
# NAME is `suites` (every tests/test_*.c), one suite (`test_heap`), or a script of
# tests/checks/ (`compile`, `docs`, ...). The last line is `N passed, N failed`, with
# `, N skipped` where something was; the exit code is 1 if anything failed.
#
# Variables: MAKE, BUILD (folder), RUNNER (put before each suite, e.g. valgrind).
set -u

MAKE=${MAKE:-make}
BUILD=${BUILD:-build}
RUNNER=${RUNNER:-}
logs=$BUILD/tests/logs
mkdir -p "$logs" || exit 1
all_passed=0 all_failed=0 all_skipped=0

# count LOG - sets passed, failed and skipped from the lines of a log. A suite
# announces how many tests follow (1..N): results that never came are failures.
count() {
    eval "$(awk '
        /^1\.\.[0-9]+/ { sub(/^1\.\./, ""); planned += $1; next }
        /^(not )?ok .*# SKIP/ { skipped++; next }
        /^ok / { passed++; next }
        /^not ok / { failed++ }
        END {
            missing = planned - passed - failed - skipped
            if (missing > 0) failed += missing
            printf "passed=%d failed=%d skipped=%d missing=%d\n",
                passed, failed, skipped, (missing > 0 ? missing : 0)
        }' "$1")"
}

# show LOG - the failed lines with what belongs to them
show() {
    awk '/^not ok / && !/# SKIP/ { on = 12; print "    " $0; next }
         /^(not )?ok / || /^1\.\./ { on = 0; next }
         on && /^# / && !/^# (not )?ok / {
             print "      " (--on ? substr($0, 3) : "... (all of it: " FILENAME ")")
         }' "$1"
    [ "$missing" = 0 ] || echo "    $missing results are missing"
}

# tally NAME LOG STATUS - the line for one suite; STATUS is its exit code
tally() {
    count "$2"
    crashed=
    if [ "$3" != 0 ] && [ "$failed" = 0 ]; then
        failed=1
        crashed="ended with code $3"
    elif [ $((passed + failed + skipped)) = 0 ]; then
        failed=1
        crashed="printed no results"
    fi
    summary="$passed passed"
    [ "$failed" = 0 ] || summary="$summary, $failed FAILED"
    [ "$skipped" = 0 ] || summary="$summary, $skipped skipped"
    echo "$summary"
    [ "$failed" = 0 ] || show "$2"
    if [ -n "$crashed" ] || [ "$missing" != 0 ]; then
        [ -z "$crashed" ] || echo "    $crashed; the end of $2:"
        grep -v -E '^ok |^1\.\.' "$2" | tail -n 25 | sed 's/^/      /'
    fi
    all_passed=$((all_passed + passed))
    all_failed=$((all_failed + failed))
    all_skipped=$((all_skipped + skipped))
}

run_suite() {
    log=$logs/$1.log
    printf '  %-24s ' "$1"
    if $MAKE -s --no-print-directory "$BUILD/tests/$1" >"$log" 2>&1; then
        [ ! -s "$log" ] || mv "$log" "$log.warnings"
        CMOCKA_MESSAGE_OUTPUT=TAP $RUNNER "$BUILD/tests/$1" >"$log" 2>&1
        tally "$1" "$log" $?
    else
        echo "not ok $1 does not build" >>"$log"
        tally "$1" "$log" 1
        grep -v '^not ok' "$log" | head -n 25 | sed 's/^/      /'
    fi
}

run_check() {
    log=$logs/$1.log
    printf '  %-24s ' "$1"
    sh "tests/checks/$1.sh" >"$log" 2>&1
    tally "$1" "$log" $?
}

run() {
    if [ "$1" = suites ]; then
        for suite in tests/test_*.c; do
            [ ! -f "$suite" ] || run_suite "$(basename "$suite" .c)"
        done
    elif [ -f "tests/checks/$1.sh" ]; then
        run_check "$1"
    elif [ -f "tests/$1.c" ]; then
        run_suite "$1"
    else
        echo "  $1: no such test" >&2
        all_failed=$((all_failed + 1))
    fi
}

for name in "$@"; do run "$name"; done

if [ $((all_passed + all_failed + all_skipped)) = 0 ]; then
    echo "  nothing was run"
    all_failed=1
fi
echo
total="$all_passed passed, $all_failed failed"
[ "$all_skipped" = 0 ] || total="$total, $all_skipped skipped"
echo "$total"
[ "$all_failed" = 0 ]
