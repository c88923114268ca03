# report.awk - targets.tsv and results.tsv as a table to read on a terminal, or with
# -v markdown=1 as Markdown. One line per row; peers are "name value (ratio)".
BEGIN { FS = "\t" }

FNR == 1 { file++ }
/^#/ { next }

file == 1 {
    n = ++targets[$1, $2]
    kind[$1, $2, n] = $3; against[$1, $2, n] = $4; wanted[$1, $2, n] = $5
    next
}

$1 == "room" { next }

{
    if (!(($1, $2) in ours)) {
        ours[$1, $2] = $4
        unit[$1, $2] = $3
        row_room[++rows] = $1
        row_name[rows] = $2
    }
    if ($5 == "-") next
    ratio[$1, $2, $5] = $7
    text = $5 " " $6 ($7 == "-" ? "" : " (" $7 ")")
    gap = !(($1, $2) in peers) ? "" : markdown ? ", " : "  "
    peers[$1, $2] = peers[$1, $2] gap text
    if ($5 !~ /\+/ && $7 != "-" && (!(($1, $2) in best) || $7 + 0 < best[$1, $2]))
        best[$1, $2] = $7 + 0
}

# The verdict on one target of a row.
function verdict(room, row, n,    who, have) {
    who = against[room, row, n]
    if (kind[room, row, n] == "most") {
        if (ours[room, row] == "-") return "at most " wanted[room, row, n] ": ?"
        have = ours[room, row] + 0 <= wanted[room, row, n] + 0
        return "at most " wanted[room, row, n] ": " (have ? "yes" : "NO")
    }
    if (who == "best") have = ((room, row) in best) ? best[room, row] : "-"
    else have = ((room, row, who) in ratio) ? ratio[room, row, who] : "-"
    if (have == "-") return who " x" wanted[room, row, n] ": ?"
    return who " x" wanted[room, row, n] ": " \
           (have + 0 >= wanted[room, row, n] + 0 ? "yes" : "NO")
}

function verdicts(room, row,    n, text) {
    for (n = 1; n <= targets[room, row]; n++)
        text = text (n > 1 ? ", " : "") verdict(room, row, n)
    return text
}

function heading(room) {
    if (markdown) {
        printf "\n### Room %s\n\n", room
        print "| row | unit | ours | best | target | peers: value (peer ÷ ours) |"
        print "|---|---|---|---|---|---|"
    } else {
        printf "\n%-22s %-10s %9s %6s  %-30s %s\n", room, "unit", "ours", "best",
               "target: reached", "peers: value (peer / ours)"
    }
}

END {
    for (i = 1; i <= rows; i++) {
        room = row_room[i]; row = row_name[i]
        if (room != last) { heading(room); last = room }
        lead = ((room, row) in best) ? best[room, row] : "-"
        printf markdown ? "| %s | %s | %s | %s | %s | %s |\n" \
                        : "%-22s %-10s %9s %6s  %-30s %s\n",
               row, unit[room, row], ours[room, row], lead, verdicts(room, row),
               peers[room, row]
    }
}
