#!/bin/sh
# demo.sh [PROGRAM] - examples/depgraph.c on the sample, on bad input, and with too
# little memory; and on this machine's own package list where it has one. PROGRAM is
# the built demo; without it, it is compiled here. One line per check; exits with 1 if
# one fails.
set -u
cd "$(dirname "$0")/.." || exit 1
sample=examples/data/packages.sample
work=$(mktemp -d "${TMPDIR:-/tmp}/demo.XXXXXX") || exit 1
trap 'chmod -R u+rwx "$work"; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
failed=0

ok() { printf 'ok - %s\n' "$1"; }
not_ok() {
    printf 'not ok - %s\n' "$1"
    sed 's/^/#   /' "$work/out" "$work/err" 2>/dev/null | tail -n 12
    failed=$((failed + 1))
}
skip() { printf 'ok - %s # SKIP %s\n' "$1" "$2"; }

# check NAME COMMAND... - the command says whether it is so.
check() {
    name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name"; fi
}

# run ARGUMENT... - the demo, its files in $work; leaves out, err and $status.
run() {
    "$demo" -o "$work" "$@" >"$work/out" 2>"$work/err" </dev/null
    status=$?
}

says() { grep -q -- "$1" "$work/out"; }
works() { [ "$status" = 0 ] && [ ! -s "$work/err" ] && says 'leaks *0:'; }

# One line on stderr, that names the file and holds the reason.
fails_with() {
    [ "$status" = 1 ] && [ "$(wc -l <"$work/err")" -eq 1 ] &&
        grep -q -- "^depgraph: $1: .*$2" "$work/err"
}

# refused NAME FILE REASON
refused() {
    run "$2"
    check "$1" fails_with "$2" "$3"
}

demo=${1:-}
if [ -z "$demo" ]; then
    demo=$work/depgraph
    ${CC:-cc} -std=c99 -O2 -I. "-I${STB_DS_DIR:-/usr/include/stb}" examples/depgraph.c \
        -o "$demo" || exit 1
fi

# ---- The sample ----------------------------------------------------------------------

run "$sample"
check 'sample: works' works
check 'sample: 40 packages, a second version left out' says '^Packages *40, .*: 1$'
check 'sample: 73 edges' says '^Edges *73,'
check 'sample: one dependency unresolved, and it is named' \
    says '^Unresolved *1, first libimagination9 for telescope-driver-dream'
check 'sample: 7 knots of 21 packages' says '^Knots *7, of 21 '
check 'sample: the largest knot by name' says '^ *5 *harbour-chart harbour-keeper harb'
check 'sample: 8 packages go by count' says '^ *by count *8 '
check 'sample: 32 packages go by the collector' says '^ *by collector *32 '
check 'sample: no name is left in the weak cache' says '^ *weak cache .* 0 now'

arrows=$(grep -c -- '->' "$work/depgraph.dot")
check 'sample: the picture holds the edges of the knot' [ "$arrows" = 6 ]
if command -v dot >/dev/null 2>&1; then
    check 'sample: the picture is drawn' grep -q '</svg>' "$work/depgraph.svg"
else
    skip 'sample: the picture is drawn' 'no graphviz'
fi
live=$(awk '$1 == "total" { gsub(",", ""); print $3 }' "$work/out")
profiled=$(awk '{ n += $NF } END { print n }' "$work/depgraph.folded")
check 'sample: the profile adds up to the live bytes' [ "$profiled" = "$live" ]

# ---- Good input in other clothes -----------------------------------------------------

gzip -c "$sample" >"$work/packed.gz"
run "$work/packed.gz"
check 'gzip: unpacked and read' works
cp "$sample" "$work/it's here; rm x"
run "$work/it's here; rm x"
check 'a path with a quote and a semicolon' works
gzip -c "$sample" >"$work/it's \$(here).gz"
run "$work/it's \$(here).gz"
check 'the same, packed' works
sed 's/$/\r/' "$sample" >"$work/crlf"
run "$work/crlf"
check 'lines that end in CR LF' works
check 'and the same graph' says '^Edges *73,'
printf '# by hand\nPackage: a\nDepends: b (>= 1) | c:any,\n d\n\n\n' >"$work/by-hand"
printf 'Package: b\nDepends: a\n' >>"$work/by-hand"
run "$work/by-hand"
check 'by hand: comments, no empty line at the end' works
check 'by hand: a knot of two' says '^Knots *1, of 2 '
printf 'Package: a\n' >"$work/one"
run "$work/one"
check 'one package' works
run -x "$sample"
check 'an unknown option is refused' [ "$status" = 1 ]
awk 'BEGIN { for (i = 0; i < 50000; i++)
    printf "Package: p%d\nDepends: p%d, q%d\n\n", i, (i + 1) % 50000, i }' >"$work/ring"
run "$work/ring"
check 'a knot of 50,000' works
awk 'BEGIN { for (i = 0; i < 50000; i++)
    printf "Package: p%d\nDepends: p%d\n\n", i, i + 1 }' >"$work/chain"
run "$work/chain"
check 'a chain of 50,000' works

# ---- Bad input -----------------------------------------------------------------------

