-- peers.lua - who takes part. A peer in C is a program in build/bench; `id` is how BENCH_PEERS and the
-- CSV name it. `snapshots` is for stores that are shown twice. Of the slow ones fewer figures are taken.
local peers = {
   { id = "pkv", name = "pkv", classes = { "D0", "D1", "D2" } },
   { id = "crate", name = "crate", classes = { "D0", "D1", "D2" }, slow = true, cargo = true },
   {
      id = "crate_never",
      name = "crate, no snapshots",
      program = "crate",
      snapshots = "never",
      classes = { "D1" },
      cargo = true,
   },
   { id = "tkrzw_hash", name = "Tkrzw hash", classes = { "D1" } },
   { id = "tkrzw_tiny", name = "Tkrzw tiny", classes = { "D0" } },
   { id = "lmdb", name = "LMDB", classes = { "D1", "D2" } },
   { id = "rocksdb", name = "RocksDB", classes = { "D0", "D1", "D2" } },
   { id = "leveldb", name = "LevelDB", classes = { "D1", "D2" } },
   { id = "sqlite", name = "SQLite", classes = { "D0", "D1", "D2" }, slow = true },
   { id = "wiredtiger", name = "WiredTiger", classes = { "D1", "D2" } },
   { id = "redis", name = "Redis (networked)", classes = { "D0", "D1", "D2" }, slow = true },
}

-- Peers in Lua are files in bench/lua.
local lua_peers = {
   { id = "pkv", name = "pkv", classes = { "D0", "D1" } },
   { id = "empty", name = "empty C metamethods (no store)", classes = { "D0" } },
   { id = "table", name = "plain table", classes = { "D0" } },
   { id = "ngx_dict", name = "ngx.shared.DICT (LuaJIT)", classes = { "D0" }, nginx = true },
   { id = "sqlite", name = "SQLite", classes = { "D1" }, slow = true },
}

return { peers = peers, lua_peers = lua_peers }
