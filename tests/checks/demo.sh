# demo.sh - tests/demo.sh (the demo on good and bad input) with the program built here.
. tests/checks/lib.sh

if ! ${MAKE:-make} -s --no-print-directory "$BUILD/examples/depgraph" >"$work/log" 2>&1; then
    not_ok "examples/depgraph.c does not build" "$work/log"
    exit 1
fi
exec sh tests/demo.sh "$BUILD/examples/depgraph"
