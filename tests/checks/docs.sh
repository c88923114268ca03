# docs.sh - the C and C++ code blocks of README.md and docs/*.md compile; whole
# programs (with `int main`) also run and must leave 0.
#
# A block fenced as ```c no-compile is left out. Other blocks are fragments of a
# document: what a document has declared so far is known to its later blocks. A
# fragment is tried as declarations, as the body of a function with `mm_heap *heap` in
# scope, and as declarations followed by such a body.
. tests/checks/lib.sh

FLAGS="-std=c11 -Wall -Wextra -Werror -Wno-unused -Wno-unused-parameter -I. $STB"
CXX_FLAGS="-std=c++11 -Wall -Wextra -Werror -Wno-unused -Wno-unused-parameter -I. $STB"

# blocks FILE - writes $work/block.N (text), .N.line and .N.lang; prints how many
blocks() {
    rm -f "$work"/block.*
    awk -v out="$work/block." '
        /^[ ]*```/ {
            if (on) { on = 0; close(file); next }
            if (other) { other = 0; next }
            info = $0
            sub(/^[ ]*```[ ]*/, "", info)
            if (info ~ /^(c|C|cpp|c\+\+)$/) {
                on = 1
                file = out (++n)
                printf "" >file
                print NR >(file ".line")
                print (info ~ /^[cC]$/ ? "c" : "c++") >(file ".lang")
                close(file ".line")
                close(file ".lang")
            } else {
                other = 1
            }
            next
        }
        on { print >file }
        END { print n + 0 }' "$1"
}

# whole PROGRAM LANGUAGE - compile as it stands (the implementation is added only
# if the text does not ask for it) and run
whole() {
    define=-DMEMMGR_IMPLEMENTATION
    ! grep -q 'define MEMMGR_IMPLEMENTATION' "$1" || define=
    compiler="$CC -x c $FLAGS"
    [ "$2" = c ] || compiler="$CXX -x c++ $CXX_FLAGS"
    $compiler $define "$1" -o "$work/program" -lm -lpthread >"$work/log" 2>&1 || return 1
    "$work/program" >"$work/printed" 2>&1
    status=$?
    [ $status = 0 ] || { echo "exit code $status"; cat "$work/printed"; } >"$work/log"
    return $status
}

# compiles CONTEXT DECLARATIONS BODY - whether the three files make one program
compiles() {
    {
        for include in memmgr stdio stdlib string inttypes; do echo "#include \"$include.h\""; done
        cat "$1" "$2"
        echo 'void fragment(mm_heap *heap);'
        echo 'void fragment(mm_heap *heap)'
        echo '{ (void)heap; {'
        cat "$3"
        echo '} }'
    } >"$work/fragment"
    if [ "$language" = c ]; then
        $CC -x c $FLAGS -fsyntax-only "$work/fragment"
    else
        $CXX -x c++ $CXX_FLAGS -fsyntax-only "$work/fragment"
    fi >"$work/attempt" 2>&1
}

# A block may split after any line where no brace or parenthesis is open.
splits() {
    awk '{ line = $0; gsub(/"([^"\\]|\\.)*"|\/\*.*\*\/|\/\/.*/, "", line)
           depth += gsub(/[{(]/, "", line) - gsub(/[})]/, "", line)
           if (depth == 0) print NR }' "$1" | sort -rn
}

# fragment BLOCK - tries the ways to read it; keeps its declarations for later ones
fragment() {
    lines=$(wc -l <"$1")
    : >"$work/empty"
    for context in "$work/context" "$work/empty"; do
        for at in $(splits "$1") 0; do
            head -n "$at" "$1" >"$work/declarations"
            [ "$at" != 0 ] || : >"$work/declarations"
            tail -n "$((lines - at))" "$1" >"$work/body"
            if compiles "$context" "$work/declarations" "$work/body"; then
                grep -v '^#define MEMMGR_IMPLEMENTATION' "$work/declarations" |
                    cat "$context" - >"$work/next"
                mv "$work/next" "$work/context"
                return 0
            fi
            # as one body the messages are the most helpful
            [ "$at" != 0 ] || [ "$context" = "$work/empty" ] || mv "$work/attempt" "$work/log"
        done
    done
    return 1
}

document() {
    : >"$work/context"
    count=$(blocks "$1")
    number=0
    while [ $number -lt "$count" ]; do
        number=$((number + 1))
        block=$work/block.$number
        where="$1:$(cat "$block.line")"
        language=$(cat "$block.lang")
        if [ "$language" = c++ ] && ! have "$CXX"; then
            skip "$where" "$CXX is not installed"
        elif grep -q 'int main' "$block"; then
            if whole "$block" "$language"; then ok "$where"; else not_ok "$where" "$work/log"; fi
        elif fragment "$block"; then
            ok "$where"
        else
            not_ok "$where" "$work/log"
        fi
    done
}

for file in README.md docs/*.md; do
    [ ! -f "$file" ] || document "$file"
done

# The quick start does what its comments say.
if [ -f README.md ]; then
    blocks README.md >/dev/null
    start=$(grep -l 'int main' "$work"/block.[0-9]* 2>/dev/null | head -n 1)
    if [ -z "$start" ]; then
        not_ok "README.md has a quick start"
    else
        whole "$start" c
        check "the quick start prints: 2 collected" grep -q -x '2 collected' "$work/printed"
    fi
fi
