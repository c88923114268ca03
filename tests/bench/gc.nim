# gc.nim - the collector's workloads (see gc_work.h) on Nim's ORC.
import std/[algorithm, os, posix, strutils]

type
  Node = ref object
    a, b, c: Node

let quick = getEnv("QUICK") notin ["", "0"]

proc now(): float =
  ## CPU time of this thread in ns.
  var t: Timespec
  discard clock_gettime(CLOCK_THREAD_CPUTIME_ID, t)
  float(t.tv_sec.int64) * 1e9 + float(t.tv_nsec)

proc put(row, unit: string, value: float) =
  echo row, " ", unit, " ", formatFloat(value, ffDecimal, 4)

proc count(full: int): int =
  if quick: max(10, full div 50) else: full

proc median(values: seq[float]): float =
  sorted(values)[values.len div 2]

proc require(condition: bool, what: string) =
  if not condition: quit("bench: not so: " & what)

var seed = 88172645463325252'u64

proc below(n: int): int =
  seed = seed xor (seed shl 13)
  seed = seed xor (seed shr 7)
  seed = seed xor (seed shl 17)
  int(((seed shr 32) * uint64(n)) shr 32)

proc holdsAtMost(nodes: int): bool =
  getOccupiedMem() <= 2 * nodes * 48 + (16 shl 20)

proc ring(n: int): Node =
  result = Node()
  var last = result
  for i in 1 ..< n:
    let node = Node(b: last)
    last.a = node
    last = node
  last.a = result
  result.b = last

proc shuffledRing(n: int): Node =
  var nodes = newSeq[Node](n)
  for i in 0 ..< n: nodes[i] = Node()
  for i in countdown(n - 1, 1):
    swap(nodes[i], nodes[below(i + 1)])
  for i in 0 ..< n:
    nodes[i].a = nodes[(i + 1) mod n]
    nodes[i].b = nodes[(i + n - 1) mod n]
  nodes[0]

proc garbagePairs(n: int) =
  for i in 0 ..< n:
    let x = Node()
    let y = Node(a: x)
    x.a = y

var root: Node

proc runRing(row: string, shuffled: bool) =
  let n = count(1_000_000)
  var times: seq[float]
  GC_disableOrc()
  for r in 1 .. (if quick: 1 else: 3):
    root = if shuffled: shuffledRing(n) else: ring(n)
    GC_runOrc()
    let begin = now()
    root = nil
    GC_runOrc()
    times.add (now() - begin) / float(n)
    require(holdsAtMost(n div 100), "the ring is gone")
  put(row, "ns/object", median(times))

proc runRingAgain() =
  let n = count(1_000_000)
  var times: seq[float]
  GC_disableOrc()
  for r in 1 .. (if quick: 1 else: 5):
    let begin = now()
    root = ring(n)
    root = nil
    GC_runOrc()
    times.add (now() - begin) / float(n)
  put("a_rebuilt", "ns/object", median(times))

proc runPairs() =
  let n = count(1_000_000)
  var times: seq[float]
  for r in 1 .. (if quick: 1 else: 3):
    let begin = now()
    garbagePairs(n)
    GC_runOrc()
    times.add (now() - begin) / float(2 * n)
    require(holdsAtMost(n div 100), "the pairs are gone")
  put("b", "ns/object", median(times))

proc runPairsAtOnce() =
  let n = count(1_000_000)
  var times: seq[float]
  GC_disableOrc()
  for r in 1 .. (if quick: 1 else: 3):
    garbagePairs(n)
    let begin = now()
    GC_runOrc()
    times.add (now() - begin) / float(2 * n)
    require(holdsAtMost(n div 100), "the pairs are gone")
  put("b1", "ns/object", median(times))

proc timedCollection(): float =
  let begin = now()
  GC_runOrc()
  (now() - begin) / 1e3

proc suspect() =
  root.c = root.a
  root.c = nil

