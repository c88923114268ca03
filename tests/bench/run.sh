#!/bin/sh
# run.sh - measure memmgr.h beside the allocators, collectors and object systems that
# are installed here. `make bench` calls it; it installs nothing.
#
#   ROOM=heap        one room: heap gc weak intern whole (default: all)
#   RUNS=5           rounds; in each every program runs once per pattern, in turn, so
#                    that a slow minute of the machine hits all alike; and each time in
#                    another order, as a process gets warm or cold memory from the last
#   SKIP="php nim"   peers to leave out
#   QUICK=1          small counts and one round: does everything build and run?
#   BENCH_CFLAGS     default -O2 -DNDEBUG; BENCH_CPU the core to run on (default 1)
#
# Writes build/bench/results.tsv and prints it as a table with the targets.
set -eu
cd "$(dirname "$0")/../.."

bench=tests/bench
out=${BUILD:-build}/bench
CC=${CC:-cc}
CXX=${CXX:-c++}
flags=${BENCH_CFLAGS:--O2 -DNDEBUG}
rooms=${ROOM:-heap gc weak intern whole}
[ "$rooms" != all ] || rooms="heap gc weak intern whole"
skip=" ${SKIP:-} "
QUICK=${QUICK:-}
[ -z "$QUICK" ] && runs=${RUNS:-5} || runs=${RUNS:-1}
export QUICK
mkdir -p "$out"
tab=$(printf '\t')

say() { echo "bench: $*" >&2; }

wanted() { case " $rooms " in *" $1 "*) ;; *) return 1 ;; esac; }

if [ -z "${STB:-}" ]; then
    STB=-I/usr/include/stb
    [ ! -f "${BUILD:-build}/stb_ds.flags" ] || STB=$(cat "${BUILD:-build}/stb_ds.flags")
fi

# -------------------------------------------------------------------- the peers

packages=

# probe NAME PACKAGE HEADER FLAGS...: can a program use it? If not, say so.
probe() {
    name=$1 package=$2 header=$3
    shift 3
    case "$skip" in *" $name "*) return 1 ;; esac
    if echo "#include <$header>
int main(void) { return 0; }" | $CC -x c - -o "$out/probe" "$@" 2>/dev/null; then
        return 0
    fi
    absent "$name" "$package"
}

# probe_command NAME PACKAGE COMMAND: is there such a command?
probe_command() {
    case "$skip" in *" $1 "*) return 1 ;; esac
    command -v "$3" >/dev/null || absent "$1" "$2"
}

absent() {
    say "absent: $1 (Debian package $2)"
    case " $packages " in *" $2 "*) ;; *) packages="$packages $2" ;; esac
    return 1
}

pkg() { pkg-config --cflags --libs "$1" 2>/dev/null || true; }

python_config=/usr/bin/python3-config # the distribution's, if a private one is in PATH
[ -x $python_config ] || python_config=$(command -v python3-config || echo false)
python_flags=$($python_config --includes 2>/dev/null || true)
python_flags="$python_flags $($python_config --ldflags --embed 2>/dev/null || true)"
glib_flags=$(pkg gobject-2.0)
boehm_flags=$(pkg bdw-gc)
lua_flags=$(pkg lua5.4)

find_peers() {
    has="ours glibc"
    # shellcheck disable=SC2086
    {
        probe mimalloc libmimalloc-dev mimalloc.h -lmimalloc && has="$has mimalloc"
        probe jemalloc libjemalloc-dev jemalloc/jemalloc.h -ljemalloc &&
            has="$has jemalloc"
        probe tcmalloc libgoogle-perftools-dev gperftools/tcmalloc.h \
            -ltcmalloc_minimal && has="$has tcmalloc"
        probe glib libglib2.0-dev glib-object.h $glib_flags && has="$has glib"
        probe cpython libpython3-dev Python.h $python_flags && has="$has cpython"
        probe boehm libgc-dev gc.h $boehm_flags && has="$has boehm"
        probe lua liblua5.4-dev lua.h $lua_flags && has="$has lua"
        probe stb_ds libstb-dev stb_ds.h $STB && has="$has stb_ds"
        probe_command nim nim nim && has="$has nim"
        probe_command php php-cli php && has="$has php"
        probe_command weak_ptr g++ "$CXX" && has="$has weak_ptr"
    } || true
    case "$skip" in *" ours "*) has=${has#ours } ;; esac
    [ -z "$packages" ] || say "to have them all: apt-get install$packages"
}

