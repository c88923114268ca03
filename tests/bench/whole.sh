#!/bin/sh
# whole.sh - figures about the library as a whole: compile, size or demo. Called by
# run.sh from the top folder, with CC, STB and out set.
set -eu
: "${out:?run.sh sets it}"

# CPU seconds of the commands this shell has waited for, as `times` tells them.
children_seconds() {
    times | awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/)
                           sum += t[1] * 60 + t[2] } printf "%.2f", sum }'
}

case $1 in
compile) # the file that holds the implementation, as a user compiles it
    # shellcheck disable=SC2086
    $CC -std=c11 -O2 -I. $STB -c tests/bench/memmgr.c -o "$out/whole.o"
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
    before=$(children_seconds)
    mkdir -p "$out/demo"
    "$out/depgraph" -o "$out/demo" >"$out/demo/output"
    after=$(children_seconds)
    awk -v a="$before" -v b="$after" 'BEGIN { printf "demo_time s %.2f\n", b - a }'
    ;;
esac
