#!/bin/sh
# whole.sh - figures about the library as a whole: compile, size or demo. Called by
# run.sh from the top folder, with CC, STB and out set.
set -eu
: "${out:?run.sh sets it}"

# What the commands this shell has waited for have taken, in seconds of CPU. `times`
# must run in this shell itself: a subshell has waited for nobody.
children_seconds() {
    awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/)
                   sum += t[1] * 60 + t[2] } printf "%.2f", sum }' "$out/times"
}

case $1 in
compile) # the file that holds the implementation, as a user compiles it
    # shellcheck disable=SC2086
    $CC -std=c11 -O2 -I. $STB -c tests/bench/memmgr.c -o "$out/whole.o"
    times >"$out/times"
    echo "compile_time s $(children_seconds)"
    ;;
size) # text of the quick start, linked without what it does not use
    # shellcheck disable=SC2086
    $CC -std=c11 -O2 -ffunction-sections -fdata-sections -Wl,--gc-sections -I. $STB \
        tests/bench/quickstart.c -o "$out/quickstart" -lpthread -lm
    "$out/quickstart" >/dev/null
    size "$out/quickstart" | awk 'NR == 2 { printf "text_size KiB %.1f\n", $1 / 1024 }'
    ;;
demo)
    [ -f examples/depgraph.c ] || exit 0
    # shellcheck disable=SC2086
    $CC -std=c11 -O2 -I. $STB examples/depgraph.c -o "$out/depgraph" -lpthread -lm
    times >"$out/times"
    before=$(children_seconds)
    mkdir -p "$out/demo"
    "$out/depgraph" -o "$out/demo" >"$out/demo/output"
    times >"$out/times"
    after=$(children_seconds)
    awk -v a="$before" -v b="$after" 'BEGIN { printf "demo_time s %.2f\n", b - a }'
    # What it says of itself, by the wall clock.
    sed -n -e 's/^Built in *\([0-9]*\) ms.*/demo_build ms \1/p' \
        -e 's/^ *slices .*the longest took \([0-9]*\) us.*/demo_slice us \1/p' \
        "$out/demo/output"
    ;;
esac
