--- What a store promises to the Lua program that holds it.
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"

local raised, same = helper.raised, helper.same
local pairs = compat.pairs

--- Whoever has the folder open keeps this from working.
local function is_open(path)
   local removed, _, code = pkv.prune_backups(path, 1000)
   assert(removed or code == "locked", code)
   return not removed
end

local path, store
local function open(options)
   path = helper.folder()
   store = assert(pkv.open(path, options))
   return store
end

local function clean()
   if store then pkv.close(store) end
   store = nil
   collectgarbage()
   helper.clean()
end

local function fill(count)
   local expected = {}
   for i = 1, count do
      store["k" .. i] = i
      expected["k" .. i] = i
   end
   return expected
end

--- Enters a loop over the iterator and leaves it at once.
local function leave(...)
   for key in ... do
      if key then break end
   end
end

describe("store[k]", function()
   before_each(function() open() end)
   after_each(clean)

   it("means data, whatever the key is", function()
      local names = { "get", "set", "open", "close", "each", "stats", "drain", "__index", "__newindex", "__gc",
                      "__close", "__len", "__pairs", "__metatable", "__name", "__tostring", "__mode", "path" }
      for _, name in ipairs(names) do assert.is_nil(store[name]) end
      local expected = {}
      for i, name in ipairs(names) do
         store[name] = i
         expected[name] = i
      end
      assert.is_true(same(expected, helper.content(store)))
      assert.equal(#names, #store)
      assert.equal(1, store.get)
      for _, name in ipairs(names) do store[name] = nil end
      assert.equal(0, #store)
      assert.match("^pkv store: ", tostring(store))
   end)

   it("is nil where nothing is stored", function()
      assert.is_nil(store.x)
      store.x = 1
      store.x = nil
      assert.is_nil(store.x)
   end)

   it("has the type of what was set last, also where that takes as many bytes", function()
      for _ = 1, 3 do
         for _, value in ipairs { "eight by", 1.5, "tes long", -2.25 } do
            store.key = value
            assert.equal(value, store.key)
         end
      end
   end)

   it("reads values of all sizes after each other", function()
      for _, size in ipairs { 0, 1, 1023, 1024, 1025, 5000, 300, 3 * 2 ^ 20, 7, 2000 } do
         store.x = ("v"):rep(size)
         assert.equal(("v"):rep(size), store.x)
      end
   end)
end)

describe("the functions", function()
   before_each(function() open() end)
   after_each(clean)

   it("get, with a default for what is absent", function()
      assert.equal(1, select("#", pkv.get(store, "x")))
      assert.is_nil(pkv.get(store, "x"))
      assert.equal("d", pkv.get(store, "x", "d"))
      store.x = false
      assert.is_false(pkv.get(store, "x", "d"))
   end)

   it("set, which is true, and wants a value", function()
      assert.is_true(pkv.set(store, "x", 1))
      assert.equal(1, store.x)
      assert.is_true(pkv.set(store, "x", nil))
      assert.is_nil(store.x)
      assert.match("bad argument #3 to 'pkv.set' %(value expected%)", raised(pkv.set, store, "x"))
   end)

   it("unset, which tells whether it was there", function()
      store.x = 1
      assert.is_true(pkv.unset(store, "x"))
      assert.is_false(pkv.unset(store, "x"))
   end)

   it("sync and snapshot, which are true", function()
      store.x = 1
      assert.is_true(pkv.sync(store))
      assert.is_true(pkv.snapshot(store))
      assert.equal(1, pkv.stats(store).snapshots)
   end)

   it("is_store, for open and closed stores and nothing else", function()
      assert.is_true(pkv.is_store(store))
      assert.is_true(pkv.close(store))
      assert.is_true(pkv.is_store(store))
      for _, other in ipairs { 1, "s", {}, io.stdout, print, false } do assert.is_false(pkv.is_store(other)) end
      assert.is_false(pkv.is_store(nil))
   end)

   it("version, a string", function() assert.match("^%d+%.%d+%.%d+", pkv.version) end)

   it("prune_backups and delete_failed_pending_snapshots, which work on closed folders", function()
      for _, name in ipairs { "prune_backups", "delete_failed_pending_snapshots" } do
         local removed, message, code = pkv[name](path, 1)
         assert.is_nil(removed)
         assert.match(path, message, 1, true)
         assert.equal("locked", code)
      end
      for i = 1, 3 do
         store.x = i
         assert(pkv.snapshot(store))
      end
      assert(pkv.close(store))
      local files = helper.files(path)
      local removed = pkv.prune_backups(path, 0)
      assert.equal(1, removed) -- one backup was kept
      local count = 0
      for _ in pairs(files) do count = count + 1 end
      for _ in pairs(helper.files(path)) do count = count - 1 end
      assert.equal(1, count)
      assert.equal(0, pkv.prune_backups(path, 0))
      assert.equal(0, pkv.delete_failed_pending_snapshots(path))
      store = assert(pkv.open(path))
      assert.equal(3, store.x)
      for _, wrong in ipairs { -1, 2.5, "x", 2 ^ 32 } do
         assert.match("bad argument #2", raised(pkv.prune_backups, path, wrong))
      end
   end)

   it("stats, a table", function()
      fill(10)
      local stats = pkv.stats(store)
      local expected = { entries = "integer", key_bytes = "integer", value_bytes = "integer",
         memory_bytes = "integer", memory_free_bytes = "integer", wal_bytes = "integer",
         wal_written_bytes = "integer", snapshot_bytes = "integer", snapshot_ordinal = "integer",
         snapshots = "integer", snapshot_failures = "integer", flushes = "integer",
         restored_entries = "integer", cut_bytes = "integer", memory_shards = "integer",
         wal_shards = "integer", restore_seconds = "float", snapshot_seconds = "float",
         keys = "string", values = "string", sync = "string", wal_io = "string",
         read_only = "boolean", snapshot_running = "boolean" }
      for name, value in pairs(stats) do
         local of_type = type(value) == "number" and compat.type_of_number(value) or type(value)
         local wanted = expected[name]
         if not compat.has_integers and (wanted == "integer" or wanted == "float") then wanted = "number" end
         assert.equal(wanted, of_type, name)
         expected[name] = nil
      end
      assert.is_nil(next(expected))
      assert.equal(10, stats.entries)
      assert.equal(21, stats.key_bytes)
      assert.equal(80, stats.value_bytes)
      assert.equal("string any os", table.concat({ stats.keys, stats.values, stats.sync }, " "))
   end)

   it("stats, with the options as they are given", function()
      local number = 0
      for _, options in ipairs {
         { keys = "i8", values = "u16", sync = "always", wal_io = "pwrite", memory_shards = 4, wal_shards = 2 },
         { keys = "u64", values = "string", sync = "buffered" },
         { keys = "string", values = "any", sync = "os" },
      } do
         number = number + 1
         local other = assert(pkv.open(path .. number, options))
         local stats = pkv.stats(other)
         for name, value in pairs(options) do assert.equal(value, stats[name]) end
         assert(pkv.close(other))
      end
      local other = assert(pkv.open(path .. "5", { sync = 2, values = { encode = print, decode = print } }))
      assert.equal("interval", pkv.stats(other).sync)
      assert.equal("coded", pkv.stats(other).values)
      assert(pkv.close(other))
   end)
end)

describe("a store as a value", function()
   before_each(function() open() end)
   after_each(clean)

   it("has the number of entries as its length", function()
      assert.equal(0, #store)
      fill(100)
      store.k1 = "again"
      assert.equal(100, #store)
      store.k1 = nil
      assert.equal(99, #store)
   end)

   it("tells its path, entries and size", function()
      assert.equal(("pkv store: %s (0 entries, 0 bytes)"):format(path), tostring(store))
      store.x = "1234"
      assert.equal(("pkv store: %s (1 entry, 5 bytes)"):format(path), tostring(store))
      store.x = ("x"):rep(1535)
      assert.equal(("pkv store: %s (1 entry, 1.5 KiB)"):format(path), tostring(store))
      store.y = ("x"):rep(45 * 1024)
      assert.equal(("pkv store: %s (2 entries, 47 KiB)"):format(path), tostring(store))
      pkv.close(store)
      assert.equal(("pkv store: %s (closed)"):format(path), tostring(store))
   end)

   it("gives its metatable to nobody", function()
      assert.equal(type(store) == "cdata" and "ffi" or "pkv store", getmetatable(store))
   end)

   it("is itself only", function()
      local other = assert(pkv.open(path))
      assert.is_true(store == store) -- luacheck: ignore
      assert.is_false(store == other)
      pkv.close(other)
   end)
end)

describe("misuse", function()
   before_each(function() open() end)
   after_each(clean)

   it("raises where the caller is", function()
      local here
      local function at(f) return raised(f):sub(1, #here) end
      here = helper.here():gsub(":(%d+):", function(line) return ":" .. tonumber(line) + 1 .. ":" end)
      assert.equal(here, at(function() store.x = print end))
      here = helper.here():gsub(":(%d+):", function(line) return ":" .. tonumber(line) + 1 .. ":" end)
      assert.equal(here, at(function() return store[1] end))
      here = helper.here():gsub(":(%d+):", function(line) return ":" .. tonumber(line) + 1 .. ":" end)
      assert.equal(here, at(function() local _ = pkv.get({}, 1) end))
      here = helper.here():gsub(":(%d+):", function(line) return ":" .. tonumber(line) + 1 .. ":" end)
      assert.equal(here, at(function() local _ = pkv.set(store, 1, 1) end))
   end)

   it("of something that is not a store", function()
      for _, name in ipairs { "get", "set", "unset", "each", "sync", "snapshot", "stats", "drain", "close" } do
         local said = ("bad argument #1 to 'pkv.%s' (pkv store expected, got "):format(name)
         assert.equal(said .. "table)", raised(pkv[name], {}))
         assert.equal(said .. "no value)", raised(pkv[name]))
         assert.equal(said .. "userdata)", raised(pkv[name], io.stdout))
      end
   end)

   it("of the metamethods harms nobody", function()
      if compat.has_ffi then return end -- a cdata's cannot be had
      local mt = debug.getmetatable(store)
      for _, name in ipairs { "__index", "__newindex", "__len", "__pairs", "__tostring", "__close" } do
         for _, wrong in ipairs { {}, io.stdout, 1, "x" } do
            assert.match("pkv store expected", raised(mt[name], wrong, "k", "v"))
         end
      end
      mt.__gc(io.stdout)
      mt.__gc()
      mt.__gc(store)
      mt.__gc(store)
      assert.match("closed", raised(function() return store.x end))
   end)

   it("of a closed store", function()
      local iterator = pkv.each(store)
      assert.is_true(pkv.close(store))
      assert.is_true(pkv.close(store))
      local said = "the store is closed: " .. path
      assert.equal(said, raised(pkv.get, store, "x"))
      assert.equal(said, raised(pkv.set, store, "x", 1))
      assert.equal(said, raised(pkv.unset, store, "x"))
      for _, name in ipairs { "each", "sync", "snapshot", "stats", "drain" } do
         assert.equal(said, raised(pkv[name], store))
      end
      assert.match(said, raised(function() return store.x end), 1, true)
      assert.match(said, raised(function() store.x = 1 end), 1, true)
      assert.match(said, raised(function() return #store end), 1, true)
      assert.match(said, raised(function() for _ in pairs(store) do error "no" end end), 1, true)
      assert.equal(said, raised(iterator))
   end)
end)

describe("a loop over pairs", function()
   before_each(function() open() end)
   after_each(clean)

   it("sees every entry once, with pairs and with pkv.each", function()
      local expected = fill(3000)
      assert.is_true(same(expected, helper.content(store)))
      local seen = {}
      for key, value in pkv.each(store) do
         assert.is_nil(seen[key])
         seen[key] = value
      end
      assert.is_true(same(expected, seen))
      assert.is_nil(next(helper.content(assert(pkv.open(helper.folder())))))
   end)

   it("may change the store", function()
      local expected = fill(2000)
      local seen, number = {}, 0
      for key, value in pairs(store) do
         assert.is_nil(seen[key])
         seen[key] = value
         number = number + 1
         store[key] = nil
         store["new" .. number] = ("x"):rep(number % 100)
         if number % 3 == 0 then store["new" .. number] = nil end
         if number > 100000 then error "it never ends" end
      end
      for key, value in pairs(expected) do
         assert.equal(value, seen[key])
         assert.is_nil(store[key])
      end
   end)

   it("may overwrite what it sees, with larger and smaller values", function()
      fill(2000)
      local count = 0
      for key, value in pairs(store) do
         store[key] = ("x"):rep(value * 7 % 3000)
         count = count + 1
      end
      assert.equal(2000, count)
   end)

   it("may empty the store", function()
      fill(2000)
      for key in pairs(store) do store[key] = nil end
      assert.equal(0, #store)
      assert.is_nil(next(helper.content(store)))
   end)

   it("may close the store: the next step says so", function()
      fill(100)
      local steps = 0
      local message = raised(function()
         for _ in pairs(store) do
            steps = steps + 1
            pkv.close(store)
         end
      end)
      assert.equal(1, steps)
      assert.match("the store is closed: " .. path, message, 1, true)
      assert.is_false(is_open(path))
   end)

   it("may be left by break, return and error, which leave the store usable", function()
      fill(100)
      for _ = 1, 200 do
         leave(pairs(store))
         leave(pkv.each(store))
         pcall(function() for _ in pairs(store) do error "out" end end)
      end
      store.x = 1
      assert(pkv.snapshot(store))
      assert.equal(101, #store)
   end)

   it("may be nested", function()
      fill(30)
      local count = 0
      for _ in pairs(store) do
         for _ in pairs(store) do count = count + 1 end
      end
      assert.equal(900, count)
   end)

   it("runs in a coroutine, and in several at once", function()
      fill(50)
      local function walk() for key in pairs(store) do coroutine.yield(key) end end
      local one, two, count = coroutine.wrap(walk), coroutine.wrap(walk), 0
      for _ = 1, 50 do
         if one() then count = count + 1 end
         if two() then count = count + 1 end
      end
      assert.equal(100, count)
      assert.is_nil(one())
      local abandoned = coroutine.wrap(walk)
      abandoned()
   end)

   it("has an iterator that can be called by hand and ends for good", function()
      fill(2)
      local iterator = pkv.each(store)
      assert.is_string((iterator()))
      assert.is_string((iterator()))
      assert.is_nil(iterator())
      assert.is_nil(iterator())
      pkv.close(store)
      assert.is_nil(iterator())
   end)

   if compat.has_close then
      it("closes its cursor when it is left", function()
         fill(10)
         local iterator, _, _, closing = pkv.each(store)
         compat.with_close(closing, iterator)
         assert.is_nil(iterator())
      end)
   end

   it("keeps the store alive that nobody else holds", function()
      fill(10)
      local iterator = pkv.each(store)
      store = nil
      collectgarbage()
      collectgarbage()
      local count = 0
      for _ in iterator do count = count + 1 end
      assert.equal(10, count)
      assert.is_true(is_open(path))
      iterator = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.is_false(is_open(path))
   end)
end)

describe("pkv.drain", function()
   before_each(function() open { values = { encode = tostring, decode = tonumber } } end)
   after_each(clean)

   it("iterates over all and closes; the files stay", function()
      local expected = fill(1000)
      local options = { values = { encode = tostring, decode = tonumber } }
      local seen = {}
      for key, value in pkv.drain(store) do
         if not next(seen) then
            assert.match("%(closed%)$", tostring(store))
            assert.is_false(is_open(path))
         end
         seen[key] = value
      end
      assert.is_true(same(expected, seen))
      assert.match("the store is closed", raised(pkv.drain, store))
      store = assert(pkv.open(path, options))
      assert.is_true(same(expected, helper.content(store)))
   end)

   it("may be left early, and collected", function()
      fill(100)
      leave(pkv.drain(store))
      collectgarbage()
      assert.is_false(is_open(path))
   end)

   it("does nothing while others hold the store", function()
      fill(10)
      local other = assert(pkv.open(path, { values = { encode = tostring, decode = tonumber } }))
      local iterator, message, code = pkv.drain(store)
      assert.is_nil(iterator)
      assert.is_string(message)
      assert.equal("usage", code)
      assert.equal(10, #store)
      pkv.close(other)
   end)

   it("ends other loops over the store", function()
      fill(10)
      local iterator = pkv.each(store)
      iterator()
      pkv.drain(store)
      assert.match("the store is closed", raised(iterator))
   end)
end)
