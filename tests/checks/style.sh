# style.sh - the shape of memmgr.h: width, function lengths, anchors; and words and
# paths that have no place in the repository.
. tests/checks/lib.sh

header=memmgr.h

awk 'length($0) > 88 { print FILENAME ":" FNR ": " length($0) " columns" }' $header |
    none "no line is wider than 88 columns"
grep -n -E '[[:blank:]]+$|	' $header | none "no tabs, no trailing blanks"

# Functions: from a line that starts with `{` to the one that starts with `}`.
awk '/^\{/ { start = NR } /^\}/ && start { print NR - start - 1, start; start = 0 }' \
    $header | sort -n >"$work/lengths"
functions=$(wc -l <"$work/lengths")
percentile() { awk -v at="$1" -v n="$functions" 'NR >= n * at / 100 { print $1; exit }' \
    "$work/lengths"; }
awk '$1 > 60 { print "line " $2 ": " $1 " lines" }' "$work/lengths" |
    none "no function is longer than 60 lines"
if [ "$functions" = 0 ]; then
    not_ok "functions were found to measure"
else
    check "half of the $functions functions: at most 10 lines ($(percentile 50))" \
        test "$(percentile 50)" -le 10
    check "nine in ten functions: at most 30 lines ($(percentile 90))" \
        test "$(percentile 90)" -le 30
fi

# Anchors: the table of contents and the banners name the same rooms.
awk '/Table of contents/ { on = 1; next } /====/ { on = 0 } on' $header |
    sed 's/>>name[^ ]*//g; s/>>/\n&/g' | sed -n 's/^>>\([a-z_]*\).*/\1/p' |
    sort -u >"$work/contents"
awk '/^\/\* ====/ { top = NR }
     top && top == NR - 1 && /^ *>>[a-z]/ { sub(/^ *>>/, ""); print $1, NR }' $header \
    >"$work/banners"
cut -d ' ' -f 1 "$work/banners" | sort >"$work/names"
uniq -d "$work/names" | none "every room has one banner"
sed 's/\.impl$//' "$work/names" | sort -u >"$work/rooms"
comm -23 "$work/contents" "$work/rooms" | none "every anchor of the table has a banner"
comm -13 "$work/contents" "$work/rooms" | none "every banner is in the table"
guard=$(grep -n '^#endif.*MEMMGR_H' $header | head -n 1 | cut -d : -f 1)
awk -v guard="${guard:-0}" '$2 < guard { print $1 ".impl" }' "$work/banners" |
    grep -v -E '^(concepts|options)\.' | sort | comm -23 - "$work/names" |
    none "every public room has its implementation"

files() { git ls-files 2>/dev/null || find . -type f -path './build' -prune -o -print; }
files | grep -v -E '^tests/vectors/|^examples/data/' >"$work/files"
grep -n -i -w -E 'TO''DO|FIX''ME|X''XX|not implem''ented|HA''CK' $header |
    none "no unfinished business"
xargs grep -n -I -E '(^|[^a-zA-Z_./}])/(ro''ot|wo''rk|ho''me|fa''rm)/' <"$work/files" \
    2>/dev/null | none "no path of one machine"
