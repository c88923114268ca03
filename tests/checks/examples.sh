# examples.sh - build and run every examples/NN_*.c and compare what it prints with
# its heading comment: the indented lines after `Prints:` up to the comment's end.
. tests/checks/lib.sh

# expected FILE - the lines after `Prints:`, without their common indentation
expected() {
    awk '
        /^[ *]*Prints:[ ]*$/ && !seen { on = seen = 1; next }
        on && /^[ ]*\*?\*\/[ ]*$/ { exit }
        on {
            last = sub(/[ ]*\*\/[ ]*$/, "")
            sub(/^ \*( |$)/, "")
            lines[++n] = $0
            if (last) exit
        }
        END {
            while (n > 0 && lines[n] ~ /^[ ]*$/) n--
            start = 1
            while (start <= n && lines[start] ~ /^[ ]*$/) start++
            for (i = start; i <= n; i++) {
                match(lines[i], /^ */)
                if (lines[i] !~ /^ *$/ && (!indent || RLENGTH < indent)) indent = RLENGTH
            }
            for (i = start; i <= n; i++) {
                text = substr(lines[i], indent + 1)
                sub(/[ ]+$/, "", text)
                print text
            }
        }' "$1"
}

# example FILE - builds, runs, compares
example() {
    name=$(basename "$1" .c)
    program=$BUILD/examples/$name
    if ! ${MAKE:-make} -s --no-print-directory "$program" >"$work/log" 2>&1; then
        not_ok "$name does not build" "$work/log"
        return
    fi
    expected "$1" >"$work/$name.expected"
    "$program" >"$work/$name.out" 2>"$work/$name.err"
    status=$?
    sed 's/[ ]*$//' "$work/$name.out" >"$work/$name.printed"
    if [ $status != 0 ]; then
        { echo "exit code $status"; cat "$work/$name.err" "$work/$name.out"; } >"$work/log"
        not_ok "$name" "$work/log"
    elif [ ! -s "$work/$name.expected" ]; then
        not_ok "$name has no text after 'Prints:' in its heading"
    elif diff "$work/$name.expected" "$work/$name.printed" >"$work/log"; then
        ok "$name"
    else
        not_ok "$name prints something else (< heading, > program)" "$work/log"
    fi
}

for file in examples/[0-9][0-9]_*.c; do
    [ ! -f "$file" ] || example "$file"
done
