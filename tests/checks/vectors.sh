# vectors.sh - replay recorded CPython behaviour: every file KIND.txt of the folder
# VECTORS (default tests/vectors/) by `vectors KIND FILE`. One check per file.
. tests/checks/lib.sh

dir=${VECTORS:-tests/vectors}
runner=$BUILD/tests/vectors
if ! ${MAKE:-make} -s --no-print-directory "$runner" >"$work/build" 2>&1; then
    not_ok "tests/vectors.c does not build" "$work/build"
    exit 1
fi

for file in "$dir"/*.txt; do
    kind=$(basename "$file" .txt)
    ${RUNNER:-} "$runner" "$kind" "$file" >"$work/log" 2>&1
    status=$?
    last=$(tail -n 1 "$work/log")
    if [ $status = 0 ]; then
        ok "$kind: $last"
    elif grep -q -i 'unknown kind' "$work/log"; then
        skip "$kind" "no runner for this kind"
    else
        not_ok "$kind: $last" "$work/log"
    fi
done
