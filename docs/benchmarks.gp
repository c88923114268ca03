# benchmarks.gp - draws build/bench/results.tsv: one bar per row, how far ahead of the
# best peer we are (peer / ours, logarithmic; right of 1 is ahead).
#   gnuplot docs/benchmarks.gp        writes build/bench/<room>.svg for each room
set terminal svg size 900,700 font "sans,12" background "white" noenhanced
set logscale x 2
set format x "%g"
set grid xtics
set style fill solid 0.8
set xlabel "best peer / ours (logarithmic; above 1 we are ahead)"
set yrange [] reverse
unset key
best = "awk -F '\t' -v room=%s '$1 == room && $7 != \"-\" && $5 !~ /[+]/ \
    { if (!($2 in least)) order[++n] = $2; \
      if (!($2 in least) || $7 + 0 < least[$2]) { least[$2] = $7 + 0; who[$2] = $5 } } \
    END { for (i = 1; i <= n; i++) \
      printf \"%%s\\t%%s\\t%%s\\n\", order[i], least[order[i]], who[order[i]] }' \
    build/bench/results.tsv"
do for [room in "heap gc weak intern"] {
    set output sprintf("build/bench/%s.svg", room)
    set title sprintf("memmgr.h, room %s: distance to the best peer", room)
    set arrow 1 from 1, graph 0 to 1, graph 1 nohead lw 2 lc rgb "gray30"
    plot "< ".sprintf(best, room) using (1):0:(1):2:($0-0.35):($0+0.35):ytic(1) \
             with boxxyerror lc rgb "steelblue", \
         "" using 2:0:(sprintf(" %s %s", strcol(2), strcol(3))) with labels left
}
