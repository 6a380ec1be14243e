-- plan.lua - what is run. A scenario is work that each peer does in processes of its own.
--
--    id        for BENCH_ONLY and the CSV
--    class     of durability; only peers that have it take part
--    only, without
--              these peers take part, or all but these; `fast`: those that are not slow
--    entries, sizes, threads, seconds
--              of the work; where sizes {key, value} and threads are lists, each has its processes.
--              `seconds` is how long a step goes on at most. `runs`: other than for the rest
--    phases    processes, one after the other with one folder: steps (see README.md); snapshots;
--              `died` if it ends in kill -9. Where there are several, the first only makes the
--              folder, and the others begin with what it left; `label` stands before their steps,
--              and `cold` is for nothing of the folder in the page cache
--    tables    for the report: a title, then columns "step measure"
local MILLION = 1000000

local OPERATIONS = { "ns per operation", "load ns", "get ns", "update ns", "many ns" }
local YCSB_STEPS = "a:zipf a:uniform b:zipf b:uniform c:zipf c:uniform d:zipf d:uniform f:zipf f:uniform"

local function columns(title, steps, measure)
   local list = { title }
   for step in steps:gmatch "%S+" do
      table.insert(list, step .. " " .. measure)
   end
   return list
end

local function percentiles(step, title)
   local list = { title }
   for _, quantile in ipairs { "p50", "p99", "p99.9", "p99.99", "max" } do
      table.insert(list, step .. " " .. quantile)
   end
   return list
end

local RESTORE = {
   "seconds to open, and then to read all; memory after it",
   "warm:open seconds",
   "warm:check seconds",
   "cold:open seconds",
   "cold:check seconds",
   "warm:memory:restore per_entry",
}