has() { case " $has " in *" $1 "*) ;; *) return 1 ;; esac; }

# ------------------------------------------------------------------ the programs

# build PROGRAM SOURCE FLAGS...
build() {
    program=$1 source=$2
    shift 2
    # shellcheck disable=SC2086
    $CC -std=c11 -D_GNU_SOURCE $flags "$bench/$source" -o "$out/$program" "$@"
}

# build_ours PROGRAM SOURCE FLAGS...: linked with the implementation, built once.
build_ours() {
    program=$1 source=$2
    shift 2
    build "$program" "$source" -I. "$@" "$out/memmgr.o" -lpthread -lm
}

build_implementation() {
    # shellcheck disable=SC2086
    $CC -std=c11 -D_GNU_SOURCE $flags -I. $STB -c $bench/memmgr.c -o "$out/memmgr.o"
}

build_heap() {
    for sized in 0 1; do
        suffix=$([ $sized = 0 ] || echo -sized)
        if has ours; then
            build_ours "heap-ours$suffix" heap.c -DPEER_OURS -DSIZED=$sized
        fi
        set -- -DSIZED=$sized
        has mimalloc &&
            build "heap-mimalloc$suffix" heap.c "$@" -DPEER_MIMALLOC -lmimalloc
        has jemalloc &&
            build "heap-jemalloc$suffix" heap.c "$@" -DPEER_JEMALLOC -ljemalloc
        has tcmalloc &&
            build "heap-tcmalloc$suffix" heap.c "$@" -DPEER_TCMALLOC -ltcmalloc_minimal
    done
    build heap-glibc heap.c -DPEER_GLIBC
    build heap-hand heap.c -DPEER_HAND
    # shellcheck disable=SC2086
    if has glib; then
        build heap-g_slice heap.c -DPEER_GSLICE $glib_flags
        build object-gobject object.c -DPEER_GOBJECT $glib_flags
    fi
    # shellcheck disable=SC2086
    if has cpython; then
        build heap-cpython heap.c -DPEER_CPYTHON $python_flags
        build object-cpython object.c -DPEER_CPYTHON $python_flags
    fi
    if has ours; then build_ours object-ours object.c -DPEER_OURS; fi
}

build_gc() {
    if has ours; then build_ours gc-ours gc_ours.c; fi
    build gc-hand gc_hand.c
    # shellcheck disable=SC2086
    {
        if has cpython; then build gc-cpython gc_cpython.c $python_flags; fi
        if has boehm; then build gc-boehm gc_boehm.c $boehm_flags; fi
        if has lua; then build gc-lua gc_lua.c $lua_flags; fi
    }
    if has nim; then
        nim c -d:danger --mm:orc --hints:off --warnings:off \
            --nimcache:"$out/nimcache" -o:"$out/gc-nim" $bench/gc.nim >/dev/null
    fi
}

build_weak() {
    if has ours; then build_ours weak-ours weak.c -DPEER_OURS; fi
    # shellcheck disable=SC2086
    {
        if has cpython; then build weak-cpython weak.c -DPEER_CPYTHON $python_flags; fi
        if has glib; then build weak-glib weak.c -DPEER_GLIB $glib_flags; fi
        if has weak_ptr; then
            $CXX -x c++ -std=c++17 -D_GNU_SOURCE $flags -DPEER_CXX $bench/weak.c \
                -o "$out/weak-weak_ptr" -pthread
        fi
    }
}

build_intern() {
    if has ours; then build_ours intern-ours intern.c -DPEER_OURS; fi
    # shellcheck disable=SC2086
    {
        if has cpython; then
            build intern-cpython intern.c -DPEER_CPYTHON $python_flags
        fi
        if has glib; then build intern-glib intern.c -DPEER_GLIB $glib_flags; fi
        if has stb_ds; then build intern-stb_ds intern.c -DPEER_STB_DS $STB; fi
    }
}

