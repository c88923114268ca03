# compile.sh - the compile matrix: the header alone and the implementation, by every
# compiler and language version, under strict warnings; then programs of two files.
. tests/checks/lib.sh

C_STANDARDS="c99 c11 c17 c2x"
CXX_STANDARDS="c++11 c++14 c++17 c++20"

# matrix COMPILER LANGUAGE STANDARD...
matrix() {
    compiler=$1 language=$2
    shift 2
    strict=$(strict_flags "$compiler" "$language")
    for std in "$@"; do
        if ! accepts "$compiler" "$language" "-std=$std"; then
            skip "$compiler $std" "not known to this compiler"
            continue
        fi
        build="$compiler -x $language -std=$std $strict -I. $STB"
        check "$compiler $std: header alone" $build -O2 -c tests/compile/header.c \
            -o "$work/header.o"
        check "$compiler $std: implementation, -O0" $build -O0 -c \
            tests/compile/implementation.c -o "$work/implementation.o"
        check "$compiler $std: implementation, -O2" $build -O2 -c \
            tests/compile/implementation.c -o "$work/implementation.o"
    done
}

# options COMPILER LANGUAGE STANDARD - each option of the header, on its own
options() {
    build="$1 -x $2 -std=$3 $(strict_flags "$1" "$2") -I. $STB -O1 -c"
    for option in -DMEMMGR_SMALL=1 -DMEMMGR_CHECK=1 -DMEMMGR_CHECK=2 -DMEMMGR_CHECK=3 \
        -DNDEBUG -DMEMMGR_STATIC; do
        check "$1 $3: implementation, $option" $build $option \
            tests/compile/implementation.c -o "$work/option.o"
    done
}

# link_and_run COMPILER LANGUAGE STANDARD NAME FILE[:FLAG]... - one program of files
link_and_run() {
    compiler=$1 language=$2 std=$3 title=$4
    shift 4
    objects= n=0
    for part in "$@"; do
        n=$((n + 1))
        file=${part%%:*} flag=
        case $part in *:*) flag=${part#*:} ;; esac
        if ! $compiler -x $language -std=$std $(strict_flags $compiler $language) -O0 $flag \
            -I. $STB -c "tests/compile/$file.c" -o "$work/part$n.o" >"$work/log" 2>&1; then
            not_ok "$compiler $std: $title: $file.c does not compile" "$work/log"
            return
        fi
        objects="$objects $work/part$n.o"
    done
    if ! $compiler $objects -o "$work/program" -lm -lpthread >"$work/log" 2>&1; then
        not_ok "$compiler $std: $title does not link" "$work/log"
        return
    fi
    check "$compiler $std: $title" "$work/program"
}

programs() {
    link_and_run "$@" "two files" implementation program
    link_and_run "$@" "a type shared by two files" shared_a shared_b
    link_and_run "$@" "two private copies (MEMMGR_STATIC)" static_a static_b
    link_and_run "$@" "assertions off (NDEBUG)" implementation:-DNDEBUG program:-DNDEBUG
    for level in -O1 -O2 -O3 -Os; do
        link_and_run "$@" "a type named by mm_new alone, $level" implementation \
            types:$level types:-DMAIN
    done
    link_and_run "$@" "small profile" implementation:-DMEMMGR_SMALL=1 \
        program:-DMEMMGR_SMALL=1
    link_and_run "$@" "small header, large implementation: refused" \
        implementation mixed:-DMEMMGR_SMALL=1
    link_and_run "$@" "large header, small implementation: refused" \
        implementation:-DMEMMGR_SMALL=1 mixed
}

for compiler in $C_COMPILERS; do
    matrix "$compiler" c $C_STANDARDS
    options "$compiler" c c99
    programs "$compiler" c c11
done
for compiler in $CXX_COMPILERS; do
    matrix "$compiler" c++ $CXX_STANDARDS
    options "$compiler" c++ c++11
    programs "$compiler" c++ c++17
done
for compiler in ${MISSING_CC:-} ${MISSING_CXX:-}; do
    skip "$compiler" "not installed"
done

# For 32 bits and for Windows: compiled here, run by `make 32bit` and `make windows`.
if echo '#include <stdio.h>' | gcc -m32 -fsyntax-only -x c - 2>/dev/null; then
    matrix "gcc -m32" c c11
else
    skip "gcc -m32" "no 32-bit library"
fi
for row in "x86_64-w64-mingw32-gcc c c11" "x86_64-w64-mingw32-g++ c++ c++17"; do
    set -- $row
    if have "$1"; then matrix "$@"; else skip "$1" "not installed"; fi
done

# C and C++ files in one program: the C++ half uses the C implementation.
for cxx in $CXX_COMPILERS; do
    if $CC -std=c11 -O0 -I. $STB -c tests/compile/implementation.c -o "$work/c.o" \
        >"$work/log" 2>&1 && $cxx -x c++ -std=c++11 -O1 -I. -c tests/compile/program.c \
        -o "$work/cxx.o" >"$work/log" 2>&1 && $cxx "$work/c.o" "$work/cxx.o" \
        -o "$work/program" -lm -lpthread >"$work/log" 2>&1; then
        check "$cxx program with the implementation in C" "$work/program"
    else
        not_ok "$cxx program with the implementation in C" "$work/log"
    fi
done