refused 'missing' "$work/none" 'No such file'
refused 'missing, with the name of a packed one' "$work/none.gz" 'No such file'
mkdir "$work/folder"
refused 'a directory' "$work/folder" 'directory'
: >"$work/empty"
refused 'empty' "$work/empty" 'empty'
: >"$work/empty.xz"
refused 'empty, with the name of a packed one' "$work/empty.xz" 'empty'
printf '\n\n\n' >"$work/blank"
refused 'empty lines only' "$work/blank" 'no package'
gzip -c "$sample" >"$work/noise"
refused 'binary noise' "$work/noise" 'binary data\|not a field'
gzip -c "$sample" | tr -d '\000' >"$work/noise"
refused 'binary noise without a zero' "$work/noise" 'line 1'
cp "$sample" "$work/noise.gz"
refused 'text with the name of a packed file' "$work/noise.gz" 'cannot be unpacked'
if [ -c /dev/zero ]; then refused 'an endless file of zeros' /dev/zero 'zero'; fi
{ printf 'Package: a\nDescription: '; head -c 10000000 /dev/zero | tr '\0' x
    printf '\n\n'; } >"$work/long"
refused 'a line of 10 MB' "$work/long" 'line 2 has 100000'
head -c 10000000 /dev/zero | tr '\0' x >"$work/long"
refused 'a line of 10 MB and nothing else' "$work/long" 'line 1 has 100000'
printf 'It was a dark and stormy night.\n' >"$work/prose"
refused 'prose' "$work/prose" 'line 1 is not a field'
printf 'root:x:0:0\n' >"$work/passwd"
refused 'fields, but no package' "$work/passwd" 'line 1.*without a Package'
printf 'Package: a\n\nVersion: 1\n\n' >"$work/nameless"
refused 'a stanza without a name' "$work/nameless" 'line 3.*without a Package'
printf 'Package: a\nPackage: b\n\n' >"$work/twice"
refused 'two packages in one stanza' "$work/twice" 'line 2: a second Package'
printf 'Package: a "b"\n\n' >"$work/name"
refused 'a name that is none' "$work/name" 'valid name'
printf ' Package: a\n\n' >"$work/indented"
refused 'a continued field that never began' "$work/indented" 'line 1'
printf 'Package: a\nDepends: b' >"$work/cut"
refused 'no newline at the end' "$work/cut" 'line 2.*cut off'

cp "$sample" "$work/secret"
chmod 000 "$work/secret"
if [ "$(id -u)" != 0 ]; then
    refused 'no permission to read' "$work/secret" 'Permission denied'
elif command -v setpriv >/dev/null 2>&1; then
    chmod 755 "$work"
    cp "$demo" "$work/copy"
    setpriv --reuid=65534 --clear-groups "$work/copy" "$work/secret" \
        >"$work/out" 2>"$work/err"
    status=$?
    check 'no permission to read' fails_with "$work/secret" 'Permission denied'
else
    skip 'no permission to read' 'root may read everything'
fi

# A list that is cut anywhere but between two stanzas is refused.
size=$(wc -c <"$sample") cut=37 bad=0 cuts=0
while [ "$cut" -lt "$size" ]; do
    head -c "$cut" "$sample" >"$work/cut"
    run "$work/cut"
    if [ -n "$(tail -n 1 "$work/cut")" ]; then
        fails_with "$work/cut" 'cut off' || bad=$((bad + 1))
    else
        works || bad=$((bad + 1))
    fi
    cut=$((cut + 211)) cuts=$((cuts + 1))
done
check "cut at $cuts places" [ "$bad" = 0 ]
for packer in gzip xz lz4 zstd bzip2; do
    command -v "$packer" >/dev/null 2>&1 || continue
    end=$(echo "$packer" | sed 's/gzip/gz/; s/zstd/zst/; s/bzip2/bz2/')
    "$packer" -c <"$work/ring" >"$work/whole.$end" 2>/dev/null
    head -c 50000 "$work/whole.$end" >"$work/cut.$end"
    refused "cut short: $packer" "$work/cut.$end" 'cannot be unpacked'
done

# ---- Output that cannot be written ---------------------------------------------------

"$demo" -o "$work/nowhere" "$sample" >"$work/out" 2>"$work/err"
status=$?
check 'no folder to write to' fails_with "$sample" 'cannot write'
if [ -c /dev/full ]; then
    "$demo" -o "$work" "$sample" >/dev/full 2>"$work/err"
    status=$?
    check 'no room for the report' fails_with "$sample" 'No space'
fi

# ---- Too little memory ---------------------------------------------------------------

# sweep NAME FILE FROM STEP TO - every cap ends well or with one line
sweep() {
    cap=$3 bad=0 good=0 out=0
    while [ "$cap" -le "$5" ]; do
        run --max-bytes "$cap" "$2"
        if works; then
            good=$((good + 1))
        elif fails_with "$2" 'out of memory'; then
            out=$((out + 1))
        else
            bad=$((bad + 1))
            sed "s/^/# at $cap: /" "$work/err" | head -n 3
        fi
        cap=$((cap + $4))
    done
    check "$1: $out ran out, $good went through" [ "$bad" = 0 ]
}

sweep 'less than an arena' "$sample" 1 99991 4194304
sweep 'the sample, cap by cap' "$sample" 4194304 65536 9437184
check 'the sample, cap by cap: the last is enough' [ "$good" -gt 0 ]
sweep 'a knot of 50,000, cap by cap' "$work/ring" 4194304 1048576 67108864
check 'a knot of 50,000, cap by cap: both happened' [ $((good * out)) -gt 0 ]

# ---- The machine's own list ----------------------------------------------------------

run
check 'whatever this machine has' works
sed -n 's/^/# /; /Input/,/Built/p' "$work/out"

[ "$failed" = 0 ] || printf '%s checks failed\n' "$failed"
[ "$failed" = 0 ]