proc runOldHeap() =
  var young, full, clean, idle: seq[float]
  GC_disableOrc()
  root = ring(count(2_000_000))
  GC_runOrc()
  for r in 1 .. (if quick: 1 else: 7):
    garbagePairs(1000)
    clean.add timedCollection()
    idle.add timedCollection()
    garbagePairs(1000)
    suspect()
    full.add timedCollection()
    garbagePairs(1000)
    young.add timedCollection() # ORC has one kind: what young ones are held against
  put("c_young", "us", median(young))
  put("c_full", "us", median(full))
  put("c_clean", "us", median(clean))
  put("c_idle", "us", median(idle))

# The longest single operation, where a workload asks for it.
var pauseTimed = false
var pauseSince, pauseLongest: float

proc pauseTick() {.inline.} =
  if pauseTimed:
    pauseLongest = max(pauseLongest, now() - pauseSince)
    pauseSince = now()

proc tree(depth: int, parent: Node): Node =
  result = Node(c: parent)
  pauseTick()
  if depth > 0:
    result.a = tree(depth - 1, result)
    result.b = tree(depth - 1, result)

proc oneTree(depth: int) =
  let top = tree(depth, nil)
  require(top != nil, "a tree")

proc growTrees(depth, spread: int): int =
  result = (1 shl (depth + 2)) + (1 shl (depth + 1)) - 2
  oneTree(depth + 1)
  pauseTick()
  root = tree(depth, nil)
  for d in countup(4, depth, 4):
    let trees = 1 shl (depth - d + spread)
    for i in 0 ..< trees:
      oneTree(d)
      pauseTick()
    result += trees * ((1 shl (d + 1)) - 1)

proc runTrees() =
  let begin = now()
  let made = growTrees(if quick: 8 else: 16, 4)
  root = nil
  GC_runOrc()
  put("d", "ns/object", (now() - begin) / float(made))

proc runTreePause() =
  pauseTimed = true
  pauseSince = now()
  discard growTrees(if quick: 8 else: 16, 2)
  put("d_pause", "us", pauseLongest / 1e3)

proc runList() =
  let n = count(5_000_000)
  GC_disableOrc()
  block:
    var head: Node
    for i in 0 ..< n: head = Node(a: head)
    root = head
  let begin = now()
  root = nil
  let first = now() - begin
  GC_runOrc()
  put("e", "ns/object", (now() - begin) / float(n))
  put("e_first", "us", first / 1e3)

var roots: seq[Node]

proc steadyStep() {.inline.} =
  let place = below(roots.len)
  let fresh = ring(8)
  fresh.c = roots[below(roots.len)]
  roots[place] = fresh
  for k in 1 .. 8:
    let to = below(roots.len)
    roots[to].c = roots[below(roots.len)]

proc steadyBegin() =
  roots = newSeq[Node](count(125_000))
  for i in 0 ..< roots.len: roots[i] = ring(8)
  for i in 0 ..< roots.len: roots[i].c = roots[below(roots.len)]
  GC_runOrc()

proc steadyRun(steps: int, seconds: float): int =
  let begin = now()
  while result < steps:
    for k in 1 .. 1000: steadyStep()
    result += 1000
    if now() - begin > seconds * 1e9: break

proc runSteady() =
  let steps = count(1_000_000)
  steadyBegin()
  discard steadyRun(steps div 4, 1)
  let begin = now()
  let done = steadyRun(steps, 3)
  put("f", "ns/step", (now() - begin) / float(done))

proc runSteadyPauses() =
  let steps = count(500_000)
  var took: seq[float]
  steadyBegin()
  discard steadyRun(steps div 2, 1)
  let limit = now() + 2e9
  while took.len < steps:
    let begin = now()
    steadyStep()
    let finish = now()
    took.add (finish - begin) / 1e3
    if finish > limit: break
  took.sort()
  put("f_p999", "us", took[int(float(took.len) * 0.999)])
  put("f_longest", "us", took[^1])

case (if paramCount() > 0: paramStr(1) else: "")
of "a": runRing("a", false)
of "A": runRing("A", true)
of "again": runRingAgain()
of "b": runPairs()
of "b1": runPairsAtOnce()
of "c": runOldHeap()
of "d": runTrees()
of "dpause": runTreePause()
of "e": runList()
of "f": runSteady()
of "fpause": runSteadyPauses()
else: quit("usage: gc a|A|again|b|b1|c|d|dpause|e|f|fpause")
