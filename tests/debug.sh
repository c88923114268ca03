#!/bin/sh
# Six planted bugs, each to be found by three finders: the heap's own checks,
# AddressSanitizer and Valgrind. A seventh program without a bug must pass all three
# in silence. Under the two tools the heap's debug level is 0: it notices them itself,
# and shows them a wrong free; but LeakSanitizer is shown leaks from level 1 only.
#   tests/debug.sh                  from anywhere
#   CC, CPPFLAGS   the compiler, and where stb_ds.h is if not in a usual place
#   BUILD          where to build (build/debug)
# Prints a line per case and closes with the totals; the exit code is 1 if one failed.

cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
CPPFLAGS=${CPPFLAGS:--I/usr/include/stb}
BUILD=${BUILD:-build/debug}
passed=0 failed=0 skipped=0
mkdir -p "$BUILD" || exit 1

build() { # name, flags...
    name=$1
    shift
    # shellcheck disable=SC2086
    $CC -std=c99 -g -O1 -I. $CPPFLAGS "$@" tests/debug/plant.c -o "$BUILD/$name"
}

# The block that was planted, or the address of the access, must come again.
names_address() {
    sed -n 's/^planted 0x0*//p; s/^access 0x0*//p' "$1" | {
        while read -r address; do
            [ "$(grep -ci "0x0*$address" "$1")" -ge 2 ] && exit 0
        done
        exit 1
    }
}

report() { # verdict, finder, kind, output
    echo "$1  $2  $3"
    case $1 in
    ok) passed=$((passed + 1)) ;;
    *)
        failed=$((failed + 1))
        sed 's/^/      /' "$4" | head -n 30
        ;;
    esac
}

# expect FINDER KIND OUTPUT CODE PATTERN: found means a bad end, a pattern, an address
expect() {
    verdict=ok
    if [ "$2" = none ]; then
        [ "$4" -eq 0 ] || verdict=FAILED
        grep -Eq "$5" "$3" && verdict=FAILED
    else
        [ "$4" -ne 0 ] || verdict=FAILED
        grep -Eq "$5" "$3" || verdict=FAILED
        [ "$2" = leak ] || names_address "$3" || verdict=FAILED
    fi
    report $verdict "$1" "$2" "$3"
}

skip() { # finder, reason
    echo "skipped  $1  $2"
    skipped=$((skipped + 7))
}

run() { # FINDER PATTERN LEVEL KEEP command...
    finder=$1 pattern=$2 level=$3 keep=$4
    shift 4
    for kind in none overflow underflow use-after-free double-free foreign-free leak; do
        out=$BUILD/$finder-$kind.txt
        [ "$finder-$kind" != asan-leak ] || level=1
        # in a shell of its own, whose "Aborted" goes to the report too
        # shellcheck disable=SC2086
        ("$@" "$kind" "$level" $keep; exit $?) >"$out" 2>&1
        expect "$finder" "$kind" "$out" $? "$pattern"
    done
}

own='bug: |leak: 1 of raw memory'
asan='ERROR: (Address|Leak)Sanitizer'
grind='Invalid (read|write|free)|Mismatched free|definitely lost: [1-9]'

if build plain; then
    run own "$own" 2 "" "$BUILD/plain"
else
    report FAILED own build /dev/null
fi

if ! build asan -fsanitize=address -fno-omit-frame-pointer 2>"$BUILD/asan.log"; then
    skip asan "the compiler cannot link -fsanitize=address"
else
    ASAN_OPTIONS=detect_leaks=1:$ASAN_OPTIONS
    export ASAN_OPTIONS
    run asan "$asan" 0 "" "$BUILD/asan"
fi

if ! command -v valgrind >/dev/null; then
    skip valgrind "valgrind is not installed"
elif [ -x "$BUILD/plain" ]; then
    run valgrind "$grind" 0 keep valgrind --error-exitcode=99 --leak-check=full \
        --errors-for-leak-kinds=definite "$BUILD/plain"
fi

echo "debug: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
