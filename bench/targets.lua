-- targets.lua - figures to reach. Each is a number, or the quotient of two that were taken in the same
-- run: `of` and `by` name them, with what is not said being that of pkv, one thread, 16 + 100 bytes.
-- `least` or `most` is what is wanted; a figure may be as bad as `excuse` without missing it.
local targets = {}

local function figure(scenario, step, measure, more)
   local result = { scenario = scenario, step = step, measure = measure }
   result.peer, result.threads, result.key, result.value = "pkv", 1, 16, 100
   for name, value in pairs(more or {}) do
      result[name] = value
   end
   return result
end

local function add(what, against, of, by, limits)
   local target = { what = what, against = against, of = of, by = by }
   for name, value in pairs(limits) do
      target[name] = value
   end
   table.insert(targets, target)
end

-- How many times as long the peer takes.
local function faster(what, against, peer, scenario, step, least, threads)
   local fields = { threads = threads or 1 }
   local ours = figure(scenario, step, "ns", fields)
   fields.peer = peer
   add(what, against, figure(scenario, step, "ns", fields), ours, { least = least, unit = " ×" })
end

for threads = 1, 2 do
   local what = string.format("set, D1, %d thread%s", threads, threads == 1 and "" or "s")
   faster(what, "crate at its defaults", "crate", "core", "load", 20, threads)
   faster(what, "crate, snapshots off", "crate_never", "core", "load", 4, threads)
   faster(what, "Tkrzw hash", "tkrzw_hash", "core", "load", 1.5, threads)
   faster(what, "LMDB", "lmdb", "core", "load", 5, threads)
   faster(what, "RocksDB", "rocksdb", "loading", "load", 8, threads)
   faster(what, "LevelDB", "leveldb", "loading", "load", 8, threads)
   faster(what, "SQLite", "sqlite", "loading", "load", 30, threads)
end
faster("set, D2, 8 threads", "crate", "crate", "flushed", "load", 3, 8)
faster("set, D2, 8 threads", "LevelDB", "leveldb", "flushed", "load", 1.3, 8)
faster("get, 1 thread", "crate", "crate_never", "core", "get", 2)
faster("get, 1 thread", "Tkrzw hash", "tkrzw_hash", "core", "get", 2)
faster("get, 1 thread", "LMDB", "lmdb", "core", "get", 2.5)
add(
   "get_many, 64 keys, per key",
   "crate's get",
   figure("core", "get", "ns", { peer = "crate_never" }),
   figure("core", "many", "ns"),
   { least = 6, unit = " ×" }
)
add(
   "a reader beside a writer",
   "sum of both alone",
   figure("snapshot", "beside", "share", { threads = 2 }),
   nil,
   { least = 0.9, unit = " ×" }
)

for _, row in ipairs { { 16, 100, 10 }, { 8, 32, 30 }, { 8, 8, 60 }, { 16, 1000, 2 } } do
   local what = string.format("memory over payload, %d + %d bytes", row[1], row[2])
   local size, scenario = { key = row[1], value = row[2] }, row[2] == 100 and "core" or "sizes"
   add(what, "payload", figure(scenario, "memory:load", "over_payload", size), nil, { most = row[3], unit = " %" })
end
add(
   "the same after a churn, 16 + 100 bytes",
   "payload",
   figure("churn", "memory:churn", "over_payload"),
   nil,
   { most = 15, unit = " %" }
)
add(
   "growth of memory while a snapshot runs",
   "before it",
   figure("snapshot", "peak", "grown", { threads = 2 }),
   nil,
   { most = 32, unit = " MiB", factor = 1 / 1048576 }
)

local function stall(what, scenario, step, threads)
   local idle = figure(scenario, "clock", "max", { threads = threads })
   add(
      what,
      "1 ms, or what the machine shows",
      figure(scenario, step, "max", { threads = threads }),
      nil,
      { most = 1, unit = " ms", factor = 1e-6, excuse = idle }
   )
end
stall("longest set while a snapshot runs", "snapshot", "set+snapshot", 2)
stall("longest get while a snapshot runs", "snapshot", "get+snapshot", 2)
stall("longest set while growing to ten million", "growth", "latency:load", 1)

add(
   "bytes written per user byte, loading",
   "",
   figure("written", "close", "written"),
   nil,
   { most = 2.2, unit = "" }
)

local function restore(what, scenario, peer, least)
   local ours = figure(scenario, "warm:open", "seconds")
   add(what, "crate", figure(scenario, "warm:open", "seconds", { peer = peer }), ours, { least = least, unit = " ×" })
end
restore("restore from a snapshot, warm", "restore_snapshot", "crate", 3)
restore("restore from the log, warm", "restore_log", "crate_never", 6)

for _, step in ipairs { "load", "get", "update", "many", "a:zipf", "scan" } do
   add(
      step .. ", ten million entries",
      "one million",
      figure("large", step, "ns"),
      figure("core", step, "ns"),
      { most = 1.6, unit = " ×" }
   )
end

local function lua(what, step, most)
   local ours, least = figure("lua", step, "ns"), figure("lua_memory_only", step, "ns", { peer = "empty" })
   add(what, "an empty C metamethod", ours, least, { most = most, unit = " ×" })
end
lua("Lua 5.4, store[k], in cache", "warm:get", 1.8)
lua("Lua 5.4, store[k] = v, in cache", "warm:set", 4)

return targets
