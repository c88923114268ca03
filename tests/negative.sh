#!/bin/sh
# negative.sh - negative controls of the collector's fuzzer: copies of memmgr.h, each
# with one barrier or check taken out, in which fuzz_gc must find something wrong.
#
#     sh tests/negative.sh [NAME]        from the repository's folder
#
# A control whose pattern no longer matches the header fails as stale: it would prove
# nothing. Variables: CC, STB (compiler flags that find stb_ds.h), BUILD (folder),
# SEEDS and OPS (what the fuzzer may use to find it). Prints `ok NAME` or `not ok NAME`
# per control and `N passed, N failed`.
set -u

CC=${CC:-cc}
BUILD=${BUILD:-build}
SEEDS=${SEEDS:-2000}
OPS=${OPS:-2500}
if [ -z "${STB:-}" ]; then
    if [ -f "$BUILD/stb_ds.flags" ]; then
        STB=$(cat "$BUILD/stb_ds.flags")
    else
        STB=$(pkg-config --cflags stb 2>/dev/null) || STB=-I/usr/include/stb
    fi
fi
only=${1:-}
work=$BUILD/tests/negative
mkdir -p "$work" || exit 1
passed=0 failed=0

ok() {
    echo "ok $1"
    passed=$((passed + 1))
}

not_ok() {
    echo "not ok $1"
    failed=$((failed + 1))
}

# fuzz NAME - build the fuzzer with the header in $work/NAME and run it; leaves its
# exit code in $status: 0 nothing found, 1 or 3 found, 2 not built, 124 out of time
fuzz() {
    # shellcheck disable=SC2086
    $CC -std=c99 -O1 -w -I"$work/$1" $STB tests/fuzz_gc.c -o "$work/$1/fuzz_gc" \
        >"$work/$1/log" 2>&1 || { status=2; return; }
    timeout 120 "$work/$1/fuzz_gc" 1 "$SEEDS" "$OPS" first >"$work/$1/log" 2>&1
    status=$?
}

# control NAME EXPRESSION... - each sed expression must change something
control() {
    name=$1
    shift
    [ -z "$only" ] || [ "$only" = "$name" ] || return
    rm -rf "${work:?}/$name"
    mkdir -p "$work/$name"
    cp memmgr.h "$work/$name/memmgr.h"
    for expression; do
        sed "$expression" "$work/$name/memmgr.h" >"$work/$name/new"
        if cmp -s "$work/$name/memmgr.h" "$work/$name/new"; then
            not_ok "$name # stale: the pattern does not match: $expression"
            return
        fi
        mv "$work/$name/new" "$work/$name/memmgr.h"
    done
    fuzz "$name"
    case $status in
    0) not_ok "$name # not found in $SEEDS seeds of $OPS operations" ;;
    2) not_ok "$name # does not build: $(head -n 1 "$work/$name/log")" ;;
    124) not_ok "$name # not found in time" ;;
    *) ok "$name: $(grep -m 1 -E '^seed .* failed|^signal' "$work/$name/log" ||
        echo "ended with code $status")" ;;
    esac
}

# The header as it is: nothing may be found.
if [ -z "$only" ]; then
    mkdir -p "$work/whole"
    cp memmgr.h "$work/whole/memmgr.h"
    fuzz whole
    if [ $status = 0 ]; then
        ok "the header as it is: nothing found"
    else
        not_ok "the header as it is"
        head -n 30 "$work/whole/log" | sed 's/^/# /'
    fi
fi


# The barriers of the mutator: references that move, are found, are dropped.
control take-barrier '/^MM__INLINE void \*mm__take(/,/^}/s/.*mm__barrier(p);.*//'
control weak-barrier '/^MM__INLINE void \*mm__found(/,/^}/s/mm__arena_of(object)->hidden/MM__F_DEAD/'
control handle-barrier '/^MM_API void \*mm__handle_slow(/,/^}/s/ || !mm__barrier(place->object)//'
control decref-barrier '/^MM__PRIVATE void mm__suspect(/,/^}/s/.*mm__blacken(h, object);//'
control death-barrier '/^MM__RARE MM__PRIVATE void mm__die_at_length(/,/^}/s/.*mm__blacken(h, object);//'
control birth-barrier '/^MM__PRIVATE void mm__blocks_left_pool(/,/^}/s/= MM__LIVE/= 0/'

# What else must not be left out.
control recheck '/void mm__recondemn_word(/,/^}/s/live = mask & ~mm__not_live(bytes)/live = 0/'
control weaken 's/case MM__WEAKEN: case MM__CALL: return !t->weak;/case MM__WEAKEN: case MM__CALL: return true;/'
control finalize-once '/^MM__PRIVATE void mm__finalize_trash(/,/^}/s/.*|= MM__F_FINALIZED;//'
control large-counts '/^MM__ALWAYS_INLINE bool mm__held(/,/^}/s/.*mm__excess_of(h, t, object);//'
control suspects '/^MM__PRIVATE void mm__suspect_old(/,/^}/s/h->gc.suspects++;/(void)0;/'
control closure-quiet '/^MM__PRIVATE bool mm__closure_unquiet(/,/^}/s/mm__unquiet(header);//'
control closure-seeds '/size_t mm__closure_seed(/,/^}/s/closure_add(h, t, pool, x, object, 0)/closure_add(h, t, pool, x, object, 1)/'

control roots-proof '/^MM__RARE MM__PRIVATE bool mm__roots_hold(/,/^}/s/return hold;/return hold || true;/'
control mark-behind '/^MM__PRIVATE void mm__far_mark(/,/^}/s/mm__stack_push(h, &t->marks, ref->child);/;/'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
