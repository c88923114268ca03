# symbols.sh - what the implementation gives to the linker, and to the preprocessor.
. tests/checks/lib.sh

symbols() {
    compiler=$1 language=$2 std=$3
    build="$compiler -x $language -std=$std -I. $STB -c tests/compile/implementation.c"
    for level in -O0 -O2; do
        name="$compiler $std $level"
        if ! $build $level -o "$work/public.o" >"$work/log" 2>&1 ||
            ! $build $level -DMEMMGR_STATIC -o "$work/static.o" >"$work/log" 2>&1; then
            not_ok "$name: compiles" "$work/log"
            continue
        fi
        nm -g --defined-only "$work/public.o" >"$work/names"
        check "$name: mm_heap_destroy is a symbol" grep -q ' T mm_heap_destroy$' "$work/names"
        awk '$3 !~ /^mm_/' "$work/names" | none "$name: every global symbol starts with mm_"
        nm "$work/public.o" | grep stbds_ | none "$name: no stb_ds symbol, local ones included"
        nm -g --defined-only "$work/static.o" |
            none "$name: no global symbol at all with MEMMGR_STATIC"
    done
}

# macros FLAGS... - the macros defined by our files and still there at the end. -dD
# says where each one is defined, -dM which are left.
macros() {
    echo '#include "memmgr.h"' >"$work/macros.c"
    compile="$compiler -x $language -std=$std -I. $STB $* $work/macros.c"
    $compile -E -dD 2>/dev/null | awk '
        /^# [0-9]+ "/ { ours = $3 ~ /(memmgr|stb_ds)\.h"$/; next }
        ours && /^#define / { sub(/\(.*/, "", $2); print $2 }' | sort -u >"$work/defined"
    $compile -E -dM 2>/dev/null | awk '{ sub(/\(.*/, "", $2); print $2 }' | sort -u \
        >"$work/left"
    comm -12 "$work/defined" "$work/left"
}

leaks() {
    compiler=$1 language=$2 std=$3
    macros >"$work/of_header"
    macros -DMEMMGR_IMPLEMENTATION >"$work/of_both"
    name="$compiler $std"
    check "$name: macros were found to look at" test -s "$work/of_header"
    grep -v -E '^(MM_|MEMMGR_|mm_)' "$work/of_header" |
        none "$name: the header leaves only MM_, MEMMGR_ and mm_ macros"
    grep -v -x -f "$work/of_header" "$work/of_both" | grep -v -E '^(MM_[A-Z]|MEMMGR_)' |
        none "$name: the implementation leaves no macro behind"
}

for compiler in $C_COMPILERS; do symbols "$compiler" c c99; done
for compiler in $CXX_COMPILERS; do symbols "$compiler" c++ c++11; done
for compiler in $C_COMPILERS; do leaks "$compiler" c c11; done
for compiler in $CXX_COMPILERS; do leaks "$compiler" c++ c++17; done
for compiler in ${MISSING_CC:-} ${MISSING_CXX:-}; do
    skip "$compiler" "not installed"
done
