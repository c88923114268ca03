#!/bin/sh
# table.sh - the results of the last `make bench` as Markdown, on standard output.
#   sh tests/bench/table.sh            print it
#   sh tests/bench/table.sh --write    put it into docs/benchmarks.md
set -eu
cd "$(dirname "$0")/../.."
results=build/bench/results.tsv
[ -f "$results" ] || { echo "table.sh: no $results: run make bench first" >&2; exit 1; }

table() {
    [ -f build/bench/machine.txt ] && sed 's/^/- /' build/bench/machine.txt
    awk -v markdown=1 -f tests/bench/report.awk tests/bench/targets.tsv "$results"
    echo
}

if [ "${1:-}" != --write ]; then
    table
    exit
fi
page=docs/benchmarks.md
table > build/bench/table.md
awk '/<!-- table -->/ {
         print
         while ((getline line < "build/bench/table.md") > 0) print line
         skip = 1
         next
     }
     /<!-- end of table -->/ { skip = 0 }
     !skip' "$page" > build/bench/page.md
cat build/bench/page.md > "$page"