local full = {
   {
      id = "core",
      title = "The core",
      class = "D1",
      entries = MILLION,
      threads = { 1, 2, 8 },
      seconds = 0.5,
      phases = { { steps = "nothing load settle memory:load get update many scan " .. YCSB_STEPS } },
      tables = {
         OPERATIONS,
         columns("YCSB with Zipf's distribution (0.99), ns per operation", "a:zipf b:zipf c:zipf d:zipf f:zipf", "ns"),
         columns(
            "YCSB with all entries equally likely, ns per operation",
            "a:uniform b:uniform c:uniform d:uniform f:uniform",
            "ns"
         ),
         { "Memory, and reading all", "memory:load per_entry", "memory:load over_payload", "scan ns" },
         { "What the driver itself costs", "nothing ns" },
      },
   },
   {
      -- These leave the disk at work for whoever comes after them, so what others take is better measured apart.
      id = "loading",
      title = "Loading, beside stores that write behind",
      class = "D1",
      only = { "pkv", "rocksdb", "leveldb", "sqlite", "wiredtiger", "redis" },
      entries = MILLION,
      threads = { 1, 2 },
      phases = { { steps = "nothing load" } },
      tables = { { "ns per operation", "load ns" } },
   },
   {
      id = "latency",
      title = "Each operation by itself",
      class = "D1",
      entries = MILLION,
      seconds = 1,
      phases = { { steps = "clock latency:load settle latency:get latency:update latency:a:zipf" } },
      tables = {
         percentiles("clock", "The machine: a loop that only reads the clock, ns"),
         percentiles("latency:load", "Loading, ns"),
         percentiles("latency:get", "Getting, ns"),
         percentiles("latency:update", "Updating, ns"),
         percentiles("latency:a:zipf", "YCSB A with Zipf's distribution, ns"),
      },
   },
   {
      id = "snapshot",
      without = { "crate_never" },
      title = "While a snapshot, a checkpoint or a compaction runs; a reader beside a writer",
      class = "D1",
      entries = MILLION,
      threads = 2,
      seconds = 1,
      phases = { { steps = "load settle clock stall peak settle beside", snapshots = "called" } },
      tables = {
         percentiles("clock", "The machine: a loop that only reads the clock, ns"),
         percentiles("set", "Setting, nothing beside it, ns"),
         percentiles("set+snapshot", "Setting, ns"),
         percentiles("get", "Getting, nothing beside it, ns"),
         percentiles("get+snapshot", "Getting, ns"),
         { "Bytes that memory grows by while it runs; a reader and a writer", "peak grown", "beside share" },
      },
   },
   {
      id = "written",
      title = "What loading writes",
      class = "D1",
      entries = MILLION,
      phases = { { steps = "load" } },
      tables = {
         {
            "Written per byte of the user's; on the disk after close, per byte of payload",
            "close written",
            "close disk",
            "close seconds",
         },
      },
   },
   {
      id = "sizes",
      title = "Other sizes",
      class = "D1",
      fast = true,
      entries = MILLION,
      sizes = { { 8, 8 }, { 8, 32 }, { 16, 100 }, { 16, 1000 } },
      seconds = 1,
      phases = { { steps = "load settle memory:load get update resize settle memory:resize refill" } },
      tables = {
         { "ns per operation", "load ns", "get ns", "update ns", "resize ns", "delete ns", "refill ns" },
         {
            "Bytes of memory",
            "memory:load per_entry",
            "memory:load over_payload",
            "memory:resize per_entry",
            "memory:resize over_payload",
         },
      },
   },
   {
      id = "churn",
      title = "After a churn of ten times the data",
      class = "D1",
      fast = true,
      runs = 1, -- it is not for the time that it takes
      entries = MILLION,
      sizes = { { 8, 8 }, { 8, 32 }, { 16, 100 }, { 16, 1000 } },
      phases = { { steps = "load settle churn settle memory:churn" } },
      tables = {
         { "ns per set; bytes of memory", "churn ns", "memory:churn per_entry", "memory:churn over_payload" },
      },
   },
   {
      id = "restore_log",
      without = { "crate" },
      title = "Restoring from the log, after kill -9",
      class = "D1",
      entries = MILLION,
      phases = {
         { steps = "load kill", snapshots = "never", died = true },
         { steps = "check settle memory:restore", label = "warm" },
         { steps = "check", label = "cold", cold = true },
      },
      tables = { RESTORE },
   },
   {
      id = "restore_snapshot",
      without = { "crate_never" },
      title = "Restoring from a snapshot, after a clean close",
      class = "D1",
      entries = MILLION,
      phases = {
         { steps = "load settle snapshot", snapshots = "called" },
         { steps = "check settle memory:restore", label = "warm" },
         { steps = "check", label = "cold", cold = true },
      },
      tables = { RESTORE },
   },
   {
      id = "large",
      title = "Ten million entries",
      class = "D1",
      only = { "pkv", "crate_never", "tkrzw_hash", "lmdb", "rocksdb" },
      entries = 10 * MILLION,
      seconds = 2,
      phases = { { steps = "load settle memory:load get update many a:zipf scan" } },
      tables = {
         OPERATIONS,
         {
            "The rest",
            "a:zipf ns",
            "scan ns",
            "memory:load per_entry",
            "memory:load over_payload",
         },
      },
   },
   {
      id = "growth",
      title = "Growing to ten million entries",
      class = "D1",
      only = { "pkv", "crate_never", "tkrzw_hash" },
      entries = 10 * MILLION,
      seconds = 10,
      phases = { { steps = "clock latency:load" } },
      tables = {
         percentiles("clock", "The machine: a loop that only reads the clock, ns"),
         percentiles("latency:load", "Loading, ns"),
      },
   },
   {
      id = "flushed",
      title = "Flushed before it is acknowledged",
      class = "D2",
      entries = 100000,
      threads = { 1, 2, 8 },
      seconds = 2,
      phases = { { steps = "load update latency:update" } },
      tables = { { "ns per operation", "load ns", "update ns" }, percentiles("latency:update", "Updating, ns") },
   },
   {
      id = "memory_only",
      title = "Nothing survives the process",
      class = "D0",
      entries = MILLION,
      seconds = 1,
      phases = { { steps = "load settle memory:load get update many a:zipf scan" } },
      tables = {
         OPERATIONS,
         {
            "The rest",
            "a:zipf ns",
            "scan ns",
            "memory:load per_entry",
            "memory:load over_payload",
         },
      },
   },
   {
      id = "lua",
      title = "In Lua",
      lua = true,
      class = "D1",
      entries = MILLION,
      seconds = 0.5,
      tables = {
         { "A thousand entries, ns per operation", "warm:set ns", "warm:get ns" },
         { "All entries, ns per operation", "load ns", "set ns", "get ns", "pairs ns", "remove ns" },
      },
   },
   {
      id = "lua_memory_only",
      title = "In Lua, where nothing survives the process",
      lua = true,
      class = "D0",
      entries = MILLION,
      seconds = 0.5,
      tables = {
         { "A thousand entries, ns per operation", "warm:set ns", "warm:get ns" },
         { "All entries, ns per operation", "load ns", "set ns", "get ns", "pairs ns", "remove ns" },
      },
   },
}

-- The core rows of the same, for a look in less than two minutes.
local MAIN = { "pkv", "crate_never", "tkrzw_hash", "lmdb" }
local quick = {
   {
      id = "core",
      title = "The core",
      class = "D1",
      only = MAIN,
      entries = MILLION,
      seconds = 0.4,
      phases = { { steps = "load settle memory:load get update many" } },
      tables = { OPERATIONS, { "Memory", "memory:load per_entry", "memory:load over_payload" } },
   },
   {
      id = "restore_log",
      title = "Restoring from the log, after kill -9",
      class = "D1",
      only = { "pkv", "crate_never" },
      entries = MILLION,
      phases = { { steps = "load kill", snapshots = "never", died = true }, { steps = "check", label = "warm" } },
      tables = { { "seconds to open, and then to read all", "warm:open seconds", "warm:check seconds" } },
   },
}

return { full = full, quick = quick }
