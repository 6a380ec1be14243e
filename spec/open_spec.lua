--- pkv.open: folders, locks, sharing, options.
local lfs = require "lfs"
local pkv = require "pkv"
local helper = require "spec.support.helper"

local raised = helper.raised

--- Whoever has the folder open keeps this from working.
local function is_open(path)
   local removed, _, code = pkv.prune_backups(path, 1000)
   assert(removed or code == "locked", code)
   return not removed
end

describe("pkv.open", function()
   local path
   before_each(function() path = helper.folder() end)
   after_each(function()
      collectgarbage()
      helper.clean()
   end)

   it("creates the folder and its parents", function()
      local deep = path .. "/a/b/c"
      local store = assert(pkv.open(deep))
      assert.equal("directory", lfs.attributes(deep, "mode"))
      store.x = 1
      assert(pkv.close(store))
   end)

   it("with create = false wants a store to be there", function()
      local store, message, code = pkv.open(path, { create = false })
      assert.is_nil(store)
      assert.equal("not_found", code)
      assert.match(path, message, 1, true)
      assert.is_nil(lfs.attributes(path))
      assert(pkv.close(assert(pkv.open(path, { create = true }))))
      assert(pkv.close(assert(pkv.open(path, { create = false }))))
   end)

   it("restores what was there", function()
      local store = assert(pkv.open(path))
      for i = 1, 1000 do store["key" .. i] = i end
      assert(pkv.close(store))
      store = assert(pkv.open(path))
      assert.equal(1000, #store)
      for i = 1, 1000 do assert.equal(i, store["key" .. i]) end
      assert(pkv.close(store))
   end)

   it("of a path that is a file fails with io", function()
      helper.write(path, "a file")
      local store, message, code = pkv.open(path)
      assert.is_nil(store)
      assert.match(path, message, 1, true)
      assert.equal("io", code)
   end)

   it("takes the lock: another process gets locked, with the path", function()
      local store = assert(pkv.open(path))
      local output = helper.run_well([[
         local store, message, code = require "pkv".open(arg[1])
         print(store, code, message)]], path)
      assert.match("^nil\tlocked\t", output)
      assert.match(path, output, 1, true)
      assert(pkv.close(store))
      assert.match("^pkv store: ", helper.run_well('print(require "pkv".open(arg[1]))', path))
   end)

   it("is not held up by what a dead process left", function()
      local output, exit_code = helper.run([[
         local store = assert(require "pkv".open(arg[1]))
         store.x = 1
         local file = io.open("/proc/self/stat")
         local pid = file:read("*a"):match("^%d+")
         os.execute("kill -9 " .. pid)]], path)
      assert.equal("", (output:gsub("Killed%s*", "")))
      assert.equal(128 + 9, exit_code)
      local store = assert(pkv.open(path))
      assert.equal(1, store.x)
      assert(pkv.close(store))
   end)

   describe("a second time in the process", function()
      it("shares the store", function()
         local one, two = assert(pkv.open(path)), assert(pkv.open(path))
         one.x = 1
         assert.equal(1, two.x)
         assert.equal(1, #two)
         assert(pkv.close(one))
         assert.is_true(is_open(path))
         two.x = 2
         assert(pkv.close(two))
         assert.is_false(is_open(path))
      end)

      it("shares it by any other name: relative, with dots, by a symlink", function()
         local one = assert(pkv.open(path))
         local link = path .. "-link"
         assert(lfs.link(path, link, true))
         for _, name in ipairs { path .. "/", path .. "/../store", link } do
            local two = assert(pkv.open(name))
            two.x = name
            assert.equal(name, one.x)
            assert(pkv.close(two))
         end
         assert.equal("pkv store: " .. path, tostring(one):match("^(.-) %("))
         assert(pkv.close(one))
      end)

      it("refuses options that contradict", function()
         local options = { keys = "i32", values = "string", sync = "always", wal_shards = 2,
                           memory_shards = 8, snapshot_interval = 1000 }
         local store = assert(pkv.open(path, options))
         local codes = { keys = "key_mode", values = "value_type" }
         for name, other in pairs { keys = "u32", values = "any", sync = "os", wal_shards = 3,
                                    memory_shards = 16, snapshot_interval = false } do
            local contradicting = {}
            for n, value in pairs(options) do contradicting[n] = value end
            contradicting[name] = other
            local two, message, code = pkv.open(path, contradicting)
            assert.is_nil(two, name)
            assert.is_string(message)
            assert.is_true(code == "usage" or code == codes[name], name .. ": " .. tostring(code))
         end
         local two = assert(pkv.open(path, { keys = "i32", values = "string" }))
         assert(pkv.close(two))
         assert(pkv.close(store))
      end)
   end)

   it("with other keys or values than the store has is an error and touches nothing", function()
      local modes = { "string", "u64", "i64", "u32", "i32", "u16", "i16", "u8", "i8" }
      local kinds = { "any", "string", "u64", "i8", { encode = tostring, decode = tostring } }
      for _, mode in ipairs(modes) do
         local folder = path .. mode
         local store = assert(pkv.open(folder, { keys = mode }))
         store[mode == "string" and "a" or 1] = "value"
         assert(pkv.snapshot(store))
         store[mode == "string" and "b" or 2] = "value"
         assert(pkv.close(store))
         local before = helper.files(folder)
         local function refused(expected, options)
            local other, message, code = pkv.open(folder, options)
            assert.is_nil(other)
            assert.equal(expected, code)
            assert.match(folder, message, 1, true)
            assert.same(before, helper.files(folder))
         end
         for _, other in ipairs(modes) do
            if other ~= mode then refused("key_mode", { keys = other }) end
         end
         for i = 2, #kinds do refused("value_type", { keys = mode, values = kinds[i] }) end
         assert(pkv.close(assert(pkv.open(folder, { keys = mode }))))
      end
   end)

   it("may change everything that is not about keys and values", function()
      local all = {
         { sync = "os", memory_shards = 1, wal_shards = 1 },
         { sync = "always", memory_shards = 64, wal_shards = 4, snapshot_threads = 1 },
         { sync = "buffered", wal_io = "pwrite", snapshot_interval = 10, snapshot_shard_bytes = 1000 },
         { sync = 0.05, wal_io = "mmap", snapshot_interval = false, keep_backups = 0 },
         { sync = 1, keep_backups = 3, snapshot_interval = 1e6, create = true },
      }
      local expected = {}
      for round, options in ipairs(all) do
         local store = assert(pkv.open(path, options))
         assert.same(expected, helper.content(store))
         for i = 1, 50 do
            store["k" .. i * round], expected["k" .. i * round] = round, round
         end
         store["k" .. round], expected["k" .. round] = nil, nil
         assert(pkv.sync(store))
         if round % 2 == 0 then assert(pkv.snapshot(store)) end
         assert(pkv.close(store))
      end
   end)
end)

describe("the arguments of pkv.open", function()
   local path
   before_each(function() path = helper.folder() end)
   after_each(helper.clean)

   it("are a path without zero bytes", function()
      assert.match("string expected, got no value", raised(pkv.open))
      assert.match("string expected, got table", raised(pkv.open, {}))
      assert.match("the path is empty", raised(pkv.open, ""))
      assert.match("the path contains a zero byte", raised(pkv.open, "a\0b"))
   end)

   it("and a table of options", function()
      assert.match("table expected, got number", raised(pkv.open, path, 1))
      assert(pkv.close(assert(pkv.open(path, nil))))
      assert(pkv.close(assert(pkv.open(path, {}))))
   end)

   it("which are known", function()
      local message = raised(pkv.open, path, { kyes = "i8" })
      assert.match('unknown option string "kyes"; the options are keys, values, sync, snapshot_interval, ' ..
                   'memory_shards, wal_shards, snapshot_threads, snapshot_shard_bytes, keep_backups, ' ..
                   'wal_io, create, on_event', message, 1, true)
      assert.match("unknown option number 1;", raised(pkv.open, path, { "i8" }), 1, true)
      assert.match("unknown option table;", raised(pkv.open, path, { [{}] = 1 }), 1, true)
      assert.is_nil(lfs.attributes(path))
   end)

   it("and of the right type", function()
      local wrong = {
         keys = { 1, true, "i7", "", {} },
         values = { 1, "table", "i7", {}, { encode = print }, { encode = print, decode = 1 },
                    { encode = print, decode = print, code = print }, print },
         sync = { true, "never", {}, 0, -1, 0 / 0, math.huge, "1" },
         snapshot_interval = { true, "never", 0, -1, 2.5, math.huge },
         memory_shards = { "8", 0, -1, 1.5, 2 ^ 32, true },
         wal_shards = { "8", 0, -1, 1.5, 2 ^ 32, true },
         snapshot_threads = { "8", 0, -1, 1.5, 2 ^ 32, true },
         snapshot_shard_bytes = { "8", 0, -1, 1.5, 2 ^ 64, true },
         keep_backups = { "8", -1, 1.5, 2 ^ 31, true },
         wal_io = { "read", 1, true },
         create = { 1, "yes" },
         on_event = { 1, "print", {} },
      }
      for name, values in pairs(wrong) do
         for _, value in ipairs(values) do
            local message = raised(pkv.open, path, { [name] = value })
            assert.match(("option '%s' must be "):format(name), message, 1, true)
            assert.match(", got ", message, 1, true)
         end
      end
      assert.is_nil(lfs.attributes(path))
   end)

   it("and possible", function()
      for name, value in pairs { memory_shards = 3, wal_shards = 65, snapshot_threads = 65 } do
         local store, message, code = pkv.open(path, { [name] = value })
         assert.is_nil(store, name)
         assert.equal("usage", code)
         assert.match(name, message, 1, true)
      end
   end)
end)
