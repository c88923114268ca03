# lib.sh - what the check scripts share. Each prints one line per check, which
# tests/run.sh counts: `ok NAME`, `not ok NAME` followed by `# ` details, or
# `ok NAME # SKIP reason`. Sourced with the repository as the current folder.
set -u

CC=${CC:-cc}
CXX=${CXX:-c++}
BUILD=${BUILD:-build}
STB=$(cat "$BUILD/stb_ds.flags") || exit 1
work=$BUILD/tests/checks/$(basename "$0" .sh)
rm -rf "$work"
mkdir -p "$work" || exit 1

ok() { echo "ok $1"; }
skip() { echo "ok $1 # SKIP $2"; }

# not_ok NAME [FILE] - FILE holds the details
not_ok() {
    echo "not ok $1"
    [ -z "${2:-}" ] || head -n 40 "$2" | sed 's/^/# /'
}

# check NAME COMMAND... - the command must succeed
check() {
    checked=$1
    shift
    if "$@" >"$work/log" 2>&1; then ok "$checked"; else not_ok "$checked" "$work/log"; fi
}

# none NAME - the lines on standard input are findings: there must be none
none() {
    cat >"$work/found"
    if [ -s "$work/found" ]; then not_ok "$1" "$work/found"; else ok "$1"; fi
}

# have COMMAND - whether it is installed
have() { command -v "$1" >/dev/null 2>&1; }

# The compilers to try, as words: clang's rows are skipped where it is absent.
is_clang() { $1 --version 2>/dev/null | grep -q -i clang; }
C_COMPILERS=$CC
CXX_COMPILERS=
have "$CXX" && CXX_COMPILERS=$CXX
if is_clang "$CC"; then
    other=gcc other_cxx=g++
else
    other=clang other_cxx=clang++
fi
if have $other; then C_COMPILERS="$C_COMPILERS $other"; else MISSING_CC=$other; fi
if have $other_cxx; then CXX_COMPILERS="$CXX_COMPILERS $other_cxx"; fi
for compiler in "$CXX" $other_cxx; do
    have "$compiler" || MISSING_CXX="${MISSING_CXX:-} $compiler"
done

# accepts COMPILER LANGUAGE FLAG - whether the compiler knows the flag
accepts() { $1 -x "$2" "$3" -fsyntax-only /dev/null >/dev/null 2>&1; }

WARN="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual
      -Wundef -Wwrite-strings -Wvla -Werror"

# strict_flags COMPILER LANGUAGE - the warnings that the header must not cause
strict_flags() {
    echo $WARN
    if is_clang "$1"; then echo -Wcast-align; else echo -Wcast-align=strict; fi
    [ "$2" != c ] || echo -Wstrict-prototypes -Wmissing-prototypes
}
