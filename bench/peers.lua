-- peers.lua - who takes part, and in which processes. A peer is a program made of an adapter and
-- workload.c; `interval` is the number of writes between its snapshots.
local peers = {
   { id = "pkv", name = "pkv", program = "store", interval = "default" },
   { id = "crate", name = "crate", program = "crate/target/release/bench", interval = "default", crate = true },
   {
      id = "crate_never",
      name = "crate, no snapshots",
      program = "crate/target/release/bench",
      interval = "never",
      crate = true,
   },
}

local lua_peers = {
   { id = "table", name = "plain table" },
   { id = "empty", name = "empty C metamethod" },
   { id = "store", name = "store" },
}

-- What is run, in this order, for each peer in turn. A scenario may want its own interval; then it
-- is of no use to each peer, and `peers` has those that take part.
local function scenarios(entries)
   return {
      { id = "work", phases = { "work" } },
      { id = "threads", phases = { "threads" }, threads = 2 },
      { id = "fill", phases = { "fill" } },
      {
         id = "log",
         phases = { "fill", "restore" },
         interval = "never",
         peers = { pkv = true, crate_never = true },
      },
      {
         id = "snapshot",
         phases = { "fill", "restore" },
         interval = entries,
         peers = { pkv = true, crate = true },
      },
      {
         id = "pause",
         phases = { "pause" },
         interval = entries + entries // 10,
         peers = { pkv = true, crate = true },
      },
   }
end

-- The rows of the table: what, unit, scenario, measure. `factor` makes the unit of the measure;
-- `better` is "more" or "less", and a row without it has no ratio; the ratio of a row with a `base` is
-- of what is measured and the base together.
local rows = {
   { "set, 1 thread", "k/s", "work", "set", factor = 1e-3, better = "more" },
   { "set, 2 threads", "k/s", "threads", "set", factor = 1e-3, better = "more" },
   { "get", "k/s", "work", "get", factor = 1e-3, better = "more" },
   { "overwrite", "k/s", "work", "overwrite", factor = 1e-3, better = "more" },
   { "restore from the log", "ms", "log", "restore", factor = 1e3, better = "less" },
   { "restore from a snapshot", "ms", "snapshot", "restore", factor = 1e3, better = "less" },
   { "longest set while loading", "µs", "fill", "longest", factor = 1e6, better = "less" },
   { "longest set while a snapshot is written", "µs", "pause", "longest", factor = 1e6, better = "less" },
   { "memory over payload, after set", "%", "work", "memory_set", base = 100, better = "less" },
   { "memory over payload, after overwrite", "%", "work", "memory_overwrite", base = 100, better = "less" },
   { "memory over payload, restored from the log", "%", "log", "memory_restore", base = 100, better = "less" },
   { "memory over payload, restored from a snapshot", "%", "snapshot", "memory_restore", base = 100, better = "less" },
   { "the same by `stats`, after set", "%", "work", "memory_set_said" },
   { "the same by `stats`, after overwrite", "%", "work", "memory_overwrite_said" },
   { "bytes written per byte set", "", "work", "written", better = "less" },
   { "folder on disk, open", "MB", "work", "disk_open", factor = 1e-6, better = "less" },
   { "folder on disk, closed", "MB", "work", "disk_closed", factor = 1e-6, better = "less" },
}

local lua_rows = {
   { "`store[k] = v`, new key", "ns", "lua", "insert" },
   { "`store[k] = v`, known key", "ns", "lua", "overwrite" },
   { "`store[k]`", "ns", "lua", "get" },
   { "`pairs`, per entry", "ns", "lua", "pairs" },
}

return { peers = peers, lua_peers = lua_peers, scenarios = scenarios, rows = rows, lua_rows = lua_rows }
