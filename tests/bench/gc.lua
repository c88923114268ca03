-- gc.lua - the collector's workloads (see gc_work.h) on Lua, run by gc_lua.c, which
-- gives now() in ns of CPU time, below(n), put(row, unit, value) and quick.
local pattern, mode = ...

collectgarbage(mode) -- "incremental" or "generational"

local function count(full)
  return quick and math.max(10, full // 50) or full
end

local function repeats(full)
  return quick and 1 or full
end

local function median(values)
  table.sort(values)
  return values[#values // 2 + 1]
end

local function automatic(on)
  collectgarbage(on and "restart" or "stop")
end

local function holds_at_most(nodes)
  collectgarbage()
  return collectgarbage("count") <= nodes * 200 / 1024 + 16384
end

local function ring(n)
  local head = {false, false, false}
  local last = head
  for _ = 2, n do
    local node = {false, last, false}
    last[1] = node
    last = node
  end
  last[1] = head
  head[2] = last
  return head
end

local function shuffled_ring(n)
  local nodes = {}
  for i = 1, n do nodes[i] = {false, false, false} end
  for i = n, 2, -1 do
    local j = below(i) + 1
    nodes[i], nodes[j] = nodes[j], nodes[i]
  end
  for i = 1, n do
    nodes[i][1] = nodes[i % n + 1]
    nodes[i][2] = nodes[(i - 2) % n + 1]
  end
  return nodes[1]
end

local function garbage_pairs(n)
  for _ = 1, n do
    local x = {false, false, false}
    local y = {x, false, false}
    x[1] = y
  end
end

local root

local function run_ring(row, make)
  local n, times = count(1000000), {}
  automatic(false)
  for r = 1, repeats(3) do
    root = make(n)
    collectgarbage()
    local begin = now()
    root = nil
    collectgarbage()
    times[r] = (now() - begin) / n
    assert(holds_at_most(n // 100))
  end
  put(row, "ns/object", median(times))
end

local function run_ring_again()
  local n, times = count(1000000), {}
  automatic(false)
  for r = 1, repeats(5) do
    local begin = now()
    root = ring(n)
    root = nil
    collectgarbage()
    times[r] = (now() - begin) / n
  end
  put("a_rebuilt", "ns/object", median(times))
end

local function run_pairs()
  local n, times = count(1000000), {}
  for r = 1, repeats(3) do
    local begin = now()
    garbage_pairs(n)
    collectgarbage()
    times[r] = (now() - begin) / (2 * n)
    assert(holds_at_most(n // 100))
  end
  put("b", "ns/object", median(times))
end

local function run_pairs_at_once()
  local n, times = count(1000000), {}
  automatic(false)
  for r = 1, repeats(3) do
    garbage_pairs(n)
    local begin = now()
    collectgarbage()
    times[r] = (now() - begin) / (2 * n)
    assert(holds_at_most(n // 100))
  end
  put("b1", "ns/object", median(times))
end

local function timed_collection(what)
  local begin = now()
  collectgarbage(what)
  return (now() - begin) / 1e3
end

local function run_old_heap()
  local young, full, clean, idle = {}, {}, {}, {}
  automatic(false)
  root = ring(count(2000000))
  collectgarbage()
  collectgarbage()
  for r = 1, repeats(7) do
    garbage_pairs(1000)
    clean[r] = timed_collection("collect")
    idle[r] = timed_collection("collect")
    garbage_pairs(1000)
    root[3] = root[1]
    root[3] = false
    full[r] = timed_collection("collect")
    garbage_pairs(1000)
    if mode == "generational" then young[r] = timed_collection("step") end
    collectgarbage()
  end
  -- In generational mode a step is a young collection; in the other there is none.
  if mode == "generational" then put("c_young", "us", median(young)) end
  put("c_full", "us", median(full))
  put("c_clean", "us", median(clean))
  put("c_idle", "us", median(idle))
end

local pause_timed, pause_since, pause_longest = false, 0, 0

local function pause_tick()
  local took = now() - pause_since
  if took > pause_longest then pause_longest = took end
  pause_since = now()
end

local function tree(depth, parent)
  local node = {false, false, parent}
  if pause_timed then pause_tick() end
  if depth > 0 then
    node[1] = tree(depth - 1, node)
    node[2] = tree(depth - 1, node)
  end
  return node
end

local function grow_trees(depth, spread)
  local made = (1 << (depth + 2)) + (1 << (depth + 1)) - 2
  tree(depth + 1, false)
  root = tree(depth, false)
  for d = 4, depth, 4 do
    local trees = 1 << (depth - d + spread)
    for _ = 1, trees do tree(d, false) end
    made = made + trees * ((1 << (d + 1)) - 1)
  end
  return made
end

local function run_trees()
  local begin = now()
  local made = grow_trees(quick and 8 or 16, 4)
  root = nil
  collectgarbage()
  put("d", "ns/object", (now() - begin) / made)
end

local function run_tree_pause()
  pause_timed, pause_since = true, now()
  grow_trees(quick and 8 or 16, 2)
  put("d_pause", "us", pause_longest / 1e3)
end

local function run_list()
  local n = count(5000000)
  automatic(false)
  for _ = 1, n do root = {root or false, false, false} end
  collectgarbage()
  local begin = now()
  root = nil
  collectgarbage()
  put("e", "ns/object", (now() - begin) / n)
end

local roots, size = {}, count(125000)

local function steady_step()
  local place = below(size) + 1
  local fresh = ring(8)
  fresh[3] = roots[below(size) + 1]
  roots[place] = fresh
  for _ = 1, 8 do
    local to = below(size) + 1
    roots[to][3] = roots[below(size) + 1]
  end
end

local function steady_begin()
  for i = 1, size do roots[i] = ring(8) end
  for i = 1, size do roots[i][3] = roots[below(size) + 1] end
  collectgarbage()
end

local function steady_run(steps, seconds)
  local begin, done = now(), 0
  while done < steps do
    for _ = 1, 1000 do steady_step() end
    done = done + 1000
    if now() - begin > seconds * 1e9 then break end
  end
  return done
end

local function run_steady()
  local steps = count(1000000)
  steady_begin()
  steady_run(steps // 4, 1)
  local begin = now()
  local done = steady_run(steps, 3)
  put("f", "ns/step", (now() - begin) / done)
end

local function run_steady_pauses()
  local steps, took = count(500000), {}
  steady_begin()
  steady_run(steps // 2, 1)
  for i = 1, steps do took[i] = 0.0 end -- so that the table grows no more
  local limit, done = now() + 2e9, 0
  while done < steps do
    local begin = now()
    steady_step()
    local finish = now()
    done = done + 1
    took[done] = (finish - begin) / 1e3
    if finish > limit then break end
  end
  for i = #took, done + 1, -1 do took[i] = nil end
  table.sort(took)
  put("f_p999", "us", took[done * 999 // 1000])
  put("f_longest", "us", took[done])
end

local patterns = {
  a = function() run_ring("a", ring) end,
  A = function() run_ring("A", shuffled_ring) end,
  again = run_ring_again,
  b = run_pairs,
  b1 = run_pairs_at_once,
  c = run_old_heap,
  d = run_trees,
  dpause = run_tree_pause,
  e = run_list,
  f = run_steady,
  fpause = run_steady_pauses,
}
patterns[pattern]()