# ------------------------------------------------------------------- the schedule

# job ROOM PEER COMMAND...: one line of the schedule, if the program exists: its number,
# $pattern, ROOM, PEER, COMMAND. Jobs of one pattern stand together: peers alternate.
jobs=0
job() {
    room=$1 peer=$2
    shift 2
    case $1 in "$out"/*) [ -x "$1" ] || return 0 ;; esac
    jobs=$((jobs + 1))
    printf '%s\t%s\t%s\t%s\t%s\n' "$jobs" "$pattern" "$room" "$peer" "$*" >>"$out/jobs"
}

# shuffled ROUND: the schedule, the jobs of each pattern in an order of the round's own.
shuffled() {
    awk -F '\t' -v round="$1" '
        function put(    i, k, line) {
            for (i = n; i > 0; i--) {
                k = 1 + int(rand() * i)
                line = lines[k]
                lines[k] = lines[i]
                print line
            }
            n = 0
        }
        BEGIN { srand(round) }
        $3 " " $2 != last { put(); last = $3 " " $2 }
        { lines[++n] = $0 }
        END { put() }' "$out/jobs"
}

schedule_heap() {
    for pattern in pair burst churn10k churn1m bulk list aged; do
        for peer in ours glibc mimalloc jemalloc tcmalloc g_slice cpython; do
            job heap "$peer" "$out/heap-$peer" $pattern
            job heap "$peer" "$out/heap-$peer-sized" $pattern
        done
    done
    # By hand, for one size: what cannot be done in fewer steps.
    for pattern in pair burst bulk list; do
        job heap hand+stack "$out/heap-hand" $pattern
    done
    # Huge pages asked for: ours by its description, peers by their own settings.
    pattern=huge
    job heap ours "$out/heap-ours" bulk huge
    job heap glibc+thp env GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
        "$out/heap-glibc" bulk huge
    if has mimalloc; then
        job heap mimalloc+thp env MIMALLOC_LARGE_OS_PAGES=1 \
            "$out/heap-mimalloc" bulk huge
    fi
    if has jemalloc; then
        job heap jemalloc+thp env MALLOC_CONF=thp:always "$out/heap-jemalloc" bulk huge
    fi
    schedule_floor heap pool own_48
    schedule_floor heap region bump_pointer
    pattern=object
    for peer in ours cpython gobject; do job heap $peer "$out/object-$peer"; done
    schedule_floor heap count bare
}

# schedule_floor ROOM PATTERN NAME: ours against its hand-written counterpart.
schedule_floor() {
    pattern=$2
    job "$1" ours "$out/floor" "$2" ours
    job "$1" "$3" "$out/floor" "$2" floor
}

schedule_gc() {
    for pattern in a A again b b1 c slices d dpause e f fpause fvisits; do
        job gc ours "$out/gc-ours" $pattern
        case $pattern in b | d | dpause | f | fpause | fvisits)
            job gc ours "$out/gc-ours" $pattern unsliced ;;
        esac
        case $pattern in slices | fvisits) continue ;; esac
        for peer in cpython nim boehm; do job gc $peer "$out/gc-$peer" $pattern; done
        job gc boehm-inc "$out/gc-boehm" $pattern incremental
        job gc lua-inc "$out/gc-lua" $bench/gc.lua $pattern incremental
        job gc lua-gen "$out/gc-lua" $bench/gc.lua $pattern generational
        case $pattern in dpause | fpause) ;; *)
            if has php; then job gc php php $bench/gc.php $pattern; fi ;;
        esac
    done
    schedule_hand
}

# By hand: what interrupts alone do to slices of this length; a list walked, not freed;
# references counted, and nothing collected.
schedule_hand() {
    pattern=hand
    job gc hand+spin "$out/floor" spin floor
    job gc hand+walk "$out/floor" walk floor
    for pattern in d f; do job gc hand+counts "$out/gc-hand" $pattern; done
}

schedule_weak() {
    for pattern in new get memory; do
        for peer in ours cpython glib weak_ptr; do
            job weak $peer "$out/weak-$peer" $pattern
        done
    done
    schedule_floor weak handle array
}

schedule_intern() {
    pattern=hit
    for peer in ours cpython glib stb_ds; do
        job intern $peer "$out/intern-$peer" hit
    done
    for pattern in hitstring miss; do
        for peer in ours cpython; do job intern $peer "$out/intern-$peer" $pattern; done
    done
}

# The library as a whole is measured by commands, not by a program.
schedule_whole() {
    has ours || return 0
    for pattern in compile size demo; do
        job whole ours env "CC=$CC" "STB=$STB" "out=$out" sh $bench/whole.sh $pattern
    done
}

# ------------------------------------------------------------------------ running

pin=
if command -v taskset >/dev/null; then
    cpu=${BENCH_CPU:-1}
    taskset -c "$cpu" true 2>/dev/null || cpu=0
    pin="taskset -c $cpu"
fi
if command -v timeout >/dev/null; then pin="timeout 120 $pin"; fi

# run_job NUMBER ROOM PEER COMMAND: its lines go to raw.tsv. One that fails is named and
# not run again.
run_job() {
    number=$1 room=$2 peer=$3 command=$4
    if grep -qxF "$peer $command" "$out/failed"; then return 0; fi
    # shellcheck disable=SC2086
    if $pin $command >"$out/lines" 2>"$out/errors" </dev/null; then
        awk -v number="$number" -v room="$room" -v peer="$peer" -v OFS="\t" \
            'NF == 3 { print number, room, peer, $1, $2, $3 }' "$out/lines" >>"$out/runs"
    else
        status=$?
        echo "$peer $command" >>"$out/failed"
        reason=$(head -n 1 "$out/errors")
        say "failed: $peer, ${command#"$out"/} (status $status): $reason"
    fi
}

run_all() {
    : >"$out/runs"
    : >"$out/failed"
    round=1
    while [ "$round" -le "$runs" ]; do
        done=0
        shuffled "$round" >"$out/order"
        while IFS=$tab read -r number pattern room peer command; do
            done=$((done + 1))
            [ ! -t 2 ] || printf '\rround %s of %s: %s of %s  ' \
                "$round" "$runs" "$done" "$jobs" >&2
            run_job "$number" "$room" "$peer" "$command"
        done <"$out/order"
        round=$((round + 1))
    done
    # in the order of the schedule again: that of the rows
    sort -s -n -k 1,1 "$out/runs" | cut -f 2- >"$out/raw.tsv"
    [ ! -t 2 ] || printf '\r%40s\r' '' >&2
}

describe_machine() {
    sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1
    echo "$(uname -sr), transparent huge pages: $(sed 's/.*\[\(.*\)\].*/\1/' \
        /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null || echo unknown)"
    echo "$($CC --version | head -n 1), $flags"
    echo "medians of $runs rounds${QUICK:+; QUICK: the figures mean nothing}"
}

# Fails if ours is missing from the results: that would be no benchmark of ours.
check_results() {
    case "$skip" in *" ours "*) return 0 ;; esac
    if grep -q '^ours ' "$out/failed"; then
        say "a benchmark of memmgr.h itself failed"
        exit 1
    fi
}

find_peers
find "$out" -maxdepth 1 -type f -perm -100 -exec rm -f {} +
: >"$out/jobs"
if has ours; then
    build_implementation
    build_ours floor floor.c
fi
for room in $rooms; do
    case $room in heap | gc | weak | intern | whole) ;;
    *) say "no room $room: heap gc weak intern whole"; exit 2 ;;
    esac
    [ "$room" = whole ] || "build_$room"
    "schedule_$room"
done
run_all
describe_machine >"$out/machine.txt"
awk -f $bench/results.awk "$out/raw.tsv" >"$out/results.tsv"
cat "$out/machine.txt"
awk -f $bench/report.awk $bench/targets.tsv "$out/results.tsv"
check_results
