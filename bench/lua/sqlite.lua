-- sqlite.lua - SQLite through LuaDBI, the binding of Debian's that has prepared statements.
local function settings(sync)
   return "LuaDBI, WAL, without rowid, synchronous = "
      .. sync
      .. ", locking_mode exclusive, cache_size 1 GiB, mmap_size 32 GiB, prepared statements, a transaction a set"
end

return {
   settings = { D1 = settings "off", D2 = settings "full" },
   open = function(folder, class)
      os.execute("mkdir -p '" .. folder .. "'")
      local db = assert(require("DBI").Connect("SQLite3", folder .. "/data.sqlite"))
      local function run(sql)
         local statement = assert(db:prepare(sql))
         assert(statement:execute())
         statement:close()
      end
      db:autocommit(true)
      for _, pragma in ipairs {
         "cache_size = -1048576",
         "mmap_size = 34359738368",
         "locking_mode = exclusive",
         "journal_mode = wal",
         "synchronous = " .. (class == "D1" and "off" or "full"),
      } do
         run("PRAGMA " .. pragma)
      end
      run "CREATE TABLE entries (k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID"
      return {
         db = db,
         setter = assert(db:prepare "INSERT OR REPLACE INTO entries VALUES (?, ?)"),
         getter = assert(db:prepare "SELECT v FROM entries WHERE k = ?"),
         remover = assert(db:prepare "DELETE FROM entries WHERE k = ?"),
         all = assert(db:prepare "SELECT k, v FROM entries"),
      }
   end,
   close = function(names)
      names.db:close()
   end,
   set = "setter:execute(k, v)",
   get = "getter:execute(k) v = getter:fetch()[1]",
   remove = "remover:execute(k)",
   count = "all:execute() for _ in all:rows() do n = n + 1 end",
}
