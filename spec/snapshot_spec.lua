--- Snapshots: which files there are when, what a failing one leaves, what becomes of a damaged one.
local lfs = require "lfs"
local pkv = require "pkv"
local helper = require "spec.support.helper"
local compat = require "spec.support.compat"
local disk = require "spec.support.disk"

local path
before_each(function() path = disk.folder() end)
after_each(disk.clean)

local function open(options) return assert(pkv.open(path, options)) end

local function fill(store, count, size)
   for i = 1, count do store["key " .. i] = ("%d "):format(i):rep(size or 1) end
end

--- A closed store with `snapshots` snapshots, all kept, and some log; what is in it.
local function make(snapshots, options)
   local all = { keep_backups = 100, snapshot_interval = false }
   for name, value in pairs(options or {}) do all[name] = value end
   local store = open(all)
   for i = 1, snapshots do
      store["in snapshot"] = i
      store["only " .. i] = ("x"):rep(i)
      assert(pkv.snapshot(store))
   end
   store["in log"] = true
   local content = helper.content(store)
   assert(pkv.close(store))
   return content
end

describe("the files of a store", function()
   it("are a log that takes no more than its records, without a snapshot", function()
      local store = open()
      store.foo = "1"
      assert(pkv.close(store))
      assert.same({ "snapshot_1_0-of-1_diff.bin" }, disk.names(path))
      local log = helper.read(path .. "/snapshot_1_0-of-1_diff.bin")
      assert.equal(#log, disk.records(log)[1].upto)
   end)

   it("are the snapshot and an empty log after one snapshot, also the older one after two", function()
      local store = open { snapshot_interval = 1 }
      store.foo = "1"
      assert(pkv.close(store))
      assert.same({ "snapshot_2_0-of-1_full.bin", "snapshot_3_0-of-1_diff.bin" }, disk.names(path))
      assert.equal(0, disk.size(path, "snapshot_3_0-of-1_diff.bin"))

      store = open { snapshot_interval = 2 }
      store.bar, store.baz = "2", "3"
      disk.wait(function() return pkv.stats(store).snapshots == 1 end)
      store.foo = nil
      assert(pkv.close(store))
      local names = { "snapshot_2_0-of-1_full.bin", "snapshot_4_0-of-1_full.bin", "snapshot_5_0-of-1_diff.bin" }
      assert.same(names, disk.names(path))
      assert.is_true(disk.size(path, names[1]) < disk.size(path, names[2]))
      assert.is_true(disk.size(path, names[3]) > 0)
      assert.same({ bar = "2", baz = "3" }, helper.content_of(path))
   end)

   it("stay the same when it is opened and closed", function()
      make(2)
      local before = disk.files(path)
      for _ = 1, 3 do assert(pkv.close(open())) end
      before.manifest = nil
      local after = disk.files(path)
      after.manifest = nil
      assert.same(before, after)
   end)

   it("are as many snapshots as keep_backups says, and the newest", function()
      for keep = 0, 2 do
         local folder = disk.folder()
         local store = assert(pkv.open(folder, { keep_backups = keep }))
         for i = 1, 4 do
            store.i = i
            assert(pkv.snapshot(store))
            assert.equal(math.min(keep + 1, i) + 1, #disk.names(folder))
            assert.equal(2 * i, pkv.stats(store).snapshot_ordinal)
         end
         assert(pkv.close(store))
         local names = {}
         for i = 4 - keep, 4 do names[#names + 1] = ("snapshot_%d_0-of-1_full.bin"):format(2 * i) end
         names[#names + 1] = "snapshot_9_0-of-1_diff.bin"
         assert.same(names, disk.names(folder))
         assert.same({ i = 4 }, helper.content_of(folder))
      end
   end)

   it("are several to a snapshot where there are threads for it, or it would be too large", function()
      local store = open { snapshot_threads = 3 }
      fill(store, 1000, 60)
      assert(pkv.snapshot(store))
      for i = 0, 2 do assert.is_number(disk.size(path, ("snapshot_2_%d-of-3_full.bin"):format(i))) end
      local expected = helper.content(store)
      assert(pkv.close(store))

      store = open { snapshot_threads = 2, snapshot_shard_bytes = 20000, memory_shards = 8 }
      assert.same(expected, helper.content(store))
      assert(pkv.snapshot(store))
      local names = disk.names(path)
      for i = 0, 7 do assert.is_number(disk.size(path, ("snapshot_4_%d-of-8_full.bin"):format(i))) end
      assert.equal(3 + 8 + 1, #names)
      assert(pkv.close(store))
      assert.same(expected, helper.content_of(path, { memory_shards = 1, snapshot_threads = 1 }))
   end)

   it("may hold nothing at all", function()
      local store = open { keep_backups = 0 }
      assert(pkv.snapshot(store))
      store.x = 1
      assert(pkv.snapshot(store))
      store.x = nil
      assert(pkv.snapshot(store))
      assert(pkv.snapshot(store))
      assert(pkv.close(store))
      assert.same({ "snapshot_8_0-of-1_full.bin", "snapshot_9_0-of-1_diff.bin" }, disk.names(path))
      assert.equal(0, disk.size(path, "snapshot_8_0-of-1_full.bin"))
      assert.same({}, helper.content_of(path))
   end)
end)

describe("a trigger", function()
   it("that comes while a snapshot is written is merged with others into one more", function()
      local store = open { snapshot_interval = 1 }
      for i = 1, 3000 do
         store["key " .. i % 100] = i
         assert.equal(i, store["key " .. i % 100])
      end
      local expected = helper.content(store)
      disk.wait(function() return pkv.stats(store).snapshots > 0 end)
      assert.is_true(pkv.stats(store).snapshots < 3000)
      assert(pkv.close(store))
      local log = table.concat(disk.names(path), " "):match "%S+_diff%.bin" -- by name, 10 comes before 9
      assert.equal(0, disk.size(path, log))
      assert.same(expected, helper.content_of(path))
   end)

   it("counts sets and unsets, and nothing else", function()
      local store = open { snapshot_interval = 3 }
      store.a = 1
      store.b = nil
      assert.is_nil(store.c)
      store.a = nil
      assert.same({}, helper.content(store))
      assert.equal(0, pkv.stats(store).snapshots)
      store.a = 2
      disk.wait(function() return pkv.stats(store).snapshots == 1 end)
      assert(pkv.close(store))
   end)

   it("leaves writers and readers alone: they go on through many snapshots", function()
      local store, expected = open { snapshot_interval = 50, snapshot_threads = 2, keep_backups = 0 }, {}
      local i = 0
      repeat
         i = i + 1
         local key = "key " .. i % 700
         local value = i % 5 > 0 and ("v"):rep(i % 300) or nil
         store[key], expected[key] = value, value
         assert.equal(value, store[key])
      until i >= 5000 and pkv.stats(store).snapshots >= 4
      assert.same(expected, helper.content(store))
      assert(pkv.close(store))
      assert.same(expected, helper.content_of(path))
   end)
end)

describe("pkv.prune_backups", function()
   it("keeps so many old snapshots, and the newest", function()
      local expected = make(4)
      local all = disk.names(path)
      assert.equal(0, pkv.prune_backups(path, 3))
      assert.same(all, disk.names(path))
      assert.equal(2, pkv.prune_backups(path, 1))
      assert.same({ "snapshot_6_0-of-1_full.bin", "snapshot_8_0-of-1_full.bin", "snapshot_9_0-of-1_diff.bin" },
                  disk.names(path))
      assert.equal(1, pkv.prune_backups(path, 0))
      assert.same({ "snapshot_8_0-of-1_full.bin", "snapshot_9_0-of-1_diff.bin" }, disk.names(path))
      assert.equal(0, pkv.prune_backups(path, 0))
      assert.same(expected, helper.content_of(path))
   end)

   it("does so where no manifest is", function()
      assert(lfs.mkdir(path))
      for _, name in ipairs { "1_0-of-1_full", "2_0-of-1_full", "3_0-of-1_diff", "4_0-of-1_full", "5_0-of-1_full" } do
         helper.write(("%s/snapshot_%s.bin"):format(path, name), "")
      end
      assert.equal(0, pkv.prune_backups(path, 3))
      assert.equal(5, #disk.names(path))
      assert.equal(2, pkv.prune_backups(path, 1))
      assert.same({ "snapshot_3_0-of-1_diff.bin", "snapshot_4_0-of-1_full.bin", "snapshot_5_0-of-1_full.bin" },
                  disk.names(path))
      assert.equal(1, pkv.prune_backups(path, 0))
      assert.same({}, helper.content_of(path))
   end)

   it("leaves a store alone that somebody has open", function()
      local store = open { keep_backups = 5 }
      for _ = 1, 3 do assert(pkv.snapshot(store)) end
      local before = disk.names(path)
      local removed, message, code = pkv.prune_backups(path, 0)
      assert.is_nil(removed)
      assert.equal("locked", code)
      assert.match(path, message, 1, true)
      assert.same(before, disk.names(path))
      assert(pkv.close(store))
   end)
end)

describe("pkv.delete_failed_pending_snapshots", function()
   it("removes what was never finished, and nothing else", function()
      local expected = make(1)
      local before = disk.names(path)
      helper.write(path .. "/snapshot_8_0-of-2_pending.bin", "half")
      helper.write(path .. "/snapshot_8_1-of-2_pending.bin", "")
      helper.write(path .. "/snapshot_1_0-of-1_pending.bin", "old")
      assert.equal(3, pkv.delete_failed_pending_snapshots(path))
      assert.same(before, disk.names(path))
      assert.equal(0, pkv.delete_failed_pending_snapshots(path))
      assert.same(expected, helper.content_of(path))
   end)

   it("has nothing to do after an open, which removes the same", function()
      local expected = make(1)
      local before = disk.names(path)
      helper.write(path .. "/snapshot_8_1-of-2_pending.bin", "half")
      assert.same(expected, helper.content_of(path))
      assert.same(before, disk.names(path))
      assert.equal(0, pkv.delete_failed_pending_snapshots(path))
   end)

   it("keeps what was published, though it is still called pending", function()
      local expected = make(1)
      assert(os.rename(path .. "/snapshot_2_0-of-1_full.bin", path .. "/snapshot_2_0-of-1_pending.bin"))
      assert.equal(0, pkv.delete_failed_pending_snapshots(path))
      assert.same(expected, helper.content_of(path))
      assert.is_number(disk.size(path, "snapshot_2_0-of-1_full.bin"))
   end)
end)

describe("a snapshot that fails", function()
   local events, store
   local obstacle = "snapshot_2_0-of-1_pending.bin"

   --- Opens the store; a directory stands where the first snapshot's file should be.
   local function open_obstructed(options)
      local all = { on_event = function(name, event) events[#events + 1] = { name, event } end }
      for name, value in pairs(options or {}) do all[name] = value end
      events = {}
      store = open(all)
      assert(lfs.mkdir(path .. "/" .. obstacle))
      store.a = 1
   end

   local function clear() assert(lfs.rmdir(path .. "/" .. obstacle)) end

   local function fail()
      local done, message, code = pkv.snapshot(store)
      assert.is_nil(done)
      assert.equal("io", code)
      assert.match(obstacle, message, 1, true)
   end

   it("is told to who asked, to on_event and to stats; the old files stay in force", function()
      open_obstructed()
      fail()
      store.b = 2
      local stats = pkv.stats(store)
      assert.equal(1, stats.snapshot_failures)
      assert.equal(0, stats.snapshots)
      assert.equal(0, stats.snapshot_ordinal)
      assert.match(obstacle, stats.last_failure, 1, true)
      assert.equal("failed", events[2][1])
      assert.match(obstacle, events[2][2].message, 1, true)
      assert.same({ "snapshot_1_0-of-1_diff.bin", "snapshot_3_0-of-1_diff.bin" }, disk.names(path))
      assert(pkv.close(store))
      assert.same({ a = 1, b = 2 }, helper.content_of(path))
   end)

   it("may be asked for again, and then leaves nothing behind", function()
      open_obstructed()
      for i = 1, 3 do
         fail()
         store["round " .. i] = i
      end
      assert.equal(3, pkv.stats(store).snapshot_failures)
      clear()
      helper.write(path .. "/snapshot_1_0-of-1_pending.bin", "older")
      assert(pkv.snapshot(store))
      local stats = pkv.stats(store)
      assert.equal(1, stats.snapshots)
      assert.equal(2, stats.snapshot_ordinal)
      assert.same({ "snapshot_2_0-of-1_full.bin", "snapshot_3_0-of-1_diff.bin" }, disk.names(path))
      assert.equal("published", events[#events][1])
      assert.equal(2, events[#events][2].ordinal)
      assert.equal(4, events[#events][2].entries)
      store.last = true
      local expected = helper.content(store)
      assert(pkv.close(store))
      assert.same(expected, helper.content_of(path))
   end)

   it("is tried again by itself", function()
      open_obstructed { snapshot_interval = 1 }
      disk.wait(function() return pkv.stats(store).snapshot_failures > 0 end)
      clear()
      disk.wait(function() return pkv.stats(store).snapshots > 0 end)
      assert.same({ "snapshot_2_0-of-1_full.bin", "snapshot_3_0-of-1_diff.bin" }, disk.names(path))
      assert(pkv.close(store))
      assert.same({ a = 1 }, helper.content_of(path))
   end)

   it("loses nothing when the process dies", function()
      disk.killed(path, [[
         local store = assert(pkv.open(path))
         assert(require "lfs".mkdir(path .. "/snapshot_2_0-of-1_pending.bin"))
         for i = 1, 100 do store["before " .. i] = i end
         assert(not pkv.snapshot(store))
         for i = 1, 100 do store["after " .. i] = i end
         store["before 1"] = nil]])
      local expected = {}
      for i = 1, 100 do expected["before " .. i], expected["after " .. i] = i, i end
      expected["before 1"] = nil
      clear()
      assert.same(expected, helper.content_of(path))
      store = open()
      assert(pkv.snapshot(store))
      assert(pkv.close(store))
      assert.same(expected, helper.content_of(path))
   end)

   it("before anything was switched leaves the log as it was", function()
      for _, shards in ipairs { 1, 2 } do
         local folder = disk.folder()
         local log = assert(pkv.open(folder, { wal_shards = shards }))
         log.a = 1
         local before = disk.names(folder)
         local planted = ("%s/snapshot_3_%d-of-%d_diff.bin"):format(folder, shards - 1, shards)
         assert(lfs.mkdir(planted))
         for _ = 1, 2 do
            local done, message, code = pkv.snapshot(log)
            assert.is_nil(done)
            assert.equal("io", code)
            assert.match(planted:match("[^/]+$"), message, 1, true)
            assert.same(before, disk.names(folder))
         end
         assert(lfs.rmdir(planted))
         assert(pkv.snapshot(log))
         assert(pkv.close(log))
         assert.same({ a = 1 }, helper.content_of(folder))
      end
   end)

   it("because the manifest cannot be replaced leaves all as it was", function()
      store = open()
      store.a = 1
      local before = disk.names(path)
      assert(lfs.mkdir(path .. "/manifest.new"))
      for _ = 1, 2 do
         local done, message, code = pkv.snapshot(store)
         assert.is_nil(done)
         assert.equal("io", code)
         assert.match("manifest.new", message, 1, true)
         assert.same(before, disk.names(path))
      end
      assert(lfs.rmdir(path .. "/manifest.new"))
      assert(pkv.snapshot(store))
      assert(pkv.close(store))
      assert.same({ a = 1 }, helper.content_of(path))
   end)

   it("because the old log cannot be cut does no harm, whatever comes next", function()
      local probe = helper.folder("probe")
      helper.write(probe, "")
      if compat.execute(("chattr +a %s 2>/dev/null && chattr -a %s"):format(probe, probe)) ~= 0 then
         return pending("only where files can be made append-only")
      end
      for _, retry in ipairs { false, true } do
         local folder = helper.folder()
         local log = assert(pkv.open(folder))
         log.a = 1
         assert.equal(0, compat.execute(("chattr +a %s/snapshot_1_0-of-1_diff.bin"):format(folder)))
         assert.is_nil((pkv.snapshot(log)))
         log.b = 2
         assert.equal(0, compat.execute(("chattr -a %s/snapshot_1_0-of-1_diff.bin"):format(folder)))
         if retry then assert(pkv.snapshot(log)) end
         log.c = 3
         assert(pkv.close(log))
         for _ = 1, 2 do assert.same({ a = 1, b = 2, c = 3 }, helper.content_of(folder)) end
      end
   end)
end)

describe("what an interrupted clean-up left", function()
   it("is removed when the store is opened", function()
      local expected = make(0)
      local store = open { keep_backups = 0 }
      assert(pkv.snapshot(store))
      local first = helper.files(path)
      assert(pkv.snapshot(store))
      store["in log"] = false
      expected["in log"] = false
      assert(pkv.close(store))
      local names = disk.names(path)
      for name, bytes in pairs(first) do
         if name:find("^snapshot_") then helper.write(path .. "/" .. name, bytes) end
      end
      helper.write(path .. "/snapshot_1_0-of-1_diff.bin", "whatever")
      helper.write(path .. "/snapshot_7_0-of-1_diff.bin", "") -- of a rotation
      helper.write(path .. "/manifest.new", "half a manif")
      assert.equal(#names + 4, #disk.names(path))
      assert.same(expected, helper.content_of(path))
      assert.same(names, disk.names(path))
      assert.is_nil(disk.size(path, "manifest.new"))
   end)

   it("of the renaming is finished when the store is opened", function()
      local expected = make(2, { snapshot_shard_bytes = 1, memory_shards = 4 })
      local names = disk.names(path)
      for _, shards in ipairs { { 1 }, { 0, 3 }, { 0, 1, 2, 3 } } do
         for _, shard in ipairs(shards) do
            local name = ("%s/snapshot_4_%d-of-4_"):format(path, shard)
            assert(os.rename(name .. "full.bin", name .. "pending.bin"))
         end
         assert.same(expected, helper.content_of(path))
         assert.same(names, disk.names(path))
      end
   end)
end)

describe("a damaged snapshot file", function()
   local full = "snapshot_2_0-of-1_full.bin"

   --- Opening is refused, with an error that names file and offset, and changes no file.
   local function is_refused(name, offset)
      local before = disk.files(path)
      local store, message, code = pkv.open(path)
      if store then error("the store opened") end
      assert.equal("corrupt", code, message)
      assert.match(name, message, 1, true)
      if offset then assert.match("offset " .. offset .. "%f[%D]", message) end
      assert.same(before, disk.files(path))
   end

   it("that is missing", function()
      make(1)
      disk.remove(path, full)
      is_refused(full)
   end)

   it("that is missing, with an older one at hand", function()
      make(2)
      disk.remove(path, "snapshot_4_0-of-1_full.bin")
      is_refused("snapshot_4_0-of-1_full.bin")
   end)

   it("that was cut anywhere", function()
      local expected = make(1)
      local bytes = helper.read(path .. "/" .. full)
      local records = disk.records(bytes)
      for size = 0, #bytes - 1 do
         local upto = 0
         for _, record in ipairs(records) do
            if record.upto <= size then upto = record.upto end
         end
         helper.write(path .. "/" .. full, bytes:sub(1, size))
         is_refused(full, upto)
      end
      helper.write(path .. "/" .. full, bytes)
      assert.same(expected, helper.content_of(path))
   end)

   it("that has a flipped bit anywhere", function()
      local expected = make(1)
      local bytes = helper.read(path .. "/" .. full)
      local records = disk.records(bytes)
      for offset = 0, #bytes - 1 do
         local from
         for _, record in ipairs(records) do
            if record.from <= offset then from = record.from end
         end
         for bit = 0, 7 do
            helper.write(path .. "/" .. full, disk.flipped(bytes, offset, bit))
            is_refused(full, from)
         end
      end
      helper.write(path .. "/" .. full, bytes)
      assert.same(expected, helper.content_of(path))
   end)

   it("that has grown", function()
      make(1)
      local bytes = helper.read(path .. "/" .. full)
      for _, more in ipairs { "\0", ("\0"):rep(5000), bytes } do
         helper.write(path .. "/" .. full, bytes .. more)
         is_refused(full, more == bytes and 2 * #bytes or #bytes)
      end
   end)

   it("that another snapshot's file has replaced", function()
      make(2)
      helper.write(path .. "/snapshot_4_0-of-1_full.bin", helper.read(path .. "/" .. full))
      is_refused("snapshot_4_0-of-1_full.bin", 0)
   end)

   it("that has a record in place of another", function()
      local store = open { snapshot_interval = false }
      for i = 1, 3 do store["key " .. i] = i end
      assert(pkv.snapshot(store))
      assert(pkv.close(store))
      local bytes = helper.read(path .. "/" .. full)
      local first, second = table.unpack(disk.records(bytes))
      assert.equal(first.upto - first.from, second.upto - second.from)
      helper.write(path .. "/" .. full, disk.patched(bytes, second.from, bytes:sub(first.from + 1, first.upto)))
      is_refused(full)
   end)

   it("of many, or one that lost its order", function()
      make(1, { snapshot_shard_bytes = 1, memory_shards = 2 })
      local one, two = path .. "/snapshot_2_0-of-2_full.bin", path .. "/snapshot_2_1-of-2_full.bin"
      local bytes = { helper.read(one), helper.read(two) }
      helper.write(one, bytes[2])
      helper.write(two, bytes[1])
      is_refused("_full.bin")
   end)
end)

describe("a damaged manifest", function()
   it("that has a flipped bit anywhere, or was cut, is an error that names it and changes nothing", function()
      local expected = make(1)
      local name = path .. "/manifest"
      local bytes = helper.read(name)
      local function is_refused(damaged)
         helper.write(name, damaged)
         local before = disk.files(path)
         local store, message, code = pkv.open(path)
         assert.is_nil(store)
         assert.equal("corrupt", code)
         assert.match("manifest", message, 1, true)
         assert.same(before, disk.files(path))
      end
      for offset = 0, #bytes - 1 do
         for bit = 0, 7 do is_refused(disk.flipped(bytes, offset, bit)) end
         is_refused(bytes:sub(1, offset))
      end
      is_refused(bytes .. "\0")
      helper.write(name, bytes)
      assert.same(expected, helper.content_of(path))
   end)
end)
