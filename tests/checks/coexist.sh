# coexist.sh - the library's private stb_ds beside an application's own: in the same
# file before and after it, with allocator macros, with every setting of stb_ds, in
# another file; as C and as C++.
. tests/checks/lib.sh

# build OUTPUT FLAGS FILE... - compiles and links with the compiler of the moment
build() {
    output=$1 flags=$2
    shift 2
    sources=
    rm -f "$output"
    for file in "$@"; do sources="$sources tests/coexist/$file.c"; done
    $compiler -x $language -std=$std $flags -I. $STB $sources -o "$output" \
        -lm -lpthread >"$work/log" 2>&1
}

# program NAME FLAGS FILE... - it must build and leave 0
program() {
    name="$compiler $std: $1"
    shift
    if ! build "$work/program" "$@"; then
        not_ok "$name does not build" "$work/log"
    else
        check "$name" "$work/program"
    fi
}

# preprocessed NAME FILE - the same in two steps, as distcc and ccache compile
preprocessed() {
    name="$compiler $std: $1, preprocessed apart"
    suffix=i
    [ "$language" = c ] || suffix=ii
    if $compiler -x $language -std=$std -I. $STB -E "tests/coexist/$2.c" \
        >"$work/program.$suffix" 2>"$work/log" && $compiler -std=$std -w \
        "$work/program.$suffix" -o "$work/program" -lm -lpthread >"$work/log" 2>&1; then
        check "$name" "$work/program"
    else
        not_ok "$name does not build" "$work/log"
    fi
}

cases() {
    program "the library alone" "" alone
    nm "$work/program" 2>&1 | grep -E 'stbds_|no such file|No such file' |
        none "$compiler $std: no stb_ds symbol in it"
    program "stb_ds before the library" "" before
    program "stb_ds after the library" "" after
    program "own allocator macros, before" "" allocator
    program "own allocator macros, after" -DAFTER allocator
    program "stb_ds in another file" "" other_file application
    program "stb_ds in another file, its header here" "" header_only application
}

# what depends on stb_ds and the preprocessor, not on the language version
more_cases() {
    preprocessed "stb_ds before" before
    preprocessed "stb_ds after" after
    for setting in STBDS_STATISTICS STBDS_SIPHASH_2_4 STBDS_INTERNAL_SMALL_BUCKET \
        STBDS_INTERNAL_BUCKET_START; do
        program "stb_ds before, $setting" -D$setting before
        program "stb_ds after, $setting" -D$setting after
    done
    program "stb_ds after, STBDS_NO_SHORT_NAMES" -DSTBDS_NO_SHORT_NAMES after
    program "private library (MEMMGR_STATIC) beside stb_ds" -DMEMMGR_STATIC before
}

# stb_ds's own macros use typeof, which gcc knows in C only with GNU extensions.
for compiler in $C_COMPILERS; do
    language=c
    for std in gnu99 gnu17; do cases; done
done
for compiler in $CXX_COMPILERS; do
    language=c++
    for std in c++11 c++17; do cases; done
done
compiler=$CC language=c std=gnu11
more_cases
if have "$CXX"; then
    compiler=$CXX language=c++ std=c++14
    more_cases
fi
for compiler in ${MISSING_CC:-} ${MISSING_CXX:-}; do
    skip "$compiler" "not installed"
done
