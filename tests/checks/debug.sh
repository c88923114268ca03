# debug.sh - tests/debug.sh (planted bugs and who finds them) in the form that
# tests/run.sh counts.
. tests/checks/lib.sh

CPPFLAGS=$STB BUILD=$BUILD/tests/debug sh tests/debug.sh >"$work/log" 2>&1
status=$?
sed -e 's/^skipped  \([^ ]*\)  /ok \1 # SKIP /' -e 's/^FAILED  /not ok /' \
    -e 's/^      /# /' -e '/^debug: /d' "$work/log"
exit $status
