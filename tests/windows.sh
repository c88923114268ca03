#!/bin/sh
# windows.sh - the suites and the vectors as Windows programs: cross-compiled by MinGW,
# run by Wine.
#
#     sh tests/windows.sh            everything
#     sh tests/windows.sh setup      only what it needs: fails if that is not to be had
#
# Needs x86_64-w64-mingw32-gcc and wine (Debian: gcc-mingw-w64-x86-64, wine64). No
# distribution has a cmocka for it: its source package is fetched from where the
# system's packages come from, or found in CMOCKA_SOURCE (an unpacked source), and
# compiled. Tests that need a child process are skipped: there is no fork.
# Variables: MAKE, BUILD (folder), RUN (one suite).
set -u

if [ "${1:-}" = run ]; then # PROGRAM ARGUMENT...: how run.sh starts one
    program=$2
    shift 2
    exec wine "$program.exe" "$@"
fi

host=x86_64-w64-mingw32
BUILD=${BUILD:-build}
mkdir -p "$BUILD" || exit 1
base=$(cd "$BUILD" && pwd)
cmocka=$base/cmocka

fail() {
    echo "windows: $*" >&2
    exit 1
}

for tool in $host-gcc wine; do
    command -v $tool >/dev/null || fail "$tool is not installed"
done

# Source packages have lists of their own, which need no privileges.
fetch_cmocka() {
    lists=$cmocka/lists
    mkdir -p "$lists/parts" "$lists/partial" || return 1
    cat /etc/apt/sources.list 2>/dev/null | sed -n 's/^deb /deb-src /p' \
        >"$lists/parts/old.list"
    for file in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$file" ] || sed 's/^Types: *deb *$/Types: deb-src/' "$file" \
            >"$lists/parts/$(basename "$file")"
    done
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
        $host-gcc -O2 -DHAVE_MALLOC_H -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H \
            -DHAVE_STRUCT_TIMESPEC -DHAVE__SNPRINTF_S -DHAVE__VSNPRINTF_S \
            -I"$cmocka/include" -c "$source/src/cmocka.c" -o "$cmocka/cmocka.o" \
            >>"$cmocka/log" 2>&1 &&
        $host-ar rc "$cmocka/lib/libcmocka.a" "$cmocka/cmocka.o"
}

if [ ! -f "$cmocka/lib/libcmocka.a" ]; then
    mkdir -p "$cmocka"
    build_cmocka || fail "cmocka does not compile: see $cmocka/log"
fi

[ "${1:-}" != setup ] || exit 0

# The first start of Wine makes its folder; what it says is not ours.
WINEPREFIX=$base/wine WINEDEBUG=-all CMOCKA_DIR=$cmocka
RUNNER="sh tests/windows.sh run"
export WINEPREFIX WINEDEBUG CMOCKA_DIR RUNNER
wine cmd /c exit >"$base/wine.log" 2>&1 || fail "wine does not start: see $base/wine.log"

# Stacks of 8 MiB, as the tests expect; printf as C has it.
exec ${MAKE:-make} -s --no-print-directory BUILD="$BUILD" CC=$host-gcc \
    CFLAGS="-O2 -static -Wl,--stack,8388608" DEFS="-D__USE_MINGW_ANSI_STDIO=1" \
    RUN="${RUN:-}" windows-run
