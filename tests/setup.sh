#!/bin/sh
# setup.sh - find what a build needs, or bring it.
#
#     sh tests/setup.sh stb_ds FILE     compiler flags for stb_ds.h
#     sh tests/setup.sh cmocka FILE     compiler and linker flags for cmocka
#
# Writes the flags to FILE (only if they changed, so that nothing is built again).
# Looks in STB_DS_DIR or CMOCKA_DIR, then asks pkg-config, then the usual folders,
# then what an earlier run unpacked. Where apt-get is present it then fetches the
# distribution's package: installed as root, otherwise unpacked in the folder DEPS.
set -u

what=$1
out=$2
deps=${DEPS:-$(dirname "$out")/deps}
cc=${CC:-cc}

say() { echo "setup: $*" >&2; }

# ------------------------------------------------------------------ stb_ds.h

stb_ds_in() { [ -f "$1/stb_ds.h" ] && flags="-I$1"; }

stb_ds_find() {
    if [ -n "${STB_DS_DIR:-}" ]; then
        stb_ds_in "$STB_DS_DIR" && return 0
        say "STB_DS_DIR=$STB_DS_DIR holds no stb_ds.h"
        exit 1
    fi
    for dir in $(pkg-config --cflags-only-I stb 2>/dev/null | sed 's/-I//g') \
        /usr/include/stb /usr/local/include/stb /opt/homebrew/include/stb \
        /opt/local/include/stb /usr/include /usr/local/include \
        /opt/homebrew/include /opt/local/include "$deps/usr/include/stb"; do
        stb_ds_in "$dir" && return 0
    done
    return 1
}

stb_ds_packages() { echo libstb-dev; }

# -------------------------------------------------------------------- cmocka

# cmocka_links FLAGS... - whether a program with these flags builds
cmocka_links() {
    source=$(dirname "$out")/probe.c
    printf '%s\n' '#include <stdarg.h>' '#include <stddef.h>' '#include <setjmp.h>' \
        '#include <stdint.h>' '#include <cmocka.h>' \
        'static void nothing(void **state) { (void)state; }' 'int main(void) {' \
        'const struct CMUnitTest tests[] = {cmocka_unit_test(nothing)};' \
        'return cmocka_run_group_tests(tests, NULL, NULL); }' >"$source"
    $cc "$source" -o "$source.out" "$@" >/dev/null 2>&1
    status=$?
    rm -f "$source" "$source.out"
    [ $status = 0 ] && flags="$*"
}

# cmocka_in PREFIX - headers in include/, the library in lib/ or lib/<triplet>/
cmocka_in() {
    [ -f "$1/include/cmocka.h" ] || return 1
    for lib in "$1"/lib/*-linux-gnu* "$1/lib64" "$1/lib"; do
        [ -d "$lib" ] || continue
        cmocka_links "-I$1/include" "-L$lib" "-Wl,-rpath,$lib" -lcmocka && return 0
    done
    return 1
}

cmocka_find() {
    if [ -n "${CMOCKA_DIR:-}" ]; then
        cmocka_in "$CMOCKA_DIR" && return 0
        say "CMOCKA_DIR=$CMOCKA_DIR has no working include/cmocka.h and lib/"
        exit 1
    fi
    found=$(pkg-config --cflags --libs cmocka 2>/dev/null) && cmocka_links $found &&
        return 0
    cmocka_links -lcmocka && return 0
    for prefix in /usr/local /opt/homebrew /opt/local "$deps/usr"; do
        cmocka_in "$prefix" && return 0
    done
    return 1
}

cmocka_packages() {
    echo libcmocka-dev
    apt-cache $apt depends libcmocka-dev 2>/dev/null |
        sed -n 's/^ *Depends: \(libcmocka[^ ]*\)$/\1/p'
}

# ------------------------------------------- the distribution's own packages

install_as_root() {
    say "installing $package (apt-get)"
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    apt-get install -y -q --no-install-recommends "$package" >"$log" 2>&1 && return 0
    apt-get update -q >>"$log" 2>&1
    apt-get install -y -q --no-install-recommends "$package" >>"$log" 2>&1
}

# Package lists of our own are used only where the system has none: fetching those
# needs no privileges.
unpack_here() {
    apt=
    say "unpacking $package under $deps (apt-get download)"
    mkdir -p "$deps/apt/lists/partial" "$deps/apt/archives/partial" || return 1
    if ! apt-cache show "$package" >/dev/null 2>&1; then
        apt="-o Dir::State::Lists=$deps/apt/lists -o Dir::Cache=$deps/apt"
        apt-get $apt update -q >"$log" 2>&1
    fi
    (
        cd "$deps" && rm -f ./*.deb && apt-get $apt download $(${what}_packages) &&
            for deb in *.deb; do dpkg-deb -x "$deb" . || exit 1; done
    ) >>"$log" 2>&1
}

bring() {
    command -v apt-get >/dev/null 2>&1 || return 1
    apt=
    package=$(${what}_packages | head -n 1)
    log=$deps/setup.log
    mkdir -p "$deps" || return 1
    if [ "$(id -u)" = 0 ]; then
        install_as_root && return 0
    fi
    command -v dpkg-deb >/dev/null 2>&1 && unpack_here
}

# ----------------------------------------------------------------------------

# What was found before and is still there need not be looked for again.
if [ -z "${STB_DS_DIR:-}${CMOCKA_DIR:-}" ] && [ -s "$out" ]; then
    case $what in
    stb_ds) dir=$(cat "$out") && [ -f "${dir#-I}/stb_ds.h" ] && exit 0 ;;
    cmocka) exit 0 ;;
    esac
fi
mkdir -p "$deps" "$(dirname "$out")" || exit 1
deps=$(cd "$deps" && pwd)
flags=
if ! ${what}_find; then
    bring
    if ! ${what}_find; then
        case $what in
        stb_ds) say "stb_ds.h is missing: install libstb-dev, or set STB_DS_DIR to its folder" ;;
        cmocka) say "cmocka is missing: install libcmocka-dev, or set CMOCKA_DIR to its prefix" ;;
        esac
        exit 1
    fi
fi
[ "$(cat "$out" 2>/dev/null)" = "$flags" ] || echo "$flags" >"$out"
