#!/bin/sh
# foreign.sh - the suites and the vectors as programs of another platform.
#
#     sh tests/foreign.sh windows    64-bit Windows: compiled by MinGW, run by Wine
#     sh tests/foreign.sh 32bit      32-bit x86, on this machine
#     sh tests/foreign.sh NAME setup    only what that needs: fails if it is not to be had
#
# Needs x86_64-w64-mingw32-gcc and wine (Debian: gcc-mingw-w64-x86-64, wine, wine64), or a
# gcc that knows -m32 (gcc-multilib). No distribution has a cmocka for these: its source
# package is fetched from where the system's packages come from, or found in
# CMOCKA_SOURCE (an unpacked source), and compiled. Windows has no fork: tests that need
# a child process are skipped there.
# Variables: MAKE, BUILD (folder), RUN (one suite).
set -u

if [ "$1" = run ]; then # PROGRAM ARGUMENT...: how run.sh starts a Windows program
    program=$2
    shift 2
    exec wine "$program.exe" "$@"
fi

platform=$1
BUILD=${BUILD:-build}
mkdir -p "$BUILD" || exit 1
base=$(cd "$BUILD" && pwd)
cmocka=$base/cmocka

fail() {
    echo "$platform: $*" >&2
    exit 1
}

# Stacks of 8 MiB, as the tests expect; printf as C has it.
case $platform in
windows)
    CC=x86_64-w64-mingw32-gcc
    CFLAGS="-O2 -static -Wl,--stack,8388608" DEFS="-D__USE_MINGW_ANSI_STDIO=1"
    has="-DHAVE__SNPRINTF_S -DHAVE__VSNPRINTF_S -DHAVE_STRUCT_TIMESPEC"
    RUNNER="sh tests/foreign.sh run"
    command -v $CC >/dev/null || fail "$CC is not installed"
    command -v wine >/dev/null || fail "wine is not installed"
    ;;
32bit)
    CC="gcc -m32"
    CFLAGS="-O2 -g" DEFS=
    has="-DHAVE_STRUCT_TIMESPEC"
    RUNNER=
    echo '#include <stdio.h>' | $CC -fsyntax-only -x c - 2>/dev/null ||
        fail "gcc does not know -m32: gcc-multilib is not installed"
    ;;
*) fail "not a platform: windows, 32bit" ;;
esac

# Source packages have lists of their own, which need no privileges.
fetch_cmocka() {
    lists=$cmocka/lists
    rm -rf "$lists"
    mkdir -p "$lists/parts" "$lists/partial" || return 1
    for file in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$file" ] || sed 's/^Types: *deb *$/Types: deb-src/' "$file" \
            >"$lists/parts/$(basename "$file")"
    done
    [ -n "$(ls "$lists/parts")" ] || # the older form; the two must not name one archive
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$lists/parts/old.list"
    apt="-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=$lists/parts
         -o Dir::State::Lists=$lists -o Dir::Cache=$cmocka"
    (
        cd "$cmocka" && apt-get $apt update -q && rm -f ./*.orig.tar.* &&
            apt-get $apt source -q --download-only cmocka && tar xf ./*.orig.tar.?z
    ) >"$cmocka/log" 2>&1
}

build_cmocka() {
    source=${CMOCKA_SOURCE:-}
    if [ -z "$source" ]; then
        fetch_cmocka || fail "no source of cmocka: see $cmocka/log"
        source=$(echo "$cmocka"/cmocka-*)
    fi
    mkdir -p "$cmocka/include" "$cmocka/lib" &&
        cp "$source"/include/*.h "$cmocka/include" &&
        $CC -O2 -DHAVE_MALLOC_H -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H $has \
            -I"$cmocka/include" -c "$source/src/cmocka.c" -o "$cmocka/cmocka.o" \
            >>"$cmocka/log" 2>&1 &&
        ar rc "$cmocka/lib/libcmocka.a" "$cmocka/cmocka.o"
}

if [ ! -f "$cmocka/lib/libcmocka.a" ]; then
    mkdir -p "$cmocka"
    build_cmocka || fail "cmocka does not compile: see $cmocka/log"
fi
[ "${2:-}" != setup ] || exit 0

# The first start of Wine makes its folder; what it says is not ours.
CMOCKA_DIR=$cmocka WINEPREFIX=$base/wine WINEDEBUG=-all
export CMOCKA_DIR RUNNER WINEPREFIX WINEDEBUG
if [ "$platform" = windows ]; then
    wine cmd /c exit >"$base/wine.log" 2>&1 || fail "wine does not start: see $base/wine.log"
fi

exec ${MAKE:-make} -s --no-print-directory BUILD="$BUILD" CC="$CC" CFLAGS="$CFLAGS" \
    DEFS="$DEFS" RUN="${RUN:-}" foreign-run
