# results.awk - medians of the raw lines (room program row unit value, one per run)
# as the table of results: one line per row and peer, ratio = peer / ours.
#
# A row NAME@VARIANT of ours is held against the peers' NAME@VARIANT, or, where a
# peer has none, its NAME.
BEGIN { FS = OFS = "\t" }

function median(key,    n, i, j, x, v) {
    n = runs[key]
    for (i = 1; i <= n; i++) {
        x = values[key, i]
        for (j = i - 1; j >= 1 && v[j] > x; j--) v[j + 1] = v[j]
        v[j + 1] = x
    }
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}

function number(x) { return sprintf(x >= 1000 ? "%.0f" : "%.4g", x) }

{
    key = $1 FS $3 FS $2
    values[key, ++runs[key]] = $5
    if (!(($1, $3) in unit)) {
        unit[$1, $3] = $4
        row_room[++rows] = $1
        row_name[rows] = $3
    }
    if (!($2 in seen)) { seen[$2] = 1; program[++programs] = $2 }
}

END {
    print "room", "row", "unit", "ours", "peer", "peer_value", "ratio"
    for (i = 1; i <= rows; i++) {
        room = row_room[i]; row = row_name[i]; plain = row
        sub(/@.*/, "", plain)
        own = room FS row FS "ours"
        ours = (own in runs) ? median(own) : "-"
        if (ours == "-" && plain != row) continue
        printed = 0
        for (j = 1; j <= programs; j++) {
            if (program[j] == "ours") continue
            key = room FS row FS program[j]
            if (!(key in runs)) key = room FS plain FS program[j]
            if (!(key in runs)) continue
            peer = median(key)
            ratio = (ours == "-" || ours <= 0) ? "-" : sprintf("%.3g", peer / ours)
            print room, row, unit[room, row], (ours == "-" ? ours : number(ours)),
                  program[j], number(peer), ratio
            printed = 1
        }
        if (!printed) print room, row, unit[room, row], number(ours), "-", "-", "-"
    }
}
